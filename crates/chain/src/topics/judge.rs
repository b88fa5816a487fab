//! The two computations of an epoch as plain functions: answers in, network inference out; truth in, scores and pay
//! out. Their inputs are complete and have a byte form, so whoever holds those bytes can compute everything again.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    MathError, Real, amount,
    real::func,
    stats,
    topic::{
        combine::{Bundle, Forecast, LossForm, Losses, Rule, Synthesis, Truth, open_plain},
        forfeit::{Forfeit, forfeit},
        interval::error_interval,
        network_loss::network_losses,
        power::{self, MemberState, TopicState},
        regret::{self, RegretConfig, RegretOpening},
        reputer::{self, ReputerConfig},
        score as scores, share, truth,
    },
};

use super::state::{
    Elements, Key, LossSums, Opening, Payout, RegretState, Report, Spec, Split, TruthMode, Void,
};
use crate::params::Params;

/// Everything a network inference is computed from.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenInput {
    /// Topic.
    pub topic: u64,
    /// Epoch.
    pub nonce: u64,
    /// How the topic works.
    pub spec: Spec,
    /// Settings of the regret rule, the chain's parameters filled in.
    pub regret: RegretConfig,
    /// The topic's error scale and sharpening.
    pub memory: TopicState,
    /// Memory of the regret rule; empty under other rules.
    pub regrets: RegretState,
    /// Labels, in the order of the columns.
    pub labels: Vec<String>,
    /// Inferers by address, with what is remembered of them.
    pub inferers: Vec<(Key, MemberState)>,
    /// Inferences: per label, in the order of the inferers.
    pub columns: Vec<Vec<Real>>,
    /// Forecasters by address, with what is remembered of them and what they said.
    pub forecasters: Vec<(Key, MemberState, Elements)>,
}

/// The regret rule's settings for a topic.
pub fn regret_config(spec: &Spec, params: &Params) -> RegretConfig {
    RegretConfig {
        safe_div: params.epsilon_safe_div,
        initial_quantile: params.initial_regret_quantile,
        p_safe_div: params.p_norm_safe_div,
        min_experienced: params.min_experienced_worker_regrets,
        ..spec.regret
    }
}

/// Makes the network inference under the topic's rule.
pub fn open(input: &OpenInput) -> Result<Opening, MathError> {
    drawn(input, regret::open)
}

/// The same inference without the values that only scores and pay hang on, as far as a rule can do without them
/// ([`regret::open_answer`]): for whoever asks what a rule would have said, however many members there are.
pub fn answer(input: &OpenInput) -> Result<Opening, MathError> {
    drawn(input, regret::open_answer)
}

type ByRegret = fn(
    &RegretConfig,
    &RegretState,
    &[Key],
    &[Vec<Real>],
    &[(Key, Forecast)],
) -> Result<RegretOpening, MathError>;

fn drawn(input: &OpenInput, by_regret: ByRegret) -> Result<Opening, MathError> {
    let spec = &input.spec;
    let place = |account: &Key| input.inferers.binary_search_by(|(other, _)| other.cmp(account)).ok();
    let forecast = |elements: &Elements| Forecast {
        losses: elements.iter().filter_map(|(inferer, loss)| Some((place(inferer)?, *loss))).collect(),
    };
    match spec.rule {
        Rule::Power => {
            let inferers: Vec<MemberState> = input.inferers.iter().map(|(_, state)| *state).collect();
            let forecasters: Vec<(MemberState, Forecast)> =
                input.forecasters.iter().map(|(_, state, elements)| (*state, forecast(elements))).collect();
            power::open(&spec.power, &input.memory, &inferers, &input.columns, &forecasters)
                .map(Opening::Power)
        }
        Rule::Regret => {
            let names: Vec<Key> = input.inferers.iter().map(|(account, _)| *account).collect();
            // Forecasts name losses; the rule compares their logarithms, unless losses may be negative.
            let scaled = |elements: &Elements| match input.regret.form() {
                LossForm::Raw => forecast(elements),
                LossForm::Log10 => log_forecast(&forecast(elements)),
            };
            let forecasters: Vec<(Key, Forecast)> =
                input.forecasters.iter().map(|(account, _, elements)| (*account, scaled(elements))).collect();
            let mut opening = by_regret(&input.regret, &input.regrets, &names, &input.columns, &forecasters)?;
            widen(input, &mut opening.synthesis)?;
            Ok(Opening::Regret(opening))
        }
        rule @ (Rule::Median | Rule::Mean) => {
            let mut synthesis = open_plain(rule, &input.columns, input.forecasters.len())?;
            widen(input, &mut synthesis)?;
            Ok(Opening::Plain(synthesis, input.columns.clone()))
        }
    }
}

