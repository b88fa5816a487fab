//! The engine on disk: one redb file with the values, the values that recent commits replaced, the roots
//! of the kept versions, and the records. The only code of the house that knows the file.

use crate::engine::{Commit, Engine, Staging, View};
use crate::past::{Old, Past, Replaced};
use crate::proof::{key_hash, value_hash};
use crate::tree::{LeafChange, Tree};
use crate::{Hash, Read, Record, RecordChange, RecordTable, StoreError};
use redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError, WriteTransaction,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of the layout below. A file with a greater one is refused.
const FORMAT: u32 = 1;

/// What every redb file begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Values of the latest version.
const VALUES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("values");
/// For a commit of some version and a key that it changed: the value before, `None` for absence.
const REPLACED: TableDefinition<(u64, &[u8]), Option<&[u8]>> = TableDefinition::new("replaced");
/// Roots of the kept versions.
const ROOTS: TableDefinition<u64, [u8; 32]> = TableDefinition::new("roots");
/// Facts about the store that the caller keeps.
const TAGS: TableDefinition<&str, &[u8]> = TableDefinition::new("tags");
/// Facts about the file: only "format" so far.
const FILE: TableDefinition<&str, u32> = TableDefinition::new("file");

pub(crate) struct Disk {
    database: Database,
}

impl Disk {
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Disk, StoreError> {
        match inspect(path)? {
            Found::Nothing => Disk::make(path, cache_bytes).map_err(|error| at_path(error, path))?,
            // A crash may have left the name under which the file was made.
            Found::Store => drop(std::fs::remove_file(unfinished(path))),
        }
        Disk::open_file(path, cache_bytes).map_err(|error| at_path(error, path))
    }

    /// Makes an empty store beside `path` and gives it its name only when it is whole, because a crash in
    /// the middle would leave a file that the engine can neither read nor make anew.
    fn make(path: &Path, cache_bytes: usize) -> Result<(), StoreError> {
        let unfinished = unfinished(path);
        match Disk::open_file(&unfinished, cache_bytes) {
            Ok(made) => drop(made),
            Err(StoreError::Damaged { .. } | StoreError::NotAStore { .. }) => {
                std::fs::remove_file(&unfinished)?;
                drop(Disk::open_file(&unfinished, cache_bytes)?);
            }
            Err(error) => return Err(error),
        }
        // A second name instead of a new one: it never replaces a store that another process made meanwhile.
        match std::fs::hard_link(&unfinished, path) {
            Ok(()) => std::fs::remove_file(&unfinished)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => std::fs::remove_file(&unfinished)?,
            Err(_) => std::fs::rename(&unfinished, path)?,
        }
        // Without this a power cut could take the name although the content was synced.
        std::fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all())?;
        Ok(())
    }

    fn open_file(path: &Path, cache_bytes: usize) -> Result<Disk, StoreError> {
        Disk::from_database(builder(cache_bytes).create(path)?)
    }

    pub(crate) fn open_backend(backend: impl StorageBackend, cache_bytes: usize) -> Result<Disk, StoreError> {
        Disk::from_database(builder(cache_bytes).create_with_backend(backend)?)
    }

    fn from_database(database: Database) -> Result<Disk, StoreError> {
        let read = database.begin_read()?;
        let is_empty = read.list_tables()?.next().is_none() && read.list_multimap_tables()?.next().is_none();
        if !is_empty {
            let format = match read.open_table(FILE) {
                Ok(file) => file.get("format")?.map(|format| format.value()),
                Err(_) => None,
            };
            return match format {
                None => Err(StoreError::NotAStore { path: PathBuf::new() }),
                Some(found) if found > FORMAT => Err(StoreError::NewerFormat { found, known: FORMAT }),
                Some(_) => Ok(Disk { database }),
            };
        }

        let write = begin_write(&database)?;
        write.open_table(VALUES)?;
        write.open_table(REPLACED)?;
        write.open_table(ROOTS)?;
        write.open_table(TAGS)?;
        write.open_table(FILE)?.insert("format", FORMAT)?;
        write.commit()?;
        Ok(Disk { database })
    }

    /// The trees of the kept versions (at most `keep`), oldest first: the latest from the values, each older
    /// one from what was replaced, and every root compared with the stored one.
    pub(crate) fn load_trees(&self, keep: u64) -> Result<VecDeque<(u64, Tree)>, StoreError> {
        let read = self.database.begin_read()?;
        let mut leaves = Vec::new();
        for entry in read.open_table(VALUES)?.iter()? {
            let (key, value) = entry?;
            leaves.push((key_hash(key.value()), value_hash(value.value())));
        }
        leaves.sort_unstable();
        let mut tree = Tree::build(&leaves);
        drop(leaves);

        let replaced = read.open_table(REPLACED)?;
        let mut trees: VecDeque<(u64, Tree)> = VecDeque::new();
        for entry in read.open_table(ROOTS)?.iter()?.rev() {
            let (version, root) = entry?;
            let (version, stored) = (version.value(), root.value());
            if trees.len() as u64 == keep || trees.front().is_some_and(|(next, _)| version + 1 != *next) {
                break;
            }
            if !trees.is_empty() {
                let mut changes: Vec<LeafChange> = Vec::new();
                for entry in replaced.range((version + 1, &[][..])..(version + 2, &[][..]))? {
                    let (key, value) = entry?;
                    changes.push((key_hash(key.value().1), value.value().map(value_hash)));
                }
                changes.sort_unstable();
                tree = tree.apply(&changes);
            }
            let computed = tree.root();
            if computed != stored {
                return Err(StoreError::RootMismatch { version, stored, computed });
            }
            trees.push_front((version, tree.clone()));
        }
        if trees.is_empty() && tree.root() != crate::EMPTY_ROOT {
            return Err(StoreError::Damaged { detail: "there are values, but no version".to_owned() });
        }
        Ok(trees)
    }
}

