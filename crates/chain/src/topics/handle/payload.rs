//! A worker's word for an epoch.

use dodona_mechanism::{Real, topic::combine::Rule};
use dodona_proto::{Address, topics::MsgSubmitPayload};

use super::{
    TopicError, charge, load_topic, no_epoch, number, parse_address, require_fee, require_registered,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    gas,
    text::printable,
    topics::{
        admit::{self, Admitted, Candidate},
        label, lists,
        state::{
            EPOCHS, Elements, Epoch, EpochState, MEMBERS, PAYLOADS, Payload, Places, REGISTRY, SEALS, TOPICS,
            Topic, part, role,
        },
        tell,
    },
};

/// `MsgSubmitPayload`: a worker's inference and forecast for one epoch. What cannot count is refused; what may count
/// but finds no room is received, and the receipt says so.
pub(crate) fn submit_payload(ctx: &mut Ctx, from: Address, m: &MsgSubmitPayload) -> Result<(), Failure> {
    submit(ctx, from, from, m)
}

/// The same, where somebody else pays.
pub(crate) fn submit(
    ctx: &mut Ctx,
    payer: Address,
    from: Address,
    m: &MsgSubmitPayload,
) -> Result<(), Failure> {
    charge_gas(ctx, m)?;
    let topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::WORKER, from)?;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, m.nonce))?.ok_or_else(|| no_epoch(&topic, m.nonce))?;
    if let Some(last) = epoch.seal_last(&topic.spec) {
        return Err(TopicError::SealedTopic { topic: topic.id, last }.into());
    }
    receive(ctx, topic, epoch, Word { payer, from, fee: ctx.params.data_sending_fee, payload: m })
}

/// Gas of the work a payload makes.
pub(super) fn charge_gas(ctx: &mut Ctx, m: &MsgSubmitPayload) -> Result<(), Failure> {
    let entries = m.forecast.len() + m.values.len();
    Ok(ctx.gas.charge(gas::SUBMIT + gas::FORECAST_ELEMENT * entries as u64, "payload")?)
}

/// A payload, whose it is, and what it still costs whom.
pub(super) struct Word<'a> {
    pub payer: Address,
    pub from: Address,
    pub fee: u128,
    pub payload: &'a MsgSubmitPayload,
}

/// What every payload must satisfy, sealed before or not; then takes it in, if there is room.
pub(super) fn receive(ctx: &mut Ctx, mut topic: Topic, mut epoch: Epoch, word: Word) -> Result<(), Failure> {
    let Word { payer, from, fee, payload: m } = word;
    lists::require(ctx, &topic, role::WORKER, from)?;
    let (nonce, height) = (m.nonce, ctx.height);
    let first = nonce + 1;
    if epoch.state != EpochState::Open || height < first || height > epoch.worker_last {
        let (last, next) = (epoch.worker_last, topic.next_open);
        return Err(TopicError::WorkerWindow { nonce, first, last, height, next }.into());
    }
    refuse_second_word(ctx, &topic, nonce, from)?;
    let (inference, registry) = inference(ctx, &topic, m)?;
    let forecast = forecast(ctx, &topic, m)?;
    if inference.is_none() && forecast.is_empty() {
        return Err(TopicError::Empty.into());
    }
    require_fee(ctx, payer, fee)?;
    // Nothing below can fail.
    charge(ctx, &mut topic, payer, fee)?;
    SEALS.delete(ctx.state, &(topic.id, nonce, from.0));
    let mut payload = Payload { inference, forecast };
    let mut refused = Vec::new();
    for part in [part::INFERER, part::FORECASTER] {
        let speaks =
            if part == part::INFERER { payload.inference.is_some() } else { !payload.forecast.is_empty() };
        if !speaks {
            continue;
        }
        let candidate = Candidate { part, account: from.0, stake: 0 };
        if let Admitted::No(least) = admit::admit(ctx, &mut topic, nonce, &mut epoch, &candidate)? {
            let (what, cap) = (part::name(part), admit::cap(&topic, part, ctx.params));
            refused.push(format!(
                "received, but not admitted as {what}: all {cap} heard in epoch {nonce} have a merit of {least} or more"
            ));
            match part {
                part::INFERER => payload.inference = None,
                _ => payload.forecast.clear(),
            }
        }
    }
    if payload.inference.is_some() && topic.spec.labels.multi {
        REGISTRY.put(ctx.state, &(topic.id, nonce), &registry);
    }
    let counts = payload.inference.is_some() || !payload.forecast.is_empty();
    if counts {
        PAYLOADS.put(ctx.state, &(topic.id, nonce, from.0), &payload);
    }
    TOPICS.put(ctx.state, &topic.id, &topic);
    let Payload { inference, forecast } = &payload;
    ctx.emit(tell::payload((&topic, nonce), from, inference.as_ref(), &registry, forecast));
    if !refused.is_empty() {
        ctx.note(refused.join("; "));
    }
    Ok(())
}

