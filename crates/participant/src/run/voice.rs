//! What a lane says for an epoch, and what it learns from the epochs that ended: a worker's model, a forecaster, a
//! reputer's source of truth.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_proto::{
    emissions::v10::NetworkInferenceBundle,
    topics::{LabelValue, MsgReportLosses, MsgReportTruth, MsgSubmitPayload, QueryEpochResponse, Window},
    tx::pack,
    url,
};
use prost_types::Any;
use serde_json::json;

use super::{Part, Preflight};
use crate::{
    adapter::{Adapter, Answer, Context},
    forecaster::Thinker,
    role::{gas, sayable, sayable_forecast},
    series::Point,
    truth::{self, Happened, Question, Truth, TruthSource, Yardstick},
};

/// What a lane knows of its topic.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) id: u64,
    pub(super) target: String,
    pub(super) unit: String,
    pub(super) labels: Vec<String>,
    /// From the question to the first block that accepts truths.
    pub(super) truth_lag: u64,
}

/// One message for one epoch.
pub(super) struct Word {
    /// For people.
    pub(super) shown: String,
    pub(super) message: Any,
    pub(super) gas: u64,
}

/// Someone who has something to say.
pub(super) trait Voice: Send {
    fn part(&self) -> Part;

    /// What people call it.
    fn name(&self) -> &str;

    /// Takes in an epoch that ended; they come in order.
    fn learn(&mut self, topic: &Topic, epoch: &QueryEpochResponse);

    /// The word for a window, or why there is none now.
    fn say(&mut self, topic: &Topic, window: &Window, sender: &str) -> Result<Word, String>;

    /// Something that must be on disk before the word is handed in.
    fn keep(&mut self, _topic: &Topic, _window: &Window) -> io::Result<()> {
        Ok(())
    }
}

/// The truths of a topic, one per epoch.
#[derive(Default)]
struct History {
    points: Vec<Point>,
    /// First epoch whose end was not seen.
    next: u64,
}

impl History {
    fn learn(&mut self, topic: &Topic, epoch: &QueryEpochResponse) {
        self.next = epoch.epoch + 1;
        // An epoch without truth keeps its step with a stand-in, so that seasons keep their phase.
        let last = self.points.last().map(|point| point.value);
        if let Some(value) = truth(epoch, &topic.labels).or(last) {
            self.points.push(Point { time: i64::try_from(epoch.epoch).unwrap_or(i64::MAX), value });
        }
    }
}

/// What came true: the number, or the index of the label whose truth is largest.
fn truth(epoch: &QueryEpochResponse, labels: &[String]) -> Option<f64> {
    if labels.is_empty() {
        return epoch.truth;
    }
    let known = epoch.columns.iter().filter_map(|column| Some((column.label.as_str(), column.truth?)));
    let (label, _) = known.max_by(|a, b| a.1.total_cmp(&b.1))?;
    labels.iter().position(|l| l == label).map(|index| index as f64)
}

/// A number, or one per label, as it can be handed in, and for people.
fn shown(number: &str, values: &[LabelValue]) -> String {
    if values.is_empty() {
        return number.to_string();
    }
    values.iter().map(|l| format!("{}={}", l.label, l.value)).collect::<Vec<_>>().join(" ")
}

/// A model that says what will be.
pub(super) struct WorkerVoice {
    adapter: Box<dyn Adapter>,
    preflight: Option<Preflight>,
    history: History,
}

impl WorkerVoice {
    pub(super) fn new(adapter: Box<dyn Adapter>, preflight: bool) -> Self {
        let preflight = preflight.then(Preflight::default);
        Self { adapter, preflight, history: History::default() }
    }
}

impl Voice for WorkerVoice {
    fn part(&self) -> Part {
        Part::Worker
    }

    fn name(&self) -> &str {
        self.adapter.name()
    }

    fn learn(&mut self, topic: &Topic, epoch: &QueryEpochResponse) {
        self.history.learn(topic, epoch);
    }

