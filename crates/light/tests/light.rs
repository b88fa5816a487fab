//! What a proof shows, and that nothing else passes for one.
#![allow(clippy::unwrap_used, clippy::panic)] // failing is how a test speaks

mod common;

use common::*;
use dodona_consensus::Height;
use dodona_light::{Claim, Inference, MAX_BYTES, MAX_LINKS, Policy, Proof, Report, Trust, verify};

/// The step that failed, which is the last, must be this one and say this.
fn fails(report: &Report, name: &str, words: &str) {
    assert!(!report.verified, "{:#?}", report.steps);
    let last = report.steps.last().unwrap();
    assert!(!last.ok && last.name == name && last.detail.contains(words), "{last:?}");
    assert!(report.steps.iter().rev().skip(1).all(|s| s.ok));
    assert!(report.claim.is_none() && report.inference.is_none() && report.height.is_none());
}

fn four() -> dodona_consensus::ValidatorSet {
    set(&[(1, 10), (2, 10), (3, 10), (4, 10)])
}

#[test]
fn a_proof_shows_the_newest_inference_and_every_step() {
    let (net, four) = (Net::new(), four());
    let block = net.block(60, &four, &four, &[1, 2, 4]);
    let report = check(&net.proof(newest(), vec![], block), &genesis(&four));
    assert!(report.verified, "{:#?}", report.steps);
    let names: Vec<_> = report.steps.iter().map(|s| s.name).collect();
    let all =
        ["format", "trust", "chain", "header", "signatures", "trusted", "state", "value", "age"].to_vec();
    assert_eq!(names, all);
    let found = report.inference.unwrap();
    assert_eq!((found.topic, found.nonce, found.at, found.members), (TOPIC, NONCE, 44, 12));
    assert_eq!((found.values[0].label.as_str(), found.values[0].value), ("y", 0.5));
    assert_eq!((report.height, report.time_ms), (Some(60), Some(60_000)));
    assert_eq!((report.state_age_ms, report.age_ms), (Some(40_000), Some(56_000)));
}

#[test]
fn the_chains_bytes_of_an_inference_are_those_read_here() {
    for labels in [&["y"][..], &["down", "flat", "up"], &[]] {
        let chains = inference(labels);
        let bytes = borsh::to_vec(&chains).unwrap();
        let ours: Inference = borsh::from_slice(&bytes).unwrap();
        assert_eq!(borsh::to_vec(&ours).unwrap(), bytes);
        assert_eq!((ours.topic, ours.nonce, ours.members), (chains.topic, chains.nonce, chains.members));
        assert_eq!((ours.at, ours.time_ms), (chains.at, chains.time_ms));
        for (ours, (label, value, interval)) in ours.values.iter().zip(&chains.values) {
            let bars = [interval.p2, interval.p16, interval.p50, interval.p84, interval.p98];
            assert_eq!((&ours.label, ours.value), (label, value.get()));
            assert_eq!(ours.interval, bars.map(|bar| bar.get()));
        }
    }
    let mut infinite = borsh::to_vec(&inference(&["y"])).unwrap();
    let at = infinite.windows(8).position(|w| w == 0.5f64.to_le_bytes()).unwrap();
    for not in [f64::NAN, f64::INFINITY, -0.0] {
        infinite[at..at + 8].copy_from_slice(&not.to_le_bytes());
        assert!(borsh::from_slice::<Inference>(&infinite).is_err());
    }
    // Keys too.
    use dodona_chain::topics::state::{INFERENCES, NEWEST, TOPICS};
    assert_eq!(newest().key(), NEWEST.raw_key(&TOPIC));
    assert_eq!(Claim::Inference { topic: 3, nonce: 9 }.key(), INFERENCES.raw_key(&(3, 9)));
    assert_eq!(Claim::NoTopic { topic: 3 }.key(), TOPICS.raw_key(&3));
}

