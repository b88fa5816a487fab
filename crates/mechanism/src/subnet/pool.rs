//! The pool of a subnet: two reserves with weights, so that a block's emission can be added without moving the price.
//! Every rounding goes against the trader: the product of weighted powers never falls.

use super::power::{self, power};
use crate::amount::{mul_div_floor, mul_div_rem};
use crate::error::MathError;
use crate::supply::Fixed;
use thiserror::Error;

/// A weight of one, and one as a price.
const UNIT: u128 = Fixed::ONE.raw();
/// The least weight of a side, 0.01; the other side then has 0.99.
const WEIGHT_MIN: u128 = UNIT / 100;
/// An input is at most this many times the reserve it goes to.
const INPUT_MAX: u128 = 1_000;
/// A price limit never admits more than this power of the price, in 18 decimals: the reference's 64 bits.
const POWER_MAX: u128 = u64::MAX as u128;
/// Sell limits at or below 10^-6 and buy limits at or above 10^6 are no limits.
const NO_LIMIT: (u128, u128) = (UNIT / 1_000_000, UNIT * 1_000_000);

/// Why a pool refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// A reserve is empty, or the output reserve below the least.
    #[error("the reserves are too low to trade: wait until the subnet's pool has grown")]
    ReservesTooLow,
    /// More than a thousand times the reserve.
    #[error("the input is more than 1000 times the pool's reserve: trade less at once")]
    InputTooLarge,
    /// The price is not on the right side of the limit.
    #[error("the price is beyond the limit already: choose a looser limit or wait")]
    PriceLimitExceeded,
    /// Something goes in, nothing would come out.
    #[error("nothing would come out: trade more at once")]
    OutputTooSmall,
    /// The weights would leave 0.01 to 0.99.
    #[error("the weights would leave 0.01 to 0.99: add both tokens nearer to the price")]
    WeightOutOfBounds,
    /// The numbers themselves.
    #[error(transparent)]
    Math(#[from] MathError),
}

/// Which way a trade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The chain's token in, the subnet's out.
    Buy,
    /// The subnet's token in, the chain's out.
    Sell,
}

/// Fee and floor of trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Part of the input that is the fee, in 1/65535.
    pub fee: u16,
    /// The output reserve must hold this much before a trade, in base units.
    pub min_reserve: u64,
}

impl Default for PoolRules {
    /// 0.05 %, a million base units.
    fn default() -> PoolRules {
        PoolRules { fee: 33, min_reserve: 1_000_000 }
    }
}

/// What a trade does; `taken + fee + returned` is the amount offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Goes into the pool.
    pub taken: u64,
    /// Goes to whoever earns fees.
    pub fee: u64,
    /// Goes back to the trader, because the limit was reached.
    pub returned: u64,
    /// Comes out of the pool.
    pub output: u64,
    /// The pool afterwards.
    pub pool: Pool,
}

/// Reserves in base units and the weight of the chain's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The subnet's token.
    pub alpha: u64,
    /// The chain's token.
    pub tao: u64,
    /// Weight of the chain's token, 0.01 to 0.99.
    pub tao_weight: Fixed,
}

impl Pool {
    /// Even weights.
    pub fn even(alpha: u64, tao: u64) -> Pool {
        Pool { alpha, tao, tao_weight: Fixed::from_raw(UNIT / 2) }
    }

    /// A pool of these reserves with this price. Errors: [`PoolError::WeightOutOfBounds`].
    pub fn with_price(alpha: u64, tao: u64, price: Fixed) -> Result<Pool, PoolError> {
        let value = price.of(u128::from(alpha))?;
        let weight = Fixed::ratio(u128::from(tao), value.saturating_add(u128::from(tao)))?;
        Pool { alpha, tao, tao_weight: weight }.checked()
    }

    fn checked(self) -> Result<Pool, PoolError> {
        let bounds = WEIGHT_MIN..=UNIT - WEIGHT_MIN;
        if bounds.contains(&self.tao_weight.raw()) { Ok(self) } else { Err(PoolError::WeightOutOfBounds) }
    }

    fn alpha_weight(self) -> u128 {
        UNIT.saturating_sub(self.tao_weight.raw())
    }

    /// What one token of the subnet costs; zero for a pool without either token.
    pub fn price(self) -> Result<Fixed, MathError> {
        let (above, below) =
            (self.alpha_weight() * u128::from(self.tao), self.tao_weight.raw() * u128::from(self.alpha));
        if below == 0 { Ok(Fixed::ZERO) } else { Fixed::ratio(above, below) }
    }

