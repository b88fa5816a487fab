//! What a validator asks a miner over HTTP, and what the miner answers: who signed what, and what a miner checks before
//! it works. A request is for one miner of one subnet on one chain, for half a minute, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use dodona_proto::{
    Address,
    sign::{AccountKey, verify},
};
use sha2::{Digest, Sha256};

/// Where miners answer.
pub const PATH: &str = "/v1/ask";
/// Largest task, bytes.
pub const MAX_TASK: usize = 256 << 10;
/// Largest answer, bytes.
pub const MAX_REPLY: u64 = 256 << 10;
/// How far two clocks may be apart, milliseconds.
pub const CLOCK: u64 = 30_000;
/// Names that are remembered so that nothing is answered twice.
const SEEN: usize = 65_536;
/// Visitors whose haste is remembered.
const VISITORS: usize = 16_384;

/// Names of headers.
pub mod header {
    /// The signer's public key, hex.
    pub const KEY: &str = "dodona-key";
    /// Milliseconds since 1970.
    pub const TIME: &str = "dodona-time";
    /// 16 bytes, hex, new for each request.
    pub const NONCE: &str = "dodona-nonce";
    /// Hex.
    pub const SIGNATURE: &str = "dodona-signature";
}

/// For whom a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Chain.
    pub chain: String,
    /// Subnet.
    pub netuid: u32,
    /// The miner's hotkey.
    pub miner: Address,
}

/// A request as its headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The validator's public key.
    pub key: [u8; 33],
    /// Milliseconds since 1970.
    pub time: u64,
    /// New for each request.
    pub nonce: [u8; 16],
    /// Over all that the request is for, see docs/subnets.md.
    pub signature: [u8; 64],
}

/// Why a miner does not work for a request: status and text of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum AskError {
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    #[error("signed at {time} ms, here it is {now} ms: set the clock, at most {} s apart", CLOCK / 1_000)]
    Clock { time: u64, now: u64 },
    #[error("the signature does not fit this body, this miner, this subnet and this chain")]
    Signature,
    #[error(
        "{0} has no validator's permit in this subnet: permits go to the largest stakes at the next epoch"
    )]
    Stranger(Address),
    #[error("this request was answered already: draw a new nonce")]
    Replayed,
    #[error("too many requests: {0} a second are answered")]
    Rate(u32),
    #[error("too many visitors at once: try again in some seconds")]
    Full,
}

impl AskError {
    /// The status of HTTP that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Header(_) => 400,
            Self::Clock { .. } | Self::Signature => 401,
            Self::Stranger(_) => 403,
            Self::Replayed => 409,
            Self::Rate(_) => 429,
            Self::Full => 503,
        }
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

impl Ask {
    /// A request signed by a validator's hotkey.
    pub fn sign(key: &AccountKey, to: &Place, time: u64, nonce: [u8; 16], body: &[u8]) -> Self {
        let signature = key.sign(&Self::signed(to, time, &nonce, body));
        Self { key: *key.public(), time, nonce, signature }
    }

    /// What is signed: a tag, the chain's name with its length, netuid, the miner's hotkey, time, nonce, SHA-256 of the
    /// body; numbers big-endian.
    fn signed(to: &Place, time: u64, nonce: &[u8; 16], body: &[u8]) -> Vec<u8> {
        let mut out = b"dodona.subnets.v1 ask".to_vec();
        // Names of chains are far shorter than 2^32.
        out.extend((to.chain.len() as u32).to_be_bytes());
        out.extend(to.chain.as_bytes());
        out.extend(to.netuid.to_be_bytes());
        out.extend(to.miner.0);
        out.extend(time.to_be_bytes());
        out.extend(nonce);
        out.extend(Sha256::digest(body));
        out
    }

