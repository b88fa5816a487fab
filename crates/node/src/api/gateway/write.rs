//! An answer as published gateways write it: names of the schema, 64-bit integers as text, defaults present, enums by
//! name, bytes in base64, an `Any` as what it holds, decimals with eighteen places. Written straight into one text of
//! bounded length, because a message of two bytes can stand for hundreds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_proto::decimal;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use prost_types::{Duration, Timestamp};

use super::routes::SCHEMAS;

/// Longest answer, bytes of JSON.
pub(super) const MAX_ANSWER: usize = 16 << 20;
/// An `Any` deeper than this stays closed: each may hold another.
const MAX_DEPTH: usize = 64;
/// The answer does not fit.
#[derive(Debug)]
pub(super) struct TooLong;

/// The JSON of a message.
pub(super) fn json(message: &DynamicMessage) -> Result<String, TooLong> {
    let mut writer = Writer { out: String::new(), depth: 0 };
    writer.message(message)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    depth: usize,
}

type Written = Result<(), TooLong>;

impl Writer {
    fn raw(&mut self, text: &str) -> Written {
        if self.out.len() + text.len() > MAX_ANSWER {
            return Err(TooLong);
        }
        self.out.push_str(text);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Written {
        if self.out.len() + text.len() > MAX_ANSWER {
            return Err(TooLong);
        }
        self.raw(&serde_json::Value::from(text).to_string())
    }

    fn quoted(&mut self, number: impl ToString) -> Written {
        self.raw(&format!("\"{}\"", number.to_string()))
    }

    /// Something with parts, which holds at most [`MAX_DEPTH`] others within it.
    fn message(&mut self, message: &DynamicMessage) -> Written {
        self.depth += 1;
        let written = match message.descriptor().full_name() {
            "google.protobuf.Any" => self.any(message),
            "google.protobuf.Timestamp" => self.timestamp(message),
            "google.protobuf.Duration" => self.duration(message),
            _ => self.raw("{").and_then(|()| self.fields(message, true)).and_then(|()| self.raw("}")),
        };
        self.depth -= 1;
        written
    }

    fn fields(&mut self, message: &DynamicMessage, mut first: bool) -> Written {
        for field in message.descriptor().fields() {
            // Of a choice only what was chosen is written.
            let choice = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
            let set = message.has_field(&field);
            if choice && !set {
                continue;
            }
            if !first {
                self.raw(",")?;
            }
            first = false;
            self.text(field.name())?;
            self.raw(":")?;
            if field.supports_presence() && !set {
                self.raw("null")?;
                continue;
            }
            self.field(&field, &message.get_field(&field))?;
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) -> Written {
        if decimal::is_decimal(field) {
            let digits = match value {
                Value::String(text) => text.as_str(),
                Value::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
                _ => "",
            };
            return self.text(&decimal::text(digits));
        }
        match value {
            Value::List(values) => {
                self.raw("[")?;
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        self.raw(",")?;
                    }
                    self.one(&field.kind(), value)?;
                }
                self.raw("]")
            }
            Value::Map(entries) => {
                let Kind::Message(entry) = field.kind() else { return self.raw("{}") };
                let mut sorted: Vec<(String, &Value)> =
                    entries.iter().map(|(key, value)| (key_text(key), value)).collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                self.raw("{")?;
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    if at > 0 {
                        self.raw(",")?;
                    }
                    self.text(&key)?;
                    self.raw(":")?;
                    self.one(&entry.map_entry_value_field().kind(), value)?;
                }
                self.raw("}")
            }
            one => self.one(&field.kind(), one),
        }
    }

    fn one(&mut self, kind: &Kind, value: &Value) -> Written {
        match value {
            Value::Bool(yes) => self.raw(if *yes { "true" } else { "false" }),
            Value::I32(n) => self.raw(&n.to_string()),
            Value::U32(n) => self.raw(&n.to_string()),
            Value::I64(n) => self.quoted(n),
            Value::U64(n) => self.quoted(n),
            Value::F32(n) => self.float(f64::from(*n)),
            Value::F64(n) => self.float(*n),
            Value::String(text) => self.text(text),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::EnumNumber(number) => {
                let named = kind.as_enum().and_then(|names| names.get_value(*number));
                match named {
                    Some(named) => self.text(named.name()),
                    None => self.raw(&number.to_string()),
                }
            }
            Value::Message(message) => self.message(message),
            // Lists and maps do not stand in one another.
            Value::List(_) | Value::Map(_) => self.raw("null"),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Written {
        if self.out.len() + bytes.len() > MAX_ANSWER {
            return Err(TooLong);
        }
        self.quoted(STANDARD.encode(bytes))
    }

    fn float(&mut self, n: f64) -> Written {
        if n.is_finite() { self.raw(&n.to_string()) } else { self.quoted(n) }
    }

    fn any(&mut self, any: &DynamicMessage) -> Written {
        let url = any.get_field_by_name("type_url");
        let url = url.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
        let value = any.get_field_by_name("value");
        let value = value.as_ref().and_then(|v| v.as_bytes()).cloned().unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default();
        let kind = SCHEMAS.get_message_by_name(name).filter(|_| self.depth < MAX_DEPTH);
        let held = kind.and_then(|kind| DynamicMessage::decode(kind, value.clone()).ok());
        let Some(held) = held else {
            self.raw("{\"type_url\":")?;
            self.text(url)?;
            self.raw(",\"value\":")?;
            self.bytes(&value)?;
            return self.raw("}");
        };
        self.raw("{\"@type\":")?;
        self.text(url)?;
        if held.descriptor().package_name() == "google.protobuf" {
            self.raw(",\"value\":")?;
            self.message(&held)?;
        } else {
            self.fields(&held, false)?;
        }
        self.raw("}")
    }

    fn timestamp(&mut self, message: &DynamicMessage) -> Written {
        // Outside the years 1 to 9999 there is no text for it.
        const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
        match message.transcode_to::<Timestamp>() {
            Ok(t) if YEARS.contains(&t.seconds) && (0..1_000_000_000).contains(&t.nanos) => self.quoted(t),
            _ => self.raw("null"),
        }
    }

    fn duration(&mut self, message: &DynamicMessage) -> Written {
        let Ok(Duration { seconds, nanos }) = message.transcode_to::<Duration>() else {
            return self.raw("null");
        };
        let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
        let part = format!("{:09}", nanos.unsigned_abs());
        let part = part.trim_end_matches('0');
        let dot = if part.is_empty() { "" } else { "." };
        self.raw(&format!("\"{sign}{}{dot}{part}s\"", seconds.unsigned_abs()))
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use dodona_proto::cosmos::{
        base::{query::v1beta1::PageResponse, v1beta1::DecCoin},
        staking::v1beta1 as staking,
        tx::v1beta1 as tx,
    };
    use prost::Message;
    use prost_types::Any;
    use serde_json::{Value as Json, json};

    use super::*;

    fn written(name: &str, message: &impl Message) -> Json {
        let kind = SCHEMAS.get_message_by_name(name).unwrap();
        let message = DynamicMessage::decode(kind, message.encode_to_vec().as_slice()).unwrap();
        serde_json::from_str(&json(&message).unwrap()).unwrap()
    }

    #[test]
    fn decimals_are_shown_with_their_point() {
        let coin = DecCoin { denom: "uallo".into(), amount: "1500000000000000000".into() };
        let expected = json!({ "denom": "uallo", "amount": "1.500000000000000000" });
        assert_eq!(written("cosmos.base.v1beta1.DecCoin", &coin), expected);
    }

    #[test]
    fn defaults_are_present_and_absent_messages_are_null() {
        let answer = tx::GetTxsEventResponse { total: 3, ..Default::default() };
        let expected = json!({ "txs": [], "tx_responses": [], "pagination": null, "total": "3" });
        assert_eq!(written("cosmos.tx.v1beta1.GetTxsEventResponse", &answer), expected);
        let page = PageResponse { next_key: vec![1, 2], total: 0 };
        let expected = json!({ "next_key": "AQI=", "total": "0" });
        assert_eq!(written("cosmos.base.query.v1beta1.PageResponse", &page), expected);
    }

    #[test]
    fn enums_have_names_times_are_rfc_3339_and_an_any_is_what_it_holds() {
        let key = dodona_proto::cosmos::crypto::ed25519::PubKey { key: vec![7; 3] };
        let validator = staking::Validator {
            consensus_pubkey: Some(Any {
                type_url: "/cosmos.crypto.ed25519.PubKey".into(),
                value: key.encode_to_vec(),
            }),
            status: 3,
            unbonding_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 5_000_000 }),
            ..Default::default()
        };
        let json = written("cosmos.staking.v1beta1.Validator", &validator);
        assert_eq!(json["status"], "BOND_STATUS_BONDED");
        assert_eq!(json["unbonding_time"], "2026-01-01T00:00:00.005Z");
        assert_eq!(json["consensus_pubkey"]["@type"], "/cosmos.crypto.ed25519.PubKey");
        assert_eq!(json["consensus_pubkey"]["key"], "BwcH");
        let params = staking::Params {
            unbonding_time: Some(Duration { seconds: 90, nanos: 500_000_000 }),
            ..Default::default()
        };
        assert_eq!(written("cosmos.staking.v1beta1.Params", &params)["unbonding_time"], "90.5s");
        let strange = Any { type_url: "/x.y.Z".into(), value: vec![1] };
        let expected = json!({ "type_url": "/x.y.Z", "value": "AQ==" });
        assert_eq!(written("google.protobuf.Any", &strange), expected);
        let impossible = Timestamp { seconds: i64::MAX, nanos: -1 };
        assert_eq!(written("google.protobuf.Timestamp", &impossible), Json::Null);
    }

    #[test]
    fn boxes_within_boxes_end_and_answers_are_bounded() {
        let url = "/google.protobuf.Any";
        let mut any = Any::default();
        for _ in 0..20_000 {
            any = Any { type_url: url.into(), value: any.encode_to_vec() };
        }
        let kind = SCHEMAS.get_message_by_name("google.protobuf.Any").unwrap();
        let nested = DynamicMessage::decode(kind, any.encode_to_vec().as_slice()).unwrap();
        assert!(json(&nested).is_ok());
        // Two bytes each in, a hundred each out.
        let body = tx::TxBody { messages: vec![Any::default(); 1_000_000], ..Default::default() };
        let kind = SCHEMAS.get_message_by_name("cosmos.tx.v1beta1.TxBody").unwrap();
        let many = DynamicMessage::decode(kind, body.encode_to_vec().as_slice()).unwrap();
        assert!(json(&many).is_err());
    }
}
