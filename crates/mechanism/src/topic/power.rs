//! The power rule: weight = (discounted mean loss)^-kappa, capped, on inferences clamped to the weighted median.
//! Open and close of one epoch, all one-out values included, in O(N log N + N K); combine specification, section 5.
//!
//! Forecasters are members like any other, whose inference is the one their predicted losses imply. A member has one
//! weight for all labels, made once. Everything is linear in one coordinate per label, the inference itself or
//! (logarithmic pool) its log-odds or logarithm, so removing a member is a sum over the others. Those sums come from
//! running sums from both ends and never from a subtraction: one enormous inference cannot destroy the bits of
//! everybody else's one-out value.

use crate::error::MathError;
use crate::real::{Real, func, reals};
use crate::stats;
use crate::topic::combine::{
    Bundle, Column, ColumnView, Forecast, LossForm, Losses, Synthesis, Truth, check_columns, losses,
};
use crate::topic::forecast::power_weights;
use crate::topic::interval::{error_interval, member_interval};
use crate::topic::loss::{Loss, clip_probability};
use borsh::{BorshDeserialize, BorshSerialize};

/// Scored epochs before the error scale is trusted: until then it is a plain mean, and nothing is clamped.
pub const SCALE_WARM_UP: u32 = 20;
/// A single error moves the scale by at most this many scales.
pub const SCALE_CLIP: f64 = 6.0;
/// Range of the learned sharpening of the logarithmic pool.
pub const SHARPENING: (f64, f64) = (0.2, 5.0);
/// First step of the sharpening's adaptive gradient descent; later ones shrink as gradients accumulate.
pub const SHARPENING_STEP: f64 = 0.1;
/// Mean losses are floored at this fraction of the members' median mean loss, so that a perfect record (a constant
/// series) divides nothing by zero. Relative to the median, because a member's lie can raise the largest loss at
/// will but not the median.
pub const LOSS_FLOOR: f64 = 1e-12;
/// The floor when the median itself is zero: everybody is perfect, everybody weighs the same.
pub const LOSS_FLOOR_ABSOLUTE: f64 = 1e-300;

/// How probabilities are pooled.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Pool {
    /// Weighted mean of the values.
    Linear,
    /// Weighted mean of the log-odds, times a learned sharpening; with several labels of the logarithms, normalised
    /// to sum 1. Only with [`Loss::LogLoss`] and [`Loss::Brier`].
    Log,
}

/// Parameters of the rule, chosen per topic (combine specification, section 7).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PowerConfig {
    /// Exponent of the mean losses, 2 to 8.
    pub kappa: u32,
    /// Least rate at which a mean loss follows the newest one, per epoch: 0.0025 to 0.05.
    pub alpha: Real,
    /// Pseudo-epochs at the median loss that a newcomer starts with, 0 to 1000.
    pub n0: Real,
    /// Largest weight of one member, 0.2 to 0.49 (never below 1 / members); none for no cap.
    pub cap: Option<Real>,
    /// Largest distance of an inference from the weighted median of its label, in error scales, 3 to 20; none for no
    /// clamp. Only the linear pool clamps; vectors that sum to 1 may leave it with another sum.
    pub clamp: Option<Real>,
    /// Rate of the error scale, per epoch, in (0, 1].
    pub beta: Real,
    /// Share of the diversity credit in a score (g), 0.5 to 1.
    pub gain: Real,
    /// Rate of the score average, per epoch, in (0, 1].
    pub score_rate: Real,
    /// How probabilities are pooled.
    pub pool: Pool,
    /// What is minimised.
    pub loss: Loss,
}

impl PowerConfig {
    /// The defaults of section 7 for a loss: its kappa, alpha 0.005, n0 3, cap 0.45, clamp 6, beta 0.02,
    /// gain 0.75, score rate 0.02; the logarithmic pool for probabilities.
    pub const fn for_loss(loss: Loss) -> PowerConfig {
        PowerConfig {
            kappa: loss.default_kappa(),
            alpha: Real::literal(0.005),
            n0: Real::literal(3.0),
            cap: Some(Real::literal(0.45)),
            clamp: Some(Real::literal(6.0)),
            beta: Real::literal(0.02),
            gain: Real::literal(0.75),
            score_rate: Real::literal(0.02),
            pool: if loss.is_probability() { Pool::Log } else { Pool::Linear },
            loss,
        }
    }

