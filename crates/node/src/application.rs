//! The chain as the engine sees it: proposes from the mempool, validates by executing, commits block, certificate,
//! results and state in one durable write.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use dodona_chain::{App, BlockInput, Executed};
use dodona_consensus::{
    Address, Block, BlockId, Body, Certificate, Header, Height, MAX_BLOCK_BYTES, PublicKey, Validator,
    ValidatorSet,
    block::MAX_TXS,
    engine::{Application, Fatal, Undecided},
};
use dodona_store::RecordChange;
use tokio::sync::watch;

use crate::{
    mempool::Mempool,
    records::{BLOCKS, CERTIFICATES, RESULTS, Results, TXS, height_key, place, trail_changes},
};

/// Room kept for header, evidence and encoding.
const BLOCK_OVERHEAD: usize = 128 << 10;
/// How far a proposer's clock may be ahead of ours.
const MAX_DRIFT_MS: u64 = 10_000;

/// Where block time comes from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The proposer's clock.
    Wall,
    /// A fixed step per block: for replays, whose blocks must not depend on when they are made.
    Steps(u64),
}

/// What the rest of the node is told after each block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Last committed height.
    pub height: u64,
    /// Its block.
    pub block_id: [u8; 32],
}

/// Sits between engine and chain. The engine calls it from one thread.
pub(crate) struct ChainApplication {
    app: App,
    mempool: Mempool,
    clock: Clock,
    height: u64,
    time_ms: u64,
    last_block: BlockId,
    validators: ValidatorSet,
    executed: BTreeMap<BlockId, (Executed, ValidatorSet)>,
    undecided: BTreeMap<u64, Vec<Undecided>>,
    heads: watch::Sender<Head>,
}

impl ChainApplication {
    /// Takes over the chain where its last commit left it.
    pub(crate) fn new(
        app: App,
        mempool: Mempool,
        clock: Clock,
        heads: watch::Sender<Head>,
    ) -> Result<Self, Fatal> {
        let tip = app.tip().map_err(Fatal::new)?;
        let last_block = match tip.height {
            0 => BlockId::default(),
            height => {
                let results = crate::records::results(app.store(), height).map_err(Fatal::new)?;
                BlockId(results.ok_or_else(|| Fatal::new("results of the last block are missing"))?.block_id)
            }
        };
        heads.send_replace(Head { height: tip.height, block_id: last_block.0 });
        let validators = to_set(&app.validators().map_err(Fatal::new)?)?;
        Ok(Self {
            app,
            mempool,
            clock,
            height: tip.height,
            time_ms: tip.time_ms,
            last_block,
            validators,
            executed: BTreeMap::new(),
            undecided: BTreeMap::new(),
            heads,
        })
    }

    fn header(
        &self,
        proposer: Address,
        time_ms: u64,
        body: &Body,
        executed: &Executed,
        next: &ValidatorSet,
    ) -> Header {
        Header {
            chain_id: self.app.chain_id().to_string(),
            height: Height(executed.height),
            time_ms,
            proposer,
            parent: self.last_block,
            body_root: body.root(),
            app_hash: executed.root,
            receipts_hash: executed.receipts_hash,
            validators_hash: self.validators.hash(),
            next_validators_hash: next.hash(),
        }
    }

    fn refuse(&self, block: &Block, cause: &str) -> bool {
        tracing::warn!(height = block.header.height.0, cause, "invalid block");
        false
    }
}

impl Application for ChainApplication {
    fn chain_id(&self) -> String {
        self.app.chain_id().to_string()
    }

    fn last_height(&self) -> Height {
        Height(self.height)
    }

    fn validators(&self) -> ValidatorSet {
        self.validators.clone()
    }

    fn propose(&mut self, height: Height, _round: u32, proposer: Address) -> Result<Block, Fatal> {
        let time_ms = match self.clock {
            Clock::Wall => now_ms().max(self.time_ms + 1),
            Clock::Steps(step) => self.time_ms + step.max(1),
        };
        let mut txs = self.mempool.candidates(MAX_BLOCK_BYTES - BLOCK_OVERHEAD, MAX_TXS);
        let input = BlockInput { height: height.0, time_ms, txs: &txs };
        let (executed, included) = self.app.propose(&input).map_err(Fatal::new)?;
        let mut keep = included.iter().peekable();
        let mut index = 0;
        txs.retain(|_| {
            let kept = keep.next_if_eq(&&index).is_some();
            index += 1;
            kept
        });
        let body = Body { txs, evidence: Vec::new() };
        let next = to_set(&executed.validators)?;
        let header = self.header(proposer, time_ms, &body, &executed, &next);
        self.executed.insert(header.id(), (executed, next));
        Ok(Block { header, body })
    }

