//! The tree against the crates that define its form: every root is the Jellyfish Merkle tree's, every proof
//! has its shape and is accepted by ICS 23 verifiers, and ours refuses whatever was tampered with.

use borsh::BorshDeserialize;
use dodona_store::proof::{inner_node_hash, key_hash, leaf_node_hash, value_hash};
use dodona_store::{Batch, Config, EMPTY_ROOT, Hash, Proof, ProofError, Proven, Store, verify};
use ics23::commitment_proof::Proof as Ics;
use jmt::mock::MockTreeStore;
use jmt::{KeyHash, Sha256Jmt};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// A small generator, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[test]
fn roots_and_proofs_equal_those_of_the_jellyfish_merkle_tree() {
    for (seed, key_space, versions) in [(1, 3, 60), (2, 40, 60), (3, 300, 60), (4, 5000, 60)] {
        follow_jellyfish(seed, key_space, versions);
    }
}

fn follow_jellyfish(seed: u64, key_space: u64, versions: u64) {
    let mut dice = Dice(88_172_645_463_325_252 + seed);
    let mock = MockTreeStore::default();
    let jellyfish = Sha256Jmt::new(&mock);
    let store = Store::memory(Config { keep_versions: 20, ..Config::default() });
    let mut history: Vec<Values> = Vec::new();

    for version in 0..versions {
        let mut values = history.last().cloned().unwrap_or_default();
        let mut changes = BTreeMap::new();
        for _ in 0..=dice.roll(key_space.min(60)) {
            let key = dice.roll(key_space).to_be_bytes().to_vec();
            let value = (dice.roll(3) > 0).then(|| dice.roll(u64::MAX).to_le_bytes().to_vec());
            changes.insert(key, value);
        }
        for (key, value) in &changes {
            match value {
                Some(value) => drop(values.insert(key.clone(), value.clone())),
                None => drop(values.remove(key)),
            }
        }
        history.push(values);

        let theirs = changes.iter().map(|(key, value)| (KeyHash::with::<sha2::Sha256>(key), value.clone()));
        let (root, batch) = jellyfish.put_value_set(theirs, version).unwrap();
        mock.write_tree_update_batch(batch).unwrap();
        let prepared = store.prepare(Batch::from_changes(changes));
        assert_eq!(prepared.root(), root.0, "seed {seed} version {version}");
        assert_eq!(store.commit(version, prepared, vec![]).unwrap(), root.0);

        for _ in 0..12 {
            let asked = version - dice.roll(20.min(version + 1));
            let key = dice.roll(key_space + 5).to_be_bytes().to_vec();
            let proven = store.prove(asked, &key).unwrap();
            let values = &history[asked as usize];
            assert_eq!(proven.root, jellyfish.get_root_hash(asked).unwrap().0);
            assert_eq!(proven.value.as_ref(), values.get(&key));
            let (_, theirs) = jellyfish.get_with_proof(KeyHash::with::<sha2::Sha256>(&key), asked).unwrap();
            same_shape(&key, &proven, &borsh::to_vec(&theirs).unwrap());
            accepted_by_ics23(&store, values, &key, &proven);
            only_the_truth_verifies(&key, &proven);
        }
    }
}

/// The layout in which the other crate writes its proofs.
#[derive(BorshDeserialize)]
struct TheirProof {
    leaf: Option<(Hash, Hash)>,
    siblings: Vec<TheirNode>,
}

#[derive(BorshDeserialize)]
enum TheirNode {
    Null,
    Inner(Hash, Hash),
    Leaf(Hash, Hash),
}

fn same_shape(key: &[u8], proven: &Proven, theirs: &[u8]) {
    let theirs: TheirProof = borsh::from_slice(theirs).unwrap();
    let siblings: Vec<Hash> = theirs
        .siblings
        .iter()
        .map(|node| match node {
            TheirNode::Null => EMPTY_ROOT,
            TheirNode::Inner(left, right) => inner_node_hash(left, right),
            TheirNode::Leaf(key_hash, value_hash) => leaf_node_hash(key_hash, value_hash),
        })
        .collect();
    assert_eq!(proven.proof.siblings, siblings);
    let leaf = match &proven.value {
        Some(value) => Some((key_hash(key), value_hash(value))),
        None => proven.proof.other.map(|other| (other.key_hash, other.value_hash)),
    };
    assert_eq!(leaf, theirs.leaf);
}

fn existence(key: &[u8], proven: &Proven) -> ics23::ExistenceProof {
    let hash = key_hash(key);
    let depth = proven.proof.siblings.len();
    let path = proven.proof.siblings.iter().zip((0..depth).rev()).map(|(sibling, d)| {
        let goes_right = hash[d / 8] >> (7 - d % 8) & 1 == 1;
        let mut prefix = b"JMT::IntrnalNode".to_vec();
        let mut suffix = Vec::new();
        if goes_right { &mut prefix } else { &mut suffix }.extend_from_slice(sibling);
        ics23::InnerOp { hash: ics23::HashOp::Sha256.into(), prefix, suffix }
    });
    ics23::ExistenceProof {
        key: key.to_vec(),
        value: proven.value.clone().unwrap(),
        leaf: jmt::ics23_spec().leaf_spec,
        path: path.collect(),
    }
}

