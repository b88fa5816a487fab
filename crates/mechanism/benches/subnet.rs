//! What an epoch of a subnet costs: 256 and 4096 members under 64 validators, full and thin rows, both bond rules.
//! The last lines are ratios measured in the same run, which no other machine's load distorts.
#![expect(clippy::disallowed_types, reason = "a bench has a clock; the mathematics it measures has none")]

use criterion::{Criterion, criterion_group, criterion_main};
use dodona_mechanism::subnet::epoch::{self, EpochInput, EpochParams};
use dodona_mechanism::subnet::sparse::StoredRow;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time this thread has run, where the system tells; else the time that has passed.
struct Cpu(Instant, Option<Duration>);

impl Cpu {
    fn now() -> Cpu {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let ran = told.and_then(|text| text.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
        Cpu(Instant::now(), ran)
    }

    fn elapsed(&self) -> Duration {
        match (self.1, Cpu::now().1) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.0.elapsed(),
        }
    }
}

/// A subnet between two epochs.
struct Subnet {
    params: EpochParams,
    stake: Vec<u64>,
    permit: Vec<bool>,
    last_update: Vec<u64>,
    registered: Vec<u64>,
    rows: Vec<StoredRow>,
}

impl Subnet {
    /// `n` members, of which the first `validators` weigh one in `thin` of the others.
    fn new(n: u16, validators: u16, thin: u16, yuma3: bool, liquid: bool) -> Subnet {
        let mut state = 7u64;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 48) as u16
        };
        let mut row = |uid: u16| match uid < validators {
            true => (validators..n).filter(|j| (j + uid).is_multiple_of(thin)).map(|j| (j, draw())).collect(),
            false => Vec::new(),
        };
        let mut params = EpochParams::default();
        (params.bonds.yuma3, params.bonds.liquid) = (yuma3, liquid);
        let validates = |uid: u16| uid < validators;
        Subnet {
            params,
            stake: (0..n)
                .map(|uid| if validates(uid) { 1_000_000_000 + u64::from(uid) } else { 0 })
                .collect(),
            permit: (0..n).map(validates).collect(),
            last_update: vec![100; usize::from(n)],
            registered: vec![1; usize::from(n)],
            rows: (0..n).map(&mut row).collect(),
        }
    }

    fn run(&self) -> usize {
        let input = EpochInput {
            params: &self.params,
            block: 101,
            last_step: 50,
            emission: 1_000_000_000,
            stake: &self.stake,
            permit: &self.permit,
            last_update: &self.last_update,
            registered: &self.registered,
            weights: &self.rows,
            bonds: &self.rows,
            commits: None,
        };
        epoch::run(&input).expect("the benchmark's own subnet is in order").bonds.len()
    }

    /// The least processor time of a run, of several means: other work on the machine lengthens it least.
    fn least(&self, runs: u32) -> Duration {
        let mean = || {
            let start = Cpu::now();
            for _ in 0..runs {
                black_box(self.run());
            }
            start.elapsed() / runs
        };
        (0..8).map(|_| mean()).min().unwrap_or_default()
    }
}

fn epochs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subnet epoch");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, subnet) in [
        ("256 x 64 classic", Subnet::new(256, 64, 1, false, false)),
        ("256 x 64 yuma3", Subnet::new(256, 64, 1, true, false)),
        ("256 x 64 liquid", Subnet::new(256, 64, 1, true, true)),
        ("4096 x 64 classic", Subnet::new(4096, 64, 1, false, false)),
        ("4096 x 64 yuma3", Subnet::new(4096, 64, 1, true, false)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(subnet.run())));
    }
    group.finish();
    let time = |n: u16, thin, yuma3| Subnet::new(n, 64, thin, yuma3, false).least(200 * 256 / u32::from(n));
    let (small, full, half) = (time(256, 1, false), time(4096, 1, false), time(4096, 2, false));
    println!("processor time, yuma3: 256 {:?}, 4096 {:?}", time(256, 1, true), time(4096, 1, true));
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    println!("processor time, classic: 256 {small:?}, 4096 {full:?}, 4096 with half the weights {half:?}");
    println!(
        "4096 : 256 (21 times the weights) {:.1}; all : half the weights {:.2}",
        ratio(full, small),
        ratio(full, half)
    );
}

criterion_group!(benches, epochs);
criterion_main!(benches);
