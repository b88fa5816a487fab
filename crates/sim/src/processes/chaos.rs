//! The soak: a network of real processes under load, and everything that can happen to it, one fault after another, in
//! an order that follows from a seed. After each fault the network must be one again: blocks go on, every node has the
//! same blocks and states, no transaction that a node has shown in a block is gone, and epochs keep being scored.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use dodona_chain::{App, Genesis, Params, Signatures, upgrade};
use dodona_client::{Client, ClientError, Http, Wallet};
use dodona_participant::{
    model,
    role::{ReputerRole, Seat, WorkerRole},
    series::Series,
};
use dodona_proto::{
    ALLO,
    cosmos::upgrade::v1beta1::{MsgSoftwareUpgrade, Plan as UpgradePlan},
    topics::{Loss, MsgCreateTopic, Role, Rule, TopicSpec},
    tx::{TxHash, pack},
    url,
};
use dodona_store::{Config, Store};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    member::{self, Member, MemberError, Plan},
    room::{self, Room},
    rotation::{self, Handover},
    wire::Wire,
};
use crate::world::{self, Setup, TOPIC};

/// Tokens that the topic's consumer pays.
const FUNDING: u128 = 10_000 * ALLO;
/// What each reputer stakes.
const STAKE: u128 = 100 * ALLO;
/// Longest time after a fault is over until blocks go on and everybody has them.
const RECOVERY: Duration = Duration::from_secs(90);
/// Longest time without a scored epoch.
const SILENCE: Duration = Duration::from_secs(240);
/// How often a member looks whether there is something to say.
const LOOK: Duration = Duration::from_millis(500);
/// How far ahead a wrong clock is, milliseconds.
const AHEAD_MS: u64 = 10_000;
/// Blocks of an epoch of the validator set.
const SET_BLOCKS: u64 = 5;
/// Epochs in which all validators have to be replaced by others.
const ROTATION_EPOCHS: u64 = 20;
/// The upgrade that changes nothing but its own mark.
const REHEARSAL: &str = "rehearsal";
/// Transactions that are looked for again on every node at the end of each fault; the newest.
const REMEMBERED: usize = 400;

/// What to do to which network.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The `dodona` program.
    pub program: PathBuf,
    /// An empty folder.
    pub dir: PathBuf,
    /// How long.
    pub time: Duration,
    /// Order and details of the faults follow from it.
    pub seed: u64,
    /// How many validators, at least 4.
    pub validators: u8,
    /// How many workers.
    pub workers: u16,
    /// From one block to the next.
    pub block_time: Duration,
    /// Only these faults; none means all.
    pub only: Vec<Fault>,
    /// End after so many faults, if time does not end it before.
    pub count: Option<u32>,
}

