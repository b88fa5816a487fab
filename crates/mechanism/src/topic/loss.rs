//! Loss functions the chain can evaluate itself, for topics whose reputers report what happened.
//! One loss is one number over all labels. All are zero or positive, zero at a perfect prediction (log-loss: at the
//! clip), and have a meaningful zero, which the power rule needs.

use crate::error::MathError;
use crate::real::{Real, func};
use borsh::{BorshDeserialize, BorshSerialize};

/// Probabilities are clipped to this from below before a logarithm is taken of them.
pub const PROBABILITY_MIN: f64 = 0.01;
/// Probabilities are clipped to this from above before a logarithm is taken of their complement.
pub const PROBABILITY_MAX: f64 = 0.99;
/// Predicted rates are raised to this before the Poisson loss takes their logarithm.
pub const RATE_MIN: f64 = 1e-10;
/// How far from 1 the labels of a truth that is a distribution may sum.
pub const UNITY_TOLERANCE: f64 = 1e-9;
/// Above this `ln cosh` equals its asymptote in every bit.
const LOG_COSH_ASYMPTOTIC: f64 = 20.0;

/// How far a prediction is from the truth; x is the prediction and y the truth of one label.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Loss {
    /// `(x - y)^2`.
    Squared,
    /// `|x - y|`.
    Absolute,
    /// `(x - y)^2 / 2` up to `|x - y| = delta`, from there the tangent `delta (|x - y| - delta / 2)`.
    Huber {
        /// Where the square ends, > 0, in the units of the inference.
        delta: Real,
    },
    /// `ln cosh(x - y)`.
    LogCosh,
    /// Half the Poisson deviance, `x - y + y ln(y / x)`, of a predicted rate x >= 0 and a count y >= 0; x at least
    /// 1e-10 inside the logarithm.
    Poisson,
    /// One label: `-y ln p - (1 - y) ln(1 - p)` for a truth of 0 or 1. Several: the cross-entropy `-sum y ln p`.
    /// Probabilities are clipped to [0.01, 0.99].
    LogLoss,
    /// `(p - y)^2` for probabilities, summed over the labels.
    Brier,
    /// `|tanh((x - center) / scale) - tanh((y - center) / scale)|`: errors in the tails count little.
    Ztae {
        /// Where the loss is most sensitive, in the units of the inference.
        center: Real,
        /// The width of the sensitive range, > 0, in the units of the inference.
        scale: Real,
    },
    /// `q (y - x)` for a prediction below the truth, `(1 - q)(x - y)` above: least at the q-quantile.
    Pinball {
        /// The quantile asked for (q), strictly between 0 and 1.
        quantile: Real,
    },
}

impl Loss {
    /// The loss of `prediction` once `truth` is known: both one number per label, in one order; where one is longer
    /// its surplus is ignored. The sum over the labels of the pointwise loss, see the variants. Never negative,
    /// infinite when a square overflows, never NaN for finite arguments and valid parameters.
    pub fn of(self, prediction: &[f64], truth: &[f64]) -> f64 {
        match (self, prediction, truth) {
            // One label is what most topics have.
            (_, &[x], &[y]) => self.pointwise(x, y),
            (Loss::LogLoss, ..) => {
                prediction.iter().zip(truth).map(|(&p, &y)| -(y * func::ln(clip_probability(p)))).sum()
            }
            _ => prediction.iter().zip(truth).map(|(&x, &y)| self.pointwise(x, y)).sum(),
        }
    }

    /// The loss on one label, the only one where that matters.
    #[inline]
    fn pointwise(self, x: f64, y: f64) -> f64 {
        let error = x - y;
        match self {
            Loss::Squared | Loss::Brier => error * error,
            Loss::Absolute => error.abs(),
            Loss::Huber { delta } if error.abs() <= delta.get() => error * error / 2.0,
            Loss::Huber { delta } => delta.get() * (error.abs() - delta.get() / 2.0),
            Loss::LogCosh => ln_cosh(error.abs()),
            Loss::Poisson if y > 0.0 => (error + y * (func::ln(y) - func::ln(x.max(RATE_MIN)))).max(0.0),
            Loss::Poisson => error.max(0.0),
            Loss::LogLoss => binary_cross_entropy(clip_probability(x), y),
            Loss::Ztae { center, scale } => {
                let squashed = |value: f64| tanh((value - center.get()) / scale.get());
                (squashed(x) - squashed(y)).abs()
            }
            Loss::Pinball { quantile } if error <= 0.0 => quantile.get() * -error,
            Loss::Pinball { quantile } => (1.0 - quantile.get()) * error,
        }
    }

