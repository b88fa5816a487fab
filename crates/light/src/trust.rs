//! What a verifier starts from: a validator set at some height, or the one of genesis. Whoever holds it got it from
//! a source it believes; everything else follows from signatures.

use dodona_consensus::{
    BlockId, Header, Height, PublicKey, Validator, ValidatorSet, block::MAX_CHAIN_ID_BYTES,
};
use serde::{Deserialize, Serialize};

use crate::codec::{hexed, text};
use crate::document::MAX_VALIDATORS;

/// Name and version of the form.
pub const TRUST_FORMAT: &str = "dodona-trust/1";

/// A validator set that is believed, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The chain.
    pub chain_id: String,
    /// Last block that is believed; 0 for genesis.
    pub height: Height,
    /// Its name; none for genesis.
    pub block_id: Option<BlockId>,
    /// Its time, unix milliseconds.
    pub time_ms: u64,
    /// How long a validator can be punished after it left, milliseconds.
    pub unbonding_ms: u64,
    /// Who decides the block after.
    pub validators: ValidatorSet,
}

/// Why a document is no trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not JSON of this shape.
    #[error("the trust file is not readable ({0}); make one with `dodona trust export`")]
    Json(String),
    /// Another form or version.
    #[error("the trust file's form is `{0}`, this verifier reads `{TRUST_FORMAT}`")]
    Format(String),
    /// A field has a value it may not have.
    #[error("the trust file's {field}: {cause}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        cause: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    chain_id: String,
    #[serde(with = "text")]
    height: u64,
    block_id: Option<Named>,
    #[serde(with = "text")]
    time_ms: u64,
    #[serde(with = "text")]
    unbonding_ms: u64,
    validators: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
struct Named(#[serde(with = "hexed")] [u8; 32]);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    #[serde(with = "hexed")]
    public_key: [u8; 32],
    #[serde(with = "text")]
    power: u64,
}

impl Trust {
    /// Trust in the set of genesis.
    pub fn genesis(chain_id: String, time_ms: u64, unbonding_ms: u64, validators: ValidatorSet) -> Self {
        Self { chain_id, height: Height(0), block_id: None, time_ms, unbonding_ms, validators }
    }

    /// Trust in a block, and so in the set that it names as the next.
    ///
    /// # Errors
    /// [`TrustError::Field`] if the header names another set.
    pub fn block(header: &Header, unbonding_ms: u64, next: ValidatorSet) -> Result<Self, TrustError> {
        if next.hash() != header.next_validators_hash {
            return Err(field("validators", "are not the set that the block names as the next"));
        }
        Ok(Self {
            chain_id: header.chain_id.clone(),
            height: header.height,
            block_id: Some(header.id()),
            time_ms: header.time_ms,
            unbonding_ms,
            validators: next,
        })
    }

    /// How old it may be, milliseconds: two thirds of the unbonding time, so that who lied can still be punished when
    /// the lie is found.
    pub fn period_ms(&self) -> u64 {
        self.unbonding_ms / 3 * 2
    }

    /// Pretty JSON, ended by a new line.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            format: TRUST_FORMAT.into(),
            chain_id: self.chain_id.clone(),
            height: self.height.0,
            block_id: self.block_id.map(|id| Named(id.0)),
            time_ms: self.time_ms,
            unbonding_ms: self.unbonding_ms,
            validators: self
                .validators
                .validators()
                .iter()
                .map(|v| Member { public_key: *v.public_key.as_bytes(), power: v.voting_power })
                .collect(),
        };
        serde_json::to_string_pretty(&wire).expect("text and numbers always have a JSON form") + "\n"
    }

    /// Reads and checks a document. Spaces and the order of fields and validators have no meaning.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, TrustError> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
        }
        let json = |e: serde_json::Error| TrustError::Json(e.to_string());
        let Form { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != TRUST_FORMAT {
            return Err(TrustError::Format(format));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(json)?;
        if wire.chain_id.is_empty() || wire.chain_id.len() > MAX_CHAIN_ID_BYTES {
            return Err(field("chain_id", format!("needs 1 to {MAX_CHAIN_ID_BYTES} bytes")));
        }
        if (wire.height == 0) != wire.block_id.is_none() {
            return Err(field("block_id", "is null for genesis (height 0), and only there"));
        }
        if wire.validators.len() > MAX_VALIDATORS {
            return Err(field("validators", format!("are more than {MAX_VALIDATORS}")));
        }
        let mut validators = Vec::with_capacity(wire.validators.len());
        for v in &wire.validators {
            if v.power == 0 {
                return Err(field("validators", format!("{} has no power", hex::encode(v.public_key))));
            }
            let key = PublicKey::from_bytes(&v.public_key)
                .map_err(|e| field("validators", format!("{}: {e}", hex::encode(v.public_key))))?;
            validators.push(Validator::new(key, v.power));
        }
        let validators = ValidatorSet::new(validators).map_err(|e| field("validators", e))?;
        Ok(Self {
            chain_id: wire.chain_id,
            height: Height(wire.height),
            block_id: wire.block_id.map(|id| BlockId(id.0)),
            time_ms: wire.time_ms,
            unbonding_ms: wire.unbonding_ms,
            validators,
        })
    }
}

fn field(field: &'static str, cause: impl ToString) -> TrustError {
    TrustError::Field { field, cause: cause.to_string() }
}
