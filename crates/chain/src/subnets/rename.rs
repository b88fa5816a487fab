//! Another key in the place of one: everything stored under it moves, and nothing else changes (S 2.6, 2.7). What waits
//! at the end of the block names the new key too. Whoever adds a table whose key or value names a hotkey or coldkey adds
//! it here; the invariants find stake and owners that were left behind.

use dodona_mechanism::{
    amount::split_by,
    subnet::{clock::mechanism_index, share_pool::SharePool},
};
use dodona_proto::Address;
use dodona_store::{KeyCode, Map, Read, StoreError};

use super::{
    book::{self, math},
    family, lock,
    rules::MECHANISMS,
    state::{
        AUTO_STAKE, AXONS, CHANGED, CHILD_TAKES, COMMITMENTS, COMMITS, HOLDERS, HOLDINGS, HOTKEYS, Hotkey,
        IDENTITIES, Key, LOCKS, MARKS, MEMBERS, Netuid, ORDERS, OWNED, Order, PROMETHEUS, RATES, ROOT,
        ROOT_CLAIMS, STAKES, SUBNETS, SWAPS, Stakes, UIDS, network, rules,
    },
};
use crate::{bank, error::Failure, state::State};

/// Name under which the last change of a hotkey's children is dated.
pub(super) fn children_of(hotkey: Key) -> String {
    format!("children of {}", Address(hotkey))
}

/// How much a swap of a hotkey has to do: records it looks through, and records it moves.
pub(super) fn hotkey_work(read: &impl Read, scope: &[Netuid], old: Key) -> Result<(u64, u64), StoreError> {
    let (mut looked, mut moved) = (ORDERS.scan(read, usize::MAX)?.len() as u64, 0);
    for netuid in scope {
        moved += 1 + HOLDINGS.scan_prefix(read, &(*netuid, old), usize::MAX)?.len() as u64;
        looked += AUTO_STAKE.scan_prefix(read, netuid, usize::MAX)?.len() as u64;
        looked += LOCKS.scan_prefix(read, netuid, usize::MAX)?.len() as u64;
    }
    Ok((looked, moved))
}

/// Puts `new` in the place of `old` in these subnets; `everywhere` they are all there are and the root, and `new` is a
/// key that nobody has used. The caller has seen that `new` is registered in none of them and has no family there.
pub(super) fn hotkey(
    state: &mut State,
    scope: &[Netuid],
    everywhere: bool,
    old: Key,
    new: Key,
) -> Result<(), Failure> {
    let Some(known) = HOTKEYS.get(state, &old)? else { return Ok(()) };
    if !HOTKEYS.contains(state, &new)? {
        HOTKEYS.put(state, &new, &Hotkey { ..known });
        OWNED.put(state, &(known.coldkey, new), &());
    }
    for &netuid in scope {
        stakes(state, netuid, old, new)?;
        if netuid != ROOT {
            member(state, netuid, old, new)?;
        }
    }
    if everywhere {
        for netuid in network(state)?.netuids {
            rekey(state, &RATES, (netuid, old), (netuid, new))?;
            for ((_, _, coldkey), mark) in MARKS.scan_prefix(state, &(netuid, old), usize::MAX)? {
                MARKS.delete(state, &(netuid, old, coldkey));
                MARKS.put(state, &(netuid, new, coldkey), &mark);
            }
        }
        rekey(state, &IDENTITIES, old, new)?;
        HOTKEYS.delete(state, &old);
        OWNED.delete(state, &(known.coldkey, old));
    }
    orders(state, |netuid, order| {
        let mut changed = false;
        let mut rename = |netuid: Netuid, key: &mut Key| {
            if *key == old && scope.contains(&netuid) {
                (*key, changed) = (new, true);
            }
        };
        match order {
            Order::Buy { hotkey, .. } => rename(netuid, hotkey),
            Order::Burn { .. } => {}
            // What it brings is staked at the root, where one key takes another's place only everywhere.
            Order::Claim { hotkey, .. } => rename(ROOT, hotkey),
            Order::Sell { hotkey, then, .. } => {
                rename(netuid, hotkey);
                if let Some(then) = then {
                    rename(then.netuid, &mut then.hotkey);
                }
            }
        }
        changed
    })
}

