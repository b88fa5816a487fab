//! All trades of a block at one price: buyers and sellers meet each other first, only what is left over meets the pool,
//! so nobody gains by standing before or behind another. Limits are kept; orders exactly at the limit share what is left.

use super::pool::{Pool, PoolError, Side};
use crate::amount::{mul_div_floor, split_by};
use crate::error::MathError;
use crate::supply::Fixed;

/// The highest price there is, a million: a buyer's limit from there on is no limit.
pub const PRICE_MAX: Fixed = Fixed::from_raw(Fixed::ONE.raw() * 1_000_000);
/// A seller's limit up to here is no limit: a millionth.
pub const PRICE_MIN: Fixed = Fixed::from_raw(Fixed::ONE.raw() / 1_000_000);

/// What somebody offers, and the worst price that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Base units: the chain's token of buyers, the subnet's of sellers.
    pub amount: u64,
    /// The highest price of buyers, the lowest of sellers.
    pub limit: Fixed,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Of the amount offered; the rest goes back.
    pub taken: u64,
    /// Base units of the other token.
    pub output: u64,
}

/// What became of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// The pool afterwards.
    pub pool: Pool,
    /// The price of all trades; the pool's when there were none.
    pub price: Fixed,
    /// Of buyers, in their order.
    pub buys: Vec<Fill>,
    /// Of sellers, in their order.
    pub sells: Vec<Fill>,
}

/// Clears all offers against one another and the pool. Errors: [`PoolError::ReservesTooLow`] for a pool with less than
/// `min_reserve` of what it would have to give; nothing happens then.
pub fn clear(pool: Pool, buys: &[Offer], sells: &[Offer], min_reserve: u64) -> Result<Cleared, PoolError> {
    if pool.alpha == 0 || pool.tao == 0 {
        return Err(PoolError::ReservesTooLow);
    }
    let open = buys.iter().all(|b| b.limit >= PRICE_MAX) && sells.iter().all(|s| s.limit <= PRICE_MIN);
    let (taken_buys, taken_sells) = match open {
        true => (amounts(buys), amounts(sells)),
        false => within_limits(pool, buys, sells)?,
    };
    let (tao, alpha) = (total(&taken_buys)?, total(&taken_sells)?);
    let Meeting { pool, to_buyers, to_sellers } = meet(pool, tao, alpha, min_reserve)?;
    let price = match (tao, alpha) {
        (0, 0) => pool.price()?,
        (0, alpha) => Fixed::ratio(u128::from(to_sellers), u128::from(alpha))?,
        (tao, _) if to_buyers > 0 => Fixed::ratio(u128::from(tao), u128::from(to_buyers))?,
        _ => pool.price()?,
    };
    let buys = fills(taken_buys, to_buyers)?;
    let sells = fills(taken_sells, to_sellers)?;
    Ok(Cleared { pool, price, buys, sells })
}

fn amounts(offers: &[Offer]) -> Vec<u64> {
    offers.iter().map(|offer| offer.amount).collect()
}

fn total(amounts: &[u64]) -> Result<u64, MathError> {
    let sum = amounts.iter().try_fold(0u64, |sum, &amount| sum.checked_add(amount));
    sum.ok_or(MathError::Overflow("orders of a block"))
}

/// Gives `output` to whom it belongs, by what was taken, to the last unit.
fn fills(taken: Vec<u64>, output: u64) -> Result<Vec<Fill>, MathError> {
    let shares: Vec<u128> = taken.iter().copied().map(u128::from).collect();
    let parts = match split_by(u128::from(output), &shares) {
        Err(MathError::Empty(_)) => vec![0; taken.len()],
        parts => parts?,
    };
    // Parts of a `u64` fit into one.
    Ok(taken.into_iter().zip(parts).map(|(taken, part)| Fill { taken, output: part as u64 }).collect())
}

