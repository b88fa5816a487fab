//! Laws of staking under random histories: after every block all invariants hold, tokens are conserved to the unit,
//! nobody takes out more than was put in and earned, and the same history gives the same root.

use dodona_chain::Fault;
use dodona_proto::{ALLO, chain, path};
use proptest::prelude::*;

use super::{kit::*, staking_kit::*};

const DELEGATORS: [&str; 3] = ["alice", "bob", "carol"];
const VALIDATORS: [&str; 4] = ["v1", "v2", "w1", "w2"];

/// One thing that happens. Amounts are parts of what there is, so that most of them can happen.
#[derive(Clone, Debug)]
enum Deed {
    Bond { who: usize, to: usize, amount: u128 },
    Unbond { who: usize, of: usize, part: u8 },
    Shift { who: usize, from: usize, to: usize, part: u8 },
    Cancel { who: usize, of: usize, part: u8 },
    Collect { who: usize, of: usize },
    Commission { of: usize },
    Unjail { of: usize },
    Miss { blocks: u8, who: usize },
    Cheat { who: usize, back: u64 },
    Wait { blocks: u8 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let (who, v, part) = (0..DELEGATORS.len(), 0..VALIDATORS.len(), 1..=100u8);
    prop_oneof![
        4 => (who.clone(), v.clone(), 1..50 * ALLO).prop_map(|(who, to, amount)| Deed::Bond { who, to, amount }),
        3 => (who.clone(), v.clone(), part.clone()).prop_map(|(who, of, part)| Deed::Unbond { who, of, part }),
        3 => (who.clone(), v.clone(), v.clone(), part.clone())
            .prop_map(|(who, from, to, part)| Deed::Shift { who, from, to, part }),
        2 => (who.clone(), v.clone(), part).prop_map(|(who, of, part)| Deed::Cancel { who, of, part }),
        2 => (who, v.clone()).prop_map(|(who, of)| Deed::Collect { who, of }),
        1 => v.clone().prop_map(|of| Deed::Commission { of }),
        1 => v.clone().prop_map(|of| Deed::Unjail { of }),
        1 => (1..12u8, v.clone()).prop_map(|(blocks, who)| Deed::Miss { blocks, who }),
        1 => (v, 0..8u64).prop_map(|(who, back)| Deed::Cheat { who, back }),
        2 => (1..7u8).prop_map(|blocks| Deed::Wait { blocks }),
    ]
}

/// Rounds to a part in a hundred; at least one.
fn part_of(amount: u128, part: u8) -> u128 {
    (amount / 100 * u128::from(part) + amount % 100 * u128::from(part) / 100).max(1)
}

fn start() -> Net {
    let mut net = Net::with(|params| {
        short(params);
        params.fixed_emission = 7_777_777_777;
    });
    net.done(&VALIDATORS.map(|name| send("owner", name, 10 * ALLO)));
    net.done(&[found("w1", 3 * ALLO), found("w2", 2 * ALLO)]);
    net
}

/// Plays a deed; refusals are fine, halts and broken invariants are not.
fn play(net: &mut Net, deed: &Deed) {
    let supply = |net: &Net| {
        let status: chain::QueryStatusResponse =
            net.query(path::STATUS, &chain::QueryStatusRequest {}).unwrap();
        status.supply.parse::<u128>().unwrap() - status.minted.parse::<u128>().unwrap()
    };
    let before = supply(net);
    match *deed {
        Deed::Bond { who, to, amount } => drop(net.block(&[bond(DELEGATORS[who], VALIDATORS[to], amount)])),
        Deed::Unbond { who, of, part } => {
            let (who, of) = (DELEGATORS[who], VALIDATORS[of]);
            if net.maybe(of).is_none() {
                return;
            }
            let amount = part_of(net.worth(who, of), part);
            let receipt = net.block(&[unbond(who, of, amount)]).remove(0);
            if let Some(event) = receipt.events.iter().find(|e| e.kind == "unbond") {
                let told = &event.attributes.iter().find(|(key, _)| key == "amount").unwrap().1;
                assert_eq!(*told, format!("{amount}uallo"), "exactly what was asked for");
            }
        }
        Deed::Shift { who, from, to, part } => {
            let (who, from, to) = (DELEGATORS[who], VALIDATORS[from], VALIDATORS[to]);
            if net.maybe(from).is_none() {
                return;
            }
            let amount = part_of(net.worth(who, from), part);
            drop(net.block(&[shift(who, from, to, amount)]));
        }
        Deed::Cancel { who, of, part } => {
            let (who, of) = (DELEGATORS[who], VALIDATORS[of]);
            let Some(entry) = net.unbondings(who, of).first().copied() else { return };
            drop(net.block(&[cancel(who, of, part_of(entry.balance, part), entry.created)]));
        }
        Deed::Collect { who, of } => {
            let (who, of) = (DELEGATORS[who], VALIDATORS[of]);
            // What was asked back earlier may come home in the same block.
            let waiting = |net: &Net| -> u128 {
                VALIDATORS.iter().flat_map(|of| net.unbondings(who, of)).map(|entry| entry.balance).sum()
            };
            let (owed, had, waited) = (net.owed(who, of), net.balance(who), waiting(net));
            let tx = collect(who, of);
            let fee = tx.fee;
            if net.block(&[tx])[0].code == 0 {
                let home = waited - waiting(net);
                assert_eq!(net.balance(who), had + owed + home - fee, "exactly what is owed");
            }
        }
        Deed::Commission { of } => drop(net.block(&[collect_commission(VALIDATORS[of])])),
        Deed::Unjail { of } => drop(net.block(&[unjail(VALIDATORS[of])])),
        Deed::Miss { blocks, who } => {
            let present: Vec<&str> = VALIDATORS.into_iter().filter(|name| *name != VALIDATORS[who]).collect();
            for _ in 0..blocks {
                net.signed_block(&[], Some(&present), &[]).unwrap();
            }
        }
        Deed::Cheat { who, back } => {
            let height = (net.height + 1).saturating_sub(back);
            let fault = Fault { height, public_key: vote_key(VALIDATORS[who]) };
            let punishable = net.app.punishable(&fault).unwrap();
            assert_eq!(net.signed_block(&[], None, &[fault]).is_ok(), punishable);
            if punishable {
                assert!(net.validator(VALIDATORS[who]).tombstoned);
            }
        }
        Deed::Wait { blocks } => net.wait_until(net.height + u64::from(blocks)),
    }
    assert_eq!(supply(net), before, "what was not minted is what there was");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_token_is_lost_and_the_history_repeats(deeds in prop::collection::vec(deed(), 1..40)) {
        let (mut one, mut two) = (start(), start());
        for deed in &deeds {
            play(&mut one, deed);
        }
        for deed in &deeds {
            play(&mut two, deed);
        }
        prop_assert_eq!(one.app.root(), two.app.root());
    }

    #[test]
    fn who_comes_and_goes_leaves_with_at_most_what_it_brought(
        amounts in prop::collection::vec(1..1_000 * ALLO, 1..6),
        slash in any::<bool>(),
    ) {
        let mut net = Net::with(|params| {
            short(params);
            params.emission_enabled = false;
            params.max_entries = 10;
        });
        net.done(&[bond("bob", "v2", 13 * ALLO + 5)]);
        net.next_set();
        if slash {
            // Shares are worth less than a unit from here on.
            net.signed_block(&[], None, &[fault("v2", 2)]).unwrap();
        }
        let others = net.worth("bob", "v2");
        let had = net.balance("alice");
        let (mut fees, mut earned) = (0, 0);
        for amount in &amounts {
            let tx = bond("alice", "v2", *amount);
            fees += tx.fee;
            earned += net.owed("alice", "v2");
            net.done(&[tx]);
            prop_assert!(net.worth("alice", "v2") <= amounts.iter().sum::<u128>());
        }
        while net.worth("alice", "v2") > 0 {
            earned += net.owed("alice", "v2");
            let tx = unbond("alice", "v2", net.worth("alice", "v2").div_ceil(2));
            fees += tx.fee;
            if net.done(&[tx]).is_empty() { break }
            if net.unbondings("alice", "v2").len() > 8 { net.wait_until(net.height + 12); }
        }
        net.wait_until(net.height + 12);
        let has = net.balance("alice") + fees;
        prop_assert!(has <= had + earned, "{} {}", has, had + earned);
        // Rounding costs less than a unit each time, and it stays with those who stay.
        prop_assert!(had + earned - has <= 2 * amounts.len() as u128 + 200);
        prop_assert!(net.worth("bob", "v2") >= others);
    }
}