    /// Checks every parameter against its range. Errors: [`MathError::OutOfRange`] naming the parameter.
    pub fn validate(&self) -> Result<(), MathError> {
        let within = |value: Real, low: f64, high: f64, name| {
            if (low..=high).contains(&value.get()) { Ok(()) } else { Err(MathError::OutOfRange(name)) }
        };
        if !(2..=8).contains(&self.kappa) {
            return Err(MathError::OutOfRange("kappa"));
        }
        within(self.alpha, 0.0025, 0.05, "alpha")?;
        within(self.n0, 0.0, 1000.0, "n0")?;
        self.cap.map_or(Ok(()), |cap| within(cap, 0.2, 0.49, "cap"))?;
        self.clamp.map_or(Ok(()), |clamp| within(clamp, 3.0, 20.0, "clamp"))?;
        within(self.beta, f64::MIN_POSITIVE, 1.0, "beta")?;
        within(self.gain, 0.5, 1.0, "gain")?;
        within(self.score_rate, f64::MIN_POSITIVE, 1.0, "score rate")?;
        if self.pool == Pool::Log && !self.loss.is_probability() {
            return Err(MathError::OutOfRange("pool"));
        }
        self.loss.validate()
    }
}

/// What is remembered of one member, inferer or forecaster.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MemberState {
    /// Discounted mean loss (r), >= 0; meaningless while `count` is 0.
    pub loss: Real,
    /// Scored epochs (n).
    pub count: u32,
    /// Average of the scores (S), starting at 0; rewards go by its positive part.
    pub score: Real,
}

/// What is remembered of the topic itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TopicState {
    /// Running mean absolute error of the network inference (s), >= 0, in the units of the inference, which all labels
    /// share.
    pub scale: Real,
    /// Epochs that made it.
    pub scale_count: u32,
    /// Factor on the pooled coordinates (a), 0.2 to 5; only the logarithmic pool uses it.
    pub sharpening: Real,
    /// Sum of squared gradients of the sharpening.
    pub sharpening_grad: Real,
}

impl TopicState {
    /// A topic nobody has been scored in.
    pub const fn new() -> TopicState {
        TopicState { scale: Real::ZERO, scale_count: 0, sharpening: Real::ONE, sharpening_grad: Real::ZERO }
    }
}

impl Default for TopicState {
    fn default() -> TopicState {
        TopicState::new()
    }
}

/// What an epoch publishes when it opens, and all that closing it needs later: states may move in between.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PowerOpening {
    /// The published part.
    pub synthesis: Synthesis,
    /// L x N inferences as submitted: what members are judged by.
    pub values: Vec<Vec<Real>>,
    /// L x N inferences as used (z): clipped probabilities, values clamped to the weighted median of their label.
    pub clamped: Vec<Vec<Real>>,
    /// L weighted means of the members' coordinates: log-odds or logarithms before sharpening, or the network
    /// inference itself.
    pub pooled: Vec<Real>,
}

impl PowerOpening {
    /// The values that get a loss.
    pub fn bundle(&self) -> Result<Bundle, MathError> {
        self.synthesis.bundle(&self.values)
    }
}

/// What scored members earned, in the order of the members. A none stands for a member that took no part, or
/// without whom there would have been no inference.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Merits {
    /// One-out gains `G = L(without) - L(network)`.
    pub gains: Vec<Option<Real>>,
    /// Proper parts `A = w (L(without) - L(own inference))`.
    pub proper: Vec<Option<Real>>,
    /// Scores of this epoch `S = A + g (G - A)`.
    pub scores: Vec<Option<Real>>,
}

/// What an epoch leaves behind when its truth is known.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PowerClosing {
    /// Losses (raw form) of the network, the naive inference, every member and every one-out value.
    pub losses: Losses,
    /// What the N inferers earned.
    pub inferer_merits: Merits,
    /// What the K forecasters earned.
    pub forecaster_merits: Merits,
    /// N new states.
    pub inferers: Vec<MemberState>,
    /// K new states; unchanged for a forecaster that took no part.
    pub forecasters: Vec<MemberState>,
    /// The new state of the topic.
    pub topic: TopicState,
}

/// The weights of section 5: `v = (n r + n0 m) / (n + n0)` with m the median mean loss of scored members,
/// never-scored members at the largest v, weights `(min v / v)^kappa`, capped. Sum 1; equal weights while nobody has
/// been scored. The mean losses are floored ([`LOSS_FLOOR`]).
fn weights(config: &PowerConfig, members: impl Iterator<Item = MemberState> + Clone) -> Vec<f64> {
    let count = members.clone().count();
    let mut scratch: Vec<f64> =
        members.clone().filter(|member| member.count > 0).map(|member| member.loss.get()).collect();
    let Ok(median) = stats::median_mut(&mut scratch) else { return vec![1.0 / count as f64; count] };
    let floor = (LOSS_FLOOR * median).max(LOSS_FLOOR_ABSOLUTE);
    let n0 = config.n0.get();
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    let mut weights = Vec::with_capacity(count);
    for member in members {
        if member.count == 0 {
            weights.push(f64::NAN);
            continue;
        }
        let n = f64::from(member.count);
        let shrunk = ((n * member.loss.get() + n0 * median) / (n + n0)).max(floor);
        least = least.min(shrunk);
        most = most.max(shrunk);
        weights.push(shrunk);
    }
    for weight in &mut weights {
        let shrunk = if weight.is_nan() { most } else { *weight };
        *weight = func::powi(least / shrunk, config.kappa);
    }
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    if let Some(cap) = config.cap {
        redistribute(&mut weights, cap.get().max(1.0 / count as f64));
    }
    weights
}

