//! Everything subnets store: key, value, who writes it, what always holds. Amounts are base units of 10^-9 of a token,
//! blocks are heights; `netuid` 0 is the root, where the chain's own token is staked.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    Real,
    subnet::{clock::Clock, pool::Pool, sparse::StoredRow},
    supply::Fixed,
};
use dodona_store::{Item, Map, Read, StoreError};

use super::rules::{Hyper, Rules};

/// An account inside a key.
pub type Key = [u8; 20];
/// Hotkeys with fractions of stake in 1/(2^64 - 1).
pub type Relatives = Vec<(u64, Key)>;
/// Number of a subnet.
pub type Netuid = u16;
/// Number of a mechanism of a subnet: mechanism * 4096 + netuid.
pub type Index = u16;

/// Netuid of the root.
pub const ROOT: Netuid = 0;
/// Base units of the chain (uallo) in one of the subnets' (S 1.1).
pub const UNIT: u128 = 1_000_000_000;

/// What subnets have in common. Written by create, dissolve and root stake; absent before the first of them.
pub const NETWORK: Item<Network> = Item::new(*b"nn");
/// Rules of all subnets. Written by an admin's message; absent: the defaults.
pub const RULES: Item<Rules> = Item::new(*b"np");
/// Netuid → a subnet's description. Written by create, start, and whoever sets hyperparameters.
pub const SUBNETS: Map<Netuid, Subnet> = Map::new(*b"ns");
/// Netuid → what moves: pool, amounts, clock, price of registration. Written by every block and trade.
pub const MARKETS: Map<Netuid, Market> = Map::new(*b"nm");
/// Netuid → its neurons by uid. Written by create and register.
pub const MEMBERS: Map<Netuid, Vec<Member>> = Map::new(*b"nu");
/// (Netuid, hotkey) → uid: the same, to be found by hotkey.
pub const UIDS: Map<(Netuid, Key), u16> = Map::new(*b"nh");
/// Netuid → what the last epoch said, by uid; as long as the members. Written by register and epochs.
pub const SCORES: Map<Netuid, Vec<Scores>> = Map::new(*b"nv");
/// (Index, uid) → block of the last weights, or commit of weights. Deleted with its uid.
pub const UPDATED: Map<(Index, u16), u64> = Map::new(*b"nt");
/// (Index, uid) → weights, by uid. Written by set and reveal; deleted with its uid.
pub const WEIGHTS: Map<(Index, u16), StoredRow> = Map::new(*b"nw");
/// (Index, uid) → bonds, by uid. Written by epochs; deleted with its uid.
pub const BONDS: Map<(Index, u16), StoredRow> = Map::new(*b"nb");
/// (Index, hotkey) → commits that may still be revealed, oldest first, at most [`COMMITS_MAX`].
pub const COMMITS: Map<(Index, Key), Vec<Commit>> = Map::new(*b"nx");
/// Hotkey → coldkey, since its first use; and the take. Written by create, register, set_take, swaps.
pub const HOTKEYS: Map<Key, Hotkey> = Map::new(*b"nk");
/// (Coldkey, hotkey): the same, to be found by coldkey.
pub const OWNED: Map<(Key, Key), ()> = Map::new(*b"n0");
/// Coldkey → that another one takes its place. Written by announce and dispute, removed by the swap or an admin.
pub const SWAPS: Map<Key, Announced> = Map::new(*b"n1");
/// (Netuid, hotkey) → all stake upon it. The sum over hotkeys is part of the subnet's `alpha_out`, or the root stake.
pub const STAKES: Map<(Netuid, Key), Stakes> = Map::new(*b"nl");
/// (Netuid, hotkey, coldkey) → shares of that stake.
pub const HOLDINGS: Map<(Netuid, Key, Key), u128> = Map::new(*b"no");
/// (Coldkey, netuid, hotkey): the same, to be found by holder.
pub const HOLDERS: Map<(Key, Netuid, Key), ()> = Map::new(*b"nc");
/// (Netuid, hotkey) → what a unit of root stake upon it has earned there since the beginning, in 2^-32 units.
pub const RATES: Map<(Netuid, Key), u128> = Map::new(*b"nr");
/// (Netuid, hotkey, coldkey) → what of that the holder was paid or was not there for.
pub const MARKS: Map<(Netuid, Key, Key), u128> = Map::new(*b"nd");
/// Number → a holding of root stake, as (hotkey, coldkey); numbers from 0 to [`Network::root_holders`] without gaps, so
/// that some can be drawn by number. Written wherever a holding at the root begins or ends.
pub const ROOT_HOLDERS: Map<u64, (Key, Key)> = Map::new(*b"n2");
/// (Hotkey, coldkey) → that number.
pub const ROOT_PLACES: Map<(Key, Key), u64> = Map::new(*b"n3");
/// Coldkey → what becomes of its root dividends when they are claimed; absent: they are sold.
pub const ROOT_CLAIMS: Map<Key, RootClaim> = Map::new(*b"n4");
/// (Netuid, number) → an order that waits for the end of the block; purchases of moved stake for that of the next.
pub const ORDERS: Map<(Netuid, u64), Order> = Map::new(*b"nq");
/// (Netuid, hotkey) → where it answers.
pub const AXONS: Map<(Netuid, Key), Endpoint> = Map::new(*b"na");
/// (Netuid, hotkey) → where it shows its metrics.
pub const PROMETHEUS: Map<(Netuid, Key), Endpoint> = Map::new(*b"ne");
/// (Netuid, coldkey) → upon whom its miners' pay is staked.
pub const AUTO_STAKE: Map<(Netuid, Key), Key> = Map::new(*b"ng");
/// (Netuid, hotkey) → whom it lends which fraction of its stake, in 1/(2^64 - 1); at most [`CHILDREN_MAX`]. Written by
/// the begin of block when a change is due, or at once before the start.
pub const CHILDREN: Map<(Netuid, Key), Relatives> = Map::new(*b"nf");
/// (Netuid, hotkey) → the same seen from the child; at most [`PARENTS_MAX`].
pub const PARENTS: Map<(Netuid, Key), Relatives> = Map::new(*b"nj");
/// (Netuid, hotkey) → block after which, and the children it then has. Written by set_children.
pub const PENDING_CHILDREN: Map<(Netuid, Key), (u64, Relatives)> = Map::new(*b"ny");
/// (Netuid, hotkey) → what it keeps of lent stake's dividends in 1/65535, and block of the last raise.
pub const CHILD_TAKES: Map<(Netuid, Key), (u16, u64)> = Map::new(*b"nz");
/// (Netuid, coldkey) → how much of its stake there, upon all hotkeys together, cannot leave. Written by lock_stake,
/// move_lock, the owner's cut, and when the owner changes.
pub const LOCKS: Map<(Netuid, Key), Lock> = Map::new(*b"n5");
/// (Netuid, hotkey) → all locks that speak for it together, but the subnet owner's own. Written with them.
pub const CONVICTIONS: Map<(Netuid, Key), Convictions> = Map::new(*b"n6");
/// (Netuid, hotkey) → what a neuron has published. Deleted with its uid.
pub const COMMITMENTS: Map<(Netuid, Key), Commitment> = Map::new(*b"n7");
/// Netuid → what a subnet says of itself besides its name and symbol. Written by its owner.
pub const SUBNET_IDENTITIES: Map<Netuid, Identity> = Map::new(*b"n8");
/// Hotkey → what it says of itself. Written by its coldkey.
pub const IDENTITIES: Map<Key, Identity> = Map::new(*b"n9");
/// (Netuid, name) → block in which a hyperparameter was last set by the owner.
pub const CHANGED: Map<(Netuid, String), u64> = Map::new(*b"ni");

