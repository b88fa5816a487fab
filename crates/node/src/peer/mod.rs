//! The nodes' own protocol: transactions reach every node, nodes find each other, and other parts of the node can offer
//! and fetch bytes (such as pieces of snapshots). Independent of the engine's network, which carries votes and blocks.
//! Why it is built like this: docs/decisions/0008.
//!
//! ```text
//! mempool ─admitted─► say_all ─ Have ─►│ peer │─ Have ─► hear_all ─► wants ─ Want ─►│ peer │─ Txs ─► intake ─► mempool
//! ```

mod book;
mod bucket;
mod intake;
mod key;
pub mod line;
mod link;
pub mod message;
mod wants;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use dodona_chain::Genesis;
use dodona_proto::tx::TxHash;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

pub use bucket::Rate;
pub use key::{BadPeerAddress, PeerAddress, PeerId, PeerKey};

use crate::{Head, Mempool};
use book::Book;
use bucket::Bucket;
use intake::{Intake, Judged};
use line::{ChainTag, Line, LineError};
use link::{GARBAGE, Link};
use message::Message;
use wants::{Questions, Wants};

/// The port nodes use if nobody says otherwise.
pub const DEFAULT_PORT: u16 = 26_655;
/// How often a node says that it is there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Silence after which a peer counts as gone.
const SILENCE: Duration = Duration::from_secs(20);
/// Time for a connection and for its handshake.
const GREETING: Duration = Duration::from_secs(5);
/// Most handshakes at the same time with strangers, and of one address.
const GREETINGS: usize = 64;
/// Heights a peer may be ahead of us before its transactions make no sense here yet.
const AHEAD: u64 = 2;
/// Bans remembered.
const BANS: usize = 4_096;

