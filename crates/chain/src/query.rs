//! One dispatch table from (path, request bytes) to answer bytes. Every door of the node asks through it.

use dodona_proto::{Address, chain as wire, path, subnets as subnet_wire, topics as wired};
use dodona_store::{Snapshot, StoreError};
use prost::Message;

use crate::{
    AppError, auth, bank, feemarket, mint, params, subnets, text,
    topics::query::{self as views, ViewError},
};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No query of this name.
    #[error("unknown query `{0}`")]
    Unknown(String),
    /// The request does not decode, or an argument is not what it should be.
    #[error("bad request: {0}")]
    Bad(String),
    /// What was asked for does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Our own fault.
    #[error("state cannot be read: {0}")]
    Internal(String),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<ViewError> for QueryError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Bad(cause) => Self::Bad(cause),
            ViewError::Store(error) => error.into(),
        }
    }
}

impl From<AppError> for QueryError {
    fn from(error: AppError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Answers a query by its name from a state.
pub(crate) fn answer(read: &Snapshot, name: &str, request: &[u8]) -> Result<Vec<u8>, QueryError> {
    fn of<M: Message + Default>(bytes: &[u8]) -> Result<M, QueryError> {
        M::decode(bytes).map_err(|e| QueryError::Bad(e.to_string()))
    }
    let no_topic = |id: u64| QueryError::NotFound(format!("topic {id}"));
    let no_subnet = |netuid: u32| QueryError::NotFound(format!("subnet {netuid}"));
    let no_epoch = |id: u64, nonce: u64| match nonce {
        0 => QueryError::NotFound(format!("topic {id} has no such epoch yet")),
        nonce => {
            QueryError::NotFound(format!("epoch {nonce} of topic {id}; it may be older than what is kept"))
        }
    };
    let height = || Ok::<u64, QueryError>(crate::TIP.get(read)?.ok_or(AppError::NoTip)?.height);
    Ok(match name {
        path::STATUS => status(read)?.encode_to_vec(),
        path::GAS => {
            let market = feemarket::get(read, &params::get(read)?)?;
            wire::QueryGasResponse {
                price: market.price.to_string(),
                learning_rate: market.learning_rate.to_string(),
                window: market.window,
                index: market.index,
            }
            .encode_to_vec()
        }
        path::ACCOUNT => {
            let q: wire::QueryAccountRequest = of(request)?;
            let address: Address = q.address.parse().map_err(|e| QueryError::Bad(format!("address: {e}")))?;
            let account = auth::account(read, address)?;
            wire::QueryAccountResponse {
                address: q.address,
                exists: account.is_some(),
                account_number: account.map_or(0, |a| a.number),
                sequence: account.map_or(0, |a| a.sequence),
                balance: bank::balance(read, address)?.to_string(),
            }
            .encode_to_vec()
        }
        path::TOPIC => {
            let q: wired::QueryTopicRequest = of(request)?;
            views::topic(read, q.topic_id)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::TOPICS => {
            let q: wired::QueryTopicsRequest = of(request)?;
            views::topics(read, &q)?.encode_to_vec()
        }
        path::WINDOWS => {
            let q: wired::QueryWindowsRequest = of(request)?;
            views::windows(read, q.topic_id, height()?)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::EPOCH => {
            let q: wired::QueryEpochRequest = of(request)?;
            let view = match q.resistant {
                true => views::resistant(read, q.topic_id, q.nonce)?,
                false => views::epoch(read, q.topic_id, q.nonce)?,
            };
            view.ok_or_else(|| no_epoch(q.topic_id, q.nonce))?.encode_to_vec()
        }
        path::EPOCHS => {
            let q: wired::QueryEpochsRequest = of(request)?;
            views::epochs(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::LEADERBOARD => {
            let q: wired::QueryLeaderboardRequest = of(request)?;
            views::leaderboard(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::PARAMS => views::params(read)?.encode_to_vec(),
        path::MEMBER => {
            let q: wired::QueryMemberRequest = of(request)?;
            views::member(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::INPUTS => {
            let q: wired::QueryInputsRequest = of(request)?;
            views::inputs(read, &q)?.ok_or_else(|| no_epoch(q.topic_id, q.nonce))?.encode_to_vec()
        }
        path::LOSSES => {
            let q: wired::QueryLossesRequest = of(request)?;
            views::losses(read, q.topic_id, q.nonce)?
                .ok_or_else(|| no_epoch(q.topic_id, q.nonce))?
                .encode_to_vec()
        }
        path::REGRETS => {
            let q: wired::QueryRegretsRequest = of(request)?;
            views::regrets(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::REMOVALS => {
            let q: wired::QueryRemovalsRequest = of(request)?;
            views::removals(read, q.until, q.limit)?.encode_to_vec()
        }
        path::STAKES => {
            let q: wired::QueryStakesRequest = of(request)?;
            views::stakes(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::DELEGATIONS => views::delegations(read, &of(request)?)?.encode_to_vec(),
        path::LIST => {
            let q: wired::QueryListRequest = of(request)?;
            views::list(read, &q)?.ok_or_else(|| no_topic(q.topic_id))?.encode_to_vec()
        }
        path::PERMISSIONS => views::permissions(read, &of(request)?)?.encode_to_vec(),
        path::EMISSION => views::emission(read, height()?)?.encode_to_vec(),
        path::EXPLAIN => {
            let q: wired::QueryExplainRequest = of(request)?;
            views::explain(read, &q)?.ok_or_else(|| no_epoch(q.topic_id, q.nonce))?.encode_to_vec()
        }
        path::SUBNETS => subnets::query::subnets(read, &of(request)?, height()?)?.encode_to_vec(),
        path::SUBNET => {
            let q: subnet_wire::QuerySubnetRequest = of(request)?;
            let found = subnets::query::subnet(read, q.netuid, height()?)?;
            found.ok_or_else(|| no_subnet(q.netuid))?.encode_to_vec()
        }
        path::METAGRAPH => {
            let q: subnet_wire::QueryMetagraphRequest = of(request)?;
            let found = subnets::query::metagraph(read, &q, height()?)?;
            found.ok_or_else(|| no_subnet(q.netuid))?.encode_to_vec()
        }
        path::NEURON => {
            let q: subnet_wire::QueryNeuronRequest = of(request)?;
            let none = || QueryError::NotFound(format!("no such neuron in subnet {}", q.netuid));
            subnets::query::neuron(read, &q, height()?)?.ok_or_else(none)?.encode_to_vec()
        }
        path::HOLDINGS => subnets::query::holdings(read, &of(request)?)?.encode_to_vec(),
        path::QUOTE => {
            let q: subnet_wire::QueryQuoteRequest = of(request)?;
            subnets::query::quote(read, &q)?.ok_or_else(|| no_subnet(q.netuid))?.encode_to_vec()
        }
        path::COLDKEY_SWAP => subnets::query::coldkey_swap(read, &of(request)?)?.encode_to_vec(),
        path::LOCKS => subnets::query::locks(read, &of(request)?, height()?)?.encode_to_vec(),
        path::SUBNET_RULES => subnets::query::all_rules(read)?.encode_to_vec(),
        // What published clients ask is asked under their names.
        other => {
            let unknown = || Err(QueryError::Unknown(text::printable(other)));
            return crate::emissions::answer(read, other, request).unwrap_or_else(unknown);
        }
    })
}

/// The chain's part of a status; block id and mempool are the node's to add.
fn status(read: &Snapshot) -> Result<wire::QueryStatusResponse, QueryError> {
    // One snapshot for all: a block may be committed while this is answered.
    let tip = crate::TIP.get(read)?.ok_or(AppError::NoTip)?;
    let params = params::get(read)?;
    Ok(wire::QueryStatusResponse {
        chain_id: tip.chain_id,
        height: tip.height,
        block_id: Vec::new(),
        app_hash: read.root().to_vec(),
        time_ms: tip.time_ms,
        txs: tip.txs,
        supply: bank::supply(read)?.to_string(),
        minted: mint::minted(read)?.to_string(),
        mempool_txs: 0,
        version: env!("CARGO_PKG_VERSION").into(),
        accounts: auth::count(read)?,
        min_gas_price: params.feemarket_min_base_gas_price.to_string(),
        gas_price: feemarket::get(read, &params)?.price.to_string(),
    })
}
