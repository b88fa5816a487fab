//! Stores on disk and in memory against a plain model: values, roots and proofs of every kept version, before
//! and after reopening; records; and what opening says to paths and files that are no sound store.

use dodona_store::{
    Batch, Config, EMPTY_ROOT, Hash, Read, RecordChange, RecordTable, Snapshot, Store, StoreError,
};
use proptest::prelude::*;
use redb::{ReadableDatabase, ReadableTable};
use std::collections::BTreeMap;
use std::path::Path;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

const BLOCKS: RecordTable = RecordTable::new("blocks");
const VOTES: RecordTable = RecordTable::new("votes");

fn keeping(keep_versions: u64) -> Config {
    Config { cache_bytes: 1 << 20, keep_versions }
}

fn commit(store: &Store, version: u64, changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<Hash, StoreError> {
    store.commit(version, store.prepare(Batch::from_changes(changes.to_vec())), vec![])
}

fn put(key: &[u8], value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    (key.to_vec(), Some(value.to_vec()))
}

fn all(snapshot: &Snapshot) -> Values {
    let mut found = Values::new();
    snapshot.scan(&[], &mut |key, value| found.insert(key.to_vec(), value.to_vec()).is_none()).unwrap();
    found
}

/// Scans of an earlier version by prefix, from a start and cut short, against the model.
fn scans_alike(past: &Snapshot, values: &Values, key: &[u8]) {
    for (prefix, start) in [(key, key), (&key[..1], key), (&[][..], key)] {
        let wanted: Vec<&Vec<u8>> = values
            .range(start.to_vec()..)
            .map(|(key, _)| key)
            .filter(|key| key.starts_with(prefix))
            .collect();
        for limit in [1, 2, usize::MAX] {
            let mut found = Vec::new();
            past.scan_from(prefix, start, &mut |key, value| {
                assert_eq!(values.get(key).unwrap(), value);
                found.push(key.to_vec());
                found.len() < limit
            })
            .unwrap();
            assert_eq!(found, wanted.iter().copied().take(limit).cloned().collect::<Vec<_>>());
        }
    }
}

fn agrees(store: &Store, history: &[Values], first: u64, keep: u64, keys: &[Vec<u8>]) {
    let latest = first + history.len() as u64 - 1;
    let snapshot = store.snapshot().unwrap();
    assert_eq!((store.version(), snapshot.version()), (Some(latest), Some(latest)));
    assert_eq!(snapshot.root(), store.root());
    assert_eq!(&all(&snapshot), history.last().unwrap());
    for (version, values) in (first..).zip(history) {
        if version + keep <= latest {
            assert!(matches!(store.root_at(version), Err(StoreError::UnknownVersion { .. })));
            assert!(matches!(store.prove(version, b"key"), Err(StoreError::UnknownVersion { .. })));
            assert!(matches!(store.get_at(version, b"key"), Err(StoreError::UnknownVersion { .. })));
            assert!(matches!(store.snapshot_at(version), Err(StoreError::UnknownVersion { .. })));
            continue;
        }
        let fresh = Store::memory(keeping(1));
        let leaves = Batch::from_changes(values.iter().map(|(key, value)| put(key, value)));
        let root = fresh.prepare(leaves).root();
        assert_eq!(store.root_at(version).unwrap(), root);
        let past = store.snapshot_at(version).unwrap();
        assert_eq!((past.version(), past.root()), (Some(version), root));
        assert_eq!(&all(&past), values);
        for key in keys {
            scans_alike(&past, values, key);
            assert_eq!(past.get(key).unwrap().as_ref(), values.get(key));
            let proven = store.prove(version, key).unwrap();
            assert_eq!(proven.value.as_ref(), values.get(key));
            assert_eq!(store.get_at(version, key).unwrap().as_ref(), values.get(key));
            proven.verify(&root, key).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn disk_and_memory_are_the_model(
        first in 0u64..3,
        keep in 1u64..6,
        steps in prop::collection::vec(
            (prop::collection::btree_map(prop::collection::vec(0u8..4, 0..3), prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..12), any::<bool>()),
            1..12,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let memory = Store::memory(keeping(keep));
        let mut disk = Store::open(&path, keeping(keep)).unwrap();
        let mut history: Vec<Values> = Vec::new();
        let keys: Vec<Vec<u8>> = (0..4).flat_map(|a| (0..5).map(move |b| if b == 4 { vec![a] } else { vec![a, b] })).collect();

        for (version, (changes, reopen)) in (first..).zip(steps) {
            let mut values = history.last().cloned().unwrap_or_default();
            for (key, value) in &changes {
                match value {
                    Some(value) => drop(values.insert(key.clone(), value.clone())),
                    None => drop(values.remove(key)),
                }
            }
            history.push(values);
            let changes: Vec<_> = changes.into_iter().collect();
            let root = commit(&memory, version, &changes).unwrap();
            prop_assert_eq!(commit(&disk, version, &changes).unwrap(), root);
            if reopen {
                drop(disk);
                disk = Store::open(&path, keeping(keep)).unwrap();
            }
            agrees(&memory, &history, first, keep, &keys);
            agrees(&disk, &history, first, keep, &keys);
        }
    }
}

/// Runs a claim against both engines.
fn on_both(claim: impl Fn(&Store)) {
    claim(&Store::memory(keeping(3)));
    let folder = tempfile::tempdir().unwrap();
    claim(&Store::open(&folder.path().join("state"), keeping(3)).unwrap());
}

#[test]
fn of_several_candidates_one_is_committed() {
    on_both(|store| {
        commit(store, 0, &[put(b"a", b"0")]).unwrap();
        let before = store.root();
        let one = store.prepare(Batch::from_changes([put(b"a", b"1")]));
        let two = store.prepare(Batch::from_changes([put(b"b", b"2")]));
        let again = store.prepare(Batch::from_changes([put(b"b", b"2")]));
        assert_eq!(store.root(), before);
        assert_eq!(two.root(), again.root());
        assert_ne!(one.root(), two.root());

        let root = two.root();
        assert_eq!(store.commit(1, two, vec![]).unwrap(), root);
        assert_eq!(store.root(), root);
        assert!(matches!(store.commit(2, one, vec![]), Err(StoreError::StalePrepared { .. })));
        assert!(matches!(
            store.commit(1, again, vec![]),
            Err(StoreError::WrongVersion { got: 1, current: Some(1) })
        ));
        assert_eq!(store.snapshot().unwrap().get(b"a").unwrap().unwrap(), b"0");
    });
}

#[test]
fn only_the_next_version_can_be_committed() {
    on_both(|store| {
        commit(store, 7, &[]).unwrap();
        assert_eq!((store.version(), store.root()), (Some(7), EMPTY_ROOT));
        for version in [0, 6, 7, 9] {
            assert!(matches!(commit(store, version, &[]), Err(StoreError::WrongVersion { .. })));
        }
        commit(store, 8, &[]).unwrap();
    });
}

#[test]
fn a_snapshot_is_not_disturbed_by_later_commits() {
    on_both(|store| {
        commit(store, 0, &[put(b"a", b"0"), put(b"b", b"0")]).unwrap();
        let old = store.snapshot().unwrap();
        let seen = all(&old);
        for version in 1..6 {
            commit(store, version, &[put(b"a", &[version as u8]), (b"b".to_vec(), None)]).unwrap();
        }
        assert_eq!(all(&old), seen);
        assert_eq!(old.version(), Some(0));
        assert_eq!(all(&store.snapshot().unwrap()), Values::from([(b"a".to_vec(), vec![5])]));
    });
}

#[test]
fn readers_on_other_threads_see_whole_versions() {
    on_both(|store| {
        commit(store, 0, &[put(b"a", &[0]), put(b"b", &[0])]).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                loop {
                    let snapshot = store.snapshot().unwrap();
                    let version = snapshot.version().unwrap();
                    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), [version as u8]);
                    assert_eq!(snapshot.get(b"b").unwrap().unwrap(), [version as u8]);
                    if let Ok(proven) = store.prove(version, b"a") {
                        assert_eq!(proven.value.as_deref(), Some(&[version as u8][..]));
                        proven.verify(&snapshot.root(), b"a").unwrap();
                    }
                    if version == 60 {
                        return;
                    }
                }
            });
            for version in 1..=60u64 {
                commit(store, version, &[put(b"a", &[version as u8]), put(b"b", &[version as u8])]).unwrap();
            }
            reader.join().unwrap();
        });
    });
}

