//! Services of the Cosmos family, as far as wallets, explorers and SDKs need them: a file per group of services.

mod accounts;
pub(super) mod base;
mod blocks;
mod distribution;
mod economy;
mod page;
mod slashing;
mod staking;
pub(super) mod tx;
mod validators;

pub(super) use accounts::ABOUT_AN_ACCOUNT;
use prost::Message;

use super::Status;
use crate::NodeHandle;

/// Answers a method of one of these services from the state after block `at`; 0 is the newest.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    let service = method.rsplit_once('/').map_or("", |(service, _)| service);
    match service {
        "/cosmos.auth.v1beta1.Query" | "/cosmos.bank.v1beta1.Query" => {
            accounts::answer(node, method, request, at)
        }
        "/cosmos.tx.v1beta1.Service" => tx::answer(node, method, request),
        "/cosmos.base.tendermint.v1beta1.Service"
        | "/cosmos.base.node.v1beta1.Service"
        | "/cosmos.params.v1beta1.Query" => base::answer(node, method, request),
        "/cosmos.staking.v1beta1.Query" => staking::answer(node, method, request, at),
        "/cosmos.distribution.v1beta1.Query" => distribution::answer(node, method, request, at),
        "/cosmos.slashing.v1beta1.Query" => slashing::answer(node, method, request, at),
        "/feemarket.feemarket.v1.Query" | "/mint.v5.QueryService" | "/cosmos.mint.v1beta1.Query" => {
            economy::answer(node, method, request, at)
        }
        _ => Err(Status::unimplemented(method)),
    }
}

fn of<M: Message + Default>(bytes: &[u8]) -> Result<M, Status> {
    M::decode(bytes).map_err(Status::invalid)
}

fn ask<A: Message + Default>(
    node: &NodeHandle,
    path: &str,
    request: &impl Message,
    at: u64,
) -> Result<A, Status> {
    let bytes = node.query_at(path, &request.encode_to_vec(), at)?;
    A::decode(bytes.as_slice()).map_err(Status::internal)
}
