//! Bad actors and bad days. Each story ends the same way: all promises kept, every computation repeatable, every token
//! accounted for, and the topic goes on as if nothing had happened.

use dodona_chain::{Params, Signatures};
use dodona_proto::{
    ALLO, path,
    topics::{QueryEmissionRequest, QueryEmissionResponse, TopicSpec},
};

use super::{
    audit::{self, uallo},
    kit::*,
};

const WORKERS: [&str; 8] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"];
const REPUTERS: [&str; 3] = ["r1", "r2", "r3"];

/// Something like a standard normal number, the same for the same arguments.
fn noise(who: u64, nonce: u64) -> f64 {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (who + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ nonce << 32);
    for _ in 0..8 {
        dice.roll(2);
    }
    let sum: f64 = (0..12).map(|_| dice.roll(1_000_000) as f64 / 1e6).sum();
    sum - 6.0
}

/// What will have happened.
fn fact(nonce: u64) -> f64 {
    100.0 + 3.0 * noise(999, nonce)
}

/// An honest worker: what nobody can know, and an error of its own, smallest for the first.
fn honest(i: usize, nonce: u64) -> f64 {
    expected(nonce) + (0.5 + 0.1 * i as f64) * noise(i as u64, nonce)
}

/// What could be known in advance.
fn expected(nonce: u64) -> f64 {
    fact(nonce) + noise(500, nonce)
}

fn told(i: usize, nonce: u64) -> String {
    honest(i, nonce).to_string()
}

fn happened(_: usize, nonce: u64) -> String {
    fact(nonce).to_string()
}

/// Four blocks per epoch.
fn quick() -> TopicSpec {
    spec(4, 2, 2, 2)
}

/// What became of one worker over the epochs from a number on: its part in the workers' pay.
fn part_of_pay(net: &Net, id: u64, who: &[&str], from: u64) -> f64 {
    let who: Vec<String> = who.iter().map(|name| text(name)).collect();
    let (mut own, mut all) = (0.0, 0.0);
    for epoch in audit::all_epochs(net, id).iter().filter(|e| e.epoch >= from) {
        for part in &epoch.parts {
            let reward = uallo(&part.reward) as f64;
            all += reward;
            if who.contains(&part.address) {
                own += reward;
            }
        }
    }
    assert!(all > 0.0, "somebody was paid");
    own / all
}

/// Mean losses of the network and of the plain mean over the scored epochs from a number on.
fn losses(net: &Net, id: u64, from: u64) -> (f64, f64) {
    let epochs = audit::all_epochs(net, id);
    let scored: Vec<_> = epochs.iter().filter(|e| e.epoch >= from && e.state == "scored").collect();
    let mean = |sum: f64| sum / scored.len() as f64;
    (
        mean(scored.iter().map(|e| e.network_loss.unwrap()).sum()),
        mean(scored.iter().map(|e| e.mean_loss.unwrap()).sum()),
    )
}

fn ecosystem(net: &Net) -> u128 {
    let answer: QueryEmissionResponse = net.query(path::EMISSION, &QueryEmissionRequest {}).unwrap();
    uallo(&answer.ecosystem_balance)
}

/// How every story ends.
fn good_end(net: &mut Net, id: u64, workers: &[&str], reputers: &[&str]) {
    let last = net.height;
    audit::alive(net, id, workers, reputers, &fact(last).to_string());
    audit::everything(net);
}

