//! Listening coefficients and reputer scores against the published simulation, a slow twin, and their laws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod common;

use common::{Judge, Row, number, real, reals};
use dodona_mechanism::Real;
use dodona_mechanism::topic::combine::Losses;
use dodona_mechanism::topic::reputer::{ReputerConfig, adjusted_stakes, consensus, flatten};
use proptest::prelude::*;

/// How many consecutive columns a name pattern has, from 0.
fn count(row: &Row, name: impl Fn(usize) -> String) -> usize {
    (0..).find(|&i| !row.contains_key(&name(i))).unwrap()
}

/// One reputer's reported losses.
fn losses(row: &Row, reputer: usize) -> Losses {
    let at = format!("reputer_{reputer}_loss");
    let cell = |name: String| Some(real(number(row, &name)));
    let inferers = count(row, |j| format!("{at}_inference_{j}"));
    let forecasters = count(row, |k| format!("{at}_forecast_implied_inference_{k}"));
    let one_out = |o: usize| cell(format!("{at}_network_inference_oneout_{o}"));
    Losses {
        combined: cell(format!("{at}_network_inference")).unwrap(),
        naive: cell(format!("{at}_naive_network_inference")).unwrap(),
        inferers: (0..inferers).map(|j| cell(format!("{at}_inference_{j}"))).collect(),
        forecasters: (0..forecasters).map(|k| cell(format!("{at}_forecast_implied_inference_{k}"))).collect(),
        one_out_inferers: (0..inferers).map(one_out).collect(),
        one_out_forecasters: (inferers..inferers + forecasters).map(one_out).collect(),
        one_in_forecasters: (0..forecasters)
            .map(|k| cell(format!("{at}_naive_network_inference_onein_{k}")))
            .collect(),
        one_out_inferer_forecaster: (0..forecasters)
            .map(|k| {
                let name = |j| format!("{at}_forecast_implied_inference_{k}_oneout_{j}");
                (0..inferers).map(|j| cell(name(j))).collect()
            })
            .collect(),
    }
}

#[test]
fn the_simulated_listening_coefficients_and_scores_are_reproduced() {
    let Some(table) = common::rows("regression_sim_epochs.csv") else { return };
    let reputers = count(&table[0], |m| format!("reputer_stake_{m}"));
    let mut judge = Judge::default();
    let mut pairs = 0;
    for rows in table.windows(2) {
        let (before, row) = (&rows[0], &rows[1]);
        if number(row, "epoch") != number(before, "epoch") + 1.0 {
            continue;
        }
        pairs += 1;
        let column = |row: &Row, name: &str| -> Vec<Real> {
            (0..reputers).map(|m| real(number(row, &format!("{name}_{m}")))).collect()
        };
        let reports: Vec<_> = (0..reputers).map(|m| flatten(&losses(row, m))).collect();
        let agreed = consensus(
            &ReputerConfig::new(),
            &column(row, "reputer_stake"),
            &column(before, "reputer_listening_coefficient"),
            &reports,
        )
        .unwrap();
        for (name, actual) in [
            ("reputer_listening_coefficient", &agreed.coefficients),
            ("reputer_adjusted_stake", &agreed.adjusted),
            ("reputer_score", &agreed.scores),
        ] {
            for (m, (actual, expected)) in actual.iter().zip(column(row, name)).enumerate() {
                judge.same(&format!("{name}_{m}"), actual.get(), expected.get(), 1e-11);
            }
        }
        assert_eq!(agreed.consensus.len(), reports[0].len());
        assert!(agreed.consensus.iter().all(Option::is_some));
    }
    println!("reputers: {} comparisons, off by {:e} at most", judge.count, judge.worst);
    assert!(pairs > 0 && judge.count == pairs * reputers * 3);
}

#[test]
fn adjusted_stakes_of_the_unit_table_are_reproduced() {
    let Some(units) = common::units() else { return };
    let entries = units["rewards_math"].as_array().unwrap();
    let mut compared = 0;
    for entry in entries.iter().filter(|entry| entry["fn"] == "adjusted_stake") {
        let list = |name: &str| -> Vec<Real> {
            entry[name].as_array().unwrap().iter().map(|value| real(value.as_f64().unwrap())).collect()
        };
        let place = entry["index"].as_u64().unwrap() as usize;
        let actual = adjusted_stakes(&list("stakes"), &list("coeffs"))[place].get();
        let expected = entry["expected"].as_f64().unwrap();
        assert!(
            (actual - expected).abs() <= entry["tol"].as_f64().unwrap(),
            "{actual} instead of {expected}"
        );
        compared += 1;
    }
    println!("adjusted stakes: {compared} comparisons");
}

