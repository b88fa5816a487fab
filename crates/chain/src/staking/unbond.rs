//! Taking delegations back: tokens leave their validator at once and their delegator has them after the unbonding
//! time, so that misbehaviour found late still costs those who backed it. Also the queue of all such waits.

use dodona_proto::Address;

use super::{
    delegate,
    error::{Operator, StakingError},
    state::{
        Key, PUNISHING, QUEUE, REDELEGATIONS, REDELEGATORS, Status, UNBONDERS, UNBONDINGS, Unbonding,
        VALIDATORS, Validator, wait,
    },
    tell, validator,
};
use crate::{accounts::not_bonded_pool, bank, ctx::Ctx, error::Failure, gas, state::State};

/// Waits that end in one block at most; others end in the next.
const MATURE_PER_BLOCK: usize = 1_000;
/// Fills the places of a queue's key that a kind does not need.
pub(super) const NOBODY: Key = [0; 20];

/// `MsgUndelegate`.
pub(crate) fn undelegate(ctx: &mut Ctx, from: Address, operator: Key, amount: u128) -> Result<(), Failure> {
    ctx.gas.charge(gas::DELEGATION, "undelegate")?;
    let mut validator = validator::load(ctx.state, operator)?;
    let shares = delegate::shares_of(ctx, from, operator, &validator, amount)?;
    let key = (operator, from.0);
    let mut entries = UNBONDINGS.get(ctx.state, &key)?.unwrap_or_default();
    let most = ctx.params.max_entries;
    let same = entries.iter().position(|e| e.created == ctx.height);
    if same.is_none() && entries.len() >= most as usize {
        return Err(StakingError::Unbondings(most).into());
    }
    // Nothing below can fail.
    let (risk, until) = at_risk(ctx, &validator);
    let pool = validator.pool();
    let tokens = delegate::release(ctx, from.0, operator, &mut validator, shares)?;
    match until {
        None => bank::transfer(ctx.state, pool, from, tokens)?,
        Some(until) => {
            bank::transfer(ctx.state, pool, not_bonded_pool(), tokens)?;
            match same.map(|place| &mut entries[place]) {
                // Asked for twice in a block: one wait.
                Some(entry) => {
                    entry.initial += tokens;
                    entry.balance += tokens;
                }
                None => {
                    let created = ctx.height;
                    entries.push(Unbonding { created, risk, until, initial: tokens, balance: tokens });
                }
            }
            UNBONDINGS.put(ctx.state, &key, &entries);
            UNBONDERS.put(ctx.state, &(from.0, operator), &());
            QUEUE.put(ctx.state, &(until, wait::UNBONDING, operator, from.0, NOBODY), &());
        }
    }
    validator::remove_if_empty(ctx, operator)?;
    ctx.emit(tell::undelegated(from, operator, tokens, until.unwrap_or(ctx.time_ms)));
    Ok(())
}

/// Up to which height what leaves a validator now answers for it, and until when it waits; none if it need not wait.
pub(super) fn at_risk(ctx: &Ctx, validator: &Validator) -> (u64, Option<u64>) {
    match validator.status {
        // Its weight stays in the set until that next follows the tokens.
        Status::Bonded => {
            let set_ends = ctx.height.next_multiple_of(ctx.params.validator_set_blocks.max(1));
            (set_ends, Some(ctx.time_ms.saturating_add(ctx.params.unbonding_time_ms)))
        }
        Status::Unbonding => (validator.left_height, Some(validator.unbonded_ms)),
        Status::Unbonded => (0, None),
    }
}

