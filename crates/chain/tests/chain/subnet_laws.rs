//! Laws of subnets under random histories: whatever is sent, after every block all invariants hold (supply, pools, stake
//! and what waits for an epoch add up to the unit), nothing halts, and the same history gives the same root.

use std::collections::BTreeSet;

use dodona_proto::ALLO;
use proptest::{prelude::*, strategy::ValueTree};

use super::{kit::*, subnet_kit::*};

const COLDKEYS: [&str; 4] = ["alice", "bob", "carol", "owner"];
const HOTKEYS: [&str; 8] = ["r1", "r2", "r3", "r4", "w1", "w2", "w3", "w4"];
/// What an admin may turn while a subnet lives.
const TURNS: [(&str, &str); 21] = [
    ("bonds_reset", "true"),
    ("owner_cut_auto_lock", "true"),
    ("owner_cut_auto_lock", "false"),
    ("commit_reveal", "true"),
    ("commit_reveal", "false"),
    ("yuma3", "true"),
    ("yuma3", "false"),
    ("liquid_alpha", "true"),
    ("liquid_alpha", "false"),
    ("recycle", "true"),
    ("recycle", "false"),
    ("owner_cut_enabled", "false"),
    ("transfer_toggle", "false"),
    ("transfer_toggle", "true"),
    ("mechanisms", "2"),
    ("mechanisms", "1"),
    ("swap_fee", "0"),
    ("swap_fee", "10000"),
    ("kappa", "0"),
    ("bonds_moving_average", "0"),
    ("emission_enabled", "false"),
];

/// One message. Parts are hundredths of what is held.
#[derive(Clone, Debug)]
enum Deed {
    Create {
        who: usize,
        hotkey: usize,
    },
    Start {
        netuid: u32,
    },
    Register {
        who: usize,
        netuid: u32,
        hotkey: usize,
    },
    Buy {
        who: usize,
        netuid: u32,
        hotkey: usize,
        amount: u128,
        limit: u8,
    },
    Sell {
        who: usize,
        netuid: u32,
        hotkey: usize,
        part: u64,
    },
    Move {
        who: usize,
        netuid: u32,
        hotkey: usize,
        part: u64,
        to: u32,
        to_hotkey: usize,
        to_who: usize,
    },
    Weigh {
        hotkey: usize,
        netuid: u32,
        row: Vec<(u32, u32)>,
    },
    Commit {
        hotkey: usize,
        netuid: u32,
        row: Vec<(u32, u32)>,
    },
    /// One of the newest commits.
    Reveal {
        back: usize,
    },
    Turn {
        netuid: u32,
        which: usize,
    },
    Take {
        who: usize,
        hotkey: usize,
        take: u32,
    },
    Children {
        who: usize,
        netuid: u32,
        hotkey: usize,
        child: usize,
        fraction: u64,
    },
    ChildTake {
        who: usize,
        netuid: u32,
        hotkey: usize,
        take: u32,
    },
    AutoStake {
        who: usize,
        netuid: u32,
        hotkey: usize,
    },
    Claim {
        who: usize,
        hotkey: usize,
    },
    Trigger {
        who: usize,
        netuid: u32,
    },
    Dissolve {
        netuid: u32,
    },
    SellAll {
        who: usize,
        hotkey: usize,
        to_root: bool,
    },
    /// In subnet 0: everywhere.
    Swap {
        who: usize,
        netuid: u32,
        hotkey: usize,
        new: usize,
    },
    Trim {
        netuid: u32,
        slots: u32,
    },
    RootClaim {
        who: usize,
        which: usize,
    },
    Lock {
        who: usize,
        netuid: u32,
        hotkey: usize,
        part: u64,
        perpetual: bool,
    },
    MoveLock {
        who: usize,
        netuid: u32,
        hotkey: usize,
    },
    Publish {
        hotkey: usize,
        netuid: u32,
        bytes: usize,
        reset: bool,
    },
    Identify {
        netuid: u32,
        symbol: usize,
    },
}

