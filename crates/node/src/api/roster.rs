//! Pages about who keeps the chain going and what waits for it: validators with their attendance, who stands behind
//! them, and the mempool. For those who look on; what wallets ask is in `cosmos`.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use dodona_chain::{
    staking::{
        state::{Status as Bond, consensus_address},
        view::{self, SigningRow, ValidatorRow},
    },
    topics::{
        stake::{self, DELEGATIONS, DELEGATORS, REMOVALS},
        state::{REGISTRATIONS, role},
    },
};
use dodona_proto::{
    Address, Prefix,
    cosmos::tx::v1beta1::{AuthInfo, TxBody, TxRaw},
};
use dodona_store::Snapshot;
use prost::Message;
use serde_json::{Value, json};

use super::{Status, aside, native::Problem};
use crate::NodeHandle;

/// Most rows of each page; what is left out is said.
const ROWS: usize = 100;
/// Most bytes of waiting transactions that are taken apart for a page.
const WAITING_BYTES: usize = 256 << 10;

type Answer = Result<Response, Problem>;

/// These pages, below `/dodona/v1`.
pub(super) fn routes() -> Router<NodeHandle> {
    Router::new()
        .route("/validators", get(validators))
        .route("/validators/{operator}", get(validator))
        .route("/accounts/{address}/stakes", get(stakes))
        .route("/mempool", get(mempool))
}

async fn validators(State(node): State<NodeHandle>) -> Answer {
    aside(move || {
        let read = node.state(0)?;
        let window = view::rules(&read)?.window;
        let found = view::validators(&read, Address([0; 20]), ROWS + 1)?;
        let more = found.len() > ROWS;
        let mut rows = Vec::new();
        for (operator, _) in found.into_iter().take(ROWS) {
            if let Some(row) = view::validator(&read, operator)? {
                rows.push(shown(&read, &row)?);
            }
        }
        Ok(Json(json!({ "validators": rows, "more": more, "window": window })).into_response())
    })
    .await?
    .map_err(|status: Status| status.into())
}

async fn validator(State(node): State<NodeHandle>, Path(operator): Path<String>) -> Answer {
    let operator = Address::read(&operator, Prefix::Operator)
        .or_else(|_| Address::read(&operator, Prefix::Account))
        .map_err(|e| Problem::bad(format!("operator: {e}")))?;
    aside(move || {
        let read = node.state(0)?;
        let Some(row) = view::validator(&read, operator)? else {
            return Err(Status::not_found("no validator has this operator"));
        };
        let mut delegations = view::delegations_to(&read, operator, Address([0; 20]), ROWS + 1)?;
        let more = delegations.len() > ROWS;
        delegations.truncate(ROWS);
        delegations.sort_by(|a, b| b.balance.cmp(&a.balance).then(a.delegator.cmp(&b.delegator)));
        let delegations: Vec<Value> = delegations
            .iter()
            .map(|d| json!({ "delegator": d.delegator.to_string(), "balance": d.balance.to_string() }))
            .collect();
        let about = &row.text;
        let page = json!({
            "validator": shown(&read, &row)?,
            "website": about.website,
            "details": about.details,
            "window": view::rules(&read)?.window,
            "delegations": delegations,
            "more": more,
        });
        Ok(Json(page).into_response())
    })
    .await?
    .map_err(Problem::from)
}

