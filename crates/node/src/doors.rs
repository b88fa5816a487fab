//! One way to open a door: bind, serve a table of routes, close. What strangers may cost the node is bounded here, for
//! every door alike; the doors themselves hold routes and nothing else.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Future, poll_fn},
    io::{self, ErrorKind, IoSlice},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    pin::{Pin, pin},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
    response::IntoResponse,
};
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tower::Service;

/// What strangers may cost a node at its doors. Connections are counted over all doors together.
///
/// A peer is an IPv4 address, or the 64-bit network of an IPv6 address. Limits per peer do not hold for programs on
/// the same machine, unless `limit_loopback` says so: a proxy in front of the node has to limit for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Open connections in total; fewer where the system allows the process fewer open files.
    pub connections: usize,
    /// Open connections of one peer.
    pub connections_per_peer: usize,
    /// Requests that one door answers at the same time.
    pub requests_at_once: usize,
    /// The same for one peer.
    pub requests_at_once_per_peer: usize,
    /// Requests a second of one peer, in the long run.
    pub requests_per_second: u32,
    /// Requests that a peer may save up and send at once.
    pub burst: u32,
    /// Whether the limits per peer hold for loopback addresses too.
    pub limit_loopback: bool,
    /// From the connection, or the first byte of a further request, to the end of the request's head.
    pub head_time: Duration,
    /// From the head of a request to the head of its answer.
    pub answer_time: Duration,
    /// From the head of a request to the last byte of its answer; the connection is closed after that.
    pub exchange_time: Duration,
    /// How long a connection without a request stays open.
    pub idle_time: Duration,
}

impl Default for DoorLimits {
    /// 4 096 connections, 512 a peer; 256 requests at once, 64 a peer; 200 requests a second, 1 000 saved up; 10 s
    /// for a head, 10 s for an answer, 60 s for all of it, 120 s of silence.
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_peer: 512,
            requests_at_once: 256,
            requests_at_once_per_peer: 64,
            requests_per_second: 200,
            burst: 1_000,
            limit_loopback: false,
            head_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(10),
            exchange_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(120),
        }
    }
}

/// Largest head of a request over HTTP/1, and largest list of headers over HTTP/2, bytes.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// Streams that a peer may open and reset before they were looked at.
const MAX_RESETS: usize = 32;
/// Bytes of bodies that wait to be read, on a stream and on a connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that wait to be sent, on a stream.
const SEND_BUFFER: usize = 128 << 10;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);
/// Peers remembered at most.
const MAX_PEERS: usize = 16_384;
/// Gifts of a development network's purse that a peer's questions may bring about: a second, and saved up.
const GIFTS: (f64, f64) = (1.0 / 15.0, 8.0);
/// Searches of the index at once, on machines with cores to spare.
const MAX_SEARCHES: usize = 2;
/// Open files left to everything that is not a connection.
const OTHER_FILES: usize = 256;
/// How long a closing door waits for answers on their way.
const CLOSING_TIME: Duration = Duration::from_millis(600);
/// Exchanges that may last, such as reflection: at once on a door, and how long.
const LONG_AT_ONCE: usize = 32;
const LONG_TIME: Duration = Duration::from_secs(300);

/// Why a door does not open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// No socket.
    #[error("cannot listen on {address}: {cause}; choose another port")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket exists but cannot be used.
    #[error("the socket of a door cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// Binds `wanted`, or any free port of the same address if that one is taken; the answer says which.
pub fn bind(wanted: SocketAddr) -> Result<TcpListener, DoorError> {
    match TcpListener::bind(wanted) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => TcpListener::bind(SocketAddr::new(wanted.ip(), 0)),
        bound => bound,
    }
    .map_err(|cause| DoorError::Bind { address: wanted, cause })
}

/// Threads that answer at the same time: more would take turns with those that make blocks.
static ANSWERING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(answering()));
/// Searches of the index among them. One thread at least is left to everything else.
static SEARCHING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(MAX_SEARCHES.min(answering() - 1)));

/// At least 2.
fn answering() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

