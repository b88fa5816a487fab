//! Validators that come and go: in every epoch of the set a newcomer brings as much stake as one of the first has, and
//! that one takes its stake away once the newcomer decides too.

use dodona_chain::{App, staking::state::VALIDATORS};
use dodona_client::{Client, ClientError, Wallet, staking};
use dodona_consensus::SigningKey;
use dodona_proto::ALLO;
use prost_types::Any;

use super::{Plan, cluster::operator, load::Desk};
use crate::world;

/// After so much virtual time somebody whose transaction has changed nothing hands in another, microseconds.
const PATIENCE_US: u64 = 4_000_000;

/// The operators of all validators: the first ones, then as many newcomers.
pub(super) struct Rotation {
    operators: Vec<Operator>,
    powers: Vec<u64>,
    /// When somebody tried last; none: the step before is done.
    tried_us: Option<(usize, u64)>,
}

struct Operator {
    wallet: Wallet,
    public_key: [u8; 32],
}

impl Rotation {
    pub fn new(plan: &Plan, keys: &[SigningKey]) -> Self {
        let operators = keys.iter().enumerate().map(|(n, key)| Operator {
            wallet: Wallet::new(world::key(plan.seed, &operator(n))),
            public_key: key.verifying_key().to_bytes(),
        });
        Self { operators: operators.collect(), powers: plan.powers.clone(), tried_us: None }
    }

    /// The next step, at one node, as that node's state has it.
    pub fn act(&mut self, desk: &Desk, chain: &App, now_us: u64) {
        let Ok(Some(who)) = self.next(chain) else { return };
        if self.tried_us.is_some_and(|(last, at)| last == who && now_us < at + PATIENCE_US) {
            return;
        }
        // Refused where the view is older or newer: there is a next time.
        if self.send(who, &Client::new(desk), chain).is_ok() {
            self.tried_us = Some((who, now_us));
        }
    }

    /// Whose turn it is: that of the first newcomer who is not there, or of the one it replaces.
    fn next(&self, chain: &App) -> Result<Option<usize>, ClientError> {
        let node = |error: &dyn std::fmt::Display| ClientError::Node(error.to_string());
        let set = chain.validators().map_err(|e| node(&e))?;
        let state = chain.store().snapshot().map_err(|e| node(&e))?;
        let known = VALIDATORS.scan(&state, usize::MAX).map_err(|e| node(&e))?;
        let count = self.powers.len();
        for old in 0..count {
            let sits = |n: usize| set.iter().any(|v| v.public_key == self.operators[n].public_key);
            let its = known.iter().find(|(_, v)| v.public_key == self.operators[count + old].public_key);
            // Whoever was punished does not come back, and is not waited for.
            let out = its.is_some_and(|(_, v)| v.tombstoned);
            match (sits(count + old) || out, sits(old)) {
                (false, _) if its.is_none() => return Ok(Some(count + old)),
                (false, _) => return Ok(None),
                (true, true) => return Ok(Some(old)),
                (true, false) => {}
            }
        }
        Ok(None)
    }

    fn send(&mut self, who: usize, client: &Client<&Desk>, chain: &App) -> Result<(), ClientError> {
        let message = if who < self.powers.len() { self.leave(who, chain)? } else { self.join(who) };
        self.operators[who].wallet.send(client, vec![message], world::STAKING_GAS).map(drop)
    }

    fn join(&self, who: usize) -> Any {
        let Operator { wallet, public_key } = &self.operators[who];
        let stake = u128::from(self.powers[who - self.powers.len()]) * ALLO;
        staking::create(wallet.address(), *public_key, &operator(who), stake, world::COMMISSION)
    }

    fn leave(&self, who: usize, chain: &App) -> Result<Any, ClientError> {
        let address = self.operators[who].wallet.address();
        let state = chain.store().snapshot().map_err(|e| ClientError::Node(e.to_string()))?;
        let its = VALIDATORS.get(&state, &address.0).map_err(|e| ClientError::Node(e.to_string()))?;
        let all = its.map_or(0, |validator| validator.tokens);
        Ok(staking::undelegate(address, address, all))
    }
}
