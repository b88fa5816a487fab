//! What anybody can check from outside: every computation repeated from its trail, every reward explained, every
//! token found again. Scenario tests end with all three.

use std::collections::BTreeMap;

use borsh::BorshDeserialize;
use dodona_chain::{
    Step,
    topics::judge::{self, JudgeInput, OpenInput},
};
use dodona_mechanism::Real;
use dodona_proto::{
    Address, chain, path,
    topics::{
        QueryEpochResponse, QueryExplainRequest, QueryExplainResponse, QueryLeaderboardRequest,
        QueryLeaderboardResponse, QueryLossesRequest, QueryLossesResponse, QueryTopicsRequest,
        QueryTopicsResponse,
    },
};
use sha2::{Digest, Sha256};

use super::kit::*;

/// Everything in this file, for every topic of the chain.
pub fn everything(net: &Net) {
    recompute(net);
    let topics: QueryTopicsResponse = net.query(path::TOPICS, &QueryTopicsRequest::default()).unwrap();
    for topic in topics.topics {
        explain(net, topic.topic_id);
        conserved(net, topic.topic_id);
    }
    supply(net);
}

/// All epochs of a topic that are kept, oldest first.
pub fn all_epochs(net: &Net, topic_id: u64) -> Vec<QueryEpochResponse> {
    let mut all: Vec<QueryEpochResponse> = Vec::new();
    loop {
        let from = all.last().map_or(0, |epoch| epoch.epoch + 1);
        let page = net.epochs(topic_id, from, 0);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The newest scored epoch.
pub fn newest_scored(net: &Net, topic_id: u64) -> QueryEpochResponse {
    let nonce = net.topic(topic_id).last_scored_nonce;
    net.epoch(topic_id, nonce).expect("an epoch was scored")
}

/// What a reward is as a number.
pub fn uallo(text: &str) -> u128 {
    text.parse().expect("amounts are decimal")
}

/// Every trail is what its epoch's record says it is, and leads to that record's numbers once more.
pub fn recompute(net: &Net) {
    let mut steps = (0usize, 0usize);
    for trail in &net.trails {
        // Void epochs and those no longer kept have no record to compare with.
        let Some(epoch) = net.epoch(trail.topic, trail.nonce) else { continue };
        let hash = hex::encode(Sha256::digest(&trail.bytes));
        match trail.step {
            Step::Open => {
                let input = OpenInput::try_from_slice(&trail.bytes).expect("an open trail decodes");
                assert_eq!((input.topic, input.nonce), (trail.topic, trail.nonce));
                assert_eq!(hash, epoch.open_trail);
                same_answer(&input, &epoch);
                steps.0 += 1;
            }
            Step::Judge => {
                let input = JudgeInput::try_from_slice(&trail.bytes).expect("a judge trail decodes");
                assert_eq!((input.topic, input.nonce), (trail.topic, trail.nonce));
                assert_eq!(hash, epoch.judge_trail);
                same_judgement(net, &input, &epoch);
                steps.1 += 1;
            }
        }
    }
    // Nothing was computed without leaving its trail.
    let topics: QueryTopicsResponse = net.query(path::TOPICS, &QueryTopicsRequest::default()).unwrap();
    let kept = |id: u64| all_epochs(net, id);
    let epochs: Vec<_> = topics.topics.iter().flat_map(|t| kept(t.topic_id)).collect();
    let answered = epochs.iter().filter(|e| !e.columns.is_empty()).count();
    let scored = epochs.iter().filter(|e| e.state == "scored").count();
    assert_eq!(steps, (answered, scored), "trails of answers and of scores");
}

fn numbers(values: impl IntoIterator<Item = Option<Real>>) -> Vec<f64> {
    values.into_iter().flatten().map(Real::get).collect()
}

fn same_answer(input: &OpenInput, epoch: &QueryEpochResponse) {
    let opening = judge::open(input).expect("what was computed once can be computed again");
    let synthesis = opening.synthesis();
    assert_eq!(synthesis.columns.len(), epoch.columns.len());
    for ((label, again), column) in input.labels.iter().zip(&synthesis.columns).zip(&epoch.columns) {
        assert_eq!(*label, column.label);
        let numbers = [again.combined, again.naive, again.mean, again.median].map(Real::get);
        assert_eq!(numbers, [column.combined, column.naive, column.mean, column.median]);
        let (i, shown) = (again.interval, column.interval.unwrap());
        assert_eq!(
            [i.p2, i.p16, i.p50, i.p84, i.p98].map(Real::get),
            [shown.p2, shown.p16, shown.p50, shown.p84, shown.p98]
        );
    }
    let count = synthesis.inferer_weights.len();
    let weights = synthesis.inferer_weights.iter().chain(&synthesis.forecaster_weights);
    assert_eq!(weights.clone().count(), epoch.parts.len());
    for (place, (weight, part)) in weights.zip(&epoch.parts).enumerate() {
        assert_eq!(weight.get(), part.weight);
        assert_eq!(part.forecaster, place >= count);
        let columns = &synthesis.columns;
        let (one_outs, account) = if place < count {
            (numbers(columns.iter().map(|c| c.one_out_inferers[place])), input.inferers[place].0)
        } else {
            let k = place - count;
            (numbers(columns.iter().map(|c| c.one_out_forecasters[k])), input.forecasters[k].0)
        };
        assert_eq!(one_outs, part.one_outs);
        assert_eq!(Address(account).to_string(), part.address);
    }
}

fn same_judgement(net: &Net, input: &JudgeInput, epoch: &QueryEpochResponse) {
    let judged = judge::judge(input).expect("what was computed once can be computed again");
    assert_eq!(judged.pay.len(), epoch.parts.len());
    let losses = judged.raw.inferers.iter().chain(&judged.raw.forecasters);
    for (((part, pay), score), loss) in epoch.parts.iter().zip(&judged.pay).zip(&judged.scores).zip(losses) {
        assert_eq!(part.reward, pay.to_string());
        assert_eq!((part.score, part.loss), (score.map(Real::get), loss.map(Real::get)));
    }
    assert_eq!(judged.reputer_pay.len(), epoch.truths.len());
    for (i, row) in epoch.truths.iter().enumerate() {
        assert_eq!(row.address, Address(input.reports[i].account).to_string());
        assert_eq!(row.stake, input.reports[i].stake.to_string());
        assert_eq!(row.reward, judged.reputer_pay[i].to_string());
        assert_eq!(row.score, judged.reputer_scores[i].get());
    }
    let sums = [judged.sums.network, judged.sums.mean, judged.sums.median].map(|sum| Some(sum.get()));
    assert_eq!(sums, [epoch.network_loss, epoch.mean_loss, epoch.median_loss]);
    for column in &epoch.columns {
        let agreed = judged.truth.iter().find(|(label, _)| *label == column.label).map(|(_, v)| v.get());
        assert_eq!(agreed, column.truth);
    }
    let paid: u128 = judged.pay.iter().chain(&judged.reputer_pay).sum();
    assert_eq!((paid, input.budget), (uallo(&epoch.reward), uallo(&epoch.topic_reward)));
    assert!(paid <= input.budget);
    let asked = QueryLossesRequest { topic_id: epoch.topic_id, nonce: epoch.nonce };
    let shown: QueryLossesResponse = net.query(path::LOSSES, &asked).expect("a scored epoch has losses");
    let bundle = shown.network.unwrap();
    assert_eq!(shown.logarithms, judged.logarithms);
    assert_eq!(
        (bundle.combined, bundle.naive),
        (judged.compared.combined.get(), judged.compared.naive.get())
    );
    let all =
        |values: &[dodona_proto::topics::MemberNumber]| values.iter().map(|m| m.value).collect::<Vec<_>>();
    assert_eq!(all(&bundle.inferers), numbers(judged.compared.inferers.iter().copied()));
    assert_eq!(all(&bundle.one_out_inferers), numbers(judged.compared.one_out_inferers.iter().copied()));
    assert_eq!(all(&bundle.forecasters), numbers(judged.compared.forecasters.iter().copied()));
}

/// For every member and reputer of the newest scored epoch the explanation names the reward it got.
pub fn explain(net: &Net, topic_id: u64) {
    let nonce = net.topic(topic_id).last_scored_nonce;
    let Some(epoch) = net.epoch(topic_id, nonce).filter(|_| nonce > 0) else { return };
    let of = |address: &str, role: &str| {
        let asked = QueryExplainRequest { topic_id, nonce: 0, address: address.into() };
        let answer: QueryExplainResponse = net.query(path::EXPLAIN, &asked).expect("an explanation");
        assert_eq!((answer.nonce, answer.state.as_str()), (nonce, "scored"));
        let part = answer.parts.into_iter().find(|part| part.role == role).expect("its part is explained");
        assert!(part.took_part && !part.verdict.is_empty() && !part.lines.is_empty());
        part.reward
    };
    for part in &epoch.parts {
        let role = if part.forecaster { "forecaster" } else { "inferer" };
        assert_eq!(of(&part.address, role), part.reward);
    }
    for row in &epoch.truths {
        assert_eq!(of(&row.address, "reputer"), row.reward);
    }
}

/// Whole leaderboard of a topic.
pub fn board(net: &Net, topic_id: u64) -> Vec<dodona_proto::topics::LeaderboardRow> {
    let (mut rows, mut start_after) = (Vec::new(), String::new());
    loop {
        let asked = QueryLeaderboardRequest { topic_id, start_after: start_after.clone(), limit: 0 };
        let page: QueryLeaderboardResponse = net.query(path::LEADERBOARD, &asked).unwrap();
        rows.extend(page.rows);
        if page.next.is_empty() {
            return rows;
        }
        start_after = page.next;
    }
}

/// What a topic paid is what its epochs say they paid, member by member. Needs all epochs to be kept.
pub fn conserved(net: &Net, topic_id: u64) {
    let (topic, epochs) = (net.topic(topic_id), all_epochs(net, topic_id));
    assert_eq!(topic.epochs_opened, epochs.len() as u64, "all epochs are kept");
    let mut by_member: BTreeMap<(String, &str), u128> = BTreeMap::new();
    let mut all = 0u128;
    for epoch in &epochs {
        let mut of_epoch = 0u128;
        let parts = epoch.parts.iter().map(|p| {
            ((p.address.clone(), if p.forecaster { "forecaster" } else { "inferer" }), uallo(&p.reward))
        });
        let truths = epoch.truths.iter().map(|t| ((t.address.clone(), "reputer"), uallo(&t.reward)));
        for (member, reward) in parts.chain(truths) {
            *by_member.entry(member).or_default() += reward;
            of_epoch += reward;
        }
        let said = if epoch.reward.is_empty() { 0 } else { uallo(&epoch.reward) };
        assert_eq!(of_epoch, said, "epoch {} pays what its members got", epoch.nonce);
        all += of_epoch;
    }
    assert_eq!(all, uallo(&topic.paid), "topic {topic_id} paid what its epochs paid");
    for row in board(net, topic_id) {
        let role = ["inferer", "forecaster", "reputer"].into_iter().find(|role| *role == row.role).unwrap();
        let got = by_member.remove(&(row.address.clone(), role)).unwrap_or(0);
        match role {
            // What went to delegators is no earning of the reputer.
            "reputer" => assert!(uallo(&row.earned) <= got, "{} {}", row.name, row.earned),
            _ => assert_eq!(uallo(&row.earned), got, "{} {}", row.name, row.role),
        }
    }
    assert!(by_member.is_empty(), "whoever was paid is on the board: {by_member:?}");
}

/// Genesis and mint are all there is.
pub fn supply(net: &Net) {
    supply_from(net, names().len() as u128 * PURSE + BONDED);
}

/// The same with another sum of balances at genesis.
pub fn supply_from(net: &Net, genesis: u128) {
    let status: chain::QueryStatusResponse =
        net.query(path::STATUS, &chain::QueryStatusRequest {}).expect("a status");
    assert_eq!(uallo(&status.supply), genesis + uallo(&status.minted), "supply");
}

/// One honest epoch from question to pay: all answer `value`, all report it. It is scored, and in the block that
/// scores it exactly its rewards arrive: on the balances of workers, on the stakes of reputers.
pub fn alive(net: &mut Net, topic_id: u64, workers: &[&str], reputers: &[&str], value: &str) {
    let answer = |who: &str, nonce: u64| submit(who, topic_id, nonce, value);
    let report = |who: &str, nonce: u64| truth(who, topic_id, nonce, value);
    alive_with(net, topic_id, workers, reputers, answer, report);
}

/// [`alive`] with transactions of one's own.
pub fn alive_with(
    net: &mut Net,
    topic_id: u64,
    workers: &[&str],
    reputers: &[&str],
    answer: impl Fn(&str, u64) -> Tx,
    report: impl Fn(&str, u64) -> Tx,
) -> u64 {
    let start = net.height;
    let window = loop {
        assert!(net.height < start + 1_000, "the topic asks no more");
        let windows = net.windows(topic_id).windows;
        // A window nobody has answered yet, so a new one.
        if let Some(window) = windows.into_iter().find(|w| w.worker_first == net.height + 1) {
            break window;
        }
        net.block(&[]);
    };
    let nonce = window.nonce;
    net.done(&workers.iter().map(|who| answer(who, nonce)).collect::<Vec<_>>());
    net.wait_until(window.truth_first - 1);
    net.done(&reputers.iter().map(|who| report(who, nonce)).collect::<Vec<_>>());
    net.wait_until(window.truth_last - 1);
    let before: Vec<u128> = names().iter().map(|name| net.balance(name)).collect();
    let stake = |net: &Net| uallo(&net.topic(topic_id).stake);
    let staked = stake(net);
    net.wait_until(window.truth_last);
    let epoch = net.epoch(topic_id, nonce).expect("kept");
    assert_eq!(epoch.state, "scored", "{}", epoch.void_reason);
    assert_eq!(epoch.truths.len(), reputers.len());
    let mut owed: BTreeMap<String, u128> = BTreeMap::new();
    for part in &epoch.parts {
        *owed.entry(part.address.clone()).or_default() += uallo(&part.reward);
    }
    for (name, before) in names().iter().zip(before) {
        let got = net.balance(name) - before;
        assert_eq!(got, owed.remove(&text(name)).unwrap_or(0), "{name} gets what the record says");
    }
    let of_reputers: u128 = epoch.truths.iter().map(|t| uallo(&t.reward)).sum();
    assert!(stake(net) <= staked + of_reputers);
    nonce
}
