//! The power rule by the book: every one-out value is computed from scratch on the members that remain.

use super::median;
use dodona_mechanism::Real;
use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::Forecast;
use dodona_mechanism::topic::power::{MemberState, Pool, PowerConfig, TopicState};

/// A member in the mix: weight, coordinates (one per label), and for a forecaster the forecast that makes them.
#[derive(Clone)]
struct Member {
    weight: f64,
    coordinates: Vec<f64>,
    forecast: Option<Vec<(usize, f64)>>,
}

/// What the fast path publishes, in plain doubles. Every value is a vector over the labels.
pub struct Slow {
    pub combined: Vec<f64>,
    pub naive: Vec<f64>,
    pub inferer_weights: Vec<f64>,
    pub forecaster_weights: Vec<f64>,
    pub implied: Vec<Option<Vec<f64>>>,
    pub clamped: Vec<Vec<f64>>,
    pub one_out_inferers: Vec<Option<Vec<f64>>>,
    pub one_out_forecasters: Vec<Option<Vec<f64>>>,
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

/// `used` holds one vector over the labels per inferer.
fn imply(config: &PowerConfig, forecast: &[(usize, f64)], used: &[Vec<f64>]) -> Option<Vec<f64>> {
    let least = forecast.iter().map(|e| e.1).fold(f64::INFINITY, f64::min);
    let shares: Vec<f64> = forecast.iter().map(|e| power(least / e.1, config.kappa)).collect();
    let sum: f64 = shares.iter().sum();
    let mixed = |label: usize| {
        forecast.iter().zip(&shares).map(|(e, share)| share / sum * used[e.0][label]).sum::<f64>()
    };
    (!forecast.is_empty()).then(|| (0..used[0].len()).map(mixed).collect())
}

fn pool(members: &[Member]) -> Option<Vec<f64>> {
    let weight: f64 = members.iter().map(|m| m.weight).sum();
    let labels = members.first().map_or(0, |m| m.coordinates.len());
    let mixed = |label: usize| members.iter().map(|m| m.weight * m.coordinates[label]).sum::<f64>() / weight;
    (weight > 0.0).then(|| (0..labels).map(mixed).collect())
}

pub fn open(
    config: &PowerConfig,
    topic: &TopicState,
    inferers: &[MemberState],
    columns: &[Vec<Real>],
    forecasters: &[(MemberState, Forecast)],
) -> Slow {
    let log = config.pool == Pool::Log;
    let labels = columns.len();
    let clipped = log || config.loss == dodona_mechanism::topic::loss::Loss::LogLoss;
    let clip = |x: f64| if clipped { x.clamp(0.01, 0.99) } else { x };
    let to = |x: f64| match (log, labels) {
        (false, _) => x,
        (true, 1) => func::ln(x / (1.0 - x)),
        (true, _) => func::ln(x),
    };
    let back = |a: f64, x: &[f64]| -> Vec<f64> {
        match (log, labels) {
            (false, _) => x.to_vec(),
            (true, 1) => vec![1.0 / (1.0 + func::exp(-a * x[0]))],
            (true, _) => {
                let sum: f64 = x.iter().map(|x| func::exp(a * x)).sum();
                x.iter().map(|x| func::exp(a * x) / sum).collect()
            }
        }
    };
    let network = |x: Vec<f64>| back(topic.sharpening.get(), &x);
    let member = |x: &[f64]| back(1.0, x);

    let naive_weights = weights(config, inferers);
    let mut clamped: Vec<Vec<f64>> =
        columns.iter().map(|column| column.iter().map(|x| clip(x.get())).collect()).collect();
    if let (Some(clamp), true) = (config.clamp, topic.scale_count >= 20 && !log) {
        for column in &mut clamped {
            // The least value below or at which half of the weight lies.
            let below = |x: f64| -> f64 {
                (0..column.len()).filter(|i| column[*i] <= x).map(|i| naive_weights[i]).sum()
            };
            let total: f64 = naive_weights.iter().sum();
            let center =
                column.iter().copied().filter(|x| below(*x) >= total / 2.0).fold(f64::INFINITY, f64::min);
            let reach = clamp.get() * topic.scale.get();
            *column = column.iter().map(|x| x.max(center - reach).min(center + reach)).collect();
        }
    }
    // Member by member from here on: vectors over the labels.
    let used: Vec<Vec<f64>> =
        (0..inferers.len()).map(|j| clamped.iter().map(|column| to(column[j])).collect()).collect();
    let alone: Vec<Member> = used
        .iter()
        .zip(&naive_weights)
        .map(|(z, w)| Member { weight: *w, coordinates: z.clone(), forecast: None })
        .collect();

    let forecasts: Vec<Vec<(usize, f64)>> =
        forecasters.iter().map(|f| f.1.losses.iter().map(|(j, l)| (*j, l.get())).collect()).collect();
    let present: Vec<usize> = (0..forecasters.len()).filter(|k| !forecasts[*k].is_empty()).collect();
    let mut everybody = inferers.to_vec();
    everybody.extend(present.iter().map(|k| forecasters[*k].0));
    let w = weights(config, &everybody);
    let mut members: Vec<Member> = used
        .iter()
        .zip(&w)
        .map(|(z, w)| Member { weight: *w, coordinates: z.clone(), forecast: None })
        .collect();
    for (place, k) in present.iter().enumerate() {
        let coordinates = imply(config, &forecasts[*k], &used).unwrap();
        let forecast = Some(forecasts[*k].clone());
        members.push(Member { weight: w[used.len() + place], coordinates, forecast });
    }

    let without_inferer = |out: usize| {
        let mut left = vec![];
        for (_, m) in members.iter().enumerate().filter(|(place, _)| *place != out) {
            let mut m = m.clone();
            if let Some(forecast) = &m.forecast {
                let rest: Vec<_> = forecast.iter().copied().filter(|e| e.0 != out).collect();
                match imply(config, &rest, &used) {
                    Some(coordinates) => m.coordinates = coordinates,
                    None => continue,
                }
            }
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
        naive: network(pool(&alone).unwrap()),
        inferer_weights: w[..used.len()].to_vec(),
        forecaster_weights: vec![0.0; forecasters.len()],
        implied: vec![None; forecasters.len()],
        clamped,
        one_out_inferers: (0..used.len()).map(without_inferer).collect(),
        one_out_forecasters: vec![None; forecasters.len()],
    };
    for (place, k) in present.iter().enumerate() {
        slow.forecaster_weights[*k] = w[used.len() + place];
        slow.implied[*k] = Some(member(&members[used.len() + place].coordinates));
        slow.one_out_forecasters[*k] = without_forecaster(place);
    }
    slow
}
