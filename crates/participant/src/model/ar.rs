//! Autoregression: the next value as a weighted sum of the last few, weights learned on the way.
//! Once on values (short and quick to forget, long and slow), once on differences, which follow a wandering level.

use super::Model;
use super::history::Path;
use super::linear::{Features, Frame, Linear, Recipe};

/// The last few values.
struct Values {
    order: usize,
}

/// The last few changes.
struct Changes {
    order: usize,
}

/// Autoregression on the last `order` values (at least 1) with discount `forget` per observation, above 0 and at
/// most 1.
pub fn ar(name: &'static str, order: usize, forget: f64) -> impl Model {
    let order = order.max(1);
    let about = "Weighted sum of the last values; the weights are learned on the way.";
    let recipe = Recipe { name, about, size: order + 1, reach: order, memory: order, forget, prior: 1.0 };
    Linear::new(recipe, Values { order })
}

/// Autoregression on the last `order` changes (at least 1) with discount `forget` per observation, above 0 and at
/// most 1.
pub fn ar_difference(name: &'static str, order: usize, forget: f64) -> impl Model {
    let order = order.max(1);
    let about = "The next change as a weighted sum of the last changes.";
    let recipe =
        Recipe { name, about, size: order, reach: order + 1, memory: order + 1, forget, prior: 10.0 };
    Linear::new(recipe, Changes { order })
}

impl Features for Values {
    fn write(&self, path: Path<'_>, frame: Frame, into: &mut Vec<f64>) {
        into.push(1.0);
        into.extend((1..=self.order).map(|lag| frame.place(path.lag(lag))));
    }
}

impl Features for Changes {
    fn write(&self, path: Path<'_>, frame: Frame, into: &mut Vec<f64>) {
        into.extend((1..=self.order).map(|lag| frame.change(path.lag(lag + 1), path.lag(lag))));
    }
}
