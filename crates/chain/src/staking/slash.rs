//! Punishment: for missing too many blocks a little and jail, for two signatures that exclude one another much, jail
//! and never again. Nothing is destroyed on this chain: what is slashed goes to the ecosystem, from which the emission
//! is drawn, so it replaces new tokens.

use std::collections::BTreeSet;

use dodona_mechanism::supply::Fixed;
use dodona_proto::{ALLO, Address};
use dodona_store::{Read, StoreError};

use super::{
    delegate, set,
    state::{
        COUNTED, DELEGATIONS, KEYS, Key, MISSES, PUNISHING, Punishing, REDELEGATIONS, Redelegation, SIGNING,
        SLASHES, Signing, Slash, UNBONDINGS, Unbonding, VALIDATORS, Validator, consensus_address,
    },
    tell, validator,
};
use crate::{
    Fault,
    accounts::{ecosystem, not_bonded_pool},
    bank,
    ctx::Ctx,
    error::Failure,
    state::State,
};

/// Pairs of delegator and validator that a punishment looks at per block; the others wait for the next block.
const PURSUED_PER_BLOCK: usize = 1_000;
/// When tombstoned validators come back: the last second of the year 9999, the last that clients can show.
const NEVER_MS: u64 = 253_402_300_799_000;
/// Punishments that go on per block.
const PUNISHMENTS_PER_BLOCK: usize = 4;

/// Begin of block: counts who of the last block's set did not sign it, and jails who missed too many.
pub(super) fn missed(ctx: &mut Ctx, signed: &[[u8; 32]]) -> Result<(), Failure> {
    let Some(members) = set::at(ctx.state, ctx.height.saturating_sub(1))? else { return Ok(()) };
    let signed: BTreeSet<&[u8; 32]> = signed.iter().collect();
    let counted = COUNTED.get(ctx.state)?.unwrap_or(0) + 1;
    COUNTED.put(ctx.state, &counted);
    for member in members {
        let operator = member.operator.0;
        let Some(validator) = VALIDATORS.get(ctx.state, &operator)? else { continue };
        // Whoever is on its way out, or in it only because nobody else is, is not counted.
        if !validator.jailed {
            attend(ctx, operator, validator, counted, !signed.contains(&member.public_key))?;
        }
    }
    Ok(())
}

fn attend(
    ctx: &mut Ctx,
    operator: Key,
    mut validator: Validator,
    counted: u64,
    missed: bool,
) -> Result<(), Failure> {
    let before = SIGNING.get(ctx.state, &operator)?.unwrap_or_default();
    let mut signing = before;
    let window = ctx.params.signed_blocks_window;
    if signing.missed > 0 {
        // Normally one; more after a window was made shorter. The others are not even read.
        let mut left = Vec::new();
        MISSES.for_each(ctx.state, &operator, |(_, block), ()| {
            let old = block.saturating_add(window) <= counted;
            if old {
                left.push(block);
            }
            old
        })?;
        for block in left {
            MISSES.delete(ctx.state, &(operator, block));
            signing.missed = signing.missed.saturating_sub(1);
        }
    }
    let address = consensus_address(&validator.public_key);
    if missed {
        MISSES.put(ctx.state, &(operator, counted), &());
        signing.missed += 1;
        ctx.emit(tell::missed(address, signing.missed, ctx.height));
    }
    if signing != before {
        SIGNING.put(ctx.state, &operator, &signing);
    }
    let needed = ctx.params.min_signed_per_window.of(u128::from(window)).unwrap_or(0);
    let allowed = u128::from(window).saturating_sub(needed);
    if counted < signing.start.saturating_add(window) || u128::from(signing.missed) <= allowed {
        return Ok(());
    }
    let fraction = ctx.params.slash_fraction_downtime;
    let taken = cut(ctx, operator, &mut validator, fraction)?;
    validator.jailed_until = ctx.time_ms.saturating_add(ctx.params.downtime_jail_ms);
    validator::jail(ctx, &mut validator);
    validator::save(ctx.state, operator, &validator)?;
    forget(ctx.state, operator, signing.start_height)?;
    ctx.emit(tell::slashed(address, (validator.tokens + taken) / ALLO, "missing_signature", taken));
    Ok(())
}

