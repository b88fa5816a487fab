//! Executes a stored chain again, in memory, from genesis or from a snapshot, and compares everything that a header
//! says. Signatures of transactions are checked ahead on as many threads as wanted; what a block does is sequential.

use std::path::Path;
use std::time::{Duration, Instant};

use dodona_chain::{App, AppError, BlockInput, Genesis, Signatures, Validator};
use dodona_consensus::{
    Address, Block, BlockError, BlockId, Certificate, CertificateError, PublicKey, ValidatorSet,
    verify_certificate, verify_signatures,
};
use dodona_store::{Config, Store, StoreError};

use crate::{
    evidence,
    records::{BLOCKS, CERTIFICATES, height_key, oldest_block},
    snapshot::{Anchor, Reader, SnapshotError, into_store},
};

/// Blocks read and checked ahead at once, and the bytes of their transactions.
const AHEAD: (u64, usize) = (64, 16 << 20);
/// Most threads.
pub const MAX_THREADS: usize = 256;

/// What came of a replay without a difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// Block it began after: 0 for genesis.
    pub after: u64,
    /// Last block.
    pub last: u64,
    /// Transactions in them.
    pub txs: u64,
    /// Root after the last block, equal to the stored one.
    pub root: [u8; 32],
    /// How long it took.
    pub took: Duration,
}

impl Replayed {
    /// Blocks per second.
    pub fn blocks_per_second(&self) -> f64 {
        (self.last - self.after) as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Why a chain could not be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The first blocks are gone.
    #[error(
        "this home does not keep blocks 1 to {0}: replay from genesis needs a node that keeps all blocks, or begin \
         from a snapshot with --from FILE", .oldest - 1
    )]
    Pruned {
        /// Oldest block kept.
        oldest: u64,
    },
    /// There is nothing to replay.
    #[error("this home has no block after {0}: nothing to replay")]
    Empty(u64),
    /// A block is missing in the middle, or its certificate.
    #[error("block {0} or its certificate is missing: the store is damaged, restore a snapshot")]
    Missing(u64),
    /// A stored block is none.
    #[error("block {height} does not decode: {cause}")]
    Block {
        /// Which.
        height: u64,
        /// Why.
        cause: BlockError,
    },
    /// A stored certificate does not prove its block.
    #[error("block {height} is not proven by its certificate: {cause}")]
    Certificate {
        /// Which.
        height: u64,
        /// Why.
        cause: CertificateError,
    },
    /// A stored block cannot be executed.
    #[error("block {height} is invalid: {cause}")]
    Invalid {
        /// Which.
        height: u64,
        /// Why.
        cause: String,
    },
    /// The first difference.
    #[error("block {height}: {what} is {stored} in the stored block, {computed} when executed again")]
    Differs {
        /// Block of the first difference.
        height: u64,
        /// Field of the header.
        what: &'static str,
        /// Hex.
        stored: String,
        /// Hex.
        computed: String,
    },
    /// The snapshot to begin with.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The chain.
    #[error(transparent)]
    App(#[from] AppError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Replays the chain of a store: from genesis, or after the block of a snapshot of the same chain. `told` hears of
/// every height reached.
///
/// # Errors
/// See [`ReplayError`]; the first difference ends it.
pub fn replay(
    store: &Store,
    genesis: &Genesis,
    snapshot: Option<&Path>,
    threads: usize,
    told: &mut dyn FnMut(u64),
) -> Result<Replayed, ReplayError> {
    let own = Store::memory(Config { keep_versions: 1, ..Config::default() });
    let (after, mut last_block) = match snapshot {
        None => (0, None),
        Some(path) => {
            let mut reader = Reader::open(path)?;
            // Its own signers: that it belongs to this chain is shown by the first block after it.
            let head = reader.head()?;
            let anchor = Anchor {
                chain_id: genesis.chain_id.clone(),
                height: head.header.height.0,
                block_id: Some(head.header.id()),
                validators: head.validators.clone(),
                expires_ms: None,
            };
            let head = into_store(&mut reader, &anchor, 0, &own)?;
            (head.header.height.0, Some((head.header.id(), head.certificate, head.validators)))
        }
    };
    let last = store.version().unwrap_or(0);
    let oldest = oldest_block(store)?;
    if last <= after {
        return Err(ReplayError::Empty(after));
    }
    if oldest > after + 1 {
        return Err(ReplayError::Pruned { oldest });
    }
    let app = App::open(own, genesis, Signatures::Check)?;
    let began = Instant::now();
    let mut txs = 0;
    let mut next = after + 1;
    while next <= last {
        let blocks = read_ahead(store, next, last)?;
        verify_ahead(&app, &blocks, threads)?;
        for (block, certificate) in blocks {
            let set = step(&app, &block, &certificate, &last_block)?;
            last_block = Some((block.id(), certificate, set));
            txs += block.body.txs.len() as u64;
            told(next);
            next += 1;
        }
    }
    let (stored, root) = (store.root(), app.root());
    if stored != root {
        return Err(differs(last, "state root of the store", stored, root));
    }
    Ok(Replayed { after, last, txs, root, took: began.elapsed() })
}

fn read_ahead(store: &Store, first: u64, last: u64) -> Result<Vec<(Block, Certificate)>, ReplayError> {
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for height in first..=last.min(first + AHEAD.0 - 1) {
        let key = height_key(height);
        let pair = store.record(BLOCKS, &key)?.zip(store.record(CERTIFICATES, &key)?);
        let (block, certificate) = pair.ok_or(ReplayError::Missing(height))?;
        bytes += block.len();
        let block = Block::decode(&block).map_err(|cause| ReplayError::Block { height, cause })?;
        let certificate =
            Certificate::decode(&certificate).map_err(|cause| ReplayError::Certificate { height, cause })?;
        blocks.push((block, certificate));
        if bytes > AHEAD.1 {
            break;
        }
    }
    Ok(blocks)
}

fn verify_ahead(app: &App, blocks: &[(Block, Certificate)], threads: usize) -> Result<(), ReplayError> {
    let threads = threads.clamp(1, MAX_THREADS);
    let txs: Vec<&Vec<u8>> = blocks.iter().flat_map(|(block, _)| &block.body.txs).collect();
    if threads == 1 || txs.len() < 2 {
        return Ok(());
    }
    let checker = app.checker()?;
    let checker = &checker;
    let part = txs.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let work = |part: &[&Vec<u8>]| part.iter().try_for_each(|tx| app.verify_ahead(checker, tx));
        let parts: Vec<_> = txs.chunks(part).map(|part| scope.spawn(move || work(part))).collect();
        for part in parts {
            // A thread that panicked has checked nothing; its signatures are checked where they count.
            if let Ok(done) = part.join() {
                done?;
            }
        }
        Ok(())
    })
}

