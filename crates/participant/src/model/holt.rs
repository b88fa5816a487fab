//! Holt's method with a damped trend: follow the slope, but trust it less the further it leads.
//! Level and slope are smoothed separately; the slope shrinks by a twentieth per step ahead.

use super::{Model, answerable, power, sane};
use crate::series::Point;

const LEVEL_RATE: f64 = 0.8;
const TREND_RATE: f64 = 0.3;
const DAMPING: f64 = 0.95;

/// Level plus damped slope. Ready after two observations.
#[derive(Debug, Clone, Default)]
pub struct Holt {
    level: f64,
    trend: f64,
    seen: usize,
}

impl Model for Holt {
    fn name(&self) -> &'static str {
        "holt-damped"
    }

    fn about(&self) -> &'static str {
        "Level plus a slope that fades with distance."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point) else { return };
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            self.level = value;
            return;
        }
        let slope = DAMPING * self.trend;
        let before = self.level;
        self.level += slope + LEVEL_RATE * (value - before - slope);
        self.trend = slope + TREND_RATE * (self.level - before - slope);
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        if self.seen < 2 || !answerable(ahead) {
            return None;
        }
        // DAMPING + DAMPING² + … + DAMPING^ahead.
        let reach = DAMPING * (1.0 - power(DAMPING, ahead)) / (1.0 - DAMPING);
        Some(self.level + reach * self.trend)
    }
}
