//! Reputer consensus where reputers report losses (topic specification, section 5.2): how much the network listens
//! to each reputer, and each one's score by its distance from what the listened-to agree on.

use crate::error::MathError;
use crate::real::{Real, func, reals};
use crate::topic::combine::Losses;
use borsh::{BorshDeserialize, BorshSerialize};

/// Parameters of the listening coefficients (topic specification, sections 5.2 and 10).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReputerConfig {
    /// Step along the gradient, in (0, 1).
    pub learning_rate: Real,
    /// Steps at most, > 0.
    pub max_iterations: u32,
    /// The ascent ends when no coefficient moved by more than this times the learning rate, in (0, 1).
    pub gradient_threshold: Real,
    /// Least part of the stake the network listens to, in [0, 1].
    pub min_stake_fraction: Real,
    /// Added to every distance, in (0, 1]: a perfect reputer scores its inverse. Also the coefficient everybody restarts
    /// from when nobody with stake is listened to.
    pub epsilon_reputer: Real,
    /// Stands for a consensus of length zero, > 0.
    pub safe_div: Real,
}

impl ReputerConfig {
    /// The defaults in use.
    pub const fn new() -> ReputerConfig {
        ReputerConfig {
            learning_rate: Real::literal(0.05),
            max_iterations: 10,
            gradient_threshold: Real::literal(0.001),
            min_stake_fraction: Real::literal(0.5),
            epsilon_reputer: Real::literal(0.01),
            safe_div: Real::literal(1e-7),
        }
    }

    /// Checks every parameter against its range. Errors: [`MathError::OutOfRange`] naming the parameter.
    pub fn validate(&self) -> Result<(), MathError> {
        let open = |value: Real, name| {
            if value > Real::ZERO && value < Real::ONE { Ok(()) } else { Err(MathError::OutOfRange(name)) }
        };
        open(self.learning_rate, "learning_rate")?;
        open(self.gradient_threshold, "max_gradient_threshold")?;
        if self.epsilon_reputer <= Real::ZERO || self.epsilon_reputer > Real::ONE {
            return Err(MathError::OutOfRange("epsilon_reputer"));
        }
        if self.safe_div <= Real::ZERO {
            return Err(MathError::OutOfRange("epsilon_safe_div"));
        }
        if self.min_stake_fraction < Real::ZERO || self.min_stake_fraction > Real::ONE {
            return Err(MathError::OutOfRange("min_stake_fraction"));
        }
        if self.max_iterations == 0 {
            return Err(MathError::OutOfRange("gradient_descent_max_iters"));
        }
        Ok(())
    }
}

impl Default for ReputerConfig {
    fn default() -> ReputerConfig {
        ReputerConfig::new()
    }
}

/// What R reputers' reports of E losses amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReputerConsensus {
    /// R scores > 0, at most 1 / epsilon_reputer. Like the next two lists they belong to the coefficients before
    /// their last step.
    pub scores: Vec<Real>,
    /// R adjusted stakes, in [0, 1].
    pub adjusted: Vec<Real>,
    /// E agreed losses; none where nobody who is listened to reported one.
    pub consensus: Vec<Option<Real>>,
    /// R listening coefficients in [0, 1], to be stored.
    pub coefficients: Vec<Real>,
}

/// A reputer's report as one vector, in the order of section 5.2: network, naive, inferers, forecasters, implied
/// inferences without an inferer (forecaster by forecaster), network without an inferer, without a forecaster, with
/// a sole forecaster.
pub fn flatten(losses: &Losses) -> Vec<Option<Real>> {
    let mut flat = vec![Some(losses.combined), Some(losses.naive)];
    flat.extend(&losses.inferers);
    flat.extend(&losses.forecasters);
    flat.extend(losses.one_out_inferer_forecaster.iter().flatten());
    flat.extend(&losses.one_out_inferers);
    flat.extend(&losses.one_out_forecasters);
    flat.extend(&losses.one_in_forecasters);
    flat
}

/// `min(R a_m S_m / sum a S, 1)`: the stake of each of R reputers, in average listened-to stakes, none above one.
/// All zero where the sum is. Lists beyond the shorter of the two are ignored; stakes and coefficients are >= 0.
pub fn adjusted_stakes(stakes: &[Real], coefficients: &[Real]) -> Vec<Real> {
    let doubles = |values: &[Real]| -> Vec<f64> { values.iter().map(|value| value.get()).collect() };
    let mut adjusted = vec![0.0; stakes.len().min(coefficients.len())];
    adjust(&doubles(stakes), &doubles(coefficients), &mut adjusted);
    // Adding zero turns -0 into 0.
    adjusted.into_iter().map(|own| Real::literal(own + 0.0)).collect()
}

