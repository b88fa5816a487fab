//! Transactions of other nodes on their way into the mempool. One thread tries them, in turn from every peer, so that
//! whoever sends much waits for himself. What came too early (before the one it builds on) is kept for a moment.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dodona_proto::Address;

use crate::mempool::{Mempool, Offered};

/// Bytes of one peer that wait to be tried; beyond, nothing more is read from it.
const BYTES_PER_PEER: usize = 4 << 20;
/// Early transactions kept in total, and of one peer.
const EARLY: usize = 1_024;
const EARLY_PER_PEER: usize = 128;
/// How often an early transaction is tried again for another reason than its sender's progress.
const TRIES: u32 = 4;
/// And how soon.
const AGAIN: Duration = Duration::from_millis(250);

/// What became of a transaction, for the peer that sent it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Fine, or nobody's fault.
    Fine,
    /// Refused on this state.
    Refused {
        /// For want of room, or for a price that changes with every block.
        ours: bool,
    },
    /// Refused before, and fine now: it had only come too early.
    Forgiven,
    /// Garbage in any state.
    Garbage,
}

pub(crate) struct Intake {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<u64, Queue>,
    /// Peers with something waiting, in turn.
    turn: VecDeque<u64>,
    stopped: bool,
}

#[derive(Default)]
struct Queue {
    txs: VecDeque<Vec<u8>>,
    bytes: usize,
}

struct Early {
    bytes: Vec<u8>,
    peer: u64,
    tries: u32,
    next: Instant,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), ready: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands transactions of a peer over.
    pub(crate) fn push(&self, peer: u64, txs: Vec<Vec<u8>>) {
        let mut state = self.lock();
        let queue = state.queues.entry(peer).or_default();
        queue.bytes += txs.iter().map(Vec::len).sum::<usize>();
        queue.txs.extend(txs);
        if !state.turn.contains(&peer) {
            state.turn.push_back(peer);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Whether more may be read from this peer.
    pub(crate) fn has_room(&self, peer: u64) -> bool {
        self.lock().queues.get(&peer).is_none_or(|queue| queue.bytes < BYTES_PER_PEER)
    }

    /// A peer is gone: what it sent is not tried any more.
    pub(crate) fn forget(&self, peer: u64) {
        let mut state = self.lock();
        state.queues.remove(&peer);
        state.turn.retain(|other| *other != peer);
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.ready.notify_one();
    }

    /// The next transaction, or none after a while.
    fn next(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = self.lock();
        if state.turn.is_empty() && !state.stopped {
            let waited = self.ready.wait_timeout(state, AGAIN / 2);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let peer = state.turn.pop_front()?;
        let queue = state.queues.get_mut(&peer)?;
        let tx = queue.txs.pop_front();
        queue.bytes -= tx.as_ref().map_or(0, Vec::len);
        if queue.txs.is_empty() {
            state.queues.remove(&peer);
        } else {
            state.turn.push_back(peer);
        }
        tx.map(|tx| (peer, tx))
    }

    /// Tries transactions until the end; `told` hears of each what became of it.
    pub(crate) fn run(&self, mempool: &Mempool, told: impl Fn(u64, Judged)) {
        let mut early: BTreeMap<(Address, u64), Early> = BTreeMap::new();
        while !self.lock().stopped {
            if let Some((peer, bytes)) = self.next() {
                match mempool.offer(&bytes) {
                    Offered::Taken { sender } => {
                        told(peer, Judged::Fine);
                        follow(mempool, &mut early, sender, &told);
                    }
                    Offered::Known | Offered::Halt => told(peer, Judged::Fine),
                    Offered::Garbage(refusal) => {
                        tracing::debug!(%refusal, "garbage from a peer");
                        told(peer, Judged::Garbage);
                    }
                    Offered::Refused { refusal, sent } => {
                        let ours = matches!((refusal.codespace, refusal.code), ("sdk", 13 | 20));
                        told(peer, Judged::Refused { ours });
                        // No room and too small a fee do not pass in a moment.
                        let passing = !ours;
                        let own = early.values().filter(|early| early.peer == peer).count();
                        if let Some(key) = sent.filter(|_| passing && own < EARLY_PER_PEER)
                            && early.len() < EARLY
                        {
                            let next = Instant::now() + AGAIN;
                            early.entry(key).or_insert(Early { bytes, peer, tries: 0, next });
                        }
                    }
                }
            }
            again(mempool, &mut early, &told);
        }
    }
}

/// Something of this sender was taken: what it sent after that may be possible now.
fn follow(
    mempool: &Mempool,
    early: &mut BTreeMap<(Address, u64), Early>,
    sender: Address,
    told: &impl Fn(u64, Judged),
) {
    let range = (sender, 0)..=(sender, u64::MAX);
    let keys: Vec<(Address, u64)> = early.range(range).map(|(key, _)| *key).collect();
    for key in keys {
        let Some(waiting) = early.get(&key) else { continue };
        match mempool.offer(&waiting.bytes) {
            Offered::Refused { .. } => break,
            _ => {
                told(waiting.peer, Judged::Forgiven);
                early.remove(&key);
            }
        }
    }
}

/// Tries once more what is due.
fn again(mempool: &Mempool, early: &mut BTreeMap<(Address, u64), Early>, told: &impl Fn(u64, Judged)) {
    if early.is_empty() {
        return;
    }
    let now = Instant::now();
    let due: Vec<(Address, u64)> =
        early.iter().filter(|(_, early)| early.next <= now).map(|(key, _)| *key).collect();
    for key in due {
        let Some(waiting) = early.get_mut(&key) else { continue };
        match mempool.offer(&waiting.bytes) {
            Offered::Refused { .. } if waiting.tries + 1 < TRIES => {
                waiting.tries += 1;
                waiting.next = now + AGAIN * (1 << waiting.tries);
            }
            Offered::Taken { sender } => {
                told(waiting.peer, Judged::Forgiven);
                early.remove(&key);
                follow(mempool, early, sender, told);
            }
            _ => drop(early.remove(&key)),
        }
    }
}
