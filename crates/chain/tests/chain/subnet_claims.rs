//! Dividends of root stake: sold for more of it or kept, on request or in turn; what is owed is never lost or paid twice.

use dodona_proto::{
    ALLO,
    subnets::{QueryHoldingsRequest, QueryHoldingsResponse},
};

use crate::{kit::*, subnet_kit::*};

fn again(net: &mut Net) -> u64 {
    for _ in 0..50 {
        net.done(&[]);
        let owed = net.claimable("r7", 1, "r3");
        if owed > 0 {
            return owed;
        }
    }
    panic!("it earned nothing any more");
}

#[test]
fn dividends_of_root_stake_are_sold_for_more_of_it_or_stay_as_their_holder_says() {
    let mut net = earning();
    // From the beginning they are sold, in the same block, and no fee is taken.
    net.done(&[hyper("carol", 1, &[("swap_fee", "10000"), ("tempo", "5000")])]);
    let (owed, root) = (net.claimable("r7", 1, "r3"), net.held("r7", 0, "r3"));
    let price: f64 = net.subnet(1).price.parse().unwrap();
    net.done(&[claim_root("r7", "r3")]);
    let brought = net.held("r7", 0, "r3") - root;
    assert!((brought as f64 / (owed as f64 * price) - 1.0).abs() < 0.02, "{brought} of {owed} at {price}");
    assert_eq!(net.held("r7", 1, "r3"), 0);

    // More root stake has earned nothing yet, and takes nothing from what was owed.
    net.done(&[hyper("carol", 1, &[("tempo", "5")])]);
    again(&mut net);
    net.done(&[hyper("carol", 1, &[("tempo", "5000")])]);
    let owed = net.claimable("r7", 1, "r3");
    net.done(&[buy("r7", 0, "r3", 30 * ALLO, "")]);
    let now = net.claimable("r7", 1, "r3");
    assert!(now == owed || now + 1 == owed, "{now} {owed}");
    assert_eq!(net.held("r7", 1, "r3"), 0);

    // Kept: stake where it comes from.
    net.done(&[root_claim("r7", "keep", &[]), claim_in("r7", "r3", &[1])]);
    // Shares are rounded down.
    assert!(now - net.held("r7", 1, "r3") <= 1);
    assert_eq!(net.claimable("r7", 1, "r3"), 0);
    let told: QueryHoldingsResponse = net
        .query(
            dodona_proto::path::HOLDINGS,
            &QueryHoldingsRequest { coldkey: text("r7"), ..Default::default() },
        )
        .unwrap();
    assert_eq!((told.root_claim.as_str(), told.root_keep_in.len()), ("keep", 0));

    // Kept in some subnets only; a subnet that comes in the place of one is another one.
    net.done(&[root_claim("r7", "sell", &[1, 2]), hyper("carol", 1, &[("tempo", "5")])]);
    again(&mut net);
    let (root, kept) = (net.held("r7", 0, "r3"), net.held("r7", 1, "r3"));
    net.done(&[claim_root("r7", "r3")]);
    assert!(net.held("r7", 1, "r3") > kept && net.held("r7", 0, "r3") == root);
    net.done(&[dissolve("carol", 2)]);
    net.done(&[create_subnet("w12", "w12")]);
    let told: QueryHoldingsResponse = net
        .query(
            dodona_proto::path::HOLDINGS,
            &QueryHoldingsRequest { coldkey: text("r7"), ..Default::default() },
        )
        .unwrap();
    assert_eq!((told.root_claim.as_str(), told.root_keep_in), ("sell", vec![1]));

    // Below the subnet's threshold nothing is paid on request; who leaves the root gets what there is.
    net.done(&[hyper("carol", 1, &[("tempo", "1")])]);
    again(&mut net);
    net.done(&[claim_root("r7", "r3"), hyper("carol", 1, &[("root_claim_threshold", "10000000")])]);
    // One epoch, and no other one.
    net.done(&[hyper("carol", 1, &[("tempo", "5000")])]);
    let owed = net.claimable("r7", 1, "r3");
    assert!(owed > 0 && owed < 10_000_000, "{owed}");
    let no = net.refused(&claim_root("r7", "r3"));
    assert_eq!(no.id(), ("subnets", 39));
    assert!(no.log.contains("its root_claim_threshold is 10000000: wait"), "{}", no.log);
    let kept = net.held("r7", 1, "r3");
    net.done(&[sell("r7", 0, "r3", "", "")]);
    assert!(net.held("r7", 1, "r3") >= kept + owed);
    assert_eq!(net.held("r7", 0, "r3"), 0);
    assert_eq!(net.refused(&claim_root("r7", "r3")).id(), ("subnets", 31));

    for (tx, code, says) in [
        (root_claim("r7", "swap", &[]), 3, "send sell or keep"),
        (root_claim("r7", "keep", &[1]), 3, "in all subnets"),
        (root_claim("r7", "sell", &[99]), 2, "does not exist"),
        (root_claim("r7", "sell", &[1; 65]), 3, "at most 64"),
        (claim_in("r7", "r3", &[1; 6]), 3, "at most 5"),
        (claim_in("r7", "r3", &[99]), 2, "does not exist"),
        (rules("carol", &[("num_root_claims", "51")]), 3, "allowed are 0 to 50"),
        (hyper("alice", 1, &[("root_claim_threshold", "10000001")]), 3, "allowed are 0 to 10000000"),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.log.contains(says), "{no:?} does not say {says}");
    }
}

#[test]
fn holdings_at_the_root_are_paid_in_turn_and_a_claim_outlives_its_subnet() {
    let mut net = earning();
    // Many holders, some of whom leave again: everybody who is left has a number.
    let many: Vec<Tx> = (1..=20).map(|i| buy(&format!("w{i}"), 0, "r3", 10 * ALLO, "")).collect();
    net.done(&many);
    let some: Vec<Tx> = (1..=20).step_by(3).map(|i| sell(&format!("w{i}"), 0, "r3", "", "")).collect();
    net.done(&some);
    assert!(net.claimable("r7", 1, "r3") > 0);
    let root = net.held("r7", 0, "r3");
    net.done(&[rules("carol", &[("num_root_claims", "50")])]);
    for _ in 0..40 {
        net.done(&[]);
    }
    assert!(net.held("r7", 0, "r3") > root, "nobody was asked");
    // Everybody's turn comes; what is sold in a block in which its subnet ends is paid like stake.
    net.done(&[rules("carol", &[("num_root_claims", "0")])]);
    again(&mut net);
    let before = net.balance("r7");
    let tx = claim_root("r7", "r3");
    let fee = tx.fee;
    net.done(&[tx, dissolve("carol", 1)]);
    assert!(net.balance("r7") + fee > before);
    assert_eq!(net.claimable("r7", 1, "r3"), 0);
}
