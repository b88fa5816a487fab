//! The regret rule by the book: one function per component, sets and regrets gathered afresh for each.

use super::median;
use dodona_mechanism::Real;
use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::Forecast;
use dodona_mechanism::topic::regret::{RegretConfig, RegretState, Regrets};

/// The components of one epoch and label in plain doubles.
pub struct Slow {
    pub combined: f64,
    pub naive: f64,
    pub implied: Vec<Option<f64>>,
    pub one_out_inferers: Vec<Option<f64>>,
    pub one_out_forecasters: Vec<Option<f64>>,
    pub one_in_forecasters: Vec<Option<f64>>,
    pub one_out_inferer_forecaster: Vec<Vec<Option<f64>>>,
}

/// The weighted mean of (regret, value) pairs: weights in proportion to the gradient p / (e^(p(c - x)) + 1).
fn mean(config: &RegretConfig, stored: f64, set: &[(f64, f64)]) -> f64 {
    let regrets: Vec<f64> = set.iter().map(|m| m.0).collect();
    let center = median(&regrets);
    let spread = median(&regrets.iter().map(|r| (r - center).abs()).collect::<Vec<_>>());
    let scale = if stored == 0.0 { 1.4826 * spread + config.epsilon.get() } else { stored };
    let (p, c) = (config.p_norm.get(), config.c_norm.get());
    // Logarithms of the gradients: their size does not matter, their ratios do.
    let gradient = |regret: f64| {
        let y = p * (c - regret / scale);
        if y > 0.0 { -y - func::ln_1p(func::exp(-y)) } else { -func::ln_1p(func::exp(y)) }
    };
    let best = set.iter().map(|m| gradient(m.0)).fold(f64::NEG_INFINITY, f64::max);
    let weight = |regret: f64| func::exp(gradient(regret) - best);
    let total: f64 = set.iter().map(|m| weight(m.0)).sum();
    set.iter().map(|m| weight(m.0) * m.1).sum::<f64>() / total
}

/// One label after the other, as if the others did not exist.
pub fn open(
    config: &RegretConfig,
    state: &RegretState<u32>,
    inferers: &[u32],
    columns: &[Vec<Real>],
    forecasters: &[(u32, Forecast)],
) -> Vec<Slow> {
    columns.iter().map(|column| open_one(config, state, inferers, column, forecasters)).collect()
}

fn open_one(
    config: &RegretConfig,
    state: &RegretState<u32>,
    inferers: &[u32],
    column: &[Real],
    forecasters: &[(u32, Forecast)],
) -> Slow {
    let scale = state.scale.get();
    let (n, k_all) = (inferers.len(), forecasters.len());
    let value = |j: usize| column[j].get();
    let read = |family: Option<&Regrets<u32>>, name: u32| -> f64 {
        family.and_then(|f| f.get(&name)).copied().unwrap_or(state.initial).get()
    };
    let imply = |k: usize, out: Option<usize>| -> Option<f64> {
        let entries: Vec<_> = forecasters[k].1.losses.iter().filter(|e| Some(e.0) != out).collect();
        match entries.len() {
            0 => None,
            1 => Some(value(entries[0].0)),
            _ => {
                let previous = state.previous_loss?.get();
                let set: Vec<_> = entries.iter().map(|e| (previous - e.1.get(), value(e.0))).collect();
                Some(mean(config, scale, &set))
            }
        }
        .filter(|_| state.previous_loss.is_some())
    };
    let active: Vec<usize> = (0..k_all).filter(|k| imply(*k, None).is_some()).collect();

    let inferer_set = |family: Option<&Regrets<u32>>, out: Option<usize>| -> Vec<(f64, f64)> {
        (0..n).filter(|j| Some(*j) != out).map(|j| (read(family, inferers[j]), value(j))).collect()
    };
    let mut combined = inferer_set(Some(&state.inferers), None);
    for k in &active {
        combined.push((read(Some(&state.forecasters), forecasters[*k].0), imply(*k, None).unwrap()));
    }
    let one_out_inferer = |out: usize| {
        let name = inferers[out];
        let mut set = inferer_set(state.one_out_inferer_inferers.get(&name), Some(out));
        for k in &active {
            if let Some(implied) = imply(*k, Some(out)) {
                set.push((read(state.one_out_inferer_forecasters.get(&name), forecasters[*k].0), implied));
            }
        }
        Some(mean(config, scale, &set))
    };
    let mut slow = Slow {
        combined: mean(config, scale, &combined),
        naive: mean(config, scale, &inferer_set(Some(&state.naive), None)),
        implied: (0..k_all).map(|k| imply(k, None)).collect(),
        one_out_inferers: (0..n).map(one_out_inferer).collect(),
        one_out_forecasters: vec![None; k_all],
        one_in_forecasters: vec![None; k_all],
        one_out_inferer_forecaster: (0..k_all).map(|k| (0..n).map(|j| imply(k, Some(j))).collect()).collect(),
    };
    if active.len() > 1 {
        for out in &active {
            let name = forecasters[*out].0;
            let mut set = inferer_set(state.one_out_forecaster_inferers.get(&name), None);
            for k in active.iter().filter(|k| *k != out) {
                let family = state.one_out_forecaster_forecasters.get(&name);
                set.push((read(family, forecasters[*k].0), imply(*k, None).unwrap()));
            }
            slow.one_out_forecasters[*out] = Some(mean(config, scale, &set));
            let mut set = inferer_set(state.one_in_forecaster_inferers.get(&name), None);
            set.push((read(Some(&state.one_in_forecasters), name), imply(*out, None).unwrap()));
            slow.one_in_forecasters[*out] = Some(mean(config, scale, &set));
        }
    }
    slow
}
