//! Topics whose reputers bring the losses of everything published, and words that somebody else brings.

use dodona_proto::{
    path,
    topics::{
        ForecasterLosses, MemberLoss, MsgReportLosses, MsgReportTruth, MsgSubmitPayload, QueryLossesRequest,
        QueryLossesResponse, QueryMemberRequest, QueryMemberResponse, Rule, TopicSpec, TruthMode, Window,
    },
    tx::send,
    url,
};

use super::{
    audit::{self, uallo},
    kit::{CHAIN, Tx, forecast, spec},
    kit::{Net, address, fund, key, submit, text, truth},
    messages::*,
};

const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const REPUTERS: [&str; 4] = ["r1", "r2", "r3", "r4"];

fn of_losses(rule: Rule) -> TopicSpec {
    TopicSpec { rule: rule.into(), truth_mode: TruthMode::Losses.into(), ..spec(4, 2, 2, 2) }
}

/// Waits for a window whose first block comes next.
fn fresh(net: &mut Net, id: u64) -> Window {
    loop {
        let next = net.height + 1;
        if let Some(window) = net.windows(id).windows.into_iter().find(|w| w.worker_first == next) {
            return window;
        }
        net.block(&[]);
    }
}

/// Answers of all four and forecasts of two, up to the block before the first report.
fn answered(net: &mut Net, id: u64) -> u64 {
    let window = fresh(net, id);
    let n = window.nonce;
    let wobble = (n % 7) as f64 / 10.0;
    net.done(&[
        forecast("w1", id, n, &(10.0 + wobble).to_string(), &[("w2", "0.5"), ("w3", "2"), ("w1", "0.1")]),
        submit("w2", id, n, &(10.5 + wobble).to_string()),
        submit("w3", id, n, &(12.0 - wobble).to_string()),
        forecast("w4", id, n, "9", &[("w1", "0.2"), ("w2", "0.3")]),
    ]);
    net.wait_until(window.truth_first - 1);
    n
}

fn listening(net: &Net, id: u64, who: &str) -> f64 {
    let asked = QueryMemberRequest { topic_id: id, address: text(who) };
    let answer: QueryMemberResponse = net.query(path::MEMBER, &asked).unwrap();
    answer.parts.iter().find(|part| part.role == "reputer").unwrap().listening
}

#[test]
fn complete_bundles_score_the_epoch_under_both_rules_and_a_deviant_is_listened_to_less() {
    for rule in [Rule::Power, Rule::Regret] {
        let mut net = Net::new();
        let id = net.market(of_losses(rule), &WORKERS, &REPUTERS);
        for _ in 0..15 {
            let nonce = answered(&mut net, id);
            let reports: Vec<Tx> = REPUTERS
                .iter()
                .enumerate()
                .map(|(i, who)| {
                    // Small honest differences; r4 says everything is a hundred times as bad.
                    let shift = if i == 3 { 2.0 } else { 0.01 * i as f64 };
                    losses(who, &bundle(&net, id, nonce, 10.1, shift))
                })
                .collect();
            net.done(&reports);
            net.wait_until(net.height + 1);
            let epoch = net.epoch(id, nonce).unwrap();
            assert_eq!(epoch.state, "scored", "{rule:?} {}", epoch.void_reason);
            assert_eq!(epoch.truth, None);
            let row = |name: &str| epoch.truths.iter().find(|t| t.name == name).unwrap().clone();
            assert!(row("r4").score < row("r2").score, "{rule:?}");
            assert!(uallo(&row("r4").reward) < uallo(&row("r2").reward));
        }
        assert!(listening(&net, id, "r4") < 0.9 * listening(&net, id, "r2"), "{rule:?}");
        assert!(listening(&net, id, "r1") > 0.95);
        // The stake-weighted mean of the reported logarithms is what counts.
        let asked = QueryLossesRequest { topic_id: id, nonce: 0 };
        let shown: QueryLossesResponse = net.query(path::LOSSES, &asked).unwrap();
        assert!(shown.logarithms && shown.reports.len() == 4);
        let (mut sum, mut stakes) = (0.0, 0.0);
        for report in &shown.reports {
            let stake = uallo(&report.stake) as f64;
            sum += stake * report.combined;
            stakes += stake;
        }
        assert!((shown.network.unwrap().combined - sum / stakes).abs() < 1e-9);
        audit::everything(&net);
    }
}

