//! Who may do what: lists of accounts, global and per topic, each switched on or off (topic specification, section
//! 1.4, whose composition is read there as follows). Off by default: networks are open unless they choose otherwise.
//!
//! Admins change parameters and every list. Global admins change every list but the admins' own, and count as members
//! of all lists. Whoever stands on the global list may do what a listed worker, reputer or topic creator may.

use dodona_proto::{
    Address,
    topics::{List, MsgEditList, MsgRecalculateEmission, MsgSetTopicLists, MsgUpdateParams},
};
use dodona_store::{Map, Read, StoreError};

use super::{
    handle::{TopicError, load_topic, parse_address},
    state::{Key, TOPICS, Topic, role},
    tell,
};
use crate::{
    ctx::Ctx,
    emissions,
    error::Failure,
    event::Event,
    gas, mint,
    params::{self, Params},
};

/// (List, topic or 0, account). Written by edit_list and genesis.
pub const LISTS: Map<(u8, u64, Key), ()> = Map::new(*b"tL");

/// Whether an account stands on a list.
pub fn contains(read: &impl Read, list: List, topic: u64, who: Address) -> Result<bool, StoreError> {
    LISTS.contains(read, &(list as u8, topic, who.0))
}

/// Changes parameters of the chain, and the admins themselves.
pub fn is_admin(read: &impl Read, who: Address) -> Result<bool, StoreError> {
    contains(read, List::Admin, 0, who)
}

/// Changes every list but the admins'.
pub fn is_list_admin(read: &impl Read, who: Address) -> Result<bool, StoreError> {
    Ok(is_admin(read, who)? || contains(read, List::GlobalAdmin, 0, who)?)
}

/// Member of the global list, or of all lists by office.
fn is_global(read: &impl Read, params: &Params, who: Address) -> Result<bool, StoreError> {
    let listed = params.global_whitelist_enabled && contains(read, List::Global, 0, who)?;
    let appended = params.global_admin_whitelist_appended && contains(read, List::GlobalAdmin, 0, who)?;
    Ok(listed || appended)
}

/// Who creates topics.
pub fn may_create(read: &impl Read, params: &Params, who: Address) -> Result<bool, StoreError> {
    Ok(!params.topic_creator_whitelist_enabled
        || contains(read, List::TopicCreator, 0, who)?
        || is_global(read, params, who)?)
}

/// Who takes part in a topic as worker or reputer.
pub fn may(
    read: &impl Read,
    params: &Params,
    topic: &Topic,
    as_role: u8,
    who: Address,
) -> Result<bool, StoreError> {
    let worker = as_role == role::WORKER;
    let (closed, own, global, enabled) = if worker {
        (
            topic.spec.worker_list,
            List::TopicWorker,
            List::GlobalWorker,
            params.global_worker_whitelist_enabled,
        )
    } else {
        (
            topic.spec.reputer_list,
            List::TopicReputer,
            List::GlobalReputer,
            params.global_reputer_whitelist_enabled,
        )
    };
    Ok(!closed
        || contains(read, own, topic.id, who)?
        || (enabled && contains(read, global, 0, who)?)
        || is_global(read, params, who)?)
}

/// Who edits the lists of a topic.
pub fn may_edit_topic(read: &impl Read, topic: &Topic, who: Address) -> Result<bool, StoreError> {
    Ok(topic.creator == who || is_list_admin(read, who)?)
}

/// Refuses whom a topic's list does not name.
pub(super) fn require(ctx: &Ctx, topic: &Topic, as_role: u8, who: Address) -> Result<(), Failure> {
    if may(ctx.state, ctx.params, topic, as_role, who)? {
        return Ok(());
    }
    Err(TopicError::NotListed { who, as_role: role::name(as_role) }.into())
}

