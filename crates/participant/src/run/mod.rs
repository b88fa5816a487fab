//! What keeps a participant at work for weeks: a ledger of what was submitted, checks before anything is paid, and the
//! lane that brings one model, forecaster or source of truth to one topic. One process runs many lanes over one wallet, one after the other, so that
//! no two transactions ever claim the same sequence number.

mod lane;
mod ledger;
mod preflight;
mod voice;

pub use lane::{Fate, Lane, RunError, Settings, Totals};
pub use ledger::{Entry, Ledger, LedgerError, Part, What};
pub use preflight::{Doubt, Preflight};
pub use voice::{BlockTime, Published, Questions};
