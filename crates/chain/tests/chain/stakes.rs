//! Stake: delegated, rewarded to the unit, asked back, kept after all, and always somebody's.

use dodona_proto::{
    ALLO, path,
    topics::{
        DelegationRow, QueryDelegationsRequest, QueryDelegationsResponse, QueryMemberRequest,
        QueryMemberResponse, QueryRemovalsRequest, QueryRemovalsResponse, QueryStakesRequest,
        QueryStakesResponse, Removal, Role,
    },
};

use super::{
    audit::{self, uallo},
    kit::*,
    messages::*,
};

const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
const REPUTERS: [&str; 2] = ["r1", "r2"];

fn member(net: &Net, topic_id: u64, who: &str) -> QueryMemberResponse {
    net.query(path::MEMBER, &QueryMemberRequest { topic_id, address: text(who) }).unwrap()
}

fn own(net: &Net, id: u64, who: &str) -> u128 {
    uallo(&member(net, id, who).stake)
}

fn delegated(net: &Net, id: u64, who: &str) -> u128 {
    uallo(&member(net, id, who).delegated)
}

/// A delegation, if there is one.
fn delegation(net: &Net, topic_id: u64, delegator: &str, reputer: &str) -> Option<DelegationRow> {
    let asked = QueryDelegationsRequest { topic_id, reputer: text(reputer), delegator: text(delegator) };
    let answer: QueryDelegationsResponse = net.query(path::DELEGATIONS, &asked).unwrap();
    assert!(answer.rows.len() <= 1);
    answer.rows.into_iter().next()
}

fn pending(net: &Net, id: u64, delegator: &str, reputer: &str) -> u128 {
    uallo(&delegation(net, id, delegator, reputer).unwrap().pending)
}

fn removals(net: &Net) -> Vec<Removal> {
    net.query::<QueryRemovalsResponse>(path::REMOVALS, &QueryRemovalsRequest { until: 0, limit: 0 })
        .unwrap()
        .removals
}

fn topic_stake(net: &Net, topic_id: u64) -> (u128, u128) {
    let asked = QueryStakesRequest { topic_id, start_after: String::new(), limit: 0 };
    let answer: QueryStakesResponse = net.query(path::STAKES, &asked).unwrap();
    let rows: u128 = answer.rows.iter().map(|row| uallo(&row.own) + uallo(&row.delegated)).sum();
    assert_eq!(rows, uallo(&answer.topic_stake));
    (rows, uallo(&answer.total_stake))
}

fn market(delay: u64) -> (Net, u64) {
    let mut net = Net::with(|params| params.remove_stake_delay_window = delay);
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    (net, id)
}

fn epoch(net: &mut Net, id: u64) -> dodona_proto::topics::QueryEpochResponse {
    audit::alive(net, id, &WORKERS, &REPUTERS, "5");
    audit::newest_scored(net, id)
}

#[test]
fn delegators_get_their_part_of_every_reward_to_the_unit() {
    let (mut net, id) = market(10);
    // Ten of its own, 30 and an odd amount of others.
    let (bob, owner) = (30 * ALLO, 7 * ALLO + 12_345_678_901);
    net.done(&[delegate("bob", id, "r1", bob), delegate("owner", id, "r1", owner)]);
    assert_eq!(delegated(&net, id, "r1"), bob + owner);
    let (mut of_bob, mut of_owner) = (0u128, 0u128);
    for _ in 0..6 {
        let before = own(&net, id, "r1");
        let newest = epoch(&mut net, id);
        let row = newest.truths.iter().find(|t| t.name == "r1").unwrap();
        let (reward, authority) = (uallo(&row.reward), uallo(&row.stake));
        assert_eq!(authority, before + bob + owner);
        // Delegators' part is rounded down, the reputer's own is the rest and becomes stake.
        let part = dodona_mechanism::amount::mul_div_floor(reward, bob + owner, authority).unwrap();
        assert!(part > 0);
        assert_eq!(own(&net, id, "r1"), before + reward - part);
        let (now_bob, now_owner) = (pending(&net, id, "bob", "r1"), pending(&net, id, "owner", "r1"));
        let got = now_bob + now_owner - of_bob - of_owner;
        // What the amount per share cannot express is less than a part in 2^64 of each share.
        assert!(got <= part && part - got <= 4, "{got} of {part}");
        let fair = dodona_mechanism::amount::mul_div_floor(part, bob, bob + owner).unwrap();
        assert!((now_bob - of_bob).abs_diff(fair) <= 3, "{} {fair}", now_bob - of_bob);
        (of_bob, of_owner) = (now_bob, now_owner);
    }
    // Collected once, and only once.
    let before = net.balance("bob");
    let tx = claim("bob", id, "r1");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("bob"), before + of_bob - fee);
    assert_eq!(pending(&net, id, "bob", "r1"), 0);
    net.done(&[claim("bob", id, "r1")]);
    assert_eq!(net.balance("bob"), before + of_bob - 2 * fee);
    // More stake collects what is due before it changes anybody's part.
    let before = net.balance("owner");
    let tx = delegate("owner", id, "r1", 5);
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("owner"), before + of_owner - fee - 5);
    assert_eq!(net.refused(&claim("alice", id, "r1")).code, 53);
    audit::everything(&net);
}

