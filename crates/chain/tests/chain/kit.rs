//! The test kit: a chain in memory with funded accounts, transactions with sequences kept in mind, blocks after
//! which every invariant is checked, and a small language in which the life of a topic is written as a line.

use std::collections::BTreeMap;

use dodona_chain::{
    App, BlockInput, Executed, Failure, Genesis, GenesisAccount, GenesisValidator, InvalidTx, Params,
    Receipt, Signatures, Trail,
};
use dodona_proto::{
    ALLO, Address, chain, path,
    sign::AccountKey,
    topics::{
        Forecast, LabelValue, LeaderboardRow, MsgAddStake, MsgCreateTopic, MsgDelegateStake, MsgFundTopic,
        MsgRegister, MsgRemoveStake, MsgReportTruth, MsgSubmitPayload, MsgUpdateParams, Parameter,
        QueryEpochRequest, QueryEpochResponse, QueryEpochsRequest, QueryEpochsResponse,
        QueryLeaderboardRequest, QueryLeaderboardResponse, QueryTopicRequest, QueryTopicResponse,
        QueryWindowsRequest, QueryWindowsResponse, Role, TopicSpec,
    },
    tx::{Signing, pack},
    url,
};
use dodona_store::{Config, Store};
use prost::Message;
use prost_types::Any;

/// Name of the test chain.
pub const CHAIN: &str = "kit-1";
/// What every account holds at genesis.
pub const PURSE: u128 = 100_000 * ALLO;
/// What the two validators of genesis have delegated to themselves: powers 3 and 1.
pub const BONDED: u128 = 4 * ALLO;
/// Gas limit of transactions that do not say otherwise.
pub const GAS: u64 = 400_000;

/// The key of a named account.
pub fn key(name: &str) -> AccountKey {
    AccountKey::from_seed(7, name)
}

/// The address of a named account.
pub fn address(name: &str) -> Address {
    key(name).address()
}

/// The address as text.
pub fn text(name: &str) -> String {
    address(name).to_string()
}

/// Names of the funded accounts.
pub fn names() -> Vec<String> {
    let many = |letter: char, count: usize| (1..=count).map(move |i| format!("{letter}{i}"));
    ["alice", "bob", "carol", "owner"]
        .map(String::from)
        .into_iter()
        .chain(many('w', 20))
        .chain(many('r', 8))
        .collect()
}

/// A genesis with these parameters.
pub fn genesis(params: Params) -> Genesis {
    let accounts =
        names().iter().map(|name| GenesisAccount { address: text(name), balance: PURSE }).collect();
    let validator = |byte: u8, power, operator| GenesisValidator {
        public_key: hex::encode([byte; 32]),
        power,
        operator: text(operator),
        ..GenesisValidator::default()
    };
    let validators = vec![validator(9, 3, "v1"), validator(4, 1, "v2")];
    let admins = vec![text("carol")];
    Genesis { chain_id: CHAIN.into(), time_ms: 1_000, params, accounts, validators, admins }
}

/// A transaction before it is signed.
#[derive(Clone, Debug)]
pub struct Tx {
    pub from: String,
    pub messages: Vec<Any>,
    pub gas: u64,
    pub fee: u128,
    pub timeout: u64,
    pub chain: &'static str,
    /// Added to the sequence that would be right.
    pub sequence: i64,
    /// Signed for this account number instead of the right one.
    pub number: Option<u64>,
}

impl Tx {
    /// A transaction of these messages with enough gas and fee.
    pub fn new(from: &str, messages: Vec<Any>) -> Self {
        let (gas, fee) = (GAS, u128::from(GAS) * 10);
        Self { from: from.into(), messages, gas, fee, timeout: 0, chain: CHAIN, sequence: 0, number: None }
    }

    /// With this gas limit, and the fee it needs.
    pub fn gas(self, gas: u64) -> Self {
        Self { gas, fee: u128::from(gas) * 10, ..self }
    }

    /// With one more message of the same sender.
    pub fn and(mut self, other: Tx) -> Self {
        self.messages.extend(other.messages);
        self
    }
}

/// A transfer.
pub fn send(from: &str, to: &str, amount: u128) -> Tx {
    Tx::new(from, vec![dodona_proto::tx::send(address(from), address(to), amount)])
}

/// A new topic.
pub fn create(from: &str, spec: TopicSpec) -> Tx {
    Tx::new(from, vec![pack(url::CREATE_TOPIC, &MsgCreateTopic { creator: text(from), spec: Some(spec) })])
}

