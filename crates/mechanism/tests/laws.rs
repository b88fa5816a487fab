//! Laws that must hold for every input, tried on random ones; fast paths against their slow twins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

mod reference;

use dodona_mechanism::amount::{mul_div_rem, split, split_by};
use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::{
    BundleColumn, Column, Forecast, LossForm, Losses, Rule, Synthesis, Truth, open_plain,
};
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

/// One label of values that are vectors over the labels.
fn label_of(list: &[Option<Vec<f64>>], label: usize) -> Vec<Option<f64>> {
    list.iter().map(|vector| vector.as_ref().map(|vector| vector[label])).collect()
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

/// One epoch's input under the power rule: one to three labels.
#[derive(Clone, Debug)]
struct Epoch {
    config: PowerConfig,
    topic: TopicState,
    inferers: Vec<MemberState>,
    columns: Vec<Vec<Real>>,
    forecasters: Vec<(MemberState, Forecast)>,
}

impl Epoch {
    fn open(&self) -> PowerOpening {
        power::open(&self.config, &self.topic, &self.inferers, &self.columns, &self.forecasters).unwrap()
    }

    fn size(&self) -> f64 {
        self.columns.iter().flatten().map(|value| value.get().abs()).fold(0.0, f64::max)
    }

    fn forecaster_states(&self) -> Vec<MemberState> {
        self.forecasters.iter().map(|(state, _)| *state).collect()
    }

    /// A truth the epoch's loss can judge, made of any number.
    fn truth(&self, seed: f64) -> Truth {
        let labels = self.columns.len();
        let hot = (seed.abs() as usize) % labels;
        let one = |label: usize| match (self.config.loss.is_probability(), labels) {
            (false, _) => seed + label as f64,
            (true, 1) => f64::from(u8::from(seed > 0.0)),
            (true, _) => f64::from(u8::from(label == hot)),
        };
        Truth::known(&(0..labels).map(|label| real(one(label))).collect::<Vec<_>>())
    }
}

/// Loss and pool of an epoch.
fn kinds() -> [PowerConfig; 7] {
    let config = PowerConfig::for_loss;
    let linear = |loss| PowerConfig { pool: Pool::Linear, ..config(loss) };
    [
        config(Loss::Squared),
        config(Loss::Absolute),
        config(Loss::Huber { delta: Real::ONE }),
        config(Loss::LogLoss),
        config(Loss::Brier),
        linear(Loss::LogLoss),
        linear(Loss::Brier),
    ]
}

fn epoch() -> BoxedStrategy<Epoch> {
    let config =
        (prop::sample::select(kinds().to_vec()), prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    let shape = (config, 1..4usize, 1..9usize, 0..4usize);
    let epoch = shape.prop_flat_map(|((mut config, capped, clamped), labels, n, k)| {
        config.cap = config.cap.filter(|_| capped);
        config.clamp = config.clamp.filter(|_| clamped);
        let probable = config.loss.is_probability();
        let value = if probable { (0.0..1.0f64).boxed() } else { (-100.0..100.0f64).boxed() };
        let topic = (0.01..50.0f64, 0u32..40, 0.2..5.0f64).prop_map(|(scale, scale_count, a)| TopicState {
            scale: real(scale),
            scale_count,
            sharpening: real(a),
            sharpening_grad: Real::ONE,
        });
        let inferers = prop::collection::vec(member(), n);
        let columns = prop::collection::vec(prop::collection::vec(value.prop_map(real), n), labels);
        let forecasters = prop::collection::vec((member(), forecast(n, |e| func::pow(10.0, e))), k);
        let inputs = (topic, inferers, columns, forecasters);
        inputs
            .prop_map(move |(topic, inferers, columns, forecasters)| Epoch {
                config,
                topic,
                inferers,
                columns,
                forecasters,
            })
            .boxed()
    });
    epoch.boxed()
}

/// The columns with every member's vector divided by its sum, so that it sums to 1.
fn unit_columns(columns: &[Vec<Real>]) -> Vec<Vec<Real>> {
    let size = |j: usize| columns.iter().map(|column| column[j].get().abs() + 1e-3).sum::<f64>();
    let unit = |column: &Vec<Real>| {
        column.iter().enumerate().map(|(j, x)| real((x.get().abs() + 1e-3) / size(j))).collect()
    };
    columns.iter().map(unit).collect()
}

/// The sums over the labels of every network inference a synthesis has, and of what its forecasters imply.
fn label_sums(columns: &[Column]) -> Vec<f64> {
    let of = |column: &Column| -> Vec<Option<Real>> {
        let lists = [&column.implied, &column.one_out_inferers, &column.one_out_forecasters];
        [Some(column.combined), Some(column.naive)]
            .into_iter()
            .chain(lists.into_iter().flatten().copied())
            .collect()
    };
    let lists: Vec<Vec<Option<Real>>> = columns.iter().map(of).collect();
    let sum = |place: usize| lists.iter().map(|list| Some(list[place]?.get())).sum::<Option<f64>>();
    (0..lists[0].len()).filter_map(sum).collect()
}

/// Whether two columns agree to rounding in every value a network inference can have.
/// The bars of the interval are left out where two values are equal but for their last digits: rounding then decides
/// which is the smaller, and a weighted percentile among unequal weights jumps with the order.
fn same_column(values: &[Real], one: &Column, two: &Column, size: f64) -> bool {
    let mut sorted: Vec<f64> = values.iter().chain(one.implied.iter().flatten()).map(|v| v.get()).collect();
    sorted.sort_by(f64::total_cmp);
    let apart = sorted.windows(2).all(|pair| pair[1] - pair[0] > size * 1e-9);
    let plain = |list: &[Option<Real>]| list.iter().map(|value| value.map(Real::get)).collect::<Vec<_>>();
    let bars = |c: &Column| [c.interval.p2, c.interval.p16, c.interval.p50, c.interval.p84, c.interval.p98];
    let ends = |c: &Column| [c.combined, c.naive, c.median, c.mean];
    ends(one).iter().zip(&ends(two)).all(|(a, b)| close_to(a.get(), b.get(), size, 1e-12))
        && (!apart || bars(one).iter().zip(&bars(two)).all(|(a, b)| close_to(a.get(), b.get(), size, 1e-12)))
        && same_list(&one.implied, &plain(&two.implied), size)
        && same_list(&one.one_out_inferers, &plain(&two.one_out_inferers), size)
        && same_list(&one.one_out_forecasters, &plain(&two.one_out_forecasters), size)
}

/// One epoch's input under the regret rule: inferers 0..n, forecasters 100..100+k, regrets with gaps.
type RegretEpoch = (RegretState<u32>, Vec<u32>, Vec<Vec<Real>>, Vec<(u32, Forecast)>);

fn regret_epoch() -> BoxedStrategy<RegretEpoch> {
    let epoch = (1..4usize, 2..7usize, 0..4usize).prop_flat_map(|(labels, n, k)| {
        let cells = n * n + 2 * n * k + k * n + k * k + 2 * n + 2 * k;
        let regrets = prop::collection::vec(prop::option::weighted(0.9, -2.0..2.0f64), cells);
        let column = prop::collection::vec((-100.0..100.0f64).prop_map(real), n);
        let columns = prop::collection::vec(column, labels);
        let forecasts = prop::collection::vec(forecast(n, |e| e), k);
        let scale = prop_oneof![1 => Just(0.0), 4 => 0.05..2.0f64];
        let rest = (scale, 0.1..1.0f64, prop::option::weighted(0.9, -3.0..1.0f64));
        (regrets, columns, forecasts, rest).prop_map(regret_inputs).boxed()
    });
    epoch.boxed()
}

type RegretDraws = (Vec<Option<f64>>, Vec<Vec<Real>>, Vec<Forecast>, (f64, f64, Option<f64>));

fn regret_inputs((regrets, columns, forecasts, (scale, initial, previous)): RegretDraws) -> RegretEpoch {
    let mut cells = regrets.into_iter();
    let inferers: Vec<u32> = (0..columns[0].len() as u32).collect();
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
    (state, inferers, columns, forecasters.into_iter().zip(forecasts).collect())
}

fn regret_open(
    state: &RegretState<u32>,
    inferers: &[u32],
    columns: &[Vec<Real>],
    forecasters: &[(u32, Forecast)],
) -> RegretOpening {
    regret::open(&RegretConfig::new(), state, inferers, columns, forecasters).unwrap()
}

fn weight_sum(opening: &Synthesis) -> f64 {
    opening.inferer_weights.iter().chain(&opening.forecaster_weights).map(|weight| weight.get()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn power_equals_its_slow_twin(epoch in epoch()) {
        let (fast, size) = (epoch.open(), epoch.size());
        let slow = reference::power::open(
            &epoch.config, &epoch.topic, &epoch.inferers, &epoch.columns, &epoch.forecasters,
        );
        for (label, column) in fast.synthesis.columns.iter().enumerate() {
            prop_assert!(close_to(column.combined.get(), slow.combined[label], size, 1e-12));
            prop_assert!(close_to(column.naive.get(), slow.naive[label], size, 1e-12));
            prop_assert!(same_list(&column.implied, &label_of(&slow.implied, label), size));
            let one_outs = label_of(&slow.one_out_inferers, label);
            prop_assert!(same_list(&column.one_out_inferers, &one_outs, size));
            let one_outs = label_of(&slow.one_out_forecasters, label);
            prop_assert!(same_list(&column.one_out_forecasters, &one_outs, size));
            for (fast, slow) in fast.clamped[label].iter().zip(&slow.clamped[label]) {
                prop_assert!(close_to(fast.get(), *slow, size, 1e-12));
            }
        }
        let s = &fast.synthesis;
        let weights = s.inferer_weights.iter().chain(&s.forecaster_weights);
        for (fast, slow) in weights.zip(slow.inferer_weights.iter().chain(&slow.forecaster_weights)) {
            prop_assert!(close_to(fast.get(), *slow, 1.0, 1e-12));
        }
    }

    #[test]
    fn copies_of_a_column_come_out_equal_and_as_if_alone(epoch in epoch(), copies in 2..5usize) {
        let alone = Epoch { columns: epoch.columns[..1].to_vec(), ..epoch.clone() };
        let copied = Epoch { columns: vec![epoch.columns[0].clone(); copies], ..epoch };
        let (one, all) = (alone.open(), copied.open());
        for label in 1..copies {
            prop_assert_eq!(&all.synthesis.columns[label], &all.synthesis.columns[0]);
            prop_assert_eq!(&all.clamped[label], &all.clamped[0]);
        }
        prop_assert_eq!(&all.synthesis.inferer_weights, &one.synthesis.inferer_weights);
        if alone.config.pool == Pool::Linear {
            prop_assert_eq!(&all.synthesis.columns[0], &one.synthesis.columns[0]);
        } else {
            prop_assert!(close_to(all.synthesis.columns[0].combined.get(), 1.0 / copies as f64, 1.0, 1e-12));
        }
    }

    #[test]
    fn permuting_the_labels_permutes_the_columns(epoch in epoch()) {
        let mut turned = epoch.clone();
        turned.columns.rotate_left(1);
        let (one, mut two) = (epoch.open().synthesis, turned.open().synthesis);
        two.columns.rotate_right(1);
        prop_assert_eq!(&one.inferer_weights, &two.inferer_weights);
        for ((values, one), two) in epoch.columns.iter().zip(&one.columns).zip(&two.columns) {
            prop_assert!(same_column(values, one, two, epoch.size()));
        }
    }

    #[test]
    fn unit_vectors_stay_unit_vectors(epoch in epoch()) {
        // The clamp works label by label, and the log-loss clips the probabilities of the linear pool.
        prop_assume!(epoch.columns.len() > 1);
        prop_assume!(epoch.config.pool == Pool::Log || epoch.config.loss != Loss::LogLoss);
        let config = PowerConfig { clamp: None, ..epoch.config };
        let epoch = Epoch { config, columns: unit_columns(&epoch.columns), ..epoch };
        let mean = open_plain(Rule::Mean, &epoch.columns, 0).unwrap();
        for sum in label_sums(&epoch.open().synthesis.columns).into_iter().chain(label_sums(&mean.columns)) {
            prop_assert!((sum - 1.0).abs() < 1e-12, "sums to {}", sum);
        }
    }

    #[test]
    fn a_probability_and_its_complement_pool_like_the_probability_alone(epoch in epoch()) {
        let config = PowerConfig::for_loss(Loss::LogLoss);
        let p: Vec<Real> = epoch.columns[0].iter().map(|x| real((x.get().abs() / 100.0).min(1.0))).collect();
        let q: Vec<Real> = p.iter().map(|p| real(1.0 - p.get())).collect();
        let alone = Epoch { config, columns: vec![p.clone()], ..epoch.clone() }.open().synthesis;
        let both = Epoch { config, columns: vec![p, q], ..epoch }.open().synthesis;
        let (one, two) = (&alone.columns[0], &both.columns[0]);
        let plain = |list: &[Option<Real>]| list.iter().map(|value| value.map(Real::get)).collect::<Vec<_>>();
        for (a, b) in [(one.combined, two.combined), (one.naive, two.naive)] {
            prop_assert!((a.get() - b.get()).abs() < 1e-12);
        }
        prop_assert!(same_list(&one.implied, &plain(&two.implied), 1.0));
        prop_assert!(same_list(&one.one_out_inferers, &plain(&two.one_out_inferers), 1.0));
        prop_assert!(same_list(&one.one_out_forecasters, &plain(&two.one_out_forecasters), 1.0));
    }

    #[test]
    fn power_weights_sum_to_one_and_keep_the_cap(epoch in epoch()) {
        let opening = epoch.open();
        prop_assert!((weight_sum(&opening.synthesis) - 1.0).abs() < 1e-12);
        let implied = &opening.synthesis.columns[0].implied;
        let members = epoch.inferers.len() + implied.iter().flatten().count();
        let limit = epoch.config.cap.map_or(1.0, |cap| cap.get().max(1.0 / members as f64));
        for weight in opening.synthesis.inferer_weights.iter().chain(&opening.synthesis.forecaster_weights) {
            prop_assert!(*weight >= Real::ZERO && weight.get() <= limit * (1.0 + 1e-12));
        }
    }

    #[test]
    fn the_naive_inference_is_the_rule_without_forecasters(epoch in epoch()) {
        let alone = Epoch { forecasters: vec![], ..epoch.clone() };
        prop_assert_eq!(epoch.open().synthesis.naive(), alone.open().synthesis.combined());
    }

    #[test]
    fn power_outputs_stay_among_the_members(epoch in epoch()) {
        let opening = epoch.open();
        let slack = 1e-12 * epoch.size();
        for (s, clamped) in opening.synthesis.columns.iter().zip(&opening.clamped) {
            let clamped = clamped.iter().map(|z| z.get());
            let (low, high) =
                clamped.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), z| (l.min(z), h.max(z)));
            let among = |value: f64| value >= low - slack && value <= high + slack;
            let one_outs = s.one_out_inferers.iter().chain(&s.one_out_forecasters).flatten();
            for value in [s.combined, s.naive].iter().chain(one_outs).map(|value| value.get()) {
                if epoch.config.pool == Pool::Log {
                    prop_assert!(value > 0.0 && value < 1.0);
                } else {
                    prop_assert!(among(value));
                }
            }
            // Normalising over several labels moves what a forecaster implies.
            if epoch.config.pool == Pool::Linear || epoch.columns.len() == 1 {
                prop_assert!(s.implied.iter().flatten().all(|value| among(value.get())));
            }
            if !epoch.config.loss.is_probability() {
                let bar = s.interval;
                prop_assert!(bar.p2 <= bar.p16 && bar.p16 <= bar.p50);
                prop_assert!(bar.p50 <= bar.p84 && bar.p84 <= bar.p98);
            }
        }
    }

    #[test]
    fn the_order_of_members_only_reorders_the_outputs(epoch in epoch()) {
        let n = epoch.inferers.len();
        let mut turned = epoch.clone();
        turned.inferers.reverse();
        turned.columns.iter_mut().for_each(|column| column.reverse());
        turned.forecasters.reverse();
        for (_, forecast) in &mut turned.forecasters {
            forecast.losses.iter_mut().for_each(|entry| entry.0 = n - 1 - entry.0);
            forecast.losses.reverse();
        }
        let (one, two, size) = (epoch.open().synthesis, turned.open().synthesis, epoch.size());
        let back = |list: &[Option<Real>]| list.iter().rev().map(|value| value.map(Real::get)).collect::<Vec<_>>();
        for (one, two) in one.columns.iter().zip(&two.columns) {
            prop_assert!(close_to(one.combined.get(), two.combined.get(), size, 1e-12));
            prop_assert!(close_to(one.naive.get(), two.naive.get(), size, 1e-12));
            prop_assert!(same_list(&one.one_out_inferers, &back(&two.one_out_inferers), size));
            prop_assert!(same_list(&one.one_out_forecasters, &back(&two.one_out_forecasters), size));
            prop_assert!(same_list(&one.implied, &back(&two.implied), size));
        }
    }

    #[test]
    fn scaling_all_values_scales_the_network(epoch in epoch(), factor in 0.001..1000.0f64) {
        prop_assume!(!epoch.config.loss.is_probability());
        let mut scaled = epoch.clone();
        scaled.columns.iter_mut().flatten().for_each(|value| *value = real(value.get() * factor));
        scaled.topic.scale = real(epoch.topic.scale.get() * factor);
        let (one, two) = (epoch.open().synthesis, scaled.open().synthesis);
        for (one, two) in one.combined().iter().zip(two.combined()) {
            prop_assert!(close_to(two.get(), one.get() * factor, epoch.size() * factor, 1e-12));
        }
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
        let mut column: Vec<Real> = states.iter().zip(&honest).map(|(_, x)| real(2.0 * x)).collect();
        let network = |column: &[Real]| {
            let opening = power::open(&config, &topic, &states, &[column.to_vec()], &[]).unwrap();
            opening.synthesis.combined()[0].get()
        };
        let truthful = network(&column);
        let liar = liar.index(column.len());
        column[liar] = real(if up { 2e6 } else { -2e6 });
        let lied = network(&column);
        prop_assert!((lied - truthful).abs() <= 3.2 * 2.0, "moved by {} scales", (lied - truthful) / 2.0);
    }

    #[test]
    fn a_member_of_vanishing_weight_changes_nothing(epoch in epoch(), value in -1.0..1.0f64) {
        let known: Vec<usize> = (0..epoch.inferers.len())
            .filter(|j| epoch.inferers[*j].count > 0 && epoch.inferers[*j].loss > Real::ZERO)
            .collect();
        prop_assume!(!known.is_empty());
        // Enough members that neither the cap's 1/n nor the median of losses hangs on the addition.
        let mut config = epoch.config;
        (config.cap, config.n0) = (None, Real::ZERO);
        let with = |extra: Option<f64>| {
            let hopeless = MemberState { loss: real(1e100), count: 400, score: Real::ZERO };
            let mut inferers: Vec<_> = known.iter().map(|j| epoch.inferers[*j]).collect();
            inferers.extend(extra.map(|_| hopeless));
            let column = |column: &Vec<Real>| -> Vec<Real> {
                known.iter().map(|j| column[*j]).chain(extra.map(real)).collect()
            };
            let columns: Vec<_> = epoch.columns.iter().map(column).collect();
            power::open(&config, &epoch.topic, &inferers, &columns, &[]).unwrap().synthesis.combined()
        };
        for (with, without) in with(Some(value)).iter().zip(with(None)) {
            prop_assert!(close_to(with.get(), without.get(), epoch.size(), 1e-12));
        }
    }

    #[test]
    fn gains_and_proper_parts_obey_the_diversity_identity(epoch in epoch(), truth in -100.0..100.0f64) {
        // Without the clamp an inference is used as submitted; without forecasters a leaving member changes nobody.
        let config = PowerConfig { clamp: None, ..PowerConfig::for_loss(Loss::Squared) };
        let epoch = Epoch { config, forecasters: vec![], ..epoch };
        let opening = epoch.open();
        let (states, truth) = (&epoch.inferers, epoch.truth(truth));
        let closing = power::close(&epoch.config, &epoch.topic, states, &[], &opening, &truth).unwrap();
        for (j, state) in states.iter().enumerate() {
            let next = closing.inferers[j];
            prop_assert_eq!(next.count, state.count + 1);
            let merits = &closing.inferer_merits;
            let (Some(gain), Some(proper)) = (merits.gains[j], merits.proper[j]) else { continue };
            let w = opening.synthesis.inferer_weights[j].get();
            let credit = |(column, values): (&Column, &Vec<Real>)| {
                let distance = values[j].get() - column.one_out_inferers[j].unwrap().get();
                w * (1.0 - w) * distance * distance
            };
            let credit: f64 = opening.synthesis.columns.iter().zip(&opening.values).map(credit).sum();
            prop_assert!(close_to(gain.get() - proper.get(), credit, 120_000.0, 1e-10));
            let score = proper.get() + 0.75 * (gain.get() - proper.get());
            prop_assert!(close_to(next.score.get(), 0.02 * score, 120_000.0, 1e-12));
        }
    }

    #[test]
    fn reported_losses_close_like_the_truth_they_came_from_but_leave_the_topic(epoch in epoch(), at in -9.0..9.0f64) {
        let (opening, truth, forecasters) = (epoch.open(), epoch.truth(at), epoch.forecaster_states());
        let Epoch { config, topic, inferers, .. } = &epoch;
        let closing = power::close(config, topic, inferers, &forecasters, &opening, &truth).unwrap();
        let losses = Losses::of(&opening.bundle().unwrap(), &truth, config.loss, LossForm::Raw).unwrap();
        prop_assert_eq!(&losses, &closing.losses);
        let reported =
            power::close_reported(config, topic, inferers, &forecasters, &opening, losses.clone()).unwrap();
        prop_assert_eq!(reported.topic, *topic);
        prop_assert_eq!(&power::PowerClosing { topic: closing.topic, ..reported }, &closing);
        // A loss of something that was not there is dropped; a negative one is refused.
        let mut surplus = losses.clone();
        surplus.forecasters.iter_mut().for_each(|loss| *loss = loss.or(Some(Real::ONE)));
        let dropped = power::close_reported(config, topic, inferers, &forecasters, &opening, surplus).unwrap();
        prop_assert_eq!(dropped.losses, losses.clone());
        let mut negative = losses;
        negative.inferers[0] = Some(real(-1.0));
        prop_assert!(power::close_reported(config, topic, inferers, &forecasters, &opening, negative).is_err());
    }

    #[test]
    fn openings_and_states_survive_their_bytes(epoch in epoch(), truth in -9.0..9.0f64) {
        let opening = epoch.open();
        let bytes = borsh::to_vec(&opening).unwrap();
        prop_assert_eq!(&borsh::from_slice::<PowerOpening>(&bytes).unwrap(), &opening);
        let (states, forecasters) = (&epoch.inferers, epoch.forecaster_states());
        let truth = epoch.truth(truth);
        let closing =
            power::close(&epoch.config, &epoch.topic, states, &forecasters, &opening, &truth).unwrap();
        let bytes = borsh::to_vec(&closing.topic).unwrap();
        prop_assert_eq!(borsh::from_slice::<TopicState>(&bytes).unwrap(), closing.topic);
        let a = closing.topic.sharpening.get();
        prop_assert!((0.2..=5.0).contains(&a) && closing.topic.scale >= Real::ZERO);
        for (k, forecaster) in closing.forecasters.iter().enumerate() {
            let part = u32::from(opening.synthesis.columns[0].implied[k].is_some());
            prop_assert_eq!(forecaster.count, forecasters[k].count + part);
        }
    }

    #[test]
    fn regret_equals_its_slow_twin((state, inferers, columns, forecasters) in regret_epoch()) {
        let fast = regret_open(&state, &inferers, &columns, &forecasters).bundle().unwrap();
        let slow =
            reference::regret::open(&RegretConfig::new(), &state, &inferers, &columns, &forecasters);
        prop_assert_eq!(fast.columns.len(), slow.len());
        for (fast, slow) in fast.columns.iter().zip(&slow) {
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
                let rows = fast.one_out_inferer_forecaster.iter().zip(&slow.one_out_inferer_forecaster);
                prop_assert!(rows.into_iter().all(|(fast, slow)| same_list(fast, slow, 100.0)));
            } else {
                prop_assert!(fast.one_out_inferer_forecaster.is_empty());
            }
        }
    }

    #[test]
    fn regret_answers_need_none_of_the_components(
        (state, inferers, columns, forecasters) in regret_epoch(), truth in -9.0..9.0f64
    ) {
        let config = RegretConfig::new();
        let names: Vec<u32> = forecasters.iter().map(|f| f.0).collect();
        let truth = Truth::known(&vec![real(truth); columns.len()]);
        let (mut whole, mut alone) = (state.clone(), state);
        for _ in 0..3 {
            let all = regret_open(&whole, &inferers, &columns, &forecasters);
            let answer = regret::open_answer(&config, &alone, &inferers, &columns, &forecasters).unwrap();
            for (all, answer) in all.synthesis.columns.iter().zip(&answer.synthesis.columns) {
                prop_assert_eq!((all.combined, all.naive), (answer.combined, answer.naive));
                prop_assert_eq!((&all.implied, all.interval), (&answer.implied, answer.interval));
                prop_assert!(answer.one_out_inferers.iter().all(Option::is_none));
            }
            prop_assert_eq!(&all.synthesis.inferer_weights, &answer.synthesis.inferer_weights);
            prop_assert_eq!(&all.synthesis.forecaster_weights, &answer.synthesis.forecaster_weights);
            let learn = |state: &RegretState<u32>, opening: &RegretOpening| {
                let losses = Losses::of(&opening.bundle().unwrap(), &truth, Loss::Squared, config.form());
                regret::close(&config, state, &inferers, &names, &losses.unwrap()).unwrap().state
            };
            let pairs = alone.one_out_inferer_inferers.clone();
            (whole, alone) = (learn(&whole, &all), learn(&alone, &answer));
            // What an answer hangs on is learned alike; what grows with the square is left as it was.
            prop_assert_eq!((&whole.inferers, &whole.forecasters), (&alone.inferers, &alone.forecasters));
            prop_assert_eq!((&whole.naive, whole.initial), (&alone.naive, alone.initial));
            prop_assert_eq!((whole.scale, whole.previous_loss), (alone.scale, alone.previous_loss));
            prop_assert_eq!(pairs, alone.one_out_inferer_inferers.clone());
        }
    }

    #[test]
    fn regret_weights_sum_to_one_and_outputs_stay_among_the_members(
        (state, inferers, columns, forecasters) in regret_epoch()
    ) {
        let opening = regret_open(&state, &inferers, &columns, &forecasters);
        prop_assert!((weight_sum(&opening.synthesis) - 1.0).abs() < 1e-12);
        for (column, values) in opening.bundle().unwrap().columns.into_iter().zip(&columns) {
            let values = values.iter().map(|x| x.get());
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            let BundleColumn { combined, naive, forecasters, one_out_inferers, .. } = column;
            let both = [Some(combined), Some(naive)];
            for value in both.iter().chain(&forecasters).chain(&one_out_inferers).flatten() {
                prop_assert!(value.get() >= low - 1e-10 && value.get() <= high + 1e-10);
            }
        }
    }

    #[test]
    fn regret_columns_do_not_know_each_other((state, inferers, columns, forecasters) in regret_epoch(), new in any::<bool>()) {
        let state = RegretState { initial: if new { Real::ZERO } else { state.initial }, ..state };
        let all = regret_open(&state, &inferers, &columns, &forecasters).bundle().unwrap();
        for (column, alone) in all.columns.iter().zip(&columns) {
            let alone = regret_open(&state, &inferers, std::slice::from_ref(alone), &forecasters);
            prop_assert_eq!(column, &alone.bundle().unwrap().columns[0]);
        }
    }

    #[test]
    fn unit_vectors_stay_unit_vectors_under_the_regret_rule(
        (state, inferers, columns, forecasters) in regret_epoch()
    ) {
        let opening = regret_open(&state, &inferers, &unit_columns(&columns), &forecasters);
        for sum in label_sums(&opening.synthesis.columns) {
            prop_assert!((sum - 1.0).abs() < 1e-12, "sums to {}", sum);
        }
    }

    #[test]
    fn regret_states_survive_their_bytes((state, _, _, _) in regret_epoch()) {
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
        let columns = [[1.0, 3.0, 3.0, 30.0].map(|spread| real(truth.get() + spread * draw())).to_vec()];
        let opening = power::open(&config, &topic, &states, &columns, &[]).unwrap();
        let truth = Truth::known(&[truth]);
        let closing = power::close(&config, &topic, &states, &[], &opening, &truth).unwrap();
        (topic, states) = (closing.topic, closing.inferers);
    }
    let opening = power::open(&config, &topic, &states, &[vec![Real::ONE; 4]], &[]).unwrap();
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
    let inferers = [0u32, 1, 2];
    let columns = [[1.0, 2.0, 6.0].map(real).to_vec(), [-1.0, -2.0, -6.0].map(real).to_vec()];
    let forecast = Forecast { losses: vec![(0, real(-1.0)), (2, real(-2.0))] };
    let forecasters = vec![(9u32, forecast)];
    let cold = regret_open(&RegretState::new(), &inferers, &columns, &forecasters);
    assert_eq!(cold.synthesis.combined(), [real(3.0), real(-3.0)]);
    let one_outs = [Some(real(4.0)), Some(real(3.5)), Some(real(1.5))];
    assert_eq!(cold.synthesis.columns[0].one_out_inferers, one_outs);
    assert_eq!(cold.synthesis.columns[0].implied, [None]);
    let truth = Truth::known(&[real(2.0), real(-2.0)]);
    let losses = Losses::of(&cold.bundle().unwrap(), &truth, Loss::Squared, config.form()).unwrap();
    let closing = regret::close(&config, &RegretState::new(), &inferers, &[9], &losses).unwrap();
    assert!(closing.state.initial != Real::ZERO && closing.state.previous_loss == Some(losses.combined));
    let warm = regret_open(&closing.state, &inferers, &columns, &forecasters);
    // The second inferer was exact.
    assert!(warm.synthesis.inferer_weights[1] > warm.synthesis.inferer_weights[0]);
    assert!(warm.synthesis.columns[0].implied[0].is_some());
    assert_eq!(warm.one_out_inferer_forecaster[0][0][0], Some(real(6.0)));
    assert_eq!(warm.one_out_inferer_forecaster[1][0][0], Some(real(-6.0)));

    let alone = regret_open(&closing.state, &inferers[..1], &[vec![real(1.0)]], &[]);
    let column = &alone.synthesis.columns[0];
    assert_eq!((column.combined, column.naive), (real(1.0), real(1.0)));
    assert_eq!(column.one_out_inferers, [None]);
}

