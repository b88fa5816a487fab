//! Who decides blocks: a list set by genesis. Staking, which will move power, is not built yet.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::Address;
use dodona_store::{Item, Read, StoreError};

use crate::state::State;

/// The set that decides the next block, in the order of its public keys.
const VALIDATORS: Item<Vec<Validator>> = Item::new(*b"vv");

/// One validator, as the state machine knows it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// Ed25519 key that signs votes.
    pub public_key: [u8; 32],
    /// Voting power.
    pub power: u64,
    /// Account that is paid.
    pub operator: Address,
}

/// The set that decides the next block.
pub fn get(read: &impl Read) -> Result<Vec<Validator>, StoreError> {
    Ok(VALIDATORS.get(read)?.unwrap_or_default())
}

/// Sets the set; the caller sorts it by public key.
pub(crate) fn put(state: &mut State, set: &Vec<Validator>) {
    VALIDATORS.put(state, set);
}
