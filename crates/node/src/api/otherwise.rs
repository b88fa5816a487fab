//! What another synthesis rule would have said, epoch by epoch: the chain's own two functions on the recorded inputs of
//! every epoch, with the memory that the other rule would have gathered meanwhile. The memory is kept between questions
//! and follows the chain a bounded time per question; nothing of it enters the state.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
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
    Params, Step,
    topics::{
        judge::{self, JudgeInput, OpenInput},
        state::{
            EPOCHS, EpochState, Key, NONCES, Opening, Payout, RECORDS, RegretState, TOPICS, Topic, TruthMode,
        },
    },
};
use dodona_mechanism::{
    Real,
    topic::{
        combine::Rule,
        power::{MemberState, TopicState},
    },
};
use dodona_store::Snapshot;
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
/// Accounts remembered: twice who can be heard in one epoch.
const MAX_REMEMBERED: usize = 20_000;
/// Numbers kept of answers whose truth is not known yet, and of those given out: topics may have a thousand labels.
const MAX_NUMBERS: usize = 1 << 20;
/// How long one question may compute; what is left is for the next one.
const PATIENCE: Duration = Duration::from_millis(300);
/// Memories kept; the one not asked for longest leaves.
const MAX_SHADOWS: usize = 8;
/// Most epochs in an answer, how many without being asked for any number, and most probabilities or values in it.
const MAX_PAGE: usize = 500;
const PAGE: usize = 200;
const PAGE_VALUES: usize = 20_000;

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
    members: BTreeMap<(bool, Key), Remembered>,
    /// Answers whose truth is not known yet, by nonce, without what is as long as the list of members ([`gist`]).
    open: BTreeMap<u64, Opening>,
    answers: VecDeque<Said>,
    /// Losses of this rule and of the one in force, over the same epochs, and how many those are.
    losses: (f64, f64, u64),
    /// Epochs since it began that it knows nothing of, because their inputs are not kept.
    missing: u64,
}

/// A member as the other rule knows it.
#[derive(Clone, Copy, Default)]
struct Remembered {
    state: MemberState,
    /// Block in which it was heard last.
    heard: u64,
}

/// One answer of it.
struct Said {
    epoch: u64,
    nonce: u64,
    /// Shared by epochs with the same labels.
    labels: Arc<Vec<String>>,
    combined: Vec<f64>,
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
    /// Follows the chain to its newest block; how many steps were left when its time was over.
    fn follow(&mut self, node: &NodeHandle, topic: &Topic, rule: Rule) -> Result<usize, Status> {
        let end = Instant::now() + PATIENCE;
        let read = node.state(0)?;
        let height = node.app().store().version().unwrap_or(0);
        let params = node.app().params().map_err(Status::internal)?;
        let followed = Followed { node, read: &read, params, topic, rule };
        let mut steps = self.due(&followed, height)?.into_iter().peekable();
        while let Some(step) = steps.next() {
            self.take(&followed, step)?;
            if steps.peek().is_none_or(|next| next.height > step.height) {
                self.height = step.height;
                if Instant::now() > end && steps.len() > 0 {
                    return Ok(steps.len());
                }
            }
        }
        self.height = height;
        Ok(0)
    }

