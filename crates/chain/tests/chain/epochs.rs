//! The life of epochs: opened, answered, combined, judged, paid, forgotten; and that the views agree with it.

use dodona_chain::topics::state::{EPOCHS, RECORDS, REGRETS};
use dodona_proto::{
    ALLO, Address,
    topics::{Loss, QueryEpochResponse, Role, Rule, TopicSpec},
};

use crate::kit::*;

const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const REPUTERS: [&str; 3] = ["r1", "r2", "r3"];
/// What one block brings the topics under default parameters.
const EMISSION: u128 = 5 * ALLO / 4 * 3;

fn amount(text: &str) -> u128 {
    text.parse().expect("amounts are decimal")
}

/// What the topics' common account holds: whatever they were given and have not paid.
fn rewards(net: &Net) -> u128 {
    net.balance_of(Address::of_module("allorarewards"))
}

/// A pot follows from what its topic holds in the common account, but for what was rounded down: less than three
/// units per block at the weight the kit's topics have.
fn assert_pot(net: &Net, id: u64, blocks: u64) {
    let (pot, holds) = (amount(&net.topic(id).pot), rewards(net));
    assert!(pot <= holds && holds - pot < 3 * u128::from(blocks) + 3, "{pot} of {holds}");
}

/// Better and worse workers around a truth that moves.
fn world(nonce: u64) -> f64 {
    20.0 + (nonce % 7) as f64
}

fn said(place: usize, nonce: u64) -> String {
    let error = [0.5, -1.0, 2.0, -4.0][place % 4] * (1.0 + (nonce % 3) as f64 / 4.0);
    (world(nonce) + error).to_string()
}

fn happened(_: usize, nonce: u64) -> String {
    world(nonce).to_string()
}

#[test]
fn an_epoch_is_opened_combined_and_scored_at_the_blocks_it_names() {
    // The lag is no multiple of the epoch length, and truth windows of three epochs overlap.
    let mut net = Net::new();
    let id = net.market(spec(3, 2, 4, 5), &WORKERS, &REPUTERS);
    let first = net.height;
    for _ in 0..40 {
        net.live(id, 1, (&WORKERS, said), (&REPUTERS, happened));
        let height = net.height;
        let opened = (height - first) / 3 + 1;
        for index in 0..opened {
            let nonce = first + 3 * index;
            let state = match height - nonce {
                0 | 1 => "open",
                2..=8 => "combined",
                _ => "scored",
            };
            let epoch = net.epoch(id, nonce).unwrap();
            assert_eq!((epoch.state.as_str(), epoch.epoch), (state, index), "block {height} nonce {nonce}");
            assert_eq!(epoch.combined_at, if state == "open" { 0 } else { nonce + 2 });
            assert_eq!(epoch.scored_at, if state == "scored" { nonce + 9 } else { 0 });
            assert_eq!(epoch.truth.is_some(), state == "scored");
        }
        let topic = net.topic(id);
        assert_eq!(topic.epochs_opened, opened);
        assert_eq!(topic.epochs_scored, (height - first).saturating_sub(6) / 3);
        assert_eq!((topic.epochs_void, topic.next_epoch_block), (0, first + 3 * opened));
    }
}

#[test]
fn windows_tell_exactly_what_is_accepted_next() {
    let mut net = Net::new();
    let id = net.market(spec(3, 2, 4, 5), &WORKERS, &REPUTERS);
    for _ in 0..25 {
        net.live(id, 1, (&WORKERS[..2], said), (&REPUTERS[..1], happened));
        let answer = net.windows(id);
        let next = answer.height + 1;
        for nonce in 2..=net.height {
            let window = answer.windows.iter().find(|w| w.nonce == nonce);
            // w3 and r2 were silent so far, so only windows can refuse them.
            let payload = net.refusal_of(&submit("w3", id, nonce, "1"));
            let open =
                window.is_some_and(|w| w.state == "open" && (w.worker_first..=w.worker_last).contains(&next));
            assert_eq!(payload.is_none(), open, "payload for {nonce} in block {next}: {payload:?}");
            let report = net.refusal_of(&truth("r2", id, nonce, "1"));
            let open = window.is_some_and(|w| (w.truth_first..=w.truth_last).contains(&next));
            assert_eq!(report.is_none(), open, "truth for {nonce} in block {next}: {report:?}");
        }
    }
}