/// Runs what reads the disk, or waits for a lock, on a thread for such work; a few at a time, the others wait for
/// their turn. None if the work panicked.
pub(crate) async fn aside<A: Send + 'static>(work: impl FnOnce() -> A + Send + 'static) -> Option<A> {
    // Nobody closes the semaphore. The turn goes with the work: it may outlive whoever asked.
    let turn = ANSWERING.acquire().await.ok()?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.ok()
}

/// A turn to search, for any door; it ends when this is dropped. None if it did not come until `end`. Nobody who waits
/// here holds a thread, or keeps another answer from being computed.
pub(crate) async fn search_turn(end: Instant) -> Option<SemaphorePermit<'static>> {
    // Nobody closes the semaphore.
    tokio::time::timeout_at(end, SEARCHING.acquire()).await.ok()?.ok()
}

/// Whether a door is open, answers what it has begun, or cuts whatever is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Closing,
    Cut,
}

/// An open door.
pub(crate) struct Door {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    /// Ends when its listener and every connection are gone.
    task: JoinHandle<()>,
}

impl Door {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any more, finishes what is on its way and cuts the rest: within a second.
    pub(crate) async fn close(self) {
        self.phase.send_replace(Phase::Closing);
        // Fails only if serving has panicked, and then there is nothing left to close.
        let _ = self.task.await;
    }
}

/// What all doors of a node share: the count of connections, and the peers.
pub(crate) struct Doors {
    limits: DoorLimits,
    connections: AtomicUsize,
    peers: Mutex<Peers>,
    answered: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
}

/// Why somebody was turned away.
#[derive(Clone, Copy)]
enum Refused {
    Connection,
    Rate,
    Busy,
    Slow,
}

impl Refused {
    /// With the word under which monitors count them.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Connection, "connections"),
        (Self::Rate, "rate"),
        (Self::Busy, "busy"),
        (Self::Slow, "too_slow"),
    ];
}

/// What all doors together have done since they opened.
pub(crate) struct Account {
    /// Open connections.
    pub(crate) connections: usize,
    /// Requests let in.
    pub(crate) answered: u64,
    /// Connections and requests turned away, by reason.
    pub(crate) refused: [(&'static str, u64); Refused::ALL.len()],
}

struct Peers {
    known: BTreeMap<IpAddr, Arc<Peer>>,
    swept: Instant,
}

/// One address, or network, with what it has going on.
struct Peer {
    limited: bool,
    connections: AtomicUsize,
    at_once: AtomicUsize,
    shares: [AtomicUsize; Share::ALL],
    bucket: Mutex<Bucket>,
    gifts: Mutex<Bucket>,
}

/// What there is so little of that nobody may have all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    Websocket,
    Batch,
    Reflection,
    Live,
}

impl Share {
    const ALL: usize = 4;