#[test]
fn copy_cats_earn_nothing_that_the_copied_did_not_bring() {
    let copied = |i: usize| if i >= 5 { 0 } else { i };
    let mut alone = Net::new();
    let id = alone.market(quick(), &WORKERS[..5], &REPUTERS);
    alone.live(id, 240, (&WORKERS[..5], told), (&REPUTERS, happened));
    let mut net = Net::new();
    let id = net.market(quick(), &WORKERS, &REPUTERS);
    net.live(id, 240, (&WORKERS, |i, nonce| told(copied(i), nonce)), (&REPUTERS, happened));

    let before = part_of_pay(&alone, id, &["w1"], 25);
    let after = part_of_pay(&net, id, &["w1", "w6", "w7", "w8"], 25);
    println!("copied: {before} alone, {after} with copies");
    assert!(after <= 1.3 * before, "the answer earns {before} once, {after} four times");
    // Nobody's prediction is worse for it than the copied one alone.
    let (network, _) = losses(&net, id, 0);
    let rows = net.leaderboard(id);
    assert!(network < rows[&("w1".to_string(), "inferer".to_string())].mean_loss, "{network}");
    good_end(&mut net, id, &WORKERS, &REPUTERS);
}

#[test]
fn eight_identities_of_one_worker_earn_little_more_than_one() {
    let names: Vec<String> = (1..=20).map(|i| format!("w{i}")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    let (others, one) = (&many[..12], &many[..13]);
    for quality in [0usize, 3] {
        // The worker behind the identities is as good as the best, or worse than all.
        let answer = move |i: usize, nonce: u64| {
            let own = expected(nonce) + (0.5 + 0.1 * quality as f64) * noise(77, nonce);
            if i >= others.len() { own.to_string() } else { told(i, nonce) }
        };
        let mut single = Net::new();
        let id = single.market(quick(), one, &REPUTERS);
        single.live(id, 240, (one, answer), (&REPUTERS, happened));
        let mut net = Net::new();
        let id = net.market(quick(), &many, &REPUTERS);
        net.live(id, 240, (&many, answer), (&REPUTERS, happened));
        let honest = part_of_pay(&single, id, &["w13"], 25);
        let split = part_of_pay(&net, id, &many[12..], 25);
        println!("quality {quality}: {honest} as one, {split} as eight");
        assert!(split <= 1.3 * honest, "{honest} as one, {split} as eight");
        good_end(&mut net, id, &many, &REPUTERS);
    }
}

#[test]
fn a_colluding_third_of_the_workers_is_found_out() {
    let nine = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9"];
    // All three say the same wrong thing, three honest deviations above.
    let answer = |i: usize, nonce: u64| {
        if i >= 6 { (fact(nonce) + 4.0).to_string() } else { told(i, nonce) }
    };
    let mut net = Net::new();
    let id = net.market(quick(), &nine, &REPUTERS);
    net.live(id, 160, (&nine, answer), (&REPUTERS, happened));
    let (network, mean) = losses(&net, id, 10);
    assert!(network < 0.6 * mean, "{network} {mean}");
    let part = part_of_pay(&net, id, &nine[6..], 10);
    assert!(part < 0.02, "liars got {part}");
    let newest = audit::newest_scored(&net, id);
    let weight = |name: &str| newest.parts.iter().find(|p| p.name == name).unwrap().weight;
    assert!(weight("w7") + weight("w8") + weight("w9") < 0.02);
    good_end(&mut net, id, &nine, &REPUTERS);
}

#[test]
fn a_turncoat_loses_its_weight_and_its_pay() {
    let turns = std::cell::Cell::new(u64::MAX);
    let answer = |i: usize, nonce: u64| {
        if i == 0 && nonce >= turns.get() { (fact(nonce) + 30.0).to_string() } else { told(i, nonce) }
    };
    let mut net = Net::new();
    let id = net.market(quick(), &WORKERS, &REPUTERS);
    net.live(id, 120, (&WORKERS, answer), (&REPUTERS, happened));
    let trusted = audit::newest_scored(&net, id);
    let weight = |epoch: &dodona_proto::topics::QueryEpochResponse| {
        epoch.parts.iter().find(|p| p.name == "w1").unwrap().weight
    };
    assert!(weight(&trusted) > 0.2, "the best weighs most");
    turns.set(net.height);
    net.live(id, 120, (&WORKERS, answer), (&REPUTERS, happened));
    let newest = audit::newest_scored(&net, id);
    assert!(weight(&newest) < 0.01, "{}", weight(&newest));
    let last = newest.parts.iter().find(|p| p.name == "w1").unwrap();
    assert_eq!(last.reward, "0");
    let (network, mean) = losses(&net, id, newest.epoch - 9);
    assert!(network < 0.25 * mean, "{network} {mean}");
    good_end(&mut net, id, &WORKERS, &REPUTERS);
}

#[test]
fn a_lie_of_a_thousand_sigma_by_the_best_worker_moves_the_answer_by_three_error_scales_at_most() {
    let (lies, liar) = (std::cell::Cell::new(u64::MAX), std::cell::Cell::new(0));
    let answer = |i: usize, nonce: u64| {
        if i == liar.get() && nonce == lies.get() {
            (fact(nonce) + 1_000.0).to_string()
        } else {
            told(i, nonce)
        }
    };
    // The same life twice; one of the two lies once.
    let (mut true_net, mut net) = (Net::new(), Net::new());
    let id = net.market(quick(), &WORKERS, &REPUTERS);
    assert_eq!(true_net.market(quick(), &WORKERS, &REPUTERS), id);
    net.live(id, 96, (&WORKERS, answer), (&REPUTERS, happened));
    true_net.live(id, 96, (&WORKERS, told), (&REPUTERS, happened));
    assert!(net.topic(id).epochs_scored >= 20);
    let newest = audit::newest_scored(&net, id);
    let best = newest.parts.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).unwrap();
    liar.set(WORKERS.iter().position(|name| *name == best.name).unwrap());
    while net.topic(id).next_epoch_block != net.height + 1 {
        net.live(id, 1, (&WORKERS, answer), (&REPUTERS, happened));
        true_net.live(id, 1, (&WORKERS, told), (&REPUTERS, happened));
    }
    lies.set(net.height + 1);
    let scale = net.topic(id).error_scale;
    net.live(id, 3, (&WORKERS, answer), (&REPUTERS, happened));
    true_net.live(id, 3, (&WORKERS, told), (&REPUTERS, happened));
    let (lied, honest) = (net.epoch(id, lies.get()).unwrap(), true_net.epoch(id, lies.get()).unwrap());
    assert_eq!(lied.state, "combined");
    let moved = (lied.combined - honest.combined).abs() / scale;
    println!("moved by {moved} scales of {scale}");
    assert!(moved > 0.0 && moved <= 3.0, "{moved} scales");
    assert!((lied.mean - honest.mean).abs() / scale > 100.0, "the mean has no such guard");
    // Readers who want to see the outlier gone have the resistant answer.
    assert_eq!((lied.outliers.len(), &lied.outliers[0]), (1, &best.address));
    good_end(&mut net, id, &WORKERS, &REPUTERS);
}

