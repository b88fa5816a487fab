//! Neurons: registered for the price of the moment, found by others, evicted when a better one needs room.

use std::net::IpAddr;

use dodona_mechanism::subnet::{
    admission::{self, Resident},
    clock::mechanism_index,
};
use dodona_proto::{
    Address,
    subnets::{MsgRegisterNeuron, MsgServe, MsgSetAutoStake, MsgSetTake},
};
use dodona_store::{Read, StoreError};

use super::{affordable, key, load, own_or_free, uallo, value};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book::{self, pay_in},
        clear::place,
        error::SubnetError,
        rules::{EIGHTEEN_PERCENT, MECHANISMS},
        state::{
            AUTO_STAKE, AXONS, BONDS, COMMITMENTS, COMMITS, Endpoint, HOTKEYS, Hotkey, MEMBERS, Member,
            Netuid, ORDERS_MAX, Order, PROMETHEUS, SCORES, SUBNETS, Scores, Subnet, UIDS, UPDATED, WEIGHTS,
            rules,
        },
    },
};

/// Who has to go when a newcomer needs room, the next one first, and how many can.
pub(in crate::subnets) struct Room {
    /// Uids; behind `count` those who stay.
    pub order: Vec<usize>,
    /// How many can be evicted.
    pub count: usize,
    /// Uids of the owner that are never evicted.
    pub protected: Vec<usize>,
}

/// The order of eviction (S 6.3).
pub(in crate::subnets) fn room(
    read: &impl Read,
    subnet: &Subnet,
    members: &[Member],
    scores: &[Scores],
    height: u64,
) -> Result<Room, StoreError> {
    let mut owned = Vec::new();
    for (uid, member) in members.iter().enumerate() {
        if member.hotkey == subnet.owner_hotkey || book::owner_of(read, member.hotkey)? == Some(subnet.owner)
        {
            owned.push((member.hotkey != subnet.owner_hotkey, member.registered, uid));
        }
    }
    owned.sort_unstable();
    owned.truncate(subnet.hyper.owner_immune_limit.into());
    let protected: Vec<usize> = owned.into_iter().map(|(.., uid)| uid).collect();
    let residents: Vec<Resident> = members
        .iter()
        .enumerate()
        .map(|(uid, member)| Resident {
            emission: scores.get(uid).map_or(0, |scores| scores.emission),
            registered: member.registered,
            immortal: protected.contains(&uid),
        })
        .collect();
    let hyper = &subnet.hyper;
    let (order, count) =
        admission::eviction_order(&residents, height, hyper.immunity_period, hyper.min_non_immune.into());
    Ok(Room { order, count, protected })
}

/// `MsgRegisterNeuron`: what it costs buys the subnet's token at the end of the block, which is destroyed.
pub(crate) fn register(ctx: &mut Ctx, from: Address, m: &MsgRegisterNeuron) -> Result<(), Failure> {
    ctx.gas.charge(gas::REGISTER_NEURON, "register neuron")?;
    let (netuid, mut subnet, mut market) = load(ctx.state, m.netuid)?;
    let hotkey = key("hotkey", &m.hotkey)?;
    if !subnet.hyper.registration_allowed {
        return Err(SubnetError::Closed(netuid).into());
    }
    if let Some(uid) = UIDS.get(ctx.state, &(netuid, hotkey))? {
        return Err(SubnetError::Registered { hotkey: Address(hotkey), netuid, uid }.into());
    }
    own_or_free(ctx, hotkey, from)?;
    if market.orders >= ORDERS_MAX {
        return Err(SubnetError::Orders(ORDERS_MAX).into());
    }
    let cost = market.price;
    affordable(ctx, from, cost, &m.max_cost)?;
    let mut members = MEMBERS.get(ctx.state, &netuid)?.unwrap_or_default();
    let mut scores = SCORES.get(ctx.state, &netuid)?.unwrap_or_default();
    let free = members.len() < usize::from(subnet.hyper.max_uids);
    let evicted = if free {
        None
    } else {
        let room = room(ctx.state, &subnet, &members, &scores, ctx.height)?;
        let first = room.order.first().copied().filter(|_| room.count > 0);
        Some(first.ok_or(SubnetError::NoSlot(netuid))?)
    };
    // Nothing below can fail.
    let member = Member { hotkey, registered: ctx.height };
    let place_of = match evicted {
        None => {
            members.push(member);
            scores.resize(members.len(), Scores::default());
            members.len() - 1
        }
        Some(uid) => {
            forget(ctx, netuid, uid as u16, &members[uid]);
            let old = std::mem::replace(&mut members[uid], member);
            scores.resize(members.len(), Scores::default());
            scores[uid] = Scores::default();
            let event = Event::new("neuron_evicted").with("netuid", netuid).with("uid", uid);
            ctx.emit(event.with("hotkey", Address(old.hotkey)));
            uid
        }
    };
    // Slots are counted in u16.
    let uid = place_of as u16;
    MEMBERS.put(ctx.state, &netuid, &members);
    SCORES.put(ctx.state, &netuid, &scores);
    UIDS.put(ctx.state, &(netuid, hotkey), &uid);
    book::own(ctx.state, hotkey, from.0)?;
    // A newcomer's weights count from their first setting on, not from now.
    subnet.registrations += 1;
    SUBNETS.put(ctx.state, &netuid, &subnet);
    let hyper = &subnet.hyper;
    market.price = admission::bumped(market.price, hyper.burn_increase_mult, hyper.min_burn, hyper.max_burn);
    pay_in(ctx.state, from, cost)?;
    place(ctx.state, netuid, &mut market, &Order::Burn { tao: cost })?;
    ctx.emit(
        Event::new("neuron_registered")
            .with("netuid", netuid)
            .with("uid", uid)
            .with("hotkey", Address(hotkey))
            .with("coldkey", from)
            .with("cost", uallo(cost)),
    );
    Ok(())
}

