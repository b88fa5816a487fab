//! The doors from outside: what strangers can ask, over HTTP/1, HTTP/2 and websocket, and what happens to those who
//! ask too much, too slowly or nonsense.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Request, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, DoorLimits, Gate, Height, Home, Node, NodeConfig, Pace};
use dodona_proto::{
    ALLO,
    cosmos::{bank::v1beta1 as bank, tx::v1beta1 as txs},
    emissions::v10,
    sign::AccountKey,
    topics, tx, url,
};
use futures::{SinkExt, StreamExt};
use h2::client::SendRequest;
use prost::Message;
use tokio_tungstenite::tungstenite::Message as Word;
use tonic_reflection::pb::v1 as reflection;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn account(name: &str) -> AccountKey {
    AccountKey::from_seed(1, name)
}

fn home(dir: &std::path::Path) -> Home {
    home_of(dir, &[])
}

/// A home whose chain begins with money for alice and all of these.
fn home_of(dir: &std::path::Path, others: &[String]) -> Home {
    let alice = account("alice").address().to_string();
    let rich = |address: &String| GenesisAccount { address: address.clone(), balance: 1_000 * ALLO };
    let genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: [&alice].into_iter().chain(others).map(rich).collect(),
        validators: vec![GenesisValidator {
            public_key: hex::encode(key().verifying_key().to_bytes()),
            power: 10,
            operator: alice,
            ..GenesisValidator::default()
        }],
    };
    Home::open(dir, genesis, key()).unwrap()
}

/// A node with all doors open.
struct Open {
    node: Node,
    gate: Gate,
    dir: tempfile::TempDir,
}

impl Open {
    async fn new(limits: DoorLimits) -> Self {
        Self::with(limits, &[]).await
    }

    async fn with(limits: DoorLimits, others: &[String]) -> Self {
        let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::new());
        let bind =
            || -> Option<TcpListener> { Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()) };
        let node = Node::start(NodeConfig {
            rest: bind(),
            grpc: bind(),
            rpc: bind(),
            limits,
            ..NodeConfig::quiet(
                home_of(dir.path(), others),
                Clock::Steps(1_000),
                Pace::OnDemand(gate.clone()),
            )
        })
        .await
        .unwrap();
        Self { node, gate, dir }
    }

    async fn block(&self) -> u64 {
        let next = self.node.handle().head().height + 1;
        self.gate.open_until(Height(next));
        self.node.handle().reached(next).await;
        next
    }

    fn rest(&self) -> SocketAddr {
        self.node.rest_address().unwrap()
    }

    fn rpc(&self) -> SocketAddr {
        self.node.rpc_address().unwrap()
    }

    async fn grpc(&self) -> Grpc {
        Grpc::to(self.node.grpc_address().unwrap()).await
    }
}

/// Limits that hold for this machine too.
fn strict() -> DoorLimits {
    DoorLimits { limit_loopback: true, ..DoorLimits::default() }
}

/// A client of gRPC that can also say what no client would.
struct Grpc {
    send: SendRequest<Bytes>,
}

/// What came back, whole.
#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    data: Vec<u8>,
    trailers: HeaderMap,
}

