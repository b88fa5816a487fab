//! The power rule: weight = (discounted mean loss)^-kappa, capped, on inferences clamped to the weighted median.
//! Open and close of one epoch, all one-out values included, in O(N log N + N K); combine specification, section 5.
//!
//! Forecasters are members like any other, whose inference is the one their predicted losses imply. Everything is
//! linear in one coordinate, the inference itself or (logarithmic pool) its log-odds, so removing a member is a sum
//! over the others. Those sums come from running sums from both ends and never from a subtraction: one enormous
//! inference cannot destroy the bits of everybody else's one-out value.

use crate::error::MathError;
use crate::real::{Real, func, reals};
use crate::stats;
use crate::topic::combine::{Bundle, Forecast, LossForm, Losses, Synthesis, Values};
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
    /// Weighted mean of the log-odds, times a learned sharpening. Only with [`Loss::LogLoss`].
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
    /// Largest distance of an inference from the weighted median, in error scales, 3 to 20; none for no clamp.
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
    /// The defaults of section 7 for a loss: kappa 4 / 8 / 4, alpha 0.005, n0 3, cap 0.45, clamp 6, beta 0.02,
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
            pool: match loss {
                Loss::LogLoss => Pool::Log,
                Loss::Squared | Loss::Absolute => Pool::Linear,
            },
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
        if self.pool == Pool::Log && self.loss != Loss::LogLoss {
            return Err(MathError::OutOfRange("pool"));
        }
        Ok(())
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
    /// Running mean absolute error of the network inference (s), >= 0, in the units of the inference.
    pub scale: Real,
    /// Epochs that made it.
    pub scale_count: u32,
    /// Factor on the pooled log-odds (a), 0.2 to 5; only the logarithmic pool uses it.
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
    /// N inferences as submitted: what members are judged by.
    pub values: Vec<Real>,
    /// N inferences as used (z): clipped probabilities, values clamped to the weighted median.
    pub clamped: Vec<Real>,
    /// Weighted mean of the members' coordinates: log-odds before sharpening, or the network inference itself.
    pub pooled: Real,
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

/// The coordinate in which members are mixed, and the way back to an inference.
#[derive(Copy, Clone)]
struct Link {
    pool: Pool,
    clip: bool,
    sharpening: f64,
}

impl Link {
    fn new(config: &PowerConfig, topic: &TopicState) -> Link {
        Link { pool: config.pool, clip: config.loss == Loss::LogLoss, sharpening: topic.sharpening.get() }
    }

    /// From an inference to the coordinate.
    fn coordinate(self, value: f64) -> f64 {
        let value = self.clipped(value);
        match self.pool {
            Pool::Linear => value,
            Pool::Log => func::ln(value / (1.0 - value)),
        }
    }

    /// The inference as the rule sees it.
    fn clipped(self, value: f64) -> f64 {
        if self.clip { clip_probability(value) } else { value }
    }

    /// From a member's coordinate back to an inference.
    fn member(self, coordinate: f64) -> f64 {
        match self.pool {
            Pool::Linear => coordinate,
            Pool::Log => 1.0 / (1.0 + func::exp(-coordinate)),
        }
    }

