//! What topics refuse, each with its code and with a message that names cause and way out.

use dodona_proto::{
    ALLO, Address,
    topics::{
        Loss, MsgFundTopic, MsgRegister, MsgReportTruth, MsgSubmitPayload, Payout, Role, Rule, TopicSpec,
        TruthMode,
    },
    tx::pack,
    url,
};

use crate::kit::*;

/// Checks a table of (transaction, codespace, code, words the message holds); everything in it is charged.
fn refusals(net: &Net, cases: &[(Tx, &str, u32, &[&str])]) {
    for (tx, codespace, code, says) in cases {
        let no = net.refused(tx);
        assert_eq!(no.id(), (*codespace, *code), "{no:?}");
        assert!(no.charged, "{no:?}");
        for word in *says {
            assert!(no.log.contains(word), "`{}` does not say `{word}`", no.log);
        }
    }
}

/// Blocks: created in 1, opened at the end of 2; payloads in 3 and 4, truths in 7 to 9, next question after 8.
fn market(net: &mut Net) -> u64 {
    let id = net.market(spec(6, 2, 4, 3), &["w1", "w2", "w3"], &["r1", "r2"]);
    assert_eq!((id, net.height), (1, 2));
    id
}

#[test]
fn payloads_that_cannot_count_are_refused() {
    let mut net = Net::new();
    let id = market(&mut net);
    let about = |losses: &[(&str, &str)]| forecast("w1", id, 2, "", losses);
    let nowhere = {
        let element = dodona_proto::topics::Forecast { inferer: "allo1x".into(), loss: "1".into() };
        let m = MsgSubmitPayload {
            sender: text("w1"),
            topic_id: id,
            nonce: 2,
            forecast: vec![element],
            ..Default::default()
        };
        Tx::new("w1", vec![pack(url::SUBMIT, &m)])
    };
    let e = "emissions";
    refusals(
        &net,
        &[
            (submit("w1", 9, 2, "1"), e, 23, &["topic 9 does not exist", "1 to 1"]),
            (submit("alice", id, 2, "1"), e, 13, &[&text("alice"), "not registered", "as worker"]),
            (submit("r1", id, 2, "1"), e, 13, &["as worker"]),
            (submit("w1", id, 3, "1"), e, 75, &["no epoch with nonce 3", "end of block 8"]),
            (submit("w1", id, 8, "1"), e, 75, &["no epoch with nonce 8", "end of block 8"]),
            (submit("w1", id, 0, "1"), e, 75, &["no epoch with nonce 0"]),
            (submit("w1", id, 2, ""), e, 43, &["neither inference nor forecast"]),
            (submit("w1", id, 2, "NaN"), e, 41, &["inference", "finite decimal"]),
            (submit("w1", id, 2, "inf"), e, 41, &["finite decimal"]),
            (submit("w1", id, 2, "-Infinity"), e, 41, &["finite decimal"]),
            (submit("w1", id, 2, "1e400"), e, 41, &["too large"]),
            (submit("w1", id, 2, "1.1e40"), e, 41, &["too large", "1e40"]),
            (submit("w1", id, 2, "1e-50"), e, 41, &["too close to zero", "1e-40"]),
            (submit("w1", id, 2, "1e-400"), e, 41, &["too close to zero"]),
            (submit("w1", id, 2, "0x1p3"), e, 41, &["not a decimal"]),
            (submit("w1", id, 2, " 1"), e, 41, &["not a decimal"]),
            (submit("w1", id, 2, "1,5"), e, 41, &["not a decimal"]),
            (submit("w1", id, 2, &"1".repeat(65)), e, 41, &["at most 64"]),
            (about(&[("alice", "1")]), e, 13, &[&text("alice"), "as worker"]),
            (about(&[("w2", "1"), ("w2", "2")]), e, 42, &["forecast.inferer", "twice"]),
            (about(&[("w2", "0")]), e, 42, &["forecast.loss", "above zero"]),
            (about(&[("w2", "-1")]), e, 42, &["forecast.loss", "above zero"]),
            (about(&[("w2", "NaN")]), e, 41, &["forecast.loss"]),
            (nowhere, e, 42, &["forecast.inferer"]),
        ],
    );
    net.done(&[submit("w1", id, 2, "-0"), forecast("w2", id, 2, "1e40", &[("w1", "1e-40")])]);
    refusals(
        &net,
        &[
            (submit("w1", id, 2, "2"), e, 78, &["already submitted", &text("w1"), "after block 8"]),
            (about(&[("w2", "1")]), e, 78, &["already submitted"]),
        ],
    );
    net.done(&[submit("w3", id, 2, "7")]); // the last block of the window
    refusals(
        &net,
        &[
            (submit("w2", id, 2, "1"), e, 67, &["blocks 3 to 4", "this is block 5", "after block 8"]),
            (submit("w1", id, 8, "1"), e, 75, &["end of block 8"]),
        ],
    );
    assert_eq!(net.epoch(id, 2).unwrap().parts.len(), 4);
}

