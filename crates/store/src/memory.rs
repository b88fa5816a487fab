//! The engine without a disk: ordered maps behind a lock. A snapshot shares the map of values; a commit
//! copies that map (keys and pointers, not values) only while a snapshot of it is alive.

use crate::engine::{Commit, Engine, Staging, View};
use crate::past::{Old, Past, Replaced};
use crate::{Hash, Read, Record, RecordChange, RecordTable, StoreError};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Default)]
pub(crate) struct Memory {
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    latest: Option<(u64, Hash)>,
    oldest_kept: u64,
    values: Arc<Values>,
    /// What the commits of the kept versions replaced, oldest first.
    replaced: VecDeque<Arc<Undo>>,
    records: BTreeMap<RecordTable, BTreeMap<Vec<u8>, Vec<u8>>>,
    tags: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Default)]
struct Values(BTreeMap<Arc<[u8]>, Value>);

type Value = Arc<Vec<u8>>;

/// What one commit replaced.
struct Undo {
    version: u64,
    /// Sorted by key.
    values: Vec<(Vec<u8>, Option<Value>)>,
}

/// What the commits after a version replaced, one after the other.
struct Later {
    first: u64,
    commits: Vec<Arc<Undo>>,
}

impl Later {
    fn values(&self, commit: u64) -> &[(Vec<u8>, Option<Value>)] {
        let place = commit.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.commits.get(place)).map_or(&[], |commit| &commit.values)
    }
}

impl Replaced for Later {
    fn get(&self, commit: u64, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        let values = self.values(commit);
        let found = values.binary_search_by(|(changed, _)| changed.as_slice().cmp(key)).ok();
        Ok(found.map(|at| values[at].1.as_ref().map(|value| value.to_vec())))
    }

    fn from<'a>(
        &'a self,
        commit: u64,
        start: &[u8],
    ) -> Result<Box<dyn Iterator<Item = Old> + 'a>, StoreError> {
        let values = self.values(commit);
        let at = values.partition_point(|(changed, _)| changed.as_slice() < start);
        let copy = |(key, old): &(Vec<u8>, Option<Value>)| {
            Ok((key.clone(), old.as_ref().map(|value| value.to_vec())))
        };
        Ok(Box::new(values[at..].iter().map(copy)))
    }
}

impl Memory {
    // Every change below is made of steps that cannot panic half-way, so a poisoned lock guards a whole state.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Values {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).map(|value| value.to_vec()))
    }

    fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let first = start.max(prefix);
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(first), Bound::Unbounded)) {
            if !key.starts_with(prefix) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for Memory {
    fn view(&self) -> Result<(Option<(u64, Hash)>, View), StoreError> {
        let state = self.read();
        Ok((state.latest, Arc::clone(&state.values) as View))
    }

    fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let mut state = self.write();
        let values = &mut Arc::make_mut(&mut state.values).0;
        let mut replaced = Vec::with_capacity(if commit.keep_replaced { commit.changes.len() } else { 0 });
        for (key, value) in commit.changes {
            let old = match (value.map(Arc::new), values.get_mut(key.as_slice())) {
                (Some(value), Some(place)) => Some(std::mem::replace(place, value)),
                (Some(value), None) => values.insert(key.as_slice().into(), value),
                (None, Some(_)) => values.remove(key.as_slice()),
                (None, None) => None,
            };
            if commit.keep_replaced {
                replaced.push((key, old));
            }
        }
        if commit.keep_replaced {
            state.replaced.push_back(Arc::new(Undo { version: commit.version, values: replaced }));
        }
        while state.replaced.front().is_some_and(|oldest| oldest.version <= commit.oldest_kept) {
            state.replaced.pop_front();
        }
        state.oldest_kept = commit.oldest_kept;
        state.latest = Some((commit.version, commit.root));
        state.change_records(commit.records);
        Ok(())
    }

    fn view_at(&self, version: u64) -> Result<View, StoreError> {
        let state = self.read();
        let latest = state.latest.map(|(latest, _)| latest);
        let Some(last) = latest.filter(|last| (state.oldest_kept..=*last).contains(&version)) else {
            let oldest = latest.map(|_| state.oldest_kept);
            return Err(StoreError::UnknownVersion { version, oldest, latest });
        };
        let values = Arc::clone(&state.values) as View;
        if version == last {
            return Ok(values);
        }
        let later = state.replaced.iter().filter(|later| later.version > version);
        let replaced = Later { first: version + 1, commits: later.cloned().collect() };
        Ok(Arc::new(Past { values, replaced, later: version + 1..=last }))
    }

    fn put_records(&self, changes: Vec<RecordChange>) -> Result<(), StoreError> {
        self.write().change_records(changes);
        Ok(())
    }

    fn record(&self, table: RecordTable, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().records.get(&table).and_then(|records| records.get(key)).cloned())
    }

    fn records(
        &self,
        table: RecordTable,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.read();
        let Some(records) = state.records.get(&table) else { return Ok(Vec::new()) };
        Ok(records
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(key, _)| until.is_none_or(|until| key.as_slice() < until))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn last_record(&self, table: RecordTable) -> Result<Option<Record>, StoreError> {
        let state = self.read();
        let last = state.records.get(&table).and_then(|records| records.last_key_value());
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn stage(&self) -> Result<Box<dyn Staging>, StoreError> {
        Ok(Box::new(Staged { state: Arc::clone(&self.state), values: Values::default() }))
    }

    fn tag(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().tags.get(name).cloned())
    }

    fn set_tag(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write().tags.insert(name.to_owned(), value.to_vec());
        Ok(())
    }
}

/// Values beside the engine until they are complete.
struct Staged {
    state: Arc<RwLock<State>>,
    values: Values,
}

impl Staging for Staged {
    fn put(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.values.0.extend(entries.into_iter().map(|(key, value)| (key.into(), Arc::new(value))));
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        version: u64,
        root: Hash,
        records: Vec<RecordChange>,
    ) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.values = Arc::new(self.values);
        state.oldest_kept = version;
        state.latest = Some((version, root));
        state.change_records(records);
        Ok(())
    }
}

impl State {
    fn change_records(&mut self, changes: Vec<RecordChange>) {
        for change in changes {
            match change {
                RecordChange::Put { table, key, value } => {
                    self.records.entry(table).or_default().insert(key, value);
                }
                RecordChange::Delete { table, key } => {
                    self.records.entry(table).or_default().remove(&key);
                }
                RecordChange::DeleteBelow { table, key } => {
                    let records = self.records.entry(table).or_default();
                    *records = records.split_off(&key);
                }
            }
        }
    }
}
