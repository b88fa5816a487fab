//! A validator's own life: it comes into being with a delegation of its operator, changes its words and commission,
//! goes to jail and comes back. Also the one place where a validator is stored, so that ranks follow, and where shares
//! and tokens are exchanged.

use dodona_mechanism::{
    amount::{mul_div_floor, mul_div_rem},
    per_share::PerShare,
    supply::Fixed,
};
use dodona_proto::{ALLO, Address};
use dodona_store::{Read, StoreError};

use super::{
    delegate,
    error::{Operator, SlashingError, StakingError},
    reward, set, slash,
    state::{
        CURRENT, Commission, DELEGATIONS, DELEGATORS, Delegation, Description, KEYS, Key, RANK, REWARDS,
        SIGNING, SLASHES, Set, Status, TEXTS, UNRULY, VALIDATORS, Validator, consensus_address,
    },
    tell,
};
use crate::{
    accounts::{bonded_pool, distribution, ecosystem, not_bonded_pool},
    bank,
    ctx::Ctx,
    error::Failure,
    gas,
    params::Params,
    state::State,
};

/// A commission changes at most once in so many milliseconds.
const DAY: u64 = 86_400_000;
/// No sum of shares grows beyond this, so that sums of two fit.
const MOST_SHARES: u128 = u128::MAX / 4;

impl Validator {
    /// Where its tokens lie.
    pub fn pool(&self) -> Address {
        if self.status == Status::Bonded { bonded_pool() } else { not_bonded_pool() }
    }

    /// What so many of its shares are worth, rounded down; all of them are worth all its tokens.
    pub fn worth(&self, shares: u128) -> u128 {
        // Shares are at most the validator's, so the quotient is at most its tokens.
        mul_div_floor(shares, self.tokens, self.shares.max(1)).unwrap_or(0)
    }

    /// Shares that must go so that `tokens` come out, rounded up. At most what is worth `tokens` or more.
    pub fn cost(&self, tokens: u128) -> u128 {
        match mul_div_rem(tokens, self.shares, self.tokens) {
            Ok((shares, 0)) => shares,
            Ok((shares, _)) => shares + 1,
            Err(_) => 0,
        }
    }

    /// Voting power it would have now: whole ALLO.
    pub fn power(&self, params: &Params) -> u64 {
        // The total of the largest set stays below 2^62, which the engine multiplies by three.
        let most = ((1 << 62) - 1) / u64::from(params.max_validators.max(1));
        u64::try_from(self.tokens / ALLO).unwrap_or(u64::MAX).min(most)
    }

    /// Where it stands among those who may decide blocks, if it may.
    fn rank(&self) -> Option<u128> {
        (!self.jailed && self.tokens >= ALLO).then_some(u128::MAX - self.tokens)
    }

    /// Takes tokens in; gives the shares they become, rounded down. None if all it had was slashed, or if the shares
    /// would be more than can be counted.
    pub(super) fn take_in(&mut self, tokens: u128) -> Option<u128> {
        let shares = match self.shares {
            0 => tokens,
            all => mul_div_floor(tokens, all, self.tokens).ok()?,
        };
        self.shares = self.shares.checked_add(shares).filter(|all| *all <= MOST_SHARES && shares > 0)?;
        self.tokens += tokens;
        Some(shares)
    }

    /// Gives the tokens of so many shares out.
    pub(super) fn give_out(&mut self, shares: u128) -> u128 {
        let tokens = if shares == self.shares { self.tokens } else { self.worth(shares) };
        self.shares -= shares;
        self.tokens -= tokens;
        tokens
    }
}

/// The validator of an operator.
pub(super) fn load(read: &impl Read, operator: Key) -> Result<Validator, Failure> {
    Ok(VALIDATORS.get(read, &operator)?.ok_or(StakingError::NoValidator(Operator(operator)))?)
}

/// Stores a validator and its rank.
pub(super) fn save(state: &mut State, operator: Key, validator: &Validator) -> Result<(), StoreError> {
    let before = VALIDATORS.get(state, &operator)?.and_then(|v| v.rank());
    let after = validator.rank();
    if before != after {
        if let Some(rank) = before {
            RANK.delete(state, &(rank, operator));
        }
        if let Some(rank) = after {
            RANK.put(state, &(rank, operator), &());
        }
    }
    VALIDATORS.put(state, &operator, validator);
    Ok(())
}

/// What a new validator says of itself.
pub(crate) struct Founding {
    pub public_key: [u8; 32],
    pub description: Description,
    pub rate: Fixed,
    pub max_rate: Fixed,
    pub max_change: Fixed,
    pub min_self: u128,
    pub amount: u128,
}

