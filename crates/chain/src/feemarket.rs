//! The price of gas follows demand: each block moves it by at most the learning rate, up when the block asked for
//! more than half of what fits, down when for less; the learning rate itself grows while blocks are far from half
//! full and shrinks while they are near (additive increase, multiplicative decrease). Integers only, 18 decimals.
//!
//! Demand is counted in gas *limits*: they are what a block is filled with and what is paid for.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{amount::mul_div_floor, supply::Fixed};
use dodona_store::{Item, Read, StoreError};

use crate::{params::Params, state::State};

/// The market after the newest block. Absent until the first block has ended.
const MARKET: Item<Market> = Item::new(*b"fm");

/// One, in steps of 10^-18.
const UNIT: u128 = Fixed::ONE.raw();
/// uallo per unit of gas that the price never exceeds: 0.001 ALLO.
pub(crate) const MAX_PRICE: Fixed = Fixed::from_raw(1_000_000_000_000_000 * UNIT);
/// Longest window, blocks.
pub(crate) const MAX_WINDOW: u64 = 1_000;
/// Least and largest gas limit of a block. Below the least, not even the transaction that raises it would fit.
pub(crate) const BLOCK_GAS: std::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000_000;

/// What the market remembers between blocks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Market {
    /// uallo per unit of gas in the next block.
    pub price: Fixed,
    /// Most by which a block changes it, as a fraction.
    pub learning_rate: Fixed,
    /// Gas of the newest blocks.
    pub window: Vec<u64>,
    /// Where the next block is written.
    pub index: u32,
}

impl Market {
    /// Before the first block: nothing is asked for, and the price is at its floor.
    fn start(params: &Params) -> Self {
        Self {
            price: params.feemarket_min_base_gas_price,
            learning_rate: params.feemarket_max_learning_rate,
            window: vec![0; params.feemarket_window as usize],
            index: 0,
        }
    }

    /// The market after a block whose transactions asked for so much gas. Parameters may have changed since the
    /// last one.
    ///
    /// With target T = max/2, used u, window average a and net sum n of (u - T) over the window:
    /// rate ← a ≤ gamma or a ≥ 1 - gamma ? rate + alpha : rate · beta, within its bounds;
    /// price ← price · (1 + rate · (u - T)/T) + delta · n, within its bounds. Quotients round down.
    fn after(mut self, params: &Params, gas: u64) -> Self {
        let max = params.feemarket_max_block_utilization;
        let target = (max / 2).max(1);
        let gas = gas.min(max);
        // A window of another length begins anew.
        if self.window.len() as u64 != params.feemarket_window || self.index as usize >= self.window.len() {
            self.window = vec![0; params.feemarket_window as usize];
            self.index = 0;
        }
        let length = self.window.len() as u128;
        if let Some(slot) = self.window.get_mut(self.index as usize) {
            *slot = gas;
        }
        self.index = ((u128::from(self.index) + 1) % length.max(1)) as u32;

        let sum: u128 = self.window.iter().map(|gas| u128::from(*gas)).sum();
        let average = part(sum, UNIT, u128::from(max) * length);
        let gamma = params.feemarket_gamma.raw();
        let rate = self.learning_rate.raw();
        let far = average <= gamma || average >= UNIT.saturating_sub(gamma);
        let rate = match far {
            true => rate.saturating_add(params.feemarket_alpha.raw()),
            false => part(rate, params.feemarket_beta.raw(), UNIT),
        };
        let rate =
            rate.min(params.feemarket_max_learning_rate.raw()).max(params.feemarket_min_learning_rate.raw());
        self.learning_rate = Fixed::from_raw(rate);

        let step = part(rate, u128::from(gas.abs_diff(target)), target.into());
        let moved = part(self.price.raw(), step, UNIT);
        let aimed = u128::from(target) * length;
        let net = part(params.feemarket_delta.raw(), sum.abs_diff(aimed), 1);
        let mut price = self.price.raw();
        price = if gas >= target { price.saturating_add(moved) } else { price.saturating_sub(moved) };
        price = if sum >= aimed { price.saturating_add(net) } else { price.saturating_sub(net) };
        let price = price.min(MAX_PRICE.raw()).max(params.feemarket_min_base_gas_price.raw());
        self.price = Fixed::from_raw(price);
        self
    }
}

/// a · b / c, rounded down; at its bounds where that is no u128.
fn part(a: u128, b: u128, c: u128) -> u128 {
    mul_div_floor(a, b, c).unwrap_or(u128::MAX)
}

/// The market as it stands.
pub fn get(read: &impl Read, params: &Params) -> Result<Market, StoreError> {
    let mut market = MARKET.get(read)?.unwrap_or_else(|| Market::start(params));
    // A floor that was raised, or a market switched off, counts from the next block on.
    market.price = match params.feemarket_enabled {
        true => market.price.max(params.feemarket_min_base_gas_price),
        false => params.feemarket_min_base_gas_price,
    };
    Ok(market)
}

/// What so much gas costs at least, uallo: gas · price, rounded up. At most u128::MAX.
pub fn required(gas: u64, price: Fixed) -> u128 {
    let (whole, rest) = (price.raw() / UNIT, price.raw() % UNIT);
    // The second product is below 2^64 · 10^18.
    u128::from(gas).saturating_mul(whole).saturating_add((u128::from(gas) * rest).div_ceil(UNIT))
}