/// Commits of one hotkey that may wait at once (S 8.2).
pub const COMMITS_MAX: usize = 10;
/// Children of a hotkey in a subnet (S 15.3).
pub const CHILDREN_MAX: usize = 5;
/// Hotkeys that lend their stake to one, in a subnet. Ours: loops over them run in every epoch.
pub const PARENTS_MAX: usize = 64;
/// Fields of a commitment,
pub const FIELDS_MAX: usize = 3;
/// and bytes of each (S 21.2).
pub const FIELD_BYTES: usize = 128;
/// Subnets that a holder may except from the sale of root dividends.
pub const KEPT_MAX: usize = 64;
/// Orders of one subnet in one block.
pub const ORDERS_MAX: u32 = 512;

/// What subnets have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Network {
    /// All subnets, ascending.
    pub netuids: Vec<Netuid>,
    /// What the newest subnet cost.
    pub last_lock: u64,
    /// And when that was; 0: never.
    pub last_lock_block: u64,
    /// All stake at the root.
    pub root_stake: u64,
    /// Number of the next order.
    pub next_order: u64,
    /// Holdings at the root.
    pub root_holders: u64,
}

/// What becomes of root dividends when they are claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RootClaim {
    /// Sold for the chain's token, which is staked at the root upon the same hotkey.
    #[default]
    Sell,
    /// They stay as stake in the subnets they come from.
    Keep,
    /// They stay in these subnets, named with the block of their creation, and are sold in all others.
    KeepIn(Vec<(Netuid, u64)>),
}

