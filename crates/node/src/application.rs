//! The chain as the engine sees it: proposes from the mempool, validates by executing, commits block, certificate,
//! results and state in one durable write.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use dodona_chain::{App, BlockInput, Executed, Fault};
use dodona_consensus::{
    Address, Block, BlockId, Body, Certificate, Evidence, Header, Height, MAX_BLOCK_BYTES, PublicKey,
    Validator, ValidatorSet,
    block::MAX_TXS,
    engine::{Application, Fatal, Undecided},
    verify_signatures,
};
use dodona_proto::tx::TxHash;
use dodona_store::RecordChange;
use tokio::sync::watch;

use crate::{
    evidence,
    mempool::Mempool,
    records::{self, BLOCKS, CERTIFICATES, Results, UNDECIDED, height_key, result_changes, trail_changes},
};

/// Room kept for header and encoding.
const BLOCK_OVERHEAD: usize = 128 << 10;
/// How far a proposer's clock may be ahead of ours.
const MAX_DRIFT_MS: u64 = 10_000;

/// Where block time comes from.
#[derive(Copy, Clone, Debug)]
pub enum Clock {
    /// The proposer's clock.
    Wall,
    /// The same, but wrong by so many milliseconds: for tests of whole processes.
    Wrong(i64),
    /// A fixed step per block: for replays, whose blocks must not depend on when they are made.
    Steps(u64),
    /// Somebody else's clock, unix milliseconds: for simulators.
    Virtual(fn() -> u64),
}

impl Clock {
    /// What it shows, unix milliseconds.
    fn now(self) -> u64 {
        match self {
            // Who goes by steps asks what the blocks say, not what the clock shows.
            Clock::Wall | Clock::Steps(_) => now_ms(),
            Clock::Wrong(ms) => now_ms().saturating_add_signed(ms),
            Clock::Virtual(now) => now(),
        }
    }
}

/// What the rest of the node is told after each block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Last committed height.
    pub height: u64,
    /// Its block.
    pub block_id: [u8; 32],
}

/// Where blocks wait that are not decided.
pub(crate) enum Waiting {
    /// In memory: sound for the only validator with a volatile log, and nobody else.
    Memory(BTreeMap<u64, Vec<Undecided>>),
    /// On disk, before a vote for them leaves.
    Disk,
}

/// What a block leads to.
struct Outcome {
    executed: Executed,
    next: ValidatorSet,
    faults: Vec<Fault>,
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
    /// The set that decided the last block; none before the first.
    last_validators: Option<ValidatorSet>,
    executed: BTreeMap<BlockId, Outcome>,
    undecided: Waiting,
    heads: watch::Sender<Head>,
    keep_blocks: u64,
}

impl ChainApplication {
    /// The one time that the next block can have, where time goes by blocks.
    fn stepped(&self) -> Option<u64> {
        match self.clock {
            Clock::Steps(step) => Some(self.time_ms + step.max(1)),
            Clock::Wall | Clock::Wrong(_) | Clock::Virtual(_) => None,
        }
    }

    /// Takes over the chain where its last commit left it.
    pub(crate) fn new(
        app: App,
        mempool: Mempool,
        clock: Clock,
        undecided: Waiting,
        heads: watch::Sender<Head>,
    ) -> Result<Self, Fatal> {
        let tip = app.tip().map_err(Fatal::new)?;
        let last_block = match tip.height {
            0 => BlockId::default(),
            height => {
                let name = records::block_id(app.store(), height).map_err(Fatal::new)?;
                let missing = "results of the last block are missing, as in the home of an earlier program: move \
                               chain.redb away and start, the node gets it from its peers";
                BlockId(name.ok_or_else(|| Fatal::new(missing))?)
            }
        };
        heads.send_replace(Head { height: tip.height, block_id: last_block.0 });
        let validators = to_set(&app.validators().map_err(Fatal::new)?)?;
        let last = app.validators_of(tip.height).map_err(Fatal::new)?;
        let last_validators = last.as_deref().map(to_set).transpose()?;
        Ok(Self {
            app,
            mempool,
            clock,
            height: tip.height,
            time_ms: tip.time_ms,
            last_block,
            validators,
            last_validators,
            executed: BTreeMap::new(),
            undecided,
            heads,
            keep_blocks: 0,
        })
    }

