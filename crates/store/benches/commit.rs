//! What one block costs the store: prepare and commit of 50 changes among 300 keys (a backtest's load) and
//! of 600 among 100 000 (a chain's), in memory and on disk.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dodona_store::{Batch, Config, Store};
use std::hint::black_box;

struct Load {
    store: Store,
    version: u64,
    keys: u64,
    changes: u64,
}

impl Load {
    fn new(store: Store, keys: u64, changes: u64) -> Self {
        let values = (0..keys).map(|key| (raw_key(key), Some(value(key, 0))));
        store
            .commit(0, store.prepare(Batch::from_changes(values)), vec![])
            .expect("a fresh store takes version 0");
        Load { store, version: 0, keys, changes }
    }

    fn next_batch(&mut self) -> (u64, Batch) {
        self.version += 1;
        let first = self.version.wrapping_mul(7919);
        let stride = self.keys / self.changes;
        let keys = (0..self.changes).map(|at| (first + at * stride) % self.keys);
        (self.version, Batch::from_changes(keys.map(|key| (raw_key(key), Some(value(key, self.version))))))
    }
}

fn raw_key(key: u64) -> Vec<u8> {
    [&b"bench"[..], &key.to_be_bytes(), &[0; 19]].concat()
}

/// 100 to 1 500 bytes.
fn value(key: u64, version: u64) -> Vec<u8> {
    vec![version as u8; 100 + (key.wrapping_mul(2_654_435_761) % 1401) as usize]
}

fn commit(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("the bench may write temporary files");
    let open =
        |name: &str| Store::open(&folder.path().join(name), Config::default()).expect("a fresh file opens");
    let loads = [
        (
            "memory, 50 of 300",
            Load::new(Store::memory(Config { keep_versions: 1, ..Config::default() }), 300, 50),
        ),
        ("memory, 50 of 300, 100 versions kept", Load::new(Store::memory(Config::default()), 300, 50)),
        ("memory, 600 of 100k", Load::new(Store::memory(Config::default()), 100_000, 600)),
        ("disk, 50 of 300", Load::new(open("small"), 300, 50)),
        ("disk, 600 of 100k", Load::new(open("large"), 100_000, 600)),
    ];
    for (name, mut load) in loads {
        let store = load.store.clone();
        let mut group = c.benchmark_group(name);
        group.sample_size(30);
        group.bench_function("prepare", |bencher| {
            let (_, batch) = load.next_batch();
            load.version -= 1;
            bencher.iter_batched(
                || batch.clone(),
                |batch| black_box(store.prepare(batch)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("prepare and commit", |bencher| {
            bencher.iter_batched(
                || load.next_batch(),
                |(version, batch)| {
                    store.commit(version, store.prepare(batch), vec![]).expect("versions follow")
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, commit);
criterion_main!(benches);
