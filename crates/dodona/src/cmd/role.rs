//! `dodona worker|forecaster|reputer run`: models, forecasters and sources of truth at topics of any number, over one
//! wallet, until somebody ends it. The work is done by `dodona_participant::run`; here are the arguments, the key, the
//! first tokens and the summary.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, ClientError, Http, Wallet, keys::plain_file};
use dodona_participant::{
    adapter::{self, Limits},
    forecaster::{self, Called, Thinker},
    run::{BlockTime, Lane, Ledger, Part, Published, Questions, RunError, Settings, Totals},
    truth::{Feed, OtherTopic, Rules, Source, Table, TruthSource},
};
use dodona_proto::{
    Address,
    emissions::v10::{GetNetworkInferencesAtBlockRequest, GetNetworkInferencesAtBlockResponse},
    path,
    sign::AccountKey,
    tx::TxHash,
};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::{
    net, report,
    role_metrics::RoleMetrics,
    run::{raised, tell},
};
use crate::{
    cli::{ForecasterCommand, Output, ReputerCommand, ReputerRunArgs, RoleArgs, WorkerCommand},
    output,
};

/// How often the node is asked for windows.
const PERIOD: Duration = Duration::from_millis(250);
/// Longest wait for the first tokens and for the registration.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest pause after a node did not answer; the pauses double.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Most entries of one process.
const MAX_LANES: usize = 256;
/// Largest configuration, bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Block times that are remembered.
const MAX_TIMES: usize = 256;

/// The file of `--config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    worker: Vec<WorkerJob>,
    forecaster: Vec<ForecasterJob>,
    reputer: Vec<ReputerJob>,
}

/// One model at one topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerJob {
    model: String,
    topic: u64,
    name: Option<String>,
    #[serde(default)]
    owner: String,
    python: Option<String>,
    seasons: Option<[usize; 2]>,
}

/// One forecaster at one topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForecasterJob {
    forecaster: String,
    topic: u64,
    name: Option<String>,
    #[serde(default)]
    owner: String,
    python: Option<String>,
    /// Epochs of a day.
    season: Option<usize>,
}

/// One source of truth, or several that must agree, at one topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReputerJob {
    truth: Texts,
    topic: u64,
    name: Option<String>,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    path: Texts,
    agree: Option<usize>,
    tolerance: Option<f64>,
    horizon: Option<String>,
    /// ALLO.
    stake: Option<String>,
    /// Where reputers bring losses.
    loss: Option<String>,
}

/// A text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Texts {
    fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl Config {
    /// As what, at which topic, and who is paid: of every entry.
    fn seats(&self) -> impl Iterator<Item = (Part, u64, &str)> {
        let workers = self.worker.iter().map(|job| (Part::Worker, job.topic, job.owner.as_str()));
        let forecasters = self.forecaster.iter().map(|job| (Part::Forecaster, job.topic, job.owner.as_str()));
        let reputers = self.reputer.iter().map(|job| (Part::Reputer, job.topic, job.owner.as_str()));
        workers.chain(forecasters).chain(reputers)
    }
}

/// What a run ends with.
#[derive(Serialize)]
struct Summary {
    address: String,
    topics: Vec<TopicSummary>,
}

#[derive(Serialize)]
struct TopicSummary {
    topic: u64,
    part: Part,
    model: String,
    submitted: u64,
    counted: u64,
    void: u64,
    waiting: u64,
    missed: BTreeMap<String, u64>,
    /// uallo.
    earned: String,
}

pub fn worker(command: WorkerCommand) -> Result<()> {
    let WorkerCommand::Run(args) = command;
    let config = match (&args.role.config, args.model, args.topic) {
        (Some(path), ..) => read_config(path)?,
        (None, Some(model), Some(topic)) => {
            let (name, owner) = named(&args.role);
            let job = WorkerJob { model, topic, name, owner, python: None, seasons: None };
            Config { worker: vec![job], ..Config::default() }
        }
        _ => bail!("name a model and --topic, or --config FILE"),
    };
    run(Part::Worker, &config, &args.role)
}

