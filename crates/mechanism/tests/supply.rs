//! The token supply against the published simulation of 96 months, and its laws on random input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod common;

use common::{Judge, Row, number};
use dodona_mechanism::MathError;
use dodona_mechanism::supply::{
    EmissionInput, Fixed, IssuanceConfig, Locked, Shares, Vesting, block_split, emission, locked, months,
};
use proptest::prelude::*;

/// A cell as a decimal number; digits beyond the 18th place, where a double may have some, are cut.
fn fixed(row: &Row, name: &str) -> Fixed {
    let (whole, decimals) = row[name].split_once('.').unwrap_or((&row[name], ""));
    format!("{whole}.{}", &decimals[..decimals.len().min(18)]).parse().unwrap()
}

/// A cell of tokens in base units.
fn units(row: &Row, name: &str) -> u128 {
    fixed(row, name).raw()
}

/// What doubles of this size can say.
const TOLERANCE: f64 = 1e-14;

/// Every column of the emission formula in every row. The simulation moves stakes in the months that unlock tokens
/// and does not tabulate the stake it then divides by; there it is taken from the row's own emission, which leaves
/// the month's amount unchecked and everything else checked.
#[test]
fn the_simulated_supply_is_reproduced() {
    let Some(table) = common::rows("mint_tokenomics_sim.csv") else { return };
    let config =
        IssuanceConfig { shares: Shares::original(), vesting: Vesting::Original, ..IssuanceConfig::new() };
    let month = |row: &Row| number(row, "epoch") as u32;
    let held = |month| {
        locked(config.vesting, &config.shares, config.max_supply, month, config.foundation_locked).unwrap()
    };
    let quarter: Fixed = "0.25".parse().unwrap();
    let mut judge = Judge::default();
    let mut reputers_share = None;
    let mut pairs = 0;

    for row in &table {
        let name = |what: &str| format!("{what} of month {}", month(row));
        let circulating = config.max_supply - held(month(row)) - units(row, "ecosystem_tokens_total");
        let expected = units(row, "network_tokens_circulating");
        judge.same(&name("circulation"), circulating as f64, expected as f64, TOLERANCE);
    }
    for rows in table.windows(2) {
        let (before, row) = (&rows[0], &rows[1]);
        let name = |what: &str| format!("{what} of month {}", month(row));
        if month(row) != month(before) + 1 {
            continue;
        }
        pairs += 1;
        let unlocked = held(month(before)) - held(month(row));
        let free = ["investors_preseed", "investors_seed", "team"]
            .map(|who| number(row, &format!("{who}_tokens_emission")));
        judge.same(&name("unlocking"), unlocked as f64 / 1e18, free.iter().sum(), TOLERANCE);

        // r is not tabulated: one number, taken from the first cap and used for all others.
        let share = *reputers_share.get_or_insert_with(|| {
            let r = (0.0095 / number(row, "ehat_max_i") - 0.25) / 0.75;
            format!("{r:.18}").parse::<Fixed>().unwrap()
        });
        let issued = number(row, "ecosystem_tokens_emission");
        let staked = match unlocked {
            0 => units(before, "network_tokens_staked"),
            _ => (issued / number(row, "e_i") * 1e18) as u128,
        };
        let previous = fixed(before, "e_i");
        let blocks_per_month = 864_000;
        let input = EmissionInput {
            ecosystem_balance: 0,
            remaining_mintable: units(before, "ecosystem_tokens_total"),
            staked,
            month: month(row),
            validators_fraction: quarter,
            reputers_share: share,
            previous: (previous > Fixed::ZERO).then_some(previous),
            blocks_per_month,
        };
        let actual = emission(&config, &input).unwrap();
        for (column, actual) in [
            ("ehat_target_i", actual.target),
            ("ehat_max_i", actual.cap),
            ("ehat_i", actual.capped),
            ("e_i", actual.per_token),
        ] {
            judge.same(&name(column), actual.raw() as f64 / 1e18, number(row, column), TOLERANCE);
        }
        judge.same(&name("emission"), actual.month as f64 / 1e18, issued, TOLERANCE);
        assert_eq!(actual.block, actual.month / u128::from(blocks_per_month));
        let split = block_split(actual.month, 0, input.remaining_mintable, quarter).unwrap();
        assert_eq!(split.minted, actual.month);
        judge.same(
            &name("validators"),
            split.validators as f64 / 1e18,
            number(row, "validator_rewards"),
            TOLERANCE,
        );
        judge.same(&name("topics"), split.topics as f64 / 1e18, number(row, "topics_rewards"), TOLERANCE);
        let left = (input.remaining_mintable - split.minted) as f64 / 1e18;
        judge.same(&name("ecosystem"), left, number(row, "ecosystem_tokens_total"), TOLERANCE);
    }
    println!("supply: {pairs} months, {} comparisons, off by {:e} at most", judge.count, judge.worst);
    assert!(pairs > 0 && judge.count == table.len() + pairs * 9);
}

