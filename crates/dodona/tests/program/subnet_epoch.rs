//! `dodona mechanism subnet-epoch` as its user runs it: golden epochs piped through it, and garbage.
//! The vectors lie outside the repository; without them the test says so and returns. Any number of cases will do.

use serde_json::{Value, json};
use std::path::PathBuf;

/// Exit code, standard output, standard error.
fn pipe(input: &[u8]) -> (i32, String, String) {
    crate::kit::fed(&["mechanism", "subnet-epoch"], input)
}

fn answer(input: &Value) -> Value {
    let (code, out, err) = pipe(input.to_string().as_bytes());
    assert_eq!((code, err.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn golden_epochs_come_out_of_the_program_bit_for_bit() {
    let root = std::env::var("DODONA_SHARED").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(root.join("vectors/subnets/epoch_random.json")) else {
        println!("epoch_random.json is not here: nothing compared");
        return;
    };
    let file: Value = serde_json::from_str(&text).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let mut input = case.clone();
        input.as_object_mut().unwrap().remove("steps");
        for step in case["steps"].as_array().unwrap() {
            input["block"] = step["block"].clone();
            input["last_step"] = step["last_step"].clone();
            let answer = answer(&input);
            assert_eq!(answer, step["out"], "{}", case["id"]);
            // An answer is the next epoch's state.
            input["state"]["permit"] = answer["permit"].clone();
            input["state"]["bonds"] = answer["bonds"].clone();
        }
    }
}

#[test]
fn what_is_no_epoch_is_refused_with_a_reason() {
    let whole = json!({
        "params": {"tempo": 10, "yuma3": true},
        "emission": 1000, "block": 20, "last_step": 9,
        "state": {"stake": [5, 0], "permit": [true, false], "last_update": [12, 3], "reg": [1, 1],
                  "weights": [[[1, 65535]], []], "bonds": [[], []]}
    });
    assert_eq!(answer(&whole)["server"], json!([0, 500]));
    let changed = |path: &str, value: Value| {
        let mut input = whole.clone();
        let (place, name) = path.rsplit_once('/').unwrap();
        input.pointer_mut(place).unwrap()[name] = value;
        input.to_string()
    };
    for (input, reason) in [
        (String::new(), "the input is empty"),
        ("[".into(), "not JSON"),
        ("[]".into(), "no case of subnet-epoch"),
        (changed("/state/stake", json!([1])), "expected 1 entries, got 2"),
        (changed("/state/stake", json!([-1, 2])), "no case of subnet-epoch"),
        (changed("/state/weights", json!([[[1, 5], [1, 5]], []])), "a weight row is not sorted"),
        (changed("/state/weights", json!([[[1, 70000]], []])), "no case of subnet-epoch"),
        (changed("/params/kapa", json!(1)), "unknown field `kapa`"),
        (changed("/params/bonds_ma", json!(2_000_000)), "params.bonds_ma: 2000000 is out of range"),
        (changed("/params/a_low", json!(65535)), "at most params.a_high"),
        (changed("/block", json!(null)), "no case of subnet-epoch"),
        (changed("/emission", json!(1.5)), "no case of subnet-epoch"),
    ] {
        let (code, out, err) = pipe(input.as_bytes());
        assert_eq!((code, out.as_str()), (2, ""), "{input}: {err}");
        assert!(
            err.starts_with("error: ") && err.contains(reason) && !err.contains("panicked"),
            "{input}: {err}"
        );
    }
}
