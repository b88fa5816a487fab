//! The node, its blocks and who decides them, as wallets and explorers ask.

use dodona_consensus::MAX_BLOCK_BYTES;
use dodona_proto::{
    chain::{QueryStatusRequest, QueryStatusResponse},
    cosmos::{
        base::{node::v1beta1 as settings, tendermint::v1beta1 as tm},
        params::v1beta1 as old,
    },
    path, tendermint,
};
use prost::Message;

use super::{ask, blocks, of, page::Page, validators};
use crate::{
    KEEP_VERSIONS, NodeHandle,
    api::{Status, dispatch, rpc},
};

/// Answers a method of these services. Blocks are not part of a state, so only a question about the state minds `at`.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(match method {
        "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo" => node_info(node)?.encode_to_vec(),
        "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock" => {
            let block = blocks::block(node, 0)?;
            let (block_id, sdk_block) = (block.id(), Some(block.sdk()));
            tm::GetLatestBlockResponse { block_id, block: Some(block.comet()), sdk_block }.encode_to_vec()
        }
        "/cosmos.base.tendermint.v1beta1.Service/GetBlockByHeight" => {
            let q: tm::GetBlockByHeightRequest = of(request)?;
            if q.height == 0 {
                return Err(Status::invalid("block heights begin with 1"));
            }
            let block = blocks::block(node, q.height)?;
            let (block_id, sdk_block) = (block.id(), Some(block.sdk()));
            tm::GetBlockByHeightResponse { block_id, block: Some(block.comet()), sdk_block }.encode_to_vec()
        }
        "/cosmos.base.tendermint.v1beta1.Service/GetLatestValidatorSet" => {
            let q: tm::GetLatestValidatorSetRequest = of(request)?;
            let height = node.head().height.max(1);
            let set = validators::consensus_set(node, height)?;
            let (validators, pagination) = Page::of(q.pagination)?.cut(set)?;
            let block_height = height as i64;
            tm::GetLatestValidatorSetResponse { block_height, validators, pagination }.encode_to_vec()
        }
        "/cosmos.base.tendermint.v1beta1.Service/GetValidatorSetByHeight" => {
            let q: tm::GetValidatorSetByHeightRequest = of(request)?;
            if !(1..=node.head().height as i64).contains(&q.height) {
                return Err(Status::invalid(format!("no block has the height {}", q.height)));
            }
            let set = validators::consensus_set(node, q.height as u64)?;
            let (validators, pagination) = Page::of(q.pagination)?.cut(set)?;
            tm::GetValidatorSetByHeightResponse { block_height: q.height, validators, pagination }
                .encode_to_vec()
        }
        "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery" => abci_query(node, request)?.encode_to_vec(),
        "/cosmos.base.tendermint.v1beta1.Service/GetSyncing" => {
            tm::GetSyncingResponse { syncing: node.catching_up() }.encode_to_vec()
        }
        "/cosmos.base.node.v1beta1.Service/Config" => {
            let mut price = status(node)?.min_gas_price;
            if !price.contains('.') {
                price.push_str(".000000000000000000");
            }
            settings::ConfigResponse {
                minimum_gas_price: price + dodona_proto::DENOM,
                pruning_keep_recent: KEEP_VERSIONS.to_string(),
                pruning_interval: "1".into(),
                halt_height: 0,
            }
            .encode_to_vec()
        }
        "/cosmos.params.v1beta1.Query/Params" => {
            let q: old::QueryParamsRequest = of(request)?;
            // All that clients still look for here is how large a transaction may be.
            if (q.subspace.as_str(), q.key.as_str()) != ("baseapp", "BlockParams") {
                return Err(Status::not_found("parameters are asked for at the services of their modules"));
            }
            let (bytes, gas) = (MAX_BLOCK_BYTES.to_string(), block_gas(node)?.to_string());
            let value = serde_json::json!({ "max_bytes": bytes, "max_gas": gas }).to_string();
            let param = Some(old::ParamChange { subspace: q.subspace, key: q.key, value });
            old::QueryParamsResponse { param }.encode_to_vec()
        }
        "/cosmos.base.node.v1beta1.Service/Status" => {
            let status = status(node)?;
            settings::StatusResponse {
                earliest_store_height: status.height.saturating_sub(KEEP_VERSIONS - 1).max(1),
                height: status.height,
                timestamp: Some(blocks::time(status.time_ms)),
                app_hash: status.app_hash,
                validator_hash: Vec::new(),
            }
            .encode_to_vec()
        }
        other => return Err(Status::unimplemented(other)),
    })
}

pub(crate) fn status(node: &NodeHandle) -> Result<QueryStatusResponse, Status> {
    status_at(node, 0)
}

/// What the state after block `at` says of itself; 0 is the newest.
pub(super) fn status_at(node: &NodeHandle, at: u64) -> Result<QueryStatusResponse, Status> {
    ask(node, path::STATUS, &QueryStatusRequest {}, at)
}

/// Gas that fits into a block.
pub(crate) fn block_gas(node: &NodeHandle) -> Result<u64, Status> {
    Ok(node.app().params().map_err(Status::internal)?.feemarket_max_block_utilization)
}

fn node_info(node: &NodeHandle) -> Result<tm::GetNodeInfoResponse, Status> {
    let status = status(node)?;
    Ok(tm::GetNodeInfoResponse {
        default_node_info: Some(tendermint::p2p::DefaultNodeInfo {
            protocol_version: Some(tendermint::p2p::ProtocolVersion { p2p: 8, block: 11, app: 1 }),
            network: status.chain_id,
            version: rpc::DIALECT.into(),
            moniker: "dodona".into(),
            other: Some(tendermint::p2p::DefaultNodeInfoOther {
                tx_index: "on".into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        application_version: Some(tm::VersionInfo {
            name: "dodona".into(),
            app_name: "dodona".into(),
            version: status.version,
            ..Default::default()
        }),
    })
}

/// A question within a question: any method by its path. What is wrong with the inner one is told in the answer, in
/// the codes of the RPC. Proofs are not given here; the RPC gives them.
fn abci_query(node: &NodeHandle, request: &[u8]) -> Result<tm::AbciQueryResponse, Status> {
    let q: tm::AbciQueryRequest = of(request)?;
    let at = u64::try_from(q.height).map_err(|_| Status::invalid("a height is not negative"))?;
    if q.path == "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery" {
        return Err(Status::invalid("a question within a question is one too many"));
    }
    let height = if at == 0 { node.head().height } else { at } as i64;
    Ok(match dispatch(node, &q.path, &q.data, at) {
        Ok(value) => tm::AbciQueryResponse { value, height, ..Default::default() },
        Err(status) => {
            let code = match status.code {
                5 => 22,
                12 => 6,
                _ => 18,
            };
            tm::AbciQueryResponse {
                code,
                log: status.message,
                codespace: "sdk".into(),
                height,
                ..Default::default()
            }
        }
    })
}
