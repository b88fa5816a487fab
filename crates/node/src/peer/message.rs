//! What nodes say to each other, and what each word may hold. The meaning of the bytes ends here: behind this file only
//! well-formed messages are seen.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::tx::TxHash;

/// Most hashes in one message.
pub const MAX_HASHES: usize = 1_024;
/// Bytes after which a message with transactions is full; one transaction may go beyond it.
pub const TX_BYTES: usize = 256 << 10;
/// Longest message that is not an answer to a byte request.
pub const MAX_QUICK: usize = 1 << 20;
/// Most addresses in one message.
pub const MAX_ADDRESSES: usize = 16;
/// Longest key of a byte request.
pub const MAX_KEY: usize = 256;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// The first of each side. Chain, genesis and protocol are not in it: a line exists only where they agree.
    Hello {
        /// Last committed height.
        height: u64,
        /// Port on which this node takes connections; 0 if it does not.
        listen: u16,
        /// Program and version, for people.
        software: String,
    },
    /// I am here, at this height.
    Ping {
        /// Last committed height.
        height: u64,
    },
    /// These transactions wait here.
    Have(Vec<TxHash>),
    /// Send me these; only what was announced may be asked for.
    Want(Vec<TxHash>),
    /// Here they are.
    Txs(Vec<Vec<u8>>),
    /// These no longer wait here.
    Gone(Vec<TxHash>),
    /// Whom do you know?
    AskPeers,
    /// Some addresses, `ID@IP:PORT`.
    Peers(Vec<String>),
    /// A byte request.
    Ask {
        /// Chosen by who asks, told again in the answer.
        number: u32,
        /// Which service.
        kind: u8,
        /// What of it.
        key: Vec<u8>,
    },
    /// Its answer; the only message of the slow channel.
    Answer {
        /// Of the question.
        number: u32,
        /// None if there is no such thing here.
        found: Option<Vec<u8>>,
    },
}

/// Bytes that are no message.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// They do not decode, or go on after the message.
    #[error("bytes are no message of this protocol")]
    Form,
    /// More in it than may be.
    #[error("message holds more than it may")]
    Bounds,
}

impl Message {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Writing into memory does not fail.
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        let message: Self = borsh::from_slice(bytes).map_err(|_| BadMessage::Form)?;
        let fits = match &message {
            Self::Hello { software, .. } => software.len() <= 64 && !software.chars().any(char::is_control),
            Self::Have(hashes) | Self::Want(hashes) | Self::Gone(hashes) => hashes.len() <= MAX_HASHES,
            Self::Txs(txs) => txs.len() <= MAX_HASHES,
            Self::Peers(addresses) => {
                addresses.len() <= MAX_ADDRESSES && addresses.iter().all(|address| address.len() <= 128)
            }
            Self::Ask { key, .. } => key.len() <= MAX_KEY,
            Self::Ping { .. } | Self::AskPeers | Self::Answer { .. } => true,
        };
        if fits { Ok(message) } else { Err(BadMessage::Bounds) }
    }
}
