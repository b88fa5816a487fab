//! Members: how good, how heard, how paid.

use dodona_mechanism::Real;
use dodona_proto::{
    Address,
    topics::{
        LeaderboardRow, MemberPart, QueryLeaderboardRequest, QueryLeaderboardResponse, QueryMemberRequest,
        QueryMemberResponse, QueryRegretsRequest, QueryRegretsResponse, RegretRow,
    },
};
use dodona_store::{Read, StoreError};

use super::{ViewError, address, page_size, stakes::removal_view};
use crate::{
    params,
    topics::{
        admit, lists, stake,
        state::{
            EPOCHS, EpochState, Key, MEMBERS, Member, REGISTRATIONS, REGRETS, Registration, RegretState,
            SPLITS, Split, TOPICS, Topic, part, role,
        },
    },
};

/// Members of a topic by part and address, by page.
pub fn leaderboard(
    read: &impl Read,
    q: &QueryLeaderboardRequest,
) -> Result<Option<QueryLeaderboardResponse>, ViewError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let after = match q.start_after.as_str() {
        "" => None,
        text => Some(cursor(text)?),
    };
    let first = after.map_or((id, 0, [0; 20]), |(part, account)| (id, part, account));
    let size = page_size(q.limit);
    let (mut rows, mut next) = (Vec::new(), String::new());
    // One more for the row of the cursor itself, one more to know whether there is another page.
    for ((of, part, account), member) in MEMBERS.scan_from(read, &first, size + 2)? {
        if of != id {
            break;
        }
        if after == Some((part, account)) {
            continue;
        }
        if rows.len() == size {
            next = rows
                .last()
                .map_or(String::new(), |row: &LeaderboardRow| format!("{}:{}", row.role, row.address));
            break;
        }
        rows.push(row(read, &topic, part, account, &member)?);
    }
    Ok(Some(QueryLeaderboardResponse { rows, next }))
}

/// One row of it, where the account was ever heard in that part.
pub fn leaderboard_row(
    read: &impl Read,
    topic: &Topic,
    part: u8,
    account: Key,
) -> Result<Option<LeaderboardRow>, StoreError> {
    let member = MEMBERS.get(read, &(topic.id, part, account))?;
    member.map(|member| row(read, topic, part, account, &member)).transpose()
}

fn cursor(text: &str) -> Result<(u8, Key), ViewError> {
    let bad = || ViewError::Bad("start_after is role:address of the last row".into());
    let (role, who) = text.split_once(':').ok_or_else(bad)?;
    let part = [part::INFERER, part::FORECASTER, part::REPUTER]
        .into_iter()
        .find(|part| part::name(*part) == role)
        .ok_or_else(bad)?;
    Ok((part, address(who)?.0))
}

fn row(
    read: &impl Read,
    topic: &Topic,
    part: u8,
    account: Key,
    member: &Member,
) -> Result<LeaderboardRow, StoreError> {
    let as_role = if part == part::REPUTER { role::REPUTER } else { role::WORKER };
    let registration = REGISTRATIONS.get(read, &(topic.id, as_role, account))?;
    let Registration { owner, name, .. } =
        registration.unwrap_or(Registration { owner: Address(account), name: String::new(), since: 0 });
    let (stake, delegated) = match part {
        part::REPUTER => {
            let stake = stake::of(read, topic.id, account)?;
            (stake.own.to_string(), stake.delegated.to_string())
        }
        _ => Default::default(),
    };
    Ok(LeaderboardRow {
        address: Address(account).to_string(),
        name,
        role: part::name(part).into(),
        owner: owner.to_string(),
        submitted: member.heard,
        missed: topic.missed(part, member),
        mean_loss: mean_loss(member),
        running_loss: member.state.loss.get(),
        weight: member.weight.get(),
        score: member.state.score.get(),
        earned: member.earned.to_string(),
        stake,
        merit: member.merit.score.get(),
        delegated,
    })
}

fn mean_loss(member: &Member) -> f64 {
    if member.scored == 0 { 0.0 } else { member.loss_sum.get() / member.scored as f64 }
}

