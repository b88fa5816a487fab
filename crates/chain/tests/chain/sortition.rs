//! Who is heard when more want to speak than there is room.

use dodona_chain::{GenesisAccount, Params, Signatures};
use dodona_proto::{
    ALLO, path,
    topics::{
        MemberPart, QueryInputsRequest, QueryInputsResponse, QueryMemberRequest, QueryMemberResponse, Role,
        Rule, TopicSpec, Window,
    },
};

use super::{audit, kit::*, messages::*};

const SIX: [&str; 6] = ["w1", "w2", "w3", "w4", "w5", "w6"];
const REPUTERS: [&str; 2] = ["r1", "r2"];

fn three() -> TopicSpec {
    TopicSpec { max_inferers: 3, ..spec(4, 3, 3, 1) }
}

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

/// Names of those whose inference counts.
fn heard(net: &Net, id: u64, nonce: u64) -> Vec<String> {
    let rows = inputs(net, id, nonce).inferences;
    let name = |address: &str| names().into_iter().find(|name| text(name) == address).unwrap();
    let mut heard: Vec<String> = rows.iter().map(|row| name(&row.address)).collect();
    heard.sort();
    heard
}

fn part(net: &Net, topic_id: u64, who: &str, role: &str) -> MemberPart {
    let asked = QueryMemberRequest { topic_id, address: text(who) };
    let answer: QueryMemberResponse = net.query(path::MEMBER, &asked).unwrap();
    answer.parts.into_iter().find(|part| part.role == role).unwrap()
}

fn merit(net: &Net, id: u64, who: &str) -> f64 {
    part(net, id, who, "inferer").merit
}

/// Reports of both, and on to the scoring.
fn score(net: &mut Net, id: u64, window: &Window, value: &str) {
    net.wait_until(window.truth_first - 1);
    net.done(&REPUTERS.map(|who| truth(who, id, window.nonce, value)));
    net.wait_until(window.truth_last);
    assert_eq!(net.epoch(id, window.nonce).unwrap().state, "scored");
}

/// A topic with room for three in which w1 is good, w2 fair and w3 bad, as scored in one epoch.
fn ranked() -> (Net, u64) {
    let mut net = Net::new();
    let id = net.market(three(), &SIX, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[submit("w1", id, n, "10"), submit("w2", id, n, "11"), submit("w3", id, n, "40")]);
    // Newcomers all start with the same merit: who comes late finds no room, is told so, and pays the fee.
    for who in ["w4", "w5"] {
        let before = net.balance(who);
        let tx = submit(who, id, n, "10");
        let fee = tx.fee;
        let log = net.done(&[tx])[0].log.clone();
        assert!(log.starts_with("received, but not admitted as inferer: all 3 heard"), "{log}");
        assert_eq!(net.balance(who), before - fee - 10);
    }
    score(&mut net, id, &window, "10");
    assert_eq!(heard(&net, id, n), ["w1", "w2", "w3"]);
    assert!(merit(&net, id, "w1") > 0.0 && merit(&net, id, "w3") < 0.0);
    (net, id)
}

#[test]
fn a_topics_own_caps_say_how_many_are_heard() {
    let (net, id) = ranked();
    let topic = net.topic(id);
    assert_eq!((topic.max_inferers, topic.max_forecasters, topic.max_reputers), (3, 6, 128));
    assert_eq!(audit::newest_scored(&net, id).parts.len(), 3);
    audit::everything(&net);
}

