//! The words every synthesis rule shares: forecasts in, a synthesis out, losses once the truth is known.
//! Also the two rules that need no more than these words: the plain median and the plain mean.

use crate::error::MathError;
use crate::real::{Real, func};
use crate::stats;
use crate::topic::interval::{Interval, member_interval};
use crate::topic::loss::Loss;
use borsh::{BorshDeserialize, BorshSerialize};

/// Losses are raised to this before their logarithm is taken: a perfect prediction counts as 10^-30.
pub const LOG_FLOOR: f64 = 1e-30;

/// Which rule turns a topic's inferences into one network inference.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Rule {
    /// Weights are powers of mean losses ([`crate::topic::power`]).
    Power,
    /// Weights are sigmoids of regrets ([`crate::topic::regret`]).
    Regret,
    /// The median of the inferences; forecasts are ignored.
    Median,
    /// The mean of the inferences; forecasts are ignored.
    Mean,
}

/// One forecaster's submission: the loss it predicts for each inferer it speaks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Forecast {
    /// (index into the epoch's sorted inferers, predicted loss), indices strictly ascending. The power rule wants
    /// losses above zero, the regret rule logarithms of losses (or raw losses where a topic allows negative ones).
    pub losses: Vec<(usize, Real)>,
}

impl Forecast {
    /// Checks that indices ascend strictly and name one of `inferers` members.
    /// Errors: [`MathError::Unsorted`], [`MathError::Index`].
    pub fn check(&self, inferers: usize) -> Result<(), MathError> {
        if self.losses.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(MathError::Unsorted("forecast"));
        }
        match self.losses.last() {
            Some(&(index, _)) if index >= inferers => Err(MathError::Index { what: "forecast", index }),
            _ => Ok(()),
        }
    }
}

/// What one epoch publishes. Slices follow the order of the inferers (N) and forecasters (K) given to the rule.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Synthesis {
    /// The network inference.
    pub combined: Real,
    /// The same rule without any forecaster.
    pub naive: Real,
    /// Median of the inferences, for comparison.
    pub median: Real,
    /// Mean of the inferences, for comparison.
    pub mean: Real,
    /// N weights in the network inference; together with the forecasters' they sum to 1.
    pub inferer_weights: Vec<Real>,
    /// K weights in the network inference; 0 for a forecaster without an implied value.
    pub forecaster_weights: Vec<Real>,
    /// K values the forecasters' predicted losses imply; none for an empty forecast.
    pub implied: Vec<Option<Real>>,
    /// N network inferences without that inferer; none when nobody would be left.
    pub one_out_inferers: Vec<Option<Real>>,
    /// K network inferences without that forecaster; none when it took no part or nobody would be left.
    pub one_out_forecasters: Vec<Option<Real>>,
    /// The error bar.
    pub interval: Interval,
}

/// Every value of an epoch that gets a loss once the truth is known (topic specification, section 4.4).
/// Lists follow the order of the members; a none stands for a component that does not exist this epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// The network inference.
    pub combined: Real,
    /// The network inference without forecasters.
    pub naive: Real,
    /// N inferences.
    pub inferers: Vec<Real>,
    /// K forecast-implied inferences.
    pub forecasters: Vec<Option<Real>>,
    /// N network inferences without that inferer.
    pub one_out_inferers: Vec<Option<Real>>,
    /// K network inferences without that forecaster.
    pub one_out_forecasters: Vec<Option<Real>>,
    /// K network inferences with that forecaster as the only one.
    pub one_in_forecasters: Vec<Option<Real>>,
    /// K x N implied inferences of a forecaster without that inferer.
    pub one_out_inferer_forecaster: Vec<Vec<Option<Real>>>,
}

/// The scale on which losses are compared.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LossForm {
    /// The loss itself: the power rule, and regret topics that allow negative losses.
    Raw,
    /// Decimal logarithm of the loss, floored at [`LOG_FLOOR`]: the regret rule otherwise.
    Log10,
}

