//! Subnets: created, joined, traded, judged, paid, dissolved. After every block all invariants are checked, among them
//! that every unit of both tokens is somebody's.

use dodona_chain::{Params, Signatures};
use dodona_proto::{
    ALLO, Address, path,
    subnets::{QueryQuoteRequest, QueryQuoteResponse},
};

use crate::{kit::*, subnet_kit::*};

fn module() -> Address {
    Address::of_module("subnets")
}

#[test]
fn a_chain_without_subnets_stores_nothing_of_them() {
    let mut net = Net::new();
    net.wait_until(5);
    assert!(net.subnets().subnets.is_empty());
    assert_eq!(net.subnets().create_cost, (1_000 * ALLO).to_string());
    assert_eq!(net.balance_of(module()), 0);
    for prefix in [*b"nn", *b"nm", *b"ns", *b"nq"] {
        let mut found = 0;
        let read = net.app.store().snapshot().unwrap();
        dodona_store::Read::scan(&read, &prefix, &mut |_, _| {
            found += 1;
            true
        })
        .unwrap();
        assert_eq!(found, 0);
    }
}

#[test]
fn what_a_subnet_costs_lies_in_its_pool_and_the_next_costs_twice_as_much() {
    let mut net = Net::new();
    let before = net.balance("alice");
    let tx = create_subnet("alice", "r1");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(before - net.balance("alice") - fee, 1_000 * ALLO);
    let subnet = net.subnet(1);
    assert_eq!((subnet.pool_tao.as_str(), subnet.pool_alpha.as_str()), ("1000000000000", "1000000000000"));
    assert_eq!((subnet.state.as_str(), subnet.price.as_str(), subnet.neurons), ("registered", "1", 1));
    assert_eq!(net.balance_of(module()), 1_000 * ALLO);
    let graph = net.metagraph(1);
    assert_eq!(
        (graph.neurons[0].hotkey.clone(), graph.neurons[0].coldkey.clone()),
        (text("r1"), text("alice"))
    );
    assert!(graph.neurons[0].protected);
    let again = net.refused(&create_subnet("bob", "r2"));
    assert_eq!(again.id(), ("subnets", 6));
    assert!(again.log.contains("from block 7201 on"), "{}", again.log);
    net.done(&[rules("carol", &[("network_rate_limit", "0")])]);
    let cost: u128 = net.subnets().create_cost.parse().unwrap();
    assert!(cost < 2_000 * ALLO && cost > 1_999 * ALLO, "{cost}");
    net.done(&[create_subnet("bob", "r2")]);
    assert_eq!(net.subnets().subnets.len(), 2);
    // A pool as dear as the median of the others.
    assert_eq!(net.subnet(2).price, "1");
}

