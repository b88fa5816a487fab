//! A chain made by hand: validators that sign, a state with an inference, and proofs of it. The signed bytes are put
//! together here from docs/protocol/proofs.md, not by the code that checks them.
#![allow(dead_code, clippy::unwrap_used)] // every user takes a part of it, and failing is a test's way to speak

use dodona_chain::topics::state::{INFERENCES, NEWEST, NetworkInference, TOPICS};
use dodona_consensus::{
    Address, BlockId, Certificate, Header, Height, KeySigner, PublicKey, Signature, SigningKey, Validator,
    ValidatorSet,
};
use dodona_light::{Claim, LightBlock, Policy, Proof, Report, Trust, verify};
use dodona_mechanism::{Real, topic::interval::Interval};
use dodona_store::{Batch, Config, Store};

pub const CHAIN: &str = "test-1";
pub const DAY: u64 = 24 * 3_600 * 1_000;
pub const TOPIC: u64 = 7;
pub const NONCE: u64 = 40;

/// A validator's key by number.
pub fn key(number: u64) -> SigningKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

/// Validators by number, with their power.
pub fn set(members: &[(u64, u64)]) -> ValidatorSet {
    let listed = members.iter().map(|(k, power)| Validator::new(PublicKey(key(*k).verifying_key()), *power));
    ValidatorSet::new(listed.collect()).unwrap()
}

/// What a validator signs, byte by byte.
pub fn vote(chain: &str, height: u64, round: u32, id: &BlockId, voter: &Address) -> Vec<u8> {
    let text = |t: &str| [&(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let head = [text("vote"), text(chain)].concat();
    let body =
        [&[1][..], &height.to_le_bytes(), &[1], &round.to_le_bytes(), &[1], &id.0[..], &voter.0[..]].concat();
    [head, body].concat()
}

pub fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

pub fn inference(labels: &[&str]) -> NetworkInference {
    let interval =
        Interval { p2: real(-2.5), p16: real(-1.0), p50: real(0.5), p84: real(2.0), p98: real(1e300) };
    NetworkInference {
        topic: TOPIC,
        nonce: NONCE,
        values: labels.iter().map(|l| (l.to_string(), real(0.5), interval)).collect(),
        members: 12,
        at: 44,
        time_ms: 44_000,
    }
}

/// A state with one topic that has answered, one that has not, and some other keys.
pub fn state(others: u64) -> Store {
    let store = Store::memory(Config::default());
    let answer = borsh::to_vec(&inference(&["y"])).unwrap();
    let mut changes = vec![
        (INFERENCES.raw_key(&(TOPIC, NONCE)), Some(answer.clone())),
        (NEWEST.raw_key(&TOPIC), Some(answer)),
        (TOPICS.raw_key(&TOPIC), Some(vec![1; 300])),
    ];
    changes.extend((0..others).map(|i| (format!("other{i}").into_bytes(), Some(i.to_le_bytes().to_vec()))));
    store.commit(0, store.prepare(Batch::from_changes(changes)), vec![]).unwrap();
    store
}

/// A chain whose blocks are one second apart.
pub struct Net {
    pub store: Store,
}

impl Net {
    pub fn new() -> Self {
        Self { store: state(50) }
    }

    /// A block that `signers` (by number) decided.
    pub fn block(&self, height: u64, set: &ValidatorSet, next: &ValidatorSet, signers: &[u64]) -> LightBlock {
        let header = Header {
            chain_id: CHAIN.into(),
            height: Height(height),
            time_ms: height * 1_000,
            proposer: set.validators()[0].address,
            parent: BlockId([height as u8; 32]),
            body_root: [2; 32],
            app_hash: self.store.root(),
            receipts_hash: [3; 32],
            validators_hash: set.hash(),
            next_validators_hash: next.hash(),
        };
        sign(header, set, signers)
    }

    pub fn proof(&self, claim: Claim, links: Vec<LightBlock>, block: LightBlock) -> Proof {
        let proven = self.store.prove(0, &claim.key()).unwrap();
        Proof { claim, links, block, value: proven.value, path: proven.proof }
    }
}

pub fn sign(header: Header, set: &ValidatorSet, signers: &[u64]) -> LightBlock {
    let (id, round) = (header.id(), 2);
    let mut signatures: Vec<(Address, Signature)> = signers
        .iter()
        .map(|k| {
            let signer = KeySigner { key: key(*k), domain: dodona_consensus::Domain::new("unused") };
            let voter = Address::of(&signer.public_key());
            (voter, signer.sign(&vote(&header.chain_id, header.height.0, round, &id, &voter)))
        })
        .collect();
    signatures.sort();
    let certificate = Certificate { height: header.height, round, block_id: id, signatures };
    LightBlock { header, certificate, validators: set.clone() }
}

pub fn newest() -> Claim {
    Claim::NewestInference { topic: TOPIC }
}

/// Trust in genesis validators, at time 0.
pub fn genesis(set: &ValidatorSet) -> Trust {
    Trust::genesis(CHAIN.into(), 0, 21 * DAY, set.clone())
}

pub fn check(proof: &Proof, trust: &Trust) -> Report {
    at(proof, trust, Some(100_000))
}

pub fn at(proof: &Proof, trust: &Trust, now_ms: Option<u64>) -> Report {
    let policy = Policy { now_ms, max_age_ms: None };
    verify(proof.to_json().as_bytes(), trust.to_json().as_bytes(), policy)
}