pub fn forecaster(command: ForecasterCommand) -> Result<()> {
    let ForecasterCommand::Run(args) = command;
    let config = match (&args.role.config, args.forecaster, args.topic) {
        (Some(path), ..) => read_config(path)?,
        (None, Some(forecaster), Some(topic)) => {
            let (name, owner) = named(&args.role);
            let job = ForecasterJob { forecaster, topic, name, owner, python: None, season: None };
            Config { forecaster: vec![job], ..Config::default() }
        }
        _ => bail!("name a forecaster and --topic, or --config FILE"),
    };
    run(Part::Forecaster, &config, &args.role)
}

pub fn reputer(command: ReputerCommand) -> Result<()> {
    let args = match command {
        ReputerCommand::Run(args) => args,
        ReputerCommand::Report(args) => return report::run(args),
    };
    let config = match (&args.role.config, args.topic) {
        (Some(path), _) => read_config(path)?,
        (None, Some(topic)) => Config { reputer: vec![reputer_job(&args, topic)], ..Config::default() },
        (None, None) => bail!("name --truth and --topic, or --config FILE"),
    };
    run(Part::Reputer, &config, &args.role)
}

fn reputer_job(args: &ReputerRunArgs, topic: u64) -> ReputerJob {
    let (name, owner) = named(&args.role);
    ReputerJob {
        truth: Texts::Many(args.truth.clone()),
        topic,
        name,
        owner,
        path: Texts::Many(args.path.clone()),
        agree: args.agree,
        tolerance: Some(args.tolerance),
        horizon: args.horizon.map(|horizon| horizon.to_string()),
        stake: args.stake.clone(),
        loss: args.loss.clone(),
    }
}

fn named(args: &RoleArgs) -> (Option<String>, String) {
    (args.name.clone(), args.owner.clone().unwrap_or_default())
}

fn run(part: Part, config: &Config, args: &RoleArgs) -> Result<()> {
    check(config)?;
    let dir = args.dir.clone().unwrap_or_else(|| format!("dodona-{}", part.name()).into());
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut ledger =
        Ledger::open(&dir.join("ledger.jsonl")).with_context(|| format!("in {}", dir.display()))?;
    let client = net::client(&args.node);
    let mut wallet = Wallet::new(own_key(part, &dir, args)?);
    let address = wallet.address();
    let mut lanes = lanes(&client, &dir, args, config)?;

    let ended = raised()?;
    if !args.dry_run {
        net::fund(&args.node.node, &client, address, &ended)?;
        for lane in &lanes {
            prepare(&client, &mut wallet, lane, &ended)?;
        }
    }
    for lane in &lanes {
        let (voice, part, topic) = (lane.voice(), lane.part().name(), lane.topic());
        tell(&format!("{voice} works for topic {topic} as {part} {address}; Ctrl-C ends it with a summary"));
    }
    let mut metrics = args.metrics.map(|at| RoleMetrics::open(at, address)).transpose()?;
    let mut seen = |lanes: &[Lane], answered| {
        if let Some(metrics) = &mut metrics {
            metrics.look(&client, lanes, answered);
        }
    };
    let outcome = work(&client, &mut wallet, &mut ledger, &mut lanes, args, &ended, &mut seen);
    print(&summary(address, &lanes), args.output)?;
    outcome
}

fn read_config(path: &Path) -> Result<Config> {
    let shown = path.display();
    let size = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > MAX_CONFIG {
        bail!("{shown} is larger than {MAX_CONFIG} bytes: is it the right file?");
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    toml::from_str(&text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))
}

/// What no account can do: nothing, everything, or to speak twice in one epoch.
fn check(config: &Config) -> Result<()> {
    let mut words: Vec<(u64, bool)> =
        config.seats().map(|(part, topic, _)| (topic, part.reports())).collect();
    if words.is_empty() || words.len() > MAX_LANES {
        bail!("{} entries: 1 to {MAX_LANES} may run in one process", words.len());
    }
    words.sort_unstable();
    if let Some(pair) = words.windows(2).find(|pair| pair[0] == pair[1]) {
        let (topic, reports) = pair[0];
        let who = if reports { "reputers" } else { "models or forecasters" };
        bail!(
            "two {who} for topic {topic}: an account has one word in an epoch, so run the second with a --dir of its own"
        );
    }
    for (_, _, owner) in config.seats().filter(|(_, _, owner)| !owner.is_empty()) {
        owner.parse::<Address>().with_context(|| format!("owner `{owner}` is no address"))?;
    }
    Ok(())
}

