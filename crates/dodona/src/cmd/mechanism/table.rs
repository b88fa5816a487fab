//! Columns: how names with indices are read, written and spelled as arrays; the request and the answer made of them.
//! A column pattern is a name with `#` for each index, as in `forecasted_loss_#_for_#`.

use super::params::Params;
use super::{MEMBERS_MAX, MechanismError};
use dodona_mechanism::{MathError, Real};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The columns an array of numbers stands for.
struct Array {
    name: &'static str,
    /// The columns of an array of numbers; empty where there is none.
    flat: &'static str,
    /// The columns of an array of arrays; empty where there is none.
    deep: &'static str,
    /// Whether the outer array of `deep` runs over the last index.
    turned: bool,
}

const fn flat(name: &'static str, flat: &'static str) -> Array {
    Array { name, flat, deep: "", turned: false }
}

const fn turned(name: &'static str, flat: &'static str, deep: &'static str) -> Array {
    Array { name, flat, deep, turned: true }
}

const fn deep(name: &'static str, flat: &'static str, deep: &'static str) -> Array {
    Array { name, flat, deep, turned: false }
}

/// Arrays that may stand for columns.
const ARRAYS: [Array; 18] = [
    turned("inferences", "inference_#", "inference_#_label_#"),
    deep("forecasted_losses", "", "forecasted_loss_#_for_#"),
    flat("regrets", "inference_regret_worker_#"),
    flat("naive_regrets", "naive_inference_regret_worker_#"),
    turned("one_out_regrets", "", "inference_regret_worker_#_oneout_#"),
    turned("one_in_regrets", "", "inference_regret_worker_#_onein_#"),
    flat("inferer_inclusions", "inferer_inclusions_#"),
    flat("forecaster_inclusions", "forecaster_inclusions_#"),
    flat("stakes", "reputer_stake_#"),
    flat("coefficients", "reputer_listening_coefficient_#"),
    deep("truths", "reputer_#_truth", "reputer_#_truth_label_#"),
    flat("inferer_weights", "inferer_weight_#"),
    flat("forecaster_weights", "forecaster_weight_#"),
    flat("inferer_scores", "inferer_score_#"),
    flat("forecaster_scores", "forecaster_score_#"),
    flat("reputer_scores", "reputer_score_#"),
    flat("averages", "#_prev_quality_ema"),
    flat("metrics", "#_quality_metric"),
];

/// Arrays of what an epoch starts from: formulas read them in `previous` only.
const MEMORY: [&str; 7] = [
    "regrets",
    "naive_regrets",
    "one_out_regrets",
    "one_in_regrets",
    "inferer_inclusions",
    "forecaster_inclusions",
    "coefficients",
];

/// Arrays and objects that formulas read as they are.
const OTHERS: [&str; 5] =
    ["states", "forecaster_states", "topic", "inferer_score_history", "forecaster_score_history"];

/// The fields of a structured set of losses, with the columns of the network's and of a reputer's.
const LOSS_FIELDS: [(&str, &str, &str); 7] = [
    ("network", "network_loss", "reputer_#_loss_network_inference"),
    ("naive", "network_naive_loss", "reputer_#_loss_naive_network_inference"),
    ("inferers", "inference_loss_#", "reputer_#_loss_inference_#"),
    ("forecasters", "forecast_implied_inference_loss_#", "reputer_#_loss_forecast_implied_inference_#"),
    ("one_out", "network_loss_oneout_#", "reputer_#_loss_network_inference_oneout_#"),
    ("one_in", "network_naive_loss_onein_#", "reputer_#_loss_naive_network_inference_onein_#"),
    (
        "forecasters_one_out",
        "forecast_implied_inference_loss_#_oneout_#",
        "reputer_#_loss_forecast_implied_inference_#_oneout_#",
    ),
];

/// A pattern with its indices filled in.
pub fn fill(pattern: &str, indices: &[usize]) -> String {
    let mut name = String::with_capacity(pattern.len() + 4 * indices.len());
    let mut indices = indices.iter();
    for character in pattern.chars() {
        match (character, indices.as_slice().first()) {
            ('#', Some(index)) => {
                name.push_str(&index.to_string());
                indices.next();
            }
            _ => name.push(character),
        }
    }
    name
}

