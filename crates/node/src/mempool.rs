//! Transactions waiting for a block.
//!
//! ```text
//! bytes ─► known? ─► App::parse ─► room? ─► App::check on top of everything waiting ─► queue ─► proposer
//!                                               ▲                                       │
//!                                               └── after every block: the rest is checked again on the new state
//! ```
//! Two lanes: the daily work of topics, and everything else. Each is sure of half of the pool and half of every block;
//! what one does not use the other may have. Within a lane who offers more for a unit of gas comes first, then who came
//! first; a sender's transactions always keep the order of their sequence numbers. When there is no room the cheapest
//! leaves for a better offer, and the same sequence number may be used again for a tenth more.
//!
//! Two locks, so that nobody who only asks waits for a check: `inner` is held while transactions are tried, `shelf` for
//! moments. Whoever takes both takes `inner` first.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dodona_chain::{App, AppError, Checker, Failure, Params, Parsed, Refusal};
use dodona_proto::{Address, tx::TxHash};
use tokio::sync::watch;

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

/// A lane's part of the pool while the other is not full, percent.
const LANE_PERCENT: usize = 75;
/// What a replacement has to offer for a unit of gas, percent of what it replaces.
const REPLACE_PERCENT: u128 = 110;
/// Prices are kept in millionths of a uallo for a unit of gas.
const PRICE_UNIT: u128 = 1_000_000;
/// Most transactions that leave to make room for one.
const MAX_EVICTED: usize = 16;
/// Reasons remembered.
const REASONS: usize = 4_096;
/// Hashes of committed transactions remembered.
const DONE: usize = 65_536;
/// A transaction the proposer keeps leaving out is behind all others for at most two to this power of blocks.
const MAX_LATE: u32 = 6;
/// Trials after which such a transaction is given up.
const TRIALS: u32 = 10;

/// The pool. Clones share it.
#[derive(Clone)]
pub struct Mempool {
    app: App,
    limits: Limits,
    inner: Arc<Mutex<Inner>>,
    /// How many who decide blocks wait for `inner`: those who only bring transactions let them go first.
    hurried: Arc<AtomicUsize>,
    shelf: Arc<Mutex<Shelf>>,
    /// Number of the next admission.
    admissions: Arc<watch::Sender<u64>>,
}

/// What became of a transaction handed in by somebody who does not wait for an answer.
#[derive(Debug)]
pub enum Offered {
    /// It waits now.
    Taken {
        /// Who sent it.
        sender: Address,
    },
    /// It waits already, or is in a block.
    Known,
    /// No state could ever make it valid: whoever hands it on has not looked at it.
    Garbage(Refusal),
    /// Not on this state, or there is no room.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Who sent it, and its place among the sender's; none if it could not be taken apart.
        sent: Option<(Address, u64)>,
    },
    /// The disk is broken.
    Halt,
}

/// Where a transaction waits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Work = 0,
    Other = 1,
}

impl Lane {
    fn of(parsed: &Parsed) -> Self {
        if parsed.is_work() { Self::Work } else { Self::Other }
    }

    fn other(self) -> Self {
        match self {
            Self::Work => Self::Other,
            Self::Other => Self::Work,
        }
    }
}

/// Count and bytes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Fill {
    txs: usize,
    bytes: usize,
}

/// Behind the slow lock: what is tried, and in which order it waits.
struct Inner {
    checker: Checker,
    queue: Queue,
    /// Senders of whom something was evicted since the last block: the checker still counts it.
    disturbed: BTreeSet<Address>,
    next: u64,
}

/// By lane: price and place.
type Ends = [BTreeSet<(u128, Reverse<u64>)>; 2];

/// The order of what waits. Knows nothing of the chain.
#[derive(Default)]
struct Queue {
    /// Place → transaction. Places are given in the order in which transactions were tried.
    all: BTreeMap<u64, Waiting>,
    places: BTreeMap<TxHash, u64>,
    /// Sender → sequence number → place.
    senders: BTreeMap<Address, BTreeMap<u64, u64>>,
    lanes: [Fill; 2],
    /// The last of each sender, cheapest first, by the lane it waits in: who may leave.
    ends: Ends,
}

