//! The store itself: the kept versions of the tree in memory, and an engine that holds the values. A commit
//! reaches the engine first; only when that has succeeded does memory move on.

use crate::engine::{Commit, Engine, Staging, View};
use crate::memory::Memory;
use crate::proof::{EMPTY_ROOT, Proven, key_hash, value_hash};
use crate::tree::{LeafChange, Tree};
use crate::{Batch, Hash, Read, Record, RecordChange, RecordTable, StoreError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// How a store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory that the disk engine may use to cache its file, in bytes. The tree (about 210 bytes per key)
    /// comes on top. Ignored in memory.
    pub cache_bytes: usize,
    /// How many versions can be read and proven, the latest included; 0 counts as 1.
    pub keep_versions: u64,
}

impl Default for Config {
    /// 64 MiB of cache, 100 versions.
    fn default() -> Self {
        Config { cache_bytes: 64 << 20, keep_versions: 100 }
    }
}

/// A versioned, authenticated store; cloning gives another handle of the same one.
///
/// A store begins empty, without a version. The first commit may carry any version (a genesis of 0, say);
/// each later one carries the version after the latest.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    keep_versions: u64,
    engine: Box<dyn Engine>,
    /// One commit at a time.
    commits: Mutex<()>,
    /// The kept versions of the tree, oldest first, without a gap; empty in an empty store.
    versions: RwLock<VecDeque<(u64, Tree)>>,
}

/// A change of the tree, computed but not made: the root is known, the store is as it was.
///
/// Any number of changes may be prepared on one version; one of them can be committed.
pub struct Prepared {
    base: Option<u64>,
    base_root: Hash,
    tree: Tree,
    batch: Batch,
}

impl Prepared {
    /// The root that the store has once this is committed.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Latest version at the time of preparing; the commit succeeds only while it still is.
    pub fn base(&self) -> Option<u64> {
        self.base
    }

    /// The changed values.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("base", &self.base)
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

/// The values of one version, undisturbed by later commits; cloning is cheap.
///
/// On disk a snapshot keeps the pages it sees from being reused, in memory a commit copies the map of
/// values while one is alive: hold it for the length of a block or a query, not for ever.
#[derive(Clone)]
pub struct Snapshot {
    latest: Option<(u64, Hash)>,
    view: View,
}

impl Snapshot {
    /// The version, `None` for an empty store.
    pub fn version(&self) -> Option<u64> {
        self.latest.map(|(version, _)| version)
    }

    /// The root of that version.
    pub fn root(&self) -> Hash {
        self.latest.map_or(EMPTY_ROOT, |(_, root)| root)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view.get(key)
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.view.scan_from(prefix, start, visit)
    }
}

impl Store {
    /// An empty store in memory.
    pub fn memory(config: Config) -> Store {
        Store::assemble(config, Box::new(Memory::default()), VecDeque::new())
    }

    /// Opens the store file at `path`, or makes one there (by way of a file named `path` with `.new` added).
    ///
    /// The checksums of the file are verified, the tree is rebuilt from the values (seconds per million
    /// keys) and its root, like that of every older version kept, is compared with the one stored.
    ///
    /// # Errors
    /// [`StoreError::IsDirectory`], [`StoreError::NoFolder`], [`StoreError::NotWritable`],
    /// [`StoreError::NotAStore`], [`StoreError::Locked`], [`StoreError::NewerFormat`],
    /// [`StoreError::Damaged`] and [`StoreError::RootMismatch`] say what is wrong with the path or the
    /// file; a file that is no store is not touched.
    #[cfg(feature = "disk")]
    pub fn open(path: &std::path::Path, config: Config) -> Result<Store, StoreError> {
        let disk = crate::disk::Disk::open(path, config.cache_bytes)?;
        Store::on_disk(config, disk)
    }

