//! The schemas themselves, for those who need to know them while running: reflection, the method table, and
//! whoever turns messages into JSON without a type for each.

use prost::Message;
use prost_types::FileDescriptorSet;

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
