//! What happened, from where it can be looked up: a table in a file, JSON over HTTP from one source or from several that
//! must agree, another topic. Every truth comes with the raw answers it was read from, so that its hash can go to the chain as evidence
//! and the answers can be shown to whoever doubts it. Told to people in docs/roles.md.

mod feed;
mod losses;
mod table;
mod topic;

use sha2::{Digest, Sha256};

pub use feed::{Feed, Rules, Source};
pub use losses::{LossError, Yardstick, count};
pub use table::Table;
pub use topic::OtherTopic;

/// Most sources of one truth.
pub const MAX_SOURCES: usize = 16;
/// Largest answer of a source, bytes.
pub const MAX_BODY: u64 = 1 << 20;

/// One question: what came true in an epoch.
#[derive(Copy, Clone, Debug)]
pub struct Question<'a> {
    /// The topic's number.
    pub topic: u64,
    /// Consecutive number of the epoch.
    pub epoch: u64,
    /// Name of the epoch on the chain: the block that asked.
    pub nonce: u64,
    /// Time of that block, seconds since 1970; 0 for a source that needs no times.
    pub asked: i64,
    /// Time of the block after which truths are accepted, likewise.
    pub due: i64,
    /// First block in which truths are accepted.
    pub truth_first: u64,
    /// Labels of a topic of several; empty for a single number.
    pub labels: &'a [String],
}

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A number.
    Value(f64),
    /// The label that came true.
    Label(String),
    /// A number for each label.
    Labels(Vec<(String, f64)>),
}

/// One raw answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Where it is from.
    pub source: String,
    /// As it came.
    pub bytes: Vec<u8>,
}

/// A truth and what it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// What happened.
    pub happened: Happened,
    /// The answers that say so, in the order of the sources.
    pub raw: Vec<Raw>,
}

impl Truth {
    /// What goes to the chain beside the truth: SHA-256 of the one raw answer; of several, SHA-256 over their hashes.
    pub fn evidence(&self) -> [u8; 32] {
        let hash = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
        match self.raw.as_slice() {
            [one] => hash(&one.bytes),
            many => hash(&many.iter().flat_map(|raw| hash(&raw.bytes)).collect::<Vec<u8>>()),
        }
    }
}

/// Why there is no truth now. Asking again later is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum TruthError {
    #[error("{source_name}: {cause}")]
    Source { source_name: String, cause: String },
    #[error("{0} does not say yet")]
    NotYet(String),
    #[error("{agreeing} of {asked} sources agree, {wanted} must: {said}")]
    Disagreement { agreeing: usize, asked: usize, wanted: usize, said: String },
    #[error("{0}")]
    Rules(String),
}

/// Somewhere truth can be looked up.
pub trait TruthSource: Send {
    /// What people call it: a file, an address, a topic.
    fn name(&self) -> &str;

    /// Whether it must know the times of blocks.
    fn needs_time(&mut self) -> bool;

    /// Looks it up, at most as long as its limits say.
    ///
    /// # Errors
    /// [`TruthError`].
    fn look_up(&mut self, question: &Question<'_>) -> Result<Truth, TruthError>;
}
