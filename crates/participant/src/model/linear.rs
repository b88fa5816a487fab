//! What the linear models share: features of the past go in, the change to the next value comes out,
//! and the weights are learned by recursive least squares. Each model is only a choice of features.

use super::history::{History, Path, walk};
use super::rls::Rls;
use super::{Model, sane};
use crate::series::Point;

/// Observations from which centre and scale are taken.
const WARM_UP: usize = 32;
/// How often centre and scale are checked, in observations.
const CHECK: usize = 256;

/// Which numbers a linear model looks at. The first guess of every model is "no change".
pub(super) trait Features: Send {
    /// Writes the features of the value that follows on `path`; always equally many.
    fn write(&self, path: Path<'_>, frame: Frame, into: &mut Vec<f64>);
}

/// Centre and scale in which a model computes, so that its prior means the same for every unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    centre: f64,
    scale: f64,
}

impl Frame {
    /// Mean and standard deviation of some values; a scale that cannot be 0.
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let centre = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>() / n;
        let scale = variance.sqrt().max(1e-6 * centre.abs());
        Self { centre, scale: if scale > 0.0 { scale } else { 1.0 } }
    }

    /// A value in this frame; 0, the centre, for one that is not remembered.
    pub(super) fn place(&self, value: Option<f64>) -> f64 {
        value.map_or(0.0, |value| (value - self.centre) / self.scale)
    }

    /// The change from `from` to `to` in this frame; 0 if one of them is not remembered.
    pub(super) fn change(&self, from: Option<f64>, to: Option<f64>) -> f64 {
        from.zip(to).map_or(0.0, |(from, to)| (to - from) / self.scale)
    }

    /// Whether recent values are of the size that this frame was made for.
    fn fits(&self, recent: &Self) -> bool {
        let ratio = recent.scale / self.scale;
        (1e-4..=1e4).contains(&ratio) && self.place(Some(recent.centre)).abs() <= 1e6
    }
}

/// A linear model of the change to the next value. Several steps ahead it walks: one step after the other, each
/// prediction taken for an observation. Ready after 32 observations or its own reach, whichever is more.
pub(super) struct Linear<F> {
    name: &'static str,
    about: &'static str,
    features: F,
    /// Observations before the first lesson.
    reach: usize,
    /// Length of the window whose range bounds the predictions.
    window: usize,
    history: History,
    frame: Option<Frame>,
    rls: Rls,
    scratch: Vec<f64>,
    lessons: usize,
}

/// What a [`Linear`] model is made of, beside its features.
pub(super) struct Recipe {
    pub name: &'static str,
    pub about: &'static str,
    /// Number of features.
    pub size: usize,
    /// Observations before the first lesson.
    pub reach: usize,
    /// Oldest lag that any feature looks at.
    pub memory: usize,
    /// Discount per observation.
    pub forget: f64,
    /// Prior variance of the weights.
    pub prior: f64,
}

impl<F: Features> Linear<F> {
    pub(super) fn new(recipe: Recipe, features: F) -> Self {
        Self {
            name: recipe.name,
            about: recipe.about,
            features,
            reach: recipe.reach.max(WARM_UP),
            window: recipe.memory.clamp(64, 512),
            history: History::new(recipe.memory.max(64) + 1),
            frame: None,
            rls: Rls::new(recipe.size, recipe.forget, recipe.prior),
            scratch: Vec::with_capacity(recipe.size),
            lessons: 0,
        }
    }
}

impl<F: Features> Model for Linear<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn observe(&mut self, point: Point) {
        let Some(value) = sane(point) else { return };
        let last = self.history.back(1);
        if let (Some(frame), Some(last)) = (self.frame, last)
            && self.history.seen() >= self.reach
        {
            self.scratch.clear();
            self.features.write(Path::now(&self.history), frame, &mut self.scratch);
            let tame = self.history.push(value);
            self.rls.learn(&self.scratch, frame.change(Some(last), Some(tame)));
            self.lessons += 1;
        } else {
            self.history.push(value);
        }

        let seen = self.history.seen();
        if seen == WARM_UP || (seen > WARM_UP && seen.is_multiple_of(CHECK)) {
            let recent = Frame::of(self.history.recent(WARM_UP));
            if self.frame.is_none_or(|frame| !frame.fits(&recent)) {
                self.frame = Some(recent);
                self.rls.reset();
            }
        }
    }

    fn predict(&mut self, ahead: usize) -> Option<f64> {
        let frame = self.frame.filter(|_| self.lessons > 0)?;
        let (features, rls, scratch) = (&self.features, &self.rls, &mut self.scratch);
        walk(&self.history, self.window, ahead, |path| {
            scratch.clear();
            features.write(path, frame, scratch);
            Some(path.lag(1)? + frame.scale * rls.predict(scratch))
        })
    }
}
