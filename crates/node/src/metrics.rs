//! What a node tells a monitor: one page of numbers, renewed at most once a second however often it is read. Whatever
//! is on it is described in docs/operate/metrics.md, which a test compares with the page.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dodona_chain::{
    QueryError, ledger,
    staking::{state::consensus_address, view},
    topics::state::{MEMBERS, RECORDS, ROLES, TOPICS, Topic, part, role},
};
use dodona_proto::{ALLO, Address};
use dodona_store::{Read, StoreError};
use prometheus_client::{
    encoding::{EncodeMetric, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    DoorError, DoorLimits, NodeHandle,
    doors::{Door, Doors, aside},
    follower::Farewell,
};

/// How long a page is good for.
const FRESH: Duration = Duration::from_secs(1);
/// Topics that are looked at, and active ones that have lines of their own.
const MAX_TOPICS: usize = 1_000;
const SHOWN_TOPICS: usize = 200;
/// Accounts that may be watched.
pub const MAX_WATCHED: usize = 64;
/// Topics of one watched account that have lines of their own.
const MAX_ROLES: usize = 64;
/// Blocks that are counted one by one when many come at once, as after block sync; of more than that the newest are.
const MAX_CAUGHT_UP: u64 = 1_000;
/// Epochs without a score after which a topic that never had one counts as stalled.
const PATIENT_EPOCHS: u64 = 3;
/// How the page is written.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Bounds of the histogram of block times, seconds.
const BLOCK_TIMES: [f64; 12] = [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;
type Numbers = Family<Labels, Number>;
type Counts = Family<Labels, Counter>;

/// Why the page cannot be made.
#[derive(Debug, thiserror::Error)]
enum MetricsError {
    /// The state of the newest block cannot be read.
    #[error("the state cannot be read: {0}; see the node's log and `dodona doctor`")]
    State(#[from] QueryError),
    /// The disk.
    #[error("the disk cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The chain below.
    #[error(transparent)]
    App(#[from] dodona_chain::AppError),
    /// Numbers could not be written down.
    #[error("the page cannot be written")]
    Text(#[from] std::fmt::Error),
}

/// Everything that is measured. Counters run from the start of the process, gauges are set when the page is made.
pub(crate) struct Metrics {
    registry: Registry,
    page: Mutex<Option<(Instant, String)>>,
    doors: Arc<Doors>,
    /// The files of the store, and accounts whose fate the operator wants to know.
    files: Vec<PathBuf>,
    watched: Vec<Address>,
    /// When this process heard of the newest block.
    heard: Mutex<Instant>,
    height: Number,
    age: Number,
    silence: Number,
    resident: Number,
    block_time: Histogram,
    rounds: Counter,
    signatures: Number,
    transactions: Counts,
    mempool: Number,
    mempool_bytes: Number,
    peers: Number,
    best_height: Number,
    reached_power: Number,
    catching_up: Number,
    store_bytes: Number,
    disk_free: Number,
    power: Number,
    missed: Number,
    jailed: Number,
    connections: Number,
    refusals: Counts,
    answered: Counter,
    active: Number,
    topic_open: Numbers,
    topic_opened: Counts,
    topic_void: Counts,
    topic_scored: Counts,
    topic_stalled: Numbers,
    topic_workers: Numbers,
    topic_reputers: Numbers,
    topic_spread: Numbers,
    balance: Numbers,
    member_missed: Counts,
    member_deviation: Numbers,
    member_weight: Numbers,
}

/// Registers a metric under its name and gives it back.
fn add<M: EncodeMetric + Clone + Default + Send + Sync + std::fmt::Debug + 'static>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    pub(crate) fn new(
        node: &NodeHandle,
        doors: Arc<Doors>,
        files: Vec<PathBuf>,
        watched: Vec<Address>,
    ) -> Arc<Self> {
        let mut registry = Registry::with_prefix("dodona");
        let r = &mut registry;
        let build: Numbers = add(r, "build_info", "Always 1; version and chain are its labels");
        let version = env!("CARGO_PKG_VERSION").to_string();
        build.get_or_create(&vec![("version", version), ("chain_id", node.app().chain_id().into())]).set(1.0);
        let started: Number = add(r, "start_time_seconds", "When this process began, unix time");
        started.set(unix_now());
        let block_time = Histogram::new(BLOCK_TIMES);
        r.register("block_time_seconds", "From one block's time to the next one's", block_time.clone());
        let refusals = add(r, "door_refusals", "What doors did not answer, by reason");
        Arc::new(Self {
            height: add(r, "height", "Newest committed block"),
            age: add(
                r,
                "block_age_seconds",
                "By how much this machine's clock is after the newest block's time",
            ),
            silence: add(
                r,
                "since_block_seconds",
                "Since this process heard of the newest block, by its own clock",
            ),
            resident: add(r, "resident_memory_bytes", "Memory of this process"),
            block_time,
            rounds: add(r, "consensus_extra_rounds", "Rounds beyond the first that blocks needed"),
            signatures: add(r, "block_signatures", "Validators whose signatures the newest block has"),
            transactions: add(r, "transactions", "Transactions in blocks, by what came of them"),
            mempool: add(r, "mempool_transactions", "Transactions that wait for a block"),
            mempool_bytes: add(r, "mempool_bytes", "Bytes of the transactions that wait for a block"),
            peers: add(r, "peers", "Nodes connected for consensus"),
            best_height: add(
                r,
                "peers_best_height",
                "Greatest height a connected node has told; 0: none has",
            ),
            reached_power: add(
                r,
                "peers_power_ratio",
                "Part of the voting power that is connected, this node's own included",
            ),
            catching_up: add(r, "catching_up", "1 while others are further than the next block"),
            store_bytes: add(r, "store_bytes", "Bytes of the files with state, blocks and index"),
            disk_free: add(r, "disk_free_bytes", "Bytes that may still be written to the disk of the home"),
            power: add(r, "validator_power", "Voting power of this node's key; 0: it does not vote"),
            missed: add(
                r,
                "validator_missed_blocks",
                "Blocks of the attendance window that this node's key did not sign",
            ),
            jailed: add(r, "validator_jailed", "1 while this node's validator is in jail"),
            connections: add(r, "door_connections", "Open connections at all doors"),
            answered: add(r, "door_requests", "Requests that doors let in"),
            refusals,
            active: add(r, "topics_active", "Topics that ask"),
            topic_open: add(r, "topic_open_windows", "Epochs that accept answers now"),
            topic_opened: add(r, "topic_epochs_opened", "Epochs opened since the topic exists"),
            topic_void: add(
                r,
                "topic_windows_missed",
                "Epochs that ended without a score since the topic exists",
            ),
            topic_scored: add(r, "topic_epochs_scored", "Epochs scored since the topic exists"),
            topic_stalled: add(
                r,
                "topic_stalled",
                "1 while the topic asks but nothing it asked lately was scored",
            ),
            topic_workers: add(r, "topic_workers", "Registered workers"),
            topic_reputers: add(r, "topic_reputers", "Registered reputers"),
            topic_spread: add(
                r,
                "topic_disagreement",
                "Standard deviation of the newest answers around the network's, relative to the network's",
            ),
            balance: add(r, "account_balance_allo", "What a watched account can spend"),
            member_missed: add(
                r,
                "member_windows_missed",
                "Windows of a watched account's topics in which it was not heard",
            ),
            member_deviation: add(
                r,
                "member_deviation_sigmas",
                "Distance of a watched worker's newest answer from the network's, in standard deviations of all answers",
            ),
            member_weight: add(r, "member_weight", "Weight of a watched worker's newest answer, 0 to 1"),
            registry,
            page: Mutex::new(None),
            heard: Mutex::new(Instant::now()),
            doors,
            files,
            watched,
        })
    }

    /// The page, made anew if it is older than a second.
    fn page(&self, node: &NodeHandle) -> Result<String, MetricsError> {
        // Whoever waits here gets the page of the one who was first.
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = page.as_ref().filter(|(made, _)| made.elapsed() < FRESH) {
            return Ok(text.clone());
        }
        self.look(node)?;
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        *page = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    /// Sets everything that is read instead of counted.
    fn look(&self, node: &NodeHandle) -> Result<(), MetricsError> {
        let height = node.head().height;
        self.height.set(height as f64);
        self.age.set(unix_now() - node.app().tip()?.time_ms as f64 / 1_000.0);
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.silence.set(heard.elapsed().as_secs_f64());
        self.resident.set(resident().unwrap_or(0.0));
        self.mempool.set(node.mempool().len() as f64);
        self.mempool_bytes.set(node.mempool().bytes() as f64);
        let peers = node.peers();
        self.peers.set(peers.peers.len() as f64);
        self.best_height.set(peers.best_height() as f64);
        self.reached_power.set(ratio(peers.power as f64, peers.total_power as f64, 1.0));
        self.catching_up.set(f64::from(u8::from(node.catching_up())));
        self.look_at_disk();
        let counted = self.doors.counted();
        self.connections.set(counted.connections as f64);
        self.answered.inner().store(counted.answered, Ordering::Relaxed);
        for (reason, count) in counted.refused {
            let line = self.refusals.get_or_create(&vec![("reason", reason.into())]);
            line.inner().store(count, Ordering::Relaxed);
        }
        let read = node.state(0)?;
        self.look_at_validator(node, &read)?;
        let topics = TOPICS.scan(&read, MAX_TOPICS)?;
        self.look_at_topics(&read, topics.into_iter().map(|(_, topic)| topic).collect(), height)?;
        self.look_at_members(&read)
    }

    fn look_at_disk(&self) {
        let bytes = |file: &PathBuf| fs::metadata(file).map_or(0, |m| m.len());
        self.store_bytes.set(self.files.iter().map(bytes).sum::<u64>() as f64);
        let home = self.files.first().and_then(|file| file.parent());
        if let Some(disk) = home.and_then(|home| rustix::fs::statvfs(home).ok()) {
            self.disk_free.set(disk.f_bavail.saturating_mul(disk.f_frsize) as f64);
        }
    }

    fn look_at_validator(&self, node: &NodeHandle, read: &impl Read) -> Result<(), MetricsError> {
        let key = *node.identity().validator.as_bytes();
        let validators = node.app().validators()?;
        let power = validators.iter().find(|v| v.public_key == key).map_or(0, |v| v.power);
        self.power.set(power as f64);
        let signing = view::signing(read, consensus_address(&key))?;
        self.missed.set(signing.as_ref().map_or(0.0, |row| f64::from(row.missed)));
        let row = signing.map(|row| view::validator(read, row.operator)).transpose()?.flatten();
        self.jailed.set(f64::from(u8::from(row.is_some_and(|row| row.validator.jailed))));
        Ok(())
    }

    fn look_at_topics(&self, read: &impl Read, topics: Vec<Topic>, height: u64) -> Result<(), MetricsError> {
        let active: Vec<Topic> = topics.into_iter().filter(|topic| topic.active).collect();
        self.active.set(active.len() as f64);
        // A topic that has fallen asleep leaves the page.
        for numbers in [
            &self.topic_open,
            &self.topic_stalled,
            &self.topic_workers,
            &self.topic_reputers,
            &self.topic_spread,
        ] {
            numbers.clear();
        }
        for counts in [&self.topic_opened, &self.topic_void, &self.topic_scored] {
            counts.clear();
        }
        for topic in active.iter().take(SHOWN_TOPICS) {
            let labels = vec![("topic", topic.id.to_string())];
            // The next block accepts answers to the epochs of this block and later ones.
            let window = (height + 1).saturating_sub(topic.spec.worker_window);
            let open = if topic.last_opened > 0 && topic.last_opened >= window {
                1 + (topic.last_opened - window) / topic.spec.epoch_length.max(1)
            } else {
                0
            };
            self.topic_open.get_or_create(&labels).set(open.min(topic.waiting()) as f64);
            for (counts, count) in [
                (&self.topic_opened, topic.opened),
                (&self.topic_void, topic.void),
                (&self.topic_scored, topic.scored),
            ] {
                counts.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
            self.topic_stalled.get_or_create(&labels).set(f64::from(u8::from(stalled(topic, height))));
            self.topic_workers.get_or_create(&labels).set(f64::from(topic.workers));
            self.topic_reputers.get_or_create(&labels).set(f64::from(topic.reputers));
            if let Some(spread) = answers(read, topic, None)? {
                self.topic_spread.get_or_create(&labels).set(spread.relative);
            }
        }
        Ok(())
    }

    fn look_at_members(&self, read: &impl Read) -> Result<(), MetricsError> {
        for numbers in [&self.member_deviation, &self.member_weight] {
            numbers.clear();
        }
        self.member_missed.clear();
        for account in &self.watched {
            let held = ledger::holders(read, *account, 1)?;
            let held = held.first().filter(|(owner, _)| owner == account).map_or(0, |(_, amount)| *amount);
            let labels = vec![("address", account.to_string())];
            self.balance.get_or_create(&labels).set(held as f64 / ALLO as f64);
            for registered in [role::WORKER, role::REPUTER] {
                for ((.., down), ()) in ROLES.scan_prefix(read, &(registered, account.0), MAX_ROLES)? {
                    // The table counts topics down so that the newest comes first.
                    self.look_at_member(read, account, u64::MAX - down, registered)?;
                }
            }
        }
        Ok(())
    }

    fn look_at_member(
        &self,
        read: &impl Read,
        account: &Address,
        id: u64,
        registered: u8,
    ) -> Result<(), MetricsError> {
        let Some(topic) = TOPICS.get(read, &id)? else { return Ok(()) };
        let mut labels = vec![("address", account.to_string()), ("topic", id.to_string())];
        let parts: &[u8] =
            if registered == role::WORKER { &[part::INFERER, part::FORECASTER] } else { &[part::REPUTER] };
        for &played in parts {
            let Some(member) = MEMBERS.get(read, &(id, played, account.0))? else { continue };
            let mut labels = labels.clone();
            labels.push(("part", part::name(played).into()));
            let missed = self.member_missed.get_or_create(&labels);
            missed.inner().store(topic.missed(played, &member), Ordering::Relaxed);
            if played == part::INFERER {
                self.member_weight.get_or_create(&labels).set(member.weight.get());
            }
        }
        if registered == role::WORKER
            && let Some(spread) = answers(read, &topic, Some(account))?
            && let Some(sigmas) = spread.own
        {
            labels.push(("part", part::name(part::INFERER).into()));
            self.member_deviation.get_or_create(&labels).set(sigmas);
        }
        Ok(())
    }

    /// Counts what a block has in it; `before` is the time of the one before, unix milliseconds.
    fn count(&self, node: &NodeHandle, height: u64, before: Option<u64>) -> Result<Option<u64>, StoreError> {
        let Some(kept) = node.kept_block(height)? else { return Ok(None) };
        let time = kept.block.header.time_ms;
        if let Some(before) = before {
            self.block_time.observe(time.saturating_sub(before) as f64 / 1_000.0);
        }
        self.rounds.inc_by(kept.certificate.round.into());
        self.signatures.set(kept.certificate.signatures.len() as f64);
        for (result, wanted) in [("done", true), ("failed", false)] {
            let count = kept.results.receipts.iter().filter(|r| (r.code == 0) == wanted).count();
            self.transactions.get_or_create(&vec![("result", result.into())]).inc_by(count as u64);
        }
        Ok(Some(time))
    }
}

/// `part / whole`, or `otherwise` where there is no whole.
fn ratio(part: f64, whole: f64, otherwise: f64) -> f64 {
    if whole > 0.0 { part / whole } else { otherwise }
}

/// Whether a topic that asks has gone without a score for longer than its own schedule explains.
fn stalled(topic: &Topic, height: u64) -> bool {
    if topic.scored == 0 {
        return topic.void >= PATIENT_EPOCHS;
    }
    let spec = &topic.spec;
    let usual = spec.truth_lag.saturating_add(spec.truth_window);
    let patience = usual.saturating_add(PATIENT_EPOCHS.saturating_mul(spec.epoch_length));
    topic.last_opened > topic.last_scored.nonce && height.saturating_sub(topic.last_scored.height) > patience
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Bytes of memory this process has; none where the system does not tell.
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024.0)
}

/// How the answers of the newest combined epoch lie around the network's.
struct Spread {
    /// Their standard deviation, relative to the network's answer; the largest over labels.
    relative: f64,
    /// One worker's distance in standard deviations, if it answered; the largest over labels.
    own: Option<f64>,
}

fn answers(read: &impl Read, topic: &Topic, of: Option<&Address>) -> Result<Option<Spread>, StoreError> {
    let Some(record) = RECORDS.get(read, &(topic.id, topic.last_combined.nonce))? else { return Ok(None) };
    let answer = record.answer;
    let inferers: Vec<_> = answer.parts.iter().filter(|p| !p.forecaster && !p.values.is_empty()).collect();
    let mut spread = Spread { relative: 0.0, own: None };
    for (label, column) in answer.columns.iter().enumerate() {
        let network = column.combined.get();
        let values = || inferers.iter().filter_map(|p| Some((p.account, p.values.get(label)?.get())));
        let squares: f64 = values().map(|(_, value)| (value - network) * (value - network)).sum();
        let sigma = ratio(squares, values().count() as f64, 0.0).sqrt();
        spread.relative = spread.relative.max(ratio(sigma, network.abs(), 0.0));
        let own = values().find(|(account, _)| of.is_some_and(|of| of.0 == *account));
        if let Some((_, value)) = own {
            let sigmas = ratio((value - network).abs(), sigma, 0.0);
            spread.own = Some(spread.own.unwrap_or(0.0).max(sigmas));
        }
    }
    Ok(Some(spread))
}

/// What the door serves.
pub(crate) fn routes(node: NodeHandle, metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(page)).with_state((node, metrics))
}

async fn page(State((node, metrics)): State<(NodeHandle, Arc<Metrics>)>) -> Response {
    let made = aside(move || metrics.page(&node).map_err(|error| error.to_string())).await;
    match made.unwrap_or_else(|| Err("the page could not be made".into())) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
    }
}

/// Counts every block from now on, until the chain ends.
pub(crate) async fn follow(node: NodeHandle, metrics: Arc<Metrics>, farewell: Farewell) {
    let mut heads = node.heads();
    let mut last = heads.borrow_and_update().height;
    let mut time = None;
    while let Some(Ok(())) = farewell.or(heads.changed()).await {
        let head = heads.borrow_and_update().height;
        *metrics.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let from = (last + 1).max(head.saturating_sub(MAX_CAUGHT_UP));
        let (node, metrics) = (node.clone(), metrics.clone());
        let before = if from == last + 1 { time } else { None };
        let work = move || {
            let mut time = before;
            for height in from..=head {
                match metrics.count(&node, height, time) {
                    Ok(counted) => time = counted,
                    Err(error) => tracing::warn!(height, %error, "a block is not in the metrics"),
                }
            }
            time
        };
        time = tokio::task::spawn_blocking(work).await.ok().flatten();
        last = head;
    }
}

/// Such a page for a program that is no node, behind the same limits.
pub struct MetricsDoor(Door);

impl MetricsDoor {
    /// Opens it; `page` writes the numbers down, each time somebody reads them.
    ///
    /// # Errors
    /// [`DoorError`], if the socket cannot be used.
    pub fn open(
        listener: TcpListener,
        page: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> Result<Self, DoorError> {
        let answer = move || {
            let page = page.clone();
            async move {
                match aside(page).await {
                    Some(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
                    None => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made").into_response(),
                }
            }
        };
        let routes = Router::new().route("/metrics", get(answer));
        Ok(Self(Doors::new(DoorLimits::default()).open("metrics", listener, routes)?))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
