//! What a verification costs with a hundred validators: everything from the document's bytes to the report, and how
//! large the document is. Goal: 20 ms and 16 kB.

#[path = "../tests/common/mod.rs"]
mod common;

use common::*;
use criterion::{Criterion, criterion_group, criterion_main};
use dodona_light::{Policy, verify};
use std::hint::black_box;

fn hundred(c: &mut Criterion) {
    let mut net = Net::new();
    net.store = state(100_000);
    let members: Vec<(u64, u64)> = (1..=100).map(|k| (k, 1_000 + k)).collect();
    let (members, everybody) = (set(&members), (1..=100).collect::<Vec<_>>());
    let trust = genesis(&members).to_json();
    let policy = Policy { now_ms: Some(100_000), max_age_ms: None };
    let whole = net.block(60, &members, &members, &everybody);
    for (name, block) in [("pruned", whole.clone().pruned()), ("all", whole)] {
        let signatures = block.certificate.signatures.len();
        let document = net.proof(newest(), vec![], block).to_json();
        println!("{name}: {signatures} signatures, {} bytes", document.len());
        c.bench_function(&format!("verify/100 validators, {signatures} signatures"), |b| {
            b.iter(|| {
                let report = verify(black_box(document.as_bytes()), black_box(trust.as_bytes()), policy);
                assert!(report.verified);
            });
        });
    }
}

criterion_group!(benches, hundred);
criterion_main!(benches);
