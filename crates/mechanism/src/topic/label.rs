//! Labels of an epoch as numbers: which of them anybody used, and whether a submission sums to one.
//! The pure half of the topic specification, section 1.5; names, canonical forms and registries live with the chain.

use crate::error::MathError;
use crate::real::Real;

/// An epoch's labels once its window has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The labels that stay, as places in the registry of the window, ascending.
    pub kept: Vec<usize>,
    /// One column per label that stays, each with one value per vector given.
    pub columns: Vec<Vec<Real>>,
}

/// Freezes the labels of an epoch. `vectors` are the active inferers' submissions, sorted by address, each in the
/// order of the window's registry of `labels` labels; one that was stored before the registry had grown to that size
/// is padded with `default`. A label stays where at least one value is not the default.
/// Errors: [`MathError::Length`] for a vector longer than the registry, [`MathError::Empty`] when no label stays.
pub fn freeze(vectors: &[Vec<Real>], labels: usize, default: Real) -> Result<Frozen, MathError> {
    if let Some(long) = vectors.iter().find(|vector| vector.len() > labels) {
        return Err(MathError::Length { what: "labels", expected: labels, actual: long.len() });
    }
    let at = |vector: &Vec<Real>, label: usize| vector.get(label).copied().unwrap_or(default);
    let used = |&label: &usize| vectors.iter().any(|vector| at(vector, label) != default);
    let kept: Vec<usize> = (0..labels).filter(used).collect();
    if kept.is_empty() {
        return Err(MathError::Empty("label registry"));
    }
    let column = |&label: &usize| vectors.iter().map(|vector| at(vector, label)).collect();
    Ok(Frozen { columns: kept.iter().map(column).collect(), kept })
}

/// Whether a submission's values sum to 1 within `tolerance`. Errors: [`MathError::OutOfRange`] where they do not.
pub fn check_unity(values: &[Real], tolerance: Real) -> Result<(), MathError> {
    let sum: f64 = values.iter().map(|value| value.get()).sum();
    // A sum beyond the doubles is far from 1 as well.
    if (sum - 1.0).abs() <= tolerance.get() { Ok(()) } else { Err(MathError::OutOfRange("sum of labels")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reals(values: &[f64]) -> Vec<Real> {
        values.iter().map(|&value| Real::new(value).unwrap()).collect()
    }

    #[test]
    fn labels_nobody_used_go_and_short_vectors_are_padded() {
        let vectors = [reals(&[0.4]), reals(&[0.0, 0.0, 0.3]), reals(&[0.1, 0.0, 0.0, 0.0])];
        let frozen = freeze(&vectors, 5, Real::ZERO).unwrap();
        assert_eq!(frozen.kept, [0, 2]);
        assert_eq!(frozen.columns, [reals(&[0.4, 0.0, 0.1]), reals(&[0.0, 0.3, 0.0])]);
        let other = freeze(&[reals(&[7.0, 0.0]), reals(&[7.0])], 2, Real::literal(7.0)).unwrap();
        assert_eq!((other.kept, other.columns), (vec![1], vec![reals(&[0.0, 7.0])]));
    }

    #[test]
    fn an_epoch_without_labels_or_with_too_many_is_an_error() {
        let empty = Err(MathError::Empty("label registry"));
        assert_eq!(freeze(&[reals(&[0.0])], 3, Real::ZERO), empty);
        assert_eq!(freeze(&[], 3, Real::ZERO), empty);
        let long = freeze(&[reals(&[1.0, 2.0])], 1, Real::ZERO);
        assert_eq!(long, Err(MathError::Length { what: "labels", expected: 1, actual: 2 }));
    }

    #[test]
    fn unity_is_asked_for_within_the_tolerance() {
        let tolerance = Real::literal(0.01);
        assert_eq!(check_unity(&reals(&[0.5, 0.25, 0.25]), Real::ZERO), Ok(()));
        assert_eq!(check_unity(&reals(&[0.5, 0.505]), tolerance), Ok(()));
        for values in [&[0.5, 0.52][..], &[], &[f64::MAX, f64::MAX]] {
            assert_eq!(check_unity(&reals(values), tolerance), Err(MathError::OutOfRange("sum of labels")));
        }
    }
}
