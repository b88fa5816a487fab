//! One's own model as one more member of a network: asked epoch by epoch with what was known at that time, then put into
//! the real state machine beside its rivals, once with it and once without. What comes out is what the chain would have
//! said: losses, rank, weights, pay, and what the network gained.

mod ask;
mod bootstrap;
mod check;
mod ground;
mod skill;

use std::{thread, time::Duration};

use dodona_proto::{
    ALLO,
    topics::{QueryEpochResponse, TopicSpec},
};
use serde::Serialize;

pub use ask::{AskError, Asked, ask, rivals};
pub use bootstrap::Band;
pub use check::{Check, State, check};
pub use ground::{Ground, GroundError, Row};
pub use skill::{Estimate, Skill, skill};

use crate::{
    backtest::{self, BacktestError, Panel, Source},
    world::Setup,
};

/// Points of a path that a report keeps.
const MAX_PATH: usize = 2_000;
/// Share of the candidate's epochs in which a member must have been heard to be ranked beside it.
const HEARD: f64 = 0.95;

/// Everything there is to say about a model among others.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model.
    pub candidate: String,
    /// What was predicted.
    pub target: String,
    /// Its unit.
    pub unit: String,
    /// Scored epochs.
    pub epochs: u64,
    /// Epochs from a question to its answer.
    pub horizon: u64,
    /// Drawn from by the bootstrap.
    pub seed: u64,
    /// What was looked at before anything else.
    pub checks: Vec<Check>,
    /// How it answered.
    pub answers: Answers,
    /// What the chain says.
    pub protocol: Protocol,
    /// What people who know other networks ask for.
    pub skill: Skill,
    /// Everybody, least loss first.
    pub members: Vec<Member>,
    /// Every so many epochs there is a point in the path.
    pub path_stride: usize,
    /// Epoch by epoch.
    pub path: Vec<Step>,
}

/// How a model answered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answers {
    /// Epochs asked.
    pub asked: u64,
    /// Epochs answered with a number.
    pub answered: u64,
    /// It had nothing to say.
    pub silent: u64,
    /// It failed.
    pub failed: u64,
    /// The first failure.
    pub first_failure: Option<String>,
    /// Mean time of an answer, milliseconds; 0 for answers that were there before.
    pub mean_ms: f64,
    /// Longest, milliseconds.
    pub worst_ms: f64,
}

/// What the chain says of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Protocol {
    /// Scored epochs in which it was heard.
    pub heard: u64,
    /// Its mean loss over these.
    pub loss: f64,
    /// The network's mean loss over the same epochs, with it.
    pub network_with: f64,
    /// Without it, from a second run.
    pub network_without: f64,
    /// Of the plain mean of everybody, with it.
    pub mean: f64,
    /// Of the median.
    pub median: f64,
    /// By mean loss over its epochs; 1 is best.
    pub rank: usize,
    /// By what it earned.
    pub rank_by_reward: usize,
    /// Ranked members.
    pub of: usize,
    /// Mean weight in the network's answer.
    pub mean_weight: f64,
    /// The newest.
    pub last_weight: f64,
    /// Part of all that was paid, with a band of 90 %.
    pub reward_share: Band,
    /// What an epoch of this run paid it, ALLO.
    pub reward_per_epoch: Band,
    /// The same at what the real topic pays for an epoch now.
    pub expected_allo: Option<Band>,
    /// By how much the network's loss falls because of it, percent; negative: it rises.
    pub contribution_percent: Band,
    /// Part of the epochs in which the network was better with it.
    pub better_with: f64,
}

/// A member beside the candidate.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Whether it is the candidate.
    pub candidate: bool,
    /// Whether it predicts losses instead of the target.
    pub forecaster: bool,
    /// Scored epochs with it.
    pub epochs: u64,
    /// Mean loss over them.
    pub loss: f64,
    /// Mean weight over them.
    pub weight: f64,
    /// ALLO.
    pub earned: f64,
}

/// One epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its number.
    pub epoch: u64,
    /// When what it asked for happened, seconds since 1970, or the epoch's number.
    pub time: i64,
    /// What happened.
    pub truth: f64,
    /// What the network said.
    pub network: f64,
    /// What the candidate said.
    pub own: Option<f64>,
    /// Its weight.
    pub weight: f64,
    /// Its loss.
    pub own_loss: Option<f64>,
    /// The network's.
    pub network_loss: f64,
    /// The network's in the run without the candidate.
    pub without_loss: Option<f64>,
    /// uallo, rounded to what a double holds.
    pub reward: f64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// The run.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// There is nothing to compare.
    #[error("the model was heard in no scored epoch: it answered {answered} of {asked} questions{why}")]
    NeverHeard {
        /// Questions answered.
        answered: u64,
        /// Questions put.
        asked: u64,
        /// The first failure.
        why: String,
    },
}

/// How a run is set up.
pub struct Plan<'a> {
    /// Rule, loss and horizon; the seed is the bootstrap's too.
    pub setup: &'a Setup,
    /// The topic's own description, where there is one; its schedule gives way to one epoch a block.
    pub spec: Option<TopicSpec>,
    /// What the real topic pays for an epoch now, ALLO.
    pub pays: Option<f64>,
    /// Steps of a day, for the built-in forecasters; 0: none of them.
    pub season: usize,
}

