//! Questions of `emissions.v9`, one release older. Most have the shapes of version 10 and its answers; those that have
//! not are answered here in their own: one number where version 10 gives a value per label.

use dodona_proto::emissions::{v3, v9, v10};
use dodona_store::Read;

use super::{Answer, ask, block, epoch, request_nonce};
use crate::query::QueryError;

/// Methods of version 9 whose answers are not those of version 10 under the same name.
pub const OWN_SHAPES: [&str; 8] = [
    "GetWorkerLatestInferenceByTopicId",
    "GetInferencesAtBlock",
    "GetLatestTopicInferences",
    "GetNetworkInferencesAtBlock",
    "GetNetworkInferencesAtBlockOutlierResistant",
    "GetLatestNetworkInferences",
    "GetLatestNetworkInferencesOutlierResistant",
    "GetReputerLossBundlesAtBlock",
];

/// Answers a method of the older query service by its short name; none if there is no such method. Errors as of
/// [`super::answer`], and [`QueryError::Bad`] where the answer has several labels, for which version 9 has no words.
#[rustfmt::skip]
pub(super) fn answer(read: &impl Read, method: &str, request: &[u8]) -> Option<Result<Vec<u8>, QueryError>> {
    Some(match method {
        "GetWorkerLatestInferenceByTopicId" => ask(request, |q: v9::GetWorkerLatestInferenceByTopicIdRequest| Ok(v9::GetWorkerLatestInferenceByTopicIdResponse { latest_inference: Some(said(epoch::live_inference(read, q.topic_id, &q.worker_address)?)?) })),
        "GetInferencesAtBlock" => ask(request, |q: v9::GetInferencesAtBlockRequest| Ok(v9::GetInferencesAtBlockResponse { inferences: Some(inferences(epoch::inferences(read, q.topic_id, block(q.block_height)?)?)?) })),
        "GetLatestTopicInferences" => ask(request, |q: v9::GetLatestTopicInferencesRequest| {
            let newest = epoch::latest_inferences(read, q.topic_id)?;
            let all = newest.inferences.unwrap_or_default();
            Ok(v9::GetLatestTopicInferencesResponse { inferences: Some(inferences(all)?), block_height: newest.block_height })
        }),
        "GetNetworkInferencesAtBlock" => ask(request, |q: v9::GetNetworkInferencesAtBlockRequest| Ok(v9::GetNetworkInferencesAtBlockResponse { network_inferences: Some(bundle(epoch::bundle(read, q.topic_id, block(q.block_height_last_inference)?)?)?) })),
        "GetNetworkInferencesAtBlockOutlierResistant" => ask(request, |q: v9::GetNetworkInferencesAtBlockOutlierResistantRequest| Ok(v9::GetNetworkInferencesAtBlockOutlierResistantResponse { network_inferences: Some(bundle(epoch::resistant(read, q.topic_id, block(q.block_height_last_inference)?)?)?) })),
        "GetLatestNetworkInferences" => ask(request, |q: v9::GetLatestNetworkInferencesRequest| {
            let newest = epoch::latest_bundle(read, q.topic_id)?;
            let whole = newest.network_inferences.unwrap_or_default();
            Ok(v9::GetLatestNetworkInferencesResponse { network_inferences: Some(bundle(whole)?), inference_block_height: newest.inference_block_height })
        }),
        "GetLatestNetworkInferencesOutlierResistant" => ask(request, |q: v9::GetLatestNetworkInferencesOutlierResistantRequest| {
            let newest = epoch::latest_resistant(read, q.topic_id)?;
            let whole = newest.network_inferences.unwrap_or_default();
            Ok(v9::GetLatestNetworkInferencesOutlierResistantResponse { network_inferences: Some(bundle(whole)?), inference_block_height: newest.inference_block_height })
        }),
        "GetReputerLossBundlesAtBlock" => ask(request, |q: v9::GetReputerLossBundlesAtBlockRequest| {
            let reported = epoch::reported_losses(read, q.topic_id, block(q.block_height)?)?;
            // Signatures are checked when losses come; they are not kept.
            let signed = |losses| v3::ReputerValueBundle { value_bundle: Some(losses), ..Default::default() };
            let all = v3::ReputerValueBundles { reputer_value_bundles: reported.into_iter().map(signed).collect() };
            Ok(v9::GetReputerLossBundlesAtBlockResponse { loss_bundles: Some(all) })
        }),
        // A name of version 10 alone.
        "GetWorkerLatestInputInferenceByTopicId" => return None,
        same => return super::current(read, same, request),
    })
}