/// A forecast of losses as a forecast of their decimal logarithms.
fn log_forecast(forecast: &Forecast) -> Forecast {
    let log = |loss: Real| Real::new(func::log10(loss.get())).unwrap_or(Real::ZERO);
    Forecast { losses: forecast.losses.iter().map(|(j, loss)| (*j, log(*loss))).collect() }
}

/// Error bar of the rules that keep no scale themselves: the network's own error where it is known. A probability's
/// distance from 0 or 1 is no error bar of the probability.
fn widen(input: &OpenInput, synthesis: &mut Synthesis) -> Result<(), MathError> {
    if input.memory.scale_count >= power::SCALE_WARM_UP && !input.spec.loss.is_probability() {
        for column in &mut synthesis.columns {
            column.interval = error_interval(column.combined.get(), input.memory.scale.get())?;
        }
    }
    Ok(())
}

/// Keeps the memory of the regret rule to `most` accounts: anybody may join. Of those not `present` the ones heard
/// longest ago go, and would come back as newcomers; who is present stays.
pub fn forget_absent<E>(
    regrets: &mut RegretState,
    present: &BTreeSet<Key>,
    most: usize,
    heard: impl Fn(&Key) -> Result<u64, E>,
) -> Result<(), E> {
    let known: BTreeSet<Key> =
        regrets.inferer_inclusions.keys().chain(regrets.forecaster_inclusions.keys()).copied().collect();
    let surplus = known.len().saturating_sub(most);
    if surplus == 0 {
        return Ok(());
    }
    let absent = known.difference(present).map(|account| Ok((heard(account)?, *account)));
    let mut absent = absent.collect::<Result<Vec<_>, E>>()?;
    absent.sort_unstable();
    absent.iter().take(surplus).for_each(|(_, account)| regrets.forget(account));
    Ok(())
}

/// How many accounts the regret rule remembers after an epoch of so many members: room for twice who speaks at once, so
/// that members who take turns keep their history.
pub fn remembered(present: usize, params: &Params) -> usize {
    let limit = u64::from(params.max_members_regret) + u64::from(params.max_forecasters);
    (2 * present).max(64).min(limit as usize)
}

/// Everything scores and pay are computed from.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JudgeInput {
    /// Topic.
    pub topic: u64,
    /// Epoch.
    pub nonce: u64,
    /// How the topic works.
    pub spec: Spec,
    /// The chain's parameters in this.
    pub terms: Terms,
    /// The topic's error scale and sharpening.
    pub memory: TopicState,
    /// Memory of the regret rule; empty under other rules.
    pub regrets: RegretState,
    /// What smooths the split of rewards; empty where they are not split by entropy.
    pub split: Split,
    /// Labels, in the order of the columns.
    pub labels: Vec<String>,
    /// The answer.
    pub opening: Opening,
    /// Inferers by address.
    pub inferers: Vec<(Key, MemberState)>,
    /// Forecasters by address.
    pub forecasters: Vec<(Key, MemberState)>,
    /// Members who sealed a word and never opened it, by address: inferers, forecasters.
    pub unopened: [Vec<(Key, MemberState)>; 2],
    /// Reputers by address.
    pub reports: Vec<Reported>,
    /// What the epoch can pay, uallo.
    pub budget: u128,
}

