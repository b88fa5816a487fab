//! One epoch of a subnet: what validators say about miners becomes what everybody earns ("Yuma consensus").
//! A pure function of the subnet's state, in 32.32 fixed point, in time proportional to the weights that are set.

use super::bonds::{self, BondParams};
use super::consensus::{Agreed, agreed, consensus};
use super::fixed::{Divisor, Q32, normalize, shares_of};
use super::sparse::{Rows, StoredRow};
use crate::error::MathError;
use std::borrow::Cow;

/// Members at most: a uid is a `u16`, and row sums of raw weights must stay below 2^31.
pub const MEMBERS_MAX: usize = 16_384;

/// What does not change from epoch to epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochParams {
    /// Part of the stake that must support a weight, in 1/65535.
    pub kappa: u16,
    /// How far weights above the consensus are cut before they make bonds, in 1/65535; all of it by default.
    pub bonds_penalty: u16,
    /// How bonds move.
    pub bonds: BondParams,
    /// Validators at most.
    pub max_validators: usize,
    /// Stake weight below which a member's stake does not count, in base units.
    pub stake_threshold: u64,
    /// The owner's uid: exempt from the threshold, always with a permit, may weigh itself.
    pub owner: Option<u16>,
    /// Blocks after its last update for which a validator has a say.
    pub activity_cutoff: u64,
    /// Blocks per epoch; only used to date bonds of a subnet that has never stepped.
    pub tempo: u64,
}

impl Default for EpochParams {
    /// The values of the published vectors where they name none: classic bonds, majority one half, 64 validators.
    fn default() -> EpochParams {
        EpochParams {
            kappa: 32_767,
            bonds_penalty: u16::MAX,
            bonds: BondParams {
                moving_average: 900_000,
                yuma3: false,
                liquid: false,
                alpha: (45_875, 58_982),
                steepness: 1_000,
            },
            max_validators: 64,
            stake_threshold: 0,
            owner: None,
            activity_cutoff: 5_000,
            tempo: 360,
        }
    }
}

/// The state an epoch starts from; every slice has one entry per uid.
#[derive(Clone, Copy, Debug)]
pub struct EpochInput<'a> {
    /// The parameters.
    pub params: &'a EpochParams,
    /// The block the epoch runs in.
    pub block: u64,
    /// The block of the last epoch, 0 for never.
    pub last_step: u64,
    /// What is distributed, in base units.
    pub emission: u64,
    /// Stake weight in base units.
    pub stake: &'a [u64],
    /// Who was given a permit by the last epoch.
    pub permit: &'a [bool],
    /// The block of each member's last weights.
    pub last_update: &'a [u64],
    /// The block of each member's registration.
    pub registered: &'a [u64],
    /// Weights as stored; entries for uids beyond the members are ignored.
    pub weights: &'a [StoredRow],
    /// Bonds as stored; entries for uids beyond the members are ignored.
    pub bonds: &'a [StoredRow],
    /// With commit-reveal: the block of each member's earliest commit that has not expired.
    pub commits: Option<&'a [Option<u64>]>,
}

/// What an epoch yields; every list has one entry per uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochOutput {
    /// Whose weights are fresh enough for a say.
    pub active: Vec<bool>,
    /// Permits for the next epoch.
    pub permit: Vec<bool>,
    /// Shares of the stake, sum one.
    pub stake: Vec<Q32>,
    /// Shares of the stake that had a say, sum one.
    pub active_stake: Vec<Q32>,
    /// The weights that counted, rows summing to one.
    pub weights: Rows,
    /// What enough stake agrees on, per miner.
    pub consensus: Vec<Q32>,
    /// How much of a validator's weights was within the consensus.
    pub trust: Vec<Q32>,
    /// What miners earn, sum one.
    pub incentive: Vec<Q32>,
    /// What validators earn, sum one.
    pub dividends: Vec<Q32>,
    /// Bonds to store.
    pub bonds: Vec<StoredRow>,
    /// Base units for the miner behind the uid.
    pub server: Vec<u64>,
    /// Base units for the validator behind the uid.
    pub validator: Vec<u64>,
    /// Both together, rounded once.
    pub emission: Vec<u64>,
}

