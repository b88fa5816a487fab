//! Validators as staking, distribution and slashing modules speak of them. Ours are a list set by genesis: nobody
//! delegates to them, they keep all they earn, and nothing is slashed. What stands here as tokens is voting power.

use dodona_chain::Validator;
use dodona_proto::{
    Address, DENOM, Prefix,
    cosmos::{
        base::tendermint::v1beta1 as tm,
        crypto::ed25519::PubKey,
        distribution::v1beta1 as distribution,
        staking::v1beta1::{self as staking, BondStatus},
    },
};
use prost::Message;
use prost_types::{Any, Duration, Timestamp};

use super::{of, page::Page};
use crate::{NodeHandle, api::Status};

/// One, as an integer of eighteen decimals.
const ONE: &str = "1000000000000000000";

/// Answers a method of the service staking.
pub(super) fn staking(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    let set = || validators(node, at);
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Validators" => {
            let q: staking::QueryValidatorsRequest = of(request)?;
            let all: Vec<_> = set()?.iter().map(view).collect();
            let shown = match (q.status.as_str(), BondStatus::from_str_name(&q.status)) {
                ("", _) | (_, Some(BondStatus::Bonded)) => all,
                (_, Some(_)) => Vec::new(),
                (_, None) => return Err(Status::invalid("status is BOND_STATUS_BONDED or the like")),
            };
            let (validators, pagination) = Page::of(q.pagination)?.cut(shown)?;
            staking::QueryValidatorsResponse { validators, pagination }.encode_to_vec()
        }
        "Validator" => {
            let q: staking::QueryValidatorRequest = of(request)?;
            let validator = view(&find(set()?, &q.validator_addr)?);
            staking::QueryValidatorResponse { validator: Some(validator) }.encode_to_vec()
        }
        "ValidatorDelegations" => {
            let q: staking::QueryValidatorDelegationsRequest = of(request)?;
            find(set()?, &q.validator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryValidatorDelegationsResponse { pagination, ..Default::default() }.encode_to_vec()
        }
        "ValidatorUnbondingDelegations" => {
            let q: staking::QueryValidatorUnbondingDelegationsRequest = of(request)?;
            find(set()?, &q.validator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryValidatorUnbondingDelegationsResponse { pagination, ..Default::default() }
                .encode_to_vec()
        }
        "Delegation" => {
            let q: staking::QueryDelegationRequest = of(request)?;
            return Err(no_delegation(set()?, "delegation", &q.delegator_addr, &q.validator_addr));
        }
        "UnbondingDelegation" => {
            let q: staking::QueryUnbondingDelegationRequest = of(request)?;
            return Err(no_delegation(set()?, "unbonding delegation", &q.delegator_addr, &q.validator_addr));
        }
        "DelegatorDelegations" => {
            let q: staking::QueryDelegatorDelegationsRequest = of(request)?;
            account(&q.delegator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryDelegatorDelegationsResponse { pagination, ..Default::default() }.encode_to_vec()
        }
        "DelegatorUnbondingDelegations" => {
            let q: staking::QueryDelegatorUnbondingDelegationsRequest = of(request)?;
            account(&q.delegator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryDelegatorUnbondingDelegationsResponse { pagination, ..Default::default() }
                .encode_to_vec()
        }
        "Redelegations" => {
            let q: staking::QueryRedelegationsRequest = of(request)?;
            account(&q.delegator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryRedelegationsResponse { pagination, ..Default::default() }.encode_to_vec()
        }
        "DelegatorValidators" => {
            let q: staking::QueryDelegatorValidatorsRequest = of(request)?;
            account(&q.delegator_addr)?;
            let (_, pagination) = none(q.pagination)?;
            staking::QueryDelegatorValidatorsResponse { pagination, ..Default::default() }.encode_to_vec()
        }
        "DelegatorValidator" => {
            let q: staking::QueryDelegatorValidatorRequest = of(request)?;
            return Err(no_delegation(set()?, "delegation", &q.delegator_addr, &q.validator_addr));
        }
        "Pool" => {
            let power: u64 = set()?.iter().map(|v| v.power).sum();
            let pool = staking::Pool { not_bonded_tokens: "0".into(), bonded_tokens: power.to_string() };
            staking::QueryPoolResponse { pool: Some(pool) }.encode_to_vec()
        }
        "Params" => {
            let params = staking::Params {
                unbonding_time: Some(Duration::default()),
                max_validators: set()?.len() as u32,
                max_entries: 0,
                historical_entries: 0,
                bond_denom: DENOM.into(),
                min_commission_rate: ONE.into(),
            };
            staking::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        _ => return Err(Status::unimplemented(method)),
    })
}

/// Answers a method of the service distribution. Validators are paid at the end of every block, so nothing waits.
pub(super) fn distribution(
    node: &NodeHandle,
    method: &str,
    request: &[u8],
    at: u64,
) -> Result<Vec<u8>, Status> {
    let known = |address: &str| find(validators(node, at)?, address);
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Params" => {
            let zero = || "0".to_string();
            let params = distribution::Params {
                community_tax: zero(),
                base_proposer_reward: zero(),
                bonus_proposer_reward: zero(),
                withdraw_addr_enabled: false,
            };
            distribution::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        "ValidatorDistributionInfo" => {
            let q: distribution::QueryValidatorDistributionInfoRequest = of(request)?;
            let operator_address = known(&q.validator_address)?.operator.to_string();
            distribution::QueryValidatorDistributionInfoResponse { operator_address, ..Default::default() }
                .encode_to_vec()
        }
        "ValidatorOutstandingRewards" => {
            let q: distribution::QueryValidatorOutstandingRewardsRequest = of(request)?;
            known(&q.validator_address)?;
            let rewards = Some(distribution::ValidatorOutstandingRewards::default());
            distribution::QueryValidatorOutstandingRewardsResponse { rewards }.encode_to_vec()
        }
        "ValidatorCommission" => {
            let q: distribution::QueryValidatorCommissionRequest = of(request)?;
            known(&q.validator_address)?;
            let commission = Some(distribution::ValidatorAccumulatedCommission::default());
            distribution::QueryValidatorCommissionResponse { commission }.encode_to_vec()
        }
        "ValidatorSlashes" => {
            let q: distribution::QueryValidatorSlashesRequest = of(request)?;
            known(&q.validator_address)?;
            let (_, pagination) = none(q.pagination)?;
            distribution::QueryValidatorSlashesResponse { pagination, ..Default::default() }.encode_to_vec()
        }
        "DelegationRewards" => {
            let q: distribution::QueryDelegationRewardsRequest = of(request)?;
            account(&q.delegator_address)?;
            known(&q.validator_address)?;
            distribution::QueryDelegationRewardsResponse::default().encode_to_vec()
        }
        "DelegationTotalRewards" => {
            let q: distribution::QueryDelegationTotalRewardsRequest = of(request)?;
            account(&q.delegator_address)?;
            distribution::QueryDelegationTotalRewardsResponse::default().encode_to_vec()
        }
        "DelegatorValidators" => {
            let q: distribution::QueryDelegatorValidatorsRequest = of(request)?;
            account(&q.delegator_address)?;
            distribution::QueryDelegatorValidatorsResponse::default().encode_to_vec()
        }
        "DelegatorWithdrawAddress" => {
            let q: distribution::QueryDelegatorWithdrawAddressRequest = of(request)?;
            let withdraw_address = account(&q.delegator_address)?.to_string();
            distribution::QueryDelegatorWithdrawAddressResponse { withdraw_address }.encode_to_vec()
        }
        "CommunityPool" => distribution::QueryCommunityPoolResponse::default().encode_to_vec(),
        _ => return Err(Status::unimplemented(method)),
    })
}

/// The set that decides blocks, in the order of its keys. It is the same at every height.
pub(super) fn consensus_set(node: &NodeHandle) -> Result<Vec<tm::Validator>, Status> {
    let view = |v: &Validator| {
        let key = dodona_consensus::PublicKey::from_bytes(&v.public_key).map_err(Status::internal)?;
        let address = Address(dodona_consensus::Address::of(&key).0);
        Ok(tm::Validator {
            address: address.written(Prefix::Consensus),
            pub_key: Some(public_key(v)),
            voting_power: v.power as i64,
            proposer_priority: 0,
        })
    };
    validators(node, 0)?.iter().map(view).collect()
}

fn validators(node: &NodeHandle, at: u64) -> Result<Vec<Validator>, Status> {
    // Whether there is a state of that height at all.
    node.state(at)?;
    node.app().validators().map_err(Status::internal)
}

fn account(text: &str) -> Result<Address, Status> {
    text.parse().map_err(|e| Status::invalid(format!("delegator address: {e}")))
}

fn find(set: Vec<Validator>, text: &str) -> Result<Validator, Status> {
    let operator = Address::read(text, Prefix::Operator)
        .map_err(|e| Status::invalid(format!("validator address: {e}")))?;
    let found = set.into_iter().find(|v| v.operator == operator);
    found.ok_or_else(|| Status::not_found(format!("validator {text} not found")))
}

/// Why one delegation is not shown: there are none.
fn no_delegation(set: Vec<Validator>, what: &str, delegator: &str, validator: &str) -> Status {
    match account(delegator).and_then(|_| find(set, validator)) {
        Err(status) => status,
        Ok(_) => Status::not_found(format!(
            "{what} with delegator {delegator} not found for validator {validator}"
        )),
    }
}

type Pagination = dodona_proto::cosmos::base::query::v1beta1::PageRequest;
type Paginated = dodona_proto::cosmos::base::query::v1beta1::PageResponse;

fn none(pagination: Option<Pagination>) -> Result<(Vec<()>, Option<Paginated>), Status> {
    Page::of(pagination)?.cut(Vec::new())
}

fn public_key(v: &Validator) -> Any {
    let key = PubKey { key: v.public_key.to_vec() };
    Any { type_url: "/cosmos.crypto.ed25519.PubKey".into(), value: key.encode_to_vec() }
}

fn view(v: &Validator) -> staking::Validator {
    let rates =
        staking::CommissionRates { rate: ONE.into(), max_rate: ONE.into(), max_change_rate: "0".into() };
    let never = || Some(Timestamp::default());
    staking::Validator {
        operator_address: v.operator.written(Prefix::Operator),
        consensus_pubkey: Some(public_key(v)),
        jailed: false,
        status: BondStatus::Bonded.into(),
        tokens: v.power.to_string(),
        delegator_shares: (u128::from(v.power) * 1_000_000_000_000_000_000).to_string(),
        description: Some(staking::Description {
            moniker: hex::encode(&v.public_key[..4]),
            ..Default::default()
        }),
        unbonding_height: 0,
        unbonding_time: never(),
        commission: Some(staking::Commission { commission_rates: Some(rates), update_time: never() }),
        min_self_delegation: "0".into(),
        unbonding_on_hold_ref_count: 0,
        unbonding_ids: Vec::new(),
    }
}
