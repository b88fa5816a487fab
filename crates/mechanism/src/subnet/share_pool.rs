//! Stake of many holders in one total: deposits buy shares, rewards raise what every share is worth.
//! Shares are integers with 18 decimals; rounding is always to the pool's side, so values never exceed the total.

use crate::amount::mul_div_rem;
use crate::error::MathError;

/// Shares of the first unit ever deposited.
pub const SHARES_PER_UNIT: u128 = 1_000_000_000_000_000_000;

/// The total and its shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharePool {
    /// What all holders have together, in base units.
    pub value: u64,
    /// All shares.
    pub shares: u128,
}

impl SharePool {
    /// What `shares` are worth, rounded down. Errors: [`MathError::Overflow`] for more shares than there are.
    pub fn value_of(self, shares: u128) -> Result<u64, MathError> {
        if self.shares == 0 {
            return Ok(0);
        }
        let (value, _) = mul_div_rem(u128::from(self.value), shares, self.shares)?;
        u64::try_from(value).map_err(|_| MathError::Overflow("value of shares"))
    }

    /// How many shares `value` is, and whether that is less than exactly.
    pub fn shares_for(self, value: u64) -> Result<(u128, bool), MathError> {
        if self.shares == 0 || self.value == 0 {
            return Ok((u128::from(value) * SHARES_PER_UNIT, false));
        }
        let (shares, rest) = mul_div_rem(u128::from(value), self.shares, u128::from(self.value))?;
        Ok((shares, rest > 0))
    }

    /// A deposit: the pool after it and the new holder's shares. Errors: [`MathError::Overflow`].
    pub fn deposit(self, value: u64) -> Result<(SharePool, u128), MathError> {
        let (bought, _) = self.shares_for(value)?;
        let pool = SharePool {
            value: self.value.checked_add(value).ok_or(MathError::Overflow("stake"))?,
            shares: self.shares.checked_add(bought).ok_or(MathError::Overflow("shares"))?,
        };
        Ok((pool, bought))
    }

    /// A withdrawal by a holder of `held` shares: the pool after it and the shares that are left. Taking all that the
    /// shares are worth takes all shares. Errors: [`MathError::OutOfRange`] for more than they are worth.
    pub fn withdraw(self, held: u128, value: u64) -> Result<(SharePool, u128), MathError> {
        let worth = self.value_of(held)?;
        if value > worth || held > self.shares {
            return Err(MathError::OutOfRange("withdrawal"));
        }
        let (sold, less) = self.shares_for(value)?;
        let sold = if value == worth { held } else { (sold + u128::from(less)).min(held) };
        Ok((SharePool { value: self.value - value, shares: self.shares - sold }, held - sold))
    }

    /// A reward for everybody. Errors: [`MathError::Overflow`].
    pub fn reward(self, value: u64) -> Result<SharePool, MathError> {
        let value = self.value.checked_add(value).ok_or(MathError::Overflow("stake"))?;
        Ok(SharePool { value, ..self })
    }
}