    /// The model's answer in the fields of a payload: a number, or one per label.
    fn say(&mut self, topic: &Topic, window: &Window, sender: &str) -> Result<Word, String> {
        // Epochs are steps: the last truth belongs to the epoch before the first whose end was not seen.
        let ahead = (window.epoch + 1).saturating_sub(self.history.next).max(1);
        let context = Context {
            topic: topic.id,
            epoch: window.epoch,
            nonce: window.nonce,
            target: &topic.target,
            unit: &topic.unit,
            labels: &topic.labels,
            ahead: usize::try_from(ahead).unwrap_or(usize::MAX),
            history: &self.history.points,
        };
        let answer = self.adapter.predict(&context).map_err(|error| error.to_string())?;
        let (inference, values) = match answer {
            Answer::Silent(why) => return Err(format!("nothing to say: {why}")),
            Answer::Value(_) if !topic.labels.is_empty() => {
                return Err(format!("the topic wants a number for each of: {}", topic.labels.join(", ")));
            }
            Answer::Value(value) => {
                if let Some(preflight) = &mut self.preflight {
                    let checked = preflight.check(value, &self.history.points, &topic.unit);
                    checked.map_err(|doubt| doubt.to_string())?;
                }
                let value = sayable(value).ok_or("the answer is too large to be submitted")?;
                (value.to_string(), Vec::new())
            }
            Answer::Labels(values) => {
                let said = |(label, value): (String, f64)| LabelValue { label, value: value.to_string() };
                (String::new(), values.into_iter().map(said).collect())
            }
        };
        let shown = shown(&inference, &values);
        let message = MsgSubmitPayload {
            sender: sender.to_string(),
            topic_id: topic.id,
            nonce: window.nonce,
            inference,
            forecast: Vec::new(),
            values,
        };
        Ok(Word { shown, message: pack(url::SUBMIT, &message), gas: gas::SUBMIT })
    }
}

/// Someone who says how wrong everybody will be.
pub(super) struct ForecasterVoice {
    thinker: Thinker,
    /// Who was scored in the newest scored epoch.
    members: Vec<String>,
}

impl ForecasterVoice {
    pub(super) fn new(thinker: Thinker) -> Self {
        Self { thinker, members: Vec::new() }
    }
}

impl Voice for ForecasterVoice {
    fn part(&self) -> Part {
        Part::Forecaster
    }

    fn name(&self) -> &str {
        match &self.thinker {
            Thinker::BuiltIn(forecaster) => forecaster.name(),
            Thinker::Called(called) => called.name(),
        }
    }

    fn learn(&mut self, _topic: &Topic, epoch: &QueryEpochResponse) {
        if epoch.state != "scored" {
            return;
        }
        let scored = epoch.parts.iter().filter(|p| !p.forecaster);
        let losses: Vec<(String, f64)> = scored.filter_map(|p| Some((p.address.clone(), p.loss?))).collect();
        self.members = losses.iter().map(|(address, _)| address.clone()).collect();
        match &mut self.thinker {
            Thinker::BuiltIn(forecaster) => forecaster.observe(epoch.epoch, &losses),
            Thinker::Called(called) => called.observe(epoch.epoch, &losses),
        }
    }

    fn say(&mut self, topic: &Topic, window: &Window, sender: &str) -> Result<Word, String> {
        if self.members.is_empty() {
            return Err("nothing to say: nobody was scored yet".into());
        }
        let predicted = match &mut self.thinker {
            Thinker::BuiltIn(forecaster) => forecaster.predict(window.epoch, &self.members),
            Thinker::Called(called) => {
                called.predict(topic.id, window.epoch, &self.members).map_err(|error| error.to_string())?
            }
        };
        let forecast = sayable_forecast(predicted);
        if forecast.is_empty() {
            return Err("nothing to say: the forecaster named no loss".into());
        }
        let gas = gas::forecast(forecast.len());
        let shown = format!("losses of {} members", forecast.len());
        let message = MsgSubmitPayload {
            sender: sender.to_string(),
            topic_id: topic.id,
            nonce: window.nonce,
            inference: String::new(),
            forecast,
            values: Vec::new(),
        };
        Ok(Word { shown, message: pack(url::SUBMIT, &message), gas })
    }
}

/// Time of a block, seconds since 1970, or why it is not known.
pub type BlockTime = Box<dyn Fn(u64) -> Result<i64, String> + Send>;

/// Everything that was published for the epoch of a topic, both by their numbers, or why it is not known.
pub type Published = Box<dyn Fn(u64, u64) -> Result<NetworkInferenceBundle, String> + Send>;

/// What a reputer asks its node.
pub struct Questions {
    /// When a block was made.
    pub time: BlockTime,
    /// What is judged, by topic and nonce.
    pub published: Published,
}

/// Someone who says what happened, or how wrong that makes everybody.
pub(super) struct ReputerVoice {
    source: Box<dyn TruthSource>,
    questions: Questions,
    /// Where reputers bring losses.
    yardstick: Option<Yardstick>,
    /// Where raw answers are kept.
    evidence: PathBuf,
    preflight: Option<Preflight>,
    history: History,
    /// The truth that is being handed in.
    found: Option<Truth>,
}

