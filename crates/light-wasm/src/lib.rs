//! The verifier of proofs for hosts of WebAssembly: two buffers in, one out, all of them owned here. The loader in
//! packages/verify is the other half.
//!
//! A host makes room (`document`, `trust`: length in, address out), writes the bytes there, calls `verify`, and reads
//! `answer_length` bytes at `answer`: the report as JSON.
#![allow(unsafe_code, reason = "names that the host finds; see Cargo.toml")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use dodona_light::{MAX_BYTES, Policy};

/// What is verified, what is trusted, what came of it.
static DOCUMENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static TRUST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn open(buffer: &'static Mutex<Vec<u8>>) -> MutexGuard<'static, Vec<u8>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room for so many bytes, zeros at first, and where it is; 0 where it would be more than a document may have.
fn room(buffer: &'static Mutex<Vec<u8>>, length: usize) -> usize {
    if length > MAX_BYTES {
        return 0;
    }
    let mut buffer = open(buffer);
    buffer.clear();
    buffer.resize(length, 0);
    buffer.as_ptr().expose_provenance()
}

/// Room for the proof.
#[unsafe(no_mangle)]
pub extern "C" fn document(length: usize) -> usize {
    room(&DOCUMENT, length)
}

/// Room for the trust.
#[unsafe(no_mangle)]
pub extern "C" fn trust(length: usize) -> usize {
    room(&TRUST, length)
}

/// Verifies what was written. Milliseconds; a negative number is none: no clock, no limit of age.
#[unsafe(no_mangle)]
pub extern "C" fn verify(now_ms: f64, max_age_ms: f64) {
    let given = |ms: f64| (ms >= 0.0).then_some(ms as u64);
    let policy = Policy { now_ms: given(now_ms), max_age_ms: given(max_age_ms) };
    let report = dodona_light::verify(&open(&DOCUMENT), &open(&TRUST), policy);
    // Numbers and text always have a JSON form.
    *open(&ANSWER) = serde_json::to_vec(&report).unwrap_or_default();
}

/// Where the report is.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> usize {
    open(&ANSWER).as_ptr().expose_provenance()
}

/// How long it is.
#[unsafe(no_mangle)]
pub extern "C" fn answer_length() -> usize {
    open(&ANSWER).len()
}
