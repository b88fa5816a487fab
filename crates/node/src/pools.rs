//! What became of every subnet's pool and of every epoch's pay, for charts: the state itself holds only the present.
//! Written with the commit of a block, bounded, no part of the root; a node that begins from a snapshot has it from there.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_chain::{
    Event,
    subnets::state::{MARKETS, Netuid, network},
};
use dodona_store::{RecordChange, RecordTable, Store, StoreError};

/// Netuid, height (big-endian) → [`Sample`].
pub const POOLS: RecordTable = RecordTable::new("subnet_pools");
/// Netuid, number of the epoch (big-endian) → [`Pay`].
pub const PAYS: RecordTable = RecordTable::new("subnet_pays");
/// Blocks between two samples of a pool.
pub const EVERY: u64 = 10;
/// Samples, and epochs, kept of a subnet.
pub const KEPT: u64 = 2_000;

/// A pool after a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sample {
    /// Price of the subnet's token, decimal text.
    pub price: String,
    /// The chain's token in the pool, 10^-9.
    pub tao: u64,
    /// The subnet's token in the pool, 10^-9.
    pub alpha: u64,
    /// The same outside of it.
    pub alpha_out: u64,
    /// Emission of that block: the chain's token into the pool, the subnet's outside it.
    pub emission: (u64, u64),
}

/// What an epoch paid, 10^-9 of the subnet's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pay {
    /// Its block.
    pub height: u64,
    /// To miners,
    pub miners: u64,
    /// to validators and those behind them,
    pub validators: u64,
    /// to stake at the root,
    pub root: u64,
    /// to the owner,
    pub owner: u64,
    /// and to nobody: the owner's own miners earn nothing.
    pub withheld: u64,
}

fn key(netuid: Netuid, number: u64) -> Vec<u8> {
    [&netuid.to_be_bytes()[..], &number.to_be_bytes()[..]].concat()
}

fn encoded(value: &impl BorshSerialize) -> Vec<u8> {
    // Writing to memory does not fail; an empty record would be read as none.
    borsh::to_vec(value).unwrap_or_default()
}

/// What the commit of block `height` adds and forgets. The state is the one after the block before it.
pub fn changes(store: &Store, height: u64, events: &[Event]) -> Result<Vec<RecordChange>, StoreError> {
    let mut changes = Vec::new();
    for (netuid, epoch, pay) in events.iter().filter_map(|event| pay(event, height)) {
        changes.push(RecordChange::put(PAYS, key(netuid, epoch), encoded(&pay)));
        if let Some(old) = epoch.checked_sub(KEPT) {
            changes.push(RecordChange::delete(PAYS, key(netuid, old)));
        }
    }
    let Some(before) = height.checked_sub(1).filter(|before| *before > 0 && before.is_multiple_of(EVERY))
    else {
        return Ok(changes);
    };
    let read = store.snapshot()?;
    for netuid in network(&read)?.netuids {
        let Some(market) = MARKETS.get(&read, &netuid)? else { continue };
        let sample = Sample {
            price: market.spot().to_string(),
            tao: market.tao,
            alpha: market.alpha,
            alpha_out: market.alpha_out,
            emission: market.newest,
        };
        changes.push(RecordChange::put(POOLS, key(netuid, before), encoded(&sample)));
        if let Some(old) = before.checked_sub(KEPT * EVERY) {
            changes.push(RecordChange::delete(POOLS, key(netuid, old)));
        }
    }
    Ok(changes)
}

/// The pay that an event tells of.
fn pay(event: &Event, height: u64) -> Option<(Netuid, u64, Pay)> {
    if event.kind != "subnet_epoch" {
        return None;
    }
    let number = |name: &str| event.attributes.iter().find(|(key, _)| key == name)?.1.parse::<u64>().ok();
    let netuid = Netuid::try_from(number("netuid")?).ok()?;
    let part = |name: &str| number(name).unwrap_or(0);
    let pay = Pay {
        height,
        miners: part("miners"),
        validators: part("validators"),
        root: part("root"),
        owner: part("owner"),
        withheld: part("withheld"),
    };
    Some((netuid, number("epoch")?, pay))
}

/// Rows of a subnet whose number is at least `from`, oldest first.
fn rows<T: BorshDeserialize>(
    store: &Store,
    table: RecordTable,
    netuid: Netuid,
    from: u64,
) -> Result<Vec<(u64, T)>, StoreError> {
    let until = key(netuid, u64::MAX);
    // Dissolved subnets may have left rows under the same netuid.
    let found = store.records(table, &key(netuid, from), Some(&until), 2 * KEPT as usize)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let number = u64::from_be_bytes(*key.last_chunk::<8>()?);
        Some((number, borsh::from_slice(&value).ok()?))
    };
    Ok(found.into_iter().filter_map(read).collect())
}

/// Samples of a subnet created in block `since`, by height, oldest first.
pub fn samples(store: &Store, netuid: Netuid, since: u64) -> Result<Vec<(u64, Sample)>, StoreError> {
    rows(store, POOLS, netuid, since)
}

/// What the epochs of a subnet created in block `since` paid, by number, oldest first.
pub fn pays(store: &Store, netuid: Netuid, since: u64) -> Result<Vec<(u64, Pay)>, StoreError> {
    let mut found: Vec<(u64, Pay)> = rows(store, PAYS, netuid, 0)?;
    found.retain(|(_, pay)| pay.height > since);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use dodona_store::Config;

    use super::*;

    #[test]
    fn the_pay_of_an_epoch_is_kept_until_enough_others_came() {
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        for epoch in 1..=KEPT + 5 {
            let event = Event::new("subnet_epoch")
                .with("netuid", 3)
                .with("epoch", epoch)
                .with("miners", 7)
                .with("owner", "no number");
            let changes = changes(&store, 100 + epoch * EVERY + 5, &[event, Event::new("other")]).unwrap();
            store.put_records(changes).unwrap();
        }
        let kept = pays(&store, 3, 0).unwrap();
        assert_eq!(kept.len() as u64, KEPT);
        assert_eq!(kept[0].0, 6);
        assert_eq!(kept[0].1, Pay { height: 165, miners: 7, ..Pay::default() });
        assert_eq!(pays(&store, 2, 0).unwrap(), []);
        // A later subnet under the same netuid does not see what was paid before it.
        assert_eq!(pays(&store, 3, kept[1].1.height).unwrap().len() as u64, KEPT - 2);
    }
}
