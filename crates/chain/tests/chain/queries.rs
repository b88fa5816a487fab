//! Every question has an answer for a living topic, a refusal in words for nonsense, and the same number wherever it
//! is asked.

use std::collections::BTreeMap;

use dodona_chain::QueryError;
use dodona_proto::{
    ALLO, chain, path,
    topics::{self as wire, LeaderboardRow, Rule, TopicSpec},
};
use prost::Message;

use super::{
    audit::{self, uallo},
    kit::*,
    messages::*,
};

const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const REPUTERS: [&str; 3] = ["r1", "r2", "r3"];

/// A regret topic with forecasts, delegations and a removal under way, some epochs old.
fn busy() -> (Net, u64) {
    let mut net = Net::new();
    let id = net.market(TopicSpec { rule: Rule::Regret.into(), ..spec(4, 2, 2, 2) }, &WORKERS, &REPUTERS);
    net.done(&[delegate("bob", id, "r1", 3 * ALLO), delegate("owner", id, "r2", ALLO)]);
    for _ in 0..5 {
        audit::alive_with(
            &mut net,
            id,
            &WORKERS,
            &REPUTERS,
            |who, nonce| {
                let i: f64 = who[1..].parse().unwrap();
                let value = (10.0 + i * ((nonce % 5) as f64 - 2.0)).to_string();
                match who {
                    "w4" => forecast(who, id, nonce, &value, &[("w1", "0.1"), ("w2", "0.4"), ("w3", "2")]),
                    _ => submit(who, id, nonce, &value),
                }
            },
            |who, nonce| truth(who, id, nonce, "10"),
        );
    }
    net.done(&[unstake("r1", id, ALLO), undelegate("bob", id, "r1", ALLO)]);
    (net, id)
}

fn ask<A: Message + Default>(net: &Net, path: &str, request: &impl Message) -> Result<A, QueryError> {
    let bytes = net.app.query(path, &request.encode_to_vec())?;
    Ok(A::decode(bytes.as_slice()).unwrap())
}

/// The kind of a refusal.
fn kind(answer: Result<Vec<u8>, QueryError>) -> &'static str {
    match answer {
        Ok(_) => "answered",
        Err(QueryError::Unknown(_)) => "unknown",
        Err(QueryError::Bad(_)) => "bad",
        Err(QueryError::NotFound(_)) => "not found",
        Err(QueryError::Internal(_)) => "internal",
    }
}

const ALL: [&str; 22] = [
    path::STATUS,
    path::ACCOUNT,
    path::TOPIC,
    path::TOPICS,
    path::WINDOWS,
    path::EPOCH,
    path::EPOCHS,
    path::LEADERBOARD,
    path::PARAMS,
    path::MEMBER,
    path::INPUTS,
    path::LOSSES,
    path::REGRETS,
    path::REMOVALS,
    path::STAKES,
    path::DELEGATIONS,
    path::LIST,
    path::PERMISSIONS,
    path::EMISSION,
    path::EXPLAIN,
    "/dodona.topics.v1.Query/Nothing",
    "",
];

