//! Blocks, certificates and the engine; whole engines need the feature `engine`.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod block;
mod common;
#[cfg(feature = "engine")]
mod engine;
mod light;
#[cfg(all(unix, feature = "engine"))]
mod signer;
mod sim;
