//! Topics of many members on a chain without an engine: that another rule's answers are the chain's own computation,
//! whoever comes and goes, and what histories cost to ask for (`a_thousand_members`, run with `--ignored --nocapture`).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use dodona_chain::{
    App, BlockInput, Genesis, GenesisAccount, GenesisValidator, Params, Signatures,
    topics::state::{NONCES, RECORDS},
};
use dodona_consensus::{PublicKey, SigningKey, engine::PeerList};
use dodona_proto::{
    ALLO, commit,
    sign::AccountKey,
    topics::{
        Forecast, LabelValue, MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgOpenPayload, MsgRegister,
        MsgReportTruth, MsgSealPayload, MsgSubmitPayload, Role, Rule, TopicSpec,
    },
    tx::{Sender, pack},
    url,
};
use dodona_store::{Config, Store};
use http_body_util::BodyExt;
use prost_types::Any;
use serde_json::Value;
use tokio::sync::watch;
use tower::Service;

use crate::{Head, Limits, Mempool, NodeHandle, handle::Identity, index::Index, records::trail_changes};

/// Labels of topics of classes here.
const CLASSES: [&str; 3] = ["down", "flat", "up"];

/// A topic that asks in every block, and everybody who speaks in it; the last account reports what happened.
struct Crowd {
    app: App,
    handle: NodeHandle,
    keys: Vec<AccountKey>,
    names: Vec<String>,
    sequences: Vec<u64>,
    height: u64,
    classes: bool,
    /// Members who forecast what three others lose.
    forecasters: usize,
    /// Everybody speaks in so many of so many epochs, in turn.
    turns: (u64, u64),
    _dir: tempfile::TempDir,
}

impl Crowd {
    fn new(members: usize, rule: Rule, classes: bool) -> Self {
        Self::of(members, spec(members, rule, classes))
    }

    fn of(members: usize, spec: TopicSpec) -> Self {
        let keys: Vec<AccountKey> = (0..=members).map(|i| AccountKey::from_seed(i as u64, "crowd")).collect();
        let names: Vec<String> = keys.iter().map(|key| key.address().to_string()).collect();
        let account = |address: &String| GenesisAccount { address: address.clone(), balance: 10_000 * ALLO };
        let key = SigningKey::from_bytes(&[3; 32]);
        let genesis = Genesis {
            chain_id: "crowd".into(),
            time_ms: 1,
            params: Params { fixed_emission: 5 * ALLO, ..Params::default() },
            admins: Vec::new(),
            accounts: names.iter().map(account).collect(),
            validators: vec![GenesisValidator {
                public_key: hex::encode(key.verifying_key().to_bytes()),
                power: 1,
                operator: names[0].clone(),
                ..GenesisValidator::default()
            }],
        };
        let dir = tempfile::tempdir().unwrap();
        let config = Config { cache_bytes: 32 << 20, keep_versions: 1 };
        let store = Store::open(&dir.path().join("chain.redb"), config).unwrap();
        let app = App::open(store, &genesis, Signatures::Trust).unwrap();
        let handle = NodeHandle::new(
            app.clone(),
            Mempool::new(app.clone(), Limits::default()).unwrap(),
            watch::channel(Head::default()).1,
            watch::channel(PeerList::default()).1,
            Identity { validator: PublicKey(key.verifying_key()), genesis },
            Index::new(&dir.path().join("index.redb"), None),
            None,
        );
        let mut crowd = Self {
            app,
            handle,
            sequences: vec![0; keys.len()],
            keys,
            names,
            height: 0,
            classes: spec.classification,
            forecasters: members.min(4),
            turns: (1, 1),
            _dir: dir,
        };
        crowd.begin(spec);
        crowd
    }

