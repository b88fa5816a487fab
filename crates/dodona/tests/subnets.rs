//! Subnets as their owners, miners and validators run them, on a network of one validator with short blocks.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod kit;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use kit::{Localnet, dodona, done, path, run, within};
use serde_json::Value;

/// A network with a started subnet of short epochs: its owner's hotkey is demo:judge, its miner demo:miner.
fn market(dir: &std::path::Path) -> (Localnet, String) {
    let net = Localnet::start(&path(dir, "net"), &["--validators", "1", "--block-time", "200ms"]);
    let node = net.url(0, "rest");
    let consumer = ["--key", "demo:consumer", "--node", &node];
    done(&[&["subnet", "create", "text", "--hotkey", "demo:judge"], &consumer[..]].concat());
    let set = ["--set", "tempo=25", "--set", "weights_rate_limit=0"];
    done(&[&["subnet", "hyperparameters", "1"], &set[..], &consumer].concat());
    done(&[&["subnet", "start", "1"], &consumer[..]].concat());
    done(&[&["subnet", "register", "1", "--hotkey", "demo:miner"], &consumer[..]].concat());
    (net, node)
}

fn epochs(node: &str) -> u64 {
    let shown: Value =
        serde_json::from_str(&done(&["subnet", "show", "1", "--node", node, "--output", "json"])).unwrap();
    shown["epochs"].as_u64().unwrap()
}

#[test]
fn committed_weights_survive_a_kill_are_revealed_in_their_epoch_and_a_missed_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_net, node) = market(dir.path());
    let sealed = path(dir.path(), "sealed");
    let own = ["--key", "demo:judge", "--node", &node, "--sealed", &sealed];

    // Killed as soon as the chain has the commit.
    let mut child = dodona(&[&["subnet", "weights", "1", "1=65535", "--wait"], &own[..]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("committed in block ") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended before it committed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let file = fs::read_dir(&sealed).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|e| e == "json")).last().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(!graph.contains("weights:"), "nobody sees them yet: {graph}");
    let told = done(&[&["subnet", "reveal", "--wait"], &own[..]].concat());
    assert!(told.contains("revealed, block"), "{told}");
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(graph.contains("weights: 1=65535"), "{graph}");
    let told = done(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(told.contains("nothing of "), "{told}");

    // Nobody comes in time.
    let now = epochs(&node);
    let told = done(&[&["subnet", "weights", "1", "0=1", "1=2"], &own[..]].concat());
    assert!(told.contains("subnet reveal"), "{told}");
    within(60, "two epochs", || epochs(&node) > now + 2);
    let (code, out, err) = run(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(code == 1 && out.contains("missed: it could be revealed in epoch"), "{out}{err}");
    assert!(err.contains("1 commits can never be revealed"), "{err}");
    let told = done(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(told.contains("nothing of "), "told once: {told}");

    // What a reveal would be refused for is refused before anything is committed.
    for (weights, why) in [(["7=1", "1=1"], "the subnet has 2 neurons"), (["1=1", "1=2"], "named twice")] {
        let (code, out, err) = run(&[&["subnet", "weights", "1"], &weights[..], &own].concat());
        assert!(code == 1 && err.contains(why), "{out}{err}");
    }

    // Where weights are set at once, the same command sets them.
    let consumer = ["--key", "demo:consumer", "--node", &node];
    done(&[&["subnet", "hyperparameters", "1", "--set", "commit_reveal=false"], &consumer[..]].concat());
    let told = done(&[&["subnet", "weights", "1", "0=1", "1=2"], &own[..]].concat());
    assert!(told.contains("weights_set"), "{told}");
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(graph.contains("weights: 0=32768 1=65535"), "{graph}");
}