#[test]
fn records_are_kept_in_order_beside_the_state() {
    on_both(|store| {
        assert_eq!(store.record(BLOCKS, b"1").unwrap(), None);
        assert_eq!(store.last_record(BLOCKS).unwrap(), None);
        assert!(store.records(BLOCKS, b"", None, 9).unwrap().is_empty());

        let blocks = (1..=9u8).map(|height| RecordChange::put(BLOCKS, [height], [height; 3])).collect();
        store.commit(0, store.prepare(Batch::default()), blocks).unwrap();
        store
            .put_records(vec![RecordChange::put(VOTES, *b"v", *b"1"), RecordChange::delete(BLOCKS, [3])])
            .unwrap();
        assert_eq!(store.root(), EMPTY_ROOT);
        let keys =
            |found: Vec<(Vec<u8>, Vec<u8>)>| found.into_iter().map(|(key, _)| key[0]).collect::<Vec<_>>();
        assert_eq!(keys(store.records(BLOCKS, &[2], Some(&[6]), 9).unwrap()), [2, 4, 5]);
        assert_eq!(keys(store.records(BLOCKS, &[2], None, 2).unwrap()), [2, 4]);
        assert_eq!(store.last_record(BLOCKS).unwrap(), Some((vec![9], vec![9; 3])));

        store.put_records(vec![RecordChange::delete_below(BLOCKS, [8])]).unwrap();
        assert_eq!(keys(store.records(BLOCKS, &[], None, 9).unwrap()), [8, 9]);
        assert_eq!(store.record(VOTES, b"v").unwrap().unwrap(), b"1");

        let keys: [&[u8]; 5] = [b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
        store.put_records(keys.iter().map(|key| RecordChange::put(VOTES, *key, [0])).collect()).unwrap();
        assert_eq!(store.records_with_prefix(VOTES, b"a\xff", 9).unwrap().len(), 2);
        assert_eq!(store.records_with_prefix(VOTES, b"\xff", 9).unwrap().len(), 1);
        assert_eq!(store.records_with_prefix(VOTES, b"", 9).unwrap().len(), 6);
    });
}

#[test]
fn records_and_tags_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = Store::open(&path, keeping(2)).unwrap();
    assert_eq!(store.tag("chain").unwrap(), None);
    store.set_tag("chain", b"dodona-1").unwrap();
    store.put_records(vec![RecordChange::put(VOTES, *b"v", *b"1")]).unwrap();
    drop(store);
    let store = Store::open(&path, keeping(2)).unwrap();
    assert_eq!(store.version(), None);
    assert_eq!(store.tag("chain").unwrap().unwrap(), b"dodona-1");
    assert_eq!(store.record(VOTES, b"v").unwrap().unwrap(), b"1");
}

