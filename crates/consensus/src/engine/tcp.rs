//! The network over sockets: the library's libp2p swarm with our bytes in it, and what is known of the peers.
//! A network key only names a peer; whether it is a validator is proven by a signature of the validator key.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app_channel::NetworkRequest;
use app_channel::app::config::{ConsensusConfig, ProtocolNames, PubSubMaxSizePerTopic};
use app_channel::app::types::{Keypair, PeerId};
use arc_malachitebft_app_channel as app_channel;
use arc_malachitebft_engine as malachite;
use ed25519_dalek::SigningKey;
use malachite::network::{Multiaddr, NetworkEvent, NetworkMsg, NetworkRef};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, async_trait};
use thiserror::Error;
use tokio::sync::mpsc;

use super::streams::PART_BYTES;
use crate::types::{Ctx, Height};

/// Connections taken from one address. Validators behind one router share theirs, and a local network
/// has a single one.
const CONNECTIONS_PER_IP: usize = 64;
/// Before somebody who has just hung up may come back, unless we dial them too.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);
/// Largest consensus message: votes and proposals have some hundred bytes.
const CONSENSUS_BYTES: u64 = 64 << 10;
/// Largest certificate on the network: some hundred bytes for each validator.
const LIVENESS_BYTES: u64 = 1 << 20;
/// What a part may have besides its data.
const PART_OVERHEAD: u64 = 4 << 10;
/// Largest message of the gossip in all.
const PUBSUB_BYTES: u64 = 2 << 20;
/// What is shown of a peer's name.
const MONIKER_CHARS: usize = 64;
/// How long a question to the network may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Sockets of one node.
#[derive(Clone)]
pub struct TcpConfig {
    /// Where others reach us; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names this node on the network. Never the validator key.
    pub network_key: SigningKey,
    /// Peers to be connected with at all times.
    pub persistent: Vec<PeerAddress>,
    /// Nobody but persistent peers: for validators behind nodes of their own.
    pub only_persistent: bool,
    /// Ask peers for their peers, and dial those too.
    pub discovery: bool,
}

impl fmt::Debug for TcpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of every log.
        write!(f, "TcpConfig({}, {} persistent peers)", self.listen, self.persistent.len())
    }
}

/// Where a peer listens: `host:port`, or `id@host:port`, which then accepts that peer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    text: String,
    address: Multiaddr,
}

/// Why a text names no peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` names no peer: write host:port or id@host:port, such as 203.0.113.7:26656")]
pub struct PeerAddressError(pub String);

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let wrong = || PeerAddressError(text.to_owned());
        let (id, place) = match text.rsplit_once('@') {
            Some((id, place)) => (Some(id), place),
            None => (None, text),
        };
        let place = match place.parse::<SocketAddr>() {
            Ok(SocketAddr::V4(a)) => format!("/ip4/{}/tcp/{}", a.ip(), a.port()),
            Ok(SocketAddr::V6(a)) => format!("/ip6/{}/tcp/{}", a.ip(), a.port()),
            Err(_) => {
                let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
                let port: u16 = port.parse().map_err(|_| wrong())?;
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
                if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
                    return Err(wrong());
                }
                format!("/dns/{host}/tcp/{port}")
            }
        };
        let whole = match id {
            Some(id) => format!("{place}/p2p/{id}"),
            None => place,
        };
        let address = whole.parse().map_err(|_| wrong())?;
        Ok(PeerAddress { text: text.to_owned(), address })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a node on the network, as it stands before the `@` of a peer's address.
pub fn peer_id(network_key: &SigningKey) -> String {
    peer_of(&keypair(network_key)).to_string()
}

pub(super) fn keypair(key: &SigningKey) -> Keypair {
    Keypair::ed25519_from_bytes(key.to_bytes()).expect("any 32 bytes are an Ed25519 seed")
}

pub(super) fn peer_of(keypair: &Keypair) -> PeerId {
    PeerId::from_bytes(&keypair.public().to_peer_id().to_bytes()).expect("a peer id reads back")
}

/// A free port is chosen here, and an occupied one told: the swarm would only log it, and go deaf.
pub(super) fn claim(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(listen)?.local_addr()
}

