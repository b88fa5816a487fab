//! One peer: what it may cost, what is said to it and heard from it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use dodona_proto::tx::TxHash;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use super::{
    PING_EVERY, SILENCE, Shared,
    book::told_address,
    bucket::{Bucket, Rate},
    key::PeerId,
    line::{Hear, Heard, LineError, Speak},
    message::{MAX_ADDRESSES, MAX_HASHES, Message, TX_BYTES},
};

/// Strikes for what nobody does by mistake, and where it ends. One is forgotten every second.
pub(crate) const GARBAGE: f64 = 20.0;
pub(crate) const OUT: f64 = 100.0;
/// Hashes a peer is known to know.
const KNOWS: usize = 8_192;
/// Asked for by a peer and not yet written to it.
const OWED: usize = 4_096;
/// Byte requests to and of one peer at the same time; one after the other is answered.
const REQUESTS: usize = 8;
/// Time for a peer to read an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// A peer whose transactions find no room here is not asked for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// Announcements are gathered for so long.
const GATHER: Duration = Duration::from_millis(5);

/// A connected peer.
pub(crate) struct Link {
    pub id: PeerId,
    /// Number of this line; a later one to the same peer has another.
    pub number: u64,
    pub address: SocketAddr,
    pub called: bool,
    pub since: Instant,
    pub height: AtomicU64,
    pub told: Mutex<Told>,
    pub heard_bytes: AtomicU64,
    pub said_bytes: AtomicU64,
    quick: mpsc::Sender<Message>,
    slow: mpsc::Sender<Message>,
    wake: Notify,
    books: Mutex<Books>,
    serving: AtomicUsize,
    requests: Mutex<Requests>,
    end: watch::Sender<Option<&'static str>>,
}

/// What a peer says about itself.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub listen: Option<SocketAddr>,
    pub software: String,
}

/// What a peer has cost, and knows.
struct Books {
    strikes: f64,
    struck: Instant,
    messages: Bucket,
    bytes: Bucket,
    hashes: Bucket,
    refused: Bucket,
    broken: Bucket,
    peers: Bucket,
    asked_peers: bool,
    /// It is not asked for transactions before.
    paused: Instant,
    knows: BTreeSet<TxHash>,
    order: VecDeque<TxHash>,
    owed: VecDeque<TxHash>,
}

#[derive(Default)]
struct Requests {
    next: u32,
    open: BTreeMap<u32, oneshot::Sender<Option<Vec<u8>>>>,
}

/// Ends of the queues to a peer.
pub(crate) struct Outbox {
    quick: mpsc::Receiver<Message>,
    slow: mpsc::Receiver<Message>,
}

impl Link {
    pub(crate) fn new(
        shared: &Shared,
        id: PeerId,
        number: u64,
        address: SocketAddr,
        called: bool,
    ) -> (Self, Outbox) {
        let limits = &shared.limits;
        let (quick, quick_out) = mpsc::channel(256);
        let (slow, slow_out) = mpsc::channel(1);
        let rate = |per_second, at_once| Bucket::new(Rate { per_second, at_once });
        let books = Books {
            strikes: 0.0,
            struck: Instant::now(),
            messages: Bucket::new(limits.messages),
            bytes: Bucket::new(limits.bytes),
            hashes: Bucket::new(limits.announcements),
            refused: Bucket::new(limits.refused),
            broken: rate(20.0, 512.0),
            peers: rate(0.1, 2.0),
            asked_peers: false,
            paused: Instant::now(),
            knows: BTreeSet::new(),
            order: VecDeque::new(),
            owed: VecDeque::new(),
        };
        let link = Self {
            id,
            number,
            address,
            called,
            since: Instant::now(),
            height: AtomicU64::new(0),
            told: Mutex::default(),
            heard_bytes: AtomicU64::new(0),
            said_bytes: AtomicU64::new(0),
            quick,
            slow,
            wake: Notify::new(),
            books: Mutex::new(books),
            serving: AtomicUsize::new(0),
            requests: Mutex::default(),
            end: watch::channel(None).0,
        };
        (link, Outbox { quick: quick_out, slow: slow_out })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the line.
    pub(crate) fn close(&self, why: &'static str) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
    }

    async fn closed(&self) -> &'static str {
        let mut end = self.end.subscribe();
        let why = end.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        why.unwrap_or("closed")
    }

