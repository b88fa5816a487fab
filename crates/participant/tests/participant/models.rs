//! What every built-in model promises: no look into the future, finite answers whatever comes, the same answers
//! every time, and being good at the one thing it is made for.

use std::collections::BTreeSet;

use crate::common::{Noise, error, error_of, load, point, predictions};
use dodona_participant::data::bundled;
use dodona_participant::model::{MAX_AHEAD, ar, built_in};
use dodona_participant::series::Point;
use proptest::prelude::*;

const DAY: usize = 24;
const WEEK: usize = 168;
const HORIZONS: [usize; 4] = [1, 2, 7, 30];

fn bits(said: &[Option<f64>]) -> Vec<Option<u64>> {
    said.iter().map(|value| value.map(f64::to_bits)).collect()
}

#[test]
fn the_line_up_has_at_least_fourteen_models_with_unique_names() {
    let models = built_in(DAY, WEEK);
    let names: BTreeSet<&str> = models.iter().map(|model| model.name()).collect();
    assert!(models.len() >= 14);
    assert_eq!(names.len(), models.len());
    assert!(models.iter().all(|model| !model.about().is_empty()));
    assert!(
        names
            .iter()
            .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
    );
}

#[test]
fn altering_the_series_from_an_index_on_changes_no_prediction_made_before_it() {
    let values = load(900, DAY, WEEK, 7);
    for cut in [1, 40, 260, 500, 780] {
        let mut altered = values.clone();
        let mut noise = Noise(99);
        altered[cut..].iter_mut().for_each(|value| *value = -1000.0 * noise.next() - *value);
        for ahead in HORIZONS {
            for (mut one, mut two) in built_in(DAY, WEEK).into_iter().zip(built_in(DAY, WEEK)) {
                let (one_said, two_said) =
                    (predictions(one.as_mut(), &values, ahead), predictions(two.as_mut(), &altered, ahead));
                // The last prediction made before index `cut` is about value cut − 1 + ahead.
                let end = (cut + ahead).min(values.len());
                assert_eq!(bits(&one_said[..end]), bits(&two_said[..end]), "{} at {cut}", one.name());
            }
        }
    }
}

#[test]
fn two_runs_agree_to_the_last_bit_and_asking_changes_nothing() {
    let values = load(1000, DAY, WEEK, 3);
    for (mut asked, mut silent) in built_in(DAY, WEEK).into_iter().zip(built_in(DAY, WEEK)) {
        for (index, value) in values.iter().enumerate() {
            asked.observe(point(index, *value));
            silent.observe(point(index, *value));
            for ahead in HORIZONS {
                let _ = asked.predict(ahead);
            }
        }
        for ahead in HORIZONS {
            let (one, two) = (asked.predict(ahead), silent.predict(ahead));
            assert!(one.is_some(), "{}", asked.name());
            assert_eq!(one.map(f64::to_bits), two.map(f64::to_bits), "{}", asked.name());
        }
    }
}

