//! `dodona validator`: who decides blocks, becoming one, and stake behind them.

use anyhow::{Context, Result, bail};
use dodona_client::{
    Client, Http,
    staking::{self, Commission},
};
use dodona_consensus::SigningKey;
use dodona_node::keys::{VALIDATOR_KEY, read_key};
use dodona_proto::{
    Address, Prefix,
    cosmos::{
        distribution::v1beta1::{MsgWithdrawDelegatorReward, MsgWithdrawValidatorCommission},
        slashing::v1beta1::MsgUnjail,
    },
    tx::pack,
    url,
};
use prost_types::Any;
use serde_json::{Value, json};

use super::{
    net::{self, allo, amount},
    tokens::{Desk, sum_of},
};
use crate::{
    cli::{NodeArgs, Output, ValidatorCommand},
    output::print,
};

/// Rewards of at most so many validators are taken at once.
const AT_ONCE: usize = 16;

pub fn run(command: ValidatorCommand) -> Result<()> {
    match command {
        ValidatorCommand::List { node, output } => list(&node, output),
        ValidatorCommand::Show { who, node, output } => show(&who, &node, output),
        ValidatorCommand::Stakes { who, node, output } => stakes(&who, &node, output),
        ValidatorCommand::Create { home, stake, moniker, commission, max_commission, max_change, tx } => {
            if commission > max_commission || max_change > max_commission {
                bail!(
                    "commission and its change cannot be above the most it can ever be, {max_commission} %"
                );
            }
            let key = SigningKey::from_bytes(&read_key(&home.join(VALIDATOR_KEY))?);
            let sum = amount(&stake)?;
            let desk = Desk::open(&tx)?;
            let key = key.verifying_key().to_bytes();
            let commission = Commission { rate: commission, max: max_commission, max_change };
            let message = staking::create(desk.address, key, &moniker, sum, commission);
            let what = format!("create validator {moniker} with {} of its operator's", allo(sum));
            desk.submit(&what, vec![message])
        }
        ValidatorCommand::Delegate { who, amount: text, tx } => {
            let (desk, sum) = (Desk::open(&tx)?, amount(&text)?);
            let validator = operator(&desk.client, &who)?;
            let what = format!("stake {} behind {}", allo(sum), validator.written(Prefix::Operator));
            let message = staking::delegate(desk.address, validator, sum);
            desk.submit(&what, vec![message])
        }
        ValidatorCommand::Undelegate { who, amount: text, tx } => {
            let (desk, sum) = (Desk::open(&tx)?, amount(&text)?);
            let validator = operator(&desk.client, &who)?;
            let what = format!("ask {} for {} back", validator.written(Prefix::Operator), allo(sum));
            let message = staking::undelegate(desk.address, validator, sum);
            desk.submit(&what, vec![message])
        }
        ValidatorCommand::Redelegate { from, to, amount: text, tx } => {
            let (desk, sum) = (Desk::open(&tx)?, amount(&text)?);
            let (from, to) = (operator(&desk.client, &from)?, operator(&desk.client, &to)?);
            let [left, joined] = [from, to].map(|operator| operator.written(Prefix::Operator));
            let what = format!("move {} from {left} to {joined}", allo(sum));
            let message = staking::redelegate(desk.address, from, to, sum);
            desk.submit(&what, vec![message])
        }
        ValidatorCommand::Withdraw { who, commission, tx } => {
            let desk = Desk::open(&tx)?;
            let delegator_address = desk.address.to_string();
            let validators = match who {
                Some(who) => vec![operator(&desk.client, &who)?.written(Prefix::Operator)],
                None => earning(&desk.client, &desk.address)?,
            };
            let more = validators.len() > AT_ONCE;
            let withdraw = |validator_address: &String| {
                let (delegator_address, validator_address) =
                    (delegator_address.clone(), validator_address.clone());
                let message = MsgWithdrawDelegatorReward { delegator_address, validator_address };
                pack(url::WITHDRAW_REWARD, &message)
            };
            let mut messages: Vec<Any> = validators.iter().take(AT_ONCE).map(withdraw).collect();
            if commission {
                let validator_address = desk.address.written(Prefix::Operator);
                let message = MsgWithdrawValidatorCommission { validator_address };
                messages.push(pack(url::WITHDRAW_COMMISSION, &message));
            }
            if messages.is_empty() {
                bail!("nothing to take: {delegator_address} stands behind no validator");
            }
            let rest = if more { "; there are more: run it again" } else { "" };
            let count = validators.len().min(AT_ONCE);
            desk.submit(&format!("take the rewards of {count} stakes{rest}"), messages)
        }
        ValidatorCommand::Unjail { tx } => {
            let desk = Desk::open(&tx)?;
            let message = MsgUnjail { validator_addr: desk.address.written(Prefix::Operator) };
            desk.submit("return to the set of validators", vec![pack(url::UNJAIL, &message)])
        }
    }
}

/// The operator of a validator named by its address, its account, or by the validator's name.
fn operator(client: &Client<Http>, who: &str) -> Result<Address> {
    if let Ok(address) = Address::read(who, Prefix::Operator).or_else(|_| Address::read(who, Prefix::Account))
    {
        return Ok(address);
    }
    let rows = rows(client)?;
    let found: Vec<&str> =
        rows.iter().filter(|row| row["name"] == who).filter_map(|row| row["operator"].as_str()).collect();
    match found.as_slice() {
        [one] => Ok(Address::read(one, Prefix::Operator).context("the node shows no operator's address")?),
        [] => bail!("no validator is called `{who}`; `dodona validator list` shows them"),
        // A name is no identity: whoever likes it may take it too.
        several => {
            bail!("several validators are called `{who}`: name one by its operator: {}", several.join(", "))
        }
    }
}

