//! Views of topics for everybody: the same numbers as in state, in the shapes of `dodona.topics.v1`.

use dodona_mechanism::{Real, topic::combine::Rule, topic::loss::Loss};
use dodona_proto::{
    Address,
    topics::{
        self as wire, LeaderboardRow, QueryEpochResponse, QueryEpochsRequest, QueryEpochsResponse,
        QueryLeaderboardResponse, QueryTopicResponse, QueryTopicsResponse, QueryWindowsResponse, Window,
    },
};
use dodona_store::{Read, StoreError};

use super::{
    schedule,
    state::{
        EPOCHS, Epoch, EpochState, Key, MEMBERS, Member, POTS, Part, RECORDS, REGISTRATIONS, Registration,
        STAKES, Spec, TEXTS, TOPICS, Texts, Topic, part, role,
    },
};
use crate::params;

/// Most entries in one answer.
pub const PAGE: usize = 200;

/// A topic, if it exists.
pub fn topic(read: &impl Read, id: u64) -> Result<Option<QueryTopicResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    view(read, &topic).map(Some)
}

/// Topics after `after_id`, by id.
pub fn topics(read: &impl Read, after_id: u64, limit: u32) -> Result<QueryTopicsResponse, StoreError> {
    let first = after_id.saturating_add(1);
    let page = TOPICS.scan_from(read, &first, page_size(limit))?;
    let topics = page.iter().map(|(_, t)| view(read, t)).collect::<Result<_, _>>()?;
    Ok(QueryTopicsResponse { topics })
}

/// Epochs of a topic that still accept something.
pub fn windows(read: &impl Read, id: u64, height: u64) -> Result<Option<QueryWindowsResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let spec = &topic.spec;
    // Nothing older can still be waiting. The spec bounds how many are.
    let span = spec.truth_lag + spec.truth_window;
    let oldest = height.saturating_sub(span + 1);
    let most = (span / spec.epoch_length + 3) as usize;
    let recent = EPOCHS.scan_from(read, &(id, oldest), most)?;
    let windows = recent
        .into_iter()
        .filter(|((of, _), epoch)| *of == id && epoch.waits())
        .map(|((_, nonce), epoch)| Window {
            nonce,
            epoch: epoch.index,
            state: state_name(epoch.state).into(),
            worker_first: nonce + 1,
            worker_last: epoch.worker_last,
            truth_first: epoch.truth_first,
            truth_last: epoch.truth_last,
        })
        .collect();
    Ok(Some(QueryWindowsResponse { height, windows, next_epoch_block: topic.next_open }))
}

/// One epoch; nonce 0 is the newest that has an inference.
pub fn epoch(read: &impl Read, id: u64, nonce: u64) -> Result<Option<QueryEpochResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let nonce = if nonce == 0 { topic.newest } else { nonce };
    let Some(epoch) = EPOCHS.get(read, &(id, nonce))? else { return Ok(None) };
    epoch_view(read, id, nonce, &epoch).map(Some)
}

/// Epochs by consecutive number, oldest first. Only what is retained can be asked for.
pub fn epochs(read: &impl Read, q: &QueryEpochsRequest) -> Result<Option<QueryEpochsResponse>, StoreError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let mut epochs = Vec::new();
    // Nonces are evenly spaced: the one of a number follows from any other.
    let Some(first) = EPOCHS.get(read, &(id, topic.oldest))? else {
        return Ok(Some(QueryEpochsResponse { epochs }));
    };
    let skip = q.from_epoch.saturating_sub(first.index);
    let start = topic.oldest.saturating_add(skip.saturating_mul(topic.spec.epoch_length));
    for ((of, nonce), epoch) in EPOCHS.scan_from(read, &(id, start), page_size(q.limit))? {
        if of != id {
            break;
        }
        epochs.push(epoch_view(read, id, nonce, &epoch)?);
    }
    Ok(Some(QueryEpochsResponse { epochs }))
}

/// Everybody who was ever heard in a topic.
pub fn leaderboard(read: &impl Read, id: u64) -> Result<Option<QueryLeaderboardResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let mut rows = Vec::new();
    for ((_, part, account), member) in MEMBERS.scan_prefix(read, &id, usize::MAX)? {
        rows.push(row(read, &topic, part, account, &member)?);
    }
    Ok(Some(QueryLeaderboardResponse { rows }))
}

fn page_size(limit: u32) -> usize {
    if limit == 0 { PAGE } else { (limit as usize).min(PAGE) }
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
    let stake = STAKES.get(read, &(topic.id, account))?.unwrap_or(0);
    let chances = if part == part::REPUTER { topic.scored } else { topic.combined } - member.since;
    let (role, stake) = match part {
        part::INFERER => ("inferer", String::new()),
        part::FORECASTER => ("forecaster", String::new()),
        _ => ("reputer", stake.to_string()),
    };
    Ok(LeaderboardRow {
        address: Address(account).to_string(),
        name,
        role: role.into(),
        owner: owner.to_string(),
        submitted: member.heard,
        missed: chances.saturating_sub(member.heard),
        mean_loss: if member.scored == 0 { 0.0 } else { member.loss_sum.get() / member.scored as f64 },
        running_loss: member.state.loss.get(),
        weight: member.weight.get(),
        score: member.state.score.get(),
        earned: member.earned.to_string(),
        stake,
    })
}

