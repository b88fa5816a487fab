//! How much a network of real processes takes: thousands of workers whose payloads carry two signatures each, as
//! published clients send them, handed in at a given rate and counted in the blocks.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dodona_client::{Client, ClientError, Http, Wallet};
use dodona_proto::{
    ALLO,
    emissions::{v3, v10},
    sign::{AccountKey, verify},
    topics::{
        Loss, MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgRegister, MsgReportTruth, Role, Rule, TopicSpec,
        Window,
    },
    tx::{TxHash, pack},
    url,
};
use prost::Message as _;
use prost_types::Any;

use super::member::{self, Member, MemberError, Plan};
use crate::world::{self, Setup};

/// Workers of a topic: as many as topics hear by default.
const WORKERS: u64 = 32;
/// Blocks from one question to the next; each worker answers once in that time.
const EPOCH: u64 = 5;
/// Reputers, each of all topics.
const REPUTERS: u64 = 3;
/// What each stakes on a topic, and what the consumer pays for it.
const STAKE: u128 = ALLO;
/// Lines to each node over which payloads are handed in: each waits for its answer before the next, as clients do.
const LINES: u64 = 8;
/// Messages in one transaction of those who speak about all topics.
const TOGETHER: usize = 16;
/// Gas of a payload with its second signature.
const PAYLOAD_GAS: u64 = 80_000;
/// How often the newest block is looked for.
const LOOK: Duration = Duration::from_millis(3);
/// Longest wait for what has been handed in.
const PATIENCE: Duration = Duration::from_secs(120);
/// One transaction in so many is looked up at the end.
const SAMPLED: u64 = 500;

/// How much for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// The `dodona` program.
    pub program: PathBuf,
    /// An empty folder.
    pub dir: PathBuf,
    /// How many validators.
    pub validators: u8,
    /// Payloads a second.
    pub rate: u32,
    /// How long they are handed in.
    pub time: Duration,
    /// From one block to the next.
    pub block_time: Duration,
    /// Makes all keys and answers.
    pub seed: u64,
    /// Whether validators keep an index of events.
    pub index: bool,
}

/// What the network made of it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Taken {
    /// Topics.
    pub topics: u64,
    /// Their workers.
    pub workers: u64,
    /// Seconds in which payloads were handed in.
    pub seconds: f64,
    /// Payloads handed in.
    pub offered: u64,
    /// Payloads that a node refused at the door; the first reason is told.
    pub refused: u64,
    /// Why the first of them was refused.
    pub first_refusal: Option<String>,
    /// Transactions in blocks in that time, truths included.
    pub included: u64,
    /// The same, a second.
    pub per_second: f64,
    /// Transactions that waited when the time was over.
    pub waiting: u64,
    /// Seconds until none waited any more.
    pub drained: f64,
    /// Payloads looked up afterwards, and how many of them had been executed without an error.
    pub sampled: u64,
    /// Those of them that were executed without an error.
    pub executed: u64,
    /// Blocks in that time.
    pub blocks: u64,
    /// From one block's time to the next one's, milliseconds: half of them took no longer, nineteen of twenty.
    pub block_ms: [f64; 2],
    /// From a proposer's clock in the header until the first node's door shows the block, the same two.
    pub finality_ms: [f64; 2],
    /// Processor time that one validator spent for one transaction, microseconds: all its work, blocks included.
    pub processor_us: f64,
    /// Most memory a validator had, MiB.
    pub memory_mib: f64,
    /// By how much a validator's folder grew in a block, bytes.
    pub growth: u64,
    /// Epochs of the first topic that were scored.
    pub scored: u64,
    /// Payloads a second whose two signatures one core checks, and does nothing else.
    pub signatures_alone: f64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A network that cannot be made.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A step before the load.
    #[error("{0}: {1}")]
    Client(&'static str, ClientError),
    /// A node that does not answer, or not in time.
    #[error("{0}")]
    Silent(String),
}

fn failed(what: &'static str) -> impl FnOnce(ClientError) -> LoadError {
    move |error| LoadError::Client(what, error)
}

