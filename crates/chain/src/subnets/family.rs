//! Childkeys (S 15.3): who lends whom which part of its stake in a subnet. Changes wait, so that nobody can lend the same
//! stake to two validators within an epoch; both directions are kept, and always agree.

use super::state::{CHILDREN, Key, Netuid, PARENTS, PARENTS_MAX, PENDING_CHILDREN, Relatives};
use crate::{ctx::Ctx, error::Failure, event::Event, state::State};
use dodona_proto::Address;
use dodona_store::{Map, Read, StoreError};

/// Whether lending to that child would make two hotkeys each other's parents.
pub(super) fn circular(
    read: &impl Read,
    netuid: Netuid,
    parent: Key,
    child: Key,
) -> Result<bool, StoreError> {
    let lent = CHILDREN.get(read, &(netuid, child))?.unwrap_or_default();
    Ok(lent.iter().any(|(_, grandchild)| *grandchild == parent))
}

/// Whether a hotkey may have another parent.
pub(super) fn has_room(
    read: &impl Read,
    netuid: Netuid,
    parent: Key,
    child: Key,
) -> Result<bool, StoreError> {
    let parents = PARENTS.get(read, &(netuid, child))?.unwrap_or_default();
    Ok(parents.len() < PARENTS_MAX || parents.iter().any(|(_, other)| *other == parent))
}

/// After an epoch: changes that have waited long enough.
pub(super) fn due(ctx: &mut Ctx, netuid: Netuid) -> Result<(), Failure> {
    for ((_, parent), (from, children)) in PENDING_CHILDREN.scan_prefix(ctx.state, &netuid, usize::MAX)? {
        if from > ctx.height {
            continue;
        }
        PENDING_CHILDREN.delete(ctx.state, &(netuid, parent));
        set(ctx.state, netuid, parent, children)?;
        ctx.emit(Event::new("children_changed").with("netuid", netuid).with("hotkey", Address(parent)));
    }
    Ok(())
}

/// Replaces the children of a hotkey. Whoever has become its parent, or full, since they were named is left out.
pub(super) fn set(
    state: &mut State,
    netuid: Netuid,
    parent: Key,
    children: Relatives,
) -> Result<(), StoreError> {
    for (_, child) in CHILDREN.get(state, &(netuid, parent))?.unwrap_or_default() {
        let mut parents = PARENTS.get(state, &(netuid, child))?.unwrap_or_default();
        parents.retain(|(_, other)| *other != parent);
        put(state, &PARENTS, (netuid, child), &parents);
    }
    let mut kept = Vec::with_capacity(children.len());
    for (fraction, child) in children {
        if circular(state, netuid, parent, child)? || !has_room(state, netuid, parent, child)? {
            continue;
        }
        let mut parents = PARENTS.get(state, &(netuid, child))?.unwrap_or_default();
        parents.push((fraction, parent));
        put(state, &PARENTS, (netuid, child), &parents);
        kept.push((fraction, child));
    }
    put(state, &CHILDREN, (netuid, parent), &kept);
    Ok(())
}

/// Whether a hotkey lends, is lent to, or has asked to be either.
pub(super) fn has_family(read: &impl Read, netuid: Netuid, hotkey: Key) -> Result<bool, StoreError> {
    let at = (netuid, hotkey);
    if CHILDREN.contains(read, &at)?
        || PARENTS.contains(read, &at)?
        || PENDING_CHILDREN.contains(read, &at)?
    {
        return Ok(true);
    }
    let waiting = PENDING_CHILDREN.scan_prefix(read, &netuid, usize::MAX)?;
    Ok(waiting.iter().any(|(_, (_, children))| children.iter().any(|(_, child)| *child == hotkey)))
}

/// Puts another key in the place of one, on both sides of every loan and in those that wait.
pub(super) fn rename(state: &mut State, netuid: Netuid, old: Key, new: Key) -> Result<(), StoreError> {
    let renamed = |relatives: &mut Relatives| {
        let mut found = relatives.iter_mut().filter(|(_, key)| *key == old).peekable();
        let any = found.peek().is_some();
        found.for_each(|(_, key)| *key = new);
        any
    };
    for (here, there) in [(&CHILDREN, &PARENTS), (&PARENTS, &CHILDREN)] {
        let relatives = here.get(state, &(netuid, old))?.unwrap_or_default();
        for (_, relative) in &relatives {
            let mut seen = there.get(state, &(netuid, *relative))?.unwrap_or_default();
            renamed(&mut seen);
            put(state, there, (netuid, *relative), &seen);
        }
        here.delete(state, &(netuid, old));
        put(state, here, (netuid, new), &relatives);
    }
    for ((_, parent), (from, mut children)) in PENDING_CHILDREN.scan_prefix(state, &netuid, usize::MAX)? {
        let named = renamed(&mut children);
        if parent == old {
            PENDING_CHILDREN.delete(state, &(netuid, old));
            PENDING_CHILDREN.put(state, &(netuid, new), &(from, children));
        } else if named {
            PENDING_CHILDREN.put(state, &(netuid, parent), &(from, children));
        }
    }
    Ok(())
}

fn put(state: &mut State, map: &Map<(Netuid, Key), Relatives>, key: (Netuid, Key), relatives: &Relatives) {
    if relatives.is_empty() { map.delete(state, &key) } else { map.put(state, &key, relatives) }
}
