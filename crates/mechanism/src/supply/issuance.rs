//! Issuance: once a month how much a block hands out, and in every block whence it comes and where it goes
//! (topic specification, sections 8.3 and 8.4).

use crate::error::MathError;
use crate::supply::fixed::Fixed;
use crate::supply::vesting::{Locked, Shares, Vesting};
use borsh::{BorshDeserialize, BorshSerialize};

/// Parameters of the mint (topic specification, section 8.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IssuanceConfig {
    /// Base units that may ever exist, > 0.
    pub max_supply: u128,
    /// Part of the ecosystem's tokens issued per month at full circulation (f_emission), in [0, 1].
    pub emission: Fixed,
    /// Rate at which the emission follows its target (one_month_smoothing_degree), in [0, 1].
    pub smoothing: Fixed,
    /// Most a staked token may earn per month (maximum_monthly_percentage_yield), in [0, 1].
    pub max_yield: Fixed,
    /// The initial buckets.
    pub shares: Shares,
    /// How they unlock.
    pub vesting: Vesting,
    /// Part of the foundation's bucket that is locked at the start, in [0, 1].
    pub foundation_locked: Fixed,
}

impl IssuanceConfig {
    /// The defaults in use: 10^27 units, f_emission 0.025, smoothing 0.1, yield 0.0095, vesting of v0.13 with the
    /// whole foundation bucket locked.
    pub const fn new() -> IssuanceConfig {
        IssuanceConfig {
            max_supply: 1_000_000_000_000_000_000_000_000_000,
            emission: Fixed::from_raw(25_000_000_000_000_000),
            smoothing: Fixed::from_raw(100_000_000_000_000_000),
            max_yield: Fixed::from_raw(9_500_000_000_000_000),
            shares: Shares::new(),
            vesting: Vesting::V013,
            foundation_locked: Fixed::ONE,
        }
    }

    /// Checks every parameter against its range. Errors: [`MathError::OutOfRange`] naming the parameter.
    pub fn validate(&self) -> Result<(), MathError> {
        if self.max_supply == 0 {
            return Err(MathError::OutOfRange("max_supply"));
        }
        part(self.emission, "f_emission")?;
        part(self.smoothing, "one_month_smoothing_degree")?;
        part(self.max_yield, "maximum_monthly_percentage_yield")?;
        part(self.foundation_locked, "locked part of the foundation")?;
        self.shares.validate()
    }
}

impl Default for IssuanceConfig {
    fn default() -> IssuanceConfig {
        IssuanceConfig::new()
    }
}

/// The state of the network at the first block of a month.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EmissionInput {
    /// Base units on the ecosystem's account.
    pub ecosystem_balance: u128,
    /// Base units of the ecosystem's share not minted so far.
    pub remaining_mintable: u128,
    /// Base units staked with validators and reputers.
    pub staked: u128,
    /// Whole months since emission started ([`crate::supply::months`]).
    pub month: u32,
    /// Validators' part of every block emission (f_v), in [0, 1].
    pub validators_fraction: Fixed,
    /// Part of the topics' rewards that went to staked reputers last month (r), in [0, 1].
    pub reputers_share: Fixed,
    /// Last month's emission per staked token; none in the first month.
    pub previous: Option<Fixed>,
    /// Blocks in a month, > 0.
    pub blocks_per_month: u64,
}

/// A month's emission and how it came about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// What vesting holds back, by bucket.
    pub locked: Locked,
    /// Base units in circulation.
    pub circulating: u128,
    /// Target emission per staked token and month, before the cap.
    pub target: Fixed,
    /// The most it may be for the yield to stay below its limit.
    pub cap: Fixed,
    /// The lesser of both.
    pub capped: Fixed,
    /// The smoothed emission per staked token and month, to be stored as the next month's `previous`.
    pub per_token: Fixed,
    /// Base units to hand out this month.
    pub month: u128,
    /// Base units to hand out per block.
    pub block: u128,
}

