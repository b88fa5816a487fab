//! Validators and what is delegated to them: the service staking. Historical infos are not kept.

use dodona_chain::staking::{
    state::{Status as Bond, Validator},
    view::{self, DelegationRow, RedelegationRow, UnbondingRow, ValidatorRow},
};
use dodona_proto::{
    Address, DENOM, Prefix,
    cosmos::{
        base::{
            query::v1beta1::{PageRequest, PageResponse},
            v1beta1::Coin,
        },
        staking::v1beta1::{self as staking, BondStatus},
    },
};
use dodona_store::Snapshot;
use prost::Message;

use super::{
    blocks::time,
    of,
    page::Page,
    validators::{account, decimal, ed25519, joined, operator, period, split, validator},
};
use crate::{NodeHandle, api::Status};

/// Answers a method of the service.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    let read = node.state(at)?;
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Validators" => validators(&read, &of(request)?)?.encode_to_vec(),
        "Validator" => {
            let q: staking::QueryValidatorRequest = of(request)?;
            let validator = Some(shown(validator(&read, &q.validator_addr)?));
            staking::QueryValidatorResponse { validator }.encode_to_vec()
        }
        "ValidatorDelegations" => {
            let q: staking::QueryValidatorDelegationsRequest = of(request)?;
            let operator = validator(&read, &q.validator_addr)?.operator;
            let page = Page::of(q.pagination)?;
            let rows = |start, limit| Ok(view::delegations_to(&read, operator, Address(start), limit)?);
            let total = page.total(|most| rows([0; 20], most).map(|rows| rows.len()))?;
            let (rows, pagination) = page.scan(rows, |row| row.delegator.0, total)?;
            let delegation_responses = rows.into_iter().map(delegation).collect();
            staking::QueryValidatorDelegationsResponse { delegation_responses, pagination }.encode_to_vec()
        }
        "ValidatorUnbondingDelegations" => {
            let q: staking::QueryValidatorUnbondingDelegationsRequest = of(request)?;
            let operator = validator(&read, &q.validator_addr)?.operator;
            let page = Page::of(q.pagination)?;
            let rows = |start, limit| Ok(view::unbondings_from(&read, operator, Address(start), limit)?);
            let total = page.total(|most| rows([0; 20], most).map(|rows| rows.len()))?;
            let (rows, pagination) = page.scan(rows, |row| row.delegator.0, total)?;
            let unbonding_responses = rows.into_iter().map(unbonding).collect();
            staking::QueryValidatorUnbondingDelegationsResponse { unbonding_responses, pagination }
                .encode_to_vec()
        }
        "Delegation" => {
            let q: staking::QueryDelegationRequest = of(request)?;
            let row = one_delegation(&read, &q.delegator_addr, &q.validator_addr)?;
            staking::QueryDelegationResponse { delegation_response: Some(delegation(row)) }.encode_to_vec()
        }
        "UnbondingDelegation" => {
            let q: staking::QueryUnbondingDelegationRequest = of(request)?;
            let (who, operator) = (account(&q.delegator_addr)?, operator(&q.validator_addr)?);
            let row = view::unbonding(&read, operator, who)?
                .ok_or_else(|| missing("unbonding delegation", &q.delegator_addr, &q.validator_addr))?;
            staking::QueryUnbondingDelegationResponse { unbond: Some(unbonding(row)) }.encode_to_vec()
        }
        "DelegatorDelegations" => {
            let q: staking::QueryDelegatorDelegationsRequest = of(request)?;
            let who = account(&q.delegator_addr)?;
            let (operators, pagination) = operators(&read, who, q.pagination)?;
            let rows = operators.into_iter().map(|operator| Ok(view::delegation(&read, operator, who)?));
            let rows = rows.collect::<Result<Vec<_>, Status>>()?;
            let delegation_responses = rows.into_iter().flatten().map(delegation).collect();
            staking::QueryDelegatorDelegationsResponse { delegation_responses, pagination }.encode_to_vec()
        }
        "DelegatorUnbondingDelegations" => {
            let q: staking::QueryDelegatorUnbondingDelegationsRequest = of(request)?;
            let who = account(&q.delegator_addr)?;
            let page = Page::of(q.pagination)?;
            let rows = |start, limit| Ok(view::unbonding_from(&read, who, Address(start), limit)?);
            let total = page.total(|most| rows([0; 20], most).map(|rows| rows.len()))?;
            let (operators, pagination) = page.scan(rows, |operator| operator.0, total)?;
            let rows = operators.into_iter().map(|operator| Ok(view::unbonding(&read, operator, who)?));
            let rows = rows.collect::<Result<Vec<_>, Status>>()?;
            let unbonding_responses = rows.into_iter().flatten().map(unbonding).collect();
            staking::QueryDelegatorUnbondingDelegationsResponse { unbonding_responses, pagination }
                .encode_to_vec()
        }
        "Redelegations" => redelegations(&read, &of(request)?)?.encode_to_vec(),
        "DelegatorValidators" => {
            let q: staking::QueryDelegatorValidatorsRequest = of(request)?;
            let (operators, pagination) = operators(&read, account(&q.delegator_addr)?, q.pagination)?;
            let validators = rows(&read, operators)?;
            staking::QueryDelegatorValidatorsResponse { validators, pagination }.encode_to_vec()
        }
        "DelegatorValidator" => {
            let q: staking::QueryDelegatorValidatorRequest = of(request)?;
            one_delegation(&read, &q.delegator_addr, &q.validator_addr)?;
            let validator = Some(shown(validator(&read, &q.validator_addr)?));
            staking::QueryDelegatorValidatorResponse { validator }.encode_to_vec()
        }
        "Pool" => {
            let (bonded, other) = view::pools(&read)?;
            let (bonded_tokens, not_bonded_tokens) = (bonded.to_string(), other.to_string());
            let pool = Some(staking::Pool { not_bonded_tokens, bonded_tokens });
            staking::QueryPoolResponse { pool }.encode_to_vec()
        }
        "Params" => {
            let rules = view::rules(&read)?;
            let params = staking::Params {
                unbonding_time: Some(period(rules.unbonding_ms)),
                max_validators: rules.max_validators,
                max_entries: rules.max_entries,
                historical_entries: 0,
                bond_denom: DENOM.into(),
                min_commission_rate: rules.min_commission.raw().to_string(),
            };
            staking::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        _ => return Err(Status::unimplemented(method)),
    })
}