#[test]
fn refusals_name_the_cause_and_when_it_ends() {
    let mut net = Net::with_subnet();
    net.done(&[neuron("bob", 1, "w1"), rules("carol", &[("network_rate_limit", "0")])]);
    net.done(&[create_subnet("bob", "w9")]);
    let cases = [
        (neuron("bob", 9, "w2"), 2, "subnet 9 does not exist"),
        (neuron("bob", 70_000, "w2"), 2, "does not exist"),
        (neuron("bob", 1, "w1"), 10, "as uid 1"),
        (neuron("owner", 1, "w1"), 10, "already"),
        (neuron("owner", 2, "w1"), 8, "belongs to another coldkey"),
        (start("bob", 1), 4, "its owner is"),
        (start("alice", 1), 15, "in block 3"),
        (buy("bob", 2, "w9", ALLO, ""), 14, "has to start it"),
        (buy("bob", 1, "w7", ALLO, ""), 9, "is not known"),
        (buy("bob", 1, "w1", 1_000_000_000, ""), 16, "least trade"),
        (buy("bob", 1, "w1", 7, ""), 3, "at least 1000000000"),
        (buy("bob", 1, "w1", ALLO, "0"), 3, "a price above 0"),
        (sell("bob", 1, "w1", "5", ""), 17, "0 base units are staked there, 5"),
        (sell("bob", 0, "w1", "", ""), 17, "0 base units"),
        (weights("w5", 1, &[(0, 1)]), 11, "is not registered"),
        (weights("w1", 1, &[(0, 1)]), 22, "at the next epoch, in block"),
        (commit("w1", 1, &[(0, 1)]), 25, "without commit"),
        (weights("w9", 2, &[(0, 1)]), 24, "send a commit"),
        (reveal("w9", 2, &[(0, 1)]), 27, "no commit"),
        (hyper("bob", 1, &[("tempo", "400")]), 4, "its owner is"),
        (hyper("alice", 1, &[("kappa", "1")]), 4, "kappa is set by admins"),
        (hyper("alice", 1, &[("tempo", "3")]), 3, "allowed are 360 to 50400"),
        (hyper("alice", 1, &[("nonsense", "3")]), 3, "no parameter is named `nonsense`"),
        (rules("alice", &[("owner_cut", "3")]), 4, "ask an admin"),
        (rules("carol", &[("emission_part", "1.5")]), 3, "at most 1"),
        (take("alice", "w1", 3), 8, "belongs to another"),
        (take("bob", "w1", 20_000), 3, "allowed are 0 to 11796"),
        (serve("w1", 1, "127.0.0.1", 80), 3, "nobody else can reach"),
        (serve("w1", 1, "192.0.2.7", 0), 3, "1 to 65535"),
        (claim_root("bob", "w1"), 31, "nothing"),
        (dissolve("alice", 1), 4, "ask an admin"),
        (move_stake("bob", (1, "w1"), "", (1, "w1", "")), 17, "0 base units"),
        (move_stake("bob", (1, "w1"), "", (2, "w9", "")), 14, "has to start it"),
    ];
    for (tx, code, says) in cases {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
}

#[test]
fn stake_is_bought_and_sold_at_one_price_per_block_and_limits_hold() {
    let mut net = Net::with_subnet();
    net.done(&[neuron("bob", 1, "w1")]);
    net.done(&[hyper("carol", 1, &[("emission_enabled", "false"), ("swap_fee", "0"), ("tempo", "5000")])]);
    // Two buyers of one block pay the same, whatever their order.
    net.done(&[buy("bob", 1, "w1", 10 * ALLO, ""), buy("owner", 1, "w1", 20 * ALLO, "")]);
    let (bob, owner) = (net.held("bob", 1, "w1"), net.held("owner", 1, "w1"));
    assert!(owner.abs_diff(2 * bob) <= 2, "{bob} {owner}");
    let price: f64 = net.subnet(1).price.parse().unwrap();
    assert!(price > 1.0 && price < 1.2, "{price}");
    // A limit below the price buys nothing and costs nothing; one just above it buys a part.
    let before = net.balance("r5");
    net.done(&[buy("r5", 1, "w1", 10 * ALLO, "0.5").gas(400_000)]);
    assert_eq!(net.held("r5", 1, "w1"), 0);
    assert_eq!(before - net.balance("r5"), 4_000_000);
    let limit = format!("{:.6}", price * 1.001);
    net.done(&[buy("r5", 1, "w1", 500 * ALLO, &limit)]);
    let bought = net.held("r5", 1, "w1");
    assert!(bought > 0);
    let paid = before - net.balance("r5") - 8_000_000;
    let average = paid as f64 / UNIT as f64 / bought as f64;
    assert!(average <= price * 1.001 + 1e-6, "{average} above {limit}");
    assert!(paid < 5 * ALLO, "{paid}");
    // Buyers and sellers meet without moving the pool further than their difference.
    let alpha = net.held("bob", 1, "w1");
    let before = net.subnet(1).price;
    net.done(&[sell("bob", 1, "w1", "", ""), buy("w2", 1, "w1", u128::from(alpha) * UNIT, "")]);
    let after = net.subnet(1).price;
    let (before, after): (f64, f64) = (before.parse().unwrap(), after.parse().unwrap());
    assert!((before - after).abs() / before < 2e-3, "{before} {after}");
    assert_eq!(net.held("bob", 1, "w1"), 0);
    // All out: the pool gives back no more than it got.
    net.done(&[sell("owner", 1, "w1", "", ""), sell("w2", 1, "w1", "", ""), sell("r5", 1, "w1", "", "")]);
    let together: u128 = ["bob", "owner", "w2", "r5"].iter().map(|who| net.balance(who)).sum();
    assert!(together < 4 * PURSE);
}

#[test]
fn a_quote_is_what_a_lone_trade_gets() {
    let mut net = Net::with_subnet();
    net.done(&[neuron("bob", 1, "w1"), hyper("carol", 1, &[("emission_enabled", "false")])]);
    net.done(&[]);
    let ask = |net: &Net, sell, amount: &str| -> QueryQuoteResponse {
        let request = QueryQuoteRequest { netuid: 1, sell, amount: amount.into(), ..Default::default() };
        net.query(path::QUOTE, &request).unwrap()
    };
    let quote = ask(&net, false, &whole(7).to_string());
    net.done(&[buy("bob", 1, "w1", 7 * ALLO, "")]);
    assert_eq!(net.held("bob", 1, "w1").to_string(), quote.output);
    assert_eq!(net.subnet(1).price, quote.price_after);
    let quote = ask(&net, true, "1000000000");
    let before = net.balance("bob");
    let tx = sell("bob", 1, "w1", "1000000000", "");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(((net.balance("bob") + fee - before) / UNIT).to_string(), quote.output);
}

#[test]
fn stake_moves_within_a_subnet_at_once_and_between_subnets_in_two_blocks() {
    let mut net = Net::with_subnet();
    net.done(&[rules("carol", &[("network_rate_limit", "0")]), create_subnet("bob", "w9")]);
    net.done(&[start("bob", 2), neuron("bob", 1, "w1")]);
    net.done(&[buy("bob", 1, "w1", 10 * ALLO, "")]);
    let held = net.held("bob", 1, "w1");
    net.done(&[move_stake("bob", (1, "w1"), "1000000000", (1, "r1", "owner"))]);
    assert_eq!(net.held("owner", 1, "r1"), 1_000_000_000);
    assert_eq!(net.held("bob", 1, "w1"), held - 1_000_000_000);
    net.done(&[move_stake("bob", (1, "w1"), "", (2, "w9", ""))]);
    assert_eq!((net.held("bob", 1, "w1"), net.held("bob", 2, "w9")), (0, 0));
    net.done(&[]);
    let moved = net.held("bob", 2, "w9");
    assert!(moved > whole(8) && moved < whole(10), "{moved}");
    net.done(&[move_stake("bob", (2, "w9"), "", (0, "w9", ""))]);
    let root = net.held("bob", 0, "w9");
    assert!(root > whole(7) && root < whole(10), "{root}");
    let before = net.balance("bob");
    let tx = sell("bob", 0, "w9", "", "");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("bob") + fee - before, u128::from(root) * UNIT);
    net.done(&[hyper("carol", 1, &[("transfer_toggle", "false")])]);
    assert_eq!(net.refused(&move_stake("owner", (1, "r1"), "", (1, "r1", "bob"))).id(), ("subnets", 19));
}

