//! Stake: own, delegated, on its way out. What nobody staked is 0.

use dodona_mechanism::{Real, per_share::PerShare};
use dodona_proto::{Address, emissions::v3};
use dodona_store::Read;

use super::{Answer, PAGE, address, find, signed};
use crate::{
    query::QueryError,
    topics::{
        stake::{self, DELEGATIONS, DELEGATORS, LEAVING, REMOVALS, Removal, Stake},
        state::Key,
    },
};

const OWN: u8 = 0;
const DELEGATED: u8 = 1;

/// What is staked on a reputer in a topic.
pub(super) fn of(read: &impl Read, id: u64, reputer: &str) -> Answer<Stake> {
    let topic = find(read, id)?;
    Ok(stake::of(read, topic.id, address(reputer)?.0)?)
}

/// The same of several reputers: own and delegated.
pub(super) fn of_many(read: &impl Read, id: u64, reputers: &[String]) -> Answer<Vec<v3::StakeInfo>> {
    find(read, id)?;
    if reputers.len() > PAGE {
        return Err(QueryError::Bad(format!("{} addresses, at most {PAGE} at once", reputers.len())));
    }
    let one = |reputer: &String| {
        let amount = stake::of(read, id, address(reputer)?.0)?.authority().to_string();
        Ok(v3::StakeInfo { topic_id: id, reputer: reputer.clone(), amount })
    };
    reputers.iter().map(one).collect()
}

/// A delegation: amount, and what it would have earned before it was made.
pub(super) fn placement(
    read: &impl Read,
    id: u64,
    delegator: &str,
    reputer: &str,
) -> Answer<v3::DelegatorInfo> {
    find(read, id)?;
    let (delegator, reputer) = (address(delegator)?, address(reputer)?);
    let (amount, debt) = match DELEGATIONS.get(read, &(id, reputer.0, delegator.0))? {
        Some(d) => (d.amount, d.settled.owed(PerShare::default(), d.amount).unwrap_or(u128::MAX)),
        None => (0, 0),
    };
    Ok(v3::DelegatorInfo { amount: amount.to_string(), reward_debt: debt.to_string() })
}

/// All a delegator has delegated in a topic.
pub(super) fn of_delegator(read: &impl Read, id: u64, delegator: &str) -> Answer<u128> {
    find(read, id)?;
    let delegator = address(delegator)?.0;
    let mut sum = 0u128;
    for ((_, _, reputer), ()) in DELEGATORS.scan_prefix(read, &(delegator, id), usize::MAX)? {
        let delegation = DELEGATIONS.get(read, &(id, reputer, delegator))?;
        sum = sum.saturating_add(delegation.map_or(0, |d| d.amount));
    }
    Ok(sum)
}

/// Paid per unit delegated upon a reputer since the beginning.
pub(super) fn per_share(read: &impl Read, id: u64, reputer: &str) -> Answer<String> {
    let per_share = of(read, id, reputer)?.per_share.get();
    Ok(Real::new(per_share).unwrap_or(Real::ZERO).to_string())
}

/// Own stake that leaves up to a block, in the order of leaving.
pub(super) fn removals(read: &impl Read, until: u64) -> Answer<Vec<v3::StakeRemovalInfo>> {
    let view = |(topic, reputer, _, removal): &(u64, Key, Key, Removal)| own(*topic, *reputer, removal);
    Ok(leaving(read, OWN, until)?.iter().map(view).collect())
}

/// Delegated stake that leaves up to a block, in the order of leaving.
pub(super) fn delegate_removals(read: &impl Read, until: u64) -> Answer<Vec<v3::DelegateStakeRemovalInfo>> {
    let view = |(topic, reputer, delegator, removal): &(u64, Key, Key, Removal)| {
        delegated(*topic, *reputer, *delegator, removal)
    };
    Ok(leaving(read, DELEGATED, until)?.iter().map(view).collect())
}

fn leaving(read: &impl Read, kind: u8, until: u64) -> Answer<Vec<(u64, Key, Key, Removal)>> {
    let mut all = Vec::new();
    for ((_, at, topic, reputer, staker), ()) in LEAVING.scan_prefix(read, &kind, PAGE)? {
        if at > until {
            break;
        }
        if let Some(removal) = REMOVALS.get(read, &(topic, reputer, staker))? {
            all.push((topic, reputer, staker, removal));
        }
    }
    Ok(all)
}

/// A reputer's own stake on its way out.
pub(super) fn removal(read: &impl Read, id: u64, reputer: &str) -> Answer<v3::StakeRemovalInfo> {
    find(read, id)?;
    let reputer = address(reputer)?;
    let removal = REMOVALS.get(read, &(id, reputer.0, reputer.0))?;
    let removal = removal.ok_or_else(|| none(reputer, id))?;
    Ok(own(id, reputer.0, &removal))
}

/// A delegation on its way out; with a block, only the one that leaves there.
pub(super) fn delegate_removal(
    read: &impl Read,
    id: u64,
    delegator: &str,
    reputer: &str,
    at: Option<u64>,
) -> Answer<v3::DelegateStakeRemovalInfo> {
    find(read, id)?;
    let (delegator, reputer) = (address(delegator)?, address(reputer)?);
    // A reputer's own stake has a question of its own.
    let removal = match delegator == reputer {
        true => None,
        false => REMOVALS.get(read, &(id, reputer.0, delegator.0))?,
    };
    let removal = removal.filter(|removal| at.is_none_or(|at| at == removal.at));
    let removal = removal.ok_or_else(|| none(delegator, id))?;
    Ok(delegated(id, reputer.0, delegator.0, &removal))
}

fn none(who: Address, id: u64) -> QueryError {
    QueryError::NotFound(format!("{who} has no such stake on its way out of topic {id}"))
}

fn own(topic: u64, reputer: Key, removal: &Removal) -> v3::StakeRemovalInfo {
    v3::StakeRemovalInfo {
        block_removal_started: signed(removal.since),
        topic_id: topic,
        reputer: Address(reputer).to_string(),
        amount: removal.amount.to_string(),
        block_removal_completed: signed(removal.at),
    }
}

fn delegated(topic: u64, reputer: Key, delegator: Key, removal: &Removal) -> v3::DelegateStakeRemovalInfo {
    v3::DelegateStakeRemovalInfo {
        block_removal_started: signed(removal.since),
        topic_id: topic,
        reputer: Address(reputer).to_string(),
        delegator: Address(delegator).to_string(),
        amount: removal.amount.to_string(),
        block_removal_completed: signed(removal.at),
    }
}
