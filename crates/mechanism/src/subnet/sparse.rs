//! Sparse matrices of the epoch: rows of (column, value), columns ascending. Only what is stored costs time.
//! An explicit zero and an absent entry are different things here: some rules keep the first and lose the second.

use super::fixed::Q32;

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
            row.iter_mut().for_each(|(_, value)| *value = value.over(sum));
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
fn divide_columns(matrix: &mut Matrix, divisors: &[Q32]) {
    for (column, value) in matrix.iter_mut().flatten() {
        let divisor = divisors[usize::from(*column)];
        if divisor != Q32::ZERO {
            *value = value.over(divisor);
        }
    }
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
    matrix.iter().map(|row| row.iter().filter_map(clip).collect()).collect()
}

/// From `from` (ratio 0) to `to` (ratio 1), entry by entry; in between, entries at or below zero disappear, at the
/// ends the matrix is taken as it is.
pub fn interpolate(from: &Matrix, to: &Matrix, ratio: Q32) -> Matrix {
    if ratio == Q32::ZERO {
        return from.clone();
    }
    if ratio == Q32::ONE {
        return to.clone();
    }
    merge(from, to, |from, to| from.plus(ratio.times(to.minus(from))))
}

/// `alpha new + (1 - alpha) old`; entries at or below zero disappear.
pub fn moving_average(new: &Matrix, old: &Matrix, alpha: Q32) -> Matrix {
    let rest = Q32::ONE.minus(alpha);
    merge(new, old, |new, old| alpha.times(new).plus(rest.times(old)))
}

/// Both matrices entry by entry, an absent one being zero; results at or below zero are left out.
fn merge(left: &Matrix, right: &Matrix, rule: impl Fn(Q32, Q32) -> Q32) -> Matrix {
    left.iter().zip(right).map(|(left, right)| merge_rows(left, right, &rule)).collect()
}

fn merge_rows(left: &[(u16, Q32)], right: &[(u16, Q32)], rule: impl Fn(Q32, Q32) -> Q32) -> Vec<(u16, Q32)> {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let (column, a, b) = match (left.peek(), right.peek()) {
            (Some(&&(i, a)), Some(&&(j, b))) if i == j => {
                left.next();
                right.next();
                (i, a, b)
            }
            (Some(&&(i, a)), other) if other.is_none_or(|&&(j, _)| i < j) => {
                left.next();
                (i, a, Q32::ZERO)
            }
            (_, Some(&&(j, b))) => {
                right.next();
                (j, Q32::ZERO, b)
            }
            _ => return merged,
        };
        let value = rule(a, b);
        if value > Q32::ZERO {
            merged.push((column, value));
        }
    }
}
