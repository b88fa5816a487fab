//! What an epoch costs: open and close under both rules, all one-out values included, on one core.
//! The last line is the ratio of the two rules measured in the same run, which no other machine's load distorts.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dodona_mechanism::Real;
use dodona_mechanism::topic::combine::{Forecast, Losses, Truth};
use dodona_mechanism::topic::loss::Loss;
use dodona_mechanism::topic::power::{
    self, MemberState, PowerClosing, PowerConfig, PowerOpening, TopicState,
};
use dodona_mechanism::topic::regret::{self, RegretConfig, RegretState};
use std::hint::black_box;

fn real(value: f64) -> Real {
    Real::new(value).expect("the benchmark's own numbers are finite")
}

/// A repeatable stream of numbers in -0.5..0.5.
struct Noise(u64);

impl Noise {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }
}

/// A truth of 0.1 at every label.
fn truth(labels: usize) -> Truth {
    Truth::known(&vec![real(0.1); labels])
}

/// Forecasts by k forecasters of `entries` predicted losses each, spread over n inferers.
fn forecasts(noise: &mut Noise, n: usize, k: usize, entries: usize) -> Vec<Forecast> {
    let step = n / entries;
    let mut forecast =
        || Forecast { losses: (0..entries).map(|e| (e * step, real(1.0 + noise.draw()))).collect() };
    (0..k).map(|_| forecast()).collect()
}

/// A power epoch of n inferers and k forecasters in the middle of its life.
struct PowerEpoch {
    config: PowerConfig,
    topic: TopicState,
    columns: Vec<Vec<Real>>,
    forecasters: Vec<(MemberState, Forecast)>,
    states: (Vec<MemberState>, Vec<MemberState>),
}

impl PowerEpoch {
    fn new(labels: usize, n: usize, k: usize, entries: usize) -> PowerEpoch {
        let mut noise = Noise(7);
        let mut state =
            || MemberState { loss: real(1.5 + noise.draw()), count: 100, score: real(noise.draw()) };
        let states: (Vec<_>, Vec<_>) = ((0..n).map(|_| state()).collect(), (0..k).map(|_| state()).collect());
        let mut noise = Noise(11);
        let columns = (0..labels).map(|_| (0..n).map(|_| real(noise.draw())).collect()).collect();
        let forecasters = states.1.iter().copied().zip(forecasts(&mut noise, n, k, entries)).collect();
        let topic = TopicState { scale: real(0.3), scale_count: 100, ..TopicState::new() };
        PowerEpoch { config: PowerConfig::for_loss(Loss::Squared), topic, columns, forecasters, states }
    }

    fn run(&self) -> PowerClosing {
        let truth = truth(self.columns.len());
        power::close(&self.config, &self.topic, &self.states.0, &self.states.1, &self.open(), &truth)
            .expect("a valid epoch closes")
    }

    fn open(&self) -> PowerOpening {
        power::open(&self.config, &self.topic, &self.states.0, &self.columns, &self.forecasters)
            .expect("a valid epoch opens")
    }
}

/// A regret epoch whose state went through one scored epoch, so that every family is filled.
struct RegretEpoch {
    config: RegretConfig,
    state: RegretState<[u8; 20]>,
    columns: Vec<Vec<Real>>,
    forecasters: Vec<([u8; 20], Forecast)>,
    names: (Vec<[u8; 20]>, Vec<[u8; 20]>),
}

impl RegretEpoch {
    fn new(n: usize, k: usize) -> RegretEpoch {
        let mut noise = Noise(13);
        let name = |role: u8, place: usize| {
            let mut name = [role; 20];
            name[1..9].copy_from_slice(&(place as u64).to_be_bytes());
            name
        };
        let columns = vec![(0..n).map(|_| real(noise.draw())).collect()];
        let forecasters: Vec<_> = forecasts(&mut noise, n, k, n)
            .into_iter()
            .zip(0..)
            .map(|(forecast, k)| (name(2, k), forecast))
            .collect();
        let names = ((0..n).map(|j| name(1, j)).collect(), forecasters.iter().map(|f| f.0).collect());
        let mut epoch = RegretEpoch {
            config: RegretConfig::new(),
            state: RegretState::new(),
            columns,
            forecasters,
            names,
        };
        // The first epoch has no loss to imply anything from, the second fills the forecasters' families.
        for _ in 0..3 {
            epoch.state = epoch.run().state;
        }
        epoch
    }

    fn run(&self) -> regret::RegretClosing<[u8; 20]> {
        let opening =
            regret::open(&self.config, &self.state, &self.names.0, &self.columns, &self.forecasters)
                .expect("a valid epoch opens");
        let bundle = opening.bundle().expect("an opening fits its inferences");
        let losses =
            Losses::of(&bundle, &truth(1), Loss::Squared, self.config.form()).expect("finite losses");
        regret::close(&self.config, &self.state, &self.names.0, &self.names.1, &losses)
            .expect("a valid epoch closes")
    }
}

fn rules(criterion: &mut Criterion) {
    let power = PowerEpoch::new(1, 32, 6, 32);
    let regret = RegretEpoch::new(32, 6);
    criterion.bench_function("power/open_close/32x6", |bencher| bencher.iter(|| black_box(&power).run()));
    criterion.bench_function("power/open/32x6", |bencher| {
        bencher.iter(|| black_box(&power).open());
    });
    let labels = PowerEpoch::new(8, 32, 6, 32);
    criterion.bench_function("power/open_close/32x6, 8 labels", |bencher| {
        bencher.iter(|| black_box(&labels).run());
    });
    // The largest epoch promised: a forecaster may speak about 12 inferers.
    let crowd = PowerEpoch::new(1, 10_000, 50, 12);
    criterion.bench_function("power/open_close/10000x50, forecasts of 12", |bencher| {
        bencher.iter(|| black_box(&crowd).run());
    });
    criterion.bench_function("regret/open_close/32x6", |bencher| bencher.iter(|| black_box(&regret).run()));
    let large = RegretEpoch::new(500, 20);
    let mut slow = criterion.benchmark_group("regret/large");
    slow.sample_size(10);
    slow.bench_function("open_close/500x20", |bencher| bencher.iter(|| black_box(&large).run()));
    slow.finish();
    let mut growth = criterion.benchmark_group("power/growth");
    for n in [32, 256, 2048, 10_000] {
        let epoch = PowerEpoch::new(1, n, 6, n);
        growth.bench_with_input(BenchmarkId::from_parameter(n), &epoch, |bencher, epoch| {
            bencher.iter(|| epoch.run());
        });
    }
    growth.finish();
    ratio(&power, &regret);
}

/// Alternates the two rules and prints how many times dearer the regret rule is.
#[expect(clippy::disallowed_types, reason = "a benchmark is where a clock belongs")]
fn ratio(power: &PowerEpoch, regret: &RegretEpoch) {
    let (mut power_time, mut regret_time) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    for _ in 0..2000 {
        let start = std::time::Instant::now();
        black_box(power.run());
        let middle = std::time::Instant::now();
        black_box(regret.run());
        power_time += middle - start;
        regret_time += middle.elapsed();
    }
    println!("regret / power, 32x6: {:.1}", regret_time.as_secs_f64() / power_time.as_secs_f64());
}

criterion_group!(benches, rules);
criterion_main!(benches);