/// Every byte of the document, replaced by several others, removed, and doubled.
#[test]
fn every_one_byte_change_of_a_proof_fails() {
    let (net, four) = (Net::new(), four());
    let newer = set(&[(2, 10), (3, 10), (4, 10), (5, 11)]);
    let newest_yet = set(&[(3, 10), (4, 10), (5, 11), (6, 1)]);
    let trust = genesis(&four).to_json();
    let link = net.block(30, &newer, &newer, &[2, 3, 4]);
    let absent = Claim::Inference { topic: TOPIC, nonce: NONCE + 1 };
    for claim in
        [newest(), Claim::Inference { topic: TOPIC, nonce: NONCE }, absent, Claim::NoTopic { topic: 8 }]
    {
        let block = net.block(60, &newest_yet, &four, &[3, 4, 5]);
        let document = net.proof(claim, vec![link.clone()], block).to_json().into_bytes();
        let policy = Policy { now_ms: Some(100_000), max_age_ms: None };
        let holds = |document: &[u8]| verify(document, trust.as_bytes(), policy).verified;
        assert!(holds(&document));
        for at in 0..document.len() {
            let mut changed = document.clone();
            let byte = document[at];
            // The neighbours in the alphabets of numbers, hex and base64, the other case, and what ends a text.
            for to in [byte ^ 1, byte ^ 2, byte ^ 0x10, byte ^ 0x20, byte ^ 0x80, b'0', b'A', b'"', b' '] {
                changed[at] = to;
                assert!(to == byte || !holds(&changed), "byte {at}: {} to {}", byte as char, to as char);
            }
            let shorter = [&document[..at], &document[at + 1..]].concat();
            let longer = [&document[..at], &document[at..=at], &document[at..]].concat();
            assert!(!holds(&shorter) && !holds(&longer), "byte {at} removed or doubled");
        }
        for end in ["\n", " ", "{}"] {
            assert!(!holds(&[&document[..], end.as_bytes()].concat()));
        }
    }
}

#[test]
fn absence_is_proven_and_presence_is_not_taken_for_it() {
    let (net, four) = (Net::new(), four());
    let block = net.block(60, &four, &four, &[1, 2, 3, 4]);
    let prove = |claim| net.proof(claim, vec![], block.clone());
    for claim in [
        Claim::NoTopic { topic: 8 },
        Claim::NewestInference { topic: 8 },
        Claim::Inference { topic: TOPIC, nonce: 41 },
        Claim::Inference { topic: 8, nonce: NONCE },
    ] {
        let report = check(&prove(claim), &genesis(&four));
        assert!(report.verified && report.inference.is_none(), "{:#?}", report.steps);
        assert_eq!(report.claim, Some(claim));
        assert_eq!(report.age_ms, report.state_age_ms);
    }
    fails(&check(&prove(Claim::NoTopic { topic: TOPIC }), &genesis(&four)), "value", "topic 7 exists");
    // A value left out, and one put in.
    let mut hidden = prove(newest());
    hidden.value = None;
    fails(&check(&hidden, &genesis(&four)), "state", "another root");
    let mut invented = prove(Claim::NewestInference { topic: 8 });
    invented.value = prove(newest()).value;
    assert!(!check(&invented, &genesis(&four)).verified);
    // The path of another key.
    let mut moved = prove(Claim::NoTopic { topic: 8 });
    moved.path = prove(newest()).path;
    fails(&check(&moved, &genesis(&four)), "state", "");
}

#[test]
fn more_than_two_thirds_of_the_power_must_have_signed() {
    let net = Net::new();
    let uneven = set(&[(1, 34), (2, 33), (3, 20), (4, 13)]);
    let by = |signers: &[u64]| {
        check(&net.proof(newest(), vec![], net.block(60, &uneven, &uneven, signers)), &genesis(&uneven))
    };
    assert!(by(&[1, 2]).verified, "67 of 100");
    let few = by(&[2, 3, 4]);
    fails(&few, "signatures", "power 66 of 100 is not more than two thirds");
    fails(&by(&[]), "signatures", "power 0 of 100");
    // A majority of heads is none of power, and exactly two thirds are too few.
    let thirds = set(&[(1, 1), (2, 1), (3, 1)]);
    let block = net.block(60, &thirds, &thirds, &[1, 2]);
    fails(&check(&net.proof(newest(), vec![], block), &genesis(&thirds)), "signatures", "power 2 of 3");
}

#[test]
fn signatures_that_are_not_needed_are_left_out() {
    let hundred: Vec<(u64, u64)> = (1..=100).map(|k| (k, 1_000)).collect();
    let (net, hundred) = (Net::new(), set(&hundred));
    let everybody: Vec<u64> = (1..=100).collect();
    let block = net.block(60, &hundred, &hundred, &everybody).pruned();
    assert_eq!(block.certificate.signatures.len(), 67);
    let proof = net.proof(newest(), vec![], block);
    assert!(check(&proof, &genesis(&hundred)).verified);
}

