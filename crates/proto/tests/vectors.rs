//! Byte-exact agreement with transactions signed by a published client.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

use std::{fs, path::PathBuf};

use dodona_proto::{sign::AccountKey, tx};
use serde_json::Value;

fn shared() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    std::env::var_os("DODONA_SHARED").map_or_else(|| default.into(), PathBuf::from)
}

#[test]
fn a_transfer_signed_by_us_equals_the_published_clients_byte_for_byte() {
    let file = shared().join("wire/vectors.json");
    let Ok(text) = fs::read_to_string(&file) else {
        println!("skipped: {} is absent", file.display());
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let (key, case) = (&all["key"], &all["tx_send"]);
    let secret = hex::decode(key["private_key_hex"].as_str().unwrap()).unwrap();
    let key_pair = AccountKey::from_bytes(secret.try_into().unwrap()).unwrap();
    assert_eq!(key_pair.address().to_string(), key["address"].as_str().unwrap());

    let signing = tx::Signing {
        key: &key_pair,
        chain_id: case["chain_id"].as_str().unwrap(),
        account_number: case["account_number"].as_u64().unwrap(),
        sequence: case["sequence"].as_u64().unwrap(),
        fee: case["fee_uallo"].as_u64().unwrap().into(),
        gas_limit: case["gas_limit"].as_u64().unwrap(),
    };
    let bytes = signing.build(vec![tx::send(key_pair.address(), key_pair.address(), 1)], 0);
    assert_eq!(hex::encode(&bytes), case["tx_raw_hex"].as_str().unwrap());
    if let Some(hash) = case["tx_hash"].as_str() {
        assert_eq!(hex::encode_upper(tx::hash(&bytes)), hash);
    }
}