    /// Whether `truth` (one number per label, at least one) is something this loss can judge. All numbers are
    /// finite; for probabilities one label is 0 or 1, several are in [0, 1] and sum to 1 within 1e-9; Poisson counts
    /// are not negative.
    pub fn accepts_truth(self, truth: &[f64]) -> bool {
        if truth.is_empty() || truth.iter().any(|y| !y.is_finite()) {
            return false;
        }
        match (self, truth) {
            (Loss::LogLoss | Loss::Brier, &[y]) => y == 0.0 || y == 1.0,
            (Loss::LogLoss | Loss::Brier, _) => {
                let within = truth.iter().all(|y| (0.0..=1.0).contains(y));
                within && (truth.iter().sum::<f64>() - 1.0).abs() <= UNITY_TOLERANCE
            }
            (Loss::Poisson, _) => truth.iter().all(|&y| y >= 0.0),
            _ => true,
        }
    }

    /// Whether `x` may be an inference of a topic with this loss: finite, a probability within [0, 1], a Poisson
    /// rate not negative.
    pub fn accepts_answer(self, x: f64) -> bool {
        match self {
            Loss::LogLoss | Loss::Brier => (0.0..=1.0).contains(&x),
            Loss::Poisson => x.is_finite() && x >= 0.0,
            _ => x.is_finite(),
        }
    }

    /// Whether inferences are probabilities.
    pub const fn is_probability(self) -> bool {
        matches!(self, Loss::LogLoss | Loss::Brier)
    }

    /// Default exponent of the power rule (combine specification, section 7): 4, and 8 for the losses that grow
    /// like an absolute error. Those are like the square root of the squared one and need twice the exponent for the
    /// same weights.
    pub const fn default_kappa(self) -> u32 {
        match self {
            Loss::Absolute | Loss::Pinball { .. } | Loss::Ztae { .. } => 8,
            _ => 4,
        }
    }

    /// Checks the parameters. Errors: [`MathError::OutOfRange`] for a delta or scale that is not positive, or a
    /// quantile outside (0, 1).
    pub fn validate(self) -> Result<(), MathError> {
        match self {
            Loss::Huber { delta } if delta <= Real::ZERO => Err(MathError::OutOfRange("loss delta")),
            Loss::Ztae { scale, .. } if scale <= Real::ZERO => Err(MathError::OutOfRange("loss scale")),
            Loss::Pinball { quantile } if quantile <= Real::ZERO || quantile >= Real::ONE => {
                Err(MathError::OutOfRange("loss quantile"))
            }
            _ => Ok(()),
        }
    }
}

/// A probability clipped to [0.01, 0.99].
pub fn clip_probability(p: f64) -> f64 {
    p.clamp(PROBABILITY_MIN, PROBABILITY_MAX)
}

fn binary_cross_entropy(p: f64, y: f64) -> f64 {
    if y == 1.0 {
        -func::ln(p)
    } else if y == 0.0 {
        -func::ln(1.0 - p)
    } else {
        -(y * func::ln(p)) - (1.0 - y) * func::ln(1.0 - p)
    }
}

/// `ln cosh(x)` for x >= 0. With `m = e^x - 1` it is `ln(1 + m^2 / (2 (1 + m)))`: no cancellation near zero.
fn ln_cosh(x: f64) -> f64 {
    if x > LOG_COSH_ASYMPTOTIC {
        return x - std::f64::consts::LN_2;
    }
    let m = func::exp_m1(x);
    func::ln_1p(m * m / (2.0 * (1.0 + m)))
}

