//! Published clients fall back to fixed gas limits when simulation fails. Every message they send stays below its
//! limit, and simulation says what execution takes. docs/protocol/gas.md has the table that this test prints.

use dodona_proto::{
    ALLO,
    emissions::{v3, v9, v10},
    topics::{MsgReportLosses, Role, Rule, TopicSpec, TruthMode},
    tx::pack,
    url,
};
use prost::Message;
use prost_types::Any;

use super::{kit::*, messages::bundle};

/// Blocks, workers and reputers of a busy topic: as many as topics hear by default.
const INFERERS: usize = 32;
const FORECASTERS: usize = 6;

fn worker_payload(from: &str, topic_id: u64, nonce: u64, about: &[String]) -> Any {
    let (who, height) = (text(from), nonce as i64);
    let element = |inferer: &String| v10::InputForecastElement {
        inferer: inferer.clone(),
        value: "-1.234567890123456789".into(),
    };
    let forecast = v10::InputForecast {
        topic_id,
        block_height: height,
        forecaster: who.clone(),
        forecast_elements: about.iter().map(element).collect(),
        ..Default::default()
    };
    let inference = v10::InputInference {
        topic_id,
        block_height: height,
        inferer: who.clone(),
        value: "10.123456789012345678".into(),
        ..Default::default()
    };
    let inner = v10::InputInferenceForecastBundle {
        inference: Some(inference),
        forecast: (!about.is_empty()).then_some(forecast),
    };
    let signature = key(from).sign(&inner.encode_to_vec()).to_vec();
    let bundle = v10::InputWorkerDataBundle {
        worker: who.clone(),
        nonce: Some(v3::Nonce { block_height: height }),
        topic_id,
        inference_forecasts_bundle: Some(inner),
        inferences_forecasts_bundle_signature: signature,
        pubkey: hex::encode(key(from).public()),
    };
    pack(url::V10_WORKER, &v10::InsertWorkerPayloadRequest { sender: who, worker_data_bundle: Some(bundle) })
}

fn reputer_payload(from: &str, losses: &MsgReportLosses) -> Any {
    let attributed = |list: &[dodona_proto::topics::MemberLoss]| {
        list.iter()
            .map(|l| v9::InputWorkerAttributedValue { worker: l.address.clone(), value: l.loss.clone() })
            .collect()
    };
    let withheld = |list: &[dodona_proto::topics::MemberLoss]| -> Vec<_> {
        list.iter()
            .map(|l| v9::InputWithheldWorkerAttributedValue {
                worker: l.address.clone(),
                value: l.loss.clone(),
            })
            .collect()
    };
    let nonce = v3::Nonce { block_height: losses.nonce as i64 };
    let values = v9::InputValueBundle {
        topic_id: losses.topic_id,
        reputer_request_nonce: Some(v3::ReputerRequestNonce { reputer_nonce: Some(nonce) }),
        reputer: text(from),
        extra_data: Vec::new(),
        combined_value: losses.combined.clone(),
        inferer_values: attributed(&losses.inferers),
        forecaster_values: attributed(&losses.forecasters),
        naive_value: losses.naive.clone(),
        one_out_inferer_values: withheld(&losses.one_out_inferers),
        one_out_forecaster_values: withheld(&losses.one_out_forecasters),
        one_in_forecaster_values: attributed(&losses.one_in_forecasters),
        one_out_inferer_forecaster_values: losses
            .one_out_inferer_forecaster
            .iter()
            .map(|row| v9::InputOneOutInfererForecasterValues {
                forecaster: row.forecaster.clone(),
                one_out_inferer_values: withheld(&row.without),
            })
            .collect(),
    };
    let signature = key(from).sign(&values.encode_to_vec()).to_vec();
    let bundle = v9::InputReputerValueBundle {
        value_bundle: Some(values),
        signature,
        pubkey: hex::encode(key(from).public()),
    };
    pack(
        url::V10_REPUTER,
        &v10::InsertReputerPayloadRequest { sender: text(from), reputer_value_bundle: Some(bundle) },
    )
}