fn validators(
    read: &Snapshot,
    q: &staking::QueryValidatorsRequest,
) -> Result<staking::QueryValidatorsResponse, Status> {
    let page = Page::of(q.pagination.clone())?;
    let wanted = match (q.status.as_str(), BondStatus::from_str_name(&q.status)) {
        ("", _) | (_, Some(BondStatus::Unspecified)) => None,
        (_, Some(status)) => Some(status),
        (_, None) => return Err(Status::invalid("status is BOND_STATUS_BONDED or the like")),
    };
    // Those in the set are few and known; the others may be many.
    let (operators, pagination) = if wanted == Some(BondStatus::Bonded) {
        page.cut(view::bonded(read)?)?
    } else {
        let all = |start, limit| Ok(view::validators(read, Address(start), limit)?);
        let fits = |(_, validator): &(Address, Validator)| wanted.is_none_or(|s| s == status(validator));
        let (rows, pagination) = page.sift(all, |(operator, _)| operator.0, fits)?;
        let total = match wanted {
            None => page.total(|most| all([0; 20], most).map(|rows| rows.len()))?,
            Some(_) => 0,
        };
        let pagination = pagination.map(|about| PageResponse { total, ..about });
        (rows.into_iter().map(|(operator, _)| operator).collect(), pagination)
    };
    Ok(staking::QueryValidatorsResponse { validators: rows(read, operators)?, pagination })
}

/// These validators, as far as they exist.
fn rows(read: &Snapshot, operators: Vec<Address>) -> Result<Vec<staking::Validator>, Status> {
    let found = operators.into_iter().map(|operator| Ok(view::validator(read, operator)?));
    Ok(found.collect::<Result<Vec<_>, Status>>()?.into_iter().flatten().map(shown).collect())
}

type Operators = (Vec<Address>, Option<PageResponse>);

/// A page of those with whom an account has delegations.
fn operators(read: &Snapshot, who: Address, pagination: Option<PageRequest>) -> Result<Operators, Status> {
    let page = Page::of(pagination)?;
    let rows = |start, limit| Ok(view::operators_of(read, who, Address(start), limit)?);
    let total = page.total(|most| rows([0; 20], most).map(|rows| rows.len()))?;
    page.scan(rows, |operator| operator.0, total)
}

fn one_delegation(read: &Snapshot, delegator: &str, validator: &str) -> Result<DelegationRow, Status> {
    let (who, operator) = (account(delegator)?, operator(validator)?);
    view::delegation(read, operator, who)?.ok_or_else(|| missing("delegation", delegator, validator))
}

/// Clients look for the last words.
fn missing(what: &str, delegator: &str, validator: &str) -> Status {
    Status::not_found(format!(
        "{what} with delegator {delegator} not found for validator {validator}: key not found"
    ))
}

