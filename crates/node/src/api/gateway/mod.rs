//! The REST gateway of Cosmos nodes: every method that has a path in the schemas, by that path, in JSON. A transcoder
//! around the one dispatch table; no method is known here by name.

mod openapi;
mod pages;
mod read;
mod routes;
mod write;

use axum::{
    Extension,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::json;

use self::routes::{Found, Route};
use super::{Answered, Status, aside, call};
use crate::{NodeHandle, doors::Visitor};

pub(crate) use openapi::page as openapi;
pub(crate) use pages::{Ports, chain, docs, keplr};

/// Which state an answer is of; clients send it to ask about an earlier one.
const HEIGHT: HeaderName = HeaderName::from_static("x-cosmos-block-height");
/// The same as gateways call it in answers, and some clients in questions.
const GRPC_HEIGHT: HeaderName = HeaderName::from_static("grpc-metadata-x-cosmos-block-height");

/// An answer, or why there is none, as published gateways tell it.
impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message, "details": [] });
        (http_status(self.code), axum::Json(body)).into_response()
    }
}

/// HTTP's number for one of gRPC. What a client did wrong is 4xx, a failed trial of a transaction included.
pub(super) fn http_status(code: u32) -> StatusCode {
    match code {
        2 | 3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers whatever no page of ours answers.
pub(crate) async fn answer(
    State(node): State<NodeHandle>,
    Extension(visitor): Extension<Visitor>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // HEAD is GET whose body the server leaves out.
    let verb = if method == Method::HEAD { Method::GET } else { method };
    let (route, path) = match routes::find(verb.as_str(), uri.path()) {
        Found::Route(route, path) => (route, path),
        Found::Other(verbs) => {
            let message = format!("{verb} does not reach this path; {} does", verbs.join(" or "));
            let mut response = Status { code: 12, message }.into_response();
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            if let Ok(allowed) = HeaderValue::from_str(&verbs.join(", ")) {
                response.headers_mut().insert(header::ALLOW, allowed);
            }
            return response;
        }
        Found::Nothing => return Status::not_found("no such page; /docs lists them").into_response(),
    };
    match transcode(node, &visitor, route, &path, &uri, &headers, &body).await {
        Ok(response) => response,
        Err(status) => status.into_response(),
    }
}

async fn transcode(
    node: NodeHandle,
    visitor: &Visitor,
    route: &'static Route,
    path: &[(String, String)],
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Status> {
    let at = asked_height(headers)?;
    let mut request = if route.body {
        read::body(route.request.clone(), body)?
    } else {
        let mut request = DynamicMessage::new(route.request.clone());
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(Status::invalid)?;
        read::fields(&mut request, &given)?;
        request
    };
    read::fields(&mut request, path)?;
    let request = request.encode_to_vec();
    if at == 0 {
        super::welcome(&node, visitor, &route.method, &request).await;
    }
    let Answered { height, bytes } = call(node, route.method.clone(), request, at).await?;
    let text = aside(move || render(route, &bytes)).await??;
    let kind = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    response.headers_mut().insert(HEIGHT, HeaderValue::from(height));
    response.headers_mut().insert(GRPC_HEIGHT, HeaderValue::from(height));
    Ok(response)
}

fn asked_height(headers: &HeaderMap) -> Result<u64, Status> {
    let Some(text) = headers.get(HEIGHT).or_else(|| headers.get(GRPC_HEIGHT)) else { return Ok(0) };
    let number = text.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Status::invalid(format!("{HEIGHT} is a block height, in digits")))
}

fn render(route: &Route, answer: &[u8]) -> Result<String, Status> {
    let message = DynamicMessage::decode(route.answer.clone(), answer).map_err(Status::internal)?;
    write::json(&message).map_err(|write::TooLong| Status {
        code: 8,
        message: format!("the answer is longer than {} bytes; ask for a smaller page", write::MAX_ANSWER),
    })
}

/// What stands in a head of the gateway's answers and may be read by scripts of other origins.
pub(crate) fn open_to_browsers(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, any);
    let methods = HeaderValue::from_static("GET, POST, HEAD, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("*, content-type, authorization, x-cosmos-block-height");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
}
