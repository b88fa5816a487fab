//! A network on one machine, as its operators make it: the ceremony of a genesis, and four validators in four processes.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::kit::{Localnet, dodona, done, path, run, within};
use serde_json::Value;

#[test]
fn strangers_agree_on_a_genesis_and_a_changed_declaration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = path(dir.path(), "genesis.json");
    done(&["genesis", "new", "--chain-id", "grove-1", "--out", &genesis]);
    let (code, _, err) = run(&["genesis", "new", "--chain-id", "grove-1", "--out", &genesis]);
    assert!(code == 1 && err.contains("exists already"), "{err}");

    let mut declarations = Vec::new();
    for name in ["alder", "birch"] {
        let home = path(dir.path(), name);
        let made: Value =
            serde_json::from_str(&done(&["init", "--home", &home, "--moniker", name, "--output", "json"]))
                .unwrap();
        let again = done(&["init", "--home", &home, "--output", "json"]);
        assert!(again.contains(made["public_key"].as_str().unwrap()), "a key is made once");
        let operator = made["operator"].as_str().unwrap();
        let out = path(dir.path(), &format!("{name}.json"));
        done(&[
            "genesis",
            "add-validator",
            "--home",
            &home,
            "--genesis",
            &genesis,
            "--operator",
            operator,
            "--power",
            "500",
            "--moniker",
            name,
            "--out",
            &out,
        ]);
        declarations.push(out);
    }
    let forged = path(dir.path(), "forged.json");
    fs::write(&forged, fs::read_to_string(&declarations[1]).unwrap().replace("500", "900")).unwrap();
    let (code, _, err) = run(&["genesis", "collect", &genesis, &forged]);
    assert!(code == 1 && err.contains("signature"), "{err}");

    let told = done(&["genesis", "collect", &genesis, &declarations[0], &declarations[1]]);
    assert!(told.contains("validators  2") && told.contains("50.00 %"), "{told}");
    let checked: Value =
        serde_json::from_str(&done(&["genesis", "validate", &genesis, "--output", "json"])).unwrap();
    assert_eq!(checked["power"], 1_000);
    assert!(told.contains(checked["hash"].as_str().unwrap()), "everybody compares the same hash");
}

fn lives(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn four_processes_are_one_chain_survive_the_loss_of_one_and_all_end_when_their_maker_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let home = path(dir.path(), "net");
    let mut net = Localnet::start(&home, &["--validators", "4"]);
    assert!((0..4).all(|n| net.height(n) > 0));
    within(30, "everybody knows everybody", || {
        let (_, out, _) = run(&["peers", "--rpc", &net.url(2, "rpc"), "--output", "json"]);
        out.contains("\"n_peers\":\"3\"")
    });

    // A transaction given to one node is in a block although that node alone decides nothing.
    let topic = path(dir.path(), "topic.toml");
    let text = "title = \"t\"\ntarget = \"x\"\nunit = \"u\"\ntruth_source = \"https://example.org\"\n\
        resolution = \"as it says\"\n[schedule]\nepoch_length = 5\nworker_window = 2\ntruth_lag = 7\ntruth_window = 3\n";
    fs::write(&topic, text).unwrap();
    done(&["topic", "create", &topic, "--key", "demo:consumer", "--node", &net.url(3, "rest")]);
    within(10, "the others have it too", || {
        run(&["topic", "show", "1", "--node", &net.url(0, "rest")]).0 == 0
    });

    // One of four is killed without notice: the rest go on, and it comes back with the next start.
    let pids = net.pids();
    Command::new("kill").args(["-9", &pids[1]]).status().unwrap();
    let before = net.height(0);
    within(60, "three of four make blocks", || net.height(0) > before + 2);

    // The maker is killed: nobody stays behind.
    net.child.kill().unwrap();
    net.child.wait().unwrap();
    within(30, "the nodes end with their maker", || !pids.iter().any(|pid| lives(pid)));

    let again = Localnet::start(&home, &["--validators", "4"]);
    within(60, "all four are there again and go on", || (0..4).all(|n| again.height(n) > before + 3));
    let (code, _, err) = run(&["localnet", "--home", &home]);
    assert!(code == 1 && err.contains("runs in") && err.contains("end it first"), "{err}");
    drop(again);
    let (code, _, err) = run(&["localnet", "--validators", "3", "--home", &home]);
    assert!(code == 1 && err.contains("holds a network of 4"), "{err}");
}

