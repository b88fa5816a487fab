//! The two traits that everything above the store reads and writes through: raw keys and values, in
//! key order. A snapshot is a [`Read`]; an overlay is both.

use crate::StoreError;

/// Ordered raw keys and values, to read.
pub trait Read {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits, in key order, the entries whose key begins with `prefix` and is not less than `start`,
    /// until `visit` answers `false`. A `start` that sorts before `prefix` changes nothing.
    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;

    /// Visits, in key order, the entries whose key begins with `prefix`, until `visit` answers `false`.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.scan_from(prefix, prefix, visit)
    }
}

/// Raw keys and values, to write. Writing only notes the change, so it cannot fail.
pub trait Write: Read {
    /// Sets the value of a key.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Removes a key; removing an absent one is no error.
    fn delete(&mut self, key: Vec<u8>);
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        (**self).scan_from(prefix, start, visit)
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        (**self).scan_from(prefix, start, visit)
    }
}

impl<W: Write + ?Sized> Write for &mut W {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        (**self).put(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        (**self).delete(key);
    }
}
