//! What a node keeps beside the state, in the same file and the same transactions: blocks, certificates, what
//! became of transactions, and where to find them. None of it is part of the root; all but blocks and certificates
//! can be rebuilt from those.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_chain::{Event, Receipt, Step, Trail};
use dodona_consensus::{Address, BlockId, engine::Undecided};
use dodona_proto::tx::TxHash;
use dodona_store::{RecordChange, RecordTable, Store, StoreError};

/// Height (big-endian) → encoded block.
pub const BLOCKS: RecordTable = RecordTable::new("blocks");
/// Height (big-endian) → encoded certificate.
pub const CERTIFICATES: RecordTable = RecordTable::new("certificates");
/// Height (big-endian) → [`Told`], without the receipts.
pub const RESULTS: RecordTable = RecordTable::new("results");
/// Height and index (big-endian) → [`Receipt`]: one can be read without its neighbours.
pub const RECEIPTS: RecordTable = RecordTable::new("receipts");
/// Topic, nonce, step → [`dodona_chain::Trail`] bytes.
pub const TRAILS: RecordTable = RecordTable::new("trails");
/// Height (big-endian) → keys of the trails to be forgotten there, one after the other.
pub const TRAIL_KEYS: RecordTable = RecordTable::new("trail_keys");
/// Largest trail kept, bytes.
pub const TRAIL_BYTES: usize = 32 << 20;
/// Blocks for which trails are kept after their epoch has ended.
pub const TRAIL_BLOCKS: u64 = 10_000;
/// Bytes of a trail's key.
pub const TRAIL_KEY: usize = 17;
/// Transaction hash → height (big-endian) and index.
pub const TXS: RecordTable = RecordTable::new("txs");

/// Height (big-endian), round (big-endian), block → [`Waiting`]: blocks we may have voted for, of the height being
/// decided.
pub const UNDECIDED: RecordTable = RecordTable::new("undecided");

/// A block that is not decided, as it is stored.
#[derive(BorshSerialize, BorshDeserialize)]
struct Waiting {
    round: u32,
    id: BlockId,
    proposer: Address,
    bytes: Vec<u8>,
}

/// Stores an undecided block.
pub fn put_undecided(store: &Store, height: u64, block: &Undecided) -> Result<(), StoreError> {
    let key = [&height.to_be_bytes()[..], &block.round.to_be_bytes()[..], &block.id.0[..]].concat();
    let Undecided { round, id, proposer, bytes } = block.clone();
    let value =
        borsh::to_vec(&Waiting { round, id, proposer, bytes }).expect("writing to memory does not fail");
    store.put_records(vec![RecordChange::put(UNDECIDED, key, value)])
}

/// The undecided blocks of a height.
pub fn undecided(store: &Store, height: u64) -> Result<Vec<Undecided>, StoreError> {
    let found = store.records_with_prefix(UNDECIDED, &height_key(height), MAX_UNDECIDED)?;
    let read = found.into_iter().filter_map(|(_, value)| borsh::from_slice(&value).ok());
    Ok(read.map(|Waiting { round, id, proposer, bytes }| Undecided { round, id, proposer, bytes }).collect())
}

/// Undecided blocks read back at a restart. A block that is proposed again in later rounds is there by its first;
/// what is missing comes again from peers.
const MAX_UNDECIDED: usize = 64;

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// Name of the block.
    pub block_id: [u8; 32],
    /// One per transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Of the block itself.
    pub events: Vec<Event>,
}

/// The part of [`Results`] that belongs to the block itself, as it is stored.
#[derive(BorshSerialize, BorshDeserialize)]
struct Told {
    block_id: [u8; 32],
    txs: u32,
    events: Vec<Event>,
}

/// Key of a height.
pub fn height_key(height: u64) -> Vec<u8> {
    height.to_be_bytes().to_vec()
}

/// Value of [`TXS`], and key of [`RECEIPTS`].
pub fn place(height: u64, index: u32) -> Vec<u8> {
    [&height.to_be_bytes()[..], &index.to_be_bytes()[..]].concat()
}

