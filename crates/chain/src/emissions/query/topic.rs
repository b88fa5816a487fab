//! Topics, their weights, the parameters of the chain.

use dodona_proto::emissions::{v9, v10};
use dodona_store::{Read, StoreError};

use super::{Answer, PAGE, find, nonce, signed};
use crate::{
    params::{self, Params},
    query::QueryError,
    topics::{
        schedule,
        state::{Commit, DUE, LABELS, NEXT_ID, REGRETS, SHARED, TEXTS, TOPICS, Topic, phase},
    },
};

/// Worker windows of a topic that published clients expect to be remembered; ours never overlap.
const WORKER_REQUESTS: u64 = 100;
/// Entries of an answer by default.
const DEFAULT_PAGE: u64 = 100;

/// What the next topic will be called.
pub(super) fn next_id(read: &impl Read) -> Answer<u64> {
    Ok(NEXT_ID.get(read)?.unwrap_or(1))
}

/// A topic with what it weighs.
pub(super) fn answer(read: &impl Read, id: u64) -> Answer<v10::GetTopicResponse> {
    let topic = find(read, id)?;
    let weight = match topic.weight {
        Some(weight) => weight,
        None => schedule::target(&topic, &params::get(read)?),
    };
    Ok(v10::GetTopicResponse {
        topic: Some(view(read, &topic)?),
        weight: weight.to_string(),
        effective_revenue: topic.revenue.to_string(),
        topic_stake: topic.stake.to_string(),
    })
}

/// A topic as published clients see it.
pub(crate) fn view(read: &impl Read, topic: &Topic) -> Result<v10::Topic, StoreError> {
    let texts = TEXTS.get(read, &topic.id)?.unwrap_or_default();
    let spec = &topic.spec;
    let [inferers, forecasters, reputers] = spec.hearing.quantiles.map(|q| q.to_string());
    let kind = match spec.labels.classification {
        true => v10::TopicType::Classification,
        false => v10::TopicType::Regression,
    };
    let arity = match spec.labels.multi {
        true => v10::TopicOutputArity::Multi,
        false => v10::TopicOutputArity::Single,
    };
    Ok(v10::Topic {
        id: topic.id,
        creator: topic.creator.to_string(),
        // What people read first; topics described natively have a title instead.
        metadata: if texts.metadata.is_empty() { texts.title } else { texts.metadata },
        loss_method: texts.loss_method,
        epoch_last_ended: signed(topic.last_opened),
        epoch_length: signed(spec.epoch_length),
        ground_truth_lag: signed(spec.truth_lag),
        p_norm: spec.regret.p_norm.to_string(),
        alpha_regret: spec.regret.alpha.to_string(),
        allow_negative: spec.regret.allow_negative,
        epsilon: spec.regret.epsilon.to_string(),
        initial_regret: REGRETS.get(read, &topic.id)?.unwrap_or_default().initial.to_string(),
        worker_submission_window: signed(spec.worker_window),
        merit_sortition_alpha: spec.hearing.merit_alpha.to_string(),
        active_inferer_quantile: inferers,
        active_forecaster_quantile: forecasters,
        active_reputer_quantile: reputers,
        c_norm: spec.regret.c_norm.to_string(),
        topic_type: kind.into(),
        output_arity: arity.into(),
        require_unity: spec.labels.require_unity,
        unity_tolerance: spec.labels.unity_tolerance.to_string(),
        max_labels_per_submission: spec.labels.max.into(),
        label_whitelist: LABELS.get(read, &topic.id)?.unwrap_or_default(),
        label_default_value: spec.labels.default.to_string(),
        label_case_sensitive: spec.labels.case_sensitive,
    })
}

/// Smoothed weight, once there is one.
pub(super) fn previous_weight(read: &impl Read, id: u64) -> Answer<v10::GetPreviousTopicWeightResponse> {
    let weight = find(read, id)?.weight;
    Ok(v10::GetPreviousTopicWeightResponse {
        weight: weight.unwrap_or_default().to_string(),
        not_found: weight.is_none(),
    })
}

/// Sum of the weights by which active topics share the emission.
pub(super) fn total_weight(read: &impl Read) -> Answer<String> {
    Ok(SHARED.get(read)?.unwrap_or_default().shares.to_string())
}

/// Topics that ask their next question in a block.
pub(super) fn due(read: &impl Read, block: u64) -> Answer<Vec<v10::Topic>> {
    let mut topics = Vec::new();
    for ((.., id, _), ()) in DUE.scan_prefix(read, &(block, phase::OPEN), PAGE)? {
        if let Some(topic) = TOPICS.get(read, &id)? {
            topics.push(view(read, &topic)?);
        }
    }
    Ok(topics)
}