    /// Opens a store on storage that the caller provides: for tests that lose writes, and for hosts
    /// without files. Errors as in [`Store::open`], except that storage on which a store was being made when
    /// it failed is [`StoreError::Damaged`].
    #[cfg(feature = "disk")]
    pub fn open_backend(backend: impl redb::StorageBackend, config: Config) -> Result<Store, StoreError> {
        let disk = crate::disk::Disk::open_backend(backend, config.cache_bytes)?;
        Store::on_disk(config, disk)
    }

    #[cfg(feature = "disk")]
    fn on_disk(config: Config, disk: crate::disk::Disk) -> Result<Store, StoreError> {
        let versions = disk.load_trees(config.keep_versions.max(1))?;
        Ok(Store::assemble(config, Box::new(disk), versions))
    }

    fn assemble(config: Config, engine: Box<dyn Engine>, versions: VecDeque<(u64, Tree)>) -> Store {
        let shared = Shared {
            keep_versions: config.keep_versions.max(1),
            engine,
            commits: Mutex::new(()),
            versions: RwLock::new(versions),
        };
        Store { shared: Arc::new(shared) }
    }

    /// The latest committed version, `None` while the store is empty.
    pub fn version(&self) -> Option<u64> {
        self.versions().back().map(|(version, _)| *version)
    }

    /// The oldest version that can still be read and proven, `None` while the store is empty.
    pub fn oldest_version(&self) -> Option<u64> {
        self.versions().front().map(|(version, _)| *version)
    }

    /// The root of the latest version; [`EMPTY_ROOT`] while the store is empty.
    pub fn root(&self) -> Hash {
        self.versions().back().map_or(EMPTY_ROOT, |(_, tree)| tree.root())
    }

    /// The root of a kept version; [`StoreError::UnknownVersion`] for any other.
    pub fn root_at(&self, version: u64) -> Result<Hash, StoreError> {
        Ok(self.tree_at(version)?.root())
    }

    /// The values of the latest version.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (latest, view) = self.shared.engine.view()?;
        Ok(Snapshot { latest, view })
    }

    /// The values of a kept version; [`StoreError::UnknownVersion`] for any other. To read an earlier version costs
    /// a look into what each later commit replaced.
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, StoreError> {
        // The tree is asked first: what is dropped between the two lines is an error of the second.
        let root = self.root_at(version)?;
        Ok(Snapshot { latest: Some((version, root)), view: self.shared.engine.view_at(version)? })
    }

    /// The value that a key had at a kept version; [`StoreError::UnknownVersion`] for any other.
    pub fn get_at(&self, version: u64, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.engine.view_at(version)?.get(key)
    }

    /// Computes what the batch makes of the latest version, and installs nothing.
    ///
    /// The cost is the hashing of the changed values and of their paths.
    pub fn prepare(&self, batch: Batch) -> Prepared {
        let (base, tree) = match self.versions().back() {
            Some((version, tree)) => (Some(*version), tree.clone()),
            None => (None, Tree::Empty),
        };
        let mut changes: Vec<LeafChange> = batch
            .changes()
            .iter()
            .map(|(key, value)| (key_hash(key), value.as_ref().map(|value| value_hash(value))))
            .collect();
        changes.sort_unstable_by_key(|(key_hash, _)| *key_hash);
        Prepared { base, base_root: tree.root(), tree: tree.apply(&changes), batch }
    }