/// A registration under the sender's own name.
pub fn register(from: &str, topic_id: u64, role: Role) -> Tx {
    register_for(from, topic_id, role, "")
}

/// A registration whose pay goes to `owner`.
pub fn register_for(from: &str, topic_id: u64, role: Role, owner: &str) -> Tx {
    let owner = if owner.is_empty() { String::new() } else { text(owner) };
    let message = MsgRegister { sender: text(from), topic_id, role: role.into(), owner, name: from.into() };
    Tx::new(from, vec![pack(url::REGISTER, &message)])
}

/// Stake.
pub fn stake(from: &str, topic_id: u64, amount: u128) -> Tx {
    let message = MsgAddStake { sender: text(from), topic_id, amount: amount.to_string() };
    Tx::new(from, vec![pack(url::ADD_STAKE, &message)])
}

/// Funding.
pub fn fund(from: &str, topic_id: u64, amount: u128) -> Tx {
    let message = MsgFundTopic { sender: text(from), topic_id, amount: amount.to_string() };
    Tx::new(from, vec![pack(url::FUND_TOPIC, &message)])
}

/// An inference.
pub fn submit(from: &str, topic_id: u64, nonce: u64, inference: &str) -> Tx {
    forecast(from, topic_id, nonce, inference, &[])
}

/// An inference and a forecast of others' losses.
pub fn forecast(from: &str, topic_id: u64, nonce: u64, inference: &str, losses: &[(&str, &str)]) -> Tx {
    let element = |(who, loss): &(&str, &str)| Forecast { inferer: text(who), loss: loss.to_string() };
    let message = MsgSubmitPayload {
        sender: text(from),
        topic_id,
        nonce,
        inference: inference.into(),
        forecast: losses.iter().map(element).collect(),
        values: Vec::new(),
    };
    Tx::new(from, vec![pack(url::SUBMIT, &message)])
}

fn labelled(values: &[(&str, &str)]) -> Vec<LabelValue> {
    values
        .iter()
        .map(|(label, value)| LabelValue { label: label.to_string(), value: value.to_string() })
        .collect()
}

/// An inference of several labels.
pub fn submit_labels(from: &str, topic_id: u64, nonce: u64, values: &[(&str, &str)]) -> Tx {
    let message = MsgSubmitPayload {
        sender: text(from),
        topic_id,
        nonce,
        values: labelled(values),
        ..Default::default()
    };
    Tx::new(from, vec![pack(url::SUBMIT, &message)])
}

/// A truth of several labels.
pub fn truth_labels(from: &str, topic_id: u64, nonce: u64, values: &[(&str, &str)]) -> Tx {
    let message = MsgReportTruth {
        sender: text(from),
        topic_id,
        nonce,
        values: labelled(values),
        ..Default::default()
    };
    Tx::new(from, vec![pack(url::REPORT_TRUTH, &message)])
}

/// Own stake back.
pub fn unstake(from: &str, topic_id: u64, amount: u128) -> Tx {
    let message = MsgRemoveStake { sender: text(from), topic_id, amount: amount.to_string() };
    Tx::new(from, vec![pack(url::REMOVE_STAKE, &message)])
}

/// Stake upon a reputer.
pub fn delegate(from: &str, topic_id: u64, reputer: &str, amount: u128) -> Tx {
    let (sender, reputer) = (text(from), text(reputer));
    let message = MsgDelegateStake { sender, topic_id, reputer, amount: amount.to_string() };
    Tx::new(from, vec![pack(url::DELEGATE_STAKE, &message)])
}

/// Other parameters, from the next block on; carol is the kit's admin.
pub fn set_params(set: &[(&str, &str)]) -> Tx {
    let parameter =
        |(name, value): &(&str, &str)| Parameter { name: name.to_string(), value: value.to_string() };
    let message = MsgUpdateParams { sender: text("carol"), set: set.iter().map(parameter).collect() };
    Tx::new("carol", vec![pack(url::UPDATE_PARAMS, &message)])
}

/// A truth.
pub fn truth(from: &str, topic_id: u64, nonce: u64, value: &str) -> Tx {
    let message =
        MsgReportTruth { sender: text(from), topic_id, nonce, value: value.into(), ..Default::default() };
    Tx::new(from, vec![pack(url::REPORT_TRUTH, &message)])
}