    pub(crate) fn strikes(&self) -> f64 {
        let books = self.books();
        (books.strikes - books.struck.elapsed().as_secs_f64()).max(0.0)
    }

    /// Counts misbehaviour. True if that was enough.
    pub(crate) fn strike(&self, strikes: f64, why: &'static str) -> bool {
        let mut books = self.books();
        let now = Instant::now();
        let passed = now.duration_since(books.struck).as_secs_f64();
        books.strikes = (books.strikes - passed).max(0.0) + strikes;
        books.struck = now;
        let out = books.strikes >= OUT;
        drop(books);
        tracing::debug!(peer = ?self.id, strikes, why, "strike");
        if out {
            self.close(why);
        }
        out
    }

    /// A transaction of this peer was refused: that happens to honest peers too, but not often. Where it may be for our
    /// own reasons (`lenient`), the peer is only asked for less.
    pub(crate) fn refused(&self, lenient: bool) {
        let mut books = self.books();
        if books.refused.take(1.0) {
            return;
        }
        if lenient {
            books.paused = Instant::now() + PAUSE;
            return;
        }
        drop(books);
        self.strike(1.0, "too many transactions that are refused");
    }

    /// What was refused had only come too early.
    pub(crate) fn forgiven(&self) {
        self.books().refused.give(1.0);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.books().paused > Instant::now()
    }

    /// It announced something and did not deliver.
    pub(crate) fn broke_word(&self, times: usize) -> bool {
        let fine = self.books().broken.take(times as f64);
        !fine && self.strike(times as f64, "announces what it does not have")
    }

    /// Says something if there is room in the queue: nobody waits for a slow peer.
    pub(crate) fn say(&self, message: Message) -> bool {
        self.quick.try_send(message).is_ok()
    }

    /// Asks for transactions.
    pub(crate) fn want(&self, mut hashes: Vec<TxHash>) {
        while !hashes.is_empty() {
            let rest = hashes.split_off(hashes.len().min(MAX_HASHES));
            self.say(Message::Want(hashes));
            hashes = rest;
        }
    }

    /// A byte request; the answer comes through the channel.
    pub(crate) fn ask(&self, kind: u8, key: Vec<u8>) -> Option<oneshot::Receiver<Option<Vec<u8>>>> {
        let (answer, answered) = oneshot::channel();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.open.len() >= REQUESTS {
            return None;
        }
        let number = requests.next;
        requests.next = requests.next.wrapping_add(1);
        if !self.say(Message::Ask { number, kind, key }) {
            return None;
        }
        requests.open.insert(number, answer);
        Some(answered)
    }

    fn asked_for_bytes(&self) -> bool {
        !self.requests.lock().unwrap_or_else(PoisonError::into_inner).open.is_empty()
    }
}

impl Books {
    fn learn(&mut self, hash: TxHash) {
        if self.knows.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > KNOWS
            && let Some(oldest) = self.order.pop_front()
        {
            self.knows.remove(&oldest);
        }
    }
}

/// Speaks and hears until the end, and says why it came.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    hear: Hear,
    speak: Speak,
    outbox: Outbox,
) -> String {
    let error = tokio::select! {
        why = link.closed() => return why.into(),
        Err(error) = hear_all(shared, link, hear) => error,
        Err(error) = say_all(shared, link, speak, outbox) => error,
    };
    // Nobody whose bytes are sealed rightly sends such things by mistake.
    if matches!(error, LineError::Message(_) | LineError::TooLong | LineError::Broken) {
        link.strike(OUT, "not this protocol");
    }
    error.to_string()
}

/// What a loop without an end gives.
enum Never {}

