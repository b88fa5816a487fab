//! Nearest patterns: when did the last stretch look like this one, and what happened next?
//! Shapes are compared, not levels, so a pattern is recognised wherever it recurs.

use super::history::History;
use super::{Model, answerable, sane};
use crate::series::Point;

/// Length of a pattern, in values.
const PATTERN: usize = 8;
/// How many of the latest values are searched.
const SEARCH: usize = 1500;
/// How many similar moments have a say.
const NEIGHBOURS: usize = 10;
/// Fewest past moments to choose from.
const FEWEST: usize = 40;

/// Weighted mean of what followed the ten most similar moments. Direct: for every horizon it looks at what happened
/// that many steps later. Ready after about fifty observations (plus the horizon).
#[derive(Debug, Clone)]
pub struct Knn {
    history: History,
}

impl Default for Knn {
    fn default() -> Self {
        Self { history: History::new(SEARCH) }
    }
}

impl Model for Knn {
    fn name(&self) -> &'static str {
        "knn-patterns"
    }

    fn about(&self) -> &'static str {
        "Finds the most similar moments of the past and expects what followed them."
    }

    fn observe(&mut self, point: Point) {
        if let Some(value) = sane(point) {
            self.history.push(value);
        }
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        let past = self.history.recent(SEARCH);
        if !answerable(ahead) || past.len() < PATTERN + ahead + FEWEST {
            return None;
        }
        let now = past.len() - 1;
        let shape: [f64; PATTERN - 1] = std::array::from_fn(|back| past[now - 1 - back] - past[now]);

        // The best so far, nearest first: (distance, what followed).
        let mut best = [(f64::INFINITY, 0.0); NEIGHBOURS];
        for end in PATTERN - 1..=now - ahead {
            let here = past[end];
            let before = &past[end + 1 - PATTERN..end];
            let distance: f64 = before
                .iter()
                .rev()
                .zip(&shape)
                .map(|(value, wanted)| (value - here - wanted) * (value - here - wanted))
                .sum();
            if distance < best[NEIGHBOURS - 1].0 {
                let place = best.partition_point(|(other, _)| *other <= distance);
                best.copy_within(place..NEIGHBOURS - 1, place + 1);
                best[place] = (distance, past[end + ahead] - here);
            }
        }

        // The nearest weighs 1, one at twice its squared distance 2/3; identical ones exclude all others.
        let nearest = best[0].0;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (distance, followed) in best {
            let weight = if distance == nearest { 1.0 } else { 2.0 * nearest / (distance + nearest) };
            sum += weight * followed;
            weights += weight;
        }
        Some(past[now] + sum / weights).filter(|value| value.is_finite())
    }
}