#[test]
fn better_merit_displaces_the_least_and_equal_merit_nobody() {
    let (mut net, id) = ranked();
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let receipts =
        net.done(&[submit("w3", id, n, "40"), submit("w2", id, n, "11"), submit("w1", id, n, "10")]);
    assert!(receipts.iter().all(|r| r.log.is_empty()));
    let bad = merit(&net, id, "w3");
    assert_eq!(part(&net, id, "w4", "inferer").lowest_merit, Some(bad), "whom w4 has to beat");
    // w4 was never scored and stands at zero: better than bad, worse than fair.
    assert!(bad < merit(&net, id, "w4") && merit(&net, id, "w4") < merit(&net, id, "w1"));
    net.done(&[submit("w4", id, n, "10.5")]);
    assert_eq!(heard(&net, id, n), ["w1", "w2", "w4"]);
    let quantile = net.topic(id).roles[0].quantile_score;
    let drifted = bad + 0.1 * (quantile - bad);
    assert!(
        (merit(&net, id, "w3") - drifted).abs() < 1e-12,
        "who is displaced drifts towards the low quantile"
    );
    // Who was displaced has had its word.
    assert_eq!(net.refused(&submit("w3", id, n, "10")).code, 78);
    // w5 stands where w4 does.
    assert_eq!(merit(&net, id, "w5"), merit(&net, id, "w4"));
    let before = merit(&net, id, "w5");
    let receipts = net.done(&[submit("w5", id, n, "10.5")]);
    assert!(receipts[0].log.contains("not admitted"), "{}", receipts[0].log);
    assert_eq!(heard(&net, id, n), ["w1", "w2", "w4"]);
    assert!((merit(&net, id, "w5") - (before + 0.1 * (quantile - before))).abs() < 1e-12);
    score(&mut net, id, &window, "10");
    let epoch = net.epoch(id, n).unwrap();
    assert!(epoch.parts.iter().all(|p| p.name != "w3" && p.name != "w5"));
    audit::everything(&net);
}

#[test]
fn newcomers_start_below_everybody_heard() {
    let (mut net, id) = ranked();
    let topic = net.topic(id);
    let scores: Vec<f64> = audit::newest_scored(&net, id).parts.iter().map(|p| p.score.unwrap()).collect();
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(topic.roles[0].initial_score < least, "{} {least}", topic.roles[0].initial_score);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[register("w7", id, Role::Worker)]);
    net.done(&[submit("w1", id, n, "10"), submit("w2", id, n, "11"), submit("w3", id, n, "40")]);
    let receipts = net.done(&[submit("w7", id, n, "10")]);
    assert!(receipts[0].log.contains("not admitted"), "{}", receipts[0].log);
    // Refused at its first word it keeps the place where it started.
    assert_eq!(merit(&net, id, "w7"), topic.roles[0].initial_score);
    audit::everything(&net);
}

#[test]
fn silence_decays_merit_towards_where_newcomers_start() {
    let (mut net, id) = ranked();
    let good = merit(&net, id, "w1");
    // w1 misses three epochs in which nobody is scored, so newcomers start where they did.
    for _ in 0..3 {
        fresh(&mut net, id);
        net.block(&[]);
    }
    let window = fresh(&mut net, id);
    net.done(&[submit("w1", id, window.nonce, "10")]);
    let initial = net.topic(id).roles[0].initial_score;
    let keep: f64 = 0.9 * 0.9 * 0.9;
    let expected = keep * good + (1.0 - keep) * initial;
    assert!((merit(&net, id, "w1") - expected).abs() < 1e-12, "{} {expected}", merit(&net, id, "w1"));
    assert_eq!(part(&net, id, "w1", "inferer").merit_nonce, window.nonce);
    audit::everything(&net);
}

#[test]
fn a_displaced_inference_leaves_its_forecast_heard() {
    let (mut net, id) = ranked();
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[
        forecast("w3", id, n, "40", &[("w1", "1"), ("w2", "2"), ("w3", "9")]),
        submit("w1", id, n, "10"),
        submit("w2", id, n, "11"),
    ]);
    net.done(&[submit("w4", id, n, "10.5")]);
    assert_eq!(heard(&net, id, n), ["w1", "w2", "w4"]);
    assert_eq!(inputs(&net, id, n).forecasts.len(), 1);
    net.wait_until(window.worker_last);
    // What it said about itself speaks about nobody who is heard.
    let closed = inputs(&net, id, n);
    assert_eq!((closed.forecasts[0].address.clone(), closed.forecasts[0].elements.len()), (text("w3"), 2));
    score(&mut net, id, &window, "10");
    assert!(audit::newest_scored(&net, id).parts.iter().any(|p| p.forecaster && p.name == "w3"));
    audit::everything(&net);
}

