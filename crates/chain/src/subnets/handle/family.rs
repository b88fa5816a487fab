//! Childkeys: whom a hotkey lends its stake, and what those keep of its dividends.

use std::collections::BTreeSet;

use dodona_proto::{
    Address,
    subnets::{MsgSetChildkeyTake, MsgSetChildren},
};

use super::{key, load, own_or_free, value};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book,
        error::SubnetError,
        family, rename,
        rules::EIGHTEEN_PERCENT,
        state::{CHANGED, CHILD_TAKES, CHILDREN_MAX, HOTKEYS, Key, PARENTS_MAX, PENDING_CHILDREN, rules},
    },
};

/// A hotkey of the sender's that is known.
pub(super) fn own_hotkey(ctx: &Ctx, from: Address, text: &str) -> Result<Key, Failure> {
    let hotkey = key("hotkey", text)?;
    if !HOTKEYS.contains(ctx.state, &hotkey)? {
        return Err(SubnetError::NoHotkey(Address(hotkey)).into());
    }
    own_or_free(ctx, hotkey, from)?;
    Ok(hotkey)
}

/// `MsgSetChildren`.
pub(crate) fn set_children(ctx: &mut Ctx, from: Address, m: &MsgSetChildren) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE + gas::LIST_ENTRY * m.children.len() as u64, "set children")?;
    let (netuid, subnet, _) = load(ctx.state, m.netuid)?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let hotkey = own_hotkey(ctx, from, &m.hotkey)?;
    if m.children.len() > CHILDREN_MAX {
        return Err(value("children", format!("at most {CHILDREN_MAX}")).into());
    }
    let (mut children, mut seen, mut sum) = (Vec::new(), BTreeSet::new(), 0u64);
    for child in &m.children {
        let of = key("children", &child.hotkey)?;
        let fits = sum.checked_add(child.fraction).filter(|_| child.fraction > 0);
        sum = fits.ok_or_else(|| value("children", "fractions are above 0 and sum to at most 2^64 - 1"))?;
        if of == hotkey || !seen.insert(of) {
            return Err(value("children", "each is another hotkey").into());
        }
        if family::circular(ctx.state, netuid, hotkey, of)? {
            return Err(value("children", format!("{} is its parent already", Address(of))).into());
        }
        if !family::has_room(ctx.state, netuid, hotkey, of)? {
            return Err(
                value("children", format!("{} has {PARENTS_MAX} parents already", Address(of))).into()
            );
        }
        children.push((child.fraction, of));
    }
    let has = book::weight_of(ctx.state, &rules, netuid, hotkey)?;
    if has < rules.stake_threshold && hotkey != subnet.owner_hotkey && !children.is_empty() {
        return Err(SubnetError::LowStake { has, needs: rules.stake_threshold }.into());
    }
    let name = rename::children_of(hotkey);
    if let Some(last) = CHANGED.get(ctx.state, &(netuid, name.clone()))? {
        let next = last.saturating_add(rules.children_rate_limit);
        if height < next {
            return Err(SubnetError::TooSoon { what: name, next, height }.into());
        }
    }
    // Nothing below can fail.
    CHANGED.put(ctx.state, &(netuid, name), &height);
    let from_block = match subnet.started {
        None => {
            PENDING_CHILDREN.delete(ctx.state, &(netuid, hotkey));
            family::set(ctx.state, netuid, hotkey, children)?;
            height
        }
        Some(_) => {
            let from = height.saturating_add(rules.children_wait);
            PENDING_CHILDREN.put(ctx.state, &(netuid, hotkey), &(from, children));
            from
        }
    };
    ctx.emit(
        Event::new("children_set")
            .with("netuid", netuid)
            .with("hotkey", Address(hotkey))
            .with("children", m.children.len())
            .with("from", from_block),
    );
    Ok(())
}

/// `MsgSetChildkeyTake` (S 15.4).
pub(crate) fn set_childkey_take(ctx: &mut Ctx, from: Address, m: &MsgSetChildkeyTake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set childkey take")?;
    let (netuid, subnet, _) = load(ctx.state, m.netuid)?;
    let hotkey = own_hotkey(ctx, from, &m.hotkey)?;
    let least = subnet.hyper.min_childkey_take;
    let take = u16::try_from(m.take).ok().filter(|take| (least..=EIGHTEEN_PERCENT).contains(take));
    let take =
        take.ok_or_else(|| value("take", format!("allowed are {least} to {EIGHTEEN_PERCENT} (18 %)")))?;
    let (before, raised) = CHILD_TAKES.get(ctx.state, &(netuid, hotkey))?.unwrap_or_default();
    let next = raised.saturating_add(rules(ctx.state)?.take_rate_limit);
    if take > before && raised > 0 && ctx.height < next {
        let what = "a higher childkey take".into();
        return Err(SubnetError::TooSoon { what, next, height: ctx.height }.into());
    }
    // Nothing below can fail.
    let raised = if take > before { ctx.height } else { raised };
    CHILD_TAKES.put(ctx.state, &(netuid, hotkey), &(take, raised));
    let event = Event::new("childkey_take_set").with("netuid", netuid);
    ctx.emit(event.with("hotkey", Address(hotkey)).with("take", take));
    Ok(())
}