/// What peers may cost.
#[derive(Clone, Debug)]
pub struct PeerLimits {
    /// Most peers; those the operator named always find a place.
    pub peers: usize,
    /// Peers that are called besides those the operator named.
    pub called: usize,
    /// Connections of one IP address.
    pub per_address: usize,
    /// New connections of one IP address.
    pub connections: Rate,
    /// Messages of one peer.
    pub messages: Rate,
    /// Bytes of one peer, answers to byte requests not counted.
    pub bytes: Rate,
    /// Transactions announced by one peer.
    pub announcements: Rate,
    /// Transactions of one peer that are refused on this node's state.
    pub refused: Rate,
    /// Longest answer to a byte request, given or taken.
    pub answer_bytes: usize,
    /// Longest time for one frame (16 KiB) before a slow reader is cut off.
    pub stall: Duration,
    /// How long a peer that misbehaved is not let in.
    pub ban: Duration,
    /// Longest pause between calls to a peer the operator named.
    pub longest_pause: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        let rate = |per_second, at_once| Rate { per_second, at_once };
        Self {
            peers: 32,
            called: 8,
            per_address: 32,
            connections: rate(4.0, 64.0),
            messages: rate(2_000.0, 8_000.0),
            bytes: rate(8e6, 16e6),
            announcements: rate(8_000.0, 40_000.0),
            refused: rate(20.0, 512.0),
            answer_bytes: 4 << 20,
            stall: Duration::from_secs(10),
            ban: Duration::from_secs(300),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// How a node takes part.
#[derive(Clone)]
pub struct PeerConfig {
    /// Who it is.
    pub key: PeerKey,
    /// Where it takes connections, if it does.
    pub listen: Option<SocketAddr>,
    /// Peers to stay connected with: `HOST:PORT` or `ID@HOST:PORT`.
    pub persistent: Vec<String>,
    /// What peers may cost.
    pub limits: PeerLimits,
}

impl PeerConfig {
    /// Usual limits.
    pub fn new(key: PeerKey, listen: Option<SocketAddr>, persistent: Vec<String>) -> Self {
        Self { key, listen, persistent, limits: PeerLimits::default() }
    }
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// An address in the configuration.
    #[error(transparent)]
    Address(#[from] BadPeerAddress),
    /// The port is taken, or not ours.
    #[error("cannot listen for peers on {0}: {1}; choose another port")]
    Listen(SocketAddr, io::Error),
    /// No thread.
    #[error("cannot start the peers' thread: {0}")]
    Thread(io::Error),
}

/// Serves byte requests of one kind. Called on a thread where waiting for the disk is fine.
pub trait ByteService: Send + Sync {
    /// The bytes under a key, at most [`PeerLimits::answer_bytes`]; none if there is no such thing.
    fn serve(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// Why a byte request has no answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No line to this peer.
    #[error("not connected with this peer")]
    NotConnected,
    /// Too many questions to it under way already.
    #[error("too many requests to this peer at the same time")]
    Busy,
    /// It has no such thing.
    #[error("the peer has no such thing")]
    NotFound,
    /// It does not answer.
    #[error("the peer did not answer in time")]
    Late,
    /// Keys have bounds.
    #[error("a key has at most {} bytes", message::MAX_KEY)]
    LongKey,
}

/// A connected peer, for people and programs.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who it is.
    pub id: PeerId,
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Where it takes connections, if it does.
    pub listen: Option<SocketAddr>,
    /// Whether we called it.
    pub called: bool,
    /// The last height it told.
    pub height: u64,
    /// Program and version, as it says.
    pub software: String,
    /// Since when.
    pub connected: Duration,
    /// Bytes heard from it and said to it.
    pub bytes: (u64, u64),
    /// How much it misbehaved lately; at 100 it is cut off.
    pub strikes: f64,
}

/// What all tasks of a node's peers share.
pub(crate) struct Shared {
    key: PeerKey,
    id: PeerId,
    chain: ChainTag,
    limits: PeerLimits,
    mempool: Mempool,
    heads: watch::Receiver<Head>,
    intake: Intake,
    wants: Mutex<Wants>,
    state: Mutex<State>,
    services: RwLock<BTreeMap<u8, Arc<dyn ByteService>>>,
    serving: Semaphore,
    greetings: AtomicUsize,
    next_link: AtomicU64,
    port: u16,
}

struct State {
    book: Book,
    links: BTreeMap<PeerId, Arc<Link>>,
    numbers: BTreeMap<u64, Arc<Link>>,
    banned: BTreeMap<PeerId, Instant>,
    addresses: BTreeMap<IpAddr, Visits>,
}

/// Connections of one IP address.
struct Visits {
    open: usize,
    rate: Bucket,
}

/// A node's peers. Clones are the same; the last one ends everything.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Option<(JoinHandle<()>, std::thread::JoinHandle<()>)>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.shared.intake.stop();
    }
}

impl Peers {
    /// Starts to listen and to call. Only nodes with the same genesis document can be peers; `heads` tells this node's
    /// height.
    pub async fn start(
        config: PeerConfig,
        genesis: &Genesis,
        mempool: Mempool,
        heads: watch::Receiver<Head>,
    ) -> Result<Self, PeerError> {
        let persistent =
            config.persistent.iter().map(|text| text.parse()).collect::<Result<Vec<PeerAddress>, _>>()?;
        let listener = match config.listen {
            None => None,
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|error| PeerError::Listen(address, error))?)
            }
        };
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let state = State {
            book: Book::new(&persistent, config.limits.longest_pause),
            links: BTreeMap::new(),
            numbers: BTreeMap::new(),
            banned: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            id: config.key.id(),
            key: config.key,
            chain: ChainTag::of(genesis),
            limits: config.limits,
            mempool,
            heads,
            intake: Intake::new(),
            wants: Mutex::default(),
            state: Mutex::new(state),
            services: RwLock::default(),
            serving: Semaphore::new(4),
            greetings: AtomicUsize::new(0),
            next_link: AtomicU64::new(0),
            port: address.map_or(0, |address| address.port()),
        });
        let (stop, stopped) = watch::channel(false);
        let trying = {
            let shared = shared.clone();
            let try_all = move || {
                let told = |peer, judged| shared.judged(peer, judged);
                shared.intake.run(&shared.mempool, told);
            };
            let thread = std::thread::Builder::new().name("peer-intake".into());
            thread.spawn(try_all).map_err(PeerError::Thread)?
        };
        let task = tokio::spawn(live(shared.clone(), listener, stopped));
        let tasks = Mutex::new(Some((task, trying)));
        Ok(Self { shared: shared.clone(), address, owner: Arc::new(Owner { shared, stop, tasks }) })
    }

    /// Who this node is to others.
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// Where it takes connections.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Connected peers.
    pub fn list(&self) -> Vec<PeerInfo> {
        let links: Vec<Arc<Link>> = self.shared.state().links.values().cloned().collect();
        let info = |link: Arc<Link>| {
            let told = link.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            PeerInfo {
                id: link.id,
                address: link.address,
                listen: told.listen,
                called: link.called,
                height: link.height.load(Relaxed),
                software: told.software,
                connected: link.since.elapsed(),
                bytes: (link.heard_bytes.load(Relaxed), link.said_bytes.load(Relaxed)),
                strikes: link.strikes(),
            }
        };
        links.into_iter().map(info).collect()
    }

    /// From now on answers byte requests of this kind.
    pub fn serve(&self, kind: u8, service: Arc<dyn ByteService>) {
        self.shared.services.write().unwrap_or_else(PoisonError::into_inner).insert(kind, service);
    }

    /// Asks a peer for bytes. What it answers is not checked here, only how long it is.
    pub async fn request(
        &self,
        peer: PeerId,
        kind: u8,
        key: &[u8],
        time: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        if key.len() > message::MAX_KEY {
            return Err(RequestError::LongKey);
        }
        let link = self.shared.state().links.get(&peer).cloned().ok_or(RequestError::NotConnected)?;
        let answer = link.ask(kind, key.to_vec()).ok_or(RequestError::Busy)?;
        drop(link);
        match timeout(time, answer).await {
            Err(_) => Err(RequestError::Late),
            Ok(Err(_)) => Err(RequestError::NotConnected),
            Ok(Ok(found)) => found.ok_or(RequestError::NotFound),
        }
    }

    /// Hangs up on everybody and ends.
    pub async fn stop(&self) {
        self.owner.stop.send_replace(true);
        self.shared.intake.stop();
        let tasks = self.owner.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((task, trying)) = tasks else { return };
        // A panic of a task is told by the runtime.
        let _ = task.await;
        let _ = tokio::task::spawn_blocking(move || trying.join()).await;
    }
}

