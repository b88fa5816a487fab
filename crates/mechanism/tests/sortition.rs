//! Merit sortition against the published simulation, and its laws on random input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod common;

use common::{Judge, number, real, reals};
use dodona_mechanism::Real;
use dodona_mechanism::topic::sortition::{
    self, Epoch, Verdict, active, admit, initial_score, liveness, missed, passive, quantile_score, select,
};
use proptest::prelude::*;

#[test]
fn the_sortition_simulation_is_reproduced_epoch_by_epoch() {
    let Some(table) = common::rows("sortition_sim.csv") else { return };
    assert!(!table.is_empty());
    let participants = table[0].keys().filter(|name| name.ends_with("_prev_quality_ema")).count();
    assert!(participants > 0);
    let mut judge = Judge::default();
    let mut chained: Option<Vec<Real>> = None;
    for row in &table {
        let epoch = number(row, "epoch");
        let cell = |i: usize, name: &str| {
            row.contains_key(&format!("{i}_{name}")).then(|| real(number(row, &format!("{i}_{name}"))))
        };
        let stated: Vec<Option<Real>> = (0..participants).map(|i| cell(i, "prev_quality_ema")).collect();
        let metrics: Vec<Option<Real>> = (0..participants).map(|i| cell(i, "quality_metric")).collect();
        let expected: Vec<usize> = (0..participants)
            .filter(|i| row.get(&format!("{i}_active")).is_some_and(|cell| cell == "true"))
            .collect();
        // Where the table goes on without a break, our own averages are carried on instead of the stated ones.
        if let Some(own) = &chained {
            for (i, (own, stated)) in own.iter().zip(&stated).enumerate() {
                judge.same(&format!("epoch {epoch}, {i} before"), own.get(), stated.unwrap().get(), 1e-9);
            }
        }
        let previous = chained.map_or(stated, |own| own.into_iter().map(Some).collect());
        let cap = number(row, "n_participants_max") as usize;
        let input = Epoch {
            previous: &previous,
            initial: Real::ZERO,
            metrics: &metrics,
            cap,
            alpha: real(number(row, "alpha_quality")),
            quantile: real(number(row, "percentile") / 100.0),
            passive_target: None,
        };
        let outcome = sortition::step(&input).unwrap();
        assert_eq!(outcome.active, expected, "active set of epoch {epoch}");
        judge.same(
            &format!("quantile of epoch {epoch}"),
            outcome.quantile.get(),
            number(row, "quality_percentile"),
            1e-9,
        );
        let cutoff = expected.iter().map(|&i| previous[i].unwrap()).min().unwrap();
        judge.same(&format!("cutoff of epoch {epoch}"), cutoff.get(), number(row, "quality_cutoff"), 1e-9);
        for (i, score) in outcome.scores.iter().enumerate() {
            let name = format!("{i}_quality_ema");
            judge.same(&format!("epoch {epoch}, {name}"), score.get(), number(row, &name), 1e-9);
        }
        // The participant whom one place more lets in is the next in the order.
        for (i, place) in
            (0..participants).filter_map(|i| Some((i, cell(i, "sort_position_previous_quality_ema")?)))
        {
            let place = place.get() as usize;
            let inside = |cap: usize| select(&previous, Real::ZERO, cap).contains(&i);
            assert!(!inside(place) && inside(place + 1), "place of {i} in epoch {epoch}");
            judge.count += 1;
        }
        for i in &outcome.active {
            let better = outcome.active.iter().filter(|&other| metrics[*other] > metrics[*i]).count();
            assert_eq!(better as f64, number(row, &format!("{i}_sort_position_quality_metrics")));
            judge.count += 1;
        }
        chained = Some(outcome.scores);
    }
    println!(
        "sortition: {} epochs, {} comparisons, off by {:e} at most",
        table.len(),
        judge.count,
        judge.worst
    );
    assert!(judge.count >= table.len() * (3 * participants + 2));
}

#[test]
fn initial_scores_of_the_unit_table_are_reproduced() {
    let Some(units) = common::units() else { return };
    let entries = units["initial_ema_score"].as_array().unwrap();
    assert!(!entries.is_empty());
    for entry in entries {
        let scores: Vec<Real> =
            entry["scores"].as_array().unwrap().iter().map(|score| real(score.as_f64().unwrap())).collect();
        let actual = initial_score(&scores, real(entry["lambda"].as_f64().unwrap())).unwrap();
        // The table gives seven digits.
        let expected = entry["expected"].as_f64().unwrap();
        assert!((actual.get() - expected).abs() <= 5e-8, "{actual} instead of {expected}");
    }
}

fn scores(most: usize) -> BoxedStrategy<Vec<f64>> {
    // Halves of small integers: ties are as common as not.
    prop::collection::vec(prop_oneof![(-4..5i32).prop_map(|n| f64::from(n) / 2.0), -10.0..10.0f64], 0..most)
        .boxed()
}

