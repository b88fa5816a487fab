//! Everything staking stores: key, value, who writes it, what always holds. Amounts are uallo, times unix
//! milliseconds of block time.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{per_share::PerShare, supply::Fixed};
use dodona_proto::Address;
use dodona_store::{Item, Map};
use sha2::{Digest, Sha256};

use crate::validators;

/// An account inside a key; of a validator, its operator.
pub type Key = [u8; 20];

/// Operator → validator; without texts, because every block reads it. Written by everything that concerns it, through
/// `validator::save`; deleted when nobody has a share in it and it cannot be punished any more.
pub const VALIDATORS: Map<Key, Validator> = Map::new(*b"sv");
/// Operator → what people read about it. Written by create and edit, deleted with the validator.
pub const TEXTS: Map<Key, Description> = Map::new(*b"sx");
/// Consensus address → operator. Written by create, deleted with the validator, unless it is tombstoned: such a key
/// never votes again.
pub const KEYS: Map<Key, Key> = Map::new(*b"sk");
/// (2^128 - 1 - tokens, operator): validators that are not jailed and have a whole ALLO, those with most tokens first.
/// Kept by `validator::save`.
pub const RANK: Map<(u128, Key), ()> = Map::new(*b"sr");
/// Operator → what it and its delegators have earned. Written when a block's income is divided and when somebody
/// collects; deleted with the validator.
pub const REWARDS: Map<Key, Rewards> = Map::new(*b"sw");
/// (Operator, delegator) → a delegation above zero. Its shares sum to the validator's.
pub const DELEGATIONS: Map<(Key, Key), Delegation> = Map::new(*b"sd");
/// (Delegator, operator): the same, to be found by delegator.
pub const DELEGATORS: Map<(Key, Key), ()> = Map::new(*b"s1");
/// (Operator, delegator) → tokens on their way back, oldest first, never empty. Written by undelegate, cancel, slashing
/// and maturity.
pub const UNBONDINGS: Map<(Key, Key), Vec<Unbonding>> = Map::new(*b"su");
/// (Delegator, operator): the same, to be found by delegator.
pub const UNBONDERS: Map<(Key, Key), ()> = Map::new(*b"s2");
/// (Source, delegator, destination) → delegations that have moved and still answer for their source, oldest first,
/// never empty. Written by redelegate, deleted at maturity.
pub const REDELEGATIONS: Map<(Key, Key, Key), Vec<Redelegation>> = Map::new(*b"sm");
/// (Delegator, destination, source): the same, to be found by who moved what to where.
pub const REDELEGATORS: Map<(Key, Key, Key), ()> = Map::new(*b"s3");
/// (Time, kind, operator or source, delegator, destination): waits, in the order in which they end. Every wait of the
/// tables above stands here once per time.
pub const QUEUE: Map<(u64, u8, Key, Key, Key), ()> = Map::new(*b"sq");
/// Delegator → account that gets its rewards, where it is another one.
pub const WITHDRAW: Map<Key, Key> = Map::new(*b"sa");
/// Operator → its attendance; present once it was in a set. Written when it joins, is missed, is punished.
pub const SIGNING: Map<Key, Signing> = Map::new(*b"si");
/// (Operator, counted block): blocks of the window that it did not sign. As many as its [`Signing::missed`].
pub const MISSES: Map<(Key, u64), ()> = Map::new(*b"sb");
/// Blocks in which attendance was counted. Written at begin of block.
pub const COUNTED: Item<u64> = Item::new(*b"sn");
/// (Operator, height) → a slash. Written by slashing, deleted with the validator.
pub const SLASHES: Map<(Key, u64), Slash> = Map::new(*b"sl");
/// Operator → what is left to do of its punishment for two signatures. Written by slashing, deleted when it is done.
pub const PUNISHING: Map<Key, Punishing> = Map::new(*b"sp");
/// The set that decides the next block. Its members are exactly the bonded validators.
pub const CURRENT: Item<Set> = Item::new(*b"vv");
/// Last height that a former set decided → that set. Written when a set changes, deleted when misbehaviour under it
/// cannot be punished any more.
pub const FORMER: Map<u64, Former> = Map::new(*b"vf");
/// Height → its time, at the ends of set epochs: what tells which heights are too old to be punished. Deleted when
/// they are.
pub const MARKS: Map<u64, u64> = Map::new(*b"vm");
/// Lowest height at which misbehaviour can be punished; never decreases.
pub const OLDEST: Item<u64> = Item::new(*b"vo");
/// Whether a member of the set was jailed and has not left it yet.
pub const UNRULY: Item<bool> = Item::new(*b"vj");

/// What waits in the queue.
pub mod wait {
    /// A validator that left the set: until it cannot be punished any more.
    pub const VALIDATOR: u8 = 0;
    /// Tokens on their way back.
    pub const UNBONDING: u8 = 1;
    /// A delegation that answers for its source.
    pub const REDELEGATION: u8 = 2;
}

