//! Accounts that belong to the chain itself: no key controls them, and only their module moves what they hold.
//! Nobody may send tokens there or name one as the account to be paid, because their balances mirror books.

use std::sync::LazyLock;

use dodona_proto::Address;

static ALL: LazyLock<[Address; 4]> =
    LazyLock::new(|| ["fee_collector", "ecosystem", "topics_pot", "topics_stake"].map(Address::of_module));

/// Collects fees and the validators' share within a block; empty at the end of each.
pub fn fee_collector() -> Address {
    ALL[0]
}

/// Holds what belongs to nobody yet: creation fees, emission without a topic to go to.
pub fn ecosystem() -> Address {
    ALL[1]
}

/// Holds the pots of all topics.
pub fn topics_pot() -> Address {
    ALL[2]
}

/// Holds all stake on topics.
pub fn topics_stake() -> Address {
    ALL[3]
}

/// All of them, in a fixed order.
pub fn all() -> [Address; 4] {
    *ALL
}

/// Whether an account belongs to the chain.
pub fn is_own(address: Address) -> bool {
    ALL.contains(&address)
}
