//! The CometBFT-shaped RPC of running nodes: shapes, proofs, searches, subscriptions, and what garbage does to it.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod common;
mod methods;
mod searches;
mod sockets;