#[test]
fn forecasters_have_a_room_of_their_own() {
    let mut net = Net::new();
    let id = net.market(TopicSpec { max_forecasters: 1, ..spec(4, 3, 3, 1) }, &SIX, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let receipts = net.done(&[
        forecast("w1", id, n, "10", &[("w2", "1")]),
        forecast("w2", id, n, "11", &[("w1", "1")]),
        forecast("w3", id, n, "", &[("w1", "1")]),
    ]);
    assert!(receipts[0].log.is_empty());
    assert!(receipts[1].log.contains("not admitted as forecaster"), "{}", receipts[1].log);
    assert_eq!(heard(&net, id, n), ["w1", "w2"], "its inference is heard all the same");
    assert!(inputs(&net, id, n).forecasts.iter().all(|row| row.address == text("w1")));
    assert_eq!(net.refused(&submit("w3", id, n, "10")).code, 78, "who found no room has had its word");
    score(&mut net, id, &window, "10");
    audit::everything(&net);
}

#[test]
fn of_a_long_forecast_the_elements_about_the_best_count() {
    let mut net = Net::with(|params| params.max_elements_per_forecast = 2);
    let id = net.market(spec(4, 3, 3, 1), &SIX, &REPUTERS);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[
        submit("w1", id, n, "40"),
        submit("w2", id, n, "10"),
        submit("w3", id, n, "30"),
        submit("w4", id, n, "10.5"),
    ]);
    score(&mut net, id, &window, "10");
    let mut by_merit: Vec<&str> = SIX[..4].to_vec();
    by_merit.sort_by(|a, b| merit(&net, id, b).total_cmp(&merit(&net, id, a)));
    let window = fresh(&mut net, id);
    let n = window.nonce;
    let about: Vec<(&str, &str)> = SIX[..4].iter().map(|who| (*who, "2")).collect();
    net.done(&[forecast("w5", id, n, "12", &about), submit("w1", id, n, "40")]);
    let mut kept: Vec<String> =
        inputs(&net, id, n).forecasts[0].elements.iter().map(|element| element.inferer.clone()).collect();
    kept.sort();
    let mut best = vec![text(by_merit[0]), text(by_merit[1])];
    best.sort();
    assert_eq!(kept, best);
    // Refused whatever their number: the same inferer twice, no loss, a stranger.
    assert_eq!(net.refused(&forecast("w6", id, n, "12", &[("w1", "1"), ("w1", "2")])).code, 42);
    assert_eq!(net.refused(&forecast("w6", id, n, "12", &[("w1", "0")])).code, 42);
    assert_eq!(net.refused(&forecast("w6", id, n, "12", &[("bob", "1")])).code, 13);
    audit::everything(&net);
}

#[test]
fn a_second_word_in_an_epoch_is_refused() {
    let (mut net, id) = ranked();
    let window = fresh(&mut net, id);
    net.done(&[submit("w1", id, window.nonce, "10")]);
    for tx in [
        submit("w1", id, window.nonce, "10"),
        submit("w1", id, window.nonce, "11"),
        forecast("w1", id, window.nonce, "", &[("w2", "1")]),
    ] {
        let no = net.refused(&tx);
        assert!(no.code == 78 && no.charged, "{no:?}");
    }
    net.wait_until(window.truth_first - 1);
    net.done(&[truth("r1", id, window.nonce, "10")]);
    assert_eq!(net.height, window.truth_last);
    audit::everything(&net);
}

