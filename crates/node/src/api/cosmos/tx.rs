//! Transactions: trying them, handing them in, what became of them, and taking them apart.

use dodona_chain::{Failure, Refusal};
use dodona_proto::{
    cosmos::{base::abci::v1beta1 as abci, base::query::v1beta1::PageResponse, tx::v1beta1 as tx},
    tendermint::abci::{Event, EventAttribute},
    tx::hash,
};
use prost::Message;
use prost_types::{Any, Timestamp};

use super::{blocks, of, page::Page};
use crate::{
    NodeHandle,
    api::{Status, events::Typed, told, tx_hash},
    handle::KeptTx,
    index::{Class, Found, Paging},
};

/// What became of a transaction. Doors may hold this question back until there is an answer.
pub(crate) const GET_TX: &str = "/cosmos.tx.v1beta1.Service/GetTx";
/// Looks for transactions in the index of events.
pub(crate) const SEARCH: &str = "/cosmos.tx.v1beta1.Service/GetTxsEvent";
/// Transactions on a page of a search, if nobody says how many.
const DEFAULT_PAGE: u64 = 30;
/// Bytes at which a page of a search is refused.
const MAX_ANSWER: usize = 16 << 20;
/// Most transactions on a page of a search.
const MAX_PAGE: u64 = 100;

/// Answers a method of these services.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(match method {
        "/cosmos.tx.v1beta1.Service/Simulate" => simulate(node, request)?,
        "/cosmos.tx.v1beta1.Service/BroadcastTx" => {
            let q: tx::BroadcastTxRequest = of(request)?;
            tx::BroadcastTxResponse { tx_response: Some(broadcast(node, &q.tx_bytes)) }.encode_to_vec()
        }
        GET_TX => {
            let q: tx::GetTxRequest = of(request)?;
            get_tx(node, &q.hash)?.encode_to_vec()
        }
        SEARCH => search(node, &of(request)?)?.encode_to_vec(),
        "/cosmos.tx.v1beta1.Service/GetBlockWithTxs" => block_with_txs(node, request)?.encode_to_vec(),
        "/cosmos.tx.v1beta1.Service/TxDecode" => {
            let q: tx::TxDecodeRequest = of(request)?;
            tx::TxDecodeResponse { tx: Some(open(&q.tx_bytes)?) }.encode_to_vec()
        }
        "/cosmos.tx.v1beta1.Service/TxEncode" => {
            let q: tx::TxEncodeRequest = of(request)?;
            let tx = q.tx.ok_or_else(|| Status::invalid("there is no transaction in the request"))?;
            tx::TxEncodeResponse { tx_bytes: close(tx) }.encode_to_vec()
        }
        other => return Err(Status::unimplemented(other)),
    })
}

/// A transaction's parts.
fn open(bytes: &[u8]) -> Result<tx::Tx, Status> {
    let raw: tx::TxRaw = of(bytes)?;
    if raw.body_bytes.is_empty() {
        return Err(Status::invalid("there is no transaction in these bytes"));
    }
    Ok(tx::Tx {
        body: Some(of(&raw.body_bytes)?),
        auth_info: Some(of(&raw.auth_info_bytes)?),
        signatures: raw.signatures,
    })
}

fn close(tx: tx::Tx) -> Vec<u8> {
    tx::TxRaw {
        body_bytes: tx.body.unwrap_or_default().encode_to_vec(),
        auth_info_bytes: tx.auth_info.unwrap_or_default().encode_to_vec(),
        signatures: tx.signatures,
    }
    .encode_to_vec()
}

fn simulate(node: &NodeHandle, request: &[u8]) -> Result<Vec<u8>, Status> {
    let q: tx::SimulateRequest = of(request)?;
    // Older clients send the transaction taken apart; put together again it has the same parts.
    let bytes = match q.tx {
        Some(tx) if q.tx_bytes.is_empty() => close(tx),
        _ => q.tx_bytes,
    };
    let gas_used = node.app().simulate(&bytes).map_err(|failure| match failure {
        Failure::Refused(refusal) => Status::unknown(refusal),
        Failure::Halt(error) => Status::internal(error),
    })?;
    let gas_info = abci::GasInfo { gas_wanted: gas_used, gas_used };
    Ok(tx::SimulateResponse { gas_info: Some(gas_info), result: Some(abci::Result::default()) }
        .encode_to_vec())
}

/// Hands a transaction in; a refusal is an answer too.
pub(crate) fn broadcast(node: &NodeHandle, bytes: &[u8]) -> abci::TxResponse {
    let txhash = hex::encode_upper(hash(bytes));
    match node.broadcast(bytes) {
        Ok(_) => abci::TxResponse { txhash, ..Default::default() },
        Err(refusal) => refused(txhash, refusal),
    }
}

