//! Versioned, authenticated key/value state: typed tables over ordered raw keys, overlays with savepoints,
//! commits whose root is known before they are made, proofs of any value or absence, and whole versions in chunks. Without the
//! feature `disk` there is no engine: what remains checks proofs and keeps a store in memory.
#![forbid(unsafe_code)]

mod access;
#[cfg(feature = "disk")]
mod disk;
mod engine;
mod error;
mod export;
mod key;
mod memory;
mod overlay;
mod past;
pub mod proof;
mod record;
mod store;
mod table;
mod tree;

pub use access::{Read, Write};
pub use error::StoreError;
pub use export::{
    Export, Import, ImportError, MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_ENTRY_BYTES, Manifest, Piece,
};
pub use key::{All, KeyCode, KeyHead};
pub use overlay::{Batch, Change, NewValue, Overlay, Savepoint};
pub use proof::{EMPTY_ROOT, Proof, ProofError, Proven, verify};
pub use record::{Record, RecordChange, RecordTable};
pub use store::{Config, Prepared, Snapshot, Store};
pub use table::{Item, Map};

/// A SHA-256 hash.
pub type Hash = [u8; 32];
