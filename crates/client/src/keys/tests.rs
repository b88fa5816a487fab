//! Words lead where other wallets lead; a file gives its secret to the right passphrase only and says what is wrong.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

const PASS: &str = "correct horse battery";
const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

fn store(dir: &Path) -> KeyStore {
    KeyStore::new(&dir.join("keys")).with_cost(CHEAP)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Words, private key, address: the examples that wallets of this family publish.
#[test]
fn words_lead_to_the_published_keys_and_addresses() {
    let about = format!("{}about", "abandon ".repeat(11));
    let secret = Phrase::read(&about).unwrap().secret(0, 0).unwrap();
    assert_eq!(*secret.hex(), "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104");
    let key = secret.key().unwrap();
    assert_eq!(
        hex::encode(key.public()),
        "024f4e2ad99c34d60b9ba6283c9431a8418af8673212961f97a77b6377fcd05b62"
    );
    assert_eq!(key.address().to_string(), "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv");

    let special = "special sign fit simple patrol salute grocery chicken wheat radar tonight ceiling";
    let key = Phrase::read(special).unwrap().secret(0, 0).unwrap().key().unwrap();
    assert_eq!(
        hex::encode(key.public()),
        "02baa4ef93f2ce84592a49b1d729c074eab640112522a7a89f7d03ebab21ded7b6"
    );

    // 24 words, as new keys have.
    let faucet = "economy stock theory fatal elder harbor betray wasp final emotion task crumble siren bottom \
                  lizard educate guess current outdoor pair theory focus wife stone";
    let phrase = Phrase::read(faucet).unwrap();
    let key = phrase.secret(0, 0).unwrap().key().unwrap();
    assert_eq!(
        hex::encode(key.public()),
        "034f04181eeba35391b858633a765c4a0c189697b40d216354d50890d350c70290"
    );
    assert_ne!(phrase.secret(0, 1).unwrap().hex(), phrase.secret(0, 0).unwrap().hex());
    assert_ne!(phrase.secret(1, 0).unwrap().hex(), phrase.secret(0, 0).unwrap().hex());
    assert!(phrase.secret(0, 1 << 31).is_err());
}

#[test]
fn words_are_read_leniently_and_refused_without_being_repeated() {
    let phrase = Phrase::draw().unwrap();
    let text = phrase.text();
    assert_eq!(text.split(' ').count(), 24);
    let shouted = format!("  {}\n", text.to_uppercase().replace(' ', " \t "));
    assert_eq!(*Phrase::read(&shouted).unwrap().text(), *text);
    assert_ne!(*Phrase::draw().unwrap().text(), *text, "two draws differ");

    let twelve = format!("{}about", "abandon ".repeat(11));
    for (wrong, word) in [
        (twelve.replace("about", "abandon"), "checksum"),
        (twelve.replacen("abandon", "secretword", 1), "word 1 is not"),
        ("abandon about".into(), "2 words"),
        (String::new(), "0 words"),
        ("abandon ".repeat(1_000), "too long"),
    ] {
        let error = Phrase::read(&wrong).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(!error.contains("abandon") && !error.contains("secretword"), "{error}");
    }
}

#[test]
fn a_key_comes_back_with_its_passphrase_and_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let keys = store(dir.path());
    assert!(keys.names().unwrap().is_empty());
    let secret = Phrase::draw().unwrap().secret(0, 0).unwrap();
    let card = keys.put("alice", &secret, PASS).unwrap();
    let file = keys.dir().join("alice.key");
    assert_eq!((mode(keys.dir()), mode(&file)), (0o700, 0o600));
    assert_eq!(keys.card("alice").unwrap(), card);
    assert_eq!(card.address, secret.key().unwrap().address().to_string());

    let opened = keys.open("alice", PASS).unwrap();
    assert_eq!((opened.hex(), opened.words().unwrap()), (secret.hex(), secret.words().unwrap()));
    assert!(matches!(keys.open("alice", "correct horse batterz"), Err(KeyError::Passphrase)));
    assert!(matches!(keys.open("alice", ""), Err(KeyError::Passphrase)));
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(secret.hex().as_str()) && !text.contains("abandon"));

    assert!(matches!(keys.put("alice", &secret, PASS), Err(KeyError::Exists(_))));
    assert!(matches!(keys.put("bob", &secret, "short"), Err(KeyError::Weak)));
    let imported = Secret::from_hex(&format!("0x{}\n", secret.hex().as_str())).unwrap();
    keys.put("bob", &imported, PASS).unwrap();
    assert!(matches!(keys.open("bob", PASS).unwrap().words(), Err(KeyError::Wordless)));
    assert_eq!(keys.names().unwrap(), ["alice", "bob"]);

    keys.change_passphrase("alice", PASS, "another passphrase").unwrap();
    assert!(matches!(keys.open("alice", PASS), Err(KeyError::Passphrase)));
    assert_eq!(keys.open("alice", "another passphrase").unwrap().hex(), secret.hex());
    assert_eq!(mode(&file), 0o600);

    keys.delete("alice").unwrap();
    let error = keys.open("alice", PASS).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no key is called `alice`") && error.contains("bob"), "{error}");
    assert!(matches!(keys.delete("alice"), Err(KeyError::Missing { .. })));
}

