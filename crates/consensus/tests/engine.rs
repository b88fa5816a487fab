//! Whole engines in one process: solo behind a gate, restart on the same log, four at a hub,
//! a late node, and the ways to stop.

// Helpers outside test functions may fail a test as loudly as the tests themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::app::Disk;
use common::{State, key, set};
use dodona_consensus::engine::*;
use dodona_consensus::*;

fn solo(disk: &Disk, dir: &Path) -> EngineConfig {
    let pace = disk.gate.clone().map_or(Pace::Fast, Pace::OnDemand);
    EngineConfig { pace, ..EngineConfig::solo(key(1), dir.to_path_buf()) }
}

fn lone_disk() -> Disk {
    Disk::new(State::genesis("solo", set(&[(1, 10)]), 0))
}

fn follow(chain_id: &str, genesis: ValidatorSet, disk: &Disk, heights: u64) {
    let mut light = LightClient::new(chain_id, genesis);
    for h in 1..=heights {
        let header = disk.header(h);
        // The set of the next height is not in the block; fixed sets are enough here.
        let next_validators = light.validators().clone();
        light.advance(&LightBlock { header, certificate: disk.certificate(h), next_validators }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_solo_validator_decides_exactly_the_heights_its_gate_allows() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let disk = Disk { gate: Some(gate.clone()), ..lone_disk() };
    let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    for h in 1..=20 {
        // The toy also asserts the mark whenever it is asked for a block.
        assert_eq!(disk.get().proposals.len(), h - 1);
        gate.open_until(Height(h as u64));
        disk.reaches(h as u64).await;
        assert_eq!(*disk.height.borrow(), Height(h as u64));
    }
    engine.stop().await.unwrap();
    assert_eq!(disk.get().proposals, (1..=20).map(Height).collect::<Vec<_>>());
    follow("solo", set(&[(1, 10)]), &disk, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_the_same_log_continues_at_the_next_height() {
    let dir = tempfile::tempdir().unwrap();
    let disk = lone_disk();
    for round in 1..=3 {
        let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
        disk.reaches(round * 5).await;
        engine.stop().await.unwrap();
        // Nobody holds the application any more: the test, and nobody else.
        assert_eq!(Arc::strong_count(&disk.inner), 1);
        let last = disk.get().state.height;
        assert_eq!(disk.get().decided.len() as u64, last.0);
    }
    follow("solo", set(&[(1, 10)]), &disk, 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_stops_the_engine_and_a_restart_commits_the_same_block() {
    let dir = tempfile::tempdir().unwrap();
    let disk = lone_disk();
    disk.get().fail_at = Some(Height(5));
    let mut engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    let reason = engine.wait().await;
    assert!(matches!(reason, EngineError::Application(_)), "{reason}");
    assert!(reason.to_string().contains("the disk is full"));
    engine.stop().await.unwrap();
    assert_eq!(disk.get().state.height, Height(4));
    let lost = disk.get().undecided[&Height(5)][0].id;

    let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    disk.reaches(8).await;
    engine.stop().await.unwrap();
    assert_eq!(disk.header(5).id(), lost);
    assert_eq!(disk.get().proposals.iter().filter(|h| **h == Height(5)).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_application_is_reported_and_lets_go_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let disk = lone_disk();
    disk.get().panic_at = Some(Height(3));
    let mut engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    assert!(matches!(engine.wait().await, EngineError::Panic));
    engine.stop().await.unwrap();
    assert_eq!(Arc::strong_count(&disk.inner), 1);
    disk.get().panic_at = None;
    let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    disk.reaches(5).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn an_engine_behind_a_closed_gate_stops_at_once_on_any_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let disk = Disk { gate: Some(gate.clone()), ..lone_disk() };
    for height in 0..3 {
        gate.open_until(Height(height));
        let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
        disk.reaches(height).await;
        engine.stop().await.unwrap();
        assert_eq!(Arc::strong_count(&disk.inner), 1);
    }
    assert_eq!(disk.get().state.height, Height(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volatile_log_serves_a_solo_validator_and_nobody_else() {
    let disk = lone_disk();
    let dir = tempfile::tempdir().unwrap();
    let cfg = EngineConfig { log: Log::Volatile, ..solo(&disk, dir.path()) };
    for round in 1..=2 {
        let engine = start(disk.app(), cfg.clone()).await.unwrap();
        disk.reaches(round * 10).await;
        engine.stop().await.unwrap();
    }
    follow("solo", set(&[(1, 10)]), &disk, 20);
    let cfg = EngineConfig { network: Network::Hub(Hub::new()), ..cfg };
    assert!(matches!(start(disk.app(), cfg).await, Err(EngineError::VolatileLog)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_never_share_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = lone_disk();
    let engine = start(disk.app(), solo(&disk, dir.path())).await.unwrap();
    disk.reaches(1).await;
    let second = start(lone_disk().app(), solo(&disk, dir.path())).await;
    assert!(matches!(second, Err(EngineError::Start(_))));
    engine.stop().await.unwrap();
    start(disk.app(), solo(&disk, dir.path())).await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_time_spaces_the_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let disk = lone_disk();
    let cfg = EngineConfig { pace: Pace::Target(Duration::from_millis(100)), ..solo(&disk, dir.path()) };
    let engine = start(disk.app(), cfg).await.unwrap();
    disk.reaches(6).await;
    engine.stop().await.unwrap();
    let took = disk.header(6).time_ms - disk.header(1).time_ms;
    assert!(took >= 450, "five intervals of 100 ms took {took} ms");
}

const FOUR: [(u8, u64); 4] = [(1, 10), (2, 10), (3, 10), (4, 10)];

async fn at_hub(hub: &Hub, seed: u8, disk: &Disk, dir: &Path, status: u64) -> Engine {
    let cfg = EngineConfig {
        moniker: format!("node{seed}"),
        validator_key: key(seed),
        network: Network::Hub(hub.clone()),
        status_interval: Duration::from_millis(status),
        ..EngineConfig::solo(key(seed), dir.join(format!("{seed}")))
    };
    start(disk.app(), cfg).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_engines_at_a_hub_agree_on_blocks_and_states() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let disks: Vec<_> = (0..4).map(|_| Disk::new(State::genesis("four", set(&FOUR), 4))).collect();
    // More than one part each.
    disks.iter().for_each(|d| d.get().tx_bytes = 300_000);
    let mut engines = Vec::new();
    for (seed, disk) in (1..).zip(&disks) {
        engines.push(at_hub(&hub, seed, disk, dir.path(), 200).await);
    }
    for disk in &disks {
        disk.reaches(10).await;
    }
    for engine in engines {
        engine.stop().await.unwrap();
    }
    let mut authors = std::collections::BTreeSet::new();
    for h in 1..=10 {
        let first = disks[0].header(h);
        authors.insert(first.proposer);
        for disk in &disks {
            assert_eq!(disk.header(h), first);
            assert_eq!(disk.certificate(h).block_id, first.id());
            assert!(disk.certificate(h).signatures.len() >= 3);
        }
    }
    assert!(authors.len() > 1, "one author only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_node_one_that_was_cut_off_and_one_without_power_keep_up() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::with_delay(Duration::from_millis(2));
    let disks: Vec<_> = (0..4).map(|_| Disk::new(State::genesis("late", set(&FOUR), 0))).collect();
    let mut engines = Vec::new();
    for (seed, disk) in (1..).zip(&disks[..3]) {
        engines.push(at_hub(&hub, seed, disk, dir.path(), 100).await);
    }
    disks[0].reaches(5).await;
    engines.push(at_hub(&hub, 4, &disks[3], dir.path(), 100).await);
    disks[3].reaches(6).await;
    let observer = Disk::new(State::genesis("late", set(&FOUR), 0));
    engines.push(at_hub(&hub, 9, &observer, dir.path(), 100).await);
    observer.reaches(7).await;

    engines[2].set_cut(true);
    let cut_at = disks[2].height.borrow().0;
    disks[3].reaches(cut_at + 5).await;
    engines[2].set_cut(false);
    disks[2].reaches(cut_at + 8).await;
    for engine in engines {
        engine.stop().await.unwrap();
    }
    let common = disks.iter().map(|d| d.get().state.height.0).min().unwrap();
    for disk in &disks {
        assert_eq!(disk.header(common), disks[0].header(common));
        follow("late", set(&FOUR), disk, common);
    }
    assert!(observer.get().proposals.is_empty());
    follow("late", set(&FOUR), &observer, 7);
}
