//! An inference anybody can check: the form of a proof, the form of what is trusted, and the verifier. No disk, no
//! network, no clock, no engine: whoever asks gives both documents and the time, and gets every step with its reason.
//! docs/protocol/proofs.md describes the same for those who write a verifier of their own.
#![forbid(unsafe_code)]

mod codec;
mod document;
mod inference;
mod trust;
mod verify;

pub use document::{Claim, FORMAT, FormatError, LightBlock, MAX_BYTES, MAX_LINKS, MAX_VALIDATORS, Proof};
pub use inference::{Inference, Label};
pub use trust::{TRUST_FORMAT, Trust, TrustError};
pub use verify::{MAX_DRIFT_MS, Policy, Report, Step, Trusted, verify};
