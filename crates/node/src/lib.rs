//! A node: the chain, the engine that decides its blocks, the mempool in front, the doors for people and programs.
//! This crate wires; what happens in a block is `dodona-chain`'s business, who decides it `dodona-consensus`'s.

mod api;
mod application;
pub mod config;
mod dashboard;
pub mod declaration;
mod doors;
mod evidence;
mod faucet;
mod follower;
mod handle;
pub mod home;
mod index;
pub mod keys;
mod mempool;
mod metrics;
mod network;
pub mod offline;
pub mod peer;
mod pools;
mod proofs;
pub mod prune;
mod records;
pub mod replay;
mod rest;
pub mod snapshot;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dodona_chain::{App, AppError, Signatures};
use dodona_consensus::PublicKey;
use dodona_consensus::engine::{
    Application, Engine, EngineConfig, EngineError, Fatal, GuardError, Log, Network, TcpConfig,
};
use dodona_proto::{Address, sign::AccountKey};
use dodona_store::{Config, Store, StoreError};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use doors::{Door, Doors};
use follower::Follower;

use application::Waiting;
pub use application::{Clock, Head};
pub use dodona_consensus::{
    Height,
    engine::{
        Gate, Hub, NOISY_LOG_TARGETS, Pace, Peer, PeerAddress, PeerAddressError, PeerList, Timeouts, peer_id,
    },
};
pub use doors::{DoorError, DoorLimits, bind};
pub use handle::NodeHandle;
pub use home::{Home, HomeError};
pub use mempool::{Limits, Mempool, Offered};
pub use metrics::{MAX_WATCHED, MetricsDoor};
pub use network::{Networking, Stalled, Way};
pub use proofs::{genesis_trust, lead};

use handle::Identity;
use index::Index;
use peer::{PeerConfig, PeerError, Peers};

/// Exit status of a process that should be started again, as supervisors know it.
const TRY_AGAIN: u8 = 75;

/// Versions whose values stay provable.
const KEEP_VERSIONS: u64 = 128;
/// Cache of the disk engine, bytes.
const CACHE_BYTES: usize = 32 << 20;

/// The chain as an engine sees it, without a node around it: for simulators, which bring their own engine and clock.
///
/// # Errors
/// When the store holds a chain that cannot be continued.
pub fn application(app: App, mempool: Mempool, clock: Clock) -> Result<Box<dyn Application>, Fatal> {
    let (heads, _) = watch::channel(Head::default());
    Ok(Box::new(application::ChainApplication::new(app, mempool, clock, Waiting::Disk, heads)?))
}

/// How a node runs.
pub struct NodeConfig {
    /// Where it lives.
    pub home: Home,
    /// Where block time comes from.
    pub clock: Clock,
    /// When blocks are made.
    pub pace: Pace,
    /// Other nodes, if there are any. Without it the node is its chain's only validator, and opens no socket for
    /// consensus.
    pub network: Option<Networking>,
    /// Bounds of the mempool.
    pub mempool: Limits,
    /// Newest blocks that are kept, with certificates and results; 0 is all (an archive). What is less than
    /// [`prune::LEAST`] counts as that.
    pub keep_blocks: u64,
    /// When snapshots are made.
    pub snapshots: snapshot::Schedule,
    /// Development networks only: the account that gives tokens to addresses nobody has heard of.
    pub faucet: Option<AccountKey>,
    /// Newest blocks whose events can be searched; 0 is all. None: no index, for a validator whom nobody asks.
    pub index_blocks: Option<u64>,
    /// A bound socket for the REST door, if it should have one.
    pub rest: Option<std::net::TcpListener>,
    /// The same for gRPC.
    pub grpc: Option<std::net::TcpListener>,
    /// The same for the CometBFT-shaped RPC and its websocket.
    pub rpc: Option<std::net::TcpListener>,
    /// The same for the dashboard.
    pub dashboard: Option<std::net::TcpListener>,
    /// The same for the page that monitors read.
    pub metrics: Option<std::net::TcpListener>,
    /// Accounts whose balance and windows are on that page; at most [`MAX_WATCHED`], others are left out.
    pub watched: Vec<Address>,
    /// What strangers may cost the node at these doors.
    pub limits: DoorLimits,
    /// Other nodes to share transactions with; a node alone has none.
    pub peering: Option<PeerConfig>,
}

