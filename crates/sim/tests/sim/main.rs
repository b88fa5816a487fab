//! Whole networks and long replays: what the rules are worth.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod network;
mod slow;
mod stories;
