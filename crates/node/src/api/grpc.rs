//! gRPC without generated services: HTTP/2 in clear text, one catch-all page that takes the message out of its frame,
//! asks the dispatch table and puts the answer into a frame with trailers.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, header},
};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::task::JoinHandle;

use super::{Status, dispatch};
use crate::{NodeHandle, RestError};

/// Largest request message, bytes.
const MAX_MESSAGE: usize = 4 << 20;

/// Serves until the task is aborted.
pub(crate) fn serve(
    listener: TcpListener,
    node: NodeHandle,
) -> Result<(SocketAddr, JoinHandle<()>), RestError> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let routes = Router::new().fallback(call).with_state(node);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "gRPC door closed");
        }
    });
    Ok((address, task))
}

async fn call(State(node): State<NodeHandle>, request: Request) -> Response<Body> {
    let method = request.uri().path().to_string();
    let outcome = match to_bytes(request.into_body(), MAX_MESSAGE + 5).await {
        Ok(body) => answer(node, method, body).await,
        Err(_) => Err(Status::invalid(format!("a request has at most {MAX_MESSAGE} bytes"))),
    };
    framed(outcome)
}

async fn answer(node: NodeHandle, method: String, body: Bytes) -> Result<Vec<u8>, Status> {
    // One byte says whether the message is compressed, four how long it is.
    let (Some(head), Some(message)) = (body.first_chunk::<5>(), body.get(5..)) else {
        return Err(Status::invalid("the request holds no message"));
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 || message.len() != length {
        return Err(Status::invalid("send one message, not compressed"));
    }
    let message = message.to_vec();
    // Answers read the disk.
    tokio::task::spawn_blocking(move || dispatch(&node, &method, &message))
        .await
        .map_err(|_| Status::internal("the answer was interrupted"))?
}

fn framed(outcome: Result<Vec<u8>, Status>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> = Vec::with_capacity(2);
    match outcome {
        Ok(message) => {
            let mut data = Vec::with_capacity(message.len() + 5);
            data.push(0);
            data.extend_from_slice(&(message.len() as u32).to_be_bytes());
            data.extend_from_slice(&message);
            frames.push(Ok(Frame::data(data.into())));
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Err(status) => {
            trailers.insert("grpc-status", HeaderValue::from(status.code));
            let text: String = status
                .message
                .bytes()
                .map(|b| match b {
                    b' '..=b'~' if b != b'%' => char::from(b).to_string(),
                    other => format!("%{other:02X}"),
                })
                .collect();
            if let Ok(text) = HeaderValue::from_str(&text) {
                trailers.insert("grpc-message", text);
            }
        }
    }
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
