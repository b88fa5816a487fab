//! Writes in waiting over anything that can be read: what a block or a transaction changes before it is
//! known whether the change stays. Savepoints nest; rolling back undoes a log instead of copying a map.

use crate::{Read, StoreError, Write};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A new value, or `None` for a removal.
pub type NewValue = Option<Vec<u8>>;

/// A key and what becomes of it.
pub type Change = (Vec<u8>, NewValue);

/// Changed keys, sorted and unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    /// A batch of these changes, in any order; of several changes of one key the last one counts.
    pub fn from_changes(changes: impl IntoIterator<Item = Change>) -> Self {
        let unique: BTreeMap<_, _> = changes.into_iter().collect();
        Batch { changes: unique.into_iter().collect() }
    }

    /// The changes, sorted by key.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes, sorted by key.
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes the changes through `write`, such as the overlay below the one the batch came from.
    pub fn apply_to(self, write: &mut (impl Write + ?Sized)) {
        for (key, value) in self.changes {
            match value {
                Some(value) => write.put(key, value),
                None => write.delete(key),
            }
        }
    }
}

/// A place in the life of an [`Overlay`] to return to.
///
/// Savepoints nest: rolling one back or releasing it also ends every savepoint taken after it, and
/// using an ended one changes nothing. Use it only with the overlay that gave it.
#[derive(Debug)]
#[must_use = "a savepoint that is neither rolled back nor released keeps its undo log growing"]
pub struct Savepoint {
    serial: u64,
}

/// Writes in waiting over `base`, which stays as it is.
#[derive(Debug)]
pub struct Overlay<R> {
    base: R,
    changes: BTreeMap<Vec<u8>, NewValue>,
    /// What each write since the oldest open savepoint replaced; `None`: the key was unchanged until then.
    undo: Vec<(Vec<u8>, Option<NewValue>)>,
    /// Open savepoints, oldest first: serial number and length of the undo log when taken.
    open: Vec<(u64, usize)>,
    next_serial: u64,
}

impl<R: Read> Overlay<R> {
    /// An overlay without changes.
    pub fn new(base: R) -> Self {
        Overlay { base, changes: BTreeMap::new(), undo: Vec::new(), open: Vec::new(), next_serial: 0 }
    }

    /// What lies below.
    pub fn base(&self) -> &R {
        &self.base
    }

    /// Whether nothing was written (or everything was rolled back).
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Marks the present state to return to.
    pub fn savepoint(&mut self) -> Savepoint {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.open.push((serial, self.undo.len()));
        Savepoint { serial }
    }

    /// Undoes every write since the savepoint was taken, at a cost that depends only on their number.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        let Some(mark) = self.end(savepoint) else { return };
        for (key, replaced) in self.undo.drain(mark..).rev() {
            match replaced {
                Some(change) => self.changes.insert(key, change),
                None => self.changes.remove(&key),
            };
        }
    }

    /// Keeps every write since the savepoint was taken; an older savepoint can still undo them.
    pub fn release(&mut self, savepoint: Savepoint) {
        self.end(savepoint);
        if self.open.is_empty() {
            self.undo.clear();
        }
    }

    /// The changes against the base. A change to what the base already holds is left out.
    pub fn into_batch(self) -> Result<Batch, StoreError> {
        let mut changes = Vec::with_capacity(self.changes.len());
        for (key, value) in self.changes {
            if self.base.get(&key)? != value {
                changes.push((key, value));
            }
        }
        Ok(Batch { changes })
    }

    /// Ends the savepoint and all later ones; gives the length that the undo log had, if it was open.
    fn end(&mut self, savepoint: Savepoint) -> Option<usize> {
        let place = self.open.iter().position(|(serial, _)| *serial == savepoint.serial)?;
        let (_, mark) = self.open[place];
        self.open.truncate(place);
        Some(mark)
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.open.is_empty() {
            self.changes.insert(key, value);
        } else {
            let replaced = self.changes.insert(key.clone(), value);
            self.undo.push((key, replaced));
        }
    }
}

impl<R: Read> Read for Overlay<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let first = start.max(prefix);
        let mut changed = self
            .changes
            .range::<[u8], _>((Bound::Included(first), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        let mut stopped = false;

        self.base.scan_from(prefix, start, &mut |base_key, base_value| {
            while let Some((key, change)) = changed.next_if(|(key, _)| key.as_slice() < base_key) {
                if change.as_ref().is_some_and(|value| !visit(key, value)) {
                    stopped = true;
                    return false;
                }
            }
            let go_on = match changed.next_if(|(key, _)| key.as_slice() == base_key) {
                Some((key, Some(value))) => visit(key, value),
                Some((_, None)) => true,
                None => visit(base_key, base_value),
            };
            stopped = !go_on;
            go_on
        })?;

        if stopped {
            return Ok(());
        }
        for (key, change) in changed {
            if change.as_ref().is_some_and(|value| !visit(key, value)) {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<R: Read> Write for Overlay<R> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.change(key, None);
    }
}
