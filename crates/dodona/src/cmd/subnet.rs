//! `dodona subnet`: subnets, their neurons and their trades, from a shell.

mod begin;
mod simulate;
mod work;

use std::{collections::BTreeMap, path::Path, sync::atomic::AtomicBool, thread::sleep, time::Duration};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, ClientError, Http, Wallet};
use dodona_participant::subnet::{self, Brought, GAS, Now, Row, Told, WeightsError};
use dodona_proto::{
    Address,
    chain::TxReceipt,
    path,
    subnets::{
        Identity, MsgAnnounceColdkeySwap, MsgClaimRoot, MsgCreateSubnet, MsgDisputeColdkeySwap, MsgLockStake,
        MsgMoveLock, MsgMoveStake, MsgRegisterNeuron, MsgSetCommitment, MsgSetHotkeyIdentity,
        MsgSetHyperparameters, MsgSetRootClaim, MsgSetSubnetIdentity, MsgStake, MsgStartSubnet,
        MsgSwapColdkey, MsgSwapHotkey, MsgTrimSubnet, MsgUnstake, MsgUnstakeAll, Neuron,
        QueryColdkeySwapRequest, QueryColdkeySwapResponse, QueryHoldingsRequest, QueryHoldingsResponse,
        QueryLocksRequest, QueryLocksResponse, QueryMetagraphRequest, QueryMetagraphResponse,
        QuerySubnetRequest, QuerySubnetsRequest, QuerySubnetsResponse, Setting, Subnet,
    },
    tx::pack,
    url,
};
use prost_types::Any;
use serde_json::json;

use super::{
    keys,
    net::{self, allo, amount},
    run::tell,
};
use crate::{
    cli::{Output, RootClaimKind, SealedArgs, SignArgs, SubnetCommand},
    output::print,
};