#[test]
fn registration_gets_dearer_falls_again_and_the_weakest_makes_room() {
    let mut net = Net::with_subnet();
    let cost = |net: &Net| net.subnet(1).registration_cost.parse::<u128>().unwrap();
    let set = [("max_uids", "4"), ("max_validators", "4"), ("min_non_immune", "0"), ("immunity_period", "6")];
    net.done(&[hyper("carol", 1, &set)]);
    let first = cost(&net);
    net.done(&[neuron("bob", 1, "w1")]);
    let second = cost(&net);
    assert!(second > first * 125 / 100 && second < first * 126 / 100, "{first} {second}");
    net.done(&[]);
    assert!(cost(&net) < second);
    // What is paid buys the token and burns it.
    let subnet = net.subnet(1);
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert_eq!(number(&subnet.alpha_out), number(&subnet.alpha_pending) + number(&subnet.alpha_protocol));
    net.done(&[neuron("bob", 1, "w2"), neuron("owner", 1, "w3")]);
    assert_eq!(net.subnet(1).neurons, 4);
    // The owner's is protected, all others immune: the weakest of the immune goes.
    net.done(&[serve("w1", 1, "192.0.2.7", 8_091), neuron("bob", 1, "w4")]);
    let graph = net.metagraph(1);
    assert_eq!(
        graph.neurons.iter().map(|n| n.hotkey.clone()).collect::<Vec<_>>(),
        ["r1", "w4", "w2", "w3"].map(text)
    );
    let ranks: Vec<u32> = graph.neurons.iter().map(|n| n.eviction_rank).collect();
    assert_eq!(ranks, [0, 3, 1, 2]);
    assert_eq!(net.refused(&serve("w1", 1, "192.0.2.7", 8_091)).id(), ("subnets", 11));
    net.done(&[serve("w2", 1, "2001:db8::7", 8_091)]);
    assert_eq!(net.metagraph(1).neurons[2].axon.as_ref().unwrap().ip, "2001:db8::7");
    let soon = net.refused(&serve("w2", 1, "192.0.2.8", 1));
    assert!(soon.code == 20 && soon.log.contains("again in block"), "{}", soon.log);
}

