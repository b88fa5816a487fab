//! Staking, as wallets and validators meet it: delegations and what they earn, sets that follow tokens, absence and
//! misbehaviour and their price.

use dodona_chain::{BlockInput, Event, Genesis, Signatures, staking::state::Status};
use dodona_proto::{ALLO, Address, cosmos::staking::v1beta1::MsgCreateValidator, tx::pack, url};
use prost::Message;

use super::{kit::*, staking_kit::*};

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|e| e.kind.as_str()).collect()
}

fn attribute<'a>(events: &'a [Event], kind: &str, name: &str) -> &'a str {
    let event = events.iter().find(|e| e.kind == kind).unwrap_or_else(|| panic!("no {kind}"));
    &event.attributes.iter().find(|(key, _)| key == name).unwrap().1
}

fn ecosystem(net: &Net) -> u128 {
    net.balance_of(Address::of_module("ecosystem"))
}

/// A chain with short waits and without emission, so that only fees are earned.
fn quiet() -> Net {
    Net::with(|params| {
        short(params);
        params.emission_enabled = false;
    })
}

#[test]
fn a_power_of_genesis_is_a_delegation_of_its_operator() {
    let net = Net::staking();
    for (name, power, place) in [("v1", 3, 2), ("v2", 1, 1)] {
        let v = net.validator(name);
        assert_eq!((v.tokens, v.shares, v.status), (power * ALLO, power * ALLO, Status::Bonded));
        assert_eq!(net.worth(name, name), power * ALLO);
        let words = dodona_chain::staking::state::TEXTS.get(&net.read(), &address(name).0).unwrap().unwrap();
        assert_eq!(words.moniker, format!("validator-{place}"));
    }
    assert_eq!(net.balance_of(Address::of_module("bonded_tokens_pool")), BONDED);
    assert_eq!(net.set(&["v1", "v2"]), [("v1", 3), ("v2", 1)]);
}

#[test]
fn a_genesis_may_name_validators_and_their_commission() {
    let mut document: serde_json::Value =
        serde_json::from_str(&genesis(Default::default()).to_json()).unwrap();
    document["validators"][0]["moniker"] = "Delphi".into();
    document["validators"][0]["commission"] =
        serde_json::json!({ "rate": "0", "max_rate": "1", "max_change_rate": "0.5" });
    let genesis = Genesis::from_json(document.to_string().as_bytes()).unwrap();
    assert_eq!(Genesis::from_json(genesis.to_json().as_bytes()).unwrap().to_json(), genesis.to_json());
    let net = Net::of(&genesis, Signatures::Check);
    assert_eq!(net.validator("v1").commission.rate.to_string(), "0");
    assert_eq!(net.validator("v2").commission.rate.to_string(), "0.1");
}

#[test]
fn more_validators_in_a_genesis_than_may_decide_wait_for_their_turn() {
    let net = Net::with(|p| p.max_validators = 1);
    assert_eq!(net.set(&["v1", "v2"]), [("v1", 3)]);
    assert_eq!(net.validator("v2").status, Status::Unbonded);
}

#[test]
fn a_delegation_weighs_from_the_next_set_on_and_sets_of_the_past_are_remembered() {
    let mut net = Net::staking();
    let receipts = net.done(&[bond("alice", "v2", 5 * ALLO + 7)]);
    assert_eq!(attribute(&receipts[0].events, "delegate", "amount"), format!("{}uallo", 5 * ALLO + 7));
    assert_eq!(net.worth("alice", "v2"), 5 * ALLO + 7);
    assert_eq!(net.set(&["v1", "v2"]), [("v1", 3), ("v2", 1)]);
    net.wait_until(EPOCH - 1);
    assert_eq!(net.set(&["v2"]), [("v2", 1)]);
    net.wait_until(EPOCH);
    assert_eq!(net.set(&["v1", "v2"]), [("v1", 3), ("v2", 6)]);
    net.block(&[]);
    let power_at = |net: &Net, height| {
        let set = net.app.validators_of(height).unwrap()?;
        Some(set.iter().map(|v| v.power).sum::<u64>())
    };
    for (height, power) in [
        (0, None),
        (1, Some(4)),
        (EPOCH, Some(4)),
        (EPOCH + 1, Some(9)),
        (EPOCH + 2, Some(9)),
        (EPOCH + 3, None),
    ] {
        assert_eq!(power_at(&net, height), power, "height {height}");
    }
    // An unbonding time after the end of its epoch a height is forgotten.
    net.wait_until(3 * EPOCH);
    assert_eq!(power_at(&net, EPOCH), Some(4));
    net.block(&[]);
    assert_eq!(power_at(&net, EPOCH), None);
    assert_eq!(power_at(&net, EPOCH + 1), Some(9));
}