#[test]
fn a_lying_minority_of_the_capped_say_cannot_move_the_truth() {
    let five = ["r1", "r2", "r3", "r4", "r5"];
    let mut net = Net::new();
    let id = net.market(quick(), &WORKERS[..4], &five);
    // Nine tenths of all stake, but the say of one is capped at a third.
    net.done(&[stake("r1", id, 360 * ALLO)]);
    let report = |i: usize, nonce: u64| {
        if i == 0 { (fact(nonce) + 1_000.0).to_string() } else { happened(i, nonce) }
    };
    net.live(id, 60, (&WORKERS[..4], told), (&five, report));
    for epoch in audit::all_epochs(&net, id).iter().filter(|e| e.state == "scored") {
        assert_eq!(epoch.truth, Some(fact(epoch.nonce)));
        let score = |name: &str| epoch.truths.iter().find(|t| t.name == name).unwrap().score;
        assert!(score("r1") < 0.01 && score("r2") == 1.0);
    }
    let newest = audit::newest_scored(&net, id);
    let reward = |name: &str| uallo(&newest.truths.iter().find(|t| t.name == name).unwrap().reward);
    assert!(reward("r1") < reward("r2"), "ninety times the stake, less pay");
    good_end(&mut net, id, &WORKERS[..4], &five);
}

