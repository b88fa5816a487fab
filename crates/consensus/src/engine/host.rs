//! Answers the engine's messages, one at a time, on the application's thread.
//! The order of writes is what makes a restart safe: a block is stored before we answer with it,
//! the engine logs before it sends, and a commit is one write of the application.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use app_channel::app::engine::host::{Next, SyncedValueOutcome};
use app_channel::app::types::streaming::{StreamId, StreamMessage};
use app_channel::app::types::sync::RawDecidedValue;
use app_channel::app::types::{LocallyProposedValue, MisbehaviorEvidence, PeerId, ProposedValue};
use app_channel::{AppMsg, Channels, NetworkMsg};
use arc_malachitebft_app_channel as app_channel;
use arc_malachitebft_core_consensus::VoteExtensionError;
use arc_malachitebft_core_types as core_types;
use arc_malachitebft_engine::util::streaming::StreamContent;
use core_types::utils::height::HeightRangeExt;
use core_types::{
    ExtendedCommitCertificate, HeightParams, LinearTimeouts, Round, Validity, VoteExtensionPolicy,
    VoteExtensions,
};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::guard::Guarded;
use super::streams::{PART_BYTES, Streams};
use super::{Application, EngineError, Pace, Timeouts, Undecided};
use crate::block::{Block, Evidence};
use crate::certificate::Certificate;
use crate::signing::Signature;
use crate::types::{Address, BlockId, Ctx, Hash32, Height, Part, PartInit, ValidatorSet};

/// Bytes of blocks in one answer to a peer that catches up; below the response limit of the engine.
const SYNC_BYTES: usize = 7 << 20;
/// Blocks of the next heights are kept this far ahead ...
const AHEAD: u64 = 2;
/// ... and up to so many, until we get there.
const MAX_LATER: usize = 8;
/// Rounds ahead of ours in which a block is taken.
const ROUNDS_AHEAD: u32 = 16;
/// Blocks of one round that are executed. An honest proposer sends one; when a dishonest one sends
/// more, and the decision falls on one we did not take, block sync brings it.
const BLOCKS_PER_ROUND: u32 = 3;

/// What became of a block of the current height.
enum Known {
    Valid(Vec<u8>),
    Invalid,
}

/// The thread's state. Everything about blocks concerns `height`, the one being decided.
pub(super) struct Host {
    app: Box<dyn Application>,
    signer: Guarded,
    me: Address,
    chain_id: String,
    pace: Pace,
    timeouts: Timeouts,
    runtime: Handle,
    height: Height,
    validators: ValidatorSet,
    validators_hash: Hash32,
    known: HashMap<BlockId, Known>,
    /// Round, block, proposer of that round: what is stored as undecided.
    kept: Vec<(u32, BlockId, Address)>,
    /// The round under way.
    round: u32,
    /// How many blocks have come in for each round.
    received: HashMap<u32, u32>,
    /// Whether what an earlier life of the process stored has been read back.
    recovered: bool,
    streams: Streams,
    /// Proposals of heights to come, and when each came in.
    later: Vec<(PartInit, Vec<u8>, Instant)>,
    /// When the first proposal of this height came in, if we had not begun the height by then.
    heard: Option<Instant>,
    next_stream: u64,
    /// Signatures in the certificate that was committed last.
    committed_signatures: usize,
    waiting: Option<AbortHandle>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(task) = self.waiting.take() {
            task.abort();
        }
    }
}

impl Host {
    pub(super) fn new(
        app: Box<dyn Application>,
        signer: Guarded,
        pace: Pace,
        timeouts: Timeouts,
        runtime: Handle,
    ) -> Self {
        // Streams of an earlier life must not be continued by this one.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let validators = app.validators();
        Self {
            me: Address::of(&signer.public_key()),
            chain_id: signer.domain.chain_id.clone(),
            height: app.last_height().next(),
            validators_hash: validators.hash(),
            validators,
            app,
            signer,
            pace,
            timeouts,
            runtime,
            known: HashMap::new(),
            kept: Vec::new(),
            round: 0,
            received: HashMap::new(),
            recovered: false,
            streams: Streams::default(),
            later: Vec::new(),
            heard: None,
            next_stream: (since_1970.as_millis() as u64) << 16,
            committed_signatures: 0,
            waiting: None,
        }
    }