/// Makes the network in `dir`, loads it, and ends it.
///
/// # Errors
/// [`LoadError`].
pub fn run(load: &Load, tell: &mut dyn FnMut(&str)) -> Result<Taken, LoadError> {
    let each = load.block_time.as_secs_f64() * EPOCH as f64;
    let topics = ((f64::from(load.rate) * each / WORKERS as f64).ceil() as u64).max(1);
    let workers = (0..topics * WORKERS).map(|n| format!("worker-{n}"));
    let plan = Plan {
        validators: load.validators,
        seed: load.seed,
        block_time: load.block_time,
        index: load.index,
        params: world::dev_params(),
        accounts: workers.chain((0..REPUTERS).map(|n| format!("reputer-{n}"))).collect(),
    };
    let turn = member::Turn::take();
    let mut members = member::create(&load.dir, &plan, &mut |_, _, address| address)?;
    for member in &mut members {
        member.start(&load.program, &[])?;
    }
    let begun = Instant::now();
    while members.iter().any(|m| m.height().is_none_or(|height| height < 2)) {
        if begun.elapsed() > PATIENCE {
            return Err(LoadError::Silent("the network made no block in two minutes".into()));
        }
        sleep(Duration::from_millis(100));
    }
    drop(turn);
    tell(&format!(
        "{} validators, {topics} topics, {} workers: registering",
        load.validators,
        topics * WORKERS
    ));
    let taken = measure(load, &members, topics, tell);
    member::end(&mut members);
    taken
}

fn measure(
    load: &Load,
    members: &[Member],
    topics: u64,
    tell: &mut dyn FnMut(&str),
) -> Result<Taken, LoadError> {
    let clients: Vec<Client<Http>> = members.iter().filter_map(Member::client).collect();
    let first = &clients[0];
    let mut taken = Taken { topics, workers: topics * WORKERS, ..Taken::default() };
    taken.signatures_alone = signatures();
    found(load, first, topics)?;
    let mut crews = Vec::new();
    let lines: Vec<&Client<Http>> = (0..LINES).flat_map(|_| &clients).collect();
    let count = lines.len() as u64;
    for (n, client) in lines.iter().enumerate() {
        let own: Vec<u64> = (1..=topics).filter(|topic| topic % count == n as u64).collect();
        crews.push((Crew::register(load, client, &own)?, *client));
    }
    // A crew without topics has nothing to hand in.
    crews.retain(|(crew, _)| !crew.topics.is_empty());
    settled(first)?;

    let pace = Arc::new(Pace::default());
    let watch = Watch::start(first.clone(), pace.clone());
    let mut threads = Vec::new();
    let share = f64::from(load.rate) / topics as f64;
    let before = (first.status().map_err(failed("status"))?, weight(members));
    let busy = processor(members);
    let begun = Instant::now();
    for (crew, client) in crews {
        let rate = share * crew.topics.len() as f64;
        threads.push(crew.work(client.clone(), rate, pace.clone()));
    }
    threads.push(reputers(load, first.clone(), topics, pace.clone()));
    let mut shown = Instant::now();
    while begun.elapsed() < load.time {
        sleep(Duration::from_millis(200));
        if shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            if let Ok(now) = first.status() {
                let per = (now.txs - before.0.txs) as f64 / begun.elapsed().as_secs_f64();
                let offered = pace.offered.load(Ordering::Relaxed);
                tell(&format!(
                    "{:>5.0} s  block {}  {offered} payloads handed in, {per:.0} transactions/s in blocks, {} waiting",
                    begun.elapsed().as_secs_f64(),
                    now.height,
                    now.mempool_txs
                ));
            }
        }
    }
    taken.seconds = begun.elapsed().as_secs_f64();
    let used = processor(members) - busy;
    let after = first.status().map_err(failed("status"))?;
    pace.stop.store(true, Ordering::Relaxed);
    let over = Instant::now();
    for thread in threads {
        // A worker's thread that failed has been counted among the refusals.
        let _ = thread.join();
    }
    settled(first)?;
    taken.drained = over.elapsed().as_secs_f64();
    let watched = watch.end();
    taken.offered = pace.offered.load(Ordering::Relaxed);
    taken.refused = pace.refused.load(Ordering::Relaxed);
    taken.first_refusal = lock(&pace.refusal).clone();
    taken.included = after.txs - before.0.txs;
    taken.per_second = taken.included as f64 / taken.seconds;
    taken.waiting = after.mempool_txs;
    taken.blocks = after.height - before.0.height;
    taken.processor_us = 1e6 * used / (taken.included.max(1) as f64 * members.len() as f64);
    taken.block_ms = quantiles(watched.iter().zip(watched.iter().skip(1)).map(|(a, b)| (b.0 - a.0) as f64));
    taken.finality_ms = quantiles(watched.iter().map(|seen| seen.1));
    taken.memory_mib = members.iter().filter_map(Member::pid).filter_map(memory).fold(0.0, f64::max);
    taken.growth = weight(members).saturating_sub(before.1) / taken.blocks.max(1);
    taken.scored = first.topic(1).map_err(failed("topic"))?.epochs_scored;
    for hash in lock(&pace.sample).iter() {
        taken.sampled += 1;
        taken.executed += u64::from(first.tx(*hash).is_ok_and(|found| found.height > 0 && found.code == 0));
    }
    Ok(taken)
}