fn view(read: &impl Read, topic: &Topic) -> Result<QueryTopicResponse, StoreError> {
    let mean = |sum: Real| if topic.scored == 0 { 0.0 } else { sum.get() / topic.scored as f64 };
    let inactive_reason = match topic.active {
        true => String::new(),
        false => schedule::missing(topic, &params::get(read)?).unwrap_or_default(),
    };
    Ok(QueryTopicResponse {
        topic_id: topic.id,
        creator: topic.creator.to_string(),
        spec: Some(spec_view(&topic.spec, TEXTS.get(read, &topic.id)?.unwrap_or_default())),
        created: topic.created,
        stake: topic.stake.to_string(),
        funded: topic.funded.to_string(),
        pot: POTS.get(read, &topic.id)?.unwrap_or(0).to_string(),
        paid: topic.paid.to_string(),
        epochs_opened: topic.opened,
        epochs_scored: topic.scored,
        epochs_void: topic.void,
        workers: topic.workers.into(),
        reputers: topic.reputers.into(),
        active: topic.active,
        inactive_reason,
        mean_loss_network: mean(topic.sums.network),
        mean_loss_mean: mean(topic.sums.mean),
        mean_loss_median: mean(topic.sums.median),
        next_epoch_block: topic.next_open,
    })
}

fn spec_view(spec: &Spec, texts: Texts) -> wire::TopicSpec {
    let rule = match spec.rule {
        Rule::Power => wire::Rule::Power,
        Rule::Regret => wire::Rule::Regret,
        Rule::Median => wire::Rule::Median,
        Rule::Mean => wire::Rule::Mean,
    };
    let loss = match spec.loss {
        Loss::Squared => wire::Loss::Squared,
        Loss::Absolute => wire::Loss::Absolute,
        Loss::LogLoss => wire::Loss::Log,
    };
    let optional = |value: Option<Real>| value.map_or("off".to_string(), |v| v.to_string());
    wire::TopicSpec {
        title: texts.title,
        target: texts.target,
        unit: texts.unit,
        truth_source: texts.truth_source,
        rule: rule.into(),
        loss: loss.into(),
        epoch_length: spec.epoch_length,
        worker_window: spec.worker_window,
        truth_lag: spec.truth_lag,
        truth_window: spec.truth_window,
        kappa: spec.power.kappa,
        alpha: spec.power.alpha.to_string(),
        cap: optional(spec.power.cap),
        clamp: optional(spec.power.clamp),
        gain: spec.power.gain.to_string(),
        log_pool: spec.power.pool == dodona_mechanism::topic::power::Pool::Log,
    }
}

fn state_name(state: EpochState) -> &'static str {
    match state {
        EpochState::Open => "open",
        EpochState::Combined => "combined",
        EpochState::Scored => "scored",
        EpochState::Void(_) => "void",
    }
}

fn epoch_view(
    read: &impl Read,
    id: u64,
    nonce: u64,
    epoch: &Epoch,
) -> Result<QueryEpochResponse, StoreError> {
    let name = |as_role: u8, account: Key| -> Result<String, StoreError> {
        Ok(REGISTRATIONS.get(read, &(id, as_role, account))?.map_or(String::new(), |r| r.name))
    };
    let mut out = QueryEpochResponse {
        topic_id: id,
        nonce,
        epoch: epoch.index,
        state: state_name(epoch.state).into(),
        ..Default::default()
    };
    if let EpochState::Void(reason) = epoch.state {
        out.void_reason = reason.text().into();
    }
    let record = RECORDS.get(read, &(id, nonce))?;
    if let Some(answer) = record.as_ref().map(|r| &r.answer) {
        out.combined = answer.combined.get();
        out.naive = answer.naive.get();
        out.mean = answer.mean.get();
        out.median = answer.median.get();
        out.combined_at = answer.at;
        let i = &answer.interval;
        let [p2, p16, p50, p84, p98] = [i.p2, i.p16, i.p50, i.p84, i.p98].map(Real::get);
        out.interval = Some(wire::Interval { p2, p16, p50, p84, p98 });
        for p in &answer.parts {
            out.parts.push(part_view(p, name(role::WORKER, p.account)?));
        }
    }
    if let Some(outcome) = record.as_ref().and_then(|r| r.outcome.as_ref()) {
        out.truth = Some(outcome.truth.get());
        out.network_loss = Some(outcome.losses.network.get());
        out.mean_loss = Some(outcome.losses.mean.get());
        out.median_loss = Some(outcome.losses.median.get());
        out.reward = outcome.reward.to_string();
        out.scored_at = outcome.at;
        for r in &outcome.reports {
            out.truths.push(wire::TruthReport {
                address: Address(r.account).to_string(),
                name: name(role::REPUTER, r.account)?,
                value: r.value.get(),
                score: r.score.get(),
                reward: r.reward.to_string(),
            });
        }
    }
    Ok(out)
}

fn part_view(p: &Part, name: String) -> wire::Part {
    wire::Part {
        address: Address(p.account).to_string(),
        name,
        forecaster: p.forecaster,
        value: p.value.map_or(0.0, Real::get),
        weight: p.weight.get(),
        one_out: p.one_out.map(Real::get),
        loss: p.loss.map(Real::get),
        score: p.score.map(Real::get),
        reward: p.reward.to_string(),
    }
}
