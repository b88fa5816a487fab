//! Truth mode: reputers report what happened, and the chain agrees on one value.
//! Our own choice, not the reference's: a weighted median no single stake can own, and scores by distance to it.

use crate::error::MathError;
use crate::real::Real;
use crate::stats;
use crate::topic::power::redistribute;

/// Default largest part of the say one reputer can have.
pub const STAKE_CAP: f64 = 0.34;
/// A report this close to the truth, relative to the truth, is as good as exact: decimal digits are not an offence.
pub const RELATIVE_TOLERANCE: f64 = 1e-9;

/// What the reputers' reports amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthConsensus {
    /// The agreed truth: always one of the reported values.
    pub value: Real,
    /// One score per report, in (0, 1] next to the truth and towards 0 far from it.
    pub scores: Vec<Real>,
}

/// Agrees on a truth from `reports` of (stake, value), sorted by address.
///
/// The value is the lower weighted median under the stakes, no stake counting for more than `stake_cap` (raised to
/// 1/n where n staked reputers are too few for it); what is cut is shared by the others in proportion. A report
/// without stake has no say. The score of report y_m against the truth y is `1 / (1 + |y_m - y| / d)` with
/// `d = max(scale, 1e-9 |y|)`: half for being off by one `scale`, the topic's running error (0 where unknown).
///
/// Errors: [`MathError::Empty`] without a staked report, [`MathError::OutOfRange`] for a cap outside (0, 1] or a
/// negative scale.
pub fn consensus(
    reports: &[(u128, Real)],
    stake_cap: Real,
    scale: Real,
) -> Result<TruthConsensus, MathError> {
    if stake_cap <= Real::ZERO || stake_cap > Real::ONE {
        return Err(MathError::OutOfRange("stake cap"));
    }
    if scale < Real::ZERO {
        return Err(MathError::OutOfRange("scale"));
    }
    let staked: Vec<(f64, f64)> = reports
        .iter()
        .filter(|&&(stake, _)| stake > 0)
        .map(|&(stake, value)| (stake as f64, value.get()))
        .collect();
    let total: f64 = staked.iter().map(|&(stake, _)| stake).sum();
    let values: Vec<f64> = staked.iter().map(|&(_, value)| value).collect();
    let mut say: Vec<f64> = staked.iter().map(|&(stake, _)| stake / total).collect();
    if say.is_empty() {
        return Err(MathError::Empty("staked reports"));
    }
    redistribute(&mut say, stake_cap.get().max(1.0 / staked.len() as f64));
    let value = Real::named(stats::weighted_median(&values, &say)?, "truth")?;
    // Only guards 0 / 0 at a truth of zero.
    const TINY: f64 = 1e-300;
    let unit = scale.get().max(RELATIVE_TOLERANCE * value.get().abs()) + TINY;
    let score = |&(_, report): &(u128, Real)| {
        Real::named(1.0 / (1.0 + (report.get() - value.get()).abs() / unit), "score")
    };
    Ok(TruthConsensus { value, scores: reports.iter().map(score).collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(reports: &[(u128, f64)]) -> TruthConsensus {
        let reports: Vec<_> =
            reports.iter().map(|&(stake, value)| (stake, Real::new(value).unwrap())).collect();
        consensus(&reports, Real::literal(STAKE_CAP), Real::literal(2.0)).unwrap()
    }

    #[test]
    fn one_reputer_cannot_decide_against_the_others_however_large_its_stake() {
        assert_eq!(agree(&[(10u128.pow(27), 999.0), (1, 5.0), (1, 5.0)]).value, Real::literal(5.0));
        assert_eq!(agree(&[(7, 999.0)]).value, Real::literal(999.0));
    }

    #[test]
    fn a_report_without_stake_has_no_say_but_a_score() {
        let agreed = agree(&[(0, 9.0), (3, 5.0), (0, 9.0), (2, 5.0), (0, 7.0)]);
        assert_eq!(agreed.value, Real::literal(5.0));
        assert_eq!(agreed.scores[1], Real::ONE);
        assert_eq!(agreed.scores[4], Real::literal(0.5));
        let nobody = consensus(&[(0, Real::ONE)], Real::literal(STAKE_CAP), Real::ZERO);
        assert_eq!(nobody, Err(MathError::Empty("staked reports")));
    }

    #[test]
    fn an_exact_report_of_zero_scores_one_even_without_a_scale() {
        let agreed =
            consensus(&[(1, Real::ZERO), (1, Real::ZERO)], Real::literal(STAKE_CAP), Real::ZERO).unwrap();
        assert_eq!(agreed.scores, [Real::ONE; 2]);
    }
}
