//! CometBFT-shaped JSON-RPC on one port: POST and `/websocket`. Wallets read status, state and transactions here;
//! workers subscribe to the events of blocks. A subscriber who reads too slowly is cut off and never slows a block.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
};

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        ws::{Message as Frame, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_proto::tx::TxHash;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    Status, cosmos, dispatch,
    events::{self, Typed},
};
use crate::{NodeHandle, RestError};

/// Which dialect of the RPC this is; clients look at its beginning.
pub(crate) const DIALECT: &str = "0.38.17";
/// Largest frame sent, bytes; clients close their end on larger ones.
const MAX_FRAME: usize = 1 << 20;
/// Largest frame and body taken, bytes.
const MAX_REQUEST: usize = 1 << 20;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Serves until the task is aborted.
pub(crate) fn serve(
    listener: TcpListener,
    node: NodeHandle,
) -> Result<(SocketAddr, JoinHandle<()>), RestError> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let routes = Router::new()
        .route("/", post(call).options(allowed).get(index))
        .route("/websocket", get(websocket))
        .route("/{method}", get(call_by_address))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(node);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "RPC door closed");
        }
    });
    Ok((address, task))
}

fn open_to_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    response
}

async fn allowed() -> Response {
    open_to_browsers(().into_response())
}

async fn index() -> Response {
    open_to_browsers(Json(json!({ "methods": METHODS })).into_response())
}

const METHODS: [&str; 9] = [
    "health",
    "status",
    "abci_info",
    "abci_query",
    "broadcast_tx_sync",
    "broadcast_tx_async",
    "tx",
    "tx_search",
    "block",
];

async fn call(State(node): State<NodeHandle>, body: axum::body::Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return open_to_browsers(Json(problem(&Value::Null, -32700, "not JSON")).into_response());
    };
    let answer = tokio::task::spawn_blocking(move || respond(&node, &request)).await;
    let answer = answer.unwrap_or_else(|_| problem(&Value::Null, -32603, "the answer was interrupted"));
    open_to_browsers(Json(answer).into_response())
}

/// The same methods by address: `/tx?hash=0x…`, `/block?height=7`, texts in quotation marks.
async fn call_by_address(
    State(node): State<NodeHandle>,
    Path(method): Path<String>,
    Query(given): Query<BTreeMap<String, String>>,
) -> Response {
    let params = given.into_iter().map(|(name, text)| {
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let plain = quoted.or_else(|| text.strip_prefix("0x")).unwrap_or(&text).to_owned();
        (name, Value::String(plain))
    });
    let request =
        json!({ "jsonrpc": "2.0", "id": -1, "method": method, "params": Value::Object(params.collect()) });
    let answer = tokio::task::spawn_blocking(move || respond(&node, &request)).await;
    let answer = answer.unwrap_or_else(|_| problem(&json!(-1), -32603, "the answer was interrupted"));
    open_to_browsers(Json(answer).into_response())
}

fn problem(id: &Value, code: i32, message: impl ToString) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message.to_string(), "data": "" } })
}

fn respond(node: &NodeHandle, request: &Value) -> Value {
    let id = &request["id"];
    let method = request["method"].as_str().unwrap_or_default();
    match result(node, method, &request["params"]) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(status) if status.code == 12 => problem(id, -32601, status.message),
        Err(status) if status.code == 3 => problem(id, -32602, status.message),
        Err(status) => problem(id, -32603, status.message),
    }
}

/// A parameter by name, or by its place in a list.
fn param<'a>(params: &'a Value, name: &str, place: usize) -> &'a Value {
    if params.is_array() { &params[place] } else { &params[name] }
}

