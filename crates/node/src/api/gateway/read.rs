//! A request message from an HTTP request: fields from the path and the query, or the body as JSON.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use crate::api::Status;

/// Deepest field a query parameter may name: `a.b.c` has three parts.
const MAX_DEPTH: usize = 8;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The message that a JSON body spells out; nothing at all is an empty message.
pub(super) fn body(kind: MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Status> {
    if body.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(kind));
    }
    let bad =
        |e: serde_json::Error| Status::invalid(format!("the body is not the JSON of this request: {e}"));
    let mut json = serde_json::Deserializer::from_slice(body);
    let options = DeserializeOptions::new();
    let message = DynamicMessage::deserialize_with_options(kind, &mut json, &options).map_err(bad)?;
    json.end().map_err(bad)?;
    Ok(message)
}

/// Sets fields by name. Names that the message does not have are passed over, as published gateways do.
pub(super) fn fields(message: &mut DynamicMessage, given: &[(String, String)]) -> Result<(), Status> {
    for (name, text) in given {
        let path: Vec<&str> = name.split('.').collect();
        if path.len() <= MAX_DEPTH {
            set(message, &path, text).map_err(|what| Status::invalid(format!("{name}: {what}")))?;
        }
    }
    Ok(())
}

fn set(message: &mut DynamicMessage, path: &[&str], text: &str) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    let kind = message.descriptor();
    let field = kind.get_field_by_name(name).or_else(|| kind.get_field_by_json_name(name));
    let Some(field) = field else { return Ok(()) };
    if !rest.is_empty() {
        return match message.get_field_mut(&field) {
            Value::Message(inner) => set(inner, rest, text),
            _ => Err(format!("{} has no parts", field.name())),
        };
    }
    let Some(value) = value(&field, text)? else { return Ok(()) };
    match message.get_field_mut(&field) {
        Value::List(list) => list.push(value),
        one => *one = value,
    }
    Ok(())
}

/// A field's value in words. An empty text leaves everything but texts and bytes as it is.
fn value(field: &FieldDescriptor, text: &str) -> Result<Option<Value>, String> {
    fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
        text.parse().map_err(|_| format!("`{}` is not a number of this kind", shown(text)))
    }
    if field.is_map() {
        return Err("maps cannot be written in a query".into());
    }
    let kind = field.kind();
    if text.is_empty() && !matches!(kind, Kind::String | Kind::Bytes) {
        return Ok(None);
    }
    Ok(Some(match kind {
        Kind::String => Value::String(text.into()),
        Kind::Bytes => Value::Bytes(bytes(text)?.into()),
        Kind::Bool => Value::Bool(match text {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(format!("`{}` is neither true nor false", shown(text))),
        }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number(text)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(text)?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number(text)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number(text)?),
        Kind::Float => Value::F32(number(text)?),
        Kind::Double => Value::F64(number(text)?),
        Kind::Enum(names) => {
            let named = names.get_value_by_name(text).map(|v| v.number());
            let number = named.or_else(|| text.parse().ok().filter(|n| names.get_value(*n).is_some()));
            let unknown = || format!("`{}` is no {}", shown(text), names.name());
            Value::EnumNumber(number.ok_or_else(unknown)?)
        }
        Kind::Message(_) => return Err("has parts: name one, as in pagination.limit".into()),
    }))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    // A plus that nobody escaped arrives as a blank.
    let text = text.replace(' ', "+");
    STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).map_err(|_| "is not base64".into())
}

/// The beginning of what somebody sent, for an error.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::gateway::routes::SCHEMAS;

    fn message(name: &str) -> DynamicMessage {
        DynamicMessage::new(SCHEMAS.get_message_by_name(name).unwrap())
    }

    fn given(name: &str, pairs: &[(&str, &str)]) -> Result<DynamicMessage, Status> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let mut message = message(name);
        fields(&mut message, &pairs).map(|()| message)
    }

    #[test]
    fn a_query_sets_nested_repeated_and_enumerated_fields_and_bytes() {
        let pairs = [
            ("events", "a=1"),
            ("events", "b=2"),
            ("pagination.limit", "7"),
            ("pagination.key", "AQ=="),
            ("pagination.countTotal", "true"),
            ("order_by", "ORDER_BY_DESC"),
            ("page", ""),
            ("unknown", "x"),
        ];
        let read: dodona_proto::cosmos::tx::v1beta1::GetTxsEventRequest =
            given("cosmos.tx.v1beta1.GetTxsEventRequest", &pairs).unwrap().transcode_to().unwrap();
        let page = read.pagination.unwrap();
        assert_eq!((read.events.len(), page.limit, page.key, page.count_total), (2, 7, vec![1], true));
        assert_eq!((read.order_by, read.page), (2, 0));
        assert!(given("cosmos.tx.v1beta1.GetTxsEventRequest", &[("order_by", "2")]).is_ok());
    }

    #[test]
    fn values_of_another_kind_are_refused_and_name_their_field() {
        for pair in [
            ("pagination.limit", "-1"),
            ("pagination.limit", "99999999999999999999999"),
            ("pagination.limit.x", "1"),
            ("pagination", "1"),
            ("pagination.key", "%"),
            ("pagination.reverse", "perhaps"),
            ("order_by", "SIDEWAYS"),
            ("order_by", "77"),
        ] {
            let error = given("cosmos.tx.v1beta1.GetTxsEventRequest", &[pair]).unwrap_err();
            assert!(error.code == 3 && error.message.starts_with(pair.0), "{pair:?}: {error:?}");
        }
        let deep = ["pagination"; 5_000].join(".");
        assert!(given("cosmos.tx.v1beta1.GetTxsEventRequest", &[(&deep, "1")]).is_ok());
    }

    #[test]
    fn a_body_is_json_of_the_request_and_nothing_else() {
        let kind = || message("cosmos.tx.v1beta1.BroadcastTxRequest").descriptor();
        let read: dodona_proto::cosmos::tx::v1beta1::BroadcastTxRequest =
            body(kind(), br#"{"tx_bytes":"AQI=","mode":"BROADCAST_MODE_SYNC"}"#)
                .unwrap()
                .transcode_to()
                .unwrap();
        assert_eq!((read.tx_bytes, read.mode), (vec![1, 2], 2));
        assert!(body(kind(), b"  ").is_ok());
        for bad in ["{", "[]", "null x", r#"{"tx_bytes":7}"#, r#"{"nonsense":1}"#, r#"{"mode":"X"}"#] {
            assert_eq!(body(kind(), bad.as_bytes()).unwrap_err().code, 3, "{bad}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(body(kind(), deep.as_bytes()).unwrap_err().code, 3);
    }
}