#[test]
fn rewards_compound_in_the_stake_of_reputers_and_nowhere_else() {
    let (mut net, id) = market(10);
    let mut last = own(&net, id, "r1");
    let balance = net.balance("r1");
    let mut earned = 0;
    for round in 0..5 {
        let newest = epoch(&mut net, id);
        let row = newest.truths.iter().find(|t| t.name == "r1").unwrap();
        assert_eq!(uallo(&row.stake), last, "round {round}");
        earned += uallo(&row.reward);
        last += uallo(&row.reward);
        assert_eq!(own(&net, id, "r1"), last);
    }
    let fees = 5 * (u128::from(GAS) * 10 + 10);
    assert_eq!(net.balance("r1"), balance - fees);
    let rows = net.leaderboard(id);
    assert_eq!(uallo(&rows[&("r1".to_string(), "reputer".to_string())].earned), earned);
    assert_eq!(topic_stake(&net, id).0, own(&net, id, "r1") + own(&net, id, "r2"));
    audit::everything(&net);
}

#[test]
fn stake_leaves_after_the_delay_and_counts_until_then() {
    let (mut net, id) = market(6);
    net.done(&[delegate("bob", id, "r1", 20 * ALLO)]);
    net.done(&[unstake("r1", id, 4 * ALLO), undelegate("bob", id, "r1", 20 * ALLO)]);
    let at = net.height + 6;
    let queue = removals(&net);
    assert_eq!(queue.iter().map(|r| r.block).collect::<Vec<_>>(), [at, at]);
    assert_eq!(
        (queue[0].delegator.as_str(), queue[1].delegator.clone()),
        ("", text("bob")),
        "own stake first"
    );
    assert_eq!(member(&net, id, "r1").removal.unwrap().amount, (4 * ALLO).to_string());
    net.wait_until(at - 1);
    let (stake, bob, r1) = (topic_stake(&net, id), net.balance("bob"), net.balance("r1"));
    assert_eq!((own(&net, id, "r1"), delegated(&net, id, "r1")), (10 * ALLO, 20 * ALLO));
    net.block(&[]);
    assert_eq!((own(&net, id, "r1"), delegated(&net, id, "r1")), (6 * ALLO, 0));
    assert_eq!((net.balance("bob"), net.balance("r1")), (bob + 20 * ALLO, r1 + 4 * ALLO));
    assert_eq!(topic_stake(&net, id).0, stake.0 - 24 * ALLO);
    assert!(removals(&net).is_empty() && delegation(&net, id, "bob", "r1").is_none());
    epoch(&mut net, id);
    audit::everything(&net);
}