/// Takes and makes connections until the end.
async fn live(shared: Arc<Shared>, listener: Option<TcpListener>, mut stopped: watch::Receiver<bool>) {
    let mut lines = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
            Some(_) = lines.join_next() => {}
            accepted = accept => match accepted {
                Ok((socket, address)) => {
                    if let Some(visit) = Visit::of(&shared, address.ip()) {
                        lines.spawn(answer(shared.clone(), socket, address, visit));
                    }
                }
                Err(error) => {
                    // Out of files, or a peer that is gone already: the next one may do better.
                    tracing::warn!(%error, "no connection with a peer");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = tick.tick() => {
                shared.tidy();
                for address in shared.calls() {
                    lines.spawn(call(shared.clone(), address));
                }
            }
        }
    }
    lines.shutdown().await;
    shared.state().links.clear();
    shared.state().numbers.clear();
}

/// Whom a connection counts for: an IPv4 address, or the 64-bit network of an IPv6 address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// A place among the connections of an address, as long as it lives.
struct Visit {
    shared: Arc<Shared>,
    ip: IpAddr,
    greeting: bool,
}

impl Visit {
    fn of(shared: &Arc<Shared>, ip: IpAddr) -> Option<Self> {
        let ip = network(ip);
        let mut state = shared.state();
        let rate = shared.limits.connections;
        let visits = state.addresses.entry(ip).or_insert_with(|| Visits { open: 0, rate: Bucket::new(rate) });
        if visits.open >= shared.limits.per_address || !visits.rate.take(1.0) {
            return None;
        }
        if shared.greetings.fetch_add(1, Relaxed) >= GREETINGS {
            shared.greetings.fetch_sub(1, Relaxed);
            return None;
        }
        visits.open += 1;
        drop(state);
        Some(Self { shared: shared.clone(), ip, greeting: true })
    }