#[test]
fn windows_show_the_open_epoch_however_many_wait() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 300, 10), &["w1"], &["r1"]);
    net.live(id, 320, (&["w1"], said), (&[], happened));
    let windows = net.windows(id).windows;
    assert_eq!(windows.len(), 310);
    assert_eq!(windows.last().unwrap().nonce, net.height);
    assert_eq!(windows[0].truth_last, net.height + 1);
}

#[test]
fn one_block_per_epoch_is_the_shortest_life() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &REPUTERS);
    let first = net.height;
    net.live(id, 50, (&WORKERS, said), (&REPUTERS, happened));
    let topic = net.topic(id);
    assert_eq!((topic.epochs_opened, topic.epochs_scored, topic.epochs_void), (51, 49, 0));
    let last = net.epoch(id, first + 48).unwrap();
    assert_eq!((last.combined_at, last.scored_at), (first + 49, first + 50));
    // The better the worker, the larger its weight and pay.
    let board = net.leaderboard(id);
    let row = |name: &str| &board[&(name.to_string(), "inferer".to_string())];
    assert!(row("w1").weight >= row("w2").weight && row("w2").weight > row("w3").weight);
    assert!(row("w1").mean_loss < row("w2").mean_loss && row("w3").mean_loss < row("w4").mean_loss);
    assert!(amount(&row("w1").earned) > amount(&row("w4").earned));
    assert!(topic.mean_loss_network < topic.mean_loss_mean);
}

#[test]
fn a_script_plays_the_shortest_life() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &["w1", "w2"], &["r1"]);
    let first = net.height;
    net.play(id, "w1=10 w2=20 / w1=11 w2=21 r1!12 / w1=12 w2=22 r1!13");
    let epoch = net.epoch(id, first).unwrap();
    assert_eq!((epoch.combined, epoch.mean, epoch.median, epoch.truth), (15.0, 15.0, 15.0, Some(12.0)));
    assert_eq!((epoch.network_loss, epoch.mean_loss), (Some(9.0), Some(9.0)));
    let losses: Vec<Option<f64>> = epoch.parts.iter().map(|p| p.loss).collect();
    assert!(losses.contains(&Some(4.0)) && losses.contains(&Some(64.0)), "{losses:?}");
    assert_eq!(net.epoch(id, first + 1).unwrap().truth, Some(13.0));
    assert_eq!(net.epoch(id, 0).unwrap().nonce, first + 2, "nonce 0 is the newest answer");
}

#[test]
fn an_epoch_without_answers_or_without_truth_is_void_and_its_claim_goes_back_to_the_ecosystem() {
    let mut net = Net::new();
    let id = net.market(spec(3, 1, 1, 2), &WORKERS, &REPUTERS);
    let first = net.height;
    let ecosystem = |net: &Net| net.balance_of(Address::of_module("ecosystem"));
    // The first epoch gets no answer, the second no truth, the third both.
    let answer = |i: usize, nonce: u64| if nonce == first { String::new() } else { said(i, nonce) };
    let report = |i: usize, nonce: u64| if nonce == first + 3 { String::new() } else { happened(i, nonce) };
    let before = ecosystem(&net);
    net.live(id, 1, (&WORKERS, answer), (&REPUTERS, report));
    let silent = net.epoch(id, first).unwrap();
    assert_eq!(
        (silent.state.as_str(), silent.void_reason.as_str()),
        ("void", "no worker answered in the window")
    );
    assert!(silent.parts.is_empty() && silent.truth.is_none());
    // The only epoch that waited had a claim on all there was: on this block's emission, that is. What rounding
    // left lies in the common account.
    assert_eq!(net.topic(id).pot, "0");
    assert_eq!(ecosystem(&net) + rewards(&net), before - (5 * ALLO - EMISSION).min(before));
    assert_pot(&net, id, 1);
    net.live(id, 5, (&WORKERS, answer), (&REPUTERS, report));
    let unjudged = net.epoch(id, first + 3).unwrap();
    assert_eq!(unjudged.void_reason, "no reputer with enough stake reported in the window");
    assert_eq!((unjudged.parts.len(), unjudged.truth, unjudged.scored_at), (4, None, 0));
    let topic = net.topic(id);
    assert_eq!((topic.epochs_opened, topic.epochs_scored, topic.epochs_void), (3, 0, 2));
    assert_eq!((topic.pot.as_str(), topic.paid.as_str()), ("0", "0"));
    assert_pot(&net, id, 6);
    net.live(id, 3, (&WORKERS, answer), (&REPUTERS, report));
    let topic = net.topic(id);
    assert_eq!((topic.epochs_scored, topic.epochs_void), (1, 2));
    // The third has nothing but the emission of its own three blocks.
    let paid = amount(&topic.paid);
    assert!(paid > 0 && paid <= 3 * EMISSION, "{paid}");
}

