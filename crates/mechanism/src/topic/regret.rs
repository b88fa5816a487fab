//! The regret rule: weights are sigmoids of smoothed regrets on a common scale; topic specification, sections 4 and 6.
//! Number for number the published v0.17 rule, with the missing (forecaster, inferer) pairs skipped as section 13.5
//! advises. A component's weights are made once and serve all labels.
//!
//! A regret is a reference loss minus a member's loss, positive for a member better than the reference. Every
//! component of an epoch (the network without j, with forecaster k alone, ...) has its own family of regrets, so the
//! state grows with the square of the members; `RegretState::forget` drops those who left for good.

use crate::error::MathError;
use crate::real::{Real, func, reals};
use crate::stats;
use crate::topic::combine::{Bundle, Forecast, LossForm, Losses, Rule, Synthesis, check_columns, open_plain};
use crate::topic::forecast::{RegretImplied, regret_implied, regret_values};
use crate::topic::interval::member_interval;
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;

/// Standard deviation of a Gaussian per unit of its median absolute deviation.
pub const SD_PER_MAD: f64 = 1.4826;

/// Parameters of the rule: some per topic, some network-wide (topic specification, sections 1.1 and 10).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegretConfig {
    /// Steepness of the weight map (p), 1 to 10.
    pub p_norm: Real,
    /// Centre of the weight map (c), -100 to 100, in scales.
    pub c_norm: Real,
    /// Added to every scale, > 0, in units of the losses compared.
    pub epsilon: Real,
    /// Rate at which regrets follow the newest epoch, in (0, 1].
    pub alpha: Real,
    /// Least sum of weights divided by, > 0.
    pub safe_div: Real,
    /// Quantile of the experienced regrets at which newcomers start, in [0, 1].
    pub initial_quantile: Real,
    /// Places newcomers below the useful range of the weight map.
    pub p_safe_div: Real,
    /// Experienced members needed before newcomers are placed relative to them.
    pub min_experienced: u32,
    /// Whether the topic's losses may be negative and are compared raw instead of by their logarithm.
    pub allow_negative: bool,
}

impl RegretConfig {
    /// The defaults in use: p 3, c 0.75, epsilon 0.01, alpha 0.1, and the network-wide values of section 10.
    pub const fn new() -> RegretConfig {
        RegretConfig {
            p_norm: Real::literal(3.0),
            c_norm: Real::literal(0.75),
            epsilon: Real::literal(0.01),
            alpha: Real::literal(0.1),
            safe_div: Real::literal(1e-7),
            initial_quantile: Real::literal(0.25),
            p_safe_div: Real::literal(8.25),
            min_experienced: 10,
            allow_negative: false,
        }
    }

    /// The scale on which this topic's losses are compared.
    pub const fn form(&self) -> LossForm {
        if self.allow_negative { LossForm::Raw } else { LossForm::Log10 }
    }

    /// Checks every parameter against its range. Errors: [`MathError::OutOfRange`] naming the parameter.
    pub fn validate(&self) -> Result<(), MathError> {
        let within = |value: Real, low: f64, high: f64, name| {
            if (low..=high).contains(&value.get()) { Ok(()) } else { Err(MathError::OutOfRange(name)) }
        };
        within(self.p_norm, 1.0, 10.0, "p_norm")?;
        within(self.c_norm, -100.0, 100.0, "c_norm")?;
        within(self.epsilon, f64::MIN_POSITIVE, f64::MAX, "epsilon")?;
        within(self.alpha, f64::MIN_POSITIVE, 1.0, "alpha_regret")?;
        within(self.safe_div, f64::MIN_POSITIVE, f64::MAX, "epsilon_safe_div")?;
        within(self.initial_quantile, 0.0, 1.0, "initial_regret_quantile")
    }
}

impl Default for RegretConfig {
    fn default() -> RegretConfig {
        RegretConfig::new()
    }
}