#[test]
fn a_lying_majority_of_the_capped_say_decides_and_the_record_says_who_it_was() {
    let five = ["r1", "r2", "r3", "r4", "r5"];
    let mut net = Net::new();
    let id = net.market(quick(), &WORKERS[..4], &five);
    // Two at the cap are two thirds.
    net.done(&[stake("r1", id, 200 * ALLO), stake("r2", id, 200 * ALLO)]);
    let report = |i: usize, nonce: u64| {
        if i < 2 { (fact(nonce) + 1_000.0).to_string() } else { happened(i, nonce) }
    };
    net.live(id, 40, (&WORKERS[..4], told), (&five, report));
    let newest = audit::newest_scored(&net, id);
    assert_eq!(newest.truth, Some(fact(newest.nonce) + 1_000.0));
    for row in &newest.truths {
        let liar = row.name == "r1" || row.name == "r2";
        assert_eq!(row.value == newest.truth.unwrap(), liar, "{} said {}", row.name, row.value);
        assert_eq!(uallo(&row.stake) > 100 * ALLO, liar);
    }
    // The workers are judged by what was agreed; nobody pretends the network was right.
    assert!(newest.network_loss.unwrap() > 900_000.0);
    good_end(&mut net, id, &WORKERS[..4], &five);
}

#[test]
fn without_any_reputer_epochs_end_void_and_their_claims_go_back() {
    let mut net = Net::new();
    let id = net.market(quick(), &WORKERS[..3], &REPUTERS);
    net.live(id, 40, (&WORKERS[..3], told), (&[], happened));
    let epochs = audit::all_epochs(&net, id);
    let void: Vec<_> = epochs.iter().filter(|e| e.state == "void").collect();
    assert!(void.len() >= 8);
    for epoch in void {
        assert_eq!(epoch.void_reason, "no reputer with enough stake reported in the window");
        assert!(epoch.parts.iter().all(|p| p.reward == "0" && p.score.is_none()));
    }
    assert_eq!(net.topic(id).paid, "0");
    // The block that closes an epoch gives its claim back: half the pot while another epoch waits, else all of it.
    while net.windows(id).windows.iter().all(|w| w.truth_last != net.height + 1) {
        net.live(id, 1, (&WORKERS[..3], told), (&[], happened));
    }
    let (pot, before) = (uallo(&net.topic(id).pot), ecosystem(&net));
    assert!(pot > 0);
    net.block(&[]);
    assert!(ecosystem(&net) > before, "{before} {}", ecosystem(&net));
    good_end(&mut net, id, &WORKERS[..3], &REPUTERS);
}

/// Labelled values as the kit wants them.
fn pairs<'a>(values: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    values.iter().map(|(label, value)| (*label, value.as_str())).collect()
}

