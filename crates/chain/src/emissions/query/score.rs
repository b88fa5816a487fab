//! Scores, regrets, weights and reward fractions of members.

use dodona_mechanism::{
    Real,
    topic::{combine::Rule, regret::RegretPairs},
};
use dodona_proto::{
    Address,
    emissions::{v3, v10},
};
use dodona_store::Read;

use super::{Answer, address, epoch, find, signed};
use crate::{
    params,
    query::QueryError,
    topics::state::{
        ADMITTED, EPOCHS, EpochState, Key, MEMBERS, Member, NONCES, RECORDS, REGRETS, Record, RegretState,
        SPLITS, Topic, part, rank,
    },
};

/// What a topic remembers of a member in one part.
pub(super) fn member(read: &impl Read, id: u64, part: u8, who: &str) -> Answer<(Address, Member)> {
    find(read, id)?;
    let who = address(who)?;
    let member = MEMBERS.get(read, &(id, part, who.0))?;
    let unheard =
        || QueryError::NotFound(format!("topic {id} has never heard {who} as {}", part::name(part)));
    Ok((who, member.ok_or_else(unheard)?))
}

/// Smoothed score.
pub(super) fn merit(read: &impl Read, id: u64, part: u8, who: &str) -> Answer<v3::Score> {
    let (who, member) = member(read, id, part, who)?;
    Ok(score(id, member.merit.nonce, who.0, member.merit.score))
}

fn score(id: u64, nonce: u64, account: Key, score: Real) -> v3::Score {
    let (block_height, address) = (signed(nonce), Address(account).to_string());
    v3::Score { topic_id: id, block_height, address, score: score.to_string() }
}

/// A topic, and its memory of the regret rule: an empty one under other rules.
pub(super) fn regrets(read: &impl Read, id: u64) -> Answer<(Topic, RegretState)> {
    Ok((find(read, id)?, REGRETS.get(read, &id)?.unwrap_or_default()))
}

/// A regret as clients read it. The state does not say when a regret last moved: it says the newest scored epoch.
fn stamped(topic: &Topic, state: &RegretState, regret: Option<&Real>) -> v3::TimestampedValue {
    let block_height = regret.map_or(0, |_| signed(topic.last_scored.nonce));
    v3::TimestampedValue { block_height, value: regret.unwrap_or(&state.initial).to_string() }
}

/// A regret of one member; the initial one where there is none.
pub(super) fn regret(
    read: &impl Read,
    id: u64,
    who: &str,
    pick: impl for<'a> FnOnce(&'a RegretState, &Key) -> Option<&'a Real>,
) -> Answer<v3::TimestampedValue> {
    let (topic, state) = regrets(read, id)?;
    let who = address(who)?;
    Ok(stamped(&topic, &state, pick(&state, &who.0)))
}

/// A regret of one member against the network without another.
pub(super) fn pair_regret(
    read: &impl Read,
    id: u64,
    without: &str,
    who: &str,
    family: impl FnOnce(&RegretState) -> &RegretPairs<Key>,
) -> Answer<v3::TimestampedValue> {
    let (topic, state) = regrets(read, id)?;
    let (without, who) = (address(without)?, address(who)?);
    let regret = family(&state).get(&without.0).and_then(|family| family.get(&who.0));
    Ok(stamped(&topic, &state, regret))
}

/// A regret of an inferer against the network with one forecaster alone; of that forecaster itself where both are one
/// account that gave no inference.
pub(super) fn one_in_regret(
    read: &impl Read,
    id: u64,
    forecaster: &str,
    who: &str,
) -> Answer<v3::TimestampedValue> {
    let (topic, state) = regrets(read, id)?;
    let (forecaster, who) = (address(forecaster)?, address(who)?);
    let regret = state.one_in_forecaster_inferers.get(&forecaster.0).and_then(|family| family.get(&who.0));
    let own = if forecaster == who { state.one_in_forecasters.get(&who.0) } else { None };
    Ok(stamped(&topic, &state, regret.or(own)))
}

/// Epochs in which a member was scored.
pub(super) fn inclusions(read: &impl Read, id: u64, part: u8, who: &str) -> Answer<u64> {
    let (topic, state) = regrets(read, id)?;
    let who = address(who)?.0;
    if topic.spec.rule != Rule::Regret {
        return Ok(MEMBERS.get(read, &(id, part, who))?.map_or(0, |member| member.scored));
    }
    let counts = match part {
        part::INFERER => &state.inferer_inclusions,
        _ => &state.forecaster_inclusions,
    };
    Ok(counts.get(&who).copied().unwrap_or(0).into())
}

/// Scores of a part in one epoch.
pub(super) fn at(read: &impl Read, id: u64, part: u8, nonce: u64) -> Answer<v3::Scores> {
    find(read, id)?;
    let record = RECORDS.get(read, &(id, nonce))?.filter(|record| record.outcome.is_some());
    let record =
        record.ok_or_else(|| QueryError::NotFound(format!("epoch {nonce} of topic {id} has no scores")))?;
    Ok(v3::Scores { scores: scores(id, nonce, part, &record) })
}