#[test]
fn the_whole_story_of_a_subnet() {
    let mut net = market();
    let row = [(1, 60_000), (2, 30_000), (3, 10_000)];
    // Permits come with the first epoch.
    let epochs = net.subnet(1).epochs;
    while net.subnet(1).epochs == epochs {
        net.done(&[]);
    }
    let graph = net.metagraph(1);
    assert!(graph.neurons[4].permit && graph.neurons[5].permit && !graph.neurons[1].permit, "{graph:?}");
    net.done(&[weights("r2", 1, &row), weights("r3", 1, &row)]);
    let soon = net.refused(&weights("w1", 1, &row));
    assert_eq!(soon.id(), ("subnets", 22));
    let staked = (net.held("r2", 1, "r2"), net.held("r3", 1, "r3"));
    for _ in 0..3 {
        let epochs = net.subnet(1).epochs;
        while net.subnet(1).epochs == epochs {
            net.done(&[]);
        }
    }
    let graph = net.metagraph(1);
    let incentive: Vec<u32> = graph.neurons.iter().map(|n| n.incentive).collect();
    let sum: u32 = incentive.iter().sum();
    assert!((65_530..=65_535).contains(&sum), "{incentive:?}");
    assert!(incentive[1] > incentive[2] && incentive[2] > incentive[3] && incentive[3] > 0, "{incentive:?}");
    let miners = ["w1", "w2", "w3"].map(|w| net.held("bob", 1, w));
    assert!(miners[0] > miners[1] && miners[1] > miners[2] && miners[2] > 0, "{miners:?}");
    assert!(net.held("r2", 1, "r2") > staked.0 && net.held("r3", 1, "r3") > staked.1);
    // The owner's cut, upon its hotkey: 18 of 100, miners get 41.
    let (owner, all) = (net.held("alice", 1, "r1"), miners.iter().sum::<u64>());
    assert!(owner > all / 3, "{owner} {all}");
    // Root stake upon r3 has a say and, once prices are above one in sum, earns; before it is recycled.
    assert!(graph.neurons[5].stake > 0);
    // Pay is staked elsewhere on request, and taken out for the chain's token.
    net.done(&[auto_stake("bob", 1, "r3")]);
    let epochs = net.subnet(1).epochs;
    while net.subnet(1).epochs == epochs {
        net.done(&[]);
    }
    assert!(net.held("bob", 1, "r3") > 0);
    let before = net.balance("bob");
    let out = sell("bob", 1, "w1", "", "");
    let fee = out.fee;
    net.done(&[out]);
    assert!(net.balance("bob") + fee > before + ALLO / 10, "{} {before}", net.balance("bob"));
    assert_eq!(net.held("bob", 1, "w1"), 0);
    let subnet = net.subnet(1);
    assert!(subnet.tao_per_block != "0" && subnet.alpha_per_block != "0" && subnet.state == "emitting");
}