/// One reputer's word and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reported {
    /// Whose.
    pub account: Key,
    /// Own and delegated stake, uallo.
    pub stake: u128,
    /// How much it is listened to.
    pub listening: Real,
    /// Its word.
    pub report: Report,
}

/// Parameters of the chain that enter scores and pay.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Terms {
    /// The regret rule's settings.
    pub regret: RegretConfig,
    /// How losses are listened to.
    pub reputers: ReputerConfig,
    /// Largest say of one reputer, 1/10 000.
    pub reputer_weight_cap: u16,
    /// Reputers' part of a reward that is not split by entropy, 1/10 000.
    pub reputer_share: u16,
    /// Exponent of the modified entropy.
    pub beta_entropy: Real,
    /// Smoothing of fractions and of the task score.
    pub task_alpha: Real,
    /// Map from scores to fractions: steepness and centre, for inferers and forecasters.
    pub reward_map: [(Real, Real); 2],
    /// Exponent of stake times score.
    pub p_reward_reputer: Real,
    /// Scores kept to standardise by, of inferers and of forecasters.
    pub scores_kept: [u32; 2],
}

impl Terms {
    /// Those in force for a topic with these caps of inferers and forecasters.
    pub fn of(spec: &Spec, params: &Params, caps: [u32; 2]) -> Self {
        Self {
            regret: regret_config(spec, params),
            reputers: params.reputers(),
            reputer_weight_cap: params.reputer_weight_cap,
            reputer_share: params.reputer_share,
            beta_entropy: params.beta_entropy,
            task_alpha: params.task_reward_alpha,
            reward_map: [
                (params.p_reward_inference, params.c_reward_inference),
                (params.p_reward_forecast, params.c_reward_forecast),
            ],
            p_reward_reputer: params.p_reward_reputer,
            scores_kept: caps.map(|cap| cap.saturating_mul(params.max_samples_to_scale_scores)),
        }
    }
}

/// What an epoch comes to.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct Judged {
    /// What happened, by label; empty where reputers bring losses.
    pub truth: Vec<(String, Real)>,
    /// Raw losses of everything published.
    pub raw: Losses,
    /// The same on the scale the topic compares them on.
    pub compared: Losses,
    /// Whether that scale is logarithmic.
    pub logarithms: bool,
    /// Raw losses of network, mean and median.
    pub sums: LossSums,
    /// This epoch's scores, inferers then forecasters; none: no part taken, or nobody to compare with.
    pub scores: Vec<Option<Real>>,
    /// New states of the members, same order.
    pub states: Vec<MemberState>,
    /// What an unopened word counted for, as raw loss: an inferer's, a forecaster's; none where nobody spoke.
    pub forfeits: [Option<Forfeit>; 2],
    /// New states of those who never opened theirs, in the order of the input.
    pub unopened: [Vec<MemberState>; 2],
    /// Fractions within their role, same order, before the roles' parts.
    pub fractions: Vec<Real>,
    /// Pay of inferers and forecasters, uallo, same order.
    pub pay: Vec<u128>,
    /// Scores of reputers.
    pub reputer_scores: Vec<Real>,
    /// New listening coefficients of reputers.
    pub listening: Vec<Real>,
    /// Reputers' fractions within their role.
    pub reputer_fractions: Vec<Real>,
    /// Pay of reputers, uallo.
    pub reputer_pay: Vec<u128>,
    /// Parts of the roles in the budget.
    pub roles: Roles,
    /// New memory of the topic.
    pub memory: TopicState,
    /// New memory of the regret rule, under that rule.
    pub regrets: Option<RegretState>,
    /// New memory of the split, where rewards are split by entropy.
    pub split: Option<Split>,
}

