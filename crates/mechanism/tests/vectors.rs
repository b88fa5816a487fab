//! Conformance: every published number of the reference simulators and unit tables that this crate covers.
//! The tables lie outside the repository; without them the tests say so and return. Counts are asserted, so a test
//! cannot pass on nothing. The regression table's synthesis columns (implied values, network inferences, error bars)
//! use the retired v0.6 weights and are left out; its consensus columns belong to another part of the house.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::{Forecast, Losses};
use dodona_mechanism::topic::network_loss::network_losses;
use dodona_mechanism::topic::regret::{
    self, RegretConfig, RegretPairs, RegretState, Regrets, exp_ratio, initial_regret, regret_scale,
    regret_weights,
};
use dodona_mechanism::topic::score::{forecaster_score, forecaster_scores, inferer_scores};
use dodona_mechanism::topic::share::{
    entropy, forecaster_utility, gamma, normalize, reputer_fractions, smooth, task_split, utility,
    worker_fractions,
};
use dodona_mechanism::{Real, stats};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

const INFERERS: u32 = 5;
const FORECASTERS: u32 = 3;
const REPUTERS: u32 = 5;

/// The folder of the tables, or a line saying why not.
fn table(name: &str) -> Option<PathBuf> {
    let root = std::env::var("DODONA_SHARED").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join("vectors/topics").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("{name} is not here: nothing compared");
    None
}

/// Rows of a table as column name to number; empty cells are left out.
fn rows(path: PathBuf) -> Vec<BTreeMap<String, f64>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let cells = names.iter().zip(record.iter());
            cells.filter_map(|(name, cell)| Some((name.clone(), cell.parse().ok()?))).collect()
        })
        .collect()
}

/// Compares, counts, and names the column at fault.
#[derive(Default)]
struct Judge {
    count: usize,
}

impl Judge {
    fn same(&mut self, name: &str, actual: f64, expected: f64, tolerance: f64) {
        let distance = (actual - expected).abs();
        assert!(
            distance <= tolerance * expected.abs().max(1e-12),
            "{name}: {actual} instead of {expected}, off by {distance:e}"
        );
        self.count += 1;
    }

    fn column(&mut self, row: &BTreeMap<String, f64>, name: &str, actual: impl Into<Option<Real>>) {
        let actual: Option<Real> = actual.into();
        let actual = actual.unwrap_or_else(|| panic!("{name} was not computed"));
        self.same(name, actual.get(), row[name], 1e-9);
    }
}

fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

/// The regrets a row states, inferers named 0..5 and forecasters 5..8.
fn state(row: &BTreeMap<String, f64>) -> RegretState<u32> {
    let workers = INFERERS + FORECASTERS;
    let cell = |name: String| real(row[&name]);
    let family = |members: std::ops::Range<u32>, name: &dyn Fn(u32) -> String| -> Regrets<u32> {
        members.map(|l| (l, cell(name(l)))).collect()
    };
    let one_out = |out: std::ops::Range<u32>, members: std::ops::Range<u32>| -> RegretPairs<u32> {
        let column = |o| move |l| format!("inference_regret_worker_{l}_oneout_{o}");
        out.map(|o| (o, family(members.clone(), &column(o)))).collect()
    };
    let mut state = RegretState::new();
    state.inferers = family(0..INFERERS, &|l| format!("inference_regret_worker_{l}"));
    state.forecasters = family(INFERERS..workers, &|l| format!("inference_regret_worker_{l}"));
    state.naive = family(0..INFERERS, &|l| format!("naive_inference_regret_worker_{l}"));
    state.one_out_inferer_inferers = one_out(0..INFERERS, 0..INFERERS);
    state.one_out_inferer_forecasters = one_out(0..INFERERS, INFERERS..workers);
    state.one_out_forecaster_inferers = one_out(INFERERS..workers, 0..INFERERS);
    state.one_out_forecaster_forecasters = one_out(INFERERS..workers, INFERERS..workers);
    state.one_in_forecaster_inferers = (0..FORECASTERS)
        .map(|k| (k + INFERERS, family(0..INFERERS, &|l| format!("inference_regret_worker_{l}_onein_{k}"))))
        .collect();
    state.one_in_forecasters = (0..FORECASTERS)
        .map(|k| (k + INFERERS, cell(format!("inference_regret_worker_5_onein_{k}"))))
        .collect();
    let all: Vec<f64> = state.inferers.values().chain(state.forecasters.values()).map(|r| r.get()).collect();
    state.scale = real(regret_scale(&all, 0.01));
    state.initial = Real::ONE;
    state.previous_loss = Some(cell("network_loss".into()));
    state
}