/// Clears what belongs to a uid that changes hands; what others think of it stays, and counts no more because it is
/// older than the registration.
pub(super) fn forget(ctx: &mut Ctx, netuid: Netuid, uid: u16, old: &Member) {
    for index in (0..MECHANISMS).filter_map(|mechanism| mechanism_index(netuid, mechanism)) {
        UPDATED.delete(ctx.state, &(index, uid));
        WEIGHTS.delete(ctx.state, &(index, uid));
        BONDS.delete(ctx.state, &(index, uid));
        COMMITS.delete(ctx.state, &(index, old.hotkey));
    }
    UIDS.delete(ctx.state, &(netuid, old.hotkey));
    COMMITMENTS.delete(ctx.state, &(netuid, old.hotkey));
    AXONS.delete(ctx.state, &(netuid, old.hotkey));
    PROMETHEUS.delete(ctx.state, &(netuid, old.hotkey));
}

/// `MsgServe` (S 21.1).
pub(crate) fn serve(ctx: &mut Ctx, from: Address, m: &MsgServe) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "serve")?;
    let (netuid, subnet, _) = load(ctx.state, m.netuid)?;
    if !UIDS.contains(ctx.state, &(netuid, from.0))? {
        return Err(SubnetError::NotRegistered { hotkey: from, netuid }.into());
    }
    let ip: IpAddr =
        m.ip.parse().map_err(|_| value("ip", "send an IPv4 or IPv6 address such as 192.0.2.7"))?;
    let port = u16::try_from(m.port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| value("port", "allowed are 1 to 65535"))?;
    let protocol = u8::try_from(m.protocol).map_err(|_| value("protocol", "allowed are 0 to 255"))?;
    let everybody = match ip {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => u128::from(v6) == u128::MAX,
    };
    if ip.is_loopback() || everybody {
        return Err(value("ip", "nobody else can reach this address").into());
    }
    let table = if m.prometheus { PROMETHEUS } else { AXONS };
    if let Some(last) = table.get(ctx.state, &(netuid, from.0))? {
        let (next, height) = (last.block.saturating_add(subnet.hyper.serving_rate_limit), ctx.height);
        if height < next {
            return Err(SubnetError::TooSoon { what: "the endpoint".into(), next, height }.into());
        }
    }
    // Nothing below can fail.
    let ip = match ip {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let endpoint = Endpoint { block: ctx.height, version: m.version, ip, port, protocol };
    table.put(ctx.state, &(netuid, from.0), &endpoint);
    let kind = if m.prometheus { "neuron_prometheus" } else { "neuron_serves" };
    ctx.emit(Event::new(kind).with("netuid", netuid).with("hotkey", from));
    Ok(())
}

/// `MsgSetTake`: lower at once, higher now and then (S 16.7).
pub(crate) fn set_take(ctx: &mut Ctx, from: Address, m: &MsgSetTake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set take")?;
    let hotkey = key("hotkey", &m.hotkey)?;
    let known = HOTKEYS.get(ctx.state, &hotkey)?.ok_or(SubnetError::NoHotkey(Address(hotkey)))?;
    own_or_free(ctx, hotkey, from)?;
    let take = u16::try_from(m.take).ok().filter(|take| *take <= EIGHTEEN_PERCENT);
    let take = take.ok_or_else(|| value("take", format!("allowed are 0 to {EIGHTEEN_PERCENT} (18 %)")))?;
    let raise = take > known.take;
    let next = known.raised.saturating_add(rules(ctx.state)?.take_rate_limit);
    if raise && known.raised > 0 && ctx.height < next {
        return Err(SubnetError::TooSoon { what: "a higher take".into(), next, height: ctx.height }.into());
    }
    // Nothing below can fail.
    let raised = if raise { ctx.height } else { known.raised };
    HOTKEYS.put(ctx.state, &hotkey, &Hotkey { take, raised, ..known });
    ctx.emit(Event::new("take_set").with("hotkey", Address(hotkey)).with("take", take));
    Ok(())
}

/// `MsgSetAutoStake` (S 19).
pub(crate) fn set_auto_stake(ctx: &mut Ctx, from: Address, m: &MsgSetAutoStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set auto stake")?;
    let (netuid, ..) = load(ctx.state, m.netuid)?;
    let upon = match m.hotkey.as_str() {
        "" => None,
        text => Some(key("hotkey", text)?),
    };
    if let Some(hotkey) = upon
        && !HOTKEYS.contains(ctx.state, &hotkey)?
    {
        return Err(SubnetError::NoHotkey(Address(hotkey)).into());
    }
    // Nothing below can fail.
    match &upon {
        None => AUTO_STAKE.delete(ctx.state, &(netuid, from.0)),
        Some(hotkey) => AUTO_STAKE.put(ctx.state, &(netuid, from.0), hotkey),
    }
    let upon = upon.map_or(String::new(), |hotkey| Address(hotkey).to_string());
    ctx.emit(Event::new("auto_stake_set").with("netuid", netuid).with("coldkey", from).with("hotkey", upon));
    Ok(())
}