/// A block's messages, and empty blocks after it.
type Block = (Vec<Deed>, u8);

fn deed() -> impl Strategy<Value = Deed> {
    let (who, key, netuid) = (0..COLDKEYS.len(), 0..HOTKEYS.len(), 1..4u32);
    let place = 0..4u32;
    let part = prop_oneof![1..=99u64, Just(100)];
    // Most often those of the owners, who need no permit.
    let voter = prop_oneof![2 => Just(0), 2 => Just(4), 3 => 0..HOTKEYS.len()];
    // Few rows, so that what is revealed has often been committed.
    let row =
        prop_oneof![Just(vec![(0, 1)]), Just(vec![(0, 1), (1, 2)]), Just(vec![(1, 65_535), (2, 7), (3, 0)])];
    prop_oneof![
        2 => (who.clone(), key.clone()).prop_map(|(who, hotkey)| Deed::Create { who, hotkey }),
        2 => netuid.clone().prop_map(|netuid| Deed::Start { netuid }),
        6 => (who.clone(), netuid.clone(), key.clone())
            .prop_map(|(who, netuid, hotkey)| Deed::Register { who, netuid, hotkey }),
        8 => (who.clone(), place.clone(), key.clone(), 1..200 * ALLO, 0..4u8)
            .prop_map(|(who, netuid, hotkey, amount, limit)| Deed::Buy { who, netuid, hotkey, amount, limit }),
        5 => (who.clone(), place.clone(), key.clone(), part.clone())
            .prop_map(|(who, netuid, hotkey, part)| Deed::Sell { who, netuid, hotkey, part }),
        6 => ((who.clone(), place.clone(), key.clone(), part), (place, key.clone(), who.clone())).prop_map(
            |((who, netuid, hotkey, part), (to, to_hotkey, to_who))| Deed::Move {
                who, netuid, hotkey, part, to, to_hotkey, to_who
            }
        ),
        6 => (voter.clone(), netuid.clone(), row.clone())
            .prop_map(|(hotkey, netuid, row)| Deed::Weigh { hotkey, netuid, row }),
        6 => (voter, netuid.clone(), row)
            .prop_map(|(hotkey, netuid, row)| Deed::Commit { hotkey, netuid, row }),
        16 => (0..6usize).prop_map(|back| Deed::Reveal { back }),
        3 => (netuid.clone(), 0..TURNS.len()).prop_map(|(netuid, which)| Deed::Turn { netuid, which }),
        1 => (who.clone(), key.clone(), 0..12_000u32).prop_map(|(who, hotkey, take)| Deed::Take { who, hotkey, take }),
        3 => (who.clone(), netuid.clone(), key.clone(), key.clone(), any::<u64>()).prop_map(
            |(who, netuid, hotkey, child, fraction)| Deed::Children { who, netuid, hotkey, child, fraction }
        ),
        1 => (who.clone(), netuid.clone(), key.clone(), 0..12_000u32)
            .prop_map(|(who, netuid, hotkey, take)| Deed::ChildTake { who, netuid, hotkey, take }),
        1 => (who.clone(), netuid.clone(), key.clone())
            .prop_map(|(who, netuid, hotkey)| Deed::AutoStake { who, netuid, hotkey }),
        2 => (who.clone(), key.clone()).prop_map(|(who, hotkey)| Deed::Claim { who, hotkey }),
        1 => (who.clone(), key.clone(), any::<bool>())
            .prop_map(|(who, hotkey, to_root)| Deed::SellAll { who, hotkey, to_root }),
        2 => (who.clone(), 0..3usize).prop_map(|(who, which)| Deed::RootClaim { who, which }),
        6 => (who.clone(), netuid.clone(), key.clone(), 1..=100u64, any::<bool>()).prop_map(
            |(who, netuid, hotkey, part, perpetual)| Deed::Lock { who, netuid, hotkey, part, perpetual }
        ),
        4 => (who.clone(), netuid.clone(), key.clone())
            .prop_map(|(who, netuid, hotkey)| Deed::MoveLock { who, netuid, hotkey }),
        3 => (key.clone(), netuid.clone(), 0..128usize, any::<bool>())
            .prop_map(|(hotkey, netuid, bytes, reset)| Deed::Publish { hotkey, netuid, bytes, reset }),
        1 => (netuid.clone(), 0..3usize).prop_map(|(netuid, symbol)| Deed::Identify { netuid, symbol }),
        3 => (who.clone(), 0..4u32, key.clone(), key)
            .prop_map(|(who, netuid, hotkey, new)| Deed::Swap { who, netuid, hotkey, new }),
        1 => (netuid.clone(), 1..6u32).prop_map(|(netuid, slots)| Deed::Trim { netuid, slots }),
        1 => (who, netuid.clone()).prop_map(|(who, netuid)| Deed::Trigger { who, netuid }),
        1 => netuid.prop_map(|netuid| Deed::Dissolve { netuid }),
    ]
}