/// One family of regrets: member to smoothed regret.
pub type Regrets<K> = BTreeMap<K, Real>;
/// One family per removed (or sole) member: that member, then the member judged.
pub type RegretPairs<K> = BTreeMap<K, Regrets<K>>;

/// All that a topic under this rule remembers; `K` is how members are named (an address). Iteration is by `K`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegretState<K: Ord> {
    /// R_j: inferers against the network.
    pub inferers: Regrets<K>,
    /// R_k: forecasters against the network.
    pub forecasters: Regrets<K>,
    /// Rn_j: inferers against the naive inference.
    pub naive: Regrets<K>,
    /// R[-j'→j]: inferers against the network without inferer j'.
    pub one_out_inferer_inferers: RegretPairs<K>,
    /// R[-j'→k]: forecasters, re-implied without j', against the network without inferer j'.
    pub one_out_inferer_forecasters: RegretPairs<K>,
    /// R[-k'→j]: inferers against the network without forecaster k'.
    pub one_out_forecaster_inferers: RegretPairs<K>,
    /// R[-k'→k]: forecasters against the network without forecaster k'.
    pub one_out_forecaster_forecasters: RegretPairs<K>,
    /// R[+k'→j]: inferers against the network with forecaster k' alone.
    pub one_in_forecaster_inferers: RegretPairs<K>,
    /// R[+k'→k']: forecasters against the network in which they are alone.
    pub one_in_forecasters: Regrets<K>,
    /// What a missing regret reads as; 0 means that every inferer is new and all weigh the same.
    pub initial: Real,
    /// The common scale of all regrets (s); 0 before the first scored epoch.
    pub scale: Real,
    /// Loss of the network in the newest scored epoch.
    pub previous_loss: Option<Real>,
    /// Scored epochs per inferer.
    pub inferer_inclusions: BTreeMap<K, u32>,
    /// Scored epochs per forecaster.
    pub forecaster_inclusions: BTreeMap<K, u32>,
}

impl<K: Ord> RegretState<K> {
    /// A topic nobody has been scored in.
    pub const fn new() -> RegretState<K> {
        RegretState {
            inferers: BTreeMap::new(),
            forecasters: BTreeMap::new(),
            naive: BTreeMap::new(),
            one_out_inferer_inferers: BTreeMap::new(),
            one_out_inferer_forecasters: BTreeMap::new(),
            one_out_forecaster_inferers: BTreeMap::new(),
            one_out_forecaster_forecasters: BTreeMap::new(),
            one_in_forecaster_inferers: BTreeMap::new(),
            one_in_forecasters: BTreeMap::new(),
            initial: Real::ZERO,
            scale: Real::ZERO,
            previous_loss: None,
            inferer_inclusions: BTreeMap::new(),
            forecaster_inclusions: BTreeMap::new(),
        }
    }

    /// Drops every entry about a member, who would return as a newcomer.
    pub fn forget(&mut self, member: &K) {
        for family in
            [&mut self.inferers, &mut self.forecasters, &mut self.naive, &mut self.one_in_forecasters]
        {
            family.remove(member);
        }
        for pairs in [
            &mut self.one_out_inferer_inferers,
            &mut self.one_out_inferer_forecasters,
            &mut self.one_out_forecaster_inferers,
            &mut self.one_out_forecaster_forecasters,
            &mut self.one_in_forecaster_inferers,
        ] {
            pairs.remove(member);
            pairs.values_mut().for_each(|family| {
                family.remove(member);
            });
        }
        self.inferer_inclusions.remove(member);
        self.forecaster_inclusions.remove(member);
    }

    /// Appends a family's regrets of some members, missing ones at the initial regret.
    fn read<'a>(&self, family: Option<&Regrets<K>>, members: impl Iterator<Item = &'a K>, into: &mut Vec<f64>)
    where
        K: 'a,
    {
        let regret = |member| family.and_then(|family| family.get(member)).unwrap_or(&self.initial).get();
        into.extend(members.map(regret));
    }
}

