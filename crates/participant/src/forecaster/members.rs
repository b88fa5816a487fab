//! What a forecaster remembers per member, bounded: a crowd of invented addresses cannot fill the memory,
//! it only displaces whoever has been silent for longest.

use std::collections::BTreeMap;

use super::{MAX_ADDRESS, MAX_MEMBERS};

/// State per address, with the epoch in which it was last touched.
#[derive(Debug, Clone, Default)]
pub(super) struct Members<T> {
    known: BTreeMap<String, (u64, T)>,
}

impl<T> Members<T> {
    pub(super) fn get(&self, address: &str) -> Option<&T> {
        self.known.get(address).map(|(_, state)| state)
    }

    /// The member's state, made by `fresh` if it is new; `None` if the address is too long to be kept.
    pub(super) fn touch(&mut self, epoch: u64, address: &str, fresh: impl FnOnce() -> T) -> Option<&mut T> {
        if address.len() > MAX_ADDRESS {
            return None;
        }
        if !self.known.contains_key(address) {
            if self.known.len() == MAX_MEMBERS {
                // On a tie the first address in order goes, so that every machine forgets the same one.
                let oldest = self.known.iter().min_by_key(|(_, (epoch, _))| *epoch)?.0.clone();
                self.known.remove(&oldest);
            }
            self.known.insert(address.to_owned(), (epoch, fresh()));
        }
        let (last, state) = self.known.get_mut(address)?;
        *last = epoch.max(*last);
        Some(state)
    }
}