/// Section 5.2 as it is written, one entry at a time.
mod twin {
    pub fn scores(stakes: &[f64], coefficients: &[f64], reports: &[Vec<Option<f64>>]) -> Vec<f64> {
        let count = stakes.len();
        let listened: f64 = (0..count).map(|m| stakes[m] * coefficients[m]).sum();
        let adjusted: Vec<f64> =
            (0..count).map(|m| (count as f64 * coefficients[m] * stakes[m] / listened).min(1.0)).collect();
        let mut squares = vec![0.0; count];
        let mut length = 0.0;
        for e in 0..reports[0].len() {
            let entry: Vec<Option<f64>> = reports.iter().map(|report| report[e]).collect();
            let reporters: Vec<usize> = (0..count).filter(|&m| entry[m].is_some()).collect();
            let weight: f64 = reporters.iter().map(|&m| adjusted[m]).sum();
            if weight <= 0.0 {
                continue;
            }
            let agreed = reporters.iter().map(|&m| adjusted[m] * entry[m].unwrap()).sum::<f64>() / weight;
            let distance = |m: usize| (entry[m].unwrap() - agreed).abs();
            let far = reporters.iter().map(|&m| distance(m)).fold(0.0, f64::max);
            for (m, sum) in squares.iter_mut().enumerate() {
                let own = if reporters.contains(&m) { distance(m) } else { far };
                *sum += own * own;
            }
            length += agreed * agreed;
        }
        let length = if length > 0.0 { length.sqrt() } else { 1e-7 };
        squares.iter().map(|sum| 1.0 / (sum.sqrt() / length + 0.01)).collect()
    }

    pub fn ascend(stakes: &[f64], start: &[f64], reports: &[Vec<Option<f64>>]) -> (Vec<f64>, Vec<f64>) {
        let count = stakes.len();
        let total: f64 = stakes.iter().sum();
        let sum = |values: &[f64]| -> f64 { (0..count).map(|m| stakes[m] * values[m]).sum() };
        let mut now = start.to_vec();
        if sum(&now) <= 0.0 {
            now = vec![0.01; count];
        }
        let mut last = vec![];
        let (mut step, mut gradient) = (0, 1.0);
        while gradient >= 0.001 && step < 10 {
            let old = now.clone();
            last = scores(stakes, &old, reports);
            let mut next = old.clone();
            for m in 0..count {
                let shift = if old[m] == 1.0 { -0.001 } else { 0.001 };
                let mut shifted = old.clone();
                shifted[m] += shift;
                let slope = (1.0 - sum(&last) / sum(&scores(stakes, &shifted, reports))) / shift;
                next[m] = (old[m] + 0.05 * slope).clamp(0.0, 1.0);
            }
            let (before, after) = (sum(&old) / total, sum(&next) / total);
            now = if after >= 0.5 {
                next
            } else if after == before {
                old.clone()
            } else {
                let part = (0.5 - before) / (after - before);
                (0..count).map(|m| (old[m] + (next[m] - old[m]) * part).clamp(0.0, 1.0)).collect()
            };
            gradient = (0..count).map(|m| (now[m] - old[m]).abs()).fold(0.0, f64::max) / 0.05;
            step += 1;
        }
        if sum(&now) <= 0.0 {
            now = vec![0.01; count];
        }
        (last, now)
    }
}

/// Stakes, coefficients and reports of 1 to 6 reputers on 1 to 12 entries.
#[derive(Clone, Debug)]
struct Case {
    stakes: Vec<f64>,
    coefficients: Vec<f64>,
    reports: Vec<Vec<Option<f64>>>,
}

fn case(present: f64) -> BoxedStrategy<Case> {
    let shape = (1..7usize, 1..13usize);
    let case = shape.prop_flat_map(move |(reputers, entries)| {
        let entry =
            (0.0..1.0f64, -4.0..4.0f64).prop_map(move |(chance, loss)| (chance < present).then_some(loss));
        (
            prop::collection::vec(1.0..1e6f64, reputers),
            prop::collection::vec(prop_oneof![Just(1.0), 0.05..1.0f64], reputers),
            prop::collection::vec(prop::collection::vec(entry, entries), reputers),
        )
    });
    case.prop_map(|(stakes, coefficients, reports)| Case { stakes, coefficients, reports }).boxed()
}

impl Case {
    fn reports(&self) -> Vec<Vec<Option<Real>>> {
        self.reports.iter().map(|report| report.iter().map(|entry| entry.map(real)).collect()).collect()
    }

    fn agree(&self) -> dodona_mechanism::topic::reputer::ReputerConsensus {
        let (stakes, coefficients) = (reals(&self.stakes), reals(&self.coefficients));
        consensus(&ReputerConfig::new(), &stakes, &coefficients, &self.reports()).unwrap()
    }
}

fn same(actual: &[Real], expected: &[f64]) -> bool {
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|(a, e)| (a.get() - e).abs() <= 1e-7 * e.abs().max(1e-2))
}

