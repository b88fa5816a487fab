//! Text compression, small enough to be read: the next bit is guessed from the bytes before it, and an arithmetic coder
//! writes down only the surprise. What guesses is a list of orders, how many bytes each looks back; their guesses are
//! averaged. Whoever knows the list can unpack.

/// Slots of guesses for each order.
const SLOTS: usize = 1 << 16;
/// Guesses are in 1/4096, and move by a part of 1/2^RATE.
const RATE: u16 = 4;

/// What guesses the next bit.
struct Guess {
    orders: Vec<usize>,
    /// For each order a table of guesses.
    tables: Vec<Vec<u16>>,
    /// Bytes so far, the newest in the lowest place.
    past: u64,
    /// Bits of the byte that is under way, behind a leading one.
    byte: u64,
}

impl Guess {
    fn new(orders: &[usize]) -> Self {
        let tables = orders.iter().map(|_| vec![2_048; SLOTS]).collect();
        Self { orders: orders.to_vec(), tables, past: 0, byte: 1 }
    }

    fn slot(&self, order: usize) -> usize {
        let seen = if order == 0 { 0 } else { self.past & (u64::MAX >> (64 - 8 * order.min(7))) };
        let mixed = (seen << 8 | self.byte).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 48) as usize % SLOTS
    }

    /// Chance of a one, 1 to 4095 of 4096.
    fn chance(&self) -> u32 {
        let sum: u32 =
            (0..self.orders.len()).map(|at| u32::from(self.tables[at][self.slot(self.orders[at])])).sum();
        (sum / self.orders.len().max(1) as u32).clamp(1, 4_095)
    }

    fn learn(&mut self, bit: bool) {
        for at in 0..self.orders.len() {
            let slot = self.slot(self.orders[at]);
            let guess = &mut self.tables[at][slot];
            if bit { *guess += (4_095 - *guess) >> RATE } else { *guess -= *guess >> RATE }
        }
        self.byte = self.byte << 1 | u64::from(bit);
        if self.byte >= 256 {
            (self.past, self.byte) = (self.past << 8 | self.byte & 255, 1);
        }
    }
}

/// Where the interval is cut for a bit.
fn cut(low: u32, high: u32, chance: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(chance)) >> 12) as u32
}

/// Packs a text.
pub fn pack(orders: &[usize], text: &[u8]) -> Vec<u8> {
    let (mut guess, mut out) = (Guess::new(orders), Vec::new());
    let (mut low, mut high) = (0u32, u32::MAX);
    for byte in text {
        for place in (0..8).rev() {
            let bit = byte >> place & 1 == 1;
            let middle = cut(low, high, guess.chance());
            (low, high) = if bit { (low, middle) } else { (middle + 1, high) };
            guess.learn(bit);
            while (low ^ high) >> 24 == 0 {
                out.push((high >> 24) as u8);
                (low, high) = (low << 8, high << 8 | 255);
            }
        }
    }
    out.extend(low.saturating_add((high - low) / 2).to_be_bytes());
    out
}

/// The first `size` bytes of what was packed; bytes that are missing count as zero, so that anything unpacks to something.
pub fn unpack(orders: &[usize], packed: &[u8], size: usize) -> Vec<u8> {
    let (mut guess, mut text) = (Guess::new(orders), Vec::with_capacity(size));
    let mut bytes = packed.iter().copied().chain(std::iter::repeat(0));
    let mut next = || u32::from(bytes.next().unwrap_or(0));
    let (mut low, mut high) = (0u32, u32::MAX);
    let mut at = (0..4).fold(0, |at, _| at << 8 | next());
    while text.len() < size {
        for _ in 0..8 {
            let middle = cut(low, high, guess.chance());
            let bit = at <= middle;
            (low, high) = if bit { (low, middle) } else { (middle + 1, high) };
            guess.learn(bit);
            while (low ^ high) >> 24 == 0 {
                (low, high, at) = (low << 8, high << 8 | 255, at << 8 | next());
            }
        }
        text.push(guess.past as u8);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn what_is_packed_comes_back_and_text_gets_smaller() {
        let mut random = Random::new(3);
        let noise: Vec<u8> = (0..2_000).map(|_| random.number() as u8).collect();
        let text = "so many leaves, one voice; ".repeat(80).into_bytes();
        for orders in [&[0][..], &[1], &[2], &[3], &[1, 2, 3]] {
            for whole in [&b""[..], b"x", &noise, &text, &[0; 999], &[255; 999]] {
                assert_eq!(unpack(orders, &pack(orders, whole), whole.len()), whole, "{orders:?}");
            }
            assert!(pack(orders, &text).len() < text.len(), "{orders:?}");
        }
        let size = |orders| pack(orders, &text).len();
        assert!(size(&[2]) < size(&[0]), "who looks back packs better");
    }
}
