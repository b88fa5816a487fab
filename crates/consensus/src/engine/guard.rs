//! The double-sign guard: a small file with the last thing the validator key has signed, flushed before the
//! signature leaves. It goes only forward, so a node restored from an older backup of everything else stays
//! silent where it has spoken before.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_malachitebft_core_types as core_types;
use arc_malachitebft_signing as provider;
use async_trait::async_trait;
use core_types::{SignedExtension, SignedProposal, SignedVote, ValidatorProof, VoteExtensionScope, VoteType};
use provider::Error;
use thiserror::Error as ThisError;

use crate::signing::{Domain, PublicKey, SignError, SignRequest, Signature, VoteSigner};
use crate::types::{Ctx, Extension, Hash32, Height, PartInit, Proposal, Vote, sha256};

/// Largest file that is read as a guard's.
const MAX_BYTES: u64 = 4096;

/// Why a guard does not open.
#[derive(Debug, ThisError)]
pub enum GuardError {
    /// The file cannot be read or written.
    #[error("{}: {cause}; mend the file's permissions", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not one.
    #[error(
        "{} is damaged: take its newest copy from your backup, or move it away once the network has decided every height this validator can have voted on",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The file belongs to another key or chain.
    #[error(
        "{} guards {found}, not {wanted}: put the right key back, or, if the key was changed on purpose, move the file away",
        .path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// Chain and key it was made for.
        found: String,
        /// Chain and key of this node.
        wanted: String,
    },
}

/// Order of what is signed within a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Proposal,
    Prevote,
    Precommit,
}

impl Step {
    const ALL: [(Step, &'static str); 3] =
        [(Step::Proposal, "proposal"), (Step::Prevote, "prevote"), (Step::Precommit, "precommit")];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Where in time a signature belongs; only one can exist for each.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    height: Height,
    round: u32,
    step: Step,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of height {} round {}", self.step.name(), self.height, self.round)
    }
}

impl Place {
    /// None for what can be signed any number of times.
    fn of(request: &SignRequest<'_>) -> Option<Self> {
        let (height, round, step) = match request {
            SignRequest::Vote(v) => match v.kind {
                VoteType::Prevote => (v.height, v.round, Step::Prevote),
                VoteType::Precommit => (v.height, v.round, Step::Precommit),
            },
            SignRequest::Proposal(p) => (p.height, p.round, Step::Proposal),
            SignRequest::Extension(..) | SignRequest::Part(_) | SignRequest::Peer { .. } => return None,
        };
        // Nil is a notion of before the first round; nothing is signed there.
        Some(Place { height, round: round.as_u32().unwrap_or(0), step })
    }
}

/// The last thing that a key has signed: the rule of the guard without its file.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark(Option<(Place, Hash32)>);

impl Mark {
    /// The mark once this has been signed too; the same mark for what was signed last, and for what can be signed any
    /// number of times.
    ///
    /// # Errors
    /// [`SignError::Twice`] for what excludes what was signed, or comes before it.
    pub fn after(&self, request: &SignRequest<'_>, domain: &Domain) -> Result<Mark, SignError> {
        let Some(place) = Place::of(request) else { return Ok(*self) };
        let next = Mark(Some((place, sha256(&[b"signed", &request.message(domain)]))));
        match self.0 {
            Some((mark, _)) if place <= mark && next != *self => {
                Err(SignError::Twice { asked: place.to_string(), signed: mark.to_string() })
            }
            _ => Ok(next),
        }
    }
}

/// The guard of one key on one chain. One process holds it at a time, as one process holds the node's store.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    owner: String,
    last: Mutex<Mark>,
}

