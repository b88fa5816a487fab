//! Recursive least squares with forgetting: a linear regression that is up to date after every observation
//! at a cost of n² multiplications, without keeping the past.

/// Mean variance above which forgetting pauses: without news (a constant series) the uncertainty would otherwise grow
/// until it overflows.
const MOST_UNCERTAIN: f64 = 1e6;

/// Weights of a linear model and their uncertainty.
#[derive(Debug, Clone)]
pub(super) struct Rls {
    weights: Vec<f64>,
    /// Inverse of the discounted second moments, row-major n × n, symmetric.
    variance: Vec<f64>,
    /// Scratch: variance × features.
    spread: Vec<f64>,
    forget: f64,
    prior: f64,
}

impl Rls {
    /// `size` weights, all 0 at first, with prior variance `prior` (small = reluctant to leave 0, as in ridge
    /// regression), and the discount `forget` per observation (0.99 remembers about 100).
    pub(super) fn new(size: usize, forget: f64, prior: f64) -> Self {
        let mut rls =
            Self { weights: vec![0.0; size], variance: Vec::new(), spread: vec![0.0; size], forget, prior };
        rls.reset();
        rls
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        let size = self.weights.len();
        self.weights.fill(0.0);
        self.variance = vec![0.0; size * size];
        for i in 0..size {
            self.variance[i * size + i] = self.prior;
        }
    }

    /// The model's answer for these features (as many as weights).
    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        dot(&self.weights, features)
    }

    /// Learns that these features came with this answer.
    pub(super) fn learn(&mut self, features: &[f64], answer: f64) {
        let size = self.weights.len();
        for (row, spread) in self.variance.chunks_exact(size).zip(&mut self.spread) {
            *spread = dot(row, features);
        }
        let trace: f64 = (0..size).map(|i| self.variance[i * size + i]).sum();
        let forget = if trace > MOST_UNCERTAIN * size as f64 { 1.0 } else { self.forget };
        let scale = 1.0 / (forget + dot(features, &self.spread));
        let step = (answer - self.predict(features)) * scale;
        for (weight, spread) in self.weights.iter_mut().zip(&self.spread) {
            *weight += step * spread;
        }
        // s_i·s_j·scale is computed the same way for (i, j) and (j, i), so the matrix stays exactly symmetric.
        for (row, spread_i) in self.variance.chunks_exact_mut(size).zip(&self.spread) {
            for (cell, spread_j) in row.iter_mut().zip(&self.spread) {
                *cell = (*cell - spread_i * spread_j * scale) / forget;
            }
        }
        // Rounding may make the matrix indefinite on hostile input; starting over is the honest repair.
        if !(scale.is_finite() && scale > 0.0 && self.weights.iter().all(|weight| weight.is_finite())) {
            self.reset();
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
