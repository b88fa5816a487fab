//! One model at one topic: learns the truths, is asked in time, is checked, is written down, is submitted, and knows at
//! the end what became of every epoch.

use std::collections::BTreeMap;

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_proto::{
    path,
    topics::{
        LabelValue, MsgRegister, MsgSubmitPayload, QueryEpochResponse, QueryMemberRequest,
        QueryMemberResponse, Role, Window,
    },
    tx::{TxHash, pack},
    url,
};

use super::{Entry, Ledger, LedgerError, Preflight, What};
use crate::{
    adapter::{Adapter, AdapterError, Answer, Context},
    role::{gas, sayable},
    series::Point,
};

/// Blocks after which a transaction that is in none is handed in again.
const LOST_AFTER: u64 = 3;
/// Epochs whose fate is followed at once; of older ones the ledger still tells.
const FOLLOWED: usize = 10_000;

/// How a lane works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic's number.
    pub topic: u64,
    /// Name on leaderboards.
    pub name: String,
    /// Account that is paid; empty: the one that signs.
    pub owner: String,
    /// Whether doubtful answers are held back.
    pub preflight: bool,
    /// Asks and checks, but signs nothing and writes nothing.
    pub dry_run: bool,
}

/// Why a lane cannot go on. A model that fails is not among them: that costs an epoch and is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The node refused or was not there.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger cannot be written: nothing may be submitted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What became of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Handed in, not yet answered for.
    Waiting,
    /// Heard and scored; uallo earned.
    Counted(u128),
    /// Heard, but no truth came or nobody else answered.
    Void,
    /// Not submitted, or submitted and not heard.
    Missed(String),
}

/// Everything a lane did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Epochs handed in.
    pub submitted: u64,
    /// Of these, heard and scored.
    pub counted: u64,
    /// Of these, ended without a score.
    pub void: u64,
    /// Of these, not ended.
    pub waiting: u64,
    /// Missed epochs by cause.
    pub missed: BTreeMap<String, u64>,
    /// uallo.
    pub earned: u128,
}

/// An epoch that was dealt with.
struct Record {
    epoch: u64,
    fate: Fate,
    /// Handed in, and not known to be in a block: name, and height at that time.
    pending: Option<(TxHash, u64)>,
}

/// Why an epoch was not submitted.
enum Trouble {
    /// The lane cannot go on.
    Stop(RunError),
    /// This epoch, this time.
    Epoch(String),
}

/// One model at one topic.
pub struct Lane {
    settings: Settings,
    adapter: Box<dyn Adapter>,
    chain: String,
    target: String,
    unit: String,
    labels: Vec<String>,
    history: Vec<Point>,
    /// First epoch whose end was not seen.
    next: u64,
    preflight: Preflight,
    /// By nonce.
    records: BTreeMap<u64, Record>,
    /// Failures of windows that are still open: told as missed only when they close.
    failing: BTreeMap<u64, (Window, String)>,
}