    fn begin(&mut self, spec: TopicSpec) {
        let members = self.names.len() - 1;
        let [creator, reporter] = [self.names[0].clone(), self.names[members].clone()];
        let register = |i: usize, role: Role| {
            let (sender, name) = (self.names[i].clone(), format!("m{i}"));
            pack(
                url::REGISTER,
                &MsgRegister { sender, topic_id: 1, role: role.into(), name, ..MsgRegister::default() },
            )
        };
        let create = MsgCreateTopic { creator: creator.clone(), spec: Some(spec) };
        let fund = MsgFundTopic { sender: creator, topic_id: 1, amount: (1_000 * ALLO).to_string() };
        let stake = MsgAddStake { sender: reporter, topic_id: 1, amount: (10 * ALLO).to_string() };
        let mut messages = vec![(0, pack(url::CREATE_TOPIC, &create)), (0, pack(url::FUND_TOPIC, &fund))];
        messages.extend((0..members).map(|i| (i, register(i, Role::Worker))));
        messages.push((members, register(members, Role::Reputer)));
        messages.push((members, pack(url::ADD_STAKE, &stake)));
        self.block(messages);
    }

    /// One block: an answer of everybody who speaks to the epoch that the block before opened, and what happened in the
    /// one before that.
    fn epoch(&mut self) {
        let nonce = self.height;
        let members = self.names.len() - 1;
        let speaks = |i: &usize| (*i as u64 + nonce) % self.turns.1 < self.turns.0;
        let mut messages: Vec<(usize, Any)> =
            (0..members).filter(speaks).map(|i| (i, self.answer(i, nonce))).collect();
        if nonce > 1 {
            messages.push((members, self.truth(nonce - 1)));
        }
        self.block(messages);
    }

    /// Four blocks of a topic of sealed answers: everybody seals, only some open, and what happened is reported.
    fn sealed_epoch(&mut self) {
        let (nonce, members) = (self.height, self.names.len() - 1);
        let salt = [7; 32];
        let words: Vec<Any> = (0..members).map(|i| self.answer(i, nonce)).collect();
        let seal = |(i, word): (usize, &Any)| {
            let seal = commit::seal("crowd", &salt, &word.value).to_vec();
            let sender = self.names[i].clone();
            (i, pack(url::SEAL, &MsgSealPayload { sender, topic_id: 1, nonce, seal }))
        };
        let seals = words.iter().enumerate().map(seal).collect();
        self.block(seals);
        let open = |(i, word): (usize, Any)| {
            let (sender, payload) = (self.names[i].clone(), word.value);
            (i, pack(url::OPEN, &MsgOpenPayload { sender, payload, salt: salt.to_vec() }))
        };
        let speaks = |i: &usize| (*i as u64 + nonce / 4) % self.turns.1 < self.turns.0;
        let opened = words.into_iter().enumerate().filter(|(i, _)| speaks(i)).map(open).collect();
        self.block(opened);
        let truth = self.truth(nonce);
        self.block(vec![(members, truth)]);
        self.block(Vec::new());
    }

    fn truth(&self, nonce: u64) -> Any {
        let values = match self.classes {
            true => vec![LabelValue { label: CLASSES[(nonce % 3) as usize].into(), value: "1".into() }],
            false => Vec::new(),
        };
        let value = if self.classes { String::new() } else { value(nonce).to_string() };
        let sender = self.names[self.names.len() - 1].clone();
        pack(
            url::REPORT_TRUTH,
            &MsgReportTruth { sender, topic_id: 1, nonce, value, values, ..MsgReportTruth::default() },
        )
    }

    /// Some are nearly right, most are not, and who is changes slowly.
    fn answer(&self, i: usize, nonce: u64) -> Any {
        let noise = |k: u64| ((nonce * 7_919 + i as u64 * 104_729 + k * 31) % 1_000) as f64 / 1_000.0 - 0.5;
        let skill = (i as f64 / 17.0 + nonce as f64 / 40.0).sin().abs() + 0.02;
        let element = |k: usize| Forecast {
            inferer: self.names[(i * 31 + k * 7 + 1) % (self.names.len() - 1)].clone(),
            loss: (0.1 + ((nonce + k as u64) % 5) as f64).to_string(),
        };
        let values = match self.classes {
            true => {
                let sure = 0.9 - 0.5 * skill.min(1.0);
                let place = (nonce as usize + usize::from(noise(1) > 0.3)) % 3;
                let of = |k: usize| if k == place { sure } else { (1.0 - sure) / 2.0 };
                let label = |k: usize| LabelValue { label: CLASSES[k].into(), value: of(k).to_string() };
                (0..3).map(label).collect()
            }
            false => Vec::new(),
        };
        let said = value(nonce) + 3.0 * skill * noise(2);
        let message = MsgSubmitPayload {
            sender: self.names[i].clone(),
            topic_id: 1,
            nonce,
            inference: if self.classes { String::new() } else { said.to_string() },
            forecast: if i < self.forecasters { (1..=3).map(element).collect() } else { Vec::new() },
            values,
        };
        pack(url::SUBMIT, &message)
    }

