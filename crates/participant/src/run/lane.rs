//! One account in one part at one topic: learns from the epochs that ended, speaks in time, writes down what it says,
//! hands it in, and knows at the end what became of every epoch.

use std::{collections::BTreeMap, path::Path};

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_proto::{
    commit::{self, SALT},
    path,
    topics::{
        MsgAddStake, MsgOpenPayload, MsgRegister, MsgSealPayload, QueryEpochResponse, QueryInputsRequest,
        QueryInputsResponse, QueryMemberRequest, QueryMemberResponse, Role, Rule, TopicSpec, Window,
    },
    tx::{TxHash, pack},
    url,
};
use prost_types::Any;
use rand::{RngCore, rngs::OsRng};

use super::{
    Entry, Ledger, LedgerError, Part, Questions, What,
    voice::{ForecasterVoice, ReputerVoice, Topic, Voice, Word, WorkerVoice},
};
use crate::{
    adapter::Adapter,
    forecaster::Thinker,
    role::gas,
    truth::{TruthSource, Yardstick},
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
    /// What a reputer wants to have staked itself, uallo.
    pub stake: u128,
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
    /// Raw answers cannot be kept: nothing may be reported.
    #[error("the evidence: {0}")]
    Evidence(std::io::Error),
    /// This part has nothing to do at this topic.
    #[error("{0}")]
    Topic(String),
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
    /// What it was handed in as, if that is known.
    hash: Option<TxHash>,
}

/// A sealed word, as the ledger keeps it.
struct Kept {
    answer: String,
    payload: Vec<u8>,
    salt: [u8; SALT],
    gas: u64,
}

/// Why an epoch was not submitted.
enum Trouble {
    /// The lane cannot go on.
    Stop(RunError),
    /// This epoch, this time.
    Epoch(String),
}

/// What a lane has at hand while it deals with one window.
struct Turn<'a, T> {
    client: &'a Client<T>,
    wallet: &'a mut Wallet,
    ledger: &'a mut Ledger,
    window: &'a Window,
    /// Last committed block.
    height: u64,
}

/// One account in one part at one topic.
pub struct Lane {
    settings: Settings,
    voice: Box<dyn Voice>,
    chain: String,
    topic: Topic,
    /// First epoch whose end was not seen.
    next: u64,
    /// By nonce.
    records: BTreeMap<u64, Record>,
    /// Height at which a seal was handed in, by nonce; the last block that accepts seals once the chain has it.
    seals: BTreeMap<u64, u64>,
    /// Failures of windows that are still open: told as missed only when they close.
    failing: BTreeMap<u64, (Window, String)>,
}

