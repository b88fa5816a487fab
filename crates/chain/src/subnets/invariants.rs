//! What always holds of subnets between blocks; checked by walking all of their state.

use std::collections::{BTreeMap, BTreeSet};

use dodona_mechanism::{
    Real,
    subnet::{clock::mechanism_of, lock::Lock as Amounts},
    supply::Fixed,
};
use dodona_store::Read;

use super::{
    book, lock,
    state::{
        AUTO_STAKE, AXONS, BONDS, CHILDREN, CHILDREN_MAX, COMMITMENTS, COMMITS, COMMITS_MAX, CONVICTIONS,
        FIELD_BYTES, FIELDS_MAX, HOLDERS, HOLDINGS, HOTKEYS, IDENTITIES, Key, LOCKS, MARKETS, MARKS, MEMBERS,
        Netuid, ORDERS, OWNED, Order, PARENTS, PARENTS_MAX, ROOT, ROOT_HOLDERS, ROOT_PLACES, SCORES, STAKES,
        SUBNETS, UIDS, UNIT, UPDATED, WEIGHTS, network, rules,
    },
};
use crate::{
    accounts, bank,
    invariants::{Violation, equal, wrong},
};

/// Tokens, stake, members and rows agree.
pub(crate) fn check(read: &impl Read, height: u64) -> Result<(), Violation> {
    let network = network(read)?;
    let listed: Vec<Netuid> = SUBNETS.scan(read, usize::MAX)?.into_iter().map(|(netuid, _)| netuid).collect();
    if listed != network.netuids {
        return Err(wrong("subnets are listed", format!("{listed:?} {:?}", network.netuids)));
    }
    let (ordered_tao, ordered_alpha) = orders(read)?;
    let staked = stakes(read)?;
    let mut tao = u128::from(network.root_stake) + ordered_tao;
    equal(
        "root stake is what is staked at the root",
        staked.get(&ROOT).copied().unwrap_or(0),
        network.root_stake.into(),
    )?;
    let mut markets = 0;
    for (netuid, market) in MARKETS.scan(read, usize::MAX)? {
        markets += 1;
        let place = || format!("subnet {netuid}");
        tao += u128::from(market.tao);
        let parts = [
            market.protocol,
            market.burned,
            market.claimable,
            market.server,
            market.validator,
            market.root,
            market.owner,
        ];
        let outside = parts.iter().map(|part| u128::from(*part)).sum::<u128>()
            + staked.get(&netuid).copied().unwrap_or(0)
            + ordered_alpha.get(&netuid).copied().unwrap_or(0);
        equal("a subnet's token outside the pool is somebody's", outside, market.alpha_out.into())?;
        let weight = market.tao_weight.raw();
        let hundredth = Fixed::ONE.raw() / 100;
        if market.alpha == 0 || market.tao == 0 || !(hundredth..=99 * hundredth).contains(&weight) {
            return Err(wrong("a pool has both tokens and weights in bounds", place()));
        }
        let mut owed = 0u128;
        for ((_, hotkey, coldkey), _) in HOLDINGS.scan_prefix(read, &ROOT, usize::MAX)? {
            owed += u128::from(book::owed(read, netuid, hotkey, coldkey)?);
        }
        if owed > u128::from(market.claimable) {
            return Err(wrong(
                "what root stake earned can be collected",
                format!("{}: {owed} of {}", place(), market.claimable),
            ));
        }
        members(read, netuid)?;
    }
    equal("every subnet has a market", markets, listed.len() as u128)?;
    for ((netuid, ..), _) in MARKS.scan(read, usize::MAX)? {
        if !listed.contains(&netuid) {
            return Err(wrong("marks belong to subnets", format!("subnet {netuid}")));
        }
    }
    owners(read)?;
    numbers(read, network.root_holders)?;
    locks(read, height)?;
    rows(read)?;
    families(read)?;
    equal("the subnets' account holds what they count", tao * UNIT, bank::balance(read, accounts::subnets())?)
}