#[test]
fn what_a_topic_gets_is_paid_or_waits_to_the_last_unit() {
    let mut net = Net::with(|p| p.fixed_emission = 1_000_003);
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &REPUTERS);
    let first = net.height;
    // A quarter of the emission, rounded down, is the validators'; the topic takes the rest.
    let of_a_block = 1_000_003 - 250_000;
    let mut waits = 0;
    for block in 1..=30u64 {
        net.live(id, 1, (&WORKERS, said), (&REPUTERS, happened));
        waits += of_a_block;
        if let Some(ended) = net.epoch(id, (first + block).saturating_sub(2)) {
            // Two epochs wait for their truth when one of them is scored: each may pay half of the pot.
            let (budget, reward) = (amount(&ended.topic_reward), amount(&ended.reward));
            assert_eq!((ended.state.as_str(), ended.scored_at), ("scored", net.height));
            assert!(budget <= waits / 2 && waits / 2 - budget < 100, "{budget} of {waits}");
            assert!(reward <= budget);
            waits -= reward;
        }
        assert_eq!(rewards(&net), waits);
        assert_eq!(rewards(&net) + amount(&net.topic(id).paid), of_a_block * u128::from(block));
        assert_pot(&net, id, block);
    }
    let epochs = net.epochs(id, 0, 200);
    let scored: Vec<_> = epochs.iter().filter(|e| e.state == "scored").collect();
    assert_eq!(scored.iter().map(|e| amount(&e.reward)).sum::<u128>(), amount(&net.topic(id).paid));
    // Once somebody has earned, every epoch pays everything it may.
    assert_eq!(scored.last().unwrap().reward, scored.last().unwrap().topic_reward);
}

#[test]
fn a_workers_pay_goes_to_its_owner_and_a_reputers_grows_its_stake() {
    let mut net = Net::new();
    net.done(&[create("alice", spec(1, 1, 1, 1))]);
    let reputer = register_for("r1", 1, Role::Reputer, "carol").and(stake("r1", 1, 10 * ALLO));
    net.done(&[
        register_for("w1", 1, Role::Worker, "owner"),
        register("w2", 1, Role::Worker),
        reputer,
        fund("alice", 1, 10 * ALLO),
    ]);
    let before = (net.balance("w1"), net.balance("r1"));
    net.live(1, 5, (&["w1", "w2"], said), (&["r1"], happened));
    let fees = |name: &str| u128::from(net.account(name).sequence - 1) * (u128::from(GAS) * 10 + 10);
    assert_eq!(net.balance("w1"), before.0 - fees("w1"));
    assert_eq!(net.balance("r1"), before.1 - fees("r1"));
    let board = net.leaderboard(1);
    let earned = |name: &str, role: &str| amount(&board[&(name.to_string(), role.to_string())].earned);
    assert!(earned("w1", "inferer") > 0 && earned("r1", "reputer") > 0);
    assert_eq!(net.balance("owner"), PURSE + earned("w1", "inferer"));
    assert_eq!(net.balance("carol"), PURSE);
    assert_eq!(amount(&net.topic(1).stake), 10 * ALLO + earned("r1", "reputer"));
    assert_eq!(board[&("w1".to_string(), "inferer".to_string())].owner, text("owner"));
}

