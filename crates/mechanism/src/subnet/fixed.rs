//! `Q32`: the number of the epoch, signed, 32 integer and 32 fraction bits in an `i64`.
//! Products round down, quotients towards zero, a division by zero is zero, everything saturates: as the reference
//! whose epochs are reproduced bit for bit.

/// A number in -2^31 .. 2^31 in steps of 2^-32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Q32(i64);

/// Fraction bits.
const BITS: u32 = 32;

impl Q32 {
    /// Zero.
    pub const ZERO: Q32 = Q32(0);
    /// One.
    pub const ONE: Q32 = Q32(1 << BITS);
    /// One half.
    pub const HALF: Q32 = Q32(1 << (BITS - 1));
    /// The largest number.
    pub const MAX: Q32 = Q32(i64::MAX);
    /// The smallest number.
    pub const MIN: Q32 = Q32(i64::MIN);

    /// The number of `bits` steps of 2^-32.
    pub const fn from_bits(bits: i64) -> Q32 {
        Q32(bits)
    }

    /// How many steps of 2^-32 the number is.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// An integer, exact up to 2^31 and the largest number above.
    pub fn from_int(value: i64) -> Q32 {
        saturate(i128::from(value) << BITS)
    }

    /// The part `numerator / denominator`, towards zero; zero over zero, and anything over zero, is zero.
    pub fn ratio(numerator: u64, denominator: u64) -> Q32 {
        if denominator == 0 {
            return Q32::ZERO;
        }
        match numerator.leading_zeros() >= BITS {
            true => Q32(i64::try_from((numerator << BITS) / denominator).unwrap_or(i64::MAX)),
            false => {
                let quotient = (u128::from(numerator) << BITS) / u128::from(denominator);
                Q32(i64::try_from(quotient).unwrap_or(i64::MAX))
            }
        }
    }

    /// What a stored `u16` means as a fraction: `value / 65535`.
    #[inline]
    pub fn from_fraction(value: u16) -> Q32 {
        Q32::ratio(u64::from(value), u64::from(u16::MAX))
    }

    /// Sum.
    #[inline]
    pub fn plus(self, other: Q32) -> Q32 {
        // As `saturating_add`, in fewer steps where nothing saturates.
        self.0.checked_add(other.0).map_or_else(|| limit(self), Q32)
    }

    /// Difference.
    #[inline]
    pub fn minus(self, other: Q32) -> Q32 {
        self.0.checked_sub(other.0).map_or_else(|| limit(self), Q32)
    }

    /// Product, rounded down.
    #[inline]
    pub fn times(self, other: Q32) -> Q32 {
        // Nearly all there is: their product needs no more than the machine has.
        if self.is_below_one() && other.is_below_one() {
            return Q32(((self.0 as u64 * other.0 as u64) >> BITS) as i64);
        }
        product(self, other)
    }

    /// Whether it is a fraction, one excluded.
    #[inline]
    fn is_below_one(self) -> bool {
        // A negative number is a huge one here.
        (self.0 as u64) < 1 << BITS
    }

    /// Quotient, towards zero; over zero it is zero.
    pub fn over(self, other: Q32) -> Q32 {
        if other.0 == 0 {
            return Q32::ZERO;
        }
        // Fractions over positive numbers are nearly all there is, and one machine division answers them.
        if self.is_below_one() && other.0 > 0 {
            let quotient = (self.0.unsigned_abs() << BITS) / other.0.unsigned_abs();
            return Q32(i64::try_from(quotient).unwrap_or(i64::MAX));
        }
        saturate((i128::from(self.0) << BITS) / i128::from(other.0))
    }

    /// `floor(65535 x)` for a fraction, within 0 ..= 65535.
    #[inline]
    pub fn to_fraction(self) -> u16 {
        if (0..=1 << BITS).contains(&self.0) {
            return ((self.0.unsigned_abs() * u64::from(u16::MAX)) >> BITS) as u16;
        }
        let scaled = (i128::from(self.0) * i128::from(u16::MAX)) >> BITS;
        u16::try_from(scaled.clamp(0, i128::from(u16::MAX))).unwrap_or(u16::MAX)
    }

    /// The integer below, within 0 ..= 2^31 - 1.
    pub fn floor(self) -> u64 {
        self.0.max(0).unsigned_abs() >> BITS
    }

    /// `floor(self * amount)` for an amount in base units; a negative number takes nothing.
    pub fn of(self, amount: u64) -> u64 {
        let part = (u128::from(self.0.max(0).unsigned_abs()) * u128::from(amount)) >> BITS;
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// `e^x` for `x` limited to -20 ..= 20, by the reference's series of 31 terms.
    pub fn exp(self) -> Q32 {
        /// `e` as the reference writes it: 23 fraction bits.
        const E: Q32 = Q32(0x0002_b7e1_5000);
        let limit = Q32::from_int(20);
        let x = self.clamp(Q32(-limit.0), limit);
        if x < Q32::ZERO {
            return Q32::ONE.over(Q32(-x.0).exp());
        }
        if x == Q32::ZERO {
            return Q32::ONE;
        }
        if x == Q32::ONE {
            return E;
        }
        // Nothing saturates here: the largest term is 20^20 / 20!, below 2^26, and 20 times that before it is divided.
        let x = x.0.unsigned_abs();
        let (mut sum, mut term) = ((1 << BITS) + x, x);
        for i in 2..32 {
            term = ((u128::from(term) * u128::from(x)) >> BITS) as u64 / i;
            // What follows a term of nothing is nothing.
            if term == 0 {
                break;
            }
            sum += term;
        }
        Q32(sum as i64)
    }

    /// `1 / (1 + e^(-rho (x - kappa)))`.
    pub fn sigmoid(self, rho: Q32, kappa: Q32) -> Q32 {
        let minus_rho = Q32(rho.0.saturating_neg());
        Q32::ONE.over(Q32::ONE.plus(minus_rho.times(self.minus(kappa)).exp()))
    }

    /// The sum of numbers, which saturates.
    pub fn sum(values: impl IntoIterator<Item = Q32>) -> Q32 {
        values.into_iter().fold(Q32::ZERO, Q32::plus)
    }
}

/// A divisor of many numbers: the quotients are those of [`Q32::over`], bit for bit, without a division for each.
#[derive(Clone, Copy, Debug)]
pub struct Divisor {
    by: Q32,
    /// `floor((2^64 - 1) / by)`.
    inverse: u64,
    /// Numerators from zero up to here, not included, are multiplied with the inverse; all others are divided.
    limit: u64,
}

impl Divisor {
    /// Divides by this.
    pub fn new(by: Q32) -> Divisor {
        let limit = match by.0 {
            ..=0 => 0,
            // Quotients of the smallest step are as large as they get: they must fit.
            1 => 1 << (BITS - 1),
            _ => 1 << BITS,
        };
        Divisor { by, inverse: u64::MAX.checked_div(by.0.max(0).unsigned_abs()).unwrap_or(0), limit }
    }