struct Waiting {
    hash: TxHash,
    sender: Address,
    sequence: u64,
    lane: Lane,
    gas: u64,
    price: u128,
    bytes: Arc<[u8]>,
    /// Behind all others for blocks below this height, because a proposer could not use it.
    late_until: u64,
    left_out: u32,
}

/// Behind the quick lock: what can be asked.
struct Shelf {
    params: Arc<Params>,
    /// Height of the block that is next.
    height: u64,
    waiting: BTreeMap<TxHash, Shelved>,
    /// Admission number → transaction.
    log: BTreeMap<u64, TxHash>,
    next: u64,
    bytes: usize,
    done: Recent,
    refused: Refused,
}

struct Shelved {
    bytes: Arc<[u8]>,
    admission: u64,
}

/// Hashes, the oldest of which is forgotten.
#[derive(Default)]
struct Recent {
    set: BTreeSet<TxHash>,
    order: VecDeque<TxHash>,
}

/// Why transactions were refused, or had to leave again, for those who ask later. Bounded: the oldest is forgotten.
#[derive(Default)]
struct Refused {
    why: BTreeMap<TxHash, Why>,
    order: VecDeque<TxHash>,
}

struct Why {
    refusal: Refusal,
    /// Height of the block for which it was tried; none if no state makes a difference.
    height: Option<u64>,
}

impl Mempool {
    /// An empty pool on the application's last committed state.
    pub fn new(app: App, limits: Limits) -> Result<Self, AppError> {
        let checker = app.checker()?;
        let shelf = Shelf {
            params: Arc::new(checker.params().clone()),
            height: checker.height(),
            waiting: BTreeMap::new(),
            log: BTreeMap::new(),
            next: 0,
            bytes: 0,
            done: Recent::default(),
            refused: Refused::default(),
        };
        let inner = Inner { checker, queue: Queue::default(), disturbed: BTreeSet::new(), next: 0 };
        Ok(Self {
            app,
            limits,
            inner: Arc::new(Mutex::new(inner)),
            hurried: Arc::default(),
            shelf: Arc::new(Mutex::new(shelf)),
            admissions: Arc::new(watch::channel(0).0),
        })
    }

    /// Takes a transaction in, or says why not. One that is already waiting is answered like the first time.
    pub fn add(&self, bytes: &[u8]) -> Result<TxHash, Failure> {
        let hash = dodona_proto::tx::hash(bytes);
        let params = {
            let shelf = lock(&self.shelf);
            if shelf.waiting.contains_key(&hash) {
                return Ok(hash);
            }
            shelf.params.clone()
        };
        // Taking it apart needs no state, so nobody waits for it.
        let taken = self.app.parse(&params, bytes).and_then(|parsed| self.take(&parsed, bytes));
        if let Err(Failure::Refused(refusal)) = &taken {
            let mut shelf = lock(&self.shelf);
            let height = Some(shelf.height);
            shelf.refused.remember(hash, refusal.clone(), height);
        }
        taken.map(|()| hash)
    }

    /// [`Mempool::add`] for transactions of other nodes.
    pub fn offer(&self, bytes: &[u8]) -> Offered {
        let hash = dodona_proto::tx::hash(bytes);
        let params = {
            let shelf = lock(&self.shelf);
            if shelf.waiting.contains_key(&hash) || shelf.done.set.contains(&hash) {
                return Offered::Known;
            }
            shelf.params.clone()
        };
        let parsed = match self.app.parse(&params, bytes) {
            Ok(parsed) => parsed,
            Err(Failure::Halt(_)) => return Offered::Halt,
            Err(Failure::Refused(refusal)) => {
                // What does not decode never will; bounds, known messages and ways to sign may differ between versions.
                let garbage = matches!((refusal.codespace, refusal.code), ("sdk", 2));
                let mut shelf = lock(&self.shelf);
                let height = if garbage { None } else { Some(shelf.height) };
                shelf.refused.remember(hash, refusal.clone(), height);
                return if garbage {
                    Offered::Garbage(refusal)
                } else {
                    Offered::Refused { refusal, sent: None }
                };
            }
        };
        let (sender, sequence) = (parsed.signer, parsed.sequence);
        match self.take(&parsed, bytes) {
            Ok(()) => Offered::Taken { sender },
            Err(Failure::Halt(_)) => Offered::Halt,
            Err(Failure::Refused(refusal)) => {
                let mut shelf = lock(&self.shelf);
                let height = Some(shelf.height);
                shelf.refused.remember(hash, refusal.clone(), height);
                Offered::Refused { refusal, sent: Some((sender, sequence)) }
            }
        }
    }

