//! Accounts and what they hold: the services auth and bank. The chain keeps addresses, not the keys they come from, so
//! `pub_key` of an account stays empty; clients that sign know their own.

use dodona_chain::{BYTE, SIGNATURE, ledger};
use dodona_proto::{
    Address, DENOM, PREFIX,
    chain::{QueryAccountRequest, QueryAccountResponse},
    cosmos::{auth::v1beta1 as auth, bank::v1beta1 as bank, base::v1beta1::Coin},
    path,
};
use prost::Message;
use prost_types::Any;

use super::{ask, base::status_at, of, page::Page};
use crate::{NodeHandle, api::Status};

/// Questions about one account, whose address is their first field.
pub(crate) const ABOUT_AN_ACCOUNT: [&str; 6] = [
    "/cosmos.auth.v1beta1.Query/Account",
    "/cosmos.auth.v1beta1.Query/AccountInfo",
    "/cosmos.bank.v1beta1.Query/Balance",
    "/cosmos.bank.v1beta1.Query/AllBalances",
    "/cosmos.bank.v1beta1.Query/SpendableBalances",
    "/cosmos.bank.v1beta1.Query/SpendableBalanceByDenom",
];
/// Longest memo of a transaction, bytes; the chain refuses longer ones.
const MAX_MEMO: u64 = 256;

/// Answers a method of these services.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    match method.strip_prefix("/cosmos.auth.v1beta1.Query/") {
        Some(name) => auth_query(node, name, request, at),
        None => bank_query(node, method, request, at),
    }
}

