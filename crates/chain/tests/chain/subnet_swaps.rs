//! Other keys in the place of old ones, everything sold at once, subnets made smaller: what belongs to whom stays so.

use dodona_proto::ALLO;

use crate::{kit::*, subnet_kit::*};

/// Half of a key's stake.
const HALF: u64 = u64::MAX / 2;

/// A market in which r3 has everything a hotkey can have: stake of its own and of others, root stake with dividends,
/// weights, an endpoint, a child, a parent, and bob's pay staked upon it.
fn known() -> Net {
    let mut net = market();
    let at_once = [("children_wait", "0"), ("children_rate_limit", "0"), ("hotkey_swap_wait", "20")];
    net.done(&[rules("carol", &at_once), auto_stake("bob", 1, "r3"), serve("r3", 1, "192.0.2.7", 80)]);
    net.done(&[
        children("r3", 1, "r3", &[(HALF, "w1")]),
        children("r2", 1, "r2", &[(HALF, "r3")]),
        child_take("r3", 1, "r3", 1_000),
        take("r3", "r3", 2_000),
        buy("r6", 1, "r3", 50 * ALLO, ""),
    ]);
    net.next_epoch(1);
    net.done(&[weights("r3", 1, &[(1, 60_000), (2, 5_535)]), weights("r2", 1, &[(1, 1), (2, 2)])]);
    net.next_epoch(1);
    net
}

#[test]
fn a_hotkey_in_anothers_place_has_all_that_was_its() {
    let mut net = known();
    let old = net.metagraph(1).neurons;
    let held = |net: &Net, hotkey: &str| {
        [("r3", 1), ("r6", 1), ("bob", 1), ("r7", 0)].map(|(who, netuid)| net.held(who, netuid, hotkey))
    };
    let (before, balance) = (held(&net, "r3"), net.balance("r3"));
    assert!(before.iter().all(|amount| *amount > 0), "{before:?}");
    let tx = swap_hotkey("r3", 0, "r3", "w7");
    let fee = tx.fee;
    // Orders that wait in the same block find the new key.
    net.done(&[buy("r7", 1, "r3", 10 * ALLO, ""), sell("r6", 1, "r3", "1000000000", ""), tx]);
    assert_eq!(balance - net.balance("r3") - fee, ALLO / 10);
    let new = net.metagraph(1).neurons;
    let (was, is) = (&old[5], &new[5]);
    assert_eq!((is.hotkey.clone(), is.coldkey.clone()), (text("w7"), text("r3")));
    assert_eq!((was.registered, was.last_update, was.permit), (is.registered, is.last_update, is.permit));
    assert_eq!((&was.weights, &was.bonds, &was.axon), (&is.weights, &is.bonds, &is.axon));
    assert_eq!(
        (&was.children, &was.parents, was.childkey_take),
        (&is.children, &is.parents, is.childkey_take)
    );
    assert_eq!(new[1].parents[0].hotkey, text("w7"));
    assert_eq!(new[4].children[0].hotkey, text("w7"));
    let after = held(&net, "w7");
    assert_eq!((after[0], after[2], after[3]), (before[0], before[2], before[3]));
    assert_eq!(after[1], before[1] - 1_000_000_000);
    assert!(net.held("r7", 1, "w7") > 0, "the order that waited");
    assert_eq!(held(&net, "r3"), [0; 4]);
    // The old key is nobody's any more; bob's pay goes upon the new one.
    assert_eq!(net.refused(&buy("r7", 1, "r3", ALLO, "")).id(), ("subnets", 9));
    let paid = net.held("bob", 1, "w7");
    net.next_epoch(1);
    assert!(net.held("bob", 1, "w7") > paid);
    net.done(&[weights("w7", 1, &[(2, 1)])]);
    assert_eq!(net.refused(&weights("r3", 1, &[(2, 1)])).id(), ("subnets", 11));
    // And back: the old key is free.
    net.done(&[swap_hotkey("r3", 0, "w7", "r3")]);
    assert!(net.held("r6", 1, "r3") > 0);
}

