//! Taking part in a topic, leaving it, and who is paid.

use dodona_proto::{
    Address,
    topics::{MsgRegister, MsgTransferOwnership, MsgUnregister, Role},
};

use super::{TopicError, charge, load_topic, parse_address, require_fee, require_registered, role_name};
use crate::{
    accounts,
    ctx::Ctx,
    error::Failure,
    gas,
    topics::{
        lists,
        state::{REGISTRATIONS, ROLES, Registration, TOPICS, Topic, role},
        tell,
    },
};

fn role_of(role: Role) -> Result<u8, TopicError> {
    match role {
        Role::Worker => Ok(role::WORKER),
        Role::Reputer => Ok(role::REPUTER),
        Role::Unspecified => Err(TopicError::Value { field: "role", cause: "say worker or reputer".into() }),
    }
}

fn payable(field: &'static str, text: &str) -> Result<Address, TopicError> {
    let owner = parse_address(field, text)?;
    if accounts::is_own(owner) {
        let cause = "this account belongs to the chain itself and cannot be paid".to_string();
        return Err(TopicError::Value { field, cause });
    }
    Ok(owner)
}

fn count(topic: &mut Topic, as_role: u8) -> &mut u32 {
    if as_role == role::WORKER { &mut topic.workers } else { &mut topic.reputers }
}

/// `MsgRegister`: a part in a topic, open to everybody unless the topic has lists.
pub(crate) fn register(ctx: &mut Ctx, from: Address, m: &MsgRegister) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "register")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let as_role = role_of(m.role())?;
    let owner = if m.owner.is_empty() { from } else { payable("owner", &m.owner)? };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if m.name.len() > 32 || !m.name.bytes().all(plain) {
        let cause = "at most 32 of letters, digits, dot, dash and underscore".to_string();
        return Err(TopicError::Value { field: "name", cause }.into());
    }
    let key = (topic.id, as_role, from.0);
    if let Some(Registration { since, .. }) = REGISTRATIONS.get(ctx.state, &key)? {
        return Err(TopicError::AlreadyRegistered { who: from, as_role: role_name(as_role), since }.into());
    }
    lists::require(ctx, &topic, as_role, from)?;
    let fee = ctx.params.registration_fee;
    require_fee(ctx, from, fee)?;
    // Nothing below can fail.
    REGISTRATIONS.put(ctx.state, &key, &Registration { owner, name: m.name.clone(), since: ctx.height });
    ROLES.put(ctx.state, &(as_role, from.0, u64::MAX - topic.id), &());
    *count(&mut topic, as_role) += 1;
    charge(ctx, &mut topic, from, fee)?;
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(tell::registered(topic.id, from, as_role, owner));
    Ok(())
}

/// `MsgUnregister`: what was said and staked stays; the fee does not come back.
pub(crate) fn unregister(ctx: &mut Ctx, from: Address, m: &MsgUnregister) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "unregister")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let as_role = role_of(m.role())?;
    require_registered(ctx, &topic, as_role, from)?;
    // Nothing below can fail.
    REGISTRATIONS.delete(ctx.state, &(topic.id, as_role, from.0));
    ROLES.delete(ctx.state, &(as_role, from.0, u64::MAX - topic.id));
    *count(&mut topic, as_role) -= 1;
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(tell::unregistered(topic.id, from, as_role));
    Ok(())
}

/// `MsgTransferOwnership`: from now on somebody else is paid.
pub(crate) fn transfer_ownership(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgTransferOwnership,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "transfer ownership")?;
    let topic = load_topic(ctx, m.topic_id)?;
    let as_role = role_of(m.role())?;
    let who = parse_address("address", &m.address)?;
    let key = (topic.id, as_role, who.0);
    let registration = REGISTRATIONS
        .get(ctx.state, &key)?
        .ok_or(TopicError::NotRegistered { who, as_role: role_name(as_role) })?;
    if from != registration.owner && from != who {
        return Err(TopicError::NotPermitted { who: from, what: "move pay that is not its own" }.into());
    }
    let owner = payable("new_owner", &m.new_owner)?;
    // Nothing below can fail.
    let old = registration.owner;
    REGISTRATIONS.put(ctx.state, &key, &Registration { owner, ..registration });
    ctx.emit(tell::owner_changed(topic.id, who, as_role, old, owner));
    Ok(())
}
