//! Requests of `emissions.v10`, one function each. Signed bundles are cut out of the message as they came, because
//! their signature is over those bytes.

use dodona_proto::{
    Address,
    emissions::{v3, v9, v10},
    topics as native,
};
use prost::Message;

use super::from_logarithm;
use crate::{
    ctx::Ctx,
    error::Failure,
    gas,
    topics::{
        handle::{self, TopicError},
        lists, stake,
        state::TOPICS,
    },
};

/// `InsertWorkerPayloadRequest`, its bundle's signed part left as bytes.
#[derive(Clone, PartialEq, Message)]
pub struct InsertWorkerPayload {
    /// Who pays.
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(message, optional, tag = "2")]
    bundle: Option<WorkerBundle>,
}

#[derive(Clone, PartialEq, Message)]
struct WorkerBundle {
    #[prost(string, tag = "1")]
    worker: String,
    #[prost(message, optional, tag = "2")]
    nonce: Option<v3::Nonce>,
    #[prost(uint64, tag = "3")]
    topic_id: u64,
    #[prost(bytes = "vec", tag = "4")]
    signed: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
    #[prost(string, tag = "6")]
    pubkey: String,
}

/// `InsertReputerPayloadRequest`, its bundle's signed part left as bytes.
#[derive(Clone, PartialEq, Message)]
pub struct InsertReputerPayload {
    /// Who pays.
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(message, optional, tag = "2")]
    bundle: Option<ReputerBundle>,
}

#[derive(Clone, PartialEq, Message)]
struct ReputerBundle {
    #[prost(bytes = "vec", tag = "1")]
    signed: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
    #[prost(string, tag = "3")]
    pubkey: String,
}

fn bad(field: &'static str, cause: impl Into<String>) -> TopicError {
    TopicError::Value { field, cause: cause.into() }
}

/// A block height or a number of blocks, which those clients send with a sign.
fn blocks(field: &'static str, value: i64) -> Result<u64, TopicError> {
    u64::try_from(value).map_err(|_| bad(field, format!("{value} is negative")))
}

/// Checks a bundle's signature over the bytes as they came; gives its author.
fn author(ctx: &Ctx, signed: &[u8], signature: &[u8], pubkey: &str) -> Result<Address, TopicError> {
    let key: [u8; 33] = hex::decode(pubkey)
        .ok()
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| bad("pubkey", "needs 66 hex digits"))?;
    ctx.check_word(&key, signed, signature).map_err(|e| bad("signature", format!("of the bundle: {e}")))?;
    Ok(Address::of_key(&key))
}

pub(crate) fn insert_worker_payload(
    ctx: &mut Ctx,
    from: Address,
    m: &InsertWorkerPayload,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::SIGNATURE, "bundle signature")?;
    let bundle = m.bundle.as_ref().ok_or_else(|| bad("worker_data_bundle", "is missing"))?;
    let nonce = bundle.nonce.as_ref().map_or(0, |nonce| nonce.block_height);
    let inner = v10::InputInferenceForecastBundle::decode(bundle.signed.as_slice())
        .map_err(|e| bad("inference_forecasts_bundle", e.to_string()))?;
    let worker = author(ctx, &bundle.signed, &bundle.signature, &bundle.pubkey)?;
    let agree = |what: &'static str, who: &str, topic: u64, height: i64| {
        if who == worker.to_string() && topic == bundle.topic_id && height == nonce {
            return Ok(());
        }
        Err(bad(what, "its worker, topic and nonce must be those of the bundle, and the worker its signer"))
    };
    agree("worker_data_bundle", &bundle.worker, bundle.topic_id, nonce)?;
    let mut payload = native::MsgSubmitPayload {
        sender: worker.to_string(),
        topic_id: bundle.topic_id,
        nonce: blocks("nonce", nonce)?,
        ..Default::default()
    };
    if let Some(i) = &inner.inference {
        agree("inference", &i.inferer, i.topic_id, i.block_height)?;
        if i.values.is_empty() {
            payload.inference = i.value.clone();
        }
        payload.values = i
            .values
            .iter()
            .map(|v| native::LabelValue { label: v.label.clone(), value: v.value.clone() })
            .collect();
    }
    if let Some(f) = &inner.forecast {
        agree("forecast", &f.forecaster, f.topic_id, f.block_height)?;
        let raw = TOPICS.get(ctx.state, &bundle.topic_id)?.is_some_and(|t| t.spec.regret.allow_negative);
        for element in &f.forecast_elements {
            // Later words about the same inferer are dropped, as those clients expect.
            if payload.forecast.iter().any(|known| known.inferer == element.inferer) {
                continue;
            }
            let loss = match raw {
                true => Some(element.value.clone()),
                false => from_logarithm(&element.value),
            };
            let loss = loss.ok_or_else(|| bad("forecast value", "is no logarithm of a loss"))?;
            payload.forecast.push(native::Forecast { inferer: element.inferer.clone(), loss });
        }
    }
    handle::submit_for(ctx, from, worker, &payload)
}

