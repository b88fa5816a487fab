//! The wire: what travels between clients and the chain. Generated message types, account addresses,
//! transaction envelopes and their signatures; nothing here knows the state of the chain.

mod address;
mod json;
pub mod sign;
pub mod tx;

pub use address::{Address, AddressError, PREFIX};

/// The token's base unit: 10⁻¹⁸ ALLO.
pub const DENOM: &str = "uallo";
/// Base units in one ALLO.
pub const ALLO: u128 = 1_000_000_000_000_000_000;

#[allow(missing_docs, clippy::all)] // Generated: the documentation is in the .proto files.
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}
pub use wire::{cosmos, dodona};

/// Our own topic messages and queries.
pub mod topics {
    pub use crate::wire::dodona::topics::v1::*;
}

/// Queries about the chain itself.
pub mod chain {
    pub use crate::wire::dodona::chain::v1::*;
}

/// Type URLs of the messages the chain understands, as they stand in an `Any`.
pub mod url {
    /// Token transfer.
    pub const SEND: &str = "/cosmos.bank.v1beta1.MsgSend";
    /// Account public key.
    pub const SECP256K1: &str = "/cosmos.crypto.secp256k1.PubKey";
    /// Create a topic.
    pub const CREATE_TOPIC: &str = "/dodona.topics.v1.MsgCreateTopic";
    /// Register as worker or reputer.
    pub const REGISTER: &str = "/dodona.topics.v1.MsgRegister";
    /// Stake on a topic as its reputer.
    pub const ADD_STAKE: &str = "/dodona.topics.v1.MsgAddStake";
    /// Pay for a topic's answers.
    pub const FUND_TOPIC: &str = "/dodona.topics.v1.MsgFundTopic";
    /// Inference and forecast of one epoch.
    pub const SUBMIT: &str = "/dodona.topics.v1.MsgSubmitPayload";
    /// What happened.
    pub const REPORT_TRUTH: &str = "/dodona.topics.v1.MsgReportTruth";
}

/// Names under which [`crate::topics`] and [`crate::chain`] queries are asked.
pub mod path {
    /// Chain id, height, root, supply.
    pub const STATUS: &str = "/dodona.chain.v1.Query/Status";
    /// Number, sequence and balance of an account.
    pub const ACCOUNT: &str = "/dodona.chain.v1.Query/Account";
    /// One topic.
    pub const TOPIC: &str = "/dodona.topics.v1.Query/Topic";
    /// All topics, by page.
    pub const TOPICS: &str = "/dodona.topics.v1.Query/Topics";
    /// Open windows of a topic.
    pub const WINDOWS: &str = "/dodona.topics.v1.Query/Windows";
    /// One epoch with inference, members, truth and scores.
    pub const EPOCH: &str = "/dodona.topics.v1.Query/Epoch";
    /// A run of epochs, by page.
    pub const EPOCHS: &str = "/dodona.topics.v1.Query/Epochs";
    /// Who is how good and earned what.
    pub const LEADERBOARD: &str = "/dodona.topics.v1.Query/Leaderboard";
}
