//! Merit sortition: who is in the limited active set of an epoch, and how the quality averages that decide it move
//! (topic specification, sections 3.4 to 3.6). One rule for all three roles: a newcomer enters at the initial score.

use crate::error::MathError;
use crate::real::Real;
use crate::stats;

/// What happens to a candidate for the active set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room.
    Join,
    /// It takes the place of the member with the lowest score.
    Replace,
    /// It stays outside.
    Refuse,
}

/// Judges one candidate for a set of `active` members with room for `cap`. `lowest` is the least score in the set,
/// none in an empty one. Only a strictly greater score displaces anybody.
pub fn admit(active: usize, cap: usize, lowest: Option<Real>, candidate: Real) -> Verdict {
    if active < cap {
        return Verdict::Join;
    }
    match lowest {
        Some(lowest) if active > 0 && cap > 0 && candidate > lowest => Verdict::Replace,
        _ => Verdict::Refuse,
    }
}

/// Epochs an actor let pass (section 3.5): those that ended between its `last` touched nonce and `opened_before`,
/// the nonce P up to which silence counts. 0 for `last >= opened_before`; an epoch length of 0 reads as 1.
pub fn missed(last: u64, opened_before: u64, epoch_length: u64) -> u64 {
    if last >= opened_before {
        return 0;
    }
    // At most 2^64 - 1, because the division happens on opened_before - 1 - last.
    (opened_before - 1 - last) / epoch_length.max(1) + 1
}

/// A returning actor's average (section 3.5): as if it had scored the `initial` score of its role in each of the
/// `missed` epochs. `alpha` in [0, 1]. Errors: [`MathError::OutOfRange`], [`MathError::NotFinite`].
pub fn liveness(alpha: Real, initial: Real, score: Real, missed: u64) -> Result<Real, MathError> {
    let alpha = rate(alpha)?;
    if missed == 0 {
        return Ok(score);
    }
    // Beyond 2^32 epochs nothing is left of the old score at any rate a topic can have.
    let steps = u32::try_from(missed).unwrap_or(u32::MAX);
    Real::named(stats::nema(alpha, initial.get(), score.get(), steps), "score average")
}

/// The average of an actor that was evicted or refused (section 3.6): one step of `alpha` from `score` towards the
/// topic's quantile score. Errors as [`liveness`].
pub fn passive(alpha: Real, quantile_score: Real, score: Real) -> Result<Real, MathError> {
    active(alpha, quantile_score, score, false)
}

/// The average of an active actor at the close (section 3.6): one step of `alpha` from `old` towards the epoch's
/// score, or that score itself where there is no earlier one (`first`). Errors as [`liveness`].
pub fn active(alpha: Real, score_now: Real, old: Real, first: bool) -> Result<Real, MathError> {
    Real::named(stats::ema(rate(alpha)?, score_now.get(), old.get(), first), "score average")
}

/// The score the passive move towards: quantile `q` in [0, 1] of the active set's scores, 0 for an empty set.
/// Errors: [`MathError::OutOfRange`], [`MathError::NotFinite`].
pub fn quantile_score(scores: &[Real], q: Real) -> Result<Real, MathError> {
    Real::named(stats::quantile(&doubles(scores), q.get())?, "quantile score")
}

/// The average newcomers start from: the least score of the active set less `lambda` (>= 0) sample deviations; the
/// score itself where there is one, 0 where there is none. Errors as [`quantile_score`].
pub fn initial_score(scores: &[Real], lambda: Real) -> Result<Real, MathError> {
    if lambda < Real::ZERO {
        return Err(MathError::OutOfRange("lambda"));
    }
    match (scores.iter().min(), scores.len()) {
        (None, _) => Ok(Real::ZERO),
        (Some(&only), 1) => Ok(only),
        (Some(least), _) => {
            let spread = lambda.get() * stats::stddev(&doubles(scores));
            Real::named(least.get() - spread, "initial score")
        }
    }
}

