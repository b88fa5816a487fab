//! How work ends badly. A refusal is the caller's: it has a stable code and is recorded in a receipt.
//! A halt is our own: the disk or the state is broken, and no block may be produced on top of it.

use dodona_store::StoreError;

/// Why a transaction did not do what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Module that refused.
    pub codespace: &'static str,
    /// Stable number within the codespace, never 0.
    pub code: u32,
    /// Cause, fix and, where there is one, the next block at which it would succeed.
    pub log: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} {})", self.log, self.codespace, self.code)
    }
}

/// A module's error type names its codespace and numbers its variants.
pub trait Coded: std::error::Error {
    /// Module name as it stands in receipts.
    const CODESPACE: &'static str;

    /// Stable number of this variant, never reused, never 0.
    fn code(&self) -> u32;

    /// The refusal as it is recorded.
    fn refusal(&self) -> Refusal {
        Refusal { codespace: Self::CODESPACE, code: self.code(), log: self.to_string() }
    }
}

/// The two ways a handler can fail.
#[derive(Debug)]
pub enum Failure {
    /// The caller's fault: undo the transaction, write a receipt, go on.
    Refused(Refusal),
    /// Our fault: stop before anything is half-applied.
    Halt(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Halt(error)
    }
}

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Refused(error.refusal())
    }
}
