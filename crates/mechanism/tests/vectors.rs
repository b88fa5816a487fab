//! Conformance: every published number of the reference simulators and unit tables that this crate covers.
//! The tables lie outside the repository; without them the tests say so and return. They are loaders: any number of
//! rows of the same shape will do, but every expected column of every row has to be compared, and at least one. The regression table's synthesis columns (implied values, network inferences, error bars)
//! use the retired v0.6 weights and are left out; its consensus columns belong to another part of the house.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

use dodona_mechanism::real::func;
use dodona_mechanism::topic::combine::{Column, Forecast, Losses};
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
use std::collections::{BTreeMap, BTreeSet};
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

/// Columns with a number, by name.
type Row = BTreeMap<String, f64>;

/// A table: all its column names, and its rows without their empty cells.
fn rows(path: PathBuf) -> (Vec<String>, Vec<Row>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let row = |record: csv::StringRecord| -> Row {
        let cells = names.iter().zip(record.iter());
        cells.filter_map(|(name, cell)| Some((name.clone(), cell.parse().ok()?))).collect()
    };
    let rows: Vec<Row> = reader.records().map(|record| row(record.unwrap())).collect();
    assert!(!rows.is_empty(), "a table without rows");
    (names, rows)
}

/// Rows of consecutive epochs.
fn steps(rows: &[Row]) -> impl Iterator<Item = (&Row, &Row)> {
    rows.windows(2).map(|pair| (&pair[0], &pair[1])).filter(|(one, two)| two["epoch"] - one["epoch"] == 1.0)
}

/// Whether a table has rows of consecutive epochs at all, or a line saying that it has not.
fn has_steps(rows: &[Row]) -> bool {
    let found = steps(rows).next().is_some();
    if !found {
        println!("no two rows of consecutive epochs: nothing compared");
    }
    found
}

/// A column name with every run of digits as an N.
fn shape(name: &str) -> String {
    let mut shape = String::new();
    for character in name.chars() {
        match character {
            '0'..='9' if shape.ends_with('N') => {}
            '0'..='9' => shape.push('N'),
            other => shape.push(other),
        }
    }
    shape
}

/// Compares, counts, and names the column at fault.
#[derive(Default)]
struct Judge {
    count: usize,
    /// Columns compared since the last row ended.
    columns: BTreeSet<String>,
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

    fn column(&mut self, row: &Row, name: &str, actual: impl Into<Option<Real>>) {
        let actual: Option<Real> = actual.into();
        let actual = actual.unwrap_or_else(|| panic!("{name} was not computed"));
        self.same(name, actual.get(), row[name], 1e-9);
        self.columns.insert(name.to_owned());
    }

    /// Ends a row in which all these columns should have been compared.
    fn end_row<'a>(&mut self, expected: impl Iterator<Item = &'a String>) {
        let left: Vec<&String> = expected.filter(|name| !self.columns.contains(*name)).collect();
        assert!(left.is_empty(), "not compared: {left:?}");
        self.columns.clear();
    }

    /// Ends a table of which `rows` were compared.
    fn end_table(&self, what: &str, rows: usize) {
        println!("{what}: {} comparisons in {rows} rows", self.count);
        assert!(rows > 0 && self.count > 0, "{what}: nothing compared");
    }
}

fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

