//! `dodona keys` as its user runs it: made, recovered, handed over, used, and never told to whom it does not concern.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use crate::kit::{Demo, fed, run};
use serde_json::Value;

const ABOUT: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const ABOUT_HEX: &str = "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104";
const ABOUT_ADDRESS: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
const PASS: &str = "correct horse battery";

/// A folder with an empty key store and a file with a passphrase.
struct Desk {
    dir: tempfile::TempDir,
    keys: String,
    pass: String,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys").to_str().unwrap().to_string();
        let pass = secret_file(dir.path(), "pass", &format!("{PASS}\n"));
        Self { dir, keys, pass: pass.to_str().unwrap().into() }
    }

    /// Runs `dodona keys …` with both.
    fn keys(&self, args: &[&str]) -> (i32, String, String) {
        run(&[&["keys"], args, &["--keys", &self.keys, "--passphrase-file", &self.pass]].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let (code, out, err) = self.keys(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        assert!(!err.contains(ABOUT_HEX) && !err.contains("abandon") && !err.contains(PASS), "{err}");
        out
    }
}

fn secret_file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn words_and_hex_of_other_wallets_give_the_same_account_both_ways() {
    let desk = Desk::new();
    let words = secret_file(desk.dir.path(), "words", &format!("{}\n", ABOUT.to_uppercase()));
    desk.done(&["add", "alice", "--words-file", words.to_str().unwrap()]);
    let out = run(&["keys", "show", "alice", "--keys", &desk.keys, "--output", "json"]).1;
    let card: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&card["name"], &card["address"]), (&"alice".into(), &ABOUT_ADDRESS.into()));

    let out = desk.dir.path().join("alice.hex");
    assert_eq!(desk.done(&["export", "alice", "--out", out.to_str().unwrap()]), "");
    assert_eq!(fs::read_to_string(&out).unwrap().trim(), ABOUT_HEX);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.done(&["export", "alice", "--words", "--reveal"]).trim(), ABOUT);
    desk.done(&["import", "bob", "--hex-file", out.to_str().unwrap()]);
    assert_eq!(desk.done(&["export", "bob", "--reveal"]).trim(), ABOUT_HEX);

    let list = run(&["keys", "list", "--keys", &desk.keys, "--output", "json"]).1;
    let list: Value = serde_json::from_str(&list).unwrap();
    let addresses: Vec<&str> =
        list.as_array().unwrap().iter().map(|k| k["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, [ABOUT_ADDRESS; 2]);

    // Both secrets over standard input, the passphrase first; another index is another account.
    let args = ["keys", "recover", "carol", "--index", "1", "--words-file", "-", "--keys", &desk.keys];
    let (code, out, err) =
        fed(&[&args[..], &["--passphrase-file", "-"]].concat(), format!("{PASS}\n{ABOUT}\n").as_bytes());
    assert!(code == 0 && out.contains("carol") && !out.contains(ABOUT_ADDRESS), "{out}{err}");

    let (code, _, err) = run(&["keys", "delete", "bob", "--keys", &desk.keys]);
    assert!(code == 1 && err.contains("--yes"), "{err}");
    assert_eq!(run(&["keys", "delete", "bob", "--yes", "--keys", &desk.keys]).0, 0);
    assert_eq!(desk.keys(&["export", "bob", "--reveal"]).0, 1);
}

#[test]
fn a_new_key_keeps_its_words_to_itself_and_opens_with_its_passphrase_only() {
    let desk = Desk::new();
    let (code, out, err) = desk.keys(&["new", "alice"]);
    assert!(code == 0 && out.contains("allo1") && err.contains("keys export alice --words"), "{out}{err}");
    let words = desk.done(&["export", "alice", "--words", "--reveal"]);
    assert_eq!(words.split_whitespace().count(), 24);
    assert!(!out.contains(words.trim()) && !err.contains(words.trim()));

    let new = secret_file(desk.dir.path(), "new", "another passphrase\n");
    desk.done(&["passphrase", "alice", "--new-passphrase-file", new.to_str().unwrap()]);
    let file = Path::new(&desk.keys).join("alice.key");
    let whole = fs::read_to_string(&file).unwrap();
    for (text, mode, word) in [
        (whole.clone(), 0o600, "the passphrase is wrong"),
        (whole.clone(), 0o644, "can be read by others (mode 644): `chmod 600` it"),
        (whole.replacen('a', "b", 1), 0o600, "is damaged"),
        ("{}".into(), 0o600, "is damaged"),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, err) = desk.keys(&["export", "alice", "--reveal"]);
        assert!(code == 1 && out.is_empty() && err.contains(word), "{word}: {err}");
    }
    for (args, word) in [
        (&["new", "alice"][..], "there is a key called `alice` already"),
        (&["export", "dora", "--reveal"], "no key is called `dora`"),
        (&["new", "../dora"], "is no name for a key"),
    ] {
        let (code, _, err) = desk.keys(args);
        assert!(code == 1 && err.contains(word), "{err}");
    }
    // Nobody to ask, and secrets are no arguments.
    let (code, _, err) = run(&["keys", "new", "dora", "--keys", &desk.keys]);
    assert!(code == 1 && err.contains("--passphrase-file"), "{err}");
    assert_eq!(desk.keys(&["add", "dora", ABOUT]).0, 2);
    assert_eq!(desk.keys(&["export", "alice"]).0, 2, "where to is said");
    let bad = secret_file(desk.dir.path(), "bad", &ABOUT.replace("about", "secretive"));
    let (code, _, err) = desk.keys(&["add", "dora", "--words-file", bad.to_str().unwrap()]);
    assert!(code == 1 && err.contains("word 12 is not on the list") && !err.contains("secretive"), "{err}");
}