impl Lane {
    /// A lane for a topic of this node's chain.
    ///
    /// # Errors
    /// [`ClientError`]: there is no such topic, or no node.
    pub fn new<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        adapter: Box<dyn Adapter>,
    ) -> Result<Self, ClientError> {
        let spec = client.topic(settings.topic)?.spec.unwrap_or_default();
        Ok(Self {
            chain: client.status()?.chain_id,
            target: if spec.target.is_empty() { spec.title } else { spec.target },
            unit: spec.unit,
            labels: spec.labels,
            history: Vec::new(),
            next: 0,
            preflight: Preflight::default(),
            records: BTreeMap::new(),
            failing: BTreeMap::new(),
            settings,
            adapter,
        })
    }

    /// What people call its model.
    pub fn model(&self) -> &str {
        self.adapter.name()
    }

    /// Its topic.
    pub fn topic(&self) -> u64 {
        self.settings.topic
    }

    /// Registers the wallet as a worker where it is not; the transaction, if one was needed.
    ///
    /// # Errors
    /// [`ClientError`]: why the chain refuses it.
    pub fn register<T: Transport>(
        &self,
        client: &Client<T>,
        wallet: &mut Wallet,
    ) -> Result<Option<TxHash>, ClientError> {
        let address = wallet.address().to_string();
        let question = QueryMemberRequest { topic_id: self.settings.topic, address: address.clone() };
        let known: Result<QueryMemberResponse, _> = client.ask(path::MEMBER, &question);
        match known {
            Ok(member) if member.worker => return Ok(None),
            Ok(_) | Err(ClientError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let message = MsgRegister {
            sender: address,
            topic_id: self.settings.topic,
            role: Role::Worker.into(),
            owner: self.settings.owner.clone(),
            name: self.settings.name.clone(),
        };
        wallet.send(client, vec![pack(url::REGISTER, &message)], gas::WRITE).map(Some)
    }

    /// Looks at the topic once and submits to every open window that was not dealt with. What people should know is
    /// handed to `tell`.
    ///
    /// # Errors
    /// [`RunError`]: the node is not there, or the ledger cannot be written; calling again later goes on.
    pub fn step<T: Transport>(
        &mut self,
        client: &Client<T>,
        wallet: &mut Wallet,
        ledger: &mut Ledger,
        mut tell: impl FnMut(&str),
    ) -> Result<(), RunError> {
        let address = wallet.address().to_string();
        self.learn(client, &address, &mut tell)?;
        let seen = client.windows(self.settings.topic)?;
        let next = seen.height + 1;
        self.give_up(next, &address, ledger, &mut tell)?;
        let open = |w: &&Window| w.state == "open" && (w.worker_first..=w.worker_last).contains(&next);
        for window in seen.windows.iter().filter(open) {
            if self.settled(client, window, &address, ledger, next)? {
                continue;
            }
            match self.submit(client, wallet, ledger, window, seen.height) {
                Ok(said) => {
                    self.failing.remove(&window.nonce);
                    if let Some(said) = said {
                        tell(&format!("topic {} epoch {}: {said}", self.settings.topic, window.epoch));
                    }
                }
                Err(Trouble::Stop(error)) => return Err(error),
                Err(Trouble::Epoch(why)) => {
                    // Told once per cause; tried again in every block until the window closes.
                    let known = self.failing.get(&window.nonce).is_some_and(|(_, before)| *before == why);
                    if !known {
                        let (topic, last) = (self.settings.topic, window.worker_last);
                        tell(&format!(
                            "topic {topic} epoch {}: {why} (open until block {last})",
                            window.epoch
                        ));
                    }
                    self.failing.insert(window.nonce, (window.clone(), why));
                }
            }
        }
        Ok(())
    }

    /// Whether a window needs nothing: it was handed in and not lost, or there is nothing to say.
    fn settled<T: Transport>(
        &mut self,
        client: &Client<T>,
        window: &Window,
        address: &str,
        ledger: &Ledger,
        next: u64,
    ) -> Result<bool, ClientError> {
        if !self.records.contains_key(&window.nonce) {
            let Some(entry) = ledger.of(&self.chain, address, self.settings.topic, window.nonce) else {
                return Ok(false);
            };
            match &entry.what {
                // A former life was about to: the chain refuses a second one, so asking again is safe.
                What::Intent { .. } => return Ok(false),
                What::Missed { .. } => return Ok(true),
                What::Sent { hash } => {
                    let pending = tx_hash(hash).map(|hash| (hash, entry.height));
                    let record = Record { epoch: window.epoch, fate: Fate::Waiting, pending };
                    self.records.insert(window.nonce, record);
                }
            }
        }
        let Some(record) = self.records.get_mut(&window.nonce) else { return Ok(false) };
        let Some((hash, height)) = record.pending else { return Ok(true) };
        if next <= height + LOST_AFTER {
            return Ok(true);
        }
        let lost = match client.tx(hash) {
            Ok(receipt) => receipt.code != 0,
            Err(ClientError::NotFound(_)) => true,
            Err(error) => return Err(error),
        };
        record.pending = None;
        if lost {
            self.records.remove(&window.nonce);
        }
        Ok(!lost)
    }

    /// Asks, checks, writes down, signs. What was done, for people.
    fn submit<T: Transport>(
        &mut self,
        client: &Client<T>,
        wallet: &mut Wallet,
        ledger: &mut Ledger,
        window: &Window,
        height: u64,
    ) -> Result<Option<String>, Trouble> {
        let (inference, values) = self.answer(window)?;
        let shown = if values.is_empty() {
            inference.clone()
        } else {
            values.iter().map(|l| format!("{}={}", l.label, l.value)).collect::<Vec<_>>().join(" ")
        };
        let epoch = window.epoch;
        if self.settings.dry_run {
            let fate = Fate::Missed("dry run".into());
            self.records.insert(window.nonce, Record { epoch, fate, pending: None });
            return Ok(Some(format!("would submit {shown}")));
        }
        let address = wallet.address().to_string();
        let mut note = |what: What| {
            let (chain, topic, nonce) = (self.chain.clone(), self.settings.topic, window.nonce);
            let entry = Entry { chain, address: address.clone(), topic, epoch, nonce, height, what };
            ledger.write(entry).map_err(|e| Trouble::Stop(e.into()))
        };
        note(What::Intent { answer: shown.clone() })?;
        let message = MsgSubmitPayload {
            sender: address.clone(),
            topic_id: self.settings.topic,
            nonce: window.nonce,
            inference,
            forecast: Vec::new(),
            values,
        };
        let (hash, said) = match wallet.send(client, vec![pack(url::SUBMIT, &message)], gas::SUBMIT) {
            Ok(hash) => (Some(hash), format!("submitted {shown}")),
            Err(error) if error.is_already_submitted() => (None, "was submitted before".to_string()),
            Err(error @ ClientError::Node(_)) => return Err(Trouble::Stop(error.into())),
            Err(error) => return Err(Trouble::Epoch(error.to_string())),
        };
        let name = hash.map_or(String::new(), hex::encode_upper);
        note(What::Sent { hash: name })?;
        let pending = hash.map(|hash| (hash, height));
        self.records.insert(window.nonce, Record { epoch, fate: Fate::Waiting, pending });
        while self.records.len() > FOLLOWED {
            self.records.pop_first();
        }
        Ok(Some(said))
    }

    /// The model's answer in the fields of a payload: a number, or one per label.
    fn answer(&mut self, window: &Window) -> Result<(String, Vec<LabelValue>), Trouble> {
        // Epochs are steps: the last truth belongs to the epoch before the first whose end was not seen.
        let ahead = (window.epoch + 1).saturating_sub(self.next).max(1);
        let context = Context {
            topic: self.settings.topic,
            epoch: window.epoch,
            nonce: window.nonce,
            target: &self.target,
            unit: &self.unit,
            labels: &self.labels,
            ahead: usize::try_from(ahead).unwrap_or(usize::MAX),
            history: &self.history,
        };
        let epoch = |error: &dyn std::fmt::Display| Trouble::Epoch(error.to_string());
        let answer = self.adapter.predict(&context).map_err(|error: AdapterError| epoch(&error))?;
        match answer {
            Answer::Silent(why) => Err(Trouble::Epoch(format!("nothing to say: {why}"))),
            Answer::Value(_) if !self.labels.is_empty() => Err(Trouble::Epoch(format!(
                "the topic wants a number for each of: {}",
                self.labels.join(", ")
            ))),
            Answer::Value(value) => {
                if self.settings.preflight {
                    self.preflight.check(value, &self.history, &self.unit).map_err(|doubt| epoch(&doubt))?;
                }
                let value =
                    sayable(value).ok_or_else(|| epoch(&"the answer is too large to be submitted"))?;
                Ok((value.to_string(), Vec::new()))
            }
            Answer::Labels(values) => {
                let said = |(label, value): (String, f64)| LabelValue { label, value: value.to_string() };
                Ok((String::new(), values.into_iter().map(said).collect()))
            }
        }
    }

    /// Windows that closed while they failed are missed, for the reason that was last told.
    fn give_up(
        &mut self,
        next: u64,
        address: &str,
        ledger: &mut Ledger,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), RunError> {
        let closed: Vec<u64> =
            self.failing.iter().filter(|(_, (w, _))| w.worker_last < next).map(|(nonce, _)| *nonce).collect();
        for nonce in closed {
            let Some((window, why)) = self.failing.remove(&nonce) else { continue };
            let (topic, epoch) = (self.settings.topic, window.epoch);
            tell(&format!("topic {topic} epoch {epoch}: missed: {why}"));
            if !self.settings.dry_run {
                let (chain, address) = (self.chain.clone(), address.to_string());
                let what = What::Missed { why: why.clone() };
                ledger.write(Entry { chain, address, topic, epoch, nonce, height: next - 1, what })?;
            }
            self.records.insert(nonce, Record { epoch, fate: Fate::Missed(why), pending: None });
        }
        Ok(())
    }

    /// Takes in every epoch that ended, in order: its truth, and what became of our answer.
    fn learn<T: Transport>(
        &mut self,
        client: &Client<T>,
        address: &str,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), ClientError> {
        loop {
            let before = self.next;
            for epoch in client.epochs(self.settings.topic, self.next, 0)?.epochs {
                if epoch.state != "scored" && epoch.state != "void" {
                    return Ok(());
                }
                self.next = epoch.epoch + 1;
                // An epoch without truth keeps its step with a stand-in, so that seasons keep their phase.
                let last = self.history.last().map(|point| point.value);
                if let Some(value) = truth(&epoch, &self.labels).or(last) {
                    self.history.push(Point { time: i64::try_from(epoch.epoch).unwrap_or(i64::MAX), value });
                }
                if let Some(record) = self.records.get_mut(&epoch.nonce)
                    && record.fate == Fate::Waiting
                {
                    record.fate = fate(&epoch, address);
                    let (topic, number) = (self.settings.topic, epoch.epoch);
                    match &record.fate {
                        Fate::Counted(earned) => {
                            tell(&format!("topic {topic} epoch {number}: scored, earned {earned} uallo"));
                        }
                        Fate::Missed(why) => tell(&format!("topic {topic} epoch {number}: missed: {why}")),
                        Fate::Void | Fate::Waiting => {}
                    }
                }
            }
            if self.next == before {
                return Ok(());
            }
        }
    }

    /// What came of this life so far, as far as it is known.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for record in self.records.values() {
            match &record.fate {
                Fate::Waiting => totals.waiting += 1,
                Fate::Void => totals.void += 1,
                Fate::Counted(earned) => {
                    totals.counted += 1;
                    totals.earned = totals.earned.saturating_add(*earned);
                }
                Fate::Missed(why) => *totals.missed.entry(why.clone()).or_default() += 1,
            }
        }
        totals.submitted = totals.waiting + totals.void + totals.counted;
        totals
    }

    /// The newest epoch this lane dealt with.
    pub fn newest(&self) -> Option<u64> {
        self.records.values().map(|record| record.epoch).max()
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

/// What an ended epoch says about an account's answer.
fn fate(epoch: &QueryEpochResponse, address: &str) -> Fate {
    let part = epoch.parts.iter().find(|part| part.address == address && !part.forecaster);
    match part {
        _ if epoch.state == "void" => Fate::Void,
        Some(part) => Fate::Counted(part.reward.parse().unwrap_or(0)), // amounts are digits
        None => Fate::Missed(
            "submitted, but not heard: there was no room for all, see `dodona explain worker`".into(),
        ),
    }
}

/// A transaction's name from hex.
fn tx_hash(text: &str) -> Option<TxHash> {
    hex::decode(text).ok()?.try_into().ok()
}