impl<K: Ord> Default for RegretState<K> {
    fn default() -> RegretState<K> {
        RegretState::new()
    }
}

/// What an epoch publishes when it opens, with the components only this rule has.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegretOpening {
    /// The published part.
    pub synthesis: Synthesis,
    /// L x N inferences.
    pub values: Vec<Vec<Real>>,
    /// L x K network inferences with that forecaster alone; rows are empty where at most one forecaster takes part.
    pub one_in_forecasters: Vec<Vec<Option<Real>>>,
    /// L x K x N implied inferences without that inferer; rows are empty where no forecaster takes part or one
    /// inferer does.
    pub one_out_inferer_forecaster: Vec<Vec<Vec<Option<Real>>>>,
}

impl RegretOpening {
    /// The values that get a loss.
    pub fn bundle(&self) -> Result<Bundle, MathError> {
        let mut bundle = self.synthesis.bundle(&self.values)?;
        let parts = self.one_in_forecasters.iter().zip(&self.one_out_inferer_forecaster);
        for (column, (one_in, one_out)) in bundle.columns.iter_mut().zip(parts) {
            column.one_in_forecasters.clone_from(one_in);
            column.one_out_inferer_forecaster.clone_from(one_out);
        }
        Ok(bundle)
    }
}

/// What a scored epoch leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegretClosing<K: Ord> {
    /// The state after the epoch.
    pub state: RegretState<K>,
    /// N weights after the epoch, normalised over both roles (section 6.3); none for a member without a regret.
    pub inferer_weights: Vec<Option<Real>>,
    /// K weights after the epoch.
    pub forecaster_weights: Vec<Option<Real>>,
}

/// `(e^a + 1) / (e^b + 1)` without overflow of its parts (section 0.2); the result itself may still be infinite.
pub fn exp_ratio(a: f64, b: f64) -> f64 {
    match (a > 0.0, b > 0.0) {
        (false, false) => (func::exp(a) + 1.0) / (func::exp(b) + 1.0),
        (true, false) => func::exp(a) * (func::exp(-a) + 1.0) / (func::exp(b) + 1.0),
        (false, true) => func::exp(-b) * (func::exp(a) + 1.0) / (func::exp(-b) + 1.0),
        (true, true) => func::exp(a - b) * (func::exp(-a) + 1.0) / (func::exp(-b) + 1.0),
    }
}

/// `1.4826 mad(regrets) + epsilon` (section 4.1).
pub fn regret_scale(regrets: &[f64], epsilon: f64) -> f64 {
    SD_PER_MAD * stats::mad(regrets).0 + epsilon
}

