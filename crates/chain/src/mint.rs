//! New tokens: what a block hands out follows a monthly schedule (topic specification, section 8); it is drawn from
//! the ecosystem account, and minted only as far as that runs short, so that whatever consumers pay replaces minting.
//! Validators get their part; topics share the rest by weight, and what they cannot take stays with the ecosystem.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    MathError,
    supply::{self, Emission, EmissionInput, Fixed, IssuanceConfig, Vesting},
};
use dodona_proto::emissions::v10;
use dodona_store::{Item, Read, StoreError};

use crate::{
    accounts::{ecosystem, fee_collector},
    bank,
    error::Failure,
    event::Event,
    params::Params,
    state::State,
    topics::{
        stake,
        state::{PAID, Paid},
    },
};

/// What the mint remembers. Written at begin of block.
const MINT: Item<Mint> = Item::new(*b"mm");

/// The mint between blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mint {
    /// Created since genesis, uallo. Never above the supply, because nothing is ever destroyed.
    pub minted: u128,
    /// What a block hands out, uallo.
    pub block: u128,
    /// Smoothed monthly emission per staked token; none before the first calculation.
    pub per_token: Option<Fixed>,
    /// First block of the schedule; 0 before.
    pub start: u64,
    /// Whole months since then, never decreasing.
    pub month: u32,
    /// Part of last month's rewards that went to reputers.
    pub reputers_share: Fixed,
    /// How the newest calculation came out.
    pub newest: Option<Calculated>,
    /// What the newest block handed out: to validators and for topics.
    pub handed_out: (u128, u128),
}

/// Numbers of one calculation of the emission, for people.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Calculated {
    /// Block of the calculation.
    pub at: u64,
    /// Stake it went by, uallo.
    pub staked: u128,
    /// Tokens neither locked nor unissued, uallo.
    pub circulating: u128,
    /// Tokens still locked, uallo.
    pub locked: u128,
    /// Emission per staked token before the cap.
    pub target: Fixed,
    /// The cap.
    pub cap: Fixed,
    /// Tokens of a month, uallo.
    pub month: u128,
}

/// The mint as it stands.
pub fn get(read: &impl Read) -> Result<Mint, StoreError> {
    Ok(MINT.get(read)?.unwrap_or_default())
}

/// Minted since genesis.
pub fn minted(read: &impl Read) -> Result<u128, StoreError> {
    Ok(get(read)?.minted)
}

/// What the schedule may still mint: the rest of the ecosystem's share, within the maximum supply.
pub fn remaining(read: &impl Read, params: &Params, minted: u128) -> Result<u128, StoreError> {
    let share = params.ecosystem_treasury_percent_of_total_supply.of(params.max_supply).unwrap_or(0);
    let room = params.max_supply.saturating_sub(bank::supply(read)?);
    Ok(share.saturating_sub(minted).min(room))
}

/// Block at which the emission is calculated next.
pub fn next(mint: &Mint, params: &Params, height: u64) -> u64 {
    if mint.start == 0 {
        return height;
    }
    mint.start + (height.saturating_sub(mint.start) / params.blocks_per_month + 1) * params.blocks_per_month
}

/// Begin of block: draws the block's emission, mints what the ecosystem lacks, gives validators their part, and
/// returns what topics may take. That amount lies in the ecosystem account until they do.
pub(crate) fn begin(state: &mut State, params: &Params, height: u64) -> Result<u128, Failure> {
    let mut mint = get(state)?;
    if !params.emission_enabled {
        // The newest block handed out nothing, and whoever asks is told so.
        if mint.handed_out != (0, 0) {
            mint.handed_out = (0, 0);
            MINT.put(state, &mint);
        }
        return Ok(0);
    }
    if mint.start == 0 {
        mint.start = height;
        MINT.put(state, &mint);
    }
    let since = height - mint.start;
    let month_begins = since > 0 && since.is_multiple_of(params.blocks_per_month);
    if month_begins {
        let paid = PAID.get(state)?.unwrap_or_default();
        mint.reputers_share = share_of(paid);
        PAID.put(state, &Paid::default());
        MINT.put(state, &mint);
    }
    // A network that has just begun has no stake to go by: through its first month the emission follows the stake.
    let first_month = since < params.blocks_per_month;
    if params.fixed_emission == 0 && (month_begins || first_month) {
        // Without stake, or with numbers that make no sense, the emission stays as it is.
        let _unchanged = recalculate(state, params, height)?;
        mint = get(state)?;
    }
    let block = if params.fixed_emission > 0 { params.fixed_emission } else { mint.block };
    let remaining = remaining(state, params, mint.minted)?;
    let balance = bank::balance(state, ecosystem())?;
    let Ok(split) =
        supply::block_split(block, balance, remaining, params.validators_vs_allora_percent_reward)
    else {
        return Ok(0);
    };
    bank::create(state, ecosystem(), split.minted)?;
    bank::transfer(state, ecosystem(), fee_collector(), split.validators)?;
    mint.minted += split.minted;
    mint.handed_out = (split.validators, split.topics);
    MINT.put(state, &mint);
    Ok(split.topics)
}