#[test]
fn a_commit_is_revealed_under_the_new_key() {
    let mut net = known();
    net.done(&[hyper("carol", 1, &[("commit_reveal", "true")])]);
    let row = [(1, 1), (3, 2)];
    net.done(&[commit("r3", 1, &row)]);
    net.done(&[swap_hotkey("r3", 0, "r3", "w7")]);
    net.next_epoch(1);
    // The digest was made for the old key; the kit makes it of whoever sends, so the shown weights are the test.
    net.done(&[reveal("w7", 1, &row)]);
    let weights = &net.metagraph(1).neurons[5].weights;
    assert_eq!(weights.iter().map(|w| w.uid).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_swap_in_one_subnet_leaves_the_others_and_the_root_alone() {
    let mut net = known();
    net.done(&[rules("carol", &[("network_rate_limit", "0")])]);
    net.done(&[create_subnet("bob", "w9")]);
    net.done(&[start("bob", 2), neuron("r3", 2, "r3"), neuron("r3", 2, "w8")]);
    net.done(&[buy("r6", 2, "r3", 10 * ALLO, ""), buy("r5", 1, "w8", 7 * ALLO, "")]);
    let (own, root, other) = (net.held("r3", 1, "r3"), net.held("r7", 0, "r3"), net.held("r6", 2, "r3"));
    let (six, five) = (net.held("r6", 1, "r3"), net.held("r5", 1, "w8"));
    let all: u64 = net.metagraph(1).neurons[5].alpha_stake.parse().unwrap();
    net.done(&[swap_hotkey("r3", 1, "r3", "w8")]);
    // Two stakes become one pool: everybody keeps the amount, to a unit of rounding.
    for (now, before) in
        [(net.held("r3", 1, "w8"), own), (net.held("r6", 1, "w8"), six), (net.held("r5", 1, "w8"), five)]
    {
        assert!(now <= before && now + 2 >= before, "{now} {before}");
    }
    let sum: u64 = net.metagraph(1).neurons[5].alpha_stake.parse().unwrap();
    assert_eq!(sum, all + five);
    assert_eq!((net.held("r7", 0, "r3"), net.held("r6", 2, "r3")), (root, other));
    assert_eq!(net.metagraph(2).neurons[1].hotkey, text("r3"));
    let soon = net.refused(&swap_hotkey("r3", 1, "w8", "w10"));
    assert_eq!(soon.id(), ("subnets", 20));
    assert!(soon.log.contains("again in block"), "{}", soon.log);
}

#[test]
fn a_coldkey_is_announced_waited_for_and_replaced() {
    let mut net = known();
    net.done(&[rules("carol", &[("coldkey_swap_wait", "5"), ("coldkey_swap_again", "3")])]);
    assert_eq!(net.refused(&swap_coldkey("r3", "new")).id(), ("subnets", 34));
    let (balance, tx) = (net.balance("r3"), announce("r3", "new"));
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(balance - net.balance("r3") - fee, ALLO / 10);
    let from = net.height + 5;
    let told = net.coldkey_swap("r3");
    assert_eq!((told.announced, told.from_block, told.again_from), (net.height, from, from + 3));
    // Until then the account does nothing else: neither it nor a thief takes anything out.
    for tx in [
        send("r3", "bob", ALLO),
        sell("r3", 1, "r3", "", ""),
        swap_hotkey("r3", 0, "r3", "w7"),
        take("r3", "r3", 1),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", 33));
        assert!(no.log.contains(&format!("from block {from} on")), "{}", no.log);
    }
    let early = net.refused(&swap_coldkey("r3", "new"));
    assert!(early.id() == ("subnets", 38) && early.log.contains(&format!("block {from}")), "{}", early.log);
    assert_eq!(net.refused(&announce("r3", "thief")).id(), ("subnets", 20));
    net.wait_until(from - 1);
    let other = net.refused(&swap_coldkey("r3", "thief"));
    assert!(
        other.id() == ("subnets", 35) && other.log.contains(&format!("block {}", from + 3)),
        "{}",
        other.log
    );
    let (own, balance) = (net.held("r3", 1, "r3"), net.balance("r3"));
    let tx = swap_coldkey("r3", "new");
    let fee = tx.fee;
    net.done(&[tx]);
    assert!(net.held("new", 1, "r3") >= own);
    assert_eq!((net.held("r3", 1, "r3"), net.balance("r3")), (0, 0));
    assert_eq!(net.balance("new"), balance - fee);
    let graph = net.metagraph(1);
    assert_eq!(
        (graph.neurons[5].hotkey.clone(), graph.neurons[5].coldkey.clone()),
        (text("r3"), text("new"))
    );
    // The takes of the next epochs are the new one's.
    let held = net.held("new", 1, "r3");
    net.next_epoch(1);
    assert!(net.held("new", 1, "r3") > held);
    net.done(&[sell("new", 1, "r3", "", ""), take("new", "r3", 5)]);
    assert_eq!(net.coldkey_swap("r3").announced, 0);
}

#[test]
fn an_owners_coldkey_takes_the_subnet_along_and_joins_what_the_new_one_has() {
    let mut net = known();
    net.done(&[rules("carol", &[("coldkey_swap_wait", "1")])]);
    net.done(&[buy("alice", 0, "r3", 30 * ALLO, ""), buy("r5", 0, "r3", 20 * ALLO, "")]);
    net.done(&[buy("alice", 1, "r3", 30 * ALLO, ""), buy("r5", 1, "r3", 20 * ALLO, "")]);
    net.next_epoch(1);
    net.done(&[auto_stake("alice", 1, "r2"), announce("alice", "r5")]);
    let (root, one) = (net.held("alice", 0, "r3") + net.held("r5", 0, "r3"), net.held("r5", 1, "r3"));
    let both = one + net.held("alice", 1, "r3");
    net.done(&[move_stake("r5", (1, "r3"), "1000000000", (0, "r3", "")), swap_coldkey("alice", "r5")]);
    net.done(&[]);
    assert_eq!(net.subnet(1).owner, text("r5"));
    assert!(net.held("r5", 0, "r3") > root, "what was on its way arrives too");
    let now = net.held("r5", 1, "r3");
    assert!(now + 1_000_000_002 >= both, "{now} {both}");
    assert!(net.holdings("alice").is_empty());
    net.done(&[hyper("r5", 1, &[("serving_rate_limit", "7")])]);
    assert_eq!(net.refused(&hyper("r6", 1, &[("serving_rate_limit", "8")])).id(), ("subnets", 4));
}

#[test]
fn a_disputed_swap_is_ended_by_an_admin_only() {
    let mut net = known();
    net.done(&[rules("carol", &[("coldkey_swap_wait", "1"), ("coldkey_swap_again", "1")])]);
    assert_eq!(net.refused(&dispute("r3")).id(), ("subnets", 34));
    net.done(&[announce("r3", "thief")]);
    net.done(&[dispute("r3")]);
    assert!(net.coldkey_swap("r3").disputed);
    net.wait_until(net.height + 5);
    for tx in [swap_coldkey("r3", "thief"), announce("r3", "other"), dispute("r3"), send("r3", "bob", 1)] {
        let no = net.refused(&tx);
        assert!(no.id() == ("subnets", 33) && no.log.contains("ask an admin"), "{}", no.log);
    }
    assert_eq!(net.refused(&reset("bob", "r3")).id(), ("subnets", 4));
    assert_eq!(net.refused(&reset("carol", "bob")).id(), ("subnets", 34));
    net.done(&[reset("carol", "r3")]);
    net.done(&[send("r3", "bob", 1)]);
}

#[test]
fn swaps_are_refused_with_a_reason_and_change_nothing() {
    let mut net = known();
    net.done(&[rules("carol", &[("coldkey_swap_wait", "0")]), announce("r6", "w2"), announce("r4", "r4")]);
    let cases = [
        (swap_hotkey("bob", 0, "r3", "w7"), 8, "belongs to another coldkey"),
        (swap_hotkey("r3", 0, "w15", "w7"), 9, "is not known"),
        (swap_hotkey("r3", 0, "r3", "r3"), 3, "the same key"),
        (swap_hotkey("r3", 0, "r3", "w1"), 8, "belongs to another coldkey"),
        (swap_hotkey("bob", 0, "w1", "w2"), 36, "swap subnet by subnet"),
        (swap_hotkey("bob", 1, "w1", "w2"), 10, "already, as uid 2"),
        (swap_hotkey("bob", 9, "w1", "w7"), 2, "does not exist"),
        (swap_coldkey("r6", "w2"), 36, "it is a hotkey"),
        (swap_coldkey("r4", "r4"), 3, "the same account"),
        (sell_all("r8", "r3", false), 17, "0 base units are staked there"),
        (trim("bob", 1, 64), 4, "its owner is"),
        (trim("alice", 1, 63), 3, "allowed are 64"),
        (trim("alice", 1, 256), 3, "it is 256 now"),
        (trim("carol", 1, 3), 37, "immunity ends in block"),
    ];
    for (tx, code, says) in cases {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
    let short = net.refused(&swap_hotkey("r3", 0, "r3", "w7").gas(70_000));
    assert_eq!(short.id(), ("sdk", 11), "{short:?}");
}

#[test]
fn everything_upon_a_hotkey_is_sold_at_once() {
    let mut net = known();
    net.done(&[rules("carol", &[("network_rate_limit", "0")])]);
    net.done(&[create_subnet("bob", "w9")]);
    net.done(&[start("bob", 2), buy("r7", 1, "r3", 20 * ALLO, "")]);
    net.done(&[buy("r7", 2, "r3", 30 * ALLO, "")]);
    let (before, tx) = (net.balance("r7"), sell_all("r7", "r3", false));
    let fee = tx.fee;
    net.done(&[tx]);
    assert!(net.holdings("r7").is_empty(), "{:?}", net.holdings("r7"));
    let got = net.balance("r7") + fee - before;
    // 400 at the root, and a little less than 50 in the pools.
    assert!(got > 440 * ALLO && got < 460 * ALLO, "{got}");
    // To the root instead: it arrives there in the same block.
    net.done(&[buy("r7", 1, "r3", 20 * ALLO, ""), buy("r7", 2, "r3", 30 * ALLO, "")]);
    net.done(&[sell_all("r7", "r3", true)]);
    let rows = net.holdings("r7");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].netuid == 0 && net.held("r7", 0, "r3") > whole(48), "{rows:?}");
}

#[test]
fn a_trimmed_subnet_keeps_who_earns_and_its_rows_name_the_same_miners() {
    let mut net = known();
    let set = [("immunity_period", "0"), ("min_non_immune", "0"), ("max_validators", "3")];
    net.done(&[hyper("carol", 1, &set), hyper("carol", 1, &[("commit_reveal", "true")])]);
    net.done(&[commit("r2", 1, &[(1, 1)])]);
    net.next_epoch(1);
    let before = net.metagraph(1).neurons;
    // w3 (uid 3) earned nothing; then comes whoever earned least.
    let mut order: Vec<usize> = (1..before.len()).collect();
    order.sort_by_key(|&uid| (before[uid].emission.parse::<u64>().unwrap(), before[uid].registered, uid));
    let gone = &order[..2];
    let kept: Vec<usize> = (0..before.len()).filter(|uid| !gone.contains(uid)).collect();
    net.done(&[trim("carol", 1, 4)]);
    let after = net.metagraph(1).neurons;
    assert_eq!(after.len(), 4);
    for (new, old) in kept.iter().enumerate() {
        let (is, was) = (&after[new], &before[*old]);
        assert_eq!((&is.hotkey, is.registered, &is.emission), (&was.hotkey, was.registered, &was.emission));
        assert_eq!(is.last_update, was.last_update);
        let named = |row: &[dodona_proto::subnets::Entry]| -> Vec<(u32, u32)> {
            row.iter().map(|entry| (entry.uid, entry.value)).collect()
        };
        let moved = |row: &[dodona_proto::subnets::Entry]| -> Vec<(u32, u32)> {
            let place = |uid: u32| kept.iter().position(|old| *old == uid as usize);
            row.iter().filter_map(|e| Some((place(e.uid)? as u32, e.value))).collect()
        };
        assert_eq!(named(&is.weights), moved(&was.weights));
        assert_eq!(named(&is.bonds), moved(&was.bonds));
        assert_eq!(is.open_commits, 0);
    }
    // It works on, is full, and what was evicted may come back.
    net.next_epoch(1);
    let back = before[gone[0]].hotkey.clone();
    let name = names().into_iter().find(|name| text(name) == back).unwrap();
    let coldkey = names().into_iter().find(|name| text(name) == before[gone[0]].coldkey).unwrap();
    net.done(&[neuron(&coldkey, 1, &name)]);
    assert_eq!(net.metagraph(1).neurons.len(), 4);
}

#[test]
fn an_owner_trims_once_in_a_long_while() {
    let mut net = known();
    net.done(&[trim("alice", 1, 200)]);
    let soon = net.refused(&trim("alice", 1, 100));
    assert!(soon.id() == ("subnets", 20) && soon.log.contains("again in block"), "{}", soon.log);
    assert_eq!(net.metagraph(1).neurons.len(), 6);
}
