//! Stake on topics: reputers' own and delegated, leaving after a delay, earning through an amount per share (topic
//! specification, section 7.6). The only file that changes a stake.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::per_share::PerShare;
use dodona_proto::{
    Address,
    topics::{
        MsgAddStake, MsgCancelRemoveDelegateStake, MsgCancelRemoveStake, MsgClaimDelegateRewards,
        MsgDelegateStake, MsgRemoveDelegateStake, MsgRemoveStake,
    },
};
use dodona_store::{Item, Map, Read, StoreError};

use super::{
    handle::{TopicError, load_topic, parse_address, positive, require_registered},
    lists, schedule, stake_account,
    state::{Key, TOPICS, Topic, role},
    tell, topics_pending, topics_rewards,
};
use crate::{
    bank::{self, BankError},
    ctx::Ctx,
    error::Failure,
    gas,
    state::State,
};

/// (Topic, reputer) → what is staked on a reputer. Present while any of it is above zero or was ever paid to delegators.
pub const STAKES: Map<(u64, Key), Stake> = Map::new(*b"ts");
/// (Topic, reputer, delegator) → a delegation above zero.
pub const DELEGATIONS: Map<(u64, Key, Key), Delegation> = Map::new(*b"th");
/// (Delegator, topic, reputer): the same, to be found by delegator.
pub const DELEGATORS: Map<(Key, u64, Key), ()> = Map::new(*b"t1");
/// (Topic, reputer, staker) → stake on its way out; the reputer itself for its own stake.
pub const REMOVALS: Map<(u64, Key, Key), Removal> = Map::new(*b"t2");
/// (Kind, block, topic, reputer, staker): the same in the order of leaving; kind 0 is own stake, 1 delegated.
pub const LEAVING: Map<(u8, u64, u64, Key, Key), ()> = Map::new(*b"t3");
/// Sum of all stake, own and delegated: the balance of the stake account.
pub const TOTAL: Item<u128> = Item::new(*b"t4");

const OWN: u8 = 0;
const DELEGATED: u8 = 1;

/// What is staked on a reputer in a topic, uallo.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stake {
    /// Its own.
    pub own: u128,
    /// Others' upon it: the sum of the delegations.
    pub delegated: u128,
    /// Paid per delegated unit since the beginning.
    pub per_share: PerShare,
}

impl Stake {
    /// Own and delegated: what its word weighs.
    pub fn authority(&self) -> u128 {
        self.own + self.delegated
    }
}

/// A delegator's stake upon a reputer, uallo.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delegation {
    /// Above zero.
    pub amount: u128,
    /// Up to where its rewards are collected.
    pub settled: PerShare,
}

/// Stake on its way out.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Removal {
    /// At most what is staked.
    pub amount: u128,
    /// Block in which it was asked for.
    pub since: u64,
    /// Block at whose end it leaves.
    pub at: u64,
}

/// What is staked on a reputer.
pub fn of(read: &impl Read, topic: u64, reputer: Key) -> Result<Stake, StoreError> {
    Ok(STAKES.get(read, &(topic, reputer))?.unwrap_or_default())
}

/// Sum of all stake.
pub fn total(read: &impl Read) -> Result<u128, StoreError> {
    Ok(TOTAL.get(read)?.unwrap_or(0))
}

/// What a delegation can collect now.
pub fn pending(
    read: &impl Read,
    topic: u64,
    reputer: Key,
    delegation: &Delegation,
) -> Result<u128, StoreError> {
    let per_share = of(read, topic, reputer)?.per_share;
    Ok(per_share.owed(delegation.settled, delegation.amount).unwrap_or(0))
}

/// `MsgAddStake`: a registered reputer's own stake; its voice in the truth grows with it.
pub(crate) fn add(ctx: &mut Ctx, from: Address, m: &MsgAddStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "add stake")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::REPUTER, from)?;
    lists::require(ctx, &topic, role::REPUTER, from)?;
    let amount = positive(&m.amount)?;
    require_balance(ctx, from, amount)?;
    // Nothing below can fail.
    bank::transfer(ctx.state, from, stake_account(), amount)?;
    let stake = of(ctx.state, topic.id, from.0)?;
    let stake = Stake { own: stake.own + amount, ..stake };
    STAKES.put(ctx.state, &(topic.id, from.0), &stake);
    grow(ctx, &mut topic, amount)?;
    ctx.emit(tell::staked(topic.id, from, amount, stake.authority()));
    Ok(())
}