    /// From a pooled coordinate to a network inference.
    fn network(self, coordinate: f64) -> f64 {
        match self.pool {
            Pool::Linear => coordinate,
            Pool::Log => self.member(self.sharpening * coordinate),
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

/// Opens an epoch: from sealed inferences and forecasts to the network inference with all its by-products.
///
/// `inferers` are (state, inference) and `forecasters` (state, forecast), both sorted by address; forecasts index
/// into `inferers`. The naive inference is the rule as if there were no forecasters. Its capped weights also place
/// the weighted median to which everybody is clamped: under them no inferer can hold the median alone, even where
/// forecasters hold most of the final weight. A forecaster with an empty forecast takes no part. One-out values keep
/// the weights' ratios and the clamped values as they are (section 5); forecasters are re-implied without the member.
///
/// Errors: [`MathError::Empty`] without inferers, [`MathError::OutOfRange`] for a parameter, a negative state, or
/// a predicted loss that is not positive, those of [`Forecast::check`], [`MathError::NotFinite`] on overflow.
pub fn open(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[(MemberState, Real)],
    forecasters: &[(MemberState, Forecast)],
) -> Result<PowerOpening, MathError> {
    config.validate()?;
    if inferers.is_empty() {
        return Err(MathError::Empty("inferers"));
    }
    if topic.scale < Real::ZERO {
        return Err(MathError::OutOfRange("error scale"));
    }
    let states = || inferers.iter().map(|&(state, _)| state);
    let taking_part = || forecasters.iter().filter(|(_, forecast)| !forecast.losses.is_empty());
    if states().chain(forecasters.iter().map(|&(state, _)| state)).any(|state| state.loss < Real::ZERO) {
        return Err(MathError::OutOfRange("mean loss"));
    }
    let link = Link::new(config, topic);
    let n = inferers.len();

    // Inferers alone: naive weights, the weighted median, the clamp.
    let raw: Vec<f64> = inferers.iter().map(|&(_, value)| value.get()).collect();
    let order = stats::ascending(&raw);
    let naive_weights = weights(config, states());
    let mut used: Vec<f64> = raw.iter().map(|&value| link.coordinate(value)).collect();
    let known_scale = (topic.scale_count >= SCALE_WARM_UP).then_some(topic.scale.get());
    if let (Some(clamp), Some(scale), Pool::Linear) = (config.clamp, known_scale, config.pool) {
        let place =
            stats::weighted_median_place(&order, &naive_weights).ok_or(MathError::Empty("weights"))?;
        let center = used[order[place].1 as usize];
        let reach = clamp.get() * scale;
        used.iter_mut().for_each(|z| *z = z.clamp(center - reach, center + reach));
    }
    let naive_pooled: f64 = naive_weights.iter().zip(&used).map(|(w, z)| w * z).sum();

    // Forecasters: what they imply with everybody, and without each inferer they speak about.
    let active = taking_part().count();
    let full_weights = match active {
        0 => naive_weights,
        _ => weights(config, states().chain(taking_part().map(|&(state, _)| state))),
    };
    let (inferer_weights, active_weights) = full_weights.split_at(n);
    let mut terms: Vec<(f64, f64)> = inferer_weights.iter().copied().zip(used.iter().copied()).collect();
    let inferer_sweep = Sweep::new(&terms);
    let mut without = inferer_sweep.others;
    let mut implied = Vec::with_capacity(active);
    let mut sweep = Sweep::default();
    for ((_, forecast), &weight) in taking_part().zip(active_weights) {
        forecast.check(n)?;
        let shares = power_weights(forecast, config.kappa)?;
        terms.clear();
        terms.extend(shares.iter().zip(&forecast.losses).map(|(&share, &(index, _))| (share, used[index])));
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
    terms.extend(active_weights.iter().copied().zip(implied.iter().copied()));
    let forecaster_sweep = Sweep::new(&terms);
    let pooled = inferer_sweep.all.0 + forecaster_sweep.all.0;
    let combined = link.network(pooled);

    let named_network = |rest: (f64, f64)| {
        ratio(rest).map(|pooled| Real::named(link.network(pooled), "one-out inference")).transpose()
    };
    let one_out_inferers = without.iter().map(|&rest| named_network(rest)).collect::<Result<_, _>>()?;
    // Back to one place per forecaster, with those that took no part.
    let mut parts = active_weights.iter().zip(&implied).zip(&forecaster_sweep.others);
    let mut forecaster_weights = vec![Real::ZERO; forecasters.len()];
    let mut forecaster_values = vec![None; forecasters.len()];
    let mut one_out_forecasters = vec![None; forecasters.len()];
    for (place, _) in forecasters.iter().enumerate().filter(|(_, (_, forecast))| !forecast.losses.is_empty())
    {
        let Some(((&weight, &value), &(weighted, weight_left))) = parts.next() else { break };
        forecaster_weights[place] = Real::named(weight, "weight")?;
        forecaster_values[place] = Some(Real::named(link.member(value), "implied inference")?);
        one_out_forecasters[place] =
            named_network((inferer_sweep.all.0 + weighted, inferer_sweep.all.1 + weight_left))?;
    }

    let interval = match known_scale {
        // A probability's distance from 0 or 1 is not an error bar of the probability.
        Some(scale) if config.loss != Loss::LogLoss => error_interval(combined, scale)?,
        _ => {
            let members: Vec<f64> = used.iter().chain(&implied).map(|&z| link.member(z)).collect();
            member_interval(&members, &full_weights)?
        }
    };
    let sorted = |place: usize| order[place].0;
    let median = if n % 2 == 1 { sorted(n / 2) } else { stats::middle(sorted(n / 2 - 1), sorted(n / 2)) };
    let clamped = used.iter().map(|&z| Real::named(link.member(z), "clamped inference"));
    Ok(PowerOpening {
        synthesis: Synthesis {
            combined: Real::named(combined, "network inference")?,
            naive: Real::named(link.network(naive_pooled), "naive inference")?,
            median: Real::named(median, "median")?,
            mean: Real::named(raw.iter().sum::<f64>() / n as f64, "mean")?,
            inferer_weights: reals(inferer_weights, "weight")?,
            forecaster_weights,
            implied: forecaster_values,
            one_out_inferers,
            one_out_forecasters,
            interval,
        },
        values: inferers.iter().map(|&(_, value)| value).collect(),
        clamped: clamped.collect::<Result<_, _>>()?,
        pooled: Real::named(pooled, "pooled coordinate")?,
    })
}

/// Closes an epoch once its truth is known: losses, gains, scores and the states after it.
///
/// `inferers` and `forecasters` are the current states of the members of `opening`, in its order; they and `topic`
/// may have moved since it was made. Members are judged by their inference as submitted, so the clamp never hides a
/// lie from the record; a forecaster by its implied inference. A score without a one-out value does not exist and
/// leaves the average alone.
///
/// Errors: [`MathError::Length`], [`MathError::OutOfRange`] for a parameter or a truth the loss cannot judge,
/// [`MathError::NotFinite`] on overflow.
pub fn close(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[MemberState],
    forecasters: &[MemberState],
    opening: &PowerOpening,
    truth: Real,
) -> Result<PowerClosing, MathError> {
    config.validate()?;
    let synthesis = &opening.synthesis;
    same_length("inferer states", synthesis.inferer_weights.len(), inferers.len())?;
    same_length("forecaster states", synthesis.implied.len(), forecasters.len())?;
    same_length("inferences", synthesis.inferer_weights.len(), opening.values.len())?;
    let values = Values {
        combined: synthesis.combined,
        naive: synthesis.naive,
        inferers: &opening.values,
        forecasters: &synthesis.implied,
        one_out_inferers: &synthesis.one_out_inferers,
        one_out_forecasters: &synthesis.one_out_forecasters,
        one_in_forecasters: &[],
        one_out_inferer_forecaster: &[],
    };
    let losses = values.losses(truth, config.loss, LossForm::Raw)?;

    let inferer_merits = merits(
        config,
        losses.combined,
        &synthesis.inferer_weights,
        &losses.inferers,
        &losses.one_out_inferers,
    )?;
    let forecaster_merits = merits(
        config,
        losses.combined,
        &synthesis.forecaster_weights,
        &losses.forecasters,
        &losses.one_out_forecasters,
    )?;
    Ok(PowerClosing {
        inferers: advance(config, inferers, &losses.inferers, &inferer_merits.scores)?,
        forecasters: advance(config, forecasters, &losses.forecasters, &forecaster_merits.scores)?,
        topic: advance_topic(config, topic, opening, truth)?,
        losses,
        inferer_merits,
        forecaster_merits,
    })
}

fn same_length(what: &'static str, expected: usize, actual: usize) -> Result<(), MathError> {
    if expected == actual { Ok(()) } else { Err(MathError::Length { what, expected, actual }) }
}

/// Section 6: gains, proper parts and scores of one role.
fn merits(
    config: &PowerConfig,
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
        let gain = one_out.get() - network.get();
        let proper = weight.get() * (one_out.get() - own.get());
        merits.gains[place] = Some(Real::named(gain, "gain")?);
        merits.proper[place] = Some(Real::named(proper, "proper part")?);
        merits.scores[place] = Some(Real::named(proper + config.gain.get() * (gain - proper), "score")?);
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
            next.score =
                Real::named(average + config.score_rate.get() * (score.get() - average), "mean score")?;
        }
        Ok(next)
    };
    states.iter().zip(losses).zip(scores).map(one).collect()
}

/// The topic's error scale after an epoch whose network inference was `combined`. Rules that do not clamp use it
/// too: it makes their error bar and judges how far apart two reported truths are.
/// Errors: [`MathError::NotFinite`] on overflow.
pub fn follow_error(
    config: &PowerConfig,
    topic: &TopicState,
    combined: Real,
    truth: Real,
) -> Result<TopicState, MathError> {
    let scale = topic.scale.get();
    let error = (combined.get() - truth.get()).abs();
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
    truth: Real,
) -> Result<TopicState, MathError> {
    let combined = opening.synthesis.combined.get();
    let mut next = follow_error(config, topic, opening.synthesis.combined, truth)?;
    if config.pool == Pool::Log {
        let gradient = (combined - truth.get()) * opening.pooled.get();
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