#[test]
fn truths_that_cannot_count_are_refused() {
    let mut net = Net::new();
    let id = market(&mut net);
    net.done(&[submit("w1", id, 2, "1"), submit("w2", id, 2, "2"), register("r3", id, Role::Reputer)]);
    let e = "emissions";
    refusals(
        &net,
        &[
            (truth("r1", id, 2, "1"), e, 68, &["blocks 7 to 9", "this is block 4"]),
            (truth("r1", id, 8, "1"), e, 75, &["no epoch with nonce 8"]),
            (truth("w1", id, 2, "1"), e, 13, &["as reputer"]),
            (truth("r1", 2, 2, "1"), e, 23, &["topic 2"]),
        ],
    );
    net.wait_until(5);
    refusals(&net, &[(truth("r1", id, 2, "1"), e, 68, &["this is block 6"])]);
    net.wait_until(6);
    let evidence = |bytes: usize| {
        let m = MsgReportTruth {
            sender: text("r1"),
            topic_id: id,
            nonce: 2,
            value: "1".into(),
            evidence: vec![7; bytes],
            values: Vec::new(),
        };
        Tx::new("r1", vec![pack(url::REPORT_TRUTH, &m)])
    };
    refusals(
        &net,
        &[
            (truth("r1", id, 2, ""), e, 41, &["value"]),
            (truth("r1", id, 2, "NaN"), e, 41, &["value"]),
            (truth("r1", id, 2, "1e41"), e, 41, &["too large"]),
            (truth("r3", id, 2, "1"), e, 46, &["is 0uallo", "add stake"]),
            (evidence(31), e, 42, &["evidence", "31 bytes"]),
        ],
    );
    net.done(&[evidence(32)]);
    refusals(&net, &[(truth("r1", id, 2, "1"), e, 78, &["already submitted", "one report"])]);
    net.wait_until(8);
    net.done(&[truth("r2", id, 2, "1")]); // the last block of the window
    refusals(&net, &[(truth("r1", id, 2, "1"), e, 75, &["epoch 2 is scored"])]);
    // Nobody answered in the epoch of block 8.
    net.wait_until(12);
    refusals(&net, &[(truth("r1", id, 8, "1"), e, 75, &["epoch 8 is void"])]);
    refusals(&net, &[(submit("w1", id, 8, "1"), e, 67, &["blocks 9 to 10"])]);
}

#[test]
fn a_full_window_receives_who_comes_late_and_says_that_it_is_not_heard() {
    let mut net = Net::new();
    let s = TopicSpec { max_inferers: 2, max_forecasters: 1, ..spec(6, 2, 4, 3) };
    let id = net.market(s, &["w1", "w2", "w3"], &["r1", "r2"]);
    let f = |who: &str, value: &str| forecast(who, id, 2, value, &[("w1", "1")]);
    let receipts = net.done(&[submit("w1", id, 2, "1"), f("w2", "2")]);
    assert!(receipts.iter().all(|r| r.log.is_empty()), "{receipts:?}");
    let late = net.done(&[f("w3", "3")]).remove(0);
    for word in ["not admitted as inferer: all 2", "not admitted as forecaster: all 1", "epoch 2"] {
        assert!(late.log.contains(word), "`{}` does not say `{word}`", late.log);
    }
    let parts = net.epoch(id, 2).unwrap().parts;
    assert!(parts.len() == 3 && parts.iter().all(|p| p.name != "w3"), "{parts:?}");
    net.wait_until(8);
    assert!(net.done(&[submit("w3", id, 8, "3")])[0].log.is_empty(), "the next window has room");
}