#[test]
fn the_vesting_rule_of_the_unit_table_holds() {
    let Some(table) = common::units() else { return };
    let entry = &table["mint_v0_13_locked"];
    let share = |name: &str| entry["shares"][name].as_str().unwrap().parse::<Fixed>().unwrap();
    let shares = Shares {
        ecosystem: share("ecosystem"),
        foundation: share("foundation"),
        participants: share("participants"),
        investors: share("investors"),
        preseed: share("preseed"),
        team: share("team"),
    };
    assert_eq!(shares, Shares::new());
    assert_eq!(entry["max_supply"], "1e27");
    let max = 10u128.pow(27);
    for part in ["0", "0.3", "1"] {
        let part: Fixed = part.parse().unwrap();
        let at = |month| Locked::at(Vesting::V013, &shares, max, month, part).unwrap();
        let backed = |month| [at(month).preseed, at(month).investors, at(month).team];
        let full = [shares.preseed, shares.investors, shares.team].map(|share| share.of(max).unwrap());
        let foundation = part.of(shares.foundation.of(max).unwrap()).unwrap();
        for month in [0, 1, 11] {
            assert_eq!(backed(month), full);
        }
        assert_eq!(backed(12), full.map(|full| full * 24 / 36));
        assert_eq!(backed(24), full.map(|full| full * 12 / 36));
        assert_eq!(at(0).foundation, foundation);
        assert_eq!(at(12).foundation, foundation * 12 / 24);
        assert_eq!(at(24).foundation, 0);
        for month in [36, 84, u32::MAX] {
            assert_eq!(at(month).total(), 0);
        }
    }
    assert_eq!(months(u64::MAX, 1), Ok(84));
    assert!(months(1, 0).is_err());
}

fn fraction() -> BoxedStrategy<Fixed> {
    prop_oneof![Just(0), Just(Fixed::ONE.raw()), 0..=Fixed::ONE.raw(), 0..1000u128]
        .prop_map(Fixed::from_raw)
        .boxed()
}

fn amount() -> BoxedStrategy<u128> {
    prop_oneof![Just(0u128), 1..1000u128, 0..=10u128.pow(27), any::<u128>()].boxed()
}

fn vesting() -> BoxedStrategy<Vesting> {
    prop_oneof![Just(Vesting::V013), Just(Vesting::Original)].boxed()
}

