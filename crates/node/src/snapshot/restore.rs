//! Makes a store from a snapshot: under another name until it is complete and opened once, so that a home holds the
//! whole chain state or none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use dodona_chain::{App, Genesis, Signatures};
use dodona_consensus::Block;
use dodona_proto::cosmos::tx::v1beta1::{AuthInfo, TxRaw};
use dodona_store::{Config, RecordChange, Store};
use prost::Message as _;

use super::{Anchor, Head, Reader, SnapshotError, create::put_in_place, failed};
use crate::records::{BLOCKS, CERTIFICATES, Results, height_key, result_changes};

/// Cache of the store while it is filled, bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What was believed.
    pub head: Head,
    /// Length of the snapshot.
    pub bytes: u64,
}

/// Brings a snapshot into an empty store: values, and the block with certificate and results.
///
/// # Errors
/// Whatever is wrong with the snapshot; the store then stays empty.
pub fn into_store(
    reader: &mut Reader<'_>,
    anchor: &Anchor,
    now_ms: u64,
    store: &Store,
) -> Result<Head, SnapshotError> {
    let head = reader.trusted_head(anchor, now_ms)?;
    let mut beside = reader.beside(&head)?;
    let txs = Block::decode(&beside.block)?.body.txs;
    for (receipt, tx) in beside.receipts.iter_mut().zip(&txs) {
        receipt.gas_wanted = gas_limit(tx);
    }
    let mut import = store.import(head.manifest.clone(), &head.header.app_hash)?;
    for index in 0..head.manifest.pieces.len() {
        let chunk = reader.chunk(&head, index)?;
        import.put(index, &chunk)?;
    }
    let height = head.header.height.0;
    let key = height_key(height);
    let mut records = vec![
        RecordChange::put(BLOCKS, key.clone(), beside.block),
        RecordChange::put(CERTIFICATES, key, head.certificate.encode()),
    ];
    let results = Results { block_id: head.header.id().0, receipts: beside.receipts, events: Vec::new() };
    records.extend(result_changes(height, results));
    import.finish(height, records)?;
    Ok(head)
}

/// Gives a home that has no chain yet the state of a snapshot. The home's genesis says which chain it is for.
///
/// # Errors
/// [`SnapshotError::Occupied`], [`SnapshotError::Io`], or whatever is wrong with the snapshot; the home then stays
/// without a chain.
pub fn restore(
    home: &Path,
    genesis: &Genesis,
    file: &Path,
    anchor: &Anchor,
    now_ms: u64,
) -> Result<Restored, SnapshotError> {
    let target = home.join("chain.redb");
    if target.exists() {
        return Err(SnapshotError::Occupied(target));
    }
    let part = home.join("chain.restoring.redb");
    forget(&part)?;
    let mut reader = Reader::open(file)?;
    let bytes = reader.bytes();
    let made = Store::open(&part, Config { cache_bytes: CACHE_BYTES, keep_versions: 1 })
        .map_err(SnapshotError::from)
        .and_then(|store| {
            let head = into_store(&mut reader, anchor, now_ms, &store)?;
            // Whether this program can go on from there is better known before than after.
            App::open(store, genesis, Signatures::Check)?;
            Ok(head)
        });
    let head = match made {
        Ok(head) => head,
        Err(error) => {
            forget(&part)?;
            return Err(error);
        }
    };
    // An index of another history would be made again at the next start; it may as well begin here.
    forget(&home.join("index.redb"))?;
    put_in_place(&part, &target)?;
    Ok(Restored { head, bytes })
}

/// Gas limit of a transaction; one that is in a block decodes.
fn gas_limit(tx: &[u8]) -> u64 {
    let auth = TxRaw::decode(tx).and_then(|raw| AuthInfo::decode(raw.auth_info_bytes.as_slice()));
    auth.ok().and_then(|auth| auth.fee).map_or(0, |fee| fee.gas_limit)
}

/// Removes a file, if it is there.
fn forget(path: &Path) -> Result<(), SnapshotError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("cannot remove", path)(e)),
        _ => Ok(()),
    }
}