#[test]
fn reputers_of_the_truth_are_heard_by_stake() {
    let mut net = Net::new();
    let id =
        net.market(TopicSpec { max_reputers: 2, ..spec(4, 2, 2, 2) }, &SIX[..3], &["r1", "r2", "r3", "r4"]);
    net.done(&[stake("r3", id, 5 * ALLO)]);
    let window = fresh(&mut net, id);
    let n = window.nonce;
    net.done(&[submit("w1", id, n, "10"), submit("w2", id, n, "12")]);
    net.wait_until(window.truth_first - 1);
    let receipts = net.done(&[
        truth("r1", id, n, "10"),
        truth("r2", id, n, "10"),
        // As much stake as the least: no room.
        truth("r4", id, n, "10"),
        // More: one of the others goes.
        truth("r3", id, n, "10"),
    ]);
    let logs: Vec<bool> = receipts.iter().map(|r| r.log.contains("have a stake of")).collect();
    assert_eq!(logs, [false, false, true, false]);
    net.wait_until(window.truth_last);
    let epoch = net.epoch(id, n).unwrap();
    assert_eq!(epoch.truths.len(), 2);
    assert!(epoch.truths.iter().any(|t| t.name == "r3") && epoch.truths.iter().all(|t| t.name != "r4"));
    audit::everything(&net);
}

#[test]
fn reputers_of_losses_are_heard_by_merit() {
    let mut net = Net::new();
    let mode = dodona_proto::topics::TruthMode::Losses.into();
    let spec = TopicSpec { max_reputers: 2, truth_mode: mode, ..spec(4, 2, 2, 2) };
    let id = net.market(spec, &SIX[..3], &["r1", "r2", "r3"]);
    net.done(&[stake("r3", id, 100 * ALLO)]);
    let answered = |net: &mut Net| {
        let window = fresh(net, id);
        net.done(&[submit("w1", id, window.nonce, "10"), submit("w2", id, window.nonce, "12")]);
        net.wait_until(window.truth_first - 1);
        window
    };
    let window = answered(&mut net);
    let report =
        |net: &Net, who: &str, nonce: u64, shift: f64| losses(who, &bundle(net, id, nonce, 10.5, shift));
    let txs = [report(&net, "r1", window.nonce, 0.0), report(&net, "r2", window.nonce, 0.5)];
    net.done(&txs);
    let third = report(&net, "r3", window.nonce, 0.0);
    let receipts = net.done(&[third]);
    assert!(receipts[0].log.contains("have a merit of"), "stake buys no place here: {}", receipts[0].log);
    assert_eq!(net.height, window.truth_last);
    assert_eq!(net.epoch(id, window.nonce).unwrap().truths.len(), 2);
    audit::everything(&net);
}

#[test]
fn thousands_may_be_heard_where_the_rule_bears_it() {
    let count = 400usize;
    let params = Params { fixed_emission: 5 * ALLO, ..Params::default() };
    let mut genesis = genesis(params);
    let crowd: Vec<String> = (0..count).map(|i| format!("m{i}")).collect();
    genesis.accounts.extend(crowd.iter().map(|who| GenesisAccount { address: text(who), balance: PURSE }));
    let mut net = Net::of(&genesis, Signatures::Trust);
    let large = TopicSpec { max_inferers: 5_000, ..spec(4, 2, 2, 2) };
    let regret = TopicSpec { rule: Rule::Regret.into(), ..large.clone() };
    let no = net.refused(&create("alice", regret));
    assert!(no.log.contains("at most 500"), "{}", no.log);
    let more = TopicSpec { max_inferers: 10_001, ..large.clone() };
    assert!(net.refused(&create("alice", more)).log.contains("at most 10000"));
    let id = net.market(large, &[], &REPUTERS);
    assert_eq!(net.topic(id).max_inferers, 5_000);
    net.done(&crowd.iter().map(|who| register(who, id, Role::Worker)).collect::<Vec<_>>());
    let window = fresh(&mut net, id);
    let answers = crowd.iter().enumerate();
    let answers: Vec<Tx> = answers
        .map(|(i, who)| submit(who, id, window.nonce, &format!("{}", 10.0 + (i % 17) as f64)))
        .collect();
    let receipts = net.done(&answers);
    assert!(receipts.iter().all(|r| r.log.is_empty()), "all are heard");
    score(&mut net, id, &window, "12");
    assert_eq!(net.epoch(id, window.nonce).unwrap().parts.len(), count);
    audit::recompute(&net);
    audit::conserved(&net, id);
    audit::supply_from(&net, (names().len() + count) as u128 * PURSE + BONDED);
}