#[test]
fn what_is_undelegated_arrives_after_the_unbonding_time_to_the_unit() {
    let mut net = quiet();
    net.done(&[bond("alice", "v1", 10 * ALLO)]);
    net.next_set();
    let receipts = net.done(&[unbond("alice", "v1", 4 * ALLO + 1).and(unbond("alice", "v1", ALLO))]);
    let asked = net.height;
    assert_eq!(attribute(&receipts[0].events, "unbond", "completion_time"), "1970-01-01T00:00:17Z");
    let waiting = net.unbondings("alice", "v1");
    assert_eq!(waiting.len(), 1, "asked for twice in a block is one wait");
    assert_eq!((waiting[0].created, waiting[0].balance), (asked, 5 * ALLO + 1));
    assert_eq!(net.worth("alice", "v1"), 5 * ALLO - 1);
    let before = net.balance("alice");
    net.wait_until(asked + UNBONDING / 1_000 - 1);
    assert_eq!((net.balance("alice"), net.unbondings("alice", "v1").len()), (before, 1));
    let last = net.signed_block(&[], None, &[]).unwrap();
    assert_eq!(net.balance("alice"), before + 5 * ALLO + 1);
    assert!(kinds(&last.events).contains(&"complete_unbonding"));
    assert!(net.unbondings("alice", "v1").is_empty());
    // So many at once, and no more.
    for _ in 0..3 {
        net.done(&[unbond("alice", "v1", 1)]);
    }
    assert_eq!(net.refused(&unbond("alice", "v1", 1)).id(), ("staking", 27));
    // Everything, to the last share.
    net.wait_until(net.height + 12);
    net.done(&[unbond("alice", "v1", net.worth("alice", "v1"))]);
    assert!(net.delegation("alice", "v1").is_none());
    assert_eq!(net.validator("v1").shares, 3 * ALLO);
}

#[test]
fn an_unbonding_can_be_taken_back_in_part_and_whole() {
    let mut net = quiet();
    net.done(&[bond("alice", "v1", 10 * ALLO)]);
    net.next_set();
    net.done(&[unbond("alice", "v1", 6 * ALLO)]);
    let asked = net.height;
    net.done(&[cancel("alice", "v1", 2 * ALLO, asked)]);
    assert_eq!(net.worth("alice", "v1"), 6 * ALLO);
    assert_eq!(net.unbondings("alice", "v1")[0].balance, 4 * ALLO);
    assert_eq!(net.refused(&cancel("alice", "v1", 4 * ALLO + 1, asked)).id(), ("staking", 26));
    assert_eq!(net.refused(&cancel("alice", "v1", ALLO, asked + 1)).id(), ("staking", 26));
    net.done(&[cancel("alice", "v1", 4 * ALLO, asked)]);
    assert_eq!((net.worth("alice", "v1"), net.unbondings("alice", "v1").len()), (10 * ALLO, 0));
}

