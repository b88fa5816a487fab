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

/// What one epoch publishes. Slices follow the order of the inferers (N) and forecasters (K) given to the rule; one
/// weight per member serves all labels.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Synthesis {
    /// N weights in the network inference; together with the forecasters' they sum to 1.
    pub inferer_weights: Vec<Real>,
    /// K weights in the network inference; 0 for a forecaster without an implied value.
    pub forecaster_weights: Vec<Real>,
    /// L columns, one per label, in the order given to the rule. Every list has the same shape in all of them.
    pub columns: Vec<Column>,
}

/// What one epoch publishes about one label.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Column {
    /// The network inference.
    pub combined: Real,
    /// The same rule without any forecaster.
    pub naive: Real,
    /// Median of the inferences, for comparison.
    pub median: Real,
    /// Mean of the inferences, for comparison.
    pub mean: Real,
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
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// L columns, one per label; every list has the same shape in all of them.
    pub columns: Vec<BundleColumn>,
}

/// One label of a [`Bundle`]. Lists follow the order of the members; a none stands for a component that does not
/// exist this epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BundleColumn {
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

/// What turned out to be true.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Truth {
    /// L truths in the order of the columns. None: nobody knows this label, so it is left out of every loss. Losses
    /// of probabilities need all of them.
    pub labels: Vec<Option<Real>>,
    /// (value everybody implicitly gave, truth) of labels that no column has. They join the vector of every component
    /// as a constant.
    pub outside: Vec<(Real, Real)>,
}

impl Truth {
    /// A truth that knows every label and none besides.
    pub fn known(labels: &[Real]) -> Truth {
        Truth { labels: labels.iter().copied().map(Some).collect(), outside: Vec::new() }
    }
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
    /// The losses of every component in `bundle` against `truth`, each one number over all labels.
    /// Errors: [`MathError::Length`] for columns of different shapes or another number of truths,
    /// [`MathError::Empty`] without a column or a known label, or with an unknown one where the loss judges
    /// probabilities, [`MathError::OutOfRange`] for a truth the loss cannot judge, [`MathError::NotFinite`] on
    /// overflow.
    pub fn of(bundle: &Bundle, truth: &Truth, loss: Loss, form: LossForm) -> Result<Losses, MathError> {
        let columns: Vec<ColumnView<'_>> = bundle
            .columns
            .iter()
            .map(|column| ColumnView {
                combined: column.combined,
                naive: column.naive,
                inferers: &column.inferers,
                forecasters: &column.forecasters,
                one_out_inferers: &column.one_out_inferers,
                one_out_forecasters: &column.one_out_forecasters,
                one_in_forecasters: &column.one_in_forecasters,
                one_out_inferer_forecaster: &column.one_out_inferer_forecaster,
            })
            .collect();
        losses(&columns, truth, loss, form)
    }

    /// Every entry x as 10^x: for losses that were reported as decimal logarithms.
    /// Errors: [`MathError::NotFinite`] on overflow.
    pub fn to_raw(&self) -> Result<Losses, MathError> {
        self.map(|loss| func::pow(10.0, loss))
    }

    /// Every entry as its decimal logarithm, floored at [`LOG_FLOOR`] first.
    pub fn to_log10(&self) -> Result<Losses, MathError> {
        self.map(|loss| func::log10(loss.max(LOG_FLOOR)))
    }

