//! Keys, typed tables and overlays: order and prefix-freeness of the encodings, refusal of what does not
//! decode, and overlays against a plain sorted map.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_store::{
    All, Batch, Config, Item, KeyCode, Map, Overlay, Read, Savepoint, Store, StoreError, Write,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;

fn encoded(key: &impl KeyCode) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode(&mut out);
    out
}

fn keys_obey_the_laws<K: KeyCode + Ord + Debug>(one: K, two: K) {
    let (a, b) = (encoded(&one), encoded(&two));
    assert_eq!(one.cmp(&two), a.cmp(&b), "order of {one:?} and {two:?}");
    if one != two {
        assert!(!a.starts_with(&b) && !b.starts_with(&a), "{one:?} or {two:?} begins the other");
    }
    for (key, bytes) in [(one, a), (two, b)] {
        let followed = [bytes.as_slice(), &[7, 7]].concat();
        let mut rest = followed.as_slice();
        assert_eq!(K::decode(&mut rest), Some(key));
        assert_eq!(rest, [7, 7]);
        for cut in 0..bytes.len() {
            assert!(K::decode(&mut &bytes[..cut]).is_none());
        }
    }
}

/// Short strings over few letters, so that prefixes and zeros are common.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 0x61, 0xfe, 0xff]), 0..5)
}

fn text() -> impl Strategy<Value = String> {
    "[\0\u{1}aé\u{ffff}]{0,4}"
}

proptest! {
    #[test]
    fn integer_keys_keep_order(a in any::<(u8, u16, u32, u64)>(), b in any::<(u8, u16, u32, u64)>(), c in any::<(u128, bool)>(), d in any::<(u128, bool)>()) {
        keys_obey_the_laws(a.0, b.0);
        keys_obey_the_laws(a.3, b.3);
        keys_obey_the_laws(a, b);
        keys_obey_the_laws(c, d);
    }

    #[test]
    fn array_keys_keep_order(a in any::<([u8; 20], [u8; 32])>(), b in any::<([u8; 20], [u8; 32])>()) {
        keys_obey_the_laws(a.0, b.0);
        keys_obey_the_laws(a, b);
    }

    #[test]
    fn byte_keys_keep_order(a in bytes(), b in bytes(), n in any::<(u8, u8)>()) {
        keys_obey_the_laws(a.clone(), b.clone());
        keys_obey_the_laws((a.clone(), n.0), (b.clone(), n.1));
        keys_obey_the_laws((a.clone(), b.clone(), n.0), (b.clone(), a.clone(), n.1));
        keys_obey_the_laws((n.0, a.clone(), b.clone(), n.1), (n.0, b, a, n.1));
    }

    #[test]
    fn text_keys_keep_order(a in text(), b in text(), n in any::<(u32, u32)>()) {
        keys_obey_the_laws(a.clone(), b.clone());
        keys_obey_the_laws((a, n.0), (b, n.1));
    }

    /// Two spellings of one key would be two entries of one table.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(raw in bytes()) {
        let mut rest = raw.as_slice();
        if let Some(key) = <(Vec<u8>, bool)>::decode(&mut rest) {
            prop_assert_eq!(encoded(&key), &raw[..raw.len() - rest.len()]);
        }
    }
}

#[derive(BorshSerialize, BorshDeserialize, Debug, PartialEq, Clone)]
struct Stake {
    amount: u128,
    memo: String,
}

const TOTAL: Item<u128> = Item::new(*b"t0");
const STAKES: Map<([u8; 20], u64), Stake> = Map::new(*b"t1");
const NAMES: Map<(String, String, u8), u8> = Map::new(*b"t2");

fn empty() -> Overlay<dodona_store::Snapshot> {
    Overlay::new(Store::memory(Config::default()).snapshot().unwrap())
}

fn stake(amount: u128) -> Stake {
    Stake { amount, memo: format!("stake of {amount}") }
}