/// End of block: the price of the next one.
pub(crate) fn end(state: &mut State, params: &Params, gas: u64) -> Result<(), StoreError> {
    let market = get(state, params)?;
    let next = if params.feemarket_enabled { market.after(params, gas) } else { Market::start(params) };
    MARKET.put(state, &next);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> Fixed {
        text.parse().unwrap()
    }

    fn params() -> Params {
        Params { feemarket_max_block_utilization: 2_000_000, feemarket_window: 4, ..Params::default() }
    }

    fn run(params: &Params, gas: &[u64]) -> Vec<String> {
        let mut market = Market::start(params);
        let mut prices = Vec::new();
        for gas in gas {
            market = market.after(params, *gas);
            prices.push(market.price.to_string());
        }
        prices
    }

    #[test]
    fn full_blocks_raise_the_price_by_an_eighth_and_idle_ones_bring_it_back_to_its_floor() {
        let params = params();
        let (full, half) = (2_000_000, 1_000_000);
        assert_eq!(run(&params, &[0, 0, half]), ["1", "1", "1"]);
        // The second finds the window half full, which is near the target: its rate is 0.125 · 0.95.
        assert_eq!(run(&params, &[full, full, full]), ["1.125", "1.25859375", "1.41591796875"]);
        let long: Vec<u64> = [full; 4].into_iter().chain([0; 12]).collect();
        let long = run(&params, &long);
        assert_eq!((long[3].as_str(), long[15].as_str()), ("1.59290771484375", "1"));
        // More than fits counts as full: parameters may have been lowered in between.
        assert_eq!(run(&params, &[u64::MAX]), ["1.125"]);
    }

    #[test]
    fn the_learning_rate_shrinks_near_the_target_and_grows_far_from_it_within_its_bounds() {
        let mut market = Market::start(&params());
        market.window = vec![1_000_000; 4];
        let mut rates = Vec::new();
        for gas in [1_000_000; 60].into_iter().chain([2_000_000; 60]) {
            market = market.after(&params(), gas);
            rates.push(market.learning_rate);
        }
        assert_eq!(rates[0], fixed("0.11875")); // 0.125 · 0.95
        assert_eq!(rates[59], params().feemarket_min_learning_rate);
        assert_eq!(rates[119], params().feemarket_max_learning_rate);
        let grown = rates[60..].windows(2).find(|pair| pair[1] > pair[0]).unwrap();
        assert_eq!(grown[1].raw() - grown[0].raw(), params().feemarket_alpha.raw());
    }

    #[test]
    fn delta_adds_what_the_window_asked_for_beyond_its_target() {
        let params = Params { feemarket_delta: fixed("0.000001"), ..params() };
        // 1 · 1.125 + 0.000001 · (2 000 000 - 4 · 1 000 000) is below the floor.
        assert_eq!(run(&params, &[2_000_000; 4])[0], "1");
        let mut market = Market { window: vec![2_000_000; 4], ..Market::start(&params) };
        market = market.after(&params, 2_000_000);
        assert_eq!(market.price.to_string(), "5.125");
    }

    #[test]
    fn required_fees_are_rounded_up_and_never_wrap() {
        for (gas, price, fee) in [
            (0, "1", 0),
            (50_000, "1", 50_000),
            (3, "1.5", 5),
            (1, "0.000000000000000001", 1),
            (1_000_000_000, "1.000000000000000001", 1_000_000_001),
        ] {
            assert_eq!(required(gas, fixed(price)), fee, "{gas} at {price}");
        }
        assert_eq!(required(u64::MAX, MAX_PRICE), u128::from(u64::MAX) * 1_000_000_000_000_000);
        assert!(required(u64::MAX, Fixed::MAX) > u128::MAX / 2);
    }

    #[test]
    fn no_parameters_and_no_history_break_the_market() {
        let texts = ["0", "0.000000000000000001", "0.5", "1"];
        let mut seed = 9u64;
        let mut roll = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as usize % below
        };
        for _ in 0..3_000 {
            let mut any = |from: &[&str]| fixed(from[roll(from.len())]);
            let params = Params {
                feemarket_alpha: any(&texts),
                feemarket_beta: any(&texts),
                feemarket_gamma: any(&texts[..3]),
                feemarket_delta: any(&texts),
                feemarket_min_learning_rate: any(&texts[..2]),
                feemarket_max_learning_rate: any(&texts[2..]),
                feemarket_min_base_gas_price: any(&["0.000000000000000001", "1", "1000000000000000"]),
                feemarket_max_block_utilization: [*BLOCK_GAS.start(), 7_777_777, *BLOCK_GAS.end()][roll(3)],
                feemarket_window: [1, 3, MAX_WINDOW][roll(3)],
                ..Params::default()
            };
            params.validate().unwrap();
            let mut market = Market {
                price: [fixed("1"), MAX_PRICE, Fixed::MAX][roll(3)],
                learning_rate: [Fixed::ZERO, Fixed::ONE, Fixed::MAX][roll(3)],
                window: vec![[0, u64::MAX][roll(2)]; roll(4)],
                index: roll(5) as u32,
            };
            for _ in 0..6 {
                let gas = [0, 1, 500_000, u64::MAX][roll(4)];
                market = market.after(&params, gas);
                assert!((params.feemarket_min_base_gas_price..=MAX_PRICE).contains(&market.price));
                assert!(market.learning_rate <= params.feemarket_max_learning_rate);
                assert_eq!(market.window.len() as u64, params.feemarket_window);
                assert!(u64::from(market.index) < params.feemarket_window);
            }
        }
    }
}
