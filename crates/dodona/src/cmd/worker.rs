//! `dodona worker run`: models of any kind at topics of any number, over one wallet, until somebody ends it. The work is
//! done by `dodona_participant::run`; here are the arguments, the key, the first tokens and the summary.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, ClientError, Http, Wallet, keys::plain_file};
use dodona_participant::{
    adapter::{self, Limits},
    run::{Lane, Ledger, RunError, Settings, Totals},
};
use dodona_proto::{Address, sign::AccountKey};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::{
    net,
    run::{Ends, tell},
};
use crate::{
    cli::{Output, WorkerCommand, WorkerRunArgs},
    output,
};

/// How often the node is asked for windows.
const PERIOD: Duration = Duration::from_millis(250);
/// Longest wait for the first tokens and for the registration.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest pause after a node did not answer; the pauses double.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Most models of one process.
const MAX_MODELS: usize = 256;
/// Largest configuration, bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// The file of `--config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    worker: Vec<Job>,
}

/// One model at one topic.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    model: String,
    topic: u64,
    name: Option<String>,
    #[serde(default)]
    owner: String,
    python: Option<String>,
    seasons: Option<[usize; 2]>,
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
    model: String,
    submitted: u64,
    counted: u64,
    void: u64,
    waiting: u64,
    missed: BTreeMap<String, u64>,
    /// uallo.
    earned: String,
}

pub fn run(command: WorkerCommand) -> Result<()> {
    let WorkerCommand::Run(args) = command;
    let jobs = jobs(&args)?;
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let mut ledger =
        Ledger::open(&args.dir.join("ledger.jsonl")).with_context(|| format!("in {}", args.dir.display()))?;
    let client = net::client(&args.node);
    let mut wallet = Wallet::new(worker_key(&args)?);
    let address = wallet.address();
    let mut lanes = jobs.iter().map(|job| lane(&client, &args, job)).collect::<Result<Vec<_>>>()?;

    let ended = ends()?;
    if !args.dry_run {
        fund(&args.node.node, &client, address, &ended)?;
        for lane in &lanes {
            register(&client, &mut wallet, lane, &ended)?;
        }
    }
    for lane in &lanes {
        tell(&format!(
            "{} works for topic {} as {address}; Ctrl-C ends it with a summary",
            lane.model(),
            lane.topic()
        ));
    }
    let outcome = work(&client, &mut wallet, &mut ledger, &mut lanes, &args, &ended);
    print(&summary(address, &lanes), args.output)?;
    outcome
}

/// What to run: the one of the arguments, or all of the file.
fn jobs(args: &WorkerRunArgs) -> Result<Vec<Job>> {
    let jobs = match (&args.config, &args.model, args.topic) {
        (Some(path), ..) => {
            let shown = path.display();
            let size = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
            if size > MAX_CONFIG {
                bail!("{shown} is larger than {MAX_CONFIG} bytes: is it the right file?");
            }
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
            toml::from_str::<Config>(&text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?.worker
        }
        (None, Some(model), Some(topic)) => vec![Job {
            model: model.clone(),
            topic,
            name: args.name.clone(),
            owner: args.owner.clone().unwrap_or_default(),
            python: None,
            seasons: None,
        }],
        _ => bail!("name a model and --topic, or --config FILE"),
    };
    if jobs.is_empty() || jobs.len() > MAX_MODELS {
        bail!("{} models: 1 to {MAX_MODELS} may run in one process", jobs.len());
    }
    let mut topics: Vec<u64> = jobs.iter().map(|job| job.topic).collect();
    topics.sort_unstable();
    if let Some(pair) = topics.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!(
            "two models for topic {}: an account answers once, so run the second with a --dir of its own",
            pair[0]
        );
    }
    for job in jobs.iter().filter(|job| !job.owner.is_empty()) {
        job.owner.parse::<Address>().with_context(|| format!("owner `{}` is no address", job.owner))?;
    }
    Ok(jobs)
}

