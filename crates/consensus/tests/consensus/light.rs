//! The light client and the certificate check: power decides, forgeries fail, and the
//! verdict is the engine's own.

use crate::common::{State, key, ready, set};
use arc_malachitebft_core_types::{Context as _, NilOrVal, ThresholdParams};
use arc_malachitebft_signing::VerifierExt as _;
use dodona_consensus::types::Ctx;
use dodona_consensus::*;

const POWERS: [(u8, u64); 4] = [(1, 40), (2, 30), (3, 20), (4, 10)];

fn signature(seed: u8, header: &Header, round: u32) -> (Address, Signature) {
    let signer = KeySigner { key: key(seed), domain: Domain::new("light") };
    let who = Address::of(&signer.public_key());
    let vote = Ctx.new_precommit(header.height, Round::new(round), NilOrVal::Val(header.id()), who);
    (who, signer.vote(vote).signature)
}

fn step(state: &State, signers: &[u8]) -> (State, LightBlock) {
    let proposer = state.validators.proposer(state.height.next(), 0).address;
    let block = state.propose(proposer, 5, Body::default());
    let signatures = signers.iter().map(|s| signature(*s, &block.header, 0)).collect();
    let certificate = Certificate { height: block.header.height, round: 0, block_id: block.id(), signatures };
    let next = state.apply(&block).unwrap();
    let next_validators = next.validators.clone();
    (next, LightBlock { header: block.header, certificate, next_validators })
}

fn setup() -> (State, LightBlock) {
    let state = State::genesis("light", set(&POWERS), 1);
    let (_, good) = step(&state, &[1, 2, 3, 4]);
    (state, good)
}

fn verdict(state: &State, b: &LightBlock) -> Result<(), LightError> {
    LightClient::new("light", state.validators.clone()).advance(b)
}

/// What the engine thinks of a certificate, asked without a runtime: its futures never wait.
fn engine_accepts(state: &State, c: &Certificate) -> bool {
    let commit = c.to_commit();
    let domain = Domain::new("light");
    let check =
        domain.verify_commit_certificate(&Ctx, &commit, &state.validators, ThresholdParams::default());
    ready(check).is_ok()
}

#[test]
fn power_decides_not_the_count() {
    let (state, good) = setup();
    assert_eq!(verdict(&state, &good), Ok(()));
    let (_, two) = step(&state, &[1, 2]);
    assert_eq!(verdict(&state, &two), Ok(()), "70 of 100");
    let (_, three) = step(&state, &[2, 3, 4]);
    let short = CertificateError::Power { signed: 60, total: 100 };
    assert_eq!(verdict(&state, &three), Err(short.into()), "60 of 100, although three of four");
}

#[test]
fn exactly_two_thirds_is_not_enough() {
    let state = State::genesis("light", set(&[(1, 2), (2, 1)]), 1);
    let (_, b) = step(&state, &[1]);
    assert_eq!(verdict(&state, &b), Err(CertificateError::Power { signed: 2, total: 3 }.into()));
}

#[test]
fn forgeries_fail() {
    let (state, good) = setup();
    let fails = |change: &dyn Fn(&mut LightBlock)| {
        let mut b = good.clone();
        change(&mut b);
        verdict(&state, &b).unwrap_err()
    };
    let who = |i: usize| good.certificate.signatures[i].0;

    let e = fails(&|b| b.certificate.signatures[3].1.0[0] ^= 1);
    assert_eq!(e, CertificateError::Signature(who(3)).into());
    let e = fails(&|b| b.certificate.signatures.push(good.certificate.signatures[0]));
    assert_eq!(e, CertificateError::Twice(who(0)).into());
    let e = fails(&|b| b.certificate.signatures.push(signature(9, &good.header, 0)));
    assert!(matches!(e, LightError::Certificate(CertificateError::Stranger(_))));
    let e = fails(&|b| b.header.app_hash[0] ^= 1);
    assert_eq!(e, CertificateError::Block.into());
    let e = fails(&|b| b.certificate.round = 1);
    assert_eq!(e, CertificateError::Signature(who(0)).into());
    let e = fails(&|b| b.certificate.height = Height(2));
    assert!(matches!(e, LightError::Certificate(CertificateError::Height { .. })));
    let e = fails(&|b| b.next_validators = state.validators.clone());
    assert_eq!(e, LightError::NextValidators);
    let e = fails(&|b| b.certificate.signatures.clear());
    assert_eq!(e, CertificateError::Power { signed: 0, total: 100 }.into());

    let outsider = State { validators: set(&[(9, 1)]), ..state.clone() };
    assert_eq!(verdict(&outsider, &good), Err(CertificateError::Validators.into()));
    let mut other = LightClient::new("another chain", state.validators.clone());
    assert_eq!(other.advance(&good), Err(CertificateError::Chain.into()));
}

#[test]
fn a_client_follows_changing_sets_and_takes_no_step_out_of_order() {
    let mut state = State::genesis("light", set(&POWERS), 2);
    let mut light = LightClient::new("light", state.validators.clone());
    let mut steps = Vec::new();
    for _ in 0..6 {
        let (next, b) = step(&state, &[1, 2, 3, 4]);
        state = next;
        steps.push(b);
    }
    light.advance(&steps[0]).unwrap();
    assert!(matches!(light.advance(&steps[2]), Err(LightError::Height { .. })));
    assert!(matches!(light.advance(&steps[0]), Err(LightError::Height { .. })));
    let mut orphan = steps[1].clone();
    orphan.header.parent = BlockId([1; 32]);
    assert_eq!(light.advance(&orphan), Err(LightError::Parent));
    for b in &steps[1..] {
        light.advance(b).unwrap();
    }
    assert_eq!(light.height(), Height(6));
    assert_eq!(light.validators(), &state.validators);
    assert_ne!(light.validators(), &set(&POWERS));
    assert_eq!(light.app_hash(), Some(state.root()));
}

#[test]
fn our_verdict_is_the_verdict_of_the_engine() {
    let (state, good) = setup();
    let mut cases = vec![good.certificate.clone()];
    for signers in
        [&[1u8, 2][..], &[2, 3, 4], &[1], &[], &[1, 3], &[1, 3, 4], &[4, 3, 2, 1], &[1, 2, 9], &[1, 1, 2]]
    {
        let signatures = signers.iter().map(|s| signature(*s, &good.header, 0)).collect();
        cases.push(Certificate { signatures, ..good.certificate.clone() });
    }
    let mut bad = good.certificate.clone();
    bad.signatures[2].1.0[40] ^= 4;
    cases.push(bad);
    cases.push(Certificate { round: 3, ..good.certificate.clone() });
    let mut accepted = 0;
    for c in &cases {
        let ours = verify_certificate("light", &good.header, c, &state.validators).is_ok();
        assert_eq!(ours, engine_accepts(&state, c), "{c:?}");
        accepted += usize::from(ours);
    }
    assert_eq!(accepted, 4);
}

#[test]
fn certificates_survive_storage_and_reject_other_bytes() {
    let (_, good) = setup();
    let c = &good.certificate;
    let bytes = c.encode();
    assert_eq!(Certificate::decode(&bytes).as_ref(), Ok(c));
    assert_eq!(Certificate::decode(&[&bytes[..], &[0]].concat()), Err(CertificateError::Malformed));
    assert_eq!(Certificate::decode(&bytes[1..]), Err(CertificateError::Malformed));
    let sorted = Certificate::from(c.to_commit());
    assert!(sorted.signatures.is_sorted());
    let all = borsh::to_vec(&good).unwrap();
    assert_eq!(borsh::from_slice::<LightBlock>(&all).unwrap(), good);
}
