//! Theta-like: the mean of two views of the past, a straight trend line and a smoothed level that reacts doubly.
//! Worked out, that mean is the smoothed level plus half of the line's drift.

use super::history::Tamer;
use super::{Model, answerable, sane};
use crate::series::Point;

const LEVEL_RATE: f64 = 0.8;
/// Discount per step of the line's evidence: about the last fifty observations count.
const MEMORY: f64 = 0.98;
/// Observations before the line is trusted.
const WARM_UP: usize = 8;

/// Simple exponential smoothing with half the drift of an exponentially weighted regression line. Ready after eight
/// observations.
#[derive(Debug, Clone, Default)]
pub struct Theta {
    level: f64,
    /// Discounted sums over the past of 1, t, t², x, t·x, where t is 0 now and −1 one step ago.
    n: f64,
    t: f64,
    tt: f64,
    x: f64,
    tx: f64,
    seen: usize,
    tamer: Tamer,
}

impl Model for Theta {
    fn name(&self) -> &'static str {
        "theta"
    }

    fn about(&self) -> &'static str {
        "A smoothed level that drifts half as fast as the recent trend line."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point).map(|value| self.tamer.tame(value)) else { return };
        self.level = if self.seen == 0 { value } else { self.level + LEVEL_RATE * (value - self.level) };
        self.seen = self.seen.saturating_add(1);

        // Everything known becomes one step older: t becomes t − 1 inside every sum.
        self.tt = MEMORY * (self.tt - 2.0 * self.t + self.n);
        self.tx = MEMORY * (self.tx - self.x);
        self.t = MEMORY * (self.t - self.n);
        self.n = MEMORY * self.n + 1.0;
        self.x = MEMORY * self.x + value;
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        if self.seen < WARM_UP || !answerable(ahead) {
            return None;
        }
        let slope = (self.n * self.tx - self.t * self.x) / (self.n * self.tt - self.t * self.t);
        // A smoothed level lags a ramp by 1/rate steps, one of which the next observation closes.
        let steps = ahead as f64 - 1.0 + 1.0 / LEVEL_RATE;
        Some(self.level + 0.5 * slope * steps).filter(|value| value.is_finite())
    }
}
