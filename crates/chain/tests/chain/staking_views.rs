//! What is seen of staking by those who only look.

use dodona_chain::staking::{
    state::{Status, consensus_address},
    view,
};
use dodona_mechanism::supply::Fixed;
use dodona_proto::{ALLO, Address};

use super::{kit::*, staking_kit::*};

#[test]
fn punishments_and_absence_are_seen_by_those_who_look() {
    let mut net = Net::staking();
    net.done(&[bond("alice", "v1", 10 * ALLO)]);
    net.signed_block(&[], Some(&["v1"]), &[]).unwrap();
    let address = |name: &str| consensus_address(&vote_key(name));
    let row = |net: &Net, name: &str| view::signing(&net.read(), address(name)).unwrap().unwrap();
    assert_eq!((row(&net, "v2").missed, row(&net, "v1").missed), (1, 0));
    assert_eq!((row(&net, "v2").counted, row(&net, "v2").tombstoned), (1, false));
    assert_eq!(view::signings(&net.read(), Address([0; 20]), 10).unwrap().len(), 2);
    assert_eq!(view::bonded(&net.read()).unwrap().len(), 2);

    let punished = net.height + 1;
    net.signed_block(&[], None, &[fault("v2", 2)]).unwrap();
    assert!(row(&net, "v2").tombstoned && row(&net, "v2").jailed_until > 0);
    let operator = super::kit::address("v2");
    let slashes = view::slashes(&net.read(), operator, 0, 10).unwrap();
    assert_eq!((slashes.len(), slashes[0].0), (1, punished));
    assert_eq!(slashes[0].1.fraction, "0.05".parse::<Fixed>().unwrap());
    assert!(view::slashes(&net.read(), operator, punished + 1, 10).unwrap().is_empty());
    assert!(view::slashes(&net.read(), super::kit::address("v1"), 0, 10).unwrap().is_empty());
    let seen = view::validator(&net.read(), operator).unwrap().unwrap().validator;
    assert!(seen.jailed && seen.status == Status::Unbonding);
    assert_eq!(view::bonded(&net.read()).unwrap(), [super::kit::address("v1")]);
}

#[test]
fn what_is_seen_of_tokens_and_rewards_is_what_the_books_say() {
    let mut net = Net::staking();
    net.done(&[bond("alice", "v1", 10 * ALLO), bond("bob", "v1", 3 * ALLO)]);
    net.wait_until(net.height + 3);
    net.done(&[unbond("bob", "v1", ALLO), shift("alice", "v1", "v2", 4 * ALLO)]);
    let (read, v1, v2) = (net.read(), address("v1"), address("v2"));
    let (alice, bob) = (address("alice"), address("bob"));
    let all = view::delegations_to(&read, v1, Address([0; 20]), 10).unwrap();
    assert_eq!(all.iter().map(|row| row.balance).sum::<u128>(), net.validator("v1").tokens);
    for row in &all {
        let one = view::delegation(&read, v1, row.delegator).unwrap().unwrap();
        assert_eq!((one.shares, one.balance), (row.shares, row.balance));
    }
    let earned: u128 = all.iter().map(|r| view::reward(&read, v1, r.delegator).unwrap().unwrap()).sum();
    let (outstanding, commission) = view::earned(&read, v1).unwrap();
    assert!(earned <= outstanding && commission == net.rewards("v1").commission, "{earned} {outstanding}");
    assert_eq!(view::reward(&read, v1, alice).unwrap(), Some(net.owed("alice", "v1")));
    assert_eq!(view::reward(&read, v2, bob).unwrap(), None);
    let with = view::operators_of(&read, alice, Address([0; 20]), 10).unwrap();
    assert!(with.len() == 2 && with.contains(&v1) && with.contains(&v2));
    assert_eq!(view::unbonding_from(&read, bob, Address([0; 20]), 10).unwrap(), [v1]);
    assert_eq!(view::unbonding(&read, v1, bob).unwrap().unwrap().entries[0].balance, ALLO);
    let none = Address([0; 20]);
    assert_eq!(view::moves_of(&read, alice, (none, none), 10).unwrap(), [(v2, v1)]);
    assert_eq!(view::moves_from(&read, v1, (none, none), 10).unwrap(), [(alice, v2)]);
    let moved = view::redelegation(&read, alice, v1, v2).unwrap().unwrap();
    assert_eq!(moved.entries[0].1, 4 * ALLO);
    let (bonded, other) = view::pools(&read).unwrap();
    assert_eq!(bonded, net.validator("v1").tokens + net.validator("v2").tokens);
    assert_eq!(other, ALLO);
}
