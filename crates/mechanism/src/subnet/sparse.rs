//! Sparse matrices of the epoch: rows of (column, value), columns ascending. Only what is stored costs time.
//! An explicit zero and an absent entry are different things here: some rules keep the first and lose the second.

use std::borrow::Cow;

use super::fixed::{Divisor, Q32};

/// A row as a validator stores it: (uid, weight or bond), uids strictly ascending.
pub type StoredRow = Vec<(u16, u16)>;

/// Rows of (column, value), columns strictly ascending in each row.
pub type Matrix = Vec<Vec<(u16, Q32)>>;

/// The sum of every row.
pub fn row_sums(matrix: &Matrix) -> Vec<Q32> {
    matrix.iter().map(|row| Q32::sum(row.iter().map(|&(_, value)| value))).collect()
}

/// The sum of every one of `columns` columns.
pub fn column_sums(matrix: &Matrix, columns: usize) -> Vec<Q32> {
    let mut sums = vec![Q32::ZERO; columns];
    for &(column, value) in matrix.iter().flatten() {
        sums[usize::from(column)] = sums[usize::from(column)].plus(value);
    }
    sums
}

/// Scales every row to the sum one; a row without a positive sum stays.
pub fn normalize_rows(matrix: &mut Matrix) {
    for row in matrix {
        let sum = Q32::sum(row.iter().map(|&(_, value)| value));
        if sum > Q32::ZERO {
            let sum = Divisor::new(sum);
            row.iter_mut().for_each(|(_, value)| *value = sum.under(*value));
        }
    }
}

/// Scales every column to the sum one; a column that sums to zero stays.
pub fn normalize_columns(matrix: &mut Matrix, columns: usize) {
    let sums = column_sums(matrix, columns);
    divide_columns(matrix, &sums);
}

/// Scales every column so that its largest entry is one; a column without a positive entry stays.
pub fn upscale_columns(matrix: &mut Matrix, columns: usize) {
    let mut largest = vec![Q32::ZERO; columns];
    for &(column, value) in matrix.iter().flatten() {
        largest[usize::from(column)] = largest[usize::from(column)].max(value);
    }
    divide_columns(matrix, &largest);
}

/// Divides every column by its divisor; a zero divisor leaves the column alone.
pub fn divide_columns(matrix: &mut Matrix, divisors: &[Q32]) {
    let divisors = column_divisors(divisors);
    for (column, value) in matrix.iter_mut().flatten() {
        *value = divided(*value, &divisors[usize::from(*column)]);
    }
}

/// Divisors of columns, prepared once.
pub fn column_divisors(by: &[Q32]) -> Vec<Divisor> {
    by.iter().copied().map(Divisor::new).collect()
}

/// A column's entry over its divisor; over zero it stays.
#[inline]
pub fn divided(value: Q32, by: &Divisor) -> Q32 {
    if by.is_zero() { value } else { by.under(value) }
}

/// Multiplies every row by its factor.
pub fn scale_rows(matrix: &Matrix, factors: &[Q32]) -> Matrix {
    let scale = |(row, &factor): (&Vec<(u16, Q32)>, &Q32)| {
        row.iter().map(|&(column, value)| (column, value.times(factor))).collect()
    };
    matrix.iter().zip(factors).map(scale).collect()
}

/// For every column the sum of its entries, each times the factor of its row.
pub fn weigh_rows(matrix: &Matrix, factors: &[Q32], columns: usize) -> Vec<Q32> {
    let mut sums = vec![Q32::ZERO; columns];
    for (row, &factor) in matrix.iter().zip(factors) {
        for &(column, value) in row {
            let sum = &mut sums[usize::from(column)];
            *sum = sum.plus(factor.times(value));
        }
    }
    sums
}

/// For every row the sum of its entries, each times the factor of its column.
pub fn weigh_columns(matrix: &Matrix, factors: &[Q32]) -> Vec<Q32> {
    let row = |row: &Vec<(u16, Q32)>| {
        Q32::sum(row.iter().map(|&(column, value)| value.times(factors[usize::from(column)])))
    };
    matrix.iter().map(row).collect()
}

