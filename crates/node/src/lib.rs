//! A node: the chain, the engine that decides its blocks, the mempool in front, the doors for people and programs.
//! This crate wires; what happens in a block is `dodona-chain`'s business, who decides it `dodona-consensus`'s.

mod api;
mod application;
mod handle;
pub mod home;
mod mempool;
mod records;
mod rest;

use std::net::SocketAddr;

use dodona_chain::{App, AppError, Signatures};
use dodona_consensus::engine::{Engine, EngineConfig, EngineError, Fatal, Log, Network, Timeouts};
use dodona_store::{Config, Store, StoreError};
use tokio::{sync::watch, task::JoinHandle};

pub use application::{Clock, Head};
pub use dodona_consensus::{
    Height,
    engine::{Gate, NOISY_LOG_TARGETS, Pace},
};
pub use handle::NodeHandle;
pub use home::{Home, HomeError};
pub use mempool::{Limits, Mempool};
pub use rest::{RestError, bind};

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
    /// A bound socket for the REST door, if it should have one.
    pub rest: Option<std::net::TcpListener>,
    /// The same for gRPC.
    pub grpc: Option<std::net::TcpListener>,
    /// The same for the CometBFT-shaped RPC and its websocket.
    pub rpc: Option<std::net::TcpListener>,
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
    /// REST door.
    #[error(transparent)]
    Rest(#[from] RestError),
}

/// A running node.
pub struct Node {
    handle: NodeHandle,
    engine: Engine,
    rest: Option<(SocketAddr, JoinHandle<()>)>,
    grpc: Option<(SocketAddr, JoinHandle<()>)>,
    rpc: Option<(SocketAddr, JoinHandle<()>)>,
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
        let handle = NodeHandle::new(app.clone(), mempool.clone(), heads_seen);
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
        let rest = match config.rest {
            None => None,
            Some(listener) => Some(rest::serve(listener, handle.clone())?),
        };
        let grpc = config.grpc.map(|listener| api::grpc::serve(listener, handle.clone())).transpose()?;
        let rpc = config.rpc.map(|listener| api::rpc::serve(listener, handle.clone())).transpose()?;
        Ok(Self { handle, engine, rest, grpc, rpc })
    }

    /// Everything one can ask and tell the node.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Where the REST door listens.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.rest.as_ref().map(|(address, _)| *address)
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|(address, _)| *address)
    }

    /// Where the RPC is served.
    pub fn rpc_address(&self) -> Option<SocketAddr> {
        self.rpc.as_ref().map(|(address, _)| *address)
    }

    /// Resolves when the node stops by itself, with the reason.
    pub async fn failed(&mut self) -> NodeError {
        self.engine.wait().await.into()
    }

    /// Stops in order: doors, engine, store.
    pub async fn stop(self) -> Result<(), NodeError> {
        for (_, task) in [self.rest, self.grpc, self.rpc].into_iter().flatten() {
            task.abort();
            // Aborting is how it ends; there is no other news from it.
            let _ = task.await;
        }
        self.engine.stop().await?;
        Ok(())
    }
}
