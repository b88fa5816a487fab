//! Truth mode: reputers report what happened, and the chain agrees on one value per label.
//! Our own choice, not the reference's: weighted medians no single stake can own, and scores by distance to them.

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
    /// The agreed truth of each label, none where nobody with stake spoke about it. [`consensus`] takes each from
    /// the reports; [`classes`] knows all of them, and they sum to 1.
    pub values: Vec<Option<Real>>,
    /// One score per report, in [0, 1]: 1 next to the truth, towards 0 far from it.
    pub scores: Vec<Real>,
}

/// Agrees on a truth from `reports` of (stake, values), sorted by address; every report has one entry per label, none
/// where it does not know. A topic with a single value passes one label.
///
/// A label's value is the lower weighted median of the reports that speak about it, under their stakes, no stake
/// counting for more than `stake_cap` of those (raised to 1/n where n staked speakers are too few for it); what is
/// cut is shared by the others in proportion. A report without stake has no say. A report y_m of a label agreed to be
/// y earns `1 / (1 + |y_m - y| / d)` with `d = max(scale, 1e-9 |y|)`: half for being off by one `scale`, the topic's
/// running error (0 where unknown). Its score is the mean over the agreed labels it speaks about, 0 without any.
///
/// Errors: [`MathError::Empty`] when no label is agreed on, [`MathError::Length`] for reports of different lengths,
/// [`MathError::OutOfRange`] for a cap outside (0, 1] or a negative scale.
pub fn consensus(
    reports: &[(u128, Vec<Option<Real>>)],
    stake_cap: Real,
    scale: Real,
) -> Result<TruthConsensus, MathError> {
    let labels = check(reports, stake_cap)?;
    if scale < Real::ZERO {
        return Err(MathError::OutOfRange("scale"));
    }
    let mut values = Vec::with_capacity(labels);
    for label in 0..labels {
        let spoken = reports.iter().filter_map(|(stake, report)| Some((*stake, report[label]?.get())));
        values.push(agree(spoken, stake_cap)?);
    }
    if values.iter().all(Option::is_none) {
        return Err(MathError::Empty("staked reports"));
    }
    // Only guards 0 / 0 at a truth of zero.
    const TINY: f64 = 1e-300;
    let score = |(_, report): &(u128, Vec<Option<Real>>)| {
        let (mut earned, mut spoken) = (0.0, 0u32);
        for (own, value) in report.iter().zip(&values) {
            let (Some(own), Some(value)) = (own, value) else { continue };
            let unit = scale.get().max(RELATIVE_TOLERANCE * value.get().abs()) + TINY;
            earned += 1.0 / (1.0 + (own.get() - value.get()).abs() / unit);
            spoken += 1;
        }
        Real::named(if spoken == 0 { 0.0 } else { earned / f64::from(spoken) }, "score")
    };
    let scores = reports.iter().map(score).collect::<Result<_, _>>()?;
    Ok(TruthConsensus { values, scores })
}