impl NodeConfig {
    /// A node without doors: the rest is as it should be if nobody says otherwise.
    pub fn quiet(home: Home, clock: Clock, pace: Pace) -> Self {
        Self {
            home,
            clock,
            pace,
            network: None,
            mempool: Limits::default(),
            keep_blocks: 0,
            snapshots: snapshot::Schedule::default(),
            faucet: None,
            index_blocks: Some(0),
            rest: None,
            grpc: None,
            rpc: None,
            dashboard: None,
            metrics: None,
            watched: Vec::new(),
            limits: DoorLimits::default(),
            peering: None,
        }
    }
}

/// Why a node does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// State or genesis.
    #[error(transparent)]
    App(#[from] AppError),
    /// Disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Chain and engine do not fit together.
    #[error("node cannot continue its chain: {0}")]
    Fatal(#[from] Fatal),
    /// A door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Other nodes.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The home's keys.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// No blocks, although there could be some.
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

impl NodeError {
    /// Exit code of a process whose supervisor need not try again before somebody has mended something.
    pub const MEND_FIRST: u8 = 78;

    /// What a process that ends with this error tells its supervisor: 75 (try again) when a new start is the
    /// remedy, 78 (configuration) when none would help before somebody has mended something, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            NodeError::Stalled(_) => TRY_AGAIN,
            // As with a store on a full disk: there may be room again without anybody's doing.
            NodeError::Engine(EngineError::Guard(GuardError::Unwritten { .. })) => 1,
            NodeError::Home(_)
            | NodeError::Engine(
                EngineError::Guard(_) | EngineError::Halted(_) | EngineError::InvalidDecision(..),
            ) => Self::MEND_FIRST,
            _ => 1,
        }
    }
}

/// A running node.
pub struct Node {
    handle: NodeHandle,
    engine: Engine,
    watching: Option<JoinHandle<()>>,
    stalled: Option<oneshot::Receiver<Stalled>>,
    indexing: JoinHandle<()>,
    telling: Follower,
    snapshots: Follower,
    rest: Option<Door>,
    grpc: Option<Door>,
    rpc: Option<Door>,
    dashboard: Option<Door>,
    metrics: Option<Door>,
    measuring: Follower,
    gossip: Option<Peers>,
}