fn auth_query(node: &NodeHandle, name: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    Ok(match name {
        "AccountInfo" => {
            let q: auth::QueryAccountInfoRequest = of(request)?;
            auth::QueryAccountInfoResponse { info: Some(account(node, &q.address, at)?) }.encode_to_vec()
        }
        "Account" => {
            let q: auth::QueryAccountRequest = of(request)?;
            let account = Some(base_account(account(node, &q.address, at)?));
            auth::QueryAccountResponse { account }.encode_to_vec()
        }
        "Accounts" => {
            let q: auth::QueryAccountsRequest = of(request)?;
            let state = node.state(at)?;
            let total = status_at(node, at)?.accounts;
            let (rows, pagination) = Page::of(q.pagination)?.scan(
                |start, limit| Ok(ledger::accounts(&state, Address(start), limit)?),
                |row| row.address.0,
                total,
            )?;
            let account = |row: ledger::AccountRow| auth::BaseAccount {
                address: row.address.to_string(),
                pub_key: None,
                account_number: row.number,
                sequence: row.sequence,
            };
            let accounts = rows.into_iter().map(|row| base_account(account(row))).collect();
            auth::QueryAccountsResponse { accounts, pagination }.encode_to_vec()
        }
        "ModuleAccounts" => {
            // Some come into being with the first thing they hold.
            let state = node.state(at)?;
            let mut accounts = Vec::new();
            for (name, address) in ledger::own_accounts() {
                if ledger::account(&state, address)?.is_some() {
                    accounts.push(module_account(node, name, address, at)?);
                }
            }
            auth::QueryModuleAccountsResponse { accounts }.encode_to_vec()
        }
        "ModuleAccountByName" => {
            let q: auth::QueryModuleAccountByNameRequest = of(request)?;
            let found = ledger::own_accounts().into_iter().find(|(name, _)| *name == q.name);
            let (name, address) =
                found.ok_or_else(|| Status::not_found(format!("account {} not found", q.name)))?;
            let account = Some(module_account(node, name, address, at)?);
            auth::QueryModuleAccountByNameResponse { account }.encode_to_vec()
        }
        "Params" => {
            let params = auth::Params {
                max_memo_characters: MAX_MEMO,
                tx_sig_limit: 1,
                tx_size_cost_per_byte: BYTE,
                sig_verify_cost_ed25519: SIGNATURE,
                sig_verify_cost_secp256k1: SIGNATURE,
            };
            auth::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        "Bech32Prefix" => auth::Bech32PrefixResponse { bech32_prefix: PREFIX.into() }.encode_to_vec(),
        "AddressBytesToString" => {
            let q: auth::AddressBytesToStringRequest = of(request)?;
            let bytes: [u8; 20] = q
                .address_bytes
                .as_slice()
                .try_into()
                .map_err(|_| Status::invalid("an address has 20 bytes"))?;
            auth::AddressBytesToStringResponse { address_string: Address(bytes).to_string() }.encode_to_vec()
        }
        "AddressStringToBytes" => {
            let q: auth::AddressStringToBytesRequest = of(request)?;
            let address: Address = q.address_string.parse().map_err(Status::invalid)?;
            auth::AddressStringToBytesResponse { address_bytes: address.0.to_vec() }.encode_to_vec()
        }
        other => return Err(Status::unimplemented(other)),
    })
}

fn bank_query(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Balance" => {
            let q: bank::QueryBalanceRequest = of(request)?;
            let balance = Some(held(node, &q.address, q.denom, at)?);
            bank::QueryBalanceResponse { balance }.encode_to_vec()
        }
        "AllBalances" => {
            let q: bank::QueryAllBalancesRequest = of(request)?;
            let balances = coins(balance(node, &q.address, at)?);
            let (balances, pagination) = Page::of(q.pagination)?.cut(balances)?;
            bank::QueryAllBalancesResponse { balances, pagination }.encode_to_vec()
        }
        // Nothing is locked in an account: stake leaves it.
        "SpendableBalances" => {
            let q: bank::QuerySpendableBalancesRequest = of(request)?;
            let balances = coins(balance(node, &q.address, at)?);
            let (balances, pagination) = Page::of(q.pagination)?.cut(balances)?;
            bank::QuerySpendableBalancesResponse { balances, pagination }.encode_to_vec()
        }
        "SpendableBalanceByDenom" => {
            let q: bank::QuerySpendableBalanceByDenomRequest = of(request)?;
            let balance = Some(held(node, &q.address, q.denom, at)?);
            bank::QuerySpendableBalanceByDenomResponse { balance }.encode_to_vec()
        }
        "TotalSupply" => {
            let q: bank::QueryTotalSupplyRequest = of(request)?;
            let supply = coins(status_at(node, at)?.supply);
            let (supply, pagination) = Page::of(q.pagination)?.cut(supply)?;
            bank::QueryTotalSupplyResponse { supply, pagination }.encode_to_vec()
        }
        "SupplyOf" => {
            let q: bank::QuerySupplyOfRequest = of(request)?;
            let amount = if q.denom == DENOM { status_at(node, at)?.supply } else { "0".into() };
            bank::QuerySupplyOfResponse { amount: Some(Coin { denom: q.denom, amount }) }.encode_to_vec()
        }
        "Params" => {
            let params = bank::Params { send_enabled: Vec::new(), default_send_enabled: true };
            bank::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        // Only exceptions are listed, and there are none.
        "SendEnabled" => bank::QuerySendEnabledResponse::default().encode_to_vec(),
        "DenomMetadata" => {
            let q: bank::QueryDenomMetadataRequest = of(request)?;
            bank::QueryDenomMetadataResponse { metadata: Some(metadata_of(&q.denom)?) }.encode_to_vec()
        }
        "DenomMetadataByQueryString" => {
            let q: bank::QueryDenomMetadataByQueryStringRequest = of(request)?;
            bank::QueryDenomMetadataByQueryStringResponse { metadata: Some(metadata_of(&q.denom)?) }
                .encode_to_vec()
        }
        "DenomsMetadata" => {
            let q: bank::QueryDenomsMetadataRequest = of(request)?;
            let (metadatas, pagination) = Page::of(q.pagination)?.cut(vec![metadata()])?;
            bank::QueryDenomsMetadataResponse { metadatas, pagination }.encode_to_vec()
        }
        "DenomOwners" => {
            let q: bank::QueryDenomOwnersRequest = of(request)?;
            let (denom_owners, pagination) = owners(node, &q.denom, Page::of(q.pagination)?, at)?;
            bank::QueryDenomOwnersResponse { denom_owners, pagination }.encode_to_vec()
        }
        "DenomOwnersByQuery" => {
            let q: bank::QueryDenomOwnersByQueryRequest = of(request)?;
            let (denom_owners, pagination) = owners(node, &q.denom, Page::of(q.pagination)?, at)?;
            bank::QueryDenomOwnersByQueryResponse { denom_owners, pagination }.encode_to_vec()
        }
        _ => return Err(Status::unimplemented(method)),
    })
}

