//! Our own pages in JSON: status, blocks, accounts, topics, epochs, leaderboard, transactions. Thin: parse, ask the
//! handle, render. What published clients ask is the gateway's business.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::Engine as _;
use dodona_chain::{QueryError, Refusal};
use dodona_proto::{
    chain::{
        QueryAccountRequest, QueryAccountResponse, QueryStatusRequest, QueryStatusResponse,
        QueryTrustRequest, QueryTrustResponse,
    },
    path,
    topics::{
        QueryEmissionRequest, QueryEmissionResponse, QueryEpochRequest, QueryEpochResponse,
        QueryEpochsRequest, QueryEpochsResponse, QueryExplainRequest, QueryExplainResponse,
        QueryLeaderboardRequest, QueryLeaderboardResponse, QueryLossesRequest, QueryLossesResponse,
        QueryParamsRequest, QueryParamsResponse, QueryProofRequest, QueryProofResponse, QueryTopicRequest,
        QueryTopicResponse, QueryTopicsRequest, QueryTopicsResponse, QueryWindowsRequest,
        QueryWindowsResponse,
    },
};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Status, aside, board, chart, live, otherwise, roster, subnets, tx_hash};
use crate::NodeHandle;

/// All pages but the index, which is at the root.
pub(crate) fn routes() -> Router<NodeHandle> {
    Router::new()
        .route("/status", get(status))
        .route("/blocks/{height}", get(block))
        .route("/accounts/{address}", get(account))
        .route("/topics", get(topics))
        .route("/topics/{id}", get(topic))
        .route("/topics/{id}/windows", get(windows))
        .route("/topics/{id}/inference", get(inference))
        .route("/topics/{id}/inference/proof", get(proof))
        .route("/trust", get(trust))
        .route("/topics/{id}/epochs", get(epochs))
        .route("/topics/{id}/epochs/{nonce}", get(epoch))
        .route("/topics/{id}/leaderboard", get(leaderboard))
        .route("/topics/{id}/explain/{address}", get(explain))
        .route("/topics/{id}/epochs/{nonce}/explain/{address}", get(explain_epoch))
        .route("/topics/{id}/epochs/{nonce}/losses", get(losses))
        .route("/params", get(params))
        .route("/emission", get(emission))
        .route("/query", post(query))
        .route("/txs", post(broadcast))
        .route("/txs/{hash}", get(tx))
        .merge(roster::routes())
        .merge(subnets::routes())
        .merge(otherwise::routes())
        .merge(live::routes())
        .merge(chart::routes())
        .merge(board::routes())
}

/// An error as it is told: HTTP status, and JSON with a code and a text.
pub(super) struct Problem(StatusCode, serde_json::Value);

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self(status, json!({ "error": error.to_string() }))
    }

    fn not_found(error: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn bad(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, axum::Json(self.1)).into_response()
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match &error {
            QueryError::Unknown(_) | QueryError::NotFound(_) => StatusCode::NOT_FOUND,
            QueryError::Bad(_) => StatusCode::BAD_REQUEST,
            QueryError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error)
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::new(super::gateway::http_status(status.code), status.message)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let body = json!({
            "error": refusal.log, "codespace": refusal.codespace, "code": refusal.code,
        });
        Self(StatusCode::UNPROCESSABLE_ENTITY, body)
    }
}

pub(super) type Answer = Result<Response, Problem>;
type Node = State<NodeHandle>;

/// Asks the one dispatch table and renders its answer.
pub(super) async fn ask<A: Message + Default + Serialize>(
    node: NodeHandle,
    name: &'static str,
    request: impl Message,
) -> Answer {
    let request = request.encode_to_vec();
    let bytes = aside(move || node.query(name, &request)).await??;
    let answer =
        A::decode(bytes.as_slice()).map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    Ok(axum::Json(answer).into_response())
}

/// Path pieces arrive as text, so that a bad one is answered in our own words.
pub(super) fn number(what: &str, text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::bad(format!("{what} `{text}` is not a whole number")))
}