/// Validators as the node's page has them, the largest first.
fn rows(client: &Client<Http>) -> Result<Vec<Value>> {
    let page = client.transport().page("/dodona/v1/validators")?;
    let mut rows = page["validators"].as_array().cloned().unwrap_or_default();
    rows.sort_by_key(|row| std::cmp::Reverse(tokens(row)));
    Ok(rows)
}

fn tokens(row: &Value) -> u128 {
    row["tokens"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn list(node: &NodeArgs, output: Output) -> Result<()> {
    let rows = rows(&net::client(node))?;
    if output == Output::Json {
        return print(&format!("{}\n", json!({ "validators": rows })));
    }
    let mut out =
        format!("{:<24}{:<11}{:>20}{:>12}  operator\n", "name", "status", "stake ALLO", "commission");
    for row in &rows {
        out.push_str(&line(row));
    }
    print(&out)
}

fn line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or("-").to_string();
    let commission: f64 = text("commission").parse().unwrap_or(0.0);
    format!(
        "{:<24}{:<11}{:>20}{:>12}  {}\n",
        text("name"),
        text("status"),
        allo(tokens(row)).trim_end_matches(" ALLO"),
        format!("{:.1} %", 100.0 * commission),
        text("operator")
    )
}

fn show(who: &str, node: &NodeArgs, output: Output) -> Result<()> {
    let client = net::client(node);
    let page = client.transport().page(&format!("/dodona/v1/validators/{}", operator(&client, who)?))?;
    if output == Output::Json {
        return print(&format!("{page}\n"));
    }
    let row = &page["validator"];
    let mut out = line(row);
    if let (Some(missed), Some(counted)) = (row["missed"].as_u64(), row["counted"].as_u64()) {
        out.push_str(&format!("signatures missed: {missed} of the last {counted} blocks\n"));
    }
    out.push_str("\nbehind it\n");
    for stake in page["delegations"].as_array().into_iter().flatten() {
        let balance = stake["balance"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        out.push_str(&format!("{:<46}{:>24}\n", stake["delegator"].as_str().unwrap_or("-"), allo(balance)));
    }
    print(&out)
}

/// Validators with whom this account has stake that earns.
fn earning(client: &Client<Http>, who: &Address) -> Result<Vec<String>> {
    let page = client.transport().page(&format!("/cosmos/distribution/v1beta1/delegators/{who}/rewards"))?;
    let rows = page["rewards"].as_array().into_iter().flatten();
    Ok(rows.filter_map(|row| row["validator_address"].as_str().map(String::from)).collect())
}

fn stakes(who: &str, node: &NodeArgs, output: Output) -> Result<()> {
    let who: Address =
        who.parse().with_context(|| format!("`{who}` is no address; write one such as allo1…"))?;
    let doors = net::client(node);
    let page = |path: String| doors.transport().page(&path);
    let staked = page(format!("/cosmos/staking/v1beta1/delegations/{who}"))?;
    let leaving = page(format!("/cosmos/staking/v1beta1/delegators/{who}/unbonding_delegations"))?;
    let earned = page(format!("/cosmos/distribution/v1beta1/delegators/{who}/rewards"))?;
    let list = |page: &Value, name: &str| page[name].as_array().cloned().unwrap_or_default();
    let reward = |validator: &Value| {
        let rows = list(&earned, "rewards");
        let row = rows.iter().find(|row| row["validator_address"] == *validator);
        row.map_or(0, |row| list(row, "reward").first().map_or(0, sum_of))
    };
    let rows: Vec<(Value, u128, u128)> = list(&staked, "delegation_responses")
        .iter()
        .map(|row| {
            let validator = row["delegation"]["validator_address"].clone();
            let earned = reward(&validator);
            (validator, sum_of(&row["balance"]), earned)
        })
        .collect();
    let back: Vec<Value> = list(&leaving, "unbonding_responses")
        .iter()
        .flat_map(|row| {
            let validator = row["validator_address"].clone();
            list(row, "entries").into_iter().map(move |entry| {
                json!({ "validator": validator, "amount_uallo": entry["balance"], "at": entry["completion_time"] })
            })
        })
        .collect();
    if output == Output::Json {
        let staked: Vec<Value> = rows
            .iter()
            .map(|(validator, stake, earned)| {
                json!({ "validator": validator, "stake_uallo": stake.to_string(), "earned_uallo": earned.to_string() })
            })
            .collect();
        let told = json!({ "address": who.to_string(), "staked": staked, "leaving": back });
        return print(&format!("{told}\n"));
    }
    if rows.is_empty() && back.is_empty() {
        return print(&format!("{who} stands behind no validator\n"));
    }
    let mut out = format!("{:<54}{:>24}{:>28}\n", "with", "staked", "earned, not taken yet");
    for (validator, stake, earned) in &rows {
        out.push_str(&format!(
            "{:<54}{:>24}{:>28}\n",
            validator.as_str().unwrap_or("-"),
            allo(*stake),
            allo(*earned)
        ));
    }
    for row in &back {
        let amount = row["amount_uallo"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        out.push_str(&format!(
            "{} comes back from {} at {}\n",
            allo(amount),
            row["validator"].as_str().unwrap_or("-"),
            row["at"].as_str().unwrap_or("-")
        ));
    }
    print(&out)
}
