//! Locked stake and the conviction that grows from it: exponential decay towards nothing, or towards the mass.
//! Exponentials are the pinned library's; evaluation is lazy, and two steps give what one gives.

use crate::error::MathError;
use crate::real::{Real, func};

/// Below this a mass or a conviction is nothing.
const LEAST: f64 = 100.0;
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
