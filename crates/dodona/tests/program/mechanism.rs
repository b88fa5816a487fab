//! `dodona mechanism` as its user runs it: the published tables piped through it row by row, and garbage.
//! The tables lie outside the repository; without them the tests say so and return. Any number of rows will do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

const NAMES: [&str; 8] = [
    "combine",
    "network-losses",
    "regrets",
    "reputer-consensus",
    "scores",
    "reward-split",
    "emission",
    "sortition",
];

/// Exit code, standard output, standard error.
fn pipe(name: &str, input: &[u8]) -> (i32, String, String) {
    crate::kit::fed(&["mechanism", name], input)
}

fn answer(name: &str, input: &Value) -> Map<String, Value> {
    let (code, out, err) = pipe(name, input.to_string().as_bytes());
    assert_eq!((code, err.as_str()), (0, ""), "{name}");
    serde_json::from_str(&out).unwrap()
}

/// What it says to input it refuses.
fn refusal(name: &str, input: &[u8]) -> String {
    let (code, out, err) = pipe(name, input);
    assert_eq!((code, out.as_str()), (2, ""), "{name}: {err}");
    assert!(err.starts_with("error: ") && !err.contains("panicked"), "{name}: {err}");
    err
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

/// A row as a person would pipe it in: every cell as text, empty ones included.
type Row = Map<String, Value>;

fn rows(name: &str) -> Option<Vec<Row>> {
    let root = std::env::var("DODONA_SHARED").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join("vectors/topics").join(name);
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("{name} is not here: nothing compared");
        return None;
    };
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), names.len(), "{name}: quoted cells");
        names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect()
    };
    let rows: Vec<Row> = lines.filter(|line| !line.is_empty()).map(row).collect();
    assert!(!rows.is_empty(), "{name} has no rows");
    Some(rows)
}

/// Rows of consecutive epochs.
fn steps(rows: &[Row]) -> impl Iterator<Item = (&Row, &Row)> {
    let next = |pair: &(&Row, &Row)| number(&pair.1["epoch"]) - number(&pair.0["epoch"]) == 1.0;
    rows.windows(2).map(|pair| (&pair[0], &pair[1])).filter(next)
}

