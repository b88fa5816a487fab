//! Blocks made and judged without an engine: certificates in blocks, and proofs of misbehaviour.

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_consensus::{Domain, KeySigner, NilOrVal, Round, Signature, SigningKey, VoteType, types::Vote};
use dodona_proto::{ALLO, sign::AccountKey};
use dodona_store::{Config, Store};
use std::path::Path;
use tempfile::TempDir;

use super::*;
use crate::Limits;

fn signer(seed: u8) -> KeySigner {
    KeySigner { key: SigningKey::from_bytes(&[seed; 32]), domain: Domain::new("chain") }
}

fn address(seed: u8) -> Address {
    Address::of(&signer(seed).public_key())
}

fn chain(dir: &Path) -> ChainApplication {
    let alice = AccountKey::from_seed(1, "alice").address().to_string();
    let validator = |seed: u8| GenesisValidator {
        public_key: hex::encode(signer(seed).public_key().as_bytes()),
        power: 10,
        operator: AccountKey::from_seed(u64::from(seed), "operator").address().to_string(),
        ..GenesisValidator::default()
    };
    let genesis = Genesis {
        chain_id: "chain".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice, balance: 1_000 * ALLO }],
        validators: (1..=4).map(validator).collect(),
    };
    let store =
        Store::open(&dir.join("chain.redb"), Config { cache_bytes: 1 << 20, keep_versions: 8 }).unwrap();
    let app = App::open(store, &genesis, Signatures::Check).unwrap();
    let mempool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let (heads, _) = watch::channel(Head::default());
    ChainApplication::new(app, mempool, Clock::Steps(1_000), Waiting::Disk, heads).unwrap()
}

fn vote(kind: VoteType, seed: u8, height: u64, id: BlockId) -> Vote {
    let (height, round, value) = (Height(height), Round::new(0), NilOrVal::Val(id));
    Vote { kind, height, round, value, voter: address(seed), extension: None }
}

fn prevote(seed: u8, height: u64, value: u8) -> Vote {
    vote(VoteType::Prevote, seed, height, BlockId([value; 32]))
}

fn certificate(height: u64, id: BlockId, seeds: &[u8]) -> Certificate {
    let signed = |seed: &u8| signer(*seed).vote(vote(VoteType::Precommit, *seed, height, id)).signature;
    let mut signatures: Vec<(Address, Signature)> = seeds.iter().map(|s| (address(*s), signed(s))).collect();
    signatures.sort();
    Certificate { height: Height(height), round: 0, block_id: id, signatures }
}

/// The next block, decided by these validators and committed.
fn grow(app: &mut ChainApplication, seeds: &[u8]) -> Block {
    let height = app.height + 1;
    let block = app.propose(Height(height), 0, address(1)).unwrap();
    commit(app, &block, seeds);
    block
}

fn commit(app: &mut ChainApplication, block: &Block, seeds: &[u8]) {
    let (height, id) = (block.header.height.0, block.id());
    app.commit(id, &block.encode().unwrap(), &certificate(height, id, seeds)).unwrap();
}

/// The same block with another body, whose root is in its header.
fn with(block: &Block, change: impl FnOnce(&mut Body)) -> Block {
    let mut block = block.clone();
    change(&mut block.body);
    block.header.body_root = block.body.root();
    block
}

#[test]
fn every_block_carries_the_certificate_of_the_one_before_and_no_other() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut maker = chain(dirs[0].path());
    let first = grow(&mut maker, &[1, 2, 4]);
    assert_eq!(first.body.last_commit, None);
    let second = maker.propose(Height(2), 0, address(2)).unwrap();
    let last = second.body.last_commit.clone().unwrap();
    assert_eq!(last, certificate(1, first.id(), &[1, 2, 4]));
    let mut keys: Vec<[u8; 32]> = [1, 2, 4].map(|seed| *signer(seed).public_key().as_bytes()).into();
    keys.sort();
    assert_eq!(maker.signers(&Some(last.clone())), Some(keys));

    let mut judge = chain(dirs[1].path());
    let early = with(&first, |body| body.last_commit = Some(last.clone()));
    assert!(!judge.validate(&early).unwrap(), "the first block has none");
    assert!(judge.validate(&first).unwrap());
    commit(&mut judge, &first, &[2, 3, 4]);
    // The order of signatures is free, and shows that nothing but the certificate is at fault below.
    assert!(
        judge.validate(&with(&second, |b| b.last_commit.as_mut().unwrap().signatures.reverse())).unwrap()
    );
    let mut forged = last.clone();
    forged.signatures[0].1 = forged.signatures[1].1;
    for (wrong, why) in [
        (None, "missing"),
        (Some(certificate(1, first.id(), &[1, 2])), "half of the power"),
        (Some(certificate(1, first.id(), &[1, 2, 9])), "a stranger"),
        (Some(certificate(1, BlockId([7; 32]), &[1, 2, 4])), "another block"),
        (Some(certificate(2, first.id(), &[1, 2, 4])), "another height"),
        (Some(forged), "a forged signature"),
    ] {
        assert!(!judge.validate(&with(&second, |body| body.last_commit = wrong)).unwrap(), "{why}");
    }
    assert!(judge.validate(&second).unwrap());
    commit(&mut judge, &second, &[1, 2, 3]);
    drop(judge);
    let mut judge = chain(dirs[1].path());
    let third = judge.propose(Height(3), 0, address(3)).unwrap();
    assert_eq!(third.body.last_commit, Some(certificate(2, second.id(), &[1, 2, 3])), "after a restart");
}