impl RootClaim {
    /// Whether dividends of a subnet created in that block are sold.
    pub fn sells(&self, netuid: Netuid, registered: u64) -> bool {
        match self {
            Self::Sell => true,
            Self::Keep => false,
            Self::KeepIn(kept) => !kept.contains(&(netuid, registered)),
        }
    }
}

/// A subnet's description.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subnet {
    /// Who sets hyperparameters and earns the owner's cut.
    pub owner: Key,
    /// Upon which that cut is staked.
    pub owner_hotkey: Key,
    /// For people.
    pub name: String,
    /// Of its token, no other subnet's.
    pub symbol: String,
    /// Block of its creation.
    pub registered: u64,
    /// First block of trade and emission.
    pub started: Option<u64>,
    /// What its creation cost.
    pub lock: u64,
    /// Registrations so far, the owner's included.
    pub registrations: u64,
    /// The rest.
    pub hyper: Hyper,
}

/// What moves in a subnet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Market {
    /// The subnet's token in the pool.
    pub alpha: u64,
    /// The chain's token in the pool.
    pub tao: u64,
    /// Weight of the latter.
    pub tao_weight: Fixed,
    /// The subnet's token outside the pool: stake, orders, what waits for the epoch or to be claimed, `protocol`,
    /// `burned`.
    pub alpha_out: u64,
    /// Bought by the chain.
    pub protocol: u64,
    /// Withheld from the owner's own miners, for ever.
    pub burned: u64,
    /// Earned by root stake and not collected.
    pub claimable: u64,
    /// Accrued for miners,
    pub server: u64,
    /// for validators,
    pub validator: u64,
    /// for root stake,
    pub root: u64,
    /// for the owner.
    pub owner: u64,
    /// Averaged price (S 12.7).
    pub average: Fixed,
    /// Part of the last incentive that was withheld (S 16.4).
    pub withheld: Fixed,
    /// Price of registration.
    pub price: u64,
    /// What is left of it after a block, in 2^-32.
    pub decay: u64,
    /// Block of the last epoch by the clock.
    pub last: u64,
    /// An epoch asked for or put off; 0 for none.
    pub pending: u64,
    /// Block since which blocks without an epoch are counted.
    pub stepped: u64,
    /// Block of the last epoch, 0 for never: dates bonds.
    pub last_step: u64,
    /// Epochs so far.
    pub epochs: u64,
    /// Newest emission: the chain's token into the pool, the subnet's outside it.
    pub newest: (u64, u64),
    /// Orders that wait.
    pub orders: u32,
}

impl Market {
    /// The pool as formulas see it.
    pub fn pool(&self) -> Pool {
        Pool { alpha: self.alpha, tao: self.tao, tao_weight: self.tao_weight }
    }

    /// After a trade or an injection.
    pub fn set_pool(&mut self, pool: Pool) {
        (self.alpha, self.tao, self.tao_weight) = (pool.alpha, pool.tao, pool.tao_weight);
    }

    /// Spot price; zero for a pool without anything.
    pub fn spot(&self) -> Fixed {
        self.pool().price().unwrap_or(Fixed::ZERO)
    }

    /// All of the subnet's token there is.
    pub fn issued(&self) -> u64 {
        self.alpha.saturating_add(self.alpha_out)
    }

    /// The clock in a block.
    pub fn clock(&self, tempo: u64, now: u64) -> Clock {
        let since = now.saturating_sub(self.stepped);
        Clock { tempo, last: self.last, pending: self.pending, since }
    }
}

/// A neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Its key.
    pub hotkey: Key,
    /// Block of its registration.
    pub registered: u64,
}

/// What the last epoch said of a neuron; fractions in 1/65535.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Scores {
    /// Whether its weights were fresh.
    pub active: bool,
    /// Whether it may set weights in this epoch.
    pub permit: bool,
    /// Its share of the stake.
    pub stake: u16,
    /// What enough stake agrees it is worth.
    pub consensus: u16,
    /// How much of its weights is within the consensus.
    pub trust: u16,
    /// Its share of what validators earn.
    pub dividends: u16,
    /// Its share of what miners earn, by mechanism.
    pub incentive: Vec<u16>,
    /// What it earned, base units.
    pub emission: u64,
}

