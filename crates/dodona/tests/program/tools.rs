//! The tools around a node as their user runs them: doctor, settings, tables, completions, manual pages, and a list of
//! commands that leaves none out.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::kit::{Demo, dodona, done, run, text};
use serde_json::Value;

#[test]
fn a_doctor_finds_a_healthy_demo_and_says_what_to_do_when_it_is_gone() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let keys = keys.to_str().unwrap();
    let args = ["doctor", "--node", &demo.node, "--keys", keys, "--output", "json"];
    let found: Value = serde_json::from_str(&done(&args)).unwrap();
    let state = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == name)
            .map(|check| check["state"].as_str().unwrap().to_string())
    };
    for name in ["node", "clock", "blocks"] {
        assert_eq!(state(name).as_deref(), Some("ok"), "{name}: {found}");
    }
    assert!(state("disk").is_some());
    let nobody = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
    let (code, out, err) = run(&["doctor", "--node", &demo.node, "--keys", keys, "--account", "nobody"]);
    assert!(code == 1 && out.contains("no key is called `nobody`") && err.contains("failed"), "{out}{err}");
    drop(demo);
    let args = ["doctor", "--node", "http://127.0.0.1:1", "--keys", keys, "--account", nobody];
    let (code, out, err) = run(&args);
    assert!(code == 1 && out.contains("BAD  node") && out.contains("dodona demo"), "{out}{err}");
}

#[test]
fn a_doctor_looks_into_a_home() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let home = home.to_str().unwrap();
    done(&["init", "--home", home]);
    let (code, out, _) = run(&["doctor", "--node", "http://127.0.0.1:1", "--home", home]);
    assert!(code == 1 && out.contains("no genesis.json") && out.contains("ok   settings"), "{out}");
    fs::write(format!("{home}/config.toml"), "monicker = \"x\"\n").unwrap();
    let (_, out, _) = run(&["doctor", "--node", "http://127.0.0.1:1", "--home", home]);
    assert!(out.contains("BAD  settings") && out.contains("monicker"), "{out}");
}

#[test]
fn a_bundle_tells_what_helps_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (home, log, bundle) = (path("home"), path("node.log"), path("bundle.json"));
    done(&["init", "--home", &home, "--moniker", "troubled"]);
    let keys: Vec<String> = ["validator_key.hex", "network_key.hex", "operator_key.hex"]
        .iter()
        .map(|name| fs::read_to_string(format!("{home}/{name}")).unwrap().trim().to_string())
        .collect();
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let told = format!(
        "INFO committed height=7\nDEBUG key {}\nDEBUG words {words}\nWARN passphrase=hunter2\n\
         WARN peer http://me:s3cr3t@example.org/x?token=t0k3n refused\n",
        keys[0]
    );
    fs::write(&log, told).unwrap();
    let args =
        ["doctor", "--node", "http://127.0.0.1:1", "--home", &home, "--bundle", &bundle, "--log", &log];
    let output = dodona(&args).env("DODONA_PASSPHRASE_FILE", "/secret/place").output().unwrap();
    let (code, _, err) = text(&output);
    assert!(code == 1 && err.contains("look through it"), "no node answers, the bundle is there: {err}");
    let written = fs::read_to_string(&bundle).unwrap();
    let secrets = ["winner", "sausage", "hunter2", "s3cr3t", "t0k3n", "/secret/place"];
    for secret in keys.iter().map(String::as_str).chain(secrets) {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
    let found: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(found["settings"]["moniker"], "troubled");
    assert_eq!(found["files"]["validator_key.hex"]["mode"], "600");
    assert!(found["environment"].as_array().unwrap().iter().any(|name| name == "DODONA_PASSPHRASE_FILE"));
    let checks = found["diagnosis"]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "node" && check["state"] == "bad"), "{written}");
    assert_eq!(found["log"][0], "INFO committed height=7", "what is no secret stays");
    // Nobody else may read it, and an older one is not lost.
    let mode = fs::metadata(&bundle).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(run(&args).2.contains("choose a name that is not taken"));
}

#[test]
fn lines_are_json_objects_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["start", "--home", dir.path().to_str().unwrap(), "--log-format", "json"];
    let (code, _, err) = run(&args);
    assert_eq!(code, 78);
    let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR", "{err}");
    assert!(last["fields"]["message"].as_str().unwrap().contains("genesis.json"), "{err}");
    let variable = dodona(&["demo", "--headless", "--epochs", "3", "--rest-port", "0", "--grpc-port", "0"])
        .args(["--rpc-port", "0", "--dashboard-port", "0", "--metrics-port", "0"])
        .env("DODONA_LOG_FORMAT", "json")
        .env("DODONA_LOG", "info")
        .output()
        .unwrap();
    let (code, _, err) = text(&variable);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["target"] != "dodona"), "the log's own lines are among them: {err}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{err}");
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    fs::write(dir.path().join("config.toml"), "moniker = \"file\"\n[store]\nkeep_blocks = 7\n").unwrap();
    let output = dodona(&["config", "show", "--origin", "--home", home, "--output", "json"])
        .env("DODONA_MONIKER", "environment")
        .env("DODONA_REST", "")
        .output()
        .unwrap();
    let (code, out, err) = text(&output);
    assert_eq!(code, 0, "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    let setting =
        |name: &str| (shown[name]["value"].clone(), shown[name]["origin"].as_str().unwrap().to_string());
    assert_eq!(setting("moniker"), ("environment".into(), "DODONA_MONIKER".into()));
    assert_eq!(setting("doors.rest"), ("".into(), "DODONA_REST".into()));
    assert_eq!(setting("doors.grpc"), ("127.0.0.1:9090".into(), "default".into()));
    let (kept, origin) = setting("store.keep_blocks");
    assert!(kept == 7 && origin.ends_with("config.toml"), "{shown}");
    assert!(done(&["config", "show", "--home", home]).contains("moniker = \"file\"\n"));
    fs::write(dir.path().join("config.toml"), "nonsense").unwrap();
    assert!(run(&["config", "show", "--home", home]).2.contains("config.toml"));
}

