//! The built-in models: small, causal, deterministic, each in a file short enough to be its own documentation.
//! Only + − × ÷, square roots and the pinned pure-Rust `libm` are used, so every machine gets the same bits.

mod ar;
mod boosted;
mod climatology;
mod ema;
mod history;
mod holt;
mod holt_winters;
mod knn;
mod last_value;
mod linear;
mod ridge;
mod rls;
mod seasonal_difference;
mod seasonal_naive;
mod theta;
mod tree;

pub use ar::{ar, ar_difference};
pub use boosted::Boosted;
pub use climatology::Climatology;
pub use ema::Ema;
pub use holt::Holt;
pub use holt_winters::HoltWinters;
pub use knn::Knn;
pub use last_value::LastValue;
pub use ridge::ridge;
pub use seasonal_difference::SeasonalDifference;
pub use seasonal_naive::SeasonalNaive;
pub use theta::Theta;

use crate::series::Point;

/// Longest horizon a model answers, in steps; beyond it `predict` says `None`.
pub const MAX_AHEAD: usize = 10_000;

/// Something that watches a series and says what comes next.
///
/// A model is causal by construction: it is handed one observation after the other and has seen nothing else. Seasons
/// are counted in observations, so `observe` is to be called once per step; who misses a step should hand in a
/// stand-in (the last value, say) to keep the phase.
///
/// Observations that are not finite are ignored; beyond ±10^100 they count as ±10^100. A prediction is always finite.
pub trait Model: Send {
    /// Short unique name, such as `seasonal-naive-week`.
    fn name(&self) -> &'static str;

    /// One sentence for people: how the model thinks.
    fn about(&self) -> &'static str;

    /// Learns the next observation.
    fn observe(&mut self, point: Point);

    /// The value `ahead` steps after the last observed one (1 = the next), in the unit of the observations.
    ///
    /// `None` while the model is not warmed up, and for `ahead` 0 or beyond [`MAX_AHEAD`]. Takes `&mut self` for
    /// scratch space only: asking does not change what a later question is answered.
    fn predict(&mut self, ahead: usize) -> Option<f64>;
}

/// The standard line-up: sixteen models of different minds, with unique names, in a fixed order.
///
/// Seasons are in steps (see [`crate::series::seasons`]); 0 counts as 1, "no season".
pub fn built_in(season_day: usize, season_week: usize) -> Vec<Box<dyn Model>> {
    let (day, week) = (season_day.max(1), season_week.max(1));
    vec![
        Box::new(LastValue::default()),
        Box::new(SeasonalNaive::day(day)),
        Box::new(SeasonalNaive::week(week)),
        Box::new(Ema::fast()),
        Box::new(Ema::slow()),
        Box::new(Holt::default()),
        Box::new(HoltWinters::new(day)),
        Box::new(ar("ar-3-fast", 3, 0.98)),
        Box::new(ar("ar-24-slow", 24, 0.999)),
        Box::new(ar_difference("ar-difference", 6, 0.995)),
        Box::new(ridge(day, week)),
        Box::new(SeasonalDifference::new(day)),
        Box::new(Knn::default()),
        Box::new(Theta::default()),
        Box::new(Boosted::new(day, week)),
        Box::new(Climatology::new(day, week)),
    ]
}

/// The value of an observation as every model may use it: finite, and far enough from the edge of the doubles
/// that squares and sums of it stay finite.
fn sane(point: Point) -> Option<f64> {
    const EDGE: f64 = 1e100;
    point.value.is_finite().then(|| point.value.clamp(-EDGE, EDGE))
}

/// Whether a horizon may be asked for at all.
fn answerable(ahead: usize) -> bool {
    (1..=MAX_AHEAD).contains(&ahead)
}

/// `base` to a whole power by repeated squaring: multiplications only, hence the same bits everywhere.
fn power(base: f64, mut exponent: usize) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}
