//! Who is heard when more want to speak than there is room (topic specification, sections 3.4 to 3.6): the members
//! of most merit, decided the moment each of them speaks. One rule for all roles; reputers who bring the truth itself
//! rank by stake instead, because the agreed truth weighs stakes and merit costs nothing to copy.

use dodona_mechanism::{
    Real,
    topic::{
        combine::Rule,
        sortition::{self, Verdict},
    },
};

use super::state::{
    ADMITTED, Admission, EPOCHS, Epoch, Key, MEMBERS, Member, Merit, PAYLOADS, REPORTS, Topic, TruthMode,
    UNHEARD, ordered, part, rank,
};
use crate::{ctx::Ctx, error::Failure, params::Params, state::State};

/// How many of a part are heard in an epoch of a topic.
pub fn cap(topic: &Topic, part: u8, params: &Params) -> u32 {
    let place = usize::from(part.clamp(1, 3)) - 1;
    let most = most(topic, part, params);
    match topic.spec.hearing.caps[place] {
        0 => default_cap(topic, part, params).min(most),
        own => own.min(most),
    }
}

/// What the chain can bear, whatever a topic asks for.
fn most(topic: &Topic, part: u8, params: &Params) -> u32 {
    match part {
        part::INFERER if topic.spec.rule == Rule::Regret => params.max_members_regret,
        part::INFERER => params.max_members,
        part::FORECASTER => params.max_forecasters,
        _ => params.max_reputers,
    }
}

fn default_cap(topic: &Topic, part: u8, params: &Params) -> u32 {
    match part {
        part::INFERER => params.max_top_inferers_to_reward,
        part::FORECASTER => params.max_top_forecasters_to_reward,
        // A truth of many stakes is harder to buy.
        _ if topic.spec.truth_mode == TruthMode::Truth => params.max_reputers,
        _ => params.max_top_reputers_to_reward,
    }
}

/// What became of one who spoke.
pub(super) enum Admitted {
    /// It is heard.
    Yes,
    /// It is not, because all who are have at least this rank.
    No(Real),
}

/// One who asks to be heard.
pub(super) struct Candidate {
    pub part: u8,
    pub account: Key,
    /// Stake authority, for reputers.
    pub stake: u128,
}

/// Decides whether a candidate is heard in an epoch; the least of those heard may have to go. Writes the candidate's
/// record, the order of those heard and the epoch's count; the caller writes what was said.
pub(super) fn admit(
    ctx: &mut Ctx,
    topic: &mut Topic,
    nonce: u64,
    epoch: &mut Epoch,
    candidate: &Candidate,
) -> Result<Admitted, Failure> {
    let Candidate { part, account, stake } = *candidate;
    let (id, alpha) = (topic.id, topic.spec.hearing.merit_alpha);
    let Admission { quantile, initial } = *topic.admission(part);
    let key = (id, part, account);
    let known = MEMBERS.get(ctx.state, &key)?;
    let epochs = if part == part::REPUTER { topic.scored } else { topic.combined };
    let mut member = match known {
        Some(member) => member,
        None => {
            topic.heard[usize::from(part) - 1] += 1;
            Member::new(epochs)
        }
    };
    let first = member.merit.nonce == 0;
    // A result out of range leaves the score where it was: admission must not stop for arithmetic.
    member.merit.score = if first {
        initial
    } else {
        let missed = sortition::missed(
            member.merit.nonce,
            nonce.saturating_sub(topic.spec.epoch_length),
            topic.spec.epoch_length,
        );
        sortition::liveness(alpha, initial, member.merit.score, missed).unwrap_or(member.merit.score)
    };
    // Reports on overlapping epochs come in any order.
    member.merit.nonce = member.merit.nonce.max(nonce);
    let by_stake = part == part::REPUTER && topic.spec.truth_mode == TruthMode::Truth;
    let own = if by_stake { Real::from_amount(stake) } else { member.merit.score };

    let most = cap(topic, part, ctx.params) as usize;
    let heard = *epoch.heard.of(part) as usize;
    let lowest = ADMITTED.scan_prefix(ctx.state, &(id, nonce, part), 1)?.first().map(|(key, ())| *key);
    let verdict = sortition::admit(heard, most, lowest.map(|key| rank(key.3)), own);
    match (verdict, lowest) {
        (Verdict::Join, _) => *epoch.heard.of(part) += 1,
        (Verdict::Replace, Some(loser)) => {
            ADMITTED.delete(ctx.state, &loser);
            forget_word(ctx.state, id, nonce, part, loser.4)?;
            if part == part::REPUTER && !by_stake {
                UNHEARD.put(ctx.state, &(id, nonce, loser.4), &());
            }
            drift(ctx.state, (id, part, loser.4), alpha, quantile)?;
        }
        _ => {
            if !first {
                member.merit.score =
                    sortition::passive(alpha, quantile, member.merit.score).unwrap_or(member.merit.score);
            }
            MEMBERS.put(ctx.state, &key, &member);
            return Ok(Admitted::No(lowest.map_or(own, |key| rank(key.3))));
        }
    }
    MEMBERS.put(ctx.state, &key, &member);
    ADMITTED.put(ctx.state, &(id, nonce, part, ordered(own), account), &());
    EPOCHS.put(ctx.state, &(id, nonce), epoch);
    Ok(Admitted::Yes)
}

