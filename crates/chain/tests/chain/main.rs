//! What the chain promises, said as tests on its public interface: every block of every test is followed by a
//! check of all invariants.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on should stop

mod bank;
mod determinism;
mod epochs;
mod garbage;
mod genesis;
mod kit;
mod topics;
mod transactions;
