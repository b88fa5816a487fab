//! The engine: Malachite with our types, driven by one application behind a trait object.
//! Everything generic is instantiated in this module and nowhere else, so that the crates above
//! pay nothing for it; a change of engine ends at the signatures of this file.

mod gate;
mod guard;
mod host;
mod hub;
mod streams;
mod tcp;
mod wal;
mod wire;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use app_channel::app::config::{ConsensusConfig, NodeConfig, ValuePayload, ValueSyncConfig};
use app_channel::app::metrics::SharedRegistry;
use app_channel::app::types::PeerId;
use app_channel::app::types::codec::Codec as _;
use app_channel::{
    ConsensusContext, EngineBuilder, NetworkIdentity, RequestContext, Signer as _, SyncContext, WalContext,
};
use arc_malachitebft_app_channel as app_channel;
use arc_malachitebft_engine as malachite;
use ed25519_dalek::SigningKey;
use malachite::network::NetworkRef;
use malachite::node::NodeRef;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::block::{Block, BlockError, Evidence};
use crate::certificate::{Certificate, CertificateError};
use crate::signing::{Domain, VoteSigner};
use crate::types::{Address, BlockId, Ctx, Height, ValidatorSet, sha256};

use guard::Guarded;

pub use gate::Gate;
pub use guard::{Guard, GuardError, Mark};
pub use hub::Hub;
pub use tcp::{Peer, PeerAddress, PeerAddressError, PeerList, Peers, TcpConfig, peer_id};

/// Log targets of the libraries below the engine begin like this. They speak at every message;
/// a node that does not debug consensus turns them off.
pub const NOISY_LOG_TARGETS: [&str; 3] = ["arc_malachitebft", "ractor", "libp2p"];

/// The application cannot go on: its disk is full, its state contradicts itself. The engine stops,
/// and the process should end and be started again.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct Fatal(pub Box<dyn std::error::Error + Send + Sync + 'static>);

impl Fatal {
    /// Wraps whatever went wrong.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Self {
        Fatal(cause.into())
    }
}

/// A block that is known for a height and a round but not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Round in which it was proposed.
    pub round: u32,
    /// Its name.
    pub id: BlockId,
    /// Proposer of that round, which need not be the author of the block.
    pub proposer: Address,
    /// The encoded block.
    pub bytes: Vec<u8>,
}

/// A committed block: the bytes given to [`Application::commit`], and [`Certificate::encode`] of its
/// certificate.
pub type Decided = (Vec<u8>, Vec<u8>);