    /// The quotient, towards zero; over zero it is zero.
    #[inline]
    pub fn under(&self, value: Q32) -> Q32 {
        if self.multiplies(value) { self.quotient(value) } else { value.over(self.by) }
    }

    /// The quotient, but over zero the number itself.
    #[inline]
    pub fn under_or_itself(&self, value: Q32) -> Q32 {
        match self.multiplies(value) {
            true => self.quotient(value),
            false if self.by == Q32::ZERO => value,
            false => value.over(self.by),
        }
    }

    /// Whether it is a fraction over a positive number, as nearly everything is.
    #[inline]
    fn multiplies(&self, value: Q32) -> bool {
        // A negative number is a huge one here.
        (value.0 as u64) < self.limit
    }

    #[inline]
    fn quotient(&self, value: Q32) -> Q32 {
        let (numerator, by) = ((value.0 as u64) << BITS, self.by.0 as u64);
        // With the inverse rounded down the guess is right or one too small: numerator * (2^64 - by * inverse) is at
        // most numerator * by, so less than by * 2^64 is missing.
        let guess = ((u128::from(numerator) * u128::from(self.inverse)) >> 64) as u64;
        let rest = numerator - guess * by;
        Q32((guess + u64::from(rest >= by)) as i64)
    }
}

/// What a sum or difference that starts from `from` saturates at: it goes on in the direction it has.
#[cold]
#[inline(never)]
fn limit(from: Q32) -> Q32 {
    if from < Q32::ZERO { Q32::MIN } else { Q32::MAX }
}

/// The product of any numbers.
#[cold]
#[inline(never)]
fn product(a: Q32, b: Q32) -> Q32 {
    saturate((i128::from(a.0) * i128::from(b.0)) >> BITS)
}

fn saturate(bits: i128) -> Q32 {
    match i64::try_from(bits) {
        Ok(bits) => Q32(bits),
        Err(_) if bits < 0 => Q32::MIN,
        Err(_) => Q32::MAX,
    }
}

/// Scales numbers to the sum one; numbers that sum to zero stay.
pub fn normalize(values: &mut [Q32]) {
    let sum = Q32::sum(values.iter().copied());
    if sum != Q32::ZERO {
        let sum = Divisor::new(sum);
        values.iter_mut().for_each(|value| *value = sum.under(*value));
    }
}

/// Shares of integer amounts, each rounded down; all zero when the sum is.
/// Amounts are at most a token's supply each, so their sum is far from 2^128.
pub fn shares_of(amounts: &[u64]) -> Vec<Q32> {
    let sum: u128 = amounts.iter().copied().map(u128::from).sum();
    let share = |&amount: &u64| match (u128::from(amount) << BITS).checked_div(sum) {
        // At most one, which is 2^32 steps.
        Some(share) => Q32(i64::try_from(share).unwrap_or(i64::MAX)),
        None => Q32::ZERO,
    };
    amounts.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_divisor_answers_what_a_division_does() {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let edges = [0, 1, 2, 3, -1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, i64::MAX, i64::MIN];
        for round in 0..200_000u32 {
            // Numbers of every length, and those at the edges.
            let mut pick = || {
                let drawn = (draw() >> (draw() % 64)) as i64;
                match draw() % 8 {
                    0 => edges[draw() as usize % edges.len()],
                    1 => drawn << 32,
                    2 => -drawn,
                    _ => drawn,
                }
            };
            let (value, by) = (Q32(pick()), Q32(pick()));
            let divisor = Divisor::new(by);
            assert_eq!(divisor.under(value), value.over(by), "{round}: {value:?} over {by:?}");
            let stays = if by == Q32::ZERO { value } else { value.over(by) };
            assert_eq!(divisor.under_or_itself(value), stays, "{round}: {value:?} over {by:?}");
        }
    }

    #[test]
    fn sums_differences_and_products_saturate_in_their_direction() {
        for a in [Q32::MIN, Q32(-3 << 32), Q32(-1), Q32::ZERO, Q32(1), Q32(3 << 32), Q32::MAX] {
            for b in [Q32::MIN, Q32(-1), Q32::ZERO, Q32(1), Q32::ONE, Q32(3 << 32), Q32::MAX] {
                assert_eq!(a.plus(b), Q32(a.0.saturating_add(b.0)));
                assert_eq!(a.minus(b), Q32(a.0.saturating_sub(b.0)));
                assert_eq!(a.times(b), saturate((i128::from(a.0) * i128::from(b.0)) >> BITS));
            }
        }
    }
}
