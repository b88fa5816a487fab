//! End of block: all trades of a subnet happen at once and at one price. What cannot be traded goes back to where it
//! came from; an order never waits for another block, but for the purchase half of moved stake, which is made for it.

use dodona_mechanism::{
    amount::mul_div_floor,
    subnet::batch::{self, Cleared, Fill, Offer, PRICE_MAX, PRICE_MIN},
};
use dodona_proto::Address;

use super::{
    block::attempt,
    book,
    state::{Key, MARKETS, Market, NETWORK, Netuid, ORDERS, Order, ROOT, SUBNETS, Then, UNIT, network},
};
use crate::{accounts, bank, ctx::Ctx, error::Failure, event::Event, state::State};

/// Least reserve of a pool that trades, base units (S 13.8).
pub(super) const MIN_RESERVE: u64 = 1_000_000;

/// Puts an order into the line of the block that is being made, or of the next.
pub(super) fn place(
    state: &mut State,
    netuid: Netuid,
    market: &mut Market,
    order: &Order,
) -> Result<(), Failure> {
    let mut network = network(state)?;
    ORDERS.put(state, &(netuid, network.next_order), order);
    network.next_order += 1;
    NETWORK.put(state, &network);
    market.orders = market.orders.saturating_add(1);
    MARKETS.put(state, &netuid, market);
    Ok(())
}

/// Clears every subnet that has orders. What moves from one to another is bought in the next block.
pub(super) fn end(ctx: &mut Ctx, netuids: &[Netuid]) -> Result<(), Failure> {
    let mut waiting = Vec::new();
    for &netuid in netuids {
        if MARKETS.get(ctx.state, &netuid)?.is_some_and(|market| market.orders > 0) {
            waiting.push(netuid);
        }
    }
    let mut moves = Vec::new();
    for netuid in waiting {
        let mut arrivals = Vec::new();
        if attempt(ctx, netuid, "clear", |ctx| {
            arrivals = subnet(ctx, netuid)?;
            Ok(())
        })? {
            moves.extend(arrivals);
        }
    }
    for (tao, then) in moves {
        arrive(ctx, tao, then)?;
    }
    Ok(())
}

/// An order with what it offers after the fee.
struct Side {
    orders: Vec<Order>,
    offers: Vec<Offer>,
    gross: Vec<u64>,
}

fn part(amount: u64, numerator: u64, denominator: u64) -> u64 {
    let part = mul_div_floor(amount.into(), numerator.into(), denominator.max(1).into());
    part.map_or(0, |part| u64::try_from(part).unwrap_or(u64::MAX))
}

