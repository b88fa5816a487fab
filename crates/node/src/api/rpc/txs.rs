//! Methods about transactions: handing them in, waiting for them, finding them again.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::Failure;
use dodona_proto::tx::TxHash;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use super::{ANSWER_BYTES, params::Params, shape};
use crate::{
    NodeHandle,
    api::{Status, aside, cosmos::tx as ledger, told},
    handle::KeptTx,
    index::{Class, MAX_PAGE, Paging},
};

/// How long a transaction is waited for.
pub(super) const INCLUSION: Duration = Duration::from_secs(10);
/// Transactions and bytes in one list of those that wait.
const WAITING: (u64, usize) = (100, 512 << 10);

/// Page, its size and order; searches of transactions begin with the oldest unless asked otherwise, those of blocks
/// with the newest.
pub(super) fn paging(params: &Params, newest_first: bool) -> Result<Paging, Status> {
    let newest_first = match params.text("order_by")?.unwrap_or_default() {
        "" => newest_first,
        "asc" => false,
        "desc" => true,
        _ => return Err(Status::invalid("order_by is asc or desc")),
    };
    let (page, per_page) = (params.number("page")?.unwrap_or(1), params.number("per_page")?.unwrap_or(30));
    Ok(Paging { page, per_page: per_page.clamp(1, MAX_PAGE), newest_first })
}

/// One committed transaction.
fn found(kept: &KeptTx) -> Value {
    let KeptTx { spot: (height, index), bytes, receipt, .. } = kept;
    json!({
        "hash": shape::hex_upper(receipt.hash), "height": height.to_string(), "index": index,
        "tx_result": shape::tx_result(receipt, &told::of_tx(bytes, receipt)), "tx": STANDARD.encode(bytes),
    })
}

fn find(node: &NodeHandle, hash: &TxHash) -> Result<Option<Value>, Status> {
    Ok(node.kept_tx(hash)?.map(|kept| found(&kept)))
}

pub(super) fn tx(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    // Blocks here have no tree of transactions to prove from; the flag is read and has no effect.
    params.flag("prove")?;
    let hash = params.hash("hash")?;
    if let Some(found) = find(node, &hash)? {
        return Ok(found);
    }
    let name = shape::hex_upper(hash);
    Err(Status::not_found(match node.refusal(&hash) {
        Some(refusal) => format!("tx ({name}) not found: it was refused: {refusal}"),
        None => format!("tx ({name}) not found"),
    }))
}

pub(super) fn tx_search(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    params.flag("prove")?;
    let query = params.text("query")?.unwrap_or_default();
    let places = node.search(Class::Txs, query, paging(params, false)?)?;
    let mut list = Vec::with_capacity(places.items.len());
    let mut bytes = 0;
    node.visit(places.items, |kept, spot| {
        let Some(found) = kept.tx(spot).map(|kept| found(&kept)) else { return Ok(()) };
        bytes += found["tx"].as_str().map_or(0, str::len) + 2_000;
        if bytes > ANSWER_BYTES {
            return Err(Status::invalid(format!(
                "these transactions exceed {ANSWER_BYTES} bytes: ask for fewer per_page"
            )));
        }
        list.push(found);
        Ok(())
    })?;
    Ok(json!({ "txs": list, "total_count": places.total.to_string() }))
}

pub(super) fn check_tx(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let bytes = params.base64("tx")?;
    let mut checker = node.app().checker().map_err(Status::internal)?;
    let result = |code: u32, codespace: &str, log: String, wanted: u64, used: u64| {
        json!({
            "code": code, "data": "", "log": log, "info": "", "gas_wanted": wanted.to_string(),
            "gas_used": used.to_string(), "events": [], "codespace": codespace,
        })
    };
    match node.app().check(&mut checker, &bytes) {
        Ok(parsed) => {
            let used = node.app().simulate(&bytes).unwrap_or(parsed.gas_limit);
            Ok(result(0, "", String::new(), parsed.gas_limit, used))
        }
        Err(Failure::Refused(r)) => Ok(result(r.code, r.codespace, r.log, 0, 0)),
        Err(Failure::Halt(error)) => Err(error.into()),
    }
}

/// `broadcast_tx_sync` and `broadcast_tx_async`: the check is quick enough for both to tell its outcome.
pub(super) fn broadcast(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let r = ledger::broadcast(node, &params.base64("tx")?);
    Ok(json!({ "code": r.code, "data": "", "log": r.raw_log, "codespace": r.codespace, "hash": r.txhash }))
}

/// `broadcast_tx_commit`: hands a transaction in and waits for its block, without holding a thread meanwhile.
pub(super) async fn commit(
    node: &NodeHandle,
    params: &Params,
    waiters: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<Value, Status> {
    let bytes = params.base64("tx")?;
    let busy =
        |_| Status::unavailable("too many wait for their blocks: use broadcast_tx_sync and look the hash up");
    let _place = waiters.try_acquire().map_err(busy)?;
    let mut heads = node.heads();
    let hash = dodona_proto::tx::hash(&bytes);
    let door = node.clone();
    let taken = aside(move || ledger::broadcast(&door, &bytes)).await?;
    let checked = json!({
        "code": taken.code, "data": "", "log": taken.raw_log, "info": "", "gas_wanted": "0", "gas_used": "0",
        "events": [], "codespace": taken.codespace,
    });
    let outcome = |result: Value, height: &Value| json!({ "check_tx": checked, "tx_result": result, "hash": taken.txhash, "height": height });
    if taken.code != 0 {
        let empty = json!({ "code": 0, "data": "", "log": "", "gas_wanted": "0", "gas_used": "0", "events": [], "codespace": "" });
        return Ok(outcome(empty, &json!("0")));
    }
    loop {
        heads.borrow_and_update();
        let reader = node.clone();
        if let Some(mut found) = aside(move || find(&reader, &hash)).await?? {
            return Ok(outcome(found["tx_result"].take(), &found["height"]));
        }
        match tokio::time::timeout_at(deadline, heads.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Status::unavailable("the node is stopping")),
            Err(_) => {
                return Err(Status::unavailable(format!(
                    "timed out waiting for tx to be included in a block: {} waits in the mempool",
                    taken.txhash
                )));
            }
        }
    }
}

pub(super) fn num_unconfirmed_txs(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    Ok(waiting(node, Value::Null, node.mempool().len()))
}

pub(super) fn unconfirmed_txs(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let limit = params.number("limit")?.unwrap_or(30).clamp(1, WAITING.0);
    let txs = node.mempool().candidates(WAITING.1, limit as usize);
    let list: Vec<String> = txs.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    let count = list.len();
    Ok(waiting(node, json!(list), count))
}

fn waiting(node: &NodeHandle, txs: Value, count: usize) -> Value {
    let (total, bytes) = (node.mempool().len(), node.mempool().bytes());
    json!({ "n_txs": count.to_string(), "total": total.to_string(), "total_bytes": bytes.to_string(), "txs": txs })
}
