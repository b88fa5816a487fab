//! Who a node is to other nodes, and where to find it: key, id, address.

use std::{fmt, net::SocketAddr, str::FromStr};

use sha2::{Digest, Sha256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// A node's secret among nodes. Not the validator's key.
#[derive(Clone)]
pub struct PeerKey([u8; 32]);

/// A node's public key (X25519). Written as 64 hex digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 32]);

/// Where a node can be reached: `HOST:PORT`, or `ID@HOST:PORT`, which only the holder of that key can answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// Who has to be there; anybody of this chain if none.
    pub id: Option<PeerId>,
    /// Name or IP address with port.
    pub host: String,
}

/// Why a text is no address of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a peer: write HOST:PORT or ID@HOST:PORT, the id in 64 hex digits")]
pub struct BadPeerAddress(String);

impl PeerKey {
    /// The key that follows from 32 secret bytes. Those may be used elsewhere too: only a digest of them is used here.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"dodona/peer/key/1");
        digest.update(seed);
        Self(digest.finalize().into())
    }

    /// Its public half.
    pub fn id(&self) -> PeerId {
        PeerId(x25519(self.0, X25519_BASEPOINT_BYTES))
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}

impl FromStr for PeerId {
    type Err = BadPeerAddress;
    fn from_str(text: &str) -> Result<Self, BadPeerAddress> {
        let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| BadPeerAddress(shown(text)))
    }
}

impl PeerAddress {
    /// Who listens on a socket address.
    pub fn of(id: PeerId, address: SocketAddr) -> Self {
        Self { id: Some(id), host: address.to_string() }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{id}@{}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = BadPeerAddress;
    fn from_str(text: &str) -> Result<Self, BadPeerAddress> {
        let bad = || BadPeerAddress(shown(text));
        let (id, host) = match text.split_once('@') {
            Some((id, host)) => (Some(id.parse().map_err(|_| bad())?), host),
            None => (None, text),
        };
        let (name, port) = host.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().map_err(|_| bad())?;
        let printable = name.chars().all(|c| c.is_ascii_graphic());
        // An IPv6 address has colons of its own and needs its brackets.
        let colons = name.contains(':') && host.parse::<SocketAddr>().is_err();
        if name.is_empty() || name.len() > 253 || port == 0 || !printable || colons {
            return Err(bad());
        }
        Ok(Self { id, host: host.to_string() })
    }
}

/// The beginning of a text, for messages.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