impl Guard {
    /// Reads the file, if there is one; the first signature makes it.
    ///
    /// # Errors
    /// [`GuardError`]: the node must not start, a damaged file above all.
    pub fn open(path: &Path, chain_id: &str, key: &PublicKey) -> Result<Self, GuardError> {
        let owner = format!("{chain_id} {}", hex::encode(key.as_bytes()));
        let failed = |cause| GuardError::Io { path: path.to_path_buf(), cause };
        let last = match fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(cause) => return Err(failed(cause)),
            Ok(found) if found.len() > MAX_BYTES => return Err(GuardError::Damaged(path.to_path_buf())),
            Ok(_) => {
                let text = fs::read_to_string(path).map_err(failed)?;
                let (found, last) = read(&text).ok_or_else(|| GuardError::Damaged(path.to_path_buf()))?;
                if found != owner {
                    return Err(GuardError::Other { path: path.to_path_buf(), found, wanted: owner });
                }
                Some(last)
            }
        };
        Ok(Self { path: path.to_path_buf(), owner, last: Mutex::new(Mark(last)) })
    }

    /// Allows a signature, once it is on disk that it was given.
    fn allow(&self, request: &SignRequest<'_>, domain: &Domain) -> Result<(), SignError> {
        // A panic while writing leaves the older mark in memory, and at least that one on disk.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = last.after(request, domain)?;
        if let Mark(Some((place, hash))) = next
            && next != *last
        {
            let text = write(&self.owner, &place, &hash);
            replace(&self.path, text.as_bytes())
                .map_err(|e| SignError::Failed(format!("{}: {e}", self.path.display())))?;
            *last = next;
        }
        Ok(())
    }
}

/// One line of JSON, so that people and scripts can read it.
fn write(owner: &str, place: &Place, hash: &Hash32) -> String {
    format!(
        "{{\"guards\":\"{owner}\",\"height\":{},\"round\":{},\"step\":\"{}\",\"hash\":\"{}\"}}\n",
        place.height,
        place.round,
        place.step.name(),
        hex::encode(hash)
    )
}

/// The exact inverse of [`write`]: whatever else is in a file means that something has happened to it.
fn read(text: &str) -> Option<(String, (Place, Hash32))> {
    let rest = text.strip_prefix("{\"guards\":\"")?;
    let (owner, rest) = rest.split_once("\",\"height\":")?;
    let (height, rest) = rest.split_once(",\"round\":")?;
    let (round, rest) = rest.split_once(",\"step\":\"")?;
    let (step, rest) = rest.split_once("\",\"hash\":\"")?;
    let hash = hex::decode(rest.strip_suffix("\"}\n")?).ok()?.try_into().ok()?;
    let step = Step::ALL.iter().find(|(_, name)| *name == step)?.0;
    let place = Place { height: Height(height.parse().ok()?), round: round.parse().ok()?, step };
    (write(owner, &place, &hash) == text).then(|| (owner.to_owned(), (place, hash)))
}

/// Puts a file in place of another, complete and on the disk, or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// A signer behind its guard, as the engine wants it. What is refused gets [`Signature::NONE`]: the engine
/// takes an error for the end of the world, and a vote without a signature for none.
#[derive(Clone)]
pub(super) struct Guarded {
    signer: Arc<dyn VoteSigner>,
    guard: Option<Arc<Guard>>,
    pub(super) domain: Domain,
}

impl Guarded {
    pub(super) fn new(signer: Arc<dyn VoteSigner>, guard: Option<Guard>, domain: Domain) -> Self {
        Self { signer, guard: guard.map(Arc::new), domain }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, request: &SignRequest<'_>) -> Signature {
        let allowed = self.guard.as_ref().map_or(Ok(()), |guard| guard.allow(request, &self.domain));
        match allowed.and_then(|()| self.signer.sign_request(&self.domain, request)) {
            Ok(signature) => signature,
            Err(error) => {
                tracing::warn!(target: "dodona::consensus", %error, "not signed");
                Signature::NONE
            }
        }
    }

    /// Signs the opening of a block. Blocks until it is done.
    pub(super) fn part(&self, part: &PartInit) -> Signature {
        self.sign(&SignRequest::Part(part))
    }

    /// Signs somewhere else: flushing a file, or asking a device, must not hold up the runtime.
    async fn apart<T: Send + 'static>(
        &self,
        what: T,
        sign: impl FnOnce(&Self, &T) -> Signature + Send + 'static,
    ) -> Result<(T, Signature), Error> {
        let me = self.clone();
        let signed = tokio::task::spawn_blocking(move || {
            let signature = sign(&me, &what);
            (what, signature)
        });
        signed.await.map_err(Error::from_source)
    }
}

#[async_trait]
impl provider::Signer<Ctx> for Guarded {
    async fn sign_vote(&self, v: Vote) -> Result<SignedVote<Ctx>, Error> {
        let (v, signature) = self.apart(v, |me, v| me.sign(&SignRequest::Vote(v))).await?;
        Ok(SignedVote::new(v, signature))
    }

    async fn sign_proposal(&self, p: Proposal) -> Result<SignedProposal<Ctx>, Error> {
        let (p, signature) = self.apart(p, |me, p| me.sign(&SignRequest::Proposal(p))).await?;
        Ok(SignedProposal::new(p, signature))
    }

