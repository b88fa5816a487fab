//! Signatures already checked. Whether one is valid depends on the transaction's bytes, the chain, and the number
//! of the account; an answer for all three may be remembered: the mempool checks, the block need not repeat it.
//! The number belongs to the question because an account that only exists in blocks not yet committed can get
//! another one when those are built in another order. This saves time and changes no result.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

use dodona_proto::tx::TxHash;

/// How many answers are remembered.
const MAX: usize = 65_536;

/// A transaction, and the account number its signature was found valid for.
type Answer = (TxHash, u64);

/// Transactions whose signature is known to be valid on this chain.
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
        self.trust_all || self.inner.lock().is_ok_and(|inner| inner.0.contains(&(hash, account_number)))
    }

    pub(crate) fn insert(&self, hash: TxHash, account_number: u64) {
        let answer = (hash, account_number);
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
