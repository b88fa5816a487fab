//! One node: the consensus core, the node's application on the real chain, and what lies on its disk. The rules by
//! which blocks are taken, kept and executed are those of the engine's host.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, Params, ProposedValue, Resumable, Resume, State as Core, process,
};
use arc_malachitebft_core_types::{
    Height as _, SignedProposal, SignedVote, ThresholdParam, ThresholdParams, Timeout, Validity, ValuePayload,
};
use arc_malachitebft_metrics::Metrics;
use arc_malachitebft_signing::{Verifier as _, VerifierExt as _};
use dodona_chain::{App, Genesis, Signatures, upgrade::Upgrade};
use dodona_consensus::{
    Address, Block, BlockId, Certificate, Height, KeySigner, Round, SignRequest, Signature, ValidatorSet,
    engine::{Application, Mark, Undecided},
    types::Ctx,
};
use dodona_node::{Clock, Limits, Mempool};
use dodona_store::{Config, Store};

use super::plan::Canary;

/// Later than any run: nothing is refused for its time that was decided.
pub(super) const AFTER_THE_RUN_MS: u64 = u64::MAX / 2;

thread_local! {
    /// What the clock of the node shows that is working right now, unix milliseconds.
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

fn now_ms() -> u64 {
    NOW_MS.get()
}

/// Whether the run is over and its outcome is being checked.
pub(super) fn is_after_the_run() -> bool {
    now_ms() == AFTER_THE_RUN_MS
}

/// Sets the clock for what this thread does next.
pub(super) fn set_clock(ms: u64) {
    NOW_MS.set(ms);
}

/// Blocks of one round that are executed.
const BLOCKS_PER_ROUND: u32 = 3;
/// Rounds and heights ahead of ours in which a block is looked at, and how many wait for theirs.
const ROUNDS_AHEAD: u32 = 16;
const AHEAD: u64 = 2;
const MAX_LATER: usize = 8;

/// A block on its way, as its proposer in a round sends it.
#[derive(Clone)]
pub(super) struct Sent {
    pub height: Height,
    pub round: u32,
    pub proposer: Address,
    pub id: BlockId,
    pub bytes: Arc<[u8]>,
}

/// A node, up or down.
pub(super) struct Node {
    pub signer: KeySigner,
    pub address: Address,
    pub disk: Disk,
    /// None while it is down.
    pub life: Option<Life>,
    /// Grows with every life: what was under way for an older one is void.
    pub lives: u64,
    /// What its program knows of upgrades.
    pub program: &'static [Upgrade],
    /// What is broken in it on purpose.
    pub canary: Option<Canary>,
    /// Signatures that its guard refused.
    pub refused: u64,
    /// The guard's file as the last input left it, after how many of its effects.
    marks: Vec<(usize, Mark)>,
}

/// What a crash leaves.
pub(super) struct Disk {
    pub store: Store,
    pub log: Vec<(Height, Input<Ctx>)>,
    pub undecided: BTreeMap<u64, Vec<Undecided>>,
    /// The guard's file.
    pub mark: Mark,
}

/// What a crash takes.
pub(super) struct Life {
    pub core: Core<Ctx>,
    pub metrics: Metrics,
    pub timers: HashMap<Timeout, u64>,
    pub app: Box<dyn Application>,
    pub chain: App,
    pub mempool: Mempool,
    pub height: Height,
    pub validators: ValidatorSet,
    pub round: u32,
    /// Blocks of this height; those without bytes are invalid.
    known: BTreeMap<BlockId, Option<Arc<[u8]>>>,
    kept: Vec<(u32, BlockId, Address)>,
    received: BTreeMap<u32, u32>,
    later: Vec<Sent>,
}

/// Why a node cannot go on.
pub(super) enum Stop {
    /// It holds the decided block for invalid: its own fault, and its supervisor starts it again.
    Invalid(String),
    /// It broke a promise.
    Broken(String),
}

fn core_for(address: Address, validators: ValidatorSet, threshold_params: ThresholdParams) -> Core<Ctx> {
    let params =
        Params { address, threshold_params, value_payload: ValuePayload::ProposalAndParts, enabled: true };
    // Votes of so many heights to come are kept, as the engine does it.
    Core::new(Ctx, Height::ZERO, validators, params, 16, 500)
}

/// The node's application, over a store in memory and a virtual clock.
pub(super) fn application(
    store: Store,
    genesis: &Genesis,
    program: &'static [Upgrade],
) -> Result<(Box<dyn Application>, App, Mempool), String> {
    let chain = App::open_with(store, genesis, Signatures::Check, program).map_err(|e| e.to_string())?;
    let mempool = Mempool::new(chain.clone(), Limits::default()).map_err(|e| e.to_string())?;
    let app = dodona_node::application(chain.clone(), mempool.clone(), Clock::Virtual(now_ms));
    Ok((app.map_err(|e| e.to_string())?, chain, mempool))
}

impl Node {
    pub fn new(signer: KeySigner, program: &'static [Upgrade], canary: Option<Canary>) -> Self {
        let address = Address::of(&signer.public_key());
        // Every version may be asked for a proof: runs are short.
        let store = Store::memory(Config::default());
        let disk = Disk { store, log: Vec::new(), undecided: BTreeMap::new(), mark: Mark::default() };
        Self { signer, address, disk, life: None, lives: 0, program, canary, refused: 0, marks: Vec::new() }
    }

    /// Begins a life with what is on the disk.
    pub fn start(&mut self, genesis: &Genesis) -> Result<(), String> {
        let (app, chain, mempool) = application(self.disk.store.clone(), genesis, self.program)?;
        let validators = app.validators();
        let thresholds = match self.canary {
            Some(Canary::Quorum) => {
                ThresholdParams { quorum: ThresholdParam::F_PLUS_ONE, ..ThresholdParams::default() }
            }
            _ => ThresholdParams::default(),
        };
        self.lives += 1;
        let mut life = Life {
            core: core_for(self.address, validators.clone(), thresholds),
            // They assert the order of steps, so a new life needs new ones.
            metrics: Metrics::new(),
            timers: HashMap::new(),
            height: app.last_height().next(),
            app,
            chain,
            mempool,
            validators,
            round: 0,
            known: BTreeMap::new(),
            kept: Vec::new(),
            received: BTreeMap::new(),
            later: Vec::new(),
        };
        for block in self.disk.undecided.get(&life.height.0).cloned().unwrap_or_default() {
            life.kept.push((block.round, block.id, block.proposer));
            let sent = Sent {
                height: life.height,
                round: block.round,
                proposer: block.proposer,
                id: block.id,
                bytes: block.bytes.into(),
            };
            life.check(&mut self.disk, &sent, true)?;
        }
        self.life = Some(life);
        Ok(())
    }

    pub fn height(&self) -> u64 {
        self.life.as_ref().map_or(0, |life| life.app.last_height().0)
    }

    /// Feeds the core. Returns what it wants done, in order; an input that it refuses (a forged vote, a late
    /// certificate) changes nothing.
    pub fn input(&mut self, input: Input<Ctx>) -> Vec<Effect<Ctx>> {
        let mut effects = Vec::new();
        self.marks = vec![(0, self.disk.mark)];
        let Some(life) = &mut self.life else { return effects };
        let (core, metrics) = (&mut life.core, &life.metrics);
        let mut pen = Pen {
            signer: &self.signer,
            mark: (self.canary != Some(Canary::Guard)).then_some(&mut self.disk.mark),
            marks: &mut self.marks,
            refused: &mut self.refused,
        };
        let _: Result<(), Error<Ctx>> = process!(
            input: input,
            state: core,
            metrics: metrics,
            with: effect => answered(effect, &mut pen, &mut effects)
        );
        effects
    }

    /// What the last input did to the guard's file, had the node died after so many of its effects: signatures that
    /// come behind those were not given.
    pub fn cut_off(&mut self, effects: usize) {
        let given = self.marks.iter().rev().find(|(before, _)| *before <= effects);
        self.disk.mark = given.map_or(self.disk.mark, |(_, mark)| *mark);
    }

    /// The block of this node for a round: after a restart the same as before.
    pub fn propose(&mut self, round: u32) -> Result<Sent, String> {
        let (address, disk) = (self.address, &mut self.disk);
        let life = self.life.as_mut().ok_or("a node that is down proposes")?;
        let mine = life.kept.iter().find(|(r, _, who)| (*r, *who) == (round, address)).map(|kept| kept.1);
        if let Some(id) = mine
            && let Some(Some(bytes)) = life.known.get(&id)
        {
            return Ok(Sent { height: life.height, round, proposer: address, id, bytes: bytes.clone() });
        }
        let block = life.app.propose(life.height, round, address).map_err(|e| e.to_string())?;
        let bytes = block.encode().map_err(|e| format!("an impossible block was proposed: {e}"))?;
        let sent =
            Sent { height: life.height, round, proposer: address, id: block.id(), bytes: bytes.into() };
        life.keep(disk, &sent)?;
        Ok(sent)
    }

    /// Another block for a round in which there is one: only liars make it.
    pub fn second(&mut self, round: u32) -> Result<Sent, String> {
        let (proposer, life) = (self.address, self.life.as_mut().ok_or("a node that is down proposes")?);
        let block = life.app.propose(life.height, round, proposer).map_err(|e| e.to_string())?;
        let bytes = block.encode().map_err(|e| e.to_string())?;
        Ok(Sent { height: life.height, round, proposer, id: block.id(), bytes: bytes.into() })
    }

    /// A block that was proposed once before, and is again.
    pub fn again(&self, round: u32, id: BlockId) -> Option<Sent> {
        let life = self.life.as_ref()?;
        let bytes = life.known.get(&id)?.clone()?;
        Some(Sent { height: life.height, round, proposer: self.address, id, bytes })
    }

    /// Holds a block for valid that is not: only liars do.
    pub fn pretend(&mut self, sent: &Sent) {
        if let Some(life) = &mut self.life {
            life.known.insert(sent.id, Some(sent.bytes.clone()));
        }
    }

    /// Takes a block from the network. None: not now, or not at all.
    pub fn receive(&mut self, sent: &Sent) -> Result<Option<ProposedValue<Ctx>>, String> {
        let Some(life) = &mut self.life else { return Ok(None) };
        if sent.height > life.height {
            if sent.height.0 <= life.height.0 + AHEAD {
                if life.later.len() >= MAX_LATER {
                    life.later.remove(0);
                }
                life.later.push(sent.clone());
            }
            return Ok(None);
        }
        let turn = life.validators.proposer(sent.height, sent.round).address == sent.proposer;
        if sent.height < life.height || !turn || sent.round > life.round + ROUNDS_AHEAD {
            return Ok(None);
        }
        if !life.known.contains_key(&sent.id) {
            let received = life.received.entry(sent.round).or_default();
            if *received >= BLOCKS_PER_ROUND {
                return Ok(None);
            }
            *received += 1;
        }
        life.check(&mut self.disk, sent, true)
    }

    /// Takes a block from another node's chain.
    pub fn synced(
        &mut self,
        height: Height,
        round: u32,
        proposer: Address,
        bytes: &[u8],
    ) -> Result<Option<ProposedValue<Ctx>>, String> {
        let Some(life) = &mut self.life else { return Ok(None) };
        if height != life.height {
            return Ok(None);
        }
        let sent = Sent { height, round, proposer, id: BlockId::default(), bytes: bytes.into() };
        life.check(&mut self.disk, &sent, false)
    }

    /// What is known of a round when it begins: blocks kept in an earlier life, or that came too early.
    pub fn started_round(&mut self, height: Height, round: u32) -> Result<Vec<ProposedValue<Ctx>>, String> {
        let Some(life) = &mut self.life else { return Ok(Vec::new()) };
        if height != life.height {
            return Ok(Vec::new());
        }
        life.round = round;
        let (now, later): (Vec<_>, _) =
            std::mem::take(&mut life.later).into_iter().partition(|sent| sent.height == height);
        life.later = later;
        for sent in now {
            if life.validators.proposer(height, sent.round).address == sent.proposer {
                life.check(&mut self.disk, &sent, true)?;
            }
        }
        let of_round = life.kept.iter().filter(|(r, ..)| *r == round);
        let valid = |id| matches!(life.known.get(id), Some(Some(_)));
        Ok(of_round.map(|(r, id, who)| life.proposed(*r, *who, *id, valid(id))).collect())
    }

    /// Commits the decided block; false if that height is committed already.
    pub fn commit(&mut self, certificate: &Certificate) -> Result<Option<Block>, Stop> {
        let Some(life) = &mut self.life else { return Ok(None) };
        if certificate.height < life.height {
            return Ok(None);
        }
        if certificate.height > life.height {
            let text = format!("height {} was decided before {}", certificate.height, life.height);
            return Err(Stop::Broken(text));
        }
        let id = certificate.block_id;
        let bytes = match life.known.get(&id) {
            Some(Some(bytes)) => bytes.clone(),
            Some(None) => return Err(Stop::Invalid(format!("height {} is invalid here", life.height))),
            None => {
                return Err(Stop::Broken(format!("an unknown block was decided at height {}", life.height)));
            }
        };
        let broken = |e: &dyn std::fmt::Display| Stop::Broken(e.to_string());
        life.app.commit(id, &bytes, certificate).map_err(|e| broken(&e))?;
        if life.app.last_height() != certificate.height {
            return Err(Stop::Broken(format!("height {} was not committed", certificate.height)));
        }
        life.height = certificate.height.next();
        life.validators = life.app.validators();
        life.round = 0;
        life.known.clear();
        life.kept.clear();
        life.received.clear();
        life.later.retain(|sent| sent.height > certificate.height);
        self.disk.undecided.retain(|height, _| *height > certificate.height.0);
        Block::decode(&bytes).map(Some).map_err(|e| broken(&e))
    }
}

impl Life {
    fn check(
        &mut self,
        disk: &mut Disk,
        sent: &Sent,
        announced: bool,
    ) -> Result<Option<ProposedValue<Ctx>>, String> {
        let Ok(block) = Block::decode(&sent.bytes) else { return Ok(None) };
        let id = block.id();
        if announced && id != sent.id {
            return Ok(None);
        }
        if !self.validators.had_turn(&block.header.proposer, self.height, sent.round) {
            return Ok(Some(self.proposed(sent.round, sent.proposer, id, false)));
        }
        let header = &block.header;
        let fits = header.chain_id == self.chain.chain_id()
            && header.height == self.height
            && header.validators_hash == self.validators.hash()
            && header.body_root == block.body.root();
        let valid = match (self.known.get(&id), announced) {
            (Some(Some(_)), _) => true,
            (_, false) => fits && self.app.validate_decided(&block).map_err(|e| e.to_string())?,
            (Some(None), _) => false,
            (None, _) => fits && self.app.validate(&block).map_err(|e| e.to_string())?,
        };
        if valid {
            self.keep(disk, &Sent { id, ..sent.clone() })?;
        } else {
            self.known.insert(id, None);
        }
        Ok(Some(self.proposed(sent.round, sent.proposer, id, valid)))
    }

    fn keep(&mut self, disk: &mut Disk, sent: &Sent) -> Result<(), String> {
        if !self.kept.iter().any(|(r, id, _)| (*r, *id) == (sent.round, sent.id)) {
            let (round, id, proposer) = (sent.round, sent.id, sent.proposer);
            let block = Undecided { round, id, proposer, bytes: sent.bytes.to_vec() };
            self.app.put_undecided(self.height, &block).map_err(|e| e.to_string())?;
            // A block read back at the beginning of a life is there already.
            let known = disk.undecided.entry(self.height.0).or_default();
            if !known.contains(&block) {
                known.push(block);
            }
            self.kept.push((round, id, proposer));
        }
        self.known.insert(sent.id, Some(sent.bytes.clone()));
        Ok(())
    }

    fn proposed(&self, round: u32, proposer: Address, value: BlockId, valid: bool) -> ProposedValue<Ctx> {
        ProposedValue {
            height: self.height,
            round: Round::new(round),
            valid_round: Round::Nil,
            proposer,
            value,
            validity: Validity::from_bool(valid),
        }
    }
}

/// Our futures compute and never wait.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("signatures are checked without waiting for anything"),
    }
}