/// Clears one subnet; answers moved stake and where it goes.
fn subnet(ctx: &mut Ctx, netuid: Netuid) -> Result<Vec<(u64, Then)>, Failure> {
    let (Some(mut market), Some(subnet)) =
        (MARKETS.get(ctx.state, &netuid)?, SUBNETS.get(ctx.state, &netuid)?)
    else {
        return Ok(Vec::new());
    };
    let fee_rate = u64::from(subnet.hyper.swap_fee);
    let whole = u64::from(u16::MAX);
    let side = || Side { orders: Vec::new(), offers: Vec::new(), gross: Vec::new() };
    let (mut buys, mut sells) = (side(), side());
    for (key, order) in ORDERS.scan_prefix(ctx.state, &netuid, usize::MAX)? {
        ORDERS.delete(ctx.state, &key);
        let (to, amount, limit) = match order {
            Order::Buy { tao, limit, .. } => (&mut buys, tao, limit),
            Order::Burn { tao } => (&mut buys, tao, PRICE_MAX),
            Order::Sell { alpha, limit, .. } => (&mut sells, alpha, limit),
            Order::Claim { alpha, .. } => (&mut sells, alpha, PRICE_MIN),
        };
        // Buyers pay the fee before the trade, sellers after it: it is always the chain's token.
        let net = match order {
            Order::Sell { .. } | Order::Claim { .. } => amount,
            _ => amount - part(amount, fee_rate, whole),
        };
        to.orders.push(order);
        to.offers.push(Offer { amount: net, limit });
        to.gross.push(amount);
    }
    market.orders = 0;
    let pool = market.pool();
    let cleared = match batch::clear(pool, &buys.offers, &sells.offers, MIN_RESERVE) {
        Ok(cleared) => cleared,
        Err(cause) => {
            ctx.emit(Event::new("subnet_not_cleared").with("netuid", netuid).with("cause", cause));
            let none = |offers: &Side| vec![Fill::default(); offers.offers.len()];
            let price = market.spot();
            Cleared { pool, price, buys: none(&buys), sells: none(&sells) }
        }
    };
    market.set_pool(cleared.pool);
    // What left the pool, or came into it, is outside of it, or no longer: sold stake counted as outside until now.
    market.alpha_out = (market.alpha_out + pool.alpha).saturating_sub(cleared.pool.alpha);
    let (mut fees, mut moves) = (0u64, Vec::new());
    for ((order, fill), (offer, gross)) in
        buys.orders.iter().zip(&cleared.buys).zip(buys.offers.iter().zip(&buys.gross))
    {
        let fee = part(gross - offer.amount, fill.taken, offer.amount);
        let returned = gross - fill.taken - fee;
        fees += fee;
        match *order {
            Order::Buy { coldkey, hotkey, .. } => {
                book::credit(ctx.state, netuid, hotkey, coldkey, fill.output)?;
                book::pay_out(ctx.state, Address(coldkey), returned)?;
                told(ctx, netuid, "bought", coldkey, hotkey, fill, returned);
            }
            Order::Burn { .. } => {
                // A registration has no limit; what the pool does not take is nobody's.
                market.alpha_out = market.alpha_out.saturating_sub(fill.output);
                bank::transfer(
                    ctx.state,
                    accounts::subnets(),
                    accounts::ecosystem(),
                    u128::from(returned) * UNIT,
                )?;
            }
            Order::Sell { .. } | Order::Claim { .. } => {}
        }
    }
    for (order, (fill, gross)) in sells.orders.iter().zip(cleared.sells.iter().zip(&sells.gross)) {
        let (coldkey, hotkey, then, rate) = match *order {
            Order::Sell { coldkey, hotkey, then, .. } => (coldkey, hotkey, then, fee_rate),
            Order::Claim { coldkey, hotkey, .. } => {
                let root = Then { netuid: ROOT, hotkey, coldkey, limit: PRICE_MAX };
                (coldkey, hotkey, Some(root), 0)
            }
            _ => continue,
        };
        let fee = part(fill.output, rate, whole);
        let returned = gross - fill.taken;
        fees += fee;
        book::credit(ctx.state, netuid, hotkey, coldkey, returned)?;
        told(ctx, netuid, "sold", coldkey, hotkey, fill, returned);
        match then {
            None => book::pay_out(ctx.state, Address(coldkey), fill.output - fee)?,
            Some(then) => moves.push((fill.output - fee, then)),
        }
    }
    bank::transfer(ctx.state, accounts::subnets(), accounts::fee_collector(), u128::from(fees) * UNIT)?;
    MARKETS.put(ctx.state, &netuid, &market);
    ctx.emit(
        Event::new("subnet_cleared")
            .with("netuid", netuid)
            .with("price", cleared.price)
            .with("buys", buys.orders.len())
            .with("sells", sells.orders.len()),
    );
    Ok(moves)
}

fn told(ctx: &mut Ctx, netuid: Netuid, what: &str, coldkey: Key, hotkey: Key, fill: &Fill, returned: u64) {
    ctx.emit(
        Event::new("subnet_trade")
            .with("netuid", netuid)
            .with("side", what)
            .with("coldkey", Address(coldkey))
            .with("hotkey", Address(hotkey))
            .with("paid", fill.taken)
            .with("received", fill.output)
            .with("returned", returned),
    );
}

/// Moved stake arrives: at the root at once, in a subnet by the next block's trades, and with its holder if that
/// subnet is gone.
fn arrive(ctx: &mut Ctx, tao: u64, then: Then) -> Result<(), Failure> {
    if tao == 0 {
        return Ok(());
    }
    if then.netuid == ROOT {
        return book::credit(ctx.state, ROOT, then.hotkey, then.coldkey, tao);
    }
    match MARKETS.get(ctx.state, &then.netuid)? {
        None => book::pay_out(ctx.state, Address(then.coldkey), tao),
        Some(mut market) => {
            let Then { hotkey, coldkey, limit, .. } = then;
            place(ctx.state, then.netuid, &mut market, &Order::Buy { coldkey, hotkey, tao, limit })
        }
    }
}
