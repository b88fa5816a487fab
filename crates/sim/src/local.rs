//! A chain without consensus: transactions queue up, `block` executes and commits them. Clients use it like a node.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use dodona_chain::{
    App, AppError, BlockInput, Checker, Failure, Genesis, QueryError, Receipt, Signatures, Step,
};
use dodona_client::{ClientError, Transport};
use dodona_proto::{
    path,
    topics::{QueryTrailRequest, QueryTrailResponse},
    tx::{TxHash, hash},
};
use dodona_store::{Config, Store};
use prost::Message;

/// Block time in every run without a clock: one second a block.
pub const STEP_MS: u64 = 1_000;

/// Epochs whose inputs are kept.
const TRAILS: usize = 64;

/// One chain in memory.
pub struct LocalChain {
    app: App,
    pending: Mutex<Pending>,
    height: u64,
    time_ms: u64,
    /// Inputs of the newest computations, by topic and nonce.
    trails: BTreeMap<(u64, u64), QueryTrailResponse>,
}

/// What waits for the next block, and the view on which it was checked.
#[derive(Default)]
struct Pending {
    checker: Option<Checker>,
    txs: Vec<Vec<u8>>,
}

impl LocalChain {
    /// A chain at its genesis.
    pub fn new(genesis: &Genesis, signatures: Signatures) -> Result<Self, AppError> {
        // Nobody asks for proofs of old versions here.
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, genesis, signatures)?;
        let tip = app.tip()?;
        Ok(Self {
            app,
            pending: Mutex::default(),
            height: tip.height,
            time_ms: tip.time_ms,
            trails: BTreeMap::new(),
        })
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
        // The checker looks at the state before this block: it goes with what it has checked.
        let pending = std::mem::take(self.pending.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut all = pending.txs;
        drop(pending.checker);
        all.extend(txs);
        let (height, time_ms) = (self.height + 1, self.time_ms + STEP_MS);
        let executed = self
            .app
            .execute(&BlockInput::of(height, time_ms, &all))?
            .map_err(|invalid| AppError::Broken(invalid.to_string()))?;
        for trail in &executed.trails {
            let both = self.trails.entry((trail.topic, trail.nonce)).or_default();
            match trail.step {
                Step::Open => both.open = trail.bytes.clone(),
                Step::Judge => both.judge = trail.bytes.clone(),
            }
        }
        while self.trails.len() > TRAILS {
            self.trails.pop_first();
        }
        let receipts = executed.receipts.clone();
        self.app.commit(executed, Vec::new())?;
        (self.height, self.time_ms) = (height, time_ms);
        Ok(receipts)
    }
}

impl Transport for LocalChain {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        if path == path::TRAIL {
            let q = QueryTrailRequest::decode(request).map_err(|e| ClientError::Node(e.to_string()))?;
            let found = self.trails.get(&(q.topic_id, q.nonce));
            let missing = || ClientError::NotFound(format!("inputs of epoch {}", q.nonce));
            return Ok(found.ok_or_else(missing)?.encode_to_vec());
        }
        self.app.query(path, request).map_err(|e| match e {
            QueryError::NotFound(what) => ClientError::NotFound(what),
            other => ClientError::Node(other.to_string()),
        })
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |failure: Failure| match failure {
            Failure::Refused(r) => {
                ClientError::Refused { codespace: r.codespace.to_string(), code: r.code, log: r.log }
            }
            Failure::Halt(e) => ClientError::Node(e.to_string()),
        };
        let checker = match &mut pending.checker {
            Some(checker) => checker,
            none => none.insert(self.app.checker().map_err(|e| ClientError::Node(e.to_string()))?),
        };
        self.app.check(checker, tx).map_err(told)?;
        pending.txs.push(tx.to_vec());
        Ok(hash(tx))
    }
}
