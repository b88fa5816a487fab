//! Doubts before anything is paid: an answer far from all recent truths, in another unit, or always the same.

use std::collections::VecDeque;

use crate::series::Point;

/// Newest truths an answer is compared with.
const RECENT: usize = 200;
/// Fewest truths that allow a comparison.
const ENOUGH: usize = 10;
/// How many times the width of the recent truths an answer may lie outside of them.
const WIDTHS: f64 = 3.0;
/// How many times smaller or larger than all recent truths an answer may be, where those have one sign: units differ by
/// a thousand or a million.
const FACTOR: f64 = 5.0;
/// So many equal answers in a row, while the truth moved, are a model that does not look.
const EQUAL: usize = 20;

/// Why an answer should not be paid for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum Doubt {
    #[error("the answer {answer} is not finite: look for a division by zero or missing data")]
    NotFinite { answer: f64 },
    #[error(
        "the answer {answer} is far from the recent truths, {low} to {high}: is it in the unit `{unit}`, a level \
         and not a change? --no-preflight submits it all the same"
    )]
    Far { answer: f64, low: f64, high: f64, unit: String },
    #[error(
        "the last {EQUAL} answers were all {answer} while the truth moved: does the model look at its history? \
         --no-preflight submits it all the same"
    )]
    Constant { answer: f64 },
}

/// Remembers a model's newest answers.
#[derive(Clone, Debug, Default)]
pub struct Preflight {
    answers: VecDeque<f64>,
}

impl Preflight {
    /// Looks at the next answer.
    ///
    /// # Errors
    /// [`Doubt`]: what is wrong with it, and what to look for.
    pub fn check(&mut self, answer: f64, history: &[Point], unit: &str) -> Result<(), Doubt> {
        if !answer.is_finite() {
            return Err(Doubt::NotFinite { answer });
        }
        self.answers.push_back(answer);
        if self.answers.len() > EQUAL {
            self.answers.pop_front();
        }
        let recent = &history[history.len().saturating_sub(RECENT)..];
        if recent.len() < ENOUGH {
            return Ok(());
        }
        let low = recent.iter().map(|p| p.value).fold(f64::INFINITY, f64::min);
        let high = recent.iter().map(|p| p.value).fold(f64::NEG_INFINITY, f64::max);
        // A truth that stood still says nothing about how far it may go.
        let width = (high - low).max(low.abs().max(high.abs()) * 0.1);
        let (least, most) = (low.abs().min(high.abs()), low.abs().max(high.abs()));
        let is_small = low * high > 0.0 && answer.abs() < least / FACTOR;
        let is_large = answer.abs() > most * FACTOR && most > 0.0;
        if answer < low - WIDTHS * width || answer > high + WIDTHS * width || is_small || is_large {
            return Err(Doubt::Far { answer, low, high, unit: unit.to_string() });
        }
        let newest = &history[history.len().saturating_sub(EQUAL)..];
        let moved =
            newest.windows(2).filter(|pair| pair[0].value != pair[1].value).count() > newest.len() / 2;
        let equal = self.answers.len() == EQUAL && self.answers.iter().all(|a| *a == answer);
        if moved && equal { Err(Doubt::Constant { answer }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truths(n: usize) -> Vec<Point> {
        (0..n).map(|i| Point { time: i as i64, value: 30_000.0 + 10.0 * (i % 48) as f64 }).collect()
    }

    #[test]
    fn wrong_units_and_constants_are_doubted_and_good_answers_are_not() {
        let known = truths(300);
        let check = |answer: f64| Preflight::default().check(answer, &known, "MW");
        assert_eq!(check(30_200.0), Ok(()));
        for far in [30.2, 0.0, -30_200.0, 3e7, 0.01] {
            assert!(matches!(check(far), Err(Doubt::Far { .. })), "{far}");
        }
        assert!(matches!(check(f64::NAN), Err(Doubt::NotFinite { .. })));
        // Truths that move far: a thousandth of them is still another unit.
        let wide: Vec<Point> =
            (0..300).map(|i| Point { time: i, value: 22_000.0 + 330.0 * (i % 48) as f64 }).collect();
        for (answer, fine) in
            [(30.0, false), (5.0, false), (15_000.0, true), (60_000.0, true), (-25_000.0, false)]
        {
            assert_eq!(Preflight::default().check(answer, &wide, "MW").is_ok(), fine, "{answer}");
        }
        // Where the truth has both signs or comes near zero, small answers are answers.
        let around: Vec<Point> = (0..300).map(|i| Point { time: i, value: (i % 48) as f64 - 20.0 }).collect();
        assert_eq!(Preflight::default().check(0.001, &around, "K"), Ok(()));
        assert_eq!(Preflight::default().check(0.0, &known[..9], "MW"), Ok(()), "too little is known");
        let mut same = Preflight::default();
        let outcomes: Vec<bool> = (0..25).map(|_| same.check(30_100.0, &known, "MW").is_ok()).collect();
        assert_eq!(outcomes.iter().position(|fine| !fine), Some(19));
    }
}
