//! Sparse matrices of the epoch: rows of (column, value), columns ascending. Only what is stored costs time.
//! An explicit zero and an absent entry are different things here: some rules keep the first and lose the second.

use super::fixed::{Divisor, Q32};
use std::borrow::Cow;
use std::ops::Index;

/// A row as a validator stores it: (uid, weight or bond), uids strictly ascending.
pub type StoredRow = Vec<(u16, u16)>;

/// Rows of (column, value), columns strictly ascending in each row.
pub type Matrix = Vec<Vec<(u16, Q32)>>;

/// What a [`Matrix`] says, in one piece of memory: an epoch reads it row after row, several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    entries: Vec<(u16, Q32)>,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl Rows {
    /// No rows yet, with room for `rows` of `entries` together.
    pub fn with_capacity(rows: usize, entries: usize) -> Rows {
        Rows { entries: Vec::with_capacity(entries), ends: Vec::with_capacity(rows) }
    }

    /// Appends a row, columns strictly ascending.
    pub fn push(&mut self, row: impl Iterator<Item = (u16, Q32)>) {
        self.entries.extend(row);
        self.ends.push(self.entries.len());
    }

    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &[(u16, Q32)]> {
        (0..self.ends.len()).map(|row| &self[row])
    }
}

impl Index<usize> for Rows {
    type Output = [(u16, Q32)];

    fn index(&self, row: usize) -> &[(u16, Q32)] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[start..self.ends[row]]
    }
}

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
    let divisors = column_divisors(divisors.iter().copied());
    for (column, value) in matrix.iter_mut().flatten() {
        *value = divisors[usize::from(*column)].under_or_itself(*value);
    }
}

/// Divisors of columns, prepared once.
pub fn column_divisors(by: impl IntoIterator<Item = Q32>) -> Vec<Divisor> {
    by.into_iter().map(Divisor::new).collect()
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
    let clip = |&(column, value): &(u16, Q32)| Some((column, clipped(value, limits[usize::from(column)])?));
    let row = |row: &Vec<(u16, Q32)>| {
        let mut kept = Vec::with_capacity(row.len());
        kept.extend(row.iter().filter_map(clip));
        kept
    };
    matrix.iter().map(row).collect()
}

/// An entry within its column's limit.
#[inline]
pub fn clipped(value: Q32, limit: Q32) -> Option<Q32> {
    // A limit of nothing is rare, but entries above theirs are in no order: only the first is worth a guess.
    if limit <= Q32::ZERO {
        return Some(value).filter(|&value| value <= limit);
    }
    Some(value.min(limit))
}

/// From `from` (ratio 0) to `to` (ratio 1), entry by entry; in between, entries at or below zero disappear, at the
/// ends the matrix is taken as it is.
pub fn interpolate<'a>(from: &'a Matrix, to: &'a Matrix, ratio: Q32) -> Cow<'a, Matrix> {
    match ratio {
        Q32::ZERO => Cow::Borrowed(from),
        Q32::ONE => Cow::Borrowed(to),
        _ => Cow::Owned(merge(from, to, |from, to| between(from, to, ratio))),
    }
}

/// The number that is `ratio` of the way.
#[inline]
pub fn between(from: Q32, to: Q32, ratio: Q32) -> Q32 {
    from.plus(ratio.times(to.minus(from)))
}

/// `alpha new + (1 - alpha) old`; entries at or below zero disappear.
pub fn moving_average(new: &Matrix, old: &Matrix, alpha: Q32) -> Matrix {
    let rest = Q32::ONE.minus(alpha);
    merge(new, old, |new, old| alpha.times(new).plus(rest.times(old)))
}

/// Both matrices entry by entry, an absent one being zero; results at or below zero are left out.
fn merge(left: &Matrix, right: &Matrix, rule: impl Fn(Q32, Q32) -> Q32) -> Matrix {
    type Row = Vec<(u16, Q32)>;
    let row = |(left, right): (&Row, &Row)| {
        let rule = |(column, left, right): (u16, Option<Q32>, Option<Q32>)| {
            (column, rule(left.unwrap_or_default(), right.unwrap_or_default()))
        };
        merged(left, right).map(rule).filter(|&(_, value)| value > Q32::ZERO).collect()
    };
    left.iter().zip(right).map(row).collect()
}

/// The columns of two rows, ascending, with what each row has there.
#[inline]
pub fn merged<'a, A: Copy, B: Copy>(
    mut left: &'a [(u16, A)],
    mut right: &'a [(u16, B)],
) -> impl Iterator<Item = (u16, Option<A>, Option<B>)> + use<'a, A, B> {
    std::iter::from_fn(move || match (left, right) {
        // Most validators weigh the miners of whom they hold bonds, and no others.
        (&[(i, a), ref l @ ..], &[(j, b), ref r @ ..]) if i == j => {
            (left, right) = (l, r);
            Some((i, Some(a), Some(b)))
        }
        (&[(i, a), ref l @ ..], other) if other.first().is_none_or(|&(j, _)| i < j) => {
            left = l;
            Some((i, Some(a), None))
        }
        (_, &[(j, b), ref r @ ..]) => {
            right = r;
            Some((j, None, Some(b)))
        }
        _ => None,
    })
}
