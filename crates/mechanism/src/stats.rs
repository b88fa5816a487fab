//! Descriptive statistics with the exact definitions of the topic specification, section 0.2.
//! Plain doubles in and out; callers wrap the results. Sums run in the order of the slice.

use crate::error::MathError;
use crate::real::func;

/// Arithmetic mean; none for an empty slice.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// Midpoint of two values, without overflow.
pub(crate) fn middle(low: f64, high: f64) -> f64 {
    low / 2.0 + high / 2.0
}

/// Median of an ascending slice.
pub(crate) fn median_sorted(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[half]),
        _ => Some(middle(sorted[half - 1], sorted[half])),
    }
}

/// Median, reordering the slice: the middle value, or the midpoint of the two middle ones. Linear time.
/// Errors: [`MathError::Empty`].
pub fn median_mut(values: &mut [f64]) -> Result<f64, MathError> {
    let n = values.len();
    if n == 0 {
        return Err(MathError::Empty("median"));
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return Ok(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(middle(lower, upper))
}

/// Median of a slice. Errors: [`MathError::Empty`] (the specification reads an empty median as 0; here the caller
/// has to say so).
pub fn median(values: &[f64]) -> Result<f64, MathError> {
    median_mut(&mut values.to_vec())
}

/// Median absolute deviation from the median, and the median: `(mad, median)`; (0, 0) for an empty slice.
pub fn mad(values: &[f64]) -> (f64, f64) {
    let Ok(center) = median(values) else { return (0.0, 0.0) };
    let mut distances: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    (median_mut(&mut distances).unwrap_or(0.0), center)
}

/// Sample standard deviation (divisor N - 1); 0 for one value or none.
pub fn stddev(values: &[f64]) -> f64 {
    let Some(center) = mean(values).filter(|_| values.len() > 1) else { return 0.0 };
    let squares: f64 = values.iter().map(|value| (value - center) * (value - center)).sum();
    func::sqrt(squares / (values.len() as f64 - 1.0))
}

/// Quantile `q` in [0, 1]: values sorted descending, linear interpolation at place (1 - q)(N - 1); 0 for an empty
/// slice. Errors: [`MathError::OutOfRange`] for another q.
pub fn quantile(values: &[f64], q: f64) -> Result<f64, MathError> {
    if !(0.0..=1.0).contains(&q) {
        return Err(MathError::OutOfRange("quantile"));
    }
    if values.is_empty() {
        return Ok(0.0);
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let place = (1.0 - q) * (sorted.len() as f64 - 1.0);
    let (low, high) = (place.floor(), place.ceil());
    let (from, to) = (sorted[low as usize], sorted[high as usize]);
    Ok(from + (to - from) * (place - low))
}

/// Exponential moving average: `x` at the first value, else `alpha x + (1 - alpha) previous`.
pub fn ema(alpha: f64, x: f64, previous: f64, first: bool) -> f64 {
    if first || x == previous { x } else { alpha * x + (1.0 - alpha) * previous }
}

/// `n` steps of an average towards the same target at once: `(1-alpha)^n x + (1 - (1-alpha)^n) target`.
pub fn nema(alpha: f64, target: f64, x: f64, n: u32) -> f64 {
    let keep = func::powi(1.0 - alpha, n);
    keep * x + (1.0 - keep) * target
}

/// Indices of `values` in ascending order, equal values by index.
pub(crate) fn ascending(values: &[f64]) -> Vec<(f64, u32)> {
    let mut order: Vec<(f64, u32)> =
        values.iter().zip(0u32..).map(|(&value, index)| (value, index)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order
}

/// Place in `order` (as from [`ascending`]) of the lower weighted median.
pub(crate) fn weighted_median_place(order: &[(f64, u32)], weights: &[f64]) -> Option<usize> {
    let total: f64 = order.iter().map(|&(_, index)| weights[index as usize]).sum();
    let mut cumulative = 0.0;
    let place = order.iter().position(|&(_, index)| {
        cumulative += weights[index as usize];
        cumulative * 2.0 >= total
    });
    place.filter(|_| total > 0.0)
}

/// Lower weighted median: the first value, in ascending order, at which the cumulative weight reaches half of the
/// total. When a value ends exactly at one half, that value wins (no midpoint is taken); equal values are one value.
/// Weights are >= 0. Errors: [`MathError::Length`], [`MathError::Empty`] when no weight is positive.
pub fn weighted_median(values: &[f64], weights: &[f64]) -> Result<f64, MathError> {
    same_length(values, weights)?;
    let order = ascending(values);
    let place = weighted_median_place(&order, weights).ok_or(MathError::Empty("weights"))?;
    Ok(order[place].0)
}

/// Weighted percentile `p` in [0, 100]: values in ascending order stand at (cumulative weight - half their own) /
/// total; linear interpolation between them, clamped at both ends. Errors as [`weighted_median`], and
/// [`MathError::OutOfRange`].
pub fn weighted_percentile(values: &[f64], weights: &[f64], p: f64) -> Result<f64, MathError> {
    weighted_percentiles(values, weights, &[p]).map(|at| at[0])
}

/// [`weighted_percentile`] for several `percents` with one sort.
pub fn weighted_percentiles(
    values: &[f64],
    weights: &[f64],
    percents: &[f64],
) -> Result<Vec<f64>, MathError> {
    same_length(values, weights)?;
    let order = ascending(values);
    let total: f64 = order.iter().map(|&(_, index)| weights[index as usize]).sum();
    // Written so that a NaN total is refused as well.
    if !total.is_finite() || total <= 0.0 {
        return Err(MathError::Empty("weights"));
    }
    let mut cumulative = 0.0;
    let stands: Vec<f64> = order
        .iter()
        .map(|&(_, index)| {
            let weight = weights[index as usize];
            cumulative += weight;
            (cumulative - weight / 2.0) / total
        })
        .collect();
    percents
        .iter()
        .map(|&percent| {
            if !(0.0..=100.0).contains(&percent) {
                return Err(MathError::OutOfRange("percentile"));
            }
            let share = percent / 100.0;
            let next = stands.partition_point(|&stand| stand < share);
            if next == 0 {
                return Ok(order[0].0);
            }
            if next == stands.len() {
                return Ok(order[next - 1].0);
            }
            let (from, to) = (order[next - 1].0, order[next].0);
            let gap = stands[next] - stands[next - 1];
            // A rounding beyond `to` would put this percentile above the next one.
            Ok((from + (to - from) * ((share - stands[next - 1]) / gap)).min(to))
        })
        .collect()
}

fn same_length(values: &[f64], weights: &[f64]) -> Result<(), MathError> {
    if values.len() == weights.len() {
        Ok(())
    } else {
        Err(MathError::Length { what: "weights", expected: values.len(), actual: weights.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_mad_follow_the_specification() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Ok(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Ok(2.5));
        assert_eq!(median(&[]), Err(MathError::Empty("median")));
        assert_eq!(mad(&[]), (0.0, 0.0));
        assert_eq!(mad(&[7.0]), (0.0, 7.0));
        assert_eq!(mad(&[0.0, 0.0, 0.0, 100.0]), (0.0, 0.0));
        assert_eq!(mad(&[0.0, 0.5, 1.0]), (0.5, 0.5));
    }

    #[test]
    fn deviation_quantile_and_averages_follow_the_specification() {
        assert_eq!(stddev(&[5.0]), 0.0);
        assert_eq!(stddev(&[1.0, 3.0]), 2f64.sqrt());
        assert_eq!(quantile(&[10.0, 20.0, 30.0, 40.0, 50.0], 0.25), Ok(20.0));
        assert_eq!(quantile(&[10.0, 20.0], 0.25), Ok(12.5));
        assert_eq!(quantile(&[], 0.5), Ok(0.0));
        assert_eq!(quantile(&[1.0], 1.5), Err(MathError::OutOfRange("quantile")));
        assert_eq!(ema(0.1, 3.0, 9.0, true), 3.0);
        assert_eq!(ema(0.25, 4.0, 8.0, false), 7.0);
        assert_eq!(nema(0.5, 0.0, 8.0, 3), 1.0);
    }

    #[test]
    fn the_weighted_median_takes_the_lower_value_at_an_exact_half() {
        assert_eq!(weighted_median(&[1.0, 2.0], &[1.0, 1.0]), Ok(1.0));
        assert_eq!(weighted_median(&[9.0, 2.0, 5.0], &[0.2, 0.3, 0.5]), Ok(5.0));
        assert_eq!(weighted_median(&[9.0], &[0.0]), Err(MathError::Empty("weights")));
    }

    #[test]
    fn weighted_percentiles_interpolate_between_half_weights_and_clamp() {
        let (values, weights) = ([10.0, 20.0, 30.0], [1.0, 1.0, 2.0]);
        assert_eq!(weighted_percentile(&values, &weights, 0.0), Ok(10.0));
        assert_eq!(weighted_percentile(&values, &weights, 100.0), Ok(30.0));
        assert_eq!(weighted_percentile(&values, &weights, 37.5), Ok(20.0));
        assert_eq!(weighted_percentile(&values, &weights, 25.0), Ok(15.0));
        // A member without weight stands where its neighbour does: no gap to divide by.
        assert_eq!(weighted_percentile(&[1.0, 2.0, 3.0], &[0.0, 1.0, 0.0], 50.0), Ok(2.0));
    }
}
