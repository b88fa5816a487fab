//! Snapshots of somebody far away: two questions in bytes, answered from a [`Shelf`], asked over whatever carries bytes.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Offer, Shelf, SnapshotError, SnapshotSource, file::RANGE_BYTES};

/// Most offers in an answer.
const MAX_OFFERS: usize = 64;

/// A question; its encoding is the key of a byte request.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Question {
    /// Which snapshots are there?
    List,
    /// A part of one.
    Part {
        /// Of its block.
        height: u64,
        /// First byte.
        offset: u64,
        /// How many, at most 1 MiB.
        length: u32,
    },
}

impl Shelf {
    /// Answers a question of a [`Remote`], in at most 1 MiB; nothing if there is no such thing, or it is no question.
    pub fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        match borsh::from_slice(question).ok()? {
            Question::List => {
                let mut offers = self.list().ok()?;
                let newest = offers.split_off(offers.len().saturating_sub(MAX_OFFERS));
                borsh::to_vec(&newest).ok()
            }
            Question::Part { height, offset, length } => self.read(height, offset, length as usize).ok(),
        }
    }
}

/// Somebody who is asked by `ask`, which carries a question there and the answer back.
pub struct Remote<F> {
    name: String,
    ask: F,
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync> Remote<F> {
    /// `name` is for messages. `ask` answers in bounded time, or says why not.
    pub fn new(name: impl Into<String>, ask: F) -> Self {
        Self { name: name.into(), ask }
    }

    fn ask(&self, question: Question) -> Result<Vec<u8>, SnapshotError> {
        let key = borsh::to_vec(&question).map_err(|e| SnapshotError::Silent(e.to_string()))?;
        let answer = (self.ask)(&key).map_err(SnapshotError::Silent)?;
        if answer.len() > RANGE_BYTES {
            return Err(SnapshotError::Form("an answer is longer than asked for"));
        }
        Ok(answer)
    }
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync> SnapshotSource for Remote<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn list(&self) -> Result<Vec<Offer>, SnapshotError> {
        let answer = self.ask(Question::List)?;
        borsh::from_slice(&answer).map_err(|_| SnapshotError::Form("a list of snapshots does not decode"))
    }

    fn read(&self, height: u64, offset: u64, length: usize) -> Result<Vec<u8>, SnapshotError> {
        self.ask(Question::Part { height, offset, length: u32::try_from(length).unwrap_or(u32::MAX) })
    }
}