/// How much of every offer is taken when some have limits.
fn within_limits(pool: Pool, buys: &[Offer], sells: &[Offer]) -> Result<(Vec<u64>, Vec<u64>), PoolError> {
    let sum = |offers: &[Offer], of: &dyn Fn(&Offer) -> bool| -> Result<u64, MathError> {
        total(&offers.iter().filter(|offer| of(offer)).map(|offer| offer.amount).collect::<Vec<_>>())
    };
    let wanted_at = |price: Fixed| -> Result<bool, PoolError> {
        wanted(
            pool,
            sum(buys, &|b| b.limit >= price || b.limit >= PRICE_MAX)?,
            sum(sells, &|s| s.limit <= price || s.limit <= PRICE_MIN)?,
            price,
        )
    };
    // Between the two, demand turns into supply.
    let (mut low, mut high) = (1u128, PRICE_MAX.raw());
    if wanted_at(Fixed::from_raw(high))? {
        low = high;
    } else {
        while high - low > 1 {
            let middle = low.midpoint(high);
            if wanted_at(Fixed::from_raw(middle))? { low = middle } else { high = middle }
        }
    }
    let (low, high) = (Fixed::from_raw(low), Fixed::from_raw(high));
    let sure_buy = |b: &Offer| b.limit >= high || b.limit >= PRICE_MAX;
    let sure_sell = |s: &Offer| s.limit <= low || s.limit <= PRICE_MIN;
    let edge_buy = |b: &Offer| !sure_buy(b) && b.limit >= low;
    let edge_sell = |s: &Offer| !sure_sell(s) && s.limit <= high;
    let (tao, alpha) = (sum(buys, &sure_buy)?, sum(sells, &sure_sell)?);
    let (edge_tao, edge_alpha) = (sum(buys, &edge_buy)?, sum(sells, &edge_sell)?);
    let (mut more_tao, mut more_alpha) = (0, 0);
    if edge_alpha > 0 && wanted(pool, tao, alpha, high)? {
        more_alpha = largest(edge_alpha, |more| wanted(pool, tao, alpha.saturating_add(more), high))?;
    } else if edge_tao > 0 && !wanted(pool, tao, alpha, low)? {
        more_tao = largest(edge_tao, |more| Ok(!wanted(pool, tao.saturating_add(more), alpha, low)?))?;
    }
    let take = |offers: &[Offer], sure: &dyn Fn(&Offer) -> bool, edge: &dyn Fn(&Offer) -> bool, more: u64| {
        let at_edge = |offer: &Offer| if edge(offer) { u128::from(offer.amount) } else { 0 };
        let parts = match split_by(u128::from(more), &offers.iter().map(at_edge).collect::<Vec<_>>()) {
            Err(MathError::Empty(_)) => vec![0; offers.len()],
            parts => parts?,
        };
        let taken = |(offer, part): (&Offer, u128)| if sure(offer) { offer.amount } else { part as u64 };
        Ok::<_, MathError>(offers.iter().zip(parts).map(taken).collect::<Vec<u64>>())
    };
    Ok((take(buys, &sure_buy, &edge_buy, more_tao)?, take(sells, &sure_sell, &edge_sell, more_alpha)?))
}

/// The largest number up to `most` for which `holds`, which holds for nothing and stops holding somewhere.
fn largest(most: u64, holds: impl Fn(u64) -> Result<bool, PoolError>) -> Result<u64, PoolError> {
    if holds(most)? {
        return Ok(most);
    }
    let (mut low, mut high) = (0, most);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if holds(middle)? { low = middle } else { high = middle }
    }
    Ok(low)
}

/// Whether at this price more of the subnet's token is wanted than sellers and pool would give.
fn wanted(pool: Pool, tao: u64, alpha: u64, price: Fixed) -> Result<bool, PoolError> {
    let asked = price.of(u128::from(alpha))?;
    if u128::from(tao) > asked {
        let left = tao - asked as u64;
        return Ok(price.of(u128::from(pool.output(Side::Buy, left)?))? < u128::from(left));
    }
    let bought = mul_div_floor(u128::from(tao), Fixed::ONE.raw(), price.raw())?.min(u128::from(alpha));
    let left = alpha - bought as u64;
    Ok(u128::from(pool.output(Side::Sell, left)?) > price.of(u128::from(left))?)
}

struct Meeting {
    pool: Pool,
    to_buyers: u64,
    to_sellers: u64,
}

/// Buyers' `tao` meets sellers' `alpha`; the side that has more trades the part with the pool at which both sides see
/// the same price.
fn meet(pool: Pool, tao: u64, alpha: u64, min_reserve: u64) -> Result<Meeting, PoolError> {
    if tao == 0 && alpha == 0 {
        return Ok(Meeting { pool, to_buyers: 0, to_sellers: 0 });
    }
    let buys = u128::from(tao) > pool.price()?.of(u128::from(alpha))?;
    let (side, more, less, reserve) = match buys {
        true => (Side::Buy, tao, alpha, pool.alpha),
        false => (Side::Sell, alpha, tao, pool.tao),
    };
    let product = u128::from(more) * u128::from(less);
    let fits = |input: u64| -> Result<bool, PoolError> {
        let whole = u128::from(pool.output(side, input)?) + u128::from(less);
        Ok(u128::from(more - input).checked_mul(whole).is_none_or(|all| all >= product))
    };
    let input = if less == 0 { more } else { largest(more, fits)? };
    if input > 0 && reserve < min_reserve {
        return Err(PoolError::ReservesTooLow);
    }
    let (pool, output) = match input {
        0 => (pool, 0),
        input => pool.traded(side, input)?,
    };
    let given = output.checked_add(less).ok_or(MathError::Overflow("orders of a block"))?;
    Ok(match buys {
        true => Meeting { pool, to_buyers: given, to_sellers: tao - input },
        false => Meeting { pool, to_buyers: alpha - input, to_sellers: given },
    })
}
