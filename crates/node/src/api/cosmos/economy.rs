//! What gas costs and how many tokens come into being: the services feemarket and mint; and what of that is for those
//! who stake on validators, in the words of every chain of the Cosmos family: wallets make yields of it.

use dodona_mechanism::supply::Fixed;
use dodona_proto::{
    DENOM,
    chain::{QueryGasRequest, QueryGasResponse},
    cosmos::{base::v1beta1::DecCoin, mint::v1beta1 as yields},
    feemarket::v1 as feemarket,
    mint::v5 as mint,
    path,
    topics::{QueryEmissionRequest, QueryEmissionResponse, QueryParamsRequest, QueryParamsResponse},
};
use prost::Message;

use super::{ask, base::status_at, of, validators::decimal};
use crate::{NodeHandle, api::Status};

/// Answers a method of these services.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    Ok(match method {
        "/feemarket.feemarket.v1.Query/Params" => {
            let params = Some(Parameters::ask(node, at)?.feemarket());
            feemarket::ParamsResponse { params }.encode_to_vec()
        }
        "/feemarket.feemarket.v1.Query/State" => {
            let market = market(node, at)?;
            let state = feemarket::State {
                base_gas_price: digits(&market.price)?,
                learning_rate: digits(&market.learning_rate)?,
                window: market.window,
                index: market.index.into(),
            };
            feemarket::StateResponse { state: Some(state) }.encode_to_vec()
        }
        "/feemarket.feemarket.v1.Query/GasPrice" => {
            let q: feemarket::GasPriceRequest = of(request)?;
            if q.denom != DENOM {
                return Err(Status::invalid(format!("fees are paid in {DENOM}, not in another token")));
            }
            feemarket::GasPriceResponse { price: Some(gas_price(node, at)?) }.encode_to_vec()
        }
        "/feemarket.feemarket.v1.Query/GasPrices" => {
            feemarket::GasPricesResponse { prices: vec![gas_price(node, at)?] }.encode_to_vec()
        }
        "/mint.v5.QueryService/Params" => {
            let params = Some(Parameters::ask(node, at)?.mint());
            mint::QueryServiceParamsResponse { params }.encode_to_vec()
        }
        "/mint.v5.QueryService/Inflation" => inflation(node, at)?.encode_to_vec(),
        "/mint.v5.QueryService/EmissionInfo" => emission_info(node, at)?.encode_to_vec(),
        "/cosmos.mint.v1beta1.Query/Params" => {
            let params = yields::Params {
                mint_denom: DENOM.into(),
                // Nothing is aimed at here.
                inflation_rate_change: "0".into(),
                inflation_max: yearly_part(node, at)?,
                inflation_min: yearly_part(node, at)?,
                goal_bonded: "0".into(),
                blocks_per_year: blocks_per_year(node, at)?,
            };
            yields::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        "/cosmos.mint.v1beta1.Query/Inflation" => {
            let inflation = yearly_part(node, at)?.into_bytes();
            yields::QueryInflationResponse { inflation }.encode_to_vec()
        }
        "/cosmos.mint.v1beta1.Query/AnnualProvisions" => {
            let annual_provisions = decimal(yearly(node, at)?).into_bytes();
            yields::QueryAnnualProvisionsResponse { annual_provisions }.encode_to_vec()
        }
        other => return Err(Status::unimplemented(other)),
    })
}

fn blocks_per_year(node: &NodeHandle, at: u64) -> Result<u64, Status> {
    let month: u64 = Parameters::ask(node, at)?.number("blocks_per_month")?;
    Ok(month.saturating_mul(12))
}

/// Tokens that those who stake on validators would get in a year of blocks like the last one, fees apart.
fn yearly(node: &NodeHandle, at: u64) -> Result<u128, Status> {
    let block = amount(&emission(node, at)?.block_validators)?;
    Ok(block.saturating_mul(blocks_per_year(node, at)?.into()))
}

/// The same as part of all tokens, an integer of eighteen decimals.
fn yearly_part(node: &NodeHandle, at: u64) -> Result<String, Status> {
    let supply = amount(&status_at(node, at)?.supply)?;
    Ok(Fixed::ratio(yearly(node, at)?, supply).unwrap_or(Fixed::ZERO).raw().to_string())
}

fn market(node: &NodeHandle, at: u64) -> Result<QueryGasResponse, Status> {
    ask(node, path::GAS, &QueryGasRequest {}, at)
}

/// The price of the next block.
fn gas_price(node: &NodeHandle, at: u64) -> Result<DecCoin, Status> {
    let amount = digits(&market(node, at)?.price)?;
    Ok(DecCoin { denom: DENOM.into(), amount })
}

fn emission(node: &NodeHandle, at: u64) -> Result<QueryEmissionResponse, Status> {
    ask(node, path::EMISSION, &QueryEmissionRequest {}, at)
}

fn fixed(text: &str) -> Result<Fixed, Status> {
    text.parse().map_err(Status::internal)
}

fn amount(text: &str) -> Result<u128, Status> {
    text.parse().map_err(Status::internal)
}

/// As this family of nodes encodes a decimal number in protobuf: an integer of eighteen decimals, so that 1 is 10^18.
fn digits(text: &str) -> Result<String, Status> {
    Ok(fixed(text)?.raw().to_string())
}

/// What one does not know yet is zero for clients that read numbers.
fn or_zero(text: String) -> String {
    if text.is_empty() { "0".into() } else { text }
}

