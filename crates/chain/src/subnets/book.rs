//! Who holds what: the one place that changes stake, and moves the chain's token between accounts and subnets. What a
//! subnet's totals make of it (`alpha_out`, pools) is the caller's.

use dodona_mechanism::{
    MathError,
    subnet::{
        payout,
        root::{Holder, Rate},
        share_pool::SharePool,
    },
};
use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use super::{
    error::SubnetError,
    rules::Rules,
    state::{
        CHILDREN, HOLDERS, HOLDINGS, HOTKEYS, Hotkey, Key, MARKETS, MARKS, Market, NETWORK, Netuid, OWNED,
        PARENTS, RATES, ROOT, ROOT_HOLDERS, ROOT_PLACES, STAKES, Stakes, UNIT, network,
    },
};
use crate::{accounts, bank, error::Failure, state::State};

/// Result of a formula, as a refusal.
pub(super) fn math<T>(result: Result<T, MathError>) -> Result<T, Failure> {
    result.map_err(|error| SubnetError::Math(error).into())
}

/// Takes the chain's token from an account into the subnets'.
pub(super) fn pay_in(state: &mut State, from: Address, amount: u64) -> Result<(), Failure> {
    bank::transfer(state, from, accounts::subnets(), u128::from(amount) * UNIT)
}

/// Pays the chain's token out of the subnets.
pub(super) fn pay_out(state: &mut State, to: Address, amount: u64) -> Result<(), Failure> {
    bank::transfer(state, accounts::subnets(), to, u128::from(amount) * UNIT)
}

/// All stake upon a hotkey.
pub(super) fn staked(read: &impl Read, netuid: Netuid, hotkey: Key) -> Result<u64, StoreError> {
    Ok(STAKES.get(read, &(netuid, hotkey))?.unwrap_or_default().value)
}

/// Both kinds of stake upon a hotkey, lent or not.
pub(super) fn stake_of(read: &impl Read, netuid: Netuid, hotkey: Key) -> Result<payout::Stake, StoreError> {
    Ok(payout::Stake { alpha: staked(read, netuid, hotkey)?, root: staked(read, ROOT, hotkey)? })
}

/// Fractions of stake are in 1/(2^64 - 1).
fn fraction(amount: u64, of: u64) -> u64 {
    // A part of a `u64` fits into one.
    (u128::from(amount) * u128::from(of) / u128::from(u64::MAX)) as u64
}

/// What counts for a hotkey in a subnet (S 15.1), base units: both kinds of stake, without what it lends to its children,
/// with what its parents lend to it.
pub(super) fn weight_of(
    read: &impl Read,
    rules: &Rules,
    netuid: Netuid,
    hotkey: Key,
) -> Result<u64, StoreError> {
    let own = raw_weight(read, rules, netuid, hotkey)?;
    let lent = CHILDREN.get(read, &(netuid, hotkey))?.unwrap_or_default();
    let mut weight = lent.iter().fold(own, |left, (part, _)| left.saturating_sub(fraction(own, *part)));
    for (part, parent) in PARENTS.get(read, &(netuid, hotkey))?.unwrap_or_default() {
        weight = weight.saturating_add(fraction(raw_weight(read, rules, netuid, parent)?, part));
    }
    Ok(weight)
}

/// Both kinds of stake as one number, base units.
fn raw_weight(read: &impl Read, rules: &Rules, netuid: Netuid, hotkey: Key) -> Result<u64, StoreError> {
    let stake = stake_of(read, netuid, hotkey)?;
    Ok(stake.weighed(rules.root_weight).map_or(u64::MAX, |weight| u64::try_from(weight).unwrap_or(u64::MAX)))
}

pub(super) fn shares_of(stakes: Stakes) -> SharePool {
    SharePool { value: stakes.value, shares: stakes.shares }
}

/// What a holder's stake upon a hotkey is worth.
pub(super) fn held(read: &impl Read, netuid: Netuid, hotkey: Key, coldkey: Key) -> Result<u64, StoreError> {
    let Some(shares) = HOLDINGS.get(read, &(netuid, hotkey, coldkey))? else { return Ok(0) };
    let stakes = STAKES.get(read, &(netuid, hotkey))?.unwrap_or_default();
    Ok(shares_of(stakes).value_of(shares).unwrap_or(0))
}

/// Writes how many shares a holder has upon a hotkey, none to forget it. All that names a holding is written here.
pub(super) fn hold(state: &mut State, key: (Netuid, Key, Key), shares: u128) -> Result<(), StoreError> {
    let (netuid, hotkey, coldkey) = key;
    if shares == 0 {
        HOLDINGS.delete(state, &key);
        HOLDERS.delete(state, &(coldkey, netuid, hotkey));
    } else {
        HOLDINGS.put(state, &key, &shares);
        HOLDERS.put(state, &(coldkey, netuid, hotkey), &());
    }
    if netuid == ROOT { number(state, (hotkey, coldkey), shares > 0) } else { Ok(()) }
}

