//! Miners that mean ill, against a real validator; visitors that mean ill, against a real miner. Over sockets.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    chain::QueryStatusResponse,
    path,
    sign::AccountKey,
    subnets::{Endpoint as Axon, Neuron, QueryMetagraphResponse},
    tx::TxHash,
};
use prost::Message;
use serde_json::{Value, json};

use super::{
    ask::{Ask, MAX_TASK, Place},
    miner::{Endpoint, Miner, listen, now_ms},
    validator::{Settings, Validator},
};
use crate::adapter::{AdapterError, Callee};

/// A chain with these neurons.
struct Node(Mutex<Vec<Neuron>>);

impl Transport for Node {
    fn query(&self, asked: &str, _request: &[u8]) -> Result<Vec<u8>, ClientError> {
        Ok(match asked {
            path::STATUS => QueryStatusResponse { chain_id: "test".into(), height: 7, ..Default::default() }
                .encode_to_vec(),
            path::METAGRAPH => {
                let neurons = self.0.lock().unwrap().clone();
                QueryMetagraphResponse { neurons, ..Default::default() }.encode_to_vec()
            }
            other => panic!("{other}"),
        })
    }

    fn broadcast(&self, _tx: &[u8]) -> Result<TxHash, ClientError> {
        panic!("nothing is signed here")
    }
}

/// Any functions.
struct Functions<F>(F);

impl<F: FnMut(&str, &[Value]) -> Result<Value, AdapterError> + Send> Callee for Functions<F> {
    fn name(&self) -> &str {
        "functions"
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, AdapterError> {
        (self.0)(name, arguments)
    }
}

fn key(name: &str) -> AccountKey {
    AccountKey::from_seed(1, name)
}

fn neuron(uid: u32, hotkey: &AccountKey, port: u16) -> Neuron {
    let axon = Some(Axon { ip: "192.0.2.1".into(), port: port.into(), ..Axon::default() });
    Neuron { uid, hotkey: hotkey.address().to_string(), registered: 5, axon, ..Neuron::default() }
}

/// An evaluator that finds every answer worth one, and what it was shown.
fn easy(shown: Arc<Mutex<Vec<Value>>>) -> Box<dyn Callee> {
    Box::new(Functions(move |name: &str, arguments: &[Value]| {
        Ok(match name {
            "task" => json!({ "number": arguments[0] }),
            _ => {
                let answers = arguments[1].as_array().unwrap();
                shown.lock().unwrap().clone_from(answers);
                json!(answers.iter().map(|_| 1.0).collect::<Vec<_>>())
            }
        })
    }))
}

/// A validator with a second of patience whose miners are all on this machine.
fn validator(node: &Client<Node>, evaluator: Box<dyn Callee>, dir: &std::path::Path) -> Validator {
    let timeout = Duration::from_secs(1);
    let settings = Settings { netuid: 7, mechanism: 0, timeout, private: false, smoothing: 0.5, version: 0 };
    let mut validator = Validator::open(node, settings, evaluator, dir).unwrap();
    validator.reach = |_, port, _| Ok(format!("http://127.0.0.1:{port}/v1/ask"));
    validator
}

/// A miner that answers each connection with these bytes, then does what `then` does.
fn raw(answer: Vec<u8>, then: fn(&mut TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(&answer);
                then(&mut stream);
            });
        }
    });
    port
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A miner of ours with this program; dropped with the runtime.
fn miner(
    runtime: &tokio::runtime::Runtime,
    hotkey: &AccountKey,
    program: Box<dyn Callee>,
    time: Duration,
) -> (Arc<Endpoint>, u16) {
    let place = Place { chain: "test".into(), netuid: 7, miner: hotkey.address() };
    let log = Arc::new(|_: &str| {});
    let endpoint = Endpoint::new(Miner { place, key: hotkey.clone(), rate: 2, time, program, log });
    let listener = runtime.block_on(listen("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(endpoint.clone().serve(listener));
    (endpoint, port)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn miners_that_lie_hang_flood_or_lead_elsewhere_are_worth_nothing_and_cost_one_patience() {
    let runtime = runtime();
    let judge = key("judge");
    let echo = Functions(|_: &str, arguments: &[Value]| Ok(arguments[0]["number"].clone()));
    let (honest, port) = miner(&runtime, &key("honest"), Box::new(echo), Duration::from_secs(5));
    honest.let_in(BTreeSet::from([judge.address()]));
    let nothing: fn(&mut TcpStream) = |_| {};
    let hang: fn(&mut TcpStream) = |stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let drip: fn(&mut TcpStream) = |stream| {
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    };
    let flood: fn(&mut TcpStream) = |stream| while stream.write_all(&[b'1'; 65_536]).is_ok() {};
    let elsewhere = format!("location: http://127.0.0.1:{port}/v1/ask\r\n");
    let liars = [
        ("hangs", raw(Vec::new(), hang), "no answer within 1s"),
        (
            "drips",
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(), drip),
            "no answer within 1s",
        ),
        ("floods", raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), flood), "longer than 262144 bytes"),
        (
            "says a length",
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec(), flood),
            "longer than",
        ),
        ("no HTTP", raw(b"\x00\x01\x02 hello\r\n\r\n".to_vec(), nothing), ""),
        ("unsigned", raw(http("200 OK", "", "{\"answer\":1}"), nothing), "not signed by its hotkey"),
        ("redirects", raw(http("302 Found", &elsewhere, ""), nothing), "302"),
        ("fails", raw(http("500 No", "", "no"), nothing), "status 500: no"),
        ("is not there", 1, ""),
        // It hands the question on and would like to be paid for somebody else's answer.
        ("relays", port, "the signature does not fit"),
    ];
    let mut neurons = vec![neuron(0, &judge, 9), neuron(1, &key("honest"), port)];
    for (uid, (name, port, _)) in (2..).zip(&liars) {
        neurons.push(neuron(uid, &key(name), *port));
    }
    neurons.push(Neuron { axon: None, ..neuron(99, &key("silent"), 1) });
    let node = Client::new(Node(Mutex::new(neurons)));
    let dir = tempfile::tempdir().unwrap();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let mut validator = validator(&node, easy(shown.clone()), dir.path());
    let started = Instant::now();
    let round = validator.round(&node, &judge).unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(round.miners.len(), 1 + liars.len(), "neither itself nor who announces nothing");
    let first = &round.miners[0];
    assert_eq!((first.uid, first.error.as_str(), first.score, first.smoothed), (1, "", 1.0, 0.5));
    assert_eq!(shown.lock().unwrap()[0]["answer"], json!(1), "the task of the first round");
    for (asked, (name, _, why)) in round.miners[1..].iter().zip(&liars) {
        assert!(!asked.error.is_empty() && asked.error.contains(why), "{name}: {}", asked.error);
        assert_eq!((asked.score, asked.smoothed), (0.0, 0.0), "{name}: whatever the evaluator says");
    }
    let row = validator.weights(&node).unwrap().unwrap();
    assert_eq!((row.uids, row.values), (vec![1], vec![65_535]));
}

