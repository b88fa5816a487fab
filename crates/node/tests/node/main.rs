//! What a node promises, asked from outside: its doors, its memory, its peers, its validators.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod dashboard;
mod doors;
mod gateway;
mod keep;
mod mempool;
mod network;
mod peer;
mod proofs;
mod rpc;
mod solo;
mod staking;
