//! Seasonal difference: yesterday's value at this hour, shifted by how much today differs from yesterday so far.
//! How fast that difference fades is learned.

use super::history::Tamer;
use super::{Model, answerable, power, sane};
use crate::series::Point;

/// How slowly old evidence about the fading is forgotten.
const MEMORY: f64 = 0.995;

/// x(t+h−m) + ρ^h · (x(t) − x(t−m)), with ρ between 0 and 1 by least squares. Ready after one season and one step.
#[derive(Debug, Clone)]
pub struct SeasonalDifference {
    season: usize,
    ring: Vec<f64>,
    seen: usize,
    /// Today minus yesterday, at the last observation.
    difference: Option<f64>,
    /// Discounted sums of d(t)·d(t−1) and d(t−1)²; ρ is their quotient.
    product: f64,
    square: f64,
    tamer: Tamer,
}

impl SeasonalDifference {
    /// With a season of so many steps (at least 1).
    pub fn new(season: usize) -> Self {
        let season = season.max(1);
        Self {
            season,
            ring: Vec::new(),
            seen: 0,
            difference: None,
            product: 0.0,
            square: 0.0,
            tamer: Tamer::default(),
        }
    }
}

impl Model for SeasonalDifference {
    fn name(&self) -> &'static str {
        "seasonal-difference"
    }

    fn about(&self) -> &'static str {
        "Yesterday at this hour, shifted by how today differs from yesterday."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point).map(|value| self.tamer.tame(value)) else { return };
        let at = self.seen % self.season;
        self.seen += 1;
        if self.ring.len() < self.season {
            self.ring.push(value);
            return;
        }
        let difference = value - self.ring[at];
        self.ring[at] = value;
        if let Some(before) = self.difference {
            self.product = MEMORY * self.product + difference * before;
            self.square = MEMORY * self.square + before * before;
        }
        self.difference = Some(difference);
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        let difference = self.difference.filter(|_| answerable(ahead))?;
        let fading = if self.square > 0.0 { (self.product / self.square).clamp(0.0, 1.0) } else { 0.0 };
        let yesterday = self.ring[(self.seen + ahead - 1) % self.season];
        Some(yesterday + power(fading, ahead) * difference)
    }
}
