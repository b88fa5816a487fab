//! One function per message, in four beats: load (each absence its own refusal), refuse, nothing below can fail, write
//! and tell. Here: what several messages share.

mod family;
mod lock;
mod neuron;
mod publish;
mod stake;
mod subnet;
mod swap;
mod trim;
mod weights;

use dodona_mechanism::supply::Fixed;
use dodona_proto::{Address, DENOM};
use dodona_store::Read;

pub(crate) use family::{set_childkey_take, set_children};
pub(crate) use lock::{lock_stake, move_lock};
pub(super) use neuron::{Room, room};
pub(crate) use neuron::{register, serve, set_auto_stake, set_take};
pub(crate) use publish::{set_commitment, set_hotkey_identity, set_subnet_identity};
pub(super) use stake::trading;
pub(crate) use stake::{claim_root, move_stake, set_root_claim, stake, unstake, unstake_all};
pub(super) use subnet::{cost, prunable};
pub(crate) use subnet::{create, dissolve, set_hyperparameters, set_rules, start, trigger_epoch};
pub(super) use swap::{again, due};
pub(crate) use swap::{announce, coldkey, dispute, frozen, hotkey, reset};
pub(crate) use trim::trim;
pub(crate) use weights::{commit, reveal, set};

use super::{
    book,
    error::SubnetError,
    state::{Key, MARKETS, Market, Netuid, SUBNETS, Subnet, UNIT},
};
use crate::{
    accounts,
    bank::{self, BankError},
    ctx::Ctx,
    error::Failure,
    text::{parse_amount, printable},
    topics::lists::is_admin,
};

/// A subnet that exists.
fn load(read: &impl Read, netuid: u32) -> Result<(Netuid, Subnet, Market), Failure> {
    let none = || Failure::from(SubnetError::NoSubnet(netuid));
    let id = Netuid::try_from(netuid).map_err(|_| none())?;
    let subnet = SUBNETS.get(read, &id)?.ok_or_else(none)?;
    let market = MARKETS.get(read, &id)?.ok_or_else(none)?;
    Ok((id, subnet, market))
}

fn value(field: &'static str, cause: impl Into<String>) -> SubnetError {
    SubnetError::Value { field, cause: cause.into() }
}

fn address(field: &'static str, text: &str) -> Result<Address, SubnetError> {
    text.parse().map_err(|e: dodona_proto::AddressError| value(field, e.to_string()))
}

/// A key that can hold something: not an account of the chain itself.
fn key(field: &'static str, text: &str) -> Result<Key, SubnetError> {
    let address = address(field, text)?;
    if accounts::is_own(address) {
        return Err(value(field, "this account belongs to the chain itself"));
    }
    Ok(address.0)
}

/// uallo as text, as base units; the rest stays with its owner.
fn tokens(field: &'static str, text: &str) -> Result<u64, SubnetError> {
    let wrong = || {
        let most = (u128::from(u64::MAX) + 1) * UNIT - 1;
        let cause = "send a positive integer number of uallo";
        value(field, format!("`{}`; {cause}, at least {UNIT} and at most {most}", printable(text)))
    };
    let amount = parse_amount(text).map(|amount| amount / UNIT).filter(|amount| *amount > 0);
    amount.and_then(|amount| u64::try_from(amount).ok()).ok_or_else(wrong)
}

/// Base units as text.
fn units(field: &'static str, text: &str) -> Result<u64, SubnetError> {
    let amount =
        parse_amount(text).filter(|amount| *amount > 0).and_then(|amount| u64::try_from(amount).ok());
    amount
        .ok_or_else(|| value(field, format!("`{}`; send a positive integer of base units", printable(text))))
}

/// A price, or the one that is no limit.
fn price(field: &'static str, text: &str, none: Fixed) -> Result<Fixed, SubnetError> {
    if text.is_empty() {
        return Ok(none);
    }
    let limit: Option<Fixed> = text.parse().ok().filter(|price: &Fixed| *price > Fixed::ZERO);
    limit.ok_or_else(|| value(field, format!("`{}`; send a price above 0 such as 0.025", printable(text))))
}

/// Refuses when it costs more than the sender would pay, or has.
fn affordable(ctx: &Ctx, payer: Address, cost: u64, max_cost: &str) -> Result<(), Failure> {
    let needs = u128::from(cost) * UNIT;
    if !max_cost.is_empty() {
        let wrong = || value("max_cost", "send a number of uallo, or nothing");
        let max = parse_amount(max_cost).ok_or_else(wrong)?;
        if max < needs {
            return Err(SubnetError::Cost { cost: needs, max }.into());
        }
    }
    has(ctx, payer, needs)
}

/// Refuses when somebody has less than that many uallo.
fn has(ctx: &Ctx, who: Address, needs: u128) -> Result<(), Failure> {
    let has = bank::balance(ctx.state, who)?;
    if has < needs { Err(BankError::Insufficient { has, needs }.into()) } else { Ok(()) }
}

/// Refuses a hotkey of somebody else.
fn own_or_free(ctx: &Ctx, hotkey: Key, coldkey: Address) -> Result<(), Failure> {
    match book::owner_of(ctx.state, hotkey)? {
        Some(owner) if owner != coldkey.0 => {
            Err(SubnetError::ForeignHotkey { hotkey: Address(hotkey), owner: Address(owner) }.into())
        }
        _ => Ok(()),
    }
}

/// Refuses whoever is not an admin of the chain.
fn admins_only(ctx: &Ctx, who: Address, what: &'static str) -> Result<(), Failure> {
    if is_admin(ctx.state, who)? {
        return Ok(());
    }
    Err(SubnetError::NotPermitted { who, what, hint: "ask an admin of the chain".into() }.into())
}

/// Refuses trade before the start.
fn started(netuid: Netuid, subnet: &Subnet, height: u64) -> Result<(), SubnetError> {
    match subnet.started {
        Some(at) if at <= height => Ok(()),
        Some(at) => Err(SubnetError::NotStarted { netuid, hint: format!("trade opens in block {at}") }),
        None => {
            let hint = format!("its owner {} has to start it", Address(subnet.owner));
            Err(SubnetError::NotStarted { netuid, hint })
        }
    }
}

/// An amount of the chain's token for people.
fn uallo(amount: u64) -> String {
    format!("{}{DENOM}", u128::from(amount) * UNIT)
}