/// Runs an epoch. Errors: [`MathError::Length`] when the lists differ in length, [`MathError::OutOfRange`] for more
/// than [`MEMBERS_MAX`] members, [`MathError::Unsorted`] when a row's uids are not strictly ascending.
pub fn run(input: &EpochInput) -> Result<EpochOutput, MathError> {
    let n = check(input)?;
    let params = input.params;
    let owner = params.owner.map(usize::from).filter(|&owner| owner < n);
    let is_owner = |uid: usize| owner == Some(uid);

    let active: Vec<bool> = input
        .last_update
        .iter()
        .map(|&update| update.saturating_add(params.activity_cutoff) >= input.block)
        .collect();
    let counted: Vec<u64> =
        (0..n)
            .map(|uid| {
                if input.stake[uid] < params.stake_threshold && !is_owner(uid) { 0 } else { input.stake[uid] }
            })
            .collect();
    let stake = shares_of(&counted);
    let mut permit = largest(&stake, params.max_validators);
    let held: Vec<bool> = (0..n).map(|uid| input.permit[uid] || is_owner(uid)).collect();
    if let Some(owner) = owner {
        permit[owner] = true;
    }
    let mut active_stake: Vec<Q32> =
        (0..n).map(|uid| if active[uid] && held[uid] { stake[uid] } else { Q32::ZERO }).collect();
    normalize(&mut active_stake);

    let weights = heard_weights(input, &held, owner);
    let kappa = Q32::from_fraction(params.kappa);
    let consensus = consensus(&active_stake, &weights.iter().collect::<Vec<_>>(), kappa, n);
    let Agreed { trust, ranks } = agreed(&weights, &consensus, &active_stake);
    let mut incentive = ranks.clone();
    normalize(&mut incentive);

    let view = bonds::View {
        weights: &weights,
        penalty: Q32::from_fraction(params.bonds_penalty),
        stake: &active_stake,
        ranks: &ranks,
        consensus: &consensus,
        incentive: &incentive,
    };
    let bonds::Outcome { bonds, dividends } = bonds::step(&params.bonds, &standing_bonds(input), &view);
    let bonds = kept_bonds(input, bonds, &held, &permit);

    let (server, validator, emission) = pay(input.emission, &incentive, &dividends, &active_stake, &stake);
    Ok(EpochOutput {
        active,
        permit,
        stake,
        active_stake,
        weights,
        consensus,
        trust,
        incentive,
        dividends,
        bonds,
        server,
        validator,
        emission,
    })
}

/// The number of members, when all lists agree on it and all rows are in order.
fn check(input: &EpochInput) -> Result<usize, MathError> {
    let n = input.stake.len();
    if n > MEMBERS_MAX {
        return Err(MathError::OutOfRange("number of members"));
    }
    let lists = [
        ("permit", input.permit.len()),
        ("last_update", input.last_update.len()),
        ("registered", input.registered.len()),
        ("weights", input.weights.len()),
        ("bonds", input.bonds.len()),
        ("commits", input.commits.map_or(n, <[_]>::len)),
    ];
    for (what, actual) in lists {
        if actual != n {
            return Err(MathError::Length { what, expected: n, actual });
        }
    }
    // To the end of each row, without a branch for each entry.
    let descents =
        |row: &StoredRow| row.windows(2).map(|pair| u32::from(pair[0].0 >= pair[1].0)).sum::<u32>();
    let ascending = |row: &StoredRow| descents(row) == 0;
    if !input.weights.iter().all(ascending) {
        return Err(MathError::Unsorted("a weight row"));
    }
    if !input.bonds.iter().all(ascending) {
        return Err(MathError::Unsorted("a bond row"));
    }
    Ok(n)
}

/// The members with the `limit` largest values, zeros excluded; among equals the higher uid.
pub fn largest(values: &[Q32], limit: usize) -> Vec<bool> {
    let mut chosen: Vec<bool> = values.iter().map(|&value| value != Q32::ZERO).collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&index| values[index]);
    for &index in &order[..values.len().saturating_sub(limit)] {
        chosen[index] = false;
    }
    chosen
}

