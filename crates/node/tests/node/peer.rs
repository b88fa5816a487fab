//! What nodes promise each other: a transaction given to one reaches all, peers find each other and come back, and
//! whoever misbehaves loses his line while the others notice nothing.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dodona_chain::{App, Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_node::{
    Head, Limits, Mempool,
    peer::{
        ByteService, PeerConfig, PeerKey, PeerLimits, Peers, Rate, RequestError,
        line::{ChainTag, Line, LineError, greet},
        message::Message,
    },
};
use dodona_proto::{
    ALLO,
    sign::AccountKey,
    tx::{self, Signing, TxHash},
};
use dodona_store::{Config, Store};
use tokio::{net::TcpStream, sync::watch, time::timeout};

const SECOND: Duration = Duration::from_secs(1);

fn account(index: usize) -> AccountKey {
    AccountKey::from_seed(1, &format!("account {index}"))
}

fn genesis() -> Genesis {
    let rich =
        |index| GenesisAccount { address: account(index).address().to_string(), balance: 1_000 * ALLO };
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 0,
        params: Params::default(),
        admins: Vec::new(),
        accounts: (0..16).map(rich).collect(),
        validators: vec![GenesisValidator {
            public_key: hex::encode([1; 32]),
            power: 1,
            operator: account(0).address().to_string(),
            ..GenesisValidator::default()
        }],
    }
}

/// A mempool with peers; no engine behind it.
struct Node {
    app: App,
    pool: Mempool,
    peers: Peers,
    _heads: watch::Sender<Head>,
}

fn quick() -> PeerLimits {
    PeerLimits { stall: SECOND, longest_pause: SECOND, ..PeerLimits::default() }
}

async fn node(seed: u8, known: &[&Node]) -> Node {
    let known = known.iter().map(|node| format!("{}@{}", node.peers.id(), address(node))).collect();
    node_of(&genesis(), seed, "127.0.0.1:0".parse().unwrap(), known, quick()).await
}

async fn node_of(
    genesis: &Genesis,
    seed: u8,
    listen: SocketAddr,
    persistent: Vec<String>,
    limits: PeerLimits,
) -> Node {
    let app = App::open(Store::memory(Config::default()), genesis, Signatures::Check).unwrap();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let (heads, seen) = watch::channel(Head::default());
    let config =
        PeerConfig { limits, ..PeerConfig::new(PeerKey::from_seed(&[seed; 32]), Some(listen), persistent) };
    let peers = Peers::start(config, genesis, pool.clone(), seen).await.unwrap();
    Node { app, pool, peers, _heads: heads }
}

fn address(node: &Node) -> SocketAddr {
    node.peers.address().unwrap()
}

/// A transfer to oneself of so many messages.
fn transfer(node: &Node, index: usize, sequence: u64, messages: usize) -> Vec<u8> {
    let key = account(index);
    let request = dodona_proto::chain::QueryAccountRequest { address: key.address().to_string() };
    let bytes = prost::Message::encode_to_vec(&request);
    let answer = node.app.query(dodona_proto::path::ACCOUNT, &bytes).unwrap();
    let found: dodona_proto::chain::QueryAccountResponse = prost::Message::decode(answer.as_slice()).unwrap();
    let gas_limit = 1_000_000;
    Signing {
        key: &key,
        chain_id: "localnet",
        account_number: found.account_number,
        sequence,
        fee: 10_000_000,
        gas_limit,
    }
    .build(vec![tx::send(key.address(), key.address(), 1); messages], 0)
}

/// Waits until it holds, and says how long that took.
async fn until(what: &str, longest: Duration, holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < longest, "{what}: not within {longest:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn all_have(what: &str, nodes: &[&Node], hash: TxHash) -> Duration {
    until(what, 5 * SECOND, || nodes.iter().all(|node| node.pool.contains(&hash))).await
}

async fn connected(nodes: &[&Node]) {
    let there = || nodes.iter().all(|node| node.peers.list().len() >= nodes.len() - 1);
    until("all are connected", 20 * SECOND, there).await;
}

