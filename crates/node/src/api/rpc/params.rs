//! Parameters of a method, however they came: by name, by place, or in an address, where quotes and 0x say what a text
//! is meant to be.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_proto::tx::TxHash;
use serde_json::Value;

use crate::api::Status;

/// A parameter as it was written.
enum Given {
    Json(Value),
    /// `0x…` in an address: bytes.
    Hex(String),
    /// `"…"` in an address: a text, or its bytes.
    Quoted(String),
    /// Anything else in an address.
    Bare(String),
}

/// Parameters by name.
#[derive(Default)]
pub(super) struct Params(BTreeMap<String, Given>);

impl Params {
    /// From the `params` of a request; `names` in the order of their places.
    pub fn from_json(names: &[&str], params: Value) -> Result<Self, Status> {
        let given = |(name, value): (String, Value)| (name, Given::Json(value));
        match params {
            Value::Null => Ok(Self::default()),
            Value::Object(map) => Ok(Self(map.into_iter().map(given).collect())),
            Value::Array(list) if list.len() > names.len() => Err(Status::invalid(format!(
                "expected at most {} parameters ({}), got {}",
                names.len(),
                names.join(", "),
                list.len()
            ))),
            Value::Array(list) => {
                Ok(Self(names.iter().map(ToString::to_string).zip(list).map(given).collect()))
            }
            _ => Err(Status::invalid("params is an object or a list")),
        }
    }

    /// From the query part of an address.
    pub fn from_address(pairs: Vec<(String, String)>) -> Self {
        let given = |text: String| {
            let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match (quoted, text.strip_prefix("0x")) {
                (Some(inner), _) => Given::Quoted(inner.to_string()),
                (None, Some(digits)) => Given::Hex(digits.to_string()),
                (None, None) => Given::Bare(text),
            }
        };
        Self(pairs.into_iter().map(|(name, text)| (name, given(text))).collect())
    }

    /// A text, if it is given.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Status> {
        match self.0.get(name) {
            None | Some(Given::Json(Value::Null)) => Ok(None),
            Some(Given::Json(Value::String(text)) | Given::Quoted(text) | Given::Bare(text)) => {
                Ok(Some(text))
            }
            Some(_) => Err(Status::invalid(format!("{name} is a text"))),
        }
    }

    /// A whole number that is not negative, written as a number or as a text; none if it is not given or empty.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let wrong = || Status::invalid(format!("{name} is a whole number from 0 to {}", i64::MAX));
        let number = match self.0.get(name) {
            None | Some(Given::Json(Value::Null)) => return Ok(None),
            Some(Given::Json(Value::Number(number))) => number.as_u64().ok_or_else(wrong)?,
            Some(Given::Json(Value::String(text)) | Given::Quoted(text) | Given::Bare(text))
                if text.is_empty() =>
            {
                return Ok(None);
            }
            Some(Given::Json(Value::String(text)) | Given::Quoted(text) | Given::Bare(text)) => {
                text.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        // Heights are signed on this wire.
        if number > i64::MAX as u64 { Err(wrong()) } else { Ok(Some(number)) }
    }

    /// A yes or no; no if it is not given.
    pub fn flag(&self, name: &str) -> Result<bool, Status> {
        match self.0.get(name) {
            None | Some(Given::Json(Value::Null)) => Ok(false),
            Some(Given::Json(Value::Bool(flag))) => Ok(*flag),
            Some(Given::Json(Value::String(text)) | Given::Quoted(text) | Given::Bare(text)) => {
                text.parse().map_err(|_| Status::invalid(format!("{name} is true or false")))
            }
            Some(_) => Err(Status::invalid(format!("{name} is true or false"))),
        }
    }

    /// Bytes that JSON writes in base64.
    pub fn base64(&self, name: &str) -> Result<Vec<u8>, Status> {
        self.bytes(name, |text| {
            STANDARD.decode(text).map_err(|error| Status::invalid(format!("{name} is not base64: {error}")))
        })
    }

    /// Bytes that JSON writes in hex.
    pub fn hex(&self, name: &str) -> Result<Vec<u8>, Status> {
        self.bytes(name, |text| {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            hex::decode(digits).map_err(|error| Status::invalid(format!("{name} is not hex: {error}")))
        })
    }

    fn bytes(&self, name: &str, read: impl Fn(&str) -> Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> {
        match self.0.get(name) {
            None | Some(Given::Json(Value::Null)) => Ok(Vec::new()),
            Some(Given::Json(Value::String(text)) | Given::Bare(text)) => read(text),
            Some(Given::Quoted(text)) => Ok(text.as_bytes().to_vec()),
            Some(Given::Hex(digits)) => {
                hex::decode(digits).map_err(|error| Status::invalid(format!("{name} is not hex: {error}")))
            }
            Some(Given::Json(_)) => Err(Status::invalid(format!("{name} is a text"))),
        }
    }

    /// 32 bytes in hex or in base64, whichever fits.
    pub fn hash(&self, name: &str) -> Result<TxHash, Status> {
        let text = match self.0.get(name) {
            Some(Given::Hex(digits)) => digits,
            _ => self.text(name)?.unwrap_or_default(),
        };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = match digits.len() {
            64 => hex::decode(digits).ok(),
            _ => STANDARD.decode(text).ok(),
        };
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Status::invalid(format!("{name} has 32 bytes, in hex or base64")))
    }
}