impl Lane {
    /// A model at a topic of this node's chain.
    ///
    /// # Errors
    /// [`RunError`]: there is no such topic, or no node.
    pub fn worker<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        adapter: Box<dyn Adapter>,
    ) -> Result<Self, RunError> {
        let spec = spec(client, &settings)?;
        let voice = WorkerVoice::new(adapter, settings.preflight);
        Self::new(client, settings, spec, Box::new(voice))
    }

    /// A forecaster at a topic.
    ///
    /// # Errors
    /// [`RunError`]: also where the topic's rule hears no forecasts.
    pub fn forecaster<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        forecaster: Thinker,
    ) -> Result<Self, RunError> {
        let spec = spec(client, &settings)?;
        if matches!(spec.rule(), Rule::Mean | Rule::Median) {
            let topic = settings.topic;
            return Err(RunError::Topic(format!(
                "topic {topic} takes the mean or median: it hears no forecasts"
            )));
        }
        Self::new(client, settings, spec, Box::new(ForecasterVoice::new(forecaster)))
    }

    /// A reputer at a topic; raw answers are kept in the folder `evidence`. Where reputers bring losses, they are
    /// computed from the truth, by the loss that is named or else the topic's own.
    ///
    /// # Errors
    /// [`RunError`]: also where the topic does not say which loss it means, or one is named that has no use.
    pub fn reputer<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        source: Box<dyn TruthSource>,
        questions: Questions,
        loss: Option<&str>,
        evidence: &Path,
    ) -> Result<Self, RunError> {
        let spec = spec(client, &settings)?;
        let topic = settings.topic;
        let yardstick = Yardstick::needed(&spec, loss)
            .map_err(|error| RunError::Topic(format!("topic {topic}: {error}")))?;
        let voice = ReputerVoice::new(source, questions, yardstick, evidence, settings.preflight);
        Self::new(client, settings, spec, Box::new(voice))
    }

    fn new<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        spec: TopicSpec,
        voice: Box<dyn Voice>,
    ) -> Result<Self, RunError> {
        let topic = Topic {
            id: settings.topic,
            target: if spec.target.is_empty() { spec.title } else { spec.target },
            unit: spec.unit,
            labels: spec.labels,
            truth_lag: spec.truth_lag,
        };
        Ok(Self {
            chain: client.status()?.chain_id,
            topic,
            next: 0,
            records: BTreeMap::new(),
            seals: BTreeMap::new(),
            failing: BTreeMap::new(),
            settings,
            voice,
        })
    }

    /// What people call its model, forecaster or source.
    pub fn voice(&self) -> &str {
        self.voice.name()
    }

    /// As what it acts.
    pub fn part(&self) -> Part {
        self.voice.part()
    }

    /// Its topic.
    pub fn topic(&self) -> u64 {
        self.settings.topic
    }

    /// Takes the next step that is needed before it may speak, registration or stake: the transaction, and what it is
    /// for. Nothing, when all is there.
    ///
    /// # Errors
    /// [`ClientError`]: why the chain refuses it.
    pub fn prepare<T: Transport>(
        &self,
        client: &Client<T>,
        wallet: &mut Wallet,
    ) -> Result<Option<(TxHash, &'static str)>, ClientError> {
        let (topic_id, sender) = (self.settings.topic, wallet.address().to_string());
        let question = QueryMemberRequest { topic_id, address: sender.clone() };
        let known: Result<QueryMemberResponse, _> = client.ask(path::MEMBER, &question);
        let member = match known {
            Err(ClientError::NotFound(_)) => QueryMemberResponse::default(),
            known => known?,
        };
        let reports = self.part().reports();
        if !(if reports { member.reputer } else { member.worker }) {
            let message = MsgRegister {
                sender,
                topic_id,
                role: if reports { Role::Reputer } else { Role::Worker }.into(),
                owner: self.settings.owner.clone(),
                name: self.settings.name.clone(),
            };
            let hash = wallet.send(client, vec![pack(url::REGISTER, &message)], gas::WRITE)?;
            return Ok(Some((hash, "registration")));
        }
        let staked: u128 = member.stake.parse().unwrap_or(0); // amounts are digits
        match self.settings.stake.checked_sub(staked) {
            Some(lacking) if lacking > 0 && reports => {
                let message = MsgAddStake { sender, topic_id, amount: lacking.to_string() };
                let hash = wallet.send(client, vec![pack(url::ADD_STAKE, &message)], gas::WRITE)?;
                Ok(Some((hash, "stake")))
            }
            _ => Ok(None),
        }
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
        let reports = self.part().reports();
        let open = |w: &&Window| match reports {
            true => (w.truth_first..=w.truth_last).contains(&next),
            false => w.state == "open" && (w.worker_first..=w.worker_last).contains(&next),
        };
        for window in seen.windows.iter().filter(open) {
            let sealed = !reports && window.seal_last > 0;
            // While seals are accepted, a seal is all there is to do; afterwards it is opened like any word.
            let sealing = sealed && next <= window.seal_last;
            let done = match sealing {
                true => self.sealed(client, window, &address, ledger, next)?,
                false => self.settled(client, window, &address, ledger, next)?,
            };
            if done {
                continue;
            }
            let turn = Turn { client, wallet, ledger, window, height: seen.height };
            let tried = match (sealed, sealing) {
                (false, _) => self.submit(turn),
                (true, true) => self.seal(turn),
                (true, false) => self.open(turn),
            };
            match tried {
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
                        let last = if sealing { window.seal_last } else { last_block(window, reports) };
                        let topic = self.settings.topic;
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
            let Some(entry) =
                ledger.of(&self.chain, address, self.settings.topic, self.voice.part(), window.nonce)
            else {
                return Ok(false);
            };
            match &entry.what {
                // A former life was about to: the chain refuses a second one, so asking again is safe.
                What::Intent { .. } | What::Sealed { .. } => return Ok(false),
                What::Missed { .. } => return Ok(true),
                What::Sent { hash } => {
                    let pending = tx_hash(hash).map(|hash| (hash, entry.height));
                    let hash = pending.map(|(hash, _)| hash);
                    let record = Record { epoch: window.epoch, fate: Fate::Waiting, pending, hash };
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

    /// Whether an epoch whose seals are still accepted needs nothing: the chain has ours, or will soon.
    fn sealed<T: Transport>(
        &mut self,
        client: &Client<T>,
        window: &Window,
        address: &str,
        ledger: &Ledger,
        next: u64,
    ) -> Result<bool, ClientError> {
        if let Some(height) = self.seals.get(&window.nonce)
            && next <= height + LOST_AFTER
        {
            return Ok(true);
        }
        let Some(entry) =
            ledger.of(&self.chain, address, self.settings.topic, self.voice.part(), window.nonce)
        else {
            return Ok(self.records.contains_key(&window.nonce));
        };
        match &entry.what {
            What::Sealed { .. } => {}
            What::Intent { .. } => return Ok(false),
            What::Sent { .. } | What::Missed { .. } => return Ok(true),
        }
        let (topic_id, nonce) = (self.settings.topic, window.nonce);
        let question = QueryInputsRequest { topic_id, nonce, address: address.to_string() };
        let known: QueryInputsResponse = client.ask(path::INPUTS, &question)?;
        let there = known.seals.iter().any(|row| row.address == address);
        if there {
            // A look at every block of a long window would be for nothing.
            self.seals.insert(window.nonce, window.seal_last);
        }
        Ok(there)
    }

    /// Asks, checks and writes down a word nobody can read yet, or takes the one of the ledger; hands in its seal. What was
    /// done, for people.
    fn seal<T: Transport>(&mut self, turn: Turn<'_, T>) -> Result<Option<String>, Trouble> {
        let (nonce, address) = (turn.window.nonce, turn.wallet.address().to_string());
        let word = match self.kept(&turn)? {
            Some(word) if self.settings.dry_run => {
                return Ok(Some(self.rehearse(turn.window, "seal", &word.answer)));
            }
            Some(word) => word,
            None => {
                let Word { shown, message, gas } =
                    self.voice.say(&self.topic, turn.window, &address).map_err(Trouble::Epoch)?;
                if self.settings.dry_run {
                    return Ok(Some(self.rehearse(turn.window, "seal", &shown)));
                }
                let mut salt = [0; SALT];
                OsRng
                    .try_fill_bytes(&mut salt)
                    .map_err(|e| Trouble::Epoch(format!("no random numbers for the seal: {e}")))?;
                let word = Kept { answer: shown, payload: message.value, salt, gas };
                let (answer, payload) = (word.answer.clone(), hex::encode(&word.payload));
                let what = What::Sealed { answer, payload, salt: hex::encode(salt), gas };
                self.note(turn.ledger, &address, turn.window, turn.height, what)?;
                word
            }
        };
        let seal = commit::seal(&self.chain, &word.salt, &word.payload).to_vec();
        let message = MsgSealPayload { sender: address, topic_id: self.settings.topic, nonce, seal };
        broadcast(turn.client, turn.wallet, pack(url::SEAL, &message), gas::SUBMIT)?;
        self.seals.insert(nonce, turn.height);
        while self.seals.len() > FOLLOWED {
            self.seals.pop_first();
        }
        let from = turn.window.seal_last + 1;
        Ok(Some(format!("sealed {}, to be opened from block {from} on", word.answer)))
    }

    /// Opens what was sealed. What was done, for people.
    fn open<T: Transport>(&mut self, turn: Turn<'_, T>) -> Result<Option<String>, Trouble> {
        let Some(Kept { answer, payload, salt, gas }) = self.kept(&turn)? else {
            // Why nothing was sealed in time matters more than that it is too late now.
            let known = self.failing.get(&turn.window.nonce).map(|(_, why)| why.clone());
            let late = format!("seals were accepted until block {} only", turn.window.seal_last);
            return Err(Trouble::Epoch(known.unwrap_or(late)));
        };
        if self.settings.dry_run {
            return Ok(Some(self.rehearse(turn.window, "open", &answer)));
        }
        let sender = turn.wallet.address().to_string();
        let message = MsgOpenPayload { sender, payload, salt: salt.to_vec() };
        self.hand_in(turn, pack(url::OPEN, &message), gas, &answer)
    }

    /// The sealed word that the ledger keeps for a window.
    fn kept<T>(&self, turn: &Turn<'_, T>) -> Result<Option<Kept>, Trouble> {
        let (address, topic) = (turn.wallet.address().to_string(), self.settings.topic);
        let entry = turn.ledger.of(&self.chain, &address, topic, self.part(), turn.window.nonce);
        let Some(What::Sealed { answer, payload, salt, gas }) = entry.map(|entry| &entry.what) else {
            return Ok(None);
        };
        let damaged = || Trouble::Epoch("the ledger's seal of this epoch is damaged".into());
        let payload = hex::decode(payload).map_err(|_| damaged())?;
        let salt = hex::decode(salt).ok().and_then(|salt| salt.try_into().ok()).ok_or_else(damaged)?;
        Ok(Some(Kept { answer: answer.clone(), payload, salt, gas: *gas }))
    }

    /// Asks, checks, writes down, signs. What was done, for people.
    fn submit<T: Transport>(&mut self, turn: Turn<'_, T>) -> Result<Option<String>, Trouble> {
        let address = turn.wallet.address().to_string();
        let Word { shown, message, gas } =
            self.voice.say(&self.topic, turn.window, &address).map_err(Trouble::Epoch)?;
        if self.settings.dry_run {
            return Ok(Some(self.rehearse(turn.window, "submit", &shown)));
        }
        self.voice.keep(&self.topic, turn.window).map_err(|e| Trouble::Stop(RunError::Evidence(e)))?;
        let intent = What::Intent { answer: shown.clone() };
        self.note(turn.ledger, &address, turn.window, turn.height, intent)?;
        self.hand_in(turn, message, gas, &shown)
    }

    /// Signs a word and writes down that it is on its way. What was done, for people.
    fn hand_in<T: Transport>(
        &mut self,
        turn: Turn<'_, T>,
        message: Any,
        gas: u64,
        shown: &str,
    ) -> Result<Option<String>, Trouble> {
        let Turn { client, wallet, ledger, window, height } = turn;
        let hash = broadcast(client, wallet, message, gas)?;
        let said = match hash {
            Some(_) => format!("submitted {shown}"),
            None => "was submitted before".to_string(),
        };
        let name = hash.map_or(String::new(), hex::encode_upper);
        self.note(ledger, &wallet.address().to_string(), window, height, What::Sent { hash: name })?;
        let pending = hash.map(|hash| (hash, height));
        let record = Record { epoch: window.epoch, fate: Fate::Waiting, pending, hash };
        self.records.insert(window.nonce, record);
        while self.records.len() > FOLLOWED {
            self.records.pop_first();
        }
        Ok(Some(said))
    }

    /// Deals with a window without signing anything. What would have been done, for people.
    fn rehearse(&mut self, window: &Window, verb: &str, shown: &str) -> String {
        let fate = Fate::Missed("dry run".into());
        let record = Record { epoch: window.epoch, fate, pending: None, hash: None };
        self.records.insert(window.nonce, record);
        format!("would {verb} {shown}")
    }

    /// Writes a step of an epoch down.
    fn note(
        &self,
        ledger: &mut Ledger,
        address: &str,
        window: &Window,
        height: u64,
        what: What,
    ) -> Result<(), Trouble> {
        let (chain, address) = (self.chain.clone(), address.to_string());
        let (topic, part, epoch, nonce) = (self.settings.topic, self.part(), window.epoch, window.nonce);
        let entry = Entry { chain, address, topic, part, epoch, nonce, height, what };
        ledger.write(entry).map_err(|e| Trouble::Stop(e.into()))
    }

    /// Windows that closed while they failed are missed, for the reason that was last told.
    fn give_up(
        &mut self,
        next: u64,
        address: &str,
        ledger: &mut Ledger,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), RunError> {
        let reports = self.part().reports();
        let over = |window: &Window| last_block(window, reports) < next;
        let closed: Vec<u64> =
            self.failing.iter().filter(|(_, (w, _))| over(w)).map(|(nonce, _)| *nonce).collect();
        for nonce in closed {
            let Some((window, why)) = self.failing.remove(&nonce) else { continue };
            let (topic, epoch) = (self.settings.topic, window.epoch);
            tell(&format!("topic {topic} epoch {epoch}: missed: {why}"));
            if !self.settings.dry_run {
                let (chain, address) = (self.chain.clone(), address.to_string());
                let (part, what) = (self.part(), What::Missed { why: why.clone() });
                ledger.write(Entry { chain, address, topic, part, epoch, nonce, height: next - 1, what })?;
            }
            self.records.insert(nonce, Record { epoch, fate: Fate::Missed(why), pending: None, hash: None });
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
                self.voice.learn(&self.topic, &epoch);
                if let Some(record) = self.records.get_mut(&epoch.nonce)
                    && record.fate == Fate::Waiting
                {
                    record.fate = fate(&epoch, self.voice.part(), address);
                    if let (Fate::Missed(why), Some(hash)) = (&mut record.fate, record.hash)
                        && let Some(cause) = unheard(client, hash)?
                    {
                        *why = cause;
                    }
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
                Fate::Missed(why) => *totals.missed.entry(cause(why)).or_default() += 1,
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

/// Hands a message in: the transaction's name, or none if the chain has had this word already.
fn broadcast<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    message: Any,
    gas: u64,
) -> Result<Option<TxHash>, Trouble> {
    match wallet.send(client, vec![message], gas) {
        Ok(hash) => Ok(Some(hash)),
        Err(error) if error.is_already_submitted() => Ok(None),
        Err(error @ ClientError::Node(_)) => Err(Trouble::Stop(error.into())),
        Err(error) => Err(Trouble::Epoch(error.to_string())),
    }
}

/// Description of the topic of these settings.
fn spec<T: Transport>(client: &Client<T>, settings: &Settings) -> Result<TopicSpec, RunError> {
    Ok(client.topic(settings.topic)?.spec.unwrap_or_default())
}

/// Last block that accepts a word.
fn last_block(window: &Window, reports: bool) -> u64 {
    if reports { window.truth_last } else { window.worker_last }
}

/// What an ended epoch says about an account's word.
fn fate(epoch: &QueryEpochResponse, part: Part, address: &str) -> Fate {
    let heard = match part {
        Part::Reputer => epoch.truths.iter().find(|t| t.address == address).map(|t| &t.reward),
        part => {
            let forecaster = part == Part::Forecaster;
            let mine = epoch.parts.iter().find(|p| p.address == address && p.forecaster == forecaster);
            mine.map(|p| &p.reward)
        }
    };
    match heard {
        _ if epoch.state == "void" => Fate::Void,
        Some(reward) => Fate::Counted(reward.parse().unwrap_or(0)), // amounts are digits
        None if part.reports() => Fate::Missed(
            "reported, but not heard: too little stake, or no room for all, see `dodona explain reputer`"
                .into(),
        ),
        None => Fate::Missed(
            "submitted, but not heard: there was no room for all, see `dodona explain worker`".into(),
        ),
    }
}

/// Why a word that was handed in did not count, as far as its transaction tells: it was refused, or it is in no block.
fn unheard<T: Transport>(client: &Client<T>, hash: TxHash) -> Result<Option<String>, ClientError> {
    match client.tx(hash) {
        Ok(receipt) if receipt.code != 0 => Ok(Some(format!("refused by the block: {}", receipt.log))),
        Ok(_) => Ok(None),
        Err(ClientError::NotFound(_)) => {
            Ok(Some("submitted, but in no block before the window closed: answer sooner".into()))
        }
        Err(error) => Err(error),
    }
}

/// One cause for many epochs: whole numbers in it are of one epoch each.
fn cause(why: &str) -> String {
    let word = |word: &str| {
        let number = word.trim_end_matches([',', ';', ':', ')']);
        let counts = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if counts { format!("N{}", &word[number.len()..]) } else { word.to_string() }
    };
    why.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A transaction's name from hex.
fn tx_hash(text: &str) -> Option<TxHash> {
    hex::decode(text).ok()?.try_into().ok()
}
