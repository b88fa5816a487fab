//! Snapshots: the state after a block in one file, with everything that proves it and that a node needs to go on.
//! Made by [`create`], kept in a [`Shelf`], read over any [`SnapshotSource`], believed by way of an [`Anchor`].

mod anchor;
mod create;
mod fetch;
mod file;
mod join;
mod keep;
mod remote;
mod restore;
mod shelf;

use std::path::PathBuf;

use dodona_chain::AppError;
use dodona_consensus::{BlockError, CertificateError};
use dodona_store::{ImportError, StoreError};

pub use anchor::{Anchor, AnchorError};
pub use create::create;
pub use fetch::{Offer, SnapshotSource, fetch};
pub use file::{Beside, Head, Reader};
pub use join::{REQUEST_KIND, join};
pub use keep::Schedule;
pub(crate) use keep::follow;
pub use remote::Remote;
pub use restore::{Restored, into_store, restore};
pub use shelf::Shelf;

/// Why there is no snapshot, or why one is not used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file could not be made or read.
    #[error("{what} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not a snapshot, or one that was cut off.
    #[error("these bytes are no whole snapshot of this form: {0}; fetch or create it again")]
    Form(&'static str),
    /// Its parts do not belong together.
    #[error("the snapshot contradicts itself: {0}; take another one, from somebody else")]
    Lie(&'static str),
    /// Its certificate proves nothing.
    #[error("the snapshot's certificate proves nothing: {0}; take another one, from somebody else")]
    Certificate(#[from] CertificateError),
    /// Its block is none.
    #[error("the snapshot's block: {0}; take another one, from somebody else")]
    Block(#[from] BlockError),
    /// It does not follow from what is trusted.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A chunk is not the one that the certificate speaks of.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain in it is not one that this program continues.
    #[error(transparent)]
    App(#[from] AppError),
    /// The height has no block, or none any more.
    #[error(
        "block {height} is not kept here with its certificate and results: choose a height from {oldest} to {latest}"
    )]
    NoBlock {
        /// Asked for.
        height: u64,
        /// Oldest block kept.
        oldest: u64,
        /// Newest block.
        latest: u64,
    },
    /// The chain has no block yet.
    #[error("the chain has no block yet: there is nothing to take a snapshot of")]
    Genesis,
    /// The home has a chain already.
    #[error("{} exists: this home has a chain already; restore into another home, or move the file away", .0.display())]
    Occupied(PathBuf),
    /// Somebody far away does not answer.
    #[error("no answer: {0}")]
    Silent(String),
    /// Nobody had a snapshot that can be used.
    #[error("no source has a snapshot that can be used: {0}")]
    NoSource(String),
}

/// For `map_err`: what was tried on which path.
fn failed(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let path = path.to_path_buf();
    move |cause| SnapshotError::Io { what, path, cause }
}