/// Weights of section 4.1, one per regret: 1 for the largest regret, in [0, 1] for the others.
/// Errors: [`MathError::Empty`], [`MathError::OutOfRange`] for a scale that is not positive.
pub fn regret_weights(config: &RegretConfig, regrets: &[f64], scale: f64) -> Result<Vec<f64>, MathError> {
    if regrets.is_empty() {
        return Err(MathError::Empty("regrets"));
    }
    // Written so that a NaN scale is refused as well.
    if !scale.is_finite() || scale <= 0.0 {
        return Err(MathError::OutOfRange("regret scale"));
    }
    let (p, c) = (config.p_norm.get(), config.c_norm.get());
    let exponent = |regret: f64| -p * (regret / scale - c);
    let best = exponent(regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if best > 0.0 {
        return Ok(regrets.iter().map(|&regret| exp_ratio(best, exponent(regret))).collect());
    }
    // The numerator of all weights at once: half of the exponentials. The two branches of `exp_ratio` that remain.
    let numerator = func::exp(best) + 1.0;
    let weight = |b: f64| {
        if b > 0.0 {
            let small = func::exp(-b);
            small * numerator / (small + 1.0)
        } else {
            numerator / (func::exp(b) + 1.0)
        }
    };
    Ok(regrets.iter().map(|&regret| weight(exponent(regret))).collect())
}

/// The initial regret of newcomers from the regrets of experienced members (section 6.2, deviation form):
/// `quantile(E, q) + (c - d_p / p)(stddev(E) + epsilon)`. Errors: [`MathError::OutOfRange`] for a bad quantile.
pub fn initial_regret(config: &RegretConfig, experienced: &[f64]) -> Result<f64, MathError> {
    let spread = stats::stddev(experienced) + config.epsilon.get();
    let steps = config.c_norm.get() - config.p_safe_div.get() / config.p_norm.get();
    Ok(stats::quantile(experienced, config.initial_quantile.get())? + steps * spread)
}

/// Section 4.1 for one component: the weights of its `regrets`, for all labels.
fn component_weights(config: &RegretConfig, scale: f64, regrets: &[f64]) -> Result<Vec<f64>, MathError> {
    // Nothing stored yet: the scale of the very set being weighted.
    let scale = if scale == 0.0 { regret_scale(regrets, config.epsilon.get()) } else { scale };
    regret_weights(config, regrets, scale)
}

/// Section 4.2 for one component and label: the weighted mean of `values`.
fn mix(config: &RegretConfig, weights: &[f64], values: impl Iterator<Item = f64>) -> f64 {
    let (weighted, sum) = values.zip(weights).fold((0.0, 0.0), |(v, s), (x, w)| (v + w * x, s + w));
    weighted / sum.max(config.safe_div.get())
}

/// Opens an epoch: from inferences and forecasts to the network inference and all its components (section 4.4).
///
/// `inferers` are N names and `forecasters` K (name, forecast), both strictly ascending by name; `columns` L times N
/// inferences in the order of `inferers`, one column per label. Forecast losses are on the scale of
/// [`RegretConfig::form`]. While nobody has a loss (`previous_loss` none) forecasters take no part; while the initial
/// regret is 0 all inferers weigh the same and forecasters are only reported.
///
/// Errors: [`MathError::Empty`] without inferers or columns, [`MathError::Length`] for a column of another length,
/// [`MathError::Unsorted`], [`MathError::OutOfRange`] for a parameter, those of [`Forecast::check`],
/// [`MathError::NotFinite`] on overflow.
pub fn open<K: Ord>(
    config: &RegretConfig,
    state: &RegretState<K>,
    inferers: &[K],
    columns: &[Vec<Real>],
    forecasters: &[(K, Forecast)],
) -> Result<RegretOpening, MathError> {
    draw(config, state, inferers, columns, forecasters, Extent::Components)
}

/// [`open`] without the values that only scores and pay hang on: nothing without a member, nothing with one alone; those
/// lists are empty or none. What it says is the same to the last bit, and so is every later answer of a state that
/// [`close`] makes of it, but its cost and its state grow with the members and not with their square. Errors: the same.
pub fn open_answer<K: Ord>(
    config: &RegretConfig,
    state: &RegretState<K>,
    inferers: &[K],
    columns: &[Vec<Real>],
    forecasters: &[(K, Forecast)],
) -> Result<RegretOpening, MathError> {
    draw(config, state, inferers, columns, forecasters, Extent::Answer)
}

/// How much of an epoch is computed.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Extent {
    /// The network inference, the naive one and what forecasters imply.
    Answer,
    /// All of section 4.4.
    Components,
}

