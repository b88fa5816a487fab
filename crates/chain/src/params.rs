//! Parameters of the chain: in state, set by genesis, one day changed by governance. Each with unit and reason.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::ALLO;
use dodona_store::{Item, Read, StoreError};
use serde::{Deserialize, Serialize};

use crate::state::State;

const PARAMS: Item<Params> = Item::new(*b"pp");

/// All parameters. Amounts are uallo; in genesis files they are decimal text, because JSON numbers are doubles.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// uallo per unit of gas. Cheap, but above zero, so that spam has a price.
    pub min_gas_price: u64,
    /// Largest transaction, bytes.
    pub max_tx_bytes: u32,
    /// Most messages in a transaction.
    pub max_messages: u32,
    /// New tokens per block; a fixed amount until the supply schedule takes over.
    #[serde(with = "text")]
    pub emission_per_block: u128,
    /// Nothing is minted above this.
    #[serde(with = "text")]
    pub max_supply: u128,
    /// Share of each block's emission that goes to validators, in 1/10 000.
    pub validator_share: u16,
    /// Share of a topic's reward that goes to reputers under rules that do not split by entropy, in 1/10 000.
    pub reputer_share: u16,
    /// What creating a topic costs. It goes to the ecosystem.
    #[serde(with = "text")]
    pub create_topic_fee: u128,
    /// Stake a topic needs before it asks questions: truth must have something to lose.
    #[serde(with = "text")]
    pub min_topic_stake: u128,
    /// Funding a topic needs before it asks questions: somebody must want the answer.
    #[serde(with = "text")]
    pub min_topic_funding: u128,
    /// Most workers heard in one epoch under rules of linear cost.
    pub max_members: u32,
    /// Most workers heard under the regret rule, whose cost grows with the square.
    pub max_members_regret: u32,
    /// Most forecasters heard in one epoch.
    pub max_forecasters: u32,
    /// Most elements of a forecast.
    pub max_forecast_elements: u32,
    /// Most reputers heard in one epoch.
    pub max_reputers: u32,
    /// Scored epochs kept in state per topic; older ones live in blocks and indexes.
    pub epoch_retention: u32,
    /// Largest share of weight one reputer has in the truth, in 1/10 000, unless there are too few to share it.
    pub reputer_weight_cap: u16,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            min_gas_price: 10,
            max_tx_bytes: 256 << 10,
            max_messages: 64,
            emission_per_block: 5 * ALLO,
            max_supply: 1_000_000_000 * ALLO,
            validator_share: 2_500,
            reputer_share: 2_500,
            create_topic_fee: 10 * ALLO,
            min_topic_stake: 10 * ALLO,
            min_topic_funding: ALLO,
            max_members: 10_000,
            max_members_regret: 64,
            max_forecasters: 32,
            max_forecast_elements: 10_000,
            max_reputers: 128,
            epoch_retention: 1_000,
            reputer_weight_cap: 3_400,
        }
    }
}

impl Params {
    /// Checks ranges; the text names the field and what it allows.
    pub fn validate(&self) -> Result<(), String> {
        let shares = [
            ("validator_share", self.validator_share),
            ("reputer_share", self.reputer_share),
            ("reputer_weight_cap", self.reputer_weight_cap),
        ];
        for (name, value) in shares {
            if value > 10_000 {
                return Err(format!("{name} is {value}, at most 10000 (a share in 1/10000)"));
            }
        }
        if self.max_supply > u128::MAX / 4 {
            return Err("max_supply is above 2^126, which sums could not hold".into());
        }
        let counts = [
            ("max_tx_bytes", self.max_tx_bytes),
            ("max_messages", self.max_messages),
            ("max_members", self.max_members),
            ("max_members_regret", self.max_members_regret),
            ("max_reputers", self.max_reputers),
            ("epoch_retention", self.epoch_retention),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        Ok(())
    }
}

/// The parameters in force.
pub fn get(read: &impl Read) -> Result<Params, StoreError> {
    Ok(PARAMS.get(read)?.unwrap_or_default())
}

pub(crate) fn put(state: &mut State, params: &Params) {
    PARAMS.put(state, params);
}

/// Amounts as decimal text in JSON.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(amount: &u128, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(amount)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        let text = String::deserialize(d)?;
        crate::text::parse_amount(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no amount")))
    }
}
