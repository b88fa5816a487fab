//! Locked stake (S 18): a holder promises not to take a part of its stake out of a subnet, and names a hotkey for which it
//! speaks. Promises convince the more the longer they last; for whom all of them speak most owns an old subnet (S 5.7).
//! Locks are brought up to date only when somebody looks; what they come to per hotkey is kept beside them.

use dodona_mechanism::{
    MathError, Real,
    subnet::lock::{self as formulas, Lock as Amounts, LockRules},
};
use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use super::{
    book::{self, math},
    rules::Rules,
    state::{CONVICTIONS, Convictions, HOLDERS, Key, LOCKS, Lock, MARKETS, MEMBERS, Netuid, SUBNETS, Subnet},
};
use crate::{ctx::Ctx, error::Failure, event::Event, state::State};

fn moved(
    rules: &Rules,
    amounts: Amounts,
    blocks: u64,
    perpetual: bool,
    owner: bool,
) -> Result<Amounts, MathError> {
    let (unlock, maturity) = (rules.unlock_rate, rules.maturity_rate);
    formulas::roll(amounts, blocks, &LockRules { unlock, maturity, perpetual, owner })
}

fn amounts((mass, conviction): (u64, Real)) -> Amounts {
    Amounts { mass, conviction }
}

/// A lock as it is in a block; the owner's own convinces at once.
pub(super) fn aged(rules: &Rules, lock: &Lock, owner: bool, height: u64) -> Result<Lock, MathError> {
    let before = amounts((lock.mass, lock.conviction));
    let now = moved(rules, before, height.saturating_sub(lock.at), lock.perpetual, owner)?;
    Ok(Lock { mass: now.mass, conviction: now.conviction, at: height, ..*lock })
}

/// What all locks that speak for a hotkey come to in a block.
pub(super) fn all_aged(rules: &Rules, all: &Convictions, height: u64) -> Result<Convictions, MathError> {
    let blocks = height.saturating_sub(all.at);
    let perpetual = moved(rules, amounts(all.perpetual), blocks, true, false)?;
    let decaying = moved(rules, amounts(all.decaying), blocks, false, false)?;
    Ok(Convictions {
        perpetual: (perpetual.mass, perpetual.conviction),
        decaying: (decaying.mass, decaying.conviction),
        at: height,
        locks: all.locks,
    })
}

/// A holder's lock as it is in a block, while there is anything of it.
pub(super) fn find(
    read: &impl Read,
    rules: &Rules,
    (netuid, subnet): (Netuid, &Subnet),
    coldkey: Key,
    height: u64,
) -> Result<Option<Lock>, Failure> {
    let Some(lock) = LOCKS.get(read, &(netuid, coldkey))? else { return Ok(None) };
    let lock = math(aged(rules, &lock, coldkey == subnet.owner, height))?;
    Ok(Some(lock).filter(exists))
}

fn exists(lock: &Lock) -> bool {
    lock.mass > 0 || lock.conviction > Real::ZERO
}

/// All that a holder has in a subnet, and upon how many hotkeys.
pub(super) fn all_of(read: &impl Read, netuid: Netuid, coldkey: Key) -> Result<(u64, u64), StoreError> {
    let rows = HOLDERS.scan_prefix(read, &(coldkey, netuid), usize::MAX)?;
    let mut sum = 0u64;
    for ((.., hotkey), ()) in &rows {
        sum = sum.saturating_add(book::held(read, netuid, *hotkey, coldkey)?);
    }
    Ok((sum, rows.len() as u64))
}

/// Adds a lock to what speaks for its hotkey, or takes it out. The lock is as of this block.
fn count(state: &mut State, rules: &Rules, netuid: Netuid, lock: &Lock, more: bool) -> Result<(), Failure> {
    let key = (netuid, lock.hotkey);
    let all = CONVICTIONS.get(state, &key)?.unwrap_or_default();
    let mut all = math(all_aged(rules, &all, lock.at))?;
    let part = if lock.perpetual { &mut all.perpetual } else { &mut all.decaying };
    let (sum, one) = (amounts(*part), amounts((lock.mass, lock.conviction)));
    let sum = if more { math(sum.plus(one))? } else { sum.minus(one) };
    *part = (sum.mass, sum.conviction);
    all.locks = if more { all.locks + 1 } else { all.locks.saturating_sub(1) };
    match all.locks {
        // Without locks there is nothing but what was rounded differently.
        0 => CONVICTIONS.delete(state, &key),
        _ => CONVICTIONS.put(state, &key, &all),
    }
    Ok(())
}