/// Lowers weights above `limit` to it and scales the others up in proportion, until nobody is above: at most
/// 1 / limit rounds. Weights sum to 1 before and after. Where all others weigh 0 they share the rest equally.
pub(crate) fn redistribute(weights: &mut [f64], limit: f64) {
    if weights.iter().all(|&weight| weight <= limit) {
        return;
    }
    let mut capped = vec![false; weights.len()];
    loop {
        let (mut free, mut sum) = (0usize, 0.0);
        for (&weight, _) in weights.iter().zip(&capped).filter(|&(_, &capped)| !capped) {
            free += 1;
            sum += weight;
        }
        let left = (1.0 - limit * (weights.len() - free) as f64).max(0.0);
        let scaled = |weight: f64| if sum > 0.0 { weight / sum * left } else { left / free as f64 };
        let mut settled = true;
        for (&weight, capped) in weights.iter().zip(&mut capped) {
            if !*capped && scaled(weight) > limit {
                *capped = true;
                settled = false;
            }
        }
        if settled {
            for (weight, &capped) in weights.iter_mut().zip(&capped) {
                *weight = if capped { limit } else { scaled(*weight) };
            }
            return;
        }
    }
}

/// The coordinate in which members are mixed, label by label, and the way back to an inference over all labels.
#[derive(Copy, Clone)]
struct Link {
    pool: Pool,
    clip: bool,
    several: bool,
    sharpening: f64,
}

impl Link {
    fn new(config: &PowerConfig, topic: &TopicState, labels: usize) -> Link {
        Link {
            pool: config.pool,
            clip: config.loss == Loss::LogLoss || config.pool == Pool::Log,
            several: labels > 1,
            sharpening: topic.sharpening.get(),
        }
    }

    /// The inference as the rule sees it.
    fn clipped(self, value: f64) -> f64 {
        if self.clip { clip_probability(value) } else { value }
    }

    /// From an inference to the coordinate of its label.
    fn coordinate(self, clipped: f64) -> f64 {
        match self.pool {
            Pool::Linear => clipped,
            Pool::Log if self.several => func::ln(clipped),
            Pool::Log => func::ln(clipped / (1.0 - clipped)),
        }
    }

    /// From what a forecaster pooled, one coordinate per label, to the inference it implies.
    fn implied(self, point: &mut [f64]) {
        self.inference(1.0, point);
    }

    /// From what the network pooled, one coordinate per label, to a network inference.
    fn network(self, point: &mut [f64]) {
        self.inference(self.sharpening, point);
    }

    /// Log-odds become a probability, logarithms probabilities of sum 1.
    fn inference(self, sharpening: f64, point: &mut [f64]) {
        match self.pool {
            Pool::Linear => {}
            Pool::Log if self.several => {
                // The largest exponent becomes 0, so nothing overflows and the sum is at least 1.
                let largest = point.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                point.iter_mut().for_each(|x| *x = func::exp(sharpening * (*x - largest)));
                let sum: f64 = point.iter().sum();
                point.iter_mut().for_each(|x| *x /= sum);
            }
            Pool::Log => point.iter_mut().for_each(|x| *x = 1.0 / (1.0 + func::exp(-(sharpening * *x)))),
        }
    }
}

/// Weighted sums of everybody before and after one member: what is left when that member goes.
#[derive(Default)]
struct Sweep {
    /// Per member, (sum of w z, sum of w) over all others.
    others: Vec<(f64, f64)>,
    /// The same over everybody.
    all: (f64, f64),
}

impl Sweep {
    fn new(terms: &[(f64, f64)]) -> Sweep {
        let mut sweep = Sweep::default();
        sweep.fill(terms);
        sweep
    }