/// The indices of a name that has the form of the pattern. An index no integer can hold reads as the largest one.
pub fn matches(pattern: &str, name: &str) -> Option<Vec<usize>> {
    let mut pieces = pattern.split('#');
    let mut rest = name.strip_prefix(pieces.next()?)?;
    let mut indices = Vec::new();
    for piece in pieces {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if digits == 0 || (digits > 1 && number.starts_with('0')) {
            return None;
        }
        indices.push(number.parse().unwrap_or(usize::MAX));
        rest = after.strip_prefix(piece)?;
    }
    rest.is_empty().then_some(indices)
}

/// A text short enough for an error message.
pub fn shown(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What stands somewhere, for an error message.
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {}", shown(&number.to_string())),
        Value::String(text) => format!("the text `{}`", shown(text)),
        Value::Array(entries) => format!("an array of {}", entries.len()),
        Value::Object(_) => "an object".into(),
    }
}

/// The error of a value of another type.
pub fn wrong(field: impl Into<String>, expected: impl Into<String>, value: &Value) -> MechanismError {
    MechanismError::Type { field: field.into(), expected: expected.into(), found: found(value) }
}

/// A number, written as one or as decimal text; none for null and for an empty text (an empty cell of a table).
pub fn number(field: &str, value: &Value) -> Result<Option<Real>, MechanismError> {
    let refuse = |error: MathError| MechanismError::Type {
        field: field.to_owned(),
        expected: "a finite number, or an empty cell for none".into(),
        found: format!("{} ({error})", found(value)),
    };
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(refuse),
        Value::Number(number) => {
            let double = number.as_f64().ok_or(MathError::TooLarge);
            double.and_then(Real::new).map(Some).map_err(refuse)
        }
        _ => Err(wrong(field, "a number", value)),
    }
}

/// A whole number from 0 on; none as for [`number`].
pub fn count(field: &str, value: &Value) -> Result<Option<u32>, MechanismError> {
    let Some(real) = number(field, value)? else { return Ok(None) };
    let whole = real.get().fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&real.get());
    if whole { Ok(Some(real.get() as u32)) } else { Err(wrong(field, "a whole number from 0 on", value)) }
}

/// What was piped in: parameters, the row before, the row.
pub struct Request {
    /// Which formula.
    pub name: &'static str,
    /// `params`.
    pub params: Params,
    /// `previous`, arrays spelled out.
    pub previous: Row,
    /// `row` and every field beside it, arrays spelled out.
    pub row: Row,
}

impl Request {
    /// Sorts the fields of the input. Errors: other types than objects, values given twice.
    pub fn read(name: &'static str, input: Value) -> Result<Request, MechanismError> {
        let mut beside = object("the input", input)?;
        let mut part = |field: &str| object(field, beside.remove(field).unwrap_or(Value::Null));
        let (params, previous, row) = (part("params")?, part("previous")?, part("row")?);
        let mut cells = spell_out("", row)?;
        for (column, value) in spell_out("", beside)? {
            put(&mut cells, column, value)?;
        }
        Ok(Request {
            name,
            params: Params::new(params),
            previous: Row { place: "previous.", cells: spell_out("previous.", previous)? },
            row: Row { place: "", cells },
        })
    }

    /// The error of a formula that refuses the numbers.
    pub fn refusal(&self) -> impl Fn(MathError) -> MechanismError + use<> {
        let name = self.name;
        move |source| MechanismError::Formula { name, source }
    }
}

fn object(field: &str, value: Value) -> Result<Map<String, Value>, MechanismError> {
    match value {
        Value::Object(object) => Ok(object),
        // An absent part.
        Value::Null if field != "the input" => Ok(Map::new()),
        other => Err(wrong(field, "an object", &other)),
    }
}

fn put(cells: &mut Map<String, Value>, column: String, value: Value) -> Result<(), MechanismError> {
    if cells.contains_key(&column) {
        return Err(MechanismError::Twice { field: column });
    }
    cells.insert(column, value);
    Ok(())
}