    /// The slow lock for what must not wait behind a crowd; the lock itself knows no order.
    fn hurry(&self) -> MutexGuard<'_, Inner> {
        self.hurried.fetch_add(1, Ordering::Relaxed);
        let inner = lock(&self.inner);
        self.hurried.fetch_sub(1, Ordering::Relaxed);
        inner
    }

    fn take(&self, parsed: &Parsed, bytes: &[u8]) -> Result<(), Failure> {
        while self.hurried.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        if inner.queue.places.contains_key(&parsed.hash) {
            return Ok(());
        }
        let waiting = Waiting {
            hash: parsed.hash,
            sender: parsed.signer,
            sequence: parsed.sequence,
            lane: Lane::of(parsed),
            gas: parsed.gas_limit,
            price: parsed.fee.saturating_mul(PRICE_UNIT) / u128::from(parsed.gas_limit.max(1)),
            bytes: bytes.into(),
            late_until: 0,
            left_out: 0,
        };
        if inner.disturbed.contains(&waiting.sender) {
            let log = "mempool is full: a transaction of this sender had to make room; try again after the next block";
            return Err(full(log.into()));
        }
        let own = inner.queue.senders.get(&waiting.sender);
        let same =
            own.and_then(|own| own.get(&waiting.sequence)).and_then(|place| inner.queue.all.get(place));
        if let Some(old) = same {
            let old = (old.hash, old.price, old.bytes.len());
            return self.replace(inner, old, waiting, parsed);
        }
        let count = own.map_or(0, BTreeMap::len);
        if count >= self.limits.per_sender {
            return Err(full(format!("mempool is full: {count} transactions of this sender wait already")));
        }
        let leaving = inner.queue.room(&self.limits, &waiting).ok_or_else(|| inner.queue.no_room())?;
        self.app.check_parsed(&mut inner.checker, parsed)?;
        for place in leaving {
            if let Some(evicted) = inner.queue.remove(place) {
                inner.disturbed.insert(evicted.sender);
                let mut shelf = lock(&self.shelf);
                let height = Some(shelf.height);
                shelf.remove(&evicted.hash);
                let log =
                    "mempool is full: it had to make room for a better offer; offer more for gas".into();
                shelf.refused.remember(evicted.hash, Refusal { codespace: "sdk", code: 20, log }, height);
            }
        }
        self.shelve(&waiting);
        let place = inner.next;
        inner.next += 1;
        inner.queue.insert(place, waiting);
        Ok(())
    }

    /// Puts a better offer in the place of what waits with the same sequence number.
    fn replace(
        &self,
        inner: &mut Inner,
        (old_hash, old_price, old_bytes): (TxHash, u128, usize),
        mut new: Waiting,
        parsed: &Parsed,
    ) -> Result<(), Failure> {
        let least = old_price.saturating_mul(REPLACE_PERCENT).div_ceil(100).max(old_price.saturating_add(1));
        if new.price < least {
            let log = format!(
                "another transaction with sequence {} waits: a replacement has to offer at least {} millionths of a uallo \
                 for a unit of gas, this one offers {}: insufficient fee",
                new.sequence, least, new.price
            );
            return Err(Failure::Refused(Refusal { codespace: "sdk", code: 13, log }));
        }
        let total = inner.queue.lanes[0].bytes + inner.queue.lanes[1].bytes - old_bytes + new.bytes.len();
        if total > self.limits.bytes {
            return Err(inner.queue.no_room());
        }
        // On the committed state with only this sender's others: what the old one did cannot be taken out of the
        // checker in the middle. The next block does that; until then the checker counts the old one.
        let mut trial = self.app.checker().map_err(halt)?;
        for (sequence, place) in inner.queue.senders.get(&new.sender).into_iter().flatten() {
            if *sequence == new.sequence {
                self.app.check_parsed(&mut trial, parsed)?;
            } else if let Some(other) = inner.queue.all.get(place) {
                self.app.check(&mut trial, &other.bytes)?;
            }
        }
        let Some(place) = inner.queue.places.get(&old_hash).copied() else {
            return Err(inner.queue.no_room());
        };
        inner.queue.remove(place);
        {
            let mut shelf = lock(&self.shelf);
            let height = Some(shelf.height);
            shelf.remove(&old_hash);
            let log = "replaced by a better offer of its sender".into();
            shelf.refused.remember(old_hash, Refusal { codespace: "sdk", code: 20, log }, height);
        }
        self.shelve(&new);
        new.late_until = 0;
        inner.queue.insert(place, new);
        Ok(())
    }

    fn shelve(&self, waiting: &Waiting) {
        let mut shelf = lock(&self.shelf);
        shelf.push(waiting.hash, waiting.bytes.clone());
        let next = shelf.next;
        drop(shelf);
        self.admissions.send_replace(next);
    }

    /// Transactions for a block of so many bytes and transactions and of the chain's gas. Half of all three is kept for
    /// each lane, or less if less waits in it; who offers more for a unit of gas comes first, then who came first. A
    /// sender's transactions keep their order; behind one that does not fit, its sender's others wait too.
    pub fn candidates(&self, max_bytes: usize, max_txs: usize) -> Vec<Vec<u8>> {
        let inner = self.hurry();
        let height = inner.checker.height();
        let whole = Room { bytes: max_bytes, txs: max_txs, gas: inner.checker.block_gas() };
        let chosen = inner.queue.choose(whole, height);
        inner.queue.in_order(&chosen, height)
    }

    /// What a proposer could not use although it was a candidate: it stays behind all others for some blocks, longer each
    /// time, so that what depends on something that never comes does not fill every trial.
    pub fn left_out(&self, hashes: impl Iterator<Item = TxHash>) {
        let mut inner = self.hurry();
        let inner = &mut *inner;
        let height = inner.checker.height();
        for hash in hashes {
            let Some(place) = inner.queue.places.get(&hash).copied() else { continue };
            let Some(waiting) = inner.queue.all.get_mut(&place) else { continue };
            waiting.left_out += 1;
            waiting.late_until = height + (1 << waiting.left_out.min(MAX_LATE));
            if waiting.left_out < TRIALS {
                continue;
            }
            inner.disturbed.extend(inner.queue.remove(place).map(|waiting| waiting.sender));
            let mut shelf = lock(&self.shelf);
            shelf.remove(&hash);
            let log = format!(
                "{TRIALS} proposers tried it and it failed each time; send it again when it can succeed"
            );
            shelf.refused.remember(hash, Refusal { codespace: "sdk", code: 18, log }, Some(height));
        }
    }

    /// After a block: its transactions are done; what is left must still be possible.
    pub fn committed(&self, hashes: impl Iterator<Item = TxHash>) -> Result<(), Failure> {
        let mut inner = self.hurry();
        let mut done = Vec::new();
        for hash in hashes {
            if let Some(place) = inner.queue.places.get(&hash).copied() {
                inner.queue.remove(place);
            }
            done.push(hash);
        }
        let gone = self.recheck(&mut inner)?;
        let mut shelf = lock(&self.shelf);
        let height = shelf.height;
        shelf.params = Arc::new(inner.checker.params().clone());
        shelf.height = inner.checker.height();
        for hash in done {
            shelf.remove(&hash);
            shelf.refused.forget(&hash);
            shelf.done.insert(hash);
        }
        for (hash, refusal) in gone {
            shelf.remove(&hash);
            shelf.refused.remember(hash, refusal, Some(height));
        }
        Ok(())
    }

    /// Whether this transaction waits.
    pub fn contains(&self, hash: &TxHash) -> bool {
        lock(&self.shelf).waiting.contains_key(hash)
    }

    /// Why a transaction was refused, or no longer waits although it is in no block.
    pub fn refusal(&self, hash: &TxHash) -> Option<Refusal> {
        lock(&self.shelf).refused.why.get(hash).map(|why| why.refusal.clone())
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        lock(&self.shelf).waiting.len()
    }

    /// Bytes of all that waits.
    pub fn bytes(&self) -> usize {
        lock(&self.shelf).bytes
    }

    /// Whether it is nearly full, so that refusals say little about who sends.
    pub fn is_busy(&self) -> bool {
        let shelf = lock(&self.shelf);
        shelf.waiting.len() * 5 >= self.limits.txs * 4 || shelf.bytes / 4 * 5 >= self.limits.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A waiting transaction.
    pub fn get(&self, hash: &TxHash) -> Option<Arc<[u8]>> {
        lock(&self.shelf).waiting.get(hash).map(|shelved| shelved.bytes.clone())
    }

    /// Number of the next admission; changes with every one.
    pub fn admissions(&self) -> watch::Receiver<u64> {
        self.admissions.subscribe()
    }

    /// What was admitted from number `from` on and still waits, oldest first, at most `max`, and where to go on.
    pub fn admitted_since(&self, from: u64, max: usize) -> (Vec<TxHash>, u64) {
        let shelf = lock(&self.shelf);
        let mut next = shelf.next;
        let mut found = Vec::new();
        for (number, hash) in shelf.log.range(from..) {
            if found.len() == max {
                next = *number;
                break;
            }
            found.push(*hash);
        }
        (found, next)
    }

    /// Of these, the ones worth asking for: neither waiting nor in a recent block, nor refused already on this state.
    pub fn unknown_of(&self, hashes: &[TxHash]) -> Vec<TxHash> {
        let shelf = lock(&self.shelf);
        let refused = |hash: &TxHash| {
            let why = shelf.refused.why.get(hash);
            why.is_some_and(|why| why.height.is_none_or(|height| height == shelf.height))
        };
        let unknown = |hash: &&TxHash| {
            !shelf.waiting.contains_key(*hash) && !shelf.done.set.contains(*hash) && !refused(hash)
        };
        hashes.iter().filter(unknown).copied().collect()
    }

    /// Tries all that waits again, in the order of places, and gives what is no longer possible.
    fn recheck(&self, inner: &mut Inner) -> Result<Vec<(TxHash, Refusal)>, Failure> {
        inner.checker = self.app.checker().map_err(halt)?;
        inner.disturbed.clear();
        let mut gone = Vec::new();
        for (place, waiting) in &inner.queue.all {
            match self.app.check(&mut inner.checker, &waiting.bytes) {
                Ok(_) => {}
                Err(Failure::Refused(refusal)) => {
                    tracing::debug!(hash = hex::encode(waiting.hash), %refusal, "no longer possible");
                    gone.push((*place, waiting.hash, refusal));
                }
                Err(halt) => return Err(halt),
            }
        }
        let mut refused = Vec::with_capacity(gone.len());
        for (place, hash, refusal) in gone {
            inner.queue.remove(place);
            refused.push((hash, refusal));
        }
        Ok(refused)
    }
}