#[test]
fn who_found_no_room_has_had_its_word() {
    let mut net = Net::new();
    let s = TopicSpec { max_inferers: 1, ..spec(6, 3, 4, 3) };
    let id = net.market(s, &["w1", "w2"], &["r1"]);
    net.done(&[submit("w1", id, 2, "1"), submit("w2", id, 2, "2")]);
    refusals(&net, &[(submit("w2", id, 2, "2"), "emissions", 78, &["already submitted", "after block 8"])]);
}

#[test]
fn a_full_truth_window_makes_room_for_more_stake_and_for_nothing_else() {
    let mut net = Net::with(|p| p.max_reputers = 2);
    let id = net.market(spec(6, 2, 4, 3), &["w1", "w2"], &["r1", "r2", "r3", "r4"]);
    net.done(&[
        stake("r1", id, ALLO),
        stake("r4", id, 5 * ALLO),
        submit("w1", id, 2, "1"),
        submit("w2", id, 2, "2"),
    ]);
    net.wait_until(6);
    net.done(&[truth("r1", id, 2, "1"), truth("r2", id, 2, "9")]);
    let receipts = net.done(&[truth("r3", id, 2, "1"), truth("r4", id, 2, "1")]);
    assert!(receipts[0].log.contains("not admitted as reputer: all 2"), "{}", receipts[0].log);
    assert!(receipts[0].log.contains("a stake of"), "{}", receipts[0].log);
    assert!(receipts[1].log.is_empty(), "{}", receipts[1].log);
    net.wait_until(9);
    let mut heard: Vec<String> = net.epoch(id, 2).unwrap().truths.into_iter().map(|t| t.name).collect();
    heard.sort();
    assert_eq!(heard, ["r1", "r4"]);
}

#[test]
fn registrations_stake_and_funding_that_make_no_sense_are_refused() {
    let mut net = Net::new();
    let id = market(&mut net);
    let reg = |change: &dyn Fn(&mut MsgRegister)| {
        let mut m = MsgRegister {
            sender: text("bob"),
            topic_id: id,
            role: Role::Worker.into(),
            ..Default::default()
        };
        change(&mut m);
        Tx::new("bob", vec![pack(url::REGISTER, &m)])
    };
    let funding = |amount: &str| {
        let m = MsgFundTopic { sender: text("bob"), topic_id: id, amount: amount.into() };
        Tx::new("bob", vec![pack(url::FUND_TOPIC, &m)])
    };
    let pot = Address::of_module("allorarewards").to_string();
    let e = "emissions";
    refusals(
        &net,
        &[
            (reg(&|m| m.topic_id = 0), e, 23, &["topic 0", "1 to 1"]),
            (reg(&|m| m.role = 0), e, 42, &["role", "worker or reputer"]),
            (reg(&|m| m.role = 7), e, 42, &["role"]),
            (reg(&|m| m.name = "x".repeat(33)), e, 42, &["name", "at most 32"]),
            (reg(&|m| m.name = "no spaces".into()), e, 42, &["name"]),
            (reg(&|m| m.name = "ü".into()), e, 42, &["name"]),
            (reg(&|m| m.owner = "me".into()), e, 42, &["owner"]),
            (reg(&|m| m.owner = pot.clone()), e, 42, &["owner", "belongs to the chain"]),
            (register("w1", id, Role::Worker), e, 12, &["already registered as worker since block 2"]),
            (stake("bob", id, 1), e, 13, &["as reputer"]),
            (stake("w1", id, 1), e, 13, &["as reputer"]),
            (stake("r1", id, 0), e, 47, &["`0`", "positive"]),
            (stake("r1", id, 2 * PURSE), "sdk", 5, &["insufficient funds"]),
            (stake("r1", 7, 1), e, 23, &["topic 7"]),
            (funding(""), e, 47, &["positive"]),
            (funding("-5"), e, 47, &["`-5`"]),
            (funding("1.5"), e, 47, &["`1.5`"]),
            (funding("340282366920938463463374607431768211456"), e, 47, &["positive"]),
            (fund("bob", id, 2 * PURSE), "sdk", 5, &["insufficient funds"]),
            (fund("bob", 2, 1), e, 23, &["topic 2"]),
        ],
    );
    // One account may be worker and reputer, each once.
    net.done(&[register("w1", id, Role::Reputer), reg(&|_| {})]);
}