/// A request to every path about one topic, one epoch and one account.
fn requests(topic_id: u64, nonce: u64, address: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let address = || address.to_string();
    let list = wire::List::TopicWorker.into();
    let start_after = String::new;
    BTreeMap::from([
        (path::STATUS, chain::QueryStatusRequest {}.encode_to_vec()),
        (path::ACCOUNT, chain::QueryAccountRequest { address: address() }.encode_to_vec()),
        (path::TOPIC, wire::QueryTopicRequest { topic_id }.encode_to_vec()),
        (path::TOPICS, wire::QueryTopicsRequest::default().encode_to_vec()),
        (path::WINDOWS, wire::QueryWindowsRequest { topic_id }.encode_to_vec()),
        (path::EPOCH, wire::QueryEpochRequest { topic_id, nonce, resistant: false }.encode_to_vec()),
        (path::EPOCHS, wire::QueryEpochsRequest { topic_id, from_epoch: 0, limit: 0 }.encode_to_vec()),
        (
            path::LEADERBOARD,
            wire::QueryLeaderboardRequest { topic_id, start_after: start_after(), limit: 0 }.encode_to_vec(),
        ),
        (path::PARAMS, wire::QueryParamsRequest {}.encode_to_vec()),
        (path::MEMBER, wire::QueryMemberRequest { topic_id, address: address() }.encode_to_vec()),
        (path::INPUTS, wire::QueryInputsRequest { topic_id, nonce, address: address() }.encode_to_vec()),
        (path::LOSSES, wire::QueryLossesRequest { topic_id, nonce }.encode_to_vec()),
        (path::REGRETS, wire::QueryRegretsRequest { topic_id, address: address() }.encode_to_vec()),
        (path::REMOVALS, wire::QueryRemovalsRequest { until: 0, limit: 0 }.encode_to_vec()),
        (
            path::STAKES,
            wire::QueryStakesRequest { topic_id, start_after: start_after(), limit: 0 }.encode_to_vec(),
        ),
        (
            path::DELEGATIONS,
            wire::QueryDelegationsRequest { topic_id, reputer: address(), delegator: String::new() }
                .encode_to_vec(),
        ),
        (path::LIST, wire::QueryListRequest { list, topic_id, address: address() }.encode_to_vec()),
        (path::PERMISSIONS, wire::QueryPermissionsRequest { address: address(), topic_id }.encode_to_vec()),
        (path::EMISSION, wire::QueryEmissionRequest {}.encode_to_vec()),
        (path::EXPLAIN, wire::QueryExplainRequest { topic_id, nonce, address: address() }.encode_to_vec()),
    ])
}

#[test]
fn every_query_answers_for_a_living_topic_and_refuses_nonsense_in_its_kind() {
    let (net, id) = busy();
    let nonce = net.topic(id).last_scored_nonce;
    for who in ["w1", "w4", "r1", "bob", "carol"] {
        for (path, request) in requests(id, nonce, &text(who)) {
            assert_eq!(kind(net.app.query(path, &request)), "answered", "{path} {who}");
        }
    }
    for (path, request) in requests(id, 0, &text("w1")) {
        assert_eq!(kind(net.app.query(path, &request)), "answered", "{path} of the newest");
    }
    let global = [
        path::STATUS,
        path::TOPICS,
        path::PARAMS,
        path::REMOVALS,
        path::EMISSION,
        path::ACCOUNT,
        path::DELEGATIONS,
        path::PERMISSIONS,
    ];
    for (path, request) in requests(id + 1, nonce, &text("w1")) {
        let expected = if global.contains(&path) { "answered" } else { "not found" };
        assert_eq!(kind(net.app.query(path, &request)), expected, "{path} of no topic");
    }
    let of_epochs = [path::EPOCH, path::INPUTS, path::LOSSES, path::EXPLAIN];
    for (path, request) in requests(id, nonce + 1, &text("w1")) {
        let expected = if of_epochs.contains(&path) { "not found" } else { "answered" };
        assert_eq!(kind(net.app.query(path, &request)), expected, "{path} of no epoch");
    }
    let of_accounts = [
        path::ACCOUNT,
        path::MEMBER,
        path::INPUTS,
        path::REGRETS,
        path::DELEGATIONS,
        path::LIST,
        path::PERMISSIONS,
        path::EXPLAIN,
    ];
    for address in ["somebody", "allo1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", "\u{1f980}"] {
        for (path, request) in requests(id, nonce, address) {
            let expected = if of_accounts.contains(&path) { "bad" } else { "answered" };
            assert_eq!(kind(net.app.query(path, &request)), expected, "{path} of `{address}`");
        }
    }
    for path in &ALL[..20] {
        let garbage = kind(net.app.query(path, &[0xff; 9]));
        assert!(
            garbage == "bad" || [path::STATUS, path::PARAMS, path::EMISSION].contains(path),
            "{path} {garbage}"
        );
    }
    for path in &ALL[20..] {
        assert_eq!(kind(net.app.query(path, &[])), "unknown");
    }
    let neither = wire::QueryDelegationsRequest { topic_id: id, ..Default::default() };
    assert_eq!(kind(net.app.query(path::DELEGATIONS, &neither.encode_to_vec())), "bad");
    let which = wire::QueryListRequest { topic_id: id, ..Default::default() };
    assert_eq!(kind(net.app.query(path::LIST, &which.encode_to_vec())), "bad");
    let cursor = wire::QueryLeaderboardRequest { topic_id: id, start_after: "worker".into(), limit: 0 };
    assert_eq!(kind(net.app.query(path::LEADERBOARD, &cursor.encode_to_vec())), "bad");
}

