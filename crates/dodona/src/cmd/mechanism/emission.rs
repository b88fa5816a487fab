//! `emission`: a month of the token supply (topic specification, sections 8.2 to 8.4).
//! Columns are in whole tokens with up to 18 decimals, as text, so that no unit is lost.

use super::MechanismError;
use super::params::{Params, field};
use super::table::{Output, Request, Row, found};
use dodona_mechanism::MathError;
use dodona_mechanism::supply::{
    EmissionInput, Fixed, IssuanceConfig, Shares, Vesting, block_split, emission,
};
use serde_json::Value;

/// Decimals of a token.
const PLACES: usize = 18;
/// The buckets of the supply.
const SHARES: [&str; 6] = [
    "ecosystem_treasury_percent_of_total_supply",
    "foundation_treasury_percent_of_total_supply",
    "participants_percent_of_total_supply",
    "investors_percent_of_total_supply",
    "investors_preseed_percent_of_total_supply",
    "team_percent_of_total_supply",
];
const OTHERS: [&str; 8] = [
    "max_supply",
    "f_emission",
    "one_month_smoothing_degree",
    "maximum_monthly_percentage_yield",
    "vesting",
    "foundation_locked",
    "validators_vs_allora_percent_reward",
    "blocks_per_month",
];

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    let (params, previous, refusal) = (&request.params, &request.previous, request.refusal());
    params.only(&[&OTHERS[..], &SHARES[..]].concat())?;
    let config = config(params)?;
    let month = "epoch";
    let month = request.row.count(month)?.ok_or_else(|| {
        request.row.missing(month, "the month that begins, in whole months since emission started")
    })?;
    let need = |name: &str, why: &str| tokens(previous, name)?.ok_or_else(|| previous.missing(name, why));
    let unissued = need("ecosystem_tokens_total", "what the ecosystem has left to hand out")?;
    let staked = need("network_tokens_staked", "an emission is a part of what is staked")?;
    let balance = tokens(previous, "ecosystem_tokens_balance")?.unwrap_or(Fixed::ZERO);
    let mintable = unissued.minus(balance).map_err(|_| MechanismError::Range {
        field: previous.field("ecosystem_tokens_balance"),
        value: balance.to_string(),
        range: "at most ecosystem_tokens_total, of which it is a part".into(),
    })?;
    let share = "previous_percentage_reward_to_staked_reputers";
    let input = EmissionInput {
        ecosystem_balance: balance.raw(),
        remaining_mintable: mintable.raw(),
        staked: staked.raw(),
        month,
        validators_fraction: fixed(params, "validators_vs_allora_percent_reward", Fixed::ONE.raw() / 4)?,
        reputers_share: part(&previous.field(share), previous.raw(share), Fixed::ZERO)?,
        // The first month has none before it, which a table writes as 0.
        previous: tokens(previous, "e_i")?.filter(|&before| before > Fixed::ZERO),
        blocks_per_month: params.whole("blocks_per_month", 864_000, 1, u32::MAX)?.into(),
    };
    let found = emission(&config, &input).map_err(&refusal)?;
    let split = block_split(
        found.month,
        input.ecosystem_balance,
        input.remaining_mintable,
        input.validators_fraction,
    )
    .map_err(&refusal)?;

    let mut output = Output::default();
    let mut put = |name: &str, value: Fixed| output.any(name, value.to_string());
    let amount = Fixed::from_raw;
    put("ehat_target_i", found.target);
    put("ehat_max_i", found.cap);
    put("ehat_i", found.capped);
    put("e_i", found.per_token);
    put("ecosystem_tokens_emission", amount(split.emission));
    put("validator_rewards", amount(split.validators));
    put("topics_rewards", amount(split.topics));
    put("minted", amount(split.minted));
    put("ecosystem_tokens_total", amount(unissued.raw().saturating_sub(split.emission)));
    put("block_emission", amount(found.block));
    // The formula's own circulation is the one before this month's emission.
    put("network_tokens_circulating", amount(found.circulating.saturating_add(split.emission)));
    put("investors_preseed_tokens_locked", amount(found.locked.preseed));
    put("investors_seed_tokens_locked", amount(found.locked.investors));
    put("team_tokens_locked", amount(found.locked.team));
    put("foundation_tokens_locked", amount(found.locked.foundation));
    Ok(output)
}

