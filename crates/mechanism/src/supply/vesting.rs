//! Vesting as the supply formula assumes it (topic specification, section 8.2): which part of the six initial
//! buckets is still locked, month by month.

use crate::amount::mul_div_floor;
use crate::error::MathError;
use crate::supply::fixed::Fixed;
use borsh::{BorshDeserialize, BorshSerialize};

/// Months after which the month count stands still.
pub const LAST_MONTH: u32 = 84;
/// Months during which backers' and team's tokens are fully locked.
const CLIFF: u32 = 12;
/// Month from which they are free.
const FREE: u32 = 36;
/// Month from which the foundation's tokens are free.
const FOUNDATION_FREE: u32 = 24;

/// How the largest supply is divided; the six shares sum to 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shares {
    /// To be issued as rewards.
    pub ecosystem: Fixed,
    /// The foundation's treasury.
    pub foundation: Fixed,
    /// Early participants, never locked.
    pub participants: Fixed,
    /// Investors of the seed round.
    pub investors: Fixed,
    /// Investors before it.
    pub preseed: Fixed,
    /// The team.
    pub team: Fixed,
}

impl Shares {
    /// The shares in use since v0.13.
    pub const fn new() -> Shares {
        Shares {
            ecosystem: ten_thousandths(2145),
            foundation: ten_thousandths(2250),
            participants: ten_thousandths(750),
            investors: ten_thousandths(2605),
            preseed: ten_thousandths(500),
            team: ten_thousandths(1750),
        }
    }

    /// The shares before v0.13.
    pub const fn original() -> Shares {
        Shares {
            ecosystem: ten_thousandths(3595),
            foundation: ten_thousandths(1000),
            participants: ten_thousandths(550),
            ..Shares::new()
        }
    }

    /// Checks that the shares sum to 1. Errors: [`MathError::OutOfRange`].
    pub fn validate(&self) -> Result<(), MathError> {
        let others = [self.foundation, self.participants, self.investors, self.preseed, self.team];
        let sum = others.into_iter().try_fold(self.ecosystem, Fixed::plus);
        if sum == Ok(Fixed::ONE) { Ok(()) } else { Err(MathError::OutOfRange("sum of supply shares")) }
    }
}

impl Default for Shares {
    fn default() -> Shares {
        Shares::new()
    }
}

const fn ten_thousandths(count: u128) -> Fixed {
    Fixed::from_raw(count * 100_000_000_000_000)
}

/// Which vesting the formula assumes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Vesting {
    /// Since v0.13: a part of the foundation's bucket is locked as well.
    V013,
    /// Before: the foundation's bucket is free from the start.
    Original,
}

/// Locked amounts in base units.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// Of the investors before the seed round.
    pub preseed: u128,
    /// Of the seed investors.
    pub investors: u128,
    /// Of the team.
    pub team: u128,
    /// Of the foundation.
    pub foundation: u128,
}

impl Locked {
    /// What is locked `month` whole months after emission started (above [`LAST_MONTH`] reads as that), bucket by
    /// bucket, of `max_supply` base units.
    ///
    /// Preseed, seed and team: everything before month 12, then (36 - month) / 36, nothing from month 36. Foundation
    /// under [`Vesting::V013`]: of the part `foundation_locked` of its bucket (the reference's value is not public;
    /// 1 locks all of it), (24 - month) / 24, nothing from month 24. Each is rounded down to the unit.
    /// Errors: [`MathError::OutOfRange`] for a part above 1 or shares that do not sum to 1.
    pub fn at(
        vesting: Vesting,
        shares: &Shares,
        max_supply: u128,
        month: u32,
        foundation_locked: Fixed,
    ) -> Result<Locked, MathError> {
        shares.validate()?;
        if foundation_locked > Fixed::ONE {
            return Err(MathError::OutOfRange("locked part of the foundation"));
        }
        let month = month.min(LAST_MONTH);
        let left = if month < CLIFF { FREE } else { FREE.saturating_sub(month) };
        let backed = |share: Fixed| part(share.of(max_supply)?, left, FREE);
        let foundation = match vesting {
            Vesting::Original => 0,
            Vesting::V013 => {
                let bucket = foundation_locked.of(shares.foundation.of(max_supply)?)?;
                part(bucket, FOUNDATION_FREE.saturating_sub(month), FOUNDATION_FREE)?
            }
        };
        Ok(Locked {
            preseed: backed(shares.preseed)?,
            investors: backed(shares.investors)?,
            team: backed(shares.team)?,
            foundation,
        })
    }

