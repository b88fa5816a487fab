//! Messages about validators and the stake behind them, as wallets send them too.

use dodona_proto::{
    ALLO, Address, DENOM, Prefix,
    cosmos::{
        base::v1beta1::Coin,
        crypto::ed25519::PubKey,
        staking::v1beta1::{
            CommissionRates, Description, MsgBeginRedelegate, MsgCreateValidator, MsgDelegate, MsgUndelegate,
        },
    },
    tx::pack,
    url,
};
use prost::Message;
use prost_types::Any;

/// One hundredth as rates are written on the wire.
const PERCENT: u128 = 10_000_000_000_000_000;

/// So many uallo, on the wire.
pub fn coin(amount: u128) -> Coin {
    Coin { denom: DENOM.into(), amount: amount.to_string() }
}

/// What an operator keeps of its delegators' rewards, percent.
#[derive(Copy, Clone, Debug)]
pub struct Commission {
    /// Now.
    pub rate: u64,
    /// The most it can ever be.
    pub max: u64,
    /// How much it can change in a day.
    pub max_change: u64,
}

/// A validator of this ed25519 key, with so much stake of its operator's own, uallo.
pub fn create(
    operator: Address,
    public_key: [u8; 32],
    name: &str,
    stake: u128,
    commission: Commission,
) -> Any {
    let percent = |n: u64| (u128::from(n) * PERCENT).to_string();
    let message = MsgCreateValidator {
        description: Some(Description { moniker: name.into(), ..Description::default() }),
        commission: Some(CommissionRates {
            rate: percent(commission.rate),
            max_rate: percent(commission.max),
            max_change_rate: percent(commission.max_change),
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

/// So much stake behind a validator, uallo.
pub fn delegate(delegator: Address, operator: Address, stake: u128) -> Any {
    let message = MsgDelegate {
        delegator_address: delegator.to_string(),
        validator_address: operator.written(Prefix::Operator),
        amount: Some(coin(stake)),
    };
    pack(url::DELEGATE, &message)
}

/// So much stake back, uallo. With all of its operator's gone a validator leaves the set.
pub fn undelegate(delegator: Address, operator: Address, stake: u128) -> Any {
    let message = MsgUndelegate {
        delegator_address: delegator.to_string(),
        validator_address: operator.written(Prefix::Operator),
        amount: Some(coin(stake)),
    };
    pack(url::UNDELEGATE, &message)
}

/// So much stake from one validator to another, uallo.
pub fn redelegate(delegator: Address, from: Address, to: Address, stake: u128) -> Any {
    let message = MsgBeginRedelegate {
        delegator_address: delegator.to_string(),
        validator_src_address: from.written(Prefix::Operator),
        validator_dst_address: to.written(Prefix::Operator),
        amount: Some(coin(stake)),
    };
    pack(url::BEGIN_REDELEGATE, &message)
}
