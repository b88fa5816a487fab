//! The programs that nodes run: the one they begin with, and the one that takes its place and changes the form of the
//! state. Broken ones too, which show that the checks notice.

use dodona_chain::{
    topics::state::DUE,
    upgrade::{KNOWN, Upgrade},
};
use dodona_store::{Item, Map, StoreError, Write};

use super::{node::is_after_the_run, plan::Canary};

/// Name of the upgrade.
pub(super) const NAME: &str = "counted-accounts";
/// Forms of the state before and after.
const FORMS: [u32; 2] = [KNOWN[0].from, KNOWN[0].from + 1];
/// What the upgrade makes of the state: a count of all accounts.
const COUNTED: Item<u64> = Item::new(*b"~1");
/// Accounts, as the migration finds them.
const ACCOUNTS: Map<[u8; 20], (u64, u64)> = Map::new(*b"aa");
/// Balances, as a broken migration finds them.
const BALANCES: Map<[u8; 20], u128> = Map::new(*b"bb");

/// The program that all nodes begin with.
pub(super) const OLD: &[Upgrade] = KNOWN;
const NEW: &[Upgrade] = &with(count);
const SUPPLY: &[Upgrade] = &with(mint);
const REPLAY: &[Upgrade] = &with(differ);
const STUCK: &[Upgrade] = &with(forget);

/// The program that they get.
pub(super) fn new(canary: Option<Canary>) -> &'static [Upgrade] {
    match canary {
        Some(Canary::Supply) => SUPPLY,
        Some(Canary::Replay) => REPLAY,
        Some(Canary::Stuck) => STUCK,
        _ => NEW,
    }
}

const fn with(migrate: fn(&mut dyn Write) -> Result<(), StoreError>) -> [Upgrade; 3] {
    let [before, after] = FORMS;
    [
        KNOWN[0],
        Upgrade { name: NAME, from: before, to: after, migrate },
        // Planned twice by somebody who did not see that the first plan had been taken.
        Upgrade { name: NAME, from: after, to: after, migrate: |_| Ok(()) },
    ]
}

fn count(state: &mut dyn Write) -> Result<(), StoreError> {
    let accounts = ACCOUNTS.scan(&*state, usize::MAX)?.len() as u64;
    COUNTED.put(state, &accounts);
    Ok(())
}

fn mint(state: &mut dyn Write) -> Result<(), StoreError> {
    BALANCES.put(state, &[7; 20], &1);
    count(state)
}

fn differ(state: &mut dyn Write) -> Result<(), StoreError> {
    COUNTED.put(state, &u64::from(is_after_the_run()));
    Ok(())
}

fn forget(state: &mut dyn Write) -> Result<(), StoreError> {
    for (key, ()) in DUE.scan(&*state, usize::MAX)? {
        DUE.delete(state, &key);
    }
    count(state)
}