    /// Starts over with terms (w, z). Adds from both ends: `others` is exact to rounding even where one term exceeds
    /// the rest by many digits.
    fn fill(&mut self, terms: &[(f64, f64)]) {
        self.others.clear();
        self.others.resize(terms.len(), (0.0, 0.0));
        let mut before = (0.0, 0.0);
        for (&(w, z), rest) in terms.iter().zip(&mut self.others) {
            *rest = before;
            before = (before.0 + w * z, before.1 + w);
        }
        self.all = before;
        let mut after = (0.0, 0.0);
        for (&(w, z), rest) in terms.iter().zip(&mut self.others).rev() {
            *rest = (rest.0 + after.0, rest.1 + after.1);
            after = (after.0 + w * z, after.1 + w);
        }
    }
}

/// The ratio of a weighted sum and its weight; none where the weight is 0.
fn ratio((weighted, weight): (f64, f64)) -> Option<f64> {
    (weight > 0.0).then(|| weighted / weight)
}

/// The weights of an epoch: made once, applied to every label.
struct Weights<'a> {
    /// N weights as if there were no forecasters.
    naive: &'a [f64],
    /// N weights in the network inference.
    inferers: &'a [f64],
    /// The weights of the forecasters that take part.
    forecasters: &'a [f64],
    /// Their forecasts, and what every entry weighs in the value it implies.
    forecasts: &'a [(&'a Forecast, Vec<f64>)],
}

/// One label of an epoch, in the coordinate members are mixed in.
struct Mix {
    /// The inferences in ascending order.
    order: Vec<(f64, u32)>,
    /// N inferences as used, not in coordinates.
    clamped: Vec<f64>,
    /// Weighted mean of the inferers under the naive weights.
    naive: f64,
    /// Weighted mean of everybody.
    pooled: f64,
    /// What the forecasters that take part imply.
    implied: Vec<f64>,
    /// N (sum of w z, sum of w) without that inferer.
    without_inferers: Vec<(f64, f64)>,
    /// The same without a forecaster that takes part.
    without_forecasters: Vec<(f64, f64)>,
}

impl Mix {
    /// `reach`: how far an inference may be from the weighted median; none for no clamp.
    fn new(column: &[Real], weights: &Weights<'_>, link: Link, reach: Option<f64>) -> Result<Mix, MathError> {
        // Inferers alone: the weighted median, the clamp.
        let raw: Vec<f64> = column.iter().map(|value| value.get()).collect();
        let order = stats::ascending(&raw);
        let mut clamped: Vec<f64> = raw.iter().map(|&value| link.clipped(value)).collect();
        if let Some(reach) = reach {
            let place =
                stats::weighted_median_place(&order, weights.naive).ok_or(MathError::Empty("weights"))?;
            let center = clamped[order[place].1 as usize];
            clamped.iter_mut().for_each(|z| *z = z.clamp(center - reach, center + reach));
        }
        let used: Vec<f64> = clamped.iter().map(|&z| link.coordinate(z)).collect();
        let naive: f64 = weights.naive.iter().zip(&used).map(|(w, z)| w * z).sum();

        // Forecasters: what they imply with everybody, and without each inferer they speak about.
        let mut terms: Vec<(f64, f64)> = weights.inferers.iter().copied().zip(used.iter().copied()).collect();
        let inferers = Sweep::new(&terms);
        let mut without = inferers.others;
        let mut implied = Vec::with_capacity(weights.forecasts.len());
        let mut sweep = Sweep::default();
        for ((forecast, shares), &weight) in weights.forecasts.iter().zip(weights.forecasters) {
            terms.clear();
            terms.extend(shares.iter().zip(&forecast.losses).map(|(&share, &(j, _))| (share, used[j])));
            sweep.fill(&terms);
            let value = sweep.all.0 / sweep.all.1;
            let mut start = 0;
            for (&(index, _), &others) in forecast.losses.iter().zip(&sweep.others) {
                // Inferers the forecast skips leave it as it is.
                for rest in &mut without[start..index] {
                    rest.0 += weight * value;
                    rest.1 += weight;
                }
                // A forecast about this inferer alone goes with it.
                if let Some(implied_without) = ratio(others) {
                    without[index].0 += weight * implied_without;
                    without[index].1 += weight;
                }
                start = index + 1;
            }
            for rest in &mut without[start..] {
                rest.0 += weight * value;
                rest.1 += weight;
            }
            implied.push(value);
        }
        terms.clear();
        terms.extend(weights.forecasters.iter().copied().zip(implied.iter().copied()));
        let forecasters = Sweep::new(&terms);
        let plus_inferers = |rest: &(f64, f64)| (inferers.all.0 + rest.0, inferers.all.1 + rest.1);
        Ok(Mix {
            order,
            clamped,
            naive,
            pooled: inferers.all.0 + forecasters.all.0,
            implied,
            without_inferers: without,
            without_forecasters: forecasters.others.iter().map(plus_inferers).collect(),
        })
    }

