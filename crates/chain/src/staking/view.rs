//! Staking for those who look: rows and pages for wallets and explorers. Nothing here changes anything, and no function
//! reads more rows than it is told to, or than the set of validators has.

use dodona_mechanism::supply::Fixed;
use dodona_proto::Address;
use dodona_store::{Read, StoreError};

use super::{
    reward,
    state::{
        COUNTED, CURRENT, DELEGATIONS, DELEGATORS, Description, KEYS, Key, REDELEGATIONS, REDELEGATORS,
        REWARDS, Redelegation, Rewards, SIGNING, SLASHES, Slash, TEXTS, UNBONDERS, UNBONDINGS, Unbonding,
        VALIDATORS, Validator, consensus_address,
    },
};
use crate::{accounts, bank, params};

/// A validator with its words.
#[derive(Clone, Debug)]
pub struct ValidatorRow {
    /// Its account.
    pub operator: Address,
    /// What the chain knows.
    pub validator: Validator,
    /// What people read.
    pub text: Description,
}

/// A delegator's part of a validator.
#[derive(Clone, Debug)]
pub struct DelegationRow {
    /// Whose.
    pub delegator: Address,
    /// With whom.
    pub operator: Address,
    /// Its part.
    pub shares: u128,
    /// What that is worth now, uallo, rounded down.
    pub balance: u128,
}

/// Tokens on their way back.
#[derive(Clone, Debug)]
pub struct UnbondingRow {
    /// To whom.
    pub delegator: Address,
    /// From where.
    pub operator: Address,
    /// Oldest first.
    pub entries: Vec<Unbonding>,
}

/// Delegations that moved and still answer for where they were.
#[derive(Clone, Debug)]
pub struct RedelegationRow {
    /// Whose.
    pub delegator: Address,
    /// From where.
    pub source: Address,
    /// To where.
    pub destination: Address,
    /// Oldest first, each with what its shares are worth now, uallo.
    pub entries: Vec<(Redelegation, u128)>,
}

/// How reliably a validator votes.
#[derive(Clone, Debug)]
pub struct SigningRow {
    /// Of its key.
    pub address: Address,
    /// Its account.
    pub operator: Address,
    /// Height of the first block it could decide since it last joined the set.
    pub start_height: u64,
    /// Blocks counted since then.
    pub counted: u64,
    /// Blocks of the window that it missed.
    pub missed: u32,
    /// Time before which it cannot come back from jail, unix milliseconds.
    pub jailed_until: u64,
    /// Whether it can never come back.
    pub tombstoned: bool,
}

/// What staking goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Milliseconds between asking for delegated tokens and having them.
    pub unbonding_ms: u64,
    /// Most validators that decide blocks.
    pub max_validators: u32,
    /// Waits that a delegator may have under way at once with the same validators.
    pub max_entries: u32,
    /// Least commission.
    pub min_commission: Fixed,
    /// Blocks over which missing signatures are counted.
    pub window: u64,
    /// Part of them that must be signed.
    pub min_signed: Fixed,
    /// Milliseconds in jail for absence.
    pub jail_ms: u64,
    /// Part taken for two signatures that exclude one another.
    pub slash_double_sign: Fixed,
    /// Part taken for absence.
    pub slash_downtime: Fixed,
}

/// The rules in force.
///
/// # Errors
/// When the disk cannot be read; so in all functions here.
pub fn rules(read: &impl Read) -> Result<Rules, StoreError> {
    let p = params::get(read)?;
    Ok(Rules {
        unbonding_ms: p.unbonding_time_ms,
        max_validators: p.max_validators,
        max_entries: p.max_entries,
        min_commission: p.min_commission_rate,
        window: p.signed_blocks_window,
        min_signed: p.min_signed_per_window,
        jail_ms: p.downtime_jail_ms,
        slash_double_sign: p.slash_fraction_double_sign,
        slash_downtime: p.slash_fraction_downtime,
    })
}

/// Tokens of validators that decide blocks, and all other tokens of staking, uallo.
pub fn pools(read: &impl Read) -> Result<(u128, u128), StoreError> {
    let bonded = bank::balance(read, accounts::bonded_pool())?;
    Ok((bonded, bank::balance(read, accounts::not_bonded_pool())?))
}

/// One validator.
pub fn validator(read: &impl Read, operator: Address) -> Result<Option<ValidatorRow>, StoreError> {
    let Some(validator) = VALIDATORS.get(read, &operator.0)? else { return Ok(None) };
    row(read, operator.0, validator).map(Some)
}