#[test]
fn a_blocks_income_is_divided_by_power_and_shares_to_the_unit() {
    let mut net = quiet();
    net.done(&[bond("alice", "v1", 6 * ALLO)]);
    net.next_set();
    // Powers 9 and 1; of v1's part a tenth is commission, and alice has two thirds of the rest.
    let before = (net.rewards("v1"), net.rewards("v2"), net.owed("alice", "v1"), net.owed("v1", "v1"));
    let tx = Tx { fee: 100_000_007, ..send("bob", "carol", 1) };
    let fee = tx.fee;
    net.done(&[tx]);
    let (one, two) = (net.rewards("v1"), net.rewards("v2"));
    let all = |r: dodona_chain::staking::state::Rewards| r.commission + r.outstanding;
    assert_eq!(all(one) + all(two), all(before.0) + all(before.1) + fee);
    let part = all(one) - all(before.0);
    assert!(part.abs_diff(fee * 9 / 10) <= 1, "{part} of {fee}");
    assert_eq!(one.commission - before.0.commission, part / 10);
    let shared = part - part / 10;
    let (alice, own) = (net.owed("alice", "v1") - before.2, net.owed("v1", "v1") - before.3);
    assert!(
        alice.abs_diff(shared * 2 / 3) <= 1 && own.abs_diff(shared / 3) <= 1,
        "{alice} {own} of {shared}"
    );
    // Collecting pays exactly that.
    let (owed, purse) = (net.owed("alice", "v1"), net.balance("alice"));
    let tx = collect("alice", "v1");
    let fee = tx.fee;
    let receipts = net.done(&[tx]);
    assert_eq!(net.balance("alice"), purse + owed - fee);
    assert_eq!(attribute(&receipts[0].events, "withdraw_rewards", "amount"), format!("{owed}uallo"));
    // And whatever changes a delegation pays too, to whomever the delegator names.
    net.done(&[pay_to("alice", "dora")]);
    let owed = net.owed("alice", "v1");
    assert!(owed > 0);
    net.done(&[bond("alice", "v1", 1)]);
    assert_eq!(net.balance("dora"), owed);
    net.done(&[unbond("alice", "v1", 1)]);
    assert!(net.balance("dora") > owed);
    // The operator collects its commission once.
    net.done(&[send("bob", "v1", ALLO)]);
    let (commission, purse) = (net.rewards("v1").commission, net.balance("v1"));
    let tx = collect_commission("v1");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("v1"), purse + commission - fee);
    net.done(&[pay_to("v1", "v1")]);
}

#[test]
fn only_those_who_signed_share_a_blocks_income() {
    let mut net = quiet();
    net.block(&[]);
    let before = (net.earned("v1"), net.earned("v2"));
    let fee = send("bob", "carol", 1).fee;
    net.signed_block(&[send("bob", "carol", 1)], Some(&["v2"]), &[]).unwrap();
    assert_eq!((net.earned("v1"), net.earned("v2")), (before.0, before.1 + fee));
    net.signed_block(&[send("bob", "carol", 1)], Some(&["v1"]), &[]).unwrap();
    assert_eq!((net.earned("v1"), net.earned("v2")), (before.0 + fee, before.1 + fee));
}

#[test]
fn the_set_is_those_with_most_tokens_and_changes_whole() {
    let mut net = Net::with(|params| {
        short(params);
        params.max_validators = 2;
    });
    let all = ["v1", "v2", "w1", "w2", "w3"];
    net.done(&[found("w1", 5 * ALLO), found("w2", 2 * ALLO), found("w3", 9 * ALLO)]);
    assert_eq!(net.set(&all), [("v1", 3), ("v2", 1)]);
    net.next_set();
    assert_eq!(net.set(&all), [("w1", 5), ("w3", 9)], "rotated completely");
    for (name, status) in [
        ("v1", Status::Unbonding),
        ("v2", Status::Unbonding),
        ("w2", Status::Unbonded),
        ("w3", Status::Bonded),
    ] {
        assert_eq!(net.validator(name).status, status, "{name}");
    }
    // What leaves a validator that is out of the set for long need not wait; of one that left lately it waits with it.
    net.done(&[unbond("w2", "w2", ALLO)]);
    assert!(net.unbondings("w2", "w2").is_empty());
    net.done(&[send("bob", "v1", ALLO), send("bob", "v2", ALLO)]);
    net.done(&[unbond("v2", "v2", ALLO)]);
    assert_eq!(net.unbondings("v2", "v2")[0].until, net.validator("v2").unbonded_ms);
    net.wait_until(EPOCH + UNBONDING / 1_000 + 1);
    assert!(net.maybe("v2").is_none(), "nobody's validators are gone");
    assert_eq!(net.validator("v1").status, Status::Unbonded);
    // It comes back with more.
    net.done(&[bond("bob", "v1", 20 * ALLO)]);
    net.next_set();
    assert_eq!(net.set(&all), [("v1", 23), ("w3", 9)]);
}