#[test]
fn a_bundle_that_does_not_fit_is_refused_by_name() {
    let mut net = Net::new();
    let id = net.market(of_losses(Rule::Regret), &WORKERS, &REPUTERS);
    // Forecasts imply something once a loss of the network is known.
    let nonce = answered(&mut net, id);
    net.done(&[losses("r1", &bundle(&net, id, nonce, 10.1, 0.0))]);
    let nonce = answered(&mut net, id);
    let whole = bundle(&net, id, nonce, 10.1, 0.0);
    assert_eq!(whole.inferers.len(), 4);
    assert_eq!((whole.forecasters.len(), whole.one_in_forecasters.len()), (2, 2));
    assert!(!whole.one_out_inferer_forecaster.is_empty());
    let refused = |change: &dyn Fn(&mut MsgReportLosses)| {
        let mut changed = whole.clone();
        change(&mut changed);
        let no = net.refused(&losses("r1", &changed));
        (no.code, no.log)
    };
    let stranger = || MemberLoss { address: text("bob"), loss: "1".into() };
    type Pick = fn(&mut MsgReportLosses) -> &mut Vec<MemberLoss>;
    let lists: [(&str, Pick); 5] = [
        ("inferers", |m| &mut m.inferers),
        ("forecasters", |m| &mut m.forecasters),
        ("one_out_inferers", |m| &mut m.one_out_inferers),
        ("one_out_forecasters", |m| &mut m.one_out_forecasters),
        ("one_in_forecasters", |m| &mut m.one_in_forecasters),
    ];
    for (name, pick) in lists {
        let mut copy = whole.clone();
        let first = pick(&mut copy)[0].address.clone();
        assert_eq!(
            refused(&|m| drop(pick(m).remove(0))),
            (
                50,
                format!(
                    "losses do not match what the network published for epoch {nonce}: {name} omits {first}"
                )
            )
        );
        let (code, log) = refused(&|m| pick(m).push(stranger()));
        assert!(code == 50 && log.contains(&format!("{name} names {}", text("bob"))), "{log}");
        let (code, log) = refused(&|m| {
            let twice = pick(m)[0].clone();
            pick(m).push(twice);
        });
        assert!(code == 50 && log.contains(&format!("{name} names {first} twice")), "{log}");
    }
    let (code, log) = refused(&|m| drop(m.one_out_inferer_forecaster.pop()));
    assert!(code == 50 && log.contains("one_out_inferer_forecaster omits"), "{log}");
    let (code, log) = refused(&|m| {
        let twice = m.one_out_inferer_forecaster[0].clone();
        m.one_out_inferer_forecaster.push(twice);
    });
    assert!(code == 50 && log.contains("stands twice"), "{log}");
    let (code, log) = refused(&|m| {
        m.one_out_inferer_forecaster
            .push(ForecasterLosses { forecaster: text("w2"), without: vec![stranger()] });
    });
    assert!(code == 50 && log.contains(&text("w2")), "{log}");
    for text in ["", "NaN", "inf", "1e41", "a"] {
        assert_eq!(refused(&|m| m.combined = text.into()).0, 41, "{text}");
    }
    assert_eq!(refused(&|m| m.inferers[0].address = "somebody".into()).0, 42);
    // All of that refused, the whole one still counts, once.
    net.done(&[losses("r1", &whole)]);
    assert_eq!(net.refused(&losses("r1", &whole)).code, 78);
    audit::everything(&net);
}