#[test]
fn before_its_first_epoch_a_topic_has_answers_without_numbers() {
    let mut net = Net::new();
    net.done(&[create("alice", spec(4, 2, 2, 2))]);
    let none = [path::EPOCH, path::INPUTS, path::LOSSES, path::EXPLAIN];
    for (path, request) in requests(1, 0, &text("w1")) {
        let expected = if none.contains(&path) { "not found" } else { "answered" };
        assert_eq!(kind(net.app.query(path, &request)), expected, "{path}");
    }
    let topic = net.topic(1);
    assert!(
        !topic.active && topic.weight == 0.0 && topic.mean_loss_network == 0.0 && topic.runs_dry_epochs == 0
    );
    assert!(topic.inactive_reason.contains("no stake"), "{}", topic.inactive_reason);
}

#[test]
fn stake_is_the_same_number_everywhere() {
    let (net, id) = busy();
    let asked = wire::QueryStakesRequest { topic_id: id, ..Default::default() };
    let stakes: wire::QueryStakesResponse = ask(&net, path::STAKES, &asked).unwrap();
    assert_eq!(stakes.topic_stake, net.topic(id).stake);
    assert_eq!(stakes.total_stake, net.topic(id).stake, "there is only one topic");
    let board: BTreeMap<String, LeaderboardRow> = audit::board(&net, id)
        .into_iter()
        .filter(|row| row.role == "reputer")
        .map(|row| (row.address.clone(), row))
        .collect();
    let mut sum = 0;
    for row in &stakes.rows {
        let member = wire::QueryMemberRequest { topic_id: id, address: row.reputer.clone() };
        let member: wire::QueryMemberResponse = ask(&net, path::MEMBER, &member).unwrap();
        assert_eq!((&member.stake, &member.delegated), (&row.own, &row.delegated));
        assert_eq!(member.reward_per_share, row.reward_per_share);
        assert_eq!((&board[&row.reputer].stake, &board[&row.reputer].delegated), (&row.own, &row.delegated));
        let upon = wire::QueryDelegationsRequest {
            topic_id: id,
            reputer: row.reputer.clone(),
            delegator: String::new(),
        };
        let upon: wire::QueryDelegationsResponse = ask(&net, path::DELEGATIONS, &upon).unwrap();
        let delegated: u128 = upon.rows.iter().map(|d| uallo(&d.amount)).sum();
        assert_eq!(delegated, uallo(&row.delegated));
        // By delegator the same rows are found.
        for delegation in &upon.rows {
            let by = wire::QueryDelegationsRequest {
                delegator: delegation.delegator.clone(),
                ..Default::default()
            };
            let by: wire::QueryDelegationsResponse = ask(&net, path::DELEGATIONS, &by).unwrap();
            assert!(by.rows.contains(delegation));
        }
        sum += uallo(&row.own) + uallo(&row.delegated);
    }
    assert_eq!(sum, uallo(&stakes.topic_stake));
    // Page by page the same rows come, each once.
    let (mut rows, mut start_after) = (Vec::new(), String::new());
    loop {
        let asked = wire::QueryStakesRequest { topic_id: id, start_after: start_after.clone(), limit: 1 };
        let page: wire::QueryStakesResponse = ask(&net, path::STAKES, &asked).unwrap();
        let Some(last) = page.rows.last() else { break };
        assert_eq!(page.rows.len(), 1);
        start_after = last.reputer.clone();
        rows.extend(page.rows);
    }
    assert_eq!(rows, stakes.rows);
    let asked = wire::QueryRemovalsRequest { until: 0, limit: 0 };
    let removals: wire::QueryRemovalsResponse = ask(&net, path::REMOVALS, &asked).unwrap();
    assert_eq!(removals.removals.len(), 2);
    let member = wire::QueryMemberRequest { topic_id: id, address: text("r1") };
    let member: wire::QueryMemberResponse = ask(&net, path::MEMBER, &member).unwrap();
    assert_eq!(member.removal.as_ref(), removals.removals.iter().find(|r| r.delegator.is_empty()));
    let asked = wire::QueryRemovalsRequest { until: net.height, limit: 0 };
    assert!(ask::<wire::QueryRemovalsResponse>(&net, path::REMOVALS, &asked).unwrap().removals.is_empty());
}

