//! What staking, distribution and slashing have in common: how addresses, amounts and keys are written and read; and the
//! sets that decide blocks.

use dodona_chain::{
    Validator,
    staking::{
        state::consensus_address,
        view::{self, ValidatorRow},
    },
};
use dodona_proto::{
    Address, Prefix,
    cosmos::{base::tendermint::v1beta1 as tm, crypto::ed25519::PubKey},
    url,
};
use dodona_store::Snapshot;
use prost::Message;
use prost_types::{Any, Duration};

use crate::{NodeHandle, api::Status};

/// The set that decided a block, in the order of its keys.
pub(super) fn consensus_set(node: &NodeHandle, height: u64) -> Result<Vec<tm::Validator>, Status> {
    let set = node.app().validators_of(height).map_err(Status::internal)?;
    let set =
        set.ok_or_else(|| Status::not_found(format!("the validators of block {height} are not kept")))?;
    let view = |v: &Validator| tm::Validator {
        address: consensus_address(&v.public_key).written(Prefix::Consensus),
        pub_key: Some(ed25519(&v.public_key)),
        voting_power: v.power as i64,
        proposer_priority: 0,
    };
    Ok(set.iter().map(view).collect())
}

/// An account's address.
pub(super) fn account(text: &str) -> Result<Address, Status> {
    text.parse().map_err(|e| Status::invalid(format!("delegator address: {e}")))
}

/// A validator's address.
pub(super) fn operator(text: &str) -> Result<Address, Status> {
    Address::read(text, Prefix::Operator).map_err(|e| Status::invalid(format!("validator address: {e}")))
}

/// The validator with an address.
pub(super) fn validator(read: &Snapshot, text: &str) -> Result<ValidatorRow, Status> {
    let found = view::validator(read, operator(text)?)?;
    found.ok_or_else(|| Status::not_found(format!("validator {text} not found")))
}

/// A key that votes.
pub(super) fn ed25519(key: &[u8; 32]) -> Any {
    Any { type_url: url::ED25519.into(), value: PubKey { key: key.to_vec() }.encode_to_vec() }
}

/// A whole number as an integer of eighteen decimals.
pub(super) fn decimal(whole: u128) -> String {
    if whole == 0 { "0".into() } else { format!("{whole}000000000000000000") }
}

/// Milliseconds.
pub(super) fn period(ms: u64) -> Duration {
    Duration { seconds: (ms / 1_000) as i64, nanos: (ms % 1_000 * 1_000_000) as i32 }
}

/// Two addresses as one key of a page.
pub(super) fn joined((a, b): (Address, Address)) -> [u8; 40] {
    let mut key = [0; 40];
    key[..20].copy_from_slice(&a.0);
    key[20..].copy_from_slice(&b.0);
    key
}

/// What [`joined`] joined.
pub(super) fn split(key: [u8; 40]) -> (Address, Address) {
    let (mut a, mut b) = ([0; 20], [0; 20]);
    a.copy_from_slice(&key[..20]);
    b.copy_from_slice(&key[20..]);
    (Address(a), Address(b))
}
