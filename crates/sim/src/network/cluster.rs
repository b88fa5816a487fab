//! The nodes, the network between them and the time: a queue of events, taken out in the order of virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use arc_malachitebft_core_consensus::{
    Effect, Input, LivenessMsg, LocallyProposedValue, MisbehaviorEvidence, PeerId, SignedConsensusMsg,
};
use arc_malachitebft_core_types::{
    ExtendedCommitCertificate, LinearTimeouts, NilOrVal, Timeout, ValueOrigin, ValueResponse,
    VoteExtensionPolicy, VoteExtensions,
};
use dodona_chain::Genesis;
use dodona_consensus::{
    Address, Certificate, Domain, Evidence, KeySigner, Round, Signature, SigningKey,
    engine::Timeouts,
    sha256,
    types::{Ctx, Proposal, Vote},
};
use dodona_proto::tx::{self, TxHash};

use super::{
    Bad, Canary, Kind, Plan, Report, check,
    load::{Desk, Load},
    node::{AFTER_THE_RUN_MS, Node, Sent, Stop, set_clock},
    program,
    rotation::Rotation,
};
use crate::{random::Random, world};

/// Pace of heights.
const BETWEEN_BLOCKS_US: u64 = 400_000;
/// How often everybody acts, and how often nodes look whether others are ahead.
const LOAD_US: u64 = 400_000;
const STATUS_US: u64 = 1_000_000;
/// How long a supervisor waits before it starts a node again that has stopped by itself.
const SUPERVISOR_US: u64 = 2_000_000;
/// Blocks that have to come when nothing goes wrong any more, and how long they may take.
const AFTERMATH: u64 = 14;
const AFTERMATH_US: u64 = 120_000_000;
/// When the first node gets a new program, and how long until the next one does.
const FIRST_PROGRAM_US: u64 = 2_000_000;
const NEXT_PROGRAM_US: u64 = 1_000_000;
/// How long a node is down for it.
const REPLACEMENT_US: u64 = 500_000;
/// How long messages take when nothing is wrong, milliseconds.
const DELAY_MS: (u64, u64) = (5, 60);

#[derive(Clone)]
enum Msg {
    Consensus(SignedConsensusMsg<Ctx>),
    Liveness(LivenessMsg<Ctx>),
    Block(Sent),
    Tx(Arc<[u8]>),
}

enum Event {
    Deliver(usize, Msg),
    Timer(usize, Timeout, u64),
    /// For the life it was meant for.
    Input(usize, u64, Input<Ctx>),
    Crash(usize),
    Start(usize),
    /// A node gets a new program.
    Replace(usize),
    Status(usize),
    Load,
    /// All faults are over.
    Aftermath,
}

/// A network under a plan.
pub(super) struct Cluster {
    plan: Plan,
    random: Random,
    now_us: u64,
    number: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub nodes: Vec<Node>,
    pub genesis: Genesis,
    timeouts: LinearTimeouts,
    load: Load,
    rotation: Option<Rotation>,
    /// Where each transaction was first seen in a block.
    pub included: BTreeMap<TxHash, (u64, u32)>,
    /// The block of each height as the first node had it.
    ids: BTreeMap<u64, [u8; 32]>,
    /// When the faults were over: the height that is enough, and how many epochs were opened and ended by then.
    aftermath: Option<(u64, check::Epochs)>,
    /// When the newest block was decided first, and the longest time from one to the next.
    newest_us: u64,
    longest_us: u64,
    /// Nodes that will crash in the middle of what they do next.
    doomed: Vec<bool>,
    trace: [u8; 32],
    messages: u64,
    max_round: u32,
    restarts: u64,
    stopped: u64,
}