/// Forgets what a validator missed. `from` is the first height it decides from now on.
pub(super) fn forget(state: &mut State, operator: Key, from: u64) -> Result<(), StoreError> {
    for (key, ()) in MISSES.scan_prefix(state, &operator, usize::MAX)? {
        MISSES.delete(state, &key);
    }
    let start = COUNTED.get(state)?.unwrap_or(0);
    SIGNING.put(state, &operator, &Signing { start_height: from, start, missed: 0 });
    Ok(())
}

/// Whose misbehaviour a fault is, if it can be punished: the key was in the set of that height, which is not too old,
/// and its owner was not punished for such a thing before. The caller knows that the height is not above the last block
/// but one.
///
/// # Errors
/// When the disk cannot be read.
pub fn offender(read: &impl Read, fault: &Fault) -> Result<Option<Key>, StoreError> {
    let Some(set) = set::at(read, fault.height)? else { return Ok(None) };
    if fault.height == 0 || !set.iter().any(|v| v.public_key == fault.public_key) {
        return Ok(None);
    }
    let Some(operator) = KEYS.get(read, &consensus_address(&fault.public_key).0)? else { return Ok(None) };
    Ok(VALIDATORS.get(read, &operator)?.filter(|v| !v.tombstoned).map(|_| operator))
}

/// Begin of block: punishes misbehaviour; false if it cannot be punished.
pub(crate) fn punish(ctx: &mut Ctx, fault: &Fault) -> Result<bool, Failure> {
    // The block that disturbed may be this one, not a later one.
    if fault.height > ctx.height {
        return Ok(false);
    }
    let Some(operator) = offender(ctx.state, fault)? else { return Ok(false) };
    let fraction = ctx.params.slash_fraction_double_sign;
    let mut validator = validator::load(ctx.state, operator)?;
    let power = validator.tokens / ALLO;
    let mut taken = cut(ctx, operator, &mut validator, fraction)?;
    validator.tombstoned = true;
    validator.jailed_until = NEVER_MS;
    validator::jail(ctx, &mut validator);
    validator::save(ctx.state, operator, &validator)?;
    let (since, since_ms) = (ctx.height, ctx.time_ms);
    let (moved, next) = (false, Default::default());
    let work = Punishing { fraction, height: fault.height, since, since_ms, moved, next };
    taken += pursue(ctx, operator, work)?;
    let address = consensus_address(&fault.public_key);
    ctx.emit(tell::slashed(address, power, "double_sign", taken));
    Ok(true)
}

/// Begin of block: goes on with punishments that were too large for one block.
pub(super) fn go_on(ctx: &mut Ctx) -> Result<(), Failure> {
    for (operator, work) in PUNISHING.scan(ctx.state, PUNISHMENTS_PER_BLOCK)? {
        let taken = pursue(ctx, operator, work)?;
        if let Some(validator) = VALIDATORS.get(ctx.state, &operator)? {
            let address = consensus_address(&validator.public_key);
            ctx.emit(tell::slashed(address, validator.tokens / ALLO, "double_sign", taken));
        }
    }
    Ok(())
}

/// Cuts what left a validator at the fault's height or later, so many delegators of it; what is left to do waits for
/// the next block, and until then nothing of it arrives anywhere.
fn pursue(ctx: &mut Ctx, operator: Key, mut work: Punishing) -> Result<u128, Failure> {
    let (mut taken, mut room) = (0, PURSUED_PER_BLOCK);
    if !work.moved {
        let start = (operator, work.next.0);
        let found = UNBONDINGS.scan_from(ctx.state, &start, room + 1)?.into_iter();
        for ((_, delegator), entries) in found.take_while(|(key, _)| key.0 == operator) {
            if room == 0 {
                work.next = (delegator, Key::default());
                PUNISHING.put(ctx.state, &operator, &work);
                return Ok(taken);
            }
            room -= 1;
            taken += cut_unbonding(ctx, (operator, delegator), entries, &work)?;
        }
        (work.moved, work.next) = (true, Default::default());
    }
    let start = (operator, work.next.0, work.next.1);
    let found = REDELEGATIONS.scan_from(ctx.state, &start, room + 1)?.into_iter();
    for ((_, delegator, destination), entries) in found.take_while(|(key, _)| key.0 == operator) {
        if room == 0 {
            work.next = (delegator, destination);
            PUNISHING.put(ctx.state, &operator, &work);
            return Ok(taken);
        }
        room -= 1;
        taken += cut_redelegation(ctx, (delegator, destination), &entries, &work)?;
    }
    PUNISHING.delete(ctx.state, &operator);
    Ok(taken)
}