/// Agrees on a class from `reports` of (stake, degrees), sorted by address: every report gives each label a degree in
/// [0, 1], together 1; a missing label is a degree of 0.
///
/// Each label's degree is the weighted median of [`consensus`] over all staked reports; divided by their sum, so that
/// the degrees are one distribution. A report's score is what it shares with that distribution, the sum over the
/// labels of the smaller degree: 1 for the same distribution, 0 for another class. One that gives out more than 1 in
/// total is judged as if scaled down to 1.
///
/// Errors: [`MathError::Disagreement`] when no label has a majority, [`MathError::Empty`] without labels or staked
/// reports, [`MathError::Length`], [`MathError::OutOfRange`] for a cap outside (0, 1] or a degree outside [0, 1].
pub fn classes(reports: &[(u128, Vec<Option<Real>>)], stake_cap: Real) -> Result<TruthConsensus, MathError> {
    let labels = check(reports, stake_cap)?;
    let outside = |degree: &Real| *degree < Real::ZERO || *degree > Real::ONE;
    if reports.iter().any(|(_, report)| report.iter().flatten().any(outside)) {
        return Err(MathError::OutOfRange("degree of a class"));
    }
    let mut degrees = Vec::with_capacity(labels);
    for label in 0..labels {
        let all = reports.iter().map(|(stake, report)| (*stake, report[label].map_or(0.0, Real::get)));
        degrees.push(agree(all, stake_cap)?.ok_or(MathError::Empty("staked reports"))?.get());
    }
    if degrees.is_empty() {
        return Err(MathError::Empty("labels"));
    }
    let sum: f64 = degrees.iter().sum();
    if sum <= 0.0 {
        return Err(MathError::Disagreement);
    }
    degrees.iter_mut().for_each(|degree| *degree /= sum);
    let score = |(_, report): &(u128, Vec<Option<Real>>)| {
        let own = || report.iter().map(|degree| degree.map_or(0.0, Real::get));
        let given = own().sum::<f64>().max(1.0);
        let shared: f64 = own().zip(&degrees).map(|(own, degree)| (own / given).min(*degree)).sum();
        // Rounding may carry a perfect match beyond 1.
        Real::named(shared.min(1.0), "score")
    };
    let scores = reports.iter().map(score).collect::<Result<_, _>>()?;
    let values = degrees.iter().map(|&degree| Real::named(degree, "truth").map(Some));
    Ok(TruthConsensus { values: values.collect::<Result<_, _>>()?, scores })
}

/// The number of labels of well-formed reports.
fn check(reports: &[(u128, Vec<Option<Real>>)], stake_cap: Real) -> Result<usize, MathError> {
    if stake_cap <= Real::ZERO || stake_cap > Real::ONE {
        return Err(MathError::OutOfRange("stake cap"));
    }
    let labels = reports.first().map_or(0, |(_, report)| report.len());
    match reports.iter().find(|(_, report)| report.len() != labels) {
        Some((_, odd)) => Err(MathError::Length { what: "report", expected: labels, actual: odd.len() }),
        None => Ok(labels),
    }
}