fn native_account(node: &NodeHandle, address: &str, at: u64) -> Result<QueryAccountResponse, Status> {
    ask(node, path::ACCOUNT, &QueryAccountRequest { address: address.into() }, at)
}

fn account(node: &NodeHandle, address: &str, at: u64) -> Result<auth::BaseAccount, Status> {
    let account = native_account(node, address, at)?;
    if !account.exists {
        return Err(Status::not_found(format!("account {address} not found")));
    }
    Ok(auth::BaseAccount {
        address: account.address,
        pub_key: None,
        account_number: account.account_number,
        sequence: account.sequence,
    })
}

fn base_account(account: auth::BaseAccount) -> Any {
    Any { type_url: "/cosmos.auth.v1beta1.BaseAccount".into(), value: account.encode_to_vec() }
}

/// An account of the chain itself. Until it first holds something it has no number, and stands here with 0.
fn module_account(node: &NodeHandle, name: &str, address: Address, at: u64) -> Result<Any, Status> {
    let row = ledger::account(&node.state(at)?, address)?;
    let base = auth::BaseAccount {
        address: address.to_string(),
        pub_key: None,
        account_number: row.map_or(0, |row| row.number),
        sequence: row.map_or(0, |row| row.sequence),
    };
    let account =
        auth::ModuleAccount { base_account: Some(base), name: name.into(), permissions: Vec::new() };
    Ok(Any { type_url: "/cosmos.auth.v1beta1.ModuleAccount".into(), value: account.encode_to_vec() })
}

fn balance(node: &NodeHandle, address: &str, at: u64) -> Result<String, Status> {
    Ok(native_account(node, address, at)?.balance)
}

/// What an account holds of a token; nothing of one that does not exist.
fn held(node: &NodeHandle, address: &str, denom: String, at: u64) -> Result<Coin, Status> {
    let balance = balance(node, address, at)?;
    let amount = if denom == DENOM { balance } else { "0".into() };
    Ok(Coin { denom, amount })
}

fn coins(amount: String) -> Vec<Coin> {
    if amount == "0" { Vec::new() } else { vec![Coin { denom: DENOM.into(), amount }] }
}

fn metadata_of(denom: &str) -> Result<bank::Metadata, Status> {
    if denom == DENOM {
        return Ok(metadata());
    }
    Err(Status::not_found(format!("client metadata for denom {denom}")))
}

fn metadata() -> bank::Metadata {
    let unit = |denom: &str, exponent| bank::DenomUnit { denom: denom.into(), exponent, aliases: Vec::new() };
    bank::Metadata {
        description: "Pays for answers, stake and gas.".into(),
        denom_units: vec![unit(DENOM, 0), unit("allo", 18)],
        base: DENOM.into(),
        display: "allo".into(),
        name: "Allo".into(),
        symbol: "ALLO".into(),
        uri: String::new(),
        uri_hash: String::new(),
    }
}

type Owners = (Vec<bank::DenomOwner>, Option<dodona_proto::cosmos::base::query::v1beta1::PageResponse>);

fn owners(node: &NodeHandle, denom: &str, page: Page, at: u64) -> Result<Owners, Status> {
    if denom != DENOM {
        return page.cut(Vec::new());
    }
    let state = node.state(at)?;
    // How many there are is not counted anywhere.
    let (rows, pagination) = page.scan(
        |start, limit| Ok(ledger::holders(&state, Address(start), limit)?),
        |(address, _)| address.0,
        0,
    )?;
    let owner = |(address, amount): (Address, u128)| bank::DenomOwner {
        address: address.to_string(),
        balance: Some(Coin { denom: DENOM.into(), amount: amount.to_string() }),
    };
    Ok((rows.into_iter().map(owner).collect(), pagination))
}