/// The chain's token in orders, and each subnet's.
fn orders(read: &impl Read) -> Result<(u128, BTreeMap<Netuid, u128>), Violation> {
    let (mut tao, mut alpha) = (0, BTreeMap::new());
    let mut counts: BTreeMap<Netuid, u32> = BTreeMap::new();
    for ((netuid, _), order) in ORDERS.scan(read, usize::MAX)? {
        *counts.entry(netuid).or_default() += 1;
        match order {
            Order::Buy { tao: amount, .. } | Order::Burn { tao: amount } => tao += u128::from(amount),
            Order::Sell { alpha: amount, .. } | Order::Claim { alpha: amount, .. } => {
                *alpha.entry(netuid).or_default() += u128::from(amount)
            }
        }
    }
    for (netuid, market) in MARKETS.scan(read, usize::MAX)? {
        equal("orders are counted", counts.remove(&netuid).unwrap_or(0).into(), market.orders.into())?;
    }
    match counts.first_key_value() {
        Some((netuid, _)) => Err(wrong("orders belong to subnets", format!("subnet {netuid}"))),
        None => Ok((tao, alpha)),
    }
}

/// Holdings at the root are numbered without gaps, each once.
fn numbers(read: &impl Read, count: u64) -> Result<(), Violation> {
    let held = HOLDINGS.scan_prefix(read, &ROOT, usize::MAX)?;
    let numbered = ROOT_HOLDERS.scan(read, usize::MAX)?;
    equal("holdings at the root are counted", held.len() as u128, count.into())?;
    equal("holdings at the root have numbers", numbered.len() as u128, count.into())?;
    equal(
        "holdings at the root have one number each",
        ROOT_PLACES.scan(read, usize::MAX)?.len() as u128,
        count.into(),
    )?;
    for ((_, hotkey, coldkey), _) in held {
        let place = ROOT_PLACES.get(read, &(hotkey, coldkey))?;
        if place.is_none_or(|place| numbered.get(place as usize) != Some(&(place, (hotkey, coldkey)))) {
            return Err(wrong("holdings at the root are found by number", hex::encode(coldkey)));
        }
    }
    Ok(())
}

/// Locked stake is there, and locks add up to what is kept of them per hotkey.
fn locks(read: &impl Read, height: u64) -> Result<(), Violation> {
    let rules = rules(read)?;
    let fails = |cause| wrong("locks can be computed", format!("{cause}"));
    let nothing = Amounts { mass: 0, conviction: Real::ZERO };
    let mut sums: BTreeMap<(Netuid, Key), (Amounts, u64)> = BTreeMap::new();
    for ((netuid, coldkey), stored) in LOCKS.scan(read, usize::MAX)? {
        let place = || format!("subnet {netuid} {}", hex::encode(coldkey));
        let subnet = SUBNETS.get(read, &netuid)?.ok_or_else(|| wrong("locks belong to subnets", place()))?;
        let owner = coldkey == subnet.owner;
        let now = lock::aged(&rules, &stored, owner, height).map_err(fails)?;
        // Two pools of stake that become one round a few units away.
        if now.mass > lock::all_of(read, netuid, coldkey)?.0.saturating_add(100) {
            return Err(wrong("locked stake is there", place()));
        }
        if !HOTKEYS.contains(read, &stored.hotkey)? {
            return Err(wrong("locks speak for known hotkeys", place()));
        }
        if !owner {
            let (sum, count) = sums.entry((netuid, stored.hotkey)).or_insert((nothing, 0));
            let one = Amounts { mass: now.mass, conviction: now.conviction };
            (*sum, *count) = (sum.plus(one).map_err(fails)?, *count + 1);
        }
    }
    for (key, all) in CONVICTIONS.scan(read, usize::MAX)? {
        let all = lock::all_aged(&rules, &all, height).map_err(fails)?;
        let part = |(mass, conviction)| Amounts { mass, conviction };
        let kept = part(all.perpetual).plus(part(all.decaying)).map_err(fails)?;
        let (sum, count) = sums.remove(&key).unwrap_or((nothing, 0));
        equal("locks are counted", count.into(), all.locks.into())?;
        if !kept.is_about(sum, count) {
            return Err(wrong("locks add up by hotkey", format!("{kept:?} {sum:?}")));
        }
    }
    equal("locks are kept by hotkey", sums.len() as u128, 0)
}