    /// How much of it a peer may have at once, and what to call that.
    fn of_a_peer(self) -> (usize, &'static str) {
        match self {
            Self::Websocket => (128, "websockets"),
            Self::Batch => (8, "batches"),
            Self::Reflection => (8, "questions to reflection"),
            Self::Live => (16, "live streams"),
        }
    }
}

/// A part of what there is little of; given back when this is dropped.
pub(crate) struct Shared(Visitor, Share);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.0.peer.shares[self.1 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests saved up, and when that was counted.
struct Bucket {
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    fn full(burst: f64) -> Mutex<Self> {
        Mutex::new(Self { tokens: burst, counted: Instant::now() })
    }

    fn is_full(&self, per_second: f64, burst: f64) -> bool {
        self.tokens + self.counted.elapsed().as_secs_f64() * per_second >= burst
    }

    /// Takes one out, if there is one by now.
    fn spend(&mut self, per_second: f64, burst: f64) -> bool {
        let now = Instant::now();
        let earned = (now - self.counted).as_secs_f64() * per_second;
        self.tokens = (self.tokens + earned).min(burst);
        self.counted = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// Adds one unless that is more than `most`.
fn count_up(counter: &AtomicUsize, most: usize) -> bool {
    let more = |n: usize| (n < most).then_some(n + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    /// Whether the peer has a request left to spend.
    fn spend(&self, limits: &DoorLimits) -> bool {
        if !self.limited {
            return true;
        }
        lock(&self.bucket).spend(f64::from(limits.requests_per_second), f64::from(limits.burst))
    }

    /// Whether there is anything to remember.
    fn forgettable(&self, limits: &DoorLimits) -> bool {
        let (rate, burst) = (f64::from(limits.requests_per_second.max(1)), f64::from(limits.burst));
        self.connections.load(Ordering::Relaxed) == 0
            && lock(&self.bucket).counted.elapsed().as_secs_f64() >= burst / rate
            && lock(&self.gifts).is_full(GIFTS.0, GIFTS.1)
    }
}

/// A connection that was let in; counts as long as it lives.
struct Visit {
    doors: Arc<Doors>,
    peer: Arc<Peer>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.peer.connections.fetch_sub(1, Ordering::Relaxed);
        self.doors.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who speaks, for doors that take several requests out of one, as a websocket does. Found among a request's
/// extensions.
#[derive(Clone)]
pub(crate) struct Visitor(Arc<Visit>);

impl Visitor {
    /// Somebody from an address that is limited.
    #[cfg(test)]
    pub(crate) fn stranger(limits: DoorLimits) -> Self {
        let doors = Doors::new(DoorLimits { limit_loopback: true, ..limits });
        Self(Arc::new(doors.admit(Ipv6Addr::LOCALHOST.into()).unwrap()))
    }

    /// Whether the visitor may ask once more now; what to say if not.
    pub(crate) fn may_ask(&self) -> Result<(), String> {
        let limits = &self.0.doors.limits;
        if self.0.peer.spend(limits) { Ok(()) } else { Err(too_fast(limits)) }
    }

    /// One more of what there is little of, or why the visitor has enough.
    pub(crate) fn share(&self, share: Share) -> Result<Shared, String> {
        let peer = &self.0.peer;
        let (most, what) = share.of_a_peer();
        if count_up(&peer.shares[share as usize], if peer.limited { most } else { usize::MAX }) {
            return Ok(Shared(self.clone(), share));
        }
        Err(format!("too many {what} from your address at the same time: at most {most}"))
    }

    /// Whether somebody may be given something on this visitor's question.
    pub(crate) fn may_be_given(&self) -> bool {
        let peer = &self.0.peer;
        !peer.limited || lock(&peer.gifts).spend(GIFTS.0, GIFTS.1)
    }
}

fn too_fast(limits: &DoorLimits) -> String {
    format!(
        "too many requests from your address: {} a second are answered; slow down",
        limits.requests_per_second
    )
}

/// What a peer is counted under.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

impl Doors {
    pub(crate) fn new(limits: DoorLimits) -> Arc<Self> {
        let mut limits = limits;
        if let Some(files) = open_files() {
            limits.connections = limits.connections.min(files.saturating_sub(OTHER_FILES).max(16));
        }
        let peers = Mutex::new(Peers { known: BTreeMap::new(), swept: Instant::now() });
        let (answered, refused) = (AtomicU64::new(0), Default::default());
        Arc::new(Self { limits, connections: AtomicUsize::new(0), peers, answered, refused })
    }

    fn refuse(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What there is to tell a monitor.
    pub(crate) fn counted(&self) -> Account {
        let refused =
            Refused::ALL.map(|(why, word)| (word, self.refused[why as usize].load(Ordering::Relaxed)));
        let (connections, answered) =
            (self.connections.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed));
        Account { connections, answered, refused }
    }

    /// Lets a connection in, or says why not.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Visit, String> {
        let limits = &self.limits;
        if !count_up(&self.connections, limits.connections) {
            return Err("too many connections to this node; try again later".into());
        }
        let admitted = self.peer(network(address)).and_then(|peer| {
            let most = if peer.limited { limits.connections_per_peer } else { limits.connections };
            if count_up(&peer.connections, most) {
                return Ok(peer);
            }
            Err(format!("too many connections from your address: at most {most}"))
        });
        match admitted {
            Ok(peer) => Ok(Visit { doors: self.clone(), peer }),
            Err(why) => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                Err(why)
            }
        }
    }

    fn peer(&self, address: IpAddr) -> Result<Arc<Peer>, String> {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.known.get(&address) {
            return Ok(peer.clone());
        }
        if peers.known.len() >= MAX_PEERS && peers.swept.elapsed() >= Duration::from_secs(1) {
            peers.swept = Instant::now();
            peers.known.retain(|_, peer| !peer.forgettable(&self.limits));
        }
        if peers.known.len() >= MAX_PEERS {
            return Err("too many different visitors at once; try again later".into());
        }
        let peer = Arc::new(Peer {
            limited: self.limits.limit_loopback || !address.is_loopback(),
            connections: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            shares: Default::default(),
            bucket: Bucket::full(f64::from(self.limits.burst)),
            gifts: Bucket::full(GIFTS.1),
        });
        peers.known.insert(address, peer.clone());
        Ok(peer)
    }

    /// Serves these routes on a bound socket, until the door is closed. `name` is for the log.
    pub(crate) fn open(
        self: &Arc<Self>,
        name: &'static str,
        listener: TcpListener,
        routes: Router,
    ) -> Result<Door, DoorError> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (phase, seen) = watch::channel(Phase::Open);
        let room = Arc::new(Room {
            doors: self.clone(),
            routes,
            at_once: AtomicUsize::new(0),
            long: AtomicUsize::new(0),
            visits: watch::Sender::new(0),
        });
        let sender = phase.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            room.receive(name, listener, &seen, &mut connections).await;
            let last = async {
                while connections.join_next().await.is_some() {}
                room.empty().await;
            };
            if tokio::time::timeout(CLOSING_TIME, last).await.is_err() {
                sender.send_replace(Phase::Cut);
                connections.shutdown().await;
                // Whoever took a connection over, as websockets are, sees its end and leaves.
                let _ = tokio::time::timeout(Duration::from_millis(300), room.empty()).await;
            }
        });
        Ok(Door { address, phase, task })
    }
}

/// How many files this process may have open, where the system says so.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What is behind one door.
struct Room {
    doors: Arc<Doors>,
    routes: Router,
    at_once: AtomicUsize,
    long: AtomicUsize,
    /// Connections of this door, those that were taken over included.
    visits: watch::Sender<usize>,
}

impl Room {
    /// Takes connections until the door closes.
    async fn receive(
        self: &Arc<Self>,
        name: &'static str,
        listener: tokio::net::TcpListener,
        phase: &watch::Receiver<Phase>,
        connections: &mut JoinSet<()>,
    ) {
        let mut closing = pin!(reached(phase.clone(), Phase::Closing));
        loop {
            let (stream, address) = tokio::select! {
                () = &mut closing => return,
                // Those that have ended are taken off the set.
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of files, or a peer that is gone already: the next one may do better.
                        tracing::warn!(%error, "{name} door: no connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            match self.doors.admit(address.ip()) {
                Ok(visit) => {
                    connections.spawn(attend(self.clone(), stream, visit, phase.clone()));
                }
                Err(why) => {
                    self.doors.refuse(Refused::Connection);
                    turn_away(&stream, &why);
                }
            }
        }
    }

    /// Resolves once no connection is left.
    async fn empty(&self) {
        let mut visits = self.visits.subscribe();
        // The sender is in `self`.
        let _ = visits.wait_for(|visits| *visits == 0).await;
    }
}

/// Resolves once the door is in this phase or a later one, or is gone.
async fn reached(mut seen: watch::Receiver<Phase>, phase: Phase) {
    let _ = seen.wait_for(|now| *now >= phase).await;
}

/// A last word to a connection that is not let in. It is not known yet how it speaks: those that speak HTTP/2 take
/// an answer of HTTP/1 for the end of the connection, and show it.
fn turn_away(stream: &TcpStream, why: &str) {
    let body = json!({ "error": why }).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // One try: nobody waits for a peer that does not listen.
    let _ = stream.try_write(answer.as_bytes());
}

/// Serves one connection to its end.
async fn attend(room: Arc<Room>, stream: TcpStream, visit: Visit, phase: watch::Receiver<Phase>) {
    // Answers are small and complete: waiting for more of them gains nothing. Refused only on a dead socket.
    let _ = stream.set_nodelay(true);
    let limits = room.doors.limits;
    let visitor = Visitor(Arc::new(visit));
    let watched = Arc::new(Watched::new(limits));
    room.visits.send_modify(|visits| *visits += 1);
    let io = Io {
        stream,
        watched: watched.clone(),
        cut: Box::pin(reached(phase.clone(), Phase::Cut)),
        is_cut: false,
        _here: Here { room: room.clone(), _visitor: visitor.clone() },
    };
    let service = {
        let watched = watched.clone();
        service_fn(move |request| respond(room.clone(), visitor.clone(), watched.clone(), request))
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut closing = pin!(reached(phase, Phase::Closing));
    let mut due = pin!(tokio::time::sleep(limits.head_time));
    // Asked to leave: by the door, or by its silence.
    let mut leaving = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !leaving && closing.as_mut().poll(cx).is_ready() {
            leaving = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let (end, hard) = watched.end();
            if due.deadline() != end {
                due.as_mut().reset(end);
            }
            if due.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if watched.end().0 > Instant::now() {
                continue;
            }
            if hard || leaving {
                return Poll::Ready(());
            }
            // Silent: HTTP/2 is told goodbye before the line goes dead.
            leaving = true;
            watched.leave();
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    })
    .await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Time is watched here, so that a slow head and an idle connection are told apart.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME);
    builder
}

/// What a connection is doing, and since when.
struct Watched {
    limits: DoorLimits,
    state: Mutex<State>,
}

struct State {
    /// Exchanges going on: number and when each has to be over.
    exchanges: BTreeMap<u64, Instant>,
    next: u64,
    http2: bool,
    /// When the silence began: the connection itself, or the last exchange's end.
    idle_since: Instant,
    /// When the head that is being read began.
    head_since: Option<Instant>,
    leaving_since: Option<Instant>,
}

impl Watched {
    fn new(limits: DoorLimits) -> Self {
        let now = Instant::now();
        let state = State {
            exchanges: BTreeMap::new(),
            next: 0,
            http2: false,
            idle_since: now,
            head_since: Some(now),
            leaving_since: None,
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// When the connection ends unless something happens, and whether that is an end without goodbye.
    fn end(&self) -> (Instant, bool) {
        let state = lock(&self.state);
        if let Some(since) = state.leaving_since {
            return (since + Duration::from_secs(1), true);
        }
        if let Some(end) = state.exchanges.values().min() {
            return (*end, true);
        }
        match state.head_since {
            Some(since) => (since + self.limits.head_time, true),
            None => (state.idle_since + self.limits.idle_time, false),
        }
    }

    fn leave(&self) {
        lock(&self.state).leaving_since = Some(Instant::now());
    }

    /// Bytes came in. Over HTTP/1 those between two exchanges begin a head.
    fn heard(&self) {
        let mut state = lock(&self.state);
        if !state.http2 && state.exchanges.is_empty() && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn begin(self: &Arc<Self>, version: Version, time: Duration) -> Exchange {
        let mut state = lock(&self.state);
        state.http2 = version == Version::HTTP_2;
        state.head_since = None;
        let number = state.next;
        state.next += 1;
        state.exchanges.insert(number, Instant::now() + time);
        Exchange { watched: self.clone(), number, counted: None }
    }
}

/// A request with its answer, until the last byte of it has left or the peer is gone.
struct Exchange {
    watched: Arc<Watched>,
    number: u64,
    counted: Option<Counted>,
}

/// A place among the requests that are answered at once.
struct Counted {
    room: Arc<Room>,
    visitor: Visitor,
    /// Of an exchange that may last.
    long: Option<Shared>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = lock(&self.watched.state);
        state.exchanges.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let among = if self.long.is_some() { &self.room.long } else { &self.room.at_once };
        among.fetch_sub(1, Ordering::Relaxed);
        self.visitor.0.peer.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes one more request in, or says why not.
fn count(room: &Arc<Room>, visitor: &Visitor, long: bool) -> Result<Counted, (StatusCode, String)> {
    let (peer, limits) = (&visitor.0.peer, &room.doors.limits);
    let too_many = |why| (StatusCode::TOO_MANY_REQUESTS, why);
    visitor.may_ask().map_err(too_many)?;
    let most = if peer.limited { limits.requests_at_once_per_peer } else { usize::MAX };
    if !count_up(&peer.at_once, most) {
        let why = format!("too many requests from your address at the same time: at most {most}");
        return Err(too_many(why));
    }
    let place = || {
        let busy = || (StatusCode::SERVICE_UNAVAILABLE, "busy: try again in a second".to_string());
        let share = if long { Some(visitor.share(Share::Reflection).map_err(too_many)?) } else { None };
        let (among, most) =
            if long { (&room.long, LONG_AT_ONCE) } else { (&room.at_once, limits.requests_at_once) };
        if count_up(among, most) { Ok(share) } else { Err(busy()) }
    };
    match place() {
        Ok(long) => Ok(Counted { room: room.clone(), visitor: visitor.clone(), long }),
        Err(why) => {
            peer.at_once.fetch_sub(1, Ordering::Relaxed);
            Err(why)
        }
    }
}

/// Answers one request within the limits.
fn respond(
    room: Arc<Room>,
    visitor: Visitor,
    watched: Arc<Watched>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
    let mut request = request.map(Body::new);
    let limits = room.doors.limits;
    let long = request.uri().path().starts_with("/grpc.reflection.");
    let time = if long { LONG_TIME } else { limits.exchange_time };
    // Before the first await: the connection's own task has to see it at once.
    let mut exchange = watched.begin(request.version(), time);
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let counted = count(&room, &visitor, long);
    request.extensions_mut().insert(visitor);
    let mut routes = room.routes.clone();
    let doors = room.doors.clone();
    async move {
        let response = match counted {
            Err((status, why)) => {
                let busy = status == StatusCode::SERVICE_UNAVAILABLE;
                doors.refuse(if busy { Refused::Busy } else { Refused::Rate });
                refusal(status, &why, kind.as_ref())
            }
            Ok(counted) => {
                doors.answered.fetch_add(1, Ordering::Relaxed);
                exchange.counted = Some(counted);
                match tokio::time::timeout(limits.answer_time, routes.call(request)).await {
                    Ok(Ok(response)) => response,
                    Err(_) => {
                        doors.refuse(Refused::Slow);
                        refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long", kind.as_ref())
                    }
                }
            }
        };
        Ok(hold(response, exchange))
    }
}

/// A refusal in the words of who asked: gRPC has its own numbers, everybody else gets JSON.
fn refusal(status: StatusCode, why: &str, kind: Option<&HeaderValue>) -> Response<Body> {
    let grpc = kind.filter(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let Some(kind) = grpc else {
        let mut response = (status, Json(json!({ "error": why }))).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.clone());
    // RESOURCE_EXHAUSTED, or DEADLINE_EXCEEDED.
    let number = if status == StatusCode::REQUEST_TIMEOUT { 4 } else { 8 };
    headers.insert("grpc-status", HeaderValue::from(number));
    // The texts are ours and printable.
    if let Ok(why) = HeaderValue::from_str(why) {
        headers.insert("grpc-message", why);
    }
    response
}

/// Keeps something until the last byte of an answer has left, or the peer is gone.
pub(crate) fn hold(response: Response<Body>, what: impl Send + Unpin + 'static) -> Response<Body> {
    response.map(|body| Body::new(Held { body, _what: what }))
}

/// An answer's body, and what is kept as long as it lives.
struct Held<W> {
    body: Body,
    _what: W,
}

impl<W: Unpin> http_body::Body for Held<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Being counted at a door, as long as the socket lives: also after a websocket has taken it over.
struct Here {
    room: Arc<Room>,
    _visitor: Visitor,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.room.visits.send_modify(|visits| *visits -= 1);
    }
}

/// A socket that is watched, and ends when its door is cut.
struct Io {
    stream: TcpStream,
    watched: Arc<Watched>,
    cut: BoxFuture<'static, ()>,
    is_cut: bool,
    _here: Here,
}

impl Io {
    fn cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
        self.is_cut
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut(cx) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watched.heard();
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut(cx) {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.cut(cx) {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