/// Gives a holding at the root a number, or takes it away; the last one then moves into the gap.
fn number(state: &mut State, holding: (Key, Key), exists: bool) -> Result<(), StoreError> {
    let mut network = network(state)?;
    match (ROOT_PLACES.get(state, &holding)?, exists) {
        (None, true) => {
            ROOT_HOLDERS.put(state, &network.root_holders, &holding);
            ROOT_PLACES.put(state, &holding, &network.root_holders);
            network.root_holders += 1;
        }
        (Some(place), false) => {
            network.root_holders = network.root_holders.saturating_sub(1);
            let last = network.root_holders;
            if let (true, Some(moved)) = (place != last, ROOT_HOLDERS.get(state, &last)?) {
                ROOT_HOLDERS.put(state, &place, &moved);
                ROOT_PLACES.put(state, &moved, &place);
            }
            ROOT_HOLDERS.delete(state, &last);
            ROOT_PLACES.delete(state, &holding);
        }
        _ => return Ok(()),
    }
    NETWORK.put(state, &network);
    Ok(())
}

/// More stake of a holder.
pub(super) fn credit(
    state: &mut State,
    netuid: Netuid,
    hotkey: Key,
    coldkey: Key,
    amount: u64,
) -> Result<(), Failure> {
    if amount == 0 {
        return Ok(());
    }
    let stakes = STAKES.get(state, &(netuid, hotkey))?.unwrap_or_default();
    let held = HOLDINGS.get(state, &(netuid, hotkey, coldkey))?.unwrap_or(0);
    let (pool, bought) = math(shares_of(stakes).deposit(amount))?;
    STAKES.put(state, &(netuid, hotkey), &Stakes { value: pool.value, shares: pool.shares });
    if held + bought > 0 {
        hold(state, (netuid, hotkey, coldkey), held + bought)?;
    }
    if netuid == ROOT {
        root_grew(state, hotkey, coldkey, amount)?;
    }
    Ok(())
}

/// Less stake of a holder; the caller has seen that there is so much.
pub(super) fn debit(
    state: &mut State,
    netuid: Netuid,
    hotkey: Key,
    coldkey: Key,
    amount: u64,
) -> Result<(), Failure> {
    if amount == 0 {
        return Ok(());
    }
    if netuid == ROOT {
        collect(state, hotkey, coldkey)?;
    }
    let stakes = STAKES.get(state, &(netuid, hotkey))?.unwrap_or_default();
    let held = HOLDINGS.get(state, &(netuid, hotkey, coldkey))?.unwrap_or(0);
    let (pool, left) = math(shares_of(stakes).withdraw(held, amount))?;
    match (pool.value, pool.shares) {
        (0, 0) => STAKES.delete(state, &(netuid, hotkey)),
        (value, shares) => STAKES.put(state, &(netuid, hotkey), &Stakes { value, shares }),
    }
    hold(state, (netuid, hotkey, coldkey), left)?;
    if netuid == ROOT {
        let mut network = network(state)?;
        // Nobody takes out more than is in.
        network.root_stake = network.root_stake.saturating_sub(amount);
        NETWORK.put(state, &network);
        earned_nothing(state, hotkey, coldkey)?;
    }
    Ok(())
}

/// A reward for all holders of stake upon a hotkey; to its owner where nobody holds any.
pub(super) fn reward(state: &mut State, netuid: Netuid, hotkey: Key, amount: u64) -> Result<(), Failure> {
    if amount == 0 {
        return Ok(());
    }
    let stakes = STAKES.get(state, &(netuid, hotkey))?.unwrap_or_default();
    if stakes.shares == 0 {
        return to_owner(state, netuid, hotkey, amount);
    }
    let pool = math(shares_of(stakes).reward(amount))?;
    STAKES.put(state, &(netuid, hotkey), &Stakes { value: pool.value, shares: pool.shares });
    Ok(())
}

/// Stake for whoever owns a hotkey, upon it.
pub(super) fn to_owner(state: &mut State, netuid: Netuid, hotkey: Key, amount: u64) -> Result<(), Failure> {
    let owner = HOTKEYS.get(state, &hotkey)?.map_or(hotkey, |h| h.coldkey);
    credit(state, netuid, hotkey, owner, amount)
}