fn halt(error: AppError) -> Failure {
    match error {
        AppError::Store(error) => Failure::Halt(error),
        other => Failure::Refused(Refusal { codespace: "sdk", code: 1, log: other.to_string() }),
    }
}

fn full(log: String) -> Failure {
    Failure::Refused(Refusal { codespace: "sdk", code: 20, log })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one; if something did, the queue is still a queue.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recent {
    fn insert(&mut self, hash: TxHash) {
        if self.set.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > DONE
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

impl Refused {
    fn remember(&mut self, hash: TxHash, refusal: Refusal, height: Option<u64>) {
        if self.why.insert(hash, Why { refusal, height }).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > REASONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.why.remove(&oldest);
        }
    }

    fn forget(&mut self, hash: &TxHash) {
        if self.why.remove(hash).is_some() {
            self.order.retain(|other| other != hash);
        }
    }
}

impl Shelf {
    fn push(&mut self, hash: TxHash, bytes: Arc<[u8]>) {
        // Handed in again, it waits like any other.
        self.refused.forget(&hash);
        let admission = self.next;
        self.next += 1;
        self.bytes += bytes.len();
        self.log.insert(admission, hash);
        self.waiting.insert(hash, Shelved { bytes, admission });
    }

    fn remove(&mut self, hash: &TxHash) {
        let Some(shelved) = self.waiting.remove(hash) else { return };
        self.bytes -= shelved.bytes.len();
        self.log.remove(&shelved.admission);
    }
}

/// Room of a block.
#[derive(Copy, Clone)]
struct Room {
    bytes: usize,
    txs: usize,
    gas: u64,
}

impl Room {
    fn has(&self, waiting: &Waiting) -> bool {
        self.txs > 0 && waiting.bytes.len() <= self.bytes && waiting.gas <= self.gas
    }

    fn less(&mut self, used: Self) {
        self.txs = self.txs.saturating_sub(used.txs);
        self.bytes = self.bytes.saturating_sub(used.bytes);
        self.gas = self.gas.saturating_sub(used.gas);
    }

    fn at_most(self, most: Self) -> Self {
        Self { bytes: self.bytes.min(most.bytes), txs: self.txs.min(most.txs), gas: self.gas.min(most.gas) }
    }

    fn half(self) -> Self {
        Self { bytes: self.bytes / 2, txs: self.txs / 2, gas: self.gas / 2 }
    }
}

/// How a sender's next transaction stands among all others; the greatest is first.
type Rank = (bool, u128, Reverse<u64>, Address);

impl Queue {
    /// A sender's transaction number `index`, as it waits.
    fn nth(&self, sender: &Address, index: usize) -> Option<(u64, &Waiting)> {
        let place = *self.senders.get(sender)?.values().nth(index)?;
        Some((place, self.all.get(&place)?))
    }

    fn rank(&self, sender: &Address, index: usize, height: u64) -> Option<Rank> {
        let (place, waiting) = self.nth(sender, index)?;
        let in_time = waiting.late_until <= height;
        Some((in_time, waiting.price, Reverse(place), *sender))
    }

    /// How many of each sender go into a block of this room.
    fn choose(&self, mut whole: Room, height: u64) -> BTreeMap<Address, usize> {
        // What is kept free for each lane: its half, or all that waits in it if that is less.
        let mut kept = [Lane::Work, Lane::Other].map(|lane| whole.half().at_most(self.demand(lane)));
        let mut taken: BTreeMap<Address, usize> = BTreeMap::new();
        let index =
            |taken: &BTreeMap<Address, usize>, sender: &Address| taken.get(sender).copied().unwrap_or(0);
        // The second time whoever is next has what nobody could use.
        for keeping in [true, false] {
            let first = |sender| self.rank(sender, index(&taken, sender), height);
            let mut next: BinaryHeap<Rank> = self.senders.keys().filter_map(first).collect();
            while let Some((.., sender)) = next.pop() {
                if whole.txs == 0 || whole.bytes == 0 || whole.gas == 0 {
                    break;
                }
                let at = index(&taken, &sender);
                let Some((_, waiting)) = self.nth(&sender, at) else { continue };
                let mut room = whole;
                if keeping {
                    room.less(kept[waiting.lane.other() as usize]);
                }
                if !room.has(waiting) {
                    continue;
                }
                let used = Room { bytes: waiting.bytes.len(), txs: 1, gas: waiting.gas };
                whole.less(used);
                kept[waiting.lane as usize].less(used);
                taken.insert(sender, at + 1);
                next.extend(self.rank(&sender, at + 1, height));
            }
        }
        taken
    }

    /// Everything that waits in a lane.
    fn demand(&self, lane: Lane) -> Room {
        let Fill { txs, bytes } = self.lanes[lane as usize];
        let waiting = self.all.values().filter(|waiting| waiting.lane == lane);
        Room { bytes, txs, gas: waiting.fold(0, |sum, waiting| sum.saturating_add(waiting.gas)) }
    }

    /// The chosen ones, best offer first.
    fn in_order(&self, chosen: &BTreeMap<Address, usize>, height: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::with_capacity(chosen.values().sum());
        let mut taken: BTreeMap<Address, usize> = BTreeMap::new();
        let mut next: BinaryHeap<Rank> =
            chosen.keys().filter_map(|sender| self.rank(sender, 0, height)).collect();
        while let Some((.., sender)) = next.pop() {
            let at = taken.entry(sender).or_default();
            if let Some((_, waiting)) = self.nth(&sender, *at) {
                out.push(waiting.bytes.to_vec());
            }
            *at += 1;
            if chosen.get(&sender).is_some_and(|most| *at < *most) {
                next.extend(self.rank(&sender, *at, height));
            }
        }
        out
    }

    /// Whom to send away so that this one has room: places, cheapest first. None if it must stay out.
    fn room(&self, limits: &Limits, new: &Waiting) -> Option<Vec<u64>> {
        let (own, other) = (self.lanes[new.lane as usize], self.lanes[new.lane.other() as usize]);
        let after = Fill { txs: own.txs + 1, bytes: own.bytes + new.bytes.len() };
        let lane = Fill { txs: part(limits.txs, LANE_PERCENT), bytes: part(limits.bytes, LANE_PERCENT) };
        let half = Fill { txs: part(limits.txs, 50), bytes: part(limits.bytes, 50) };
        let over = |fill: Fill, most: Fill| Fill {
            txs: fill.txs.saturating_sub(most.txs),
            bytes: fill.bytes.saturating_sub(most.bytes),
        };
        let total = Fill { txs: after.txs + other.txs, bytes: after.bytes + other.bytes };
        let too_many = over(total, Fill { txs: limits.txs, bytes: limits.bytes });
        let too_many_here = over(after, lane);
        // Beyond its half a lane only borrows: it has to give back, whatever the offers are.
        let beyond = over(after, half);
        let own_pays = too_many_here != Fill::default()
            || too_many.txs > 0 && beyond.txs > 0
            || too_many.bytes > 0 && beyond.bytes > 0;
        let excess =
            Fill { txs: too_many.txs.max(too_many_here.txs), bytes: too_many.bytes.max(too_many_here.bytes) };
        if excess == Fill::default() {
            return Some(Vec::new());
        }
        let from = if own_pays { new.lane } else { new.lane.other() };
        let (mut leaving, mut freed) = (Vec::new(), Fill::default());
        for (price, Reverse(place)) in &self.ends[from as usize] {
            if own_pays && *price >= new.price || leaving.len() == MAX_EVICTED {
                return None;
            }
            let Some(waiting) = self.all.get(place).filter(|w| w.sender != new.sender) else { continue };
            leaving.push(*place);
            freed.txs += 1;
            freed.bytes += waiting.bytes.len();
            if freed.txs >= excess.txs && freed.bytes >= excess.bytes {
                return Some(leaving);
            }
        }
        None
    }

    fn no_room(&self) -> Failure {
        let bytes = self.lanes[0].bytes + self.lanes[1].bytes;
        full(format!(
            "mempool is full: {} transactions wait, {bytes} bytes; try again after the next block, or offer more for gas",
            self.all.len()
        ))
    }

    fn insert(&mut self, place: u64, waiting: Waiting) {
        self.unlist_end(&waiting.sender);
        let (sender, lane) = (waiting.sender, &mut self.lanes[waiting.lane as usize]);
        lane.txs += 1;
        lane.bytes += waiting.bytes.len();
        self.places.insert(waiting.hash, place);
        self.senders.entry(sender).or_default().insert(waiting.sequence, place);
        self.all.insert(place, waiting);
        self.list_end(&sender);
    }

    fn remove(&mut self, place: u64) -> Option<Waiting> {
        let sender = self.all.get(&place)?.sender;
        self.unlist_end(&sender);
        let waiting = self.all.remove(&place)?;
        let lane = &mut self.lanes[waiting.lane as usize];
        lane.txs -= 1;
        lane.bytes -= waiting.bytes.len();
        self.places.remove(&waiting.hash);
        if let Some(own) = self.senders.get_mut(&sender) {
            own.remove(&waiting.sequence);
            if own.is_empty() {
                self.senders.remove(&sender);
            }
        }
        self.list_end(&sender);
        Some(waiting)
    }

    fn end_of(&self, sender: &Address) -> Option<(Lane, (u128, Reverse<u64>))> {
        let (_, place) = self.senders.get(sender)?.last_key_value()?;
        let waiting = self.all.get(place)?;
        Some((waiting.lane, (waiting.price, Reverse(*place))))
    }

    fn unlist_end(&mut self, sender: &Address) {
        if let Some((lane, end)) = self.end_of(sender) {
            self.ends[lane as usize].remove(&end);
        }
    }

    fn list_end(&mut self, sender: &Address) {
        if let Some((lane, end)) = self.end_of(sender) {
            self.ends[lane as usize].insert(end);
        }
    }
}

/// So many percent, rounded up.
fn part(of: usize, percent: usize) -> usize {
    of / 100 * percent + (of % 100 * percent).div_ceil(100)
}

#[cfg(test)]
#[path = "mempool_laws.rs"]
mod laws;