fn config(params: &Params) -> Result<IssuanceConfig, MechanismError> {
    let default = IssuanceConfig::new();
    let (vesting, shares) = match params.word("vesting", &["v0.13", "original"])? {
        "original" => (Vesting::Original, Shares::original()),
        _ => (Vesting::V013, Shares::new()),
    };
    let [ecosystem, foundation, participants, investors, preseed, team] = SHARES;
    let shares = Shares {
        ecosystem: fixed(params, ecosystem, shares.ecosystem.raw())?,
        foundation: fixed(params, foundation, shares.foundation.raw())?,
        participants: fixed(params, participants, shares.participants.raw())?,
        investors: fixed(params, investors, shares.investors.raw())?,
        preseed: fixed(params, preseed, shares.preseed.raw())?,
        team: fixed(params, team, shares.team.raw())?,
    };
    Ok(IssuanceConfig {
        max_supply: base_units(params, "max_supply", default.max_supply)?,
        emission: fixed(params, "f_emission", default.emission.raw())?,
        smoothing: fixed(params, "one_month_smoothing_degree", default.smoothing.raw())?,
        max_yield: fixed(params, "maximum_monthly_percentage_yield", default.max_yield.raw())?,
        shares,
        vesting,
        foundation_locked: fixed(params, "foundation_locked", default.foundation_locked.raw())?,
    })
}

/// The text of a cell, none where it is empty.
fn text(field: &str, value: Option<&Value>) -> Result<Option<String>, MechanismError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(match number.as_f64() {
            // Without an exponent.
            Some(double) if !number.is_u64() => format!("{double}"),
            _ => number.to_string(),
        })),
        Some(other) => Err(refused(field, other, None)),
    }
}

fn refused(field: &str, value: &Value, error: Option<MathError>) -> MechanismError {
    let reason = error.map_or_else(String::new, |error| format!(" ({error})"));
    MechanismError::Type {
        field: field.to_owned(),
        expected: "a decimal number from 0 on such as \"0.025\", without sign or exponent".into(),
        found: format!("{}{reason}", found(value)),
    }
}

/// A decimal; places beyond the 18th, which doubles may have, are cut.
fn decimal(field: &str, value: Option<&Value>) -> Result<Option<Fixed>, MechanismError> {
    let (Some(text), Some(value)) = (text(field, value)?, value) else { return Ok(None) };
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let all_digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    let short = match decimals.get(..PLACES) {
        Some(first) if all_digits => format!("{whole}.{first}"),
        _ => text.clone(),
    };
    short.parse().map(Some).map_err(|error| refused(field, value, Some(error)))
}

/// A part of one.
fn part(field: &str, value: Option<&Value>, default: Fixed) -> Result<Fixed, MechanismError> {
    let value = decimal(field, value)?.unwrap_or(default);
    if value <= Fixed::ONE {
        return Ok(value);
    }
    Err(MechanismError::Range { field: field.to_owned(), value: value.to_string(), range: "0 to 1".into() })
}

fn fixed(params: &Params, name: &str, default: u128) -> Result<Fixed, MechanismError> {
    part(&field(name), params.raw(name), Fixed::from_raw(default))
}

/// An amount of whole tokens, whose 18 decimals are its base units.
fn tokens(row: &Row, name: &str) -> Result<Option<Fixed>, MechanismError> {
    decimal(&row.field(name), row.raw(name))
}

fn base_units(params: &Params, name: &str, default: u128) -> Result<u128, MechanismError> {
    let (Some(text), Some(value)) = (text(&field(name), params.raw(name))?, params.raw(name)) else {
        return Ok(default);
    };
    let amount = text.parse().ok().filter(|&amount: &u128| amount > 0);
    amount.ok_or_else(|| MechanismError::Type {
        field: field(name),
        expected: "a whole number of base units above 0, 10^18 per token, as text".into(),
        found: found(value),
    })
}