#[test]
fn a_delegator_who_leaves_gets_its_rewards_with_its_stake() {
    let (mut net, id) = market(1);
    net.done(&[delegate("bob", id, "r1", 20 * ALLO)]);
    epoch(&mut net, id);
    let due = pending(&net, id, "bob", "r1");
    assert!(due > 0);
    let before = net.balance("bob");
    let tx = undelegate("bob", id, "r1", 5 * ALLO);
    let fee = tx.fee;
    net.done(&[tx]);
    net.block(&[]);
    assert_eq!(net.balance("bob"), before - fee + 5 * ALLO + due);
    assert_eq!(delegation(&net, id, "bob", "r1").unwrap().amount, (15 * ALLO).to_string());
    assert_eq!(pending(&net, id, "bob", "r1"), 0);
    epoch(&mut net, id);
    audit::everything(&net);
}

#[test]
fn a_second_removal_takes_the_place_of_the_first_and_starts_its_clock_anew() {
    let (mut net, id) = market(6);
    net.done(&[unstake("r1", id, 4 * ALLO)]);
    net.block(&[]);
    net.block(&[]);
    net.done(&[unstake("r1", id, ALLO)]);
    let queue = removals(&net);
    assert_eq!((queue.len(), queue[0].block, queue[0].amount.clone()), (1, net.height + 6, ALLO.to_string()));
    net.wait_until(queue[0].block - 1);
    assert_eq!(own(&net, id, "r1"), 10 * ALLO, "the first one's block has passed");
    net.block(&[]);
    assert_eq!(own(&net, id, "r1"), 9 * ALLO);
    audit::everything(&net);
}

#[test]
fn a_cancelled_removal_never_happens() {
    let (mut net, id) = market(3);
    net.done(&[delegate("bob", id, "r1", 20 * ALLO)]);
    net.done(&[unstake("r1", id, 4 * ALLO), undelegate("bob", id, "r1", ALLO)]);
    net.done(&[keep("r1", id), keep_delegated("bob", id, "r1")]);
    assert!(removals(&net).is_empty());
    net.wait_until(net.height + 5);
    assert_eq!((own(&net, id, "r1"), delegated(&net, id, "r1")), (10 * ALLO, 20 * ALLO));
    assert_eq!(net.refused(&keep("r1", id)).code, 54);
    assert_eq!(net.refused(&keep_delegated("bob", id, "r1")).code, 54);
    // Which of its stakes somebody means is told apart: r1's own, and what r1 delegated upon r2.
    net.done(&[delegate("r1", id, "r2", 2 * ALLO)]);
    net.done(&[unstake("r1", id, ALLO), undelegate("r1", id, "r2", ALLO)]);
    net.done(&[keep("r1", id)]);
    net.wait_until(net.height + 4);
    assert_eq!((own(&net, id, "r1"), delegated(&net, id, "r2")), (10 * ALLO, ALLO));
    audit::everything(&net);
}

#[test]
fn more_removals_than_fit_into_a_block_leave_in_the_next_ones() {
    let mut net = Net::with(|params| {
        params.remove_stake_delay_window = 2;
        params.half_max_process_stake_removals_end_block = 2;
    });
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    let delegators = ["alice", "bob", "owner", "w1", "w2"];
    let upon: Vec<Tx> = delegators.iter().map(|who| delegate(who, id, "r1", ALLO)).collect();
    net.done(&upon);
    let mut back: Vec<Tx> = delegators.iter().map(|who| undelegate(who, id, "r1", ALLO)).collect();
    back.extend(REPUTERS.iter().map(|who| unstake(who, id, ALLO)));
    net.done(&back);
    let left = |net: &Net| (delegated(net, id, "r1") / ALLO, removals(net).len());
    net.block(&[]);
    assert_eq!(left(&net), (5, 7));
    net.block(&[]);
    // Two of each kind per block.
    assert_eq!(left(&net), (3, 3));
    net.block(&[]);
    assert_eq!(left(&net), (1, 1));
    // One that waits can still be kept.
    let last = delegators.iter().find(|who| delegation(&net, id, who, "r1").is_some()).unwrap();
    net.done(&[keep_delegated(last, id, "r1")]);
    assert_eq!(left(&net), (1, 0));
    audit::everything(&net);
}