/// [`adjusted_stakes`] in place. Every entry ends in [0, 1].
fn adjust(stakes: &[f64], coefficients: &[f64], adjusted: &mut [f64]) {
    let count = adjusted.len() as f64;
    let listened: f64 = stakes.iter().zip(coefficients).map(|(stake, coefficient)| stake * coefficient).sum();
    for ((adjusted, stake), coefficient) in adjusted.iter_mut().zip(stakes).zip(coefficients) {
        let share = if listened > 0.0 { count * coefficient * stake / listened } else { 0.0 };
        // Stakes beyond all doubles: nobody's part can be told, everybody counts in full.
        *adjusted = if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) };
    }
}

/// Moves the listening `coefficients` of R reputers up the gradient of their stake-weighted score and scores them.
///
/// `stakes` are stake authorities >= 0, `coefficients` the stored ones in [0, 1] (1 for a newcomer), `reports` the
/// [`flatten`]ed losses, R lists of equal length E over the same members. All in the reputers' address order.
///
/// Two repairs of the reference: a missing entry counts as far from the consensus as the farthest report of it,
/// whichever side that is on; and when nobody with stake is listened to, before or after, everybody's coefficient
/// becomes epsilon_reputer. An entry that nobody who is listened to reported is left out of the distances.
///
/// Errors: [`MathError::Length`] for lists that do not fit, [`MathError::Empty`] without stake,
/// [`MathError::OutOfRange`] for a parameter, a negative stake or a coefficient outside [0, 1],
/// [`MathError::NotFinite`] on overflow.
pub fn consensus(
    config: &ReputerConfig,
    stakes: &[Real],
    coefficients: &[Real],
    reports: &[Vec<Option<Real>>],
) -> Result<ReputerConsensus, MathError> {
    config.validate()?;
    let table = Table::new(config, stakes, reports)?;
    if coefficients.len() != stakes.len() {
        let (expected, actual) = (stakes.len(), coefficients.len());
        return Err(MathError::Length { what: "coefficients", expected, actual });
    }
    if coefficients.iter().any(|&own| own < Real::ZERO || own > Real::ONE) {
        return Err(MathError::OutOfRange("listening coefficient"));
    }
    let total: f64 = table.stakes.iter().sum();
    let fraction = |listened: &[f64]| weighted_sum(&table.stakes, listened) / total;
    let (rate, least) = (config.learning_rate.get(), config.min_stake_fraction.get());

    let mut now: Vec<f64> = coefficients.iter().map(|own| own.get()).collect();
    table.restart(config, &mut now);
    let mut next = now.clone();
    let mut base = Scratch::new(&table);
    let mut shifted = Scratch::new(&table);
    for _ in 0..config.max_iterations {
        table.score(&now, &mut base);
        let merit = weighted_sum(&table.stakes, &base.scores);
        for m in 0..now.len() {
            let own = now[m];
            let shift = if own == 1.0 { -0.001 } else { 0.001 };
            now[m] = own + shift;
            table.score(&now, &mut shifted);
            now[m] = own;
            let gradient = (1.0 - merit / weighted_sum(&table.stakes, &shifted.scores)) / shift;
            // A clamp would let NaN through: what cannot be judged is refused.
            if !gradient.is_finite() {
                return Err(MathError::NotFinite("listening gradient"));
            }
            next[m] = (own + rate * gradient).clamp(0.0, 1.0);
        }
        let (before, after) = (fraction(&now), fraction(&next));
        if after < least {
            if after == before {
                break;
            }
            let part = (least - before) / (after - before);
            for (next, own) in next.iter_mut().zip(&now) {
                // Leaves the range only when the network listened to less than that before.
                *next = (own + (*next - own) * part).clamp(0.0, 1.0);
            }
        }
        let moved = now.iter().zip(&next).map(|(own, next)| (next - own).abs()).fold(0.0, f64::max);
        now.copy_from_slice(&next);
        if moved / rate < config.gradient_threshold.get() {
            break;
        }
    }
    table.restart(config, &mut now);
    let agreed = base.consensus.iter().zip(&base.weights);
    Ok(ReputerConsensus {
        scores: reals(&base.scores, "reputer score")?,
        adjusted: reals(&base.adjusted, "adjusted stake")?,
        consensus: agreed
            .map(|(&loss, &weight)| (weight > 0.0).then(|| Real::named(loss, "agreed loss")).transpose())
            .collect::<Result<_, _>>()?,
        coefficients: reals(&now, "listening coefficient")?,
    })
}

/// The reports as one block of doubles: row m is reputer m, a missing entry is 0 in both `values` and `present`.
struct Table {
    stakes: Vec<f64>,
    values: Vec<f64>,
    present: Vec<f64>,
    entries: usize,
    /// Entries that somebody reported and somebody did not.
    gaps: Vec<usize>,
    epsilon: f64,
    safe_div: f64,
}

