//! What validators and delegators earn: a block's fees and the validators' part of the emission go to those who signed,
//! by power; of each part the operator keeps its commission, the rest is paid per share. Slashing changes no shares, so
//! it changes no rewards. Exact to the unit: what rounding leaves stays in the books and the account.

use dodona_mechanism::amount::split_by;
use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use super::{
    error::{DistributionError, Operator},
    set,
    state::{DELEGATIONS, Delegation, Key, REWARDS, VALIDATORS, WITHDRAW},
    tell,
};
use crate::{
    accounts::{self, distribution, fee_collector},
    bank::{self, BankError},
    ctx::Ctx,
    error::Failure,
    gas,
};

/// What a delegation can collect now.
///
/// # Errors
/// When the disk cannot be read.
pub fn pending(read: &impl Read, operator: Key, delegation: &Delegation) -> Result<u128, StoreError> {
    let rewards = REWARDS.get(read, &operator)?.unwrap_or_default();
    Ok(rewards.per_share.owed(delegation.settled, delegation.shares).unwrap_or(0).min(rewards.outstanding))
}

/// The account that gets a delegator's rewards.
///
/// # Errors
/// When the disk cannot be read.
pub fn receiver(read: &impl Read, delegator: Key) -> Result<Address, StoreError> {
    Ok(Address(WITHDRAW.get(read, &delegator)?.unwrap_or(delegator)))
}

/// `MsgWithdrawDelegatorReward`.
pub(crate) fn withdraw(ctx: &mut Ctx, from: Address, operator: Key) -> Result<(), Failure> {
    ctx.gas.charge(gas::WITHDRAW, "withdraw reward")?;
    if !VALIDATORS.contains(ctx.state, &operator)? {
        return Err(DistributionError::NoValidator(Operator(operator)).into());
    }
    if !DELEGATIONS.contains(ctx.state, &(operator, from.0))? {
        return Err(DistributionError::NoDelegation { who: from, operator: Operator(operator) }.into());
    }
    // Nothing below can fail.
    settle(ctx, operator, from.0)
}

/// `MsgWithdrawValidatorCommission`.
pub(crate) fn withdraw_commission(ctx: &mut Ctx, from: Address) -> Result<(), Failure> {
    ctx.gas.charge(gas::WITHDRAW, "withdraw commission")?;
    let mut rewards = REWARDS.get(ctx.state, &from.0)?.unwrap_or_default();
    if rewards.commission == 0 {
        return Err(DistributionError::NoCommission.into());
    }
    // Nothing below can fail.
    let amount = std::mem::take(&mut rewards.commission);
    REWARDS.put(ctx.state, &from.0, &rewards);
    let to = receiver(ctx.state, from.0)?;
    bank::transfer(ctx.state, distribution(), to, amount)?;
    ctx.emit(tell::commission_collected(amount));
    Ok(())
}

/// `MsgSetWithdrawAddress`.
pub(crate) fn set_withdraw_address(ctx: &mut Ctx, from: Address, to: Address) -> Result<(), Failure> {
    ctx.gas.charge(gas::WITHDRAW, "set withdraw address")?;
    if accounts::is_own(to) {
        return Err(BankError::Blocked(to).into());
    }
    // Nothing below can fail.
    if to == from {
        WITHDRAW.delete(ctx.state, &from.0);
    } else {
        WITHDRAW.put(ctx.state, &from.0, &to.0);
    }
    ctx.emit(tell::withdraw_address(to));
    Ok(())
}

/// Pays a delegation what it has earned so far. Nothing happens without one.
pub(super) fn settle(ctx: &mut Ctx, operator: Key, delegator: Key) -> Result<(), Failure> {
    let key = (operator, delegator);
    let Some(delegation) = DELEGATIONS.get(ctx.state, &key)? else { return Ok(()) };
    let amount = pending(ctx.state, operator, &delegation)?;
    let mut rewards = REWARDS.get(ctx.state, &operator)?.unwrap_or_default();
    DELEGATIONS.put(ctx.state, &key, &Delegation { settled: rewards.per_share, ..delegation });
    if amount > 0 {
        rewards.outstanding -= amount;
        REWARDS.put(ctx.state, &operator, &rewards);
        let to = receiver(ctx.state, delegator)?;
        bank::transfer(ctx.state, distribution(), to, amount)?;
    }
    ctx.emit(tell::collected(delegator, operator, amount));
    Ok(())
}

/// End of block: the block's income over the members of its set that signed the block before, as far as that is known
/// and any of them did; over all of them otherwise. By voting power, to the last unit.
pub(super) fn divide(ctx: &mut Ctx, signed: Option<&[[u8; 32]]>) -> Result<(), Failure> {
    let income = bank::balance(ctx.state, fee_collector())?;
    if income == 0 {
        return Ok(());
    }
    let all = set::current(ctx.state)?.members;
    let present: Vec<_> = match signed {
        Some(keys) => all.iter().filter(|v| keys.contains(&v.public_key)).cloned().collect(),
        None => Vec::new(),
    };
    let paid = if present.is_empty() { all } else { present };
    let powers: Vec<u128> = paid.iter().map(|v| v.power.into()).collect();
    // Sets are never empty and nobody in them is without power.
    let Ok(parts) = split_by(income, &powers) else { return Ok(()) };
    bank::transfer(ctx.state, fee_collector(), distribution(), income)?;
    for (member, part) in paid.iter().zip(parts) {
        earn(ctx, member.operator.0, part)?;
    }
    Ok(())
}

/// Books what a validator earned; it lies in the distribution account already. It is no event: every block would tell
/// it of every validator.
fn earn(ctx: &mut Ctx, operator: Key, amount: u128) -> Result<(), Failure> {
    let mut rewards = REWARDS.get(ctx.state, &operator)?.unwrap_or_default();
    // Members of the set are bonded, and bonded validators exist.
    let (rate, shares) = VALIDATORS
        .get(ctx.state, &operator)?
        .map_or((dodona_mechanism::supply::Fixed::ONE, 0), |v| (v.commission.rate, v.shares));
    let kept = rate.of(amount).unwrap_or(amount).min(amount);
    // Without shares, or beyond what an amount per share can express, the operator keeps all.
    let (commission, shared) = match rewards.per_share.pay_carrying(amount - kept, rewards.rest, shares) {
        Ok((per_share, rest)) => {
            (rewards.per_share, rewards.rest) = (per_share, rest);
            (kept, amount - kept)
        }
        Err(_) => (amount, 0),
    };
    rewards.commission += commission;
    rewards.outstanding += shared;
    REWARDS.put(ctx.state, &operator, &rewards);
    Ok(())
}
