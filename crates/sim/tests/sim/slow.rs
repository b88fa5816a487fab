//! Long stories, run by the nextest profile `slow`: what the rules are worth on real series.

use std::{fs::File, path::PathBuf};

use dodona_participant::{data, series::Series};
use dodona_proto::topics::{Loss, Rule};
use dodona_sim::{
    backtest::{Source, run},
    world::Setup,
};

/// Rows of each series that are replayed.
const ROWS: usize = 2_500;

/// The bundled series and, where present, the development series of the project.
fn all_series() -> Vec<Series> {
    let mut all: Vec<Series> = data::NAMES.iter().filter_map(|name| data::bundled(name)).collect();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var_os("DODONA_SHARED").map_or_else(|| default.into(), PathBuf::from).join("data");
    for name in ["elec_vic_30m", "bike_dc_1h", "btc_usd_1h", "vix_1d", "pm25_beijing_1h", "temp_yosemite_5m"]
    {
        match File::open(shared.join(name).with_extension("csv")) {
            Ok(file) => all.push(Series::from_csv(name, file).unwrap()),
            Err(_) => println!("skipped: {name} is absent in {}", shared.display()),
        }
    }
    for series in &mut all {
        series.points.truncate(ROWS);
    }
    all
}

#[test]
fn slow_on_real_series_the_power_rule_errs_less_than_the_regret_rule_mean_and_median() {
    let mut log_ratios = Vec::new();
    for series in all_series() {
        let replay = |rule| {
            let setup = Setup { rule, loss: Loss::Squared, horizon: 1, seed: 1 };
            run(Source::Series(series.clone()), &setup, |_, _| {}).unwrap().losses
        };
        let (power, regret) = (replay(Rule::Power), replay(Rule::Regret));
        let best = power.best_member.as_ref().unwrap();
        let ratio = power.network.squared / regret.network.squared;
        println!(
            "{}: power/regret {ratio:.3}, power/best member ({}) {:.3}, power/mean {:.3}, power/median {:.3}",
            series.name,
            best.name,
            power.network.squared / best.loss.squared,
            power.network.squared / power.mean.squared,
            power.network.squared / power.median.squared,
        );
        log_ratios.push(ratio.ln());
        assert!(power.network.squared < power.mean.squared, "{}", series.name);
        assert!(power.network.squared < 1.25 * best.loss.squared, "{}", series.name);
    }
    let geometric = (log_ratios.iter().sum::<f64>() / log_ratios.len() as f64).exp();
    println!("geometric mean of power/regret over {} series: {geometric:.3}", log_ratios.len());
    assert!(geometric < 0.97, "{geometric}");
}