/// `MsgCancelUnbondingDelegation`: back to the validator it came from.
pub(crate) fn cancel(
    ctx: &mut Ctx,
    from: Address,
    operator: Key,
    amount: u128,
    created: u64,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::DELEGATION, "cancel unbonding")?;
    let mut validator = validator::load(ctx.state, operator)?;
    if validator.jailed {
        return Err(StakingError::Jailed.into());
    }
    let key = (operator, from.0);
    let mut entries = UNBONDINGS.get(ctx.state, &key)?.unwrap_or_default();
    let wrong = |cause: String| StakingError::NoUnbonding(cause);
    let place = entries.iter().position(|e| e.created == created && e.until > ctx.time_ms);
    let place = place.ok_or_else(|| {
        let operator = Operator(operator);
        wrong(format!(
            "{from} has none with {operator} that was asked for in block {created} and still waits"
        ))
    })?;
    let entry = &mut entries[place];
    if amount > entry.balance {
        return Err(wrong(format!("{} uallo wait, {amount} asked for", entry.balance)).into());
    }
    delegate::require_worth(&validator, amount)?;
    // Nothing below can fail.
    let until = entry.until;
    entry.balance -= amount;
    // What was slashed of it stays slashed.
    entry.initial -= amount;
    if entry.balance == 0 {
        entries.remove(place);
    }
    if !entries.iter().any(|e| e.until == until) {
        QUEUE.delete(ctx.state, &(until, wait::UNBONDING, operator, from.0, NOBODY));
    }
    put(ctx.state, operator, from.0, &entries);
    bank::transfer(ctx.state, not_bonded_pool(), validator.pool(), amount)?;
    let shares = delegate::bond(ctx, from, operator, &mut validator, amount)?;
    ctx.emit(tell::cancelled(from, operator, amount, created));
    ctx.emit(tell::delegated(from, operator, amount, shares));
    Ok(())
}

/// Stores what waits between two; nothing is not stored.
fn put(state: &mut State, operator: Key, delegator: Key, entries: &Vec<Unbonding>) {
    if entries.is_empty() {
        UNBONDINGS.delete(state, &(operator, delegator));
        UNBONDERS.delete(state, &(delegator, operator));
    } else {
        UNBONDINGS.put(state, &(operator, delegator), entries);
    }
}

/// End of block: waits that are over end, so many per block; the others wait for the next.
pub(super) fn mature(ctx: &mut Ctx) -> Result<(), Failure> {
    for (key, ()) in QUEUE.scan(ctx.state, MATURE_PER_BLOCK)? {
        let (at, kind, operator, delegator, destination) = key;
        if at > ctx.time_ms {
            break;
        }
        // What is still to be looked at by a punishment waits for it.
        if kind != wait::VALIDATOR && PUNISHING.contains(ctx.state, &operator)? {
            continue;
        }
        QUEUE.delete(ctx.state, &key);
        match kind {
            wait::VALIDATOR => unbonded(ctx, operator)?,
            wait::UNBONDING => arrive(ctx, operator, delegator)?,
            _ => redelegated(ctx, operator, delegator, destination)?,
        }
    }
    Ok(())
}

fn unbonded(ctx: &mut Ctx, operator: Key) -> Result<(), Failure> {
    let Some(mut validator) = VALIDATORS.get(ctx.state, &operator)? else { return Ok(()) };
    validator.status = Status::Unbonded;
    validator.unbonded_ms = 0;
    validator::save(ctx.state, operator, &validator)?;
    validator::remove_if_empty(ctx, operator)
}

fn arrive(ctx: &mut Ctx, operator: Key, delegator: Key) -> Result<(), Failure> {
    let entries = UNBONDINGS.get(ctx.state, &(operator, delegator))?.unwrap_or_default();
    let (over, waiting): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.until <= ctx.time_ms);
    put(ctx.state, operator, delegator, &waiting);
    let amount = over.iter().map(|e| e.balance).sum();
    bank::transfer(ctx.state, not_bonded_pool(), Address(delegator), amount)?;
    ctx.emit(tell::unbonded(delegator, operator, amount));
    Ok(())
}

fn redelegated(ctx: &mut Ctx, source: Key, delegator: Key, destination: Key) -> Result<(), Failure> {
    let key = (source, delegator, destination);
    let entries = REDELEGATIONS.get(ctx.state, &key)?.unwrap_or_default();
    let (over, waiting): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.until <= ctx.time_ms);
    if waiting.is_empty() {
        REDELEGATIONS.delete(ctx.state, &key);
        REDELEGATORS.delete(ctx.state, &(delegator, destination, source));
    } else {
        REDELEGATIONS.put(ctx.state, &key, &waiting);
    }
    let amount = over.iter().map(|e| e.initial).sum();
    ctx.emit(tell::redelegation_over(delegator, source, destination, amount));
    Ok(())
}
