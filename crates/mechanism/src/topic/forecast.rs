//! Forecast-implied inferences: the inference a forecaster makes by saying how large everybody's loss will be.
//! One form per synthesis rule; both are convex mixes of the inferences the forecast speaks about.

use crate::error::MathError;
use crate::real::func;
use crate::stats;
use crate::topic::combine::Forecast;
use crate::topic::regret::{RegretConfig, regret_scale, regret_weights};

/// Weights of the power rule (combine specification, section 5) in the order of the forecast's entries: in proportion
/// to `F_j^-kappa`, taken as `(min F / F_j)^kappa` so that nothing overflows. Not normalised: the entry with the least
/// predicted loss has weight 1. Errors: [`MathError::OutOfRange`] for a predicted loss that is not positive,
/// [`MathError::Empty`] for an empty forecast.
pub fn power_weights(forecast: &Forecast, kappa: u32) -> Result<Vec<f64>, MathError> {
    let losses = || forecast.losses.iter().map(|&(_, loss)| loss.get());
    let least = losses().fold(f64::INFINITY, f64::min);
    if forecast.losses.is_empty() {
        return Err(MathError::Empty("forecast"));
    }
    if least <= 0.0 {
        return Err(MathError::OutOfRange("forecast loss"));
    }
    Ok(losses().map(|loss| func::powi(least / loss, kappa)).collect())
}

/// A forecaster's implied inference under the regret rule, and what remains of it without each inferer.
#[derive(Clone, Debug, PartialEq)]
pub struct RegretImplied {
    /// L implied values, one per label; none for an empty forecast.
    pub values: Vec<Option<f64>>,
    /// L x N: the implied value without inferer j; as in `values` where the forecast does not speak about j, none
    /// where it speaks about j only.
    pub without: Vec<Vec<Option<f64>>>,
}

/// The implied inference of the regret rule (topic specification, section 4.3) on L `columns` of N inferences.
///
/// Regrets are `previous - F_j`, `previous` being the network's last loss; weights as in section 4.1 with the stored
/// `scale`, or with the scale of the very regrets being weighted where none is stored (`scale == 0`), made once for
/// all labels. For a topic whose inferers are all new (`new`) it is the median of each label, and for one inferer that
/// inferer's value. Errors: those of [`Forecast::check`], [`MathError::NotFinite`] when a weight overflows.
pub fn regret_implied(
    config: &RegretConfig,
    forecast: &Forecast,
    columns: &[Vec<f64>],
    previous: f64,
    scale: f64,
    new: bool,
) -> Result<RegretImplied, MathError> {
    let n = columns.first().map_or(0, Vec::len);
    let Spoken { members, columns, regrets } = Spoken::of(forecast, columns, previous)?;
    let values = implied_without(config, &columns, &regrets, None, scale, new)?;
    let mut without: Vec<Vec<Option<f64>>> = values.iter().map(|&value| vec![value; n]).collect();
    let sigmoids = if new || scale == 0.0 { None } else { shared_sigmoids(config, &regrets, scale) };
    for (place, &member) in members.iter().enumerate() {
        match &sigmoids {
            Some(sigmoids) if members.len() > 2 => {
                for (without, values) in without.iter_mut().zip(&columns) {
                    without[member] = Some(mix_without(values, sigmoids, place));
                }
            }
            _ => {
                let left = implied_without(config, &columns, &regrets, Some(place), scale, new)?;
                for (without, value) in without.iter_mut().zip(left) {
                    without[member] = value;
                }
            }
        }
    }
    Ok(RegretImplied { values, without })
}

/// The values of [`regret_implied`] alone, in time linear in the entries of the forecast. Errors: the same.
pub fn regret_values(
    config: &RegretConfig,
    forecast: &Forecast,
    columns: &[Vec<f64>],
    previous: f64,
    scale: f64,
    new: bool,
) -> Result<Vec<Option<f64>>, MathError> {
    let Spoken { columns, regrets, .. } = Spoken::of(forecast, columns, previous)?;
    implied_without(config, &columns, &regrets, None, scale, new)
}

/// What a forecast speaks about.
struct Spoken {
    /// Places of the inferers.
    members: Vec<usize>,
    /// Their inferences, label by label.
    columns: Vec<Vec<f64>>,
    /// Their regrets by the forecast.
    regrets: Vec<f64>,
}

impl Spoken {
    fn of(forecast: &Forecast, columns: &[Vec<f64>], previous: f64) -> Result<Spoken, MathError> {
        forecast.check(columns.first().map_or(0, Vec::len))?;
        let members: Vec<usize> = forecast.losses.iter().map(|&(index, _)| index).collect();
        let regrets = forecast.losses.iter().map(|&(_, loss)| previous - loss.get()).collect();
        let columns =
            columns.iter().map(|column| members.iter().map(|&index| column[index]).collect()).collect();
        Ok(Spoken { members, columns, regrets })
    }
}

/// The formula itself, on the entries other than `out`: one value per label, none where no entry is left.
fn implied_without(
    config: &RegretConfig,
    columns: &[Vec<f64>],
    regrets: &[f64],
    out: Option<usize>,
    scale: f64,
    new: bool,
) -> Result<Vec<Option<f64>>, MathError> {
    let rest = |entries: &[f64]| -> Vec<f64> {
        entries.iter().enumerate().filter(|&(place, _)| Some(place) != out).map(|(_, &entry)| entry).collect()
    };
    let regrets = rest(regrets);
    if regrets.len() <= 1 {
        return Ok(columns.iter().map(|column| rest(column).first().copied()).collect());
    }
    if new {
        return columns.iter().map(|column| stats::median_mut(&mut rest(column)).map(Some)).collect();
    }
    let scale = if scale == 0.0 { regret_scale(&regrets, config.epsilon.get()) } else { scale };
    let weights = regret_weights(config, &regrets, scale)?;
    let mixed = |column: &Vec<f64>| {
        let values = rest(column);
        let (weighted, sum) =
            values.iter().zip(&weights).fold((0.0, 0.0), |(v, s), (x, w)| (v + w * x, s + w));
        Some(weighted / sum)
    };
    Ok(columns.iter().map(mixed).collect())
}

/// The weights' common factor cancels in the mix, so one sigmoid per entry serves every removal. None when the
/// sigmoids are so small that removing the best entry would leave numbers without enough bits.
fn shared_sigmoids(config: &RegretConfig, regrets: &[f64], scale: f64) -> Option<Vec<f64>> {
    let (p, c) = (config.p_norm.get(), config.c_norm.get());
    let sigmoids: Vec<f64> =
        regrets.iter().map(|regret| 1.0 / (func::exp(-p * (regret / scale - c)) + 1.0)).collect();
    let mut largest = [0.0f64; 2];
    for &sigmoid in &sigmoids {
        if sigmoid > largest[0] {
            largest = [sigmoid, largest[0]];
        } else if sigmoid > largest[1] {
            largest[1] = sigmoid;
        }
    }
    (largest[1] > 1e-250).then_some(sigmoids)
}

fn mix_without(values: &[f64], weights: &[f64], out: usize) -> f64 {
    let (mut weighted, mut sum) = (0.0, 0.0);
    for (place, (value, weight)) in values.iter().zip(weights).enumerate() {
        if place != out {
            weighted += weight * value;
            sum += weight;
        }
    }
    weighted / sum
}