/// Whoever had to go drifts towards the low quantile.
fn drift(state: &mut State, key: (u64, u8, Key), alpha: Real, quantile: Real) -> Result<(), Failure> {
    if let Some(mut member) = MEMBERS.get(state, &key)? {
        let score = member.merit.score;
        member.merit =
            Merit { score: sortition::passive(alpha, quantile, score).unwrap_or(score), ..member.merit };
        MEMBERS.put(state, &key, &member);
    }
    Ok(())
}

/// Takes back what a displaced member said in one part; what it said in another stays.
fn forget_word(state: &mut State, id: u64, nonce: u64, part: u8, account: Key) -> Result<(), Failure> {
    let key = (id, nonce, account);
    if part == part::REPUTER {
        REPORTS.delete(state, &key);
        return Ok(());
    }
    let Some(mut payload) = PAYLOADS.get(state, &key)? else { return Ok(()) };
    match part {
        part::INFERER => payload.inference = None,
        _ => payload.forecast.clear(),
    }
    // An empty payload stays until the window closes: who was displaced has had its word.
    PAYLOADS.put(state, &key, &payload);
    Ok(())
}

/// After an epoch: where newcomers start, whom refused members drift towards, and the merit of those scored.
pub(super) fn learn(
    ctx: &mut Ctx,
    topic: &mut Topic,
    nonce: u64,
    part: u8,
    scored: &mut [(&mut Member, Option<Real>)],
) {
    let scores: Vec<Real> = scored.iter().filter_map(|(_, score)| *score).collect();
    let alpha = topic.spec.hearing.merit_alpha;
    for (member, score) in scored.iter_mut() {
        let Some(score) = score else { continue };
        let first = member.merit.nonce == 0 && member.merit.score == Real::ZERO;
        let old = member.merit.score;
        let next = sortition::active(alpha, *score, old, first).unwrap_or(old);
        // A submission for a later epoch may have come meanwhile; its number stays.
        member.merit = Merit { score: next, nonce: member.merit.nonce.max(nonce) };
    }
    if scores.is_empty() {
        return;
    }
    let quantile = topic.spec.hearing.quantiles[usize::from(part) - 1];
    let lambda = ctx.params.lambda_initial_score;
    let admission = topic.admission_mut(part);
    admission.quantile = sortition::quantile_score(&scores, quantile).unwrap_or(admission.quantile);
    admission.initial = sortition::initial_score(&scores, lambda).unwrap_or(admission.initial);
}

/// Merit of a member who sealed a word for an epoch and never opened it: as if it had this score,
/// unless that were better than it is.
pub(super) fn forfeit(topic: &Topic, nonce: u64, member: &mut Member, score: Real) {
    let (alpha, old) = (topic.spec.hearing.merit_alpha, member.merit.score);
    let score = sortition::active(alpha, score, old, false).unwrap_or(old).min(old);
    // The epoch counts once: it is no silence on top.
    member.merit = Merit { score, nonce: member.merit.nonce.max(nonce) };
}

/// Forgets the order of those heard in a part of a closed window.
pub(super) fn close(state: &mut State, id: u64, nonce: u64, part: u8) -> Result<(), Failure> {
    for (key, ()) in ADMITTED.scan_prefix(state, &(id, nonce, part), usize::MAX)? {
        ADMITTED.delete(state, &key);
    }
    if part == part::REPUTER {
        for (key, ()) in UNHEARD.scan_prefix(state, &(id, nonce), usize::MAX)? {
            UNHEARD.delete(state, &key);
        }
    }
    Ok(())
}

/// The least rank of those heard in an open window, once there is no room left.
pub fn lowest(
    read: &impl dodona_store::Read,
    topic: &Topic,
    nonce: u64,
    epoch: &Epoch,
    part: u8,
    params: &Params,
) -> Result<Option<Real>, dodona_store::StoreError> {
    let mut heard = epoch.heard;
    if *heard.of(part) < cap(topic, part, params) {
        return Ok(None);
    }
    Ok(ADMITTED.scan_prefix(read, &(topic.id, nonce, part), 1)?.first().map(|(key, ())| rank(key.3)))
}