    fn greeted(&mut self) {
        if std::mem::take(&mut self.greeting) {
            self.shared.greetings.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.greeted();
        if let Some(visits) = self.shared.state().addresses.get_mut(&self.ip) {
            visits.open -= 1;
        }
    }
}

/// Somebody called.
async fn answer(shared: Arc<Shared>, socket: TcpStream, address: SocketAddr, mut visit: Visit) {
    let line = greet(&shared, socket, false, None).await;
    visit.greeted();
    match line {
        Ok(line) => drop(meet(&shared, line, address, None).await),
        Err(error) => tracing::debug!(%address, %error, "no line with a caller"),
    }
}

/// Calls somebody.
async fn call(shared: Arc<Shared>, address: PeerAddress) {
    let start = Instant::now();
    let result = async {
        let socket =
            timeout(GREETING, TcpStream::connect(&address.host)).await.map_err(|_| LineError::Slow)??;
        let there = socket.peer_addr()?;
        Ok::<_, LineError>((greet(&shared, socket, true, address.id).await?, there))
    };
    match result.await {
        Ok(((line, hello), there)) => {
            let id = line.peer;
            if id == shared.id {
                shared.state().book.wrong(&address);
                return;
            }
            let start = Instant::now();
            let met = meet(&shared, (line, hello), there, Some(&address)).await;
            // Refused because there is a line already: nothing is wrong with the address.
            let lasted = if met { start.elapsed() } else { Duration::from_secs(1) };
            shared.state().book.called(&address, Some(id), lasted);
        }
        Err(error) => {
            tracing::debug!(%address, %error, "peer cannot be reached");
            let wrong =
                matches!(error, LineError::OtherKey(_) | LineError::OtherChain | LineError::OtherProtocol);
            if wrong {
                tracing::warn!(%address, %error, "wrong peer");
                shared.state().book.wrong(&address);
            } else {
                shared.state().book.called(&address, None, start.elapsed());
            }
        }
    }
}

type Greeted = (Line, Hello);

struct Hello {
    height: u64,
    listen: u16,
    software: String,
}

/// Handshake and hello, in bounded time.
async fn greet(
    shared: &Shared,
    socket: TcpStream,
    calls: bool,
    expected: Option<PeerId>,
) -> Result<Greeted, LineError> {
    let greeting = async {
        let longest = shared.limits.answer_bytes;
        let mut line = line::greet(socket, calls, &shared.key, &shared.chain, expected, longest).await?;
        let height = shared.heads.borrow().height;
        let software = concat!("dodona/", env!("CARGO_PKG_VERSION")).to_string();
        let hello = Message::Hello { height, listen: shared.port, software };
        line.speak.say(&hello, GREETING).await?;
        match line.hear.message().await? {
            Message::Hello { height, listen, software } => Ok((line, Hello { height, listen, software })),
            _ => Err(LineError::Broken),
        }
    };
    timeout(GREETING, greeting).await.map_err(|_| LineError::Slow)?
}

/// Lives with a peer until one of both has had enough. False if it was not let in.
async fn meet(
    shared: &Arc<Shared>,
    (line, hello): Greeted,
    address: SocketAddr,
    called: Option<&PeerAddress>,
) -> bool {
    let number = shared.next_link.fetch_add(1, Relaxed);
    let (link, outbox) = Link::new(shared, line.peer, number, address, called.is_some());
    link.height.store(hello.height, Relaxed);
    {
        let listen = (hello.listen != 0).then(|| SocketAddr::new(address.ip(), hello.listen));
        let mut told = link.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = link::Told { listen, software: hello.software };
    }
    let link = Arc::new(link);
    if let Err(why) = shared.admit(&link, called) {
        tracing::debug!(peer = ?link.id, %address, why, "peer not let in");
        return false;
    }
    tracing::info!(peer = %link.id, %address, called = link.called, "peer connected");
    let here = Here { shared: shared.clone(), link: link.clone() };
    let why = link::run(shared, &link, line.hear, line.speak, outbox).await;
    tracing::info!(peer = %link.id, %address, why, "peer gone");
    drop(here);
    true
}

/// Being on the list, until the line ends in whatever way.
struct Here {
    shared: Arc<Shared>,
    link: Arc<Link>,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.shared.leave(&self.link);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wants(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line in, or says why not.
    fn admit(&self, link: &Arc<Link>, called: Option<&PeerAddress>) -> Result<(), &'static str> {
        if link.id == self.id {
            return Err("it is this node itself");
        }
        let mut state = self.state();
        let now = Instant::now();
        if state.banned.get(&link.id).is_some_and(|until| *until > now) {
            return Err("it is banned for a while");
        }
        let old = state.links.get(&link.id).cloned();
        if let Some(old) = &old {
            // Two nodes that call each other keep the line that the smaller id began; of two lines of the same side
            // the newer one is alive.
            let caller = |link: &Link| if link.called { self.id } else { link.id };
            if caller(old) < caller(link) {
                return Err("there is a line already");
            }
        } else if state.links.len() >= self.limits.peers {
            let wanted = called.is_some() || state.book.is_persistent(&link.id);
            if !wanted {
                return Err("there are enough peers");
            }
        }
        if let Some(old) = old {
            state.numbers.remove(&old.number);
            old.close("another line to the same peer");
        }
        state.links.insert(link.id, link.clone());
        state.numbers.insert(link.number, link.clone());
        drop(state);
        self.wants().join(link.number);
        Ok(())
    }

