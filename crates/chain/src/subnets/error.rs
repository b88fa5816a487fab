//! Why subnets refuse. Codes never change meaning; where waiting helps, the text says until which block.

use dodona_mechanism::{MathError, subnet::pool::PoolError};
use dodona_proto::Address;

use super::CODESPACE;
use crate::error::Coded;

/// Refusals of subnets. Amounts in texts are uallo, or base units where they say so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum SubnetError {
    #[error("subnet {0} does not exist")]
    NoSubnet(u32),
    #[error("invalid {field}: {cause}")]
    Value { field: &'static str, cause: String },
    #[error("{who} may not {what}; {hint}")]
    NotPermitted { who: Address, what: &'static str, hint: String },
    #[error(
        "it costs {cost}uallo in this block, max_cost is {max}uallo: raise it, or wait while the price falls"
    )]
    Cost { cost: u128, max: u128 },
    #[error("a new subnet is accepted from block {next} on, this is block {height}")]
    TooManySubnets { next: u64, height: u64 },
    #[error("all {limit} places are taken and no subnet can be replaced before block {next}")]
    Full { limit: u16, next: u64 },
    #[error("hotkey {hotkey} belongs to another coldkey, {owner}: use one of your own")]
    ForeignHotkey { hotkey: Address, owner: Address },
    #[error("hotkey {0} is not known: it must be registered in some subnet first")]
    NoHotkey(Address),
    #[error("hotkey {hotkey} is registered in subnet {netuid} already, as uid {uid}")]
    Registered { hotkey: Address, netuid: u16, uid: u16 },
    #[error("hotkey {hotkey} is not registered in subnet {netuid}: register it first")]
    NotRegistered { hotkey: Address, netuid: u16 },
    #[error("subnet {0} accepts no registrations: its registration_allowed is off")]
    Closed(u16),
    #[error("subnet {0} has no free slot and nobody who can be evicted: all are the owner's")]
    NoSlot(u16),
    #[error("subnet {netuid} is not started: {hint}")]
    NotStarted { netuid: u16, hint: String },
    #[error("subnet {netuid} was started already, in block {at}")]
    Started { netuid: u16, at: u64 },
    #[error("{amount} base units are less than the least trade, {least}: trade more at once, or everything")]
    Small { amount: u64, least: u64 },
    #[error("{has} base units are staked there, {needs} were asked for")]
    StakeShort { has: u64, needs: u64 },
    #[error("{0} orders wait in this subnet: send it again in the next block")]
    Orders(u32),
    #[error("stake in subnet {0} cannot be given to another holder: its transfer_toggle is off")]
    Transfer(u16),
    #[error("{what} can be set again in block {next}, this is block {height}")]
    TooSoon { what: String, next: u64, height: u64 },
    #[error("version key {got} is older than the subnet's {needs}: update the validator's software")]
    Version { got: u64, needs: u64 },
    #[error(
        "uid {uid} has no permit to set weights: permits go to the largest stakes at the next epoch, in block {next}"
    )]
    NoPermit { uid: u16, next: u64 },
    #[error("stake weight {has} of the hotkey is below {needs} base units: stake more upon it")]
    LowStake { has: u64, needs: u64 },
    #[error("subnet {0} takes weights by commit and reveal: send a commit")]
    CommitFirst(u16),
    #[error("subnet {0} takes weights at once, without commit: send the weights")]
    NoCommits(u16),
    #[error("{0} commits wait already; the oldest can be revealed after {1}")]
    Commits(usize, String),
    #[error("no commit of this registration fits these weights and this salt")]
    NoCommit,
    #[error("this commit can be revealed in epoch {due} of the subnet, now is epoch {now}{hint}")]
    Early { due: u64, now: u64, hint: String },
    #[error("changes wait until the epoch of block {0} has run")]
    Frozen(u64),
    #[error("pool of subnet {netuid}: {cause}")]
    Pool { netuid: u16, cause: PoolError },
    #[error("nothing is to be collected")]
    Nothing,
    #[error(
        "{due} base units are owed in subnet {netuid}, its root_claim_threshold is {least}: wait until it is more"
    )]
    SmallClaim { netuid: u16, due: u64, least: u64 },
    #[error("{free} base units of the stake in subnet {netuid} can leave, {locked} are locked: {hint}")]
    Locked { netuid: u16, free: u64, locked: u64, hint: String },
    #[error("{who} has locked nothing in subnet {netuid}: lock stake first")]
    NoLock { who: Address, netuid: u16 },
    #[error(
        "what is locked in subnet {netuid} speaks for {hotkey}: lock more for the same, or move the lock"
    )]
    OtherLock { netuid: u16, hotkey: Address },
    #[error(
        "{used} bytes were published in this epoch, with {needs} more they are above {most}: the next epoch is in block {next}"
    )]
    Published { used: u64, needs: u64, most: u64, next: u64 },
    #[error(
        "{who} has announced that another coldkey takes its place, and does nothing else until then: {hint}"
    )]
    Swapping { who: Address, hint: String },
    #[error("{0} has not announced that another coldkey takes its place: announce it first")]
    NoSwap(Address),
    #[error("the announced coldkey can take its place from block {next} on, this is block {height}")]
    Waits { next: u64, height: u64 },
    #[error("another coldkey was announced; a new announcement is accepted from block {0} on")]
    OtherColdkey(u64),
    #[error("{key} cannot take its place: {cause}")]
    InUse { key: Address, cause: String },
    #[error(
        "{kept} neurons are immune or the owner's, and at most {most} of them may be among {slots}; {hint}"
    )]
    TooFew { kept: usize, most: usize, slots: u16, hint: String },
    #[error("the numbers of this subnet do not allow it: {0}")]
    Math(MathError),
}

