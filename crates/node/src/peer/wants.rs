//! Which announced transactions are asked for, of whom, and what happens to those that do not come.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use dodona_proto::tx::TxHash;
use tokio::time::Instant;

/// Questions to one peer under way.
const AT_ONCE: usize = 512;
/// Announced by one peer and not yet asked for.
const BACKLOG: usize = 16_384;
/// Who else could be asked.
const OTHERS: usize = 4;
/// When somebody else is asked, if there is somebody.
const PATIENCE: Duration = Duration::from_millis(500);
/// When it is given up.
const END: Duration = Duration::from_secs(5);

/// All questions under way.
#[derive(Default)]
pub(crate) struct Wants {
    asked: BTreeMap<TxHash, Want>,
    peers: BTreeMap<u64, Asked>,
}

struct Want {
    of: u64,
    since: Instant,
    others: Vec<u64>,
}

#[derive(Default)]
struct Asked {
    open: BTreeSet<TxHash>,
    backlog: VecDeque<TxHash>,
}

/// What to ask of whom.
pub(crate) type Questions = BTreeMap<u64, Vec<TxHash>>;

impl Wants {
    /// A peer is there.
    pub(crate) fn join(&mut self, peer: u64) {
        self.peers.entry(peer).or_default();
    }

    /// A peer announces these, none of which is known. What is more than can be kept is left to other peers.
    pub(crate) fn announced(&mut self, peer: u64, hashes: Vec<TxHash>) {
        let Some(asked) = self.peers.get_mut(&peer) else { return };
        for hash in hashes {
            if let Some(want) = self.asked.get_mut(&hash) {
                if want.of != peer && want.others.len() < OTHERS && !want.others.contains(&peer) {
                    want.others.push(peer);
                }
                continue;
            }
            if asked.backlog.len() >= BACKLOG {
                return;
            }
            asked.backlog.push_back(hash);
        }
    }

    /// What can be asked of this peer now. `unknown` sorts out what has become known since.
    pub(crate) fn ask(&mut self, peer: u64, unknown: impl Fn(&[TxHash]) -> Vec<TxHash>) -> Vec<TxHash> {
        let Some(asked) = self.peers.get_mut(&peer) else { return Vec::new() };
        let room = AT_ONCE.saturating_sub(asked.open.len()).min(asked.backlog.len());
        let next: Vec<TxHash> = asked.backlog.drain(..room).collect();
        let mut now = unknown(&next);
        now.retain(|hash| match self.asked.get_mut(hash) {
            Some(want) => {
                if want.of != peer && want.others.len() < OTHERS && !want.others.contains(&peer) {
                    want.others.push(peer);
                }
                false
            }
            None => {
                self.asked.insert(*hash, Want { of: peer, since: Instant::now(), others: Vec::new() });
                true
            }
        });
        asked.open.extend(&now);
        now
    }

    /// A peer delivers this one. Whether it was asked to.
    pub(crate) fn delivered(&mut self, peer: u64, hash: &TxHash) -> bool {
        let Some(asked) = self.peers.get_mut(&peer) else { return false };
        let was_asked = asked.open.remove(hash);
        if was_asked {
            self.asked.remove(hash);
        }
        was_asked
    }

    /// A peer no longer has this one. Whether it was asked for, and who is asked next.
    pub(crate) fn gone(&mut self, peer: u64, hash: &TxHash) -> (bool, Option<u64>) {
        let was_asked = self.peers.get_mut(&peer).is_some_and(|asked| asked.open.remove(hash));
        (was_asked, if was_asked { self.pass_on(hash, peer) } else { None })
    }

    /// Asks somebody else, if there is somebody. The first peer may still deliver.
    fn pass_on(&mut self, hash: &TxHash, from: u64) -> Option<u64> {
        let want = self.asked.get_mut(hash)?;
        if want.of != from {
            return None;
        }
        while let Some(next) = want.others.pop() {
            if let Some(asked) = self.peers.get_mut(&next) {
                asked.open.insert(*hash);
                want.of = next;
                want.since = Instant::now();
                return Some(next);
            }
        }
        self.asked.remove(hash);
        None
    }

    /// What took too long: whom to ask instead, and which peers did not keep their word, how often.
    pub(crate) fn late(&mut self) -> (Questions, BTreeMap<u64, usize>) {
        let now = Instant::now();
        let late = |want: &Want| {
            let waited = now.duration_since(want.since);
            waited >= END || waited >= PATIENCE && !want.others.is_empty()
        };
        let found: Vec<(TxHash, u64)> =
            self.asked.iter().filter(|(_, want)| late(want)).map(|(hash, want)| (*hash, want.of)).collect();
        let (mut questions, mut broken) = (Questions::new(), BTreeMap::new());
        for (hash, of) in found {
            *broken.entry(of).or_default() += 1;
            if let Some(asked) = self.peers.get_mut(&of) {
                asked.open.remove(&hash);
            }
            if let Some(next) = self.pass_on(&hash, of) {
                questions.entry(next).or_default().push(hash);
            }
        }
        (questions, broken)
    }

    /// A peer is gone: others are asked for what it owed.
    pub(crate) fn leave(&mut self, peer: u64) -> Questions {
        let mut questions = Questions::new();
        let Some(asked) = self.peers.remove(&peer) else { return questions };
        for hash in asked.open {
            if let Some(next) = self.pass_on(&hash, peer) {
                questions.entry(next).or_default().push(hash);
            }
        }
        questions
    }

    /// Peers with something to ask for.
    pub(crate) fn with_backlog(&self) -> Vec<u64> {
        self.peers.iter().filter(|(_, asked)| !asked.backlog.is_empty()).map(|(peer, _)| *peer).collect()
    }
}