fn scores(id: u64, nonce: u64, part: u8, record: &Record) -> Vec<v3::Score> {
    if part == part::REPUTER {
        let rows = record.outcome.iter().flat_map(|outcome| &outcome.reports);
        return rows.map(|row| score(id, nonce, row.account, row.score)).collect();
    }
    let of_part = record.answer.parts.iter().filter(|p| p.forecaster == (part == part::FORECASTER));
    of_part.filter_map(|p| Some(score(id, nonce, p.account, p.score?))).collect()
}

/// Scores of whole epochs from a block back, newest first, until there are as many as scores are standardised by.
pub(super) fn until(read: &impl Read, id: u64, part: u8, block: u64) -> Answer<Vec<v3::Score>> {
    let topic = find(read, id)?;
    let enough = params::get(read)?.max_samples_to_scale_scores as usize;
    // Nonces ascend with the numbers of epochs, all of which are there: halve until the first one beyond the block.
    let (mut low, mut high) = (topic.oldest, topic.opened);
    while low < high {
        let middle = low + (high - low) / 2;
        match NONCES.get(read, &(id, middle))? {
            Some(nonce) if nonce > block => high = middle,
            _ => low = middle + 1,
        }
    }
    let mut all = Vec::new();
    for index in (topic.oldest..low).rev() {
        if all.len() >= enough {
            break;
        }
        let Some(nonce) = NONCES.get(read, &(id, index))? else { continue };
        if EPOCHS.get(read, &(id, nonce))?.is_none_or(|epoch| epoch.state != EpochState::Scored) {
            continue;
        }
        if let Some(record) = RECORDS.get(read, &(id, nonce))? {
            all.extend(scores(id, nonce, part, &record));
        }
    }
    Ok(all)
}

/// Who would have to go first of those heard in the window that is open; reputers: in the oldest one open.
pub(super) fn lowest(read: &impl Read, id: u64, part: u8) -> Answer<v3::Score> {
    let topic = find(read, id)?;
    let wanted = if part == part::REPUTER { EpochState::Combined } else { EpochState::Open };
    for (nonce, epoch) in epoch::waiting(read, &topic)? {
        if epoch.state != wanted {
            continue;
        }
        let Some((key, ())) = ADMITTED.scan_prefix(read, &(id, nonce, part), 1)?.pop() else { continue };
        // Where reputers bring truth they are ranked by stake; their score is asked for all the same.
        let merit = match part {
            part::REPUTER => MEMBERS.get(read, &(id, part, key.4))?.map_or(Real::ZERO, |m| m.merit.score),
            _ => rank(key.3),
        };
        return Ok(score(id, nonce, key.4, merit));
    }
    Err(QueryError::NotFound(format!("topic {id} has heard no {} in an open window", part::name(part))))
}

/// Smoothed reward fraction, if the newest scored epoch left one.
fn fraction(read: &impl Read, id: u64, part: u8, who: &str) -> Answer<(String, bool)> {
    find(read, id)?;
    let who = address(who)?.0;
    let split = SPLITS.get(read, &id)?.unwrap_or_default();
    let of = match part {
        part::INFERER => &split.inferers,
        part::FORECASTER => &split.forecasters,
        _ => &split.reputers,
    };
    let found = of.binary_search_by(|(other, _)| other.cmp(&who)).ok().map(|place| of[place].1);
    Ok((found.unwrap_or_default().to_string(), found.is_none()))
}

/// See [`fraction`].
pub(super) fn reputer_fraction(
    read: &impl Read,
    id: u64,
    who: &str,
) -> Answer<v10::GetPreviousReputerRewardFractionResponse> {
    let (reward_fraction, not_found) = fraction(read, id, part::REPUTER, who)?;
    Ok(v10::GetPreviousReputerRewardFractionResponse { reward_fraction, not_found })
}

/// See [`fraction`].
pub(super) fn inferer_fraction(
    read: &impl Read,
    id: u64,
    who: &str,
) -> Answer<v10::GetPreviousInferenceRewardFractionResponse> {
    let (reward_fraction, not_found) = fraction(read, id, part::INFERER, who)?;
    Ok(v10::GetPreviousInferenceRewardFractionResponse { reward_fraction, not_found })
}

/// See [`fraction`].
pub(super) fn forecaster_fraction(
    read: &impl Read,
    id: u64,
    who: &str,
) -> Answer<v10::GetPreviousForecastRewardFractionResponse> {
    let (reward_fraction, not_found) = fraction(read, id, part::FORECASTER, who)?;
    Ok(v10::GetPreviousForecastRewardFractionResponse { reward_fraction, not_found })
}
