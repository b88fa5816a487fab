//! Many nodes in one thread under one seed. The consensus core takes inputs and yields effects, so
//! clock, network and crashes are ours: a run repeats to the bit. After every run the light client
//! checks all chains.

// The large error is the library's.
#![allow(clippy::result_large_err)]

use std::collections::{BTreeMap, HashMap};

use crate::common::{State, ready};
use arc_malachitebft_core_consensus as core_consensus;
use arc_malachitebft_core_types as core_types;
use arc_malachitebft_metrics::Metrics;
use arc_malachitebft_signing::{Verifier as _, VerifierExt as _};
use core_consensus::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, LocallyProposedValue, Params, PeerId, ProposedValue,
    Resumable, Resume, SignedConsensusMsg, State as Core, process,
};
use core_types::{
    ExtendedCommitCertificate, LinearTimeouts, NilOrVal, ThresholdParams, Timeout, Validity, ValueOrigin,
    ValuePayload, ValueResponse, VoteExtensionPolicy, VoteExtensions,
};
use dodona_consensus::types::{Ctx, Vote};
use dodona_consensus::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    powers: Vec<u64>,
    heights: u64,
    epoch_length: u64,
    /// One-way delay in milliseconds, uniformly drawn.
    delay_ms: (u64, u64),
    /// Share of messages lost.
    drop: f64,
    /// This node votes twice, differently, whenever it votes for a block.
    equivocator: Option<usize>,
    /// Node, down at, up at; virtual milliseconds.
    crashes: Vec<(usize, u64, u64)>,
}

#[derive(Clone)]
enum Msg {
    Consensus(SignedConsensusMsg<Ctx>),
    Liveness(LivenessMsg<Ctx>),
    Block(Height, Round, Address, Vec<u8>),
}

enum Event {
    Deliver(usize, Msg),
    Timer(usize, Timeout, u64),
    Input(usize, u64, Input<Ctx>),
    Crash(usize),
    Restart(usize),
    /// Once per second a node looks whether its peers are ahead.
    Status(usize),
}

struct Node {
    signer: KeySigner,
    address: Address,
    core: Core<Ctx>,
    metrics: Metrics,
    up: bool,
    /// Grows with every crash: what was under way for an older life is void.
    life: u64,
    timers: HashMap<Timeout, u64>,
    // What would be on disk.
    wal: Vec<(Height, Input<Ctx>)>,
    state: State,
    blocks: BTreeMap<BlockId, Block>,
    chain: Vec<LightBlock>,
    bodies: Vec<Vec<u8>>,
    evidence: Vec<Evidence>,
}

