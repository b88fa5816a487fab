//! The subnets' part of a block (S 4). Before transactions: prices of registration fall, emission flows into pools and
//! accrues, epochs that are due run, some root dividends are paid, prices are averaged. After them: trades. A subnet whose numbers do not allow a
//! step is left as it was and told; it never stops the chain.

use dodona_mechanism::{
    MathError,
    subnet::{
        admission,
        batch::PRICE_MAX,
        emission::{self, Claim, Terms},
        pool::{PoolRules, Side},
    },
    supply::Fixed,
};

use super::{
    book::{math, pay_in},
    claim, clear, epoch, family, lock,
    rules::Rules,
    state::{MARKETS, Market, NETWORK, Netuid, SUBNETS, Subnet, UNIT, rules},
};
use crate::{accounts::ecosystem, ctx::Ctx, error::Failure, event::Event};

/// Does a step for one subnet, or undoes it and says so; answers whether it was done.
pub(super) fn attempt(
    ctx: &mut Ctx,
    netuid: Netuid,
    step: &str,
    work: impl FnOnce(&mut Ctx) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let (before, told) = (ctx.state.savepoint(), ctx.told());
    match work(ctx) {
        Ok(()) => {
            ctx.state.release(before);
            Ok(true)
        }
        Err(Failure::Refused(refusal)) => {
            ctx.state.rollback(before);
            ctx.untell(told);
            ctx.emit(
                Event::new("subnet_step_failed")
                    .with("netuid", netuid)
                    .with("step", step)
                    .with("cause", refusal.log),
            );
            Ok(false)
        }
        Err(halt) => Err(halt),
    }
}

/// Begin of block. `available` is what topics may take, uallo, lying in the ecosystem account; answers how much of it
/// the subnets took.
pub(crate) fn begin(ctx: &mut Ctx, available: u128) -> Result<u128, Failure> {
    let Some(network) = NETWORK.get(ctx.state)? else { return Ok(0) };
    if network.netuids.is_empty() {
        return Ok(0);
    }
    let rules = rules(ctx.state)?;
    let now = ctx.height;
    let mut rows: Vec<(Netuid, Subnet, Market)> = Vec::with_capacity(network.netuids.len());
    for netuid in &network.netuids {
        let (Some(subnet), Some(market)) = (SUBNETS.get(ctx.state, netuid)?, MARKETS.get(ctx.state, netuid)?)
        else {
            continue;
        };
        rows.push((*netuid, subnet, market));
    }
    for (netuid, subnet, market) in &mut rows {
        let hyper = &subnet.hyper;
        let factor = (hyper.burn_half_life > 0).then_some(market.decay);
        let price = admission::decayed(market.price, factor, hyper.min_burn, hyper.max_burn);
        if price != market.price {
            market.price = price;
            MARKETS.put(ctx.state, netuid, market);
        }
    }
    let spent = emit(ctx, &rules, network.root_stake, available, &rows)?;
    let mut ran = 0;
    for (netuid, subnet, _) in &rows {
        let Some(mut market) = MARKETS.get(ctx.state, netuid)? else { continue };
        if !market.clock(subnet.hyper.tempo, now).due(now) {
            continue;
        }
        if ran >= rules.max_epochs_per_block {
            market.pending = now + 1;
            MARKETS.put(ctx.state, netuid, &market);
            ctx.emit(Event::new("subnet_epoch_deferred").with("netuid", netuid).with("until", now + 1));
            continue;
        }
        ran += 1;
        (market.last, market.pending, market.stepped) = (now, 0, now);
        market.epochs += 1;
        MARKETS.put(ctx.state, netuid, &market);
        attempt(ctx, *netuid, "epoch", |ctx| epoch::run(ctx, &rules, *netuid, subnet))?;
        attempt(ctx, *netuid, "children", |ctx| family::due(ctx, *netuid))?;
        attempt(ctx, *netuid, "ownership", |ctx| lock::contest(ctx, &rules, *netuid))?;
    }
    claim::in_turn(ctx, &rules)?;
    for (netuid, subnet, _) in &rows {
        let Some(started) = subnet.started.filter(|&started| started <= now) else { continue };
        let Some(mut market) = MARKETS.get(ctx.state, netuid)? else { continue };
        // Numbers out of bounds leave the average as it is.
        let age = now - started + 1;
        if let Ok(average) = emission::average_price(market.average, market.spot(), age, rules.moving_alpha) {
            market.average = average;
            MARKETS.put(ctx.state, netuid, &market);
        }
    }
    Ok(spent)
}

