//! Events in the words of published clients (docs/clients.md): the chain says which message of `emissions.v10` tells
//! what happened, and one function here shows any message as a typed event, by its descriptor.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::{Event, Published};
use dodona_proto::DESCRIPTORS;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

/// One event: its type, and attributes in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub kind: String,
    pub attributes: Vec<(String, String)>,
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the schemas were compiled with this program")
});

/// Events by which workers of the release before know when to speak; they ask for them by its name.
const ALSO_V9: [&str; 5] = [
    "EventWorkerSubmissionWindowOpened",
    "EventWorkerSubmissionWindowClosed",
    "EventReputerSubmissionWindowOpened",
    "EventReputerSubmissionWindowClosed",
    "EventRewardsSettled",
];

/// Events of a block's own work, as subscribers know them. The same at any later time: nothing is looked up.
pub(crate) fn of_block(events: &[Event]) -> Vec<Typed> {
    events.iter().flat_map(|event| shown(event, ("mode", "EndBlock".into()))).collect()
}

/// Events of a transaction that did what it asked for, as subscribers know them; each with the place of its message.
pub(crate) fn of_tx(events: &[Event]) -> Vec<Typed> {
    events.iter().flat_map(|event| shown(event, ("msg_index", event.message.to_string()))).collect()
}

fn shown(event: &Event, last: (&str, String)) -> Vec<Typed> {
    let mut out = Vec::with_capacity(event.published.len());
    for published in &event.published {
        // A message the program does not know was written by a later one.
        let Some(mut typed) = typed(published) else { continue };
        typed.attributes.push((last.0.to_string(), last.1.clone()));
        let short = published.name.rsplit('.').next().unwrap_or_default();
        let older = ALSO_V9
            .contains(&short)
            .then(|| Typed { kind: format!("emissions.v9.{short}"), attributes: typed.attributes.clone() });
        out.push(typed);
        out.extend(older);
    }
    out
}

/// A message as a typed event: one attribute per field by its name, absent fields included, values as JSON texts.
fn typed(published: &Published) -> Option<Typed> {
    let descriptor = POOL.get_message_by_name(&published.name)?;
    let message = DynamicMessage::decode(descriptor.clone(), published.bytes.as_slice()).ok()?;
    let text = |field: FieldDescriptor| {
        let mut text = String::new();
        write_field(&message, &field, &mut text);
        (field.name().to_string(), text)
    };
    let mut attributes: Vec<(String, String)> = descriptor.fields().map(text).collect();
    attributes.sort_unstable();
    Some(Typed { kind: published.name.clone(), attributes })
}

/// A field as JSON. Written here and not by the descriptors' own serializer, because the published chain's differs from
/// it (bytes and messages that are not there are null), and because a node does this for every event of every block.
fn write_field(message: &DynamicMessage, field: &FieldDescriptor, out: &mut String) {
    // A field that tells being there from being empty is nothing when it is not there.
    if field.supports_presence() && !message.has_field(field) {
        return out.push_str("null");
    }
    match &*message.get_field(field) {
        Value::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write_value(item, &field.kind(), out);
            }
            out.push(']');
        }
        value => write_value(value, &field.kind(), out),
    }
}

fn write_value(value: &Value, kind: &Kind, out: &mut String) {
    match value {
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::I32(number) => out.push_str(&number.to_string()),
        Value::U32(number) => out.push_str(&number.to_string()),
        Value::I64(number) => write_text(&number.to_string(), out),
        Value::U64(number) => write_text(&number.to_string(), out),
        Value::String(text) => write_text(text, out),
        Value::Bytes(bytes) if bytes.is_empty() => out.push_str("null"),
        Value::Bytes(bytes) => write_text(&STANDARD.encode(bytes), out),
        Value::EnumNumber(number) => {
            match kind.as_enum().and_then(|of| of.get_value(*number).map(|value| value.name().to_string())) {
                Some(name) => write_text(&name, out),
                None => out.push_str(&number.to_string()),
            }
        }
        Value::Message(message) => {
            out.push('{');
            for (place, field) in message.descriptor().fields().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write_text(field.name(), out);
                out.push(':');
                write_field(message, &field, out);
            }
            out.push('}');
        }
        // No event has floats or maps, and a test holds that: they would be written as whole messages elsewhere are.
        Value::F32(_) | Value::F64(_) | Value::List(_) | Value::Map(_) => out.push_str("null"),
    }
}

