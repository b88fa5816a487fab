//! Staking: who decides blocks, with whose tokens, what they earn and what they lose. Wallets know these rules from
//! chains of the Cosmos family; where ours differ (sets that change by the epoch, amounts exact to the unit, nothing
//! burnt) the file says so.

pub mod delegate;
pub mod error;
pub(crate) mod msg;
pub mod redelegate;
pub mod reward;
pub mod set;
pub mod slash;
pub mod state;
pub(crate) mod tell;
pub mod unbond;
pub mod validator;
pub mod view;

use crate::{ctx::Ctx, error::Failure, validators::Validator};

/// Begin of block: old punishments go on, and who was missed is counted.
pub(crate) fn begin(ctx: &mut Ctx, signed: Option<&[[u8; 32]]>) -> Result<(), Failure> {
    slash::go_on(ctx)?;
    match signed {
        Some(signed) => slash::missed(ctx, signed),
        None => Ok(()),
    }
}

/// End of block: waits that are over end, the block's income is divided, and the set of the next block is known.
pub(crate) fn end(ctx: &mut Ctx, signed: Option<&[[u8; 32]]>) -> Result<Vec<Validator>, Failure> {
    // What has left before the income is divided has no part in it.
    unbond::mature(ctx)?;
    // The income is divided over the set that decided this block, before the set may change.
    reward::divide(ctx, signed)?;
    set::end(ctx)
}