/// A store file with ten versions of a hundred keys.
fn sound_file(path: &Path) {
    let store = Store::open(path, keeping(5)).unwrap();
    for version in 0..10u8 {
        let changes: Vec<_> = (0..100).map(|key| put(&[key], &[version; 300])).collect();
        commit(&store, u64::from(version), &changes).unwrap();
    }
}

#[test]
fn what_is_no_store_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let open = |name: &str| Store::open(&at(name), keeping(1)).map(drop).unwrap_err();

    assert!(matches!(Store::open(folder.path(), keeping(1)), Err(StoreError::IsDirectory { .. })));
    assert!(matches!(open("absent/state"), StoreError::NoFolder { .. }));

    for content in [&b""[..], b"x", b"redb", &[0; 9000]] {
        std::fs::write(at("other"), content).unwrap();
        assert!(matches!(open("other"), StoreError::NotAStore { path } if path == at("other")));
        assert_eq!(std::fs::read(at("other")).unwrap(), content);
    }

    let foreign = redb::Database::create(at("foreign")).unwrap();
    let write = foreign.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("values")).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(foreign);
    assert!(matches!(open("foreign"), StoreError::NotAStore { path } if path == at("foreign")));
}

#[test]
fn a_store_opened_twice_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = Store::open(&path, keeping(1)).unwrap();
    let refused = Store::open(&path, keeping(1)).unwrap_err();
    assert!(matches!(&refused, StoreError::Locked { path: at } if *at == path), "{refused}");
    drop(store);
    Store::open(&path, keeping(1)).unwrap();
}