/// The state machine and its storage, as the engine sees them.
///
/// All calls come from one thread, one at a time, and may block. After `commit` of height h
/// returns, `last_height`, `validators` and everything else speak of the state after h.
pub trait Application: Send + 'static {
    /// Name of the chain; part of every signature. Constant.
    fn chain_id(&self) -> String;

    /// The last committed height; 0 after genesis.
    fn last_height(&self) -> Height;

    /// The oldest height that [`Application::decided`] still has.
    fn min_height(&self) -> Height {
        Height(1)
    }

    /// The set that decides `last_height` + 1.
    fn validators(&self) -> ValidatorSet;

    /// Builds the next block with `proposer` as its author. It has been executed, its header is
    /// complete, and the outcome is kept under its id until `commit`.
    ///
    /// # Errors
    /// Only failures of our own.
    fn propose(&mut self, height: Height, round: u32, proposer: Address) -> Result<Block, Fatal>;

    /// Full check and execution of a block by anybody, including its time against our clock. The
    /// outcome is kept under its id until `commit`. The engine has already checked the limits, chain,
    /// height, body root, validators hash, and that the author had the right to propose; parent,
    /// time, and all that follows from execution are left.
    ///
    /// `Ok(false)`: the block is invalid, for a reason every honest node finds too.
    ///
    /// # Errors
    /// Only failures of our own.
    fn validate(&mut self, block: &Block) -> Result<bool, Fatal>;

    /// [`Application::validate`] of a block that two thirds have decided on, from a peer's chain. Its time has been
    /// judged by their clocks, so it must not be judged by ours: a node whose clock was wrong could never catch up.
    ///
    /// # Errors
    /// Only failures of our own.
    fn validate_decided(&mut self, block: &Block) -> Result<bool, Fatal> {
        self.validate(block)
    }

    /// Stores block, certificate and state in one durable write. Called once per height, in order;
    /// the block has been proposed or validated in this life of the process.
    ///
    /// # Errors
    /// Only failures of our own.
    fn commit(&mut self, id: BlockId, block: &[u8], certificate: &Certificate) -> Result<(), Fatal>;

    /// Late precommits have come in: replaces the certificate of a committed height by a longer one.
    ///
    /// # Errors
    /// Only failures of our own.
    fn finalize(&mut self, certificate: &Certificate) -> Result<(), Fatal> {
        let _ = certificate;
        Ok(())
    }

    /// The engine has caught validators at misbehaviour. It forgets them at once, so they belong
    /// on disk, and into a later block. The signatures were checked against the set of their height.
    ///
    /// # Errors
    /// Only failures of our own.
    fn misbehaviour(&mut self, evidence: Vec<Evidence>) -> Result<(), Fatal> {
        let _ = evidence;
        Ok(())
    }

    /// Keeps a valid block, durably before returning: a vote for it follows. (Under
    /// [`Log::Volatile`] it need not outlive the process.)
    ///
    /// # Errors
    /// Only failures of our own.
    fn put_undecided(&mut self, height: Height, block: &Undecided) -> Result<(), Fatal>;

    /// All blocks kept for a height. Those of committed heights may be gone.
    ///
    /// # Errors
    /// Only failures of our own.
    fn undecided(&self, height: Height) -> Result<Vec<Undecided>, Fatal>;

    /// A committed block and its certificate, for peers that catch up.
    ///
    /// # Errors
    /// Only failures of our own.
    fn decided(&self, height: Height) -> Result<Option<Decided>, Fatal>;
}

/// When heights start.
#[derive(Clone, Debug)]
pub enum Pace {
    /// As soon as the height before is done.
    Fast,
    /// At this distance from one another, as far as the network allows.
    Target(Duration),
    /// When the gate allows it. For tests, the demo, and nodes with a compressed clock.
    OnDemand(Gate),
}

/// How messages reach the other validators.
#[derive(Clone, Debug)]
pub enum Network {
    /// There are none: a single validator, and no socket.
    Solo,
    /// Engines of one process meet at a hub.
    Hub(Hub),
    /// Sockets.
    Tcp(Box<TcpConfig>),
}

/// What is written down before a vote leaves the node, so that a restart does not vote otherwise.
#[derive(Clone, Debug)]
pub enum Log {
    /// A file in this folder, flushed to the disk before every message.
    Durable(PathBuf),
    /// Nothing. Sound only for [`Network::Solo`], where no vote leaves the node before its block is
    /// committed: after a crash an undecided height simply starts afresh. Refused elsewhere.
    Volatile,
}

/// How long a round waits, and how much longer each further round waits.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal, before voting nil.
    pub propose: Duration,
    /// After two thirds of prevotes without a majority.
    pub prevote: Duration,
    /// After two thirds of precommits without a majority.
    pub precommit: Duration,
    /// Added to each of the above per round.
    pub delta: Duration,
    /// Before votes are sent again.
    pub rebroadcast: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(1500),
            prevote: Duration::from_millis(500),
            precommit: Duration::from_millis(500),
            delta: Duration::from_millis(500),
            rebroadcast: Duration::from_millis(2500),
        }
    }
}

/// Blocks asked for in one request of block sync; their bytes have a limit of their own.
const SYNC_BATCH: usize = 20;
/// Requests of block sync answered at the same time: each may hold some megabytes.
const SYNC_SERVED: usize = 4;
/// How long parts of the engine may take to end.
const PARTS_END: Duration = Duration::from_secs(5);

/// Settings of one node.
#[derive(Clone)]
pub struct EngineConfig {
    /// Name of the node in metrics and in the logs of its peers.
    pub moniker: String,
    /// Signs votes and proposals. A node whose key is in no validator set follows without voting.
    pub signer: Arc<dyn VoteSigner>,
    /// The file of the double-sign guard. A validator that is not alone should have one.
    pub guard: Option<PathBuf>,
    /// What a restart remembers.
    pub log: Log,
    /// The way to the others.
    pub network: Network,
    /// When heights start.
    pub pace: Pace,
    /// Patience of a round.
    pub timeouts: Timeouts,
    /// How often peers tell each other their height; decides how soon a late node notices.
    pub status_interval: Duration,
}

