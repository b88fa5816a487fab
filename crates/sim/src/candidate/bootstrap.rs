//! How far a mean may be off, from the data itself: blocks of neighbouring epochs are drawn again and again, because
//! neighbours are alike and single epochs would promise too much.

use serde::Serialize;

/// How often is drawn.
const DRAWS: usize = 1_000;
/// Epochs drawn in all, so that a long run does not take longer than it says.
const MAX_WORK: usize = 20_000_000;

/// A number with the band that holds it in nine of ten draws.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    /// The number itself.
    pub value: f64,
    /// 5 % of the draws lie below.
    pub low: f64,
    /// 5 % lie above.
    pub high: f64,
}

impl Band {
    /// In another unit.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self { value: self.value * by, low: self.low * by, high: self.high * by }
    }
}

/// Drawn blocks: the same for every number of a report, so that the numbers fit together.
pub struct Draws {
    /// Where the blocks of each draw begin.
    starts: Vec<Vec<usize>>,
    block: usize,
    length: usize,
}

impl Draws {
    /// Draws for so many epochs in blocks of so many.
    pub fn new(length: usize, block: usize, seed: u64) -> Self {
        let block = block.clamp(1, length.max(1));
        let mut random = SplitMix(seed);
        let draws = DRAWS.min(MAX_WORK / length.max(1)).max(100);
        // The blocks go round: every epoch is drawn equally often.
        let one = |random: &mut SplitMix| (0..length.div_ceil(block)).map(|_| random.below(length)).collect();
        Self { starts: (0..draws).map(|_| one(&mut random)).collect(), block, length }
    }

    /// Mean of some numbers, one per epoch.
    pub fn mean(&self, of: &[f64]) -> Band {
        self.ratio(of, &vec![1.0; of.len()])
    }

    /// Sum of some numbers over the sum of others; 0 where there are none.
    pub fn ratio(&self, above: &[f64], below: &[f64]) -> Band {
        let over = |above: f64, below: f64| if below == 0.0 { 0.0 } else { above / below };
        let mut drawn: Vec<f64> = self
            .starts
            .iter()
            .map(|starts| {
                let (mut a, mut b) = (0.0, 0.0);
                for at in
                    starts.iter().flat_map(|start| (0..self.block).map(move |i| (start + i) % self.length))
                {
                    a += above[at];
                    b += below[at];
                }
                over(a, b)
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        let at = |part: f64| drawn.get(((drawn.len() - 1) as f64 * part).round() as usize).copied();
        let value = over(above.iter().sum(), below.iter().sum());
        Band { value, low: at(0.05).unwrap_or(value), high: at(0.95).unwrap_or(value) }
    }
}

/// A small generator: the same numbers on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_holds_the_mean_and_is_wider_for_what_comes_in_runs() {
        let n = 1_000;
        let mut random = SplitMix(7);
        let noise: Vec<f64> = (0..n).map(|_| random.below(2) as f64).collect();
        // The same values, fifty times in a row each.
        let runs: Vec<f64> = (0..n).map(|i| noise[i / 50]).collect();
        let draws = Draws::new(n, 50, 1);
        let (loose, tied) = (draws.mean(&noise), draws.mean(&runs));
        assert!(loose.low < loose.value && loose.value < loose.high, "{loose:?}");
        assert!((0.4..0.6).contains(&loose.value), "{loose:?}");
        assert!(tied.high - tied.low > 3.0 * (loose.high - loose.low), "{tied:?} {loose:?}");
        assert_eq!(loose, Draws::new(n, 50, 1).mean(&noise), "the same seed, the same band");
        assert_ne!(loose, Draws::new(n, 50, 2).mean(&noise));
    }

    #[test]
    fn what_never_varies_has_no_band_and_nothing_over_nothing_is_nothing() {
        let draws = Draws::new(30, 3, 1);
        assert_eq!(draws.mean(&[2.5; 30]), Band { value: 2.5, low: 2.5, high: 2.5 });
        assert_eq!(draws.ratio(&[1.0; 30], &[0.0; 30]).value, 0.0);
    }
}