/// The one number of a list; none is an empty text.
fn one(mut values: Vec<String>) -> Answer<String> {
    if values.len() > 1 {
        return Err(QueryError::Bad("this topic answers with several labels: ask emissions.v10".into()));
    }
    Ok(values.pop().unwrap_or_default())
}

fn of_label(values: Vec<v10::LabeledValue>) -> Answer<String> {
    one(values.into_iter().map(|v| v.value).collect())
}

fn inferences(all: v10::Inferences) -> Answer<v3::Inferences> {
    let view = |i: v10::Inference| {
        let v10::Inference { topic_id, block_height, inferer, extra_data, proof, values } = i;
        Ok(v3::Inference { topic_id, block_height, inferer, value: one(values)?, extra_data, proof })
    };
    Ok(v3::Inferences { inferences: all.inferences.into_iter().map(view).collect::<Answer<_>>()? })
}

fn said(i: v10::InputInference) -> Answer<v3::Inference> {
    let v10::InputInference { topic_id, block_height, inferer, extra_data, proof, values, .. } = i;
    let value = one(values.into_iter().map(|v| v.value).collect())?;
    Ok(v3::Inference { topic_id, block_height, inferer, value, extra_data, proof })
}

/// A network inference as the bundle of numbers it used to be.
fn bundle(whole: v10::NetworkInferenceBundle) -> Answer<v3::ValueBundle> {
    let attributed = |list: Vec<v10::WorkerInference>| {
        let view = |w: v10::WorkerInference| {
            Ok(v3::WorkerAttributedValue { worker: w.worker, value: of_label(w.values)? })
        };
        list.into_iter().map(view).collect::<Answer<Vec<_>>>()
    };
    let withheld = |worker, values| {
        Ok::<_, QueryError>(v3::WithheldWorkerAttributedValue { worker, value: of_label(values)? })
    };
    let mut pairs: Vec<v3::OneOutInfererForecasterValues> = Vec::new();
    for pair in whole.one_out_inferer_forecaster_values {
        let value = withheld(pair.withheld_inferer, pair.combined_inference)?;
        match pairs.last_mut().filter(|row| row.forecaster == pair.forecaster) {
            Some(row) => row.one_out_inferer_values.push(value),
            None => pairs.push(v3::OneOutInfererForecasterValues {
                forecaster: pair.forecaster,
                one_out_inferer_values: vec![value],
            }),
        }
    }
    Ok(v3::ValueBundle {
        topic_id: whole.topic_id,
        reputer_request_nonce: Some(request_nonce(block(whole.nonce)?)),
        combined_value: of_label(whole.combined_value)?,
        inferer_values: attributed(whole.inferer_values)?,
        forecaster_values: attributed(whole.forecaster_values)?,
        naive_value: of_label(whole.naive_value)?,
        one_out_inferer_values: whole
            .one_out_inferer_values
            .into_iter()
            .map(|o| withheld(o.withheld_inferer, o.combined_inference))
            .collect::<Answer<_>>()?,
        one_out_forecaster_values: whole
            .one_out_forecaster_values
            .into_iter()
            .map(|o| withheld(o.withheld_forecaster, o.combined_inference))
            .collect::<Answer<_>>()?,
        one_in_forecaster_values: whole
            .one_in_forecaster_values
            .into_iter()
            .map(|o| {
                let value = of_label(o.combined_inference)?;
                Ok(v3::WorkerAttributedValue { worker: o.forecaster, value })
            })
            .collect::<Answer<_>>()?,
        one_out_inferer_forecaster_values: pairs,
        ..Default::default()
    })
}