fn lane(client: &Client<Http>, args: &WorkerRunArgs, job: &Job) -> Result<Lane> {
    let [day, week] = match (job.seasons, args.seasons.as_slice()) {
        (Some(seasons), _) => seasons,
        (None, &[day, week]) => [day, week],
        _ => bail!("--seasons wants two numbers such as 48,336"),
    };
    let label = file_name(&job.model);
    let limits = Limits {
        timeout: *args.timeout,
        memory: args.memory << 20,
        log: Arc::new(move |line: &str| tell(&format!("{label}: {line}"))),
        ..Limits::default()
    };
    let python = job.python.as_deref().unwrap_or(&args.python);
    let adapter = adapter::open(&job.model, python, (day, week), limits)?;
    let settings = Settings {
        topic: job.topic,
        name: job.name.clone().unwrap_or_else(|| leaderboard_name(&job.model)),
        owner: job.owner.clone(),
        preflight: !args.no_preflight,
        dry_run: args.dry_run,
    };
    Ok(Lane::new(client, settings, adapter)?)
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
fn worker_key(args: &WorkerRunArgs) -> Result<AccountKey> {
    if let Some(text) = &args.key {
        return net::key(text, &args.unlock);
    }
    let path: PathBuf = args.dir.join("worker.key");
    if !path.exists() {
        let mut secret = [0; 32];
        let key = loop {
            rand::rngs::OsRng.fill_bytes(&mut secret);
            if let Ok(key) = AccountKey::from_bytes(secret) {
                break key;
            }
        };
        // Complete before it has its name: a kill leaves no half of a key.
        let part = args.dir.join("worker.key.part");
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(hex::encode(secret).as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        tell(&format!("made a key for {} in {}", key.address(), path.display()));
    }
    plain_file(&path).with_context(|| format!("in {}", args.dir.display()))
}

/// A flag that the polite ways to end a program raise.
fn ends() -> Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let raised = ended.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ends = runtime.block_on(async { Ends::watch() })?;
    std::thread::spawn(move || {
        runtime.block_on(ends.any());
        raised.store(true, Ordering::Relaxed);
    });
    Ok(ended)
}

/// Waits until the account exists. On a development network the node's purse gives to whom asks for its balance.
fn fund(node: &str, client: &Client<Http>, address: Address, ended: &AtomicBool) -> Result<()> {
    let doors = Http::new(node);
    let until = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        if client.account(address.to_string())?.exists {
            return Ok(());
        }
        if !told {
            tell(&format!("{address} has no tokens yet: asking the node's purse"));
            told = true;
        }
        let _ = doors.page(&format!("/cosmos/bank/v1beta1/balances/{address}")); // asking is what counts
        if ended.load(Ordering::Relaxed) || Instant::now() > until {
            bail!("{address} has no tokens and this node gives none: send it some ALLO, then run this again");
        }
        sleep(PERIOD);
    }
}

fn register(client: &Client<Http>, wallet: &mut Wallet, lane: &Lane, ended: &AtomicBool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut sent = None;
    loop {
        // Registered already, or the transaction of the turn before did it.
        match sent {
            Some(hash) => match client.tx(hash) {
                Ok(receipt) if receipt.code == 0 => {
                    tell(&format!("registered for topic {}", lane.topic()));
                    return Ok(());
                }
                Ok(receipt) => {
                    bail!("registration: {} ({} {})", receipt.log, receipt.codespace, receipt.code)
                }
                Err(ClientError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            },
            None => match lane.register(client, wallet).context("registration")? {
                None => return Ok(()),
                hash => sent = hash,
            },
        }
        if ended.load(Ordering::Relaxed) || Instant::now() > until {
            bail!("the registration is in no block yet; run this again, it goes on where it was");
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
    args: &WorkerRunArgs,
    ended: &AtomicBool,
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
            model: lane.model().to_string(),
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
        out.push_str(&format!("{} at topic {} as {}\n", t.model, t.topic, summary.address));
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
