//! Pages of the ledger for wallets and explorers: who has an account, who holds what, which accounts are the chain's
//! own. Views of `auth` and `bank`; nothing here changes anything.

use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use crate::{accounts, auth, bank};

/// An account with its number and sequence.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Whose.
    pub address: Address,
    /// Given at creation.
    pub number: u64,
    /// Transactions accepted so far.
    pub sequence: u64,
}

/// At most `limit` accounts in the order of their addresses, from `start` on.
///
/// # Errors
/// When the disk cannot be read.
pub fn accounts(read: &impl Read, start: Address, limit: usize) -> Result<Vec<AccountRow>, StoreError> {
    let rows = auth::from(read, start, limit)?;
    Ok(rows.into_iter().map(|(a, account)| row(a, account)).collect())
}

/// One account, if it exists.
///
/// # Errors
/// When the disk cannot be read.
pub fn account(read: &impl Read, address: Address) -> Result<Option<AccountRow>, StoreError> {
    Ok(auth::account(read, address)?.map(|account| row(address.0, account)))
}

fn row(address: [u8; 20], account: auth::Account) -> AccountRow {
    AccountRow { address: Address(address), number: account.number, sequence: account.sequence }
}

/// At most `limit` balances in uallo that are not zero, in the order of their addresses, from `start` on.
///
/// # Errors
/// When the disk cannot be read.
pub fn holders(read: &impl Read, start: Address, limit: usize) -> Result<Vec<(Address, u128)>, StoreError> {
    let rows = bank::from(read, start, limit)?;
    Ok(rows.into_iter().map(|(a, amount)| (Address(a), amount)).collect())
}

/// Accounts of the chain itself, with the names under which clients know them.
pub fn own_accounts() -> Vec<(&'static str, Address)> {
    accounts::named().collect()
}
