//! Stake: bought with the chain's token and sold for it at the one price of a block, moved, collected. At the root it is
//! the chain's token itself.

use dodona_mechanism::subnet::{
    batch::{PRICE_MAX, PRICE_MIN},
    pool::{PoolError, Side},
};
use dodona_proto::{
    Address,
    subnets::{MsgClaimRoot, MsgMoveStake, MsgStake, MsgUnstake, MsgUnstakeAll},
};

use super::{has, key, load, price, started, tokens, units};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book::{self, pay_in, pay_out},
        clear::{MIN_RESERVE, place},
        error::SubnetError,
        state::{HOTKEYS, Key, Market, Netuid, ORDERS_MAX, Order, ROOT, Subnet, Then, UNIT, network, rules},
    },
};

fn known(ctx: &Ctx, hotkey: Key) -> Result<(), Failure> {
    if HOTKEYS.contains(ctx.state, &hotkey)? {
        Ok(())
    } else {
        Err(SubnetError::NoHotkey(Address(hotkey)).into())
    }
}

/// A subnet in which an order can be placed now. The pool may be short of what the order takes out of it.
fn trading(ctx: &Ctx, netuid: u32, side: Side) -> Result<(Netuid, Subnet, Market), Failure> {
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

/// How much of a holder's stake is asked for; all of it where nothing is said.
fn wanted(ctx: &Ctx, netuid: Netuid, hotkey: Key, from: Address, text: &str) -> Result<(u64, bool), Failure> {
    let has = book::held(ctx.state, netuid, hotkey, from.0)?;
    let needs = if text.is_empty() { has } else { units("amount", text)? };
    if needs > has || has == 0 {
        return Err(SubnetError::StakeShort { has, needs: needs.max(1) }.into());
    }
    Ok((needs, needs == has))
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
        let (amount, _) = wanted(ctx, ROOT, hotkey, from, &m.amount)?;
        // Nothing below can fail.
        book::debit(ctx.state, ROOT, hotkey, from.0, amount)?;
        pay_out(ctx.state, from, amount)?;
        told(ctx, "root_unstaked", ROOT, from, hotkey, amount);
        return Ok(());
    }
    let (netuid, _, mut market) = trading(ctx, m.netuid, Side::Sell)?;
    let (alpha, all) = wanted(ctx, netuid, hotkey, from, &m.amount)?;
    worth(ctx, &market, alpha, all)?;
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
        let (_, _, mut market) = match trading(ctx, netuid.into(), Side::Sell) {
            Ok(place) => place,
            Err(Failure::Refused(why)) => {
                let event = Event::new("unstake_skipped").with("netuid", netuid).with("cause", &why.log);
                ctx.emit(event);
                refusal.get_or_insert(why);
                continue;
            }
            Err(halt) => return Err(halt),
        };
        let alpha = book::held(ctx.state, netuid, hotkey, from.0)?;
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
    for (netuid, side) in [(m.netuid, Side::Sell), (m.to_netuid, Side::Buy)] {
        if netuid != root {
            let (netuid, subnet, _) = trading(ctx, netuid, side)?;
            if coldkey != from.0 && !subnet.hyper.transfer_toggle {
                return Err(SubnetError::Transfer(netuid).into());
            }
        }
    }
    // Both are known to fit: the root, or loaded above.
    let (netuid, to_netuid) = (m.netuid as Netuid, m.to_netuid as Netuid);
    let (amount, all) = wanted(ctx, netuid, hotkey, from, &m.amount)?;
    if (netuid, hotkey, from.0) == (to_netuid, to_hotkey, coldkey) {
        return Err(super::value("to_hotkey", "the stake is there already").into());
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

/// `MsgClaimRoot` (S 17.4): what was earned stays in the subnets it comes from, as stake.
pub(crate) fn claim_root(ctx: &mut Ctx, from: Address, m: &MsgClaimRoot) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_TRADE, "claim root")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let collected = book::collect(ctx.state, hotkey, from.0)?;
    if collected.is_empty() {
        return Err(SubnetError::Nothing.into());
    }
    for (netuid, amount) in collected {
        told(ctx, "root_claimed", netuid, from, hotkey, amount);
    }
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
