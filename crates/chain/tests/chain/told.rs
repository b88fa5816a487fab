//! What happened is told to published clients in their words, at the block where it happened.

use std::collections::BTreeSet;

use dodona_proto::{
    ALLO, DESCRIPTORS,
    emissions::v10,
    topics::{List, MsgTransferOwnership, MsgUpdateTopic, Role, TopicSpec},
    tx::pack,
    url,
};
use prost::{Message, Name};
use prost_types::FileDescriptorSet;

use super::{
    emissions::{REPUTERS, WORKERS, fresh, of_losses, said},
    kit::*,
    messages::*,
};

/// Names of the schema that are told to nobody, and why.
const UNTOLD: [(&str, &str); 1] = [("EventValueBundle", "stands within other events, not for itself")];

/// What was told of a kind, with its block.
fn told<M: Message + Name + Default>(net: &Net) -> Vec<(u64, M)> {
    let of_kind = net.told.iter().filter(|(_, name, _)| *name == M::full_name());
    of_kind.map(|(height, _, bytes)| (*height, M::decode(bytes.as_slice()).unwrap())).collect()
}

/// One epoch answered, reported on and scored; gives its nonce.
fn epoch(net: &mut Net, id: u64) -> u64 {
    let window = said(net, id);
    net.wait_until(window.truth_first - 1);
    let whole = bundle(net, id, window.nonce, 10.1, 0.0);
    let other = bundle(net, id, window.nonce, 10.1, 0.02);
    net.done(&[losses("r1", &whole), losses("r2", &other)]);
    net.wait_until(window.truth_last);
    window.nonce
}

/// A network in which everything happens that can.
fn eventful() -> (Net, u64, u64) {
    let mut net = Net::with(|p| {
        (p.epoch_retention, p.blocks_per_month, p.remove_stake_delay_window) = (4, 60, 3);
    });
    let id = net.market(of_losses(), &WORKERS, &REPUTERS);
    net.done(&[delegate("bob", id, "r1", 3 * ALLO)]);
    let mut nonce = 0;
    for _ in 0..8 {
        nonce = epoch(&mut net, id);
    }
    for list in [List::Admin, List::GlobalAdmin, List::Global, List::GlobalWorker, List::GlobalReputer] {
        net.done(&[edit("carol", list, 0, &["w9"], &[])]);
        net.done(&[edit("carol", list, 0, &[], &["w9"])]);
    }
    for (list, topic) in [(List::TopicCreator, 0), (List::TopicWorker, id), (List::TopicReputer, id)] {
        net.done(&[edit("carol", list, topic, &["w9"], &[]).and(edit("carol", list, topic, &[], &["w9"]))]);
    }
    net.done(&[lists("alice", id, Some(true), Some(true)).and(lists("alice", id, Some(false), Some(false)))]);
    net.done(&[set_params(&[("registration_fee", "7")])]);
    net.done(&[update("alice", id, MsgUpdateTopic { metadata: Some("other".into()), ..Default::default() })]);
    let moved = MsgTransferOwnership {
        sender: text("w1"),
        topic_id: id,
        role: Role::Worker.into(),
        address: text("w1"),
        new_owner: text("owner"),
    };
    net.done(&[Tx::new("w1", vec![pack(url::TRANSFER_OWNERSHIP, &moved)])]);
    net.done(&[claim("bob", id, "r1"), unstake("r2", id, 5), undelegate("bob", id, "r1", 7)]);
    net.done(&[keep("r2", id)]);
    net.done(&[unstake("r2", id, 5)]);
    net.wait_until(net.height + 6);
    net.done(&[unregister("w4", id, Role::Worker), unregister("r2", id, Role::Reputer)]);
    // A topic of several labels, and one with an answer far from the others'.
    let multi = TopicSpec { multi: true, max_labels: 3, ..spec(4, 2, 4, 2) };
    let labels = net.market(multi, &["w5", "w6"], &["r3"]);
    let open = net.windows(labels).windows[0].nonce;
    net.done(&[submit_labels("w5", labels, open, &[("up", "1"), ("down", "2")])]);
    let plain = net.market(spec(6, 2, 6, 2), &["w5", "w6", "w7", "w8", "w9", "w10"], &["r3"]);
    for _ in 0..6 {
        let window = fresh(&mut net, plain);
        let answers = [("w5", "10"), ("w6", "10.1"), ("w7", "9.9"), ("w8", "10"), ("w9", "10.2")];
        let mut txs: Vec<Tx> = answers.iter().map(|(w, v)| submit(w, plain, window.nonce, v)).collect();
        txs.push(submit("w10", plain, window.nonce, "9000"));
        net.done(&txs);
        net.wait_until(window.worker_last);
    }
    (net, id, nonce)
}