/// Hyperbolic tangent through one decaying exponential, which cannot overflow.
fn tanh(x: f64) -> f64 {
    let m = func::exp_m1(-2.0 * x.abs());
    let size = -m / (2.0 + m);
    if x < 0.0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HUBER: Loss = Loss::Huber { delta: Real::literal(1.5) };
    const ZTAE: Loss = Loss::Ztae { center: Real::ONE, scale: Real::literal(2.0) };
    const PINBALL: Loss = Loss::Pinball { quantile: Real::literal(0.9) };
    const ALL: [Loss; 9] = [
        Loss::Squared,
        Loss::Absolute,
        HUBER,
        Loss::LogCosh,
        Loss::Poisson,
        Loss::LogLoss,
        Loss::Brier,
        ZTAE,
        PINBALL,
    ];

    /// Loss, prediction, truth, value worked out by hand or from tables of logarithms.
    const TEXTBOOK: &[(Loss, &[f64], &[f64], f64)] = &[
        (Loss::Squared, &[3.0], &[1.0], 4.0),
        (Loss::Squared, &[3.0, -1.0], &[1.0, 2.0], 13.0),
        (Loss::Absolute, &[-3.0], &[1.0], 4.0),
        (Loss::Absolute, &[-3.0, 0.5, 7.0], &[1.0, 0.0, 7.0], 4.5),
        (HUBER, &[1.0], &[0.0], 0.5),
        (HUBER, &[1.5], &[0.0], 1.125),
        (HUBER, &[-4.0], &[0.0], 4.875),
        (HUBER, &[1.0, -4.0], &[0.0, 0.0], 5.375),
        (Loss::LogCosh, &[1.0], &[0.0], 0.433_780_830_483_027_2),
        (Loss::LogCosh, &[1e-5], &[0.0], 5e-11),
        (Loss::LogCosh, &[-500.0], &[500.0], 999.306_852_819_440_1),
        (Loss::Poisson, &[2.0], &[0.0], 2.0),
        (Loss::Poisson, &[2.0], &[4.0], 0.772_588_722_239_781_2),
        (Loss::Poisson, &[2.0, 2.0], &[0.0, 4.0], 2.772_588_722_239_781),
        (Loss::Poisson, &[0.0], &[1.0], 22.025_850_929_940_457),
        (Loss::LogLoss, &[0.25], &[1.0], std::f64::consts::LN_2 * 2.0),
        (Loss::LogLoss, &[0.25], &[0.0], 0.287_682_072_451_780_9),
        (Loss::LogLoss, &[0.5, 0.25, 0.25], &[0.0, 1.0, 0.0], std::f64::consts::LN_2 * 2.0),
        (Loss::LogLoss, &[0.5, 0.25, 0.25], &[0.5, 0.5, 0.0], std::f64::consts::LN_2 * 1.5),
        (Loss::LogLoss, &[0.0, 1.0], &[1.0, 0.0], 4.605_170_185_988_091),
        (Loss::Brier, &[0.25], &[1.0], 0.5625),
        (Loss::Brier, &[0.5, 0.25, 0.25], &[0.0, 1.0, 0.0], 0.875),
        (ZTAE, &[3.0], &[1.0], 0.761_594_155_955_764_9),
        (ZTAE, &[3.0], &[-1.0], 1.523_188_311_911_529_8),
        (ZTAE, &[1e300], &[-1e300], 2.0),
        (PINBALL, &[1.0], &[3.0], 1.8),
        (PINBALL, &[3.0], &[1.0], 0.2),
        (PINBALL, &[3.0, 1.0], &[1.0, 3.0], 2.0),
    ];

    #[test]
    fn losses_have_their_textbook_values() {
        for &(loss, prediction, truth, expected) in TEXTBOOK {
            let actual = loss.of(prediction, truth);
            let close = (actual - expected).abs() <= 1e-9 * expected;
            assert!(close, "{loss:?} of {prediction:?} at {truth:?} is {actual}, not {expected}");
        }
    }

    #[test]
    fn probabilities_are_clipped_before_their_logarithm() {
        assert_eq!(Loss::LogLoss.of(&[0.0], &[1.0]), Loss::LogLoss.of(&[0.01], &[1.0]));
        assert_eq!(Loss::LogLoss.of(&[2.0], &[0.0]), Loss::LogLoss.of(&[0.99], &[0.0]));
        assert_eq!(Loss::LogLoss.of(&[1.0, 0.0], &[1.0, 0.0]), -func::ln(0.99));
    }

    #[test]
    fn truths_and_answers_outside_a_loss_are_refused() {
        assert!(!Loss::LogLoss.accepts_truth(&[0.5]) && Loss::Brier.accepts_truth(&[1.0]));
        assert!(Loss::LogLoss.accepts_truth(&[0.5, 0.5]) && !Loss::LogLoss.accepts_truth(&[0.5, 0.6]));
        assert!(!Loss::Brier.accepts_truth(&[1.5, -0.5]) && Loss::Brier.accepts_truth(&[0.1, 0.2, 0.7]));
        assert!(!Loss::Poisson.accepts_truth(&[1.0, -1.0]) && Loss::Poisson.accepts_truth(&[0.0]));
        for loss in ALL {
            assert!(!loss.accepts_truth(&[]) && !loss.accepts_truth(&[f64::NAN]));
            assert!(!loss.accepts_answer(f64::INFINITY) && !loss.accepts_answer(f64::NAN));
            assert_eq!(loss.accepts_answer(1.5), !loss.is_probability());
            assert_eq!(loss.accepts_answer(-1.5), !loss.is_probability() && loss != Loss::Poisson);
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for loss in ALL {
            assert_eq!(loss.validate(), Ok(()));
        }
        for bad in [Real::ZERO, Real::literal(-1.0)] {
            assert!(Loss::Huber { delta: bad }.validate().is_err());
            assert!(Loss::Ztae { center: Real::ZERO, scale: bad }.validate().is_err());
            assert!(Loss::Pinball { quantile: bad }.validate().is_err());
        }
        assert!(Loss::Pinball { quantile: Real::ONE }.validate().is_err());
    }

    #[test]
    fn numbers_at_the_end_of_the_doubles_give_no_nan() {
        let ends = [0.0, 1e-308, -1e-308, 1e308, -1e308, f64::MAX, f64::MIN];
        for loss in ALL {
            for x in ends.into_iter().filter(|&x| loss.accepts_answer(x)) {
                for y in ends.into_iter().filter(|&y| loss.accepts_truth(&[y])) {
                    let value = loss.of(&[x], &[y]);
                    assert!(value >= 0.0, "{loss:?} of {x} at {y} is {value}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn losses_are_finite_not_negative_and_least_at_the_truth(
            pairs in prop::collection::vec((-1e6..1e6f64, -1e6..1e6f64), 1..5),
        ) {
            for loss in ALL {
                let fit = |value: f64| if loss == Loss::Poisson { value.abs() } else { value };
                let (mut x, mut y): (Vec<f64>, Vec<f64>) =
                    pairs.iter().map(|&(x, y)| (fit(x), fit(y))).unzip();
                if loss.is_probability() {
                    x.iter_mut().for_each(|x| *x = x.abs() / 1e6);
                    y.iter_mut().for_each(|y| *y = 0.0);
                    y[0] = 1.0;
                }
                prop_assert!(loss.accepts_truth(&y));
                let (value, best) = (loss.of(&x, &y), loss.of(&y, &y));
                prop_assert!(value.is_finite() && value >= best, "{:?}", loss);
                prop_assert_eq!(best, if loss == Loss::LogLoss { -func::ln(0.99) } else { 0.0 });
            }
        }

        #[test]
        fn one_loss_is_the_sum_over_its_labels(
            pairs in prop::collection::vec((0.0..1e3f64, 0.0..1e3f64), 2..5),
        ) {
            // The log-loss of several labels is the cross-entropy, not a sum of binary ones.
            for loss in ALL.into_iter().filter(|&loss| loss != Loss::LogLoss) {
                let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
                let sum: f64 = pairs.iter().map(|&(x, y)| loss.of(&[x], &[y])).sum();
                prop_assert!((loss.of(&x, &y) - sum).abs() <= 1e-12 * sum);
            }
        }

        #[test]
        fn poisson_and_log_cosh_match_their_plain_formulas(x in 0.01..50.0f64, y in 0.01..50.0f64) {
            let deviance = x - y + y * func::ln(y / x);
            prop_assert!((Loss::Poisson.of(&[x], &[y]) - deviance).abs() <= 1e-12 * (x + y));
            let cosh = (func::exp(x - y) + func::exp(y - x)) / 2.0;
            prop_assert!((Loss::LogCosh.of(&[x], &[y]) - func::ln(cosh)).abs() <= 1e-12 * (1.0 + (x - y).abs()));
        }
    }
}
