//! What a node keeps and gives away: snapshots that others believe only as far as they are proven, blocks that are
//! forgotten, chains that are executed again, upgrades in the middle of a life.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params, upgrade};
use dodona_client::{Client, Wallet};
use dodona_consensus::SigningKey;
use dodona_node::{
    Clock, Gate, Height, Home, Node, NodeConfig, Pace, offline,
    peer::{PeerConfig, PeerKey},
    prune,
    replay::{ReplayError, replay},
    snapshot::{
        Anchor, AnchorError, Offer, Remote, Schedule, Shelf, SnapshotError, SnapshotSource, create, fetch,
        join, restore,
    },
};
use dodona_proto::{
    ALLO, Address,
    cosmos::upgrade::v1beta1::{MsgSoftwareUpgrade, Plan},
    sign::AccountKey,
    tx, url,
};

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn alice() -> AccountKey {
    AccountKey::from_seed(1, "alice")
}

/// One validator, alice, and so many strangers with an account.
fn genesis_of(validator: u8, strangers: u32) -> Genesis {
    let account = |address: Address| GenesisAccount { address: address.to_string(), balance: 1_000 * ALLO };
    let stranger = |n: u32| {
        let mut bytes = [7; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        account(Address(bytes))
    };
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: vec![alice().address().to_string()],
        accounts: std::iter::once(account(alice().address())).chain((0..strangers).map(stranger)).collect(),
        validators: vec![GenesisValidator {
            public_key: hex::encode(key(validator).verifying_key().to_bytes()),
            power: 10,
            operator: alice().address().to_string(),
            ..GenesisValidator::default()
        }],
    }
}

fn genesis() -> Genesis {
    genesis_of(3, 0)
}

async fn start(dir: &Path, gate: &Gate, genesis: Genesis, keep_blocks: u64, every: u64) -> Node {
    let home = Home::open(dir, genesis, key(3)).unwrap();
    Node::start(NodeConfig {
        rest: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        rpc: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        keep_blocks,
        snapshots: Schedule { every, keep: 2 },
        ..NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate.clone()))
    })
    .await
    .unwrap()
}

async fn blocks(node: &Node, gate: &Gate, count: u64) {
    for _ in 0..count {
        let next = node.handle().head().height + 1;
        gate.open_until(Height(next));
        node.handle().reached(next).await;
    }
}