/// Records of what came of a block.
pub fn result_changes(height: u64, results: Results) -> Vec<RecordChange> {
    fn bytes(value: &impl BorshSerialize) -> Vec<u8> {
        borsh::to_vec(value).expect("writing to memory does not fail")
    }
    let Results { block_id, receipts, events } = results;
    let told = Told { block_id, txs: receipts.len() as u32, events };
    let mut changes = vec![RecordChange::put(RESULTS, height_key(height), bytes(&told))];
    for (index, receipt) in receipts.iter().enumerate() {
        let place = place(height, index as u32);
        changes.push(RecordChange::put(TXS, receipt.hash, place.clone()));
        changes.push(RecordChange::put(RECEIPTS, place, bytes(receipt)));
    }
    changes
}

fn told(store: &Store, height: u64) -> Result<Option<Told>, StoreError> {
    let bytes = store.record(RESULTS, &height_key(height))?;
    Ok(bytes.and_then(|bytes| borsh::from_slice(&bytes).ok()))
}

/// What came of a block, if it is kept.
pub fn results(store: &Store, height: u64) -> Result<Option<Results>, StoreError> {
    let Some(Told { block_id, txs, events }) = told(store, height)? else { return Ok(None) };
    let found = store.records_with_prefix(RECEIPTS, &height_key(height), txs as usize)?;
    let receipts: Vec<Receipt> =
        found.iter().filter_map(|(_, bytes)| borsh::from_slice(bytes).ok()).collect();
    // All of them, or the block counts as not kept.
    Ok((receipts.len() == txs as usize).then_some(Results { block_id, receipts, events }))
}

/// Name of a block, if it is kept.
pub fn block_id(store: &Store, height: u64) -> Result<Option<[u8; 32]>, StoreError> {
    Ok(told(store, height)?.map(|told| told.block_id))
}

/// What became of one transaction, if its block is kept.
pub fn receipt(store: &Store, height: u64, index: u32) -> Result<Option<Receipt>, StoreError> {
    let bytes = store.record(RECEIPTS, &place(height, index))?;
    Ok(bytes.and_then(|bytes| borsh::from_slice(&bytes).ok()))
}

/// Height of the oldest block kept; 0 before the first block.
pub fn oldest_block(store: &Store) -> Result<u64, StoreError> {
    let first = store.records(BLOCKS, &[], None, 1)?;
    let key = first.first().and_then(|(key, _)| key.first_chunk::<8>());
    Ok(key.map_or(0, |key| u64::from_be_bytes(*key)))
}

/// Key of a trail.
pub fn trail_key(topic: u64, nonce: u64, step: Step) -> Vec<u8> {
    let step = match step {
        Step::Open => 0,
        Step::Judge => 1,
    };
    [&topic.to_be_bytes()[..], &nonce.to_be_bytes()[..], &[step]].concat()
}

/// What a block's trails change, and which old ones go.
pub fn trail_changes(store: &Store, height: u64, trails: &[Trail]) -> Result<Vec<RecordChange>, StoreError> {
    let mut changes = Vec::new();
    // By the block in which they are forgotten.
    let mut keys: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for trail in trails.iter().filter(|trail| trail.bytes.len() <= TRAIL_BYTES) {
        let key = trail_key(trail.topic, trail.nonce, trail.step);
        keys.entry(trail.last_block.max(height) + TRAIL_BLOCKS).or_default().extend_from_slice(&key);
        changes.push(RecordChange::put(TRAILS, key, trail.bytes.clone()));
    }
    for (block, new) in keys {
        let mut all = store.record(TRAIL_KEYS, &height_key(block))?.unwrap_or_default();
        all.extend(new);
        changes.push(RecordChange::put(TRAIL_KEYS, height_key(block), all));
    }
    let due = height_key(height);
    if let Some(keys) = store.record(TRAIL_KEYS, &due)? {
        changes.extend(keys.chunks(TRAIL_KEY).map(|key| RecordChange::delete(TRAILS, key)));
        changes.push(RecordChange::delete(TRAIL_KEYS, due));
    }
    Ok(changes)
}

/// Height and index of a committed transaction.
pub fn find_tx(store: &Store, hash: &TxHash) -> Result<Option<(u64, u32)>, StoreError> {
    let Some(bytes) = store.record(TXS, hash)? else { return Ok(None) };
    let (Some(height), Some(index)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<4>()) else {
        return Ok(None);
    };
    Ok(Some((u64::from_be_bytes(*height), u32::from_be_bytes(*index))))
}
