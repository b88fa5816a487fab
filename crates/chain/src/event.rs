//! What happened, in words a subscriber can filter on: a kind and a few attributes; and the same in the words of
//! published clients, as messages ready to be shown.

use borsh::{BorshDeserialize, BorshSerialize};
use prost::{Message, Name};

/// One thing that happened in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// Such as `epoch_combined`.
    pub kind: String,
    /// Names and values, in the order they were added.
    pub attributes: Vec<(String, String)>,
    /// Place of the message that caused it within its transaction; 0 in events of a block.
    pub message: u32,
    /// The same for published clients; nothing where they have no word for it.
    pub published: Vec<Published>,
}

/// An event of a published schema.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Published {
    /// Full protobuf name, such as `emissions.v10.EventAddStake`.
    pub name: String,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Event {
    /// An event without attributes yet.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_string(), attributes: Vec::new(), message: 0, published: Vec::new() }
    }

    /// Adds an attribute.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.attributes.push((key.to_string(), value.to_string()));
        self
    }

    /// Adds what published clients are told.
    pub fn telling<M: Message + Name>(mut self, message: M) -> Self {
        self.published.push(Published { name: M::full_name(), bytes: message.encode_to_vec() });
        self
    }

    /// The same of several messages.
    pub fn telling_all<M: Message + Name>(self, messages: impl IntoIterator<Item = M>) -> Self {
        messages.into_iter().fold(self, Self::telling)
    }
}
