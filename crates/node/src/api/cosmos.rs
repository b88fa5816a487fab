//! Accounts, balances, transactions, blocks and gas as wallets and SDKs of the Cosmos family ask for them.

use dodona_chain::{Failure, QueryError, Refusal};
use dodona_proto::{
    DENOM,
    chain::{QueryAccountRequest, QueryAccountResponse, QueryStatusRequest, QueryStatusResponse, TxReceipt},
    cosmos::{
        auth::v1beta1 as auth,
        bank::v1beta1 as bank,
        base::{
            abci::v1beta1 as abci,
            tendermint::v1beta1 as tm,
            v1beta1::{Coin, DecCoin},
        },
        tx::v1beta1 as tx,
    },
    feemarket::v1 as feemarket,
    mint::v5 as mint,
    path, tendermint,
    topics::{QueryParamsRequest, QueryParamsResponse},
    tx::{TxHash, hash},
};
use prost::Message;
use prost_types::{Any, Timestamp};

use super::Status;
use crate::NodeHandle;

/// 1 uallo as an integer of eighteen decimals.
const DECIMALS: &str = "000000000000000000";

fn of<M: Message + Default>(bytes: &[u8]) -> Result<M, Status> {
    M::decode(bytes).map_err(Status::invalid)
}

fn ask<A: Message + Default>(node: &NodeHandle, path: &str, request: &impl Message) -> Result<A, Status> {
    let bytes = node.query(path, &request.encode_to_vec())?;
    A::decode(bytes.as_slice()).map_err(Status::internal)
}

/// Answers a method of the Cosmos services this node knows.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(match method {
        "/cosmos.auth.v1beta1.Query/AccountInfo" => {
            let q: auth::QueryAccountInfoRequest = of(request)?;
            auth::QueryAccountInfoResponse { info: Some(account(node, &q.address)?) }.encode_to_vec()
        }
        "/cosmos.auth.v1beta1.Query/Account" => {
            let q: auth::QueryAccountRequest = of(request)?;
            let account = account(node, &q.address)?.encode_to_vec();
            let any = Any { type_url: "/cosmos.auth.v1beta1.BaseAccount".into(), value: account };
            auth::QueryAccountResponse { account: Some(any) }.encode_to_vec()
        }
        "/cosmos.bank.v1beta1.Query/Balance" => {
            let q: bank::QueryBalanceRequest = of(request)?;
            let amount = if q.denom == DENOM { balance(node, &q.address)? } else { "0".into() };
            bank::QueryBalanceResponse { balance: Some(Coin { denom: q.denom, amount }) }.encode_to_vec()
        }
        "/cosmos.bank.v1beta1.Query/AllBalances" => {
            let q: bank::QueryAllBalancesRequest = of(request)?;
            let balances = coins(balance(node, &q.address)?);
            bank::QueryAllBalancesResponse { balances, pagination: None }.encode_to_vec()
        }
        "/cosmos.bank.v1beta1.Query/SpendableBalances" => {
            let q: bank::QuerySpendableBalancesRequest = of(request)?;
            let balances = coins(balance(node, &q.address)?);
            bank::QuerySpendableBalancesResponse { balances, pagination: None }.encode_to_vec()
        }
        "/cosmos.tx.v1beta1.Service/Simulate" => simulate(node, request)?,
        "/cosmos.tx.v1beta1.Service/BroadcastTx" => {
            let q: tx::BroadcastTxRequest = of(request)?;
            tx::BroadcastTxResponse { tx_response: Some(broadcast(node, &q.tx_bytes)) }.encode_to_vec()
        }
        "/cosmos.tx.v1beta1.Service/GetTx" => {
            let q: tx::GetTxRequest = of(request)?;
            get_tx(node, &q.hash)?.encode_to_vec()
        }
        "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo" => node_info(node)?.encode_to_vec(),
        "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock" => latest_block(node)?.encode_to_vec(),
        "/cosmos.base.tendermint.v1beta1.Service/GetSyncing" => {
            tm::GetSyncingResponse { syncing: false }.encode_to_vec()
        }
        "/feemarket.feemarket.v1.Query/GasPrice" => {
            feemarket::GasPriceResponse { price: Some(gas_price(node)?) }.encode_to_vec()
        }
        "/feemarket.feemarket.v1.Query/GasPrices" => {
            feemarket::GasPricesResponse { prices: vec![gas_price(node)?] }.encode_to_vec()
        }
        "/mint.v5.QueryService/Params" => {
            let params: QueryParamsResponse = ask(node, path::PARAMS, &QueryParamsRequest {})?;
            let value = |name: &str| {
                params.params.iter().find(|p| p.name == name).map_or(String::new(), |p| p.value.clone())
            };
            let params = mint::Params {
                mint_denom: DENOM.into(),
                max_supply: value("max_supply"),
                f_emission: value("f_emission"),
                one_month_smoothing_degree: value("one_month_smoothing_degree"),
                ecosystem_treasury_percent_of_total_supply: value(
                    "ecosystem_treasury_percent_of_total_supply",
                ),
                foundation_treasury_percent_of_total_supply: value(
                    "foundation_treasury_percent_of_total_supply",
                ),
                participants_percent_of_total_supply: value("participants_percent_of_total_supply"),
                investors_percent_of_total_supply: value("investors_percent_of_total_supply"),
                team_percent_of_total_supply: value("team_percent_of_total_supply"),
                maximum_monthly_percentage_yield: value("maximum_monthly_percentage_yield"),
                investors_preseed_percent_of_total_supply: value("investors_preseed_percent_of_total_supply"),
                emission_enabled: value("emission_enabled") == "true",
            };
            mint::QueryServiceParamsResponse { params: Some(params) }.encode_to_vec()
        }
        other => return Err(Status::unimplemented(other)),
    })
}

