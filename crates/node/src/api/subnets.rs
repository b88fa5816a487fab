//! Pages about subnets: what there is, one with its settings, its neurons with weights and bonds, and how its pool and
//! its pay went. What the state holds is asked of the chain; the past comes from this node's own records.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::IntoResponse,
    routing::get,
};
use dodona_proto::{
    path,
    subnets::{
        Neuron, QueryHoldingsRequest, QueryHoldingsResponse, QueryLocksRequest, QueryLocksResponse,
        QueryMetagraphRequest, QueryMetagraphResponse, QueryNeuronRequest, QueryQuoteRequest,
        QueryQuoteResponse, QueryRulesRequest, QueryRulesResponse, QuerySubnetRequest, QuerySubnetsRequest,
        QuerySubnetsResponse, Subnet,
    },
};
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Status, aside,
    native::{Answer, Problem, ask},
};
use crate::{NodeHandle, pools};

/// Most points of a chart of pools, and how many without being asked for any number.
const MAX_POINTS: usize = 500;
const POINTS: usize = 200;
/// Most epochs whose pay is told.
const EPOCHS: usize = 200;

type Node = State<NodeHandle>;

/// These pages, below `/dodona/v1`.
pub(super) fn routes() -> Router<NodeHandle> {
    Router::new()
        .route("/subnets", get(subnets))
        .route("/subnets/rules", get(rules))
        .route("/subnets/holdings", get(holdings))
        .route("/subnets/locks", get(locks))
        .route("/subnets/{netuid}", get(subnet))
        .route("/subnets/{netuid}/metagraph", get(metagraph))
        .route("/subnets/{netuid}/neurons/{hotkey}", get(neuron))
        .route("/subnets/{netuid}/quote", get(quote))
        .route("/subnets/{netuid}/history", get(history))
}

/// Path pieces arrive as text, so that a bad one is answered in our own words.
fn netuid(text: &str) -> Result<u32, Problem> {
    let number = text.parse::<u16>().ok().filter(|number| *number > 0);
    let bad = || Problem::bad(format!("netuid `{text}`: send a whole number from 1 to 65535"));
    number.map(u32::from).ok_or_else(bad)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: u32,
    limit: u32,
}

async fn subnets(State(node): Node, Query(page): Query<Page>) -> Answer {
    let request = QuerySubnetsRequest { after: page.after, limit: page.limit };
    ask::<QuerySubnetsResponse>(node, path::SUBNETS, request).await
}

async fn rules(State(node): Node) -> Answer {
    ask::<QueryRulesResponse>(node, path::SUBNET_RULES, QueryRulesRequest {}).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Holder {
    coldkey: String,
    hotkey: String,
    netuid: u32,
    limit: u32,
}

async fn holdings(State(node): Node, Query(of): Query<Holder>) -> Answer {
    let Holder { coldkey, hotkey, netuid, limit } = of;
    let request = QueryHoldingsRequest { coldkey, hotkey, netuid, limit };
    ask::<QueryHoldingsResponse>(node, path::HOLDINGS, request).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Locked {
    coldkey: String,
    netuid: u32,
}

async fn locks(State(node): Node, Query(of): Query<Locked>) -> Answer {
    let Locked { coldkey, netuid } = of;
    ask::<QueryLocksResponse>(node, path::LOCKS, QueryLocksRequest { netuid, coldkey }).await
}

async fn subnet(State(node): Node, Path(id): Path<String>) -> Answer {
    ask::<Subnet>(node, path::SUBNET, QuerySubnetRequest { netuid: netuid(&id)? }).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rows {
    mechanism: u32,
    weights: bool,
}

async fn metagraph(State(node): Node, Path(id): Path<String>, Query(rows): Query<Rows>) -> Answer {
    let Rows { mechanism, weights } = rows;
    let request = QueryMetagraphRequest { netuid: netuid(&id)?, mechanism, weights };
    ask::<QueryMetagraphResponse>(node, path::METAGRAPH, request).await
}

async fn neuron(
    State(node): Node,
    Path((id, hotkey)): Path<(String, String)>,
    Query(rows): Query<Rows>,
) -> Answer {
    let request = QueryNeuronRequest { netuid: netuid(&id)?, hotkey, mechanism: rows.mechanism };
    ask::<Neuron>(node, path::NEURON, request).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Trade {
    sell: bool,
    amount: String,
    limit_price: String,
}

async fn quote(State(node): Node, Path(id): Path<String>, Query(trade): Query<Trade>) -> Answer {
    let Trade { sell, amount, limit_price } = trade;
    let request = QueryQuoteRequest { netuid: netuid(&id)?, sell, amount, limit_price };
    ask::<QueryQuoteResponse>(node, path::QUOTE, request).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Points {
    points: Option<usize>,
}

/// The pool and the pay over time, as far as this node has kept them: since the subnet was created, or since the node
/// began, or the newest [`pools::KEPT`] samples.
async fn history(State(node): Node, Path(id): Path<String>, Query(asked): Query<Points>) -> Answer {
    let netuid = netuid(&id)?;
    let points = asked.points.unwrap_or(POINTS);
    if !(2..=MAX_POINTS).contains(&points) {
        return Err(Problem::bad(format!("points `{points}`: send 2 to {MAX_POINTS}")));
    }
    aside(move || past(&node, netuid, points))
        .await?
        .map(|page| Json(page).into_response())
        .map_err(Problem::from)
}

fn past(node: &NodeHandle, netuid: u32, points: usize) -> Result<Value, Status> {
    let request = QuerySubnetRequest { netuid };
    let bytes = node.query(path::SUBNET, &request.encode_to_vec())?;
    let now = Subnet::decode(bytes.as_slice()).map_err(Status::internal)?;
    let store = node.app().store();
    let key = netuid as u16; // read from a u16 above
    let samples = pools::samples(store, key, now.registered)?;
    let every = samples.len().div_ceil(points).max(1);
    // Counted from the newest, so that it is always among them.
    let skip = samples.len().saturating_sub(1) % every;
    let mut shown: Vec<Value> = samples
        .iter()
        .skip(skip)
        .step_by(every)
        .map(|(height, s)| {
            json!({
                "height": height,
                "price": s.price,
                "pool_tao": s.tao.to_string(),
                "pool_alpha": s.alpha.to_string(),
                "alpha_out": s.alpha_out.to_string(),
                "tao_per_block": s.emission.0.to_string(),
                "alpha_per_block": s.emission.1.to_string(),
            })
        })
        .collect();
    let height = node.head().height;
    if samples.last().is_none_or(|(last, _)| *last < height) {
        shown.push(json!({
            "height": height,
            "price": now.price,
            "pool_tao": now.pool_tao,
            "pool_alpha": now.pool_alpha,
            "alpha_out": now.alpha_out,
            "tao_per_block": now.tao_per_block,
            "alpha_per_block": now.alpha_per_block,
        }));
    }
    let pays = pools::pays(store, key, now.registered)?;
    let paid: Vec<Value> = pays[pays.len().saturating_sub(EPOCHS)..]
        .iter()
        .map(|(epoch, pay)| {
            json!({
                "epoch": epoch,
                "height": pay.height,
                "miners": pay.miners.to_string(),
                "validators": pay.validators.to_string(),
                "root": pay.root.to_string(),
                "owner": pay.owner.to_string(),
                "withheld": pay.withheld.to_string(),
            })
        })
        .collect();
    Ok(json!({
        "netuid": netuid,
        "height": height,
        "since": samples.first().map_or(height, |(first, _)| *first),
        "blocks_between": every as u64 * pools::EVERY,
        "samples": shown,
        "epochs": paid,
    }))
}
