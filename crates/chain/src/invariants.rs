//! What always holds between blocks, checked by walking the whole state: in tests after every block, and when an
//! operator asks.

use std::collections::BTreeMap;

use dodona_store::{Read, StoreError};

use crate::{
    accounts, auth, bank, mint,
    staking::{
        self,
        state::{self as staked, DELEGATIONS as DELEGATED, Status, Unbonding, wait},
    },
    subnets,
    topics::{
        stake::{self, DELEGATIONS, DELEGATORS, LEAVING, REMOVALS, STAKES},
        stake_account,
        state::{
            ADMITTED, DUE, EPOCHS, EpochState, FORECASTS, INFERENCES, LOSSES, MEMBERS, NEWEST, NONCES,
            OPENINGS, PAYLOADS, POTS, RECORDS, REGISTRATIONS, REGISTRY, REPORTS, RESISTANT, Record, SEALS,
            SHARED, TOPICS, UNHEARD, UNOPENED, Void, part, phase, role,
        },
        topics_pending, topics_rewards,
    },
};

/// A promise that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two numbers that must be equal are not.
    #[error("{what}: {left} is not {right}")]
    Differ {
        /// The promise.
        what: &'static str,
        /// One side.
        left: u128,
        /// The other.
        right: u128,
    },
    /// Something that must not be there is there.
    #[error("{what}: {detail}")]
    Wrong {
        /// The promise.
        what: &'static str,
        /// Where.
        detail: String,
    },
}

/// Checks all promises.
pub(crate) fn check(read: &impl Read) -> Result<(), Violation> {
    let height = crate::TIP.get(read)?.map_or(0, |tip| tip.height);
    tokens(read)?;
    books(read)?;
    staking(read)?;
    subnets::invariants::check(read, height)?;
    epochs(read, height)?;
    due(read, height)
}

/// Balances, accounts and the supply agree.
fn tokens(read: &impl Read) -> Result<(), Violation> {
    let balances = bank::balances(read)?;
    let supply = bank::supply(read)?;
    let total = sum(balances.iter().map(|b| b.1))?;
    equal("balances sum to the supply", total, supply)?;
    if let Some((who, _)) = balances.iter().find(|b| b.1 == 0) {
        return Err(wrong("zero balances are not stored", hex::encode(who)));
    }
    for (who, _) in &balances {
        if auth::account(read, dodona_proto::Address(*who))?.is_none() {
            return Err(wrong("whoever holds tokens has an account", hex::encode(who)));
        }
    }
    if mint::minted(read)? > supply {
        return Err(wrong("what was minted is part of the supply", supply.to_string()));
    }
    equal("the fee collector is emptied", bank::balance(read, accounts::fee_collector())?, 0)
}

