//! The state on disk and in memory against plain models; what lives on a disk needs the feature `disk`.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

#[cfg(feature = "disk")]
mod crash;
#[cfg(feature = "disk")]
mod export;
mod proofs;
mod tables;
#[cfg(feature = "disk")]
mod versions;