#[test]
fn a_worker_and_a_topics_creator_sign_with_an_encrypted_key() {
    let demo = Demo::start(&[]);
    let desk = Desk::new();
    desk.done(&["new", "alice"]);
    let state = desk.dir.path().join("state");
    let unlock =
        ["--key", "alice", "--keys", &desk.keys, "--passphrase-file", &desk.pass, "--node", &demo.node];
    let args = ["worker", "run", "builtin:theta", "--topic", "1", "--dir", state.to_str().unwrap()];
    let (code, out, err) = run(&[&args[..], &unlock, &["--epochs", "1"]].concat());
    assert!(code == 0 && err.contains("registered for topic 1"), "{out}{err}");
    assert!(!state.join("worker.key").exists());
    // The worker's last word may still wait for its block, under the same sequence number.
    let mut tries = 0;
    loop {
        let (code, out, err) = run(&[&["topic", "fund", "1", "0.001"][..], &unlock].concat());
        tries += 1;
        match code {
            0 => break,
            _ => assert!(err.contains("waits") && tries < 20, "{out}{err}"),
        }
        sleep(Duration::from_millis(500));
    }

    // A plain key that others may read is refused, wherever it is.
    let plain = secret_file(desk.dir.path(), "plain.key", ABOUT_HEX);
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) =
        run(&["topic", "fund", "1", "1", "--node", &demo.node, "--key", plain.to_str().unwrap()]);
    assert!(code == 1 && err.contains("chmod 600") && !err.contains(ABOUT_HEX), "{err}");
    let own = desk.dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let own_key = secret_file(&own, "worker.key", ABOUT_HEX);
    fs::set_permissions(&own_key, fs::Permissions::from_mode(0o604)).unwrap();
    let args = ["worker", "run", "builtin:theta", "--topic", "1", "--dir", own.to_str().unwrap()];
    let (code, _, err) = run(&[&args[..], &["--node", &demo.node]].concat());
    assert!(code == 1 && err.contains("chmod 600"), "{err}");
}
