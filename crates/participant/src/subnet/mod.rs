//! What validators and miners of subnets run beside the chain: weights that are kept sealed until they may be shown, a
//! miner that answers over HTTP, a validator that asks, judges and brings its weights in time.

mod vault;
mod weights;

pub use vault::{Fate, Sealed, Vault, VaultError};
pub use weights::{Brought, GAS, Now, Row, Told, WeightsError, bring, confirm, setting, settle};
