//! Several whole nodes with real chains, over loopback sockets and over a hub in memory: they agree, lose members and
//! get them back, halt without a quorum and go on with it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::{Address, Block, PublicKey, SigningKey};
use dodona_node::{
    Clock, Home, Hub, Networking, Node, NodeConfig, NodeError, Pace, PeerAddress, PeerList, Stalled,
    Timeouts, Way, peer_id,
};
use dodona_proto::{ALLO, sign::AccountKey, tx};
use dodona_store::RecordTable;
use tempfile::TempDir;

/// Longest wait for anything: only to end a test that would never end.
const PATIENCE: Duration = Duration::from_secs(90);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn genesis(validators: u8) -> Genesis {
    let alice = AccountKey::from_seed(1, "alice").address().to_string();
    let validator = |seed| GenesisValidator {
        public_key: hex::encode(key(seed).verifying_key().to_bytes()),
        power: 10,
        operator: AccountKey::from_seed(u64::from(seed), "operator").address().to_string(),
        ..GenesisValidator::default()
    };
    Genesis {
        chain_id: "network".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice, balance: 1_000 * ALLO }],
        validators: (1..=validators).map(validator).collect(),
    }
}

/// Quick rounds: the machine is slow, the network is not.
fn quick(mut network: Networking) -> Networking {
    network.timeouts = Timeouts { propose: Duration::from_millis(800), ..Timeouts::default() };
    network
}

async fn start(dir: &Path, validators: u8, seed: u8, network: Networking) -> Node {
    let home = Home::make(&dir.join(seed.to_string()), genesis(validators), key(seed)).unwrap();
    Node::start(NodeConfig {
        network: Some(quick(network)),
        rpc: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        ..NodeConfig::quiet(home, Clock::Wall, Pace::Target(Duration::from_millis(200)))
    })
    .await
    .unwrap()
}

/// What the RPC says.
fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Ports nobody uses now, nor takes until the nodes do: they lie below those the system gives to whoever asks for any,
/// and each process of a test (nextest starts one per test) has a stretch of its own.
fn free(count: usize) -> Vec<SocketAddr> {
    let (first, last, stretch) = (16_000, 32_000, 20);
    let begin = first + (std::process::id() * stretch) % (last - first);
    let all = (begin..last).chain(first..begin).map(|port| SocketAddr::from(([127, 0, 0, 1], port as u16)));
    all.filter(|address| TcpListener::bind(address).is_ok()).take(count).collect()
}

fn over_tcp(ports: &[SocketAddr], me: usize) -> Networking {
    let others = ports.iter().enumerate().filter(|(n, _)| *n != me);
    let peers = others.map(|(_, a)| a.to_string().parse::<PeerAddress>().unwrap()).collect();
    let mut network = Networking::tcp(ports[me], peers);
    network.moniker = format!("node-{me}");
    network
}

async fn reaches(node: &Node, height: u64) {
    let reached = tokio::time::timeout(PATIENCE, node.handle().reached(height)).await;
    assert!(reached.is_ok(), "height {height} was not reached, but {}", node.handle().head().height);
}

