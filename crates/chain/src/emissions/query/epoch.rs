//! Epochs: what was said, what the network answered, what it cost, and which windows are open.

use dodona_mechanism::{
    Real,
    real::func,
    topic::combine::{LOG_FLOOR, Losses},
};
use dodona_proto::{
    Address,
    emissions::{v3, v10},
};
use dodona_store::Read;

use super::{Answer, address, find, nonce, request_nonce, signed, texts};
use crate::{
    params,
    query::QueryError,
    topics::{
        label, lists,
        state::{
            self, EPOCHS, Epoch, EpochState, FORECASTS, Key, LOSSES, NONCES, OPENINGS, Opening, PAYLOADS,
            Part, RECORDS, REGISTRATIONS, REGISTRY, RESISTANT, Record, Topic, role,
        },
    },
};

/// Height of the block in which a message sent now would stand.
fn next_height(read: &impl Read) -> Answer<u64> {
    Ok(crate::TIP.get(read)?.map_or(0, |tip| tip.height) + 1)
}

/// Epochs with a step before them, oldest first.
pub(super) fn waiting(read: &impl Read, topic: &Topic) -> Answer<Vec<(u64, Epoch)>> {
    // Nothing older can still be waiting.
    let oldest = next_height(read)?.saturating_sub(topic.spec.truth_lag + topic.spec.truth_window + 2);
    let mut waiting = Vec::new();
    for index in (topic.oldest..topic.opened).rev() {
        let Some(nonce) = NONCES.get(read, &(topic.id, index))?.filter(|nonce| *nonce >= oldest) else {
            break;
        };
        waiting
            .extend(EPOCHS.get(read, &(topic.id, nonce))?.filter(Epoch::waits).map(|epoch| (nonce, epoch)));
    }
    waiting.reverse();
    Ok(waiting)
}

/// Whether an epoch waits for answers.
pub(super) fn worker_waits(read: &impl Read, id: u64, nonce: u64) -> Answer<bool> {
    find(read, id)?;
    Ok(EPOCHS.get(read, &(id, nonce))?.is_some_and(|epoch| epoch.state == EpochState::Open))
}

/// Whether an epoch waits for its truth.
pub(super) fn reputer_waits(read: &impl Read, id: u64, nonce: u64) -> Answer<bool> {
    find(read, id)?;
    Ok(EPOCHS.get(read, &(id, nonce))?.is_some_and(|epoch| epoch.state == EpochState::Combined))
}

/// Epochs that accept answers: from the block that opens one to the block that closes it there is no other state.
pub(super) fn worker_nonces(read: &impl Read, id: u64) -> Answer<v3::Nonces> {
    let open =
        waiting(read, &find(read, id)?)?.into_iter().filter(|(_, epoch)| epoch.state == EpochState::Open);
    Ok(v3::Nonces { nonces: open.map(|(height, _)| nonce(height)).collect() })
}

/// Epochs that wait for their truth; on request only those that accept it in the next block.
pub(super) fn reputer_nonces(read: &impl Read, id: u64, open: bool) -> Answer<v3::ReputerRequestNonces> {
    let next = next_height(read)?;
    let mut all = waiting(read, &find(read, id)?)?;
    all.retain(|(_, epoch)| epoch.state == EpochState::Combined && (!open || takes_truth(epoch, next)));
    Ok(v3::ReputerRequestNonces { nonces: all.iter().map(|(height, _)| request_nonce(*height)).collect() })
}

fn takes_truth(epoch: &Epoch, height: u64) -> bool {
    epoch.state == EpochState::Combined && epoch.truth_first <= height && height <= epoch.truth_last
}

/// First and last block of a window, with the epoch it belongs to.
type Window = (u64, u64, u64);

/// What both window questions say of an account: registered, permitted. Nobody is asked about by an empty text.
fn standing(read: &impl Read, topic: &Topic, as_role: u8, who: &str) -> Answer<(bool, bool)> {
    if who.is_empty() {
        return Ok((false, false));
    }
    let who = address(who)?;
    let registered = REGISTRATIONS.contains(read, &(topic.id, as_role, who.0))?;
    Ok((registered, lists::may(read, &params::get(read)?, topic, as_role, who)?))
}

