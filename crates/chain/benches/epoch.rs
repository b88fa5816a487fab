//! What blocks cost: a small epoch in every block (criterion), the closing blocks of the largest epochs with the time
//! of their phases, and blocks of a chain of many topics. Signing is the senders' work and not part of any figure.
//! The large ones run alone with `-- large` and `-- many`; `-- gas` shows what each kind of message costs per gas.
#![allow(clippy::unwrap_used)] // a bench that cannot go on should stop
#![allow(clippy::disallowed_types)] // it measures time

use std::{
    cell::{OnceCell, RefCell},
    time::{Duration, Instant},
};

use borsh::BorshDeserialize;
use criterion::{BatchSize, Criterion, Throughput};
use dodona_chain::{
    App, BlockInput, Executed, Genesis, GenesisAccount, GenesisValidator, Params, Signatures, Step,
    topics::judge::{self, JudgeInput, OpenInput},
};
use dodona_proto::{
    ALLO, path,
    sign::AccountKey,
    topics::{
        Forecast, MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgRegister, MsgReportTruth, MsgSubmitPayload,
        QueryTopicRequest, QueryTopicResponse, QueryWindowsRequest, QueryWindowsResponse, Role, Rule,
        TopicSpec,
    },
    tx::{Sender, Signing, pack},
    url,
};
use dodona_store::{Config, Read, Store};
use prost::Message;
use prost_types::Any;
use sha2::{Digest, Sha256};

const CHAIN: &str = "bench-1";

struct Network {
    app: App,
    keys: Vec<AccountKey>,
    names: Vec<String>,
    sequences: Vec<u64>,
    height: u64,
    signatures: Signatures,
}

/// How long a block took.
#[derive(Copy, Clone, Default)]
struct Took {
    execute: Duration,
    commit: Duration,
}

impl Took {
    fn total(&self) -> Duration {
        self.execute + self.commit
    }
}