    fn leave(&self, link: &Link) {
        let mut state = self.state();
        if state.links.get(&link.id).is_some_and(|here| here.number == link.number) {
            state.links.remove(&link.id);
        }
        state.numbers.remove(&link.number);
        if link.strikes() >= link::OUT - GARBAGE {
            let now = Instant::now();
            state.banned.retain(|_, until| *until > now);
            if state.banned.len() < BANS {
                state.banned.insert(link.id, now + self.limits.ban);
            }
            tracing::warn!(peer = %link.id, address = %link.address, "peer banned for a while");
        }
        drop(state);
        self.intake.forget(link.number);
        let questions = self.wants().leave(link.number);
        self.put(questions);
    }

    fn link(&self, number: u64) -> Option<Arc<Link>> {
        self.state().numbers.get(&number).cloned()
    }

    fn put(&self, questions: Questions) {
        for (peer, hashes) in questions {
            if let Some(link) = self.link(peer) {
                link.want(hashes);
            }
        }
    }

    /// A peer announces transactions.
    fn announced(&self, link: &Link, hashes: &[TxHash]) {
        let unknown = self.mempool.unknown_of(hashes);
        if unknown.is_empty() {
            return;
        }
        self.wants().announced(link.number, unknown);
        self.ask(link);
    }

    /// Asks a peer for what it has announced, unless its state is ahead of ours.
    fn ask(&self, link: &Link) {
        if link.height.load(Relaxed) > self.heads.borrow().height + AHEAD || link.is_paused() {
            return;
        }
        let hashes = self.wants().ask(link.number, |hashes| self.mempool.unknown_of(hashes));
        if !hashes.is_empty() {
            link.want(hashes);
        }
    }