/// Settings of the swarm. Nodes of different chains do not speak the same protocols.
pub(super) fn configure(settings: &mut ConsensusConfig, tcp: &TcpConfig, listen: SocketAddr, chain_id: &str) {
    let p2p = &mut settings.p2p;
    let ip = if listen.is_ipv4() { "ip4" } else { "ip6" };
    p2p.listen_addr = format!("/{ip}/{}/tcp/{}", listen.ip(), listen.port())
        .parse()
        .expect("address and port of a socket make an address");
    p2p.persistent_peers = tcp.persistent.iter().map(|p| p.address.clone()).collect();
    p2p.persistent_peers_only = tcp.only_persistent;
    p2p.discovery.enabled = tcp.discovery;
    p2p.discovery.max_connections_per_ip = CONNECTIONS_PER_IP;
    p2p.discovery.ip_throttle_duration = RECONNECT_AFTER;
    // The library keeps the type of a size to itself.
    p2p.pubsub_max_size.0 = PUBSUB_BYTES;
    let size = |bytes| {
        let mut size = p2p.pubsub_max_size;
        size.0 = bytes;
        Some(size)
    };
    p2p.pubsub_max_size_per_topic = PubSubMaxSizePerTopic {
        consensus: size(CONSENSUS_BYTES),
        proposal_parts: size(PART_BYTES as u64 + PART_OVERHEAD),
        liveness: size(LIVENESS_BYTES),
    };
    let name = |what: &str| format!("/dodona/{chain_id}/{what}/1");
    p2p.protocol_names = ProtocolNames {
        consensus: name("consensus"),
        discovery_kad: name("kad"),
        discovery_regres: name("discovery"),
        sync: name("sync"),
        validator_proof: name("validator-proof"),
    };
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name: [`peer_id`] of its network key.
    pub id: String,
    /// Its address, as the sockets see it; empty at a hub.
    pub address: String,
    /// What it calls itself. Chosen by the peer: not to be trusted.
    pub moniker: String,
    /// Whether we dialled.
    pub outbound: bool,
    /// Whether it is one of the persistent peers.
    pub persistent: bool,
    /// The validator it has proven to be, by address, if that is in the present set.
    pub validator: Option<String>,
    /// That validator's power.
    pub power: u64,
    /// Last height it has told us; none before it did.
    pub height: Option<u64>,
}

impl Peer {
    /// Host and port of its address; empty and 0 where it has none.
    pub fn socket(&self) -> (String, u16) {
        let mut words = self.address.split('/').skip(1);
        let (Some(_), Some(host), Some("tcp"), Some(port)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return (String::new(), 0);
        };
        (host.to_owned(), port.parse().unwrap_or(0))
    }
}

/// Everybody connected at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerList {
    /// The peers, by id.
    pub peers: Vec<Peer>,
    /// Power of the present set; 0 when the network does not know it.
    pub total_power: u64,
    /// Power of the connected validators and our own.
    pub power: u64,
}

impl PeerList {
    /// The greatest height any peer has told.
    pub fn best_height(&self) -> u64 {
        self.peers.iter().filter_map(|p| p.height).max().unwrap_or(0)
    }

    /// Whether those who are connected could decide a block.
    pub fn has_quorum(&self) -> bool {
        u128::from(self.power) * 3 > u128::from(self.total_power) * 2
    }
}

type Heard = Arc<Mutex<BTreeMap<String, Option<Height>>>>;

// Maps are whole at every moment, whoever panicked.
fn lock(heard: &Heard) -> MutexGuard<'_, BTreeMap<String, Option<Height>>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a running engine knows of its peers. Clones ask the same engine.
#[derive(Clone)]
pub struct Peers {
    id: String,
    heard: Heard,
    requests: mpsc::Sender<NetworkRequest>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers of {}", self.id)
    }
}

impl Peers {
    /// Listens to a network from now on.
    pub(super) async fn follow(id: PeerId, network: NetworkRef<Ctx>) -> Result<(Heard, String), SpawnErr> {
        let heard = Heard::default();
        let (listener, _) = Actor::spawn(None, Listener, heard.clone()).await?;
        // It ends with the network it listens to.
        listener.link(network.get_cell());
        // A network that is gone already has nobody to tell.
        let _ = network.cast(NetworkMsg::Subscribe(Box::new(listener)));
        Ok((heard, id.to_string()))
    }

    pub(super) fn new((heard, id): (Heard, String), requests: mpsc::Sender<NetworkRequest>) -> Self {
        Self { id, heard, requests }
    }

