//! Consensus of the validators about each miner: the highest weight that enough stake supports, and what is left of
//! the weights within it. A stake-weighted median by halving; the sums are exact, so the way of the search does not
//! matter.

use super::fixed::{Q32, normalize};
use super::sparse::{Rows, clipped};
use std::array;
use std::hint::select_unpredictable;

/// Columns whose votes are gathered together.
const BLOCK: usize = 16;

/// Votes that are sorted rather than halved.
const FEW: usize = 8;

/// For each of `columns` columns the highest weight supported by at least `kappa` of the stake of rows with positive
/// stake; an absent entry is a weight of zero. Without such rows every consensus is zero.
pub fn consensus(
    stake: &[Q32],
    weights: &[impl AsRef<[(u16, Q32)]>],
    kappa: Q32,
    columns: usize,
) -> Vec<Q32> {
    let (voters, mut say): (Vec<_>, Vec<_>) = weights
        .iter()
        .zip(stake)
        .filter(|&(_, &stake)| stake > Q32::ZERO)
        .map(|(row, &stake)| (row.as_ref(), stake))
        .unzip();
    normalize(&mut say);
    let total = Q32::sum(say.iter().copied());
    let minority = total.minus(kappa);

    // Votes of a few columns at a time, so that they stay near: a row is written over many columns, each read at once.
    // In each there is room for the stake that said nothing.
    let room = voters.len() + 1;
    let mut votes = vec![(Q32::ZERO, Q32::ZERO); room * BLOCK.min(columns)];
    let mut unread = voters;
    let mut found = Vec::with_capacity(columns);
    for first in (0..columns).step_by(BLOCK) {
        let end = (first + BLOCK).min(columns);
        // Where the next vote about each column goes.
        let mut next: [usize; BLOCK] = array::from_fn(|place| place * room);
        for (unread, &say) in unread.iter_mut().zip(&say) {
            while let &[(column, weight), ref rest @ ..] = *unread
                && usize::from(column) < end
            {
                let place = usize::from(column) - first;
                votes[next[place]] = (weight, say);
                next[place] += 1;
                *unread = rest;
            }
        }
        for (place, next) in next.into_iter().enumerate().take(end - first) {
            let start = place * room;
            let all_spoke = next - start == say.len();
            if !all_spoke {
                let heard = Q32::sum(votes[start..next].iter().map(|&(_, say)| say));
                votes[next] = (Q32::ZERO, total.minus(heard));
            }
            let votes = &mut votes[start..next + usize::from(!all_spoke)];
            found.push(weighted_median(votes, minority));
        }
    }
    found
}

/// The largest score with at most `minority` of the weight strictly below it, or the smallest score when there is
/// none; zero for no votes. A vote is (score, weight), weights not below zero. The list is used up.
pub fn weighted_median(votes: &mut [(Q32, Q32)], minority: Q32) -> Q32 {
    let (mut votes, mut below) = (votes, Q32::ZERO);
    while votes.len() > FEW {
        // Any pivot leads to the same score; the mean is near the middle, whatever the scores are.
        let pivot = mean(votes);
        let (mut lower, mut through) = (0, below);
        for &(score, weight) in votes.iter() {
            // Without branches, here and below: scores are in no order, a guess would be wrong half of the time.
            let is_lower = score <= pivot;
            lower += usize::from(is_lower);
            through = through.plus(select_unpredictable(is_lower, weight, Q32::ZERO));
        }
        if lower == 0 || lower == votes.len() {
            break;
        }
        if through <= minority {
            let kept = keep(votes, |score| score > pivot);
            (votes, below) = (&mut votes[..kept], through);
        } else {
            let kept = keep(votes, |score| score <= pivot);
            votes = &mut votes[..kept];
        }
    }
    votes.sort_unstable_by_key(|&(score, _)| score);
    let mut found = votes.first().map_or(Q32::ZERO, |&(score, _)| score);
    for &(score, weight) in votes.iter() {
        if below > minority {
            break;
        }
        found = score;
        below = below.plus(weight);
    }
    found
}

/// About the mean score: that of scores which are fractions, for others some number.
fn mean(votes: &[(Q32, Q32)]) -> Q32 {
    let sum = votes.iter().fold(0i64, |sum, &(score, _)| sum.wrapping_add(score.bits()));
    Q32::from_bits(sum.div_euclid(votes.len() as i64))
}

/// Moves the votes that are wanted to the front; answers how many there are.
fn keep(votes: &mut [(Q32, Q32)], wanted: impl Fn(Q32) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..votes.len() {
        let vote = votes[at];
        votes[kept] = vote;
        kept += usize::from(wanted(vote.0));
    }
    kept
}

/// What weights within a consensus come to.
pub struct Agreed {
    /// How much of every row is within.
    pub trust: Vec<Q32>,
    /// For every column the sum of what is within, each times the factor of its row.
    pub ranks: Vec<Q32>,
}

/// Clips weights to a consensus and adds them up, rows being worth their `factors`.
pub fn agreed(weights: &Rows, consensus: &[Q32], factors: &[Q32]) -> Agreed {
    let mut ranks = vec![Q32::ZERO; consensus.len()];
    let mut trust = Vec::with_capacity(factors.len());
    for (row, &factor) in weights.iter().zip(factors) {
        let (mut sum, ranks) = (Q32::ZERO, &mut ranks[..consensus.len()]);
        for &(column, weight) in row {
            let column = usize::from(column);
            if let Some(weight) = clipped(weight, consensus[column]) {
                sum = sum.plus(weight);
                ranks[column] = ranks[column].plus(factor.times(weight));
            }
        }
        trust.push(sum);
    }
    Agreed { trust, ranks }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is defined, without a search.
    fn plain_median(votes: &[(Q32, Q32)], minority: Q32) -> Q32 {
        let below = |level| Q32::sum(votes.iter().filter(|vote| vote.0 < level).map(|vote| vote.1));
        let supported = votes.iter().map(|vote| vote.0).filter(|&score| below(score) <= minority);
        supported.max().or(votes.iter().map(|vote| vote.0).min()).unwrap_or(Q32::ZERO)
    }

    #[test]
    fn the_search_finds_what_the_definition_says_for_any_numbers() {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        for round in 0..20_000 {
            let (count, kind) = (draw() % 80, draw() % 4);
            let mut vote = || {
                let score = match kind {
                    0 => draw() as i64, // sums of these overflow
                    1 => (draw() % 5) as i64,
                    2 => 1 << (draw() % 33), // the mean is far from the middle
                    _ => (draw() >> 32) as i64,
                };
                (Q32::from_bits(score), Q32::from_bits((draw() % 3 * (draw() >> 40)) as i64))
            };
            let mut votes: Vec<(Q32, Q32)> = (0..count).map(|_| vote()).collect();
            let total = Q32::sum(votes.iter().map(|vote| vote.1)).bits();
            for minority in [-1, 0, total / 3, total / 2, total].map(Q32::from_bits) {
                let expected = plain_median(&votes, minority);
                assert_eq!(weighted_median(&mut votes.clone(), minority), expected, "{round}");
            }
            votes.clear();
            assert_eq!(weighted_median(&mut votes, Q32::ZERO), Q32::ZERO);
        }
    }
}
