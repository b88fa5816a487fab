//! Networks of validators under seeds: whatever fails in them, they keep one chain, lose nothing and go on. What breaks
//! prints the command that breaks it again.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

use std::ops::Range;

use dodona_sim::network::{Plan, Report, run, shrink};

fn kept(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|broken| panic!("{}", shrink(broken, 30)))
}

fn planned(text: &str) -> Report {
    kept(&text.parse().unwrap())
}

fn seeds(range: Range<u64>) {
    for seed in range {
        println!("{seed}: {}", kept(&Plan::draw(seed)));
    }
}

#[test]
fn a_calm_network_decides_at_once_and_scores_epochs_the_same_way_twice() {
    let once = kept(&Plan::calm(7));
    assert_eq!((once.max_round, once.restarts, once.stopped), (0, 0, 0), "{once}");
    assert!(once.scored >= 2 && once.txs > 30, "{once}");
    assert_eq!(once, kept(&Plan::calm(7)));
    assert_ne!(once.trace, kept(&Plan::calm(8)).trace);
}

#[test]
fn crashes_and_outages_are_repeated_to_the_bit() {
    let plan = "seed=3 horizon=7000 loss:10@0-7000 twice:30@0-7000 crash:1@900-3100 outage@4000-5000";
    let once = planned(plan);
    assert_eq!(once, planned(plan));
    assert!(once.restarts >= 5, "{once}");
}

#[test]
fn liars_slow_and_silent_nodes_and_wrong_clocks_stop_nobody() {
    for plan in [
        "seed=1 horizon=6000 bad:3:root@500-3000 bad:3:size@3000-6000",
        "seed=2 horizon=6000 bad:3:tx@500-3000 bad:3:time@3000-6000",
        "seed=3 horizon=6000 equivocate:3@0-6000",
        "seed=4 horizon=6000 silent:1@500-3000 slow:2:2500@3000-6000",
        "seed=5 horizon=6000 skew:0:8000@500-3000 skew:1:-8000@3500-6000",
        // A clock behind by more than a block may be ahead: its node takes no part, and catches up all the same.
        "seed=5 horizon=9000 skew:0:-13000@500-6000",
        "seed=6 horizon=9000 skew:1:-25000@500-6000",
        "seed=6 horizon=9000 skew:1:25000@500-6000",
    ] {
        println!("{plan}: {}", planned(plan));
    }
}

#[test]
fn partitions_heal() {
    for plan in [
        "seed=1 horizon=6000 split:3@1000-6000",
        "seed=2 horizon=6000 split:1@1000-6000",
        "seed=3 horizon=6000 oneway:1:14@1000-6000 oneway:8:1@2000-5000",
    ] {
        println!("{plan}: {}", planned(plan));
    }
}

#[test]
fn networks_of_the_first_25_seeds_keep_all_promises() {
    seeds(0..25);
}

#[test]
fn networks_of_the_next_25_seeds_keep_all_promises() {
    seeds(25..50);
}

#[test]
fn slow_networks_of_some_hundred_more_seeds_keep_all_promises() {
    seeds(50..400);
}