/// The emission of the month that begins (section 8.3):
///
/// 1. target `f_emission * (T / N_staked) * (N_circ / max_supply)`, T the ecosystem's tokens, minted or not, and
///    N_circ what is neither those nor locked;
/// 2. at most `max_yield / ((1 - f_v) r + f_v)`;
/// 3. smoothed with last month's; times what is staked, rounded down; divided by the blocks of a month, rounded down.
///
/// Every product and quotient before the last two is a [`Fixed`], in this order. T / N_staked saturates at
/// [`Fixed::MAX`], 3.4 10^20, where next to nothing is staked.
///
/// Errors: [`MathError::Empty`] when nothing is staked, or when neither validators nor reputers earned (f_v = r = 0,
/// no yield to cap); [`MathError::OutOfRange`] for more locked and unissued than there is, or a parameter;
/// [`MathError::DivideByZero`] for months without blocks; [`MathError::Overflow`].
pub fn emission(config: &IssuanceConfig, input: &EmissionInput) -> Result<Emission, MathError> {
    config.validate()?;
    part(input.validators_fraction, "validators_vs_allora_percent_reward")?;
    part(input.reputers_share, "reputers' share")?;
    if input.blocks_per_month == 0 {
        return Err(MathError::DivideByZero("blocks per month"));
    }
    if input.staked == 0 {
        return Err(MathError::Empty("stake"));
    }
    let supply = config.max_supply;
    let locked = Locked::at(config.vesting, &config.shares, supply, input.month, config.foundation_locked)?;
    let unissued = input.ecosystem_balance.checked_add(input.remaining_mintable);
    let unissued = unissued.ok_or(MathError::Overflow("ecosystem supply"))?;
    let circulating = supply.checked_sub(locked.total()).and_then(|free| free.checked_sub(unissued));
    let circulating = circulating.ok_or(MathError::OutOfRange("circulating supply"))?;

    let per_staked = match Fixed::ratio(unissued, input.staked) {
        Err(MathError::Overflow(_)) => Fixed::MAX,
        ratio => ratio?,
    };
    let target = config.emission.times(per_staked)?.times(Fixed::ratio(circulating, supply)?)?;

    let validators = input.validators_fraction;
    let earning = Fixed::ONE.minus(validators)?.times(input.reputers_share)?.plus(validators)?;
    if earning == Fixed::ZERO {
        return Err(MathError::Empty("reward share of validators and reputers"));
    }
    let cap = config.max_yield.over(earning)?;
    let capped = target.min(cap);

    let before = Fixed::ONE.minus(config.smoothing)?.times(input.previous.unwrap_or(capped))?;
    let per_token = config.smoothing.times(capped)?.plus(before)?;
    let month = per_token.of(input.staked)?;
    let block = month / u128::from(input.blocks_per_month);
    Ok(Emission { locked, circulating, target, cap, capped, per_token, month, block })
}

/// What one block hands out, in base units.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BlockSplit {
    /// To be minted into the ecosystem's account first.
    pub minted: u128,
    /// To be taken from it: `validators` and `topics` together.
    pub emission: u128,
    /// For the validators, through the fee collector.
    pub validators: u128,
    /// For the topics' rewards.
    pub topics: u128,
}

/// One block's emission (section 8.4): from the ecosystem's balance, which fees have fed, then from what may still be
/// minted; less than `block_emission` when both together are. The validators' part is rounded down.
/// Errors: [`MathError::OutOfRange`] for a validators' fraction above 1.
pub fn block_split(
    block_emission: u128,
    ecosystem_balance: u128,
    remaining_mintable: u128,
    validators_fraction: Fixed,
) -> Result<BlockSplit, MathError> {
    part(validators_fraction, "validators_vs_allora_percent_reward")?;
    let minted = block_emission.saturating_sub(ecosystem_balance).min(remaining_mintable);
    // Whatever is minted is missing in the balance, so this sum never exceeds the emission asked for.
    let emission = block_emission.min(ecosystem_balance).saturating_add(minted);
    let validators = validators_fraction.of(emission)?;
    Ok(BlockSplit { minted, emission, validators, topics: emission - validators })
}