fn history(blocks: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Block>> {
    prop::collection::vec((prop::collection::vec(deed(), 1..6), 0..4u8), blocks)
}

/// A network in which everything comes soon: two living subnets, room for one more.
fn begin() -> Net {
    let mut net = Net::with_subnet();
    let set = [
        ("network_rate_limit", "1"),
        ("network_immunity", "10"),
        ("subnet_limit", "3"),
        ("children_wait", "2"),
        ("children_rate_limit", "1"),
        ("take_rate_limit", "1"),
        ("hotkey_swap_wait", "1"),
        ("moving_alpha", "1"),
        ("num_root_claims", "50"),
        ("unlock_rate", "50"),
        ("maturity_rate", "4"),
        ("ownership_age", "10"),
        ("ownership_part", "0.01"),
        ("nominator_min_stake", "100000000"),
        ("owner_hparam_rate_limit", "0"),
        ("admin_freeze_window", "0"),
    ];
    net.done(&[rules("carol", &set)]);
    net.done(&[create_subnet("bob", "w1")]);
    let small = [
        ("tempo", "5"),
        ("weights_rate_limit", "0"),
        ("immunity_period", "4"),
        ("min_non_immune", "0"),
        ("max_validators", "4"),
        ("max_uids", "6"),
        ("emission_enabled", "true"),
        ("root_claim_threshold", "0"),
    ];
    net.done(&[start("bob", 2), hyper("carol", 1, &small), hyper("carol", 2, &small)]);
    net
}

/// Somebody's commit.
type Committed = (usize, u32, Vec<(u32, u32)>);

/// The owner of a subnet, whoever that is.
fn owner(net: &Net, netuid: u32) -> &'static str {
    let subnets = net.subnets().subnets;
    let owner = subnets.iter().find(|subnet| subnet.netuid == netuid).map(|subnet| &subnet.owner);
    COLDKEYS.into_iter().find(|name| Some(&text(name)) == owner).unwrap_or("alice")
}

