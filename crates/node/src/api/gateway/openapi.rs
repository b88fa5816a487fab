//! The gateway described for machines: an OpenAPI 3.1 page made from the same routes and schemas that answer. Methods
//! that are not served here are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use dodona_proto::decimal;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::routes::{ROUTES, Route, SCHEMAS};
use crate::{
    NodeHandle,
    api::{Status, aside, dispatch},
};

/// Parts of a nested query parameter such as `pagination.limit`.
const MAX_DEPTH: usize = 2;
/// The page; it depends on the program alone.
static PAGE: OnceLock<String> = OnceLock::new();

/// `/openapi.json`.
pub(crate) async fn page(State(node): State<NodeHandle>) -> Result<Response, Status> {
    let text = aside(move || PAGE.get_or_init(|| describe(&node).to_string()).as_str()).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Whether a method is served at all: whoever asks it nothing learns that.
pub(crate) fn served(node: &NodeHandle, method: &str) -> bool {
    !matches!(dispatch(node, method, &[], 0), Err(status) if status.code == 12)
}

fn describe(node: &NodeHandle) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut shapes = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| served(node, &route.method)) {
        // Of two methods with one path only the first can be reached.
        if !shapes.insert((route.verb, shape(&route.pattern))) {
            continue;
        }
        let operations = paths.entry(&route.pattern).or_default();
        operations.insert(route.verb.to_lowercase(), operation(route));
        if route.body {
            reach(&route.request, &mut used);
        }
        reach(&route.answer, &mut used);
    }
    let mut schemas: Map<String, Value> = used
        .iter()
        .filter_map(|name| SCHEMAS.get_message_by_name(name))
        .map(|kind| (kind.full_name().to_string(), shape_of(&kind)))
        .collect();
    schemas.insert("Error".into(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dodona",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Everything a node answers over REST.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn shape(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn error() -> Value {
    json!({
        "type": "object",
        "description": "Why there is no answer; the code is gRPC's.",
        "properties": {
            "code": { "type": "integer" },
            "message": { "type": "string" },
            "details": { "type": "array", "items": {} },
        },
        "required": ["code", "message", "details"],
    })
}

fn operation(route: &Route) -> Value {
    let (service, name) = route.method.trim_start_matches('/').rsplit_once('/').unwrap_or_default();
    let mut parameters = Vec::new();
    let in_path: Vec<&str> = route.fields().collect();
    for field in in_path.iter().filter_map(|name| route.request.get_field_by_name(name)) {
        let schema = value(&field.kind(), true);
        parameters.push(json!({ "name": field.name(), "in": "path", "required": true, "schema": schema }));
    }
    if !route.body {
        query("", &route.request, &in_path, &mut parameters);
    }
    parameters.push(json!({
        "name": "x-cosmos-block-height", "in": "header", "required": false,
        "description": "Answer from the state after this block; 0 or nothing is the newest.",
        "schema": { "type": "integer", "minimum": 0 },
    }));
    let mut operation = json!({
        "operationId": format!("{service}.{name}"),
        "tags": [service],
        "summary": name,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer.", "content": content(route.answer.full_name()) },
            "default": { "description": "Why there is none.", "content": content("Error") },
        },
    });
    if route.body {
        let body = json!({ "required": true, "content": content(route.request.full_name()) });
        operation["requestBody"] = body;
    }
    operation
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn content(name: &str) -> Value {
    json!({ "application/json": { "schema": reference(name) } })
}

fn query(prefix: &str, message: &MessageDescriptor, but: &[&str], into: &mut Vec<Value>) {
    for field in message.fields().filter(|field| !but.contains(&field.name())) {
        let name = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::Message(inner) => {
                let plain = !field.is_list() && !field.is_map() && known(inner.full_name()).is_none();
                if plain && name.split('.').count() < MAX_DEPTH {
                    query(&format!("{name}."), &inner, &[], into);
                }
            }
            kind => {
                let one = value(&kind, true);
                let schema = if field.is_list() { json!({ "type": "array", "items": one }) } else { one };
                into.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
            }
        }
    }
}

/// Collects a message and all that it holds.
fn reach(message: &MessageDescriptor, into: &mut BTreeSet<String>) {
    if known(message.full_name()).is_some() || !into.insert(message.full_name().to_string()) {
        return;
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(entry) if entry.is_map_entry() => {
                if let Kind::Message(inner) = entry.map_entry_value_field().kind() {
                    reach(&inner, into);
                }
            }
            Kind::Message(inner) => reach(&inner, into),
            _ => {}
        }
    }
}

fn shape_of(message: &MessageDescriptor) -> Value {
    let properties: Map<String, Value> =
        message.fields().map(|field| (field.name().to_string(), property(&field))).collect();
    json!({ "type": "object", "properties": properties })
}

fn property(field: &FieldDescriptor) -> Value {
    if decimal::is_decimal(field) {
        return json!({ "type": "string", "format": "decimal" });
    }
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            let of = value(&entry.map_entry_value_field().kind(), false);
            json!({ "type": "object", "additionalProperties": of })
        }
        kind if field.is_list() => json!({ "type": "array", "items": value(&kind, false) }),
        kind @ Kind::Message(_) => json!({ "anyOf": [value(&kind, false), { "type": "null" }] }),
        kind => value(&kind, false),
    }
}

/// A value's shape: in a question integers are digits, in an answer long ones are text.
fn value(kind: &Kind, question: bool) -> Value {
    let long = |format: &str, least: i128, most: i128| match question {
        true => {
            json!({ "type": "integer", "format": format, "minimum": least as i64, "maximum": most as u64 })
        }
        false => json!({ "type": "string", "format": format }),
    };
    match kind {
        Kind::Message(message) => {
            known(message.full_name()).unwrap_or_else(|| reference(message.full_name()))
        }
        Kind::Enum(names) => {
            let names: Vec<String> = names.values().map(|v| v.name().to_string()).collect();
            json!({ "type": "string", "enum": names })
        }
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "format": "byte", "contentEncoding": "base64" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Float | Kind::Double => json!({ "type": "number" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX })
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX })
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => long("int64", i64::MIN.into(), i64::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => long("uint64", 0, u64::MAX.into()),
    }
}

/// Messages that are written in a form of their own.
fn known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Any" => json!({
            "type": "object",
            "description": "What it holds, with its type; of an unknown type its url and bytes.",
            "properties": { "@type": { "type": "string" } },
            "additionalProperties": true,
        }),
        "google.protobuf.Timestamp" => json!({ "type": ["string", "null"], "format": "date-time" }),
        "google.protobuf.Duration" => json!({ "type": "string", "examples": ["1.5s"] }),
        _ => return None,
    })
}