/// `MsgDelegateStake`: stake upon somebody else's word, for a part of its rewards.
pub(crate) fn delegate(ctx: &mut Ctx, from: Address, m: &MsgDelegateStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "delegate stake")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let reputer = parse_address("reputer", &m.reputer)?;
    require_registered(ctx, &topic, role::REPUTER, reputer)?;
    if reputer == from {
        let cause = "a reputer adds its own stake instead of delegating to itself".to_string();
        return Err(TopicError::Value { field: "reputer", cause }.into());
    }
    let amount = positive(&m.amount)?;
    require_balance(ctx, from, amount)?;
    // Nothing below can fail.
    collect(ctx.state, topic.id, reputer.0, from)?;
    bank::transfer(ctx.state, from, stake_account(), amount)?;
    let stake = of(ctx.state, topic.id, reputer.0)?;
    let key = (topic.id, reputer.0, from.0);
    let had = DELEGATIONS.get(ctx.state, &key)?.map_or(0, |d| d.amount);
    DELEGATIONS.put(ctx.state, &key, &Delegation { amount: had + amount, settled: stake.per_share });
    DELEGATORS.put(ctx.state, &(from.0, topic.id, reputer.0), &());
    let stake = Stake { delegated: stake.delegated + amount, ..stake };
    STAKES.put(ctx.state, &(topic.id, reputer.0), &stake);
    grow(ctx, &mut topic, amount)?;
    ctx.emit(tell::delegated(topic.id, reputer, from, amount, stake.authority()));
    Ok(())
}

/// `MsgClaimDelegateRewards`.
pub(crate) fn claim(ctx: &mut Ctx, from: Address, m: &MsgClaimDelegateRewards) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "claim rewards")?;
    let topic = load_topic(ctx, m.topic_id)?;
    let reputer = parse_address("reputer", &m.reputer)?;
    if !DELEGATIONS.contains(ctx.state, &(topic.id, reputer.0, from.0))? {
        return Err(TopicError::NoDelegation { who: from, reputer }.into());
    }
    // Nothing below can fail.
    let amount = collect(ctx.state, topic.id, reputer.0, from)?;
    ctx.emit(tell::rewards_collected(topic.id, reputer, from, amount));
    Ok(())
}

/// `MsgRemoveStake`: own stake leaves after the delay; until then it weighs, earns and is at risk.
pub(crate) fn remove(ctx: &mut Ctx, from: Address, m: &MsgRemoveStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "remove stake")?;
    let topic = load_topic(ctx, m.topic_id)?;
    let amount = positive(&m.amount)?;
    let has = of(ctx.state, topic.id, from.0)?.own;
    if amount > has {
        return Err(TopicError::StakeShort { who: from, has, needs: amount }.into());
    }
    // Nothing below can fail.
    schedule_removal(ctx, topic.id, from.0, from, OWN, amount)
}

/// `MsgRemoveDelegateStake`.
pub(crate) fn remove_delegated(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgRemoveDelegateStake,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "remove stake")?;
    let topic = load_topic(ctx, m.topic_id)?;
    let reputer = parse_address("reputer", &m.reputer)?;
    let delegation = DELEGATIONS.get(ctx.state, &(topic.id, reputer.0, from.0))?;
    let has = delegation.ok_or(TopicError::NoDelegation { who: from, reputer })?.amount;
    let amount = positive(&m.amount)?;
    if amount > has {
        return Err(TopicError::StakeShort { who: from, has, needs: amount }.into());
    }
    // Nothing below can fail.
    schedule_removal(ctx, topic.id, reputer.0, from, DELEGATED, amount)
}

/// `MsgCancelRemoveStake`.
pub(crate) fn cancel(ctx: &mut Ctx, from: Address, m: &MsgCancelRemoveStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "cancel removal")?;
    let topic = load_topic(ctx, m.topic_id)?;
    cancel_removal(ctx, topic.id, from.0, from, OWN)
}

/// `MsgCancelRemoveDelegateStake`.
pub(crate) fn cancel_delegated(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgCancelRemoveDelegateStake,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "cancel removal")?;
    let topic = load_topic(ctx, m.topic_id)?;
    let reputer = parse_address("reputer", &m.reputer)?;
    cancel_removal(ctx, topic.id, reputer.0, from, DELEGATED)
}

/// Writes a removal; an older one of the same stake gives way, and its clock with it.
fn schedule_removal(
    ctx: &mut Ctx,
    topic: u64,
    reputer: Key,
    staker: Address,
    kind: u8,
    amount: u128,
) -> Result<(), Failure> {
    let key = (topic, reputer, staker.0);
    if let Some(older) = REMOVALS.get(ctx.state, &key)? {
        LEAVING.delete(ctx.state, &(kind, older.at, topic, reputer, staker.0));
    }
    let at = ctx.height.saturating_add(ctx.params.remove_stake_delay_window);
    REMOVALS.put(ctx.state, &key, &Removal { amount, since: ctx.height, at });
    LEAVING.put(ctx.state, &(kind, at, topic, reputer, staker.0), &());
    ctx.emit(tell::removal_begun(topic, reputer, staker, amount, at));
    Ok(())
}

fn cancel_removal(ctx: &mut Ctx, topic: u64, reputer: Key, staker: Address, kind: u8) -> Result<(), Failure> {
    let key = (topic, reputer, staker.0);
    let removal = REMOVALS.get(ctx.state, &key)?.ok_or(TopicError::NoRemoval(staker))?;
    // Nothing below can fail.
    REMOVALS.delete(ctx.state, &key);
    LEAVING.delete(ctx.state, &(kind, removal.at, topic, reputer, staker.0));
    ctx.emit(tell::removal_cancelled(topic, reputer, staker));
    Ok(())
}

