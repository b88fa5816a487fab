//! CometBFT-shaped JSON-RPC on one port: POST, addresses and `/websocket`. Wallets and explorers read blocks, state and
//! transactions here; workers subscribe to the events of blocks.
//!
//! ```text
//! POST, GET ─┐                       ┌► about.rs, blocks.rs, txs.rs ─► NodeHandle, index
//! websocket ─┴► answer ─► method.rs ─┘
//! heads ─► feed.rs: a block rendered once ─► socket.rs: frames for the subscriptions it satisfies
//! ```

mod about;
mod blocks;
mod feed;
mod method;
mod params;
mod proof;
pub(crate) mod query;
mod shape;
mod socket;
mod txs;

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State, ws::WebSocketUpgrade},
    http::{HeaderValue, Method as Verb, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, broadcast},
    task::JoinHandle,
    time::Instant,
};

use self::{
    feed::Told,
    method::{Answer, METHODS},
    params::Params,
};
use super::{Status, aside};
use crate::{NodeHandle, doors::Visitor};

/// Which dialect of the RPC this is; clients look at its beginning.
pub(crate) const DIALECT: &str = "0.38.17";
/// Largest frame and body taken, bytes.
const MAX_REQUEST: usize = 1 << 20;
/// Bytes at which a list of an answer is cut off with an error.
const ANSWER_BYTES: usize = 16 << 20;
/// Requests in one batch.
const MAX_BATCH: usize = 32;
/// Requests answered at once; others wait.
const MAX_CALLS: usize = 64;
/// Searches under way or next in turn; others wait without a thread.
const MAX_SEARCHES: usize = 4;
/// Requests that wait for their transaction's block at once.
const MAX_WAITERS: usize = 256;
/// Websocket connections.
const MAX_SOCKETS: usize = 1_024;

/// What every request has at hand.
#[derive(Clone)]
struct Door {
    node: NodeHandle,
    calls: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    /// Weak, so that connections end when the feed does.
    feed: broadcast::WeakSender<Arc<Told>>,
}

/// What the door serves, and the task that tells its subscribers of blocks; without that task nobody is told.
pub(crate) fn routes(node: NodeHandle) -> (Router, JoinHandle<()>) {
    let feed = broadcast::Sender::new(feed::QUEUE);
    let door = Door {
        node: node.clone(),
        calls: Arc::new(Semaphore::new(MAX_CALLS)),
        searches: Arc::new(Semaphore::new(MAX_SEARCHES)),
        waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
        sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
        feed: feed.downgrade(),
    };
    let routes = Router::new()
        .route("/", post(call).get(index))
        .route("/websocket", get(websocket))
        .route("/{method}", get(call_by_address))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(middleware::from_fn(open_to_browsers))
        .with_state(door);
    (routes, tokio::spawn(feed::follow(node, feed)))
}

/// Pages of any origin may ask here; there is nothing to steal.
async fn open_to_browsers(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Verb::OPTIONS => ().into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    response
}

fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn index() -> Response {
    let method = |m: &method::Method| json!({ "name": m.name, "params": m.params });
    page(json!({ "methods": METHODS.iter().map(method).collect::<Vec<_>>() }).to_string())
}

async fn call(State(door): State<Door>, body: Bytes) -> Response {
    page(answer(&door, &body).await)
}

/// The same methods by address: `/tx?hash=0x…`, `/block?height=7`, texts in quotation marks.
async fn call_by_address(
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let deadline = Instant::now() + txs::INCLUSION;
    let outcome = result(&door, &name, |_| Ok(Params::from_address(pairs)), deadline).await;
    page(reply(&json!(-1), outcome))
}

async fn websocket(
    State(door): State<Door>,
    Extension(visitor): Extension<Visitor>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(MAX_REQUEST).max_frame_size(MAX_REQUEST);
    upgrade.on_upgrade(move |socket| socket::talk(socket, door, visitor))
}

/// Answers a request or a batch of them, as JSON texts.
async fn answer(door: &Door, body: &[u8]) -> String {
    let deadline = Instant::now() + txs::INCLUSION;
    let batch = match serde_json::from_slice::<Value>(body) {
        Err(error) => return refusal(&Value::Null, -32700, &format!("not JSON: {error}")),
        Ok(Value::Array(batch)) => batch,
        Ok(request) => return one(door, request, deadline).await,
    };
    if batch.is_empty() || batch.len() > MAX_BATCH {
        return refusal(&Value::Null, -32600, &format!("a batch has 1 to {MAX_BATCH} requests"));
    }
    let mut answers = String::from("[");
    // One after the other: transactions of one sender keep their order.
    for request in batch {
        if answers.len() > 1 {
            answers.push(',');
        }
        let answer = match answers.len() {
            0..ANSWER_BYTES => one(door, request, deadline).await,
            _ => refusal(&request["id"], -32603, "the answers before this one fill the batch"),
        };
        answers.push_str(&answer);
    }
    answers + "]"
}

async fn one(door: &Door, mut request: Value, deadline: Instant) -> String {
    let Some((id, name)) = addressed(&request) else {
        return refusal(
            &Value::Null,
            -32600,
            "a request is an object with a method and an id that is a text or a number",
        );
    };
    let params = request.get_mut("params").map_or(Value::Null, Value::take);
    let outcome = result(door, &name, |names| Params::from_json(names, params), deadline).await;
    reply(&id, outcome)
}

/// Id and method of a request that has both in good order.
fn addressed(request: &Value) -> Option<(Value, String)> {
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let name = request.get("method")?.as_str()?.to_string();
    matches!(id, Value::Null | Value::String(_) | Value::Number(_)).then_some((id, name))
}

/// The result of a method, as JSON text.
async fn result(
    door: &Door,
    name: &str,
    params: impl FnOnce(&[&str]) -> Result<Params, Status>,
    deadline: Instant,
) -> Result<String, Status> {
    let method = method::find(name)?;
    let params = params(method.params)?;
    let node = door.node.clone();
    if method.name == "abci_query" {
        about::welcome(&node, &params).await;
    }
    let (turns, answer) = match method.answer {
        Answer::Now(answer) => (&door.calls, answer),
        Answer::Search(answer) => (&door.searches, answer),
        Answer::Included => {
            return Ok(txs::commit(&node, &params, &door.waiters, deadline).await?.to_string());
        }
        Answer::Socket => {
            return Err(Status::unknown(format!("{name} is a request of its own on /websocket")));
        }
    };
    // Closed only with the door.
    let _turn = turns.acquire().await.map_err(Status::unavailable)?;
    aside(move || Ok(answer(&node, &params)?.to_string())).await?
}

fn reply(id: &Value, outcome: Result<String, Status>) -> String {
    match outcome {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err(status) => {
            let code = match status.code {
                12 => -32601,
                3 => -32602,
                _ => -32603,
            };
            refusal(id, code, &status.message)
        }
    }
}

fn refusal(id: &Value, code: i32, message: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": "" } })
        .to_string()
}