/// Every bit of every answer on a real series, folded into one number (FNV-1a). It changes when a model is changed on
/// purpose; that it is the same on every machine and at every optimisation level is the point.
#[test]
fn all_machines_compute_the_same_bits() {
    let series = bundled("electricity").unwrap();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for mut model in built_in(series.season_day, series.season_week) {
        for (index, point) in series.points[..1500].iter().enumerate() {
            model.observe(*point);
            let said = [model.predict(1), if index % 50 == 0 { model.predict(48) } else { None }];
            for byte in said.into_iter().flatten().flat_map(|value| value.to_bits().to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    assert_eq!(hash, 0x07f9_3f8b_bb87_8c59, "{hash:#x}");
}

#[test]
fn impossible_horizons_and_unlearned_models_are_answered_with_none() {
    for mut model in built_in(DAY, WEEK) {
        assert_eq!(model.predict(1), None, "{}", model.name());
        for (index, value) in load(400, DAY, WEEK, 5).into_iter().enumerate() {
            model.observe(point(index, value));
        }
        assert!(model.predict(1).is_some(), "{}", model.name());
        assert_eq!(model.predict(0), None, "{}", model.name());
        assert_eq!(model.predict(MAX_AHEAD + 1), None, "{}", model.name());
        assert_eq!(model.predict(usize::MAX), None, "{}", model.name());
    }
}

#[test]
fn seasons_of_no_length_are_no_season() {
    for mut model in built_in(0, 0) {
        let said = predictions(model.as_mut(), &load(400, DAY, WEEK, 11), 3);
        assert!(said[300..].iter().all(Option::is_some), "{}", model.name());
    }
}

#[test]
fn constants_are_predicted_as_such() {
    for constant in [0.0, 1.0, -1e-30, 1e30, 36_500.0] {
        for mut model in built_in(DAY, WEEK) {
            let said = predictions(model.as_mut(), &vec![constant; 3000], 1);
            assert!(said.last().is_some_and(Option::is_some), "{}", model.name());
            for value in said.into_iter().flatten() {
                let miss = (value - constant).abs();
                assert!(miss <= 1e-9 * constant.abs(), "{} says {value} for {constant}", model.name());
            }
        }
    }
}

#[test]
fn after_one_absurd_value_every_model_is_useful_again() {
    let mut values = load(4000, DAY, WEEK, 13);
    values[1500] = 1e9;
    values[1501] = -1e9;
    let honest = load(4000, DAY, WEEK, 13);
    let scale = {
        let mean = honest.iter().sum::<f64>() / honest.len() as f64;
        honest.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / honest.len() as f64
    };
    for mut model in built_in(DAY, WEEK) {
        let said = predictions(model.as_mut(), &values, 1);
        let name = model.name();
        let after = error(&said, &values, 3900);
        assert!(after < 3.0 * scale, "{name}: {after} against a variance of {scale}");
    }
}

#[test]
fn after_a_stuck_sensor_wakes_up_the_models_follow_soon() {
    let mut values = load(1000, DAY, WEEK, 17);
    let stuck = values[999];
    values.extend(vec![stuck; 6000]);
    values.extend(load(1000, DAY, WEEK, 18));
    for name in
        ["ar-3-fast", "ar-24-slow", "ar-difference", "ridge-calendar", "knn-patterns", "boosted-trees"]
    {
        let miss = error_of(name, DAY, WEEK, &values, 7500);
        let naive = error_of("ema-slow", DAY, WEEK, &values, 7500);
        assert!(miss < naive, "{name}: {miss} against {naive}");
    }
}

#[test]
fn values_that_are_no_numbers_are_ignored() {
    let values = load(500, DAY, WEEK, 19);
    for (mut clean, mut dirty) in built_in(DAY, WEEK).into_iter().zip(built_in(DAY, WEEK)) {
        for (index, value) in values.iter().enumerate() {
            clean.observe(point(index, *value));
            dirty.observe(point(index, *value));
            dirty.observe(point(index, [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][index % 3]));
        }
        assert_eq!(clean.predict(1), dirty.predict(1), "{}", clean.name());
    }
}

/// Stretches of one kind of nastiness each.
fn hostile() -> impl Strategy<Value = Vec<f64>> {
    let stretch = (0..9usize, 1..90usize, any::<u64>()).prop_map(|(kind, count, seed)| {
        let mut noise = Noise(seed | 1);
        (0..count)
            .map(|i| match kind {
                0 => 0.0,
                1 => 1e30,
                2 => noise.next(),
                3 => noise.next() * 1e30,
                4 => f64::MAX * noise.next().signum(),
                5 => f64::MIN_POSITIVE * noise.next(),
                6 => i as f64 * 1e12,
                7 => f64::from_bits((noise.next() * 1e18) as i64 as u64),
                _ => 1.0 + (i % 2) as f64 * 1e-12,
            })
            .collect::<Vec<f64>>()
    });
    prop::collection::vec(stretch, 1..20).prop_map(|stretches| stretches.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_finite_under_hostile_series(values in hostile(), day in 1..30usize, weeks in 1..8usize) {
        for mut model in built_in(day, day * weeks) {
            for (index, value) in values.iter().enumerate() {
                model.observe(Point { time: index as i64, value: *value });
                if index % 5 == 0 {
                    for ahead in [1, 3, 40] {
                        let said = model.predict(ahead);
                        prop_assert!(said.is_none_or(f64::is_finite), "{} says {said:?}", model.name());
                    }
                }
            }
        }
    }
}

#[test]
fn seasonal_models_are_exact_on_what_repeats() {
    let values: Vec<f64> = (0..1000).map(|i| ((i % DAY) * (i % DAY)) as f64).collect();
    for name in
        ["seasonal-naive-day", "seasonal-naive-week", "seasonal-difference", "holt-winters", "climatology"]
    {
        assert!(error_of(name, DAY, WEEK, &values, 400) < 1e-18, "{name}");
    }
    for ahead in [1, 5, 24, 50] {
        let mut models = built_in(DAY, WEEK);
        let day = models.iter_mut().find(|model| model.name() == "seasonal-naive-day").unwrap();
        assert_eq!(error(&predictions(day.as_mut(), &values, ahead), &values, 400), 0.0);
    }
}

#[test]
fn autoregression_recovers_an_ar_2() {
    let mut noise = Noise(23);
    let mut values = vec![0.0, 0.0];
    for i in 2..6000 {
        values.push(10.0 + 1.2 * (values[i - 1] - 10.0) - 0.5 * (values[i - 2] - 10.0) + noise.normal());
    }
    // The innovations have variance 1: nobody can do better than that in the long run.
    for name in ["ar-24-slow", "ridge-calendar"] {
        let miss = error_of(name, DAY, WEEK, &values, 2000);
        assert!(miss < 1.06, "{name}: {miss}");
    }
    assert!(error_of("ar-3-fast", DAY, WEEK, &values, 2000) < 1.2);
    assert!(error_of("last-value", DAY, WEEK, &values, 2000) > 1.3);

    let mut exact = ar("exact", 2, 1.0);
    let said = predictions(&mut exact, &values, 1);
    let miss = error(&said, &values, 2000);
    assert!(miss < 1.03, "{miss}");
}

#[test]
fn several_steps_ahead_autoregression_returns_to_the_mean() {
    let mut noise = Noise(29);
    let mut values = vec![0.0];
    for i in 1..4000 {
        values.push(0.8 * values[i - 1] + noise.normal());
    }
    let mut model = ar("slow", 3, 0.999);
    let far = error(&predictions(&mut model, &values, 20), &values, 1000);
    // The variance of the process is 1 / (1 − 0.64).
    assert!(far < 1.1 / 0.36, "{far}");
}

#[test]
fn differences_follow_a_series_whose_changes_persist() {
    let mut noise = Noise(31);
    let (mut change, mut value) = (0.0, 100.0);
    let values: Vec<f64> = (0..3000)
        .map(|_| {
            change = 0.8 * change + noise.normal();
            value += change;
            value
        })
        .collect();
    let naive = error_of("last-value", DAY, WEEK, &values, 500);
    assert!(error_of("ar-difference", DAY, WEEK, &values, 500) < 0.5 * naive);
    assert!(error_of("holt-damped", DAY, WEEK, &values, 500) < naive);
}

#[test]
fn trend_models_beat_the_last_value_on_a_ramp() {
    let mut noise = Noise(37);
    let values: Vec<f64> = (0..1000).map(|i| 3.0 * i as f64 + 0.3 * noise.normal()).collect();
    let naive = error_of("last-value", DAY, WEEK, &values, 200);
    for name in ["holt-damped", "theta", "ar-difference"] {
        assert!(error_of(name, DAY, WEEK, &values, 200) < 0.5 * naive, "{name}");
    }
}

#[test]
fn averages_beat_the_last_value_on_noise_around_a_level() {
    let mut noise = Noise(41);
    let values: Vec<f64> = (0..2000).map(|_| 5.0 + noise.normal()).collect();
    let naive = error_of("last-value", DAY, WEEK, &values, 200);
    let fast = error_of("ema-fast", DAY, WEEK, &values, 200);
    assert!(fast < 0.75 * naive);
    assert!(error_of("ema-slow", DAY, WEEK, &values, 200) < 0.85 * fast);
}

#[test]
fn climatology_beats_the_present_where_the_present_is_noise() {
    let mut noise = Noise(43);
    let values: Vec<f64> =
        (0..4000).map(|i| if i % DAY < 8 { 0.0 } else { 10.0 } + 2.0 * noise.normal()).collect();
    let usual = error_of("climatology", DAY, WEEK, &values, 1000);
    for name in ["last-value", "seasonal-naive-day", "seasonal-naive-week", "ema-slow"] {
        assert!(usual < 0.8 * error_of(name, DAY, WEEK, &values, 1000), "{name}");
    }
}

#[test]
fn seasonal_learners_beat_every_naive_model_on_a_load_like_series() {
    let values = load(5000, DAY, WEEK, 47);
    let naive = ["last-value", "seasonal-naive-day", "seasonal-naive-week", "ema-fast"]
        .map(|name| error_of(name, DAY, WEEK, &values, 1500))
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    for name in ["ridge-calendar", "boosted-trees", "holt-winters", "seasonal-difference"] {
        let miss = error_of(name, DAY, WEEK, &values, 1500);
        assert!(miss < naive, "{name}: {miss} against {naive}");
    }
}

#[test]
fn patterns_recognise_what_recurs_at_irregular_times() {
    // A fixed pulse at unforeseeable moments: once it begins, its course is known.
    const PULSE: [f64; 10] = [1.0, 3.0, 7.0, 9.0, 6.0, 2.0, -3.0, -5.0, -2.0, -1.0];
    let mut noise = Noise(53);
    let mut values = Vec::new();
    while values.len() < 3000 {
        let pause = 5 + ((noise.next() + 1.0) * 6.0) as usize;
        values.extend((0..pause).map(|_| 0.0));
        values.extend(PULSE);
    }
    let similar = error_of("knn-patterns", DAY, WEEK, &values, 1000);
    for name in ["last-value", "ar-24-slow", "seasonal-naive-day"] {
        assert!(similar < 0.5 * error_of(name, DAY, WEEK, &values, 1000), "{name}");
    }
}

#[test]
fn trees_find_a_threshold_that_lines_cannot() {
    // A zigzag that doubles up above a threshold: the direction depends on the side, not on the size.
    let mut noise = Noise(59);
    let mut value: f64 = 0.3;
    let values: Vec<f64> = (0..3000)
        .map(|_| {
            value = if value < 0.5 { value + 0.4 } else { value - 0.45 } + 0.01 * noise.normal();
            value
        })
        .collect();
    let trees = error_of("boosted-trees", DAY, WEEK, &values, 1000);
    for name in ["last-value", "ar-3-fast", "ema-fast"] {
        assert!(trees < error_of(name, DAY, WEEK, &values, 1000), "{name}");
    }
}
