//! The prediction market: a topic asks a question again and again, workers answer, the network combines the
//! answers, reputers bring the truth, everybody is scored and paid.
//!
//! Life of an epoch: opened at the end of block n (its nonce) → payloads in blocks n+1 … n+worker_window → combined
//! at the end of the last of them → reports in truth_first … truth_last → scored and paid at the end of the last.
//! Every step is due in a block known when the epoch opens; nothing depends on what happens to be newest.

mod admit;
pub mod block;

pub mod handle;
pub mod judge;
pub mod label;
pub mod lists;
pub mod query;

pub mod schedule;
mod score;
pub mod stake;
pub mod state;
mod tell;
mod void;

use dodona_proto::Address;

use crate::accounts;

/// Codespace of topic refusals.
pub const CODESPACE: &str = "emissions";

/// Holds what topics will pay their participants.
pub fn topics_rewards() -> Address {
    accounts::topics_rewards()
}

/// Holds all stake on topics.
pub fn stake_account() -> Address {
    accounts::topics_stake()
}

/// Holds rewards that delegators have not collected yet.
pub fn topics_pending() -> Address {
    accounts::topics_pending()
}
