//! Paying many holders at once: an amount per share that only grows, against which each holder settles when it
//! pleases. One addition per payment, however many hold; integers only, and nobody is ever owed more than was paid.

use crate::amount::mul_div_rem;
use crate::error::MathError;
use borsh::{BorshDeserialize, BorshSerialize};

const PART: u128 = 1 << 64;

/// Paid per share since the beginning: whole units and 2^-64 parts of one.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PerShare {
    whole: u128,
    part: u64,
}

impl PerShare {
    /// The amount per share after paying `amount` to `shares` shares. What the rounding down leaves is below
    /// `shares * 2^-64` plus one unit and belongs to nobody.
    /// Errors: [`MathError::DivideByZero`] without shares, [`MathError::Overflow`] when an amount per share leaves u128.
    pub fn pay(self, amount: u128, shares: u128) -> Result<PerShare, MathError> {
        let (whole, rest) = mul_div_rem(amount, 1, shares)?;
        let (part, _) = mul_div_rem(rest, PART, shares)?;
        let part = part + u128::from(self.part);
        let whole = self
            .whole
            .checked_add(whole)
            .and_then(|sum| sum.checked_add(part / PART))
            .ok_or(MathError::Overflow("amount per share"))?;
        Ok(PerShare { whole, part: (part % PART) as u64 })
    }

    /// [`PerShare::pay`] without loss: what the rounding down leaves, in 2^-64 parts of a unit, goes into the next
    /// payment. Gives the amount per share and the new rest, which is below `shares`. Over any number of payments,
    /// amount per share times shares, and the rest, sum to exactly what was paid while the shares stay the same.
    /// Errors: [`MathError::DivideByZero`] without shares, [`MathError::Overflow`] when a sum leaves u128.
    pub fn pay_carrying(self, amount: u128, rest: u128, shares: u128) -> Result<(PerShare, u128), MathError> {
        let (whole, left) = mul_div_rem(amount, 1, shares)?;
        let (parts, below) = mul_div_rem(left, PART, shares)?;
        let rest = below.checked_add(rest).ok_or(MathError::Overflow("rest of a payment"))?;
        let parts = [rest / shares, u128::from(self.part)]
            .into_iter()
            .try_fold(parts, u128::checked_add)
            .ok_or(MathError::Overflow("amount per share"))?;
        let whole = [whole, parts / PART]
            .into_iter()
            .try_fold(self.whole, u128::checked_add)
            .ok_or(MathError::Overflow("amount per share"))?;
        Ok((PerShare { whole, part: (parts % PART) as u64 }, rest % shares))
    }

    /// What `shares` shares are owed since they settled at `since`, rounded down; 0 if `since` lies ahead.
    /// Errors: [`MathError::Overflow`] when the amount leaves u128.
    pub fn owed(self, since: PerShare, shares: u128) -> Result<u128, MathError> {
        if since >= self {
            return Ok(0);
        }
        let borrow = u128::from(self.part < since.part);
        let whole = self.whole - since.whole - borrow;
        let part = self.part.wrapping_sub(since.part);
        let (parts, _) = mul_div_rem(shares, part.into(), PART)?;
        whole
            .checked_mul(shares)
            .and_then(|amount| amount.checked_add(parts))
            .ok_or(MathError::Overflow("amount owed"))
    }

    /// Units per share as a double, for people.
    pub fn get(self) -> f64 {
        self.whole as f64 + self.part as f64 / PART as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_together_are_never_owed_more_than_was_paid_and_hardly_less() {
        let shares = [1u128, 10u128.pow(18), 3 * 10u128.pow(24), 7];
        let total: u128 = shares.iter().sum();
        let mut per_share = PerShare::default();
        let mut paid = 0u128;
        for amount in [1u128, 999, 10u128.pow(20), 5 * 10u128.pow(18) + 1] {
            per_share = per_share.pay(amount, total).unwrap();
            paid += amount;
        }
        let owed: u128 = shares.iter().map(|s| per_share.owed(PerShare::default(), *s).unwrap()).sum();
        assert!(owed <= paid && paid - owed < 10u128.pow(6), "{owed} of {paid}");
    }

    #[test]
    fn settling_halfway_changes_a_holders_sum_by_less_than_a_unit() {
        let half = PerShare::default().pay(1_000, 3).unwrap();
        let full = half.pay(500, 3).unwrap();
        let at_once = full.owed(PerShare::default(), 2).unwrap();
        let in_two = half.owed(PerShare::default(), 2).unwrap() + full.owed(half, 2).unwrap();
        assert!(at_once - in_two <= 1 && at_once == 999, "{at_once} {in_two}");
        assert_eq!(half.owed(full, 2), Ok(0));
    }

    #[test]
    fn carrying_the_rest_loses_nothing_however_small_the_payments() {
        let shares = 3 * 10u128.pow(27) + 7;
        let (mut per_share, mut rest, mut paid) = (PerShare::default(), 0, 0);
        for amount in [1u128, 2, 3, 10u128.pow(9), 1, 10u128.pow(27) * 9, 5] {
            (per_share, rest) = per_share.pay_carrying(amount, rest, shares).unwrap();
            paid += amount;
        }
        assert!(rest < shares);
        // All that is not owed is the rest, to the unit.
        let owed = per_share.owed(PerShare::default(), shares).unwrap();
        assert_eq!(owed + rest.div_ceil(PART), paid);
        assert!(PerShare::default().pay_carrying(1, 0, 0).is_err());
        assert!(PerShare::default().pay_carrying(1, u128::MAX, 3).is_err());
    }

    #[test]
    fn extremes_are_errors_not_panics() {
        assert_eq!(PerShare::default().pay(1, 0), Err(MathError::DivideByZero("proportion")));
        let most = PerShare::default().pay(u128::MAX, 1).unwrap();
        assert_eq!(most.pay(1, 1), Err(MathError::Overflow("amount per share")));
        assert_eq!(most.owed(PerShare::default(), 2), Err(MathError::Overflow("amount owed")));
        assert_eq!(most.owed(PerShare::default(), 1), Ok(u128::MAX));
    }
}