#[test]
fn a_reputer_that_lies_alone_is_outvoted_and_earns_almost_nothing() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &REPUTERS);
    net.done(&[stake("r3", id, 1_000 * ALLO)]); // by far the largest stake
    let report = |i: usize, nonce: u64| if i == 2 { "1e40".to_string() } else { happened(i, nonce) };
    net.live(id, 20, (&WORKERS, said), (&REPUTERS, report));
    for epoch in net.epochs(id, 0, 200).iter().filter(|e| e.state == "scored") {
        assert_eq!(epoch.truth, Some(world(epoch.nonce)));
        assert_eq!(epoch.truths.len(), 3);
    }
    let board = net.leaderboard(id);
    let earned = |name: &str| amount(&board[&(name.to_string(), "reputer".to_string())].earned);
    assert!(earned("r3") * 1_000_000 < earned("r1"));
    assert!(earned("r1").abs_diff(earned("r2")) <= 20, "equal but for a unit per epoch");
}

#[test]
fn a_single_worker_is_the_network_and_its_part_stays_in_the_pot() {
    for rule in [Rule::Power, Rule::Regret, Rule::Mean, Rule::Median] {
        let mut net = Net::new();
        let id = net.market(TopicSpec { rule: rule.into(), ..spec(1, 1, 1, 1) }, &["w1"], &["r1"]);
        net.live(id, 6, (&["w1"], said), (&["r1"], happened));
        let epoch = net.epochs(id, 0, 1).remove(0);
        assert_eq!((epoch.parts.len(), epoch.parts[0].weight, epoch.parts[0].one_out), (1, 1.0, None));
        assert_eq!(epoch.combined, epoch.parts[0].value);
        assert_eq!(net.topic(id).epochs_scored, 5, "{rule:?}");
        if rule != Rule::Regret {
            assert_eq!(amount(&net.leaderboard(id)[&("w1".into(), "inferer".into())].earned), 0);
            assert!(amount(&net.topic(id).pot) > 0);
        }
    }
}

