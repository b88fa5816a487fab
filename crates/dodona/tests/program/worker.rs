//! `dodona worker run` as its user runs it, against a live demo: joins, is killed, comes back, refuses to pay for nonsense.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::kit::{Demo, Killed, dodona, refused, run};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a worker with a built-in model and waits for nothing.
fn worker(node: &str, dir: &Path) -> Killed {
    let dir = dir.to_str().unwrap();
    let args = ["worker", "run", "builtin:last-value", "--topic", "1", "--node", node, "--dir", dir];
    Killed(dodona(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Whole lines of a ledger.
fn ledger(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("ledger.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sent(dir: &Path) -> usize {
    ledger(dir).iter().filter(|entry| entry["what"] == "sent").count()
}

/// Waits until so many epochs were sent.
fn reach(dir: &Path, wanted: usize) {
    let until = Instant::now() + PATIENCE;
    while sent(dir) < wanted {
        assert!(Instant::now() < until, "{:?}", ledger(dir));
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_that_is_killed_again_and_again_loses_no_open_epoch_and_submits_none_twice() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    // SIGKILL at several distances from a submission.
    for round in 1..=4 {
        let child = worker(&demo.node, dir.path());
        reach(dir.path(), 2 * round);
        drop(child);
    }
    let entries = ledger(dir.path());
    let mut hashes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry["what"] == "sent") {
        let hash = entry["hash"].as_str().unwrap().to_string();
        hashes.entry(entry["epoch"].as_u64().unwrap()).or_default().push(hash);
    }
    assert!(hashes.values().all(|sent| sent.len() == 1), "no epoch twice: {hashes:?}");
    let (first, last) = (*hashes.keys().next().unwrap(), *hashes.keys().last().unwrap());
    let client = dodona_client::Client::new(dodona_client::Http::new(&demo.node));
    let address = entries[0]["address"].as_str().unwrap();
    // What the ledger says was sent, the chain heard, once.
    let until = Instant::now() + PATIENCE;
    loop {
        let epochs = client.epochs(1, first, 0).unwrap().epochs;
        let ended: Vec<_> = epochs.iter().filter(|e| e.epoch <= last && e.state == "scored").collect();
        if ended.iter().any(|e| e.epoch == last) {
            for epoch in ended.iter().filter(|e| hashes.contains_key(&e.epoch)) {
                let heard = epoch.parts.iter().filter(|p| p.address == address && !p.forecaster).count();
                assert_eq!(heard, 1, "epoch {}", epoch.epoch);
            }
            return;
        }
        assert!(Instant::now() < until, "epoch {last} was not scored");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_worker_joins_with_a_key_of_its_own_is_scored_and_tells_what_it_earned() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let args = [
        "worker",
        "run",
        "builtin:theta",
        "--topic",
        "1",
        "--node",
        &demo.node,
        "--dir",
        state.to_str().unwrap(),
        "--epochs",
        "2",
        "--output",
        "json",
    ];
    let (code, out, err) = run(&args);
    assert_eq!(code, 0, "{err}");
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert!(summary["topics"][0]["counted"].as_u64().unwrap() >= 2, "{out}");
    let secret = fs::read_to_string(state.join("worker.key")).unwrap();
    assert!(!out.contains(&secret) && !err.contains(&secret), "the key is nobody's business");
    assert!(err.contains("registered for topic 1"), "{err}");
}

#[test]
fn nonsense_is_held_back_before_it_costs() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("model.sh");
    fs::write(
        &script,
        "#!/bin/sh\ni=0\nwhile read -r q; do i=$((i + 1)); echo '{\"value\": 1'$i'e9}'; done\n",
    )
    .unwrap();
    std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let state = dir.path().join("state");
    let _child = Killed(
        dodona(&[
            "worker",
            "run",
            script.to_str().unwrap(),
            "--topic",
            "1",
            "--node",
            &demo.node,
            "--dir",
            state.to_str().unwrap(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap(),
    );
    let until = Instant::now() + PATIENCE;
    let why = loop {
        if let Some(entry) = ledger(&state).iter().find(|entry| entry["what"] == "missed") {
            break entry["why"].as_str().unwrap().to_string();
        }
        assert!(Instant::now() < until);
        sleep(Duration::from_millis(50));
    };
    assert!(why.contains("far from the recent truths"), "{why}");
    assert_eq!(sent(&state), 0, "nothing was paid for");
}

#[test]
fn what_cannot_run_is_told_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = state.to_str().unwrap();
    let config = dir.path().join("roles.toml");
    fs::write(
        &config,
        "[[worker]]\nmodel = \"builtin:theta\"\ntopic = 1\n[[worker]]\nmodel = \"m.py\"\ntopic = 1\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    for (args, word) in [
        (vec!["--config", config], "two models or forecasters for topic 1"),
        (vec!["--config", "nowhere.toml"], "cannot read nowhere.toml"),
        (vec!["builtin:theta", "--topic", "1", "--node", "http://127.0.0.1:1"], "is a node running"),
    ] {
        refused(&[&["worker", "run", "--dir", state][..], &args].concat(), word);
    }
}