/// Replaces a holder's lock by another one as of this block.
pub(super) fn replace(
    state: &mut State,
    rules: &Rules,
    (netuid, subnet): (Netuid, &Subnet),
    coldkey: Key,
    new: &Lock,
) -> Result<(), Failure> {
    let owner = coldkey == subnet.owner;
    let old = LOCKS.get(state, &(netuid, coldkey))?;
    if let (Some(old), false) = (old, owner) {
        count(state, rules, netuid, &math(aged(rules, &old, false, new.at))?, false)?;
    }
    if !owner {
        count(state, rules, netuid, new, true)?;
    }
    LOCKS.put(state, &(netuid, coldkey), new);
    Ok(())
}

/// Locks more of a holder's stake, upon whom it speaks already, or else upon this hotkey.
pub(super) fn add(
    state: &mut State,
    rules: &Rules,
    subnet: (Netuid, &Subnet),
    coldkey: Key,
    (hotkey, amount): (Key, u64),
    height: u64,
) -> Result<(), Failure> {
    let none = Lock { hotkey, mass: 0, conviction: Real::ZERO, at: height, perpetual: false };
    let old = find(state, rules, subnet, coldkey, height)?.unwrap_or(none);
    let mass = old.mass.saturating_add(amount);
    replace(state, rules, subnet, coldkey, &Lock { mass, ..old })
}

/// Makes somebody else the owner of a subnet. The owner's lock is not counted among those that speak for a hotkey.
pub(super) fn set_owner(
    state: &mut State,
    rules: &Rules,
    netuid: Netuid,
    subnet: &mut Subnet,
    (owner, hotkey): (Key, Key),
    height: u64,
) -> Result<(), Failure> {
    if owner != subnet.owner {
        let (old, new) = (subnet.owner, owner);
        if let Some(lock) = LOCKS.get(state, &(netuid, old))? {
            let lock = math(aged(rules, &lock, true, height))?;
            count(state, rules, netuid, &lock, true)?;
            LOCKS.put(state, &(netuid, old), &lock);
        }
        if let Some(lock) = LOCKS.get(state, &(netuid, new))? {
            let lock = math(aged(rules, &lock, false, height))?;
            count(state, rules, netuid, &lock, false)?;
            LOCKS.put(state, &(netuid, new), &lock);
        }
    }
    (subnet.owner, subnet.owner_hotkey) = (owner, hotkey);
    SUBNETS.put(state, &netuid, subnet);
    Ok(())
}

/// How much speaks for each registered hotkey in a block, the owner's first.
pub(super) fn standing(
    read: &impl Read,
    rules: &Rules,
    (netuid, subnet): (Netuid, &Subnet),
    height: u64,
) -> Result<Vec<(Key, Amounts)>, Failure> {
    let members = MEMBERS.get(read, &netuid)?.unwrap_or_default();
    let others = members.iter().map(|member| member.hotkey).filter(|hotkey| *hotkey != subnet.owner_hotkey);
    let owners = find(read, rules, (netuid, subnet), subnet.owner, height)?;
    let mut standing = Vec::with_capacity(members.len());
    for hotkey in std::iter::once(subnet.owner_hotkey).chain(others) {
        let mut sum = Amounts { mass: 0, conviction: Real::ZERO };
        if let Some(all) = CONVICTIONS.get(read, &(netuid, hotkey))? {
            let all = math(all_aged(rules, &all, height))?;
            sum = math(amounts(all.perpetual).plus(amounts(all.decaying)))?;
        }
        if let Some(lock) = owners.filter(|lock| lock.hotkey == hotkey) {
            sum = math(sum.plus(amounts((lock.mass, lock.conviction))))?;
        }
        standing.push((hotkey, sum));
    }
    Ok(standing)
}

/// First block in whose epochs conviction decides who owns a subnet.
pub(super) fn contested_from(rules: &Rules, subnet: &Subnet) -> u64 {
    subnet.registered.saturating_add(rules.ownership_age)
}

