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
/// without touching the average. Under a rule that has no one-in components at all (the power rule), `T_k = T-`.
/// Errors: [`MathError::NotFinite`].
pub fn forecaster_scores(losses: &Losses) -> Result<Vec<Option<Real>>, MathError> {
    let count = losses.one_out_forecasters.iter().flatten().count();
    let one_in = |place: usize| losses.one_in_forecasters.get(place).copied().flatten();
    let without_one_in = losses.one_in_forecasters.iter().all(Option::is_none);
    losses
        .one_out_forecasters
        .iter()
        .enumerate()
        .map(|(place, one_out)| match (*one_out, one_in(place)) {
            (Some(one_out), _) if without_one_in => gap(one_out, losses.combined).map(Some),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(one_out: [Option<Real>; 3], one_in: Vec<Option<Real>>) -> Losses {
        let literal = |value: f64| Real::literal(value);
        Losses {
            combined: literal(1.0),
            naive: literal(4.0),
            inferers: vec![],
            forecasters: vec![None; 3],
            one_out_inferers: vec![],
            one_out_forecasters: one_out.to_vec(),
            one_in_forecasters: one_in,
            one_out_inferer_forecaster: vec![],
        }
    }

    #[test]
    fn without_one_in_losses_a_forecaster_scores_by_its_one_out_loss_alone() {
        let one_out = [Some(Real::literal(3.0)), None, Some(Real::literal(0.5))];
        let expected = [Some(Real::literal(2.0)), None, Some(Real::literal(-0.5))];
        for one_in in [vec![], vec![None; 3]] {
            assert_eq!(forecaster_scores(&losses(one_out, one_in)).unwrap(), expected);
        }
        let single = [Some(Real::literal(3.0)), None, None];
        assert_eq!(forecaster_scores(&losses(single, vec![])).unwrap()[0], expected[0]);
    }

    #[test]
    fn with_one_in_losses_both_parts_are_needed() {
        let one_out = [Some(Real::literal(3.0)), Some(Real::literal(5.0)), None];
        let one_in = vec![Some(Real::literal(2.0)), None, Some(Real::ONE)];
        // f = 1/2: half of 4 - 2, half of 3 - 1.
        let scores = forecaster_scores(&losses(one_out, one_in)).unwrap();
        assert_eq!(scores, [Some(Real::literal(2.0)), None, None]);
    }
}
