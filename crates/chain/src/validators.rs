//! Who decides a block, as consensus sees it: keys and powers. How a set comes about is `staking::set`.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::Address;

/// One validator of a set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// Ed25519 key that signs votes.
    pub public_key: [u8; 32],
    /// Voting power: whole ALLO delegated to it when the set was made.
    pub power: u64,
    /// Account that operates it.
    pub operator: Address,
}
