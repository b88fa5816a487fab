//! Stake: who staked what, on its way out or not.

use dodona_proto::{
    Address,
    topics::{
        DelegationRow, QueryDelegationsRequest, QueryDelegationsResponse, QueryRemovalsResponse,
        QueryStakesRequest, QueryStakesResponse, Removal, StakeRow,
    },
};
use dodona_store::{Read, StoreError};

use super::{PAGE, ViewError, address, page_size};
use crate::topics::{
    stake::{self, DELEGATIONS, DELEGATORS, LEAVING, REMOVALS, STAKES},
    state::{Key, TOPICS},
};

/// Stake on a topic by reputer, by page.
pub fn stakes(read: &impl Read, q: &QueryStakesRequest) -> Result<Option<QueryStakesResponse>, ViewError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let after = if q.start_after.is_empty() { None } else { Some(address(&q.start_after)?.0) };
    let mut rows = Vec::new();
    for ((of, reputer), stake) in
        STAKES.scan_from(read, &(id, after.unwrap_or_default()), page_size(q.limit) + 1)?
    {
        if of != id || rows.len() == page_size(q.limit) {
            break;
        }
        if after == Some(reputer) {
            continue;
        }
        rows.push(StakeRow {
            reputer: Address(reputer).to_string(),
            own: stake.own.to_string(),
            delegated: stake.delegated.to_string(),
            reward_per_share: stake.per_share.get().to_string(),
        });
    }
    let total_stake = stake::total(read)?.to_string();
    Ok(Some(QueryStakesResponse { rows, topic_stake: topic.stake.to_string(), total_stake }))
}

pub(super) fn removal_view(topic: u64, reputer: Key, staker: Key, removal: &stake::Removal) -> Removal {
    Removal {
        topic_id: topic,
        reputer: Address(reputer).to_string(),
        delegator: if reputer == staker { String::new() } else { Address(staker).to_string() },
        amount: removal.amount.to_string(),
        block: removal.at,
    }
}

/// Stake that leaves up to a block (0: all), own before delegated, in the order of leaving.
pub fn removals(read: &impl Read, until: u64, limit: u32) -> Result<QueryRemovalsResponse, StoreError> {
    let last = if until == 0 { u64::MAX } else { until };
    let mut removals = Vec::new();
    for kind in [0u8, 1] {
        for ((_, at, topic, reputer, staker), ()) in LEAVING.scan_prefix(read, &kind, page_size(limit))? {
            if at > last {
                break;
            }
            if let Some(removal) = REMOVALS.get(read, &(topic, reputer, staker))? {
                removals.push(removal_view(topic, reputer, staker, &removal));
            }
        }
    }
    Ok(QueryRemovalsResponse { removals })
}

/// Delegations by delegator, or by topic and reputer.
pub fn delegations(
    read: &impl Read,
    q: &QueryDelegationsRequest,
) -> Result<QueryDelegationsResponse, ViewError> {
    let mut keys: Vec<(u64, Key, Key)> = Vec::new();
    if !q.delegator.is_empty() {
        let delegator = address(&q.delegator)?.0;
        let reputer = if q.reputer.is_empty() { None } else { Some(address(&q.reputer)?.0) };
        for ((_, topic, upon), ()) in DELEGATORS.scan_prefix(read, &delegator, PAGE)? {
            if (q.topic_id == 0 || q.topic_id == topic) && reputer.is_none_or(|reputer| reputer == upon) {
                keys.push((topic, upon, delegator));
            }
        }
    } else if q.topic_id > 0 && !q.reputer.is_empty() {
        let reputer = address(&q.reputer)?.0;
        keys.extend(DELEGATIONS.scan_prefix(read, &(q.topic_id, reputer), PAGE)?.iter().map(|(key, _)| *key));
    } else {
        return Err(ViewError::Bad("name a delegator, or a topic and a reputer".into()));
    }
    let mut rows = Vec::new();
    for (topic, reputer, delegator) in keys {
        let Some(delegation) = DELEGATIONS.get(read, &(topic, reputer, delegator))? else { continue };
        rows.push(DelegationRow {
            topic_id: topic,
            reputer: Address(reputer).to_string(),
            delegator: Address(delegator).to_string(),
            amount: delegation.amount.to_string(),
            pending: stake::pending(read, topic, reputer, &delegation)?.to_string(),
        });
    }
    Ok(QueryDelegationsResponse { rows })
}
