//! What a block brings to the subnets: how much is minted, who gets which part, what of it goes into pools, what
//! accrues for the next epoch, and how the price it all depends on is averaged.

use crate::amount::{mul_div_floor, split_by};
use crate::error::MathError;
use crate::supply::Fixed;

/// The most tokens there will be, in base units: 21 million.
pub const SUPPLY_CAP: u64 = 21_000_000_000_000_000;
/// What a block mints before the first halving, in base units: one token.
pub const BLOCK_EMISSION: u64 = 1_000_000_000;
/// Blocks after which a price average has half of its final speed.
pub const AVERAGE_AGE: u64 = 201_600;

/// What a block mints when this much is issued: one token, halved each time half of what was left is issued.
pub fn block_emission(issued: u64) -> u64 {
    BLOCK_EMISSION.checked_shr(halvings(issued.into(), SUPPLY_CAP.into())).unwrap_or(0)
}

/// How often half of what was left has been issued; without end once all is. None where there is nothing to issue.
pub fn halvings(issued: u128, all: u128) -> u32 {
    match all.checked_div(all.saturating_sub(issued)) {
        Some(ratio) => ratio.max(1).ilog2(),
        None if all == 0 => 0,
        None => u32::MAX,
    }
}

/// A subnet that may receive emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its averaged price.
    pub price: Fixed,
    /// Part of the last epoch's incentive that was withheld from its owner's own miners, 0 to 1.
    pub withheld: Fixed,
    /// Whether emission is switched on for it.
    pub enabled: bool,
}

/// Splits a block's tokens over subnets, by price times what was not withheld, to the last unit; by price alone when
/// that leaves nothing. What nobody can claim is not handed out: all parts are zero.
/// Errors: [`MathError::Overflow`].
pub fn split(tokens: u64, claims: &[Claim]) -> Result<Vec<u64>, MathError> {
    let open = |claim: &Claim| Fixed::ONE.minus(claim.withheld).unwrap_or(Fixed::ZERO);
    let weighed = claims
        .iter()
        .map(|claim| Ok(claim.price.times(open(claim))?.raw()))
        .collect::<Result<Vec<u128>, MathError>>()?;
    let by_price = weighed.iter().all(|&weight| weight == 0);
    let weight = |(claim, &weighed): (&Claim, &u128)| match (claim.enabled, by_price) {
        (false, _) => 0,
        (true, true) => claim.price.raw(),
        (true, false) => weighed,
    };
    let weights: Vec<u128> = claims.iter().zip(&weighed).map(weight).collect();
    match split_by(u128::from(tokens), &weights) {
        // Parts of a `u64` fit into one.
        Ok(parts) => Ok(parts.into_iter().map(|part| part as u64).collect()),
        Err(MathError::Empty(_)) => Ok(vec![0; claims.len()]),
        Err(error) => Err(error),
    }
}

/// What becomes of a subnet's part of a block, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Chain's tokens put into the pool.
    pub tao_in: u64,
    /// Subnet's tokens minted into the pool.
    pub alpha_in: u64,
    /// Chain's tokens that buy from the pool; `tao_in + excess` is what was given.
    pub excess: u64,
}

/// Liquidity at the pool's `price`, at most the root's part of the subnet's own emission; the rest buys.
/// Errors: [`MathError::DivideByZero`] without a price, [`MathError::Overflow`].
pub fn terms(tao: u64, price: Fixed, alpha_emission: u64, root: Fixed) -> Result<Terms, MathError> {
    let affordable = mul_div_floor(u128::from(tao), Fixed::ONE.raw(), price.raw())?;
    let alpha_in = affordable.min(root.of(u128::from(alpha_emission))?);
    // Not above `tao`: the average rounds, and what is given is the most that can go in.
    let tao_in = price.of(alpha_in)?.min(u128::from(tao)) as u64;
    let alpha_in = u64::try_from(alpha_in).map_err(|_| MathError::Overflow("alpha injected"))?;
    Ok(Terms { tao_in, alpha_in, excess: tao - tao_in })
}

/// The part of a subnet's say that stakers of the chain's token have: `w R / (w R + issued)`, zero for nothing at all.
/// Errors: [`MathError::Overflow`].
pub fn root_part(root_stake: u64, weight: Fixed, issued: u64) -> Result<Fixed, MathError> {
    let weighed = weight.of(u128::from(root_stake))?;
    match weighed.checked_add(u128::from(issued)).ok_or(MathError::Overflow("stake"))? {
        0 => Ok(Fixed::ZERO),
        all => Fixed::ratio(weighed, all),
    }
}

/// What accrues for the next epoch; the five add up to the block's emission of the subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accrual {
    /// The owner's cut.
    pub owner: u64,
    /// For miners.
    pub server: u64,
    /// For validators.
    pub validator: u64,
    /// For stakers of the chain's token.
    pub root: u64,
    /// Not issued at all: what the root would have got while prices are low.
    pub recycled: u64,
}

/// Splits a block's emission of a subnet: the owner's cut, then half to miners and half to validators, of whose half
/// the root's part goes to the root, or nowhere. Errors: [`MathError::OutOfRange`] for fractions above one.
pub fn accrue(emission: u64, cut: Fixed, root: Fixed, root_earns: bool) -> Result<Accrual, MathError> {
    if cut > Fixed::ONE || root > Fixed::ONE {
        return Err(MathError::OutOfRange("a fraction"));
    }
    // Parts of a `u64` by fractions up to one fit into one.
    let owner = cut.of(u128::from(emission))? as u64;
    let rest = emission - owner;
    let server = rest / 2;
    let half = rest - server;
    let root = root.of(u128::from(half))? as u64;
    let (root, recycled) = if root_earns { (root, 0) } else { (0, root) };
    Ok(Accrual { owner, server, validator: half - root - recycled, root, recycled })
}

/// The averaged price after a block: `speed * age / (age + 201600)` of the way to the price now, which counts as at
/// most one. Errors: [`MathError::OutOfRange`] for a speed above one.
pub fn average_price(old: Fixed, now: Fixed, age: u64, speed: Fixed) -> Result<Fixed, MathError> {
    let speed = speed.times(Fixed::ratio(u128::from(age), u128::from(age) + u128::from(AVERAGE_AGE))?)?;
    let stay = Fixed::ONE.minus(speed).map_err(|_| MathError::OutOfRange("speed"))?;
    speed.times(now.min(Fixed::ONE))?.plus(stay.times(old)?)
}
