//! Stake: bought with the chain's token and sold for it at the one price of a block, moved, collected. At the root it is
//! the chain's token itself.

use dodona_mechanism::subnet::{
    batch::{PRICE_MAX, PRICE_MIN},
    pool::{PoolError, Side},
};
use dodona_proto::{
    Address,
    subnets::{MsgClaimRoot, MsgMoveStake, MsgSetRootClaim, MsgStake, MsgUnstake, MsgUnstakeAll},
};

use super::{
    has, key, load,
    lock::{bound, unlocked},
    price, started, tokens, units, value,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book::{self, pay_in, pay_out},
        claim,
        clear::{MIN_RESERVE, place},
        error::SubnetError,
        state::{
            HOTKEYS, KEPT_MAX, Key, Market, Netuid, ORDERS_MAX, Order, ROOT, ROOT_CLAIMS, RootClaim, Subnet,
            Then, UNIT, network, rules,
        },
    },
};

/// Subnets in one claim, when they are named.
const CLAIMS_MAX: usize = 5;

fn known(ctx: &Ctx, hotkey: Key) -> Result<(), Failure> {
    if HOTKEYS.contains(ctx.state, &hotkey)? {
        Ok(())
    } else {
        Err(SubnetError::NoHotkey(Address(hotkey)).into())
    }
}

/// A subnet in which an order can be placed now. The pool may be short of what the order takes out of it.
pub(in crate::subnets) fn trading(
    ctx: &Ctx,
    netuid: u32,
    side: Side,
) -> Result<(Netuid, Subnet, Market), Failure> {
    let (netuid, subnet, market) = load(ctx.state, netuid)?;
    started(netuid, &subnet, ctx.height)?;
    let reserve = if side == Side::Buy { market.alpha } else { market.tao };
    if reserve < MIN_RESERVE {
        return Err(SubnetError::Pool { netuid, cause: PoolError::ReservesTooLow }.into());
    }
    if market.orders >= ORDERS_MAX {
        return Err(SubnetError::Orders(ORDERS_MAX).into());
    }
    Ok((netuid, subnet, market))
}

/// `MsgStake`.
pub(crate) fn stake(ctx: &mut Ctx, from: Address, m: &MsgStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_TRADE, "stake")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let tao = tokens("amount", &m.amount)?;
    let limit = price("limit_price", &m.limit_price, PRICE_MAX)?;
    let least = rules(ctx.state)?.min_stake;
    known(ctx, hotkey)?;
    if tao < least {
        return Err(SubnetError::Small { amount: tao, least }.into());
    }
    has(ctx, from, u128::from(tao) * UNIT)?;
    if m.netuid == u32::from(ROOT) {
        // Nothing below can fail.
        pay_in(ctx.state, from, tao)?;
        book::credit(ctx.state, ROOT, hotkey, from.0, tao)?;
        told(ctx, "root_staked", ROOT, from, hotkey, tao);
        return Ok(());
    }
    let (netuid, _, mut market) = trading(ctx, m.netuid, Side::Buy)?;
    // Nothing below can fail.
    pay_in(ctx.state, from, tao)?;
    place(ctx.state, netuid, &mut market, &Order::Buy { coldkey: from.0, hotkey, tao, limit })?;
    told(ctx, "stake_ordered", netuid, from, hotkey, tao);
    Ok(())
}

/// How much of a holder's stake is asked for; all of it where nothing is said, or where what is left upon another one's
/// hotkey would be less than the least (S 14.3) and nothing is locked.
fn wanted(
    ctx: &mut Ctx,
    netuid: Netuid,
    subnet: Option<&Subnet>,
    hotkey: Key,
    from: Address,
    text: &str,
) -> Result<(u64, bool), Failure> {
    let has = book::held(ctx.state, netuid, hotkey, from.0)?;
    let needs = if text.is_empty() { has } else { units("amount", text)? };
    if needs > has || has == 0 {
        return Err(SubnetError::StakeShort { has, needs: needs.max(1) }.into());
    }
    let left = has - needs;
    let small = left > 0 && left < rules(ctx.state)?.nominator_min_stake;
    if small && book::owner_of(ctx.state, hotkey)? != Some(from.0) {
        let lock = match subnet {
            Some(subnet) => bound(ctx, netuid, subnet, from)?,
            None => None,
        };
        if lock.is_none() {
            return Ok((has, true));
        }
    }
    Ok((needs, left == 0))
}

