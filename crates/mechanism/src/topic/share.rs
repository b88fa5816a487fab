//! From scores to shares: reward fractions within a role and the split of a reward between the roles
//! (topic specification, sections 7.2 and 7.3; combine specification, section 6).

use crate::error::MathError;
use crate::real::{Real, func, reals};
use crate::stats;

/// Entropy of a role with a single actor: ln(2) / 4.
pub const SINGLE_ENTROPY: f64 = 0.173_286_795_139_986;

/// `phi(p, c, x) = ln(1 + exp(p (x - c)))`, without overflow.
pub fn softplus(p: f64, c: f64, x: f64) -> f64 {
    let y = p * (x - c);
    if y > 0.0 { y + func::ln_1p(func::exp(-y)) } else { func::ln_1p(func::exp(y)) }
}

/// `x / sum x`. Errors: [`MathError::Empty`] when the sum is not positive, [`MathError::NotFinite`].
pub fn normalize(values: &[f64]) -> Result<Vec<Real>, MathError> {
    let sum: f64 = values.iter().sum();
    // Written so that a NaN sum is refused as well.
    if !sum.is_finite() || sum <= 0.0 {
        return Err(MathError::Empty("fractions"));
    }
    reals(&values.iter().map(|value| value / sum).collect::<Vec<_>>(), "fraction")
}

/// Reward fractions of inferers or forecasters (section 7.2): `phi(p, c, T / (sigma + epsilon))`, normalised; sigma
/// is the standard deviation of the role's stored score `history`. Equal fractions when the history has fewer than
/// two scores or a sigma below epsilon, and when every mapped score underflows to zero.
/// Errors: [`MathError::Empty`] without scores.
pub fn worker_fractions(
    scores: &[Real],
    history: &[Real],
    p: Real,
    c: Real,
    epsilon: Real,
) -> Result<Vec<Real>, MathError> {
    let history: Vec<f64> = history.iter().map(|score| score.get()).collect();
    let sigma = stats::stddev(&history);
    let equal = history.len() < 2 || sigma < epsilon.get();
    let one = |score: &Real| {
        if equal { 1.0 } else { softplus(p.get(), c.get(), score.get() / (sigma + epsilon.get())) }
    };
    let mapped: Vec<f64> = scores.iter().map(one).collect();
    if mapped.iter().all(|&value| value == 0.0) {
        return normalize(&vec![1.0; scores.len()]);
    }
    normalize(&mapped)
}

/// Reward fractions of reputers (section 7.2): `(stake x score)^p`, normalised. `members` are (stake, score), both
/// >= 0. Errors: [`MathError::OutOfRange`], [`MathError::Empty`] when nobody has both.
pub fn reputer_fractions(members: &[(Real, Real)], p: Real) -> Result<Vec<Real>, MathError> {
    if members.iter().any(|&(stake, score)| stake < Real::ZERO || score < Real::ZERO) {
        return Err(MathError::OutOfRange("stake or score"));
    }
    let raised = |&(stake, score): &(Real, Real)| {
        let product = stake.get() * score.get();
        if p == Real::ONE { product } else { func::pow(product, p.get()) }
    };
    normalize(&members.iter().map(raised).collect::<Vec<_>>())
}

/// Reward fractions under the power rule (combine specification, section 6): in proportion to the positive part of
/// the averaged scores. None when nobody's average is positive: nothing was earned, and the caller says what then.
/// Errors: [`MathError::NotFinite`] when the sum overflows.
pub fn power_fractions(scores: &[Real]) -> Result<Option<Vec<Real>>, MathError> {
    let earned: Vec<f64> = scores.iter().map(|score| score.get().max(0.0)).collect();
    let sum: f64 = earned.iter().sum();
    if !sum.is_finite() {
        return Err(MathError::NotFinite("sum of scores"));
    }
    if sum == 0.0 { Ok(None) } else { normalize(&earned).map(Some) }
}