/// Both runs, and everything that follows from them.
///
/// # Errors
/// [`CandidateError`].
pub fn compare(
    ground: &Ground,
    asked: &Asked,
    rivals: &[(String, Vec<Option<f64>>)],
    checks: Vec<Check>,
    plan: &Plan<'_>,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<Report, CandidateError> {
    let panel = |with: bool| {
        let own = with.then(|| (asked.name.clone(), asked.values.clone()));
        let members: Vec<(String, Vec<Option<f64>>)> =
            own.into_iter().chain(rivals.iter().cloned()).collect();
        let truth = ground.rows.iter().map(|row| row.truth).collect();
        Panel { members, truth, season: plan.season, spec: plan.spec.clone() }
    };
    let run = |with: bool, progress: &dyn Fn(u64, u64)| -> Result<Vec<QueryEpochResponse>, BacktestError> {
        let mut scored = Vec::with_capacity(ground.rows.len());
        let seen = |epoch: &QueryEpochResponse| scored.push(epoch.clone());
        backtest::watch(Source::Panel(Box::new(panel(with))), plan.setup, progress, seen)?;
        Ok(scored)
    };
    // Each run is one thread's work, and most machines have two.
    let (with, without) = thread::scope(|scope| {
        let quiet = |_: u64, _: u64| {};
        let second = (!rivals.is_empty()).then(|| scope.spawn(move || run(false, &quiet)));
        let first = run(true, &progress);
        let second =
            second.map(|thread| thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)));
        (first, second.unwrap_or_else(|| Ok(Vec::new())))
    });
    report(ground, asked, rivals, checks, plan, &with?, &without?)
}

/// Name of the candidate in a panel: it is its first member.
const OWN: &str = "m0";

fn report(
    ground: &Ground,
    asked: &Asked,
    rivals: &[(String, Vec<Option<f64>>)],
    checks: Vec<Check>,
    plan: &Plan<'_>,
    with: &[QueryEpochResponse],
    without: &[QueryEpochResponse],
) -> Result<Report, CandidateError> {
    let steps = steps(ground, with, without);
    let heard: Vec<(usize, &Step)> =
        steps.iter().enumerate().filter(|(_, step)| step.own_loss.is_some()).collect();
    if heard.is_empty() {
        return Err(CandidateError::NeverHeard {
            answered: asked.answers.answered,
            asked: asked.answers.asked,
            why: asked.answers.first_failure.as_ref().map_or(String::new(), |why| format!("; first: {why}")),
        });
    }
    let mean_of = |pick: &dyn Fn(usize, &Step) -> f64| {
        heard.iter().map(|(at, step)| pick(*at, step)).sum::<f64>() / heard.len() as f64
    };
    let members = members(asked, rivals, with);
    let common: Vec<&QueryEpochResponse> = heard.iter().map(|(at, _)| &with[*at]).collect();
    let (rank, of) = rank(&common, &|part| part.loss, true);
    let earned = |part: &dodona_proto::topics::Part| Some(-uallo(&part.reward));
    let (rank_by_reward, _) = rank_by_sum(&common, &earned);

    // Blocks as long as answers overlap, and longer the more there is to draw from.
    let block = (plan.setup.horizon).max((steps.len() as f64).cbrt().ceil() as usize);
    let draws = bootstrap::Draws::new(steps.len(), block, plan.setup.seed);
    let all: Vec<&Step> = steps.iter().collect();
    let paid: Vec<f64> = with.iter().map(|epoch| uallo(&epoch.reward)).collect();
    let own: Vec<f64> = all.iter().map(|step| step.reward).collect();
    let share = draws.ratio(&own, &paid);
    let per_epoch = draws.mean(&own).scaled(1.0 / ALLO as f64);
    let gained: Vec<f64> =
        all.iter().map(|step| step.without_loss.map_or(0.0, |loss| loss - step.network_loss)).collect();
    let before: Vec<f64> = all.iter().map(|step| step.without_loss.unwrap_or(0.0)).collect();
    let better = gained.iter().filter(|gain| **gain > 0.0).count();

    let protocol = Protocol {
        heard: heard.len() as u64,
        loss: mean_of(&|_, step| step.own_loss.unwrap_or(0.0)),
        network_with: mean_of(&|_, step| step.network_loss),
        network_without: mean_of(&|_, step| step.without_loss.unwrap_or(f64::NAN)),
        mean: mean_of(&|at, _| with[at].mean_loss.unwrap_or(f64::NAN)),
        median: mean_of(&|at, _| with[at].median_loss.unwrap_or(f64::NAN)),
        rank,
        rank_by_reward,
        of,
        mean_weight: mean_of(&|_, step| step.weight),
        last_weight: heard.last().map_or(0.0, |(_, step)| step.weight),
        reward_share: share,
        reward_per_epoch: per_epoch,
        expected_allo: plan.pays.map(|pays| share.scaled(pays)),
        contribution_percent: draws.ratio(&gained, &before).scaled(100.0),
        better_with: better as f64 / steps.len().max(1) as f64,
    };
    let stride = steps.len().div_ceil(MAX_PATH).max(1);
    Ok(Report {
        candidate: asked.name.clone(),
        target: ground.target.clone(),
        unit: ground.unit.clone(),
        epochs: steps.len() as u64,
        horizon: plan.setup.horizon as u64,
        seed: plan.setup.seed,
        checks,
        answers: asked.answers.clone(),
        protocol,
        skill: skill(ground, &asked.values, plan.setup.horizon),
        members,
        path_stride: stride,
        path: steps.into_iter().step_by(stride).collect(),
    })
}

