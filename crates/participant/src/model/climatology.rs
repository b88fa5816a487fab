//! Climatology: what is usual at this time. Knows nothing of the present, so it wins far ahead
//! and whenever the present is noise.

use super::history::Tamer;
use super::{Model, answerable, sane};
use crate::series::Point;

/// Lowest rate of forgetting: at a phase met often, about the last ten visits count.
const RATE: f64 = 0.1;
/// So many visits to a time of the week weigh as much as the mean of that time of day.
const PRIOR: f64 = 2.0;

/// Mean of the time of day, moved towards the mean of the time of the week as that gathers visits. Ready after one
/// day.
#[derive(Debug, Clone)]
pub struct Climatology {
    day: Vec<Usual>,
    week: Vec<Usual>,
    seen: usize,
    tamer: Tamer,
}

/// What is usual at one phase, and how often it was met.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    mean: f64,
    visits: f64,
}

impl Usual {
    fn learn(&mut self, value: f64) {
        self.visits += 1.0;
        self.mean += (value - self.mean) * (1.0 / self.visits).max(RATE);
    }
}

impl Climatology {
    /// With seasons of so many steps (at least 1 each).
    pub fn new(day: usize, week: usize) -> Self {
        let table = |season: usize| vec![Usual::default(); season.max(1)];
        Self { day: table(day), week: table(week), seen: 0, tamer: Tamer::default() }
    }
}

impl Model for Climatology {
    fn name(&self) -> &'static str {
        "climatology"
    }

    fn about(&self) -> &'static str {
        "What is usual at this time of day and week."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point).map(|value| self.tamer.tame(value)) else { return };
        let (day, week) = (self.seen % self.day.len(), self.seen % self.week.len());
        self.day[day].learn(value);
        self.week[week].learn(value);
        self.seen += 1;
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        if self.seen < self.day.len() || !answerable(ahead) {
            return None;
        }
        let at = self.seen + ahead - 1;
        let (day, week) = (self.day[at % self.day.len()], self.week[at % self.week.len()]);
        Some(day.mean + (week.mean - day.mean) * week.visits / (week.visits + PRIOR))
    }
}