#[test]
fn a_class_that_is_never_reported_costs_those_who_believe_in_it() {
    let classes = TopicSpec {
        loss: dodona_proto::topics::Loss::Log.into(),
        classification: true,
        multi: true,
        require_unity: true,
        labels: vec!["rain".into(), "snow".into(), "sun".into()],
        ..quick()
    };
    let mut net = Net::new();
    let id = net.market(classes, &WORKERS[..4], &REPUTERS);
    // w1 and w2 know; w3 always expects snow, which never comes; w4 does not care.
    let say = |who: &str, nonce: u64| {
        let sun = if noise(5, nonce) > 0.0 { "0.8" } else { "0.1" };
        let rain = if noise(5, nonce) > 0.0 { "0.1" } else { "0.8" };
        match who {
            "w3" => submit_labels(who, id, nonce, &[("snow", "0.9"), ("sun", "0.05"), ("rain", "0.05")]),
            "w4" => submit_labels(who, id, nonce, &[("snow", "0.3"), ("sun", "0.4"), ("rain", "0.3")]),
            _ => submit_labels(who, id, nonce, &[("sun", sun), ("rain", rain), ("snow", "0.1")]),
        }
    };
    let report = |who: &str, nonce: u64| {
        truth_labels(who, id, nonce, &[(if noise(5, nonce) > 0.0 { "sun" } else { "rain" }, "1")])
    };
    for _ in 0..25 {
        audit::alive_with(&mut net, id, &WORKERS[..4], &REPUTERS, say, report);
    }
    let newest = audit::newest_scored(&net, id);
    let snow = newest.columns.iter().find(|c| c.label == "snow").unwrap();
    assert_eq!(snow.truth, Some(0.0));
    let rows = net.leaderboard(id);
    let row = |name: &str| &rows[&(name.to_string(), "inferer".to_string())];
    assert!(row("w3").mean_loss > 2.0 * row("w1").mean_loss);
    assert_eq!(newest.parts.iter().find(|p| p.name == "w3").unwrap().reward, "0");
    audit::everything(&net);
}

#[test]
fn a_label_of_a_regression_that_nobody_reports_is_left_out_of_every_loss() {
    let outputs = TopicSpec { multi: true, ..quick() };
    let mut net = Net::new();
    let id = net.market(outputs, &WORKERS[..4], &REPUTERS);
    let say = |who: &str, nonce: u64| {
        let i: usize = who[1..].parse().unwrap();
        // Only the unreported label differs between w1 and w2.
        let unseen = if who == "w1" { 1e6 } else { 0.5 };
        let seen = |shift: u64| match i {
            1 | 2 => fact(nonce + shift) + 0.5 * noise(1, nonce + shift),
            i => fact(nonce + shift) + noise(i as u64, nonce + shift),
        };
        let values = [("x", seen(0).to_string()), ("y", unseen.to_string()), ("z", seen(7).to_string())];
        submit_labels(who, id, nonce, &pairs(&values))
    };
    let report = |who: &str, nonce: u64| {
        let values = [("x", fact(nonce).to_string()), ("z", fact(nonce + 7).to_string())];
        truth_labels(who, id, nonce, &pairs(&values))
    };
    for _ in 0..12 {
        audit::alive_with(&mut net, id, &WORKERS[..4], &REPUTERS, say, report);
    }
    let newest = audit::newest_scored(&net, id);
    let column = |label: &str| newest.columns.iter().find(|c| c.label == label).unwrap();
    assert_eq!((column("x").truth, column("y").truth), (Some(fact(newest.nonce)), None));
    let part = |name: &str| newest.parts.iter().find(|p| p.name == name).unwrap();
    assert_eq!(part("w1").loss, part("w2").loss);
    assert!((part("w1").weight - part("w2").weight).abs() < 1e-12);
    assert!(newest.network_loss.unwrap() < 10.0);
    audit::everything(&net);
}

