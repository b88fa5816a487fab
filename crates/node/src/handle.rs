//! What one can ask and tell a running node from within its process. Every door goes through here.

use std::sync::Arc;

use dodona_chain::{App, Failure, Genesis, QueryError, Receipt, Refusal, Step};
use dodona_client::{ClientError, Transport};
use dodona_consensus::{Block, Certificate, PublicKey, engine::PeerList};
use dodona_proto::{
    chain::{self as wire, QueryBlockResponse, QueryStatusResponse, QueryTxRequest, TxReceipt},
    path,
    sign::AccountKey,
    topics::{QueryTrailRequest, QueryTrailResponse},
    tx::TxHash,
};
use dodona_store::{Snapshot, StoreError};
use prost::Message;
use tokio::sync::watch;

use crate::{
    Head, Mempool,
    api::{self, Status, otherwise::Shadows},
    doors::Visitor,
    faucet::Faucet,
    index::{Class, Found, Index, Paging, Spot},
    proofs,
    records::{self, BLOCKS, CERTIFICATES, Results, TRAIL_BLOCKS, TRAILS, height_key, trail_key},
};

/// A handle on a running node. Clones speak to the same node.
#[derive(Clone)]
pub struct NodeHandle {
    app: App,
    mempool: Mempool,
    heads: watch::Receiver<Head>,
    peers: watch::Receiver<PeerList>,
    faucet: Option<Arc<Faucet>>,
    identity: Arc<Identity>,
    index: Arc<Index>,
    shadows: Arc<Shadows>,
}

/// What a node says about itself and its chain's beginning.
pub(crate) struct Identity {
    /// Signs this node's votes.
    pub validator: PublicKey,
    pub genesis: Genesis,
}

/// Everything kept of a block.
pub(crate) struct Kept {
    pub block: Block,
    pub certificate: Certificate,
    pub results: Results,
}

/// A transaction in a block, with what became of it.
pub(crate) struct KeptTx {
    pub spot: Spot,
    /// The block's time.
    pub time_ms: u64,
    pub bytes: Vec<u8>,
    pub receipt: Receipt,
}

impl Kept {
    /// One of its transactions.
    pub fn tx(&self, spot: Spot) -> Option<KeptTx> {
        let place = spot.1 as usize;
        let (bytes, receipt) = self.block.body.txs.get(place).zip(self.results.receipts.get(place))?;
        let (bytes, receipt) = (bytes.clone(), receipt.clone());
        Some(KeptTx { spot, time_ms: self.block.header.time_ms, bytes, receipt })
    }
}