#[test]
fn a_proof_with_a_hundred_validators_has_at_most_16_kb() {
    // A million keys make paths of about 20; 24 leave room for sixteen million.
    let mut net = Net::new();
    net.store = state(20_000);
    let equal: Vec<(u64, u64)> = (1..=100).map(|k| (k, 1_000_000 + k)).collect();
    let equal = set(&equal);
    // The worst: one validator has almost a third, and is silent.
    let heavy: Vec<(u64, u64)> = (1..=100).map(|k| (k, if k == 1 { 49_000 } else { 1_000 })).collect();
    let heavy = set(&heavy);
    let everybody: Vec<u64> = (1..=100).collect();
    for (set, signers) in [(&equal, &everybody[..]), (&heavy, &everybody[1..])] {
        let block = net.block(60, set, set, signers).pruned();
        let mut proof = net.proof(newest(), vec![], block);
        assert!(check(&proof, &genesis(set)).verified);
        proof.path.siblings.resize(24, [1; 32]);
        let bytes = proof.to_json().len();
        println!("{bytes} bytes with {} signatures", proof.block.certificate.signatures.len());
        assert!(bytes <= 16 << 10, "{bytes}");
    }
}

#[test]
fn trust_of_another_chain_another_set_or_another_block_does_not_help() {
    let (net, four) = (Net::new(), four());
    let proof = net.proof(newest(), vec![], net.block(60, &four, &four, &[1, 2, 3]));
    let other = Trust::genesis("test-2".into(), 0, 21 * DAY, four.clone());
    fails(&check(&proof, &other), "chain", "of `test-1`, the trust of `test-2`");
    let strangers = genesis(&set(&[(11, 10), (12, 10)]));
    fails(&check(&proof, &strangers), "trusted", "0 of the 20 trusted at height 0 signed block 60");
    // The same height, another block.
    let mut block = net.block(60, &four, &four, &[1, 2, 3]).header;
    block.receipts_hash = [9; 32];
    let fork = Trust::block(&block, 21 * DAY, four.clone()).unwrap();
    fails(&check(&proof, &fork), "trusted", "another block than the trusted one");
    let own = Trust::block(&proof.block.header, 21 * DAY, four.clone()).unwrap();
    assert!(check(&proof, &own).verified);
    // The height after: the parent must fit, and the set.
    let mut before = net.block(59, &four, &four, &[1, 2, 3]).header;
    let unlinked = Trust::block(&before, 21 * DAY, four.clone()).unwrap();
    fails(&check(&proof, &unlinked), "trusted", "does not follow");
    let mut after = proof.block.header.clone();
    after.parent = before.id();
    let follows = net.proof(newest(), vec![], sign(after.clone(), &four, &[1, 2, 3]));
    assert!(check(&follows, &unlinked).verified);
    let wider = set(&[(1, 10), (2, 10), (3, 10), (4, 10), (5, 1)]);
    before.next_validators_hash = wider.hash();
    after.parent = before.id();
    let otherwise = Trust::block(&before, 21 * DAY, wider).unwrap();
    let follows = net.proof(newest(), vec![], sign(after, &four, &[1, 2, 3]));
    fails(&check(&follows, &otherwise), "trusted", "by another set");
    // Signed for another chain: the same keys, the same block, another name.
    let mut foreign = net.block(60, &four, &four, &[1, 2, 3]);
    foreign.header.chain_id = "test-2".into();
    let foreign = net.proof(newest(), vec![], foreign);
    fails(&check(&foreign, &Trust::genesis("test-2".into(), 0, 21 * DAY, four)), "signatures", "invalid");
}

#[test]
fn trust_is_good_for_two_thirds_of_the_unbonding_time() {
    let (net, four) = (Net::new(), four());
    let proof = net.proof(newest(), vec![], net.block(60, &four, &four, &[1, 2, 3]));
    let trust = genesis(&four);
    assert!(at(&proof, &trust, Some(14 * DAY)).verified);
    fails(&at(&proof, &trust, Some(14 * DAY + 1)), "trust", "export a new one");
    // Without a clock nothing about age is claimed.
    let report = at(&proof, &trust, None);
    assert!(report.verified && report.age_ms.is_none());
    assert!(report.steps.last().unwrap().detail.contains("no clock"));
    // Nor is a block of the future believed, or a trust of it.
    let young = Trust::block(&net.block(400, &four, &four, &[]).header, 21 * DAY, four.clone()).unwrap();
    fails(&at(&proof, &young, Some(100_000)), "trust", "ahead of this clock");
    let early = net.proof(newest(), vec![], net.block(400, &four, &four, &[1, 2, 3]));
    fails(&at(&early, &trust, Some(100_000)), "header", "ahead of this clock");
}

