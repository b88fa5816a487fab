//! The encoding of blocks: there and back, the limits, garbage, and evidence.

use crate::common::{State, key, set};
use arc_malachitebft_core_types::{Context as _, NilOrVal};
use dodona_consensus::block::{MAX_CHAIN_ID_BYTES, MAX_EVIDENCE, MAX_TXS};
use dodona_consensus::types::Ctx;
use dodona_consensus::*;
use proptest::prelude::*;

fn signer(chain: &str) -> KeySigner {
    KeySigner { key: key(1), domain: Domain::new(chain) }
}

fn me() -> Address {
    Address::of(&signer("").public_key())
}

fn vote(chain: &str, round: u32, value: u8) -> arc_malachitebft_core_types::SignedVote<Ctx> {
    let value = NilOrVal::Val(BlockId([value; 32]));
    signer(chain).vote(Ctx.new_prevote(Height(3), Round::new(round), value, me()))
}

fn double_vote() -> Evidence {
    Evidence::DoubleVote(vote("chain", 0, 1), vote("chain", 0, 2))
}

fn block(txs: Vec<Vec<u8>>, evidence: Vec<Evidence>) -> Block {
    let state = State::genesis("chain", set(&[(1, 1)]), 0);
    let mut block = state.propose(me(), 1, Body::default());
    block.body = Body { txs, evidence, last_commit: None };
    block.header.body_root = block.body.root();
    block
}

#[test]
fn a_block_survives_its_encoding() {
    let b = block(vec![vec![], vec![1, 2, 3], vec![0; 100_000]], vec![double_vote()]);
    let bytes = b.encode().unwrap();
    assert_eq!(Block::decode(&bytes), Ok(b));
}

#[test]
fn bytes_behind_a_block_or_missing_from_it_are_refused() {
    let bytes = block(vec![vec![7; 40]], vec![double_vote()]).encode().unwrap();
    assert_eq!(Block::decode(&[&bytes[..], &[0]].concat()), Err(BlockError::Malformed));
    for cut in 0..bytes.len() {
        assert_eq!(Block::decode(&bytes[..cut]), Err(BlockError::Malformed), "{cut}");
    }
}

#[test]
fn every_limit_holds_on_both_sides() {
    let raw = |b: &Block| borsh::to_vec(b).unwrap();

    let mut b = block(vec![], vec![]);
    b.header.chain_id = "x".repeat(MAX_CHAIN_ID_BYTES);
    assert_eq!(Block::decode(&b.encode().unwrap()), Ok(b.clone()));
    b.header.chain_id.push('x');
    assert_eq!(b.encode(), Err(BlockError::ChainId(MAX_CHAIN_ID_BYTES + 1)));
    assert_eq!(Block::decode(&raw(&b)), Err(BlockError::ChainId(MAX_CHAIN_ID_BYTES + 1)));

    let mut b = block(vec![vec![]; MAX_TXS], vec![]);
    assert_eq!(Block::decode(&b.encode().unwrap()), Ok(b.clone()));
    b.body.txs.push(vec![]);
    assert_eq!(b.encode(), Err(BlockError::Txs(MAX_TXS + 1)));
    assert_eq!(Block::decode(&raw(&b)), Err(BlockError::Txs(MAX_TXS + 1)));

    let mut b = block(vec![], vec![double_vote(); MAX_EVIDENCE]);
    assert!(b.encode().is_ok());
    b.body.evidence.push(double_vote());
    assert_eq!(b.encode(), Err(BlockError::Evidence(MAX_EVIDENCE + 1)));

    let frame = raw(&block(vec![vec![]], vec![])).len();
    let mut b = block(vec![vec![0; MAX_BLOCK_BYTES - frame]], vec![]);
    assert_eq!(b.encode().unwrap().len(), MAX_BLOCK_BYTES);
    b.body.txs[0].push(0);
    assert_eq!(b.encode(), Err(BlockError::TooLarge(MAX_BLOCK_BYTES + 1)));
    assert_eq!(Block::decode(&raw(&b)), Err(BlockError::TooLarge(MAX_BLOCK_BYTES + 1)));
}

#[test]
fn the_id_depends_on_every_field_of_the_header() {
    let h = block(vec![], vec![]).header;
    let changes: [fn(&mut Header); 10] = [
        |h| h.chain_id.push('x'),
        |h| h.height = Height(9),
        |h| h.time_ms += 1,
        |h| h.proposer.0[0] ^= 1,
        |h| h.parent.0[0] ^= 1,
        |h| h.body_root[0] ^= 1,
        |h| h.app_hash[0] ^= 1,
        |h| h.receipts_hash[0] ^= 1,
        |h| h.validators_hash[0] ^= 1,
        |h| h.next_validators_hash[0] ^= 1,
    ];
    let mut ids = std::collections::BTreeSet::from([h.id()]);
    for change in changes {
        let mut other = h.clone();
        change(&mut other);
        assert!(ids.insert(other.id()));
    }
}

#[test]
fn only_genuine_contradictions_are_evidence() {
    let domain = Domain::new("chain");
    let pk = signer("chain").public_key();
    assert!(double_vote().is_valid(&domain, &pk));
    assert!(!double_vote().is_valid(&Domain::new("other"), &pk));
    let stranger = PublicKey(key(2).verifying_key());
    assert!(!double_vote().is_valid(&domain, &stranger));
    let same = Evidence::DoubleVote(vote("chain", 0, 1), vote("chain", 0, 1));
    assert!(!same.is_valid(&domain, &pk));
    let rounds = Evidence::DoubleVote(vote("chain", 0, 1), vote("chain", 1, 2));
    assert!(!rounds.is_valid(&domain, &pk));
    let foreign = Evidence::DoubleVote(vote("chain", 0, 1), vote("other", 0, 2));
    assert!(!foreign.is_valid(&domain, &pk));

    let proposal = |value: u8, pol| {
        let round = Round::new(2);
        signer("chain").proposal(Ctx.new_proposal(Height(3), round, BlockId([value; 32]), pol, me()))
    };
    let double = Evidence::DoubleProposal(proposal(1, Round::Nil), proposal(2, Round::Nil));
    assert!(double.is_valid(&domain, &pk));
    let single = Evidence::DoubleProposal(proposal(1, Round::Nil), proposal(1, Round::ZERO));
    assert!(!single.is_valid(&domain, &pk));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Block::decode(&bytes);
        let _ = Certificate::decode(&bytes);
        let _ = borsh::from_slice::<LightBlock>(&bytes);
    }

    #[test]
    fn a_damaged_block_is_refused_or_another_block(at in 0usize..1000, bit in 0u8..8) {
        let b = block(vec![vec![7; 300]], vec![double_vote()]);
        let mut bytes = b.encode().unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Block::decode(&bytes) {
            prop_assert_ne!(&other, &b);
            // One block, one encoding.
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn blocks_of_any_shape_survive(txs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..40)) {
        let b = block(txs, vec![]);
        prop_assert_eq!(Block::decode(&b.encode().unwrap()), Ok(b));
    }
}