/// What can happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// One process is killed without notice, and started again.
    Kill,
    /// All of them at the same moment.
    KillAll,
    /// As many as the network tolerates are down for a while.
    Minority,
    /// One more than that: the chain must halt, and go on afterwards.
    TooMany,
    /// Two halves that do not hear one another.
    Halves,
    /// One node hears nobody.
    Alone,
    /// One node hears the others and is not heard.
    OneWay,
    /// Every byte takes 300 ms.
    Slow,
    /// A third of the packets is lost.
    Lossy,
    /// One process stands still and goes on.
    Freeze,
    /// One node loses its disk except for its keys, settings and guard.
    EmptyDisk,
    /// One node's store is damaged at its end: the node must say so, and recover by sync.
    Damaged,
    /// One node's clock is 10 s ahead for a while.
    Clock,
    /// The file system under one node's home has no room left: the node must say so and end, and go on with what it has
    /// once there is room.
    DiskFull,
    /// One node's writes fail from some place in a file on: as with a full disk.
    DiskError,
    /// An upgrade is planned, and every process is ended and started again before its height, one after the other,
    /// while blocks go on.
    Upgrade,
    /// Every validator is replaced by a newcomer on the same machine, one after the other, while blocks go on.
    Rotation,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 17] = [
        Fault::Kill,
        Fault::KillAll,
        Fault::Minority,
        Fault::TooMany,
        Fault::Halves,
        Fault::Alone,
        Fault::OneWay,
        Fault::Slow,
        Fault::Lossy,
        Fault::Freeze,
        Fault::EmptyDisk,
        Fault::Damaged,
        Fault::Clock,
        Fault::DiskFull,
        Fault::DiskError,
        Fault::Upgrade,
        Fault::Rotation,
    ];

    /// As it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::KillAll => "kill-all",
            Fault::Minority => "minority",
            Fault::TooMany => "too-many",
            Fault::Halves => "halves",
            Fault::Alone => "alone",
            Fault::OneWay => "one-way",
            Fault::Slow => "slow",
            Fault::Lossy => "lossy",
            Fault::Freeze => "freeze",
            Fault::EmptyDisk => "empty-disk",
            Fault::Damaged => "damaged",
            Fault::Clock => "clock",
            Fault::DiskFull => "disk-full",
            Fault::DiskError => "disk-error",
            Fault::Upgrade => "upgrade",
            Fault::Rotation => "rotation",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcome {
    /// How often each fault happened.
    pub faults: BTreeMap<String, u32>,
    /// Longest recovery after each, seconds.
    pub recovery: BTreeMap<String, f64>,
    /// Longest time without a block while as many nodes were down as the network tolerates, seconds.
    pub pause: f64,
    /// Blocks of the chain.
    pub blocks: u64,
    /// Transactions in them.
    pub txs: u64,
    /// Scored epochs of the topic.
    pub epochs: u64,
    /// Transactions that a node had shown in a block and that were looked for again on all nodes.
    pub acknowledged: u64,
    /// Faults that this machine does not let us make, and why.
    pub skipped: BTreeMap<String, String>,
    /// Seconds.
    pub seconds: f64,
}

/// What must not happen.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// A network that cannot even be made.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A wire between nodes.
    #[error("no wire: {0}")]
    Wire(#[from] std::io::Error),
    /// A promise was broken.
    #[error("after {fault}: {what}")]
    Broken {
        /// The last fault.
        fault: &'static str,
        /// Which promise.
        what: String,
    },
}

/// Hands in what is reported; the network's state is in the folder afterwards.
///
/// # Errors
/// [`SoakError::Broken`] at the first promise that does not hold; the folder is left as it is.
pub fn run(soak: &Soak, tell: &mut dyn FnMut(&str)) -> Result<Outcome, SoakError> {
    let mut wires = Vec::new();
    let plan = Plan {
        validators: soak.validators,
        seed: soak.seed,
        block_time: soak.block_time,
        index: true,
        params: Params { validator_set_blocks: SET_BLOCKS, ..world::dev_params() },
        accounts: names(soak),
    };
    let mut failed = None;
    let turn = member::Turn::take();
    let members = member::create(&soak.dir, &plan, &mut |from, to, address| match Wire::to(
        address,
        soak.seed ^ (from as u64) << 8 ^ to as u64,
    ) {
        Ok(wire) => {
            let address = wire.address();
            wires.push((from, to, wire));
            address
        }
        Err(cause) => {
            failed = Some(cause);
            address
        }
    })?;
    if let Some(cause) = failed {
        return Err(cause.into());
    }
    let mut net = Net {
        soak,
        members,
        wires: Wires(wires),
        fault: "the start",
        best: 0,
        upgraded: None,
        turn: 0,
        pause: Duration::ZERO,
    };
    for n in 0..net.members.len() {
        net.start(n)?;
    }
    net.recover(3)?;
    drop(turn);
    let load = Load::start(soak, &net)?;
    let outcome = net.suffer(&load, tell);
    if outcome.is_err() {
        for member in &net.members {
            let (name, height) = (&member.name, member.height());
            tell(&format!("{name} at block {height:?} said at last:\n{}", member.last_lines(15)));
        }
    }
    load.stop();
    let forced = member::end(&mut net.members);
    let outcome = outcome?;
    if !forced.is_empty() {
        return net.broken(format!("{} did not end by themselves", forced.join(", ")));
    }
    net.audit()?;
    Ok(outcome)
}

fn names(soak: &Soak) -> Vec<String> {
    let workers = (0..soak.workers).map(|n| format!("worker-{n}"));
    workers.chain((0..3).map(|n| format!("reputer-{n}"))).collect()
}

/// Who calls whom over which wire.
struct Wires(Vec<(usize, usize, Wire)>);

