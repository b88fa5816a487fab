//! The commands that speak to a node, as their user runs them: against a demo that lives in another process.

use std::fs;

use crate::kit::{Demo, done, fed, run};
use serde_json::Value;

const TOPIC: &str = r#"
title = "ETH in five minutes"
target = "ETH/USD, five minutes ahead"
unit = "USD"
truth_source = "https://example.org/eth"
resolution = "the mean of three exchanges; a missing one is left out"

[schedule]
epoch_length = 5
worker_window = 2
truth_lag = 7
truth_window = 3

[plan]
stake = "100"
funding = "2.5"
"#;

fn fails(args: &[&str], words: &[&str]) -> String {
    let (code, out, err) = run(args);
    assert_eq!(code, 1, "{args:?}: {out}{err}");
    for word in words {
        assert!(err.contains(word) || out.contains(word), "`{word}` is missing in: {out}{err}");
    }
    assert!(!err.contains("panicked"), "{err}");
    out
}

#[test]
fn lint_names_every_refused_field_and_what_an_accepted_topic_costs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("topic.toml");
    let file = path.to_str().unwrap();
    fs::write(&path, TOPIC).unwrap();
    let out = done(&["topic", "lint", file]);
    for word in ["cost ", "wakes ", "funding ", "accepted", "2 epochs wait for their truth"] {
        assert!(out.contains(word), "{out}");
    }
    let found: Value = serde_json::from_str(&done(&["topic", "lint", file, "--output", "json"])).unwrap();
    assert_eq!(found["facts"]["blocks_to_pay"], 10);
    assert_eq!(found["facts"]["waiting_epochs"], 2);

    let wrong = TOPIC
        .replace("epoch_length = 5", "epoch_length = 0")
        .replace("truth_lag = 7", "truth_lag = 1")
        .replace("[plan]", "[rule]\nkappa = 1\n[hearing]\nmax_forecasters = 1000\n[plan]");
    fs::write(&path, wrong).unwrap();
    let out = fails(&["topic", "lint", file, "--output", "json"], &["refuse"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let fields: Vec<&str> =
        found["refusals"].as_array().unwrap().iter().map(|r| r["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["epoch_length", "truth_lag", "power rule settings", "max_forecasters"]);

    // An epoch and a window longer than a month: each is told once, and what follows is told too.
    let long = TOPIC
        .replace("epoch_length = 5", "epoch_length = 900000")
        .replace("worker_window = 2", "worker_window = 900000")
        .replace("truth_lag = 7", "truth_lag = 900000")
        .replace("[plan]", "[rule]\nkappa = 1\n[plan]");
    fs::write(&path, long).unwrap();
    let out = fails(&["topic", "lint", file, "--output", "json"], &["refuse"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let fields: Vec<&str> =
        found["refusals"].as_array().unwrap().iter().map(|r| r["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["epoch_length", "worker_window", "power rule settings"]);

    fs::write(&path, TOPIC.replace("title =", "rule = \"powr\"\ntitle =")).unwrap();
    fails(&["topic", "lint", file], &["a section, such as [rule] with name = \"power\""]);

    fs::write(&path, TOPIC.replace("unit =", "units =")).unwrap();
    fails(&["topic", "lint", file], &["units", "expected one of"]);
    fails(&["topic", "lint", "nowhere.toml"], &["cannot read nowhere.toml"]);

    for example in include_str!("../../../../docs/topic-file.md").split("```toml\n").skip(1) {
        fs::write(&path, example.split("```").next().unwrap()).unwrap();
        done(&["topic", "lint", file]);
    }
}

#[test]
fn a_topic_is_created_funded_changed_and_shown_on_a_live_node() {
    let demo = Demo::start(&[]);
    let node = demo.node.as_str();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("topic.toml");
    fs::write(&path, TOPIC).unwrap();
    let sign = ["--node", node, "--key", "demo:consumer", "--output", "json"];
    let run = |args: &[&str]| -> Value { serde_json::from_str(&done(&[args, &sign].concat())).unwrap() };
    let created = run(&["topic", "create", path.to_str().unwrap(), "--fund", "2.5"]);
    assert_eq!((&created["topic_id"], &created["funded"]), (&3.into(), &"2500000000000000000".into()));
    assert_eq!(created["spec"]["truth_lag"], 7);
    let funded = run(&["topic", "fund", "3", "1.5"]);
    assert_eq!(funded["funded"], "4000000000000000000");
    let updated = run(&["topic", "update", "3", "--set", "metadata=seen", "--set", "alpha_regret=0.2"]);
    assert_eq!(
        (&updated["spec"]["metadata"], &updated["spec"]["alpha_regret"]),
        (&"seen".into(), &"0.2".into())
    );
    assert_eq!(updated["spec"]["target"], "ETH/USD, five minutes ahead", "what is not named stays");
    assert!(done(&["topic", "show", "3", "--node", node]).contains("sleeps: no stake"));

    let other = ["--node", node, "--key", "demo:theta"];
    fails(&[&["topic", "update", "3", "--set", "metadata=mine"], &other[..]].concat(), &["may not"]);
    fails(&[&["topic", "fund", "3", "1e5"], &other[..]].concat(), &["no amount"]);
    fails(&[&["topic", "fund", "3", "99999999"], &other[..]].concat(), &["insufficient funds"]);
    fails(&[&["topic", "update", "3", "--set", "unit=EUR"], &other[..]].concat(), &["cannot change"]);
    fails(&["topic", "show", "9", "--node", node], &["topic 9"]);
    fails(&["topic", "show", "1", "--node", "http://127.0.0.1:1"], &["cannot reach", "is a node running"]);
}

#[test]
fn an_exported_epoch_computes_to_the_chains_digits_and_a_changed_one_does_not() {
    let demo = Demo::start(&[]);
    let node = demo.node.as_str();
    let dir = tempfile::tempdir().unwrap();
    for topic in ["1", "2"] {
        let path = dir.path().join(format!("epoch-{topic}.json"));
        let file = path.to_str().unwrap();
        done(&["export", "epoch", "--topic", topic, "--out", file, "--node", node]);
        assert!(done(&["recompute", file]).contains("to the last digit"));
        let exported = fs::read_to_string(&path).unwrap();
        let view: Value = serde_json::from_str(&exported).unwrap();
        // One unit more for one member, and the file no longer fits.
        let paid = view["epoch"]["parts"].as_array().unwrap().iter().find(|p| p["reward"] != "0").unwrap();
        let reward: u128 = paid["reward"].as_str().unwrap().parse().unwrap();
        let quoted = |amount: u128| format!("\"reward\": \"{amount}\"");
        let changed = exported.replacen(&quoted(reward), &quoted(reward + 1), 1);
        assert_ne!(changed, exported);
        fs::write(&path, changed).unwrap();
        fails(&["recompute", file], &["differs: reward of", "numbers differ"]);
        // What explain says is what was paid.
        let (who, nonce) = (paid["address"].as_str().unwrap(), view["nonce"].to_string());
        let args = [
            "explain", "worker", who, "--topic", topic, "--epoch", &nonce, "--node", node, "--output", "json",
        ];
        let told: Value = serde_json::from_str(&done(&args)).unwrap();
        assert!(told["parts"].as_array().unwrap().iter().any(|part| part["reward"] == paid["reward"]));
    }
    assert!(done(&["explain", "topic", "--topic", "2", "--node", node]).contains("truth"));
    assert!(done(&["explain", "reputer", "reputer-1", "--topic", "1", "--node", node]).contains("stake"));
    fails(
        &["explain", "worker", "nobody", "--topic", "1", "--node", node],
        &["no member of topic 1", "boosted-trees"],
    );
    fails(&["export", "epoch", "--topic", "1", "--epoch", "1", "--node", node], &["epoch 1"]);
}

#[test]
fn what_is_no_exported_epoch_is_refused_with_a_way_out() {
    let (code, _, err) = fed(&["recompute", "-"], b"{}");
    assert_eq!(code, 1);
    assert!(err.contains("no exported epoch") && err.contains("dodona export epoch"), "{err}");
    fails(&["recompute", "nowhere.json"], &["cannot read nowhere.json"]);
}