#[test]
fn items_and_maps_give_back_what_was_put() {
    let mut state = empty();
    assert_eq!(TOTAL.get(&state).unwrap(), None);
    TOTAL.put(&mut state, &12);
    assert_eq!(TOTAL.get(&state).unwrap(), Some(12));
    assert!(TOTAL.exists(&state).unwrap());
    TOTAL.delete(&mut state);
    assert!(!TOTAL.exists(&state).unwrap());

    for holder in [2u8, 1, 3] {
        for height in [300u64, 2, 1] {
            STAKES.put(&mut state, &([holder; 20], height), &stake(u128::from(height)));
        }
    }
    let keys = |found: Vec<(([u8; 20], u64), Stake)>| -> Vec<(u8, u64)> {
        found.into_iter().map(|((holder, height), _)| (holder[0], height)).collect()
    };
    assert_eq!(keys(STAKES.scan_prefix(&state, &[2u8; 20], 10).unwrap()), [(2, 1), (2, 2), (2, 300)]);
    assert_eq!(keys(STAKES.scan(&state, 4).unwrap()), [(1, 1), (1, 2), (1, 300), (2, 1)]);
    assert_eq!(keys(STAKES.scan_from(&state, &([2; 20], 3), 2).unwrap()), [(2, 300), (3, 1)]);
    assert!(STAKES.scan(&state, 0).unwrap().is_empty());
    assert_eq!(STAKES.get(&state, &([3; 20], 2)).unwrap(), Some(stake(2)));
    STAKES.delete(&mut state, &([3; 20], 2));
    assert!(!STAKES.contains(&state, &([3; 20], 2)).unwrap());

    let mut seen = 0;
    STAKES
        .for_each(&state, &All, |_, _| {
            seen += 1;
            seen < 3
        })
        .unwrap();
    assert_eq!(seen, 3);
}

#[test]
fn a_head_of_text_does_not_catch_longer_texts() {
    let mut state = empty();
    for (topic, name) in [("a", "x"), ("a", "y"), ("ab", "x"), ("", "x")] {
        NAMES.put(&mut state, &(topic.to_owned(), name.to_owned(), 1), &1);
    }
    assert_eq!(NAMES.scan_prefix(&state, &"a".to_owned(), 9).unwrap().len(), 2);
    assert_eq!(NAMES.scan_prefix(&state, &("a".to_owned(), "x".to_owned()), 9).unwrap().len(), 1);
    assert_eq!(NAMES.scan_prefix(&state, &String::new(), 9).unwrap().len(), 1);
}

#[test]
fn what_does_not_decode_is_reported_with_its_namespace() {
    let mut state = empty();
    let good = borsh::to_vec(&stake(5)).unwrap();
    let key = STAKES.raw_key(&([1; 20], 1));
    for bad in [[good.clone(), vec![0]].concat(), good[..good.len() - 1].to_vec(), vec![]] {
        state.put(key.clone(), bad);
        let refused = STAKES.get(&state, &([1; 20], 1)).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Corrupt { namespace, key: at } if namespace == b"t1" && *at == key)
        );
        assert!(matches!(STAKES.scan(&state, 9), Err(StoreError::Corrupt { .. })));
    }
    state.put(key.clone(), good.clone());
    assert_eq!(STAKES.get(&state, &([1; 20], 1)).unwrap(), Some(stake(5)));
    state.put([key, vec![9]].concat(), good);
    assert!(matches!(STAKES.scan(&state, 9), Err(StoreError::Corrupt { .. })), "a key with a remainder");
}

proptest! {
    #[test]
    fn values_round_trip(amount in any::<u128>(), memo in ".{0,30}") {
        let mut state = empty();
        let value = Stake { amount, memo };
        STAKES.put(&mut state, &([1; 20], 1), &value);
        prop_assert_eq!(STAKES.get(&state, &([1; 20], 1)).unwrap(), Some(value));
    }
}

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    Savepoint,
    Rollback(prop::sample::Index),
    Release(prop::sample::Index),
}