/// The window for answers: the one open, and the next.
pub(super) fn worker_window(
    read: &impl Read,
    id: u64,
    who: &str,
) -> Answer<v10::GetWorkerSubmissionWindowStatusResponse> {
    let topic = find(read, id)?;
    let (is_registered, is_whitelisted) = standing(read, &topic, role::WORKER, who)?;
    let open = waiting(read, &topic)?.into_iter().find(|(_, epoch)| epoch.state == EpochState::Open);
    let (nonce, first, last) = open.map_or((0, 0, 0), |(nonce, epoch)| (nonce, nonce + 1, epoch.worker_last));
    let (next_first, next_last) = match topic.active {
        true => (topic.next_open + 1, topic.next_open + topic.spec.worker_window),
        false => (0, 0),
    };
    Ok(v10::GetWorkerSubmissionWindowStatusResponse {
        is_open: nonce > 0,
        current_nonce_block_height: signed(nonce),
        window_start_block: signed(first),
        window_end_block: signed(last),
        next_window_start_block: signed(next_first),
        next_window_end_block: signed(next_last),
        is_registered,
        is_whitelisted,
        is_topic_active: topic.active,
    })
}

/// The window for truths: the oldest one open, and the next to open.
pub(super) fn reputer_window(
    read: &impl Read,
    id: u64,
    who: &str,
) -> Answer<v10::GetReputerSubmissionWindowStatusResponse> {
    let topic = find(read, id)?;
    let (is_registered, is_whitelisted) = standing(read, &topic, role::REPUTER, who)?;
    let height = next_height(read)?;
    let (mut open, mut next): (Option<Window>, Option<Window>) = (None, None);
    for (nonce, epoch) in waiting(read, &topic)? {
        let window = (nonce, epoch.truth_first, epoch.truth_last);
        if takes_truth(&epoch, height) {
            open = open.or(Some(window));
        } else if epoch.truth_first > height {
            next = next.or(Some(window));
        }
    }
    let later = topic.active.then(|| {
        let opens = topic.next_open + topic.spec.truth_lag;
        (topic.next_open, opens + 1, opens + topic.spec.truth_window)
    });
    let (nonce, first, last) = open.unwrap_or_default();
    let (_, next_first, next_last) = next.or(later).unwrap_or_default();
    Ok(v10::GetReputerSubmissionWindowStatusResponse {
        is_open: open.is_some(),
        current_nonce_block_height: signed(nonce),
        window_start_block: signed(first),
        window_end_block: signed(last),
        next_window_start_block: signed(next_first),
        next_window_end_block: signed(next_last),
        is_registered,
        is_whitelisted,
        is_topic_active: topic.active,
    })
}

/// What a worker said in the window that is open, in the shape in which it is sent.
pub(super) fn live_inference(read: &impl Read, id: u64, who: &str) -> Answer<v10::InputInference> {
    let topic = find(read, id)?;
    let (who, nonce) = (address(who)?, topic.last_opened);
    // Payloads are there only while the window is open.
    let payload = PAYLOADS.get(read, &(id, nonce, who.0))?;
    let silent =
        || QueryError::NotFound(format!("{who} has given topic {id} no inference in an open window"));
    let vector = payload.and_then(|payload| payload.inference).ok_or_else(silent)?;
    let labels = match topic.spec.labels.multi {
        true => REGISTRY.get(read, &(id, nonce))?.unwrap_or_default(),
        false => vec![label::SINGLE.to_string()],
    };
    // What equals the default was not said.
    let values = vector.iter().filter_map(|(place, value)| {
        let label = labels.get(*place as usize)?.clone();
        Some(v10::InputLabeledValue { label, value: value.to_string() })
    });
    Ok(v10::InputInference {
        topic_id: id,
        block_height: signed(nonce),
        inferer: who.to_string(),
        // Clients fill the labelled values, and this one with a nought.
        value: "0".into(),
        extra_data: Vec::new(),
        proof: String::new(),
        values: values.collect(),
    })
}

