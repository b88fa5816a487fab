//! Digests of what is shown later: a validator's weights on a subnet until they are revealed, a new coldkey until it
//! takes the old one's place, a worker's word until all have given theirs. The chain adds the registration of the hotkey
//! to the first by itself, so that a digest means nothing once its uid has changed hands.

use sha2::{Digest, Sha256};

use crate::Address;

/// What the digest begins with, so that it is the digest of nothing else.
const TAG: &[u8] = b"dodona.subnets.v1 weights";

/// The same for a new coldkey.
const COLDKEY: &[u8] = b"dodona.subnets.v1 coldkey";

/// The same for a worker's word.
const WORD: &[u8] = b"dodona.topics.v1 word";

/// Bytes of the salt of a sealed word.
pub const SALT: usize = 32;

/// The seal of a worker's word: SHA-256 over the tag, the chain's name, the salt and the encoded `MsgSubmitPayload`, each
/// of the three behind its number of bytes (8, big-endian). The payload names sender, topic and epoch, so a seal is
/// good for one chain, account and epoch.
pub fn seal(chain_id: &str, salt: &[u8; SALT], payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(WORD);
    for field in [chain_id.as_bytes(), salt.as_slice(), payload] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// The digest of a new coldkey: SHA-256 over the tag and the 20 bytes of both accounts, the old one's first. Whoever
/// knows the new account can tell: one that nobody has seen yet stays hidden.
pub fn coldkey(old: Address, new: Address) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(COLDKEY);
    hash.update(old.0);
    hash.update(new.0);
    hash.finalize().into()
}

/// The digest of weights: SHA-256 over the tag, the hotkey's 20 bytes, netuid and mechanism (4 bytes each), the number
/// of uids and each of them, the number of values and each of them (4 bytes each), the number of bytes of the salt and
/// those, the version key (8 bytes); all numbers big-endian.
pub fn digest(
    hotkey: Address,
    (netuid, mechanism): (u32, u32),
    uids: &[u32],
    values: &[u32],
    salt: &[u8],
    version_key: u64,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(TAG);
    hash.update(hotkey.0);
    hash.update(netuid.to_be_bytes());
    hash.update(mechanism.to_be_bytes());
    for list in [uids, values] {
        // Lists of messages are far shorter than 2^32.
        hash.update((list.len() as u32).to_be_bytes());
        list.iter().for_each(|item| hash.update(item.to_be_bytes()));
    }
    hash.update((salt.len() as u32).to_be_bytes());
    hash.update(salt);
    hash.update(version_key.to_be_bytes());
    hash.finalize().into()
}