#[test]
fn the_set_is_never_empty() {
    let mut net = Net::staking();
    net.done(&[send("bob", "v1", ALLO), send("bob", "v2", ALLO)]);
    net.done(&[unbond("v1", "v1", 3 * ALLO), unbond("v2", "v2", ALLO)]);
    assert!(net.validator("v1").jailed && net.validator("v2").jailed, "nobody backs them any more");
    net.wait_until(4 * EPOCH);
    assert_eq!(net.set(&["v1", "v2"]).len(), 2);
    // The first who can takes over at once.
    net.done(&[found("w1", ALLO)]);
    assert_eq!(net.set(&["v1", "v2", "w1"]), [("w1", 1)]);
    net.wait_until(8 * EPOCH);
    assert!(net.maybe("v1").is_none() && net.maybe("v2").is_none());
    // Their keys are free again.
    let again = MsgCreateValidator { pubkey: creation("v1", ALLO).pubkey, ..creation("alice", ALLO) };
    net.done(&[Tx::new("alice", vec![pack(url::CREATE_VALIDATOR, &again)])]);
}

#[test]
fn whoever_misses_too_many_blocks_is_jailed_slashed_and_may_come_back() {
    let mut net = quiet();
    net.done(&[bond("alice", "v2", 10_000 * ALLO)]);
    net.next_set();
    let staked = net.validator("v2").tokens;
    let before = ecosystem(&net);
    let mut jailed_at = 0;
    let mut told = Vec::new();
    for _ in 0..9 {
        let block = net.signed_block(&[], Some(&["v1"]), &[]).unwrap();
        told = block.events;
        if net.validator("v2").jailed {
            jailed_at = net.height;
            break;
        }
    }
    // Half of the window of eight may be missed, and nobody is judged before a whole window.
    assert_eq!(jailed_at, EPOCH + 8, "{}", net.missed("v2"));
    assert_eq!(kinds(&told)[..3], ["liveness", "jail", "slash"]);
    let slash = staked / 10_000;
    assert_eq!(net.validator("v2").tokens, staked - slash);
    assert_eq!(ecosystem(&net), before + slash, "nothing is destroyed");
    assert_eq!(net.set(&["v1", "v2"]), [("v1", 3)], "out with the next block");
    assert_eq!(net.worth("alice", "v2"), 10_000 * ALLO - ALLO);
    assert_eq!(net.refusal_of(&bond("alice", "v2", 1)), None, "who believes in it may back it");
}

#[test]
fn jail_ends_on_request_after_its_time() {
    let mut net = quiet();
    net.done(&[found("w1", ALLO)]);
    net.next_set();
    while !net.validator("w1").jailed {
        net.signed_block(&[], Some(&["v1", "v2"]), &[]).unwrap();
    }
    assert_eq!(net.refused(&unjail("bob")).id(), ("slashing", 2));
    assert_eq!(net.refused(&unjail("w1")).id(), ("slashing", 7), "it was slashed below what it promised");
    net.done(&[bond("w1", "w1", ALLO / 2)]);
    assert_eq!(net.refused(&unjail("w1")).id(), ("slashing", 4));
    net.wait_until(net.height + 2);
    net.done(&[unjail("w1")]);
    assert_eq!(net.refused(&unjail("w1")).id(), ("slashing", 5));
    net.next_set();
    assert_eq!(net.set(&["w1"]), [("w1", 1)]);
    // What it missed before counts no more. The first block still carries signatures of the set before.
    for block in 1..=8 {
        let outcome = net.signed_block(&[], Some(&["v1", "v2"]), &[]).unwrap();
        assert!(outcome.receipts.is_empty());
        let expected = if block == 8 { (0, true) } else { (block - 1, false) };
        assert_eq!((net.missed("w1"), net.validator("w1").jailed), expected, "block {block}");
    }
}