/// The weights that count: of permit holders, not for oneself, not older than the one they are about; rows sum to one.
fn heard_weights(input: &EpochInput, held: &[bool], owner: Option<usize>) -> Rows {
    let n = input.stake.len();
    let newest = input.registered.iter().copied().max().unwrap_or(0);
    let mut weights = Rows::with_capacity(n, input.weights.iter().map(Vec::len).sum());
    for from in 0..n {
        let stored: &[(u16, u16)] = if held[from] { &input.weights[from] } else { &[] };
        let members = &stored[..stored.partition_point(|&(to, _)| usize::from(to) < n)];
        let (before, rest) = members.split_at(members.partition_point(|&(to, _)| usize::from(to) < from));
        let after = match rest {
            [(to, _), after @ ..] if usize::from(*to) == from && owner != Some(from) => after,
            _ => rest,
        };
        let others = before.iter().chain(after).copied();
        let committed = input.commits.and_then(|commits| commits[from]).unwrap_or(u64::MAX);
        let is_about = |registered: u64| input.last_update[from] > registered && committed >= registered;
        // As a rule nobody is new.
        match is_about(newest) {
            true => push_shares(&mut weights, others),
            false => push_shares(
                &mut weights,
                others.filter(|&(to, _)| is_about(input.registered[usize::from(to)])),
            ),
        }
    }
    weights
}

/// Appends a row of weights, scaled to the sum one.
fn push_shares(weights: &mut Rows, row: impl Iterator<Item = (u16, u16)> + Clone) {
    // Parts of a sum are the same in any unit.
    let steps = |weight: u64| Q32::from_bits(weight as i64);
    let sum = Divisor::new(steps(row.clone().map(|(_, weight)| u64::from(weight)).sum()));
    weights.push(row.map(|(to, weight)| (to, sum.under(steps(u64::from(weight))))));
}

/// The bonds whose miner was there before the last epoch.
fn standing_bonds<'a>(input: &EpochInput<'a>) -> Cow<'a, [StoredRow]> {
    let horizon = match input.last_step {
        0 => input.block.saturating_sub(input.params.tempo),
        last => last.saturating_add(1),
    };
    // As a rule nobody is new, and rows, which ascend, name nobody who is not there.
    let n = input.stake.len();
    let known = |row: &StoredRow| row.last().is_none_or(|&(to, _)| usize::from(to) < n);
    if input.registered.iter().all(|&block| block < horizon) && input.bonds.iter().all(known) {
        return Cow::Borrowed(input.bonds);
    }
    let row = |row: &StoredRow| {
        let mut standing = Vec::with_capacity(row.len());
        standing.extend(entries(input, row).filter(|&(to, _)| input.registered[usize::from(to)] < horizon));
        standing
    };
    Cow::Owned(input.bonds.iter().map(row).collect())
}

/// Entries about members.
fn entries<'a>(input: &EpochInput, row: &'a [(u16, u16)]) -> impl Iterator<Item = (u16, u16)> + use<'a> {
    let n = input.stake.len();
    row.iter().copied().filter(move |&(to, _)| usize::from(to) < n)
}

/// New bonds of the new permit holders; who lost the permit loses them, who never had one keeps what it had.
fn kept_bonds(input: &EpochInput, bonds: Vec<StoredRow>, held: &[bool], permit: &[bool]) -> Vec<StoredRow> {
    let kept = |(uid, row): (usize, StoredRow)| match (permit[uid], held[uid]) {
        (true, _) => row,
        (false, true) => Vec::new(),
        (false, false) => input.bonds[uid].clone(),
    };
    bonds.into_iter().enumerate().map(kept).collect()
}

/// Half to miners, half to validators, by what they earned; by stake when nobody earned anything. All rounded down.
fn pay(
    total: u64,
    incentive: &[Q32],
    dividends: &[Q32],
    active_stake: &[Q32],
    stake: &[Q32],
) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let both: Vec<Q32> = incentive.iter().zip(dividends).map(|(&i, &d)| i.plus(d)).collect();
    let sum = Q32::sum(both.iter().copied());
    let parts = |values: &[Q32], sum: Q32| values.iter().map(|value| value.over(sum).of(total)).collect();
    if sum != Q32::ZERO {
        return (parts(incentive, sum), parts(dividends, sum), parts(&both, sum));
    }
    let somebody = active_stake.iter().any(|&stake| stake != Q32::ZERO);
    let by_stake: Vec<u64> = parts(if somebody { active_stake } else { stake }, Q32::ONE);
    (vec![0; stake.len()], by_stake.clone(), by_stake)
}