    /// As headers.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            (header::KEY, hex::encode(self.key)),
            (header::TIME, self.time.to_string()),
            (header::NONCE, hex::encode(self.nonce)),
            (header::SIGNATURE, hex::encode(self.signature)),
        ]
    }

    /// From headers.
    ///
    /// # Errors
    /// [`AskError::Header`].
    pub fn read<'a>(of: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, AskError> {
        let need = |name: &'static str| of(name).ok_or(AskError::Header(name));
        Ok(Self {
            key: bytes(need(header::KEY)?).ok_or(AskError::Header(header::KEY))?,
            time: need(header::TIME)?.parse().map_err(|_| AskError::Header(header::TIME))?,
            nonce: bytes(need(header::NONCE)?).ok_or(AskError::Header(header::NONCE))?,
            signature: bytes(need(header::SIGNATURE)?).ok_or(AskError::Header(header::SIGNATURE))?,
        })
    }

    /// Who asks, if the signature fits.
    pub fn from(&self) -> Address {
        Address::of_key(&self.key)
    }

    fn fits(&self, to: &Place, body: &[u8]) -> bool {
        verify(&self.key, &Self::signed(to, self.time, &self.nonce, body), &self.signature).is_ok()
    }

    /// The miner's signature under its answer to this request.
    pub fn sign_reply(&self, key: &AccountKey, body: &[u8]) -> [u8; 64] {
        key.sign(&self.reply(body))
    }

    /// Whether the miner that was asked has signed this answer.
    pub fn answered_by(&self, miner: Address, public: &str, signature: &str, body: &[u8]) -> bool {
        let (Some(public), Some(signature)) = (bytes::<33>(public), bytes::<64>(signature)) else {
            return false;
        };
        Address::of_key(&public) == miner && verify(&public, &self.reply(body), &signature).is_ok()
    }

    /// What is signed under an answer: a tag, the request's signature, SHA-256 of the body.
    fn reply(&self, body: &[u8]) -> Vec<u8> {
        let mut out = b"dodona.subnets.v1 answer".to_vec();
        out.extend(self.signature);
        out.extend(Sha256::digest(body));
        out
    }
}

/// So many at once, and so many a second after that.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a request that are saved up,
    saved: u64,
    /// at this time.
    at: u64,
}

impl Bucket {
    /// Takes one, if there is one.
    fn take(&mut self, now: u64, rate: u32, burst: u32) -> bool {
        let grown = now.saturating_sub(self.at).saturating_mul(rate.into());
        self.saved = self.saved.saturating_add(grown).min(u64::from(burst) * 1_000);
        self.at = self.at.max(now);
        let enough = self.saved >= 1_000;
        if enough {
            self.saved -= 1_000;
        }
        enough
    }
}

/// What a miner remembers of its visitors. Times are milliseconds since 1970.
pub struct Guard {
    place: Place,
    /// Requests a second of a hotkey; ten times as many at once. An address may ask ten times as often as one hotkey.
    rate: u32,
    started: u64,
    /// Who may ask.
    validators: BTreeSet<Address>,
    seen: BTreeSet<(u64, Address, [u8; 16])>,
    hotkeys: BTreeMap<Address, Bucket>,
    addresses: BTreeMap<IpAddr, Bucket>,
}

impl Guard {
    /// A guard that knows nobody yet. What was signed before `now` is refused: nobody remembers whether it was
    /// answered.
    pub fn new(place: Place, rate: u32, now: u64) -> Self {
        let (validators, seen) = (BTreeSet::new(), BTreeSet::new());
        let (hotkeys, addresses) = (BTreeMap::new(), BTreeMap::new());
        Self { place, rate, started: now, validators, seen, hotkeys, addresses }
    }

    /// Who may ask from now on.
    pub fn let_in(&mut self, validators: BTreeSet<Address>) {
        self.hotkeys.retain(|hotkey, _| validators.contains(hotkey));
        self.validators = validators;
    }

