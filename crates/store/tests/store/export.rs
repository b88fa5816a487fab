//! Versions cut into chunks and brought into empty stores: what arrives is what left, and every lie is found in the
//! first chunk that has it.

use dodona_store::{
    Batch, Config, EMPTY_ROOT, Hash, ImportError, MAX_CHUNK_BYTES, Manifest, Piece, Read, RecordChange,
    RecordTable, Store, StoreError,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

const BLOCKS: RecordTable = RecordTable::new("blocks");

fn store_of(values: &Values) -> Store {
    let store = Store::memory(Config::default());
    let changes = values.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    store.commit(7, store.prepare(Batch::from_changes(changes.collect::<Vec<_>>())), vec![]).unwrap();
    store
}

fn numbered(count: u32, length: usize) -> Values {
    (0..count).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; length])).collect()
}

fn cut(store: &Store, version: u64, chunk_bytes: usize) -> (Manifest, Vec<Vec<u8>>) {
    let mut chunks = Vec::new();
    let export = store.export(version).unwrap().chunk_bytes(chunk_bytes);
    let manifest = export
        .write(&mut |chunk| {
            chunks.push(chunk.to_vec());
            Ok(())
        })
        .unwrap();
    (manifest, chunks)
}

fn bring(
    store: &Store,
    manifest: &Manifest,
    chunks: &[Vec<u8>],
    root: &Hash,
    order: impl Iterator<Item = usize>,
) -> Result<(), ImportError> {
    let mut import = store.import(manifest.clone(), root)?;
    for index in order {
        import.put(index, &chunks[index])?;
    }
    import.finish(7, vec![RecordChange::put(BLOCKS, vec![7], vec![1])])
}

fn values_of(store: &Store) -> Values {
    let mut found = Values::new();
    let snapshot = store.snapshot().unwrap();
    snapshot.scan(&[], &mut |key, value| found.insert(key.to_vec(), value.to_vec()).is_none()).unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_arrives_is_what_left_in_any_order_and_the_store_goes_on_from_there(
        values in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..6),
            prop::collection::vec(any::<u8>(), 0..80),
            0..120,
        ),
        chunk_bytes in 1usize..2_000,
        turned in any::<bool>(),
    ) {
        let store = store_of(&values);
        let (manifest, chunks) = cut(&store, 7, chunk_bytes);
        prop_assert!(chunks.iter().zip(&manifest.pieces).all(|(c, p)| c.len() == p.bytes as usize));
        let other = Store::memory(Config::default());
        let order: Vec<usize> = (0..chunks.len()).collect();
        let order: Vec<usize> = if turned { order.into_iter().rev().collect() } else { order };
        bring(&other, &manifest, &chunks, &store.root(), order.into_iter()).unwrap();
        prop_assert_eq!((other.version(), other.root()), (Some(7), store.root()));
        prop_assert_eq!(values_of(&other), values);
        prop_assert_eq!(other.record(BLOCKS, &[7]).unwrap(), Some(vec![1]));
        // Both trees are the same below too: the next change leads both to the same root.
        let change = || Batch::from_changes(vec![(vec![1, 2], Some(vec![9])), (vec![3], None)]);
        let next = |store: &Store| store.commit(8, store.prepare(change()), vec![]).unwrap();
        prop_assert_eq!(next(&other), next(&store));
        let proven = other.prove(8, &[1, 2]).unwrap();
        proven.verify(&store.root(), &[1, 2]).unwrap();
    }
}

#[test]
fn chunks_are_small_whatever_is_in_them_unless_a_single_value_is_not() {
    // More than is held in memory at once.
    let mut values = numbered(40_000, 1_000);
    values.insert(b"large".to_vec(), vec![7; 2 << 20]);
    let store = store_of(&values);
    let (manifest, chunks) = cut(&store, 7, usize::MAX);
    let large: Vec<&Vec<u8>> = chunks.iter().filter(|chunk| chunk.len() > MAX_CHUNK_BYTES).collect();
    assert_eq!(large.len(), 1, "only the one with the large value");
    let other = Store::memory(Config::default());
    bring(&other, &manifest, &chunks, &store.root(), 0..chunks.len()).unwrap();
    assert_eq!(values_of(&other), values);
}

