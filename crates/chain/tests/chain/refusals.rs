//! Refusals as the table of published clients' wire description has them: codespace, code, and the words those clients
//! look for.

use std::{fs, path::Path};

use super::{
    emissions::{REPUTERS, WORKERS, fresh, of_losses},
    kit::*,
    messages::*,
};

fn check(net: &Net, tx: &Tx, id: (&str, u32), words: &[&str]) {
    let no = net.refused(tx);
    assert_eq!(no.id(), id, "{no:?}");
    for word in words {
        assert!(no.log.contains(word), "`{word}` is not in `{}`", no.log);
    }
}

#[test]
fn transactions_that_cannot_be_in_a_block_are_refused_in_the_words_clients_look_for() {
    let mut net = Net::with(|p| p.max_tx_bytes = 4_000);
    net.done(&[send("alice", "bob", 1)]);
    let good = send("alice", "bob", 1);
    check(
        &net,
        &Tx { sequence: 3, ..good.clone() },
        ("sdk", 32),
        &["account sequence mismatch, expected 1, got 4: incorrect account sequence"],
    );
    let cheap = net.refused(&Tx { fee: 1, ..good.clone() });
    assert_eq!(cheap.id(), ("sdk", 13));
    assert!(cheap.log.starts_with("insufficient fees; got: 1uallo required: "), "{}", cheap.log);
    assert!(cheap.log.ends_with("uallo: insufficient fee"), "{}", cheap.log);
    let chain = Tx { chain: "other-1", ..good.clone() };
    let number = Tx { number: Some(99), ..good.clone() };
    for wrong in [chain, number] {
        let words = [
            "signature verification failed; please verify account number (",
            ") and chain-id (kit-1)",
            "unauthorized",
        ];
        check(&net, &wrong, ("sdk", 4), &words);
    }
    let nobody = text("nobody");
    let words = [format!("account {nobody} does not exist: unknown address")];
    check(&net, &send("nobody", "bob", 1), ("sdk", 9), &words.each_ref().map(String::as_str));
    let foreign = prost_types::Any { type_url: "/foreign.Msg".into(), value: Vec::new() };
    check(&net, &Tx::new("alice", vec![foreign]), ("sdk", 6), &["unknown request"]);
    let long = (0..100).fold(good.clone(), |tx, _| tx.and(good.clone())).gas(4_000_000);
    check(&net, &long, ("sdk", 21), &["tx too large"]);
}

#[test]
fn transactions_that_fail_in_a_block_say_so_in_the_words_clients_look_for() {
    let net = Net::new();
    check(&net, &send("alice", "bob", 2 * PURSE), ("sdk", 5), &["insufficient funds"]);
    check(
        &net,
        &send("alice", "bob", 1).gas(24_000),
        ("sdk", 11),
        &["out of gas in location: ", "; gasWanted: 24000, gasUsed: ", ": out of gas"],
    );
    check(&net, &submit("w1", 9, 1, "1"), ("emissions", 23), &["invalid topic ID", "topic 9 does not exist"]);
}

#[test]
fn payloads_out_of_place_are_refused_in_the_words_workers_look_for() {
    let mut net = Net::new();
    let id = net.market(of_losses(), &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[submit("w1", id, n, "10"), submit("w2", id, n, "11")]);
    check(&net, &submit("w1", id, n, "10"), ("emissions", 78), &["inference already submitted"]);
    check(
        &net,
        &submit("w9", id, n, "10"),
        ("emissions", 13),
        &["worker is not registered in this topic: address not registered"],
    );
    check(&net, &submit("w3", id, n + 999, "10"), ("emissions", 75), &["unfulfilled nonce not found"]);
    net.done(&[lists("alice", id, Some(true), Some(true))]);
    let listed = net.refused(&submit("w3", id, n, "10"));
    assert!(listed.log.contains("not permitted to submit payload"), "{}", listed.log);
    assert!(![68, 75, 78].contains(&listed.code), "{listed:?}");
    net.done(&[lists("alice", id, Some(false), Some(false))]);
    net.wait_until(window.worker_last);
    check(&net, &submit("w3", id, n, "10"), ("emissions", 67), &["worker nonce window not available"]);
    let whole = bundle(&net, id, n, 10.1, 0.0);
    check(&net, &losses("r1", &whole), ("emissions", 68), &["reputer nonce window not available"]);
    check(
        &net,
        &losses("r8", &whole),
        ("emissions", 13),
        &["reputer is not registered in this topic: address not registered"],
    );
    net.wait_until(window.truth_first - 1);
    net.done(&[losses("r1", &whole), losses("r2", &whole)]);
    check(&net, &losses("r1", &whole), ("emissions", 78), &["already submitted"]);
    net.wait_until(window.truth_last);
    check(&net, &losses("r1", &whole), ("emissions", 75), &["unfulfilled nonce not found"]);
}

/// Clients take 68, 75 and 78 for "already submitted", whatever the codespace says.
#[test]
fn the_codes_of_having_submitted_mean_nothing_else_anywhere() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let allowed = [
        "Self::TruthWindow { .. } => 68,",
        "Self::NoEpoch { .. } | Self::Done { .. } => 75,",
        "Self::AlreadySubmitted { .. } | Self::AlreadyReported { .. } => 78,",
    ];
    let mut seen = 0;
    for folder in ["chain/src", "node/src"] {
        let mut folders = vec![crates.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                    let number =
                        |n: u32| line.contains(&format!("=> {n},")) || line.contains(&format!("code: {n},"));
                    if [68, 75, 78].into_iter().any(number) {
                        assert!(allowed.contains(&line), "{}: {line}", path.display());
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 3);
}