/// What a model or forecaster may use; its own words come under its name.
fn limits(args: &RoleArgs, text: &str) -> Limits {
    let label = file_name(text);
    Limits {
        timeout: *args.timeout,
        memory: args.memory << 20,
        log: Arc::new(move |line: &str| tell(&format!("{label}: {line}"))),
        ..Limits::default()
    }
}

/// The forecaster a text means, and what a leaderboard calls it: one of ours, a Python file, or a program by its path.
fn thinker(text: &str, season: usize, python: &str, limits: Limits) -> Result<(Thinker, String)> {
    let wanted = text.strip_prefix("builtin:").unwrap_or(text);
    let known = forecaster::built_in(season);
    let names: Vec<&str> = known.iter().map(|forecaster| forecaster.name()).collect();
    let unknown = format!(
        "no forecaster is called `{text}`; there are: {}, or name a Python file with `def forecast(ctx)` or a program by its path",
        names.join(", ")
    );
    if let Some(found) = known.into_iter().find(|forecaster| forecaster.name() == wanted) {
        return Ok((Thinker::BuiltIn(found), wanted.to_string()));
    }
    let is_file = text.ends_with(".py") || text.contains('/');
    if text != wanted || !is_file {
        bail!(unknown);
    }
    let callee = adapter::callee(text, python, limits)?;
    Ok((Thinker::Called(Called::new(callee)), text.to_string()))
}

fn lanes(client: &Client<Http>, dir: &Path, args: &RoleArgs, config: &Config) -> Result<Vec<Lane>> {
    let &[day, week] = args.seasons.as_slice() else {
        bail!("--seasons wants two numbers such as 48,336");
    };
    let settings = |topic: u64, name: &Option<String>, other: &str, owner: &str| Settings {
        topic,
        name: name.clone().unwrap_or_else(|| leaderboard_name(other)),
        owner: owner.to_string(),
        stake: 0,
        preflight: !args.no_preflight,
        dry_run: args.dry_run,
    };
    let mut lanes = Vec::new();
    for job in &config.worker {
        let limits = limits(args, &job.model);
        let [day, week] = job.seasons.unwrap_or([day, week]);
        let python = job.python.as_deref().unwrap_or(&args.python);
        let adapter = adapter::open(&job.model, python, (day, week), limits)?;
        lanes.push(Lane::worker(client, settings(job.topic, &job.name, &job.model, &job.owner), adapter)?);
    }
    for job in &config.forecaster {
        let limits = limits(args, &job.forecaster);
        let python = job.python.as_deref().unwrap_or(&args.python);
        let (thinker, label) = thinker(&job.forecaster, job.season.unwrap_or(day), python, limits)?;
        let settings = settings(job.topic, &job.name, &label, &job.owner);
        lanes.push(Lane::forecaster(client, settings, thinker)?);
    }
    for job in &config.reputer {
        let source = source(job, *args.timeout, &args.node.node)
            .with_context(|| format!("the reputer of topic {}", job.topic))?;
        let stake = job.stake.as_deref().map(net::amount).transpose()?.unwrap_or(0);
        let settings = Settings { stake, ..settings(job.topic, &job.name, "reputer", &job.owner) };
        let node = &args.node.node;
        let questions = Questions { time: block_time(node), published: published(node) };
        let (loss, evidence) = (job.loss.as_deref(), dir.join("evidence"));
        lanes.push(Lane::reputer(client, settings, source, questions, loss, &evidence)?);
    }
    Ok(lanes)
}

