//! The truth is known: losses, scores and pay of one epoch.

use std::collections::BTreeSet;

use dodona_mechanism::{
    MathError, Real, amount,
    real::func,
    stats,
    topic::{
        combine::{Forecast, LossForm, Losses, Synthesis},
        power::{self, MemberState, PowerOpening, TopicState},
        regret::{self, RegretConfig, RegretOpening},
        score as scores, share, truth,
    },
};
use dodona_proto::Address;

use super::{
    pot_account,
    state::{
        EPOCHS, EpochState, Key, LossSums, MEMBERS, Member, OPENINGS, Opening, Outcome, POTS, Part, RECORDS,
        REGISTRATIONS, REGRETS, Record, RegretMemory, Report, STAKES, Split, TRUTHS, Topic, TruthReport,
        Void, part, role,
    },
    void::close_void,
};
use crate::{bank, ctx::Ctx, error::Failure, event::Event, params::Params};

/// Scores that reward fractions of the regret rule look back on (topics §7.1): ten epochs of a full topic.
const SCORES_KEPT_INFERERS: usize = 10 * 32;
/// The same for forecasters.
const SCORES_KEPT_FORECASTERS: usize = 10 * 6;
/// Steepness and centre of the map from scores to reward fractions (topics §10, p_reward and c_reward).
const P_REWARD: f64 = 3.0;
/// See [`P_REWARD`].
const C_REWARD: f64 = 0.75;
/// Smoothing of reward fractions and task score (topics §10, task_reward_alpha).
const TASK_ALPHA: f64 = 0.1;
/// Exponent of the modified entropy (topics §10, beta_entropy).
const BETA_ENTROPY: f64 = 0.25;

/// Settings of the regret rule: the published defaults, for every topic.
pub fn regret_config() -> RegretConfig {
    RegretConfig::new()
}

/// A forecast of losses as a forecast of their decimal logarithms.
pub fn log_forecast(forecast: &Forecast) -> Forecast {
    let log = |loss: Real| Real::new(func::log10(loss.get())).unwrap_or(Real::ZERO);
    Forecast { losses: forecast.losses.iter().map(|(j, loss)| (*j, log(*loss))).collect() }
}

/// What an epoch's rule says about its members once the truth is known, and what it remembers.
struct Verdict {
    /// Raw losses of the network, the naive inference, every member and every one-out value.
    losses: Losses,
    /// This epoch's scores, inferers then forecasters; none: no part taken, or nobody to compare with.
    scores: Vec<Option<Real>>,
    /// New states of the members, same order.
    states: Vec<MemberState>,
    /// How workers share their part of the reward, same order; none: nobody earned anything.
    shares: Option<Vec<Real>>,
    /// Parts of workers and reputers in the reward.
    tasks: [Real; 2],
    /// New memory of the topic.
    power: TopicState,
    /// New memory of the regret rule, under that rule.
    memory: Option<RegretMemory>,
}

/// A member's record under its key.
type Row = ((u64, u8, Key), Member);
/// A report with its author and the stake behind it.
type Staked = (Key, u128, TruthReport);

