//! Questions of `emissions.v10`, answered from the same state as our own: one table of methods here, the answers by
//! subject in the files beside it. Nothing is kept for these questions alone.

mod epoch;
mod list;
mod score;
mod stake;
mod topic;
mod v9;

pub(crate) use topic::{params as params_view, view as topic_view};
pub use v9::OWN_SHAPES;

use dodona_mechanism::Real;
use dodona_proto::{
    Address,
    emissions::{v3, v10},
    topics::List,
};
use dodona_store::Read;
use prost::Message;

use crate::{
    accounts, bank, mint, params,
    query::QueryError,
    topics::{
        stake as stakes,
        state::{TOPICS, Topic, part, role},
    },
};

/// Most entries in one answer, as the parameters tell clients.
const PAGE: usize = 1_000;

/// An answer that may fail.
type Answer<T> = Result<T, QueryError>;

/// One line per method: its name, the request it takes, the answer it gives.
macro_rules! table {
    ($method:expr, $bytes:expr; $($name:literal: |$q:ident: $asked:ident| $given:ident { $($body:tt)* };)*) => {
        match $method {
            $($name => Some(ask($bytes, |$q: v10::$asked| Ok(v10::$given { $($body)* }))),)*
            _ => None,
        }
    };
}

/// Answers a method of the query service by its path, such as `/emissions.v10.QueryService/GetTopic` or the same of
/// version 9, or by its short name, which means version 10; none if there is no such method.
/// Errors: [`QueryError::Bad`] for a request that does not decode, a text that is no address, a negative height;
/// [`QueryError::NotFound`] for topics, accounts and epochs that are not there or no longer kept. Amounts that nobody
/// put anywhere are 0, and questions of yes or no about accounts and epochs unheard of are answered no.
pub fn answer(read: &impl Read, method: &str, request: &[u8]) -> Option<Result<Vec<u8>, QueryError>> {
    match method.strip_prefix("/emissions.v9.QueryService/") {
        Some(older) => v9::answer(read, older, request),
        None => current(read, method.strip_prefix("/emissions.v10.QueryService/").unwrap_or(method), request),
    }
}