/// `MsgEditList`.
pub(crate) fn edit(ctx: &mut Ctx, from: Address, m: &MsgEditList) -> Result<(), Failure> {
    let count = m.add.len() + m.remove.len();
    ctx.gas.charge(gas::LIST_ENTRY * count as u64 + gas::TOPIC_WRITE, "edit list")?;
    let max = ctx.params.max_whitelist_input_array_length;
    if count > max as usize {
        return Err(TopicError::TooMany { what: "list change", got: count, max }.into());
    }
    let list = m.list();
    let of_topic = matches!(list, List::TopicWorker | List::TopicReputer);
    let permitted = match list {
        List::Unspecified => {
            return Err(TopicError::Value { field: "list", cause: "say which list".into() }.into());
        }
        List::Admin => is_admin(ctx.state, from)?,
        List::TopicWorker | List::TopicReputer => {
            let topic = load_topic(ctx, m.topic_id)?;
            may_edit_topic(ctx.state, &topic, from)?
        }
        _ => is_list_admin(ctx.state, from)?,
    };
    if !permitted {
        return Err(TopicError::NotPermitted { who: from, what: "edit this list" }.into());
    }
    let parse = |texts: &[String]| -> Result<Vec<Address>, TopicError> {
        texts.iter().map(|text| parse_address("list entry", text)).collect()
    };
    let (add, remove) = (parse(&m.add)?, parse(&m.remove)?);
    let leaves_nobody = list == List::Admin && {
        let left = LISTS.scan_prefix(ctx.state, &(List::Admin as u8), usize::MAX)?;
        add.is_empty() && left.iter().all(|((.., who), ())| remove.iter().any(|r| r.0 == *who))
    };
    if leaves_nobody {
        let cause = "the last admin cannot be removed: add another one first".to_string();
        return Err(TopicError::Value { field: "remove", cause }.into());
    }
    // Nothing below can fail.
    let topic = if of_topic { m.topic_id } else { 0 };
    for who in &remove {
        LISTS.delete(ctx.state, &(list as u8, topic, who.0));
    }
    for who in &add {
        LISTS.put(ctx.state, &(list as u8, topic, who.0), &());
    }
    ctx.emit(tell::list_edited(list, topic, &add, &remove));
    Ok(())
}

/// `MsgSetTopicLists`.
pub(crate) fn set_topic(ctx: &mut Ctx, from: Address, m: &MsgSetTopicLists) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "set topic lists")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    if !may_edit_topic(ctx.state, &topic, from)? {
        return Err(TopicError::NotPermitted { who: from, what: "switch this topic's lists" }.into());
    }
    // Nothing below can fail.
    topic.spec.worker_list = m.worker_list.unwrap_or(topic.spec.worker_list);
    topic.spec.reputer_list = m.reputer_list.unwrap_or(topic.spec.reputer_list);
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(tell::topic_lists(&topic, m.worker_list, m.reputer_list));
    Ok(())
}

/// `MsgUpdateParams`: in force from the next block on.
pub(crate) fn update_params(ctx: &mut Ctx, from: Address, m: &MsgUpdateParams) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "update params")?;
    if !is_admin(ctx.state, from)? {
        return Err(TopicError::NotPermitted { who: from, what: "change parameters" }.into());
    }
    let changes: Vec<(String, String)> = m.set.iter().map(|p| (p.name.clone(), p.value.clone())).collect();
    // Two changes in one block build on each other.
    let changed = params::get(ctx.state)?
        .with(&changes)
        .map_err(|cause| TopicError::Value { field: "params", cause })?;
    // Nothing below can fail.
    params::put(ctx.state, &changed);
    for (name, value) in &changes {
        ctx.emit(Event::new("param_changed").with("name", name).with("value", value));
    }
    let shown = emissions::params_view(&changed);
    ctx.emit(tell::params_changed(shown));
    Ok(())
}

/// `MsgRecalculateEmission`.
pub(crate) fn recalculate(ctx: &mut Ctx, from: Address, _: &MsgRecalculateEmission) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "recalculate emission")?;
    if !is_admin(ctx.state, from)? {
        return Err(TopicError::NotPermitted { who: from, what: "recalculate the emission" }.into());
    }
    // Nothing below can fail but for the schedule's own conditions, which change nothing.
    let emission = mint::recalculate(ctx.state, ctx.params, ctx.height)?
        .map_err(|cause| TopicError::Value { field: "emission", cause: cause.to_string() })?;
    ctx.emit(Event::new("emission_recalculated").with("block_emission", emission));
    Ok(())
}
