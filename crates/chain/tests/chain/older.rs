//! The release before, `emissions.v9`: its questions have the answers of version 10 where shapes agree, its own where
//! they do not; its messages do what those of version 10 do.

use std::collections::{BTreeMap, BTreeSet};

use dodona_chain::emissions::OWN_SHAPES;
use dodona_proto::{
    ALLO, DESCRIPTORS,
    emissions::{v3, v9, v10},
    methods,
    tx::pack,
};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

use super::{
    emissions::{fresh, lived, raw},
    kit::*,
    messages::{bundle, losses},
};

const OLD: &str = "/emissions.v9.QueryService/";
const NEW: &str = "/emissions.v10.QueryService/";

fn shapes() -> BTreeMap<String, DescriptorProto> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let of = |file: prost_types::FileDescriptorProto| {
        let package = file.package().to_string();
        file.message_type.into_iter().map(move |m| (format!(".{package}.{}", m.name()), m))
    };
    files.into_iter().flat_map(of).collect()
}

/// Whether bytes of the first message read as the second: every field of the first is in the second.
fn reads_as(shapes: &BTreeMap<String, DescriptorProto>, from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    let (Some(from), Some(to)) = (shapes.get(from), shapes.get(to)) else { return false };
    from.field.iter().all(|field| {
        to.field.iter().any(|other| {
            let same = field.number() == other.number()
                && field.label() == other.label()
                && field.r#type() == other.r#type();
            let deep = match field.r#type() {
                Type::Message => reads_as(shapes, field.type_name(), other.type_name()),
                _ => true,
            };
            same && deep
        })
    })
}

#[test]
fn questions_answered_as_in_version_10_have_its_shapes_and_the_others_are_named() {
    let (all, shapes) = (methods(), shapes());
    let new: BTreeMap<&str, (&str, &str)> = all
        .iter()
        .filter_map(|(path, from, to)| Some((path.strip_prefix(NEW)?, (from.as_str(), to.as_str()))))
        .collect();
    let mut differ = BTreeSet::new();
    let mut same = 0;
    for (path, from, to) in &all {
        let Some(name) = path.strip_prefix(OLD) else { continue };
        // Whoever asks may say less than we read, and read less than we say.
        let agrees = new.get(name).is_some_and(|(asked, given)| {
            reads_as(&shapes, &format!(".{from}"), &format!(".{asked}"))
                && reads_as(&shapes, &format!(".{to}"), &format!(".{given}"))
        });
        match agrees {
            true => same += 1,
            false => {
                differ.insert(name);
            }
        }
    }
    assert_eq!(differ, OWN_SHAPES.into_iter().collect());
    assert_eq!(same, 99);
}

#[test]
fn messages_read_as_those_of_version_10() {
    let shapes = shapes();
    for name in [
        "InsertWorkerPayloadRequest",
        "InsertReputerPayloadRequest",
        "CreateNewTopicRequest",
        "RegisterRequest",
        "RemoveRegistrationRequest",
        "AddStakeRequest",
        "RemoveStakeRequest",
        "CancelRemoveStakeRequest",
        "DelegateStakeRequest",
        "RemoveDelegateStakeRequest",
        "CancelRemoveDelegateStakeRequest",
        "RewardDelegateStakeRequest",
        "FundTopicRequest",
        "BulkAddToTopicWorkerWhitelistRequest",
        "BulkAddToTopicReputerWhitelistRequest",
    ] {
        let of = |version: &str| format!(".emissions.{version}.{name}");
        assert!(reads_as(&shapes, &of("v9"), &of("v10")), "{name}");
    }
}

fn old<A: Message + Default>(net: &Net, name: &str, request: &impl Message) -> A {
    let bytes = raw(net, &format!("{OLD}{name}"), &request.encode_to_vec());
    A::decode(bytes.unwrap_or_else(|e| panic!("{name}: {e}")).as_slice()).unwrap()
}

#[test]
fn answers_of_one_label_are_single_numbers() {
    let (net, id, nonce) = lived();
    let at = v9::GetNetworkInferencesAtBlockRequest {
        topic_id: id,
        block_height_last_inference: i64::try_from(nonce).unwrap(),
    };
    let older: v9::GetNetworkInferencesAtBlockResponse = old(&net, "GetNetworkInferencesAtBlock", &at);
    let newer = raw(&net, &format!("{NEW}GetNetworkInferencesAtBlock"), &at.encode_to_vec()).unwrap();
    let newer = v10::GetNetworkInferencesAtBlockResponse::decode(newer.as_slice()).unwrap();
    let (older, newer) = (older.network_inferences.unwrap(), newer.network_inferences.unwrap());
    assert_eq!(older.combined_value, newer.combined_value[0].value);
    assert_eq!(older.naive_value, newer.naive_value[0].value);
    let pairs = |list: &[v3::WorkerAttributedValue]| -> Vec<(String, String)> {
        list.iter().map(|v| (v.worker.clone(), v.value.clone())).collect()
    };
    let expected: Vec<(String, String)> =
        newer.inferer_values.iter().map(|v| (v.worker.clone(), v.values[0].value.clone())).collect();
    assert_eq!((pairs(&older.inferer_values), expected.len()), (expected, 4));
    assert_eq!(older.one_out_inferer_values.len(), newer.one_out_inferer_values.len());
    assert_eq!(older.one_out_inferer_forecaster_values.len(), 2, "one row per forecaster");

    let epoch =
        v9::GetInferencesAtBlockRequest { topic_id: id, block_height: at.block_height_last_inference };
    let said: v9::GetInferencesAtBlockResponse = old(&net, "GetInferencesAtBlock", &epoch);
    let said = said.inferences.unwrap().inferences;
    let w4 = said.iter().find(|i| i.inferer == text("w4")).unwrap();
    assert_eq!((said.len(), w4.value.as_str()), (4, "9"));
    for name in ["GetLatestNetworkInferences", "GetLatestNetworkInferencesOutlierResistant"] {
        let request = v9::GetLatestNetworkInferencesRequest { topic_id: id };
        let newest: v9::GetLatestNetworkInferencesResponse = old(&net, name, &request);
        assert_eq!(newest.inference_block_height, at.block_height_last_inference);
    }
    let topic: v9::GetTopicResponse = old(&net, "GetTopic", &v9::GetTopicRequest { topic_id: id });
    assert_eq!(topic.topic.unwrap().id, id);
}

