//! What validators and delegators earned and have not collected: the service distribution. Nothing is taxed, so the
//! community pool is empty.

use dodona_chain::staking::view;
use dodona_proto::{
    Address, DENOM, Prefix,
    cosmos::{base::v1beta1::DecCoin, distribution::v1beta1 as distribution},
};
use dodona_store::Snapshot;
use prost::Message;

use super::{
    of,
    page::Page,
    validators::{account, decimal, operator, validator},
};
use crate::{NodeHandle, api::Status};

/// Validators whose rewards are listed in one answer, which has no pages.
const MAX_LISTED: usize = 1_000;

/// Answers a method of the service.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    let read = node.state(at)?;
    let earned = |text: &str| -> Result<(u128, u128), Status> {
        Ok(view::earned(&read, validator(&read, text)?.operator)?)
    };
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Params" => {
            let zero = || "0".to_string();
            let params = distribution::Params {
                community_tax: zero(),
                base_proposer_reward: zero(),
                bonus_proposer_reward: zero(),
                withdraw_addr_enabled: true,
            };
            distribution::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        "ValidatorDistributionInfo" => {
            let q: distribution::QueryValidatorDistributionInfoRequest = of(request)?;
            let operator = validator(&read, &q.validator_address)?.operator;
            let own = view::reward(&read, operator, operator)?.unwrap_or(0);
            distribution::QueryValidatorDistributionInfoResponse {
                operator_address: operator.to_string(),
                self_bond_rewards: coins(own),
                commission: coins(view::earned(&read, operator)?.1),
            }
            .encode_to_vec()
        }
        "ValidatorOutstandingRewards" => {
            let q: distribution::QueryValidatorOutstandingRewardsRequest = of(request)?;
            let (delegators, commission) = earned(&q.validator_address)?;
            let rewards = coins(delegators.saturating_add(commission));
            let rewards = Some(distribution::ValidatorOutstandingRewards { rewards });
            distribution::QueryValidatorOutstandingRewardsResponse { rewards }.encode_to_vec()
        }
        "ValidatorCommission" => {
            let q: distribution::QueryValidatorCommissionRequest = of(request)?;
            let commission = coins(earned(&q.validator_address)?.1);
            let commission = Some(distribution::ValidatorAccumulatedCommission { commission });
            distribution::QueryValidatorCommissionResponse { commission }.encode_to_vec()
        }
        "ValidatorSlashes" => {
            let q: distribution::QueryValidatorSlashesRequest = of(request)?;
            let operator = validator(&read, &q.validator_address)?.operator;
            let last = if q.ending_height == 0 { u64::MAX } else { q.ending_height };
            let page = Page::of(q.pagination)?;
            let all = |start: [u8; 8], limit| {
                let start = u64::from_be_bytes(start).max(q.starting_height);
                Ok(view::slashes(&read, operator, start, limit)?)
            };
            let (rows, pagination) =
                page.sift(all, |(height, _)| height.to_be_bytes(), |(height, _)| *height <= last)?;
            let slashes = rows.into_iter().map(|(_, slash)| distribution::ValidatorSlashEvent {
                // Rewards are settled without periods here.
                validator_period: 0,
                fraction: slash.fraction.raw().to_string(),
            });
            distribution::QueryValidatorSlashesResponse { slashes: slashes.collect(), pagination }
                .encode_to_vec()
        }
        "DelegationRewards" => {
            let q: distribution::QueryDelegationRewardsRequest = of(request)?;
            let (who, operator) = (account(&q.delegator_address)?, operator(&q.validator_address)?);
            let reward = view::reward(&read, operator, who)?.ok_or_else(|| {
                Status::not_found(format!(
                    "delegation of {} to {} does not exist: key not found",
                    q.delegator_address, q.validator_address
                ))
            })?;
            distribution::QueryDelegationRewardsResponse { rewards: coins(reward) }.encode_to_vec()
        }
        "DelegationTotalRewards" => {
            let q: distribution::QueryDelegationTotalRewardsRequest = of(request)?;
            let who = account(&q.delegator_address)?;
            let (mut rewards, mut total) = (Vec::new(), 0u128);
            for operator in operators(&read, who)? {
                let reward = view::reward(&read, operator, who)?.unwrap_or(0);
                total = total.saturating_add(reward);
                let validator_address = operator.written(Prefix::Operator);
                let reward = coins(reward);
                rewards.push(distribution::DelegationDelegatorReward { validator_address, reward });
            }
            distribution::QueryDelegationTotalRewardsResponse { rewards, total: coins(total) }.encode_to_vec()
        }
        "DelegatorValidators" => {
            let q: distribution::QueryDelegatorValidatorsRequest = of(request)?;
            let operators = operators(&read, account(&q.delegator_address)?)?;
            let validators = operators.iter().map(|operator| operator.written(Prefix::Operator)).collect();
            distribution::QueryDelegatorValidatorsResponse { validators }.encode_to_vec()
        }
        "DelegatorWithdrawAddress" => {
            let q: distribution::QueryDelegatorWithdrawAddressRequest = of(request)?;
            let withdraw_address = view::withdraw_address(&read, account(&q.delegator_address)?)?.to_string();
            distribution::QueryDelegatorWithdrawAddressResponse { withdraw_address }.encode_to_vec()
        }
        "CommunityPool" => distribution::QueryCommunityPoolResponse::default().encode_to_vec(),
        _ => return Err(Status::unimplemented(method)),
    })
}

/// All with whom an account has delegations.
fn operators(read: &Snapshot, who: Address) -> Result<Vec<Address>, Status> {
    let all = view::operators_of(read, who, Address([0; 20]), MAX_LISTED + 1)?;
    if all.len() > MAX_LISTED {
        let what = format!("more than {MAX_LISTED} delegations do not fit into one answer: ask for each");
        return Err(Status::invalid(what));
    }
    Ok(all)
}

/// Nothing is no coin.
fn coins(amount: u128) -> Vec<DecCoin> {
    if amount == 0 { Vec::new() } else { vec![DecCoin { denom: DENOM.into(), amount: decimal(amount) }] }
}
