//! What an answer costs that was sealed and never opened: who saw the others' answers first and then kept silent must
//! not fare better than with the worst of them. It moves every memory that a scored answer would have moved.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::MathError;
use crate::real::Real;
use crate::stats;
use crate::topic::combine::LossForm;

/// How many times the usual loss is the most that silence counts for: a single absurd answer must not ruin whoever
/// lost its connection.
const MOST: f64 = 10.0;

/// What one unopened answer counts for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Forfeit {
    /// Its loss, on the scale of the losses it was made of.
    pub loss: Real,
    /// Its score, at most 0.
    pub score: Real,
}

/// The largest of the losses heard in a role, at most ten times their median (one more, where they are decimal
/// logarithms), and the least of the scores, at most 0. A median of zero bounds nothing. None where nobody in the role
/// was scored. Errors: [`MathError::NotFinite`].
pub fn forfeit(
    losses: &[Option<Real>],
    scores: &[Option<Real>],
    form: LossForm,
) -> Result<Option<Forfeit>, MathError> {
    let heard: Vec<f64> = losses.iter().flatten().map(|loss| loss.get()).collect();
    let (Some(worst), Ok(usual)) = (losses.iter().flatten().max(), stats::median(&heard)) else {
        return Ok(None);
    };
    let most = match form {
        LossForm::Log10 => usual + 1.0,
        LossForm::Raw if usual > 0.0 => MOST * usual,
        LossForm::Raw => worst.get(),
    };
    let least = scores.iter().flatten().min().copied().unwrap_or(Real::ZERO);
    Ok(Some(Forfeit { loss: Real::named(worst.get().min(most), "forfeit")?, score: least.min(Real::ZERO) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<Real>> {
        values.iter().map(|value| Some(Real::literal(*value))).collect()
    }

    #[test]
    fn silence_counts_as_the_worst_but_not_as_an_absurdity() {
        let of = |losses: &[f64], scores: &[f64], form| {
            let forfeit = forfeit(&some(losses), &some(scores), form).unwrap().unwrap();
            (forfeit.loss.get(), forfeit.score.get())
        };
        assert_eq!(of(&[1.0, 4.0, 2.0], &[0.5, -0.25, 0.0], LossForm::Raw), (4.0, -0.25));
        assert_eq!(
            of(&[1.0, 1e30, 2.0], &[0.5, 0.25, 0.75], LossForm::Raw),
            (20.0, 0.0),
            "ten times the median"
        );
        assert_eq!(
            of(&[-1.0, 30.0, 0.5], &[-2.0, 0.0, 0.0], LossForm::Log10),
            (1.5, -2.0),
            "the same in logarithms"
        );
        assert_eq!(of(&[0.0, 0.0, 3.0], &[], LossForm::Raw), (3.0, 0.0), "a median of zero bounds nothing");
        assert_eq!(of(&[-5.0, -1.0, -3.0], &[], LossForm::Raw), (-1.0, 0.0), "nor does one below");
        assert_eq!(forfeit(&[None], &[None], LossForm::Raw).unwrap(), None, "nobody was scored");
    }
}
