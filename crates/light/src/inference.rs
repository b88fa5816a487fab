//! The network's answer as the state holds it: its keys and its bytes. The layout is the chain's, written down a
//! second time, so that a verifier needs none of the chain; a test compares the two.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

/// Namespace of inferences by topic and epoch.
const BY_EPOCH: &[u8; 2] = b"ti";
/// Namespace of the newest inference of each topic.
const NEWEST: &[u8; 2] = b"t7";
/// Namespace of topics.
const TOPICS: &[u8; 2] = b"tt";

/// The key of the newest inference of a topic.
pub(crate) fn newest_key(topic: u64) -> Vec<u8> {
    [&NEWEST[..], &topic.to_be_bytes()].concat()
}

/// The key of the inference of one epoch.
pub(crate) fn epoch_key(topic: u64, nonce: u64) -> Vec<u8> {
    [&BY_EPOCH[..], &topic.to_be_bytes(), &nonce.to_be_bytes()].concat()
}

/// The key of a topic.
pub(crate) fn topic_key(topic: u64) -> Vec<u8> {
    [&TOPICS[..], &topic.to_be_bytes()].concat()
}

/// A network inference.
#[derive(Clone, Debug, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Inference {
    /// Topic.
    pub topic: u64,
    /// Epoch: the block at whose end the question was asked.
    pub nonce: u64,
    /// One entry per label; topics of one label call it `y`.
    pub values: Vec<Label>,
    /// How many members it was made of.
    pub members: u32,
    /// Block at whose end it was made.
    pub at: u64,
    /// Time of that block, unix milliseconds.
    pub time_ms: u64,
}

/// One label of an inference.
#[derive(Clone, Debug, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Label {
    /// Name.
    pub label: String,
    /// What the network says. Finite.
    #[borsh(deserialize_with = "finite")]
    pub value: f64,
    /// Where the truth is expected: percentiles 2.28, 15.87, 50, 84.13 and 97.72. Finite.
    #[borsh(deserialize_with = "all_finite")]
    pub interval: [f64; 5],
}

/// A double as the chain writes it: never NaN, infinite or -0.
fn finite<R: io::Read>(from: &mut R) -> io::Result<f64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    let value = f64::from_le_bytes(bytes);
    if value.is_finite() && !(value == 0.0 && value.is_sign_negative()) {
        Ok(value)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not a finite number in its one form"))
    }
}

fn all_finite<R: io::Read>(from: &mut R) -> io::Result<[f64; 5]> {
    let mut all = [0.0; 5];
    for one in &mut all {
        *one = finite(from)?;
    }
    Ok(all)
}

impl Inference {
    /// Reads an inference that must fill `bytes` exactly.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        borsh::from_slice(bytes).ok()
    }
}