#[test]
fn a_description_is_checked_as_a_whole() {
    let net = Net::new();
    let ok = spec(10, 3, 5, 4);
    let with = |change: &dyn Fn(&mut TopicSpec)| {
        let mut s = ok.clone();
        change(&mut s);
        create("alice", s)
    };
    type Change = fn(&mut TopicSpec);
    let cases: &[(Change, &str)] = &[
        (|s| s.title = String::new(), "title"),
        (|s| s.title = "x".repeat(81), "title"),
        (|s| s.title = "a\nb".into(), "title"),
        (|s| s.target = "x".repeat(256), "target"),
        (|s| s.unit = "x".repeat(33), "unit"),
        (|s| s.truth_source = "x".repeat(256), "truth_source"),
        (|s| s.rule = 5, "rule"),
        (|s| s.rule = -1, "rule"),
        (|s| s.loss = 10, "loss"),
        (|s| (s.loss, s.loss_parameter) = (Loss::Huber.into(), "0".into()), "loss"),
        (|s| (s.loss, s.loss_parameter) = (Loss::Huber.into(), "x".into()), "loss_parameter"),
        (|s| (s.loss, s.loss_parameter) = (Loss::Pinball.into(), "1".into()), "loss"),
        (|s| (s.loss, s.loss_scale) = (Loss::Ztae.into(), "-1".into()), "loss"),
        (|s| s.loss_parameter = "1".into(), "loss_parameter"),
        (|s| s.loss_center = "1".into(), "loss_scale"),
        (|s| s.truth_mode = 3, "truth_mode"),
        (|s| s.payout = 3, "payout"),
        (|s| s.metadata = "x".repeat(256), "metadata"),
        (|s| s.horizon = "x".repeat(65), "horizon"),
        (|s| s.resolution = "x".repeat(1_001), "resolution"),
        (|s| s.epoch_length = 0, "epoch_length"),
        (|s| s.epoch_length = 40_000_001, "epoch_length"),
        (|s| s.worker_window = 0, "worker_window"),
        (|s| s.worker_window = 11, "worker_window"),
        (|s| s.truth_lag = 0, "truth_lag"),
        (|s| s.truth_lag = 2, "truth_lag"),
        (|s| s.truth_lag = u64::MAX, "truth_lag"),
        (|s| s.truth_window = 0, "truth_window"),
        (|s| s.truth_window = u64::MAX, "truth_window"),
        (|s| s.truth_lag = 20_000, "truth_lag"),
        (|s| s.kappa = 1, "power rule settings"),
        (|s| s.kappa = 9, "power rule settings"),
        (|s| s.alpha = "0.5".into(), "power rule settings"),
        (|s| s.alpha = "x".into(), "alpha"),
        (|s| s.cap = "0.1".into(), "power rule settings"),
        (|s| s.cap = "no".into(), "cap"),
        (|s| s.clamp = "2".into(), "power rule settings"),
        (|s| s.clamp = "NaN".into(), "clamp"),
        (|s| s.gain = "0.4".into(), "power rule settings"),
        (|s| s.log_pool = true, "power rule settings"),
        (|s| s.p_norm = "0.5".into(), "regret rule settings"),
        (|s| s.c_norm = "101".into(), "regret rule settings"),
        (|s| s.alpha_regret = "0".into(), "regret rule settings"),
        (|s| s.epsilon = "0".into(), "regret rule settings"),
        (|s| s.epsilon = "x".into(), "epsilon"),
        (|s| s.allow_negative = true, "allow_negative"),
        (|s| s.merit_alpha = "1".into(), "merit_alpha"),
        (|s| s.inferer_quantile = "-0.1".into(), "inferer_quantile"),
        (|s| s.forecaster_quantile = "1".into(), "forecaster_quantile"),
        (|s| s.reputer_quantile = "2".into(), "reputer_quantile"),
        (|s| s.max_inferers = 10_001, "max_inferers"),
        (|s| (s.rule, s.max_inferers) = (Rule::Regret.into(), 501), "max_inferers"),
        (|s| s.max_forecasters = 65, "max_forecasters"),
        (|s| s.max_reputers = 129, "max_reputers"),
        (|s| s.require_unity = true, "multi"),
        (|s| s.labels = vec!["up".into()], "multi"),
        (|s| s.max_labels = 2, "multi"),
        (|s| (s.multi, s.max_labels) = (true, 1_025), "max_labels"),
        (|s| s.unity_tolerance = "0.02".into(), "unity_tolerance"),
        (|s| (s.multi, s.require_unity, s.label_default) = (true, true, "1".into()), "label_default"),
        (|s| (s.multi, s.loss) = (true, Loss::Log.into()), "require_unity"),
        (|s| (s.multi, s.require_unity, s.rule) = (true, true, Rule::Median.into()), "rule"),
    ];
    for (change, field) in cases {
        let no = net.refused(&with(change));
        assert_eq!(no.id(), ("emissions", 2), "{no:?}");
        assert!(no.log.starts_with(&format!("invalid {field}: ")), "`{}` does not name {field}", no.log);
    }
    let nothing = Tx::new(
        "alice",
        vec![pack(
            url::CREATE_TOPIC,
            &dodona_proto::topics::MsgCreateTopic { creator: text("alice"), spec: None },
        )],
    );
    refusals(&net, &[(nothing, "emissions", 2, &["spec"])]);
    let mut poor = Net::new();
    let almost = u128::from(GAS) * 10 + 74_999; // fee of the transaction, and of the topic but for one unit
    poor.done(&[send("alice", "dora", almost)]);
    refusals(&poor, &[(create("dora", ok.clone()), "sdk", 5, &["insufficient funds"])]);
    poor.done(&[send("alice", "dora", 1)]);
    poor.done(&[create("dora", ok)]);
}