proptest! {
    #[test]
    fn decimal_text_reads_back(raw in any::<u128>()) {
        let number = Fixed::from_raw(raw);
        prop_assert_eq!(number.to_string().parse(), Ok(number));
        prop_assert_eq!(number.to_padded().parse(), Ok(number));
        let bytes = borsh::to_vec(&number).unwrap();
        prop_assert_eq!(borsh::from_slice::<Fixed>(&bytes).unwrap(), number);
    }

    #[test]
    fn no_text_panics(text in "[0-9.+-]{0,60}|.{0,20}") {
        let _ = text.parse::<Fixed>();
    }

    #[test]
    fn products_and_quotients_are_the_nearest_and_ties_are_even(a in 0..u64::MAX, b in 1..u64::MAX) {
        const ONE: u128 = 10u128.pow(18);
        let (a, b) = (u128::from(a), u128::from(b));
        // Small enough for plain integers: the exact value lies within half a step, at exactly half the step is even.
        let product = Fixed::from_raw(a).times(Fixed::from_raw(b)).unwrap().raw();
        let off = (a * b).abs_diff(product * ONE) * 2;
        prop_assert!(off < ONE || (off == ONE && product.is_multiple_of(2)));
        let quotient = Fixed::ratio(a, b).unwrap().raw();
        let off = (a * ONE).abs_diff(quotient * b) * 2;
        prop_assert!(off < b || (off == b && quotient.is_multiple_of(2)));
        prop_assert_eq!(Fixed::from_raw(a).over(Fixed::from_raw(b)).unwrap().raw(), quotient);
    }

    #[test]
    fn arithmetic_never_panics(a in any::<u128>(), b in any::<u128>()) {
        let (x, y) = (Fixed::from_raw(a), Fixed::from_raw(b));
        let _ = (x.plus(y), x.minus(y), x.times(y), x.over(y), x.of(b), Fixed::ratio(a, b));
    }

    #[test]
    fn what_is_locked_only_falls_and_is_part_of_the_supply(vesting in vesting(), max in amount(), month in 0..100u32, part in fraction()) {
        for shares in [Shares::new(), Shares::original()] {
            let now = locked(vesting, &shares, max, month, part).unwrap();
            prop_assert!(now <= max);
            prop_assert!(locked(vesting, &shares, max, month + 1, part).unwrap() <= now);
        }
    }

    #[test]
    fn an_emission_keeps_its_bounds(
        balance in amount(), mintable in amount(), staked in amount(), month in 0..100u32,
        validators in fraction(), share in fraction(), previous in prop::option::of(fraction()), blocks in 0..1_000_000u64,
    ) {
        let config = IssuanceConfig::new();
        let input = EmissionInput {
            ecosystem_balance: balance,
            remaining_mintable: mintable,
            staked,
            month,
            validators_fraction: validators,
            reputers_share: share,
            previous,
            blocks_per_month: blocks,
        };
        let Ok(found) = emission(&config, &input) else { return Ok(()) };
        prop_assert_eq!(found.circulating + found.locked.total() + balance + mintable, config.max_supply);
        prop_assert!(found.capped <= found.cap && found.capped <= found.target);
        let before = previous.unwrap_or(found.capped);
        // Two products are rounded: one step either way.
        let step = Fixed::from_raw(1);
        prop_assert!(found.per_token <= before.max(found.capped).plus(step).unwrap());
        prop_assert!(found.per_token.plus(step).unwrap() >= before.min(found.capped));
        prop_assert!(found.block * u128::from(blocks) <= found.month);
        prop_assert_eq!(found.month, found.per_token.of(staked).unwrap());
    }

    #[test]
    fn an_emission_has_its_reasons_to_fail(staked in amount(), unissued in 0..10u128.pow(27), month in 0..100u32, validators in fraction(), share in fraction()) {
        let input = EmissionInput {
            ecosystem_balance: 0,
            remaining_mintable: unissued,
            staked,
            month,
            validators_fraction: validators,
            reputers_share: share,
            previous: None,
            blocks_per_month: 864_000,
        };
        let config = IssuanceConfig::new();
        let free = config.max_supply - locked(config.vesting, &config.shares, config.max_supply, month, Fixed::ONE).unwrap();
        match emission(&config, &input) {
            Ok(_) => prop_assert!(staked > 0 && unissued <= free),
            Err(MathError::Empty("stake")) => prop_assert_eq!(staked, 0),
            Err(MathError::OutOfRange("circulating supply")) => prop_assert!(unissued > free),
            // A share this small of almost nothing rounds to nothing.
            Err(MathError::Empty(_)) => prop_assert!(validators == Fixed::ZERO && share == Fixed::ZERO),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_block_hands_out_what_it_takes(block in amount(), balance in amount(), mintable in amount(), validators in fraction()) {
        let split = block_split(block, balance, mintable, validators).unwrap();
        prop_assert_eq!(split.validators + split.topics, split.emission);
        prop_assert!(split.emission <= block && split.minted <= mintable);
        prop_assert!(split.emission - split.minted <= balance);
        // Nothing is minted while the balance suffices, and nothing withheld while minting is possible.
        prop_assert!(split.minted == 0 || split.emission - split.minted == balance);
        prop_assert!(split.emission == block || split.minted == mintable);
        prop_assert!(split.validators <= split.emission && validators.of(split.emission) == Ok(split.validators));
    }
}