fn part(value: Fixed, name: &'static str) -> Result<(), MathError> {
    if value <= Fixed::ONE { Ok(()) } else { Err(MathError::OutOfRange(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u128 = 10u128.pow(18);

    fn input() -> EmissionInput {
        EmissionInput {
            ecosystem_balance: 0,
            remaining_mintable: 214_500_000 * TOKEN,
            staked: 10_000_000 * TOKEN,
            month: 0,
            validators_fraction: Fixed::from_raw(Fixed::ONE.raw() / 4),
            reputers_share: Fixed::ZERO,
            previous: None,
            blocks_per_month: 864_000,
        }
    }

    fn run(change: impl FnOnce(&mut EmissionInput)) -> Result<Emission, MathError> {
        let mut input = input();
        change(&mut input);
        emission(&IssuanceConfig::new(), &input)
    }

    #[test]
    fn a_month_worked_by_hand() {
        // 75 million circulate: 0.025 * 21.45 * 0.075 = 0.04021875 per token, above 0.0095 / 0.25 = 0.038.
        let first = run(|_| ()).unwrap();
        assert_eq!(first.circulating, 75_000_000 * TOKEN);
        assert_eq!(first.target.to_string(), "0.04021875");
        assert_eq!(first.cap.to_string(), "0.038");
        assert_eq!(first.per_token, first.cap);
        assert_eq!(first.month, 380_000 * TOKEN);
        assert_eq!(first.block, 380_000 * TOKEN / 864_000);
        let second = run(|input| input.previous = Some("0.02".parse().unwrap())).unwrap();
        assert_eq!(second.per_token.to_string(), "0.0218");
    }

    #[test]
    fn what_has_no_emission_says_why() {
        assert_eq!(run(|input| input.staked = 0), Err(MathError::Empty("stake")));
        let nobody = run(|input| input.validators_fraction = Fixed::ZERO);
        assert_eq!(nobody, Err(MathError::Empty("reward share of validators and reputers")));
        let negative = run(|input| input.remaining_mintable = 300_000_000 * TOKEN);
        assert_eq!(negative, Err(MathError::OutOfRange("circulating supply")));
        let none = run(|input| input.blocks_per_month = 0);
        assert_eq!(none, Err(MathError::DivideByZero("blocks per month")));
        let both = run(|input| input.ecosystem_balance = u128::MAX);
        assert_eq!(both, Err(MathError::Overflow("ecosystem supply")));
        let above = run(|input| input.reputers_share = Fixed::MAX);
        assert_eq!(above, Err(MathError::OutOfRange("reputers' share")));
    }

    #[test]
    fn a_single_staked_unit_meets_the_cap_and_does_not_overflow() {
        let lonely = run(|input| input.staked = 1).unwrap();
        assert_eq!((lonely.capped, lonely.month), (lonely.cap, 0));
    }

    #[test]
    fn fees_replace_minting_and_the_last_mint_is_cut() {
        let quarter = Fixed::from_raw(Fixed::ONE.raw() / 4);
        let split = |balance, mintable| block_split(100, balance, mintable, quarter).unwrap();
        let of = |minted, emission, validators, topics| BlockSplit { minted, emission, validators, topics };
        assert_eq!(split(500, 500), of(0, 100, 25, 75));
        assert_eq!(split(30, 500), of(70, 100, 25, 75));
        assert_eq!(split(30, 17), of(17, 47, 11, 36));
        assert_eq!(split(0, 0), of(0, 0, 0, 0));
        assert!(block_split(1, 1, 1, Fixed::MAX).is_err());
    }
}