fn native_account(node: &NodeHandle, address: &str) -> Result<QueryAccountResponse, Status> {
    ask(node, path::ACCOUNT, &QueryAccountRequest { address: address.into() })
}

fn account(node: &NodeHandle, address: &str) -> Result<auth::BaseAccount, Status> {
    let account = native_account(node, address)?;
    if !account.exists {
        return Err(Status::not_found(format!("account {address} not found")));
    }
    Ok(auth::BaseAccount {
        address: account.address,
        // The chain keeps addresses, which keys give; clients that sign know their own.
        pub_key: None,
        account_number: account.account_number,
        sequence: account.sequence,
    })
}

fn balance(node: &NodeHandle, address: &str) -> Result<String, Status> {
    Ok(native_account(node, address)?.balance)
}

fn coins(amount: String) -> Vec<Coin> {
    if amount == "0" { Vec::new() } else { vec![Coin { denom: DENOM.into(), amount }] }
}

fn simulate(node: &NodeHandle, request: &[u8]) -> Result<Vec<u8>, Status> {
    let q: tx::SimulateRequest = of(request)?;
    let gas_used = node.app().simulate(&q.tx_bytes).map_err(|failure| match failure {
        Failure::Refused(refusal) => Status::unknown(refusal),
        Failure::Halt(error) => Status::internal(error),
    })?;
    let gas_info = abci::GasInfo { gas_wanted: gas_used, gas_used };
    Ok(tx::SimulateResponse { gas_info: Some(gas_info), result: Some(abci::Result::default()) }
        .encode_to_vec())
}

/// Hands a transaction in; a refusal is an answer too.
pub(super) fn broadcast(node: &NodeHandle, bytes: &[u8]) -> abci::TxResponse {
    let txhash = hex::encode_upper(hash(bytes));
    match node.broadcast(bytes) {
        Ok(_) => abci::TxResponse { txhash, ..Default::default() },
        Err(refusal) => refused(txhash, refusal),
    }
}

fn refused(txhash: String, refusal: Refusal) -> abci::TxResponse {
    abci::TxResponse {
        txhash,
        codespace: refusal.codespace.into(),
        code: refusal.code,
        raw_log: refusal.log,
        ..Default::default()
    }
}

fn get_tx(node: &NodeHandle, text: &str) -> Result<tx::GetTxResponse, Status> {
    let hash: TxHash = hex::decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Status::invalid("a transaction hash has 64 hex digits"))?;
    let txhash = hex::encode_upper(hash);
    if let Some(receipt) = node.tx(&hash).map_err(Status::internal)? {
        return Ok(tx::GetTxResponse { tx: None, tx_response: Some(included(txhash, receipt)) });
    }
    // A refused transaction is in no block; whoever asks learns at once why, instead of waiting for nothing.
    if let Some(refusal) = node.refusal(&hash) {
        return Ok(tx::GetTxResponse { tx: None, tx_response: Some(refused(txhash, refusal)) });
    }
    Err(Status::not_found(format!("tx not found: {txhash}")))
}

fn included(txhash: String, r: TxReceipt) -> abci::TxResponse {
    abci::TxResponse {
        height: r.height as i64,
        txhash,
        codespace: r.codespace,
        code: r.code,
        raw_log: r.log,
        gas_wanted: r.gas_wanted as i64,
        gas_used: r.gas_used as i64,
        ..Default::default()
    }
}

pub(super) fn status(node: &NodeHandle) -> Result<QueryStatusResponse, Status> {
    ask(node, path::STATUS, &QueryStatusRequest {})
}

fn gas_price(node: &NodeHandle) -> Result<DecCoin, Status> {
    let price = status(node)?.min_gas_price;
    Ok(DecCoin { denom: DENOM.into(), amount: format!("{price}{DECIMALS}") })
}

fn node_info(node: &NodeHandle) -> Result<tm::GetNodeInfoResponse, Status> {
    let status = status(node)?;
    Ok(tm::GetNodeInfoResponse {
        default_node_info: Some(tendermint::p2p::DefaultNodeInfo {
            network: status.chain_id,
            version: super::rpc::DIALECT.into(),
            moniker: "dodona".into(),
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

fn latest_block(node: &NodeHandle) -> Result<tm::GetLatestBlockResponse, Status> {
    let block = node.block(0).map_err(Status::internal)?.ok_or_else(|| Status::not_found("no block yet"))?;
    let header = tm::Header {
        chain_id: block.chain_id,
        height: block.height as i64,
        time: Some(Timestamp {
            seconds: (block.time_ms / 1_000) as i64,
            nanos: (block.time_ms % 1_000 * 1_000_000) as i32,
        }),
        app_hash: block.app_hash,
        ..Default::default()
    };
    Ok(tm::GetLatestBlockResponse {
        block_id: None,
        block: None,
        sdk_block: Some(tm::Block { header: Some(header), ..Default::default() }),
    })
}

impl From<dodona_store::StoreError> for Status {
    fn from(error: dodona_store::StoreError) -> Self {
        QueryError::from(error).into()
    }
}
