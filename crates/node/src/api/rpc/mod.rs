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

use std::{sync::Arc, time::Duration};

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
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::Instant,
};

use self::{
    feed::News,
    method::{Answer, METHODS},
    params::Params,
};
use super::{Status, aside};
use crate::{
    NodeHandle,
    doors::{self, Share, Shared, Visitor},
    follower::Follower,
};

/// Which dialect of the RPC this is; clients look at its beginning.
pub(crate) const DIALECT: &str = "0.38.17";
/// Largest frame and body taken, bytes.
const MAX_REQUEST: usize = 1 << 20;
/// Bytes at which a list of an answer is cut off with an error.
const ANSWER_BYTES: usize = 16 << 20;
/// Requests in one batch.
const MAX_BATCH: usize = 32;
/// Bytes of all answers to one batch over HTTP.
const BATCH_BYTES: usize = 8 << 20;
/// Batches whose answers are computed or on their way, of all visitors; others wait for so long.
const MAX_BATCHES: usize = 16;
const BATCH_PATIENCE: Duration = Duration::from_secs(3);
/// Requests answered at once; others wait.
const MAX_CALLS: usize = 64;
/// Requests that wait for their transaction's block at once.
const MAX_WAITERS: usize = 256;
/// Websocket connections.
const MAX_SOCKETS: usize = 1_024;

/// What every request has at hand.
#[derive(Clone)]
struct Door {
    node: NodeHandle,
    calls: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    /// Weak, so that connections end when the feed does.
    feed: broadcast::WeakSender<News>,
}

/// What the door serves, and the task that tells its subscribers of blocks; without that task nobody is told.
pub(crate) fn routes(node: NodeHandle) -> (Router, Follower) {
    let (door, feed) = door(node.clone());
    (paths(door), Follower::start(|farewell| feed::follow(node, feed, farewell)))
}

/// What requests have at hand, and where subscribers are told from.
fn door(node: NodeHandle) -> (Door, broadcast::Sender<News>) {
    let feed = broadcast::Sender::new(feed::QUEUE);
    let door = Door {
        node,
        calls: Arc::new(Semaphore::new(MAX_CALLS)),
        batches: Arc::new(Semaphore::new(MAX_BATCHES)),
        waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
        sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
        feed: feed.downgrade(),
    };
    (door, feed)
}

