//! What can go wrong in the store, in one enum: every variant names the thing an operator or a caller
//! has to change, and none of them is a bare string.

use thiserror::Error;

/// An error of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A value (or a key) that a typed table holds does not decode as its declared type.
    #[error("stored entry {key:02x?} of namespace {namespace:02x?} does not decode")]
    Corrupt {
        /// Namespace of the table.
        namespace: [u8; 2],
        /// Whole raw key, namespace included.
        key: Vec<u8>,
    },
    /// A commit named another version than the one that follows the latest.
    #[error("commit of version {got}, but the store is at {current:?}")]
    WrongVersion {
        /// Version that the caller named.
        got: u64,
        /// Latest committed version, `None` in an empty store.
        current: Option<u64>,
    },
    /// A prepared change was computed on another state than the one it should be committed on.
    #[error("the change was prepared on version {prepared_on:?}, but the store is at {current:?}")]
    StalePrepared {
        /// Version that was the latest when the change was prepared.
        prepared_on: Option<u64>,
        /// Latest committed version now.
        current: Option<u64>,
    },
    /// The version is not kept: never committed, or pruned.
    #[error("version {version} is not kept (kept: {oldest:?} to {latest:?})")]
    UnknownVersion {
        /// Version that was asked for.
        version: u64,
        /// Oldest version kept.
        oldest: Option<u64>,
        /// Latest version.
        latest: Option<u64>,
    },
    /// The tree rebuilt from the stored values has another root than the one stored with them.
    #[error(
        "values of version {version} hash to {computed}, but the file says {stored}: the file is damaged, \
         recover it from a snapshot or from peers",
        computed = Hex(.computed),
        stored = Hex(.stored)
    )]
    RootMismatch {
        /// Version whose values were hashed.
        version: u64,
        /// Root written at the commit.
        stored: crate::Hash,
        /// Root of the values found.
        computed: crate::Hash,
    },
    /// An input or output error that none of the other variants describes.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
    /// The disk has no room left; nothing of the refused change was kept.
    #[error("the disk is full")]
    DiskFull,
    /// An earlier write failed, so the file is closed for writing until the store is opened again.
    #[error("an earlier disk error closed the store: open it again")]
    Closed,
    /// The store file contradicts itself (torn, cut or overwritten by something else).
    #[error("the store file is damaged: {detail}")]
    Damaged {
        /// What the engine found.
        detail: String,
    },
    /// The path names a directory; a store is one file.
    #[error("{} is a directory, a store is one file", path.display())]
    IsDirectory {
        /// The path.
        path: std::path::PathBuf,
    },
    /// The folder that should hold the store file does not exist.
    #[error("the folder of {} does not exist", path.display())]
    NoFolder {
        /// The path.
        path: std::path::PathBuf,
    },
    /// The file or its folder may not be written.
    #[error("{} may not be written", path.display())]
    NotWritable {
        /// The path.
        path: std::path::PathBuf,
    },
    /// The file is something else than a store; it was not touched.
    #[error("{} is not a store file", path.display())]
    NotAStore {
        /// The path.
        path: std::path::PathBuf,
    },
    /// Another process (or another handle in this one) has the store open.
    #[error("{} is open in another process", path.display())]
    Locked {
        /// The path.
        path: std::path::PathBuf,
    },
    /// The file was written by a newer version of this software.
    #[error("the store file has format {found}, this build knows up to {known}: use a newer build")]
    NewerFormat {
        /// Format number in the file.
        found: u32,
        /// Newest format number that this build reads.
        known: u32,
    },
    /// The engine refused an operation for a reason that none of the other variants describes.
    #[cfg(feature = "disk")]
    #[error("store engine: {0}")]
    Engine(Box<redb::Error>),
}

/// Writes a hash as lower-case hexadecimal digits.
struct Hex<'a>(&'a crate::Hash);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
