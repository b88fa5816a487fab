//! A line between two nodes: TCP, then Noise (XX, X25519, ChaCha20-Poly1305, SHA-256). Both prove that they hold the key
//! behind their id, nobody else can read or change anything, and a line exists only between nodes of the same chain,
//! genesis and protocol: all three are mixed into the handshake.
//!
//! ```text
//! both:  "dodona" protocol(2)  tag of the chain(8)         in the clear, so that strangers learn why there is no line
//! ──►  e        ◄──  e, ee, s, es        ──►  s, se        each with its length (2 bytes) in front
//! frames: length(2)  sealed { channel and end (1)  part of a message }
//! ```
//! Two channels share the line frame by frame, so that long answers do not hold up transactions.

use std::{io, sync::Arc, time::Duration};

use dodona_chain::Genesis;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use snow::{
    StatelessTransportState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, RingResolver},
    types,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::{
    key::{PeerId, PeerKey},
    message::{BadMessage, MAX_QUICK, Message},
};

/// Number of the protocol; nodes of different ones do not speak to each other.
pub const PROTOCOL: u16 = 1;
/// Most bytes of a message in one frame.
const PART: usize = 16 << 10;
/// What sealing adds.
const SEAL: usize = 16;
const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// Which chain a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTag {
    prologue: Vec<u8>,
    short: [u8; 8],
}

impl ChainTag {
    /// Of a chain by its genesis document.
    pub fn of(genesis: &Genesis) -> Self {
        Self::new(&genesis.chain_id, &Sha256::digest(genesis.to_json().as_bytes()).into())
    }

    /// Of a chain's name and the SHA-256 of its genesis document.
    pub fn new(chain_id: &str, genesis: &[u8; 32]) -> Self {
        let mut prologue = b"dodona/peer".to_vec();
        prologue.extend(PROTOCOL.to_be_bytes());
        prologue.extend((chain_id.len() as u64).to_be_bytes());
        prologue.extend(chain_id.as_bytes());
        prologue.extend(genesis);
        let digest = Sha256::digest(&prologue);
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Self { prologue, short }
    }
}

/// Why there is no line, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The network.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("the peer did not go on in time")]
    Slow,
    /// Something else listens there.
    #[error("what answers there is no Dodona node, or one of another protocol version (ours is {PROTOCOL})")]
    OtherProtocol,
    /// Another chain, or another genesis of the same name.
    #[error("the peer belongs to another chain or to one with another genesis: compare genesis files")]
    OtherChain,
    /// The holder of another key answers.
    #[error("another node answers there: {0}; compare its id with the address")]
    OtherKey(PeerId),
    /// Somebody changed bytes under way, or does not hold the key.
    #[error("handshake or seal is broken")]
    Broken,
    /// Too long a message.
    #[error("message is too long")]
    TooLong,
    /// Not a message.
    #[error(transparent)]
    Message(#[from] BadMessage),
}

impl From<snow::Error> for LineError {
    fn from(_: snow::Error) -> Self {
        Self::Broken
    }
}

/// The half that hears.
pub struct Hear {
    socket: OwnedReadHalf,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
    parts: [Vec<u8>; 2],
    longest: usize,
    sealed: Vec<u8>,
    open: Vec<u8>,
}

/// The half that speaks.
pub struct Speak {
    socket: OwnedWriteHalf,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
    sealed: Vec<u8>,
}

/// What came in.
pub enum Heard {
    /// Part of a message: so many bytes, on the slow channel or not.
    Part {
        /// Bytes of the frame.
        bytes: usize,
        /// Whether on the slow channel.
        slow: bool,
    },
    /// A message is complete.
    Message {
        /// The message.
        message: Message,
        /// Bytes of its last frame.
        bytes: usize,
    },
}

/// A line and who is at its other end.
pub struct Line {
    /// The other node.
    pub peer: PeerId,
    /// Hears it.
    pub hear: Hear,
    /// Speaks to it.
    pub speak: Speak,
}