impl From<MathError> for SubnetError {
    fn from(error: MathError) -> Self {
        Self::Math(error)
    }
}

impl Coded for SubnetError {
    const CODESPACE: &'static str = CODESPACE;
    fn code(&self) -> u32 {
        match self {
            Self::NoSubnet(_) => 2,
            Self::Value { .. } => 3,
            Self::NotPermitted { .. } => 4,
            Self::Cost { .. } => 5,
            Self::TooManySubnets { .. } => 6,
            Self::Full { .. } => 7,
            Self::ForeignHotkey { .. } => 8,
            Self::NoHotkey(_) => 9,
            Self::Registered { .. } => 10,
            Self::NotRegistered { .. } => 11,
            Self::Closed(_) => 12,
            Self::NoSlot(_) => 13,
            Self::NotStarted { .. } => 14,
            Self::Started { .. } => 15,
            Self::Small { .. } => 16,
            Self::StakeShort { .. } => 17,
            Self::Orders(_) => 18,
            Self::Transfer(_) => 19,
            Self::TooSoon { .. } => 20,
            Self::Version { .. } => 21,
            Self::NoPermit { .. } => 22,
            Self::LowStake { .. } => 23,
            Self::CommitFirst(_) => 24,
            Self::NoCommits(_) => 25,
            Self::Commits(..) => 26,
            Self::NoCommit => 27,
            Self::Early { .. } => 28,
            Self::Frozen(_) => 29,
            Self::Pool { .. } => 30,
            Self::Nothing => 31,
            Self::Math(_) => 32,
            Self::Swapping { .. } => 33,
            Self::NoSwap(_) => 34,
            Self::OtherColdkey(_) => 35,
            Self::InUse { .. } => 36,
            Self::TooFew { .. } => 37,
            Self::Waits { .. } => 38,
            Self::SmallClaim { .. } => 39,
            Self::Locked { .. } => 40,
            Self::NoLock { .. } => 41,
            Self::OtherLock { .. } => 42,
            Self::Published { .. } => 43,
        }
    }
}