/// Refuses a sale that is worth too little, unless it is of everything.
fn worth(ctx: &Ctx, market: &Market, alpha: u64, all: bool) -> Result<(), Failure> {
    let least = rules(ctx.state)?.min_stake;
    let amount =
        market.spot().of(alpha.into()).map_or(u64::MAX, |worth| u64::try_from(worth).unwrap_or(u64::MAX));
    if amount < least && !all { Err(SubnetError::Small { amount, least }.into()) } else { Ok(()) }
}

/// `MsgUnstake`.
pub(crate) fn unstake(ctx: &mut Ctx, from: Address, m: &MsgUnstake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_TRADE, "unstake")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let limit = price("limit_price", &m.limit_price, PRICE_MIN)?;
    if m.netuid == u32::from(ROOT) {
        let (amount, _) = wanted(ctx, ROOT, None, hotkey, from, &m.amount)?;
        // Nothing below can fail.
        book::debit(ctx.state, ROOT, hotkey, from.0, amount)?;
        pay_out(ctx.state, from, amount)?;
        told(ctx, "root_unstaked", ROOT, from, hotkey, amount);
        return Ok(());
    }
    let (netuid, subnet, mut market) = trading(ctx, m.netuid, Side::Sell)?;
    let (alpha, all) = wanted(ctx, netuid, Some(&subnet), hotkey, from, &m.amount)?;
    worth(ctx, &market, alpha, all)?;
    unlocked(ctx, netuid, &subnet, from, alpha)?;
    // Nothing below can fail.
    book::debit(ctx.state, netuid, hotkey, from.0, alpha)?;
    let order = Order::Sell { coldkey: from.0, hotkey, alpha, limit, then: None };
    place(ctx.state, netuid, &mut market, &order)?;
    told(ctx, "unstake_ordered", netuid, from, hotkey, alpha);
    Ok(())
}

/// `MsgUnstakeAll` (S 14.6): a sale of everything in every subnet; what one of them refuses stays there.
pub(crate) fn unstake_all(ctx: &mut Ctx, from: Address, m: &MsgUnstakeAll) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "unstake all")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let mut upon = Vec::new();
    for netuid in network(ctx.state)?.netuids {
        let amount = book::held(ctx.state, netuid, hotkey, from.0)?;
        if amount > 0 || book::owed(ctx.state, netuid, hotkey, from.0)? > 0 {
            upon.push(netuid);
        }
    }
    let at_root = if m.to_root { 0 } else { book::held(ctx.state, ROOT, hotkey, from.0)? };
    if upon.is_empty() && at_root == 0 {
        return Err(SubnetError::StakeShort { has: 0, needs: 1 }.into());
    }
    let count = upon.len() as u64 + u64::from(at_root > 0);
    ctx.gas.charge(gas::SUBNET_TRADE * count, "unstake all")?;
    let (mut sold, mut refusal) = (at_root > 0, None);
    // What root stake has earned is sold with the rest.
    book::collect(ctx.state, hotkey, from.0)?;
    if at_root > 0 {
        book::debit(ctx.state, ROOT, hotkey, from.0, at_root)?;
        pay_out(ctx.state, from, at_root)?;
        told(ctx, "root_unstaked", ROOT, from, hotkey, at_root);
    }
    for netuid in upon {
        let (_, subnet, mut market) = match trading(ctx, netuid.into(), Side::Sell) {
            Ok(place) => place,
            Err(Failure::Refused(why)) => {
                let event = Event::new("unstake_skipped").with("netuid", netuid).with("cause", &why.log);
                ctx.emit(event);
                refusal.get_or_insert(why);
                continue;
            }
            Err(halt) => return Err(halt),
        };
        let held = book::held(ctx.state, netuid, hotkey, from.0)?;
        let lock = bound(ctx, netuid, &subnet, from)?;
        let alpha = lock.map_or(held, |(has, lock)| held.min(has.saturating_sub(lock.mass)));
        if alpha < held {
            let cause = format!("{} base units of it are locked", held - alpha);
            ctx.emit(Event::new("unstake_skipped").with("netuid", netuid).with("cause", cause));
        }
        if alpha == 0 {
            continue;
        }
        book::debit(ctx.state, netuid, hotkey, from.0, alpha)?;
        let root = Then { netuid: ROOT, hotkey, coldkey: from.0, limit: PRICE_MAX };
        let then = m.to_root.then_some(root);
        let order = Order::Sell { coldkey: from.0, hotkey, alpha, limit: PRICE_MIN, then };
        place(ctx.state, netuid, &mut market, &order)?;
        told(ctx, "unstake_ordered", netuid, from, hotkey, alpha);
        sold = true;
    }
    match refusal {
        // Nothing was done: why the first one refused is why.
        Some(why) if !sold => Err(Failure::Refused(why)),
        _ => Ok(()),
    }
}

