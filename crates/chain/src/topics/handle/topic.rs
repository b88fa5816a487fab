//! A topic's own life: created, changed where it may change, paid for.

use dodona_mechanism::Real;
use dodona_proto::{
    Address,
    topics::{MsgCreateTopic, MsgFundTopic, MsgUpdateTopic},
};

use super::{
    Checked, TopicError, charge, check_spec, load_topic, positive, require_fee,
    spec::{canonical_list, check_caps, check_size, words},
};
use crate::{
    accounts, bank,
    ctx::Ctx,
    emissions,
    error::Failure,
    gas,
    topics::{
        lists,
        state::{EPOCHS, EpochState, LABELS, NEXT_ID, TEXTS, TOPICS, Topic},
        tell,
    },
};

/// `MsgCreateTopic`: charges the creation fee; the topic sleeps until it has stake and funding.
pub(crate) fn create_topic(ctx: &mut Ctx, from: Address, m: &MsgCreateTopic) -> Result<(), Failure> {
    let texts = m.spec.as_ref().map_or(0, |spec| spec.labels.len());
    ctx.gas.charge(gas::CREATE_TOPIC + gas::LIST_ENTRY * texts as u64, "create topic")?;
    let params = ctx.params;
    let id = NEXT_ID.get(ctx.state)?.unwrap_or(1);
    let Checked { spec, texts, labels } = check_spec(m.spec.as_ref(), params)?;
    if !lists::may_create(ctx.state, params, from)? {
        return Err(TopicError::NotPermitted { who: from, what: "create topics" }.into());
    }
    require_fee(ctx, from, params.create_topic_fee)?;
    // Nothing below can fail.
    bank::transfer(ctx.state, from, accounts::ecosystem(), params.create_topic_fee)?;
    NEXT_ID.put(ctx.state, &(id + 1));
    let topic = Topic::new(id, from, spec, ctx.height);
    TOPICS.put(ctx.state, &id, &topic);
    TEXTS.put(ctx.state, &id, &texts);
    if !labels.is_empty() {
        LABELS.put(ctx.state, &id, &labels);
    }
    let view = emissions::topic_view(ctx.state, &topic)?;
    ctx.emit(tell::topic_created(&topic, view));
    Ok(())
}

/// `MsgUpdateTopic`: what is absent stays as it is.
pub(crate) fn update_topic(ctx: &mut Ctx, from: Address, m: &MsgUpdateTopic) -> Result<(), Failure> {
    let entries = m.labels.as_ref().map_or(0, |list| list.labels.len());
    ctx.gas.charge(gas::TOPIC_WRITE + gas::LIST_ENTRY * entries as u64, "update topic")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let mut texts = TEXTS.get(ctx.state, &topic.id)?.unwrap_or_default();
    let params = ctx.params;
    if topic.creator != from {
        return Err(TopicError::NotPermitted { who: from, what: "update a topic it did not create" }.into());
    }
    let guarded = [
        ("merit_alpha", m.merit_alpha.is_some()),
        ("max_labels", m.max_labels.is_some()),
        ("labels", m.labels.is_some()),
        ("label_default", m.label_default.is_some()),
        ("max_inferers", m.max_inferers.is_some()),
        ("max_forecasters", m.max_forecasters.is_some()),
        ("max_reputers", m.max_reputers.is_some()),
    ];
    if let Some((field, _)) = guarded.iter().find(|(_, changed)| *changed) {
        refuse_while_open(ctx, &topic, field)?;
    }

    let most = params.max_string_length as usize;
    if let Some(text) = &m.metadata {
        texts.metadata = words("metadata", text, 0, most)?;
    }
    if let Some(text) = &m.truth_source {
        texts.truth_source = words("truth_source", text, 0, 255)?;
    }
    if let Some(text) = &m.resolution {
        texts.resolution = words("resolution", text, 0, 1_000)?;
    }
    let real = |field: &'static str, text: &Option<String>, before: Real| match text {
        None => Ok(before),
        Some(text) => text.parse::<Real>().map_err(|e| TopicError::Spec { field, cause: e.to_string() }),
    };
    let spec = &mut topic.spec;
    spec.regret.alpha = real("alpha_regret", &m.alpha_regret, spec.regret.alpha)?;
    spec.regret.p_norm = real("p_norm", &m.p_norm, spec.regret.p_norm)?;
    spec.regret.c_norm = real("c_norm", &m.c_norm, spec.regret.c_norm)?;
    spec.hearing.merit_alpha = real("merit_alpha", &m.merit_alpha, spec.hearing.merit_alpha)?;
    spec.labels.default = real("label_default", &m.label_default, spec.labels.default)?;
    spec.labels.max = m.max_labels.unwrap_or(spec.labels.max);
    let asked = [m.max_inferers, m.max_forecasters, m.max_reputers];
    for (cap, asked) in spec.hearing.caps.iter_mut().zip(asked) {
        *cap = asked.unwrap_or(*cap);
    }
    let labels = match &m.labels {
        None => None,
        Some(list) => Some(canonical_list(&list.labels, &spec.labels, params)?),
    };
    if let Some(labels) = &labels {
        spec.labels.listed = !labels.is_empty();
    }
    super::spec::validate(spec)?;
    if asked.iter().any(Option::is_some) || labels.is_some() {
        let listed = match &labels {
            Some(labels) => labels.len(),
            None => LABELS.get(ctx.state, &m.topic_id)?.map_or(0, |labels| labels.len()),
        };
        check_caps(spec, params)?;
        check_size(spec, listed, params)?;
    }
    // Nothing below can fail.
    match labels {
        Some(labels) if labels.is_empty() => LABELS.delete(ctx.state, &topic.id),
        Some(labels) => LABELS.put(ctx.state, &topic.id, &labels),
        None => {}
    }
    TEXTS.put(ctx.state, &topic.id, &texts);
    TOPICS.put(ctx.state, &topic.id, &topic);
    let view = emissions::topic_view(ctx.state, &topic)?;
    ctx.emit(tell::topic_updated(&topic, view));
    Ok(())
}

/// Some settings must not change between two payloads of the same epoch.
fn refuse_while_open(ctx: &Ctx, topic: &Topic, field: &'static str) -> Result<(), Failure> {
    // Questions are at least an epoch apart and a window is never longer, so only the newest can be open.
    match EPOCHS.get(ctx.state, &(topic.id, topic.last_opened))? {
        Some(epoch) if epoch.state == EpochState::Open => {
            let (nonce, last) = (topic.last_opened, epoch.worker_last);
            Err(TopicError::Guarded { field, nonce, last }.into())
        }
        _ => Ok(()),
    }
}

/// `MsgFundTopic`: anybody pays what they want. It buys no claim: it makes the topic weigh more, and replaces tokens
/// that would have been minted.
pub(crate) fn fund_topic(ctx: &mut Ctx, from: Address, m: &MsgFundTopic) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "fund topic")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let amount = positive(&m.amount)?;
    require_fee(ctx, from, amount)?;
    // Nothing below can fail.
    topic.funded = topic.funded.saturating_add(amount);
    charge(ctx, &mut topic, from, amount)?;
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(tell::topic_funded(topic.id, from, amount));
    Ok(())
}
