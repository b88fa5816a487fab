//! Epochs of subnets in the published shape: parameters and state read from JSON, and carried from step to step.
#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the verdict")]

use dodona_mechanism::subnet::epoch::{self, EpochInput, EpochOutput, EpochParams};
use dodona_mechanism::subnet::sparse::StoredRow;
use serde_json::Value;

/// A subnet between two epochs.
#[derive(Clone, Debug, Default)]
pub struct Subnet {
    pub params: EpochParams,
    pub block: u64,
    pub last_step: u64,
    pub emission: u64,
    pub stake: Vec<u64>,
    pub permit: Vec<bool>,
    pub last_update: Vec<u64>,
    pub registered: Vec<u64>,
    pub weights: Vec<StoredRow>,
    pub bonds: Vec<StoredRow>,
    pub commits: Option<Vec<Option<u64>>>,
}

impl Subnet {
    /// `n` members without stake or weights, all there since block 0.
    pub fn new(n: usize) -> Subnet {
        Subnet {
            emission: 1_000_000_000,
            stake: vec![0; n],
            permit: vec![false; n],
            last_update: vec![0; n],
            registered: vec![0; n],
            weights: vec![Vec::new(); n],
            bonds: vec![Vec::new(); n],
            ..Subnet::default()
        }
    }

    pub fn of(case: &Value) -> Subnet {
        let (state, p) = (&case["state"], &case["params"]);
        let mut params = EpochParams::default();
        let set = |name: &str, place: &mut dyn FnMut(u64)| {
            if let Some(value) = p[name].as_u64() {
                place(value);
            }
        };
        set("kappa", &mut |v| params.kappa = v as u16);
        set("bonds_penalty", &mut |v| params.bonds_penalty = v as u16);
        set("bonds_ma", &mut |v| params.bonds.moving_average = v as u32);
        set("a_low", &mut |v| params.bonds.alpha.0 = v as u16);
        set("a_high", &mut |v| params.bonds.alpha.1 = v as u16);
        set("max_validators", &mut |v| params.max_validators = v as usize);
        set("stake_threshold", &mut |v| params.stake_threshold = v);
        set("owner", &mut |v| params.owner = Some(v as u16));
        set("activity_cutoff", &mut |v| params.activity_cutoff = v);
        set("tempo", &mut |v| params.tempo = v);
        params.bonds.steepness = p["steep"].as_i64().map_or(params.bonds.steepness, |v| v as i16);
        params.bonds.yuma3 = p["yuma3"].as_bool().unwrap_or(false);
        params.bonds.liquid = p["liquid"].as_bool().unwrap_or(false);
        Subnet {
            params,
            block: 0,
            last_step: 0,
            emission: case["emission"].as_u64().unwrap(),
            stake: numbers(&state["stake"]),
            permit: serde_json::from_value(state["permit"].clone()).unwrap(),
            last_update: numbers(&state["last_update"]),
            registered: numbers(&state["reg"]),
            weights: rows(&state["weights"]),
            bonds: rows(&state["bonds"]),
            commits: serde_json::from_value(state["commit_block"].clone()).unwrap(),
        }
    }

    /// What a step changes before its epoch runs.
    pub fn prepare(&mut self, step: &Value) {
        self.block = step["block"].as_u64().unwrap();
        self.last_step = step["last_step"].as_u64().unwrap_or(0);
        for (uid, value) in entries(&step["set"]["stake"]) {
            self.stake[uid] = value.as_u64().unwrap();
        }
        for (uid, value) in entries(&step["set"]["reg"]) {
            self.registered[uid] = value.as_u64().unwrap();
        }
        for (uid, value) in entries(&step["set"]["last_update"]) {
            self.last_update[uid] = value.as_u64().unwrap();
        }
        for (uid, value) in entries(&step["set"]["permit"]) {
            self.permit[uid] = value.as_bool().unwrap();
        }
        for (uid, value) in entries(&step["set"]["weights"]) {
            self.weights[uid] = row(&value);
        }
        if let Some(column) = step["drop_bond_col"].as_u64() {
            self.bonds.iter_mut().for_each(|row| row.retain(|&(to, _)| u64::from(to) != column));
        }
    }

    pub fn input(&self) -> EpochInput<'_> {
        EpochInput {
            params: &self.params,
            block: self.block,
            last_step: self.last_step,
            emission: self.emission,
            stake: &self.stake,
            permit: &self.permit,
            last_update: &self.last_update,
            registered: &self.registered,
            weights: &self.weights,
            bonds: &self.bonds,
            commits: self.commits.as_deref(),
        }
    }

    /// Runs an epoch and keeps permits and bonds.
    pub fn step(&mut self) -> EpochOutput {
        let out = epoch::run(&self.input()).unwrap();
        self.permit.clone_from(&out.permit);
        self.bonds.clone_from(&out.bonds);
        out
    }
}

/// A map of uid to value, or a list by uid, or nothing.
pub fn entries(value: &Value) -> Vec<(usize, Value)> {
    match value {
        Value::Object(map) => map.iter().map(|(uid, value)| (uid.parse().unwrap(), value.clone())).collect(),
        Value::Array(list) => list.iter().cloned().enumerate().collect(),
        _ => Vec::new(),
    }
}

pub fn numbers(value: &Value) -> Vec<u64> {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn row(value: &Value) -> StoredRow {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn rows(value: &Value) -> Vec<StoredRow> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The stored entry at (from, to), zero when there is none.
pub fn at(rows: &[StoredRow], from: usize, to: usize) -> u16 {
    rows[from].iter().find(|entry| usize::from(entry.0) == to).map_or(0, |entry| entry.1)
}
