//! What a model is tried on: what was known when each question was put, and what then happened.

use std::collections::BTreeMap;

use dodona_participant::series::{Point, PredictionMatrix, Series};
use dodona_proto::topics::QueryEpochResponse;

use crate::world;

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number.
    pub epoch: u64,
    /// Its name on a chain; 0 outside of one.
    pub nonce: u64,
    /// Points known when it is put.
    pub known: usize,
    /// Steps from the last of these to what is asked for.
    pub ahead: usize,
    /// When what is asked for happens.
    pub time: i64,
    /// What happened.
    pub truth: f64,
}

/// Questions in order, over one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// Topic on a chain; 0 outside of one.
    pub topic: u64,
    /// What is asked for.
    pub target: String,
    /// In which unit.
    pub unit: String,
    /// All that was ever known, oldest first.
    pub points: Vec<Point>,
    /// The questions.
    pub rows: Vec<Row>,
}

/// Why there is nothing to try a model on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// Too short.
    #[error("{rows} rows are too few for horizon {horizon} after a warm-up of {warm_up}")]
    TooShort {
        /// Rows there are.
        rows: usize,
        /// Asked for.
        horizon: usize,
        /// Needed before.
        warm_up: usize,
    },
    /// Nothing was scored.
    #[error(
        "topic {0} has {1} scored epochs with a number for a truth; at least {2} are needed: come back later"
    )]
    TooYoung(u64, usize, usize),
}

/// Fewest questions that say anything.
const FEWEST: usize = 20;

impl Ground {
    /// A series: what is asked for lies `horizon` rows after the newest known one.
    ///
    /// # Errors
    /// [`GroundError::TooShort`].
    pub fn of_series(series: &Series, horizon: usize, last: Option<usize>) -> Result<Self, GroundError> {
        let timeline = world::timeline(series, horizon);
        let epochs = timeline.epochs(series.points.len());
        let first = last.map_or(0, |last| epochs.saturating_sub(last as u64));
        let rows: Vec<Row> = (first..epochs)
            .map(|epoch| {
                let target = series.points[timeline.target(epoch)];
                Row {
                    epoch: epoch - first,
                    nonce: 0,
                    known: timeline.known(epoch) + 1,
                    ahead: horizon,
                    time: target.time,
                    truth: target.value,
                }
            })
            .collect();
        if rows.len() < FEWEST {
            let (rows, warm_up) = (series.points.len(), timeline.first_row);
            return Err(GroundError::TooShort { rows, horizon, warm_up });
        }
        let (target, unit) = (series.name.clone(), series.unit.clone());
        Ok(Self { topic: 0, target, unit, points: series.points.clone(), rows })
    }

    /// Predictions that were made elsewhere: the history is their truths.
    #[must_use]
    pub fn of_matrix(name: &str, matrix: &PredictionMatrix, horizon: usize) -> Self {
        let point = |row: usize| Point { time: matrix.times[row], value: matrix.truth[row] };
        let points: Vec<Point> = (0..matrix.rows()).map(point).collect();
        let row = |(at, point): (usize, &Point)| Row {
            epoch: at as u64,
            nonce: 0,
            known: (at + 1).saturating_sub(horizon),
            ahead: horizon,
            time: point.time,
            truth: point.value,
        };
        let rows = points.iter().enumerate().map(row).collect();
        Self { topic: 0, target: name.to_string(), unit: String::new(), points, rows }
    }

    /// The newest scored epochs of a topic, with what its members said. Epochs come in order and without gaps.
    ///
    /// # Errors
    /// [`GroundError::TooYoung`].
    #[allow(clippy::type_complexity)] // the members with their answers, here only
    pub fn of_epochs(
        topic: u64,
        target: String,
        unit: String,
        epochs: &[QueryEpochResponse],
        last: usize,
    ) -> Result<(Self, Vec<(String, Vec<Option<f64>>)>), GroundError> {
        // A worker learns an epoch's end in the block that ends it; an epoch without a truth keeps its step.
        let ended = |epoch: &QueryEpochResponse| match epoch.state.as_str() {
            "scored" => Some(epoch.scored_at),
            "void" => Some(epoch.truth_last),
            _ => None,
        };
        let (mut points, mut ends) = (Vec::new(), Vec::new());
        let mut stand_in = None;
        for epoch in epochs {
            let Some(end) = ended(epoch) else { break };
            if let Some(value) = epoch.truth.or(stand_in) {
                stand_in = Some(value);
                points.push(Point { time: i64::try_from(epoch.epoch).unwrap_or(i64::MAX), value });
                ends.push((epoch.epoch, end));
            }
        }
        let scored: Vec<&QueryEpochResponse> =
            epochs.iter().filter(|epoch| epoch.state == "scored" && epoch.truth.is_some()).collect();
        let scored = &scored[scored.len().saturating_sub(last)..];
        let mut rows = Vec::with_capacity(scored.len());
        let mut kept = Vec::with_capacity(scored.len());
        for epoch in scored {
            // The epoch is asked at the end of block `nonce`.
            let known =
                ends.iter().take_while(|(number, end)| *number < epoch.epoch && *end <= epoch.nonce).count();
            let (Some((newest, _)), Some(truth)) = (known.checked_sub(1).map(|at| ends[at]), epoch.truth)
            else {
                continue;
            };
            let ahead = usize::try_from(epoch.epoch - newest).unwrap_or(usize::MAX);
            let time = i64::try_from(epoch.epoch).unwrap_or(i64::MAX);
            rows.push(Row { epoch: epoch.epoch, nonce: epoch.nonce, known, ahead, time, truth });
            kept.push(*epoch);
        }
        if rows.len() < FEWEST {
            return Err(GroundError::TooYoung(topic, rows.len(), FEWEST));
        }
        let mut members: BTreeMap<&str, (String, Vec<Option<f64>>)> = BTreeMap::new();
        for (at, epoch) in kept.iter().enumerate() {
            for part in epoch.parts.iter().filter(|part| !part.forecaster) {
                let name = if part.name.is_empty() { &part.address } else { &part.name };
                let fresh = || (name.clone(), vec![None; rows.len()]);
                members.entry(&part.address).or_insert_with(fresh).1[at] = Some(part.value);
            }
        }
        Ok((Self { topic, target, unit, points, rows }, members.into_values().collect()))
    }

    /// The newest value known when a question is put.
    #[must_use]
    pub fn last_known(&self, row: &Row) -> Option<f64> {
        self.points.get(row.known.checked_sub(1)?).map(|point| point.value)
    }

    /// Steps from question to answer, as they mostly are.
    #[must_use]
    pub fn horizon(&self) -> usize {
        let mut all: Vec<usize> = self.rows.iter().map(|row| row.ahead).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(1).max(1)
    }
}