/// Emission of a block: the chain's token over the subnets by averaged price, each subnet's own by its issuance.
fn emit(
    ctx: &mut Ctx,
    rules: &Rules,
    root_stake: u64,
    available: u128,
    rows: &[(Netuid, Subnet, Market)],
) -> Result<u128, Failure> {
    let now = ctx.height;
    let started: Vec<&(Netuid, Subnet, Market)> =
        rows.iter().filter(|(_, subnet, _)| subnet.started.is_some_and(|at| at <= now)).collect();
    if started.is_empty() {
        return Ok(0);
    }
    let claim = |(_, subnet, market): &&(Netuid, Subnet, Market)| Claim {
        price: market.average,
        withheld: market.withheld,
        enabled: subnet.hyper.emission_enabled && subnet.hyper.registration_allowed,
    };
    let claims: Vec<Claim> = started.iter().map(claim).collect();
    let part = rules.emission_part.of(available).unwrap_or(0) / UNIT;
    let parts = emission::split(u64::try_from(part).unwrap_or(u64::MAX), &claims);
    let parts = parts.unwrap_or_else(|_| vec![0; claims.len()]);
    let prices = claims.iter().try_fold(Fixed::ZERO, |sum, claim| sum.plus(claim.price));
    let root_earns = prices.is_ok_and(|sum| sum > Fixed::ONE) || prices.is_err();
    let mut spent = 0u128;
    for ((netuid, subnet, _), part) in started.into_iter().zip(parts) {
        let mut taken = 0;
        attempt(ctx, *netuid, "emission", |ctx| {
            let Some(mut market) = MARKETS.get(ctx.state, netuid)? else { return Ok(()) };
            taken = emit_one(rules, root_stake, part, root_earns, subnet, &mut market)?;
            pay_in(ctx.state, ecosystem(), taken)?;
            MARKETS.put(ctx.state, netuid, &market);
            Ok(())
        })?;
        spent += u128::from(taken) * UNIT;
    }
    Ok(spent)
}

/// One subnet's emission of a block; answers how much of the chain's token went into its pool.
fn emit_one(
    rules: &Rules,
    root_stake: u64,
    part: u64,
    root_earns: bool,
    subnet: &Subnet,
    market: &mut Market,
) -> Result<u64, Failure> {
    let alpha_emission = emission::block_emission(market.issued());
    let root = math(emission::root_part(root_stake, rules.root_weight, market.issued()))?;
    let mut taken = 0;
    // A pool that cannot take it, or would lose its balance, goes without (S 12.4).
    let price = market.spot();
    if part > 0 && price > Fixed::ZERO {
        let Terms { tao_in, alpha_in, excess } = math(emission::terms(part, price, alpha_emission, root))?;
        if let Ok(pool) = market.pool().inject(tao_in, alpha_in) {
            market.set_pool(pool);
            taken += tao_in;
        }
        let free = PoolRules { fee: 0, min_reserve: clear::MIN_RESERVE };
        if let (true, Ok(swap)) = (excess > 0, market.pool().swap(Side::Buy, excess, PRICE_MAX, &free)) {
            market.set_pool(swap.pool);
            market.protocol += swap.output;
            market.alpha_out += swap.output;
            taken += swap.taken;
        }
    }
    let cut = if subnet.hyper.owner_cut_enabled { rules.owner_cut } else { 0 };
    let cut = math(Fixed::ratio(cut.into(), u16::MAX.into()))?;
    let accrual = math(emission::accrue(alpha_emission, cut, root, root_earns))?;
    let accrued = accrual.owner + accrual.server + accrual.validator + accrual.root;
    market.alpha_out = math(market.alpha_out.checked_add(accrued).ok_or(MathError::Overflow("alpha")))?;
    market.owner += accrual.owner;
    market.server += accrual.server;
    market.validator += accrual.validator;
    market.root += accrual.root;
    market.newest = (taken, accrued);
    Ok(taken)
}

/// End of block: trades.
pub(crate) fn end(ctx: &mut Ctx) -> Result<(), Failure> {
    match NETWORK.get(ctx.state)? {
        Some(network) if !network.netuids.is_empty() => clear::end(ctx, &network.netuids),
        _ => Ok(()),
    }
}