/// `MsgCreateValidator`: joins the set when it next follows the tokens, if it has enough of them.
pub(crate) fn create(ctx: &mut Ctx, from: Address, new: Founding) -> Result<(), Failure> {
    ctx.gas.charge(gas::VALIDATOR + gas::DELEGATION, "create validator")?;
    let Founding { public_key, description, rate, max_rate, max_change, min_self, amount } = new;
    if VALIDATORS.contains(ctx.state, &from.0)? {
        return Err(StakingError::OperatorTaken.into());
    }
    let address = consensus_address(&public_key);
    if KEYS.contains(ctx.state, &address.0)? {
        return Err(StakingError::KeyTaken.into());
    }
    check_description(&description)?;
    if max_rate > Fixed::ONE {
        return Err(StakingError::Huge(max_rate).into());
    }
    if rate > max_rate {
        return Err(StakingError::AboveMax { rate, max: max_rate }.into());
    }
    if max_change > max_rate {
        return Err(StakingError::ChangeAboveMax { change: max_change, max: max_rate }.into());
    }
    let min = ctx.params.min_commission_rate;
    if rate < min {
        return Err(StakingError::BelowMin { rate, min }.into());
    }
    if min_self == 0 {
        let cause = "needs a positive integer".into();
        return Err(StakingError::Value { field: "min_self_delegation", cause }.into());
    }
    if amount < min_self {
        return Err(StakingError::SelfDelegation { has: amount, needs: min_self }.into());
    }
    delegate::require_balance(ctx, from, amount)?;
    // Nothing below can fail.
    let commission = Commission { rate, max_rate, max_change, changed_ms: ctx.time_ms };
    let mut validator = Validator {
        public_key,
        status: Status::Unbonded,
        jailed: false,
        tombstoned: false,
        tokens: 0,
        shares: 0,
        commission,
        min_self,
        left_height: 0,
        unbonded_ms: 0,
        jailed_until: 0,
        created: ctx.height,
    };
    bank::transfer(ctx.state, from, validator.pool(), amount)?;
    KEYS.put(ctx.state, &address.0, &from.0);
    TEXTS.put(ctx.state, &from.0, &description);
    let shares = delegate::bond(ctx, from, from.0, &mut validator, amount)?;
    ctx.emit(tell::created(from.0, amount));
    ctx.emit(tell::delegated(from, from.0, amount, shares));
    Ok(())
}

/// A validator of the first state.
pub(crate) struct Genesis {
    pub operator: Key,
    pub public_key: [u8; 32],
    pub tokens: u128,
    pub commission: Commission,
    pub description: Description,
}

/// Writes the validators of genesis, each with its operator's delegation, and the first set. There is at least one,
/// each with a whole ALLO.
pub(crate) fn found(state: &mut State, params: &Params, all: Vec<Genesis>) -> Result<(), Failure> {
    for Genesis { operator, public_key, tokens, commission, description } in all {
        let validator = Validator {
            public_key,
            status: Status::Unbonded,
            jailed: false,
            tombstoned: false,
            tokens,
            shares: tokens,
            commission,
            min_self: 1,
            left_height: 0,
            unbonded_ms: 0,
            jailed_until: 0,
            created: 0,
        };
        bank::create(state, validator.pool(), tokens)?;
        KEYS.put(state, &consensus_address(&public_key).0, &operator);
        TEXTS.put(state, &operator, &description);
        DELEGATIONS.put(
            state,
            &(operator, operator),
            &Delegation { shares: tokens, settled: PerShare::default() },
        );
        DELEGATORS.put(state, &(operator, operator), &());
        save(state, operator, &validator)?;
    }
    let members = set::top(state, params)?;
    set::bond(state, &members, 1)?;
    CURRENT.put(state, &Set { from: 1, members });
    Ok(())
}

/// What of a validator shall change.
pub(crate) struct Change {
    /// Each field as it shall be; none leaves it.
    pub description: [Option<String>; 5],
    pub rate: Option<Fixed>,
    pub min_self: Option<u128>,
}

/// `MsgEditValidator`.
pub(crate) fn edit(ctx: &mut Ctx, from: Address, change: Change) -> Result<(), Failure> {
    ctx.gas.charge(gas::VALIDATOR, "edit validator")?;
    let mut validator = load(ctx.state, from.0)?;
    let mut text = TEXTS.get(ctx.state, &from.0)?.unwrap_or_default();
    let fields = [
        &mut text.moniker,
        &mut text.identity,
        &mut text.website,
        &mut text.security_contact,
        &mut text.details,
    ];
    for (field, said) in fields.into_iter().zip(change.description) {
        if let Some(said) = said {
            *field = said;
        }
    }
    check_description(&text)?;
    if let Some(rate) = change.rate {
        let Commission { rate: now, max_rate, max_change, changed_ms } = validator.commission;
        let min = ctx.params.min_commission_rate;
        if ctx.time_ms < changed_ms.saturating_add(DAY) {
            return Err(StakingError::TooSoon(changed_ms.saturating_add(DAY)).into());
        }
        if rate > max_rate {
            return Err(StakingError::AboveMax { rate, max: max_rate }.into());
        }
        if rate.raw().abs_diff(now.raw()) > max_change.raw() {
            return Err(StakingError::ChangeTooMuch(max_change).into());
        }
        if rate < min {
            return Err(StakingError::BelowMin { rate, min }.into());
        }
        validator.commission = Commission { rate, changed_ms: ctx.time_ms, ..validator.commission };
    }
    if let Some(min_self) = change.min_self {
        if min_self <= validator.min_self {
            return Err(StakingError::SelfDecrease(validator.min_self).into());
        }
        let has = own(ctx.state, from.0, &validator)?;
        if has < min_self {
            return Err(StakingError::SelfDelegation { has, needs: min_self }.into());
        }
        validator.min_self = min_self;
    }
    // Nothing below can fail.
    TEXTS.put(ctx.state, &from.0, &text);
    save(ctx.state, from.0, &validator)?;
    ctx.emit(tell::edited(from.0, validator.commission.rate, validator.min_self));
    Ok(())
}