impl Node {
    /// As on the wire: what leaves in the place of a vote that was refused a signature is what was said there before.
    pub fn spoken(&self, vote: SignedVote<Ctx>) -> Option<SignedVote<Ctx>> {
        if vote.signature != Signature::NONE {
            return Some(vote);
        }
        self.disk.mark.instead(&vote.message).map(|old| self.signer.vote(old))
    }
}

/// A key behind its guard, as in the engine.
struct Pen<'a> {
    signer: &'a KeySigner,
    /// None: nobody guards it.
    mark: Option<&'a mut Mark>,
    marks: &'a mut Vec<(usize, Mark)>,
    refused: &'a mut u64,
}

impl Pen<'_> {
    fn sign(&mut self, request: &SignRequest<'_>, before: usize) -> Signature {
        let domain = &self.signer.domain;
        if let Some(mark) = self.mark.as_deref_mut() {
            match mark.after(request, domain) {
                Ok(next) => {
                    *mark = next;
                    self.marks.push((before, next));
                }
                Err(_) => {
                    *self.refused += 1;
                    return Signature::NONE;
                }
            }
        }
        self.signer.sign(&request.message(domain))
    }
}

/// Effects without a side effect are answered at once, the others are noted.
#[allow(clippy::result_large_err)] // the large error is the library's
fn answered(
    effect: Effect<Ctx>,
    pen: &mut Pen<'_>,
    out: &mut Vec<Effect<Ctx>>,
) -> Result<Resume<Ctx>, Error<Ctx>> {
    let d = &pen.signer.domain;
    Ok(match effect {
        Effect::SignVote(v, r) => {
            let signature = pen.sign(&SignRequest::Vote(&v), out.len());
            r.resume_with(SignedVote::new(v, signature))
        }
        Effect::SignProposal(p, r) => {
            let signature = pen.sign(&SignRequest::Proposal(&p), out.len());
            r.resume_with(SignedProposal::new(p, signature))
        }
        Effect::VerifySignature(m, key, r) => {
            let verdict = match &m.message {
                ConsensusMsg::Vote(v) => ready(d.verify_signed_vote(v, &m.signature, &key)),
                ConsensusMsg::Proposal(p) => ready(d.verify_signed_proposal(p, &m.signature, &key)),
            };
            r.resume_with(verdict.is_ok_and(|verdict| verdict.is_valid()))
        }
        Effect::VerifyCommitCertificate(c, set, t, r) => {
            r.resume_with(ready(d.verify_commit_certificate(&Ctx, &c, &set, t)))
        }
        Effect::VerifyExtendedCommitCertificate(c, set, t, p, r) => {
            r.resume_with(ready(d.verify_extended_commit_certificate(&Ctx, &c, &set, t, p)))
        }
        Effect::VerifyPolkaCertificate(c, set, t, r) => {
            r.resume_with(ready(d.verify_polka_certificate(&Ctx, &c, &set, t)))
        }
        Effect::VerifyRoundCertificate(c, set, t, r) => {
            r.resume_with(ready(d.verify_round_certificate(&Ctx, &c, &set, t)))
        }
        Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
        Effect::VerifyVoteExtension(.., r) => r.resume_with(Ok(())),
        other => {
            out.push(other);
            Resume::Continue
        }
    })
}
