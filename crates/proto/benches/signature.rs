//! Which library checks account signatures faster: both, in one run, on the same signature.

use criterion::{Criterion, criterion_group, criterion_main};
use dodona_proto::sign::{AccountKey, verify};
use k256::ecdsa::{Signature, VerifyingKey, signature::Verifier};

fn bench(c: &mut Criterion) {
    let key = AccountKey::from_seed(1, "bench");
    let message = [7u8; 300];
    let sig = key.sign(&message);
    let mut group = c.benchmark_group("verify one signature");
    group.bench_function("secp256k1 (libsecp256k1)", |b| b.iter(|| verify(key.public(), &message, &sig)));
    group.bench_function("k256 (pure Rust)", |b| {
        b.iter(|| {
            let key = VerifyingKey::from_sec1_bytes(key.public()).expect("a public key");
            key.verify(&message, &Signature::from_slice(&sig).expect("64 bytes"))
        })
    });
    group.finish();
    c.bench_function("sign (libsecp256k1)", |b| b.iter(|| key.sign(&message)));
}

criterion_group!(benches, bench);
criterion_main!(benches);
