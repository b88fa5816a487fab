//! Staking's messages and books for tests: a chain with short waits, blocks with signatures and misbehaviour, and what
//! the tables say.

use dodona_chain::{
    BlockInput, Event, Fault, InvalidTx, Params, Receipt,
    staking::state::{
        Delegation, REDELEGATIONS, REWARDS, Rewards, SIGNING, UNBONDINGS, Unbonding, VALIDATORS, Validator,
    },
};
use dodona_proto::{
    ALLO, DENOM, Prefix,
    cosmos::{
        base::v1beta1::Coin,
        crypto::ed25519::PubKey,
        distribution::v1beta1::{
            MsgSetWithdrawAddress, MsgWithdrawDelegatorReward, MsgWithdrawValidatorCommission,
        },
        slashing::v1beta1::MsgUnjail,
        staking::v1beta1::{
            CommissionRates, Description, MsgBeginRedelegate, MsgCancelUnbondingDelegation,
            MsgCreateValidator, MsgDelegate, MsgEditValidator, MsgUndelegate,
        },
    },
    tx::pack,
    url,
};
use dodona_store::Snapshot;

use super::kit::*;

/// Waits of the test chain, milliseconds; a block takes a thousand.
pub const UNBONDING: u64 = 10_000;
/// Blocks of a set epoch.
pub const EPOCH: u64 = 5;

/// Parameters with short waits.
pub fn short(params: &mut Params) {
    params.unbonding_time_ms = UNBONDING;
    params.validator_set_blocks = EPOCH;
    params.signed_blocks_window = 8;
    params.downtime_jail_ms = 3_000;
    params.max_entries = 3;
}

/// Votes of the kit's validators, and of those that tests create.
pub fn vote_key(name: &str) -> [u8; 32] {
    match name {
        "v1" => [9; 32],
        "v2" => [4; 32],
        other => {
            let mut key = [1; 32];
            key[..other.len()].copy_from_slice(other.as_bytes());
            key
        }
    }
}

pub fn operator(name: &str) -> String {
    address(name).written(Prefix::Operator)
}

pub fn coin(amount: u128) -> Option<Coin> {
    Some(Coin { denom: DENOM.into(), amount: amount.to_string() })
}

/// 0.01 on the wire.
pub const PERCENT: u128 = 10_000_000_000_000_000;

/// A message that creates a validator with this stake: commission 0.1, at most 0.5, by 0.05 a day.
pub fn creation(from: &str, amount: u128) -> MsgCreateValidator {
    use prost::Message;
    MsgCreateValidator {
        description: Some(Description { moniker: from.into(), ..Default::default() }),
        commission: Some(CommissionRates {
            rate: (10 * PERCENT).to_string(),
            max_rate: (50 * PERCENT).to_string(),
            max_change_rate: (5 * PERCENT).to_string(),
        }),
        min_self_delegation: ALLO.to_string(),
        validator_address: operator(from),
        pubkey: Some(prost_types::Any {
            type_url: "/cosmos.crypto.ed25519.PubKey".into(),
            value: PubKey { key: vote_key(from).to_vec() }.encode_to_vec(),
        }),
        value: coin(amount),
        ..Default::default()
    }
}

pub fn found(from: &str, amount: u128) -> Tx {
    Tx::new(from, vec![pack(url::CREATE_VALIDATOR, &creation(from, amount))])
}

pub fn edit(from: &str, rate: &str, min_self: &str) -> Tx {
    let keep = || "[do-not-modify]".to_string();
    let description = Description {
        moniker: keep(),
        identity: keep(),
        website: keep(),
        security_contact: keep(),
        details: "new".into(),
    };
    let message = MsgEditValidator {
        description: Some(description),
        validator_address: operator(from),
        commission_rate: rate.into(),
        min_self_delegation: min_self.into(),
    };
    Tx::new(from, vec![pack(url::EDIT_VALIDATOR, &message)])
}

pub fn bond(from: &str, to: &str, amount: u128) -> Tx {
    let message =
        MsgDelegate { delegator_address: text(from), validator_address: operator(to), amount: coin(amount) };
    Tx::new(from, vec![pack(url::DELEGATE, &message)])
}

pub fn unbond(from: &str, of: &str, amount: u128) -> Tx {
    let message = MsgUndelegate {
        delegator_address: text(from),
        validator_address: operator(of),
        amount: coin(amount),
    };
    Tx::new(from, vec![pack(url::UNDELEGATE, &message)])
}

pub fn cancel(from: &str, of: &str, amount: u128, created: u64) -> Tx {
    let message = MsgCancelUnbondingDelegation {
        delegator_address: text(from),
        validator_address: operator(of),
        amount: coin(amount),
        creation_height: created as i64,
    };
    Tx::new(from, vec![pack(url::CANCEL_UNBONDING, &message)])
}