    /// What comes out for `input` base units, all of which stay; rounded down.
    /// Errors: [`PoolError::ReservesTooLow`] without reserves.
    pub fn output(self, side: Side, input: u64) -> Result<u64, PoolError> {
        let (reserve_in, reserve_out, n, d) = match side {
            Side::Sell => (self.alpha, self.tao, self.alpha_weight(), self.tao_weight.raw()),
            Side::Buy => (self.tao, self.alpha, self.tao_weight.raw(), self.alpha_weight()),
        };
        if reserve_in == 0 || reserve_out == 0 {
            return Err(PoolError::ReservesTooLow);
        }
        let (before, out) = (u128::from(reserve_in), u128::from(reserve_out));
        let after = before + u128::from(input);
        let part = match n == d {
            true => mul_div_floor(out, u128::from(input), after)?,
            false => mul_div_floor(out, power::ONE - power(before, after, n, d)?.1, power::ONE)?,
        };
        Ok(u64::try_from(part).unwrap_or(reserve_out))
    }

    /// The net input that moves the price to `target`, rounded down; zero when it is on the wrong side.
    /// Errors: [`PoolError::ReservesTooLow`] without reserves.
    pub fn input_to_price(self, side: Side, target: Fixed) -> Result<u64, PoolError> {
        self.input_between(side, self.price()?, target)
    }

    /// [`input_to_price`](Self::input_to_price) with the price before stated by the caller.
    pub fn input_between(self, side: Side, price: Fixed, target: Fixed) -> Result<u64, PoolError> {
        let (above, below, reserve, weight) = match side {
            Side::Buy => (target, price, self.tao, self.alpha_weight()),
            Side::Sell => (price, target, self.alpha, self.tao_weight.raw()),
        };
        if price == Fixed::ZERO {
            return Err(PoolError::ReservesTooLow);
        }
        if above <= below {
            return Ok(0);
        }
        let most = mul_div_floor(POWER_MAX, power::ONE, UNIT)?;
        let factor = match below == Fixed::ZERO {
            true => most,
            false => power(above.raw(), below.raw(), weight, UNIT)?.0.min(most),
        };
        let input = mul_div_floor(u128::from(reserve), factor.saturating_sub(power::ONE), power::ONE)?;
        Ok(u64::try_from(input).unwrap_or(u64::MAX))
    }

    /// The largest amount a trade at `limit` would use up, fee included.
    /// Errors: [`PoolError::ReservesTooLow`], [`PoolError::PriceLimitExceeded`].
    pub fn input_to_limit(self, side: Side, limit: Fixed, rules: &PoolRules) -> Result<u64, PoolError> {
        let (reserve, price) = (self.reserve_in(side), self.price()?);
        if self.alpha == 0 || self.tao == 0 {
            return Err(PoolError::ReservesTooLow);
        }
        if !beyond(side, price, limit) {
            return Err(PoolError::PriceLimitExceeded);
        }
        let most = u64::try_from(u128::from(reserve) * INPUT_MAX).unwrap_or(u64::MAX);
        let net = match side {
            Side::Sell if limit.raw() <= NO_LIMIT.0 => most,
            Side::Buy if limit.raw() >= NO_LIMIT.1 => most,
            _ => self.input_to_price(side, limit)?.min(most),
        };
        Ok(net.saturating_add(fee_on_net(net, rules)))
    }

    fn reserve_in(self, side: Side) -> u64 {
        if side == Side::Buy { self.tao } else { self.alpha }
    }

    /// Trades `amount`, fee included, as far as the price stays within `limit`.
    /// Errors: [`PoolError`], whose texts say what to change.
    pub fn swap(self, side: Side, amount: u64, limit: Fixed, rules: &PoolRules) -> Result<Swap, PoolError> {
        let fee = part_of(amount, rules.fee, u16::MAX);
        let net = amount.saturating_sub(fee);
        let reserve_out = if side == Side::Buy { self.alpha } else { self.tao };
        if u128::from(net) > u128::from(self.reserve_in(side)) * INPUT_MAX {
            return Err(PoolError::InputTooLarge);
        }
        if reserve_out < rules.min_reserve || reserve_out == 0 || self.reserve_in(side) == 0 {
            return Err(PoolError::ReservesTooLow);
        }
        if !beyond(side, self.price()?, limit) {
            return Err(PoolError::PriceLimitExceeded);
        }
        let full = self.traded(side, net)?;
        let within = match side {
            Side::Buy => full.0.price()? <= limit,
            Side::Sell => full.0.price()? >= limit,
        };
        let (taken, fee, (pool, output)) = match within {
            true => (net, fee, full),
            false => {
                let taken = self.input_to_price(side, limit)?.min(net);
                (taken, fee_on_net(taken, rules).min(fee), self.traded(side, taken)?)
            }
        };
        if output == 0 && amount > 0 {
            return Err(PoolError::OutputTooSmall);
        }
        Ok(Swap { taken, fee, returned: amount - taken - fee, output, pool })
    }

