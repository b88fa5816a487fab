//! `Real`: a double that is finite by construction, with a total order, exact text and fixed bytes.
//! `func` is the only place of the project that names `libm`, so the bits of every formula are pinned here.

use crate::error::MathError;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Longest decimal text accepted, in bytes.
pub const MAX_TEXT: usize = 64;
/// Largest magnitude a submitted number may have.
pub const SUBMISSION_MAX: f64 = 1e40;
/// Smallest magnitude a submitted number other than zero may have.
pub const SUBMISSION_MIN: f64 = 1e-40;

/// A finite real number. Neither NaN nor infinity can be held, and zero has one representation (`-0` becomes `0`),
/// so equality, order, hash and bytes agree with each other.
#[derive(Copy, Clone, Default, PartialEq)]
pub struct Real(f64);

impl Real {
    /// Zero.
    pub const ZERO: Real = Real(0.0);
    /// One.
    pub const ONE: Real = Real(1.0);

    /// Checks and wraps a double. Errors: [`MathError::NotFinite`] for NaN and infinities.
    pub fn new(value: f64) -> Result<Real, MathError> {
        Real::named(value, "value")
    }

    /// As [`Real::new`], naming the quantity in the error.
    pub(crate) fn named(value: f64, what: &'static str) -> Result<Real, MathError> {
        // Adding zero turns -0 into 0 and changes no other number.
        if value.is_finite() { Ok(Real(value + 0.0)) } else { Err(MathError::NotFinite(what)) }
    }

    /// A literal of this crate's own parameters: finite, not `-0`.
    pub(crate) const fn literal(value: f64) -> Real {
        Real(value)
    }

    /// The double.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The nearest double to an integer (exact up to 2^53).
    pub fn from_int(value: i64) -> Real {
        Real(value as f64)
    }

    /// The nearest double to an amount (exact up to 2^53): for weighing stakes, never for moving them.
    pub fn from_amount(value: u128) -> Real {
        Real(value as f64)
    }

    /// Reads a number submitted by a participant: [`FromStr`] and the window of magnitudes in which no formula of
    /// this crate overflows. Errors: those of `from_str`, [`MathError::TooLarge`] above 1e40,
    /// [`MathError::TooSmall`] for `0 < |x| < 1e-40`.
    pub fn parse_submission(text: &str) -> Result<Real, MathError> {
        Real::from_str(text)?.check_submission()
    }

    /// The window of [`Real::parse_submission`] for a number that arrived as bits.
    pub fn check_submission(self) -> Result<Real, MathError> {
        let magnitude = self.0.abs();
        if magnitude > SUBMISSION_MAX {
            return Err(MathError::TooLarge);
        }
        if magnitude != 0.0 && magnitude < SUBMISSION_MIN {
            return Err(MathError::TooSmall);
        }
        Ok(self)
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Real) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Real) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Real {
    /// The shortest text that reads back to the same bits; never longer than [`MAX_TEXT`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        if magnitude == 0.0 || (1e-5..1e16).contains(&magnitude) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

impl From<Real> for f64 {
    fn from(value: Real) -> f64 {
        value.0
    }
}

impl TryFrom<f64> for Real {
    type Error = MathError;

    fn try_from(value: f64) -> Result<Real, MathError> {
        Real::new(value)
    }
}

impl FromStr for Real {
    type Err = MathError;

    /// Decimal text: optional sign, digits with an optional point, optional exponent; at most [`MAX_TEXT`] bytes.
    /// Rounded to the nearest double. Errors: [`MathError::TooLong`], [`MathError::Syntax`],
    /// [`MathError::TooLarge`] beyond the doubles, [`MathError::TooSmall`] for a non-zero text that rounds to 0.
    fn from_str(text: &str) -> Result<Real, MathError> {
        if text.len() > MAX_TEXT {
            return Err(MathError::TooLong(MAX_TEXT));
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(MathError::Syntax);
        }
        if let Some(exponent) = exponent {
            let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if power.is_empty() || !digits(power) {
                return Err(MathError::Syntax);
            }
        }
        let value: f64 = text.parse().map_err(|_| MathError::Syntax)?;
        if !value.is_finite() {
            return Err(MathError::TooLarge);
        }
        let nonzero = mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
        if value == 0.0 && nonzero {
            return Err(MathError::TooSmall);
        }
        Real::new(value)
    }
}

impl BorshSerialize for Real {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.0.to_bits().to_le_bytes())
    }
}

impl BorshDeserialize for Real {
    /// Eight bytes, little endian. Refuses NaN, infinities and `-0`, so that a value has exactly one encoding.
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Real> {
        let mut bytes = [0u8; 8];
        reader.read_exact(&mut bytes)?;
        let value = f64::from_bits(u64::from_le_bytes(bytes));
        if !value.is_finite() || (value == 0.0 && value.is_sign_negative()) {
            return Err(Error::new(ErrorKind::InvalidData, "not a canonical finite number"));
        }
        Ok(Real(value))
    }
}

