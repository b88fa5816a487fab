//! Our schemas against the tables taken from a published client: every message, field, enum and method of
//! theirs is in ours with the same number and type, and ours hold nothing that theirs do not.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod common;

use std::collections::{BTreeMap, BTreeSet};

use dodona_proto::{DESCRIPTORS, methods, routes};
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::Value;

const FILES: [&str; 6] = [
    "emissions.v10.json",
    "emissions.v9.json",
    "emissions.v3.json",
    "mint.v5.json",
    "feemarket.v1.json",
    "cosmos.json",
];
/// The package we hold in part: only what later versions stand on.
const IN_PART: &str = "emissions.v3";
/// The compiler's own, which need no table.
const BUILT_IN: &str = "google.protobuf";

/// A field or value as one line, so that two sides compare as text.
type Shapes = BTreeMap<String, BTreeSet<String>>;

/// The tables flatten nested names; without dots both spellings are one.
fn flat(name: &str) -> String {
    name.replace('.', "")
}

fn packages() -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for file in FILES {
        let table = common::load(file)?;
        match table["packages"].as_object() {
            Some(several) => all.extend(several.values().cloned()),
            None => all.push(table),
        }
    }
    all.retain(|p| p["package"] != BUILT_IN);
    Some(all)
}

fn table_shapes(package: &Value) -> Shapes {
    let name = package["package"].as_str().unwrap();
    let mut shapes = Shapes::new();
    for (message, about) in package["messages"].as_object().unwrap() {
        let mut lines = BTreeSet::new();
        for field in about["fields"].as_array().unwrap() {
            let of = |key: &str| field[key].as_str().unwrap_or_default();
            let kind =
                if of("type_name").is_empty() { of("type").to_string() } else { flat(of("type_name")) };
            let repeated = of("label") == "repeated";
            lines.insert(line(of("name"), field["number"].as_i64().unwrap(), &kind, repeated, of("oneof")));
        }
        shapes.insert(flat(&format!("{name}{message}")), lines);
    }
    for (kind, about) in package["enums"].as_object().into_iter().flatten() {
        let values = about["values"].as_object().unwrap();
        let lines = values.iter().map(|(number, value)| format!("{}={number}", value.as_str().unwrap()));
        shapes.insert(flat(&format!("{name}{kind}")), lines.collect());
    }
    shapes
}

fn line(name: &str, number: i64, kind: &str, repeated: bool, oneof: &str) -> String {
    format!("{name}={number} {kind} repeated={repeated} oneof={oneof}")
}

fn our_shapes(package: &str) -> Shapes {
    let mut shapes = Shapes::new();
    for file in FileDescriptorSet::decode(DESCRIPTORS).unwrap().file {
        if file.package() == package {
            file.message_type.iter().for_each(|m| add_message(package, m, &mut shapes));
            file.enum_type.iter().for_each(|e| add_enum(package, e, &mut shapes));
        }
    }
    shapes
}

fn add_message(scope: &str, message: &DescriptorProto, shapes: &mut Shapes) {
    let name = format!("{scope}{}", message.name());
    let mut lines = BTreeSet::new();
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => flat(field.type_name()),
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        let oneof = field.oneof_index.map_or("", |i| message.oneof_decl[i as usize].name());
        let repeated = field.label() == Label::Repeated;
        lines.insert(line(field.name(), field.number().into(), &kind, repeated, oneof));
    }
    shapes.insert(flat(&name), lines);
    message.nested_type.iter().for_each(|m| add_message(&name, m, shapes));
    message.enum_type.iter().for_each(|e| add_enum(&name, e, shapes));
}

fn add_enum(scope: &str, kind: &EnumDescriptorProto, shapes: &mut Shapes) {
    let lines = kind.value.iter().map(|v| format!("{}={}", v.name(), v.number()));
    shapes.insert(flat(&format!("{scope}{}", kind.name())), lines.collect());
}

