//! Compiles `proto/` with a pure-Rust compiler, so that nobody needs `protoc`. Our own messages also get
//! serde, because the REST door speaks JSON.

use std::{env, error::Error, fs, path::Path, path::PathBuf};

use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    // What reflection answers and the method table is read from: the schemas without their comments. The compiler
    // encodes them itself, because the options that hold REST paths are unknown to the types of `descriptors`.
    let bare = Compiler::new([&root])?.include_imports(true).open_files(&files)?.encode_file_descriptor_set();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), bare)?;
    let descriptors = protox::compile(&files, [&root])?;
    let mut config = prost_build::Config::new();
    config.type_attribute(".dodona", "#[derive(serde::Serialize, serde::Deserialize)]");
    config.message_attribute(".dodona", "#[serde(default)]");
    for path in BYTES {
        config.field_attribute(path, "#[serde(with = \"crate::json::hex_bytes\")]");
    }
    for path in BYTES_LISTS {
        config.field_attribute(path, "#[serde(with = \"crate::json::hex_list\")]");
    }
    config.enable_type_names();
    config.include_file("wire.rs");
    config.compile_fds(descriptors)?;
    Ok(())
}

const BYTES: [&str; 19] = [
    ".dodona.subnets.v1.MsgAnnounceColdkeySwap.digest",
    ".dodona.subnets.v1.QueryColdkeySwapResponse.digest",
    ".dodona.subnets.v1.MsgCommitWeights.digest",
    ".dodona.subnets.v1.MsgRevealWeights.salt",
    ".dodona.subnets.v1.OpenCommit.digest",
    ".dodona.topics.v1.QueryTrailResponse.open",
    ".dodona.topics.v1.QueryTrailResponse.judge",
    ".dodona.topics.v1.MsgRelay.message",
    ".dodona.topics.v1.MsgRelay.public_key",
    ".dodona.topics.v1.MsgRelay.signature",
    ".dodona.topics.v1.MsgReportTruth.evidence",
    ".dodona.chain.v1.QueryStatusResponse.block_id",
    ".dodona.chain.v1.QueryStatusResponse.app_hash",
    ".dodona.chain.v1.QueryTxRequest.hash",
    ".dodona.chain.v1.TxReceipt.hash",
    ".dodona.chain.v1.QueryBlockResponse.block_id",
    ".dodona.chain.v1.QueryBlockResponse.parent",
    ".dodona.chain.v1.QueryBlockResponse.app_hash",
    ".dodona.chain.v1.QueryBlockResponse.proposer",
];
const BYTES_LISTS: [&str; 3] = [
    ".dodona.subnets.v1.MsgSetCommitment.fields",
    ".dodona.subnets.v1.Commitment.fields",
    ".dodona.chain.v1.QueryBlockResponse.tx_hashes",
];

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
    Ok(())
}