/// Stake by subnet; shares and holders agree with it.
fn stakes(read: &impl Read) -> Result<BTreeMap<Netuid, u128>, Violation> {
    let mut shares: BTreeMap<(Netuid, Key), (u128, u128)> = BTreeMap::new();
    let holdings = HOLDINGS.scan(read, usize::MAX)?;
    for ((netuid, hotkey, coldkey), held) in &holdings {
        let entry = shares.entry((*netuid, *hotkey)).or_default();
        entry.0 += held;
        entry.1 += u128::from(book::held(read, *netuid, *hotkey, *coldkey)?);
        if *held == 0 || !HOLDERS.contains(read, &(*coldkey, *netuid, *hotkey))? {
            return Err(wrong("holdings are above zero and found by holder", hex::encode(coldkey)));
        }
    }
    equal("holders hold", HOLDERS.scan(read, usize::MAX)?.len() as u128, holdings.len() as u128)?;
    let mut staked = BTreeMap::new();
    for ((netuid, hotkey), stakes) in STAKES.scan(read, usize::MAX)? {
        let (all, worth) = shares.remove(&(netuid, hotkey)).unwrap_or_default();
        equal("shares upon a hotkey sum up", all, stakes.shares)?;
        if worth > u128::from(stakes.value) {
            return Err(wrong("holders have at most what is staked", hex::encode(hotkey)));
        }
        if !HOTKEYS.contains(read, &hotkey)? {
            return Err(wrong("stake is upon known hotkeys", hex::encode(hotkey)));
        }
        *staked.entry(netuid).or_insert(0u128) += u128::from(stakes.value);
    }
    match shares.first_key_value() {
        Some(((_, hotkey), _)) => Err(wrong("holdings are of some stake", hex::encode(hotkey))),
        None => Ok(staked),
    }
}

/// Members are found by hotkey, have scores and owners.
fn members(read: &impl Read, netuid: Netuid) -> Result<(), Violation> {
    let place = || format!("subnet {netuid}");
    let members = MEMBERS.get(read, &netuid)?.unwrap_or_default();
    let distinct: BTreeSet<Key> = members.iter().map(|member| member.hotkey).collect();
    if members.is_empty() || distinct.len() != members.len() {
        return Err(wrong("a subnet has members, each once", place()));
    }
    equal(
        "members are found by hotkey",
        UIDS.scan_prefix(read, &netuid, usize::MAX)?.len() as u128,
        members.len() as u128,
    )?;
    equal(
        "members have scores",
        SCORES.get(read, &netuid)?.map_or(0, |s| s.len()) as u128,
        members.len() as u128,
    )?;
    for (uid, member) in members.iter().enumerate() {
        if UIDS.get(read, &(netuid, member.hotkey))?.map(usize::from) != Some(uid)
            || !HOTKEYS.contains(read, &member.hotkey)?
        {
            return Err(wrong("a member's hotkey is somebody's and has its uid", place()));
        }
    }
    Ok(())
}

