//! Staking's messages as they arrive: texts become addresses, amounts and rates, or a refusal that names the field.

use dodona_mechanism::supply::Fixed;
use dodona_proto::{
    Address, DENOM, Prefix,
    cosmos::{
        base::v1beta1::Coin,
        crypto::ed25519::PubKey,
        distribution::v1beta1::{
            MsgSetWithdrawAddress, MsgWithdrawDelegatorReward, MsgWithdrawValidatorCommission,
        },
        slashing::v1beta1::MsgUnjail,
        staking::v1beta1::{
            MsgBeginRedelegate, MsgCancelUnbondingDelegation, MsgCreateValidator, MsgDelegate,
            MsgEditValidator, MsgUndelegate,
        },
    },
};
use prost::Message;

use super::{
    delegate as delegations,
    error::StakingError,
    redelegate as redelegations, reward,
    state::{Description, Key},
    unbond,
    validator::{self, Change, Founding},
};
use crate::{
    bank::BankError,
    ctx::Ctx,
    error::Failure,
    text::{parse_amount, printable},
};

/// Type of the keys that vote.
const ED25519: &str = "/cosmos.crypto.ed25519.PubKey";
/// What clients write into a field they do not want to change.
const UNCHANGED: &str = "[do-not-modify]";

pub(crate) fn create_validator(ctx: &mut Ctx, from: Address, m: &MsgCreateValidator) -> Result<(), Failure> {
    // Old clients name the operator's account once more.
    if !m.delegator_address.is_empty() && account("delegator_address", &m.delegator_address)? != from {
        return Err(value("delegator_address", "is the operator's own account, or empty").into());
    }
    let key = m.pubkey.as_ref().ok_or(StakingError::KeyType("none was given"))?;
    if key.type_url != ED25519 {
        return Err(StakingError::KeyType("another type was given").into());
    }
    let key = PubKey::decode(key.value.as_slice()).ok().and_then(|k| k.key.try_into().ok());
    let text = m.description.clone().unwrap_or_default();
    let commission = m.commission.clone().unwrap_or_default();
    let new = Founding {
        public_key: key.ok_or(StakingError::KeyType("another length was given"))?,
        description: Description {
            moniker: text.moniker,
            identity: text.identity,
            website: text.website,
            security_contact: text.security_contact,
            details: text.details,
        },
        rate: rate("rate", &commission.rate)?,
        max_rate: rate("max_rate", &commission.max_rate)?,
        max_change: rate("max_change_rate", &commission.max_change_rate)?,
        min_self: integer("min_self_delegation", &m.min_self_delegation)?,
        amount: amount(m.value.as_ref())?,
    };
    validator::create(ctx, from, new)
}

pub(crate) fn edit_validator(ctx: &mut Ctx, from: Address, m: &MsgEditValidator) -> Result<(), Failure> {
    let text = m.description.clone();
    let fields = text.map(|t| [t.moniker, t.identity, t.website, t.security_contact, t.details]);
    let said = |text: String| (text != UNCHANGED).then_some(text);
    let change = Change {
        description: fields.map_or([const { None }; 5], |fields| fields.map(said)),
        rate: optional(&m.commission_rate, |text| rate("commission_rate", text))?,
        min_self: optional(&m.min_self_delegation, |text| integer("min_self_delegation", text))?,
    };
    validator::edit(ctx, from, change)
}

pub(crate) fn delegate(ctx: &mut Ctx, from: Address, m: &MsgDelegate) -> Result<(), Failure> {
    let operator = operator("validator_address", &m.validator_address)?;
    delegations::delegate(ctx, from, operator, amount(m.amount.as_ref())?)
}

pub(crate) fn undelegate(ctx: &mut Ctx, from: Address, m: &MsgUndelegate) -> Result<(), Failure> {
    let operator = operator("validator_address", &m.validator_address)?;
    unbond::undelegate(ctx, from, operator, amount(m.amount.as_ref())?)
}

pub(crate) fn cancel_unbonding(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgCancelUnbondingDelegation,
) -> Result<(), Failure> {
    let operator = operator("validator_address", &m.validator_address)?;
    let created = u64::try_from(m.creation_height).ok().filter(|height| *height > 0);
    let created = created.ok_or_else(|| value("creation_height", "is a height above 0"))?;
    unbond::cancel(ctx, from, operator, amount(m.amount.as_ref())?, created)
}

pub(crate) fn redelegate(ctx: &mut Ctx, from: Address, m: &MsgBeginRedelegate) -> Result<(), Failure> {
    let source = operator("validator_src_address", &m.validator_src_address)?;
    let destination = operator("validator_dst_address", &m.validator_dst_address)?;
    redelegations::redelegate(ctx, from, source, destination, amount(m.amount.as_ref())?)
}

pub(crate) fn unjail(ctx: &mut Ctx, from: Address, _: &MsgUnjail) -> Result<(), Failure> {
    validator::unjail(ctx, from)
}

pub(crate) fn withdraw_reward(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgWithdrawDelegatorReward,
) -> Result<(), Failure> {
    reward::withdraw(ctx, from, operator("validator_address", &m.validator_address)?)
}

pub(crate) fn withdraw_commission(
    ctx: &mut Ctx,
    from: Address,
    _: &MsgWithdrawValidatorCommission,
) -> Result<(), Failure> {
    reward::withdraw_commission(ctx, from)
}

pub(crate) fn set_withdraw_address(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgSetWithdrawAddress,
) -> Result<(), Failure> {
    reward::set_withdraw_address(ctx, from, account("withdraw_address", &m.withdraw_address)?)
}

fn value(field: &'static str, cause: &str) -> StakingError {
    StakingError::Value { field, cause: cause.to_string() }
}

fn account(field: &'static str, text: &str) -> Result<Address, BankError> {
    text.parse().map_err(|e: dodona_proto::AddressError| BankError::Address { field, cause: e.to_string() })
}

fn operator(field: &'static str, text: &str) -> Result<Key, BankError> {
    let read = Address::read(text, Prefix::Operator);
    read.map(|a| a.0).map_err(|e| BankError::Address { field, cause: e.to_string() })
}

/// A positive amount of the one token.
fn amount(coin: Option<&Coin>) -> Result<u128, BankError> {
    let coin = coin.ok_or_else(|| BankError::Coins("no amount".into()))?;
    if coin.denom != DENOM {
        return Err(BankError::Coins(format!("unknown token `{}`", printable(&coin.denom))));
    }
    let wrong = || BankError::Coins(format!("amount `{}`", printable(&coin.amount)));
    parse_amount(&coin.amount).filter(|a| *a > 0).ok_or_else(wrong)
}

fn integer(field: &'static str, text: &str) -> Result<u128, StakingError> {
    parse_amount(text).filter(|n| *n > 0).ok_or_else(|| value(field, "needs a positive integer"))
}

/// A rate on the wire: an integer of eighteen decimals.
fn rate(field: &'static str, text: &str) -> Result<Fixed, StakingError> {
    parse_amount(text).map(Fixed::from_raw).ok_or(StakingError::Rate(field))
}

fn optional<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, StakingError>,
) -> Result<Option<T>, StakingError> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}