fn draw<K: Ord>(
    config: &RegretConfig,
    state: &RegretState<K>,
    inferers: &[K],
    columns: &[Vec<Real>],
    forecasters: &[(K, Forecast)],
    extent: Extent,
) -> Result<RegretOpening, MathError> {
    config.validate()?;
    check_columns(columns, inferers.len())?;
    ascending(inferers.iter(), "inferers")?;
    ascending(forecasters.iter().map(|(name, _)| name), "forecasters")?;
    let (n, labels, scale) = (inferers.len(), columns.len(), state.scale.get());
    let values: Vec<Vec<f64>> =
        columns.iter().map(|column| column.iter().map(|value| value.get()).collect()).collect();
    let mut opening = RegretOpening {
        synthesis: open_plain(Rule::Mean, columns, forecasters.len())?,
        values: columns.to_vec(),
        one_in_forecasters: vec![Vec::new(); labels],
        one_out_inferer_forecaster: vec![Vec::new(); labels],
    };
    if n == 1 {
        return Ok(opening);
    }
    if extent == Extent::Answer {
        opening.synthesis.columns.iter_mut().for_each(|column| column.one_out_inferers.fill(None));
    }

    let new = state.initial == Real::ZERO;
    let mut all_implied: Vec<RegretImplied> = Vec::with_capacity(forecasters.len());
    for (_, forecast) in forecasters {
        all_implied.push(match (state.previous_loss, extent) {
            (Some(previous), Extent::Components) => {
                regret_implied(config, forecast, &values, previous.get(), scale, new)?
            }
            (Some(previous), Extent::Answer) => RegretImplied {
                values: regret_values(config, forecast, &values, previous.get(), scale, new)?,
                without: Vec::new(),
            },
            (None, extent) => RegretImplied {
                values: vec![None; labels],
                without: if extent == Extent::Answer { Vec::new() } else { vec![vec![None; n]; labels] },
            },
        });
    }
    let implied = &all_implied;
    let active: Vec<usize> =
        (0..implied.len()).filter(|&place| implied[place].values.iter().all(Option::is_some)).collect();
    let wrap = |value: Option<f64>| value.map(|value| Real::named(value, "implied inference")).transpose();
    for (label, column) in opening.synthesis.columns.iter_mut().enumerate() {
        column.implied = implied.iter().map(|one| wrap(one.values[label])).collect::<Result<_, _>>()?;
        if extent == Extent::Components && !active.is_empty() {
            opening.one_out_inferer_forecaster[label] = implied
                .iter()
                .map(|one| one.without[label].iter().map(|&value| wrap(value)).collect())
                .collect::<Result<_, _>>()?;
        }
    }
    let several = extent == Extent::Components && active.len() > 1;
    if several {
        opening.one_in_forecasters = vec![vec![None; forecasters.len()]; labels];
    }
    if new {
        // Plain means throughout; the one-out inferer values are the mean rule's own.
        if several {
            for (column, one_in) in opening.synthesis.columns.iter_mut().zip(&mut opening.one_in_forecasters)
            {
                for &place in &active {
                    column.one_out_forecasters[place] = Some(column.combined);
                    one_in[place] = Some(column.combined);
                }
            }
        }
        return Ok(opening);
    }

    let inferer_names = || inferers.iter();
    let forecaster_name = |place: usize| &forecasters[place].0;
    // Only asked of active forecasters, who have a value at every label.
    let forecaster_value = |place: usize, label: usize| implied[place].values[label].unwrap_or(0.0);
    let mut regrets = Vec::with_capacity(n + active.len());

    // The network inference, its weights and error bar.
    state.read(Some(&state.inferers), inferer_names(), &mut regrets);
    state.read(Some(&state.forecasters), active.iter().map(|&place| forecaster_name(place)), &mut regrets);
    let weights = component_weights(config, scale, &regrets)?;
    let sum: f64 = weights.iter().sum();
    let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
    opening.synthesis.inferer_weights = reals(&shares[..n], "weight")?;
    for (&place, &share) in active.iter().zip(&shares[n..]) {
        opening.synthesis.forecaster_weights[place] = Real::named(share, "weight")?;
    }
    for (label, column) in opening.synthesis.columns.iter_mut().enumerate() {
        let mut members = values[label].clone();
        members.extend(active.iter().map(|&place| forecaster_value(place, label)));
        let combined = mix(config, &weights, members.iter().copied());
        column.combined = Real::named(combined, "network inference")?;
        column.interval = member_interval(&members, &shares)?;
    }

    // Inferers alone.
    regrets.clear();
    state.read(Some(&state.naive), inferer_names(), &mut regrets);
    let weights = component_weights(config, scale, &regrets)?;
    for (column, values) in opening.synthesis.columns.iter_mut().zip(&values) {
        let naive = mix(config, &weights, values.iter().copied());
        column.naive = Real::named(naive, "naive inference")?;
    }
    if extent == Extent::Answer {
        return Ok(opening);
    }

    // Without one inferer: everybody else, forecasters re-implied.
    let named = |value: f64| Real::named(value, "network inference").map(Some);
    for (out, name) in inferers.iter().enumerate() {
        regrets.clear();
        let family = state.one_out_inferer_inferers.get(name);
        state.read(family, inferer_names().filter(|&other| other != name), &mut regrets);
        // Who is left is the same at every label: it hangs on the forecast alone.
        let left = |label: usize| {
            active.iter().filter_map(move |&place| Some((place, implied[place].without[label][out]?)))
        };
        let family = state.one_out_inferer_forecasters.get(name);
        state.read(family, left(0).map(|(place, _)| forecaster_name(place)), &mut regrets);
        let weights = component_weights(config, scale, &regrets)?;
        for (label, column) in opening.synthesis.columns.iter_mut().enumerate() {
            let (before, after) = (&values[label][..out], &values[label][out + 1..]);
            let others = before.iter().chain(after).copied();
            let members = others.chain(left(label).map(|(_, value)| value));
            column.one_out_inferers[out] = named(mix(config, &weights, members))?;
        }
    }

    // Without one forecaster, and with one forecaster alone.
    if several {
        for &out in &active {
            let name = forecaster_name(out);
            let left = || active.iter().copied().filter(|&place| place != out);
            regrets.clear();
            state.read(state.one_out_forecaster_inferers.get(name), inferer_names(), &mut regrets);
            let family = state.one_out_forecaster_forecasters.get(name);
            state.read(family, left().map(forecaster_name), &mut regrets);
            let weights = component_weights(config, scale, &regrets)?;
            for (label, column) in opening.synthesis.columns.iter_mut().enumerate() {
                let implied = left().map(|place| forecaster_value(place, label));
                let members = values[label].iter().copied().chain(implied);
                column.one_out_forecasters[out] = named(mix(config, &weights, members))?;
            }

            regrets.clear();
            state.read(state.one_in_forecaster_inferers.get(name), inferer_names(), &mut regrets);
            state.read(Some(&state.one_in_forecasters), std::iter::once(name), &mut regrets);
            let weights = component_weights(config, scale, &regrets)?;
            for (label, one_in) in opening.one_in_forecasters.iter_mut().enumerate() {
                let members = values[label].iter().copied().chain([forecaster_value(out, label)]);
                one_in[out] = named(mix(config, &weights, members))?;
            }
        }
    }
    Ok(opening)
}

