//! Subnets under people who want more than they deserve, and at the edges of what can be counted.

use dodona_chain::{Params, Signatures};
use dodona_proto::{ALLO, Address, subnets::MsgMoveStake, tx::pack, url};

use crate::{kit::*, subnet_kit::*};

#[test]
fn ten_thousand_commits_by_one_key_leave_ten_and_cost_their_sender() {
    let mut net = market();
    net.done(&[hyper("carol", 1, &[("commit_reveal", "true"), ("tempo", "50")])]);
    net.next_epoch(1);
    let row = [(1, 1)];
    let (mut taken, mut refused) = (0, 0);
    let before = net.balance("r2");
    for _ in 0..20 {
        let flood: Vec<Tx> = (0..500).map(|_| commit("r2", 1, &row).gas(90_000)).collect();
        for receipt in net.block(&flood) {
            match receipt.code {
                0 => taken += 1,
                26 => refused += 1,
                other => panic!("{other}: {}", receipt.log),
            }
        }
    }
    assert_eq!((taken, refused), (10, 9_990));
    let waiting = &net.metagraph(1).neurons[4].commits;
    assert_eq!(waiting.len(), 10);
    let last = net.refused(&commit("r2", 1, &row));
    assert!(last.log.contains(&format!("after epoch {}", waiting[0].reveal_epoch)), "{}", last.log);
    assert!(before - net.balance("r2") >= 10_000 * 90_000 * 10, "each was paid for");
    // Others are not held up, epochs go on, and what nobody reveals is forgotten.
    net.done(&[commit("r3", 1, &row)]);
    for _ in 0..3 {
        net.next_epoch(1);
    }
    assert!(net.metagraph(1).neurons[4].commits.is_empty());
    net.done(&[commit("r2", 1, &row)]);
}

#[test]
fn a_subnet_with_thousands_of_holders_is_dissolved_to_the_unit() {
    const HOLDERS: u32 = 3_000;
    let mut net = market();
    net.done(&[hyper("carol", 1, &[("emission_enabled", "false")])]);
    let holder = |i: u32| {
        let mut bytes = [7; 20];
        bytes[..4].copy_from_slice(&i.to_be_bytes());
        Address(bytes)
    };
    let gift = |i: u32| {
        let message = MsgMoveStake {
            sender: text("r2"),
            hotkey: text("r2"),
            netuid: 1,
            amount: (1_000_000 + 1_000 * u64::from(i)).to_string(),
            to_hotkey: text("r2"),
            to_netuid: 1,
            to_coldkey: holder(i).to_string(),
            ..MsgMoveStake::default()
        };
        Tx::new("r2", vec![pack(url::MOVE_STAKE, &message)])
    };
    for first in (0..HOLDERS).step_by(600) {
        let txs: Vec<Tx> = (first..(first + 600).min(HOLDERS)).map(gift).collect();
        net.done(&txs);
    }
    let pot: u128 = net.subnet(1).pool_tao.parse().unwrap();
    let all = |net: &Net| (0..HOLDERS).map(|i| net.balance_of(holder(i))).collect::<Vec<u128>>();
    assert!(all(&net).iter().all(|balance| *balance == 0));
    let account = || Address::of_module("subnets");
    let before = net.balance_of(account());
    net.done(&[dissolve("carol", 1)]);
    assert_eq!(before - net.balance_of(account()), pot * UNIT, "the whole pool was paid out");
    let got = all(&net);
    assert!(got.iter().all(|balance| *balance > 0), "everybody had some");
    for (few, more) in [(0, 2_999), (10, 1_000)] {
        // By what they hold, to the rounding of a unit in a million.
        let (few_held, more_held) = (1_000 + few as u128, 1_000 + more as u128);
        let expected = got[few] * more_held / few_held;
        assert!(got[more].abs_diff(expected) <= expected / 100_000, "{} {expected}", got[more]);
    }
    assert!(net.subnets().subnets.is_empty());
}