/// The losses of a [`Bundle`], entry by entry; also one reputer's report of them, or the network's weighted view.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Losses {
    /// Loss of the network inference.
    pub combined: Real,
    /// Loss of the naive inference.
    pub naive: Real,
    /// N losses; none only where no reputer reported one.
    pub inferers: Vec<Option<Real>>,
    /// K losses of implied inferences.
    pub forecasters: Vec<Option<Real>>,
    /// N losses of the network without that inferer.
    pub one_out_inferers: Vec<Option<Real>>,
    /// K losses of the network without that forecaster.
    pub one_out_forecasters: Vec<Option<Real>>,
    /// K losses of the network with that forecaster alone.
    pub one_in_forecasters: Vec<Option<Real>>,
    /// K x N losses of a forecaster's implied inference without that inferer.
    pub one_out_inferer_forecaster: Vec<Vec<Option<Real>>>,
}

impl Losses {
    /// The losses of every value in `bundle` against `truth`.
    /// Errors: [`MathError::OutOfRange`] for a truth the loss cannot judge, [`MathError::NotFinite`] on overflow.
    pub fn of(bundle: &Bundle, truth: Real, loss: Loss, form: LossForm) -> Result<Losses, MathError> {
        let values = Values {
            combined: bundle.combined,
            naive: bundle.naive,
            inferers: &bundle.inferers,
            forecasters: &bundle.forecasters,
            one_out_inferers: &bundle.one_out_inferers,
            one_out_forecasters: &bundle.one_out_forecasters,
            one_in_forecasters: &bundle.one_in_forecasters,
            one_out_inferer_forecaster: &bundle.one_out_inferer_forecaster,
        };
        values.losses(truth, loss, form)
    }
}

/// A [`Bundle`] that owns nothing: closing an epoch needs no copy of its opening.
pub(crate) struct Values<'a> {
    pub combined: Real,
    pub naive: Real,
    pub inferers: &'a [Real],
    pub forecasters: &'a [Option<Real>],
    pub one_out_inferers: &'a [Option<Real>],
    pub one_out_forecasters: &'a [Option<Real>],
    pub one_in_forecasters: &'a [Option<Real>],
    pub one_out_inferer_forecaster: &'a [Vec<Option<Real>>],
}