#[test]
fn tables_add_up_to_what_the_chain_says() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("epochs.csv");
    done(&["export", "epochs", "--topic", "1", "--node", &demo.node, "--out", file.to_str().unwrap()]);
    let epochs = fs::read_to_string(&file).unwrap();
    let mut lines = epochs.lines();
    assert!(lines.next().unwrap().starts_with("epoch,nonce,state,label,combined,"));
    let scored: Vec<Vec<&str>> =
        lines.map(|line| line.split(',').collect()).filter(|row: &Vec<&str>| row[2] == "scored").collect();
    assert!(scored.len() >= 30, "{epochs}");
    assert!(scored.iter().all(|row| row.len() == 15 && row[8].parse::<f64>().is_ok()), "{epochs}");

    let rewards = done(&["export", "rewards", "--topic", "1", "--node", &demo.node, "--format", "jsonl"]);
    let rows: Vec<Value> = rewards.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nonce: u64 = scored[0][1].parse().unwrap();
    let paid: u128 = rows
        .iter()
        .filter(|row| row["nonce"] == nonce)
        .map(|row| row["reward_uallo"].as_str().unwrap().parse::<u128>().unwrap())
        .sum();
    assert_eq!(paid.to_string(), scored[0][12], "what the parts earned is what the epoch paid");
    let one = rows[0]["address"].as_str().unwrap();
    let args = ["export", "rewards", "--topic", "1", "--node", &demo.node, "--from", "3", "--address", one];
    let own = done(&args);
    assert!(own.lines().count() > 10 && own.lines().skip(1).all(|line| line.contains(one)), "{own}");

    let stakes = done(&["export", "stakes", "--topic", "1", "--node", &demo.node]);
    assert_eq!(
        stakes.lines().filter(|line| line.contains(",,own,10") && line.ends_with(',')).count(),
        3,
        "{stakes}"
    );
    // Classes: a row per label.
    let classes = done(&["export", "epochs", "--topic", "2", "--node", &demo.node]);
    assert!(classes.lines().any(|line| line.contains(",scored,down,")), "{classes}");
    assert_eq!(run(&["export", "stakes", "--topic", "99", "--node", &demo.node]).0, 1);
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(done(&["completions", shell]).contains("dodona"), "{shell}");
    }
    assert!(done(&["man"]).contains(".TH dodona 1"));
    let dir = tempfile::tempdir().unwrap();
    done(&["man", "--out", dir.path().to_str().unwrap()]);
    let page = fs::read_to_string(dir.path().join("dodona-worker-run.1")).unwrap();
    assert!(page.contains("no\\-preflight"), "{page}");
}

/// Names of the commands below one, as its help tells them.
fn below(command: &[String]) -> Vec<Vec<String>> {
    let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
    args.push("--help");
    let help = done(&args);
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let mut all = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        let name = line.strip_prefix("  ").and_then(|line| line.split(' ').next()).unwrap_or_default();
        if !name.is_empty() && name != "help" {
            let path = [command, &[name.to_string()]].concat();
            let deeper = below(&path);
            if deeper.is_empty() { all.push(path) } else { all.extend(deeper) }
        }
    }
    all
}

#[test]
fn the_list_of_commands_leaves_none_out() {
    let list = include_str!("../../../../docs/commands.md");
    let commands = below(&[]);
    assert!(commands.len() > 40, "{commands:?}");
    let missing: Vec<String> = commands
        .iter()
        .map(|path| path.join(" "))
        .filter(|path| !list.contains(&format!("`{path}`")) && !list.contains(&format!("`{path} ")))
        .collect();
    assert!(missing.is_empty(), "not in docs/commands.md: {missing:?}");
}

#[test]
fn the_list_of_pages_for_programs_is_complete_and_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = include_str!("../../../../llms.txt");
    let linked: Vec<&str> =
        list.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(page, _)| page)).collect();
    for page in &linked {
        assert!(root.join(page).is_file(), "{page} is not there");
    }
    for folder in ["docs", "docs/operate", "docs/protocol"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let page = format!("{folder}/{name}");
            assert!(!name.ends_with(".md") || linked.contains(&page.as_str()), "llms.txt lacks {page}");
        }
    }
}
