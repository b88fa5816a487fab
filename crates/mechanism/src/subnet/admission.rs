//! Who gets in and who has to go: the price of registration, eviction of members and of subnets, the lock of a new
//! subnet, what is paid out when one is dissolved.

use crate::amount::split_by;
use crate::error::MathError;
use crate::supply::Fixed;

/// The price of registration is a fraction of 32 bits per block.
const ONE: u64 = 1 << 32;

/// The part of a price that is left after a block so that at most half of it is left after `half_life` blocks, in
/// 2^-32; rounded as the reference's search rounds it.
pub fn decay_factor(half_life: u16) -> u64 {
    let (mut low, mut high) = (0, ONE);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if power(middle, half_life) > ONE / 2 { high = middle } else { low = middle }
    }
    low
}

/// `factor^exponent`, square and multiply, rounded down after each product.
fn power(factor: u64, mut exponent: u16) -> u64 {
    let times = |a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 32) as u64;
    let (mut base, mut power) = (factor, ONE);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = times(power, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    power
}

/// A price after a block with this [`decay_factor`], or unchanged without one; within `min` and `max`, `max` winning.
pub fn decayed(price: u64, factor: Option<u64>, min: u64, max: u64) -> u64 {
    let left = factor.map_or(price, |factor| ((u128::from(price) * u128::from(factor)) >> 32) as u64);
    left.max(min).min(max)
}

/// A price after a registration: `floor(price * max(1, multiplier))`, within `min` and `max`.
pub fn bumped(price: u64, multiplier: Fixed, min: u64, max: u64) -> u64 {
    let next = multiplier.max(Fixed::ONE).of(u128::from(price)).unwrap_or(u128::MAX);
    u64::try_from(next).unwrap_or(u64::MAX).max(min).min(max)
}

/// A member as eviction sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// What the last epoch gave it.
    pub emission: u64,
    /// The block of its registration.
    pub registered: u64,
    /// One of the owner's that is never evicted.
    pub immortal: bool,
}

/// Everybody who can be evicted, the next one first. Members past their immunity go by least emission, oldest first,
/// lowest uid first, as long as more than `min_exposed` of them are left; after that the weakest of the immune; those
/// kept back come last and are not evicted. Answers the order and how many of it can go.
pub fn eviction_order(
    members: &[Resident],
    now: u64,
    immunity: u64,
    min_exposed: usize,
) -> (Vec<usize>, usize) {
    let key = |&uid: &usize| (members[uid].emission, members[uid].registered, uid);
    let candidates = (0..members.len()).filter(|&uid| !members[uid].immortal);
    let immune = |&uid: &usize| now.saturating_sub(members[uid].registered) < immunity;
    let (mut immune, mut exposed): (Vec<usize>, Vec<usize>) = candidates.partition(immune);
    immune.sort_by_key(key);
    exposed.sort_by_key(key);
    let kept = exposed.split_off(exposed.len().saturating_sub(min_exposed));
    let order: Vec<usize> = exposed.into_iter().chain(immune).collect();
    let count = order.len();
    (order.into_iter().chain(kept).collect(), count)
}

/// Who makes room for a newcomer, `None` when nobody can.
pub fn evicted(members: &[Resident], now: u64, immunity: u64, min_exposed: usize) -> Option<usize> {
    let (order, count) = eviction_order(members, now, immunity, min_exposed);
    order.first().copied().filter(|_| count > 0)
}

/// A subnet as pruning sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub netuid: u16,
    /// The block of its registration.
    pub registered: u64,
    /// Its averaged price.
    pub price: Fixed,
}

/// All subnets that could be dissolved for a newcomer, the next one first: past `immunity`, lowest price, then
/// earliest, then lowest number. The place in this list is the "rank k of n" an owner asks for.
pub fn pruning_order(subnets: &[Listed], now: u64, immunity: u64) -> Vec<u16> {
    let mut exposed: Vec<&Listed> =
        subnets.iter().filter(|subnet| now >= subnet.registered.saturating_add(immunity)).collect();
    exposed.sort_by_key(|subnet| (subnet.price, subnet.registered, subnet.netuid));
    exposed.iter().map(|subnet| subnet.netuid).collect()
}

/// What a new subnet costs: twice the last price, falling to it over `interval` blocks and on, never below `min`.
pub fn lock_cost(last: u64, last_block: u64, now: u64, min: u64, interval: u64) -> u64 {
    let multiplier = if last_block == 0 { 1 } else { 2 };
    let per_block = last.checked_div(interval).unwrap_or(last);
    let fallen = per_block.saturating_mul(now.saturating_sub(last_block));
    last.saturating_mul(multiplier).saturating_sub(fallen).max(min)
}

/// The middle of all positive prices, the mean of the middle two, one without any.
pub fn median_price(prices: &[Fixed]) -> Fixed {
    let mut positive: Vec<u128> = prices.iter().map(|price| price.raw()).filter(|&price| price > 0).collect();
    positive.sort_unstable();
    let middle = positive.len() / 2;
    match (positive.len(), positive.len() % 2) {
        (0, _) => Fixed::ONE,
        (_, 1) => Fixed::from_raw(positive[middle]),
        _ => Fixed::from_raw(positive[middle - 1].midpoint(positive[middle])),
    }
}

/// What holders of a dissolved subnet and the chain get of the pot: by value, to the last unit.
/// Without any value everything is the chain's. Errors: [`MathError::Overflow`].
pub fn dissolution(pot: u64, holders: &[u64], protocol: u64) -> Result<(Vec<u64>, u64), MathError> {
    let shares: Vec<u128> = holders.iter().chain([&protocol]).copied().map(u128::from).collect();
    if shares.iter().all(|&share| share == 0) {
        return Ok((vec![0; holders.len()], pot));
    }
    // Parts of a `u64` fit into one.
    let mut parts: Vec<u64> =
        split_by(u128::from(pot), &shares)?.into_iter().map(|part| part as u64).collect();
    let protocol = parts.pop().unwrap_or(0);
    Ok((parts, protocol))
}