impl NodeHandle {
    pub(crate) fn new(
        app: App,
        mempool: Mempool,
        heads: watch::Receiver<Head>,
        peers: watch::Receiver<PeerList>,
        identity: Identity,
        index: Index,
        faucet: Option<AccountKey>,
    ) -> Self {
        let (identity, index) = (Arc::new(identity), Arc::new(index));
        let faucet = faucet.map(|key| Arc::new(Faucet::new(key)));
        Self { app, mempool, heads, peers, faucet, identity, index, shadows: Arc::default() }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What other rules would remember by now.
    pub(crate) fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    pub(crate) fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// The index of events. Searches go through [`NodeHandle::search`].
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Places of transactions or blocks for which a query's conditions hold. Only inside of [`api::searching`].
    pub(crate) fn search(&self, class: Class, query: &str, paging: Paging) -> Result<Found<Spot>, Status> {
        self.index.search(self, class, query, paging)
    }

    /// Committed transactions for which a query's conditions hold, such as `message.sender='allo1…'`: a page of
    /// them (pages count from 1, 1 to 100 on each), and how many there are on all pages. It waits for its turn among
    /// the searches from outside.
    ///
    /// # Errors
    /// [`QueryError::Bad`] for a query that does not parse or visits too much, and for a page that does not exist;
    /// [`QueryError::Internal`] if it is not its turn within seconds.
    pub async fn search_txs(
        &self,
        query: &str,
        page: u64,
        per_page: u64,
        newest_first: bool,
    ) -> Result<(Vec<TxReceipt>, u64), QueryError> {
        let (node, query) = (self.clone(), query.to_string());
        let work = move || {
            let paging = Paging { page, per_page, newest_first };
            let Found { items, total } = node.search(Class::Txs, &query, paging)?;
            let mut receipts = Vec::with_capacity(items.len());
            node.visit(items, |kept, (height, index)| {
                let receipt = kept.results.receipts.get(index as usize).cloned();
                receipts.extend(receipt.map(|receipt| receipt_view(height, index, receipt)));
                Ok::<(), Status>(())
            })?;
            Ok((receipts, total))
        };
        let found = api::searching(self, work).await.and_then(|found| found);
        found.map_err(|status: Status| match status.code {
            3 => QueryError::Bad(status.message),
            _ => QueryError::Internal(status.message),
        })
    }

    /// Looks at the blocks of these places, one after the other. Neighbours are often in one block, which is then read
    /// once; places whose block is gone are passed over.
    pub(crate) fn visit<E: From<StoreError>>(
        &self,
        spots: Vec<Spot>,
        mut look: impl FnMut(&Kept, Spot) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: Option<(u64, Kept)> = None;
        for spot in spots {
            if last.as_ref().is_none_or(|(height, _)| *height != spot.0) {
                last = self.kept_block(spot.0)?.map(|kept| (spot.0, kept));
            }
            if let Some((_, kept)) = &last {
                look(kept, spot)?;
            }
        }
        Ok(())
    }

    /// A block with all that is kept of it; none if it is not there.
    pub(crate) fn kept_block(&self, height: u64) -> Result<Option<Kept>, StoreError> {
        let (store, key) = (self.app.store(), height_key(height));
        let block = store.record(BLOCKS, &key)?.and_then(|b| Block::decode(&b).ok());
        let certificate = store.record(CERTIFICATES, &key)?.and_then(|c| Certificate::decode(&c).ok());
        let (Some(block), Some(certificate)) = (block, certificate) else { return Ok(None) };
        let results = records::results(store, height)?;
        Ok(results.map(|results| Kept { block, certificate, results }))
    }

    /// A committed transaction. Of what became of its block nothing else is read: clients ask for theirs again and
    /// again.
    pub(crate) fn kept_tx(&self, hash: &TxHash) -> Result<Option<KeptTx>, StoreError> {
        let store = self.app.store();
        let Some(spot) = records::find_tx(store, hash)? else { return Ok(None) };
        let Some(receipt) = records::receipt(store, spot.0, spot.1)? else { return Ok(None) };
        let block = store.record(BLOCKS, &height_key(spot.0))?.and_then(|b| Block::decode(&b).ok());
        let Some(mut block) = block else { return Ok(None) };
        let Some(bytes) = block.body.txs.get_mut(spot.1 as usize).map(std::mem::take) else {
            return Ok(None);
        };
        Ok(Some(KeptTx { spot, time_ms: block.header.time_ms, bytes, receipt }))
    }

    /// Height of the oldest block kept; 0 before the first block.
    pub(crate) fn oldest_block(&self) -> Result<u64, StoreError> {
        records::oldest_block(self.app.store())
    }

    /// What is said of a block that is not there.
    pub(crate) fn no_block(&self, height: u64) -> String {
        match self.oldest_block() {
            Ok(oldest) if height > 0 && height < oldest => {
                format!("block {height} is no longer kept here, the oldest is {oldest}: ask an archive node")
            }
            _ => format!("block {height} not found"),
        }
    }

    /// The chain below, read-only in spirit: for roots and invariants.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Last committed block.
    pub fn head(&self) -> Head {
        self.heads.borrow().clone()
    }

    /// Who is connected, as of the last second; nobody for a node without a network.
    pub fn peers(&self) -> PeerList {
        self.peers.borrow().clone()
    }

    /// Whether a peer is further than the block that is on its way to everybody.
    pub fn catching_up(&self) -> bool {
        self.peers.borrow().best_height() > self.head().height + 1
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
            Failure::Refused(refusal) => refusal,
            Failure::Halt(error) => {
                Refusal { codespace: "node", code: 1, log: format!("state cannot be read: {error}") }
            }
        })
    }

    /// Why a transaction was refused at the door, or had to leave the mempool.
    pub fn refusal(&self, hash: &TxHash) -> Option<Refusal> {
        self.mempool.refusal(hash)
    }

    /// Whether addresses nobody has heard of are given something.
    pub(crate) fn has_faucet(&self) -> bool {
        self.faucet.is_some()
    }

    /// Gives an address that has no account yet something to begin with, if this node does such things.
    pub(crate) async fn welcome(&self, address: &str, visitor: &Visitor) {
        if let (Some(faucet), Ok(address)) = (&self.faucet, address.parse()) {
            faucet.clone().welcome(self, visitor, address).await;
        }
    }

    /// Whether a transaction waits for a block.
    pub(crate) fn waits(&self, hash: &TxHash) -> bool {
        self.mempool.contains(hash)
    }

    /// The state after block `at`, for views of the ledger; 0 is the newest.
    pub(crate) fn state(&self, at: u64) -> Result<Snapshot, QueryError> {
        self.app.state_at(at)
    }

    /// A watch on committed blocks.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.clone()
    }

    /// Answers one of `dodona_proto::path`.
    pub fn query(&self, name: &str, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        self.query_at(name, request, 0)
    }

    /// [`NodeHandle::query`] of the state after block `at`; 0 is the newest. What lies beside the state
    /// (transactions, inputs of computations) is the same at every height.
    pub fn query_at(&self, name: &str, request: &[u8], at: u64) -> Result<Vec<u8>, QueryError> {
        match name {
            path::TRAIL => return self.trail(request),
            path::TX => return self.committed_tx(request),
            path::PROOF => return proofs::proof(self, request, at),
            path::TRUST => return proofs::trust(self, request, at),
            _ => {}
        }
        let answer = self.app.query_at(name, request, at)?;
        if name != path::STATUS {
            return Ok(answer);
        }
        // The chain does not know its block ids and what waits for it.
        let mut status = QueryStatusResponse::decode(answer.as_slice())
            .map_err(|e| QueryError::Internal(e.to_string()))?;
        let name = records::block_id(self.app.store(), status.height)
            .map_err(|e| QueryError::Internal(e.to_string()))?;
        status.block_id = name.map_or_else(Vec::new, |name| name.to_vec());
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
        let receipt = records::receipt(store, height, index)?;
        Ok(receipt.map(|receipt| receipt_view(height, index, receipt)))
    }

    /// A committed block; height 0 is the newest.
    pub fn block(&self, height: u64) -> Result<Option<QueryBlockResponse>, StoreError> {
        let height = if height == 0 { self.head().height } else { height };
        let Some(Kept { block, certificate, results }) = self.kept_block(height)? else { return Ok(None) };
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