    /// Before anything is read: whether this address asks too often.
    ///
    /// # Errors
    /// [`AskError::Rate`], [`AskError::Full`].
    pub fn knock(&mut self, from: IpAddr, now: u64) -> Result<(), AskError> {
        let rate = self.rate.saturating_mul(10);
        let burst = rate.saturating_mul(10);
        if self.addresses.len() >= VISITORS && !self.addresses.contains_key(&from) {
            // Who has been silent long enough to have everything saved up need not be remembered.
            self.addresses.retain(|_, bucket| now.saturating_sub(bucket.at) < 10_000);
            if self.addresses.len() >= VISITORS {
                return Err(AskError::Full);
            }
        }
        let full = Bucket { saved: u64::from(burst) * 1_000, at: now };
        let bucket = self.addresses.entry(from).or_insert(full);
        if bucket.take(now, rate, burst) { Ok(()) } else { Err(AskError::Rate(rate)) }
    }

    /// Before the body is read: whether it can be worth reading.
    ///
    /// # Errors
    /// [`AskError::Clock`], [`AskError::Stranger`].
    pub fn look(&self, ask: &Ask, now: u64) -> Result<(), AskError> {
        if ask.time.abs_diff(now) > CLOCK || ask.time < self.started {
            return Err(AskError::Clock { time: ask.time, now });
        }
        let from = ask.from();
        if self.validators.contains(&from) { Ok(()) } else { Err(AskError::Stranger(from)) }
    }