fn row(read: &impl Read, operator: Key, validator: Validator) -> Result<ValidatorRow, StoreError> {
    let text = TEXTS.get(read, &operator)?.unwrap_or_default();
    Ok(ValidatorRow { operator: Address(operator), validator, text })
}

/// At most `limit` validators in the order of their operators, from `start` on, without their words.
pub fn validators(
    read: &impl Read,
    start: Address,
    limit: usize,
) -> Result<Vec<(Address, Validator)>, StoreError> {
    let rows = VALIDATORS.scan_from(read, &start.0, limit)?;
    Ok(rows.into_iter().map(|(operator, validator)| (Address(operator), validator)).collect())
}

/// Operators of the validators that decide the next block, ascending.
pub fn bonded(read: &impl Read) -> Result<Vec<Address>, StoreError> {
    let set = CURRENT.get(read)?.unwrap_or_default();
    let mut operators: Vec<_> = set.members.iter().map(|v| v.operator).collect();
    operators.sort();
    Ok(operators)
}

/// One delegation.
pub fn delegation(
    read: &impl Read,
    operator: Address,
    delegator: Address,
) -> Result<Option<DelegationRow>, StoreError> {
    let Some(validator) = VALIDATORS.get(read, &operator.0)? else { return Ok(None) };
    let Some(found) = DELEGATIONS.get(read, &(operator.0, delegator.0))? else { return Ok(None) };
    let balance = validator.worth(found.shares);
    Ok(Some(DelegationRow { delegator, operator, shares: found.shares, balance }))
}

/// At most `limit` delegations to a validator in the order of their delegators, from `start` on.
pub fn delegations_to(
    read: &impl Read,
    operator: Address,
    start: Address,
    limit: usize,
) -> Result<Vec<DelegationRow>, StoreError> {
    let Some(validator) = VALIDATORS.get(read, &operator.0)? else { return Ok(Vec::new()) };
    let rows = DELEGATIONS.scan_from(read, &(operator.0, start.0), limit)?;
    Ok(rows
        .into_iter()
        .take_while(|((of, _), _)| *of == operator.0)
        .map(|((_, delegator), found)| {
            let balance = validator.worth(found.shares);
            DelegationRow { delegator: Address(delegator), operator, shares: found.shares, balance }
        })
        .collect())
}

/// At most `limit` operators with whom an account has delegations, ascending, from `start` on.
pub fn operators_of(
    read: &impl Read,
    delegator: Address,
    start: Address,
    limit: usize,
) -> Result<Vec<Address>, StoreError> {
    let rows = DELEGATORS.scan_from(read, &(delegator.0, start.0), limit)?;
    let own = rows.into_iter().take_while(|((of, _), ())| *of == delegator.0);
    Ok(own.map(|((_, operator), ())| Address(operator)).collect())
}

/// Tokens on their way from a validator to a delegator.
pub fn unbonding(
    read: &impl Read,
    operator: Address,
    delegator: Address,
) -> Result<Option<UnbondingRow>, StoreError> {
    let entries = UNBONDINGS.get(read, &(operator.0, delegator.0))?;
    Ok(entries.map(|entries| UnbondingRow { delegator, operator, entries }))
}

/// At most `limit` delegators to whom tokens of a validator are on their way, ascending, from `start` on.
pub fn unbondings_from(
    read: &impl Read,
    operator: Address,
    start: Address,
    limit: usize,
) -> Result<Vec<UnbondingRow>, StoreError> {
    let rows = UNBONDINGS.scan_from(read, &(operator.0, start.0), limit)?;
    let own = rows.into_iter().take_while(|((of, _), _)| *of == operator.0);
    Ok(own
        .map(|((_, delegator), entries)| UnbondingRow { delegator: Address(delegator), operator, entries })
        .collect())
}

/// At most `limit` operators from whom tokens are on their way to an account, ascending, from `start` on.
pub fn unbonding_from(
    read: &impl Read,
    delegator: Address,
    start: Address,
    limit: usize,
) -> Result<Vec<Address>, StoreError> {
    let rows = UNBONDERS.scan_from(read, &(delegator.0, start.0), limit)?;
    let own = rows.into_iter().take_while(|((of, _), ())| *of == delegator.0);
    Ok(own.map(|((_, operator), ())| Address(operator)).collect())
}