fn record(read: &impl Read, id: u64, nonce: u64) -> Answer<Record> {
    find(read, id)?;
    let none = || {
        QueryError::NotFound(format!(
            "no inferences found for topic {id} at block {nonce}: not combined yet, or older than what is kept"
        ))
    };
    RECORDS.get(read, &(id, nonce))?.ok_or_else(none)
}

/// Nonce of the newest answer.
fn newest(read: &impl Read, id: u64) -> Answer<u64> {
    match find(read, id)?.last_combined.nonce {
        0 => {
            Err(QueryError::NotFound(format!("no inferences found for topic {id}: nothing is combined yet")))
        }
        nonce => Ok(nonce),
    }
}

/// Inferences that counted in an epoch.
pub(super) fn inferences(read: &impl Read, id: u64, nonce: u64) -> Answer<v10::Inferences> {
    let record = record(read, id, nonce)?;
    let inferers = record.answer.parts.iter().filter(|p| !p.forecaster);
    let view = |p: &Part| v10::Inference {
        topic_id: id,
        block_height: signed(nonce),
        inferer: Address(p.account).to_string(),
        extra_data: Vec::new(),
        proof: String::new(),
        values: texts(&p.values),
    };
    Ok(v10::Inferences { inferences: inferers.map(view).collect() })
}

/// The same of the newest epoch that has an answer.
pub(super) fn latest_inferences(read: &impl Read, id: u64) -> Answer<v10::GetLatestTopicInferencesResponse> {
    let nonce = newest(read, id)?;
    let inferences = Some(inferences(read, id, nonce)?);
    Ok(v10::GetLatestTopicInferencesResponse { inferences, block_height: signed(nonce) })
}

/// Forecasts that counted in an epoch: decimal logarithms of losses, unless losses may be negative.
pub(super) fn forecasts(read: &impl Read, id: u64, nonce: u64) -> Answer<v3::Forecasts> {
    let raw = find(read, id)?.spec.regret.allow_negative;
    record(read, id, nonce)?;
    let shown = |loss: Real| match raw {
        true => loss,
        false => Real::new(func::log10(loss.get().max(LOG_FLOOR))).unwrap_or(Real::ZERO),
    };
    let element = |(inferer, loss): &(Key, Real)| v3::ForecastElement {
        inferer: Address(*inferer).to_string(),
        value: shown(*loss).to_string(),
    };
    let view = |(forecaster, elements): &(Key, state::Elements)| v3::Forecast {
        topic_id: id,
        block_height: signed(nonce),
        forecaster: Address(*forecaster).to_string(),
        forecast_elements: elements.iter().map(element).collect(),
        extra_data: Vec::new(),
    };
    let forecasts = FORECASTS.get(read, &(id, nonce))?.unwrap_or_default();
    Ok(v3::Forecasts { forecasts: forecasts.iter().map(view).collect() })
}

/// The network's answer of an epoch with all its components.
pub(super) fn bundle(read: &impl Read, id: u64, nonce: u64) -> Answer<v10::NetworkInferenceBundle> {
    let record = record(read, id, nonce)?;
    let mut bundle = answer_view(id, nonce, &record.answer);
    if let Some(opening) = OPENINGS.get(read, &(id, nonce))? {
        bundle.one_out_inferer_forecaster_values = without_inferers(&record.answer, &opening);
    }
    Ok(bundle)
}

/// The same of the newest epoch that has an answer.
pub(super) fn latest_bundle(read: &impl Read, id: u64) -> Answer<v10::GetLatestNetworkInferencesResponse> {
    let nonce = newest(read, id)?;
    Ok(v10::GetLatestNetworkInferencesResponse {
        network_inferences: Some(bundle(read, id, nonce)?),
        inference_block_height: signed(nonce),
    })
}