/// Where a reputer reads what happened.
fn source(job: &ReputerJob, timeout: Duration, node: &str) -> Result<Box<dyn TruthSource>> {
    let horizon = match job.horizon.as_deref() {
        None => None,
        Some(text) => {
            let horizon = humantime::parse_duration(text).with_context(|| format!("horizon `{text}`"))?;
            Some(i64::try_from(horizon.as_secs()).context("the horizon is too long")?)
        }
    };
    let (truths, paths) = (job.truth.list(), job.path.list());
    let is_web = |text: &String| text.starts_with("http://") || text.starts_with("https://");
    match truths {
        [] => bail!("it has no truth: name a CSV file, an address, or topic:N"),
        [other] if let Some(number) = other.strip_prefix("topic:") => {
            let number = number.parse().with_context(|| format!("`{other}` names no topic"))?;
            if number == job.topic {
                bail!("a topic cannot be its own truth: `{other}` is the topic that is reported for");
            }
            Client::new(Http::new(node)).topic(number).with_context(|| format!("`{other}`"))?;
            if horizon.is_some() {
                bail!("another topic has its own moments: --horizon does not go with `{other}`");
            }
            Ok(Box::new(OtherTopic::new(Client::new(Http::new(node)), number)))
        }
        [file] if !is_web(file) => {
            let mut table = Table::new(Path::new(file), horizon);
            // It may come later; one that is there must be a table.
            match Path::new(file).exists() {
                true => table.look()?,
                false => tell(&format!("{file} is not there yet: nothing is reported until it is")),
            }
            Ok(Box::new(table))
        }
        truths => {
            if let Some(file) = truths.iter().find(|text| !is_web(text)) {
                bail!("`{file}` is no http:// or https:// address; only addresses can be several");
            }
            if paths.len() > 1 && paths.len() != truths.len() {
                bail!(
                    "{} paths for {} addresses: name one for all, or one for each",
                    paths.len(),
                    truths.len()
                );
            }
            let path = |at: usize| paths.get(at).or_else(|| paths.first()).cloned().unwrap_or_default();
            let sources =
                truths.iter().enumerate().map(|(at, url)| Source { url: url.clone(), path: path(at) });
            let rules = Rules {
                agree: job.agree.unwrap_or(truths.len() / 2 + 1),
                tolerance: job.tolerance.unwrap_or(0.001),
                horizon,
                timeout,
            };
            Ok(Box::new(Feed::new(sources.collect(), rules)?))
        }
    }
}

/// Asks a node what it published for an epoch.
pub(super) fn published(node: &str) -> Published {
    let client = Client::new(Http::new(node));
    Box::new(move |topic_id, nonce| {
        let block_height_last_inference =
            i64::try_from(nonce).map_err(|_| format!("block {nonce} is none"))?;
        let question = GetNetworkInferencesAtBlockRequest { topic_id, block_height_last_inference };
        let answer: GetNetworkInferencesAtBlockResponse =
            client.ask(path::V10_PUBLISHED, &question).map_err(|e| e.to_string())?;
        answer.network_inferences.ok_or_else(|| format!("nothing was published for block {nonce}"))
    })
}

/// Asks a node when a block was made, and remembers it.
fn block_time(node: &str) -> BlockTime {
    let http = Http::new(node);
    let known: Mutex<BTreeMap<u64, i64>> = Mutex::default();
    Box::new(move |height| {
        // Whoever panicked with the lock left the map whole.
        let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(time) = known.get(&height) {
            return Ok(*time);
        }
        let block = http.page(&format!("/dodona/v1/blocks/{height}")).map_err(|e| e.to_string())?;
        let time = &block["time_ms"];
        let time = time.as_i64().or_else(|| time.as_str()?.parse().ok());
        let time =
            time.ok_or_else(|| format!("the node does not tell when block {height} was made"))? / 1_000;
        known.insert(height, time);
        if known.len() > MAX_TIMES {
            known.pop_first();
        }
        Ok(time)
    })
}

fn file_name(model: &str) -> String {
    Path::new(model).file_name().map_or_else(|| model.into(), |name| name.to_string_lossy().into_owned())
}

/// A name the chain accepts, made of the model's.
fn leaderboard_name(model: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let stem = file_name(model);
    let stem = stem.strip_suffix(".py").unwrap_or(&stem);
    stem.chars().map(allowed).take(32).collect()
}

