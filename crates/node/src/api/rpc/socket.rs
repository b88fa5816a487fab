//! One websocket connection: requests are answered, and every block's messages go to the subscriptions they satisfy. A
//! peer that does not read, or is gone without a word, is cut off with a reason.

use std::{ops::ControlFlow, time::Duration};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use serde_json::Value;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    Answers, Door, addressed, answer,
    feed::{self, Kind, Message, News, Told},
    query::Query,
    refusal, reply,
};
use crate::{
    api::Status,
    doors::{Share, Visitor},
};

/// Frames are smaller than this; clients close their end on larger ones.
const MAX_FRAME: usize = 1 << 20;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 64;
/// Requests of one connection that are answered at once; further ones are not read meanwhile.
const MAX_CALLS: usize = 16;
/// How long a frame may take to be accepted.
const SEND_TIME: Duration = Duration::from_secs(5);
/// How often a silent peer is asked for a sign of life, and how long it may take.
const PULSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(90));
/// Close codes: the peer broke a rule; the peer may try again later; this end goes away.
const POLICY: u16 = 1008;
const AGAIN: u16 = 1013;
const AWAY: u16 = 1001;

/// One subscription of a connection.
struct Subscription {
    id: Value,
    query: Query,
    kinds: Vec<Kind>,
}

/// Why a connection ends: a close code and words.
type End = (u16, String);

