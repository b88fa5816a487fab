//! Dividends of root stake (S 17): paid when their holder asks, and without asking to a few holdings that are drawn in
//! every block. They are sold without a fee, with the block's other trades, and what they bring is staked at the root; or
//! they stay as stake in the subnet they come from: as the holder has chosen.

use dodona_mechanism::subnet::{pool::Side, root::drawn};
use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use super::{
    block::attempt,
    book,
    clear::place,
    error::SubnetError,
    handle::trading,
    rules::Rules,
    state::{Key, MARKETS, Netuid, Order, ROOT_CLAIMS, ROOT_HOLDERS, RootClaim, SUBNETS, network},
};
use crate::{ctx::Ctx, error::Failure, event::Event};

/// What becomes of a holder's root dividends.
pub(super) fn choice(read: &impl Read, coldkey: Key) -> Result<RootClaim, StoreError> {
    Ok(ROOT_CLAIMS.get(read, &coldkey)?.unwrap_or_default())
}

/// Pays what a holding at the root has earned in a subnet, once it is as much as the subnet's threshold; refuses below
/// it, and where it shall be sold and nothing can be.
pub(super) fn pay(ctx: &mut Ctx, netuid: Netuid, hotkey: Key, coldkey: Key) -> Result<(), Failure> {
    let none = || SubnetError::NoSubnet(netuid.into());
    let subnet = SUBNETS.get(ctx.state, &netuid)?.ok_or_else(none)?;
    let mut market = MARKETS.get(ctx.state, &netuid)?.ok_or_else(none)?;
    let due = book::owed(ctx.state, netuid, hotkey, coldkey)?.min(market.claimable);
    let least = subnet.hyper.root_claim_threshold;
    if due == 0 {
        return Err(SubnetError::Nothing.into());
    }
    if due < least {
        return Err(SubnetError::SmallClaim { netuid, due, least }.into());
    }
    let sells = choice(ctx.state, coldkey)?.sells(netuid, subnet.registered);
    if sells {
        trading(ctx, netuid.into(), Side::Sell)?;
    }
    // Nothing below can fail.
    book::withdraw_due(ctx.state, netuid, &mut market, (hotkey, coldkey), due)?;
    if sells {
        place(ctx.state, netuid, &mut market, &Order::Claim { coldkey, hotkey, alpha: due })?;
    } else {
        book::credit(ctx.state, netuid, hotkey, coldkey, due)?;
    }
    ctx.emit(
        Event::new("root_claimed")
            .with("netuid", netuid)
            .with("coldkey", Address(coldkey))
            .with("hotkey", Address(hotkey))
            .with("amount", due)
            .with("sold", sells),
    );
    Ok(())
}

/// Begin of block: pays some holdings without being asked, drawn by the root of the state before this block (S 17.5). How
/// many they are, and how many subnets there can be, bounds the work.
pub(super) fn in_turn(ctx: &mut Ctx, rules: &Rules) -> Result<(), Failure> {
    let network = network(ctx.state)?;
    let hash = ctx.state.base().root();
    for place in drawn(&hash, rules.num_root_claims.into(), network.root_holders) {
        let Some((hotkey, coldkey)) = ROOT_HOLDERS.get(ctx.state, &place)? else { continue };
        for &netuid in &network.netuids {
            let due = book::owed(ctx.state, netuid, hotkey, coldkey)?;
            let threshold = |subnet: super::state::Subnet| subnet.hyper.root_claim_threshold;
            if due > 0 && SUBNETS.get(ctx.state, &netuid)?.map(threshold).is_some_and(|least| due >= least) {
                attempt(ctx, netuid, "root claim", |ctx| pay(ctx, netuid, hotkey, coldkey))?;
            }
        }
    }
    Ok(())
}
