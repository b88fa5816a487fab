//! Server-sent events for the dashboard: after every block the node's status and what the block was about, so that a
//! page asks for what has changed and for nothing else. Who finds no room asks for the status now and then instead.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use dodona_proto::{
    chain::{QueryStatusRequest, QueryStatusResponse},
    path,
};
use futures::stream;
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::Instant,
};

use super::{
    Status, aside,
    native::{Answer, Problem},
};
use crate::{
    Head, NodeHandle,
    doors::{Share, Shared, Visitor},
    records,
};

/// Streams at once, of all nodes in this process.
static STREAMS: Semaphore = Semaphore::const_new(64);
/// How long a stream lasts: less than what doors allow an exchange. Browsers come again by themselves.
const LASTS: Duration = Duration::from_secs(50);
/// How long they wait before that, ms.
const RETRY: Duration = Duration::from_millis(500);
/// Least time between two messages: faster chains are told of by their newest block.
const PAUSE: Duration = Duration::from_millis(250);
/// How often something is sent where no block is made.
const ALIVE: Duration = Duration::from_secs(10);
/// Blocks looked at for one message; of more than that only the number is told.
const LOOKED_AT: u64 = 16;

pub(super) fn routes() -> Router<NodeHandle> {
    Router::new().route("/live", get(live))
}

/// One stream.
struct Listener {
    node: NodeHandle,
    heads: watch::Receiver<Head>,
    /// The newest block told of.
    height: u64,
    next: Instant,
    end: Instant,
    _place: SemaphorePermit<'static>,
    _share: Option<Shared>,
}

async fn live(State(node): State<NodeHandle>, visitor: Option<Extension<Visitor>>) -> Answer {
    let busy = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let share = visitor.map(|Extension(visitor)| visitor.share(Share::Live)).transpose().map_err(busy)?;
    let place = STREAMS
        .try_acquire()
        .map_err(|_| busy("all live streams are taken: ask /dodona/v1/status now and then".into()))?;
    let now = Instant::now();
    let (heads, end) = (node.heads(), now + LASTS);
    let listener = Listener { node, heads, height: 0, next: now, end, _place: place, _share: share };
    let events = stream::unfold(listener, next);
    let kept = KeepAlive::new().interval(ALIVE);
    let mut response: Response = Sse::new(events).keep_alive(kept).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold the news back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// The next message, once there is a block that was not told of.
async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    tokio::time::sleep_until(listener.next.min(listener.end)).await;
    let after = listener.height;
    let found = tokio::time::timeout_at(listener.end, async {
        if after == 0 {
            return Some(listener.heads.borrow_and_update().height);
        }
        listener.heads.wait_for(|head| head.height != after).await.ok().map(|head| head.height)
    });
    // Ends with the node, and when it is time.
    let height = found.await.ok()??;
    let node = listener.node.clone();
    let news = aside(move || message(&node, after)).await.ok()?.ok()?;
    listener.height = height;
    listener.next = Instant::now() + PAUSE;
    Some((Ok(Event::default().retry(RETRY).data(news)), listener))
}

/// The status, and which topics and subnets the blocks after `after` tell of.
fn message(node: &NodeHandle, after: u64) -> Result<String, Status> {
    let bytes = node.query(path::STATUS, &QueryStatusRequest {}.encode_to_vec())?;
    let status = QueryStatusResponse::decode(bytes.as_slice()).map_err(Status::internal)?;
    let height = status.height;
    let known = after > 0 && after <= height && height - after <= LOOKED_AT;
    let mut topics: Vec<u64> = Vec::new();
    if known {
        for height in after + 1..=height {
            let Some(results) = records::results(node.app().store(), height)? else { continue };
            let of_txs = results.receipts.iter().flat_map(|receipt| &receipt.events);
            for (key, value) in results.events.iter().chain(of_txs).flat_map(|event| &event.attributes) {
                if key == "topic_id" {
                    topics.extend(value.parse::<u64>().ok());
                }
            }
        }
        topics.sort_unstable();
        topics.dedup();
    }
    let all: Value = if known { json!(topics) } else { Value::Null };
    Ok(json!({ "status": status, "topics": all }).to_string())
}

#[cfg(test)]
mod tests {
    use dodona_consensus::Height;

    use super::*;
    use crate::api::tests;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_holds_its_place_while_it_is_read_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let (node, gate) = tests::node(dir.path()).await;
        let handle = node.handle().clone();
        gate.open_until(Height(2));
        handle.reached(2).await;
        let told: Value = serde_json::from_str(&message(&handle, 0).unwrap()).unwrap();
        assert_eq!(told["topics"], Value::Null, "whoever begins to listen may have missed anything");
        let told: Value = serde_json::from_str(&message(&handle, 1).unwrap()).unwrap();
        assert_eq!((&told["topics"], &told["status"]["chain_id"]), (&json!([]), &json!("localnet")));

        let ask = async || match live(State(handle.clone()), None).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        };
        let mut open = Vec::new();
        while STREAMS.available_permits() > 0 {
            open.push(ask().await);
        }
        assert!(open.iter().all(|response| response.status() == StatusCode::OK));
        assert_eq!(ask().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        open.pop();
        assert_eq!(ask().await.status(), StatusCode::OK);
        node.stop().await.unwrap();
    }
}
