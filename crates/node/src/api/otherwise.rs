//! What another synthesis rule would have said, epoch by epoch: the chain's own two functions on the recorded inputs of
//! every epoch, with the memory that the other rule would have gathered meanwhile. The memory is kept between questions
//! and follows the chain a bounded time per question; nothing of it enters the state.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::IntoResponse,
    routing::get,
};
use dodona_chain::{
    Step,
    topics::{
        judge::{self, JudgeInput, OpenInput},
        state::{EPOCHS, EpochState, Key, NONCES, Opening, RegretState, TOPICS, Topic, TruthMode},
    },
};
use dodona_mechanism::topic::{
    combine::Rule,
    power::{MemberState, TopicState},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Status, aside,
    native::{Answer, Problem, number},
};
use crate::{
    NodeHandle,
    records::{TRAILS, trail_key},
};

/// Epochs before the newest at which a memory begins at the earliest, and answers kept.
const BACK: u64 = 2_000;
/// Most members of an epoch that is computed: one rule's work grows with their square.
const MAX_MEMBERS: usize = 100;
/// Accounts remembered by the regret rule.
const MAX_REMEMBERED: usize = 2 * MAX_MEMBERS;
/// How long one question may compute; what is left is for the next one.
const PATIENCE: Duration = Duration::from_millis(300);
/// Memories kept; the one not asked for longest leaves.
const MAX_SHADOWS: usize = 8;
/// Most epochs in an answer, and how many without being asked for any number.
const MAX_PAGE: usize = 500;
const PAGE: usize = 200;

/// The memories of a node, each behind its own lock: a question about one does not wait for another.
#[derive(Default)]
pub(crate) struct Shadows(Mutex<VecDeque<Place>>);

/// A topic, a rule, and what it would remember.
type Place = ((u64, Rule), Arc<Mutex<Shadow>>);

impl Shadows {
    fn get(&self, topic: u64, rule: Rule) -> Arc<Mutex<Shadow>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(key, _)| *key == (topic, rule));
        let found = place.and_then(|place| kept.remove(place)).map(|(_, shadow)| shadow).unwrap_or_default();
        while kept.len() >= MAX_SHADOWS {
            kept.pop_front();
        }
        kept.push_back(((topic, rule), found.clone()));
        found
    }
}

/// A rule beside the one in force: what it would remember by now, and what it would have said.
#[derive(Default)]
struct Shadow {
    /// Number of the epoch it began with; none before it began.
    began: Option<u64>,
    /// Everything that happened up to this block is in it.
    height: u64,
    memory: TopicState,
    regrets: RegretState,
    /// By whether it is a forecaster, and who.
    members: BTreeMap<(bool, Key), MemberState>,
    /// Answers whose truth is not known yet, by nonce.
    open: BTreeMap<u64, Opening>,
    answers: VecDeque<Said>,
    /// Losses of this rule and of the one in force, over the same epochs, and how many those are.
    losses: (f64, f64, u64),
}

/// One answer of it.
struct Said {
    epoch: u64,
    nonce: u64,
    columns: Vec<(String, f64)>,
    /// Its loss, and that of the answer that was given.
    losses: Option<(f64, f64)>,
}

/// A step of an epoch's life, in the order in which blocks take them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    height: u64,
    opens: bool,
    nonce: u64,
    epoch: u64,
}