/// What the threads share.
#[derive(Default)]
struct Pace {
    stop: AtomicBool,
    height: AtomicU64,
    offered: AtomicU64,
    refused: AtomicU64,
    refusal: Mutex<Option<String>>,
    sample: Mutex<Vec<TxHash>>,
}

impl Pace {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn refuse(&self, error: &ClientError) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        lock(&self.refusal).get_or_insert_with(|| error.to_string());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The topics, funded, with their reputers.
fn found(load: &Load, client: &Client<Http>, topics: u64) -> Result<(), LoadError> {
    let setup = Setup { rule: Rule::Power, loss: Loss::Squared, horizon: 1, seed: load.seed };
    let spec = TopicSpec {
        epoch_length: EPOCH,
        worker_window: EPOCH,
        truth_lag: EPOCH,
        truth_window: EPOCH,
        ..world::topic_spec(&setup, "load", "units")
    };
    let mut consumer = Wallet::new(world::key(load.seed, "consumer"));
    let who = consumer.address().to_string();
    let create = MsgCreateTopic { creator: who.clone(), spec: Some(spec) };
    let creations = (0..topics).map(|_| pack(url::CREATE_TOPIC, &create));
    together(&mut consumer, client, creations, 70_000).map_err(failed("topics"))?;
    settled(client)?;
    let purse = |topic_id| MsgFundTopic { sender: who.clone(), topic_id, amount: (10 * STAKE).to_string() };
    let funds = (1..=topics).map(|topic| pack(url::FUND_TOPIC, &purse(topic)));
    together(&mut consumer, client, funds, 40_000).map_err(failed("funding"))?;
    for n in 0..REPUTERS {
        let name = format!("reputer-{n}");
        let mut reputer = Wallet::new(world::key(load.seed, &name));
        let sender = reputer.address().to_string();
        let steps = (1..=topics).flat_map(|topic_id| {
            let (role, owner) = (Role::Reputer.into(), String::new());
            let place = MsgRegister { sender: sender.clone(), topic_id, role, owner, name: name.clone() };
            let stake = MsgAddStake { sender: sender.clone(), topic_id, amount: STAKE.to_string() };
            [pack(url::REGISTER, &place), pack(url::ADD_STAKE, &stake)]
        });
        together(&mut reputer, client, steps, 40_000).map_err(failed("reputers"))?;
        settled(client)?;
    }
    Ok(())
}

/// Sends many messages, some in each transaction; a full account waits for the next block.
fn together(
    wallet: &mut Wallet,
    client: &Client<Http>,
    messages: impl Iterator<Item = Any>,
    gas: u64,
) -> Result<(), ClientError> {
    let messages: Vec<Any> = messages.collect();
    for some in messages.chunks(TOGETHER) {
        let until = Instant::now() + PATIENCE;
        loop {
            match wallet.send(client, some.to_vec(), 60_000 + gas * some.len() as u64) {
                Ok(_) => break,
                Err(ClientError::Refused { log, .. }) if log.contains("full") && Instant::now() < until => {
                    sleep(Duration::from_millis(200));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Waits until nothing waits any more.
fn settled(client: &Client<Http>) -> Result<(), LoadError> {
    let until = Instant::now() + PATIENCE;
    while client.status().map_err(failed("status"))?.mempool_txs > 0 {
        if Instant::now() > until {
            return Err(LoadError::Silent("transactions wait for more than two minutes".into()));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The workers of some topics, all at one node.
struct Crew {
    seed: u64,
    topics: Vec<Shift>,
}

/// One topic's workers, and how far they have come in its epoch.
struct Shift {
    topic: u64,
    workers: Vec<(AccountKey, Wallet)>,
    open: Option<Window>,
    next: usize,
}

impl Crew {
    fn register(load: &Load, client: &Client<Http>, topics: &[u64]) -> Result<Self, LoadError> {
        let mut shifts = Vec::new();
        for &topic in topics {
            let mut workers = Vec::new();
            for n in 0..WORKERS {
                let name = format!("worker-{}", (topic - 1) * WORKERS + n);
                let key = world::key(load.seed, &name);
                let mut wallet = Wallet::new(key.clone());
                let sender = wallet.address().to_string();
                let role = Role::Worker.into();
                let place = MsgRegister { sender, topic_id: topic, role, owner: String::new(), name };
                let place = [pack(url::REGISTER, &place)];
                together(&mut wallet, client, place.into_iter(), 40_000).map_err(failed("workers"))?;
                workers.push((key, wallet));
            }
            shifts.push(Shift { topic, workers, open: None, next: 0 });
        }
        Ok(Self { seed: load.seed, topics: shifts })
    }

    /// Hands in `rate` payloads a second, each worker's once in an epoch.
    fn work(mut self, client: Client<Http>, rate: f64, pace: Arc<Pace>) -> JoinHandle<()> {
        thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0u64);
            while !pace.is_over() {
                let before = sent;
                for shift in &mut self.topics {
                    let Some(window) = shift.window(&client, pace.height.load(Ordering::Relaxed)) else {
                        continue;
                    };
                    // Some of one topic, some of the next: a block has payloads of all.
                    for _ in 0..4 {
                        let due = Duration::from_secs_f64(sent as f64 / rate);
                        sleep(due.saturating_sub(begun.elapsed()));
                        let Some((key, wallet)) = shift.workers.get_mut(shift.next) else { break };
                        shift.next += 1;
                        sent += 1;
                        let message = payload(key, shift.topic, window.nonce, self.seed ^ sent);
                        match wallet.send(&client, vec![message], PAYLOAD_GAS) {
                            Ok(hash) => {
                                let offered = pace.offered.fetch_add(1, Ordering::Relaxed);
                                if offered.is_multiple_of(SAMPLED) {
                                    lock(&pace.sample).push(hash);
                                }
                            }
                            Err(error) => pace.refuse(&error),
                        }
                        if pace.is_over() {
                            return;
                        }
                    }
                }
                if sent == before {
                    sleep(Duration::from_millis(20));
                }
            }
        })
    }
}

impl Shift {
    /// The window that accepts payloads in the next block and has workers left.
    fn window(&mut self, client: &Client<Http>, height: u64) -> Option<Window> {
        // Payloads of the last block of a window would come too late.
        if self.open.as_ref().is_none_or(|window| height + 2 > window.worker_last) {
            let seen = client.windows(self.topic).ok()?;
            let fresh = |w: &&Window| {
                w.state == "open" && w.worker_first <= height + 1 && height + 2 <= w.worker_last
            };
            let newest = seen.windows.iter().filter(fresh).max_by_key(|w| w.epoch)?.clone();
            if self.open.as_ref().is_none_or(|old| old.epoch != newest.epoch) {
                self.next = 0;
                self.open = Some(newest);
            }
        }
        self.open.clone().filter(|window| self.next < self.workers.len() && height + 2 <= window.worker_last)
    }
}

/// As published clients send it: a bundle with a signature of its own.
fn payload(key: &AccountKey, topic_id: u64, nonce: u64, draw: u64) -> Any {
    let (who, block_height) = (key.address().to_string(), nonce as i64);
    let inference = v10::InputInference {
        topic_id,
        block_height,
        inferer: who.clone(),
        value: format!("{}.{:03}", 100 + draw % 7, draw.wrapping_mul(7_919) % 1_000),
        ..Default::default()
    };
    let inner = v10::InputInferenceForecastBundle { inference: Some(inference), forecast: None };
    let bundle = v10::InputWorkerDataBundle {
        worker: who.clone(),
        nonce: Some(v3::Nonce { block_height }),
        topic_id,
        inferences_forecasts_bundle_signature: key.sign(&inner.encode_to_vec()).to_vec(),
        inference_forecasts_bundle: Some(inner),
        pubkey: hex::encode(key.public()),
    };
    pack(url::V10_WORKER, &v10::InsertWorkerPayloadRequest { sender: who, worker_data_bundle: Some(bundle) })
}

/// Brings the truth of every topic, some of them in each transaction.
fn reputers(load: &Load, client: Client<Http>, topics: u64, pace: Arc<Pace>) -> JoinHandle<()> {
    let mut wallets: Vec<Wallet> =
        (0..REPUTERS).map(|n| Wallet::new(world::key(load.seed, &format!("reputer-{n}")))).collect();
    thread::spawn(move || {
        let mut done = vec![None; topics as usize + 1];
        while !pace.is_over() {
            let mut due = Vec::new();
            for topic in 1..=topics {
                let Ok(seen) = client.windows(topic) else { continue };
                let next = seen.height + 1;
                let known = &mut done[topic as usize];
                let asked = |w: &&Window| {
                    (w.truth_first..w.truth_last).contains(&next) && known.is_none_or(|k| w.epoch > k)
                };
                if let Some(window) = seen.windows.iter().find(asked) {
                    *known = Some(window.epoch);
                    due.push((topic, window.nonce));
                }
            }
            for wallet in &mut wallets {
                let sender = wallet.address().to_string();
                let truths = due.iter().map(|(topic_id, nonce)| {
                    let value = format!("{}", 100 + (topic_id + nonce) % 7);
                    let truth = MsgReportTruth {
                        sender: sender.clone(),
                        topic_id: *topic_id,
                        nonce: *nonce,
                        value,
                        ..Default::default()
                    };
                    pack(url::REPORT_TRUTH, &truth)
                });
                if let Err(error) = together(wallet, &client, truths, 40_000) {
                    pace.refuse(&error);
                }
            }
            sleep(Duration::from_millis(500));
        }
    })
}

/// Looks for the newest block of the first node all the time.
struct Watch {
    thread: JoinHandle<Vec<(u64, f64)>>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start(client: Client<Http>, pace: Arc<Pace>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = thread::spawn(move || {
            let (mut seen, mut height) = (Vec::new(), 0);
            while !ended.load(Ordering::Relaxed) {
                if let Ok(status) = client.status()
                    && status.height > height
                {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    // The first one was there before we looked.
                    if height > 0 {
                        seen.push((status.time_ms, now.as_secs_f64() * 1e3 - status.time_ms as f64));
                    }
                    height = status.height;
                    pace.height.store(height, Ordering::Relaxed);
                }
                sleep(LOOK);
            }
            seen
        });
        Self { thread, over }
    }

    /// Time of each block, and how many milliseconds later it was seen.
    fn end(self) -> Vec<(u64, f64)> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// The value that half of them do not exceed, and the one that nineteen of twenty do not.
fn quantiles(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [50, 95].map(|percent| values.get(values.len() * percent / 100).copied().unwrap_or(0.0))
}

/// Payloads a second of which one core checks both signatures.
fn signatures() -> f64 {
    let key = world::key(1, "signatures");
    let (message, mut checked) = ([7; 300], 0u32);
    let signature = key.sign(&message);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        if verify(key.public(), &message, &signature).is_ok() {
            checked += 1;
        }
    }
    f64::from(checked) / 2.0 / begun.elapsed().as_secs_f64()
}

/// Most memory the process has had, MiB.
fn memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1024.0)
}

/// Processor time of all validators so far, seconds.
fn processor(members: &[Member]) -> f64 {
    // Fields 14 and 15, counted after the name, which may hold anything; in hundredths, as everywhere on Linux.
    let of = |pid: u32| -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        Some(ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0)
    };
    members.iter().filter_map(Member::pid).filter_map(of).sum()
}

/// What the first validator has in its folder, bytes.
fn weight(members: &[Member]) -> u64 {
    fn of(path: &std::path::Path) -> u64 {
        let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).map_or(0, |meta| meta.len()) };
        entries.flatten().map(|entry| of(&entry.path())).sum()
    }
    members.first().map_or(0, |member| of(&member.home))
}
