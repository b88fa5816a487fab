//! Locked stake: it does not leave, it decays or stays, it speaks for a hotkey, and whom it speaks for most owns an old
//! subnet.

use dodona_proto::ALLO;

use crate::{kit::*, subnet_kit::*};

/// The block a refusal names.
fn block_of(log: &str) -> u64 {
    let (_, rest) = log.rsplit_once("from block ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn quick(net: &mut Net) {
    net.done(&[rules("carol", &[("unlock_rate", "10"), ("maturity_rate", "10")])]);
}

#[test]
fn what_is_locked_stays_until_it_has_decayed_and_a_refusal_says_when() {
    let mut net = market();
    quick(&mut net);
    net.done(&[hyper("carol", 1, &[("tempo", "5000")])]);
    let has = net.held("r2", 1, "r2");
    net.done(&[lock("r2", 1, "r2", has, false)]);
    let half = (has / 2).to_string();
    for tx in [
        sell("r2", 1, "r2", &half, ""),
        move_stake("r2", (1, "r2"), &half, (0, "r2", "")),
        move_stake("r2", (1, "r2"), &half, (1, "r2", "bob")),
        sell("r2", 1, "r2", "", ""),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", 40), "{no:?}");
        assert!(no.log.contains("are locked: ") && block_of(&no.log) > net.height + 5, "{}", no.log);
    }
    // It may lie upon any hotkey of the subnet.
    net.done(&[move_stake("r2", (1, "r2"), &half, (1, "r3", ""))]);
    net.done(&[move_stake("r2", (1, "r3"), "", (1, "r2", ""))]);
    let from = block_of(&net.refused(&sell("r2", 1, "r2", &half, "")).log);
    net.wait_until(from - 3);
    assert_eq!(net.refused(&sell("r2", 1, "r2", &half, "")).id(), ("subnets", 40));
    net.wait_until(from - 1);
    net.done(&[sell("r2", 1, "r2", &half, "")]);
    // What stays stays.
    let has = net.held("r2", 1, "r2");
    net.done(&[lock("r2", 1, "r2", 1_000_000_000, true)]);
    let locked: u64 = net.locks(1, "r2").locks[0].mass.parse().unwrap();
    net.wait_until(net.height + 20);
    assert_eq!(net.locks(1, "r2").locks[0].mass, locked.to_string());
    let no = net.refused(&sell("r2", 1, "r2", "", ""));
    assert!(no.log.contains("until their holder makes them decay"), "{}", no.log);
    // Everything but what is locked is sold.
    let receipts = net.done(&[sell_all("r2", "r2", false)]);
    assert!(receipts[0].events.iter().any(|event| event.kind == "unstake_skipped"));
    assert_eq!(net.held("r2", 1, "r2"), locked, "of {has}");
    net.done(&[lock("r2", 1, "r2", 0, false)]);
    net.wait_until(net.height + 10 * 25);
    net.done(&[sell("r2", 1, "r2", "", "")]);
    assert!(net.locks(1, "r2").locks.iter().all(|lock| lock.mass == "0"));
}

#[test]
fn locks_are_refused_with_a_reason() {
    let mut net = market();
    net.done(&[lock("r2", 1, "r2", 1_000_000, false)]);
    let has = net.held("r2", 1, "r2");
    for (tx, code, says) in [
        (lock("r2", 9, "r2", 5, false), 2, "does not exist"),
        (lock("r2", 1, "w9", 5, false), 11, "register it first"),
        (lock("r2", 1, "r3", 5, false), 42, "move the lock"),
        (lock("r2", 1, "r2", has, false), 17, "base units are staked there"),
        (lock("r7", 1, "r2", 500, false), 17, "0 base units"),
        (lock("r3", 1, "r3", 99, false), 3, "at least 100"),
        (lock("r3", 1, "r3", 0, true), 41, "lock stake first"),
        (move_lock("r3", 1, "r2"), 41, "lock stake first"),
        (move_lock("r2", 1, "r2"), 3, "already"),
        (move_lock("r2", 1, "w9"), 11, "register it first"),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
}

#[test]
fn the_owners_cut_is_locked_where_the_owner_wants_it() {
    let mut net = market();
    net.done(&[hyper("alice", 1, &[("owner_cut_auto_lock", "true")])]);
    net.next_epoch(1);
    let (held, lock) = (net.held("alice", 1, "r1"), net.locks(1, "alice").locks[0].clone());
    assert!(held > 0);
    // In the next block it has begun to decay; the owner's lock convinces at once.
    let mass: u64 = lock.mass.parse().unwrap();
    assert!(mass <= held && mass > held - held / 1_000, "{mass} {held}");
    assert_eq!(lock.conviction.parse::<f64>().unwrap() as u64, mass);
    assert_eq!(net.refused(&sell("alice", 1, "r1", "", "")).id(), ("subnets", 40));
    assert_eq!(net.locks(1, "").standings[0].hotkey, text("r1"));
}

#[test]
fn locks_move_with_their_keys() {
    let mut net = market();
    quick(&mut net);
    net.done(&[rules("carol", &[("coldkey_swap_wait", "1"), ("maturity_rate", "1000")])]);
    let has = net.held("r2", 1, "r2");
    net.done(&[lock("r2", 1, "r3", has / 2, true), lock("r3", 1, "r3", 1_000_000_000, false)]);
    net.wait_until(net.height + 20);
    let before = net.locks(1, "r2").locks[0].clone();
    assert_eq!(before.hotkey, text("r3"));
    net.done(&[swap_hotkey("r3", 0, "r3", "w7")]);
    let after = net.locks(1, "r2").locks[0].clone();
    assert_eq!((after.hotkey, after.mass), (text("w7"), before.mass.clone()));
    let standing = net.locks(1, "").standings;
    assert_eq!((standing.len(), standing[0].hotkey.clone()), (1, text("w7")));
    // To another owner's hotkey: it convinces anew. Back again: too.
    let convinced: f64 = net.locks(1, "r2").locks[0].conviction.parse().unwrap();
    assert!(convinced > 0.0);
    net.done(&[move_lock("r2", 1, "w1")]);
    assert!(net.locks(1, "r2").locks[0].conviction.parse::<f64>().unwrap() < convinced / 5.0);
    // Between hotkeys of one owner it keeps what it has.
    net.wait_until(net.height + 20);
    let convinced: f64 = net.locks(1, "r2").locks[0].conviction.parse().unwrap();
    net.done(&[move_lock("r2", 1, "w2")]);
    assert!(net.locks(1, "r2").locks[0].conviction.parse::<f64>().unwrap() >= convinced);
    // The coldkey's successor has it; one that has locked stake itself cannot be that.
    net.done(&[announce("r2", "new"), announce("r3", "bob")]);
    net.done(&[swap_coldkey("r2", "new")]);
    assert!(net.locks(0, "r2").locks.is_empty());
    assert_eq!(net.locks(0, "new").locks[0].mass, before.mass);
    net.done(&[buy("bob", 1, "w1", 10 * ALLO, "")]);
    net.done(&[lock("bob", 1, "w1", 1_000, false)]);
    let no = net.refused(&swap_coldkey("r3", "bob"));
    assert_eq!(no.id(), ("subnets", 36));
    assert!(no.log.contains("locked stake of its own in subnet 1"), "{}", no.log);
    // A dissolved subnet forgets them, and pays what was locked.
    let before = net.balance("new");
    net.done(&[dissolve("carol", 1)]);
    assert!(net.balance("new") > before && net.locks(0, "new").locks.is_empty());
}

#[test]
fn an_old_subnet_goes_to_whom_most_conviction_speaks_for() {
    let mut net = market();
    let set = [("unlock_rate", "1000"), ("maturity_rate", "20"), ("ownership_age", "80")];
    net.done(&[rules("carol", &set)]);
    let (two, three) = (net.held("r2", 1, "r2"), net.held("r3", 1, "r3"));
    net.done(&[lock("r2", 1, "r2", two, true), lock("r3", 1, "r3", three / 2, true)]);
    assert_eq!(net.locks(1, "").from_block, net.subnet(1).registered + 80);
    net.next_epoch(1);
    net.next_epoch(1);
    assert_eq!(net.subnet(1).owner, text("alice"), "it is too young");
    while net.subnet(1).owner == text("alice") {
        net.next_epoch(1);
        assert!(net.height < 150, "{:?}", net.locks(1, ""));
    }
    let subnet = net.subnet(1);
    assert!(net.height >= subnet.registered + 80);
    assert_eq!((subnet.owner, subnet.owner_hotkey), (text("r2"), text("r2")));
    // Rights go with it.
    net.done(&[hyper("r2", 1, &[("serving_rate_limit", "7")])]);
    assert_eq!(net.refused(&hyper("alice", 1, &[("serving_rate_limit", "8")])).id(), ("subnets", 4));
    assert!(net.metagraph(1).neurons[4].protected);

    // Who buys much more just before an epoch has convinced nobody; who keeps it locked for long has.
    net.done(&[hyper("carol", 1, &[("tempo", "3")])]);
    net.done(&[buy("r3", 1, "r3", 3_000 * ALLO, "")]);
    let free: u64 = net.held("r3", 1, "r3") - three / 2;
    net.done(&[lock("r3", 1, "r3", free, true)]);
    net.next_epoch(1);
    assert_eq!(net.subnet(1).owner, text("r2"));
    net.done(&[hyper("carol", 1, &[("tempo", "10")])]);
    for _ in 0..8 {
        net.next_epoch(1);
    }
    assert_eq!(net.subnet(1).owner, text("r3"));
    // What the one before has locked speaks on, now like that of others.
    let standing = net.locks(1, "").standings;
    assert_eq!(standing.iter().map(|s| s.hotkey.clone()).collect::<Vec<_>>(), [text("r3"), text("r2")]);
}
