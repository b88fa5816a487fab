//! How skilled a model is by itself, in the measures that people bring from other networks. All of them look at changes
//! from the newest known value: at levels, everybody who repeats the last one looks good. Where answers overlap, several
//! epochs share one piece of luck, so intervals are made for the effective number of epochs.

use serde::Serialize;

use super::Ground;

/// Quantile of the normal distribution for intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A number with an interval of 95 %.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A model's skill. What cannot be said, because nothing moved or too little is known, is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Skill {
    /// Epochs with an answer and a known value before.
    pub epochs: usize,
    /// So many independent epochs would say as much.
    pub effective: f64,
    /// Answered epochs of all.
    pub participation: f64,
    /// How often the direction was right, where the truth moved.
    pub direction: Option<Estimate>,
    /// Correlation of predicted and actual change.
    pub pearson: Option<Estimate>,
    /// By how much the root mean squared error, weighted by the size of the actual change, lies below that of repeating
    /// the last value; 1 is perfect, below 0 is worse.
    pub weighted_improvement: Option<f64>,
    /// The same without weights.
    pub improvement: Option<f64>,
    /// Spread of the predicted changes over that of the actual ones: 1 is as bold as the truth.
    pub aspect: Option<f64>,
}

/// Measures the answers.
#[must_use]
pub fn skill(ground: &Ground, values: &[Option<f64>], horizon: usize) -> Skill {
    let pairs: Vec<(f64, f64)> = ground
        .rows
        .iter()
        .zip(values)
        .filter_map(|(row, value)| {
            let last = ground.last_known(row)?;
            Some(((*value)? - last, row.truth - last))
        })
        .collect();
    let answered = values.iter().flatten().count();
    let mut skill = Skill {
        epochs: pairs.len(),
        participation: answered as f64 / values.len().max(1) as f64,
        ..Skill::default()
    };
    if pairs.len() < 3 {
        skill.effective = pairs.len() as f64;
        return skill;
    }
    let n = pairs.len() as f64;
    let mean = |pick: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / n;
    let (mean_p, mean_r) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let var_p = mean(&|pair| (pair.0 - mean_p).powi(2));
    let var_r = mean(&|pair| (pair.1 - mean_r).powi(2));
    let products: Vec<f64> = pairs.iter().map(|(p, r)| (p - mean_p) * (r - mean_r)).collect();
    skill.effective = effective(&products, horizon);
    let effective = skill.effective;

    let moved: Vec<&(f64, f64)> = pairs.iter().filter(|(_, r)| *r != 0.0).collect();
    if !moved.is_empty() {
        let right = moved.iter().filter(|(p, r)| p.signum() == r.signum() && *p != 0.0).count() as f64;
        let share = right / moved.len() as f64;
        skill.direction = Some(wilson(share, effective * moved.len() as f64 / n));
    }
    if var_p > 0.0 && var_r > 0.0 {
        let r = (products.iter().sum::<f64>() / n / (var_p * var_r).sqrt()).clamp(-1.0, 1.0);
        skill.pearson = Some(fisher(r, effective));
        skill.aspect = Some((var_p / var_r).sqrt());
    }
    let improvement = |weight: &dyn Fn(f64) -> f64| {
        let of = |error: &dyn Fn(&(f64, f64)) -> f64| {
            pairs.iter().map(|pair| weight(pair.1) * error(pair).powi(2)).sum::<f64>().sqrt()
        };
        let (own, repeating) = (of(&|(p, r)| p - r), of(&|(_, r)| *r));
        (repeating > 0.0).then(|| 1.0 - own / repeating)
    };
    skill.improvement = improvement(&|_| 1.0);
    skill.weighted_improvement = improvement(&f64::abs);
    skill
}

