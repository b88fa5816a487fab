//! Parameters of the chain: in state, set by genesis, changed by admins. Each with unit and reason; the names and
//! defaults of topics and supply are those of the topic specification, sections 8.1 and 10, unless said otherwise.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{Real, supply::Fixed, topic::reputer::ReputerConfig};
use dodona_proto::ALLO;
use dodona_store::{Item, Read, StoreError};
use serde::{Deserialize, Serialize};

use crate::{feemarket, state::State};

const PARAMS: Item<Params> = Item::new(*b"pp");

/// Blocks in a month per blocks in a week, as the specification rounds it (§0.2).
pub const WEEKS_PER_MONTH: f64 = 4.345;

/// All parameters. Amounts are uallo; in genesis files they, and real numbers, are decimal text, because JSON
/// numbers are doubles and lose digits.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Largest transaction, bytes.
    pub max_tx_bytes: u32,
    /// Most messages in a transaction.
    pub max_messages: u32,

    /// Whether the price of gas follows demand; otherwise it stays at its floor.
    pub feemarket_enabled: bool,
    /// uallo per unit of gas, the floor of the price. Cheap, but above zero, so that spam has a price.
    #[serde(with = "fixed")]
    pub feemarket_min_base_gas_price: Fixed,
    /// Sum of the gas limits of a block's transactions. About a second of one core's work (docs/protocol/gas.md).
    pub feemarket_max_block_utilization: u64,
    /// Blocks over which the learning rate looks at demand.
    pub feemarket_window: u64,
    /// Added to the learning rate while blocks are nearly full or nearly empty.
    #[serde(with = "fixed")]
    pub feemarket_alpha: Fixed,
    /// Multiplies the learning rate while they are not.
    #[serde(with = "fixed")]
    pub feemarket_beta: Fixed,
    /// How near: blocks of up to this part of the limit are nearly empty, of 1 minus this part nearly full.
    #[serde(with = "fixed")]
    pub feemarket_gamma: Fixed,
    /// uallo added to the price per unit of gas that the window asked for beyond half of the limit.
    #[serde(with = "fixed")]
    pub feemarket_delta: Fixed,
    /// Least learning rate.
    #[serde(with = "fixed")]
    pub feemarket_min_learning_rate: Fixed,
    /// Most by which the price moves in a block, as a fraction.
    #[serde(with = "fixed")]
    pub feemarket_max_learning_rate: Fixed,

    /// Test networks: this many new tokens per block instead of the schedule; 0 follows the schedule.
    #[serde(with = "text")]
    pub fixed_emission: u128,
    /// Whether the schedule creates tokens at all.
    pub emission_enabled: bool,
    /// Nothing is minted above this.
    #[serde(with = "text")]
    pub max_supply: u128,
    /// Monthly emission per token of treasury and staked token, before cap and smoothing.
    #[serde(with = "fixed")]
    pub f_emission: Fixed,
    /// How much of the newest monthly rate enters the smoothed one.
    #[serde(with = "fixed")]
    pub one_month_smoothing_degree: Fixed,
    /// Parts of the maximum supply, summing to 1: what the schedule may mint,
    #[serde(with = "fixed")]
    pub ecosystem_treasury_percent_of_total_supply: Fixed,
    /// the foundation,
    #[serde(with = "fixed")]
    pub foundation_treasury_percent_of_total_supply: Fixed,
    /// early participants,
    #[serde(with = "fixed")]
    pub participants_percent_of_total_supply: Fixed,
    /// investors,
    #[serde(with = "fixed")]
    pub investors_percent_of_total_supply: Fixed,
    /// first investors,
    #[serde(with = "fixed")]
    pub investors_preseed_percent_of_total_supply: Fixed,
    /// the team.
    #[serde(with = "fixed")]
    pub team_percent_of_total_supply: Fixed,
    /// Part of the foundation's tokens that is locked at the start.
    #[serde(with = "fixed")]
    pub foundation_locked: Fixed,
    /// Most a staked token may yield in a month.
    #[serde(with = "fixed")]
    pub maximum_monthly_percentage_yield: Fixed,
    /// Validators' part of each block's emission.
    #[serde(with = "fixed")]
    pub validators_vs_allora_percent_reward: Fixed,
    /// Length of a month; also scales topic weights and the drip of funding.
    pub blocks_per_month: u64,

    /// Milliseconds of block time between asking for delegated tokens and having them; so long misbehaviour can be
    /// punished, and so old may be what a light client trusts. Time and not blocks, because light clients have a clock.
    pub unbonding_time_ms: u64,
    /// Most validators that decide blocks.
    pub max_validators: u32,
    /// Unbondings, and redelegations, that a delegator may have under way at once with the same validators.
    pub max_entries: u32,
    /// Least commission of a validator.
    #[serde(with = "fixed")]
    pub min_commission_rate: Fixed,
    /// The set of validators follows the tokens at the end of every block whose height is a multiple of this. Ours:
    /// sets that stand still for a while make light clients' proofs short.
    pub validator_set_blocks: u64,
    /// Blocks over which a validator's missing signatures are counted.
    pub signed_blocks_window: u64,
    /// Part of them that it must have signed.
    #[serde(with = "fixed")]
    pub min_signed_per_window: Fixed,
    /// Milliseconds after which a validator jailed for its absence may come back.
    pub downtime_jail_ms: u64,
    /// Part of the tokens taken for two signatures that exclude one another.
    #[serde(with = "fixed")]
    pub slash_fraction_double_sign: Fixed,
    /// Part of the tokens taken for absence.
    #[serde(with = "fixed")]
    pub slash_fraction_downtime: Fixed,

    /// What creating a topic costs. It goes to the ecosystem.
    #[serde(with = "text")]
    pub create_topic_fee: u128,
    /// What registering costs; counts as the topic's revenue.
    #[serde(with = "text")]
    pub registration_fee: u128,
    /// What a payload or report costs; counts as the topic's revenue.
    #[serde(with = "text")]
    pub data_sending_fee: u128,
    /// Stake authority below which losses are not heard.
    #[serde(with = "text")]
    pub required_minimum_stake: u128,
    /// Stake authority below which a reported truth is not heard. Ours: a capped median must not be bought with dust.
    #[serde(with = "text")]
    pub min_truth_stake: u128,
    /// Blocks between asking for stake and having it.
    pub remove_stake_delay_window: u64,
    /// Removals of each kind completed per block at most; others wait for the next block.
    pub half_max_process_stake_removals_end_block: u32,

    /// A topic below this weight sleeps.
    #[serde(with = "real")]
    pub min_topic_weight: Real,
    /// Exponent of stake in a topic's weight.
    #[serde(with = "real")]
    pub topic_reward_stake_importance: Real,
    /// Exponent of revenue in a topic's weight.
    #[serde(with = "real")]
    pub topic_reward_fee_revenue_importance: Real,
    /// How much of a week's target weight enters the smoothed one.
    #[serde(with = "real")]
    pub topic_reward_alpha: Real,
    /// Most topics that ask in the same block; the lightest sleep.
    pub max_active_topics_per_block: u32,
    /// Shortest time between two questions, blocks.
    pub min_epoch_length: u64,
    /// Most epochs of a topic that may wait for their truth at once.
    pub max_unfulfilled_reputer_requests: u64,
    /// Scored epochs kept in state per topic; older ones live in blocks and indexes.
    pub epoch_retention: u32,
    /// Longest free text of a topic, bytes.
    pub max_string_length: u32,

    /// Inferers heard per epoch where a topic does not say.
    pub max_top_inferers_to_reward: u32,
    /// Forecasters heard per epoch where a topic does not say.
    pub max_top_forecasters_to_reward: u32,
    /// Reputers heard per epoch where a topic does not say, if they bring losses.
    pub max_top_reputers_to_reward: u32,
    /// Most inferers a topic may ask for under rules of linear cost. Ours: there the cap is economic, not technical.
    pub max_members: u32,
    /// Most inferers a topic may ask for under the regret rule, whose cost grows with the square.
    pub max_members_regret: u32,
    /// Most forecasters a topic may ask for.
    pub max_forecasters: u32,
    /// Most reputers a topic may ask for; what truth topics hear where they do not say.
    pub max_reputers: u32,
    /// Elements of a forecast that count: those about the inferers of most merit.
    pub max_elements_per_forecast: u32,
    /// Standard deviations below the least score at which newcomers start.
    #[serde(with = "real")]
    pub lambda_initial_score: Real,

    /// Longest label, bytes, in canonical form.
    pub max_canonical_label_byte_length: u32,
    /// Most labels a topic may allow by name.
    pub max_topic_label_whitelist_size: u32,
    /// Most labels in one epoch.
    pub max_epoch_label_registry_size: u32,
    /// Median absolute deviations beyond which an inference is left out of the resistant answer.
    #[serde(with = "real")]
    pub inference_outlier_detection_threshold: Real,
    /// How much of an epoch's deviation enters the smoothed one.
    #[serde(with = "real")]
    pub inference_outlier_detection_alpha: Real,

    /// Weight of the numbers of actors in a role's entropy.
    #[serde(with = "real")]
    pub beta_entropy: Real,
    /// Smoothing of reward fractions and of the forecasters' task score.
    #[serde(with = "real")]
    pub task_reward_alpha: Real,
    /// Steepness of the map from scores to inferers' fractions.
    #[serde(with = "real")]
    pub p_reward_inference: Real,
    /// The same for forecasters.
    #[serde(with = "real")]
    pub p_reward_forecast: Real,
    /// Exponent of stake times score in reputers' fractions.
    #[serde(with = "real")]
    pub p_reward_reputer: Real,
    /// Centre of the map from scores to inferers' fractions.
    #[serde(with = "real")]
    pub c_reward_inference: Real,
    /// The same for forecasters.
    #[serde(with = "real")]
    pub c_reward_forecast: Real,
    /// Epochs of scores that fractions are standardised by.
    pub max_samples_to_scale_scores: u32,
    /// Reputers' share of a reward that is not split by entropy, in 1/10 000. Ours.
    pub reputer_share: u16,
    /// Largest share of weight one reputer has in a truth, in 1/10 000, unless there are too few to share it. Ours.
    pub reputer_weight_cap: u16,

    /// Step of the listening coefficients.
    #[serde(with = "real")]
    pub learning_rate: Real,
    /// Their ascent ends below this gradient,
    #[serde(with = "real")]
    pub max_gradient_threshold: Real,
    /// or after this many steps.
    pub gradient_descent_max_iters: u32,
    /// Stake that must stay listened to.
    #[serde(with = "real")]
    pub min_stake_fraction: Real,
    /// Bounds the score of a perfect reputer.
    #[serde(with = "real")]
    pub epsilon_reputer: Real,
    /// Least divisor.
    #[serde(with = "real")]
    pub epsilon_safe_div: Real,
    /// Regret at which newcomers start: this quantile of experienced ones.
    #[serde(with = "real")]
    pub initial_regret_quantile: Real,
    /// Places newcomers below the useful range of the weight map.
    #[serde(with = "real")]
    pub p_norm_safe_div: Real,
    /// Experienced members needed before newcomers are placed relative to them.
    pub min_experienced_worker_regrets: u32,

    /// Whether the global list restricts anything. Ours: off, networks are open unless they choose otherwise.
    pub global_whitelist_enabled: bool,
    /// Whether only listed accounts create topics. Ours: off.
    pub topic_creator_whitelist_enabled: bool,
    /// Whether the global list of workers opens restricted topics.
    pub global_worker_whitelist_enabled: bool,
    /// Whether the global list of reputers opens restricted topics.
    pub global_reputer_whitelist_enabled: bool,
    /// Whether global admins count as members of every list.
    pub global_admin_whitelist_appended: bool,
    /// Most addresses in one change of a list.
    pub max_whitelist_input_array_length: u32,
}