/// Serves a connection until either end is through.
pub(super) async fn talk(mut socket: WebSocket, door: Door, visitor: Visitor) {
    let places = (visitor.share(Share::Websocket), door.sockets.clone().try_acquire_owned());
    let end = match (places, door.feed.upgrade().map(|feed| feed.subscribe())) {
        ((Ok(_share), Ok(_place)), Some(feed)) => converse(&mut socket, &door, &visitor, feed).await,
        ((Err(why), _), _) => Err((AGAIN, why)),
        ((_, Err(_)), _) => Err((AGAIN, "too many connections: try again later".into())),
        (_, None) => Err((AWAY, "the node is stopping".into())),
    };
    let Err((code, reason)) = end else { return };
    tracing::debug!(code, reason, "websocket cut off");
    // The peer may not read these either; then the connection just ends.
    let error = Frame::Text(refusal(&Value::Null, -32000, &reason).into());
    let close = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
    for frame in [error, close] {
        if !matches!(timeout(SEND_TIME, socket.send(frame)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Ends well when the peer leaves, with a reason when it is sent away.
async fn converse(
    socket: &mut WebSocket,
    door: &Door,
    visitor: &Visitor,
    mut feed: Receiver<News>,
) -> Result<(), End> {
    let mut subscriptions: Vec<Subscription> = Vec::new();
    let mut calls: JoinSet<Answers> = JoinSet::new();
    let mut pulse = interval_at(Instant::now() + PULSE.0, PULSE.0);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let sent = tokio::select! {
            told = feed.recv() => match told {
                Ok(News::Block(told)) => tell(socket, &told, &subscriptions).await?,
                Ok(News::Unreadable(height)) => give_up(socket, height, &mut subscriptions).await?,
                Err(RecvError::Lagged(_)) if subscriptions.is_empty() => ControlFlow::Continue(()),
                Err(RecvError::Lagged(missed)) => {
                    let cause = format!("read too slowly: {} blocks behind, at most {} are kept", missed as usize + feed::QUEUE, feed::QUEUE);
                    return Err((POLICY, cause));
                }
                Err(RecvError::Closed) => return Err((AWAY, "the node is stopping".into())),
            },
            Some(answer) = calls.join_next(), if !calls.is_empty() => match answer {
                // A batch keeps its place until it is sent.
                Ok(Answers { text, batch: _place }) => send(socket, Frame::Text(text.into())).await?,
                // A panic has been told by the runtime; its request stays without an answer.
                Err(_) => ControlFlow::Continue(()),
            },
            frame = socket.recv(), if calls.len() < MAX_CALLS => {
                heard = Instant::now();
                let text = match frame {
                    Some(Ok(Frame::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Frame::Binary(bytes))) => bytes.to_vec(),
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                };
                if let Err(why) = visitor.may_ask() {
                    if send(socket, Frame::Text(refusal(&id_of(&text), -32603, &why).into())).await?.is_break() {
                        return Ok(());
                    }
                    continue;
                }
                match about_subscriptions(&text, &mut subscriptions) {
                    Some(answer) => send(socket, Frame::Text(answer.into())).await?,
                    None => {
                        let (door, visitor) = (door.clone(), visitor.clone());
                        calls.spawn(async move {
                            let answers = answer(&door, &visitor, &text, MAX_FRAME).await;
                            bounded(&text, answers)
                        });
                        ControlFlow::Continue(())
                    }
                }
            }
            _ = pulse.tick() => {
                if heard.elapsed() > PULSE.1 && calls.len() < MAX_CALLS {
                    return Err((POLICY, "no sign of life: pings are not answered".into()));
                }
                send(socket, Frame::Ping(Default::default())).await?
            }
        };
        if sent.is_break() {
            return Ok(());
        }
    }
}

/// Breaks when the connection is gone.
async fn send(socket: &mut WebSocket, frame: Frame) -> Result<ControlFlow<()>, End> {
    match timeout(SEND_TIME, socket.send(frame)).await {
        Ok(Ok(())) => Ok(ControlFlow::Continue(())),
        Ok(Err(_)) => Ok(ControlFlow::Break(())),
        Err(_) => Err((POLICY, format!("read too slowly: a frame waited {} seconds", SEND_TIME.as_secs()))),
    }
}

/// An answer that fits into a frame, or the error that says how large it is.
fn bounded(request: &[u8], answers: Answers) -> Answers {
    if answers.text.len() < MAX_FRAME {
        return answers;
    }
    refusal(&id_of(request), -32603, &too_large("the answer", answers.text.len())).into()
}

fn id_of(request: &[u8]) -> Value {
    let request = serde_json::from_slice::<Value>(request).ok();
    request.and_then(|request| addressed(&request)).map_or(Value::Null, |(id, _)| id)
}

fn too_large(what: &str, bytes: usize) -> String {
    format!("{what} has {bytes} bytes, a frame fewer than {MAX_FRAME}: ask for less, or over HTTP")
}

/// Answers what changes subscriptions; none if the request is about something else.
fn about_subscriptions(text: &[u8], subscriptions: &mut Vec<Subscription>) -> Option<String> {
    let request: Value = serde_json::from_slice(text).ok()?;
    let (id, name) = addressed(&request)?;
    let params = &request["params"];
    let query = if params.is_array() { &params[0] } else { &params["query"] };
    let done = match name.as_str() {
        "subscribe" => subscribe(&id, query, subscriptions),
        "unsubscribe" => unsubscribe(&id, query, subscriptions),
        "unsubscribe_all" => {
            subscriptions.clear();
            Ok(())
        }
        _ => return None,
    };
    Some(reply(&id, done.map(|()| "{}".into())))
}

fn subscribe(id: &Value, query: &Value, subscriptions: &mut Vec<Subscription>) -> Result<(), Status> {
    let text = query.as_str().ok_or_else(|| Status::invalid("query is a text"))?;
    let query = Query::parse(text).map_err(Status::invalid)?;
    // Asking for the same again, as clients do when they are not sure, changes nothing.
    if subscriptions.iter().any(|s| s.id == *id && s.query.text == text) {
        return Ok(());
    }
    if subscriptions.len() >= MAX_SUBSCRIPTIONS {
        return Err(Status::unknown(format!("at most {MAX_SUBSCRIPTIONS} subscriptions on a connection")));
    }
    let kinds = Kind::of(&query);
    subscriptions.push(Subscription { id: id.clone(), query, kinds });
    Ok(())
}

/// Removes the subscriptions of this id, and of this query if several have the id; without the id, those of the query.
fn unsubscribe(id: &Value, query: &Value, subscriptions: &mut Vec<Subscription>) -> Result<(), Status> {
    let same_id = |s: &Subscription| s.id == *id;
    let same_query = |s: &Subscription| query.as_str() == Some(&s.query.text);
    let rules: [&dyn Fn(&Subscription) -> bool; 3] =
        [&|s| same_id(s) && same_query(s), &same_id, &same_query];
    let rule = rules.into_iter().find(|rule| subscriptions.iter().any(rule));
    let rule = rule.ok_or_else(|| Status::not_found("subscription not found"))?;
    subscriptions.retain(|s| !rule(s));
    Ok(())
}

/// Sends a block's messages to whom they concern.
async fn tell(
    socket: &mut WebSocket,
    told: &Told,
    subscriptions: &[Subscription],
) -> Result<ControlFlow<()>, End> {
    for s in subscriptions {
        for message in told.messages(&s.query, &s.kinds) {
            let sent = send(socket, Frame::Text(fitting(told, s, &message).into())).await?;
            if sent.is_break() {
                return Ok(sent);
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Ends all subscriptions: each is told which block it would have missed in silence.
async fn give_up(
    socket: &mut WebSocket,
    height: u64,
    subscriptions: &mut Vec<Subscription>,
) -> Result<ControlFlow<()>, End> {
    for s in std::mem::take(subscriptions) {
        let why = format!(
            "block {height} cannot be told, so this subscription has ended: subscribe again, and ask another node \
             for the block"
        );
        let sent = send(socket, Frame::Text(refusal(&s.id, -32603, &why).into())).await?;
        if sent.is_break() {
            return Ok(sent);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A message as a frame; without what the query does not name if it is too large, or the error that says how large.
fn fitting<'a>(told: &'a Told, s: &Subscription, message: &Message<'a>) -> String {
    let name = message.kind.name();
    let around = frame(s, name, "", &message.labels).len();
    match told.content(message, &s.query, (MAX_FRAME - 1).saturating_sub(around)) {
        Ok(content) => frame(s, name, &content, &message.labels),
        Err(bytes) => {
            let what = format!("{name} of block {}", told.height);
            refusal(&s.id, -32603, &too_large(&what, around + bytes))
        }
    }
}

/// Contents are put in as they are: they have been made once for all who listen.
fn frame(s: &Subscription, name: &str, content: &str, labels: &Value) -> String {
    let (id, query) = (&s.id, Value::String(s.query.text.clone()));
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"query":{query},"data":{{"type":"tendermint/event/{name}","value":{content}}},"events":{labels}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use dodona_consensus::{Address, Block, BlockId, Body, Certificate, Header, Height};
    use serde_json::json;

    use super::*;
    use crate::{api::events::Typed, handle::Kept, records::Results};

    fn told(events: Vec<Typed>) -> Told {
        let header = Header {
            chain_id: "x".into(),
            height: Height(9),
            time_ms: 0,
            proposer: Address::default(),
            parent: BlockId::default(),
            body_root: [1; 32],
            app_hash: [2; 32],
            receipts_hash: [3; 32],
            validators_hash: [4; 32],
            next_validators_hash: [5; 32],
        };
        let certificate =
            Certificate { height: Height(9), round: 0, block_id: BlockId([6; 32]), signatures: Vec::new() };
        let results = Results { block_id: [6; 32], receipts: Vec::new(), events: Vec::new() };
        Told::new(Kept { block: Block { header, body: Body::default() }, certificate, results }, None, events)
    }

    fn event(kind: &str, bytes: usize) -> Typed {
        Typed { kind: kind.into(), attributes: vec![("a".into(), "x".repeat(bytes))] }
    }

    #[test]
    fn what_does_not_fit_is_cut_to_what_was_asked_for_and_then_to_an_error() {
        let told = told(vec![event("small", 9), event("large", 700_000), event("larger", 800_000)]);
        let frames = |query: &str| {
            let query = Query::parse(query).unwrap();
            let s = Subscription { id: json!("me"), kinds: Kind::of(&query), query };
            let messages = told.messages(&s.query, &s.kinds);
            messages
                .iter()
                .map(|m| serde_json::from_str(&fitting(&told, &s, m)).unwrap())
                .collect::<Vec<Value>>()
        };
        let kinds = |frame: &Value| {
            let value = &frame["result"]["data"]["value"];
            let list = value["events"].as_array().or(value["result_finalize_block"]["events"].as_array());
            list.unwrap().iter().map(|e| e["type"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        for name in ["NewBlockEvents", "NewBlock"] {
            let small = frames(&format!("tm.event='{name}' AND small.a EXISTS"));
            assert_eq!((small.len(), kinds(&small[0])), (1, vec!["small".to_string()]));
            let both = frames(&format!("tm.event='{name}' AND large.a EXISTS AND larger.a EXISTS"));
            assert_eq!((&both[0]["id"], &both[0]["error"]["code"]), (&json!("me"), &json!(-32603)));
            assert!(both[0]["error"]["message"].as_str().unwrap().contains("of block 9 has 15"), "{both:?}");
        }
        let header = frames("tm.event='NewBlockHeader'");
        assert_eq!(header[0]["result"]["data"]["value"]["header"]["height"], "9");
    }

    #[test]
    fn a_block_too_large_for_a_frame_is_rendered_once_however_many_listen() {
        let told = told(vec![event("small", 9), event("large", 1_100_000)]);
        let queries: Vec<Query> = (0..200)
            .map(|n| {
                Query::parse(&format!(
                    "tm.event='NewBlock' AND small.a CONTAINS 'x' AND block.height > {}",
                    n % 9
                ))
            })
            .map(Result::unwrap)
            .collect();
        let mut around = None;
        for (n, query) in queries.into_iter().enumerate() {
            let s = Subscription { id: json!(n), kinds: Kind::of(&query), query };
            for message in told.messages(&s.query, &s.kinds) {
                let text = fitting(&told, &s, &message);
                assert!(text.len() < 5_000 && text.contains("small"), "{}", text.len());
            }
            let (whole, now) = told.rendered();
            assert!(!whole, "what fits nobody's frame is not made");
            assert!(*around.get_or_insert(now) == now && now.is_some(), "made once");
        }
        // What it looks like is what it looked like when it was rendered in one piece.
        let small = told_of_small();
        let query = Query::parse("tm.event='NewBlock'").unwrap();
        let kinds = Kind::of(&query);
        let message = &small.messages(&query, &kinds)[0];
        let text = small.content(message, &query, MAX_FRAME).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(value["result_finalize_block"]["events"].as_array().unwrap().len(), 2);
    }

    fn told_of_small() -> Told {
        told(vec![event("small", 9), event("tiny", 1)])
    }
}