/// `MsgMoveStake`.
pub(crate) fn move_stake(ctx: &mut Ctx, from: Address, m: &MsgMoveStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_TRADE + gas::SUBNET_WRITE, "move stake")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let to_hotkey = key("to_hotkey", &m.to_hotkey)?;
    let coldkey = if m.to_coldkey.is_empty() { from.0 } else { key("to_coldkey", &m.to_coldkey)? };
    let limit = price("limit_price", &m.limit_price, PRICE_MIN)?;
    let to_limit = price("to_limit_price", &m.to_limit_price, PRICE_MAX)?;
    known(ctx, to_hotkey)?;
    let root = u32::from(ROOT);
    let (mut sold, mut leaves) = (None, false);
    for (netuid, side) in [(m.netuid, Side::Sell), (m.to_netuid, Side::Buy)] {
        if netuid != root {
            let (netuid, subnet, _) = trading(ctx, netuid, side)?;
            if side == Side::Sell {
                leaves = m.to_netuid != m.netuid || coldkey != from.0;
                sold = Some(subnet.clone());
            }
            if coldkey != from.0 && !subnet.hyper.transfer_toggle {
                return Err(SubnetError::Transfer(netuid).into());
            }
        }
    }
    // Both are known to fit: the root, or loaded above.
    let (netuid, to_netuid) = (m.netuid as Netuid, m.to_netuid as Netuid);
    let (amount, all) = wanted(ctx, netuid, sold.as_ref(), hotkey, from, &m.amount)?;
    if (netuid, hotkey, from.0) == (to_netuid, to_hotkey, coldkey) {
        return Err(value("to_hotkey", "the stake is there already").into());
    }
    if let (true, Some(subnet)) = (leaves, &sold) {
        unlocked(ctx, netuid, subnet, from, amount)?;
    }
    let then = Then { netuid: to_netuid, hotkey: to_hotkey, coldkey, limit: to_limit };
    if netuid == to_netuid {
        // Nothing below can fail.
        book::debit(ctx.state, netuid, hotkey, from.0, amount)?;
        book::credit(ctx.state, netuid, to_hotkey, coldkey, amount)?;
    } else if netuid == ROOT {
        let (_, _, mut market) = load(ctx.state, m.to_netuid)?;
        // Nothing below can fail. Collecting the root's dividends changes markets, so that one is read after it.
        book::debit(ctx.state, ROOT, hotkey, from.0, amount)?;
        if let Some(fresh) = crate::subnets::state::MARKETS.get(ctx.state, &to_netuid)? {
            market = fresh;
        }
        let order = Order::Buy { coldkey, hotkey: to_hotkey, tao: amount, limit: to_limit };
        place(ctx.state, to_netuid, &mut market, &order)?;
    } else {
        let (_, _, mut market) = load(ctx.state, m.netuid)?;
        worth(ctx, &market, amount, all)?;
        // Nothing below can fail.
        book::debit(ctx.state, netuid, hotkey, from.0, amount)?;
        let order = Order::Sell { coldkey: from.0, hotkey, alpha: amount, limit, then: Some(then) };
        place(ctx.state, netuid, &mut market, &order)?;
    }
    ctx.emit(
        Event::new("stake_moved")
            .with("netuid", netuid)
            .with("coldkey", from)
            .with("hotkey", Address(hotkey))
            .with("amount", amount)
            .with("to_netuid", to_netuid)
            .with("to_hotkey", Address(to_hotkey))
            .with("to_coldkey", Address(coldkey)),
    );
    Ok(())
}