/// A published default, as text: these are decimal numbers, and read like it.
macro_rules! decimal {
    ($text:literal) => {
        $text.parse().expect("a literal of this file is a decimal number")
    };
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_tx_bytes: 256 << 10,
            max_messages: 64,
            feemarket_enabled: true,
            feemarket_min_base_gas_price: decimal!("1"),
            feemarket_max_block_utilization: 1_000_000_000,
            feemarket_window: 8,
            feemarket_alpha: decimal!("0.025"),
            feemarket_beta: decimal!("0.95"),
            feemarket_gamma: decimal!("0.25"),
            feemarket_delta: decimal!("0"),
            feemarket_min_learning_rate: decimal!("0.01"),
            feemarket_max_learning_rate: decimal!("0.125"),
            fixed_emission: 0,
            emission_enabled: true,
            max_supply: 1_000_000_000 * ALLO,
            f_emission: decimal!("0.025"),
            one_month_smoothing_degree: decimal!("0.1"),
            ecosystem_treasury_percent_of_total_supply: decimal!("0.2145"),
            foundation_treasury_percent_of_total_supply: decimal!("0.225"),
            participants_percent_of_total_supply: decimal!("0.075"),
            investors_percent_of_total_supply: decimal!("0.2605"),
            investors_preseed_percent_of_total_supply: decimal!("0.05"),
            team_percent_of_total_supply: decimal!("0.175"),
            foundation_locked: decimal!("1"),
            maximum_monthly_percentage_yield: decimal!("0.0095"),
            validators_vs_allora_percent_reward: decimal!("0.25"),
            blocks_per_month: 864_000,
            unbonding_time_ms: 21 * 86_400_000,
            max_validators: 100,
            max_entries: 7,
            min_commission_rate: decimal!("0"),
            validator_set_blocks: 100,
            signed_blocks_window: 1_000,
            min_signed_per_window: decimal!("0.5"),
            downtime_jail_ms: 600_000,
            slash_fraction_double_sign: decimal!("0.05"),
            slash_fraction_downtime: decimal!("0.0001"),
            create_topic_fee: 75_000,
            registration_fee: 200,
            data_sending_fee: 10,
            required_minimum_stake: 10_000,
            min_truth_stake: ALLO,
            remove_stake_delay_window: 604_800,
            half_max_process_stake_removals_end_block: 40,
            min_topic_weight: decimal!("100"),
            topic_reward_stake_importance: decimal!("0.5"),
            topic_reward_fee_revenue_importance: decimal!("0.5"),
            topic_reward_alpha: decimal!("0.5"),
            max_active_topics_per_block: 128,
            min_epoch_length: 1,
            max_unfulfilled_reputer_requests: 1_000,
            epoch_retention: 1_000,
            max_string_length: 255,
            max_top_inferers_to_reward: 32,
            max_top_forecasters_to_reward: 6,
            max_top_reputers_to_reward: 6,
            max_members: 10_000,
            max_members_regret: 500,
            max_forecasters: 64,
            max_reputers: 128,
            max_elements_per_forecast: 12,
            lambda_initial_score: decimal!("2"),
            max_canonical_label_byte_length: 64,
            max_topic_label_whitelist_size: 256,
            max_epoch_label_registry_size: 1_024,
            inference_outlier_detection_threshold: decimal!("11"),
            inference_outlier_detection_alpha: decimal!("0.2"),
            beta_entropy: decimal!("0.25"),
            task_reward_alpha: decimal!("0.1"),
            p_reward_inference: decimal!("3"),
            p_reward_forecast: decimal!("3"),
            p_reward_reputer: decimal!("1"),
            c_reward_inference: decimal!("0.75"),
            c_reward_forecast: decimal!("0.75"),
            max_samples_to_scale_scores: 10,
            reputer_share: 2_500,
            reputer_weight_cap: 3_400,
            learning_rate: decimal!("0.05"),
            max_gradient_threshold: decimal!("0.001"),
            gradient_descent_max_iters: 10,
            min_stake_fraction: decimal!("0.5"),
            epsilon_reputer: decimal!("0.01"),
            epsilon_safe_div: decimal!("0.0000001"),
            initial_regret_quantile: decimal!("0.25"),
            p_norm_safe_div: decimal!("8.25"),
            min_experienced_worker_regrets: 10,
            global_whitelist_enabled: false,
            topic_creator_whitelist_enabled: false,
            global_worker_whitelist_enabled: true,
            global_reputer_whitelist_enabled: true,
            global_admin_whitelist_appended: true,
            max_whitelist_input_array_length: 2_000,
        }
    }
}

