//! `dodona status` and `dodona peers`: how a node is, asked over its own doors.

use anyhow::{Context, Result};
use dodona_client::Http;
use serde_json::{Value, json};

use super::{net, now_ms};
use crate::{
    cli::{Output, PeersArgs, StatusArgs},
    output::print,
};

pub fn status(args: StatusArgs) -> Result<()> {
    let s = net::client(&args.node).status()?;
    let age = now_ms().saturating_sub(s.time_ms) as f64 / 1_000.0;
    if args.output == Output::Json {
        let shown = json!({
            "chain_id": s.chain_id, "height": s.height, "block_id": hex::encode(&s.block_id),
            "app_hash": hex::encode(&s.app_hash), "time_ms": s.time_ms, "age_seconds": age, "txs": s.txs,
            "mempool_txs": s.mempool_txs, "accounts": s.accounts, "supply": s.supply, "gas_price": s.gas_price,
            "version": s.version,
        });
        return print(&format!("{shown}\n"));
    }
    let supply = s.supply.parse().map_or_else(|_| s.supply.clone(), net::allo);
    print(&format!(
        "chain      {}\nblock      {}, {}\nid         {}\nstate root {}\nwaiting    {} transactions\nsince genesis {} transactions, {} accounts, {supply}\ngas price  {} uallo\nversion    {}\n",
        s.chain_id,
        s.height,
        // A compressed clock has a time of its own.
        if age < 86_400.0 {
            format!("{age:.1} s old")
        } else {
            format!("its time is {} days ago", (age / 86_400.0) as u64)
        },
        hex::encode(&s.block_id),
        hex::encode(&s.app_hash),
        s.mempool_txs,
        s.txs,
        s.accounts,
        s.gas_price,
        s.version
    ))
}

pub fn peers(args: PeersArgs) -> Result<()> {
    let answer = Http::new(&args.rpc).page("/net_info").context("the RPC door of a node knows its peers")?;
    let result = &answer["result"];
    if args.output == Output::Json {
        return print(&format!("{result}\n"));
    }
    let peers = result["peers"].as_array().cloned().unwrap_or_default();
    if peers.is_empty() {
        return print("no peers: alone, or nobody reached yet (see [consensus] persistent in config.toml)\n");
    }
    let text = |v: &Value| v.as_str().unwrap_or("-").to_string();
    let mut out = format!("{:<56}{:<20}address\n", "peer", "moniker");
    for peer in &peers {
        let info = &peer["node_info"];
        out.push_str(&format!(
            "{:<56}{:<20}{}\n",
            text(&info["id"]),
            text(&info["moniker"]),
            text(&peer["remote_ip"])
        ));
    }
    print(&out)
}
