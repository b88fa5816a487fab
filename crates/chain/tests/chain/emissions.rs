//! What published clients are told is what our own views say: every method answers, whatever it is asked.

use dodona_chain::{QueryError, emissions};
use dodona_mechanism::real::func;
use dodona_proto::{
    ALLO,
    emissions::{v3, v10},
    methods, path,
    topics::{
        self as wire, List, MsgReportLosses, QueryInputsRequest, QueryInputsResponse, QueryLossesRequest,
        QueryLossesResponse, QueryMemberRequest, QueryMemberResponse, QueryParamsRequest,
        QueryParamsResponse, QueryRegretsRequest, QueryRegretsResponse, Rule, TopicSpec, TruthMode, Window,
    },
};
use prost::Message;

use super::{
    kit::{Dice, Net, delegate, forecast, spec, submit, submit_labels, text, unstake},
    messages::*,
};

pub const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
pub const REPUTERS: [&str; 2] = ["r1", "r2"];
const SERVICE: &str = "/emissions.v10.QueryService/";

pub fn of_losses() -> TopicSpec {
    TopicSpec {
        rule: Rule::Regret.into(),
        truth_mode: TruthMode::Losses.into(),
        payout: wire::Payout::Entropy.into(),
        ..spec(4, 2, 4, 2)
    }
}

/// What a method answers; it has to be known.
pub fn raw(net: &Net, method: &str, request: &[u8]) -> Result<Vec<u8>, QueryError> {
    let read = net.app.store().snapshot().unwrap();
    emissions::answer(&read, method, request).unwrap_or_else(|| panic!("{method} is not answered"))
}

fn ask<A: Message + Default>(net: &Net, method: &str, request: &impl Message) -> A {
    let bytes = raw(net, method, &request.encode_to_vec()).unwrap_or_else(|e| panic!("{method}: {e}"));
    A::decode(bytes.as_slice()).unwrap()
}