impl Params {
    /// Checks ranges; the text names the field and what it allows.
    pub fn validate(&self) -> Result<(), String> {
        for (name, value) in
            [("reputer_share", self.reputer_share), ("reputer_weight_cap", self.reputer_weight_cap)]
        {
            if value > 10_000 {
                return Err(format!("{name} is {value}, at most 10000 (a share in 1/10000)"));
            }
        }
        if self.max_supply == 0 || self.max_supply > u128::MAX / 4 {
            return Err("max_supply is above 0 and at most 2^126, which sums can hold".into());
        }
        let fractions = [
            ("f_emission", self.f_emission),
            ("one_month_smoothing_degree", self.one_month_smoothing_degree),
            ("maximum_monthly_percentage_yield", self.maximum_monthly_percentage_yield),
            ("validators_vs_allora_percent_reward", self.validators_vs_allora_percent_reward),
            ("foundation_locked", self.foundation_locked),
            ("feemarket_alpha", self.feemarket_alpha),
            ("feemarket_beta", self.feemarket_beta),
            ("feemarket_delta", self.feemarket_delta),
            ("feemarket_max_learning_rate", self.feemarket_max_learning_rate),
            ("min_commission_rate", self.min_commission_rate),
            ("min_signed_per_window", self.min_signed_per_window),
            ("slash_fraction_double_sign", self.slash_fraction_double_sign),
            ("slash_fraction_downtime", self.slash_fraction_downtime),
        ];
        for (name, value) in fractions {
            if value > Fixed::ONE {
                return Err(format!("{name} is {value}, at most 1"));
            }
        }
        if self.feemarket_gamma.raw() > Fixed::ONE.raw() / 2 {
            return Err(format!("feemarket_gamma is {}, at most 0.5", self.feemarket_gamma));
        }
        if self.feemarket_min_learning_rate > self.feemarket_max_learning_rate {
            return Err("feemarket_min_learning_rate is above feemarket_max_learning_rate".into());
        }
        let floor = self.feemarket_min_base_gas_price;
        if floor == Fixed::ZERO || floor > feemarket::MAX_PRICE {
            return Err(format!(
                "feemarket_min_base_gas_price is {floor}, allowed are 10^-18 to {}",
                feemarket::MAX_PRICE
            ));
        }
        let block = self.feemarket_max_block_utilization;
        if !feemarket::BLOCK_GAS.contains(&block) {
            let (low, high) = (feemarket::BLOCK_GAS.start(), feemarket::BLOCK_GAS.end());
            return Err(format!("feemarket_max_block_utilization is {block}, allowed are {low} to {high}"));
        }
        if self.feemarket_window > feemarket::MAX_WINDOW {
            let (window, most) = (self.feemarket_window, feemarket::MAX_WINDOW);
            return Err(format!("feemarket_window is {window}, at most {most}"));
        }
        self.shares().validate().map_err(|e| format!("shares of the supply: {e}"))?;
        let counts = [
            ("max_tx_bytes", self.max_tx_bytes.into()),
            ("max_messages", self.max_messages.into()),
            ("feemarket_window", self.feemarket_window),
            ("max_members", self.max_members.into()),
            ("max_members_regret", self.max_members_regret.into()),
            ("max_reputers", self.max_reputers.into()),
            ("max_top_inferers_to_reward", self.max_top_inferers_to_reward.into()),
            ("max_top_reputers_to_reward", self.max_top_reputers_to_reward.into()),
            ("max_active_topics_per_block", self.max_active_topics_per_block.into()),
            (
                "half_max_process_stake_removals_end_block",
                self.half_max_process_stake_removals_end_block.into(),
            ),
            ("max_samples_to_scale_scores", self.max_samples_to_scale_scores.into()),
            ("gradient_descent_max_iters", self.gradient_descent_max_iters.into()),
            ("max_epoch_label_registry_size", self.max_epoch_label_registry_size.into()),
            ("max_canonical_label_byte_length", self.max_canonical_label_byte_length.into()),
            ("max_unfulfilled_reputer_requests", self.max_unfulfilled_reputer_requests),
            ("epoch_retention", self.epoch_retention.into()),
            ("min_epoch_length", self.min_epoch_length),
            ("blocks_per_month", self.blocks_per_month),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        // Loops over these run within a block.
        let bounds = [
            ("unbonding_time_ms", self.unbonding_time_ms, 1, 10 * 366 * 86_400_000),
            ("max_validators", self.max_validators.into(), 1, 1_000),
            ("max_entries", self.max_entries.into(), 1, 100),
            ("validator_set_blocks", self.validator_set_blocks, 1, 1_000_000),
            ("signed_blocks_window", self.signed_blocks_window, 1, 100_000),
            ("downtime_jail_ms", self.downtime_jail_ms, 0, 10 * 366 * 86_400_000),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(format!("{name} is {value}, allowed are {low} to {high}"));
            }
        }
        let ranges = [
            ("min_topic_weight", self.min_topic_weight, 0.0, 1e30),
            ("topic_reward_stake_importance", self.topic_reward_stake_importance, 0.0, 1.0),
            ("topic_reward_fee_revenue_importance", self.topic_reward_fee_revenue_importance, 0.0, 1.0),
            ("topic_reward_alpha", self.topic_reward_alpha, f64::MIN_POSITIVE, 1.0),
            ("lambda_initial_score", self.lambda_initial_score, 0.0, 1e6),
            ("inference_outlier_detection_threshold", self.inference_outlier_detection_threshold, 0.0, 1e6),
            ("inference_outlier_detection_alpha", self.inference_outlier_detection_alpha, 0.0, 1.0),
            ("beta_entropy", self.beta_entropy, 0.0, 1.0),
            ("task_reward_alpha", self.task_reward_alpha, f64::MIN_POSITIVE, 1.0),
            ("p_reward_inference", self.p_reward_inference, f64::MIN_POSITIVE, 100.0),
            ("p_reward_forecast", self.p_reward_forecast, f64::MIN_POSITIVE, 100.0),
            ("p_reward_reputer", self.p_reward_reputer, f64::MIN_POSITIVE, 100.0),
            ("c_reward_inference", self.c_reward_inference, f64::MIN_POSITIVE, 100.0),
            ("c_reward_forecast", self.c_reward_forecast, f64::MIN_POSITIVE, 100.0),
            ("initial_regret_quantile", self.initial_regret_quantile, 0.0, 1.0),
            ("p_norm_safe_div", self.p_norm_safe_div, -1e6, 1e6),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value.get()) {
                return Err(format!("{name} is {value}, allowed are {low} to {high}"));
            }
        }
        self.reputers().validate().map_err(|e| format!("listening coefficients: {e}"))
    }

    /// The supply's six parts.
    pub fn shares(&self) -> dodona_mechanism::supply::Shares {
        dodona_mechanism::supply::Shares {
            ecosystem: self.ecosystem_treasury_percent_of_total_supply,
            foundation: self.foundation_treasury_percent_of_total_supply,
            participants: self.participants_percent_of_total_supply,
            investors: self.investors_percent_of_total_supply,
            preseed: self.investors_preseed_percent_of_total_supply,
            team: self.team_percent_of_total_supply,
        }
    }

    /// How reputers' losses are listened to.
    pub fn reputers(&self) -> ReputerConfig {
        ReputerConfig {
            learning_rate: self.learning_rate,
            max_iterations: self.gradient_descent_max_iters,
            gradient_threshold: self.max_gradient_threshold,
            min_stake_fraction: self.min_stake_fraction,
            epsilon_reputer: self.epsilon_reputer,
            safe_div: self.epsilon_safe_div,
        }
    }

    /// Blocks in a week.
    pub fn blocks_per_week(&self) -> f64 {
        self.blocks_per_month as f64 / WEEKS_PER_MONTH
    }

    /// Every parameter by name, as it stands in genesis without quotation marks.
    pub fn to_list(&self) -> Vec<(String, String)> {
        listed(self)
    }

    /// These parameters with some of them changed, checked as a whole. The error names what is wrong.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Params, String> {
        let changed: Params = changed(self, changes)?;
        changed.validate()?;
        Ok(changed)
    }
}

