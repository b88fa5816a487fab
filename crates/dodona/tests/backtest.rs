//! The backtest as its user runs it.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

use std::{fs, process::Command};

use serde_json::Value;

fn backtest(args: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_dodona"))
        .args(["backtest", "--output", "json"])
        .args(args)
        .output()
        .expect("the program starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}

/// `good` is off by one, `bad` by ten, `part` is perfect but silent in every second row.
fn matrix(rows: usize) -> String {
    let mut text = String::from("timestamp,truth,good one,bad,part\n");
    for i in 0..rows {
        let truth = 50.0 + (i % 10) as f64;
        let part = if i % 2 == 0 { truth.to_string() } else { String::new() };
        text.push_str(&format!("{},{truth},{},{},{part}\n", 1_600_000_000 + i, truth + 1.0, truth - 10.0));
    }
    text
}

#[test]
fn predictions_made_elsewhere_are_scored_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.csv");
    fs::write(&path, matrix(300)).unwrap();
    let path = path.to_str().unwrap();
    let report = backtest(&["--predictions", path]).unwrap();
    let losses = &report["losses"];
    assert_eq!(losses["epochs"], 300);
    let member = |name: &str| {
        losses["members"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap().clone()
    };
    assert_eq!(member("good one")["loss"]["squared"], 1.0);
    assert_eq!(member("bad")["loss"]["squared"], 100.0);
    assert_eq!(member("part")["epochs"], 150);
    // Perfect, but not there often enough to compete.
    assert_eq!(losses["best_member"]["name"], "good one");
    let network = losses["network"]["squared"].as_f64().unwrap();
    let mean = losses["mean"]["squared"].as_f64().unwrap();
    assert!(network < mean, "{network} {mean}");
    let missed = report["rewards"].as_array().unwrap().iter().find(|r| r["name"] == "part").unwrap();
    assert_eq!(missed["missed"], 150);
}

#[test]
fn the_same_backtest_twice_has_the_same_root() {
    let root = || backtest(&["--data", "sp500", "--rule", "regret"]).unwrap()["state_root"].clone();
    assert_eq!(root(), root());
}

#[test]
fn every_rule_loss_and_horizon_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.csv");
    fs::write(&path, matrix(80)).unwrap();
    for rule in ["power", "regret", "median", "mean"] {
        for (loss, horizon) in [("squared", "1"), ("absolute", "6")] {
            let args = [
                "--predictions",
                path.to_str().unwrap(),
                "--rule",
                rule,
                "--loss",
                loss,
                "--horizon",
                horizon,
            ];
            let report = backtest(&args).unwrap();
            assert_eq!(report["losses"]["epochs"], 80, "{rule} {loss} {horizon}");
        }
    }
}

#[test]
fn rows_in_which_nobody_reported_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.csv");
    let mut text = String::from("timestamp,truth,a,b\n");
    for i in 0..100 {
        let cells = if i % 10 == 3 { ",".to_string() } else { format!("{i},{}", i + 1) };
        text.push_str(&format!("{},{i},{cells}\n", 1_600_000_000 + i));
    }
    fs::write(&path, text).unwrap();
    for horizon in ["1", "3"] {
        let report = backtest(&["--predictions", path.to_str().unwrap(), "--horizon", horizon]).unwrap();
        assert_eq!(report["losses"]["epochs"], 90);
    }
}

#[test]
fn unusable_input_is_named() {
    assert!(backtest(&["--data", "nothing.csv"]).unwrap_err().contains("nothing.csv"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.csv");
    fs::write(&path, "timestamp,truth,a\n1,2,x\n2,3,4\n").unwrap();
    let error = backtest(&["--predictions", path.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("line 2"), "{error}");
}