    /// The steps up to this block that are not taken yet, in the order in which blocks took them.
    fn due(&mut self, followed: &Followed, height: u64) -> Result<Vec<Due>, Status> {
        let Followed { read, topic, .. } = followed;
        let first = topic.oldest.max(topic.opened.saturating_sub(BACK));
        let began = *self.began.get_or_insert(first);
        // Epochs whose last step is done are passed over by their number.
        let from = self.open_since(began);
        let mut due = Vec::new();
        for ((of, index), nonce) in NONCES.scan_from(*read, &(topic.id, from), 2 * BACK as usize)? {
            if of != topic.id {
                break;
            }
            let Some(epoch) = EPOCHS.get(*read, &(topic.id, nonce))? else { continue };
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
        Ok(due)
    }

    /// Number of the first epoch that may still have a step before it.
    fn open_since(&self, began: u64) -> u64 {
        let waiting = self.answers.iter().filter(|said| self.open.contains_key(&said.nonce));
        let oldest = waiting.map(|said| said.epoch).min();
        oldest.or_else(|| self.answers.back().map(|said| said.epoch + 1)).unwrap_or(began)
    }

    fn take(&mut self, followed: &Followed, due: Due) -> Result<(), Status> {
        let step = if due.opens { Step::Open } else { Step::Judge };
        let key = trail_key(followed.topic.id, due.nonce, step);
        let trail = followed.node.app().store().record(TRAILS, &key)?.unwrap_or_default();
        // What is not kept any more, or was written by another version, is as if it had not happened.
        match step {
            Step::Open => match borsh::from_slice::<OpenInput>(&trail) {
                Ok(input) => self.answer(input, followed.rule, due),
                Err(_) if self.answers.is_empty() => self.began = Some(due.epoch + 1),
                Err(_) => self.missing += 1,
            },
            Step::Judge => {
                let Some(opening) = self.open.remove(&due.nonce) else { return Ok(()) };
                match borsh::from_slice::<JudgeInput>(&trail) {
                    Ok(input) => self.learn(followed, input, opening, due)?,
                    Err(_) => self.missing += 1,
                }
            }
        }
        Ok(())
    }

    fn state(&self, forecaster: bool, who: Key) -> MemberState {
        self.members.get(&(forecaster, who)).map_or_else(MemberState::default, |known| known.state)
    }

    fn answer(&mut self, mut input: OpenInput, rule: Rule, due: Due) {
        input.spec.rule = rule;
        input.memory = self.memory;
        // Borrowed for the computation: a copy of it for every epoch would be most of the work.
        input.regrets = std::mem::take(&mut self.regrets);
        input.inferers.iter_mut().for_each(|(who, state)| *state = self.state(false, *who));
        input.forecasters.iter_mut().for_each(|(who, state, _)| *state = self.state(true, *who));
        let opening = judge::answer(&input);
        self.regrets = std::mem::take(&mut input.regrets);
        let Ok(opening) = opening else { return };
        let inferers = input.inferers.iter().map(|(who, _)| (false, *who));
        for member in inferers.chain(input.forecasters.iter().map(|(who, ..)| (true, *who))) {
            self.members.entry(member).or_default().heard = due.height;
        }
        let newest = self.answers.back().map(|said| said.labels.clone());
        let labels = newest.filter(|known| **known == input.labels).unwrap_or_else(|| Arc::new(input.labels));
        let combined = opening.synthesis().columns.iter().map(|column| column.combined.get()).collect();
        self.answers.push_back(Said { epoch: due.epoch, nonce: due.nonce, labels, combined, losses: None });
        self.open.insert(due.nonce, gist(opening));
        self.bound();
    }

    fn learn(
        &mut self,
        followed: &Followed,
        mut input: JudgeInput,
        opening: Opening,
        due: Due,
    ) -> Result<(), Status> {
        input.spec.rule = followed.rule;
        // Pay moves nothing that an answer hangs on; this way to split it needs no memory of its own.
        input.spec.payout = Payout::Gains;
        input.memory = self.memory;
        input.regrets = std::mem::take(&mut self.regrets);
        input.opening = whole(opening, input.opening.columns());
        input.inferers.iter_mut().for_each(|(who, state)| *state = self.state(false, *who));
        input.forecasters.iter_mut().for_each(|(who, state)| *state = self.state(true, *who));
        for (role, silent) in input.unopened.iter_mut().enumerate() {
            silent.iter_mut().for_each(|(who, state)| *state = self.state(role == 1, *who));
        }
        let judged = judge::judge(&input);
        self.regrets = std::mem::take(&mut input.regrets);
        let Ok(judged) = judged else { return Ok(()) };
        let names = |list: &[(Key, MemberState)], forecaster| -> Vec<(bool, Key)> {
            list.iter().map(|(who, _)| (forecaster, *who)).collect()
        };
        let [silent_inferers, silent_forecasters] = &input.unopened;
        let members = [
            (names(&input.inferers, false), &judged.states[..input.inferers.len()]),
            (names(&input.forecasters, true), &judged.states[input.inferers.len()..]),
            (names(silent_inferers, false), &judged.unopened[0]),
            (names(silent_forecasters, true), &judged.unopened[1]),
        ];
        for (names, states) in members {
            for (name, state) in names.into_iter().zip(states) {
                self.members.entry(name).or_default().state = *state;
            }
        }
        self.memory = judged.memory;
        if let Some(regrets) = judged.regrets {
            self.regrets = regrets;
            self.forget(followed, &input);
        }
        let record = RECORDS.get(followed.read, &(followed.topic.id, due.nonce))?;
        let given = record.and_then(|record| record.outcome).map(|outcome| outcome.losses.network.get());
        if let (Some(given), Some(said)) =
            (given, self.answers.iter_mut().find(|said| said.nonce == due.nonce))
        {
            let loss = judged.sums.network.get();
            said.losses = Some((loss, given));
            let (own, other, count) = self.losses;
            self.losses = (own + loss, other + given, count + 1);
        }
        Ok(())
    }

    /// As the chain does it where this is its rule; where it is not, the memory is not quadratic and may be longer.
    fn forget(&mut self, followed: &Followed, input: &JudgeInput) {
        let present: BTreeSet<Key> = input.inferers.iter().chain(&input.forecasters).map(|m| m.0).collect();
        let most = match followed.topic.spec.rule {
            Rule::Regret => judge::remembered(present.len(), &followed.params),
            _ => MAX_REMEMBERED,
        };
        let members = &self.members;
        let heard = |who: &Key| {
            let of = |forecaster| members.get(&(forecaster, *who)).map_or(0, |known| known.heard);
            Ok::<u64, Infallible>(of(false).max(of(true)))
        };
        let Ok(()) = judge::forget_absent(&mut self.regrets, &present, most, heard);
    }

    /// Keeps the memory bounded: the oldest answers go, truths that let wait for them too long teach nothing, and of
    /// members those heard longest ago are forgotten.
    fn bound(&mut self) {
        let said = |answers: &VecDeque<Said>| answers.iter().map(|said| said.combined.len()).sum::<usize>();
        while self.answers.len() > BACK as usize
            || (self.answers.len() > 1 && said(&self.answers) > MAX_NUMBERS)
        {
            self.answers.pop_front();
        }
        let numbers = |opening: &Opening| {
            let columns = &opening.synthesis().columns;
            columns.iter().map(|column| 8 + 3 * column.implied.len()).sum::<usize>()
        };
        while self.open.len() > 1 && self.open.values().map(numbers).sum::<usize>() > MAX_NUMBERS {
            self.open.pop_first();
            self.missing += 1;
        }
        if self.members.len() > 2 * MAX_REMEMBERED {
            let mut heard: Vec<u64> = self.members.values().map(|known| known.heard).collect();
            let (_, oldest, _) = heard.select_nth_unstable(self.members.len() - MAX_REMEMBERED);
            let oldest = *oldest;
            self.members.retain(|_, known| known.heard >= oldest);
        }
    }
}

/// Whom a memory follows, and as which rule.
struct Followed<'a> {
    node: &'a NodeHandle,
    read: &'a Snapshot,
    params: Params,
    topic: &'a Topic,
    rule: Rule,
}

