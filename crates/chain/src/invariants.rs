//! What always holds between blocks, checked by walking the whole state: in tests after every block, and when an
//! operator asks.

use std::collections::BTreeMap;

use dodona_store::{Read, StoreError};

use crate::{
    accounts, auth, bank, mint,
    topics::{
        EMISSION_TOPICS, pot_account, stake_account,
        state::{
            DUE, EPOCHS, EpochState, INFERENCES, MEMBERS, OPENINGS, PAYLOADS, POTS, RECORDS, REGISTRATIONS,
            Record, STAKES, TOPICS, TRUTHS, Void, WEIGHTS, phase, role,
        },
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

/// The topics' books of stake, pots and pay agree with the tokens they speak about.
fn books(read: &impl Read) -> Result<(), Violation> {
    let mut staked_on = BTreeMap::new();
    for ((id, _), stake) in STAKES.scan(read, usize::MAX)? {
        add(&mut staked_on, id, stake);
    }
    let staked = sum(staked_on.values().copied())?;
    equal("stakes sum to the stake account", staked, bank::balance(read, stake_account())?)?;
    let pots = POTS.scan(read, usize::MAX)?;
    let in_pots = sum(pots.iter().map(|p| p.1))?;
    equal("pots sum to the pot account", in_pots, bank::balance(read, pot_account())?)?;
    let mut earned_in = BTreeMap::new();
    for ((id, _, _), member) in MEMBERS.scan(read, usize::MAX)? {
        add(&mut earned_in, id, member.earned);
    }
    let mut registered = BTreeMap::new();
    for ((id, as_role, _), _) in REGISTRATIONS.scan(read, usize::MAX)? {
        add(&mut registered, (id, as_role), 1);
    }
    for (id, topic) in TOPICS.scan(read, usize::MAX)? {
        let of = |book: &BTreeMap<u64, u128>| book.get(&id).copied().unwrap_or(0);
        let roles = |as_role: u8| registered.get(&(id, as_role)).copied().unwrap_or(0);
        equal("a topic's stake is the sum of its reputers'", of(&staked_on), topic.stake)?;
        equal("what a topic paid is what its members earned", of(&earned_in), topic.paid)?;
        equal("a topic counts its workers", roles(role::WORKER), topic.workers.into())?;
        equal("a topic counts its reputers", roles(role::REPUTER), topic.reputers.into())?;
    }
    let weights = WEIGHTS.get(read)?.unwrap_or_default();
    if weights.windows(2).any(|pair| pair[0].0 >= pair[1].0) || weights.len() > EMISSION_TOPICS {
        return Err(wrong("emission weights are sorted and bounded", format!("{weights:?}")));
    }
    Ok(())
}

/// Every epoch is in exactly one state, and holds what belongs to that state and nothing else.
fn epochs(read: &impl Read, height: u64) -> Result<(), Violation> {
    let mut heard = BTreeMap::new();
    for ((id, nonce, _), payload) in PAYLOADS.scan(read, usize::MAX)? {
        let count: &mut (u32, u32, u32) = heard.entry((id, nonce)).or_default();
        count.0 += u32::from(payload.inference.is_some());
        count.1 += u32::from(!payload.forecast.is_empty());
    }
    for ((id, nonce, _), _) in TRUTHS.scan(read, usize::MAX)? {
        heard.entry((id, nonce)).or_default().2 += 1;
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
            EpochState::Combined => equal("truths are counted", truths.into(), counted.reputers.into())?,
            EpochState::Scored | EpochState::Void(_) => {}
        }
        let answered = match epoch.state {
            EpochState::Open | EpochState::Void(Void::NoInference) => Some(false),
            EpochState::Combined | EpochState::Scored | EpochState::Void(Void::NoTruth) => Some(true),
            EpochState::Void(Void::Arithmetic) => None,
        };
        let right = (epoch.state == EpochState::Open || payloads + forecasts == 0)
            && (epoch.state == EpochState::Combined || truths == 0)
            && (epoch.state != EpochState::Scored || counted.reputers > 0)
            && answered.is_none_or(|expected| record.is_some() == expected)
            && record.is_some() == INFERENCES.contains(read, &(id, nonce))?
            && record.as_ref().is_some_and(|r| r.outcome.is_some()) == (epoch.state == EpochState::Scored)
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
    }
    if let Some(((id, nonce), _)) = heard.first_key_value() {
        return Err(wrong("payloads and truths belong to an epoch", format!("topic {id} nonce {nonce}")));
    }
    for (id, topic) in TOPICS.scan(read, usize::MAX)? {
        if topic.scored + topic.void > topic.opened || topic.scored > topic.combined {
            return Err(wrong("epochs end at most once", format!("topic {id}")));
        }
        let nonces = kept.remove(&id).unwrap_or_default();
        let even = nonces.windows(2).all(|pair| pair[1] - pair[0] == topic.spec.epoch_length);
        let ends = topic.next_open.saturating_sub(topic.spec.epoch_length);
        if !even || nonces.first().is_some_and(|first| *first != topic.oldest || nonces.last() != Some(&ends))
        {
            return Err(wrong("nonces are evenly spaced from the oldest on", format!("topic {id}")));
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

fn equal(what: &'static str, left: u128, right: u128) -> Result<(), Violation> {
    if left == right { Ok(()) } else { Err(Violation::Differ { what, left, right }) }
}

fn wrong(what: &'static str, detail: String) -> Violation {
    Violation::Wrong { what, detail }
}
