//! The values of a version that is no longer the latest: today's values, with what every later commit replaced laid
//! over them. The earliest replacement of a key after the version says what the key was at the version.

use crate::engine::View;
use crate::{Read, StoreError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

/// A key that a commit changed, and its value before.
type Entry = (Vec<u8>, Option<Vec<u8>>);

/// One of them, read.
pub(crate) type Old = Result<Entry, StoreError>;

/// What commits replaced, commit by commit.
pub(crate) trait Replaced: Send + Sync {
    /// The value before this commit; the outer `None` if the commit did not change the key.
    fn get(&self, commit: u64, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StoreError>;

    /// The keys from `start` on that this commit changed, ascending.
    fn from<'a>(
        &'a self,
        commit: u64,
        start: &[u8],
    ) -> Result<Box<dyn Iterator<Item = Old> + 'a>, StoreError>;
}

/// A [`Read`] of an earlier version. A value costs a look into each later commit until one has it; a scan merges
/// the later commits' lists with today's values and reads no further than it is asked to.
pub(crate) struct Past<R> {
    /// Values of the latest version.
    pub(crate) values: View,
    pub(crate) replaced: R,
    /// The commits after the version, up to that of `values`.
    pub(crate) later: RangeInclusive<u64>,
}

impl<R: Replaced> Read for Past<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        for commit in self.later.clone() {
            if let Some(old) = self.replaced.get(commit, key)? {
                return Ok(old);
            }
        }
        self.values.get(key)
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut old = Merged::new(self, prefix, start.max(prefix))?;
        // The visit of today's values cannot answer with an error of the merge: it is kept until the end.
        let mut failed = Ok(());
        let mut go_on = true;
        self.values.scan_from(prefix, start, &mut |key, value| {
            let mut step = || -> Result<bool, StoreError> {
                while old.next_key().is_some_and(|next| next < key) {
                    if let Some((key, Some(value))) = old.take()?
                        && !visit(&key, &value)
                    {
                        return Ok(false);
                    }
                }
                if old.next_key() != Some(key) {
                    return Ok(visit(key, value));
                }
                Ok(old.take()?.is_none_or(|(key, value)| value.is_none_or(|value| visit(&key, &value))))
            };
            go_on = step().unwrap_or_else(|error| {
                failed = Err(error);
                false
            });
            go_on
        })?;
        failed?;
        while go_on && let Some((key, value)) = old.take()? {
            go_on = value.is_none_or(|value| visit(&key, &value));
        }
        Ok(())
    }
}

/// A key with the number of the commit that changed it; least first, and of equal keys the earliest commit.
type Next = Reverse<(Vec<u8>, u64, Option<Vec<u8>>)>;

/// The lists of all later commits as one, without repetitions.
struct Merged<'a> {
    prefix: &'a [u8],
    first: u64,
    lists: Vec<Box<dyn Iterator<Item = Old> + 'a>>,
    heads: BinaryHeap<Next>,
}

impl<'a> Merged<'a> {
    fn new<R: Replaced>(past: &'a Past<R>, prefix: &'a [u8], start: &[u8]) -> Result<Self, StoreError> {
        let (first, heads) = (*past.later.start(), BinaryHeap::new());
        let mut merged = Self { prefix, first, lists: Vec::new(), heads };
        for commit in past.later.clone() {
            merged.lists.push(past.replaced.from(commit, start)?);
            merged.advance(commit)?;
        }
        Ok(merged)
    }

    /// Puts the next entry of a commit's list among the heads.
    fn advance(&mut self, commit: u64) -> Result<(), StoreError> {
        let Some(next) = self.lists[(commit - self.first) as usize].next() else { return Ok(()) };
        let (key, value) = next?;
        if key.starts_with(self.prefix) {
            self.heads.push(Reverse((key, commit, value)));
        }
        Ok(())
    }

    fn next_key(&self) -> Option<&[u8]> {
        self.heads.peek().map(|Reverse((key, ..))| key.as_slice())
    }

    /// The least key with its value at the version; later commits' entries of the same key are passed over.
    fn take(&mut self) -> Result<Option<Entry>, StoreError> {
        let Some(Reverse((key, commit, value))) = self.heads.pop() else { return Ok(None) };
        self.advance(commit)?;
        while self.next_key() == Some(key.as_slice()) {
            if let Some(Reverse((_, commit, _))) = self.heads.pop() {
                self.advance(commit)?;
            }
        }
        Ok(Some((key, value)))
    }
}