    /// Forgets all but the newest so many blocks; 0 keeps all.
    pub(crate) fn keeping(self, keep_blocks: u64) -> Self {
        Self { keep_blocks, ..self }
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

    /// The certificate of the last block, for the next one to carry.
    fn last_commit(&self) -> Result<Option<Certificate>, Fatal> {
        if self.height == 0 {
            return Ok(None);
        }
        let bytes = self.app.store().record(CERTIFICATES, &height_key(self.height)).map_err(Fatal::new)?;
        let bytes = bytes.ok_or_else(|| Fatal::new("the certificate of the last block is missing"))?;
        Certificate::decode(&bytes).map(Some).map_err(Fatal::new)
    }

    /// Keys of those who signed the last block, ascending; none before there is one.
    fn signers(&self, certificate: &Option<Certificate>) -> Option<Vec<[u8; 32]>> {
        let (certificate, set) = (certificate.as_ref()?, self.last_validators.as_ref()?);
        let key = |(address, _): &(Address, _)| set.get(address).map(|v| *v.public_key.as_bytes());
        let mut keys: Vec<[u8; 32]> = certificate.signatures.iter().filter_map(key).collect();
        keys.sort_unstable();
        Some(keys)
    }

    /// Why a block's certificate of the block before is not one.
    fn wrong_last_commit(&self, certificate: &Option<Certificate>) -> Option<String> {
        match (certificate, &self.last_validators) {
            (None, None) => None,
            (Some(_), None) => Some("the first block has nothing to certify".into()),
            (None, Some(_)) => Some("the certificate of the block before is missing".into()),
            (Some(c), Some(_)) if (c.height.0, c.block_id) != (self.height, self.last_block) => {
                Some("its certificate is for another block than the one before".into())
            }
            (Some(c), Some(set)) => {
                verify_signatures(self.app.chain_id(), c, set).err().map(|e| e.to_string())
            }
        }
    }

    /// Key of the block's author, if it is in the set.
    fn author(&self, proposer: &Address) -> Option<[u8; 32]> {
        self.validators.get(proposer).map(|v| *v.public_key.as_bytes())
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

    fn min_height(&self) -> Height {
        // A store that cannot be read fails the next commit with its reason; meanwhile nothing is promised.
        let first = self.app.store().records(BLOCKS, &[], None, 1).unwrap_or_default();
        let oldest = first.first().and_then(|(key, _)| key.first_chunk::<8>());
        oldest.map_or(Height(self.height + 1), |key| Height(u64::from_be_bytes(*key)))
    }

    fn validators(&self) -> ValidatorSet {
        self.validators.clone()
    }

    fn propose(&mut self, height: Height, _round: u32, proposer: Address) -> Result<Block, Fatal> {
        let time_ms = self.stepped().unwrap_or_else(|| self.clock.now().max(self.time_ms + 1));
        let last_commit = self.last_commit()?;
        let proofs = evidence::candidates(&self.app).map_err(Fatal::new)?;
        let (mut evidence, mut faults): (Vec<Evidence>, Vec<Fault>) = proofs.into_iter().unzip();
        let carried = borsh::object_length(&(&evidence, &last_commit)).map_err(Fatal::new)?;
        let room = MAX_BLOCK_BYTES.saturating_sub(BLOCK_OVERHEAD + carried);
        let mut txs = self.mempool.candidates(room, MAX_TXS);
        let signed = self.signers(&last_commit);
        let input = BlockInput {
            proposer: self.author(&proposer),
            signed: signed.as_deref(),
            faults: &faults,
            ..BlockInput::of(height.0, time_ms, &txs)
        };
        let (executed, included) = self.app.propose(&input).map_err(Fatal::new)?;
        // The chain has left out what cannot be punished any more, such as a second deed of the same validator.
        let mut punished = faults.iter().map(|fault| executed.faults.contains(fault));
        evidence.retain(|_| punished.next().unwrap_or(false));
        faults.retain(|fault| executed.faults.contains(fault));
        let mut keep = included.iter().peekable();
        let mut index = 0;
        let mut left_out = Vec::new();
        txs.retain(|tx| {
            let kept = keep.next_if_eq(&&index).is_some();
            index += 1;
            if !kept {
                left_out.push(dodona_proto::tx::hash(tx));
            }
            kept
        });
        self.mempool.left_out(left_out.into_iter());
        let body = Body { txs, evidence, last_commit };
        let next = to_set(&executed.validators)?;
        let header = self.header(proposer, time_ms, &body, &executed, &next);
        self.executed.insert(header.id(), Outcome { executed, next, faults });
        Ok(Block { header, body })
    }

    fn validate(&mut self, block: &Block) -> Result<bool, Fatal> {
        let latest = self.stepped().unwrap_or_else(|| self.clock.now().saturating_add(MAX_DRIFT_MS));
        if block.header.time_ms > latest {
            return Ok(self.refuse(block, "its time is ahead of our clock"));
        }
        self.validate_decided(block)
    }

    fn validate_decided(&mut self, block: &Block) -> Result<bool, Fatal> {
        let (id, header) = (block.id(), &block.header);
        if self.executed.contains_key(&id) {
            return Ok(true);
        }
        let follows = self.stepped().map_or(header.time_ms > self.time_ms, |only| header.time_ms == only);
        if !follows {
            return Ok(self.refuse(block, "its time does not follow"));
        }
        let body = &block.body;
        if let Some(cause) = self.wrong_last_commit(&body.last_commit) {
            return Ok(self.refuse(block, &cause));
        }
        let Some(faults) = evidence::judge_all(&self.app, &body.evidence).map_err(Fatal::new)? else {
            return Ok(self.refuse(block, "its evidence proves nothing, or is out of order"));
        };
        let signed = self.signers(&body.last_commit);
        let input = BlockInput {
            proposer: self.author(&header.proposer),
            signed: signed.as_deref(),
            faults: &faults,
            ..BlockInput::of(header.height.0, header.time_ms, &body.txs)
        };
        let executed = match self.app.execute(&input).map_err(Fatal::new)? {
            Ok(executed) => executed,
            Err(invalid) => return Ok(self.refuse(block, &invalid.to_string())),
        };
        let next = to_set(&executed.validators)?;
        // Everything the header says follows from what we have: one comparison covers all its fields.
        if self.header(header.proposer, header.time_ms, &block.body, &executed, &next) != *header {
            return Ok(self.refuse(block, "its header does not follow from its body and our state"));
        }
        self.executed.insert(id, Outcome { executed, next, faults });
        Ok(true)
    }

    fn commit(&mut self, id: BlockId, block: &[u8], certificate: &Certificate) -> Result<(), Fatal> {
        let Outcome { mut executed, next, faults } = self
            .executed
            .remove(&id)
            .ok_or_else(|| Fatal::new("decided on a block that was not executed"))?;
        let height = executed.height;
        let time_ms = Block::decode(block).map_err(Fatal::new)?.header.time_ms;
        let done: Vec<TxHash> = executed.receipts.iter().map(|receipt| receipt.hash).collect();
        let mut records = vec![
            RecordChange::put(BLOCKS, height_key(height), block),
            RecordChange::put(CERTIFICATES, height_key(height), certificate.encode()),
        ];
        let pools = crate::pools::changes(self.app.store(), height, &executed.events);
        records.extend(pools.map_err(Fatal::new)?);
        let receipts = std::mem::take(&mut executed.receipts);
        let events = std::mem::take(&mut executed.events);
        records.extend(result_changes(height, Results { block_id: id.0, receipts, events }));
        match &mut self.undecided {
            Waiting::Memory(blocks) => blocks.retain(|h, _| *h > height),
            Waiting::Disk => records.push(RecordChange::delete_below(UNDECIDED, height_key(height + 1))),
        }
        records.extend(evidence::committed(&self.app, &faults).map_err(Fatal::new)?);
        records.extend(trail_changes(self.app.store(), height, &executed.trails).map_err(Fatal::new)?);
        let forgotten = crate::prune::changes(self.app.store(), height, self.keep_blocks);
        records.extend(forgotten.map_err(Fatal::new)?);
        self.app.commit(executed, records).map_err(Fatal::new)?;
        self.height = height;
        self.time_ms = time_ms;
        self.last_block = id;
        self.last_validators = Some(std::mem::replace(&mut self.validators, next));
        self.executed.clear();
        self.mempool.committed(done.into_iter()).map_err(|e| Fatal::new(format!("{e:?}")))?;
        self.heads.send_replace(Head { height, block_id: id.0 });
        Ok(())
    }

    fn finalize(&mut self, certificate: &Certificate) -> Result<(), Fatal> {
        // A lone validator's certificate cannot grow, and a second durable write per block is not free.
        if self.validators.validators().len() == 1 {
            return Ok(());
        }
        let change = RecordChange::put(CERTIFICATES, height_key(certificate.height.0), certificate.encode());
        self.app.store().put_records(vec![change]).map_err(Fatal::new)
    }

    fn misbehaviour(&mut self, caught: Vec<Evidence>) -> Result<(), Fatal> {
        evidence::keep(&self.app, &caught).map_err(Fatal::new)
    }

    fn put_undecided(&mut self, height: Height, block: &Undecided) -> Result<(), Fatal> {
        match &mut self.undecided {
            Waiting::Memory(blocks) => blocks.entry(height.0).or_default().push(block.clone()),
            Waiting::Disk => records::put_undecided(self.app.store(), height.0, block).map_err(Fatal::new)?,
        }
        Ok(())
    }

    fn undecided(&self, height: Height) -> Result<Vec<Undecided>, Fatal> {
        match &self.undecided {
            Waiting::Memory(blocks) => Ok(blocks.get(&height.0).cloned().unwrap_or_default()),
            Waiting::Disk => records::undecided(self.app.store(), height.0).map_err(Fatal::new),
        }
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

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
