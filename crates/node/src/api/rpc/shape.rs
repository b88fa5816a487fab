//! Shapes of the answers: blocks, headers, commits, events and results as clients of this RPC take them apart. Hashes
//! that our blocks do not have are empty texts.

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::Receipt;
use dodona_consensus::{Address, Block, Certificate, PublicKey};
use serde_json::{Value, json};

use crate::api::events::Typed;

/// Upper-case hex, as hashes and addresses are written here.
pub(super) fn hex_upper(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_upper(bytes)
}

/// RFC 3339 of unix milliseconds; what lies after the year 9999 is its end.
pub(super) fn time(ms: u64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS))).to_string()
}

pub(super) fn events(list: &[Typed]) -> Value {
    list.iter().map(event).collect()
}

pub(super) fn event(event: &Typed) -> Value {
    let attribute = |(key, value): &(String, String)| json!({ "key": key, "value": value, "index": true });
    let attributes: Vec<Value> = event.attributes.iter().map(attribute).collect();
    json!({ "type": event.kind, "attributes": attributes })
}

/// What came of a transaction.
pub(super) fn tx_result(receipt: &Receipt, list: &[Typed]) -> Value {
    json!({
        "code": receipt.code, "data": "", "log": receipt.log, "info": "",
        "gas_wanted": receipt.gas_wanted.to_string(), "gas_used": receipt.gas_used.to_string(),
        "events": events(list), "codespace": receipt.codespace,
    })
}

/// A block is one part here, named like the block. The block before the first is empty.
pub(super) fn block_id(hash: [u8; 32]) -> Value {
    if hash == [0; 32] {
        return json!({ "hash": "", "parts": { "total": 0, "hash": "" } });
    }
    let hash = hex_upper(hash);
    json!({ "hash": hash, "parts": { "total": 1, "hash": hash } })
}

pub(super) fn header(block: &Block) -> Value {
    let h = &block.header;
    json!({
        "version": { "block": "11", "app": "1" },
        "chain_id": h.chain_id, "height": h.height.to_string(), "time": time(h.time_ms),
        "last_block_id": block_id(h.parent.0),
        "last_commit_hash": "", "data_hash": hex_upper(h.body_root),
        "validators_hash": hex_upper(h.validators_hash), "next_validators_hash": hex_upper(h.next_validators_hash),
        "consensus_hash": "", "app_hash": hex_upper(h.app_hash), "last_results_hash": hex_upper(h.receipts_hash),
        "evidence_hash": "", "proposer_address": hex_upper(h.proposer.0),
    })
}

/// A certificate: everybody in it voted for the block. Votes carry no time of their own; the block's stands for it.
pub(super) fn commit(certificate: &Certificate, time_ms: u64) -> Value {
    let signed = |(address, signature): &(Address, dodona_consensus::Signature)| {
        json!({
            "block_id_flag": 2, "validator_address": hex_upper(address.0), "timestamp": time(time_ms),
            "signature": STANDARD.encode(signature.0),
        })
    };
    json!({
        "height": certificate.height.to_string(), "round": certificate.round,
        "block_id": block_id(certificate.block_id.0),
        "signatures": certificate.signatures.iter().map(signed).collect::<Vec<_>>(),
    })
}

/// A block with the commit of the one before it, which is empty for the first.
pub(super) fn block(block: &Block, before: Option<(&Certificate, u64)>) -> Value {
    let none = || json!({ "height": "0", "round": 0, "block_id": block_id([0; 32]), "signatures": [] });
    let txs: Vec<String> = block.body.txs.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    json!({
        "header": header(block), "data": { "txs": txs }, "evidence": { "evidence": [] },
        "last_commit": before.map_or_else(none, |(certificate, time_ms)| commit(certificate, time_ms)),
    })
}

pub(super) fn public_key(key: &[u8; 32]) -> Value {
    json!({ "type": "tendermint/PubKeyEd25519", "value": STANDARD.encode(key) })
}

/// Name of a validator; empty for bytes that are no key, which no validator has.
pub(super) fn address(key: &[u8; 32]) -> String {
    PublicKey::from_bytes(key).map_or_else(|_| String::new(), |key| hex_upper(Address::of(&key).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert_eq!(time(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
