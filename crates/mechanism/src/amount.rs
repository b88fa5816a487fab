//! Token amounts in base units: exact proportional splits of a `u128`, without losing or inventing a unit.
//! Integer arithmetic only; products are held in 256 bits.

use crate::error::MathError;
use crate::real::Real;

/// The full product of two integers as (high, low) halves.
pub(crate) fn wide_mul(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (low, middle, other, high) = (a0 * b0, a1 * b0, a0 * b1, a1 * b1);
    let carry = (low >> 64) + (middle & LOW) + (other & LOW);
    (high + (middle >> 64) + (other >> 64) + (carry >> 64), (carry << 64) | (low & LOW))
}

/// Quotient and remainder of `a * b / c`, exact for all inputs whose quotient fits.
/// Errors: [`MathError::DivideByZero`], [`MathError::Overflow`] when the quotient exceeds `u128`.
pub fn mul_div_rem(a: u128, b: u128, c: u128) -> Result<(u128, u128), MathError> {
    if c == 0 {
        return Err(MathError::DivideByZero("proportion"));
    }
    if let Some(product) = a.checked_mul(b) {
        return Ok((product / c, product % c));
    }
    let (high, low) = wide_mul(a, b);
    if high >= c {
        return Err(MathError::Overflow("proportion"));
    }
    // Long division, one bit at a time: `high < c` keeps the running remainder below 2 c.
    let (mut remainder, mut quotient) = (high, 0u128);
    for bit in (0..128).rev() {
        let carry = remainder >> 127;
        remainder = (remainder << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if carry == 1 || remainder >= c {
            remainder = remainder.wrapping_sub(c);
            quotient |= 1;
        }
    }
    Ok((quotient, remainder))
}

/// `floor(a * b / c)`. Errors as [`mul_div_rem`].
pub fn mul_div_floor(a: u128, b: u128, c: u128) -> Result<u128, MathError> {
    mul_div_rem(a, b, c).map(|(quotient, _)| quotient)
}

/// Splits `total` in proportion to integer `shares`, in their order; the parts sum to `total` exactly.
/// Every part is the exact quotient rounded down or up: the units lost by rounding down go to the largest
/// remainders, ties to the lower index. A zero share gets nothing.
/// Errors: [`MathError::Empty`] when no share is positive, [`MathError::Overflow`] when the shares' sum is.
pub fn split_by(total: u128, shares: &[u128]) -> Result<Vec<u128>, MathError> {
    let sum = shares
        .iter()
        .try_fold(0u128, |sum, &share| sum.checked_add(share))
        .ok_or(MathError::Overflow("sum of shares"))?;
    if sum == 0 {
        return Err(MathError::Empty("shares"));
    }
    let mut parts = Vec::with_capacity(shares.len());
    let mut remainders = Vec::with_capacity(shares.len());
    let mut left = total;
    for (index, &share) in shares.iter().enumerate() {
        let (part, remainder) = mul_div_rem(total, share, sum)?;
        left -= part;
        parts.push(part);
        remainders.push((remainder, index));
    }
    // The remainders sum to `left * sum` and each is below `sum`, so more than `left` of them are positive.
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for &(_, index) in &remainders {
        if left == 0 {
            break;
        }
        parts[index] += 1;
        left -= 1;
    }
    Ok(parts)
}

/// Splits `total` in proportion to real `weights`, in their order (the callers' address order); the parts sum to
/// `total` exactly. Weights are first made integers, 2^64 for the largest one and rounded down, so a weight at or
/// below zero, or below 2^-64 of the largest, gets nothing. Rounding as in [`split_by`].
/// Errors: [`MathError::Empty`] when no weight is positive.
pub fn split(total: u128, weights: &[Real]) -> Result<Vec<u128>, MathError> {
    let largest = weights.iter().map(|weight| weight.get()).fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(MathError::Empty("weights"));
    }
    const ONE: f64 = 18_446_744_073_709_551_616.0;
    let shares: Vec<u128> =
        weights.iter().map(|weight| (weight.get().max(0.0) / largest * ONE) as u128).collect();
    split_by(total, &shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f64) -> Real {
        Real::new(value).unwrap()
    }

    #[test]
    fn parts_follow_the_largest_remainder_and_ties_go_to_the_lower_index() {
        assert_eq!(split_by(10, &[1, 1, 1]).unwrap(), [4, 3, 3]);
        assert_eq!(split_by(11, &[1, 1, 1]).unwrap(), [4, 4, 3]);
        assert_eq!(split_by(100, &[333, 333, 334]).unwrap(), [33, 33, 34]);
        assert_eq!(split_by(7, &[0, 5, 0]).unwrap(), [0, 7, 0]);
        assert_eq!(split_by(0, &[2, 3]).unwrap(), [0, 0]);
    }

    #[test]
    fn no_positive_weight_is_an_error_and_a_negative_one_gets_nothing() {
        assert_eq!(split(5, &[]), Err(MathError::Empty("weights")));
        assert_eq!(split(5, &[real(0.0), real(-1.0)]), Err(MathError::Empty("weights")));
        assert_eq!(split(5, &[real(-3.0), real(1e-300)]).unwrap(), [0, 5]);
        assert_eq!(split_by(5, &[0]), Err(MathError::Empty("shares")));
    }

    #[test]
    fn a_full_range_total_is_split_without_loss() {
        let parts = split(u128::MAX, &[real(1.0), real(1.0), real(1.0)]).unwrap();
        assert_eq!(parts, [u128::MAX / 3; 3]);
        let parts = split(u128::MAX, &[real(0.3), real(0.7)]).unwrap();
        assert_eq!(parts[0] + parts[1], u128::MAX);
    }

    #[test]
    fn wide_products_divide_exactly() {
        assert_eq!(mul_div_rem(u128::MAX, u128::MAX, u128::MAX).unwrap(), (u128::MAX, 0));
        assert_eq!(mul_div_rem(u128::MAX, 2, 4).unwrap(), (u128::MAX / 2, 2));
        assert_eq!(mul_div_rem(u128::MAX, 2, 1), Err(MathError::Overflow("proportion")));
        assert_eq!(mul_div_rem(1, 2, 0), Err(MathError::DivideByZero("proportion")));
        let ten_27 = 10u128.pow(27);
        assert_eq!(mul_div_floor(ten_27, ten_27, 10u128.pow(20)).unwrap(), 10u128.pow(34));
    }
}