/// The active set when all candidates arrive in index order: indices into `previous`, ascending. A none is a
/// newcomer and stands at `initial`. Where several members share the lowest score, the smallest index goes first.
pub fn select(previous: &[Option<Real>], initial: Real, cap: usize) -> Vec<usize> {
    run(previous, initial, cap).active
}

/// The active set, and who was in it for a while.
struct Run {
    active: Vec<usize>,
    evicted: Vec<usize>,
}

/// Admission one by one, in index order.
fn run(previous: &[Option<Real>], initial: Real, cap: usize) -> Run {
    let score = |index: usize| previous[index].unwrap_or(initial);
    let mut run = Run { active: Vec::new(), evicted: Vec::new() };
    for candidate in 0..previous.len() {
        let lowest = run.active.iter().copied().min_by_key(|&member| (score(member), member));
        match (admit(run.active.len(), cap, lowest.map(score), score(candidate)), lowest) {
            (Verdict::Join, _) => run.active.push(candidate),
            (Verdict::Replace, Some(loser)) => {
                run.active.retain(|&member| member != loser);
                run.active.push(candidate);
                run.evicted.push(loser);
            }
            _ => {}
        }
    }
    run
}

/// One epoch of sortition among N participants who all submitted, in address order.
#[derive(Copy, Clone, Debug)]
pub struct Epoch<'a> {
    /// N averages before the epoch; none for a newcomer.
    pub previous: &'a [Option<Real>],
    /// The average a newcomer starts from ([`initial_score`] of the last scored epoch, 0 before any).
    pub initial: Real,
    /// N scores of this epoch. Only those of the active set are read; a none there leaves the average alone.
    pub metrics: &'a [Option<Real>],
    /// Places in the active set.
    pub cap: usize,
    /// Rate of the averages, in [0, 1].
    pub alpha: Real,
    /// Which quantile of the active scores the passive move towards, in [0, 1].
    pub quantile: Real,
    /// The quantile score the passive move towards: the one stored by the last scored epoch, as the chain does; none
    /// for the one of this very epoch, as the reference's simulator does.
    pub passive_target: Option<Real>,
}

/// What [`step`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Indices of the active set, ascending.
    pub active: Vec<usize>,
    /// N averages after the epoch. A newcomer that was refused stays at the initial score.
    pub scores: Vec<Real>,
    /// This epoch's quantile score, to be stored for the next one.
    pub quantile: Real,
}

/// Runs one epoch: admission in index order, quantile score of the active set, averages of everybody.
/// Errors: [`MathError::Length`] when the lists differ, [`MathError::OutOfRange`] for a rate or quantile outside
/// [0, 1], [`MathError::NotFinite`] on overflow.
pub fn step(epoch: &Epoch) -> Result<Outcome, MathError> {
    let n = epoch.previous.len();
    if epoch.metrics.len() != n {
        return Err(MathError::Length { what: "metrics", expected: n, actual: epoch.metrics.len() });
    }
    let run = run(epoch.previous, epoch.initial, epoch.cap);
    let present: Vec<Real> = run.active.iter().filter_map(|&member| epoch.metrics[member]).collect();
    let quantile = quantile_score(&present, epoch.quantile)?;
    let target = epoch.passive_target.unwrap_or(quantile);
    let mut scores = Vec::with_capacity(n);
    for (index, previous) in epoch.previous.iter().enumerate() {
        let old = previous.unwrap_or(epoch.initial);
        let new = if run.active.binary_search(&index).is_ok() {
            match epoch.metrics[index] {
                Some(metric) => active(epoch.alpha, metric, old, false)?,
                None => old,
            }
        } else if previous.is_some() || run.evicted.contains(&index) {
            passive(epoch.alpha, target, old)?
        } else {
            old
        };
        scores.push(new);
    }
    Ok(Outcome { active: run.active, scores, quantile })
}

fn rate(alpha: Real) -> Result<f64, MathError> {
    if alpha < Real::ZERO || alpha > Real::ONE {
        return Err(MathError::OutOfRange("rate of a score average"));
    }
    Ok(alpha.get())
}