#[test]
fn every_message_and_enum_is_shaped_as_in_the_tables() {
    let Some(packages) = packages() else { return };
    for package in packages {
        let name = package["package"].as_str().unwrap();
        let (mut theirs, ours) = (table_shapes(&package), our_shapes(name));
        if name == IN_PART {
            theirs.retain(|shape, _| ours.contains_key(shape));
        }
        assert!(!theirs.is_empty(), "{name}");
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (shape, lines) in &theirs {
            assert_eq!(&ours[shape], lines, "{shape}");
        }
    }
}

#[test]
fn every_method_of_the_tables_is_in_the_method_table() {
    let Some(packages) = packages() else { return };
    let ours: BTreeMap<_, _> = methods().into_iter().map(|(path, from, to)| (path, (from, to))).collect();
    let mut seen = 0;
    for package in packages.iter().filter(|p| p["package"] != IN_PART) {
        for method in package["services"].as_object().unwrap().values().flat_map(|s| s.as_array().unwrap()) {
            let of = |key: &str| method[key].as_str().unwrap().to_string();
            assert_eq!(ours.get(&of("path")), Some(&(of("input"), of("output"))), "{}", of("path"));
            seen += 1;
        }
    }
    // Parameters by name are older than the tables; a client that is still in use asks for one of them. Slashing and
    // mint have no tables either; their shapes were compared with those in cosmpy 0.12 and cosmjs-types.
    let own = ["/dodona.", "/cosmos.params.", "/cosmos.slashing.", "/cosmos.mint."];
    let foreign = ours.keys().filter(|path| !own.iter().any(|prefix| path.starts_with(prefix)));
    assert_eq!(foreign.count(), seen);
}

#[test]
fn every_published_rest_path_is_in_the_route_table() {
    let Some(packages) = packages() else { return };
    let ours: BTreeSet<_> = routes().into_iter().map(|route| (route.method, route.pattern)).collect();
    let mut seen = 0;
    for package in packages.iter().filter(|p| p["package"] != IN_PART) {
        for method in package["services"].as_object().unwrap().values().flat_map(|s| s.as_array().unwrap()) {
            let Some(pattern) = method["http_path"].as_str() else { continue };
            let path = method["path"].as_str().unwrap();
            assert!(ours.contains(&(path.into(), pattern.into())), "{path}: {pattern}");
            seen += 1;
        }
    }
    assert!(seen > 250, "{seen}");
}

#[test]
fn every_route_belongs_to_a_method_and_its_parts_in_braces_are_fields_of_the_request() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let fields: BTreeMap<String, BTreeSet<&str>> = set
        .file
        .iter()
        .flat_map(|f| f.message_type.iter().map(|m| (format!("{}.{}", f.package(), m.name()), m)))
        .map(|(name, m)| (name, m.field.iter().map(|f| f.name()).collect()))
        .collect();
    let requests: BTreeMap<_, _> = methods().into_iter().map(|(path, from, _)| (path, from)).collect();
    for route in routes() {
        let parts = route.pattern.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
        for part in parts {
            assert!(fields[&requests[&route.method]].contains(part), "{}: {part}", route.pattern);
        }
        assert_eq!(route.body, route.verb == "POST", "{}", route.pattern);
    }
}

#[test]
fn every_type_a_method_names_is_described_and_no_method_streams() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let known: BTreeSet<String> = set
        .file
        .iter()
        .flat_map(|f| f.message_type.iter().map(|m| format!("{}.{}", f.package(), m.name())))
        .collect();
    let all = methods();
    assert!(!all.is_empty());
    for (path, from, to) in all {
        assert!(known.contains(&from) && known.contains(&to), "{path}");
    }
    for method in set.file.iter().flat_map(|f| &f.service).flat_map(|s| &s.method) {
        assert!(!method.client_streaming() && !method.server_streaming(), "{}", method.name());
    }
}