#[test]
fn the_classification_simulator_is_reproduced_label_by_label() {
    let Some(path) = table("classification_sim.csv") else { return };
    let table = rows(path);
    let (before, row) = (&table[0], &table[1]);
    let mut judge = Judge::default();
    for label in 0..3 {
        let inferers: Vec<(u32, Real)> =
            (0..INFERERS).map(|j| (j, real(row[&format!("inference_{j}_label_{label}")]))).collect();
        let forecasters: Vec<(u32, Forecast)> = (0..FORECASTERS)
            .map(|k| {
                let loss = |j: u32| real(row[&format!("forecasted_loss_{k}_for_{j}")]);
                (k + INFERERS, Forecast { losses: (0..INFERERS).map(|j| (j as usize, loss(j))).collect() })
            })
            .collect();
        let opening = regret::open(&RegretConfig::new(), &state(before), &inferers, &forecasters).unwrap();
        let bundle = opening.bundle().unwrap();
        judge.column(row, &format!("network_inference_label_{label}"), bundle.combined);
        judge.column(row, &format!("network_naive_inference_label_{label}"), bundle.naive);
        for (o, value) in bundle.one_out_inferers.iter().chain(&bundle.one_out_forecasters).enumerate() {
            judge.column(row, &format!("network_inference_oneout_{o}_label_{label}"), *value);
        }
        for k in 0..FORECASTERS as usize {
            judge.column(
                row,
                &format!("forecast_implied_inference_{k}_label_{label}"),
                bundle.forecasters[k],
            );
            let name = format!("network_naive_inference_onein_{k}_label_{label}");
            judge.column(row, &name, bundle.one_in_forecasters[k]);
            for (o, value) in bundle.one_out_inferer_forecaster[k].iter().enumerate() {
                let name = format!("forecast_implied_inference_{k}_oneout_{o}_label_{label}");
                judge.column(row, &name, *value);
            }
        }
    }
    println!("classification: {} comparisons", judge.count);
    // Per label: 2 network values, 8 one-outs, 3 implied, 3 one-ins, 15 implied without one inferer.
    assert_eq!(judge.count, 3 * 31);
}

