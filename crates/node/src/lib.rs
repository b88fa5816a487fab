//! A node: the chain, the engine that decides its blocks, the mempool in front, the doors for people and programs.
//! This crate wires; what happens in a block is `dodona-chain`'s business, who decides it `dodona-consensus`'s.

mod api;
mod application;
mod doors;
mod faucet;
mod handle;
pub mod home;
mod index;
mod mempool;
mod records;
mod rest;

use std::net::SocketAddr;

use dodona_chain::{App, AppError, Signatures};
use dodona_consensus::PublicKey;
use dodona_consensus::engine::{Engine, EngineConfig, EngineError, Fatal, Log, Network, Timeouts};
use dodona_proto::sign::AccountKey;
use dodona_store::{Config, Store, StoreError};
use tokio::{sync::watch, task::JoinHandle};

use doors::{Door, Doors};

pub use application::{Clock, Head};
pub use dodona_consensus::{
    Height,
    engine::{Gate, NOISY_LOG_TARGETS, Pace},
};
pub use doors::{DoorError, DoorLimits, bind};
pub use handle::NodeHandle;
pub use home::{Home, HomeError};
pub use mempool::{Limits, Mempool};

use handle::Identity;
use index::Index;

/// Versions whose values stay provable.
const KEEP_VERSIONS: u64 = 128;
/// Cache of the disk engine, bytes.
const CACHE_BYTES: usize = 32 << 20;

/// How a node runs.
pub struct NodeConfig {
    /// Where it lives.
    pub home: Home,
    /// Where block time comes from.
    pub clock: Clock,
    /// When blocks are made.
    pub pace: Pace,
    /// Bounds of the mempool.
    pub mempool: Limits,
    /// Development networks only: the account that gives tokens to addresses nobody has heard of.
    pub faucet: Option<AccountKey>,
    /// Newest blocks whose events can be searched; 0 is all.
    pub index_blocks: u64,
    /// A bound socket for the REST door, if it should have one.
    pub rest: Option<std::net::TcpListener>,
    /// The same for gRPC.
    pub grpc: Option<std::net::TcpListener>,
    /// The same for the CometBFT-shaped RPC and its websocket.
    pub rpc: Option<std::net::TcpListener>,
    /// What strangers may cost the node at these doors.
    pub limits: DoorLimits,
}

impl NodeConfig {
    /// A node without doors: the rest is as it should be if nobody says otherwise.
    pub fn quiet(home: Home, clock: Clock, pace: Pace) -> Self {
        Self {
            home,
            clock,
            pace,
            mempool: Limits::default(),
            faucet: None,
            index_blocks: 0,
            rest: None,
            grpc: None,
            rpc: None,
            limits: DoorLimits::default(),
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
}

/// A running node.
pub struct Node {
    handle: NodeHandle,
    engine: Engine,
    indexing: JoinHandle<()>,
    telling: JoinHandle<()>,
    rest: Option<Door>,
    grpc: Option<Door>,
    rpc: Option<Door>,
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
        let mempool = Mempool::new(app.clone(), config.mempool)?;
        let (heads, heads_seen) = watch::channel(Head::default());
        let identity = Identity {
            validator: PublicKey(home.validator_key().verifying_key()),
            genesis: home.genesis().clone(),
        };
        let index = Index::new(&home.index_path(), config.index_blocks);
        let handle =
            NodeHandle::new(app.clone(), mempool.clone(), heads_seen, identity, index, config.faucet);
        let application = application::ChainApplication::new(app, mempool, config.clock, heads)?;
        let engine = dodona_consensus::engine::start(
            Box::new(application),
            EngineConfig {
                moniker: "dodona".into(),
                validator_key: home.validator_key().clone(),
                // The only validator: no vote leaves this process before its block is on disk.
                log: Log::Volatile,
                network: Network::Solo,
                pace: config.pace,
                timeouts: Timeouts::default(),
                status_interval: std::time::Duration::from_secs(10),
            },
        )
        .await?;
        let indexing = tokio::spawn(index::follow(handle.clone()));
        let port = |listener: &std::net::TcpListener| listener.local_addr().ok().map(|a| a.port());
        let ports = api::gateway::Ports {
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
        Ok(Self { handle, engine, indexing, telling, rest, grpc, rpc })
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

    /// Resolves when the node stops by itself, with the reason.
    pub async fn failed(&mut self) -> NodeError {
        self.engine.wait().await.into()
    }

    /// Stops in order: doors, what follows the chain for them, engine, store.
    pub async fn stop(self) -> Result<(), NodeError> {
        // Ends the subscribers' connections with a word of farewell.
        self.telling.abort();
        let _ = self.telling.await;
        let doors = [self.rest, self.grpc, self.rpc].into_iter().flatten();
        futures::future::join_all(doors.map(Door::close)).await;
        self.handle.index().stop();
        // A write that is under way is finished; a panic of the task is told by the runtime.
        let _ = self.indexing.await;
        self.engine.stop().await?;
        Ok(())
    }
}
