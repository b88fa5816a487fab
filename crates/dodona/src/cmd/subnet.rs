//! `dodona subnet`: subnets, their neurons and their trades, from a shell.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dodona_client::{Client, Http};
use dodona_proto::{
    Address,
    chain::TxReceipt,
    path,
    subnets::{
        MsgCreateSubnet, MsgMoveStake, MsgRegisterNeuron, MsgSetHyperparameters, MsgSetWeights, MsgStake,
        MsgStartSubnet, MsgUnstake, Neuron, QueryHoldingsRequest, QueryHoldingsResponse,
        QueryMetagraphRequest, QueryMetagraphResponse, QuerySubnetRequest, QuerySubnetsRequest,
        QuerySubnetsResponse, Setting, Subnet,
    },
    tx::pack,
    url,
};
use prost_types::Any;
use serde_json::json;

use super::net::{self, allo, amount};
use crate::{
    cli::{Output, SignArgs, SubnetCommand, UnlockArgs},
    output::print,
};

/// Gas of a subnet's messages, with room for weights of everybody.
const GAS: u64 = 500_000;
/// Base units of the chain in one of the subnets'.
const UNIT: u128 = 1_000_000_000;

pub fn run(command: SubnetCommand) -> Result<()> {
    match command {
        SubnetCommand::List { node, output } => {
            let answer: QuerySubnetsResponse =
                net::client(&node).ask(path::SUBNETS, &QuerySubnetsRequest::default())?;
            show(output, &json!(answer), || list(&answer))
        }
        SubnetCommand::Show { id, node, output } => {
            let subnet = subnet(&net::client(&node), id)?;
            show(output, &json!(subnet), || text(&subnet))
        }
        SubnetCommand::Metagraph { id, weights, node, output } => {
            let request = QueryMetagraphRequest { netuid: id, mechanism: 0, weights };
            let answer: QueryMetagraphResponse = net::client(&node).ask(path::METAGRAPH, &request)?;
            show(output, &json!(answer), || metagraph(&answer))
        }
        SubnetCommand::Holdings { coldkey, node, output } => {
            let request = QueryHoldingsRequest { coldkey: address(&coldkey)?, ..Default::default() };
            let answer: QueryHoldingsResponse = net::client(&node).ask(path::HOLDINGS, &request)?;
            show(output, &json!(answer), || holdings(&answer))
        }
        SubnetCommand::Create { name, hotkey, max_cost, sign, output } => {
            let (hotkey, max_cost) = (address(&hotkey)?, limit(max_cost)?);
            let receipt = send(&sign, |sender| {
                pack(url::CREATE_SUBNET, &MsgCreateSubnet { sender, hotkey, name, max_cost })
            })?;
            let id = attribute(&receipt, "subnet_created", "netuid")?;
            let subnet =
                subnet(&net::client(&sign.node), id.parse().context("the receipt names no subnet")?)?;
            show(output, &json!(subnet), || text(&subnet))
        }
        SubnetCommand::Start { id, sign, output } => {
            let receipt =
                send(&sign, |sender| pack(url::START_SUBNET, &MsgStartSubnet { sender, netuid: id }))?;
            done(output, &receipt)
        }
        SubnetCommand::Register { id, hotkey, max_cost, sign, output } => {
            let (hotkey, max_cost) = (address(&hotkey)?, limit(max_cost)?);
            let receipt = send(&sign, |sender| {
                pack(url::REGISTER_NEURON, &MsgRegisterNeuron { sender, netuid: id, hotkey, max_cost })
            })?;
            done(output, &receipt)
        }
        SubnetCommand::Stake { id, amount: text, hotkey, limit_price, sign, output } => {
            let (hotkey, amount) = (address(&hotkey)?, amount(&text)?.to_string());
            let limit_price = limit_price.unwrap_or_default();
            let receipt = send(&sign, |sender| {
                pack(url::STAKE, &MsgStake { sender, hotkey, netuid: id, amount, limit_price })
            })?;
            done(output, &receipt)
        }
        SubnetCommand::Unstake { id, amount, hotkey, limit_price, sign, output } => {
            let (hotkey, amount) =
                (address(&hotkey)?, amount.map_or(Ok(String::new()), |text| units(&text))?);
            let limit_price = limit_price.unwrap_or_default();
            let receipt = send(&sign, |sender| {
                pack(url::UNSTAKE, &MsgUnstake { sender, hotkey, netuid: id, amount, limit_price })
            })?;
            done(output, &receipt)
        }
        SubnetCommand::Move { id, amount, hotkey, to, to_hotkey, sign, output } => {
            let amount = amount.map_or(Ok(String::new()), |text| units(&text))?;
            let (hotkey, to_hotkey) = (address(&hotkey)?, address(&to_hotkey)?);
            let receipt = send(&sign, |sender| {
                pack(
                    url::MOVE_STAKE,
                    &MsgMoveStake {
                        sender,
                        hotkey,
                        netuid: id,
                        amount,
                        to_hotkey,
                        to_netuid: to,
                        ..MsgMoveStake::default()
                    },
                )
            })?;
            done(output, &receipt)
        }
        SubnetCommand::Weights { id, weights, version, sign, output } => {
            let mut message = MsgSetWeights { netuid: id, version_key: version, ..MsgSetWeights::default() };
            for text in &weights {
                let wrong = || format!("`{text}` is no weight: write uid=value such as 3=65535");
                let (uid, value) = text.split_once('=').with_context(wrong)?;
                message.uids.push(uid.parse().with_context(wrong)?);
                message.values.push(value.parse().with_context(wrong)?);
            }
            let receipt = send(&sign, |sender| pack(url::SET_WEIGHTS, &MsgSetWeights { sender, ..message }))?;
            done(output, &receipt)
        }
        SubnetCommand::Hyperparameters { id, set, sign, output } => {
            let set = set
                .iter()
                .map(|text| {
                    let (name, value) =
                        text.split_once('=').with_context(|| format!("`{text}` is not name=value"))?;
                    Ok(Setting { name: name.into(), value: value.into() })
                })
                .collect::<Result<_>>()?;
            let receipt = send(&sign, |sender| {
                pack(url::SET_HYPERPARAMETERS, &MsgSetHyperparameters { sender, netuid: id, set })
            })?;
            done(output, &receipt)
        }
    }
}