    fn median(&self) -> f64 {
        let n = self.order.len();
        let sorted = |place: usize| self.order[place].0;
        if n % 2 == 1 { sorted(n / 2) } else { stats::middle(sorted(n / 2 - 1), sorted(n / 2)) }
    }
}

/// One component over all labels: gathers its coordinates from the `mixes`, lets `back` turn them into an inference,
/// and hands each label's value to `put`. Does nothing where the component does not exist.
fn publish(
    mixes: &[Mix],
    point: &mut [f64],
    what: &'static str,
    pick: impl Fn(&Mix) -> Option<f64>,
    back: impl Fn(&mut [f64]),
    mut put: impl FnMut(usize, Real),
) -> Result<(), MathError> {
    for (slot, mix) in point.iter_mut().zip(mixes) {
        let Some(coordinate) = pick(mix) else { return Ok(()) };
        *slot = coordinate;
    }
    back(point);
    for (label, &value) in point.iter().enumerate() {
        put(label, Real::named(value, what)?);
    }
    Ok(())
}

/// Opens an epoch: from sealed inferences and forecasts to the network inference with all its by-products.
///
/// `inferers` are N states and `forecasters` K (state, forecast), both sorted by address; `columns` L times N
/// inferences in the order of `inferers`, one column per label; forecasts index into `inferers`. The naive inference
/// is the rule as if there were no forecasters. Its capped weights also place the weighted median of each label to
/// which everybody is clamped: under them no inferer can hold the median alone, even where forecasters hold most of
/// the final weight. A forecaster with an empty forecast takes no part. One-out values keep the weights' ratios and
/// the clamped values as they are (section 5); forecasters are re-implied without the member.
///
/// Errors: [`MathError::Empty`] without inferers or columns, [`MathError::Length`] for a column of another length,
/// [`MathError::OutOfRange`] for a parameter, a negative state, or a predicted loss that is not positive, those of
/// [`Forecast::check`], [`MathError::NotFinite`] on overflow.
pub fn open(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[MemberState],
    columns: &[Vec<Real>],
    forecasters: &[(MemberState, Forecast)],
) -> Result<PowerOpening, MathError> {
    config.validate()?;
    check_columns(columns, inferers.len())?;
    if topic.scale < Real::ZERO {
        return Err(MathError::OutOfRange("error scale"));
    }
    let states = || inferers.iter().copied();
    if states().chain(forecasters.iter().map(|&(state, _)| state)).any(|state| state.loss < Real::ZERO) {
        return Err(MathError::OutOfRange("mean loss"));
    }
    let n = inferers.len();

    // Once for all labels: the weights, and what every entry of a forecast weighs.
    let takes_part = |place: &usize| !forecasters[*place].1.losses.is_empty();
    let active: Vec<usize> = (0..forecasters.len()).filter(takes_part).collect();
    let mut forecasts = Vec::with_capacity(active.len());
    for &place in &active {
        let forecast = &forecasters[place].1;
        forecast.check(n)?;
        forecasts.push((forecast, power_weights(forecast, config.kappa)?));
    }
    let naive_weights = weights(config, states());
    let full_weights = match active.len() {
        0 => naive_weights.clone(),
        _ => weights(config, states().chain(active.iter().map(|&place| forecasters[place].0))),
    };
    let (inferer_weights, active_weights) = full_weights.split_at(n);
    let weights = Weights {
        naive: &naive_weights,
        inferers: inferer_weights,
        forecasters: active_weights,
        forecasts: &forecasts,
    };

    // Label by label, in coordinates.
    let link = Link::new(config, topic, columns.len());
    let known_scale = (topic.scale_count >= SCALE_WARM_UP).then_some(topic.scale.get());
    let reach = match (config.clamp, known_scale, config.pool) {
        (Some(clamp), Some(scale), Pool::Linear) => Some(clamp.get() * scale),
        _ => None,
    };
    let mixes: Vec<Mix> =
        columns.iter().map(|column| Mix::new(column, &weights, link, reach)).collect::<Result<_, _>>()?;

    // Component by component, back to inferences over all labels.
    let mut point = vec![0.0; columns.len()];
    let network = |point: &mut [f64]| link.network(point);
    let (mut combined, mut naive) = (vec![Real::ZERO; columns.len()], vec![Real::ZERO; columns.len()]);
    let whole = "network inference";
    publish(&mixes, &mut point, whole, |mix| Some(mix.pooled), network, |l, value| combined[l] = value)?;
    let alone = "naive inference";
    publish(&mixes, &mut point, alone, |mix| Some(mix.naive), network, |l, value| naive[l] = value)?;
    let mut one_out_inferers = vec![vec![None; n]; columns.len()];
    for (place, _) in inferers.iter().enumerate() {
        let pick = |mix: &Mix| ratio(mix.without_inferers[place]);
        let put = |label: usize, value: Real| one_out_inferers[label][place] = Some(value);
        publish(&mixes, &mut point, "one-out inference", pick, network, put)?;
    }
    // Back to one place per forecaster, with those that took no part.
    let mut implied = vec![vec![None; forecasters.len()]; columns.len()];
    let mut one_out_forecasters = implied.clone();
    let mut forecaster_weights = vec![Real::ZERO; forecasters.len()];
    for (nth, &place) in active.iter().enumerate() {
        forecaster_weights[place] = Real::named(active_weights[nth], "weight")?;
        let back = |point: &mut [f64]| link.implied(point);
        let put = |label: usize, value: Real| implied[label][place] = Some(value);
        publish(&mixes, &mut point, "implied inference", |mix| Some(mix.implied[nth]), back, put)?;
        let pick = |mix: &Mix| ratio(mix.without_forecasters[nth]);
        let put = |label: usize, value: Real| one_out_forecasters[label][place] = Some(value);
        publish(&mixes, &mut point, "one-out inference", pick, network, put)?;
    }

    let published = mixes.iter().zip(columns).zip(implied).zip(one_out_inferers).zip(one_out_forecasters);
    let mut outputs = Vec::with_capacity(columns.len());
    for (label, ((((mix, column), implied), one_out_inferers), one_out_forecasters)) in published.enumerate()
    {
        let interval = match known_scale {
            // A probability's distance from 0 or 1 is not an error bar of the probability.
            Some(scale) if !config.loss.is_probability() => error_interval(combined[label].get(), scale)?,
            _ => {
                let implied = implied.iter().flatten().map(|value| value.get());
                let members: Vec<f64> = mix.clamped.iter().copied().chain(implied).collect();
                member_interval(&members, &full_weights)?
            }
        };
        let mean = column.iter().map(|value| value.get()).sum::<f64>() / n as f64;
        outputs.push(Column {
            combined: combined[label],
            naive: naive[label],
            median: Real::named(mix.median(), "median")?,
            mean: Real::named(mean, "mean")?,
            implied,
            one_out_inferers,
            one_out_forecasters,
            interval,
        });
    }
    let clamped = mixes.iter().map(|mix| reals(&mix.clamped, "clamped inference"));
    let pooled: Vec<f64> = mixes.iter().map(|mix| mix.pooled).collect();
    Ok(PowerOpening {
        synthesis: Synthesis {
            inferer_weights: reals(inferer_weights, "weight")?,
            forecaster_weights,
            columns: outputs,
        },
        values: columns.to_vec(),
        clamped: clamped.collect::<Result<_, _>>()?,
        pooled: reals(&pooled, "pooled coordinate")?,
    })
}

