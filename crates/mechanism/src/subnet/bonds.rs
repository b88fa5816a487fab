//! Bonds: what a validator holds of a miner for having valued it early. Two rules, classic and Yuma3, the second with
//! a speed per cell on request ("liquid alpha"). Dividends follow from bonds and incentive.

use super::fixed::{Divisor, Q32, normalize};
use super::sparse::{Matrix, Rows, StoredRow, between, clipped, column_divisors, merged};
use std::borrow::Cow;

/// How bonds move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BondParams {
    /// Part of the old bond that stays, per million.
    pub moving_average: u32,
    /// Yuma3 instead of the classic rule.
    pub yuma3: bool,
    /// A speed per cell; Yuma3 only.
    pub liquid: bool,
    /// Slowest and fastest speed of a cell, in 1/65535.
    pub alpha: (u16, u16),
    /// Steepness between the two, in hundredths.
    pub steepness: i16,
}

impl BondParams {
    /// The speed of all cells: `1 - moving_average / 10^6`.
    pub fn speed(&self) -> Q32 {
        Q32::ONE.minus(Q32::ratio(u64::from(self.moving_average), 1_000_000))
    }
}

/// Bonds after an epoch, and what they earn.
pub(super) struct Outcome {
    /// Rows of bonds, as they are stored.
    pub bonds: Vec<StoredRow>,
    /// Per row, summing to one or all zero.
    pub dividends: Vec<Q32>,
}

/// What the rules look at besides the bonds themselves.
pub(super) struct View<'a> {
    /// The weights that were heard.
    pub weights: &'a Rows,
    /// How far weights above the consensus are cut before they make bonds.
    pub penalty: Q32,
    /// Stake with a say, summing to one.
    pub stake: &'a [Q32],
    /// For every column the sum of its weights within the consensus, each times the stake of its row.
    pub ranks: &'a [Q32],
    /// Consensus per column.
    pub consensus: &'a [Q32],
    /// Incentive per column.
    pub incentive: &'a [Q32],
}

impl View<'_> {
    /// The weight that counts for bonds, between what was set and what is within the consensus, as
    /// [`interpolate`](super::sparse::interpolate) has it.
    #[inline]
    fn goal(&self, weight: Q32, consensus: Q32) -> Option<Q32> {
        let within = clipped(weight, consensus);
        if self.penalty == Q32::ONE {
            return within;
        }
        if self.penalty == Q32::ZERO {
            return Some(weight);
        }
        Some(between(weight, within.unwrap_or_default(), self.penalty)).filter(|&goal| goal > Q32::ZERO)
    }

    /// For every column the sum of the weights that count, each times the stake of its row.
    fn goal_sums(&self) -> Cow<'_, [Q32]> {
        if self.penalty == Q32::ONE {
            return Cow::Borrowed(self.ranks);
        }
        let mut sums = vec![Q32::ZERO; self.consensus.len()];
        for (row, &stake) in self.weights.iter().zip(self.stake) {
            for &(column, weight) in row {
                let column = usize::from(column);
                let goal = self.goal(weight, self.consensus[column]).unwrap_or_default();
                sums[column] = sums[column].plus(stake.times(goal));
            }
        }
        Cow::Owned(sums)
    }
}

/// Bonds in the making: whom each row holds, and how much of each, row after row.
struct Held {
    rows: Vec<StoredRow>,
    values: Vec<Q32>,
}

impl Held {
    /// No rows yet, with room for what follows from a view and `stored`.
    fn new(view: &View, stored: &[StoredRow]) -> Held {
        let longer = |(weights, stored): (&[_], &StoredRow)| weights.len().max(stored.len());
        let values = view.weights.iter().zip(stored).map(longer).sum();
        Held { rows: Vec::with_capacity(stored.len()), values: Vec::with_capacity(values) }
    }

    /// The next row: what the rule makes of each weight and the bond beside it, absent ones being zero, where that is
    /// positive. Bonds without a weight are gone unless `without_weight`.
    #[inline]
    fn push(
        &mut self,
        weights: &[(u16, Q32)],
        stored: &[(u16, u16)],
        without_weight: bool,
        mut rule: impl FnMut(usize, Q32, u16) -> Q32,
    ) {
        let start = self.values.len();
        let mut row = self.lay(weights, stored, without_weight);
        let mut all_live = true;
        for (&(column, bond), value) in row.iter().zip(&mut self.values[start..]) {
            *value = rule(usize::from(column), *value, bond);
            all_live &= *value > Q32::ZERO;
        }
        if !all_live {
            let mut values = self.values.split_off(start);
            let mut lives = values.iter().map(|&value| value > Q32::ZERO);
            row.retain(|_| lives.next().unwrap_or(false));
            values.retain(|&value| value > Q32::ZERO);
            self.values.append(&mut values);
        }
        self.rows.push(row);
    }