/// Closes an epoch with its network losses (section 6): regrets of all families, the initial regret of newcomers,
/// the common scale, the weights that follow. `losses` is on the scale of [`RegretConfig::form`], its lists in the
/// order of `inferers` and `forecasters` (names, strictly ascending); a missing loss leaves its regrets alone.
///
/// Errors: [`MathError::Length`], [`MathError::Unsorted`], [`MathError::OutOfRange`] for a parameter,
/// [`MathError::Empty`] when nobody has a loss, [`MathError::NotFinite`] on overflow.
pub fn close<K: Ord + Clone>(
    config: &RegretConfig,
    state: &RegretState<K>,
    inferers: &[K],
    forecasters: &[K],
    losses: &Losses,
) -> Result<RegretClosing<K>, MathError> {
    config.validate()?;
    ascending(inferers.iter(), "inferers")?;
    ascending(forecasters.iter(), "forecasters")?;
    if losses.inferers.len() != inferers.len() {
        return Err(MathError::Length {
            what: "inferer losses",
            expected: inferers.len(),
            actual: losses.inferers.len(),
        });
    }
    if losses.forecasters.len() > forecasters.len() {
        return Err(MathError::Length {
            what: "forecaster losses",
            expected: forecasters.len(),
            actual: losses.forecasters.len(),
        });
    }
    let mut next = state.clone();
    let step = Step { alpha: config.alpha.get(), initial: state.initial.get() };
    let inferer_loss = |j: usize| entry(&losses.inferers, j);
    let forecaster_loss = |k: usize| entry(&losses.forecasters, k);
    let implied_loss =
        |k: usize, j: usize| losses.one_out_inferer_forecaster.get(k).and_then(|row| entry(row, j));

    step.family(&mut next.inferers, Some(losses.combined), inferers, inferer_loss)?;
    step.family(&mut next.forecasters, Some(losses.combined), forecasters, forecaster_loss)?;
    step.family(&mut next.naive, Some(losses.naive), inferers, inferer_loss)?;
    for (out, name) in inferers.iter().enumerate() {
        let reference = entry(&losses.one_out_inferers, out);
        let implied = |k: usize| implied_loss(k, out);
        step.pair(&mut next.one_out_inferer_inferers, name, reference, inferers, inferer_loss)?;
        step.pair(&mut next.one_out_inferer_forecasters, name, reference, forecasters, implied)?;
    }
    for (out, name) in forecasters.iter().enumerate() {
        let reference = entry(&losses.one_out_forecasters, out);
        step.pair(&mut next.one_out_forecaster_inferers, name, reference, inferers, inferer_loss)?;
        step.pair(&mut next.one_out_forecaster_forecasters, name, reference, forecasters, forecaster_loss)?;
        let reference = entry(&losses.one_in_forecasters, out);
        step.pair(&mut next.one_in_forecaster_inferers, name, reference, inferers, inferer_loss)?;
        let own = |_| forecaster_loss(out);
        step.family(&mut next.one_in_forecasters, reference, std::slice::from_ref(name), own)?;
    }

    // Who is experienced is asked of the state before this epoch; inclusions count from the next one on.
    let threshold = 1.0 / config.alpha.get();
    let seasoned = |regrets: &Regrets<K>, inclusions: &BTreeMap<K, u32>, name: &K| {
        regrets.contains_key(name) && inclusions.get(name).is_some_and(|&count| f64::from(count) >= threshold)
    };
    let (mut all, mut experienced) = (Vec::new(), Vec::new());
    for (j, name) in inferers.iter().enumerate().filter(|&(j, _)| inferer_loss(j).is_some()) {
        let regret = next.inferers.get(name).map_or(step.initial, |regret| regret.get());
        all.push((Role::Inferer(j), regret));
        if seasoned(&state.inferers, &state.inferer_inclusions, name) {
            experienced.push(regret);
        }
        *next.inferer_inclusions.entry(name.clone()).or_insert(0) += 1;
    }
    for (k, name) in forecasters.iter().enumerate().filter(|&(k, _)| forecaster_loss(k).is_some()) {
        let regret = next.forecasters.get(name).map_or(step.initial, |regret| regret.get());
        all.push((Role::Forecaster(k), regret));
        if seasoned(&state.forecasters, &state.forecaster_inclusions, name) {
            experienced.push(regret);
        }
        *next.forecaster_inclusions.entry(name.clone()).or_insert(0) += 1;
    }
    let regrets: Vec<f64> = all.iter().map(|&(_, regret)| regret).collect();
    let initial = if experienced.len() >= config.min_experienced as usize && !experienced.is_empty() {
        initial_regret(config, &experienced)?
    } else if regrets.is_empty() {
        step.initial
    } else {
        stats::quantile(&regrets, config.initial_quantile.get())?
    };
    next.initial = Real::named(initial, "initial regret")?;

    next.scale = Real::named(regret_scale(&regrets, config.epsilon.get()), "regret scale")?;
    next.previous_loss = Some(losses.combined);
    let weights = regret_weights(config, &regrets, next.scale.get())?;
    let sum: f64 = weights.iter().sum();
    let mut closing = RegretClosing {
        state: next,
        inferer_weights: vec![None; inferers.len()],
        forecaster_weights: vec![None; forecasters.len()],
    };
    for (&(role, _), &weight) in all.iter().zip(&weights) {
        let share = Some(Real::named(weight / sum, "weight")?);
        match role {
            Role::Inferer(j) => closing.inferer_weights[j] = share,
            Role::Forecaster(k) => closing.forecaster_weights[k] = share,
        }
    }
    Ok(closing)
}