#[test]
fn losses_of_values_that_do_not_exist_are_refused() {
    let mut net = Net::new();
    let id = net.market(of_losses(Rule::Power), &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    net.done(&[submit("w1", id, window.nonce, "10")]);
    net.wait_until(window.truth_first - 1);
    let whole = bundle(&net, id, window.nonce, 10.1, 0.0);
    // Without its only inferer there would have been no answer.
    assert!(whole.one_out_inferers.is_empty());
    let mut more = whole.clone();
    more.one_out_inferers.push(MemberLoss { address: text("w1"), loss: "1".into() });
    let no = net.refused(&losses("r1", &more));
    assert!(no.code == 50 && no.log.contains("for which there is no value"), "{}", no.log);
    net.done(&[losses("r1", &whole), losses("r2", &whole)]);
    net.wait_until(window.truth_last);
    assert_eq!(net.epoch(id, window.nonce).unwrap().state, "scored");
    audit::everything(&net);
}

#[test]
fn a_reputer_with_hardly_any_stake_cannot_make_an_epoch_void_with_a_loss_beyond_all_numbers() {
    for rule in [Rule::Power, Rule::Regret] {
        let mut net = Net::new();
        let id = net.market(of_losses(rule), &WORKERS, &REPUTERS[..3]);
        net.done(&[super::kit::register("r4", id, dodona_proto::topics::Role::Reputer)
            .and(super::kit::stake("r4", id, 10_000))]);
        let nonce = answered(&mut net, id);
        let mut huge = bundle(&net, id, nonce, 10.1, 0.0);
        huge.combined = "1e40".into();
        let no = net.refused(&losses("r4", &huge));
        assert!(no.code == 42 && no.log.contains("decimal logarithms"), "{}", no.log);
        huge.combined = "100".into();
        let honest = bundle(&net, id, nonce, 10.1, 0.0);
        net.done(&[losses("r1", &honest), losses("r2", &honest), losses("r3", &honest), losses("r4", &huge)]);
        net.wait_until(net.height + 1);
        let epoch = net.epoch(id, nonce).unwrap();
        assert_eq!(epoch.state, "scored", "{}", epoch.void_reason);
        audit::everything(&net);
    }
}

#[test]
fn each_mode_takes_its_own_report_only() {
    let mut net = Net::new();
    let (a, b) = (
        net.market(of_losses(Rule::Power), &WORKERS, &REPUTERS),
        net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS),
    );
    let nonce = answered(&mut net, a);
    let no = net.refused(&truth("r1", a, nonce, "10"));
    assert!(no.code == 51 && no.log.contains("MsgReportLosses"), "{}", no.log);
    let wrong = MsgReportLosses { topic_id: b, ..bundle(&net, a, nonce, 10.0, 0.0) };
    let no = net.refused(&losses("r1", &wrong));
    assert!(no.code == 51 && no.log.contains("MsgReportTruth"), "{}", no.log);
    // A bundle of an epoch without an answer has nothing to fit.
    let window = fresh(&mut net, a);
    net.wait_until(window.truth_first - 1);
    let late = MsgReportLosses { nonce: window.nonce, ..wrong };
    assert_eq!(net.refused(&losses("r1", &MsgReportLosses { topic_id: a, ..late })).code, 75);
    audit::everything(&net);
}

fn payload(author: &str, topic_id: u64, nonce: u64) -> MsgSubmitPayload {
    MsgSubmitPayload {
        sender: text(author),
        topic_id,
        nonce,
        inference: "10".into(),
        forecast: Vec::new(),
        values: Vec::new(),
    }
}

