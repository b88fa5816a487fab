//! Crashes: a child process killed at random moments of its commits, and storage that loses, cuts and
//! tears the writes that were not synced. Whatever is found afterwards is one of the committed states.

use dodona_store::{Batch, Config, Hash, Read, RecordChange, RecordTable, Store, StoreError};
use redb::StorageBackend;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BLOCKS: RecordTable = RecordTable::new("blocks");
const CHILD_FOLDER: &str = "DODONA_STORE_CRASH_FOLDER";

fn config() -> Config {
    Config { cache_bytes: 1 << 20, keep_versions: 8 }
}

/// A small generator, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What version `version` changes: a function of the version, so that everybody can compute it.
fn changes(version: u64) -> Batch {
    let mut dice = Dice(version.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let changes = (0..30).map(|_| {
        let key = dice.roll(400).to_be_bytes().to_vec();
        let length = dice.roll(1200) as usize;
        (key, (dice.roll(4) > 0).then(|| vec![dice.roll(256) as u8; length]))
    });
    Batch::from_changes(changes.collect::<Vec<_>>())
}

fn commit_next(store: &Store) -> Result<(u64, Hash), StoreError> {
    let version = store.version().map_or(0, |version| version + 1);
    let record = RecordChange::put(BLOCKS, version.to_be_bytes(), version.to_le_bytes());
    Ok((version, store.commit(version, store.prepare(changes(version)), vec![record])?))
}

/// Root of the values that the store holds, computed apart from its own tree.
fn root_of_values(store: &Store) -> Hash {
    let mut values = Vec::new();
    let collect = &mut |key: &[u8], value: &[u8]| {
        values.push((key.to_vec(), Some(value.to_vec())));
        true
    };
    store.snapshot().unwrap().scan(&[], collect).unwrap();
    Store::memory(config()).prepare(Batch::from_changes(values)).root()
}

/// Checks that records and old versions fit the version that the store is at.
fn is_whole(store: &Store) {
    let version = store.version();
    let record = store.last_record(BLOCKS).unwrap();
    assert_eq!(
        record,
        version.map(|version| (version.to_be_bytes().to_vec(), version.to_le_bytes().to_vec()))
    );
    assert_eq!(root_of_values(store), store.root());
    if let Some(version) = version {
        assert_eq!(store.oldest_version(), Some(version.saturating_sub(7)));
        for version in version.saturating_sub(7)..=version {
            let key = 7u64.to_be_bytes();
            store.prove(version, &key).unwrap().verify(&store.root_at(version).unwrap(), &key).unwrap();
        }
    }
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_commits_until_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = Store::open(&folder.join("state"), config()).unwrap();
    let mut report =
        std::fs::OpenOptions::new().append(true).create(true).open(folder.join("report")).unwrap();
    loop {
        let (version, root) = commit_next(&store).unwrap();
        let mut line = format!("{version} ");
        root.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
        writeln!(report, "{line}").unwrap();
        report.sync_all().unwrap();
    }
}

#[test]
fn a_killed_process_loses_no_reported_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x5eed);
    let mut roots: Vec<Hash> = Vec::new();
    let twin = Store::memory(config());
    let read_report = || std::fs::read_to_string(folder.path().join("report")).unwrap_or_default();
    for round in 0..24 {
        let before = read_report().len();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_commits_until_killed", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Half of the kills may hit the opening, the others come after at least one commit.
        let patience = Instant::now() + Duration::from_secs(60);
        while round % 2 == 1 && read_report().len() == before && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(10 + dice.roll(250)));
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();

        let report = read_report();
        let whole_lines = report.rfind('\n').map_or("", |end| &report[..end]);
        let reported: Option<u64> = whole_lines
            .lines()
            .rfind(|line| !line.is_empty())
            .map(|line| line.split(' ').next().unwrap().parse().unwrap());
        let store = Store::open(&folder.path().join("state"), config()).unwrap();
        let found = store.version();
        let next = reported.map_or(0, |version| version + 1);
        assert!(found == reported || found == Some(next), "reported {reported:?}, found {found:?}");
        while twin.version() < found {
            roots.push(commit_next(&twin).unwrap().1);
        }
        if let Some(found) = found {
            assert_eq!(store.root(), roots[found as usize]);
        }
        is_whole(&store);
        // The child reports a version once; one that was committed unreported is reported here for it.
        if found != reported {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(folder.path().join("report"))
                .unwrap();
            // The empty line ends one that the kill cut short.
            writeln!(file, "\n{next} -").unwrap();
        }
    }
    println!("{} versions over 24 kills", roots.len());
    assert!(roots.len() >= 12, "the children hardly got to commit");
}

/// Storage that keeps apart what was synced and what came after.
#[derive(Clone, Debug, Default)]
struct Faulty(Arc<Disk>);

#[derive(Debug, Default)]
struct Disk {
    state: Mutex<DiskState>,
    full: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct DiskState {
    content: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Operation>,
    /// One disk image per operation, as a crash right then would leave it, when recording.
    images: Option<Vec<Vec<u8>>>,
    dice: u64,
}

#[derive(Clone, Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Operation {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Operation::Write(at, data) => {
                if content.len() < at + data.len() {
                    content.resize(at + data.len(), 0);
                }
                content[*at..at + data.len()].copy_from_slice(data);
            }
            Operation::Length(length) => content.resize(*length, 0),
        }
    }
}

