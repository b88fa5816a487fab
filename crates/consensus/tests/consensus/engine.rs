//! Whole engines in one process: solo behind a gate, restart on the same log, four at a hub,
//! a late node, and the ways to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::app::Disk;
use crate::common::{State, key, set};
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

/// What a backup taken after these many blocks holds.
fn backup(disk: &Disk, heights: u64) -> Disk {
    let mut state = State::genesis("solo", set(&[(1, 10)]), 0);
    let decided = disk.get().decided[..heights as usize].to_vec();
    for (bytes, _) in &decided {
        state = state.apply(&Block::decode(bytes).unwrap()).unwrap();
    }
    let old = Disk::new(state);
    old.get().decided = decided;
    old.height.send_replace(Height(heights));
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restored_from_an_old_backup_is_silent_where_it_has_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let guard = dir.path().join("sign_state.json");
    let disk = lone_disk();
    let cfg = |log: &str| EngineConfig {
        guard: Some(guard.clone()),
        ..EngineConfig::solo(key(1), dir.path().join(log))
    };
    let engine = start(disk.app(), cfg("first")).await.unwrap();
    disk.reaches(10).await;
    engine.stop().await.unwrap();

    // Everything but the guard's file is as it was after block 4, and the log is gone.
    let old = backup(&disk, 4);
    let engine = start(old.app(), cfg("second")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    engine.stop().await.unwrap();
    assert_eq!(old.get().state.height, Height(4), "the second block of height 5 was signed");
    assert!(old.get().proposals.contains(&Height(5)), "it was about to");

    // Nothing else held it back.
    std::fs::rename(&guard, dir.path().join("moved away")).unwrap();
    let old = backup(&disk, 4);
    let engine = start(old.app(), cfg("third")).await.unwrap();
    old.reaches(12).await;
    engine.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_lost_everything_but_its_guard_catches_up_and_votes_again() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let disks: Vec<_> = (0..4).map(|_| Disk::new(State::genesis("lost", set(&FOUR), 0))).collect();
    let at = |seed: u8, disk: &Disk, log: &str| {
        let cfg = EngineConfig {
            guard: Some(dir.path().join(format!("sign_state_{seed}.json"))),
            network: Network::Hub(hub.clone()),
            status_interval: Duration::from_millis(100),
            pace: Pace::Target(Duration::from_millis(50)),
            ..EngineConfig::solo(key(seed), dir.path().join(format!("{log}{seed}")))
        };
        start(disk.app(), cfg)
    };
    let mut engines = Vec::new();
    for (seed, disk) in (1..).zip(&disks) {
        engines.push(at(seed, disk, "log").await.unwrap());
    }
    disks[3].reaches(5).await;
    engines.remove(3).stop().await.unwrap();
    let empty = Disk::new(State::genesis("lost", set(&FOUR), 0));
    engines.push(at(4, &empty, "new").await.unwrap());
    let level = disks[0].get().state.height.0 + 2;
    empty.reaches(level).await;
    empty.reaches(level + 15).await;
    for engine in engines {
        engine.stop().await.unwrap();
    }
    let me = Address::of(&PublicKey(key(4).verifying_key()));
    let voted = |h: &u64| disks[0].certificate(*h).signatures.iter().any(|(who, _)| *who == me);
    assert!((level..level + 12).any(|h| voted(&h)), "it never voted again");
    for h in 1..=level {
        assert_eq!(empty.header(h), disks[0].header(h));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_stops_the_engine_with_its_remedy_which_helps_one_of_four() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let disks: Vec<_> = (0..4).map(|_| Disk::new(State::genesis("damage", set(&FOUR), 0))).collect();
    let at = |seed: u8, disk: &Disk| {
        let cfg = EngineConfig {
            guard: Some(dir.path().join(format!("sign_state_{seed}.json"))),
            network: Network::Hub(hub.clone()),
            status_interval: Duration::from_millis(100),
            pace: Pace::Target(Duration::from_millis(50)),
            ..EngineConfig::solo(key(seed), dir.path().join(format!("log{seed}")))
        };
        start(disk.app(), cfg)
    };
    // The log of a height that could not be committed is not empty.
    disks[3].get().fail_at = Some(Height(5));
    let mut engines = Vec::new();
    for (seed, disk) in (1..).zip(&disks) {
        engines.push(at(seed, disk).await.unwrap());
    }
    let mut last = engines.remove(3);
    assert!(matches!(last.wait().await, EngineError::Application(_)));
    last.stop().await.unwrap();
    let path = dir.path().join("log4/consensus.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().for_each(|b| *b ^= 0xff);
    std::fs::write(&path, bytes).unwrap();
    let mut last = at(4, &disks[3]).await.unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(30), last.wait()).await.unwrap();
    assert!(matches!(reason, EngineError::Halted(_)), "{reason}");
    assert!(reason.to_string().contains("move it away"), "{reason}");
    last.stop().await.unwrap();
    std::fs::rename(&path, dir.path().join("moved away")).unwrap();
    engines.push(at(4, &disks[3]).await.unwrap());
    let level = disks[0].get().state.height.0 + 2;
    disks[3].reaches(level).await;
    for engine in engines {
        engine.stop().await.unwrap();
    }
}