#[test]
fn what_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = store(dir.path());
    let secret = Phrase::draw().unwrap().secret(0, 0).unwrap();
    keys.put("alice", &secret, PASS).unwrap();
    let file = keys.dir().join("alice.key");
    for (path, wide, right) in [(file.as_path(), 0o640, 0o600), (keys.dir(), 0o755, 0o700)] {
        set_mode(path, wide);
        let error = keys.open("alice", PASS).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, KeyError::Open { mode, wanted, .. } if (mode, wanted) == (wide, right)),
            "{error}"
        );
        set_mode(path, right);
    }
    let plain = dir.path().join("worker.key");
    fs::write(&plain, secret.hex().as_bytes()).unwrap();
    set_mode(&plain, 0o644);
    assert!(matches!(plain_file(&plain), Err(KeyError::Open { .. })));
    set_mode(&plain, 0o600);
    assert_eq!(plain_file(&plain).unwrap().address(), secret.key().unwrap().address());
}

#[test]
fn every_damaged_byte_is_noticed_and_told_apart_from_a_wrong_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let keys = store(dir.path());
    let secret = Phrase::draw().unwrap().secret(0, 0).unwrap();
    keys.put("alice", &secret, PASS).unwrap();
    let file = keys.dir().join("alice.key");
    let whole = fs::read(&file).unwrap();
    let open = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        keys.open("alice", PASS).map(|secret| secret.hex())
    };
    for cut in 0..whole.len() - 1 {
        assert!(matches!(open(&whole[..cut]), Err(KeyError::Damaged { .. })), "{cut}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
        match open(&changed) {
            Err(KeyError::Damaged { .. }) => {}
            // The name is not bound, and blanks between fields say nothing.
            Ok(hex) => assert_eq!(hex, secret.hex()),
            Err(other) => panic!("{at}: {other}"),
        }
    }
    let text = String::from_utf8(whole.clone()).unwrap();
    let greedy = text.replace("\"memory_kib\": 64", "\"memory_kib\": 4294967295");
    assert_ne!(greedy, text);
    assert!(
        matches!(open(greedy.as_bytes()), Err(KeyError::Damaged { cause, .. }) if cause.contains("memory"))
    );
    assert!(matches!(open(&vec![b' '; 1 << 20]), Err(KeyError::Damaged { .. })));
    assert_eq!(open(&whole).unwrap(), secret.hex());
}

#[test]
fn names_stay_inside_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let keys = store(dir.path());
    let secret = Phrase::draw().unwrap().secret(0, 0).unwrap();
    for name in ["", "../alice", "a/b", ".alice", "-alice", "ä", "a b", &"a".repeat(65)] {
        assert!(matches!(keys.put(name, &secret, PASS), Err(KeyError::Name(_))), "{name}");
    }
    for hex in ["", "00", &"00".repeat(32), &"ff".repeat(32), &"zz".repeat(32), &"11".repeat(33)] {
        assert!(matches!(Secret::from_hex(hex), Err(KeyError::Hex)), "{hex}");
    }
}
