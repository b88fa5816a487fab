//! Views of topics for everybody: the same numbers as in state, in the shapes of `dodona.topics.v1`. Here: topics and
//! what they have in common; epochs, members, stake and lists have files of their own.

mod access;
mod epoch;
mod explain;
mod member;
mod stakes;
mod supply;

use dodona_mechanism::{
    Real,
    topic::{combine::Rule, loss::Loss, power::Pool},
};
use dodona_proto::topics::{
    self as wire, QueryTopicResponse, QueryTopicsRequest, QueryTopicsResponse, QueryWindowsResponse, Window,
};
use dodona_store::{Read, StoreError};

pub use access::{list, permissions};
pub use epoch::{epoch, epochs, inputs, losses, resistant};
pub use explain::explain;
pub use member::{leaderboard, leaderboard_row, member, regrets};
pub use stakes::{delegations, removals, stakes};
pub use supply::{emission, params};

use super::{
    admit, schedule,
    state::{
        DUE, EPOCHS, Epoch, EpochState, LABELS, NONCES, POTS, Payout, REGRETS, SHARED, Spec, TEXTS, TOPICS,
        Texts, Topic, TruthMode, part, phase,
    },
};
use crate::params::{self as parameters, Params};

/// Most entries in one answer.
pub const PAGE: usize = 200;

/// Why a view cannot be given.
#[derive(Debug)]
pub enum ViewError {
    /// An argument is not what it should be.
    Bad(String),
    /// The state cannot be read.
    Store(StoreError),
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn page_size(limit: u32) -> usize {
    if limit == 0 { PAGE } else { (limit as usize).min(PAGE) }
}

fn address(text: &str) -> Result<dodona_proto::Address, ViewError> {
    text.parse().map_err(|e| ViewError::Bad(format!("address: {e}")))
}

/// A topic, if it exists.
pub fn topic(read: &impl Read, id: u64) -> Result<Option<QueryTopicResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    view(read, &topic, &parameters::get(read)?).map(Some)
}

/// Topics by id: a page of all, or those that ask their next question in one block.
pub fn topics(read: &impl Read, q: &QueryTopicsRequest) -> Result<QueryTopicsResponse, StoreError> {
    let first = q.after_id.saturating_add(1);
    let params = parameters::get(read)?;
    let mut page = Vec::new();
    if q.due_block == 0 {
        page.extend(TOPICS.scan_from(read, &first, page_size(q.limit))?.into_iter().map(|(_, topic)| topic));
    } else {
        // A block has room for a bounded number of topics.
        for ((.., id, _), ()) in DUE.scan_prefix(read, &(q.due_block, phase::OPEN), usize::MAX)? {
            if id >= first && page.len() < page_size(q.limit) {
                page.extend(TOPICS.get(read, &id)?);
            }
        }
    }
    let topics = page.iter().map(|topic| view(read, topic, &params)).collect::<Result<_, _>>()?;
    Ok(QueryTopicsResponse { topics })
}

/// Epochs of a topic that still accept something.
pub fn windows(read: &impl Read, id: u64, height: u64) -> Result<Option<QueryWindowsResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    // Nothing older can still be waiting.
    let oldest = height.saturating_sub(topic.spec.truth_lag + topic.spec.truth_window + 1);
    let mut windows = Vec::new();
    for index in (topic.oldest..topic.opened).rev() {
        let Some(nonce) = NONCES.get(read, &(id, index))?.filter(|nonce| *nonce >= oldest) else { break };
        let Some(epoch) = EPOCHS.get(read, &(id, nonce))?.filter(Epoch::waits) else { continue };
        windows.push(Window {
            nonce,
            epoch: epoch.index,
            state: state_name(epoch.state).into(),
            worker_first: nonce + 1,
            worker_last: epoch.worker_last,
            truth_first: epoch.truth_first,
            truth_last: epoch.truth_last,
            seal_last: epoch.seal_last(&topic.spec).unwrap_or(0),
        });
    }
    windows.reverse();
    Ok(Some(QueryWindowsResponse { height, windows, next_epoch_block: topic.next_open }))
}