/// A block by its name, the decision about it, and who decided.
type Last = (BlockId, Certificate, ValidatorSet);

/// Executes one block and compares; who decided it.
fn step(
    app: &App,
    block: &Block,
    certificate: &Certificate,
    last: &Option<Last>,
) -> Result<ValidatorSet, ReplayError> {
    let header = &block.header;
    let height = app.tip()?.height + 1;
    if header.height.0 != height {
        return Err(ReplayError::Missing(height));
    }
    let set =
        set_of(&app.validators()?).ok_or_else(|| invalid(height, "the state's validators are no set"))?;
    let before = [
        ("parent", header.parent.0, last.as_ref().map_or([0; 32], |(id, ..)| id.0)),
        ("body_root", header.body_root, block.body.root()),
        ("validators_hash", header.validators_hash, set.hash()),
    ];
    for (what, stored, computed) in before {
        if stored != computed {
            return Err(differs(height, what, stored, computed));
        }
    }
    verify_certificate(app.chain_id(), header, certificate, &set)
        .map_err(|cause| ReplayError::Certificate { height, cause })?;
    let body = &block.body;
    let signed = signers(app, height, &body.last_commit, last)?;
    let faults = evidence::judge_all(app, &body.evidence)?
        .ok_or_else(|| invalid(height, "its evidence proves nothing, or is out of order"))?;
    let input = BlockInput {
        proposer: set.get(&header.proposer).map(|v| *v.public_key.as_bytes()),
        signed: signed.as_deref(),
        faults: &faults,
        ..BlockInput::of(height, header.time_ms, &body.txs)
    };
    let executed = app.execute(&input)?.map_err(|cause| invalid(height, cause))?;
    let next =
        set_of(&executed.validators).ok_or_else(|| invalid(height, "its next validators are no set"))?;
    let after = [
        ("receipts_hash", header.receipts_hash, executed.receipts_hash),
        ("app_hash", header.app_hash, executed.root),
        ("next_validators_hash", header.next_validators_hash, next.hash()),
    ];
    for (what, stored, computed) in after {
        if stored != computed {
            return Err(differs(height, what, stored, computed));
        }
    }
    app.commit(executed, Vec::new())?;
    Ok(set)
}

/// Keys of those whose signatures under the block before this one carries, ascending; none in the first block.
fn signers(
    app: &App,
    height: u64,
    carried: &Option<Certificate>,
    last: &Option<Last>,
) -> Result<Option<Vec<[u8; 32]>>, ReplayError> {
    let (carried, (id, stored, set)) = match (carried, last) {
        (None, None) => return Ok(None),
        (Some(carried), Some(last)) => (carried, last),
        _ => return Err(invalid(height, "it does not carry what it should of the block before")),
    };
    if (carried.height.0 + 1, carried.block_id) != (height, *id) {
        return Err(invalid(height, "it carries a certificate of another block than the one before"));
    }
    // What was checked with the block before need not be checked again.
    if carried != stored {
        verify_signatures(app.chain_id(), carried, set)
            .map_err(|cause| ReplayError::Certificate { height: height - 1, cause })?;
    }
    let key = |(address, _): &(Address, _)| set.get(address).map(|v| *v.public_key.as_bytes());
    let mut keys: Vec<[u8; 32]> = carried.signatures.iter().filter_map(key).collect();
    keys.sort_unstable();
    Ok(Some(keys))
}

fn set_of(validators: &[Validator]) -> Option<ValidatorSet> {
    let of = |v: &Validator| {
        let key = PublicKey::from_bytes(&v.public_key).ok()?;
        Some(dodona_consensus::Validator::new(key, v.power))
    };
    ValidatorSet::new(validators.iter().map(of).collect::<Option<_>>()?).ok()
}

fn invalid(height: u64, cause: impl ToString) -> ReplayError {
    ReplayError::Invalid { height, cause: cause.to_string() }
}

fn differs(height: u64, what: &'static str, stored: [u8; 32], computed: [u8; 32]) -> ReplayError {
    ReplayError::Differs { height, what, stored: hex::encode(stored), computed: hex::encode(computed) }
}
