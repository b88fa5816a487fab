//! Loss functions the chain can evaluate itself, for topics whose reputers report what happened.
//! All are zero or positive, zero at a perfect prediction (log-loss: at the clip), and have a meaningful zero.

use crate::real::func;
use borsh::{BorshDeserialize, BorshSerialize};

/// Probabilities are clipped to this from below before a logarithm is taken of them.
pub const PROBABILITY_MIN: f64 = 0.01;
/// Probabilities are clipped to this from above before a logarithm is taken of their complement.
pub const PROBABILITY_MAX: f64 = 0.99;

/// How far a prediction is from the truth.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Loss {
    /// `(x - y)^2`.
    Squared,
    /// `|x - y|`.
    Absolute,
    /// `-y ln p - (1 - y) ln(1 - p)` for a probability p clipped to [0.01, 0.99] and a truth of 0 or 1.
    LogLoss,
}

impl Loss {
    /// The loss of `prediction` once `truth` is known. Infinite when a square overflows; never NaN for finite
    /// arguments. For [`Loss::LogLoss`] a truth strictly between 0 and 1 is the cross-entropy.
    pub fn loss(self, prediction: f64, truth: f64) -> f64 {
        match self {
            Loss::Squared => (prediction - truth) * (prediction - truth),
            Loss::Absolute => (prediction - truth).abs(),
            Loss::LogLoss => {
                let p = clip_probability(prediction);
                if truth == 1.0 {
                    -func::ln(p)
                } else if truth == 0.0 {
                    -func::ln(1.0 - p)
                } else {
                    -(truth * func::ln(p)) - (1.0 - truth) * func::ln(1.0 - p)
                }
            }
        }
    }

    /// Whether `truth` is something this loss can judge: anything finite, or 0 and 1 for the log-loss.
    pub fn accepts(self, truth: f64) -> bool {
        match self {
            Loss::Squared | Loss::Absolute => truth.is_finite(),
            Loss::LogLoss => truth == 0.0 || truth == 1.0,
        }
    }

    /// Default exponent of the power rule (combine specification, section 7): 4, 8, 4. The absolute loss is the
    /// square root of the squared one, so it needs twice the exponent for the same weights.
    pub const fn default_kappa(self) -> u32 {
        match self {
            Loss::Squared | Loss::LogLoss => 4,
            Loss::Absolute => 8,
        }
    }
}

/// A probability clipped to [0.01, 0.99].
pub fn clip_probability(p: f64) -> f64 {
    p.clamp(PROBABILITY_MIN, PROBABILITY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_have_their_textbook_values() {
        assert_eq!(Loss::Squared.loss(3.0, 1.0), 4.0);
        assert_eq!(Loss::Absolute.loss(-3.0, 1.0), 4.0);
        assert!((Loss::LogLoss.loss(0.25, 1.0) - 1.386_294_361_119_890_6).abs() < 1e-15);
        assert_eq!(Loss::LogLoss.loss(0.0, 1.0), Loss::LogLoss.loss(0.01, 1.0));
        assert_eq!(Loss::LogLoss.loss(2.0, 0.0), Loss::LogLoss.loss(0.99, 0.0));
        assert!(!Loss::LogLoss.accepts(0.5) && Loss::LogLoss.accepts(1.0));
    }
}
