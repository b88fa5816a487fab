//! The backtest as its user runs it.

use std::{fs, path::Path, process::Command};

use crate::kit::{Demo, done, refused};
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

/// A model in a file, which repeats the newest value.
fn repeating(dir: &Path) -> String {
    let path = dir.join("mine.py");
    fs::write(&path, "def predict(ctx):\n    return ctx.history[-1]\n").unwrap();
    path.to_str().unwrap().to_string()
}

fn member<'a>(report: &'a Value, name: &str) -> &'a Value {
    let members = report["members"].as_array().unwrap();
    members.iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("{name}: {members:?}"))
}

#[test]
fn a_model_of_ones_own_is_one_more_member_and_its_page_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let model = repeating(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (page, saved) = (path("report.html"), path("answers.csv"));
    let args = [&model, "--data", "temperature", "--last", "250", "--report", &page, "--save", &saved];
    let report = backtest(&args).unwrap();
    // The built-in model of the same mind has the same loss.
    let own = report["protocol"]["loss"].as_f64().unwrap();
    assert_eq!(member(&report, "last-value")["loss"].as_f64().unwrap(), own);
    assert_eq!(member(&report, "mine.py")["candidate"], true);
    assert_eq!((&report["epochs"], &report["protocol"]["heard"]), (&250.into(), &250.into()));
    let (rank, of) =
        (report["protocol"]["rank"].as_u64().unwrap(), report["protocol"]["of"].as_u64().unwrap());
    assert!(rank > 1 && rank <= of && of >= 10, "{rank} of {of}");
    let band = &report["protocol"]["reward_share"];
    let end = |name: &str| band[name].as_f64().unwrap();
    assert!(end("low") <= end("value") && end("value") <= end("high"), "{band}");
    assert_eq!(report["skill"]["improvement"], 0.0, "repeating the last value is no skill");
    let states: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok"; 4], "{}", report["checks"]);

    let html = fs::read_to_string(&page).unwrap();
    for part in ["<svg", "prefers-color-scheme:dark", "mine.py", "<polyline class=own"] {
        assert!(html.contains(part), "{part} is missing");
    }
    for foreign in ["http://", "https://", "src=", "url(", "<script", "@import", "<link"] {
        assert!(!html.contains(foreign), "{foreign} in the page");
    }
    // Answers that were kept are asked of nobody, and the same seed draws the same.
    let again = ["--predictions", &saved, "--candidate", "mine.py"];
    let (first, second) = (backtest(&again).unwrap(), backtest(&again).unwrap());
    assert_eq!(first, second);
    assert_eq!(first["protocol"]["loss"].as_f64().unwrap(), own);
    assert!(done(&["backtest", "--predictions", &saved, "--candidate", "mine.py"]).contains("rank by loss"));
}

#[test]
fn what_a_model_brings_is_the_difference_of_two_runs_of_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (with, without) = (dir.path().join("with.csv"), dir.path().join("without.csv"));
    let mut texts =
        [String::from("timestamp,truth,low,lower,mine\n"), String::from("timestamp,truth,low,lower\n")];
    for i in 0..300u32 {
        let truth = 50.0 + f64::from(i % 10);
        let row = format!("{},{truth},{},{}", 1_600_000_000 + i, truth - 4.0, truth - 2.0 - f64::from(i % 3));
        texts[0].push_str(&format!("{row},{}\n", truth + 0.5));
        texts[1].push_str(&(row + "\n"));
    }
    fs::write(&with, &texts[0]).unwrap();
    fs::write(&without, &texts[1]).unwrap();
    let (with, without) = (with.to_str().unwrap(), without.to_str().unwrap());
    let report = backtest(&["--predictions", with, "--candidate", "mine"]).unwrap();
    let near = |a: &Value, b: &Value| {
        let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
        assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} {b}");
    };
    // The plain backtest of the same tables says the same of the network.
    let plain =
        |path: &str| backtest(&["--predictions", path]).unwrap()["losses"]["network"]["squared"].clone();
    near(&report["protocol"]["network_with"], &plain(with));
    near(&report["protocol"]["network_without"], &plain(without));
    let gained = &report["protocol"]["contribution_percent"];
    assert!(gained["low"].as_f64().unwrap() > 50.0 && gained["value"].as_f64().unwrap() <= 100.0, "{gained}");
    assert_eq!((&report["protocol"]["rank"], &report["protocol"]["rank_by_reward"]), (&1.into(), &1.into()));
    let paid: f64 = report["members"].as_array().unwrap().iter().map(|m| m["earned"].as_f64().unwrap()).sum();
    let share = report["protocol"]["reward_share"]["value"].as_f64().unwrap();
    assert!(share > 0.3 && share <= 1.0 && paid > 0.0, "{share} of {paid}");
}