fn accepted_by_ics23(store: &Store, values: &Values, key: &[u8], proven: &Proven) {
    let spec = jmt::ics23_spec();
    let root = proven.root.to_vec();
    if let Some(value) = &proven.value {
        let proof = ics23::CommitmentProof { proof: Some(Ics::Exist(existence(key, proven))) };
        assert!(ics23::verify_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, key, value));
        assert!(!ics23::verify_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, key, b"no"));
        return;
    }
    if values.is_empty() {
        assert_eq!(proven.root, EMPTY_ROOT);
        return;
    }
    // ICS 23 shows absence by the two present neighbours in the order of the hashes.
    let mut keys: Vec<&Vec<u8>> = values.keys().collect();
    keys.sort_by_key(|key| key_hash(key));
    let right = keys.partition_point(|other| key_hash(other) < key_hash(key));
    let neighbour =
        |at: usize| keys.get(at).map(|key| existence(key, &store.prove(proven.version, key).unwrap()));
    let absence = ics23::NonExistenceProof {
        key: key.to_vec(),
        left: right.checked_sub(1).and_then(neighbour),
        right: neighbour(right),
    };
    let proof = ics23::CommitmentProof { proof: Some(Ics::Nonexist(absence)) };
    assert!(ics23::verify_non_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, key));
}

fn only_the_truth_verifies(key: &[u8], proven: &Proven) {
    let Proven { root, value, proof, .. } = proven;
    assert_eq!(proven.verify(root, key), Ok(()));
    assert!(verify(root, key, Some(b"another value"), proof).is_err());
    assert!(verify(&[7; 32], key, value.as_deref(), proof).is_err());
    assert!(verify(root, b"another key", Some(value.as_deref().unwrap_or(b"x")), proof).is_err());
    if value.is_some() {
        assert!(verify(root, key, None, proof).is_err());
        let own = dodona_store::proof::LeafHashes {
            key_hash: key_hash(key),
            value_hash: value_hash(value.as_ref().unwrap()),
        };
        let forged = Proof { other: Some(own), ..proof.clone() };
        assert_eq!(verify(root, key, None, &forged), Err(ProofError::ShowsTheKey));
    }
    let bytes = borsh::to_vec(proven).unwrap();
    assert_eq!(&borsh::from_slice::<Proven>(&bytes).unwrap(), proven);
    assert!(borsh::from_slice::<Proven>(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn a_leaf_off_the_path_proves_no_absence() {
    let store = Store::memory(Config::default());
    let changes = (0..64u64).map(|key| (key.to_be_bytes().to_vec(), Some(vec![1])));
    store.commit(0, store.prepare(Batch::from_changes(changes)), vec![]).unwrap();
    let present = 5u64.to_be_bytes();
    let absent =
        (64..).map(u64::to_be_bytes).find(|key| store.prove(0, key).unwrap().proof.other.is_some()).unwrap();
    let borrowed = store.prove(0, &absent).unwrap().proof;
    // A valid proof of absence of one key says nothing about a key elsewhere in the tree.
    assert_eq!(verify(&store.root(), &present, None, &borrowed), Err(ProofError::OffThePath));
}

#[test]
fn overlong_paths_are_refused_unread() {
    let long = Proof { siblings: vec![[0; 32]; 257], other: None };
    assert_eq!(verify(&EMPTY_ROOT, b"key", None, &long), Err(ProofError::TooLong));
    assert!(borsh::to_vec(&long).is_err());
    assert!(borsh::from_slice::<Proof>(&[0xff; 40]).is_err());
}

#[test]
fn the_empty_store_has_the_placeholder_root_and_no_proofs() {
    let store = Store::memory(Config::default());
    assert_eq!((store.version(), store.root()), (None, EMPTY_ROOT));
    assert!(store.prove(0, b"key").is_err());
    let nothing = Proof { siblings: vec![], other: None };
    assert_eq!(verify(&EMPTY_ROOT, b"key", None, &nothing), Ok(()));
}

proptest! {
    /// Whatever single bit of an encoded proof flips, it stops decoding or stops proving.
    #[test]
    fn a_flipped_bit_breaks_a_proof(keys in 1u64..200, asked in 0u64..220, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let store = Store::memory(Config::default());
        let changes = (0..keys).map(|key| (key.to_be_bytes().to_vec(), Some(key.to_le_bytes().to_vec())));
        store.commit(1, store.prepare(Batch::from_changes(changes)), vec![]).unwrap();
        let key = asked.to_be_bytes();
        let proven = store.prove(1, &key).unwrap();
        let mut bytes = borsh::to_vec(&proven.proof).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(forged) = borsh::from_slice::<Proof>(&bytes) {
            prop_assert!(verify(&proven.root, &key, proven.value.as_deref(), &forged).is_err());
        }
    }

    /// Random bytes never make the decoder panic or allocate without bound.
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(proof) = borsh::from_slice::<Proof>(&bytes) {
            prop_assert_eq!(borsh::to_vec(&proof).unwrap(), bytes);
        }
    }
}