/// Wraps computed doubles, naming the quantity when one of them is not finite.
pub(crate) fn reals(values: &[f64], what: &'static str) -> Result<Vec<Real>, MathError> {
    values.iter().map(|&value| Real::named(value, what)).collect()
}

/// Elementary functions from the pinned library: the same bits on every machine. Arguments and results are plain
/// doubles; wrapping the result in a [`Real`] is what refuses NaN and infinities.
pub mod func {
    /// e^x.
    pub fn exp(x: f64) -> f64 {
        libm::exp(x)
    }
    /// 2^x.
    pub fn exp2(x: f64) -> f64 {
        libm::exp2(x)
    }
    /// e^x - 1, accurate near zero.
    pub fn exp_m1(x: f64) -> f64 {
        libm::expm1(x)
    }
    /// Natural logarithm.
    pub fn ln(x: f64) -> f64 {
        libm::log(x)
    }
    /// ln(1 + x), accurate near zero.
    pub fn ln_1p(x: f64) -> f64 {
        libm::log1p(x)
    }
    /// Logarithm to base 2.
    pub fn log2(x: f64) -> f64 {
        libm::log2(x)
    }
    /// Logarithm to base 10.
    pub fn log10(x: f64) -> f64 {
        libm::log10(x)
    }
    /// x^y.
    pub fn pow(x: f64, y: f64) -> f64 {
        libm::pow(x, y)
    }
    /// Square root (correctly rounded, as IEEE demands).
    pub fn sqrt(x: f64) -> f64 {
        libm::sqrt(x)
    }
    /// x^n by repeated squaring from the lowest bit: multiplications only, in an order that never changes.
    #[inline]
    pub fn powi(x: f64, n: u32) -> f64 {
        // The usual exponents without the loop, same products in the same order.
        let square = x * x;
        match n {
            4 => return square * square,
            8 => return (square * square) * (square * square),
            _ => {}
        }
        let (mut base, mut left, mut product) = (x, n, 1.0);
        while left > 0 {
            if left & 1 == 1 {
                product *= base;
            }
            left >>= 1;
            if left > 0 {
                base *= base;
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Function, arguments, bits. A change here changes every consensus number: it is a network upgrade.
    const GOLDEN: &[(&str, f64, f64, u64)] = &[
        ("exp", 0.0, 0.0, 0x3ff0_0000_0000_0000),
        ("exp", 1.0, 0.0, 0x4005_bf0a_8b14_576a),
        ("exp", -1.0, 0.0, 0x3fd7_8b56_362c_ef38),
        ("exp", 0.5, 0.0, 0x3ffa_6129_8e1e_069c),
        ("exp", -0.75, 0.0, 0x3fde_3b40_ebef_cd7e),
        ("exp", 10.0, 0.0, 0x40d5_829d_cf95_0560),
        ("exp", -30.5, 0.0, 0x3d2f_f386_4232_b407),
        ("exp", 700.0, 0.0, 0x7f0d_945d_f4f8_ec8e),
        ("exp", -745.0, 0.0, 0x0000_0000_0000_0001),
        ("exp", 1e-10, 0.0, 0x3ff0_0000_0006_df38),
        ("exp2", 0.5, 0.0, 0x3ff6_a09e_667f_3bcd),
        ("exp2", -3.25, 0.0, 0x3fba_e89f_995a_d3ad),
        ("exp2", 10.1, 0.0, 0x4091_25fb_ee25_0663),
        ("exp_m1", 1e-09, 0.0, 0x3e11_2e0b_e84b_bb51),
        ("exp_m1", -0.3, 0.0, 0xbfd0_966f_2c79_07f6),
        ("exp_m1", 2.5, 0.0, 0x4026_5d6f_d931_e0bb),
        ("ln", 2.0, 0.0, 0x3fe6_2e42_fefa_39ef),
        ("ln", 0.01, 0.0, 0xc012_6bb1_bbb5_5516),
        ("ln", 0.99, 0.0, 0xbf84_9545_3e6f_d4bc),
        ("ln", 10.0, 0.0, 0x4002_6bb1_bbb5_5516),
        ("ln", 1e-300, 0.0, 0xc085_9634_47f8_7fb5),
        ("ln", 1e+40, 0.0, 0x4057_069e_2aa2_aa5b),
        ("ln", 3.0, 0.0, 0x3ff1_93ea_7aad_030a),
        ("ln", 0.5, 0.0, 0xbfe6_2e42_fefa_39ef),
        ("ln_1p", 1e-12, 0.0, 0x3d71_9799_812d_e065),
        ("ln_1p", 0.3, 0.0, 0x3fd0_ca93_7be1_b9dc),
        ("ln_1p", -0.5, 0.0, 0xbfe6_2e42_fefa_39ef),
        ("ln_1p", 1000000.0, 0.0, 0x402b_a18a_bb1d_edc8),
        ("log2", 3.0, 0.0, 0x3ff9_5c01_a39f_bd68),
        ("log2", 0.1, 0.0, 0xc00a_934f_0979_a371),
        ("log10", 2.0, 0.0, 0x3fd3_4413_509f_79ff),
        ("log10", 0.001, 0.0, 0xc008_0000_0000_0000),
        ("log10", 1e-30, 0.0, 0xc03e_0000_0000_0000),
        ("log10", 7.5, 0.0, 0x3fec_0080_7a88_7100),
        ("log10", 1e+80, 0.0, 0x4054_0000_0000_0000),
        ("pow", 0.9, 0.25, 0x3fef_2b09_e7a2_8003),
        ("pow", 2.0, 0.5, 0x3ff6_a09e_667f_3bcd),
        ("pow", 10.0, -3.0, 0x3f50_624d_d2f1_a9fc),
        ("pow", 0.333, 7.0, 0x3f3d_c1cc_a388_c19b),
        ("pow", 1.5, 100.5, 0x439b_a410_4f64_1d8c),
        ("sqrt", 2.0, 0.0, 0x3ff6_a09e_667f_3bcd),
        ("sqrt", 0.3, 0.0, 0x3fe1_86f1_74f8_8472),
        ("sqrt", 1e-300, 0.0, 0x20ca_2fe7_6a3f_9475),
        ("powi", 0.7, 4.0, 0x3fce_bb98_c7e2_823e),
        ("powi", 0.7, 8.0, 0x3fad_840a_3b42_4b4f),
        ("powi", 1.1, 7.0, 0x3fff_2df1_fb5a_7ed7),
    ];

    fn apply(name: &str, x: f64, y: f64) -> f64 {
        match name {
            "exp" => func::exp(x),
            "exp2" => func::exp2(x),
            "exp_m1" => func::exp_m1(x),
            "ln" => func::ln(x),
            "ln_1p" => func::ln_1p(x),
            "log2" => func::log2(x),
            "log10" => func::log10(x),
            "pow" => func::pow(x, y),
            "sqrt" => func::sqrt(x),
            "powi" => func::powi(x, y as u32),
            other => panic!("{other} is not in the table's vocabulary"),
        }
    }

    #[test]
    fn elementary_functions_keep_their_bits() {
        assert!(GOLDEN.len() >= 40);
        for &(name, x, y, bits) in GOLDEN {
            assert_eq!(apply(name, x, y).to_bits(), bits, "{name}({x}, {y}) = {:e}", apply(name, x, y));
        }
    }

    #[test]
    fn only_plain_decimal_text_is_a_number() {
        for text in [
            "", "+", "-", ".", "e5", "1e", "1e+", "0x10", "inf", "-inf", "nan", "NaN", "infinity", "1_000",
            " 1", "1 ", "1.2.3", "--1", "1e5.0", "\u{661}",
        ] {
            assert_eq!(text.parse::<Real>(), Err(MathError::Syntax), "{text:?}");
        }
        assert_eq!("1e400".parse::<Real>(), Err(MathError::TooLarge));
        assert_eq!("-1e-400".parse::<Real>(), Err(MathError::TooSmall));
        assert_eq!("1".repeat(65).parse::<Real>(), Err(MathError::TooLong(64)));
        for (text, value) in [
            ("0", 0.0),
            ("-0.0e99999", 0.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-2E-3", -0.002),
            ("1e+2", 100.0),
        ] {
            assert_eq!(text.parse::<Real>().unwrap().get().to_bits(), f64::to_bits(value + 0.0), "{text}");
        }
    }

    #[test]
    fn submissions_keep_within_their_window() {
        assert_eq!(Real::parse_submission("1.0000001e40"), Err(MathError::TooLarge));
        assert_eq!(Real::parse_submission("-9e-41"), Err(MathError::TooSmall));
        for text in ["1e40", "-1e-40", "0", "123.456"] {
            assert!(Real::parse_submission(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn text_is_the_shortest_that_reads_back() {
        for (value, text) in [
            (0.1, "0.1"),
            (-3.0, "-3"),
            (1e40, "1e40"),
            (1.5e-7, "1.5e-7"),
            (0.0, "0"),
            (1e15, "1000000000000000"),
        ] {
            assert_eq!(Real::new(value).unwrap().to_string(), text);
        }
    }

    #[test]
    fn zero_has_one_representation_and_bytes_are_canonical() {
        assert_eq!(Real::new(-0.0).unwrap().get().to_bits(), 0);
        assert!(Real::new(f64::NAN).is_err() && Real::new(f64::INFINITY).is_err());
        for bad in [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(borsh::from_slice::<Real>(&bad.to_bits().to_le_bytes()).is_err());
        }
        assert!(Real::new(-1.0).unwrap() < Real::ZERO && Real::ZERO < Real::ONE);
    }
}