/// Ends an epoch: agrees on the truth, scores everybody, pays everybody.
pub(super) fn score(ctx: &mut Ctx, topic: &mut Topic, nonce: u64) -> Result<(), Failure> {
    let id = topic.id;
    let Some(mut epoch) = EPOCHS.get(ctx.state, &(id, nonce))? else { return Ok(()) };
    let record = RECORDS.get(ctx.state, &(id, nonce))?;
    let (Some(Record { mut answer, .. }), Some(opening)) = (record, OPENINGS.get(ctx.state, &(id, nonce))?)
    else {
        return Ok(()); // void before
    };
    let reports = load_reports(ctx, id, nonce)?;
    let mut members = load_members(ctx, id, &answer.parts)?;
    let params = ctx.params;
    if reports.is_empty() {
        return close_void(ctx, topic, nonce, epoch, Void::NoTruth);
    }
    let memory = match opening {
        Opening::Regret(_) => REGRETS.get(ctx.state, &id)?.unwrap_or_default(),
        _ => RegretMemory::default(),
    };

    let judged = agree(&reports, params, topic).and_then(|(agreed, reputers)| {
        let truth = agreed.value;
        let states: Vec<MemberState> = members.iter().map(|(_, member)| member.state).collect();
        let verdict = match &opening {
            Opening::Power(opening) => judge_power(topic, opening, &states, truth, params)?,
            Opening::Plain(synthesis, values) => {
                judge_plain(topic, synthesis, values, &states, truth, params)?
            }
            Opening::Regret(opening) => {
                let accounts: Vec<Key> = answer.parts.iter().map(|p| p.account).collect();
                judge_regret(topic, opening, &accounts, &states, truth, &memory, &reports, &reputers)?
            }
        };
        let losses = LossSums {
            network: verdict.losses.combined,
            mean: Real::new(topic.spec.loss.loss(answer.mean.get(), truth.get()))?,
            median: Real::new(topic.spec.loss.loss(answer.median.get(), truth.get()))?,
        };
        let sums = LossSums {
            network: sum(topic.sums.network, losses.network)?,
            mean: sum(topic.sums.mean, losses.mean)?,
            median: sum(topic.sums.median, losses.median)?,
        };
        Ok((agreed, reputers, verdict, losses, sums))
    });
    let Ok((agreed, reputers, verdict, losses, sums)) = judged else {
        return close_void(ctx, topic, nonce, epoch, Void::Arithmetic);
    };

    // Everybody is paid from the pot; the part of a role in which nobody earned anything stays in it.
    let pot = POTS.get(ctx.state, &id)?.unwrap_or(0);
    let parts = amount::split(pot, &verdict.tasks).unwrap_or_else(|_| vec![0, 0]);
    let worker_pay = verdict.shares.as_ref().and_then(|s| amount::split(parts[0], s).ok());
    let reputer_pay = amount::split(parts[1], &reputers).ok();
    let mut paid = 0u128;

    let member_losses = verdict.losses.inferers.iter().chain(&verdict.losses.forecasters);
    for (i, loss) in member_losses.enumerate() {
        let (part, (key, member)) = (&mut answer.parts[i], &mut members[i]);
        let reward = worker_pay.as_ref().map_or(0, |pay| pay[i]);
        part.loss = *loss;
        part.score = verdict.scores[i];
        part.reward = reward;
        member.state = verdict.states[i];
        if let Some(loss) = loss {
            member.scored += 1;
            member.loss_sum = sum(member.loss_sum, *loss).unwrap_or(member.loss_sum);
        }
        member.earned = member.earned.saturating_add(reward);
        MEMBERS.put(ctx.state, key, member);
        pay(ctx, id, role::WORKER, key.2, reward)?;
        paid += reward;
    }
    let mut rows = Vec::with_capacity(reports.len());
    for (i, (account, _, report)) in reports.iter().enumerate() {
        let reward = reputer_pay.as_ref().map_or(0, |pay| pay[i]);
        let key = (id, part::REPUTER, *account);
        let mut member = MEMBERS.get(ctx.state, &key)?.unwrap_or_else(|| Member::new(topic.scored));
        let distance = Real::new((report.value.get() - agreed.value.get()).abs()).unwrap_or(Real::ZERO);
        member.heard += 1;
        member.last = ctx.height;
        member.scored += 1;
        member.loss_sum = sum(member.loss_sum, distance).unwrap_or(member.loss_sum);
        member.state.score = agreed.scores[i];
        member.earned = member.earned.saturating_add(reward);
        MEMBERS.put(ctx.state, &key, &member);
        pay(ctx, id, role::REPUTER, *account, reward)?;
        paid += reward;
        rows.push(Report { account: *account, value: report.value, score: agreed.scores[i], reward });
        TRUTHS.delete(ctx.state, &(id, nonce, *account));
    }
    POTS.put(ctx.state, &id, &(pot - paid));
    if let Some(mut memory) = verdict.memory {
        forget_absent(ctx, id, &mut memory.regrets, &answer.parts)?;
        REGRETS.put(ctx.state, &id, &memory);
    }
    topic.paid = topic.paid.saturating_add(paid);
    topic.scored += 1;
    topic.sums = sums;
    topic.power = verdict.power;

    ctx.emit(
        Event::new("epoch_scored")
            .with("topic_id", id)
            .with("nonce", nonce)
            .with("truth", agreed.value)
            .with("loss", losses.network)
            .with("reward", paid),
    );
    epoch.state = EpochState::Scored;
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    let outcome = Outcome { at: ctx.height, truth: agreed.value, losses, reports: rows, reward: paid };
    RECORDS.put(ctx.state, &(id, nonce), &Record { answer, outcome: Some(outcome) });
    OPENINGS.delete(ctx.state, &(id, nonce));
    Ok(())
}

