//! Methods about the node, the state it holds and who decides its blocks.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_consensus::{MAX_BLOCK_BYTES, PublicKey, Validator, ValidatorSet};
use serde_json::{Value, json};

use super::{DIALECT, params::Params, proof, shape};
use crate::{
    NodeHandle,
    api::{self, Status, cosmos::base, dispatch},
    doors::Visitor,
};

/// Bytes of a piece of the genesis document; in base64 it fits into a frame.
const CHUNK: usize = 512 << 10;
/// Validators on a page, unless asked otherwise and at most.
const PAGE: (u64, u64) = (30, 100);
/// Where values of the store are asked for by their raw key, with proof if wanted.
const STORE: &str = "/store/state/key";

pub(super) fn health(_: &NodeHandle, _: &Params) -> Result<Value, Status> {
    Ok(json!({}))
}

pub(super) fn status(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    let s = base::status(node)?;
    let own = node.identity().validator;
    let power = set(node)?.get(&dodona_consensus::Address::of(&own)).map_or(0, |v| v.voting_power);
    let first = node.kept_block(node.oldest_block()?)?;
    // Before the first block there is nothing to name.
    let unnamed = || "0".repeat(64);
    let (first_hash, first_root, first_height, first_time) = match &first {
        Some(kept) => {
            let h = &kept.block.header;
            (shape::hex_upper(kept.results.block_id), shape::hex_upper(h.app_hash), h.height.0, h.time_ms)
        }
        None => (unnamed(), shape::hex_upper(&s.app_hash), 0, s.time_ms),
    };
    let last_hash = if s.block_id.is_empty() { unnamed() } else { shape::hex_upper(&s.block_id) };
    let address = shape::address(own.as_bytes());
    Ok(json!({
        "node_info": {
            "protocol_version": { "p2p": "8", "block": "11", "app": "1" },
            "id": address.to_lowercase(), "listen_addr": "tcp://0.0.0.0:26656", "network": s.chain_id,
            "version": DIALECT, "channels": "40202122233038606100", "moniker": "dodona",
            "other": { "tx_index": "on", "rpc_address": "tcp://127.0.0.1:26657" },
        },
        "sync_info": {
            "latest_block_hash": last_hash, "latest_app_hash": shape::hex_upper(&s.app_hash),
            "latest_block_height": s.height.to_string(), "latest_block_time": shape::time(s.time_ms),
            "earliest_block_hash": first_hash, "earliest_app_hash": first_root,
            "earliest_block_height": first_height.to_string(), "earliest_block_time": shape::time(first_time),
            "catching_up": node.catching_up(),
        },
        "validator_info": {
            "address": address, "pub_key": shape::public_key(own.as_bytes()), "voting_power": power.to_string(),
        },
    }))
}

/// The peers of consensus. What CometBFT does not know of a peer is under `dodona`.
pub(super) fn net_info(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    let list = node.peers();
    let network = &node.identity().genesis.chain_id;
    let peers: Vec<Value> = list
        .peers
        .iter()
        .map(|peer| {
            let (ip, port) = peer.socket();
            json!({
                "node_info": {
                    "protocol_version": { "p2p": "8", "block": "11", "app": "1" },
                    "id": peer.id, "listen_addr": format!("tcp://{ip}:{port}"), "network": network,
                    "version": DIALECT, "channels": "", "moniker": peer.moniker,
                    "other": { "tx_index": "on", "rpc_address": "" },
                },
                "is_outbound": peer.outbound,
                "remote_ip": ip,
                "dodona": {
                    "height": peer.height.map(|height| height.to_string()), "persistent": peer.persistent,
                    "validator": peer.validator, "power": peer.power.to_string(),
                },
            })
        })
        .collect();
    // A node without a network knows of no set there.
    let listening = list.total_power > 0;
    Ok(json!({
        "listening": listening, "listeners": [], "n_peers": peers.len().to_string(), "peers": peers,
    }))
}

