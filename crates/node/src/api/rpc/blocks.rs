//! Methods about blocks: whole, their headers, their commits, what came of them, and where an event happened.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{ANSWER_BYTES, about::known_height, params::Params, shape, txs::paging};
use crate::{
    NodeHandle,
    api::{Status, told},
    handle::Kept,
    index::{Class, Paging},
};

/// Headers in one answer of `blockchain`.
const MAX_HEADERS: u64 = 20;

fn kept(node: &NodeHandle, height: u64) -> Result<Kept, Status> {
    node.kept_block(height)?.ok_or_else(|| Status::not_found(node.no_block(height)))
}

/// The block a height names, the newest if none is named.
fn by_height(node: &NodeHandle, params: &Params) -> Result<Kept, Status> {
    kept(node, known_height(node, params)?)
}

/// The block a hash names.
fn by_hash(node: &NodeHandle, params: &Params) -> Result<Option<Kept>, Status> {
    let query = format!("block.hash='{}'", shape::hex_upper(params.hash("hash")?));
    let found = node.search(Class::Blocks, &query, Paging { page: 1, per_page: 1, newest_first: true })?;
    Ok(match found.items.first() {
        Some((height, _)) => Some(kept(node, *height)?),
        None => None,
    })
}

/// A block with its name, as `block` answers.
pub(super) fn whole(node: &NodeHandle, kept: &Kept) -> Result<Value, Status> {
    let before = match kept.block.header.height.0.checked_sub(1) {
        None | Some(0) => None,
        Some(height) => node.kept_block(height)?,
    };
    let before = before.as_ref().map(|before| (&before.certificate, before.block.header.time_ms));
    Ok(json!({
        "block_id": shape::block_id(kept.results.block_id), "block": shape::block(&kept.block, before),
    }))
}

pub(super) fn block(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    whole(node, &by_height(node, params)?)
}

pub(super) fn block_by_hash(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    match by_hash(node, params)? {
        Some(kept) => whole(node, &kept),
        None => Ok(json!({ "block_id": shape::block_id([0; 32]), "block": Value::Null })),
    }
}

pub(super) fn header(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    Ok(json!({ "header": shape::header(&by_height(node, params)?.block) }))
}

pub(super) fn header_by_hash(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    Ok(json!({ "header": by_hash(node, params)?.map(|kept| shape::header(&kept.block)) }))
}

pub(super) fn commit(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let Kept { block, certificate, .. } = by_height(node, params)?;
    let commit = shape::commit(&certificate, block.header.time_ms);
    Ok(json!({ "signed_header": { "header": shape::header(&block), "commit": commit }, "canonical": true }))
}

pub(super) fn block_results(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let Kept { block, results, .. } = by_height(node, params)?;
    let height = block.header.height.0;
    let txs = block.body.txs.iter().zip(&results.receipts);
    let txs: Vec<Value> =
        txs.map(|(bytes, receipt)| shape::tx_result(receipt, &told::of_tx(bytes, receipt))).collect();
    Ok(json!({
        "height": height.to_string(), "txs_results": txs,
        "finalize_block_events": shape::events(&told::of_block(&results)),
        "validator_updates": Value::Null, "consensus_param_updates": Value::Null,
        "app_hash": STANDARD.encode(block.header.app_hash),
    }))
}

pub(super) fn blockchain(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let head = node.head().height;
    let named = |name| Ok::<_, Status>(params.number(name)?.filter(|height| *height > 0));
    let high = named("maxHeight")?.unwrap_or(head).min(head);
    let low = named("minHeight")?.unwrap_or(1).max(node.oldest_block()?);
    if low > high && head > 0 {
        return Err(Status::invalid(format!("min height {low} can't be greater than max height {high}")));
    }
    let low = low.max(high.saturating_sub(MAX_HEADERS - 1));
    let mut metas = Vec::new();
    for height in (low..=high).rev() {
        let Some(Kept { block, results, .. }) = node.kept_block(height)? else { continue };
        metas.push(json!({
            "block_id": shape::block_id(results.block_id),
            "block_size": block.encode().map_or(0, |bytes| bytes.len()).to_string(),
            "header": shape::header(&block), "num_txs": block.body.txs.len().to_string(),
        }));
    }
    Ok(json!({ "last_height": head.to_string(), "block_metas": metas }))
}

pub(super) fn block_search(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let query = params.text("query")?.unwrap_or_default();
    let found = node.search(Class::Blocks, query, paging(params, true)?)?;
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for (height, _) in found.items {
        let kept = kept(node, height)?;
        bytes += kept.block.body.txs.iter().map(Vec::len).sum::<usize>() * 4 / 3 + 2_000;
        if bytes > ANSWER_BYTES {
            return Err(Status::invalid(format!(
                "these blocks exceed {ANSWER_BYTES} bytes: ask for fewer per_page"
            )));
        }
        blocks.push(whole(node, &kept)?);
    }
    Ok(json!({ "blocks": blocks, "total_count": found.total.to_string() }))
}
