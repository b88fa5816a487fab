//! The demo as its user runs it: the real program, its exit code, what it prints, what it leaves behind.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

fn dodona() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dodona"));
    command.env_remove("DODONA_LOG").stdin(Stdio::null());
    command
}

fn demo(args: &[&str]) -> Command {
    let mut command = dodona();
    command.args(["demo", "--headless", "--output", "json", "--rest-port", "0"]).args(args);
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{errors}"))
}

fn fails_with(mut command: Command, words: &[&str]) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for word in words {
        assert!(errors.contains(word), "`{word}` is missing in: {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_headless_run_ends_with_one_json_object_that_adds_up() {
    let summary = json(&run(demo(&["--epochs", "60"])));
    assert_eq!(summary["losses"]["epochs"], 60);
    assert_eq!(summary["blocks"], 3 + 60 + 1, "three blocks of setup, one per epoch, one for the last truth");
    let network = summary["losses"]["network"]["squared"].as_f64().unwrap();
    assert!(network > 0.0 && network.is_finite());
    assert!(summary["losses"]["members"].as_array().unwrap().len() >= 12 + 2);
    let classes = &summary["classes"];
    assert_eq!(classes["epochs"], 60, "the topic of classes runs side by side");
    assert!(classes["network"].as_f64().unwrap() > 0.0 && classes["members"].as_array().unwrap().len() >= 5);
    // What consumers pay replaces minting: after the first block's emission the funding lasts for the whole run.
    let supply: u128 = summary["supply"].as_str().unwrap().parse().unwrap();
    let members = |rewards: &Value| rewards.as_array().unwrap().len() as u128;
    let participants = members(&summary["rewards"]) + members(&classes["rewards"]);
    let allo = 1_000_000_000_000_000_000u128;
    // The last ALLO is the validator's own.
    assert_eq!(supply, (100_000 + 1_000_000) * allo + participants * 1_000 * allo + 5 * allo + allo);
    assert_eq!(summary["state_root"].as_str().unwrap().len(), 64);
}

#[test]
fn same_seed_same_root_other_seed_other_root() {
    let root = |seed: &str| {
        json(&run(demo(&["--epochs", "25", "--seed", seed])))["state_root"].as_str().unwrap().to_string()
    };
    let first = root("7");
    assert_eq!(first, root("7"));
    assert_ne!(first, root("8"));
}

#[test]
fn every_rule_and_series_runs() {
    for (series, rule) in [("sp500", "regret"), ("temperature", "median"), ("electricity", "mean")] {
        let summary = json(&run(demo(&["--epochs", "30", "--series", series, "--rule", rule])));
        assert_eq!(summary["losses"]["epochs"], 30, "{series} {rule}");
    }
}

#[test]
fn killed_at_any_moment_and_continued_it_ends_at_the_same_root() {
    let whole = json(&run(demo(&["--epochs", "120"])));
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let home_text = home.to_str().unwrap();
    let mut interrupted = 0;
    for round in 0..6u64 {
        let mut child = demo(&["--epochs", "120", "--home", home_text])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments are spread over start-up, genesis and the replay.
        let until = Instant::now() + Duration::from_millis(40 + 170 * round);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_none() {
            interrupted += 1;
            child.kill().unwrap();
        }
        child.wait().unwrap();
    }
    assert!(interrupted > 0, "the run was never interrupted");
    let continued = json(&run(demo(&["--epochs", "120", "--home", home_text])));
    assert_eq!(continued["state_root"], whole["state_root"]);
    assert_eq!(continued["losses"], whole["losses"]);
    assert_eq!(continued["rewards"], whole["rewards"]);
}

#[test]
fn nothing_is_left_behind_without_a_home() {
    let dir = tempfile::tempdir().unwrap();
    json(&run({
        let mut command = demo(&["--epochs", "5"]);
        command.env("TMPDIR", dir.path()).current_dir(dir.path());
        command
    }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_polite_kill_ends_with_the_summary_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = demo(&["--epochs", "3000"])
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // From the moment its folder exists it must also take it away.
    while fs::read_dir(dir.path()).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let summary = json(&output);
    assert!(summary["losses"]["epochs"].as_u64().unwrap() < 3000);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_home_of_another_demo_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    json(&run(demo(&["--epochs", "5", "--home", home])));
    fails_with(demo(&["--epochs", "5", "--home", home, "--seed", "2"]), &["another genesis", "--home"]);
    fails_with(demo(&["--epochs", "5", "--home", home, "--rule", "regret"]), &["another demo", "rule power"]);
}

#[test]
fn a_folder_with_other_things_in_it_is_no_home() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    fails_with(demo(&["--epochs", "5", "--home", dir.path().to_str().unwrap()]), &["no genesis.json"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fails_with(demo(&["--epochs", "5", "--home", "/proc/nowhere"]), &["cannot make", "/proc/nowhere"]);
}

#[test]
fn a_first_start_that_was_cut_off_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let text = home.to_str().unwrap();
    json(&run(demo(&["--epochs", "3", "--home", text])));
    // Only the key was written; then, everything but what this demo is.
    fs::remove_file(home.join("genesis.json")).unwrap();
    fs::remove_file(home.join("chain.redb")).unwrap();
    fs::remove_file(home.join("demo.txt")).unwrap();
    json(&run(demo(&["--epochs", "3", "--home", text])));
    fs::write(home.join("demo.txt"), "").unwrap();
    json(&run(demo(&["--epochs", "4", "--home", text])));
    // A key of somebody else would never be asked for a vote.
    fs::write(home.join("validator_key.hex"), "11".repeat(32)).unwrap();
    fails_with(demo(&["--epochs", "5", "--home", text]), &["validator_key.hex", "backup"]);
}

#[test]
fn numbers_that_fade_to_nothing_are_submitted_as_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("timestamp,value\n");
    for i in 0..900 {
        let value = if i < 100 { 1000.0 + f64::from(i) } else { 0.0 };
        text.push_str(&format!("{},{value}\n", 1_600_000_000 + 3600 * i));
    }
    let summary = json(&run(demo(&["--epochs", "300", "--series", &csv(dir.path(), &text)])));
    assert_eq!(summary["losses"]["epochs"], 300);
}

#[test]
fn a_taken_port_is_replaced() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = dodona();
    command.args(["demo", "--headless", "--output", "json", "--epochs", "3", "--rest-port", &port]);
    let output = run(command);
    json(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is taken"));
}

fn csv(dir: &Path, text: &str) -> String {
    let path = dir.join("series.csv");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn a_bad_csv_is_refused_with_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |bad: &str| {
        let mut text = String::from("timestamp,value\n");
        for i in 0..200 {
            text.push_str(&format!("{},{}\n", 1_600_000_000 + 3600 * i, i % 24));
        }
        text.push_str(bad);
        csv(dir.path(), &text)
    };
    fails_with(demo(&["--series", &rows("1700000000,many\n")]), &["line 202", "many"]);
    fails_with(demo(&["--series", &rows("1700000000,1e400\n")]), &["line 202"]);
    fails_with(demo(&["--series", &rows("1700000000,1e-50\n")]), &["line 202", "column 2", "another unit"]);
    fails_with(demo(&["--series", &rows("1500000000,3\n")]), &["line 202"]);
    fails_with(demo(&["--series", &rows("\n1700000000,\n")]), &["line 203"]);
    fails_with(demo(&["--series", "no/such.csv"]), &["electricity", "no/such.csv"]);
}

#[test]
fn a_csv_with_a_byte_order_mark_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("\u{feff}timestamp,value\r\n");
    for i in 0..400 {
        text.push_str(&format!("{},{}\r\n", 1_600_000_000 + 3600 * i, (i % 24) * (i % 7)));
    }
    let summary = json(&run(demo(&["--epochs", "20", "--series", &csv(dir.path(), &text)])));
    assert_eq!(summary["losses"]["epochs"], 20);
}

#[test]
fn two_subnets_earn_beside_the_topics_and_one_sells_its_best_answer_to_them() {
    let args = ["--epochs", "90", "--subnets"];
    let summary = json(&run(demo(&args)));
    assert_eq!(summary["losses"]["epochs"], 90);
    let subnets = summary["subnets"].as_array().unwrap();
    assert_eq!(subnets.len(), 2);
    for subnet in subnets {
        assert!(subnet["epochs"].as_u64().unwrap() >= 3, "{subnet}");
        assert!(subnet["pool"].as_f64().unwrap() > 0.0);
        let share = |row: &Value| row["share"].as_f64().unwrap();
        let miners = subnet["miners"].as_array().unwrap();
        let all: f64 = miners.iter().map(share).sum();
        assert!((0.99..=1.001).contains(&all), "miners share what miners earn: {subnet}");
        let paid: Vec<f64> = miners.iter().map(|row| row["staked"].as_f64().unwrap()).collect();
        let best = miners.iter().map(share).fold(0.0, f64::max);
        for (row, paid) in miners.iter().zip(&paid) {
            assert!(share(row) < best || *paid > 0.0, "who is worth most was paid: {subnet}");
        }
        let validators: f64 = subnet["validators"].as_array().unwrap().iter().map(share).sum();
        assert!((0.99..=1.001).contains(&validators), "{subnet}");
    }
    let texts = subnets[0]["miners"].as_array().unwrap();
    let cheat = texts.iter().find(|row| row["name"] == "cheat").unwrap();
    assert_eq!((cheat["share"].as_f64(), cheat["staked"].as_f64()), (Some(0.0), Some(0.0)));
    // The bridge: what the second one values most is a member of the topic, and earns there.
    let best = subnets[1]["miners"].as_array().unwrap().iter();
    let best = best.max_by(|a, b| a["share"].as_f64().unwrap().total_cmp(&b["share"].as_f64().unwrap()));
    assert_eq!(subnets[1]["sells"], best.unwrap()["name"]);
    let members = summary["rewards"].as_array().unwrap();
    let seller = members.iter().find(|row| row["name"] == "forecast-subnet").unwrap();
    assert!(seller["submitted"].as_u64().unwrap() > 60, "{seller}");
    assert!(seller["earned"].as_f64().unwrap() > 0.0, "{seller}");
    // The same again, also after a start that was cut off.
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let home = home.to_str().unwrap();
    let cut = json(&run(demo(&["--epochs", "33", "--subnets", "--home", home])));
    assert_eq!(cut["losses"]["epochs"], 33);
    let continued = json(&run(demo(&["--epochs", "90", "--subnets", "--home", home])));
    assert_eq!(continued["state_root"], summary["state_root"]);
    assert_eq!(continued["subnets"], summary["subnets"]);
    fails_with(demo(&["--epochs", "90", "--home", home]), &["another genesis"]);
    // In words.
    let text = run({
        let mut command = dodona();
        command.args(["demo", "--headless", "--rest-port", "0", "--epochs", "60", "--subnets"]);
        command
    });
    let text = String::from_utf8_lossy(&text.stdout).to_string();
    assert!(
        text.contains("subnet 1, text compression") && text.contains("its owner sells the word of"),
        "{text}"
    );
}