/// What an account has behind validators and reputers, what that earned and did not collect, and what is on its way back.
async fn stakes(State(node): State<NodeHandle>, Path(address): Path<String>) -> Answer {
    let who: Address = address.parse().map_err(|e| Problem::bad(format!("address: {e}")))?;
    aside(move || {
        let read = node.state(0)?;
        let name = |operator: Address| -> Result<String, Status> {
            Ok(view::validator(&read, operator)?.map_or(String::new(), |row| row.text.moniker))
        };
        let first = Address([0; 20]);
        let operators = view::operators_of(&read, who, first, ROWS)?;
        let mut validators = Vec::new();
        for operator in operators {
            let Some(row) = view::delegation(&read, operator, who)? else { continue };
            let reward = view::reward(&read, operator, who)?.unwrap_or(0);
            validators.push(json!({
                "operator": operator.written(Prefix::Operator),
                "name": name(operator)?,
                "amount": row.balance.to_string(),
                "reward": reward.to_string(),
            }));
        }
        let mut leaving = Vec::new();
        for operator in view::unbonding_from(&read, who, first, ROWS)? {
            let row = view::unbonding(&read, operator, who)?;
            for entry in row.iter().flat_map(|row| &row.entries) {
                leaving.push(json!({
                    "operator": operator.written(Prefix::Operator),
                    "name": name(operator)?,
                    "amount": entry.balance.to_string(),
                    "until_ms": entry.until,
                }));
            }
        }
        let topics = topic_stakes(&read, who)?;
        Ok(Json(json!({ "validators": validators, "leaving": leaving, "topics": topics })).into_response())
    })
    .await?
    .map_err(|status: Status| status.into())
}

/// An account's delegations upon reputers.
fn topic_stakes(read: &Snapshot, who: Address) -> Result<Vec<Value>, Status> {
    let mut rows = Vec::new();
    for ((_, topic, reputer), ()) in DELEGATORS.scan_prefix(read, &who.0, ROWS)? {
        let key = (topic, reputer, who.0);
        let Some(delegation) = DELEGATIONS.get(read, &key)? else { continue };
        let registration = REGISTRATIONS.get(read, &(topic, role::REPUTER, reputer))?;
        let removal = REMOVALS.get(read, &key)?;
        rows.push(json!({
            "topic_id": topic,
            "reputer": Address(reputer).to_string(),
            "name": registration.map_or(String::new(), |r| r.name),
            "amount": delegation.amount.to_string(),
            "reward": stake::pending(read, topic, reputer, &delegation)?.to_string(),
            "leaving": removal.as_ref().map_or("0".to_string(), |r| r.amount.to_string()),
            "leaves_block": removal.map(|r| r.at),
        }));
    }
    Ok(rows)
}

fn shown(read: &Snapshot, row: &ValidatorRow) -> Result<Value, Status> {
    let v = &row.validator;
    let attendance: Option<SigningRow> = view::signing(read, consensus_address(&v.public_key))?;
    let status = match v.status {
        _ if v.tombstoned => "barred",
        _ if v.jailed => "jailed",
        Bond::Bonded => "bonded",
        Bond::Unbonding => "unbonding",
        Bond::Unbonded => "unbonded",
    };
    Ok(json!({
        "operator": row.operator.written(Prefix::Operator),
        "account": row.operator.to_string(),
        "name": row.text.moniker,
        "status": status,
        "tokens": v.tokens.to_string(),
        "commission": v.commission.rate.to_string(),
        "missed": attendance.as_ref().map(|a| a.missed),
        "counted": attendance.as_ref().map(|a| a.counted),
        "jailed_until_ms": v.jailed_until,
    }))
}

async fn mempool(State(node): State<NodeHandle>) -> Answer {
    aside(move || {
        let pool = node.mempool();
        let txs: Vec<Value> = pool.candidates(WAITING_BYTES, ROWS).iter().map(|tx| waiting(tx)).collect();
        Json(json!({ "total": pool.len(), "total_bytes": pool.bytes(), "txs": txs })).into_response()
    })
    .await
    .map_err(Problem::from)
}

/// What can be told of a transaction without its block.
fn waiting(bytes: &[u8]) -> Value {
    // It has been taken apart before it was let in; what does not decode here is told without details.
    let raw = TxRaw::decode(bytes).unwrap_or_default();
    let body = TxBody::decode(raw.body_bytes.as_slice()).unwrap_or_default();
    let fee = AuthInfo::decode(raw.auth_info_bytes.as_slice()).ok().and_then(|info| info.fee);
    let types: Vec<&str> = body.messages.iter().map(|any| any.type_url.as_str()).collect();
    json!({
        "hash": hex::encode_upper(dodona_proto::tx::hash(bytes)),
        "bytes": bytes.len(),
        "messages": types,
        "gas": fee.as_ref().map(|fee| fee.gas_limit),
        "fee": fee.as_ref().and_then(|fee| fee.amount.first()).map(|coin| &coin.amount),
    })
}
