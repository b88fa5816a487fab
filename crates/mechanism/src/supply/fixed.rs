//! `Fixed`: a non-negative decimal number with 18 places, the arithmetic of the reference's supply formulas.
//! Products and quotients round half to even; their intermediates are held in 256 bits.

use crate::amount::{mul_div_floor, mul_div_rem};
use crate::error::MathError;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::str::FromStr;

/// Decimal places.
const PLACES: usize = 18;
/// One, in units of the last place.
const UNIT: u128 = 1_000_000_000_000_000_000;

/// A number in 0 ..= (2^128 - 1) / 10^18, about 3.4 10^20, in steps of 10^-18.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Fixed(u128);

impl Fixed {
    /// Zero.
    pub const ZERO: Fixed = Fixed(0);
    /// One.
    pub const ONE: Fixed = Fixed(UNIT);
    /// The largest number.
    pub const MAX: Fixed = Fixed(u128::MAX);

    /// The number of `raw` steps of 10^-18.
    pub const fn from_raw(raw: u128) -> Fixed {
        Fixed(raw)
    }

    /// How many steps of 10^-18 the number is.
    pub const fn raw(self) -> u128 {
        self.0
    }

    /// Sum. Errors: [`MathError::Overflow`].
    pub fn plus(self, other: Fixed) -> Result<Fixed, MathError> {
        self.0.checked_add(other.0).map(Fixed).ok_or(MathError::Overflow("sum"))
    }

    /// Difference. Errors: [`MathError::Overflow`] below zero.
    pub fn minus(self, other: Fixed) -> Result<Fixed, MathError> {
        self.0.checked_sub(other.0).map(Fixed).ok_or(MathError::Overflow("difference"))
    }

    /// Product, half to even. Errors: [`MathError::Overflow`].
    pub fn times(self, other: Fixed) -> Result<Fixed, MathError> {
        let (quotient, remainder) = mul_div_rem(self.0, other.0, UNIT)?;
        half_to_even(quotient, remainder)
    }

    /// Quotient, half to even. Errors: [`MathError::DivideByZero`], [`MathError::Overflow`].
    pub fn over(self, other: Fixed) -> Result<Fixed, MathError> {
        Fixed::ratio(self.0, other.0)
    }

    /// The quotient of two amounts, half to even. As in the reference, 36 decimals are computed and the last 18
    /// decide the rounding: a quotient above one half of the last place by less than 10^-18 of it goes to even.
    /// Errors: [`MathError::DivideByZero`], [`MathError::Overflow`].
    pub fn ratio(numerator: u128, denominator: u128) -> Result<Fixed, MathError> {
        let (quotient, remainder) = mul_div_rem(numerator, UNIT, denominator)?;
        half_to_even(quotient, mul_div_floor(remainder, UNIT, denominator)?)
    }

    /// This part of an amount, rounded down to the unit. Errors: [`MathError::Overflow`].
    pub fn of(self, amount: u128) -> Result<u128, MathError> {
        mul_div_floor(self.0, amount, UNIT)
    }

    /// All 18 decimals, as the reference writes the number.
    pub fn to_padded(self) -> String {
        format!("{}.{:018}", self.0 / UNIT, self.0 % UNIT)
    }
}

/// Rounds `whole + rest / 10^18` steps, `rest` below 10^18.
fn half_to_even(whole: u128, rest: u128) -> Result<Fixed, MathError> {
    const HALF: u128 = UNIT / 2;
    let up = rest > HALF || (rest == HALF && whole % 2 == 1);
    whole.checked_add(u128::from(up)).map(Fixed).ok_or(MathError::Overflow("rounding"))
}

