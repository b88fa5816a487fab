//! What a node keeps beside the state, in the same file and the same transactions: blocks, certificates, what
//! became of transactions, and where to find them. None of it is part of the root; all but blocks and certificates
//! can be rebuilt from those.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_chain::{Event, Receipt};
use dodona_proto::tx::TxHash;
use dodona_store::{RecordTable, Store, StoreError};

/// Height (big-endian) → encoded block.
pub const BLOCKS: RecordTable = RecordTable::new("blocks");
/// Height (big-endian) → encoded certificate.
pub const CERTIFICATES: RecordTable = RecordTable::new("certificates");
/// Height (big-endian) → [`Results`].
pub const RESULTS: RecordTable = RecordTable::new("results");
/// Transaction hash → height (big-endian) and index.
pub const TXS: RecordTable = RecordTable::new("txs");

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Results {
    /// Name of the block.
    pub block_id: [u8; 32],
    /// One per transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Of the block itself.
    pub events: Vec<Event>,
}

/// Key of a height.
pub fn height_key(height: u64) -> Vec<u8> {
    height.to_be_bytes().to_vec()
}

/// Value of [`TXS`].
pub fn place(height: u64, index: u32) -> Vec<u8> {
    [&height.to_be_bytes()[..], &index.to_be_bytes()[..]].concat()
}

/// What came of a block, if it is kept.
pub fn results(store: &Store, height: u64) -> Result<Option<Results>, StoreError> {
    let bytes = store.record(RESULTS, &height_key(height))?;
    Ok(bytes.and_then(|b| borsh::from_slice(&b).ok()))
}

/// Height and index of a committed transaction.
pub fn find_tx(store: &Store, hash: &TxHash) -> Result<Option<(u64, u32)>, StoreError> {
    let Some(bytes) = store.record(TXS, hash)? else { return Ok(None) };
    let (Some(height), Some(index)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<4>()) else {
        return Ok(None);
    };
    Ok(Some((u64::from_be_bytes(*height), u32::from_be_bytes(*index))))
}