struct Sim {
    sc: Scenario,
    rng: StdRng,
    now_us: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Event>,
    nodes: Vec<Node>,
    timeouts: LinearTimeouts,
    genesis: State,
    trace: Hash32,
    delivered: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Report {
    trace: String,
    virtual_ms: u64,
    messages: u64,
    max_round: u32,
    slashed: Vec<(Height, Address)>,
    final_state: Hash32,
}

fn core_for(genesis: &State, address: Address) -> Core<Ctx> {
    let params = Params {
        address,
        threshold_params: ThresholdParams::default(),
        value_payload: ValuePayload::ProposalAndParts,
        enabled: true,
    };
    Core::new(Ctx, Height(0), genesis.validators.clone(), params, 16, 500)
}

impl Sim {
    fn new(sc: Scenario) -> Self {
        let mut rng = StdRng::seed_from_u64(sc.seed);
        let keys: Vec<_> = sc.powers.iter().map(|_| SigningKey::from_bytes(&rng.r#gen())).collect();
        let members = keys.iter().zip(&sc.powers);
        let members = members.map(|(k, p)| Validator::new(PublicKey(k.verifying_key()), *p)).collect();
        let genesis = State::genesis("sim", ValidatorSet::new(members).unwrap(), sc.epoch_length);
        let node = |key| {
            let signer = KeySigner { key, domain: Domain::new("sim") };
            let address = Address::of(&signer.public_key());
            Node {
                core: core_for(&genesis, address),
                metrics: Metrics::new(),
                signer,
                address,
                up: true,
                life: 0,
                timers: HashMap::new(),
                wal: Vec::new(),
                state: genesis.clone(),
                blocks: BTreeMap::new(),
                chain: Vec::new(),
                bodies: Vec::new(),
                evidence: Vec::new(),
            }
        };
        let nodes = keys.into_iter().map(node).collect();
        let mut sim = Sim {
            rng,
            now_us: 0,
            seq: 0,
            queue: BTreeMap::new(),
            nodes,
            timeouts: LinearTimeouts::default(),
            genesis,
            trace: [0; 32],
            delivered: 0,
            sc,
        };
        for i in 0..sim.nodes.len() {
            sim.start_height(i, 0);
            sim.at(1_000_000, Event::Status(i));
        }
        for (i, down, up) in sim.sc.crashes.clone() {
            sim.at(down * 1000, Event::Crash(i));
            sim.at(up * 1000, Event::Restart(i));
        }
        sim
    }

    fn at(&mut self, time_us: u64, e: Event) {
        self.seq += 1;
        self.queue.insert((time_us, self.seq), e);
    }

    fn broadcast(&mut self, from: usize, msg: Msg) {
        let (min, max) = self.sc.delay_ms;
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            if self.rng.gen_bool(self.sc.drop) {
                continue;
            }
            let t = self.now_us + self.rng.gen_range(min * 1000..=max * 1000);
            self.at(t, Event::Deliver(to, msg.clone()));
        }
    }

    fn start_height(&mut self, i: usize, after_us: u64) {
        let n = &self.nodes[i];
        let set = n.state.validators.clone();
        let input =
            Input::StartHeight(n.state.height.next(), set, false, None, VoteExtensionPolicy::Disabled);
        let life = n.life;
        self.at(self.now_us + after_us, Event::Input(i, life, input));
    }

    /// Runs until every node has the wanted height, then checks the chains.
    fn run(mut self) -> Result<Report, String> {
        while let Some(((t, _), event)) = self.queue.pop_first() {
            self.now_us = t;
            if t > 3_600_000_000 {
                return Err("no progress within one virtual hour".into());
            }
            match event {
                Event::Deliver(to, msg) => self.deliver(to, msg),
                Event::Timer(i, timeout, seq) => {
                    if self.nodes[i].up && self.nodes[i].timers.get(&timeout) == Some(&seq) {
                        self.nodes[i].timers.remove(&timeout);
                        self.input(i, Input::TimeoutElapsed(timeout));
                    }
                }
                Event::Input(i, life, input) => {
                    if self.nodes[i].up && self.nodes[i].life == life {
                        let started = matches!(input, Input::StartHeight(..));
                        self.input(i, input);
                        if started {
                            self.catch_up(i);
                        }
                    }
                }
                Event::Crash(i) => {
                    let n = &mut self.nodes[i];
                    n.up = false;
                    n.life += 1;
                    n.timers.clear();
                }
                Event::Restart(i) => self.restart(i),
                Event::Status(i) => {
                    if self.nodes[i].up {
                        self.catch_up(i);
                    }
                    self.at(self.now_us + 1_000_000, Event::Status(i));
                }
            }
            if self.nodes.iter().all(|n| n.state.height.0 >= self.sc.heights) {
                return self.report();
            }
        }
        Err("the queue ran dry".into())
    }

    fn deliver(&mut self, to: usize, msg: Msg) {
        if !self.nodes[to].up {
            return;
        }
        self.delivered += 1;
        match msg {
            Msg::Consensus(SignedConsensusMsg::Vote(v)) => self.input(to, Input::Vote(v)),
            Msg::Consensus(SignedConsensusMsg::Proposal(p)) => self.input(to, Input::Proposal(p)),
            Msg::Liveness(LivenessMsg::Vote(v)) => self.input(to, Input::Vote(v)),
            Msg::Liveness(LivenessMsg::PolkaCertificate(c)) => self.input(to, Input::PolkaCertificate(c)),
            Msg::Liveness(LivenessMsg::SkipRoundCertificate(c)) => self.input(to, Input::RoundCertificate(c)),
            Msg::Block(h, r, who, bytes) => {
                if let Some(v) = self.check(to, h, r, who, &bytes) {
                    self.input(to, Input::ProposedValue(v, ValueOrigin::Consensus));
                } else if h > self.nodes[to].state.height.next() {
                    // Not there yet: look again later.
                    let t = self.now_us + 20_000;
                    self.at(t, Event::Deliver(to, Msg::Block(h, r, who, bytes)));
                }
            }
        }
    }

    fn check(
        &mut self,
        i: usize,
        height: Height,
        round: Round,
        proposer: Address,
        bytes: &[u8],
    ) -> Option<ProposedValue<Ctx>> {
        let n = &mut self.nodes[i];
        if height != n.state.height.next() {
            return None;
        }
        let block = Block::decode(bytes).ok()?;
        let value = block.id();
        let validity = Validity::from_bool(n.state.apply(&block).is_ok());
        n.blocks.insert(value, block);
        Some(ProposedValue { height, round, valid_round: Round::Nil, proposer, value, validity })
    }

    /// Stands for the block sync protocol: ask a peer that is ahead for the next height.
    fn catch_up(&mut self, i: usize) {
        let h = self.nodes[i].state.height;
        let Some(peer) = self.nodes.iter().position(|n| n.up && n.state.height > h) else { return };
        let body = self.nodes[peer].bodies[h.0 as usize].clone();
        let cert = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
            self.nodes[peer].chain[h.0 as usize].certificate.to_commit(),
            VoteExtensions::default(),
        );
        let from = PeerId::from_multihash(Default::default()).unwrap();
        let (t, life) = (self.now_us + self.sc.delay_ms.1 * 2000, self.nodes[i].life);
        let input = Input::SyncValueResponse(ValueResponse::new(from, body.into(), cert));
        self.at(t, Event::Input(i, life, input));
    }