/// Closes an epoch once its truth is known: losses, gains, scores and the states after it.
///
/// `inferers` and `forecasters` are the current states of the members of `opening`, in its order; they and `topic`
/// may have moved since it was made. Members are judged by their inference as submitted, so the clamp never hides a
/// lie from the record; a forecaster by its implied inference. A score without a one-out value does not exist and
/// leaves the average alone. The error scale follows the labels somebody knows; where nobody knows any, it stays.
///
/// Errors: those of [`Losses::of`], [`MathError::Length`] for states that are not the opening's members,
/// [`MathError::OutOfRange`] for a parameter, [`MathError::NotFinite`] on overflow.
pub fn close(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[MemberState],
    forecasters: &[MemberState],
    opening: &PowerOpening,
    truth: &Truth,
) -> Result<PowerClosing, MathError> {
    let columns = views(inferers, forecasters, opening)?;
    let losses = losses(&columns, truth, config.loss, LossForm::Raw)?;
    let topic = advance_topic(config, topic, opening, truth)?;
    settle(config, topic, inferers, forecasters, opening, losses)
}

/// [`close`] where reputers report losses instead of a truth. `losses` are raw (see [`Losses::to_raw`]) and not
/// negative where they are a member's own, which this rule's records need. A loss of a component the opening does not
/// have is dropped.
///
/// Without a truth there is no error: the topic's state stays as it is. A topic that is only ever closed this way
/// has no error scale, hence no clamp, the members' interval as its error bar, and no learned sharpening.
///
/// Errors: [`MathError::Length`] for states or losses that are not the opening's members, [`MathError::OutOfRange`]
/// for a parameter or a member's negative loss, [`MathError::NotFinite`] on overflow.
pub fn close_reported(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[MemberState],
    forecasters: &[MemberState],
    opening: &PowerOpening,
    losses: Losses,
) -> Result<PowerClosing, MathError> {
    let columns = views(inferers, forecasters, opening)?;
    let Some(column) = columns.first() else { return Err(MathError::Empty("columns")) };
    let mut losses = losses;
    same_length("inferer losses", inferers.len(), losses.inferers.len())?;
    same_length("forecaster losses", forecasters.len(), losses.forecasters.len())?;
    for (loss, component) in [
        (&mut losses.forecasters, column.forecasters),
        (&mut losses.one_out_inferers, column.one_out_inferers),
        (&mut losses.one_out_forecasters, column.one_out_forecasters),
    ] {
        for (loss, component) in loss.iter_mut().zip(component) {
            *loss = loss.filter(|_| component.is_some());
        }
    }
    if losses.inferers.iter().chain(&losses.forecasters).flatten().any(|&loss| loss < Real::ZERO) {
        return Err(MathError::OutOfRange("reported loss"));
    }
    settle(config, *topic, inferers, forecasters, opening, losses)
}

