//! The power rule by the book: every one-out value is computed from scratch on the members that remain.

use super::median;
use dodona_mechanism::Real;
use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::Forecast;
use dodona_mechanism::topic::power::{MemberState, Pool, PowerConfig, TopicState};

/// A member in the mix: weight, coordinate, and for a forecaster the forecast that makes the coordinate.
#[derive(Clone)]
struct Member {
    weight: f64,
    coordinate: f64,
    forecast: Option<Vec<(usize, f64)>>,
}

/// What the fast path publishes, in plain doubles.
pub struct Slow {
    pub combined: f64,
    pub naive: f64,
    pub inferer_weights: Vec<f64>,
    pub forecaster_weights: Vec<f64>,
    pub implied: Vec<Option<f64>>,
    pub clamped: Vec<f64>,
    pub one_out_inferers: Vec<Option<f64>>,
    pub one_out_forecasters: Vec<Option<f64>>,
}

fn power(base: f64, exponent: u32) -> f64 {
    (0..exponent).fold(1.0, |product, _| product * base)
}

fn weights(config: &PowerConfig, states: &[MemberState]) -> Vec<f64> {
    let scored: Vec<f64> = states.iter().filter(|s| s.count > 0).map(|s| s.loss.get()).collect();
    let count = states.len() as f64;
    if scored.is_empty() {
        return vec![1.0 / count; states.len()];
    }
    let (m, n0) = (median(&scored), config.n0.get());
    let floor = (1e-12 * m).max(1e-300);
    let shrunk = |s: &MemberState| {
        let n = f64::from(s.count);
        ((n * s.loss.get() + n0 * m) / (n + n0)).max(floor)
    };
    let most = states.iter().filter(|s| s.count > 0).map(shrunk).fold(0.0, f64::max);
    let v: Vec<f64> = states.iter().map(|s| if s.count == 0 { most } else { shrunk(s) }).collect();
    let least = v.iter().copied().fold(f64::INFINITY, f64::min);
    let a: Vec<f64> = v.iter().map(|v| power(least / v, config.kappa)).collect();
    let sum: f64 = a.iter().sum();
    let mut w: Vec<f64> = a.iter().map(|a| a / sum).collect();
    let Some(cap) = config.cap else { return w };
    let limit = cap.get().max(1.0 / count);
    let mut capped = vec![];
    while let Some(over) = (0..w.len()).find(|i| !capped.contains(i) && w[*i] > limit) {
        // One at a time, the heaviest first; the others keep their ratios.
        let over = (0..w.len())
            .filter(|i| !capped.contains(i))
            .max_by(|i, j| w[*i].total_cmp(&w[*j]))
            .unwrap_or(over);
        capped.push(over);
        w[over] = limit;
        let left = 1.0 - limit * capped.len() as f64;
        let free: f64 = (0..w.len()).filter(|i| !capped.contains(i)).map(|i| w[i]).sum();
        let free_count = w.len() - capped.len();
        for i in (0..w.len()).filter(|i| !capped.contains(i)) {
            w[i] = if free > 0.0 { w[i] / free * left } else { left / free_count as f64 };
        }
    }
    w
}

fn imply(config: &PowerConfig, forecast: &[(usize, f64)], used: &[f64]) -> Option<f64> {
    let least = forecast.iter().map(|e| e.1).fold(f64::INFINITY, f64::min);
    let shares: Vec<f64> = forecast.iter().map(|e| power(least / e.1, config.kappa)).collect();
    let sum: f64 = shares.iter().sum();
    let mixed: f64 = forecast.iter().zip(&shares).map(|(e, share)| share / sum * used[e.0]).sum();
    (!forecast.is_empty()).then_some(mixed)
}

fn pool(members: &[Member]) -> Option<f64> {
    let weight: f64 = members.iter().map(|m| m.weight).sum();
    let mixed: f64 = members.iter().map(|m| m.weight * m.coordinate).sum();
    (weight > 0.0).then(|| mixed / weight)
}