/// Everything remembered of one account in one topic.
pub fn member(read: &impl Read, q: &QueryMemberRequest) -> Result<Option<QueryMemberResponse>, ViewError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let who = address(&q.address)?;
    let params = params::get(read)?;
    let worker = REGISTRATIONS.get(read, &(id, role::WORKER, who.0))?;
    let reputer = REGISTRATIONS.get(read, &(id, role::REPUTER, who.0))?;
    let stake = stake::of(read, id, who.0)?;
    let regrets = REGRETS.get(read, &id)?.unwrap_or_default();
    let split = SPLITS.get(read, &id)?.unwrap_or_default();
    let open = match EPOCHS.get(read, &(id, topic.last_opened))? {
        Some(epoch) if epoch.state == EpochState::Open => Some(epoch),
        _ => None,
    };
    let mut parts = Vec::new();
    for part in [part::INFERER, part::FORECASTER, part::REPUTER] {
        let Some(member) = MEMBERS.get(read, &(id, part, who.0))? else { continue };
        let lowest = match &open {
            Some(epoch) if part != part::REPUTER => {
                admit::lowest(read, &topic, topic.last_opened, epoch, part, &params)?
            }
            _ => None,
        };
        parts.push(MemberPart {
            role: part::name(part).into(),
            heard: member.heard,
            scored: member.scored,
            last_block: member.last,
            mean_loss: mean_loss(&member),
            running_loss: member.state.loss.get(),
            weight: member.weight.get(),
            score: member.state.score.get(),
            earned: member.earned.to_string(),
            merit: member.merit.score.get(),
            merit_nonce: member.merit.nonce,
            inclusions: inclusions(&regrets, part, &who.0),
            reward_fraction: fraction(&split, part, &who.0).map(Real::get),
            listening: member.listening.get(),
            lowest_merit: lowest.map(Real::get),
            missed: topic.missed(part, &member),
        });
    }
    let name = worker.as_ref().or(reputer.as_ref()).map_or(String::new(), |r| r.name.clone());
    let owner = |r: &Option<Registration>| r.as_ref().map_or(String::new(), |r| r.owner.to_string());
    let removal = stake::REMOVALS.get(read, &(id, who.0, who.0))?;
    Ok(Some(QueryMemberResponse {
        worker: worker.is_some(),
        reputer: reputer.is_some(),
        worker_owner: owner(&worker),
        reputer_owner: owner(&reputer),
        name,
        parts,
        stake: stake.own.to_string(),
        delegated: stake.delegated.to_string(),
        reward_per_share: stake.per_share.get().to_string(),
        removal: removal.map(|removal| removal_view(id, who.0, who.0, &removal)),
        may_submit: lists::may(read, &params, &topic, role::WORKER, who)?,
        may_report: lists::may(read, &params, &topic, role::REPUTER, who)?,
    }))
}

fn inclusions(regrets: &RegretState, part: u8, who: &Key) -> u32 {
    let of = match part {
        part::INFERER => &regrets.inferer_inclusions,
        part::FORECASTER => &regrets.forecaster_inclusions,
        _ => return 0,
    };
    of.get(who).copied().unwrap_or(0)
}

/// The smoothed reward fraction of one of the newest epoch's actors.
pub(super) fn fraction(split: &Split, part: u8, who: &Key) -> Option<Real> {
    let of = match part {
        part::INFERER => &split.inferers,
        part::FORECASTER => &split.forecasters,
        _ => &split.reputers,
    };
    of.binary_search_by(|(other, _)| other.cmp(who)).ok().map(|place| of[place].1)
}

/// All regrets of one member under the regret rule.
pub fn regrets(read: &impl Read, q: &QueryRegretsRequest) -> Result<Option<QueryRegretsResponse>, ViewError> {
    let id = q.topic_id;
    if !TOPICS.contains(read, &id)? {
        return Ok(None);
    }
    let who = address(&q.address)?.0;
    let state = REGRETS.get(read, &id)?.unwrap_or_default();
    let mut rows = Vec::new();
    let mut add = |family: &str, without: Option<&Key>, forecaster: bool, regret: Option<&Real>| {
        if let Some(regret) = regret {
            rows.push(RegretRow {
                family: family.into(),
                without: without.map_or(String::new(), |key| Address(*key).to_string()),
                forecaster,
                regret: regret.get(),
            });
        }
    };
    add("inferer", None, false, state.inferers.get(&who));
    add("forecaster", None, true, state.forecasters.get(&who));
    add("naive", None, false, state.naive.get(&who));
    for (out, family) in &state.one_out_inferer_inferers {
        add("one_out_inferer", Some(out), false, family.get(&who));
    }
    for (out, family) in &state.one_out_inferer_forecasters {
        add("one_out_inferer", Some(out), true, family.get(&who));
    }
    for (out, family) in &state.one_out_forecaster_inferers {
        add("one_out_forecaster", Some(out), false, family.get(&who));
    }
    for (out, family) in &state.one_out_forecaster_forecasters {
        add("one_out_forecaster", Some(out), true, family.get(&who));
    }
    for (alone, family) in &state.one_in_forecaster_inferers {
        add("one_in_forecaster", Some(alone), false, family.get(&who));
    }
    add("one_in_forecaster", Some(&who), true, state.one_in_forecasters.get(&who));
    Ok(Some(QueryRegretsResponse { rows, initial: state.initial.get(), scale: state.scale.get() }))
}
