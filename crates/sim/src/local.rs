//! A chain without consensus: transactions queue up, `block` executes and commits them. Clients use it like a node.

use std::sync::{Mutex, PoisonError};

use dodona_chain::{App, AppError, BlockInput, Failure, Genesis, QueryError, Receipt, Signatures};
use dodona_client::{ClientError, Transport};
use dodona_proto::tx::{TxHash, hash};
use dodona_store::{Config, Store};

/// Block time in every run without a clock: one second a block.
pub const STEP_MS: u64 = 1_000;

/// One chain in memory.
pub struct LocalChain {
    app: App,
    queue: Mutex<Vec<Vec<u8>>>,
    height: u64,
    time_ms: u64,
}

impl LocalChain {
    /// A chain at its genesis.
    pub fn new(genesis: &Genesis, signatures: Signatures) -> Result<Self, AppError> {
        // Nobody asks for proofs of old versions here.
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, genesis, signatures)?;
        let tip = app.tip()?;
        Ok(Self { app, queue: Mutex::default(), height: tip.height, time_ms: tip.time_ms })
    }

    /// The state machine.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Last committed height.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Executes and commits everything that waits, plus `txs`, as one block.
    pub fn block(&mut self, txs: Vec<Vec<u8>>) -> Result<Vec<Receipt>, AppError> {
        let mut all = std::mem::take(self.queue.get_mut().unwrap_or_else(PoisonError::into_inner));
        all.extend(txs);
        let (height, time_ms) = (self.height + 1, self.time_ms + STEP_MS);
        let executed = self
            .app
            .execute(&BlockInput { height, time_ms, txs: &all })?
            .map_err(|invalid| AppError::Broken(invalid.to_string()))?;
        let receipts = executed.receipts.clone();
        self.app.commit(executed, Vec::new())?;
        (self.height, self.time_ms) = (height, time_ms);
        Ok(receipts)
    }
}

impl Transport for LocalChain {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.app.query(path, request).map_err(|e| match e {
            QueryError::NotFound(what) => ClientError::NotFound(what),
            other => ClientError::Node(other.to_string()),
        })
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let node = |e: AppError| ClientError::Node(e.to_string());
        let mut checker = self.app.checker().map_err(node)?;
        let told = |failure: Failure| match failure {
            Failure::Refused(r) => {
                ClientError::Refused { codespace: r.codespace.to_string(), code: r.code, log: r.log }
            }
            Failure::Halt(e) => ClientError::Node(e.to_string()),
        };
        for waiting in queue.iter() {
            self.app.check(&mut checker, waiting).map_err(told)?;
        }
        self.app.check(&mut checker, tx).map_err(told)?;
        queue.push(tx.to_vec());
        Ok(hash(tx))
    }
}