fn genesis_document(node: &NodeHandle) -> Result<Value, Status> {
    let genesis = &node.identity().genesis;
    let validators: Vec<Value> = genesis
        .validators
        .iter()
        .map(|v| {
            let key =
                hex::decode(&v.public_key).ok().and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 32]);
            json!({
                "address": shape::address(&key), "pub_key": shape::public_key(&key),
                "power": v.power.to_string(), "name": v.operator,
            })
        })
        .collect();
    Ok(json!({
        "genesis_time": shape::time(genesis.time_ms), "chain_id": genesis.chain_id, "initial_height": "1",
        "consensus_params": consensus(node)?, "validators": validators, "app_hash": "",
        "app_state": serde_json::to_value(genesis).map_err(Status::internal)?,
    }))
}

pub(super) fn genesis(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    Ok(json!({ "genesis": genesis_document(node)? }))
}

pub(super) fn genesis_chunked(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let document = genesis_document(node)?.to_string();
    let chunks: Vec<&[u8]> = document.as_bytes().chunks(CHUNK).collect();
    let wanted = params.number("chunk")?.unwrap_or(0);
    let chunk = usize::try_from(wanted).ok().and_then(|at| chunks.get(at)).ok_or_else(|| {
        Status::invalid(format!(
            "there are {} chunks, counted from 0: {wanted} is none of them",
            chunks.len()
        ))
    })?;
    Ok(json!({
        "chunk": wanted.to_string(), "total": chunks.len().to_string(), "data": STANDARD.encode(chunk),
    }))
}

pub(super) fn abci_info(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    let s = base::status(node)?;
    Ok(json!({ "response": {
        "data": "dodona", "version": s.version, "app_version": "1",
        "last_block_height": s.height.to_string(), "last_block_app_hash": STANDARD.encode(&s.app_hash),
    } }))
}

/// Development networks: see [`api::welcome`].
pub(super) async fn welcome(node: &NodeHandle, visitor: &Visitor, params: &Params) {
    if let (Ok(Some(path)), Ok(data), Ok(None | Some(0))) =
        (params.text("path"), params.hex("data"), params.number("height"))
    {
        api::welcome(node, visitor, path, &data).await;
    }
}

/// Whether an `abci_query` asks a method that searches the index.
pub(super) fn searches(params: &Params) -> bool {
    matches!(params.text("path"), Ok(Some(path)) if api::is_search(path))
}

pub(super) fn abci_query(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let path = params.text("path")?.unwrap_or_default();
    let data = params.hex("data")?;
    let at = params.number("height")?.unwrap_or(0);
    let height = if at == 0 { node.head().height } else { at };
    if path.starts_with("/store/") {
        return store_query(node, path, &data, height, params.flag("prove")?);
    }
    // As on other nodes, questions of a service are answered without a proof, asked for or not.
    params.flag("prove")?;
    let answer = match dispatch(node, path, &data, at) {
        Ok(value) => Found { value: Some(STANDARD.encode(value)), ..Found::default() },
        // The text in which clients look for the kind of failure.
        Err(e) if e.code == 5 => {
            Found::failed(22, format!("rpc error: code = NotFound desc = {}", e.message))
        }
        Err(e) if e.code == 12 => Found::failed(6, format!("unknown query path: {}", e.message)),
        Err(e) => Found::failed(18, e.message),
    };
    Ok(answer.at(height))
}

/// A value of the store at a version, which is a height. The proof leads to the `app_hash` of that height's header.
fn store_query(node: &NodeHandle, path: &str, key: &[u8], height: u64, prove: bool) -> Result<Value, Status> {
    if path != STORE {
        return Ok(
            Found::failed(6, format!("unknown query path: {path}; the store is asked at {STORE}")).at(height)
        );
    }
    let proven = match node.app().store().prove(height, key) {
        Ok(proven) => proven,
        Err(error) => return Ok(Found::failed(18, error.to_string()).at(height)),
    };
    let ops = prove.then(|| {
        let (kind, data) = proof::encode(key, &proven);
        json!({ "ops": [{ "type": kind, "key": STANDARD.encode(key), "data": STANDARD.encode(data) }] })
    });
    let value = proven.value.map(|value| STANDARD.encode(value));
    Ok(Found { key: Some(STANDARD.encode(key)), value, ops, ..Found::default() }.at(height))
}

/// Answer to a query of the state.
#[derive(Default)]
struct Found {
    code: u32,
    log: String,
    key: Option<String>,
    value: Option<String>,
    ops: Option<Value>,
}

impl Found {
    fn failed(code: u32, log: String) -> Self {
        Self { code, log, ..Self::default() }
    }