/// A stranger who speaks the protocol.
async fn stranger(seed: u8, node: &Node) -> Result<Line, LineError> {
    let socket = TcpStream::connect(address(node)).await?;
    let key = PeerKey::from_seed(&[seed; 32]);
    let mut line =
        greet(socket, true, &key, &ChainTag::of(&genesis()), Some(node.peers.id()), 4 << 20).await?;
    line.speak.say(&Message::Hello { height: 0, listen: 0, software: "stranger".into() }, SECOND).await?;
    line.hear.message().await?;
    Ok(line)
}

/// What a stranger is asked for next.
async fn wanted(line: &mut Line) -> Result<Vec<TxHash>, LineError> {
    loop {
        match timeout(5 * SECOND, line.hear.message()).await.map_err(|_| LineError::Slow)?? {
            Message::Want(hashes) => return Ok(hashes),
            _ => continue,
        }
    }
}

/// Whether the line to a stranger ends soon.
async fn cut_off(line: &mut Line) -> bool {
    let end = async { while line.hear.next().await.is_ok() {} };
    timeout(10 * SECOND, end).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_given_to_any_node_reaches_all_and_one_seed_is_enough_to_find_them() {
    let seed = node(1, &[]).await;
    let (b, c, d) = (node(2, &[&seed]).await, node(3, &[&seed]).await, node(4, &[&seed]).await);
    let nodes = [&seed, &b, &c, &d];
    until("each finds all", 60 * SECOND, || nodes.iter().all(|node| node.peers.list().len() == 3)).await;
    for (index, node) in nodes.iter().enumerate() {
        let hash = node.pool.add(&transfer(node, index, 0, 1)).unwrap();
        let took = all_have("one transaction", &nodes, hash).await;
        assert!(took < SECOND, "{took:?}");
    }
    let heard = |node: &Node| node.peers.list().iter().map(|peer| peer.bytes.0).sum::<u64>();
    let before = heard(&d);
    let (mut last, mut bytes) = (TxHash::default(), 0);
    for sequence in 1..64 {
        let tx = transfer(&b, 1, sequence, 8);
        bytes += tx.len() as u64;
        last = b.pool.add(&tx).unwrap();
    }
    let took = all_have("a sender's series", &nodes, last).await;
    assert!(nodes.iter().all(|node| node.pool.len() == 67), "{took:?}");
    let heard = heard(&d) - before;
    assert!(
        heard < bytes * 3 / 2 + 8_192,
        "each is delivered once: {bytes} bytes of transactions, {heard} heard"
    );
    for node in nodes {
        node.peers.stop().await;
        assert!(node.peers.list().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_is_found_again_and_learns_what_waits() {
    let first = node(1, &[]).await;
    let place = address(&first);
    let second = node(2, &[&first]).await;
    connected(&[&first, &second]).await;
    first.peers.stop().await;
    until("the loss is seen", 5 * SECOND, || second.peers.list().is_empty()).await;
    let hash = second.pool.add(&transfer(&second, 0, 0, 1)).unwrap();
    drop(first);
    let first = node_of(&genesis(), 1, place, Vec::new(), quick()).await;
    until("it comes back", 10 * SECOND, || second.peers.list().len() == 1).await;
    all_have("what waited meanwhile", &[&first], hash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_and_another_key_get_no_line() {
    let here = node(1, &[]).await;
    let other = Genesis { time_ms: 7, ..genesis() };
    let connect = || TcpStream::connect(address(&here));
    let key = PeerKey::from_seed(&[9; 32]);
    let wrong = greet(connect().await.unwrap(), true, &key, &ChainTag::of(&other), None, 1_024).await;
    assert!(matches!(wrong, Err(LineError::OtherChain)));
    let expected = Some(PeerKey::from_seed(&[8; 32]).id());
    let wrong = greet(connect().await.unwrap(), true, &key, &ChainTag::of(&genesis()), expected, 1_024).await;
    assert!(matches!(wrong, Err(LineError::OtherKey(id)) if id == here.peers.id()));
    let known = vec![address(&here).to_string()];
    let foreign = node_of(&other, 2, "127.0.0.1:0".parse().unwrap(), known, quick()).await;
    let myself =
        node_of(&genesis(), 1, "127.0.0.1:0".parse().unwrap(), vec![address(&here).to_string()], quick())
            .await;
    tokio::time::sleep(SECOND).await;
    assert!(
        foreign.peers.list().is_empty() && here.peers.list().is_empty() && myself.peers.list().is_empty()
    );
    let bad = vec!["nowhere".to_string()];
    let config = PeerConfig::new(PeerKey::from_seed(&[3; 32]), None, bad);
    let refused =
        Peers::start(config, &genesis(), here.pool.clone(), watch::channel(Head::default()).1).await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_the_line_and_a_ban_and_delays_nobody() {
    let (a, b) = {
        let a = node(1, &[]).await;
        let b = node(2, &[&a]).await;
        (a, b)
    };
    connected(&[&a, &b]).await;
    let mut line = stranger(9, &a).await.unwrap();
    for round in 0..5u8 {
        let garbage: Vec<Vec<u8>> = (0..8).map(|i| vec![round, i, 0xff]).collect();
        let hashes = garbage.iter().map(|tx| tx::hash(tx)).collect();
        if line.speak.say(&Message::Have(hashes), SECOND).await.is_err() {
            break;
        }
        if wanted(&mut line).await.is_err() {
            break;
        }
        let _ = line.speak.say(&Message::Txs(garbage), SECOND).await;
    }
    assert!(cut_off(&mut line).await);
    until("it is gone", 5 * SECOND, || a.peers.list().len() == 1).await;
    let mut again = stranger(9, &a).await.unwrap();
    assert!(cut_off(&mut again).await, "banned for a while");
    let mut nonsense = stranger(10, &a).await.unwrap();
    nonsense.speak.say_raw(1, &[0xff; 100], SECOND).await.unwrap();
    assert!(cut_off(&mut nonsense).await, "bytes that are no message end the line");
    let mut again = stranger(10, &a).await.unwrap();
    assert!(cut_off(&mut again).await, "and are no mistake");
    let mut unasked = stranger(11, &a).await.unwrap();
    let answer = Message::Answer { number: 0, found: Some(vec![0; 1 << 10]) };
    unasked.speak.say_raw(3, &answer.encode(), SECOND).await.unwrap();
    assert!(cut_off(&mut unasked).await, "answers that nobody asked for end the line");
    let hash = b.pool.add(&transfer(&b, 0, 0, 1)).unwrap();
    assert!(all_have("an honest transaction", &[&a], hash).await < SECOND);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_cut_off_and_others_notice_nothing() {
    let limits = PeerLimits {
        refused: Rate { per_second: 1.0, at_once: 20.0 },
        announcements: Rate { per_second: 1_000.0, at_once: 10_000.0 },
        ..quick()
    };
    let a = node_of(&genesis(), 1, "127.0.0.1:0".parse().unwrap(), Vec::new(), limits).await;
    let b = node(2, &[&a]).await;
    connected(&[&a, &b]).await;
    // Signed by a rich account, but with sequence numbers that are never reached.
    let txs: Vec<Vec<u8>> = (0..200).map(|i| transfer(&a, 15, 1_000 + i, 1)).collect();
    let mut refused = stranger(9, &a).await.unwrap();
    let refusing = tokio::spawn(async move {
        let hashes = txs.iter().map(|tx| tx::hash(tx)).collect();
        refused.speak.say(&Message::Have(hashes), SECOND).await.unwrap();
        wanted(&mut refused).await.unwrap();
        for tx in txs {
            if refused.speak.say(&Message::Txs(vec![tx]), SECOND).await.is_err() {
                break;
            }
        }
        cut_off(&mut refused).await
    });
    let Line { mut hear, mut speak, .. } = stranger(10, &a).await.unwrap();
    let announcing = tokio::spawn(async move {
        let flood = async {
            for round in 0u64.. {
                let hash = |i: u64| {
                    let mut hash = [7; 32];
                    hash[..8].copy_from_slice(&(round << 20 | i).to_be_bytes());
                    hash
                };
                if speak.say(&Message::Have((0..1_024).map(hash).collect()), SECOND).await.is_err() {
                    return;
                }
            }
        };
        let hearing = async { while hear.next().await.is_ok() {} };
        timeout(20 * SECOND, async { tokio::join!(flood, hearing) }).await.is_ok()
    });
    let mut slowest = Duration::ZERO;
    for sequence in 0..40 {
        let hash = b.pool.add(&transfer(&b, 0, sequence, 1)).unwrap();
        slowest = slowest.max(all_have("an honest transaction", &[&a], hash).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(slowest < 2 * SECOND, "{slowest:?}");
    assert!(refusing.await.unwrap(), "a flood of refused transactions ends the line");
    assert!(announcing.await.unwrap(), "a flood of announcements ends the line");
    until("only the honest peer is left", 5 * SECOND, || a.peers.list().len() == 1).await;
    assert_eq!(a.pool.len(), 40);
    println!("slowest honest transaction during the floods: {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_off_and_what_waits_for_it_is_small() {
    let a = node(1, &[]).await;
    let b = node(2, &[&a]).await;
    connected(&[&a, &b]).await;
    let mut hashes = Vec::new();
    for sequence in 0..60 {
        hashes.push(a.pool.add(&transfer(&a, 0, sequence, 60)).unwrap());
    }
    let mut line = stranger(9, &a).await.unwrap();
    // 3,600 times some kilobytes, which a peer may ask for, and not one of them is read.
    for _ in 0..60 {
        line.speak.say(&Message::Want(hashes.clone()), SECOND).await.unwrap();
    }
    let start = Instant::now();
    let hash = b.pool.add(&transfer(&b, 1, 0, 1)).unwrap();
    assert!(all_have("an honest transaction", &[&a], hash).await < SECOND);
    until("the slow one is gone", 10 * SECOND, || a.peers.list().len() == 1).await;
    let (took, bytes) = (start.elapsed(), hashes.len() * 60);
    assert!(took >= SECOND / 2, "it was given time: {took:?}, {bytes} transactions asked for");
    // Asking for more than one reads is another matter.
    let mut line = stranger(10, &a).await.unwrap();
    for _ in 0..200 {
        if line.speak.say(&Message::Want(hashes.clone()), SECOND).await.is_err() {
            break;
        }
    }
    until("the greedy one is gone", 10 * SECOND, || a.peers.list().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_word_take_no_places_for_long() {
    let a = node(1, &[]).await;
    let b = node(2, &[&a]).await;
    connected(&[&a, &b]).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address(&a)).await.unwrap());
    }
    let hash = b.pool.add(&transfer(&b, 0, 0, 1)).unwrap();
    assert!(all_have("an honest transaction", &[&a], hash).await < SECOND);
    let mut open = 0;
    tokio::time::sleep(SECOND / 2).await;
    for socket in &silent {
        // A node says its sixteen bytes first; those that were not let in hear the end.
        let mut first = [0; 64];
        open += usize::from(matches!(socket.try_read(&mut first), Ok(read) if read > 0));
    }
    assert!(open <= 32, "{open}");
    tokio::time::sleep(6 * SECOND).await;
    assert!(stranger(9, &a).await.is_ok(), "the places are free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_early_is_taken_when_the_one_before_it_is_there() {
    let a = node(1, &[]).await;
    let mut line = stranger(9, &a).await.unwrap();
    let txs: Vec<Vec<u8>> = [2, 1, 0].map(|sequence| transfer(&a, 0, sequence, 1)).into();
    line.speak.say(&Message::Have(txs.iter().map(|tx| tx::hash(tx)).collect()), SECOND).await.unwrap();
    wanted(&mut line).await.unwrap();
    for tx in &txs {
        line.speak.say(&Message::Txs(vec![tx.clone()]), SECOND).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("all three wait", 2 * SECOND, || a.pool.len() == 3).await;
    // One that is announced and never comes is asked of somebody else who has it.
    let tx = transfer(&a, 1, 0, 1);
    let mut other = stranger(10, &a).await.unwrap();
    for line in [&mut line, &mut other] {
        line.speak.say(&Message::Have(vec![tx::hash(&tx)]), SECOND).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(wanted(&mut other).await.unwrap(), [tx::hash(&tx)]);
    other.speak.say(&Message::Txs(vec![tx]), SECOND).await.unwrap();
    until("it came from the other", 2 * SECOND, || a.pool.len() == 4).await;
}

struct Shelf;

impl ByteService for Shelf {
    fn serve(&self, key: &[u8]) -> Option<Vec<u8>> {
        match key {
            b"large" => Some(vec![5; 4 << 20]),
            b"too large" => Some(vec![5; (4 << 20) + 1]),
            _ => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_can_be_fetched_from_a_peer_while_transactions_flow() {
    let a = node(1, &[]).await;
    let b = node(2, &[&a]).await;
    connected(&[&a, &b]).await;
    a.peers.serve(7, Arc::new(Shelf));
    let id = a.peers.id();
    let ask = |kind, key: &'static [u8]| b.peers.request(id, kind, key, 20 * SECOND);
    let (first, second, third) = tokio::join!(ask(7, b"large"), ask(7, b"large"), async {
        let hash = b.pool.add(&transfer(&b, 0, 0, 1)).unwrap();
        let to = all_have("there", &[&a], hash).await;
        let hash = a.pool.add(&transfer(&a, 1, 0, 1)).unwrap();
        to.max(all_have("and back", &[&b], hash).await)
    });
    assert_eq!(first.unwrap().len(), 4 << 20);
    assert_eq!(second.unwrap().len(), 4 << 20);
    assert!(third < 2 * SECOND, "{third:?}");
    assert_eq!(ask(7, b"nothing").await, Err(RequestError::NotFound));
    assert_eq!(ask(7, b"too large").await, Err(RequestError::NotFound));
    assert_eq!(ask(8, b"large").await, Err(RequestError::NotFound));
    assert_eq!(ask(7, &[0; 257]).await, Err(RequestError::LongKey));
    let nobody = PeerKey::from_seed(&[77; 32]).id();
    assert_eq!(b.peers.request(nobody, 7, b"large", SECOND).await, Err(RequestError::NotConnected));
}

#[test]
fn addresses_are_read_as_they_are_written_and_nonsense_is_refused() {
    use dodona_node::peer::PeerAddress;
    let id = PeerKey::from_seed(&[1; 32]).id();
    for good in ["127.0.0.1:26655", "node.example.org:1", "[::1]:9", &format!("{id}@10.0.0.1:26655")] {
        assert_eq!(good.parse::<PeerAddress>().unwrap().to_string(), good);
    }
    for bad in
        ["", ":1", "host", "host:", "host:0", "host:65536", "::1:9", "x@host:1", "ho st:1", &"a".repeat(300)]
    {
        assert!(bad.parse::<PeerAddress>().is_err(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transactions_reach_all_nodes_in_their_senders_order() {
    let seed = node(1, &[]).await;
    let (b, c, d) = (node(2, &[&seed]).await, node(3, &[&seed]).await, node(4, &[&seed]).await);
    let nodes = [&seed, &b, &c, &d];
    connected(&nodes).await;
    let txs: Vec<Vec<u8>> = (0..60)
        .flat_map(|sequence| (0..16).map(move |index| (index, sequence)))
        .map(|(i, s)| transfer(&b, i, s, 1))
        .collect();
    let start = Instant::now();
    for tx in &txs {
        b.pool.add(tx).unwrap();
    }
    let given = start.elapsed();
    until("all have all", 60 * SECOND, || nodes.iter().all(|node| node.pool.len() == txs.len())).await;
    println!(
        "{} transactions: given to one node in {given:?}, at all four after {:?}",
        txs.len(),
        start.elapsed()
    );
    for node in nodes {
        let candidates = node.pool.candidates(usize::MAX, usize::MAX);
        let executed = node.app.propose(&dodona_chain::BlockInput::of(1, 1, &candidates)).unwrap();
        assert_eq!(executed.1.len(), candidates.len(), "none of them has to be left out");
    }
}
