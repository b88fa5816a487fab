//! A miner's endpoint: signed requests of validators in, what a Python file or program makes of the task out. Everything
//! a visitor may cost is bounded: connections, their time, the head, the body, requests, and those that wait for the one
//! program.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dodona_proto::{Address, sign::AccountKey};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::ask::{Ask, AskError, Guard, MAX_REPLY, MAX_TASK, PATH, Place, header};
use crate::adapter::Callee;

/// Connections at once,
const CONNECTIONS: usize = 256;
/// and of one address.
const CONNECTIONS_EACH: u32 = 32;
/// For the head of a request, and for its body.
const READING: Duration = Duration::from_secs(5);
/// Requests that may wait for the program.
const WAITING: usize = 16;

/// What a miner is.
pub struct Miner {
    /// Where it stands.
    pub place: Place,
    /// Its hotkey: it signs answers.
    pub key: AccountKey,
    /// Requests a second that one validator gets answered.
    pub rate: u32,
    /// For an answer, the wait for the program included.
    pub time: Duration,
    /// What works.
    pub program: Box<dyn Callee>,
    /// Who reads what happens, a line at a time.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What a miner did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// Answers.
    pub answered: u64,
    /// Refused or failed requests, by status.
    pub refused: BTreeMap<u16, u64>,
}

/// A running miner, shared by its connections.
pub struct Endpoint {
    place: Place,
    key: AccountKey,
    time: Duration,
    guard: Mutex<Guard>,
    program: Arc<Mutex<Box<dyn Callee>>>,
    name: String,
    waiting: Arc<Semaphore>,
    answered: AtomicU64,
    refused: Mutex<BTreeMap<u16, u64>>,
    open: Mutex<BTreeMap<IpAddr, u32>>,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// This machine's clock, unix milliseconds.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Whoever panicked with a lock left whole values behind: each is changed by one call.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// An endpoint that knows no validators yet.
    pub fn new(miner: Miner) -> Arc<Self> {
        Arc::new(Self {
            guard: Mutex::new(Guard::new(miner.place.clone(), miner.rate, now_ms())),
            place: miner.place,
            key: miner.key,
            time: miner.time,
            name: miner.program.name().to_string(),
            program: Arc::new(Mutex::new(miner.program)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            answered: AtomicU64::new(0),
            refused: Mutex::default(),
            open: Mutex::default(),
            log: miner.log,
        })
    }

    /// Who may ask from now on.
    pub fn let_in(&self, validators: BTreeSet<Address>) {
        locked(&self.guard).let_in(validators);
    }

    /// What it did so far.
    pub fn done(&self) -> Done {
        Done { answered: self.answered.load(Ordering::Relaxed), refused: locked(&self.refused).clone() }
    }

    /// Answers until dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> Infallible {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed; without room the kernel lets newcomers wait.
            let permit = room.clone().acquire_owned().await.ok();
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    (self.log)(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let endpoint = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                endpoint.connection(stream, peer).await;
            });
        }
    }

    /// One connection, one request.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let ip = visitor(peer.ip());
        {
            let mut open = locked(&self.open);
            let count = open.entry(ip).or_default();
            if *count >= CONNECTIONS_EACH {
                return;
            }
            *count += 1;
        }
        let endpoint = &self;
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(endpoint.reply(ip, request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READING)
            .max_buf_size(16 << 10)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // Who does not take its answer is left.
        let _ = timeout(READING * 3 + self.time, connection).await;
        let mut open = locked(&self.open);
        if let Some(count) = open.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&ip);
            }
        }
    }

    async fn reply(self: &Arc<Self>, ip: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let outcome = match (request.method(), request.uri().path()) {
            (&Method::POST, PATH) => self.answer(ip, request).await,
            (&Method::GET, "/") => {
                let Place { netuid, miner, .. } = &self.place;
                let about = json!({ "miner": miner.to_string(), "netuid": netuid, "program": self.name });
                return response(200, about.to_string().into_bytes(), &[]);
            }
            _ => Err((404, format!("post tasks to {PATH}"))),
        };
        match outcome {
            Ok(answered) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                answered
            }
            Err((status, why)) => {
                *locked(&self.refused).entry(status).or_default() += 1;
                response(status, json!({ "error": why }).to_string().into_bytes(), &[])
            }
        }
    }

    async fn answer(
        self: &Arc<Self>,
        ip: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, (u16, String)> {
        let no = |error: AskError| (error.status(), error.to_string());
        locked(&self.guard).knock(ip, now_ms()).map_err(no)?;
        let ask = Ask::read(|name| request.headers().get(name)?.to_str().ok()).map_err(no)?;
        locked(&self.guard).look(&ask, now_ms()).map_err(no)?;
        let body = match timeout(READING, Limited::new(request.into_body(), MAX_TASK).collect()).await {
            Err(_) => return Err((408, format!("the body took longer than {} s", READING.as_secs()))),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err((413, format!("a task has at most {MAX_TASK} bytes")));
            }
            Ok(Err(error)) => return Err((400, error.to_string())),
            Ok(Ok(body)) => body.to_bytes(),
        };
        locked(&self.guard).admit(&ask, &body, now_ms()).map_err(no)?;
        let task: Value =
            serde_json::from_slice(&body).map_err(|e| (400, format!("the task is not JSON: {e}")))?;
        let busy = || (503, format!("{WAITING} requests wait already: try again in some seconds"));
        let permit = self.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
        let (program, until) = (self.program.clone(), Instant::now() + self.time);
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // One after the other: the program is one process. Whom nobody waits for any more is left out.
            let mut program = locked(&program);
            (Instant::now() < until).then(|| program.call("answer", &[task]))
        });
        let result = match timeout(self.time, work).await {
            Err(_) | Ok(Ok(None)) => {
                return Err((503, format!("no answer within {:?}: the program is busy", self.time)));
            }
            Ok(Err(_)) => return Err((500, "the program cannot be asked".into())),
            Ok(Ok(Some(Err(error)))) => {
                (self.log)(&error.to_string());
                // What went wrong inside is the miner's business.
                return Err((500, "the miner has no answer".into()));
            }
            Ok(Ok(Some(Ok(result)))) => result,
        };
        let body = json!({ "answer": result }).to_string().into_bytes();
        if body.len() as u64 > MAX_REPLY {
            (self.log)(&format!("the answer has {} bytes, validators take {MAX_REPLY}", body.len()));
            return Err((500, "the miner has no answer".into()));
        }
        let signature = hex::encode(ask.sign_reply(&self.key, &body));
        let public = hex::encode(self.key.public());
        Ok(response(200, body, &[(header::KEY, public), (header::SIGNATURE, signature)]))
    }
}

/// A visitor: an IPv4 address, or the 64-bit network of an IPv6 address.
fn visitor(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

fn response(status: u16, body: Vec<u8>, headers: &[(&'static str, String)]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut put = |name: &'static str, value: &str| {
        // Hex and a constant: always fit for a header.
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    put(CONTENT_TYPE.as_str(), "application/json");
    for (name, value) in headers {
        put(name, value);
    }
    response
}

/// An endpoint's port, listening.
///
/// # Errors
/// [`io::Error`]: the port is taken, or may not be used.
pub async fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(at).await
}
