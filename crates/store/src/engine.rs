//! What the store asks of the thing that holds values, undo entries and records. Two things answer:
//! memory and the disk.

use crate::{Change, Hash, Read, Record, RecordChange, RecordTable, StoreError};
use std::sync::Arc;

/// One commit, complete.
pub(crate) struct Commit {
    pub(crate) version: u64,
    pub(crate) root: Hash,
    /// Sorted by key and unique.
    pub(crate) changes: Vec<Change>,
    /// Whether the replaced values are to be kept, so that the version before can still be read.
    pub(crate) keep_replaced: bool,
    /// The oldest version that stays readable after this commit.
    pub(crate) oldest_kept: u64,
    pub(crate) records: Vec<RecordChange>,
}

/// Values that do not change any more.
pub(crate) type View = Arc<dyn Read + Send + Sync>;

pub(crate) trait Engine: Send + Sync {
    /// The latest version with its root, if there is one, and its values.
    fn view(&self) -> Result<(Option<(u64, Hash)>, View), StoreError>;

    /// Makes all of the commit, or none of it.
    fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// The values of a kept version; [`StoreError::UnknownVersion`] for any other.
    fn view_at(&self, version: u64) -> Result<View, StoreError>;

    /// Changes records, all of them or none.
    fn put_records(&self, changes: Vec<RecordChange>) -> Result<(), StoreError>;

    fn record(&self, table: RecordTable, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Records from `from` to before `until`, ascending, at most `limit`.
    fn records(
        &self,
        table: RecordTable,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    fn last_record(&self, table: RecordTable) -> Result<Option<Record>, StoreError>;

    /// Begins to fill an empty engine with the values of one version.
    fn stage(&self) -> Result<Box<dyn Staging>, StoreError>;

    fn tag(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    fn set_tag(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;
}

/// Values on their way into an empty engine. Dropped, they leave nothing behind.
pub(crate) trait Staging: Send {
    /// Adds entries whose keys were not added before.
    fn put(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError>;

    /// Makes all of them the engine's first version, with records, durably.
    fn finish(
        self: Box<Self>,
        version: u64,
        root: Hash,
        records: Vec<RecordChange>,
    ) -> Result<(), StoreError>;
}
