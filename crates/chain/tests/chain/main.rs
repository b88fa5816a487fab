//! What the chain promises, said as tests on its public interface: every block of every test is followed by a
//! check of all invariants.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on should stop

mod abuse;
mod access;
mod audit;
mod bank;
mod determinism;
mod emissions;
mod epochs;
mod garbage;
mod genesis;
mod hostile;
mod kit;
mod labels;
mod losses;
mod messages;
mod queries;
mod sortition;
mod stakes;
mod supply;
mod topics;
mod transactions;