/// How many independent numbers are worth as much as these: the sum of their autocorrelations, at least over the lags
/// that overlap and until they stop being positive, tells how often the same thing was counted.
fn effective(of: &[f64], horizon: usize) -> f64 {
    let n = of.len() as f64;
    let mean = of.iter().sum::<f64>() / n;
    let variance: f64 = of.iter().map(|x| (x - mean).powi(2)).sum();
    if variance <= 0.0 {
        return n;
    }
    let mut sum = 0.0;
    for lag in 1..of.len() / 2 {
        let covariance: f64 = of.iter().zip(&of[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum();
        let correlation = covariance / variance;
        if correlation <= 0.0 && lag >= horizon {
            break;
        }
        sum += correlation.max(0.0);
    }
    (n / (1.0 + 2.0 * sum)).clamp(1.0, n)
}

/// Wilson's interval of a share seen in so many trials.
fn wilson(share: f64, trials: f64) -> Estimate {
    let trials = trials.max(1.0);
    let centre = (share + Z * Z / (2.0 * trials)) / (1.0 + Z * Z / trials);
    let half = Z / (1.0 + Z * Z / trials)
        * (share * (1.0 - share) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
    Estimate { value: share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// Fisher's interval of a correlation.
fn fisher(r: f64, trials: f64) -> Estimate {
    if r.abs() >= 1.0 - 1e-12 {
        return Estimate { value: r, low: r, high: r };
    }
    let half = Z / (trials - 3.0).max(1.0).sqrt();
    Estimate { value: r, low: (r.atanh() - half).tanh(), high: (r.atanh() + half).tanh() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dodona_participant::series::Point;

    use super::*;
    use crate::candidate::Row;

    /// A truth that goes up and down at random, asked `ahead` steps before.
    fn ground(n: usize, ahead: usize) -> Ground {
        let mut state = 1u64;
        let mut value = 100.0;
        let points: Vec<Point> = (0..n + ahead)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                value += (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
                Point { time: i as i64, value }
            })
            .collect();
        let rows = (0..n)
            .map(|i| Row {
                epoch: i as u64,
                nonce: 0,
                known: i + 1,
                ahead,
                time: (i + ahead) as i64,
                truth: points[i + ahead].value,
            })
            .collect();
        Ground { topic: 0, target: "t".into(), unit: String::new(), points, rows }
    }

    #[test]
    fn knowing_everything_is_perfect_and_repeating_the_last_value_is_nothing() {
        let ground = ground(500, 1);
        let truth: Vec<_> = ground.rows.iter().map(|row| Some(row.truth)).collect();
        let perfect = skill(&ground, &truth, 1);
        assert_eq!(perfect.direction.unwrap().value, 1.0);
        assert!(perfect.pearson.unwrap().value > 0.999_999);
        assert_eq!((perfect.improvement, perfect.aspect), (Some(1.0), Some(1.0)));
        let last: Vec<_> = ground.rows.iter().map(|row| ground.last_known(row)).collect();
        let repeating = skill(&ground, &last, 1);
        assert_eq!((repeating.improvement, repeating.pearson, repeating.aspect), (Some(0.0), None, None));
        // The right direction at a tenth of the size: timid.
        let timid = |row: &Row| ground.last_known(row).map(|last| last + 0.1 * (row.truth - last));
        let timid = skill(&ground, &ground.rows.iter().map(timid).collect::<Vec<_>>(), 1);
        assert!(
            (timid.aspect.unwrap() - 0.1).abs() < 1e-9 && (timid.improvement.unwrap() - 0.1).abs() < 1e-9
        );
    }

    #[test]
    fn answers_that_overlap_count_for_less() {
        let half_right = |ground: &Ground| -> Vec<Option<f64>> {
            let one = |(i, row): (usize, &Row)| {
                let last = ground.last_known(row)?;
                Some(if i % 3 == 0 { last - 0.2 } else { last + 0.5 * (row.truth - last) })
            };
            ground.rows.iter().enumerate().map(one).collect()
        };
        let (near, far) = (ground(600, 1), ground(600, 24));
        let (near, far) = (skill(&near, &half_right(&near), 1), skill(&far, &half_right(&far), 24));
        assert!(far.effective < near.effective / 3.0, "{} {}", far.effective, near.effective);
        let width = |skill: &Skill| skill.direction.unwrap().high - skill.direction.unwrap().low;
        assert!(width(&far) > 1.5 * width(&near), "{far:?} {near:?}");
    }
}