    /// A peer delivers transactions.
    fn delivered(&self, link: &Link, txs: Vec<Vec<u8>>) {
        let mut wants = self.wants();
        let count = txs.len();
        let asked: Vec<Vec<u8>> =
            txs.into_iter().filter(|tx| wants.delivered(link.number, &dodona_proto::tx::hash(tx))).collect();
        drop(wants);
        let unasked = count - asked.len();
        if unasked > 0 {
            link.strike(unasked as f64, "transactions that nobody asked for");
        }
        if !asked.is_empty() {
            self.intake.push(link.number, asked);
        }
        self.ask(link);
    }

    /// A peer no longer has something.
    fn gone(&self, link: &Link, hashes: &[TxHash]) {
        let mut questions = Questions::new();
        let mut unasked = 0;
        {
            let mut wants = self.wants();
            for hash in hashes {
                let (was_asked, next) = wants.gone(link.number, hash);
                unasked += usize::from(!was_asked);
                if let Some(next) = next {
                    questions.entry(next).or_default().push(*hash);
                }
            }
        }
        if unasked > 0 {
            link.strike(unasked as f64, "tells of what nobody asked for");
        }
        link.broke_word(hashes.len() - unasked);
        self.put(questions);
        self.ask(link);
    }

    /// A peer's transaction was tried.
    fn judged(&self, peer: u64, judged: Judged) {
        if judged == Judged::Fine {
            return;
        }
        let Some(link) = self.link(peer) else { return };
        match judged {
            Judged::Fine => {}
            Judged::Forgiven => link.forgiven(),
            Judged::Refused { ours } => {
                // A peer that is ahead of us, or a full pool: it may be right, and we late.
                let ahead = link.height.load(Relaxed) > self.heads.borrow().height;
                link.refused(ours || ahead || self.mempool.is_busy());
            }
            Judged::Garbage => drop(link.strike(GARBAGE, "a transaction that is none")),
        }
    }

    /// Some listening peers, for one that asks.
    fn some_peers(&self, asker: &Link, most: usize) -> Vec<String> {
        let links: Vec<Arc<Link>> = self.state().links.values().cloned().collect();
        let address = |link: Arc<Link>| {
            let listen = link.told.lock().unwrap_or_else(PoisonError::into_inner).listen;
            listen.filter(|_| link.id != asker.id).map(|at| PeerAddress::of(link.id, at).to_string())
        };
        links.into_iter().filter_map(address).take(most).collect()
    }

    fn told(&self, address: PeerAddress, by: PeerId) {
        if address.id != Some(self.id) {
            self.state().book.told(address, by);
        }
    }

    fn service(&self, kind: u8) -> Option<Arc<dyn ByteService>> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }

    /// Whom to call now.
    fn calls(&self) -> Vec<PeerAddress> {
        let mut state = self.state();
        let State { book, links, banned, .. } = &mut *state;
        let now = Instant::now();
        let called = links.values().filter(|link| link.called).count();
        let room = self.limits.called.saturating_sub(called);
        let room = room.min(self.limits.peers.saturating_sub(links.len()));
        book.due(room, |id| links.contains_key(id) || banned.get(id).is_some_and(|until| *until > now))
    }

    /// What is due from time to time: questions that took too long, questions that had to wait, visits that are over.
    fn tidy(&self) {
        let (questions, broken) = self.wants().late();
        self.put(questions);
        for (peer, times) in broken {
            if let Some(link) = self.link(peer) {
                link.broke_word(times);
            }
        }
        let waiting = self.wants().with_backlog();
        for peer in waiting {
            if let Some(link) = self.link(peer) {
                self.ask(&link);
            }
        }
        let mut state = self.state();
        if state.addresses.len() > 1_024 {
            let full = self.limits.connections.at_once;
            state.addresses.retain(|_, visits| visits.open > 0 || !visits.rate.take(full));
        }
    }
}
