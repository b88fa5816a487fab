//! A forecaster of one's own: a Python file or any program, whose function `forecast` is told the recent losses and
//! says the next ones. Each question holds everything, so the process may be started anew between any two.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{MAX_ADDRESS, MAX_MEMBERS};
use crate::adapter::{AdapterError, Callee};

/// Newest scored epochs that are told, and most numbers of them together.
const MAX_EPOCHS: usize = 500;
const MAX_CELLS: usize = 200_000;

/// The function's name.
const FUNCTION: &str = "forecast";

/// A forecaster that is asked by name.
pub struct Called {
    callee: Box<dyn Callee>,
    /// Scored epochs, oldest first, each with the losses by address.
    seen: VecDeque<(u64, BTreeMap<String, f64>)>,
}

impl Called {
    /// Asks this one.
    pub fn new(callee: Box<dyn Callee>) -> Self {
        Self { callee, seen: VecDeque::new() }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        self.callee.name()
    }

    /// Remembers the losses of an epoch.
    pub fn observe(&mut self, epoch: u64, losses: &[(String, f64)]) {
        let told = losses
            .iter()
            .take(MAX_MEMBERS)
            .filter(|(who, loss)| who.len() <= MAX_ADDRESS && loss.is_finite());
        self.seen.push_back((epoch, told.cloned().collect()));
        while self.seen.len() > MAX_EPOCHS {
            self.seen.pop_front();
        }
    }

    /// The expected losses of an epoch, as far as the function says any.
    ///
    /// # Errors
    /// [`AdapterError`]: it failed, hung, or said something that is no loss.
    pub fn predict(
        &mut self,
        topic: u64,
        epoch: u64,
        members: &[String],
    ) -> Result<Vec<(String, f64)>, AdapterError> {
        let rows = self.seen.len().min(MAX_CELLS / members.len().max(1));
        let told = self.seen.iter().skip(self.seen.len() - rows);
        let losses: Vec<Vec<Option<f64>>> =
            told.clone().map(|(_, of)| members.iter().map(|who| of.get(who).copied()).collect()).collect();
        let epochs: Vec<u64> = told.map(|(epoch, _)| *epoch).collect();
        let question = json!({
            "topic": topic, "epoch": epoch, "members": members, "epochs": epochs, "losses": losses,
        });
        said(&self.callee.call(FUNCTION, &[question])?, members)
    }
}

/// What came back: a list in the order of the members, or an object by address; null and absence say nothing.
fn said(answer: &Value, members: &[String]) -> Result<Vec<(String, f64)>, AdapterError> {
    let wrong = |cause: String| AdapterError::Model(format!("`{FUNCTION}` returned {cause}"));
    let pairs: Vec<(&String, &Value)> = match answer {
        Value::Null => Vec::new(),
        Value::Array(list) if list.len() == members.len() => members.iter().zip(list).collect(),
        Value::Array(list) => {
            let (got, wanted) = (list.len(), members.len());
            return Err(wrong(format!("{got} losses for {wanted} members: return one for each, or None")));
        }
        Value::Object(by_name) => {
            if let Some(other) = by_name.keys().find(|who| !members.contains(who)) {
                let other: String = other.chars().take(64).collect();
                return Err(wrong(format!("a loss of `{other}`, which was not asked for")));
            }
            by_name.iter().collect()
        }
        _ => return Err(wrong("neither a list nor a dict of losses".into())),
    };
    let mut losses = Vec::with_capacity(pairs.len());
    for (who, value) in pairs.into_iter().filter(|(_, value)| !value.is_null()) {
        let loss = value.as_f64().filter(|loss| loss.is_finite() && *loss > 0.0);
        losses
            .push((who.clone(), loss.ok_or_else(|| wrong(format!("{value}: a loss is a number above 0")))?));
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with what it was made with, and keeps the question.
    struct Stub(Value, std::sync::Arc<std::sync::Mutex<Value>>);

    impl Callee for Stub {
        fn name(&self) -> &str {
            "stub"
        }

        fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, AdapterError> {
            assert_eq!(name, "forecast");
            *self.1.lock().expect("one thread") = arguments[0].clone();
            Ok(self.0.clone())
        }
    }

    fn ask(answer: Value) -> (Result<Vec<(String, f64)>, AdapterError>, Value) {
        let question = std::sync::Arc::default();
        let mut called = Called::new(Box::new(Stub(answer, std::sync::Arc::clone(&question))));
        called.observe(3, &[("a".into(), 1.5), ("b".into(), 2.0)]);
        called.observe(5, &[("b".into(), 4.0), ("gone".into(), 9.0)]);
        let said = called.predict(1, 6, &["a".into(), "b".into()]);
        let asked = question.lock().expect("one thread").clone();
        (said, asked)
    }

    #[test]
    fn a_function_is_told_the_losses_and_says_the_next_ones() {
        let (said, asked) = ask(json!([0.5, null]));
        assert_eq!(said.unwrap(), [("a".to_string(), 0.5)]);
        let told = json!({
            "topic": 1, "epoch": 6, "members": ["a", "b"], "epochs": [3, 5], "losses": [[1.5, 2.0], [null, 4.0]],
        });
        assert_eq!(asked, told);
        assert_eq!(ask(json!({"b": 2})).0.unwrap(), [("b".to_string(), 2.0)]);
        assert!(ask(Value::Null).0.unwrap().is_empty(), "None is silence");
    }

    #[test]
    fn what_is_no_forecast_is_told_and_never_handed_in() {
        for (answer, cause) in [
            (json!([1.0]), "1 losses for 2 members"),
            (json!([1.0, -2.0]), "above 0"),
            (json!([1.0, "2"]), "above 0"),
            (json!({"c": 1.0}), "`c`"),
            (json!("soon"), "neither a list nor a dict"),
        ] {
            let error = ask(answer).0.unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn a_question_stays_small_however_many_members_and_epochs_there_were() {
        let question = std::sync::Arc::default();
        let mut called = Called::new(Box::new(Stub(Value::Null, std::sync::Arc::clone(&question))));
        let members: Vec<String> = (0..2_000).map(|i| format!("m{i}")).collect();
        for epoch in 0..600 {
            called.observe(epoch, &[(members[0].clone(), 1.0)]);
        }
        called.predict(1, 600, &members).unwrap();
        let asked = question.lock().expect("one thread").clone();
        let rows = asked["losses"].as_array().unwrap();
        assert_eq!(rows.len(), 100, "the newest");
        assert_eq!(asked["epochs"][99], 599);
    }
}