/// Sends one message, compares simulation and execution, and gives the gas.
fn measured(net: &mut Net, from: &str, name: &str, fallback: u64, message: Any) -> u64 {
    let tx = Tx::new(from, vec![message]).gas(fallback);
    let asked = net.app.simulate(&net.sign(&[Tx { gas: 0, fee: 0, ..tx.clone() }])[0]).unwrap();
    let receipt = net.done(&[tx]).remove(0);
    println!("| {name} | {} | {fallback} |", receipt.gas_used);
    assert!(receipt.gas_used <= fallback, "{name} takes {} of {fallback}", receipt.gas_used);
    // Clients add a fifth to what simulation says.
    assert!(asked * 6 / 5 >= receipt.gas_used, "{name}: simulated {asked}, took {}", receipt.gas_used);
    receipt.gas_used
}

#[test]
fn every_message_of_published_clients_stays_below_the_limit_they_fall_back_to() {
    let mut net = Net::new();
    let amount = || ALLO.to_string();
    let (alice, r1) = (text("alice"), text("r1"));
    let topic = v10::CreateNewTopicRequest {
        creator: alice.clone(),
        metadata: "ETH/USD in five minutes, logarithmic return, as published by the exchange".into(),
        loss_method: "mse".into(),
        epoch_length: 6,
        ground_truth_lag: 6,
        worker_submission_window: 3,
        p_norm: "3".into(),
        alpha_regret: "0.1".into(),
        allow_negative: true,
        epsilon: "0.01".into(),
        merit_sortition_alpha: "0.1".into(),
        active_inferer_quantile: "0.25".into(),
        active_forecaster_quantile: "0.25".into(),
        active_reputer_quantile: "0.25".into(),
        c_norm: "0.75".into(),
        topic_type: v10::TopicType::Regression.into(),
        output_arity: v10::TopicOutputArity::Single.into(),
        ..Default::default()
    };
    measured(&mut net, "alice", "CreateNewTopic", 360_000, pack(url::V10_CREATE_TOPIC, &topic));
    let transfer = dodona_proto::tx::send(address("alice"), address("bob"), ALLO);
    measured(&mut net, "alice", "bank MsgSend", 300_000, transfer);
    let fund = v10::FundTopicRequest { sender: alice.clone(), topic_id: 1, amount: (100 * ALLO).to_string() };
    measured(&mut net, "alice", "FundTopic", 180_000, pack(url::V10_FUND, &fund));
    for (from, is_reputer) in [("w1", false), ("w2", false), ("r1", true)] {
        let register =
            v10::RegisterRequest { sender: text(from), topic_id: 1, owner: text(from), is_reputer };
        measured(&mut net, from, "Register", 240_000, pack(url::V10_REGISTER, &register));
    }
    let stake = v10::AddStakeRequest { sender: r1.clone(), topic_id: 1, amount: amount() };
    measured(&mut net, "r1", "AddStake", 240_000, pack(url::V10_ADD_STAKE, &stake));
    let delegate = v10::DelegateStakeRequest {
        sender: alice.clone(),
        topic_id: 1,
        reputer: r1.clone(),
        amount: amount(),
    };
    measured(&mut net, "alice", "DelegateStake", 240_000, pack(url::V10_DELEGATE, &delegate));
    let claim = v10::RewardDelegateStakeRequest { sender: alice.clone(), topic_id: 1, reputer: r1.clone() };
    measured(&mut net, "alice", "RewardDelegateStake", 240_000, pack(url::V10_CLAIM, &claim));
    let remove = v10::RemoveDelegateStakeRequest {
        sender: alice.clone(),
        topic_id: 1,
        reputer: r1.clone(),
        amount: "1".into(),
    };
    measured(&mut net, "alice", "RemoveDelegateStake", 240_000, pack(url::V10_REMOVE_DELEGATE, &remove));
    let keep = v10::CancelRemoveDelegateStakeRequest {
        sender: alice.clone(),
        topic_id: 1,
        delegator: alice.clone(),
        reputer: r1.clone(),
    };
    let name = "CancelRemoveDelegateStake";
    measured(&mut net, "alice", name, 240_000, pack(url::V10_CANCEL_REMOVE_DELEGATE, &keep));
    let remove = v10::RemoveStakeRequest { sender: r1.clone(), topic_id: 1, amount: "1".into() };
    measured(&mut net, "r1", "RemoveStake", 240_000, pack(url::V10_REMOVE_STAKE, &remove));
    let keep = v10::CancelRemoveStakeRequest { sender: r1.clone(), topic_id: 1 };
    measured(&mut net, "r1", "CancelRemoveStake", 240_000, pack(url::V10_CANCEL_REMOVE_STAKE, &keep));
    let addresses: Vec<String> = names().iter().map(|name| text(name)).collect();
    let workers = v10::BulkAddToTopicWorkerWhitelistRequest {
        sender: alice.clone(),
        addresses: addresses.clone(),
        topic_id: 1,
    };
    let name = format!("BulkAddToTopicWorkerWhitelist, {} addresses", addresses.len());
    measured(&mut net, "alice", &name, 240_000, pack(url::V10_BULK_ADD_WORKERS, &workers));
    let reputers =
        v10::BulkAddToTopicReputerWhitelistRequest { sender: alice.clone(), addresses, topic_id: 1 };
    let name = name.replace("Worker", "Reputer");
    measured(&mut net, "alice", &name, 240_000, pack(url::V10_BULK_ADD_REPUTERS, &reputers));
    let leave = v10::RemoveRegistrationRequest { sender: text("w2"), topic_id: 1, is_reputer: false };
    measured(&mut net, "w2", "RemoveRegistration", 240_000, pack(url::V10_UNREGISTER, &leave));
    let open = |net: &Net| net.windows(1).windows.iter().find(|w| w.worker_first == net.height + 1).cloned();
    while open(&net).is_none() {
        net.block(&[]);
    }
    let nonce = open(&net).unwrap().nonce;
    let one = worker_payload("w1", 1, nonce, &[]);
    measured(&mut net, "w1", "InsertWorkerPayload, an inference", 300_000, one);
}