    fn restart(&mut self, i: usize) {
        let core = core_for(&self.genesis, self.nodes[i].address);
        let n = &mut self.nodes[i];
        n.core = core;
        // The metrics assert the order of steps, so a new life needs new ones.
        n.metrics = Metrics::new();
        n.up = true;
        let h = n.state.height.next();
        let entries: Vec<_> = n.wal.iter().filter(|(wh, _)| *wh == h).map(|(_, e)| e.clone()).collect();
        n.core.record_recovered_own_precommit_extensions(entries.iter());
        n.core.index_wal_entries(entries.iter());
        let set = n.state.validators.clone();
        self.input(i, Input::StartHeight(h, set, false, None, VoteExtensionPolicy::Disabled));
        for e in entries {
            self.input(i, e);
        }
        self.nodes[i].core.reset_entries_index();
        self.catch_up(i);
    }

    fn input(&mut self, i: usize, input: Input<Ctx>) {
        let described = format!("{input:?}");
        self.trace = sha256(&[&self.trace, &self.now_us.to_le_bytes(), &[i as u8], described.as_bytes()]);
        let mut effects = Vec::new();
        let n = &mut self.nodes[i];
        let replaying = n.core.is_replaying_wal();
        let (core, metrics, signer) = (&mut n.core, &n.metrics, &n.signer);
        // An input the core refuses (a forged vote, a late certificate) changes nothing.
        let _: Result<(), Error<Ctx>> = process!(
            input: input,
            state: core,
            metrics: metrics,
            with: effect => pure(effect, signer, &mut effects)
        );
        for e in effects {
            self.perform(i, e, replaying);
        }
    }