fn show(output: Output, json: &serde_json::Value, text: impl FnOnce() -> String) -> Result<()> {
    print(&match output {
        Output::Json => json.to_string() + "\n",
        Output::Text => text(),
    })
}

/// Signs and sends one message and waits for its block.
fn send(sign: &SignArgs, message: impl FnOnce(String) -> Any) -> Result<TxReceipt> {
    let key = net::key(&sign.key, &sign.unlock)?;
    let message = message(key.address().to_string());
    net::send(&net::client(&sign.node), key, vec![message], GAS)
}

/// What a transaction caused.
fn done(output: Output, receipt: &TxReceipt) -> Result<()> {
    show(output, &json!(receipt), || {
        let mut out = String::new();
        for event in &receipt.events {
            let words: Vec<String> =
                event.attributes.iter().map(|a| format!("{} {}", a.key, a.value)).collect();
            out.push_str(&format!("{}: {}\n", event.kind, words.join(", ")));
        }
        out
    })
}

fn attribute<'a>(receipt: &'a TxReceipt, kind: &str, key: &str) -> Result<&'a str> {
    let event = receipt.events.iter().find(|event| event.kind == kind);
    let found = event.and_then(|event| event.attributes.iter().find(|attribute| attribute.key == key));
    Ok(found.with_context(|| format!("the receipt names no {key}"))?.value.as_str())
}

/// An address, or a key that needs no passphrase to tell its own.
fn address(text: &str) -> Result<String> {
    if text.parse::<Address>().is_ok() {
        return Ok(text.to_string());
    }
    if !text.starts_with("demo:") && !Path::new(text).exists() {
        bail!("`{text}` is no address; `dodona keys show NAME` tells the address of a key");
    }
    let none = UnlockArgs { keys: None, passphrase_file: None };
    Ok(net::key(text, &none)?.address().to_string())
}

fn limit(max_cost: Option<String>) -> Result<String> {
    Ok(match max_cost {
        None => String::new(),
        Some(text) => amount(&text)?.to_string(),
    })
}

/// An amount of a subnet's token such as 12.5, in base units of 10^-9.
fn units(text: &str) -> Result<String> {
    let units = amount(text)? / UNIT;
    if units == 0 {
        bail!("`{text}` is less than a base unit, 10^-9");
    }
    Ok(units.to_string())
}

fn subnet(client: &Client<Http>, netuid: u32) -> Result<Subnet> {
    Ok(client.ask(path::SUBNET, &QuerySubnetRequest { netuid })?)
}

/// Base units as whole tokens, for people.
fn whole(text: &str) -> String {
    let units: u128 = text.parse().unwrap_or(0);
    format!("{}.{:03}", units / UNIT, units % UNIT / 1_000_000)
}

/// A price with few digits.
fn short(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_string(), |price| format!("{price:.6}"))
}

