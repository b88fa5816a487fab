//! Finds and reads the shared wire files: byte-exact vectors and schema tables.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// `wire/<name>` of the shared files; prints a line and gives nothing when it is absent.
pub fn load(name: &str) -> Option<Value> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var_os("DODONA_SHARED").map_or_else(|| default.into(), PathBuf::from);
    let file = shared.join("wire").join(name);
    let Ok(text) = fs::read_to_string(&file) else {
        println!("skipped: {} is absent", file.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("a wire file is JSON"))
}
