//! Staking messages as hardware wallets sign them: the values are those that CosmJS writes (`@cosmjs/stargate` 0.39,
//! `AminoTypes` with the converters of staking and distribution, then `serializeSignDoc`).
#![allow(clippy::unwrap_used)] // also in the helpers beside the tests: failing is their way to speak

use dodona_proto::{
    Address, Prefix,
    amino::{AminoError, Document},
    cosmos::{
        base::v1beta1::Coin,
        crypto::ed25519::PubKey,
        distribution::v1beta1 as distribution,
        slashing::v1beta1 as slashing,
        staking::v1beta1 as staking,
        tx::v1beta1::{AuthInfo, Fee, SignerInfo, TxBody, TxRaw},
    },
    tx::pack,
    url,
};
use prost::Message;
use prost_types::Any;

const ME: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
const OPERATOR: &str = "allovaloper19rl4cm2hmr8afy4kldpxz3fka4jguq0a9h3a5q";

fn other() -> String {
    Address([7; 20]).written(Prefix::Operator)
}

fn coin() -> Option<Coin> {
    Some(Coin { denom: "uallo".into(), amount: "1000000000000000000".into() })
}

fn raw(message: Any) -> TxRaw {
    let auth = AuthInfo {
        signer_infos: vec![SignerInfo::default()],
        fee: Some(Fee {
            amount: vec![Coin { denom: "uallo".into(), amount: "400000".into() }],
            gas_limit: 400_000,
            ..Fee::default()
        }),
        ..AuthInfo::default()
    };
    let body = TxBody { messages: vec![message], ..TxBody::default() };
    TxRaw {
        body_bytes: body.encode_to_vec(),
        auth_info_bytes: auth.encode_to_vec(),
        signatures: vec![Vec::new()],
    }
}

/// The signed text of a transaction with this message alone.
fn text(message: Any) -> Result<String, AminoError> {
    Ok(String::from_utf8(Document::of(&raw(message))?.sign_bytes("kit-1", 0)).unwrap())
}

fn around(kind: &str, value: &str) -> String {
    [
        r#"{"account_number":"0","chain_id":"kit-1","fee":{"amount":[{"amount":"400000","denom":"uallo"}],"gas":"400000"},"memo":"","msgs":[{"type":""#,
        kind,
        r#"","value":"#,
        value,
        r#"}],"sequence":"0"}"#,
    ]
    .concat()
}

fn description() -> Option<staking::Description> {
    Some(staking::Description {
        moniker: "Node <1>".into(),
        identity: "ID".into(),
        website: "https://x.y".into(),
        security_contact: "a@x.y".into(),
        details: "D & d".into(),
    })
}

fn create(rate: &str, key: Any) -> Any {
    let commission = staking::CommissionRates {
        rate: rate.into(),
        max_rate: "1000000000000000000".into(),
        max_change_rate: "1".into(),
    };
    let message = staking::MsgCreateValidator {
        description: description(),
        commission: Some(commission),
        min_self_delegation: "1".into(),
        delegator_address: ME.into(),
        validator_address: OPERATOR.into(),
        pubkey: Some(key),
        value: coin(),
    };
    pack(url::CREATE_VALIDATOR, &message)
}

fn voting_key() -> Any {
    pack(url::ED25519, &PubKey { key: vec![9; 32] })
}

const DESCRIBED: &str = r#""description":{"details":"D \u0026 d","identity":"ID","moniker":"Node \u003c1\u003e","security_contact":"a@x.y","website":"https://x.y"}"#;

