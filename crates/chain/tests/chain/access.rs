//! Who may do what: lists, admins, parameters, and descriptions of topics that change.

use dodona_proto::{
    ALLO, path,
    topics::{
        LabelList, List, MsgUpdateTopic, QueryListRequest, QueryListResponse, QueryParamsRequest,
        QueryParamsResponse, QueryPermissionsRequest, QueryPermissionsResponse, Role, TopicSpec,
    },
};

use super::{audit, kit::*, messages::*};

const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
const REPUTERS: [&str; 2] = ["r1", "r2"];

fn may(net: &Net, who: &str, topic_id: u64) -> QueryPermissionsResponse {
    net.query(path::PERMISSIONS, &QueryPermissionsRequest { address: text(who), topic_id }).unwrap()
}

fn list(net: &Net, list: List, topic_id: u64, who: &str) -> QueryListResponse {
    let address = if who.is_empty() { String::new() } else { text(who) };
    net.query(path::LIST, &QueryListRequest { list: list.into(), topic_id, address }).unwrap()
}

fn param(net: &Net, name: &str) -> String {
    let answer: QueryParamsResponse = net.query(path::PARAMS, &QueryParamsRequest {}).unwrap();
    answer.params.into_iter().find(|p| p.name == name).unwrap().value
}

#[test]
fn parameters_change_all_together_or_not_at_all() {
    let mut net = Net::new();
    let no = net.refused(&params_by("alice", &[("reputer_share", "1")]));
    assert!(no.code == 48 && no.charged, "{no:?}");
    let bad: [(&[(&str, &str)], &str); 8] = [
        (&[("reputer_share", "100"), ("reputer_shares", "1")], "no parameter is named `reputer_shares`"),
        (&[("registration_fee", "7"), ("reputer_share", "10001")], "at most 10000"),
        (&[("registration_fee", "-7")], "no amount"),
        (&[("registration_fee", "")], "no amount"),
        (&[("reputer_share", "much")], "is no value"),
        (&[("max_messages", "0")], "at least 1"),
        (&[("beta_entropy", "2")], "allowed are"),
        // Valid one by one, but the parts of the supply no longer sum to 1.
        (&[("team_percent_of_total_supply", "0.2")], "shares of the supply"),
    ];
    for (set, cause) in bad {
        let no = net.refused(&set_params(set));
        assert!(no.code == 42 && no.log.contains(cause), "{set:?}: {}", no.log);
    }
    assert_eq!(
        (param(&net, "reputer_share"), param(&net, "registration_fee")),
        ("2500".into(), "200".into())
    );
    // Two that are only valid together; and two transactions of one block build on each other.
    net.done(&[
        set_params(&[
            ("team_percent_of_total_supply", "0.2"),
            ("foundation_treasury_percent_of_total_supply", "0.2"),
        ]),
        set_params(&[("registration_fee", "7"), ("min_topic_weight", "12.5")]),
    ]);
    assert_eq!(param(&net, "registration_fee"), "7");
    assert_eq!(param(&net, "min_topic_weight"), "12.5");
    assert_eq!(param(&net, "team_percent_of_total_supply").parse::<f64>().unwrap(), 0.2);
    audit::everything(&net);
}

#[test]
fn a_parameter_is_in_force_from_the_next_block_on() {
    let mut net = Net::new();
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    let before = net.balance("w4");
    let (change, first) = (set_params(&[("registration_fee", "1000")]), register("w4", id, Role::Worker));
    let fee = first.fee;
    net.done(&[change, first]);
    assert_eq!(net.balance("w4"), before - fee - 200);
    net.done(&[register("w4", id, Role::Reputer)]);
    assert_eq!(net.balance("w4"), before - 2 * fee - 1_200);
    audit::everything(&net);
}

#[test]
fn topic_creation_can_be_restricted_and_permissions_say_to_whom() {
    let mut net = Net::new();
    assert!(may(&net, "alice", 0).create_topic);
    net.done(&[set_params(&[("topic_creator_whitelist_enabled", "true")])]);
    let creates = |net: &Net, who: &str| {
        let code = net.refusal_of(&create(who, spec(4, 2, 2, 2)));
        assert_eq!(code.is_none(), may(net, who, 0).create_topic, "{who}");
        assert!(code.is_none() || code == Some(48));
        code.is_none()
    };
    assert!(!creates(&net, "alice") && !creates(&net, "carol"), "an admin of parameters is no topic creator");
    net.done(&[edit("carol", List::TopicCreator, 0, &["alice"], &[])]);
    assert!(creates(&net, "alice") && !creates(&net, "bob"));
    // The global list counts where it is switched on, global admins while they are appended.
    net.done(&[
        edit("carol", List::Global, 0, &["bob"], &[]),
        edit("carol", List::GlobalAdmin, 0, &["owner"], &[]),
    ]);
    assert!(!creates(&net, "bob") && creates(&net, "owner"));
    net.done(&[set_params(&[
        ("global_whitelist_enabled", "true"),
        ("global_admin_whitelist_appended", "false"),
    ])]);
    assert!(creates(&net, "bob") && !creates(&net, "owner"));
    net.done(&[edit("carol", List::TopicCreator, 0, &[], &["alice"])]);
    assert!(!creates(&net, "alice"));
    audit::everything(&net);
}