/// Makes a line of a connection. `expected` is who has to be there, for the side that calls.
pub async fn greet(
    mut socket: TcpStream,
    calls: bool,
    key: &PeerKey,
    chain: &ChainTag,
    expected: Option<PeerId>,
    longest_answer: usize,
) -> Result<Line, LineError> {
    // Messages are complete when they are written; refused only on a dead socket.
    let _ = socket.set_nodelay(true);
    let mut first = [0; 16];
    first[..6].copy_from_slice(b"dodona");
    first[6..8].copy_from_slice(&PROTOCOL.to_be_bytes());
    first[8..].copy_from_slice(&chain.short);
    socket.write_all(&first).await?;
    let mut theirs = [0; 16];
    socket.read_exact(&mut theirs).await?;
    if theirs[..8] != first[..8] {
        return Err(LineError::OtherProtocol);
    }
    if theirs[8..] != first[8..] {
        return Err(LineError::OtherChain);
    }
    let params = PATTERN.parse().map_err(|_| LineError::Broken)?;
    let builder = snow::Builder::with_resolver(params, Box::new(Resolver))
        .prologue(&chain.prologue)
        .local_private_key(key.secret());
    let mut noise = if calls { builder.build_initiator()? } else { builder.build_responder()? };
    let mut buffer = [0; 256];
    let mut payload = [0; 256];
    while !noise.is_handshake_finished() {
        if noise.is_my_turn() {
            let len = noise.write_message(&[], &mut buffer)?;
            socket.write_all(&(len as u16).to_be_bytes()).await?;
            socket.write_all(&buffer[..len]).await?;
        } else {
            let len = usize::from(socket.read_u16().await?);
            let message = buffer.get_mut(..len).ok_or(LineError::Broken)?;
            socket.read_exact(message).await?;
            noise.read_message(message, &mut payload)?;
        }
        let there = noise.get_remote_static().and_then(|key| key.try_into().ok()).map(PeerId);
        if let (Some(there), Some(expected)) = (there, expected)
            && there != expected
        {
            return Err(LineError::OtherKey(there));
        }
    }
    let peer = noise.get_remote_static().and_then(|key| key.try_into().ok()).map(PeerId);
    let peer = peer.ok_or(LineError::Broken)?;
    let noise = Arc::new(noise.into_stateless_transport_mode()?);
    let (read, write) = socket.into_split();
    let hear = Hear {
        socket: read,
        noise: noise.clone(),
        nonce: 0,
        parts: Default::default(),
        longest: longest_answer.saturating_add(64),
        sealed: Vec::new(),
        open: vec![0; PART + 1 + SEAL],
    };
    Ok(Line { peer, hear, speak: Speak { socket: write, noise, nonce: 0, sealed: vec![0; PART + 3 + SEAL] } })
}

impl Hear {
    /// The next frame. Not to be given up half-way, except for good.
    pub async fn next(&mut self) -> Result<Heard, LineError> {
        let len = usize::from(self.socket.read_u16().await?);
        if len > PART + 1 + SEAL {
            return Err(LineError::TooLong);
        }
        self.sealed.resize(len, 0);
        self.socket.read_exact(&mut self.sealed).await?;
        let opened = self.noise.read_message(self.nonce, &self.sealed, &mut self.open)?;
        self.nonce += 1;
        let (mark, part) = self.open[..opened].split_first().ok_or(LineError::Broken)?;
        let (slow, last) = match mark {
            0 => (false, false),
            1 => (false, true),
            2 => (true, false),
            3 => (true, true),
            _ => return Err(LineError::Broken),
        };
        let parts = &mut self.parts[usize::from(slow)];
        if parts.len() + part.len() > if slow { self.longest } else { MAX_QUICK } {
            return Err(LineError::TooLong);
        }
        parts.extend_from_slice(part);
        if !last {
            return Ok(Heard::Part { bytes: len, slow });
        }
        let whole = std::mem::take(parts);
        let message = Message::decode(&whole)?;
        if slow != matches!(message, Message::Answer { .. }) {
            return Err(BadMessage::Form.into());
        }
        Ok(Heard::Message { message, bytes: len })
    }

