//! Typed tables over raw keys: a module declares its state as constants of [`Item`] and [`Map`] and
//! reads and writes through them. Keys are `namespace ++ KeyCode`, values are borsh without a remainder.

use crate::{All, KeyCode, KeyHead, Read, StoreError, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use std::marker::PhantomData;

/// One value under a namespace of its own.
///
/// The raw key is the namespace itself, so an `Item` and a [`Map`] must not share one.
pub struct Item<V> {
    namespace: [u8; 2],
    types: PhantomData<fn() -> V>,
}

impl<V> Item<V> {
    /// Declares an item.
    pub const fn new(namespace: [u8; 2]) -> Self {
        Item { namespace, types: PhantomData }
    }

    /// The key that proofs are asked for.
    pub fn raw_key(&self) -> Vec<u8> {
        self.namespace.to_vec()
    }

    /// Whether the item has a value.
    pub fn exists(&self, read: &(impl Read + ?Sized)) -> Result<bool, StoreError> {
        Ok(read.get(&self.namespace)?.is_some())
    }

    /// Removes the value.
    pub fn delete(&self, write: &mut (impl Write + ?Sized)) {
        write.delete(self.raw_key());
    }
}

impl<V: BorshSerialize + BorshDeserialize> Item<V> {
    /// The value, if there is one; [`StoreError::Corrupt`] if it does not decode.
    pub fn get(&self, read: &(impl Read + ?Sized)) -> Result<Option<V>, StoreError> {
        let Some(bytes) = read.get(&self.namespace)? else { return Ok(None) };
        decode_value(&bytes).map(Some).ok_or_else(|| corrupt(self.namespace, &self.namespace))
    }

    /// Sets the value.
    pub fn put(&self, write: &mut (impl Write + ?Sized), value: &V) {
        write.put(self.raw_key(), encode_value(value));
    }
}

/// Many values under one namespace, each under a key of type `K`, kept in the order of the keys.
pub struct Map<K, V> {
    namespace: [u8; 2],
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: KeyCode, V> Map<K, V> {
    /// Declares a map.
    pub const fn new(namespace: [u8; 2]) -> Self {
        Map { namespace, types: PhantomData }
    }

    /// The key that proofs are asked for.
    pub fn raw_key(&self, key: &K) -> Vec<u8> {
        let mut raw = Vec::with_capacity(48);
        raw.extend_from_slice(&self.namespace);
        key.encode(&mut raw);
        raw
    }

    /// The bytes that every raw key with this head begins with.
    pub fn raw_prefix(&self, head: &impl KeyHead<K>) -> Vec<u8> {
        let mut raw = self.namespace.to_vec();
        head.encode_head(&mut raw);
        raw
    }

    /// Whether the key has a value.
    pub fn contains(&self, read: &(impl Read + ?Sized), key: &K) -> Result<bool, StoreError> {
        Ok(read.get(&self.raw_key(key))?.is_some())
    }

    /// Removes a key; removing an absent one is no error.
    pub fn delete(&self, write: &mut (impl Write + ?Sized), key: &K) {
        write.delete(self.raw_key(key));
    }
}

impl<K: KeyCode, V: BorshSerialize + BorshDeserialize> Map<K, V> {
    /// The value of a key, if there is one; [`StoreError::Corrupt`] if it does not decode.
    pub fn get(&self, read: &(impl Read + ?Sized), key: &K) -> Result<Option<V>, StoreError> {
        let raw = self.raw_key(key);
        let Some(bytes) = read.get(&raw)? else { return Ok(None) };
        decode_value(&bytes).map(Some).ok_or_else(|| corrupt(self.namespace, &raw))
    }

    /// Sets the value of a key.
    pub fn put(&self, write: &mut (impl Write + ?Sized), key: &K, value: &V) {
        write.put(self.raw_key(key), encode_value(value));
    }

    /// The first `limit` entries of the whole map, in key order.
    pub fn scan(&self, read: &(impl Read + ?Sized), limit: usize) -> Result<Vec<(K, V)>, StoreError> {
        self.scan_prefix(read, &All, limit)
    }

    /// The first `limit` entries whose key begins with `head`, in key order.
    pub fn scan_prefix(
        &self,
        read: &(impl Read + ?Sized),
        head: &impl KeyHead<K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let prefix = self.raw_prefix(head);
        self.collect(read, &prefix, &prefix, limit)
    }

    /// The first `limit` entries of the whole map whose key is not less than `start`, in key order.
    pub fn scan_from(
        &self,
        read: &(impl Read + ?Sized),
        start: &K,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        self.collect(read, &self.namespace, &self.raw_key(start), limit)
    }

    /// Visits the entries whose key begins with `head`, in key order, until `visit` answers `false`.
    pub fn for_each(
        &self,
        read: &(impl Read + ?Sized),
        head: &impl KeyHead<K>,
        visit: impl FnMut(K, V) -> bool,
    ) -> Result<(), StoreError> {
        let prefix = self.raw_prefix(head);
        self.walk(read, &prefix, &prefix, visit)
    }

    fn collect(
        &self,
        read: &(impl Read + ?Sized),
        prefix: &[u8],
        start: &[u8],
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.walk(read, prefix, start, |key, value| {
            found.push((key, value));
            found.len() < limit
        })?;
        Ok(found)
    }

    fn walk(
        &self,
        read: &(impl Read + ?Sized),
        prefix: &[u8],
        start: &[u8],
        mut visit: impl FnMut(K, V) -> bool,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        read.scan_from(prefix, start, &mut |raw, bytes| {
            let Some((key, value)) = decode_key(raw).zip(decode_value(bytes)) else {
                failed = Some(corrupt(self.namespace, raw));
                return false;
            };
            visit(key, value)
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn decode_key<K: KeyCode>(raw: &[u8]) -> Option<K> {
    let mut rest = raw.get(2..)?;
    let key = K::decode(&mut rest)?;
    rest.is_empty().then_some(key)
}

fn decode_value<V: BorshDeserialize>(bytes: &[u8]) -> Option<V> {
    // `from_slice` refuses a remainder.
    borsh::from_slice(bytes).ok()
}

fn encode_value<V: BorshSerialize>(value: &V) -> Vec<u8> {
    borsh::to_vec(value).expect("memory does not refuse writes, and lengths stay below 2^32")
}

fn corrupt(namespace: [u8; 2], key: &[u8]) -> StoreError {
    StoreError::Corrupt { namespace, key: key.to_vec() }
}