fn refused(txhash: String, refusal: Refusal) -> abci::TxResponse {
    abci::TxResponse {
        txhash,
        codespace: refusal.codespace.into(),
        code: refusal.code,
        raw_log: refusal.log,
        ..Default::default()
    }
}

fn get_tx(node: &NodeHandle, text: &str) -> Result<tx::GetTxResponse, Status> {
    let hash = tx_hash(text)?;
    if let Some(kept) = node.kept_tx(&hash)? {
        let (tx, tx_response) = included(&kept);
        return Ok(tx::GetTxResponse { tx, tx_response: Some(tx_response) });
    }
    let txhash = hex::encode_upper(hash);
    // A refused transaction is in no block; whoever asks learns at once why, instead of waiting for nothing.
    if let Some(refusal) = node.refusal(&hash) {
        return Ok(tx::GetTxResponse { tx: None, tx_response: Some(refused(txhash, refusal)) });
    }
    Err(Status::not_found(format!("tx not found: {txhash}")))
}

/// A transaction of a block, and what became of it; none if that is not kept any more.
fn included(kept: &KeptTx) -> (Option<tx::Tx>, abci::TxResponse) {
    let KeptTx { spot: (height, _), time_ms, bytes, receipt: r } = kept;
    // Blocks hold transactions that could be taken apart, and nothing else.
    let tx = open(bytes).ok();
    let packed =
        tx.as_ref().map(|tx| Any { type_url: "/cosmos.tx.v1beta1.Tx".into(), value: tx.encode_to_vec() });
    let time = Timestamp { seconds: (time_ms / 1_000) as i64, nanos: 0 };
    let response = abci::TxResponse {
        height: *height as i64,
        txhash: hex::encode_upper(r.hash),
        codespace: r.codespace.clone(),
        code: r.code,
        raw_log: r.log.clone(),
        gas_wanted: r.gas_wanted as i64,
        gas_used: r.gas_used as i64,
        tx: packed,
        timestamp: time.to_string(),
        events: told::of_tx(bytes, r).into_iter().map(event).collect(),
        ..Default::default()
    };
    (tx, response)
}

fn event(event: Typed) -> Event {
    let attribute = |(key, value)| EventAttribute { key, value, index: true };
    Event { r#type: event.kind, attributes: event.attributes.into_iter().map(attribute).collect() }
}

fn block_with_txs(node: &NodeHandle, request: &[u8]) -> Result<tx::GetBlockWithTxsResponse, Status> {
    let q: tx::GetBlockWithTxsRequest = of(request)?;
    if q.height == 0 {
        return Err(Status::invalid("block heights begin with 1"));
    }
    let block = blocks::block(node, q.height)?;
    let (page, pagination) = Page::of(q.pagination)?.cut(block.txs().iter().collect())?;
    Ok(tx::GetBlockWithTxsResponse {
        txs: page.into_iter().filter_map(|bytes| open(bytes).ok()).collect(),
        block_id: block.id(),
        block: Some(block.comet()),
        pagination,
    })
}

fn search(node: &NodeHandle, q: &tx::GetTxsEventRequest) -> Result<tx::GetTxsEventResponse, Status> {
    // The query in one text, or, as it was written before, its conditions one by one.
    let query = if q.query.is_empty() { q.events.join(" AND ") } else { q.query.clone() };
    let paged = q.pagination.as_ref();
    let limit = [q.limit, paged.map_or(0, |p| p.limit), DEFAULT_PAGE].into_iter().find(|n| *n > 0);
    let limit = limit.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
    let page = match q.page {
        0 => (paged.map_or(0, |p| p.offset) / limit).saturating_add(1),
        page => page,
    };
    let descending = q.order_by == i32::from(tx::OrderBy::Desc);
    let paging = Paging { page, per_page: limit, newest_first: descending };
    let Found { items, total } = node.search(Class::Txs, query.trim(), paging)?;
    let (mut txs, mut tx_responses) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    node.visit(items, |kept, spot| {
        let Some((tx, response)) = kept.tx(spot).map(|kept| included(&kept)) else { return Ok(()) };
        // Each transaction stands in the answer twice.
        bytes += response.encoded_len() + response.tx.as_ref().map_or(0, |tx| tx.value.len());
        if bytes > MAX_ANSWER {
            return Err(Status::invalid(format!(
                "these transactions exceed {MAX_ANSWER} bytes: ask for a smaller page"
            )));
        }
        txs.push(tx);
        tx_responses.push(response);
        Ok(())
    })?;
    Ok(tx::GetTxsEventResponse {
        txs: txs.into_iter().flatten().collect(),
        tx_responses,
        pagination: Some(PageResponse { next_key: Vec::new(), total }),
        total,
    })
}