#[test]
fn names_of_version_10_alone_are_no_questions_of_version_9() {
    let (net, ..) = lived();
    let read = net.app.store().snapshot().unwrap();
    for name in
        ["GetWorkerLatestInputInferenceByTopicId", "GetNothing", "", "/emissions.v10.QueryService/GetTopic"]
    {
        assert!(dodona_chain::emissions::answer(&read, &format!("{OLD}{name}"), &[]).is_none(), "{name}");
    }
}

fn tx(from: &str, name: &str, message: &impl Message) -> Tx {
    Tx::new(from, vec![pack(&format!("/emissions.v9.{name}Request"), message)])
}

#[test]
fn a_whole_epoch_is_lived_in_the_words_of_version_9() {
    let mut net = Net::new();
    let topic = v9::CreateNewTopicRequest {
        creator: text("alice"),
        metadata: "an old topic".into(),
        loss_method: "mse".into(),
        epoch_length: 4,
        ground_truth_lag: 4,
        worker_submission_window: 2,
        p_norm: "3.0".into(),
        alpha_regret: "0.1".into(),
        epsilon: "0.01".into(),
        merit_sortition_alpha: "0.1".into(),
        active_inferer_quantile: "0.2".into(),
        active_forecaster_quantile: "0.2".into(),
        active_reputer_quantile: "0.2".into(),
        c_norm: "0.75".into(),
        ..Default::default()
    };
    net.done(&[tx("alice", "CreateNewTopic", &topic)]);
    let id = 1;
    let register = |who: &str, is_reputer: bool| {
        let (sender, owner) = (text(who), text(who));
        tx(who, "Register", &v9::RegisterRequest { sender, owner, topic_id: id, is_reputer })
    };
    let amount = (10 * ALLO).to_string();
    net.done(&[register("w1", false), register("r1", true)]);
    net.done(&[
        tx(
            "r1",
            "AddStake",
            &v9::AddStakeRequest { sender: text("r1"), topic_id: id, amount: amount.clone() },
        ),
        tx("alice", "FundTopic", &v9::FundTopicRequest { sender: text("alice"), topic_id: id, amount }),
    ]);
    let window = fresh(&mut net, id);
    let height = i64::try_from(window.nonce).unwrap();
    let signed = v9::InputInferenceForecastBundle {
        inference: Some(v9::InputInference {
            topic_id: id,
            block_height: height,
            inferer: text("w1"),
            value: "41.5".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let key = key("w1");
    let payload = v9::InsertWorkerPayloadRequest {
        sender: text("w1"),
        worker_data_bundle: Some(v9::InputWorkerDataBundle {
            worker: text("w1"),
            nonce: Some(v3::Nonce { block_height: height }),
            topic_id: id,
            inferences_forecasts_bundle_signature: key.sign(&signed.encode_to_vec()).to_vec(),
            inference_forecasts_bundle: Some(signed),
            pubkey: hex::encode(key.public()),
        }),
    };
    net.done(&[tx("w1", "InsertWorkerPayload", &payload)]);
    let live: v9::GetWorkerLatestInferenceByTopicIdResponse = old(
        &net,
        "GetWorkerLatestInferenceByTopicId",
        &v9::GetWorkerLatestInferenceByTopicIdRequest { topic_id: id, worker_address: text("w1") },
    );
    assert_eq!(live.latest_inference.unwrap().value, "41.5");
    net.wait_until(window.truth_first - 1);
    let report = bundle(&net, id, window.nonce, 41.0, 0.0);
    net.done(&[losses("r1", &report)]);
    net.wait_until(window.truth_last);
    assert_eq!(net.epoch(id, window.nonce).unwrap().state, "scored");
    let request = v9::GetReputerLossBundlesAtBlockRequest { topic_id: id, block_height: height };
    let reported: v9::GetReputerLossBundlesAtBlockResponse =
        old(&net, "GetReputerLossBundlesAtBlock", &request);
    let reported = reported.loss_bundles.unwrap().reputer_value_bundles;
    assert_eq!(reported[0].value_bundle.as_ref().unwrap().reputer, text("r1"));
}

#[test]
fn an_unknown_message_of_version_9_is_named_as_it_came() {
    let net = Net::new();
    let no = net.refused(&tx("alice", "Nothing", &v9::FundTopicRequest::default()));
    assert_eq!(no.id(), ("sdk", 6));
    assert!(no.log.contains("/emissions.v9.NothingRequest") && no.log.contains("unknown request"), "{no:?}");
}