pub(crate) fn insert_reputer_payload(
    ctx: &mut Ctx,
    from: Address,
    m: &InsertReputerPayload,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::SIGNATURE, "bundle signature")?;
    let bundle = m.bundle.as_ref().ok_or_else(|| bad("reputer_value_bundle", "is missing"))?;
    let values = v9::InputValueBundle::decode(bundle.signed.as_slice())
        .map_err(|e| bad("value_bundle", e.to_string()))?;
    let reputer = author(ctx, &bundle.signed, &bundle.signature, &bundle.pubkey)?;
    if values.reputer != reputer.to_string() {
        return Err(bad("value_bundle", "its reputer must be its signer").into());
    }
    let nonce = values.reputer_request_nonce.as_ref().and_then(|n| n.reputer_nonce.as_ref());
    let attributed = |list: &[v9::InputWorkerAttributedValue]| -> Vec<native::MemberLoss> {
        let one = |v: &v9::InputWorkerAttributedValue| native::MemberLoss {
            address: v.worker.clone(),
            loss: v.value.clone(),
        };
        list.iter().map(one).collect()
    };
    let withheld = |list: &[v9::InputWithheldWorkerAttributedValue]| -> Vec<native::MemberLoss> {
        let one = |v: &v9::InputWithheldWorkerAttributedValue| native::MemberLoss {
            address: v.worker.clone(),
            loss: v.value.clone(),
        };
        list.iter().map(one).collect()
    };
    let report = native::MsgReportLosses {
        sender: reputer.to_string(),
        topic_id: values.topic_id,
        nonce: blocks("nonce", nonce.map_or(0, |n| n.block_height))?,
        combined: values.combined_value.clone(),
        naive: values.naive_value.clone(),
        inferers: attributed(&values.inferer_values),
        forecasters: attributed(&values.forecaster_values),
        one_out_inferers: withheld(&values.one_out_inferer_values),
        one_out_forecasters: withheld(&values.one_out_forecaster_values),
        one_in_forecasters: attributed(&values.one_in_forecaster_values),
        one_out_inferer_forecaster: values
            .one_out_inferer_forecaster_values
            .iter()
            .map(|row| native::ForecasterLosses {
                forecaster: row.forecaster.clone(),
                without: withheld(&row.one_out_inferer_values),
            })
            .collect(),
    };
    handle::losses_for(ctx, from, reputer, &report)
}

pub(crate) fn create_new_topic(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::CreateNewTopicRequest,
) -> Result<(), Failure> {
    let title: String = m.metadata.chars().filter(|c| !c.is_control()).take(20).collect();
    let multi = m.output_arity() == v10::TopicOutputArity::Multi;
    let epoch_length = blocks("epoch_length", m.epoch_length)?;
    let lag = blocks("ground_truth_lag", m.ground_truth_lag)?;
    if lag < epoch_length {
        return Err(TopicError::Spec {
            field: "ground_truth_lag",
            cause: "must not be below epoch_length".into(),
        }
        .into());
    }
    let spec = native::TopicSpec {
        title: if title.trim().is_empty() { "topic".into() } else { title.trim().into() },
        metadata: m.metadata.clone(),
        loss_method: m.loss_method.clone(),
        rule: native::Rule::Regret.into(),
        truth_mode: native::TruthMode::Losses.into(),
        payout: native::Payout::Entropy.into(),
        epoch_length,
        worker_window: blocks("worker_submission_window", m.worker_submission_window)?,
        truth_lag: lag,
        truth_window: epoch_length,
        p_norm: m.p_norm.clone(),
        c_norm: m.c_norm.clone(),
        alpha_regret: m.alpha_regret.clone(),
        epsilon: m.epsilon.clone(),
        allow_negative: m.allow_negative,
        merit_alpha: m.merit_sortition_alpha.clone(),
        inferer_quantile: m.active_inferer_quantile.clone(),
        forecaster_quantile: m.active_forecaster_quantile.clone(),
        reputer_quantile: m.active_reputer_quantile.clone(),
        classification: m.topic_type() == v10::TopicType::Classification,
        multi,
        require_unity: m.require_unity,
        unity_tolerance: m.unity_tolerance.clone(),
        max_labels: u32::try_from(m.max_labels_per_submission).unwrap_or(u32::MAX),
        labels: m.label_whitelist.clone(),
        label_default: m.label_default_value.clone(),
        label_case_sensitive: m.label_case_sensitive,
        worker_list: m.enable_worker_whitelist,
        reputer_list: m.enable_reputer_whitelist,
        ..Default::default()
    };
    let message = native::MsgCreateTopic { creator: m.creator.clone(), spec: Some(spec) };
    handle::create_topic(ctx, from, &message)
}

