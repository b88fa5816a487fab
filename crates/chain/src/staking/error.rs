//! Why staking refuses. Codes and wording are those that wallets of the Cosmos family show.

use dodona_mechanism::supply::Fixed;
use dodona_proto::{Address, DENOM, Prefix};

use crate::error::Coded;

/// A validator's operator, shown as wallets show it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Operator(pub [u8; 20]);

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Address(self.0).written(Prefix::Operator))
    }
}

/// Refusals of staking itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum StakingError {
    #[error("validator does not exist: {0}")]
    NoValidator(Operator),
    #[error("validator already exist for this operator address; must use new validator operator address")]
    OperatorTaken,
    #[error("validator already exist for this pubkey; must use new validator pubkey")]
    KeyTaken,
    #[error("validator pubkey type is not supported: {0}; it is an ed25519 key of 32 bytes")]
    KeyType(&'static str),
    #[error("validator for this address is currently jailed")]
    Jailed,
    #[error("commission must be an integer of eighteen decimals, such as 100000000000000000 for 0.1: {0}")]
    Rate(&'static str),
    #[error("commission cannot be more than 100%: max_rate is {0}")]
    Huge(Fixed),
    #[error("commission {rate} cannot be more than the max rate {max}")]
    AboveMax { rate: Fixed, max: Fixed },
    #[error(
        "commission cannot be changed more than once in 24h; the next change is possible at unix time {0} ms"
    )]
    TooSoon(u64),
    #[error("commission change rate {change} cannot be more than the max rate {max}")]
    ChangeAboveMax { change: Fixed, max: Fixed },
    #[error("commission cannot be changed more than max change rate: by {0} at most")]
    ChangeTooMuch(Fixed),
    #[error("commission {rate} cannot be less than min rate {min}")]
    BelowMin { rate: Fixed, min: Fixed },
    #[error(
        "validator's self delegation must be greater than their minimum self delegation: {has}{DENOM} is below {needs}{DENOM}"
    )]
    SelfDelegation { has: u128, needs: u128 },
    #[error("minimum self delegation cannot be decrease: it is {0}{DENOM}")]
    SelfDecrease(u128),
    #[error("no delegation for (address, validator) tuple: {who} has none with {operator}")]
    NoDelegation { who: Address, operator: Operator },
    #[error("not enough delegation shares: {has}{DENOM} are delegated, {needs}{DENOM} asked for")]
    Short { has: u128, needs: u128 },
    #[error("no unbonding delegation found: {0}")]
    NoUnbonding(String),
    #[error(
        "too many unbonding delegation entries for (delegator, validator) tuple: {0} are under way; wait for the first to end"
    )]
    Unbondings(u32),
    #[error("cannot redelegate to the same validator")]
    SameValidator,
    #[error("too few tokens to redelegate (truncates to zero tokens)")]
    Tiny,
    #[error(
        "redelegation to this validator already in progress; first redelegation to this validator must complete before next redelegation"
    )]
    Hop,
    #[error(
        "too many redelegation entries for (delegator, src-validator, dst-validator) tuple: {0} are under way; wait for the first to end"
    )]
    Redelegations(u32),
    #[error("cannot delegate to validators with invalid (zero) ex-rate: its tokens are all slashed")]
    Worthless,
    #[error("invalid {field}: {cause}: invalid request")]
    Value { field: &'static str, cause: String },
}

impl Coded for StakingError {
    const CODESPACE: &'static str = "staking";
    fn code(&self) -> u32 {
        match self {
            Self::NoValidator(_) => 3,
            Self::OperatorTaken => 4,
            Self::KeyTaken => 5,
            Self::KeyType(_) => 6,
            Self::Jailed => 7,
            Self::Rate(_) => 9,
            Self::Huge(_) => 10,
            Self::AboveMax { .. } => 11,
            Self::TooSoon(_) => 12,
            Self::ChangeAboveMax { .. } => 14,
            Self::ChangeTooMuch(_) => 15,
            Self::SelfDelegation { .. } => 16,
            Self::SelfDecrease(_) => 17,
            Self::NoDelegation { .. } => 19,
            Self::Short { .. } => 24,
            Self::NoUnbonding(_) => 26,
            Self::Unbondings(_) => 27,
            Self::SameValidator => 29,
            Self::Tiny => 30,
            Self::Hop => 32,
            Self::Redelegations(_) => 33,
            Self::Worthless => 34,
            Self::BelowMin { .. } => 40,
            // The published number of requests that make no sense belongs to another codespace; ours is free there.
            Self::Value { .. } => 100,
        }
    }
}

/// Refusals on the way out of jail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum SlashingError {
    #[error("address is not associated with any known validator: {0}")]
    NoValidator(Operator),
    #[error("validator still jailed; cannot be unjailed before unix time {0} ms")]
    Jailed(u64),
    #[error("validator not jailed; cannot be unjailed")]
    NotJailed,
    #[error("validator has no self-delegation; cannot be unjailed")]
    NoSelfDelegation,
    #[error(
        "validator's self delegation less than minimum; cannot be unjailed: {has}{DENOM} is below {needs}{DENOM}"
    )]
    SelfDelegation { has: u128, needs: u128 },
    #[error("validator still jailed; cannot be unjailed: it signed twice and is tombstoned")]
    Tombstoned,
}

impl Coded for SlashingError {
    const CODESPACE: &'static str = "slashing";
    fn code(&self) -> u32 {
        match self {
            Self::NoValidator(_) => 2,
            Self::Jailed(_) | Self::Tombstoned => 4,
            Self::NotJailed => 5,
            Self::NoSelfDelegation => 6,
            Self::SelfDelegation { .. } => 7,
        }
    }
}

/// Refusals to collect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum DistributionError {
    #[error("no validator commission to withdraw")]
    NoCommission,
    #[error("validator does not exist: {0}")]
    NoValidator(Operator),
    #[error("delegation does not exist: {who} has none with {operator}")]
    NoDelegation { who: Address, operator: Operator },
}

impl Coded for DistributionError {
    const CODESPACE: &'static str = "distribution";
    fn code(&self) -> u32 {
        match self {
            Self::NoCommission => 7,
            Self::NoValidator(_) => 12,
            Self::NoDelegation { .. } => 13,
        }
    }
}