fn result(node: &NodeHandle, method: &str, params: &Value) -> Result<Value, Status> {
    match method {
        "health" => Ok(json!({})),
        "status" => status(node),
        "abci_info" => {
            let s = cosmos::status(node)?;
            Ok(json!({ "response": {
                "data": "dodona", "version": s.version, "app_version": "1",
                "last_block_height": s.height.to_string(),
                "last_block_app_hash": STANDARD.encode(&s.app_hash),
            } }))
        }
        "abci_query" => abci_query(node, params),
        "broadcast_tx_sync" | "broadcast_tx_async" => {
            let text = param(params, "tx", 0).as_str().unwrap_or_default();
            let bytes =
                STANDARD.decode(text).map_err(|e| Status::invalid(format!("tx is not base64: {e}")))?;
            let r = cosmos::broadcast(node, &bytes);
            Ok(
                json!({ "code": r.code, "data": "", "log": r.raw_log, "codespace": r.codespace, "hash": r.txhash }),
            )
        }
        "tx" => {
            let hash = tx_hash(param(params, "hash", 0))?;
            let found = tx(node, &hash)?;
            found.ok_or_else(|| Status::not_found(format!("tx ({}) not found", hex::encode_upper(hash))))
        }
        "tx_search" => {
            let query = param(params, "query", 0).as_str().unwrap_or_default();
            let hash = query.split_once("tx.hash='").and_then(|(_, rest)| rest.strip_suffix('\''));
            let Some(hash) = hash else {
                return Err(Status::invalid("this node searches by tx.hash='HEX' only"));
            };
            let hash: TxHash = hex::decode(hash)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| Status::invalid("a transaction hash has 64 hex digits"))?;
            let txs: Vec<Value> = tx(node, &hash)?.into_iter().collect();
            let count = txs.len().to_string();
            Ok(json!({ "txs": txs, "total_count": count }))
        }
        "block" => {
            let height = param(params, "height", 0);
            let height = match height {
                Value::String(text) => text.parse().map_err(|_| Status::invalid("height is no number"))?,
                Value::Number(number) => number.as_u64().unwrap_or(0),
                _ => 0,
            };
            block(node, height)
        }
        other => Err(Status::unimplemented(other)),
    }
}

/// A hash in hex or base64.
fn tx_hash(value: &Value) -> Result<TxHash, Status> {
    let text = value.as_str().unwrap_or_default();
    let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok());
    bytes
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| Status::invalid("hash has 32 bytes, in hex or base64"))
}

fn time(ms: u64) -> String {
    let seconds = (ms / 1_000) as i64;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date of a day count, eras of 400 years beginning in March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60,
        ms % 1_000
    )
}

fn status(node: &NodeHandle) -> Result<Value, Status> {
    let s = cosmos::status(node)?;
    let zero = "0".repeat(40);
    Ok(json!({
        "node_info": {
            "protocol_version": { "p2p": "8", "block": "11", "app": "1" },
            "id": zero, "listen_addr": "tcp://0.0.0.0:26656", "network": s.chain_id, "version": DIALECT,
            "channels": "40202122233038606100", "moniker": "dodona",
            "other": { "tx_index": "on", "rpc_address": "tcp://127.0.0.1:26657" },
        },
        "sync_info": {
            "latest_block_hash": hex::encode_upper(&s.block_id),
            "latest_app_hash": hex::encode_upper(&s.app_hash),
            "latest_block_height": s.height.to_string(),
            "latest_block_time": time(s.time_ms),
            "earliest_block_hash": hex::encode_upper(&s.block_id),
            "earliest_app_hash": hex::encode_upper(&s.app_hash),
            "earliest_block_height": "1",
            "earliest_block_time": time(s.time_ms),
            "catching_up": false,
        },
        "validator_info": {
            "address": zero,
            "pub_key": { "type": "tendermint/PubKeyEd25519", "value": STANDARD.encode([0u8; 32]) },
            "voting_power": "1",
        },
    }))
}

fn abci_query(node: &NodeHandle, params: &Value) -> Result<Value, Status> {
    let path = param(params, "path", 0).as_str().unwrap_or_default();
    let data = hex::decode(param(params, "data", 1).as_str().unwrap_or_default())
        .map_err(|_| Status::invalid("data is not hex"))?;
    let height = node.head().height.to_string();
    let (code, log, value) = match dispatch(node, path, &data) {
        Ok(value) => (0, String::new(), Some(STANDARD.encode(value))),
        // The text in which clients look for the kind of failure.
        Err(status) if status.code == 5 => {
            (22, format!("rpc error: code = NotFound desc = {}", status.message), None)
        }
        Err(status) if status.code == 12 => (6, format!("unknown query path: {}", status.message), None),
        Err(status) => (18, status.message, None),
    };
    let codespace = if code == 0 { "" } else { "sdk" };
    Ok(json!({ "response": {
        "code": code, "log": log, "info": "", "index": "0", "key": Value::Null, "value": value,
        "proofOps": Value::Null, "height": height, "codespace": codespace,
    } }))
}

