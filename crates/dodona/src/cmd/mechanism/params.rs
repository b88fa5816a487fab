//! Parameters: what a caller may set, its default and its range.
//! Unlike columns, of which a table has many that a formula does not read, a parameter nobody reads is an error.

use super::MechanismError;
use super::table::{number, shown, wrong};
use dodona_mechanism::Real;
use serde_json::{Map, Value};

/// What a number may be, and how that is said.
#[derive(Copy, Clone)]
pub struct Span(pub f64, pub f64, pub &'static str);

/// Any number.
pub const ANY: Span = Span(f64::MIN, f64::MAX, "any finite number");
/// Above zero.
pub const POSITIVE: Span = Span(f64::MIN_POSITIVE, f64::MAX, "above 0");
/// Zero or more.
pub const NOT_NEGATIVE: Span = Span(0.0, f64::MAX, "0 or more");
/// From 0 to 1.
pub const UNIT: Span = Span(0.0, 1.0, "0 to 1");
/// Above 0, at most 1.
pub const RATE: Span = Span(f64::MIN_POSITIVE, 1.0, "above 0 and at most 1");
/// Strictly between 0 and 1.
pub const OPEN_UNIT: Span = Span(f64::MIN_POSITIVE, 1.0 - f64::EPSILON / 2.0, "above 0 and below 1");

impl Span {
    /// Refuses a number outside. `field` is where it stands.
    pub fn check(self, field: &str, value: Real) -> Result<Real, MechanismError> {
        if (self.0..=self.1).contains(&value.get()) {
            return Ok(value);
        }
        Err(MechanismError::Range {
            field: field.to_owned(),
            value: value.to_string(),
            range: self.2.to_owned(),
        })
    }
}

/// The `params` of a request.
pub struct Params {
    cells: Map<String, Value>,
}

impl Params {
    /// Parameters as piped in.
    pub fn new(cells: Map<String, Value>) -> Params {
        Params { cells }
    }

    /// Refuses parameters the formula does not read.
    pub fn only(&self, known: &[&str]) -> Result<(), MechanismError> {
        match self.cells.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let known = if known.is_empty() { "no parameters".into() } else { known.join(", ") };
                Err(MechanismError::UnknownParam { field: field(&shown(name)), known })
            }
        }
    }

    /// The cell as it is; none where it is null.
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.cells.get(name).filter(|value| !value.is_null())
    }

    /// A number in `span`, or the default.
    pub fn real(&self, name: &str, default: Real, span: Span) -> Result<Real, MechanismError> {
        match self.raw(name).map(|value| number(&field(name), value)).transpose()?.flatten() {
            Some(value) => span.check(&field(name), value),
            None => Ok(default),
        }
    }

    /// [`Params::real`] of a limit that null switches off.
    pub fn limit(
        &self,
        name: &str,
        default: Option<Real>,
        span: Span,
    ) -> Result<Option<Real>, MechanismError> {
        match self.cells.get(name) {
            Some(Value::Null) => Ok(None),
            Some(value) => match number(&field(name), value)? {
                Some(value) => span.check(&field(name), value).map(Some),
                None => Ok(None),
            },
            None => Ok(default),
        }
    }

    /// A whole number from `low` to `high`, or the default.
    pub fn whole(&self, name: &str, default: u32, low: u32, high: u32) -> Result<u32, MechanismError> {
        let Some(value) = self.raw(name) else { return Ok(default) };
        let whole = super::table::count(&field(name), value)?.unwrap_or(default);
        if (low..=high).contains(&whole) {
            return Ok(whole);
        }
        let range = if high == u32::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
        Err(MechanismError::Range { field: field(name), value: whole.to_string(), range })
    }

    /// true or false, or the default.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, MechanismError> {
        match self.raw(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong(field(name), "true or false", other)),
        }
    }

    /// One of a few words; the first is the default.
    pub fn word<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str, MechanismError> {
        word(&field(name), self.raw(name), words)
    }
}

/// Where a parameter stands.
pub fn field(name: &str) -> String {
    format!("params.{name}")
}

/// One of a few words; the first is the default.
pub fn word<'a>(field: &str, value: Option<&Value>, words: &[&'a str]) -> Result<&'a str, MechanismError> {
    let Some(value) = value else { return Ok(words.first().copied().unwrap_or_default()) };
    let known = words.iter().find(|word| value.as_str() == Some(word));
    known.copied().ok_or_else(|| wrong(field, format!("one of {}", words.join(", ")), value))
}
