//! What people and wallets look at first: a page that lists the methods, and the chain's card in two published forms.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use dodona_proto::{DENOM, PREFIX};
use serde_json::{Value, json};

use crate::{
    NodeHandle,
    api::{Status, aside, cosmos},
};

/// Ports of the doors beside this one.
#[derive(Copy, Clone, Default)]
pub(crate) struct Ports {
    pub rest: Option<u16>,
    pub grpc: Option<u16>,
    pub rpc: Option<u16>,
}

/// `/docs`.
pub(crate) async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

/// `/.well-known/dodona/chain.json`: the form of the public registry of Cosmos chains.
pub(crate) async fn chain(
    State(node): State<NodeHandle>,
    Extension(ports): Extension<Ports>,
    headers: HeaderMap,
) -> Result<Response, Status> {
    let development = node.has_faucet();
    let (id, price) = about(node).await?;
    let here = Here::of(&headers);
    let door = |port: Option<u16>| port.map(|port| json!({ "address": here.at(port) })).into_iter();
    let grpc = ports.grpc.map(|port| json!({ "address": format!("{}:{port}", here.name) }));
    Ok(Json(json!({
        "chain_name": "dodona",
        "chain_id": id,
        "pretty_name": "Dodona",
        "chain_type": "cosmos",
        "bech32_prefix": PREFIX,
        "slip44": 118,
        "key_algos": ["secp256k1"],
        "fees": { "fee_tokens": [{
            "denom": DENOM, "fixed_min_gas_price": price,
            "low_gas_price": price, "average_gas_price": price * 1.5, "high_gas_price": price * 2.5,
        }] },
        "staking": { "staking_tokens": [{ "denom": DENOM }] },
        "codebase": { "recommended_version": env!("CARGO_PKG_VERSION") },
        "apis": {
            "rest": [{ "address": here.whole }],
            "rpc": door(ports.rpc).collect::<Vec<_>>(),
            "grpc": grpc.into_iter().collect::<Vec<_>>(),
        },
        // Whether addresses that nobody has heard of are given tokens here.
        "development": development,
        "docs": format!("{}/docs", here.whole),
        "openapi": format!("{}/openapi.json", here.whole),
    }))
    .into_response())
}

/// `/.well-known/keplr/chain.json`: what a page hands to a wallet so that it learns about this chain.
pub(crate) async fn keplr(
    State(node): State<NodeHandle>,
    Extension(ports): Extension<Ports>,
    headers: HeaderMap,
) -> Result<Response, Status> {
    let (id, price) = about(node).await?;
    let here = Here::of(&headers);
    let currency = || json!({ "coinDenom": "ALLO", "coinMinimalDenom": DENOM, "coinDecimals": 18 });
    let mut fee: Value = currency();
    fee["gasPriceStep"] = json!({ "low": price, "average": price * 1.5, "high": price * 2.5 });
    Ok(Json(json!({
        "chainId": id,
        "chainName": format!("Dodona ({id})"),
        "rpc": ports.rpc.map(|port| here.at(port)),
        // The door that browsers of any page may ask: the dashboard's own is for itself.
        "rest": ports.rest.map_or_else(|| here.whole.clone(), |port| here.at(port)),
        "bip44": { "coinType": 118 },
        "bech32Config": {
            "bech32PrefixAccAddr": PREFIX,
            "bech32PrefixAccPub": format!("{PREFIX}pub"),
            "bech32PrefixValAddr": format!("{PREFIX}valoper"),
            "bech32PrefixValPub": format!("{PREFIX}valoperpub"),
            "bech32PrefixConsAddr": format!("{PREFIX}valcons"),
            "bech32PrefixConsPub": format!("{PREFIX}valconspub"),
        },
        "currencies": [currency()],
        "feeCurrencies": [fee],
        "stakeCurrency": currency(),
        "features": [],
    }))
    .into_response())
}

/// The chain's name and what a unit of gas costs at least, in uallo.
async fn about(node: NodeHandle) -> Result<(String, f64), Status> {
    let status = aside(move || cosmos::base::status(&node)).await??;
    let price = status.min_gas_price.parse().map_err(Status::internal)?;
    Ok((status.chain_id, price))
}

/// Where whoever asks has found this door.
struct Here {
    scheme: &'static str,
    /// Without a port.
    name: String,
    whole: String,
}

impl Here {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        let sane = |host: &&str| {
            !host.is_empty()
                && host.len() <= 255
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        };
        let host = text(header::HOST.as_str()).filter(sane).unwrap_or("localhost");
        // Of `[::1]:1317` the colons within brackets are not the port's.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        Self { scheme, name: name.into(), whole: format!("{scheme}://{host}") }
    }

    fn at(&self, port: u16) -> String {
        format!("{}://{}:{port}", self.scheme, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(host: &str, proto: &str) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert("x-forwarded-proto", proto.parse().unwrap());
        let here = Here::of(&headers);
        (here.at(26657), here.whole)
    }

    #[test]
    fn addresses_follow_the_name_under_which_the_door_was_found() {
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(here("example.org:1317", ""), pair("http://example.org:26657", "http://example.org:1317"));
        assert_eq!(here("[::1]:1317", ""), pair("http://[::1]:26657", "http://[::1]:1317"));
        assert_eq!(here("example.org", "https"), pair("https://example.org:26657", "https://example.org"));
        assert_eq!(here("a\"><script>", ""), pair("http://localhost:26657", "http://localhost"));
        assert_eq!(Here::of(&HeaderMap::new()).whole, "http://localhost");
    }
}