/// A digest of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// See `dodona_proto::commit`.
    pub digest: [u8; 32],
    /// Epochs the subnet had had.
    pub epoch: u64,
    /// Block of the commit.
    pub block: u64,
    /// Registration of the hotkey it belongs to: with another one it means nothing.
    pub registered: u64,
    /// Hotkey of its digest: the one it is stored under, or one that was swapped for that since.
    pub by: Key,
}

/// What is known of a hotkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hotkey {
    /// Whose it is.
    pub coldkey: Key,
    /// What the coldkey keeps of nominators' dividends, in 1/65535.
    pub take: u16,
    /// Block in which that was last raised; 0: never.
    pub raised: u64,
}

/// Another coldkey in an account's place, announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Announced {
    /// See `dodona_proto::commit::coldkey`.
    pub digest: [u8; 32],
    /// Block of the announcement.
    pub block: u64,
    /// Whether the account says it was not itself.
    pub disputed: bool,
}

/// Something a neuron has published, such as the hash of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commitment {
    /// Block of the newest change.
    pub block: u64,
    /// At most [`FIELDS_MAX`] of [`FIELD_BYTES`] bytes each.
    pub fields: Vec<Vec<u8>>,
    /// Epochs the subnet had had at the newest change,
    pub epoch: u64,
    /// and bytes published in that epoch.
    pub used: u64,
}

/// What somebody says of itself; for people, and nobody has checked it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Identity {
    /// Of a hotkey; a subnet's stands in [`Subnet`].
    pub name: String,
    /// Some sentences.
    pub description: String,
    /// A page,
    pub url: String,
    /// its source,
    pub repository: String,
    /// a picture: addresses that begin with http.
    pub image: String,
    /// How to reach somebody.
    pub contact: String,
}

/// Stake that its holder has promised not to take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lock {
    /// For whom it speaks.
    pub hotkey: Key,
    /// How much cannot leave, base units.
    pub mass: u64,
    /// How much of it convinces.
    pub conviction: Real,
    /// Block of both.
    pub at: u64,
    /// Whether the mass stays, instead of falling.
    pub perpetual: bool,
}

/// Locks that speak for one hotkey, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Convictions {
    /// Mass and conviction of those whose mass stays,
    pub perpetual: (u64, Real),
    /// and of those whose mass falls.
    pub decaying: (u64, Real),
    /// Block of all four.
    pub at: u64,
    /// How many they are.
    pub locks: u64,
}

/// All stake upon a hotkey.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stakes {
    /// Base units.
    pub value: u64,
    /// Shares of all holders.
    pub shares: u128,
}

/// What somebody wants to trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Order {
    /// Stake.
    Buy {
        /// Who pays and holds.
        coldkey: Key,
        /// Upon whom.
        hotkey: Key,
        /// Base units paid.
        tao: u64,
        /// Highest price.
        limit: Fixed,
    },
    /// A registration: what is bought is destroyed.
    Burn {
        /// Base units paid.
        tao: u64,
    },
    /// Stake that leaves.
    Sell {
        /// Who held it.
        coldkey: Key,
        /// Upon whom.
        hotkey: Key,
        /// Base units.
        alpha: u64,
        /// Lowest price.
        limit: Fixed,
        /// Where it goes; none: paid out.
        then: Option<Then>,
    },
    /// Root dividends that are sold, at any price and without a fee; what they bring is staked at the root.
    Claim {
        /// Whose they are.
        coldkey: Key,
        /// Upon whom the root stake is that earned them.
        hotkey: Key,
        /// Base units.
        alpha: u64,
    },
}

/// Where moved stake goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Then {
    /// Subnet, or the root.
    pub netuid: Netuid,
    /// Upon whom.
    pub hotkey: Key,
    /// Whose.
    pub coldkey: Key,
    /// Highest price.
    pub limit: Fixed,
}

/// Where a neuron is found.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Endpoint {
    /// Block of the announcement.
    pub block: u64,
    /// Of its software.
    pub version: u32,
    /// Address, IPv4 as mapped into IPv6.
    pub ip: u128,
    /// 1 to 65535.
    pub port: u16,
    /// As the subnet understands it.
    pub protocol: u8,
}

/// What subnets have in common, also before there are any.
pub fn network(read: &impl Read) -> Result<Network, StoreError> {
    Ok(NETWORK.get(read)?.unwrap_or_default())
}

/// The rules in force.
pub fn rules(read: &impl Read) -> Result<Rules, StoreError> {
    Ok(RULES.get(read)?.unwrap_or_default())
}