#[test]
fn a_relayed_word_binds_its_author_and_costs_its_bearer() {
    let mut net = Net::new();
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let good = relayed("alice", &key("w1"), CHAIN, url::SUBMIT, &payload("w1", id, n));
    let before = (net.balance("w1"), net.balance("alice"), net.account("w1").sequence);
    let tx = relay("alice", &good);
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!((net.balance("w1"), net.account("w1").sequence), (before.0, before.2));
    assert_eq!(net.balance("alice"), before.1 - fee - 10, "gas and the topic's fee");
    // Its own second word, and the same one brought again, are one too many.
    assert_eq!(net.refused(&submit("w1", id, n, "11")).code, 78);
    assert_eq!(
        net.refused(&relay("bob", &relayed("bob", &key("w1"), CHAIN, url::SUBMIT, &payload("w1", id, n))))
            .code,
        78
    );

    let refused = |message: &dodona_proto::topics::MsgRelay| {
        let no = net.refused(&relay("alice", message));
        (no.code, no.log)
    };
    let word = relayed("alice", &key("w2"), CHAIN, url::SUBMIT, &payload("w2", id, n));
    // Every byte is signed.
    for at in 0..word.message.len() {
        let mut changed = word.clone();
        changed.message[at] ^= 1;
        assert_eq!(refused(&changed).0, 55, "byte {at}");
    }
    for at in [0, 31, 32, 63] {
        let mut changed = word.clone();
        changed.signature[at] ^= 1;
        assert_eq!(refused(&changed).0, 55);
    }
    let elsewhere = relayed("alice", &key("w2"), "kit-2", url::SUBMIT, &payload("w2", id, n));
    assert!(refused(&elsewhere).1.contains("signature"));
    let (code, log) = refused(&relayed("alice", &key("w2"), CHAIN, url::SUBMIT, &payload("w3", id, n)));
    assert!(code == 55 && log.contains("its sender is"), "{log}");
    // Signed as one kind of message, brought as another.
    let other = dodona_proto::topics::MsgRelay { type_url: url::REPORT_TRUTH.into(), ..word.clone() };
    assert_eq!(refused(&other).0, 55);
    let transfer = send(address("w2"), address("alice"), 5);
    let spend = dodona_proto::topics::MsgRelay {
        type_url: url::SEND.into(),
        message: transfer.value.clone(),
        signature: key("w2")
            .sign(&dodona_chain::topics::handle::relay_bytes(CHAIN, url::SEND, &transfer.value))
            .to_vec(),
        ..word.clone()
    };
    assert!(refused(&spend).1.contains("cannot be relayed"));
    for key in [vec![], vec![2; 32], vec![0; 33]] {
        let odd = dodona_proto::topics::MsgRelay { public_key: key, ..word.clone() };
        assert_eq!(refused(&odd).0, 55);
    }
    // The author must be registered, the bearer need not be.
    let unknown = relayed("alice", &key("bob"), CHAIN, url::SUBMIT, &payload("bob", id, n));
    assert_eq!(refused(&unknown).0, 13);
    net.done(&[relay("alice", &word)]);

    net.wait_until(window.truth_first - 1);
    let said = |who: &str| MsgReportTruth {
        sender: text(who),
        topic_id: id,
        nonce: n,
        value: "10".into(),
        evidence: vec![7; 32],
        values: Vec::new(),
    };
    let reports: Vec<Tx> = REPUTERS
        .iter()
        .map(|who| relay("bob", &relayed("bob", &key(who), CHAIN, url::REPORT_TRUTH, &said(who))))
        .collect();
    net.done(&reports);
    net.wait_until(window.truth_last);
    let epoch = net.epoch(id, n).unwrap();
    assert_eq!((epoch.state.as_str(), epoch.parts.len(), epoch.truths.len()), ("scored", 2, 4));
    net.done(&[fund("bob", id, 5)]);
    audit::everything(&net);
}

#[test]
fn relayed_losses_count_like_sent_ones() {
    let mut net = Net::new();
    let id = net.market(of_losses(Rule::Regret), &WORKERS, &REPUTERS);
    let nonce = answered(&mut net, id);
    let whole = bundle(&net, id, nonce, 10.1, 0.0);
    let signed = |who: &str| {
        let message = MsgReportLosses { sender: text(who), ..whole.clone() };
        relay("bob", &relayed("bob", &key(who), CHAIN, url::REPORT_LOSSES, &message))
    };
    net.done(&[signed("r1"), signed("r2"), losses("r3", &whole)]);
    net.wait_until(net.height + 1);
    assert_eq!(net.epoch(id, nonce).unwrap().truths.len(), 3);
    audit::everything(&net);
}
