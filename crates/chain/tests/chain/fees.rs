//! The price of gas and the size of blocks: what fits, what it costs, and that every unit of it arrives.

use dodona_chain::{Genesis, Params};
use dodona_proto::{
    chain::{QueryGasRequest, QueryGasResponse, QueryStatusRequest, QueryStatusResponse},
    path,
};

use crate::kit::*;

/// A chain whose blocks hold two and a half of the kit's transactions.
fn narrow() -> Net {
    Net::with(|p| p.feemarket_max_block_utilization = 1_000_000)
}

/// Prices of `Net::market` come as text; fees are computed here in another way than in the chain.
fn price(net: &Net) -> f64 {
    gas(net).price.parse().unwrap()
}

fn gas(net: &Net) -> QueryGasResponse {
    net.query(path::GAS, &QueryGasRequest {}).unwrap()
}

/// A transfer that offers exactly this fee.
fn offer(from: &str, gas: u64, fee: u128) -> Tx {
    Tx { gas, fee, ..send(from, "bob", 1) }
}

#[test]
fn a_block_holds_transactions_up_to_its_gas_limit_and_not_one_unit_more() {
    let mut net = narrow();
    let full = [offer("alice", 600_000, 600_000), offer("carol", 400_000, 400_000)];
    let over = [full[0].clone(), offer("carol", 400_001, 400_001)];
    let invalid = net.execute(&net.sign(&over)).unwrap_err();
    assert_eq!(invalid.index, 1);
    assert_eq!(invalid.cause, "its gas limit 400001 and the 600000 before it exceed the block's 1000000");
    net.done(&full);
}

#[test]
fn a_proposer_leaves_out_what_does_not_fit_and_keeps_the_order_of_each_sender() {
    let mut net = narrow();
    let txs = net.sign(&[
        send("alice", "bob", 1),
        send("alice", "bob", 2).gas(700_000), // does not fit
        send("alice", "bob", 3).gas(100_000), // would, but comes after it
        send("carol", "bob", 4),
        send("bob", "alice", 5).gas(200_000),
    ]);
    let (proposed, included) = net.propose(&txs);
    assert_eq!(included, [0, 3, 4]);
    let chosen: Vec<Vec<u8>> = included.iter().map(|i| txs[*i].clone()).collect();
    assert_eq!(net.execute(&chosen).unwrap().root, proposed.root);
    net.commit(proposed);
    // The others are as valid as before, and first in the next block.
    assert_eq!(net.propose(&txs[1..3]).1, [0, 1]);
}

#[test]
fn a_transaction_that_fits_into_no_block_is_refused_at_once() {
    let net = narrow();
    let no = net.refused(&offer("alice", 1_000_001, 2_000_000));
    assert_eq!(no.id(), ("sdk", 41));
    assert_eq!(no.log, "tx gas limit 1000001 exceeds block max gas 1000000: invalid gas limit");
    assert!(!no.charged);
    assert_eq!(net.refusal_of(&offer("alice", 1_000_000, 1_000_000)), None);
    // Whoever asks what something would cost has no limit yet.
    let bytes = net.sign(&[offer("alice", u64::MAX, 0)]);
    assert!(net.app.simulate(&bytes[0]).is_ok());
}

#[test]
fn the_price_rises_with_full_blocks_and_fees_are_rounded_up() {
    let mut net = narrow();
    assert_eq!(price(&net), 1.0);
    for _ in 0..5 {
        net.block(&[]);
    }
    assert_eq!(price(&net), 1.0, "an idle network stays at the floor");
    net.done(&[send("alice", "bob", 1), send("carol", "bob", 1).gas(100_000)]);
    assert_eq!(price(&net), 1.0, "a half full block moves nothing");
    net.done(&[send("alice", "bob", 1), send("carol", "bob", 1).gas(600_000)]);
    assert_eq!(gas(&net).price, "1.125");
    let no = net.refused(&offer("alice", 400_000, 449_999));
    assert_eq!((no.id(), no.charged), (("sdk", 13), false));
    assert_eq!(no.log, "insufficient fees; got: 449999uallo required: 450000uallo: insufficient fee");
    assert_eq!(net.refusal_of(&offer("alice", 400_000, 450_000)), None);
    let no = net.refused(&offer("alice", 400_001, 450_001)); // · 1.125 = 450 001.125
    assert!(no.log.contains("required: 450002uallo"), "{no:?}");
    assert_eq!(net.refusal_of(&offer("alice", 400_001, 450_002)), None);
    // One snapshot of the market for all who ask.
    let status: QueryStatusResponse = net.query(path::STATUS, &QueryStatusRequest {}).unwrap();
    assert_eq!((status.min_gas_price.as_str(), status.gas_price.as_str()), ("1", "1.125"));
    let market = gas(&net);
    assert_eq!((market.window, market.index), (vec![0, 0, 0, 0, 0, 500_000, 1_000_000, 0], 7));
    for _ in 0..3 {
        net.block(&[]);
    }
    assert_eq!(price(&net), 1.0);
}