impl Cluster {
    pub fn new(plan: &Plan) -> Result<Self, String> {
        let mut random = Random::new(plan.seed);
        let load = Load::new(plan.seed, plan.upgrade);
        let keys: Vec<SigningKey> =
            (0..plan.nodes()).map(|_| SigningKey::from_bytes(&random.bytes())).collect();
        let mut names = load.names();
        names.extend((0..plan.nodes()).map(operator));
        let Some(first) = keys.first() else { return Err("a network has nodes".into()) };
        let mut genesis = world::genesis(plan.seed, first.verifying_key().to_bytes(), &names);
        let pattern = genesis.validators.remove(0);
        for (n, (key, power)) in keys.iter().zip(&plan.powers).enumerate() {
            let mut validator = pattern.clone();
            validator.public_key = hex::encode(key.verifying_key().to_bytes());
            validator.power = *power;
            validator.operator = world::key(plan.seed, &operator(n)).address().to_string();
            genesis.validators.push(validator);
        }
        if plan.rotate > 0 {
            genesis.params.validator_set_blocks = plan.rotate;
        }
        let rotation = (plan.rotate > 0).then(|| Rotation::new(plan, &keys));
        let domain = Domain::new(&genesis.chain_id);
        let nodes = keys
            .into_iter()
            .map(|key| Node::new(KeySigner { key, domain: domain.clone() }, program::OLD, plan.canary));
        let t = Timeouts::default();
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
        let mut cluster = Self {
            random,
            now_us: 0,
            number: 0,
            queue: BTreeMap::new(),
            nodes: nodes.collect(),
            genesis,
            timeouts,
            load,
            rotation,
            included: BTreeMap::new(),
            ids: BTreeMap::new(),
            aftermath: None,
            newest_us: 0,
            longest_us: 0,
            doomed: vec![false; plan.nodes()],
            trace: [0; 32],
            messages: 0,
            max_round: 0,
            restarts: 0,
            stopped: 0,
            plan: plan.clone(),
        };
        for i in 0..cluster.nodes.len() {
            cluster.at(0, Event::Start(i));
            cluster.at(STATUS_US + i as u64 * 10_000, Event::Status(i));
        }
        cluster.at(LOAD_US, Event::Load);
        for i in (0..cluster.nodes.len()).filter(|_| plan.upgrade) {
            cluster.at(FIRST_PROGRAM_US + i as u64 * NEXT_PROGRAM_US, Event::Replace(i));
        }
        for fault in plan.faults.clone() {
            let down = match fault.kind {
                Kind::Crash(node) | Kind::Forget(node) => node..node + 1,
                Kind::Outage => 0..cluster.nodes.len(),
                _ => continue,
            };
            for i in down {
                cluster.at(fault.from_ms * 1_000, Event::Crash(i));
                cluster.at(fault.until_ms * 1_000, Event::Start(i));
            }
        }
        cluster.at(cluster.end_us(), Event::Aftermath);
        Ok(cluster)
    }

    /// When everything that the plan does is done.
    fn end_us(&self) -> u64 {
        let last = self.plan.faults.iter().map(|fault| fault.until_ms).max().unwrap_or(0);
        last.max(self.plan.horizon_ms) * 1_000
    }

    fn at(&mut self, time_us: u64, event: Event) {
        self.number += 1;
        self.queue.insert((time_us, self.number), event);
    }