#[test]
fn the_same_story_has_the_same_roots() {
    let play = || {
        let mut net = market();
        let mut roots = Vec::new();
        let mut dice = Dice(20_261_130);
        for _ in 0..60 {
            let mut txs = Vec::new();
            for who in ["r2", "r3"] {
                let row: Vec<(u32, u32)> = (1..4).map(|uid| (uid, dice.roll(65_536) as u32)).collect();
                let tx = weights(who, 1, &row);
                if dice.roll(3) == 0 && net.refusal_of(&tx).is_none() {
                    txs.push(tx);
                }
            }
            for who in ["bob", "owner", "w8", "w9"] {
                let hotkey = *dice.pick(&["w1", "w2", "r2", "r3"]);
                let tx = match dice.roll(4) {
                    0 => buy(
                        who,
                        1,
                        hotkey,
                        (1 + u128::from(dice.roll(40))) * ALLO,
                        dice.pick::<&str>(&["", "0.9", "1.1", "1.6"]),
                    ),
                    1 => sell(who, 1, hotkey, "", dice.pick::<&str>(&["", "0.8", "1.2"])),
                    2 => buy(who, 0, hotkey, (1 + u128::from(dice.roll(40))) * ALLO, ""),
                    _ => sell(who, 0, hotkey, "", ""),
                };
                if net.refusal_of(&tx).is_none() {
                    txs.push(tx);
                }
            }
            net.done(&txs);
            roots.push(net.app.root());
        }
        roots
    };
    assert_eq!(play(), play());
}

#[test]
fn commits_are_revealed_in_their_epoch_and_belong_to_one_registration() {
    let mut net = market();
    net.done(&[hyper("carol", 1, &[("commit_reveal", "true")])]);
    let pass = |net: &mut Net| {
        let epochs = net.subnet(1).epochs;
        while net.subnet(1).epochs == epochs {
            net.done(&[]);
        }
    };
    pass(&mut net);
    let row = [(1, 100), (2, 50)];
    assert_eq!(net.refused(&weights("r2", 1, &row)).id(), ("subnets", 24));
    net.done(&[commit("r2", 1, &row)]);
    let waiting = net.metagraph(1).neurons[4].commits.clone();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].reveal_epoch, net.subnet(1).epochs + 1, "anybody can see when it is due");
    let early = net.refused(&reveal("r2", 1, &row));
    assert!(early.code == 28 && early.log.contains("the next is in block"), "{early:?}");
    pass(&mut net);
    assert_eq!(net.refused(&reveal("r2", 1, &[(1, 100), (2, 51)])).id(), ("subnets", 27));
    net.done(&[reveal("r2", 1, &row)]);
    assert_eq!(net.metagraph(1).neurons[4].weights.len(), 2);
    assert!(net.metagraph(1).neurons[4].commits.is_empty(), "a reveal uses it up");
    assert_eq!(net.refused(&reveal("r2", 1, &row)).id(), ("subnets", 27));
    net.done(&[commit("r2", 1, &row)]);
    pass(&mut net);
    pass(&mut net);
    assert_eq!(net.refused(&reveal("r2", 1, &row)).id(), ("subnets", 27));
    // At most ten wait.
    for _ in 0..10 {
        let filler = net.metagraph(1).neurons[4].open_commits;
        if net.refusal_of(&commit("r2", 1, &row)).is_none() {
            net.block(&[commit("r2", 1, &row)]);
        } else {
            assert!(filler > 0);
        }
    }
    // A hotkey that lost its uid and came back cannot use what it had committed before.
    net.done(&[commit("r3", 1, &row)]);
    let set = [("max_uids", "6"), ("max_validators", "6"), ("min_non_immune", "0"), ("immunity_period", "0")];
    net.done(&[hyper("carol", 1, &set)]);
    let mut newcomers = (10..20).map(|i| format!("w{i}"));
    while net.metagraph(1).neurons.iter().any(|n| n.hotkey == text("r3")) {
        net.done(&[neuron("bob", 1, &newcomers.next().unwrap())]);
    }
    net.done(&[neuron("r3", 1, "r3")]);
    pass(&mut net);
    assert_eq!(net.refused(&reveal("r3", 1, &row)).id(), ("subnets", 27));
}

