//! A table for people, not a judgement: error and cost of every model on the bundled series.
//! Run with `cargo test --release -p dodona-participant --test participant -- report --ignored --nocapture`.

use std::time::Instant;

use dodona_participant::data::{NAMES, bundled};
use dodona_participant::model::built_in;

#[test]
#[ignore = "prints a table; judges nothing"]
fn error_and_cost_of_every_model() {
    for name in NAMES {
        let series = bundled(name).unwrap();
        let from = series.points.len() / 5;
        println!("\n{name}: mean squared error one step ahead over the last 80 %, and time per step");
        for mut model in built_in(series.season_day, series.season_week) {
            let (mut sum, mut count, mut said) = (0.0, 0usize, None);
            let start = Instant::now();
            for (index, point) in series.points.iter().enumerate() {
                if let (Some(value), true) = (said, index >= from) {
                    let miss: f64 = value - point.value;
                    sum += miss * miss;
                    count += 1;
                }
                model.observe(*point);
                said = model.predict(1);
            }
            let each = start.elapsed().as_nanos() / series.points.len() as u128;
            let scored = series.points.len() - from;
            println!("  {:<22} {:>14.4}  {each:>7} ns  {count}/{scored}", model.name(), sum / count as f64);
        }
    }
}
