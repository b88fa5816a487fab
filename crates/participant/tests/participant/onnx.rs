//! Models in ONNX files, as scikit-learn and LightGBM export them (tests/onnx/make.py), answer as they did where they
//! were trained; files that are none, or that lie about themselves, are errors.

use std::{collections::BTreeMap, fs, path::PathBuf};

use dodona_participant::{
    adapter::{Adapter, AdapterError, Answer, Context, Limits, Onnx, open},
    series::Point,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Known {
    last: Vec<f64>,
    answers: BTreeMap<String, Vec<f64>>,
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

fn known() -> Known {
    serde_json::from_slice(&fs::read(file("expected.json")).unwrap()).unwrap()
}

fn history(values: &[f64]) -> Vec<Point> {
    values.iter().enumerate().map(|(time, value)| Point { time: time as i64, value: *value }).collect()
}

fn context<'a>(history: &'a [Point], labels: &'a [String]) -> Context<'a> {
    Context { topic: 1, epoch: 1, nonce: 1, target: "x", unit: "", labels, ahead: 1, history }
}

#[test]
fn models_answer_as_they_did_where_they_were_trained() {
    let Known { last, answers } = known();
    assert_eq!(answers.len(), 8);
    // What lies further back than the model looks makes no difference.
    let known = history(&[vec![-1e9; 30], last].concat());
    for (name, expected) in answers {
        let path = file(&format!("{name}.onnx"));
        let mut model = open(path.to_str().unwrap(), "python3", (0, 0), Limits::default()).unwrap();
        let labels: Vec<String> = match expected.len() {
            1 => Vec::new(),
            count => (0..count).map(|label| format!("class {label}")).collect(),
        };
        let near = |value: f64, expected: f64| {
            let error = (value - expected).abs();
            assert!(error < 1e-4 * expected.abs().max(1.0), "{name}: {value}, not {expected}");
        };
        match model.predict(&context(&known, &labels)).unwrap() {
            Answer::Value(value) => near(value, expected[0]),
            Answer::Labels(values) => {
                assert_eq!(values.len(), expected.len(), "{name}");
                for ((label, value), (own, expected)) in values.iter().zip(labels.iter().zip(expected)) {
                    assert_eq!(label, own);
                    near(*value, expected);
                }
            }
            Answer::Silent(why) => panic!("{name} says nothing: {why}"),
        }
    }
}

#[test]
fn too_little_history_is_silence_and_the_wrong_number_of_labels_an_error() {
    let values = history(&known().last);
    let mut model = Onnx::new(&file("ridge.onnx")).unwrap();
    let silent = model.predict(&context(&values[1..], &[])).unwrap();
    assert_eq!(silent, Answer::Silent("5 observations are known, the model wants 6".into()));
    let labels = ["down".to_string(), "up".to_string()];
    let error = model.predict(&context(&values, &labels)).unwrap_err();
    assert!(error.to_string().contains("wanted is an output of 2 numbers"), "{error}");
    let mut classes = Onnx::new(&file("forest_classes.onnx")).unwrap();
    assert!(classes.predict(&context(&values, &[])).is_err());
}

#[test]
fn what_is_no_number_is_refused() {
    let values = history(&[f64::NAN; 6]);
    let mut model = Onnx::new(&file("ridge.onnx")).unwrap();
    let error = model.predict(&context(&values, &[])).unwrap_err();
    assert!(matches!(error, AdapterError::NotFinite(_)), "{error}");
    // Trees know what to do with what is missing.
    let mut trees = Onnx::new(&file("lightgbm.onnx")).unwrap();
    assert!(matches!(trees.predict(&context(&values, &[])), Ok(Answer::Value(_))));
}

#[test]
fn broken_files_are_errors_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.onnx");
    let values = history(&known().last);
    assert!(matches!(Onnx::new(&path), Err(AdapterError::Start { .. })));
    fs::write(&path, "no model").unwrap();
    assert!(Onnx::new(&path).is_err());
    for name in ["ridge", "forest", "lightgbm_classes", "network"] {
        let whole = fs::read(file(&format!("{name}.onnx"))).unwrap();
        // Cut anywhere, and one byte changed anywhere: an error, or a model that still answers or errs.
        for place in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..place]).unwrap();
            let _ = Onnx::new(&path);
            let mut changed = whole.clone();
            changed[place] ^= 0x15;
            fs::write(&path, &changed).unwrap();
            if let Ok(mut model) = Onnx::new(&path) {
                let _ = model.predict(&context(&values, &[]));
            }
        }
    }
}
