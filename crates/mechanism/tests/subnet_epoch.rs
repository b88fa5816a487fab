//! The subnets' epoch against the published vectors: golden epochs bit for bit, named scenarios, large graphs.
//! The vectors lie outside the repository; without them a test says so and returns. Any number of cases will do.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod common;
#[path = "common/subnet.rs"]
mod subnet;

use common::subnet_cases;
use dodona_mechanism::subnet::epoch::EpochOutput;
use dodona_mechanism::subnet::fixed::Q32;
use serde_json::Value;
use subnet::{Subnet, at, entries, numbers, rows};

fn fractions(values: &[Q32]) -> Vec<u64> {
    values.iter().map(|value| u64::from(value.to_fraction())).collect()
}

fn bits(values: &[Q32]) -> Vec<i64> {
    values.iter().map(|value| value.bits()).collect()
}

fn float(value: Q32) -> f64 {
    value.bits() as f64 / 4_294_967_296.0
}

#[test]
fn golden_epochs_are_reproduced_bit_for_bit() {
    let Some(cases) = subnet_cases("epoch_random.json") else { return };
    let mut epochs = 0;
    for case in &cases {
        let mut subnet = Subnet::of(case);
        for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            subnet.prepare(step);
            let (out, golden) = (subnet.step(), &step["out"]);
            let name = |what: &str| format!("{what} of {} step {index}", case["id"]);
            let raw = |what: &str| serde_json::from_value::<Vec<i64>>(golden[what].clone()).unwrap();
            let flags = |what: &str| serde_json::from_value::<Vec<bool>>(golden[what].clone()).unwrap();
            assert_eq!(out.active, flags("active"), "{}", name("active"));
            assert_eq!(out.permit, flags("permit"), "{}", name("permit"));
            assert_eq!(fractions(&out.stake), numbers(&golden["stake_weight"]), "{}", name("stake weight"));
            assert_eq!(bits(&out.consensus), raw("consensus_q32"), "{}", name("consensus"));
            assert_eq!(fractions(&out.consensus), numbers(&golden["consensus"]), "{}", name("consensus"));
            assert_eq!(fractions(&out.trust), numbers(&golden["vtrust"]), "{}", name("trust"));
            assert_eq!(bits(&out.incentive), raw("incentive_q32"), "{}", name("incentive"));
            assert_eq!(fractions(&out.incentive), numbers(&golden["incentive"]), "{}", name("incentive"));
            assert_eq!(bits(&out.dividends), raw("dividends_q32"), "{}", name("dividends"));
            assert_eq!(fractions(&out.dividends), numbers(&golden["dividends"]), "{}", name("dividends"));
            assert_eq!(out.bonds, rows(&golden["bonds"]), "{}", name("bonds"));
            assert_eq!(out.server, numbers(&golden["server"]), "{}", name("server"));
            assert_eq!(out.validator, numbers(&golden["validator"]), "{}", name("validator"));
            assert_eq!(out.emission, numbers(&golden["emission"]), "{}", name("emission"));
            epochs += 1;
        }
    }
    println!("{epochs} golden epochs");
}

#[test]
fn named_scenarios_and_sequences_of_bonds_come_out_as_published() {
    let (Some(named), Some(yuma3)) = (subnet_cases("epoch.json"), subnet_cases("yuma3.json")) else { return };
    let mut compared = 0;
    for case in named.iter().chain(&yuma3) {
        let mut subnet = Subnet::of(case);
        let first = case["bond_first_col"].as_u64().unwrap_or(0) as usize;
        for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            subnet.prepare(step);
            let before = subnet.clone();
            let out = subnet.step();
            let judge =
                Judge { name: format!("{} step {index}", case["id"]), expect: &step["expect"], first };
            compared += judge.all(&before, &out);
        }
    }
    println!("{compared} values of {} scenarios", named.len() + yuma3.len());
}

struct Judge<'a> {
    name: String,
    expect: &'a Value,
    first: usize,
}

