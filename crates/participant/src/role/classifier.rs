//! A worker of a three-class topic: turns a model's number into the chances that the series goes down, stays, or goes
//! up, by how wrong the model was so far.

use std::collections::VecDeque;

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    topics::{LabelValue, MsgSubmitPayload, QueryWindowsResponse},
    tx::pack,
    url,
};

use super::{Seat, Timeline, Turn, gas};
use crate::{model::Model, series::Series};

/// How fast a classifier's idea of its own error follows the newest one.
const ERROR_RATE: f64 = 0.05;
/// Mean absolute value of a logistic error per unit of its scale: 2 ln 2.
const MEAN_PER_SCALE: f64 = 1.386_294_361_119_890_6;
/// Chances are submitted in millionths, so that their sum is exactly one.
const PARTS: f64 = 1e6;

/// What counts as down, flat and up: a change beyond this size, either way.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Classes {
    /// In the unit of the series.
    pub threshold: f64,
}

impl Classes {
    /// The labels, sorted.
    pub const LABELS: [&'static str; 3] = ["down", "flat", "up"];

    /// Thirds of the changes before the first question: nobody knows more when the topic is made.
    pub fn of(series: &Series, timeline: Timeline) -> Self {
        let known = &series.points[..series.points.len().min(timeline.first_row + 1)];
        let mut sizes: Vec<f64> = known
            .windows(timeline.horizon + 1)
            .map(|w| (w[timeline.horizon].value - w[0].value).abs())
            .collect();
        sizes.sort_by(f64::total_cmp);
        Self { threshold: sizes.get(sizes.len() / 3).copied().unwrap_or(0.0) }
    }

    /// What a change is.
    pub fn class(&self, change: f64) -> &'static str {
        match change {
            _ if change > self.threshold => "up",
            _ if change < -self.threshold => "down",
            _ => "flat",
        }
    }

    /// Chances of down, flat and up for a predicted change whose error is logistic with this mean size.
    fn chances(&self, change: f64, error: f64) -> [f64; 3] {
        let scale = (error / MEAN_PER_SCALE).max(1e-9 * self.threshold.abs()).max(1e-300);
        let beyond = |distance: f64| 1.0 / (1.0 + libm::exp(-(distance / scale).clamp(-500.0, 500.0)));
        let up = beyond(change - self.threshold);
        let down = beyond(-self.threshold - change);
        [down, (1.0 - up - down).max(0.0), up]
    }
}

/// Three chances as a payload's values: millionths that sum to one.
fn labelled(chances: [f64; 3]) -> Vec<LabelValue> {
    let [down, _, up] = chances.map(|chance| (chance * PARTS).round());
    let flat = (PARTS - down - up).max(0.0);
    let values = [down, flat, PARTS - down - flat];
    let pair =
        |(label, parts): (&str, f64)| LabelValue { label: label.into(), value: (parts / PARTS).to_string() };
    Classes::LABELS.into_iter().zip(values).map(pair).collect()
}

/// Feeds a model with what is known and submits chances.
pub struct ClassifierRole {
    /// Account, topic, name.
    pub seat: Seat,
    model: Box<dyn Model>,
    timeline: Timeline,
    classes: Classes,
    observed: usize,
    /// Predictions whose row is not known yet: the row, and what was predicted.
    waiting: VecDeque<(usize, f64)>,
    error: Option<f64>,
}

impl ClassifierRole {
    /// A classifier that has observed nothing yet.
    pub fn new(seat: Seat, model: Box<dyn Model>, timeline: Timeline, classes: Classes) -> Self {
        Self { seat, model, timeline, classes, observed: 0, waiting: VecDeque::new(), error: None }
    }

    /// Submits to every open window of those `seen`.
    pub fn act<T: Transport>(
        &mut self,
        client: &Client<T>,
        seen: &QueryWindowsResponse,
        series: &Series,
    ) -> Result<Turn, ClientError> {
        let mut turn = Turn::default();
        for window in self.seat.open_for_workers(seen) {
            let Some(chances) = self.predict(series, window.epoch) else {
                self.seat.skip(window.epoch, &mut turn);
                continue;
            };
            let message = MsgSubmitPayload {
                sender: self.seat.address().to_string(),
                topic_id: self.seat.topic,
                nonce: window.nonce,
                inference: String::new(),
                forecast: Vec::new(),
                values: labelled(chances),
            };
            self.seat.say(client, window.epoch, pack(url::SUBMIT, &message), gas::SUBMIT, &mut turn)?;
        }
        Ok(turn)
    }

    /// Chances for an epoch, from the rows known when it is asked and no others.
    fn predict(&mut self, series: &Series, epoch: u64) -> Option<[f64; 3]> {
        let known = self.timeline.known(epoch);
        for (row, point) in series.points.get(..=known)?.iter().enumerate().skip(self.observed) {
            while let Some((target, predicted)) = self.waiting.front().copied() {
                if target > row {
                    break;
                }
                let error = (point.value - predicted).abs();
                self.error = Some(self.error.map_or(error, |mean| mean + ERROR_RATE * (error - mean)));
                self.waiting.pop_front();
            }
            self.model.observe(*point);
            // Every row teaches how wrong the model is, asked or not: after a restart it knows what it knew before.
            if let Some(predicted) = self.model.predict(self.timeline.horizon) {
                self.waiting.push_back((row + self.timeline.horizon, predicted));
            }
        }
        self.observed = known + 1;
        let change = self.model.predict(self.timeline.horizon)? - series.points[known].value;
        // Without a single error of its own it is as unsure as the classes are wide.
        Some(self.classes.chances(change, self.error.unwrap_or(self.classes.threshold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_sum_to_one_and_follow_the_prediction() {
        let classes = Classes { threshold: 1.0 };
        for change in [-1e9, -3.0, -1.0, 0.0, 0.5, 2.0, 1e9] {
            for error in [0.0, 1e-3, 1.0, 1e6] {
                let values: Vec<f64> = labelled(classes.chances(change, error))
                    .iter()
                    .map(|l| l.value.parse().unwrap())
                    .collect();
                assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{values:?}");
                assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{values:?}");
            }
        }
        let [down, flat, up] = classes.chances(3.0, 0.5);
        assert!(up > 0.9 && flat > down);
        assert_eq!((classes.class(1.5), classes.class(-1.5), classes.class(1.0)), ("up", "down", "flat"));
    }
}