/// `MsgClaimRoot` (S 17.4): what was earned is sold or stays, as its holder has chosen. A subnet that does not pay is
/// passed over; when none does, the first one's refusal is the answer.
pub(crate) fn claim_root(ctx: &mut Ctx, from: Address, m: &MsgClaimRoot) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "claim root")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    if m.netuids.len() > CLAIMS_MAX {
        return Err(value("netuids", format!("at most {CLAIMS_MAX}, or none for all subnets")).into());
    }
    let mut subnets = Vec::new();
    for netuid in &m.netuids {
        subnets.push(load(ctx.state, *netuid)?.0);
    }
    if subnets.is_empty() {
        subnets = network(ctx.state)?.netuids;
    }
    let mut owing = Vec::new();
    for netuid in subnets {
        if book::owed(ctx.state, netuid, hotkey, from.0)? > 0 && !owing.contains(&netuid) {
            owing.push(netuid);
        }
    }
    ctx.gas.charge(gas::SUBNET_TRADE * owing.len() as u64, "claim root")?;
    let (mut paid, mut refusal) = (false, None);
    for netuid in owing {
        // Nothing of a claim is written before its last refusal.
        match claim::pay(ctx, netuid, hotkey, from.0) {
            Ok(()) => paid = true,
            Err(Failure::Refused(why)) => {
                refusal.get_or_insert(why);
            }
            Err(halt) => return Err(halt),
        }
    }
    match refusal {
        _ if paid => Ok(()),
        Some(why) => Err(Failure::Refused(why)),
        None => Err(SubnetError::Nothing.into()),
    }
}

/// `MsgSetRootClaim` (S 17.4): from the next claim on.
pub(crate) fn set_root_claim(ctx: &mut Ctx, from: Address, m: &MsgSetRootClaim) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE + gas::LIST_ENTRY * m.keep_in.len() as u64, "set root claim")?;
    if m.keep_in.len() > KEPT_MAX {
        return Err(value("keep_in", format!("at most {KEPT_MAX} subnets")).into());
    }
    let mut kept = Vec::new();
    for netuid in &m.keep_in {
        // The block tells a subnet from a later one of the same number.
        let (netuid, subnet, _) = load(ctx.state, *netuid)?;
        if !kept.contains(&(netuid, subnet.registered)) {
            kept.push((netuid, subnet.registered));
        }
    }
    let choice = match (m.kind.as_str(), kept.is_empty()) {
        ("sell", true) => RootClaim::Sell,
        ("sell", false) => RootClaim::KeepIn(kept),
        ("keep", true) => RootClaim::Keep,
        ("keep", false) => return Err(value("keep_in", "with keep they stay in all subnets").into()),
        _ => return Err(value("kind", "send sell or keep").into()),
    };
    // Nothing below can fail.
    if choice == RootClaim::default() {
        ROOT_CLAIMS.delete(ctx.state, &from.0);
    } else {
        ROOT_CLAIMS.put(ctx.state, &from.0, &choice);
    }
    let event = Event::new("root_claim_set").with("coldkey", from).with("kind", &m.kind);
    ctx.emit(event.with("kept_in", m.keep_in.len()));
    Ok(())
}

fn told(ctx: &mut Ctx, what: &str, netuid: Netuid, coldkey: Address, hotkey: Key, amount: u64) {
    ctx.emit(
        Event::new(what)
            .with("netuid", netuid)
            .with("coldkey", coldkey)
            .with("hotkey", Address(hotkey))
            .with("amount", amount),
    );
}
