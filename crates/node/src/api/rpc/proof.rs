//! Proofs of the store in the form of ICS 23, byte for byte what verifiers of that standard decode. The messages are
//! few and fixed, so they are written down here.

use dodona_store::{Proven, proof::key_hash};
use prost::Message;

/// Name of the proofs' form: leaves and inner nodes of the Jellyfish Merkle tree over SHA-256.
pub(super) const KIND: &str = "ics23:jmt";
/// Name of a proof of absence: borsh of the store's own [`Proven`], because ICS 23 asks for two present neighbours,
/// which a tree of hashes cannot name.
pub(super) const ABSENCE: &str = "dodona:absence";

const SHA256: i32 = 1;
const NO_PREFIX: i32 = 0;

#[derive(Clone, PartialEq, Message)]
struct CommitmentProof {
    #[prost(message, optional, tag = "1")]
    exist: Option<ExistenceProof>,
}

#[derive(Clone, PartialEq, Message)]
struct ExistenceProof {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    leaf: Option<LeafOp>,
    #[prost(message, repeated, tag = "4")]
    path: Vec<InnerOp>,
}

#[derive(Clone, PartialEq, Message)]
struct LeafOp {
    #[prost(int32, tag = "1")]
    hash: i32,
    #[prost(int32, tag = "2")]
    prehash_key: i32,
    #[prost(int32, tag = "3")]
    prehash_value: i32,
    #[prost(int32, tag = "4")]
    length: i32,
    #[prost(bytes = "vec", tag = "5")]
    prefix: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct InnerOp {
    #[prost(int32, tag = "1")]
    hash: i32,
    #[prost(bytes = "vec", tag = "2")]
    prefix: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    suffix: Vec<u8>,
}

/// Kind and bytes of the proof of a key's value, or of its absence.
pub(super) fn encode(key: &[u8], proven: &Proven) -> (&'static str, Vec<u8>) {
    let Some(value) = &proven.value else {
        return (ABSENCE, borsh::to_vec(proven).expect("writing to memory does not fail"));
    };
    let place = key_hash(key);
    let depth = proven.proof.siblings.len();
    let path = proven.proof.siblings.iter().zip((0..depth).rev()).map(|(sibling, d)| {
        let (mut prefix, mut suffix) = (b"JMT::IntrnalNode".to_vec(), Vec::new());
        let goes_right = place[d / 8] >> (7 - d % 8) & 1 == 1;
        if goes_right { &mut prefix } else { &mut suffix }.extend_from_slice(sibling);
        InnerOp { hash: SHA256, prefix, suffix }
    });
    let leaf = LeafOp {
        hash: SHA256,
        prehash_key: SHA256,
        prehash_value: SHA256,
        length: NO_PREFIX,
        prefix: b"JMT::LeafNode".to_vec(),
    };
    let exist =
        ExistenceProof { key: key.to_vec(), value: value.clone(), leaf: Some(leaf), path: path.collect() };
    (KIND, CommitmentProof { exist: Some(exist) }.encode_to_vec())
}