fn message(net: &Net, deed: &Deed, commits: &mut Vec<Committed>) -> Tx {
    let held = |who: usize, netuid: u32, hotkey: usize, part: u64| match part {
        100 => String::new(),
        part => (net.held(COLDKEYS[who], netuid, HOTKEYS[hotkey]) / 100 * part).max(1).to_string(),
    };
    match deed.clone() {
        Deed::Create { who, hotkey } => create_subnet(COLDKEYS[who], HOTKEYS[hotkey]),
        Deed::Start { netuid } => start(owner(net, netuid), netuid),
        Deed::Register { who, netuid, hotkey } => neuron(COLDKEYS[who], netuid, HOTKEYS[hotkey]),
        Deed::Buy { who, netuid, hotkey, amount, limit } => {
            buy(COLDKEYS[who], netuid, HOTKEYS[hotkey], amount, ["", "0.9", "1.05", "2"][usize::from(limit)])
        }
        Deed::Sell { who, netuid, hotkey, part } => {
            sell(COLDKEYS[who], netuid, HOTKEYS[hotkey], &held(who, netuid, hotkey, part), "")
        }
        Deed::Move { who, netuid, hotkey, part, to, to_hotkey, to_who } => {
            let to = (to, HOTKEYS[to_hotkey], COLDKEYS[to_who]);
            move_stake(COLDKEYS[who], (netuid, HOTKEYS[hotkey]), &held(who, netuid, hotkey, part), to)
        }
        Deed::Weigh { hotkey, netuid, row } => weights(HOTKEYS[hotkey], netuid, &row),
        Deed::Commit { hotkey, netuid, row } => {
            commits.push((hotkey, netuid, row.clone()));
            commit(HOTKEYS[hotkey], netuid, &row)
        }
        Deed::Reveal { back } => {
            let known = commits.iter().rev().nth(back % commits.len().max(1)).cloned();
            let (hotkey, netuid, row) = known.unwrap_or((0, 1, vec![(0, 1)]));
            reveal(HOTKEYS[hotkey], netuid, &row)
        }
        Deed::Turn { netuid, which } => hyper("carol", netuid, &[TURNS[which]]),
        Deed::Take { who, hotkey, take: part } => take(COLDKEYS[who], HOTKEYS[hotkey], part),
        Deed::Children { who, netuid, hotkey, child, fraction } => {
            children(COLDKEYS[who], netuid, HOTKEYS[hotkey], &[(fraction, HOTKEYS[child])])
        }
        Deed::ChildTake { who, netuid, hotkey, take } => {
            child_take(COLDKEYS[who], netuid, HOTKEYS[hotkey], take)
        }
        Deed::AutoStake { who, netuid, hotkey } => auto_stake(COLDKEYS[who], netuid, HOTKEYS[hotkey]),
        Deed::Claim { who, hotkey } => claim_root(COLDKEYS[who], HOTKEYS[hotkey]),
        Deed::Trigger { who, netuid } => trigger(COLDKEYS[who], netuid),
        Deed::Dissolve { netuid } => dissolve("carol", netuid),
        Deed::SellAll { who, hotkey, to_root } => sell_all(COLDKEYS[who], HOTKEYS[hotkey], to_root),
        Deed::Swap { who, netuid, hotkey, new } => {
            swap_hotkey(COLDKEYS[who], netuid, HOTKEYS[hotkey], HOTKEYS[new])
        }
        Deed::Trim { netuid, slots } => trim("carol", netuid, slots),
        Deed::RootClaim { who, which } => match which {
            0 => root_claim(COLDKEYS[who], "sell", &[]),
            1 => root_claim(COLDKEYS[who], "keep", &[]),
            _ => root_claim(COLDKEYS[who], "sell", &[1]),
        },
        Deed::Lock { who, netuid, hotkey, part, perpetual } => {
            // A part of all there is; upon whom it speaks already, if upon anybody.
            let rows = net.holdings(COLDKEYS[who]);
            let has = rows.iter().filter(|row| row.netuid == netuid);
            let has: u64 = has.map(|row| row.amount.parse::<u64>().unwrap()).sum();
            let spoken = net.locks(0, COLDKEYS[who]).locks;
            let same = spoken.iter().find(|lock| lock.netuid == netuid);
            let same = same.and_then(|lock| HOTKEYS.into_iter().find(|name| text(name) == lock.hotkey));
            lock(COLDKEYS[who], netuid, same.unwrap_or(HOTKEYS[hotkey]), has / 200 * part, perpetual)
        }
        Deed::MoveLock { who, netuid, hotkey } => {
            let locks = net.locks(0, COLDKEYS[who]).locks;
            let netuid = locks.first().map_or(netuid, |lock| lock.netuid);
            move_lock(COLDKEYS[who], netuid, HOTKEYS[hotkey])
        }
        Deed::Publish { hotkey, netuid, bytes, reset } => {
            publish(HOTKEYS[hotkey], netuid, &[&vec![7; bytes]], reset)
        }
        Deed::Identify { netuid, symbol } => {
            subnet_identity(owner(net, netuid), netuid, ["α", "x", "γ"][symbol], Default::default())
        }
    }
}

