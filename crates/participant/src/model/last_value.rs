//! Last value: tomorrow is like today. The yardstick that every other model has to beat, and on efficient
//! prices hardly ever does.

use super::{Model, answerable, sane};
use crate::series::Point;

/// Predicts the last observed value for every horizon. Ready after one observation.
#[derive(Debug, Clone, Default)]
pub struct LastValue {
    last: Option<f64>,
}

impl Model for LastValue {
    fn name(&self) -> &'static str {
        "last-value"
    }

    fn about(&self) -> &'static str {
        "The next value is the last one seen."
    }

    fn observe(&mut self, point: Point) {
        self.last = sane(point).or(self.last);
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        self.last.filter(|_| answerable(ahead))
    }
}