pub(crate) fn register(ctx: &mut Ctx, from: Address, m: &v10::RegisterRequest) -> Result<(), Failure> {
    let role = if m.is_reputer { native::Role::Reputer } else { native::Role::Worker };
    let message = native::MsgRegister {
        sender: m.sender.clone(),
        topic_id: m.topic_id,
        role: role.into(),
        owner: m.owner.clone(),
        name: String::new(),
    };
    handle::register(ctx, from, &message)
}

pub(crate) fn remove_registration(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::RemoveRegistrationRequest,
) -> Result<(), Failure> {
    let role = if m.is_reputer { native::Role::Reputer } else { native::Role::Worker };
    let message = native::MsgUnregister { sender: m.sender.clone(), topic_id: m.topic_id, role: role.into() };
    handle::unregister(ctx, from, &message)
}

pub(crate) fn add_stake(ctx: &mut Ctx, from: Address, m: &v10::AddStakeRequest) -> Result<(), Failure> {
    let (sender, topic_id, amount) = (m.sender.clone(), m.topic_id, m.amount.clone());
    stake::add(ctx, from, &native::MsgAddStake { sender, topic_id, amount })
}

pub(crate) fn remove_stake(ctx: &mut Ctx, from: Address, m: &v10::RemoveStakeRequest) -> Result<(), Failure> {
    let (sender, topic_id, amount) = (m.sender.clone(), m.topic_id, m.amount.clone());
    stake::remove(ctx, from, &native::MsgRemoveStake { sender, topic_id, amount })
}

pub(crate) fn cancel_remove_stake(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::CancelRemoveStakeRequest,
) -> Result<(), Failure> {
    let (sender, topic_id) = (m.sender.clone(), m.topic_id);
    stake::cancel(ctx, from, &native::MsgCancelRemoveStake { sender, topic_id })
}

pub(crate) fn delegate_stake(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::DelegateStakeRequest,
) -> Result<(), Failure> {
    let (sender, topic_id, reputer, amount) =
        (m.sender.clone(), m.topic_id, m.reputer.clone(), m.amount.clone());
    stake::delegate(ctx, from, &native::MsgDelegateStake { sender, topic_id, reputer, amount })
}

pub(crate) fn remove_delegate_stake(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::RemoveDelegateStakeRequest,
) -> Result<(), Failure> {
    let (sender, topic_id, reputer, amount) =
        (m.sender.clone(), m.topic_id, m.reputer.clone(), m.amount.clone());
    stake::remove_delegated(ctx, from, &native::MsgRemoveDelegateStake { sender, topic_id, reputer, amount })
}

pub(crate) fn cancel_remove_delegate_stake(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::CancelRemoveDelegateStakeRequest,
) -> Result<(), Failure> {
    let (sender, topic_id, reputer) = (m.sender.clone(), m.topic_id, m.reputer.clone());
    stake::cancel_delegated(ctx, from, &native::MsgCancelRemoveDelegateStake { sender, topic_id, reputer })
}

pub(crate) fn reward_delegate_stake(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::RewardDelegateStakeRequest,
) -> Result<(), Failure> {
    let (sender, topic_id, reputer) = (m.sender.clone(), m.topic_id, m.reputer.clone());
    stake::claim(ctx, from, &native::MsgClaimDelegateRewards { sender, topic_id, reputer })
}

pub(crate) fn fund_topic(ctx: &mut Ctx, from: Address, m: &v10::FundTopicRequest) -> Result<(), Failure> {
    let (sender, topic_id, amount) = (m.sender.clone(), m.topic_id, m.amount.clone());
    handle::fund_topic(ctx, from, &native::MsgFundTopic { sender, topic_id, amount })
}

fn edit(
    ctx: &mut Ctx,
    from: Address,
    list: native::List,
    topic_id: u64,
    add: &[String],
    remove: &[String],
) -> Result<(), Failure> {
    let (add, remove) = (add.to_vec(), remove.to_vec());
    lists::edit(
        ctx,
        from,
        &native::MsgEditList { sender: from.to_string(), list: list.into(), topic_id, add, remove },
    )
}

pub(crate) fn bulk_add_workers(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::BulkAddToTopicWorkerWhitelistRequest,
) -> Result<(), Failure> {
    edit(ctx, from, native::List::TopicWorker, m.topic_id, &m.addresses, &[])
}

pub(crate) fn bulk_add_reputers(
    ctx: &mut Ctx,
    from: Address,
    m: &v10::BulkAddToTopicReputerWhitelistRequest,
) -> Result<(), Failure> {
    edit(ctx, from, native::List::TopicReputer, m.topic_id, &m.addresses, &[])
}
