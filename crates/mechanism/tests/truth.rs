//! Laws of the agreement on truth, tried on random reports.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod common;

use common::real;
use dodona_mechanism::topic::truth::{STAKE_CAP, classes, consensus};
use dodona_mechanism::{MathError, Real};
use proptest::prelude::*;

type Reports = Vec<(u128, Vec<Option<Real>>)>;

fn cap() -> Real {
    real(STAKE_CAP)
}

/// Reports of 1 to 8 reputers on 1 to 4 labels; `entry` makes a value from a number in 0..1.
fn reports(entry: fn(f64) -> f64) -> BoxedStrategy<Reports> {
    let shape = (1..9usize, 1..5usize);
    let reports = shape.prop_flat_map(move |(reputers, labels)| {
        let value = prop::option::weighted(0.8, 0.0..1.0f64)
            .prop_map(move |value| value.map(|value| real(entry(value))));
        let stake = prop_oneof![1 => Just(0u128), 4 => 1..1000u128, 2 => any::<u128>()];
        prop::collection::vec((stake, prop::collection::vec(value, labels)), reputers)
    });
    reports.boxed()
}

/// A coarse grid, so that reports often agree.
fn grid(value: f64) -> f64 {
    (value * 8.0).floor() - 4.0
}

/// Capped parts of the say, by pouring the excess over the others a little at a time.
fn say(stakes: &[f64]) -> Vec<f64> {
    let limit = STAKE_CAP.max(1.0 / stakes.len() as f64);
    let total: f64 = stakes.iter().sum();
    // The common factor of the uncapped, found by bisection: min(factor * part, limit) must sum to 1.
    let (mut low, mut high) = (1.0, 1e45);
    for _ in 0..400 {
        let middle = f64::sqrt(low) * f64::sqrt(high);
        let sum: f64 = stakes.iter().map(|stake| (middle * stake / total).min(limit)).sum();
        if sum < 1.0 { low = middle } else { high = middle }
    }
    stakes.iter().map(|stake| (high * stake / total).min(limit)).collect()
}