fn tx(node: &NodeHandle, hash: &TxHash) -> Result<Option<Value>, Status> {
    let Some(r) = node.tx(hash)? else { return Ok(None) };
    let attributes = |e: &dodona_proto::chain::Event| -> Vec<Value> {
        e.attributes.iter().map(|a| json!({ "key": a.key, "value": a.value, "index": true })).collect()
    };
    let events: Vec<Value> =
        r.events.iter().map(|e| json!({ "type": e.kind, "attributes": attributes(e) })).collect();
    Ok(Some(json!({
        "hash": hex::encode_upper(&r.hash), "height": r.height.to_string(), "index": r.index,
        "tx": node.tx_bytes(r.height, r.index)?.map_or(String::new(), |bytes| STANDARD.encode(bytes)),
        "tx_result": {
            "code": r.code, "data": "", "log": r.log, "info": "", "codespace": r.codespace,
            "gas_wanted": r.gas_wanted.to_string(), "gas_used": r.gas_used.to_string(), "events": events,
        },
    })))
}

/// A block in the shape clients take apart. Hashes that our blocks do not have are empty; a block is one part.
fn block(node: &NodeHandle, height: u64) -> Result<Value, Status> {
    let height = if height == 0 { node.head().height } else { height };
    let b = node.block(height)?.ok_or_else(|| Status::not_found(format!("block {height} not found")))?;
    let id = |bytes: &[u8]| {
        let hash = hex::encode_upper(bytes);
        json!({ "hash": hash, "parts": { "total": 1, "hash": hash } })
    };
    let txs: Vec<String> = node.block_txs(height)?.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    Ok(json!({
        "block_id": id(&b.block_id),
        "block": {
            "header": {
                "version": { "block": "11", "app": "1" }, "chain_id": b.chain_id, "height": b.height.to_string(),
                "time": time(b.time_ms), "last_block_id": id(&b.parent), "last_commit_hash": "", "data_hash": "",
                "validators_hash": "", "next_validators_hash": "", "consensus_hash": "", "last_results_hash": "",
                "evidence_hash": "", "app_hash": hex::encode_upper(&b.app_hash),
                "proposer_address": hex::encode_upper(&b.proposer),
            },
            "data": { "txs": txs }, "evidence": { "evidence": [] },
            "last_commit": {
                "height": b.height.saturating_sub(1).to_string(), "round": 0, "block_id": id(&b.parent),
                "signatures": [],
            },
        },
    }))
}

async fn websocket(State(node): State<NodeHandle>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MAX_REQUEST).on_upgrade(move |socket| talk(socket, node))
}

/// One subscription of a connection.
struct Subscription {
    id: Value,
    query: String,
    conditions: Vec<Condition>,
}