/// A dividend for root stake upon a hotkey, to be collected; to its owner where there is none.
/// The amount is part of the subnet's `alpha_out` already; answers how much of it waits to be collected.
pub(super) fn root_reward(
    state: &mut State,
    netuid: Netuid,
    hotkey: Key,
    amount: u64,
) -> Result<u64, Failure> {
    let stake = staked(state, ROOT, hotkey)?;
    if amount == 0 || amount > stake {
        to_owner(state, netuid, hotkey, amount)?;
        return Ok(0);
    }
    let rate = Rate(RATES.get(state, &(netuid, hotkey))?.unwrap_or(0));
    let rate = math(rate.accrue(amount, stake))?;
    RATES.put(state, &(netuid, hotkey), &rate.0);
    Ok(amount)
}

/// What a holder of root stake upon a hotkey has earned in a subnet and not collected.
pub(super) fn owed(read: &impl Read, netuid: Netuid, hotkey: Key, coldkey: Key) -> Result<u64, StoreError> {
    let Some(rate) = RATES.get(read, &(netuid, hotkey))? else { return Ok(0) };
    let watermark = MARKS.get(read, &(netuid, hotkey, coldkey))?.unwrap_or(0);
    let holder = Holder { stake: held(read, ROOT, hotkey, coldkey)?, watermark };
    Ok(holder.owed(Rate(rate)).map_or(0, |owed| u64::try_from(owed).unwrap_or(u64::MAX)))
}

/// Takes what a holder of root stake has earned in a subnet out of what waits there; the caller gives it to somebody.
pub(super) fn withdraw_due(
    state: &mut State,
    netuid: Netuid,
    market: &mut Market,
    (hotkey, coldkey): (Key, Key),
    due: u64,
) -> Result<(), StoreError> {
    market.claimable = market.claimable.saturating_sub(due);
    MARKETS.put(state, &netuid, market);
    let mark = MARKS.get(state, &(netuid, hotkey, coldkey))?.unwrap_or(0);
    MARKS.put(state, &(netuid, hotkey, coldkey), &(mark + u128::from(due)));
    Ok(())
}

/// Turns what a holder of root stake has earned into stake, in every subnet, however little it is.
pub(super) fn collect(state: &mut State, hotkey: Key, coldkey: Key) -> Result<(), Failure> {
    for netuid in network(state)?.netuids {
        let Some(mut market) = MARKETS.get(state, &netuid)? else { continue };
        let due = owed(state, netuid, hotkey, coldkey)?.min(market.claimable);
        if due > 0 {
            withdraw_due(state, netuid, &mut market, (hotkey, coldkey), due)?;
            credit(state, netuid, hotkey, coldkey, due)?;
        }
    }
    Ok(())
}

/// After more root stake: what it would have earned before is not its own, what is owed stays so.
fn root_grew(state: &mut State, hotkey: Key, coldkey: Key, amount: u64) -> Result<(), Failure> {
    let mut network = network(state)?;
    let sum = network.root_stake.checked_add(amount).ok_or(MathError::Overflow("root stake"));
    network.root_stake = math(sum)?;
    NETWORK.put(state, &network);
    for netuid in network.netuids {
        let Some(rate) = RATES.get(state, &(netuid, hotkey))? else { continue };
        let watermark = MARKS.get(state, &(netuid, hotkey, coldkey))?.unwrap_or(0);
        // What was staked before plays no part in how much the watermark rises.
        let holder = math(Holder { stake: 0, watermark }.deposited(Rate(rate), amount))?;
        mark(state, (netuid, hotkey, coldkey), holder.watermark);
    }
    Ok(())
}

/// Marks root stake, whose earnings were collected before, as having earned nothing yet.
pub(super) fn earned_nothing(state: &mut State, hotkey: Key, coldkey: Key) -> Result<(), Failure> {
    let stake = held(state, ROOT, hotkey, coldkey)?;
    for netuid in network(state)?.netuids {
        let Some(rate) = RATES.get(state, &(netuid, hotkey))? else { continue };
        let fresh = math(Holder::default().deposited(Rate(rate), stake))?;
        mark(state, (netuid, hotkey, coldkey), fresh.watermark);
    }
    Ok(())
}

fn mark(state: &mut State, key: (Netuid, Key, Key), watermark: u128) {
    match watermark {
        0 => MARKS.delete(state, &key),
        mark => MARKS.put(state, &key, &mark),
    }
}

/// Whose hotkey it is.
pub(super) fn owner_of(read: &impl Read, hotkey: Key) -> Result<Option<Key>, StoreError> {
    Ok(HOTKEYS.get(read, &hotkey)?.map(|h| h.coldkey))
}

/// The first use of a hotkey makes it the coldkey's (S 2.2).
pub(super) fn own(state: &mut State, hotkey: Key, coldkey: Key) -> Result<(), StoreError> {
    if !HOTKEYS.contains(state, &hotkey)? {
        let take = super::rules::EIGHTEEN_PERCENT;
        HOTKEYS.put(state, &hotkey, &Hotkey { coldkey, take, raised: 0 });
        OWNED.put(state, &(coldkey, hotkey), &());
    }
    Ok(())
}