fn redelegations(
    read: &Snapshot,
    q: &staking::QueryRedelegationsRequest,
) -> Result<staking::QueryRedelegationsResponse, Status> {
    let page = Page::of(q.pagination.clone())?;
    let named = |text: &str| if text.is_empty() { Ok(None) } else { operator(text).map(Some) };
    let (source, destination) = (named(&q.src_validator_addr)?, named(&q.dst_validator_addr)?);
    // Who, from where, to where.
    let mut moves: Vec<(Address, Address, Address)> = Vec::new();
    let pagination = match (q.delegator_addr.as_str(), source, destination) {
        ("", Some(from), _) => {
            let all = |start: [u8; 40], limit| Ok(view::moves_from(read, from, split(start), limit)?);
            let fits = |(_, to): &(Address, Address)| destination.is_none_or(|wanted| wanted == *to);
            let (found, pagination) = page.sift(all, |pair| joined(*pair), fits)?;
            moves.extend(found.into_iter().map(|(who, to)| (who, from, to)));
            pagination
        }
        ("", None, _) => return Err(Status::invalid("name a delegator, or the validator of origin")),
        (who, Some(from), Some(to)) => {
            let who = account(who)?;
            moves.push((who, from, to));
            None
        }
        (who, ..) => {
            let who = account(who)?;
            let all = |start: [u8; 40], limit| Ok(view::moves_of(read, who, split(start), limit)?);
            let fits = |(to, from): &(Address, Address)| {
                source.is_none_or(|wanted| wanted == *from) && destination.is_none_or(|wanted| wanted == *to)
            };
            let (found, pagination) = page.sift(all, |pair| joined(*pair), fits)?;
            moves.extend(found.into_iter().map(|(to, from)| (who, from, to)));
            pagination
        }
    };
    let found = moves.into_iter().map(|(who, from, to)| Ok(view::redelegation(read, who, from, to)?));
    let found = found.collect::<Result<Vec<_>, Status>>()?;
    let redelegation_responses: Vec<_> = found.into_iter().flatten().map(redelegation).collect();
    if pagination.is_none() && redelegation_responses.is_empty() {
        return Err(Status::not_found(format!(
            "redelegation not found for delegator address {} from validator address {}: key not found",
            q.delegator_addr, q.src_validator_addr
        )));
    }
    Ok(staking::QueryRedelegationsResponse { redelegation_responses, pagination })
}

fn coin(amount: u128) -> Option<Coin> {
    Some(Coin { denom: DENOM.into(), amount: amount.to_string() })
}

fn delegation(row: DelegationRow) -> staking::DelegationResponse {
    let delegation = staking::Delegation {
        delegator_address: row.delegator.to_string(),
        validator_address: row.operator.written(Prefix::Operator),
        shares: decimal(row.shares),
    };
    staking::DelegationResponse { delegation: Some(delegation), balance: coin(row.balance) }
}

fn unbonding(row: UnbondingRow) -> staking::UnbondingDelegation {
    let entries = row.entries.into_iter().map(|entry| staking::UnbondingDelegationEntry {
        creation_height: entry.created as i64,
        completion_time: Some(time(entry.until)),
        initial_balance: entry.initial.to_string(),
        balance: entry.balance.to_string(),
        unbonding_id: 0,
        unbonding_on_hold_ref_count: 0,
    });
    staking::UnbondingDelegation {
        delegator_address: row.delegator.to_string(),
        validator_address: row.operator.written(Prefix::Operator),
        entries: entries.collect(),
    }
}

fn redelegation(row: RedelegationRow) -> staking::RedelegationResponse {
    let entries = row.entries.into_iter().map(|(entry, balance)| staking::RedelegationEntryResponse {
        redelegation_entry: Some(staking::RedelegationEntry {
            creation_height: entry.created as i64,
            completion_time: Some(time(entry.until)),
            initial_balance: entry.initial.to_string(),
            shares_dst: decimal(entry.shares),
            unbonding_id: 0,
            unbonding_on_hold_ref_count: 0,
        }),
        balance: balance.to_string(),
    });
    let redelegation = staking::Redelegation {
        delegator_address: row.delegator.to_string(),
        validator_src_address: row.source.written(Prefix::Operator),
        validator_dst_address: row.destination.written(Prefix::Operator),
        // As published nodes answer: the entries stand beside it, with their balances.
        entries: Vec::new(),
    };
    staking::RedelegationResponse { redelegation: Some(redelegation), entries: entries.collect() }
}

fn status(validator: &Validator) -> BondStatus {
    match validator.status {
        Bond::Unbonded => BondStatus::Unbonded,
        Bond::Unbonding => BondStatus::Unbonding,
        Bond::Bonded => BondStatus::Bonded,
    }
}

fn shown(row: ValidatorRow) -> staking::Validator {
    let ValidatorRow { operator, validator: v, text } = row;
    let rates = staking::CommissionRates {
        rate: v.commission.rate.raw().to_string(),
        max_rate: v.commission.max_rate.raw().to_string(),
        max_change_rate: v.commission.max_change.raw().to_string(),
    };
    staking::Validator {
        operator_address: operator.written(Prefix::Operator),
        consensus_pubkey: Some(ed25519(&v.public_key)),
        jailed: v.jailed,
        status: status(&v).into(),
        tokens: v.tokens.to_string(),
        delegator_shares: decimal(v.shares),
        description: Some(staking::Description {
            moniker: text.moniker,
            identity: text.identity,
            website: text.website,
            security_contact: text.security_contact,
            details: text.details,
        }),
        unbonding_height: v.left_height as i64,
        unbonding_time: Some(time(v.unbonded_ms)),
        commission: Some(staking::Commission {
            commission_rates: Some(rates),
            update_time: Some(time(v.commission.changed_ms)),
        }),
        min_self_delegation: v.min_self.to_string(),
        unbonding_on_hold_ref_count: 0,
        unbonding_ids: Vec::new(),
    }
}
