//! `subnet-epoch`: one epoch of a subnet (subnet specification, 9), in the shape of the published vectors.
//! Not made of columns as the other formulas are: a case with `params`, `state` and `emission` in, lists by uid out.

use super::MechanismError;
use dodona_mechanism::subnet::epoch::{self, EpochInput, EpochOutput, EpochParams, MEMBERS_MAX};
use dodona_mechanism::subnet::fixed::Q32;
use dodona_mechanism::subnet::sparse::StoredRow;
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of the formula.
pub const NAME: &str = "subnet-epoch";

/// Entries of all weights, and of all bonds, at most.
const ENTRIES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Ignored: vectors carry a name, their source and remarks.
    #[serde(default, rename = "id")]
    _id: Value,
    #[serde(default, rename = "src")]
    _src: Value,
    #[serde(default, rename = "note")]
    _note: Value,
    #[serde(default)]
    params: Params,
    state: State,
    emission: u64,
    block: u64,
    #[serde(default)]
    last_step: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Params {
    kappa: Option<u16>,
    bonds_penalty: Option<u16>,
    bonds_ma: Option<u32>,
    yuma3: bool,
    liquid: bool,
    a_low: Option<u16>,
    a_high: Option<u16>,
    steep: Option<i16>,
    max_validators: Option<usize>,
    stake_threshold: Option<u64>,
    owner: Option<u16>,
    activity_cutoff: Option<u64>,
    tempo: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    stake: Vec<u64>,
    permit: Vec<bool>,
    last_update: Vec<u64>,
    reg: Vec<u64>,
    weights: Vec<StoredRow>,
    #[serde(default)]
    bonds: Option<Vec<StoredRow>>,
    #[serde(default)]
    commit_block: Option<Vec<Option<u64>>>,
}

impl Params {
    fn read(&self) -> Result<EpochParams, MechanismError> {
        let mut params = EpochParams::default();
        let set = &mut params;
        set.kappa = self.kappa.unwrap_or(set.kappa);
        set.bonds_penalty = self.bonds_penalty.unwrap_or(set.bonds_penalty);
        set.max_validators = self.max_validators.unwrap_or(set.max_validators);
        set.stake_threshold = self.stake_threshold.unwrap_or(set.stake_threshold);
        set.owner = self.owner;
        set.activity_cutoff = self.activity_cutoff.unwrap_or(set.activity_cutoff);
        set.tempo = self.tempo.unwrap_or(set.tempo);
        let bonds = &mut set.bonds;
        bonds.moving_average = self.bonds_ma.unwrap_or(bonds.moving_average);
        bonds.yuma3 = self.yuma3;
        bonds.liquid = self.liquid;
        bonds.alpha = (self.a_low.unwrap_or(bonds.alpha.0), self.a_high.unwrap_or(bonds.alpha.1));
        bonds.steepness = self.steep.unwrap_or(bonds.steepness);
        let range = |field: &str, value: String, range: &str| MechanismError::Range {
            field: field.into(),
            value,
            range: range.into(),
        };
        if bonds.moving_average > 1_000_000 {
            return Err(range("params.bonds_ma", bonds.moving_average.to_string(), "0 to 1000000"));
        }
        if bonds.alpha.0 > bonds.alpha.1 {
            return Err(range("params.a_low", bonds.alpha.0.to_string(), "at most params.a_high"));
        }
        Ok(params)
    }
}

/// The formula. Errors: as the other formulas, [`MechanismError::Shape`] for JSON that is no such case.
pub fn run(input: Value) -> Result<String, MechanismError> {
    let case: Case =
        serde_json::from_value(input).map_err(|error| MechanismError::Shape { name: NAME, source: error })?;
    let state = &case.state;
    let entries = |rows: &[StoredRow]| rows.iter().map(Vec::len).sum::<usize>();
    let bonds = state.bonds.clone().unwrap_or_else(|| vec![Vec::new(); state.stake.len()]);
    for (field, size, most) in [
        ("state.stake", state.stake.len(), MEMBERS_MAX),
        ("state.weights", entries(&state.weights), ENTRIES_MAX),
        ("state.bonds", entries(&bonds), ENTRIES_MAX),
    ] {
        if size > most {
            let why = format!("at most {most} entries in all");
            return Err(MechanismError::Range { field: field.into(), value: size.to_string(), range: why });
        }
    }
    let input = EpochInput {
        params: &case.params.read()?,
        block: case.block,
        last_step: case.last_step,
        emission: case.emission,
        stake: &state.stake,
        permit: &state.permit,
        last_update: &state.last_update,
        registered: &state.reg,
        weights: &state.weights,
        bonds: &bonds,
        commits: state.commit_block.as_deref(),
    };
    let output = epoch::run(&input).map_err(|source| MechanismError::Formula { name: NAME, source })?;
    Ok(answer(&output))
}

/// One list per line.
fn answer(out: &EpochOutput) -> String {
    let fractions = |values: &[Q32]| values.iter().map(|value| value.to_fraction()).collect::<Vec<_>>();
    let bits = |values: &[Q32]| values.iter().map(|value| value.bits()).collect::<Vec<_>>();
    let lists = [
        ("active", json!(out.active)),
        ("permit", json!(out.permit)),
        ("stake_weight", json!(fractions(&out.stake))),
        ("consensus", json!(fractions(&out.consensus))),
        ("vtrust", json!(fractions(&out.trust))),
        ("incentive", json!(fractions(&out.incentive))),
        ("dividends", json!(fractions(&out.dividends))),
        ("bonds", json!(out.bonds)),
        ("server", json!(out.server)),
        ("validator", json!(out.validator)),
        ("emission", json!(out.emission)),
        ("consensus_q32", json!(bits(&out.consensus))),
        ("incentive_q32", json!(bits(&out.incentive))),
        ("dividends_q32", json!(bits(&out.dividends))),
    ];
    let lines: Vec<String> = lists.iter().map(|(name, list)| format!("  \"{name}\": {list}")).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}
