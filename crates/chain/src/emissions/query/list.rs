//! Who is registered, who stands on which list, who may do what.

use dodona_proto::{Address, emissions::v3, topics::List};
use dodona_store::Read;

use super::{Answer, address, find};
use crate::{
    params,
    query::QueryError,
    topics::{
        lists,
        state::{REGISTRATIONS, ROLES},
    },
};

/// Who is paid for an account's work: of its registrations the one in the newest topic, because here every topic has
/// its own.
pub(super) fn node(read: &impl Read, role: u8, who: &str) -> Answer<v3::OffchainNode> {
    let who = address(who)?;
    let nowhere = || QueryError::NotFound(format!("{who} is registered in no topic"));
    let ((.., down), ()) = ROLES.scan_prefix(read, &(role, who.0), 1)?.pop().ok_or_else(nowhere)?;
    let registration = REGISTRATIONS.get(read, &(u64::MAX - down, role, who.0))?.ok_or_else(nowhere)?;
    Ok(v3::OffchainNode { owner: registration.owner.to_string(), node_address: who.to_string() })
}

/// Whether an account is registered in a topic.
pub(super) fn registered(read: &impl Read, id: u64, role: u8, who: &str) -> Answer<bool> {
    find(read, id)?;
    Ok(REGISTRATIONS.contains(read, &(id, role, address(who)?.0))?)
}

/// Whether an account stands on a list of the chain.
pub(super) fn contains(read: &impl Read, list: List, who: &str) -> Answer<bool> {
    Ok(lists::contains(read, list, 0, address(who)?)?)
}

/// Whether an account stands on a list of a topic.
pub(super) fn of_topic(read: &impl Read, list: List, id: u64, who: &str) -> Answer<bool> {
    find(read, id)?;
    Ok(lists::contains(read, list, id, address(who)?)?)
}

/// Whether an account changes the lists of the chain.
pub(super) fn may_edit(read: &impl Read, who: &str) -> Answer<bool> {
    Ok(lists::is_list_admin(read, address(who)?)?)
}

/// Whether an account changes the lists of a topic.
pub(super) fn may_edit_topic(read: &impl Read, id: u64, who: &str) -> Answer<bool> {
    Ok(lists::may_edit_topic(read, &find(read, id)?, address(who)?)?)
}

/// Whether an account creates topics.
pub(super) fn may_create(read: &impl Read, who: &str) -> Answer<bool> {
    Ok(lists::may_create(read, &params::get(read)?, address(who)?)?)
}

/// Whether the lists let an account take part in a topic; registered or not, because clients ask before they register.
pub(super) fn may_submit(read: &impl Read, id: u64, role: u8, who: &str) -> Answer<bool> {
    let who: Address = address(who)?;
    Ok(lists::may(read, &params::get(read)?, &find(read, id)?, role, who)?)
}