impl Node {
    /// Opens the home, continues its chain and starts all doors.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let home = &config.home;
        let store = Store::open(
            &home.store_path(),
            Config { cache_bytes: CACHE_BYTES, keep_versions: KEEP_VERSIONS },
        )?;
        let app = App::open(store, home.genesis(), Signatures::Check)?;
        home.hold_to_genesis(app.store())?;
        let mempool = Mempool::new(app.clone(), config.mempool)?;
        let (heads, heads_seen) = watch::channel(Head::default());
        let identity = Identity {
            validator: PublicKey(home.validator_key().verifying_key()),
            genesis: home.genesis().clone(),
        };
        let index = Index::new(&home.index_path(), config.index_blocks);
        let (peers, peers_seen) = watch::channel(PeerList::default());
        let handle = NodeHandle::new(
            app.clone(),
            mempool.clone(),
            heads_seen.clone(),
            peers_seen,
            identity,
            index,
            config.faucet,
        );
        let gossip = match config.peering {
            None => None,
            Some(peering) => {
                let (genesis, mempool) = (home.genesis(), mempool.clone());
                Some(Peers::start(peering, genesis, mempool, heads_seen).await?)
            }
        };
        let (log, undecided) = match &config.network {
            // The only validator: no vote leaves this process before its block is on disk.
            None => (Log::Volatile, Waiting::Memory(Default::default())),
            Some(_) => (Log::Durable(home.log_path()), Waiting::Disk),
        };
        let application = application::ChainApplication::new(app, mempool, config.clock, undecided, heads)?
            .keeping(config.keep_blocks);
        let engine = EngineConfig {
            moniker: "dodona".into(),
            signer: Arc::new(home.validator_key().clone()),
            guard: None,
            log,
            network: Network::Solo,
            pace: config.pace,
            timeouts: Timeouts::default(),
            status_interval: Duration::from_secs(10),
        };
        let patience = config.network.as_ref().map(|network| network.stalled_after);
        let engine = match config.network {
            None => engine,
            Some(Networking { way, moniker, status_interval, timeouts, .. }) => {
                let network = match way {
                    Way::Hub(hub) => Network::Hub(hub),
                    Way::Tcp { listen, persistent, only_persistent, discovery } => {
                        let network_key = home.network_key()?;
                        let tcp = TcpConfig { listen, network_key, persistent, only_persistent, discovery };
                        Network::Tcp(Box::new(tcp))
                    }
                };
                let guard = Some(home.guard_path());
                EngineConfig { moniker, guard, network, timeouts, status_interval, ..engine }
            }
        };
        let engine = dodona_consensus::engine::start(Box::new(application), engine).await?;
        let (alarm, stalled) = oneshot::channel();
        let watching = patience.map(|patience| {
            tokio::spawn(network::watch_over(engine.peers(), handle.heads(), peers, patience, alarm))
        });
        let shelf = snapshot::Shelf::of_home(home.dir());
        if let Some(gossip) = &gossip {
            gossip.serve(snapshot::REQUEST_KIND, Arc::new(shelf.clone()));
        }
        let snapshots =
            Follower::start(|farewell| snapshot::follow(handle.clone(), shelf, config.snapshots, farewell));
        let indexing = tokio::spawn(index::follow(handle.clone()));
        let port = |listener: &std::net::TcpListener| listener.local_addr().ok().map(|a| a.port());
        let ports = api::gateway::Ports {
            rest: config.rest.as_ref().and_then(port),
            grpc: config.grpc.as_ref().and_then(port),
            rpc: config.rpc.as_ref().and_then(port),
        };
        let doors = Doors::new(config.limits);
        let open = |name, listener: Option<std::net::TcpListener>, routes: axum::Router| {
            listener.map(|listener| doors.open(name, listener, routes)).transpose()
        };
        let rest = open("REST", config.rest, rest::routes(handle.clone(), ports))?;
        let grpc = open("gRPC", config.grpc, api::grpc::routes(handle.clone()))?;
        let (routes, telling) = api::rpc::routes(handle.clone());
        let rpc = open("RPC", config.rpc, routes)?;
        let dashboard = open("dashboard", config.dashboard, dashboard::routes(handle.clone(), ports))?;
        let files = vec![home.store_path(), home.index_path()];
        let watched = config.watched.into_iter().take(MAX_WATCHED).collect();
        let measured = metrics::Metrics::new(&handle, doors.clone(), files, watched);
        let metrics = open("metrics", config.metrics, metrics::routes(handle.clone(), measured.clone()))?;
        let measuring = Follower::start(|farewell| metrics::follow(handle.clone(), measured, farewell));
        Ok(Self {
            handle,
            engine,
            gossip,
            watching,
            stalled: Some(stalled),
            indexing,
            telling,
            snapshots,
            rest,
            grpc,
            rpc,
            dashboard,
            metrics,
            measuring,
        })
    }

    /// Everything one can ask and tell the node.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Where the REST door listens.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.rest.as_ref().map(Door::address)
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(Door::address)
    }

    /// Where the RPC is served.
    pub fn rpc_address(&self) -> Option<SocketAddr> {
        self.rpc.as_ref().map(Door::address)
    }

    /// Where people look at the dashboard.
    pub fn dashboard_address(&self) -> Option<SocketAddr> {
        self.dashboard.as_ref().map(Door::address)
    }

    /// Where monitors read.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Door::address)
    }

    /// Other nodes, if it has any to do with them.
    pub fn gossip(&self) -> Option<&Peers> {
        self.gossip.as_ref()
    }

    /// Resolves when the node stops by itself, with the reason.
    pub async fn failed(&mut self) -> NodeError {
        tokio::select! {
            reason = self.engine.wait() => reason.into(),
            stalled = alarm(&mut self.stalled) => stalled.into(),
        }
    }

    /// Where other nodes reach this one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.engine.listens()
    }

    /// Cuts the node off from the others at its hub, or lets it back. Does nothing to sockets.
    pub fn set_cut(&self, cut: bool) {
        self.engine.set_cut(cut);
    }

    /// Stops in order: doors, what follows the chain for them, engine, store.
    pub async fn stop(self) -> Result<(), NodeError> {
        // Ends the subscribers' connections with a word of farewell.
        self.telling.end().await;
        self.measuring.end().await;
        let doors = [self.rest, self.grpc, self.rpc, self.dashboard, self.metrics].into_iter().flatten();
        futures::future::join_all(doors.map(Door::close)).await;
        if let Some(watching) = self.watching {
            watching.abort();
        }
        if let Some(gossip) = self.gossip {
            gossip.stop().await;
        }
        self.handle.index().stop();
        self.snapshots.end().await;
        // A write that is under way is finished; a panic of the task is told by the runtime.
        let _ = self.indexing.await;
        self.engine.stop().await?;
        Ok(())
    }
}

/// Resolves when the alarm is given; never, where there is nobody to give it. May be dropped and called again.
async fn alarm(stalled: &mut Option<oneshot::Receiver<Stalled>>) -> Stalled {
    if let Some(receiver) = stalled {
        let heard = receiver.await;
        *stalled = None;
        if let Ok(stalled) = heard {
            return stalled;
        }
    }
    std::future::pending().await
}