impl Answer {
    async fn of(response: Response<h2::RecvStream>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut data = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            data.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        Self { headers: parts.headers, data, trailers }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).or_else(|| self.headers.get(name)).map(|v| v.to_str().unwrap())
    }

    fn status(&self) -> u32 {
        self.header("grpc-status").unwrap_or_else(|| panic!("{self:?}")).parse().unwrap()
    }

    fn text(&self) -> &str {
        self.header("grpc-message").unwrap_or_default()
    }

    fn message<M: Message + Default>(&self) -> M {
        assert_eq!(self.status(), 0, "{self:?}");
        M::decode(&self.data[5..]).unwrap()
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

impl Grpc {
    async fn to(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    async fn raw(&mut self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(format!("http://node{path}")).header("te", "trailers");
        if headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        futures::future::poll_fn(|cx| self.send.poll_ready(cx)).await.unwrap();
        let (response, mut stream) = self.send.send_request(request.body(()).unwrap(), false).unwrap();
        // A door that has heard enough may answer before everything is said.
        let _ = stream.send_data(body.into(), true);
        Answer::of(response.await.unwrap()).await
    }

    async fn ask(&mut self, path: &str, request: &impl Message, headers: &[(&str, &str)]) -> Answer {
        self.raw(path, frame(&request.encode_to_vec()), headers).await
    }
}

const BALANCE: &str = "/cosmos.bank.v1beta1.Query/Balance";

fn balance_of(name: &str) -> bank::QueryBalanceRequest {
    bank::QueryBalanceRequest { address: account(name).address().to_string(), denom: "uallo".into() }
}

/// Says something on a connection of its own and hears everything there is to hear, with the time it took.
async fn say(address: SocketAddr, words: impl Into<Vec<u8>>) -> (String, Duration) {
    let words = words.into();
    tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        // A door may hang up before everything is said.
        let _ = socket.write_all(&words);
        let mut answer = Vec::new();
        let ended = socket.read_to_end(&mut answer);
        let waits = ended.is_err_and(|e| {
            matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(!waits, "the door still waits after 8 seconds: {:?}", String::from_utf8_lossy(&answer));
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    })
    .await
    .unwrap()
}

async fn post(address: SocketAddr, path: &str, kind: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    say(address, [head.as_bytes(), body].concat()).await.0
}

const STATUS: &str = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_the_height_that_is_asked_for_and_say_so() {
    let open = Open::new(DoorLimits::default()).await;
    let client = Client::new(open.node.handle().clone());
    let (mut alice, bob) = (Wallet::new(account("alice")), account("bob").address());
    for n in 1..=3 {
        alice.send(&client, vec![tx::send(alice.address(), bob, n)], 100_000).unwrap();
        assert_eq!(open.block().await, n as u64);
    }
    let mut grpc = open.grpc().await;
    for (height, of, amount) in [("1", "1", "1"), ("2", "2", "3"), ("3", "3", "6"), ("0", "3", "6")] {
        let answer = grpc.ask(BALANCE, &balance_of("bob"), &[("x-cosmos-block-height", height)]).await;
        let balance: bank::QueryBalanceResponse = answer.message();
        assert_eq!(balance.balance.unwrap().amount, amount);
        assert_eq!(answer.header("x-cosmos-block-height"), Some(of));
    }
    let newest = grpc.ask(BALANCE, &balance_of("bob"), &[]).await;
    assert_eq!(newest.header("x-cosmos-block-height"), Some("3"));
    let topics = "/emissions.v10.QueryService/GetNextTopicId";
    let first = grpc.ask(topics, &v10::GetNextTopicIdRequest {}, &[("x-cosmos-block-height", "1")]).await;
    assert_eq!(first.message::<v10::GetNextTopicIdResponse>().next_topic_id, 1);
    for (height, says) in
        [("4", "future"), ("18446744073709551615", "future"), ("-1", "height"), ("x", "height")]
    {
        let refused = grpc.ask(BALANCE, &balance_of("bob"), &[("x-cosmos-block-height", height)]).await;
        assert_eq!(refused.status(), 3, "{height}: {refused:?}");
        assert!(refused.text().contains(says), "{height}: {refused:?}");
    }

    while open.block().await < 131 {}
    let gone = grpc.ask(BALANCE, &balance_of("bob"), &[("x-cosmos-block-height", "3")]).await;
    assert_eq!((gone.status(), gone.text().contains("the oldest kept is 4")), (3, true), "{gone:?}");
    let oldest = grpc.ask(BALANCE, &balance_of("bob"), &[("x-cosmos-block-height", "4")]).await;
    assert_eq!(oldest.message::<bank::QueryBalanceResponse>().balance.unwrap().amount, "6");
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_tells_services_and_schemas_in_both_versions() {
    use reflection::{
        server_reflection_request::MessageRequest as Ask, server_reflection_response::MessageResponse as Told,
    };
    let open = Open::new(DoorLimits::default()).await;
    let mut grpc = open.grpc().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let ask = |message| reflection::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let list = grpc.ask(&path, &ask(Ask::ListServices(String::new())), &[]).await;
        let told: reflection::ServerReflectionResponse = list.message();
        let Some(Told::ListServicesResponse(list)) = told.message_response else { panic!("{told:?}") };
        for service in ["emissions.v10.QueryService", "cosmos.bank.v1beta1.Query", "grpc.health.v1.Health"] {
            assert!(list.service.iter().any(|s| s.name == service), "{service} in {list:?}");
        }
        let symbol = ask(Ask::FileContainingSymbol("emissions.v10.GetTopicRequest".into()));
        let told: reflection::ServerReflectionResponse = grpc.ask(&path, &symbol, &[]).await.message();
        let Some(Told::FileDescriptorResponse(files)) = told.message_response else { panic!("{told:?}") };
        let file =
            prost_types::FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
        assert_eq!(file.package(), "emissions.v10");
        // Everything a file leans on can be asked for too.
        for name in &file.dependency {
            let told = grpc.ask(&path, &ask(Ask::FileByFilename(name.clone())), &[]).await;
            assert_eq!(told.status(), 0, "{name}");
        }
        assert_eq!(grpc.ask(&path, &ask(Ask::FileContainingSymbol("no.such".into())), &[]).await.status(), 5);
        // What does not decode ends the stream without an answer.
        assert!(grpc.raw(&path, b"\0\0\0\0\x02\xff\xff".to_vec(), &[]).await.data.is_empty());
    }
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_node_and_its_services() {
    let open = Open::new(DoorLimits::default()).await;
    let mut grpc = open.grpc().await;
    let of = |service: &str| tonic_health::pb::HealthCheckRequest { service: service.into() };
    for service in ["", "emissions.v10.QueryService"] {
        let answer = grpc.ask("/grpc.health.v1.Health/Check", &of(service), &[]).await;
        assert_eq!(answer.message::<tonic_health::pb::HealthCheckResponse>().status, 1);
    }
    assert_eq!(grpc.ask("/grpc.health.v1.Health/Check", &of("nobody"), &[]).await.status(), 5);
    assert_eq!(grpc.ask("/grpc.health.v1.Health/Watch", &of(""), &[]).await.status(), 12);
    assert_eq!(grpc.ask("/grpc.health.v1.Health/Other", &of(""), &[]).await.status(), 12);
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_over_grpc_gets_a_clean_status() {
    let open = Open::new(DoorLimits::default()).await;
    let mut grpc = open.grpc().await;
    let good = frame(&balance_of("bob").encode_to_vec());
    let twice = [good.clone(), good.clone()].concat();
    let trailing = [&good[..], b"?"].concat();
    let packed = [&[1][..], &good[1..]].concat();
    let big = frame(&vec![0; 2 << 20]);
    let long = format!("/{}/x", "a".repeat(20_000));
    for (what, path, body, headers, status) in [
        ("good", BALANCE, good.clone(), &[][..], 0),
        ("empty", BALANCE, vec![], &[], 3),
        ("cut head", BALANCE, good[..3].to_vec(), &[], 3),
        ("cut", BALANCE, good[..9].to_vec(), &[], 3),
        ("twice", BALANCE, twice, &[], 3),
        ("trailing", BALANCE, trailing, &[], 3),
        ("flagged", BALANCE, packed.clone(), &[], 3),
        ("compressed", BALANCE, packed, &[("grpc-encoding", "gzip")], 12),
        ("too big", BALANCE, big, &[], 8),
        ("says big", BALANCE, vec![0, 255, 255, 255, 255, 1], &[], 8),
        ("no protobuf", BALANCE, frame(&[0xff; 40]), &[], 3),
        ("unknown", "/no.Such/Method", good.clone(), &[], 12),
        ("root", "/", good.clone(), &[], 12),
        ("long", &long, good.clone(), &[], 12),
        ("no time", BALANCE, good.clone(), &[("grpc-timeout", "1n")], 4),
        ("odd time", BALANCE, good.clone(), &[("grpc-timeout", "soon")], 3),
        ("much time", BALANCE, good.clone(), &[("grpc-timeout", "99999999H")], 0),
    ] {
        let answer = grpc.raw(path, body, headers).await;
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
    }
    let json = grpc.raw(BALANCE, b"{}".to_vec(), &[("content-type", "application/json")]).await;
    assert!(String::from_utf8_lossy(&json.data).contains("speaks gRPC"));
    let address = open.node.grpc_address().unwrap();
    let browser = say(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.0;
    assert!(browser.starts_with("HTTP/1.1 405"), "{browser}");
    let old = post(address, BALANCE, "application/grpc", &good).await;
    assert!(old.starts_with("HTTP/1.1 400") && old.contains("HTTP/2"), "{old}");
    for noise in [
        &b"\x16\x03\x01\x02\x00 no http"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot frames at all",
        b"\0\0\0\0",
    ] {
        let socket =
            tokio::task::spawn_blocking(move || TcpStream::connect(address).unwrap().write_all(noise));
        socket.await.unwrap().unwrap();
    }
    assert_eq!(grpc.raw(BALANCE, good, &[]).await.status(), 0);
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_served_in_their_dialect() {
    let open = Open::new(DoorLimits::default()).await;
    let address = open.node.grpc_address().unwrap();
    let good = frame(&balance_of("alice").encode_to_vec());
    let plain = post(address, BALANCE, "application/grpc-web+proto", &good).await;
    assert!(plain.starts_with("HTTP/1.1 200") && plain.contains("grpc-status:0"), "{plain}");
    assert!(plain.contains("access-control-allow-origin: *") && plain.contains("uallo"), "{plain}");
    let text = post(address, BALANCE, "application/grpc-web-text", STANDARD.encode(&good).as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("application/grpc-web-text"), "{text}");
    // The trailers are a frame of their own, marked by its first bit.
    let trailers = text.lines().find(|line| line.starts_with("gAAAA")).unwrap();
    let trailers = String::from_utf8_lossy(&STANDARD.decode(trailers).unwrap()).into_owned();
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    for (kind, body) in [
        ("application/grpc-web", &good[..4]),
        ("application/grpc-web", b""),
        ("application/grpc-web-text", b"%%%%%"),
        ("application/grpc-web-text", b"AAA"),
    ] {
        let refused = post(address, BALANCE, kind, body).await;
        assert!(
            refused.starts_with("HTTP/1.1 200") && !refused.contains("grpc-status:0"),
            "{kind}: {refused}"
        );
    }
    let asked =
        format!("OPTIONS {BALANCE} HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nConnection: close\r\n\r\n");
    let allowed = say(address, asked).await.0;
    assert!(allowed.starts_with("HTTP/1.1 204") && allowed.contains("x-grpc-web"), "{allowed}");
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slow_is_cut_off() {
    let head_time = Duration::from_millis(300);
    let idle_time = Duration::from_millis(1_200);
    let answer_time = Duration::from_millis(900);
    let open = Open::new(DoorLimits { head_time, idle_time, answer_time, ..DoorLimits::default() }).await;
    open.block().await;
    let keep = STATUS.replace("Connection: close\r\n", "");
    let post = "POST /txs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc";
    for door in [open.rest(), open.rpc(), open.node.grpc_address().unwrap()] {
        for silence in
            ["", "G", "GET /status HTTP/1.1\r\nHost:", "PRI * HTTP", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        {
            let (_, time) = say(door, silence).await;
            assert!(time >= head_time && time < Duration::from_secs(2), "{silence}: {time:?}");
        }
    }
    let (answer, time) = say(open.rest(), keep.clone()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && time >= idle_time, "idle: {time:?}, {answer}");
    assert!(time < Duration::from_secs(3), "idle: {time:?}");
    let (answer, _) = say(open.rest(), post).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A second head that never ends, on a connection that was good before.
    let address = open.rest();
    let half = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(keep.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        socket.write_all(b"GET /sta").unwrap();
        let begun = Instant::now();
        let _ = socket.read_to_end(&mut Vec::new());
        begun.elapsed()
    });
    let time = half.await.unwrap();
    assert!(time >= Duration::from_millis(250) && time < Duration::from_millis(1_000), "{time:?}");
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_beyond_measure_are_refused() {
    let open = Open::new(DoorLimits::default()).await;
    open.block().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(200_000));
    let many: String = (0..500).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}Connection: close\r\n\r\n");
    let fat = format!("GET / HTTP/1.1\r\nHost: x\r\nx-fat: {}\r\n\r\n", "f".repeat(200_000));
    for door in [open.rest(), open.rpc(), open.node.grpc_address().unwrap()] {
        for words in [&long, &many, &fat] {
            let (answer, _) = say(door, words.as_bytes()).await;
            let refused =
                answer.is_empty() || answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414");
            assert!(refused, "{answer}");
        }
    }
    for (door, path) in [(open.rest(), "/txs"), (open.rpc(), "/")] {
        let answer = post(door, path, "application/json", &vec![b'['; 3 << 20]).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
        let deep = post(door, path, "application/json", &vec![b'['; 200_000]).await;
        assert!(!deep.starts_with("HTTP/1.1 5"), "{deep}");
    }
    assert!(say(open.rest(), STATUS).await.0.starts_with("HTTP/1.1 200"));
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_per_peer_and_in_total() {
    for (limits, says) in [
        (DoorLimits { connections_per_peer: 3, ..strict() }, "from your address"),
        (DoorLimits { connections: 3, ..DoorLimits::default() }, "to this node"),
    ] {
        let open = Open::new(limits).await;
        open.block().await;
        // Over all doors together.
        let held: Vec<TcpStream> = [open.rest(), open.rpc(), open.node.grpc_address().unwrap()]
            .map(|door| TcpStream::connect(door).unwrap())
            .into();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (refused, _) = say(open.rest(), "").await;
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains(says), "{refused}");
        drop(held);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(say(open.rest(), STATUS).await.0.starts_with("HTTP/1.1 200"));
        open.node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rationed_per_peer_on_every_door() {
    let open = Open::new(DoorLimits { requests_per_second: 1, burst: 4, ..strict() }).await;
    open.block().await;
    let mut grpc = open.grpc().await;
    let url = format!("ws://{}/websocket", open.rpc());
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap(); // 1
    socket.send(Word::text(r#"{"id":1,"method":"health"}"#)).await.unwrap(); // 2
    let heard = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(heard.contains("result"), "{heard}");
    assert_eq!(grpc.ask(BALANCE, &balance_of("bob"), &[]).await.status(), 0); // 3
    assert!(say(open.rest(), STATUS).await.0.starts_with("HTTP/1.1 200")); // 4
    let refused = grpc.ask(BALANCE, &balance_of("bob"), &[]).await;
    assert_eq!((refused.status(), refused.text().contains("slow down")), (8, true), "{refused:?}");
    let (refused, _) = say(open.rest(), STATUS).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("slow down"), "{refused}");
    socket.send(Word::text(r#"{"id":2,"method":"health"}"#)).await.unwrap();
    let heard = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(heard.contains("slow down"), "{heard}");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(grpc.ask(BALANCE, &balance_of("bob"), &[]).await.status(), 0);
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_dawdle_leave_room_for_others() {
    let limits = DoorLimits { requests_at_once: 4, requests_at_once_per_peer: 2, ..strict() };
    let open = Open::new(limits).await;
    open.block().await;
    let slow = || {
        let mut socket = TcpStream::connect(open.rest()).unwrap();
        socket.write_all(b"POST /txs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").unwrap();
        socket
    };
    let held = [slow(), slow()];
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (refused, _) = say(open.rest(), STATUS).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("same time"), "{refused}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(say(open.rest(), STATUS).await.0.starts_with("HTTP/1.1 200"));
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_opened_and_reset_without_end_keep_nobody_else_out() {
    let open = Open::new(DoorLimits::default()).await;
    let mut flood = open.grpc().await;
    let mut failed = false;
    for _ in 0..20_000 {
        let request = Request::post(format!("http://node{BALANCE}")).body(()).unwrap();
        if futures::future::poll_fn(|cx| flood.send.poll_ready(cx)).await.is_err() {
            failed = true;
            break;
        }
        match flood.send.send_request(request, false) {
            Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    println!("reset flood: connection closed by the door: {failed}");
    let answer = open.grpc().await.ask(BALANCE, &balance_of("bob"), &[]).await;
    assert_eq!(answer.status(), 0);
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_all_websockets_or_all_of_reflection() {
    let open = Open::new(strict()).await;
    let url = format!("ws://{}/websocket", open.rpc());
    let mut sockets = Vec::new();
    for _ in 0..129 {
        sockets.push(tokio_tungstenite::connect_async(&url).await.unwrap().0);
    }
    // Places are taken in the order in which the connections were taken over, which is not known from here.
    let mut told = Vec::new();
    for socket in &mut sockets {
        socket.send(Word::text(r#"{"id":1,"method":"health"}"#)).await.ok();
        told.push(socket.next().await.unwrap().unwrap().into_text().unwrap());
    }
    let refused: Vec<_> = told.iter().filter(|text| text.contains("at most 128")).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(told.iter().filter(|text| text.contains(r#""result":{}"#)).count(), 128);
    drop(sockets);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut again, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    again.send(Word::text(r#"{"id":1,"method":"health"}"#)).await.unwrap();
    assert!(again.next().await.unwrap().unwrap().into_text().unwrap().contains("result"));

    let mut grpc = open.grpc().await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let begin = || {
        let request = Request::post(format!("http://node{path}")).header("te", "trailers");
        request.header("content-type", "application/grpc").body(()).unwrap()
    };
    let mut open_ended = Vec::new();
    for _ in 0..8 {
        open_ended.push(grpc.send.send_request(begin(), false).unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ninth = grpc.raw(path, Vec::new(), &[]).await;
    assert_eq!((ninth.status(), ninth.text().contains("at most 8")), (8, true), "{ninth:?}");
    // Everything else is answered, and so is reflection once somebody is through.
    assert_eq!(grpc.ask(BALANCE, &balance_of("bob"), &[]).await.status(), 0);
    open_ended.clear();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(grpc.raw(path, Vec::new(), &[]).await.status(), 0);
    open.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_guests_stops_within_seconds_and_lets_go_of_its_home() {
    let open = Open::new(DoorLimits::default()).await;
    open.block().await;
    let url = format!("ws://{}/websocket", open.rpc());
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    socket
        .send(Word::text(r#"{"id":1,"method":"subscribe","params":{"query":"tm.event='NewBlockEvents'"}}"#))
        .await
        .unwrap();
    socket.next().await.unwrap().unwrap();
    open.block().await;
    let told = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(told.contains("NewBlockEvents"), "{told}");
    let mut grpc = open.grpc().await;
    assert_eq!(grpc.ask(BALANCE, &balance_of("bob"), &[]).await.status(), 0);
    let _silent = TcpStream::connect(open.rest()).unwrap();
    let mut half = TcpStream::connect(open.rest()).unwrap();
    half.write_all(b"POST /txs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (begun, rest) = (Instant::now(), open.rest());
    let Open { node, dir, .. } = open;
    node.stop().await.unwrap();
    let time = begun.elapsed();
    println!("stopping took {time:?}");
    assert!(time < Duration::from_secs(4), "{time:?}");
    assert!(TcpStream::connect(rest).is_err(), "the door is closed");
    while let Some(Ok(word)) = socket.next().await {
        assert!(word.is_close() || word.is_text());
    }
    let again =
        Node::start(NodeConfig::quiet(home(dir.path()), Clock::Steps(1_000), Pace::OnDemand(Gate::new())))
            .await
            .unwrap();
    assert_eq!(again.handle().head().height, 2);
    again.stop().await.unwrap();
}

/// Hands a transaction in over gRPC, as published clients do.
async fn broadcast(grpc: &mut Grpc, tx_bytes: Vec<u8>) -> [u8; 32] {
    let hash = tx::hash(&tx_bytes);
    let request = txs::BroadcastTxRequest { tx_bytes, mode: txs::BroadcastMode::Sync.into() };
    let answer: txs::BroadcastTxResponse =
        grpc.ask("/cosmos.tx.v1beta1.Service/BroadcastTx", &request, &[]).await.message();
    let told = answer.tx_response.unwrap();
    assert_eq!(told.code, 0, "{told:?}");
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_hundred_workers_lose_no_answer() {
    const WORKERS: usize = 100;
    let keys: Vec<AccountKey> = (0..=WORKERS).map(|i| account(&format!("w{i}"))).collect();
    let names: Vec<String> = keys.iter().map(|key| key.address().to_string()).collect();
    let open = Open::with(DoorLimits::default(), &names).await;
    let sign = |i: usize, sequence: u64, messages| {
        let gas_limit = 1_000_000;
        // The genesis numbers accounts in order; alice is the first.
        let account_number = i as u64 + 1;
        let fee = u128::from(gas_limit) * 10;
        let signing =
            tx::Signing { key: &keys[i], chain_id: "localnet", account_number, sequence, fee, gas_limit };
        signing.build(messages, 0)
    };
    let spec = topics::TopicSpec {
        title: "load".into(),
        rule: topics::Rule::Regret.into(),
        epoch_length: 2,
        worker_window: 1,
        truth_lag: 1,
        truth_window: 1,
        max_inferers: WORKERS as u32,
        ..topics::TopicSpec::default()
    };
    let fund =
        topics::MsgFundTopic { sender: names[0].clone(), topic_id: 1, amount: (10 * ALLO).to_string() };
    let stake =
        topics::MsgAddStake { sender: names[WORKERS].clone(), topic_id: 1, amount: (10 * ALLO).to_string() };
    let mut grpc = open.grpc().await;
    for i in 0..=WORKERS {
        let role = if i < WORKERS { topics::Role::Worker } else { topics::Role::Reputer };
        let register = topics::MsgRegister {
            sender: names[i].clone(),
            topic_id: 1,
            role: role.into(),
            ..topics::MsgRegister::default()
        };
        let mut messages = vec![tx::pack(url::REGISTER, &register)];
        if i == 0 {
            let create = topics::MsgCreateTopic { creator: names[0].clone(), spec: Some(spec.clone()) };
            messages.insert(0, tx::pack(url::CREATE_TOPIC, &create));
            messages.push(tx::pack(url::FUND_TOPIC, &fund));
        }
        if i == WORKERS {
            messages.push(tx::pack(url::ADD_STAKE, &stake));
        }
        broadcast(&mut grpc, sign(i, 0, messages)).await;
    }
    open.block().await;

    let client = Client::new(open.node.handle().clone());
    let (mut epochs, mut times) = (0, Vec::new());
    while epochs < 10 {
        let windows = client.windows(1).unwrap();
        let next = windows.height + 1;
        let asking = windows.windows.iter().find(|w| w.worker_first <= next && next <= w.worker_last);
        let Some(nonce) = asking.map(|w| w.nonce) else {
            open.block().await;
            continue;
        };
        epochs += 1;
        let begun = Instant::now();
        let mut sent = tokio::task::JoinSet::new();
        for (i, name) in names[..WORKERS].iter().enumerate() {
            let payload = topics::MsgSubmitPayload {
                sender: name.clone(),
                topic_id: 1,
                nonce,
                inference: format!("{}", 20.0 + i as f64 / 10.0),
                ..topics::MsgSubmitPayload::default()
            };
            let bytes = sign(i, epochs, vec![tx::pack(url::SUBMIT, &payload)]);
            let address = open.node.grpc_address().unwrap();
            sent.spawn(async move { broadcast(&mut Grpc::to(address).await, bytes).await });
        }
        let hashes = sent.join_all().await;
        times.push(begun.elapsed());
        let height = open.block().await;
        for hash in hashes {
            let receipt = open.node.handle().tx(&hash).unwrap().unwrap();
            assert_eq!((receipt.code, receipt.height), (0, height), "{receipt:?}");
        }
    }
    times.sort();
    println!("{epochs} epochs of {WORKERS} answers, none lost; handing in took {:?} at most", times.last());
    open.node.handle().app().check_invariants().unwrap();
    open.node.stop().await.unwrap();
}
