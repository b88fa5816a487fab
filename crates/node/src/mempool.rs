//! Transactions waiting for a block.
//!
//! ```text
//! bytes ─► known? ─► limits ─► App::check on top of everything waiting ─► queue ─► proposer, by price, then arrival
//!                                         ▲                                 │
//!                                         └── after every block: the rest is checked again on the new state
//! ```
//! Who offers more for a unit of gas comes first, so that nobody can fill blocks cheaply; among equal offers the order is
//! that of arrival, and the same submissions give the same blocks. What a block has no room for waits, and with it
//! whatever its sender sent after it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dodona_chain::{App, AppError, Checker, Failure, Refusal};
use dodona_proto::{Address, tx::TxHash};

/// Bounds of the pool.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    /// Most transactions.
    pub txs: usize,
    /// Most bytes.
    pub bytes: usize,
    /// Most transactions of one sender.
    pub per_sender: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { txs: 10_000, bytes: 32 << 20, per_sender: 64 }
    }
}

/// The pool. Clones share it.
#[derive(Clone)]
pub struct Mempool {
    app: App,
    limits: Limits,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    checker: Checker,
    /// Arrival number → transaction.
    queue: BTreeMap<u64, Waiting>,
    by_hash: BTreeMap<TxHash, u64>,
    senders: BTreeMap<Address, usize>,
    bytes: usize,
    next: u64,
    refused: Refused,
}

/// Why transactions were refused, or had to leave again, for those who ask later. Bounded: the oldest is forgotten.
#[derive(Default)]
struct Refused {
    why: BTreeMap<TxHash, Refusal>,
    order: VecDeque<TxHash>,
}

/// Reasons remembered.
const REASONS: usize = 4_096;

struct Waiting {
    hash: TxHash,
    sender: Address,
    gas: u64,
    /// uallo offered for a unit of gas, rounded down.
    price: u128,
    bytes: Vec<u8>,
}

impl Mempool {
    /// An empty pool on the application's last committed state.
    pub fn new(app: App, limits: Limits) -> Result<Self, AppError> {
        let inner = Inner {
            checker: app.checker()?,
            queue: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            senders: BTreeMap::new(),
            bytes: 0,
            next: 0,
            refused: Refused::default(),
        };
        Ok(Self { app, limits, inner: Arc::new(Mutex::new(inner)) })
    }

    /// Takes a transaction in, or says why not. One that is already waiting is answered like the first time.
    pub fn add(&self, bytes: &[u8]) -> Result<TxHash, Failure> {
        let hash = dodona_proto::tx::hash(bytes);
        let mut inner = self.lock();
        let taken = self.take(&mut inner, hash, bytes);
        if let Err(Failure::Refused(refusal)) = &taken {
            inner.refused.remember(hash, refusal.clone());
        }
        taken.map(|()| hash)
    }

    fn take(&self, inner: &mut Inner, hash: TxHash, bytes: &[u8]) -> Result<(), Failure> {
        if inner.by_hash.contains_key(&hash) {
            return Ok(());
        }
        if inner.queue.len() >= self.limits.txs || inner.bytes + bytes.len() > self.limits.bytes {
            let log = format!(
                "mempool is full: {} transactions wait, {} bytes; try again after the next block",
                inner.queue.len(),
                inner.bytes
            );
            return Err(Failure::Refused(Refusal { codespace: "sdk", code: 20, log }));
        }
        let parsed = self.app.parse(&inner.checker, bytes)?;
        let sender = parsed.signer;
        let waiting = inner.senders.get(&sender).copied().unwrap_or(0);
        if waiting >= self.limits.per_sender {
            let log = format!("mempool is full: {waiting} transactions of this sender wait already");
            return Err(Failure::Refused(Refusal { codespace: "sdk", code: 20, log }));
        }
        self.app.check_parsed(&mut inner.checker, &parsed)?;
        let (gas, fee) = (parsed.gas_limit, parsed.fee);
        let price = fee / u128::from(gas.max(1));
        inner.push(Waiting { hash, sender, gas, price, bytes: bytes.to_vec() });
        Ok(())
    }

