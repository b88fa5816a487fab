//! Another key in the place of one: a hotkey's at once and for a price, a coldkey's announced, waited for and carried out,
//! so that whoever has lost a key to somebody else can say so in time (S 2.6, 2.7).

use dodona_proto::{
    Address,
    commit::coldkey as digest_of,
    subnets::{
        MsgAnnounceColdkeySwap, MsgDisputeColdkeySwap, MsgResetColdkeySwap, MsgSwapColdkey, MsgSwapHotkey,
    },
};

use super::{address, admins_only, family::own_hotkey, has, key, load, own_or_free, uallo, value};
use crate::{
    accounts, bank,
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        error::SubnetError,
        family, rename,
        rules::Rules,
        state::{Announced, CHANGED, HOTKEYS, Key, LOCKS, Netuid, ROOT, SWAPS, UIDS, UNIT, network, rules},
    },
};

/// Refuses whatever an account asks for that has announced another one in its place. The messages of this file are the
/// exception, and refuse for themselves.
pub(crate) fn frozen(ctx: &Ctx, who: Address) -> Result<(), Failure> {
    let Some(swap) = SWAPS.get(ctx.state, &who.0)? else { return Ok(()) };
    let hint = match swap.disputed {
        true => "it is disputed, ask an admin of the chain to end it".to_string(),
        false => format!("it can be carried out from block {} on", due(&rules(ctx.state)?, &swap)),
    };
    Err(SubnetError::Swapping { who, hint }.into())
}

/// First block in which an announcement can be carried out.
pub(in crate::subnets) fn due(rules: &Rules, swap: &Announced) -> u64 {
    swap.block.saturating_add(rules.coldkey_swap_wait)
}

/// First block in which another one can take its place.
pub(in crate::subnets) fn again(rules: &Rules, swap: &Announced) -> u64 {
    due(rules, swap).saturating_add(rules.coldkey_swap_again)
}

fn pay(ctx: &mut Ctx, from: Address, cost: u64) -> Result<(), Failure> {
    bank::transfer(ctx.state, from, accounts::ecosystem(), u128::from(cost) * UNIT)
}

/// Refuses a key that is somebody already where the old one was.
fn free_in(ctx: &Ctx, netuid: Netuid, new: Key) -> Result<(), Failure> {
    if let Some(uid) = UIDS.get(ctx.state, &(netuid, new))? {
        return Err(SubnetError::Registered { hotkey: Address(new), netuid, uid }.into());
    }
    if family::has_family(ctx.state, netuid, new)? {
        let cause = format!("it has parents or children in subnet {netuid}, or has asked for them");
        return Err(SubnetError::InUse { key: Address(new), cause }.into());
    }
    Ok(())
}

/// `MsgSwapHotkey`.
pub(crate) fn hotkey(ctx: &mut Ctx, from: Address, m: &MsgSwapHotkey) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "swap hotkey")?;
    let rules = rules(ctx.state)?;
    let old = own_hotkey(ctx, from, &m.hotkey)?;
    let new = key("new_hotkey", &m.new_hotkey)?;
    let everywhere = m.netuid == u32::from(ROOT);
    let scope = match everywhere {
        true => std::iter::once(ROOT).chain(network(ctx.state)?.netuids).collect(),
        false => vec![load(ctx.state, m.netuid)?.0],
    };
    if new == old {
        return Err(value("new_hotkey", "it is the same key").into());
    }
    own_or_free(ctx, new, from)?;
    if everywhere && HOTKEYS.contains(ctx.state, &new)? {
        let cause = "it was used before; draw a new one, or swap subnet by subnet".into();
        return Err(SubnetError::InUse { key: Address(new), cause }.into());
    }
    for netuid in scope.iter().filter(|netuid| **netuid != ROOT) {
        free_in(ctx, *netuid, new)?;
    }
    let name = format!("swap of a hotkey of {from}");
    let cost = if everywhere { rules.hotkey_swap_cost } else { rules.hotkey_swap_cost_one };
    if let (false, Some(netuid)) = (everywhere, scope.first()) {
        if !UIDS.contains(ctx.state, &(*netuid, old))? {
            return Err(SubnetError::NotRegistered { hotkey: Address(old), netuid: *netuid }.into());
        }
        let last = CHANGED.get(ctx.state, &(*netuid, name.clone()))?;
        let next = last.map_or(0, |last| last.saturating_add(rules.hotkey_swap_wait));
        if ctx.height < next {
            return Err(SubnetError::TooSoon { what: name, next, height: ctx.height }.into());
        }
    }
    has(ctx, from, u128::from(cost) * UNIT)?;
    let (looked, moved) = rename::hotkey_work(ctx.state, &scope, old)?;
    ctx.gas.charge(gas::LOOK * looked + gas::MOVED * moved, "swap hotkey")?;
    // Nothing below can fail.
    pay(ctx, from, cost)?;
    if let (false, Some(netuid)) = (everywhere, scope.first()) {
        CHANGED.put(ctx.state, &(*netuid, name), &ctx.height);
    }
    rename::hotkey(ctx.state, &scope, everywhere, old, new)?;
    ctx.emit(
        Event::new("hotkey_swapped")
            .with("netuid", m.netuid)
            .with("coldkey", from)
            .with("hotkey", Address(old))
            .with("new_hotkey", Address(new))
            .with("cost", uallo(cost)),
    );
    Ok(())
}