#[test]
fn root_stake_earns_in_every_subnet_and_collects() {
    let mut net = market();
    // Prices above one in sum: the root earns.
    net.done(&[rules("carol", &[("moving_alpha", "1"), ("num_root_claims", "0")])]);
    net.done(&[buy("owner", 1, "r2", 5_000 * ALLO, ""), hyper("carol", 1, &[("tempo", "5")])]);
    net.done(&[rules("carol", &[("network_rate_limit", "0")]), create_subnet("bob", "w9")]);
    net.done(&[start("bob", 2), hyper("carol", 2, &[("tempo", "5")])]);
    let mut claimable = 0u64;
    for _ in 0..3_000 {
        net.done(&[]);
        claimable = net.subnet(1).alpha_claimable.parse().unwrap();
        if claimable > 0 {
            break;
        }
        if net.height.is_multiple_of(200) {
            net.done(&[buy("w8", 2, "w9", 2_000 * ALLO, "")]);
        }
    }
    assert!(claimable > 0, "{:?} {:?}", net.subnet(1), net.subnet(2));
    let row = net.query::<dodona_proto::subnets::QueryHoldingsResponse>(
        path::HOLDINGS,
        &dodona_proto::subnets::QueryHoldingsRequest { hotkey: text("r3"), netuid: 0, ..Default::default() },
    );
    assert_eq!(row.unwrap().holdings.len(), 1);
    let before = net.held("r7", 1, "r3");
    net.done(&[root_claim("r7", "keep", &[]), claim_root("r7", "r3")]);
    assert!(net.held("r7", 1, "r3") > before);
    net.wait_until(net.height + 20);
    // Leaving the root collects first.
    let before = net.held("r7", 1, "r3");
    net.done(&[sell("r7", 0, "r3", "", "")]);
    assert!(net.held("r7", 1, "r3") > before);
    assert_eq!(net.held("r7", 0, "r3"), 0);
}

#[test]
fn a_dissolved_subnet_pays_its_holders_and_leaves_nothing() {
    let mut net = market();
    net.wait_until(net.height + 25);
    net.done(&[buy("owner", 1, "r2", 50 * ALLO, "")]);
    let holders = ["owner", "r2", "r3", "bob"];
    let before: Vec<u128> = holders.iter().map(|who| net.balance(who)).collect();
    // An order of the same block is paid back, a sale counts as held.
    let order = buy("w8", 1, "r2", 10 * ALLO, "");
    let (sale, fee) = (sell("owner", 1, "r2", "", ""), order.fee);
    net.done(&[order, sale, dissolve("carol", 1)]);
    assert_eq!(net.balance("w8"), PURSE - fee);
    for (who, before) in holders.iter().zip(before).take(3) {
        assert!(net.balance(who) > before, "{who}");
    }
    assert!(net.subnets().subnets.is_empty() && net.holdings("r2").is_empty());
    // The root's stake stays.
    assert_eq!(net.balance_of(module()), 400 * ALLO);
    net.done(&[rules("carol", &[("network_rate_limit", "0")]), create_subnet("bob", "w1")]);
    assert_eq!(net.subnet(1).epochs, 0);
}