/// One payload per worker and epoch: also who found no room, or lost it again, has had its word.
pub(super) fn refuse_second_word(ctx: &Ctx, topic: &Topic, nonce: u64, from: Address) -> Result<(), Failure> {
    for part in [part::INFERER, part::FORECASTER] {
        let member = MEMBERS.get(ctx.state, &(topic.id, part, from.0))?;
        if member.is_some_and(|member| member.merit.nonce >= nonce) {
            return Err(TopicError::AlreadySubmitted { who: from, nonce, next: topic.next_open }.into());
        }
    }
    Ok(())
}

/// The answer as a vector, and the epoch's labels with those it brings.
#[allow(clippy::type_complexity)] // two lists that belong together, here only
fn inference(
    ctx: &Ctx,
    topic: &Topic,
    m: &MsgSubmitPayload,
) -> Result<(Option<Places>, Vec<String>), Failure> {
    let rules = &topic.spec.labels;
    if !rules.multi {
        // A bare number, or one value under no label or the single one.
        let text = match (m.inference.as_str(), m.values.as_slice()) {
            (text, []) => text,
            ("", [one]) if one.label.is_empty() || one.label == label::SINGLE => one.value.as_str(),
            _ => {
                let cause = "this topic has one label: send one number, or one value labelled y".to_string();
                return Err(TopicError::Value { field: "values", cause }.into());
            }
        };
        if text.is_empty() {
            return Ok((None, Vec::new()));
        }
        return Ok((Some(vec![(0, answer(topic, "inference", text)?)]), Vec::new()));
    }
    if !m.inference.is_empty() {
        let cause = "this topic has several labels: send labelled values instead of one number".to_string();
        return Err(TopicError::Value { field: "inference", cause }.into());
    }
    if m.values.is_empty() {
        return Ok((None, Vec::new()));
    }
    if m.values.len() > rules.max as usize {
        let (got, max) = (m.values.len(), rules.max);
        return Err(TopicError::TooMany { what: "labels", got, max }.into());
    }
    let mut pairs = Vec::with_capacity(m.values.len());
    for pair in &m.values {
        pairs.push((pair.label.as_str(), answer(topic, "values", &pair.value)?));
    }
    let pairs = label::canonical_pairs(pairs.into_iter(), rules, ctx.params)?;
    let (vector, registry) = label::vector(ctx, topic, m.nonce, &pairs)?;
    Ok((Some(vector), registry))
}

/// A number a topic can work with: probabilities stay within 0 and 1, counts above 0.
fn answer(topic: &Topic, field: &'static str, text: &str) -> Result<Real, TopicError> {
    let value = number(field, text)?;
    if !topic.spec.loss.accepts_answer(value.get()) {
        let cause = if topic.spec.loss.is_probability() {
            format!("a probability lies between 0 and 1, not {}", printable(text))
        } else {
            format!("a count is not negative: {}", printable(text))
        };
        return Err(TopicError::Value { field, cause });
    }
    Ok(value)
}

/// Predicted losses by inferer; of too many, those about the inferers of most merit.
fn forecast(ctx: &mut Ctx, topic: &Topic, m: &MsgSubmitPayload) -> Result<Elements, Failure> {
    if !m.forecast.is_empty() && matches!(topic.spec.rule, Rule::Median | Rule::Mean) {
        let cause = "the rule of this topic is a plain mean or median and hears no forecasts".to_string();
        return Err(TopicError::Value { field: "forecast", cause }.into());
    }
    let mut forecast: Elements = Vec::with_capacity(m.forecast.len());
    for element in &m.forecast {
        let inferer = parse_address("forecast.inferer", &element.inferer)?;
        let loss = number("forecast.loss", &element.loss)?;
        if loss <= Real::ZERO && !topic.spec.regret.allow_negative {
            let cause = "a predicted loss is above zero".to_string();
            return Err(TopicError::Value { field: "forecast.loss", cause }.into());
        }
        require_registered(ctx, topic, role::WORKER, inferer)?;
        forecast.push((inferer.0, loss));
    }
    forecast.sort_by_key(|(inferer, _)| *inferer);
    if forecast.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        let cause = "an inferer is named twice".to_string();
        return Err(TopicError::Value { field: "forecast.inferer", cause }.into());
    }
    let most = ctx.params.max_elements_per_forecast as usize;
    if forecast.len() > most {
        let mut ranked = Vec::with_capacity(forecast.len());
        for (inferer, loss) in forecast {
            let member = MEMBERS.get(ctx.state, &(topic.id, part::INFERER, inferer))?;
            let merit = member.map_or(topic.admission(part::INFERER).initial, |member| member.merit.score);
            ranked.push((merit, inferer, loss));
        }
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        ranked.truncate(most);
        forecast = ranked.into_iter().map(|(_, inferer, loss)| (inferer, loss)).collect();
        forecast.sort_by_key(|(inferer, _)| *inferer);
    }
    Ok(forecast)
}