    /// Transactions for a block of so many bytes and transactions and of the chain's gas: who offers more for a unit of
    /// gas comes first, then who came first. A sender's transactions keep their order; behind one that does not fit,
    /// its sender's others wait too.
    pub fn candidates(&self, max_bytes: usize, max_txs: usize) -> Vec<Vec<u8>> {
        let inner = self.lock();
        let (mut bytes, mut gas) = (max_bytes, inner.checker.block_gas());
        let mut queues: BTreeMap<Address, VecDeque<(&u64, &Waiting)>> = BTreeMap::new();
        for (arrival, waiting) in &inner.queue {
            queues.entry(waiting.sender).or_default().push_back((arrival, waiting));
        }
        let offer = |queue: &VecDeque<(&u64, &Waiting)>| {
            queue.front().map(|(arrival, waiting)| (waiting.price, Reverse(**arrival), waiting.sender))
        };
        let mut next: BinaryHeap<_> = queues.values().filter_map(offer).collect();
        let mut out = Vec::new();
        while let Some((_, _, sender)) = next.pop() {
            if out.len() == max_txs || bytes == 0 || gas == 0 {
                break;
            }
            let Some(queue) = queues.get_mut(&sender) else { continue };
            let Some((_, waiting)) = queue.pop_front() else { continue };
            if waiting.bytes.len() > bytes || waiting.gas > gas {
                continue;
            }
            bytes -= waiting.bytes.len();
            gas -= waiting.gas;
            out.push(waiting.bytes.clone());
            next.extend(offer(queue));
        }
        out
    }

    /// After a block: its transactions are done; what is left must still be possible.
    pub fn committed(&self, hashes: impl Iterator<Item = TxHash>) -> Result<(), Failure> {
        let mut inner = self.lock();
        for hash in hashes {
            inner.remove(&hash);
        }
        self.recheck(&mut inner)
    }

    /// Whether this transaction waits.
    pub fn contains(&self, hash: &TxHash) -> bool {
        self.lock().by_hash.contains_key(hash)
    }

    /// Why a transaction was refused, or no longer waits although it is in no block.
    pub fn refusal(&self, hash: &TxHash) -> Option<Refusal> {
        self.lock().refused.why.get(hash).cloned()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Bytes of all that waits.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn recheck(&self, inner: &mut Inner) -> Result<(), Failure> {
        inner.checker = self.app.checker().map_err(|e| match e {
            AppError::Store(e) => Failure::Halt(e),
            other => Failure::Refused(Refusal { codespace: "sdk", code: 1, log: other.to_string() }),
        })?;
        let mut gone = Vec::new();
        for waiting in inner.queue.values() {
            match self.app.check(&mut inner.checker, &waiting.bytes) {
                Ok(_) => {}
                Err(Failure::Refused(refusal)) => {
                    tracing::debug!(hash = hex::encode(waiting.hash), %refusal, "no longer possible");
                    gone.push((waiting.hash, refusal));
                }
                Err(halt) => return Err(halt),
            }
        }
        for (hash, refusal) in gone {
            inner.remove(&hash);
            inner.refused.remember(hash, refusal);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while holding it; if something did, the queue is still a queue.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn remember(&mut self, hash: TxHash, refusal: Refusal) {
        if self.why.insert(hash, refusal).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > REASONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.why.remove(&oldest);
        }
    }
}

impl Inner {
    fn push(&mut self, waiting: Waiting) {
        // Handed in again, it waits like any other.
        if self.refused.why.remove(&waiting.hash).is_some() {
            self.refused.order.retain(|hash| *hash != waiting.hash);
        }
        self.bytes += waiting.bytes.len();
        *self.senders.entry(waiting.sender).or_default() += 1;
        self.by_hash.insert(waiting.hash, self.next);
        self.queue.insert(self.next, waiting);
        self.next += 1;
    }

    fn remove(&mut self, hash: &TxHash) {
        let Some(waiting) = self.by_hash.remove(hash).and_then(|at| self.queue.remove(&at)) else { return };
        self.bytes -= waiting.bytes.len();
        if let Some(count) = self.senders.get_mut(&waiting.sender) {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(&waiting.sender);
            }
        }
    }
}