fn uallo(text: &str) -> f64 {
    text.parse().unwrap_or(0.0) // amounts are digits
}

/// The scored epochs, with what both runs say of them.
fn steps(ground: &Ground, with: &[QueryEpochResponse], without: &[QueryEpochResponse]) -> Vec<Step> {
    let mut others = without.iter().peekable();
    let mut steps = Vec::with_capacity(with.len());
    for epoch in with {
        // An epoch in which only the candidate answered is in the first run alone.
        while others.peek().is_some_and(|other| other.nonce < epoch.nonce) {
            others.next();
        }
        let other = others.peek().filter(|other| other.nonce == epoch.nonce);
        let own = epoch.parts.iter().find(|part| !part.forecaster && part.name == OWN);
        let row = usize::try_from(epoch.nonce.saturating_sub(backtest::SETUP_BLOCKS)).unwrap_or(usize::MAX);
        let Some(row) = ground.rows.get(row) else { continue };
        steps.push(Step {
            epoch: row.epoch,
            time: row.time,
            truth: epoch.truth.unwrap_or(row.truth),
            network: epoch.combined,
            own: own.map(|part| part.value),
            weight: own.map_or(0.0, |part| part.weight),
            own_loss: own.and_then(|part| part.loss),
            network_loss: epoch.network_loss.unwrap_or(0.0),
            without_loss: other.and_then(|other| other.network_loss),
            reward: own.map_or(0.0, |part| uallo(&part.reward)),
        });
    }
    steps
}

type Pick<'a> = &'a dyn Fn(&dodona_proto::topics::Part) -> Option<f64>;

/// The candidate's place by the mean of something that should be small, among those who were there, and how many.
fn rank(epochs: &[&QueryEpochResponse], pick: Pick<'_>, mean: bool) -> (usize, usize) {
    let mut sums: std::collections::BTreeMap<&str, (f64, usize)> = std::collections::BTreeMap::new();
    for part in epochs.iter().flat_map(|epoch| &epoch.parts).filter(|part| !part.forecaster) {
        let Some(value) = pick(part) else { continue };
        let sum = sums.entry(&part.name).or_default();
        sum.0 += value;
        sum.1 += 1;
    }
    let value = |(sum, count): &(f64, usize)| if mean { sum / *count as f64 } else { *sum };
    let own = sums.get(OWN).map_or(f64::INFINITY, value);
    let there: Vec<f64> = sums
        .iter()
        .filter(|(_, (_, n))| !mean || *n as f64 >= HEARD * epochs.len() as f64)
        .map(|(_, s)| value(s))
        .collect();
    (1 + there.iter().filter(|other| **other < own).count(), there.len())
}

fn rank_by_sum(epochs: &[&QueryEpochResponse], pick: Pick<'_>) -> (usize, usize) {
    rank(epochs, pick, false)
}

fn members(asked: &Asked, rivals: &[(String, Vec<Option<f64>>)], with: &[QueryEpochResponse]) -> Vec<Member> {
    let mut all: std::collections::BTreeMap<(bool, &str), Member> = std::collections::BTreeMap::new();
    for part in with.iter().flat_map(|epoch| &epoch.parts) {
        let Some(loss) = part.loss else { continue };
        let at = part.name.strip_prefix('m').and_then(|at| at.parse::<usize>().ok());
        let name = match at {
            Some(0) if !part.forecaster => &asked.name,
            Some(at) if !part.forecaster => rivals.get(at - 1).map_or(&part.name, |(name, _)| name),
            _ => &part.name,
        };
        let member = all.entry((part.forecaster, &part.name)).or_insert_with(|| Member {
            name: name.clone(),
            candidate: !part.forecaster && part.name == OWN,
            forecaster: part.forecaster,
            epochs: 0,
            loss: 0.0,
            weight: 0.0,
            earned: 0.0,
        });
        member.epochs += 1;
        member.loss += loss;
        member.weight += part.weight;
        member.earned += uallo(&part.reward) / ALLO as f64;
    }
    let mut members: Vec<Member> = all
        .into_values()
        .map(|member| {
            let n = member.epochs.max(1) as f64;
            Member { loss: member.loss / n, weight: member.weight / n, ..member }
        })
        .collect();
    members.sort_by(|a, b| a.forecaster.cmp(&b.forecaster).then(a.loss.total_cmp(&b.loss)));
    members
}

/// A time as milliseconds.
fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