#[test]
fn scores_survive_a_kill_belong_to_a_registration_and_a_bad_evaluator_changes_nothing() {
    let runtime = runtime();
    let (judge, hotkey) = (key("judge"), key("honest"));
    let echo = Functions(|_: &str, _: &[Value]| Ok(json!(1)));
    let (endpoint, port) = miner(&runtime, &hotkey, Box::new(echo), Duration::from_secs(5));
    endpoint.let_in(BTreeSet::from([judge.address()]));
    let node = Client::new(Node(Mutex::new(vec![neuron(1, &hotkey, port)])));
    let dir = tempfile::tempdir().unwrap();
    let smoothed = |evaluator: Box<dyn Callee>| {
        let mut validator = validator(&node, evaluator, dir.path());
        validator.round(&node, &judge).map(|round| (round.number, round.miners[0].smoothed))
    };
    assert_eq!(smoothed(easy(Arc::default())).unwrap(), (1, 0.5));
    assert_eq!(smoothed(easy(Arc::default())).unwrap(), (2, 0.75), "it goes on");
    for nonsense in [json!([]), json!([-1]), json!("many"), json!([1, 1])] {
        let bad = Functions(move |name: &str, _: &[Value]| {
            Ok(if name == "task" { json!(1) } else { nonsense.clone() })
        });
        assert!(smoothed(Box::new(bad)).is_err());
    }
    let large = Functions(|_: &str, _: &[Value]| Ok(json!("x".repeat(MAX_TASK))));
    assert!(smoothed(Box::new(large)).unwrap_err().to_string().contains("miners take"));
    assert_eq!(smoothed(easy(Arc::default())).unwrap(), (3, 0.875));
    let mut again = neuron(1, &hotkey, port);
    again.registered = 6;
    *node.transport().0.lock().unwrap() = vec![again];
    assert_eq!(smoothed(easy(Arc::default())).unwrap(), (4, 0.5), "another registration begins at nothing");
}