/// The losses of a row under a column prefix (a reputer's, or none for the network's own).
fn losses(row: &BTreeMap<String, f64>, reputer: Option<u32>) -> Losses {
    let cell = |name: &str| -> Option<Real> { Some(real(row[name])) };
    let list = |count: u32, name: &dyn Fn(u32) -> String| (0..count).map(|i| cell(&name(i))).collect();
    let matrix = |name: &dyn Fn(u32, u32) -> String| {
        (0..FORECASTERS).map(|k| (0..INFERERS).map(|j| cell(&name(k, j))).collect()).collect()
    };
    let one_outs = |name: &dyn Fn(u32) -> String| -> (Vec<Option<Real>>, Vec<Option<Real>>) {
        let all: Vec<_> = (0..INFERERS + FORECASTERS).map(|o| cell(&name(o))).collect();
        (all[..INFERERS as usize].to_vec(), all[INFERERS as usize..].to_vec())
    };
    match reputer {
        Some(m) => {
            let at = format!("reputer_{m}_loss");
            let (one_out_inferers, one_out_forecasters) =
                one_outs(&|o| format!("{at}_network_inference_oneout_{o}"));
            Losses {
                combined: cell(&format!("{at}_network_inference")).unwrap(),
                naive: cell(&format!("{at}_naive_network_inference")).unwrap(),
                inferers: list(INFERERS, &|j| format!("{at}_inference_{j}")),
                forecasters: list(FORECASTERS, &|k| format!("{at}_forecast_implied_inference_{k}")),
                one_out_inferers,
                one_out_forecasters,
                one_in_forecasters: list(FORECASTERS, &|k| format!("{at}_naive_network_inference_onein_{k}")),
                one_out_inferer_forecaster: matrix(&|k, j| {
                    format!("{at}_forecast_implied_inference_{k}_oneout_{j}")
                }),
            }
        }
        None => {
            let (one_out_inferers, one_out_forecasters) = one_outs(&|o| format!("network_loss_oneout_{o}"));
            Losses {
                combined: cell("network_loss").unwrap(),
                naive: cell("network_naive_loss").unwrap(),
                inferers: list(INFERERS, &|j| format!("inference_loss_{j}")),
                forecasters: list(FORECASTERS, &|k| format!("forecast_implied_inference_loss_{k}")),
                one_out_inferers,
                one_out_forecasters,
                one_in_forecasters: list(FORECASTERS, &|k| format!("network_naive_loss_onein_{k}")),
                one_out_inferer_forecaster: matrix(&|k, j| {
                    format!("forecast_implied_inference_loss_{k}_oneout_{j}")
                }),
            }
        }
    }
}

/// All losses of a set in one fixed order.
fn flat(losses: &Losses) -> Vec<f64> {
    let lists = [
        &losses.inferers,
        &losses.forecasters,
        &losses.one_out_inferers,
        &losses.one_out_forecasters,
        &losses.one_in_forecasters,
    ];
    let pairs = losses.one_out_inferer_forecaster.iter().flatten();
    [Some(losses.combined), Some(losses.naive)]
        .into_iter()
        .chain(lists.into_iter().flatten().copied())
        .chain(pairs.copied())
        .map(|loss| loss.unwrap().get())
        .collect()
}

#[test]
fn network_losses_are_the_stake_weighted_means_of_the_reports() {
    let Some(path) = table("regression_sim_epochs.csv") else { return };
    let mut judge = Judge::default();
    for row in rows(path) {
        let reports: Vec<(Real, Losses)> = (0..REPUTERS)
            .map(|m| (real(row[&format!("reputer_stake_{m}")]), losses(&row, Some(m))))
            .collect();
        let (actual, expected) = (network_losses(&reports).unwrap(), losses(&row, None));
        for (actual, expected) in flat(&actual).into_iter().zip(flat(&expected)) {
            judge.same("network loss", actual, expected, 1e-9);
        }
    }
    println!("network losses: {} comparisons", judge.count);
    // Six epochs of 2 + 5 + 3 + 5 + 3 + 3 + 15 entries.
    assert_eq!(judge.count, 6 * 36);
}

