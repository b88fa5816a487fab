//! `dodona subnet mine` and `dodona subnet validate`: the processes that miners and validators keep running. The work
//! is done by `dodona_participant::subnet`; here are the arguments, the chain's side of it, and what people see.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, ClientError, Http, Wallet};
use dodona_participant::{
    adapter::{self, Limits},
    subnet::{
        self, Endpoint, GAS, Miner, Now, Place, Settings, Told, Validator, ValidatorError, WeightsError,
    },
};
use dodona_proto::{
    Address, path,
    subnets::{
        MsgServe, Neuron, QueryMetagraphRequest, QueryMetagraphResponse, QueryNeuronRequest,
        QuerySubnetRequest, Subnet,
    },
    tx::pack,
    url,
};
use serde_json::json;

use super::told;
use crate::{
    cli::{MineArgs, Output, ProgramArgs, ValidateArgs},
    cmd::{
        keys, net,
        run::{raised, tell},
    },
    output::print,
};

/// How often validators are read from the chain, and endpoints announced again where it is needed.
const LOOK: Duration = Duration::from_secs(5);
/// How often a validator looks whether anything is due.
const TICK: Duration = Duration::from_secs(1);
/// Longest pause after a node did not answer; the pauses double.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Without a node for so long, a miner answers nobody: permits may have changed hands.
const TRUST: Duration = Duration::from_secs(600);

fn limits(args: &ProgramArgs, name: &str) -> Limits {
    let label = name.rsplit('/').next().unwrap_or(name).to_string();
    Limits {
        timeout: *args.timeout,
        memory: args.memory << 20,
        log: Arc::new(move |line: &str| tell(&format!("{label}: {line}"))),
        ..Limits::default()
    }
}

/// This hotkey's place in the subnet.
fn own(client: &Client<Http>, netuid: u32, hotkey: Address) -> Result<Neuron> {
    let request = QueryNeuronRequest { netuid, hotkey: hotkey.to_string(), mechanism: 0 };
    match client.ask(path::NEURON, &request) {
        Ok(neuron) => Ok(neuron),
        Err(ClientError::NotFound(_)) => bail!(
            "hotkey {hotkey} is not registered in subnet {netuid}: \
             `dodona subnet register {netuid} --hotkey {hotkey} --key COLDKEY` does it"
        ),
        Err(error) => Err(error.into()),
    }
}

pub fn mine(args: &MineArgs) -> Result<()> {
    let announce = announced(args)?;
    if unreachable(announce.ip()) {
        bail!(
            "nobody else can reach {announce}, and the chain refuses it: name an address of this machine with \
             --announce IP:PORT"
        );
    }
    let key = net::key(&args.sign.key, &args.sign.unlock)?;
    let client = net::client(&args.sign.node);
    let ended = raised()?;
    net::fund(&args.sign.node.node, &client, key.address(), &ended)?;
    let me = own(&client, args.id, key.address())?;
    let program = adapter::callee(&args.miner, &args.program.python, limits(&args.program, &args.miner))?;
    let place = Place { chain: client.status()?.chain_id, netuid: args.id, miner: key.address() };
    let endpoint = Endpoint::new(Miner {
        place,
        key: key.clone(),
        rate: args.rate,
        time: *args.program.timeout + Duration::from_secs(60),
        program,
        log: Arc::new(tell),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = runtime.block_on(subnet::listen(args.listen));
    let listener = listener.with_context(|| format!("cannot listen at {}", args.listen))?;
    // Port 0 means any: the one that it got is announced.
    let port = if announce.port() == 0 { listener.local_addr()?.port() } else { announce.port() };
    let announce = SocketAddr::new(announce.ip(), port);
    runtime.spawn(endpoint.clone().serve(listener));
    tell(&format!("uid {} of subnet {} answers at {announce}; Ctrl-C ends it", me.uid, args.id));
    let mut wallet = Wallet::new(key);
    let outcome = keep(&client, &mut wallet, &endpoint, args.id, announce, &ended);
    let done = endpoint.done();
    match args.output {
        Output::Json => print(&format!("{}\n", json!(done)))?,
        Output::Text => {
            let mut text = format!("answered {}\n", done.answered);
            for (status, count) in &done.refused {
                text.push_str(&format!("  refused with status {status}: {count}\n"));
            }
            print(&text)?;
        }
    }
    outcome
}

/// What the chain refuses in `MsgServe`.
fn unreachable(ip: IpAddr) -> bool {
    let everybody = match ip {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => u128::from(v6) == u128::MAX,
    };
    ip.is_loopback() || everybody
}

/// Where the miner says it is.
fn announced(args: &MineArgs) -> Result<SocketAddr> {
    if let Some(text) = &args.announce {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address);
        }
        let ip: IpAddr = text
            .parse()
            .with_context(|| format!("`{text}` is no address such as 192.0.2.7 or 192.0.2.7:8091"))?;
        return Ok(SocketAddr::new(ip, args.listen.port()));
    }
    let listen = args.listen.ip();
    if !listen.is_unspecified() {
        return Ok(args.listen);
    }
    // A socket that is never used: it tells from which address this machine would speak to the world.
    let probe = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(listen, 0))?;
        socket.connect(if listen.is_ipv6() { "[2001:db8::1]:9" } else { "192.0.2.1:9" })?;
        Ok(socket.local_addr()?.ip())
    };
    match probe() {
        Ok(ip) if !ip.is_loopback() && !ip.is_unspecified() => Ok(SocketAddr::new(ip, args.listen.port())),
        _ => bail!("this machine has no address that others could reach: name one with --announce IP:PORT"),
    }
}

