//! What every forecaster promises: positive finite answers, only about members it knows, within bounded memory,
//! and better than a plain average at what it is made for.

use crate::common::Noise;
use dodona_participant::forecaster::{
    EmaForecaster, Forecaster, MAX_ADDRESS, MAX_MEMBERS, PhaseForecaster, built_in,
};

fn pairs(losses: &[(&str, f64)]) -> Vec<(String, f64)> {
    losses.iter().map(|(address, loss)| ((*address).to_owned(), *loss)).collect()
}

fn names(members: &[&str]) -> Vec<String> {
    members.iter().map(|member| (*member).to_owned()).collect()
}

#[test]
fn unknown_members_are_left_out_and_the_order_is_kept() {
    for mut forecaster in built_in(24) {
        assert!(forecaster.predict(0, &names(&["a"])).is_empty());
        forecaster.observe(0, &pairs(&[("a", 1.0), ("b", 2.0)]));
        let said = forecaster.predict(1, &names(&["b", "stranger", "a"]));
        let who: Vec<&str> = said.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(who, ["b", "a"], "{}", forecaster.name());
    }
}

#[test]
fn a_constant_loss_is_predicted_exactly_enough() {
    for mut forecaster in built_in(24) {
        for epoch in 0..500 {
            forecaster.observe(epoch, &pairs(&[("a", 0.25), ("b", 1e8)]));
        }
        let said = forecaster.predict(500, &names(&["a", "b"]));
        assert!((said[0].1 / 0.25 - 1.0).abs() < 1e-9, "{said:?}");
        assert!((said[1].1 / 1e8 - 1.0).abs() < 1e-9, "{said:?}");
    }
}

#[test]
fn answers_are_finite_and_positive_whatever_is_observed() {
    let nasty = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1.0, 1e-300, 1e300, -0.0];
    for mut forecaster in built_in(7) {
        let mut noise = Noise(5);
        for epoch in 0..2000u64 {
            let pick = ((noise.next() + 1.0) * 5.0) as usize % nasty.len();
            forecaster.observe(epoch.wrapping_mul(u64::MAX / 3), &pairs(&[("a", nasty[pick])]));
            for (_, loss) in forecaster.predict(epoch, &names(&["a"])) {
                assert!(loss.is_finite() && loss > 0.0, "{} says {loss}", forecaster.name());
            }
        }
        forecaster.observe(0, &pairs(&[("never", f64::NAN), ("worse", -3.0)]));
        assert!(forecaster.predict(0, &names(&["never", "worse"])).is_empty());
    }
}

#[test]
fn the_average_follows_a_member_that_turns_bad() {
    let mut forecaster = EmaForecaster::default();
    for epoch in 0..100 {
        forecaster.observe(epoch, &pairs(&[("a", 0.1)]));
    }
    for epoch in 100..130 {
        forecaster.observe(epoch, &pairs(&[("a", 10.0)]));
    }
    let said = forecaster.predict(130, &names(&["a"]))[0].1;
    assert!((9.0..=10.0).contains(&said), "{said}");
}

#[test]
fn phases_beat_the_average_when_skill_depends_on_the_hour() {
    let (mut by_phase, mut overall) = (PhaseForecaster::new(24), EmaForecaster::default());
    let mut noise = Noise(11);
    let (mut phase_miss, mut overall_miss) = (0.0, 0.0);
    for epoch in 0..2400u64 {
        let usual: f64 = if epoch % 24 < 12 { 0.01 } else { 1.0 };
        let truth = usual * (1.0 + 0.8 * noise.next());
        if epoch >= 480 {
            let log = |said: Vec<(String, f64)>| (said[0].1 / truth).ln();
            phase_miss += log(by_phase.predict(epoch, &names(&["a"]))).powi(2);
            overall_miss += log(overall.predict(epoch, &names(&["a"]))).powi(2);
        }
        by_phase.observe(epoch, &pairs(&[("a", truth)]));
        overall.observe(epoch, &pairs(&[("a", truth)]));
    }
    assert!(phase_miss < 0.5 * overall_miss, "{phase_miss} against {overall_miss}");
}

#[test]
fn a_crowd_displaces_only_the_longest_silent() {
    for mut forecaster in built_in(1_000_000) {
        forecaster.observe(1, &pairs(&[("old", 1.0)]));
        forecaster.observe(2, &pairs(&[("kept", 1.0)]));
        let crowd: Vec<(String, f64)> = (0..MAX_MEMBERS - 1).map(|i| (format!("m{i}"), 1.0)).collect();
        forecaster.observe(3, &crowd);
        let known = forecaster.predict(4, &names(&["old", "kept", "m0"]));
        let who: Vec<&str> = known.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(who, ["kept", "m0"], "{}", forecaster.name());

        let long = "x".repeat(MAX_ADDRESS + 1);
        forecaster.observe(4, &[(long.clone(), 1.0)]);
        assert!(forecaster.predict(5, &[long]).is_empty());
    }
}

#[test]
fn two_runs_agree_to_the_last_bit() {
    for (mut one, mut two) in built_in(24).into_iter().zip(built_in(24)) {
        let mut noise = Noise(3);
        for epoch in 0..300 {
            let losses = pairs(&[("a", noise.next().abs()), ("b", noise.next().abs())]);
            one.observe(epoch, &losses);
            two.observe(epoch, &losses);
        }
        let members = names(&["a", "b"]);
        assert_eq!(one.predict(300, &members), two.predict(300, &members));
    }
}