/// Whether a validator decides blocks.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Status {
    /// It does not, and cannot be punished for having done so.
    #[default]
    Unbonded,
    /// It does not, but did a while ago.
    Unbonding,
    /// It is in the set.
    Bonded,
}

/// A validator, by its operator's account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// Ed25519 key that signs votes. No two validators have the same.
    pub public_key: [u8; 32],
    /// Whether it decides blocks.
    pub status: Status,
    /// Whether it is kept from doing so until it asks to come back.
    pub jailed: bool,
    /// Whether it is kept from it for ever, because it signed twice.
    pub tombstoned: bool,
    /// What is delegated to it. In the bonded pool while it is bonded, in the other pool otherwise.
    pub tokens: u128,
    /// Shares in these tokens; a share begins as a unit, and slashing makes it worth less, so tokens never exceed them.
    pub shares: u128,
    /// What it keeps of its delegators' rewards.
    pub commission: Commission,
    /// Below this its own delegation must not fall.
    pub min_self: u128,
    /// Last height decided by a set it was in, when it last left one; 0 before.
    pub left_height: u64,
    /// Time at which an unbonding validator becomes unbonded; 0 otherwise.
    pub unbonded_ms: u64,
    /// Time before which it cannot come back from jail.
    pub jailed_until: u64,
    /// Block of creation.
    pub created: u64,
}

/// A validator's part of its delegators' rewards.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commission {
    /// Now.
    pub rate: Fixed,
    /// At most, ever; at most 1.
    pub max_rate: Fixed,
    /// At most by so much a day.
    pub max_change: Fixed,
    /// Time of the newest change.
    pub changed_ms: u64,
}

/// The words about a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Description {
    /// Name, 1 to 70 bytes.
    pub moniker: String,
    /// Fingerprint of an identity, up to 64 bytes.
    pub identity: String,
    /// Up to 140 bytes.
    pub website: String,
    /// Whom to tell of a weakness, up to 140 bytes.
    pub security_contact: String,
    /// Anything, up to 280 bytes.
    pub details: String,
}

/// What was earned with a validator and is not collected. All of it lies in the distribution account.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rewards {
    /// Paid per share since the beginning.
    pub per_share: PerShare,
    /// What did not fit into the amount per share, 2^-64 uallo; part of the next payment.
    pub rest: u128,
    /// Paid to delegators and not collected by them, with what rounding leaves: at least what they are owed.
    pub outstanding: u128,
    /// The operator's commission, not collected.
    pub commission: u128,
}

/// A delegator's part of a validator.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delegation {
    /// Above zero.
    pub shares: u128,
    /// Up to where its rewards are collected.
    pub settled: PerShare,
}

/// Tokens on their way back to their delegator, in the not bonded pool.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Unbonding {
    /// Block in which it was asked for.
    pub created: u64,
    /// Last height that may still be decided with the weight of these tokens: for misbehaviour up to here they answer.
    pub risk: u64,
    /// Time at which they arrive.
    pub until: u64,
    /// What was asked for, less what was taken back.
    pub initial: u128,
    /// What is left of it after slashing.
    pub balance: u128,
}

/// A delegation that has moved and still answers for its source.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Redelegation {
    /// Block in which it moved.
    pub created: u64,
    /// See [`Unbonding::risk`].
    pub risk: u64,
    /// Time at which it answers no more.
    pub until: u64,
    /// Tokens that moved.
    pub initial: u128,
    /// Shares they became at their destination.
    pub shares: u128,
}

/// A validator's attendance.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signing {
    /// Height of the first block it could decide since it last joined the set.
    pub start_height: u64,
    /// How many blocks were counted before: it is not judged before a whole window has passed.
    pub start: u64,
    /// Blocks of the window that it missed.
    pub missed: u32,
}

/// A punishment.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Slash {
    /// Part taken.
    pub fraction: Fixed,
    /// Taken from the validator's tokens.
    pub amount: u128,
}

/// A punishment under way: what left the validator, so many delegators a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Punishing {
    /// Part taken.
    pub fraction: Fixed,
    /// Height of the misbehaviour.
    pub height: u64,
    /// Block of the punishment, and its time: what left the validator since then was cut before.
    pub since: u64,
    /// See `since`.
    pub since_ms: u64,
    /// Whether unbondings are done and redelegations are next.
    pub moved: bool,
    /// Delegator and destination to go on with.
    pub next: (Key, Key),
}

/// Who decides blocks, from a height on.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Set {
    /// First height it decides.
    pub from: u64,
    /// In the order of their public keys, never empty.
    pub members: Vec<validators::Validator>,
}

/// A set of the past.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Former {
    /// First height it decided.
    pub from: u64,
    /// In the order of their public keys.
    pub members: Vec<validators::Validator>,
}

/// The address under which a validator's key is known to votes and explorers: the beginning of its SHA-256.
pub fn consensus_address(public_key: &[u8; 32]) -> Address {
    let hash: [u8; 32] = Sha256::digest(public_key).into();
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&hash[..20]);
    Address(bytes)
}
