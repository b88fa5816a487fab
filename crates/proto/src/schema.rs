//! The schemas themselves, for those who need to know them while running: reflection, the method table, the REST
//! paths, and whoever turns messages into JSON without a type for each.

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::wire::google::api::{HttpRule, http_rule::Pattern};

/// All schemas, imports included, as an encoded `google.protobuf.FileDescriptorSet` without comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Every method of every service: its path (`/package.Service/Method`), the full name of its request and that
/// of its answer, both without a leading dot. Sorted by path; no method streams.
pub fn methods() -> Vec<(String, String, String)> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("written by this crate's build script");
    let mut all = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                all.push((path, bare(method.input_type()), bare(method.output_type())));
            }
        }
    }
    all.sort();
    all
}

fn bare(name: &str) -> String {
    name.strip_prefix('.').unwrap_or(name).to_string()
}

/// Where a method stands in the REST gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method, as in [`methods`].
    pub method: String,
    /// HTTP method, upper case.
    pub verb: &'static str,
    /// HTTP path; parts in braces are fields of the request.
    pub pattern: String,
    /// Whether the body is the request; otherwise its fields are in path and query.
    pub body: bool,
}

/// Every REST path of every method, in the order of the schemas. A method has none, one or several.
pub fn routes() -> Vec<Route> {
    let set = Schemas::decode(DESCRIPTORS).expect("written by this crate's build script");
    let mut all = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package, service.name, method.name);
                let rule = method.options.as_ref().and_then(|options| options.http.as_ref());
                let rules = rule.into_iter().flat_map(|r| std::iter::once(r).chain(&r.additional_bindings));
                all.extend(rules.filter_map(|rule| route(&path, rule)));
            }
        }
    }
    all
}

fn route(method: &str, rule: &HttpRule) -> Option<Route> {
    let (verb, pattern) = match rule.pattern.as_ref()? {
        Pattern::Get(path) => ("GET", path),
        Pattern::Put(path) => ("PUT", path),
        Pattern::Post(path) => ("POST", path),
        Pattern::Delete(path) => ("DELETE", path),
        Pattern::Patch(path) => ("PATCH", path),
    };
    Some(Route { method: method.into(), verb, pattern: pattern.clone(), body: !rule.body.is_empty() })
}

// The descriptors once more, as far as the extension with the REST path: the library's own types drop extensions.

#[derive(Clone, PartialEq, Message)]
struct Schemas {
    #[prost(message, repeated, tag = "1")]
    file: Vec<SchemaFile>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaFile {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<SchemaService>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaService {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<SchemaMethod>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaMethod {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "4")]
    options: Option<SchemaOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaOptions {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}
