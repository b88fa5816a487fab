//! Exponential moving average: the level, with the noise smoothed away.
//! Fast forgets half of the past at every step, slow a tenth.

use super::{Model, answerable, sane};
use crate::series::Point;

/// Predicts a moving average with exponentially falling weights, for every horizon. Ready after one observation.
#[derive(Debug, Clone)]
pub struct Ema {
    name: &'static str,
    about: &'static str,
    /// Weight of the newest value, between 0 and 1.
    rate: f64,
    level: Option<f64>,
}

impl Ema {
    /// Rate 0.5.
    pub fn fast() -> Self {
        Self {
            name: "ema-fast",
            about: "Moving average that forgets half of the past each step.",
            rate: 0.5,
            level: None,
        }
    }

    /// Rate 0.1.
    pub fn slow() -> Self {
        Self {
            name: "ema-slow",
            about: "Moving average that forgets a tenth of the past each step.",
            rate: 0.1,
            level: None,
        }
    }
}

impl Model for Ema {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point) else { return };
        let level = self.level.unwrap_or(value);
        self.level = Some(level + self.rate * (value - level));
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        self.level.filter(|_| answerable(ahead))
    }
}
