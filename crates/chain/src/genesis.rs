//! How a chain begins: one JSON document, checked as a whole before anything is written.

use std::collections::BTreeSet;

use dodona_mechanism::supply::Fixed;
use dodona_proto::{ALLO, Address, topics::List};
use serde::{Deserialize, Serialize};

use crate::{
    accounts, auth, bank,
    error::Failure,
    params::{self, Params, text},
    staking::{
        self,
        state::{Commission, Description},
        validator::Genesis as FirstValidator,
    },
    state::State,
    topics::lists::LISTS,
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Ed25519, hex.
    pub public_key: String,
    /// Voting power, at least 1: so many whole ALLO come into being as its operator's own delegation, on top of the
    /// balances of `accounts`.
    pub power: u64,
    /// Bech32 of the account that operates it, another one for each validator.
    pub operator: String,
    /// Its name; absent: `validator-` and its place by public key, from 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub moniker: String,
    /// What it keeps of its delegators' rewards; absent: 0.1, at most 0.2, changing by at most 0.01 a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commission: Option<GenesisCommission>,
}

/// A validator's commission at genesis, as decimal text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisCommission {
    /// Now.
    pub rate: String,
    /// At most, ever.
    pub max_rate: String,
    /// At most by so much a day.
    pub max_change_rate: String,
}

impl Default for GenesisCommission {
    fn default() -> Self {
        let [rate, max_rate, max_change_rate] = ["0.1", "0.2", "0.01"].map(String::from);
        Self { rate, max_rate, max_change_rate }
    }
}

impl GenesisCommission {
    /// The default, raised to what the chain demands.
    fn least(params: &Params) -> Self {
        let default = Self::default();
        let min = params.min_commission_rate;
        match default.rate.parse::<Fixed>() {
            Ok(rate) if rate >= min => default,
            _ => Self { rate: min.to_string(), max_rate: "1".into(), ..default },
        }
    }

    fn read(&self, params: &Params, changed_ms: u64) -> Result<Commission, String> {
        let number = |name: &str, text: &str| {
            text.parse::<Fixed>().map_err(|e| format!("{name} `{}`: {e}", crate::text::printable(text)))
        };
        let rate = number("rate", &self.rate)?;
        let max_rate = number("max_rate", &self.max_rate)?;
        let max_change = number("max_change_rate", &self.max_change_rate)?;
        if max_rate > Fixed::ONE || rate > max_rate || max_change > max_rate {
            return Err("needs rate and max_change_rate up to max_rate, and that up to 1".into());
        }
        if rate < params.min_commission_rate {
            return Err(format!("rate {rate} is below min_commission_rate {}", params.min_commission_rate));
        }
        Ok(Commission { rate, max_rate, max_change, changed_ms })
    }
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
    validators: Vec<FirstValidator>,
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
        let paid = accounts::founded().into_iter().chain(validators.iter().map(|v| Address(v.operator)));
        for address in paid {
            auth::ensure(state, address).map_err(|e| failed(e.into()))?;
        }
        staking::validator::found(state, &self.params, validators).map_err(failed)?;
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
        let mut validators: Vec<FirstValidator> = Vec::new();
        let (mut keys, mut operators) = (BTreeSet::new(), BTreeSet::new());
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
            let tokens = u128::from(v.power) * ALLO;
            sum = sum
                .checked_add(tokens)
                .filter(|s| *s <= self.params.max_supply)
                .ok_or_else(|| wrong(at("power"), "in ALLO, and all balances, exceed max_supply".into()))?;
            let operator: Address = v.operator.parse().map_err(|e| wrong(at("operator"), format!("{e}")))?;
            if accounts::is_own(operator) {
                return Err(wrong(at("operator"), OWN.into()));
            }
            if !operators.insert(operator) {
                return Err(wrong(at("operator"), "stands twice".into()));
            }
            let commission = v.commission.clone().unwrap_or_else(|| GenesisCommission::least(&self.params));
            let commission = commission
                .read(&self.params, self.time_ms)
                .map_err(|cause| wrong(at("commission"), cause))?;
            let description = Description { moniker: v.moniker.clone(), ..Description::default() };
            validators.push(FirstValidator {
                operator: operator.0,
                public_key,
                tokens,
                commission,
                description,
            });
        }
        if validators.is_empty() {
            return Err(wrong("validators".into(), "a chain needs at least one".into()));
        }
        // The order of the document has no meaning, so it must not decide account numbers.
        validators.sort_by_key(|v| v.public_key);
        for (place, v) in (1..).zip(&mut validators) {
            if v.description.moniker.is_empty() {
                v.description.moniker = format!("validator-{place}");
            }
            staking::validator::check_description(&v.description)
                .map_err(|cause| wrong("validators.moniker".into(), cause.to_string()))?;
        }
        let mut admins = Vec::with_capacity(self.admins.len());
        for (i, admin) in self.admins.iter().enumerate() {
            admins.push(admin.parse().map_err(|e| wrong(format!("admins[{i}]"), format!("{e}")))?);
        }
        Ok(Parts { accounts, validators, admins })
    }
}