    async fn sign_vote_extension(
        &self,
        scope: VoteExtensionScope<Ctx>,
        e: Extension,
    ) -> Result<SignedExtension<Ctx>, Error> {
        let sign = move |me: &Self, e: &Extension| me.sign(&SignRequest::Extension(&scope, e));
        let (e, signature) = self.apart(e, sign).await?;
        Ok(SignedExtension::new(e, signature))
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Ctx>, Error> {
        let sign = |me: &Self, (public_key, peer_id): &(Vec<u8>, Vec<u8>)| {
            me.sign(&SignRequest::Peer { public_key, peer_id })
        };
        let ((public_key, peer_id), signature) = self.apart((public_key, peer_id), sign).await?;
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlockId;
    use core_types::{Context as _, NilOrVal, Round};
    use ed25519_dalek::SigningKey;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn guarded(path: &Path) -> Guarded {
        let guard = Guard::open(path, "chain", &key().public_key()).unwrap();
        Guarded::new(Arc::new(key()), Some(guard), Domain::new("chain"))
    }

    fn vote(kind: VoteType, height: u64, round: u32, value: u8) -> Vote {
        let address = crate::types::Address::of(&key().public_key());
        let value = if value == 0 { NilOrVal::Nil } else { NilOrVal::Val(BlockId([value; 32])) };
        let (height, round) = (Height(height), Round::new(round));
        match kind {
            VoteType::Prevote => Ctx.new_prevote(height, round, value, address),
            VoteType::Precommit => Ctx.new_precommit(height, round, value, address),
        }
    }

    #[test]
    fn a_key_never_signs_backwards_or_otherwise_not_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sign_state.json");
        let signs = |g: &Guarded, v: &Vote| g.sign(&SignRequest::Vote(v)) != Signature::NONE;
        let (prevote, precommit) = (VoteType::Prevote, VoteType::Precommit);
        let first = guarded(&path);
        assert!(signs(&first, &vote(prevote, 5, 0, 7)));
        let again = first.sign(&SignRequest::Vote(&vote(prevote, 5, 0, 7)));
        assert_eq!(
            again,
            key().sign_request(&first.domain, &SignRequest::Vote(&vote(prevote, 5, 0, 7))).unwrap()
        );
        for g in [first, guarded(&path)] {
            assert!(!signs(&g, &vote(prevote, 5, 0, 8)), "another value");
            assert!(!signs(&g, &vote(prevote, 5, 0, 0)), "nil instead");
            assert!(!signs(&g, &vote(precommit, 4, 9, 7)), "an older height");
            let proposal = Ctx.new_proposal(
                Height(5),
                Round::new(0),
                BlockId([7; 32]),
                Round::Nil,
                vote(prevote, 5, 0, 7).voter,
            );
            assert_eq!(g.sign(&SignRequest::Proposal(&proposal)), Signature::NONE, "an older step");
            assert!(signs(&g, &vote(prevote, 5, 0, 7)), "the same again is the same signature");
        }
        let g = guarded(&path);
        assert!(signs(&g, &vote(precommit, 5, 0, 7)) && signs(&g, &vote(prevote, 5, 1, 8)));
        assert!(!signs(&g, &vote(precommit, 5, 0, 7)), "an older round");
        assert!(signs(&g, &vote(prevote, 6, 0, 1)));
    }

    #[test]
    fn a_foreign_a_damaged_and_an_unwritable_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sign_state.json");
        let g = guarded(&path);
        g.sign(&SignRequest::Vote(&vote(VoteType::Prevote, 5, 0, 7)));
        let open = |chain: &str| Guard::open(&path, chain, &key().public_key());
        assert!(matches!(open("other"), Err(GuardError::Other { .. })));
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [
            "",
            "{}",
            &text[1..],
            &text.replace(":5", ":05"),
            &text.replace("prevote", "vote"),
            &"x".repeat(5000),
        ] {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(open("chain"), Err(GuardError::Damaged(_))), "{damaged}");
        }
        fs::write(&path, &text).unwrap();
        assert!(open("chain").is_ok());
        // The folder is gone: nothing can be written down, so nothing is signed.
        drop(dir);
        assert_eq!(g.sign(&SignRequest::Vote(&vote(VoteType::Prevote, 6, 0, 7))), Signature::NONE);
    }
}