impl Network {
    /// A chain of so many funded accounts.
    fn new(accounts: usize, signatures: Signatures) -> Self {
        let keys: Vec<AccountKey> = (0..accounts).map(|i| AccountKey::from_seed(i as u64, "bench")).collect();
        let names: Vec<String> = keys.iter().map(|key| key.address().to_string()).collect();
        let account = |address: &String| GenesisAccount { address: address.clone(), balance: 10_000 * ALLO };
        let genesis = Genesis {
            chain_id: CHAIN.into(),
            time_ms: 1,
            params: Params { fixed_emission: 5 * ALLO, ..Params::default() },
            accounts: names.iter().map(account).collect(),
            validators: vec![GenesisValidator {
                public_key: hex::encode([1; 32]),
                power: 1,
                operator: names[0].clone(),
                ..GenesisValidator::default()
            }],
            admins: Vec::new(),
        };
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, &genesis, signatures).unwrap();
        Self { app, sequences: vec![0; keys.len()], keys, names, height: 0, signatures }
    }

    fn create(&self, spec: TopicSpec) -> Any {
        pack(url::CREATE_TOPIC, &MsgCreateTopic { creator: self.names[0].clone(), spec: Some(spec) })
    }

    fn fund(&self, topic_id: u64, amount: u128) -> Any {
        let m = MsgFundTopic { sender: self.names[0].clone(), topic_id, amount: amount.to_string() };
        pack(url::FUND_TOPIC, &m)
    }

    fn register(&self, i: usize, topic_id: u64, role: Role) -> Any {
        let m = MsgRegister {
            sender: self.names[i].clone(),
            topic_id,
            role: role.into(),
            name: format!("m{i}"),
            ..MsgRegister::default()
        };
        pack(url::REGISTER, &m)
    }

    fn stake(&self, i: usize, topic_id: u64, amount: u128) -> Any {
        let m = MsgAddStake { sender: self.names[i].clone(), topic_id, amount: amount.to_string() };
        pack(url::ADD_STAKE, &m)
    }

    fn answer(&self, i: usize, topic_id: u64, nonce: u64, about: &[usize]) -> Any {
        let element = |j: &usize| Forecast {
            inferer: self.names[*j].clone(),
            loss: (0.1 + ((nonce + *j as u64) % 5) as f64).to_string(),
        };
        let m = MsgSubmitPayload {
            sender: self.names[i].clone(),
            topic_id,
            nonce,
            inference: (20.0 + ((nonce * 7 + i as u64 * 3) % 11) as f64 / 10.0).to_string(),
            forecast: about.iter().map(element).collect(),
            values: Vec::new(),
        };
        pack(url::SUBMIT, &m)
    }

    fn truth(&self, i: usize, topic_id: u64, nonce: u64) -> Any {
        let m = MsgReportTruth {
            sender: self.names[i].clone(),
            topic_id,
            nonce,
            value: "20.5".into(),
            ..MsgReportTruth::default()
        };
        pack(url::REPORT_TRUTH, &m)
    }

    /// A transaction of the sender's next sequence.
    fn sign(&mut self, i: usize, messages: Vec<Any>) -> Vec<u8> {
        let (key, sequence) = (&self.keys[i], self.sequences[i]);
        self.sequences[i] += 1;
        // Ten thousand of these fit into a block.
        let gas_limit = 90_000 * messages.len() as u64;
        let fee = u128::from(gas_limit) * 10;
        if self.signatures == Signatures::Check {
            let account_number = i as u64;
            let signing = Signing { key, chain_id: CHAIN, account_number, sequence, fee, gas_limit };
            return signing.build(messages, 0);
        }
        // Nobody looks at the signature: leaving it blank keeps the signer out of a profile of the chain.
        Sender { public_key: key.public(), sequence, fee, gas_limit }.unsigned(messages)
    }

    fn sign_all(&mut self, messages: Vec<(usize, Any)>) -> Vec<Vec<u8>> {
        messages.into_iter().map(|(i, message)| self.sign(i, vec![message])).collect()
    }

    fn run(&mut self, txs: &[Vec<u8>]) -> (Took, Trails) {
        self.height += 1;
        let input = BlockInput::of(self.height, 1 + self.height, txs);
        let start = Instant::now();
        let executed: Executed = self.app.execute(&input).unwrap().unwrap();
        let execute = start.elapsed();
        let refused = executed.receipts.iter().find(|r| r.code != 0);
        assert!(refused.is_none(), "{refused:?}");
        let trails = executed.trails.iter().map(|t| (t.step, t.bytes.clone())).collect();
        let start = Instant::now();
        self.app.commit(executed, Vec::new()).unwrap();
        (Took { execute, commit: start.elapsed() }, trails)
    }

    fn scored(&self, topic_id: u64) -> u64 {
        let request = QueryTopicRequest { topic_id }.encode_to_vec();
        QueryTopicResponse::decode(self.app.query(path::TOPIC, &request).unwrap().as_slice())
            .unwrap()
            .epochs_scored
    }

    /// Keys and bytes of the state's entries whose key begins with this.
    fn state(&self, prefix: &[u8]) -> (usize, usize) {
        let (mut keys, mut bytes) = (0, 0);
        let snapshot = self.app.store().snapshot().unwrap();
        snapshot
            .scan(prefix, &mut |key, value| {
                keys += 1;
                bytes += key.len() + value.len();
                true
            })
            .unwrap();
        (keys, bytes)
    }
}

/// Trails of a block: which computation, and its input.
type Trails = Vec<(Step, Vec<u8>)>;

fn spec(rule: Rule, blocks: [u64; 4]) -> TopicSpec {
    let [epoch_length, worker_window, truth_lag, truth_window] = blocks;
    TopicSpec {
        title: "bench".into(),
        rule: rule.into(),
        epoch_length,
        worker_window,
        truth_lag,
        truth_window,
        ..TopicSpec::default()
    }
}

/// A chain on which a topic with 18 workers and 3 reputers asks in every block.
fn small(rule: Rule, signatures: Signatures) -> Network {
    let mut network = Network::new(21, signatures);
    let mut messages = vec![(0, network.create(spec(rule, [1; 4]))), (0, network.fund(1, ALLO))];
    for i in 0..21 {
        messages.push((i, network.register(i, 1, if i < 18 { Role::Worker } else { Role::Reputer })));
    }
    messages.extend((18..21).map(|i| (i, network.stake(i, 1, 10 * ALLO))));
    let txs = network.sign_all(messages);
    network.run(&txs);
    network
}