/// One number beyond all bounds must not destroy the others' one-out values, nor their weights.
#[test]
fn an_enormous_inference_leaves_the_others_their_bits() {
    let config = PowerConfig::for_loss(Loss::Squared);
    let states = [MemberState { loss: Real::ONE, count: 50, score: Real::ZERO }; 4];
    let columns = [[1e40, 1.0, 3.0, 5.0].map(real).to_vec()];
    let opening = power::open(&config, &TopicState::new(), &states, &columns, &[]).unwrap();
    assert_eq!(opening.synthesis.columns[0].one_out_inferers[0], Some(real(3.0)));
    let truth = Truth::known(&[real(3.0)]);
    let closing = power::close(&config, &TopicState::new(), &states, &[], &opening, &truth).unwrap();
    let next = power::open(&config, &closing.topic, &closing.inferers, &columns, &[]).unwrap();
    let weights = next.synthesis.inferer_weights;
    assert!(weights[0].get() < 1e-100 && weights[2] > weights[1]);
}

/// The error scale is the mean error over the labels somebody knows.
#[test]
fn the_error_scale_follows_the_known_labels() {
    let config = PowerConfig::for_loss(Loss::Absolute);
    let combined = [1.0, 2.0, 30.0].map(real);
    let truth = Truth {
        labels: vec![Some(real(2.0)), None, Some(real(25.0))],
        outside: vec![(Real::ZERO, real(1e6))],
    };
    let next = power::follow_error(&config, &TopicState::new(), &combined, &truth).unwrap();
    assert_eq!((next.scale, next.scale_count), (real(3.0), 1));
    let unknown = Truth { labels: vec![None; 3], ..truth };
    assert_eq!(power::follow_error(&config, &next, &combined, &unknown), Ok(next));
    assert!(power::follow_error(&config, &next, &combined[..2], &unknown).is_err());
}