/// The opening's columns, once it is sure that they are about these members.
fn views<'a>(
    inferers: &[MemberState],
    forecasters: &[MemberState],
    opening: &'a PowerOpening,
) -> Result<Vec<ColumnView<'a>>, MathError> {
    let synthesis = &opening.synthesis;
    same_length("inferer states", synthesis.inferer_weights.len(), inferers.len())?;
    same_length("forecaster states", synthesis.forecaster_weights.len(), forecasters.len())?;
    same_length("columns", synthesis.columns.len(), opening.values.len())?;
    let view = |(column, values): (&'a Column, &'a Vec<Real>)| {
        same_length("inferences", inferers.len(), values.len())?;
        same_length("implied inferences", forecasters.len(), column.implied.len())?;
        Ok(ColumnView {
            combined: column.combined,
            naive: column.naive,
            inferers: values,
            forecasters: &column.implied,
            one_out_inferers: &column.one_out_inferers,
            one_out_forecasters: &column.one_out_forecasters,
            one_in_forecasters: &[],
            one_out_inferer_forecaster: &[],
        })
    };
    synthesis.columns.iter().zip(&opening.values).map(view).collect()
}

/// What both ways to close share: merits and states from raw losses.
fn settle(
    config: &PowerConfig,
    topic: TopicState,
    inferers: &[MemberState],
    forecasters: &[MemberState],
    opening: &PowerOpening,
    losses: Losses,
) -> Result<PowerClosing, MathError> {
    config.validate()?;
    let (gain, network, synthesis) = (config.gain, losses.combined, &opening.synthesis);
    let inferer_merits =
        merits(gain, network, &synthesis.inferer_weights, &losses.inferers, &losses.one_out_inferers)?;
    let forecaster_merits = merits(
        gain,
        network,
        &synthesis.forecaster_weights,
        &losses.forecasters,
        &losses.one_out_forecasters,
    )?;
    Ok(PowerClosing {
        inferers: advance(config, inferers, &losses.inferers, &inferer_merits.scores)?,
        forecasters: advance(config, forecasters, &losses.forecasters, &forecaster_merits.scores)?,
        topic,
        losses,
        inferer_merits,
        forecaster_merits,
    })
}

fn same_length(what: &'static str, expected: usize, actual: usize) -> Result<(), MathError> {
    if expected == actual { Ok(()) } else { Err(MathError::Length { what, expected, actual }) }
}

/// Combine specification, section 6: gains, proper parts and scores of one role, under any rule.
///
/// `gain` is the share of the diversity credit (g), `network` the loss of the network inference; per member its
/// weight there, its own loss and the loss of the network without it, all losses raw. A member without either loss,
/// or beyond the end of its list, gets none. Errors: [`MathError::NotFinite`] on overflow.
pub fn merits(
    gain: Real,
    network: Real,
    weights: &[Real],
    own: &[Option<Real>],
    one_out: &[Option<Real>],
) -> Result<Merits, MathError> {
    let mut merits = Merits {
        gains: vec![None; weights.len()],
        proper: vec![None; weights.len()],
        scores: vec![None; weights.len()],
    };
    for (place, ((weight, own), one_out)) in weights.iter().zip(own).zip(one_out).enumerate() {
        let (Some(own), Some(one_out)) = (own, one_out) else { continue };
        let whole = one_out.get() - network.get();
        let proper = weight.get() * (one_out.get() - own.get());
        merits.gains[place] = Some(Real::named(whole, "gain")?);
        merits.proper[place] = Some(Real::named(proper, "proper part")?);
        merits.scores[place] = Some(Real::named(proper + gain.get() * (whole - proper), "score")?);
    }
    Ok(merits)
}