/// The topics' books of stake, pots and shares agree with the tokens they speak about.
fn books(read: &impl Read) -> Result<(), Violation> {
    let mut staked_on = BTreeMap::new();
    let (mut delegated_upon, mut owed) = (BTreeMap::new(), 0u128);
    for ((id, reputer, delegator), delegation) in DELEGATIONS.scan(read, usize::MAX)? {
        if delegation.amount == 0 || !DELEGATORS.contains(read, &(delegator, id, reputer))? {
            return Err(wrong("delegations are above zero and found by delegator", hex::encode(delegator)));
        }
        add(&mut delegated_upon, (id, reputer), delegation.amount);
        owed = sum([owed, stake::pending(read, id, reputer, &delegation)?].into_iter())?;
    }
    if DELEGATORS.scan(read, usize::MAX)?.len() != DELEGATIONS.scan(read, usize::MAX)?.len() {
        return Err(wrong("delegators are found by delegation", String::new()));
    }
    for ((id, reputer), stake) in STAKES.scan(read, usize::MAX)? {
        let delegated = delegated_upon.remove(&(id, reputer)).unwrap_or(0);
        equal("what is delegated upon a reputer is the sum of its delegations", delegated, stake.delegated)?;
        add(&mut staked_on, id, stake.authority());
    }
    if let Some(((id, _), _)) = delegated_upon.first_key_value() {
        return Err(wrong("delegations are upon somebody", format!("topic {id}")));
    }
    let staked = sum(staked_on.values().copied())?;
    equal("stakes sum to the stake account", staked, bank::balance(read, stake_account())?)?;
    equal("the sum of all stake is kept", staked, stake::total(read)?)?;
    let pending = bank::balance(read, topics_pending())?;
    if owed > pending {
        return Err(Violation::Differ {
            what: "delegators can collect what they are owed",
            left: owed,
            right: pending,
        });
    }
    for ((id, reputer, staker), removal) in REMOVALS.scan(read, usize::MAX)? {
        let own = reputer == staker;
        let has = match own {
            true => stake::of(read, id, reputer)?.own,
            false => DELEGATIONS.get(read, &(id, reputer, staker))?.map_or(0, |d| d.amount),
        };
        let queued = LEAVING.contains(read, &(u8::from(!own), removal.at, id, reputer, staker))?;
        if removal.amount > has || !queued {
            return Err(wrong(
                "what leaves is there and queued",
                format!("topic {id}: {} of {has}", removal.amount),
            ));
        }
    }
    if LEAVING.scan(read, usize::MAX)?.len() != REMOVALS.scan(read, usize::MAX)?.len() {
        return Err(wrong("removals are queued once", String::new()));
    }
    let shared = SHARED.get(read)?.unwrap_or_default();
    let (mut shares, mut claims) = (0u128, 0u128);
    for (_, pot) in POTS.scan(read, usize::MAX)? {
        claims = sum([claims, pot].into_iter())?;
    }
    let mut registered = BTreeMap::new();
    for ((id, as_role, _), _) in REGISTRATIONS.scan(read, usize::MAX)? {
        add(&mut registered, (id, as_role), 1);
    }
    let mut known = BTreeMap::new();
    let mut earned_in = BTreeMap::new();
    for ((id, part, _), member) in MEMBERS.scan(read, usize::MAX)? {
        add(&mut known, (id, part), 1);
        add(&mut earned_in, id, member.earned);
    }
    for (id, topic) in TOPICS.scan(read, usize::MAX)? {
        let of = |book: &BTreeMap<u64, u128>| book.get(&id).copied().unwrap_or(0);
        let roles = |as_role: u8| registered.get(&(id, as_role)).copied().unwrap_or(0);
        equal("a topic's stake is the sum of its reputers'", of(&staked_on), topic.stake)?;
        if of(&earned_in) > topic.paid {
            return Err(wrong("members earned what their topic paid", format!("topic {id}")));
        }
        equal("a topic counts its workers", roles(role::WORKER), topic.workers.into())?;
        equal("a topic counts its reputers", roles(role::REPUTER), topic.reputers.into())?;
        for part in [part::INFERER, part::FORECASTER, part::REPUTER] {
            let counted = known.get(&(id, part)).copied().unwrap_or(0);
            equal("a topic counts whom it ever heard", counted, topic.heard[usize::from(part) - 1].into())?;
        }
        if !topic.active && topic.waiting() == 0 && POTS.get(read, &id)?.unwrap_or(0) > 0 {
            return Err(wrong("a topic that can pay nobody holds nothing", format!("topic {id}")));
        }
        let newest = NEWEST.get(read, &id)?.map_or((0, 0), |inference| (inference.at, inference.nonce));
        if newest != (topic.last_combined.height, topic.last_combined.nonce) {
            return Err(wrong(
                "a topic's newest inference is that of its newest answer",
                format!("topic {id}"),
            ));
        }
        if topic.active != (topic.shares > 0) {
            return Err(wrong("active topics and only they share the emission", format!("topic {id}")));
        }
        shares = sum([shares, topic.shares].into_iter())?;
        let unsettled = shared.per_share.owed(topic.settled, topic.shares).unwrap_or(0);
        claims = sum([claims, unsettled].into_iter())?;
    }
    equal("shares of active topics sum up", shares, shared.shares)?;
    let rewards = bank::balance(read, topics_rewards())?;
    if claims > rewards {
        let what = "topics' claims are covered by the rewards account";
        return Err(Violation::Differ { what, left: claims, right: rewards });
    }
    Ok(())
}

