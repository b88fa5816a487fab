//! Account addresses: twenty bytes, written in bech32 with the prefix `allo`.

use std::{fmt, str::FromStr};

use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use borsh::{BorshDeserialize, BorshSerialize};
use ripemd::Ripemd160;
use sha2::{Digest, Sha256};

/// Human-readable part of an account address.
pub const PREFIX: &str = "allo";
const HRP: Hrp = Hrp::parse_unchecked(PREFIX);

/// An account.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 20]);

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not bech32, or the checksum does not fit: most likely a typing error.
    #[error("not a bech32 address: {0}")]
    Bech32(String),
    /// An address of another chain or kind.
    #[error("address begins with `{0}`, expected `{1}`")]
    Prefix(String, String),
    /// Addresses have twenty bytes.
    #[error("address has {0} bytes, expected 20")]
    Length(usize),
}

impl Address {
    /// The address of a compressed secp256k1 key: ripemd160(sha256(key)).
    pub fn of_key(key: &[u8; 33]) -> Self {
        Self(Ripemd160::digest(Sha256::digest(key)).into())
    }

    /// An account no key belongs to, named by the module that owns it.
    pub fn of_module(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash[..20]);
        Self(bytes)
    }
}

impl Address {
    /// The same bytes as a validator's account, a validator's key or the like is written.
    pub fn written(&self, prefix: Prefix) -> String {
        let mut text = String::new();
        // Twenty bytes are never too long for the format, and memory does not refuse them.
        let _ = bech32::encode_to_fmt::<Bech32, _>(&mut text, prefix.hrp(), &self.0);
        text
    }

    /// Reads what [`Address::written`] wrote.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn read(text: &str, prefix: Prefix) -> Result<Self, AddressError> {
        let parsed =
            CheckedHrpstring::new::<Bech32>(text).map_err(|e| AddressError::Bech32(e.to_string()))?;
        if parsed.hrp() != prefix.hrp() {
            return Err(AddressError::Prefix(parsed.hrp().to_string(), prefix.hrp().to_string()));
        }
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        bytes.as_slice().try_into().map(Self).map_err(|_| AddressError::Length(bytes.len()))
    }
}

/// What an address is of: its beginning says so.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// An account.
    Account,
    /// The account that is paid for a validator's work.
    Operator,
    /// The key with which a validator votes.
    Consensus,
}

impl Prefix {
    fn hrp(self) -> Hrp {
        match self {
            Self::Account => HRP,
            Self::Operator => Hrp::parse_unchecked("allovaloper"),
            Self::Consensus => Hrp::parse_unchecked("allovalcons"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Bech32, _>(f, HRP, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::read(text, Prefix::Account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_text_of_the_published_example_agree() {
        let key: [u8; 33] = hex::decode("024f4e2ad99c34d60b9ba6283c9431a8418af8673212961f97a77b6377fcd05b62")
            .unwrap()
            .try_into()
            .unwrap();
        let address = Address::of_key(&key);
        assert_eq!(address.to_string(), "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv");
        assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn a_typing_error_another_prefix_and_a_short_address_are_refused() {
        let good = Address([7; 20]).to_string();
        let mut typo = good.clone().into_bytes();
        typo[10] = if typo[10] == b'q' { b'p' } else { b'q' };
        let typo = String::from_utf8(typo).unwrap();
        assert!(matches!(typo.parse::<Address>(), Err(AddressError::Bech32(_))));
        let other = bech32::encode::<Bech32>(Hrp::parse("cosmos").unwrap(), &[7; 20]).unwrap();
        assert_eq!(other.parse::<Address>(), Err(AddressError::Prefix("cosmos".into(), PREFIX.into())));
        let short = bech32::encode::<Bech32>(HRP, &[7; 19]).unwrap();
        assert_eq!(short.parse::<Address>(), Err(AddressError::Length(19)));
        assert!("".parse::<Address>().is_err());
    }
}
