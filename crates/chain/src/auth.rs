//! Accounts: a number given once, and a sequence that makes every transaction valid exactly once.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::Address;
use dodona_store::{Item, Map, Read, StoreError};

use crate::state::State;

/// Address → account. Written when an account first receives or sends something. Numbers are dense from 0.
const ACCOUNTS: Map<[u8; 20], Account> = Map::new(*b"aa");
/// The number the next account gets.
const NEXT_NUMBER: Item<u64> = Item::new(*b"an");

/// An account as the chain knows it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Given at creation, part of every signed document.
    pub number: u64,
    /// Transactions accepted so far: what the next one must carry.
    pub sequence: u64,
}

/// The account, if it exists.
pub fn account(read: &impl Read, address: Address) -> Result<Option<Account>, StoreError> {
    ACCOUNTS.get(read, &address.0)
}

/// At most `limit` accounts in the order of their addresses, from `start` on.
pub fn from(read: &impl Read, start: Address, limit: usize) -> Result<Vec<([u8; 20], Account)>, StoreError> {
    ACCOUNTS.scan_from(read, &start.0, limit)
}

/// How many accounts there are.
pub fn count(read: &impl Read) -> Result<u64, StoreError> {
    Ok(NEXT_NUMBER.get(read)?.unwrap_or(0))
}

/// Creates the account unless it exists.
pub fn ensure(state: &mut State, address: Address) -> Result<Account, StoreError> {
    if let Some(account) = ACCOUNTS.get(state, &address.0)? {
        return Ok(account);
    }
    let number = NEXT_NUMBER.get(state)?.unwrap_or(0);
    let account = Account { number, sequence: 0 };
    NEXT_NUMBER.put(state, &(number + 1));
    ACCOUNTS.put(state, &address.0, &account);
    Ok(account)
}

/// Marks one more transaction of an existing account as accepted.
pub fn advance(state: &mut State, address: Address, account: Account) {
    ACCOUNTS.put(state, &address.0, &Account { sequence: account.sequence + 1, ..account });
}