pub fn shift(from: &str, source: &str, destination: &str, amount: u128) -> Tx {
    let message = MsgBeginRedelegate {
        delegator_address: text(from),
        validator_src_address: operator(source),
        validator_dst_address: operator(destination),
        amount: coin(amount),
    };
    Tx::new(from, vec![pack(url::BEGIN_REDELEGATE, &message)])
}

pub fn unjail(from: &str) -> Tx {
    Tx::new(from, vec![pack(url::UNJAIL, &MsgUnjail { validator_addr: operator(from) })])
}

pub fn collect(from: &str, of: &str) -> Tx {
    let message =
        MsgWithdrawDelegatorReward { delegator_address: text(from), validator_address: operator(of) };
    Tx::new(from, vec![pack(url::WITHDRAW_REWARD, &message)])
}

pub fn collect_commission(from: &str) -> Tx {
    let message = MsgWithdrawValidatorCommission { validator_address: operator(from) };
    Tx::new(from, vec![pack(url::WITHDRAW_COMMISSION, &message)])
}

pub fn pay_to(from: &str, to: &str) -> Tx {
    let message = MsgSetWithdrawAddress { delegator_address: text(from), withdraw_address: text(to) };
    Tx::new(from, vec![pack(url::SET_WITHDRAW_ADDRESS, &message)])
}

/// Misbehaviour of a named validator.
pub fn fault(name: &str, height: u64) -> Fault {
    Fault { height, public_key: vote_key(name) }
}

/// What a block brought.
pub struct Outcome {
    pub receipts: Vec<Receipt>,
    pub events: Vec<Event>,
}

impl Net {
    /// A chain with short waits.
    pub fn staking() -> Self {
        Self::with(short)
    }

    pub fn read(&self) -> Snapshot {
        self.app.store().snapshot().unwrap()
    }

    pub fn validator(&self, name: &str) -> Validator {
        self.maybe(name).unwrap_or_else(|| panic!("{name} is no validator"))
    }

    pub fn maybe(&self, name: &str) -> Option<Validator> {
        VALIDATORS.get(&self.read(), &address(name).0).unwrap()
    }

    pub fn rewards(&self, name: &str) -> Rewards {
        REWARDS.get(&self.read(), &address(name).0).unwrap().unwrap_or_default()
    }

    pub fn missed(&self, name: &str) -> u32 {
        SIGNING.get(&self.read(), &address(name).0).unwrap().unwrap_or_default().missed
    }

    pub fn delegation(&self, from: &str, to: &str) -> Option<Delegation> {
        let key = (address(to).0, address(from).0);
        dodona_chain::staking::state::DELEGATIONS.get(&self.read(), &key).unwrap()
    }

    /// What a delegation is worth now.
    pub fn worth(&self, from: &str, to: &str) -> u128 {
        self.delegation(from, to).map_or(0, |d| self.validator(to).worth(d.shares))
    }

    /// What it can collect now.
    pub fn owed(&self, from: &str, to: &str) -> u128 {
        let Some(delegation) = self.delegation(from, to) else { return 0 };
        dodona_chain::staking::reward::pending(&self.read(), address(to).0, &delegation).unwrap()
    }

    pub fn unbondings(&self, from: &str, of: &str) -> Vec<Unbonding> {
        UNBONDINGS.get(&self.read(), &(address(of).0, address(from).0)).unwrap().unwrap_or_default()
    }

    pub fn redelegations(&self, from: &str, source: &str, destination: &str) -> usize {
        let key = (address(source).0, address(from).0, address(destination).0);
        REDELEGATIONS.get(&self.read(), &key).unwrap().map_or(0, |list| list.len())
    }

    /// Names of those who decide the next block, with their power, in the order of the list.
    pub fn set(&self, of: &[&'static str]) -> Vec<(&'static str, u64)> {
        let set = self.app.validators().unwrap();
        of.iter()
            .filter_map(|name| {
                let member = set.iter().find(|v| v.operator == address(name))?;
                Some((*name, member.power))
            })
            .collect()
    }

    /// To the end of the set epoch.
    pub fn next_set(&mut self) {
        self.wait_until((self.height + 1).next_multiple_of(EPOCH));
    }

    /// A block whose last commit these validators signed and that proves this misbehaviour.
    pub fn signed_block(
        &mut self,
        txs: &[Tx],
        signed: Option<&[&str]>,
        faults: &[Fault],
    ) -> Result<Outcome, InvalidTx> {
        let bytes = self.sign(txs);
        let height = self.height + 1;
        let keys: Option<Vec<[u8; 32]>> = signed.map(|names| names.iter().map(|n| vote_key(n)).collect());
        let input = BlockInput {
            signed: keys.as_deref(),
            faults,
            ..BlockInput::of(height, 1_000 + height * 1_000, &bytes)
        };
        let executed = self.app.execute(&input).expect("the chain does not halt")?;
        assert_eq!(executed.faults, faults);
        let events = executed.events.clone();
        let receipts = self.commit(executed);
        Ok(Outcome { receipts, events })
    }
}