/// Stake upon one key becomes stake upon another, to the last unit and by the same shares.
fn stakes(state: &mut State, netuid: Netuid, old: Key, new: Key) -> Result<(), Failure> {
    let Some(from) = STAKES.get(state, &(netuid, old))? else { return Ok(()) };
    let into = STAKES.get(state, &(netuid, new))?.unwrap_or_default();
    let holders = HOLDINGS.scan_prefix(state, &(netuid, old), usize::MAX)?;
    let shares: Vec<u128> = holders.iter().map(|(_, shares)| *shares).collect();
    let (pool, parts) = if into.shares == 0 {
        (SharePool { value: math(sum(from.value, into.value))?, shares: from.shares }, shares)
    } else {
        let (pool, bought) = math(book::shares_of(into).deposit(from.value))?;
        // Shares of a pool that is worth nothing are worth nothing in another one.
        (pool, if bought == 0 { vec![0; shares.len()] } else { math(split_by(bought, &shares))? })
    };
    STAKES.delete(state, &(netuid, old));
    STAKES.put(state, &(netuid, new), &Stakes { value: pool.value, shares: pool.shares });
    for ((key, _), part) in holders.into_iter().zip(parts) {
        let coldkey = key.2;
        book::hold(state, key, 0)?;
        add_shares(state, (netuid, new, coldkey), part)?;
    }
    Ok(())
}

fn sum(a: u64, b: u64) -> Result<u64, dodona_mechanism::MathError> {
    a.checked_add(b).ok_or(dodona_mechanism::MathError::Overflow("stake"))
}

/// More shares of a holder.
fn add_shares(state: &mut State, key: (Netuid, Key, Key), shares: u128) -> Result<(), StoreError> {
    let held = HOLDINGS.get(state, &key)?.unwrap_or(0) + shares;
    if held > 0 { book::hold(state, key, held) } else { Ok(()) }
}

/// What a subnet knows of a hotkey besides stake: its uid keeps scores, weights, bonds and registration.
fn member(state: &mut State, netuid: Netuid, old: Key, new: Key) -> Result<(), Failure> {
    if let Some(uid) = UIDS.get(state, &(netuid, old))? {
        let mut members = MEMBERS.get(state, &netuid)?.unwrap_or_default();
        if let Some(member) = members.get_mut(usize::from(uid)) {
            member.hotkey = new;
        }
        MEMBERS.put(state, &netuid, &members);
        UIDS.delete(state, &(netuid, old));
        UIDS.put(state, &(netuid, new), &uid);
    }
    for index in (0..MECHANISMS).filter_map(|mechanism| mechanism_index(netuid, mechanism)) {
        rekey(state, &COMMITS, (index, old), (index, new))?;
    }
    let (from, to) = ((netuid, old), (netuid, new));
    rekey(state, &AXONS, from, to)?;
    rekey(state, &PROMETHEUS, from, to)?;
    rekey(state, &COMMITMENTS, from, to)?;
    rekey(state, &CHILD_TAKES, from, to)?;
    rekey(state, &CHANGED, (netuid, children_of(old)), (netuid, children_of(new)))?;
    family::rename(state, netuid, old, new)?;
    let rules = rules(state)?;
    lock::rename_hotkey(state, &rules, netuid, old, new)?;
    if let Some(mut subnet) = SUBNETS.get(state, &netuid)?.filter(|subnet| subnet.owner_hotkey == old) {
        subnet.owner_hotkey = new;
        SUBNETS.put(state, &netuid, &subnet);
    }
    for (key, upon) in AUTO_STAKE.scan_prefix(state, &netuid, usize::MAX)? {
        if upon == old {
            AUTO_STAKE.put(state, &key, &new);
        }
    }
    Ok(())
}

/// Moves an entry, if there is one; what stood under the other key gives way.
fn rekey<K: KeyCode, V: borsh::BorshSerialize + borsh::BorshDeserialize>(
    state: &mut State,
    map: &Map<K, V>,
    from: K,
    to: K,
) -> Result<(), StoreError> {
    if let Some(value) = map.get(state, &from)? {
        map.delete(state, &from);
        map.put(state, &to, &value);
    }
    Ok(())
}

