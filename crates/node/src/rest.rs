//! The REST door: the gateway of Cosmos nodes for wallets and explorers, and our own pages beside it. Here is what
//! holds for all of them: how large a question is, and that browsers may ask from anywhere.

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    NodeHandle,
    api::{gateway, native},
};

/// Largest request body, bytes: a transaction in base64 with room around it.
const MAX_BODY: usize = 512 << 10;
/// What programs that read texts are told first; plain text.
const LLMS: &str = include_str!("../../../llms.txt");

/// What the door serves; `ports` are those of the other doors, for the cards of the chain.
pub(crate) fn routes(node: NodeHandle, ports: gateway::Ports) -> Router {
    let pages = native::routes();
    Router::new()
        .route("/", get(native::index))
        .route("/openapi.json", get(gateway::openapi))
        .route("/docs", get(gateway::docs))
        .route("/llms.txt", get(|| async { LLMS }))
        .route("/.well-known/dodona/chain.json", get(gateway::chain))
        .route("/.well-known/keplr/chain.json", get(gateway::keplr))
        // Where our own pages are, and where they were before there was anything else.
        .nest("/dodona/v1", pages.clone())
        .merge(pages)
        .fallback(gateway::answer)
        // This door is where it was found, also behind a proxy.
        .layer(Extension(gateway::Ports { rest: None, ..ports }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(open))
        .with_state(node)
}

/// Pages of other origins may read everything here: there is nothing a visitor's browser would add to a question.
async fn open(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    gateway::open_to_browsers(response.headers_mut());
    response
}
