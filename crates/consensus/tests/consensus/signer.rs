//! A validator key in a process of its own, asked over a local socket: the engine works with it, goes on without it, and
//! two nodes that ask one signer get one signature.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use crate::common::{State, app::Disk, key, set};
use borsh::{BorshDeserialize, BorshSerialize};
use dodona_consensus::{
    engine::{Engine, EngineConfig, Hub, Mark, Network, start},
    types::{PartInit, Proposal, Vote},
    *,
};

/// Where the signer listens, for the process that is one.
const SOCKET: &str = "DODONA_TEST_SIGNER";
/// Longest message of this line, bytes.
const MAX_BYTES: u32 = 64 << 10;
/// How long a signature may take: less than a round does.
const PATIENCE: Duration = Duration::from_millis(400);

/// A request as it travels.
#[derive(BorshSerialize, BorshDeserialize)]
enum Asked {
    Vote(Vote),
    Proposal(Proposal),
    Part(PartInit),
    Peer(Vec<u8>, Vec<u8>),
}

fn put(line: &mut UnixStream, message: &impl BorshSerialize) -> io::Result<()> {
    let bytes = borsh::to_vec(message)?;
    line.write_all(&(bytes.len() as u32).to_be_bytes())?;
    line.write_all(&bytes)
}

fn get<T: BorshDeserialize>(line: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    line.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    line.read_exact(&mut bytes)?;
    borsh::from_slice(&bytes)
}

/// Signs for whoever calls, and remembers across all of them what it has signed.
fn serve(mut line: UnixStream, mark: &Mutex<Mark>) -> io::Result<()> {
    let domain = Domain::new("signed");
    loop {
        let asked: Asked = get(&mut line)?;
        let request = match &asked {
            Asked::Vote(v) => SignRequest::Vote(v),
            Asked::Proposal(p) => SignRequest::Proposal(p),
            Asked::Part(p) => SignRequest::Part(p),
            Asked::Peer(public_key, peer_id) => SignRequest::Peer { public_key, peer_id },
        };
        let answer: Result<Signature, String> = {
            let mut mark = mark.lock().unwrap();
            mark.after(&request, &domain).map_err(|e| e.to_string()).and_then(|next| {
                *mark = next;
                key(1).sign_request(&domain, &request).map_err(|e| e.to_string())
            })
        };
        put(&mut line, &answer)?;
    }
}

/// Not a test of its own: the process that holds the key.
#[test]
fn child_signs_until_killed() {
    let Ok(path) = std::env::var(SOCKET) else { return };
    let mark = Arc::new(Mutex::new(Mark::default()));
    for line in UnixListener::bind(path).unwrap().incoming() {
        let (line, mark) = (line.unwrap(), mark.clone());
        // It ends when its caller hangs up.
        thread::spawn(move || serve(line, &mark));
    }
}

/// The process, ended with the test.
struct Signer(Child);