/// The books of staking agree with the tokens they speak about, and the set with the books.
fn staking(read: &impl Read) -> Result<(), Violation> {
    let mut shares = BTreeMap::new();
    let mut owed = BTreeMap::new();
    let delegations = DELEGATED.scan(read, usize::MAX)?;
    for ((operator, delegator), delegation) in &delegations {
        if delegation.shares == 0 || !staked::DELEGATORS.contains(read, &(*delegator, *operator))? {
            return Err(wrong("delegations are above zero and found by delegator", hex::encode(delegator)));
        }
        add(&mut shares, *operator, delegation.shares);
        let per_share = staked::REWARDS.get(read, operator)?.unwrap_or_default().per_share;
        let claim = per_share.owed(delegation.settled, delegation.shares).unwrap_or(0);
        add(&mut owed, *operator, claim);
    }
    equal(
        "delegators are found by delegation",
        staked::DELEGATORS.scan(read, usize::MAX)?.len() as u128,
        delegations.len() as u128,
    )?;
    let set = staking::set::current(read)?;
    let height = crate::TIP.get(read)?.map_or(0, |tip| tip.height);
    let total: u128 = set.members.iter().map(|v| u128::from(v.power)).sum();
    let sorted = set.members.windows(2).all(|pair| pair[0].public_key < pair[1].public_key);
    if set.members.is_empty() || !sorted || total >= 1 << 62 || set.members.iter().any(|v| v.power == 0) {
        return Err(wrong("a set is sorted, never empty, and its power can be tripled", format!("{total}")));
    }
    if set.from > height + 1 {
        return Err(wrong("the set decides the next block", format!("from {}", set.from)));
    }
    let (mut bonded, mut others, mut members, mut ranked, mut waiting) =
        (0u128, 0u128, 0usize, 0usize, 0usize);
    let mut earned = 0u128;
    for (operator, v) in staked::VALIDATORS.scan(read, usize::MAX)? {
        let place = || format!("validator {}", hex::encode(operator));
        equal("shares of a validator sum up", shares.remove(&operator).unwrap_or(0), v.shares)?;
        if v.tokens > v.shares {
            return Err(wrong("a share is worth at most a unit", place()));
        }
        let member = set.members.iter().find(|m| m.operator.0 == operator);
        if member.is_some() != (v.status == Status::Bonded)
            || member.is_some_and(|m| m.public_key != v.public_key)
        {
            return Err(wrong("the set is those who are bonded", place()));
        }
        members += usize::from(member.is_some());
        let pool = if v.status == Status::Bonded { &mut bonded } else { &mut others };
        *pool = sum([*pool, v.tokens].into_iter())?;
        let may = !v.jailed && v.tokens >= dodona_proto::ALLO;
        ranked += usize::from(may);
        if staked::RANK.contains(read, &(u128::MAX - v.tokens, operator))? != may {
            return Err(wrong("who may decide blocks is ranked by tokens", place()));
        }
        let leaving = (v.unbonded_ms, wait::VALIDATOR, operator, [0; 20], [0; 20]);
        if (v.status == Status::Unbonding) != staked::QUEUE.contains(read, &leaving)? {
            return Err(wrong("who left the set waits", place()));
        }
        waiting += usize::from(v.status == Status::Unbonding);
        if v.status == Status::Unbonded && v.shares == 0 || v.tombstoned && !v.jailed {
            return Err(wrong("nobody's validators are gone, tombstoned ones jailed", place()));
        }
        let key = staking::state::consensus_address(&v.public_key).0;
        if staked::KEYS.get(read, &key)? != Some(operator) || !staked::TEXTS.contains(read, &operator)? {
            return Err(wrong("a validator has its key and its words", place()));
        }
        let missed = staked::SIGNING.get(read, &operator)?.unwrap_or_default().missed;
        let misses = staked::MISSES.scan_prefix(read, &operator, usize::MAX)?.len();
        equal("missed blocks are counted", misses as u128, missed.into())?;
        let rewards = staked::REWARDS.get(read, &operator)?.unwrap_or_default();
        let claims = owed.remove(&operator).unwrap_or(0);
        if claims > rewards.outstanding {
            let what = "delegators can collect what they are owed";
            return Err(Violation::Differ { what, left: claims, right: rewards.outstanding });
        }
        earned = sum([earned, rewards.outstanding, rewards.commission].into_iter())?;
    }
    equal("members of the set are validators", members as u128, set.members.len() as u128)?;
    equal("ranks belong to validators", ranked as u128, staked::RANK.scan(read, usize::MAX)?.len() as u128)?;
    if let Some((operator, _)) = shares.first_key_value() {
        return Err(wrong("delegations are with somebody", hex::encode(operator)));
    }
    let entries = staked::UNBONDINGS.scan(read, usize::MAX)?;
    for ((operator, delegator), list) in &entries {
        let queued = |e: &Unbonding| {
            staked::QUEUE.contains(read, &(e.until, wait::UNBONDING, *operator, *delegator, [0; 20]))
        };
        let mut times = std::collections::BTreeSet::new();
        for entry in list {
            others = sum([others, entry.balance].into_iter())?;
            if entry.balance > entry.initial || !queued(entry)? {
                return Err(wrong(
                    "what unbonds waits, and is at most what was asked for",
                    hex::encode(delegator),
                ));
            }
            times.insert(entry.until);
        }
        waiting += times.len();
        if list.is_empty() || !staked::UNBONDERS.contains(read, &(*delegator, *operator))? {
            return Err(wrong("what unbonds is found by delegator", hex::encode(delegator)));
        }
    }
    equal(
        "unbonders unbond",
        staked::UNBONDERS.scan(read, usize::MAX)?.len() as u128,
        entries.len() as u128,
    )?;
    let moved = staked::REDELEGATIONS.scan(read, usize::MAX)?;
    for ((source, delegator, destination), list) in &moved {
        let mut times = std::collections::BTreeSet::new();
        for entry in list {
            let key = (entry.until, wait::REDELEGATION, *source, *delegator, *destination);
            if !staked::QUEUE.contains(read, &key)? {
                return Err(wrong("redelegations wait", hex::encode(delegator)));
            }
            times.insert(entry.until);
        }
        waiting += times.len();
        if list.is_empty() || !staked::REDELEGATORS.contains(read, &(*delegator, *destination, *source))? {
            return Err(wrong("redelegations are found by destination", hex::encode(delegator)));
        }
    }
    let found = staked::REDELEGATORS.scan(read, usize::MAX)?.len();
    equal("redelegators redelegated", found as u128, moved.len() as u128)?;
    equal(
        "waits stand in the queue once",
        waiting as u128,
        staked::QUEUE.scan(read, usize::MAX)?.len() as u128,
    )?;
    equal("tokens of bonded validators", bonded, bank::balance(read, accounts::bonded_pool())?)?;
    equal("tokens of others, and on their way", others, bank::balance(read, accounts::not_bonded_pool())?)?;
    equal("what was earned and not collected", earned, bank::balance(read, accounts::distribution())?)
}