/// Tokens of a year at the present rate in percent of those in circulation; 0 while nothing is known to circulate.
fn inflation(node: &NodeHandle, at: u64) -> Result<mint::QueryServiceInflationResponse, Status> {
    let emission = emission(node, at)?;
    let month: u128 = Parameters::ask(node, at)?.number("blocks_per_month")?;
    let year = amount(&emission.block_emission)?.saturating_mul(month).saturating_mul(12);
    let circulating = amount(&or_zero(emission.circulating))?;
    let ratio = Fixed::ratio(year, circulating).unwrap_or(Fixed::ZERO);
    let percent = ratio.raw().saturating_mul(100);
    Ok(mint::QueryServiceInflationResponse { inflation: percent.to_string().into_bytes() })
}

fn emission_info(node: &NodeHandle, at: u64) -> Result<mint::QueryServiceEmissionInfoResponse, Status> {
    let parameters = Parameters::ask(node, at)?;
    let e = emission(node, at)?;
    let (target, cap) = (fixed(&or_zero(e.target))?, fixed(&or_zero(e.cap))?);
    let smoothed = digits(&or_zero(e.smoothed))?;
    Ok(mint::QueryServiceEmissionInfoResponse {
        params: Some(parameters.mint()),
        ecosystem_balance: e.ecosystem_balance,
        previous_block_emission: e.block_emission.clone(),
        ecosystem_mint_supply_remaining: e.remaining_mintable.clone(),
        blocks_per_month: parameters.number("blocks_per_month")?,
        block_height_target_e_i_last_calculated: e.calculated,
        block_height_target_e_i_next_calculated: e.next,
        network_staked_tokens: e.staked,
        locked_vesting_tokens_total: [
            &e.locked_preseed,
            &e.locked_investors,
            &e.locked_team,
            &e.locked_foundation,
        ]
        .iter()
        .try_fold(0u128, |sum, part| Ok::<_, Status>(sum.saturating_add(amount(part)?)))?
        .to_string(),
        locked_vesting_tokens_investors_preseed: e.locked_preseed,
        locked_vesting_tokens_investors_seed: e.locked_investors,
        locked_vesting_tokens_team: e.locked_team,
        ecosystem_locked: e.remaining_mintable,
        circulating_supply: or_zero(e.circulating),
        max_supply: e.max_supply,
        target_emission_rate_per_unit_staked_token: target.raw().to_string(),
        reputers_percent: digits(&e.reputers_share)?,
        validators_percent: parameters.decimal("validators_vs_allora_percent_reward"),
        maximum_monthly_emission_per_unit_staked_token: cap.raw().to_string(),
        target_reward_emission_per_unit_staked_token: target.min(cap).raw().to_string(),
        emission_per_unit_staked_token: smoothed.clone(),
        emission_per_month: or_zero(e.month),
        block_emission: e.block_emission,
        validator_cut: e.block_validators,
        allora_rewards_cut: e.block_topics,
        previous_reward_emission_per_unit_staked_token: smoothed,
        months_already_unlocked: e.months_unlocked.to_string(),
        updated_months_unlocked: e.months_unlocked.to_string(),
        starting_emissions_block_height: e.start as i64,
        locked_vesting_tokens_foundation: e.locked_foundation,
    })
}

/// The chain's parameters by name.
struct Parameters(QueryParamsResponse);

impl Parameters {
    fn ask(node: &NodeHandle, at: u64) -> Result<Self, Status> {
        Ok(Self(ask(node, path::PARAMS, &QueryParamsRequest {}, at)?))
    }

    fn text(&self, name: &str) -> String {
        self.0.params.iter().find(|p| p.name == name).map_or(String::new(), |p| p.value.clone())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Status> {
        self.text(name).parse().map_err(|_| Status::internal(format!("parameter {name} is no number")))
    }

    fn decimal(&self, name: &str) -> String {
        digits(&self.text(name)).unwrap_or_default()
    }

    fn feemarket(&self) -> feemarket::Params {
        let decimal = |name: &str| self.decimal(name);
        let number = |name: &str| self.number(name).unwrap_or_default();
        feemarket::Params {
            alpha: decimal("feemarket_alpha"),
            beta: decimal("feemarket_beta"),
            gamma: decimal("feemarket_gamma"),
            delta: decimal("feemarket_delta"),
            min_base_gas_price: decimal("feemarket_min_base_gas_price"),
            min_learning_rate: decimal("feemarket_min_learning_rate"),
            max_learning_rate: decimal("feemarket_max_learning_rate"),
            max_block_utilization: number("feemarket_max_block_utilization"),
            window: number("feemarket_window"),
            fee_denom: DENOM.into(),
            enabled: self.text("feemarket_enabled") == "true",
            // Fees go to validators; nothing is ever burnt.
            distribute_fees: true,
        }
    }

    fn mint(&self) -> mint::Params {
        let decimal = |name: &str| self.decimal(name);
        mint::Params {
            mint_denom: DENOM.into(),
            max_supply: self.text("max_supply"),
            f_emission: decimal("f_emission"),
            one_month_smoothing_degree: decimal("one_month_smoothing_degree"),
            ecosystem_treasury_percent_of_total_supply: decimal("ecosystem_treasury_percent_of_total_supply"),
            foundation_treasury_percent_of_total_supply: decimal(
                "foundation_treasury_percent_of_total_supply",
            ),
            participants_percent_of_total_supply: decimal("participants_percent_of_total_supply"),
            investors_percent_of_total_supply: decimal("investors_percent_of_total_supply"),
            team_percent_of_total_supply: decimal("team_percent_of_total_supply"),
            maximum_monthly_percentage_yield: decimal("maximum_monthly_percentage_yield"),
            investors_preseed_percent_of_total_supply: decimal("investors_preseed_percent_of_total_supply"),
            emission_enabled: self.text("emission_enabled") == "true",
        }
    }
}