fn short_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..3, 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (short_key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => short_key().prop_map(Step::Delete),
        2 => Just(Step::Savepoint),
        1 => any::<prop::sample::Index>().prop_map(Step::Rollback),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
    ]
}

fn entries(read: &impl Read, prefix: &[u8], start: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    read.scan_from(prefix, start, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        found.len() < limit
    })
    .unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_overlay_is_a_sorted_map_with_savepoints(
        base in prop::collection::btree_map(short_key(), any::<u8>().prop_map(|value| vec![value]), 0..20),
        steps in prop::collection::vec(step(), 0..60),
        scans in prop::collection::vec((short_key(), short_key(), 1usize..8), 6),
    ) {
        let store = Store::memory(Config::default());
        let genesis = Batch::from_changes(base.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
        store.commit(0, store.prepare(genesis), vec![]).unwrap();
        let mut overlay = Overlay::new(store.snapshot().unwrap());
        let mut model = base.clone();
        let mut saved: Vec<(Savepoint, Values)> = Vec::new();

        for step in steps {
            match step {
                Step::Put(key, value) => {
                    model.insert(key.clone(), vec![value]);
                    overlay.put(key, vec![value]);
                }
                Step::Delete(key) => {
                    model.remove(&key);
                    overlay.delete(key);
                }
                Step::Savepoint => saved.push((overlay.savepoint(), model.clone())),
                Step::Rollback(at) if !saved.is_empty() => {
                    let mut ended = saved.split_off(at.index(saved.len())).into_iter();
                    let (savepoint, then) = ended.next().unwrap();
                    overlay.rollback(savepoint);
                    model = then;
                    // Savepoints taken later ended with it.
                    ended.for_each(|(savepoint, _)| overlay.rollback(savepoint));
                }
                Step::Release(at) if !saved.is_empty() => {
                    let mut ended = saved.split_off(at.index(saved.len())).into_iter();
                    overlay.release(ended.next().unwrap().0);
                    ended.for_each(|(savepoint, _)| overlay.rollback(savepoint));
                }
                Step::Rollback(_) | Step::Release(_) => {}
            }
            for (prefix, start, limit) in &scans {
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| key.starts_with(prefix) && *key >= start)
                    .take(*limit)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(entries(&overlay, prefix, start, *limit), expected);
                prop_assert_eq!(overlay.get(prefix).unwrap(), model.get(prefix).cloned());
            }
        }

        // An overlay over an overlay: writing its batch down gives the same state.
        let nested = Overlay::new(&overlay);
        prop_assert!(nested.into_batch().unwrap().is_empty());

        let batch = overlay.into_batch().unwrap();
        for (key, value) in batch.changes() {
            prop_assert_ne!(base.get(key), value.as_ref(), "a change to what was there");
        }
        prop_assert!(batch.changes().is_sorted_by(|(a, _), (b, _)| a < b));
        let mut after = base.clone();
        for (key, value) in batch.clone().into_changes() {
            match value {
                Some(value) => drop(after.insert(key, value)),
                None => drop(after.remove(&key)),
            }
        }
        prop_assert_eq!(&after, &model);
        store.commit(1, store.prepare(batch), vec![]).unwrap();
        prop_assert_eq!(entries(&store.snapshot().unwrap(), &[], &[], usize::MAX), model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_nested_overlay_hands_its_batch_down() {
    let mut block = empty();
    TOTAL.put(&mut block, &1);
    let mut transaction = Overlay::new(&block);
    TOTAL.put(&mut transaction, &2);
    let batch = transaction.into_batch().unwrap();
    assert_eq!(TOTAL.get(&block).unwrap(), Some(1));
    batch.apply_to(&mut block);
    assert_eq!(TOTAL.get(&block).unwrap(), Some(2));
}