    /// Our own name on the network.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who is connected now. Empty once the engine has stopped.
    pub async fn list(&self) -> PeerList {
        let dump = tokio::time::timeout(ANSWER, NetworkRequest::dump_state(&self.requests)).await;
        let heard = lock(&self.heard).clone();
        let Ok(Ok(Some(dump))) = dump else {
            let peer = |(id, height): (String, Option<Height>)| Peer {
                id,
                address: String::new(),
                moniker: String::new(),
                outbound: false,
                persistent: false,
                validator: None,
                power: 0,
                height: height.map(|h| h.0),
            };
            return PeerList { peers: heard.into_iter().map(peer).collect(), total_power: 0, power: 0 };
        };
        let power_of = |address: &str| {
            dump.validator_set.iter().find(|v| v.address == address).map_or(0, |v| v.voting_power)
        };
        let mut peers: Vec<Peer> = dump
            .peers
            .iter()
            .map(|(id, info)| {
                let id = id.to_string();
                Peer {
                    address: info.address.to_string(),
                    moniker: printable(&info.moniker),
                    outbound: info.connection_direction.is_some_and(|d| d.as_str() == OUTBOUND),
                    persistent: info.peer_type.is_persistent(),
                    validator: info.consensus_address.clone(),
                    power: info.consensus_address.as_deref().map_or(0, power_of),
                    height: heard.get(&id).copied().flatten().map(|h| h.0),
                    id,
                }
            })
            .collect();
        peers.sort_by(|a, b| a.id.cmp(&b.id));
        // A validator that is connected twice, by two names, counts once.
        let mut present: Vec<&str> = peers.iter().filter_map(|p| p.validator.as_deref()).collect();
        present.extend(dump.local_node.consensus_address.as_deref());
        present.sort_unstable();
        present.dedup();
        let power = present.into_iter().map(power_of).fold(0, u64::saturating_add);
        let total_power = dump.validator_set.iter().fold(0, |sum: u64, v| sum.saturating_add(v.voting_power));
        PeerList { peers, total_power, power }
    }
}

/// A name that may have been made to confuse a terminal, or to fill a screen.
fn printable(moniker: &str) -> String {
    moniker.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MONIKER_CHARS).collect()
}

/// How the library calls a connection we have made.
const OUTBOUND: &str = "outbound";

/// Notes who comes and goes, and the heights they tell.
struct Listener;

#[async_trait]
impl Actor for Listener {
    type Msg = NetworkEvent<Ctx>;
    type State = Heard;
    type Arguments = Heard;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, heard: Heard) -> Result<Heard, ActorProcessingErr> {
        Ok(heard)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        event: Self::Msg,
        heard: &mut Heard,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            NetworkEvent::PeerConnected(peer) => {
                lock(heard).entry(peer.to_string()).or_default();
            }
            NetworkEvent::PeerDisconnected(peer) => {
                lock(heard).remove(&peer.to_string());
            }
            NetworkEvent::Status(peer, status) => {
                // Only of those who are there: what comes late must not stay for ever.
                if let Some(height) = lock(heard).get_mut(&peer.to_string()) {
                    *height = Some(status.tip_height);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_every_form_and_nothing_else_is() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let with_id = format!("{}@node.example.org:26656", peer_id(&key));
        for (text, address) in [
            ("127.0.0.1:1", "/ip4/127.0.0.1/tcp/1".to_owned()),
            ("[::1]:26656", "/ip6/::1/tcp/26656".to_owned()),
            ("localhost:26656", "/dns/localhost/tcp/26656".to_owned()),
            (&with_id, format!("/dns/node.example.org/tcp/26656/p2p/{}", peer_id(&key))),
        ] {
            let peer: PeerAddress = text.parse().unwrap();
            assert_eq!(peer.address.to_string(), address);
            assert_eq!(peer.to_string(), text);
        }
        for text in ["", "host", "host:", ":1", "host:99999", "x@host:1", "a b:1", "h/tcp/1:2", "@:1", "@h:1"]
        {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_peer_has_a_host_and_a_port_if_it_has_an_address() {
        let peer = |address: &str| Peer {
            id: String::new(),
            address: address.to_owned(),
            moniker: String::new(),
            outbound: false,
            persistent: false,
            validator: None,
            power: 0,
            height: None,
        };
        assert_eq!(peer("/ip4/203.0.113.7/tcp/26656/p2p/x").socket(), ("203.0.113.7".to_owned(), 26656));
        assert_eq!(peer("/ip6/::1/tcp/1").socket(), ("::1".to_owned(), 1));
        for odd in ["", "/", "/p2p/x", "/ip4/1.2.3.4", "/ip4/1.2.3.4/udp/1/quic"] {
            assert_eq!(peer(odd).socket(), (String::new(), 0), "{odd}");
        }
    }

    #[test]
    fn a_name_cannot_draw_on_a_terminal() {
        assert_eq!(printable("a node\u{1b}[2J\n\u{202e}"), "a node[2J");
        assert_eq!(printable(&"x".repeat(1000)).len(), MONIKER_CHARS);
    }

    #[test]
    fn an_occupied_port_is_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(claim(taken.local_addr().unwrap()).is_err());
        assert_ne!(claim("127.0.0.1:0".parse().unwrap()).unwrap().port(), 0);
    }
}