/// Plays it; the kinds of what was done and of what else happened.
fn play(net: &mut Net, history: &[Block]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut commits = Vec::new();
    for (deeds, wait) in history {
        let txs: Vec<Tx> = deeds.iter().map(|deed| message(net, deed, &mut commits)).collect();
        for receipt in net.block(&txs) {
            seen.extend(receipt.events.iter().map(|event| event.kind.to_string()));
        }
        for _ in 0..*wait {
            net.block(&[]);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sent_to_subnets_every_unit_stays_somebodys_and_a_history_repeats(history in history(5..25)) {
        // The kit checks all invariants after every block, and stops at a halt.
        let (mut once, mut twice) = (begin(), begin());
        play(&mut once, &history);
        play(&mut twice, &history);
        prop_assert_eq!(once.app.root(), twice.app.root());
    }

    #[test]
    fn whatever_a_key_has_another_one_in_its_place_has_to_the_unit(history in history(5..20)) {
        let mut net = begin();
        play(&mut net, &history);
        net.done(&[rules("carol", &[("coldkey_swap_wait", "1"), ("hotkey_swap_cost", "0")])]);
        let rows = |net: &Net, coldkey: &str| -> Vec<(u32, u64)> {
            net.holdings(coldkey).iter().map(|row| (row.netuid, row.amount.parse().unwrap())).collect()
        };
        let total = |net: &Net, coldkey: &str| rows(net, coldkey).iter().map(|row| row.1).sum::<u64>();
        // Hotkeys first: each owner gives all of its own new names.
        let mut fresh = 1;
        for coldkey in COLDKEYS {
            for hotkey in HOTKEYS {
                let before: Vec<u64> = COLDKEYS.iter().map(|who| total(&net, who)).collect();
                let new = format!("w{}", 4 + fresh);
                let receipts = net.block(&[swap_hotkey(coldkey, 0, hotkey, &new)]);
                if receipts[0].code == 0 && fresh < 16 {
                    fresh += 1;
                }
                // What epochs of this block paid comes on top; nothing is lost.
                for (who, before) in COLDKEYS.iter().zip(before) {
                    prop_assert!(total(&net, who) + 2 >= before, "{who}");
                }
            }
        }
        let mut all: Vec<Tx> = COLDKEYS[..3].iter().map(|who| announce(who, &format!("{who} anew"))).collect();
        net.done(&all);
        all = COLDKEYS[..3].iter().map(|who| swap_coldkey(who, &format!("{who} anew"))).collect();
        net.done(&all);
        for who in &COLDKEYS[..3] {
            prop_assert!(net.holdings(who).is_empty());
            prop_assert_eq!(net.balance(who), 0);
        }
        for _ in 0..12 {
            net.done(&[]);
        }
    }
}

#[test]
fn random_histories_reach_every_message() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..80 {
        let history = history(30..31).new_tree(&mut runner).unwrap().current();
        seen.extend(play(&mut begin(), &history));
    }
    for kind in [
        "subnet_created",
        "subnet_started",
        "neuron_registered",
        "weights_set",
        "weights_committed",
        "weights_revealed",
        "stake_moved",
        "children_set",
        "childkey_take_set",
        "subnet_hyperparameter",
        "take_set",
        "auto_stake_set",
        "subnet_dissolved",
        "hotkey_swapped",
        "subnet_trimmed",
        "stake_locked",
        "lock_moved",
        "root_claim_set",
        "commitment_set",
        "subnet_identity_set",
    ] {
        assert!(seen.contains(kind), "{kind} never happened: {seen:?}");
    }
}