/// A column name with every run of digits as `#`.
fn shape(name: &str) -> String {
    let mut shape = String::new();
    for character in name.chars() {
        match character {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

/// Counts what was compared.
#[derive(Default)]
struct Judge {
    count: usize,
}

impl Judge {
    fn same(&mut self, name: &str, actual: f64, expected: f64) {
        let distance = (actual - expected).abs() / expected.abs().max(1e-12);
        assert!(distance <= 1e-9, "{name}: {actual} instead of {expected}, off by {distance:e} of it");
        self.count += 1;
    }

    /// Every non-empty column of `row` whose shape is one of `shapes` is in the answer, and the same.
    fn columns(&mut self, row: &Row, answer: &Row, shapes: &[&str]) {
        let expected =
            row.iter().filter(|(name, cell)| shapes.contains(&shape(name).as_str()) && *cell != "");
        let before = self.count;
        for (name, cell) in expected {
            let actual = answer.get(name).unwrap_or_else(|| panic!("{name} was not computed"));
            match cell.as_str() {
                Some("true" | "false") => {
                    assert_eq!(actual.to_string(), cell.as_str().unwrap(), "{name}");
                    self.count += 1;
                }
                _ => self.same(name, number(actual), number(cell)),
            }
        }
        for wanted in shapes {
            assert!(row.keys().any(|name| shape(name) == *wanted), "no column is called {wanted}");
        }
        assert!(self.count > before, "nothing compared");
    }

    /// Ends a table of which so many rows could be compared.
    fn end(&self, what: &str, rows: usize) {
        println!("{what}: {} comparisons in {rows} rows", self.count);
        assert!(self.count > 0 || rows == 0, "{what}: nothing compared");
    }
}

#[test]
fn the_classification_table_is_combined_to_its_own_columns() {
    let Some(table) = rows("classification_sim.csv") else { return };
    let (mut judge, mut compared) = (Judge::default(), 0);
    for (before, row) in steps(&table) {
        // The simulator's first rows state regrets only.
        if row["network_inference_label_0"] == "" || before["network_loss"] == "" {
            continue;
        }
        compared += 1;
        let answer = answer("combine", &json!({"previous": before, "row": row}));
        judge.columns(
            row,
            &answer,
            &[
                "network_inference_label_#",
                "network_naive_inference_label_#",
                "network_inference_oneout_#_label_#",
                "network_naive_inference_onein_#_label_#",
                "forecast_implied_inference_#_label_#",
                "forecast_implied_inference_#_oneout_#_label_#",
            ],
        );
    }
    judge.end("combine", compared);
}

const NETWORK_LOSSES: [&str; 7] = [
    "network_loss",
    "network_naive_loss",
    "network_loss_oneout_#",
    "network_naive_loss_onein_#",
    "inference_loss_#",
    "forecast_implied_inference_loss_#",
    "forecast_implied_inference_loss_#_oneout_#",
];
const REGRETS: [&str; 4] = [
    "inference_regret_worker_#",
    "naive_inference_regret_worker_#",
    "inference_regret_worker_#_oneout_#",
    "inference_regret_worker_#_onein_#",
];

#[test]
fn the_regression_table_gives_its_own_losses_regrets_consensus_and_scores() {
    let Some(table) = rows("regression_sim_epochs.csv") else { return };
    let mut judge = Judge::default();
    for row in &table {
        judge.columns(row, &answer("network-losses", &json!({"row": row})), &NETWORK_LOSSES);
        // A row is a request by itself.
        let scores = answer("scores", &json!(row));
        judge.columns(row, &scores, &["inferer_score_#", "forecaster_score_#"]);
    }
    for (before, row) in steps(&table) {
        let request = json!({"previous": before, "row": row});
        judge.columns(row, &answer("regrets", &request), &REGRETS);
        let consensus = answer("reputer-consensus", &request);
        let columns = ["reputer_score_#", "reputer_adjusted_stake_#", "reputer_listening_coefficient_#"];
        judge.columns(row, &consensus, &columns);
    }
    judge.end("losses, regrets, consensus, scores", table.len());
}

#[test]
fn losses_then_regrets_then_combine_is_one_epoch_after_another() {
    let Some(table) = rows("regression_sim_epochs.csv") else { return };
    let mut judge = Judge::default();
    for (before, row) in steps(&table) {
        let losses = answer("network-losses", &json!(row));
        let memory = answer("regrets", &json!({"previous": before, "row": losses}));
        assert_eq!(memory["network_loss"], losses["network_loss"]);
        judge.columns(row, &memory, &REGRETS);
        // The computed memory and the table's own row open the next epoch alike.
        let inputs: Row = row
            .iter()
            .filter(|(name, _)| !name.contains("regret"))
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        let ours = answer("combine", &json!({"previous": memory, "row": inputs}));
        let theirs = answer("combine", &json!({"previous": row, "row": inputs}));
        assert_eq!(ours.len(), theirs.len());
        for (name, value) in &theirs {
            judge.same(name, number(&ours[name]), number(value));
        }
        let weights = theirs.iter().filter(|(name, _)| name.contains("_weight_"));
        assert!((weights.map(|(_, weight)| number(weight)).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    judge.end("epoch after epoch", steps(&table).count());
}

fn fractions(scores: &[f64], sigma: f64) -> Vec<f64> {
    let mapped: Vec<f64> =
        scores.iter().map(|score| (3.0 * (score / (sigma + 0.01) - 0.75)).exp().ln_1p()).collect();
    let sum: f64 = mapped.iter().sum();
    mapped.iter().map(|value| value / sum).collect()
}

/// The deviation of the untabulated score history that explains a role's tabulated fractions.
fn fitted_sigma(row: &Row, role: &str) -> f64 {
    let list = |name: &str| -> Vec<f64> {
        (0..).map_while(|i| row.get(&format!("{role}_{name}_{i}"))).map(number).collect()
    };
    let (scores, expected) = (list("score"), list("reward_fraction"));
    let miss = |sigma: f64| fractions(&scores, sigma)[0] - expected[0];
    let grid: Vec<f64> = (0..4000).map(|step| (-8.0 + 0.004 * f64::from(step)).exp()).collect();
    let roots = grid.windows(2).filter(|pair| miss(pair[0]) * miss(pair[1]) <= 0.0).map(|pair| {
        let (mut low, mut high) = (pair[0], pair[1]);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if miss(low) * miss(middle) <= 0.0 { high = middle } else { low = middle }
        }
        high
    });
    let agrees = |sigma: &f64| {
        fractions(&scores, *sigma).iter().zip(&expected).all(|(a, e)| (a / e - 1.0).abs() < 1e-9)
    };
    roots.into_iter().find(agrees).unwrap_or_else(|| panic!("no deviation gives the {role} fractions"))
}

#[test]
fn the_regression_table_gives_its_own_rewards() {
    let Some(table) = rows("regression_sim_epochs.csv") else { return };
    let mut judge = Judge::default();
    for (before, row) in steps(&table) {
        let request = json!({
            "previous": before,
            "row": row,
            "inferer_score_sigma": fitted_sigma(row, "inferer"),
            "forecaster_score_sigma": fitted_sigma(row, "forecaster"),
        });
        let answer = answer("reward-split", &request);
        judge.columns(
            row,
            &answer,
            &[
                "inferer_reward_fraction_#",
                "forecaster_reward_fraction_#",
                "reputer_reward_fraction_#",
                "inferer_reward_fraction_smooth_#",
                "forecaster_reward_fraction_smooth_#",
                "reputer_reward_fraction_smooth_#",
                "inferers_entropy",
                "forecasters_entropy",
                "reputers_entropy",
                "forecaster_task_score",
                "forecaster_score_ratio",
                "forecasters_utility",
                "inferers_reward_fraction",
                "forecasters_reward_fraction",
                "reputers_reward_fraction",
                "inferer_reward_#",
                "forecaster_reward_#",
                "reputer_reward_#",
            ],
        );
        let all = answer.iter().filter(|(name, _)| shape(name).ends_with("er_reward_#"));
        judge.same("all rewards", all.map(|(_, reward)| number(reward)).sum(), number(&row["topic_rewards"]));
    }
    judge.end("rewards", steps(&table).count());
}

#[test]
fn the_sortition_table_gives_its_own_active_sets_and_averages() {
    let Some(table) = rows("sortition_sim.csv") else { return };
    let mut judge = Judge::default();
    for row in &table {
        judge.columns(
            row,
            &answer("sortition", &json!(row)),
            &[
                "quality_cutoff",
                "quality_percentile",
                "#_active",
                "#_quality_ema",
                "#_sort_position_previous_quality_ema",
                "#_sort_position_quality_metrics",
            ],
        );
    }
    judge.end("sortition", table.len());
}

#[test]
fn the_supply_table_gives_its_own_emissions() {
    let Some(table) = rows("mint_tokenomics_sim.csv") else { return };
    let mut judge = Judge::default();
    let mut reputers_share = None;
    for (before, row) in steps(&table) {
        // r is not tabulated: one number, taken from the first cap and used for all others.
        let share: &String = reputers_share
            .get_or_insert_with(|| format!("{:.18}", (0.0095 / number(&row["ehat_max_i"]) - 0.25) / 0.75));
        let mut previous = before.clone();
        previous.insert("previous_percentage_reward_to_staked_reputers".into(), json!(share));
        let unlocking = ["investors_preseed", "investors_seed", "team"]
            .iter()
            .any(|who| number(&row[&format!("{who}_tokens_emission")]) > 0.0);
        if unlocking {
            // The stake these months divide by is not tabulated either.
            let staked = number(&row["ecosystem_tokens_emission"]) / number(&row["e_i"]);
            previous.insert("network_tokens_staked".into(), json!(format!("{staked}")));
        }
        let request = json!({"params": {"vesting": "original"}, "previous": previous, "row": row});
        judge.columns(
            row,
            &answer("emission", &request),
            &[
                "ehat_target_i",
                "ehat_max_i",
                "ehat_i",
                "e_i",
                "ecosystem_tokens_emission",
                "ecosystem_tokens_total",
                "network_tokens_circulating",
                "validator_rewards",
                "topics_rewards",
            ],
        );
    }
    judge.end("emission", steps(&table).count());
}

#[test]
fn arrays_are_another_spelling_of_columns() {
    let arrays = json!({
        "previous": {
            "network_loss": -1, "regrets": [0.1, -0.2, 0.3, 0.2], "naive_regrets": [0.1, 0.2],
            "one_out_regrets": [[0, 0.1, 0.2, 0.3], [0.4, 0, 0.5, 0.6], [0.7, 0.8, 0, 0.9], [1, 1.1, 1.2, 0]],
            "one_in_regrets": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
        },
        "inferences": [[0.25, 0.5], [0.75, 0.5]],
        "forecasted_losses": [[-1, null], [-2, -1]],
    });
    let mut row = json!({
        "inference_0_label_0": 0.25, "inference_1_label_0": 0.5,
        "inference_0_label_1": 0.75, "inference_1_label_1": 0.5,
        "forecasted_loss_0_for_0": -1, "forecasted_loss_1_for_0": -2, "forecasted_loss_1_for_1": -1,
    });
    let mut previous = json!({"network_loss": -1});
    let mut put = |name: String, value: &Value| previous[name] = value.clone();
    let stated = &arrays["previous"];
    for l in 0..4 {
        put(format!("inference_regret_worker_{l}"), &stated["regrets"][l]);
        for o in 0..4 {
            put(format!("inference_regret_worker_{l}_oneout_{o}"), &stated["one_out_regrets"][o][l]);
        }
        for k in 0..2 {
            put(format!("inference_regret_worker_{l}_onein_{k}"), &stated["one_in_regrets"][k][l]);
        }
    }
    put("naive_inference_regret_worker_0".into(), &stated["naive_regrets"][0]);
    put("naive_inference_regret_worker_1".into(), &stated["naive_regrets"][1]);
    let columns = json!({"previous": previous, "row": row});
    let both = answer("combine", &arrays);
    assert_eq!(both, answer("combine", &columns));
    let sum = number(&both["network_inference_label_0"]) + number(&both["network_inference_label_1"]);
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    // Stated twice is refused rather than chosen from.
    row["inferences"] = json!([[0.25, 0.5], [0.75, 0.5]]);
    let twice = refusal("combine", json!({"row": row}).to_string().as_bytes());
    assert!(twice.contains("inference_0_label_0 is given twice"), "{twice}");

    let losses = json!({
        "network": 1, "naive": 2, "inferers": [3, 4], "forecasters": [5],
        "one_out": [6, 7, 8], "one_in": [9], "forecasters_one_out": [[10, 11]],
    });
    let mut report = losses.clone();
    report["stake"] = json!(100);
    let network = answer("network-losses", &json!({"reports": [report]}));
    assert_eq!(network["forecast_implied_inference_loss_0_oneout_1"], 11.0);
    assert_eq!(answer("scores", &json!({"losses": losses})), answer("scores", &json!(network)));
    assert_eq!(answer("regrets", &json!({"losses": losses})), answer("regrets", &json!(network)));
}

#[test]
fn the_power_rule_weighs_by_powers_of_mean_losses() {
    let request = json!({
        "rule": "power",
        "params": {"kappa": 2, "n0": 0, "cap": null, "clamp": null},
        "inferences": [1, 18],
        "states": [{"loss": 1, "count": 9}, {"loss": 4, "count": 9}],
    });
    let found = answer("combine", &request);
    // Weights 16 : 1.
    let mut judge = Judge::default();
    judge.same("weight", number(&found["inferer_weight_0"]), 16.0 / 17.0);
    judge.same("inference", number(&found["network_inference"]), 2.0);
    judge.same("without the best", number(&found["network_inference_oneout_0"]), 18.0);
    judge.same("mean", number(&found["network_mean_inference"]), 9.5);
    // A silent member is none at all; the others keep their names.
    let silent = answer("combine", &json!({"rule": "power", "inferences": [null, 3, 5]}));
    assert_eq!(number(&silent["network_inference"]), 4.0);
    assert!(!silent.contains_key("inferer_weight_0") && silent.contains_key("inferer_weight_2"));
    // A forecaster who is sure of inferer 1 implies nearly its value.
    let forecast =
        answer("combine", &json!({"rule": "power", "inferences": [3, 5], "forecasted_losses": [[100, 1]]}));
    assert!((number(&forecast["forecast_implied_inference_0"]) - 5.0).abs() < 1e-6);
    // Merits: S = A + g (G - A), A = w (L(without) - L(own)).
    let merits = answer(
        "scores",
        &json!({
            "params": {"gain": 0.5}, "inferer_weights": [0.25, 0.75],
            "losses": {"network": 2, "naive": 2, "inferers": [4, 3], "one_out": [3, 8]},
        }),
    );
    judge.same("gain", number(&merits["inferer_gain_1"]), 6.0);
    judge.same("proper part", number(&merits["inferer_proper_part_1"]), 0.75 * 5.0);
    judge.same("merit", number(&merits["inferer_merit_1"]), 3.75 + 0.5 * 2.25);
}

#[test]
fn truths_are_agreed_on_by_capped_stakes() {
    let request =
        json!({"truths": [999, 5, 5], "stakes": ["1000000000000000000000000000", 1, 1], "scale": 2});
    let found = answer("reputer-consensus", &request);
    assert_eq!((number(&found["truth"]), number(&found["reputer_score_1"])), (5.0, 1.0));
    let labels =
        json!({"truths": [[1, 0], [1, 0], [0, 1]], "stakes": [1, 1, 1], "params": {"classes": true}});
    let found = answer("reputer-consensus", &labels);
    assert_eq!((number(&found["truth_label_0"]), number(&found["reputer_score_2"])), (1.0, 0.0));
}

#[test]
fn a_first_epoch_needs_no_previous_row() {
    let found = answer("combine", &json!({"inferences": [1, 2, 6]}));
    assert_eq!(number(&found["network_inference"]), 3.0);
    assert_eq!(number(&found["network_median_inference"]), 2.0);
    let one = answer("combine", &json!({"inference_0": "1.5"}));
    assert_eq!(number(&one["network_inference"]), 1.5);
    let sets = answer("sortition", &json!({"averages": ["", 3], "metrics": [1, 2], "n_participants_max": 5}));
    assert_eq!((&sets["0_active"], &sets["1_active"]), (&json!(true), &json!(true)));
}

#[test]
fn garbage_is_refused_by_name_and_never_panics() {
    let long = format!("{{\"inferences\": [{}1]}}", "1,".repeat(600));
    let deep = format!("{{\"inferences\": {}{}}}", "[".repeat(100), "]".repeat(100));
    for (name, input, words) in [
        ("divine", "{}", "no formula is called `divine`; there are combine, network-losses"),
        ("combine", "", "the input is empty"),
        ("combine", " \n", "the input is empty"),
        ("combine", "a,b\n1,2", "not JSON"),
        ("combine", "{\"inference_0\": NaN}", "not JSON"),
        ("combine", "{\"inference_0\": 1e999}", "not JSON"),
        ("combine", "[1, 2]", "the input: expected an object, found an array of 2"),
        ("combine", "{}", "inference_0 is missing"),
        ("combine", "{\"row\": 7}", "row: expected an object, found the number 7"),
        ("combine", "{\"inference_0\": \"NaN\"}", "inference_0: expected a finite number"),
        ("combine", "{\"inference_0\": \"Infinity\"}", "the text `Infinity` (not a decimal number)"),
        ("combine", "{\"inference_0\": true}", "inference_0: expected a number, found true"),
        ("combine", "{\"inferences\": 3}", "inferences: expected an array of numbers"),
        ("combine", "{\"inferences\": [1, \"x\"]}", "inference_1: expected a finite number"),
        ("combine", "{\"inferences\": [[1, 2], [3]]}", "inferences[1]: expected 2 entries"),
        ("combine", long.as_str(), "inferences[512]"),
        ("combine", deep.as_str(), "inferences"),
        ("combine", "{\"inference_99999999999999999999\": 1}", "at most 512 members"),
        (
            "combine",
            "{\"inference_0\": 1, \"forecasted_loss_0_for_3\": -1}",
            "forecasted_loss_0_for_3: there are inferences of 1",
        ),
        ("combine", "{\"inference_0\": 1, \"inference_0_label_0\": 1}", "inference_0 is given twice"),
        ("combine", "{\"rule\": \"v6\", \"inference_0\": 1}", "rule: expected one of regret, power"),
        (
            "combine",
            "{\"inference_0\": 1, \"params\": {\"pnorm\": 3}}",
            "params.pnorm is unknown here; this formula reads p_norm",
        ),
        (
            "combine",
            "{\"inference_0\": 1, \"params\": {\"p_norm\": 0.5}}",
            "params.p_norm: 0.5 is out of range: 1 to 10",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inference_0\": 1, \"params\": {\"kappa\": 2.5}}",
            "params.kappa: expected a whole number",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inference_0\": 1, \"params\": {\"pool\": \"log\"}}",
            "params.pool: log is out of range",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inference_0\": 1, \"params\": {\"loss\": \"huber\"}}",
            "params.loss_delta is missing",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inference_0\": 1, \"states\": []}",
            "states: expected an array of 1 objects",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inference_0\": 1, \"states\": [{\"loss\": -1, \"count\": 1}]}",
            "states[0].loss: -1 is out of range",
        ),
        (
            "combine",
            "{\"rule\": \"power\", \"inferences\": [1, 2], \"forecasted_losses\": [[-1, 2]]}",
            "forecasted_loss_0_for_0: -1 is out of range: above 0",
        ),
        (
            "combine",
            "{\"previous\": {\"regret_scale\": -1}, \"inferences\": [1, 2]}",
            "previous.regret_scale: -1 is out of range",
        ),
        ("network-losses", "{}", "reputer_0_loss_network_inference is missing: nobody reported"),
        (
            "network-losses",
            "{\"reports\": [{\"network\": 1}]}",
            "reputer_0_loss_naive_network_inference is missing",
        ),
        ("network-losses", "{\"reports\": [{\"network\": 1, \"naive\": 1}]}", "reputer_stake_0 is missing"),
        (
            "network-losses",
            "{\"reports\": [{\"network\": 1, \"naive\": 1, \"stake\": -1}]}",
            "reputer_stake_0: -1 is out of range",
        ),
        (
            "network-losses",
            "{\"reports\": [{\"network\": 1, \"naive\": 1, \"stake\": 0}]}",
            "network-losses has no answer for these numbers: stake is empty",
        ),
        ("network-losses", "{\"reports\": [{\"nätwork\": 1}]}", "reports[0].nätwork is unknown here"),
        ("network-losses", "{\"reputer_511_loss_forecast_implied_inference_511_oneout_511\": 1}", "ask for"),
        (
            "network-losses",
            "{\"reputer_1_loss_inference_0\": 1}",
            "reputer_1_loss_network_inference is missing",
        ),
        ("combine", "{\"infrences\": [1]}", "infrences is no array or object known here"),
        ("reputer-consensus", "{\"coefficients\": [1]}", "coefficients is what an epoch starts from"),
        ("regrets", "{}", "network_loss is missing"),
        (
            "regrets",
            "{\"losses\": {\"network\": 1, \"naive\": 1, \"inferers\": [1], \"one_out\": [1, 2]}}",
            "network_loss_oneout_1: there are 1 inferers and 0 forecasters",
        ),
        ("regrets", "{\"losses\": {\"network\": 1, \"naive\": 1}}", "regrets has no answer"),
        ("reputer-consensus", "{}", "nobody reported"),
        (
            "reputer-consensus",
            "{\"previous\": {\"coefficients\": [2]}, \"reports\": [{\"network\": 1, \"naive\": 1, \"stake\": 1}]}",
            "previous.reputer_listening_coefficient_0: 2 is out of range: 0 to 1",
        ),
        ("reputer-consensus", "{\"truths\": [1]}", "reputer_stake_0 is missing"),
        (
            "reputer-consensus",
            "{\"truths\": [1], \"stakes\": [1.5]}",
            "reputer_stake_0: expected a whole number",
        ),
        (
            "reputer-consensus",
            "{\"truths\": [1], \"stakes\": [1], \"stake_cap\": 0}",
            "stake_cap: 0 is out of range",
        ),
        ("scores", "{\"network_loss\": 1}", "network_naive_loss is missing"),
        (
            "scores",
            "{\"losses\": {\"network\": 1e308, \"naive\": 0, \"inferers\": [0], \"one_out\": [-1e308]}}",
            "scores has no answer for these numbers: score is not a finite number",
        ),
        ("reward-split", "{\"inferer_scores\": [1]}", "inferer_score_sigma is missing"),
        (
            "reward-split",
            "{\"inferer_scores\": [1], \"inferer_score_history\": [\"a\"]}",
            "inferer_score_history[0]",
        ),
        (
            "reward-split",
            "{\"inferer_scores\": [1], \"inferer_score_sigma\": 1}",
            "reputer_score_0 is missing",
        ),
        (
            "reward-split",
            "{\"inferer_scores\": [1], \"inferer_score_sigma\": 1, \"reputer_scores\": [1], \"stakes\": [1]}",
            "network_loss is missing",
        ),
        ("emission", "{}", "epoch is missing"),
        ("emission", "{\"epoch\": 1.5}", "epoch: expected a whole number"),
        ("emission", "{\"epoch\": 1}", "previous.ecosystem_tokens_total is missing"),
        (
            "emission",
            "{\"epoch\": 1, \"previous\": {\"ecosystem_tokens_total\": \"1e3\"}}",
            "previous.ecosystem_tokens_total: expected a decimal number",
        ),
        (
            "emission",
            "{\"epoch\": 1, \"previous\": {\"ecosystem_tokens_total\": -3}}",
            "previous.ecosystem_tokens_total: expected a decimal number",
        ),
        (
            "emission",
            "{\"epoch\": 1, \"previous\": {\"ecosystem_tokens_total\": 1, \"network_tokens_staked\": 0}}",
            "emission has no answer for these numbers: stake is empty",
        ),
        (
            "emission",
            "{\"params\": {\"f_emission\": \"1.5\"}}",
            "params.f_emission: 1.5 is out of range: 0 to 1",
        ),
        (
            "emission",
            "{\"params\": {\"team_percent_of_total_supply\": \"0.5\"}, \"epoch\": 1, \"previous\": {\"ecosystem_tokens_total\": 1, \"network_tokens_staked\": 1}}",
            "sum of supply shares is out of range",
        ),
        ("sortition", "{}", "0_prev_quality_ema is missing"),
        ("sortition", "{\"averages\": [1]}", "n_participants_max is missing"),
        (
            "sortition",
            "{\"averages\": [1], \"n_participants_max\": -1}",
            "n_participants_max: expected a whole number",
        ),
        (
            "sortition",
            "{\"averages\": [1], \"n_participants_max\": 1, \"alpha_quality\": 2}",
            "alpha_quality: 2 is out of range",
        ),
        (
            "sortition",
            "{\"averages\": [1], \"n_participants_max\": 1, \"params\": {\"passive_target\": \"stored\"}}",
            "previous.quality_percentile is missing",
        ),
    ] {
        let said = refusal(name, input.as_bytes());
        assert!(said.contains(words), "{name} {input}\nsaid {said}\nnot {words}");
    }
    let bytes = refusal("combine", &[0xff, 0xfe]);
    assert!(bytes.contains("UTF-8"), "{bytes}");
    let huge = refusal("combine", &vec![b' '; (16 << 20) + 1]);
    assert!(huge.contains("longer than 16 MiB"), "{huge}");
}

/// The manual's examples say what the program says.
#[test]
fn every_example_of_the_manual_is_what_the_program_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/mechanism-command.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let mut shown = Vec::new();
    for example in manual.split("dodona mechanism ").skip(1) {
        let Some((name, rest)) = example.split_once(" <<'JSON'\n") else { continue };
        let (input, rest) = rest.split_once("\nJSON\n```\n\n```json\n").unwrap();
        let (output, _) = rest.split_once("```").unwrap();
        let (code, actual, said) = pipe(name, input.as_bytes());
        assert_eq!((code, actual.as_str()), (0, output), "{name} {said}");
        shown.push(name);
    }
    assert!(NAMES.iter().all(|name| shown.contains(name)), "{shown:?}");
}

/// Every field of a request that works, replaced by every kind of junk: an answer or a refusal, nothing else.
#[test]
fn any_field_may_be_junk() {
    let losses =
        json!({"network": 1, "naive": 2, "inferers": [3, 4], "forecasters": [5], "one_out": [6, 7, 8]});
    let mut report = losses.clone();
    report["stake"] = json!(1);
    let requests = BTreeMap::from([
        (
            "combine",
            json!({"previous": {"network_loss": -1, "regrets": [1, 2, 3]}, "inferences": [1, 2], "forecasted_losses": [[1, 2]]}),
        ),
        ("network-losses", json!({"reports": [report]})),
        ("regrets", json!({"previous": {"regrets": [1, 2, 3]}, "losses": losses})),
        ("reputer-consensus", json!({"previous": {"coefficients": [1]}, "reports": [report]})),
        ("scores", json!({"losses": losses, "inferer_weights": [1, 0]})),
        (
            "reward-split",
            json!({
                "inferer_scores": [1, 2], "inferer_score_history": [1, 2], "reputer_scores": [1], "stakes": [1],
                "network_loss": 1, "network_naive_loss": 2, "topic_rewards": 100,
            }),
        ),
        (
            "emission",
            json!({"epoch": 1, "previous": {"ecosystem_tokens_total": "1000", "network_tokens_staked": "10"}}),
        ),
        ("sortition", json!({"averages": [1, 2], "metrics": [3, 4], "n_participants_max": 1})),
    ]);
    let junk = [
        json!(null),
        json!(true),
        json!(-1e308),
        json!(1e308),
        json!(5e-324),
        json!(""),
        json!("nan"),
        json!("💥"),
        json!([]),
        json!([[]]),
        json!([1, 2, 3, 4]),
        json!([[1], 2]),
        json!({"a": 1}),
        json!([{"loss": "x"}]),
    ];
    for name in NAMES {
        let request = &requests[name];
        answer(name, request);
        let fields = request.as_object().unwrap().keys();
        let inner = request
            .get("previous")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|previous| previous.keys());
        let paths =
            fields.map(|field| format!("/{field}")).chain(inner.map(|field| format!("/previous/{field}")));
        for path in paths {
            for junk in &junk {
                let mut request = request.clone();
                *request.pointer_mut(&path).unwrap() = junk.clone();
                let (code, _, said) = pipe(name, request.to_string().as_bytes());
                assert!(matches!(code, 0 | 2) && !said.contains("panicked"), "{name} {request}: {said}");
            }
        }
    }
}
