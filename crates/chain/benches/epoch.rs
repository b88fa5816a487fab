//! What a whole block costs when every block is an epoch: 18 workers answer, 3 reputers judge the epoch before.
//! Signing is the senders' work and not part of the figure; parsing, executing, preparing and committing are.
#![allow(clippy::unwrap_used)] // a bench that cannot go on should stop

use std::cell::RefCell;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dodona_chain::{App, BlockInput, Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_proto::{
    ALLO, path,
    sign::AccountKey,
    topics::{
        MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgRegister, MsgReportTruth, MsgSubmitPayload,
        QueryTopicRequest, QueryTopicResponse, Role, Rule, TopicSpec,
    },
    tx::{Sender, Signing, pack},
    url,
};
use dodona_store::{Config, Store};
use prost::Message;
use prost_types::Any;

const CHAIN: &str = "bench-1";

struct Network {
    app: App,
    keys: Vec<AccountKey>,
    sequences: Vec<u64>,
    height: u64,
    signatures: Signatures,
}

impl Network {
    /// A chain on which a topic with 18 workers and 3 reputers is awake.
    fn new(rule: Rule, signatures: Signatures) -> Self {
        let keys: Vec<AccountKey> = (0..21).map(|i| AccountKey::from_seed(i, "bench")).collect();
        let account =
            |k: &AccountKey| GenesisAccount { address: k.address().to_string(), balance: 10_000 * ALLO };
        let operator = keys[0].address().to_string();
        let genesis = Genesis {
            chain_id: CHAIN.into(),
            time_ms: 1,
            params: Params::default(),
            accounts: keys.iter().map(account).collect(),
            validators: vec![GenesisValidator { public_key: hex::encode([1; 32]), power: 1, operator }],
        };
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, &genesis, signatures).unwrap();
        let mut network = Self { app, sequences: vec![0; keys.len()], keys, height: 0, signatures };
        network.set_up(rule);
        network
    }

    fn set_up(&mut self, rule: Rule) {
        let name = |i: usize| self.keys[i].address().to_string();
        let spec = TopicSpec {
            title: "bench".into(),
            rule: rule.into(),
            epoch_length: 1,
            worker_window: 1,
            truth_lag: 1,
            truth_window: 1,
            ..TopicSpec::default()
        };
        let mut messages = vec![
            (0, pack(url::CREATE_TOPIC, &MsgCreateTopic { creator: name(0), spec: Some(spec) })),
            (
                0,
                pack(
                    url::FUND_TOPIC,
                    &MsgFundTopic { sender: name(0), topic_id: 1, amount: ALLO.to_string() },
                ),
            ),
        ];
        for i in 0..21 {
            let role = if i < 18 { Role::Worker } else { Role::Reputer }.into();
            let m = MsgRegister {
                sender: name(i),
                topic_id: 1,
                role,
                name: format!("m{i}"),
                ..MsgRegister::default()
            };
            messages.push((i, pack(url::REGISTER, &m)));
        }
        for i in 18..21 {
            let amount = (10 * ALLO).to_string();
            messages.push((i, pack(url::ADD_STAKE, &MsgAddStake { sender: name(i), topic_id: 1, amount })));
        }
        let txs = messages.into_iter().map(|(i, m)| self.sign(i, m)).collect::<Vec<_>>();
        self.run(&txs);
    }

    fn sign(&mut self, i: usize, message: Any) -> Vec<u8> {
        let (key, sequence) = (&self.keys[i], self.sequences[i]);
        self.sequences[i] += 1;
        let (fee, gas_limit) = (2_000_000, 200_000);
        if self.signatures == Signatures::Check {
            let account_number = i as u64;
            let signing = Signing { key, chain_id: CHAIN, account_number, sequence, fee, gas_limit };
            return signing.build(vec![message], 0);
        }
        // Nobody looks at the signature: leaving it blank keeps the signer out of a profile of the chain.
        Sender { public_key: key.public(), sequence, fee, gas_limit }.unsigned(vec![message])
    }

    /// The transactions of the next block: an answer of everybody, a truth for the epoch before.
    fn txs(&mut self) -> Vec<Vec<u8>> {
        let nonce = self.height;
        let mut txs = Vec::with_capacity(21);
        for i in 0..21 {
            let sender = self.keys[i].address().to_string();
            let wave = 20.0 + ((nonce * 7 + i as u64 * 3) % 11) as f64 / 10.0;
            if i < 18 {
                let m = MsgSubmitPayload {
                    sender,
                    topic_id: 1,
                    nonce,
                    inference: wave.to_string(),
                    forecast: vec![],
                };
                txs.push(self.sign(i, pack(url::SUBMIT, &m)));
            } else if nonce > 1 {
                let m = MsgReportTruth {
                    sender,
                    topic_id: 1,
                    nonce: nonce - 1,
                    value: "20.5".into(),
                    evidence: vec![],
                };
                txs.push(self.sign(i, pack(url::REPORT_TRUTH, &m)));
            }
        }
        txs
    }

    fn run(&mut self, txs: &[Vec<u8>]) {
        self.height += 1;
        let input = BlockInput { height: self.height, time_ms: 1 + self.height, txs };
        let executed = self.app.execute(&input).unwrap().unwrap();
        assert!(executed.receipts.iter().all(|r| r.code == 0), "{:?}", executed.receipts);
        self.app.commit(executed, Vec::new()).unwrap();
    }

    fn scored(&self) -> u64 {
        let request = QueryTopicRequest { topic_id: 1 }.encode_to_vec();
        QueryTopicResponse::decode(self.app.query(path::TOPIC, &request).unwrap().as_slice())
            .unwrap()
            .epochs_scored
    }
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
        group.bench_function(name, |bencher| {
            let mut network = Network::new(rule, signatures);
            for _ in 0..1_200 {
                let txs = network.txs();
                network.run(&txs); // to the state size that the retention of epochs leads to
            }
            let network = RefCell::new(network);
            bencher.iter_batched(
                || network.borrow_mut().txs(),
                |txs| network.borrow_mut().run(&txs),
                BatchSize::PerIteration,
            );
            assert_eq!(network.borrow().scored(), network.borrow().height - 2);
        });
    }
    group.finish();
}

criterion_group!(benches, epoch);
criterion_main!(benches);
