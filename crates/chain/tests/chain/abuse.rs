//! Ways to waste everybody's time, block a topic or keep what is not earned, each closed: found by reading the rules
//! as an outsider would.

use dodona_chain::topics::state::UNHEARD;
use dodona_proto::{
    ALLO,
    topics::{Loss, MsgUpdateTopic, Role, Rule, TopicSpec, TruthMode},
};

use crate::{audit, kit::*, messages::*};

fn classes(max_labels: u32) -> TopicSpec {
    TopicSpec {
        loss: Loss::Squared.into(),
        classification: true,
        multi: true,
        max_labels,
        max_inferers: 100,
        ..spec(6, 2, 4, 3)
    }
}

fn many(count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("label {i}"), "1".to_string())).collect()
}

fn pairs(values: &[(String, String)]) -> Vec<(&str, &str)> {
    values.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect()
}

#[test]
fn a_report_names_few_labels_that_nobody_answered_because_the_agreement_looks_at_all_of_them() {
    let mut net = Net::new();
    let id = net.market(classes(1_024), &["w1", "w2"], &["r1", "r2"]);
    net.done(&[submit_labels("w1", id, 2, &[("a", "1")]), submit_labels("w2", id, 2, &[("b", "1")])]);
    net.wait_until(6);
    let (few, too_many) = (many(16), many(17));
    let no = net.refused(&truth_labels("r1", id, 2, &pairs(&too_many)).gas(4_000_000));
    assert_eq!(no.id(), ("emissions", 44));
    assert!(no.log.contains("labels nobody answered has 17"), "{}", no.log);
    let mut said = pairs(&few);
    said.push(("a", "1"));
    net.done(&[truth_labels("r1", id, 2, &said).gas(4_000_000), truth_labels("r2", id, 2, &[("a", "1")])]);
    net.wait_until(9);
    assert_eq!(net.epoch(id, 2).unwrap().state, "scored");
    audit::everything(&net);
}

#[test]
fn too_many_labels_are_refused_before_they_are_looked_at() {
    let mut net = Net::new();
    let id = net.market(classes(8), &["w1"], &["r1"]);
    let values = many(5_000);
    let no = net.refused(&submit_labels("w1", id, 2, &pairs(&values)).gas(20_000_000));
    assert_eq!(no.id(), ("emissions", 44));
    assert!(no.log.contains("labels has 5000 entries, at most 8"), "{}", no.log);
}

#[test]
fn members_times_labels_are_bounded_when_a_topic_is_made_and_when_it_grows() {
    let mut net = Net::new();
    let wide = TopicSpec { max_inferers: 10_000, ..classes(1_024) };
    let no = net.refused(&create("alice", wide.clone()));
    assert!(no.log.contains("cells") && no.id() == ("emissions", 2), "{no:?}");
    let listed = TopicSpec { labels: vec!["a".into(), "b".into()], ..wide };
    net.done(&[create("alice", listed)]);
    let anything = MsgUpdateTopic { labels: Some(Default::default()), ..Default::default() };
    let no = net.refused(&update("alice", 1, anything));
    assert!(no.log.contains("cells"), "{no:?}");
    let regret = TopicSpec { rule: Rule::Regret.into(), max_inferers: 500, ..classes(1_024) };
    assert!(net.refused(&create("alice", regret)).log.contains("cells"));
}

#[test]
fn an_epoch_is_at_most_a_month_long() {
    let net = Net::new();
    let no = net.refused(&create("alice", spec(864_001, 1, 1, 1)));
    assert!(no.log.contains("at most a month"), "{no:?}");
}

#[test]
fn a_topic_whose_stake_has_left_in_its_first_epoch_keeps_no_share_of_the_emission() {
    let mut net = Net::with(|p| p.remove_stake_delay_window = 2);
    let honest = net.market(spec(5, 1, 1, 1), &["w1"], &["r1"]);
    let idle = net.market(spec(500, 1, 1, 1), &["w2"], &["r2"]);
    net.done(&[unstake("r2", idle, 10 * ALLO)]);
    net.wait_until(net.height + 3);
    let pot = |net: &Net, id| net.topic(id).pot.parse::<u128>().unwrap();
    let before = (pot(&net, honest), pot(&net, idle));
    net.block(&[]);
    assert!(pot(&net, honest) - before.0 > 3 * ALLO);
    assert!(pot(&net, idle) - before.1 < 1_000_000, "one share of very many is dust");
}

