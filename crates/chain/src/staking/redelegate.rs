//! Moving a delegation from one validator to another without waiting. For the unbonding time it answers for the
//! source's misbehaviour too, and what still does so cannot move on: nobody hops away from a punishment.

use dodona_proto::Address;

use super::{
    delegate,
    error::StakingError,
    state::{Key, QUEUE, REDELEGATIONS, REDELEGATORS, Redelegation, wait},
    tell, unbond, validator,
};
use crate::{bank, ctx::Ctx, error::Failure, gas};

/// `MsgBeginRedelegate`.
pub(crate) fn redelegate(
    ctx: &mut Ctx,
    from: Address,
    source: Key,
    destination: Key,
    amount: u128,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::REDELEGATION, "redelegate")?;
    if source == destination {
        return Err(StakingError::SameValidator.into());
    }
    let mut old = validator::load(ctx.state, source)?;
    let mut new = validator::load(ctx.state, destination)?;
    let shares = delegate::shares_of(ctx, from, source, &old, amount)?;
    if !REDELEGATORS.scan_prefix(ctx.state, &(from.0, source), 1)?.is_empty() {
        return Err(StakingError::Hop.into());
    }
    let key = (source, from.0, destination);
    let mut entries = REDELEGATIONS.get(ctx.state, &key)?.unwrap_or_default();
    let most = ctx.params.max_entries;
    if entries.len() >= most as usize {
        return Err(StakingError::Redelegations(most).into());
    }
    if amount == 0 {
        return Err(StakingError::Tiny.into());
    }
    delegate::require_worth(&new, amount)?;
    // Nothing below can fail.
    let (risk, until) = unbond::at_risk(ctx, &old);
    let pool = old.pool();
    let tokens = delegate::release(ctx, from.0, source, &mut old, shares)?;
    bank::transfer(ctx.state, pool, new.pool(), tokens)?;
    let got = delegate::bond(ctx, from, destination, &mut new, tokens)?;
    if let Some(until) = until {
        let created = ctx.height;
        entries.push(Redelegation { created, risk, until, initial: tokens, shares: got });
        REDELEGATIONS.put(ctx.state, &key, &entries);
        REDELEGATORS.put(ctx.state, &(from.0, destination, source), &());
        QUEUE.put(ctx.state, &(until, wait::REDELEGATION, source, from.0, destination), &());
    }
    validator::remove_if_empty(ctx, source)?;
    ctx.emit(tell::redelegated(source, destination, tokens, until.unwrap_or(ctx.time_ms)));
    Ok(())
}