#[test]
fn a_listed_topic_hears_only_who_is_listed() {
    let mut net = Net::new();
    let closed = TopicSpec { worker_list: true, reputer_list: true, ..spec(4, 2, 2, 2) };
    net.done(&[create("alice", closed)]);
    let id = 1;
    for (who, role) in [("w1", Role::Worker), ("r1", Role::Reputer)] {
        let no = net.refused(&register(who, id, role));
        assert!(no.code == 48 && no.log.contains("not permitted"), "{}", no.log);
    }
    net.done(&[
        edit("alice", List::TopicWorker, id, &["w1", "w2"], &[]),
        edit("alice", List::TopicReputer, id, &["r1"], &[]),
        edit("carol", List::GlobalReputer, 0, &["r2"], &[]),
    ]);
    assert_eq!((may(&net, "w1", id).submit, may(&net, "w1", id).report), (true, false));
    assert_eq!((may(&net, "r1", id).submit, may(&net, "r1", id).report), (false, true));
    assert!(may(&net, "r2", id).report && !may(&net, "w3", id).submit);
    let on = list(&net, List::TopicWorker, id, "w1");
    assert!(on.enabled && on.contains && on.members.len() == 2);
    assert!(!list(&net, List::TopicWorker, id, "w3").contains);
    net.done(&[
        fund("alice", id, 100 * ALLO),
        register("w1", id, Role::Worker),
        register("w2", id, Role::Worker),
        register("r1", id, Role::Reputer).and(stake("r1", id, 10 * ALLO)),
        register("r2", id, Role::Reputer).and(stake("r2", id, 10 * ALLO)),
    ]);
    audit::alive(&mut net, id, &["w1", "w2"], &REPUTERS, "5");
    // Struck off in the middle of an epoch: registered still, but not heard any more.
    net.done(&[
        edit("alice", List::TopicWorker, id, &[], &["w2"]),
        edit("carol", List::GlobalReputer, 0, &[], &["r2"]),
    ]);
    while net.windows(id).windows.iter().all(|w| w.worker_first != net.height + 1) {
        net.block(&[]);
    }
    let nonce = net.windows(id).windows.iter().map(|w| w.nonce).max().unwrap();
    assert_eq!(net.refused(&submit("w2", id, nonce, "5")).code, 48);
    assert_eq!(net.refused(&stake("r2", id, ALLO)).code, 48);
    // Its stake is its own all the same.
    net.done(&[unstake("r2", id, ALLO)]);
    audit::alive(&mut net, id, &["w1"], &["r1"], "5");
    // What a message leaves out stays as it is.
    net.done(&[lists("alice", id, Some(false), None)]);
    let spec = net.topic(id).spec.unwrap();
    assert_eq!((spec.worker_list, spec.reputer_list), (false, true));
    audit::alive(&mut net, id, &["w1", "w2"], &["r1"], "5");
    assert_eq!(net.refused(&lists("bob", id, None, None)).code, 48);
    audit::everything(&net);
}

#[test]
fn each_list_has_its_keepers() {
    let mut net = Net::with(|params| params.max_whitelist_input_array_length = 2);
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    let every = [
        List::Admin,
        List::Global,
        List::GlobalWorker,
        List::GlobalReputer,
        List::GlobalAdmin,
        List::TopicCreator,
        List::TopicWorker,
        List::TopicReputer,
    ];
    let can =
        |net: &Net, who: &str, list: List| net.refusal_of(&edit(who, list, id, &["bob"], &[])).is_none();
    let kept = |net: &Net, who: &str| every.map(|list| can(net, who, list));
    assert_eq!(kept(&net, "bob"), [false; 8]);
    assert_eq!(kept(&net, "carol"), [true; 8]);
    // A topic's creator keeps the two lists of its topic.
    assert_eq!(kept(&net, "alice"), [false, false, false, false, false, false, true, true]);
    net.done(&[edit("carol", List::GlobalAdmin, 0, &["owner"], &[])]);
    assert_eq!(kept(&net, "owner"), [false, true, true, true, true, true, true, true]);
    assert_eq!(net.refused(&params_by("owner", &[("reputer_share", "1")])).code, 48);
    let of = |who: &str| may(&net, who, id);
    assert!(of("carol").update_params && !of("owner").update_params && of("owner").update_all_lists);
    assert!(of("alice").update_topic_lists && !of("bob").update_topic_lists);
    // Nonsense.
    assert_eq!(net.refused(&edit("carol", List::Unspecified, 0, &["bob"], &[])).code, 42);
    assert_eq!(net.refused(&edit("carol", List::TopicWorker, 9, &["bob"], &[])).code, 23);
    assert_eq!(net.refused(&edit("carol", List::Global, 0, &["w1", "w2"], &["w3"])).code, 44);
    // Somebody must be left to change anything.
    let no = net.refused(&edit("carol", List::Admin, 0, &[], &["carol"]));
    assert!(no.code == 42 && no.log.contains("last admin"), "{}", no.log);
    net.done(&[edit("carol", List::Admin, 0, &["bob"], &["carol"])]);
    assert_eq!(net.refused(&set_params(&[("reputer_share", "1")])).code, 48);
    net.done(&[params_by("bob", &[("reputer_share", "1")])]);
    audit::everything(&net);
}