#[test]
fn present_validators_forget_what_they_once_missed() {
    let mut net = quiet();
    net.block(&[]);
    for round in 0..40 {
        // Every second block is missed: exactly what is allowed.
        let signed: &[&str] = if round % 2 == 0 { &["v1"] } else { &["v1", "v2"] };
        net.signed_block(&[], Some(signed), &[]).unwrap();
        assert!(net.missed("v2") <= 4);
    }
    assert!(!net.validator("v2").jailed);
    for _ in 0..8 {
        net.signed_block(&[], Some(&["v1", "v2"]), &[]).unwrap();
    }
    assert_eq!(net.missed("v2"), 0);
}

#[test]
fn a_lone_validator_in_jail_goes_on_until_somebody_takes_over() {
    let mut net = quiet();
    net.next_set();
    for _ in 0..10 {
        net.signed_block(&[], Some(&[]), &[]).unwrap();
    }
    assert!(net.validator("v1").jailed && net.validator("v2").jailed);
    assert_eq!(net.set(&["v1", "v2"]).len(), 2);
    net.done(&[found("w1", ALLO)]);
    assert_eq!(net.set(&["v1", "v2", "w1"]), [("w1", 1)]);
}

#[test]
fn two_signatures_cost_a_twentieth_of_all_that_stood_behind_them() {
    let mut net = quiet();
    net.done(&[
        bond("alice", "v2", 100 * ALLO),
        bond("bob", "v2", 100 * ALLO),
        bond("carol", "v2", 100 * ALLO),
    ]);
    // Before the fault, and no weight in its set any more: out of reach.
    net.done(&[unbond("carol", "v2", 20 * ALLO)]);
    net.next_set();
    let at = net.height + 1;
    net.done(&[unbond("alice", "v2", 40 * ALLO), shift("bob", "v2", "v1", 60 * ALLO)]);
    net.done(&[unbond("bob", "v1", 59 * ALLO)]);
    let fault = fault("v2", at);
    assert!(net.app.punishable(&fault).unwrap());
    let before = (ecosystem(&net), net.validator("v2").tokens);
    let block = net.signed_block(&[], None, &[fault]).unwrap();
    let v2 = net.validator("v2");
    assert!(v2.jailed && v2.tombstoned);
    assert_eq!(v2.tokens, before.1 - before.1 / 20);
    assert_eq!(net.unbondings("alice", "v2")[0].balance, 38 * ALLO);
    assert_eq!(net.unbondings("carol", "v2")[0].balance, 20 * ALLO);
    // Three ALLO of bob's sixty, one of them from what stayed with v1, two from what was leaving it.
    assert_eq!((net.worth("bob", "v1"), net.unbondings("bob", "v1")[0].balance), (0, 57 * ALLO));
    let taken = before.1 / 20 + 2 * ALLO + 3 * ALLO;
    assert_eq!(ecosystem(&net), before.0 + taken);
    assert_eq!(attribute(&block.events, "slash", "reason"), "double_sign");
    assert_eq!(attribute(&block.events, "slash", "burned_coins"), format!("{taken}uallo"));
    assert_eq!(net.set(&["v1", "v2"]).len(), 1);
    // Once is for ever, and only once.
    assert!(!net.app.punishable(&fault).unwrap());
    net.wait_until(net.height + 5);
    net.done(&[send("bob", "v2", ALLO)]);
    assert_eq!(net.refused(&unjail("v2")).id(), ("slashing", 4));
    let invalid = net.signed_block(&[], None, &[fault]).err().unwrap();
    assert!(invalid.cause.contains("cannot be punished"), "{invalid}");
}

