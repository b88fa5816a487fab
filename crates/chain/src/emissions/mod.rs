//! The prediction market in the words of published clients (`emissions.v10`): requests are turned into our own
//! messages and enter the same handlers; answers are views of the same state. No rule lives here.

mod query;
mod tx;

pub use query::{OWN_SHAPES, answer};
pub(crate) use query::{params_view, topic_view};
pub(crate) use tx::*;

use dodona_mechanism::{Real, real::func};

/// A message's type URL as the chain knows it: those of the release before have the shapes of the current one, only
/// fewer fields.
pub fn current_url(type_url: &str) -> std::borrow::Cow<'_, str> {
    match type_url.strip_prefix("/emissions.v9.") {
        Some(name) => format!("/emissions.v10.{name}").into(),
        None => type_url.into(),
    }
}

/// A loss as those clients write it: its decimal logarithm, unless losses may be negative.
fn from_logarithm(text: &str) -> Option<String> {
    let logarithm: Real = text.parse().ok()?;
    let loss = Real::new(func::pow(10.0, logarithm.get())).ok()?;
    Some(loss.to_string())
}
