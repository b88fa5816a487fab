//! A proof made by a live node, checked by the program with nothing but the trust file: the value, every step, exit
//! codes, and what changed bytes and wrong files come to.

use std::fs;

use crate::kit::{Demo, dodona, done, text};
use serde_json::Value;

fn fails(args: &[&str], words: &[&str]) -> String {
    let (code, out, err) = text(&dodona(args).output().unwrap());
    assert_eq!(code, 1, "{args:?}: {out}{err}");
    for word in words {
        assert!(err.contains(word), "`{word}` is missing in: {out}{err}");
    }
    assert!(!err.contains("panicked"), "{err}");
    out
}

#[test]
fn a_proof_of_a_live_node_verifies_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let demo = Demo::start(&["--home", home.to_str().unwrap()]);
    let node = ["--node", demo.node.as_str()];
    let file = |name: &str, text: &str| -> String {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let query = |args: &[&str]| done(&[&["query", "inference"], args, &node].concat());
    let genesis = home.join("genesis.json");
    let trusts = [
        file("genesis-trust.json", &done(&["trust", "export", "--genesis", genesis.to_str().unwrap()])),
        file("early-trust.json", &done(&[&["trust", "export", "--height", "5"], &node[..]].concat())),
        file("trust.json", &done(&[&["trust", "export"], &node[..]].concat())),
    ];
    let document = query(&["--topic", "1", "--prove", "--output", "json"]);
    let told: Value = serde_json::from_str(&query(&["--topic", "1", "--output", "json"])).unwrap();
    let nonce = told["inference"]["nonce"].to_string();
    let height = told["height"].to_string();
    let older = query(&["--topic", "1", "--epoch", &nonce, "--prove", "--trusted-height", "0"]);
    let classes = query(&["--topic", "2", "--height", &height, "--prove"]);
    let absent = query(&["--topic", "77", "--prove"]);
    let not_kept = query(&["--topic", "1", "--epoch", "1", "--prove"]);
    assert!(query(&["--topic", "1", "--height", &height]).contains("topic 1, epoch "));
    let page = [&["query", "inference", "--topic", "77"], &node[..]].concat();
    fails(&page, &["there is no topic 77"]);
    drop(demo);

    // The node is gone.
    for (name, document) in
        [("p", &document), ("older", &older), ("classes", &classes), ("absent", &absent), ("none", &not_kept)]
    {
        let proof = file(name, document);
        for trust in &trusts {
            let out = done(&["verify", &proof, "--trust", trust, "--no-clock"]);
            for step in
                ["format", "trust", "chain", "header", "signatures", "trusted", "state", "value", "age"]
            {
                assert!(out.contains(&format!("✓ {step} ")), "{step} is missing in {out}");
            }
        }
        let json = done(&["verify", &proof, "--trust", &trusts[2], "--no-clock", "--output", "json"]);
        let report: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&report["verified"], report["inference"].is_null()),
            (&true.into(), name == "absent" || name == "none")
        );
        if name == "older" {
            assert_eq!(report["inference"], told["inference"], "what was told is what is proven");
        }
        println!("{name}: {} bytes", document.len());
    }
    let proof = file("p.json", &document);
    let trust = trusts[2].as_str();
    // Time in a demo is not the world's: with a clock its trust is old.
    fails(&["verify", &proof, "--trust", trust], &["not verified: trust: ", "export a new one"]);
    let changed = file("changed", &document.replacen("\"round\":0", "\"round\":1", 1));
    let out = fails(&["verify", &changed, "--trust", trust, "--no-clock"], &["signature of", "is invalid"]);
    assert!(out.contains("✗ signatures"), "{out}");
    let json = fails(&["verify", &changed, "--trust", trust, "--no-clock", "--output", "json"], &[]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["verified"], &report["claim"]), (&false.into(), &Value::Null));
    let genesis = genesis.to_str().unwrap();
    fails(&["verify", genesis, "--trust", trust, "--no-clock"], &["format"]);
    fails(&["verify", &proof, "--trust", genesis, "--no-clock"], &["dodona trust export"]);
    fails(&["verify", "nowhere", "--trust", trust], &["cannot read nowhere"]);
    fails(&["trust", "export", "--genesis", trust], &["is no genesis file"]);
    for wrong in [
        &["verify", &proof][..],
        &["verify", &proof, "--trust", trust, "--max-age", "soon"],
        &["verify", &proof, "--trust", trust, "--max-age", "1m", "--no-clock"],
        &["query", "inference", "--topic", "1", "--trusted-height", "0"],
        &["query", "inference", "--prove"],
    ] {
        let (code, _, err) = text(&dodona(wrong).output().unwrap());
        assert_eq!(code, 2, "{wrong:?}: {err}");
    }
}