#[test]
fn a_punishment_of_more_than_a_block_can_bear_goes_on_in_the_next_and_nobody_escapes_it() {
    // Thousands of delegators, each on its way out and about to arrive.
    let names: Vec<String> = (0..1_500).map(|i| format!("d{i}")).collect();
    let mut genesis = genesis(dodona_chain::Params { emission_enabled: false, ..Default::default() });
    short(&mut genesis.params);
    genesis
        .accounts
        .extend(names.iter().map(|n| dodona_chain::GenesisAccount { address: text(n), balance: 10 * ALLO }));
    let mut net = Net::of(&genesis, Signatures::Trust);
    net.done(&names.iter().map(|n| bond(n, "v2", 2 * ALLO)).collect::<Vec<_>>());
    net.next_set();
    let at = net.height + 1;
    let leave = |n: &String| unbond(n, "v2", ALLO).and(shift(n, "v2", "v1", ALLO));
    net.done(&names.iter().map(leave).collect::<Vec<_>>());
    net.wait_until(at + UNBONDING / 1_000 - 2);
    let before = ecosystem(&net);
    let own = net.validator("v2").tokens / 20;
    net.signed_block(&[], None, &[fault("v2", at)]).unwrap();
    let done = |net: &Net| (ecosystem(net) - before - own) / (ALLO / 20);
    assert_eq!(done(&net), 1_000);
    net.block(&[]);
    assert_eq!((net.height, done(&net)), (at + UNBONDING / 1_000, 2_000), "they would have arrived now");
    net.block(&[]);
    assert_eq!(done(&net), 3_000);
    net.block(&[]);
    for name in ["d0", "d777", "d1499"] {
        // Fees and rewards are far below a millionth.
        let has = net.balance(name);
        assert!(has.abs_diff(9 * ALLO - ALLO / 20) < ALLO / 1_000_000, "{name} {has}");
        assert_eq!(net.worth(name, "v1"), ALLO - ALLO / 20);
        assert!(net.unbondings(name, "v2").is_empty());
    }
}

#[test]
fn misbehaviour_that_cannot_be_punished_makes_a_block_invalid_and_is_left_out_by_proposers() {
    let mut net = quiet();
    net.wait_until(2 * EPOCH);
    let twice = [fault("v2", 3), fault("v2", 4)];
    let good = fault("v1", 2);
    for (bad, why) in [
        (vec![fault("w1", 3)], "not of the set"),
        (vec![fault("v2", 0)], "no height"),
        (vec![fault("v2", net.height + 2)], "of the future"),
        (twice.to_vec(), "once is enough"),
    ] {
        assert!(net.signed_block(&[], None, &bad).is_err(), "{why}");
        let mut faults = bad.clone();
        faults.push(good);
        let input = BlockInput { faults: &faults, ..BlockInput::of(net.height + 1, 1_000_000, &[]) };
        let (executed, _) = net.app.propose(&input).unwrap();
        assert!(executed.faults.contains(&good) && executed.faults.len() < faults.len(), "{why}");
    }
    // Too old an unbonding time after the end of its set epoch.
    let old = fault("v2", EPOCH);
    net.wait_until(3 * EPOCH);
    assert!(net.app.punishable(&old).unwrap());
    net.block(&[]);
    assert!(!net.app.punishable(&old).unwrap());
    assert!(net.app.punishable(&fault("v2", EPOCH + 1)).unwrap());
}

#[test]
fn a_redelegation_moves_at_once_and_cannot_hop_on() {
    let mut net = quiet();
    net.done(&[found("w1", 2 * ALLO), found("w2", 2 * ALLO)]);
    net.done(&[bond("alice", "v1", 10 * ALLO)]);
    net.next_set();
    net.done(&[shift("alice", "v1", "w1", 4 * ALLO)]);
    let moved = net.height;
    assert_eq!((net.worth("alice", "v1"), net.worth("alice", "w1")), (6 * ALLO, 4 * ALLO));
    assert_eq!(net.refused(&shift("alice", "w1", "w2", 1)).id(), ("staking", 32));
    assert_eq!(net.refused(&shift("alice", "v1", "v1", 1)).id(), ("staking", 29));
    assert_eq!(net.refused(&shift("alice", "v1", "w2", 7 * ALLO)).id(), ("staking", 24));
    assert_eq!(net.refused(&shift("bob", "v1", "w2", 1)).id(), ("staking", 19));
    for _ in 0..2 {
        net.done(&[shift("alice", "v1", "w1", 1)]);
    }
    assert_eq!(net.refused(&shift("alice", "v1", "w1", 1)).id(), ("staking", 33));
    net.wait_until(moved + UNBONDING / 1_000 - 1);
    assert_eq!(net.redelegations("alice", "v1", "w1"), 3);
    net.wait_until(moved + UNBONDING / 1_000 + 2);
    assert_eq!(net.redelegations("alice", "v1", "w1"), 0);
    net.done(&[shift("alice", "w1", "w2", 4 * ALLO)]);
}