/// How the budget is split between roles.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Roles {
    /// Part of inferers; with forecasters' where the two are not told apart.
    pub inferers: Real,
    /// Part of forecasters.
    pub forecasters: Real,
    /// Part of reputers.
    pub reputers: Real,
    /// Entropies of the three; zero where they do not matter.
    pub entropies: [Real; 3],
    /// Forecasters' utility χ; zero where it does not matter.
    pub utility: Real,
}

/// Agrees on what happened, scores everybody, splits the budget. The error is why the epoch has no score.
pub fn judge(input: &JudgeInput) -> Result<Judged, Void> {
    if input.reports.is_empty() {
        return Err(Void::NoTruth);
    }
    match input.spec.truth_mode {
        TruthMode::Truth => {
            let agreed = agree(input)?;
            from_truth(input, agreed).map_err(|_| Void::Arithmetic)
        }
        TruthMode::Losses => from_losses(input).map_err(|_| Void::Arithmetic),
    }
}

/// One truth from many reports.
struct Agreed {
    /// For the losses.
    truth: Truth,
    /// For people.
    values: Vec<(String, Real)>,
    /// One per report.
    scores: Vec<Real>,
}

fn agree(input: &JudgeInput) -> Result<Agreed, Void> {
    let rules = &input.spec.labels;
    let said = |reported: &'_ Reported| match &reported.report {
        Report::Truth { values, .. } => values.clone(),
        Report::Losses(_) => Vec::new(),
    };
    // Labels of the answer first; in classification a truth outside of them counts too.
    let mut labels = input.labels.clone();
    let mut places: BTreeMap<String, usize> =
        labels.iter().enumerate().map(|(place, label)| (label.clone(), place)).collect();
    if rules.classification {
        let outside: BTreeSet<String> = input.reports.iter().flat_map(said).map(|(label, _)| label).collect();
        for label in outside {
            if !places.contains_key(&label) {
                places.insert(label.clone(), labels.len());
                labels.push(label);
            }
        }
    }
    // In classification silence about a label means its default.
    let absent = rules.classification.then_some(rules.default);
    let votes: Vec<(u128, Vec<Option<Real>>)> = input
        .reports
        .iter()
        .map(|reported| {
            let mut vote = vec![absent; labels.len()];
            for (label, value) in said(reported) {
                if let Some(place) = places.get(&label) {
                    vote[*place] = Some(value);
                }
            }
            (reported.stake, vote)
        })
        .collect();
    let cap = Real::new(f64::from(input.terms.reputer_weight_cap.max(1)) / 10_000.0)
        .map_err(|_| Void::Arithmetic)?;
    let agreed = if rules.multi && rules.require_unity {
        truth::classes(&votes, cap).map_err(|_| Void::NoAgreement)?
    } else {
        truth::consensus(&votes, cap, input.memory.scale).map_err(|_| Void::Arithmetic)?
    };
    let known = input.labels.len();
    let outside = agreed.values[known..].iter().flatten().map(|value| (rules.default, *value)).collect();
    let values = labels.iter().zip(&agreed.values).filter_map(|(l, v)| Some((l.clone(), (*v)?))).collect();
    let truth = Truth { labels: agreed.values[..known].to_vec(), outside };
    Ok(Agreed { truth, values, scores: agreed.scores })
}

fn bundle(opening: &Opening) -> Result<Bundle, MathError> {
    match opening {
        Opening::Power(o) => o.bundle(),
        Opening::Regret(o) => o.bundle(),
        Opening::Plain(synthesis, columns) => synthesis.bundle(columns),
    }
}

