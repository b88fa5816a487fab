//! One encrypted key: Argon2id makes a key of the passphrase, XChaCha20-Poly1305 seals the secret with it and binds
//! what the file says in the open. A digest over the whole file tells damage from a wrong passphrase.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use dodona_proto::Address;
use rand::{RngCore, rngs::OsRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{KeyError, Secret};

/// Largest file that is read, bytes.
pub(super) const MAX_FILE: u64 = 16 << 10;
/// The form of the file.
const FORM: u32 = 1;
/// Most memory a file may ask for, KiB: a foreign file must not take the machine down.
const MAX_MEMORY: u32 = 1 << 20;
/// Most passes and lanes likewise.
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// What a guess at the passphrase costs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes of the memory.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB in three passes: a quarter of a second.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }
}

/// What a file says without its passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What its owner calls it.
    pub name: String,
    /// Account, as written on this chain.
    pub address: String,
    /// secp256k1, compressed, hex.
    pub public_key: String,
}

/// A file, read and whole, still sealed.
pub(super) struct Sealed {
    pub(super) card: Card,
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; 24],
    body: Vec<u8>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dodona_key: u32,
    name: String,
    address: String,
    public_key: String,
    argon2id: Cost,
    salt: String,
    nonce: String,
    xchacha20poly1305: String,
    digest: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Inside {
    private_key: String,
    words: Option<String>,
}

impl Sealed {
    pub(super) fn seal(name: &str, secret: &Secret, passphrase: &str, cost: Cost) -> Result<Self, KeyError> {
        let key = secret.key()?;
        let card = Card {
            name: name.to_string(),
            address: key.address().to_string(),
            public_key: hex::encode(key.public()),
        };
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        OsRng.try_fill_bytes(&mut salt).map_err(|e| KeyError::Random(e.to_string()))?;
        OsRng.try_fill_bytes(&mut nonce).map_err(|e| KeyError::Random(e.to_string()))?;
        let inside =
            Inside { private_key: secret.hex().to_string(), words: secret.words().ok().map(str::to_string) };
        // Texts always have a JSON form.
        let plain = Zeroizing::new(serde_json::to_vec(&inside).unwrap_or_default());
        let mut sealed = Self { card, cost, salt, nonce, body: Vec::new() };
        let aad = sealed.bound();
        let payload = Payload { msg: &plain, aad: &aad };
        sealed.body = sealed
            .cipher(passphrase)
            .and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok())
            .ok_or_else(|| {
                KeyError::Random("the passphrase cannot be stretched: is there enough memory?".into())
            })?;
        Ok(sealed)
    }

    /// What is wrong with a file, in words, or the file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|e| format!("no key file: {e}"))?;
        if file.dodona_key != FORM {
            return Err(format!("form {} is of another version", file.dodona_key));
        }
        let cost = file.argon2id;
        if cost.memory_kib > MAX_MEMORY || cost.passes > MAX_PASSES || cost.lanes > MAX_LANES {
            return Err("it asks for more memory or passes than any key needs".into());
        }
        let field = |name: &str, text: &str| hex::decode(text).map_err(|_| format!("{name} is no hex"));
        let sealed = Self {
            salt: field("salt", &file.salt)?.try_into().map_err(|_| "salt has another length")?,
            nonce: field("nonce", &file.nonce)?.try_into().map_err(|_| "nonce has another length")?,
            body: field("xchacha20poly1305", &file.xchacha20poly1305)?,
            card: Card { name: file.name, address: file.address, public_key: file.public_key },
            cost,
        };
        sealed.card.address.parse::<Address>().map_err(|e| e.to_string())?;
        if sealed.digest() != file.digest {
            return Err("its digest does not fit".into());
        }
        Ok(sealed)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let file = File {
            dodona_key: FORM,
            name: self.card.name.clone(),
            address: self.card.address.clone(),
            public_key: self.card.public_key.clone(),
            argon2id: self.cost,
            salt: hex::encode(self.salt),
            nonce: hex::encode(self.nonce),
            xchacha20poly1305: hex::encode(&self.body),
            digest: self.digest(),
        };
        let mut bytes = serde_json::to_vec_pretty(&file).unwrap_or_default(); // texts always have a JSON form
        bytes.push(b'\n');
        bytes
    }

    pub(super) fn open(&self, path: &Path, passphrase: &str) -> Result<Secret, KeyError> {
        let damaged = |cause: &str| KeyError::Damaged { path: path.to_path_buf(), cause: cause.into() };
        let cipher = self.cipher(passphrase).ok_or_else(|| damaged("its cost is out of range"))?;
        let payload = Payload { msg: &self.body, aad: &self.bound() };
        let plain =
            cipher.decrypt(XNonce::from_slice(&self.nonce), payload).map_err(|_| KeyError::Passphrase)?;
        let plain = Zeroizing::new(plain);
        let inside: Inside =
            serde_json::from_slice(&plain).map_err(|_| damaged("what was sealed is no key"))?;
        let secret = Secret {
            words: inside.words.as_ref().map(|words| Zeroizing::new(words.clone())),
            ..Secret::from_hex(&inside.private_key)?
        };
        if secret.key()?.address().to_string() != self.card.address {
            return Err(damaged("it holds the key of another account"));
        }
        Ok(secret)
    }

    fn cipher(&self, passphrase: &str) -> Option<XChaCha20Poly1305> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).ok()?;
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt, key.as_mut())
            .ok()?;
        Some(XChaCha20Poly1305::new(Key::from_slice(key.as_ref())))
    }

    /// What the seal binds beside the secret. The name is not in it: a file may be renamed.
    fn bound(&self) -> Vec<u8> {
        format!("dodona key {FORM}\n{}\n{}\n", self.card.address, self.card.public_key).into_bytes()
    }

    fn digest(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let mut hash = Sha256::new();
        hash.update(self.bound());
        for number in [memory_kib, passes, lanes] {
            hash.update(number.to_be_bytes());
        }
        hash.update(self.salt);
        hash.update(self.nonce);
        hash.update(&self.body);
        hex::encode(hash.finalize())
    }
}