impl Judge<'_> {
    fn near(&self, what: &str, actual: f64, expected: &Value, tolerance: &str, default: f64) {
        let tolerance = self.expect[tolerance].as_f64().unwrap_or(default);
        let expected = expected.as_f64().unwrap();
        assert!((actual - expected).abs() <= tolerance, "{what} of {}: {actual}, not {expected}", self.name);
    }

    /// Compares everything that is expected; answers how much it was. An expectation it does not know is an error.
    fn all(&self, before: &Subnet, out: &EpochOutput) -> usize {
        let mut count = 0;
        for (key, expected) in self.expect.as_object().unwrap() {
            let key = key.as_str();
            let fraction = |values: &[Q32], uid: usize| f64::from(values[uid].to_fraction());
            // Two expectations are by name or by pair; they follow below.
            let by_uid = if matches!(key, "bonds" | "real") { Vec::new() } else { entries(expected) };
            for (uid, value) in by_uid {
                let near = |actual, tolerance, default| self.near(key, actual, &value, tolerance, default);
                match key {
                    "incentive" => near(fraction(&out.incentive, uid), "tol_u16", 0.0),
                    "dividends" => near(fraction(&out.dividends, uid), "tol_u16", 0.0),
                    "consensus" => near(fraction(&out.consensus, uid), "tol_u16", 0.0),
                    "emission" => near(out.emission[uid] as f64, "tol_rao", 0.0),
                    "server" => near(out.server[uid] as f64, "tol_rao", 0.0),
                    "validator" => near(out.validator[uid] as f64, "tol_rao", 0.0),
                    "permit" => {
                        assert_eq!(out.permit[uid], value.as_bool().unwrap(), "permit of {}", self.name)
                    }
                    "bonds_rows" => assert_eq!(out.bonds[uid], subnet::row(&value), "bonds of {}", self.name),
                    "dividends_frac" => {
                        near(fraction(&out.dividends, uid) / 65535.0, "tol_frac", 0.0);
                    }
                    "bonds_frac" => {
                        for (column, bond) in entries(&value) {
                            let actual = f64::from(at(&out.bonds, uid, self.first + column)) / 65535.0;
                            self.near(key, actual, &bond, "tol_frac", 0.0);
                            count += 1;
                        }
                    }
                    "server_positive" => assert!(out.server[value.as_u64().unwrap() as usize] > 0),
                    "incentive_positive" => {
                        assert!(out.incentive[value.as_u64().unwrap() as usize] > Q32::ZERO);
                    }
                    "bonds_positive" | "bonds_not_below_previous" | "bonds_not_above_previous" => {
                        let (from, to) = pair(value.as_str().unwrap());
                        let (old, new) = (at(&before.bonds, from, to), at(&out.bonds, from, to));
                        let holds = match key {
                            "bonds_positive" => new > 0,
                            "bonds_not_below_previous" => new >= old,
                            _ => new <= old,
                        };
                        assert!(holds, "{key} of {}: {old} to {new}", self.name);
                    }
                    _ => continue,
                }
                count += 1;
            }
            match key {
                "bonds" => {
                    for (place, bond) in expected.as_object().unwrap() {
                        let (from, to) = pair(place);
                        self.near(key, f64::from(at(&out.bonds, from, to)), bond, "tol_u16", 0.0);
                        count += 1;
                    }
                }
                "real" => count += self.reals(expected, out),
                "server_equal" => {
                    let uids = numbers(expected);
                    assert!(uids.iter().all(|&uid| out.server[uid as usize] == out.server[uids[0] as usize]));
                }
                "total_paid" => {
                    let paid: u64 = out.server.iter().chain(&out.validator).sum();
                    self.near(key, paid as f64, expected, "tol_total", 0.0);
                }
                _ => {}
            }
        }
        count
    }

    fn reals(&self, expected: &Value, out: &EpochOutput) -> usize {
        let mut count = 0;
        for (name, values) in expected.as_object().unwrap() {
            for (uid, value) in entries(values) {
                let actual = match (name.as_str(), name.strip_prefix("W_row")) {
                    ("S", _) => out.stake[uid],
                    ("A", _) => out.active_stake[uid],
                    ("C", _) => out.consensus[uid],
                    ("I", _) => out.incentive[uid],
                    ("D", _) => out.dividends[uid],
                    ("Tv", _) => out.trust[uid],
                    (_, Some(row)) => {
                        let row = &out.weights[row.parse::<usize>().unwrap()];
                        row.iter()
                            .find(|entry| usize::from(entry.0) == uid)
                            .map_or(Q32::ZERO, |entry| entry.1)
                    }
                    _ => panic!("{name} is not known here"),
                };
                self.near(name, float(actual), &value, "tol_real", 2e-9);
                count += 1;
            }
        }
        count
    }
}

fn pair(text: &str) -> (usize, usize) {
    let (from, to) = text.split_once(',').unwrap();
    (from.parse().unwrap(), to.parse().unwrap())
}

/// Validators first, with equal stake and an equal weight for every miner.
fn blockwise(n: usize, validators: usize, stake: u64, weight: u16) -> Subnet {
    let mut subnet = Subnet::new(n);
    subnet.params.max_validators = validators;
    let row: Vec<(u16, u16)> = (validators..n).map(|uid| (uid as u16, weight)).collect();
    for uid in 0..validators {
        subnet.stake[uid] = stake;
        subnet.permit[uid] = true;
        subnet.last_update[uid] = 1;
        subnet.weights[uid].clone_from(&row);
    }
    subnet.block = 1;
    subnet.params.tempo = 1;
    subnet
}