impl Values<'_> {
    /// [`Losses::of`].
    pub(crate) fn losses(&self, truth: Real, loss: Loss, form: LossForm) -> Result<Losses, MathError> {
        if !loss.accepts(truth.get()) {
            return Err(MathError::OutOfRange("truth"));
        }
        let one = |value: Real| {
            let raw = loss.loss(value.get(), truth.get());
            let shown = match form {
                LossForm::Raw => raw,
                LossForm::Log10 => func::log10(raw.max(LOG_FLOOR)),
            };
            Real::named(shown, "loss")
        };
        let each = |values: &[Option<Real>]| values.iter().map(|value| value.map(one).transpose()).collect();
        Ok(Losses {
            combined: one(self.combined)?,
            naive: one(self.naive)?,
            inferers: self.inferers.iter().map(|&value| one(value).map(Some)).collect::<Result<_, _>>()?,
            forecasters: each(self.forecasters)?,
            one_out_inferers: each(self.one_out_inferers)?,
            one_out_forecasters: each(self.one_out_forecasters)?,
            one_in_forecasters: each(self.one_in_forecasters)?,
            one_out_inferer_forecaster: self
                .one_out_inferer_forecaster
                .iter()
                .map(|row| each(row))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Synthesis {
    /// The synthesis as a bundle, together with the `inferences` it was made of (N values). One-in components and
    /// implied values without one inferer are left empty: only the regret rule has them.
    /// Errors: [`MathError::Length`].
    pub fn bundle(&self, inferences: &[Real]) -> Result<Bundle, MathError> {
        let expected = self.inferer_weights.len();
        if inferences.len() != expected {
            return Err(MathError::Length { what: "inferences", expected, actual: inferences.len() });
        }
        Ok(Bundle {
            combined: self.combined,
            naive: self.naive,
            inferers: inferences.to_vec(),
            forecasters: self.implied.clone(),
            one_out_inferers: self.one_out_inferers.clone(),
            one_out_forecasters: self.one_out_forecasters.clone(),
            one_in_forecasters: Vec::new(),
            one_out_inferer_forecaster: Vec::new(),
        })
    }
}

/// The rules [`Rule::Mean`] and [`Rule::Median`]: equal weights, forecasters take no part (`forecasters` is only how
/// many there are, so that the lists keep their shape). One-out values are the same rule on the other members.
/// Errors: [`MathError::Empty`] without inferences, [`MathError::OutOfRange`] for another rule.
pub fn open_plain(rule: Rule, inferences: &[Real], forecasters: usize) -> Result<Synthesis, MathError> {
    let n = inferences.len();
    let values: Vec<f64> = inferences.iter().map(|value| value.get()).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let mean = stats::mean(&values).ok_or(MathError::Empty("inferences"))?;
    let median = stats::median_sorted(&sorted).ok_or(MathError::Empty("inferences"))?;
    let without = |value: f64| -> f64 {
        let rank = sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        // The element at place p of the list without `rank`.
        let at = |place: usize| sorted[if place < rank { place } else { place + 1 }];
        let rest = n - 1;
        if rest % 2 == 1 { at(rest / 2) } else { stats::middle(at(rest / 2 - 1), at(rest / 2)) }
    };
    // Sums before and after each place: subtracting one inference from the total would lose the others when it is huge.
    let after = suffix_sums(&values);
    let mut before = 0.0;
    let mut one_out = |place: usize, value: f64| match rule {
        Rule::Mean => {
            let rest = before + after[place + 1];
            before += value;
            rest / (n as f64 - 1.0)
        }
        _ => without(value),
    };
    let combined = match rule {
        Rule::Mean => mean,
        Rule::Median => median,
        Rule::Power | Rule::Regret => return Err(MathError::OutOfRange("rule")),
    };
    let one_out_inferers = values
        .iter()
        .enumerate()
        .map(|(place, &value)| match n {
            1 => Ok(None),
            _ => Real::named(one_out(place, value), "one-out inference").map(Some),
        })
        .collect::<Result<_, _>>()?;
    let combined = Real::named(combined, "network inference")?;
    let weights = vec![1.0 / n as f64; n];
    Ok(Synthesis {
        combined,
        naive: combined,
        median: Real::named(median, "median")?,
        mean: Real::named(mean, "mean")?,
        inferer_weights: crate::real::reals(&weights, "weight")?,
        forecaster_weights: vec![Real::ZERO; forecasters],
        implied: vec![None; forecasters],
        one_out_inferers,
        one_out_forecasters: vec![None; forecasters],
        interval: member_interval(&values, &weights)?,
    })
}

/// Sums of the values from each place to the end; one entry more than `values`, the last one 0.
fn suffix_sums(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; values.len() + 1];
    for place in (0..values.len()).rev() {
        sums[place] = values[place] + sums[place + 1];
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f64) -> Real {
        Real::new(value).unwrap()
    }

    #[test]
    fn plain_rules_and_their_one_outs_are_the_rule_on_the_others() {
        let values = [3.0, 1.0, 2.0, 10.0, 2.0].map(real);
        for rule in [Rule::Mean, Rule::Median] {
            let all = open_plain(rule, &values, 2).unwrap();
            assert_eq!(all.combined, if rule == Rule::Mean { real(3.6) } else { real(2.0) });
            for out in 0..values.len() {
                let mut rest = values.to_vec();
                rest.remove(out);
                assert_eq!(all.one_out_inferers[out], Some(open_plain(rule, &rest, 0).unwrap().combined));
            }
        }
        assert_eq!(open_plain(Rule::Mean, &values[..1], 0).unwrap().one_out_inferers, [None]);
        assert_eq!(open_plain(Rule::Mean, &[], 0), Err(MathError::Empty("inferences")));
        assert_eq!(open_plain(Rule::Power, &values, 0), Err(MathError::OutOfRange("rule")));
    }

    #[test]
    fn a_forecast_about_nobody_or_out_of_order_is_refused() {
        let forecast = |at: &[usize]| Forecast { losses: at.iter().map(|&j| (j, Real::ONE)).collect() };
        assert!(forecast(&[0, 2]).check(3).is_ok());
        assert_eq!(forecast(&[0, 3]).check(3), Err(MathError::Index { what: "forecast", index: 3 }));
        assert_eq!(forecast(&[1, 1]).check(3), Err(MathError::Unsorted("forecast")));
    }

    #[test]
    fn a_perfect_prediction_has_the_floor_as_its_log_loss() {
        let bundle = open_plain(Rule::Mean, &[real(5.0)], 0).unwrap().bundle(&[real(5.0)]).unwrap();
        let losses = Losses::of(&bundle, real(5.0), Loss::Squared, LossForm::Log10).unwrap();
        assert_eq!(losses.combined, real(-30.0));
    }
}