impl Engine for Disk {
    fn view(&self) -> Result<(Option<(u64, Hash)>, View), StoreError> {
        let read = self.database.begin_read()?;
        let latest = read.open_table(ROOTS)?.last()?.map(|(version, root)| (version.value(), root.value()));
        Ok((latest, Arc::new(Values { table: read.open_table(VALUES)? })))
    }

    fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let write = begin_write(&self.database)?;
        {
            let mut values = write.open_table(VALUES)?;
            let mut replaced = write.open_table(REPLACED)?;
            let mut roots = write.open_table(ROOTS)?;
            for (key, value) in &commit.changes {
                let old = match value {
                    Some(value) => values.insert(key.as_slice(), value.as_slice())?,
                    None => values.remove(key.as_slice())?,
                };
                if commit.keep_replaced {
                    let old = old.as_ref().map(|old| old.value());
                    replaced.insert((commit.version, key.as_slice()), old)?;
                }
            }
            roots.insert(commit.version, commit.root)?;
            // To read the oldest kept version takes the replaced values of the commits after it.
            replaced.retain_in(..(commit.oldest_kept.saturating_add(1), &[][..]), |_, _| false)?;
            roots.retain_in(..commit.oldest_kept, |_, _| false)?;
        }
        change_records(&write, commit.records)?;
        write.commit()?;
        Ok(())
    }

    fn view_at(&self, version: u64) -> Result<View, StoreError> {
        let read = self.database.begin_read()?;
        let roots = read.open_table(ROOTS)?;
        let oldest = roots.first()?.map(|(version, _)| version.value());
        let latest = roots.last()?.map(|(version, _)| version.value());
        let (Some(first), Some(last)) = (oldest, latest) else {
            return Err(StoreError::UnknownVersion { version, oldest, latest });
        };
        if version < first || version > last {
            return Err(StoreError::UnknownVersion { version, oldest, latest });
        }
        // All from one read transaction: a commit meanwhile changes none of it.
        let values: View = Arc::new(Values { table: read.open_table(VALUES)? });
        if version == last {
            return Ok(values);
        }
        let replaced = Undo { table: read.open_table(REPLACED)? };
        Ok(Arc::new(Past { values, replaced, later: version + 1..=last }))
    }

    fn put_records(&self, changes: Vec<RecordChange>) -> Result<(), StoreError> {
        let write = begin_write(&self.database)?;
        change_records(&write, changes)?;
        write.commit()?;
        Ok(())
    }

    fn record(&self, table: RecordTable, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(records) = open_records(&self.database.begin_read()?, table)? else { return Ok(None) };
        Ok(records.get(key)?.map(|value| value.value().to_vec()))
    }

    fn records(
        &self,
        table: RecordTable,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        let Some(records) = open_records(&self.database.begin_read()?, table)? else { return Ok(found) };
        for entry in records.range(from..)?.take(limit) {
            let (key, value) = entry?;
            if until.is_some_and(|until| key.value() >= until) {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn last_record(&self, table: RecordTable) -> Result<Option<Record>, StoreError> {
        let Some(records) = open_records(&self.database.begin_read()?, table)? else { return Ok(None) };
        Ok(records.last()?.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
    }

    fn stage(&self) -> Result<Box<dyn Staging>, StoreError> {
        Ok(Box::new(Staged { write: begin_write(&self.database)? }))
    }

    fn tag(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let tags = self.database.begin_read()?.open_table(TAGS)?;
        Ok(tags.get(name)?.map(|value| value.value().to_vec()))
    }

    fn set_tag(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let write = begin_write(&self.database)?;
        write.open_table(TAGS)?.insert(name, value)?;
        write.commit()?;
        Ok(())
    }
}

/// One transaction that is not committed before everything is in it; dropped, it is rolled back.
struct Staged {
    write: WriteTransaction,
}

impl Staging for Staged {
    fn put(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        let mut values = self.write.open_table(VALUES)?;
        for (key, value) in entries {
            values.insert(key.as_slice(), value.as_slice())?;
        }
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        version: u64,
        root: Hash,
        records: Vec<RecordChange>,
    ) -> Result<(), StoreError> {
        self.write.open_table(ROOTS)?.insert(version, root)?;
        change_records(&self.write, records)?;
        self.write.commit()?;
        Ok(())
    }
}

type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The values of the version that was the latest when the transaction behind the table began.
struct Values {
    table: RawTable,
}

impl Read for Values {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for entry in self.table.range(start.max(prefix)..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) || !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

/// What commits replaced, as the same transaction sees it.
struct Undo {
    table: ReadOnlyTable<(u64, &'static [u8]), Option<&'static [u8]>>,
}

impl Replaced for Undo {
    fn get(&self, commit: u64, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        Ok(self.table.get((commit, key))?.map(|old| old.value().map(<[u8]>::to_vec)))
    }

    fn from<'a>(
        &'a self,
        commit: u64,
        start: &[u8],
    ) -> Result<Box<dyn Iterator<Item = Old> + 'a>, StoreError> {
        let entries = self.table.range((commit, start)..(commit.saturating_add(1), &[][..]))?;
        Ok(Box::new(entries.map(|entry| {
            let (key, old) = entry?;
            Ok((key.value().1.to_vec(), old.value().map(<[u8]>::to_vec)))
        })))
    }
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    // Opening reads every value anyway, and a damaged file that is trusted can make the engine panic.
    builder.set_check_integrity_on_open(true);
    builder
}

/// A transaction that is durable when its commit returns. Two phases, because strangers choose what is in
/// the values: a single phase would rest on a checksum that can be forged.
fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut write = database.begin_write()?;
    write.set_two_phase_commit(true);
    Ok(write)
}

/// The engine's name of a table of records, which can never be that of one of the tables above.
fn records_name(table: RecordTable) -> String {
    format!("record/{}", table.name())
}

fn open_records(read: &ReadTransaction, table: RecordTable) -> Result<Option<RawTable>, StoreError> {
    match read.open_table(TableDefinition::new(&records_name(table))) {
        Ok(records) => Ok(Some(records)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn change_records(write: &WriteTransaction, changes: Vec<RecordChange>) -> Result<(), StoreError> {
    for change in changes {
        let (RecordChange::Put { table, .. }
        | RecordChange::Delete { table, .. }
        | RecordChange::DeleteBelow { table, .. }) = &change;
        let name = records_name(*table);
        let mut records = write.open_table(TableDefinition::<&[u8], &[u8]>::new(&name))?;
        match &change {
            RecordChange::Put { key, value, .. } => {
                records.insert(key.as_slice(), value.as_slice())?;
            }
            RecordChange::Delete { key, .. } => {
                records.remove(key.as_slice())?;
            }
            RecordChange::DeleteBelow { key, .. } => records.retain_in(..key.as_slice(), |_, _| false)?,
        }
    }
    Ok(())
}

/// What is at a path.
enum Found {
    Nothing,
    Store,
}

/// Looks at a path before the engine does, so that nothing but a store or a new file is ever written to.
fn inspect(path: &Path) -> Result<Found, StoreError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound && folder_of(path).is_dir() => {
            return Ok(Found::Nothing);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NoFolder { path: path.to_owned() });
        }
        Err(error) => return Err(at_path(error.into(), path)),
    };
    if metadata.is_dir() {
        return Err(StoreError::IsDirectory { path: path.to_owned() });
    }
    if !metadata.is_file() {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| at_path(error.into(), path))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start == MAGIC { Ok(Found::Store) } else { Err(StoreError::NotAStore { path: path.to_owned() }) }
}

/// The name that a store file has while it is being made.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Puts the path into the errors that are about it.
fn at_path(error: StoreError, path: &Path) -> StoreError {
    let path = path.to_owned();
    match error {
        StoreError::NotAStore { .. } => StoreError::NotAStore { path },
        StoreError::Locked { .. } => StoreError::Locked { path },
        StoreError::Io(error)
            if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            StoreError::NotWritable { path }
        }
        other => other,
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    StoreError::DiskFull
                }
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                    StoreError::Damaged { detail: error.to_string() }
                }
                _ => StoreError::Io(error),
            },
            redb::Error::Corrupted(detail) => StoreError::Damaged { detail },
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Closed,
            redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path: PathBuf::new() },
            other => StoreError::Engine(Box::new(other)),
        }
    }
}

macro_rules! from_engine {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_engine!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);