impl Shadow {
    /// Follows the chain to its newest block; whether it got there in time.
    fn follow(&mut self, node: &NodeHandle, topic: &Topic, rule: Rule) -> Result<bool, Status> {
        let end = Instant::now() + PATIENCE;
        let read = node.state(0)?;
        let height = node.app().store().version().unwrap_or(0);
        let first = topic.oldest.max(topic.opened.saturating_sub(BACK));
        let began = *self.began.get_or_insert(first);
        // Epochs whose last step is done are passed over by their number.
        let from = self.open_since(began);
        let mut due = Vec::new();
        for ((of, index), nonce) in NONCES.scan_from(&read, &(topic.id, from), 2 * BACK as usize)? {
            if of != topic.id {
                break;
            }
            let Some(epoch) = EPOCHS.get(&read, &(topic.id, nonce))? else { continue };
            if matches!(epoch.state, EpochState::Void(_)) {
                self.open.remove(&nonce);
            }
            let steps = [(epoch.worker_last, true), (epoch.truth_last, false)];
            let done = [epoch.state != EpochState::Open, epoch.state == EpochState::Scored];
            for ((at, opens), _) in steps.into_iter().zip(done).filter(|(_, done)| *done) {
                due.push(Due { height: at, opens, nonce, epoch: index });
            }
        }
        due.retain(|step| step.height > self.height && step.height <= height);
        // Within a block truths are scored before answers are combined.
        due.sort_unstable();
        let mut steps = due.into_iter().peekable();
        while let Some(step) = steps.next() {
            self.take(node, topic, rule, step)?;
            if steps.peek().is_none_or(|next| next.height > step.height) {
                self.height = step.height;
                if Instant::now() > end {
                    return Ok(steps.peek().is_none());
                }
            }
        }
        self.height = height;
        Ok(true)
    }

    /// Number of the first epoch that may still have a step before it.
    fn open_since(&self, began: u64) -> u64 {
        let waiting = self.answers.iter().filter(|said| self.open.contains_key(&said.nonce));
        let oldest = waiting.map(|said| said.epoch).min();
        oldest.or_else(|| self.answers.back().map(|said| said.epoch + 1)).unwrap_or(began)
    }

    fn take(&mut self, node: &NodeHandle, topic: &Topic, rule: Rule, due: Due) -> Result<(), Status> {
        let step = if due.opens { Step::Open } else { Step::Judge };
        let trail = node.app().store().record(TRAILS, &trail_key(topic.id, due.nonce, step))?;
        // What is not kept any more, or was written by another version, is as if it had not happened.
        let Some(bytes) = trail else { return Ok(()) };
        match step {
            Step::Open => {
                let Ok(input) = borsh::from_slice::<OpenInput>(&bytes) else { return Ok(()) };
                self.answer(input, rule, due)
            }
            Step::Judge => {
                let Ok(input) = borsh::from_slice::<JudgeInput>(&bytes) else { return Ok(()) };
                self.learn(input, rule, due.nonce);
                Ok(())
            }
        }
    }

    fn state(&self, forecaster: bool, who: Key) -> MemberState {
        self.members.get(&(forecaster, who)).copied().unwrap_or_default()
    }

    fn answer(&mut self, mut input: OpenInput, rule: Rule, due: Due) -> Result<(), Status> {
        let members = input.inferers.len() + input.forecasters.len();
        if members > MAX_MEMBERS {
            return Err(Status::invalid(format!(
                "an epoch of this topic has {members} members: what another rule says is computed for at most \
                 {MAX_MEMBERS}; `dodona recompute` does it for any number"
            )));
        }
        input.spec.rule = rule;
        input.memory = self.memory;
        input.regrets = self.regrets.clone();
        input.inferers.iter_mut().for_each(|(who, state)| *state = self.state(false, *who));
        input.forecasters.iter_mut().for_each(|(who, state, _)| *state = self.state(true, *who));
        let Ok(opening) = judge::open(&input) else { return Ok(()) };
        let combined = opening.synthesis().columns.iter().map(|column| column.combined.get());
        let columns = input.labels.into_iter().zip(combined).collect();
        self.answers.push_back(Said { epoch: due.epoch, nonce: due.nonce, columns, losses: None });
        self.open.insert(due.nonce, opening);
        while self.answers.len() > BACK as usize {
            self.answers.pop_front();
        }
        Ok(())
    }

