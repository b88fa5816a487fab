//! `dodona start`: one node of a chain, until it is told to end. Everything it does is in its home.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_consensus::engine::PeerAddress;
use dodona_node::{
    Clock, Home, MAX_WATCHED, Networking, Node, NodeConfig, NodeError, Pace,
    config::{Moniker, NodeFile},
    peer::{PeerConfig, PeerKey},
    snapshot::{self, Anchor, Schedule},
};
use dodona_proto::Address;
use tokio::sync::Notify;

use crate::{
    cli::StartArgs,
    cmd::{
        net, now_ms,
        run::{Ends, fail, tell},
    },
};

/// How long peers with a snapshot are looked for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the log gets a line about where the chain is.
const NEWS: Duration = Duration::from_secs(10);

pub fn run(args: StartArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async { serve(args, Ends::watch()?).await });
    // A read of standard input cannot be called off: do not wait for it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(args: StartArgs, mut ends: Ends) -> Result<ExitCode> {
    let file = match settings(&args) {
        Ok(file) => file,
        Err(reason) => return Ok(mend_first(&format!("{reason:#}"))),
    };
    let home = match Home::load(&args.home) {
        Ok(home) => home,
        Err(reason) => return Ok(end_with(&reason.into())),
    };
    let chain = home.genesis().chain_id.clone();
    let votes = home.is_in_genesis();
    // One secret for both networks; the gossip uses a digest of it.
    let gossip_key = PeerKey::from_seed(&home.network_key()?.to_bytes());
    if let Some(trust) = args.trust.as_deref().filter(|_| !home.store_path().exists()) {
        join(&home, trust, PeerConfig::new(gossip_key.clone(), None, file.peers.persistent.clone())).await?;
    }
    let door = |address: Option<SocketAddr>| address.map(claim).transpose();
    let faucet = args.faucet_key.as_deref().map(|key| net::key(key, &args.unlock)).transpose()?;
    let mut config = NodeConfig {
        faucet,
        index_blocks: file.store.index.then_some(file.store.index_blocks),
        rest: door(file.doors.rest)?,
        grpc: door(file.doors.grpc)?,
        rpc: door(file.doors.rpc)?,
        dashboard: door(file.doors.dashboard)?,
        metrics: door(file.doors.metrics)?,
        watched: watched(&file.metrics.accounts)?,
        ..NodeConfig::quiet(home, clock(args.clock_offset), Pace::Target(file.consensus.block_time))
    };
    config.network = Some(Networking {
        moniker: file.moniker.as_str().to_string(),
        stalled_after: file.consensus.stall,
        ..Networking::tcp(file.consensus.listen, named(&file.consensus.persistent)?)
    });
    config.peering =
        Some(PeerConfig::new(gossip_key, Some(file.peers.listen), file.peers.persistent.clone()));
    config.keep_blocks = file.store.keep_blocks;
    config.snapshots = Schedule { every: file.store.snapshot_every, ..Schedule::default() };
    let mut node = match Node::start(config).await {
        Ok(node) => node,
        Err(reason) => return Ok(end_with(&reason)),
    };
    let shown = |address: Option<SocketAddr>| address.map_or("closed".to_string(), |a| a.to_string());
    tell(&format!(
        "dodona {} on chain {chain}{}, from block {}\nREST {}, gRPC {}, RPC {}, dashboard {}, metrics {}, validators {}",
        file.moniker.as_str(),
        if votes { "" } else { " (not a validator of its genesis)" },
        node.handle().head().height,
        shown(node.rest_address()),
        shown(node.grpc_address()),
        shown(node.rpc_address()),
        node.dashboard_address().map_or("closed".to_string(), |a| format!("http://{a}")),
        shown(node.metrics_address()),
        file.consensus.listen,
    ));
    let orphaned = Arc::new(Notify::new());
    if args.until_stdin_closes {
        let orphaned = orphaned.clone();
        std::thread::spawn(move || {
            // Nothing is ever said on it: its end is the message.
            let _ = std::io::copy(&mut std::io::stdin().lock().take(1 << 20), &mut std::io::sink());
            orphaned.notify_one();
        });
    }
    let handle = node.handle().clone();
    let mut news = tokio::time::interval(NEWS);
    let mut last = (handle.head().height, Instant::now());
    let outcome = loop {
        tokio::select! {
            reason = node.failed() => break Err(reason),
            () = ends.any() => break Ok(()),
            () = orphaned.notified() => break Ok(()),
            _ = news.tick() => {
                let height = handle.head().height;
                let pace = (height - last.0) as f64 / last.1.elapsed().as_secs_f64().max(1e-9);
                tracing::info!(height, blocks_per_second = format!("{pace:.2}"), "chain");
                last = (height, Instant::now());
            }
        }
    };
    match outcome {
        Ok(()) => {
            tell("ending: doors close, the last block is on disk");
            node.stop().await?;
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => Ok(end_with(&reason)),
    }
}

