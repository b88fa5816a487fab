//! The manual is what `--help` prints: a change of it is seen in review.

use std::process::Command;

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dodona"))
        // What the environment says is shown in the manual.
        .env_remove("DODONA_NODE")
        .env_remove("DODONA_KEY")
        .env_remove("DODONA_KEYS")
        .env_remove("DODONA_PASSPHRASE_FILE")
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_manual_is_as_reviewed() {
    insta::assert_snapshot!("dodona", help(&["--help"]));
    insta::assert_snapshot!("demo", help(&["demo", "--help"]));
    insta::assert_snapshot!("backtest", help(&["backtest", "--help"]));
    for (name, args) in [
        ("keys", &["keys", "--help"][..]),
        ("send", &["send", "--help"]),
        ("validator", &["validator", "--help"]),
        ("validator_create", &["validator", "create", "--help"]),
        ("stake", &["stake", "--help"]),
        ("keys_add", &["keys", "add", "--help"]),
        ("keys_export", &["keys", "export", "--help"]),
        ("topic", &["topic", "--help"]),
        ("topic_lint", &["topic", "lint", "--help"]),
        ("topic_create", &["topic", "create", "--help"]),
        ("topic_update", &["topic", "update", "--help"]),
        ("explain_worker", &["explain", "worker", "--help"]),
        ("export_epoch", &["export", "epoch", "--help"]),
        ("recompute", &["recompute", "--help"]),
        ("query_inference", &["query", "inference", "--help"]),
        ("verify", &["verify", "--help"]),
        ("trust_export", &["trust", "export", "--help"]),
        ("mechanism", &["mechanism", "--help"]),
    ] {
        insta::assert_snapshot!(name, help(args));
    }
}

#[test]
fn wrong_arguments_end_with_code_2() {
    for args in [&["demo", "--rule", "magic"][..], &["demo", "--epochs", "0"], &["backtest"], &["fly"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_dodona")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}