#[test]
fn a_subnet_is_not_taken_by_stake_that_was_locked_a_moment_ago_or_speaks_twice() {
    let mut net = market();
    let set = [("ownership_age", "1"), ("maturity_rate", "100000"), ("ownership_part", "0")];
    net.done(&[rules("carol", &set), hyper("alice", 1, &[("owner_cut_auto_lock", "true")])]);
    // The owner holds a little, locked; somebody buys most of the token and locks all of it.
    net.done(&[buy("alice", 1, "r1", 100 * ALLO, ""), buy("r7", 1, "r3", 20_000 * ALLO, "")]);
    let (own, much) = (net.held("alice", 1, "r1"), net.held("r7", 1, "r3"));
    assert!(much > 10 * own, "{much} {own}");
    net.done(&[lock("alice", 1, "r1", own - own / 50, true), lock("r7", 1, "w3", much, true)]);
    for _ in 0..3 {
        net.next_epoch(1);
        assert_eq!(net.subnet(1).owner, text("alice"));
    }
    // Moved to and fro it does not count twice, and begins anew.
    net.done(&[move_lock("r7", 1, "r3"), lock("r7", 1, "r3", 0, false)]);
    net.done(&[move_lock("r7", 1, "w3")]);
    let standings = net.locks(1, "").standings;
    assert_eq!(standings[0].hotkey, text("r1"), "{standings:?}");
    let all: u64 = standings.iter().map(|s| s.mass.parse::<u64>().unwrap()).sum();
    assert!(all <= much + net.held("alice", 1, "r1"), "{standings:?}");
    // It cannot be sold meanwhile, split over accounts, or brought into another subnet.
    for tx in [
        sell("r7", 1, "r3", "", ""),
        move_stake("r7", (1, "r3"), "", (1, "r3", "r6")),
        move_stake("r7", (1, "r3"), "", (0, "r3", "")),
    ] {
        assert_eq!(net.refused(&tx).id(), ("subnets", 40));
    }
    net.next_epoch(1);
    assert_eq!(net.subnet(1).owner, text("alice"));
    // A hotkey that has lost its uid is not heard any more.
    let set = [
        ("max_uids", "6"),
        ("max_validators", "6"),
        ("min_non_immune", "0"),
        ("immunity_period", "0"),
        ("tempo", "5000"),
    ];
    net.done(&[hyper("carol", 1, &set), rules("carol", &[("maturity_rate", "1")])]);
    net.wait_until(net.height + 50);
    assert_eq!(net.locks(1, "").standings[0].hotkey, text("w3"), "by now it would");
    let mut newcomers = (10..20).map(|i| format!("w{i}"));
    while net.metagraph(1).neurons.iter().any(|n| n.hotkey == text("w3")) {
        net.done(&[neuron("bob", 1, &newcomers.next().unwrap())]);
    }
    net.done(&[hyper("carol", 1, &[("tempo", "10")])]);
    net.next_epoch(1);
    assert_eq!(net.subnet(1).owner, text("alice"));
}

#[test]
fn nobody_is_paid_for_its_own_word_but_the_owner() {
    let mut net = market();
    net.done(&[buy("r7", 1, "r3", 300 * ALLO, "")]);
    net.next_epoch(1);
    // A third of the stake says that it is the best miner itself.
    net.done(&[weights("r2", 1, &[(4, 65_535)]), weights("r3", 1, &[(1, 65_535)])]);
    net.next_epoch(1);
    net.next_epoch(1);
    let neurons = net.metagraph(1).neurons;
    assert_eq!(neurons[4].incentive, 0, "{neurons:?}");
    assert!(neurons[1].incentive > 0 && neurons[4].dividends < neurons[5].dividends);
}