#[test]
fn every_unit_of_fees_reaches_the_validators_while_the_price_moves() {
    let mut net = Net::with(|p| {
        p.feemarket_max_block_utilization = 1_000_000;
        p.emission_enabled = false;
    });
    let mut dice = Dice(5);
    let (mut paid, mut prices) = (0, Vec::new());
    for round in 0..60 {
        let now = price(&net);
        prices.push(now);
        // Busy for a while, then idle; some pay more than they need, some fail and pay all the same.
        let mut room = if round < 40 { 1_000_000 } else { 100_000 };
        let mut txs = Vec::new();
        while room > 50_000 {
            let gas = (50_000 + dice.roll(400_000)).min(room);
            room -= gas;
            let fee = (gas as f64 * now).ceil() as u128 + 1 + u128::from(dice.roll(7));
            let from = *dice.pick(&["alice", "bob", "carol"]);
            let amount = if dice.roll(4) == 0 { 2 * PURSE } else { 1 };
            txs.push(Tx { gas, fee, ..send(from, "owner", amount) });
            paid += fee;
        }
        net.block(&txs);
        assert_eq!(net.earned("v1") + net.earned("v2"), paid, "block {}", net.height);
    }
    let top = prices.iter().copied().fold(0.0, f64::max);
    assert!(top > 10.0 && price(&net) < top / 4.0, "{prices:?}");
}

#[test]
fn admins_change_the_market_from_the_next_block_on() {
    let mut net = narrow();
    let of = |set: &[(&str, &str)]| set_params(set).gas(500_000);
    net.done(&[of(&[("feemarket_min_base_gas_price", "2.5")])]);
    assert_eq!(gas(&net).price, "2.5");
    assert_eq!(net.refusal_of(&offer("alice", 100_000, 249_999)), Some(13));
    // A busy chain whose market is switched off goes back to its floor at once.
    net.done(&[of(&[]), send("alice", "bob", 1), send("bob", "alice", 1).gas(100_000)]);
    assert!(price(&net) > 2.5);
    net.done(&[of(&[("feemarket_enabled", "false")])]);
    assert_eq!(gas(&net).price, "2.5");
    net.done(&[send("alice", "bob", 1), send("bob", "alice", 1).gas(600_000)]);
    assert_eq!(gas(&net).price, "2.5");
    net.done(&[of(&[("feemarket_enabled", "true"), ("feemarket_window", "2")])]);
    net.block(&[]);
    assert_eq!(gas(&net).window.len(), 2);
    net.done(&[of(&[("feemarket_max_block_utilization", "1000001")])]);
    assert_eq!(net.refusal_of(&offer("alice", 1_000_001, 3_000_000)), None);
}

#[test]
fn a_market_that_would_stop_the_chain_is_refused() {
    let net = narrow();
    for (name, value) in [
        ("feemarket_min_base_gas_price", "0"),
        ("feemarket_min_base_gas_price", "1000000000000001"),
        ("feemarket_min_base_gas_price", "-1"),
        ("feemarket_max_block_utilization", "999999"),
        ("feemarket_max_block_utilization", "1000000000001"),
        ("feemarket_window", "0"),
        ("feemarket_window", "1001"),
        ("feemarket_alpha", "1.1"),
        ("feemarket_beta", "1.1"),
        ("feemarket_gamma", "0.6"),
        ("feemarket_delta", "2"),
        ("feemarket_max_learning_rate", "1.1"),
        ("feemarket_min_learning_rate", "0.2"),
    ] {
        let no = net.refused(&set_params(&[(name, value)]));
        assert_eq!(no.id(), ("emissions", 42), "{name} {value}: {no:?}");
        assert!(Genesis::from_json(genesis(Params::default()).to_json().as_bytes()).is_ok());
    }
}

#[test]
fn the_price_is_part_of_the_state() {
    let (mut busy, mut idle) = (narrow(), narrow());
    // The same transfers and fees, once with large limits and once with small ones.
    busy.done(&[offer("alice", 1_000_000, 1_000_000)]);
    idle.done(&[offer("alice", 100_000, 1_000_000)]);
    assert_eq!(busy.balance("alice"), idle.balance("alice"));
    assert_ne!(busy.app.root(), idle.app.root());
}