#[test]
fn a_model_that_is_constant_in_another_unit_broken_or_knows_the_future_is_stopped_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let model = |name: &str, body: &str| {
        let path = dir.path().join(name);
        fs::write(&path, body).unwrap();
        path.to_str().unwrap().to_string()
    };
    // A walk that nobody can know.
    let mut series = String::from("timestamp,value\n");
    let (mut state, mut value) = (7u64, 1_000.0);
    for i in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value += ((state >> 40) as f64 / f64::from(1 << 24)).mul_add(10.0, -5.0);
        series.push_str(&format!("{},{value}\n", 1_600_000_000 + 60 * i));
    }
    let data = model("walk.csv", &series);
    let stopped = |body: &str, why: &[&str]| {
        let file = model("model.py", body);
        let error = backtest(&[&file, "--data", &data]).unwrap_err();
        for word in why {
            assert!(error.contains(word), "`{word}` is missing in: {error}");
        }
        file
    };
    let constant =
        stopped("def predict(ctx):\n    return 1000.0\n", &["constant", "always 1000", "--no-preflight"]);
    stopped(
        "def predict(ctx):\n    return ctx.history[-1] / 1000\n",
        &["unit", "far from the recent truths"],
    );
    stopped("def predict(ctx):\n    return float('nan')\n", &["failed 5 times in a row"]);
    stopped("def predict(ctx):\n    raise ValueError('no data')\n", &["no data"]);
    // It reads the answer where it should not.
    let peeking = format!(
        "import csv\nrows = [float(r['value']) for r in csv.DictReader(open({data:?}))]\n\
         def predict(ctx):\n    return rows[len(ctx.history)]\n"
    );
    stopped(&peeking, &["leakage", "a past that never was"]);
    let report = backtest(&[&constant, "--data", &data, "--no-preflight"]).unwrap();
    assert!(report["checks"].as_array().unwrap().iter().any(|check| check["state"] == "bad"), "{report}");
    refused(&["backtest", "--data", &data, "--report", "x.html"], "name one");
}

#[test]
fn a_model_is_tried_among_the_members_of_a_live_topic() {
    let demo = Demo::start(&[]);
    let args = ["builtin:ema-fast", "--topic", "1", "--last", "25", "--node", &demo.node];
    let report = backtest(&args).unwrap();
    assert_eq!(report["epochs"], 25);
    let members = report["members"].as_array().unwrap();
    assert!(members.len() > 12, "the demo's own models are the rivals: {members:?}");
    // The demo's model sees the newest row; a worker of a chain learns a truth when it is scored.
    assert!(report["horizon"].as_u64().unwrap() >= 2, "{}", report["horizon"]);
    let expected = &report["protocol"]["expected_allo"];
    assert!(expected["low"].as_f64().unwrap() <= expected["high"].as_f64().unwrap(), "{expected}");
    refused(&["backtest", "builtin:theta", "--topic", "2", "--node", &demo.node], "labels");
    refused(&["backtest", "builtin:theta", "--topic", "99", "--node", &demo.node], "99");
}