    /// With the body: whether it is to be answered. Nothing is charged to a hotkey that did not sign.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn admit(&mut self, ask: &Ask, body: &[u8], now: u64) -> Result<(), AskError> {
        self.look(ask, now)?;
        if !ask.fits(&self.place, body) {
            return Err(AskError::Signature);
        }
        let from = ask.from();
        let name = (ask.time, from, ask.nonce);
        if self.seen.contains(&name) {
            return Err(AskError::Replayed);
        }
        let burst = self.rate.saturating_mul(10);
        let full = Bucket { saved: u64::from(burst) * 1_000, at: now };
        if !self.hotkeys.entry(from).or_insert(full).take(now, self.rate, burst) {
            return Err(AskError::Rate(self.rate));
        }
        // What is older than any clock allows is refused by its time.
        let old = (now.saturating_sub(CLOCK), Address([0; 20]), [0; 16]);
        self.seen = self.seen.split_off(&old);
        if self.seen.len() >= SEEN {
            return Err(AskError::Full);
        }
        self.seen.insert(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn place(miner: &AccountKey) -> Place {
        Place { chain: "test".into(), netuid: 7, miner: miner.address() }
    }

    fn guard(to: &Place, validators: &[&AccountKey]) -> Guard {
        let mut guard = Guard::new(to.clone(), 2, NOW - 60_000);
        guard.let_in(validators.iter().map(|key| key.address()).collect());
        guard
    }

    #[test]
    fn a_request_is_for_one_miner_once_and_now() {
        let (validator, miner) = (AccountKey::from_seed(1, "v"), AccountKey::from_seed(1, "m"));
        let to = place(&miner);
        let mut guard = guard(&to, &[&validator]);
        let ask = Ask::sign(&validator, &to, NOW, [1; 16], b"task");
        let headers = ask.headers();
        let of = |name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        assert_eq!(Ask::read(of), Ok(ask.clone()));
        assert_eq!(Ask::read(|_| Some("zz")), Err(AskError::Header(header::KEY)));

        assert_eq!(guard.admit(&ask, b"tusk", NOW), Err(AskError::Signature));
        for other in [
            Place { chain: "tes".into(), ..to.clone() },
            Place { netuid: 8, ..to.clone() },
            Place { miner: validator.address(), ..to.clone() },
        ] {
            let elsewhere = Ask::sign(&validator, &other, NOW, [1; 16], b"task");
            assert_eq!(guard.admit(&elsewhere, b"task", NOW), Err(AskError::Signature), "{other:?}");
        }
        let later = Ask { nonce: [2; 16], ..ask.clone() };
        assert_eq!(guard.admit(&later, b"task", NOW), Err(AskError::Signature), "the nonce is signed");
        for (time, now) in [(NOW, NOW + CLOCK + 1), (NOW, NOW - CLOCK - 1), (NOW - 60_001, NOW - 60_000)] {
            let ask = Ask::sign(&validator, &to, time, [1; 16], b"task");
            assert!(matches!(guard.admit(&ask, b"task", now), Err(AskError::Clock { .. })), "{time} {now}");
        }
        assert_eq!(guard.admit(&ask, b"task", NOW), Ok(()));
        assert_eq!(guard.admit(&ask, b"task", NOW + 1), Err(AskError::Replayed));
        assert_eq!(guard.admit(&ask, b"task", NOW + CLOCK), Err(AskError::Replayed), "to the last moment");
        let stranger = Ask::sign(&miner, &to, NOW, [1; 16], b"task");
        assert_eq!(guard.admit(&stranger, b"task", NOW), Err(AskError::Stranger(miner.address())));

        let (public, signature) =
            (hex::encode(miner.public()), hex::encode(ask.sign_reply(&miner, b"answer")));
        assert!(ask.answered_by(miner.address(), &public, &signature, b"answer"));
        assert!(!ask.answered_by(miner.address(), &public, &signature, b"another"));
        assert!(!ask.answered_by(validator.address(), &public, &signature, b"answer"));
        let second = Ask::sign(&validator, &to, NOW, [3; 16], b"task");
        assert!(!second.answered_by(miner.address(), &public, &signature, b"answer"), "of another request");
    }

    #[test]
    fn haste_is_bounded_for_hotkeys_and_addresses_and_forgeries_cost_nobody_else() {
        let (validator, miner) = (AccountKey::from_seed(1, "v"), AccountKey::from_seed(1, "m"));
        let to = place(&miner);
        let mut guard = guard(&to, &[&validator]);
        let ask = |n: u32, now: u64| {
            let mut nonce = [0; 16];
            nonce[..4].copy_from_slice(&n.to_be_bytes());
            Ask::sign(&validator, &to, now, nonce, b"task")
        };
        for n in 0..1_000 {
            let forged = Ask { signature: [1; 64], ..ask(n, NOW) };
            assert_eq!(guard.admit(&forged, b"task", NOW), Err(AskError::Signature));
        }
        let good = |guard: &mut Guard, from: u32, now: u64| {
            (from..from + 100).filter(|n| guard.admit(&ask(*n, now), b"task", now).is_ok()).count()
        };
        assert_eq!(good(&mut guard, 0, NOW), 20, "ten seconds' worth at once");
        assert_eq!(good(&mut guard, 1_000, NOW), 0);
        assert_eq!(good(&mut guard, 2_000, NOW + 3_000), 6, "two a second");
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!((0..1_000).filter(|_| guard.knock(home, NOW).is_ok()).count(), 200);
        assert_eq!((0..1_000).filter(|_| guard.knock(home, NOW + 1_000).is_ok()).count(), 20);
        for n in 0..VISITORS as u32 - 1 {
            guard.knock(IpAddr::from(n.to_be_bytes()), NOW).unwrap();
        }
        let newcomer: IpAddr = "198.51.100.1".parse().unwrap();
        assert_eq!(guard.knock(newcomer, NOW + 1), Err(AskError::Full));
        assert_eq!(guard.knock(newcomer, NOW + 10_001), Ok(()), "the silent are forgotten");
    }

    #[test]
    fn what_is_remembered_of_answered_requests_does_not_grow() {
        let (validator, miner) = (AccountKey::from_seed(1, "v"), AccountKey::from_seed(1, "m"));
        let to = place(&miner);
        let mut guard = guard(&to, &[&validator]);
        for n in 0..500u64 {
            let now = NOW + n * 500;
            let ask = Ask::sign(&validator, &to, now, [0; 16], b"task");
            assert_eq!(guard.admit(&ask, b"task", now), Ok(()));
        }
        assert!(guard.seen.len() <= 61, "{}", guard.seen.len());
    }
}