/// A valid description: epoch length, worker window, truth lag, truth window, rule and loss by default.
pub fn spec(epoch_length: u64, worker_window: u64, truth_lag: u64, truth_window: u64) -> TopicSpec {
    TopicSpec {
        title: "temperature".into(),
        epoch_length,
        worker_window,
        truth_lag,
        truth_window,
        ..TopicSpec::default()
    }
}

/// How a transaction was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    pub codespace: String,
    pub code: u32,
    pub log: String,
    /// Whether it could be in a block, and paid for it.
    pub charged: bool,
}

impl No {
    /// Code and codespace, for comparison.
    pub fn id(&self) -> (&str, u32) {
        (&self.codespace, self.code)
    }
}

/// A chain in memory.
pub struct Net {
    pub app: App,
    /// Last committed block.
    pub height: u64,
    /// What published clients were told so far: block, name, message.
    pub told: Vec<(u64, String, Vec<u8>)>,
    /// Complete inputs of every computation so far.
    pub trails: Vec<Trail>,
}

impl Net {
    /// A fresh chain with default parameters, but a fixed emission of 5 ALLO per block.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A fresh chain with changed parameters.
    pub fn with(change: impl FnOnce(&mut Params)) -> Self {
        let mut params = Params { fixed_emission: 5 * ALLO, ..Params::default() };
        change(&mut params);
        Self::of(&genesis(params), Signatures::Check)
    }

