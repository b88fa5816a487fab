//! Byte-exact agreement with what a published client writes: keys, addresses, transfers from message to hash,
//! and signed payload bundles.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod common;

use dodona_proto::{
    DENOM,
    cosmos::{
        bank::v1beta1::MsgSend,
        crypto::secp256k1::PubKey,
        tx::v1beta1::{AuthInfo, SignDoc, Tx, TxBody, TxRaw},
    },
    emissions::{v9, v10},
    sign::{self, AccountKey},
    tx, url,
};
use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const FILE: &str = "vectors.json";

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

fn key(all: &Value) -> AccountKey {
    AccountKey::from_bytes(bytes(&all["key"]["private_key_hex"]).try_into().unwrap()).unwrap()
}

/// Decodes, and insists that encoding gives the same bytes.
fn there_and_back<M: Message + Default>(wire: &[u8]) -> M {
    let message = M::decode(wire).unwrap();
    assert_eq!(hex::encode(message.encode_to_vec()), hex::encode(wire));
    message
}

/// The bytes of a length-delimited field as they stand in a message, the last one if there are several.
fn cut(mut wire: &[u8], number: u32) -> &[u8] {
    let mut found = None;
    while !wire.is_empty() {
        let (field, kind) = decode_key(&mut wire).unwrap();
        let value = decode_varint(&mut wire).unwrap();
        match kind {
            WireType::Varint => {}
            WireType::LengthDelimited => {
                let (inside, rest) = wire.split_at(value.try_into().unwrap());
                wire = rest;
                if field == number {
                    found = Some(inside);
                }
            }
            other => panic!("no message here has a {other:?} field"),
        }
    }
    found.unwrap()
}

#[test]
fn every_kind_of_vector_is_known() {
    let Some(all) = common::load(FILE) else { return };
    let mut read = vec!["note", "key", "tx_send", "tx_send_account_zero", "reputer_bundle"];
    read.extend(["worker_bundle_inference_only", "worker_bundle_forecast_only", "worker_bundle_multi_label"]);
    for kind in all.as_object().unwrap().keys() {
        match kind.as_str() {
            "canonical_decimals" => println!("{kind}: spelling of numbers, which messages carry as text"),
            "fees" => println!("{kind}: arithmetic of the client, nothing of it is encoded"),
            other => assert!(read.contains(&other), "nobody reads {other}"),
        }
    }
}

#[test]
fn keys_and_addresses_are_the_published_clients() {
    let Some(all) = common::load(FILE) else { return };
    let (key, case) = (key(&all), &all["key"]);
    assert_eq!(key.public().to_vec(), bytes(&case["public_key_hex"]));
    assert_eq!(key.address().to_string(), text(&case["address"]));
    let (prefix, account) = bech32::decode(text(&case["address"])).unwrap();
    assert_eq!((prefix.as_str(), account.clone()), (dodona_proto::PREFIX, bytes(&case["address_bytes_hex"])));
    let operator = bech32::Hrp::parse(&format!("{}valoper", dodona_proto::PREFIX)).unwrap();
    assert_eq!(bech32::encode::<bech32::Bech32>(operator, &account).unwrap(), text(&case["valoper"]));
}

#[test]
fn a_transfer_signed_by_us_equals_the_published_clients_byte_for_byte() {
    let Some(all) = common::load(FILE) else { return };
    let key = key(&all);
    for name in ["tx_send", "tx_send_account_zero"] {
        let case = &all[name];
        let signing = tx::Signing {
            key: &key,
            chain_id: text(&case["chain_id"]),
            account_number: case["account_number"].as_u64().unwrap(),
            sequence: case["sequence"].as_u64().unwrap(),
            fee: case["fee_uallo"].as_u64().unwrap().into(),
            gas_limit: case["gas_limit"].as_u64().unwrap(),
        };
        let bytes = signing.build(vec![tx::send(key.address(), key.address(), 1)], 0);
        assert_eq!(hex::encode(&bytes), text(&case["tx_raw_hex"]), "{name}");
        assert_eq!(hex::encode_upper(tx::hash(&bytes)), text(&case["tx_hash"]), "{name}");
    }
}