/// The answer without outliers; the regular one where there are none. Only topics of one label have it.
pub(super) fn resistant(read: &impl Read, id: u64, nonce: u64) -> Answer<v10::NetworkInferenceBundle> {
    if find(read, id)?.spec.labels.multi {
        return Err(QueryError::Bad("topics of several labels have no outlier-resistant answer".into()));
    }
    match RESISTANT.get(read, &(id, nonce))? {
        Some(answer) => Ok(answer_view(id, nonce, &answer)),
        None => bundle(read, id, nonce),
    }
}

/// The same of the newest epoch that has an answer.
pub(super) fn latest_resistant(
    read: &impl Read,
    id: u64,
) -> Answer<v10::GetLatestNetworkInferencesOutlierResistantResponse> {
    let nonce = newest(read, id)?;
    Ok(v10::GetLatestNetworkInferencesOutlierResistantResponse {
        network_inferences: Some(resistant(read, id, nonce)?),
        inference_block_height: signed(nonce),
    })
}

/// Values under the labels of an answer, which count from 1.
fn labelled(answer: &state::Answer, values: impl IntoIterator<Item = Real>) -> Vec<v10::LabeledValue> {
    let view = |((place, column), value): ((usize, &state::AnswerColumn), Real)| v10::LabeledValue {
        label_id: place as u32 + 1,
        label_name: column.label.clone(),
        value: value.to_string(),
    };
    answer.columns.iter().enumerate().zip(values).map(view).collect()
}

fn answer_view(id: u64, nonce: u64, answer: &state::Answer) -> v10::NetworkInferenceBundle {
    let all = |values: &[Real]| labelled(answer, values.iter().copied());
    let mut bundle = v10::NetworkInferenceBundle {
        topic_id: id,
        nonce: signed(nonce),
        combined_value: labelled(answer, answer.columns.iter().map(|c| c.combined)),
        naive_value: labelled(answer, answer.columns.iter().map(|c| c.naive)),
        ..Default::default()
    };
    // What does not exist this epoch is left out, as it is from the losses reputers bring.
    for p in &answer.parts {
        let name = || Address(p.account).to_string();
        if !p.values.is_empty() {
            let one = v10::WorkerInference { worker: name(), values: all(&p.values) };
            match p.forecaster {
                true => bundle.forecaster_values.push(one),
                false => bundle.inferer_values.push(one),
            }
        }
        if !p.one_out.is_empty() {
            let combined_inference = all(&p.one_out);
            match p.forecaster {
                true => bundle
                    .one_out_forecaster_values
                    .push(v10::OneOutForecasterValue { withheld_forecaster: name(), combined_inference }),
                false => bundle
                    .one_out_inferer_values
                    .push(v10::OneOutInfererValue { withheld_inferer: name(), combined_inference }),
            }
        }
        if !p.one_in.is_empty() {
            let one = v10::OneInForecasterValue { forecaster: name(), combined_inference: all(&p.one_in) };
            bundle.one_in_forecaster_values.push(one);
        }
    }
    bundle
}

/// What forecasters imply without each inferer: kept only until the truth is known, and only under the regret rule.
fn without_inferers(answer: &state::Answer, opening: &Opening) -> Vec<v10::OneOutInfererForecasterValue> {
    let Opening::Regret(opening) = opening else { return Vec::new() };
    let (forecasters, inferers): (Vec<&Part>, Vec<&Part>) = answer.parts.iter().partition(|p| p.forecaster);
    let mut all = Vec::new();
    for (k, forecaster) in forecasters.iter().enumerate() {
        for (j, inferer) in inferers.iter().enumerate() {
            let of_label = |rows: &Vec<Vec<Option<Real>>>| rows.get(k)?.get(j).copied().flatten();
            let values: Vec<Real> = opening.one_out_inferer_forecaster.iter().filter_map(of_label).collect();
            if !values.is_empty() {
                all.push(v10::OneOutInfererForecasterValue {
                    forecaster: Address(forecaster.account).to_string(),
                    withheld_inferer: Address(inferer.account).to_string(),
                    combined_inference: labelled(answer, values),
                });
            }
        }
    }
    all
}

