//! gRPC without generated services: one catch-all page takes the message out of its frame, asks the dispatch table and
//! puts the answer into a frame with trailers. Reflection, health and the dialect of browsers (gRPC-web) are libraries'.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header},
    middleware::{self, Next},
    response::IntoResponse,
};
use dodona_proto::DESCRIPTORS;
use http_body::Frame;
use http_body_util::{LengthLimitError, StreamBody};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tonic_reflection::server::Builder as Reflection;
use tonic_web::GrpcWebLayer;

use super::{Answered, Status, call};
use crate::{NodeHandle, doors::Visitor};

/// Largest request message, bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// Largest request of reflection and health, bytes.
const MAX_QUESTION: usize = 16 << 10;
/// Longest text of a refusal, bytes before escaping.
const MAX_TEXT: usize = 1 << 10;
/// The height whose state is asked for, and in the answer the height it is of.
const HEIGHT: HeaderName = HeaderName::from_static("x-cosmos-block-height");

/// What the door serves.
pub(crate) fn routes(node: NodeHandle) -> Router {
    let reflection = || {
        let ours = Reflection::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        ours.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().expect("the schemas decode: they were compiled with this program");
    let v1alpha = reflection().build_v1alpha().expect("the same schemas");
    let health = HealthServer::new(Pulse(node.clone())).max_decoding_message_size(MAX_QUESTION);
    Router::new()
        .route_service(
            "/grpc.reflection.v1.ServerReflection/{method}",
            v1.max_decoding_message_size(MAX_QUESTION),
        )
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            v1alpha.max_decoding_message_size(MAX_QUESTION),
        )
        .route_service("/grpc.health.v1.Health/{method}", health)
        .fallback(serve_call)
        .with_state(node)
        .layer(GrpcWebLayer::new())
        .layer(middleware::from_fn(receive))
}

/// Whether the node makes blocks, for load balancers.
struct Pulse(NodeHandle);

#[tonic::async_trait]
impl Health for Pulse {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        // All services are one dispatch table: what is known is as well as the node.
        let service = &request.get_ref().service;
        if !service.is_empty() && !super::serves(service) {
            return Err(tonic::Status::not_found("no such service here"));
        }
        let alive = self.0.heads().has_changed().is_ok();
        let status = if alive { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(tonic::Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, tonic::Status>>;

    /// Not served: clients take that for "healthy, and not watched", and no stream stays open.
    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("watching is not served here: use Check"))
    }
}

/// Answers browsers' questions for permission and tells everything that is no gRPC so; the rest goes on.
async fn receive(mut request: Request, next: Next) -> Response<Body> {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"application/grpc-web-text") {
        // Who sends text understands text, whatever it forgot to say.
        let text = HeaderValue::from_static("application/grpc-web-text");
        request.headers_mut().insert(header::ACCEPT, text);
    }
    let web = kind.starts_with(b"application/grpc-web");
    let mut response = if *request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if *request.method() != Method::POST {
        let allow = [(header::ALLOW, "POST, OPTIONS")];
        (StatusCode::METHOD_NOT_ALLOWED, allow, "this door speaks gRPC: POST\n").into_response()
    } else if !kind.starts_with(b"application/grpc") {
        let text = "this door speaks gRPC: content-type application/grpc or application/grpc-web\n";
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response()
    } else if request.version() != Version::HTTP_2 && !web {
        let text = "gRPC needs HTTP/2; over HTTP/1.1 send application/grpc-web\n";
        (StatusCode::BAD_REQUEST, text).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, x-grpc-web, x-user-agent, grpc-timeout, x-cosmos-block-height",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "grpc-status, grpc-message, x-cosmos-block-height"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn serve_call(State(node): State<NodeHandle>, request: Request) -> Response<Body> {
    let begun = Instant::now();
    let time = match request.headers().get("grpc-timeout").map(timeout) {
        None => None,
        Some(Some(time)) => Some(time),
        Some(None) => return framed(Err(Status::invalid("grpc-timeout is not understood"))),
    };
    let height = match height(request.headers()) {
        Ok(height) => height,
        Err(status) => return framed(Err(status)),
    };
    let answer = answer(node, height, request);
    let outcome = match time {
        None => answer.await,
        // The timer counts milliseconds; what came too late by less is too late all the same.
        Some(time) => match tokio::time::timeout(time, answer).await {
            Ok(outcome) if begun.elapsed() <= time => outcome,
            _ => Err(Status { code: 4, message: "the deadline has passed".into() }),
        },
    };
    framed(outcome)
}

