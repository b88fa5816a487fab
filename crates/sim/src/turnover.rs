//! The messages with which validators come and go, for networks in one thread and of real processes alike.

use dodona_proto::{
    ALLO, Address, DENOM, Prefix,
    cosmos::{
        base::v1beta1::Coin,
        crypto::ed25519::PubKey,
        staking::v1beta1::{CommissionRates, Description, MsgCreateValidator, MsgUndelegate},
    },
    tx::pack,
    url,
};
use prost::Message;
use prost_types::Any;

/// More than either message costs.
pub(crate) const GAS: u64 = 300_000;

fn coin(amount: u128) -> Coin {
    Coin { denom: DENOM.into(), amount: amount.to_string() }
}

/// A validator of this key, with so much stake of its operator's own, uallo.
pub(crate) fn join(operator: Address, public_key: [u8; 32], name: &str, stake: u128) -> Any {
    // One hundredth on the wire is 10^16.
    let percent = |n: u128| (n * 10_000_000_000_000_000).to_string();
    let message = MsgCreateValidator {
        description: Some(Description { moniker: name.into(), ..Description::default() }),
        commission: Some(CommissionRates {
            rate: percent(10),
            max_rate: percent(20),
            max_change_rate: percent(1),
        }),
        min_self_delegation: ALLO.to_string(),
        validator_address: operator.written(Prefix::Operator),
        pubkey: Some(Any {
            type_url: "/cosmos.crypto.ed25519.PubKey".into(),
            value: PubKey { key: public_key.to_vec() }.encode_to_vec(),
        }),
        value: Some(coin(stake)),
        ..MsgCreateValidator::default()
    };
    pack(url::CREATE_VALIDATOR, &message)
}

/// So much of the operator's own stake back, uallo: with all of it gone the validator leaves the set.
pub(crate) fn leave(operator: Address, stake: u128) -> Any {
    let message = MsgUndelegate {
        delegator_address: operator.to_string(),
        validator_address: operator.written(Prefix::Operator),
        amount: Some(coin(stake)),
    };
    pack(url::UNDELEGATE, &message)
}
