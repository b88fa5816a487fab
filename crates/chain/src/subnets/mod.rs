//! The production market: in a subnet validators judge miners, what enough stake agrees on is paid. Formulas are in
//! `dodona_mechanism::subnet`; here is what they are fed with and what becomes of their results (docs/protocol/subnets.md).
//!
//! A block begins with the subnets' part of its emission (pools, accruals), then the epochs that are due; messages
//! follow; at its end all trades of every subnet are cleared at one price. Without a subnet nothing of this happens and
//! nothing is stored. Amounts are base units of 10^-9 of a token; the account `subnets` holds exactly
//! what pools, root stake and waiting orders add up to.

mod block;
mod book;
mod claim;
mod clear;
mod dissolve;
mod epoch;
mod error;
mod family;
pub(crate) mod handle;
pub(crate) mod invariants;
mod lock;
pub mod query;
mod rename;
pub mod rules;
pub mod state;

pub(crate) use block::{begin, end};

/// Codespace of subnet refusals.
pub const CODESPACE: &str = "subnets";