/// An answer without its inferers: what they said is in the recorded input too, and what was said without each of them
/// teaches no rule anything. So a thousand epochs may wait for their truth.
fn gist(mut opening: Opening) -> Opening {
    let synthesis = match &mut opening {
        Opening::Power(power) => {
            (power.values, power.clamped) = (Vec::new(), Vec::new());
            &mut power.synthesis
        }
        Opening::Regret(regret) => {
            regret.values = Vec::new();
            &mut regret.synthesis
        }
        Opening::Plain(synthesis, values) => {
            *values = Vec::new();
            synthesis
        }
    };
    synthesis.inferer_weights = Vec::new();
    synthesis.columns.iter_mut().for_each(|column| column.one_out_inferers = Vec::new());
    opening
}

/// The way back, with the inferers' words; what was not kept is none.
fn whole(mut opening: Opening, said: &[Vec<Real>]) -> Opening {
    let inferers = said.first().map_or(0, Vec::len);
    let (synthesis, values) = match &mut opening {
        Opening::Power(power) => (&mut power.synthesis, &mut power.values),
        Opening::Regret(regret) => (&mut regret.synthesis, &mut regret.values),
        Opening::Plain(synthesis, values) => (synthesis, values),
    };
    *values = said.to_vec();
    synthesis.inferer_weights = vec![Real::ZERO; inferers];
    synthesis.columns.iter_mut().for_each(|column| column.one_out_inferers = vec![None; inferers]);
    opening
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
    let left = shadow.follow(node, &topic, rule)?;
    let mut room = PAGE_VALUES;
    let wanted = shadow.answers.iter().filter(|said| said.epoch >= from).take(limit);
    // The first one in any case, so that whoever asks on gets on.
    let fitting = wanted.enumerate().take_while(|(place, said)| {
        let fits = *place == 0 || said.combined.len() <= room;
        room = room.saturating_sub(said.combined.len());
        fits
    });
    let epochs: Vec<Value> = fitting
        .map(|(_, said)| {
            let columns: Vec<Value> = said
                .labels
                .iter()
                .zip(&said.combined)
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
        "newest_epoch": shadow.answers.back().map(|said| said.epoch),
        "height": shadow.height,
        "steps_left": left,
        "missing": shadow.missing,
        "scored": count,
        "mean_loss": mean(own),
        "given_mean_loss": mean(given),
        "epochs": epochs,
    }))
}