/// A request by hand: status and body.
fn post(port: u16, headers: &[(&str, String)], body: &[u8]) -> (u16, String) {
    let mut head = format!("POST /v1/ask HTTP/1.1\r\nhost: m\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let _ = stream.write_all(body); // it may have answered already
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).to_string();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text.split("\r\n\r\n").nth(1).unwrap_or("").to_string())
}

#[test]
fn a_miner_works_only_for_validators_that_sign_once_in_time_and_within_bounds() {
    let runtime = runtime();
    let (judge, hotkey) = (key("judge"), key("honest"));
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let program = Functions(move |_: &str, arguments: &[Value]| {
        *count.lock().unwrap() += 1;
        match arguments[0].as_str() {
            Some("much") => Ok(json!("x".repeat(300_000))),
            Some("fail") => Err(AdapterError::Model("a secret of the miner".into())),
            Some("sleep") => {
                thread::sleep(Duration::from_millis(1_500));
                Ok(json!(1))
            }
            _ => Ok(json!(1)),
        }
    });
    let (endpoint, port) = miner(&runtime, &hotkey, Box::new(program), Duration::from_secs(1));
    let place = Place { chain: "test".into(), netuid: 7, miner: hotkey.address() };
    let signed = |by: &AccountKey, n: u8, body: &[u8]| Ask::sign(by, &place, now_ms(), [n; 16], body);
    let send = |ask: &Ask, body: &[u8]| post(port, &ask.headers().map(|(name, value)| (name, value)), body);
    assert_eq!(send(&signed(&judge, 0, b"1"), b"1").0, 403, "nobody has a permit yet");
    endpoint.let_in(BTreeSet::from([judge.address()]));
    assert_eq!(post(port, &[], b"1").0, 400, "no signature at all");
    assert_eq!(send(&signed(&key("stranger"), 0, b"1"), b"1").0, 403);
    let ask = signed(&judge, 1, b"1");
    assert_eq!(send(&ask, b"2").0, 401, "another body");
    let old = Ask::sign(&judge, &place, now_ms() - 60_000, [2; 16], b"1");
    assert_eq!(send(&old, b"1").0, 401, "too old");
    assert_eq!(*asked.lock().unwrap(), 0, "none of them cost any work");
    let (status, body) = send(&ask, b"1");
    assert_eq!((status, body.as_str()), (200, "{\"answer\":1}"));
    assert_eq!(send(&ask, b"1").0, 409, "the same again");
    let large = vec![b'1'; MAX_TASK + 1];
    assert_eq!(send(&signed(&judge, 3, &large), &large).0, 413);
    assert_eq!(send(&signed(&judge, 4, b"{"), b"{").0, 400, "no JSON");
    let (status, body) = send(&signed(&judge, 5, b"\"fail\""), b"\"fail\"");
    assert!(status == 500 && !body.contains("secret"), "{body}");
    assert_eq!(send(&signed(&judge, 6, b"\"much\""), b"\"much\"").0, 500, "more than validators take");
    assert_eq!(send(&signed(&judge, 7, b"\"sleep\""), b"\"sleep\"").0, 503, "too slow");
    let refused = (10..60).filter(|n| send(&signed(&judge, *n, b"1"), b"1").0 == 429).count();
    assert!(refused >= 20, "{refused} of 50 at once");
    // Heads and bodies that never end hold their connections for some seconds only.
    let mut open: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    for (n, stream) in open.iter_mut().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let slow = signed(&judge, 100 + n as u8, b"1").headers();
        let lines: String = slow.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST /v1/ask HTTP/1.1\r\nhost: m\r\ncontent-length: 9\r\n{lines}");
        stream.write_all(head.as_bytes()).unwrap();
        if n % 2 == 0 {
            stream.write_all(b"\r\n1").unwrap();
        }
    }
    let started = Instant::now();
    for stream in &mut open {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let done = endpoint.done();
    assert!(done.answered >= 1 && done.refused[&403] == 2 && done.refused[&409] == 1, "{done:?}");
}