    fn validate(&mut self, block: &Block) -> Result<bool, Fatal> {
        let (id, header) = (block.id(), &block.header);
        if self.executed.contains_key(&id) {
            return Ok(true);
        }
        let time_ok = match self.clock {
            Clock::Wall => header.time_ms > self.time_ms && header.time_ms <= now_ms() + MAX_DRIFT_MS,
            Clock::Steps(step) => header.time_ms == self.time_ms + step.max(1),
        };
        if !time_ok {
            return Ok(self.refuse(block, "its time does not follow, or is ahead of our clock"));
        }
        let input = BlockInput { height: header.height.0, time_ms: header.time_ms, txs: &block.body.txs };
        let executed = match self.app.execute(&input).map_err(Fatal::new)? {
            Ok(executed) => executed,
            Err(invalid) => return Ok(self.refuse(block, &invalid.to_string())),
        };
        let next = to_set(&executed.validators)?;
        // Everything the header says follows from what we have: one comparison covers all its fields.
        if self.header(header.proposer, header.time_ms, &block.body, &executed, &next) != *header {
            return Ok(self.refuse(block, "its header does not follow from its body and our state"));
        }
        self.executed.insert(id, (executed, next));
        Ok(true)
    }

    fn commit(&mut self, id: BlockId, block: &[u8], certificate: &Certificate) -> Result<(), Fatal> {
        let (executed, next) = self
            .executed
            .remove(&id)
            .ok_or_else(|| Fatal::new("decided on a block that was not executed"))?;
        let height = executed.height;
        let time_ms = Block::decode(block).map_err(Fatal::new)?.header.time_ms;
        let results =
            Results { block_id: id.0, receipts: executed.receipts.clone(), events: executed.events.clone() };
        let mut records = vec![
            RecordChange::put(BLOCKS, height_key(height), block),
            RecordChange::put(CERTIFICATES, height_key(height), certificate.encode()),
            RecordChange::put(RESULTS, height_key(height), borsh::to_vec(&results).map_err(Fatal::new)?),
        ];
        for (index, receipt) in results.receipts.iter().enumerate() {
            records.push(RecordChange::put(TXS, receipt.hash, place(height, index as u32)));
        }
        records.extend(trail_changes(self.app.store(), height, &executed.trails).map_err(Fatal::new)?);
        self.app.commit(executed, records).map_err(Fatal::new)?;
        self.height = height;
        self.time_ms = time_ms;
        self.last_block = id;
        self.validators = next;
        self.executed.clear();
        self.undecided.retain(|h, _| *h > height);
        let done = results.receipts.iter().map(|r| r.hash);
        self.mempool.committed(done).map_err(|e| Fatal::new(format!("{e:?}")))?;
        self.heads.send_replace(Head { height, block_id: id.0 });
        Ok(())
    }

    fn finalize(&mut self, certificate: &Certificate) -> Result<(), Fatal> {
        // A solo validator's certificate cannot grow, and a second durable write per block is not free.
        if self.validators.validators().len() == 1 {
            return Ok(());
        }
        let change = RecordChange::put(CERTIFICATES, height_key(certificate.height.0), certificate.encode());
        self.app.store().put_records(vec![change]).map_err(Fatal::new)
    }

    /// In memory: this node runs as the only validator with a volatile log, where that is sound.
    fn put_undecided(&mut self, height: Height, block: &Undecided) -> Result<(), Fatal> {
        self.undecided.entry(height.0).or_default().push(block.clone());
        Ok(())
    }

    fn undecided(&self, height: Height) -> Result<Vec<Undecided>, Fatal> {
        Ok(self.undecided.get(&height.0).cloned().unwrap_or_default())
    }

    fn decided(&self, height: Height) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fatal> {
        let key = height_key(height.0);
        let block = self.app.store().record(BLOCKS, &key).map_err(Fatal::new)?;
        let certificate = self.app.store().record(CERTIFICATES, &key).map_err(Fatal::new)?;
        Ok(block.zip(certificate))
    }
}

/// The chain's list of validators as the engine's set.
fn to_set(validators: &[dodona_chain::Validator]) -> Result<ValidatorSet, Fatal> {
    let mut set = Vec::with_capacity(validators.len());
    for v in validators {
        let key = PublicKey::from_bytes(&v.public_key).map_err(Fatal::new)?;
        set.push(Validator::new(key, v.power));
    }
    ValidatorSet::new(set).map_err(Fatal::new)
}

fn now_ms() -> u64 {
    // A clock before 1970 reads as 1970; block time then simply counts up.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
