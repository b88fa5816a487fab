//! The past as the learning models see it: bounded in length, with wild jumps cut to a plausible size
//! so that one broken measurement cannot ruin what was learned; and the walk that predicts several steps ahead.

use super::answerable;

/// A jump counts up to so many times the usual change of one step.
const JUMP: f64 = 30.0;
/// Observations before jumps are judged at all.
const WARM_UP: usize = 32;
/// Weight of the newest change in the usual one.
const RATE: f64 = 0.02;

/// Cuts jumps that are wildly larger than usual. A lasting jump is followed nevertheless: what is usual grows with
/// every large change, so even a new level thousands of times higher is reached within a few dozen steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Tamer {
    last: f64,
    seen: usize,
    recent_change: f64,
    total_change: f64,
}

impl Tamer {
    /// The next value as it is to be learned from.
    pub(super) fn tame(&mut self, value: f64) -> f64 {
        let mut tame = value;
        if self.seen > 0 {
            let usual = self.usual_change();
            if self.seen >= WARM_UP && usual > 0.0 {
                tame = value.clamp(self.last - JUMP * usual, self.last + JUMP * usual);
            }
            let change = (tame - self.last).abs();
            self.recent_change += RATE.max(1.0 / self.seen as f64) * (change - self.recent_change);
            self.total_change += change;
        }
        self.last = tame;
        self.seen += 1;
        tame
    }

    /// Usual size of a change: the larger of a recent mean and a twentieth of the mean since the beginning, which
    /// keeps a sensor that was stuck for long from making every later change look wild.
    fn usual_change(&self) -> f64 {
        self.recent_change.max(0.05 * self.total_change / self.seen as f64)
    }
}

/// The last values, tamed, oldest first.
#[derive(Debug, Clone)]
pub(super) struct History {
    values: Vec<f64>,
    keep: usize,
    tamer: Tamer,
}

impl History {
    /// Keeps at least `keep` values (at most twice as many).
    pub(super) fn new(keep: usize) -> Self {
        Self { values: Vec::new(), keep: keep.max(WARM_UP), tamer: Tamer::default() }
    }

    /// Takes the next value and returns it as it is remembered.
    pub(super) fn push(&mut self, value: f64) -> f64 {
        let tame = self.tamer.tame(value);
        if self.values.len() == 2 * self.keep {
            self.values.drain(..self.keep);
        }
        self.values.push(tame);
        tame
    }

    /// The value `steps` back; 1 is the last one.
    pub(super) fn back(&self, steps: usize) -> Option<f64> {
        self.values.len().checked_sub(steps).and_then(|at| self.values.get(at)).copied()
    }

    /// The last `count` values or as many as there are, oldest first.
    pub(super) fn recent(&self, count: usize) -> &[f64] {
        &self.values[self.values.len().saturating_sub(count)..]
    }

    /// Number of values ever taken; also the index of the next one.
    pub(super) fn seen(&self) -> usize {
        self.tamer.seen
    }

    /// Lowest and highest value of the last `window`, widened by their distance on both sides: a forecast that leaves
    /// this band is a model running away.
    fn band(&self, window: usize) -> (f64, f64) {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in self.recent(window) {
            low = low.min(*value);
            high = high.max(*value);
        }
        (low - (high - low), high + (high - low))
    }
}

/// The past, continued by the predictions made so far.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    history: &'a History,
    future: &'a [f64],
}

impl<'a> Path<'a> {
    /// The path that ends with the last observation.
    pub(super) fn now(history: &'a History) -> Self {
        Self { history, future: &[] }
    }

    /// The value `steps` before the one to be predicted (1 = its neighbour), if it is remembered.
    pub(super) fn lag(&self, steps: usize) -> Option<f64> {
        match self.future.len().checked_sub(steps) {
            Some(at) => self.future.get(at).copied(),
            None => self.history.back(steps - self.future.len()),
        }
    }

    /// Index of the value to be predicted, counted from the first observation.
    pub(super) fn index(&self) -> usize {
        self.history.seen() + self.future.len()
    }
}

/// Predicts `ahead` steps by predicting one at a time and treating each as if it had happened.
///
/// Every step is held within the band of the last `window` values; `None` if `next` gives up or leaves the numbers.
pub(super) fn walk(
    history: &History,
    window: usize,
    ahead: usize,
    mut next: impl FnMut(Path<'_>) -> Option<f64>,
) -> Option<f64> {
    if !answerable(ahead) || history.back(1).is_none() {
        return None;
    }
    let (low, high) = history.band(window);
    let mut future = Vec::with_capacity(ahead);
    for _ in 0..ahead {
        let value = next(Path { history, future: &future })?;
        if !value.is_finite() {
            return None;
        }
        future.push(value.clamp(low, high));
    }
    future.last().copied()
}