/// Keeps the memory of the regret rule bounded: it grows with the square of the members it knows, and anybody may
/// join. Of those absent from this epoch the ones heard longest ago go, and would come back as newcomers.
fn forget_absent(
    ctx: &Ctx,
    id: u64,
    regrets: &mut regret::RegretState<Key>,
    present: &[Part],
) -> Result<(), Failure> {
    let most = (ctx.params.max_members_regret + ctx.params.max_forecasters) as usize;
    let known: BTreeSet<Key> =
        regrets.inferer_inclusions.keys().chain(regrets.forecaster_inclusions.keys()).copied().collect();
    let surplus = known.len().saturating_sub(most);
    if surplus == 0 {
        return Ok(());
    }
    let present: BTreeSet<Key> = present.iter().map(|p| p.account).collect();
    let mut absent = Vec::new();
    for account in known.difference(&present) {
        let mut last = 0;
        for part in [part::INFERER, part::FORECASTER] {
            last = MEMBERS.get(ctx.state, &(id, part, *account))?.map_or(last, |m| last.max(m.last));
        }
        absent.push((last, *account));
    }
    absent.sort_unstable();
    absent.iter().take(surplus).for_each(|(_, account)| regrets.forget(account));
    Ok(())
}

fn load_reports(ctx: &Ctx, id: u64, nonce: u64) -> Result<Vec<Staked>, Failure> {
    let reports = TRUTHS.scan_prefix(ctx.state, &(id, nonce), usize::MAX)?;
    let mut staked = Vec::with_capacity(reports.len());
    for ((_, _, account), report) in reports {
        let stake = STAKES.get(ctx.state, &(id, account))?.unwrap_or(0);
        staked.push((account, stake, report));
    }
    Ok(staked)
}

/// Records of an answer's members, in its order.
fn load_members(ctx: &Ctx, id: u64, parts: &[Part]) -> Result<Vec<Row>, Failure> {
    let mut members = Vec::with_capacity(parts.len());
    for p in parts {
        let key = (id, if p.forecaster { part::FORECASTER } else { part::INFERER }, p.account);
        let member = MEMBERS.get(ctx.state, &key)?.unwrap_or_else(|| Member::new(0));
        members.push((key, member));
    }
    Ok(members)
}

/// Pays the owner of a registered account from the topics' pot.
fn pay(ctx: &mut Ctx, id: u64, as_role: u8, account: Key, reward: u128) -> Result<(), Failure> {
    if reward == 0 {
        return Ok(());
    }
    let registration = REGISTRATIONS.get(ctx.state, &(id, as_role, account))?;
    let owner = registration.map_or(Address(account), |r| r.owner);
    bank::transfer(ctx.state, pot_account(), owner, reward)
}

/// One truth from many reports, and how reputers share their part.
fn agree(
    reports: &[Staked],
    params: &Params,
    topic: &Topic,
) -> Result<(truth::TruthConsensus, Vec<Real>), MathError> {
    let cap = Real::new(f64::from(params.reputer_weight_cap.max(1)) / 10_000.0)?;
    let votes: Vec<(u128, Real)> = reports.iter().map(|(_, stake, report)| (*stake, report.value)).collect();
    let agreed = truth::consensus(&votes, cap, topic.power.scale)?;
    let mut staked = Vec::with_capacity(reports.len());
    for ((_, stake, _), score) in reports.iter().zip(&agreed.scores) {
        staked.push((Real::new(*stake as f64)?, *score));
    }
    let shares = share::reputer_fractions(&staked, Real::ONE)?;
    Ok((agreed, shares))
}

