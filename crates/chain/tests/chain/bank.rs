//! Transfers.

use dodona_chain::parse_amount;
use dodona_proto::{
    Address,
    cosmos::{bank::v1beta1::MsgSend, base::v1beta1::Coin},
    tx::pack,
    url,
};

use crate::kit::*;

fn transfer(to: &str, coins: &[(&str, &str)]) -> Tx {
    let coin = |(amount, denom): &(&str, &str)| Coin { denom: denom.to_string(), amount: amount.to_string() };
    let amount = coins.iter().map(coin).collect();
    let message = MsgSend { from_address: text("alice"), to_address: to.into(), amount };
    Tx::new("alice", vec![pack(url::SEND, &message)])
}

#[test]
fn a_transfer_moves_exactly_its_amount_and_the_fee() {
    let mut net = Net::new();
    let tx = send("alice", "bob", 12_345);
    net.done(std::slice::from_ref(&tx));
    assert_eq!(net.balance("alice"), PURSE - 12_345 - tx.fee);
    assert_eq!(net.balance("bob"), PURSE + 12_345);
}

#[test]
fn a_transfer_to_oneself_changes_nothing_but_the_fee() {
    let mut net = Net::new();
    let tx = send("alice", "alice", PURSE / 2);
    net.done(std::slice::from_ref(&tx));
    assert_eq!(net.balance("alice"), PURSE - tx.fee);
}

#[test]
fn the_whole_balance_can_be_sent_and_brings_an_account_into_being() {
    let mut net = Net::new();
    assert!(!net.account("new").exists);
    let tx = send("alice", "new", 0);
    let rest = PURSE - tx.fee;
    net.done(&[send("alice", "new", rest)]);
    assert_eq!((net.balance("alice"), net.balance("new")), (0, rest));
    assert!(net.account("new").exists);
    net.done(&[send("new", "alice", 1)]);
}

#[test]
fn what_is_no_transfer_is_refused_charged_and_undone() {
    let net = Net::new();
    let bob = text("bob");
    let cases: Vec<(Tx, u32, &str)> = vec![
        (transfer(&bob, &[("0", "uallo")]), 10, "amount `0`"),
        (transfer(&bob, &[("007", "uallo")]), 10, "amount `007`"),
        (transfer(&bob, &[("-1", "uallo")]), 10, "amount `-1`"),
        (transfer(&bob, &[("+1", "uallo")]), 10, "amount `+1`"),
        (transfer(&bob, &[("1.5", "uallo")]), 10, "amount `1.5`"),
        (transfer(&bob, &[("", "uallo")]), 10, "amount ``"),
        (transfer(&bob, &[("1\u{7}", "uallo")]), 10, "amount `1?`"),
        (transfer(&bob, &[("340282366920938463463374607431768211456", "uallo")]), 10, "amount `3402"),
        (transfer(&bob, &[("340282366920938463463374607431768211455", "uallo")]), 5, "insufficient funds"),
        (transfer(&bob, &[("1", "uatom")]), 10, "unknown token `uatom`"),
        (transfer(&bob, &[]), 10, "0 coins"),
        (transfer(&bob, &[("1", "uallo"), ("1", "uallo")]), 10, "2 coins"),
        (transfer("", &[("1", "uallo")]), 7, "invalid to_address"),
        (transfer("cosmos1abc", &[("1", "uallo")]), 7, "invalid to_address"),
        (send("alice", "bob", PURSE), 5, "insufficient funds"),
    ];
    for (tx, code, says) in cases {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("sdk", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
}

#[test]
fn nobody_sends_to_an_account_of_the_chain_itself() {
    let net = Net::new();
    for module in [
        "fee_collector",
        "ecosystem",
        "allorarewards",
        "allorastaking",
        "allorapendingrewards",
        "bonded_tokens_pool",
        "not_bonded_tokens_pool",
        "distribution",
        "subnets",
    ] {
        let no = net.refused(&transfer(&Address::of_module(module).to_string(), &[("1", "uallo")]));
        assert_eq!(no.id(), ("sdk", 4), "{no:?}");
        assert!(no.log.contains("not allowed to receive funds"), "{no:?}");
    }
    assert_eq!(dodona_chain::topics::topics_rewards(), Address::of_module("allorarewards"));
    assert_eq!(dodona_chain::topics::stake_account(), Address::of_module("allorastaking"));
    assert_eq!(dodona_chain::topics::topics_pending(), Address::of_module("allorapendingrewards"));
}

#[test]
fn an_amount_has_one_spelling() {
    let max = u128::MAX.to_string();
    assert_eq!(parse_amount(&max), Some(u128::MAX));
    assert_eq!(parse_amount("0"), Some(0));
    for wrong in ["", "00", "01", " 1", "1 ", "1_000", "0x1", "1e3", "١", &format!("{max}0")] {
        assert_eq!(parse_amount(wrong), None, "`{wrong}`");
    }
}