/// The transactions of its next block: an answer of everybody, a truth for the epoch before.
fn small_block(network: &mut Network) -> Vec<Vec<u8>> {
    let nonce = network.height;
    let mut messages: Vec<(usize, Any)> = (0..18).map(|i| (i, network.answer(i, 1, nonce, &[]))).collect();
    if nonce > 1 {
        messages.extend((18..21).map(|i| (i, network.truth(i, 1, nonce - 1))));
    }
    network.sign_all(messages)
}

fn epoch(c: &mut Criterion) {
    let mut group = c.benchmark_group("one block, one epoch, 21 transactions");
    group.throughput(Throughput::Elements(1)).sample_size(60);
    let cases = [
        ("power, signatures trusted", Rule::Power, Signatures::Trust),
        ("regret, signatures trusted", Rule::Regret, Signatures::Trust),
        ("power, signatures checked", Rule::Power, Signatures::Check),
    ];
    for (name, rule, signatures) in cases {
        let network = OnceCell::new();
        group.bench_function(name, |bencher| {
            let network: &RefCell<Network> = network.get_or_init(|| {
                let mut network = small(rule, signatures);
                for _ in 0..1_200 {
                    let txs = small_block(&mut network);
                    network.run(&txs); // to the state size that the retention of epochs leads to
                }
                RefCell::new(network)
            });
            bencher.iter_batched(
                || small_block(&mut network.borrow_mut()),
                |txs| network.borrow_mut().run(&txs),
                BatchSize::PerIteration,
            );
            assert_eq!(network.borrow().scored(1), network.borrow().height - 2);
        });
    }
    group.finish();
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The blocks of one large epoch. Windows close in blocks without transactions, so those show what closing costs.
fn large(rule: Rule, inferers: usize, forecasters: usize, reputers: usize) {
    println!(
        "\n{rule:?}: {inferers} inferers, {forecasters} forecasters of 12 elements, {reputers} reputers"
    );
    let mut network = Network::new(inferers + reputers, Signatures::Trust);
    let description = TopicSpec {
        max_inferers: inferers as u32,
        max_forecasters: forecasters as u32,
        max_reputers: reputers as u32,
        ..spec(rule, [6, 2, 2, 2])
    };
    let mut messages = vec![(0, network.create(description)), (0, network.fund(1, 100 * ALLO))];
    messages.extend((0..inferers).map(|i| (i, network.register(i, 1, Role::Worker))));
    let is_reputer = inferers..inferers + reputers;
    messages.extend(is_reputer.clone().map(|i| (i, network.register(i, 1, Role::Reputer))));
    messages.extend(is_reputer.clone().map(|i| (i, network.stake(i, 1, 10 * ALLO))));
    let txs = network.sign_all(messages);
    let (took, _) = network.run(&txs);
    println!("  {} registrations: {:.0} ms", txs.len(), millis(took.total()));
    for round in 0..5 {
        // The epoch opened at the end of the block before.
        let nonce = network.height;
        let about = |i: usize| (1..=12).map(|k| (i * 31 + k * 7) % inferers).collect::<Vec<usize>>();
        let said = |i: usize| if i < forecasters { about(i) } else { Vec::new() };
        let answers = (0..inferers).map(|i| (i, network.answer(i, 1, nonce, &said(i)))).collect();
        let txs = network.sign_all(answers);
        let (heard, _) = network.run(&txs);
        let (combined, open) = network.run(&[]);
        let truths = is_reputer.clone().map(|i| (i, network.truth(i, 1, nonce))).collect();
        let txs = network.sign_all(truths);
        let (reported, _) = network.run(&txs);
        let (scored, judged) = network.run(&[]);
        assert_eq!(network.scored(1), round + 1);
        let (idle, _) = network.run(&[]);
        network.run(&[]); // the next epoch opens
        println!("  epoch {round}");
        println!("    answers in        {:8.1} ms", millis(heard.total()));
        println!("    truths in         {:8.1} ms", millis(reported.total()));
        println!("    an idle block     {:8.1} ms", millis(idle.total()));
        phases("combined", combined, &open);
        phases("scored  ", scored, &judged);
    }
    for (name, prefix) in
        [("all", ""), ("members", "tm"), ("records", "tc"), ("losses", "tk"), ("regrets", "tg")]
    {
        let (keys, bytes) = network.state(prefix.as_bytes());
        println!("  state, {name}: {keys} keys, {bytes} bytes");
    }
}

/// Where a closing block's time goes: the computation itself and its trail again, outside of the chain.
fn phases(name: &str, took: Took, trails: &[(Step, Vec<u8>)]) {
    let (mut math, mut trail) = (Duration::ZERO, Duration::ZERO);
    for (step, bytes) in trails {
        match step {
            Step::Open => {
                let input = OpenInput::try_from_slice(bytes).unwrap();
                let start = Instant::now();
                judge::open(&input).unwrap();
                math += start.elapsed();
                let start = Instant::now();
                Sha256::digest(borsh::to_vec(&input).unwrap());
                trail += start.elapsed();
            }
            Step::Judge => {
                let input = JudgeInput::try_from_slice(bytes).unwrap();
                let start = Instant::now();
                judge::judge(&input).unwrap();
                math += start.elapsed();
                let start = Instant::now();
                Sha256::digest(borsh::to_vec(&input).unwrap());
                trail += start.elapsed();
            }
        }
    }
    let bytes: usize = trails.iter().map(|(_, bytes)| bytes.len()).sum();
    println!(
        "    {name} {:8.1} ms: execution {:.1} (computation {:.1}, trail of {bytes} bytes {:.1}, state and root {:.1}), commit {:.1}",
        millis(took.total()),
        millis(took.execute),
        millis(math),
        millis(trail),
        millis(took.execute.saturating_sub(math + trail)),
        millis(took.commit),
    );
}

/// Blocks of a chain of so many topics of 20 workers and 3 reputers, of which one is due per block: it opens, the one
/// before is answered and combined, the one before that is judged.
fn many(topics: u64) {
    let mut network = Network::new(23, Signatures::Trust);
    for first in (1..=topics).step_by(10) {
        let ids = first..=(first + 9).min(topics);
        let created =
            ids.clone().map(|_| (0, network.create(spec(Rule::Power, [topics, 1, 1, 1])))).collect();
        let txs = network.sign_all(created);
        network.run(&txs);
        let mut txs = Vec::new();
        for i in 0..23 {
            let role = if i < 20 { Role::Worker } else { Role::Reputer };
            let all = ids.clone().map(|id| network.register(i, id, role)).collect();
            txs.push(network.sign(i, all));
        }
        network.run(&txs);
    }
    let before = network.state(b"t").1;
    // One topic wakes per block, so one is due per block for ever after.
    for id in 1..=topics {
        let woken = (20..23).map(|i| (i, network.stake(i, id, ALLO))).collect();
        let txs = network.sign_all(woken);
        network.run(&txs);
    }
    let woken = network.height;
    let rounds = topics.max(300);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let turn = |back: u64| (network.height + 1 - back - (woken - topics) - 1) % topics + 1;
        let nonce = network.height;
        let mut messages: Vec<(usize, Any)> =
            (0..20).map(|i| (i, network.answer(i, turn(1), nonce, &[]))).collect();
        if nonce > woken {
            messages.extend((20..23).map(|i| (i, network.truth(i, turn(2), nonce - 1))));
        }
        let txs = network.sign_all(messages);
        times.push(network.run(&txs).0);
    }
    // The first block has no truth to judge yet.
    let median = |pick: &dyn Fn(&Took) -> Duration| -> f64 {
        let mut picked: Vec<Duration> = times[1..].iter().map(pick).collect();
        picked.sort_unstable();
        millis(picked[picked.len() / 2])
    };
    let scored: u64 = (1..=topics).map(|id| network.scored(id)).sum();
    let of_epochs: usize =
        ["te", "tv", "tc", "ti", "tf", "tk"].iter().map(|table| network.state(table.as_bytes()).1).sum();
    println!(
        "  {topics:5} topics: {:.2} ms per block (execution {:.2}, commit {:.2}), {scored} epochs scored; state {} bytes in {} keys; per topic {} asleep and {} of members; {} per scored epoch",
        median(&Took::total),
        median(&|took| took.execute),
        median(&|took| took.commit),
        network.state(&[]).1,
        network.state(&[]).0,
        before as u64 / topics,
        network.state(b"tm").1 as u64 / topics,
        of_epochs as u64 / scored,
    );
}