    /// Makes a prepared change, with the records that belong to it, in one durable transaction; gives the
    /// new root.
    ///
    /// # Errors
    /// [`StoreError::WrongVersion`] unless the store is empty or `version` follows the latest,
    /// [`StoreError::StalePrepared`] if something else was committed since the change was prepared. In
    /// both cases, and when the disk refuses the write, nothing in memory has changed. After an error of
    /// the disk the store is closed for writing, and whether the commit is in the file is known only when
    /// it is opened again.
    pub fn commit(
        &self,
        version: u64,
        prepared: Prepared,
        records: Vec<RecordChange>,
    ) -> Result<Hash, StoreError> {
        // The lock protects no data, so a panic of an earlier holder leaves nothing behind.
        let _one_at_a_time = self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.version();
        let follows = match current {
            Some(current) => current.checked_add(1) == Some(version),
            None => version < u64::MAX,
        };
        if !follows {
            return Err(StoreError::WrongVersion { got: version, current });
        }
        if prepared.base != current || prepared.base_root != self.root() {
            return Err(StoreError::StalePrepared { prepared_on: prepared.base, current });
        }

        let root = prepared.root();
        let newest_dropped = version.checked_sub(self.shared.keep_versions);
        let oldest_kept =
            newest_dropped.map_or(0, |dropped| dropped + 1).max(self.oldest_version().unwrap_or(version));
        self.shared.engine.commit(Commit {
            version,
            root,
            changes: prepared.batch.into_changes(),
            keep_replaced: oldest_kept < version,
            oldest_kept,
            records,
        })?;

        let mut versions = self.shared.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.push_back((version, prepared.tree));
        while versions.front().is_some_and(|(version, _)| *version < oldest_kept) {
            versions.pop_front();
        }
        Ok(root)
    }

    /// The value of a raw key at a kept version, or its absence, with the proof of it.
    pub fn prove(&self, version: u64, key: &[u8]) -> Result<Proven, StoreError> {
        let tree = self.tree_at(version)?;
        let value = self.shared.engine.view_at(version)?.get(key)?;
        Ok(Proven { version, root: tree.root(), value, proof: tree.prove(&key_hash(key)) })
    }

    /// Changes records, all of them or none, durably.
    pub fn put_records(&self, changes: Vec<RecordChange>) -> Result<(), StoreError> {
        self.shared.engine.put_records(changes)
    }

    /// One record.
    pub fn record(&self, table: RecordTable, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.engine.record(table, key)
    }

    /// Records with keys from `from` on and, if `until` is given, before it: ascending, at most `limit`.
    pub fn records(
        &self,
        table: RecordTable,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.shared.engine.records(table, from, until, limit)
    }

    /// Records whose key begins with `prefix`: ascending, at most `limit`.
    pub fn records_with_prefix(
        &self,
        table: RecordTable,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.shared.engine.records(table, prefix, after_prefix(prefix).as_deref(), limit)
    }

    /// The record with the greatest key.
    pub fn last_record(&self, table: RecordTable) -> Result<Option<Record>, StoreError> {
        self.shared.engine.last_record(table)
    }

    /// A small fact about the whole store, such as the chain it belongs to.
    pub fn tag(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.engine.tag(name)
    }

    /// Sets a small fact about the whole store, durably.
    pub fn set_tag(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.shared.engine.set_tag(name, value)
    }

    pub(crate) fn staging(&self) -> Result<Box<dyn Staging>, StoreError> {
        self.shared.engine.stage()
    }

    /// Makes staged values, whose tree this is, the first version.
    pub(crate) fn install(
        &self,
        version: u64,
        tree: Tree,
        staging: Box<dyn Staging>,
        records: Vec<RecordChange>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if let current @ Some(_) = self.version() {
            return Err(StoreError::WrongVersion { got: version, current });
        }
        staging.finish(version, tree.root(), records)?;
        self.shared.versions.write().unwrap_or_else(PoisonError::into_inner).push_back((version, tree));
        Ok(())
    }

    pub(crate) fn tree_at(&self, version: u64) -> Result<Tree, StoreError> {
        let versions = self.versions();
        let oldest = versions.front().map(|(version, _)| *version);
        let latest = versions.back().map(|(version, _)| *version);
        let place = oldest.and_then(|oldest| usize::try_from(version.checked_sub(oldest)?).ok());
        match place.and_then(|place| versions.get(place)) {
            Some((_, tree)) => Ok(tree.clone()),
            None => Err(StoreError::UnknownVersion { version, oldest, latest }),
        }
    }

    fn versions(&self) -> RwLockReadGuard<'_, VecDeque<(u64, Tree)>> {
        // Pushing and popping whole versions leaves the queue whole even if it panics.
        self.shared.versions.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// The least key that is greater than every key with this prefix, if there is one.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}