#[test]
fn a_new_node_begins_with_a_proven_snapshot_of_its_peer() {
    let dir = tempfile::tempdir().unwrap();
    let home = path(dir.path(), "net");
    // Made once with the usual settings, then told to make snapshots.
    drop(Localnet::start(&home, &["--validators", "1"]));
    let first = dir.path().join("net/node1");
    let settings = fs::read_to_string(first.join("config.toml")).unwrap();
    assert!(settings.contains("snapshot_every = 0"));
    fs::write(first.join("config.toml"), settings.replace("snapshot_every = 0", "snapshot_every = 4"))
        .unwrap();
    let net = Localnet::start(&home, &["--validators", "1"]);
    // Its ports may be others than before, if somebody took those.
    let settings = fs::read_to_string(first.join("config.toml")).unwrap();
    let trust = path(dir.path(), "trust.json");
    fs::write(&trust, done(&["trust", "export", "--node", &net.url(0, "rest")])).unwrap();
    // A snapshot counts if it is not older than what is trusted.
    let trusted = net.height(0);
    within(60, "a newer snapshot is made", || net.height(0) > trusted + 6);

    let joining = dir.path().join("joining");
    let new = path(dir.path(), "joining");
    done(&["init", "--home", &new]);
    fs::copy(first.join("genesis.json"), joining.join("genesis.json")).unwrap();
    let port =
        |line: &str| settings.lines().filter(|l| l.starts_with(line)).map(String::from).collect::<Vec<_>>();
    let listens = port("listen = ");
    let plain = |line: &str| line.trim_start_matches("listen = ").trim_matches('"').to_string();
    let own = fs::read_to_string(joining.join("config.toml")).unwrap();
    let own = own
        .replace("0.0.0.0:26656", "127.0.0.1:0")
        .replace("0.0.0.0:26655", "127.0.0.1:0")
        .replacen("persistent = []", &format!("persistent = [\"{}\"]", plain(&listens[0])), 1)
        .replacen("persistent = []", &format!("persistent = [\"{}\"]", plain(&listens[1])), 1);
    fs::write(joining.join("config.toml"), own).unwrap();
    let mut child = dodona(&["start", "--home", &new, "--trust", &trust])
        .args(["--rest", "127.0.0.1:0", "--grpc", "", "--rpc", "", "--dashboard", "", "--metrics", ""])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut door) = (Vec::new(), None);
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        door = line.strip_prefix("REST ").map(|rest| format!("http://{}", rest.split(',').next().unwrap()));
        told.push(line);
        if door.is_some() {
            break;
        }
    }
    let told = told.join("\n");
    let door = door.unwrap_or_else(|| panic!("{told}"));
    // It follows the chain from there; then it is asked to end, and does.
    let height = || {
        let (code, out, _) = run(&["status", "--node", &door, "--output", "json"]);
        if code == 0 { serde_json::from_str::<Value>(&out).unwrap()["height"].as_u64().unwrap() } else { 0 }
    };
    let first_seen = net.height(0);
    within(60, "the new node follows", || height() > first_seen);
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(told.contains("begins after block"), "{told}");
    assert!(status.success(), "{told}");
    let word = |after: &str| {
        told.split(after).nth(1).unwrap().split([' ', ':', '\n']).next().unwrap().parse::<u64>()
    };
    let begun = word("begins after block ").unwrap();
    assert!(begun > trusted && begun.is_multiple_of(4), "{told}");
    assert!(word("from block ").unwrap() >= begun, "{told}");
    let replayed = done(&["replay", "--home", &new, "--output", "json"]);
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    assert_eq!(replayed["after"], begun);
    assert!(replayed["blocks"].as_u64().unwrap() > 0, "it followed the chain: {replayed}");
}