/// A role's smoothed fractions (section 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smoothed {
    /// Smoothed and normalised fractions, one per actor: to be stored as the next epoch's `previous`.
    pub fractions: Vec<Real>,
    /// Effective number of actors, `1 / sum f^2` of the smoothed fractions before they are normalised.
    pub effective: Real,
}

/// Smooths `fractions` with the actors' `previous` ones (none for an actor without).
/// Errors: [`MathError::Length`], [`MathError::Empty`].
pub fn smooth(alpha: Real, fractions: &[Real], previous: &[Option<Real>]) -> Result<Smoothed, MathError> {
    if fractions.len() != previous.len() {
        return Err(MathError::Length {
            what: "previous fractions",
            expected: fractions.len(),
            actual: previous.len(),
        });
    }
    let one = |(fraction, previous): (&Real, &Option<Real>)| match previous {
        Some(previous) => stats::ema(alpha.get(), fraction.get(), previous.get(), false),
        None => fraction.get(),
    };
    let smoothed: Vec<f64> = fractions.iter().zip(previous).map(one).collect();
    let squares: f64 = smoothed.iter().map(|fraction| fraction * fraction).sum();
    if squares <= 0.0 {
        return Err(MathError::Empty("fractions"));
    }
    Ok(Smoothed {
        fractions: normalize(&smoothed)?,
        effective: Real::named(1.0 / squares, "effective number of actors")?,
    })
}

/// A role's entropy (section 7.3): `-(sum f ln f)(effective / N)^beta`; the constant ln(2)/4 for a single actor, 0
/// for none. Errors: [`MathError::OutOfRange`] for a negative fraction, [`MathError::NotFinite`].
pub fn entropy(fractions: &[Real], effective: Real, beta: Real) -> Result<Real, MathError> {
    match fractions.len() {
        0 => return Ok(Real::ZERO),
        1 => return Ok(Real::literal(SINGLE_ENTROPY)),
        _ => {}
    }
    if fractions.iter().any(|&fraction| fraction < Real::ZERO) {
        return Err(MathError::OutOfRange("fraction"));
    }
    // x ln x tends to 0 with x.
    let terms = fractions.iter().map(|fraction| fraction.get()).filter(|&fraction| fraction > 0.0);
    let plain: f64 = terms.map(|fraction| fraction * func::ln(fraction)).sum();
    let crowding = func::pow(effective.get() / fractions.len() as f64, beta.get());
    Real::named(-plain * crowding, "entropy")
}

/// How useful forecasters were, and what it makes of their share of the budget (section 7.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Utility {
    /// Smoothed ratio of the forecasters' task score to the best inferer's score (tau): stored for the next epoch.
    pub ratio: Real,
    /// Share of the workers' budget weighed towards forecasters (chi), 0.1 to 0.5.
    pub utility: Real,
}

/// `chi(tau)`: 0.1 below 0, 0.5 from 1 on, linear between.
pub fn utility(ratio: Real) -> Real {
    let ratio = ratio.get();
    Real::literal(if ratio < 0.0 {
        0.1
    } else if ratio >= 1.0 {
        0.5
    } else {
        0.1 + 0.4 * ratio
    })
}

/// The step of section 7.3: task score `T = naive loss - combined loss` against the best inferer score, smoothed
/// into `previous`. The best score counts from 0 (section 13.2, item 5): if no inferer scored above 0 the ratio is
/// the sign of T, and when T is 0 as well the utility is 0.5 with a ratio of 0.
/// Errors: [`MathError::NotFinite`].
pub fn forecaster_utility(
    alpha: Real,
    naive_loss: Real,
    combined_loss: Real,
    inferer_scores: &[Real],
    previous: Real,
) -> Result<Utility, MathError> {
    let task = naive_loss.get() - combined_loss.get();
    let best = inferer_scores.iter().map(|score| score.get()).fold(0.0, f64::max);
    if best == 0.0 && task == 0.0 {
        return Ok(Utility { ratio: Real::ZERO, utility: Real::literal(0.5) });
    }
    let newest = task / if best == 0.0 { task.abs() } else { best };
    let smoothed = alpha.get() * newest + (1.0 - alpha.get()) * previous.get();
    let ratio = Real::named(smoothed, "forecaster ratio")?;
    Ok(Utility { ratio, utility: utility(ratio) })
}