impl ReputerVoice {
    pub(super) fn new(
        source: Box<dyn TruthSource>,
        questions: Questions,
        yardstick: Option<Yardstick>,
        evidence: &Path,
        preflight: bool,
    ) -> Self {
        let preflight = preflight.then(Preflight::default);
        let (evidence, history) = (evidence.to_path_buf(), History::default());
        Self { source, questions, yardstick, evidence, preflight, history, found: None }
    }

    /// What this truth makes of everything that was published.
    fn losses(
        &self,
        yardstick: &Yardstick,
        happened: &Happened,
        (topic, nonce): (u64, u64),
        sender: &str,
    ) -> Result<Word, String> {
        let published = (self.questions.published)(topic, nonce)?;
        let report = yardstick.losses(&published, happened).map_err(|error| error.to_string())?;
        let entries = truth::count(&report);
        let shown = format!("{entries} losses, the network's {}", report.combined);
        let message = MsgReportLosses { sender: sender.to_string(), topic_id: topic, nonce, ..report };
        Ok(Word { shown, message: pack(url::REPORT_LOSSES, &message), gas: gas::losses(entries) })
    }
}

impl Voice for ReputerVoice {
    fn part(&self) -> Part {
        Part::Reputer
    }

    fn name(&self) -> &str {
        self.source.name()
    }

    fn learn(&mut self, topic: &Topic, epoch: &QueryEpochResponse) {
        self.history.learn(topic, epoch);
    }

    fn say(&mut self, topic: &Topic, window: &Window, sender: &str) -> Result<Word, String> {
        let (asked, due) = match self.source.needs_time() {
            true => {
                let time = &self.questions.time;
                (time(window.nonce)?, time(window.nonce.saturating_add(topic.truth_lag))?)
            }
            false => (0, 0),
        };
        let (epoch, nonce, truth_first) = (window.epoch, window.nonce, window.truth_first);
        let labels = topic.labels.as_slice();
        let question = Question { topic: topic.id, epoch, nonce, asked, due, truth_first, labels };
        let truth = self.source.look_up(&question).map_err(|error| error.to_string())?;
        let (value, values) = match &truth.happened {
            Happened::Value(value) => {
                if let Some(preflight) = &mut self.preflight {
                    let checked = preflight.check(*value, &self.history.points, &topic.unit);
                    checked.map_err(|doubt| doubt.to_string())?;
                }
                let value = sayable(*value).ok_or("the truth is too large to be reported")?;
                (value.to_string(), Vec::new())
            }
            Happened::Label(label) if topic.labels.contains(label) => {
                (String::new(), vec![LabelValue { label: label.clone(), value: "1".into() }])
            }
            Happened::Label(label) => {
                let label: String = label.chars().take(64).collect();
                return Err(format!("`{label}` is none of the topic's labels: {}", topic.labels.join(", ")));
            }
            Happened::Labels(values) => {
                let said = |(label, value): &(String, f64)| LabelValue {
                    label: label.clone(),
                    value: value.to_string(),
                };
                (String::new(), values.iter().map(said).collect())
            }
        };
        if let Some(yardstick) = &self.yardstick {
            let word = self.losses(yardstick, &truth.happened, (topic.id, nonce), sender)?;
            self.found = Some(truth);
            return Ok(word);
        }
        let evidence = truth.evidence();
        let shown = format!("{}, evidence {}", shown(&value, &values), hex::encode(evidence));
        let message = MsgReportTruth {
            sender: sender.to_string(),
            topic_id: topic.id,
            nonce: window.nonce,
            value,
            evidence: evidence.to_vec(),
            values,
        };
        self.found = Some(truth);
        Ok(Word { shown, message: pack(url::REPORT_TRUTH, &message), gas: gas::SUBMIT })
    }

    /// The raw answers, in a file that is called like the evidence.
    fn keep(&mut self, topic: &Topic, window: &Window) -> io::Result<()> {
        let Some(truth) = self.found.take() else { return Ok(()) };
        let name = hex::encode(truth.evidence());
        let answers = truth.raw.iter().map(|raw| match std::str::from_utf8(&raw.bytes) {
            Ok(text) => json!({ "source": raw.source, "text": text }),
            Err(_) => json!({ "source": raw.source, "base64": STANDARD.encode(&raw.bytes) }),
        });
        let answers: Vec<serde_json::Value> = answers.collect();
        let (id, epoch, nonce) = (topic.id, window.epoch, window.nonce);
        let kept =
            json!({ "topic": id, "epoch": epoch, "nonce": nonce, "evidence": name, "answers": answers });
        fs::create_dir_all(&self.evidence)?;
        fs::write(self.evidence.join(format!("{name}.json")), format!("{kept}\n"))
    }
}