/// Cells with every array of [`ARRAYS`], and every structured set of losses, spelled out as columns.
fn spell_out(place: &str, fields: Map<String, Value>) -> Result<Map<String, Value>, MechanismError> {
    let mut cells = Map::new();
    for (name, value) in fields {
        let field = format!("{place}{name}");
        if place.is_empty() && MEMORY.contains(&name.as_str()) {
            return Err(MechanismError::Misplaced { field });
        } else if let Some(array) = ARRAYS.iter().find(|array| array.name == name) {
            let nested = value.as_array().is_some_and(|all| all.iter().any(Value::is_array));
            let deep = array.flat.is_empty() || (nested && !array.deep.is_empty());
            let pattern = if deep { array.deep } else { array.flat };
            spread(&field, pattern, deep && array.turned, &value, &mut Vec::new(), &mut cells)?;
        } else if name == "losses" {
            spread_losses(&field, None, value, &mut cells)?;
        } else if name == "reports" {
            let Value::Array(reports) = value else {
                return Err(wrong(field, "an array of objects", &value));
            };
            for (m, report) in reports.into_iter().enumerate() {
                spread_losses(&entry(&field, m)?, Some(m), report, &mut cells)?;
            }
        } else if (value.is_array() || value.is_object()) && !OTHERS.contains(&name.as_str()) {
            let known: Vec<&str> = ARRAYS.iter().map(|array| array.name).chain(OTHERS).collect();
            let known = format!("losses, reports, {}", known.join(", "));
            return Err(MechanismError::UnknownArray { field: shown(&field), known });
        } else {
            put(&mut cells, name, value)?;
        }
    }
    Ok(cells)
}

fn spread_losses(
    field: &str,
    reputer: Option<usize>,
    losses: Value,
    cells: &mut Map<String, Value>,
) -> Result<(), MechanismError> {
    for (name, value) in object(field, losses)? {
        let field = format!("{field}.{name}");
        let known = LOSS_FIELDS.iter().find(|(known, _, _)| *known == name);
        let (pattern, mut indices) = match (known, reputer) {
            (Some((_, own, _)), None) => (*own, vec![]),
            (Some((_, _, reported)), Some(m)) => (*reported, vec![m]),
            (None, Some(m)) if name == "stake" => ("reputer_stake_#", vec![m]),
            (None, _) => {
                let known = LOSS_FIELDS.map(|(name, _, _)| name).join(", ");
                let stake = if reputer.is_some() { "stake, " } else { "" };
                return Err(MechanismError::UnknownParam { field, known: format!("{stake}{known}") });
            }
        };
        spread(&field, pattern, false, &value, &mut indices, cells)?;
    }
    Ok(())
}

/// The name of an array's entry. Errors: a place beyond [`MEMBERS_MAX`].
fn entry(field: &str, place: usize) -> Result<String, MechanismError> {
    let entry = format!("{field}[{place}]");
    if place < MEMBERS_MAX { Ok(entry) } else { Err(too_many(entry)) }
}

fn too_many(field: String) -> MechanismError {
    MechanismError::Index { field, why: format!("at most {MEMBERS_MAX} members of a kind, counted from 0") }
}

/// Numbers a formula may have to hold at once.
const ROOM: usize = 1 << 22;

/// Refuses a request whose indices multiply to more than anybody's network. `what` is counted by `sizes`.
pub fn check_room(what: &str, sizes: &[usize]) -> Result<(), MechanismError> {
    let all = sizes.iter().fold(1usize, |product, &size| product.saturating_mul(size));
    if all <= ROOM {
        return Ok(());
    }
    let why = format!("the indices of its columns ask for {all} {what}; at most {ROOM}");
    Err(MechanismError::Index { field: "the input".into(), why })
}

/// Writes an array of as many dimensions as the pattern has indices left as columns.
fn spread(
    field: &str,
    pattern: &str,
    turned: bool,
    value: &Value,
    indices: &mut Vec<usize>,
    cells: &mut Map<String, Value>,
) -> Result<(), MechanismError> {
    let left = pattern.matches('#').count() - indices.len();
    if left == 0 {
        if value.is_array() || value.is_object() {
            return Err(wrong(field, "a number", value));
        }
        let name = match turned {
            true => fill(pattern, &indices.iter().rev().copied().collect::<Vec<_>>()),
            false => fill(pattern, indices),
        };
        return put(cells, name, value.clone());
    }
    let kind = if left == 2 { "an array of arrays of numbers" } else { "an array of numbers" };
    let Value::Array(entries) = value else { return Err(wrong(field, kind, value)) };
    let length = |entry: &Value| entry.as_array().map(Vec::len);
    for (place, value) in entries.iter().enumerate() {
        let field = entry(field, place)?;
        if left == 2 && length(value) != length(&entries[0]) && value.is_array() {
            let expected =
                format!("{} entries as in the first, null for none", length(&entries[0]).unwrap_or(0));
            return Err(wrong(field, expected, value));
        }
        indices.push(place);
        spread(&field, pattern, turned, value, indices, cells)?;
        indices.pop();
    }
    Ok(())
}