/// One connection: requests are answered, and every block's events go to the subscriptions they satisfy.
async fn talk(mut socket: WebSocket, node: NodeHandle) {
    let mut heads = node.heads();
    let mut told = heads.borrow_and_update().height;
    let mut subscriptions: Vec<Subscription> = Vec::new();
    loop {
        tokio::select! {
            changed = heads.changed() => {
                if changed.is_err() {
                    return;
                }
                let height = heads.borrow_and_update().height;
                // Several blocks may have come meanwhile; each is told once, in order.
                while told < height {
                    told += 1;
                    if !subscriptions.is_empty() && !tell(&mut socket, &node, told, &subscriptions).await {
                        return;
                    }
                }
            }
            frame = socket.recv() => {
                let text = match frame {
                    Some(Ok(Frame::Text(text))) => text,
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                    _ => return,
                };
                let answer = match serde_json::from_str::<Value>(&text) {
                    Ok(request) => heard(&node, &request, &mut subscriptions).await,
                    Err(_) => problem(&Value::Null, -32700, "not JSON"),
                };
                if socket.send(Frame::Text(answer.to_string().into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn heard(node: &NodeHandle, request: &Value, subscriptions: &mut Vec<Subscription>) -> Value {
    let id = request["id"].clone();
    let query = || param(&request["params"], "query", 0).as_str().unwrap_or_default().to_string();
    let done = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
    match request["method"].as_str().unwrap_or_default() {
        "subscribe" => {
            if subscriptions.len() >= MAX_SUBSCRIPTIONS {
                return problem(
                    &id,
                    -32603,
                    format!("at most {MAX_SUBSCRIPTIONS} subscriptions on a connection"),
                );
            }
            let query = query();
            match parse(&query) {
                Some(conditions) => subscriptions.push(Subscription { id, query, conditions }),
                None => return problem(&id, -32602, "the query does not parse"),
            }
            done
        }
        "unsubscribe" => {
            let query = query();
            subscriptions.retain(|s| s.id != id && s.query != query);
            done
        }
        "unsubscribe_all" => {
            subscriptions.clear();
            done
        }
        _ => {
            let (node, request) = (node.clone(), request.clone());
            let answer = tokio::task::spawn_blocking(move || respond(&node, &request)).await;
            answer.unwrap_or_else(|_| problem(&id, -32603, "the answer was interrupted"))
        }
    }
}

/// Sends a block's events to whom they concern; false when the connection is gone.
async fn tell(
    socket: &mut WebSocket,
    node: &NodeHandle,
    height: u64,
    subscriptions: &[Subscription],
) -> bool {
    let reader = node.clone();
    let Ok(typed) = tokio::task::spawn_blocking(move || {
        let results = reader.block_events(height).unwrap_or_default();
        events::of_block(&reader, height, &results)
    })
    .await
    else {
        return true;
    };
    for s in subscriptions.iter().filter(|s| satisfied(&s.conditions, &typed)) {
        let list: Vec<Value> = typed
            .iter()
            .map(|e| {
                let attributes: Vec<Value> = e
                    .attributes
                    .iter()
                    .map(|(k, v)| json!({ "key": k, "value": v, "index": true }))
                    .collect();
                json!({ "type": e.kind, "attributes": attributes })
            })
            .collect();
        let frame = json!({ "jsonrpc": "2.0", "id": s.id, "result": {
            "query": s.query,
            "data": { "type": "tendermint/event/NewBlockEvents",
                "value": { "height": height.to_string(), "num_txs": "0", "events": list } },
            "events": { "tm.event": ["NewBlockEvents"] },
        } });
        let text = frame.to_string();
        if text.len() > MAX_FRAME {
            tracing::warn!(height, bytes = text.len(), "events of a block do not fit into a frame");
            continue;
        }
        let sent =
            tokio::time::timeout(std::time::Duration::from_secs(5), socket.send(Frame::Text(text.into())));
        if !matches!(sent.await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

/// One condition of a query: a key, an operator, and what is compared with.
#[derive(Debug, PartialEq)]
struct Condition {
    key: String,
    operator: &'static str,
    value: String,
}

const OPERATORS: [&str; 7] = ["<=", ">=", "=", "<", ">", "CONTAINS", "EXISTS"];

/// Takes a query apart: conditions joined by AND.
fn parse(query: &str) -> Option<Vec<Condition>> {
    query.split(" AND ").map(condition).collect()
}

fn condition(text: &str) -> Option<Condition> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_./".contains(c)))?;
    let (key, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator))?;
    let value = rest[operator.len()..].trim();
    let value = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).unwrap_or(value);
    (!key.is_empty()).then(|| Condition { key: key.into(), operator, value: value.into() })
}

/// Whether a block's events satisfy all conditions.
fn satisfied(conditions: &[Condition], events: &[Typed]) -> bool {
    conditions.iter().all(|c| {
        if c.key == "tm.event" {
            return c.value == "NewBlockEvents";
        }
        let Some((kind, name)) = c.key.rsplit_once('.') else { return false };
        let values = events.iter().filter(|e| e.kind == kind).flat_map(|e| &e.attributes);
        values.filter(|(key, _)| key == name).any(|(_, value)| holds(c, value))
    })
}

fn holds(c: &Condition, value: &str) -> bool {
    let number = |text: &str| text.trim_matches('"').parse::<f64>().ok();
    let compare = || number(value).zip(number(&c.value));
    match c.operator {
        "EXISTS" => true,
        "CONTAINS" => value.contains(&c.value),
        "=" => value == c.value,
        "<" => compare().is_some_and(|(a, b)| a < b),
        "<=" => compare().is_some_and(|(a, b)| a <= b),
        ">" => compare().is_some_and(|(a, b)| a > b),
        _ => compare().is_some_and(|(a, b)| a >= b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_taken_apart_and_hold_for_the_right_events() {
        let query = "tm.event='NewBlockEvents' AND emissions.v10.EventX.topic_id = '\"1\"' AND emissions.v10.EventX.n EXISTS ";
        let conditions = parse(query).unwrap();
        assert_eq!(conditions.len(), 3);
        let event = |topic: &str| Typed {
            kind: "emissions.v10.EventX".into(),
            attributes: vec![("n".into(), "\"7\"".into()), ("topic_id".into(), format!("\"{topic}\""))],
        };
        assert!(satisfied(&conditions, &[event("2"), event("1")]));
        assert!(!satisfied(&conditions, &[event("2")]));
        assert!(satisfied(&parse("emissions.v10.EventX.n>=7").unwrap(), &[event("1")]));
        assert!(parse("nonsense").is_none());
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert_eq!(time(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
    }
}
