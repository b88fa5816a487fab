//! Epochs per second of the whole state machine: 18 members, one reputer, one block per epoch, store in memory.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dodona_participant::series::PredictionMatrix;
use dodona_proto::topics::{Loss, Rule};
use dodona_sim::{
    backtest::{Source, run},
    world::Setup,
};

/// A matrix with members of different skill around a wave.
fn matrix(rows: usize, members: usize) -> PredictionMatrix {
    let mut text = String::from("timestamp,truth");
    for m in 0..members {
        text.push_str(&format!(",member{m}"));
    }
    let mut seed = 1u64;
    for row in 0..rows {
        let truth = 100.0 + (row % 48) as f64;
        text.push_str(&format!("\n{},{truth}", 1_600_000_000 + 1800 * row));
        for m in 0..members {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let noise = (seed >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
            text.push_str(&format!(",{}", truth + noise * (m + 1) as f64));
        }
    }
    PredictionMatrix::from_csv(text.as_bytes()).expect("made above")
}

fn bench(c: &mut Criterion) {
    const ROWS: usize = 1_000;
    let mut group = c.benchmark_group("backtest");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    for (name, rule) in [("power, 18 members", Rule::Power), ("regret, 18 members", Rule::Regret)] {
        let setup = Setup { rule, loss: Loss::Squared, horizon: 1, seed: 1 };
        group.bench_function(name, |b| {
            b.iter_with_setup(|| Source::Matrix(matrix(ROWS, 18)), |s| run(s, &setup, |_, _| {}).map(drop))
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
