//! How a chain begins: one JSON document, checked as a whole before anything is written.

use std::collections::BTreeSet;

use dodona_proto::{Address, topics::List};
use serde::{Deserialize, Serialize};

use crate::{
    accounts, auth, bank,
    error::Failure,
    params::{self, Params, text},
    state::State,
    topics::lists::LISTS,
    validators::{self, Validator},
};

/// Refusal of an account that no key controls.
const OWN: &str = "belongs to the chain itself";

/// The first state of a chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Name that every signature is bound to, 1 to 50 characters.
    pub chain_id: String,
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Parameters; absent fields take their defaults.
    #[serde(default)]
    pub params: Params,
    /// Accounts and balances.
    pub accounts: Vec<GenesisAccount>,
    /// Who decides the first block.
    pub validators: Vec<GenesisValidator>,
    /// Bech32 of accounts that may change parameters and lists; none: nobody ever can.
    #[serde(default)]
    pub admins: Vec<String>,
}

/// An account at genesis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Bech32.
    pub address: String,
    /// uallo.
    #[serde(with = "text")]
    pub balance: u128,
}

/// A validator at genesis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Ed25519, hex.
    pub public_key: String,
    /// Voting power, at least 1.
    pub power: u64,
    /// Bech32 of the account that is paid.
    pub operator: String,
}

/// Why a document is no genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Not JSON of this shape.
    #[error("genesis is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value it may not have.
    #[error("genesis field {field}: {cause}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong.
        cause: String,
    },
    /// The state could not be written.
    #[error("genesis state: {0}")]
    State(String),
}

/// The parsed form of a document.
struct Parts {
    accounts: Vec<(Address, u128)>,
    validators: Vec<Validator>,
    admins: Vec<Address>,
}

impl Genesis {
    /// Reads and checks a document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = serde_json::from_slice(bytes)?;
        genesis.checked()?;
        Ok(genesis)
    }

    /// Pretty JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain structs of text and numbers always have a JSON form")
    }

    /// Writes the first state.
    pub(crate) fn write(&self, state: &mut State) -> Result<(), GenesisError> {
        let Parts { accounts, validators, admins } = self.checked()?;
        params::put(state, &self.params);
        let failed = |e: Failure| GenesisError::State(format!("{e:?}"));
        for (address, balance) in accounts {
            auth::ensure(state, address).map_err(|e| failed(e.into()))?;
            bank::create(state, address, balance).map_err(|e| failed(e.into()))?;
        }
        // Accounts that the first block pays exist from the start: a client that asks for its number before that
        // block must not find it taken after.
        let paid = accounts::all().into_iter().chain(validators.iter().map(|v| v.operator));
        for address in paid {
            auth::ensure(state, address).map_err(|e| failed(e.into()))?;
        }
        validators::put(state, &validators);
        for admin in admins {
            LISTS.put(state, &(List::Admin as u8, 0, admin.0), &());
        }
        Ok(())
    }

    fn checked(&self) -> Result<Parts, GenesisError> {
        let wrong = |field: String, cause: String| GenesisError::Field { field, cause };
        if self.chain_id.is_empty() || self.chain_id.len() > 50 || !self.chain_id.is_ascii() {
            return Err(wrong("chain_id".into(), "needs 1 to 50 ASCII characters".into()));
        }
        self.params.validate().map_err(|cause| wrong("params".into(), cause))?;
        let mut accounts = Vec::with_capacity(self.accounts.len());
        let mut seen = BTreeSet::new();
        let mut sum = 0u128;
        for (i, account) in self.accounts.iter().enumerate() {
            let address: Address = account
                .address
                .parse()
                .map_err(|e| wrong(format!("accounts[{i}].address"), format!("{e}")))?;
            if accounts::is_own(address) {
                return Err(wrong(format!("accounts[{i}].address"), OWN.into()));
            }
            if !seen.insert(address) {
                return Err(wrong(format!("accounts[{i}].address"), "stands twice".into()));
            }
            sum = sum
                .checked_add(account.balance)
                .filter(|s| *s <= self.params.max_supply)
                .ok_or_else(|| wrong(format!("accounts[{i}].balance"), "sum exceeds max_supply".into()))?;
            accounts.push((address, account.balance));
        }
        let mut validators: Vec<Validator> = Vec::new();
        let mut keys = BTreeSet::new();
        let mut power = 0u64;
        for (i, v) in self.validators.iter().enumerate() {
            let at = |name: &str| format!("validators[{i}].{name}");
            let key = hex::decode(&v.public_key).ok().and_then(|k| k.try_into().ok());
            let public_key: [u8; 32] =
                key.ok_or_else(|| wrong(at("public_key"), "needs 64 hex digits".into()))?;
            if !keys.insert(public_key) {
                return Err(wrong(at("public_key"), "stands twice".into()));
            }
            // The engine multiplies the total by three.
            power = power
                .checked_add(v.power)
                .filter(|p| v.power > 0 && *p < 1 << 62)
                .ok_or_else(|| wrong(at("power"), "needs 1 to 2^62 in sum".into()))?;
            let operator = v.operator.parse().map_err(|e| wrong(at("operator"), format!("{e}")))?;
            if accounts::is_own(operator) {
                return Err(wrong(at("operator"), OWN.into()));
            }
            validators.push(Validator { public_key, power: v.power, operator });
        }
        if validators.is_empty() {
            return Err(wrong("validators".into(), "a chain needs at least one".into()));
        }
        // The order of the document has no meaning, so it must not decide account numbers.
        validators.sort_by_key(|v| v.public_key);
        let mut admins = Vec::with_capacity(self.admins.len());
        for (i, admin) in self.admins.iter().enumerate() {
            admins.push(admin.parse().map_err(|e| wrong(format!("admins[{i}]"), format!("{e}")))?);
        }
        Ok(Parts { accounts, validators, admins })
    }
}
