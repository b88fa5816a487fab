//! The protocol: one JSON object per question, one per answer. Told to people in docs/adapters.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AdapterError, Answer, Context, MAX_LABELS, finite};
use crate::series::Point;

/// Bytes of a wrong answer that are shown.
const SHOWN: usize = 80;

/// A question.
#[derive(Serialize)]
struct Question<'a> {
    dodona: u32,
    id: u64,
    topic: u64,
    epoch: u64,
    nonce: u64,
    target: &'a str,
    unit: &'a str,
    labels: &'a [String],
    ahead: usize,
    history: History,
}

/// Observations from number `from` on; what came before was told before, or is not told.
#[derive(Serialize)]
struct History {
    from: usize,
    points: Vec<(i64, f64)>,
}

/// An answer: exactly one of the four.
#[derive(Deserialize)]
struct Reply {
    id: Option<u64>,
    value: Option<f64>,
    values: Option<BTreeMap<String, f64>>,
    silent: Option<String>,
    error: Option<String>,
}

/// A call of a function by name.
#[derive(Serialize)]
struct Call<'a> {
    dodona: u32,
    id: u64,
    call: &'a str,
    arguments: &'a [serde_json::Value],
}

/// What a function returned, or why it did not.
#[derive(Deserialize)]
struct Returned {
    id: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    result: Option<serde_json::Value>,
    error: Option<String>,
}

/// A value that is there, even if it is null.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

/// A call as one line without its end.
pub(super) fn call(id: u64, name: &str, arguments: &[serde_json::Value]) -> String {
    // Values always have a JSON form.
    serde_json::to_string(&Call { dodona: 1, id, call: name, arguments }).unwrap_or_default()
}

/// A line that is no reply.
fn refused(bytes: &[u8], cause: String) -> AdapterError {
    let begin: String = String::from_utf8_lossy(bytes).chars().take(SHOWN).collect();
    AdapterError::Protocol { cause, begin }
}

/// Whether a reply is to an earlier question than `id`; its number may be left out.
fn is_late(id: u64, reply: Option<u64>) -> Result<bool, String> {
    match reply {
        Some(other) if other > id => Err(format!("question {other} was never put")),
        other => Ok(other.is_some_and(|other| other < id)),
    }
}

/// What call `id` returned; `None` for an earlier one.
pub(super) fn returned(id: u64, bytes: &[u8]) -> Result<Option<serde_json::Value>, AdapterError> {
    let refuse = |cause: String| refused(bytes, cause);
    let reply: Returned = serde_json::from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
    if is_late(id, reply.id).map_err(refuse)? {
        return Ok(None);
    }
    match (reply.result, reply.error) {
        (Some(value), None) => Ok(Some(value)),
        (None, Some(why)) => Err(AdapterError::Model(why)),
        _ => Err(refuse("say exactly one of result, error".into())),
    }
}

/// A question as one line without its end, with the observations from number `from` on.
pub(super) fn question(id: u64, context: &Context<'_>, from: usize) -> String {
    let pair = |point: &Point| (point.time, point.value);
    let points = context.history.get(from..).unwrap_or_default().iter().map(pair).collect();
    let question = Question {
        dodona: 1,
        id,
        topic: context.topic,
        epoch: context.epoch,
        nonce: context.nonce,
        target: context.target,
        unit: context.unit,
        labels: context.labels,
        ahead: context.ahead,
        history: History { from, points },
    };
    // Texts and finite numbers always have a JSON form.
    serde_json::to_string(&question).unwrap_or_default()
}

/// The answer to question `id`; `None` for one to an earlier question.
pub(super) fn answer(id: u64, bytes: &[u8]) -> Result<Option<Answer>, AdapterError> {
    let refuse = |cause: String| refused(bytes, cause);
    let reply: Reply = serde_json::from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
    if is_late(id, reply.id).map_err(refuse)? {
        return Ok(None);
    }
    match (reply.value, reply.values, reply.silent, reply.error) {
        (Some(value), None, None, None) => Ok(Some(Answer::Value(finite("the answer", value)?))),
        (None, Some(values), None, None) => {
            if values.is_empty() || values.len() > MAX_LABELS {
                return Err(refuse(format!("{} labels; say 1 to {MAX_LABELS}", values.len())));
            }
            let checked = values.into_iter().map(|(label, v)| Ok((label.clone(), finite(&label, v)?)));
            Ok(Some(Answer::Labels(checked.collect::<Result<_, AdapterError>>()?)))
        }
        (None, None, Some(why), None) => Ok(Some(Answer::Silent(why))),
        (None, None, None, Some(why)) => Err(AdapterError::Model(why)),
        _ => Err(refuse("say exactly one of value, values, silent, error".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_exactly_one_of_four_and_finite() {
        let read = |text: &str| answer(3, text.as_bytes());
        assert_eq!(read(r#"{"id":3,"value":1.5}"#).unwrap(), Some(Answer::Value(1.5)));
        assert_eq!(read(r#"{"value":1.5}"#).unwrap(), Some(Answer::Value(1.5)), "the number may be left out");
        assert_eq!(read(r#"{"id":2,"value":1.5}"#).unwrap(), None, "a late answer is not this one's");
        let labels = read(r#"{"id":3,"values":{"up":0.25,"down":0.75}}"#).unwrap();
        assert_eq!(labels, Some(Answer::Labels(vec![("down".into(), 0.75), ("up".into(), 0.25)])));
        assert!(
            matches!(read(r#"{"id":3,"error":"no data"}"#), Err(AdapterError::Model(why)) if why == "no data")
        );
        for wrong in [
            "",
            "7",
            "nonsense",
            "[]",
            "{}",
            r#"{"id":3}"#,
            r#"{"id":4,"value":1}"#,
            r#"{"value":NaN}"#,
            r#"{"value":1e999}"#,
            r#"{"value":1,"error":"x"}"#,
            r#"{"values":{}}"#,
            r#"{"value":"1"}"#,
        ] {
            assert!(matches!(read(wrong), Err(AdapterError::Protocol { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_call_returns_anything_with_a_json_form_and_nothing_else_passes() {
        assert_eq!(
            call(3, "answer", &[serde_json::json!({"a": 1})]),
            r#"{"dodona":1,"id":3,"call":"answer","arguments":[{"a":1}]}"#
        );
        let read = |text: &str| returned(3, text.as_bytes());
        assert_eq!(read(r#"{"id":3,"result":null}"#).unwrap(), Some(serde_json::Value::Null));
        assert_eq!(read(r#"{"id":2,"result":1}"#).unwrap(), None, "an earlier one");
        assert!(matches!(read(r#"{"id":3,"error":"x"}"#), Err(AdapterError::Model(_))));
        for wrong in [
            "",
            "[]",
            r#"{"id":4,"result":1}"#,
            r#"{"id":3}"#,
            r#"{"id":3,"result":NaN}"#,
            r#"{"id":3,"result":1,"error":"x"}"#,
        ] {
            assert!(matches!(read(wrong), Err(AdapterError::Protocol { .. })), "{wrong}");
        }
    }
}