impl Signer {
    fn start(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "signer::child_signs_until_killed", "--nocapture"])
            .env(SOCKET, path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(path).is_err() {
            assert!(Instant::now() < until, "the signer does not listen");
            sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The node's end: calls again whenever the line is gone.
struct Remote {
    path: PathBuf,
    public_key: PublicKey,
    line: Mutex<Option<UnixStream>>,
}

impl Remote {
    fn new(path: &Path) -> Self {
        let public_key = PublicKey(key(1).verifying_key());
        Self { path: path.to_path_buf(), public_key, line: Mutex::new(None) }
    }

    fn ask(&self, asked: &Asked) -> io::Result<Result<Signature, String>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // A line on which something failed is not used again.
        let mut open = match line.take() {
            Some(open) => open,
            None => UnixStream::connect(&self.path)?,
        };
        open.set_read_timeout(Some(PATIENCE))?;
        open.set_write_timeout(Some(PATIENCE))?;
        put(&mut open, asked)?;
        let answer = get(&mut open)?;
        *line = Some(open);
        Ok(answer)
    }
}

impl VoteSigner for Remote {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign_request(&self, _: &Domain, request: &SignRequest<'_>) -> Result<Signature, SignError> {
        let asked = match *request {
            SignRequest::Vote(v) => Asked::Vote(v.clone()),
            SignRequest::Proposal(p) => Asked::Proposal(p.clone()),
            SignRequest::Part(p) => Asked::Part(p.clone()),
            SignRequest::Peer { public_key, peer_id } => Asked::Peer(public_key.into(), peer_id.into()),
            SignRequest::Extension(..) => return Err(SignError::Failed("extensions are not signed".into())),
        };
        self.ask(&asked).map_err(|e| SignError::Failed(e.to_string()))?.map_err(SignError::Failed)
    }
}

const FOUR: [(u8, u64); 4] = [(1, 10), (2, 10), (3, 10), (4, 10)];

async fn at_hub(hub: &Hub, seed: u8, disk: &Disk, dir: &Path, signer: Arc<dyn VoteSigner>) -> Engine {
    let cfg = EngineConfig {
        signer,
        network: Network::Hub(hub.clone()),
        status_interval: Duration::from_millis(100),
        ..EngineConfig::solo(key(seed), dir.join(format!("{seed}")))
    };
    start(disk.app(), cfg).await.unwrap()
}

/// Whether the first validator's signature is under one of these blocks.
fn signed(disk: &Disk, heights: impl Iterator<Item = u64>) -> bool {
    let who = Address::of(&PublicKey(key(1).verifying_key()));
    heights.into_iter().any(|h| disk.certificate(h).signatures.iter().any(|(by, _)| *by == who))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_votes_through_a_signer_in_another_process_and_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("signer");
    let signer = Signer::start(&socket);
    let hub = Hub::new();
    let disks: Vec<_> = (0..4).map(|_| Disk::new(State::genesis("signed", set(&FOUR), 0))).collect();
    let mut engines = vec![at_hub(&hub, 1, &disks[0], dir.path(), Arc::new(Remote::new(&socket))).await];
    for (seed, disk) in (2..).zip(&disks[1..]) {
        engines.push(at_hub(&hub, seed, disk, dir.path(), Arc::new(key(seed))).await);
    }
    for disk in &disks {
        disk.reaches(8).await;
    }
    assert!(disks.iter().any(|disk| signed(disk, 1..=8)), "it never signed");

    // Without its signer the validator says nothing, and follows the others.
    drop(signer);
    let gone = disks[1].height.borrow().0;
    for disk in &disks {
        disk.reaches(gone + 8).await;
    }
    // What was under way when the signer ended may still carry its signature.
    assert!(!disks.iter().any(|disk| signed(disk, gone + 3..=gone + 8)), "signed without a signer");

    // With a new one it takes part again.
    let _signer = Signer::start(&socket);
    let mut height = disks[1].height.borrow().0;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        disks[1].reaches(height + 1).await;
        height += 1;
        if signed(&disks[1], height..=height) {
            break;
        }
        assert!(Instant::now() < until, "it did not come back");
    }
    for engine in engines {
        engine.stop().await.unwrap();
    }
}

#[test]
fn two_nodes_that_share_a_signer_do_not_get_two_votes_of_one_round() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("signer");
    let _signer = Signer::start(&socket);
    let domain = Domain::new("signed");
    let (one, other) = (Remote::new(&socket), Remote::new(&socket));
    let vote = |value: u8| Vote {
        kind: VoteType::Prevote,
        height: Height(5),
        round: Round::new(0),
        value: NilOrVal::Val(BlockId([value; 32])),
        voter: Address::of(&one.public_key()),
        extension: None,
    };
    let first = one.sign_request(&domain, &SignRequest::Vote(&vote(7))).unwrap();
    assert!(domain.check(&domain.vote(&vote(7)), &first, &one.public_key()));
    assert_eq!(other.sign_request(&domain, &SignRequest::Vote(&vote(7))), Ok(first), "the same again");
    let refused = other.sign_request(&domain, &SignRequest::Vote(&vote(8))).unwrap_err();
    assert!(refused.to_string().contains("has signed"), "{refused}");
    // Garbage costs the line of the one who sent it.
    UnixStream::connect(&socket).unwrap().write_all(&[255; 100]).unwrap();
    assert!(other.sign_request(&domain, &SignRequest::Vote(&vote(7))).is_ok());
}