    fn perform(&mut self, i: usize, effect: Effect<Ctx>, replaying: bool) {
        match effect {
            Effect::ScheduleTimeout(timeout, _) => {
                let t = self.now_us + self.timeouts.duration_for(timeout).as_micros() as u64;
                self.at(t, Event::Timer(i, timeout, self.seq + 1));
                self.nodes[i].timers.insert(timeout, self.seq);
            }
            Effect::CancelTimeout(timeout, _) => {
                self.nodes[i].timers.remove(&timeout);
            }
            Effect::CancelAllTimeouts(_) => self.nodes[i].timers.clear(),
            Effect::PublishConsensusMsg(m, _) => {
                if let (true, SignedConsensusMsg::Vote(v)) = (self.sc.equivocator == Some(i), &m)
                    && matches!(v.value, NilOrVal::Val(_))
                {
                    let other = Vote { value: NilOrVal::Nil, ..v.message.clone() };
                    let signed = self.nodes[i].signer.vote(other);
                    self.broadcast(i, Msg::Consensus(SignedConsensusMsg::Vote(signed)));
                }
                self.broadcast(i, Msg::Consensus(m));
            }
            Effect::PublishLivenessMsg(m, _) => self.broadcast(i, Msg::Liveness(m)),
            Effect::RepublishVote(v, _) => self.broadcast(i, Msg::Liveness(LivenessMsg::Vote(v))),
            Effect::RepublishRoundCertificate(c, _) => {
                self.broadcast(i, Msg::Liveness(LivenessMsg::SkipRoundCertificate(c)));
            }
            Effect::WalAppend(h, entry, _) if !replaying => {
                let n = &mut self.nodes[i];
                n.wal.retain(|(wh, _)| *wh >= h);
                n.wal.push((h, entry));
            }
            Effect::GetValue(h, round, _, _) => {
                let n = &mut self.nodes[i];
                let evidence = std::mem::take(&mut n.evidence);
                let body = Body { txs: vec![h.0.to_le_bytes().to_vec()], evidence, last_commit: None };
                let block = n.state.propose(n.address, self.now_us / 1000, body);
                let (id, bytes, who, life) = (block.id(), block.encode().unwrap(), n.address, n.life);
                n.blocks.insert(id, block);
                self.broadcast(i, Msg::Block(h, round, who, bytes));
                let input = Input::Propose(LocallyProposedValue::new(h, round, id));
                self.at(self.now_us, Event::Input(i, life, input));
            }
            Effect::RestreamProposal(h, round, _, who, id, _) => {
                if let Some(b) = self.nodes[i].blocks.get(&id) {
                    let bytes = b.encode().unwrap();
                    self.broadcast(i, Msg::Block(h, round, who, bytes));
                }
            }
            Effect::CertVerifiedSyncValue(v, who, _) => {
                let (h, r) = (v.certificate.height, v.certificate.round);
                if let Some(v) = self.check(i, h, r, who, &v.value_bytes) {
                    let life = self.nodes[i].life;
                    let input = Input::ProposedValue(v, ValueOrigin::Sync);
                    self.at(self.now_us, Event::Input(i, life, input));
                }
            }
            Effect::Decide(cert, _, _) => {
                let n = &mut self.nodes[i];
                if cert.height != n.state.height.next() {
                    // A replay of what is committed already.
                    return;
                }
                let block = n.blocks.remove(&cert.value_id).expect("the decided block is known");
                n.state = n.state.apply(&block).expect("the decided block is valid");
                n.bodies.push(block.encode().unwrap());
                let next_validators = n.state.validators.clone();
                let certificate = Certificate::from(cert);
                n.chain.push(LightBlock { header: block.header, certificate, next_validators });
                n.blocks.clear();
            }
            Effect::Finalize(_, _, found, _) => {
                let n = &mut self.nodes[i];
                for (_, pairs) in found.votes {
                    n.evidence.extend(pairs.into_iter().take(1).map(|(a, b)| Evidence::DoubleVote(a, b)));
                }
                for (_, pairs) in found.proposals {
                    n.evidence.extend(pairs.into_iter().take(1).map(|(a, b)| Evidence::DoubleProposal(a, b)));
                }
                self.start_height(i, 1000);
            }
            _ => {}
        }
    }

