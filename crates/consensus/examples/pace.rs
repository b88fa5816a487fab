//! How many blocks a second one validator decides, and where the time goes. Uses a toy application
//! which flushes a file wherever a store would.
//!
//!     cargo run --release --features engine --example pace -- [blocks] [folder]

// Helpers outside test functions may fail a test as loudly as the tests themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../tests/consensus/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::app::Disk;
use common::{State, key, set};
use dodona_consensus::Height;
use dodona_consensus::engine::*;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let blocks: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(500);
    let folder = std::env::args().nth(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to write to");

    let mut file = std::fs::File::create(folder.path().join("probe")).expect("a file");
    let start = Instant::now();
    for _ in 0..100 {
        std::io::Write::write_all(&mut file, &[1; 300]).expect("a write");
        file.sync_all().expect("a flush");
    }
    println!("one flush of this disk           {:8.3} ms", start.elapsed().as_secs_f64() * 10.0);

    for (name, durable, stored) in [
        ("durable log, flushing store", true, true),
        ("durable log, store in memory", true, false),
        ("volatile log, flushing store", false, true),
        ("volatile log, store in memory", false, false),
    ] {
        for on_demand in [false, true] {
            let pace = if on_demand { "on demand" } else { "fast" };
            let (took, flushing) = measure(folder.path(), durable, stored, on_demand, blocks).await;
            let each = took.as_secs_f64() * 1e3 / blocks as f64;
            println!(
                "{name:31} {pace:9} {each:8.3} ms per block, {:6.0} blocks/s, store flushes {:.3} ms",
                1e3 / each,
                flushing.as_secs_f64() * 1e3 / blocks as f64,
            );
        }
    }
}

async fn measure(
    dir: &Path,
    durable: bool,
    stored: bool,
    on_demand: bool,
    blocks: u64,
) -> (Duration, Duration) {
    let disk = Disk::new(State::genesis("pace", set(&[(1, 10)]), 0));
    if stored {
        disk.get().file = Some(std::fs::File::create(dir.join("store")).expect("a file"));
    }
    let gate = Gate::new();
    let log_dir = dir.join(format!("{durable}{stored}{on_demand}"));
    let mut cfg = EngineConfig::solo(key(1), log_dir);
    if !durable {
        cfg.log = Log::Volatile;
    }
    if on_demand {
        cfg.pace = Pace::OnDemand(gate.clone());
        gate.open_until(Height(1));
    }
    let engine = start(disk.app(), cfg).await.expect("an engine");
    disk.reaches(1).await;
    let start = Instant::now();
    if on_demand {
        for h in 2..=blocks + 1 {
            gate.open_until(Height(h));
            disk.reaches(h).await;
        }
    } else {
        disk.reaches(blocks + 1).await;
    }
    let took = start.elapsed();
    engine.stop().await.expect("a clean stop");
    let flushing = disk.get().flushing;
    (took, flushing)
}
