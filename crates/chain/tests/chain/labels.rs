//! Topics of several labels: classes and outputs from question to pay, how an epoch's labels come about, and what is
//! refused on the way.

use dodona_proto::{
    path,
    topics::{Loss, QueryInputsRequest, QueryInputsResponse, Rule, TopicSpec, Window},
};

use super::{
    audit::{self, uallo},
    kit::*,
};

const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const REPUTERS: [&str; 3] = ["r1", "r2", "r3"];

fn classes(rule: Rule, labels: &[&str]) -> TopicSpec {
    TopicSpec {
        rule: rule.into(),
        loss: Loss::Log.into(),
        classification: true,
        multi: true,
        require_unity: true,
        labels: labels.iter().map(|label| label.to_string()).collect(),
        ..spec(4, 2, 2, 2)
    }
}

fn outputs() -> TopicSpec {
    TopicSpec { multi: true, ..spec(4, 2, 2, 2) }
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

fn inputs(net: &Net, topic_id: u64, nonce: u64) -> QueryInputsResponse {
    net.query(path::INPUTS, &QueryInputsRequest { topic_id, nonce, address: String::new() }).unwrap()
}

/// The class of an epoch.
fn class(nonce: u64) -> &'static str {
    let mut dice = Dice(nonce.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..5).for_each(|_| {
        dice.roll(3);
    });
    ["down", "flat", "up"][dice.roll(3) as usize]
}

/// A worker's probabilities: this much for the class that comes, the rest for the others in equal parts.
fn degrees(right: &str, sure: f64) -> Vec<(&'static str, String)> {
    let rest = (1.0 - sure) / 2.0;
    let of = |label| if label == right { 1.0 - 2.0 * rest } else { rest };
    ["down", "flat", "up"].map(|label| (label, of(label).to_string())).to_vec()
}

fn say(who: &str, id: u64, nonce: u64, values: &[(&str, String)]) -> Tx {
    let values: Vec<(&str, &str)> = values.iter().map(|(label, value)| (*label, value.as_str())).collect();
    submit_labels(who, id, nonce, &values)
}

#[test]
fn three_classes_are_predicted_scored_and_paid_under_every_rule_for_them() {
    for rule in [Rule::Power, Rule::Regret, Rule::Mean] {
        let mut net = Net::new();
        let id = net.market(classes(rule, &["up", "down", "flat"]), &WORKERS, &REPUTERS);
        let answer = |who: &str, nonce: u64| {
            // w1 knows best; w4 is mostly wrong.
            let sure = match who {
                "w1" => 0.8,
                "w2" => 0.6,
                "w3" => 0.4,
                _ => 0.1,
            };
            say(who, id, nonce, &degrees(class(nonce), sure))
        };
        let report = |who: &str, nonce: u64| truth_labels(who, id, nonce, &[(class(nonce), "1")]);
        for _ in 0..20 {
            audit::alive_with(&mut net, id, &WORKERS, &REPUTERS, answer, report);
        }
        let newest = audit::newest_scored(&net, id);
        let labels: Vec<&str> = newest.columns.iter().map(|c| c.label.as_str()).collect();
        let truths: f64 = newest.columns.iter().filter_map(|c| c.truth).sum();
        let sum: f64 = newest.columns.iter().map(|c| c.combined).sum();
        assert_eq!((labels.len(), truths), (3, 1.0));
        assert!((sum - 1.0).abs() < 1e-9, "{rule:?}: {sum}");
        let right = newest.columns.iter().find(|c| c.label == class(newest.nonce)).unwrap();
        assert!(right.truth == Some(1.0) && right.combined > 0.3, "{rule:?} {}", right.combined);
        let rows = net.leaderboard(id);
        let row = |name: &str| &rows[&(name.to_string(), "inferer".to_string())];
        assert!(row("w1").mean_loss < row("w2").mean_loss && row("w2").mean_loss < row("w4").mean_loss);
        assert!(uallo(&row("w1").earned) > uallo(&row("w4").earned), "{rule:?}");
        if rule != Rule::Mean {
            assert!(newest.network_loss.unwrap() < newest.mean_loss.unwrap(), "{rule:?}");
            assert!(row("w1").weight > row("w4").weight);
        }
        audit::everything(&net);
    }
}