/// Entries above their column's limit become the limit; where the limit is zero they disappear.
pub fn clip_columns(matrix: &Matrix, limits: &[Q32]) -> Matrix {
    let clip = |&(column, value): &(u16, Q32)| match limits[usize::from(column)] {
        limit if value <= limit => Some((column, value)),
        limit if limit > Q32::ZERO => Some((column, limit)),
        _ => None,
    };
    let row = |row: &Vec<(u16, Q32)>| {
        let mut kept = Vec::with_capacity(row.len());
        kept.extend(row.iter().filter_map(clip));
        kept
    };
    matrix.iter().map(row).collect()
}

/// Weights within a consensus, and what follows from them.
pub struct Agreed {
    /// As [`clip_columns`] gives them.
    pub weights: Matrix,
    /// Their row sums.
    pub trust: Vec<Q32>,
    /// For every column the sum of its entries, each times the factor of its row.
    pub ranks: Vec<Q32>,
}

/// [`clip_columns`], [`row_sums`] and [`weigh_rows`] in one pass.
pub fn agreed(matrix: &Matrix, limits: &[Q32], factors: &[Q32]) -> Agreed {
    let mut ranks = vec![Q32::ZERO; limits.len()];
    let mut trust = Vec::with_capacity(matrix.len());
    let mut weights = Vec::with_capacity(matrix.len());
    for (row, &factor) in matrix.iter().zip(factors) {
        let (mut kept, mut sum) = (Vec::with_capacity(row.len()), Q32::ZERO);
        for &(column, value) in row {
            let limit = limits[usize::from(column)];
            // In this order: a consensus of nothing is rare, and weights above theirs are in no order.
            if limit <= Q32::ZERO && value > limit {
                continue;
            }
            let value = value.min(limit);
            kept.push((column, value));
            sum = sum.plus(value);
            let rank = &mut ranks[usize::from(column)];
            *rank = rank.plus(factor.times(value));
        }
        weights.push(kept);
        trust.push(sum);
    }
    Agreed { weights, trust, ranks }
}

/// From `from` (ratio 0) to `to` (ratio 1), entry by entry; in between, entries at or below zero disappear, at the
/// ends the matrix is taken as it is.
pub fn interpolate<'a>(from: &'a Matrix, to: &'a Matrix, ratio: Q32) -> Cow<'a, Matrix> {
    match ratio {
        Q32::ZERO => Cow::Borrowed(from),
        Q32::ONE => Cow::Borrowed(to),
        _ => Cow::Owned(merge(from, to, |from, to| from.plus(ratio.times(to.minus(from))))),
    }
}

/// `alpha new + (1 - alpha) old`; entries at or below zero disappear.
pub fn moving_average(new: &Matrix, old: &Matrix, alpha: Q32) -> Matrix {
    let rest = Q32::ONE.minus(alpha);
    merge(new, old, |new, old| alpha.times(new).plus(rest.times(old)))
}

/// Both matrices entry by entry, an absent one being zero; results at or below zero are left out.
fn merge(left: &Matrix, right: &Matrix, rule: impl Fn(Q32, Q32) -> Q32) -> Matrix {
    let rule =
        |_, left: Option<Q32>, right: Option<Q32>| rule(left.unwrap_or_default(), right.unwrap_or_default());
    left.iter().zip(right).map(|(left, right)| merge_rows(left, right, rule)).collect()
}

/// The same of two rows, whose entries the rule reads as it likes.
pub fn merge_rows<A: Copy, B: Copy>(
    left: &[(u16, A)],
    right: &[(u16, B)],
    mut rule: impl FnMut(u16, Option<A>, Option<B>) -> Q32,
) -> Vec<(u16, Q32)> {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let mut keep = |column, left, right| {
        let value = rule(column, left, right);
        if value > Q32::ZERO {
            merged.push((column, value));
        }
    };
    // Most validators weigh the miners of whom they hold bonds, and no others.
    let alike = left.iter().zip(right).take_while(|(a, b)| a.0 == b.0).count();
    for (&(column, a), &(_, b)) in left.iter().zip(right).take(alike) {
        keep(column, Some(a), Some(b));
    }
    let (mut left, mut right) = (left[alike..].iter().peekable(), right[alike..].iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(&&(i, a)), Some(&&(j, b))) if i == j => {
                left.next();
                right.next();
                keep(i, Some(a), Some(b));
            }
            (Some(&&(i, a)), other) if other.is_none_or(|&&(j, _)| i < j) => {
                left.next();
                keep(i, Some(a), None);
            }
            (_, Some(&&(j, b))) => {
                right.next();
                keep(j, None, Some(b));
            }
            _ => return merged,
        }
    }
}
