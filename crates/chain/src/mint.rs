//! New tokens: a fixed amount per block until the maximum supply, split between validators and topics.
//! Whatever topics cannot take goes to the ecosystem account, so nothing minted is ever unaccounted for.

use dodona_mechanism::amount;
use dodona_store::{Item, Read, StoreError};

use crate::{
    accounts::{ecosystem, fee_collector},
    bank,
    error::Failure,
    params::Params,
    state::State,
    validators::{self, Validator},
};

/// Sum of everything minted after genesis. Never above the supply, because nothing is ever destroyed.
const MINTED: Item<u128> = Item::new(*b"mm");

/// Minted since genesis.
pub fn minted(read: &impl Read) -> Result<u128, StoreError> {
    Ok(MINTED.get(read)?.unwrap_or(0))
}

/// Begin of block: mints, gives validators their share, and returns what topics may take. That amount lies in
/// the ecosystem account until they do.
pub(crate) fn begin(state: &mut State, params: &Params) -> Result<u128, Failure> {
    let room = params.max_supply.saturating_sub(bank::supply(state)?);
    let emission = params.emission_per_block.min(room);
    if emission == 0 {
        return Ok(0);
    }
    // 10 000 divides first-rank amounts exactly; otherwise the topics get the remainder.
    let for_validators = amount::mul_div_floor(emission, params.validator_share.into(), 10_000).unwrap_or(0);
    bank::create(state, fee_collector(), for_validators)?;
    bank::create(state, ecosystem(), emission - for_validators)?;
    let minted = MINTED.get(state)?.unwrap_or(0);
    MINTED.put(state, &(minted + emission));
    Ok(emission - for_validators)
}

/// End of block: fees and the validators' share go to the validators by voting power, to the last unit.
pub(crate) fn end(state: &mut State) -> Result<Vec<Validator>, Failure> {
    let set = validators::get(state)?;
    let collected = bank::balance(state, fee_collector())?;
    let powers: Vec<u128> = set.iter().map(|v| v.power.into()).collect();
    // Without anybody to pay it waits for the next block.
    if let Ok(parts) = amount::split_by(collected, &powers) {
        for (validator, part) in set.iter().zip(parts) {
            bank::transfer(state, fee_collector(), validator.operator, part)?;
        }
    }
    Ok(set)
}
