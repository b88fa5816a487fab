//! Seasonal naive: the same hour yesterday, or the same hour a week ago.
//! Exact on anything that repeats; blind to everything that does not.

use super::{Model, answerable, sane};
use crate::series::Point;

/// Predicts the value one season earlier. Ready after one season.
#[derive(Debug, Clone)]
pub struct SeasonalNaive {
    name: &'static str,
    about: &'static str,
    season: usize,
    /// The last season; observation i lies at i modulo the season.
    ring: Vec<f64>,
    seen: usize,
}

impl SeasonalNaive {
    /// Looks back by the shorter season, `season` steps (at least 1).
    pub fn day(season: usize) -> Self {
        Self::new("seasonal-naive-day", "The same time of day, one day ago.", season)
    }

    /// Looks back by the longer season, `season` steps (at least 1).
    pub fn week(season: usize) -> Self {
        Self::new("seasonal-naive-week", "The same time of the week, one week ago.", season)
    }

    fn new(name: &'static str, about: &'static str, season: usize) -> Self {
        Self { name, about, season: season.max(1), ring: Vec::new(), seen: 0 }
    }
}

impl Model for SeasonalNaive {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point) else { return };
        if self.ring.len() < self.season {
            self.ring.push(value);
        } else {
            self.ring[self.seen % self.season] = value;
        }
        self.seen += 1;
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        if self.ring.len() < self.season || !answerable(ahead) {
            return None;
        }
        // Beyond one season the last known season repeats.
        Some(self.ring[(self.seen + ahead - 1) % self.season])
    }
}
