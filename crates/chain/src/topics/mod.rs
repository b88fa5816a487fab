//! The prediction market: a topic asks a question again and again, workers answer, the network combines the
//! answers, reputers bring the truth, everybody is scored and paid.
//!
//! Life of an epoch: opened at the end of block n (its nonce) → payloads in blocks n+1 … n+worker_window → combined
//! at the end of the last of them → truths in truth_first … truth_last → scored and paid at the end of the last.
//! Every step is due in a block known when the epoch opens; nothing depends on what happens to be newest.

pub mod block;
pub mod handle;
pub mod query;
mod schedule;
mod score;
pub mod state;
mod void;

use dodona_proto::Address;

use crate::accounts;

pub use schedule::EMISSION_TOPICS;

/// Codespace of topic refusals.
pub const CODESPACE: &str = "emissions";

/// Holds the pots of all topics.
pub fn pot_account() -> Address {
    accounts::topics_pot()
}

/// Holds all stake on topics.
pub fn stake_account() -> Address {
    accounts::topics_stake()
}