pub(crate) async fn index() -> Response {
    let pages: &[&str] = &[
        "/status",
        "/blocks/{height|latest}",
        "/accounts/{address}",
        "/accounts/{address}/stakes",
        "/topics?after=0&limit=50",
        "/topics/{id}",
        "/topics/{id}/windows",
        "/topics/{id}/inference",
        "/topics/{id}/inference/proof?height=0&nonce=0&trusted_height=",
        "/trust?height=0",
        "/topics/{id}/epochs?from=0&limit=50&members=true",
        "/topics/{id}/epochs/{nonce}",
        "/topics/{id}/leaderboard",
        "/topics/{id}/explain/{address}",
        "/topics/{id}/epochs/{nonce}/explain/{address}",
        "/topics/{id}/epochs/{nonce}/losses",
        "/params",
        "/emission",
        "/topics/{id}/board?limit=100&mark=&name=",
        "/topics/{id}/chart?from=0&limit=500&members=&mark=&labels=",
        "/topics/{id}/otherwise?rule=regret&from=0&limit=200",
        "/subnets?after=0&limit=50",
        "/subnets/rules",
        "/subnets/holdings?coldkey=",
        "/subnets/locks?netuid=0&coldkey=",
        "/subnets/{netuid}",
        "/subnets/{netuid}/metagraph?mechanism=0&weights=true",
        "/subnets/{netuid}/neurons/{hotkey}",
        "/subnets/{netuid}/quote?sell=false&amount=",
        "/subnets/{netuid}/history?points=200",
        "/live  (server-sent events: the status, after every block)",
        "/validators",
        "/validators/{operator}",
        "/mempool",
        "/txs/{hash}",
        "POST /query  (JSON {\"path\": name, \"request\": base64}; answers {\"value\": base64})",
        "POST /txs  (transaction bytes, or JSON {\"tx_bytes\": base64})",
    ];
    let others =
        ["/docs", "/openapi.json", "/.well-known/dodona/chain.json", "/.well-known/keplr/chain.json"];
    axum::Json(json!({ "under": "/dodona/v1", "pages": pages, "others": others })).into_response()
}

async fn status(State(node): Node) -> Answer {
    ask::<QueryStatusResponse>(node, path::STATUS, QueryStatusRequest {}).await
}

async fn block(State(node): Node, Path(height): Path<String>) -> Answer {
    let height = if height == "latest" { 0 } else { number("height", &height)? };
    let asked = node.clone();
    let found = aside(move || asked.block(height))
        .await?
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    let block = found.ok_or_else(|| Problem::not_found(node.no_block(height)))?;
    Ok(axum::Json(block).into_response())
}

async fn account(State(node): Node, Path(address): Path<String>) -> Answer {
    ask::<QueryAccountResponse>(node, path::ACCOUNT, QueryAccountRequest { address }).await
}

/// Paging in a URL; what is absent is the beginning and a full page.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Page {
    after: u64,
    from: u64,
    start_after: String,
    limit: u32,
    /// Whether epochs are told with who said what in them.
    members: Option<bool>,
}

async fn topics(State(node): Node, Query(page): Query<Page>) -> Answer {
    let request = QueryTopicsRequest { after_id: page.after, limit: page.limit, due_block: 0 };
    ask::<QueryTopicsResponse>(node, path::TOPICS, request).await
}

async fn topic(State(node): Node, Path(id): Path<String>) -> Answer {
    let topic_id = number("topic", &id)?;
    ask::<QueryTopicResponse>(node, path::TOPIC, QueryTopicRequest { topic_id }).await
}

async fn windows(State(node): Node, Path(id): Path<String>) -> Answer {
    let topic_id = number("topic", &id)?;
    ask::<QueryWindowsResponse>(node, path::WINDOWS, QueryWindowsRequest { topic_id }).await
}

async fn inference(State(node): Node, Path(id): Path<String>) -> Answer {
    let topic_id = number("topic", &id)?;
    ask::<QueryEpochResponse>(node, path::EPOCH, QueryEpochRequest { topic_id, nonce: 0, resistant: false })
        .await
}

/// What a proof is asked for; what is absent is the newest, and no trusted height.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProofOf {
    height: u64,
    nonce: u64,
    trusted_height: Option<u64>,
}

/// The document as it is verified, byte by byte.
async fn proof(State(node): Node, Path(id): Path<String>, Query(of): Query<ProofOf>) -> Answer {
    let request = QueryProofRequest {
        topic_id: number("topic", &id)?,
        nonce: of.nonce,
        height: of.height,
        trusted_height: of.trusted_height.unwrap_or(0),
        has_trusted_height: of.trusted_height.is_some(),
    };
    let bytes = aside(move || node.query(path::PROOF, &request.encode_to_vec())).await??;
    let answer = QueryProofResponse::decode(bytes.as_slice());
    document(answer.map(|answer| answer.document))
}

