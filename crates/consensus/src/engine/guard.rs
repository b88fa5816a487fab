//! The double-sign guard: a small file with the last thing the validator key has signed, flushed before the
//! signature leaves. It goes only forward, so a node restored from an older backup of everything else never
//! contradicts what it has said before: it stays silent there, or says the same again.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_malachitebft_core_types as core_types;
use arc_malachitebft_signing as provider;
use async_trait::async_trait;
use core_types::{
    NilOrVal, SignedExtension, SignedProposal, SignedVote, ValidatorProof, VoteExtensionScope, VoteType,
};
use provider::Error;
use thiserror::Error as ThisError;

use crate::signing::{Domain, PublicKey, SignError, SignRequest, Signature, VoteSigner};
use crate::types::{BlockId, Ctx, Extension, Hash32, Height, PartInit, Proposal, Vote, sha256};

/// Largest file that is read as a guard's.
const MAX_BYTES: u64 = 4096;

/// Why a guard does not open, or cannot go on.
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
    /// What is to be signed cannot be written down, so nothing can be signed.
    #[error(
        "{} cannot be written, so nothing can be signed: {}{cause}; make room or mend the disk, then start again",
        .path.display(),
        if .cause.kind() == ErrorKind::StorageFull { "the disk is full: " } else { "input or output failed: " }
    )]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
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

/// What a vote was for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Said {
    Nil,
    Block(BlockId),
}

impl Said {
    fn of(value: &NilOrVal<BlockId>) -> Self {
        match value {
            NilOrVal::Nil => Said::Nil,
            NilOrVal::Val(id) => Said::Block(*id),
        }
    }

    fn text(self) -> String {
        match self {
            Said::Nil => "nil".into(),
            Said::Block(id) => hex::encode(id.0),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "nil" => Some(Said::Nil),
            id => Some(Said::Block(BlockId(hex::decode(id).ok()?.try_into().ok()?))),
        }
    }
}

/// The last thing that a key has signed: the rule of the guard without its file.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    last: Option<(Place, Hash32)>,
    /// The votes of that height and round: prevote, precommit.
    votes: [Option<Said>; 2],
}

impl Mark {
    /// The mark once this has been signed too; the same mark for what was signed last, and for what can be signed any
    /// number of times.
    ///
    /// # Errors
    /// [`SignError::Twice`] for what excludes what was signed, or comes before it.
    pub fn after(&self, request: &SignRequest<'_>, domain: &Domain) -> Result<Mark, SignError> {
        let Some(place) = Place::of(request) else { return Ok(*self) };
        let last = Some((place, sha256(&[b"signed", &request.message(domain)])));
        if last == self.last {
            return Ok(*self);
        }
        let mut next = Mark { last, votes: [None; 2] };
        if let Some((mark, _)) = self.last {
            if place <= mark {
                return Err(SignError::Twice { asked: place.to_string(), signed: mark.to_string() });
            }
            if (place.height, place.round) == (mark.height, mark.round) {
                next.votes = self.votes;
            }
        }
        if let SignRequest::Vote(vote) = request {
            next.votes[slot(vote.kind)] = Some(Said::of(&vote.value));
        }
        Ok(next)
    }

    /// What was said in the place of this vote, if it can be said again: a crash may have taken it from the log before
    /// anybody heard it, and where a third of the power is silent in a round, the round never ends. A precommit for a
    /// block is not repeated: the lock that came with it is forgotten too.
    pub fn instead(&self, vote: &Vote) -> Option<Vote> {
        let (mark, _) = self.last?;
        let said = self.votes[slot(vote.kind)]?;
        let again = said == Said::Nil || vote.kind == VoteType::Prevote;
        if !again || mark.height != vote.height || Some(mark.round) != vote.round.as_u32() {
            return None;
        }
        let value = match said {
            Said::Nil => NilOrVal::Nil,
            Said::Block(id) => NilOrVal::Val(id),
        };
        Some(Vote { value, extension: None, ..vote.clone() })
    }
}