#[test]
fn graphs_with_thousands_of_members_have_their_closed_form() {
    let Some(cases) = subnet_cases("epoch_large.json") else { return };
    for case in &cases {
        let size = |name: &str| case[name].as_u64().unwrap();
        let (n, validators) = (size("n") as usize, size("validators") as usize);
        let mut subnet = blockwise(n, validators, size("stake_per_validator"), size("weight") as u16);
        let expect = &case["expect"];
        for _ in 0..size("epochs") {
            let out = subnet.step();
            for (uid, part) in
                [(0, "validator"), (validators - 1, "validator"), (validators, "server"), (n - 1, "server")]
            {
                for (what, value) in expect[part].as_object().unwrap() {
                    let (actual, tolerance) = match what.as_str() {
                        "consensus" => (u64::from(out.consensus[uid].to_fraction()), 0),
                        "incentive" => (u64::from(out.incentive[uid].to_fraction()), 0),
                        "dividends" => (u64::from(out.dividends[uid].to_fraction()), 0),
                        _ => (out.emission[uid], case["tol_rao"].as_u64().unwrap()),
                    };
                    let expected = value.as_u64().unwrap();
                    assert!(
                        actual.abs_diff(expected) <= tolerance,
                        "{what} of {}: {actual}, not {expected}",
                        case["id"]
                    );
                }
            }
            if let Some(bond) = expect["bond_on_server"].as_u64() {
                assert_eq!(u64::from(at(&out.bonds, 0, n - 1)), bond);
                assert_eq!(u64::from(at(&out.bonds, 0, 0)), expect["bond_on_validator"].as_u64().unwrap());
            }
        }
    }
}

/// Two camps that weigh their own miners and a little the other's, at the edge of what a majority can take: it keeps
/// at least its share of the stake, and so does the minority that plays along. The published ratios come from another
/// generator, so that ours, the mean of a few graphs, agrees within the file's tolerance.
#[test]
fn camps_at_the_boundary_get_what_was_published() {
    const GRAPHS: u64 = 4;
    let Some(cases) = subnet_cases("consensus_sweep.json") else { return };
    for case in &cases {
        let number = |name: &str| case[name].as_f64().unwrap();
        let ratio = (0..GRAPHS).map(|seed| camps(case, seed)).sum::<f64>() / GRAPHS as f64;
        let (published, tolerance) = (number("reference_ratio"), number("tol"));
        assert!((ratio - published).abs() <= tolerance, "{case}: {ratio}");
        assert!(ratio + tolerance >= number("major_stake"), "{case}: {ratio}");
    }
}

/// The majority's part of one epoch's emission in a random graph of 64 validators and 448 miners.
fn camps(case: &Value, seed: u64) -> f64 {
    let number = |name: &str| case[name].as_f64().unwrap();
    let (major, deviation) = (number("major_stake"), number("weight_stddev"));
    let mut state = seed + 1;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let (validators, miners) = (64usize, 448usize);
    let (major_validators, major_miners) =
        ((validators as f64 * major) as usize, (miners as f64 * major) as usize);
    let mut subnet = blockwise(validators + miners, validators, 1, 1);
    subnet.params.bonds_penalty = number("bonds_penalty") as u16;
    for uid in 0..validators {
        let (part, of) = match uid < major_validators {
            true => (major, major_validators),
            false => (1.0 - major, validators - major_validators),
        };
        subnet.stake[uid] = (part / of as f64 * 2.1e16) as u64;
        let own = number(if uid < major_validators { "major_weight" } else { "minor_weight" });
        let to_major = if uid < major_validators { own } else { 1.0 - own };
        // A sum of twelve is as good as normal.
        let mut draw = || (1.0 + deviation * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)).max(0.0);
        let drawn: Vec<f64> = (0..miners).map(|_| draw()).collect();
        let (ours, theirs) = drawn.split_at(major_miners);
        let (ours_sum, theirs_sum): (f64, f64) = (ours.iter().sum(), theirs.iter().sum());
        let weights: Vec<f64> = ours
            .iter()
            .map(|weight| weight / ours_sum * to_major)
            .chain(theirs.iter().map(|weight| weight / theirs_sum * (1.0 - to_major)))
            .collect();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let entries = weights.iter().zip(validators as u16..);
        let stored = entries.map(|(weight, uid)| (uid, (weight / largest * 65_535.0) as u16));
        subnet.weights[uid] = stored.filter(|(_, weight)| *weight > 0).collect();
    }
    let out = subnet.step();
    let of_major = |uid: usize| match uid < validators {
        true => uid < major_validators,
        false => uid - validators < major_miners,
    };
    let part = |wanted: &dyn Fn(usize) -> bool| -> u64 {
        out.emission.iter().enumerate().filter(|(uid, _)| wanted(*uid)).map(|(_, emission)| emission).sum()
    };
    part(&of_major) as f64 / part(&|_| true) as f64
}