async fn trust(State(node): Node, Query(of): Query<TrustOf>) -> Answer {
    let request = QueryTrustRequest { height: of.height };
    let bytes = aside(move || node.query(path::TRUST, &request.encode_to_vec())).await??;
    let answer = QueryTrustResponse::decode(bytes.as_slice());
    document(answer.map(|answer| answer.document))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TrustOf {
    height: u64,
}

fn document(text: Result<String, prost::DecodeError>) -> Answer {
    let text = text.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn epoch(State(node): Node, Path((id, nonce)): Path<(String, String)>) -> Answer {
    let (topic_id, nonce) = (number("topic", &id)?, number("nonce", &nonce)?);
    ask::<QueryEpochResponse>(node, path::EPOCH, QueryEpochRequest { topic_id, nonce, resistant: false })
        .await
}

async fn epochs(State(node): Node, Path(id): Path<String>, Query(page): Query<Page>) -> Answer {
    let topic_id = number("topic", &id)?;
    let request = QueryEpochsRequest { topic_id, from_epoch: page.from, limit: page.limit };
    if page.members != Some(false) {
        return ask::<QueryEpochsResponse>(node, path::EPOCHS, request).await;
    }
    let answer = aside(move || {
        let bytes = node.query(path::EPOCHS, &request.encode_to_vec())?;
        let mut answer = QueryEpochsResponse::decode(bytes.as_slice()).map_err(Status::internal)?;
        for epoch in &mut answer.epochs {
            (epoch.parts, epoch.truths, epoch.outliers) = Default::default();
        }
        Ok::<_, Status>(answer)
    });
    Ok(axum::Json(answer.await??).into_response())
}

async fn leaderboard(State(node): Node, Path(id): Path<String>, Query(page): Query<Page>) -> Answer {
    let topic_id = number("topic", &id)?;
    let request = QueryLeaderboardRequest { topic_id, start_after: page.start_after, limit: page.limit };
    ask::<QueryLeaderboardResponse>(node, path::LEADERBOARD, request).await
}

async fn explain(State(node): Node, Path((id, address)): Path<(String, String)>) -> Answer {
    let topic_id = number("topic", &id)?;
    let request = QueryExplainRequest { topic_id, nonce: 0, address };
    ask::<QueryExplainResponse>(node, path::EXPLAIN, request).await
}

async fn explain_epoch(
    State(node): Node,
    Path((id, nonce, address)): Path<(String, String, String)>,
) -> Answer {
    let (topic_id, nonce) = (number("topic", &id)?, number("nonce", &nonce)?);
    ask::<QueryExplainResponse>(node, path::EXPLAIN, QueryExplainRequest { topic_id, nonce, address }).await
}

async fn losses(State(node): Node, Path((id, nonce)): Path<(String, String)>) -> Answer {
    let (topic_id, nonce) = (number("topic", &id)?, number("nonce", &nonce)?);
    ask::<QueryLossesResponse>(node, path::LOSSES, QueryLossesRequest { topic_id, nonce }).await
}

async fn params(State(node): Node) -> Answer {
    ask::<QueryParamsResponse>(node, path::PARAMS, QueryParamsRequest {}).await
}

async fn emission(State(node): Node) -> Answer {
    ask::<QueryEmissionResponse>(node, path::EMISSION, QueryEmissionRequest {}).await
}

#[derive(Deserialize)]
struct Question {
    path: String,
    request: String,
}

/// Any question by name, as bytes: what the pages above say in JSON, and the rest.
async fn query(State(node): Node, body: Bytes) -> Answer {
    let question: Question = serde_json::from_slice(&body).map_err(Problem::bad)?;
    let engine = base64::engine::general_purpose::STANDARD;
    let request =
        engine.decode(&question.request).map_err(|e| Problem::bad(format!("request is not base64: {e}")))?;
    let answer = aside(move || node.query(&question.path, &request)).await??;
    Ok(axum::Json(json!({ "value": engine.encode(answer) })).into_response())
}

async fn tx(State(node): Node, Path(hash): Path<String>) -> Answer {
    let hash = tx_hash(&hash)?;
    let found = aside(move || node.tx(&hash))
        .await?
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    let receipt = found.ok_or_else(|| Problem::not_found("no such transaction in a block yet"))?;
    Ok(axum::Json(receipt).into_response())
}

#[derive(Deserialize)]
struct Broadcast {
    tx_bytes: String,
}

async fn broadcast(State(node): Node, headers: axum::http::HeaderMap, body: Bytes) -> Answer {
    let json =
        headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    let bytes = if json {
        let request: Broadcast = serde_json::from_slice(&body).map_err(Problem::bad)?;
        base64::engine::general_purpose::STANDARD
            .decode(&request.tx_bytes)
            .map_err(|e| Problem::bad(format!("tx_bytes is not base64: {e}")))?
    } else {
        body.to_vec()
    };
    let hash = aside(move || node.broadcast(&bytes)).await??;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "hash": hex::encode_upper(hash) }))).into_response())
}