#[cfg(unix)]
#[test]
fn an_unwritable_file_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    sound_file(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        println!("skipped: this user may write everything");
        return;
    }
    assert!(matches!(Store::open(&path, keeping(1)), Err(StoreError::NotWritable { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    sound_file(&path);
    let file = redb::Database::open(&path).unwrap();
    let write = file.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u32>::new("file")).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(file);
    let refused = Store::open(&path, keeping(1)).unwrap_err();
    assert!(matches!(refused, StoreError::NewerFormat { found: 2, known: 1 }), "{refused}");
}

#[test]
fn values_that_do_not_hash_to_the_root_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    sound_file(&path);
    let file = redb::Database::open(&path).unwrap();
    let write = file.begin_write().unwrap();
    let values = redb::TableDefinition::<&[u8], &[u8]>::new("values");
    write.open_table(values).unwrap().insert(&[5][..], &b"forged"[..]).unwrap();
    write.commit().unwrap();
    drop(file);
    let refused = Store::open(&path, keeping(5)).unwrap_err();
    assert!(matches!(refused, StoreError::RootMismatch { version: 9, .. }), "{refused}");
}

#[test]
fn replaced_values_that_do_not_hash_to_their_root_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    sound_file(&path);
    let file = redb::Database::open(&path).unwrap();
    let replaced = redb::TableDefinition::<(u64, &[u8]), Option<&[u8]>>::new("replaced");
    let kept = file.begin_read().unwrap().open_table(replaced).unwrap().iter().unwrap().count();
    assert_eq!(kept, 400, "five versions are kept by what the last four replaced");
    let write = file.begin_write().unwrap();
    write.open_table(replaced).unwrap().insert((8, &[5][..]), None).unwrap();
    write.commit().unwrap();
    drop(file);
    let refused = Store::open(&path, keeping(5)).unwrap_err();
    assert!(matches!(refused, StoreError::RootMismatch { version: 7, .. }), "{refused}");
    Store::open(&path, keeping(2)).unwrap();
}

#[test]
fn cut_and_flipped_files_are_refused_or_read_right_but_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    sound_file(&path);
    let sound = std::fs::read(&path).unwrap();
    let root = Store::open(&path, keeping(5)).unwrap().root();
    let mut refused = 0;

    let mut try_open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match Store::open(&path, keeping(5)) {
            Ok(store) => assert_eq!(store.root(), root),
            Err(error) => {
                assert!(
                    matches!(
                        error,
                        StoreError::Damaged { .. } | StoreError::NotAStore { .. } | StoreError::Engine(_)
                    ),
                    "{error:?}"
                );
                refused += 1;
            }
        }
    };
    for part in 1..24 {
        try_open(&sound[..sound.len() * part / 24]);
    }
    for step in 0..150 {
        let mut flipped = sound.clone();
        // The first pages hold the header and are hit often, the rest evenly.
        let at = if step < 60 { step * 7 } else { (step - 60) * sound.len() / 90 };
        flipped[at] ^= 1 << (step % 8);
        try_open(&flipped);
    }
    assert!(refused > 20, "only {refused} damaged files were refused");
}