#[test]
fn a_topic_that_runs_dry_sleeps_and_wakes_when_it_is_funded() {
    let mut net = Net::with(|params| {
        // A week of ten epochs, and rewards too small to matter as stake.
        params.blocks_per_month = 174;
        params.fixed_emission = ALLO / 1_000;
        params.min_topic_weight = "1e19".parse().unwrap();
    });
    let id = net.market(quick(), &WORKERS[..3], &REPUTERS);
    let forecast = net.topic(id).runs_dry_epochs;
    assert!(forecast > 2 && forecast < 100, "{forecast}");
    let mut blocks = 0;
    while net.topic(id).active {
        net.live(id, 1, (&WORKERS[..3], told), (&REPUTERS, happened));
        blocks += 1;
        assert!(blocks < 4 * (forecast + 3), "{blocks} blocks, {forecast} epochs foretold");
    }
    let asleep = net.topic(id);
    // Fees and rewards add a little to what was foretold.
    assert!(asleep.epochs_opened + 1 >= forecast, "{} of {forecast}", asleep.epochs_opened);
    assert!(asleep.inactive_reason.contains("more stake or funding"), "{}", asleep.inactive_reason);
    // What was asked is still scored; then nothing happens any more, and no reward is drawn.
    net.live(id, 12, (&WORKERS[..3], told), (&REPUTERS, happened));
    let (opened, pot) = (net.topic(id).epochs_opened, net.topic(id).pot);
    assert!(net.windows(id).windows.is_empty());
    net.wait_until(net.height + 20);
    assert_eq!((net.topic(id).epochs_opened, net.topic(id).pot.clone()), (opened, pot));
    // Too little does not wake it, enough does, at once.
    net.done(&[fund("bob", id, 1)]);
    assert!(!net.topic(id).active);
    let refused = net.refused(&submit("w1", id, net.height, "1"));
    assert_eq!(refused.code, 75);
    net.done(&[fund("bob", id, 2_000 * ALLO)]);
    assert!(net.topic(id).active, "{}", net.topic(id).inactive_reason);
    assert_eq!(net.topic(id).epochs_opened, opened + 1);
    good_end(&mut net, id, &WORKERS[..3], &REPUTERS);
}

#[test]
fn stake_that_leaves_between_report_and_scoring_takes_its_report_with_it() {
    let mut net = Net::with(|params| params.remove_stake_delay_window = 1);
    let id = net.market(quick(), &WORKERS[..3], &REPUTERS);
    net.live(id, 16, (&WORKERS[..3], told), (&REPUTERS, happened));
    // r1 reports first and asks for everything back in the same block.
    let window = loop {
        if let Some(w) = net.windows(id).windows.into_iter().find(|w| w.worker_first == net.height + 1) {
            break w;
        }
        net.block(&[]);
    };
    net.done(&[submit("w1", id, window.nonce, "100"), submit("w2", id, window.nonce, "101")]);
    net.wait_until(window.truth_first - 1);
    let reports: Vec<Tx> = REPUTERS.iter().map(|who| truth(who, id, window.nonce, "100")).collect();
    net.done(&reports);
    let own = net.query::<dodona_proto::topics::QueryMemberResponse>(
        path::MEMBER,
        &dodona_proto::topics::QueryMemberRequest { topic_id: id, address: text("r1") },
    );
    let before = net.balance("r1");
    assert_eq!(window.truth_last, net.height + 1, "scored at the end of the next block");
    let removal = unstake("r1", id, uallo(&own.unwrap().stake));
    // A delay of one block: it leaves at the end of the block after its transaction.
    net.done(std::slice::from_ref(&removal));
    let scored = net.epoch(id, window.nonce).unwrap();
    assert_eq!((scored.state.as_str(), scored.truths.len()), ("scored", 3), "it was still at risk");
    net.block(&[]);
    assert!(net.balance("r1") > before);
    assert_eq!(net.topic(id).reputers, 3, "still registered, with its newest reward as stake");
    good_end(&mut net, id, &WORKERS[..3], &["r2", "r3"]);
}