#[test]
fn who_cannot_be_a_validator_is_told_why() {
    let net = Net::staking();
    let with = |change: &dyn Fn(&mut MsgCreateValidator)| {
        let mut message = creation("w1", 2 * ALLO);
        change(&mut message);
        net.refused(&Tx::new("w1", vec![pack(url::CREATE_VALIDATOR, &message)]))
    };
    type Change = Box<dyn Fn(&mut MsgCreateValidator)>;
    let rates = |rate: u128, max: u128, change: u128| -> Change {
        Box::new(move |m| {
            let c = m.commission.as_mut().unwrap();
            c.rate = (rate * PERCENT).to_string();
            c.max_rate = (max * PERCENT).to_string();
            c.max_change_rate = (change * PERCENT).to_string();
        })
    };
    let cases: Vec<(Change, (&str, u32))> = vec![
        (Box::new(|m| m.pubkey = creation("v1", 1).pubkey), ("staking", 5)),
        (Box::new(|m| m.pubkey = None), ("staking", 6)),
        (Box::new(|m| m.pubkey.as_mut().unwrap().type_url = url::SECP256K1.into()), ("staking", 6)),
        (Box::new(|m| m.pubkey.as_mut().unwrap().value.truncate(20)), ("staking", 6)),
        (Box::new(|m| m.commission = None), ("staking", 9)),
        (Box::new(|m| m.commission.as_mut().unwrap().rate = "0.1".into()), ("staking", 9)),
        (rates(10, 101, 1), ("staking", 10)),
        (rates(30, 20, 1), ("staking", 11)),
        (rates(10, 20, 21), ("staking", 14)),
        (Box::new(|m| m.min_self_delegation = "0".into()), ("staking", 100)),
        (Box::new(|m| m.min_self_delegation = (3 * ALLO).to_string()), ("staking", 16)),
        (Box::new(|m| m.description = None), ("staking", 100)),
        (Box::new(|m| m.description.as_mut().unwrap().details = "x".repeat(281)), ("staking", 100)),
        (Box::new(|m| m.delegator_address = text("bob")), ("staking", 100)),
        (Box::new(|m| m.value = coin(0)), ("sdk", 10)),
        (Box::new(|m| m.value = None), ("sdk", 10)),
        (Box::new(|m| m.value = coin(PURSE * 2)), ("sdk", 5)),
        (Box::new(|m| m.validator_address = text("w1")), ("sdk", 4)),
        (Box::new(|m| m.validator_address = operator("bob")), ("sdk", 4)),
    ];
    for (place, (change, id)) in cases.into_iter().enumerate() {
        let no = with(&*change);
        assert_eq!(no.id(), id, "case {place}: {}", no.log);
    }
    let mut net = net;
    net.done(&[found("w1", 2 * ALLO)]);
    assert_eq!(net.refused(&found("w1", 2 * ALLO)).id(), ("staking", 4));
}