impl Wires {
    /// All wires between nodes for which that holds: (from, to).
    fn between(&self, holds: impl Fn(usize, usize) -> bool) -> impl Iterator<Item = &Wire> {
        self.0.iter().filter(move |(from, to, _)| holds(*from, *to)).map(|(_, _, wire)| wire)
    }

    fn heal(&self) {
        self.0.iter().for_each(|(_, _, wire)| wire.heal());
    }
}

struct Net<'a> {
    soak: &'a Soak,
    members: Vec<Member>,
    wires: Wires,
    /// The fault that is going on, or was last.
    fault: &'static str,
    /// Highest block anybody had when all was well the last time.
    best: u64,
    /// Height of the last upgrade.
    upgraded: Option<u64>,
    /// How often a validator has been replaced.
    turn: u64,
    /// Longest time without a block while a tolerable number of nodes was down.
    pause: Duration,
}

impl Net<'_> {
    fn broken<T>(&self, what: impl Into<String>) -> Result<T, SoakError> {
        Err(SoakError::Broken { fault: self.fault, what: what.into() })
    }

    fn start(&mut self, n: usize) -> Result<(), SoakError> {
        Ok(self.members[n].start(&self.soak.program, &[])?)
    }

    fn suffer(&mut self, load: &Load, tell: &mut dyn FnMut(&str)) -> Result<Outcome, SoakError> {
        let mut dice = StdRng::seed_from_u64(self.soak.seed);
        let faults: Vec<Fault> =
            if self.soak.only.is_empty() { Fault::ALL.to_vec() } else { self.soak.only.clone() };
        let mut outcome = Outcome::default();
        let begun = Instant::now();
        let mut round = Vec::new();
        let (mut epochs, mut last_scored) = (0, begun);
        let mut left = self.soak.count;
        while begun.elapsed() < self.soak.time && left != Some(0) {
            // Each of them once before any of them twice.
            if round.is_empty() {
                round = faults.clone();
                round.shuffle(&mut dice);
            }
            let Some(fault) = round.pop() else { break };
            self.fault = fault.name();
            if fault == Fault::DiskFull
                && let Err(cause) = room::possible()
            {
                if outcome.skipped.insert(fault.name().into(), cause.clone()).is_none() {
                    tell(&format!("{} is left out: {cause}", fault.name()));
                }
                // A soak of nothing else would never end.
                left = left.map(|left| left - 1);
                continue;
            }
            self.happen(fault, &mut dice)?;
            left = left.map(|left| left - 1);
            let recovery = self.recover(2)?;
            self.compare(load)?;
            let scored = self.scored();
            *outcome.faults.entry(fault.name().into()).or_default() += 1;
            let longest = outcome.recovery.entry(fault.name().into()).or_default();
            *longest = longest.max(recovery.as_secs_f64());
            let height = self.height().unwrap_or(0);
            tell(&format!(
                "{:>6.0} s  {:<11} recovered in {:>5.1} s  block {height}  epochs scored {scored}  transactions shown {}",
                begun.elapsed().as_secs_f64(),
                fault.name(),
                recovery.as_secs_f64(),
                load.count(),
            ));
            // Epochs may pass unscored while nobody can answer, but not for ever.
            if scored > epochs {
                (epochs, last_scored) = (scored, Instant::now());
            } else if last_scored.elapsed() > SILENCE {
                return self.broken("the topic is stuck: no epoch was scored for four minutes");
            }
        }
        let status = self.members.iter().find_map(|m| m.client()?.status().ok());
        outcome.blocks = status.as_ref().map_or(0, |s| s.height);
        outcome.txs = status.map_or(0, |s| s.txs);
        outcome.epochs = self.scored();
        outcome.acknowledged = load.count();
        outcome.pause = self.pause.as_secs_f64();
        outcome.seconds = begun.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// From the first moment of a fault to its last.
    fn happen(&mut self, fault: Fault, dice: &mut StdRng) -> Result<(), SoakError> {
        let count = self.members.len();
        let one = dice.gen_range(0..count);
        let tolerated = (count - 1) / 3;
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(dice);
        let while_it_lasts = Duration::from_secs(dice.gen_range(3..10));
        match fault {
            Fault::Kill => {
                self.members[one].kill();
                sleep(Duration::from_millis(dice.gen_range(0..3_000)));
                self.start(one)?;
            }
            Fault::KillAll => {
                self.members.iter_mut().for_each(Member::kill);
                for n in 0..count {
                    self.start(n)?;
                }
            }
            Fault::Minority => {
                self.down(&order[..tolerated]);
                self.goes_on(while_it_lasts * 2)?;
                self.up(&order[..tolerated])?;
            }
            Fault::TooMany => {
                self.down(&order[..=tolerated]);
                // A block may have been decided in the same moment.
                sleep(self.soak.block_time * 2);
                let before = self.height();
                sleep(while_it_lasts);
                if self.height() > before {
                    return self.broken("blocks were made without two thirds of the power");
                }
                self.up(&order[..=tolerated])?;
            }
            Fault::Halves => {
                let half = &order[..count / 2];
                let across = |a: usize, b: usize| half.contains(&a) != half.contains(&b);
                self.wires.between(across).for_each(|wire| wire.cut(true));
                sleep(while_it_lasts);
                self.wires.heal();
            }
            Fault::Alone => {
                self.wires.between(|a, b| a == one || b == one).for_each(|wire| wire.cut(true));
                sleep(while_it_lasts);
                self.wires.heal();
            }
            Fault::OneWay => {
                self.wires.between(|a, _| a == one).for_each(|wire| wire.mute(true));
                sleep(while_it_lasts);
                self.wires.heal();
            }
            Fault::Slow => {
                self.wires.between(|_, _| true).for_each(|wire| wire.delay(Duration::from_millis(300)));
                sleep(while_it_lasts);
                self.wires.heal();
            }
            Fault::Lossy => {
                self.wires.between(|_, _| true).for_each(|wire| wire.loss(30));
                sleep(while_it_lasts);
                self.wires.heal();
            }
            Fault::Freeze => {
                self.signal(one, "STOP");
                sleep(while_it_lasts);
                self.signal(one, "CONT");
            }
            Fault::EmptyDisk => {
                self.members[one].kill();
                self.forget(one)?;
                self.start(one)?;
            }
            Fault::Damaged => {
                self.members[one].kill();
                self.damage(one, dice)?;
                self.start(one)?;
                let until = Instant::now() + Duration::from_secs(30);
                let status = loop {
                    match self.members[one].ended() {
                        Some(status) => break status,
                        None if Instant::now() > until => {
                            return self.broken("a node went on with a damaged store");
                        }
                        None => sleep(Duration::from_millis(50)),
                    }
                };
                let words = self.members[one].last_words();
                if status.code() != Some(1) || !words.contains("error") || words.contains("panicked") {
                    return self.broken(format!("a damaged store ended with {status}, saying: {words}"));
                }
                self.forget(one)?;
                self.start(one)?;
            }
            Fault::Clock => {
                self.members[one].kill();
                let ahead = ["--clock-offset".into(), AHEAD_MS.to_string()];
                self.members[one].start(&self.soak.program, &ahead)?;
                self.recover(2)?;
                sleep(while_it_lasts);
                self.members[one].kill();
                self.start(one)?;
            }
            Fault::DiskFull => {
                self.members[one].kill();
                let room = Room::around(&self.members[one].home)?;
                // What it says about a folder without room must be heard.
                let beside = self.soak.dir.join(format!("{}-disk-full.log", self.members[one].name));
                let inside = std::mem::replace(&mut self.members[one].log, beside);
                self.start(one)?;
                self.recover(1)?;
                room.fill()?;
                self.ends(one, &["the disk is full"])?;
                room.free()?;
                // With what it has: nothing was half written.
                self.start(one)?;
                self.recover(2)?;
                self.members[one].kill();
                self.members[one].log = inside;
                room.dissolve()?;
                self.start(one)?;
            }
            Fault::DiskError => {
                self.members[one].kill();
                self.members[one].start_limited(&self.soak.program, dice.gen_range(1..4))?;
                // Which of the two depends on the file that meets the limit.
                self.ends(one, &["the disk is full", "input or output failed"])?;
                self.start(one)?;
            }
            Fault::Upgrade => self.upgrade()?,
            Fault::Rotation => self.rotate()?,
        }
        Ok(())
    }

    /// Waits until a node has ended with status 1, saying one of these.
    fn ends(&mut self, n: usize, saying: &[&str]) -> Result<(), SoakError> {
        let until = Instant::now() + RECOVERY;
        let status = loop {
            match self.members[n].ended() {
                Some(status) => break status,
                None if Instant::now() > until => {
                    return self.broken(format!("{} went on", self.members[n].name));
                }
                None => sleep(Duration::from_millis(50)),
            }
        };
        let words = self.members[n].last_words();
        if status.code() != Some(1)
            || !saying.iter().any(|what| words.contains(what))
            || words.contains("panicked")
        {
            return self.broken(format!("{} ended with {status}, saying: {words}", self.members[n].name));
        }
        Ok(())
    }

    /// Plans the rehearsal of an upgrade, and starts every process again before its height, as operators do who put a
    /// new program in place.
    fn upgrade(&mut self) -> Result<(), SoakError> {
        let count = self.members.len();
        // Ended, started, and known to take part again: some blocks for each.
        let height = self.height().unwrap_or(0).max(self.best) + 12 * count as u64;
        let mut admin = Wallet::new(world::key(self.soak.seed, "consumer"));
        let authority = admin.address().to_string();
        let plan = UpgradePlan { name: REHEARSAL.into(), height: height as i64, ..UpgradePlan::default() };
        let message = pack(url::PLAN_UPGRADE, &MsgSoftwareUpgrade { authority, plan: Some(plan) });
        let Some(client) = self.members[0].client() else { return self.broken("no REST door") };
        let sent = admin.send(&client, vec![message], 150_000).and_then(|hash| settle(&client, &[hash]));
        if let Err(error) = sent {
            return self.broken(format!("the upgrade was not planned: {error}"));
        }
        for n in 0..count {
            let before = self.height();
            if member::end(&mut self.members[n..=n]) != Vec::<String>::new() {
                return self.broken(format!("{} did not end by itself", self.members[n].name));
            }
            let until = Instant::now() + RECOVERY;
            while self.height() <= before {
                if Instant::now() > until {
                    return self.broken("blocks stopped while one process was replaced");
                }
                sleep(Duration::from_millis(100));
            }
            self.start(n)?;
            self.recover(1)?;
        }
        while self.height().is_none_or(|now| now <= height) {
            self.recover(1)?;
        }
        self.upgraded = Some(height);
        Ok(())
    }

    /// Replaces every validator by another one. Three of four go on while the fourth is replaced.
    fn rotate(&mut self) -> Result<(), SoakError> {
        let first = self.height().unwrap_or(0).max(self.best);
        for n in 0..self.members.len() {
            if member::end(&mut self.members[n..=n]) != Vec::<String>::new() {
                return self.broken(format!("{} did not end by itself", self.members[n].name));
            }
            self.turn += 1;
            let handover = Handover::prepare(&self.members[n], self.soak.seed, self.turn)?;
            self.start(n)?;
            self.recover(1)?;
            let Some(client) = self.members[n].client() else { return self.broken("no REST door") };
            let mut purse = Wallet::new(world::key(self.soak.seed, "consumer"));
            let name = self.members[n].name.clone();
            let told = handover.announce(&client, &mut purse, &name, |hash| settle(&client, &[hash]));
            if let Err(error) = told {
                return self.broken(format!("a newcomer at {name} could not be announced: {error}"));
            }
            let until = Instant::now() + RECOVERY;
            while !handover.is_done(&client).unwrap_or(false) {
                if Instant::now() > until {
                    return self.broken(format!("the newcomer at {name} did not get its seat"));
                }
                sleep(rotation::LOOK);
            }
            self.recover(1)?;
        }
        let epochs = (self.best - first).div_ceil(SET_BLOCKS);
        if epochs > ROTATION_EPOCHS {
            return self.broken(format!("it took {epochs} epochs to replace all validators"));
        }
        Ok(())
    }

    /// For so long, and until there was a block, with a tolerable number of nodes down. A round whose proposer is down
    /// takes its time, and so does one whose messages went to the dead; that is no broken promise, standing still is.
    fn goes_on(&mut self, time: Duration) -> Result<(), SoakError> {
        let begun = Instant::now();
        let (mut newest, mut since) = (self.height(), begun);
        let first = newest;
        while begun.elapsed() < time || newest <= first {
            sleep(Duration::from_millis(100));
            let seen = self.height();
            if seen > newest {
                (newest, since) = (seen, Instant::now());
            }
            self.pause = self.pause.max(since.elapsed());
            if since.elapsed() > RECOVERY {
                return self.broken("with a tolerable number of nodes down, no block was made");
            }
        }
        Ok(())
    }

    fn down(&mut self, nodes: &[usize]) {
        nodes.iter().for_each(|n| self.members[*n].kill());
    }

    fn up(&mut self, nodes: &[usize]) -> Result<(), SoakError> {
        nodes.iter().try_for_each(|n| self.start(*n))
    }

    fn signal(&self, n: usize, signal: &str) {
        if let Some(pid) = self.members[n].pid() {
            // No library for two words a minute.
            let _ =
                std::process::Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
        }
    }

    /// All that a node can get back from the others.
    fn forget(&self, n: usize) -> Result<(), SoakError> {
        for entry in std::fs::read_dir(&self.members[n].home)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "redb") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Zeros over the first pages behind the file's head, where something always is, or an end that is missing, as after
    /// a disk that lied about a flush.
    fn damage(&self, n: usize, dice: &mut StdRng) -> Result<(), SoakError> {
        use std::io::{Read, Seek, SeekFrom};
        let path = self.members[n].home.join("chain.redb");
        let mut file = std::fs::File::options().write(true).open(path)?;
        let length = file.metadata()?.len();
        if dice.gen_bool(0.5) {
            file.set_len(length / 3)?;
        } else {
            file.seek(SeekFrom::Start(4_096))?;
            std::io::copy(&mut std::io::repeat(0).take(length / 4), &mut file)?;
        }
        Ok(file.sync_all()?)
    }

    /// The newest block of any node.
    fn height(&self) -> Option<u64> {
        self.members.iter().filter_map(Member::height).max()
    }

    /// Waits until every node has so many further blocks.
    fn recover(&mut self, blocks: u64) -> Result<Duration, SoakError> {
        let begun = Instant::now();
        // Right after a start nobody answers yet.
        let goal = self.height().unwrap_or(0).max(self.best) + blocks;
        loop {
            for n in 0..self.members.len() {
                if let Some(status) = self.members[n].ended() {
                    let (name, words) = (self.members[n].name.clone(), self.members[n].last_words());
                    return self.broken(format!("{name} ended by itself ({status}): {words}"));
                }
            }
            let heights: Vec<Option<u64>> = self.members.iter().map(Member::height).collect();
            if heights.iter().all(|h| h.is_some_and(|h| h >= goal)) {
                self.best = heights.into_iter().flatten().max().unwrap_or(goal);
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > RECOVERY {
                return self.broken(format!("not everybody reached block {goal} in time: {heights:?}"));
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// The same blocks and states everywhere, and every transaction that was shown.
    fn compare(&self, load: &Load) -> Result<(), SoakError> {
        let clients: Vec<Client<Http>> = self.members.iter().filter_map(Member::client).collect();
        let common = self.members.iter().filter_map(Member::height).min().unwrap_or(0);
        for height in [common, common.saturating_sub(1), common / 2].into_iter().filter(|h| *h > 0) {
            let mut seen = None;
            for member in &self.members {
                let block = match block(member, height) {
                    Ok(block) => block,
                    Err(error) => {
                        return self.broken(format!("{} lacks block {height}: {error}", member.name));
                    }
                };
                match &seen {
                    None => seen = Some(block),
                    Some(first) if *first == block => {}
                    Some(_) => return self.broken(format!("{} has another block {height}", member.name)),
                }
            }
        }
        for (hash, height) in load.newest() {
            for (client, member) in clients.iter().zip(&self.members) {
                match client.tx(hash) {
                    Ok(found) if found.height == height => {}
                    // A node may be a block behind.
                    Err(ClientError::NotFound(_)) if height > common => {}
                    other => {
                        let hash = hex::encode_upper(hash);
                        let what = format!(
                            "{} shows transaction {hash} of block {height} as {other:?}",
                            member.name
                        );
                        return self.broken(what);
                    }
                }
            }
        }
        Ok(())
    }

    fn scored(&self) -> u64 {
        let asked = self.members.iter().filter_map(Member::client);
        asked
            .filter_map(|client| client.topic(TOPIC).ok())
            .map(|topic| topic.epochs_scored)
            .max()
            .unwrap_or(0)
    }

    /// Opens every store and checks all that always holds: supply, stakes, no negative.
    fn audit(&self) -> Result<(), SoakError> {
        for member in &self.members {
            let genesis = std::fs::read(member.home.join("genesis.json"))?;
            let opened = Genesis::from_json(&genesis).map_err(|e| e.to_string()).and_then(|genesis| {
                let config = Config { keep_versions: 1, ..Config::default() };
                let store =
                    Store::open(&member.home.join("chain.redb"), config).map_err(|e| e.to_string())?;
                App::open(store, &genesis, Signatures::Check).map_err(|e| e.to_string())
            });
            let checked = opened.and_then(|app| {
                app.check_invariants().map_err(|e| e.to_string())?;
                let state = app.store().snapshot().map_err(|e| e.to_string())?;
                let done = upgrade::done(&state, REHEARSAL).map_err(|e| e.to_string())?;
                if done == self.upgraded {
                    Ok(())
                } else {
                    Err(format!("upgraded at {done:?}, planned for {:?}", self.upgraded))
                }
            });
            if let Err(what) = checked {
                return self.broken(format!("{}: {what}", member.name));
            }
        }
        Ok(())
    }
}

/// What workers and reputers do all the time, and what they were shown.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Transactions that a node has shown in a block, with its height.
    shown: Arc<Mutex<Vec<(TxHash, u64)>>>,
    count: Arc<AtomicU64>,
}

impl Load {
    /// The topic and everybody's place in it, while the network is still whole; then a thread each.
    fn start(soak: &Soak, net: &Net) -> Result<Self, SoakError> {
        let fail = |what: &str, error: ClientError| SoakError::Broken {
            fault: "the start",
            what: format!("{what}: {error}"),
        };
        let clients: Vec<Client<Http>> = net.members.iter().filter_map(Member::client).collect();
        let client = &clients[0];
        let series = walk(soak.seed)?;
        let setup = Setup { rule: Rule::Power, loss: Loss::Squared, horizon: 1, seed: soak.seed };
        let seat = |name: &str| Seat::new(world::key(soak.seed, name), TOPIC, name);
        let mut consumer = seat("consumer");
        let creator = consumer.address().to_string();
        let message = pack(url::CREATE_TOPIC, &MsgCreateTopic { creator, spec: Some(spec(&setup, &series)) });
        let created = consumer.wallet.send(client, vec![message], 150_000).map_err(|e| fail("topic", e))?;
        settle(client, &[created]).map_err(|e| fail("topic", e))?;
        let timeline = world::timeline(&series, 1);
        let mut sent = Vec::new();
        let mut workers = Vec::new();
        for n in 0..soak.workers {
            let mut models = model::built_in(series.season_day, series.season_week);
            let model = models.swap_remove(usize::from(n) % models.len());
            let mut worker = WorkerRole::new(seat(&format!("worker-{n}")), model, timeline);
            sent.push(worker.seat.register(client, Role::Worker).map_err(|e| fail("registration", e))?);
            workers.push(worker);
        }
        let mut reputers = Vec::new();
        for n in 0..3 {
            let mut reputer = ReputerRole::new(seat(&format!("reputer-{n}")), timeline);
            sent.push(reputer.seat.register(client, Role::Reputer).map_err(|e| fail("registration", e))?);
            sent.push(reputer.seat.stake(client, STAKE).map_err(|e| fail("stake", e))?);
            reputers.push(reputer);
        }
        sent.push(consumer.fund(client, FUNDING).map_err(|e| fail("funding", e))?);
        settle(client, &sent).map_err(|e| fail("registration", e))?;

        let stop = Arc::new(AtomicBool::new(false));
        let shown: Arc<Mutex<Vec<(TxHash, u64)>>> = Arc::default();
        let count = Arc::new(AtomicU64::new(0));
        let series = Arc::new(series);
        let mut threads = Vec::new();
        for (n, mut worker) in workers.into_iter().enumerate() {
            let (clients, series) = (clients.clone(), series.clone());
            threads.push(acting(n, clients, &stop, &shown, &count, move |client| {
                let seen = client.windows(TOPIC)?;
                worker.act(client, &seen, &series).map(|turn| turn.hashes)
            }));
        }
        for (n, mut reputer) in reputers.into_iter().enumerate() {
            let (clients, series) = (clients.clone(), series.clone());
            threads.push(acting(n, clients, &stop, &shown, &count, move |client| {
                let seen = client.windows(TOPIC)?;
                reputer.act(client, &seen, &series).map(|turn| turn.hashes)
            }));
        }
        Ok(Self { stop, threads, shown, count })
    }

    fn newest(&self) -> Vec<(TxHash, u64)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.iter().rev().take(REMEMBERED).step_by(20).copied().collect()
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A member that looks twice a second, at another node whenever the one it asked does not answer.
fn acting(
    n: usize,
    clients: Vec<Client<Http>>,
    stop: &Arc<AtomicBool>,
    shown: &Arc<Mutex<Vec<(TxHash, u64)>>>,
    count: &Arc<AtomicU64>,
    mut act: impl FnMut(&Client<Http>) -> Result<Vec<TxHash>, ClientError> + Send + 'static,
) -> JoinHandle<()> {
    let (stop, shown, count) = (stop.clone(), shown.clone(), count.clone());
    thread::spawn(move || {
        let mut at = n % clients.len();
        let mut waiting: Vec<TxHash> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let client = &clients[at];
            match act(client) {
                Ok(hashes) => waiting.extend(hashes),
                Err(_) => at = (at + 1) % clients.len(),
            }
            waiting.retain(|hash| match clients[at].tx(*hash) {
                Ok(found) if found.height > 0 => {
                    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    shown.push((*hash, found.height));
                    if shown.len() > 2 * REMEMBERED {
                        shown.drain(..REMEMBERED);
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    false
                }
                _ => true,
            });
            // What never got into a block was never promised.
            let surplus = waiting.len().saturating_sub(8);
            waiting.drain(..surplus);
            sleep(LOOK);
        }
    })
}

/// Waits until all of these are in blocks.
fn settle(client: &Client<Http>, hashes: &[TxHash]) -> Result<(), ClientError> {
    let until = Instant::now() + Duration::from_secs(60);
    for hash in hashes {
        loop {
            match client.tx(*hash) {
                Ok(found) if found.height > 0 => break,
                Ok(_) | Err(ClientError::NotFound(_)) if Instant::now() < until => sleep(LOOK),
                Ok(_) => return Err(ClientError::Node("in no block after a minute".into())),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A question every five blocks, with windows that a bad line does not miss.
fn spec(setup: &Setup, series: &Series) -> TopicSpec {
    TopicSpec {
        epoch_length: 5,
        worker_window: 3,
        truth_lag: 5,
        truth_window: 5,
        ..world::topic_spec(setup, &series.name, &series.unit)
    }
}

/// A long walk with a daily season, the same for everybody.
fn walk(seed: u64) -> Result<Series, SoakError> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut level = 100.0;
    let mut rows = String::from("timestamp,value\n");
    for i in 0..20_000u32 {
        level += dice.gen_range(-1.0..1.0);
        rows.push_str(&format!("{},{}\n", i * 3_600, level + 10.0 * f64::from(i % 24) / 24.0));
    }
    let broken = |what: String| SoakError::Broken { fault: "the start", what };
    Series::from_csv("walk", rows.as_bytes()).map_err(|error| broken(error.to_string()))
}

/// Name and state root of a block, as a node shows them.
fn block(member: &Member, height: u64) -> Result<(String, String), String> {
    let rest = member.file.doors.rest.ok_or("no REST door")?;
    let value = Http::new(&format!("http://{rest}"))
        .page(&format!("/dodona/v1/blocks/{height}"))
        .map_err(|e| e.to_string())?;
    let field = |name: &str| value[name].as_str().map(String::from).ok_or(format!("no {name} in {value}"));
    Ok((field("block_id")?, field("app_hash")?))
}

/// Where the `dodona` program is if nobody says: beside this one.
pub fn beside(program: &Path) -> PathBuf {
    program.with_file_name("dodona")
}
