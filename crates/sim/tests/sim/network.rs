//! Networks of validators under seeds: whatever fails in them, they keep one chain, lose nothing and go on. What breaks
//! prints the command that breaks it again.

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
fn a_proven_liar_loses_stake_and_seat_and_nobody_else_does() {
    let report = planned("seed=3 horizon=6000 equivocate:3@0-6000");
    assert!(report.evidence >= 1 && report.sets >= 2, "{report}");
    // A block that is bad is no lie told twice.
    let report = planned("seed=1 horizon=6000 bad:3:root@500-6000");
    assert_eq!((report.evidence, report.sets), (0, 1), "{report}");
}

#[test]
fn a_node_that_has_lost_its_log_is_silent_where_it_has_spoken() {
    let mut refused = 0;
    for seed in 0..6 {
        let plan = format!(
            "seed={seed} horizon=7000 loss:20@0-7000 forget:1@1500-1600 forget:2@2500-2600 forget:1@4000-4100"
        );
        let report = planned(&plan);
        assert_eq!(report.evidence, 0, "{report}");
        refused += report.refused;
    }
    assert!(refused > 0, "the guard was never asked for a second signature: the test shows nothing");
}

#[test]
fn every_validator_is_replaced_within_20_epochs_and_genesis_is_still_trust_enough() {
    for plan in [
        "seed=1 rotate=4 horizon=8000",
        "seed=2 powers=30,25,20,15,10 rotate=3 horizon=8000",
        "seed=3 rotate=5 horizon=9000 crash:1@2000-4000 crash:6@5000-7000 loss:10@0-9000",
        "seed=4 rotate=2 horizon=9000 equivocate:7@0-9000",
    ] {
        let report = planned(plan);
        println!("{plan}: {report}");
        // One comes, one goes, four times: and a third of the power never vouches for all of it at once.
        assert!(report.rotated.is_some() && report.sets >= 5 && report.links >= 1, "{plan}: {report:?}");
    }
}

#[test]
fn four_nodes_get_a_new_program_one_after_the_other_and_the_chain_does_not_stop() {
    let report = planned("seed=1 upgrade=yes horizon=6000");
    assert!(report.upgraded.is_some() && report.restarts == 4 && report.stopped == 0, "{report:?}");
    assert!(report.longest_ms < 5_000, "{report:?}");
    let plan = "seed=2 rotate=4 upgrade=yes horizon=9000 crash:0@4000-9000 loss:10@0-9000";
    let report = planned(plan);
    assert!(report.upgraded.is_some() && report.rotated.is_some(), "{report:?}");
    assert_eq!(report, planned(plan));
}

#[test]
fn whatever_is_broken_on_purpose_is_found() {
    for (plan, found) in [
        ("seed=1 horizon=6000 canary=quorum split:3@0-6000", "two blocks at height"),
        // Half a certificate is refused by everybody, also by those who were content with it before.
        ("seed=1 horizon=6000 canary=quorum split:3@1000-6000", "no progress"),
        ("seed=1 horizon=6000 upgrade=yes canary=supply", "supply"),
        ("seed=1 horizon=6000 upgrade=yes canary=replay", "a newcomer"),
        ("seed=1 horizon=6000 upgrade=yes canary=stuck", "a step before it"),
        ("seed=1 horizon=4000 canary=lost", "was in block 1, and is not"),
    ] {
        let broken = run(&plan.parse().unwrap()).unwrap_err();
        assert!(broken.what.contains(found), "{plan}: {}", broken.what);
    }
    // Without a guard, honest nodes that lose their logs are sooner or later proven guilty.
    let accused = (0..6).any(|seed| {
        let plan = format!("seed={seed} horizon=7000 canary=guard loss:20@0-7000 forget:1@1500-1600 forget:2@2500-2600 forget:1@4000-4100");
        run(&plan.parse().unwrap()).is_err_and(|broken| broken.what.contains("who did not lie"))
    });
    assert!(accused, "nobody was accused");
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