/// A text in quotes, with what JSON wants escaped.
fn write_text(text: &str, out: &mut String) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use dodona_proto::emissions::v10;
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_field_is_told_in_the_order_of_names_and_as_json() {
        let message = v10::EventRewardsSettled {
            actor_type: v10::ActorType::Forecaster.into(),
            topic_id: 1,
            addresses: vec!["a".into(), "b".into()],
            rewards: vec!["7".into(), "8".into()],
            ..Default::default()
        };
        let event = Event::new("scored").telling(message);
        let shown = shown(&event, ("mode", "EndBlock".into()));
        let pairs = |typed: &Typed| -> Vec<String> {
            typed.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        let expected = [
            r#"actor_type="ACTOR_TYPE_FORECASTER""#,
            r#"addresses=["a","b"]"#,
            r#"block_height="0""#,
            r#"block_height_tx="0""#,
            r#"rewards=["7","8"]"#,
            r#"topic_id="1""#,
            "mode=EndBlock",
        ];
        assert_eq!(
            shown.iter().map(|t| t.kind.as_str()).collect::<Vec<_>>(),
            ["emissions.v10.EventRewardsSettled", "emissions.v9.EventRewardsSettled"]
        );
        assert!(shown.iter().all(|typed| pairs(typed) == expected), "{shown:?}");
    }

    #[test]
    fn bytes_messages_numbers_and_booleans_read_as_clients_read_them() {
        let event = Event::new("x")
            .telling(v10::EventInsertInfererPayload {
                inferer: "me".into(),
                values: vec![v10::InputLabeledValue { label: "y".into(), value: "1.5".into() }],
                ..Default::default()
            })
            .telling(v10::EventInsertInfererPayload { extra_data: vec![1, 2], ..Default::default() })
            .telling(v10::EventTopicStatusChanged { topic_id: u64::MAX, is_active: false })
            .telling(v10::EventInsertReputerPayload::default());
        let event = Event { message: 3, ..event };
        let all = of_tx(&[event]);
        let value = |place: usize, key: &str| {
            let pair = all[place].attributes.iter().find(|(k, _)| k == key);
            pair.unwrap_or_else(|| panic!("{key}")).1.clone()
        };
        assert_eq!(value(0, "extra_data"), "null");
        assert_eq!(value(0, "values"), r#"[{"label":"y","value":"1.5"}]"#);
        assert_eq!(value(0, "msg_index"), "3");
        assert_eq!(value(1, "extra_data"), r#""AQI=""#);
        assert_eq!(value(1, "values"), "[]");
        assert_eq!(value(2, "is_active"), "false");
        assert_eq!(value(2, "topic_id"), r#""18446744073709551615""#);
        assert_eq!(value(3, "bundle"), "null");
    }

    #[test]
    fn parts_of_a_message_come_in_the_order_of_their_declaration_with_what_is_not_there() {
        let inference = v10::Inference { inferer: "say \"me\"\n".into(), ..Default::default() };
        let bundle = v10::InferenceForecastBundle { inference: Some(inference), forecast: None };
        let mut text = String::new();
        let descriptor = POOL.get_message_by_name("emissions.v10.InferenceForecastBundle").unwrap();
        let message = DynamicMessage::decode(descriptor, bundle.encode_to_vec().as_slice()).unwrap();
        write_value(&Value::Message(message), &Kind::Bool, &mut text);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["inference"]["inferer"], "say \"me\"\n");
        assert_eq!(json["inference"]["extra_data"], serde_json::Value::Null);
        assert_eq!(json["forecast"], serde_json::Value::Null);
        let (first, second) = (text.find("inference"), text.find("forecast"));
        assert!(first < second, "{text}");
    }

    #[test]
    fn no_event_has_a_float_or_a_map() {
        let mut next: Vec<_> = POOL
            .all_messages()
            .filter(|m| m.package_name().starts_with("emissions.") && m.name().starts_with("Event"))
            .collect();
        assert!(next.len() > 40, "{}", next.len());
        let mut seen = std::collections::BTreeSet::new();
        while let Some(message) = next.pop() {
            if !seen.insert(message.full_name().to_string()) {
                continue;
            }
            for field in message.fields() {
                let kind = field.kind();
                assert!(
                    !field.is_map() && !matches!(kind, Kind::Float | Kind::Double),
                    "{}",
                    field.full_name()
                );
                next.extend(kind.as_message().cloned());
            }
        }
    }

    #[test]
    fn what_no_schema_knows_is_left_out() {
        let unknown = Published { name: "emissions.v99.EventNothing".into(), bytes: Vec::new() };
        let broken = Published { name: "emissions.v10.EventFundTopic".into(), bytes: vec![255] };
        assert_eq!(of_tx(&[Event { published: vec![unknown, broken], ..Event::new("x") }]), []);
    }

    #[test]
    fn events_told_under_two_names_have_one_shape() {
        for name in ALSO_V9 {
            let fields = |version: &str| {
                let message = POOL.get_message_by_name(&format!("emissions.{version}.{name}"));
                let message = message.unwrap_or_else(|| panic!("{version} {name}"));
                let short = |field: FieldDescriptor| {
                    (field.number(), field.name().to_string(), field.is_list(), field.kind().wire_type())
                };
                message.fields().map(short).collect::<Vec<_>>()
            };
            assert_eq!(format!("{:?}", fields("v9")), format!("{:?}", fields("v10")));
        }
    }
}