    /// Lays two rows beside each other: answers columns and bonds, and writes the weights where the values will be.
    fn lay(&mut self, weights: &[(u16, Q32)], stored: &[(u16, u16)], without_weight: bool) -> StoredRow {
        let mut row = Vec::with_capacity(weights.len().max(stored.len()));
        // Most validators weigh the miners of whom they hold bonds, and no others.
        let alike = weights.iter().zip(stored).take_while(|(weight, bond)| weight.0 == bond.0).count();
        row.extend_from_slice(&stored[..alike]);
        self.values.extend(weights[..alike].iter().map(|&(_, weight)| weight));
        for (column, weight, bond) in merged(&weights[alike..], &stored[alike..]) {
            if weight.is_some() || without_weight {
                row.push((column, bond.unwrap_or_default()));
                self.values.push(weight.unwrap_or_default());
            }
        }
        row
    }

    /// Every row with its values.
    fn rows(&mut self) -> impl Iterator<Item = (&mut StoredRow, &mut [Q32])> {
        let mut rest = self.values.as_mut_slice();
        self.rows.iter_mut().map(move |row| {
            let (values, others) = std::mem::take(&mut rest).split_at_mut(row.len());
            rest = others;
            (row, values)
        })
    }

    /// The rows with the part of one that `part` makes of each value.
    fn stored(mut self, part: impl Fn(u16, Q32) -> Q32) -> Vec<StoredRow> {
        for (row, values) in self.rows() {
            for ((column, bond), &mut value) in row.iter_mut().zip(values) {
                *bond = part(*column, value).to_fraction();
            }
        }
        self.rows
    }
}

/// One step of the bonds in `stored`, of which masked entries have been removed.
pub(super) fn step(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    if params.yuma3 { yuma3(params, stored, view) } else { classic(params, stored, view) }
}

/// Shares of each miner, moved towards weight times stake; a validator earns the incentive of what it holds.
fn classic(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    /// What a miner's weights and old bonds are divided by, and what its new bonds come to.
    struct Column {
        news: Divisor,
        olds: Divisor,
        consensus: Q32,
        sum: Q32,
    }
    // Both sides of the average are column shares; neither is written down.
    let mut olds = vec![0; view.consensus.len()];
    for row in stored {
        for &(column, bond) in row {
            olds[usize::from(column)] += i64::from(bond);
        }
    }
    let column = |((&news, olds), &consensus): ((&Q32, i64), &Q32)| Column {
        news: Divisor::new(news),
        olds: Divisor::new(Q32::from_bits(olds)),
        consensus,
        sum: Q32::ZERO,
    };
    let mut columns: Vec<Column> =
        view.goal_sums().iter().zip(olds).zip(view.consensus).map(column).collect();
    let (alpha, rest) = (params.speed(), Q32::ONE.minus(params.speed()));
    let mut held = Held::new(view, stored);
    for ((weights, stored), &stake) in view.weights.iter().zip(stored).zip(view.stake) {
        held.push(weights, stored, true, |column, weight, bond| {
            let column = &mut columns[column];
            let goal = view.goal(weight, column.consensus).unwrap_or_default();
            let new = column.news.under_or_itself(goal.times(stake));
            // A quotient of integers is that of as many steps.
            let old = column.olds.under(Q32::from_bits(i64::from(bond)));
            let value = alpha.times(new).plus(rest.times(old));
            column.sum = column.sum.plus(value.max(Q32::ZERO));
            value
        });
    }
    /// What a miner's new bonds are divided by, what they earn, and the largest of them.
    struct Shares {
        whole: Divisor,
        incentive: Q32,
        largest: Q32,
    }
    let shares = |(column, &incentive): (&Column, &Q32)| Shares {
        whole: Divisor::new(column.sum),
        incentive,
        largest: Q32::ZERO,
    };
    let mut shares: Vec<Shares> = columns.iter().zip(view.incentive).map(shares).collect();
    let mut dividends = Vec::with_capacity(stored.len());
    for (row, values) in held.rows() {
        let mut earned = Q32::ZERO;
        for (&mut (column, _), value) in row.iter_mut().zip(values) {
            let shares = &mut shares[usize::from(column)];
            *value = shares.whole.under_or_itself(*value);
            earned = earned.plus(value.times(shares.incentive));
            shares.largest = shares.largest.max(*value);
        }
        dividends.push(earned);
    }
    normalize(&mut dividends);
    let largest = column_divisors(shares.iter().map(|shares| shares.largest));
    let bonds = held.stored(|column, bond| largest[usize::from(column)].under_or_itself(bond));
    Outcome { bonds, dividends }
}

