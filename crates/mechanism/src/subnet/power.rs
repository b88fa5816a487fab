//! Powers of ratios in integers: what the weighted pool needs, to 96 binary places, with a bound on the error.
//! Logarithm by repeated squaring, exponential by its series; no floating point, the same bits everywhere.

use crate::amount::{mul_div_floor, wide_mul};
use crate::error::MathError;

/// Binary places of a power.
pub const PLACES: u32 = 96;
/// One as a power.
pub const ONE: u128 = 1 << PLACES;
/// Powers saturate at this many doublings.
const DOUBLINGS_MAX: i128 = 5;
/// Binary places of a logarithm.
const LOG_PLACES: u32 = 112;
/// Binary places of mantissas in 1 .. 2.
const TOP: u32 = 127;
/// The natural logarithm of two, 128 binary places.
const LN_2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;
/// A power is off by less than this many steps of 2^-96.
const MARGIN: u128 = 16;

/// `(a / b)^(n / d)`, within bounds, in steps of 2^-96 and at most 32: (not above, not below).
/// `a` and `b` are positive, the exponent is at most 99. Errors: [`MathError::DivideByZero`],
/// [`MathError::OutOfRange`] for a larger exponent.
pub fn power(a: u128, b: u128, n: u128, d: u128) -> Result<(u128, u128), MathError> {
    if a == 0 || b == 0 || d == 0 {
        return Err(MathError::DivideByZero("power"));
    }
    if n / d > 99 {
        return Err(MathError::OutOfRange("exponent"));
    }
    if a == b || n == 0 {
        return Ok((ONE, ONE));
    }
    // The logarithm of a ratio above one, which has no sign to carry.
    let log = log2(a.max(b), a.min(b))?;
    let exponent = i128::try_from(mul_div_floor(log, n, d)?).map_err(|_| MathError::Overflow("exponent"))?;
    let exponent = if a < b { -exponent } else { exponent };
    let (whole, fraction) = (exponent >> LOG_PLACES, exponent & ((1 << LOG_PLACES) - 1));
    if whole >= DOUBLINGS_MAX {
        let most = ONE << DOUBLINGS_MAX;
        return Ok((most, most));
    }
    let mantissa = exp2(fraction.unsigned_abs());
    let shift = i128::from(TOP - PLACES) - whole;
    let value = u32::try_from(shift).ok().and_then(|shift| mantissa.checked_shr(shift)).unwrap_or(0);
    let most = if a < b { ONE } else { u128::MAX };
    Ok((value.saturating_sub(MARGIN), (value + MARGIN).min(most)))
}

/// `log2(a / b)` for `a >= b > 0`, rounded down to 112 places.
fn log2(a: u128, b: u128) -> Result<u128, MathError> {
    let (a, b, mut whole) =
        (a << a.leading_zeros(), b << b.leading_zeros(), b.leading_zeros() - a.leading_zeros());
    let mut mantissa = mul_div_floor(a.min(b), 1 << TOP, a.max(b))?;
    if a >= b {
        mantissa = mul_div_floor(a, 1 << TOP, b)?;
    } else {
        // Below one by normalisation: one doubling less, and the mantissa back into 1 .. 2.
        whole -= 1;
        mantissa <<= 1;
    }
    let mut log = u128::from(whole);
    for _ in 0..LOG_PLACES {
        let (high, low) = wide_mul(mantissa, mantissa);
        let bit = high >> TOP;
        mantissa = if bit == 1 { high } else { (high << 1) | (low >> TOP) };
        log = (log << 1) | bit;
    }
    Ok(log)
}

/// `2^x` for `x` below one in 112 places: a mantissa with 127 places.
fn exp2(x: u128) -> u128 {
    let (x, _) = wide_mul(x << (TOP - LOG_PLACES), LN_2);
    let (mut sum, mut term) = (1u128 << TOP, 1u128 << TOP);
    for i in 1..40 {
        term = (wide_mul(term, x).0 << 1) / i;
        sum = sum.saturating_add(term);
    }
    sum
}