#[test]
fn a_published_clients_transfer_is_read_and_written_back_unchanged() {
    let Some(all) = common::load(FILE) else { return };
    let key = key(&all);
    for name in ["tx_send", "tx_send_account_zero"] {
        let case = &all[name];
        let sequence = case["sequence"].as_u64().unwrap();
        let account_number = case["account_number"].as_u64().unwrap();

        let raw: TxRaw = there_and_back(&bytes(&case["tx_raw_hex"]));
        assert_eq!(raw.body_bytes, bytes(&case["body_bytes_hex"]));
        assert_eq!(raw.auth_info_bytes, bytes(&case["auth_info_bytes_hex"]));
        assert_eq!(raw.signatures, [bytes(&case["signature_hex"])]);
        there_and_back::<Tx>(&bytes(&case["tx_raw_hex"]));

        let body: TxBody = there_and_back(&raw.body_bytes);
        let [packed] = body.messages.as_slice() else { panic!("one message") };
        assert_eq!((packed.type_url.as_str(), &packed.value), (url::SEND, &bytes(&case["msg_hex"])));
        assert_eq!(packed.type_url, text(&case["type_url"]));
        let message: MsgSend = there_and_back(&packed.value);
        assert_eq!(message.from_address, key.address().to_string());

        let auth: AuthInfo = there_and_back(&raw.auth_info_bytes);
        let [signer] = auth.signer_infos.as_slice() else { panic!("one signer") };
        assert_eq!(signer.sequence, sequence);
        let public: PubKey = there_and_back(&signer.public_key.as_ref().unwrap().value);
        assert_eq!(public.key, key.public());
        let fee = auth.fee.as_ref().unwrap();
        assert_eq!(fee.gas_limit, case["gas_limit"].as_u64().unwrap());
        assert_eq!(
            (fee.amount[0].denom.as_str(), fee.amount[0].amount.clone()),
            (DENOM, case["fee_uallo"].to_string())
        );

        let doc: SignDoc = there_and_back(&bytes(&case["sign_doc_hex"]));
        assert_eq!((doc.chain_id.as_str(), doc.account_number), (text(&case["chain_id"]), account_number));
        let signed = tx::sign_bytes(&raw.body_bytes, &raw.auth_info_bytes, &doc.chain_id, account_number);
        assert_eq!(signed, bytes(&case["sign_doc_hex"]));
        assert_eq!(Sha256::digest(&signed).to_vec(), bytes(&case["sign_doc_sha256"]));
        sign::verify(key.public(), &signed, &raw.signatures[0]).unwrap();

        let trial: TxRaw = there_and_back(&bytes(&case["simulate_tx_hex"]));
        assert_eq!((&trial.body_bytes, &trial.auth_info_bytes), (&raw.body_bytes, &raw.auth_info_bytes));
        assert_eq!(trial.signatures, [Vec::<u8>::new()]);
    }
}

#[test]
fn worker_bundles_keep_their_bytes_and_their_signature() {
    let Some(all) = common::load(FILE) else { return };
    let key = key(&all);
    for (name, infers, forecasts, labels) in [
        ("worker_bundle_inference_only", true, false, &["y"][..]),
        ("worker_bundle_forecast_only", false, true, &[]),
        ("worker_bundle_multi_label", true, false, &["cat", "dog"]),
    ] {
        let case = &all[name];
        let part: v10::InputInferenceForecastBundle = there_and_back(&bytes(&case["bytes_hex"]));
        assert_eq!((part.inference.is_some(), part.forecast.is_some()), (infers, forecasts), "{name}");
        let values = part.inference.iter().flat_map(|i| &i.values);
        assert_eq!(values.map(|v| v.label.as_str()).collect::<Vec<_>>(), labels, "{name}");

        let wire = bytes(&case["message_hex"]);
        let message: v10::InsertWorkerPayloadRequest = there_and_back(&wire);
        let bundle = message.worker_data_bundle.unwrap();
        assert_eq!(message.sender, key.address().to_string());
        assert_eq!(bundle.pubkey, hex::encode(key.public()));
        assert_eq!(bundle.inference_forecasts_bundle.as_ref(), Some(&part));
        let signature = &bundle.inferences_forecasts_bundle_signature;
        assert_bundle_signed(&key, case, cut(cut(&wire, 2), 4), signature);
    }
}

#[test]
fn a_version_9_reader_keeps_what_version_10_added_out_of_the_way() {
    let Some(all) = common::load(FILE) else { return };
    let wire = bytes(&all["worker_bundle_inference_only"]["message_hex"]);
    let old = v9::InsertWorkerPayloadRequest::decode(wire.as_slice()).unwrap();
    let new = v10::InsertWorkerPayloadRequest::decode(wire.as_slice()).unwrap();
    assert_eq!(old.sender, new.sender);
    let inference = old.worker_data_bundle.unwrap().inference_forecasts_bundle.unwrap().inference.unwrap();
    assert_eq!((inference.topic_id, inference.value.as_str()), (1, "0"));
}

#[test]
fn a_reputer_bundle_keeps_its_bytes_and_its_signature() {
    let Some(all) = common::load(FILE) else { return };
    let (key, case) = (key(&all), &all["reputer_bundle"]);
    let part: v9::InputValueBundle = there_and_back(&bytes(&case["bytes_hex"]));
    let wire = bytes(&case["message_hex"]);
    let message: v10::InsertReputerPayloadRequest = there_and_back(&wire);
    let bundle = message.reputer_value_bundle.unwrap();
    assert_eq!(bundle.value_bundle, Some(part));
    assert_eq!(bundle.pubkey, hex::encode(key.public()));
    assert_bundle_signed(&key, case, cut(cut(&wire, 2), 1), &bundle.signature);
    there_and_back::<v9::InsertReputerPayloadRequest>(&wire); // version 9 writes the same
}

/// The signed part, cut out of the message, is what the file says, and so are its digest and signature.
fn assert_bundle_signed(key: &AccountKey, case: &Value, part: &[u8], signature: &[u8]) {
    assert_eq!(part, bytes(&case["bytes_hex"]));
    assert_eq!(Sha256::digest(part).to_vec(), bytes(&case["sha256"]));
    assert_eq!(signature, bytes(&case["signature_hex"]));
    assert_eq!(key.sign(part).to_vec(), signature);
    sign::verify(key.public(), part, signature).unwrap();
}
