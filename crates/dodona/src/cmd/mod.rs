//! One file per command.

pub mod backtest;
mod bundle;
mod candidate;
mod candidate_page;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod epoch;
pub mod explain;
pub mod genesis;
pub mod init;
pub mod keys;
pub mod localnet;
pub mod mechanism;
mod net;
mod parquet_sheet;
pub mod query;
pub mod replay;
mod report;
pub mod role;
mod role_metrics;
pub mod run;
mod screen;
pub mod shell;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod subnet;
mod tables;
pub mod tokens;
pub mod topic;
pub mod trust;
pub mod validator;
pub mod verify;

use std::{
    fs::File,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use dodona_participant::{columns, data, series::Series};

/// A bundled series by name, or a file.
fn load_series(name: &str) -> Result<Series> {
    if let Some(series) = data::bundled(name) {
        return Ok(series);
    }
    let path = Path::new(name);
    let stem = path.file_stem().map_or_else(|| "series".into(), |s| s.to_string_lossy().into_owned());
    if columns::is_parquet(path) {
        let text = columns::read_as_csv(path).with_context(|| format!("cannot use {name}"))?;
        return Series::from_csv(stem, text.as_bytes()).with_context(|| format!("cannot use {name}"));
    }
    let file = File::open(path).with_context(|| {
        let known = data::NAMES.join(", ");
        format!("cannot open `{name}`; name a CSV or Parquet file or one of the bundled series: {known}")
    })?;
    Series::from_csv(stem, file).with_context(|| format!("cannot use {name}"))
}

/// This machine's clock, unix milliseconds.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