/// The lower weighted median of (stake, value) under capped stakes; none without a staked one.
fn agree(spoken: impl Iterator<Item = (u128, f64)>, stake_cap: Real) -> Result<Option<Real>, MathError> {
    let (stakes, values): (Vec<f64>, Vec<f64>) =
        spoken.filter(|&(stake, _)| stake > 0).map(|(stake, value)| (stake as f64, value)).unzip();
    if stakes.is_empty() {
        return Ok(None);
    }
    let total: f64 = stakes.iter().sum();
    let mut say: Vec<f64> = stakes.iter().map(|stake| stake / total).collect();
    redistribute(&mut say, stake_cap.get().max(1.0 / values.len() as f64));
    Real::named(stats::weighted_median(&values, &say)?, "truth").map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Real = Real::literal(STAKE_CAP);

    fn real(value: f64) -> Real {
        Real::new(value).unwrap()
    }

    fn reports(of: &[(u128, &[f64])]) -> Vec<(u128, Vec<Option<Real>>)> {
        let entry = |&value: &f64| (!value.is_nan()).then(|| real(value));
        of.iter().map(|(stake, values)| (*stake, values.iter().map(entry).collect())).collect()
    }

    fn agree_on(of: &[(u128, f64)]) -> (Real, Vec<Real>) {
        let of: Vec<_> = of.iter().map(|&(stake, value)| (stake, vec![Some(real(value))])).collect();
        let agreed = consensus(&of, CAP, real(2.0)).unwrap();
        (agreed.values[0].unwrap(), agreed.scores)
    }

    #[test]
    fn one_reputer_cannot_decide_against_the_others_however_large_its_stake() {
        assert_eq!(agree_on(&[(10u128.pow(27), 999.0), (1, 5.0), (1, 5.0)]).0, real(5.0));
        assert_eq!(agree_on(&[(7, 999.0)]).0, real(999.0));
    }

    #[test]
    fn a_report_without_stake_has_no_say_but_a_score() {
        let (value, scores) = agree_on(&[(0, 9.0), (3, 5.0), (0, 9.0), (2, 5.0), (0, 7.0)]);
        assert_eq!(value, real(5.0));
        assert_eq!(scores[1], Real::ONE);
        assert_eq!(scores[4], real(0.5));
        let nobody = consensus(&reports(&[(0, &[1.0])]), CAP, Real::ZERO);
        assert_eq!(nobody, Err(MathError::Empty("staked reports")));
        assert_eq!(consensus(&[], CAP, Real::ZERO), Err(MathError::Empty("staked reports")));
    }

    #[test]
    fn an_exact_report_of_zero_scores_one_even_without_a_scale() {
        let agreed = consensus(&reports(&[(1, &[0.0]), (1, &[0.0])]), CAP, Real::ZERO).unwrap();
        assert_eq!(agreed.scores, [Real::ONE; 2]);
    }

    #[test]
    fn each_label_is_agreed_among_those_who_speak_about_it() {
        const NONE: f64 = f64::NAN;
        let agreed = consensus(
            &reports(&[
                (5, &[1.0, NONE, NONE]),
                (1, &[3.0, 8.0, NONE]),
                (1, &[3.0, 6.0, NONE]),
                (0, &[NONE, NONE, 4.0]),
            ]),
            CAP,
            real(2.0),
        )
        .unwrap();
        assert_eq!(agreed.values, [Some(real(3.0)), Some(real(6.0)), None]);
        assert_eq!(agreed.scores, [0.5, 0.75, 1.0, 0.0].map(real));
    }

    #[test]
    fn a_class_needs_a_majority() {
        let agreed = classes(
            &reports(&[(1, &[1.0, 0.0, f64::NAN]), (1, &[1.0, f64::NAN, 0.0]), (1, &[0.0, 1.0, 0.0])]),
            CAP,
        )
        .unwrap();
        assert_eq!(agreed.values, [1.0, 0.0, 0.0].map(|degree| Some(real(degree))));
        assert_eq!(agreed.scores, [1.0, 1.0, 0.0].map(real));
        let split = reports(&[(1, &[1.0, 0.0, 0.0]), (1, &[0.0, 1.0, 0.0]), (1, &[0.0, 0.0, 1.0])]);
        assert_eq!(classes(&split, CAP), Err(MathError::Disagreement));
        assert_eq!(classes(&reports(&[(0, &[1.0])]), CAP), Err(MathError::Empty("staked reports")));
        assert_eq!(classes(&reports(&[(1, &[])]), CAP), Err(MathError::Empty("labels")));
        let odd = classes(&reports(&[(1, &[1.5])]), CAP);
        assert_eq!(odd, Err(MathError::OutOfRange("degree of a class")));
    }

    #[test]
    fn an_empty_or_an_excessive_report_of_a_class_does_not_pay() {
        let of = reports(&[(2, &[1.0, 0.0]), (2, &[1.0, 0.0]), (1, &[f64::NAN, f64::NAN]), (1, &[1.0, 1.0])]);
        assert_eq!(classes(&of, CAP).unwrap().scores, [1.0, 1.0, 0.0, 0.5].map(real));
    }

    #[test]
    fn reports_of_different_lengths_and_bad_parameters_are_refused() {
        let uneven = reports(&[(1, &[1.0, 2.0]), (1, &[1.0])]);
        let length = Err(MathError::Length { what: "report", expected: 2, actual: 1 });
        assert_eq!(consensus(&uneven, CAP, Real::ZERO), length);
        assert_eq!(classes(&uneven, CAP), length);
        let one = reports(&[(1, &[1.0])]);
        assert_eq!(consensus(&one, real(1.5), Real::ZERO), Err(MathError::OutOfRange("stake cap")));
        assert_eq!(consensus(&one, Real::ZERO, Real::ZERO), Err(MathError::OutOfRange("stake cap")));
        assert_eq!(consensus(&one, CAP, real(-1.0)), Err(MathError::OutOfRange("scale")));
    }
}