#[test]
fn every_staking_message_has_the_text_that_cosmjs_signs() {
    let (me, operator) = (ME.to_string(), OPERATOR.to_string());
    let edit = |commission_rate: &str, min_self_delegation: &str| staking::MsgEditValidator {
        description: description(),
        validator_address: operator.clone(),
        commission_rate: commission_rate.into(),
        min_self_delegation: min_self_delegation.into(),
    };
    let coins = r#""amount":{"amount":"1000000000000000000","denom":"uallo"}"#;
    let both = format!(r#""delegator_address":"{ME}","validator_address":"{OPERATOR}""#);
    let cases = [
        (
            pack(
                url::DELEGATE,
                &staking::MsgDelegate {
                    delegator_address: me.clone(),
                    validator_address: operator.clone(),
                    amount: coin(),
                },
            ),
            "cosmos-sdk/MsgDelegate",
            format!("{{{coins},{both}}}"),
        ),
        (
            pack(
                url::UNDELEGATE,
                &staking::MsgUndelegate {
                    delegator_address: me.clone(),
                    validator_address: operator.clone(),
                    amount: coin(),
                },
            ),
            "cosmos-sdk/MsgUndelegate",
            format!("{{{coins},{both}}}"),
        ),
        (
            pack(
                url::BEGIN_REDELEGATE,
                &staking::MsgBeginRedelegate {
                    delegator_address: me.clone(),
                    validator_src_address: operator.clone(),
                    validator_dst_address: other(),
                    amount: coin(),
                },
            ),
            "cosmos-sdk/MsgBeginRedelegate",
            format!(
                r#"{{{coins},"delegator_address":"{ME}","validator_dst_address":"{}","validator_src_address":"{OPERATOR}"}}"#,
                "allovaloper1qurswpc8qurswpc8qurswpc8qurswpc82ym6t5"
            ),
        ),
        (
            pack(
                url::CANCEL_UNBONDING,
                &staking::MsgCancelUnbondingDelegation {
                    delegator_address: me.clone(),
                    validator_address: operator.clone(),
                    amount: coin(),
                    creation_height: 77,
                },
            ),
            "cosmos-sdk/MsgCancelUnbondingDelegation",
            format!(r#"{{{coins},"creation_height":"77",{both}}}"#),
        ),
        (
            create("100000000000000000", voting_key()),
            "cosmos-sdk/MsgCreateValidator",
            format!(
                r#"{{"commission":{{"max_change_rate":"0.000000000000000001","max_rate":"1.000000000000000000","rate":"0.100000000000000000"}},"delegator_address":"{ME}",{DESCRIBED},"min_self_delegation":"1","pubkey":{{"type":"tendermint/PubKeyEd25519","value":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="}},"validator_address":"{OPERATOR}","value":{{"amount":"1000000000000000000","denom":"uallo"}}}}"#
            ),
        ),
        (
            pack(url::EDIT_VALIDATOR, &edit("50000000000000000", "2")),
            "cosmos-sdk/MsgEditValidator",
            format!(
                r#"{{"commission_rate":"0.050000000000000000",{DESCRIBED},"min_self_delegation":"2","validator_address":"{OPERATOR}"}}"#
            ),
        ),
        (
            pack(url::EDIT_VALIDATOR, &edit("", "")),
            "cosmos-sdk/MsgEditValidator",
            format!(r#"{{{DESCRIBED},"validator_address":"{OPERATOR}"}}"#),
        ),
        (
            pack(
                url::WITHDRAW_REWARD,
                &distribution::MsgWithdrawDelegatorReward {
                    delegator_address: me.clone(),
                    validator_address: operator.clone(),
                },
            ),
            "cosmos-sdk/MsgWithdrawDelegationReward",
            format!("{{{both}}}"),
        ),
        (
            pack(
                url::SET_WITHDRAW_ADDRESS,
                &distribution::MsgSetWithdrawAddress { delegator_address: me.clone(), withdraw_address: me },
            ),
            "cosmos-sdk/MsgModifyWithdrawAddress",
            format!(r#"{{"delegator_address":"{ME}","withdraw_address":"{ME}"}}"#),
        ),
    ];
    for (message, kind, value) in cases {
        assert_eq!(text(message.clone()).unwrap(), around(kind, &value), "{}", message.type_url);
    }
}

#[test]
fn where_cosmjs_and_the_cosmos_sdk_differ_the_text_is_the_sdks() {
    // CosmJS 0.39 has the name from before SDK 0.46, when it had one character too many for hardware wallets.
    let commission = distribution::MsgWithdrawValidatorCommission { validator_address: OPERATOR.into() };
    assert_eq!(
        text(pack(url::WITHDRAW_COMMISSION, &commission)).unwrap(),
        around("cosmos-sdk/MsgWithdrawValCommission", &format!(r#"{{"validator_address":"{OPERATOR}"}}"#))
    );
    // CosmJS has no form of this one.
    let unjail = slashing::MsgUnjail { validator_addr: OPERATOR.into() };
    assert_eq!(
        text(pack(url::UNJAIL, &unjail)).unwrap(),
        around("cosmos-sdk/MsgUnjail", &format!(r#"{{"address":"{OPERATOR}"}}"#))
    );
    // CosmJS writes empty parts of a description, the SDK leaves them out.
    let edit = staking::MsgEditValidator {
        description: Some(staking::Description { moniker: "m".into(), ..Default::default() }),
        validator_address: OPERATOR.into(),
        ..Default::default()
    };
    assert_eq!(
        text(pack(url::EDIT_VALIDATOR, &edit)).unwrap(),
        around(
            "cosmos-sdk/MsgEditValidator",
            &format!(r#"{{"description":{{"moniker":"m"}},"validator_address":"{OPERATOR}"}}"#)
        )
    );
}

#[test]
fn two_transactions_never_share_a_text() {
    for rate in ["0100000000000000000", "+1", "-1", "0.1", "x"] {
        let refused = AminoError::NotCanonical("a decimal number");
        assert_eq!(text(create(rate, voting_key())), Err(refused), "{rate}");
    }
    let spelt = |value: Vec<u8>| Any { type_url: url::ED25519.into(), value };
    let key = voting_key().value;
    for (value, refused) in [
        ([&key[..], &[0x50, 1]].concat(), AminoError::NotCanonical("a public key")),
        ([&[0x0a, 0][..], &key].concat(), AminoError::NotCanonical("a public key")),
        (vec![0xff], AminoError::Decode("a public key")),
    ] {
        assert_eq!(text(create("1", spelt(value))), Err(refused));
    }
    // A third field beside the type and the value of the key's box.
    let boxed = voting_key().encode_to_vec();
    let find = |all: &[u8], part: &[u8]| all.windows(part.len()).position(|w| w == part).unwrap();
    let mut value = create("1", voting_key()).value;
    let at = find(&value, &boxed);
    value[at - 1] += 2;
    value.splice(at + boxed.len()..at + boxed.len(), [0x18, 1]);
    let message = Any { type_url: url::CREATE_VALIDATOR.into(), value };
    assert_eq!(text(message), Err(AminoError::NotCanonical("a message")));
}

#[test]
fn an_any_that_holds_no_key_is_refused_however_deep_it_goes() {
    let mut any = voting_key();
    for _ in 0..10_000 {
        any = Any { type_url: "/cosmos.tx.v1beta1.TxBody".into(), value: any.encode_to_vec() };
    }
    let refused = AminoError::NoPlace("anything but a public key in an Any");
    assert_eq!(text(create("1", any)), Err(refused));
}