async fn hear_all(shared: &Arc<Shared>, link: &Arc<Link>, mut hear: Hear) -> Result<Never, LineError> {
    loop {
        let heard = timeout(SILENCE, hear.next()).await.map_err(|_| LineError::Slow)??;
        let (bytes, slow) = match &heard {
            Heard::Part { bytes, slow } => (*bytes, *slow),
            Heard::Message { message, bytes } => (*bytes, matches!(message, Message::Answer { .. })),
        };
        link.heard_bytes.fetch_add(bytes as u64, Relaxed);
        if slow {
            // Only ever an answer to a question, and questions are counted.
            if !link.asked_for_bytes() {
                link.strike(OUT, "answers that nobody asked for");
            }
        } else {
            // Small frames cost something too.
            let wait = link.books().bytes.owe(bytes.max(64) as f64);
            tokio::time::sleep(wait).await;
        }
        if let Heard::Message { message, .. } = heard {
            let wait = link.books().messages.owe(1.0);
            if !wait.is_zero() {
                link.strike(1.0, "too many messages");
                tokio::time::sleep(wait).await;
            }
            take(shared, link, message).await;
        }
    }
}

async fn take(shared: &Arc<Shared>, link: &Arc<Link>, message: Message) {
    match message {
        Message::Hello { .. } => drop(link.strike(GARBAGE, "a second hello")),
        Message::Ping { height } => link.height.store(height, Relaxed),
        Message::Have(hashes) => {
            let mut books = link.books();
            if !books.hashes.take(hashes.len() as f64) {
                drop(books);
                link.strike(2.0, "too many announcements");
                return;
            }
            hashes.iter().for_each(|hash| books.learn(*hash));
            drop(books);
            shared.announced(link, &hashes);
        }
        Message::Want(hashes) => {
            let mut books = link.books();
            let fits = books.owed.len() + hashes.len() <= OWED;
            if fits {
                books.owed.extend(hashes);
            }
            drop(books);
            if fits {
                link.wake.notify_one();
            } else {
                link.strike(5.0, "asks for more than it reads");
            }
        }
        Message::Txs(txs) => {
            shared.delivered(link, txs);
            // Nothing more is read from a peer whose transactions wait to be tried.
            while !shared.intake.has_room(link.number) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Message::Gone(hashes) => shared.gone(link, &hashes),
        Message::AskPeers => {
            if !link.books().peers.take(1.0) {
                link.strike(5.0, "asks for peers too often");
                return;
            }
            link.say(Message::Peers(shared.some_peers(link, MAX_ADDRESSES)));
        }
        Message::Peers(addresses) => {
            let asked = std::mem::take(&mut link.books().asked_peers);
            if !asked {
                link.strike(5.0, "addresses that nobody asked for");
                return;
            }
            for address in addresses.iter().filter_map(|text| told_address(text, link.address.ip())) {
                shared.told(address, link.id);
            }
        }
        Message::Ask { number, kind, key } => serve(shared, link, number, kind, key),
        Message::Answer { number, found } => {
            let answer = link.requests.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&number);
            match answer {
                // Whoever asked may have gone.
                Some(answer) => drop(answer.send(found)),
                None => drop(link.strike(GARBAGE, "an answer that nobody asked for")),
            }
        }
    }
}

/// Answers a byte request beside everything else.
fn serve(shared: &Arc<Shared>, link: &Arc<Link>, number: u32, kind: u8, key: Vec<u8>) {
    if link.serving.fetch_add(1, Relaxed) >= REQUESTS {
        link.serving.fetch_sub(1, Relaxed);
        link.strike(5.0, "too many requests at the same time");
        return;
    }
    let (shared, link) = (shared.clone(), link.clone());
    tokio::spawn(async move {
        let answer = async {
            // A place first: answers that a slow peer does not fetch shall not lie around.
            let place = link.slow.reserve().await.ok()?;
            let found = async {
                let _turn = shared.serving.acquire().await.ok()?;
                let service = shared.service(kind)?;
                let found = tokio::task::spawn_blocking(move || service.serve(&key)).await.ok()??;
                (found.len() <= shared.limits.answer_bytes).then_some(found)
            };
            place.send(Message::Answer { number, found: found.await });
            Some(())
        };
        tokio::select! {
            _ = answer => {}
            _ = link.closed() => {}
        }
        link.serving.fetch_sub(1, Relaxed);
    });
}