    fn learn(&mut self, mut input: JudgeInput, rule: Rule, nonce: u64) {
        let Some(opening) = self.open.remove(&nonce) else { return };
        let given = judge::judge(&input);
        input.spec.rule = rule;
        input.memory = self.memory;
        input.regrets = self.regrets.clone();
        input.opening = opening;
        input.inferers.iter_mut().for_each(|(who, state)| *state = self.state(false, *who));
        input.forecasters.iter_mut().for_each(|(who, state)| *state = self.state(true, *who));
        let Ok(judged) = judge::judge(&input) else { return };
        let inferers = input.inferers.iter().map(|(who, _)| (false, *who));
        let members = inferers.chain(input.forecasters.iter().map(|(who, _)| (true, *who)));
        self.members.extend(members.zip(judged.states));
        self.memory = judged.memory;
        if let Some(mut regrets) = judged.regrets {
            forget(&mut regrets, &input);
            self.regrets = regrets;
        }
        if let (Ok(given), Some(said)) = (given, self.answers.iter_mut().find(|said| said.nonce == nonce)) {
            let both = (judged.sums.network.get(), given.sums.network.get());
            said.losses = Some(both);
            let (own, other, count) = self.losses;
            self.losses = (own + both.0, other + both.1, count + 1);
        }
    }
}

/// Leaves out accounts that were not heard in this epoch, where too many are remembered.
fn forget(regrets: &mut RegretState, input: &JudgeInput) {
    let known: BTreeSet<Key> =
        regrets.inferer_inclusions.keys().chain(regrets.forecaster_inclusions.keys()).copied().collect();
    let surplus = known.len().saturating_sub(MAX_REMEMBERED);
    let present: BTreeSet<Key> = input.inferers.iter().chain(&input.forecasters).map(|m| m.0).collect();
    known.difference(&present).take(surplus).for_each(|who| regrets.forget(who));
}

pub(super) fn routes() -> Router<NodeHandle> {
    Router::new().route("/topics/{id}/otherwise", get(otherwise))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    rule: String,
    from: u64,
    limit: Option<usize>,
}

async fn otherwise(
    State(node): State<NodeHandle>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let topic = number("topic", &id)?;
    let rule = match asked.rule.as_str() {
        "power" => Rule::Power,
        "regret" => Rule::Regret,
        other => return Err(Problem::bad(format!("rule `{other}`: send power or regret"))),
    };
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    aside(move || told(&node, topic, rule, asked.from, limit))
        .await?
        .map(|page| Json(page).into_response())
        .map_err(Problem::from)
}

fn told(node: &NodeHandle, id: u64, rule: Rule, from: u64, limit: usize) -> Result<Value, Status> {
    let topic = TOPICS.get(&node.state(0)?, &id)?;
    let topic = topic.ok_or_else(|| Status::not_found(format!("topic {id}: not found")))?;
    if topic.spec.truth_mode == TruthMode::Losses {
        return Err(Status::invalid(
            "reputers of this topic bring losses and not what happened, so nobody knows what another rule would have \
             lost, or learned",
        ));
    }
    let shadow = node.shadows().get(id, rule);
    let mut shadow = shadow.lock().unwrap_or_else(PoisonError::into_inner);
    let complete = shadow.follow(node, &topic, rule)?;
    let epochs: Vec<Value> = shadow
        .answers
        .iter()
        .filter(|said| said.epoch >= from)
        .take(limit)
        .map(|said| {
            let columns: Vec<Value> = said
                .columns
                .iter()
                .map(|(label, combined)| json!({ "label": label, "combined": combined }))
                .collect();
            json!({
                "epoch": said.epoch,
                "nonce": said.nonce,
                "columns": columns,
                "loss": said.losses.map(|losses| losses.0),
                "given_loss": said.losses.map(|losses| losses.1),
            })
        })
        .collect();
    let (own, given, count) = shadow.losses;
    let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
    Ok(json!({
        "topic_id": id,
        "rule": if rule == Rule::Power { "power" } else { "regret" },
        "since_epoch": shadow.began,
        "height": shadow.height,
        "complete": complete,
        "scored": count,
        "mean_loss": mean(own),
        "given_mean_loss": mean(given),
        "epochs": epochs,
    }))
}
