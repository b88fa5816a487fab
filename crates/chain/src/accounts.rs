//! Accounts that belong to the chain itself: no key controls them, and only their module moves what they hold.
//! Nobody may send tokens there or name one as the account to be paid, because their balances mirror books.

use std::sync::LazyLock;

use dodona_proto::Address;

/// Names under which published clients know them.
const NAMES: [&str; 9] = [
    "fee_collector",
    "ecosystem",
    "allorarewards",
    "allorastaking",
    "allorapendingrewards",
    "bonded_tokens_pool",
    "not_bonded_tokens_pool",
    "distribution",
    "subnets",
];

static ALL: LazyLock<[Address; 9]> = LazyLock::new(|| NAMES.map(Address::of_module));

/// Collects fees and the validators' share within a block; empty at the end of each.
pub fn fee_collector() -> Address {
    ALL[0]
}

/// Holds what belongs to nobody yet: topics' fees and funding, rewards without a taker. Emission is drawn from here,
/// and minted only as far as this runs short: what consumers pay replaces new tokens.
pub fn ecosystem() -> Address {
    ALL[1]
}

/// Holds what topics will pay their participants.
pub fn topics_rewards() -> Address {
    ALL[2]
}

/// Holds all stake on topics.
pub fn topics_stake() -> Address {
    ALL[3]
}

/// Holds rewards that delegators have not collected yet.
pub fn topics_pending() -> Address {
    ALL[4]
}

/// Holds the tokens of validators that decide blocks.
pub fn bonded_pool() -> Address {
    ALL[5]
}

/// Holds the tokens of the other validators, and what is on its way back to delegators.
pub fn not_bonded_pool() -> Address {
    ALL[6]
}

/// Holds what validators and their delegators have earned and not collected yet.
pub fn distribution() -> Address {
    ALL[7]
}

/// Holds the chain's token in the pools of subnets, stake at their root, and orders on their way.
pub fn subnets() -> Address {
    ALL[8]
}

/// Those that exist from genesis on, in a fixed order. The subnets' comes into being with the first subnet, or the first
/// root stake.
pub fn founded() -> [Address; 8] {
    let [a, b, c, d, e, f, g, h, _] = *ALL;
    [a, b, c, d, e, f, g, h]
}

/// All of them with their names.
pub fn named() -> impl Iterator<Item = (&'static str, Address)> {
    NAMES.into_iter().zip(*ALL)
}

/// Whether an account belongs to the chain.
pub fn is_own(address: Address) -> bool {
    ALL.contains(&address)
}
