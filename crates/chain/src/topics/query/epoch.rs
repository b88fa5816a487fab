//! Epochs: the answer, who said what, what came of it.

use std::collections::BTreeSet;

use dodona_mechanism::{Real, topic::combine::Losses};
use dodona_proto::{
    Address,
    topics::{
        self as wire, Column, ForecastElement, ForecastRow, InferenceRow, LabelNumber, LossBundle,
        MemberNumber, PairNumber, QueryEpochResponse, QueryEpochsRequest, QueryEpochsResponse,
        QueryInputsRequest, QueryInputsResponse, QueryLossesResponse, SealRow,
    },
};
use dodona_store::{Read, StoreError};

use super::{ViewError, address, page_size, state_name};
use crate::topics::{
    label,
    state::{
        Answer, AnswerColumn, EPOCHS, Epoch, EpochState, FORECASTS, Key, LOSSES, NONCES, PAYLOADS, Part,
        RECORDS, REGISTRATIONS, REGISTRY, RESISTANT, SEALS, TOPICS, UNOPENED, role,
    },
};

/// One epoch; nonce 0 is the newest that has an inference.
pub fn epoch(read: &impl Read, id: u64, nonce: u64) -> Result<Option<QueryEpochResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let nonce = if nonce == 0 { topic.last_combined.nonce } else { nonce };
    let Some(epoch) = EPOCHS.get(read, &(id, nonce))? else { return Ok(None) };
    view(read, id, nonce, &epoch).map(Some)
}

/// The whole answer without outliers, as an epoch's: the regular one where there are none. Only topics of one label.
pub fn resistant(read: &impl Read, id: u64, nonce: u64) -> Result<Option<QueryEpochResponse>, ViewError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    if topic.spec.labels.multi {
        return Err(ViewError::Bad("topics of several labels have no outlier-resistant answer".into()));
    }
    let nonce = if nonce == 0 { topic.last_combined.nonce } else { nonce };
    let Some(mut view) = epoch(read, id, nonce)? else { return Ok(None) };
    if let Some(answer) = RESISTANT.get(read, &(id, nonce))? {
        put_answer(read, id, &answer, &mut view)?;
    }
    Ok(Some(view))
}

/// Contributions after which a page of epochs ends: an epoch may have ten thousand.
const MAX_PARTS: usize = 20_000;

/// Epochs by consecutive number, oldest first. Only what is retained can be asked for; a page of epochs with many members
/// has fewer than were asked for, and none only where there are none.
pub fn epochs(read: &impl Read, q: &QueryEpochsRequest) -> Result<Option<QueryEpochsResponse>, StoreError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let first = q.from_epoch.max(topic.oldest);
    let (mut epochs, mut parts) = (Vec::new(), 0);
    for ((of, _), nonce) in NONCES.scan_from(read, &(id, first), page_size(q.limit))? {
        if of != id || parts > MAX_PARTS {
            break;
        }
        if let Some(epoch) = EPOCHS.get(read, &(id, nonce))? {
            let shown = view(read, id, nonce, &epoch)?;
            parts += shown.parts.len();
            epochs.push(shown);
        }
    }
    Ok(Some(QueryEpochsResponse { epochs }))
}

fn name(read: &impl Read, id: u64, as_role: u8, account: Key) -> Result<String, StoreError> {
    Ok(REGISTRATIONS.get(read, &(id, as_role, account))?.map_or(String::new(), |r| r.name))
}

fn numbers(values: &[(String, Real)]) -> Vec<LabelNumber> {
    values.iter().map(|(label, value)| LabelNumber { label: label.clone(), value: value.get() }).collect()
}

fn column(column: &AnswerColumn) -> Column {
    let i = &column.interval;
    let [p2, p16, p50, p84, p98] = [i.p2, i.p16, i.p50, i.p84, i.p98].map(Real::get);
    Column {
        label: column.label.clone(),
        combined: column.combined.get(),
        naive: column.naive.get(),
        mean: column.mean.get(),
        median: column.median.get(),
        interval: Some(wire::Interval { p2, p16, p50, p84, p98 }),
        truth: None,
    }
}

fn put_answer(
    read: &impl Read,
    id: u64,
    answer: &Answer,
    out: &mut QueryEpochResponse,
) -> Result<(), StoreError> {
    out.columns = answer.columns.iter().map(column).collect();
    if let Some(first) = out.columns.first().cloned() {
        out.combined = first.combined;
        out.naive = first.naive;
        out.mean = first.mean;
        out.median = first.median;
        out.interval = first.interval;
    }
    out.combined_at = answer.at;
    out.open_trail = hex::encode(answer.trail);
    out.parts = Vec::with_capacity(answer.parts.len());
    for p in &answer.parts {
        out.parts.push(part(p, name(read, id, role::WORKER, p.account)?));
    }
    Ok(())
}

