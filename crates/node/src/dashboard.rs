//! The dashboard's door: a page for people, built from `web/` and kept in the binary, and on the same origin the pages
//! it reads. So its browser is told to speak to nobody else, and no setting is needed.

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

use crate::{
    NodeHandle,
    api::{gateway, native},
};

/// Largest request body, bytes. The page only reads; the gateway behind it takes questions as JSON.
const MAX_BODY: usize = 64 << 10;

/// A file of the page, as `web/` builds it.
struct Asset {
    name: &'static str,
    mime: &'static str,
    bytes: &'static [u8],
}

const INDEX: Asset = Asset {
    name: "index.html",
    mime: "text/html; charset=utf-8",
    bytes: include_bytes!("../assets/dashboard/index.html"),
};

/// Everything but the page itself; whatever is not named here does not exist, so no path leads elsewhere.
const ASSETS: &[Asset] = &[
    Asset {
        name: "app.js",
        mime: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/dashboard/assets/app.js"),
    },
    Asset {
        name: "app.css",
        mime: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/dashboard/assets/app.css"),
    },
    // Only for those who sign something.
    Asset {
        name: "wallet.js",
        mime: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/dashboard/assets/wallet.js"),
    },
    Asset {
        name: "verify.wasm",
        mime: "application/wasm",
        bytes: include_bytes!("../assets/dashboard/assets/verify.wasm"),
    },
];

/// What a browser that shows the page is told to keep to.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// What the door serves; `ports` are those of the other doors, for the snippet that a newcomer copies.
pub(crate) fn routes(node: NodeHandle, ports: gateway::Ports) -> Router {
    Router::new()
        .route("/", get(async |headers: HeaderMap| file(&INDEX, &headers)))
        .route("/assets/{name}", get(asset))
        .route("/.well-known/dodona/chain.json", get(gateway::chain))
        .route("/.well-known/keplr/chain.json", get(gateway::keplr))
        .route("/openapi.json", get(gateway::openapi))
        .nest("/dodona/v1", native::routes())
        .fallback(gateway::answer)
        .layer(Extension(ports))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guarded))
        .with_state(node)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => file(asset, &headers),
        None => (StatusCode::NOT_FOUND, "no such file; the page is at /\n").into_response(),
    }
}

/// The file, or the word that what the browser has is still right: names stay, so it asks every time.
fn file(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(asset.bytes)[..16]));
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let about = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())];
    if same {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, asset.mime)], Bytes::from_static(asset.bytes)).into_response()
}

/// The policy stands on every answer, errors included.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