#[rustfmt::skip]
fn current(read: &impl Read, method: &str, request: &[u8]) -> Option<Result<Vec<u8>, QueryError>> {
    table! { method, request;
        "GetParams": |_q: GetParamsRequest| GetParamsResponse { params: Some(topic::params(&params::get(read)?)) };
        "GetNextTopicId": |_q: GetNextTopicIdRequest| GetNextTopicIdResponse { next_topic_id: topic::next_id(read)? };
        "GetTopic": |q: GetTopicRequest| GetTopicResponse { ..topic::answer(read, q.topic_id)? };
        "TopicExists": |q: TopicExistsRequest| TopicExistsResponse { exists: TOPICS.contains(read, &q.topic_id)? };
        "IsTopicActive": |q: IsTopicActiveRequest| IsTopicActiveResponse { is_active: find(read, q.topic_id)?.active };
        "GetTopicFeeRevenue": |q: GetTopicFeeRevenueRequest| GetTopicFeeRevenueResponse { fee_revenue: find(read, q.topic_id)?.revenue.to_string() };
        "GetPreviousTopicWeight": |q: GetPreviousTopicWeightRequest| GetPreviousTopicWeightResponse { ..topic::previous_weight(read, q.topic_id)? };
        "GetTotalSumPreviousTopicWeights": |_q: GetTotalSumPreviousTopicWeightsRequest| GetTotalSumPreviousTopicWeightsResponse { weight: topic::total_weight(read)? };
        "GetActiveTopicsAtBlock": |q: GetActiveTopicsAtBlockRequest| GetActiveTopicsAtBlockResponse { topics: topic::due(read, block(q.block_height)?)?, pagination: Some(v3::SimpleCursorPaginationResponse::default()) };
        "GetNextChurningBlockByTopicId": |q: GetNextChurningBlockByTopicIdRequest| GetNextChurningBlockByTopicIdResponse { block_height: signed(find(read, q.topic_id)?.next_open) };
        "GetTopicLastWorkerCommitInfo": |q: GetTopicLastWorkerCommitInfoRequest| GetTopicLastWorkerCommitInfoResponse { last_commit: Some(topic::commit(&find(read, q.topic_id)?.last_combined, "combined")?) };
        "GetTopicLastReputerCommitInfo": |q: GetTopicLastReputerCommitInfoRequest| GetTopicLastReputerCommitInfoResponse { last_commit: Some(topic::commit(&find(read, q.topic_id)?.last_scored, "scored")?) };
        // Rewards are paid in the block that scores: no epoch ever waits for them.
        "GetTopicRewardNonce": |q: GetTopicRewardNonceRequest| GetTopicRewardNonceResponse { nonce: { find(read, q.topic_id)?; 0 } };
        "GetTotalRewardToDistribute": |_q: GetTotalRewardToDistributeRequest| GetTotalRewardToDistributeResponse { total_reward: bank::balance(read, accounts::topics_rewards())?.to_string() };
        "GetPreviousPercentageRewardToStakedReputers": |_q: GetPreviousPercentageRewardToStakedReputersRequest| GetPreviousPercentageRewardToStakedReputersResponse { percentage_reward: mint::get(read)?.reputers_share.to_string() };

        "GetWorkerLatestInputInferenceByTopicId": |q: GetWorkerLatestInputInferenceByTopicIdRequest| GetWorkerLatestInputInferenceByTopicIdResponse { latest_input_inference: Some(epoch::live_inference(read, q.topic_id, &q.worker_address)?) };
        "GetInferencesAtBlock": |q: GetInferencesAtBlockRequest| GetInferencesAtBlockResponse { inferences: Some(epoch::inferences(read, q.topic_id, block(q.block_height)?)?) };
        "GetLatestTopicInferences": |q: GetLatestTopicInferencesRequest| GetLatestTopicInferencesResponse { ..epoch::latest_inferences(read, q.topic_id)? };
        "GetForecastsAtBlock": |q: GetForecastsAtBlockRequest| GetForecastsAtBlockResponse { forecasts: Some(epoch::forecasts(read, q.topic_id, block(q.block_height)?)?) };
        "GetNetworkLossBundleAtBlock": |q: GetNetworkLossBundleAtBlockRequest| GetNetworkLossBundleAtBlockResponse { loss_bundle: Some(epoch::network_losses(read, q.topic_id, block(q.block_height)?)?) };
        "GetReputerLossBundlesAtBlock": |q: GetReputerLossBundlesAtBlockRequest| GetReputerLossBundlesAtBlockResponse { loss_bundles: epoch::reported_losses(read, q.topic_id, block(q.block_height)?)? };
        "GetNetworkInferencesAtBlock": |q: GetNetworkInferencesAtBlockRequest| GetNetworkInferencesAtBlockResponse { network_inferences: Some(epoch::bundle(read, q.topic_id, block(q.block_height_last_inference)?)?) };
        "GetNetworkInferencesAtBlockOutlierResistant": |q: GetNetworkInferencesAtBlockOutlierResistantRequest| GetNetworkInferencesAtBlockOutlierResistantResponse { network_inferences: Some(epoch::resistant(read, q.topic_id, block(q.block_height_last_inference)?)?) };
        "GetLatestNetworkInferences": |q: GetLatestNetworkInferencesRequest| GetLatestNetworkInferencesResponse { ..epoch::latest_bundle(read, q.topic_id)? };
        "GetLatestNetworkInferencesOutlierResistant": |q: GetLatestNetworkInferencesOutlierResistantRequest| GetLatestNetworkInferencesOutlierResistantResponse { ..epoch::latest_resistant(read, q.topic_id)? };
        "IsWorkerNonceUnfulfilled": |q: IsWorkerNonceUnfulfilledRequest| IsWorkerNonceUnfulfilledResponse { is_worker_nonce_unfulfilled: epoch::worker_waits(read, q.topic_id, block(q.block_height)?)? };
        "IsReputerNonceUnfulfilled": |q: IsReputerNonceUnfulfilledRequest| IsReputerNonceUnfulfilledResponse { is_reputer_nonce_unfulfilled: epoch::reputer_waits(read, q.topic_id, block(q.block_height)?)? };
        "GetUnfulfilledWorkerNonces": |q: GetUnfulfilledWorkerNoncesRequest| GetUnfulfilledWorkerNoncesResponse { nonces: Some(epoch::worker_nonces(read, q.topic_id)?) };
        "GetUnfulfilledReputerNonces": |q: GetUnfulfilledReputerNoncesRequest| GetUnfulfilledReputerNoncesResponse { nonces: Some(epoch::reputer_nonces(read, q.topic_id, false)?) };
        "GetOpenWorkerSubmissionWindows": |q: GetOpenWorkerSubmissionWindowsRequest| GetOpenWorkerSubmissionWindowsResponse { nonces: Some(epoch::worker_nonces(read, q.topic_id)?) };
        "GetOpenReputerSubmissionWindows": |q: GetOpenReputerSubmissionWindowsRequest| GetOpenReputerSubmissionWindowsResponse { nonces: Some(epoch::reputer_nonces(read, q.topic_id, true)?) };
        "GetWorkerSubmissionWindowStatus": |q: GetWorkerSubmissionWindowStatusRequest| GetWorkerSubmissionWindowStatusResponse { ..epoch::worker_window(read, q.topic_id, &q.address)? };
        "GetReputerSubmissionWindowStatus": |q: GetReputerSubmissionWindowStatusRequest| GetReputerSubmissionWindowStatusResponse { ..epoch::reputer_window(read, q.topic_id, &q.address)? };

        "GetTotalStake": |_q: GetTotalStakeRequest| GetTotalStakeResponse { amount: stakes::total(read)?.to_string() };
        "GetTopicStake": |q: GetTopicStakeRequest| GetTopicStakeResponse { amount: find(read, q.topic_id)?.stake.to_string() };
        "GetReputerStakeInTopic": |q: GetReputerStakeInTopicRequest| GetReputerStakeInTopicResponse { amount: stake::of(read, q.topic_id, &q.address)?.authority().to_string() };
        "GetMultiReputerStakeInTopic": |q: GetMultiReputerStakeInTopicRequest| GetMultiReputerStakeInTopicResponse { amounts: stake::of_many(read, q.topic_id, &q.addresses)? };
        "GetStakeFromReputerInTopicInSelf": |q: GetStakeFromReputerInTopicInSelfRequest| GetStakeFromReputerInTopicInSelfResponse { amount: stake::of(read, q.topic_id, &q.reputer_address)?.own.to_string() };
        "GetDelegateStakeInTopicInReputer": |q: GetDelegateStakeInTopicInReputerRequest| GetDelegateStakeInTopicInReputerResponse { amount: stake::of(read, q.topic_id, &q.reputer_address)?.delegated.to_string() };
        "GetDelegateStakeUponReputer": |q: GetDelegateStakeUponReputerRequest| GetDelegateStakeUponReputerResponse { stake: stake::of(read, q.topic_id, &q.target)?.delegated.to_string() };
        "GetStakeReputerAuthority": |q: GetStakeReputerAuthorityRequest| GetStakeReputerAuthorityResponse { authority: stake::of(read, q.topic_id, &q.reputer)?.authority().to_string() };
        "GetStakeFromDelegatorInTopicInReputer": |q: GetStakeFromDelegatorInTopicInReputerRequest| GetStakeFromDelegatorInTopicInReputerResponse { amount: stake::placement(read, q.topic_id, &q.delegator_address, &q.reputer_address)?.amount };
        "GetStakeFromDelegatorInTopic": |q: GetStakeFromDelegatorInTopicRequest| GetStakeFromDelegatorInTopicResponse { amount: stake::of_delegator(read, q.topic_id, &q.delegator_address)?.to_string() };
        "GetDelegateStakePlacement": |q: GetDelegateStakePlacementRequest| GetDelegateStakePlacementResponse { delegator_info: Some(stake::placement(read, q.topic_id, &q.delegator, &q.target)?) };
        "GetDelegateRewardPerShare": |q: GetDelegateRewardPerShareRequest| GetDelegateRewardPerShareResponse { reward_per_share: stake::per_share(read, q.topic_id, &q.reputer)? };
        "GetStakeRemovalsUpUntilBlock": |q: GetStakeRemovalsUpUntilBlockRequest| GetStakeRemovalsUpUntilBlockResponse { removals: stake::removals(read, block(q.block_height)?)? };
        "GetDelegateStakeRemovalsUpUntilBlock": |q: GetDelegateStakeRemovalsUpUntilBlockRequest| GetDelegateStakeRemovalsUpUntilBlockResponse { removals: stake::delegate_removals(read, block(q.block_height)?)? };
        "GetStakeRemovalInfo": |q: GetStakeRemovalInfoRequest| GetStakeRemovalInfoResponse { removal: Some(stake::removal(read, q.topic_id, &q.reputer)?) };
        "GetStakeRemovalForReputerAndTopicId": |q: GetStakeRemovalForReputerAndTopicIdRequest| GetStakeRemovalForReputerAndTopicIdResponse { stake_removal_info: Some(stake::removal(read, q.topic_id, &q.reputer)?) };
        "GetDelegateStakeRemovalInfo": |q: GetDelegateStakeRemovalInfoRequest| GetDelegateStakeRemovalInfoResponse { removal: Some(stake::delegate_removal(read, q.topic_id, &q.delegator, &q.reputer, None)?) };
        "GetDelegateStakeRemoval": |q: GetDelegateStakeRemovalRequest| GetDelegateStakeRemovalResponse { stake_removal_info: Some(stake::delegate_removal(read, q.topic_id, &q.delegator, &q.reputer, Some(block(q.block_height)?))?) };

        "GetInfererNetworkRegret": |q: GetInfererNetworkRegretRequest| GetInfererNetworkRegretResponse { regret: Some(score::regret(read, q.topic_id, &q.actor_id, |state, who| state.inferers.get(who))?) };
        "GetForecasterNetworkRegret": |q: GetForecasterNetworkRegretRequest| GetForecasterNetworkRegretResponse { regret: Some(score::regret(read, q.topic_id, &q.worker, |state, who| state.forecasters.get(who))?) };
        "GetNaiveInfererNetworkRegret": |q: GetNaiveInfererNetworkRegretRequest| GetNaiveInfererNetworkRegretResponse { regret: Some(score::regret(read, q.topic_id, &q.inferer, |state, who| state.naive.get(who))?) };
        "GetOneInForecasterNetworkRegret": |q: GetOneInForecasterNetworkRegretRequest| GetOneInForecasterNetworkRegretResponse { regret: Some(score::one_in_regret(read, q.topic_id, &q.forecaster, &q.inferer)?) };
        "GetOneOutInfererInfererNetworkRegret": |q: GetOneOutInfererInfererNetworkRegretRequest| GetOneOutInfererInfererNetworkRegretResponse { regret: Some(score::pair_regret(read, q.topic_id, &q.one_out_inferer, &q.inferer, |state| &state.one_out_inferer_inferers)?) };
        "GetOneOutInfererForecasterNetworkRegret": |q: GetOneOutInfererForecasterNetworkRegretRequest| GetOneOutInfererForecasterNetworkRegretResponse { regret: Some(score::pair_regret(read, q.topic_id, &q.one_out_inferer, &q.forecaster, |state| &state.one_out_inferer_forecasters)?) };
        "GetOneOutForecasterInfererNetworkRegret": |q: GetOneOutForecasterInfererNetworkRegretRequest| GetOneOutForecasterInfererNetworkRegretResponse { regret: Some(score::pair_regret(read, q.topic_id, &q.one_out_forecaster, &q.inferer, |state| &state.one_out_forecaster_inferers)?) };
        "GetOneOutForecasterForecasterNetworkRegret": |q: GetOneOutForecasterForecasterNetworkRegretRequest| GetOneOutForecasterForecasterNetworkRegretResponse { regret: Some(score::pair_regret(read, q.topic_id, &q.one_out_forecaster, &q.forecaster, |state| &state.one_out_forecaster_forecasters)?) };
        "GetLatestRegretStdNorm": |q: GetLatestRegretStdNormRequest| GetLatestRegretStdNormResponse { value: score::regrets(read, q.topic_id)?.1.scale.to_string() };
        "GetLatestInfererWeight": |q: GetLatestInfererWeightRequest| GetLatestInfererWeightResponse { weight: score::member(read, q.topic_id, part::INFERER, &q.actor_id)?.1.weight.to_string() };
        "GetLatestForecasterWeight": |q: GetLatestForecasterWeightRequest| GetLatestForecasterWeightResponse { weight: score::member(read, q.topic_id, part::FORECASTER, &q.actor_id)?.1.weight.to_string() };
        "GetCountInfererInclusionsInTopic": |q: GetCountInfererInclusionsInTopicRequest| GetCountInfererInclusionsInTopicResponse { count: score::inclusions(read, q.topic_id, part::INFERER, &q.inferer)? };
        "GetCountForecasterInclusionsInTopic": |q: GetCountForecasterInclusionsInTopicRequest| GetCountForecasterInclusionsInTopicResponse { count: score::inclusions(read, q.topic_id, part::FORECASTER, &q.forecaster)? };
        "GetInfererScoreEma": |q: GetInfererScoreEmaRequest| GetInfererScoreEmaResponse { score: Some(score::merit(read, q.topic_id, part::INFERER, &q.inferer)?) };
        "GetForecasterScoreEma": |q: GetForecasterScoreEmaRequest| GetForecasterScoreEmaResponse { score: Some(score::merit(read, q.topic_id, part::FORECASTER, &q.forecaster)?) };
        "GetReputerScoreEma": |q: GetReputerScoreEmaRequest| GetReputerScoreEmaResponse { score: Some(score::merit(read, q.topic_id, part::REPUTER, &q.reputer)?) };
        "GetPreviousTopicQuantileInfererScoreEma": |q: GetPreviousTopicQuantileInfererScoreEmaRequest| GetPreviousTopicQuantileInfererScoreEmaResponse { value: find(read, q.topic_id)?.admission(part::INFERER).quantile.to_string() };
        "GetPreviousTopicQuantileForecasterScoreEma": |q: GetPreviousTopicQuantileForecasterScoreEmaRequest| GetPreviousTopicQuantileForecasterScoreEmaResponse { value: find(read, q.topic_id)?.admission(part::FORECASTER).quantile.to_string() };
        "GetPreviousTopicQuantileReputerScoreEma": |q: GetPreviousTopicQuantileReputerScoreEmaRequest| GetPreviousTopicQuantileReputerScoreEmaResponse { value: find(read, q.topic_id)?.admission(part::REPUTER).quantile.to_string() };
        "GetTopicInitialInfererEmaScore": |q: GetTopicInitialInfererEmaScoreRequest| GetTopicInitialInfererEmaScoreResponse { score: find(read, q.topic_id)?.admission(part::INFERER).initial.to_string() };
        "GetTopicInitialForecasterEmaScore": |q: GetTopicInitialForecasterEmaScoreRequest| GetTopicInitialForecasterEmaScoreResponse { score: find(read, q.topic_id)?.admission(part::FORECASTER).initial.to_string() };
        "GetTopicInitialReputerEmaScore": |q: GetTopicInitialReputerEmaScoreRequest| GetTopicInitialReputerEmaScoreResponse { score: find(read, q.topic_id)?.admission(part::REPUTER).initial.to_string() };
        "GetInferenceScoresUntilBlock": |q: GetInferenceScoresUntilBlockRequest| GetInferenceScoresUntilBlockResponse { scores: score::until(read, q.topic_id, part::INFERER, block(q.block_height)?)? };
        "GetForecastScoresUntilBlock": |q: GetForecastScoresUntilBlockRequest| GetForecastScoresUntilBlockResponse { scores: score::until(read, q.topic_id, part::FORECASTER, block(q.block_height)?)? };
        "GetWorkerInferenceScoresAtBlock": |q: GetWorkerInferenceScoresAtBlockRequest| GetWorkerInferenceScoresAtBlockResponse { scores: Some(score::at(read, q.topic_id, part::INFERER, block(q.block_height)?)?) };
        "GetWorkerForecastScoresAtBlock": |q: GetWorkerForecastScoresAtBlockRequest| GetWorkerForecastScoresAtBlockResponse { scores: Some(score::at(read, q.topic_id, part::FORECASTER, block(q.block_height)?)?) };
        "GetReputersScoresAtBlock": |q: GetReputersScoresAtBlockRequest| GetReputersScoresAtBlockResponse { scores: Some(score::at(read, q.topic_id, part::REPUTER, block(q.block_height)?)?) };
        "GetCurrentLowestInfererScore": |q: GetCurrentLowestInfererScoreRequest| GetCurrentLowestInfererScoreResponse { score: Some(score::lowest(read, q.topic_id, part::INFERER)?) };
        "GetCurrentLowestForecasterScore": |q: GetCurrentLowestForecasterScoreRequest| GetCurrentLowestForecasterScoreResponse { score: Some(score::lowest(read, q.topic_id, part::FORECASTER)?) };
        "GetCurrentLowestReputerScore": |q: GetCurrentLowestReputerScoreRequest| GetCurrentLowestReputerScoreResponse { score: Some(score::lowest(read, q.topic_id, part::REPUTER)?) };
        "GetListeningCoefficient": |q: GetListeningCoefficientRequest| GetListeningCoefficientResponse { listening_coefficient: Some(v3::ListeningCoefficient { coefficient: score::member(read, q.topic_id, part::REPUTER, &q.reputer)?.1.listening.to_string() }) };
        "GetPreviousReputerRewardFraction": |q: GetPreviousReputerRewardFractionRequest| GetPreviousReputerRewardFractionResponse { ..score::reputer_fraction(read, q.topic_id, &q.reputer)? };
        "GetPreviousInferenceRewardFraction": |q: GetPreviousInferenceRewardFractionRequest| GetPreviousInferenceRewardFractionResponse { ..score::inferer_fraction(read, q.topic_id, &q.worker)? };
        "GetPreviousForecastRewardFraction": |q: GetPreviousForecastRewardFractionRequest| GetPreviousForecastRewardFractionResponse { ..score::forecaster_fraction(read, q.topic_id, &q.worker)? };

        "GetWorkerNodeInfo": |q: GetWorkerNodeInfoRequest| GetWorkerNodeInfoResponse { node_info: Some(list::node(read, role::WORKER, &q.address)?) };
        "GetReputerNodeInfo": |q: GetReputerNodeInfoRequest| GetReputerNodeInfoResponse { node_info: Some(list::node(read, role::REPUTER, &q.address)?) };
        "IsWorkerRegisteredInTopicId": |q: IsWorkerRegisteredInTopicIdRequest| IsWorkerRegisteredInTopicIdResponse { is_registered: list::registered(read, q.topic_id, role::WORKER, &q.address)? };
        "IsReputerRegisteredInTopicId": |q: IsReputerRegisteredInTopicIdRequest| IsReputerRegisteredInTopicIdResponse { is_registered: list::registered(read, q.topic_id, role::REPUTER, &q.address)? };
        "IsWhitelistAdmin": |q: IsWhitelistAdminRequest| IsWhitelistAdminResponse { is_admin: list::contains(read, List::Admin, &q.address)? };
        "IsWhitelistedGlobalWorker": |q: IsWhitelistedGlobalWorkerRequest| IsWhitelistedGlobalWorkerResponse { is_whitelisted_global_worker: list::contains(read, List::GlobalWorker, &q.address)? };
        "IsWhitelistedGlobalReputer": |q: IsWhitelistedGlobalReputerRequest| IsWhitelistedGlobalReputerResponse { is_whitelisted_global_reputer: list::contains(read, List::GlobalReputer, &q.address)? };
        "IsWhitelistedGlobalAdmin": |q: IsWhitelistedGlobalAdminRequest| IsWhitelistedGlobalAdminResponse { is_whitelisted_global_admin: list::contains(read, List::GlobalAdmin, &q.address)? };
        "IsWhitelistedGlobalActor": |q: IsWhitelistedGlobalActorRequest| IsWhitelistedGlobalActorResponse { is_whitelisted_global_actor: list::contains(read, List::Global, &q.address)? };
        "IsWhitelistedTopicCreator": |q: IsWhitelistedTopicCreatorRequest| IsWhitelistedTopicCreatorResponse { is_whitelisted_topic_creator: list::contains(read, List::TopicCreator, &q.address)? };
        "IsWhitelistedTopicWorker": |q: IsWhitelistedTopicWorkerRequest| IsWhitelistedTopicWorkerResponse { is_whitelisted_topic_worker: list::of_topic(read, List::TopicWorker, q.topic_id, &q.address)? };
        "IsWhitelistedTopicReputer": |q: IsWhitelistedTopicReputerRequest| IsWhitelistedTopicReputerResponse { is_whitelisted_topic_reputer: list::of_topic(read, List::TopicReputer, q.topic_id, &q.address)? };
        "IsTopicWorkerWhitelistEnabled": |q: IsTopicWorkerWhitelistEnabledRequest| IsTopicWorkerWhitelistEnabledResponse { is_topic_worker_whitelist_enabled: find(read, q.topic_id)?.spec.worker_list };
        "IsTopicReputerWhitelistEnabled": |q: IsTopicReputerWhitelistEnabledRequest| IsTopicReputerWhitelistEnabledResponse { is_topic_reputer_whitelist_enabled: find(read, q.topic_id)?.spec.reputer_list };
        "CanUpdateAllGlobalWhitelists": |q: CanUpdateAllGlobalWhitelistsRequest| CanUpdateAllGlobalWhitelistsResponse { can_update_all_global_whitelists: list::may_edit(read, &q.address)? };
        "CanUpdateGlobalWorkerWhitelist": |q: CanUpdateGlobalWorkerWhitelistRequest| CanUpdateGlobalWorkerWhitelistResponse { can_update_global_worker_whitelist: list::may_edit(read, &q.address)? };
        "CanUpdateGlobalReputerWhitelist": |q: CanUpdateGlobalReputerWhitelistRequest| CanUpdateGlobalReputerWhitelistResponse { can_update_global_reputer_whitelist: list::may_edit(read, &q.address)? };
        "CanUpdateParams": |q: CanUpdateParamsRequest| CanUpdateParamsResponse { can_update_params: list::contains(read, List::Admin, &q.address)? };
        "CanUpdateTopicWhitelist": |q: CanUpdateTopicWhitelistRequest| CanUpdateTopicWhitelistResponse { can_update_topic_whitelist: list::may_edit_topic(read, q.topic_id, &q.address)? };
        "CanCreateTopic": |q: CanCreateTopicRequest| CanCreateTopicResponse { can_create_topic: list::may_create(read, &q.address)? };
        "CanSubmitWorkerPayload": |q: CanSubmitWorkerPayloadRequest| CanSubmitWorkerPayloadResponse { can_submit_worker_payload: list::may_submit(read, q.topic_id, role::WORKER, &q.address)? };
        "CanSubmitReputerPayload": |q: CanSubmitReputerPayloadRequest| CanSubmitReputerPayloadResponse { can_submit_reputer_payload: list::may_submit(read, q.topic_id, role::REPUTER, &q.address)? };
    }
}

