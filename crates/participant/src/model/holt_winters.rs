//! Holt-Winters with an additive daily season: a slowly moving level, a profile of the day, and the habit
//! of errors to persist for a while (the carry), which matters more than a trend on load and weather.

use super::history::Tamer;
use super::{Model, answerable, power, sane};
use crate::series::Point;

const LEVEL_RATE: f64 = 0.05;
const SEASON_RATE: f64 = 0.2;
/// How much of an error is still there one step later.
const CARRY: f64 = 0.9;

/// Level + daily profile + fading last error. Ready after one season.
#[derive(Debug, Clone)]
pub struct HoltWinters {
    level: f64,
    /// Offset from the level by phase; raw values during the first season.
    profile: Vec<f64>,
    /// How far the last observation lay from level + profile.
    error: f64,
    season: usize,
    seen: usize,
    tamer: Tamer,
}

impl HoltWinters {
    /// With a season of so many steps (at least 1).
    pub fn new(season: usize) -> Self {
        Self {
            level: 0.0,
            profile: Vec::new(),
            error: 0.0,
            season: season.max(1),
            seen: 0,
            tamer: Tamer::default(),
        }
    }
}

impl Model for HoltWinters {
    fn name(&self) -> &'static str {
        "holt-winters"
    }

    fn about(&self) -> &'static str {
        "Slow level plus a profile of the day; the last error fades away."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point).map(|value| self.tamer.tame(value)) else { return };
        let phase = self.seen % self.season;
        self.seen += 1;
        if self.seen <= self.season {
            self.profile.push(value);
            if self.seen == self.season {
                self.level = self.profile.iter().sum::<f64>() / self.season as f64;
                self.profile.iter_mut().for_each(|offset| *offset -= self.level);
            }
            return;
        }
        let error = value - self.level - self.profile[phase];
        let surprise = error - CARRY * self.error;
        self.level += LEVEL_RATE * surprise;
        self.profile[phase] += SEASON_RATE * surprise;
        self.error = value - self.level - self.profile[phase];
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        if self.seen < self.season || !answerable(ahead) {
            return None;
        }
        let phase = (self.seen + ahead - 1) % self.season;
        Some(self.level + self.profile[phase] + power(CARRY, ahead) * self.error)
    }
}
