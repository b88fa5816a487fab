//! Forgetting old blocks: which records leave with the commit of a block. The work of one commit is bounded, so that a
//! shorter retention setting catches up over many blocks instead of stopping one.

use dodona_store::{RecordChange, Store, StoreError};

use crate::{
    KEEP_VERSIONS,
    records::{self, BLOCKS, CERTIFICATES, RECEIPTS, RESULTS, TXS, height_key, oldest_block},
};

/// Fewest blocks kept by a node that does not keep all: the state of so many is provable, and a proof needs its block.
pub const LEAST: u64 = KEEP_VERSIONS;
/// Blocks forgotten with one commit, at most.
const AT_ONCE: u64 = 16;

/// What is forgotten with the commit of block `height`, if the newest `keep` blocks stay; 0 keeps all.
pub(crate) fn changes(store: &Store, height: u64, keep: u64) -> Result<Vec<RecordChange>, StoreError> {
    let mut changes = Vec::new();
    let oldest = oldest_block(store)?;
    let first_kept = (height + 1).saturating_sub(keep.max(LEAST));
    if keep == 0 || oldest == 0 || oldest >= first_kept {
        return Ok(changes);
    }
    let until = first_kept.min(oldest + AT_ONCE);
    for old in oldest..until {
        let results = records::results(store, old)?;
        let hashes = results.into_iter().flat_map(|results| results.receipts).map(|receipt| receipt.hash);
        changes.extend(hashes.map(|hash| RecordChange::delete(TXS, hash)));
    }
    let until = height_key(until);
    changes.extend(
        [BLOCKS, CERTIFICATES, RESULTS, RECEIPTS]
            .map(|table| RecordChange::delete_below(table, until.clone())),
    );
    Ok(changes)
}
