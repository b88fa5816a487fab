//! The outlier filter behind the second, outlier-resistant network inference (topic specification, section 3.7).
//! It follows the median and spread of a single-label topic's inferences. It only says who is left out of that second
//! synthesis: nobody is kept from being scored.

use crate::error::MathError;
use crate::real::Real;
use crate::stats;
use borsh::{BorshDeserialize, BorshSerialize};

/// What is remembered of a topic's inferences. All zero before the first epoch.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutlierState {
    /// Median of the newest epoch's inferences, in their units.
    pub last_median: Real,
    /// Smoothed median absolute deviation (MAD) from the median, >= 0, in the units of the inferences.
    pub mad: Real,
}

/// The state after an epoch with these inferences: their median, and the moving average of their MAD at rate `alpha`
/// in [0, 1], which starts at the first MAD that is not zero. An epoch without inferences changes nothing.
/// Errors: [`MathError::OutOfRange`] for another alpha, [`MathError::NotFinite`] on overflow.
pub fn follow(state: &OutlierState, values: &[Real], alpha: Real) -> Result<OutlierState, MathError> {
    if alpha < Real::ZERO || alpha > Real::ONE {
        return Err(MathError::OutOfRange("outlier alpha"));
    }
    if values.is_empty() {
        return Ok(*state);
    }
    let values: Vec<f64> = values.iter().map(|value| value.get()).collect();
    let (newest, median) = stats::mad(&values);
    let mad = stats::ema(alpha.get(), newest, state.mad.get(), state.mad == Real::ZERO);
    Ok(OutlierState { last_median: Real::named(median, "median")?, mad: Real::named(mad, "MAD")? })
}

/// Who is kept: those within `threshold` >= 0 smoothed MADs of the last median, one entry per value. `state` is the
/// one after [`follow`] on the same values. Everybody is kept while the median or the MAD is zero.
pub fn kept(state: &OutlierState, values: &[Real], threshold: Real) -> Vec<bool> {
    if state.last_median == Real::ZERO || state.mad == Real::ZERO {
        return vec![true; values.len()];
    }
    let (center, reach) = (state.last_median.get(), threshold.get() * state.mad.get());
    values.iter().map(|value| (value.get() - center).abs() <= reach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reals(values: &[f64]) -> Vec<Real> {
        values.iter().map(|&value| Real::new(value).unwrap()).collect()
    }

    fn step(state: OutlierState, values: &[f64]) -> OutlierState {
        follow(&state, &reals(values), Real::literal(0.2)).unwrap()
    }

    #[test]
    fn the_spread_starts_at_the_first_one_and_then_follows_slowly() {
        let first = step(OutlierState::default(), &[9.0, 10.0, 12.0]);
        assert_eq!(first, OutlierState { last_median: Real::literal(10.0), mad: Real::ONE });
        let second = step(first, &[14.0, 20.0, 26.0]);
        assert_eq!(second, OutlierState { last_median: Real::literal(20.0), mad: Real::literal(2.0) });
        assert_eq!(step(second, &[]), second);
        let still = step(OutlierState::default(), &[5.0, 5.0]);
        assert_eq!(step(still, &[4.0, 5.0, 8.0]).mad, Real::ONE);
    }

    #[test]
    fn a_value_beyond_the_threshold_is_left_out_and_one_at_it_stays() {
        let state = OutlierState { last_median: Real::literal(10.0), mad: Real::literal(2.0) };
        let values = reals(&[10.0, 32.0, 32.5, -12.0, -12.5, 1e300]);
        let expected = [true, true, false, true, false, false];
        assert_eq!(kept(&state, &values, Real::literal(11.0)), expected);
    }

    #[test]
    fn nobody_is_left_out_while_median_or_spread_is_zero() {
        let values = reals(&[0.0, 1e9]);
        for (last_median, mad) in [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)] {
            let state = OutlierState { last_median: Real::literal(last_median), mad: Real::literal(mad) };
            assert_eq!(kept(&state, &values, Real::ONE), [true, true]);
        }
    }

    #[test]
    fn a_rate_outside_zero_and_one_is_an_error_and_the_widest_doubles_are_none() {
        let follow = |values: &[f64], alpha| follow(&OutlierState::default(), &reals(values), alpha);
        assert_eq!(follow(&[1.0], Real::literal(1.1)), Err(MathError::OutOfRange("outlier alpha")));
        let wide = [f64::MIN, f64::MIN, f64::MIN, f64::MAX, f64::MAX, f64::MAX, f64::MAX];
        assert!(follow(&wide, Real::ONE).is_ok());
        assert!(follow(&[f64::MIN, f64::MAX * 0.9, f64::MAX], Real::ONE).is_ok());
    }
}