/// Decodes a question, has it answered, encodes the answer.
fn ask<Q: Message + Default, A: Message>(bytes: &[u8], give: impl FnOnce(Q) -> Answer<A>) -> Answer<Vec<u8>> {
    let question = Q::decode(bytes).map_err(|e| QueryError::Bad(e.to_string()))?;
    Ok(give(question)?.encode_to_vec())
}

/// A topic that must be there.
fn find(read: &impl Read, id: u64) -> Answer<Topic> {
    TOPICS.get(read, &id)?.ok_or_else(|| QueryError::NotFound(format!("topic {id} does not exist")))
}

/// An address as text.
fn address(text: &str) -> Answer<Address> {
    text.parse().map_err(|e| QueryError::Bad(format!("address: {e}")))
}

/// A height as clients write it.
fn block(height: i64) -> Answer<u64> {
    u64::try_from(height).map_err(|_| QueryError::Bad(format!("block height {height} is below 0")))
}

/// A height as clients read it.
fn signed(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

fn nonce(height: u64) -> v3::Nonce {
    v3::Nonce { block_height: signed(height) }
}

/// An epoch as reputers name it.
fn request_nonce(height: u64) -> v3::ReputerRequestNonce {
    v3::ReputerRequestNonce { reputer_nonce: Some(nonce(height)) }
}

fn texts(values: &[Real]) -> Vec<String> {
    values.iter().map(Real::to_string).collect()
}