#[test]
fn every_changed_byte_is_found_in_the_chunk_or_list_that_has_it() {
    let store = store_of(&numbered(40, 10));
    let (manifest, chunks) = cut(&store, 7, 300);
    assert!(chunks.len() > 3);
    for (index, chunk) in chunks.iter().enumerate() {
        manifest.check_chunk(index, chunk).unwrap();
        for at in 0..chunk.len() {
            for flip in [1, 0x80] {
                let mut bad = chunk.clone();
                bad[at] ^= flip;
                let found = manifest.check_chunk(index, &bad);
                assert!(matches!(found, Err(ImportError::Chunk { index: i }) if i == index), "{index} {at}");
            }
        }
        for other in chunks.iter().filter(|other| *other != chunk) {
            assert!(manifest.check_chunk(index, other).is_err());
        }
        assert!(manifest.check_chunk(index, &[chunk.as_slice(), &[0]].concat()).is_err());
        assert!(manifest.check_chunk(index, &chunk[..chunk.len() - 1]).is_err());
    }
    assert!(manifest.check_chunk(chunks.len(), &chunks[0]).is_err());
    for piece in 0..manifest.pieces.len() {
        let mut bad = manifest.clone();
        bad.pieces[piece].hash[5] ^= 1;
        assert!(bad.check(&store.root()).is_err());
        for depth in [0, 1, 255, 256, 257, u16::MAX] {
            let mut bad = manifest.clone();
            if bad.pieces[piece].depth != depth {
                bad.pieces[piece].depth = depth;
                assert!(bad.check(&store.root()).is_err(), "{piece} {depth}");
            }
        }
        let mut short = manifest.clone();
        short.pieces.remove(piece);
        assert!(short.check(&store.root()).is_err());
        let mut long = manifest.clone();
        long.pieces.insert(piece, manifest.pieces[piece]);
        assert!(long.check(&store.root()).is_err());
    }
    assert!(Manifest { pieces: vec![] }.check(&store.root()).is_err());
    assert!(Manifest { pieces: vec![] }.check(&EMPTY_ROOT).is_err());
    let deep = |depth| Piece { depth, hash: [0; 32], bytes: 4 };
    assert!(Manifest { pieces: (1..=256).chain([256]).map(deep).collect() }.check(&[0; 32]).is_err());
}

#[test]
fn entries_out_of_order_or_of_another_place_are_no_chunk() {
    let store = store_of(&numbered(40, 10));
    let (manifest, chunks) = cut(&store, 7, 300);
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = borsh::from_slice(&chunks[0]).unwrap();
    entries.swap(0, 1);
    assert!(manifest.check_chunk(0, &borsh::to_vec(&entries).unwrap()).is_err());
}

#[test]
fn nothing_is_seen_or_stays_of_an_import_that_is_not_finished() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(&numbered(60, 20));
    let (manifest, chunks) = cut(&store, 7, 300);
    let path = dir.path().join("s.redb");
    let disk = Store::open(&path, Config::default()).unwrap();
    for other in [disk.clone(), Store::memory(Config::default())] {
        let mut import = other.import(manifest.clone(), &store.root()).unwrap();
        import.put(0, &chunks[0]).unwrap();
        import.put(0, &chunks[0]).unwrap();
        assert!(matches!(import.put(1, &chunks[0]), Err(ImportError::Chunk { index: 1 })));
        assert!(matches!(import.finish(7, vec![]), Err(ImportError::Missing { index: 1 })));
        assert_eq!((other.version(), other.root(), values_of(&other).len()), (None, EMPTY_ROOT, 0));
        assert!(matches!(other.import(manifest.clone(), &[1; 32]), Err(ImportError::Manifest)));
    }
    drop(disk);
    let disk = Store::open(&path, Config::default()).unwrap();
    assert_eq!((disk.version(), values_of(&disk).len()), (None, 0));
    bring(&disk, &manifest, &chunks, &store.root(), 0..chunks.len()).unwrap();
    assert!(matches!(
        disk.import(manifest.clone(), &store.root()),
        Err(ImportError::NotEmpty { version: 7 })
    ));
    drop(disk);
    let disk = Store::open(&path, Config::default()).unwrap();
    assert_eq!((disk.version(), disk.root()), (Some(7), store.root()));
    assert_eq!(values_of(&disk), numbered(60, 20));
}

#[test]
fn an_export_stays_what_it_was_while_the_store_moves_on() {
    let store = store_of(&numbered(30, 10));
    let export = store.export(7).unwrap();
    let root = store.root();
    for version in 8..12u32 {
        let batch =
            Batch::from_changes(vec![(version.to_be_bytes().to_vec(), None), (vec![9], Some(vec![1]))]);
        store.commit(u64::from(version), store.prepare(batch), vec![]).unwrap();
    }
    for export in [export, store.export(7).unwrap()] {
        let mut chunks = Vec::new();
        let manifest = export
            .write(&mut |chunk| {
                chunks.push(chunk.to_vec());
                Ok(())
            })
            .unwrap();
        let other = Store::memory(Config::default());
        bring(&other, &manifest, &chunks, &root, 0..chunks.len()).unwrap();
        assert_eq!(values_of(&other), numbered(30, 10));
    }
    assert!(matches!(store.export(6), Err(StoreError::UnknownVersion { version: 6, .. })));
}
