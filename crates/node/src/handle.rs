//! What one can ask and tell a running node from within its process. Every door goes through here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use dodona_chain::{App, Failure, QueryError, Receipt, Refusal, Step};
use dodona_client::{ClientError, Transport};
use dodona_consensus::{Block, Certificate};
use dodona_proto::{
    chain::{self as wire, QueryBlockResponse, QueryStatusResponse, QueryTxRequest, TxReceipt},
    path,
    topics::{QueryTrailRequest, QueryTrailResponse},
    tx::{TxHash, hash},
};
use dodona_store::StoreError;
use prost::Message;
use tokio::sync::watch;

use crate::{
    Head, Mempool,
    api::Status,
    records::{self, BLOCKS, CERTIFICATES, TRAIL_BLOCKS, TRAILS, height_key, trail_key},
};

/// A handle on a running node. Clones speak to the same node.
#[derive(Clone)]
pub struct NodeHandle {
    app: App,
    mempool: Mempool,
    heads: watch::Receiver<Head>,
    refused: Arc<Mutex<Refused>>,
}

/// Why transactions were refused at the door, for those who ask later. Bounded: the oldest is forgotten.
#[derive(Default)]
struct Refused {
    why: BTreeMap<TxHash, Refusal>,
    order: VecDeque<TxHash>,
}

/// Refusals remembered.
const REFUSALS: usize = 4_096;

impl NodeHandle {
    pub(crate) fn new(app: App, mempool: Mempool, heads: watch::Receiver<Head>) -> Self {
        Self { app, mempool, heads, refused: Arc::default() }
    }

    /// The chain below, read-only in spirit: for roots and invariants.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Last committed block.
    pub fn head(&self) -> Head {
        self.heads.borrow().clone()
    }