pub fn open(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[(MemberState, Real)],
    forecasters: &[(MemberState, Forecast)],
) -> Slow {
    let log = config.pool == Pool::Log;
    let clip = |x: f64| {
        if config.loss == dodona_mechanism::topic::loss::Loss::LogLoss { x.clamp(0.01, 0.99) } else { x }
    };
    let to = |x: f64| if log { func::ln(clip(x) / (1.0 - clip(x))) } else { clip(x) };
    let sigmoid = |x: f64| 1.0 / (1.0 + func::exp(-x));
    let network = |x: f64| if log { sigmoid(topic.sharpening.get() * x) } else { x };
    let member = |x: f64| if log { sigmoid(x) } else { x };

    let states: Vec<MemberState> = inferers.iter().map(|i| i.0).collect();
    let mut used: Vec<f64> = inferers.iter().map(|i| to(i.1.get())).collect();
    let naive_weights = weights(config, &states);
    if let (Some(clamp), true) = (config.clamp, topic.scale_count >= 20 && !log) {
        // The least value below or at which half of the weight lies.
        let below =
            |x: f64| -> f64 { (0..used.len()).filter(|i| used[*i] <= x).map(|i| naive_weights[i]).sum() };
        let total: f64 = naive_weights.iter().sum();
        let center = used.iter().copied().filter(|x| below(*x) >= total / 2.0).fold(f64::INFINITY, f64::min);
        let reach = clamp.get() * topic.scale.get();
        used = used.iter().map(|x| x.max(center - reach).min(center + reach)).collect();
    }
    let naive: f64 = naive_weights.iter().zip(&used).map(|(w, z)| w * z).sum();

    let forecasts: Vec<Vec<(usize, f64)>> =
        forecasters.iter().map(|f| f.1.losses.iter().map(|(j, l)| (*j, l.get())).collect()).collect();
    let present: Vec<usize> = (0..forecasters.len()).filter(|k| !forecasts[*k].is_empty()).collect();
    let mut everybody = states.clone();
    everybody.extend(present.iter().map(|k| forecasters[*k].0));
    let w = weights(config, &everybody);
    let mut members: Vec<Member> =
        used.iter().zip(&w).map(|(z, w)| Member { weight: *w, coordinate: *z, forecast: None }).collect();
    for (place, k) in present.iter().enumerate() {
        let coordinate = imply(config, &forecasts[*k], &used).unwrap();
        let forecast = Some(forecasts[*k].clone());
        members.push(Member { weight: w[used.len() + place], coordinate, forecast });
    }

    let without_inferer = |out: usize| {
        let mut left = vec![];
        for (place, m) in members.iter().enumerate().filter(|(place, _)| *place != out) {
            let mut m = m.clone();
            if let Some(forecast) = &m.forecast {
                let rest: Vec<_> = forecast.iter().copied().filter(|e| e.0 != out).collect();
                match imply(config, &rest, &used) {
                    Some(coordinate) => m.coordinate = coordinate,
                    None => continue,
                }
            }
            let _ = place;
            left.push(m);
        }
        pool(&left).map(network)
    };
    let without_forecaster = |place: usize| {
        let mut left = members.clone();
        left.remove(used.len() + place);
        pool(&left).map(network)
    };
    let mut slow = Slow {
        combined: network(pool(&members).unwrap()),
        naive: network(naive),
        inferer_weights: w[..used.len()].to_vec(),
        forecaster_weights: vec![0.0; forecasters.len()],
        implied: vec![None; forecasters.len()],
        clamped: used.iter().map(|z| member(*z)).collect(),
        one_out_inferers: (0..used.len()).map(without_inferer).collect(),
        one_out_forecasters: vec![None; forecasters.len()],
    };
    for (place, k) in present.iter().enumerate() {
        slow.forecaster_weights[*k] = w[used.len() + place];
        slow.implied[*k] = Some(member(members[used.len() + place].coordinate));
        slow.one_out_forecasters[*k] = without_forecaster(place);
    }
    slow
}
