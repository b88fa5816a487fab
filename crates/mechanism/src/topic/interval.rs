//! The error bar published beside a network inference: five percentiles at the places of -2, -1, 0, 1, 2 sigma.
//! Two sources: the spread of the members, or, once known, the network's own running error.

use crate::error::MathError;
use crate::real::Real;
use crate::stats;
use borsh::{BorshDeserialize, BorshSerialize};

/// Standard deviation of a Gaussian error per unit of its mean absolute value: sqrt(pi / 2).
pub const SD_PER_MEAN_ABSOLUTE: f64 = 1.2533;

/// Percentiles 2.28, 15.87, 50, 84.13 and 97.72 of where the truth is expected, in the units of the inference.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Interval {
    /// 2.28 %: two sigma below.
    pub p2: Real,
    /// 15.87 %: one sigma below.
    pub p16: Real,
    /// 50 %.
    pub p50: Real,
    /// 84.13 %: one sigma above.
    pub p84: Real,
    /// 97.72 %: two sigma above.
    pub p98: Real,
}

/// Weighted percentiles of the members' `values` under their combined `weights` (topic specification, section 4.6).
/// This is how far the members disagree, which is not how far the network errs. Errors: those of
/// [`stats::weighted_percentile`].
pub fn member_interval(values: &[f64], weights: &[f64]) -> Result<Interval, MathError> {
    let at = stats::weighted_percentiles(values, weights, &[2.28, 15.87, 50.0, 84.13, 97.72])?;
    let bound = |place: usize| Real::named(at[place], "interval");
    Ok(Interval { p2: bound(0)?, p16: bound(1)?, p50: bound(2)?, p84: bound(3)?, p98: bound(4)? })
}

/// `combined` plus and minus one and two standard deviations, where `scale` is the running mean absolute error of
/// the network (>= 0): the deviation of a Gaussian with that mean is 1.2533 times as large. The choice where the
/// scale is known, because what the consumer wants is the error of the network.
pub fn error_interval(combined: f64, scale: f64) -> Result<Interval, MathError> {
    let sigma = SD_PER_MEAN_ABSOLUTE * scale;
    let bound = |steps: f64| Real::named(combined + steps * sigma, "interval");
    Ok(Interval { p2: bound(-2.0)?, p16: bound(-1.0)?, p50: bound(0.0)?, p84: bound(1.0)?, p98: bound(2.0)? })
}