/// Every field of a flat struct by name, as text without quotation marks.
pub(crate) fn listed(of: &impl Serialize) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(of) else { return Vec::new() };
    let plain = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

/// A flat struct with some of its fields changed. The error names what is wrong.
pub(crate) fn changed<T: Serialize + for<'de> Deserialize<'de>>(
    of: &T,
    changes: &[(String, String)],
) -> Result<T, String> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(of) else {
        return Err("parameters have no text form".into());
    };
    for (name, text) in changes {
        let Some(value) = fields.get_mut(name) else {
            return Err(format!("no parameter is named `{}`", crate::text::printable(name)));
        };
        // A number or a flag keeps its kind; everything else is text.
        *value = match value {
            serde_json::Value::String(_) => text.clone().into(),
            _ => serde_json::from_str(text)
                .map_err(|_| format!("{name}: `{}` is no value", crate::text::printable(text)))?,
        };
    }
    serde_json::from_value(serde_json::Value::Object(fields)).map_err(|e| e.to_string())
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

/// Real numbers as decimal text in JSON.
mod real {
    use dodona_mechanism::Real;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Real, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Real, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e| D::Error::custom(format!("`{text}`: {e}")))
    }
}

/// Fractions with eighteen decimals as decimal text in JSON.
pub(crate) mod fixed {
    use dodona_mechanism::supply::Fixed;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Fixed, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Fixed, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e| D::Error::custom(format!("`{text}`: {e}")))
    }
}
