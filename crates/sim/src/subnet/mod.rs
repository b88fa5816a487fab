//! A subnet's epochs under people who want more than they deserve. The epoch is the chain's own
//! (`dodona_mechanism::subnet::epoch`); made up are the miners, whose quality walks, the validators, who measure it with
//! some error, and one kind of adversary at a time. No clock and no platform mathematics: a seed gives one outcome.

mod page;

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dodona_mechanism::{
    MathError,
    subnet::{
        bonds::BondParams,
        epoch::{self, EpochInput, EpochOutput, EpochParams},
        sparse::StoredRow,
        weights::stored_row,
    },
};
use serde::Serialize;

pub use page::page;

use crate::random::Random;

/// Blocks per epoch.
const TEMPO: u64 = 360;
/// Stake at the beginning, base units.
const STAKE: u64 = 1_000_000_000_000_000;
/// Pay of an epoch, in parts of all stake.
const PAY: u64 = 10_000;
/// Quality of a miner that does no work.
const POOR: f64 = 0.05;
/// Miners of a cartel; identities of one miner.
const CARTEL: usize = 4;
const SYBILS: usize = 8;
/// Validators of a cartel.
const COLLUDERS: usize = 3;
/// Points of a series.
const POINTS: u32 = 200;
/// Most epochs of a run, and most members.
pub const MAX_EPOCHS: u32 = 100_000;
/// Most miners, and most validators.
pub const MAX_MEMBERS: usize = 200;

/// Who wants more than it deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Adversary {
    /// Nobody, for comparison: a validator who measures like the others.
    Nobody,
    /// A validator that measures nothing and repeats what it sees of the others.
    Copier,
    /// Validators with most of the stake who weigh miners of their own that do no work.
    Majority,
    /// The same with less than half.
    Minority,
    /// A validator that measured once and repeats itself.
    Lazy,
    /// The owner, who may weigh itself, and does nothing else.
    Owner,
    /// A miner with many identities.
    Sybils,
}

impl Adversary {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Nobody, Self::Copier, Self::Majority, Self::Minority, Self::Lazy, Self::Owner, Self::Sybils];

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Copier => "copier",
            Self::Majority => "majority",
            Self::Minority => "minority",
            Self::Lazy => "lazy",
            Self::Owner => "owner",
            Self::Sybils => "sybils",
        }
    }

    /// Part of the stake at the beginning.
    fn stake(self) -> f64 {
        match self {
            Self::Majority => 0.6,
            Self::Minority => 0.4,
            Self::Owner => 0.2,
            Self::Nobody | Self::Copier | Self::Lazy => 0.1,
            Self::Sybils => 0.0,
        }
    }
}

/// What is swept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rules {
    /// Part of the stake that must support a weight.
    pub kappa: f64,
    /// Part of a bond that stays.
    pub bonds_moving_average: f64,
    /// Whether each bond has a speed of its own.
    pub liquid_alpha: bool,
    /// Whether weights are shown an epoch after they were committed.
    pub commit_reveal: bool,
}

impl Default for Rules {
    /// Those of a new subnet.
    fn default() -> Self {
        Self { kappa: 0.5, bonds_moving_average: 0.9, liquid_alpha: false, commit_reveal: true }
    }
}

/// The size of a run, and its weather.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Setup {
    /// Makes everything that is made up.
    pub seed: u64,
    /// Epochs.
    pub epochs: u32,
    /// Honest validators.
    pub validators: usize,
    /// Honest miners.
    pub miners: usize,
    /// How far the quality of a miner, a number from 0 to 1, walks in an epoch at most.
    pub drift: f64,
    /// How far a validator is wrong about it at most.
    pub error: f64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 1, epochs: 2_000, validators: 8, miners: 24, drift: 0.1, error: 0.05 }
    }
}

/// The adversary's parts of the whole, in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Which.
    pub epoch: u32,
    /// Of the stake.
    pub stake: f64,
    /// Of what validators earned.
    pub dividends: f64,
    /// Of what miners earned.
    pub incentive: f64,
    /// Of both.
    pub pay: f64,
    /// What of both would be fair.
    pub fair: f64,
}