/// Every epoch is in exactly one state, and holds what belongs to that state and nothing else.
fn epochs(read: &impl Read, height: u64) -> Result<(), Violation> {
    let mut heard = BTreeMap::new();
    for ((id, nonce, _), payload) in PAYLOADS.scan(read, usize::MAX)? {
        let count: &mut (u32, u32, u32) = heard.entry((id, nonce)).or_default();
        count.0 += u32::from(payload.inference.is_some());
        count.1 += u32::from(!payload.forecast.is_empty());
    }
    for ((id, nonce, _), _) in REPORTS.scan(read, usize::MAX)? {
        heard.entry((id, nonce)).or_default().2 += 1;
    }
    let mut admitted: BTreeMap<(u64, u64), [u32; 3]> = BTreeMap::new();
    for ((id, nonce, part, ..), ()) in ADMITTED.scan(read, usize::MAX)? {
        admitted.entry((id, nonce)).or_default()[usize::from(part) - 1] += 1;
    }
    let mut kept: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for ((id, nonce), epoch) in EPOCHS.scan(read, usize::MAX)? {
        let place = || format!("topic {id} nonce {nonce}");
        kept.entry(id).or_default().push(nonce);
        let record = RECORDS.get(read, &(id, nonce))?;
        let (payloads, forecasts, truths) = heard.remove(&(id, nonce)).unwrap_or_default();
        let counted = epoch.heard;
        match epoch.state {
            EpochState::Open => {
                equal("inferences are counted", payloads.into(), counted.inferers.into())?;
                equal("forecasts are counted", forecasts.into(), counted.forecasters.into())?;
            }
            EpochState::Combined => equal("reports are counted", truths.into(), counted.reputers.into())?,
            EpochState::Scored | EpochState::Void(_) => {}
        }
        let ranked = admitted.remove(&(id, nonce)).unwrap_or_default();
        let expected = match epoch.state {
            EpochState::Open => [counted.inferers, counted.forecasters, 0],
            EpochState::Combined => [0, 0, counted.reputers],
            EpochState::Scored | EpochState::Void(_) => [0; 3],
        };
        if ranked != expected {
            return Err(wrong(
                "whoever is heard has a rank",
                format!("{}: {ranked:?} {expected:?}", place()),
            ));
        }
        let answered = match epoch.state {
            EpochState::Open | EpochState::Void(Void::NoInference) => Some(false),
            EpochState::Combined | EpochState::Scored | EpochState::Void(Void::NoTruth) => Some(true),
            EpochState::Void(Void::NoAgreement) => Some(true),
            EpochState::Void(Void::Arithmetic) => None,
        };
        let right = (epoch.state == EpochState::Open || payloads + forecasts == 0)
            && (epoch.state == EpochState::Combined || truths == 0)
            && (epoch.state != EpochState::Scored || counted.reputers > 0)
            && answered.is_none_or(|expected| record.is_some() == expected)
            && record.is_some() == INFERENCES.contains(read, &(id, nonce))?
            && record.as_ref().is_some_and(|r| r.outcome.is_some()) == (epoch.state == EpochState::Scored)
            && LOSSES.contains(read, &(id, nonce))? == (epoch.state == EpochState::Scored)
            && (record.is_some() || !FORECASTS.contains(read, &(id, nonce))?)
            && (record.is_some() || !RESISTANT.contains(read, &(id, nonce))?)
            && (record.is_some()
                || epoch.state == EpochState::Open
                || !REGISTRY.contains(read, &(id, nonce))?)
            && NONCES.get(read, &(id, epoch.index))? == Some(nonce)
            && OPENINGS.contains(read, &(id, nonce))? == (epoch.state == EpochState::Combined);
        if !right {
            return Err(wrong("an epoch holds what belongs to its state", place()));
        }
        let next = if epoch.state == EpochState::Open { epoch.worker_last } else { epoch.truth_last };
        if epoch.waits() && next <= height {
            return Err(wrong("a waiting epoch has a step before it", place()));
        }
        let waits = |block: u64, phase: u8| DUE.contains(read, &(block, phase, id, nonce));
        if waits(epoch.truth_last, phase::SCORE)? != epoch.waits()
            || waits(epoch.worker_last, phase::COMBINE)? != (epoch.state == EpochState::Open)
        {
            return Err(wrong("exactly the steps before an epoch are due", place()));
        }
        let Some(Record { answer, outcome }) = record else { continue };
        let weight: f64 = answer.parts.iter().map(|p| p.weight.get()).sum();
        if (weight - 1.0).abs() > 1e-9 || answer.parts.iter().any(|p| p.weight.get() < 0.0) {
            return Err(wrong("weights are shares of one", format!("{}: {weight}", place())));
        }
        let Some(outcome) = outcome else { continue };
        let parts = answer.parts.iter().map(|p| p.reward).chain(outcome.reports.iter().map(|r| r.reward));
        equal("an epoch's reward is what its members got", sum(parts)?, outcome.reward)?;
        if outcome.reward > outcome.budget {
            return Err(wrong("an epoch pays at most its budget", place()));
        }
    }
    for ((id, nonce, _), ()) in UNHEARD.scan(read, usize::MAX)? {
        if !EPOCHS.get(read, &(id, nonce))?.is_some_and(|epoch| epoch.state == EpochState::Combined) {
            return Err(wrong(
                "who was not admitted is forgotten with its epoch",
                format!("topic {id} nonce {nonce}"),
            ));
        }
    }
    for ((id, nonce, _), _) in SEALS.scan(read, usize::MAX)? {
        let sealed = TOPICS.get(read, &id)?.is_some_and(|topic| topic.spec.reveal_window > 0);
        let open = EPOCHS.get(read, &(id, nonce))?.is_some_and(|epoch| epoch.state == EpochState::Open);
        if !sealed || !open {
            return Err(wrong("seals belong to an open window", format!("topic {id} nonce {nonce}")));
        }
    }
    for ((id, nonce, part, account), ()) in UNOPENED.scan(read, usize::MAX)? {
        if !RECORDS.contains(read, &(id, nonce))? || !MEMBERS.contains(read, &(id, part, account))? {
            return Err(wrong("who opened no seal is a member", format!("topic {id} nonce {nonce}")));
        }
    }
    if let Some(((id, nonce), _)) = admitted.first_key_value() {
        return Err(wrong("ranks belong to an epoch", format!("topic {id} nonce {nonce}")));
    }
    if let Some(((id, nonce), _)) = heard.first_key_value() {
        return Err(wrong("payloads and reports belong to an epoch", format!("topic {id} nonce {nonce}")));
    }
    for (id, topic) in TOPICS.scan(read, usize::MAX)? {
        if topic.scored + topic.void > topic.opened || topic.scored > topic.combined {
            return Err(wrong("epochs end at most once", format!("topic {id}")));
        }
        let nonces = kept.remove(&id).unwrap_or_default();
        let numbered = NONCES.scan_prefix(read, &id, usize::MAX)?;
        let dense = numbered.iter().enumerate().all(|(i, ((_, index), _))| *index == topic.oldest + i as u64);
        if !dense || numbered.len() as u64 != topic.opened - topic.oldest || numbered.len() != nonces.len() {
            return Err(wrong("epochs are numbered without a gap", format!("topic {id}")));
        }
        if topic.active != DUE.contains(read, &(topic.next_open, phase::OPEN, id, 0))? {
            return Err(wrong("an active topic has a next question", format!("topic {id}")));
        }
    }
    Ok(())
}

/// Nothing is left behind.
fn due(read: &impl Read, height: u64) -> Result<(), Violation> {
    match DUE.scan(read, 1)?.first() {
        Some(((block, ..), ())) if *block <= height => {
            Err(wrong("nothing due is left behind", format!("block {block}")))
        }
        _ => Ok(()),
    }
}

/// Adds to one row of a book. Books of payments stop at the largest number, as the state does.
fn add<K: Ord>(book: &mut BTreeMap<K, u128>, row: K, amount: u128) {
    let entry = book.entry(row).or_default();
    *entry = entry.saturating_add(amount);
}

/// Adding with overflow would hide exactly what this module looks for.
fn sum(mut amounts: impl Iterator<Item = u128>) -> Result<u128, Violation> {
    let overflow = || wrong("sums stay below 2^128", "overflow".into());
    amounts.try_fold(0u128, u128::checked_add).ok_or_else(overflow)
}

pub(crate) fn equal(what: &'static str, left: u128, right: u128) -> Result<(), Violation> {
    if left == right { Ok(()) } else { Err(Violation::Differ { what, left, right }) }
}

pub(crate) fn wrong(what: &'static str, detail: String) -> Violation {
    Violation::Wrong { what, detail }
}