/// How often the node is asked for what is due.
const PERIOD: Duration = Duration::from_secs(1);
/// Longest pause after a node did not answer; the pauses double.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Gas of what moves many records: more than a thousand holders.
const MUCH_GAS: u64 = 5_000_000;
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
            let subnet = find(&net::client(&node), id)?;
            show(output, &json!(subnet), || text(&subnet))
        }
        SubnetCommand::Metagraph { id, weights, node, output } => {
            let request = QueryMetagraphRequest { netuid: id, mechanism: 0, weights };
            let answer: QueryMetagraphResponse = net::client(&node).ask(path::METAGRAPH, &request)?;
            show(output, &json!(answer), || metagraph(&answer))
        }
        SubnetCommand::Holdings { coldkey, node, output } => {
            let request = QueryHoldingsRequest { coldkey: address(&coldkey, None)?, ..Default::default() };
            let answer: QueryHoldingsResponse = net::client(&node).ask(path::HOLDINGS, &request)?;
            show(output, &json!(answer), || holdings(&answer))
        }
        SubnetCommand::Create { name, hotkey, max_cost, sign, output } => {
            let (hotkey, max_cost) = (address(&hotkey, sign.unlock.keys.as_deref())?, limit(max_cost)?);
            let receipt = send(&sign, |sender| {
                pack(url::CREATE_SUBNET, &MsgCreateSubnet { sender, hotkey, name, max_cost })
            })?;
            let id = attribute(&receipt, "subnet_created", "netuid")?;
            let subnet = find(&net::client(&sign.node), id.parse().context("the receipt names no subnet")?)?;
            show(output, &json!(subnet), || text(&subnet))
        }
        SubnetCommand::Start { id, sign, output } => {
            let receipt =
                send(&sign, |sender| pack(url::START_SUBNET, &MsgStartSubnet { sender, netuid: id }))?;
            done(output, &receipt)
        }
        SubnetCommand::Register { id, hotkey, max_cost, sign, output } => {
            let (hotkey, max_cost) = (address(&hotkey, sign.unlock.keys.as_deref())?, limit(max_cost)?);
            let receipt = send(&sign, |sender| {
                pack(url::REGISTER_NEURON, &MsgRegisterNeuron { sender, netuid: id, hotkey, max_cost })
            })?;
            done(output, &receipt)
        }
        SubnetCommand::Stake { id, amount: text, hotkey, limit_price, sign, output } => {
            let (hotkey, amount) =
                (address(&hotkey, sign.unlock.keys.as_deref())?, amount(&text)?.to_string());
            let limit_price = limit_price.unwrap_or_default();
            let receipt = send(&sign, |sender| {
                pack(url::STAKE, &MsgStake { sender, hotkey, netuid: id, amount, limit_price })
            })?;
            traded(output, &sign, &receipt)
        }
        SubnetCommand::Unstake { all: true, to_root, hotkey, sign, output, .. } => {
            let hotkey = address(&hotkey, sign.unlock.keys.as_deref())?;
            let message = |sender| pack(url::UNSTAKE_ALL, &MsgUnstakeAll { sender, hotkey, to_root });
            done(output, &send_with(&sign, MUCH_GAS, message)?)
        }
        SubnetCommand::Unstake { id, amount, hotkey, limit_price, sign, output, .. } => {
            let netuid = id.context("name the subnet, or --all")?;
            let (hotkey, amount) = (
                address(&hotkey, sign.unlock.keys.as_deref())?,
                amount.map_or(Ok(String::new()), |text| units(&text))?,
            );
            let limit_price = limit_price.unwrap_or_default();
            let receipt = send(&sign, |sender| {
                pack(url::UNSTAKE, &MsgUnstake { sender, hotkey, netuid, amount, limit_price })
            })?;
            traded(output, &sign, &receipt)
        }
        SubnetCommand::Move { id, amount, hotkey, to, to_hotkey, sign, output } => {
            let amount = amount.map_or(Ok(String::new()), |text| units(&text))?;
            let (hotkey, to_hotkey) = (
                address(&hotkey, sign.unlock.keys.as_deref())?,
                address(&to_hotkey, sign.unlock.keys.as_deref())?,
            );
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
        SubnetCommand::Claim { ids: netuids, hotkey, sign, output } => {
            let hotkey = address(&hotkey, sign.unlock.keys.as_deref())?;
            let message = |sender| pack(url::CLAIM_ROOT, &MsgClaimRoot { sender, hotkey, netuids });
            done(output, &send_with(&sign, MUCH_GAS, message)?)
        }
        SubnetCommand::RootClaim { kind, keep_in, sign, output } => {
            let kind = match kind {
                RootClaimKind::Sell => "sell",
                RootClaimKind::Keep => "keep",
            };
            let message =
                |sender| pack(url::SET_ROOT_CLAIM, &MsgSetRootClaim { sender, kind: kind.into(), keep_in });
            done(output, &send(&sign, message)?)
        }
        SubnetCommand::Lock { id: netuid, amount, hotkey, perpetual, sign, output } => {
            let hotkey = address(&hotkey, sign.unlock.keys.as_deref())?;
            let amount = amount.map_or(Ok(String::new()), |text| units(&text))?;
            let message =
                |sender| pack(url::LOCK_STAKE, &MsgLockStake { sender, netuid, hotkey, amount, perpetual });
            done(output, &send(&sign, message)?)
        }
        SubnetCommand::MoveLock { id: netuid, hotkey, sign, output } => {
            let hotkey = address(&hotkey, sign.unlock.keys.as_deref())?;
            let message = |sender| pack(url::MOVE_LOCK, &MsgMoveLock { sender, netuid, hotkey });
            done(output, &send(&sign, message)?)
        }
        SubnetCommand::Locks { id, of, node, output } => {
            let coldkey = of.map_or(Ok(String::new()), |who| address(&who, None))?;
            let request = QueryLocksRequest { netuid: id.unwrap_or(0), coldkey };
            let answer: QueryLocksResponse = net::client(&node).ask(path::LOCKS, &request)?;
            show(output, &json!(answer), || locks(&answer, id))
        }
        SubnetCommand::Publish { id: netuid, fields, hex, reset_bonds, sign, output } => {
            let bytes = |text: String| match hex {
                true => hex::decode(&text).with_context(|| format!("`{text}` is no hex")),
                false => Ok(text.into_bytes()),
            };
            let fields = fields.into_iter().map(bytes).collect::<Result<Vec<_>>>()?;
            let message =
                |sender| pack(url::SET_COMMITMENT, &MsgSetCommitment { sender, netuid, fields, reset_bonds });
            done(output, &send(&sign, message)?)
        }
        SubnetCommand::Identity {
            id,
            hotkey,
            name,
            description,
            url,
            repository,
            image,
            contact,
            symbol,
            sign,
            output,
        } => {
            let hotkey = hotkey.map(|key| address(&key, sign.unlock.keys.as_deref())).transpose()?;
            let identity = Some(Identity { name, description, url, repository, image, contact });
            let message = |sender| match (id, hotkey) {
                (_, Some(hotkey)) => {
                    pack(url::SET_HOTKEY_IDENTITY, &MsgSetHotkeyIdentity { sender, hotkey, identity })
                }
                (id, None) => {
                    let netuid = id.unwrap_or(0);
                    pack(url::SET_SUBNET_IDENTITY, &MsgSetSubnetIdentity { sender, netuid, identity, symbol })
                }
            };
            done(output, &send(&sign, message)?)
        }
        SubnetCommand::SwapHotkey { hotkey, new, only, sign, output } => {
            let keys = sign.unlock.keys.as_deref();
            let (hotkey, new_hotkey) = (address(&hotkey, keys)?, address(&new, keys)?);
            let message = |sender| {
                let netuid = only.unwrap_or(0);
                pack(url::SWAP_HOTKEY, &MsgSwapHotkey { sender, hotkey, new_hotkey, netuid })
            };
            done(output, &send_with(&sign, MUCH_GAS, message)?)
        }
        SubnetCommand::SwapColdkey { new, announce, dispute, status, sign, output } => {
            let new = new.map(|new| address(&new, sign.unlock.keys.as_deref())).transpose()?;
            swap_coldkey(new, announce, dispute, status, &sign, output)
        }
        SubnetCommand::Trim { id, max_uids, sign, output } => {
            let message = |sender| pack(url::TRIM_SUBNET, &MsgTrimSubnet { sender, netuid: id, max_uids });
            done(output, &send_with(&sign, MUCH_GAS, message)?)
        }
        SubnetCommand::Weights { id, weights, mechanism, version, wait, sealed, sign, output } => {
            let row = row(id, mechanism, version, &weights)?;
            weigh(&row, wait, &sealed, &sign, output)
        }
        SubnetCommand::Reveal { wait, sealed, sign, output } => reveal(wait, &sealed, &sign, output),
        SubnetCommand::Mine(args) => work::mine(&args),
        SubnetCommand::Validate(args) => work::validate(&args),
        SubnetCommand::Simulate(args) => simulate::run(&args),
        SubnetCommand::New { dir, example } => begin::run(&dir, example),
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

/// Announces another coldkey, says that somebody else did, looks, or carries out what was announced.
fn swap_coldkey(
    new: Option<String>,
    announce: bool,
    dispute: bool,
    status: bool,
    sign: &SignArgs,
    output: Output,
) -> Result<()> {
    let client = net::client(&sign.node);
    let look = |coldkey: String| -> Result<QueryColdkeySwapResponse> {
        Ok(client.ask(path::COLDKEY_SWAP, &QueryColdkeySwapRequest { coldkey })?)
    };
    if status {
        let swap = look(address(&sign.key, sign.unlock.keys.as_deref())?)?;
        return show(output, &json!(swap), || announced(&swap));
    }
    if dispute {
        let message = |sender| pack(url::DISPUTE_COLDKEY_SWAP, &MsgDisputeColdkeySwap { sender });
        return done(output, &send(sign, message)?);
    }
    let new = new.context("name the new account")?;
    if !announce {
        let message = |sender| pack(url::SWAP_COLDKEY, &MsgSwapColdkey { sender, new_coldkey: new });
        return done(output, &send_with(sign, MUCH_GAS, message)?);
    }
    let key = net::key(&sign.key, &sign.unlock)?;
    let (old, new) = (key.address(), new.parse::<Address>().context("the new account is no address")?);
    let message = MsgAnnounceColdkeySwap {
        sender: old.to_string(),
        digest: dodona_proto::commit::coldkey(old, new).to_vec(),
    };
    net::send(&client, key, vec![pack(url::ANNOUNCE_COLDKEY_SWAP, &message)], GAS)?;
    let swap = look(old.to_string())?;
    show(output, &json!(swap), || announced(&swap))
}

/// What is known of an announcement.
fn announced(swap: &QueryColdkeySwapResponse) -> String {
    match (swap.announced, swap.disputed) {
        (0, _) => "nothing was announced\n".into(),
        (block, true) => {
            format!("announced in block {block} and disputed: only an admin of the chain can end it\n")
        }
        (block, false) => format!(
            "announced in block {block}: it can be carried out from block {} on, and until then the account does \
             nothing else; another one can be announced from block {} on\n",
            swap.from_block, swap.again_from
        ),
    }
}

fn row(netuid: u32, mechanism: u32, version: u64, weights: &[String]) -> Result<Row> {
    let mut row = Row { netuid, mechanism, uids: Vec::new(), values: Vec::new(), version };
    for text in weights {
        let wrong = || format!("`{text}` is no weight: write uid=value such as 3=65535");
        let (uid, value) = text.split_once('=').with_context(wrong)?;
        row.uids.push(uid.parse().with_context(wrong)?);
        row.values.push(value.parse().with_context(wrong)?);
    }
    Ok(row)
}

/// Sets weights, or commits them; first reveals what is due of earlier ones.
fn weigh(row: &Row, wait: bool, sealed: &SealedArgs, sign: &SignArgs, output: Output) -> Result<()> {
    let dir = keys::own_folder(sealed.sealed.as_deref(), "sealed")?;
    let client = net::client(&sign.node);
    let mut wallet = Wallet::new(net::key(&sign.key, &sign.unlock)?);
    net::fund(&sign.node.node, &client, wallet.address(), &AtomicBool::new(false))?;
    for earlier in subnet::settle(&client, &mut wallet, &dir)? {
        tell(&told(&earlier));
    }
    let (digest, json, text) = match subnet::bring(&client, &mut wallet, &dir, row, tell)? {
        Brought::Set(receipt) => return done(output, &receipt),
        Brought::Committed { digest, block, reveal_epoch, from_block, until_block } => {
            let json = json!({
                "state": "committed", "netuid": row.netuid, "mechanism": row.mechanism, "digest": digest,
                "block": block, "reveal_epoch": reveal_epoch, "from_block": from_block,
                "until_block": until_block,
            });
            let text = format!(
                "committed in block {block}: nobody sees them until they are revealed, in epoch {reveal_epoch} of subnet \
                 {}, which is {}\n",
                row.netuid,
                match (from_block, until_block) {
                    (0, _) | (_, 0) => "not known yet".into(),
                    (from, until) => format!("blocks {from} to {}", until - 1),
                }
            );
            (digest, json, text)
        }
    };
    if !wait {
        show(output, &json, || {
            text + "run `dodona subnet reveal` with the same key then, or --wait the next time; a later one counts as missed\n"
        })?;
        return Ok(());
    }
    tell(text.trim_end());
    let all = follow(&client, &mut wallet, &dir, |row| row.digest == digest)?;
    let mine =
        all.iter().find(|row| row.digest == digest).context("the weights are not in their file any more")?;
    show(output, &json!(mine), || told(mine) + "\n")?;
    missed(std::slice::from_ref(mine))
}

fn reveal(wait: bool, sealed: &SealedArgs, sign: &SignArgs, output: Output) -> Result<()> {
    let dir = keys::own_folder(sealed.sealed.as_deref(), "sealed")?;
    let client = net::client(&sign.node);
    let mut wallet = Wallet::new(net::key(&sign.key, &sign.unlock)?);
    let all = match wait {
        true => follow(&client, &mut wallet, &dir, |_| true)?,
        false => subnet::settle(&client, &mut wallet, &dir)?,
    };
    show(output, &json!(all), || match all.is_empty() {
        true => format!("nothing of {} waits in {}\n", wallet.address(), dir.display()),
        false => all.iter().map(|row| told(row) + "\n").collect(),
    })?;
    missed(&all)
}

/// Reveals what is due until none of the rows that matter is open; what became of every row, the newest word each. A
/// node that is away is waited for.
fn follow(
    client: &Client<Http>,
    wallet: &mut Wallet,
    dir: &Path,
    matters: impl Fn(&Told) -> bool,
) -> Result<Vec<Told>> {
    let mut all: Vec<Told> = Vec::new();
    let mut pause = PERIOD;
    loop {
        match subnet::settle(client, wallet, dir) {
            Ok(rows) => {
                for row in rows {
                    let before = all.iter_mut().find(|known| known.digest == row.digest);
                    let news = before.as_ref().is_none_or(|known| !same(&known.now, &row.now));
                    if news && !row.now.is_over() {
                        tell(&told(&row));
                    }
                    match before {
                        Some(known) => *known = row,
                        None => all.push(row),
                    }
                }
                if all.iter().filter(|row| matters(row)).all(|row| row.now.is_over()) {
                    return Ok(all);
                }
                pause = PERIOD;
            }
            Err(WeightsError::Client(ClientError::Node(error))) => {
                tell(&format!("{error}; trying again"));
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
            Err(error @ WeightsError::NoBlock { .. }) => tell(&format!("{error}; looking again")),
            Err(error) => return Err(error.into()),
        }
        sleep(pause);
    }
}

/// Whether two states read alike for people: the first block of an epoch may shift a little.
fn same(a: &Now, b: &Now) -> bool {
    match (a, b) {
        (Now::Waits { reveal_epoch: a, .. }, Now::Waits { reveal_epoch: b, .. }) => a == b,
        (Now::Refused { .. }, Now::Refused { .. }) => true, // the transaction's name differs each time
        (a, b) => a == b,
    }
}

/// A line about a row.
fn told(row: &Told) -> String {
    let name = format!("subnet {}, weights {}", row.netuid, &row.digest[..row.digest.len().min(8)]);
    match &row.now {
        Now::Pending => format!("{name}: the commit is in no block yet"),
        Now::Waits { reveal_epoch, from_block: 0 } => {
            format!("{name}: to be revealed in epoch {reveal_epoch} of the subnet")
        }
        Now::Waits { reveal_epoch, from_block } => {
            format!(
                "{name}: to be revealed in epoch {reveal_epoch} of the subnet, from block {from_block} on"
            )
        }
        Now::Revealed { block } => format!("{name}: revealed, block {block}"),
        Now::Superseded => format!("{name}: newer ones were revealed in their place"),
        Now::Refused { why } => format!("{name}: refused now, tried again while its epoch lasts: {why}"),
        Now::Missed { why } => format!("{name}: missed: {why}"),
    }
}

/// An error when weights were lost.
fn missed(rows: &[Told]) -> Result<()> {
    match rows.iter().filter(|row| matches!(row.now, Now::Missed { .. })).count() {
        0 => Ok(()),
        count => bail!("{count} commits can never be revealed: their weights do not count"),
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
    send_with(sign, GAS, message)
}

fn send_with(sign: &SignArgs, gas: u64, message: impl FnOnce(String) -> Any) -> Result<TxReceipt> {
    let key = net::key(&sign.key, &sign.unlock)?;
    let client = net::client(&sign.node);
    // A key that is new here: on a development network the node's purse gives it tokens.
    net::fund(&sign.node.node, &client, key.address(), &AtomicBool::new(false))?;
    let message = message(key.address().to_string());
    net::send(&client, key, vec![message], gas)
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

/// What became of an order at the end of its block; at the root there is nothing to trade.
fn traded(output: Output, sign: &SignArgs, receipt: &TxReceipt) -> Result<()> {
    let Ok(coldkey) = attribute(receipt, "stake_ordered", "coldkey")
        .or_else(|_| attribute(receipt, "unstake_ordered", "coldkey"))
    else {
        return done(output, receipt);
    };
    let block = Http::new(&sign.node.node).page(&format!("/dodona/v1/blocks/{}", receipt.height))?;
    let none = Vec::new();
    let trades: Vec<BTreeMap<&str, &str>> = block["events"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .filter(|event| event["kind"] == "subnet_trade")
        .map(|event| {
            let attributes = event["attributes"].as_array().unwrap_or(&none).iter();
            attributes.filter_map(|a| Some((a["key"].as_str()?, a["value"].as_str()?))).collect()
        })
        .filter(|trade: &BTreeMap<_, _>| trade.get("coldkey") == Some(&coldkey))
        .collect();
    let mut whole_story = json!(receipt);
    whole_story["trades"] = json!(trades);
    show(output, &whole_story, || {
        let mut out = String::new();
        for trade in &trades {
            let number = |key: &str| whole(trade.get(key).copied().unwrap_or_default());
            let (paid, received, returned) = (number("paid"), number("received"), number("returned"));
            let of = trade.get("netuid").copied().unwrap_or_default();
            let filled = trade.get("paid").is_some_and(|paid| *paid != "0");
            let is_sale = trade.get("side") == Some(&"sold");
            out.push_str(&match (filled, is_sale) {
                (false, true) => format!("nothing was sold at this limit: {returned} of the token of subnet {of} stay staked\n"),
                (false, false) => format!("nothing was bought at this limit: {returned} ALLO came back\n"),
                (true, true) => format!("sold {paid} of the token of subnet {of} for {received} ALLO before the fee; {returned} stay staked\n"),
                (true, false) => format!("bought {received} of the token of subnet {of} for {paid} ALLO after the fee; {returned} ALLO came back\n"),
            });
        }
        if trades.is_empty() {
            out.push_str(&format!(
                "ordered in block {}; `dodona subnet holdings` shows what is held\n",
                receipt.height
            ));
        }
        out
    })
}

fn attribute<'a>(receipt: &'a TxReceipt, kind: &str, key: &str) -> Result<&'a str> {
    let event = receipt.events.iter().find(|event| event.kind == kind);
    let found = event.and_then(|event| event.attributes.iter().find(|attribute| attribute.key == key));
    Ok(found.with_context(|| format!("the receipt names no {key}"))?.value.as_str())
}

/// An address, or that of a key, told without its passphrase.
fn address(text: &str, keys: Option<&Path>) -> Result<String> {
    Ok(keys::address(text, keys)?.to_string())
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

fn find(client: &Client<Http>, netuid: u32) -> Result<Subnet> {
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
    let mut out = format!("subnet {}: {} ({})\n", s.netuid, s.name, s.symbol);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<14}{value}\n"));
    line("owner", s.owner.clone());
    line("hotkey", s.owner_hotkey.clone());
    for (name, said) in identity(s.identity.as_ref()) {
        line(name, said);
    }
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

/// What somebody says of itself, as far as it says anything.
fn identity(said: Option<&Identity>) -> Vec<(&'static str, String)> {
    let Some(said) = said else { return Vec::new() };
    [
        ("name", &said.name),
        ("about", &said.description),
        ("page", &said.url),
        ("source", &said.repository),
        ("picture", &said.image),
        ("contact", &said.contact),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(name, text)| (name, text.clone()))
    .collect()
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
        for (name, said) in identity(n.identity.as_ref()) {
            out.push_str(&format!("      {name}: {said}\n"));
        }
        if let Some(published) = &n.commitment {
            let fields: Vec<String> = published.fields.iter().map(|field| readable(field)).collect();
            out.push_str(&format!("      published in block {}: {}\n", published.block, fields.join(" ")));
        }
        for (name, row) in [("weights", &n.weights), ("bonds", &n.bonds)] {
            if !row.is_empty() {
                let row: Vec<String> = row.iter().map(|e| format!("{}={}", e.uid, e.value)).collect();
                out.push_str(&format!("      {name}: {}\n", row.join(" ")));
            }
        }
    }
    out
}

/// Published bytes: as text where they are printable, else in hex.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_string(),
        _ => hex::encode(bytes),
    }
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
    let mut out = format!(
        "{:>6}  {:<43} {:>16} {:>16} {:>16}\n",
        "netuid", "hotkey", "amount", "worth ALLO", "claimable"
    );
    for h in &answer.holdings {
        out.push_str(&format!(
            "{:>6}  {:<43} {:>16} {:>16} {:>16}\n",
            h.netuid,
            h.hotkey,
            whole(&h.amount),
            whole(&h.worth),
            whole(&h.claimable)
        ));
    }
    let kept: Vec<String> = answer.root_keep_in.iter().map(u32::to_string).collect();
    match (answer.root_claim.as_str(), kept.is_empty()) {
        ("keep", _) => out.push_str("what root stake earns stays as stake in its subnets\n"),
        (_, true) => out.push_str("what root stake earns is sold for root stake\n"),
        (_, false) => out.push_str(&format!(
            "what root stake earns is sold for root stake, but stays in subnets {}\n",
            kept.join(", ")
        )),
    }
    out
}

fn locks(answer: &QueryLocksResponse, subnet: Option<u32>) -> String {
    let mut out = String::new();
    for lock in &answer.locks {
        out.push_str(&format!(
            "subnet {}: {} locked, {}; conviction {} for {}; {} can leave\n",
            lock.netuid,
            whole(&lock.mass),
            if lock.perpetual { "stays" } else { "falls" },
            conviction(&lock.conviction),
            lock.hotkey,
            whole(&lock.free)
        ));
    }
    if let Some(id) = subnet {
        for s in &answer.standings {
            out.push_str(&format!(
                "{:<43} {:>16} locked, conviction {:>16}, of {}\n",
                s.hotkey,
                whole(&s.mass),
                conviction(&s.conviction),
                s.coldkey
            ));
        }
        out.push_str(&format!(
            "all together {}; from {} on the largest owns subnet {id}, after epochs from block {} on\n",
            conviction(&answer.conviction),
            whole(&answer.needed),
            answer.from_block
        ));
    }
    if out.is_empty() { "nothing is locked\n".into() } else { out }
}

/// A conviction, base units with a fraction, as whole tokens.
fn conviction(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_string(), |units| format!("{:.3}", units / UNIT as f64))
}