fn from_truth(input: &JudgeInput, agreed: Agreed) -> Result<Judged, MathError> {
    let (spec, form) = (&input.spec, input.terms.regret.form());
    let bundle = bundle(&input.opening)?;
    let raw = Losses::of(&bundle, &agreed.truth, spec.loss, LossForm::Raw)?;
    let compared = Losses::of(&bundle, &agreed.truth, spec.loss, form)?;
    let synthesis = input.opening.synthesis();
    let loss_of = |pick: &dyn Fn(usize) -> Real| -> Result<Real, MathError> {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for (place, value) in agreed.truth.labels.iter().enumerate() {
            if let Some(value) = value {
                x.push(pick(place).get());
                y.push(value.get());
            }
        }
        for (given, value) in &agreed.truth.outside {
            x.push(given.get());
            y.push(value.get());
        }
        Real::new(spec.loss.of(&x, &y))
    };
    let sums = LossSums {
        network: raw.combined,
        mean: loss_of(&|place| synthesis.columns[place].mean)?,
        median: loss_of(&|place| synthesis.columns[place].median)?,
    };
    let combined: Vec<Real> = synthesis.columns.iter().map(|column| column.combined).collect();
    let (inferers, forecasters) = states(input);
    let (learned, memory) = match &input.opening {
        Opening::Power(opening) => {
            let closed =
                power::close(&spec.power, &input.memory, &inferers, &forecasters, opening, &agreed.truth)?;
            (Some((closed.inferers, closed.forecasters)), closed.topic)
        }
        _ => (None, power::follow_error(&spec.power, &input.memory, &combined, &agreed.truth)?),
    };
    let listening = input.reports.iter().map(|r| r.listening).collect();
    let settled = Settled { raw, compared, sums, learned, memory, scores: agreed.scores, listening };
    settle(input, agreed.values, settled)
}

fn from_losses(input: &JudgeInput) -> Result<Judged, MathError> {
    let spec = &input.spec;
    let reported: Vec<(Real, Losses)> = input
        .reports
        .iter()
        .filter_map(|r| match &r.report {
            Report::Losses(losses) => Some((Real::from_amount(r.stake), losses.clone())),
            Report::Truth { .. } => None,
        })
        .collect();
    let compared = network_losses(&reported)?;
    let raw = match input.terms.regret.form() {
        LossForm::Log10 => compared.to_raw()?,
        LossForm::Raw => compared.clone(),
    };
    let stakes: Vec<Real> = reported.iter().map(|(stake, _)| *stake).collect();
    let coefficients: Vec<Real> = input.reports.iter().map(|r| r.listening).collect();
    let vectors: Vec<Vec<Option<Real>>> =
        reported.iter().map(|(_, losses)| reputer::flatten(losses)).collect();
    let heard = reputer::consensus(&input.terms.reputers, &stakes, &coefficients, &vectors)?;
    let (inferers, forecasters) = states(input);
    let learned = match &input.opening {
        Opening::Power(opening) => {
            let closed = power::close_reported(
                &spec.power,
                &input.memory,
                &inferers,
                &forecasters,
                opening,
                raw.clone(),
            )?;
            Some((closed.inferers, closed.forecasters))
        }
        _ => None,
    };
    // Without the truth itself neither an error scale nor the losses of mean and median are known.
    let sums = LossSums { network: raw.combined, mean: Real::ZERO, median: Real::ZERO };
    let (scores, listening) = (heard.scores, heard.coefficients);
    settle(
        input,
        Vec::new(),
        Settled { raw, compared, sums, learned, memory: input.memory, scores, listening },
    )
}

fn states(input: &JudgeInput) -> (Vec<MemberState>, Vec<MemberState>) {
    (input.inferers.iter().map(|m| m.1).collect(), input.forecasters.iter().map(|m| m.1).collect())
}

/// What both ways of knowing the losses lead to.
struct Settled {
    raw: Losses,
    compared: Losses,
    sums: LossSums,
    /// The power rule's new states of inferers and forecasters.
    learned: Option<(Vec<MemberState>, Vec<MemberState>)>,
    memory: TopicState,
    /// Of reputers.
    scores: Vec<Real>,
    listening: Vec<Real>,
}