/// Where a [`Mark`] has votes of this kind.
fn slot(kind: VoteType) -> usize {
    match kind {
        VoteType::Prevote => 0,
        VoteType::Precommit => 1,
    }
}

/// The guard of one key on one chain. One process holds it at a time, as one process holds the node's store.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    owner: String,
    last: Mutex<Mark>,
    /// Why its file could not be written.
    lost: Mutex<Option<GuardError>>,
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
            Err(e) if e.kind() == ErrorKind::NotFound => Mark::default(),
            Err(cause) => return Err(failed(cause)),
            Ok(found) if found.len() > MAX_BYTES => return Err(GuardError::Damaged(path.to_path_buf())),
            Ok(_) => {
                let text = fs::read_to_string(path).map_err(failed)?;
                let (found, last) = read(&text).ok_or_else(|| GuardError::Damaged(path.to_path_buf()))?;
                if found != owner {
                    return Err(GuardError::Other { path: path.to_path_buf(), found, wanted: owner });
                }
                last
            }
        };
        Ok(Self { path: path.to_path_buf(), owner, last: Mutex::new(last), lost: Mutex::default() })
    }

    /// Allows a signature, once it is on disk that it was given.
    fn allow(&self, request: &SignRequest<'_>, domain: &Domain) -> Result<(), SignError> {
        // A panic while writing leaves the older mark in memory, and at least that one on disk.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = last.after(request, domain)?;
        if next != *last {
            let text = write(&self.owner, &next);
            replace(&self.path, text.as_bytes()).map_err(|e| {
                let told = SignError::Failed(format!("{}: {e}", self.path.display()));
                let lost = GuardError::Unwritten { path: self.path.clone(), cause: e };
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(lost);
                told
            })?;
            *last = next;
        }
        Ok(())
    }
}

/// One line of JSON, so that people and scripts can read it.
fn write(owner: &str, mark: &Mark) -> String {
    let Some((place, hash)) = mark.last else { return String::new() };
    let votes = ["prevote", "precommit"].iter().zip(mark.votes);
    let votes: String = votes
        .filter_map(|(name, said)| said.map(|said| format!(",\"{name}\":\"{}\"", said.text())))
        .collect();
    format!(
        "{{\"guards\":\"{owner}\",\"height\":{},\"round\":{},\"step\":\"{}\",\"hash\":\"{}\"{votes}}}\n",
        place.height,
        place.round,
        place.step.name(),
        hex::encode(hash)
    )
}

