//! What validators and miners of subnets run beside the chain: weights that are kept sealed until they may be shown, a
//! miner that answers over HTTP, a validator that asks, judges and brings its weights in time.

mod ask;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // failing is how a test speaks
mod hostile;
mod miner;
mod validator;
mod vault;
mod weights;

pub use ask::{Ask, AskError, CLOCK, Guard, MAX_REPLY, MAX_TASK, PATH, Place, header};
pub use miner::{Done, Endpoint, Miner, listen};
pub use validator::{Asked, Round, Settings, Validator, ValidatorError, due};
pub use vault::{Fate, Sealed, Vault, VaultError};
pub use weights::{Brought, GAS, Now, Row, Told, WeightsError, bring, confirm, setting, settle};
