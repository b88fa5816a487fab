//! Laws that must hold for every input, tried on random ones; fast paths against their slow twins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod reference;

use dodona_mechanism::amount::{mul_div_rem, split, split_by};
use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::{Bundle, Forecast, Losses};
use dodona_mechanism::topic::loss::Loss;
use dodona_mechanism::topic::power::{self, MemberState, Pool, PowerConfig, PowerOpening, TopicState};
use dodona_mechanism::topic::regret::{self, RegretConfig, RegretOpening, RegretState, Regrets};
use dodona_mechanism::{Real, stats};
use proptest::prelude::*;

fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

/// Equal to `tolerance` of the `size` of the numbers that went in.
fn close_to(actual: f64, expected: f64, size: f64, tolerance: f64) -> bool {
    (actual - expected).abs() <= tolerance * size.max(expected.abs()).max(1e-300)
}

fn same_list(actual: &[Option<Real>], expected: &[Option<f64>], size: f64) -> bool {
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|(actual, expected)| match (actual, expected) {
            (Some(actual), Some(expected)) => close_to(actual.get(), *expected, size, 1e-12),
            (None, None) => true,
            _ => false,
        })
}

// Strategies are boxed: their nested types would cost minutes of compilation.
fn member() -> BoxedStrategy<MemberState> {
    let loss = prop_oneof![8 => (-6.0..6.0f64).prop_map(|e| func::pow(10.0, e)), 1 => Just(0.0)];
    let count = prop_oneof![1 => Just(0u32), 6 => 1u32..500];
    (loss, count).prop_map(|(loss, count)| MemberState { loss: real(loss), count, score: Real::ZERO }).boxed()
}

/// Predicted losses for most of n inferers, from decimal logarithms in -4..4.
fn forecast(n: usize, loss: fn(f64) -> f64) -> BoxedStrategy<Forecast> {
    let entries = prop::collection::vec(prop::option::weighted(0.8, -4.0..4.0f64), n);
    let present = move |entry: (usize, Option<f64>)| Some((entry.0, real(loss(entry.1?))));
    entries
        .prop_map(move |losses| Forecast {
            losses: losses.into_iter().enumerate().filter_map(present).collect(),
        })
        .boxed()
}

/// One epoch's input under the power rule.
#[derive(Clone, Debug)]
struct Epoch {
    config: PowerConfig,
    topic: TopicState,
    inferers: Vec<(MemberState, Real)>,
    forecasters: Vec<(MemberState, Forecast)>,
}

impl Epoch {
    fn open(&self) -> PowerOpening {
        power::open(&self.config, &self.topic, &self.inferers, &self.forecasters).unwrap()
    }

    fn size(&self) -> f64 {
        self.inferers.iter().map(|(_, value)| value.get().abs()).fold(0.0, f64::max)
    }
}