/// `gamma = (F + G) / ((1 - chi) F + chi G)`: keeps the workers' total what their entropies earn.
/// Errors: [`MathError::NotFinite`] when both entropies are 0.
pub fn gamma(inferers: Real, forecasters: Real, utility: Real) -> Result<Real, MathError> {
    let (f, g, chi) = (inferers.get(), forecasters.get(), utility.get());
    Real::named((f + g) / ((1.0 - chi) * f + chi * g), "gamma")
}

/// The roles' parts of one epoch's reward; they sum to 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TaskSplit {
    /// Part of the inferers.
    pub inferers: Real,
    /// Part of the forecasters.
    pub forecasters: Real,
    /// Part of the reputers.
    pub reputers: Real,
}

/// The split by entropies F (`inferers`), G (`forecasters`; 0 without forecasters or with one inferer) and H
/// (`reputers`), all >= 0: `U = (1 - chi) gamma F / (F + G + H)`, `V = chi gamma G / (...)`, `W = H / (...)`.
/// Errors: [`MathError::Empty`] when all are 0, [`MathError::NotFinite`].
pub fn task_split(
    inferers: Real,
    forecasters: Real,
    reputers: Real,
    utility: Real,
) -> Result<TaskSplit, MathError> {
    let (f, g, h, chi) = (inferers.get(), forecasters.get(), reputers.get(), utility.get());
    let total = f + g + h;
    if total <= 0.0 {
        return Err(MathError::Empty("entropies"));
    }
    let factor = if f + g > 0.0 { gamma(inferers, forecasters, utility)?.get() } else { 0.0 };
    Ok(TaskSplit {
        inferers: Real::named((1.0 - chi) * factor * f / total, "inferers' part")?,
        forecasters: Real::named(chi * factor * g / total, "forecasters' part")?,
        reputers: Real::named(h / total, "reputers' part")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[f64]) -> Vec<Real> {
        values.iter().map(|&value| Real::new(value).unwrap()).collect()
    }

    #[test]
    fn only_positive_averages_earn_under_the_power_rule() {
        assert_eq!(power_fractions(&all(&[3.0, -5.0, 1.0])).unwrap().unwrap(), all(&[0.75, 0.0, 0.25]));
        assert_eq!(power_fractions(&all(&[-1.0, 0.0])), Ok(None));
        assert_eq!(power_fractions(&[]), Ok(None));
    }

    #[test]
    fn workers_share_equally_without_a_spread_of_scores() {
        let (p, c, epsilon) = (Real::literal(3.0), Real::literal(0.75), Real::literal(0.01));
        let equal = all(&[0.5, 0.5]);
        assert_eq!(worker_fractions(&all(&[1.0, 9.0]), &all(&[1.0]), p, c, epsilon).unwrap(), equal);
        assert_eq!(worker_fractions(&all(&[1.0, 9.0]), &all(&[2.0, 2.0]), p, c, epsilon).unwrap(), equal);
        assert_eq!(worker_fractions(&all(&[-1e9, -9e9]), &all(&[1.0, 2.0]), p, c, epsilon).unwrap(), equal);
    }

    #[test]
    fn softplus_neither_overflows_nor_loses_its_tail() {
        assert_eq!(softplus(3.0, 0.75, 1e6), 3.0 * (1e6 - 0.75));
        assert!((softplus(1.0, 0.0, -50.0) / 1.928_749_847_963_918e-22 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn no_score_and_no_gain_is_a_utility_of_one_half() {
        let zero = Real::ZERO;
        let neutral = forecaster_utility(Real::literal(0.1), zero, zero, &[zero], Real::ONE).unwrap();
        assert_eq!(neutral, Utility { ratio: zero, utility: Real::literal(0.5) });
        let sign = forecaster_utility(Real::ONE, Real::ONE, zero, &all(&[-3.0]), zero).unwrap();
        assert_eq!(sign.ratio, Real::ONE);
    }
}