/// Room for one evaluation, used over and over.
struct Scratch {
    adjusted: Vec<f64>,
    consensus: Vec<f64>,
    weights: Vec<f64>,
    scores: Vec<f64>,
}

impl Scratch {
    fn new(table: &Table) -> Scratch {
        Scratch {
            adjusted: vec![0.0; table.stakes.len()],
            consensus: vec![0.0; table.entries],
            weights: vec![0.0; table.entries],
            scores: vec![0.0; table.stakes.len()],
        }
    }
}

impl Table {
    fn new(
        config: &ReputerConfig,
        stakes: &[Real],
        reports: &[Vec<Option<Real>>],
    ) -> Result<Table, MathError> {
        if reports.len() != stakes.len() {
            let (expected, actual) = (stakes.len(), reports.len());
            return Err(MathError::Length { what: "reports", expected, actual });
        }
        if stakes.iter().any(|&stake| stake < Real::ZERO) {
            return Err(MathError::OutOfRange("stake"));
        }
        if stakes.iter().all(|&stake| stake == Real::ZERO) {
            return Err(MathError::Empty("stake"));
        }
        let entries = reports.first().map_or(0, Vec::len);
        if let Some(odd) = reports.iter().find(|report| report.len() != entries) {
            return Err(MathError::Length { what: "report", expected: entries, actual: odd.len() });
        }
        let all = || reports.iter().flatten();
        let gap = |&e: &usize| {
            let missing = reports.iter().filter(|report| report[e].is_none()).count();
            0 < missing && missing < reports.len()
        };
        Ok(Table {
            stakes: stakes.iter().map(|stake| stake.get()).collect(),
            values: all().map(|entry| entry.map_or(0.0, Real::get)).collect(),
            present: all().map(|entry| f64::from(u8::from(entry.is_some()))).collect(),
            entries,
            gaps: (0..entries).filter(gap).collect(),
            epsilon: config.epsilon_reputer.get(),
            safe_div: config.safe_div.get(),
        })
    }

    /// Nobody with stake is listened to: everybody is, a little.
    fn restart(&self, config: &ReputerConfig, coefficients: &mut [f64]) {
        if weighted_sum(&self.stakes, coefficients) <= 0.0 {
            coefficients.fill(config.epsilon_reputer.get());
        }
    }

    /// Consensus and scores under `coefficients`, in R E steps. Missing entries cost nothing extra but in `gaps`.
    fn score(&self, coefficients: &[f64], into: &mut Scratch) {
        let Scratch { adjusted, consensus, weights, scores } = into;
        let entries = self.entries;
        adjust(&self.stakes, coefficients, adjusted);
        consensus.fill(0.0);
        weights.fill(0.0);
        for (m, &stake) in adjusted.iter().enumerate() {
            let row = m * entries..(m + 1) * entries;
            let cells = self.values[row.clone()].iter().zip(&self.present[row]);
            for ((sum, weight), (value, present)) in consensus.iter_mut().zip(weights.iter_mut()).zip(cells) {
                *sum += stake * value;
                *weight += stake * present;
            }
        }
        for (sum, &weight) in consensus.iter_mut().zip(weights.iter()) {
            *sum = if weight > 0.0 { *sum / weight } else { 0.0 };
        }
        // An entry without weight adds nothing to any length: its consensus is 0 and nobody's distance counts it.
        for (m, score) in scores.iter_mut().enumerate() {
            let row = m * entries..(m + 1) * entries;
            let cells = self.values[row.clone()].iter().zip(&self.present[row]);
            *score = 0.0;
            for ((agreed, weight), (value, present)) in consensus.iter().zip(weights.iter()).zip(cells) {
                let known = if *weight > 0.0 { *present } else { 0.0 };
                let distance = known * (value - agreed);
                *score += distance * distance;
            }
        }
        for &e in self.gaps.iter().filter(|&&e| weights[e] > 0.0) {
            let cell = |m: usize| m * entries + e;
            let mut far = 0.0;
            for m in (0..scores.len()).filter(|&m| self.present[cell(m)] > 0.0) {
                far = f64::max(far, (self.values[cell(m)] - consensus[e]).abs());
            }
            for m in (0..scores.len()).filter(|&m| self.present[cell(m)] == 0.0) {
                scores[m] += far * far;
            }
        }
        let squares: f64 = consensus.iter().map(|agreed| agreed * agreed).sum();
        let length = if squares > 0.0 { func::sqrt(squares) } else { self.safe_div };
        for score in scores.iter_mut() {
            *score = 1.0 / (func::sqrt(*score) / length + self.epsilon);
        }
    }
}