#[test]
fn a_commission_changes_once_a_day_and_within_its_bounds() {
    let mut net = quiet();
    net.done(&[found("w1", 3 * ALLO)]);
    let day = (11 * PERCENT).to_string();
    assert_eq!(net.refused(&edit("w1", &day, "")).id(), ("staking", 12));
    assert_eq!(net.refused(&edit("bob", "", "")).id(), ("staking", 3));
    net.done(&[edit("w1", "", "")]);
    let words = dodona_chain::staking::state::TEXTS.get(&net.read(), &address("w1").0).unwrap().unwrap();
    assert_eq!((words.moniker.as_str(), words.details.as_str()), ("w1", "new"));
    assert_eq!(net.refused(&edit("w1", "", &ALLO.to_string())).id(), ("staking", 17));
    assert_eq!(net.refused(&edit("w1", "", &(4 * ALLO).to_string())).id(), ("staking", 16));
    net.done(&[edit("w1", "", &(2 * ALLO).to_string())]);
    // A day later, in one block.
    let height = net.height + 1;
    let executed = net.app.execute(&BlockInput::of(height, 86_400_000 + 100_000, &[])).unwrap().unwrap();
    net.commit(executed);
    assert_eq!(net.refusal_of(&edit("w1", &(16 * PERCENT).to_string(), "")), Some(15));
    assert_eq!(net.refusal_of(&edit("w1", &(51 * PERCENT).to_string(), "")), Some(11));
    let bytes = net.sign(&[edit("w1", &(15 * PERCENT).to_string(), "")]);
    let input = BlockInput::of(net.height + 1, 86_400_000 + 101_000, &bytes);
    let executed = net.app.execute(&input).unwrap().unwrap();
    assert_eq!(net.commit(executed)[0].code, 0);
    assert_eq!(net.validator("w1").commission.rate.to_string(), "0.15");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_numbers_wallets_know() {
    let mut net = quiet();
    net.done(&[bond("alice", "v1", ALLO)]);
    for (tx, id) in [
        (bond("alice", "bob", 1), ("staking", 3)),
        (bond("alice", "v1", 0), ("sdk", 10)),
        (bond("alice", "v1", PURSE), ("sdk", 5)),
        (unbond("alice", "v1", 2 * ALLO), ("staking", 24)),
        (unbond("bob", "v1", 1), ("staking", 19)),
        (cancel("alice", "v1", 1, 1), ("staking", 26)),
        (cancel("alice", "v1", 1, 0), ("staking", 100)),
        (collect("bob", "v1"), ("distribution", 13)),
        (collect("bob", "alice"), ("distribution", 12)),
        (collect_commission("alice"), ("distribution", 7)),
        (Tx::new("alice", vec![pack(url::SET_WITHDRAW_ADDRESS, &own_account())]), ("sdk", 4)),
        (bond("alice", "v1", 1).gas(50_000), ("sdk", 11)),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), id, "{}", no.log);
    }
    // A message whose sender is written as another kind of address is nobody's.
    let message = dodona_proto::cosmos::slashing::v1beta1::MsgUnjail { validator_addr: text("alice") };
    assert_eq!(net.refused(&Tx::new("alice", vec![pack(url::UNJAIL, &message)])).id(), ("sdk", 4));
}

#[test]
fn every_message_stays_below_the_limits_that_wallets_fall_back_to() {
    let mut net = quiet();
    net.done(&[send("bob", "v1", ALLO), found("w1", 5 * ALLO)]);
    let day_later = BlockInput::of(net.height + 1, 86_400_000 + 100_000, &[]);
    let executed = net.app.execute(&day_later).unwrap().unwrap();
    net.commit(executed);
    let mut time_ms = 86_400_000 + 100_000;
    for (tx, work) in [
        (bond("alice", "v1", 3 * ALLO), 40_000),
        (unbond("alice", "v1", ALLO), 40_000),
        (cancel("alice", "v1", ALLO, net.height + 2), 40_000),
        (shift("alice", "v1", "v2", ALLO), 70_000),
        (collect("alice", "v1"), 25_000),
        (pay_to("alice", "bob"), 25_000),
        (collect_commission("v1"), 25_000),
        (edit("w1", &(11 * PERCENT).to_string(), ""), 60_000),
        (found("w2", ALLO), 100_000),
    ] {
        let bytes = net.sign(&[tx]);
        time_ms += 1_000;
        let executed = net.app.execute(&BlockInput::of(net.height + 1, time_ms, &bytes)).unwrap().unwrap();
        let receipt = net.commit(executed).remove(0);
        assert_eq!(receipt.code, 0, "{}", receipt.log);
        assert_eq!(receipt.gas_used, 20_000 + 5 * bytes[0].len() as u64 + work);
        assert!(receipt.gas_used < 140_000, "{}", receipt.gas_used);
    }
}

fn own_account() -> impl Message {
    dodona_proto::cosmos::distribution::v1beta1::MsgSetWithdrawAddress {
        delegator_address: text("alice"),
        withdraw_address: Address::of_module("distribution").to_string(),
    }
}