fn fails(net: &Net, method: &str, request: &impl Message) -> QueryError {
    raw(net, method, &request.encode_to_vec()).expect_err(method)
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

/// Waits for a window whose first block comes next.
pub fn fresh(net: &mut Net, id: u64) -> Window {
    loop {
        let next = net.height + 1;
        if let Some(window) = net.windows(id).windows.into_iter().find(|w| w.worker_first == next) {
            return window;
        }
        net.block(&[]);
    }
}

/// Answers of all four and forecasts of two, while the window is still open.
pub fn said(net: &mut Net, id: u64) -> Window {
    let window = fresh(net, id);
    let n = window.nonce;
    let wobble = (n % 7) as f64 / 10.0;
    net.done(&[
        forecast("w1", id, n, &(10.0 + wobble).to_string(), &[("w2", "0.5"), ("w3", "2"), ("w1", "0.1")]),
        submit("w2", id, n, &(10.5 + wobble).to_string()),
        submit("w3", id, n, &(12.0 - wobble).to_string()),
        forecast("w4", id, n, "9", &[("w1", "0.2"), ("w2", "0.3")]),
    ]);
    window
}

/// A network with some scored epochs, and one that waits for its truth; gives its nonce.
pub fn lived() -> (Net, u64, u64) {
    let mut net = Net::new();
    let id = net.market(of_losses(), &WORKERS, &REPUTERS);
    net.done(&[delegate("bob", id, "r1", 3 * ALLO), edit("carol", List::TopicWorker, id, &["w1"], &[])]);
    for _ in 0..6 {
        let window = said(&mut net, id);
        net.wait_until(window.truth_first - 1);
        let whole = bundle(&net, id, window.nonce, 10.1, 0.0);
        let other = bundle(&net, id, window.nonce, 10.1, 0.02);
        net.done(&[losses("r1", &whole), losses("r2", &other)]);
        net.wait_until(window.truth_last);
        assert_eq!(net.epoch(id, window.nonce).unwrap().state, "scored");
    }
    net.done(&[unstake("r2", id, 5), undelegate("bob", id, "r1", 7)]);
    let window = said(&mut net, id);
    net.wait_until(window.truth_first - 1);
    (net, id, window.nonce)
}

fn names() -> Vec<String> {
    methods().into_iter().filter_map(|(path, ..)| path.strip_prefix(SERVICE).map(String::from)).collect()
}

#[test]
fn every_method_answers_whatever_it_is_asked() {
    let (net, id, nonce) = lived();
    let names = names();
    assert!(names.len() > 100, "{}", names.len());
    let mut dice = Dice(11);
    for name in &names {
        // Nothing, two kinds of numbers, then every way in which topic, height and addresses are laid out.
        let varint = |field: u8, value: u64| {
            let mut bytes = vec![field << 3];
            prost::encoding::encode_varint(value, &mut bytes);
            bytes
        };
        let words = |field: u8, value: &str| {
            let mut bytes = vec![field << 3 | 2, value.len() as u8];
            bytes.extend(value.as_bytes());
            bytes
        };
        let (w1, w2, r1) = (text("w1"), text("w2"), text("r1"));
        for number in [id, nonce, u64::MAX, 0] {
            for bytes in [
                Vec::new(),
                varint(1, number),
                [varint(1, id), varint(2, number)].concat(),
                [varint(1, id), words(2, &w1)].concat(),
                [varint(1, id), words(2, &r1)].concat(),
                [varint(1, number), words(2, "nobody")].concat(),
                [varint(1, id), words(2, &w1), words(3, &w2)].concat(),
                [words(1, &r1), varint(2, number)].concat(),
                [words(1, &w1), words(2, &r1), varint(3, number)].concat(),
                [varint(1, number), varint(2, id), words(3, &w1), words(4, &r1)].concat(),
            ] {
                let _any = raw(&net, name, &bytes);
            }
        }
        for _ in 0..50 {
            let garbage: Vec<u8> = (0..dice.roll(40)).map(|_| dice.roll(256) as u8).collect();
            let _any = raw(&net, name, &garbage);
        }
        // No request has anything to do with bytes that end in the middle of a field.
        assert!(matches!(raw(&net, name, &[0x0a, 0x05, 0x61]), Err(QueryError::Bad(_))), "{name}");
    }
    let read = net.app.store().snapshot().unwrap();
    for unknown in ["", "getTopic", "GetTopicX", "/emissions.v8.QueryService/GetTopic"] {
        assert!(emissions::answer(&read, unknown, &[]).is_none());
    }
}

#[test]
fn an_empty_chain_answers_every_method_too() {
    let net = Net::new();
    for name in names() {
        let _any = raw(&net, &name, &[]);
    }
    let next: v10::GetNextTopicIdResponse = ask(&net, "GetNextTopicId", &v10::GetNextTopicIdRequest {});
    assert_eq!(next.next_topic_id, 1);
    assert!(
        !ask::<v10::TopicExistsResponse>(&net, "TopicExists", &v10::TopicExistsRequest { topic_id: 1 })
            .exists
    );
    let no = fails(&net, "GetTopic", &v10::GetTopicRequest { topic_id: 1 });
    assert!(matches!(&no, QueryError::NotFound(text) if text.contains("topic 1 does not exist")), "{no}");
}

#[test]
fn topics_and_parameters_are_the_native_ones() {
    let (net, id, _) = lived();
    let native = net.topic(id);
    let native_spec = native.spec.clone().unwrap();
    let told: v10::GetTopicResponse = ask(&net, "GetTopic", &v10::GetTopicRequest { topic_id: id });
    let topic = told.topic.unwrap();
    assert_eq!((topic.id, &topic.creator), (id, &native.creator));
    assert_eq!((topic.epoch_length, topic.worker_submission_window, topic.ground_truth_lag), (4, 2, 4));
    assert_eq!((&topic.p_norm, &topic.epsilon), (&native_spec.p_norm, &native_spec.epsilon));
    assert_eq!(number(&topic.initial_regret), native.initial_regret);
    assert_eq!((topic.topic_type, topic.output_arity), (1, 1));
    assert_eq!(number(&told.weight), native.weight);
    assert_eq!((told.effective_revenue, told.topic_stake), (native.revenue.clone(), native.stake.clone()));

    let params: v10::GetParamsResponse = ask(&net, "GetParams", &v10::GetParamsRequest {});
    let params = params.params.unwrap();
    let own: QueryParamsResponse = net.query(path::PARAMS, &QueryParamsRequest {}).unwrap();
    let own = |name: &str| own.params.iter().find(|p| p.name == name).unwrap().value.clone();
    assert_eq!(params.version, "v10");
    assert_eq!(params.min_topic_weight, own("min_topic_weight"));
    assert_eq!(params.max_serialized_msg_length.to_string(), own("max_tx_bytes"));
    assert_eq!(params.create_topic_fee, own("create_topic_fee"));
    assert_eq!(params.validators_vs_allora_percent_reward, own("validators_vs_allora_percent_reward"));

    let block_height = native.next_epoch_block as i64;
    let due: v10::GetActiveTopicsAtBlockResponse =
        ask(&net, "GetActiveTopicsAtBlock", &v10::GetActiveTopicsAtBlockRequest { block_height });
    assert_eq!(due.topics, [topic]);
    let next: v10::GetNextChurningBlockByTopicIdResponse = ask(
        &net,
        "GetNextChurningBlockByTopicId",
        &v10::GetNextChurningBlockByTopicIdRequest { topic_id: id },
    );
    assert_eq!(next.block_height, block_height);
}

#[test]
fn inferences_are_those_of_the_epoch_and_complete_enough_to_report_losses() {
    let (net, id, nonce) = lived();
    let epoch = net.epoch(id, nonce).unwrap();
    let latest: v10::GetLatestNetworkInferencesResponse =
        ask(&net, "GetLatestNetworkInferences", &v10::GetLatestNetworkInferencesRequest { topic_id: id });
    assert_eq!(latest.inference_block_height, nonce as i64);
    let told = latest.network_inferences.unwrap();
    let asked =
        v10::GetNetworkInferencesAtBlockRequest { topic_id: id, block_height_last_inference: nonce as i64 };
    let at: v10::GetNetworkInferencesAtBlockResponse = ask(&net, "GetNetworkInferencesAtBlock", &asked);
    assert_eq!(at.network_inferences.as_ref(), Some(&told));
    let one = |values: &[v10::LabeledValue]| {
        assert_eq!((values.len(), values[0].label_id, values[0].label_name.as_str()), (1, 1, "y"));
        number(&values[0].value)
    };
    assert_eq!(one(&told.combined_value), epoch.combined);
    assert_eq!(one(&told.naive_value), epoch.naive);
    for p in &epoch.parts {
        let list = if p.forecaster { &told.forecaster_values } else { &told.inferer_values };
        assert_eq!(one(&list.iter().find(|v| v.worker == p.address).unwrap().values), p.value);
    }
    // One value for every loss a reputer has to bring, under the same names.
    let MsgReportLosses {
        inferers,
        forecasters,
        one_out_inferers,
        one_out_forecasters,
        one_in_forecasters,
        one_out_inferer_forecaster,
        ..
    } = bundle(&net, id, nonce, 10.1, 0.0);
    let same = |losses: &[wire::MemberLoss], names: Vec<&String>| {
        assert!(!losses.is_empty());
        assert_eq!(losses.iter().map(|l| &l.address).collect::<Vec<_>>(), names);
    };
    same(&inferers, told.inferer_values.iter().map(|v| &v.worker).collect());
    same(&forecasters, told.forecaster_values.iter().map(|v| &v.worker).collect());
    same(&one_out_inferers, told.one_out_inferer_values.iter().map(|v| &v.withheld_inferer).collect());
    same(
        &one_out_forecasters,
        told.one_out_forecaster_values.iter().map(|v| &v.withheld_forecaster).collect(),
    );
    same(&one_in_forecasters, told.one_in_forecaster_values.iter().map(|v| &v.forecaster).collect());
    let pairs = one_out_inferer_forecaster
        .iter()
        .flat_map(|row| row.without.iter().map(|loss| (row.forecaster.clone(), loss.address.clone())));
    let told_pairs: Vec<(String, String)> = told
        .one_out_inferer_forecaster_values
        .iter()
        .map(|v| (v.forecaster.clone(), v.withheld_inferer.clone()))
        .collect();
    assert!(!told_pairs.is_empty());
    assert_eq!(told_pairs, pairs.collect::<Vec<_>>());

    let resistant: v10::GetLatestNetworkInferencesOutlierResistantResponse = ask(
        &net,
        "GetLatestNetworkInferencesOutlierResistant",
        &v10::GetLatestNetworkInferencesOutlierResistantRequest { topic_id: id },
    );
    assert_eq!(resistant.inference_block_height, nonce as i64);

    let asked = v10::GetInferencesAtBlockRequest { topic_id: id, block_height: nonce as i64 };
    let inferences: v10::GetInferencesAtBlockResponse = ask(&net, "GetInferencesAtBlock", &asked);
    assert_eq!(inferences.inferences.unwrap().inferences.len(), 4);
    let asked = v10::GetForecastsAtBlockRequest { topic_id: id, block_height: nonce as i64 };
    let forecasts: v10::GetForecastsAtBlockResponse = ask(&net, "GetForecastsAtBlock", &asked);
    let native: QueryInputsResponse =
        net.query(path::INPUTS, &QueryInputsRequest { topic_id: id, nonce, ..Default::default() }).unwrap();
    let forecasts = forecasts.forecasts.unwrap().forecasts;
    assert_eq!((forecasts.len(), native.forecasts.len()), (2, 2));
    for (told, own) in forecasts.iter().zip(&native.forecasts) {
        assert_eq!(told.forecaster, own.address);
        for (told, own) in told.forecast_elements.iter().zip(&own.elements) {
            assert!((number(&told.value) - func::log10(own.loss)).abs() < 1e-12);
        }
    }
    let bad = v10::GetInferencesAtBlockRequest { topic_id: id, block_height: -1 };
    assert!(matches!(fails(&net, "GetInferencesAtBlock", &bad), QueryError::Bad(_)));
    let none = v10::GetInferencesAtBlockRequest { topic_id: id, block_height: 1 };
    assert!(matches!(fails(&net, "GetInferencesAtBlock", &none), QueryError::NotFound(_)));
}

#[test]
fn windows_are_told_as_they_open_and_close() {
    let (mut net, id, nonce) = lived();
    let reputers = |net: &Net| -> Vec<i64> {
        let asked = v10::GetUnfulfilledReputerNoncesRequest { topic_id: id };
        let told: v10::GetUnfulfilledReputerNoncesResponse = ask(net, "GetUnfulfilledReputerNonces", &asked);
        told.nonces.unwrap().nonces.iter().map(|n| n.reputer_nonce.unwrap().block_height).collect()
    };
    for _ in 0..9 {
        let windows = net.windows(id).windows;
        let next = net.height + 1;
        let of = |state: &str| -> Vec<i64> {
            windows.iter().filter(|w| w.state == state).map(|w| w.nonce as i64).collect()
        };
        let workers: v10::GetUnfulfilledWorkerNoncesResponse =
            ask(&net, "GetUnfulfilledWorkerNonces", &v10::GetUnfulfilledWorkerNoncesRequest { topic_id: id });
        let workers: Vec<i64> = workers.nonces.unwrap().nonces.iter().map(|n| n.block_height).collect();
        assert_eq!(workers, of("open"));
        assert_eq!(reputers(&net), of("combined"));
        let open: v10::GetOpenReputerSubmissionWindowsResponse = ask(
            &net,
            "GetOpenReputerSubmissionWindows",
            &v10::GetOpenReputerSubmissionWindowsRequest { topic_id: id },
        );
        let open: Vec<i64> =
            open.nonces.unwrap().nonces.iter().map(|n| n.reputer_nonce.unwrap().block_height).collect();
        let expected: Vec<i64> = windows
            .iter()
            .filter(|w| w.state == "combined" && w.truth_first <= next && next <= w.truth_last)
            .map(|w| w.nonce as i64)
            .collect();
        assert_eq!(open, expected);
        let asked = v10::GetWorkerSubmissionWindowStatusRequest { topic_id: id, address: text("w1") };
        let status: v10::GetWorkerSubmissionWindowStatusResponse =
            ask(&net, "GetWorkerSubmissionWindowStatus", &asked);
        assert_eq!(status.is_open, !workers.is_empty());
        assert!(status.is_registered && status.is_whitelisted && status.is_topic_active);
        let asked = v10::GetReputerSubmissionWindowStatusRequest { topic_id: id, address: String::new() };
        let status: v10::GetReputerSubmissionWindowStatusResponse =
            ask(&net, "GetReputerSubmissionWindowStatus", &asked);
        assert_eq!(status.is_open, !expected.is_empty());
        assert!(status.next_window_start_block > next as i64 && !status.is_registered);
        net.block(&[]);
    }
    // Nobody brought its truth.
    assert!(!reputers(&net).contains(&(nonce as i64)));
    let asked = v10::IsReputerNonceUnfulfilledRequest { topic_id: id, block_height: nonce as i64 };
    let told: v10::IsReputerNonceUnfulfilledResponse = ask(&net, "IsReputerNonceUnfulfilled", &asked);
    assert!(!told.is_reputer_nonce_unfulfilled);

    let window = said(&mut net, id);
    let asked =
        v10::GetWorkerLatestInputInferenceByTopicIdRequest { topic_id: id, worker_address: text("w4") };
    let live: v10::GetWorkerLatestInputInferenceByTopicIdResponse =
        ask(&net, "GetWorkerLatestInputInferenceByTopicId", &asked);
    let live = live.latest_input_inference.unwrap();
    assert_eq!((live.block_height, live.values.len()), (window.nonce as i64, 1));
    assert_eq!((live.values[0].label.as_str(), live.values[0].value.as_str()), ("y", "9"));
    let asked = v10::GetCurrentLowestInfererScoreRequest { topic_id: id };
    let lowest: v10::GetCurrentLowestInfererScoreResponse = ask(&net, "GetCurrentLowestInfererScore", &asked);
    assert_eq!(lowest.score.unwrap().block_height, window.nonce as i64);
    let told = ask::<v10::IsWorkerNonceUnfulfilledResponse>(
        &net,
        "IsWorkerNonceUnfulfilled",
        &v10::IsWorkerNonceUnfulfilledRequest { topic_id: id, block_height: window.nonce as i64 },
    );
    assert!(told.is_worker_nonce_unfulfilled);
}

#[test]
fn stakes_and_lists_are_the_native_ones() {
    let (net, id, _) = lived();
    let asked = wire::QueryStakesRequest { topic_id: id, ..Default::default() };
    let native: wire::QueryStakesResponse = net.query(path::STAKES, &asked).unwrap();
    let total: v10::GetTotalStakeResponse = ask(&net, "GetTotalStake", &v10::GetTotalStakeRequest {});
    assert_eq!(total.amount, native.total_stake);
    for row in &native.rows {
        let reputer_address = row.reputer.clone();
        let asked = v10::GetStakeFromReputerInTopicInSelfRequest { reputer_address, topic_id: id };
        let own: v10::GetStakeFromReputerInTopicInSelfResponse =
            ask(&net, "GetStakeFromReputerInTopicInSelf", &asked);
        assert_eq!(own.amount, row.own);
        let asked = v10::GetDelegateStakeUponReputerRequest { topic_id: id, target: row.reputer.clone() };
        let upon: v10::GetDelegateStakeUponReputerResponse = ask(&net, "GetDelegateStakeUponReputer", &asked);
        assert_eq!(upon.stake, row.delegated);
        let asked =
            v10::GetMultiReputerStakeInTopicRequest { addresses: vec![row.reputer.clone()], topic_id: id };
        let both: v10::GetMultiReputerStakeInTopicResponse = ask(&net, "GetMultiReputerStakeInTopic", &asked);
        let sum = row.own.parse::<u128>().unwrap() + row.delegated.parse::<u128>().unwrap();
        assert_eq!(both.amounts[0].amount, sum.to_string());
    }
    let asked = v10::GetStakeFromDelegatorInTopicRequest { delegator_address: text("bob"), topic_id: id };
    let delegated: v10::GetStakeFromDelegatorInTopicResponse =
        ask(&net, "GetStakeFromDelegatorInTopic", &asked);
    assert_eq!(delegated.amount, (3 * ALLO).to_string());
    let asked = v10::GetStakeRemovalInfoRequest { topic_id: id, reputer: text("r2") };
    let leaving: v10::GetStakeRemovalInfoResponse = ask(&net, "GetStakeRemovalInfo", &asked);
    let leaving = leaving.removal.unwrap();
    assert_eq!(leaving.amount, "5");
    let until = v10::GetStakeRemovalsUpUntilBlockRequest { block_height: leaving.block_removal_completed };
    let all: v10::GetStakeRemovalsUpUntilBlockResponse = ask(&net, "GetStakeRemovalsUpUntilBlock", &until);
    assert_eq!(all.removals, [leaving]);
    let (delegator, reputer) = (text("bob"), text("r1"));
    let asked = v10::GetDelegateStakeRemovalInfoRequest { topic_id: id, delegator, reputer };
    let leaving: v10::GetDelegateStakeRemovalInfoResponse = ask(&net, "GetDelegateStakeRemovalInfo", &asked);
    assert_eq!(leaving.removal.unwrap().amount, "7");
    // Who staked nothing has staked nothing.
    let asked = v10::GetStakeFromReputerInTopicInSelfRequest { reputer_address: text("w1"), topic_id: id };
    let none: v10::GetStakeFromReputerInTopicInSelfResponse =
        ask(&net, "GetStakeFromReputerInTopicInSelf", &asked);
    assert_eq!(none.amount, "0");

    let admin: v10::IsWhitelistAdminResponse =
        ask(&net, "IsWhitelistAdmin", &v10::IsWhitelistAdminRequest { address: text("carol") });
    assert!(admin.is_admin);
    for (who, listed) in [("w1", true), ("w2", false)] {
        let asked = v10::IsWhitelistedTopicWorkerRequest { topic_id: id, address: text(who) };
        let told: v10::IsWhitelistedTopicWorkerResponse = ask(&net, "IsWhitelistedTopicWorker", &asked);
        assert_eq!(told.is_whitelisted_topic_worker, listed);
        let asked = v10::CanSubmitWorkerPayloadRequest { topic_id: id, address: text(who) };
        let told: v10::CanSubmitWorkerPayloadResponse = ask(&net, "CanSubmitWorkerPayload", &asked);
        assert!(told.can_submit_worker_payload);
    }
    for (who, is) in [("w1", true), ("r1", false)] {
        let asked = v10::IsWorkerRegisteredInTopicIdRequest { topic_id: id, address: text(who) };
        let told: v10::IsWorkerRegisteredInTopicIdResponse = ask(&net, "IsWorkerRegisteredInTopicId", &asked);
        assert_eq!(told.is_registered, is);
    }
    let node: v10::GetReputerNodeInfoResponse =
        ask(&net, "GetReputerNodeInfo", &v10::GetReputerNodeInfoRequest { address: text("r1") });
    assert_eq!(node.node_info.unwrap().owner, text("r1"));
    let nobody = fails(&net, "GetWorkerNodeInfo", &v10::GetWorkerNodeInfoRequest { address: text("r1") });
    assert!(matches!(nobody, QueryError::NotFound(_)));
    let bad = fails(&net, "CanCreateTopic", &v10::CanCreateTopicRequest { address: "somebody".into() });
    assert!(matches!(bad, QueryError::Bad(_)));
}

#[test]
fn losses_regrets_and_scores_are_the_native_ones() {
    let (net, id, _) = lived();
    let native: QueryLossesResponse =
        net.query(path::LOSSES, &QueryLossesRequest { topic_id: id, nonce: 0 }).unwrap();
    let block_height = native.nonce as i64;
    let asked = v10::GetNetworkLossBundleAtBlockRequest { topic_id: id, block_height };
    let told: v10::GetNetworkLossBundleAtBlockResponse = ask(&net, "GetNetworkLossBundleAtBlock", &asked);
    let (told, own) = (told.loss_bundle.unwrap(), native.network.unwrap());
    assert!(native.logarithms);
    assert_eq!((number(&told.combined_value), number(&told.naive_value)), (own.combined, own.naive));
    let flat = |list: &[v3::WorkerAttributedValue]| -> Vec<(String, f64)> {
        list.iter().map(|v| (v.worker.clone(), number(&v.value))).collect()
    };
    let known = |list: &[wire::MemberNumber]| -> Vec<(String, f64)> {
        list.iter().map(|v| (v.address.clone(), v.value)).collect()
    };
    assert_eq!(flat(&told.inferer_values), known(&own.inferers));
    assert_eq!(flat(&told.forecaster_values), known(&own.forecasters));
    assert_eq!(flat(&told.one_in_forecaster_values), known(&own.one_in_forecasters));
    let pairs: usize =
        told.one_out_inferer_forecaster_values.iter().map(|row| row.one_out_inferer_values.len()).sum();
    assert_eq!(pairs, own.one_out_inferer_forecaster.len());
    let asked = v10::GetReputerLossBundlesAtBlockRequest { topic_id: id, block_height };
    let told: v10::GetReputerLossBundlesAtBlockResponse = ask(&net, "GetReputerLossBundlesAtBlock", &asked);
    assert_eq!(told.loss_bundles.len(), 2);
    for (told, own) in told.loss_bundles.iter().zip(&native.reports) {
        assert_eq!((&told.reputer, number(&told.combined_value)), (&own.reputer, own.combined));
    }

    let stamp = |told: Option<v3::TimestampedValue>| number(&told.unwrap().value);
    let mut seen = 0;
    for who in WORKERS {
        let asked = QueryRegretsRequest { topic_id: id, address: text(who) };
        let regrets: QueryRegretsResponse = net.query(path::REGRETS, &asked).unwrap();
        let find = |family: &str, without: &str, forecaster: bool| {
            let mut rows = regrets.rows.iter();
            let row = rows.find(|r| r.family == family && r.without == without && r.forecaster == forecaster);
            row.map_or(regrets.initial, |row| row.regret)
        };
        let asked = v10::GetInfererNetworkRegretRequest { topic_id: id, actor_id: text(who) };
        let told: v10::GetInfererNetworkRegretResponse = ask(&net, "GetInfererNetworkRegret", &asked);
        assert_eq!(stamp(told.regret), find("inferer", "", false));
        let asked = v10::GetForecasterNetworkRegretRequest { topic_id: id, worker: text(who) };
        let told: v10::GetForecasterNetworkRegretResponse = ask(&net, "GetForecasterNetworkRegret", &asked);
        assert_eq!(stamp(told.regret), find("forecaster", "", true));
        let asked = v10::GetNaiveInfererNetworkRegretRequest { topic_id: id, inferer: text(who) };
        let told: v10::GetNaiveInfererNetworkRegretResponse =
            ask(&net, "GetNaiveInfererNetworkRegret", &asked);
        assert_eq!(stamp(told.regret), find("naive", "", false));
        for out in ["w1", "w4"] {
            let (one_out, inferer) = (text(out), text(who));
            let asked = v10::GetOneOutInfererInfererNetworkRegretRequest {
                topic_id: id,
                one_out_inferer: one_out.clone(),
                inferer: inferer.clone(),
            };
            let told: v10::GetOneOutInfererInfererNetworkRegretResponse =
                ask(&net, "GetOneOutInfererInfererNetworkRegret", &asked);
            assert_eq!(stamp(told.regret), find("one_out_inferer", &one_out, false));
            let asked = v10::GetOneInForecasterNetworkRegretRequest {
                topic_id: id,
                forecaster: one_out.clone(),
                inferer,
            };
            let told: v10::GetOneInForecasterNetworkRegretResponse =
                ask(&net, "GetOneInForecasterNetworkRegret", &asked);
            assert_eq!(stamp(told.regret), find("one_in_forecaster", &one_out, false));
            seen += 1;
        }
        let asked = QueryMemberRequest { topic_id: id, address: text(who) };
        let member: QueryMemberResponse = net.query(path::MEMBER, &asked).unwrap();
        let inferer = member.parts.iter().find(|p| p.role == "inferer").unwrap();
        let asked = v10::GetInfererScoreEmaRequest { topic_id: id, inferer: text(who) };
        let told: v10::GetInfererScoreEmaResponse = ask(&net, "GetInfererScoreEma", &asked);
        let score = told.score.unwrap();
        assert_eq!((number(&score.score), score.block_height), (inferer.merit, inferer.merit_nonce as i64));
        let asked = v10::GetCountInfererInclusionsInTopicRequest { topic_id: id, inferer: text(who) };
        let told: v10::GetCountInfererInclusionsInTopicResponse =
            ask(&net, "GetCountInfererInclusionsInTopic", &asked);
        assert_eq!(told.count, u64::from(inferer.inclusions));
        let asked = v10::GetPreviousInferenceRewardFractionRequest { topic_id: id, worker: text(who) };
        let told: v10::GetPreviousInferenceRewardFractionResponse =
            ask(&net, "GetPreviousInferenceRewardFraction", &asked);
        assert_eq!(
            (number(&told.reward_fraction), told.not_found),
            (inferer.reward_fraction.unwrap(), false)
        );
    }
    assert_eq!(seen, 8);

    let epoch = net.epoch(id, native.nonce).unwrap();
    let asked = v10::GetWorkerInferenceScoresAtBlockRequest { topic_id: id, block_height };
    let told: v10::GetWorkerInferenceScoresAtBlockResponse =
        ask(&net, "GetWorkerInferenceScoresAtBlock", &asked);
    let told: Vec<(String, f64)> =
        told.scores.unwrap().scores.iter().map(|s| (s.address.clone(), number(&s.score))).collect();
    let own: Vec<(String, f64)> = epoch
        .parts
        .iter()
        .filter(|p| !p.forecaster)
        .filter_map(|p| Some((p.address.clone(), p.score?)))
        .collect();
    assert_eq!((told.len(), &told), (4, &own));
    let asked = v10::GetReputersScoresAtBlockRequest { topic_id: id, block_height };
    let told: v10::GetReputersScoresAtBlockResponse = ask(&net, "GetReputersScoresAtBlock", &asked);
    assert_eq!(told.scores.unwrap().scores.len(), 2);
    // Whole epochs, newest first, until there are ten.
    let asked = v10::GetInferenceScoresUntilBlockRequest { topic_id: id, block_height: block_height - 1 };
    let told: v10::GetInferenceScoresUntilBlockResponse = ask(&net, "GetInferenceScoresUntilBlock", &asked);
    assert_eq!(told.scores.len(), 12);
    assert!(told.scores.iter().all(|s| s.block_height < block_height));
    assert!(told.scores.is_sorted_by(|a, b| a.block_height >= b.block_height));
    let asked = v10::GetListeningCoefficientRequest { topic_id: id, reputer: text("r1") };
    let told: v10::GetListeningCoefficientResponse = ask(&net, "GetListeningCoefficient", &asked);
    assert!(number(&told.listening_coefficient.unwrap().coefficient) > 0.5);
    let unheard = v10::GetInfererScoreEmaRequest { topic_id: id, inferer: text("bob") };
    assert!(matches!(fails(&net, "GetInfererScoreEma", &unheard), QueryError::NotFound(_)));
}

#[test]
fn topics_of_several_labels_count_them_from_one_and_have_no_resistant_answer() {
    let mut net = Net::new();
    let several = TopicSpec { multi: true, max_labels: 4, ..spec(4, 2, 2, 2) };
    let id = net.market(several, &WORKERS, &REPUTERS);
    let window = fresh(&mut net, id);
    net.done(&[
        submit_labels("w1", id, window.nonce, &[("up", "1"), ("down", "2")]),
        submit_labels("w2", id, window.nonce, &[("down", "3")]),
    ]);
    let asked =
        v10::GetWorkerLatestInputInferenceByTopicIdRequest { topic_id: id, worker_address: text("w2") };
    let live: v10::GetWorkerLatestInputInferenceByTopicIdResponse =
        ask(&net, "GetWorkerLatestInputInferenceByTopicId", &asked);
    let live = live.latest_input_inference.unwrap().values;
    assert_eq!((live.len(), live[0].label.as_str(), live[0].value.as_str()), (1, "down", "3"));
    net.wait_until(window.worker_last);
    let latest: v10::GetLatestNetworkInferencesResponse =
        ask(&net, "GetLatestNetworkInferences", &v10::GetLatestNetworkInferencesRequest { topic_id: id });
    let values = latest.network_inferences.unwrap().combined_value;
    let named: Vec<(u32, &str)> = values.iter().map(|v| (v.label_id, v.label_name.as_str())).collect();
    assert_eq!(named, [(1, "up"), (2, "down")]);
    let epoch = net.epoch(id, window.nonce).unwrap();
    for (told, own) in values.iter().zip(&epoch.columns) {
        assert_eq!((told.label_name.as_str(), number(&told.value)), (own.label.as_str(), own.combined));
    }
    let no = fails(
        &net,
        "GetLatestNetworkInferencesOutlierResistant",
        &v10::GetLatestNetworkInferencesOutlierResistantRequest { topic_id: id },
    );
    assert!(matches!(no, QueryError::Bad(_)), "{no}");
}