#[test]
fn an_answer_may_be_too_old() {
    let (net, four) = (Net::new(), four());
    let document = net.proof(newest(), vec![], net.block(60, &four, &four, &[1, 2, 3])).to_json();
    let trust = genesis(&four).to_json();
    let ask =
        |now_ms, max| verify(document.as_bytes(), trust.as_bytes(), Policy { now_ms, max_age_ms: Some(max) });
    assert!(ask(Some(100_000), 56_000).verified);
    fails(&ask(Some(100_000), 55_999), "age", "allowed are 55 s");
    fails(&ask(None, 1), "age", "there is no clock");
}

#[test]
fn sets_that_changed_are_skipped_over_while_a_third_stays() {
    let net = Net::new();
    let sets = [
        set(&[(1, 10), (2, 10), (3, 10)]),
        set(&[(2, 10), (3, 10), (4, 10)]),
        set(&[(4, 10), (5, 10), (6, 10)]),
        set(&[(5, 10), (6, 10), (7, 10)]),
    ];
    let block = |height, at: usize, by: &[u64]| net.block(height, &sets[at], &sets[at], by);
    let last = block(60, 3, &[5, 6, 7]);
    // From the first set to the last one nobody is left.
    let direct = net.proof(newest(), vec![], last.clone());
    fails(&check(&direct, &genesis(&sets[0])), "trusted", "--trusted-height 0");
    // Over the second: 2 and 3 of the first, then 4 alone of the second is exactly a third, which is too little.
    let links = vec![block(20, 1, &[2, 3, 4]), block(40, 2, &[4, 5, 6])];
    let proof = net.proof(newest(), links, last.clone());
    fails(&check(&proof, &genesis(&sets[0])), "trusted", "10 of the 30 trusted at height 20");
    // With a set between in which more of the second stays, it holds.
    let between = set(&[(3, 10), (4, 10), (5, 10)]);
    let links = vec![
        block(20, 1, &[2, 3, 4]),
        net.block(30, &between, &between, &[3, 4, 5]),
        block(40, 2, &[4, 5, 6]),
    ];
    let proof = net.proof(newest(), links.clone(), last.clone());
    let report = check(&proof, &genesis(&sets[0]));
    assert!(report.verified, "{:#?}", report.steps);
    assert_eq!(report.steps.iter().filter(|s| s.name == "link").count(), 3);
    // The same document helps somebody with a newer trust, who needs only a part of it.
    let newer = Trust::block(&links[1].header, 21 * DAY, between).unwrap();
    assert!(check(&proof, &newer).verified);
    // Links in another order, and links that nobody signed, are refused.
    let mut swapped = links.clone();
    swapped.swap(0, 1);
    fails(&check(&net.proof(newest(), swapped, last.clone()), &genesis(&sets[0])), "format", "ascending");
    let unsigned = vec![block(20, 1, &[2])];
    fails(
        &check(&net.proof(newest(), unsigned, last), &genesis(&sets[0])),
        "link",
        "not more than two thirds",
    );
}

#[test]
fn a_trust_newer_than_the_proof_vouches_for_it_while_a_third_stays() {
    let (net, four) = (Net::new(), four());
    let proof = net.proof(newest(), vec![], net.block(60, &four, &four, &[1, 2, 3]));
    let later = net.block(90, &four, &four, &[1, 2, 3]).header;
    let newer = Trust::block(&later, 21 * DAY, four.clone()).unwrap();
    assert!(check(&proof, &newer).verified);
    let mut backwards = later;
    backwards.time_ms = 10;
    let newer = Trust::block(&backwards, 21 * DAY, four).unwrap();
    fails(&check(&proof, &newer), "trusted", "time of block 60");
}