    /// Runs until every node has seen the aftermath, then checks everything.
    pub fn run(mut self) -> Result<Report, String> {
        while let Some(((time_us, _), event)) = self.queue.pop_first() {
            self.now_us = time_us;
            if time_us > self.end_us() + AFTERMATH_US {
                let epochs = check::epochs(&self);
                let before = self.aftermath.map(|(_, epochs)| epochs);
                return Err(format!(
                    "no progress: {}; epochs {before:?}, now {epochs:?}",
                    standing(&self.nodes)
                ));
            }
            let look = matches!(event, Event::Load);
            self.happen(event)?;
            let enough = self.aftermath.as_ref().filter(|_| look).is_some_and(|(height, before)| {
                let there = |node: &Node| node.life.is_some() && node.height() >= *height;
                self.nodes.iter().all(there) && check::epochs(&self).goes_on(before) && check::changed(&self)
            });
            if enough {
                return self.report();
            }
        }
        Err("nothing happens any more".into())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver(to, msg) => return self.deliver(to, msg),
            Event::Timer(i, timeout, number) => {
                let due = self.nodes[i].life.as_mut().is_some_and(|life| {
                    let due = life.timers.get(&timeout) == Some(&number);
                    if due {
                        life.timers.remove(&timeout);
                    }
                    due
                });
                if due {
                    self.input(i, Input::TimeoutElapsed(timeout))?;
                }
            }
            Event::Input(i, life, input) => {
                if self.nodes[i].life.is_some() && self.nodes[i].lives == life {
                    let started = matches!(input, Input::StartHeight(..));
                    self.input(i, input)?;
                    if started {
                        self.catch_up(i)?;
                    }
                }
            }
            // In the middle of what it does next, if it does anything before it has to come back.
            Event::Crash(i) => self.doomed[i] = true,
            Event::Start(i) => return self.start(i),
            Event::Replace(i) => {
                self.nodes[i].program = program::new(self.plan.canary);
                self.nodes[i].life = None;
                self.at(self.now_us + REPLACEMENT_US, Event::Start(i));
            }
            Event::Status(i) => {
                self.catch_up(i)?;
                self.at(self.now_us + STATUS_US, Event::Status(i));
            }
            Event::Load => {
                self.load()?;
                self.at(self.now_us + LOAD_US, Event::Load);
            }
            Event::Aftermath => {
                let highest = self.nodes.iter().map(Node::height).max().unwrap_or(0);
                let epochs = check::epochs(self);
                self.aftermath = Some((highest + AFTERMATH, epochs));
            }
        }
        Ok(())
    }

    // --- the network

    fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// What goes wrong right now.
    fn wrong(&self) -> impl Iterator<Item = &Kind> {
        let now = self.now_ms();
        self.plan.faults.iter().filter(move |f| (f.from_ms..f.until_ms).contains(&now)).map(|f| &f.kind)
    }

    /// Whether what one node says can reach another.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let within = |set: &u64, node: usize| set >> node & 1 == 1;
        !self.wrong().any(|kind| match kind {
            Kind::Split(set) => within(set, from) != within(set, to),
            Kind::OneWay(speak, hear) => within(speak, from) && within(hear, to),
            Kind::Silent(node) => *node == from,
            _ => false,
        })
    }

    fn send(&mut self, from: usize, to: usize, msg: Msg) {
        if from == to || !self.reaches(from, to) {
            return;
        }
        let (mut loss, mut twice, mut delay, mut slow) = (0, 0, DELAY_MS, 0);
        for kind in self.wrong() {
            match kind {
                Kind::Loss(percent) => loss = *percent,
                Kind::Twice(percent) => twice = *percent,
                Kind::Delay(min, max) => delay = (*min, *max),
                Kind::Slow(node, ms) if *node == from => slow = *ms,
                _ => {}
            }
        }
        if self.random.percent(loss) {
            return;
        }
        let copies = if self.random.percent(twice) { 2 } else { 1 };
        for _ in 0..copies {
            let time = self.random.within(delay.0 * 1_000, delay.1 * 1_000) + slow * 1_000;
            self.at(self.now_us + time, Event::Deliver(to, msg.clone()));
        }
    }

    fn broadcast(&mut self, from: usize, msg: Msg) {
        for to in 0..self.nodes.len() {
            self.send(from, to, msg.clone());
        }
    }

    fn deliver(&mut self, to: usize, msg: Msg) -> Result<(), String> {
        if self.nodes[to].life.is_none() {
            return Ok(());
        }
        self.messages += 1;
        self.clock(to);
        match msg {
            Msg::Consensus(SignedConsensusMsg::Vote(v)) => self.input(to, Input::Vote(v)),
            Msg::Consensus(SignedConsensusMsg::Proposal(p)) => self.input(to, Input::Proposal(p)),
            Msg::Liveness(LivenessMsg::Vote(v)) => self.input(to, Input::Vote(v)),
            Msg::Liveness(LivenessMsg::PolkaCertificate(c)) => self.input(to, Input::PolkaCertificate(c)),
            Msg::Liveness(LivenessMsg::SkipRoundCertificate(c)) => self.input(to, Input::RoundCertificate(c)),
            Msg::Block(sent) => {
                self.note(to, "block", &sent.id.0);
                if let Some(value) = self.nodes[to].receive(&sent)? {
                    self.input(to, Input::ProposedValue(value, ValueOrigin::Consensus))?;
                }
                Ok(())
            }
            Msg::Tx(bytes) => {
                self.note(to, "tx", &tx::hash(&bytes));
                let life = self.nodes[to].life.as_ref();
                // A refusal is an answer.
                let _ = life.map(|life| life.mempool.add(&bytes));
                Ok(())
            }
        }
    }

    /// Stands for block sync: asks a node that is ahead for the next block.
    fn catch_up(&mut self, i: usize) -> Result<(), String> {
        let Some(life) = &self.nodes[i].life else { return Ok(()) };
        let height = life.height;
        let ahead: Vec<usize> = (0..self.nodes.len())
            .filter(|&j| self.nodes[j].height() >= height.0 && self.reaches(i, j) && self.reaches(j, i))
            .collect();
        let chance = self.wrong().find_map(|kind| match kind {
            Kind::Loss(percent) => Some(*percent),
            _ => None,
        });
        if ahead.is_empty() || self.random.percent(chance.unwrap_or(0)) {
            return Ok(());
        }
        let peer = ahead[self.random.below(ahead.len())];
        let decided = self.nodes[peer].life.as_ref().map(|life| life.app.decided(height));
        let Some(Ok(Some((block, certificate)))) = decided else {
            return Err(format!("node {peer} does not have block {height}, which it has committed"));
        };
        let certificate = Certificate::decode(&certificate).map_err(|e| e.to_string())?;
        let certificate = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
            certificate.to_commit(),
            VoteExtensions::default(),
        );
        let from = PeerId::from_multihash(Default::default()).map_err(|_| "no peer")?;
        let input = Input::SyncValueResponse(ValueResponse::new(from, block.into(), certificate));
        let time = self.random.within(DELAY_MS.0 * 2_000, DELAY_MS.1 * 2_000);
        let life = self.nodes[i].lives;
        self.at(self.now_us + time, Event::Input(i, life, input));
        Ok(())
    }

    // --- the nodes

    /// What the node's clock shows is what it works by.
    fn clock(&self, i: usize) {
        let skew: i64 = self
            .wrong()
            .map(|kind| match kind {
                Kind::Skew(node, ms) if *node == i => *ms,
                _ => 0,
            })
            .sum();
        // No clock is behind genesis by more than it is off.
        let now = self.genesis.time_ms + 60_000 + self.now_ms();
        set_clock(now.saturating_add_signed(skew));
    }

    fn note(&mut self, i: usize, what: &str, content: &[u8]) {
        let parts: [&[u8]; 5] =
            [&self.trace, &self.now_us.to_le_bytes(), &[i as u8], what.as_bytes(), content];
        self.trace = sha256(&parts);
    }

    fn start(&mut self, i: usize) -> Result<(), String> {
        // Somebody else may be keeping it down still, or it came back before it was to crash.
        let kept_down = self.wrong().any(|kind| match kind {
            Kind::Crash(node) | Kind::Forget(node) => *node == i,
            Kind::Outage => true,
            _ => false,
        });
        if std::mem::take(&mut self.doomed[i]) {
            self.nodes[i].life = None;
        }
        if kept_down || self.nodes[i].life.is_some() {
            return Ok(());
        }
        let forgets = self.plan.faults.iter().any(|fault| {
            fault.kind == Kind::Forget(i) && fault.until_ms == self.now_ms() && self.nodes[i].lives > 0
        });
        if forgets {
            self.nodes[i].disk.log.clear();
            self.nodes[i].disk.undecided.clear();
        }
        self.clock(i);
        self.restarts += u64::from(self.nodes[i].lives > 0);
        self.nodes[i].start(&self.genesis)?;
        let node = &mut self.nodes[i];
        let Some(life) = &mut node.life else { return Ok(()) };
        let height = life.height;
        let log = &node.disk.log;
        let entries: Vec<Input<Ctx>> =
            log.iter().filter(|(h, _)| *h == height).map(|(_, entry)| entry.clone()).collect();
        life.core.record_recovered_own_precommit_extensions(entries.iter());
        life.core.index_wal_entries(entries.iter());
        let set = life.validators.clone();
        self.input(i, Input::StartHeight(height, set, false, None, VoteExtensionPolicy::Disabled))?;
        for entry in entries {
            self.input(i, entry)?;
        }
        if let Some(life) = &mut self.nodes[i].life {
            life.core.reset_entries_index();
        }
        self.catch_up(i)
    }

    fn start_height(&mut self, i: usize, after_us: u64) {
        let node = &self.nodes[i];
        let Some(life) = &node.life else { return };
        let set = life.validators.clone();
        let input = Input::StartHeight(life.height, set, false, None, VoteExtensionPolicy::Disabled);
        self.at(self.now_us + after_us, Event::Input(i, node.lives, input));
    }

    /// Feeds a core and does what it wants done. Inputs it gives itself come at once, before anything else happens.
    fn input(&mut self, i: usize, input: Input<Ctx>) -> Result<(), String> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            match &input {
                Input::SyncValueResponse(response) => {
                    self.note(i, "sync", &response.value_bytes);
                }
                other => {
                    let text = format!("{other:?}");
                    self.note(i, "input", text.as_bytes());
                }
            }
            self.clock(i);
            let Some(life) = &self.nodes[i].life else { return Ok(()) };
            let (replaying, lives) = (life.core.is_replaying_wal(), self.nodes[i].lives);
            let mut effects = self.nodes[i].input(input);
            let doomed = self.doomed[i] && !effects.is_empty() && !replaying;
            if doomed {
                effects.truncate(self.random.below(effects.len() + 1));
                self.nodes[i].cut_off(effects.len());
            }
            for effect in effects {
                self.perform(i, effect, replaying, &mut inputs)?;
                if self.nodes[i].life.is_none() || self.nodes[i].lives != lives {
                    return Ok(());
                }
            }
            if doomed {
                self.doomed[i] = false;
                self.nodes[i].life = None;
            }
        }
        Ok(())
    }

    fn perform(
        &mut self,
        i: usize,
        effect: Effect<Ctx>,
        replaying: bool,
        inputs: &mut VecDeque<Input<Ctx>>,
    ) -> Result<(), String> {
        match effect {
            Effect::StartRound(height, round, ..) => {
                // As in the engine, these come behind what a restart replays.
                let life = self.nodes[i].lives;
                for value in self.nodes[i].started_round(height, round.as_u32().unwrap_or(0))? {
                    let input = Input::ProposedValue(value, ValueOrigin::Consensus);
                    self.at(self.now_us, Event::Input(i, life, input));
                }
            }
            Effect::ScheduleTimeout(timeout, _) => {
                let time = self.timeouts.duration_for(timeout);
                self.schedule(i, timeout, time);
            }
            Effect::CancelTimeout(timeout, _) => {
                if let Some(life) = &mut self.nodes[i].life {
                    life.timers.remove(&timeout);
                }
            }
            Effect::CancelAllTimeouts(_) => {
                if let Some(life) = &mut self.nodes[i].life {
                    life.timers.clear();
                }
            }
            Effect::PublishConsensusMsg(msg, _) => self.publish(i, msg),
            Effect::PublishLivenessMsg(LivenessMsg::Vote(vote), _) | Effect::RepublishVote(vote, _) => {
                if let Some(vote) = self.nodes[i].spoken(vote) {
                    self.broadcast(i, Msg::Liveness(LivenessMsg::Vote(vote)));
                }
            }
            Effect::PublishLivenessMsg(msg, _) => self.broadcast(i, Msg::Liveness(msg)),
            Effect::RepublishRoundCertificate(certificate, _) => {
                self.broadcast(i, Msg::Liveness(LivenessMsg::SkipRoundCertificate(certificate)));
            }
            Effect::WalAppend(height, entry, _) if !replaying => {
                let log = &mut self.nodes[i].disk.log;
                log.retain(|(of, _)| *of >= height);
                log.push((height, entry));
            }
            Effect::GetValue(height, round, ..) => {
                let sent = self.propose(i, round.as_u32().unwrap_or(0))?;
                inputs.push_back(Input::Propose(LocallyProposedValue::new(height, round, sent.id)));
                self.broadcast(i, Msg::Block(sent));
            }
            Effect::RestreamProposal(_, round, _, _, id, _) => {
                if let Some(sent) = self.nodes[i].again(round.as_u32().unwrap_or(0), id) {
                    self.broadcast(i, Msg::Block(sent));
                }
            }
            Effect::CertVerifiedSyncValue(v, who, _) => {
                let (height, round) = (v.certificate.height, v.certificate.round.as_u32().unwrap_or(0));
                if let Some(value) = self.nodes[i].synced(height, round, who, &v.value_bytes)? {
                    inputs.push_back(Input::ProposedValue(value, ValueOrigin::Sync));
                }
            }
            Effect::Decide(certificate, ..) => self.decide(i, &Certificate::from(certificate))?,
            Effect::Finalize(certificate, _, found, _) => {
                let evidence = proofs(found);
                if let Some(life) = &mut self.nodes[i].life {
                    if !evidence.is_empty() {
                        life.app.misbehaviour(evidence).map_err(|e| e.to_string())?;
                    }
                    life.app.finalize(&Certificate::from(certificate)).map_err(|e| e.to_string())?;
                }
                self.start_height(i, BETWEEN_BLOCKS_US);
            }
            _ => {}
        }
        Ok(())
    }

    fn schedule(&mut self, i: usize, timeout: Timeout, time: Duration) {
        self.at(self.now_us + time.as_micros() as u64, Event::Timer(i, timeout, self.number + 1));
        let number = self.number;
        if let Some(life) = &mut self.nodes[i].life {
            life.timers.insert(timeout, number);
        }
    }

    fn decide(&mut self, i: usize, certificate: &Certificate) -> Result<(), String> {
        let block = match self.nodes[i].commit(certificate) {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(()),
            Err(Stop::Broken(what)) => return Err(format!("node {i}: {what}")),
            Err(Stop::Invalid(what)) => {
                self.note(i, "stop", what.as_bytes());
                self.stopped += 1;
                self.nodes[i].life = None;
                self.at(self.now_us + SUPERVISOR_US, Event::Start(i));
                return Ok(());
            }
        };
        let (height, id) = (certificate.height.0, certificate.block_id.0);
        self.max_round = self.max_round.max(certificate.round);
        if !self.ids.contains_key(&height) {
            self.longest_us = self.longest_us.max(self.now_us - self.newest_us);
            self.newest_us = self.now_us;
        }
        let first = *self.ids.entry(height).or_insert(id);
        if first != id {
            return Err(format!("two blocks at height {height}: node {i} decided on another"));
        }
        for (index, bytes) in block.body.txs.iter().enumerate() {
            let place = (height, index as u32);
            let known = *self.included.entry(tx::hash(bytes)).or_insert(place);
            if known != place {
                return Err(format!("one transaction twice: in block {} and in block {height}", known.0));
            }
        }
        Ok(())
    }

    // --- who lies

    fn equivocates(&self, i: usize) -> bool {
        self.wrong().any(|kind| matches!(kind, Kind::Equivocate(node) if *node == i))
    }

    /// Sends a vote or a proposal; a liar sends some nodes this, some that, and some both.
    fn publish(&mut self, i: usize, msg: SignedConsensusMsg<Ctx>) {
        let msg = match msg {
            SignedConsensusMsg::Vote(vote) => match self.nodes[i].spoken(vote) {
                Some(vote) => SignedConsensusMsg::Vote(vote),
                None => return,
            },
            SignedConsensusMsg::Proposal(proposal) if proposal.signature == Signature::NONE => return,
            proposal => proposal,
        };
        let other = match &msg {
            SignedConsensusMsg::Vote(vote) if matches!(vote.value, NilOrVal::Val(_)) => {
                let other = Vote { value: NilOrVal::Nil, ..vote.message.clone() };
                Some(SignedConsensusMsg::Vote(self.nodes[i].signer.vote(other)))
            }
            _ => None,
        };
        let Some(other) = other.filter(|_| self.equivocates(i)) else {
            return self.broadcast(i, Msg::Consensus(msg));
        };
        for to in 0..self.nodes.len() {
            let choice = self.random.below(3);
            if choice != 0 {
                self.send(i, to, Msg::Consensus(msg.clone()));
            }
            if choice != 1 {
                self.send(i, to, Msg::Consensus(other.clone()));
            }
        }
    }

    /// A node's block for a round: what its application makes, or what a liar makes of that.
    fn propose(&mut self, i: usize, round: u32) -> Result<Sent, String> {
        let sent = self.nodes[i].propose(round)?;
        let bad = self.wrong().find_map(|kind| match kind {
            Kind::Bad(node, bad) if *node == i => Some(*bad),
            _ => None,
        });
        let Ok(mut block) = dodona_consensus::Block::decode(&sent.bytes) else {
            return Err("a block of our own does not decode".into());
        };
        if let Some(bad) = bad {
            match bad {
                Bad::Root => block.header.app_hash[0] ^= 1,
                Bad::Tx => block.body.txs.push(vec![7; 40]),
                Bad::Size => block.body.txs.push(vec![7; dodona_consensus::MAX_BLOCK_BYTES]),
                Bad::Time => block.header.time_ms += 60_000,
            }
            block.header.body_root = block.body.root();
            let bytes = borsh::to_vec(&block).map_err(|e| e.to_string())?;
            let lie = Sent { id: block.id(), bytes: bytes.into(), ..sent };
            self.nodes[i].pretend(&lie);
            return Ok(lie);
        }
        if self.equivocates(i) {
            // A second block, as good as the first, for some of the others.
            set_clock(block.header.time_ms + 1);
            let second = self.nodes[i].second(round)?;
            let proposal = Proposal {
                height: sent.height,
                round: Round::new(round),
                value: second.id,
                pol_round: Round::Nil,
                proposer: sent.proposer,
            };
            let proposal = SignedConsensusMsg::Proposal(self.nodes[i].signer.proposal(proposal));
            for to in 0..self.nodes.len() {
                if self.random.percent(50) {
                    self.send(i, to, Msg::Consensus(proposal.clone()));
                    self.send(i, to, Msg::Block(second.clone()));
                }
            }
        }
        Ok(sent)
    }

    // --- the load, and the end

    fn load(&mut self) -> Result<(), String> {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|i| self.nodes[*i].life.is_some()).collect();
        if up.is_empty() {
            return Ok(());
        }
        let i = up[self.random.below(up.len())];
        self.clock(i);
        let Some(life) = &self.nodes[i].life else { return Ok(()) };
        let desk = Desk::new(life.chain.clone(), life.mempool.clone());
        self.load.act(&desk, &self.included, self.now_us);
        if let Some(rotation) = &mut self.rotation {
            rotation.act(&desk, &life.chain, self.now_us);
        }
        for (hash, bytes) in desk.taken.into_inner() {
            self.note(i, "taken", &hash);
            self.broadcast(i, Msg::Tx(bytes));
        }
        Ok(())
    }

    fn report(mut self) -> Result<Report, String> {
        let before = self.aftermath.as_ref().map(|(_, epochs)| epochs.clone()).unwrap_or_default();
        if self.plan.canary == Some(Canary::Lost) {
            self.included.insert([7; 32], (1, 0));
        }
        set_clock(AFTER_THE_RUN_MS);
        let seen = check::all(&self, &before)?;
        let roots: Vec<u8> = seen.root.to_vec();
        self.note(0, "end", &roots);
        Ok(Report {
            trace: hex::encode(&self.trace[..8]),
            height: seen.height,
            time_ms: self.now_ms(),
            messages: self.messages,
            txs: self.included.len() as u64,
            scored: seen.epochs.scored,
            max_round: self.max_round,
            restarts: self.restarts,
            stopped: self.stopped,
            evidence: seen.evidence,
            refused: self.nodes.iter().map(|node| node.refused).sum(),
            sets: seen.sets,
            links: seen.links,
            rotated: seen.rotated,
            upgraded: seen.upgraded,
            longest_ms: self.longest_us / 1_000,
        })
    }

    /// The plan it runs under.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether the plan has whoever votes with this key lie.
    pub fn is_liar(&self, who: Address) -> bool {
        let liar = |kind: &Kind| match kind {
            Kind::Equivocate(node) => self.nodes[*node].address == who,
            _ => false,
        };
        self.plan.faults.iter().any(|fault| liar(&fault.kind))
    }
}

/// Name of the operator of a node.
pub(super) fn operator(node: usize) -> String {
    format!("operator-{node}")
}

/// Where the nodes are.
fn standing(nodes: &[Node]) -> String {
    let node = |n: &Node| match &n.life {
        Some(life) => format!("at {} round {}", n.height(), life.round),
        None => "down".to_string(),
    };
    nodes.iter().map(node).collect::<Vec<_>>().join(", ")
}

/// Proofs of misbehaviour that the core has found: one pair for each offender and kind is enough. Extensions are
/// outside the signature.
fn proofs(found: MisbehaviorEvidence<Ctx>) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for (_, pairs) in found.votes {
        evidence.extend(pairs.into_iter().next().map(|(mut a, mut b)| {
            (a.message.extension, b.message.extension) = (None, None);
            Evidence::DoubleVote(a, b)
        }));
    }
    for (_, pairs) in found.proposals {
        evidence.extend(pairs.into_iter().next().map(|(a, b)| Evidence::DoubleProposal(a, b)));
    }
    // The core keeps them in no order.
    evidence
        .sort_by_key(|proof| (proof.height(), proof.offender(), borsh::to_vec(proof).unwrap_or_default()));
    evidence
}