/// Parts of workers and reputers where a parameter fixes them.
fn fixed_tasks(params: &Params) -> Result<[Real; 2], MathError> {
    let reputers = f64::from(params.reputer_share) / 10_000.0;
    Ok([Real::new(1.0 - reputers)?, Real::new(reputers)?])
}

fn judge_power(
    topic: &Topic,
    opening: &PowerOpening,
    states: &[MemberState],
    truth: Real,
    params: &Params,
) -> Result<Verdict, MathError> {
    let (inferers, forecasters) = states.split_at(opening.values.len());
    let closed = power::close(&topic.spec.power, &topic.power, inferers, forecasters, opening, truth)?;
    let states: Vec<MemberState> = closed.inferers.into_iter().chain(closed.forecasters).collect();
    let averages: Vec<Real> = states.iter().map(|s| s.score).collect();
    Ok(Verdict {
        losses: closed.losses,
        scores: closed.inferer_merits.scores.into_iter().chain(closed.forecaster_merits.scores).collect(),
        states,
        shares: share::power_fractions(&averages)?,
        tasks: fixed_tasks(params)?,
        power: closed.topic,
        memory: None,
    })
}

/// Mean and median have no weights to learn; members are paid by what the answer would have lost without them.
fn judge_plain(
    topic: &Topic,
    synthesis: &Synthesis,
    values: &[Real],
    states: &[MemberState],
    truth: Real,
    params: &Params,
) -> Result<Verdict, MathError> {
    let losses = Losses::of(&synthesis.bundle(values)?, truth, topic.spec.loss, LossForm::Raw)?;
    let scores: Vec<Option<Real>> =
        scores::inferer_scores(&losses)?.into_iter().chain(synthesis.implied.iter().map(|_| None)).collect();
    let states = average(states, &scores, topic.spec.power.score_rate)?;
    let averages: Vec<Real> = states.iter().map(|s| s.score).collect();
    Ok(Verdict {
        losses,
        scores,
        states,
        shares: share::power_fractions(&averages)?,
        tasks: fixed_tasks(params)?,
        power: power::follow_error(&topic.spec.power, &topic.power, synthesis.combined, truth)?,
        memory: None,
    })
}