    /// Every entry through one function. Errors: [`MathError::NotFinite`] where that gives NaN or an infinity.
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Result<Losses, MathError> {
        let one = |loss: Real| Real::named(change(loss.get()), "loss");
        let each = |list: &[Option<Real>]| list.iter().map(|loss| loss.map(one).transpose()).collect();
        Ok(Losses {
            combined: one(self.combined)?,
            naive: one(self.naive)?,
            inferers: each(&self.inferers)?,
            forecasters: each(&self.forecasters)?,
            one_out_inferers: each(&self.one_out_inferers)?,
            one_out_forecasters: each(&self.one_out_forecasters)?,
            one_in_forecasters: each(&self.one_in_forecasters)?,
            one_out_inferer_forecaster: self
                .one_out_inferer_forecaster
                .iter()
                .map(|row| each(row))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A [`BundleColumn`] that owns nothing: closing an epoch needs no copy of its opening.
pub(crate) struct ColumnView<'a> {
    pub combined: Real,
    pub naive: Real,
    pub inferers: &'a [Real],
    pub forecasters: &'a [Option<Real>],
    pub one_out_inferers: &'a [Option<Real>],
    pub one_out_forecasters: &'a [Option<Real>],
    pub one_in_forecasters: &'a [Option<Real>],
    pub one_out_inferer_forecaster: &'a [Vec<Option<Real>>],
}

/// [`Losses::of`].
pub(crate) fn losses(
    columns: &[ColumnView<'_>],
    truth: &Truth,
    loss: Loss,
    form: LossForm,
) -> Result<Losses, MathError> {
    let Some(first) = columns.first() else { return Err(MathError::Empty("columns")) };
    let mut judge = Judge::new(columns, truth, loss, form)?;
    let expected = first.inferers.len();
    if let Some(column) = columns.iter().find(|column| column.inferers.len() != expected) {
        return Err(MathError::Length { what: "inferences", expected, actual: column.inferers.len() });
    }
    let rows = first.one_out_inferer_forecaster.len();
    if let Some(column) = columns.iter().find(|column| column.one_out_inferer_forecaster.len() != rows) {
        let actual = column.one_out_inferer_forecaster.len();
        return Err(MathError::Length { what: "implied inferences", expected: rows, actual });
    }
    let mut inferers = Vec::with_capacity(expected);
    for place in 0..expected {
        inferers.push(Some(judge.one(|column| column.inferers[place])?));
    }
    Ok(Losses {
        combined: judge.one(|column| column.combined)?,
        naive: judge.one(|column| column.naive)?,
        inferers,
        forecasters: judge.each(|column| column.forecasters)?,
        one_out_inferers: judge.each(|column| column.one_out_inferers)?,
        one_out_forecasters: judge.each(|column| column.one_out_forecasters)?,
        one_in_forecasters: judge.each(|column| column.one_in_forecasters)?,
        one_out_inferer_forecaster: (0..rows)
            .map(|row| judge.each(|column| &column.one_out_inferer_forecaster[row]))
            .collect::<Result<_, _>>()?,
    })
}

/// A truth ready to judge one component after another.
struct Judge<'a> {
    columns: &'a [ColumnView<'a>],
    loss: Loss,
    form: LossForm,
    /// The labels somebody knows.
    known: Vec<usize>,
    /// Their truths, then those outside the columns.
    truth: Vec<f64>,
    /// The component at hand in the same order; only the known labels change from one component to the next.
    answer: Vec<f64>,
}

impl<'a> Judge<'a> {
    fn new(
        columns: &'a [ColumnView<'a>],
        truth: &Truth,
        loss: Loss,
        form: LossForm,
    ) -> Result<Judge<'a>, MathError> {
        let (expected, actual) = (columns.len(), truth.labels.len());
        if expected != actual {
            return Err(MathError::Length { what: "truth", expected, actual });
        }
        let known: Vec<usize> = (0..expected).filter(|&label| truth.labels[label].is_some()).collect();
        if loss.is_probability() && known.len() < expected {
            return Err(MathError::Empty("truth of a label"));
        }
        let inside = truth.labels.iter().flatten();
        let truths: Vec<f64> =
            inside.chain(truth.outside.iter().map(|(_, truth)| truth)).map(|truth| truth.get()).collect();
        if truths.is_empty() {
            return Err(MathError::Empty("truth"));
        }
        if !loss.accepts_truth(&truths) {
            return Err(MathError::OutOfRange("truth"));
        }
        let mut answer = vec![0.0; known.len()];
        answer.extend(truth.outside.iter().map(|(value, _)| value.get()));
        Ok(Judge { columns, loss, form, known, truth: truths, answer })
    }