/// The regrets of a member that kept silent after sealing a word, as if that word had had this loss: against the
/// network, and an inferer's against the naive inference. `network` and `naive` are their losses in the same epoch, on the
/// scale of [`RegretConfig::form`]. Who is not known yet has nothing to lose; nobody gains. Errors: [`MathError::NotFinite`] on
/// overflow.
pub fn forfeit<K: Ord + Clone>(
    config: &RegretConfig,
    state: &mut RegretState<K>,
    (name, forecaster): (&K, bool),
    (network, naive): (Real, Real),
    loss: Real,
) -> Result<(), MathError> {
    let lower = |family: &mut Regrets<K>, reference: Real| -> Result<(), MathError> {
        let Some(regret) = family.get_mut(name) else { return Ok(()) };
        let newest = reference.get() - loss.get();
        let moved = stats::ema(config.alpha.get(), newest, regret.get(), false);
        *regret = Real::named(moved, "regret")?.min(*regret);
        Ok(())
    };
    match forecaster {
        true => lower(&mut state.forecasters, network),
        false => {
            lower(&mut state.inferers, network)?;
            lower(&mut state.naive, naive)
        }
    }
}

/// A member's place in its role.
#[derive(Copy, Clone)]
enum Role {
    Inferer(usize),
    Forecaster(usize),
}