    fn report(self) -> Result<Report, String> {
        let h = self.sc.heights as usize;
        let mut max_round = 0;
        for n in &self.nodes {
            let mut light = LightClient::new("sim", self.genesis.validators.clone());
            for (b, first) in n.chain[..h].iter().zip(&self.nodes[0].chain) {
                if b.header != first.header {
                    return Err(format!("two blocks at height {}", b.header.height));
                }
                max_round = max_round.max(b.certificate.round);
                light.advance(b).map_err(|e| e.to_string())?;
            }
        }
        Ok(Report {
            trace: hex::encode(&self.trace[..8]),
            virtual_ms: self.now_us / 1000,
            messages: self.delivered,
            max_round,
            slashed: self.nodes[0].state.slashed.clone(),
            final_state: self.nodes[0].chain[h - 1].header.app_hash,
        })
    }
}

/// Effects without a side effect are answered at once, the others are noted.
fn pure(
    effect: Effect<Ctx>,
    signer: &KeySigner,
    out: &mut Vec<Effect<Ctx>>,
) -> Result<Resume<Ctx>, Error<Ctx>> {
    let d = &signer.domain;
    Ok(match effect {
        Effect::SignVote(v, r) => r.resume_with(signer.vote(v)),
        Effect::SignProposal(p, r) => r.resume_with(signer.proposal(p)),
        Effect::VerifySignature(m, pk, r) => {
            let verdict = match &m.message {
                ConsensusMsg::Vote(v) => ready(d.verify_signed_vote(v, &m.signature, &pk)),
                ConsensusMsg::Proposal(p) => ready(d.verify_signed_proposal(p, &m.signature, &pk)),
            };
            r.resume_with(verdict.unwrap().is_valid())
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

fn base(seed: u64) -> Scenario {
    Scenario {
        seed,
        powers: vec![10, 10, 10, 10],
        heights: 30,
        epoch_length: 5,
        delay_ms: (5, 60),
        drop: 0.0,
        equivocator: None,
        crashes: vec![],
    }
}

fn run(sc: Scenario) -> Report {
    let named = format!("{sc:?}");
    Sim::new(sc).run().unwrap_or_else(|e| panic!("{e}: {named}"))
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_bit() {
    assert_eq!(run(base(7)), run(base(7)));
    assert_ne!(run(base(7)).trace, run(base(8)).trace);
}

#[test]
fn one_validator_decides_every_height_in_the_first_round() {
    assert_eq!(run(Scenario { powers: vec![1], ..base(1) }).max_round, 0);
}

#[test]
fn a_lossy_network_neither_forks_nor_stops_the_chain() {
    for seed in 0..20 {
        run(Scenario { drop: 0.15, ..base(seed) });
    }
}

#[test]
fn a_validator_that_votes_twice_is_punished_and_nobody_else() {
    let r = run(Scenario { equivocator: Some(2), ..base(3) });
    assert!(!r.slashed.is_empty());
    assert!(r.slashed.iter().all(|(_, who)| *who == r.slashed[0].1));
}

#[test]
fn crashed_nodes_replay_their_logs_and_catch_up() {
    for seed in 0..20 {
        run(Scenario { crashes: vec![(1, 400, 2500), (3, 3000, 3100), (0, 4000, 9000)], ..base(seed) });
    }
}

#[test]
fn two_of_four_with_more_than_two_thirds_of_the_power_go_on_alone() {
    let crashes = vec![(2, 200, 20_000), (3, 200, 20_000)];
    let r = run(Scenario { powers: vec![60, 50, 10, 10], crashes, ..base(5) });
    assert!(r.virtual_ms >= 20_000, "the others joined before the end: {r:?}");
}