/// What moved between two validators.
pub fn redelegation(
    read: &impl Read,
    delegator: Address,
    source: Address,
    destination: Address,
) -> Result<Option<RedelegationRow>, StoreError> {
    let Some(entries) = REDELEGATIONS.get(read, &(source.0, delegator.0, destination.0))? else {
        return Ok(None);
    };
    let now = VALIDATORS.get(read, &destination.0)?;
    let value = |entry: &Redelegation| now.as_ref().map_or(0, |now| now.worth(entry.shares));
    let entries = entries.into_iter().map(|e| (e, value(&e))).collect();
    Ok(Some(RedelegationRow { delegator, source, destination, entries }))
}

/// At most `limit` pairs (destination, source) between which an account's delegations moved, ascending, from `start` on.
pub fn moves_of(
    read: &impl Read,
    delegator: Address,
    start: (Address, Address),
    limit: usize,
) -> Result<Vec<(Address, Address)>, StoreError> {
    let rows = REDELEGATORS.scan_from(read, &(delegator.0, start.0.0, start.1.0), limit)?;
    let own = rows.into_iter().take_while(|((of, ..), ())| *of == delegator.0);
    Ok(own.map(|((_, to, from), ())| (Address(to), Address(from))).collect())
}

/// At most `limit` pairs (delegator, destination) whose delegations moved away from a validator, ascending, from `start`
/// on.
pub fn moves_from(
    read: &impl Read,
    source: Address,
    start: (Address, Address),
    limit: usize,
) -> Result<Vec<(Address, Address)>, StoreError> {
    let rows = REDELEGATIONS.scan_from(read, &(source.0, start.0.0, start.1.0), limit)?;
    let own = rows.into_iter().take_while(|((of, ..), _)| *of == source.0);
    Ok(own.map(|((_, who, to), _)| (Address(who), Address(to))).collect())
}

/// What was earned with a validator and is not collected: by its delegators together, with what rounding leaves, and as
/// its commission. Uallo.
pub fn earned(read: &impl Read, operator: Address) -> Result<(u128, u128), StoreError> {
    let Rewards { outstanding, commission, .. } = REWARDS.get(read, &operator.0)?.unwrap_or_default();
    Ok((outstanding, commission))
}

/// What a delegation has earned and its delegator has not collected, uallo; none without a delegation.
pub fn reward(read: &impl Read, operator: Address, delegator: Address) -> Result<Option<u128>, StoreError> {
    let Some(found) = DELEGATIONS.get(read, &(operator.0, delegator.0))? else { return Ok(None) };
    reward::pending(read, operator.0, &found).map(Some)
}

/// Where a delegator's rewards go.
pub fn withdraw_address(read: &impl Read, delegator: Address) -> Result<Address, StoreError> {
    reward::receiver(read, delegator.0)
}

/// At most `limit` punishments of a validator with their heights, ascending, from height `start` on.
pub fn slashes(
    read: &impl Read,
    operator: Address,
    start: u64,
    limit: usize,
) -> Result<Vec<(u64, Slash)>, StoreError> {
    let rows = SLASHES.scan_from(read, &(operator.0, start), limit)?;
    let own = rows.into_iter().take_while(|((of, _), _)| *of == operator.0);
    Ok(own.map(|((_, height), slash)| (height, slash)).collect())
}

/// Attendance of the validator with a key of this address, if it was ever in a set.
pub fn signing(read: &impl Read, address: Address) -> Result<Option<SigningRow>, StoreError> {
    let Some(operator) = KEYS.get(read, &address.0)? else { return Ok(None) };
    let Some(validator) = VALIDATORS.get(read, &operator)? else { return Ok(None) };
    attendance(read, operator, &validator)
}

/// At most `limit` validators that were ever in a set, with their attendance, in the order of their operators, from
/// `start` on.
pub fn signings(read: &impl Read, start: Address, limit: usize) -> Result<Vec<SigningRow>, StoreError> {
    let rows = SIGNING.scan_from(read, &start.0, limit)?;
    let mut found = Vec::with_capacity(rows.len());
    for (operator, _) in rows {
        if let Some(validator) = VALIDATORS.get(read, &operator)? {
            found.extend(attendance(read, operator, &validator)?);
        }
    }
    Ok(found)
}

fn attendance(
    read: &impl Read,
    operator: Key,
    validator: &Validator,
) -> Result<Option<SigningRow>, StoreError> {
    let Some(signing) = SIGNING.get(read, &operator)? else { return Ok(None) };
    let counted = COUNTED.get(read)?.unwrap_or(0).saturating_sub(signing.start);
    Ok(Some(SigningRow {
        address: consensus_address(&validator.public_key),
        operator: Address(operator),
        start_height: signing.start_height,
        counted,
        missed: signing.missed,
        jailed_until: validator.jailed_until,
        tombstoned: validator.tombstoned,
    }))
}
