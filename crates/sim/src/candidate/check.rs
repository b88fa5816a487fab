//! What to look for before the figures are believed: a model that does not answer, always says the same, speaks in
//! another unit, or knows what it cannot know.

use dodona_participant::{
    adapter::{Adapter, Answer},
    run::Preflight,
    series::Point,
};
use serde::Serialize;

use super::{Asked, Ground, ask::context};

/// Questions that are put again with another past.
const PROBES: usize = 5;
/// Answers that must be there before anything is said about them.
const ENOUGH: usize = 10;
/// Share of doubtful answers that makes the whole doubtful.
const MANY: f64 = 0.5;
/// So small a part of the error of repeating the last value is too good to be believed without a look.
const TOO_GOOD: f64 = 0.01;

/// How one thing is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Fine.
    Ok,
    /// Worth a look.
    Warning,
    /// The figures mean nothing before it is mended.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when all is well.
    pub remedy: &'static str,
}

fn done(name: &'static str, state: State, found: String, remedy: &'static str) -> Check {
    Check { name, state, found, remedy: if state == State::Ok { "" } else { remedy } }
}

/// Looks at the answers; with the model at hand, also asks it again about another past.
pub fn check(ground: &Ground, asked: &Asked, model: Option<&mut dyn Adapter>) -> Vec<Check> {
    let mut checks = vec![participation(asked), constant(ground, asked), unit(ground, asked)];
    let blind = model.and_then(|model| blind(ground, asked, model));
    checks.push(leakage(ground, asked, blind));
    checks
}

fn participation(asked: &Asked) -> Check {
    let a = &asked.answers;
    let share = a.answered as f64 / a.asked.max(1) as f64;
    let mut found = format!("{} of {} questions ({:.1} %)", a.answered, a.asked, 100.0 * share);
    if a.silent > 0 {
        found.push_str(&format!(", nothing to say {} times", a.silent));
    }
    if let Some(why) = &a.first_failure {
        found.push_str(&format!(", failed {} times, first: {why}", a.failed));
    }
    let state = match share {
        _ if share >= 0.9 => State::Ok,
        _ if share > 0.0 => State::Warning,
        _ => State::Bad,
    };
    done(
        "answers",
        state,
        found,
        "an epoch without an answer earns nothing: mend what fails, say something early on",
    )
}

fn constant(ground: &Ground, asked: &Asked) -> Check {
    let said: Vec<(f64, f64)> = asked
        .values
        .iter()
        .zip(&ground.rows)
        .filter_map(|(value, row)| Some(((*value)?, row.truth)))
        .collect();
    let differ =
        |pick: &dyn Fn(&(f64, f64)) -> f64| said.windows(2).filter(|w| pick(&w[0]) != pick(&w[1])).count();
    let (answers, truths) = (differ(&|pair| pair.0), differ(&|pair| pair.1));
    let remedy = "does the model look at ctx.history? The chain's own check would hold such answers back";
    if said.len() < ENOUGH || truths * 4 < said.len() {
        return done("constant", State::Ok, "the truth hardly moved: nothing to say".into(), remedy);
    }
    match answers {
        0 => done("constant", State::Bad, format!("always {}", said[0].0), remedy),
        n if n * 10 < said.len() => {
            done("constant", State::Warning, format!("changed {n} times in {} answers", said.len()), remedy)
        }
        _ => done("constant", State::Ok, "answers change as the truth does".into(), remedy),
    }
}

fn unit(ground: &Ground, asked: &Asked) -> Check {
    let (mut doubted, mut seen, mut first) = (0, 0, None);
    for (row, value) in ground.rows.iter().zip(&asked.values) {
        let Some(value) = value else { continue };
        seen += 1;
        // A fresh look each time: the same answer again is another check's business.
        if let Err(doubt) = Preflight::default().check(*value, &ground.points[..row.known], &ground.unit) {
            doubted += 1;
            first.get_or_insert((*value, doubt));
        }
    }
    let state = match doubted as f64 {
        0.0 => State::Ok,
        n if n < MANY * f64::from(seen) => State::Warning,
        _ => State::Bad,
    };
    let found = match first {
        None => "within reach of the recent truths".into(),
        Some((value, _)) => {
            format!("{doubted} of {seen} answers lie far from the recent truths, first {value}")
        }
    };
    done(
        "unit",
        state,
        found,
        "is it the unit of the truth, a level and not a change, a number and not its logarithm?",
    )
}

/// Whether the model says the same about a past that never was. None, if too little was answered to tell.
fn blind(ground: &Ground, asked: &Asked, model: &mut dyn Adapter) -> Option<bool> {
    let answered: Vec<usize> = (0..asked.values.len()).filter(|at| asked.values[*at].is_some()).collect();
    if answered.len() < ENOUGH {
        return None;
    }
    let (mut same, mut told) = (0, 0);
    for probe in 1..=PROBES {
        let at = answered[(answered.len() - 1) * probe / PROBES];
        let row = &ground.rows[at];
        let history = other_past(&ground.points[..row.known]);
        if let Ok(Answer::Value(value)) = model.predict(&context(ground, row, &history)) {
            told += 1;
            same += usize::from(Some(value) == asked.values[at]);
        }
    }
    (told > 0).then_some(same == told)
}

/// The same times, other values: mirrored at their mean, and moved by their spread.
fn other_past(points: &[Point]) -> Vec<Point> {
    let n = points.len().max(1) as f64;
    let mean = points.iter().map(|point| point.value).sum::<f64>() / n;
    let spread = (points.iter().map(|point| (point.value - mean).powi(2)).sum::<f64>() / n).sqrt();
    let other =
        |point: &Point| Point { value: 2.0 * mean - point.value + spread.max(mean.abs() * 0.01), ..*point };
    points.iter().map(other).collect()
}

fn leakage(ground: &Ground, asked: &Asked, blind: Option<bool>) -> Check {
    let (mut own, mut repeating, mut exact, mut n) = (0.0, 0.0, 0usize, 0usize);
    for (row, value) in ground.rows.iter().zip(&asked.values) {
        let (Some(value), Some(last)) = (value, ground.last_known(row)) else { continue };
        own += (value - row.truth).powi(2);
        repeating += (last - row.truth).powi(2);
        // Not where the last value would have been exact too.
        exact += usize::from(*value == row.truth && last != row.truth);
        n += 1;
    }
    let remedy = "only what is in the question may be used: no file or table that holds the truth, no feature from after \
                  the question, no fitting on all rows";
    if n < ENOUGH {
        return done("leakage", State::Ok, "too few answers to tell".into(), remedy);
    }
    let too_good = repeating > 0.0 && own < TOO_GOOD * repeating;
    let often_exact = exact * 2 > n;
    let (state, found) = match (too_good || often_exact, blind) {
        (true, Some(true)) => (
            State::Bad,
            format!(
                "right as if it knew ({exact} of {n} exact), and the same answers to a past that never was"
            ),
        ),
        (true, _) => {
            let ratio = if repeating > 0.0 { 100.0 * own / repeating } else { 0.0 };
            (
                State::Warning,
                format!("too good: {ratio:.3} % of the squared error of repeating the last value"),
            )
        }
        (false, Some(true)) => {
            (State::Warning, "the same answers to a past that never was: the history is not used".into())
        }
        (false, Some(false)) => (State::Ok, "asked only with what was known, and it listens to it".into()),
        (false, None) => {
            (State::Ok, "not better than what can be known; the model itself was not asked again".into())
        }
    };
    done("leakage", state, found, remedy)
}