/// The key that was named, or the one of the folder, made when it is missing.
fn own_key(part: Part, dir: &Path, args: &RoleArgs) -> Result<AccountKey> {
    if let Some(text) = &args.key {
        return net::key(text, &args.unlock);
    }
    let path: PathBuf = dir.join(format!("{}.key", part.name()));
    if !path.exists() {
        let mut secret = [0; 32];
        let key = loop {
            rand::rngs::OsRng.fill_bytes(&mut secret);
            if let Ok(key) = AccountKey::from_bytes(secret) {
                break key;
            }
        };
        // Complete before it has its name: a kill leaves no half of a key.
        let part = path.with_extension("part");
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(hex::encode(secret).as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        tell(&format!("made a key for {} in {}", key.address(), path.display()));
    }
    plain_file(&path).with_context(|| format!("in {}", dir.display()))
}

/// Registers and stakes where it is needed, one transaction after the other.
fn prepare(client: &Client<Http>, wallet: &mut Wallet, lane: &Lane, ended: &AtomicBool) -> Result<()> {
    while let Some((hash, what)) = lane.prepare(client, wallet).context("registration")? {
        settle(client, hash, what, ended)?;
        let (part, topic) = (lane.part().name(), lane.topic());
        tell(&match what {
            "registration" => format!("registered for topic {topic} as {part}"),
            what => format!("{what} at topic {topic}: done"),
        });
    }
    Ok(())
}

fn settle(client: &Client<Http>, hash: TxHash, what: &str, ended: &AtomicBool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match client.tx(hash) {
            Ok(receipt) if receipt.code == 0 => return Ok(()),
            Ok(receipt) => bail!("{what}: {} ({} {})", receipt.log, receipt.codespace, receipt.code),
            Err(ClientError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if ended.load(Ordering::Relaxed) || Instant::now() > until {
            bail!("the {what} is in no block yet; run this again, it goes on where it was");
        }
        sleep(PERIOD);
    }
}

/// Steps all lanes until it is ended. A node that is away is waited for.
fn work(
    client: &Client<Http>,
    wallet: &mut Wallet,
    ledger: &mut Ledger,
    lanes: &mut [Lane],
    args: &RoleArgs,
    ended: &AtomicBool,
    seen: &mut impl FnMut(&[Lane], bool),
) -> Result<()> {
    let mut pause = PERIOD;
    while !ended.load(Ordering::Relaxed) {
        let mut away = None;
        for lane in lanes.iter_mut() {
            match lane.step(client, wallet, ledger, tell) {
                Ok(()) => {}
                Err(RunError::Client(error)) => away = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        seen(lanes, away.is_none());
        pause = match away {
            None => PERIOD,
            Some(error) => {
                tell(&format!("{error}; trying again"));
                pause.saturating_mul(2).min(LONGEST_PAUSE)
            }
        };
        let done = |totals: &Totals| {
            let dry = if args.dry_run { totals.missed.values().sum() } else { 0 };
            totals.counted + totals.void + dry
        };
        if args.epochs.is_some_and(|wanted| lanes.iter().all(|lane| done(&lane.totals()) >= wanted)) {
            return Ok(());
        }
        sleep(pause);
    }
    Ok(())
}

fn summary(address: Address, lanes: &[Lane]) -> Summary {
    let topic = |lane: &Lane| {
        let totals = lane.totals();
        TopicSummary {
            topic: lane.topic(),
            part: lane.part(),
            model: lane.voice().to_string(),
            submitted: totals.submitted,
            counted: totals.counted,
            void: totals.void,
            waiting: totals.waiting,
            missed: totals.missed,
            earned: totals.earned.to_string(),
        }
    };
    Summary { address: address.to_string(), topics: lanes.iter().map(topic).collect() }
}

fn print(summary: &Summary, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::print(&(serde_json::to_string_pretty(summary)? + "\n"));
    }
    let mut out = String::new();
    for t in &summary.topics {
        out.push_str(&format!("{} at topic {} as {} {}\n", t.model, t.topic, t.part.name(), summary.address));
        let (submitted, counted, void, waiting) = (t.submitted, t.counted, t.void, t.waiting);
        out.push_str(&format!(
            "  submitted {submitted}: counted {counted}, void {void}, not scored yet {waiting}\n"
        ));
        for (why, times) in &t.missed {
            out.push_str(&format!("  missed {times}: {why}\n"));
        }
        out.push_str(&format!("  earned {}\n", net::allo(t.earned.parse().unwrap_or(0))));
    }
    output::print(&out)
}