/// The states of one role after an epoch.
fn advance(
    config: &PowerConfig,
    states: &[MemberState],
    losses: &[Option<Real>],
    scores: &[Option<Real>],
) -> Result<Vec<MemberState>, MathError> {
    let one = |((state, loss), score): ((&MemberState, &Option<Real>), &Option<Real>)| {
        step(config, state, *loss, *score)
    };
    states.iter().zip(losses).zip(scores).map(one).collect()
}

/// One member's memory after an epoch: its mean loss moves towards `loss` and its mean score towards `score`, where there
/// is one. Errors: [`MathError::NotFinite`] on overflow.
pub fn step(
    config: &PowerConfig,
    state: &MemberState,
    loss: Option<Real>,
    score: Option<Real>,
) -> Result<MemberState, MathError> {
    let mut next = *state;
    if let Some(loss) = loss {
        next.count = state.count.saturating_add(1);
        let rate = config.alpha.get().max(1.0 / f64::from(next.count));
        let moved = state.loss.get() + rate * (loss.get() - state.loss.get());
        // At rate 1 the step may overshoot zero by a rounding.
        next.loss = Real::named(moved.max(0.0), "mean loss")?;
    }
    if let Some(score) = score {
        let average = state.score.get();
        next.score = Real::named(average + config.score_rate.get() * (score.get() - average), "mean score")?;
    }
    Ok(next)
}

/// The topic's error scale after an epoch whose network inference was `combined` (L values): the error is the mean of
/// `|x - y|` over the labels somebody knows, those outside the columns not counted. Without a known label the state
/// stays. Rules that do not clamp use it too: it makes their error bar and judges how far apart two reported truths
/// are. Errors: [`MathError::Length`], [`MathError::NotFinite`] on overflow.
pub fn follow_error(
    config: &PowerConfig,
    topic: &TopicState,
    combined: &[Real],
    truth: &Truth,
) -> Result<TopicState, MathError> {
    same_length("truth", combined.len(), truth.labels.len())?;
    let known = combined.iter().zip(&truth.labels).filter_map(|(x, y)| Some((x.get() - (*y)?.get()).abs()));
    let errors: Vec<f64> = known.collect();
    let Some(error) = stats::mean(&errors) else { return Ok(*topic) };
    let scale = topic.scale.get();
    let mut next = *topic;
    next.scale_count = topic.scale_count.saturating_add(1);
    let moved = if topic.scale_count < SCALE_WARM_UP {
        scale + (error - scale) / f64::from(next.scale_count)
    } else if scale > 0.0 {
        scale + config.beta.get() * (error.min(SCALE_CLIP * scale) - scale)
    } else {
        // A scale of zero would clip every error to zero and never leave it.
        config.beta.get() * error
    };
    next.scale = Real::named(moved.max(0.0), "error scale")?;
    Ok(next)
}

/// The topic's error scale and sharpening after an epoch.
fn advance_topic(
    config: &PowerConfig,
    topic: &TopicState,
    opening: &PowerOpening,
    truth: &Truth,
) -> Result<TopicState, MathError> {
    let combined = opening.synthesis.combined();
    let mut next = follow_error(config, topic, &combined, truth)?;
    if config.pool == Pool::Log {
        let gradient = sharpening_gradient(&combined, &truth.labels, &opening.pooled);
        let squares = topic.sharpening_grad.get() + gradient * gradient;
        next.sharpening_grad = Real::named(squares, "sharpening gradient")?;
        if squares > 0.0 {
            let step = SHARPENING_STEP * gradient / func::sqrt(squares);
            let moved = (topic.sharpening.get() - step).clamp(SHARPENING.0, SHARPENING.1);
            next.sharpening = Real::named(moved, "sharpening")?;
        }
    }
    Ok(next)
}

/// Derivative of the log-loss of the network inference p in the sharpening, S being the pooled coordinates:
/// `(p - y) S` for one label, `sum_c (p_c - y_c) S_c` for several. Truth outside the columns, which no sharpening
/// reaches, is taken out: p is scaled to the part of the truth that the columns have.
fn sharpening_gradient(combined: &[Real], truth: &[Option<Real>], pooled: &[Real]) -> f64 {
    let labels = || combined.iter().zip(truth).zip(pooled);
    let reached: f64 = match combined {
        [_] => 1.0,
        _ => truth.iter().flatten().map(|y| y.get()).sum(),
    };
    let part =
        |((p, y), s): ((&Real, &Option<Real>), &Real)| Some((reached * p.get() - (*y)?.get()) * s.get());
    labels().filter_map(part).sum()
}
