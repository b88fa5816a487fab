//! Consensus of the validators about each miner: the highest weight that enough stake supports.
//! A stake-weighted median by partitioning; the sums are exact, so the order of the search does not matter.

use super::fixed::{Q32, normalize};
use super::sparse::Matrix;

/// Columns whose votes are gathered together.
const BLOCK: usize = 32;

/// For each of `columns` columns the highest weight supported by at least `kappa` of the stake of rows with positive
/// stake; an absent entry is a weight of zero. Without such rows every consensus is zero.
pub fn consensus(stake: &[Q32], weights: &Matrix, kappa: Q32, columns: usize) -> Vec<Q32> {
    let voters: Vec<usize> = (0..stake.len()).filter(|&row| stake[row] > Q32::ZERO).collect();
    let mut say: Vec<Q32> = voters.iter().map(|&row| stake[row]).collect();
    normalize(&mut say);
    let total = Q32::sum(say.iter().copied());
    let minority = total.minus(kappa);

    // Votes of a few columns at a time, so that they stay near: a row is written over many columns, each read at once.
    let room = voters.len() + 1;
    let mut votes = vec![(Q32::ZERO, Q32::ZERO); room * BLOCK.min(columns)];
    let mut cursors = vec![0; voters.len()];
    let mut found = Vec::with_capacity(columns);
    for first in (0..columns).step_by(BLOCK) {
        let end = (first + BLOCK).min(columns);
        let mut counts = [0; BLOCK];
        for ((&row, &say), cursor) in voters.iter().zip(&say).zip(&mut cursors) {
            let rest = &weights[row][*cursor..];
            let here = rest.iter().take_while(|(column, _)| usize::from(*column) < end);
            for &(column, weight) in here {
                let place = usize::from(column) - first;
                votes[place * room + counts[place]] = (weight, say);
                counts[place] += 1;
                *cursor += 1;
            }
        }
        for (votes, &count) in votes.chunks_mut(room).zip(&counts[..end - first]) {
            // Room for the stake that said nothing.
            let said = if count == voters.len() {
                &mut votes[..count]
            } else {
                let heard = Q32::sum(votes[..count].iter().map(|&(_, say)| say));
                votes[count] = (Q32::ZERO, total.minus(heard));
                &mut votes[..=count]
            };
            found.push(weighted_median(said, minority));
        }
    }
    found
}

/// The largest score with at most `minority` of the weight strictly below it, or the smallest score when there is
/// none; zero for no votes. A vote is (score, weight), weights not below zero. The list is used up.
pub fn weighted_median(votes: &mut [(Q32, Q32)], minority: Q32) -> Q32 {
    let (mut votes, mut below) = (votes, Q32::ZERO);
    loop {
        if votes.len() < 2 {
            return votes.first().map_or(Q32::ZERO, |&(score, _)| score);
        }
        let pivot = votes[votes.len() / 2].0;
        let (mut under, mut through, mut lower, mut higher) = (below, below, 0, 0);
        for &(score, weight) in votes.iter() {
            // Without branches: scores are in no order, a guess would be wrong half of the time.
            let (is_lower, is_higher) = (score < pivot, score > pivot);
            under = under.plus(if is_lower { weight } else { Q32::ZERO });
            through = through.plus(if is_higher { Q32::ZERO } else { weight });
            lower += usize::from(is_lower);
            higher += usize::from(is_higher);
        }
        if lower > 0 && under > minority {
            let kept = keep(votes, |score| score < pivot);
            votes = &mut votes[..kept];
        } else if higher > 0 && through <= minority {
            let kept = keep(votes, |score| score > pivot);
            (votes, below) = (&mut votes[..kept], through);
        } else {
            return pivot;
        }
    }
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