/// Sharpening follows the derivative of the cross-entropy; a truth outside the columns teaches it nothing.
#[test]
fn the_sharpening_of_several_labels_descends_the_cross_entropy() {
    let config = PowerConfig::for_loss(Loss::LogLoss);
    let columns = [[0.7, 0.6], [0.2, 0.3], [0.1, 0.1]].map(|column| column.map(real).to_vec());
    let states = [MemberState::default(); 2];
    let at = |a: f64| TopicState { sharpening: real(a), ..TopicState::new() };
    let open = |a: f64| power::open(&config, &at(a), &states, &columns, &[]).unwrap();
    let close =
        |truth: &Truth| power::close(&config, &at(1.0), &states, &[], &open(1.0), truth).unwrap().topic;
    for hot in 0..3 {
        let truth = Truth::known(&[0, 1, 2].map(|label| if label == hot { Real::ONE } else { Real::ZERO }));
        let log_loss = |a: f64| -func::ln(open(a).synthesis.combined()[hot].get());
        let slope = (log_loss(1.0 + 1e-5) - log_loss(1.0 - 1e-5)) / 2e-5;
        let next = close(&truth);
        assert!((func::sqrt(next.sharpening_grad.get()) - slope.abs()).abs() < 1e-8);
        assert_eq!(next.sharpening > Real::ONE, slope < 0.0);
    }
    let outside = Truth { outside: vec![(Real::ZERO, Real::ONE)], ..Truth::known(&[Real::ZERO; 3]) };
    assert_eq!(close(&outside).sharpening, Real::ONE);
}
