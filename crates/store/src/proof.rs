//! Proofs that a root holds a value under a key, or holds none, and their check. The form is that of the
//! Jellyfish Merkle tree over SHA-256 (spec: choice of the state store); nothing here knows the disk.

use crate::Hash;
use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use std::io;
use thiserror::Error;

/// Root of a tree without keys.
pub const EMPTY_ROOT: Hash = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// The most siblings that a path can have: one for every bit of a key hash.
pub const MAX_PATH: usize = 256;

/// SHA-256 of a key: its place in the tree.
pub fn key_hash(key: &[u8]) -> Hash {
    Sha256::digest(key).into()
}

/// SHA-256 of a value.
pub fn value_hash(value: &[u8]) -> Hash {
    Sha256::digest(value).into()
}

/// Hash of a leaf.
pub fn leaf_node_hash(key_hash: &Hash, value_hash: &Hash) -> Hash {
    let mut node = *b"JMT::LeafNode................................................................";
    node[13..45].copy_from_slice(key_hash);
    node[45..].copy_from_slice(value_hash);
    Sha256::digest(node).into()
}

/// Hash of an inner node.
pub fn inner_node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = *b"JMT::IntrnalNode................................................................";
    node[16..48].copy_from_slice(left);
    node[48..].copy_from_slice(right);
    Sha256::digest(node).into()
}

/// The bit of a key hash that decides at `depth` (0 to 255): `false` goes left.
pub(crate) fn bit(hash: &Hash, depth: usize) -> bool {
    hash[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// A leaf, by the hashes of its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LeafHashes {
    /// SHA-256 of the key.
    pub key_hash: Hash,
    /// SHA-256 of the value.
    pub value_hash: Hash,
}

/// The path from one place in the tree to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Hashes beside the path, from the leaf up; at most [`MAX_PATH`].
    pub siblings: Vec<Hash>,
    /// The other leaf that occupies the place, in a proof of absence that ends at one. It is `None` in
    /// a proof of a value and in a proof of absence that ends at an empty place.
    pub other: Option<LeafHashes>,
}

/// Why a proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The path has more siblings than a key hash has bits.
    #[error("the proof's path is longer than {MAX_PATH}")]
    TooLong,
    /// A proof of absence was offered for a value.
    #[error("the proof is one of absence, not of a value")]
    NotOfAValue,
    /// The other leaf of a proof of absence is that of the key itself.
    #[error("the proof of absence shows the key itself")]
    ShowsTheKey,
    /// The other leaf of a proof of absence lies on another path.
    #[error("the proof of absence shows a leaf that is not on the key's path")]
    OffThePath,
    /// The path leads to another root.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// Checks that under `root` the key has this value, or, for `None`, has no value.
///
/// `key` is the raw key, namespace included (`raw_key` of the typed tables).
pub fn verify(root: &Hash, key: &[u8], value: Option<&[u8]>, proof: &Proof) -> Result<(), ProofError> {
    let depth = proof.siblings.len();
    if depth > MAX_PATH {
        return Err(ProofError::TooLong);
    }
    let key_hash = key_hash(key);
    let start = match (value, &proof.other) {
        (Some(_), Some(_)) => return Err(ProofError::NotOfAValue),
        (Some(value), None) => leaf_node_hash(&key_hash, &value_hash(value)),
        (None, None) => EMPTY_ROOT,
        (None, Some(other)) if other.key_hash == key_hash => return Err(ProofError::ShowsTheKey),
        (None, Some(other)) if (0..depth).any(|d| bit(&other.key_hash, d) != bit(&key_hash, d)) => {
            return Err(ProofError::OffThePath);
        }
        (None, Some(other)) => leaf_node_hash(&other.key_hash, &other.value_hash),
    };
    let found = proof.siblings.iter().zip((0..depth).rev()).fold(start, |below, (sibling, d)| {
        if bit(&key_hash, d) { inner_node_hash(sibling, &below) } else { inner_node_hash(&below, sibling) }
    });
    if found == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

impl Proof {
    /// [`verify`], as a method.
    pub fn verify(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<(), ProofError> {
        verify(root, key, value, self)
    }
}

/// What the store answers to the question for a proof: the value at a version, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proven {
    /// Version that the answer is about.
    pub version: u64,
    /// Root of that version. A verifier takes the root from a source it trusts, not from here.
    pub root: Hash,
    /// The value, `None` if the key has none.
    pub value: Option<Vec<u8>>,
    /// The proof of value or absence.
    pub proof: Proof,
}

impl Proven {
    /// Checks the answer for this key against a root that the caller trusts.
    pub fn verify(&self, trusted_root: &Hash, key: &[u8]) -> Result<(), ProofError> {
        verify(trusted_root, key, self.value.as_deref(), &self.proof)
    }
}

// The number of siblings is a u16 and checked before any room is taken, so that a hostile length
// costs nothing; otherwise the encoding is what a derive would write.
impl BorshSerialize for Proof {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        if self.siblings.len() > MAX_PATH {
            return Err(io::Error::new(io::ErrorKind::InvalidData, ProofError::TooLong));
        }
        (self.siblings.len() as u16).serialize(writer)?;
        for sibling in &self.siblings {
            sibling.serialize(writer)?;
        }
        self.other.serialize(writer)
    }
}

impl BorshDeserialize for Proof {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let depth = usize::from(u16::deserialize_reader(reader)?);
        if depth > MAX_PATH {
            return Err(io::Error::new(io::ErrorKind::InvalidData, ProofError::TooLong));
        }
        let siblings = (0..depth).map(|_| Hash::deserialize_reader(reader)).collect::<io::Result<_>>()?;
        Ok(Proof { siblings, other: Option::deserialize_reader(reader)? })
    }
}