    fn block(&mut self, messages: Vec<(usize, Any)>) {
        let mut txs = Vec::with_capacity(messages.len());
        for (i, message) in messages {
            let (gas_limit, sequence) = (150_000, self.sequences[i]);
            self.sequences[i] += 1;
            let sender = Sender {
                public_key: self.keys[i].public(),
                sequence,
                fee: u128::from(gas_limit) * 10,
                gas_limit,
            };
            txs.push(sender.unsigned(vec![message]));
        }
        self.height += 1;
        let input = BlockInput::of(self.height, 1 + self.height * 1_000, &txs);
        let executed = self.app.execute(&input).unwrap().unwrap();
        let refused = executed.receipts.iter().find(|r| r.code != 0);
        assert!(refused.is_none(), "block {}: {refused:?}", self.height);
        let records = trail_changes(self.app.store(), self.height, &executed.trails).unwrap();
        self.app.commit(executed, records).unwrap();
    }

    /// A page as the door writes it, and how long that took.
    async fn get(&self, path: &str) -> (String, Duration) {
        let mut door: Router = super::native::routes().with_state(self.handle.clone());
        let began = Instant::now();
        let answer = door.call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let took = began.elapsed();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(status.is_success(), "{path}: {text}");
        (text, took)
    }

    async fn page(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.0).unwrap()
    }

    /// Everything that a rule would have said, asked for until it is complete; and how many questions that took.
    async fn otherwise(&self, rule: &str) -> (Value, Vec<Value>, usize) {
        let (mut epochs, mut asked, mut from) = (BTreeMap::new(), 0, 0);
        loop {
            let told = self.page(&format!("/topics/1/otherwise?rule={rule}&from={from}&limit=500")).await;
            asked += 1;
            for epoch in told["epochs"].as_array().unwrap() {
                from = epoch["epoch"].as_u64().unwrap();
                epochs.insert(from, epoch.clone());
            }
            if told["steps_left"] == 0 && told["newest_epoch"].as_u64().is_none_or(|newest| from >= newest) {
                // Losses came while older pages were read: the last word on all of them.
                return (told, epochs.into_values().collect(), asked);
            }
        }
    }

    /// The chain's own answers and losses, by epoch.
    fn given(&self) -> BTreeMap<u64, (Vec<f64>, Option<f64>)> {
        let read = self.app.state_at(0).unwrap();
        let mut given = BTreeMap::new();
        for ((_, index), nonce) in NONCES.scan_from(&read, &(1, 0), usize::MAX).unwrap() {
            let Some(record) = RECORDS.get(&read, &(1, nonce)).unwrap() else { continue };
            let said = record.answer.columns.iter().map(|column| column.combined.get()).collect();
            given.insert(index, (said, record.outcome.map(|outcome| outcome.losses.network.get())));
        }
        given
    }
}

fn spec(members: usize, rule: Rule, classes: bool) -> TopicSpec {
    TopicSpec {
        title: "crowd".into(),
        rule: rule.into(),
        epoch_length: 1,
        worker_window: 1,
        truth_lag: 1,
        truth_window: 1,
        max_inferers: members as u32,
        max_forecasters: 8,
        classification: classes,
        multi: classes,
        require_unity: classes,
        labels: if classes { CLASSES.map(String::from).to_vec() } else { Vec::new() },
        loss: if classes { dodona_proto::topics::Loss::Log.into() } else { 0 },
        ..TopicSpec::default()
    }
}

/// What happens.
fn value(nonce: u64) -> f64 {
    20.0 + (nonce as f64 / 9.0).sin() * 4.0
}