/// Changes orders that wait.
fn orders(state: &mut State, mut change: impl FnMut(Netuid, &mut Order) -> bool) -> Result<(), Failure> {
    for (key, mut order) in ORDERS.scan(state, usize::MAX)? {
        if change(key.0, &mut order) {
            ORDERS.put(state, &key, &order);
        }
    }
    Ok(())
}

/// How much a swap of a coldkey has to do.
pub(super) fn coldkey_work(read: &impl Read, old: Key) -> Result<(u64, u64), StoreError> {
    let looked = ORDERS.scan(read, usize::MAX)?.len() + network(read)?.netuids.len();
    let moved =
        HOLDERS.scan_prefix(read, &old, usize::MAX)?.len() + OWNED.scan_prefix(read, &old, usize::MAX)?.len();
    Ok((looked as u64, moved as u64))
}

/// Puts `new` in the place of `old`: stake, hotkeys, subnets, orders that wait and the balance. What `new` has stays.
pub(super) fn coldkey(state: &mut State, old: Key, new: Key, height: u64) -> Result<(), Failure> {
    let rules = rules(state)?;
    // What root stake has earned becomes stake of its subnets first, so it is among what moves.
    let at_root: Vec<Key> = HOLDERS
        .scan_prefix(state, &(old, ROOT), usize::MAX)?
        .into_iter()
        .map(|((.., key), ())| key)
        .collect();
    for hotkey in &at_root {
        book::collect(state, *hotkey, old)?;
        book::collect(state, *hotkey, new)?;
    }
    for ((_, netuid, hotkey), ()) in HOLDERS.scan_prefix(state, &old, usize::MAX)? {
        let shares = HOLDINGS.get(state, &(netuid, hotkey, old))?.unwrap_or(0);
        book::hold(state, (netuid, hotkey, old), 0)?;
        add_shares(state, (netuid, hotkey, new), shares)?;
    }
    for hotkey in at_root {
        // Both have earned nothing since what was collected.
        book::earned_nothing(state, hotkey, old)?;
        book::earned_nothing(state, hotkey, new)?;
    }
    for ((_, hotkey), ()) in OWNED.scan_prefix(state, &old, usize::MAX)? {
        OWNED.delete(state, &(old, hotkey));
        OWNED.put(state, &(new, hotkey), &());
        if let Some(known) = HOTKEYS.get(state, &hotkey)? {
            HOTKEYS.put(state, &hotkey, &Hotkey { coldkey: new, ..known });
        }
    }
    for netuid in network(state)?.netuids {
        lock::rename_coldkey(state, &rules, netuid, (old, new), height)?;
        if let Some(upon) = AUTO_STAKE.get(state, &(netuid, old))? {
            AUTO_STAKE.delete(state, &(netuid, old));
            if !AUTO_STAKE.contains(state, &(netuid, new))? {
                AUTO_STAKE.put(state, &(netuid, new), &upon);
            }
        }
    }
    orders(state, |_, order| {
        let mut changed = false;
        let mut rename = |key: &mut Key| {
            if *key == old {
                (*key, changed) = (new, true);
            }
        };
        match order {
            Order::Buy { coldkey, .. } => rename(coldkey),
            Order::Burn { .. } => {}
            Order::Claim { coldkey, .. } => rename(coldkey),
            Order::Sell { coldkey, then, .. } => {
                rename(coldkey);
                if let Some(then) = then {
                    rename(&mut then.coldkey);
                }
            }
        }
        changed
    })?;
    if let Some(choice) = ROOT_CLAIMS.get(state, &old)? {
        ROOT_CLAIMS.delete(state, &old);
        if !ROOT_CLAIMS.contains(state, &new)? {
            ROOT_CLAIMS.put(state, &new, &choice);
        }
    }
    SWAPS.delete(state, &old);
    let balance = bank::balance(state, Address(old))?;
    bank::transfer(state, Address(old), Address(new), balance)
}