fn doubles(values: &[Real]) -> Vec<f64> {
    values.iter().map(|value| value.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f64) -> Real {
        Real::new(value).unwrap()
    }

    fn known(values: &[f64]) -> Vec<Option<Real>> {
        values.iter().map(|&value| Some(real(value))).collect()
    }

    #[test]
    fn a_candidate_joins_while_there_is_room_and_then_must_be_strictly_better() {
        assert_eq!(admit(0, 1, None, real(-9.0)), Verdict::Join);
        assert_eq!(admit(1, 2, Some(real(5.0)), real(1.0)), Verdict::Join);
        assert_eq!(admit(2, 2, Some(real(5.0)), real(5.0)), Verdict::Refuse);
        assert_eq!(admit(2, 2, Some(real(5.0)), real(5.1)), Verdict::Replace);
        assert_eq!(admit(0, 0, None, real(5.1)), Verdict::Refuse);
        assert_eq!(admit(0, 0, Some(real(1.0)), real(5.1)), Verdict::Refuse);
    }

    #[test]
    fn missed_epochs_are_counted_from_the_last_touched_nonce() {
        assert_eq!(missed(100, 100, 10), 0);
        assert_eq!(missed(200, 100, 10), 0);
        assert_eq!(missed(99, 100, 10), 1);
        assert_eq!(missed(90, 100, 10), 1);
        assert_eq!(missed(89, 100, 10), 2);
        assert_eq!(missed(0, 100, 10), 10);
        assert_eq!(missed(0, u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn silence_decays_a_score_towards_the_initial_one() {
        assert_eq!(liveness(real(0.5), real(0.0), real(8.0), 3).unwrap(), real(1.0));
        assert_eq!(liveness(real(0.5), real(0.0), real(8.0), 0).unwrap(), real(8.0));
        assert_eq!(liveness(real(0.1), real(2.0), real(8.0), u64::MAX).unwrap(), real(2.0));
        let refused = Err(MathError::OutOfRange("rate of a score average"));
        assert_eq!(liveness(real(1.5), real(2.0), real(8.0), 1), refused);
    }

    #[test]
    fn the_smallest_index_among_the_lowest_is_evicted_first() {
        assert_eq!(select(&known(&[1.0, 1.0, 2.0, 2.0]), Real::ZERO, 2), [2, 3]);
        assert_eq!(select(&known(&[1.0, 1.0, 2.0]), Real::ZERO, 2), [1, 2]);
        assert_eq!(select(&known(&[1.0, 1.0, 1.0]), Real::ZERO, 2), [0, 1]);
        assert_eq!(select(&[None, Some(real(0.5)), None], real(1.0), 1), [0]);
        assert_eq!(select(&known(&[1.0, 3.0]), Real::ZERO, 0), [0usize; 0]);
    }

    #[test]
    fn a_refused_newcomer_keeps_the_initial_score_and_an_evicted_one_moves_to_the_quantile() {
        let outcome = step(&Epoch {
            previous: &[None, Some(real(3.0)), None],
            initial: real(1.0),
            metrics: &[None, Some(real(5.0)), None],
            cap: 1,
            alpha: real(0.5),
            quantile: real(0.25),
            passive_target: Some(real(9.0)),
        })
        .unwrap();
        assert_eq!(outcome.active, [1]);
        assert_eq!(outcome.scores, [5.0, 4.0, 1.0].map(real));
        assert_eq!(outcome.quantile, real(5.0));
    }

    #[test]
    fn newcomers_start_below_the_worst_by_the_spread_of_the_scores() {
        assert_eq!(initial_score(&[], real(2.0)).unwrap(), Real::ZERO);
        assert_eq!(initial_score(&[real(0.5)], real(2.0)).unwrap(), real(0.5));
        assert_eq!(initial_score(&[real(1.0), real(3.0)], real(1.0)).unwrap(), real(1.0 - 2f64.sqrt()));
        assert_eq!(initial_score(&[], real(-1.0)), Err(MathError::OutOfRange("lambda")));
    }
}