fn share_of(paid: Paid) -> Fixed {
    if paid.all == 0 { Fixed::ZERO } else { Fixed::ratio(paid.reputers, paid.all).unwrap_or(Fixed::ZERO) }
}

/// Calculates the emission anew. The inner error changes nothing: nothing is staked, or numbers make no sense.
pub(crate) fn recalculate(
    state: &mut State,
    params: &Params,
    height: u64,
) -> Result<Result<u128, MathError>, Failure> {
    let mut mint = get(state)?;
    let since = height.saturating_sub(mint.start);
    let first_month = since < params.blocks_per_month;
    let month = match supply::months(since, params.blocks_per_month) {
        Ok(month) => month.max(mint.month),
        Err(error) => return Ok(Err(error)),
    };
    let reputers_share =
        if first_month { share_of(PAID.get(state)?.unwrap_or_default()) } else { mint.reputers_share };
    let staked = stake::total(state)?;
    let input = EmissionInput {
        ecosystem_balance: bank::balance(state, ecosystem())?,
        remaining_mintable: remaining(state, params, mint.minted)?,
        staked,
        month,
        validators_fraction: params.validators_vs_allora_percent_reward,
        reputers_share,
        // In the first month there is nothing to smooth with.
        previous: if first_month { None } else { mint.per_token },
        blocks_per_month: params.blocks_per_month,
    };
    let Emission { locked, circulating, target, cap, per_token, month: tokens, block, .. } =
        match supply::emission(&config(params), &input) {
            Ok(emission) => emission,
            Err(error) => return Ok(Err(error)),
        };
    let locked = locked.total();
    mint.block = block;
    mint.per_token = Some(per_token);
    mint.month = month;
    mint.newest = Some(Calculated { at: height, staked, circulating, locked, target, cap, month: tokens });
    MINT.put(state, &mint);
    Ok(Ok(block))
}

/// What vesting still locks in a month of the schedule, part by part.
pub fn locked(params: &Params, month: u32) -> Result<supply::Locked, MathError> {
    let c = config(params);
    supply::Locked::at(c.vesting, &c.shares, c.max_supply, month, c.foundation_locked)
}

fn config(params: &Params) -> IssuanceConfig {
    IssuanceConfig {
        max_supply: params.max_supply,
        emission: params.f_emission,
        smoothing: params.one_month_smoothing_degree,
        max_yield: params.maximum_monthly_percentage_yield,
        shares: params.shares(),
        vesting: Vesting::V013,
        foundation_locked: params.foundation_locked,
    }
}

/// What the first block of a month tells: which part of the last month's pay went to staked reputers.
pub(crate) fn told(read: &impl Read, params: &Params, height: u64) -> Result<Option<Event>, StoreError> {
    let mint = get(read)?;
    let since = height.saturating_sub(mint.start);
    if !params.emission_enabled || since == 0 || !since.is_multiple_of(params.blocks_per_month) {
        return Ok(None);
    }
    let (block_height, percentage) = (height.try_into().unwrap_or(i64::MAX), mint.reputers_share.to_string());
    let event = Event::new("reputers_share").with("share", &percentage);
    Ok(Some(
        event.telling(v10::EventPreviousPercentageRewardToStakedReputersSet { block_height, percentage }),
    ))
}
