//! Paying out an epoch: how an amount is split between mechanisms, a dividend between a validator and the parents
//! whose stake it uses, dividends between the two kinds of stake. Nothing is lost in rounding.

use crate::amount::{mul_div_floor, split_by};
use crate::error::MathError;
use crate::supply::Fixed;

/// Splits an epoch's amount over mechanisms by shares in 1/65535, rounded down; the rest is the first one's.
/// Shares above the whole serve the earlier first. Without shares the parts are equal. Errors: [`MathError::Empty`]
/// for no mechanism, [`MathError::Length`] for another number of shares.
pub fn by_mechanism(total: u64, count: usize, shares: Option<&[u16]>) -> Result<Vec<u64>, MathError> {
    let whole = u64::from(u16::MAX);
    let mut parts: Vec<u64> = match shares {
        None if count == 0 => return Err(MathError::Empty("mechanisms")),
        None => vec![total / count as u64; count],
        Some(shares) if shares.len() != count => {
            return Err(MathError::Length {
                what: "mechanism shares",
                expected: count,
                actual: shares.len(),
            });
        }
        Some(shares) => {
            let mut left = total;
            let part = |&share: &u16| {
                let part = (u128::from(total) * u128::from(share) / u128::from(whole)) as u64;
                let part = part.min(left);
                left -= part;
                part
            };
            shares.iter().map(part).collect()
        }
    };
    let given: u64 = parts.iter().sum();
    let first = parts.first_mut().ok_or(MathError::Empty("mechanisms"))?;
    *first += total - given;
    Ok(parts)
}

/// Stake of one key on a subnet, of both kinds, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// The subnet's token.
    pub alpha: u64,
    /// The chain's token.
    pub root: u64,
}

impl Stake {
    /// Both in one, the chain's token times `weight`. Errors: [`MathError::Overflow`].
    pub fn weighed(self, weight: Fixed) -> Result<u128, MathError> {
        let root = weight.of(u128::from(self.root))?;
        root.checked_add(u128::from(self.alpha)).ok_or(MathError::Overflow("stake"))
    }
}

/// A key that lent a fraction of its stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// All of its stake.
    pub stake: Stake,
    /// The fraction lent, in 1/(2^64 - 1).
    pub fraction: u64,
    /// Whether the same holder stands behind parent and child; then no take is due.
    pub same_holder: bool,
}

/// A dividend after the family is served; the parts add up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// For the parents, in their order.
    pub parents: Vec<u64>,
    /// Stays with the child: its own part, its take, and dust.
    pub child: u64,
    /// Leaves the supply.
    pub burned: u64,
}

/// What of the child's dividend and its stake goes where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyRules {
    /// The weight of the chain's token.
    pub root_weight: Fixed,
    /// The child's take of parents' parts, 0 to 1.
    pub take: Fixed,
    /// The burned part of parents' parts, 0 to 1; the take comes first.
    pub burn: Fixed,
}

/// Splits a child's dividend by the stake behind it: `own` with the fraction it did not lend itself, in 1/(2^64 - 1),
/// and the parents' lent stake. Errors: [`MathError::Overflow`], [`MathError::OutOfRange`] for a take above one.
pub fn to_family(
    dividend: u64,
    own: Stake,
    own_fraction: u64,
    parents: &[Parent],
    rules: &FamilyRules,
) -> Result<Family, MathError> {
    if rules.take > Fixed::ONE || rules.burn > Fixed::ONE {
        return Err(MathError::OutOfRange("take"));
    }
    let lent = |stake: Stake, fraction: u64| {
        mul_div_floor(stake.weighed(rules.root_weight)?, u128::from(fraction), u128::from(u64::MAX))
    };
    let behind = parents
        .iter()
        .map(|parent| lent(parent.stake, parent.fraction))
        .collect::<Result<Vec<u128>, MathError>>()?;
    let total = behind
        .iter()
        .try_fold(lent(own, own_fraction)?, |sum, &part| sum.checked_add(part))
        .ok_or(MathError::Overflow("stake"))?;
    let mut family = Family { parents: Vec::with_capacity(parents.len()), child: dividend, burned: 0 };
    for (parent, &stake) in parents.iter().zip(&behind) {
        let part = if total == 0 { 0 } else { mul_div_floor(u128::from(dividend), stake, total)? as u64 };
        let (take, burned) = match parent.same_holder {
            true => (0, 0),
            false => {
                let take = rules.take.of(u128::from(part))? as u64;
                (take, (rules.burn.of(u128::from(part))? as u64).min(part - take))
            }
        };
        let paid = part - take - burned;
        family.parents.push(paid);
        family.burned += burned;
        family.child -= paid + burned;
    }
    Ok(family)
}

/// What validators' two accumulators hold, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pots {
    /// For stake in the subnet's token.
    pub alpha: u64,
    /// For stake in the chain's token.
    pub root: u64,
}

/// Divides both pots over validators with (stake, dividend): each dividend is cut by the two kinds of stake behind it,
/// and both lists are scaled to their pots, to the last unit. A pot nobody has a claim on stays undivided: its parts
/// are zero. Errors: [`MathError::Overflow`].
pub fn by_kind_of_stake(
    pots: Pots,
    root_weight: Fixed,
    rows: &[(Stake, u64)],
) -> Result<Vec<Pots>, MathError> {
    let cut = |&(stake, dividend): &(Stake, u64)| -> Result<(u128, u128), MathError> {
        let (all, root) = (stake.weighed(root_weight)?, root_weight.of(u128::from(stake.root))?);
        // Thirty-two more places than the dividend, so that small ones are told apart.
        let dividend = u128::from(dividend) << 32;
        let root = if all == 0 { 0 } else { mul_div_floor(dividend, root, all)? };
        Ok((dividend - root, root))
    };
    let cuts = rows.iter().map(cut).collect::<Result<Vec<_>, MathError>>()?;
    let share = |pot: u64, shares: Vec<u128>| match split_by(u128::from(pot), &shares) {
        Err(MathError::Empty(_)) => Ok(vec![0; shares.len()]),
        parts => parts,
    };
    let alpha = share(pots.alpha, cuts.iter().map(|cut| cut.0).collect())?;
    let root = share(pots.root, cuts.iter().map(|cut| cut.1).collect())?;
    // Parts of a `u64` fit into one.
    Ok(alpha
        .into_iter()
        .zip(root)
        .map(|(alpha, root)| Pots { alpha: alpha as u64, root: root as u64 })
        .collect())
}