fn weighted_sum(weights: &[f64], values: &[f64]) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f64) -> Real {
        Real::new(value).unwrap()
    }

    fn reals(values: &[f64]) -> Vec<Real> {
        values.iter().map(|&value| real(value)).collect()
    }

    fn report(values: &[f64]) -> Vec<Option<Real>> {
        values.iter().map(|&value| (!value.is_nan()).then(|| real(value))).collect()
    }

    fn agree(stakes: &[f64], coefficients: &[f64], reports: &[&[f64]]) -> ReputerConsensus {
        let reports: Vec<_> = reports.iter().map(|values| report(values)).collect();
        consensus(&ReputerConfig::new(), &reals(stakes), &reals(coefficients), &reports).unwrap()
    }

    #[test]
    fn a_single_reputer_is_always_right() {
        let agreed = agree(&[5.0], &[1.0], &[&[-3.0, 2.0]]);
        assert_eq!((agreed.scores, agreed.coefficients), (reals(&[100.0]), reals(&[1.0])));
        assert_eq!(agreed.consensus, report(&[-3.0, 2.0]));
    }

    #[test]
    fn a_single_reputer_that_was_silenced_restarts_at_epsilon() {
        let agreed = agree(&[5.0], &[0.0], &[&[-3.0, 2.0]]);
        assert_eq!(agreed.coefficients, reals(&[0.01]));
    }

    #[test]
    fn when_only_stakeless_reputers_are_listened_to_everybody_restarts() {
        let agreed = agree(&[0.0, 4.0], &[1.0, 0.0], &[&[1.0], &[2.0]]);
        assert_eq!(agreed.coefficients, reals(&[0.01, 0.01]));
        assert_eq!(agreed.consensus, report(&[2.0]));
    }

    #[test]
    fn a_missing_entry_is_as_far_as_the_farthest_report_on_either_side() {
        // Consensus 2 with farthest report 4, then -2 with -4: mirror images must score alike.
        let above = agree(&[1.0; 4], &[1.0; 4], &[&[4.0], &[1.0], &[1.0], &[f64::NAN]]);
        let below = agree(&[1.0; 4], &[1.0; 4], &[&[-4.0], &[-1.0], &[-1.0], &[f64::NAN]]);
        assert_eq!(above.scores, below.scores);
        assert_eq!(above.scores[3], above.scores[0]);
    }

    #[test]
    fn an_entry_nobody_reported_is_no_distance() {
        let agreed = agree(&[1.0, 1.0], &[1.0, 1.0], &[&[f64::NAN, 3.0], &[f64::NAN, 3.0]]);
        assert_eq!(agreed.consensus, report(&[f64::NAN, 3.0]));
        assert_eq!(agreed.scores, reals(&[100.0, 100.0]));
    }

    #[test]
    fn lists_that_do_not_fit_and_values_out_of_range_are_refused() {
        let run = |stakes: &[f64], coefficients: &[f64], reports: &[&[f64]]| {
            let reports: Vec<_> = reports.iter().map(|values| report(values)).collect();
            consensus(&ReputerConfig::new(), &reals(stakes), &reals(coefficients), &reports)
        };
        assert_eq!(run(&[], &[], &[]), Err(MathError::Empty("stake")));
        assert_eq!(run(&[0.0], &[1.0], &[&[1.0]]), Err(MathError::Empty("stake")));
        assert_eq!(run(&[-1.0], &[1.0], &[&[1.0]]), Err(MathError::OutOfRange("stake")));
        assert_eq!(run(&[1.0], &[1.1], &[&[1.0]]), Err(MathError::OutOfRange("listening coefficient")));
        assert!(matches!(run(&[1.0], &[], &[&[1.0]]), Err(MathError::Length { .. })));
        assert!(matches!(run(&[1.0, 1.0], &[1.0, 1.0], &[&[1.0], &[]]), Err(MathError::Length { .. })));
        assert!(matches!(run(&[1.0], &[1.0], &[]), Err(MathError::Length { .. })));
    }

    #[test]
    fn a_report_is_flattened_in_the_specified_order() {
        let at = |value: f64| Some(real(value));
        let losses = Losses {
            combined: real(0.0),
            naive: real(1.0),
            inferers: vec![at(2.0), at(3.0)],
            forecasters: vec![at(4.0), None],
            one_out_inferers: vec![at(10.0), at(11.0)],
            one_out_forecasters: vec![at(12.0), at(13.0)],
            one_in_forecasters: vec![at(14.0), at(15.0)],
            one_out_inferer_forecaster: vec![vec![at(6.0), at(7.0)], vec![at(8.0), at(9.0)]],
        };
        let mut expected: Vec<f64> = (0..16).map(f64::from).collect();
        expected[5] = f64::NAN;
        assert_eq!(flatten(&losses), report(&expected));
    }
}