impl EngineConfig {
    /// A single validator with a durable log, as fast as it can.
    pub fn solo(validator_key: SigningKey, log_dir: PathBuf) -> Self {
        Self {
            moniker: "solo".to_owned(),
            signer: Arc::new(validator_key),
            guard: None,
            log: Log::Durable(log_dir),
            network: Network::Solo,
            pace: Pace::Fast,
            timeouts: Timeouts::default(),
            status_interval: Duration::from_secs(1),
        }
    }
}

/// Why the engine did not start, or stopped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The engine could not be built.
    #[error("the engine does not start: {0}")]
    Start(eyre::Report),
    /// Nobody can reach us there.
    #[error("cannot listen at {0}: {1}; choose another address, or end what listens there")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The double-sign guard does not open, or cannot go on.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The engine has stopped working, and lives on only to be looked at.
    #[error(
        "the engine stopped for safety: its log {0} could not be written or read. If the disk is full, make room; if the log is damaged, move it away (a double-sign guard keeps the validator silent where it has spoken); then start again"
    )]
    Halted(String),
    /// A volatile log where others see our votes.
    #[error("without a durable log only a solo validator is safe")]
    VolatileLog,
    /// The thread of the application could not be started.
    #[error("no thread for the application")]
    Thread(#[source] std::io::Error),
    /// The application gave up.
    #[error("the application failed: {0}")]
    Application(#[from] Fatal),
    /// The thread of the application panicked.
    #[error("the application panicked")]
    Panic,
    /// The application proposed a block that nobody would accept.
    #[error("the application proposed a block that is not for this chain, height and proposer")]
    ForeignProposal,
    /// The application proposed a block beyond the limits.
    #[error("the application proposed an impossible block: {0}")]
    Proposal(#[source] BlockError),
    /// A decision about a block we never saw; it must have been lost from storage.
    #[error("height {0} decided on {1}, which is not in storage")]
    UnknownBlock(Height, BlockId),
    /// A decision about a block we hold for invalid: two thirds of the power disagree with us.
    #[error(
        "height {0} decided on {1}, which is invalid here: this node runs other code or has another state"
    )]
    InvalidDecision(Height, BlockId),
    /// A decision for a height other than the next one.
    #[error("height {0} decided, but {1} is committed")]
    HeightGap(Height, Height),
    /// After a commit the application still stands at another height.
    #[error("committed height {0}, but the application stands at {1}")]
    NotCommitted(Height, Height),
    /// A stored certificate does not decode.
    #[error("the stored certificate of height {0} is damaged: {1}")]
    StoredCertificate(Height, #[source] CertificateError),
    /// The engine went away: one of its actors failed, or it stopped on purpose for safety.
    #[error("the engine stopped; its log has the reason")]
    Stopped,
    /// The file of the log is still in use by the engine we have just stopped.
    #[error("the log file is still locked")]
    LogLocked,
}

/// A running engine. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Engine {
    node: NodeRef,
    node_task: JoinHandle<()>,
    /// None once its word has been heard.
    host: Option<oneshot::Receiver<Result<(), EngineError>>>,
    log_file: Option<PathBuf>,
    peers: Peers,
    network: NetworkRef<Ctx>,
    listens: Option<SocketAddr>,
    leave: Option<(Hub, PeerId)>,
}

impl Engine {
    /// Resolves when the engine or the application stops by itself, with the reason. A process
    /// that gets here should end, and leave the restart to its supervisor.
    pub async fn wait(&mut self) -> EngineError {
        // The host ends after the engine in every case (its channel closes), and knows more.
        match self.host_ended().await {
            Err(EngineError::Stopped) | Ok(()) => {}
            Err(known) => return known,
        }
        // After a failure of its log the engine ends all of its parts and stays, to be looked at.
        if self.log_file.is_some() && self.node.wait(Some(PARTS_END)).await.is_err() {
            let log = self.log_file.as_ref().map(|p| p.display().to_string());
            return EngineError::Halted(log.unwrap_or_default());
        }
        EngineError::Stopped
    }