async fn say_all(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    mut speak: Speak,
    mut outbox: Outbox,
) -> Result<Never, LineError> {
    let stall = shared.limits.stall;
    let mut admissions = shared.mempool.admissions();
    let mut heads = shared.heads.clone();
    let mut heads_there = true;
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut addresses = tokio::time::interval(Duration::from_secs(30));
    // Next admission to announce; from the beginning, so that a new peer learns of all that waits.
    let mut from = 0;
    let mut gathering: Option<Instant> = Some(Instant::now());
    let mut long: Option<(Vec<u8>, usize, Instant)> = None;
    loop {
        // What is short and urgent comes first, a frame of a long answer last.
        while let Ok(message) = outbox.quick.try_recv() {
            let said = speak.say(&message, stall).await?;
            link.said_bytes.fetch_add(said as u64, Relaxed);
        }
        if let Some(messages) = owed(shared, link) {
            for message in messages {
                let said = speak.say(&message, stall).await?;
                link.said_bytes.fetch_add(said as u64, Relaxed);
            }
            continue;
        }
        if long.is_some() && gathering.is_none() && admissions.has_changed().unwrap_or(false) {
            gathering = Some(Instant::now());
        }
        if gathering.is_some_and(|due| due <= Instant::now()) {
            admissions.borrow_and_update();
            let (mut hashes, next) = shared.mempool.admitted_since(from, MAX_HASHES);
            let more = hashes.len() == MAX_HASHES;
            from = next;
            gathering = more.then(Instant::now);
            {
                let mut books = link.books();
                hashes.retain(|hash| !books.knows.contains(hash));
                hashes.iter().for_each(|hash| books.learn(*hash));
            }
            if !hashes.is_empty() {
                let said = speak.say(&Message::Have(hashes), stall).await?;
                link.said_bytes.fetch_add(said as u64, Relaxed);
            }
            continue;
        }
        if let Some((bytes, at, since)) = &mut long {
            if since.elapsed() > ANSWER {
                return Err(LineError::Slow);
            }
            let next = speak.say_part(bytes, *at, stall).await?;
            link.said_bytes.fetch_add((next - *at) as u64, Relaxed);
            *at = next;
            if next == bytes.len() {
                long = None;
            }
            continue;
        }
        let due = gathering;
        tokio::select! {
            Some(message) = outbox.quick.recv() => {
                let said = speak.say(&message, stall).await?;
                link.said_bytes.fetch_add(said as u64, Relaxed);
            }
            Some(message) = outbox.slow.recv() => long = Some((message.encode(), 0, Instant::now())),
            () = link.wake.notified() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            Ok(()) = admissions.changed(), if due.is_none() => gathering = Some(Instant::now() + GATHER),
            changed = heads.changed(), if heads_there => {
                heads_there = changed.is_ok();
                let height = heads.borrow_and_update().height;
                speak.say(&Message::Ping { height }, stall).await?;
            }
            _ = ping.tick() => {
                let height = shared.heads.borrow().height;
                speak.say(&Message::Ping { height }, stall).await?;
            }
            _ = addresses.tick() => {
                link.books().asked_peers = true;
                speak.say(&Message::AskPeers, stall).await?;
            }
        }
    }
}

/// The next transactions a peer has asked for, read from the pool only now: what waits for a slow peer is a list of hashes.
fn owed(shared: &Shared, link: &Link) -> Option<Vec<Message>> {
    let (mut txs, mut gone, mut bytes) = (Vec::new(), Vec::new(), 0);
    while bytes < TX_BYTES && txs.len() < MAX_HASHES && gone.len() < MAX_HASHES {
        let Some(hash) = link.books().owed.pop_front() else { break };
        match shared.mempool.get(&hash) {
            Some(tx) => {
                bytes += tx.len();
                txs.push(tx.to_vec());
            }
            None => gone.push(hash),
        }
    }
    let mut messages = Vec::new();
    if !txs.is_empty() {
        messages.push(Message::Txs(txs));
    }
    if !gone.is_empty() {
        messages.push(Message::Gone(gone));
    }
    (!messages.is_empty()).then_some(messages)
}
