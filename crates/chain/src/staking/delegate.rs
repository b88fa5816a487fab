//! Delegating: tokens become shares in a validator's. Whatever changes a delegation collects its rewards first.

use dodona_proto::Address;

use super::{
    error::{Operator, StakingError},
    reward,
    state::{DELEGATIONS, DELEGATORS, Delegation, Key, REWARDS, Validator},
    tell, validator,
};
use crate::{
    bank::{self, BankError},
    ctx::Ctx,
    error::Failure,
    gas,
};

/// `MsgDelegate`: it weighs when the set next follows the tokens, and earns from this block on.
pub(crate) fn delegate(ctx: &mut Ctx, from: Address, operator: Key, amount: u128) -> Result<(), Failure> {
    ctx.gas.charge(gas::DELEGATION, "delegate")?;
    let mut validator = validator::load(ctx.state, operator)?;
    require_balance(ctx, from, amount)?;
    require_worth(&validator, amount)?;
    // Nothing below can fail.
    bank::transfer(ctx.state, from, validator.pool(), amount)?;
    let shares = bond(ctx, from, operator, &mut validator, amount)?;
    ctx.emit(tell::delegated(from, operator, amount, shares));
    Ok(())
}

/// Books tokens that lie in the validator's pool as a delegation, after collecting what it earned; saves the validator.
/// Gives the new shares. The caller has asked [`require_worth`].
pub(super) fn bond(
    ctx: &mut Ctx,
    delegator: Address,
    operator: Key,
    validator: &mut Validator,
    amount: u128,
) -> Result<u128, Failure> {
    reward::settle(ctx, operator, delegator.0)?;
    let shares = validator.take_in(amount).ok_or(StakingError::Worthless)?;
    let key = (operator, delegator.0);
    let had = DELEGATIONS.get(ctx.state, &key)?.map_or(0, |d| d.shares);
    let settled = REWARDS.get(ctx.state, &operator)?.unwrap_or_default().per_share;
    DELEGATIONS.put(ctx.state, &key, &Delegation { shares: had + shares, settled });
    DELEGATORS.put(ctx.state, &(delegator.0, operator), &());
    validator::save(ctx.state, operator, validator)?;
    Ok(shares)
}

/// Takes shares out of a delegation, after collecting what it earned; saves the validator. Gives the tokens, which
/// still lie in the validator's pool. The caller knows that the delegation has so many shares, and afterwards moves
/// the tokens and calls [`validator::remove_if_empty`].
pub(super) fn release(
    ctx: &mut Ctx,
    delegator: Key,
    operator: Key,
    validator: &mut Validator,
    shares: u128,
) -> Result<u128, Failure> {
    reward::settle(ctx, operator, delegator)?;
    let key = (operator, delegator);
    let delegation = DELEGATIONS.get(ctx.state, &key)?;
    let delegation = delegation
        .ok_or(StakingError::NoDelegation { who: Address(delegator), operator: Operator(operator) })?;
    let left = delegation.shares - shares;
    let tokens = validator.give_out(shares);
    if left == 0 {
        DELEGATIONS.delete(ctx.state, &key);
        DELEGATORS.delete(ctx.state, &(delegator, operator));
    } else {
        DELEGATIONS.put(ctx.state, &key, &Delegation { shares: left, ..delegation });
    }
    // An operator that no longer risks what it promised does not decide blocks.
    if delegator == operator && validator.worth(left) < validator.min_self {
        validator::jail(ctx, validator);
    }
    validator::save(ctx.state, operator, validator)?;
    Ok(tokens)
}

/// Shares of a delegation that are worth `amount`, exactly that when they are taken out.
pub(super) fn shares_of(
    ctx: &Ctx,
    delegator: Address,
    operator: Key,
    validator: &Validator,
    amount: u128,
) -> Result<u128, Failure> {
    let found = DELEGATIONS.get(ctx.state, &(operator, delegator.0))?;
    let missing = StakingError::NoDelegation { who: delegator, operator: Operator(operator) };
    let delegation = found.ok_or(missing)?;
    let has = validator.worth(delegation.shares);
    if amount > has {
        return Err(StakingError::Short { has, needs: amount }.into());
    }
    // Whoever takes everything leaves no crumbs of shares behind.
    Ok(if amount == has { delegation.shares } else { validator.cost(amount) })
}

/// Refuses what cannot become shares.
pub(super) fn require_worth(validator: &Validator, amount: u128) -> Result<(), StakingError> {
    validator.clone().take_in(amount).map(|_| ()).ok_or(StakingError::Worthless)
}

pub(super) fn require_balance(ctx: &Ctx, who: Address, needs: u128) -> Result<(), Failure> {
    let has = bank::balance(ctx.state, who)?;
    if has < needs { Err(BankError::Insufficient { has, needs }.into()) } else { Ok(()) }
}