fn view(read: &impl Read, id: u64, nonce: u64, epoch: &Epoch) -> Result<QueryEpochResponse, StoreError> {
    let mut out = QueryEpochResponse {
        topic_id: id,
        nonce,
        epoch: epoch.index,
        state: state_name(epoch.state).into(),
        worker_last: epoch.worker_last,
        truth_first: epoch.truth_first,
        truth_last: epoch.truth_last,
        ..Default::default()
    };
    if let EpochState::Void(reason) = epoch.state {
        out.void_reason = reason.text().into();
    }
    let Some(record) = RECORDS.get(read, &(id, nonce))? else { return Ok(out) };
    put_answer(read, id, &record.answer, &mut out)?;
    if let Some(answer) = RESISTANT.get(read, &(id, nonce))? {
        out.resistant = answer.columns.iter().map(column).collect();
        let stays = |p: &&Part| answer.parts.iter().any(|q| q.account == p.account && !q.forecaster);
        let outliers = record.answer.parts.iter().filter(|p| !p.forecaster && !stays(p));
        out.outliers = outliers.map(|p| Address(p.account).to_string()).collect();
    }
    let Some(outcome) = &record.outcome else { return Ok(out) };
    for column in &mut out.columns {
        let truth = outcome.truth.iter().find(|(label, _)| *label == column.label);
        column.truth = truth.map(|(_, value)| value.get());
    }
    out.truth = out.columns.first().and_then(|column| column.truth);
    out.network_loss = Some(outcome.losses.network.get());
    out.mean_loss = Some(outcome.losses.mean.get());
    out.median_loss = Some(outcome.losses.median.get());
    out.reward = outcome.reward.to_string();
    out.topic_reward = outcome.budget.to_string();
    out.scored_at = outcome.at;
    out.judge_trail = hex::encode(outcome.trail);
    for r in &outcome.reports {
        out.truths.push(wire::TruthReport {
            address: Address(r.account).to_string(),
            name: name(read, id, role::REPUTER, r.account)?,
            value: r.values.first().map_or(0.0, |(_, value)| value.get()),
            score: r.score.get(),
            reward: r.reward.to_string(),
            values: numbers(&r.values),
            stake: r.stake.to_string(),
            combined_loss: r.combined.map(Real::get),
        });
    }
    Ok(out)
}

fn part(p: &Part, name: String) -> wire::Part {
    let all = |values: &[Real]| values.iter().map(|v| v.get()).collect::<Vec<f64>>();
    wire::Part {
        address: Address(p.account).to_string(),
        name,
        forecaster: p.forecaster,
        value: p.values.first().map_or(0.0, |v| v.get()),
        weight: p.weight.get(),
        one_out: p.one_out.first().map(|v| v.get()),
        loss: p.loss.map(Real::get),
        score: p.score.map(Real::get),
        reward: p.reward.to_string(),
        values: all(&p.values),
        one_outs: all(&p.one_out),
        one_in: p.one_in.first().map(|v| v.get()),
        one_ins: all(&p.one_in),
    }
}