#[test]
fn every_setting_of_a_description_is_kept_and_shown() {
    let mut net = Net::new();
    let given = TopicSpec {
        title: "probability of rain".into(),
        target: "rain in Dodona within a day".into(),
        unit: "1".into(),
        truth_source: "https://example.org".into(),
        rule: Rule::Power.into(),
        loss: Loss::Log.into(),
        kappa: 3,
        alpha: "0.01".into(),
        cap: "0.3".into(),
        clamp: "off".into(),
        gain: "0.5".into(),
        log_pool: true,
        metadata: "made by hand".into(),
        horizon: "a day".into(),
        resolution: "a trace counts as rain".into(),
        truth_mode: TruthMode::Truth.into(),
        payout: Payout::Gains.into(),
        p_norm: "2".into(),
        c_norm: "0.5".into(),
        alpha_regret: "0.2".into(),
        epsilon: "0.02".into(),
        merit_alpha: "0.3".into(),
        inferer_quantile: "0.1".into(),
        forecaster_quantile: "0.2".into(),
        reputer_quantile: "0.25".into(),
        max_inferers: 100,
        max_forecasters: 10,
        max_reputers: 20,
        classification: true,
        multi: true,
        require_unity: true,
        unity_tolerance: "0.001".into(),
        max_labels: 3,
        labels: vec!["Dry".into(), "Rain".into()],
        label_default: "0".into(),
        label_case_sensitive: true,
        worker_list: true,
        reputer_list: true,
        ..spec(10, 3, 5, 4)
    };
    let before = net.balance("alice");
    let tx = create("alice", given.clone());
    let fee = tx.fee;
    net.done(&[tx]);
    let topic = net.topic(1);
    assert_eq!(topic.spec, Some(given));
    assert_eq!((topic.creator, topic.created), (text("alice"), 1));
    assert_eq!(net.balance("alice"), before - fee - 75_000);
}

