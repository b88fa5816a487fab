//! How a chain begins, and what is no beginning.

use dodona_chain::{App, AppError, Genesis, Params, Signatures};
use dodona_proto::Address;
use dodona_store::{Batch, Config, Store};
use serde_json::{Value, json};

use crate::kit::*;

fn changed(change: impl FnOnce(&mut Value)) -> Result<Genesis, String> {
    let mut document: Value = serde_json::from_str(&genesis(Params::default()).to_json()).unwrap();
    change(&mut document);
    Genesis::from_json(document.to_string().as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn a_genesis_reads_back_as_it_was_written() {
    let written = genesis(Params { fixed_emission: u128::from(u64::MAX) * 5, ..Params::default() }).to_json();
    assert_eq!(Genesis::from_json(written.as_bytes()).unwrap().to_json(), written);
}

#[test]
fn absent_parameters_take_their_defaults() {
    let read = changed(|g| g["params"] = json!({ "max_messages": 3 })).unwrap();
    assert_eq!(read.params, Params { max_messages: 3, ..Params::default() });
    let read = changed(|g| drop(g.as_object_mut().unwrap().remove("params"))).unwrap();
    assert_eq!(read.params, Params::default());
}

#[test]
fn a_wrong_genesis_is_refused_by_the_name_of_the_field() {
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |path: &'static str, value: Value| -> Change {
        Box::new(move |g: &mut Value| *g.pointer_mut(path).unwrap() = value)
    };
    let own = Address::of_module("allorarewards").to_string();
    let cases: Vec<(Change, &str)> = vec![
        (set("/chain_id", json!("")), "chain_id"),
        (set("/chain_id", json!("x".repeat(51))), "chain_id"),
        (set("/chain_id", json!("ä")), "chain_id"),
        (set("/accounts/1/address", json!(text("alice"))), "accounts[1].address: stands twice"),
        (set("/accounts/1/address", json!("allo1xyz")), "accounts[1].address"),
        (set("/accounts/1/address", json!(own)), "accounts[1].address: belongs to the chain"),
        (
            set("/accounts/0/balance", json!("1000000000000000000000000001")),
            "accounts[0].balance: sum exceeds",
        ),
        (set("/accounts/0/balance", json!("01")), "`01` is no amount"),
        (set("/accounts/0/balance", json!(5)), "not readable"),
        (set("/validators", json!([])), "validators: a chain needs at least one"),
        (set("/validators/1/public_key", json!("09".repeat(32))), "validators[1].public_key: stands twice"),
        (set("/validators/0/public_key", json!("09")), "validators[0].public_key: needs 64 hex"),
        (set("/validators/0/power", json!(0)), "validators[0].power"),
        (set("/validators/1/power", json!(1u64 << 62)), "validators[1].power"),
        (set("/validators/0/operator", json!("me")), "validators[0].operator"),
        (set("/validators/1/operator", json!(text("v1"))), "validators[1].operator: stands twice"),
        (set("/validators/0/power", json!(996_800_000u64)), "validators[1].power: in ALLO, and all balances"),
        (Box::new(|g| g["validators"][0]["moniker"] = json!("x".repeat(71))), "moniker"),
        (
            Box::new(|g| {
                g["validators"][0]["commission"] =
                    json!({ "rate": "0.3", "max_rate": "0.2", "max_change_rate": "0.1" })
            }),
            "validators[0].commission: needs rate",
        ),
        (
            Box::new(|g| {
                g["validators"][0]["commission"] =
                    json!({ "rate": "-1", "max_rate": "0.2", "max_change_rate": "0.1" })
            }),
            "validators[0].commission: rate `-1`",
        ),
        (set("/params/max_validators", json!(0)), "max_validators is 0, allowed are 1 to 1000"),
        (set("/params/slash_fraction_downtime", json!("1.5")), "slash_fraction_downtime is 1.5"),
        (set("/validators/0/operator", json!(own)), "validators[0].operator: belongs to the chain"),
        (set("/admins/0", json!("carol")), "admins[0]"),
        (
            set("/params/validators_vs_allora_percent_reward", json!("1.1")),
            "validators_vs_allora_percent_reward is 1.1",
        ),
        (set("/params/team_percent_of_total_supply", json!("0.175000000000000001")), "shares of the supply"),
        (set("/params/topic_reward_alpha", json!("0")), "topic_reward_alpha is 0"),
        (set("/params/beta_entropy", json!("NaN")), "`NaN`"),
        (set("/params/learning_rate", json!("-1")), "listening coefficients"),
        (set("/params/reputer_share", json!(20_000)), "reputer_share is 20000"),
        (set("/params/reputer_weight_cap", json!(10_001)), "reputer_weight_cap is 10001"),
        (set("/params/max_supply", json!((u128::MAX / 4 + 1).to_string())), "at most 2^126"),
        (set("/params/max_tx_bytes", json!(0)), "max_tx_bytes must be at least 1"),
        (set("/params/max_messages", json!(0)), "max_messages must be at least 1"),
        (set("/params/max_members", json!(0)), "max_members must be at least 1"),
        (set("/params/max_members_regret", json!(0)), "max_members_regret must be at least 1"),
        (set("/params/max_reputers", json!(0)), "max_reputers must be at least 1"),
        (
            set("/params/max_top_inferers_to_reward", json!(0)),
            "max_top_inferers_to_reward must be at least 1",
        ),
        (set("/params/blocks_per_month", json!(0)), "blocks_per_month must be at least 1"),
        (set("/params/min_epoch_length", json!(0)), "min_epoch_length must be at least 1"),
        (set("/params/epoch_retention", json!(0)), "epoch_retention must be at least 1"),
        (set("/params", json!({ "max_massages": 3 })), "not readable"),
        (Box::new(|g| g["colour"] = json!("red")), "not readable"),
        (Box::new(|g| drop(g.as_object_mut().unwrap().remove("time_ms"))), "not readable"),
    ];
    for (change, says) in cases {
        let error = changed(change).expect_err(says);
        assert!(error.contains(says), "`{error}` does not say `{says}`");
    }
    assert!(Genesis::from_json(b"{").is_err());
}

#[test]
fn a_home_opens_again_for_its_own_chain_only() {
    let store = Store::memory(Config::default());
    let first = genesis(Params::default());
    let root = App::open(store.clone(), &first, Signatures::Check).unwrap().root();
    let again = App::open(store.clone(), &first, Signatures::Check).unwrap();
    assert_eq!((again.root(), again.chain_id(), again.tip().unwrap().height), (root, CHAIN, 0));
    let other = Genesis { chain_id: "other-1".into(), ..first };
    let refused = App::open(store, &other, Signatures::Check).err().unwrap();
    assert!(matches!(refused, AppError::OtherChain { .. }), "{refused}");
}

#[test]
fn a_store_with_data_but_no_chain_is_refused() {
    let store = Store::memory(Config::default());
    let batch = Batch::from_changes([(b"zz".to_vec(), Some(vec![1]))]);
    store.commit(0, store.prepare(batch), Vec::new()).unwrap();
    let refused = App::open(store, &genesis(Params::default()), Signatures::Check).err().unwrap();
    assert!(matches!(refused, AppError::NoTip), "{refused}");
}

#[test]
fn the_order_of_validators_in_a_genesis_has_no_meaning() {
    let one = genesis(Params::default());
    let mut two = one.clone();
    two.validators.reverse();
    let open = |g: &Genesis| App::open(Store::memory(Config::default()), g, Signatures::Check).unwrap();
    let (one, two) = (open(&one), open(&two));
    assert_eq!(one.validators().unwrap(), two.validators().unwrap());
    assert_eq!(one.root(), two.root());
}
