//! A whole node with one validator: its blocks prove its state, its door answers, garbage does it no harm.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::{
    Block, Certificate, Header, PublicKey, SigningKey, Validator, ValidatorSet, verify_certificate,
};
use dodona_node::{Clock, Gate, Height, Home, Limits, Node, NodeConfig, Pace};
use dodona_proto::{ALLO, sign::AccountKey, tx};
use dodona_store::RecordTable;

fn validator_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn genesis() -> Genesis {
    let alice = AccountKey::from_seed(1, "alice").address().to_string();
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice.clone(), balance: 1_000 * ALLO }],
        validators: vec![GenesisValidator {
            public_key: hex::encode(validator_key().verifying_key().to_bytes()),
            power: 10,
            operator: alice,
        }],
    }
}

async fn start(dir: &std::path::Path, gate: Gate) -> Node {
    let home = Home::open(dir, genesis(), validator_key()).unwrap();
    let rest = dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Node::start(NodeConfig {
        home,
        clock: Clock::Steps(1_000),
        pace: Pace::OnDemand(gate),
        mempool: Limits::default(),
        rest: Some(rest),
        grpc: None,
        rpc: None,
    })
    .await
    .unwrap()
}

async fn block(node: &Node, gate: &Gate) -> u64 {
    let next = node.handle().head().height + 1;
    gate.open_until(Height(next));
    node.handle().reached(next).await;
    next
}

/// One request on a connection of its own; the whole answer as text.
fn http(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A door that hangs up on garbage without a word is fine too.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str) -> String {
    http(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
}

fn post(address: SocketAddr, kind: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /txs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    http(address, &[head.as_bytes(), body].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_prove_the_state_and_a_restart_continues() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    let client = Client::new(node.handle().clone());
    let mut alice = Wallet::new(AccountKey::from_seed(1, "alice"));
    let bob = AccountKey::from_seed(1, "bob").address();
    alice.send(&client, vec![tx::send(alice.address(), bob, 5)], 100_000).unwrap();
    assert_eq!(block(&node, &gate).await, 1);
    assert_eq!(client.account(bob.to_string()).unwrap().balance, "5");
    for _ in 0..4 {
        block(&node, &gate).await;
    }
    let root = node.handle().app().root();
    let set = {
        let key = PublicKey::from_bytes(&validator_key().verifying_key().to_bytes()).unwrap();
        ValidatorSet::new(vec![Validator::new(key, 10)]).unwrap()
    };
    let store = node.handle().app().store().clone();
    let mut parent: Option<Header> = None;
    for height in 1..=5u64 {
        let read = |name| store.record(RecordTable::new(name), &height.to_be_bytes()).unwrap().unwrap();
        let header = Block::decode(&read("blocks")).unwrap().header;
        let certificate = Certificate::decode(&read("certificates")).unwrap();
        verify_certificate("localnet", &header, &certificate, &set).unwrap();
        if let Some(parent) = parent {
            assert_eq!(header.parent, parent.id());
        }
        assert_eq!(header.app_hash, store.root_at(height).unwrap());
        parent = Some(header);
    }
    drop(store);
    drop(client);
    node.stop().await.unwrap();

    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    assert_eq!(node.handle().head().height, 5);
    assert_eq!(node.handle().app().root(), root);
    assert_eq!(block(&node, &gate).await, 6);
    node.handle().app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_answers_and_garbage_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let address = node.rest_address().unwrap();
    let alice = AccountKey::from_seed(1, "alice");
    let sent = tx::Signing {
        key: &alice,
        chain_id: "localnet",
        account_number: 0,
        sequence: 0,
        fee: 1_000_000,
        gas_limit: 100_000,
    }
    .build(vec![tx::send(alice.address(), alice.address(), 1)], 0);

    let answers = tokio::task::spawn_blocking(move || {
        let status = get(address, "/status");
        assert!(
            status.starts_with("HTTP/1.1 200") && status.contains("\"chain_id\":\"localnet\""),
            "{status}"
        );
        assert!(get(address, "/blocks/latest").contains("\"height\":1"));
        assert!(get(address, &format!("/accounts/{}", alice.address())).contains("\"exists\":true"));
        for (path, code) in [
            ("/blocks/99", 404),
            ("/blocks/x", 400),
            ("/accounts/bob", 400),
            ("/topics/1", 404),
            ("/topics/-1", 400),
            ("/topics?limit=nan", 400),
            ("/txs/00", 400),
            ("/nothing", 404),
        ] {
            let answer = get(address, path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path}: {answer}");
        }
        let accepted = post(address, "application/octet-stream", &sent);
        assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
        let again = post(address, "application/octet-stream", &sent);
        assert!(again.starts_with("HTTP/1.1 202"), "a transaction that waits is answered as before: {again}");
        let garbage = post(address, "application/octet-stream", b"\xff\x00garbage");
        assert!(garbage.starts_with("HTTP/1.1 422") && garbage.contains("\"code\":2"), "{garbage}");
        assert!(post(address, "application/json", b"{\"tx_bytes\":\"%%\"}").starts_with("HTTP/1.1 400"));
        assert!(post(address, "application/json", b"{").starts_with("HTTP/1.1 400"));
        let huge = post(address, "application/octet-stream", &vec![7; 2 << 20]);
        assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 413"), "{huge}");
        http(address, b"\x16\x03\x01\x02\x00 this is no http");
        tx::hash(&sent)
    });
    let hash = answers.await.unwrap();
    block(&node, &gate).await;
    let receipt = node.handle().tx(&hash).unwrap().unwrap();
    assert_eq!((receipt.code, receipt.height), (0, 2));
    node.handle().app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_home_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), Gate::new()).await;
    let home = Home::open(dir.path(), genesis(), validator_key()).unwrap();
    let second = Node::start(NodeConfig {
        home,
        clock: Clock::Steps(1_000),
        pace: Pace::OnDemand(Gate::new()),
        mempool: Limits::default(),
        rest: None,
        grpc: None,
        rpc: None,
    })
    .await;
    let error = second.err().unwrap().to_string();
    assert!(error.contains("process"), "{error}");
    node.stop().await.unwrap();
}