/// The regrets a row states, inferers named 0..5 and forecasters 5..8.
fn state(row: &Row) -> RegretState<u32> {
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
fn the_classification_simulator_is_reproduced_in_all_labels_at_once() {
    let Some(path) = table("classification_sim.csv") else { return };
    let (names, table) = rows(path);
    if !has_steps(&table) {
        return;
    }
    let labels = (0..).take_while(|label| names.contains(&format!("inference_0_label_{label}"))).count();
    assert!(labels > 1, "a table of labels");
    let is_input = |name: &&String| name.starts_with("inference_") && name.contains("_label_");
    let is_output = |name: &&String| !name.starts_with("inference_") && name.contains("_label_");
    let is_state = |name: &&String| name.contains("_regret_worker_") || name.as_str() == "network_loss";
    // The first rows of the simulator state regrets only, the last ones may state no outputs.
    let all =
        |row: &Row, of: &dyn Fn(&&String) -> bool| names.iter().filter(of).all(|name| row.contains_key(name));
    let (mut judge, mut compared) = (Judge::default(), 0);
    for (before, row) in steps(&table) {
        if !all(before, &is_state) || !all(row, &is_input) || !all(row, &is_output) {
            continue;
        }
        let inferers: Vec<u32> = (0..INFERERS).collect();
        let cell = |j: u32, label: usize| real(row[&format!("inference_{j}_label_{label}")]);
        let columns: Vec<Vec<Real>> =
            (0..labels).map(|label| (0..INFERERS).map(|j| cell(j, label)).collect()).collect();
        let forecast = |k: u32| {
            let loss = |j: u32| (j as usize, real(row[&format!("forecasted_loss_{k}_for_{j}")]));
            (k + INFERERS, Forecast { losses: (0..INFERERS).map(loss).collect() })
        };
        let forecasters: Vec<(u32, Forecast)> = (0..FORECASTERS).map(forecast).collect();
        let opening =
            regret::open(&RegretConfig::new(), &state(before), &inferers, &columns, &forecasters).unwrap();
        for (label, column) in opening.bundle().unwrap().columns.iter().enumerate() {
            let at = format!("label_{label}");
            judge.column(row, &format!("network_inference_{at}"), column.combined);
            judge.column(row, &format!("network_naive_inference_{at}"), column.naive);
            for (o, value) in column.one_out_inferers.iter().chain(&column.one_out_forecasters).enumerate() {
                judge.column(row, &format!("network_inference_oneout_{o}_{at}"), *value);
            }
            for k in 0..FORECASTERS as usize {
                let implied = format!("forecast_implied_inference_{k}");
                judge.column(row, &format!("{implied}_{at}"), column.forecasters[k]);
                let one_in = format!("network_naive_inference_onein_{k}_{at}");
                judge.column(row, &one_in, column.one_in_forecasters[k]);
                for (o, value) in column.one_out_inferer_forecaster[k].iter().enumerate() {
                    judge.column(row, &format!("{implied}_oneout_{o}_{at}"), *value);
                }
            }
        }
        judge.end_row(names.iter().filter(is_output));
        // Not tabulated, but true of every network inference of unit vectors.
        let sum = |value: &dyn Fn(&Column) -> Real| -> f64 {
            opening.synthesis.columns.iter().map(|column| value(column).get()).sum()
        };
        let inputs = (0..INFERERS).map(|j| (0..labels).map(|label| cell(j, label).get()).sum::<f64>());
        if inputs.into_iter().all(|sum| (sum - 1.0).abs() < 1e-12) {
            assert!((sum(&|column| column.combined) - 1.0).abs() < 1e-12);
            assert!((sum(&|column| column.naive) - 1.0).abs() < 1e-12);
        }
        compared += 1;
    }
    judge.end_table("classification", compared);
}

/// The losses of a row under a column prefix (a reputer's, or none for the network's own).
fn losses(row: &Row, reputer: Option<u32>) -> Losses {
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
    let (names, table) = rows(path);
    let is_output = |name: &&String| {
        let families =
            ["network_loss", "network_naive_loss", "inference_loss_", "forecast_implied_inference_loss_"];
        families.iter().any(|family| name.starts_with(family))
    };
    let outputs = names.iter().filter(is_output).count();
    let mut judge = Judge::default();
    for row in &table {
        let reports: Vec<(Real, Losses)> =
            (0..REPUTERS).map(|m| (real(row[&format!("reputer_stake_{m}")]), losses(row, Some(m)))).collect();
        let (actual, expected) = (network_losses(&reports).unwrap(), losses(row, None));
        for (actual, expected) in flat(&actual).into_iter().zip(flat(&expected)) {
            judge.same("network loss", actual, expected, 1e-9);
        }
    }
    judge.end_table("network losses", table.len());
    assert_eq!(judge.count, table.len() * outputs);
}

#[test]
fn all_nine_regret_families_follow_the_simulator_from_epoch_to_epoch() {
    let Some(path) = table("regression_sim_epochs.csv") else { return };
    let (names, table) = rows(path);
    if !has_steps(&table) {
        return;
    }
    let is_output = |name: &&String| name.contains("_regret_worker_");
    let (mut judge, mut compared) = (Judge::default(), 0);
    let inferers: Vec<u32> = (0..INFERERS).collect();
    let forecasters: Vec<u32> = (INFERERS..INFERERS + FORECASTERS).collect();
    for (before, row) in steps(&table) {
        let losses = losses(row, None);
        let closing =
            regret::close(&RegretConfig::new(), &state(before), &inferers, &forecasters, &losses).unwrap();
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
        judge.end_row(names.iter().filter(is_output));
        compared += 1;
    }
    judge.end_table("regrets", compared);
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
    let (names, table) = rows(path);
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

        let is_output = |name: &&String| ROW_OUTPUTS.contains(&shape(name).as_str());
        judge.end_row(names.iter().filter(is_output));

        // Smoothing, entropies, utility, split: from the row before.
        let before = place.checked_sub(1).map(|place| &table[place]);
        let Some(before) = before.filter(|before| row["epoch"] - before["epoch"] == 1.0) else { continue };
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
        let is_output = |name: &&String| STEP_OUTPUTS.contains(&shape(name).as_str());
        judge.end_row(names.iter().filter(is_output));
    }
    println!("scores to rewards: {fitted} more after fitting a deviation");
    judge.end_table("scores to rewards", table.len());
}

/// Outputs of a row by itself; the workers' reward fractions are compared after a fit.
const ROW_OUTPUTS: [&str; 3] = ["inferer_score_N", "forecaster_score_N", "reputer_reward_fraction_N"];
/// Outputs of a row that hang on the row before.
const STEP_OUTPUTS: [&str; 14] = [
    "inferer_reward_fraction_smooth_N",
    "forecaster_reward_fraction_smooth_N",
    "reputer_reward_fraction_smooth_N",
    "inferers_entropy",
    "forecasters_entropy",
    "reputers_entropy",
    "forecaster_score_ratio",
    "forecasters_utility",
    "inferers_reward_fraction",
    "forecasters_reward_fraction",
    "reputers_reward_fraction",
    "inferer_reward_N",
    "forecaster_reward_N",
    "reputer_reward_N",
];

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
    let entries = |name: &str| tables[name].as_array().cloned().unwrap_or_default();
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
                // f = 2^-(forecasters - 1).
                let forecasters = 1.0 - func::log2(number(&entry["f"]));
                assert_eq!(forecasters.fract(), 0.0);
                forecaster_score(at("one_in"), at("one_out"), forecasters as usize).unwrap()
            }
            other => {
                println!("no comparison for {other}");
                continue;
            }
        };
        let tolerance = number(&entry["tol"]) / number(&entry["expected"]).abs();
        judge.same(&entry["fn"].to_string(), actual.get(), number(&entry["expected"]), tolerance.max(1e-9));
    }
    let covered = [
        "exp1_div_exp1",
        "dec_exp",
        "regret_scale",
        "normalize_weights",
        "topic_initial_regret",
        "weights_ordering",
        "median_fallback",
        "rewards_math",
    ];
    judge.end_table("unit tables", covered.iter().map(|name| entries(name).len()).sum());
}
