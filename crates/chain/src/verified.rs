//! Signatures already checked. Whether one is valid depends on the transaction's bytes, the chain, and the number
//! of the account; an answer for all three may be remembered: the mempool checks, the block need not repeat it.
//! The number belongs to the question because an account that only exists in blocks not yet committed can get
//! another one when those are built in another order. Signed words that messages bring along, as the bundles of
//! published clients, ask about key, signature and bytes alone. This saves time and changes no result.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

use dodona_proto::{
    sign::{self, SignError},
    tx::TxHash,
};
use sha2::{Digest, Sha256};

/// How many answers are remembered.
const MAX: usize = 65_536;

/// What was found valid.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// A transaction's signature, for the account number with it.
    Account(TxHash, u64),
    /// A signature within a message: a hash of key, signature and signed bytes.
    Word([u8; 32]),
}

/// Signatures known to be valid on this chain.
#[derive(Debug)]
pub struct Verified {
    trust_all: bool,
    inner: Mutex<(BTreeSet<Answer>, VecDeque<Answer>)>,
}

impl Verified {
    /// Remembers nothing yet. With `trust_all` every signature counts as checked: for replays of transactions the
    /// program made itself a moment ago, and for nothing else.
    pub fn new(trust_all: bool) -> Self {
        Self { trust_all, inner: Mutex::default() }
    }

    pub(crate) fn contains(&self, hash: TxHash, account_number: u64) -> bool {
        self.trust_all || self.remembers(&Answer::Account(hash, account_number))
    }

    pub(crate) fn insert(&self, hash: TxHash, account_number: u64) {
        self.remember(Answer::Account(hash, account_number));
    }

    /// [`sign::verify`], unless this very signature of these bytes by this key was found valid before. Not trusted
    /// without a look either: what the program itself has made may bring words of others.
    pub(crate) fn word(&self, public: &[u8], bytes: &[u8], signature: &[u8]) -> Result<(), SignError> {
        // Lengths keep the fields apart: the same bytes cut elsewhere are another question.
        let mut name = Sha256::new();
        for field in [public, signature, bytes] {
            name.update((field.len() as u64).to_be_bytes());
            name.update(field);
        }
        let answer = Answer::Word(name.finalize().into());
        if !self.remembers(&answer) {
            sign::verify(public, bytes, signature)?;
            self.remember(answer);
        }
        Ok(())
    }

    fn remembers(&self, answer: &Answer) -> bool {
        self.inner.lock().is_ok_and(|inner| inner.0.contains(answer))
    }

    fn remember(&self, answer: Answer) {
        // A poisoned lock only means that nothing is remembered any more.
        let Ok(mut inner) = self.inner.lock() else { return };
        if inner.0.insert(answer) {
            inner.1.push_back(answer);
        }
        if inner.1.len() > MAX
            && let Some(oldest) = inner.1.pop_front()
        {
            inner.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_word_vouches_for_no_other() {
        let key = sign::AccountKey::from_seed(1, "alice");
        let signature = key.sign(b"word");
        let known = Verified::new(true);
        for _ in 0..2 {
            assert_eq!(known.word(key.public(), b"word", &signature), Ok(()));
        }
        assert_eq!(known.word(key.public(), b"ward", &signature), Err(SignError::Mismatch));
        // The same bytes, cut in another place.
        let longer = [signature.as_slice(), b"w"].concat();
        assert_eq!(known.word(key.public(), b"ord", &longer), Err(SignError::Signature));
        let shorter = [&signature[63..], b"word"].concat();
        assert_eq!(known.word(key.public(), &shorter, &signature[..63]), Err(SignError::Signature));
    }
}