#[allow(clippy::too_many_arguments)] // the named inputs of one rule
fn judge_regret(
    topic: &Topic,
    opening: &RegretOpening,
    accounts: &[Key],
    states: &[MemberState],
    truth: Real,
    memory: &RegretMemory,
    reports: &[Staked],
    reputers: &[Real],
) -> Result<Verdict, MathError> {
    let config = regret_config();
    let bundle = opening.bundle()?;
    let losses = Losses::of(&bundle, truth, topic.spec.loss, LossForm::Raw)?;
    let logs = Losses::of(&bundle, truth, topic.spec.loss, config.form())?;
    let (inferers, forecasters) = accounts.split_at(opening.values.len());
    let closed = regret::close(&config, &memory.regrets, inferers, forecasters, &logs)?;

    let of_inferers = scores::inferer_scores(&logs)?;
    let of_forecasters = scores::forecaster_scores(&logs)?;
    let zero_for_none =
        |scores: &[Option<Real>]| -> Vec<Real> { scores.iter().map(|s| s.unwrap_or(Real::ZERO)).collect() };
    let (inferer_scores, forecaster_scores) = (zero_for_none(&of_inferers), zero_for_none(&of_forecasters));
    let split = &memory.split;
    let inferer_history = extend(&split.inferer_scores, &inferer_scores, SCORES_KEPT_INFERERS);
    let forecaster_history = extend(&split.forecaster_scores, &forecaster_scores, SCORES_KEPT_FORECASTERS);
    let inferer_fractions = fractions(&inferer_scores, &inferer_history, &config)?;
    let forecaster_fractions = fractions(&forecaster_scores, &forecaster_history, &config)?;
    let reputer_accounts: Vec<Key> = reports.iter().map(|(account, _, _)| *account).collect();
    let (smooth_i, entropy_i) = smoothed_entropy(inferers, &inferer_fractions, &split.inferers)?;
    let (smooth_f, entropy_f) = smoothed_entropy(forecasters, &forecaster_fractions, &split.forecasters)?;
    let (smooth_r, entropy_r) = smoothed_entropy(&reputer_accounts, reputers, &split.reputers)?;
    // Topics §7.3: forecasters have no part in a topic of a single inferer.
    let entropy_f = if inferers.len() < 2 { Real::ZERO } else { entropy_f };
    let alpha = Real::new(TASK_ALPHA)?;
    let useful = share::forecaster_utility(alpha, logs.naive, logs.combined, &inferer_scores, split.tau)?;
    let tasks = share::task_split(entropy_i, entropy_f, entropy_r, useful.utility)?;
    let scaled = |fractions: &[Real], part: Real| -> Result<Vec<Real>, MathError> {
        fractions.iter().map(|f| Real::new(f.get() * part.get())).collect()
    };
    let mut shares = scaled(&inferer_fractions, tasks.inferers)?;
    shares.extend(scaled(&forecaster_fractions, tasks.forecasters)?);

    let scores: Vec<Option<Real>> = of_inferers.into_iter().chain(of_forecasters).collect();
    Ok(Verdict {
        losses,
        states: average(states, &scores, topic.spec.power.score_rate)?,
        scores,
        shares: Some(shares),
        tasks: [sum(tasks.inferers, tasks.forecasters)?, tasks.reputers],
        power: power::follow_error(&topic.spec.power, &topic.power, opening.synthesis.combined, truth)?,
        memory: Some(RegretMemory {
            regrets: closed.state,
            split: Split {
                inferer_scores: inferer_history,
                forecaster_scores: forecaster_history,
                inferers: smooth_i,
                forecasters: smooth_f,
                reputers: smooth_r,
                tau: useful.ratio,
            },
        }),
    })
}

/// Reward fractions of one role from this epoch's scores and the role's history.
fn fractions(scores: &[Real], history: &[Real], config: &RegretConfig) -> Result<Vec<Real>, MathError> {
    if scores.is_empty() {
        return Ok(Vec::new());
    }
    share::worker_fractions(scores, history, Real::new(P_REWARD)?, Real::new(C_REWARD)?, config.epsilon)
}

/// Smooths a role's fractions with those of before, and their entropy. Whoever is absent loses its history.
fn smoothed_entropy(
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
    let smooth = share::smooth(Real::new(TASK_ALPHA)?, fractions, &previous)?;
    let entropy = share::entropy(&smooth.fractions, smooth.effective, Real::new(BETA_ENTROPY)?)?;
    Ok((accounts.iter().copied().zip(smooth.fractions).collect(), entropy))
}

/// Score averages of members under rules that keep no other memory of them.
fn average(
    states: &[MemberState],
    scores: &[Option<Real>],
    rate: Real,
) -> Result<Vec<MemberState>, MathError> {
    let one = |(state, score): (&MemberState, &Option<Real>)| -> Result<MemberState, MathError> {
        let Some(score) = score else { return Ok(*state) };
        let average = stats::ema(rate.get(), score.get(), state.score.get(), false);
        Ok(MemberState { score: Real::new(average)?, count: state.count.saturating_add(1), ..*state })
    };
    states.iter().zip(scores).map(one).collect()
}

/// Appends to a bounded history.
fn extend(history: &[Real], newest: &[Real], kept: usize) -> Vec<Real> {
    let all: Vec<Real> = history.iter().chain(newest).copied().collect();
    all[all.len().saturating_sub(kept)..].to_vec()
}

fn sum(a: Real, b: Real) -> Result<Real, MathError> {
    Real::new(a.get() + b.get())
}