/// An epoch in which all three report in the first block of the truth window, and these ask for all their stake back
/// in such a block that it leaves in the very block of scoring.
fn leaving_at_scoring(net: &mut Net, id: u64, who: &[&str]) -> u64 {
    let delay = 4;
    let window = loop {
        if let Some(w) = net.windows(id).windows.into_iter().find(|w| w.worker_first == net.height + 1) {
            break w;
        }
        net.block(&[]);
    };
    net.done(&[submit("w1", id, window.nonce, "100"), submit("w2", id, window.nonce, "101")]);
    while net.height + 1 < window.truth_first {
        if net.height + 1 + delay == window.truth_last {
            ask_back(net, id, who);
        } else {
            net.block(&[]);
        }
    }
    let mut txs: Vec<Tx> = REPUTERS.iter().map(|who| truth(who, id, window.nonce, "100")).collect();
    if net.height + 1 + delay == window.truth_last {
        txs.extend(who.iter().map(|name| unstake(name, id, own_stake(net, id, name))));
    }
    net.done(&txs);
    while net.height < window.truth_last {
        if net.height + 1 + delay == window.truth_last {
            ask_back(net, id, who);
        } else {
            net.block(&[]);
        }
    }
    window.nonce
}

fn ask_back(net: &mut Net, id: u64, who: &[&str]) {
    let txs: Vec<Tx> = who.iter().map(|name| unstake(name, id, own_stake(net, id, name))).collect();
    net.done(&txs);
}

fn own_stake(net: &Net, id: u64, name: &str) -> u128 {
    let asked = dodona_proto::topics::QueryMemberRequest { topic_id: id, address: text(name) };
    uallo(&net.query::<dodona_proto::topics::QueryMemberResponse>(path::MEMBER, &asked).unwrap().stake)
}

#[test]
fn stake_that_leaves_in_the_block_of_scoring_is_not_heard_there() {
    let mut net = Net::with(|params| params.remove_stake_delay_window = 4);
    let id = net.market(spec(8, 2, 4, 4), &WORKERS[..3], &REPUTERS);
    let nonce = leaving_at_scoring(&mut net, id, &["r1"]);
    let epoch = net.epoch(id, nonce).unwrap();
    assert_eq!(epoch.state, "scored");
    let heard: Vec<&str> = epoch.truths.iter().map(|t| t.name.as_str()).collect();
    assert!(heard.len() == 2 && !heard.contains(&"r1"), "{heard:?}");
    assert_eq!(own_stake(&net, id, "r1"), 0);
    good_end(&mut net, id, &WORKERS[..3], &["r2", "r3"]);
}

#[test]
fn when_the_last_reputer_leaves_the_epoch_is_void_and_new_stake_brings_the_topic_back() {
    let mut net = Net::with(|params| params.remove_stake_delay_window = 4);
    let id = net.market(spec(8, 2, 4, 4), &WORKERS[..3], &REPUTERS);
    let nonce = leaving_at_scoring(&mut net, id, &REPUTERS);
    let epoch = net.epoch(id, nonce).unwrap();
    assert_eq!((epoch.state.as_str(), epoch.truths.len()), ("void", 0));
    assert_eq!(net.topic(id).stake, "0");
    net.wait_until(net.height + 20);
    let back: Vec<Tx> = REPUTERS.iter().map(|name| stake(name, id, 10 * ALLO)).collect();
    net.done(&back);
    assert!(net.topic(id).active, "{}", net.topic(id).inactive_reason);
    good_end(&mut net, id, &WORKERS[..3], &REPUTERS);
}

