//! What happened, in words a subscriber can filter on: a kind and a few attributes.

use borsh::{BorshDeserialize, BorshSerialize};

/// One thing that happened in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// Such as `epoch_combined`.
    pub kind: String,
    /// Names and values, in the order they were added.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// An event without attributes yet.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_string(), attributes: Vec::new() }
    }

    /// Adds an attribute.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.attributes.push((key.to_string(), value.to_string()));
        self
    }
}