/// Sends something to a new account and makes the block with it.
async fn pay(node: &Node, gate: &Gate, to: u8) -> tx::TxHash {
    let client = Client::new(node.handle().clone());
    let mut wallet = Wallet::new(alice());
    let message = tx::send(wallet.address(), Address([to; 20]), 5);
    let hash = wallet.send(&client, vec![message], 100_000).unwrap();
    blocks(node, gate, 1).await;
    assert!(node.handle().tx(&hash).unwrap().is_some_and(|receipt| receipt.code == 0));
    hash
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

/// Waits until a shelf has these heights.
async fn has(shelf: &Shelf, heights: &[u64]) {
    for _ in 0..600 {
        if shelf.heights().unwrap() == heights {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} instead of {heights:?}", shelf.heights());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_restored_from_a_snapshot_goes_on_as_the_one_it_was_taken_from() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (gate, shelf) = (Gate::new(), Shelf::of_home(one.path()));
    let node = start(one.path(), &gate, genesis(), 0, 4).await;
    for n in 1..=4 {
        pay(&node, &gate, n).await;
    }
    has(&shelf, &[4]).await;
    blocks(&node, &gate, 4).await;
    has(&shelf, &[4, 8]).await;
    for n in 9..=12 {
        pay(&node, &gate, n).await;
    }
    has(&shelf, &[8, 12]).await;
    node.stop().await.unwrap();

    let anchor = Anchor::of_genesis(&genesis()).unwrap();
    drop(Home::open(two.path(), genesis(), key(3)).unwrap());
    let restored = restore(two.path(), &genesis(), &shelf.path(12), &anchor, 0).unwrap();
    assert_eq!(restored.head.header.height.0, 12);
    let again = restore(two.path(), &genesis(), &shelf.path(12), &anchor, 0);
    assert!(matches!(again, Err(SnapshotError::Occupied(_))), "{again:?}");

    let (gate_one, gate_two) = (Gate::new(), Gate::new());
    let one_on = start(one.path(), &gate_one, genesis(), 0, 0).await;
    let two_on = start(two.path(), &gate_two, genesis(), 0, 0).await;
    assert_eq!(one_on.handle().head(), two_on.handle().head());
    assert_eq!(one_on.handle().app().root(), two_on.handle().app().root());
    for n in 20..24 {
        let paid = pay(&one_on, &gate_one, n).await;
        assert_eq!(pay(&two_on, &gate_two, n).await, paid);
        assert_eq!(one_on.handle().head(), two_on.handle().head(), "block {n}");
        assert_eq!(one_on.handle().app().root(), two_on.handle().app().root());
    }
    two_on.handle().app().check_invariants().unwrap();
    // What was before the snapshot is not there, and is told so.
    let rest = two_on.rest_address().unwrap();
    assert!(two_on.handle().block(12).unwrap().is_some());
    let before = get(rest, "/dodona/v1/blocks/11").await;
    assert!(before.contains("404") && before.contains("no longer kept here, the oldest is 12"), "{before}");
    assert!(get(rest, "/dodona/v1/blocks/12").await.contains("200 OK"));
    let status = get(two_on.rpc_address().unwrap(), "/status").await;
    assert!(status.contains("\"earliest_block_height\":\"12\""), "{status}");
    one_on.stop().await.unwrap();
    two_on.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_changed_anywhere_or_signed_by_strangers_is_not_restored() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gate = Gate::new();
    let node = start(one.path(), &gate, genesis(), 0, 0).await;
    pay(&node, &gate, 1).await;
    node.stop().await.unwrap();
    let app = offline::app(one.path()).unwrap();
    let file = two.path().join("one.snap");
    create(&app, 1, &file).unwrap();
    assert!(matches!(create(&app, 0, &file), Err(SnapshotError::NoBlock { height: 0, .. })));
    assert!(create(&app, 2, &file).is_err());

    drop(Home::open(&two.path().join("home"), genesis(), key(3)).unwrap());
    let home = two.path().join("home");
    let anchor = Anchor::of_genesis(&genesis()).unwrap();
    let other = Anchor::of_genesis(&genesis_of(4, 0)).unwrap();
    let refused = |anchor: &Anchor, file: &Path| {
        let error = restore(&home, &genesis(), file, anchor, 10).unwrap_err();
        assert!(!home.join("chain.redb").exists() && !home.join("chain.restoring.redb").exists());
        error
    };
    assert!(matches!(refused(&other, &file), SnapshotError::Anchor(AnchorError::Contradiction(1))));
    let later = Anchor { height: 5, block_id: Some(Default::default()), ..anchor.clone() };
    assert!(matches!(refused(&later, &file), SnapshotError::Anchor(AnchorError::Older { .. })));
    let stale = Anchor { expires_ms: Some(9), ..anchor.clone() };
    assert!(matches!(refused(&stale, &file), SnapshotError::Anchor(AnchorError::Expired { .. })));
    let elsewhere = Anchor { chain_id: "elsewhere".into(), ..anchor.clone() };
    assert!(matches!(refused(&elsewhere, &file), SnapshotError::Anchor(AnchorError::Certificate(_))));

    let whole = std::fs::read(&file).unwrap();
    let bad = two.path().join("bad.snap");
    let step = whole.len() / 150;
    for at in (0..whole.len()).step_by(step.max(1)).chain(whole.len() - 40..whole.len()) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&bad, changed).unwrap();
        refused(&anchor, &bad);
    }
    for length in [0, 8, 24, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&bad, &whole[..length]).unwrap();
        refused(&anchor, &bad);
    }
    std::fs::write(&bad, [whole.as_slice(), &[0]].concat()).unwrap();
    refused(&anchor, &bad);
    restore(&home, &genesis(), &file, &anchor, 10).unwrap();
}

