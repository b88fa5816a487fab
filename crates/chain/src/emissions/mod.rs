//! The prediction market in the words of published clients (`emissions.v10`): requests are turned into our own
//! messages and enter the same handlers; answers are views of the same state. No rule lives here.

mod query;
mod tx;

pub use query::answer;
pub(crate) use tx::*;

use dodona_mechanism::{Real, real::func};

/// A loss as those clients write it: its decimal logarithm, unless losses may be negative.
fn from_logarithm(text: &str) -> Option<String> {
    let logarithm: Real = text.parse().ok()?;
    let loss = Real::new(func::pow(10.0, logarithm.get())).ok()?;
    Some(loss.to_string())
}
