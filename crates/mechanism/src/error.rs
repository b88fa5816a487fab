//! The one error of this crate: why a formula has no answer for these inputs.
//! Every variant names the input at fault, so that a caller can refuse the payload it came from.

use thiserror::Error;

/// Why a number could not be computed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MathError {
    /// A result or an input is NaN or infinite.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// There is nothing to compute on: an empty set, or only zero weights.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// Two slices that describe the same members have different lengths.
    #[error("{what}: expected {expected} entries, got {actual}")]
    Length {
        /// The slice at fault.
        what: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        actual: usize,
    },
    /// A parameter or value is outside its documented range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// An index points at no member.
    #[error("{what}: index {index} names no member")]
    Index {
        /// The list at fault.
        what: &'static str,
        /// The index that names nobody.
        index: usize,
    },
    /// A list that must be strictly ascending is not.
    #[error("{0} is not sorted in strictly ascending order")]
    Unsorted(&'static str),
    /// An integer result does not fit its type.
    #[error("{0} overflows")]
    Overflow(&'static str),
    /// A division by zero.
    #[error("division by zero in {0}")]
    DivideByZero(&'static str),
    /// The text is not a decimal number.
    #[error("not a decimal number")]
    Syntax,
    /// The text is longer than a number may be.
    #[error("a number has at most {0} characters")]
    TooLong(usize),
    /// The magnitude is above what a double, or a submission, may hold.
    #[error("the number is too large")]
    TooLarge,
    /// The number is not zero, but its magnitude is below what a double, or a submission, may hold.
    #[error("the number is too close to zero")]
    TooSmall,
    /// Every class is denied by half of the reputers' say or more.
    #[error("the reputers do not agree on a class")]
    Disagreement,
}