fn view(read: &impl Read, topic: &Topic, params: &Params) -> Result<QueryTopicResponse, StoreError> {
    let mean = |sum: Real| if topic.scored == 0 { 0.0 } else { sum.get() / topic.scored as f64 };
    let inactive_reason = match topic.active {
        true => String::new(),
        false => schedule::missing(topic, params).unwrap_or_default(),
    };
    let shared = SHARED.get(read)?.unwrap_or_default();
    let part_of_all = if shared.shares == 0 { 0.0 } else { topic.shares as f64 / shared.shares as f64 };
    let cap = |part: u8| admit::cap(topic, part, params);
    let regrets = match topic.spec.rule {
        Rule::Regret => REGRETS.get(read, &topic.id)?,
        _ => None,
    };
    let open = match EPOCHS.get(read, &(topic.id, topic.last_opened))? {
        Some(epoch) if epoch.state == EpochState::Open => Some(epoch),
        _ => None,
    };
    let mut roles = Vec::with_capacity(3);
    for part in [part::INFERER, part::FORECASTER, part::REPUTER] {
        let lowest = match &open {
            Some(epoch) if part != part::REPUTER => {
                admit::lowest(read, topic, topic.last_opened, epoch, part, params)?
            }
            _ => None,
        };
        roles.push(wire::RoleState {
            role: part::name(part).into(),
            quantile_score: topic.admission(part).quantile.get(),
            initial_score: topic.admission(part).initial.get(),
            lowest_merit: lowest.map(Real::get),
        });
    }
    let pot = POTS.get(read, &topic.id)?.unwrap_or(0);
    let unsettled = shared.per_share.owed(topic.settled, topic.shares).unwrap_or(0);
    Ok(QueryTopicResponse {
        topic_id: topic.id,
        creator: topic.creator.to_string(),
        spec: Some(spec_view(
            &topic.spec,
            TEXTS.get(read, &topic.id)?.unwrap_or_default(),
            LABELS.get(read, &topic.id)?.unwrap_or_default(),
        )),
        created: topic.created,
        stake: topic.stake.to_string(),
        funded: topic.funded.to_string(),
        pot: (pot + unsettled).to_string(),
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
        revenue: topic.revenue.to_string(),
        weight: topic.weight.unwrap_or_else(|| schedule::target(topic, params)).get(),
        weight_target: schedule::target(topic, params).get(),
        total_weight: shared.shares as f64,
        min_weight: params.min_topic_weight.get(),
        runs_dry_epochs: if topic.active { schedule::runs_dry(topic, params) } else { 0 },
        reward_per_epoch: shared.newest as f64 * part_of_all * topic.spec.epoch_length as f64,
        error_scale: topic.power.scale.get(),
        max_inferers: cap(part::INFERER),
        max_forecasters: cap(part::FORECASTER),
        max_reputers: cap(part::REPUTER),
        roles,
        last_combined_block: topic.last_combined.height,
        last_combined_nonce: topic.last_combined.nonce,
        last_scored_block: topic.last_scored.height,
        last_scored_nonce: topic.last_scored.nonce,
        initial_regret: regrets.as_ref().map_or(0.0, |r| r.initial.get()),
        regret_scale: regrets.as_ref().map_or(0.0, |r| r.scale.get()),
        inferers: topic.heard[0],
        forecasters: topic.heard[1],
    })
}

fn spec_view(spec: &Spec, texts: Texts, labels: Vec<String>) -> wire::TopicSpec {
    let rule = match spec.rule {
        Rule::Power => wire::Rule::Power,
        Rule::Regret => wire::Rule::Regret,
        Rule::Median => wire::Rule::Median,
        Rule::Mean => wire::Rule::Mean,
    };
    let none = String::new;
    let (loss, loss_parameter, loss_center, loss_scale) = match spec.loss {
        Loss::Squared => (wire::Loss::Squared, none(), none(), none()),
        Loss::Absolute => (wire::Loss::Absolute, none(), none(), none()),
        Loss::LogLoss => (wire::Loss::Log, none(), none(), none()),
        Loss::Huber { delta } => (wire::Loss::Huber, delta.to_string(), none(), none()),
        Loss::LogCosh => (wire::Loss::LogCosh, none(), none(), none()),
        Loss::Poisson => (wire::Loss::Poisson, none(), none(), none()),
        Loss::Brier => (wire::Loss::Brier, none(), none(), none()),
        Loss::Ztae { center, scale } => (wire::Loss::Ztae, none(), center.to_string(), scale.to_string()),
        Loss::Pinball { quantile } => (wire::Loss::Pinball, quantile.to_string(), none(), none()),
    };
    let truth_mode = match spec.truth_mode {
        TruthMode::Truth => wire::TruthMode::Truth,
        TruthMode::Losses => wire::TruthMode::Losses,
    };
    let payout = match spec.payout {
        Payout::Gains => wire::Payout::Gains,
        Payout::Entropy => wire::Payout::Entropy,
    };
    let optional = |value: Option<Real>| value.map_or("off".to_string(), |v| v.to_string());
    let [inferer_quantile, forecaster_quantile, reputer_quantile] =
        spec.hearing.quantiles.map(|q| q.to_string());
    let [max_inferers, max_forecasters, max_reputers] = spec.hearing.caps;
    wire::TopicSpec {
        title: texts.title,
        target: texts.target,
        unit: texts.unit,
        truth_source: texts.truth_source,
        horizon: texts.horizon,
        resolution: texts.resolution,
        metadata: texts.metadata,
        loss_method: texts.loss_method,
        rule: rule.into(),
        loss: loss.into(),
        loss_parameter,
        loss_center,
        loss_scale,
        truth_mode: truth_mode.into(),
        payout: payout.into(),
        epoch_length: spec.epoch_length,
        worker_window: spec.worker_window,
        reveal_window: spec.reveal_window,
        truth_lag: spec.truth_lag,
        truth_window: spec.truth_window,
        kappa: spec.power.kappa,
        alpha: spec.power.alpha.to_string(),
        cap: optional(spec.power.cap),
        clamp: optional(spec.power.clamp),
        gain: spec.power.gain.to_string(),
        log_pool: spec.power.pool == Pool::Log,
        p_norm: spec.regret.p_norm.to_string(),
        c_norm: spec.regret.c_norm.to_string(),
        alpha_regret: spec.regret.alpha.to_string(),
        epsilon: spec.regret.epsilon.to_string(),
        allow_negative: spec.regret.allow_negative,
        merit_alpha: spec.hearing.merit_alpha.to_string(),
        inferer_quantile,
        forecaster_quantile,
        reputer_quantile,
        max_inferers,
        max_forecasters,
        max_reputers,
        classification: spec.labels.classification,
        multi: spec.labels.multi,
        require_unity: spec.labels.require_unity,
        unity_tolerance: spec.labels.unity_tolerance.to_string(),
        max_labels: spec.labels.max,
        labels,
        label_default: spec.labels.default.to_string(),
        label_case_sensitive: spec.labels.case_sensitive,
        worker_list: spec.worker_list,
        reputer_list: spec.reputer_list,
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