    /// The pool after `net` went in, and what came out; the reserve that pays is never emptied.
    pub(super) fn traded(self, side: Side, net: u64) -> Result<(Pool, u64), PoolError> {
        let output = self.output(side, net)?;
        let grown = |reserve: u64| reserve.checked_add(net).ok_or(MathError::Overflow("reserve"));
        let left = |reserve: u64| match reserve.saturating_sub(output) {
            0 => Err(PoolError::ReservesTooLow),
            left => Ok(left),
        };
        let pool = match side {
            Side::Buy => Pool { tao: grown(self.tao)?, alpha: left(self.alpha)?, ..self },
            Side::Sell => Pool { alpha: grown(self.alpha)?, tao: left(self.tao)?, ..self },
        };
        Ok((pool, output))
    }

    /// Adds to both reserves and moves the weights so that the price stays.
    /// Errors: [`PoolError::WeightOutOfBounds`], [`PoolError::ReservesTooLow`] without reserves.
    pub fn inject(self, tao: u64, alpha: u64) -> Result<Pool, PoolError> {
        if self.alpha == 0 || self.tao == 0 {
            return Err(PoolError::ReservesTooLow);
        }
        let grown = |reserve: u64, more: u64| reserve.checked_add(more).ok_or(MathError::Overflow("reserve"));
        let (new_tao, new_alpha) = (grown(self.tao, tao)?, grown(self.alpha, alpha)?);
        // Each reserve product is below 2^128, and its weight below one.
        let weigh = |weight: u128, product: u128| -> Result<u128, MathError> {
            let (quotient, rest) = mul_div_rem(weight, product, UNIT)?;
            Ok(quotient + u128::from(rest >= UNIT.div_ceil(2)))
        };
        let alpha_part = weigh(self.alpha_weight(), u128::from(self.tao) * u128::from(new_alpha))?;
        let tao_part = weigh(self.tao_weight.raw(), u128::from(self.alpha) * u128::from(new_tao))?;
        let sum = alpha_part.checked_add(tao_part).ok_or(MathError::Overflow("weights"))?;
        let tao_weight = Fixed::from_raw(mul_div_floor(tao_part, UNIT, sum)?);
        Pool { alpha: new_alpha, tao: new_tao, tao_weight }.checked()
    }
}

/// Whether `limit` is strictly beyond the price, so that there is room to trade.
fn beyond(side: Side, price: Fixed, limit: Fixed) -> bool {
    if side == Side::Buy { limit > price } else { limit < price }
}

/// `floor(amount * rate / whole)` for a rate below the whole.
fn part_of(amount: u64, rate: u16, whole: u16) -> u64 {
    let part = u128::from(amount) * u128::from(rate) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// The fee that leaves this net amount.
fn fee_on_net(net: u64, rules: &PoolRules) -> u64 {
    part_of(net, rules.fee, u16::MAX - rules.fee)
}

/// The most that moves from the first pool's subnet to the second's before the ratio of their prices falls to `limit`
/// (base units per token): `alpha2 t1 / limit - alpha1 t2`, `t` the parts of the two in the chain's tokens. Zero when there is no
/// room or no reserve, unlimited without a limit. As in the reference, weights and fees are not looked at.
pub fn most_to_move(from: &Pool, to: &Pool, limit: u64) -> u64 {
    if [from.alpha, from.tao, to.alpha, to.tao].contains(&0) {
        return 0;
    }
    if limit == 0 {
        return u64::MAX;
    }
    const TOKEN: u128 = 1_000_000_000;
    let both = u128::from(from.tao) + u128::from(to.tao);
    let part = |amount: u128, tao: u64| mul_div_floor(amount, u128::from(tao), both).unwrap_or(u128::MAX);
    let room = part(u128::from(to.alpha) * TOKEN, from.tao) / u128::from(limit);
    u64::try_from(room.saturating_sub(part(u128::from(from.alpha), to.tao))).unwrap_or(u64::MAX)
}
