//! Fewer slots in a subnet than there are neurons (S 6.4): those that earn least go, the others move together.

use dodona_mechanism::subnet::{clock::mechanism_index, sparse::StoredRow};
use dodona_proto::{Address, subnets::MsgTrimSubnet};
use dodona_store::Map;

use super::{
    load,
    neuron::{forget, room},
    subnet::{not_frozen, owner_only},
    value,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    state::State,
    subnets::{
        error::SubnetError,
        rules::{Hyper, MECHANISMS},
        state::{
            BONDS, CHANGED, COMMITS, Index, MEMBERS, Member, SCORES, SUBNETS, Scores, UIDS, UPDATED, WEIGHTS,
            rules,
        },
    },
    topics::lists::is_admin,
};

/// Part of the slots that neurons may fill which cannot be removed, in hundredths.
const KEPT: usize = 80;

/// `MsgTrimSubnet`. Commits are forgotten: they name uids that others have by then.
pub(crate) fn trim(ctx: &mut Ctx, from: Address, m: &MsgTrimSubnet) -> Result<(), Failure> {
    ctx.gas.charge(gas::REGISTER_NEURON, "trim subnet")?;
    let (netuid, mut subnet, market) = load(ctx.state, m.netuid)?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let members = MEMBERS.get(ctx.state, &netuid)?.unwrap_or_default();
    let mut scores = SCORES.get(ctx.state, &netuid)?.unwrap_or_default();
    scores.resize(members.len(), Scores::default());
    let admin = is_admin(ctx.state, from)?;
    let slots = u16::try_from(m.max_uids).ok().filter(|slots| *slots < subnet.hyper.max_uids);
    let below = || format!("it is {} now: send fewer", subnet.hyper.max_uids);
    let slots = slots.ok_or_else(|| value("max_uids", below()))?;
    let name = "trim".to_string();
    if !admin {
        owner_only(&subnet, from, "trim it")?;
        not_frozen(&rules, &subnet, &market, height)?;
        let last = CHANGED.get(ctx.state, &(netuid, name.clone()))?;
        let next = last.map_or(0, |last| last.saturating_add(rules.trim_wait));
        if height < next {
            return Err(SubnetError::TooSoon { what: name, next, height }.into());
        }
    }
    // Permits are for members: there cannot be more of them.
    let changes = [
        ("max_uids".to_string(), slots.to_string()),
        ("max_validators".to_string(), subnet.hyper.max_validators.min(slots).to_string()),
    ];
    let hyper: Hyper = subnet.hyper.with(&changes, !admin, 0).map_err(|cause| value("max_uids", cause))?;
    let stays = staying(ctx, &subnet, &members, &scores, slots)?;
    let moved: u64 = members.len() as u64;
    ctx.gas.charge(gas::MOVED * moved, "trim subnet")?;
    // Nothing below can fail.
    let mut places: Vec<Option<u16>> = Vec::with_capacity(members.len());
    let (mut kept, mut kept_scores) = (Vec::new(), Vec::new());
    for ((uid, (member, score)), stay) in (0..).zip(members.iter().zip(scores)).zip(&stays) {
        if *stay {
            // As many as there were at most, which fit.
            places.push(Some(kept.len() as u16));
            kept.push(*member);
            kept_scores.push(score);
        } else {
            places.push(None);
            forget(ctx, netuid, uid, member);
            let event = Event::new("neuron_evicted").with("netuid", netuid).with("uid", uid);
            ctx.emit(event.with("hotkey", Address(member.hotkey)));
        }
    }
    for (uid, member) in (0u16..).zip(&kept) {
        UIDS.put(ctx.state, &(netuid, member.hotkey), &uid);
    }
    for index in (0..MECHANISMS).filter_map(|mechanism| mechanism_index(netuid, mechanism)) {
        for map in [&WEIGHTS, &BONDS] {
            rows(ctx.state, map, index, &places)?;
        }
        for ((_, uid), at) in UPDATED.scan_prefix(ctx.state, &index, usize::MAX)? {
            UPDATED.delete(ctx.state, &(index, uid));
            if let Some(new) = places.get(usize::from(uid)).copied().flatten() {
                UPDATED.put(ctx.state, &(index, new), &at);
            }
        }
        for (key, _) in COMMITS.scan_prefix(ctx.state, &index, usize::MAX)? {
            COMMITS.delete(ctx.state, &key);
        }
    }
    let removed = members.len() - kept.len();
    MEMBERS.put(ctx.state, &netuid, &kept);
    SCORES.put(ctx.state, &netuid, &kept_scores);
    subnet.hyper = hyper;
    SUBNETS.put(ctx.state, &netuid, &subnet);
    if !admin {
        CHANGED.put(ctx.state, &(netuid, name), &height);
    }
    let event = Event::new("subnet_trimmed").with("netuid", netuid).with("max_uids", slots);
    ctx.emit(event.with("removed", removed));
    Ok(())
}

/// Who stays: those that are immune or the owner's, and who earns most.
fn staying(
    ctx: &Ctx,
    subnet: &crate::subnets::state::Subnet,
    members: &[Member],
    scores: &[Scores],
    slots: u16,
) -> Result<Vec<bool>, Failure> {
    let mut stays = vec![true; members.len()];
    let surplus = members.len().saturating_sub(usize::from(slots));
    if surplus == 0 {
        return Ok(stays);
    }
    let height = ctx.height;
    let protected = room(ctx.state, subnet, members, scores, height)?.protected;
    let free_from = |member: &Member| member.registered.saturating_add(subnet.hyper.immunity_period);
    let mut exposed: Vec<usize> = (0..members.len())
        .filter(|uid| !protected.contains(uid) && free_from(&members[*uid]) <= height)
        .collect();
    let (kept, most) = (members.len() - exposed.len(), usize::from(slots) * KEPT / 100);
    if kept > most {
        let immune = members.iter().map(free_from).filter(|from| *from > height);
        let hint = match immune.min() {
            Some(next) => format!("the next immunity ends in block {next}"),
            None => "leave more slots".into(),
        };
        return Err(SubnetError::TooFew { kept, most, slots, hint }.into());
    }
    exposed.sort_by_key(|&uid| (scores[uid].emission, members[uid].registered, uid));
    for uid in exposed.into_iter().take(surplus) {
        stays[uid] = false;
    }
    Ok(stays)
}

/// Rows by old uid become rows by new uid, about new uids. New ones are never above old ones, so a row is never
/// written over one that is still to come.
fn rows(
    state: &mut State,
    map: &Map<(Index, u16), StoredRow>,
    index: Index,
    places: &[Option<u16>],
) -> Result<(), Failure> {
    let place = |uid: u16| places.get(usize::from(uid)).copied().flatten();
    for ((_, uid), row) in map.scan_prefix(state, &index, usize::MAX)? {
        map.delete(state, &(index, uid));
        let row: StoredRow =
            row.into_iter().filter_map(|(about, value)| Some((place(about)?, value))).collect();
        if let (Some(new), false) = (place(uid), row.is_empty()) {
            map.put(state, &(index, new), &row);
        }
    }
    Ok(())
}
