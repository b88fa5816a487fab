//! Consensus of the validators about each miner: the highest weight that enough stake supports.
//! A stake-weighted median by partitioning; the sums are exact, so the order of the search does not matter.

use super::fixed::{Q32, normalize};
use super::sparse::Matrix;

/// For each of `columns` columns the highest weight supported by at least `kappa` of the stake of rows with positive
/// stake; an absent entry is a weight of zero. Without such rows every consensus is zero.
pub fn consensus(stake: &[Q32], weights: &Matrix, kappa: Q32, columns: usize) -> Vec<Q32> {
    let voters: Vec<usize> = (0..stake.len()).filter(|&row| stake[row] > Q32::ZERO).collect();
    let mut say: Vec<Q32> = voters.iter().map(|&row| stake[row]).collect();
    normalize(&mut say);
    let total = Q32::sum(say.iter().copied());
    let minority = total.minus(kappa);

    let mut votes: Vec<Vec<(Q32, Q32)>> = vec![Vec::new(); columns];
    for (&row, &say) in voters.iter().zip(&say) {
        for &(column, weight) in &weights[row] {
            votes[usize::from(column)].push((weight, say));
        }
    }
    let column = |mut votes: Vec<(Q32, Q32)>| {
        if votes.len() < voters.len() {
            let heard = Q32::sum(votes.iter().map(|&(_, say)| say));
            votes.push((Q32::ZERO, total.minus(heard)));
        }
        weighted_median(&mut votes, minority)
    };
    votes.into_iter().map(column).collect()
}

/// The largest score with at most `minority` of the weight strictly below it, or the smallest score when there is
/// none; zero for no votes. A vote is (score, weight); their order is changed.
pub fn weighted_median(votes: &mut [(Q32, Q32)], minority: Q32) -> Q32 {
    let (mut votes, mut below) = (votes, Q32::ZERO);
    loop {
        if votes.len() < 2 {
            return votes.first().map_or(Q32::ZERO, |&(score, _)| score);
        }
        let pivot = votes[votes.len() / 2].0;
        let (lower, equal) = partition(votes, pivot);
        let weight = |votes: &[(Q32, Q32)]| Q32::sum(votes.iter().map(|&(_, weight)| weight));
        let under = below.plus(weight(&votes[..lower]));
        let through = under.plus(weight(&votes[lower..equal]));
        if lower > 0 && under > minority {
            votes = &mut votes[..lower];
        } else if equal < votes.len() && through <= minority {
            (votes, below) = (&mut votes[equal..], through);
        } else {
            return pivot;
        }
    }
}

/// Orders votes as lower, equal, higher than `pivot`; answers where the equal ones begin and end.
fn partition(votes: &mut [(Q32, Q32)], pivot: Q32) -> (usize, usize) {
    let (mut lower, mut next, mut upper) = (0, 0, votes.len());
    while next < upper {
        match votes[next].0.cmp(&pivot) {
            std::cmp::Ordering::Less => {
                votes.swap(lower, next);
                lower += 1;
                next += 1;
            }
            std::cmp::Ordering::Equal => next += 1,
            std::cmp::Ordering::Greater => {
                upper -= 1;
                votes.swap(next, upper);
            }
        }
    }
    (lower, upper)
}