/// When a step of an epoch was last made.
pub(super) fn commit(last: &Commit, step: &str) -> Answer<v10::TimestampedActorNonce> {
    if last.nonce == 0 {
        return Err(QueryError::NotFound(format!("no epoch of this topic has been {step} yet")));
    }
    Ok(v10::TimestampedActorNonce { block_height: signed(last.height), nonce: Some(nonce(last.nonce)) })
}

/// Parameters under the names clients know; what this chain has no use for reads as published (topic specification,
/// section 10).
pub(crate) fn params(p: &Params) -> v9::Params {
    v9::Params {
        version: "v10".into(),
        max_serialized_msg_length: p.max_tx_bytes.into(),
        min_topic_weight: p.min_topic_weight.to_string(),
        required_minimum_stake: p.required_minimum_stake.to_string(),
        remove_stake_delay_window: signed(p.remove_stake_delay_window),
        min_epoch_length: signed(p.min_epoch_length),
        beta_entropy: p.beta_entropy.to_string(),
        learning_rate: p.learning_rate.to_string(),
        max_gradient_threshold: p.max_gradient_threshold.to_string(),
        min_stake_fraction: p.min_stake_fraction.to_string(),
        max_unfulfilled_worker_requests: WORKER_REQUESTS,
        max_unfulfilled_reputer_requests: p.max_unfulfilled_reputer_requests,
        topic_reward_stake_importance: p.topic_reward_stake_importance.to_string(),
        topic_reward_fee_revenue_importance: p.topic_reward_fee_revenue_importance.to_string(),
        topic_reward_alpha: p.topic_reward_alpha.to_string(),
        task_reward_alpha: p.task_reward_alpha.to_string(),
        validators_vs_allora_percent_reward: p.validators_vs_allora_percent_reward.to_string(),
        max_samples_to_scale_scores: p.max_samples_to_scale_scores.into(),
        max_top_inferers_to_reward: p.max_top_inferers_to_reward.into(),
        max_top_forecasters_to_reward: p.max_top_forecasters_to_reward.into(),
        max_top_reputers_to_reward: p.max_top_reputers_to_reward.into(),
        create_topic_fee: p.create_topic_fee.to_string(),
        gradient_descent_max_iters: p.gradient_descent_max_iters.into(),
        registration_fee: p.registration_fee.to_string(),
        default_page_limit: DEFAULT_PAGE,
        max_page_limit: PAGE as u64,
        min_epoch_length_record_limit: p.epoch_retention.into(),
        blocks_per_month: p.blocks_per_month,
        p_reward_inference: p.p_reward_inference.to_string(),
        p_reward_forecast: p.p_reward_forecast.to_string(),
        p_reward_reputer: p.p_reward_reputer.to_string(),
        c_reward_inference: p.c_reward_inference.to_string(),
        c_reward_forecast: p.c_reward_forecast.to_string(),
        c_norm: "0.75".into(),
        epsilon_reputer: p.epsilon_reputer.to_string(),
        half_max_process_stake_removals_end_block: p.half_max_process_stake_removals_end_block.into(),
        epsilon_safe_div: p.epsilon_safe_div.to_string(),
        data_sending_fee: p.data_sending_fee.to_string(),
        max_elements_per_forecast: p.max_elements_per_forecast.into(),
        max_active_topics_per_block: p.max_active_topics_per_block.into(),
        max_string_length: p.max_string_length.into(),
        initial_regret_quantile: p.initial_regret_quantile.to_string(),
        p_norm_safe_div: p.p_norm_safe_div.to_string(),
        global_whitelist_enabled: p.global_whitelist_enabled,
        topic_creator_whitelist_enabled: p.topic_creator_whitelist_enabled,
        min_experienced_worker_regrets: p.min_experienced_worker_regrets.into(),
        inference_outlier_detection_threshold: p.inference_outlier_detection_threshold.to_string(),
        inference_outlier_detection_alpha: p.inference_outlier_detection_alpha.to_string(),
        lambda_initial_score: p.lambda_initial_score.to_string(),
        global_worker_whitelist_enabled: p.global_worker_whitelist_enabled,
        global_reputer_whitelist_enabled: p.global_reputer_whitelist_enabled,
        global_admin_whitelist_appended: p.global_admin_whitelist_appended,
        max_whitelist_input_array_length: p.max_whitelist_input_array_length.into(),
        min_weight_threshold_for_stdnorm: "0.000001".into(),
        max_canonical_label_byte_length: p.max_canonical_label_byte_length.into(),
        max_topic_label_whitelist_size: p.max_topic_label_whitelist_size.into(),
        max_epoch_label_registry_size: p.max_epoch_label_registry_size.into(),
    }
}
