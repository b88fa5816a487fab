//! Bonds: what a validator holds of a miner for having valued it early. Two rules, classic and Yuma3, the second with
//! a speed per cell on request ("liquid alpha"). Dividends follow from bonds and incentive.

use super::fixed::{Divisor, Q32, normalize};
use super::sparse::{Matrix, StoredRow, column_divisors, column_sums, divided, merge_rows, weigh_rows};

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
    /// Rows of bonds.
    pub bonds: Matrix,
    /// What each column's bonds are parts of when they are stored; none: of one.
    pub whole: Vec<Divisor>,
    /// Per row, summing to one or all zero.
    pub dividends: Vec<Q32>,
}

/// What the rules look at besides the bonds themselves.
pub(super) struct View<'a> {
    /// The weights that count for bonds: between what was set and what was clipped.
    pub weights: &'a Matrix,
    /// Stake with a say, summing to one.
    pub stake: &'a [Q32],
    /// For every column the sum of its weights times the stake of their rows, where it is known already.
    pub ranks: Option<&'a [Q32]>,
    /// Consensus per column.
    pub consensus: &'a [Q32],
    /// Incentive per column.
    pub incentive: &'a [Q32],
}

/// One step of the bonds in `stored`, of which masked entries have been removed.
pub(super) fn step(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    if params.yuma3 { yuma3(params, stored, view) } else { classic(params, stored, view) }
}

/// Shares of each miner, moved towards weight times stake; a validator earns the incentive of what it holds.
fn classic(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    let columns = view.incentive.len();
    let unit = |bond: u16| Q32::from_int(i64::from(bond));
    // Both sides of the average are column shares; neither is written down.
    let mut olds = vec![Q32::ZERO; columns];
    for &(column, bond) in stored.iter().flatten() {
        let sum = &mut olds[usize::from(column)];
        *sum = sum.plus(unit(bond));
    }
    let news = match view.ranks {
        Some(ranks) => column_divisors(ranks),
        None => column_divisors(&weigh_rows(view.weights, view.stake, columns)),
    };
    let olds = column_divisors(&olds);
    let (alpha, rest) = (params.speed(), Q32::ONE.minus(params.speed()));
    let mut sums = vec![Q32::ZERO; columns];
    let mut bonds: Matrix = Vec::with_capacity(stored.len());
    for ((weights, stored), &stake) in view.weights.iter().zip(stored).zip(view.stake) {
        let row = merge_rows(weights, stored, |column, weight, bond| {
            let column = usize::from(column);
            let new = weight.map_or(Q32::ZERO, |weight| divided(weight.times(stake), &news[column]));
            let old = bond.map_or(Q32::ZERO, |bond| divided(unit(bond), &olds[column]));
            let value = alpha.times(new).plus(rest.times(old));
            if value > Q32::ZERO {
                sums[column] = sums[column].plus(value);
            }
            value
        });
        bonds.push(row);
    }
    let sums = column_divisors(&sums);
    let mut largest = vec![Q32::ZERO; columns];
    let mut dividends = Vec::with_capacity(bonds.len());
    for row in &mut bonds {
        let mut earned = Q32::ZERO;
        for (column, bond) in row {
            let column = usize::from(*column);
            *bond = divided(*bond, &sums[column]);
            earned = earned.plus(bond.times(view.incentive[column]));
            largest[column] = largest[column].max(*bond);
        }
        dividends.push(earned);
    }
    normalize(&mut dividends);
    Outcome { bonds, whole: column_divisors(&largest), dividends }
}

/// Commitments of 0 to 1, moved towards the weight; stake enters only in what they earn.
fn yuma3(params: &BondParams, stored: &[StoredRow], view: &View) -> Outcome {
    let columns = view.incentive.len();
    let liquid = params.liquid && view.consensus.iter().any(|&consensus| consensus != Q32::ZERO);
    let (bonds, sums) = match liquid {
        true => {
            let bonds = moving_average_by_cell(view.weights, &read(stored, Q32::from_fraction), |cell| {
                liquid_speed(params, view.consensus[usize::from(cell.column)], cell.weight, cell.bond)
            });
            let sums = column_sums(&bonds, columns);
            (bonds, sums)
        }
        false => {
            let mut sums = vec![Q32::ZERO; columns];
            let (alpha, rest) = (params.speed(), Q32::ONE.minus(params.speed()));
            let row = |(weights, stored): (&Vec<(u16, Q32)>, &StoredRow)| {
                merge_rows(weights, stored, |column, weight, bond| {
                    let new = alpha.times(weight.unwrap_or_default());
                    let value = new.plus(rest.times(bond.map_or(Q32::ZERO, Q32::from_fraction)));
                    if value > Q32::ZERO {
                        let sum = &mut sums[usize::from(column)];
                        *sum = sum.plus(value);
                    }
                    value
                })
            };
            let bonds: Matrix = view.weights.iter().zip(stored).map(row).collect();
            (bonds, sums)
        }
    };
    let sums = column_divisors(&sums);
    let share = |&(column, bond): &(u16, Q32)| {
        let column = usize::from(column);
        divided(bond, &sums[column]).times(view.incentive[column])
    };
    let earned = bonds.iter().map(|row| Q32::sum(row.iter().map(share)));
    let mut dividends: Vec<Q32> =
        earned.zip(view.stake).map(|(earned, &stake)| earned.times(stake)).collect();
    normalize(&mut dividends);
    Outcome { bonds, whole: Vec::new(), dividends }
}

fn read(stored: &[StoredRow], unit: impl Fn(u16) -> Q32) -> Matrix {
    stored.iter().map(|row| row.iter().map(|&(column, bond)| (column, unit(bond))).collect()).collect()
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
        let mut old = old.iter().peekable();
        let mut moved = Vec::with_capacity(new.len());
        for &(column, weight) in new {
            while old.next_if(|&&(other, _)| other < column).is_some() {}
            let bond = old.next_if(|&&(other, _)| other == column).map_or(Q32::ZERO, |&(_, bond)| bond);
            let alpha = alpha(&Cell { column, weight, bond });
            let bought = alpha.times(weight).max(Q32::ZERO);
            let value = Q32::ONE.minus(alpha).times(bond).plus(bought).min(Q32::ONE);
            if value > Q32::ZERO {
                moved.push((column, value));
            }
        }
        moved
    };
    new.iter().zip(old).map(row).collect()
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