#[test]
fn the_trust_document_survives_its_text_and_refuses_what_is_none() {
    let four = four();
    let trust = genesis(&four);
    let text = trust.to_json();
    assert_eq!(Trust::from_json(text.as_bytes()).unwrap(), trust);
    let block = Net::new().block(5, &four, &four, &[1, 2, 3]);
    let later = Trust::block(&block.header, DAY, four.clone()).unwrap();
    assert_eq!(Trust::from_json(later.to_json().as_bytes()).unwrap(), later);
    assert!(Trust::block(&block.header, DAY, set(&[(1, 1)])).is_err());
    let refused = |from: &str, to: &str, words: &str| {
        assert!(text.contains(from), "{from}");
        let error = Trust::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused("dodona-trust/1", "dodona-trust/2", "this verifier reads");
    refused("\"height\": \"0\"", "\"height\": \"3\"", "null for genesis");
    refused("\"power\": \"10\"", "\"power\": \"0\"", "no power");
    refused("\"power\": \"10\"", "\"power\": \"4611686018427387904\"", "2^62");
    refused("\"power\": \"10\"", "\"power\": \"010\"", "another form");
    refused("\"chain_id\"", "\"chain\"", "unknown field");
    refused("{", "[", "not readable");
}

#[test]
fn garbage_is_refused_and_never_a_panic() {
    let (net, four) = (Net::new(), four());
    let document = net.proof(newest(), vec![], net.block(60, &four, &four, &[1, 2, 3])).to_json();
    let trust = genesis(&four).to_json();
    let policy = Policy::default();
    for bytes in [&b""[..], b"{}", b"null", b"\xff\xfe", b"{\"format\":\"dodona-proof/9\"}"] {
        fails(&verify(bytes, trust.as_bytes(), policy), "format", "");
        fails(&verify(document.as_bytes(), bytes, policy), "trust", "");
    }
    fails(&verify(&vec![b' '; MAX_BYTES + 1], trust.as_bytes(), policy), "format", "limit");
    let deep = "[".repeat(100_000);
    fails(&verify(deep.as_bytes(), trust.as_bytes(), policy), "format", "");
    let links: Vec<_> = (1..=MAX_LINKS as u64 + 1).map(|h| net.block(h, &four, &four, &[1, 2, 3])).collect();
    let long = net.proof(newest(), links, net.block(60, &four, &four, &[1, 2, 3]));
    fails(&check(&long, &genesis(&four)), "format", "links");
    // The same content with a space, or in another order, is no proof.
    let spaced = document.replacen(':', ": ", 1);
    fails(&verify(spaced.as_bytes(), trust.as_bytes(), policy), "format", "one form");
    assert_eq!(Proof::from_json(document.as_bytes()).unwrap().to_json(), document);
    assert_eq!(Proof::from_json(document.as_bytes()).unwrap().block.header.height, Height(60));
}

/// The documents in tests/proofs, which verifiers in other languages read: a change of the form is seen in review.
#[test]
fn the_documents_for_other_verifiers_are_as_reviewed() {
    let net = Net::new();
    let first = set(&[(1, 40), (2, 30), (3, 20), (4, 10)]);
    let second = set(&[(2, 30), (3, 20), (4, 10), (5, 25), (6, 15)]);
    let third = set(&[(5, 25), (6, 15), (7, 60), (8, 10)]);
    let links =
        vec![net.block(20, &second, &second, &[2, 3, 5, 6]), net.block(40, &third, &third, &[5, 6, 7, 8])];
    let trust = genesis(&first);
    let later = Trust::block(&links[0].header, 21 * DAY, second.clone()).unwrap();
    let one = |claim| net.proof(claim, vec![], net.block(60, &first, &first, &[1, 2, 4]));
    let (a, b) = (Claim::Inference { topic: TOPIC, nonce: NONCE }, Claim::NoTopic { topic: 8 });
    let none = Claim::NewestInference { topic: 9 };
    let linked = net.proof(newest(), links, net.block(60, &third, &first, &[5, 6, 7]));
    let documents = [
        ("newest.json", one(newest()).to_json()),
        ("epoch.json", one(a).to_json()),
        ("no-topic.json", one(b).to_json()),
        ("no-inference.json", one(none).to_json()),
        ("linked.json", linked.to_json()),
        ("trust.json", trust.to_json()),
        ("trust-later.json", later.to_json()),
    ];
    assert!(check(&linked, &trust).verified && check(&linked, &later).verified);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/proofs");
    for (name, document) in documents {
        let path = folder.join(name);
        if std::env::var("DODONA_PROOFS").is_ok_and(|v| v == "write") {
            std::fs::write(&path, &document).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(
            written == document,
            "tests/proofs/{name} is out of date: run this test with DODONA_PROOFS=write"
        );
    }
}