/// Hotkeys are found by coldkey, and whatever names one names one that is known.
fn owners(read: &impl Read) -> Result<(), Violation> {
    let hotkeys: BTreeMap<Key, Key> =
        HOTKEYS.scan(read, usize::MAX)?.into_iter().map(|(hotkey, known)| (hotkey, known.coldkey)).collect();
    let owned: BTreeMap<Key, Key> =
        OWNED.scan(read, usize::MAX)?.into_iter().map(|((coldkey, hotkey), ())| (hotkey, coldkey)).collect();
    if hotkeys != owned {
        return Err(wrong("hotkeys are found by coldkey", format!("{} {}", hotkeys.len(), owned.len())));
    }
    let mut named: Vec<Key> = AUTO_STAKE.scan(read, usize::MAX)?.into_iter().map(|(_, upon)| upon).collect();
    for (netuid, subnet) in SUBNETS.scan(read, usize::MAX)? {
        if hotkeys.get(&subnet.owner_hotkey) != Some(&subnet.owner) {
            return Err(wrong("a subnet's owner owns its hotkey", format!("subnet {netuid}")));
        }
    }
    named.extend(IDENTITIES.scan(read, usize::MAX)?.into_iter().map(|(hotkey, _)| hotkey));
    let symbols: BTreeSet<String> =
        SUBNETS.scan(read, usize::MAX)?.into_iter().map(|(_, subnet)| subnet.symbol).collect();
    equal("symbols are one subnet's", symbols.len() as u128, SUBNETS.scan(read, usize::MAX)?.len() as u128)?;
    for ((netuid, hotkey), commitment) in COMMITMENTS.scan(read, usize::MAX)? {
        let short = commitment.fields.iter().all(|field| field.len() <= FIELD_BYTES);
        if commitment.fields.len() > FIELDS_MAX || !short || !UIDS.contains(read, &(netuid, hotkey))? {
            return Err(wrong("commitments are short and neurons'", format!("subnet {netuid}")));
        }
    }
    named.extend(AXONS.scan(read, usize::MAX)?.into_iter().map(|((_, hotkey), _)| hotkey));
    for (_, order) in ORDERS.scan(read, usize::MAX)? {
        match order {
            Order::Buy { hotkey, .. } | Order::Claim { hotkey, .. } => named.push(hotkey),
            Order::Burn { .. } => {}
            Order::Sell { hotkey, then, .. } => {
                named.extend(then.map(|then| then.hotkey).into_iter().chain([hotkey]))
            }
        }
    }
    match named.into_iter().find(|hotkey| !hotkeys.contains_key(hotkey)) {
        Some(hotkey) => Err(wrong("hotkeys that are named are known", hex::encode(hotkey))),
        None => Ok(()),
    }
}

/// Parents and children see one another, and nobody lends more than it has.
fn families(read: &impl Read) -> Result<(), Violation> {
    let mut lent = BTreeMap::new();
    for ((netuid, parent), children) in CHILDREN.scan(read, usize::MAX)? {
        let sum: u128 = children.iter().map(|(fraction, _)| u128::from(*fraction)).sum();
        if children.is_empty() || children.len() > CHILDREN_MAX || sum > u128::from(u64::MAX) {
            return Err(wrong("nobody lends more than it has", hex::encode(parent)));
        }
        lent.extend(children.into_iter().map(|(fraction, child)| ((netuid, child, parent), fraction)));
    }
    for ((netuid, child), parents) in PARENTS.scan(read, usize::MAX)? {
        if parents.is_empty() || parents.len() > PARENTS_MAX {
            return Err(wrong("parents are few", hex::encode(child)));
        }
        for (fraction, parent) in parents {
            if lent.remove(&(netuid, child, parent)) != Some(fraction) {
                return Err(wrong("parents have children", hex::encode(parent)));
            }
        }
    }
    equal("children have parents", lent.len() as u128, 0)
}

/// Rows belong to members of mechanisms that exist.
fn rows(read: &impl Read) -> Result<(), Violation> {
    let mut sizes = BTreeMap::new();
    for (netuid, subnet) in SUBNETS.scan(read, usize::MAX)? {
        let members = MEMBERS.get(read, &netuid)?.map_or(0, |members| members.len());
        sizes.insert(netuid, (members, subnet.hyper.mechanisms));
    }
    let known = |index: u16, uid: u16| {
        let (netuid, mechanism) = mechanism_of(index);
        sizes.get(&netuid).is_some_and(|(members, count)| usize::from(uid) < *members && mechanism < *count)
    };
    let updated = UPDATED.scan(read, usize::MAX)?.into_iter().map(|(key, _)| key);
    let weights = WEIGHTS.scan(read, usize::MAX)?.into_iter().map(|(key, _)| key);
    let bonds = BONDS.scan(read, usize::MAX)?.into_iter().map(|(key, _)| key);
    if let Some((index, uid)) = updated.chain(weights).chain(bonds).find(|(index, uid)| !known(*index, *uid))
    {
        return Err(wrong("rows belong to members", format!("index {index} uid {uid}")));
    }
    for ((index, _), commits) in COMMITS.scan(read, usize::MAX)? {
        if !known(index, 0) || commits.is_empty() || commits.len() > COMMITS_MAX {
            return Err(wrong("commits are few and belong to subnets", format!("index {index}")));
        }
    }
    Ok(())
}