/// What came of a run. Means are over all epochs but the first tenth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Who.
    pub adversary: Adversary,
    /// Under which rules.
    #[serde(flatten)]
    pub rules: Rules,
    /// The adversary's part of the stake, in the mean and at the end.
    pub stake: f64,
    /// At the end.
    pub stake_end: f64,
    /// Its part of what validators earned.
    pub dividends: f64,
    /// Its part of what miners earned.
    pub incentive: f64,
    /// Its part of everything.
    pub pay: f64,
    /// The same if validators were paid by stake and miners by the quality of their work, each worker once.
    pub fair: f64,
    /// Pay in parts of what is fair.
    pub gain: f64,
    /// How much of the miners' pay went where quality says, 0 to 1.
    pub fidelity: f64,
    /// Some epochs of it.
    pub series: Vec<Point>,
}

/// Every combination of adversary and rules that is asked for, in order.
pub fn sweep(setup: Setup, adversaries: &[Adversary], rules: &[Rules]) -> Result<Vec<Outcome>, MathError> {
    let jobs: Vec<(Adversary, Rules)> =
        adversaries.iter().flat_map(|who| rules.iter().map(move |rules| (*who, *rules))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut mine = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(who, rules)) = jobs.get(at) else { return mine };
            mine.push((at, run(setup, who, rules)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(jobs.len().max(1));
    // Who computes what depends on chance; what comes out does not.
    let mut done: Vec<(usize, Result<Outcome, MathError>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// From 0 to 1, without 1.
fn unit(random: &mut Random) -> f64 {
    (random.number() >> 11) as f64 / (1u64 << 53) as f64
}

/// From -1 to 1.
fn around(random: &mut Random) -> f64 {
    2.0 * unit(random) - 1.0
}

/// Who is who, by uid: the owner, honest validators, the adversary's validators, honest miners, the adversary's miners.
struct Members {
    validators: std::ops::Range<usize>,
    bad_validators: std::ops::Range<usize>,
    miners: std::ops::Range<usize>,
    bad_miners: std::ops::Range<usize>,
}

impl Members {
    fn new(setup: Setup, who: Adversary) -> Self {
        let bad_validators = match who {
            Adversary::Majority | Adversary::Minority => COLLUDERS,
            Adversary::Copier | Adversary::Lazy | Adversary::Nobody => 1,
            Adversary::Owner | Adversary::Sybils => 0,
        };
        let bad_miners = match who {
            Adversary::Majority | Adversary::Minority => CARTEL,
            Adversary::Sybils => SYBILS,
            Adversary::Nobody | Adversary::Copier | Adversary::Lazy | Adversary::Owner => 0,
        };
        let first = 1 + setup.validators;
        let second = first + bad_validators;
        let third = second + setup.miners;
        Self {
            validators: 1..first,
            bad_validators: first..second,
            miners: second..third,
            bad_miners: third..third + bad_miners,
        }
    }

    fn count(&self) -> usize {
        self.bad_miners.end
    }

    /// Whether a uid is the adversary's.
    fn is_bad(&self, who: Adversary, uid: usize) -> bool {
        (uid == 0 && who == Adversary::Owner)
            || self.bad_validators.contains(&uid)
            || self.bad_miners.contains(&uid)
    }
}

/// What does not change in a run.
struct Field {
    setup: Setup,
    who: Adversary,
    rules: Rules,
    members: Members,
    n: usize,
}

/// What the adversary's validators may look at.
struct Seen<'a> {
    /// What honest validators say in this epoch.
    now: &'a [StoredRow],
    /// What everybody said before, newest first.
    before: &'a [Vec<StoredRow>],
    stake: &'a [u64],
    quality: &'a [f64],
}

/// One run.
///
/// # Errors
/// [`MathError`]: more members than an epoch takes.
pub fn run(setup: Setup, who: Adversary, rules: Rules) -> Result<Outcome, MathError> {
    let members = Members::new(setup, who);
    let field = Field { n: members.count(), setup, who, rules, members };
    let n = field.n;
    // What happens to miners is the same whoever the adversary is and whatever the rules are.
    let mut fate = Random::new(setup.seed);
    let mut random = Random::new(!setup.seed);
    let mut stake = field.stakes();
    let mut quality = vec![0.0; n];
    for uid in field.members.miners.clone() {
        quality[uid] = 0.2 + 0.8 * unit(&mut fate);
    }
    let params = params(rules);
    let delay = usize::from(rules.commit_reveal);
    let mut permit = vec![true; n];
    let mut bonds: Vec<StoredRow> = vec![Vec::new(); n];
    // Newest first: what each epoch's validators said.
    let mut said: Vec<Vec<StoredRow>> = Vec::new();
    let mut first: Option<StoredRow> = None;
    let mut sums = Sums::default();
    let mut series = Vec::new();
    let every = (setup.epochs / POINTS).max(1);
    for number in 0..setup.epochs {
        field.walk(&mut quality, &mut fate);
        let mut rows = vec![Vec::new(); n];
        for uid in field.members.validators.clone() {
            rows[uid] = field.measured(&quality, &mut random);
        }
        let seen = Seen { now: &rows, before: &said, stake: &stake, quality: &quality };
        for (uid, row) in field.bad_rows(&seen, &mut first, &mut random) {
            rows[uid] = row;
        }
        said.insert(0, rows);
        said.truncate(delay + 1);
        let heard = &said[delay.min(said.len() - 1)];
        let block = (u64::from(number) + 2) * TEMPO;
        let emission = stake.iter().sum::<u64>() / PAY;
        let output = epoch::run(&EpochInput {
            params: &params,
            block,
            last_step: block - TEMPO,
            emission,
            stake: &stake,
            permit: &permit,
            last_update: &vec![block - 1; n],
            registered: &vec![0; n],
            weights: heard,
            bonds: &bonds,
            commits: None,
        })?;
        let (point, fidelity) = field.point(number, &stake, &quality, &output);
        if number >= setup.epochs / 10 {
            sums.add(&point, fidelity);
        }
        if number % every == 0 || number + 1 == setup.epochs {
            series.push(point);
        }
        // What validators earn is staked upon them, as on the chain; what miners earn goes its way.
        for (stake, earned) in stake.iter_mut().zip(&output.validator) {
            *stake = stake.saturating_add(*earned);
        }
        (permit, bonds) = (output.permit, output.bonds);
    }
    let mean = |sum: f64| if sums.epochs == 0.0 { 0.0 } else { sum / sums.epochs };
    let (pay, fair) = (mean(sums.of.pay), mean(sums.of.fair));
    Ok(Outcome {
        adversary: who,
        rules,
        stake: mean(sums.of.stake),
        stake_end: field.part(&stake),
        dividends: mean(sums.of.dividends),
        incentive: mean(sums.of.incentive),
        pay,
        fair,
        gain: if fair > 0.0 { pay / fair } else { 0.0 },
        fidelity: mean(sums.fidelity),
        series,
    })
}

fn params(rules: Rules) -> EpochParams {
    // Fractions of the swept rules lie between 0 and 1.
    EpochParams {
        kappa: (rules.kappa * f64::from(u16::MAX)) as u16,
        bonds: BondParams {
            moving_average: (rules.bonds_moving_average * 1e6) as u32,
            yuma3: true,
            liquid: rules.liquid_alpha,
            alpha: (45_875, 58_982),
            steepness: 1_000,
        },
        owner: Some(0),
        ..EpochParams::default()
    }
}

impl Field {
    /// Some honest validators have much, others little.
    fn stakes(&self) -> Vec<u64> {
        let Members { validators, bad_validators, .. } = &self.members;
        let mut stake = vec![0; self.n];
        let bad = self.who.stake();
        let parts: f64 = validators.clone().map(|uid| 1.0 / (uid as f64 + 1.0)).sum();
        for uid in validators.clone() {
            stake[uid] = (STAKE as f64 * (1.0 - bad) / (uid as f64 + 1.0) / parts) as u64;
        }
        for uid in bad_validators.clone() {
            stake[uid] = (STAKE as f64 * bad / bad_validators.len() as f64) as u64;
        }
        if self.who == Adversary::Owner {
            stake[0] = (STAKE as f64 * bad) as u64;
        }
        stake
    }

    /// Another day: honest miners get a little better or worse.
    fn walk(&self, quality: &mut [f64], random: &mut Random) {
        let Members { miners, bad_miners, .. } = &self.members;
        for uid in miners.clone() {
            let next = quality[uid] + self.setup.drift * around(random);
            quality[uid] = if next > 1.0 { 2.0 - next } else { next.max(2.0 * POOR - next) }.clamp(POOR, 1.0);
        }
        let bad = match self.who {
            // One model behind all identities, as good as the mean of the others.
            Adversary::Sybils => {
                miners.clone().map(|uid| quality[uid]).sum::<f64>() / miners.len().max(1) as f64
            }
            _ => POOR,
        };
        for uid in bad_miners.clone() {
            quality[uid] = bad;
        }
    }

    /// What an honest validator finds: quality with some error, better work clearly ahead.
    fn measured(&self, quality: &[f64], random: &mut Random) -> StoredRow {
        let all = self.members.miners.clone().chain(self.members.bad_miners.clone());
        let values: Vec<(usize, f64)> = all
            .map(|uid| {
                let seen = (quality[uid] + self.setup.error * around(random)).max(0.0);
                (uid, seen * seen)
            })
            .collect();
        self.row(&values)
    }

    /// Values as a row of weights.
    fn row(&self, values: &[(usize, f64)]) -> StoredRow {
        let largest = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if largest <= 0.0 {
            return Vec::new();
        }
        // Members are fewer than a u16 counts, and values at most the largest.
        let uids: Vec<u16> = values.iter().map(|(uid, _)| *uid as u16).collect();
        let scaled: Vec<u16> =
            values.iter().map(|(_, v)| (v / largest * f64::from(u16::MAX)) as u16).collect();
        stored_row(&uids, &scaled, self.n).unwrap_or_default()
    }

    /// What the adversary's validators say.
    fn bad_rows(
        &self,
        seen: &Seen<'_>,
        first: &mut Option<StoredRow>,
        random: &mut Random,
    ) -> Vec<(usize, StoredRow)> {
        let row = match self.who {
            Adversary::Sybils => return Vec::new(),
            Adversary::Owner => return vec![(0, self.row(&[(0, 1.0)]))],
            Adversary::Nobody => self.measured(seen.quality, random),
            // Weights set at once are seen before one's own are due; committed ones when they are revealed, an epoch
            // later.
            Adversary::Copier => match (self.rules.commit_reveal, seen.before.first()) {
                (false, _) => self.blend(seen.now, seen.stake),
                (true, Some(before)) => self.blend(before, seen.stake),
                (true, None) => Vec::new(),
            },
            Adversary::Lazy => first.get_or_insert_with(|| self.measured(seen.quality, random)).clone(),
            Adversary::Majority | Adversary::Minority => {
                let own: Vec<(usize, f64)> = self.members.bad_miners.clone().map(|uid| (uid, 1.0)).collect();
                self.row(&own)
            }
        };
        self.members.bad_validators.clone().map(|uid| (uid, row.clone())).collect()
    }

    /// What honest validators say together, by stake.
    fn blend(&self, rows: &[StoredRow], stake: &[u64]) -> StoredRow {
        let mut sums = vec![0.0; self.n];
        for uid in self.members.validators.clone() {
            let total: f64 = rows[uid].iter().map(|(_, value)| f64::from(*value)).sum();
            for (to, value) in &rows[uid] {
                sums[usize::from(*to)] += f64::from(*value) / total.max(1.0) * stake[uid] as f64;
            }
        }
        let values: Vec<(usize, f64)> =
            sums.into_iter().enumerate().filter(|(_, value)| *value > 0.0).collect();
        self.row(&values)
    }

    /// The adversary's part of something held or paid by uid.
    fn part(&self, amounts: &[u64]) -> f64 {
        let total: u64 = amounts.iter().sum();
        let bad = amounts.iter().enumerate().filter(|(uid, _)| self.members.is_bad(self.who, *uid));
        bad.map(|(_, amount)| amount).sum::<u64>() as f64 / total.max(1) as f64
    }

    /// An epoch in parts, and how much of the miners' pay went where quality says.
    fn point(&self, epoch: u32, stake: &[u64], quality: &[f64], output: &EpochOutput) -> (Point, f64) {
        let Members { miners, bad_miners, .. } = &self.members;
        let worth = |uid: usize| quality[uid] * quality[uid];
        let honest: f64 = miners.clone().map(worth).sum();
        // Many identities of one worker deserve what one does.
        let workers = if self.who == Adversary::Sybils { 1 } else { bad_miners.len() };
        let bad: f64 = bad_miners.clone().take(workers).map(worth).sum();
        let all = (honest + bad).max(f64::MIN_POSITIVE);
        let paid: u64 = output.server.iter().sum();
        let right = |uid: usize| (output.server[uid] as f64 / paid.max(1) as f64).min(worth(uid) / all);
        let both: Vec<u64> = output.server.iter().zip(&output.validator).map(|(a, b)| a + b).collect();
        let (stake, incentive) = (self.part(stake), self.part(&output.server));
        let fidelity = miners.clone().map(right).sum::<f64>() + incentive.min(bad / all);
        let point = Point {
            epoch,
            stake,
            dividends: self.part(&output.validator),
            incentive,
            pay: self.part(&both),
            fair: 0.5 * stake + 0.5 * bad / all,
        };
        (point, fidelity)
    }
}

#[derive(Default)]
struct Sums {
    epochs: f64,
    of: Point,
    fidelity: f64,
}

impl Sums {
    fn add(&mut self, point: &Point, fidelity: f64) {
        self.epochs += 1.0;
        self.of.stake += point.stake;
        self.of.dividends += point.dividends;
        self.of.incentive += point.incentive;
        self.of.pay += point.pay;
        self.of.fair += point.fair;
        self.fidelity += fidelity;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: Setup = Setup { seed: 3, epochs: 300, validators: 6, miners: 12, drift: 0.1, error: 0.05 };

    #[test]
    fn a_seed_gives_one_outcome_whoever_computes_it() {
        let rules = [Rules::default(), Rules { liquid_alpha: true, ..Rules::default() }];
        let all = sweep(SETUP, &Adversary::ALL, &rules).unwrap();
        assert_eq!(all, sweep(SETUP, &Adversary::ALL, &rules).unwrap());
        assert_eq!(all.len(), 14);
        for (at, outcome) in all.iter().enumerate() {
            assert_eq!(*outcome, run(SETUP, Adversary::ALL[at / 2], rules[at % 2]).unwrap());
            for part in [outcome.stake, outcome.dividends, outcome.incentive, outcome.pay, outcome.fidelity] {
                assert!((0.0..=1.0 + 1e-9).contains(&part), "{outcome:?}");
            }
        }
        let other = run(Setup { seed: 4, ..SETUP }, Adversary::Nobody, rules[0]).unwrap();
        assert_ne!(other, all[0]);
    }

    #[test]
    fn what_the_mechanism_promises_shows() {
        let of = |who: Adversary, rules: Rules| run(SETUP, who, rules).unwrap();
        let rules = Rules::default();
        let open = Rules { commit_reveal: false, ..rules };
        let honest = of(Adversary::Nobody, rules);
        assert!((honest.gain - 1.0).abs() < 0.05 && honest.fidelity > 0.9, "{honest:?}");
        // Copying pays where weights can be seen in time, and pays less where they are sealed.
        let (seen, sealed) = (of(Adversary::Copier, open), of(Adversary::Copier, rules));
        assert!(seen.gain > sealed.gain && seen.gain >= 1.0, "{} {}", seen.gain, sealed.gain);
        // Most of the stake takes nearly everything, less than half nearly nothing for its miners.
        let (most, less) = (of(Adversary::Majority, rules), of(Adversary::Minority, rules));
        assert!(most.incentive > 0.9, "{most:?}");
        assert!(less.incentive < 0.05 && less.gain < 0.5, "{less:?}");
        assert!(of(Adversary::Lazy, rules).gain < honest.gain);
        // The owner's word for itself is cut down to what others say: nothing.
        assert!(of(Adversary::Owner, rules).incentive < 0.01);
        // Nothing in an epoch tells one worker with eight names from eight workers.
        assert!(of(Adversary::Sybils, rules).gain > 4.0);
    }
}