/// Columns by name.
pub struct Row {
    /// What stands before a column's name in error messages.
    place: &'static str,
    cells: Map<String, Value>,
}

impl Row {
    /// Where a column stands.
    pub fn field(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    /// The cell as it is; none where it is null.
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.cells.get(name).filter(|value| !value.is_null())
    }

    /// Whether a column is not there, or its cell says nothing.
    pub fn is_empty(&self, name: &str) -> bool {
        match self.cells.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        }
    }

    /// The number of a column, none where the cell is empty or the column is not there.
    pub fn get(&self, name: &str) -> Result<Option<Real>, MechanismError> {
        self.cells.get(name).map_or(Ok(None), |value| number(&self.field(name), value))
    }

    /// The whole number of a column.
    pub fn count(&self, name: &str) -> Result<Option<u32>, MechanismError> {
        self.cells.get(name).map_or(Ok(None), |value| count(&self.field(name), value))
    }

    /// The number of a column that has to be there; `why` says what for.
    pub fn need(&self, name: &str, why: &str) -> Result<Real, MechanismError> {
        self.get(name)?.ok_or_else(|| self.missing(name, why))
    }

    /// The error of a column that has to be there.
    pub fn missing(&self, name: &str, why: &str) -> MechanismError {
        MechanismError::Missing { field: self.field(name), why: why.to_owned() }
    }

    /// The largest index + 1 at each place of the pattern, empty cells included. Errors: beyond [`MEMBERS_MAX`].
    pub fn sizes(&self, pattern: &str) -> Result<Vec<usize>, MechanismError> {
        let mut sizes = vec![0; pattern.matches('#').count()];
        for name in self.cells.keys() {
            for (size, index) in sizes.iter_mut().zip(matches(pattern, name).unwrap_or_default()) {
                if index >= MEMBERS_MAX {
                    return Err(too_many(self.field(name)));
                }
                *size = (*size).max(index + 1);
            }
        }
        Ok(sizes)
    }

    /// [`Row::sizes`] of a pattern with one index.
    pub fn size(&self, pattern: &str) -> Result<usize, MechanismError> {
        Ok(self.sizes(pattern)?.first().copied().unwrap_or(0))
    }

    /// The numbers of a pattern with one index, as many as [`Row::size`] says.
    pub fn list(&self, pattern: &str) -> Result<Vec<Option<Real>>, MechanismError> {
        (0..self.size(pattern)?).map(|place| self.get(&fill(pattern, &[place]))).collect()
    }
}

/// The answer: columns in the order they were computed.
#[derive(Default)]
pub struct Output(Vec<(String, Value)>);

impl Output {
    /// A number.
    pub fn real(&mut self, name: impl Into<String>, value: Real) {
        self.any(name, value.get());
    }

    /// A number where there is one; no column otherwise.
    pub fn maybe(&mut self, name: impl Into<String>, value: Option<Real>) {
        if let Some(value) = value {
            self.real(name, value);
        }
    }

    /// Anything JSON has.
    pub fn any(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    /// One number per index of the pattern.
    pub fn list(&mut self, pattern: &str, values: impl IntoIterator<Item = (usize, Real)>) {
        for (index, value) in values {
            self.real(fill(pattern, &[index]), value);
        }
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_are_each_others_inverse() {
        for (pattern, indices, name) in [
            ("inference_#", vec![3], "inference_3"),
            ("forecasted_loss_#_for_#", vec![0, 12], "forecasted_loss_0_for_12"),
            ("#_quality_ema", vec![7], "7_quality_ema"),
            ("network_loss", vec![], "network_loss"),
        ] {
            assert_eq!(fill(pattern, &indices), name);
            assert_eq!(matches(pattern, name), Some(indices));
        }
        for name in ["inference_", "inference_loss_0", "inference_0_label_1", "inference_01", "inference_-1"]
        {
            assert_eq!(matches("inference_#", name), None, "{name}");
        }
        assert_eq!(matches("inference_#", "inference_99999999999999999999999"), Some(vec![usize::MAX]));
    }

    #[test]
    fn every_array_stands_for_as_many_indices_as_it_is_deep() {
        for Array { name, flat, deep, .. } in ARRAYS {
            assert!(flat.is_empty() || flat.matches('#').count() == 1, "{name}");
            assert!(deep.is_empty() || deep.matches('#').count() == 2, "{name}");
            assert!(!flat.is_empty() || !deep.is_empty(), "{name}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shown(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
        assert_eq!(shown("NaN"), "NaN");
    }
}
