//! Scores of one epoch from its network losses (topic specification, section 7.1): what the network would have lost
//! without a member. On the scale of the losses given (logarithms for the regret rule).

use crate::error::MathError;
use crate::real::{Real, func};
use crate::topic::combine::Losses;

/// `T_j = loss without j - loss of the network`, N entries. None where there is no one-out loss (a single inferer):
/// such a score is recorded as 0 and leaves the member's average alone. Errors: [`MathError::NotFinite`].
pub fn inferer_scores(losses: &Losses) -> Result<Vec<Option<Real>>, MathError> {
    losses
        .one_out_inferers
        .iter()
        .map(|loss| loss.map(|loss| gap(loss, losses.combined)).transpose())
        .collect()
}

/// `T_k = f T+ + (1 - f) T-` with `T- = loss without k - loss of the network`, `T+ = naive loss - loss with k alone`
/// and `f = 2^-(forecasters - 1)`; K entries. None where either loss is missing (a single forecaster): recorded as 0
/// without touching the average. Errors: [`MathError::NotFinite`].
pub fn forecaster_scores(losses: &Losses) -> Result<Vec<Option<Real>>, MathError> {
    let count = losses.one_out_forecasters.iter().flatten().count();
    let one_in = |place: usize| losses.one_in_forecasters.get(place).copied().flatten();
    losses
        .one_out_forecasters
        .iter()
        .enumerate()
        .map(|(place, one_out)| match (*one_out, one_in(place)) {
            (Some(one_out), Some(one_in)) if count > 1 => {
                let minus = gap(one_out, losses.combined)?;
                let plus = gap(losses.naive, one_in)?;
                forecaster_score(plus, minus, count).map(Some)
            }
            _ => Ok(None),
        })
        .collect()
}

/// The mix of the one-in part `plus` and the one-out part `minus` for `count` >= 1 forecasters with a one-out loss.
/// Errors: [`MathError::NotFinite`].
pub fn forecaster_score(plus: Real, minus: Real, count: usize) -> Result<Real, MathError> {
    // Beyond a thousand forecasters the share of the one-in part is zero in any case.
    let share = func::powi(0.5, count.saturating_sub(1).min(2000) as u32);
    Real::named(share * plus.get() + (1.0 - share) * minus.get(), "score")
}

fn gap(reference: Real, own: Real) -> Result<Real, MathError> {
    Real::named(reference.get() - own.get(), "score")
}