    /// Who is connected; stays valid after the engine has gone, and knows nobody then.
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }

    /// Where others reach us, if at all.
    pub fn listens(&self) -> Option<SocketAddr> {
        self.listens
    }

    async fn host_ended(&mut self) -> Result<(), EngineError> {
        let Some(host) = &mut self.host else { return Ok(()) };
        let ended = host.await;
        self.host = None;
        ended.unwrap_or(Err(EngineError::Panic))
    }

    /// Cuts this node off from the others at its hub, or lets it back. Does nothing to sockets.
    pub fn set_cut(&self, cut: bool) {
        if let Some((hub, me)) = &self.leave {
            hub.set_cut(*me, cut);
        }
    }

    /// Stops all actors, waits for the application to be dropped, and for the log file to be free.
    ///
    /// # Errors
    /// What had stopped the engine before, if it had failed by itself; [`EngineError::LogLocked`]
    /// when the log is not released within ten seconds.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        // The network first, and by itself: as a child of the engine it would be killed without closing
        // its sockets. That it ends stops the engine too.
        let _ = self.network.stop_and_wait(None, Some(PARTS_END)).await;
        self.node.stop(None);
        // A panic of the supervisor is as good as its end.
        let _ = (&mut self.node_task).await;
        if let Some((hub, me)) = &self.leave {
            hub.leave(*me);
        }
        let ended = match self.host_ended().await {
            // Its channel closed because we have just closed it.
            Err(EngineError::Stopped) => Ok(()),
            other => other,
        };
        if let Some(path) = self.log_file.take() {
            released(path).await?;
        }
        ended
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.network.stop(None);
        self.node.stop(None);
        if let Some((hub, me)) = &self.leave {
            hub.leave(*me);
        }
    }
}

