//! What the tests over the published tables share: where the tables are, how to read them, how to compare.
//! The tables lie outside the repository; a test without its table says so and returns.
#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

use dodona_mechanism::Real;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A row of a table: column name to text.
pub type Row = BTreeMap<String, String>;

/// The path of a table of the topics, or a line saying that it is not here.
pub fn table(name: &str) -> Option<PathBuf> {
    shared(&format!("vectors/topics/{name}"))
}

/// The cases of a file of subnet vectors, or a line saying that it is not here.
pub fn subnet_cases(name: &str) -> Option<Vec<serde_json::Value>> {
    let text = std::fs::read_to_string(shared(&format!("vectors/subnets/{name}"))?).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    Some(file["cases"].as_array_mut().map(std::mem::take).unwrap_or_else(|| panic!("{name} has no cases")))
}

/// A path among the shared files, or a line saying that nothing is there.
fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var("DODONA_SHARED").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("{name} is not here: nothing compared");
    None
}

/// Rows of a table; empty cells are left out.
pub fn rows(name: &str) -> Option<Vec<Row>> {
    let mut reader = csv::Reader::from_path(table(name)?).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.unwrap();
        let cells = names.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        cells.map(|(name, cell)| (name.clone(), cell.to_owned())).collect()
    };
    Some(reader.records().map(row).collect())
}

/// The collected small vectors.
pub fn units() -> Option<serde_json::Value> {
    let path = table("unit_vectors.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

pub fn number(row: &Row, name: &str) -> f64 {
    let cell = row.get(name).unwrap_or_else(|| panic!("{name} is empty"));
    cell.parse().unwrap_or_else(|_| panic!("{name}: {cell} is no number"))
}

pub fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

pub fn reals(values: &[f64]) -> Vec<Real> {
    values.iter().map(|&value| real(value)).collect()
}

/// Compares, counts and remembers the worst.
#[derive(Default)]
pub struct Judge {
    pub count: usize,
    pub worst: f64,
}

impl Judge {
    /// Asserts equality to a relative tolerance.
    pub fn same(&mut self, name: &str, actual: f64, expected: f64, tolerance: f64) {
        let distance = (actual - expected).abs() / expected.abs().max(1e-12);
        assert!(distance <= tolerance, "{name}: {actual} instead of {expected}, off by {distance:e} of it");
        self.worst = self.worst.max(distance);
        self.count += 1;
    }
}