#[test]
fn losses_members_and_epochs_tell_the_same_story() {
    let (net, id) = busy();
    let newest = audit::newest_scored(&net, id);
    let asked = wire::QueryLossesRequest { topic_id: id, nonce: 0 };
    let losses: wire::QueryLossesResponse = ask(&net, path::LOSSES, &asked).unwrap();
    assert_eq!(losses.nonce, newest.nonce);
    assert!(losses.logarithms);
    let network = losses.network.unwrap();
    let near = |log: f64, raw: f64| {
        (dodona_mechanism::real::func::pow(10.0, log) - raw).abs() <= 1e-9 * raw.max(1e-20) + 1e-29
    };
    assert!(near(network.combined, newest.network_loss.unwrap()));
    for part in &newest.parts {
        let list = if part.forecaster { &network.forecasters } else { &network.inferers };
        let of = list.iter().find(|m| m.address == part.address).map(|m| m.value);
        match (of, part.loss) {
            (Some(log), Some(raw)) => assert!(near(log, raw), "{} {log} {raw}", part.name),
            (of, loss) => assert_eq!(of, loss),
        }
    }
    let inputs: wire::QueryInputsResponse = ask(
        &net,
        path::INPUTS,
        &wire::QueryInputsRequest { topic_id: id, nonce: newest.nonce, address: String::new() },
    )
    .unwrap();
    for row in &inputs.inferences {
        let part = newest.parts.iter().find(|p| !p.forecaster && p.address == row.address).unwrap();
        assert_eq!(row.values[0].value, part.value);
    }
    assert_eq!((inputs.inferences.len(), inputs.forecasts.len(), inputs.open), (4, 1, false));
    let board = audit::board(&net, id);
    for row in &board {
        let member = wire::QueryMemberRequest { topic_id: id, address: row.address.clone() };
        let member: wire::QueryMemberResponse = ask(&net, path::MEMBER, &member).unwrap();
        let part = member.parts.iter().find(|p| p.role == row.role).unwrap();
        assert_eq!((part.heard, part.mean_loss, part.weight), (row.submitted, row.mean_loss, row.weight));
        assert_eq!((&part.earned, part.merit, part.score), (&row.earned, row.merit, row.score));
        assert_eq!(member.name, row.name);
    }
    // Pages of the leaderboard: two rows at a time, all of them, in order.
    let (mut rows, mut start_after) = (Vec::new(), String::new());
    loop {
        let asked =
            wire::QueryLeaderboardRequest { topic_id: id, start_after: start_after.clone(), limit: 2 };
        let page: wire::QueryLeaderboardResponse = ask(&net, path::LEADERBOARD, &asked).unwrap();
        rows.extend(page.rows);
        if page.next.is_empty() {
            break;
        }
        start_after = page.next;
    }
    assert_eq!(rows, board);
    // The mean over epochs is the topic's.
    let scored: Vec<f64> =
        audit::all_epochs(&net, id).iter().filter_map(|epoch| epoch.network_loss).collect();
    let mean = scored.iter().sum::<f64>() / scored.len() as f64;
    assert!((mean - net.topic(id).mean_loss_network).abs() <= 1e-12 * mean);
    // Regrets: everybody scored has one, and the rule's scale is the topic's.
    for who in WORKERS {
        let asked = wire::QueryRegretsRequest { topic_id: id, address: text(who) };
        let regrets: wire::QueryRegretsResponse = ask(&net, path::REGRETS, &asked).unwrap();
        assert!(regrets.rows.iter().any(|r| r.family == "inferer"), "{who}");
        assert_eq!(
            (regrets.scale, regrets.initial),
            (net.topic(id).regret_scale, net.topic(id).initial_regret)
        );
    }
    // Status and emission agree on what was minted.
    let status: chain::QueryStatusResponse = ask(&net, path::STATUS, &chain::QueryStatusRequest {}).unwrap();
    let emission: wire::QueryEmissionResponse =
        ask(&net, path::EMISSION, &wire::QueryEmissionRequest {}).unwrap();
    assert_eq!(status.minted, emission.minted);
    audit::everything(&net);
}