impl fmt::Display for Fixed {
    /// The shortest decimal text: no trailing zeros, no point in a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let padded = self.to_padded();
        f.write_str(padded.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fixed {
    type Err = MathError;

    /// Digits with an optional point, at most 18 of them behind it; no sign, no exponent.
    /// Errors: [`MathError::Syntax`], [`MathError::TooSmall`] for more decimals, [`MathError::TooLarge`].
    fn from_str(text: &str) -> Result<Fixed, MathError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() + decimals.len() == 0 {
            return Err(MathError::Syntax);
        }
        if decimals.len() > PLACES {
            return Err(MathError::TooSmall);
        }
        let places = decimals.bytes().chain(std::iter::repeat(b'0')).take(PLACES);
        let mut raw = 0u128;
        for digit in whole.bytes().chain(places) {
            let next = raw.checked_mul(10).and_then(|raw| raw.checked_add(u128::from(digit - b'0')));
            raw = next.ok_or(MathError::TooLarge)?;
        }
        Ok(Fixed(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> Fixed {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_read_and_written_exactly() {
        for (text, raw, written) in [
            ("0.025", 25 * 10u128.pow(15), "0.025"),
            ("12", 12 * UNIT, "12"),
            (".5", UNIT / 2, "0.5"),
            ("7.", 7 * UNIT, "7"),
            ("100.000000000000000001", 100 * UNIT + 1, "100.000000000000000001"),
            ("0", 0, "0"),
        ] {
            assert_eq!(fixed(text).raw(), raw);
            assert_eq!(fixed(text).to_string(), written);
        }
        assert_eq!(fixed("0.025").to_padded(), "0.025000000000000000");
        for text in ["", ".", "-1", "+1", "1e3", "1.2.3", "one", "1 "] {
            assert_eq!(Fixed::from_str(text), Err(MathError::Syntax), "{text}");
        }
        assert_eq!(Fixed::from_str("0.0000000000000000001"), Err(MathError::TooSmall));
        assert_eq!(Fixed::from_str("1000000000000000000000"), Err(MathError::TooLarge));
    }

    #[test]
    fn products_and_quotients_round_half_to_even() {
        let step = Fixed::from_raw;
        assert_eq!(step(1).times(fixed("0.5")), Ok(step(0)));
        assert_eq!(step(3).times(fixed("0.5")), Ok(step(2)));
        assert_eq!(step(5).times(fixed("0.5")), Ok(step(2)));
        assert_eq!(step(5).times(fixed("0.500000000000000001")), Ok(step(3)));
        assert_eq!(step(3).over(fixed("2")), Ok(step(2)));
        assert_eq!(step(5).over(fixed("2")), Ok(step(2)));
        assert_eq!(fixed("2").over(fixed("3")).unwrap().to_string(), "0.666666666666666667");
        assert_eq!(Fixed::ONE.over(Fixed::ZERO), Err(MathError::DivideByZero("proportion")));
        assert_eq!(Fixed::MAX.times(fixed("2")), Err(MathError::Overflow("proportion")));
        assert_eq!(Fixed::MAX.times(Fixed::ONE), Ok(Fixed::MAX));
    }

    #[test]
    fn a_quotient_barely_above_one_half_is_a_tie_as_in_the_reference() {
        // Above one half of a step by 0.05, 0.5 and 5 of the 36th decimal.
        assert_eq!(Fixed::ratio(10u128.pow(19) + 1, 2 * 10u128.pow(37)), Ok(Fixed::from_raw(0)));
        assert_eq!(Fixed::ratio(10u128.pow(18) + 1, 2 * 10u128.pow(36)), Ok(Fixed::from_raw(0)));
        assert_eq!(Fixed::ratio(10u128.pow(17) + 1, 2 * 10u128.pow(35)), Ok(Fixed::from_raw(1)));
    }

    #[test]
    fn parts_of_amounts_are_rounded_down() {
        assert_eq!(fixed("0.999999999999999999").of(10), Ok(9));
        assert_eq!(fixed("0.25").of(10u128.pow(27)), Ok(25 * 10u128.pow(25)));
        assert_eq!(fixed("3").of(u128::MAX), Err(MathError::Overflow("proportion")));
    }

    #[test]
    fn sums_and_differences_do_not_wrap() {
        assert_eq!(fixed("0.1").plus(fixed("0.2")), Ok(fixed("0.3")));
        assert_eq!(Fixed::MAX.plus(Fixed::from_raw(1)), Err(MathError::Overflow("sum")));
        assert_eq!(fixed("0.1").minus(fixed("0.2")), Err(MathError::Overflow("difference")));
    }
}