#[test]
fn stake_that_leaves_never_makes_a_topic_heavier() {
    let mut net = Net::with(|p| (p.remove_stake_delay_window, p.blocks_per_month) = (1, 100));
    let id = net.market(spec(20, 1, 1, 1), &["w1"], &["r1"]);
    net.wait_until(net.topic(id).next_epoch_block + 1);
    net.done(&[delegate("bob", id, "r1", 20)]);
    net.done(&[fund("alice", id, 50_000 * ALLO)]);
    let before = net.topic(id).weight;
    for _ in 0..5 {
        net.done(&[undelegate("bob", id, "r1", 4)]);
        net.block(&[]);
    }
    assert!(net.topic(id).weight <= before, "funding counts from the next epoch on, not with every removal");
}

#[test]
fn the_pot_of_a_topic_that_sleeps_and_waits_for_no_truth_goes_back() {
    let mut net = Net::with(|p| (p.remove_stake_delay_window, p.blocks_per_month) = (1, 100));
    let id = net.market(spec(4, 1, 1, 1), &["w1"], &["r1"]);
    net.done(&[unstake("r1", id, 10 * ALLO)]);
    let mut slept = false;
    for _ in 0..60 {
        net.block(&[]);
        let topic = net.topic(id);
        if !topic.active {
            slept = true;
            let waits = topic.epochs_opened - topic.epochs_scored - topic.epochs_void;
            assert!(waits > 0 || topic.pot == "0", "{}", topic.pot);
        }
    }
    assert!(slept);
    audit::everything(&net);
}

#[test]
fn a_reputer_who_found_no_room_by_merit_has_had_its_word() {
    let mut net = Net::new();
    let s = TopicSpec { truth_mode: TruthMode::Losses.into(), max_reputers: 1, ..spec(6, 2, 4, 3) };
    let id = net.market(s, &["w1", "w2"], &["r1", "r2"]);
    net.done(&[submit("w1", id, 2, "1"), submit("w2", id, 2, "2")]);
    net.wait_until(6);
    net.done(&[losses("r1", &bundle(&net, id, 2, 1.5, 0.0))]);
    let mut late = bundle(&net, id, 2, 1.5, 0.0);
    late.sender = text("r2");
    let receipts = net.done(&[losses("r2", &late)]);
    assert!(receipts[0].log.contains("not admitted as reputer"), "{}", receipts[0].log);
    assert_eq!(net.refused(&losses("r2", &late)).id(), ("emissions", 78));
    net.wait_until(9);
    assert_eq!(net.epoch(id, 2).unwrap().state, "scored");
    let left = UNHEARD.scan(&net.app.store().snapshot().unwrap(), usize::MAX).unwrap();
    assert!(left.is_empty(), "forgotten with its epoch");
}

#[test]
fn what_silence_means_is_settled_when_an_epoch_opens() {
    let mut net = Net::new();
    let id = net.market(classes(4), &["w1", "w2"], &["r1", "r2"]);
    net.done(&[submit_labels("w1", id, 2, &[("a", "1")]), submit_labels("w2", id, 2, &[("b", "5")])]);
    net.wait_until(5);
    let changed = MsgUpdateTopic { label_default: Some("5".into()), ..Default::default() };
    net.done(&[update("alice", id, changed)]);
    net.wait_until(6);
    net.done(&[truth_labels("r1", id, 2, &[("a", "1")]), truth_labels("r2", id, 2, &[("a", "1")])]);
    net.wait_until(9);
    let epoch = net.epoch(id, 2).unwrap();
    let truth = |label: &str| epoch.columns.iter().find(|c| c.label == label).unwrap().truth;
    assert_eq!((truth("a"), truth("b")), (Some(1.0), Some(0.0)));
    audit::everything(&net);
}

#[test]
fn labels_that_were_answered_may_be_reported_whatever_the_topic_allows_by_now() {
    let mut net = Net::new();
    let id = net.market(classes(4), &["w1", "w2"], &["r1"]);
    net.done(&[submit_labels("w1", id, 2, &[("a", "1")]), submit_labels("w2", id, 2, &[("b", "1")])]);
    net.wait_until(5);
    let only_b = MsgUpdateTopic {
        labels: Some(dodona_proto::topics::LabelList { labels: vec!["b".into()] }),
        ..Default::default()
    };
    net.done(&[update("alice", id, only_b)]);
    net.wait_until(6);
    net.done(&[truth_labels("r1", id, 2, &[("a", "1")])]);
    assert_eq!(net.refusal_of(&register("r1", id, Role::Worker)), None);
}

#[test]
fn an_admin_can_lower_what_topics_ask_for() {
    let mut net = Net::new();
    let id = net.market(TopicSpec { max_inferers: 50, ..spec(6, 2, 4, 3) }, &["w1"], &["r1"]);
    assert_eq!(net.topic(id).max_inferers, 50);
    net.done(&[set_params(&[("max_members", "3")])]);
    assert_eq!(net.topic(id).max_inferers, 3);
    net.wait_until(5);
    let words = MsgUpdateTopic { metadata: Some("still mine".into()), ..Default::default() };
    net.done(&[update("alice", id, words)]);
}