#[test]
fn a_full_network_replaces_the_cheapest_of_the_old_and_says_who_is_next() {
    let mut net = Net::new();
    net.done(&[
        create_subnet("alice", "r1"),
        rules("carol", &[("network_rate_limit", "0"), ("subnet_limit", "2")]),
    ]);
    net.done(&[create_subnet("bob", "w1")]);
    net.done(&[start("alice", 1)]);
    let full = net.refused(&create_subnet("owner", "w2"));
    assert!(full.code == 7 && full.log.contains("before block 1296001"), "{full:?}");
    net.done(&[rules("carol", &[("network_immunity", "3")])]);
    net.done(&[]);
    let (one, two) = (net.subnet(1), net.subnet(2));
    // Never started: its average is zero.
    assert_eq!((two.deregistration_rank, two.deregistration_of), (1, 2));
    assert_eq!((one.deregistration_rank, one.deregistration_of), (2, 2));
    assert_eq!(net.subnets().replaces, 2);
    net.done(&[create_subnet("owner", "w2")]);
    assert_eq!(net.subnet(2).owner, text("owner"));
    assert_eq!(net.subnets().subnets.len(), 2);
}

#[test]
fn epochs_beyond_the_cap_wait_for_the_next_block() {
    let mut net = Net::new();
    net.done(&[
        create_subnet("alice", "r1"),
        rules("carol", &[("network_rate_limit", "0"), ("network_min_lock", "1000000")]),
    ]);
    for (who, hotkey) in [("bob", "w1"), ("owner", "w2"), ("w3", "w3"), ("w4", "w4")] {
        net.done(&[create_subnet(who, hotkey)]);
    }
    // A new tempo begins its cycle at once: all five are due in the same block.
    let txs: Vec<Tx> = (1..=5).map(|netuid| hyper("carol", netuid, &[("tempo", "10")])).collect();
    net.done(&txs);
    let due = net.height + 10;
    net.wait_until(due - 1);
    let ran = |net: &Net| (1..=5).map(|netuid| net.subnet(netuid).epochs).collect::<Vec<_>>();
    let before = ran(&net);
    net.done(&[]);
    net.done(&[]);
    net.done(&[]);
    let after = ran(&net);
    assert!(before.iter().zip(&after).all(|(b, a)| *a == b + 1), "{before:?} {after:?}");
    assert_eq!(net.subnet(1).last_epoch, due);
    assert_eq!(net.subnet(3).last_epoch, due + 1);
    assert_eq!(net.subnet(5).last_epoch, due + 2);
}

#[test]
fn owners_wait_between_changes_and_before_epochs() {
    let mut net = Net::new();
    net.done(&[create_subnet("alice", "r1")]);
    net.done(&[hyper("alice", 1, &[("immunity_period", "7000"), ("tempo", "400")])]);
    let soon = net.refused(&hyper("alice", 1, &[("immunity_period", "6000")]));
    assert!(soon.code == 20 && soon.log.contains("again in block 802"), "{soon:?}");
    net.wait_until(395);
    let frozen = net.refused(&hyper("alice", 1, &[("min_burn", "600000")]));
    assert!(frozen.code == 29 && frozen.log.contains("block 402"), "{frozen:?}");
    net.wait_until(402);
    net.done(&[hyper("alice", 1, &[("min_burn", "600000")])]);
    // What admins set beyond the owner's bounds does not stand in the way of other changes.
    net.done(&[hyper("carol", 1, &[("tempo", "50")])]);
    net.done(&[hyper("alice", 1, &[("serving_rate_limit", "5")])]);
    assert_eq!(net.refused(&hyper("alice", 1, &[("tempo", "51")])).id(), ("subnets", 3));
}

#[test]
fn a_pool_emptied_to_its_floor_still_buys() {
    let mut net = Net::with_subnet();
    net.done(&[hyper("carol", 1, &[("emission_enabled", "false"), ("tempo", "5")])]);
    // The owner earns the cut of blocks without any stake, far more than the pool is worth after it sells.
    net.wait_until(net.height + 400);
    for _ in 0..3 {
        let all = net.held("alice", 1, "r1");
        assert!(all > 0);
        net.done(&[sell("alice", 1, "r1", "", "")]);
        net.wait_until(net.height + 100);
    }
    net.done(&[buy("bob", 1, "r1", 10 * ALLO, ""), sell("alice", 1, "r1", "", "")]);
    assert!(net.held("bob", 1, "r1") > 0);
}

