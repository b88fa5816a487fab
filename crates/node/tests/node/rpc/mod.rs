//! The CometBFT-shaped RPC of running nodes: shapes, proofs, searches, subscriptions, and what garbage does to it.

mod common;
mod methods;
mod searches;
mod sockets;