/// What was said in an epoch: the payloads of an open window, or what counted when it closed. Nonce 0: the newest
/// epoch opened.
pub fn inputs(read: &impl Read, q: &QueryInputsRequest) -> Result<Option<QueryInputsResponse>, ViewError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let nonce = if q.nonce == 0 { topic.last_opened } else { q.nonce };
    let only = if q.address.is_empty() { None } else { Some(address(&q.address)?.0) };
    let wanted = |account: &Key| only.is_none_or(|only| only == *account);
    let Some(epoch) = EPOCHS.get(read, &(id, nonce))? else { return Ok(None) };
    let mut labels = REGISTRY.get(read, &(id, nonce))?.unwrap_or_default();
    if !topic.spec.labels.multi {
        labels = vec![label::SINGLE.to_string()];
    }
    let mut out = QueryInputsResponse { nonce, open: epoch.state == EpochState::Open, ..Default::default() };
    if out.open {
        for ((.., account), payload) in PAYLOADS.scan_prefix(read, &(id, nonce), usize::MAX)? {
            if !wanted(&account) {
                continue;
            }
            if let Some(vector) = &payload.inference {
                let mut values = vec![topic.spec.labels.default; labels.len()];
                for (place, value) in vector {
                    if let Some(slot) = values.get_mut(*place as usize) {
                        *slot = *value;
                    }
                }
                out.inferences.push(inference(account, &labels, &values));
            }
            if !payload.forecast.is_empty() {
                out.forecasts.push(forecast(account, &payload.forecast));
            }
        }
        for ((.., account), seal) in SEALS.scan_prefix(read, &(id, nonce), usize::MAX)? {
            if wanted(&account) {
                out.seals.push(SealRow { address: Address(account).to_string(), seal: seal.to_vec() });
            }
        }
    } else {
        let record = RECORDS.get(read, &(id, nonce))?;
        for p in record.iter().flat_map(|r| &r.answer.parts).filter(|p| !p.forecaster && wanted(&p.account)) {
            out.inferences.push(inference(p.account, &labels, &p.values));
        }
        for (account, elements) in FORECASTS.get(read, &(id, nonce))?.unwrap_or_default() {
            if wanted(&account) {
                out.forecasts.push(forecast(account, &elements));
            }
        }
        let silent = UNOPENED.scan_prefix(read, &(id, nonce), usize::MAX)?;
        let silent: BTreeSet<Key> = silent.into_iter().map(|((.., account), ())| account).collect();
        out.unopened = silent.into_iter().filter(wanted).map(|a| Address(a).to_string()).collect();
    }
    out.labels = labels;
    Ok(Some(out))
}

fn inference(account: Key, labels: &[String], values: &[Real]) -> InferenceRow {
    let values = labels.iter().zip(values).map(|(l, v)| LabelNumber { label: l.clone(), value: v.get() });
    InferenceRow { address: Address(account).to_string(), values: values.collect() }
}

fn forecast(account: Key, elements: &[(Key, Real)]) -> ForecastRow {
    let element = |(inferer, loss): &(Key, Real)| ForecastElement {
        inferer: Address(*inferer).to_string(),
        loss: loss.get(),
    };
    ForecastRow { address: Address(account).to_string(), elements: elements.iter().map(element).collect() }
}

/// Losses of an epoch; nonce 0: the newest scored.
pub fn losses(read: &impl Read, id: u64, nonce: u64) -> Result<Option<QueryLossesResponse>, StoreError> {
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let nonce = if nonce == 0 { topic.last_scored.nonce } else { nonce };
    let (Some(losses), Some(record)) = (LOSSES.get(read, &(id, nonce))?, RECORDS.get(read, &(id, nonce))?)
    else {
        return Ok(None);
    };
    let count = record.answer.parts.iter().filter(|p| !p.forecaster).count();
    let names: Vec<String> = record.answer.parts.iter().map(|p| Address(p.account).to_string()).collect();
    let (inferers, forecasters) = names.split_at(count);
    let reports = losses.reports.iter().map(|(account, stake, bundle)| LossBundle {
        reputer: Address(*account).to_string(),
        stake: stake.to_string(),
        ..loss_bundle(bundle, inferers, forecasters)
    });
    Ok(Some(QueryLossesResponse {
        nonce,
        logarithms: losses.logarithms,
        network: Some(loss_bundle(&losses.network, inferers, forecasters)),
        reports: reports.collect(),
    }))
}

fn loss_bundle(losses: &Losses, inferers: &[String], forecasters: &[String]) -> LossBundle {
    let list = |values: &[Option<Real>], names: &[String]| -> Vec<MemberNumber> {
        let known = values.iter().zip(names).filter_map(|(value, name)| Some((name, (*value)?)));
        known.map(|(name, value)| MemberNumber { address: name.clone(), value: value.get() }).collect()
    };
    let mut pairs = Vec::new();
    for (row, forecaster) in losses.one_out_inferer_forecaster.iter().zip(forecasters) {
        for MemberNumber { address: inferer, value } in list(row, inferers) {
            pairs.push(PairNumber { forecaster: forecaster.clone(), inferer, value });
        }
    }
    LossBundle {
        reputer: String::new(),
        stake: String::new(),
        combined: losses.combined.get(),
        naive: losses.naive.get(),
        inferers: list(&losses.inferers, inferers),
        forecasters: list(&losses.forecasters, forecasters),
        one_out_inferers: list(&losses.one_out_inferers, inferers),
        one_out_forecasters: list(&losses.one_out_forecasters, forecasters),
        one_in_forecasters: list(&losses.one_in_forecasters, forecasters),
        one_out_inferer_forecaster: pairs,
    }
}