proptest! {
    #[test]
    fn the_active_set_holds_the_highest_scores(values in scores(12), cap in 0..14usize) {
        let previous: Vec<Option<Real>> = values.iter().map(|&value| Some(real(value))).collect();
        let chosen = select(&previous, Real::ZERO, cap);
        prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        let mut inside: Vec<f64> = chosen.iter().map(|&i| values[i]).collect();
        inside.sort_by(|a, b| b.total_cmp(a));
        let mut best = values.clone();
        best.sort_by(|a, b| b.total_cmp(a));
        best.truncate(cap);
        prop_assert_eq!(inside, best);
    }

    #[test]
    fn a_newcomer_counts_with_the_initial_score(values in scores(10), newcomers in prop::collection::vec(any::<bool>(), 10), cap in 0..10usize) {
        let initial = real(0.5);
        let hidden: Vec<Option<Real>> =
            values.iter().zip(&newcomers).map(|(&value, new)| (!new).then(|| real(value))).collect();
        let shown: Vec<Option<Real>> = hidden.iter().map(|score| score.or(Some(initial))).collect();
        prop_assert_eq!(select(&hidden, initial, cap), select(&shown, Real::ZERO, cap));
    }

    #[test]
    fn nobody_is_displaced_by_an_equal(active in 0..5usize, cap in 0..5usize, lowest in -5..5i32, candidate in -5..5i32) {
        let verdict = admit(active, cap, Some(real(lowest.into())), real(candidate.into()));
        let expected = if active < cap {
            Verdict::Join
        } else if active > 0 && cap > 0 && candidate > lowest {
            Verdict::Replace
        } else {
            Verdict::Refuse
        };
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn missed_epochs_are_the_closings_after_the_last_touch(last in 0..500u64, opened in 0..500u64, length in 1..50u64) {
        let (mut closing, mut count) = (opened, 0);
        while closing > last {
            count += 1;
            closing = closing.saturating_sub(length);
        }
        prop_assert_eq!(missed(last, opened, length), count);
    }

    #[test]
    fn missed_never_panics(last in any::<u64>(), opened in any::<u64>(), length in any::<u64>()) {
        prop_assert!(missed(last, opened, length) <= opened.saturating_sub(last));
    }

    #[test]
    fn averages_stay_between_where_they_were_and_where_they_go(
        alpha in 0.0..=1.0f64, target in -1e6..1e6f64, old in -1e6..1e6f64, skipped in any::<u64>()
    ) {
        let (alpha, goal, start) = (real(alpha), real(target), real(old));
        let slack = 1e-9 * target.abs().max(old.abs());
        for moved in [
            passive(alpha, goal, start).unwrap(),
            active(alpha, goal, start, false).unwrap(),
            liveness(alpha, goal, start, skipped).unwrap(),
        ] {
            prop_assert!(moved.get() >= target.min(old) - slack && moved.get() <= target.max(old) + slack);
        }
        prop_assert_eq!(active(alpha, goal, start, true).unwrap(), goal);
    }

    #[test]
    fn missing_epochs_one_by_one_or_at_once_is_the_same(alpha in 0.0..=1.0f64, initial in -9.0..9.0f64, score in -9.0..9.0f64, n in 0..20u64) {
        let (alpha, initial) = (real(alpha), real(initial));
        let at_once = liveness(alpha, initial, real(score), n).unwrap().get();
        let one_by_one = (0..n).fold(real(score), |score, _| liveness(alpha, initial, score, 1).unwrap());
        prop_assert!((at_once - one_by_one.get()).abs() <= 1e-12);
    }

    #[test]
    fn a_step_touches_everybody_once(values in scores(9), metrics in scores(9), cap in 0..9usize, alpha in 0.0..=1.0f64, q in 0.0..=1.0f64, target in -9.0..9.0f64) {
        let n = values.len().min(metrics.len());
        let previous: Vec<Option<Real>> = values[..n].iter().map(|&value| Some(real(value))).collect();
        let metrics: Vec<Option<Real>> = metrics[..n].iter().map(|&value| Some(real(value))).collect();
        let (alpha, target) = (real(alpha), real(target));
        let outcome = sortition::step(&Epoch {
            previous: &previous,
            initial: Real::ZERO,
            metrics: &metrics,
            cap,
            alpha,
            quantile: real(q),
            passive_target: Some(target),
        })
        .unwrap();
        prop_assert_eq!(outcome.active.len(), cap.min(n));
        let judged: Vec<Real> = outcome.active.iter().map(|&i| metrics[i].unwrap()).collect();
        prop_assert_eq!(outcome.quantile, quantile_score(&judged, real(q)).unwrap());
        for i in 0..n {
            let goal = if outcome.active.contains(&i) { metrics[i].unwrap() } else { target };
            prop_assert_eq!(outcome.scores[i], active(alpha, goal, previous[i].unwrap(), false).unwrap());
        }
    }

    #[test]
    fn initial_scores_lie_at_or_below_the_worst(values in scores(9), lambda in 0.0..4.0f64) {
        let initial = initial_score(&reals(&values), real(lambda)).unwrap().get();
        let worst = values.iter().copied().fold(f64::INFINITY, f64::min);
        let below = if values.is_empty() { initial == 0.0 } else { initial <= worst };
        prop_assert!(below);
    }
}