#[test]
fn all_nine_regret_families_follow_the_simulator_from_epoch_to_epoch() {
    let Some(path) = table("regression_sim_epochs.csv") else { return };
    let table = rows(path);
    let mut judge = Judge::default();
    let inferers: Vec<u32> = (0..INFERERS).collect();
    let forecasters: Vec<u32> = (INFERERS..INFERERS + FORECASTERS).collect();
    for pair in table.windows(2) {
        let row = &pair[1];
        let losses = losses(row, None);
        let closing =
            regret::close(&RegretConfig::new(), &state(&pair[0]), &inferers, &forecasters, &losses).unwrap();
        let next = &closing.state;
        for (l, regret) in next.inferers.iter().chain(&next.forecasters) {
            judge.column(row, &format!("inference_regret_worker_{l}"), *regret);
        }
        for (l, regret) in &next.naive {
            judge.column(row, &format!("naive_inference_regret_worker_{l}"), *regret);
        }
        for pairs in [
            &next.one_out_inferer_inferers,
            &next.one_out_inferer_forecasters,
            &next.one_out_forecaster_inferers,
            &next.one_out_forecaster_forecasters,
        ] {
            for (o, family) in pairs {
                for (l, regret) in family {
                    judge.column(row, &format!("inference_regret_worker_{l}_oneout_{o}"), *regret);
                }
            }
        }
        for (k, family) in &next.one_in_forecaster_inferers {
            for (l, regret) in family {
                judge.column(row, &format!("inference_regret_worker_{l}_onein_{}", k - INFERERS), *regret);
            }
        }
        for (k, regret) in &next.one_in_forecasters {
            judge.column(row, &format!("inference_regret_worker_5_onein_{}", k - INFERERS), *regret);
        }
        judge.same("regret scale", next.scale.get(), state(row).scale.get(), 1e-9);
        let weights: f64 =
            closing.inferer_weights.iter().chain(&closing.forecaster_weights).map(|w| w.unwrap().get()).sum();
        assert!((weights - 1.0).abs() < 1e-12);
    }
    println!("regrets: {} comparisons", judge.count);
    // Five steps of 8 + 5 + 64 + 15 + 3 regrets and a scale.
    assert_eq!(judge.count, 5 * 96);
}

/// The deviation of an untabulated score history, found from one fraction of the row.
fn fitted_sigma(scores: &[Real], target: f64, place: usize) -> Vec<f64> {
    let miss = |sigma: f64| fractions_at(scores, sigma)[place].get() - target;
    let grid: Vec<f64> = (0..4000).map(|step| func::exp(-8.0 + 0.004 * f64::from(step))).collect();
    let mut roots = Vec::new();
    for pair in grid.windows(2) {
        let (mut low, mut high) = (pair[0], pair[1]);
        if miss(low) * miss(high) > 0.0 {
            continue;
        }
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if miss(low) * miss(middle) <= 0.0 { high = middle } else { low = middle }
        }
        roots.push(high);
    }
    roots
}

fn fractions_at(scores: &[Real], sigma: f64) -> Vec<Real> {
    // Two scores whose sample deviation is sigma.
    let history = [Real::ZERO, real(sigma * func::sqrt(2.0))];
    worker_fractions(scores, &history, real(3.0), real(0.75), real(0.01)).unwrap()
}