/// Takes a part of a validator's tokens. Its shares stay, each worth less. The caller saves it.
fn cut(ctx: &mut Ctx, operator: Key, validator: &mut Validator, fraction: Fixed) -> Result<u128, Failure> {
    let amount = fraction.of(validator.tokens).unwrap_or(0).min(validator.tokens);
    bank::transfer(ctx.state, validator.pool(), ecosystem(), amount)?;
    validator.tokens -= amount;
    SLASHES.put(ctx.state, &(operator, ctx.height), &Slash { fraction, amount });
    Ok(amount)
}

/// Takes the same part of what is on its way back to a delegator.
fn cut_unbonding(
    ctx: &mut Ctx,
    key: (Key, Key),
    mut entries: Vec<Unbonding>,
    work: &Punishing,
) -> Result<u128, Failure> {
    let mut taken = 0;
    let reached =
        |e: &&mut Unbonding| e.risk >= work.height && e.created < work.since && e.until > work.since_ms;
    for entry in entries.iter_mut().filter(reached) {
        let amount = work.fraction.of(entry.initial).unwrap_or(0).min(entry.balance);
        entry.balance -= amount;
        taken += amount;
    }
    if taken > 0 {
        UNBONDINGS.put(ctx.state, &key, &entries);
        bank::transfer(ctx.state, not_bonded_pool(), ecosystem(), taken)?;
    }
    Ok(taken)
}

/// Takes the same part of what had moved to another validator: from the delegation it became, and what is missing
/// there from what left that delegation later.
fn cut_redelegation(
    ctx: &mut Ctx,
    (delegator, destination): (Key, Key),
    entries: &[Redelegation],
    work: &Punishing,
) -> Result<u128, Failure> {
    let mut taken = 0;
    let reached =
        |e: &&Redelegation| e.risk >= work.height && e.created < work.since && e.until > work.since_ms;
    for entry in entries.iter().filter(reached) {
        let due = work.fraction.of(entry.initial).unwrap_or(0).min(entry.initial);
        let from_shares = cut_delegation(ctx, destination, delegator, work.fraction, entry.shares)?;
        let rest = due.saturating_sub(from_shares.tokens);
        // What the destination lost by punishments of its own is not owed twice: only shares that are gone are.
        let from_leaving = match from_shares.complete {
            true => 0,
            false => cut_leaving(ctx, destination, delegator, entry.created, rest)?,
        };
        taken += from_shares.tokens + from_leaving;
    }
    Ok(taken)
}

struct Taken {
    tokens: u128,
    /// Whether there were as many shares as should have gone.
    complete: bool,
}

fn cut_delegation(
    ctx: &mut Ctx,
    operator: Key,
    delegator: Key,
    fraction: Fixed,
    moved: u128,
) -> Result<Taken, Failure> {
    let want = fraction.of(moved).unwrap_or(0);
    let has = DELEGATIONS.get(ctx.state, &(operator, delegator))?.map_or(0, |d| d.shares);
    let shares = want.min(has);
    let found = VALIDATORS.get(ctx.state, &operator)?;
    let (Some(mut validator), true) = (found, shares > 0) else {
        return Ok(Taken { tokens: 0, complete: want == 0 });
    };
    let pool = validator.pool();
    let tokens = delegate::release(ctx, delegator, operator, &mut validator, shares)?;
    bank::transfer(ctx.state, pool, ecosystem(), tokens)?;
    validator::remove_if_empty(ctx, operator)?;
    Ok(Taken { tokens, complete: shares == want })
}

fn cut_leaving(
    ctx: &mut Ctx,
    operator: Key,
    delegator: Key,
    since: u64,
    mut due: u128,
) -> Result<u128, Failure> {
    let key = (operator, delegator);
    let Some(mut entries) = UNBONDINGS.get(ctx.state, &key)? else { return Ok(0) };
    let mut taken = 0;
    for entry in entries.iter_mut().filter(|e| e.created >= since && e.until > ctx.time_ms) {
        let amount = due.min(entry.balance);
        entry.balance -= amount;
        due -= amount;
        taken += amount;
    }
    UNBONDINGS.put(ctx.state, &key, &entries);
    bank::transfer(ctx.state, not_bonded_pool(), ecosystem(), taken)?;
    Ok(taken)
}

/// Who signs with a consensus address, if anybody does.
///
/// # Errors
/// When the disk cannot be read.
pub fn operator_of(read: &impl Read, address: Address) -> Result<Option<Key>, StoreError> {
    KEYS.get(read, &address.0)
}