impl DiskState {
    fn note(&mut self, operation: Operation) {
        operation.make(&mut self.content);
        self.unsynced.push(operation);
        if self.images.is_some() {
            let image = self.crash();
            self.images.as_mut().unwrap().push(image);
        }
    }

    /// What a crash leaves: the synced content, and of the rest a random part in any order, some of it torn.
    fn crash(&mut self) -> Vec<u8> {
        let mut dice = Dice(self.dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        self.dice += 1;
        let mut image = self.synced.clone();
        let kept_of_four = dice.roll(5);
        let mut survivors: Vec<Operation> =
            self.unsynced.iter().filter(|_| dice.roll(4) < kept_of_four).cloned().collect();
        if dice.roll(2) == 0 {
            for at in (1..survivors.len()).rev() {
                survivors.swap(at, dice.roll(at as u64 + 1) as usize);
            }
        }
        for survivor in &mut survivors {
            if let Operation::Write(_, data) = survivor
                && dice.roll(8) == 0
            {
                // Disks write whole sectors; a write of several may stop between two of them.
                let sectors = data.len() as u64 / 512;
                data.truncate(512 * dice.roll(sectors + 1) as usize);
            }
        }
        survivors.iter().for_each(|survivor| survivor.make(&mut image));
        image
    }
}

impl Faulty {
    fn holding(content: Vec<u8>) -> Self {
        let state = DiskState { synced: content.clone(), content, ..DiskState::default() };
        Faulty(Arc::new(Disk { state: Mutex::new(state), full: AtomicBool::new(false) }))
    }

    fn check_room(&self) -> std::io::Result<()> {
        match self.0.full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.state.lock().unwrap().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let state = self.0.state.lock().unwrap();
        let at = offset as usize;
        let found = state.content.get(at..at + out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.check_room()?;
        self.0.state.lock().unwrap().note(Operation::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check_room()?;
        let mut state = self.0.state.lock().unwrap();
        state.synced = state.content.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check_room()?;
        self.0.state.lock().unwrap().note(Operation::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

#[test]
fn lost_and_torn_writes_leave_a_committed_state() {
    let mut roots = Vec::new();
    let twin = Store::memory(config());
    let disk = Faulty::default();
    let store = Store::open_backend(disk.clone(), config()).unwrap();
    let mut crashes = 0;
    for round in 0..12u64 {
        roots.push(commit_next(&twin).unwrap().1);
        disk.0.state.lock().unwrap().images = Some(Vec::new());
        let (version, root) = commit_next(&store).unwrap();
        assert_eq!((version, root), (round, roots[round as usize]));
        let images = disk.0.state.lock().unwrap().images.take().unwrap();
        for image in images {
            let found = Store::open_backend(Faulty::holding(image), config()).unwrap();
            let version = found.version();
            assert!(version == Some(round) || version == round.checked_sub(1), "{version:?} at {round}");
            if let Some(version) = version {
                assert_eq!(found.root(), roots[version as usize]);
            }
            is_whole(&found);
            crashes += 1;
        }
        // Once the commit has returned, a crash takes nothing of it.
        let image = disk.0.state.lock().unwrap().crash();
        let found = Store::open_backend(Faulty::holding(image), config()).unwrap();
        assert_eq!((found.version(), found.root()), (Some(round), root));
    }
    println!("{crashes} crash points");
    assert!(crashes > 100);
}

#[test]
fn a_crash_while_the_file_is_made_leaves_an_empty_store() {
    let disk = Faulty::default();
    disk.0.state.lock().unwrap().images = Some(Vec::new());
    drop(Store::open_backend(disk.clone(), config()).unwrap());
    let images = disk.0.state.lock().unwrap().images.take().unwrap();
    assert!(images.len() > 3);
    for image in images {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(folder.path().join("state.new"), image).unwrap();
        let store = Store::open(&path, config()).unwrap();
        assert_eq!(store.version(), None);
        commit_next(&store).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    let disk = Faulty::default();
    let store = Store::open_backend(disk.clone(), config()).unwrap();
    let (version, root) = commit_next(&store).unwrap();
    disk.0.full.store(true, Ordering::SeqCst);
    let refused = commit_next(&store).unwrap_err();
    assert!(matches!(refused, StoreError::DiskFull), "{refused:?}");
    assert_eq!((store.version(), store.root()), (Some(version), root));

    disk.0.full.store(false, Ordering::SeqCst);
    let refused = commit_next(&store).unwrap_err();
    assert!(matches!(refused, StoreError::Closed), "{refused:?}");
    drop(store);
    let content = disk.0.state.lock().unwrap().content.clone();
    let reopened = Store::open_backend(Faulty::holding(content), config()).unwrap();
    assert_eq!((reopened.version(), reopened.root()), (Some(version), root));
    is_whole(&reopened);
    commit_next(&reopened).unwrap();
}