/// `MsgAnnounceColdkeySwap`: nothing of it tells who the new one is.
pub(crate) fn announce(ctx: &mut Ctx, from: Address, m: &MsgAnnounceColdkeySwap) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "announce coldkey swap")?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let digest: [u8; 32] = m.digest.as_slice().try_into().map_err(|_| value("digest", "needs 32 bytes"))?;
    if let Some(before) = SWAPS.get(ctx.state, &from.0)? {
        let next = again(&rules, &before);
        if before.disputed {
            return frozen(ctx, from);
        }
        if height < next {
            return Err(SubnetError::TooSoon { what: "another coldkey".into(), next, height }.into());
        }
    }
    has(ctx, from, u128::from(rules.coldkey_swap_cost) * UNIT)?;
    // Nothing below can fail.
    pay(ctx, from, rules.coldkey_swap_cost)?;
    let swap = Announced { digest, block: height, disputed: false };
    SWAPS.put(ctx.state, &from.0, &swap);
    let event = Event::new("coldkey_swap_announced").with("coldkey", from);
    ctx.emit(event.with("digest", hex::encode(digest)).with("from", due(&rules, &swap)));
    Ok(())
}

/// `MsgSwapColdkey`.
pub(crate) fn coldkey(ctx: &mut Ctx, from: Address, m: &MsgSwapColdkey) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "swap coldkey")?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let swap = SWAPS.get(ctx.state, &from.0)?.ok_or(SubnetError::NoSwap(from))?;
    let new = key("new_coldkey", &m.new_coldkey)?;
    if swap.disputed {
        return frozen(ctx, from);
    }
    if digest_of(from, Address(new)) != swap.digest {
        return Err(SubnetError::OtherColdkey(again(&rules, &swap)).into());
    }
    let next = due(&rules, &swap);
    if height < next {
        return Err(SubnetError::Waits { next, height }.into());
    }
    if new == from.0 {
        return Err(value("new_coldkey", "it is the same account").into());
    }
    if HOTKEYS.contains(ctx.state, &new)? {
        let cause = "it is a hotkey; announce an account that is none".into();
        return Err(SubnetError::InUse { key: Address(new), cause }.into());
    }
    if SWAPS.contains(ctx.state, &new)? {
        let cause = "it has announced another account in its own place".into();
        return Err(SubnetError::InUse { key: Address(new), cause }.into());
    }
    for netuid in network(ctx.state)?.netuids {
        if LOCKS.contains(ctx.state, &(netuid, from.0))? && LOCKS.contains(ctx.state, &(netuid, new))? {
            let cause = format!("it has locked stake of its own in subnet {netuid}");
            return Err(SubnetError::InUse { key: Address(new), cause }.into());
        }
    }
    let (looked, moved) = rename::coldkey_work(ctx.state, from.0)?;
    ctx.gas.charge(gas::LOOK * looked + gas::MOVED * moved, "swap coldkey")?;
    // Nothing below can fail.
    rename::coldkey(ctx.state, from.0, new, ctx.height)?;
    ctx.emit(Event::new("coldkey_swapped").with("coldkey", from).with("new_coldkey", Address(new)));
    Ok(())
}

/// `MsgDisputeColdkeySwap`: whoever has the key can say it, so that neither of two who have it can take everything.
pub(crate) fn dispute(ctx: &mut Ctx, from: Address, _: &MsgDisputeColdkeySwap) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "dispute coldkey swap")?;
    let swap = SWAPS.get(ctx.state, &from.0)?.ok_or(SubnetError::NoSwap(from))?;
    if swap.disputed {
        return frozen(ctx, from);
    }
    // Nothing below can fail.
    SWAPS.put(ctx.state, &from.0, &Announced { disputed: true, ..swap });
    ctx.emit(Event::new("coldkey_swap_disputed").with("coldkey", from));
    Ok(())
}

/// `MsgResetColdkeySwap`.
pub(crate) fn reset(ctx: &mut Ctx, from: Address, m: &MsgResetColdkeySwap) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "reset coldkey swap")?;
    let who = address("coldkey", &m.coldkey)?;
    admins_only(ctx, from, "end an announcement")?;
    if !SWAPS.contains(ctx.state, &who.0)? {
        return Err(SubnetError::NoSwap(who).into());
    }
    // Nothing below can fail.
    SWAPS.delete(ctx.state, &who.0);
    ctx.emit(Event::new("coldkey_swap_reset").with("coldkey", who));
    Ok(())
}