/// The largest payloads of a topic as full as topics are by default.
#[test]
fn payloads_of_a_full_topic_stay_below_their_limits_too() {
    let mut net = Net::new();
    let spec = TopicSpec {
        rule: Rule::Regret.into(),
        truth_mode: TruthMode::Losses.into(),
        payout: dodona_proto::topics::Payout::Entropy.into(),
        allow_negative: true,
        ..spec(6, 3, 6, 3)
    };
    let people: Vec<String> = (1..=INFERERS).map(|i| format!("p{i}")).collect();
    net.done(&people.iter().map(|who| send("alice", who, ALLO).gas(100_000)).collect::<Vec<_>>());
    let id = net.market(spec, &[], &["r1"]);
    net.done(&people.iter().map(|who| register(who, id, Role::Worker)).collect::<Vec<_>>());
    let open = |net: &Net| net.windows(id).windows.iter().find(|w| w.worker_first == net.height + 1).cloned();
    let about: Vec<String> = people.iter().map(|who| text(who)).collect();
    let mut name = "InsertWorkerPayload, an inference and a forecast of 12".to_string();
    let mut losses = MsgReportLosses::default();
    // Forecasters are heard from the second epoch on: they predict against the losses of the one before.
    for round in 0..2 {
        while open(&net).is_none() {
            net.block(&[]);
        }
        let window = open(&net).unwrap();
        let said = people.iter().enumerate().map(|(i, who)| {
            let about = if i < FORECASTERS { &about[..12] } else { &[] };
            Tx::new(who, vec![worker_payload(who, id, window.nonce, about)])
        });
        let mut said: Vec<Tx> = said.collect();
        if round == 1 {
            let largest = said.remove(0).messages.remove(0);
            measured(&mut net, &people[0], &name, 300_000, largest);
        }
        net.done(&said);
        net.wait_until(window.truth_first - 1);
        losses = bundle(&net, id, window.nonce, 10.1, 0.0);
        if round == 0 {
            net.done(&[Tx::new("r1", vec![reputer_payload("r1", &losses)])]);
        }
    }
    let entries = losses.inferers.len()
        + losses.forecasters.len()
        + losses.one_out_inferers.len()
        + losses.one_out_forecasters.len()
        + losses.one_in_forecasters.len()
        + losses.one_out_inferer_forecaster.iter().map(|row| row.without.len()).sum::<usize>();
    assert_eq!(entries, 2 * INFERERS + 3 * FORECASTERS + INFERERS * FORECASTERS);
    name = format!("InsertReputerPayload, {entries} losses");
    measured(&mut net, "r1", &name, 240_000, reputer_payload("r1", &losses));
}
