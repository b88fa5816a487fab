//! Work has a price. A flat schedule: bytes, signatures and messages, each close to its measured cost, so that
//! a sender can compute the gas of a transaction with a pencil.

use crate::error::Coded;

/// Every transaction, before anything else.
pub const BASE: u64 = 20_000;
/// Per byte of the transaction.
pub const BYTE: u64 = 5;
/// Token transfer.
pub const SEND: u64 = 15_000;
/// Topic creation.
pub const CREATE_TOPIC: u64 = 60_000;
/// Registration, stake and funding.
pub const TOPIC_WRITE: u64 = 30_000;
/// An inference or a truth.
pub const SUBMIT: u64 = 20_000;
/// Delegating tokens, asking for them back, keeping them after all: a delegation, a validator and its rewards change.
pub const DELEGATION: u64 = 40_000;
/// Moving a delegation: two of each.
pub const REDELEGATION: u64 = 70_000;
/// A new validator, a change of its description or commission, its way out of jail.
pub const VALIDATOR: u64 = 60_000;
/// Collecting a reward or commission, naming the account that gets it.
pub const WITHDRAW: u64 = 25_000;
/// A new subnet, or the end of one.
pub const CREATE_SUBNET: u64 = 150_000;
/// A uid: all neurons of the subnet are looked at.
pub const REGISTER_NEURON: u64 = 120_000;
/// An order, or stake that moves.
pub const SUBNET_TRADE: u64 = 60_000;
/// A change of a few records of a subnet.
pub const SUBNET_WRITE: u64 = 40_000;
/// Weights, or a digest of them.
pub const SUBNET_WEIGHTS: u64 = 40_000;
/// Each weight.
pub const WEIGHT: u64 = 100;
/// Each record that is looked through for a key,
pub const LOOK: u64 = 200;
/// and each that gets another one.
pub const MOVED: u64 = 4_000;
/// Checking a second signature.
pub const SIGNATURE: u64 = 30_000;
/// Each account of a list, each label of a topic.
pub const LIST_ENTRY: u64 = 2_000;
/// Each reported loss.
pub const LOSS_ENTRY: u64 = 200;
/// Each predicted loss in a forecast, each labelled value.
pub const FORECAST_ELEMENT: u64 = 1_000;

/// Gas of one transaction.
#[derive(Clone, Debug)]
pub struct Meter {
    limit: u64,
    used: u64,
}

/// The limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of gas in location: {at}; gasWanted: {limit}, gasUsed: {used}: out of gas")]
pub struct OutOfGas {
    at: &'static str,
    limit: u64,
    used: u64,
}

impl Coded for OutOfGas {
    const CODESPACE: &'static str = "sdk";
    fn code(&self) -> u32 {
        11
    }
}

impl Meter {
    /// A meter that allows `limit` units.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }

    /// Takes `units` for the work named `at`.
    pub fn charge(&mut self, units: u64, at: &'static str) -> Result<(), OutOfGas> {
        self.used = self.used.saturating_add(units);
        if self.used > self.limit {
            return Err(OutOfGas { at, limit: self.limit, used: self.used });
        }
        Ok(())
    }

    /// Units taken so far, also beyond the limit.
    pub fn used(&self) -> u64 {
        self.used
    }
}
