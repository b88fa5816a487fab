//! What the chain promises, said as tests on its public interface: every block of every test is followed by a
//! check of all invariants.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on should stop

mod abuse;
mod access;
mod amino;
mod audit;
mod bank;
mod determinism;
mod emissions;
mod epochs;
mod fees;
mod garbage;
mod gas;
mod genesis;
mod hostile;
mod kit;
mod labels;
mod losses;
mod messages;
mod older;
mod queries;
mod refusals;
mod seals;
mod sortition;
mod stakes;
mod staking;
mod staking_kit;
mod staking_laws;
mod staking_views;
mod subnet_claims;
mod subnet_hostile;
mod subnet_kit;
mod subnet_laws;
mod subnet_locks;
mod subnet_swaps;
mod subnet_words;
mod subnets;
mod supply;
mod told;
mod topics;
mod transactions;
mod upgrades;
