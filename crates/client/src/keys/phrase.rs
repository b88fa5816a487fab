//! Words and the keys they lead to, as wallets of this family do it: BIP-39 without a 25th word, BIP-32 along
//! `m/44'/118'/account'/0/index`. The same words give the same address in every such wallet.

use bip32::{ExtendedPrivateKey, PrivateKey};
use bip39::Mnemonic;
use rand::{RngCore, rngs::OsRng};
use zeroize::Zeroizing;

use super::{KeyError, Secret};

/// Bytes behind 24 words.
const ENTROPY: usize = 32;
/// Longest text that is looked at: 24 words are much shorter.
const MAX_TEXT: usize = 1_024;
/// First number of the hardened half.
const HARDENED: u32 = 1 << 31;

/// Whether a word, in lower case, is one of those that mnemonics are made of.
pub fn is_word(word: &str) -> bool {
    bip39::Language::English.find_word(word).is_some()
}

/// The words of a mnemonic, wiped from memory when dropped.
pub struct Phrase(Mnemonic);

impl Phrase {
    /// 24 new words from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn draw() -> Result<Self, KeyError> {
        let mut entropy = Zeroizing::new([0u8; ENTROPY]);
        OsRng.try_fill_bytes(entropy.as_mut()).map_err(|e| KeyError::Random(e.to_string()))?;
        Mnemonic::from_entropy(entropy.as_ref()).map(Self).map_err(|e| KeyError::Random(e.to_string()))
    }

    /// Reads 12, 15, 18, 21 or 24 English words; case and blanks do not matter.
    ///
    /// # Errors
    /// [`KeyError::Words`] names what is wrong by position, never by word.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let wrong = |cause: String| KeyError::Words(cause);
        if text.len() > MAX_TEXT {
            return Err(wrong("the text is too long".into()));
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let words = Zeroizing::new(lower.split_whitespace().collect::<Vec<_>>().join(" "));
        let read = Mnemonic::parse_in_normalized(bip39::Language::English, &words);
        read.map(Self).map_err(|error| {
            wrong(match error {
                bip39::Error::BadWordCount(count) => format!("{count} words"),
                bip39::Error::UnknownWord(at) => format!("word {} is not on the list", at + 1),
                bip39::Error::InvalidChecksum => {
                    "the checksum is wrong: a word is mistyped or out of place".into()
                }
                _ => "they are not English words of the list".into(),
            })
        })
    }

    /// The words, with one blank between two.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.0.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The key of an account and index, 0 and 0 unless somebody asks for more.
    ///
    /// # Errors
    /// [`KeyError::Words`]: a number beyond 2^31, or (once in 2^127) words that lead to no key there.
    pub fn secret(&self, account: u32, index: u32) -> Result<Secret, KeyError> {
        if account >= HARDENED || index >= HARDENED {
            return Err(KeyError::Words(format!("account and index are below {HARDENED}")));
        }
        let none = |_| KeyError::Words("no key at this path".into());
        let path: bip32::DerivationPath = path(account, index).parse().map_err(none)?;
        let seed = Zeroizing::new(self.0.to_seed_normalized(""));
        let derived = ExtendedPrivateKey::<secp256k1::SecretKey>::derive_from_path(seed.as_ref(), &path)
            .map_err(none)?;
        let bytes = Zeroizing::new(PrivateKey::to_bytes(derived.private_key()));
        Ok(Secret { bytes, words: Some(self.text()) })
    }
}

/// Where along the tree of keys an account and index are.
pub fn path(account: u32, index: u32) -> String {
    format!("m/44'/118'/{account}'/0/{index}")
}