proptest! {
    #[test]
    fn more_than_half_of_the_say_decides(
        honest in prop::collection::vec(1..1_000_000u128, 1..6),
        liars in prop::collection::vec((1..1_000_000u128, -9.0..9.0f64), 0..6),
        truth in -9.0..9.0f64,
    ) {
        let mut of: Reports = honest.iter().map(|&stake| (stake, vec![Some(real(truth))])).collect();
        of.extend(liars.iter().map(|&(stake, lie)| (stake, vec![Some(real(lie))])));
        let stakes: Vec<f64> = of.iter().map(|&(stake, _)| stake as f64).collect();
        let told: f64 = say(&stakes)[..honest.len()].iter().sum();
        let agreed = consensus(&of, cap(), Real::ONE).unwrap();
        if told > 0.5 + 1e-9 {
            prop_assert_eq!(agreed.values[0], Some(real(truth)));
            prop_assert!(agreed.scores[..honest.len()].iter().all(|&score| score == Real::ONE));
        }
    }

    #[test]
    fn one_reputer_among_three_never_decides_alone(stake in any::<u128>(), lie in -9.0..9.0f64, truth in -9.0..9.0f64) {
        let of: Reports = vec![(stake, vec![Some(real(lie))]), (1, vec![Some(real(truth))]), (1, vec![Some(real(truth))])];
        prop_assert_eq!(consensus(&of, cap(), Real::ONE).unwrap().values[0], Some(real(truth)));
    }

    #[test]
    fn every_value_is_a_staked_report_and_every_score_a_part_of_one(of in reports(grid), scale in 0.0..3.0f64) {
        let Ok(agreed) = consensus(&of, cap(), real(scale)) else {
            let spoken = of.iter().any(|(stake, report)| *stake > 0 && report.iter().any(Option::is_some));
            prop_assert!(!spoken);
            return Ok(());
        };
        for (label, value) in agreed.values.iter().enumerate() {
            let staked = || of.iter().filter(|(stake, report)| *stake > 0 && report[label].is_some());
            prop_assert_eq!(value.is_some(), staked().count() > 0);
            prop_assert!(value.is_none() || staked().any(|(_, report)| report[label] == *value));
        }
        prop_assert!(agreed.scores.iter().all(|score| (0.0..=1.0).contains(&score.get())));
    }

    #[test]
    fn labels_do_not_touch_each_other(of in reports(grid)) {
        let Ok(all) = consensus(&of, cap(), Real::ONE) else { return Ok(()) };
        for label in 0..all.values.len() {
            let one: Reports = of.iter().map(|(stake, report)| (*stake, vec![report[label]])).collect();
            match consensus(&one, cap(), Real::ONE) {
                Ok(alone) => prop_assert_eq!(alone.values[0], all.values[label]),
                Err(error) => {
                    prop_assert_eq!(error, MathError::Empty("staked reports"));
                    prop_assert_eq!(all.values[label], None);
                }
            }
        }
    }

    #[test]
    fn among_equal_stakes_the_order_of_reports_does_not_matter(mut of in reports(grid), turn in 0..8usize) {
        of.iter_mut().for_each(|(stake, _)| *stake = 7);
        let mut turned = of.clone();
        let by = turn % of.len();
        turned.rotate_left(by);
        let (here, there) = (consensus(&of, cap(), Real::ONE), consensus(&turned, cap(), Real::ONE));
        let (Ok(here), Ok(mut there)) = (here, there) else { return Ok(()) };
        there.scores.rotate_right(by);
        prop_assert_eq!(here, there);
    }

    #[test]
    fn the_nearer_report_scores_more(truth in -9.0..9.0f64, near in 0.0..1.0f64, farther in 0.001..5.0f64, scale in 0.0..3.0f64) {
        let at = |value: f64| vec![Some(real(value))];
        let of: Reports = vec![(1, at(truth)), (1, at(truth)), (0, at(truth + near)), (0, at(truth + near + farther))];
        let agreed = consensus(&of, cap(), real(scale)).unwrap();
        prop_assert!(agreed.scores[2] >= agreed.scores[3]);
    }

    #[test]
    fn classes_are_a_distribution_and_scores_parts_of_one(of in reports(|value| value)) {
        match classes(&of, cap()) {
            Ok(agreed) => {
                let degrees: Vec<f64> = agreed.values.iter().map(|value| value.unwrap().get()).collect();
                prop_assert!(degrees.iter().all(|&degree| (0.0..=1.0).contains(&degree)));
                prop_assert!((degrees.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                prop_assert!(agreed.scores.iter().all(|score| (0.0..=1.0).contains(&score.get())));
            }
            Err(error) => prop_assert!(matches!(error, MathError::Disagreement | MathError::Empty(_))),
        }
    }

    #[test]
    fn a_class_that_more_than_half_name_is_the_truth(
        honest in prop::collection::vec(1..1_000_000u128, 1..6),
        liars in prop::collection::vec((1..1_000_000u128, 0..4usize), 0..6),
        truth in 0..4usize,
    ) {
        let one_hot = |class: usize| (0..4).map(|label| (label == class).then_some(Real::ONE)).collect();
        let mut of: Reports = honest.iter().map(|&stake| (stake, one_hot(truth))).collect();
        of.extend(liars.iter().map(|&(stake, lie)| (stake, one_hot(lie))));
        let stakes: Vec<f64> = of.iter().map(|&(stake, _)| stake as f64).collect();
        let told: f64 = say(&stakes)[..honest.len()].iter().sum();
        if told > 0.5 + 1e-9 {
            let agreed = classes(&of, cap()).unwrap();
            for (label, value) in agreed.values.iter().enumerate() {
                prop_assert_eq!(*value, Some(if label == truth { Real::ONE } else { Real::ZERO }));
            }
            for (place, score) in agreed.scores.iter().enumerate() {
                let right = place < honest.len() || liars[place - honest.len()].1 == truth;
                prop_assert_eq!(*score, if right { Real::ONE } else { Real::ZERO });
            }
        }
    }
}