/// From losses to scores, fractions and pay.
fn settle(input: &JudgeInput, truth: Vec<(String, Real)>, settled: Settled) -> Result<Judged, MathError> {
    let (spec, terms) = (&input.spec, &input.terms);
    let Settled { raw, compared, sums, learned, memory, scores: reputer_scores, listening } = settled;
    let names = |members: &[(Key, MemberState)]| members.iter().map(|m| m.0).collect::<Vec<Key>>();
    let (inferers, forecasters) = (names(&input.inferers), names(&input.forecasters));

    let (of_inferers, of_forecasters) = member_scores(input, &raw, &compared)?;
    let regrets = match spec.rule {
        Rule::Regret => {
            let closed = regret::close(&terms.regret, &input.regrets, &inferers, &forecasters, &compared)?;
            let mut regrets = closed.state;
            forfeit_regrets(input, &mut regrets, &compared, [&of_inferers, &of_forecasters])?;
            Some(regrets)
        }
        _ => None,
    };
    let (forfeits, unopened) = forfeit_states(input, &raw, [&of_inferers, &of_forecasters])?;
    let scores: Vec<Option<Real>> = of_inferers.iter().chain(&of_forecasters).copied().collect();
    let states = match learned {
        Some((inferers, forecasters)) => inferers.into_iter().chain(forecasters).collect(),
        None => average(input, &scores)?,
    };

    let staked: Vec<(Real, Real)> = input
        .reports
        .iter()
        .zip(&reputer_scores)
        .map(|(r, score)| (Real::from_amount(r.stake), *score))
        .collect();
    let reputer_fractions = share::reputer_fractions(&staked, terms.p_reward_reputer)?;
    let (fractions, roles, split) = match spec.payout {
        Payout::Gains => {
            let averages: Vec<Real> = states.iter().map(|s: &MemberState| s.score).collect();
            let fractions =
                share::power_fractions(&averages)?.unwrap_or_else(|| vec![Real::ZERO; averages.len()]);
            let reputers = f64::from(terms.reputer_share) / 10_000.0;
            let roles = Roles {
                inferers: Real::new(1.0 - reputers)?,
                reputers: Real::new(reputers)?,
                ..Roles::default()
            };
            (fractions, roles, None)
        }
        Payout::Entropy => {
            let zero = |scores: &[Option<Real>]| -> Vec<Real> {
                scores.iter().map(|s| s.unwrap_or(Real::ZERO)).collect()
            };
            let scores = [zero(&of_inferers), zero(&of_forecasters)];
            let accounts = [inferers, forecasters];
            let (fractions, roles, split) =
                split_by_entropy(input, &scores, accounts, &reputer_fractions, &compared)?;
            (fractions, roles, Some(split))
        }
    };

    let count = input.inferers.len();
    let scaled = |place: usize, fraction: &Real| -> Result<Real, MathError> {
        // Paid by gains, inferers and forecasters share one part.
        let part = match spec.payout {
            Payout::Entropy if place >= count => roles.forecasters,
            _ => roles.inferers,
        };
        Real::new(fraction.get() * part.get())
    };
    let shares = fractions.iter().enumerate().map(|(i, f)| scaled(i, f)).collect::<Result<Vec<_>, _>>()?;
    let workers = Real::new(roles.inferers.get() + roles.forecasters.get())?;
    // A role in which nobody earned anything leaves its part in the topic's pot.
    let parts = amount::split(input.budget, &[workers, roles.reputers]).unwrap_or_else(|_| vec![0, 0]);
    let pay = amount::split(parts[0], &shares).unwrap_or_else(|_| vec![0; shares.len()]);
    let reputer_pay =
        amount::split(parts[1], &reputer_fractions).unwrap_or_else(|_| vec![0; reputer_fractions.len()]);
    Ok(Judged {
        truth,
        logarithms: terms.regret.form() == LossForm::Log10,
        raw,
        compared,
        sums,
        scores,
        states,
        forfeits,
        unopened,
        fractions,
        pay,
        reputer_scores,
        listening,
        reputer_fractions,
        reputer_pay,
        roles,
        memory,
        regrets,
        split,
    })
}