/// A source with a fault.
struct Faulty<'a> {
    shelf: &'a Shelf,
    /// Added to the heights it offers.
    lift: u64,
    /// Reads that it answers before it goes away.
    patience: usize,
    /// Changes a byte of everything that is as long as a chunk.
    lies: bool,
    reads: AtomicUsize,
}

impl<'a> Faulty<'a> {
    fn new(shelf: &'a Shelf) -> Self {
        Self { shelf, lift: 0, patience: usize::MAX, lies: false, reads: AtomicUsize::new(0) }
    }
}

impl SnapshotSource for Faulty<'_> {
    fn name(&self) -> String {
        "somebody".into()
    }

    fn list(&self) -> Result<Vec<Offer>, SnapshotError> {
        let offers = self.shelf.list()?.into_iter();
        Ok(offers.map(|offer| Offer { height: offer.height + self.lift, ..offer }).collect())
    }

    fn read(&self, height: u64, offset: u64, length: usize) -> Result<Vec<u8>, SnapshotError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.patience {
            return Err(SnapshotError::Form("gone away"));
        }
        let mut bytes = self.shelf.read(height - self.lift, offset, length)?;
        if self.lies && length > 100_000 && offset > 100_000 {
            bytes[length / 2] ^= 1;
        }
        Ok(bytes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn liars_are_found_at_their_first_bad_chunk_and_what_was_fetched_before_is_not_fetched_again() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = genesis_of(3, 30_000);
    let gate = Gate::new();
    let node = start(one.path(), &gate, genesis.clone(), 0, 0).await;
    pay(&node, &gate, 1).await;
    let served = Shelf::of_home(one.path());
    let head = served.add(node.handle().app(), 1, 2).unwrap();
    let chunks = head.manifest.pieces.len();
    assert!(chunks >= 4, "{chunks}");

    let anchor = Anchor::of_genesis(&genesis).unwrap();
    let shelf = Shelf::of_home(two.path());
    // One goes away in the middle: nothing comes of it, but what was got stays.
    let gone = Faulty { patience: 6 + 2, ..Faulty::new(&served) };
    let error = fetch(&[&gone], &anchor, &shelf, 0).unwrap_err();
    assert!(error.to_string().contains("somebody") && error.to_string().contains("gone away"), "{error}");
    assert_eq!(shelf.heights().unwrap(), [] as [u64; 0]);

    let lifted = Faulty { lift: 100, ..Faulty::new(&served) };
    let liar = Faulty { lies: true, ..Faulty::new(&served) };
    let honest = Faulty::new(&served);
    let none = Shelf::new(one.path().join("nothing"));
    let sources: [&dyn SnapshotSource; 4] = [&none, &lifted, &liar, &honest];
    let (path, bad) = fetch(&sources, &anchor, &shelf, 0).unwrap();
    let bad: Vec<usize> = bad.iter().map(|(place, _)| *place).collect();
    assert_eq!(
        bad,
        [1, 2],
        "the one with a height that is not its block's, and the one with a changed chunk"
    );
    assert!(honest.reads.load(Ordering::Relaxed) <= chunks, "the first chunks were there already");
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(served.path(1)).unwrap());
    assert_eq!(shelf.list().unwrap(), served.list().unwrap());

    // The same over anything that carries bytes, garbage included.
    let far =
        Remote::new("far away", |question: &[u8]| served.answer(question).ok_or("no such thing".into()));
    let noise = Remote::new("noise", |question: &[u8]| Ok(vec![0xff; question.len() % 7]));
    let silent = Remote::new("silent", |_: &[u8]| Err("timed out".into()));
    let third = Shelf::new(two.path().join("third"));
    let (copy, bad) = fetch(&[&noise, &silent, &far], &anchor, &third, 0).unwrap();
    assert_eq!((std::fs::read(copy).unwrap(), bad.len()), (std::fs::read(&path).unwrap(), 2));
    for question in [&[][..], &[2], &[1, 0, 0], &[0, 0], &[0xff; 40]] {
        assert!(served.answer(question).is_none());
    }
    assert!(far.read(1, u64::MAX, 10).is_err() && far.read(1, 0, 1 << 21).is_err());

    let error = fetch(&[&none], &anchor, &shelf, 0).unwrap_err();
    assert!(error.to_string().contains("nobody has one"), "{error}");
    drop(Home::open(&two.path().join("home"), genesis.clone(), key(3)).unwrap());
    restore(&two.path().join("home"), &genesis, &path, &anchor, 0).unwrap();
    let restored = offline::app(&two.path().join("home")).unwrap();
    assert_eq!(restored.root(), node.handle().app().root());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_joins_with_a_snapshot_of_its_peers() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gate = Gate::new();
    let local = Some("127.0.0.1:0".parse().unwrap());
    let node = Node::start(NodeConfig {
        peering: Some(PeerConfig::new(PeerKey::from_seed(&[1; 32]), local, Vec::new())),
        snapshots: Schedule { every: 5, keep: 2 },
        ..NodeConfig::quiet(
            Home::open(one.path(), genesis(), key(3)).unwrap(),
            Clock::Steps(1_000),
            Pace::OnDemand(gate.clone()),
        )
    })
    .await
    .unwrap();
    let address = node.gossip().unwrap().address().unwrap().to_string();
    let home = two.path();
    drop(Home::open(home, genesis(), key(3)).unwrap());
    let anchor = Anchor::of_genesis(&genesis()).unwrap();
    let peering = || PeerConfig::new(PeerKey::from_seed(&[2; 32]), None, vec![address.clone()]);
    let wait = Duration::from_secs(20);
    let nothing = join(home, &genesis(), peering(), anchor.clone(), 0, wait).await.unwrap_err();
    assert!(nothing.to_string().contains("nobody has one"), "{nothing}");
    for n in 1..=12 {
        pay(&node, &gate, n).await;
    }
    has(&Shelf::of_home(one.path()), &[5, 10]).await;
    let began = std::time::Instant::now();
    let joined = join(home, &genesis(), peering(), anchor.clone(), 0, wait).await.unwrap();
    println!("joined in {:?}", began.elapsed());
    assert_eq!(joined.head.header.height.0, 10);
    let app = offline::app(home).unwrap();
    assert_eq!(app.root(), node.handle().app().store().root_at(10).unwrap());
    let again = join(home, &genesis(), peering(), anchor, 0, wait).await.unwrap_err();
    assert!(matches!(again, SnapshotError::Occupied(_)), "{again}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_blocks_are_forgotten_and_everybody_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), &gate, genesis(), 1, 0).await;
    let old = pay(&node, &gate, 1).await;
    blocks(&node, &gate, prune::LEAST - 10).await;
    assert!(node.handle().block(1).unwrap().is_some(), "the least is kept, whatever is asked for");
    blocks(&node, &gate, 20).await;
    let new = pay(&node, &gate, 2).await;
    let head = node.handle().head().height;
    let oldest = head + 1 - prune::LEAST;
    let there = |height| node.handle().block(height).unwrap().is_some();
    assert_eq!((there(oldest - 1), there(oldest), there(head)), (false, true, true));
    assert!(node.handle().tx(&old).unwrap().is_none() && node.handle().tx(&new).unwrap().is_some());
    let (found, total) = node.handle().search_txs("tx.height > 0", 1, 10, false).await.unwrap();
    assert_eq!((found.len(), total), (1, 1));
    let (rest, rpc) = (node.rest_address().unwrap(), node.rpc_address().unwrap());
    for (door, path) in [
        (rest, "/dodona/v1/blocks/5"),
        (rest, "/cosmos/base/tendermint/v1beta1/blocks/5"),
        (rpc, "/block?height=5"),
        (rpc, "/block_results?height=5"),
        (rpc, "/commit?height=5"),
    ] {
        let answer = get(door, path).await;
        assert!(answer.contains(&format!("the oldest is {oldest}")), "{path}: {answer}");
    }
    assert!(get(rpc, "/status").await.contains(&format!("\"earliest_block_height\":\"{oldest}\"")));
    let snapshot = dir.path().join("one.snap");
    create(node.handle().app(), head - 20, &snapshot).unwrap();
    node.stop().await.unwrap();

    let store = offline::store(dir.path()).unwrap();
    let genesis = genesis();
    let from_genesis = replay(&store, &genesis, None, 1, &mut |_| {}).unwrap_err();
    assert!(matches!(from_genesis, ReplayError::Pruned { oldest: o } if o == oldest), "{from_genesis}");
    let done = replay(&store, &genesis, Some(&snapshot), 16, &mut |_| {}).unwrap();
    assert_eq!((done.after, done.last, done.txs, done.root), (head - 20, head, 1, store.root()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gives_the_same_roots_with_1_and_16_threads_and_names_the_first_difference() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), &gate, genesis(), 0, 0).await;
    for n in 1..=5 {
        pay(&node, &gate, n).await;
    }
    node.stop().await.unwrap();
    // A restart in the middle is part of the history.
    let node = start(dir.path(), &gate, genesis(), 0, 0).await;
    for n in 6..=10 {
        pay(&node, &gate, n).await;
    }
    let root = node.handle().app().root();
    node.stop().await.unwrap();
    let store = offline::store(dir.path()).unwrap();
    for threads in [1, 16] {
        let mut told = Vec::new();
        let done = replay(&store, &genesis(), None, threads, &mut |height| told.push(height)).unwrap();
        assert_eq!((done.after, done.last, done.txs, done.root), (0, 10, 10, root));
        assert_eq!(told, (1..=10).collect::<Vec<u64>>());
        assert!(done.blocks_per_second() > 0.0);
    }
    let mut other = genesis();
    other.accounts[0].balance += 1;
    let found = replay(&store, &other, None, 1, &mut |_| {}).unwrap_err();
    assert!(matches!(found, ReplayError::Differs { height: 1, what: "app_hash", .. }), "{found}");

    // A block that somebody changed on the disk.
    let table = dodona_store::RecordTable::new("blocks");
    let at = |height: u64| height.to_be_bytes();
    let mut block = dodona_consensus::Block::decode(&store.record(table, &at(7)).unwrap().unwrap()).unwrap();
    block.body.txs.clear();
    let change = dodona_store::RecordChange::put(table, at(7), block.encode().unwrap());
    store.put_records(vec![change]).unwrap();
    let found = replay(&store, &genesis(), None, 16, &mut |_| {}).unwrap_err();
    assert!(matches!(found, ReplayError::Differs { height: 7, what: "body_root", .. }), "{found}");
    store.put_records(vec![dodona_store::RecordChange::delete(table, at(3))]).unwrap();
    let found = replay(&store, &genesis(), None, 1, &mut |_| {}).unwrap_err();
    assert!(matches!(found, ReplayError::Missing(3)), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_makes_the_upgrades_it_knows_and_stops_before_others_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut node = start(dir.path(), &gate, genesis(), 0, 0).await;
    let client = Client::new(node.handle().clone());
    let mut wallet = Wallet::new(alice());
    let plan = |name: &str, height| {
        let plan = Some(Plan { name: name.into(), height, info: "release 2".into(), ..Plan::default() });
        let message = MsgSoftwareUpgrade { authority: alice().address().to_string(), plan };
        vec![tx::pack(url::PLAN_UPGRADE, &message)]
    };
    wallet.send(&client, plan("rehearsal", 3), 200_000).unwrap();
    blocks(&node, &gate, 3).await;
    let state = node.handle().app().store().snapshot().unwrap();
    assert_eq!(upgrade::done(&state, "rehearsal").unwrap(), Some(3));
    let events = node.handle().block(3).unwrap().unwrap().events;
    assert_eq!(events[0].kind, "upgraded");

    wallet.send(&client, plan("unheard-of", 6), 200_000).unwrap();
    blocks(&node, &gate, 2).await;
    gate.open_until(Height(6));
    let stopped = tokio::time::timeout(Duration::from_secs(30), node.failed()).await.unwrap().to_string();
    assert!(
        stopped.contains("`unheard-of`") && stopped.contains("block 6") && stopped.contains("release 2"),
        "{stopped}"
    );
    assert_eq!(node.handle().head().height, 5);
    drop((client, state));
    let _ = node.stop().await;
    let replayed = replay(&offline::store(dir.path()).unwrap(), &genesis(), None, 4, &mut |_| {}).unwrap();
    assert_eq!(replayed.last, 5);
}
