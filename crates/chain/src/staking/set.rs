//! The set that decides blocks: those with most tokens, in whole ALLO. It follows the tokens at the end of every set
//! epoch; in between only the jailed leave it. It is never empty: a network without validators could not even repair
//! itself, so then the old set stays. Former sets are kept while misbehaviour under them can be punished.

use dodona_store::{Read, StoreError};

use super::{
    slash,
    state::{CURRENT, FORMER, Former, MARKS, OLDEST, QUEUE, RANK, Set, Status, UNRULY, VALIDATORS, wait},
    unbond::NOBODY,
    validator,
};
use crate::{
    accounts::{bonded_pool, not_bonded_pool},
    bank,
    ctx::Ctx,
    error::Failure,
    params::Params,
    state::State,
    validators::Validator,
};

/// Marks and former sets forgotten per block at most.
const FORGET_PER_BLOCK: usize = 64;

/// The set that decides the next block.
///
/// # Errors
/// When the disk cannot be read.
pub fn current(read: &impl Read) -> Result<Set, StoreError> {
    Ok(CURRENT.get(read)?.unwrap_or_default())
}

/// Lowest height at which misbehaviour can be punished.
///
/// # Errors
/// When the disk cannot be read.
pub fn oldest(read: &impl Read) -> Result<u64, StoreError> {
    Ok(OLDEST.get(read)?.unwrap_or(1))
}

/// Who decided, or will decide, block `height`; none when misbehaviour at it is too old to be punished. The caller
/// knows that the height is at most one above the last block.
///
/// # Errors
/// When the disk cannot be read.
pub fn at(read: &impl Read, height: u64) -> Result<Option<Vec<Validator>>, StoreError> {
    if height < oldest(read)? {
        return Ok(None);
    }
    let current = current(read)?;
    if height >= current.from {
        return Ok(Some(current.members));
    }
    let found = FORMER.scan_from(read, &height, 1)?.into_iter().next();
    Ok(found.filter(|(_, former)| former.from <= height).map(|(_, former)| former.members))
}

/// End of block: who decides the next one.
pub(super) fn end(ctx: &mut Ctx) -> Result<Vec<Validator>, Failure> {
    let now = current(ctx.state)?;
    let epoch_ends = ctx.height.is_multiple_of(ctx.params.validator_set_blocks.max(1));
    if epoch_ends {
        MARKS.put(ctx.state, &ctx.height, &ctx.time_ms);
    }
    forget(ctx)?;
    let unruly = UNRULY.get(ctx.state)?.unwrap_or(false);
    if !epoch_ends && !unruly {
        return Ok(now.members);
    }
    let mut next = if epoch_ends { top(ctx.state, ctx.params)? } else { free(ctx.state, &now.members)? };
    if next.is_empty() {
        next = top(ctx.state, ctx.params)?;
    }
    if next.is_empty() {
        return Ok(now.members);
    }
    UNRULY.delete(ctx.state);
    if next != now.members {
        replace(ctx, now, &next)?;
    }
    Ok(next)
}

/// Those with most tokens, in the order of their keys.
pub(super) fn top(state: &State, params: &Params) -> Result<Vec<Validator>, StoreError> {
    let ranked = RANK.scan(state, params.max_validators as usize)?;
    let mut set = Vec::with_capacity(ranked.len());
    for ((_, operator), ()) in ranked {
        let Some(v) = VALIDATORS.get(state, &operator)? else { continue };
        let operator = dodona_proto::Address(operator);
        set.push(Validator { public_key: v.public_key, power: v.power(params), operator });
    }
    set.sort_by_key(|v| v.public_key);
    Ok(set)
}

/// Those of a set that are not jailed.
fn free(state: &State, set: &[Validator]) -> Result<Vec<Validator>, StoreError> {
    let mut left = Vec::with_capacity(set.len());
    for member in set {
        if VALIDATORS.get(state, &member.operator.0)?.is_some_and(|v| !v.jailed) {
            left.push(member.clone());
        }
    }
    Ok(left)
}

fn replace(ctx: &mut Ctx, now: Set, next: &[Validator]) -> Result<(), Failure> {
    let is_in = |set: &[Validator], one: &Validator| set.iter().any(|v| v.operator == one.operator);
    for gone in now.members.iter().filter(|v| !is_in(next, v)) {
        let operator = gone.operator.0;
        let Some(mut validator) = VALIDATORS.get(ctx.state, &operator)? else { continue };
        bank::transfer(ctx.state, bonded_pool(), not_bonded_pool(), validator.tokens)?;
        validator.status = Status::Unbonding;
        validator.left_height = ctx.height;
        validator.unbonded_ms = ctx.time_ms.saturating_add(ctx.params.unbonding_time_ms);
        QUEUE.put(ctx.state, &(validator.unbonded_ms, wait::VALIDATOR, operator, NOBODY, NOBODY), &());
        validator::save(ctx.state, operator, &validator)?;
    }
    let joining: Vec<Validator> = next.iter().filter(|v| !is_in(&now.members, v)).cloned().collect();
    bond(ctx.state, &joining, ctx.height + 1)?;
    let Set { from, members } = now;
    FORMER.put(ctx.state, &ctx.height, &Former { from, members });
    CURRENT.put(ctx.state, &Set { from: ctx.height + 1, members: next.to_vec() });
    Ok(())
}

/// Makes validators members of the set that decides from height `from` on.
pub(super) fn bond(state: &mut State, joining: &[Validator], from: u64) -> Result<(), Failure> {
    for new in joining {
        let operator = new.operator.0;
        let Some(mut validator) = VALIDATORS.get(state, &operator)? else { continue };
        bank::transfer(state, not_bonded_pool(), bonded_pool(), validator.tokens)?;
        QUEUE.delete(state, &(validator.unbonded_ms, wait::VALIDATOR, operator, NOBODY, NOBODY));
        validator.status = Status::Bonded;
        validator.unbonded_ms = 0;
        validator::save(state, operator, &validator)?;
        slash::forget(state, operator, from)?;
    }
    Ok(())
}

/// Heights whose misbehaviour is too old to be punished, and the sets that decided them.
fn forget(ctx: &mut Ctx) -> Result<(), Failure> {
    let mut first = oldest(ctx.state)?;
    let before = first;
    for (height, at) in MARKS.scan(ctx.state, FORGET_PER_BLOCK)? {
        if at.saturating_add(ctx.params.unbonding_time_ms) >= ctx.time_ms {
            break;
        }
        MARKS.delete(ctx.state, &height);
        first = height + 1;
    }
    if first != before {
        OLDEST.put(ctx.state, &first);
    }
    for (until, _) in FORMER.scan(ctx.state, FORGET_PER_BLOCK)? {
        if until >= first {
            break;
        }
        FORMER.delete(ctx.state, &until);
    }
    Ok(())
}