/// This epoch's scores: one-out gains in raw losses, or the differences of compared losses.
#[allow(clippy::type_complexity)] // two lists, here only
fn member_scores(
    input: &JudgeInput,
    raw: &Losses,
    compared: &Losses,
) -> Result<(Vec<Option<Real>>, Vec<Option<Real>>), MathError> {
    if input.spec.payout == Payout::Entropy {
        return Ok((scores::inferer_scores(compared)?, scores::forecaster_scores(compared)?));
    }
    let (gain, synthesis) = (input.spec.power.gain, input.opening.synthesis());
    let of = |weights: &[Real], own: &[Option<Real>], one_out: &[Option<Real>]| {
        power::merits(gain, raw.combined, weights, own, one_out).map(|merits| merits.scores)
    };
    Ok((
        of(&synthesis.inferer_weights, &raw.inferers, &raw.one_out_inferers)?,
        of(&synthesis.forecaster_weights, &raw.forecasters, &raw.one_out_forecasters)?,
    ))
}

/// Score averages of members under rules that keep no other memory of them.
fn average(input: &JudgeInput, scores: &[Option<Real>]) -> Result<Vec<MemberState>, MathError> {
    let one =
        |((_, state), score): (&(Key, MemberState), &Option<Real>)| averaged(&input.spec, state, *score);
    input.inferers.iter().chain(&input.forecasters).zip(scores).map(one).collect()
}

fn averaged(spec: &Spec, state: &MemberState, score: Option<Real>) -> Result<MemberState, MathError> {
    let Some(score) = score else { return Ok(*state) };
    let average = stats::ema(spec.power.score_rate.get(), score.get(), state.score.get(), false);
    Ok(MemberState { score: Real::new(average)?, count: state.count.saturating_add(1), ..*state })
}

/// What silence after a seal costs in each role, and the states of those who kept silent.
#[allow(clippy::type_complexity)] // two pairs, here only
fn forfeit_states(
    input: &JudgeInput,
    raw: &Losses,
    scores: [&[Option<Real>]; 2],
) -> Result<([Option<Forfeit>; 2], [Vec<MemberState>; 2]), MathError> {
    let (spec, mut forfeits, mut states) = (&input.spec, [None; 2], [Vec::new(), Vec::new()]);
    for (role, losses) in [&raw.inferers, &raw.forecasters].into_iter().enumerate() {
        if input.unopened[role].is_empty() {
            continue;
        }
        forfeits[role] = forfeit(losses, scores[role], LossForm::Raw)?;
        for (_, state) in &input.unopened[role] {
            let next = match (forfeits[role], spec.rule) {
                (None, _) => *state,
                (Some(f), Rule::Power) => power::step(&spec.power, state, Some(f.loss), Some(f.score))?,
                (Some(f), _) => averaged(spec, state, Some(f.score))?,
            };
            // Who is worse than the worst anyway gains nothing by silence.
            let (loss, score) = (next.loss.max(state.loss), next.score.min(state.score));
            states[role].push(MemberState { loss, score, ..next });
        }
    }
    Ok((forfeits, states))
}

/// The same in the memory of the regret rule.
fn forfeit_regrets(
    input: &JudgeInput,
    regrets: &mut RegretState,
    compared: &Losses,
    scores: [&[Option<Real>]; 2],
) -> Result<(), MathError> {
    let config = &input.terms.regret;
    for (role, losses) in [&compared.inferers, &compared.forecasters].into_iter().enumerate() {
        if input.unopened[role].is_empty() {
            continue;
        }
        let Some(f) = forfeit(losses, scores[role], config.form())? else { continue };
        for (account, _) in &input.unopened[role] {
            let network = (compared.combined, compared.naive);
            regret::forfeit(config, regrets, (account, role == 1), network, f.loss)?;
        }
    }
    Ok(())
}