/// Keeps the list of validators and the announcement as they should be, until it is ended.
fn keep(
    client: &Client<Http>,
    wallet: &mut Wallet,
    endpoint: &Endpoint,
    netuid: u32,
    announce: SocketAddr,
    ended: &AtomicBool,
) -> Result<()> {
    let hotkey = wallet.address().to_string();
    let (mut seen, mut trusted, mut refusal) = (0, Instant::now(), String::new());
    while !ended.load(Ordering::Relaxed) {
        let request = QueryMetagraphRequest { netuid, mechanism: 0, weights: false };
        match client.ask::<QueryMetagraphResponse>(path::METAGRAPH, &request) {
            Ok(graph) => {
                trusted = Instant::now();
                let Some(me) = graph.neurons.iter().find(|n| n.hotkey == hotkey) else {
                    bail!("hotkey {hotkey} lost its uid in subnet {netuid}: register it again");
                };
                let owner = graph.subnet.as_ref().map(|subnet| subnet.owner_hotkey.clone());
                let may = |n: &&Neuron| n.permit || Some(&n.hotkey) == owner.as_ref();
                let validators: BTreeSet<Address> =
                    graph.neurons.iter().filter(may).filter_map(|n| n.hotkey.parse().ok()).collect();
                if validators.len() != seen {
                    seen = validators.len();
                    tell(&format!("{seen} validators may ask"));
                }
                endpoint.let_in(validators);
                let told =
                    me.axon.as_ref().and_then(|axon| Some((axon.ip.parse::<IpAddr>().ok()?, axon.port)));
                if told != Some((announce.ip(), announce.port().into())) {
                    match serve(client, wallet, netuid, announce) {
                        Ok(()) => tell(&format!("announced {announce}")),
                        // Told once: it is tried again until the chain takes it.
                        Err(error) => {
                            let error = error.to_string();
                            let kind: String = error.chars().take(40).collect();
                            if kind != refusal {
                                tell(&format!("not announced yet: {error}"));
                                refusal = kind;
                            }
                        }
                    }
                }
            }
            Err(error) => {
                tell(&format!("{error}; trying again"));
                if trusted.elapsed() > TRUST {
                    endpoint.let_in(BTreeSet::new());
                }
            }
        }
        pause(LOOK, ended);
    }
    Ok(())
}

fn serve(
    client: &Client<Http>,
    wallet: &mut Wallet,
    netuid: u32,
    at: SocketAddr,
) -> Result<(), WeightsError> {
    let message = MsgServe {
        sender: wallet.address().to_string(),
        netuid,
        prometheus: false,
        version: 1,
        ip: at.ip().to_string(),
        port: at.port().into(),
        protocol: 4,
    };
    let hash = wallet.send(client, vec![pack(url::SERVE, &message)], GAS)?;
    subnet::confirm(client, hash).map(|_| ())
}

/// Sleeps, but not beyond the end.
fn pause(time: Duration, ended: &AtomicBool) {
    let until = Instant::now() + time;
    while !ended.load(Ordering::Relaxed) && Instant::now() < until {
        sleep(Duration::from_millis(100).min(time));
    }
}