#[test]
fn a_topic_of_probabilities_hears_probabilities_only() {
    let mut net = Net::new();
    let s = TopicSpec { loss: Loss::Log.into(), ..spec(6, 2, 4, 3) };
    let id = net.market(s, &["w1", "w2"], &["r1"]);
    refusals(
        &net,
        &[
            (submit("w1", id, 2, "1.2"), "emissions", 42, &["inference", "between 0 and 1"]),
            (submit("w1", id, 2, "-0.1"), "emissions", 42, &["between 0 and 1"]),
        ],
    );
    net.done(&[submit("w1", id, 2, "0"), submit("w2", id, 2, "1")]);
    net.wait_until(6);
    refusals(
        &net,
        &[
            (truth("r1", id, 2, "0.5"), "emissions", 42, &["value", "0 or 1"]),
            (truth("r1", id, 2, "2"), "emissions", 42, &["value"]),
        ],
    );
    net.done(&[truth("r1", id, 2, "1")]);
}

#[test]
fn plain_rules_refuse_forecasts_they_would_not_hear() {
    for rule in [Rule::Mean, Rule::Median] {
        let mut net = Net::new();
        let id = net.market(TopicSpec { rule: rule.into(), ..spec(6, 2, 4, 3) }, &["w1", "w2"], &["r1"]);
        let both = forecast("w1", id, 2, "1", &[("w2", "1")]);
        refusals(&net, &[(both, "emissions", 42, &["forecast", "mean or median"])]);
    }
}

#[test]
fn a_topic_wakes_when_stake_and_funding_are_there_in_any_order_and_needs_no_worker() {
    let steps = |id: u64| {
        let reputer = register("r1", id, Role::Reputer).and(stake("r1", id, 10 * ALLO));
        [
            (reputer, "no stake"),
            (fund("alice", id, ALLO), "no funding"),
            (register("w1", id, Role::Worker), ""),
        ]
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut net = Net::with(|p| p.registration_fee = 0);
        net.done(&[create("bob", spec(2, 1, 1, 1))]);
        for (done, step) in order.iter().enumerate() {
            let left = *order[done..].iter().min().unwrap();
            if left < 2 {
                let topic = net.topic(1);
                assert!(
                    !topic.active && topic.inactive_reason.contains(steps(1)[left].1),
                    "{}",
                    topic.inactive_reason
                );
                assert_eq!((topic.epochs_opened, topic.next_epoch_block), (0, 0));
                assert!(net.windows(1).windows.is_empty());
            }
            net.done(&[steps(1)[*step].0.clone()]);
            if left < 2 && order[done + 1..].iter().all(|step| *step == 2) {
                // The first question is asked at the end of the very block that completed it.
                let topic = net.topic(1);
                assert!(topic.active && topic.inactive_reason.is_empty());
                assert_eq!((topic.epochs_opened, topic.next_epoch_block), (1, net.height + 2));
                assert_eq!(net.windows(1).windows[0].nonce, net.height);
            }
        }
    }
}

#[test]
fn the_fee_of_a_registration_is_revenue_and_wakes_a_topic_of_much_stake() {
    let mut net = Net::new();
    net.done(&[create("bob", spec(2, 1, 1, 1))]);
    net.done(&[register("r1", 1, Role::Reputer)]);
    let topic = net.topic(1);
    assert_eq!((topic.revenue.as_str(), topic.funded.as_str(), topic.active), ("200", "0", false));
    net.done(&[stake("r1", 1, 10 * ALLO)]);
    assert!(net.topic(1).active);
}

#[test]
fn a_little_less_than_the_least_weight_does_not_wake_a_topic() {
    let mut net = Net::with(|p| p.registration_fee = 0);
    net.done(&[create("bob", spec(2, 1, 1, 1))]);
    // The root of 100 times 99 is a little less than 100, however often the topic is looked at.
    let almost = register("r1", 1, Role::Reputer).and(stake("r1", 1, 100));
    net.done(&[register("w1", 1, Role::Worker), almost, fund("alice", 1, 99)]);
    for _ in 0..3 {
        let topic = net.topic(1);
        assert!(!topic.active);
        for word in ["weight is 99.49", "100 is needed"] {
            assert!(topic.inactive_reason.contains(word), "{}", topic.inactive_reason);
        }
        refusals(&net, &[(submit("w1", 1, 2, "1"), "emissions", 75, &["the topic sleeps"])]);
        net.block(&[]);
    }
    net.done(&[fund("alice", 1, 1)]);
    assert!(net.topic(1).active);
}
