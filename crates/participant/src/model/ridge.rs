//! Ridge regression on the near past, the same time yesterday and last week, and the position in day and week.
//! One linear model that can be persistence, seasonal naive or climatology, or any blend the data ask for.

use super::Model;
use super::history::Path;
use super::linear::{Features, Frame, Linear, Recipe};

/// Waves per day and per week: enough for a morning and an evening peak, and for a weekend.
const DAY_WAVES: usize = 3;
const WEEK_WAVES: usize = 3;

/// Lags, changes a season ago, and waves of the calendar.
struct Calendar {
    day: usize,
    week: usize,
    /// One turn of sine and cosine each, per step of the season.
    day_circle: Vec<(f64, f64)>,
    week_circle: Vec<(f64, f64)>,
}

/// Ridge regression with seasons of so many steps (at least 1 each), discount 0.9995 per observation.
pub fn ridge(day: usize, week: usize) -> impl Model {
    let (day, week) = (day.max(1), week.max(1));
    let recipe = Recipe {
        name: "ridge-calendar",
        about: "Linear mix of the last values, yesterday, last week and the calendar.",
        size: 1 + 4 + 6 + 2 * (DAY_WAVES + WEEK_WAVES),
        reach: day + 1,
        memory: week + 1,
        forget: 0.9995,
        prior: 0.3,
    };
    Linear::new(recipe, Calendar { day, week, day_circle: circle(day), week_circle: circle(week) })
}

impl Features for Calendar {
    fn write(&self, path: Path<'_>, frame: Frame, into: &mut Vec<f64>) {
        into.push(1.0);
        into.extend((1..=4).map(|lag| frame.place(path.lag(lag))));
        for season in [self.day, self.week] {
            let (before, then, after) =
                (path.lag(season + 1), path.lag(season), path.lag((season - 1).max(1)));
            into.push(frame.place(then));
            into.push(frame.change(before, then));
            into.push(frame.change(then, after));
        }
        for (circle, waves) in [(&self.day_circle, DAY_WAVES), (&self.week_circle, WEEK_WAVES)] {
            for wave in 1..=waves {
                let (sine, cosine) = circle[path.index() % circle.len() * wave % circle.len()];
                into.extend([sine, cosine]);
            }
        }
    }
}

/// Sine and cosine of one full turn in `steps` steps.
fn circle(steps: usize) -> Vec<(f64, f64)> {
    let turn = |step: usize| 2.0 * std::f64::consts::PI * step as f64 / steps as f64;
    (0..steps).map(|step| (libm::sin(turn(step)), libm::cos(turn(step)))).collect()
}