    /// Runs until the engine goes away or something fails.
    pub(super) fn run(&mut self, mut channels: Channels<Ctx>) -> Result<(), EngineError> {
        while let Some(message) = channels.consensus.blocking_recv() {
            self.handle(message, &channels)?;
            if let Some(reason) = self.signer.unwritten() {
                return Err(reason.into());
            }
        }
        Err(EngineError::Stopped)
    }

    // A reply that nobody waits for any more is no failure: `let _` on every send.
    fn handle(&mut self, message: AppMsg<Ctx>, channels: &Channels<Ctx>) -> Result<(), EngineError> {
        match message {
            AppMsg::ConsensusReady { reply } => {
                let (height, params) = (self.height, self.params());
                self.when_open(height, move || {
                    let _ = reply.send((height, params));
                });
            }

            AppMsg::StartedRound { height, round, proposer, reply_value, .. } => {
                // The round before made no block, and every node says so at about the same time.
                if round > Round::new(0) {
                    info!(target: "dodona::consensus", %height, %round, %proposer, "a further round");
                }
                let values = self.started_round(height, round)?;
                let _ = reply_value.send(values);
            }

            AppMsg::GetValue { height, round, reply, .. } => {
                let number = round.as_u32().unwrap_or(0);
                // After a restart the same height and round must give the same block.
                let mine = self.kept.iter().find(|(r, _, who)| (*r, *who) == (number, self.me)).map(|k| k.1);
                let id = match mine {
                    Some(id) => id,
                    None => self.propose(height, number)?,
                };
                let _ = reply.send(LocallyProposedValue::new(height, round, id));
                self.publish(channels, height, number, id)?;
            }

            // `address` is the proposer of this round, which is us; the author may be another.
            AppMsg::RestreamProposal { height, round, address, value_id, .. } => {
                if height == self.height && address == self.me {
                    self.publish(channels, height, round.as_u32().unwrap_or(0), value_id)?;
                }
            }

            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                let value = self.receive_part(published_by.unwrap_or(from), part)?;
                let _ = reply.send(value);
            }

            AppMsg::Decided { certificate, reply, .. } => {
                self.commit(&Certificate::from(certificate))?;
                let _ = reply.send(());
            }

            AppMsg::Finalized { certificate, evidence, reply, .. } => {
                let certificate = Certificate::from(certificate);
                let last = self.app.last_height();
                // The engine offers to decide the height again. That would forget our votes: stop.
                if certificate.height != last {
                    return Err(EngineError::HeightGap(certificate.height, last));
                }
                let evidence = collect(evidence);
                if !evidence.is_empty() {
                    self.app.misbehaviour(evidence)?;
                }
                if certificate.signatures.len() > self.committed_signatures {
                    self.app.finalize(&certificate)?;
                    self.committed_signatures = certificate.signatures.len();
                }
                let (height, params) = (self.height, self.params());
                self.when_open(height, move || {
                    let _ = reply.send(Next::Start(height, params));
                });
            }

            AppMsg::GetHistoryMinHeight { reply } => {
                let _ = reply.send(self.app.min_height());
            }

            AppMsg::GetDecidedValues { range, reply } => {
                let (mut values, mut size) = (Vec::new(), 0);
                for height in range.iter_heights() {
                    let Some((block, certificate)) = self.app.decided(height)? else { break };
                    size += block.len() + certificate.len();
                    if !values.is_empty() && size > SYNC_BYTES {
                        break;
                    }
                    let certificate = Certificate::decode(&certificate)
                        .map_err(|e| EngineError::StoredCertificate(height, e))?;
                    let certificate = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
                        certificate.to_commit(),
                        VoteExtensions::new(Vec::new()),
                    );
                    values.push(RawDecidedValue::new(block.into(), certificate));
                }
                let _ = reply.send(values);
            }

            AppMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply } => {
                let outcome = if height != self.height {
                    // Committed meanwhile, or not our turn yet: nobody's fault.
                    SyncedValueOutcome::LocalTransientError
                } else {
                    match self.check_block(round.as_u32().unwrap_or(0), proposer, &value_bytes, None)? {
                        Some(value) => SyncedValueOutcome::Verdict(value),
                        None => SyncedValueOutcome::PeerFault,
                    }
                };
                let _ = reply.send(outcome);
            }

            // Extensions are switched off in the parameters of every height.
            AppMsg::ExtendVote { reply, .. } => {
                let _ = reply.send(None);
            }

            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                let refuse = |(who, _)| (who, Err(VoteExtensionError::InvalidVoteExtension));
                let _ = reply.send(extensions.into_iter().map(refuse).collect());
            }
        }
        Ok(())
    }

    fn params(&self) -> HeightParams<Ctx> {
        let t = &self.timeouts;
        let timeouts = LinearTimeouts {
            propose: t.propose,
            propose_delta: t.delta,
            prevote: t.prevote,
            prevote_delta: t.delta,
            precommit: t.precommit,
            precommit_delta: t.delta,
            rebroadcast: t.rebroadcast,
            ..LinearTimeouts::default()
        };
        // Others began this height before us: wait that much less at its end, or we stay behind for
        // good. A validator with a twin would never vote in time to be caught, a node that only
        // follows would show every block late.
        let behind = self.heard.map_or(Duration::ZERO, |heard| heard.elapsed());
        let target = match &self.pace {
            Pace::Target(time) => Some(time.saturating_sub(behind)),
            Pace::Fast | Pace::OnDemand(_) => None,
        };
        HeightParams::new(self.validators.clone(), timeouts, target)
            .with_vote_extension_policy(VoteExtensionPolicy::Disabled)
    }

    /// Runs `then` once the height may start, off this thread if that takes time: meanwhile peers
    /// still want to be served.
    fn when_open(&mut self, height: Height, then: impl FnOnce() + Send + 'static) {
        match &self.pace {
            Pace::OnDemand(gate) if gate.mark() < height => {
                let gate = gate.clone();
                let task = self.runtime.spawn(async move {
                    gate.pass(height).await;
                    then();
                });
                self.waiting = Some(task.abort_handle());
            }
            _ => then(),
        }
    }

    fn started_round(
        &mut self,
        height: Height,
        round: Round,
    ) -> Result<Vec<ProposedValue<Ctx>>, EngineError> {
        if height != self.height {
            return Ok(Vec::new());
        }
        self.round = round.as_u32().unwrap_or(0);
        if !self.recovered {
            self.recovered = true;
            for block in self.app.undecided(height)? {
                self.kept.push((block.round, block.id, block.proposer));
                self.check_block(block.round, block.proposer, &block.bytes, Some(block.id))?;
            }
            let (now, later): (Vec<_>, _) =
                std::mem::take(&mut self.later).into_iter().partition(|(init, ..)| init.height == height);
            self.later = later;
            for (init, bytes, _) in now {
                if self.is_genuine(&init) {
                    self.check_block(init.round, init.proposer, &bytes, Some(init.id))?;
                }
            }
        }
        let of_round = self.kept.iter().filter(|(r, ..)| Round::new(*r) == round);
        let valid = |id| matches!(self.known.get(id), Some(Known::Valid(_)));
        Ok(of_round.map(|(r, id, who)| self.proposed(*r, *who, *id, valid(id))).collect())
    }

    fn propose(&mut self, height: Height, round: u32) -> Result<BlockId, EngineError> {
        let block = self.app.propose(height, round, self.me)?;
        if height != self.height || block.header.proposer != self.me || !self.fits(&block) {
            return Err(EngineError::ForeignProposal);
        }
        let bytes = block.encode().map_err(EngineError::Proposal)?;
        let id = block.id();
        self.keep(round, id, self.me, &bytes)?;
        self.known.insert(id, Known::Valid(bytes));
        Ok(id)
    }

    /// What can be checked without the state: the application need not look at these again.
    fn fits(&self, block: &Block) -> bool {
        let header = &block.header;
        header.chain_id == self.chain_id
            && header.height == self.height
            && header.validators_hash == self.validators_hash
            && header.body_root == block.body.root()
    }

    /// Checks and executes a block of the current height, and stores it when it is valid. None:
    /// the bytes are no block, or not the announced one. What nobody has announced comes with the
    /// certificate of its decision.
    fn check_block(
        &mut self,
        round: u32,
        proposer: Address,
        bytes: &[u8],
        announced: Option<BlockId>,
    ) -> Result<Option<ProposedValue<Ctx>>, EngineError> {
        let block = match Block::decode(bytes) {
            Ok(block) => block,
            Err(e) => {
                warn!(target: "dodona::consensus", height = %self.height, round, %proposer, "no block: {e}");
                return Ok(None);
            }
        };
        let id = block.id();
        if announced.is_some_and(|a| a != id) {
            warn!(target: "dodona::consensus", height = %self.height, round, %proposer, "not the announced block");
            return Ok(None);
        }
        if !self.validators.had_turn(&block.header.proposer, self.height, round) {
            warn!(target: "dodona::consensus", height = %self.height, round, %proposer, "wrong author");
            return Ok(Some(self.proposed(round, proposer, id, false)));
        }
        let valid = match (self.known.get(&id), announced) {
            (Some(Known::Valid(_)), _) => true,
            // Decided by two thirds: what we held against it may have been our clock.
            (_, None) => self.fits(&block) && self.app.validate_decided(&block)?,
            (Some(Known::Invalid), _) => false,
            (None, _) => self.fits(&block) && self.app.validate(&block)?,
        };
        if valid {
            self.keep(round, id, proposer, bytes)?;
            self.known.insert(id, Known::Valid(bytes.to_vec()));
        } else {
            warn!(target: "dodona::consensus", height = %self.height, round, %proposer, %id, "invalid block");
            self.known.insert(id, Known::Invalid);
        }
        Ok(Some(self.proposed(round, proposer, id, valid)))
    }

    fn proposed(&self, round: u32, proposer: Address, id: BlockId, valid: bool) -> ProposedValue<Ctx> {
        ProposedValue {
            height: self.height,
            round: Round::new(round),
            valid_round: Round::Nil,
            proposer,
            value: id,
            validity: Validity::from_bool(valid),
        }
    }

    /// The engine logs ids only: without the bytes on disk a replayed decision would have no block.
    fn keep(&mut self, round: u32, id: BlockId, proposer: Address, bytes: &[u8]) -> Result<(), EngineError> {
        if !self.kept.iter().any(|(r, i, _)| (*r, *i) == (round, id)) {
            self.app.put_undecided(self.height, &Undecided { round, id, proposer, bytes: bytes.to_vec() })?;
            self.kept.push((round, id, proposer));
        }
        Ok(())
    }

    fn commit(&mut self, certificate: &Certificate) -> Result<(), EngineError> {
        let (height, id) = (certificate.height, certificate.block_id);
        if height != self.height {
            return Err(EngineError::HeightGap(height, self.app.last_height()));
        }
        match self.known.get(&id) {
            Some(Known::Valid(bytes)) => self.app.commit(id, bytes, certificate)?,
            Some(Known::Invalid) => return Err(EngineError::InvalidDecision(height, id)),
            None => return Err(EngineError::UnknownBlock(height, id)),
        }
        let last = self.app.last_height();
        if last != height {
            return Err(EngineError::NotCommitted(height, last));
        }
        debug!(target: "dodona::consensus", %height, round = certificate.round, %id, "committed");
        self.height = height.next();
        self.validators = self.app.validators();
        self.validators_hash = self.validators.hash();
        self.committed_signatures = certificate.signatures.len();
        self.known.clear();
        self.kept.clear();
        self.round = 0;
        self.received.clear();
        self.recovered = false;
        self.streams.committed(height);
        self.later.retain(|(init, ..)| init.height > height);
        let ours = self.later.iter().filter(|(init, ..)| init.height == self.height && self.is_genuine(init));
        self.heard = ours.map(|(.., heard)| *heard).min();
        Ok(())
    }

    fn publish(
        &mut self,
        channels: &Channels<Ctx>,
        height: Height,
        round: u32,
        id: BlockId,
    ) -> Result<(), EngineError> {
        let Some(Known::Valid(bytes)) = self.known.get(&id) else { return Ok(()) };
        let mut init = PartInit {
            height,
            round,
            proposer: self.me,
            id,
            total_len: bytes.len() as u32,
            signature: Signature([0; 64]),
        };
        init.signature = self.signer.part(&init);
        if init.signature == Signature::NONE {
            return Ok(());
        }
        self.next_stream += 1;
        let stream = StreamId::new(self.next_stream.to_be_bytes().to_vec().into());
        let data = bytes.chunks(PART_BYTES).map(|c| Part::Data(c.to_vec()));
        let parts = std::iter::once(Part::Init(init)).chain(data).map(StreamContent::Data);
        for (sequence, part) in parts.chain([StreamContent::Fin]).enumerate() {
            let message = StreamMessage::new(stream.clone(), sequence as u64, part);
            channels
                .network
                .blocking_send(NetworkMsg::PublishProposalPart(message))
                .map_err(|_| EngineError::Stopped)?;
        }
        Ok(())
    }

    /// Whether the proposer of that height and round has signed this opening. For a height to come
    /// this is a guess, as its set may differ from ours.
    fn is_genuine(&self, init: &PartInit) -> bool {
        let proposer = self.validators.proposer(init.height, init.round);
        let domain = &self.signer.domain;
        proposer.address == init.proposer
            && domain.check(&domain.part_init(init), &init.signature, &proposer.public_key)
    }

    fn receive_part(
        &mut self,
        publisher: PeerId,
        message: StreamMessage<Part>,
    ) -> Result<Option<ProposedValue<Ctx>>, EngineError> {
        let mut streams = std::mem::take(&mut self.streams);
        let wanted = |init: &PartInit| match init.height.0.checked_sub(self.height.0) {
            Some(0) => init.round <= self.round.saturating_add(ROUNDS_AHEAD) && self.is_genuine(init),
            // The set of that height is not known yet; it is checked when we get there.
            Some(ahead) => ahead <= AHEAD,
            None => false,
        };
        let complete = streams.receive(publisher, message, wanted);
        self.streams = streams;
        let Some((init, bytes)) = complete else { return Ok(None) };
        if init.height > self.height {
            if self.later.len() >= MAX_LATER {
                // What looks forged goes first.
                let forged = self.later.iter().position(|(init, ..)| !self.is_genuine(init));
                self.later.remove(forged.unwrap_or(0));
            }
            self.later.push((init, bytes, Instant::now()));
            return Ok(None);
        }
        // The height may have come closer while the parts came in.
        if init.height < self.height || !self.is_genuine(&init) {
            return Ok(None);
        }
        if !self.recovered {
            self.heard.get_or_insert_with(Instant::now);
        }
        if !self.known.contains_key(&init.id) {
            let received = self.received.entry(init.round).or_default();
            if *received >= BLOCKS_PER_ROUND {
                return Ok(None);
            }
            *received += 1;
        }
        self.check_block(init.round, init.proposer, &bytes, Some(init.id))
    }
}

/// One pair per offender and kind is enough to punish.
fn collect(found: MisbehaviorEvidence<Ctx>) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for (_, pairs) in found.votes {
        if let Some((mut a, mut b)) = pairs.into_iter().next() {
            (a.message.extension, b.message.extension) = (None, None);
            evidence.push(Evidence::DoubleVote(a, b));
        }
    }
    for (_, pairs) in found.proposals {
        evidence.extend(pairs.into_iter().next().map(|(a, b)| Evidence::DoubleProposal(a, b)));
    }
    evidence
}
