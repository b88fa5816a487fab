//! Parameters, and how many tokens come into being.

use dodona_mechanism::supply::Fixed;
use dodona_proto::topics::{Parameter, QueryEmissionResponse, QueryParamsResponse};
use dodona_store::{Read, StoreError};

use crate::{accounts, bank, mint, params as parameters, topics::stake};

/// Parameters in force, by name.
pub fn params(read: &impl Read) -> Result<QueryParamsResponse, StoreError> {
    let list = parameters::get(read)?.to_list();
    let params = list.into_iter().map(|(name, value)| Parameter { name, value }).collect();
    Ok(QueryParamsResponse { params })
}

/// The emission and every number that decides it.
pub fn emission(read: &impl Read, height: u64) -> Result<QueryEmissionResponse, StoreError> {
    let (params, mint) = (parameters::get(read)?, mint::get(read)?);
    let newest = mint.newest;
    let text = |value: Option<Fixed>| value.map_or(String::new(), |v| v.to_string());
    let amount = |value: Option<u128>| value.map_or(String::new(), |v| v.to_string());
    let fixed = params.fixed_emission > 0;
    // Parameters were checked, and a month above the last reads as that: there is always an answer.
    let locked = mint::locked(&params, mint.month).unwrap_or_default();
    Ok(QueryEmissionResponse {
        enabled: params.emission_enabled,
        fixed,
        block_emission: if fixed { params.fixed_emission } else { mint.block }.to_string(),
        block_topics: mint.handed_out.1.to_string(),
        block_validators: mint.handed_out.0.to_string(),
        minted: mint.minted.to_string(),
        ecosystem_balance: bank::balance(read, accounts::ecosystem())?.to_string(),
        remaining_mintable: mint::remaining(read, &params, mint.minted)?.to_string(),
        staked: newest.map_or(stake::total(read)?, |n| n.staked).to_string(),
        circulating: amount(newest.map(|n| n.circulating)),
        locked: amount(newest.map(|n| n.locked)),
        target: text(newest.map(|n| n.target)),
        cap: text(newest.map(|n| n.cap)),
        smoothed: text(mint.per_token),
        month: amount(newest.map(|n| n.month)),
        months_unlocked: mint.month,
        start: mint.start,
        next: mint::next(&mint, &params, height),
        reputers_share: mint.reputers_share.to_string(),
        max_supply: params.max_supply.to_string(),
        calculated: newest.map_or(0, |n| n.at),
        locked_preseed: locked.preseed.to_string(),
        locked_investors: locked.investors.to_string(),
        locked_team: locked.team.to_string(),
        locked_foundation: locked.foundation.to_string(),
    })
}