/// Commitments of 0 to 1, moved towards the weight; stake enters only in what they earn.
fn yuma3(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    let liquid = params.liquid && view.consensus.iter().any(|&consensus| consensus != Q32::ZERO);
    let (alpha, rest) = (params.speed(), Q32::ONE.minus(params.speed()));
    let mut sums = vec![Q32::ZERO; view.consensus.len()];
    let mut held = Held::new(view, stored);
    for (weights, stored) in view.weights.iter().zip(stored) {
        held.push(weights, stored, !liquid, |column, weight, bond| {
            let consensus = view.consensus[column];
            let goal = view.goal(weight, consensus);
            let bond = Q32::from_fraction(bond);
            let value = match goal {
                _ if !liquid => alpha.times(goal.unwrap_or_default()).plus(rest.times(bond)),
                Some(weight) => moved(weight, bond, liquid_speed(params, consensus, weight, bond)),
                None => Q32::ZERO,
            };
            sums[column] = sums[column].plus(value.max(Q32::ZERO));
            value
        });
    }
    let sums = column_divisors(sums);
    let mut dividends = Vec::with_capacity(stored.len());
    for ((row, values), &stake) in held.rows().zip(view.stake) {
        let mut earned = Q32::ZERO;
        for (&mut (column, _), &mut value) in row.iter_mut().zip(values) {
            let column = usize::from(column);
            earned = earned.plus(sums[column].under_or_itself(value).times(view.incentive[column]));
        }
        dividends.push(earned.times(stake));
    }
    normalize(&mut dividends);
    Outcome { bonds: held.stored(|_, bond| bond), dividends }
}

/// One weight and the bond beside it, zero when there is none.
pub struct Cell {
    /// The miner.
    pub column: u16,
    /// Where the bond should go.
    pub weight: Q32,
    /// Where it is.
    pub bond: Q32,
}

/// `alpha new + (1 - alpha) old` with an alpha per cell, at most one. Only cells with a weight live on: a bond whose
/// weight entry is absent is lost at once, one whose weight is an explicit zero decays.
pub fn moving_average_by_cell(new: &Matrix, old: &Matrix, alpha: impl Fn(&Cell) -> Q32) -> Matrix {
    type Row = Vec<(u16, Q32)>;
    let row = |(new, old): (&Row, &Row)| {
        let live = |(column, weight, bond): (u16, Option<Q32>, Option<Q32>)| {
            let cell = Cell { column, weight: weight?, bond: bond.unwrap_or_default() };
            let value = moved(cell.weight, cell.bond, alpha(&cell));
            (value > Q32::ZERO).then_some((column, value))
        };
        merged(new, old).filter_map(live).collect()
    };
    new.iter().zip(old).map(row).collect()
}

/// `alpha weight + (1 - alpha) bond`, at most one.
fn moved(weight: Q32, bond: Q32, alpha: Q32) -> Q32 {
    let bought = alpha.times(weight).max(Q32::ZERO);
    Q32::ONE.minus(alpha).times(bond).plus(bought).min(Q32::ONE)
}

/// The speed of a cell: slow near the consensus, fast far above it or when selling.
fn liquid_speed(params: &BondParams, consensus: Q32, weight: Q32, bond: Q32) -> Q32 {
    let distance = if weight >= bond { weight.minus(consensus) } else { bond.minus(weight) };
    let distance = distance.clamp(Q32::ZERO, Q32::ONE);
    let slope = Q32::from_int(i64::from(params.steepness)).over(Q32::from_int(-100));
    let curve = Q32::ONE.over(Q32::ONE.plus(slope.times(distance.minus(Q32::HALF)).exp()));
    let (low, high) = (Q32::from_fraction(params.alpha.0), Q32::from_fraction(params.alpha.1));
    // Parameters in the wrong order would make `clamp` stop the program.
    low.plus(curve.times(high.minus(low))).min(high).max(low)
}
