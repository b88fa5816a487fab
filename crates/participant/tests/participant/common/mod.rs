//! Series made for tests: a small repeatable noise, and helpers to run models over values.

use dodona_participant::model::{Model, built_in};
use dodona_participant::series::Point;

/// Uniform numbers in (−1, 1), the same in every run: a 64-bit xorshift.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Roughly normal with standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() / 2.0
    }
}

pub fn point(index: usize, value: f64) -> Point {
    Point { time: index as i64 * 3600, value }
}

/// What the model said before each value was shown, `ahead` steps earlier: entry i is about value i.
pub fn predictions(model: &mut dyn Model, values: &[f64], ahead: usize) -> Vec<Option<f64>> {
    let mut said = vec![None; values.len()];
    for (index, value) in values.iter().enumerate() {
        model.observe(point(index, *value));
        if let Some(slot) = said.get_mut(index + ahead) {
            *slot = model.predict(ahead);
        }
    }
    said
}

/// Mean squared error from `from` on; the model must have answered everywhere there.
pub fn error(said: &[Option<f64>], values: &[f64], from: usize) -> f64 {
    let squares: Vec<f64> = (from..values.len())
        .map(|i| {
            let miss = said[i].expect("the model is warmed up") - values[i];
            miss * miss
        })
        .collect();
    squares.iter().sum::<f64>() / squares.len() as f64
}

/// The error of one model of the standard line-up, by name, one step ahead.
pub fn error_of(name: &str, day: usize, week: usize, values: &[f64], from: usize) -> f64 {
    let mut models = built_in(day, week);
    let model = models.iter_mut().find(|model| model.name() == name).expect("a model of that name");
    error(&predictions(model.as_mut(), values, 1), values, from)
}

/// Load-like values: a daily and a weekly pattern, a wandering level, noise.
pub fn load(count: usize, day: usize, week: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise(seed);
    let mut level = 0.0;
    (0..count)
        .map(|i| {
            level = 0.97 * level + 0.3 * noise.normal();
            let hour = (i % day) as f64 / day as f64;
            let weekend = if (i % week) * 7 / week >= 5 { -6.0 } else { 0.0 };
            50.0 + 40.0 * hour * (1.0 - hour) + weekend + level + 0.2 * noise.normal()
        })
        .collect()
}
