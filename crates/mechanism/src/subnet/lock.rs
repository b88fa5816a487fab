//! Locked stake and the conviction that grows from it: exponential decay towards nothing, or towards the mass.
//! Exponentials are the pinned library's; evaluation is lazy, and two steps give what one gives.

use crate::amount::mul_div_rem;
use crate::error::MathError;
use crate::real::{Real, func};
use crate::supply::Fixed;

/// Below this a mass or a conviction is nothing.
pub const LEAST: f64 = 100.0;
/// Exponents end here.
const EXPONENT_MAX: f64 = 40.0;

/// A lock at some block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lock {
    /// What is locked, in base units.
    pub mass: u64,
    /// What the lock has earned of a say, at most the mass it grew from.
    pub conviction: Real,
}

/// How a lock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRules {
    /// Blocks in which a mass falls to 1/e.
    pub unlock: u64,
    /// Blocks in which the distance between conviction and mass falls to 1/e.
    pub maturity: u64,
    /// The mass stays.
    pub perpetual: bool,
    /// The owner's lock convinces at once.
    pub owner: bool,
}

/// `e^(-blocks / scale)`, exponents limited to 40; one for no blocks, zero without a scale.
pub fn decay(blocks: u64, scale: u64) -> f64 {
    match (blocks, scale) {
        (0, _) => 1.0,
        (_, 0) => 0.0,
        _ => func::exp(-(blocks as f64 / scale as f64).min(EXPONENT_MAX)),
    }
}

/// The lock after so many blocks. Errors: [`MathError::NotFinite`], which no lock within a token's supply meets.
pub fn roll(lock: Lock, blocks: u64, rules: &LockRules) -> Result<Lock, MathError> {
    let mass = lock.mass as f64;
    let (unlocked, matured) = (decay(blocks, rules.unlock), decay(blocks, rules.maturity));
    let left = if rules.perpetual { mass } else { mass * unlocked };
    let grown = match rules.perpetual {
        true => 1.0 - matured,
        false => growth(blocks, rules, unlocked, matured),
    };
    let conviction = if rules.owner { left } else { lock.conviction.get() * matured + mass * grown };
    let kept = |value: f64| if value < LEAST { 0.0 } else { value };
    // The cast rounds down and stays at or below the mass before.
    Ok(Lock { mass: (kept(left) as u64).min(lock.mass), conviction: Real::new(kept(conviction))? })
}

/// What a decaying mass adds to its conviction, per unit: `Tu (e^-u - e^-m) / (Tu - Tm)`, `(t/T) e^(-t/T)` for equal scales.
fn growth(blocks: u64, rules: &LockRules, unlocked: f64, matured: f64) -> f64 {
    let (blocks, unlock, maturity) = (blocks as f64, rules.unlock as f64, rules.maturity as f64);
    if rules.unlock == 0 || rules.maturity == 0 || blocks == 0.0 {
        return 0.0;
    }
    if rules.unlock == rules.maturity {
        return blocks / unlock * unlocked;
    }
    let difference = unlock - maturity;
    // The difference of two nearly equal exponentials, written so that it does not cancel.
    let gap = blocks * difference / (unlock * maturity);
    if gap.abs() < 1.0 {
        return unlock * matured * func::exp_m1(gap) / difference;
    }
    unlock * (unlocked - matured) / difference
}

impl Lock {
    /// Two locks that move alike, as one. Errors: [`MathError::Overflow`], [`MathError::NotFinite`].
    pub fn plus(self, other: Lock) -> Result<Lock, MathError> {
        let mass = self.mass.checked_add(other.mass).ok_or(MathError::Overflow("locked stake"))?;
        Ok(Lock { mass, conviction: Real::new(self.conviction.get() + other.conviction.get())? })
    }

    /// A sum without one of its parts. What was rounded differently in the two is lost, never below nothing.
    pub fn minus(self, part: Lock) -> Lock {
        let left = (self.conviction.get() - part.conviction.get()).max(0.0);
        let conviction = Real::new(left).unwrap_or(Real::ZERO);
        Lock { mass: self.mass.saturating_sub(part.mass), conviction }
    }

    /// Whether this is the sum of so many locks, as far as roundings and locks that fell below the least allow.
    pub fn is_about(self, sum: Lock, locks: u64) -> bool {
        let apart = |a: f64, b: f64| (a - b).abs() <= LEAST * (locks as f64 + 1.0) + 1e-9 * a.max(b);
        apart(self.mass as f64, sum.mass as f64) && apart(self.conviction.get(), sum.conviction.get())
    }
}

/// Blocks until at most `target` of a mass that decays is left.
pub fn blocks_until(mass: u64, target: u64, unlock: u64) -> u64 {
    if mass <= target {
        return 0;
    }
    let ratio = mass as f64 / (target as f64 + 1.0).max(LEAST);
    // One more than the logarithm says: the last block is rounded down.
    (func::ln(ratio).max(0.0) * unlock as f64).ceil() as u64 + 1
}

/// How much conviction there has to be before it decides: `part` of `outside`, rounded up.
pub fn needed(part: Fixed, outside: u64) -> u128 {
    match mul_div_rem(part.raw(), u128::from(outside), Fixed::ONE.raw()) {
        Ok((needed, rest)) => needed + u128::from(rest > 0),
        Err(_) => u128::MAX,
    }
}

/// Whose conviction decides: the place of the largest, of the first among equals, once all of them together are
/// [`needed`]; before, nobody's.
pub fn leader(convictions: &[Real], part: Fixed, outside: u64) -> Option<usize> {
    let all: f64 = convictions.iter().map(|conviction| conviction.get()).sum();
    if all < needed(part, outside) as f64 {
        return None;
    }
    let largest = convictions.iter().copied().max()?;
    convictions.iter().position(|conviction| *conviction == largest)
}