proptest! {
    #[test]
    fn the_ascent_agrees_with_its_slow_twin(case in prop_oneof![case(1.0), case(0.9)]) {
        let agreed = case.agree();
        let (scores, coefficients) = twin::ascend(&case.stakes, &case.coefficients, &case.reports);
        prop_assert!(same(&agreed.scores, &scores), "{:?} instead of {scores:?}", agreed.scores);
        prop_assert!(same(&agreed.coefficients, &coefficients), "{:?} instead of {coefficients:?}", agreed.coefficients);
    }

    #[test]
    fn scores_and_coefficients_keep_their_ranges_and_enough_stake_is_heard(case in case(0.8)) {
        let agreed = case.agree();
        prop_assert!(agreed.scores.iter().all(|score| score.get() > 0.0 && score.get() <= 100.0 + 1e-9));
        prop_assert!(agreed.coefficients.iter().all(|own| (0.0..=1.0).contains(&own.get())));
        prop_assert!(agreed.adjusted.iter().all(|own| (0.0..=1.0).contains(&own.get())));
        let part = |coefficients: &[f64]| {
            let heard: f64 = coefficients.iter().zip(&case.stakes).map(|(own, stake)| own * stake).sum();
            heard / case.stakes.iter().sum::<f64>()
        };
        let after: Vec<f64> = agreed.coefficients.iter().map(|own| own.get()).collect();
        if part(&case.coefficients) >= 0.5 {
            prop_assert!(part(&after) >= 0.5 - 1e-9);
        }
    }

    #[test]
    fn reputers_who_say_the_same_are_all_perfect_and_nothing_moves(case in case(1.0)) {
        let report = case.reports[0].clone();
        let reports = vec![report; case.stakes.len()];
        let start = vec![1.0; case.stakes.len()];
        let agreed = Case { reports, coefficients: start.clone(), ..case }.agree();
        prop_assert!(same(&agreed.scores, &vec![100.0; start.len()]));
        prop_assert!(same(&agreed.coefficients, &start));
    }

    #[test]
    fn the_order_of_reputers_does_not_matter(case in case(1.0)) {
        let reversed = Case {
            stakes: case.stakes.iter().rev().copied().collect(),
            coefficients: case.coefficients.iter().rev().copied().collect(),
            reports: case.reports.iter().rev().cloned().collect(),
        };
        let mut there = reversed.agree().scores;
        there.reverse();
        let here: Vec<f64> = case.agree().scores.iter().map(|score| score.get()).collect();
        prop_assert!(same(&there, &here), "{there:?} instead of {here:?}");
    }

    #[test]
    fn adjusted_stakes_are_parts_of_one(stakes in prop::collection::vec(any::<f64>(), 0..8), coefficients in prop::collection::vec(any::<f64>(), 0..8)) {
        let finite = |values: &[f64]| -> Vec<Real> { values.iter().filter_map(|&value| Real::new(value).ok()).collect() };
        for own in adjusted_stakes(&finite(&stakes), &finite(&coefficients)) {
            prop_assert!((0.0..=1.0).contains(&own.get()));
        }
    }

    #[test]
    fn no_finite_numbers_panic_or_leave_the_finite(
        stakes in prop::collection::vec(any::<f64>(), 3),
        coefficients in prop::collection::vec(0.0..=1.0f64, 3),
        reports in prop::collection::vec(prop::collection::vec(any::<f64>(), 4), 3),
    ) {
        let stakes: Vec<Real> = stakes.iter().map(|stake| Real::new(stake.abs()).unwrap_or(Real::ONE)).collect();
        let reports: Vec<Vec<Option<Real>>> =
            reports.iter().map(|report| report.iter().map(|&loss| Real::new(loss).ok()).collect()).collect();
        // Reals are finite by construction: an answer or a refusal is all there is to see.
        let _ = consensus(&ReputerConfig::new(), &stakes, &reals(&coefficients), &reports);
    }
}

/// The largest case the network allows ends in a moment: 128 reputers, 300 losses, every one of them different.
#[test]
fn a_full_house_of_reputers_is_heard() {
    let wave = |m: usize, e: usize| (((m * 7919 + e * 104_729) % 1009) as f64) / 1009.0 + (e % 13) as f64;
    let reports: Vec<Vec<Option<Real>>> =
        (0..128).map(|m| (0..300).map(|e| Some(real(wave(m, e)))).collect()).collect();
    let stakes: Vec<Real> = (1..=128).map(|m| real(f64::from(m) * 1e20)).collect();
    // No early end: all ten steps are taken.
    let config = ReputerConfig { gradient_threshold: real(1e-300), ..ReputerConfig::new() };
    let agreed = consensus(&config, &stakes, &[Real::ONE; 128], &reports).unwrap();
    assert_eq!(agreed.scores.len(), 128);
}
