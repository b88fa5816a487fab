//! A toy state machine for the tests: a counter and a hash chain over transactions, voting power
//! that moves at the end of an epoch, and punishment of proven misbehaviour.

#[cfg(feature = "engine")]
pub mod app;

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_consensus::*;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct State {
    pub chain_id: String,
    pub height: Height,
    pub last_block: BlockId,
    pub last_time_ms: u64,
    pub counter: u64,
    pub chain_hash: Hash32,
    pub validators: ValidatorSet,
    pub epoch_length: u64,
    pub slashed: Vec<(Height, Address)>,
}

impl State {
    pub fn genesis(chain_id: &str, validators: ValidatorSet, epoch_length: u64) -> Self {
        State {
            chain_id: chain_id.to_owned(),
            height: Height(0),
            last_block: BlockId::default(),
            last_time_ms: 0,
            counter: 0,
            chain_hash: [0; 32],
            validators,
            epoch_length,
            slashed: Vec::new(),
        }
    }

    pub fn root(&self) -> Hash32 {
        let all = (self.counter, self.chain_hash, &self.slashed, &self.validators);
        sha256(&[b"state", &borsh::to_vec(&all).unwrap()])
    }

    fn transition(&self, height: Height, body: &Body) -> Result<State, &'static str> {
        let mut next = self.clone();
        next.height = height;
        for tx in &body.txs {
            next.counter += 1;
            next.chain_hash = sha256(&[&next.chain_hash, tx]);
        }
        let mut set = next.validators.validators().to_vec();
        for e in &body.evidence {
            let who = e.offender();
            let v = self.validators.get(&who).ok_or("evidence against an unknown validator")?;
            if next.slashed.contains(&(e.height(), who)) {
                return Err("evidence used twice");
            }
            if !e.is_valid(&Domain::new(&self.chain_id), &v.public_key) {
                return Err("bad evidence");
            }
            next.slashed.push((e.height(), who));
            let v = set.iter_mut().find(|v| v.address == who).unwrap();
            v.voting_power = (v.voting_power / 2).max(1);
        }
        if self.epoch_length > 0 && height.0.is_multiple_of(self.epoch_length) {
            set.sort_by_key(|v| v.address);
            let lucky = (height.0 / self.epoch_length) as usize % set.len();
            set[lucky].voting_power += 5;
        }
        next.validators = ValidatorSet::new(set).map_err(|_| "validator set")?;
        Ok(next)
    }

    pub fn propose(&self, proposer: Address, now_ms: u64, mut body: Body) -> Block {
        let height = self.height.next();
        let alone = |e: &Evidence| Body { txs: vec![], evidence: vec![e.clone()], last_commit: None };
        body.evidence.retain(|e| self.transition(height, &alone(e)).is_ok());
        body.evidence.dedup_by_key(|e| (e.height(), e.offender()));
        let next = self.transition(height, &body).unwrap();
        let header = Header {
            chain_id: self.chain_id.clone(),
            height,
            time_ms: now_ms.max(self.last_time_ms + 1),
            proposer,
            parent: self.last_block,
            body_root: body.root(),
            app_hash: next.root(),
            receipts_hash: [0; 32],
            validators_hash: self.validators.hash(),
            next_validators_hash: next.validators.hash(),
        };
        Block { header, body }
    }

    pub fn apply(&self, block: &Block) -> Result<State, &'static str> {
        let h = &block.header;
        if h.chain_id != self.chain_id || h.height != self.height.next() {
            return Err("chain or height");
        }
        if h.parent != self.last_block || h.time_ms <= self.last_time_ms {
            return Err("parent or time");
        }
        if h.body_root != block.body.root() || h.validators_hash != self.validators.hash() {
            return Err("body or validators");
        }
        let mut next = self.transition(h.height, &block.body)?;
        if h.app_hash != next.root() || h.next_validators_hash != next.validators.hash() {
            return Err("state root");
        }
        next.last_block = h.id();
        next.last_time_ms = h.time_ms;
        Ok(next)
    }
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub fn set(powers: &[(u8, u64)]) -> ValidatorSet {
    let member = |(seed, power): &(u8, u64)| Validator::new(PublicKey(key(*seed).verifying_key()), *power);
    ValidatorSet::new(powers.iter().map(member).collect()).unwrap()
}

/// The result of a future that is asynchronous in form only, as signing and verifying are.
pub fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future waits"),
    }
}