#[test]
fn weights_from_before_a_registration_pay_the_one_who_left_nothing_and_the_newcomer_nothing() {
    let mut net = market();
    net.next_epoch(1);
    let row = [(1, 60_000), (2, 30_000), (3, 10_000)];
    net.done(&[weights("r2", 1, &row), weights("r3", 1, &row)]);
    net.next_epoch(1);
    let set = [("max_uids", "6"), ("max_validators", "6"), ("immunity_period", "0"), ("min_non_immune", "0")];
    net.done(&[hyper("carol", 1, &set)]);
    net.next_epoch(1);
    assert!(net.metagraph(1).neurons[3].incentive > 0);
    // Validators earn more than the weakest miner.
    net.done(&[neuron("w9", 1, "w9")]);
    let neurons = net.metagraph(1).neurons;
    let uid = neurons.iter().position(|neuron| neuron.hotkey == text("w9")).unwrap();
    assert_eq!(uid, 3, "the weakest made room");
    assert!(neurons[4].weights.iter().any(|weight| weight.uid == 3), "the old word is still there");
    let gone = net.held("bob", 1, "w3");
    net.next_epoch(1);
    net.next_epoch(1);
    let newcomer = &net.metagraph(1).neurons[uid];
    assert_eq!((newcomer.incentive, newcomer.emission.as_str()), (0, "0"));
    assert_eq!(net.held("w9", 1, "w9"), 0);
    assert_eq!(net.held("bob", 1, "w3"), gone);
    net.done(&[weights("r2", 1, &row), weights("r3", 1, &row)]);
    net.next_epoch(1);
    assert!(net.held("w9", 1, "w9") > 0, "what is said of it now counts");
}

#[test]
fn more_than_there_can_be_is_refused_and_the_whole_supply_can_be_staked() {
    let params = Params { fixed_emission: 5 * ALLO, ..Params::default() };
    let supply = params.max_supply;
    let mut genesis = genesis(params);
    let others: u128 = genesis.accounts.iter().map(|account| account.balance).sum();
    // Room for the validators' stake and what is minted.
    genesis.accounts[1].balance += supply - others - 1_000_000 * ALLO;
    let mut net = Net::of(&genesis, Signatures::Check);
    net.done(&[create_subnet("alice", "r1"), rules("carol", &[("network_rate_limit", "1")])]);
    net.done(&[start("alice", 1), hyper("carol", 1, &[("tempo", "10"), ("emission_enabled", "true")])]);
    for amount in [u128::MAX, u128::from(u64::MAX) * UNIT + UNIT] {
        let no = net.refused(&buy("bob", 1, "r1", amount, ""));
        assert!([("subnets", 3), ("sdk", 5)].contains(&no.id()), "{no:?}");
    }
    let rich = net.balance("bob");
    // Half at the root, half for the subnet's token: far beyond what its pool can sell; the rest comes back.
    net.done(&[buy("bob", 0, "r1", rich / 2, ""), buy("bob", 1, "r1", rich / 3, "")]);
    assert_eq!(u128::from(net.held("bob", 0, "r1")), rich / 2 / UNIT);
    for _ in 0..30 {
        net.done(&[buy("bob", 1, "r1", ALLO, "")]);
    }
    net.done(&[sell_all("bob", "r1", false)]);
    net.done(&[]);
    assert!(net.holdings("bob").iter().all(|row| row.netuid != 0), "{:?}", net.holdings("bob"));
}

#[test]
fn a_storm_of_epochs_in_one_block_is_worked_off_in_order_and_none_is_lost() {
    let mut net = Net::new();
    net.done(&[rules(
        "carol",
        &[("network_rate_limit", "0"), ("network_min_lock", "1000000"), ("lock_reduction_interval", "1")],
    )]);
    let owners: Vec<String> = (1..=20).map(|i| format!("w{i}")).collect();
    for owner in &owners {
        net.done(&[create_subnet(owner, owner)]);
    }
    let storm: Vec<Tx> = (1..=20).map(|netuid| hyper("carol", netuid, &[("tempo", "40")])).collect();
    net.done(&storm);
    let due = net.height + 40;
    let before: Vec<u64> = (1..=20).map(|netuid| net.subnet(netuid).epochs).collect();
    net.wait_until(due - 1);
    for block in 0..10 {
        net.done(&[]);
        for netuid in 1..=20u64 {
            let ran = net.subnet(netuid as u32).epochs - before[netuid as usize - 1];
            assert_eq!(ran, u64::from((netuid - 1) / 2 <= block), "subnet {netuid} after {block}");
        }
    }
}
