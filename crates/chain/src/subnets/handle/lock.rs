//! Stake that is locked: promised not to leave a subnet, speaking for a hotkey.

use dodona_mechanism::{Real, subnet::lock as formulas};
use dodona_proto::{
    Address,
    subnets::{MsgLockStake, MsgMoveLock},
};

use super::{key, load, units, value};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book,
        error::SubnetError,
        lock,
        state::{Key, Lock, Netuid, Subnet, UIDS, rules},
    },
};

/// A hotkey for which stake can speak: only those of neurons are heard.
fn heard(ctx: &Ctx, netuid: Netuid, text: &str) -> Result<Key, Failure> {
    let hotkey = key("hotkey", text)?;
    match UIDS.contains(ctx.state, &(netuid, hotkey))? {
        true => Ok(hotkey),
        false => Err(SubnetError::NotRegistered { hotkey: Address(hotkey), netuid }.into()),
    }
}

/// Refuses to take out of a subnet what is locked there (S 18.5).
pub(super) fn unlocked(
    ctx: &mut Ctx,
    netuid: Netuid,
    subnet: &Subnet,
    coldkey: Address,
    amount: u64,
) -> Result<(), Failure> {
    let Some((has, lock)) = bound(ctx, netuid, subnet, coldkey)? else { return Ok(()) };
    let free = has.saturating_sub(lock.mass);
    if amount <= free {
        return Ok(());
    }
    let rules = rules(ctx.state)?;
    let hint = match lock.perpetual {
        true => "they stay until their holder makes them decay".to_string(),
        false => {
            let blocks = formulas::blocks_until(lock.mass, has.saturating_sub(amount), rules.unlock_rate);
            format!("{amount} can from block {} on", ctx.height.saturating_add(blocks))
        }
    };
    Err(SubnetError::Locked { netuid, free, locked: lock.mass, hint }.into())
}

/// How much a holder has in a subnet in all, and its lock, if there is one.
pub(super) fn bound(
    ctx: &mut Ctx,
    netuid: Netuid,
    subnet: &Subnet,
    coldkey: Address,
) -> Result<Option<(u64, Lock)>, Failure> {
    let rules = rules(ctx.state)?;
    let lock = lock::find(ctx.state, &rules, (netuid, subnet), coldkey.0, ctx.height)?;
    let Some(lock) = lock.filter(|lock| lock.mass > 0) else { return Ok(None) };
    let (has, rows) = lock::all_of(ctx.state, netuid, coldkey.0)?;
    ctx.gas.charge(gas::LOOK * rows, "locked stake")?;
    Ok(Some((has, lock)))
}

/// `MsgLockStake` (S 18.1): more for the same hotkey, or only another way to last.
pub(crate) fn lock_stake(ctx: &mut Ctx, from: Address, m: &MsgLockStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "lock stake")?;
    let (netuid, subnet, _) = load(ctx.state, m.netuid)?;
    let hotkey = heard(ctx, netuid, &m.hotkey)?;
    let amount = if m.amount.is_empty() { 0 } else { units("amount", &m.amount)? };
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let before = lock::find(ctx.state, &rules, (netuid, &subnet), from.0, height)?;
    if before.is_none() && amount == 0 {
        return Err(SubnetError::NoLock { who: from, netuid }.into());
    }
    if let Some(other) = before.filter(|before| before.hotkey != hotkey) {
        return Err(SubnetError::OtherLock { netuid, hotkey: Address(other.hotkey) }.into());
    }
    let locked = before.map_or(0, |before| before.mass);
    let (has, rows) = lock::all_of(ctx.state, netuid, from.0)?;
    ctx.gas.charge(gas::LOOK * rows, "lock stake")?;
    let free = has.saturating_sub(locked);
    if amount > free {
        return Err(SubnetError::StakeShort { has: free, needs: amount }.into());
    }
    let mass = locked + amount;
    if (mass as f64) < formulas::LEAST {
        return Err(value("amount", format!("at least {} base units are locked", formulas::LEAST)).into());
    }
    // Nothing below can fail.
    let conviction = before.map_or(Real::ZERO, |before| before.conviction);
    let new = Lock { hotkey, mass, conviction, at: height, perpetual: m.perpetual };
    lock::replace(ctx.state, &rules, (netuid, &subnet), from.0, &new)?;
    ctx.emit(
        Event::new("stake_locked")
            .with("netuid", netuid)
            .with("coldkey", from)
            .with("hotkey", Address(hotkey))
            .with("amount", amount)
            .with("locked", mass)
            .with("perpetual", m.perpetual),
    );
    Ok(())
}

/// `MsgMoveLock`: the stake speaks for another hotkey. Of another owner it has to convince anew.
pub(crate) fn move_lock(ctx: &mut Ctx, from: Address, m: &MsgMoveLock) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "move lock")?;
    let (netuid, subnet, _) = load(ctx.state, m.netuid)?;
    let hotkey = heard(ctx, netuid, &m.hotkey)?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let before = lock::find(ctx.state, &rules, (netuid, &subnet), from.0, height)?;
    let before = before.ok_or(SubnetError::NoLock { who: from, netuid })?;
    if before.hotkey == hotkey {
        return Err(value("hotkey", "it speaks for this one already").into());
    }
    let same = book::owner_of(ctx.state, before.hotkey)? == book::owner_of(ctx.state, hotkey)?;
    // Nothing below can fail.
    let conviction = if same { before.conviction } else { Real::ZERO };
    lock::replace(ctx.state, &rules, (netuid, &subnet), from.0, &Lock { hotkey, conviction, ..before })?;
    ctx.emit(
        Event::new("lock_moved")
            .with("netuid", netuid)
            .with("coldkey", from)
            .with("from", Address(before.hotkey))
            .with("hotkey", Address(hotkey))
            .with("conviction", conviction),
    );
    Ok(())
}