fn entry(list: &[Option<Real>], place: usize) -> Option<Real> {
    list.get(place).copied().flatten()
}

fn ascending<'a, K: Ord + 'a>(
    names: impl Iterator<Item = &'a K>,
    what: &'static str,
) -> Result<(), MathError> {
    if names.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(MathError::Unsorted(what)) }
}

/// One step of the regret averages (section 6.1).
struct Step {
    alpha: f64,
    initial: f64,
}

impl Step {
    /// Moves the regrets of `members` in one family towards `reference - own loss`; without a reference, nothing.
    fn family<K: Ord + Clone>(
        &self,
        family: &mut Regrets<K>,
        reference: Option<Real>,
        members: &[K],
        own: impl Fn(usize) -> Option<Real>,
    ) -> Result<(), MathError> {
        let Some(reference) = reference else { return Ok(()) };
        for (place, name) in members.iter().enumerate() {
            let Some(own) = own(place) else { continue };
            let newest = reference.get() - own.get();
            let moved = |old: f64| Real::named(stats::ema(self.alpha, newest, old, false), "regret");
            match family.get_mut(name) {
                Some(regret) => *regret = moved(regret.get())?,
                None => {
                    family.insert(name.clone(), moved(self.initial)?);
                }
            }
        }
        Ok(())
    }

    /// [`Step::family`] on the family of one removed (or sole) member.
    fn pair<K: Ord + Clone>(
        &self,
        pairs: &mut RegretPairs<K>,
        out: &K,
        reference: Option<Real>,
        members: &[K],
        own: impl Fn(usize) -> Option<Real>,
    ) -> Result<(), MathError> {
        if reference.is_none() {
            return Ok(());
        }
        match pairs.get_mut(out) {
            Some(family) => self.family(family, reference, members, own),
            None => {
                let mut family = Regrets::new();
                self.family(&mut family, reference, members, own)?;
                if !family.is_empty() {
                    pairs.insert(out.clone(), family);
                }
                Ok(())
            }
        }
    }
}