/// After an epoch: an old subnet goes to whom most conviction speaks for, once there is enough of it.
pub(super) fn contest(ctx: &mut Ctx, rules: &Rules, netuid: Netuid) -> Result<(), Failure> {
    let (Some(mut subnet), Some(market)) =
        (SUBNETS.get(ctx.state, &netuid)?, MARKETS.get(ctx.state, &netuid)?)
    else {
        return Ok(());
    };
    // Without locks of others the owner stays.
    if ctx.height < contested_from(rules, &subnet)
        || CONVICTIONS.scan_prefix(ctx.state, &netuid, 1)?.is_empty()
    {
        return Ok(());
    }
    let standing = standing(ctx.state, rules, (netuid, &subnet), ctx.height)?;
    let convictions: Vec<Real> = standing.iter().map(|(_, sum)| sum.conviction).collect();
    let leader = formulas::leader(&convictions, rules.ownership_part, market.alpha_out);
    let Some((hotkey, sum)) = leader.and_then(|place| standing.get(place)).copied() else { return Ok(()) };
    let coldkey = book::owner_of(ctx.state, hotkey)?.unwrap_or(hotkey);
    if coldkey == subnet.owner {
        return Ok(());
    }
    let before = subnet.owner;
    set_owner(ctx.state, rules, netuid, &mut subnet, (coldkey, hotkey), ctx.height)?;
    ctx.emit(
        Event::new("subnet_owner_changed")
            .with("netuid", netuid)
            .with("owner", Address(coldkey))
            .with("hotkey", Address(hotkey))
            .with("before", Address(before))
            .with("conviction", sum.conviction),
    );
    Ok(())
}

/// Puts another hotkey in the place of one for which locks speak.
pub(super) fn rename_hotkey(
    state: &mut State,
    rules: &Rules,
    netuid: Netuid,
    old: Key,
    new: Key,
) -> Result<(), Failure> {
    for (key, lock) in LOCKS.scan_prefix(state, &netuid, usize::MAX)? {
        if lock.hotkey == old {
            LOCKS.put(state, &key, &Lock { hotkey: new, ..lock });
        }
    }
    let Some(from) = CONVICTIONS.get(state, &(netuid, old))? else { return Ok(()) };
    CONVICTIONS.delete(state, &(netuid, old));
    let into = CONVICTIONS
        .get(state, &(netuid, new))?
        .unwrap_or(Convictions { at: from.at, ..Convictions::default() });
    let at = from.at.max(into.at);
    let (from, into) = (math(all_aged(rules, &from, at))?, math(all_aged(rules, &into, at))?);
    let both = |of: fn(&Convictions) -> (u64, Real)| -> Result<(u64, Real), Failure> {
        let sum = math(amounts(of(&from)).plus(amounts(of(&into))))?;
        Ok((sum.mass, sum.conviction))
    };
    let (perpetual, decaying) = (both(|all| all.perpetual)?, both(|all| all.decaying)?);
    let locks = from.locks + into.locks;
    CONVICTIONS.put(state, &(netuid, new), &Convictions { perpetual, decaying, at, locks });
    Ok(())
}

/// Puts another coldkey in the place of one. The caller has seen that not both have locked stake in the subnet.
pub(super) fn rename_coldkey(
    state: &mut State,
    rules: &Rules,
    netuid: Netuid,
    (old, new): (Key, Key),
    height: u64,
) -> Result<(), Failure> {
    let Some(mut subnet) = SUBNETS.get(state, &netuid)? else { return Ok(()) };
    let lock = LOCKS.get(state, &(netuid, old))?;
    LOCKS.delete(state, &(netuid, old));
    if subnet.owner == old {
        // What the old owner has locked is not counted, and stays so.
        let hotkey = subnet.owner_hotkey;
        set_owner(state, rules, netuid, &mut subnet, (new, hotkey), height)?;
    } else if let (Some(lock), true) = (lock, subnet.owner == new) {
        count(state, rules, netuid, &math(aged(rules, &lock, false, height))?, false)?;
    }
    if let Some(lock) = lock {
        LOCKS.put(state, &(netuid, new), &lock);
    }
    Ok(())
}