/// A block of so many messages of one kind: its gas, and nanoseconds per unit of it.
fn kind(network: &mut Network, name: &str, messages: Vec<(usize, Any)>) {
    let count = messages.len();
    let txs = network.sign_all(messages);
    network.height += 1;
    let input = BlockInput::of(network.height, 1 + network.height, &txs);
    let start = Instant::now();
    let executed: Executed = network.app.execute(&input).unwrap().unwrap();
    let took = start.elapsed();
    let refused = executed.receipts.iter().find(|r| r.code != 0);
    assert!(refused.is_none(), "{name}: {refused:?}");
    let gas: u64 = executed.receipts.iter().map(|r| r.gas_used).sum();
    network.app.commit(executed, Vec::new()).unwrap();
    let bytes: usize = txs.iter().map(Vec::len).sum();
    println!(
        "  {name:40} {count:6} x {:6} gas, {:4} bytes: {:7.1} ms, {:5.1} us each, {:.2} ns per gas",
        gas / count as u64,
        bytes / count,
        millis(took),
        took.as_secs_f64() * 1e6 / count as f64,
        took.as_secs_f64() * 1e9 / gas as f64,
    );
}

/// What each kind of message costs: blocks of thousands of one kind, root included.
fn gas(signatures: Signatures) {
    println!("\nCost of messages, signatures: {signatures:?}");
    let count = 4_000;
    let mut network = Network::new(count + 100, signatures);
    let all = 0..count;
    let send = |network: &Network, i: usize| {
        let (from, to) = (network.keys[i].address(), network.keys[(i + 1) % count].address());
        (i, dodona_proto::tx::send(from, to, 1))
    };
    let sends = all.clone().map(|i| send(&network, i)).collect();
    kind(&mut network, "transfer", sends);
    let description = TopicSpec {
        max_inferers: count as u32,
        max_forecasters: 50,
        max_reputers: 100,
        ..spec(Rule::Power, [50, 3, 3, 3])
    };
    let topics = (0..count / 4).map(|_| (0, network.create(description.clone()))).collect();
    kind(&mut network, "new topic", topics);
    let registrations = all.clone().map(|i| (i, network.register(i, 1, Role::Worker))).collect();
    kind(&mut network, "registration", registrations);
    let reputers = count..count + 100;
    let registrations = reputers.clone().map(|i| (i, network.register(i, 1, Role::Reputer))).collect();
    kind(&mut network, "registration of a reputer", registrations);
    let stakes = reputers.clone().map(|i| (i, network.stake(i, 1, 10 * ALLO))).collect();
    kind(&mut network, "stake", stakes);
    let funds = (0..count).map(|_| (0, network.fund(1, ALLO / 100))).collect();
    kind(&mut network, "funding, which wakes the topic", funds);
    let nonce = loop {
        network.run(&[]);
        let request = QueryWindowsRequest { topic_id: 1 }.encode_to_vec();
        let answer = network.app.query(path::WINDOWS, &request).unwrap();
        let windows = QueryWindowsResponse::decode(answer.as_slice()).unwrap().windows;
        if let Some(window) = windows.iter().find(|w| w.worker_first == network.height + 1) {
            break window.nonce;
        }
    };
    let plain = (50..count).map(|i| (i, network.answer(i, 1, nonce, &[]))).collect();
    kind(&mut network, "inference", plain);
    let about: Vec<usize> = (60..72).collect();
    let full = (0..50).map(|i| (i, network.answer(i, 1, nonce, &about))).collect();
    kind(&mut network, "inference and forecast of 12", full);
    // Into the truth window, but not into its last block, in which the epoch is scored.
    network.run(&[]);
    network.run(&[]);
    let truths = reputers.map(|i| (i, network.truth(i, 1, nonce))).collect();
    kind(&mut network, "truth", truths);
}

fn main() {
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("large") {
        large(Rule::Power, 10_000, 50, 100);
        large(Rule::Regret, 500, 20, 6);
    }
    if wanted("many") {
        println!("\nOne topic of 20 workers and 3 reputers due per block");
        for topics in [10, 100, 1_000, 3_000] {
            many(topics);
        }
    }
    if wanted("gas") {
        gas(Signatures::Trust);
        gas(Signatures::Check);
    }
    if only.as_deref().is_none_or(|only| !["large", "many", "gas"].contains(&only)) {
        let mut criterion = Criterion::default().configure_from_args();
        epoch(&mut criterion);
        criterion.final_summary();
    }
}