    fn at(self, height: u64) -> Value {
        let codespace = if self.code == 0 { "" } else { "sdk" };
        json!({ "response": {
            "code": self.code, "log": self.log, "info": "", "index": "0", "key": self.key, "value": self.value,
            "proofOps": self.ops, "height": height.to_string(), "codespace": codespace,
        } })
    }
}

fn consensus(node: &NodeHandle) -> Result<Value, Status> {
    Ok(json!({
        "block": { "max_bytes": MAX_BLOCK_BYTES.to_string(), "max_gas": base::block_gas(node)?.to_string() },
        "evidence": { "max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576" },
        "validator": { "pub_key_types": ["ed25519"] },
        "version": { "app": "1" },
        "abci": { "vote_extensions_enable_height": "0" },
    }))
}

pub(super) fn consensus_params(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let height = known_height(node, params)?;
    Ok(json!({ "block_height": height.to_string(), "consensus_params": consensus(node)? }))
}

pub(super) fn consensus_state(node: &NodeHandle, _: &Params) -> Result<Value, Status> {
    let s = base::status(node)?;
    let set = set(node)?;
    let next = dodona_consensus::Height(s.height + 1);
    let proposer = set.proposer(next, 0).address;
    let place = set.validators().iter().position(|v| v.address == proposer).unwrap_or(0);
    Ok(json!({ "round_state": {
        "height/round/step": format!("{next}/0/1"), "start_time": shape::time(s.time_ms),
        "proposal_block_hash": "", "locked_block_hash": "", "valid_block_hash": "", "height_vote_set": [],
        "proposer": { "address": shape::hex_upper(proposer.0), "index": place },
    } }))
}

/// A height of a block there is, the newest if none is named.
pub(super) fn known_height(node: &NodeHandle, params: &Params) -> Result<u64, Status> {
    let head = node.head().height;
    match params.number("height")?.unwrap_or(0) {
        0 => Ok(head),
        height if height > head => Err(Status::invalid(format!(
            "height {height} must be less than or equal to the current blockchain height {head}"
        ))),
        height => Ok(height),
    }
}

/// The set that decides the next block, strongest first.
fn set(node: &NodeHandle) -> Result<ValidatorSet, Status> {
    strongest_first(&node.app().validators().map_err(Status::internal)?)
}

fn strongest_first(listed: &[dodona_chain::Validator]) -> Result<ValidatorSet, Status> {
    let known = listed.iter().map(|v| Ok(Validator::new(PublicKey::from_bytes(&v.public_key)?, v.power)));
    let known = known.collect::<Result<Vec<_>, dodona_consensus::KeyError>>().map_err(Status::internal)?;
    ValidatorSet::new(known).map_err(Status::internal)
}

pub(super) fn validators(node: &NodeHandle, params: &Params) -> Result<Value, Status> {
    let height = known_height(node, params)?;
    // Before the first block: those who will decide it.
    let decided = node.app().validators_of(height.max(1)).map_err(Status::internal)?;
    let decided =
        decided.ok_or_else(|| Status::not_found(format!("the validators of block {height} are not kept")))?;
    let set = strongest_first(&decided)?;
    let (page, per_page) =
        (params.number("page")?.unwrap_or(1), params.number("per_page")?.unwrap_or(PAGE.0));
    let per_page = per_page.clamp(1, PAGE.1);
    let total = set.validators().len();
    let pages = (total as u64).div_ceil(per_page).max(1);
    if page == 0 || page > pages {
        return Err(Status::invalid(format!("page should be within [1, {pages}] range, given {page}")));
    }
    let from = (page - 1) * per_page;
    let listed = set.validators().iter().skip(from as usize).take(per_page as usize);
    let listed: Vec<Value> = listed
        .map(|v| {
            json!({
                "address": shape::hex_upper(v.address.0), "pub_key": shape::public_key(v.public_key.as_bytes()),
                "voting_power": v.voting_power.to_string(), "proposer_priority": "0",
            })
        })
        .collect();
    Ok(json!({
        "block_height": height.to_string(), "count": listed.len().to_string(), "total": total.to_string(),
        "validators": listed,
    }))
}

pub(super) fn broadcast_evidence(_: &NodeHandle, _: &Params) -> Result<Value, Status> {
    Err(Status::unknown(
        "this node takes no evidence from outside: validators report misbehaviour themselves",
    ))
}
