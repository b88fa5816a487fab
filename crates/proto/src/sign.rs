//! Account signatures: ECDSA over secp256k1 on a SHA-256 digest, 64 bytes r‖s with low s, deterministic nonce.
//! The C library behind this checks almost twice as many signatures per second as the pure-Rust one
//! (`cargo bench -p dodona-proto`); docs/decisions/0004 has the figures.

use secp256k1::{Message, PublicKey, SecretKey, ecdsa::Signature};
use sha2::{Digest, Sha256};

use crate::Address;

/// A secret account key. Printing it shows the address only.
#[derive(Clone)]
pub struct AccountKey {
    secret: SecretKey,
    public: [u8; 33],
    address: Address,
}

/// Why bytes are no key or no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not a number a key may have.
    #[error("not a valid secp256k1 secret key")]
    SecretKey,
    /// Not a point of the curve in 33-byte form.
    #[error("not a compressed secp256k1 public key")]
    PublicKey,
    /// Not 64 bytes of r and s, or s in the upper half.
    #[error("not a 64-byte low-s signature")]
    Signature,
    /// Well-formed, but not a signature of this message by this key.
    #[error("signature does not fit message and key")]
    Mismatch,
}

impl AccountKey {
    /// From the 32 secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SignError> {
        let secret = SecretKey::from_secret_bytes(bytes).map_err(|_| SignError::SecretKey)?;
        let public = PublicKey::from_secret_key(&secret).serialize();
        Ok(Self { secret, public, address: Address::of_key(&public) })
    }

    /// A key made from a seed and a name: for demonstrations, tests and simulations only, never for value.
    pub fn from_seed(seed: u64, name: &str) -> Self {
        let mut counter = 0u32;
        loop {
            let mut hash = Sha256::new();
            hash.update(b"dodona demo key");
            hash.update(seed.to_be_bytes());
            hash.update(counter.to_be_bytes());
            hash.update(name.as_bytes());
            if let Ok(key) = Self::from_bytes(hash.finalize().into()) {
                return key;
            }
            counter += 1; // one hash in 2^128 is no key
        }
    }

    /// Compressed public key.
    pub fn public(&self) -> &[u8; 33] {
        &self.public
    }

    /// The account this key controls.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs the SHA-256 of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        secp256k1::ecdsa::sign(Message::from_digest(digest), &self.secret).serialize_compact()
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountKey({})", self.address)
    }
}

/// Checks a signature over the SHA-256 of `bytes`. High-s twins are refused, so a signature cannot be
/// altered by a third party without becoming invalid.
pub fn verify(public: &[u8], bytes: &[u8], signature: &[u8]) -> Result<(), SignError> {
    let key = PublicKey::from_slice(public).map_err(|_| SignError::PublicKey)?;
    let sig = Signature::from_compact(signature).map_err(|_| SignError::Signature)?;
    let mut low = sig;
    low.normalize_s();
    if low != sig {
        return Err(SignError::Signature);
    }
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    secp256k1::ecdsa::verify(&sig, Message::from_digest(digest), &key).map_err(|_| SignError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_only_its_message_and_key() {
        let key = AccountKey::from_seed(1, "alice");
        let sig = key.sign(b"hello");
        assert_eq!(verify(key.public(), b"hello", &sig), Ok(()));
        assert_eq!(verify(key.public(), b"hellp", &sig), Err(SignError::Mismatch));
        let other = AccountKey::from_seed(1, "bob");
        assert_eq!(verify(other.public(), b"hello", &sig), Err(SignError::Mismatch));
        assert_eq!(verify(&key.public()[..32], b"hello", &sig), Err(SignError::PublicKey));
        assert_eq!(verify(key.public(), b"hello", &sig[..63]), Err(SignError::Signature));
        assert_eq!(verify(key.public(), b"hello", &[0xff; 64]), Err(SignError::Signature));
    }

    #[test]
    fn the_high_s_twin_of_a_signature_is_refused() {
        // n - s, computed on big-endian bytes.
        const N: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
            0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
        ];
        let key = AccountKey::from_seed(1, "alice");
        let mut sig = key.sign(b"hello");
        let mut borrow = 0i32;
        for i in (0..32).rev() {
            let d = i32::from(N[i]) - i32::from(sig[32 + i]) - borrow;
            borrow = i32::from(d < 0);
            sig[32 + i] = (d + 256 * borrow) as u8;
        }
        assert_eq!(verify(key.public(), b"hello", &sig), Err(SignError::Signature));
    }

    #[test]
    fn the_key_is_not_printed() {
        let key = AccountKey::from_seed(1, "alice");
        assert_eq!(format!("{key:?}"), format!("AccountKey({})", key.address()));
    }
}
