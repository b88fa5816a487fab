//! Sealed words: first a digest that tells nothing, then the word behind it, so that nobody answers by copying. A seal
//! that is never opened is scored like the worst answers of its epoch (`mechanism/src/topic/forfeit.rs`).

use dodona_proto::{
    Address, commit,
    topics::{MsgOpenPayload, MsgSealPayload, MsgSubmitPayload},
};
use prost::Message;

use super::{
    TopicError, charge, load_topic, no_epoch,
    payload::{Word, charge_gas, receive, refuse_second_word},
    require_fee, require_registered,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    gas,
    text::printable,
    topics::{
        lists,
        state::{EPOCHS, EpochState, SEALS, TOPICS, role},
        tell,
    },
};

/// `MsgSealPayload`: a worker's word for one epoch that nobody can read yet. It pays the fee of a word.
pub(crate) fn seal_payload(ctx: &mut Ctx, from: Address, m: &MsgSealPayload) -> Result<(), Failure> {
    seal(ctx, from, from, m)
}

/// The same, where somebody else pays.
pub(super) fn seal(ctx: &mut Ctx, payer: Address, from: Address, m: &MsgSealPayload) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBMIT, "seal")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::WORKER, from)?;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, m.nonce))?.ok_or_else(|| no_epoch(&topic, m.nonce))?;
    let last = epoch.seal_last(&topic.spec).ok_or(TopicError::OpenTopic(topic.id))?;
    lists::require(ctx, &topic, role::WORKER, from)?;
    let (nonce, next, height) = (m.nonce, topic.next_open, ctx.height);
    let first = nonce + 1;
    if epoch.state != EpochState::Open || height < first || height > last {
        return Err(TopicError::SealWindow { nonce, first, last, height, next }.into());
    }
    let seal: [u8; 32] = m.seal.as_slice().try_into().map_err(|_| TopicError::Value {
        field: "seal",
        cause: format!("{} bytes, a seal has 32", m.seal.len()),
    })?;
    if SEALS.contains(ctx.state, &(topic.id, nonce, from.0))? {
        return Err(TopicError::AlreadySubmitted { who: from, nonce, next }.into());
    }
    let fee = ctx.params.data_sending_fee;
    require_fee(ctx, payer, fee)?;
    // Nothing below can fail.
    charge(ctx, &mut topic, payer, fee)?;
    SEALS.put(ctx.state, &(topic.id, nonce, from.0), &seal);
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(tell::sealed(topic.id, nonce, from, &seal));
    Ok(())
}

/// `MsgOpenPayload`: the word behind a seal. It pays no fee of its own.
pub(crate) fn open_payload(ctx: &mut Ctx, from: Address, m: &MsgOpenPayload) -> Result<(), Failure> {
    open(ctx, from, from, m)
}

/// The same, where somebody else carries it.
pub(super) fn open(ctx: &mut Ctx, payer: Address, from: Address, m: &MsgOpenPayload) -> Result<(), Failure> {
    let wrong = |field: &'static str, cause: String| TopicError::Value { field, cause };
    let payload = MsgSubmitPayload::decode(m.payload.as_slice())
        .map_err(|e| wrong("payload", format!("does not decode: {e}")))?;
    charge_gas(ctx, &payload)?;
    let topic = load_topic(ctx, payload.topic_id)?;
    require_registered(ctx, &topic, role::WORKER, from)?;
    let nonce = payload.nonce;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, nonce))?.ok_or_else(|| no_epoch(&topic, nonce))?;
    let seal = SEALS.get(ctx.state, &(topic.id, nonce, from.0))?;
    let sealed = epoch.seal_last(&topic.spec).ok_or(TopicError::OpenTopic(topic.id))?;
    if payload.sender != from.to_string() {
        let cause = format!("its sender is {}, opened by {from}", printable(&payload.sender));
        return Err(wrong("payload", cause).into());
    }
    let salt = m
        .salt
        .as_slice()
        .try_into()
        .map_err(|_| wrong("salt", format!("{} bytes, a salt has {}", m.salt.len(), commit::SALT)))?;
    let (first, last, height, next) = (sealed + 1, epoch.worker_last, ctx.height, topic.next_open);
    if epoch.state != EpochState::Open || height < first || height > last {
        return Err(TopicError::RevealWindow { nonce, first, last, height, next }.into());
    }
    refuse_second_word(ctx, &topic, nonce, from)?;
    match seal {
        None => return Err(TopicError::NotSealed { who: from, nonce, next }.into()),
        Some(seal) if seal != commit::seal(ctx.chain_id, salt, &m.payload) => {
            let cause = "salt and payload are not what was sealed: send both byte for byte as they were";
            return Err(wrong("salt", cause.into()).into());
        }
        Some(_) => {}
    }
    receive(ctx, topic, epoch, Word { payer, from, fee: 0, payload: &payload })
}
