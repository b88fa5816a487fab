//! Addresses of other nodes: those the operator named, and those that peers told. When each may be called again.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand::Rng;
use tokio::time::Instant;

use super::key::{PeerAddress, PeerId};

/// Most addresses told by peers.
const TOLD: usize = 512;
/// Of these, from one peer.
const TOLD_BY_ONE: usize = 32;
/// Failures in a row after which a told address is forgotten.
const FORGET: u32 = 5;
/// First pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Book {
    entries: BTreeMap<PeerAddress, Entry>,
    longest_pause: Duration,
}

struct Entry {
    persistent: bool,
    /// Who told of it.
    by: Option<PeerId>,
    /// Who answered there the last time.
    found: Option<PeerId>,
    calling: bool,
    failures: u32,
    next: Instant,
}

impl Book {
    pub(crate) fn new(persistent: &[PeerAddress], longest_pause: Duration) -> Self {
        let mut book = Self { entries: BTreeMap::new(), longest_pause };
        for address in persistent {
            book.entries.insert(address.clone(), Entry::new(true, None));
        }
        book
    }

    /// A peer told of this address.
    pub(crate) fn told(&mut self, address: PeerAddress, by: PeerId) {
        let own = self.entries.values().filter(|entry| entry.by == Some(by)).count();
        if own >= TOLD_BY_ONE || self.entries.len() >= TOLD || self.entries.contains_key(&address) {
            return;
        }
        // The operator may have named the same place without an id.
        let known = self.entries.keys().any(|other| other.host == address.host && other.id.is_none());
        if !known {
            self.entries.insert(address, Entry::new(false, Some(by)));
        }
    }

    /// Whom to call now: those the operator named, and of the others so many. `here` are already connected.
    pub(crate) fn due(&mut self, others: usize, here: impl Fn(&PeerId) -> bool) -> Vec<PeerAddress> {
        let now = Instant::now();
        let (mut calls, mut room) = (Vec::new(), others);
        for (address, entry) in &mut self.entries {
            let who = address.id.or(entry.found);
            if entry.calling || entry.next > now || who.is_some_and(|id| here(&id)) {
                continue;
            }
            if !entry.persistent {
                if room == 0 {
                    continue;
                }
                room -= 1;
            }
            entry.calling = true;
            calls.push(address.clone());
        }
        calls
    }

    /// A call is over: who answered, and for how long it went well.
    pub(crate) fn called(&mut self, address: &PeerAddress, answered: Option<PeerId>, lasted: Duration) {
        let longest = self.longest_pause;
        let Some(entry) = self.entries.get_mut(address) else { return };
        entry.calling = false;
        entry.found = answered.or(entry.found);
        // A line that broke at once is a failure too.
        let well = answered.is_some() && lasted >= Duration::from_secs(1);
        entry.failures = if well { 0 } else { entry.failures.saturating_add(1) };
        let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(16)).min(longest);
        // Nodes that lost the same peer do not come back in the same moment.
        entry.next = Instant::now() + pause.mul_f64(rand::thread_rng().gen_range(0.5..1.5));
        if !entry.persistent && entry.failures >= FORGET {
            self.entries.remove(address);
        }
    }

    /// An address leads to ourselves, or to somebody else than it says.
    pub(crate) fn wrong(&mut self, address: &PeerAddress) {
        match self.entries.get_mut(address) {
            Some(entry) if entry.persistent => {
                entry.calling = false;
                entry.next = Instant::now() + self.longest_pause;
            }
            _ => drop(self.entries.remove(address)),
        }
    }

    /// Whether the operator named this node.
    pub(crate) fn is_persistent(&self, id: &PeerId) -> bool {
        self.entries
            .iter()
            .any(|(address, entry)| entry.persistent && (address.id == Some(*id) || entry.found == Some(*id)))
    }
}

impl Entry {
    fn new(persistent: bool, by: Option<PeerId>) -> Self {
        Self { persistent, by, found: None, calling: false, failures: 0, next: Instant::now() }
    }
}

/// An address that a peer tells: with its id, an IP address, and one that can be reached from here. `from` is where the
/// peer itself is.
pub(crate) fn told_address(text: &str, from: IpAddr) -> Option<PeerAddress> {
    let address: PeerAddress = text.parse().ok()?;
    address.id?;
    let socket: SocketAddr = address.host.parse().ok()?;
    let ip = socket.ip().to_canonical();
    let nobody = ip.is_unspecified() || ip.is_multicast();
    // Who is far away knows nothing of this machine.
    let foreign = ip.is_loopback() && !from.is_loopback();
    (!nobody && !foreign).then_some(address)
}
