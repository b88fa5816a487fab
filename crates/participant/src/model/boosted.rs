//! Boosted trees on recent changes, yesterday's and last week's change at this time, and the calendar.
//! Refitted now and then on a bounded window; the one model here that finds thresholds and interactions.

use super::history::{History, Path, walk};
use super::tree::Forest;
use super::{Model, sane};
use crate::series::Point;

/// Observations between two fits.
const REFIT: usize = 200;
/// Rows of the first fit.
const FIRST: usize = 128;
/// Rows of every fit, at most: the latest.
const WINDOW: usize = 1200;
const FEATURES: usize = 10;

/// Predicts the change to the next value; several steps ahead it walks, one step after the other. Ready after one
/// day and 129 observations.
#[derive(Debug, Clone)]
pub struct Boosted {
    day: usize,
    week: usize,
    history: History,
    rows: Vec<[f64; FEATURES]>,
    changes: Vec<f64>,
    forest: Option<Forest<FEATURES>>,
    lessons: usize,
}

impl Boosted {
    /// With seasons of so many steps (at least 1 each).
    pub fn new(day: usize, week: usize) -> Self {
        let (day, week) = (day.max(1), week.max(1));
        let history = History::new(week.max(day).max(64) + 2);
        Self { day, week, history, rows: Vec::new(), changes: Vec::new(), forest: None, lessons: 0 }
    }
}

/// What the trees may ask about the value that follows on `path`.
fn features(path: Path<'_>, day: usize, week: usize) -> [f64; FEATURES] {
    let change =
        |from: usize, to: usize| path.lag(from).zip(path.lag(to)).map_or(0.0, |(from, to)| to - from);
    [
        change(2, 1),
        change(3, 1),
        change(5, 1),
        change(day + 1, day),
        change(week + 1, week),
        change(day + 1, 1),
        change(week + 1, 1),
        path.lag(1).unwrap_or(0.0),
        (path.index() % day) as f64,
        (path.index() % week) as f64,
    ]
}

impl Model for Boosted {
    fn name(&self) -> &'static str {
        "boosted-trees"
    }

    fn about(&self) -> &'static str {
        "Sixty small decision trees on recent changes and the calendar, refitted now and then."
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point) else { return };
        if self.history.seen() <= self.day {
            self.history.push(value);
            return;
        }
        let row = features(Path::now(&self.history), self.day, self.week);
        let last = self.history.back(1).unwrap_or(value);
        let tame = self.history.push(value);
        if self.rows.len() == 2 * WINDOW {
            self.rows.drain(..WINDOW);
            self.changes.drain(..WINDOW);
        }
        self.rows.push(row);
        self.changes.push(tame - last);
        self.lessons += 1;

        if self.lessons == FIRST || self.lessons.is_multiple_of(REFIT) {
            let from = self.rows.len().saturating_sub(WINDOW);
            self.forest = Some(Forest::grow(&self.rows[from..], &self.changes[from..]));
        }
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        let forest = self.forest.as_ref()?;
        let (day, week) = (self.day, self.week);
        walk(&self.history, week.clamp(64, 512), ahead, |path| {
            Some(path.lag(1)? + forest.predict(&features(path, day, week)))
        })
    }
}