#[test]
fn the_labels_of_an_epoch_grow_with_its_answers_and_freeze_when_it_closes() {
    let mut net = Net::with(|params| params.max_epoch_label_registry_size = 4);
    let id = net.market(outputs(), &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[submit_labels("w1", id, n, &[("b", "1")])]);
    assert_eq!(inputs(&net, id, n).labels, ["b"]);
    net.done(&[submit_labels("w2", id, n, &[("a", "2"), ("b", "3"), ("c", "0")])]);
    let open = inputs(&net, id, n);
    // The last block of the window has frozen them: in the order of their coming, without what nobody said.
    assert_eq!((open.labels, open.open), (vec!["b".to_string(), "a".to_string()], false));
    let epoch = net.epoch(id, n).unwrap();
    let column = |label: &str| epoch.columns.iter().find(|c| c.label == label).unwrap().mean;
    assert_eq!((column("b"), column("a")), (2.0, 1.0), "who came early said the default for later labels");

    let window = fresh(&mut net, id);
    let five = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
    let no = net.refused(&submit_labels("w1", id, window.nonce, &five));
    assert!(no.code == 44 && no.log.contains("label registry"), "{}", no.log);
    net.done(&[submit_labels("w1", id, window.nonce, &five[..3])]);
    // Room for one more label, whoever brings it; old ones always fit.
    assert_eq!(net.refused(&submit_labels("w2", id, window.nonce, &[("x", "1"), ("y", "1")])).code, 44);
    net.done(&[submit_labels("w2", id, window.nonce, &[("x", "1"), ("a", "2")])]);
    net.wait_until(window.truth_first - 1);
    let report = |who| truth_labels(who, id, window.nonce, &[("a", "1"), ("x", "1")]);
    net.done(&[report("r1"), report("r2")]);
    net.wait_until(window.truth_last);
    assert_eq!(net.epoch(id, window.nonce).unwrap().state, "scored");
    audit::everything(&net);
}