#[test]
fn every_event_of_the_schema_is_told_where_it_happens_or_named_as_untold() {
    let (net, ..) = eventful();
    let told: BTreeSet<&str> =
        net.told.iter().filter_map(|(_, name, _)| name.strip_prefix("emissions.v10.")).collect();
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let schema = files.iter().filter(|file| file.package() == "emissions.v10").flat_map(|f| &f.message_type);
    let all: BTreeSet<&str> = schema.map(|m| m.name()).filter(|name| name.starts_with("Event")).collect();
    let untold: BTreeSet<&str> = UNTOLD.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = all.difference(&told).filter(|name| !untold.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(told.is_disjoint(&untold), "{told:?}");
    assert!(told.is_subset(&all) && all.len() > 60, "{}", all.len());
}

#[test]
fn windows_scores_and_pay_are_told_at_their_block_and_agree_with_the_epoch() {
    let mut net = Net::new();
    let id = net.market(of_losses(), &WORKERS, &REPUTERS);
    net.done(&[delegate("bob", id, "r1", 3 * ALLO)]);
    let nonce = epoch(&mut net, id);
    let second = epoch(&mut net, id);
    let window = net.epoch(id, second).unwrap();
    let at = |height: u64| u64::try_from(i64::try_from(height).unwrap()).unwrap();
    let opened = told::<v10::EventWorkerSubmissionWindowOpened>(&net);
    let (height, event) = opened.iter().find(|(_, e)| e.nonce_block_height == second as i64).unwrap();
    assert_eq!((*height, event.window_end_block), (at(second), second as i64 + 2));
    let closed = told::<v10::EventWorkerSubmissionWindowClosed>(&net);
    assert!(closed.iter().any(|(h, e)| *h == second + 2 && e.nonce_block_height == second as i64));
    let called = told::<v10::EventReputerSubmissionWindowOpened>(&net);
    let (height, event) = called.iter().find(|(_, e)| e.nonce_block_height == second as i64).unwrap();
    assert_eq!((*height, event.window_end_block), (second + 4, second as i64 + 6));
    let done = told::<v10::EventReputerSubmissionWindowClosed>(&net);
    assert!(done.iter().any(|(h, e)| *h == second + 6 && e.nonce_block_height == second as i64));

    for (actor, forecaster) in
        [(v10::ActorType::InfererUnspecified, false), (v10::ActorType::Forecaster, true)]
    {
        let settled = told::<v10::EventRewardsSettled>(&net);
        let mine =
            settled.iter().find(|(_, e)| e.actor_type() == actor && e.block_height == second as i64).unwrap();
        let parts: Vec<_> = window.parts.iter().filter(|p| p.forecaster == forecaster).collect();
        assert_eq!(mine.1.addresses, parts.iter().map(|p| p.address.clone()).collect::<Vec<_>>());
        assert_eq!(mine.1.rewards, parts.iter().map(|p| p.reward.clone()).collect::<Vec<_>>());
        assert_eq!((mine.0, mine.1.block_height_tx), (second + 6, second as i64 + 6));
        let scores = told::<v10::EventScoresSet>(&net);
        let scores = scores.iter().find(|(h, e)| *h == second + 6 && e.actor_type() == actor).unwrap();
        let numbers: Vec<Option<f64>> = scores.1.scores.iter().map(|s| s.parse().ok()).collect();
        assert_eq!(numbers, parts.iter().map(|p| p.score).collect::<Vec<_>>());
    }
    let paid: u128 = told::<v10::EventRewardsSettled>(&net)
        .iter()
        .flat_map(|(_, e)| e.rewards.iter().map(|r| r.parse::<u128>().unwrap()))
        .sum();
    let epochs = [nonce, second].map(|n| net.epoch(id, n).unwrap());
    assert_eq!(paid, epochs.iter().map(|e| e.reward.parse::<u128>().unwrap()).sum::<u128>());
    let shared = told::<v10::EventDelegateRewardDistributed>(&net);
    assert!(shared.iter().any(|(_, e)| e.reputer == text("r1") && e.amount != "0"), "{shared:?}");
    assert!(shared.iter().all(|(_, e)| e.reputer == text("r1")), "only r1 has delegators");
}

#[test]
fn a_transaction_tells_what_each_of_its_messages_did() {
    let mut net = Net::new();
    let id = net.market(of_losses(), &WORKERS, &REPUTERS);
    let receipts = net.done(&[stake("r1", id, 5).and(fund("r1", id, 9))]);
    let of = |place: u32| -> Vec<&str> {
        let events = receipts[0].events.iter().filter(|event| event.message == place);
        events.flat_map(|event| event.published.iter().map(|p| p.name.as_str())).collect()
    };
    assert_eq!(of(0), ["emissions.v10.EventAddStake", "emissions.v10.EventReputerStakeUpdated"]);
    assert_eq!(of(1), ["emissions.v10.EventFundTopic"]);
    let (_, staked) = told::<v10::EventAddStake>(&net).pop().unwrap();
    assert_eq!((staked.reputer, staked.delegator.as_str(), staked.amount.as_str()), (text("r1"), "", "5"));
    let (_, behind) = told::<v10::EventReputerStakeUpdated>(&net).pop().unwrap();
    assert_eq!(behind.amount, (10 * ALLO + 5).to_string());
    let (_, payload) = {
        said(&mut net, id);
        told::<v10::EventInsertInfererPayload>(&net)
            .into_iter()
            .find(|(_, e)| e.inferer == text("w4"))
            .unwrap()
    };
    assert_eq!(payload.value, "9");
    assert_eq!((payload.values[0].label.as_str(), payload.values[0].value.as_str()), ("y", "9"));
    let (_, created) = told::<v10::EventCreateNewTopic>(&net).pop().unwrap();
    assert_eq!(created.topic.unwrap().id, id);
}