/// Fractions by standardised scores, roles by entropy (topics §7.2, §7.3).
fn split_by_entropy(
    input: &JudgeInput,
    scores: &[Vec<Real>; 2],
    [inferers, forecasters]: [Vec<Key>; 2],
    reputer_fractions: &[Real],
    compared: &Losses,
) -> Result<(Vec<Real>, Roles, Split), MathError> {
    let (terms, before) = (&input.terms, &input.split);
    let histories = [
        extend(&before.inferer_scores, &scores[0], terms.scores_kept[0]),
        extend(&before.forecaster_scores, &scores[1], terms.scores_kept[1]),
    ];
    let epsilon = terms.regret.epsilon;
    let fractions = |role: usize| -> Result<Vec<Real>, MathError> {
        let (p, c) = terms.reward_map[role];
        match scores[role].is_empty() {
            true => Ok(Vec::new()),
            false => share::worker_fractions(&scores[role], &histories[role], p, c, epsilon),
        }
    };
    let (of_inferers, of_forecasters) = (fractions(0)?, fractions(1)?);
    let reputers: Vec<Key> = input.reports.iter().map(|r| r.account).collect();
    let (smooth_i, entropy_i) = smoothed_entropy(terms, &inferers, &of_inferers, &before.inferers)?;
    let (smooth_f, entropy_f) = smoothed_entropy(terms, &forecasters, &of_forecasters, &before.forecasters)?;
    let (smooth_r, entropy_r) = smoothed_entropy(terms, &reputers, reputer_fractions, &before.reputers)?;
    // Forecasters have no part in a topic of a single inferer.
    let entropy_f = if inferers.len() < 2 { Real::ZERO } else { entropy_f };
    let useful = share::forecaster_utility(
        terms.task_alpha,
        compared.naive,
        compared.combined,
        &scores[0],
        before.tau,
    )?;
    let tasks = share::task_split(entropy_i, entropy_f, entropy_r, useful.utility)?;
    let roles = Roles {
        inferers: tasks.inferers,
        forecasters: tasks.forecasters,
        reputers: tasks.reputers,
        entropies: [entropy_i, entropy_f, entropy_r],
        utility: useful.utility,
    };
    let [inferer_scores, forecaster_scores] = histories;
    let split = Split {
        inferer_scores,
        forecaster_scores,
        inferers: smooth_i,
        forecasters: smooth_f,
        reputers: smooth_r,
        tau: useful.ratio,
    };
    Ok((of_inferers.into_iter().chain(of_forecasters).collect(), roles, split))
}

/// Smooths a role's fractions with those of before, and their entropy. Whoever is absent loses its history.
fn smoothed_entropy(
    terms: &Terms,
    accounts: &[Key],
    fractions: &[Real],
    before: &[(Key, Real)],
) -> Result<(Vec<(Key, Real)>, Real), MathError> {
    if accounts.is_empty() {
        return Ok((Vec::new(), Real::ZERO));
    }
    let previous: Vec<Option<Real>> = accounts
        .iter()
        .map(|account| before.binary_search_by(|(other, _)| other.cmp(account)).ok().map(|at| before[at].1))
        .collect();
    let smooth = share::smooth(terms.task_alpha, fractions, &previous)?;
    let entropy = share::entropy(&smooth.fractions, smooth.effective, terms.beta_entropy)?;
    Ok((accounts.iter().copied().zip(smooth.fractions).collect(), entropy))
}

/// Appends to a bounded history.
fn extend(history: &[Real], newest: &[Real], kept: u32) -> Vec<Real> {
    let all: Vec<Real> = history.iter().chain(newest).copied().collect();
    all[all.len().saturating_sub(kept as usize)..].to_vec()
}
