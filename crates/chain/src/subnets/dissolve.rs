//! The end of a subnet (S 5.6): its pool is divided among all holders of its token by what they hold, to the unit, and
//! everything it stored is forgotten. The chain's own part goes to the ecosystem.

use dodona_mechanism::subnet::{admission, clock::mechanism_index};
use dodona_proto::Address;
use dodona_store::{KeyCode, KeyHead, Map};

use super::{
    book::{self, math, pay_out},
    rules::MECHANISMS,
    state::{
        AUTO_STAKE, AXONS, BONDS, CHANGED, CHILD_TAKES, CHILDREN, COMMITMENTS, COMMITS, CONVICTIONS, HOLDERS,
        HOLDINGS, Key, LOCKS, MARKETS, MARKS, MEMBERS, NETWORK, Netuid, ORDERS, Order, PARENTS,
        PENDING_CHILDREN, PROMETHEUS, RATES, SCORES, STAKES, SUBNET_IDENTITIES, SUBNETS, UIDS, UNIT, UPDATED,
        WEIGHTS, network,
    },
};
use crate::{accounts, bank, ctx::Ctx, error::Failure, event::Event, state::State};

/// Dissolves a subnet whose existence the caller has seen. Takes time proportional to what it stored.
pub(super) fn dissolve(ctx: &mut Ctx, netuid: Netuid) -> Result<(), Failure> {
    let Some(market) = MARKETS.get(ctx.state, &netuid)? else { return Ok(()) };
    let mut holders: Vec<(Key, u64)> = Vec::new();
    for ((_, hotkey, coldkey), _) in HOLDINGS.scan_prefix(ctx.state, &netuid, usize::MAX)? {
        holders.push((coldkey, book::held(ctx.state, netuid, hotkey, coldkey)?));
        HOLDERS.delete(ctx.state, &(coldkey, netuid, hotkey));
    }
    for (key, order) in ORDERS.scan_prefix(ctx.state, &netuid, usize::MAX)? {
        match order {
            Order::Buy { coldkey, tao, .. } => pay_out(ctx.state, Address(coldkey), tao)?,
            Order::Burn { tao } => to_ecosystem(ctx.state, tao)?,
            Order::Sell { coldkey, alpha, .. } | Order::Claim { coldkey, alpha, .. } => {
                holders.push((coldkey, alpha))
            }
        }
        ORDERS.delete(ctx.state, &key);
    }
    let values: Vec<u64> = holders.iter().map(|holder| holder.1).collect();
    let (parts, chain) = math(admission::dissolution(market.tao, &values, market.protocol))?;
    for ((coldkey, _), part) in holders.iter().zip(parts) {
        pay_out(ctx.state, Address(*coldkey), part)?;
    }
    to_ecosystem(ctx.state, chain)?;
    forget(ctx.state, &HOLDINGS, &netuid)?;
    forget(ctx.state, &STAKES, &netuid)?;
    forget(ctx.state, &RATES, &netuid)?;
    forget(ctx.state, &MARKS, &netuid)?;
    forget(ctx.state, &LOCKS, &netuid)?;
    forget(ctx.state, &CONVICTIONS, &netuid)?;
    forget(ctx.state, &UIDS, &netuid)?;
    forget(ctx.state, &COMMITMENTS, &netuid)?;
    forget(ctx.state, &AXONS, &netuid)?;
    forget(ctx.state, &PROMETHEUS, &netuid)?;
    forget(ctx.state, &AUTO_STAKE, &netuid)?;
    forget(ctx.state, &CHANGED, &netuid)?;
    forget(ctx.state, &CHILDREN, &netuid)?;
    forget(ctx.state, &PARENTS, &netuid)?;
    forget(ctx.state, &PENDING_CHILDREN, &netuid)?;
    forget(ctx.state, &CHILD_TAKES, &netuid)?;
    for index in (0..MECHANISMS).filter_map(|mechanism| mechanism_index(netuid, mechanism)) {
        forget(ctx.state, &UPDATED, &index)?;
        forget(ctx.state, &WEIGHTS, &index)?;
        forget(ctx.state, &BONDS, &index)?;
        forget(ctx.state, &COMMITS, &index)?;
    }
    SUBNET_IDENTITIES.delete(ctx.state, &netuid);
    MEMBERS.delete(ctx.state, &netuid);
    SCORES.delete(ctx.state, &netuid);
    SUBNETS.delete(ctx.state, &netuid);
    MARKETS.delete(ctx.state, &netuid);
    let mut network = network(ctx.state)?;
    network.netuids.retain(|other| *other != netuid);
    NETWORK.put(ctx.state, &network);
    ctx.emit(
        Event::new("subnet_dissolved")
            .with("netuid", netuid)
            .with("pot", market.tao)
            .with("holders", holders.len())
            .with("chain", chain),
    );
    Ok(())
}

fn to_ecosystem(state: &mut State, amount: u64) -> Result<(), Failure> {
    bank::transfer(state, accounts::subnets(), accounts::ecosystem(), u128::from(amount) * UNIT)
}

/// Deletes every entry under a head.
fn forget<K: KeyCode, V: borsh::BorshSerialize + borsh::BorshDeserialize>(
    state: &mut State,
    map: &Map<K, V>,
    head: &impl KeyHead<K>,
) -> Result<(), Failure> {
    for (key, _) in map.scan_prefix(state, head, usize::MAX)? {
        map.delete(state, &key);
    }
    Ok(())
}