    /// The next whole message.
    pub async fn message(&mut self) -> Result<Message, LineError> {
        loop {
            if let Heard::Message { message, .. } = self.next().await? {
                return Ok(message);
            }
        }
    }
}

impl Speak {
    /// Writes one frame. Not to be given up half-way, except for good.
    async fn frame(&mut self, mark: u8, part: &[u8], stall: Duration) -> Result<usize, LineError> {
        let mut open = Vec::with_capacity(part.len() + 1);
        open.push(mark);
        open.extend_from_slice(part);
        let len = self.noise.write_message(self.nonce, &open, &mut self.sealed[2..])?;
        self.nonce += 1;
        self.sealed[..2].copy_from_slice(&(len as u16).to_be_bytes());
        let written = timeout(stall, self.socket.write_all(&self.sealed[..len + 2])).await;
        written.map_err(|_| LineError::Slow)??;
        Ok(len + 2)
    }

    /// Writes a whole message on the quick channel; `stall` is the longest that one frame of it may take. Gives the
    /// bytes written.
    pub async fn say(&mut self, message: &Message, stall: Duration) -> Result<usize, LineError> {
        let bytes = message.encode();
        let mut written = 0;
        let mut parts = bytes.chunks(PART).peekable();
        while let Some(part) = parts.next() {
            written += self.frame(u8::from(parts.peek().is_none()), part, stall).await?;
        }
        Ok(written)
    }

    /// Writes one frame of a message of the slow channel from `at` on. Gives how far it came.
    pub(super) async fn say_part(
        &mut self,
        message: &[u8],
        at: usize,
        stall: Duration,
    ) -> Result<usize, LineError> {
        let end = (at + PART).min(message.len());
        let last = u8::from(end == message.len());
        self.frame(2 | last, &message[at..end], stall).await?;
        Ok(end)
    }

    /// Bytes as they are in one sealed frame: for tests of what a peer does not like.
    #[doc(hidden)]
    pub async fn say_raw(&mut self, mark: u8, bytes: &[u8], stall: Duration) -> Result<(), LineError> {
        self.frame(mark, bytes, stall).await.map(|_| ())
    }
}

/// Hash and cipher of `ring`, keys of `x25519-dalek`: what the engine's own network is built on too.
struct Resolver;

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn types::Random>> {
        Some(Box::new(Rng(StdRng::from_entropy())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn types::Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<Pair>::default() as Box<dyn types::Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn types::Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn types::Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

struct Rng(StdRng);

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl rand::CryptoRng for Rng {}
impl types::Random for Rng {}

/// An X25519 key with its public half.
#[derive(Default)]
struct Pair {
    secret: [u8; 32],
    public: [u8; 32],
}

impl types::Dh for Pair {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret.copy_from_slice(&secret[..32]);
        self.public = x25519(self.secret, X25519_BASEPOINT_BYTES);
    }

    fn generate(&mut self, rng: &mut dyn types::Random) {
        rng.fill_bytes(&mut self.secret);
        self.public = x25519(self.secret, X25519_BASEPOINT_BYTES);
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, public: &[u8], shared: &mut [u8]) -> Result<(), snow::Error> {
        let mut theirs = [0; 32];
        theirs.copy_from_slice(&public[..32]);
        let agreed = x25519(self.secret, theirs);
        // A key of low order gives everybody the same secret.
        if agreed == [0; 32] {
            return Err(snow::Error::Dh);
        }
        shared[..32].copy_from_slice(&agreed);
        Ok(())
    }
}
