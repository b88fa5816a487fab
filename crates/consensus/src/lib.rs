//! Dodona's consensus: blocks and votes, their signatures, and the proof that a block was decided.
//! Without features it is what a light client needs, with no runtime and no network. The feature
//! `engine` adds [`engine`], the only place in Dodona that knows the BFT library.

pub mod block;
pub mod certificate;
pub mod light;
pub mod signing;
pub mod types;

#[cfg(feature = "engine")]
pub mod engine;

/// The engine's number of a round: nil, or some number from 0. Occurs in votes and proposals.
pub use arc_malachitebft_core_types::Round;
/// The key a validator signs with.
pub use ed25519_dalek::SigningKey;

pub use block::{Block, BlockError, Body, Evidence, Header, MAX_BLOCK_BYTES};
pub use certificate::{Certificate, CertificateError, verify_certificate};
pub use light::{LightBlock, LightClient, LightError};
pub use signing::{Domain, KeyError, KeySigner, PublicKey, Signature};
pub use types::{Address, BlockId, Hash32, Height, Validator, ValidatorSet, ValidatorSetError, sha256};