/// Losses of an epoch, with the names of its inferers and forecasters.
fn losses(read: &impl Read, id: u64, nonce: u64) -> Answer<(state::EpochLosses, Vec<String>, Vec<String>)> {
    find(read, id)?;
    let (Some(losses), Some(record)) = (LOSSES.get(read, &(id, nonce))?, RECORDS.get(read, &(id, nonce))?)
    else {
        return Err(QueryError::NotFound(format!(
            "no losses found for topic {id} at block {nonce}: not scored yet, or older than what is kept"
        )));
    };
    let of = |forecaster: bool| {
        let members = record.answer.parts.iter().filter(|p| p.forecaster == forecaster);
        members.map(|p| Address(p.account).to_string()).collect::<Vec<String>>()
    };
    let (inferers, forecasters) = (of(false), of(true));
    Ok((losses, inferers, forecasters))
}

/// Losses of everything published for an epoch, as the chain scored it.
pub(super) fn network_losses(read: &impl Read, id: u64, nonce: u64) -> Answer<v3::ValueBundle> {
    let (losses, inferers, forecasters) = losses(read, id, nonce)?;
    Ok(loss_view(id, nonce, None, &losses.network, &inferers, &forecasters))
}

/// Losses as each reputer brought them; none where reputers bring truth.
pub(super) fn reported_losses(read: &impl Read, id: u64, nonce: u64) -> Answer<Vec<v3::ValueBundle>> {
    let (losses, inferers, forecasters) = losses(read, id, nonce)?;
    let view = |(reputer, _, reported): &(Key, u128, Losses)| {
        loss_view(id, nonce, Some(*reputer), reported, &inferers, &forecasters)
    };
    Ok(losses.reports.iter().map(view).collect())
}

/// Losses stand in the state on the scale on which they are compared, which is the scale of this wire.
fn loss_view(
    id: u64,
    nonce: u64,
    reputer: Option<Key>,
    losses: &Losses,
    inferers: &[String],
    forecasters: &[String],
) -> v3::ValueBundle {
    fn known<'a>(
        values: &'a [Option<Real>],
        names: &'a [String],
    ) -> impl Iterator<Item = (String, String)> + 'a {
        let pairs = values.iter().zip(names);
        pairs.filter_map(|(value, name)| Some((name.clone(), (*value)?.to_string())))
    }
    let attributed = |values, names| {
        known(values, names).map(|(worker, value)| v3::WorkerAttributedValue { worker, value }).collect()
    };
    let withheld = |values, names| {
        known(values, names)
            .map(|(worker, value)| v3::WithheldWorkerAttributedValue { worker, value })
            .collect::<Vec<_>>()
    };
    let pairs = losses.one_out_inferer_forecaster.iter().zip(forecasters).map(|(row, forecaster)| {
        let one_out_inferer_values = withheld(row, inferers);
        v3::OneOutInfererForecasterValues { forecaster: forecaster.clone(), one_out_inferer_values }
    });
    v3::ValueBundle {
        topic_id: id,
        reputer_request_nonce: Some(request_nonce(nonce)),
        reputer: reputer.map_or(String::new(), |key| Address(key).to_string()),
        extra_data: Vec::new(),
        combined_value: losses.combined.to_string(),
        inferer_values: attributed(&losses.inferers, inferers),
        forecaster_values: attributed(&losses.forecasters, forecasters),
        naive_value: losses.naive.to_string(),
        one_out_inferer_values: withheld(&losses.one_out_inferers, inferers),
        one_out_forecaster_values: withheld(&losses.one_out_forecasters, forecasters),
        one_in_forecaster_values: attributed(&losses.one_in_forecasters, forecasters),
        one_out_inferer_forecaster_values: pairs.filter(|p| !p.one_out_inferer_values.is_empty()).collect(),
    }
}