#[test]
fn what_is_not_there_cannot_leave() {
    let (mut net, id) = market(3);
    net.done(&[delegate("bob", id, "r1", ALLO)]);
    assert_eq!(net.refused(&unstake("r1", id, 10 * ALLO + 1)).code, 52);
    assert_eq!(net.refused(&unstake("bob", id, 1)).code, 52);
    assert_eq!(net.refused(&undelegate("bob", id, "r1", ALLO + 1)).code, 52);
    assert_eq!(net.refused(&undelegate("bob", id, "r2", 1)).code, 53);
    assert_eq!(net.refused(&undelegate("alice", id, "r1", 1)).code, 53);
    assert_eq!(net.refused(&keep("bob", id)).code, 54);
    assert_eq!(net.refused(&claim("alice", id, "r1")).code, 53);
    for amount in [0, u128::MAX] {
        for tx in [stake("r1", id, amount), delegate("bob", id, "r1", amount), unstake("r1", id, amount)] {
            let no = net.refused(&tx);
            assert!([("emissions", 47), ("emissions", 52), ("sdk", 5)].contains(&no.id()), "{no:?}");
        }
    }
    for (amount, code) in [("340282366920938463463374607431768211456", 47), ("-1", 47), ("1.5", 47), ("", 47)]
    {
        let message =
            dodona_proto::topics::MsgAddStake { sender: text("r1"), topic_id: id, amount: amount.into() };
        let tx = Tx::new("r1", vec![dodona_proto::tx::pack(dodona_proto::url::ADD_STAKE, &message)]);
        assert_eq!(net.refused(&tx).code, code, "{amount}");
    }
    assert_eq!(net.refused(&stake("r1", 99, 1)).code, 23);
    audit::everything(&net);
}

#[test]
fn stake_needs_a_registered_reputer_and_outlives_its_registration() {
    let (mut net, id) = market(2);
    assert_eq!(net.refused(&stake("bob", id, ALLO)).code, 13);
    assert_eq!(net.refused(&stake("w1", id, ALLO)).code, 13, "a worker is no reputer");
    assert_eq!(net.refused(&delegate("bob", id, "w1", ALLO)).code, 13);
    assert_eq!(net.refused(&delegate("r1", id, "r1", ALLO)).code, 42);
    net.done(&[delegate("bob", id, "r1", 3 * ALLO)]);
    epoch(&mut net, id);
    let due = pending(&net, id, "bob", "r1");
    net.done(&[unregister("r1", id, Role::Reputer)]);
    assert_eq!(net.refused(&stake("r1", id, ALLO)).code, 13);
    assert_eq!(net.refused(&delegate("bob", id, "r1", ALLO)).code, 13);
    // Nothing is lost: rewards are collected, all stake comes back.
    let before = net.balance("bob");
    let tx = claim("bob", id, "r1");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("bob"), before + due - fee);
    let all = own(&net, id, "r1");
    assert!(all > 10 * ALLO);
    net.done(&[unstake("r1", id, all), undelegate("bob", id, "r1", 3 * ALLO)]);
    net.wait_until(net.height + 2);
    assert_eq!((own(&net, id, "r1"), delegated(&net, id, "r1")), (0, 0));
    audit::alive(&mut net, id, &WORKERS, &["r2"], "5");
    audit::everything(&net);
}

#[test]
fn a_reputer_who_leaves_after_its_report_is_still_paid_into_its_stake() {
    let (mut net, id) = market(100);
    let window = loop {
        let next = net.height + 1;
        if let Some(w) = net.windows(id).windows.into_iter().find(|w| w.worker_first == next) {
            break w;
        }
        net.block(&[]);
    };
    net.done(&[submit("w1", id, window.nonce, "5"), submit("w2", id, window.nonce, "6")]);
    net.wait_until(window.truth_first - 1);
    net.done(&[truth("r1", id, window.nonce, "5"), unregister("r1", id, Role::Reputer)]);
    let before = own(&net, id, "r1");
    net.wait_until(window.truth_last);
    let reward = uallo(&net.epoch(id, window.nonce).unwrap().truths[0].reward);
    assert!(reward > 0);
    assert_eq!(own(&net, id, "r1"), before + reward);
    audit::everything(&net);
}