    /// The loss of the component whose value at a label is `value` of its column.
    fn one(&mut self, value: impl Fn(&ColumnView<'a>) -> Real) -> Result<Real, MathError> {
        for (slot, &label) in self.answer.iter_mut().zip(&self.known) {
            *slot = value(&self.columns[label]).get();
        }
        let raw = self.loss.of(&self.answer, &self.truth);
        let shown = match self.form {
            LossForm::Raw => raw,
            LossForm::Log10 => func::log10(raw.max(LOG_FLOOR)),
        };
        Real::named(shown, "loss")
    }

    /// The losses of a list of components, `list` being their values in one column. A component missing at a label
    /// has none. Errors: [`MathError::Length`] for lists of different lengths.
    fn each(
        &mut self,
        list: impl Fn(&ColumnView<'a>) -> &'a [Option<Real>],
    ) -> Result<Vec<Option<Real>>, MathError> {
        let columns = self.columns;
        let expected = columns.first().map_or(0, |column| list(column).len());
        if let Some(other) = columns.iter().map(&list).find(|list| list.len() != expected) {
            return Err(MathError::Length { what: "components", expected, actual: other.len() });
        }
        let mut losses = Vec::with_capacity(expected);
        for place in 0..expected {
            let missing = columns.iter().any(|column| list(column)[place].is_none());
            losses.push(match missing {
                true => None,
                false => Some(self.one(|column| list(column)[place].unwrap_or_default())?),
            });
        }
        Ok(losses)
    }
}

/// Columns of an epoch: at least one, each with one inference per member, at least one member.
/// Errors: [`MathError::Empty`], [`MathError::Length`].
pub(crate) fn check_columns(columns: &[Vec<Real>], members: usize) -> Result<(), MathError> {
    if columns.is_empty() {
        return Err(MathError::Empty("columns"));
    }
    if members == 0 {
        return Err(MathError::Empty("inferers"));
    }
    match columns.iter().find(|column| column.len() != members) {
        Some(column) => {
            Err(MathError::Length { what: "inferences", expected: members, actual: column.len() })
        }
        None => Ok(()),
    }
}

impl Synthesis {
    /// The network inference, one value per label.
    pub fn combined(&self) -> Vec<Real> {
        self.columns.iter().map(|column| column.combined).collect()
    }

    /// The network inference without forecasters, one value per label.
    pub fn naive(&self) -> Vec<Real> {
        self.columns.iter().map(|column| column.naive).collect()
    }

    /// The median of the inferences, one value per label.
    pub fn median(&self) -> Vec<Real> {
        self.columns.iter().map(|column| column.median).collect()
    }

    /// The mean of the inferences, one value per label.
    pub fn mean(&self) -> Vec<Real> {
        self.columns.iter().map(|column| column.mean).collect()
    }

    /// The error bars, one per label.
    pub fn intervals(&self) -> Vec<Interval> {
        self.columns.iter().map(|column| column.interval).collect()
    }

    /// The synthesis as a bundle, together with the `inferences` it was made of (L x N values). One-in components and
    /// implied values without one inferer are left empty: only the regret rule has them.
    /// Errors: [`MathError::Length`].
    pub fn bundle(&self, inferences: &[Vec<Real>]) -> Result<Bundle, MathError> {
        let expected = self.columns.len();
        if inferences.len() != expected {
            return Err(MathError::Length { what: "columns", expected, actual: inferences.len() });
        }
        let column = |(column, inferences): (&Column, &Vec<Real>)| {
            let expected = self.inferer_weights.len();
            if inferences.len() != expected {
                return Err(MathError::Length { what: "inferences", expected, actual: inferences.len() });
            }
            Ok(BundleColumn {
                combined: column.combined,
                naive: column.naive,
                inferers: inferences.clone(),
                forecasters: column.implied.clone(),
                one_out_inferers: column.one_out_inferers.clone(),
                one_out_forecasters: column.one_out_forecasters.clone(),
                one_in_forecasters: Vec::new(),
                one_out_inferer_forecaster: Vec::new(),
            })
        };
        Ok(Bundle { columns: self.columns.iter().zip(inferences).map(column).collect::<Result<_, _>>()? })
    }
}

/// The rules [`Rule::Mean`] and [`Rule::Median`] on L `columns` of N inferences, label by label: equal weights,
/// forecasters take no part (`forecasters` is only how many there are, so that the lists keep their shape). One-out
/// values are the same rule on the other members. Medians of unit vectors need not sum to 1.
/// Errors: [`MathError::Empty`] without columns or inferences, [`MathError::Length`] for columns of different lengths,
/// [`MathError::OutOfRange`] for another rule.
pub fn open_plain(rule: Rule, columns: &[Vec<Real>], forecasters: usize) -> Result<Synthesis, MathError> {
    let n = columns.first().map_or(0, Vec::len);
    check_columns(columns, n)?;
    let weights = vec![1.0 / n as f64; n];
    Ok(Synthesis {
        inferer_weights: crate::real::reals(&weights, "weight")?,
        forecaster_weights: vec![Real::ZERO; forecasters],
        columns: columns
            .iter()
            .map(|column| plain_column(rule, column, &weights, forecasters))
            .collect::<Result<_, _>>()?,
    })
}

fn plain_column(
    rule: Rule,
    inferences: &[Real],
    weights: &[f64],
    forecasters: usize,
) -> Result<Column, MathError> {
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
    Ok(Column {
        combined,
        naive: combined,
        median: Real::named(median, "median")?,
        mean: Real::named(mean, "mean")?,
        implied: vec![None; forecasters],
        one_out_inferers,
        one_out_forecasters: vec![None; forecasters],
        interval: member_interval(&values, weights)?,
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
        let columns = [values.to_vec(), values.map(|x| real(-x.get())).to_vec()];
        for rule in [Rule::Mean, Rule::Median] {
            let all = open_plain(rule, &columns, 2).unwrap();
            let expected = if rule == Rule::Mean { 3.6 } else { 2.0 };
            assert_eq!(all.combined(), [real(expected), real(-expected)]);
            for out in 0..values.len() {
                let mut rest = columns.clone();
                for column in &mut rest {
                    column.remove(out);
                }
                let rest = open_plain(rule, &rest, 0).unwrap();
                for (all, rest) in all.columns.iter().zip(&rest.columns) {
                    assert_eq!(all.one_out_inferers[out], Some(rest.combined));
                }
            }
        }
        let one = open_plain(Rule::Mean, &[values[..1].to_vec()], 0).unwrap();
        assert_eq!(one.columns[0].one_out_inferers, [None]);
        assert_eq!(open_plain(Rule::Mean, &[vec![]], 0), Err(MathError::Empty("inferers")));
        assert_eq!(open_plain(Rule::Mean, &[], 0), Err(MathError::Empty("columns")));
        assert_eq!(open_plain(Rule::Power, &columns, 0), Err(MathError::OutOfRange("rule")));
        let ragged = [values.to_vec(), values[..3].to_vec()];
        let expected = MathError::Length { what: "inferences", expected: 5, actual: 3 };
        assert_eq!(open_plain(Rule::Mean, &ragged, 0), Err(expected));
    }

    #[test]
    fn a_forecast_about_nobody_or_out_of_order_is_refused() {
        let forecast = |at: &[usize]| Forecast { losses: at.iter().map(|&j| (j, Real::ONE)).collect() };
        assert!(forecast(&[0, 2]).check(3).is_ok());
        assert_eq!(forecast(&[0, 3]).check(3), Err(MathError::Index { what: "forecast", index: 3 }));
        assert_eq!(forecast(&[1, 1]).check(3), Err(MathError::Unsorted("forecast")));
    }

    fn bundle(columns: &[&[f64]]) -> Bundle {
        let columns: Vec<Vec<Real>> =
            columns.iter().map(|column| column.iter().copied().map(real).collect()).collect();
        open_plain(Rule::Mean, &columns, 1).unwrap().bundle(&columns).unwrap()
    }

    #[test]
    fn a_perfect_prediction_has_the_floor_as_its_log_loss() {
        let truth = Truth::known(&[real(5.0)]);
        let losses = Losses::of(&bundle(&[&[5.0]]), &truth, Loss::Squared, LossForm::Log10).unwrap();
        assert_eq!(losses.combined, real(-30.0));
    }

    #[test]
    fn a_loss_is_one_number_over_the_known_labels_and_those_nobody_named() {
        let bundle = bundle(&[&[1.0, 3.0], &[10.0, 30.0], &[5.0, 5.0]]);
        let labels = vec![Some(real(2.0)), None, Some(real(4.0))];
        let truth = Truth { labels, outside: vec![(real(0.0), real(3.0))] };
        let losses = Losses::of(&bundle, &truth, Loss::Absolute, LossForm::Raw).unwrap();
        assert_eq!(losses.combined, real(0.0 + 1.0 + 3.0));
        assert_eq!(losses.inferers, [Some(real(1.0 + 1.0 + 3.0)); 2]);
        assert_eq!(losses.forecasters, [None]);
        assert_eq!(losses.one_out_inferers, losses.inferers);
        let unknown = Truth { labels: vec![None; 3], outside: vec![] };
        let nothing = Losses::of(&bundle, &unknown, Loss::Absolute, LossForm::Raw);
        assert_eq!(nothing, Err(MathError::Empty("truth")));
        let constant = Truth { labels: vec![None; 3], outside: vec![(real(1.0), real(2.0))] };
        let losses = Losses::of(&bundle, &constant, Loss::Absolute, LossForm::Raw).unwrap();
        assert_eq!((losses.combined, losses.forecasters[0]), (Real::ONE, None));
    }

    #[test]
    fn probabilities_need_the_truth_of_every_label() {
        let bundle = bundle(&[&[0.5, 0.5], &[0.5, 0.5]]);
        let of = |labels: [Option<f64>; 2], outside: &[(f64, f64)]| {
            let outside = outside.iter().map(|&(value, truth)| (real(value), real(truth))).collect();
            let truth = Truth { labels: labels.map(|label| label.map(real)).to_vec(), outside };
            Losses::of(&bundle, &truth, Loss::Brier, LossForm::Raw).map(|losses| losses.combined)
        };
        assert_eq!(of([Some(1.0), Some(0.0)], &[]), Ok(real(0.5)));
        assert_eq!(of([Some(0.0), Some(0.0)], &[(0.0, 1.0)]), Ok(real(1.5)));
        assert_eq!(of([Some(0.0), Some(0.0)], &[]), Err(MathError::OutOfRange("truth")));
        assert_eq!(of([Some(1.0), None], &[]), Err(MathError::Empty("truth of a label")));
        let short = Losses::of(&bundle, &Truth::known(&[Real::ONE]), Loss::Brier, LossForm::Raw);
        assert_eq!(short, Err(MathError::Length { what: "truth", expected: 2, actual: 1 }));
    }

    #[test]
    fn columns_of_different_shapes_are_refused() {
        let mut bundle = bundle(&[&[1.0, 2.0], &[1.0, 2.0]]);
        bundle.columns[1].forecasters.pop();
        let losses = Losses::of(&bundle, &Truth::known(&[Real::ONE; 2]), Loss::Squared, LossForm::Raw);
        assert_eq!(losses, Err(MathError::Length { what: "components", expected: 1, actual: 0 }));
    }

    #[test]
    fn logarithms_and_back_are_the_same_losses() {
        let bundle = bundle(&[&[1.0, 3.0]]);
        let truth = Truth::known(&[real(6.0)]);
        let raw = Losses::of(&bundle, &truth, Loss::Squared, LossForm::Raw).unwrap();
        let logs = Losses::of(&bundle, &truth, Loss::Squared, LossForm::Log10).unwrap();
        assert_eq!(raw.to_log10(), Ok(logs.clone()));
        let back = logs.to_raw().unwrap();
        assert!((back.combined.get() - raw.combined.get()).abs() < 1e-12);
        assert_eq!(back.forecasters, [None]);
        let huge = Losses { combined: real(400.0), ..logs };
        assert_eq!(huge.to_raw(), Err(MathError::NotFinite("loss")));
    }
}