#[test]
fn a_description_changes_only_where_the_message_says_so_and_not_under_an_open_window() {
    let mut net = Net::new();
    let before = TopicSpec {
        multi: true,
        labels: vec!["a".into(), "b".into()],
        metadata: "m".into(),
        resolution: "r".into(),
        truth_source: "s".into(),
        ..spec(4, 2, 2, 2)
    };
    let id = net.market(before, &WORKERS, &REPUTERS);
    let spec_of = |net: &Net| net.topic(id).spec.unwrap();
    let whole = spec_of(&net);
    let text = |text: &str| Some(text.to_string());
    let refused = |net: &Net, who: &str, change: MsgUpdateTopic| net.refused(&update(who, id, change));
    let metadata = MsgUpdateTopic { metadata: text("new"), ..Default::default() };
    assert_eq!(refused(&net, "bob", metadata.clone()).code, 48);
    assert_eq!(refused(&net, "carol", metadata.clone()).code, 48, "not even an admin");
    // Words and the regret rule's settings change at any time; nothing else moves.
    net.done(&[update("alice", id, metadata)]);
    net.done(&[update("alice", id, MsgUpdateTopic { p_norm: text("4"), ..Default::default() })]);
    let after = spec_of(&net);
    assert_eq!((after.metadata.as_str(), after.p_norm.as_str()), ("new", "4"));
    assert_eq!(TopicSpec { metadata: whole.metadata.clone(), p_norm: whole.p_norm.clone(), ..after }, whole);
    for change in [
        MsgUpdateTopic { p_norm: text("11"), ..Default::default() },
        MsgUpdateTopic { alpha_regret: text("0"), ..Default::default() },
        MsgUpdateTopic { metadata: Some("x".repeat(256)), ..Default::default() },
        MsgUpdateTopic { c_norm: text("NaN"), ..Default::default() },
    ] {
        assert_eq!(refused(&net, "alice", change).code, 2);
    }

    while net.windows(id).windows.iter().all(|w| w.state != "open" || w.worker_last <= net.height) {
        net.block(&[]);
    }
    let named = |labels: &[&str]| Some(LabelList { labels: labels.iter().map(|l| l.to_string()).collect() });
    let guarded = [
        MsgUpdateTopic { merit_alpha: text("0.2"), ..Default::default() },
        MsgUpdateTopic { max_labels: Some(8), ..Default::default() },
        MsgUpdateTopic { labels: named(&["c"]), ..Default::default() },
        MsgUpdateTopic { label_default: text("1"), ..Default::default() },
        MsgUpdateTopic { max_inferers: Some(3), ..Default::default() },
        MsgUpdateTopic { max_forecasters: Some(3), ..Default::default() },
        MsgUpdateTopic { max_reputers: Some(3), ..Default::default() },
    ];
    for change in &guarded {
        let no = refused(&net, "alice", change.clone());
        assert!(no.code == 67 && no.log.contains("cannot change"), "{}", no.log);
    }
    while net.windows(id).windows.iter().any(|w| w.state == "open") {
        net.block(&[]);
    }
    net.done(&guarded.iter().map(|change| update("alice", id, change.clone())).collect::<Vec<_>>());
    let now = spec_of(&net);
    assert_eq!(
        (now.labels.clone(), now.label_default.as_str(), now.max_labels),
        (vec!["c".to_string()], "1", 8)
    );
    assert_eq!((now.max_inferers, now.max_forecasters, now.max_reputers), (3, 3, 3));
    // An absent list stays, an empty one allows every label.
    while net.windows(id).windows.iter().any(|w| w.state == "open") {
        net.block(&[]);
    }
    net.done(&[update("alice", id, MsgUpdateTopic { label_default: text("2"), ..Default::default() })]);
    assert_eq!(spec_of(&net).labels, ["c"]);
    while net.windows(id).windows.iter().any(|w| w.state == "open") {
        net.block(&[]);
    }
    net.done(&[update("alice", id, MsgUpdateTopic { labels: named(&[]), ..Default::default() })]);
    assert!(spec_of(&net).labels.is_empty());
    audit::alive_with(
        &mut net,
        id,
        &WORKERS,
        &REPUTERS,
        |who, nonce| submit_labels(who, id, nonce, &[("anything", "5")]),
        |who, nonce| truth_labels(who, id, nonce, &[("anything", "5")]),
    );
    audit::everything(&net);
}
