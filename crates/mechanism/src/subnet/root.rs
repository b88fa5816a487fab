//! Dividends of stakers of the chain's token, pulled by the holder: a rate per unit of stake that only grows, and a
//! watermark per holder. Also who is paid without asking.

use crate::amount::{mul_div_floor, mul_div_rem};
use crate::error::MathError;

/// Binary places of the rate.
const PLACES: u32 = 32;

/// What one unit of stake has earned since the beginning, in 2^-32 base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(pub u128);

impl Rate {
    /// The rate after `amount` for `stake`, rounded down: holders are never owed more than was paid.
    /// Errors: [`MathError::DivideByZero`] without stake, [`MathError::Overflow`].
    pub fn accrue(self, amount: u64, stake: u64) -> Result<Rate, MathError> {
        let step = (u128::from(amount) << PLACES).checked_div(u128::from(stake));
        let step = step.ok_or(MathError::DivideByZero("rate"))?;
        self.0.checked_add(step).map(Rate).ok_or(MathError::Overflow("rate"))
    }

    /// What this much stake has earned since the beginning. Errors: [`MathError::Overflow`].
    pub fn earned(self, stake: u64) -> Result<u128, MathError> {
        mul_div_floor(self.0, u128::from(stake), 1 << PLACES)
    }
}

/// A holder's stake and what of its earnings is paid or was there before it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// In base units.
    pub stake: u64,
    /// In base units of the subnet's token.
    pub watermark: u128,
}

impl Holder {
    /// What is owed. Errors: [`MathError::Overflow`].
    pub fn owed(self, rate: Rate) -> Result<u128, MathError> {
        Ok(rate.earned(self.stake)?.saturating_sub(self.watermark))
    }

    /// After a claim of everything owed, which is answered too. Errors: [`MathError::Overflow`].
    pub fn claimed(self, rate: Rate) -> Result<(Holder, u128), MathError> {
        let owed = self.owed(rate)?;
        Ok((Holder { watermark: self.watermark + owed, ..self }, owed))
    }

    /// With more stake, which has earned nothing yet. Errors: [`MathError::Overflow`].
    pub fn deposited(self, rate: Rate, value: u64) -> Result<Holder, MathError> {
        let stake = self.stake.checked_add(value).ok_or(MathError::Overflow("stake"))?;
        // Rounded up: a deposit must not be owed a unit that nobody paid.
        let (before, rest) = mul_div_rem(rate.0, u128::from(value), 1 << PLACES)?;
        let before = before + u128::from(rest > 0);
        let watermark = self.watermark.checked_add(before).ok_or(MathError::Overflow("watermark"))?;
        Ok(Holder { stake, watermark })
    }

    /// With less stake; what was not claimed before is not owed for the part that leaves. Errors: [`MathError::OutOfRange`] for more than there is.
    pub fn withdrawn(self, rate: Rate, value: u64) -> Result<Holder, MathError> {
        let stake = self.stake.checked_sub(value).ok_or(MathError::OutOfRange("withdrawal"))?;
        Ok(Holder { stake, watermark: self.watermark.saturating_sub(rate.earned(value)?) })
    }
}

/// The holders of a list of `n` that are paid in a block without asking, at most `count`, drawn by the hash of the
/// block before; ascending.
pub fn drawn(hash: &[u8; 32], count: usize, n: u64) -> Vec<u64> {
    let word = |index: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[index % 4 * 8..index % 4 * 8 + 8]);
        u64::from_be_bytes(bytes)
    };
    if n == 0 {
        return Vec::new();
    }
    let mut place = word(0);
    let mut chosen: Vec<u64> = (0..count)
        .map(|turn| {
            place = place.saturating_add(word(turn)) % n;
            place
        })
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}