/// The exact inverse of [`write`]: whatever else is in a file means that something has happened to it. Files of earlier
/// versions have no votes.
fn read(text: &str) -> Option<(String, Mark)> {
    let rest = text.strip_prefix("{\"guards\":\"")?;
    let (owner, rest) = rest.split_once("\",\"height\":")?;
    let (height, rest) = rest.split_once(",\"round\":")?;
    let (round, rest) = rest.split_once(",\"step\":\"")?;
    let (step, rest) = rest.split_once("\",\"hash\":\"")?;
    let (hash, mut rest) = rest.strip_suffix("}\n")?.split_once('"')?;
    let hash = hex::decode(hash).ok()?.try_into().ok()?;
    let step = Step::ALL.iter().find(|(_, name)| *name == step)?.0;
    let place = Place { height: Height(height.parse().ok()?), round: round.parse().ok()?, step };
    let mut mark = Mark { last: Some((place, hash)), votes: [None; 2] };
    for (slot, name) in mark.votes.iter_mut().zip([",\"prevote\":\"", ",\"precommit\":\""]) {
        if let Some(vote) = rest.strip_prefix(name) {
            let (said, further) = vote.split_once('"')?;
            *slot = Some(Said::parse(said)?);
            rest = further;
        }
    }
    // Nothing has been said of a step that is still to come.
    let early = [Step::Prevote, Step::Precommit]
        .iter()
        .zip(mark.votes)
        .any(|(of, said)| step < *of && said.is_some());
    (!early && write(owner, &mark) == text).then(|| (owner.to_owned(), mark))
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

    /// Why the guard's file could not be written, told once: such a validator would be silent for good, and nobody
    /// would know the reason.
    pub(super) fn unwritten(&self) -> Option<GuardError> {
        self.guard.as_ref()?.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
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

    /// What leaves the node as this vote: itself, or, when it was refused a signature, what was said before in its place.
    pub(super) fn spoken(&self, vote: SignedVote<Ctx>) -> Option<SignedVote<Ctx>> {
        if vote.signature != Signature::NONE {
            return Some(vote);
        }
        let mark = *self.guard.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner);
        let vote = mark.instead(&vote.message)?;
        let signature = self.signer.sign_request(&self.domain, &SignRequest::Vote(&vote)).ok()?;
        tracing::info!(target: "dodona::consensus", height = %vote.height, round = %vote.round, "said again what had been said");
        Some(SignedVote::new(vote, signature))
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
    use core_types::{Context as _, Round};
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

    fn unsigned(g: &Guarded, vote: Vote) -> Option<SignedVote<Ctx>> {
        g.spoken(SignedVote::new(vote, Signature::NONE))
    }

    #[test]
    fn a_guard_that_cannot_write_signs_nothing_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("home");
        fs::create_dir(&folder).unwrap();
        let guarded = guarded(&folder.join("sign_state.json"));
        assert!(guarded.unwritten().is_none());
        fs::remove_dir(&folder).unwrap();
        let vote = vote(VoteType::Prevote, 1, 0, 1);
        assert_eq!(guarded.sign(&SignRequest::Vote(&vote)), Signature::NONE);
        let why = guarded.unwritten().unwrap().to_string();
        assert!(why.contains("sign_state.json cannot be written") && why.contains("start again"), "{why}");
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
    fn what_was_said_is_said_again_but_for_precommits_of_a_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sign_state.json");
        let (prevote, precommit) = (VoteType::Prevote, VoteType::Precommit);
        let said = |g: &Guarded, kind, round, value| {
            let asked = vote(kind, 5, round, value);
            assert_eq!(g.sign(&SignRequest::Vote(&asked)), Signature::NONE);
            unsigned(g, asked).map(|old| (old.message, old.signature))
        };
        let signed = |g: &Guarded, old: Vote| {
            let signature = g.signer.sign_request(&g.domain, &SignRequest::Vote(&old)).unwrap();
            Some((old, signature))
        };
        // Each time a new life, which has only the file.
        for (round, value) in [(0, 0), (1, 7)] {
            guarded(&path).sign(&SignRequest::Vote(&vote(prevote, 5, round, value)));
            let g = guarded(&path);
            assert_eq!(said(&g, prevote, round, 9), signed(&g, vote(prevote, 5, round, value)));
            assert_eq!(unsigned(&g, vote(precommit, 5, round, 9)), None, "there was none yet");
            guarded(&path).sign(&SignRequest::Vote(&vote(precommit, 5, round, value)));
            let g = guarded(&path);
            // Both votes of the round are known, whichever was the last.
            assert_eq!(said(&g, prevote, round, 9), signed(&g, vote(prevote, 5, round, value)));
            let again = said(&g, precommit, round, 9);
            assert_eq!(again, if value == 0 { signed(&g, vote(precommit, 5, round, 0)) } else { None });
        }
        let g = guarded(&path);
        assert_eq!(said(&g, prevote, 0, 9), None, "an older round");
        assert_eq!(unsigned(&g, vote(prevote, 6, 1, 9)), None, "another height");
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sign_state.json");
        guarded(&path).sign(&SignRequest::Vote(&vote(VoteType::Prevote, 5, 0, 7)));
        let text = fs::read_to_string(&path).unwrap();
        let (head, _) = text.split_once(",\"prevote\"").unwrap();
        fs::write(&path, format!("{head}}}\n")).unwrap();
        let g = guarded(&path);
        let other = vote(VoteType::Prevote, 5, 0, 8);
        assert_eq!(g.sign(&SignRequest::Vote(&other)), Signature::NONE);
        assert_eq!(unsigned(&g, other), None);
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
            &text.replace(",\"prevote", ",\"precommit"),
            &text.replace("0707", "07"),
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