pub fn validate(args: &ValidateArgs) -> Result<()> {
    if !(args.smoothing > 0.0 && args.smoothing <= 1.0) {
        bail!("--smoothing is {}: above 0, at most 1", args.smoothing);
    }
    let key = net::key(&args.sign.key, &args.sign.unlock)?;
    let client = net::client(&args.sign.node);
    let ended = raised()?;
    net::fund(&args.sign.node.node, &client, key.address(), &ended)?;
    let me = own(&client, args.id, key.address())?;
    let evaluator =
        adapter::callee(&args.evaluator, &args.program.python, limits(&args.program, &args.evaluator))?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(format!("dodona-validator-{}", args.id)));
    let settings = Settings {
        netuid: args.id,
        mechanism: args.mechanism,
        timeout: *args.miner_timeout,
        private: args.private,
        smoothing: args.smoothing,
        version: args.version,
    };
    let validator = Validator::open(&client, settings, evaluator, &dir)?;
    let sealed = keys::own_folder(args.sealed.sealed.as_deref(), "sealed")?;
    tell(&format!("uid {} of subnet {} judges every {}; Ctrl-C ends it", me.uid, args.id, args.every));
    let wallet = Wallet::new(key.clone());
    let mut judge =
        Judge { client, wallet, validator, args, sealed, waiting: Vec::new(), refusal: String::new() };
    let mut next = Instant::now();
    let mut backoff = TICK;
    let mut rounds = 0;
    while !ended.load(Ordering::Relaxed) {
        let outcome = match Instant::now() >= next {
            true => {
                next = Instant::now() + *args.every;
                let outcome = judge.round(&key);
                rounds += u64::from(outcome.is_ok());
                outcome
            }
            false => Ok(()),
        };
        let outcome = outcome.and_then(|()| if args.dry_run { Ok(()) } else { judge.bring(rounds > 0) });
        match outcome {
            Ok(()) => backoff = TICK,
            Err(error @ ValidatorError::Scores { .. }) => return Err(error.into()),
            // A node that is away, an evaluator that fails: waited for.
            Err(error) => {
                tell(&error.to_string());
                backoff = backoff.saturating_mul(2).min(LONGEST_PAUSE);
            }
        }
        if args.rounds.is_some_and(|wanted| rounds >= wanted) {
            break;
        }
        pause(backoff, &ended);
    }
    Ok(())
}

/// A validator at work.
struct Judge<'a> {
    client: Client<Http>,
    wallet: Wallet,
    validator: Validator,
    args: &'a ValidateArgs,
    sealed: PathBuf,
    /// Rows that were told as waiting.
    waiting: Vec<String>,
    /// What the chain said last, so that it is told once.
    refusal: String,
}

impl Judge<'_> {
    fn round(&mut self, key: &dodona_proto::sign::AccountKey) -> Result<(), ValidatorError> {
        let round = self.validator.round(&self.client, key)?;
        if self.args.output == Output::Json {
            let _ = print(&format!("{}\n", json!(round))); // if nobody is left to read it, so be it
            return Ok(());
        }
        if round.miners.is_empty() {
            tell(&format!("round {}: no miner announces an endpoint", round.number));
        }
        for miner in &round.miners {
            let (number, uid, ms, score, smoothed) =
                (round.number, miner.uid, miner.ms, miner.score, miner.smoothed);
            tell(&match miner.error.as_str() {
                "" => format!("round {number}: uid {uid} {score:.4} in {ms} ms, smoothed {smoothed:.4}"),
                why => format!("round {number}: uid {uid} nothing: {why}"),
            });
        }
        Ok(())
    }

    /// Reveals what is due, and brings weights once an epoch.
    fn bring(&mut self, judged: bool) -> Result<(), ValidatorError> {
        for row in subnet::settle(&self.client, &mut self.wallet, &self.sealed)? {
            self.tell_once(&row);
        }
        if !judged {
            return Ok(());
        }
        let netuid = self.args.id;
        let subnet: Subnet = self.client.ask(path::SUBNET, &QuerySubnetRequest { netuid })?;
        let hotkey = self.wallet.address().to_string();
        let request = QueryNeuronRequest { netuid, hotkey, mechanism: self.args.mechanism };
        let me: Neuron = self.client.ask(path::NEURON, &request)?;
        if !subnet::due(&subnet, &me, self.client.status()?.height)? {
            return Ok(());
        }
        let Some(row) = self.validator.weights(&self.client)? else { return Ok(()) };
        match subnet::bring(&self.client, &mut self.wallet, &self.sealed, &row, tell) {
            Ok(subnet::Brought::Set(receipt)) => tell(&format!("weights set in block {}", receipt.height)),
            Ok(subnet::Brought::Committed { block, reveal_epoch, .. }) => {
                tell(&format!("weights committed in block {block}, to be revealed in epoch {reveal_epoch}"));
            }
            // The chain says when it would take them; tried again.
            Err(
                error @ (WeightsError::Failed { .. } | WeightsError::Client(ClientError::Refused { .. })),
            ) => {
                let error = error.to_string();
                let kind: String = error.chars().take(24).collect();
                if kind != self.refusal {
                    tell(&format!("weights refused: {error}"));
                    self.refusal = kind;
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.refusal.clear();
        Ok(())
    }

    fn tell_once(&mut self, row: &Told) {
        if matches!(row.now, Now::Waits { .. } | Now::Pending | Now::Refused { .. }) {
            if self.waiting.contains(&row.digest) {
                return;
            }
            self.waiting.push(row.digest.clone());
        } else {
            self.waiting.retain(|digest| *digest != row.digest);
        }
        tell(&told(row));
    }
}