fn epoch() -> BoxedStrategy<Epoch> {
    let config = (0..4usize, prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    let shape = (config, 1..9usize, 0..4usize);
    let epoch = shape.prop_flat_map(|((kind, capped, clamped), n, k)| {
        let mut config =
            PowerConfig::for_loss([Loss::Squared, Loss::Absolute, Loss::LogLoss, Loss::LogLoss][kind]);
        if kind == 3 {
            config.pool = Pool::Linear;
        }
        config.cap = config.cap.filter(|_| capped);
        config.clamp = config.clamp.filter(|_| clamped);
        let values = if kind >= 2 { (0.0..1.0f64).boxed() } else { (-100.0..100.0f64).boxed() };
        let topic = (0.01..50.0f64, 0u32..40, 0.2..5.0f64).prop_map(|(scale, scale_count, a)| TopicState {
            scale: real(scale),
            scale_count,
            sharpening: real(a),
            sharpening_grad: Real::ONE,
        });
        let inferers = prop::collection::vec((member(), values.prop_map(real)), n);
        let forecasters = prop::collection::vec((member(), forecast(n, |e| func::pow(10.0, e))), k);
        let inputs = (topic, inferers, forecasters);
        inputs
            .prop_map(move |(topic, inferers, forecasters)| Epoch { config, topic, inferers, forecasters })
            .boxed()
    });
    epoch.boxed()
}

/// One epoch's input under the regret rule: inferers 0..n, forecasters 100..100+k, regrets with gaps.
type RegretEpoch = (RegretState<u32>, Vec<(u32, Real)>, Vec<(u32, Forecast)>);

fn regret_epoch() -> BoxedStrategy<RegretEpoch> {
    let epoch = (2..7usize, 0..4usize).prop_flat_map(|(n, k)| {
        let cells = n * n + 2 * n * k + k * n + k * k + 2 * n + 2 * k;
        let regrets = prop::collection::vec(prop::option::weighted(0.9, -2.0..2.0f64), cells);
        let values = prop::collection::vec((-100.0..100.0f64).prop_map(real), n);
        let forecasts = prop::collection::vec(forecast(n, |e| e), k);
        let scale = prop_oneof![1 => Just(0.0), 4 => 0.05..2.0f64];
        let rest = (scale, 0.1..1.0f64, prop::option::weighted(0.9, -3.0..1.0f64));
        (regrets, values, forecasts, rest).prop_map(regret_inputs).boxed()
    });
    epoch.boxed()
}

type RegretDraws = (Vec<Option<f64>>, Vec<Real>, Vec<Forecast>, (f64, f64, Option<f64>));

fn regret_inputs((regrets, values, forecasts, (scale, initial, previous)): RegretDraws) -> RegretEpoch {
    let mut cells = regrets.into_iter();
    let inferers: Vec<u32> = (0..values.len() as u32).collect();
    let forecasters: Vec<u32> = (100..100 + forecasts.len() as u32).collect();
    let mut family = |names: &[u32]| -> Regrets<u32> {
        names.iter().filter_map(|name| Some((*name, real(cells.next()??)))).collect()
    };
    let mut state = RegretState::new();
    state.inferers = family(&inferers);
    state.naive = family(&inferers);
    state.forecasters = family(&forecasters);
    state.one_in_forecasters = family(&forecasters);
    for out in &inferers {
        state.one_out_inferer_inferers.insert(*out, family(&inferers));
        state.one_out_inferer_forecasters.insert(*out, family(&forecasters));
    }
    for out in &forecasters {
        state.one_out_forecaster_inferers.insert(*out, family(&inferers));
        state.one_out_forecaster_forecasters.insert(*out, family(&forecasters));
        state.one_in_forecaster_inferers.insert(*out, family(&inferers));
    }
    state.scale = real(scale);
    state.initial = real(initial);
    state.previous_loss = previous.map(real);
    (state, inferers.into_iter().zip(values).collect(), forecasters.into_iter().zip(forecasts).collect())
}

fn regret_open(
    state: &RegretState<u32>,
    inferers: &[(u32, Real)],
    forecasters: &[(u32, Forecast)],
) -> RegretOpening {
    regret::open(&RegretConfig::new(), state, inferers, forecasters).unwrap()
}

fn weight_sum(opening: &dodona_mechanism::topic::combine::Synthesis) -> f64 {
    opening.inferer_weights.iter().chain(&opening.forecaster_weights).map(|weight| weight.get()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn power_equals_its_slow_twin(epoch in epoch()) {
        let (fast, size) = (epoch.open(), epoch.size());
        let slow = reference::power::open(&epoch.config, &epoch.topic, &epoch.inferers, &epoch.forecasters);
        let s = &fast.synthesis;
        prop_assert!(close_to(s.combined.get(), slow.combined, size, 1e-12));
        prop_assert!(close_to(s.naive.get(), slow.naive, size, 1e-12));
        prop_assert!(same_list(&s.implied, &slow.implied, size));
        prop_assert!(same_list(&s.one_out_inferers, &slow.one_out_inferers, size));
        prop_assert!(same_list(&s.one_out_forecasters, &slow.one_out_forecasters, size));
        let weights = s.inferer_weights.iter().chain(&s.forecaster_weights);
        for (fast, slow) in weights.zip(slow.inferer_weights.iter().chain(&slow.forecaster_weights)) {
            prop_assert!(close_to(fast.get(), *slow, 1.0, 1e-12));
        }
        for (fast, slow) in fast.clamped.iter().zip(&slow.clamped) {
            prop_assert!(close_to(fast.get(), *slow, size, 1e-12));
        }
    }

    #[test]
    fn power_weights_sum_to_one_and_keep_the_cap(epoch in epoch()) {
        let opening = epoch.open();
        prop_assert!((weight_sum(&opening.synthesis) - 1.0).abs() < 1e-12);
        let members = epoch.inferers.len() + opening.synthesis.implied.iter().flatten().count();
        let limit = epoch.config.cap.map_or(1.0, |cap| cap.get().max(1.0 / members as f64));
        for weight in opening.synthesis.inferer_weights.iter().chain(&opening.synthesis.forecaster_weights) {
            prop_assert!(*weight >= Real::ZERO && weight.get() <= limit * (1.0 + 1e-12));
        }
    }

    #[test]
    fn the_naive_inference_is_the_rule_without_forecasters(epoch in epoch()) {
        let alone = Epoch { forecasters: vec![], ..epoch.clone() };
        prop_assert_eq!(epoch.open().synthesis.naive, alone.open().synthesis.combined);
    }

    #[test]
    fn power_outputs_stay_among_the_members(epoch in epoch()) {
        let opening = epoch.open();
        let s = &opening.synthesis;
        let clamped = opening.clamped.iter().map(|z| z.get());
        let (low, high) = clamped.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), z| (l.min(z), h.max(z)));
        let slack = 1e-12 * epoch.size();
        let one_outs = s.one_out_inferers.iter().chain(&s.one_out_forecasters).flatten();
        for value in [s.combined, s.naive].iter().chain(one_outs).map(|value| value.get()) {
            if epoch.config.pool == Pool::Log {
                prop_assert!(value > 0.0 && value < 1.0);
            } else {
                prop_assert!(value >= low - slack && value <= high + slack);
            }
        }
        for value in s.implied.iter().flatten().map(|value| value.get()) {
            prop_assert!(value >= low - slack && value <= high + slack);
        }
        if epoch.config.loss != Loss::LogLoss {
            let bar = s.interval;
            prop_assert!(bar.p2 <= bar.p16 && bar.p16 <= bar.p50 && bar.p50 <= bar.p84 && bar.p84 <= bar.p98);
        }
    }

    #[test]
    fn the_order_of_members_only_reorders_the_outputs(epoch in epoch()) {
        let n = epoch.inferers.len();
        let mut turned = epoch.clone();
        turned.inferers.reverse();
        turned.forecasters.reverse();
        for (_, forecast) in &mut turned.forecasters {
            forecast.losses.iter_mut().for_each(|entry| entry.0 = n - 1 - entry.0);
            forecast.losses.reverse();
        }
        let (one, two, size) = (epoch.open().synthesis, turned.open().synthesis, epoch.size());
        prop_assert!(close_to(one.combined.get(), two.combined.get(), size, 1e-12));
        prop_assert!(close_to(one.naive.get(), two.naive.get(), size, 1e-12));
        let back = |list: &[Option<Real>]| list.iter().rev().map(|value| value.map(Real::get)).collect::<Vec<_>>();
        prop_assert!(same_list(&one.one_out_inferers, &back(&two.one_out_inferers), size));
        prop_assert!(same_list(&one.one_out_forecasters, &back(&two.one_out_forecasters), size));
        prop_assert!(same_list(&one.implied, &back(&two.implied), size));
    }

    #[test]
    fn scaling_all_values_scales_the_network(epoch in epoch(), factor in 0.001..1000.0f64) {
        prop_assume!(epoch.config.loss != Loss::LogLoss);
        let mut scaled = epoch.clone();
        scaled.inferers.iter_mut().for_each(|(_, value)| *value = real(value.get() * factor));
        scaled.topic.scale = real(epoch.topic.scale.get() * factor);
        let (one, two) = (epoch.open().synthesis, scaled.open().synthesis);
        prop_assert!(close_to(two.combined.get(), one.combined.get() * factor, epoch.size() * factor, 1e-12));
    }

    #[test]
    fn one_lie_moves_the_network_by_at_most_three_scales_and_a_bit(
        states in prop::collection::vec(member(), 3..40),
        honest in prop::collection::vec(-0.5..0.5f64, 40),
        liar in any::<prop::sample::Index>(),
        up in any::<bool>(),
    ) {
        let topic = TopicState { scale: real(2.0), scale_count: 100, ..TopicState::new() };
        let config = PowerConfig::for_loss(Loss::Squared);
        let mut inferers: Vec<(MemberState, Real)> =
            states.iter().zip(&honest).map(|(state, x)| (*state, real(2.0 * x))).collect();
        let truthful = power::open(&config, &topic, &inferers, &[]).unwrap().synthesis.combined.get();
        let liar = liar.index(inferers.len());
        inferers[liar].1 = real(if up { 2e6 } else { -2e6 });
        let lied = power::open(&config, &topic, &inferers, &[]).unwrap().synthesis.combined.get();
        prop_assert!((lied - truthful).abs() <= 3.2 * 2.0, "moved by {} scales", (lied - truthful) / 2.0);
    }

    #[test]
    fn a_member_of_vanishing_weight_changes_nothing(epoch in epoch(), value in -1.0..1.0f64) {
        prop_assume!(epoch.inferers.iter().any(|(state, _)| state.count > 0 && state.loss > Real::ZERO));
        // Enough members that neither the cap's 1/n nor the median of losses hangs on the addition.
        let mut config = epoch.config;
        (config.cap, config.n0) = (None, Real::ZERO);
        let known: Vec<_> = epoch.inferers.iter().filter(|i| i.0.count > 0 && i.0.loss > Real::ZERO).copied().collect();
        let with = |extra: Option<f64>| {
            let mut inferers = known.clone();
            let hopeless = MemberState { loss: real(1e100), count: 400, score: Real::ZERO };
            inferers.extend(extra.map(|value| (hopeless, real(value))));
            power::open(&config, &epoch.topic, &inferers, &[]).unwrap().synthesis.combined.get()
        };
        prop_assert!(close_to(with(Some(value)), with(None), epoch.size(), 1e-12));
    }

    #[test]
    fn gains_and_proper_parts_obey_the_diversity_identity(epoch in epoch(), truth in -100.0..100.0f64) {
        // Without the clamp an inference is used as submitted; without forecasters a leaving member changes nobody.
        let config = PowerConfig { clamp: None, ..PowerConfig::for_loss(Loss::Squared) };
        let epoch = Epoch { config, forecasters: vec![], ..epoch };
        let opening = epoch.open();
        let states: Vec<_> = epoch.inferers.iter().map(|i| i.0).collect();
        let closing = power::close(&epoch.config, &epoch.topic, &states, &[], &opening, real(truth)).unwrap();
        for (j, state) in states.iter().enumerate() {
            let next = closing.inferers[j];
            prop_assert_eq!(next.count, state.count + 1);
            let merits = &closing.inferer_merits;
            let (Some(gain), Some(proper)) = (merits.gains[j], merits.proper[j]) else { continue };
            let (w, x) = (opening.synthesis.inferer_weights[j].get(), opening.values[j].get());
            let without = opening.synthesis.one_out_inferers[j].unwrap().get();
            let credit = w * (1.0 - w) * (x - without) * (x - without);
            prop_assert!(close_to(gain.get() - proper.get(), credit, 40_000.0, 1e-10));
            let score = proper.get() + 0.75 * (gain.get() - proper.get());
            prop_assert!(close_to(next.score.get(), 0.02 * score, 40_000.0, 1e-12));
        }
    }

    #[test]
    fn openings_and_states_survive_their_bytes(epoch in epoch(), truth in any::<bool>()) {
        let opening = epoch.open();
        let bytes = borsh::to_vec(&opening).unwrap();
        prop_assert_eq!(&borsh::from_slice::<PowerOpening>(&bytes).unwrap(), &opening);
        let states: Vec<_> = epoch.inferers.iter().map(|i| i.0).collect();
        let forecasters: Vec<_> = epoch.forecasters.iter().map(|f| f.0).collect();
        let truth = if truth { Real::ONE } else { Real::ZERO };
        let closing =
            power::close(&epoch.config, &epoch.topic, &states, &forecasters, &opening, truth).unwrap();
        let bytes = borsh::to_vec(&closing.topic).unwrap();
        prop_assert_eq!(borsh::from_slice::<TopicState>(&bytes).unwrap(), closing.topic);
        let a = closing.topic.sharpening.get();
        prop_assert!((0.2..=5.0).contains(&a) && closing.topic.scale >= Real::ZERO);
        for (k, forecaster) in closing.forecasters.iter().enumerate() {
            let part = u32::from(opening.synthesis.implied[k].is_some());
            prop_assert_eq!(forecaster.count, forecasters[k].count + part);
        }
    }

    #[test]
    fn regret_equals_its_slow_twin((state, inferers, forecasters) in regret_epoch()) {
        let fast = regret_open(&state, &inferers, &forecasters).bundle().unwrap();
        let slow = reference::regret::open(&RegretConfig::new(), &state, &inferers, &forecasters);
        prop_assert!(close_to(fast.combined.get(), slow.combined, 100.0, 1e-12));
        prop_assert!(close_to(fast.naive.get(), slow.naive, 100.0, 1e-12));
        prop_assert!(same_list(&fast.forecasters, &slow.implied, 100.0));
        prop_assert!(same_list(&fast.one_out_inferers, &slow.one_out_inferers, 100.0));
        prop_assert!(same_list(&fast.one_out_forecasters, &slow.one_out_forecasters, 100.0));
        let active = fast.forecasters.iter().flatten().count();
        if active > 1 {
            prop_assert!(same_list(&fast.one_in_forecasters, &slow.one_in_forecasters, 100.0));
        } else {
            prop_assert!(fast.one_in_forecasters.is_empty());
        }
        if active > 0 {
            for (fast, slow) in fast.one_out_inferer_forecaster.iter().zip(&slow.one_out_inferer_forecaster) {
                prop_assert!(same_list(fast, slow, 100.0));
            }
        } else {
            prop_assert!(fast.one_out_inferer_forecaster.is_empty());
        }
    }

    #[test]
    fn regret_weights_sum_to_one_and_outputs_stay_among_the_members(
        (state, inferers, forecasters) in regret_epoch()
    ) {
        let opening = regret_open(&state, &inferers, &forecasters);
        prop_assert!((weight_sum(&opening.synthesis) - 1.0).abs() < 1e-12);
        let values = inferers.iter().map(|i| i.1.get());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        let Bundle { combined, naive, forecasters, one_out_inferers, .. } = opening.bundle().unwrap();
        for value in [Some(combined), Some(naive)].iter().chain(&forecasters).chain(&one_out_inferers).flatten() {
            prop_assert!(value.get() >= low - 1e-10 && value.get() <= high + 1e-10);
        }
    }

    #[test]
    fn regret_states_survive_their_bytes((state, _, _) in regret_epoch()) {
        let bytes = borsh::to_vec(&state).unwrap();
        prop_assert_eq!(borsh::from_slice::<RegretState<u32>>(&bytes).unwrap(), state);
    }

    #[test]
    fn splits_conserve_their_total(
        total in any::<u128>(),
        weights in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1.0f64, (0.0..30.0f64).prop_map(|e| func::pow(10.0, e))], 1..40),
    ) {
        let weights: Vec<Real> = weights.into_iter().map(real).collect();
        match split(total, &weights) {
            Ok(parts) => {
                prop_assert_eq!(parts.iter().sum::<u128>(), total);
                let paid = weights.iter().zip(&parts).filter(|(weight, _)| **weight == Real::ZERO);
                prop_assert!(paid.into_iter().all(|(_, part)| *part == 0));
            }
            Err(_) => prop_assert!(weights.iter().all(|weight| *weight == Real::ZERO)),
        }
    }

    #[test]
    fn integer_splits_are_within_one_unit_of_the_exact_part(
        total in 0..u128::from(u64::MAX),
        shares in prop::collection::vec(0..1_000_000u128, 1..20),
    ) {
        prop_assume!(shares.iter().sum::<u128>() > 0);
        let sum: u128 = shares.iter().sum();
        let parts = split_by(total, &shares).unwrap();
        prop_assert_eq!(parts.iter().sum::<u128>(), total);
        for (share, part) in shares.iter().zip(&parts) {
            let floor = total * share / sum;
            prop_assert!(*part == floor || *part == floor + 1);
        }
    }

    #[test]
    fn wide_quotients_and_remainders_rebuild_their_product(a in any::<u128>(), b in any::<u64>(), c in any::<u128>()) {
        let (b, c) = (u128::from(b), c | (1 << 100));
        let (quotient, remainder) = mul_div_rem(a, b, c).unwrap();
        prop_assert!(remainder < c);
        // Modulo 2^128 the identity needs no wider numbers.
        prop_assert_eq!(a.wrapping_mul(b), quotient.wrapping_mul(c).wrapping_add(remainder));
    }

    #[test]
    fn text_reads_back_to_the_same_bits(bits in any::<u64>()) {
        if let Ok(value) = Real::new(f64::from_bits(bits)) {
            let text = value.to_string();
            prop_assert!(text.len() <= 64);
            prop_assert_eq!(text.parse::<Real>(), Ok(value));
            let bytes = borsh::to_vec(&value).unwrap();
            prop_assert_eq!(borsh::from_slice::<Real>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn percentiles_ascend_and_the_median_halves_the_weight(
        members in prop::collection::vec((-10.0..10.0f64, 0.01..1.0f64), 1..20),
        p in 0.0..100.0f64, q in 0.0..100.0f64,
    ) {
        let (values, weights): (Vec<f64>, Vec<f64>) = members.into_iter().unzip();
        let at = |p| stats::weighted_percentile(&values, &weights, p).unwrap();
        prop_assert!(at(p.min(q)) <= at(p.max(q)) + 1e-12);
        let median = stats::weighted_median(&values, &weights).unwrap();
        let total: f64 = weights.iter().sum();
        let upto = |strict: bool| -> f64 {
            let counts = |x: f64| if strict { x < median } else { x <= median };
            values.iter().zip(&weights).filter(|(x, _)| counts(**x)).map(|(_, w)| w).sum()
        };
        prop_assert!(upto(false) * 2.0 >= total - 1e-12 && upto(true) * 2.0 <= total + 1e-12);
    }
}

/// Epoch after epoch, a member three times better ends at the cap and earns; one thirty times worse ends at nothing.
#[test]
fn the_better_member_wins_weight_and_reward() {
    let config = PowerConfig::for_loss(Loss::Squared);
    let (mut topic, mut states) = (TopicState::new(), vec![MemberState::default(); 4]);
    let mut noise = 12345u64;
    let mut draw = || {
        noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (noise >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    for _ in 0..400 {
        let truth = real(10.0 * draw());
        let inferers: Vec<_> = states
            .iter()
            .zip([1.0, 3.0, 3.0, 30.0])
            .map(|(state, spread)| (*state, real(truth.get() + spread * draw())))
            .collect();
        let opening = power::open(&config, &topic, &inferers, &[]).unwrap();
        let closing = power::close(&config, &topic, &states, &[], &opening, truth).unwrap();
        (topic, states) = (closing.topic, closing.inferers);
    }
    let opening =
        power::open(&config, &topic, &states.iter().map(|s| (*s, Real::ONE)).collect::<Vec<_>>(), &[])
            .unwrap();
    let weights = opening.synthesis.inferer_weights;
    assert_eq!(weights[0], real(0.45));
    assert!(weights[1] > real(0.2) && weights[3] < real(0.001));
    assert!(states[0].score > Real::ZERO && (1..4).all(|j| states[0].score > states[j].score));
    assert!(states[3].score < real(1e-3));
    assert_eq!(topic.scale_count, 400);
}

/// While nobody was scored the rule is the plain mean; the first losses end that.
#[test]
fn a_regret_topic_starts_as_a_mean_and_wakes_with_its_first_losses() {
    let config = RegretConfig::new();
    let inferers: Vec<(u32, Real)> =
        [1.0, 2.0, 6.0].into_iter().zip(0u32..).map(|(x, j)| (j, real(x))).collect();
    let forecast = Forecast { losses: vec![(0, real(-1.0)), (2, real(-2.0))] };
    let forecasters = vec![(9u32, forecast)];
    let cold = regret_open(&RegretState::new(), &inferers, &forecasters);
    assert_eq!(cold.synthesis.combined, real(3.0));
    assert_eq!(cold.synthesis.one_out_inferers, [Some(real(4.0)), Some(real(3.5)), Some(real(1.5))]);
    assert_eq!(cold.synthesis.implied, [None]);
    let losses = Losses::of(&cold.bundle().unwrap(), real(2.0), Loss::Squared, config.form()).unwrap();
    let closing = regret::close(&config, &RegretState::new(), &[0, 1, 2], &[9], &losses).unwrap();
    assert!(closing.state.initial != Real::ZERO && closing.state.previous_loss == Some(losses.combined));
    let warm = regret_open(&closing.state, &inferers, &forecasters);
    // The second inferer was exact.
    assert!(warm.synthesis.inferer_weights[1] > warm.synthesis.inferer_weights[0]);
    assert!(warm.synthesis.implied[0].is_some());
    assert_eq!(warm.one_out_inferer_forecaster[0][0], Some(real(6.0)));

    let alone = regret_open(&closing.state, &inferers[..1], &[]);
    assert_eq!((alone.synthesis.combined, alone.synthesis.naive), (real(1.0), real(1.0)));
    assert_eq!(alone.synthesis.one_out_inferers, [None]);
}

/// One number beyond all bounds must not destroy the others' one-out values, nor their weights.
#[test]
fn an_enormous_inference_leaves_the_others_their_bits() {
    let config = PowerConfig::for_loss(Loss::Squared);
    let state = MemberState { loss: Real::ONE, count: 50, score: Real::ZERO };
    let inferers = [(state, real(1e40)), (state, real(1.0)), (state, real(3.0)), (state, real(5.0))];
    let opening = power::open(&config, &TopicState::new(), &inferers, &[]).unwrap();
    assert_eq!(opening.synthesis.one_out_inferers[0], Some(real(3.0)));
    let closing = power::close(&config, &TopicState::new(), &[state; 4], &[], &opening, real(3.0)).unwrap();
    let members: Vec<_> = closing.inferers.iter().map(|s| (*s, Real::ONE)).collect();
    let weights = power::open(&config, &closing.topic, &members, &[]).unwrap().synthesis.inferer_weights;
    assert!(weights[0].get() < 1e-100 && weights[2] > weights[1]);
}