#[test]
fn answers_that_are_no_distribution_are_refused() {
    let mut net = Net::new();
    let spec = TopicSpec { unity_tolerance: "0.001".into(), ..classes(Rule::Power, &[]) };
    let id = net.market(spec, &WORKERS, &REPUTERS);
    let n = fresh(&mut net, id).nonce;
    let code = |values: &[(&str, &str)]| net.refusal_of(&submit_labels("w1", id, n, values));
    assert_eq!(code(&[("a", "0.5"), ("b", "0.4")]), Some(42));
    assert_eq!(code(&[("a", "0.5"), ("b", "0.502")]), Some(42));
    assert_eq!(code(&[("a", "1.5"), ("b", "-0.5")]), Some(42));
    assert_eq!(code(&[("a", "NaN"), ("b", "1")]), Some(41));
    assert_eq!(code(&[("", "1")]), Some(49));
    assert_eq!(code(&[("a\u{7}b", "1")]), Some(49));
    assert_eq!(code(&[(&"x".repeat(65), "1")]), Some(49));
    assert_eq!(code(&[(&"x".repeat(64), "1")]), None);
    assert_eq!(code(&[("a", "0.5"), ("b", "0.5005")]), None);
    let no = net.refused(&submit("w1", id, n, "0.5"));
    assert!(no.code == 42 && no.log.contains("labelled values"), "{}", no.log);
    let many: Vec<(String, String)> =
        (0..17).map(|i| (format!("l{i}"), if i == 0 { "1" } else { "0" }.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(l, v)| (l.as_str(), v.as_str())).collect();
    assert_eq!((code(&many), code(&many[..16])), (Some(44), None));
    // A topic of one label takes one number, or one value under its only name.
    let one = net.market(super::kit::spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    let n = fresh(&mut net, one).nonce;
    let code = |values: &[(&str, &str)]| net.refusal_of(&submit_labels("w1", one, n, values));
    assert_eq!((code(&[("y", "1")]), code(&[("", "1")])), (None, None));
    assert_eq!((code(&[("x", "1")]), code(&[("y", "1"), ("y", "2")])), (Some(42), Some(42)));
    audit::everything(&net);
}

#[test]
fn descriptions_of_labels_that_contradict_themselves_are_refused() {
    let net = Net::new();
    let refused = |spec: TopicSpec| net.refused(&create("alice", spec).gas(2_000_000)).log;
    let of = |change: fn(&mut TopicSpec)| {
        let mut spec = classes(Rule::Power, &[]);
        change(&mut spec);
        spec
    };
    assert!(refused(of(|s| s.require_unity = false)).contains("require_unity"));
    assert!(refused(of(|s| s.multi = false)).contains("multi"));
    assert!(refused(of(|s| s.label_default = "0.1".into())).contains("label_default"));
    assert!(refused(of(|s| s.rule = Rule::Median.into())).contains("rule"));
    assert!(refused(of(|s| s.unity_tolerance = "0.02".into())).contains("unity_tolerance"));
    assert!(refused(of(|s| s.max_labels = 1_025)).contains("max_labels"));
    assert!(refused(TopicSpec { labels: vec!["a".into()], ..spec(4, 2, 2, 2) }).contains("multi"));
    assert!(refused(of(|s| s.labels = vec!["a".into(), " ".into()])).contains("is empty"));
    let long = (0..257).map(|i| format!("l{i}")).collect();
    assert!(refused(TopicSpec { labels: long, ..classes(Rule::Power, &[]) }).contains("at most 256"));
}

#[test]
fn only_listed_labels_are_answered_and_reported() {
    let mut net = Net::new();
    let id = net.market(classes(Rule::Power, &[" Sun ", "RAIN", "rain"]), &WORKERS, &REPUTERS);
    assert_eq!(net.topic(id).spec.unwrap().labels, ["rain", "sun"], "canonical, once, sorted");
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let no = net.refused(&submit_labels("w1", id, n, &[("hail", "1")]));
    assert_eq!((no.code, no.log.contains("rain, sun")), (49, true), "{}", no.log);
    net.done(&[
        submit_labels("w1", id, n, &[("SUN", "0.7"), ("rain", "0.3")]),
        submit_labels("w2", id, n, &[("sun", "1")]),
    ]);
    net.wait_until(window.truth_first - 1);
    assert_eq!(net.refused(&truth_labels("r1", id, n, &[("hail", "1")])).code, 49);
    assert_eq!(net.refused(&truth_labels("r1", id, n, &[("sun", "0.4")])).code, 42);
    assert_eq!(net.refused(&truth_labels("r1", id, n, &[])).code, 42);
    assert_eq!(net.refused(&truth("r1", id, n, "1")).code, 42);
    net.done(&[
        truth_labels("r1", id, n, &[("Sun", "1")]),
        truth_labels("r2", id, n, &[("sun", "1"), ("rain", "0")]),
    ]);
    net.wait_until(window.truth_last);
    let epoch = net.epoch(id, n).unwrap();
    assert_eq!(epoch.columns.iter().find(|c| c.label == "sun").unwrap().truth, Some(1.0));
    assert_eq!(epoch.truths.iter().map(|t| t.score).collect::<Vec<_>>(), [1.0, 1.0]);
    audit::everything(&net);
}

#[test]
fn what_equals_the_default_is_as_good_as_not_said() {
    let mut net = Net::new();
    let id = net.market(TopicSpec { label_default: "7".into(), ..outputs() }, &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let no = net.refused(&submit_labels("w1", id, n, &[("a", "7"), ("b", "7.0")]));
    assert!(no.code == 42 && no.log.contains("nothing is said"), "{}", no.log);
    net.done(&[
        submit_labels("w1", id, n, &[("a", "7"), ("b", "9")]),
        submit_labels("w2", id, n, &[("b", "5"), ("c", "0")]),
    ]);
    net.wait_until(window.truth_first - 1);
    let epoch = net.epoch(id, n).unwrap();
    let mean = |label: &str| epoch.columns.iter().find(|c| c.label == label).map(|c| c.mean);
    assert_eq!((mean("a"), mean("b"), mean("c")), (None, Some(7.0), Some(3.5)));
    net.done(&[truth_labels("r1", id, n, &[("b", "7"), ("a", "1")])]);
    net.wait_until(window.truth_last);
    // In a regression what nobody predicted has no column to be judged in.
    let epoch = net.epoch(id, n).unwrap();
    assert_eq!(epoch.parts.iter().map(|p| p.loss).collect::<Vec<_>>(), [Some(4.0), Some(4.0)]);
    assert_eq!(epoch.truths[0].values.len(), 2);
    audit::everything(&net);
}

#[test]
fn one_label_has_one_spelling() {
    let mut net = Net::new();
    let id = net.market(outputs(), &WORKERS, &REPUTERS);
    let cased = net.market(TopicSpec { label_case_sensitive: true, ..outputs() }, &WORKERS, &REPUTERS);
    let n = fresh(&mut net, id).nonce;
    // One code point or letter and accent; upper or lower case; white space around it.
    for twin in ["caf\u{e9}", "cafe\u{301}", "CAF\u{c9}", " caf\u{e9} "] {
        let no = net.refused(&submit_labels("w1", id, n, &[("cafe\u{301}", "1"), (twin, "2")]));
        assert!(no.code == 49 && no.log.contains("stands twice"), "{}", no.log);
    }
    net.done(&[
        submit_labels("w1", id, n, &[("Cafe\u{301}", "1")]),
        submit_labels("w2", id, n, &[("caf\u{e9}", "3")]),
    ]);
    assert_eq!(inputs(&net, id, n).labels, ["caf\u{e9}"]);
    let n = fresh(&mut net, cased).nonce;
    net.done(&[submit_labels("w1", cased, n, &[("Up", "1"), ("up", "2"), ("\u{e9}", "3")])]);
    assert_eq!(inputs(&net, cased, n).labels, ["Up", "up", "\u{e9}"]);
    let no = net.refused(&submit_labels("w2", cased, n, &[("e\u{301}", "1"), ("\u{e9}", "2")]));
    assert_eq!(no.code, 49);
    audit::everything(&net);
}

#[test]
fn a_class_nobody_predicted_costs_everybody_the_same() {
    let mut net = Net::new();
    let id = net.market(classes(Rule::Power, &[]), &WORKERS, &REPUTERS);
    let answer = |who: &str, nonce: u64| {
        let sure = if who == "w1" { "0.9" } else { "0.6" };
        let rest = if who == "w1" { "0.1" } else { "0.4" };
        submit_labels(who, id, nonce, &[("a", sure), ("b", rest)])
    };
    let report = |who: &str, nonce: u64| truth_labels(who, id, nonce, &[("eclipse", "1")]);
    audit::alive_with(&mut net, id, &WORKERS, &REPUTERS, answer, report);
    let epoch = audit::newest_scored(&net, id);
    let worst = -dodona_mechanism::real::func::ln(0.01);
    for part in &epoch.parts {
        assert!((part.loss.unwrap() - worst).abs() < 1e-9, "{:?}", part.loss);
        assert_eq!(part.reward, "0");
    }
    assert!((epoch.network_loss.unwrap() - worst).abs() < 1e-9);
    assert!(epoch.truths.iter().all(|t| t.score == 1.0 && uallo(&t.reward) > 0));
    audit::alive_with(&mut net, id, &WORKERS, &REPUTERS, answer, |who, nonce| {
        truth_labels(who, id, nonce, &[("a", "1")])
    });
    audit::everything(&net);
}

#[test]
fn reputers_who_do_not_agree_on_a_class_leave_the_epoch_void() {
    let mut net = Net::new();
    let id = net.market(classes(Rule::Power, &["a", "b", "c"]), &WORKERS, &REPUTERS);
    net.done(&[stake("r1", id, 30 * alloy()), stake("r2", id, 20 * alloy()), stake("r3", id, 20 * alloy())]);
    let answer =
        |who: &str, nonce: u64| submit_labels(who, id, nonce, &[("a", "0.4"), ("b", "0.3"), ("c", "0.3")]);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&WORKERS.map(|who| answer(who, n)));
    net.wait_until(window.truth_first - 1);
    // 40, 30 and 30 ALLO for three different classes.
    net.done(&[
        truth_labels("r1", id, n, &[("a", "1")]),
        truth_labels("r2", id, n, &[("b", "1")]),
        truth_labels("r3", id, n, &[("c", "1")]),
    ]);
    net.wait_until(window.truth_last);
    let epoch = net.epoch(id, n).unwrap();
    assert_eq!(
        (epoch.state.as_str(), epoch.void_reason.as_str()),
        ("void", "the reputers do not agree on what happened")
    );
    assert_eq!(net.topic(id).paid, "0");
    // Two of three agree: that is a truth.
    let report =
        |who: &str, nonce: u64| truth_labels(who, id, nonce, &[(if who == "r1" { "a" } else { "b" }, "1")]);
    audit::alive_with(&mut net, id, &WORKERS, &REPUTERS, answer, report);
    let epoch = audit::newest_scored(&net, id);
    assert_eq!(epoch.columns.iter().find(|c| c.label == "b").unwrap().truth, Some(1.0));
    let score = |name: &str| epoch.truths.iter().find(|t| t.name == name).unwrap().score;
    assert_eq!((score("r1"), score("r2"), score("r3")), (0.0, 1.0, 1.0));
    audit::everything(&net);
}

fn alloy() -> u128 {
    dodona_proto::ALLO
}

#[test]
fn several_outputs_are_combined_by_label_with_one_weight_per_member() {
    for rule in [Rule::Power, Rule::Regret, Rule::Median] {
        let mut net = Net::new();
        let id = net.market(TopicSpec { rule: rule.into(), ..outputs() }, &WORKERS, &REPUTERS);
        let answer = |who: &str, nonce: u64| {
            let i: f64 = who[1..].parse().unwrap();
            let swing = ((nonce / 4) % 5) as f64 - 2.0;
            let values = [("low", (10.0 + i * swing).to_string()), ("high", (20.0 - i * swing).to_string())];
            say(who, id, nonce, &values)
        };
        let report = |who: &str, nonce: u64| truth_labels(who, id, nonce, &[("low", "10"), ("high", "20")]);
        for _ in 0..12 {
            audit::alive_with(&mut net, id, &WORKERS, &REPUTERS, answer, report);
        }
        let epoch = audit::newest_scored(&net, id);
        let column = |label: &str| epoch.columns.iter().find(|c| c.label == label).unwrap();
        assert_eq!((column("low").truth, column("high").truth), (Some(10.0), Some(20.0)));
        // The errors mirror each other, so what is combined does too.
        assert!((column("low").combined + column("high").combined - 30.0).abs() < 1e-9, "{rule:?}");
        assert!(epoch.parts.iter().all(|p| p.values.len() == 2 && p.one_outs.len() == 2));
        let rows = net.leaderboard(id);
        let earned = |name: &str| uallo(&rows[&(name.to_string(), "inferer".to_string())].earned);
        assert!(earned("w1") > earned("w4"), "{rule:?} {} {}", earned("w1"), earned("w4"));
        audit::everything(&net);
    }
}