/// `MsgUnjail`: back into the ranks; the set takes it in when it next follows the tokens.
pub(crate) fn unjail(ctx: &mut Ctx, from: Address) -> Result<(), Failure> {
    ctx.gas.charge(gas::VALIDATOR, "unjail")?;
    let found = VALIDATORS.get(ctx.state, &from.0)?;
    let mut validator = found.ok_or(SlashingError::NoValidator(Operator(from.0)))?;
    if !DELEGATIONS.contains(ctx.state, &(from.0, from.0))? {
        return Err(SlashingError::NoSelfDelegation.into());
    }
    let has = own(ctx.state, from.0, &validator)?;
    if has < validator.min_self {
        return Err(SlashingError::SelfDelegation { has, needs: validator.min_self }.into());
    }
    if !validator.jailed {
        return Err(SlashingError::NotJailed.into());
    }
    if validator.tombstoned {
        return Err(SlashingError::Tombstoned.into());
    }
    if ctx.time_ms < validator.jailed_until {
        return Err(SlashingError::Jailed(validator.jailed_until).into());
    }
    // Nothing below can fail.
    validator.jailed = false;
    save(ctx.state, from.0, &validator)?;
    // Absence before counts no more: it would be jailed again for it.
    slash::forget(ctx.state, from.0, ctx.height)?;
    ctx.emit(crate::event::Event::new("unjail").with("validator", Operator(from.0)));
    Ok(())
}

/// What the operator itself has delegated, in tokens.
pub(super) fn own(read: &impl Read, operator: Key, validator: &Validator) -> Result<u128, StoreError> {
    let shares = DELEGATIONS.get(read, &(operator, operator))?.map_or(0, |d| d.shares);
    Ok(validator.worth(shares))
}

/// Marks a validator as jailed; it leaves the set with the next block. The caller saves it.
pub(super) fn jail(ctx: &mut Ctx, validator: &mut Validator) {
    if validator.jailed {
        return;
    }
    validator.jailed = true;
    if validator.status == Status::Bonded {
        UNRULY.put(ctx.state, &true);
    }
    ctx.emit(tell::jailed(consensus_address(&validator.public_key)));
}

/// Deletes a validator in which nobody has a share and that cannot be punished. What its operator has earned is paid;
/// what rounding left belongs to nobody and goes to the ecosystem.
pub(super) fn remove_if_empty(ctx: &mut Ctx, operator: Key) -> Result<(), Failure> {
    let Some(validator) = VALIDATORS.get(ctx.state, &operator)? else { return Ok(()) };
    if validator.shares > 0 || validator.status != Status::Unbonded {
        return Ok(());
    }
    let rewards = REWARDS.get(ctx.state, &operator)?.unwrap_or_default();
    let to = reward::receiver(ctx.state, operator)?;
    bank::transfer(ctx.state, distribution(), to, rewards.commission)?;
    bank::transfer(ctx.state, distribution(), ecosystem(), rewards.outstanding)?;
    // Without rank from here on.
    save(ctx.state, operator, &validator)?;
    slash::forget(ctx.state, operator, 0)?;
    for (key, _) in SLASHES.scan_prefix(ctx.state, &operator, usize::MAX)? {
        SLASHES.delete(ctx.state, &key);
    }
    SIGNING.delete(ctx.state, &operator);
    REWARDS.delete(ctx.state, &operator);
    TEXTS.delete(ctx.state, &operator);
    VALIDATORS.delete(ctx.state, &operator);
    if !validator.tombstoned {
        KEYS.delete(ctx.state, &consensus_address(&validator.public_key).0);
    }
    Ok(())
}

pub(crate) fn check_description(text: &Description) -> Result<(), StakingError> {
    let Description { moniker, identity, website, security_contact, details } = text;
    for (field, value, most) in [
        ("moniker", moniker, 70),
        ("identity", identity, 64),
        ("website", website, 140),
        ("security_contact", security_contact, 140),
        ("details", details, 280),
    ] {
        if value.len() > most {
            let cause = format!("{} bytes, at most {most} are allowed", value.len());
            return Err(StakingError::Value { field, cause });
        }
    }
    if moniker.trim().is_empty() {
        return Err(StakingError::Value { field: "moniker", cause: "a validator needs a name".into() });
    }
    Ok(())
}