fn cost(text: &str) -> String {
    allo(text.parse().unwrap_or(0))
}

fn list(answer: &QuerySubnetsResponse) -> String {
    let mut out = format!(
        "{:>6}  {:<24} {:<10} {:>7} {:>12} {:>14} {:>14}\n",
        "netuid", "name", "state", "neurons", "price", "pool ALLO", "register"
    );
    for s in &answer.subnets {
        out.push_str(&format!(
            "{:>6}  {:<24} {:<10} {:>7} {:>12} {:>14} {:>14}\n",
            s.netuid,
            s.name,
            s.state,
            s.neurons,
            short(&s.price),
            whole(&s.pool_tao),
            cost(&s.registration_cost)
        ));
    }
    out.push_str(&format!(
        "a new one costs {} from block {} on, this is block {}",
        cost(&answer.create_cost),
        answer.create_from_block,
        answer.height
    ));
    match answer.replaces {
        0 => out.push('\n'),
        netuid => out.push_str(&format!("; it would replace subnet {netuid}\n")),
    }
    out
}

fn text(s: &Subnet) -> String {
    let mut out = format!("subnet {}: {}\n", s.netuid, s.name);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<14}{value}\n"));
    line("owner", s.owner.clone());
    line("hotkey", s.owner_hotkey.clone());
    line("state", s.state.clone());
    line("neurons", format!("{}, the next pays {}", s.neurons, cost(&s.registration_cost)));
    line("price", format!("{} ALLO, averaged {}", short(&s.price), short(&s.average_price)));
    line("pool", format!("{} ALLO, {} of its own", whole(&s.pool_tao), whole(&s.pool_alpha)));
    line(
        "outside",
        format!(
            "{}: {} bought by the chain, {} burned, {} accrued for the next epoch",
            whole(&s.alpha_out),
            whole(&s.alpha_protocol),
            whole(&s.alpha_burned),
            whole(&s.alpha_pending)
        ),
    );
    line("per block", format!("{} ALLO, {} of its own", whole(&s.tao_per_block), whole(&s.alpha_per_block)));
    line("epochs", format!("{}, the next in block {}", s.epochs, s.next_epoch));
    line(
        "dissolved",
        match s.deregistration_rank {
            0 => format!("not before block {}", s.prunable_from),
            rank => format!("{rank} of {} when a newcomer needs room", s.deregistration_of),
        },
    );
    for setting in &s.hyperparameters {
        out.push_str(&format!("  {:<28}{}\n", setting.name, setting.value));
    }
    out
}

fn metagraph(answer: &QueryMetagraphResponse) -> String {
    let mut out = format!(
        "{:>4}  {:<43} {:>12} {:>6} {:>6} {:>6} {:>6} {:>12}  {}\n",
        "uid", "hotkey", "stake", "trust", "cons", "inc", "div", "emission", "state"
    );
    let part = |value: u32| format!("{:.3}", f64::from(value) / 65_535.0);
    for n in &answer.neurons {
        out.push_str(&format!(
            "{:>4}  {:<43} {:>12} {:>6} {:>6} {:>6} {:>6} {:>12}  {}\n",
            n.uid,
            n.hotkey,
            whole(&n.stake_weight),
            part(n.trust),
            part(n.consensus),
            part(n.incentive),
            part(n.dividends),
            whole(&n.emission),
            place(n, answer.height)
        ));
        for (name, row) in [("weights", &n.weights), ("bonds", &n.bonds)] {
            if !row.is_empty() {
                let row: Vec<String> = row.iter().map(|e| format!("{}={}", e.uid, e.value)).collect();
                out.push_str(&format!("      {name}: {}\n", row.join(" ")));
            }
        }
    }
    out
}

fn place(n: &Neuron, height: u64) -> String {
    let mut words = Vec::new();
    if n.permit {
        words.push("validator".to_string());
    }
    match n.eviction_rank {
        _ if n.protected => words.push("never evicted".into()),
        0 => {}
        rank => words.push(format!("eviction {rank} of {}", n.eviction_of)),
    }
    if n.immune_until > height {
        words.push(format!("immune until {}", n.immune_until));
    }
    words.join(", ")
}

fn holdings(answer: &QueryHoldingsResponse) -> String {
    let mut out = format!("{:>6}  {:<43} {:>16} {:>16}\n", "netuid", "hotkey", "amount", "worth ALLO");
    for h in &answer.holdings {
        out.push_str(&format!(
            "{:>6}  {:<43} {:>16} {:>16}\n",
            h.netuid,
            h.hotkey,
            whole(&h.amount),
            whole(&h.worth)
        ));
    }
    out
}