#[test]
fn scores_fractions_entropies_and_the_task_split_follow_the_simulator() {
    let Some(path) = table("regression_sim_epochs.csv") else { return };
    let table = rows(path);
    let mut judge = Judge::default();
    let mut fitted = 0;
    for (place, row) in table.iter().enumerate() {
        let cells = |count: u32, name: &str| -> Vec<Real> {
            (0..count).map(|i| real(row[&format!("{name}_{i}")])).collect()
        };
        let losses = losses(row, None);
        let scores: Vec<Real> = inferer_scores(&losses).unwrap().into_iter().flatten().collect();
        for (j, score) in scores.iter().enumerate() {
            judge.column(row, &format!("inferer_score_{j}"), *score);
        }
        for (k, score) in forecaster_scores(&losses).unwrap().into_iter().enumerate() {
            judge.column(row, &format!("forecaster_score_{k}"), score);
        }

        // Reward fractions: the reputers' outright, the workers' with the one unknown fitted to one of them.
        let members: Vec<(Real, Real)> =
            cells(REPUTERS, "reputer_stake").into_iter().zip(cells(REPUTERS, "reputer_score")).collect();
        for (m, fraction) in reputer_fractions(&members, Real::ONE).unwrap().into_iter().enumerate() {
            judge.column(row, &format!("reputer_reward_fraction_{m}"), fraction);
        }
        for (role, count) in [("inferer", INFERERS), ("forecaster", FORECASTERS)] {
            let scores = cells(count, &format!("{role}_score"));
            let expected = cells(count, &format!("{role}_reward_fraction"));
            let agrees = |sigma: &f64| {
                let actual = fractions_at(&scores, *sigma);
                actual.iter().zip(&expected).all(|(a, e)| (a.get() / e.get() - 1.0).abs() < 1e-9)
            };
            let roots = fitted_sigma(&scores, expected[0].get(), 0);
            assert!(roots.iter().any(agrees), "no deviation gives the {role} fractions of row {place}");
            fitted += count - 1;
        }

        if place == 0 {
            continue;
        }
        // Smoothing, entropies, utility, split: from the row before.
        let before = &table[place - 1];
        let (alpha, beta) = (real(0.1), real(0.25));
        let mut entropies = Vec::new();
        for (role, count) in [("inferer", INFERERS), ("forecaster", FORECASTERS), ("reputer", REPUTERS)] {
            let name = format!("{role}_reward_fraction_smooth");
            let previous: Vec<Option<Real>> =
                (0..count).map(|i| Some(real(before[&format!("{name}_{i}")]))).collect();
            let smoothed =
                smooth(alpha, &cells(count, &format!("{role}_reward_fraction")), &previous).unwrap();
            for (i, fraction) in smoothed.fractions.iter().enumerate() {
                judge.column(row, &format!("{name}_{i}"), *fraction);
            }
            let entropy = entropy(&smoothed.fractions, smoothed.effective, beta).unwrap();
            judge.column(row, &format!("{role}s_entropy"), entropy);
            entropies.push(entropy);
        }
        let ratio = real(before["forecaster_score_ratio"]);
        let use_of = forecaster_utility(alpha, losses.naive, losses.combined, &scores, ratio).unwrap();
        judge.column(row, "forecaster_score_ratio", use_of.ratio);
        judge.column(row, "forecasters_utility", use_of.utility);
        let split = task_split(entropies[0], entropies[1], entropies[2], use_of.utility).unwrap();
        judge.column(row, "inferers_reward_fraction", split.inferers);
        judge.column(row, "forecasters_reward_fraction", split.forecasters);
        judge.column(row, "reputers_reward_fraction", split.reputers);
        for (role, count, part) in [
            ("inferer", INFERERS, split.inferers),
            ("forecaster", FORECASTERS, split.forecasters),
            ("reputer", REPUTERS, split.reputers),
        ] {
            for (i, fraction) in cells(count, &format!("{role}_reward_fraction")).into_iter().enumerate() {
                let reward = real(fraction.get() * part.get() * row["topic_rewards"]);
                judge.column(row, &format!("{role}_reward_{i}"), reward);
            }
        }
    }
    println!(
        "scores to rewards: {} comparisons, {fitted} of them after fitting a deviation",
        judge.count + fitted as usize
    );
    // Six rows of 8 scores and 5 fractions, five of 13 + 3 + 2 + 3 + 13; 6 worker fractions a row beyond the fit.
    assert_eq!((judge.count, fitted), (6 * 13 + 5 * 34, 6 * 6));
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn wrapped(value: &Value) -> Vec<Real> {
    numbers(value).into_iter().map(real).collect()
}

#[test]
fn the_unit_tables_are_reproduced() {
    let Some(path) = table("unit_vectors.json") else { return };
    let tables: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let entries = |name: &str| tables[name].as_array().unwrap().clone();
    let mut judge = Judge::default();
    let config = RegretConfig::new();

    for entry in entries("exp1_div_exp1") {
        let (actual, expected) =
            (exp_ratio(number(&entry["a"]), number(&entry["b"])), number(&entry["expected"]));
        // The file's tolerances are absolute.
        let tolerance = number(&entry["tol"]) / expected.abs();
        judge.same("ratio of sigmoids", actual, expected, tolerance.max(1e-9));
    }
    for entry in entries("dec_exp") {
        judge.same("exp", func::exp(number(&entry["x"])), number(&entry["expected"]), 1e-14);
    }
    for entry in entries("regret_scale") {
        let actual = regret_scale(&numbers(&entry["regrets"]), number(&entry["epsilon"]));
        judge.same("regret scale", actual, number(&entry["expected"]), 1e-9);
    }
    for entry in entries("normalize_weights") {
        let mut all = numbers(&entry["inferers"]);
        all.extend(numbers(&entry["forecasters"]));
        if entry["expected"] == "error" {
            assert!(normalize(&all).is_err());
            judge.count += 1;
            continue;
        }
        for (actual, expected) in normalize(&all).unwrap().iter().zip(numbers(&entry["expected"])) {
            judge.same("normalised weight", actual.get(), expected, 1e-9);
        }
    }
    for entry in entries("topic_initial_regret") {
        let config = RegretConfig { epsilon: real(number(&entry["epsilon"])), ..config };
        let actual = initial_regret(&config, &numbers(&entry["regrets"])).unwrap();
        judge.same("initial regret", actual, number(&entry["expected"]), 1e-9);
    }
    for entry in entries("weights_ordering") {
        let weights = regret_weights(&config, &numbers(&entry["regrets"]), number(&entry["scale"])).unwrap();
        for pair in entry["less_than"].as_array().unwrap() {
            let at = numbers(pair);
            assert!(weights[at[0] as usize] < weights[at[1] as usize], "{}", entry["name"]);
            judge.count += 1;
        }
    }
    for entry in entries("median_fallback") {
        let actual = stats::median(&numbers(&entry["values"])).unwrap();
        judge.same("median", actual, number(&entry["expected"]), 1e-9);
    }
    for entry in entries("rewards_math") {
        let at = |name: &str| real(number(&entry[name]));
        let actual = match entry["fn"].as_str().unwrap() {
            // The listening coefficients are no part of this crate's files; the note on the other says that its
            // gamma is not the formula's.
            "adjusted_stake" | "inference_reward" => continue,
            "normalize" => {
                for (actual, expected) in
                    normalize(&numbers(&entry["x"])).unwrap().iter().zip(numbers(&entry["expected"]))
                {
                    judge.same("normalised", actual.get(), expected, 1e-9);
                }
                continue;
            }
            "entropy" => entropy(&wrapped(&entry["f"]), at("neff"), at("beta")).unwrap(),
            "entropy_single" => entropy(&[Real::ONE], Real::ONE, real(0.25)).unwrap(),
            "number_ratio" => {
                let fractions = wrapped(&entry["f"]);
                smooth(real(0.1), &fractions, &vec![None; fractions.len()]).unwrap().effective
            }
            "reputer_reward" => {
                let split = task_split(at("F"), at("G"), at("H"), real(0.5)).unwrap();
                real(split.reputers.get() * number(&entry["E"]))
            }
            "chi" => utility(at("tau")),
            "gamma" => gamma(at("F"), at("G"), at("chi")).unwrap(),
            "stake_weighted_loss" => {
                let loss = |loss: Real| Losses {
                    combined: loss,
                    naive: loss,
                    inferers: vec![],
                    forecasters: vec![],
                    one_out_inferers: vec![],
                    one_out_forecasters: vec![],
                    one_in_forecasters: vec![],
                    one_out_inferer_forecaster: vec![],
                };
                let reports: Vec<(Real, Losses)> = wrapped(&entry["stakes"])
                    .into_iter()
                    .zip(wrapped(&entry["losses"]).into_iter().map(loss))
                    .collect();
                network_losses(&reports).unwrap().combined
            }
            "forecaster_score" => {
                // f = 0.0625 = 2^-4: five forecasters.
                assert_eq!(number(&entry["f"]), 0.0625);
                forecaster_score(at("one_in"), at("one_out"), 5).unwrap()
            }
            other => panic!("no comparison for {other}"),
        };
        let tolerance = number(&entry["tol"]) / number(&entry["expected"]).abs();
        judge.same(&entry["fn"].to_string(), actual.get(), number(&entry["expected"]), tolerance.max(1e-9));
    }
    println!("unit tables: {} comparisons", judge.count);
    assert_eq!(judge.count, UNIT_COMPARISONS);
}

/// 25 ratios, 4 exponentials, 5 scales, 8 weights, 1 initial regret, 7 orders, 1 median, 13 of the reward formulas.
const UNIT_COMPARISONS: usize = 64;