    /// All of it. Saturates, which no amounts of [`Locked::at`] reach.
    pub fn total(&self) -> u128 {
        [self.investors, self.team, self.foundation].into_iter().fold(self.preseed, u128::saturating_add)
    }
}

/// [`Locked::at`] in one sum.
pub fn locked(
    vesting: Vesting,
    shares: &Shares,
    max_supply: u128,
    month: u32,
    foundation_locked: Fixed,
) -> Result<u128, MathError> {
    Locked::at(vesting, shares, max_supply, month, foundation_locked).map(|locked| locked.total())
}

/// Whole months in `blocks` since emission started, at most [`LAST_MONTH`].
/// Errors: [`MathError::DivideByZero`] for months without blocks.
pub fn months(blocks: u64, blocks_per_month: u64) -> Result<u32, MathError> {
    let months = blocks.checked_div(blocks_per_month).ok_or(MathError::DivideByZero("blocks per month"))?;
    Ok(u32::try_from(months).unwrap_or(LAST_MONTH).min(LAST_MONTH))
}

fn part(amount: u128, left: u32, of: u32) -> Result<u128, MathError> {
    mul_div_floor(amount, u128::from(left), u128::from(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u128 = 10u128.pow(27);
    const TOKEN: u128 = 10u128.pow(18);

    #[test]
    fn both_sets_of_shares_divide_the_whole_supply() {
        assert_eq!(Shares::new().validate(), Ok(()));
        assert_eq!(Shares::original().validate(), Ok(()));
        let short = Shares { team: Fixed::ZERO, ..Shares::new() };
        assert_eq!(short.validate(), Err(MathError::OutOfRange("sum of supply shares")));
        let over = Shares { team: Fixed::MAX, ..Shares::new() };
        assert_eq!(over.validate(), Err(MathError::OutOfRange("sum of supply shares")));
        assert!(locked(Vesting::V013, &short, MAX, 0, Fixed::ONE).is_err());
    }

    #[test]
    fn everything_but_participants_and_ecosystem_is_locked_at_the_start() {
        let at = Locked::at(Vesting::V013, &Shares::new(), MAX, 0, Fixed::ONE).unwrap();
        assert_eq!(at.preseed, 50_000_000 * TOKEN);
        assert_eq!(at.investors, 260_500_000 * TOKEN);
        assert_eq!(at.team, 175_000_000 * TOKEN);
        assert_eq!(at.foundation, 225_000_000 * TOKEN);
        let before = Locked::at(Vesting::Original, &Shares::original(), MAX, 0, Fixed::ONE).unwrap();
        assert_eq!((before.foundation, before.total()), (0, 485_500_000 * TOKEN));
    }

    #[test]
    fn the_foundation_unlocks_only_its_locked_part() {
        let half = Fixed::from_raw(Fixed::ONE.raw() / 2);
        let at = |month| Locked::at(Vesting::V013, &Shares::new(), MAX, month, half).unwrap().foundation;
        assert_eq!(
            [at(0), at(6), at(23), at(24)],
            [112_500_000, 84_375_000, 4_687_500, 0].map(|n| n * TOKEN)
        );
        let beyond = locked(Vesting::V013, &Shares::new(), MAX, 0, Fixed::from_raw(Fixed::ONE.raw() + 1));
        assert_eq!(beyond, Err(MathError::OutOfRange("locked part of the foundation")));
    }

    #[test]
    fn months_are_whole_and_stop_at_eighty_four() {
        assert_eq!(months(863_999, 864_000), Ok(0));
        assert_eq!(months(864_000, 864_000), Ok(1));
        assert_eq!(months(u64::MAX, 1), Ok(84));
        assert_eq!(months(5, 0), Err(MathError::DivideByZero("blocks per month")));
    }
}