    /// A fresh chain of this genesis.
    pub fn of(genesis: &Genesis, signatures: Signatures) -> Self {
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, genesis, signatures).expect("the kit's genesis is valid");
        app.check_invariants().expect("invariants hold at genesis");
        Self { app, height: 0, told: Vec::new(), trails: Vec::new() }
    }

    /// Number and sequence of an account; zeros while it does not exist.
    pub fn account(&self, name: &str) -> chain::QueryAccountResponse {
        self.query(path::ACCOUNT, &chain::QueryAccountRequest { address: text(name) }).expect("an answer")
    }

    /// Balance in uallo.
    pub fn balance(&self, name: &str) -> u128 {
        self.balance_of(address(name))
    }

    /// Balance of any address.
    pub fn balance_of(&self, who: Address) -> u128 {
        let request = chain::QueryAccountRequest { address: who.to_string() };
        let answer: chain::QueryAccountResponse = self.query(path::ACCOUNT, &request).expect("an answer");
        answer.balance.parse().expect("balances are decimal")
    }

    /// What a validator of the kit earned and has not collected; all of it is its operator's.
    pub fn earned(&self, name: &str) -> u128 {
        let read = self.app.store().snapshot().expect("a state");
        let rewards = dodona_chain::staking::state::REWARDS.get(&read, &address(name).0).expect("readable");
        rewards.map_or(0, |r| r.outstanding + r.commission)
    }

    /// Signs transactions for the next block, each sender's in sequence.
    pub fn sign(&self, txs: &[Tx]) -> Vec<Vec<u8>> {
        let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
        let mut bytes = Vec::with_capacity(txs.len());
        for tx in txs {
            let account = self.account(&tx.from);
            let count = sent.entry(&tx.from).or_insert(0);
            let signing = Signing {
                key: &key(&tx.from),
                chain_id: tx.chain,
                account_number: tx.number.unwrap_or(account.account_number),
                sequence: (account.sequence + *count).wrapping_add_signed(tx.sequence),
                fee: tx.fee,
                gas_limit: tx.gas,
            };
            bytes.push(signing.build(tx.messages.clone(), tx.timeout));
            *count += 1;
        }
        bytes
    }

    /// The next block of these bytes, executed but not committed.
    pub fn execute(&self, txs: &[Vec<u8>]) -> Result<Executed, InvalidTx> {
        let height = self.height + 1;
        let input = BlockInput::of(height, 1_000 + height * 1_000, txs);
        self.app.execute(&input).expect("the chain does not halt")
    }

    /// The next block of whatever of these bytes can be in one.
    pub fn propose(&self, txs: &[Vec<u8>]) -> (Executed, Vec<usize>) {
        let height = self.height + 1;
        let input = BlockInput::of(height, 1_000 + height * 1_000, txs);
        self.app.propose(&input).expect("the chain does not halt")
    }

    /// Makes a block permanent and checks every promise.
    pub fn commit(&mut self, executed: Executed) -> Vec<Receipt> {
        let (root, receipts) = (executed.root, executed.receipts.clone());
        self.trails.extend(executed.trails.iter().cloned());
        let events = receipts.iter().flat_map(|r| &r.events).chain(&executed.events);
        let told = events.flat_map(|event| event.published.clone());
        self.told.extend(told.map(|message| (self.height + 1, message.name, message.bytes)));
        assert_eq!(self.app.commit(executed, Vec::new()).expect("the block follows"), root);
        self.height += 1;
        self.app.check_invariants().unwrap_or_else(|broken| panic!("block {}: {broken}", self.height));
        receipts
    }

    /// One block of raw bytes.
    pub fn raw_block(&mut self, txs: &[Vec<u8>]) -> Vec<Receipt> {
        let executed = self.execute(txs).expect("the block is valid");
        self.commit(executed)
    }

    /// One block of these transactions.
    pub fn block(&mut self, txs: &[Tx]) -> Vec<Receipt> {
        let bytes = self.sign(txs);
        self.raw_block(&bytes)
    }

    /// One block in which every transaction does what it asks for.
    pub fn done(&mut self, txs: &[Tx]) -> Vec<Receipt> {
        let receipts = self.block(txs);
        for (receipt, tx) in receipts.iter().zip(txs) {
            assert_eq!(receipt.code, 0, "block {} {}: {}", self.height, tx.from, receipt.log);
        }
        receipts
    }

    /// Empty blocks up to a height.
    pub fn wait_until(&mut self, height: u64) {
        while self.height < height {
            self.block(&[]);
        }
    }

    /// How a transaction would be refused in the next block: by mempool and block alike. Nothing is committed.
    pub fn refused(&self, tx: &Tx) -> No {
        self.refused_bytes(&self.sign(std::slice::from_ref(tx))[0])
    }

    /// As [`Net::refused`], of raw bytes.
    pub fn refused_bytes(&self, bytes: &[u8]) -> No {
        let mut checker = self.app.checker().expect("a state");
        let refusal = match self.app.check(&mut checker, bytes) {
            Err(Failure::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        };
        let (charged, codespace, code, log) = match self.execute(&[bytes.to_vec()]) {
            Ok(executed) => {
                let r = executed.receipts[0].clone();
                assert!(r.events.is_empty(), "a refused transaction causes nothing: {:?}", r.events);
                (true, r.codespace, r.code, r.log)
            }
            Err(invalid) => {
                assert!(invalid.cause.starts_with(&refusal.log), "{invalid} is not {refusal}");
                (false, refusal.codespace.to_string(), refusal.code, refusal.log.clone())
            }
        };
        assert_eq!((refusal.codespace, refusal.code, &refusal.log), (codespace.as_str(), code, &log));
        No { codespace, code, log, charged }
    }

    /// Any query.
    pub fn query<A: Message + Default>(&self, path: &str, request: &impl Message) -> Option<A> {
        let answer = self.app.query(path, &request.encode_to_vec());
        answer.ok().map(|bytes| A::decode(bytes.as_slice()).expect("answers decode"))
    }

    /// A topic.
    pub fn topic(&self, topic_id: u64) -> QueryTopicResponse {
        self.query(path::TOPIC, &QueryTopicRequest { topic_id }).expect("the topic exists")
    }

    /// Windows of a topic.
    pub fn windows(&self, topic_id: u64) -> QueryWindowsResponse {
        self.query(path::WINDOWS, &QueryWindowsRequest { topic_id }).expect("the topic exists")
    }

    /// One epoch.
    pub fn epoch(&self, topic_id: u64, nonce: u64) -> Option<QueryEpochResponse> {
        self.query(path::EPOCH, &QueryEpochRequest { topic_id, nonce, resistant: false })
    }

    /// A run of epochs.
    pub fn epochs(&self, topic_id: u64, from_epoch: u64, limit: u32) -> Vec<QueryEpochResponse> {
        let request = QueryEpochsRequest { topic_id, from_epoch, limit };
        self.query::<QueryEpochsResponse>(path::EPOCHS, &request).expect("the topic exists").epochs
    }

    /// Who earned what, by (name, role).
    pub fn leaderboard(&self, topic_id: u64) -> BTreeMap<(String, String), LeaderboardRow> {
        let request = QueryLeaderboardRequest { topic_id, ..Default::default() };
        let answer: QueryLeaderboardResponse =
            self.query(path::LEADERBOARD, &request).expect("the topic exists");
        answer.rows.into_iter().map(|row| ((row.name.clone(), row.role.clone()), row)).collect()
    }

    /// Creates a topic with these workers and reputers (10 ALLO of stake each), funds it with 100 ALLO, all in one
    /// block; the first epoch opens at its end.
    pub fn market(&mut self, spec: TopicSpec, workers: &[&str], reputers: &[&str]) -> u64 {
        let created = self.done(&[create("alice", spec)]);
        let id =
            created[0].events[0].attributes[0].1.parse().expect("a topic's first attribute is its number");
        let mut txs = vec![fund("alice", id, 100 * ALLO)];
        txs.extend(workers.iter().map(|name| register(name, id, Role::Worker)));
        txs.extend(
            reputers.iter().map(|name| register(name, id, Role::Reputer).and(stake(name, id, 10 * ALLO))),
        );
        self.done(&txs);
        assert!(self.topic(id).active, "{}", self.topic(id).inactive_reason);
        id
    }

    /// Plays blocks separated by `/`. In a block, `w1=10` submits an inference to the epoch whose window is open,
    /// `w1=10?w2:0.5,w3:2` with a forecast, and `r1!11` reports a truth for the oldest epoch that waits for r1's.
    pub fn play(&mut self, topic_id: u64, script: &str) {
        for line in script.split('/') {
            let height = self.height + 1;
            let windows = self.windows(topic_id).windows;
            let mut txs = Vec::new();
            for word in line.split_whitespace() {
                if let Some((who, value)) = word.split_once('!') {
                    let mut waiting =
                        windows.iter().filter(|w| w.truth_first <= height && height <= w.truth_last);
                    let reported = |nonce| self.refusal_of(&truth(who, topic_id, nonce, value)) == Some(78);
                    let window = waiting.find(|w| !reported(w.nonce)).expect("an epoch waits for a truth");
                    txs.push(truth(who, topic_id, window.nonce, value));
                } else if let Some((who, rest)) = word.split_once('=') {
                    let open = windows.iter().find(|w| w.state == "open" && height <= w.worker_last);
                    let nonce = open.expect("a window is open").nonce;
                    let (value, losses) = rest.split_once('?').unwrap_or((rest, ""));
                    let losses: Vec<(&str, &str)> =
                        losses.split(',').filter_map(|l| l.split_once(':')).collect();
                    txs.push(forecast(who, topic_id, nonce, value, &losses));
                } else {
                    panic!("`{word}` is no word of the script");
                }
            }
            self.done(&txs);
        }
    }

    /// Plays `blocks` blocks in which every worker answers in the first block of a window and every reputer reports
    /// in the first block of a truth window. The functions get the place in the list and the nonce; an empty text
    /// means silence.
    pub fn live(
        &mut self,
        topic_id: u64,
        blocks: u64,
        (workers, answer): (&[&str], impl Fn(usize, u64) -> String),
        (reputers, report): (&[&str], impl Fn(usize, u64) -> String),
    ) {
        for _ in 0..blocks {
            let height = self.height + 1;
            let mut txs = Vec::new();
            for window in self.windows(topic_id).windows {
                if window.worker_first == height {
                    let said = workers.iter().enumerate().map(|(i, who)| (who, answer(i, window.nonce)));
                    let said = said.filter(|(_, value)| !value.is_empty());
                    txs.extend(said.map(|(who, value)| submit(who, topic_id, window.nonce, &value)));
                }
                if window.truth_first == height {
                    let said = reputers.iter().enumerate().map(|(i, who)| (who, report(i, window.nonce)));
                    let said = said.filter(|(_, value)| !value.is_empty());
                    txs.extend(said.map(|(who, value)| truth(who, topic_id, window.nonce, &value)));
                }
            }
            self.done(&txs);
        }
    }

    /// The code with which the mempool refuses a transaction now, if it does.
    pub fn refusal_of(&self, tx: &Tx) -> Option<u32> {
        let mut checker = self.app.checker().expect("a state");
        match self.app.check(&mut checker, &self.sign(std::slice::from_ref(tx))[0]) {
            Ok(_) => None,
            Err(Failure::Refused(refusal)) => Some(refusal.code),
            Err(halt) => panic!("{halt:?}"),
        }
    }
}

/// A seeded generator (xorshift): tests repeat exactly.
pub struct Dice(pub u64);

impl Dice {
    /// 0 to `below` - 1.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}
