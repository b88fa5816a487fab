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

/// The engine's words in votes and proposals: a block or nil; a round's number, nil or from 0; the kind of a vote.
pub use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
/// The key a validator signs with.
pub use ed25519_dalek::SigningKey;

pub use block::{Block, BlockError, Body, Evidence, Header, MAX_BLOCK_BYTES};
pub use certificate::{Certificate, CertificateError, verify_certificate, verify_signatures};
pub use light::{LightBlock, LightClient, LightError};
pub use signing::{Domain, KeyError, KeySigner, PublicKey, SignError, SignRequest, Signature, VoteSigner};
pub use types::{Address, BlockId, Hash32, Height, Validator, ValidatorSet, ValidatorSetError, sha256};