/// The log is written by a thread of its own, which ends on its own time: wait for its lock.
async fn released(path: PathBuf) -> Result<(), EngineError> {
    for _ in 0..1000 {
        let free = match File::open(&path) {
            Ok(file) => file.try_lock().is_ok(),
            Err(_) => true,
        };
        if free {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(EngineError::LogLocked)
}

/// What the engine's builder wants to know, besides the contexts.
struct Settings {
    moniker: String,
    consensus: ConsensusConfig,
    sync: ValueSyncConfig,
}

impl NodeConfig for Settings {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

/// What [`start`] returns: boxed, because the code of a plain `async fn` would be generated anew in
/// every crate that awaits it, the whole engine with it.
pub type Starting = Pin<Box<dyn Future<Output = Result<Engine, EngineError>> + Send>>;

/// Starts the engine; must be awaited within a tokio runtime with time enabled. The application
/// moves to a thread of its own.
///
/// # Errors
/// When the log cannot be opened (another process may hold it) or an actor does not start.
pub fn start(app: Box<dyn Application>, cfg: EngineConfig) -> Starting {
    Box::pin(build(app, cfg))
}

async fn build(app: Box<dyn Application>, cfg: EngineConfig) -> Result<Engine, EngineError> {
    if matches!(cfg.log, Log::Volatile) && !matches!(cfg.network, Network::Solo) {
        return Err(EngineError::VolatileLog);
    }
    let chain_id = app.chain_id();
    let domain = Domain::new(&chain_id);
    let guard = match &cfg.guard {
        Some(path) => Some(Guard::open(path, &chain_id, &cfg.signer.public_key())?),
        None => None,
    };
    let signer = Guarded::new(cfg.signer.clone(), guard, domain.clone());
    let public_key = signer.public_key();
    let address = Address::of(&public_key);

    let mut settings = Settings {
        moniker: cfg.moniker.clone(),
        consensus: ConsensusConfig::default(),
        sync: ValueSyncConfig::default(),
    };
    settings.consensus.value_payload = ValuePayload::ProposalAndParts;
    settings.sync.status_update_interval = cfg.status_interval;
    settings.sync.batch_size = SYNC_BATCH;
    settings.sync.max_concurrent_inbound_requests = SYNC_SERVED;

    let (net, tx_net, peer, listens, leave) = match &cfg.network {
        Network::Solo | Network::Hub(_) => {
            let hub = match &cfg.network {
                Network::Hub(hub) => hub.clone(),
                _ => {
                    settings.sync.enabled = false;
                    Hub::new()
                }
            };
            // Within a process a name is enough, and nobody has to prove it.
            let name = sha256(&[b"name at a hub", public_key.as_bytes()]);
            let peer = tcp::peer_of(&tcp::keypair(&SigningKey::from_bytes(&name)));
            let (net, tx) = hub.join(peer, signer.clone()).await.map_err(|e| EngineError::Start(e.into()))?;
            (net, tx, peer, None, Some((hub, peer)))
        }
        Network::Tcp(tcp) => {
            let listen = tcp::claim(tcp.listen).map_err(|e| EngineError::Listen(tcp.listen, e))?;
            tcp::configure(&mut settings.consensus, tcp, listen, &chain_id);
            let keypair = tcp::keypair(&tcp.network_key);
            let peer = tcp::peer_of(&keypair);
            // The whole id, as the network will compare it.
            let id = keypair.public().to_peer_id().to_bytes();
            let proof = signer.sign_validator_proof(public_key.as_bytes().to_vec(), id).await;
            let proof = proof.map_err(|e| EngineError::Start(e.into()))?;
            let proof = wire::Wire::default().encode(&proof).map_err(|e| EngineError::Start(e.into()))?;
            let identity =
                NetworkIdentity::new_validator(cfg.moniker.clone(), keypair, address.to_string(), proof);
            let registry = SharedRegistry::global().with_moniker(&cfg.moniker);
            let spawned = app_channel::spawn::spawn_network_actor(
                identity,
                &settings.consensus,
                &settings.sync,
                &registry,
                wire::Wire { voice: Some(signer.clone()) },
            );
            let (net, tx) = spawned.await.map_err(EngineError::Start)?;
            (net, tx, peer, Some(listen), None)
        }
    };
    let heard = Peers::follow(peer, net.clone()).await.map_err(|e| EngineError::Start(e.into()))?;
    let consensus = ConsensusContext::new_validator(address, Box::new(domain), Box::new(signer.clone()));
    let builder = EngineBuilder::new(Ctx, settings)
        .with_custom_network(net.clone(), tx_net)
        .with_default_sync(SyncContext::new(wire::Wire::default()))
        .with_default_consensus(consensus)
        .with_default_request(RequestContext::new(16));
    let (built, log_file) = match &cfg.log {
        Log::Durable(dir) => {
            let path = log_path(dir);
            let wal = WalContext::new(path.clone(), wire::Wire::default());
            (builder.with_default_wal(wal).build().await, Some(path))
        }
        Log::Volatile => {
            let wal = wal::Volatile::spawn().await.map_err(|e| EngineError::Start(e.into()))?;
            (builder.with_custom_wal(wal).build().await, None)
        }
    };
    let (channels, handle) = match built {
        Ok(built) => built,
        Err(e) => {
            net.stop(None);
            if let Some((hub, peer)) = leave {
                hub.leave(peer);
            }
            // The log's reader tells its troubles only in words.
            return Err(match &log_file {
                Some(path) if format!("{e:?}").contains("WAL") => {
                    EngineError::Halted(path.display().to_string())
                }
                _ => EngineError::Start(e),
            });
        }
    };

    let engine_node = handle.actor.clone();
    let (done, host_done) = oneshot::channel();
    let engine = Engine {
        node: handle.actor,
        node_task: handle.handle,
        host: Some(host_done),
        log_file,
        peers: Peers::new(heard, channels.net_requests.clone()),
        network: net,
        listens,
        leave,
    };
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("application".to_owned())
        .spawn(move || {
            let mut host = host::Host::new(app, signer, cfg.pace, cfg.timeouts, runtime);
            let result = host.run(channels);
            // The application goes before anybody hears that it has gone.
            drop(host);
            if let Err(reason) = &result {
                tracing::error!(target: "dodona::consensus", %reason, "consensus stops");
            }
            // What has stopped by itself may want to stay, to be looked at.
            if !matches!(result, Err(EngineError::Stopped)) {
                engine_node.stop(None);
            }
            let _ = done.send(result);
        })
        .map_err(EngineError::Thread)?;
    Ok(engine)
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("consensus.wal")
}