fn numbers(epoch: &Value) -> Vec<f64> {
    epoch["columns"].as_array().unwrap().iter().map(|column| column["combined"].as_f64().unwrap()).collect()
}

/// The rule in force says in its shadow what the chain said, to the last digit, and the other one something else.
async fn same_as_the_chain(crowd: Crowd, own: &str, other: &str, epochs: u64) {
    let given = crowd.given();
    let (told, said, _) = crowd.otherwise(own).await;
    assert_eq!((&told["missing"], &told["since_epoch"]), (&0.into(), &0.into()), "{told}");
    assert_eq!(said.len(), given.len());
    assert!(given.len() as u64 + 2 >= epochs);
    for epoch in &said {
        let (combined, loss) = &given[&epoch["epoch"].as_u64().unwrap()];
        assert_eq!(&numbers(epoch), combined, "{own}, epoch {}", epoch["epoch"]);
        assert_eq!((epoch["loss"].as_f64(), epoch["given_loss"].as_f64()), (*loss, *loss));
    }
    let (told, said, _) = crowd.otherwise(other).await;
    assert_eq!(said.len(), given.len());
    assert!(told["scored"].as_u64().unwrap() + 2 >= epochs, "{told}");
    assert_ne!(told["mean_loss"], told["given_mean_loss"]);
    for epoch in said {
        let sum: f64 = numbers(&epoch).iter().sum();
        assert!(!crowd.classes || (sum - 1.0).abs() < 1e-9, "{other}: probabilities sum to {sum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rule_answers_for_more_members_than_the_chain_would_let_it_hear() {
    // Five hundred are what a topic under the regret rule may hear.
    let mut crowd = Crowd::new(520, Rule::Power, false);
    crowd.turns = (4, 5);
    (0..12).for_each(|_| crowd.epoch());
    same_as_the_chain(crowd, "power", "regret", 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_regret_rule_is_followed_to_the_last_digit_while_members_come_and_go() {
    // Two thirds are always absent: more than are remembered.
    let mut crowd = Crowd::new(130, Rule::Regret, false);
    crowd.turns = (1, 3);
    (0..25).for_each(|_| crowd.epoch());
    same_as_the_chain(crowd, "regret", "power", 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_members_has_those_who_matter_and_whom_one_asks_for() {
    let mut crowd = Crowd::new(60, Rule::Power, false);
    (0..6).for_each(|_| crowd.epoch());
    let rows = |page: &Value| -> Vec<(String, String)> {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_string();
        page["rows"].as_array().unwrap().iter().map(|row| (text(row, "role"), text(row, "name"))).collect()
    };
    let all = crowd.page("/topics/1/board?limit=100").await;
    // A forecaster is an inferer too, here.
    assert_eq!((&all["complete"], rows(&all).len()), (&true.into(), 60 + 4 + 1));
    let paid = |row: &Value| row["paid"].as_str().map_or(0, |text| text.parse::<u128>().unwrap());
    let sum = |page: &Value| page["rows"].as_array().unwrap().iter().map(paid).sum::<u128>();
    assert_eq!(sum(&all).to_string(), all["reward"].as_str().unwrap());
    for role in ["inferers", "forecasters", "reputers"] {
        let of: Vec<&Value> = all["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| format!("{}s", row["role"].as_str().unwrap()) == role)
            .collect();
        assert_eq!(all[role]["members"], of.len());
        assert_eq!(
            all[role]["paid"].as_str().unwrap(),
            of.iter().map(|row| paid(row)).sum::<u128>().to_string()
        );
    }
    // The ones of most weight and pay, and the one asked for by name or address.
    let some = crowd.page("/topics/1/board?limit=8&name=M59").await;
    assert_eq!((&some["complete"], &some["reward"]), (&false.into(), &all["reward"]));
    let best = |page: &Value, key: &str| -> f64 {
        let number = |row: &Value| row[key].as_f64().unwrap_or_else(|| paid(row) as f64);
        page["rows"].as_array().unwrap().iter().map(number).fold(0.0, f64::max)
    };
    assert!(rows(&some).len() <= 8 + 3 && rows(&some).contains(&("inferer".into(), "m59".into())), "{some}");
    assert!(rows(&some).iter().any(|(role, _)| role == "reputer"));
    for key in ["weight", "paid"] {
        assert_eq!(best(&some, key), best(&all, key), "{key}");
    }
    let marked = crowd.page(&format!("/topics/1/board?limit=1&mark={}", crowd.names[58])).await;
    assert!(rows(&marked).contains(&("inferer".into(), "m58".into())), "{marked}");
    // Epochs without who said what.
    let epochs = crowd.page("/topics/1/epochs?members=false").await;
    let first = &epochs["epochs"][0];
    assert_eq!((first["parts"].as_array().unwrap().len(), first["state"].as_str()), (0, Some("scored")));
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_classes_have_the_other_rules_probabilities() {
    for (rule, own, other) in [(Rule::Power, "power", "regret"), (Rule::Regret, "regret", "power")] {
        let mut crowd = Crowd::new(24, rule, true);
        crowd.turns = (3, 4);
        (0..40).for_each(|_| crowd.epoch());
        same_as_the_chain(crowd, own, other, 40).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_after_a_seal_counts_in_the_shadow_as_on_the_chain() {
    for (rule, own, other) in [(Rule::Power, "power", "regret"), (Rule::Regret, "regret", "power")] {
        let blocks =
            TopicSpec { epoch_length: 4, worker_window: 2, reveal_window: 1, ..spec(12, rule, false) };
        let mut crowd = Crowd::of(12, TopicSpec { truth_lag: 2, ..blocks });
        crowd.turns = (3, 4);
        (0..20).for_each(|_| crowd.sealed_epoch());
        same_as_the_chain(crowd, own, other, 20).await;
    }
}

/// Prints what the pages of a large topic cost. EPOCHS and MEMBERS are read from the environment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of some minutes"]
async fn a_thousand_members() {
    let read = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (members, epochs) = (read("MEMBERS", 1_000), read("EPOCHS", 300));
    let mut crowd = Crowd::new(members as usize, Rule::Power, false);
    crowd.turns = (49, 50);
    let began = Instant::now();
    for _ in 0..epochs {
        crowd.epoch();
    }
    println!("{epochs} epochs of {members} members made in {:.1} s", began.elapsed().as_secs_f64());
    let mark = crowd.names[3].clone();
    let newest = epochs.saturating_sub(3);
    let pages = [
        ("the chart, from the first epoch", "/topics/1/chart?from=0&limit=500".to_string()),
        ("again", "/topics/1/chart?from=0&limit=500".to_string()),
        ("with a member highlighted", format!("/topics/1/chart?from=0&limit=500&mark={mark}")),
        ("after a block", format!("/topics/1/chart?from={newest}&limit=500")),
        ("the leaderboard", "/topics/1/leaderboard?limit=200".to_string()),
        ("the board", format!("/topics/1/board?limit=100&mark={mark}")),
        (
            "twelve epochs",
            format!("/topics/1/epochs?from={}&limit=50&members=false", epochs.saturating_sub(12)),
        ),
        (
            "and who said what in them",
            format!("/topics/1/epochs?from={}&limit=50", epochs.saturating_sub(12)),
        ),
        ("all epochs", "/topics/1/epochs?from=0&limit=200".to_string()),
        ("why of one member", format!("/topics/1/explain/{mark}")),
    ];
    for (what, path) in pages {
        let (text, took) = crowd.get(&path).await;
        println!("{what:32} {:8.1} ms {:8.1} kB", took.as_secs_f64() * 1e3, text.len() as f64 / 1e3);
    }
    for rule in ["regret", "power"] {
        let began = Instant::now();
        let (told, said, asked) = crowd.otherwise(rule).await;
        let whole = began.elapsed().as_secs_f64();
        let (_, again) = crowd.get(&format!("/topics/1/otherwise?rule={rule}&from={newest}&limit=200")).await;
        println!(
            "rule {rule}: {} epochs in {whole:.2} s and {asked} questions, {} missing; then {:.1} ms a question",
            said.len(),
            told["missing"],
            again.as_secs_f64() * 1e3
        );
    }
}