    /// Resolves once this height is committed; never, if the node stops before.
    pub async fn reached(&self, height: u64) {
        let mut heads = self.heads.clone();
        if heads.wait_for(|head| head.height >= height).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Hands a transaction to the mempool.
    pub fn broadcast(&self, tx: &[u8]) -> Result<TxHash, Refusal> {
        self.mempool.add(tx).map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                self.remember(hash(tx), refusal.clone());
                refusal
            }
            Failure::Halt(error) => {
                Refusal { codespace: "node", code: 1, log: format!("state cannot be read: {error}") }
            }
        })
    }

    fn remember(&self, hash: TxHash, refusal: Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.why.insert(hash, refusal).is_none() {
            refused.order.push_back(hash);
        }
        if refused.order.len() > REFUSALS
            && let Some(oldest) = refused.order.pop_front()
        {
            refused.why.remove(&oldest);
        }
    }

    /// Why a transaction was refused at the door.
    pub fn refusal(&self, hash: &TxHash) -> Option<Refusal> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).why.get(hash).cloned()
    }

    /// Answers a question of `emissions.v10` by its short name; none if it is not known.
    pub(crate) fn emissions(&self, method: &str, request: &[u8]) -> Option<Result<Vec<u8>, Status>> {
        let read = match self.app.store().snapshot() {
            Ok(read) => read,
            Err(error) => return Some(Err(error.into())),
        };
        dodona_chain::emissions::answer(&read, method, request).map(|answer| answer.map_err(Status::from))
    }

    /// Events of a block's own work.
    pub(crate) fn block_events(&self, height: u64) -> Result<Vec<dodona_chain::Event>, StoreError> {
        Ok(records::results(self.app.store(), height)?.map_or_else(Vec::new, |results| results.events))
    }

    /// A committed transaction as it was sent.
    pub(crate) fn tx_bytes(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let block =
            self.app.store().record(BLOCKS, &height_key(height))?.and_then(|b| Block::decode(&b).ok());
        Ok(block.and_then(|block| block.body.txs.into_iter().nth(index as usize)))
    }

    /// The transactions of a block as they came, in order.
    pub(crate) fn block_txs(&self, height: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let block =
            self.app.store().record(BLOCKS, &height_key(height))?.and_then(|b| Block::decode(&b).ok());
        Ok(block.map_or_else(Vec::new, |block| block.body.txs))
    }

    /// A watch on committed blocks.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.clone()
    }

    /// Answers one of `dodona_proto::path`.
    pub fn query(&self, name: &str, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        match name {
            path::TRAIL => return self.trail(request),
            path::TX => return self.committed_tx(request),
            _ => {}
        }
        let answer = self.app.query(name, request)?;
        if name != path::STATUS {
            return Ok(answer);
        }
        // The chain does not know its block ids and what waits for it.
        let mut status = QueryStatusResponse::decode(answer.as_slice())
            .map_err(|e| QueryError::Internal(e.to_string()))?;
        let results = records::results(self.app.store(), status.height)
            .map_err(|e| QueryError::Internal(e.to_string()))?;
        status.block_id = results.map_or_else(Vec::new, |r| r.block_id.to_vec());
        status.mempool_txs = self.mempool.len() as u64;
        Ok(status.encode_to_vec())
    }

    fn committed_tx(&self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        let q = QueryTxRequest::decode(request).map_err(|e| QueryError::Bad(e.to_string()))?;
        let bad = |_| QueryError::Bad("a transaction hash has 32 bytes".into());
        let hash: TxHash = q.hash.as_slice().try_into().map_err(bad)?;
        let found = self.tx(&hash)?;
        let waits = || QueryError::NotFound("no such transaction in a block yet".into());
        Ok(found.ok_or_else(waits)?.encode_to_vec())
    }

    /// Inputs of an epoch's computations, which lie beside the state.
    fn trail(&self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        let q = QueryTrailRequest::decode(request).map_err(|e| QueryError::Bad(e.to_string()))?;
        let find = |step: Step| -> Result<Vec<u8>, QueryError> {
            let key = trail_key(q.topic_id, q.nonce, step);
            Ok(self.app.store().record(TRAILS, &key)?.unwrap_or_default())
        };
        let (open, judge) = (find(Step::Open)?, find(Step::Judge)?);
        if open.is_empty() {
            return Err(QueryError::NotFound(format!(
                "inputs of epoch {} of topic {}: not combined yet, or ended more than {TRAIL_BLOCKS} blocks ago",
                q.nonce, q.topic_id
            )));
        }
        Ok(QueryTrailResponse { open, judge }.encode_to_vec())
    }

    /// What became of a committed transaction.
    pub fn tx(&self, hash: &TxHash) -> Result<Option<TxReceipt>, StoreError> {
        let store = self.app.store();
        let Some((height, index)) = records::find_tx(store, hash)? else { return Ok(None) };
        let results = records::results(store, height)?;
        let receipt = results.and_then(|r| r.receipts.into_iter().nth(index as usize));
        Ok(receipt.map(|receipt| receipt_view(height, index, receipt)))
    }

    /// A committed block; height 0 is the newest.
    pub fn block(&self, height: u64) -> Result<Option<QueryBlockResponse>, StoreError> {
        let height = if height == 0 { self.head().height } else { height };
        let store = self.app.store();
        let (Some(block), Some(certificate), Some(results)) = (
            store.record(BLOCKS, &height_key(height))?.and_then(|b| Block::decode(&b).ok()),
            store.record(CERTIFICATES, &height_key(height))?.and_then(|c| Certificate::decode(&c).ok()),
            records::results(store, height)?,
        ) else {
            return Ok(None);
        };
        let header = block.header;
        Ok(Some(QueryBlockResponse {
            chain_id: header.chain_id,
            height,
            block_id: results.block_id.to_vec(),
            parent: header.parent.0.to_vec(),
            app_hash: header.app_hash.to_vec(),
            proposer: header.proposer.0.to_vec(),
            time_ms: header.time_ms,
            tx_hashes: results.receipts.iter().map(|r| r.hash.to_vec()).collect(),
            signatures: certificate.signatures.len() as u32,
            events: results.events.into_iter().map(event_view).collect(),
        }))
    }
}

impl Transport for NodeHandle {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.query(path, request).map_err(|e| match e {
            QueryError::NotFound(what) => ClientError::NotFound(what),
            other => ClientError::Node(other.to_string()),
        })
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        self.broadcast(tx).map_err(|r| ClientError::Refused {
            codespace: r.codespace.to_string(),
            code: r.code,
            log: r.log,
        })
    }
}

fn receipt_view(height: u64, index: u32, receipt: Receipt) -> TxReceipt {
    TxReceipt {
        hash: receipt.hash.to_vec(),
        height,
        index,
        codespace: receipt.codespace,
        code: receipt.code,
        log: receipt.log,
        gas_wanted: receipt.gas_wanted,
        gas_used: receipt.gas_used,
        events: receipt.events.into_iter().map(event_view).collect(),
    }
}

fn event_view(event: dodona_chain::Event) -> wire::Event {
    let attributes =
        event.attributes.into_iter().map(|(key, value)| wire::Attribute { key, value }).collect();
    wire::Event { kind: event.kind, attributes }
}