/// The root of the state after a block, and the block's name.
fn block(node: &Node, height: u64) -> (Vec<u8>, Vec<u8>) {
    let block = node.handle().block(height).unwrap().unwrap();
    (block.app_hash, block.block_id)
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_validators_over_sockets_agree_lose_one_and_get_it_back() {
    let dir = TempDir::new().unwrap();
    let ports = free(5);
    let mut nodes = Vec::new();
    for seed in 1..=4u8 {
        nodes.push(start(dir.path(), 4, seed, over_tcp(&ports[..4], usize::from(seed) - 1)).await);
    }
    for node in &nodes {
        reaches(node, 3).await;
    }
    // A transaction given to one is executed by all.
    let client = Client::new(nodes[0].handle().clone());
    let mut alice = Wallet::new(AccountKey::from_seed(1, "alice"));
    let bob = AccountKey::from_seed(1, "bob").address();
    alice.send(&client, vec![tx::send(alice.address(), bob, 5)], 100_000).unwrap();
    drop(client);
    let waits = tokio::time::timeout(PATIENCE, async {
        while Client::new(nodes[3].handle().clone()).account(bob.to_string()).unwrap().balance != "5" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waits.await.is_ok(), "the transaction did not get into a block");

    // What a node sees of its peers is renewed every second.
    let all = |seen: &PeerList| {
        let told = seen.peers.iter().filter(|p| p.persistent && p.power == 10 && p.height.is_some());
        (told.count(), seen.power, seen.total_power) == (3, 40, 40)
    };
    let saw = tokio::time::timeout(PATIENCE, async {
        while !all(&nodes[0].handle().peers()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let saw = saw.await;
    let seen = nodes[0].handle().peers();
    assert!(saw.is_ok(), "{seen:?}");
    let home = Home::load(&dir.path().join("2")).unwrap();
    assert!(
        seen.peers.iter().any(|p| p.id == peer_id(&home.network_key().unwrap()) && p.moniker == "node-1")
    );

    let address = nodes[0].rpc_address().unwrap();
    let told = tokio::task::spawn_blocking(move || [get(address, "/net_info"), get(address, "/status")]);
    let [info, status] = told.await.unwrap();
    assert!(info.contains(r#""n_peers":"3""#) && info.contains(r#""moniker":"node-1""#), "{info}");
    assert!(info.contains(r#""listening":true"#) && info.contains(r#""remote_ip":"127.0.0.1""#), "{info}");
    assert!(status.contains(r#""catching_up":false"#), "{status}");

    // One of four goes: the others go on. It comes back, and is level with them.
    let gone = nodes.pop().unwrap();
    gone.stop().await.unwrap();
    let height = nodes[0].handle().head().height;
    reaches(&nodes[0], height + 3).await;
    nodes.push(start(dir.path(), 4, 4, over_tcp(&ports[..4], 3)).await);
    let level = nodes[0].handle().head().height + 2;
    reaches(&nodes[3], level).await;

    // Somebody who is no validator, with an empty disk, follows from the first block.
    let stranger = start(dir.path(), 4, 9, over_tcp(&ports, 4)).await;
    let level = nodes[0].handle().head().height + 2;
    reaches(&stranger, level).await;
    nodes.push(stranger);
    let common = nodes.iter().map(|n| n.handle().head().height).min().unwrap();
    for height in 1..=common {
        for node in &nodes {
            assert_eq!(block(node, height), block(&nodes[0], height), "height {height}");
        }
    }
    for node in &nodes {
        node.handle().app().check_invariants().unwrap();
    }
    stop(nodes).await;
}

/// Sockets, and nobody known but the first node; the rest is asked for.
fn by_discovery(ports: &[SocketAddr], me: usize) -> Networking {
    let first = (me > 0).then(|| ports[0].to_string().parse::<PeerAddress>().unwrap());
    let mut network = Networking::tcp(ports[me], first.into_iter().collect());
    if let Way::Tcp { discovery, .. } = &mut network.way {
        *discovery = true;
    }
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_told_of_one_peer_find_the_others_and_go_on_without_it() {
    let dir = TempDir::new().unwrap();
    let ports = free(4);
    let mut nodes = Vec::new();
    for seed in 1..=4u8 {
        nodes.push(start(dir.path(), 4, seed, by_discovery(&ports, usize::from(seed) - 1)).await);
    }
    let found = tokio::time::timeout(PATIENCE, async {
        while nodes.iter().any(|node| node.handle().peers().peers.len() < 3) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let found = found.await;
    let seen: Vec<usize> = nodes.iter().map(|node| node.handle().peers().peers.len()).collect();
    assert!(found.is_ok(), "peers: {seen:?}");
    for node in &nodes {
        reaches(node, 3).await;
    }
    nodes.remove(0).stop().await.unwrap();
    let height = nodes[0].handle().head().height;
    for node in &nodes {
        reaches(node, height + 3).await;
        assert_eq!(block(node, height + 3), block(&nodes[0], height + 3));
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_validators_halt_and_go_on_when_the_others_are_back() {
    let dir = TempDir::new().unwrap();
    let hub = Hub::with_delay(Duration::from_millis(5));
    let mut nodes = Vec::new();
    for seed in 1..=4 {
        nodes.push(start(dir.path(), 4, seed, Networking::hub(hub.clone())).await);
    }
    reaches(&nodes[0], 3).await;
    nodes[2].set_cut(true);
    nodes[3].set_cut(true);
    // What was under way may still be decided.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let halted = nodes[0].handle().head().height;
    tokio::time::sleep(Duration::from_secs(4)).await;
    for node in &nodes {
        let height = node.handle().head().height;
        assert!(height <= halted + 1, "half of the power decided height {height}");
    }
    nodes[2].set_cut(false);
    nodes[3].set_cut(false);
    for node in &nodes {
        reaches(node, halted + 4).await;
    }
    for node in &nodes {
        assert_eq!(block(node, halted + 3), block(&nodes[0], halted + 3));
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_ended_at_once_and_continue_their_chain() {
    let dir = TempDir::new().unwrap();
    let mut height = 0;
    for _ in 0..3 {
        let hub = Hub::new();
        let mut nodes = Vec::new();
        for seed in 1..=4 {
            nodes.push(start(dir.path(), 4, seed, Networking::hub(hub.clone())).await);
        }
        for node in &nodes {
            assert!(node.handle().head().height >= height.min(1));
            reaches(node, height + 2).await;
        }
        height = nodes.iter().map(|n| n.handle().head().height).min().unwrap();
        for node in &nodes {
            assert_eq!(block(node, height), block(&nodes[0], height));
        }
        stop(nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_left_behind_says_so_and_ends() {
    let dir = TempDir::new().unwrap();
    // A chain whose only validator makes blocks, and a follower whose block sync never answers: another chain's
    // genesis, which the follower refuses block by block.
    let ports = free(2);
    let maker = start(dir.path(), 1, 1, over_tcp(&ports, 0)).await;
    reaches(&maker, 3).await;
    let mut other = genesis(1);
    other.accounts[0].balance += 1;
    let home = Home::make(&dir.path().join("follower"), other, key(2)).unwrap();
    let mut network = over_tcp(&ports, 1);
    network.stalled_after = Duration::from_secs(5);
    let mut follower = Node::start(NodeConfig {
        network: Some(network),
        ..NodeConfig::quiet(home, Clock::Wall, Pace::Fast)
    })
    .await
    .unwrap();
    let reason = tokio::time::timeout(PATIENCE, follower.failed()).await.unwrap();
    assert!(matches!(reason, NodeError::Stalled(Stalled::Behind { height: 0, .. })), "{reason}");
    assert_eq!(reason.exit_code(), 75);
    assert!(reason.to_string().contains("started again"), "{reason}");
    follower.stop().await.unwrap();
    maker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_port_and_a_readable_key_are_told_with_their_remedies() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::make(&dir.path().join("a"), genesis(1), key(1)).unwrap();
    let refused = Node::start(NodeConfig {
        network: Some(Networking::tcp(taken.local_addr().unwrap(), Vec::new())),
        ..NodeConfig::quiet(home, Clock::Wall, Pace::Fast)
    })
    .await;
    let Err(error) = refused else { panic!("two sockets at one address") };
    assert!(error.to_string().contains("choose another address"), "{error}");
    #[cfg(unix)]
    {
        let path = dir.path().join("a/validator_key.hex");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, mode).unwrap();
        let Err(error) = Home::load(&dir.path().join("a")) else { panic!("others can read the key") };
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_runs_twice_is_proven_guilty_in_a_block() {
    let dir = TempDir::new().unwrap();
    let ports = free(5);
    let mut nodes = Vec::new();
    for seed in 1..=4u8 {
        nodes.push(start(dir.path(), 4, seed, over_tcp(&ports, usize::from(seed) - 1)).await);
    }
    // The same key in another home: what a careless copy of a server does.
    let home = Home::make(&dir.path().join("twin"), genesis(4), key(4)).unwrap();
    let twin = NodeConfig {
        network: Some(quick(over_tcp(&ports, 4))),
        ..NodeConfig::quiet(home, Clock::Wall, Pace::Target(Duration::from_millis(200)))
    };
    let twin = Node::start(twin).await.unwrap();
    let (mut height, guilty) = (0, Address::of(&PublicKey(key(4).verifying_key())));
    let proven = tokio::time::timeout(PATIENCE, async {
        loop {
            height += 1;
            nodes[0].handle().reached(height).await;
            let store = nodes[0].handle().app().store().clone();
            let bytes = store.record(RecordTable::new("blocks"), &height.to_be_bytes()).unwrap().unwrap();
            if let Some(piece) = Block::decode(&bytes).unwrap().body.evidence.first() {
                return piece.clone();
            }
        }
    });
    let piece = proven.await.unwrap_or_else(|_| {
        let (at, seen) = (twin.handle().head().height, twin.handle().peers());
        panic!("no evidence in {height} blocks; the twin is at {at} and sees {seen:?}")
    });
    assert_eq!(piece.offender(), guilty);
    assert!(piece.height().0 < height);
    twin.stop().await.unwrap();
    for node in &nodes {
        reaches(node, height + 2).await;
        let set = node.handle().app().validators().unwrap();
        assert_eq!(set.len(), 3, "the guilty one still votes");
        assert_eq!(block(node, height + 1), block(&nodes[0], height + 1));
    }
    stop(nodes).await;
}
