//! Weights as validators send them: what is accepted and in which form it is stored.

use super::fixed::Q32;
use super::sparse::StoredRow;

/// Scales values so that the largest becomes 65535, to the nearest; all zeros stay.
pub fn upscaled(values: &[u16]) -> Vec<u16> {
    let values: Vec<Q32> = values.iter().map(|&value| Q32::from_int(i64::from(value))).collect();
    upscaled_fractions(&values)
}

/// [`upscaled`] for any numbers. Above 32768 the factor is rounded before it is multiplied, which changes the last
/// unit: as in the reference, whose stored rows it is to equal.
pub fn upscaled_fractions(values: &[Q32]) -> Vec<u16> {
    let full = Q32::from_int(i64::from(u16::MAX));
    let largest = values.iter().copied().max().unwrap_or(Q32::ZERO);
    let scale = |&value: &Q32| match largest {
        largest if largest <= Q32::ZERO => Q32::ZERO,
        largest if largest > Q32::from_int(32_768) => value.times(full.over(largest)),
        largest => value.times(full).over(largest),
    };
    let nearest = |value: Q32| u16::try_from(value.plus(Q32::HALF).floor()).unwrap_or(u16::MAX);
    values.iter().map(|value| nearest(scale(value))).collect()
}

/// Whether no value exceeds `limit` (in 1/65535) of the sum of all; without a sum the limit does not bind.
pub fn within_limit(values: &[u16], limit: u16) -> bool {
    let largest = values.iter().copied().max().unwrap_or(0);
    let sum: u64 = values.iter().copied().map(u64::from).sum();
    limit == u16::MAX || sum == 0 || Q32::ratio(u64::from(largest), sum) <= Q32::from_fraction(limit)
}

/// Whether a row is long enough: `min` entries or one per member, or nothing but the sender itself.
pub fn long_enough(uid: u16, uids: &[u16], members: usize, min: usize) -> bool {
    uids == [uid] || uids.len() >= min.min(members)
}

/// Whether enough blocks have passed since the last weights; the first ones are always in time.
pub fn in_time(now: u64, last: u64, limit: u64) -> bool {
    last == 0 || now.saturating_sub(last) >= limit
}

/// Whether the sender's software is new enough: version 0 says nothing about itself.
pub fn version_accepted(version: u64, required: u64) -> bool {
    version == 0 || version >= required
}

/// The row to store for (uid, value) pairs: scaled, by uid. `None` when a uid is named twice or is no member.
pub fn stored_row(uids: &[u16], values: &[u16], members: usize) -> Option<StoredRow> {
    let mut row: StoredRow = uids.iter().copied().zip(upscaled(values)).collect();
    row.sort_unstable_by_key(|&(uid, _)| uid);
    let valid = uids.len() == values.len()
        && row.iter().all(|&(uid, _)| usize::from(uid) < members)
        && row.windows(2).all(|pair| pair[0].0 != pair[1].0);
    valid.then_some(row)
}