#[test]
fn parameters_that_change_in_the_middle_of_an_epoch_break_nothing() {
    let mut net = Net::new();
    let id = net.market(spec(8, 2, 4, 4), &WORKERS[..5], &REPUTERS);
    // One change in every block of many epochs, also such as concern who is heard, who counts and who is paid.
    let changes: [&[(&str, &str)]; 12] = [
        &[("reputer_share", "10000")],
        &[("max_top_inferers_to_reward", "1")],
        &[("min_truth_stake", "100000000000000000000")],
        &[("data_sending_fee", "1000000000000000000")],
        &[("reputer_weight_cap", "1")],
        &[("fixed_emission", "0"), ("max_reputers", "1")],
        &[("reputer_share", "0"), ("min_truth_stake", "1")],
        &[("max_top_inferers_to_reward", "32"), ("data_sending_fee", "0")],
        &[("emission_enabled", "false")],
        &[("min_epoch_length", "100"), ("max_supply", "1")],
        &[("fixed_emission", "5000000000000000000"), ("emission_enabled", "true")],
        &[("max_reputers", "128"), ("max_supply", "1000000000000000000000000000"), ("registration_fee", "7")],
    ];
    for round in 0..48usize {
        let height = net.height + 1;
        let mut txs = vec![set_params(changes[round % changes.len()])];
        for w in net.windows(id).windows {
            if height == w.worker_first || height == w.worker_last {
                let half = if height == w.worker_first { &WORKERS[..2] } else { &WORKERS[2..5] };
                txs.extend(
                    half.iter().enumerate().map(|(i, who)| submit(who, id, w.nonce, &told(i, w.nonce))),
                );
            }
            if w.truth_first <= height && height <= w.truth_last {
                txs.push(truth(REPUTERS[(height % 3) as usize], id, w.nonce, &happened(0, w.nonce)));
            }
        }
        // Some are refused under what is in force just then; that is as it should be.
        net.block(&txs);
    }
    assert!(net.topic(id).epochs_scored > 0);
    net.done(&[set_params(&[
        ("reputer_share", "2500"),
        ("max_top_inferers_to_reward", "32"),
        ("min_truth_stake", "1000000000000000000"),
        ("data_sending_fee", "10"),
        ("reputer_weight_cap", "3400"),
        ("max_reputers", "128"),
        ("fixed_emission", "5000000000000000000"),
        ("emission_enabled", "true"),
        ("max_supply", "1000000000000000000000000000"),
    ])]);
    good_end(&mut net, id, &WORKERS[..5], &REPUTERS);
}

#[test]
fn sums_at_the_limits_of_u128_lose_nothing() {
    // A supply as large as parameters allow, held by three accounts.
    let most = u128::MAX / 4;
    let params = Params { max_supply: most, fixed_emission: most / 1_000, ..Params::default() };
    let mut genesis = genesis(params);
    let rich = ["alice", "r1", "bob"];
    let small: u128 = (genesis.accounts.len() - rich.len()) as u128 * PURSE;
    let each = (most - small - most / 10) / 3;
    for account in &mut genesis.accounts {
        if rich.iter().any(|name| text(name) == account.address) {
            account.balance = each;
        }
    }
    let mut net = Net::of(&genesis, Signatures::Check);
    let id = net.market(quick(), &WORKERS[..3], &REPUTERS);
    net.done(&[
        fund("alice", id, each - 1_000 * ALLO),
        stake("r1", id, each / 2),
        delegate("bob", id, "r1", each - ALLO),
    ]);
    net.live(id, 32, (&WORKERS[..3], told), (&REPUTERS, happened));
    let topic = net.topic(id);
    assert!(uallo(&topic.paid) > most / 1_000, "{}", topic.paid);
    assert!(uallo(&topic.stake) > each, "{}", topic.stake);
    let claim = dodona_proto::topics::MsgClaimDelegateRewards {
        sender: text("bob"),
        topic_id: id,
        reputer: text("r1"),
    };
    let before = net.balance("bob");
    net.done(&[Tx::new(
        "bob",
        vec![dodona_proto::tx::pack(dodona_proto::url::CLAIM_DELEGATE_REWARDS, &claim)],
    )]);
    assert!(net.balance("bob") > before);
    // More than there is is refused in words, not by overflow.
    assert_eq!(net.refused(&stake("r1", id, u128::MAX)).id(), ("sdk", 5));
    assert_eq!(net.refused(&fund("bob", id, u128::MAX)).id(), ("sdk", 5));
    let last = net.height;
    audit::alive(&mut net, id, &WORKERS[..3], &REPUTERS, &fact(last).to_string());
    audit::recompute(&net);
    audit::explain(&net, id);
    audit::conserved(&net, id);
    audit::supply_from(&net, small + 3 * each + BONDED);
}
