//! Lists and permissions.

use dodona_proto::{
    Address,
    topics::{List, QueryListRequest, QueryListResponse, QueryPermissionsRequest, QueryPermissionsResponse},
};
use dodona_store::Read;

use super::{PAGE, ViewError, address};
use crate::{
    params,
    topics::{
        lists::{self, LISTS},
        state::{TOPICS, role},
    },
};

/// A list's members (at most a page), whether it restricts anything, and whether it names an address.
pub fn list(read: &impl Read, q: &QueryListRequest) -> Result<Option<QueryListResponse>, ViewError> {
    let list = q.list();
    let params = params::get(read)?;
    let of_topic = matches!(list, List::TopicWorker | List::TopicReputer);
    let topic = if of_topic { TOPICS.get(read, &q.topic_id)? } else { None };
    if of_topic && topic.is_none() {
        return Ok(None);
    }
    let enabled = match list {
        List::Unspecified => return Err(ViewError::Bad("say which list".into())),
        List::Admin | List::GlobalAdmin => true,
        List::Global => params.global_whitelist_enabled,
        List::GlobalWorker => params.global_worker_whitelist_enabled,
        List::GlobalReputer => params.global_reputer_whitelist_enabled,
        List::TopicCreator => params.topic_creator_whitelist_enabled,
        List::TopicWorker => topic.as_ref().is_some_and(|t| t.spec.worker_list),
        List::TopicReputer => topic.as_ref().is_some_and(|t| t.spec.reputer_list),
    };
    let id = if of_topic { q.topic_id } else { 0 };
    let contains = !q.address.is_empty() && lists::contains(read, list, id, address(&q.address)?)?;
    let members = LISTS.scan_prefix(read, &(list as u8, id), PAGE)?;
    let members = members.iter().map(|((.., who), ())| Address(*who).to_string()).collect();
    Ok(Some(QueryListResponse { members, enabled, contains }))
}

/// What an account may do; topic 0: apart from topics.
pub fn permissions(
    read: &impl Read,
    q: &QueryPermissionsRequest,
) -> Result<QueryPermissionsResponse, ViewError> {
    let who = address(&q.address)?;
    let params = params::get(read)?;
    let list_admin = lists::is_list_admin(read, who)?;
    let mut out = QueryPermissionsResponse {
        update_params: lists::is_admin(read, who)?,
        update_all_lists: list_admin,
        update_global_workers: list_admin,
        update_global_reputers: list_admin,
        create_topic: lists::may_create(read, &params, who)?,
        ..Default::default()
    };
    if let Some(topic) = TOPICS.get(read, &q.topic_id)? {
        out.update_topic_lists = lists::may_edit_topic(read, &topic, who)?;
        out.submit = lists::may(read, &params, &topic, role::WORKER, who)?;
        out.report = lists::may(read, &params, &topic, role::REPUTER, who)?;
    }
    Ok(out)
}