#[test]
fn workers_come_and_go_and_the_board_counts_what_they_missed() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &["r1"]);
    let first = net.height;
    // w1 always, w2 every other epoch, w3 from the tenth on, w4 until the tenth.
    let answer = move |i: usize, nonce: u64| {
        let epoch = nonce - first;
        let speaks = match i {
            0 => true,
            1 => epoch.is_multiple_of(2),
            2 => epoch >= 10,
            _ => epoch < 10,
        };
        if speaks { said(i, nonce) } else { String::new() }
    };
    net.live(id, 30, (&WORKERS, answer), (&["r1"], happened));
    for epoch in net.epochs(id, 0, 200).iter().filter(|e| e.state != "open") {
        let mut names: Vec<&str> = epoch.parts.iter().map(|p| p.name.as_str()).collect();
        names.sort_unstable();
        let expected: Vec<&str> =
            (0..4).filter(|i| !answer(*i, epoch.nonce).is_empty()).map(|i| WORKERS[i]).collect();
        assert_eq!(names, expected);
        assert!((epoch.parts.iter().map(|p| p.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let board = net.leaderboard(id);
    let counts = |name: &str| {
        let row = &board[&(name.to_string(), "inferer".to_string())];
        (row.submitted, row.missed)
    };
    assert_eq!(counts("w1"), (30, 0));
    assert_eq!(counts("w2"), (15, 15));
    assert_eq!(counts("w3"), (20, 0), "what came before its first answer was not missed");
    assert_eq!(counts("w4"), (10, 20));
    let reputer = &board[&("r1".to_string(), "reputer".to_string())];
    assert_eq!((reputer.submitted, reputer.missed), (29, 0));
    assert_eq!(amount(&reputer.stake), 10 * ALLO + amount(&reputer.earned));
}

#[test]
fn forecasters_take_part_beside_their_own_inference() {
    for rule in [Rule::Power, Rule::Regret] {
        let mut net = Net::new();
        let s = TopicSpec { rule: rule.into(), ..spec(1, 1, 1, 1) };
        let id = net.market(s, &WORKERS, &REPUTERS);
        // w3 answers and forecasts, w4 only forecasts; both know that w1 is the better one.
        let block = "w1=10 w2=14 w3=12?w1:0.01,w2:9,w3:1 w4=?w1:0.02,w2:8 ";
        net.play(id, block);
        for _ in 0..12 {
            net.play(id, &format!("{block} r1!10.1 r2!10.1 r3!10.1"));
        }
        let epoch = net.epoch(id, 0).unwrap();
        let forecasters: Vec<&str> =
            epoch.parts.iter().filter(|p| p.forecaster).map(|p| p.name.as_str()).collect();
        assert_eq!((epoch.parts.len(), forecasters.len()), (5, 2), "{rule:?}");
        for part in epoch.parts.iter().filter(|p| p.forecaster) {
            assert!((part.value - 10.0).abs() < 0.5, "{rule:?}: {part:?}");
        }
        let board = net.leaderboard(id);
        assert_eq!(board[&("w4".into(), "forecaster".into())].submitted, 13);
        assert!(!board.contains_key(&("w4".into(), "inferer".into())));
        assert_eq!(net.topic(id).epochs_scored, 12);
        // The forecast helps: the network is nearer to the truth than without.
        assert!((epoch.combined - 10.1).abs() < (epoch.mean - 10.1).abs(), "{rule:?}");
    }
}

#[test]
fn a_forecast_about_nobody_who_answers_is_no_part_of_the_answer() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &["r1"]);
    net.play(id, "w1=10 w2=12 w3=?w4:1 / w1=10 w2=12 w3=?w4:1 r1!11");
    for epoch in [net.epoch(id, 0).unwrap(), net.epochs(id, 0, 1).remove(0)] {
        assert!(epoch.parts.len() == 2 && epoch.parts.iter().all(|p| !p.forecaster), "{:?}", epoch.parts);
    }
    let row = &net.leaderboard(id)[&("w3".into(), "forecaster".into())];
    assert_eq!((row.submitted, row.earned.as_str()), (0, "0"));
}

#[test]
fn only_forecasts_and_no_inference_are_a_void_epoch() {
    let mut net = Net::new();
    let id = net.market(spec(1, 1, 1, 1), &WORKERS, &["r1"]);
    let first = net.height;
    net.play(id, "w3=?w4:1");
    assert_eq!(net.epoch(id, first).unwrap().void_reason, "no worker answered in the window");
}

#[test]
fn every_rule_under_every_loss_scores_pays_and_conserves() {
    let rules = [Rule::Power, Rule::Regret, Rule::Median, Rule::Mean];
    let losses = [
        Loss::Squared,
        Loss::Absolute,
        Loss::Log,
        Loss::Huber,
        Loss::LogCosh,
        Loss::Poisson,
        Loss::Brier,
        Loss::Ztae,
        Loss::Pinball,
    ];
    for (rule, loss) in rules.iter().flat_map(|r| losses.map(|l| (*r, l))) {
        let mut net = Net::new();
        let mut s = TopicSpec { rule: rule.into(), loss: loss.into(), ..spec(2, 1, 3, 1) };
        if loss == Loss::Ztae {
            (s.loss_center, s.loss_scale) = ("23".into(), "5".into()); // where its numbers are told apart
        }
        let id = net.market(s, &WORKERS, &REPUTERS);
        let first = net.height;
        let answer = |i: usize, nonce: u64| match loss {
            Loss::Log | Loss::Brier => {
                (0.5 + (if nonce.is_multiple_of(4) { 0.4 } else { -0.4 }) / (i + 1) as f64).to_string()
            }
            _ => said(i, nonce),
        };
        let report = |i: usize, nonce: u64| match loss {
            Loss::Log | Loss::Brier => u64::from(nonce.is_multiple_of(4)).to_string(),
            _ => happened(i, nonce),
        };
        net.live(id, 60, (&WORKERS, answer), (&REPUTERS, report));
        let topic = net.topic(id);
        assert_eq!((topic.epochs_scored, topic.epochs_void), (29, 0), "{rule:?} {loss:?}");
        let flowed = EMISSION * u128::from(net.height - first);
        assert_eq!(rewards(&net) + amount(&topic.paid), flowed, "{rule:?} {loss:?}");
        assert_pot(&net, id, 60);
        assert!(amount(&topic.paid) > flowed / 2, "{rule:?} {loss:?} pays");
        assert!(topic.mean_loss_network.is_finite() && topic.mean_loss_network >= 0.0);
        let board = net.leaderboard(id);
        let best = &board[&("w1".to_string(), "inferer".to_string())];
        assert!(
            WORKERS
                .iter()
                .all(|w| board[&(w.to_string(), "inferer".to_string())].mean_loss >= best.mean_loss)
        );
    }
}

#[test]
fn extreme_numbers_end_epochs_and_never_the_chain() {
    for rule in [Rule::Power, Rule::Regret, Rule::Median, Rule::Mean] {
        let mut net = Net::new();
        let s = TopicSpec { rule: rule.into(), ..spec(1, 1, 1, 1) };
        let id = net.market(s, &WORKERS, &REPUTERS);
        let extremes = ["1e40", "-1e40", "1e-40", "0", "1e39", "-1e-40"];
        let answer = |i: usize, nonce: u64| extremes[(i + nonce as usize) % 6].to_string();
        let report = |_: usize, nonce: u64| extremes[(2 * nonce as usize) % 6].to_string();
        net.live(id, 60, (&WORKERS, answer), (&REPUTERS, report));
        let topic = net.topic(id);
        assert_eq!(topic.epochs_scored + topic.epochs_void, 59, "{rule:?}");
        assert!(topic.epochs_scored > 0, "{rule:?}");
    }
}

#[test]
fn old_epochs_are_forgotten_but_never_those_that_wait() {
    for (lag, retention, kept) in [(1, 5, 5), (12, 2, 13), (7, 100, 31)] {
        let mut net = Net::with(|p| p.epoch_retention = retention);
        let id = net.market(spec(1, 1, lag, 1), &["w1", "w2"], &["r1"]);
        let first = net.height;
        net.live(id, 30, (&["w1", "w2"], said), (&["r1"], happened));
        let state = net.app.store().snapshot().unwrap();
        let epochs = EPOCHS.scan(&state, usize::MAX).unwrap();
        assert_eq!(epochs.len(), kept, "lag {lag}, retention {retention}");
        let records = RECORDS.scan(&state, usize::MAX).unwrap();
        assert_eq!(records.len(), kept - 1, "the newest is open");
        let oldest = net.height + 1 - kept as u64;
        assert_eq!(net.epoch(id, oldest - 1), None);
        assert!(net.epoch(id, oldest).is_some());
        let topic = net.topic(id);
        assert_eq!((topic.epochs_scored, topic.epochs_void), (30 - lag, 0));
        // Pages begin with the oldest there is, and numbers stay what they were.
        let page = net.epochs(id, 0, 200);
        assert_eq!((page[0].nonce, page[0].epoch, page.len()), (oldest, oldest - first, kept));
    }
}

#[test]
fn pages_of_epochs_are_runs_of_consecutive_numbers() {
    let mut net = Net::new();
    let id = net.market(spec(2, 1, 1, 1), &["w1", "w2"], &["r1"]);
    let other = net.market(spec(1, 1, 1, 1), &["w1"], &["r1"]);
    net.live(id, 30, (&["w1", "w2"], said), (&["r1"], happened));
    let all = net.epochs(id, 0, 0);
    assert!(all.iter().enumerate().all(|(i, e)| e.epoch == i as u64 && e.topic_id == id));
    for (from, limit, expected) in [(0, 5, 0..5), (5, 5, 5..10), (12, 200, 12..all.len()), (900, 5, 0..0)] {
        let page: Vec<QueryEpochResponse> = net.epochs(id, from, limit);
        assert_eq!(page, all[expected]);
    }
    for epoch in &all {
        assert_eq!(net.epoch(id, epoch.nonce).as_ref(), Some(epoch));
    }
    assert!(net.epochs(other, 3, 4).iter().all(|e| e.topic_id == other));
}

/// Topics of one reputer each that wake in this block with so much funding and stake, in ALLO.
fn wake(net: &mut Net, topics: &[(u64, TopicSpec, u128, u128)]) {
    net.done(&topics.iter().map(|(_, s, ..)| create("alice", s.clone())).collect::<Vec<_>>());
    let whole = |(id, _, funding, staked): &(u64, TopicSpec, u128, u128)| {
        fund("alice", *id, funding * ALLO).and(register("alice", *id, Role::Reputer)).and(stake(
            "alice",
            *id,
            staked * ALLO,
        ))
    };
    net.done(&topics.iter().map(whole).collect::<Vec<_>>());
}

#[test]
fn topics_share_the_emission_by_the_root_of_stake_times_funding() {
    let mut net = Net::with(|p| p.registration_fee = 0);
    let one = net.market(spec(50, 20, 20, 1), &["w1"], &["r1"]);
    let pot = |net: &Net, id| amount(&net.topic(id).pot);
    let (alone, held) = (pot(&net, one), rewards(&net));
    net.block(&[]);
    assert_eq!(rewards(&net) - held, EMISSION, "a topic alone gets all of it");
    assert!(EMISSION - (pot(&net, one) - alone) < 3);
    // Four times both, twice the one and eight times the other.
    let mut net = Net::with(|p| p.registration_fee = 0);
    wake(
        &mut net,
        &[
            (1, spec(50, 20, 20, 1), 100, 10),
            (2, spec(50, 20, 20, 1), 400, 40),
            (3, spec(50, 20, 20, 1), 200, 80),
        ],
    );
    let pots = |net: &Net| [1, 2, 3].map(|id| pot(net, id));
    for _ in 0..4 {
        let (before, held) = (pots(&net), rewards(&net));
        net.block(&[]);
        let after = pots(&net);
        let [first, second, third] = [0, 1, 2].map(|i| after[i] - before[i]);
        assert_eq!(rewards(&net) - held, EMISSION);
        assert!(EMISSION - (first + second + third) < 30, "{first}, {second} and {third}");
        // Weights are doubles: a part in 10^15 of an emission of 4e18 is thousands of units.
        assert!(second.abs_diff(4 * first) < 10_000, "{first} and {second}");
        assert!(third.abs_diff(4 * first) < 10_000, "{first} and {third}");
    }
}

#[test]
fn more_funding_moves_a_topics_weight_epoch_by_epoch_and_its_revenue_drips_away() {
    // A month of 8 690 blocks has weeks of 2 000.
    let mut net = Net::with(|p| p.blocks_per_month = 8_690);
    let id = net.market(spec(20, 1, 1, 1), &["w1"], &["r1"]);
    let new = net.topic(id);
    assert_eq!(new.weight, new.weight_target, "until its first epoch ends a topic weighs what it has");
    net.wait_until(new.next_epoch_block);
    net.done(&[fund("alice", id, 900 * ALLO)]);
    let before = net.topic(id);
    assert!(before.weight_target > 3.0 * before.weight && before.weight_target < 3.2 * before.weight);
    net.wait_until(before.next_epoch_block - 1);
    assert_eq!(net.topic(id).weight, before.weight, "not before the epoch ends");
    let rate = 1.0 - dodona_mechanism::real::func::pow(0.5, 20.0 / 2_000.0);
    for _ in 0..10 {
        let before = net.topic(id);
        net.wait_until(before.next_epoch_block);
        let after = net.topic(id);
        let expected = before.weight + rate * (before.weight_target - before.weight);
        assert!((after.weight / expected - 1.0).abs() < 1e-9, "{} is not {expected}", after.weight);
        let drip = amount(&before.revenue) as f64 / 100.0;
        let lost = (amount(&before.revenue) - amount(&after.revenue)) as f64;
        assert!((lost / drip - 1.0).abs() < 1e-9, "{lost} is not {drip}");
    }
}

#[test]
fn only_so_many_topics_ask_in_the_same_block_and_the_lightest_sleep() {
    let mut net = Net::with(|p| p.max_active_topics_per_block = 3);
    let five = [3, 5, 1, 4, 2].map(|weight| (spec(10, 9, 9, 1), weight));
    let topics: Vec<(u64, TopicSpec, u128, u128)> =
        five.into_iter().enumerate().map(|(i, (s, weight))| (i as u64 + 1, s, 10 * weight, weight)).collect();
    wake(&mut net, &topics);
    let active = |net: &Net| (1..=5).map(|id| net.topic(id).active).collect::<Vec<bool>>();
    assert_eq!(active(&net), [true, true, false, true, false]);
    assert!(net.topic(3).inactive_reason.contains("all topics that ask in the same block are heavier"));
    let pots = |net: &Net| (1..=5).map(|id| amount(&net.topic(id).pot)).collect::<Vec<_>>();
    let before = pots(&net);
    net.block(&[]);
    let grown: Vec<bool> = pots(&net).iter().zip(&before).map(|(a, b)| a > b).collect();
    assert_eq!(grown, active(&net), "who sleeps gets no emission");
    // Any payment in another block wakes a topic that weighs enough.
    net.done(&[fund("alice", 3, 1)]);
    assert_eq!(active(&net), [true, true, true, true, false]);
    // In the block in which the three ask again, a heavier one takes the place of the lightest.
    net.wait_until(net.topic(1).next_epoch_block - 1);
    net.done(&[stake("alice", 5, 100 * ALLO)]);
    assert_eq!(active(&net), [false, true, true, true, true]);
}

#[test]
fn the_regret_rule_forgets_who_was_heard_longest_ago() {
    let mut net = Net::with(|p| (p.max_members_regret, p.max_forecasters) = (3, 1));
    let names: Vec<String> = (1..=12).map(|i| format!("w{i}")).collect();
    let workers: Vec<&str> = names.iter().map(String::as_str).collect();
    let id = net.market(TopicSpec { rule: Rule::Regret.into(), ..spec(1, 1, 1, 1) }, &workers, &["r1"]);
    let first = net.height;
    // Three at a time: for four epochs the same, then three others.
    let answer = |i: usize, nonce: u64| {
        let group = (nonce - first) / 4 % 4;
        if i as u64 / 3 == group { said(i, nonce) } else { String::new() }
    };
    for block in 0..40 {
        net.live(id, 1, (&workers, answer), (&["r1"], happened));
        let memory = REGRETS.get(&net.app.store().snapshot().unwrap(), &id).unwrap().unwrap_or_default();
        let known = memory.inferer_inclusions.len();
        assert!(known <= 4 && memory.one_out_inferer_inferers.len() <= 4, "block {block}: {known}");
        if block == 2 {
            assert!(known > 0);
        }
    }
    assert_eq!(net.topic(id).epochs_scored, 39);
}

#[test]
fn sums_of_payments_stop_at_the_largest_number_instead_of_overflowing() {
    let mut params = dodona_chain::Params {
        max_supply: u128::MAX / 4,
        fixed_emission: u128::MAX / 4,
        ..Default::default()
    };
    // Whatever the ecosystem holds is handed out in the next block, and all of it to workers.
    params.validators_vs_allora_percent_reward = "0".parse().unwrap();
    params.reputer_share = 0;
    let mut genesis = genesis(params);
    genesis
        .accounts
        .retain(|a| a.address == text("alice") || a.address == text("r1") || a.address == text("w2"));
    let whale = u128::MAX / 4 - 2 * PURSE - BONDED;
    genesis.accounts[0].balance = whale;
    let mut net = Net::of(&genesis, dodona_chain::Signatures::Check);
    net.done(&[create("alice", spec(1, 1, 1, 1))]);
    let reputer = register("r1", 1, Role::Reputer).and(stake("r1", 1, 10 * ALLO));
    net.done(&[
        register("alice", 1, Role::Worker),
        register_for("w2", 1, Role::Worker, "alice"),
        reputer,
        fund("alice", 1, ALLO),
    ]);
    // Alice answers best and owns the other worker, so whatever she pays comes back to her.
    for _ in 0..12 {
        net.live(1, 12, (&["alice", "w2"], said), (&["r1"], happened));
        let all = net.balance("alice");
        net.done(&[fund("alice", 1, all / 10 * 9)]);
    }
    let topic = net.topic(1);
    assert_eq!((amount(&topic.funded), amount(&topic.paid)), (u128::MAX, u128::MAX));
}

#[test]
fn views_of_what_does_not_exist_say_so() {
    use dodona_chain::QueryError;
    let net = Net::new();
    let ask = |path: &str, request: &[u8]| net.app.query(path, request).unwrap_err();
    let topic_9 = [8, 9];
    for path in [
        dodona_proto::path::TOPIC,
        dodona_proto::path::WINDOWS,
        dodona_proto::path::EPOCH,
        dodona_proto::path::EPOCHS,
        dodona_proto::path::LEADERBOARD,
    ] {
        assert!(matches!(ask(path, &topic_9), QueryError::NotFound(_)), "{path}");
        assert!(matches!(ask(path, &[0xff]), QueryError::Bad(_)), "{path}");
    }
    assert!(matches!(ask("/x", &[]), QueryError::Unknown(_)));
    assert!(matches!(ask(dodona_proto::path::ACCOUNT, &[]), QueryError::Bad(_)));
}