#[test]
fn topics_come_page_by_page_as_each_of_them_is() {
    let mut net = Net::new();
    for _ in 0..5 {
        net.done(&[create("alice", spec(4, 2, 2, 2))]);
    }
    let (mut ids, mut after_id) = (Vec::new(), 0);
    loop {
        let asked = wire::QueryTopicsRequest { after_id, limit: 2, due_block: 0 };
        let page: wire::QueryTopicsResponse = ask(&net, path::TOPICS, &asked).unwrap();
        let Some(last) = page.topics.last() else { break };
        after_id = last.topic_id;
        for topic in page.topics {
            assert_eq!(topic, net.topic(topic.topic_id));
            ids.push(topic.topic_id);
        }
    }
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let asked = wire::QueryTopicsRequest { after_id: u64::MAX, ..Default::default() };
    assert!(ask::<wire::QueryTopicsResponse>(&net, path::TOPICS, &asked).is_ok());
}

#[test]
fn an_absent_member_is_told_what_it_would_have_earned() {
    let (mut net, id) = busy();
    // w1 stays away for one epoch; so does r3.
    audit::alive_with(
        &mut net,
        id,
        &["w2", "w3"],
        &["r1", "r2"],
        |who, nonce| submit(who, id, nonce, "10.5"),
        |who, nonce| truth(who, id, nonce, "10"),
    );
    let explained = |who: &str| -> wire::QueryExplainResponse {
        let asked = wire::QueryExplainRequest { topic_id: id, nonce: 0, address: text(who) };
        ask(&net, path::EXPLAIN, &asked).unwrap()
    };
    for (who, role) in [("w1", "inferer"), ("r3", "reputer")] {
        let answer = explained(who);
        let part = answer.parts.iter().find(|p| p.role == role).unwrap();
        assert!(!part.took_part && part.verdict.contains("missed"), "{who}: {}", part.verdict);
        assert!(uallo(&part.would_have_earned) > 0, "{who}");
        assert!(part.reward.is_empty() || part.reward == "0");
    }
    assert!(explained("bob").parts.is_empty(), "a delegator has no part in the computation");
    audit::everything(&net);
}

#[test]
fn all_windows_are_told_also_when_a_topic_was_put_to_sleep_and_woken_between_its_questions() {
    let mut net = Net::with(|params| params.max_active_topics_per_block = 1);
    let heavy = net.market(spec(3, 1, 1, 1), &WORKERS[..1], &["r1"]);
    net.done(&[stake("r1", heavy, 1_000 * ALLO)]);
    net.done(&[create("alice", spec(4, 2, 40, 4))]);
    let id = heavy + 1;
    net.done(&[register("r2", id, wire::Role::Reputer), register("w2", id, wire::Role::Worker)]);
    net.done(&[stake("r2", id, ALLO)]);
    for _ in 0..60 {
        // Whenever the heavy topic asks in the block in which this one would, it has to sleep until the next payment.
        net.done(&[fund("alice", id, ALLO)]);
        let waiting: Vec<u64> = audit::all_epochs(&net, id)
            .iter()
            .filter(|epoch| epoch.state == "open" || epoch.state == "combined")
            .map(|epoch| epoch.nonce)
            .collect();
        let told: Vec<u64> = net.windows(id).windows.iter().map(|window| window.nonce).collect();
        assert_eq!(told, waiting);
        let open = net.windows(id).windows.into_iter().find(|window| window.worker_first == net.height + 1);
        if let Some(window) = open {
            let mut txs = vec![fund("alice", id, ALLO)];
            txs.push(submit("w2", id, window.nonce, "1"));
            net.done(&txs);
        }
    }
    let asked: Vec<u64> = audit::all_epochs(&net, id).iter().map(|epoch| epoch.nonce).collect();
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 4), "two windows never overlap: {asked:?}");
    assert!(asked.windows(2).any(|pair| pair[1] - pair[0] > 4), "it was put to sleep: {asked:?}");
}