/// `100m` and the like: at most eight digits and a unit.
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3_600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

/// The height whose state is wanted; 0 is the newest.
fn height(headers: &HeaderMap) -> Result<u64, Status> {
    let Some(text) = headers.get(HEIGHT) else { return Ok(0) };
    let number = text.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    number.ok_or_else(|| Status::invalid(format!("{HEIGHT} is not a height")))
}

async fn answer(node: NodeHandle, height: u64, request: Request) -> Result<Answered, Status> {
    let encoding = request.headers().get("grpc-encoding").cloned();
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(Status { code: 12, message: "compressed messages are not taken: send identity".into() });
    }
    let method = request.uri().path().to_string();
    let visitor = request.extensions().get::<Visitor>().cloned();
    let body = to_bytes(request.into_body(), MAX_MESSAGE + 5).await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(|cause| cause.is::<LengthLimitError>()) {
            return Status { code: 8, message: format!("a request has at most {MAX_MESSAGE} bytes") };
        }
        Status::invalid("the request breaks off")
    })?;
    let message = unframed(&body)?.to_vec();
    if let (0, Some(visitor)) = (height, &visitor) {
        super::welcome(&node, visitor, &method, &message).await;
    }
    call(node, method, message, height).await
}

/// The one message in a body: a byte says whether it is compressed, four how long it is.
fn unframed(body: &[u8]) -> Result<&[u8], Status> {
    let (Some(head), Some(rest)) = (body.first_chunk::<5>(), body.get(5..)) else {
        return Err(Status::invalid("the request holds no message"));
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    match head[0] {
        0 => {}
        1 => return Err(Status::invalid("the message says it is compressed, its grpc-encoding does not")),
        _ => return Err(Status::invalid("the request is not framed as gRPC")),
    }
    if length > MAX_MESSAGE {
        return Err(Status { code: 8, message: format!("a request has at most {MAX_MESSAGE} bytes") });
    }
    match rest.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(Status::invalid("the message is shorter than its frame says")),
        std::cmp::Ordering::Equal => Ok(rest),
        std::cmp::Ordering::Greater => {
            Err(Status::invalid("send one message: there is more after the first"))
        }
    }
}

fn framed(outcome: Result<Answered, Status>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> = Vec::with_capacity(2);
    let height = outcome.as_ref().map(|answered| answered.height).ok();
    match outcome {
        Ok(Answered { bytes: message, .. }) => {
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
                .take(MAX_TEXT)
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
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    if let Some(height) = height {
        headers.insert(HEIGHT, HeaderValue::from(height));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| timeout(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for bad in ["", "S", "5", "123456789S", "-1S", "1s", "1.5S", " 1S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_is_one_plain_message_or_refused() {
        assert_eq!(unframed(&[0, 0, 0, 0, 2, 7, 8]).unwrap(), [7, 8]);
        assert!(unframed(&[0, 0, 0, 0, 0]).unwrap().is_empty());
        for (bad, code) in [
            (&[][..], 3),
            (&[0, 0, 0], 3),
            (&[1, 0, 0, 0, 0], 3),
            (&[9, 0, 0, 0, 0], 3),
            (&[0, 0, 0, 0, 3, 7, 8], 3),
            (&[0, 0, 0, 0, 1, 7, 8], 3),
            (&[0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1, 7], 3),
            (&[0, 255, 255, 255, 255, 7], 8),
        ] {
            assert_eq!(unframed(bad).unwrap_err().code, code, "{bad:?}");
        }
    }
}
