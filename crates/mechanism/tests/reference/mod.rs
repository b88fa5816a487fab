//! Slow, obvious twins of the fast paths, written from the formulas alone and sharing no code with them but the
//! input types. What the fast paths are judged by in the laws.

pub mod power;
pub mod regret;

/// Median by sorting.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}