/// Fetches the newest snapshot of the peers and makes it the home's state, if it follows from what is trusted.
async fn join(home: &Home, trust: &Path, peering: PeerConfig) -> Result<()> {
    let document = fs::read(trust).with_context(|| format!("cannot read {}", trust.display()))?;
    let anchor = Anchor::from_json(&document).with_context(|| trust.display().to_string())?;
    tell("looking for a snapshot among the peers");
    let begun = Instant::now();
    let joined = snapshot::join(home.dir(), home.genesis(), peering, anchor, now_ms(), PATIENCE)
        .await
        .context("no snapshot to begin with; without --trust the node executes every block instead")?;
    tell(&format!(
        "begins after block {}: {} bytes, proven, in {:.1} s",
        joined.head.header.height.0,
        joined.bytes,
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Tells why, and what a supervisor should do about it.
fn end_with(reason: &NodeError) -> ExitCode {
    fail(&reason.to_string());
    ExitCode::from(reason.exit_code())
}

/// No new start would help: as [`NodeError::exit_code`] has it.
fn mend_first(reason: &str) -> ExitCode {
    fail(reason);
    ExitCode::from(NodeError::MEND_FIRST)
}

/// An operator's doors are where the settings say, or nowhere: no other port is taken silently.
fn claim(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("cannot listen at {address}: another node there? Change [doors] in config.toml")
    })
}

/// The machine's clock, or, for tests, one that is wrong.
fn clock(offset_ms: i64) -> Clock {
    if offset_ms == 0 { Clock::Wall } else { Clock::Wrong(offset_ms) }
}

/// The accounts of `[metrics] accounts`.
fn watched(accounts: &[String]) -> Result<Vec<Address>> {
    if accounts.len() > MAX_WATCHED {
        bail!("[metrics] accounts in config.toml: {} are more than {MAX_WATCHED}", accounts.len());
    }
    let one =
        |text: &String| text.parse().with_context(|| format!("[metrics] accounts: `{text}` is no address"));
    accounts.iter().map(one).collect()
}

fn named(persistent: &[String]) -> Result<Vec<PeerAddress>> {
    persistent.iter().map(|text| text.parse().map_err(anyhow::Error::from)).collect()
}

/// The file, and over it what was said on the command line or in the environment.
pub fn settings(args: &StartArgs) -> Result<NodeFile> {
    let mut file = NodeFile::read(&args.home)?;
    if let Some(name) = &args.moniker {
        file.moniker = Moniker::try_from(name.clone()).map_err(anyhow::Error::msg)?;
    }
    if let Some(listen) = args.listen {
        file.consensus.listen = listen;
    }
    if !args.persistent.is_empty() {
        file.consensus.persistent = args.persistent.clone();
    }
    if let Some(time) = args.block_time {
        file.consensus.block_time = time.into();
    }
    let doors = [
        (&args.rest, &mut file.doors.rest),
        (&args.grpc, &mut file.doors.grpc),
        (&args.rpc, &mut file.doors.rpc),
        (&args.dashboard, &mut file.doors.dashboard),
        (&args.metrics, &mut file.doors.metrics),
    ];
    for (said, door) in doors {
        match said.as_deref() {
            None => {}
            Some("") => *door = None,
            Some(text) => {
                let parsed = text.parse().with_context(|| format!("`{text}` is no address"));
                *door = Some(parsed?);
            }
        }
    }
    Ok(file)
}