fn paths(door: Door) -> Router {
    Router::new()
        .route("/", post(call).get(index))
        .route("/websocket", get(websocket))
        .route("/{method}", get(call_by_address))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(middleware::from_fn(open_to_browsers))
        .with_state(door)
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

async fn call(State(door): State<Door>, Extension(visitor): Extension<Visitor>, body: Bytes) -> Response {
    let Answers { text, batch } = answer(&door, &visitor, &body, BATCH_BYTES).await;
    doors::hold(page(text), batch)
}

/// The same methods by address: `/tx?hash=0x…`, `/block?height=7`, texts in quotation marks.
async fn call_by_address(
    State(door): State<Door>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let deadline = Instant::now() + txs::INCLUSION;
    let params = |_: &[&str]| Ok(Params::from_address(pairs));
    let outcome = result(&door, &visitor, &name, params, deadline).await;
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

/// Answers to a request, or to a batch with the places it takes up until they are sent.
struct Answers {
    text: String,
    batch: Option<(Shared, OwnedSemaphorePermit)>,
}

impl From<String> for Answers {
    fn from(text: String) -> Self {
        Self { text, batch: None }
    }
}

/// Answers a request or a batch of them, as JSON texts; those to a batch have `most` bytes together. Whoever asks has
/// paid for one request.
async fn answer(door: &Door, visitor: &Visitor, body: &[u8], most: usize) -> Answers {
    let deadline = Instant::now() + txs::INCLUSION;
    let batch = match serde_json::from_slice::<Value>(body) {
        Err(error) => return refusal(&Value::Null, -32700, &format!("not JSON: {error}")).into(),
        Ok(Value::Array(batch)) => batch,
        Ok(request) => return one(door, visitor, request, deadline).await.into(),
    };
    if batch.is_empty() || batch.len() > MAX_BATCH {
        return refusal(&Value::Null, -32600, &format!("a batch has 1 to {MAX_BATCH} requests")).into();
    }
    let share = match visitor.share(Share::Batch) {
        Ok(share) => share,
        Err(why) => return refusal(&Value::Null, -32603, &why).into(),
    };
    let Ok(Ok(place)) = tokio::time::timeout(BATCH_PATIENCE, door.batches.clone().acquire_owned()).await
    else {
        let why = "too many batches at the same time: send requests one by one, or try again in a second";
        return refusal(&Value::Null, -32603, why).into();
    };
    let mut text = String::from("[");
    // One after the other: transactions of one sender keep their order.
    for (index, request) in batch.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let id = request["id"].clone();
        let full =
            || refusal(&id, -32603, &format!("a batch is answered with {most} bytes: ask in smaller ones"));
        // The first one is paid for.
        let paid = if index == 0 { Ok(()) } else { visitor.may_ask() };
        let answer = match paid {
            Err(why) => refusal(&id, -32603, &why),
            Ok(()) if text.len() >= most => full(),
            Ok(()) => one(door, visitor, request, deadline).await,
        };
        // Room for the bracket at the end.
        let fits = text.len() + answer.len() < most;
        text.push_str(&if fits { answer } else { full() });
    }
    Answers { text: text + "]", batch: Some((share, place)) }
}

async fn one(door: &Door, visitor: &Visitor, mut request: Value, deadline: Instant) -> String {
    let Some((id, name)) = addressed(&request) else {
        return refusal(
            &Value::Null,
            -32600,
            "a request is an object with a method and an id that is a text or a number",
        );
    };
    let params = request.get_mut("params").map_or(Value::Null, Value::take);
    let params = |names: &[&str]| Params::from_json(names, params);
    let outcome = result(door, visitor, &name, params, deadline).await;
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
    visitor: &Visitor,
    name: &str,
    params: impl FnOnce(&[&str]) -> Result<Params, Status>,
    deadline: Instant,
) -> Result<String, Status> {
    let method = method::find(name)?;
    let params = params(method.params)?;
    let node = door.node.clone();
    if method.name == "abci_query" {
        about::welcome(&node, visitor, &params).await;
    }
    let (searching, answer) = match method.answer {
        Answer::Now(answer) => (method.name == "abci_query" && about::searches(&params), answer),
        Answer::Search(answer) => (true, answer),
        Answer::Included => {
            return Ok(txs::commit(&node, &params, &door.waiters, deadline).await?.to_string());
        }
        Answer::Socket => {
            return Err(Status::unknown(format!("{name} is a request of its own on /websocket")));
        }
    };
    let reader = node.clone();
    let work = move || Ok(answer(&reader, &params)?.to_string());
    if searching {
        return super::searching(&node, work).await?;
    }
    // Closed only with the door.
    let _turn = door.calls.acquire().await.map_err(Status::unavailable)?;
    aside(work).await?
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

/// What a method answers, as if it were asked at a door.
#[cfg(test)]
pub(super) async fn ask(node: NodeHandle, name: &'static str, params: Value) -> Result<String, Status> {
    let (door, _feed) = door(node);
    let params = |names: &[&str]| Params::from_json(names, params);
    let visitor = Visitor::stranger(doors::DoorLimits::default());
    result(&door, &visitor, name, params, Instant::now() + txs::INCLUSION).await
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message as Word;

    use super::*;
    use crate::{api::tests::node, doors::DoorLimits};

    fn batch(methods: &[&str]) -> Vec<u8> {
        let request = |(id, method): (usize, &&str)| json!({ "id": id, "method": method });
        json!(methods.iter().enumerate().map(request).collect::<Vec<_>>()).to_string().into_bytes()
    }

    fn parsed(answers: &Answers) -> Value {
        serde_json::from_str(&answers.text).unwrap()
    }

    fn why(answer: &Value) -> &str {
        answer["error"]["message"].as_str().unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_costs_what_its_requests_cost_and_is_bounded_in_bytes_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let (node, _gate) = node(dir.path()).await;
        let (door, _feed) = door(node.handle().clone());
        let patient = DoorLimits { requests_per_second: 1, burst: 10, ..DoorLimits::default() };

        let visitor = Visitor::stranger(patient);
        visitor.may_ask().unwrap();
        let answers = parsed(&answer(&door, &visitor, &batch(&["health"; 32]), BATCH_BYTES).await);
        let answers = answers.as_array().unwrap();
        let paid = answers.iter().filter(|a| a["result"] == json!({})).count();
        // One was paid for before; meanwhile a second or two may have passed.
        assert!((10..=13).contains(&paid) && answers.len() == 32, "{paid}");
        assert!(why(&answers[31]).contains("too many requests"), "{}", answers[31]);

        // What does not fit is refused one by one, what comes behind it and fits is answered.
        let visitor = Visitor::stranger(DoorLimits::default());
        let asked = batch(&["health", "genesis", "health"]);
        let answers = parsed(&answer(&door, &visitor, &asked, 1_000).await);
        assert!(answers.to_string().len() < 1_000);
        assert_eq!((&answers[0]["result"], &answers[2]["result"]), (&json!({}), &json!({})));
        assert!(why(&answers[1]).contains("answered with 1000 bytes"), "{answers}");
        let nothing = parsed(&answer(&door, &visitor, &asked, 0).await);
        assert!(nothing.as_array().unwrap().iter().all(|a| why(a).contains("smaller ones")), "{nothing}");

        // Answers that wait to be read take up places: eight of a visitor, sixteen in all.
        let mut unread = Vec::new();
        for _ in 0..2 {
            let visitor = Visitor::stranger(DoorLimits::default());
            for _ in 0..8 {
                let answers = answer(&door, &visitor, &batch(&["health"]), BATCH_BYTES).await;
                assert!(answers.batch.is_some(), "{}", answers.text);
                unread.push(answers);
            }
            let refused = parsed(&answer(&door, &visitor, &batch(&["health"]), BATCH_BYTES).await);
            assert!(why(&refused).contains("from your address"), "{refused}");
        }
        let late = parsed(&answer(&door, &visitor, &batch(&["health"]), BATCH_BYTES).await);
        assert!(why(&late).contains("one by one"), "{late}");
        let single = answer(&door, &visitor, br#"{ "id": 1, "method": "health" }"#, BATCH_BYTES).await;
        assert_eq!(parsed(&single)["result"], json!({}));
        unread.clear();
        assert!(answer(&door, &visitor, &batch(&["health"]), BATCH_BYTES).await.batch.is_some());
        node.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_would_miss_a_block_is_told_and_can_begin_again() {
        let dir = tempfile::tempdir().unwrap();
        let (node, _gate) = node(dir.path()).await;
        let (door, feed) = door(node.handle().clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = doors::Doors::new(DoorLimits::default()).open("RPC", listener, paths(door)).unwrap();
        let url = format!("ws://{address}/websocket");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let subscribe = |id: &str| {
            let query = "tm.event='NewBlock'";
            let request = json!({ "id": id, "method": "subscribe", "params": [query] });
            Word::text(request.to_string())
        };
        for id in ["a", "b", "c"] {
            socket.send(subscribe(id)).await.unwrap();
        }
        let mut heard = Vec::new();
        let hear = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| {
            let word = socket.next().await.unwrap().unwrap();
            serde_json::from_str::<Value>(word.to_text().unwrap()).unwrap()
        };
        for _ in 0..3 {
            assert_eq!(hear(&mut socket).await["result"], json!({}));
        }
        assert!(feed.send(News::Unreadable(7)).is_ok());
        for _ in 0..3 {
            let told = hear(&mut socket).await;
            assert!(why(&told).contains("block 7 cannot be told"), "{told}");
            heard.push(told["id"].as_str().unwrap().to_string());
        }
        assert_eq!(heard, ["a", "b", "c"]);
        // The connection stays, nothing is told twice, and who subscribes again hears of it again.
        socket.send(subscribe("d")).await.unwrap();
        assert_eq!(hear(&mut socket).await["result"], json!({}));
        assert!(feed.send(News::Unreadable(8)).is_ok());
        assert_eq!(hear(&mut socket).await["id"], "d");
        drop(socket);
        open.close().await;
        node.stop().await.unwrap();
    }
}