/// End of block: stake whose delay is over leaves, so many of each kind per block; the others wait.
pub(super) fn end(ctx: &mut Ctx) -> Result<(), Failure> {
    let most = ctx.params.half_max_process_stake_removals_end_block as usize;
    for kind in [OWN, DELEGATED] {
        for (key, ()) in LEAVING.scan_prefix(ctx.state, &kind, most)? {
            let (_, at, topic, reputer, staker) = key;
            if at > ctx.height {
                break;
            }
            LEAVING.delete(ctx.state, &key);
            leave(ctx, topic, reputer, Address(staker), kind)?;
        }
    }
    Ok(())
}

fn leave(ctx: &mut Ctx, id: u64, reputer: Key, staker: Address, kind: u8) -> Result<(), Failure> {
    let key = (id, reputer, staker.0);
    let (Some(removal), Some(mut topic)) = (REMOVALS.get(ctx.state, &key)?, TOPICS.get(ctx.state, &id)?)
    else {
        return Ok(());
    };
    REMOVALS.delete(ctx.state, &key);
    let mut stake = of(ctx.state, id, reputer)?;
    let amount = if kind == OWN {
        let amount = removal.amount.min(stake.own);
        stake.own -= amount;
        amount
    } else {
        collect(ctx.state, id, reputer, staker)?;
        let Some(delegation) = DELEGATIONS.get(ctx.state, &key)? else { return Ok(()) };
        let amount = removal.amount.min(delegation.amount);
        if amount == delegation.amount {
            DELEGATIONS.delete(ctx.state, &key);
            DELEGATORS.delete(ctx.state, &(staker.0, id, reputer));
        } else {
            DELEGATIONS.put(
                ctx.state,
                &key,
                &Delegation { amount: delegation.amount - amount, ..delegation },
            );
        }
        stake.delegated -= amount;
        amount
    };
    STAKES.put(ctx.state, &(id, reputer), &stake);
    bank::transfer(ctx.state, stake_account(), staker, amount)?;
    let all = total(ctx.state)?;
    TOTAL.put(ctx.state, &(all - amount));
    topic.stake -= amount;
    schedule::lighten(ctx, &mut topic)?;
    TOPICS.put(ctx.state, &id, &topic);
    ctx.emit(tell::stake_left(id, reputer, staker, amount, stake.authority()));
    Ok(())
}

/// Pays a delegator what it can collect.
fn collect(state: &mut State, topic: u64, reputer: Key, delegator: Address) -> Result<u128, Failure> {
    let key = (topic, reputer, delegator.0);
    let Some(delegation) = DELEGATIONS.get(state, &key)? else { return Ok(0) };
    let per_share = of(state, topic, reputer)?.per_share;
    let owed = per_share.owed(delegation.settled, delegation.amount).unwrap_or(0);
    bank::transfer(state, topics_pending(), delegator, owed)?;
    DELEGATIONS.put(state, &key, &Delegation { settled: per_share, ..delegation });
    Ok(owed)
}

/// Pays a reputer's reward: delegators their part by stake, to be collected; the rest grows its own stake. Gives the
/// reputer's part. The caller stores the topic.
pub(super) fn pay(ctx: &mut Ctx, topic: &mut Topic, reputer: Key, reward: u128) -> Result<u128, Failure> {
    if reward == 0 {
        return Ok(0);
    }
    let mut stake = of(ctx.state, topic.id, reputer)?;
    let part =
        dodona_mechanism::amount::mul_div_floor(reward, stake.delegated, stake.authority()).unwrap_or(0);
    // An amount per share beyond u128 cannot be kept; then delegators get nothing rather than the wrong thing.
    let delegators = match stake.per_share.pay(part, stake.delegated) {
        Ok(per_share) => {
            stake.per_share = per_share;
            part
        }
        Err(_) => 0,
    };
    let own = reward - delegators;
    bank::transfer(ctx.state, topics_rewards(), topics_pending(), delegators)?;
    bank::transfer(ctx.state, topics_rewards(), stake_account(), own)?;
    stake.own += own;
    STAKES.put(ctx.state, &(topic.id, reputer), &stake);
    topic.stake += own;
    let all = total(ctx.state)?;
    TOTAL.put(ctx.state, &(all + own));
    let (authority, per_share) = (stake.authority(), stake.per_share.get());
    ctx.emit(tell::reputer_paid(topic.id, reputer, (own, delegators), authority, per_share));
    Ok(own)
}

fn grow(ctx: &mut Ctx, topic: &mut Topic, amount: u128) -> Result<(), Failure> {
    topic.stake += amount;
    let all = total(ctx.state)?;
    TOTAL.put(ctx.state, &(all + amount));
    schedule::wake(ctx, topic)?;
    TOPICS.put(ctx.state, &topic.id, topic);
    Ok(())
}

pub(super) fn require_balance(ctx: &Ctx, who: Address, needs: u128) -> Result<(), Failure> {
    let has = bank::balance(ctx.state, who)?;
    if has < needs { Err(BankError::Insufficient { has, needs }.into()) } else { Ok(()) }
}