#[test]
fn misbehaviour_waits_on_disk_is_proven_once_and_nothing_false_is() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut maker = chain(dirs[0].path());
    let mut judge = chain(dirs[1].path());
    for _ in 0..3 {
        let block = grow(&mut maker, &[1, 2, 3, 4]);
        assert!(judge.validate(&block).unwrap());
        commit(&mut judge, &block, &[1, 2, 3, 4]);
    }
    let double = |seed: u8, height: u64| {
        let signed = |value| signer(seed).vote(prevote(seed, height, value));
        Evidence::DoubleVote(signed(1), signed(2))
    };
    let foreign = |seed: u8| {
        let other = KeySigner { domain: Domain::new("another chain"), ..signer(seed) };
        let signed = |value| other.vote(prevote(seed, 2, value));
        Evidence::DoubleVote(signed(1), signed(2))
    };
    maker.misbehaviour(vec![double(9, 2), double(1, 4), double(1, 0), foreign(2)]).unwrap();
    assert!(
        maker.propose(Height(4), 0, address(1)).unwrap().body.evidence.is_empty(),
        "none of it is genuine"
    );
    maker.misbehaviour(vec![double(3, 2), double(3, 2), double(4, 1), double(4, 3)]).unwrap();
    drop(maker);

    let mut maker = chain(dirs[0].path());
    let block = maker.propose(Height(4), 0, address(1)).unwrap();
    assert_eq!(
        block.body.evidence,
        vec![double(4, 1), double(3, 2)],
        "in order, one of each, after a restart"
    );
    for (wrong, why) in [
        (vec![double(3, 2), double(4, 1)], "out of order"),
        (vec![double(4, 1), double(4, 1), double(3, 2)], "twice"),
        (vec![double(4, 1), double(3, 2), double(4, 3)], "of somebody who is punished already"),
        (vec![double(4, 1), double(3, 2), double(2, 4)], "of a height that is not decided"),
        (vec![double(9, 1), double(3, 2)], "a stranger's"),
        (vec![foreign(4), double(3, 2)], "of another chain"),
    ] {
        assert!(!judge.validate(&with(&block, |body| body.evidence = wrong)).unwrap(), "{why}");
    }
    assert!(judge.validate(&block).unwrap());
    for app in [&mut maker, &mut judge] {
        commit(app, &block, &[1, 2, 3]);
        app.misbehaviour(vec![double(4, 1), double(3, 2), double(4, 2)]).unwrap();
        let next = app.propose(Height(5), 0, address(1)).unwrap();
        assert!(next.body.evidence.is_empty(), "proven is proven");
    }
}

#[test]
fn undecided_blocks_outlive_a_restart_until_their_height_is_decided() {
    let dir = TempDir::new().unwrap();
    let mut app = chain(dir.path());
    let block = app.propose(Height(1), 0, address(1)).unwrap();
    let waiting = |round, app: &mut ChainApplication| {
        let undecided =
            Undecided { round, id: block.id(), proposer: address(2), bytes: block.encode().unwrap() };
        app.put_undecided(Height(1), &undecided).unwrap();
        undecided
    };
    let all = vec![waiting(0, &mut app), waiting(3, &mut app)];
    drop(app);
    let mut app = chain(dir.path());
    assert_eq!(app.undecided(Height(1)).unwrap(), all);
    assert_eq!((app.undecided(Height(2)).unwrap(), app.min_height()), (Vec::new(), Height(1)));
    assert!(app.validate(&block).unwrap());
    commit(&mut app, &block, &[1, 2, 3]);
    assert_eq!((app.undecided(Height(1)).unwrap(), app.min_height()), (Vec::new(), Height(1)));
    assert!(app.decided(Height(1)).unwrap().is_some());
}