#[test]
fn what_the_chain_pays_a_subnet_the_topics_do_not_get_twice() {
    let params = Params { fixed_emission: 8 * ALLO, ..Params::default() };
    let mut net = Net::of(&genesis(params), Signatures::Check);
    net.done(&[create_subnet("alice", "r1")]);
    net.done(&[start("alice", 1), hyper("carol", 1, &[("emission_enabled", "true")])]);
    net.done(&[]);
    net.done(&[]);
    let before: u64 = net.subnet(1).pool_tao.parse().unwrap();
    net.done(&[]);
    let after: u64 = net.subnet(1).pool_tao.parse().unwrap();
    // A quarter of three quarters of eight.
    assert_eq!(after - before, whole(3) / 2);
}

#[test]
fn lent_stake_counts_for_the_child_and_its_dividends_come_home() {
    let mut net = market();
    net.done(&[rules("carol", &[("children_wait", "15")])]);
    let half = u64::MAX / 2;
    for (tx, says) in [
        (children("r2", 1, "r2", &[(half, "r2")]), "another hotkey"),
        (children("r2", 1, "r2", &[(half, "r3"), (half, "r3")]), "another hotkey"),
        (children("r2", 1, "r2", &[(u64::MAX, "r3"), (1, "w1")]), "at most 2^64 - 1"),
        (children("r2", 1, "r2", &[(0, "r3")]), "above 0"),
        (children("r2", 1, "r2", &[(1, "w1"); 6]), "at most 5"),
    ] {
        let no = net.refused(&tx);
        assert!(no.code == 3 && no.log.contains(says), "{no:?} {says}");
    }
    assert_eq!(net.refused(&children("bob", 1, "r2", &[(half, "w1")])).id(), ("subnets", 8));
    net.done(&[children("r2", 1, "r2", &[(half, "r3")])]);
    let again = net.refused(&children("r2", 1, "r2", &[]));
    assert!(again.code == 20 && again.log.contains("again in block"), "{again:?}");
    let weight = |net: &Net, uid: usize| net.metagraph(1).neurons[uid].stake_weight.parse::<u64>().unwrap();
    let (two, three) = (weight(&net, 4), weight(&net, 5));
    assert_eq!(net.metagraph(1).neurons[4].children_pending.len(), 1);
    net.wait_until(net.height + 30);
    assert_eq!(net.metagraph(1).neurons[4].children.len(), 1);
    assert_eq!(net.metagraph(1).neurons[5].parents[0].hotkey, text("r2"));
    // Half of one's stake, growing meanwhile, is the other's.
    assert!(weight(&net, 4) < two && weight(&net, 5) > three);
    let circle = net.refused(&children("r3", 1, "r3", &[(1, "r2")]));
    assert!(circle.code == 3 && circle.log.contains("its parent already"), "{circle:?}");
    // The parent earns through its child, although its own weights stay away, less the child's take.
    net.done(&[child_take("r3", 1, "r3", 11_796), weights("r3", 1, &[(1, 9), (2, 9)])]);
    let before = net.held("r2", 1, "r2");
    net.wait_until(net.height + 30);
    assert!(net.held("r2", 1, "r2") > before);
    net.done(&[hyper("carol", 1, &[("tempo", "10")])]);
}

#[test]
fn an_owner_asks_for_an_epoch_before_its_time() {
    let mut net = Net::with_subnet();
    net.done(&[hyper("carol", 1, &[("tempo", "1000")])]);
    assert_eq!(net.refused(&trigger("bob", 1)).id(), ("subnets", 4));
    net.done(&[trigger("alice", 1)]);
    assert_eq!(net.subnet(1).next_epoch, net.height + 10);
    assert_eq!(net.refused(&trigger("alice", 1)).id(), ("subnets", 20));
    let epochs = net.subnet(1).epochs;
    net.wait_until(net.height + 10);
    assert_eq!(net.subnet(1).epochs, epochs + 1);
}
