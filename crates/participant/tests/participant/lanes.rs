//! A lane that is killed at any point between deciding and being heard, against a node made of a few answers.

use std::{fs, path::Path, sync::Mutex};

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_participant::{
    adapter::{Adapter, AdapterError, Answer, Context},
    forecaster::{EmaForecaster, Thinker},
    run::{Fate, Lane, Ledger, Questions, RunError, Settings},
    truth::{Happened, Question, Raw, Truth, TruthError, TruthSource},
};
use dodona_proto::{
    chain::{QueryAccountResponse, QueryStatusResponse, TxReceipt},
    commit,
    cosmos::tx::v1beta1::{TxBody, TxRaw},
    emissions::v10::{LabeledValue, NetworkInferenceBundle},
    path,
    sign::AccountKey,
    topics::{
        MsgOpenPayload, MsgReportLosses, MsgSealPayload, MsgSubmitPayload, Part, QueryEpochResponse,
        QueryEpochsRequest, QueryEpochsResponse, QueryInputsResponse, QueryTopicResponse,
        QueryWindowsResponse, Rule, SealRow, TopicSpec, TruthMode, TruthReport, Window,
    },
    tx::{TxHash, hash},
    url,
};
use prost::Message;
use prost_types::Any;
use sha2::Digest;

/// A chain with one open window, at a height that the test sets.
#[derive(Default)]
struct State {
    height: u64,
    window: Option<Window>,
    /// Accepted transactions, and whether a block holds them.
    heard: Vec<TxHash>,
    in_blocks: bool,
    epochs: Vec<QueryEpochResponse>,
    /// The newest accepted transaction.
    newest: Vec<u8>,
    spec: TopicSpec,
    /// Seals that were accepted, and the answers that were opened.
    seals: Vec<SealRow>,
    opened: Vec<String>,
}

impl State {
    /// What a chain does with the two messages of a sealed answer.
    fn take_sealed(&mut self, message: &Any) -> Result<(), ClientError> {
        let no =
            |code: u32| Err(ClientError::Refused { codespace: "emissions".into(), code, log: "no".into() });
        let last = self.window.as_ref().unwrap().seal_last;
        if message.type_url == url::SEAL {
            let m = MsgSealPayload::decode(message.value.as_slice()).unwrap();
            return match () {
                () if self.height >= last => no(67),
                () if !self.seals.is_empty() => no(78),
                () => {
                    self.seals.push(SealRow { address: m.sender, seal: m.seal });
                    Ok(())
                }
            };
        }
        assert_eq!(message.type_url, url::OPEN, "nothing else is said where answers are sealed");
        let m = MsgOpenPayload::decode(message.value.as_slice()).unwrap();
        let seal = commit::seal("test", &m.salt.try_into().unwrap(), &m.payload);
        match () {
            () if self.height < last => no(67),
            () if !self.opened.is_empty() => no(78),
            () if self.seals.first().is_none_or(|row| row.seal != seal) => no(42),
            () => {
                self.opened.push(MsgSubmitPayload::decode(m.payload.as_slice()).unwrap().inference);
                Ok(())
            }
        }
    }
}

#[derive(Default)]
struct Node(Mutex<State>);

impl Transport for Node {
    fn query(&self, asked: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        let state = self.0.lock().unwrap();
        let height = state.height;
        Ok(match asked {
            path::STATUS => {
                let (chain_id, gas_price) = ("test".to_string(), "1".to_string());
                QueryStatusResponse { chain_id, gas_price, height, ..Default::default() }.encode_to_vec()
            }
            path::ACCOUNT => QueryAccountResponse { exists: true, ..Default::default() }.encode_to_vec(),
            path::TOPIC => {
                let spec = Some(TopicSpec { title: "load".into(), unit: "MW".into(), ..state.spec.clone() });
                QueryTopicResponse { topic_id: 1, spec, ..Default::default() }.encode_to_vec()
            }
            path::EPOCHS => {
                let from = QueryEpochsRequest::decode(request).unwrap().from_epoch;
                let epochs = state.epochs.iter().filter(|e| e.epoch >= from).cloned().collect();
                QueryEpochsResponse { epochs }.encode_to_vec()
            }
            path::WINDOWS => {
                let windows = state.window.iter().cloned().collect();
                QueryWindowsResponse { height, windows, next_epoch_block: 0 }.encode_to_vec()
            }
            path::INPUTS => {
                let seals = if state.opened.is_empty() { state.seals.clone() } else { Vec::new() };
                QueryInputsResponse { nonce: 50, open: true, seals, ..Default::default() }.encode_to_vec()
            }
            path::TX if state.in_blocks && !state.heard.is_empty() => TxReceipt::default().encode_to_vec(),
            path::TX => return Err(ClientError::NotFound("transaction".into())),
            other => panic!("{other}"),
        })
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        let mut state = self.0.lock().unwrap();
        if state.window.as_ref().is_some_and(|window| window.seal_last > 0) {
            let raw = TxRaw::decode(tx).unwrap();
            let body = TxBody::decode(raw.body_bytes.as_slice()).unwrap();
            return state.take_sealed(&body.messages[0]).map(|()| hash(tx));
        }
        if !state.heard.is_empty() {
            let log = "already submitted".to_string();
            return Err(ClientError::Refused { codespace: "emissions".into(), code: 78, log });
        }
        state.heard.push(hash(tx));
        state.newest = tx.to_vec();
        Ok(hash(tx))
    }
}

/// Says the number it was made with, or fails.
struct Says(Option<f64>);

impl Adapter for Says {
    fn name(&self) -> &str {
        "says"
    }

    fn predict(&mut self, _: &Context<'_>) -> Result<Answer, AdapterError> {
        self.0.map(Answer::Value).ok_or_else(|| AdapterError::Model("no feed".into()))
    }
}

fn window(nonce: u64) -> Window {
    let (first, last) = (nonce + 1, nonce + 10);
    let state = "open".to_string();
    Window {
        nonce,
        epoch: 40,
        state,
        worker_first: first,
        worker_last: last,
        truth_first: 60,
        truth_last: 70,
        seal_last: 0,
    }
}

fn open_node() -> Client<Node> {
    let history = |epoch: u64| QueryEpochResponse {
        epoch,
        nonce: epoch,
        state: "scored".into(),
        truth: Some(100.0 + (epoch % 7) as f64),
        ..Default::default()
    };
    let state = State {
        height: 50,
        window: Some(window(50)),
        epochs: (0..40).map(history).collect(),
        ..State::default()
    };
    Client::new(Node(Mutex::new(state)))
}

fn settings() -> Settings {
    Settings { topic: 1, name: "n".into(), owner: String::new(), stake: 0, preflight: true, dry_run: false }
}

/// One life of a worker that looks once; what it told.
fn life(client: &Client<Node>, file: &Path, says: Option<f64>, settings: Settings) -> (Lane, Vec<String>) {
    let mut ledger = Ledger::open(file).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "worker"));
    let mut lane = Lane::worker(client, settings, Box::new(Says(says))).unwrap();
    let mut told = Vec::new();
    lane.step(client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    lane.step(client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    (lane, told)
}

fn heard(client: &Client<Node>) -> usize {
    client.transport().0.lock().unwrap().heard.len()
}

#[test]
fn a_lane_whose_ledger_ends_anywhere_submits_the_open_epoch_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = open_node();
    life(&client, &file, Some(102.0), settings());
    let whole = fs::read(&file).unwrap();
    assert_eq!(heard(&client), 1);
    let every_ninth = (0..whole.len()).step_by(9).chain([whole.len() - 1, whole.len()]);
    for cut in every_ninth {
        // Killed after the node took it.
        fs::write(&file, &whole[..cut]).unwrap();
        life(&client, &file, Some(102.0), settings());
        assert_eq!(heard(&client), 1, "twice after byte {cut}");
        // Killed before it was handed in, as far as the whole of it was not written.
        if cut < whole.len() - 1 {
            fs::write(&file, &whole[..cut]).unwrap();
            let fresh = open_node();
            life(&fresh, &file, Some(102.0), settings());
            assert_eq!(heard(&fresh), 1, "lost after byte {cut}");
        }
    }
}

/// The same node, where answers are sealed until block 55 and opened until block 60.
fn sealed_node() -> Client<Node> {
    let client = open_node();
    client.transport().0.lock().unwrap().window = Some(Window { seal_last: 55, ..window(50) });
    client
}

fn at(client: &Client<Node>, height: u64) {
    client.transport().0.lock().unwrap().height = height;
}

#[test]
fn a_sealed_answer_is_opened_by_whatever_life_comes_after_the_seal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = sealed_node();
    let (_, told) = life(&client, &file, Some(102.0), settings());
    assert!(told[0].contains("sealed 102, to be opened from block 56 on"), "{told:?}");
    let line = fs::read(&file).unwrap();
    let seals = |client: &Client<Node>| client.transport().0.lock().unwrap().seals.clone();
    let opened = |client: &Client<Node>| client.transport().0.lock().unwrap().opened.clone();
    assert_eq!(seals(&client).len(), 1);
    // Killed between writing the seal down and handing it in: the same seal comes with the next life, though the model
    // says something else by then; and it does not come twice.
    let fresh = sealed_node();
    for says in [7.0, 8.0] {
        life(&fresh, &file, Some(says), settings());
        assert_eq!(seals(&fresh), seals(&client));
    }
    assert_eq!(fs::read(&file).unwrap(), line, "nothing new to write down");
    // A dry run hands in nothing, whatever a life before it has sealed.
    let fresh = sealed_node();
    for height in [50, 55] {
        at(&fresh, height);
        let (_, told) = life(&fresh, &file, Some(7.0), Settings { dry_run: true, ..settings() });
        assert!(told[0].contains(if height < 55 { "would seal 102" } else { "would open 102" }), "{told:?}");
        let state = fresh.transport().0.lock().unwrap();
        assert!(state.seals.is_empty() && state.opened.is_empty());
    }
    // Killed while it wrote: nothing was handed in, a new answer is sealed.
    let torn = dir.path().join("torn.jsonl");
    fs::write(&torn, &line[..line.len() - 2]).unwrap();
    let fresh = sealed_node();
    life(&fresh, &torn, Some(101.0), settings());
    assert_eq!(seals(&fresh).len(), 1);
    assert_ne!(seals(&fresh), seals(&client), "another salt, another seal");
    // Opened once, by a life that knows the seal from the ledger alone; every later life knows that too.
    at(&client, 54);
    life(&client, &file, Some(9.0), settings());
    assert!(opened(&client).is_empty(), "the next block still takes seals");
    at(&client, 55);
    let (lane, told) = life(&client, &file, None, settings());
    assert_eq!(opened(&client), ["102"], "{told:?}");
    assert_eq!(lane.totals().submitted, 1);
    for height in [56, 60] {
        at(&client, height);
        life(&client, &file, Some(9.0), settings());
        assert_eq!(opened(&client), ["102"]);
    }
}

#[test]
fn a_seal_that_no_block_took_is_handed_in_again_and_one_that_came_too_late_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = sealed_node();
    let mut ledger = Ledger::open(&file).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "worker"));
    let mut lane = Lane::worker(&client, settings(), Box::new(Says(Some(102.0)))).unwrap();
    let mut look = |height: u64| {
        at(&client, height);
        lane.step(&client, &mut wallet, &mut ledger, |_| ()).unwrap();
        client.transport().0.lock().unwrap().seals.len()
    };
    assert_eq!(look(50), 1);
    client.transport().0.lock().unwrap().seals.clear();
    assert_eq!(look(52), 0, "it may still be on its way");
    assert_eq!(look(54), 1, "it was lost");
    drop(ledger);

    let late = sealed_node();
    at(&late, 55);
    let (lane, told) = life(&late, &dir.path().join("late.jsonl"), Some(102.0), settings());
    assert!(told[0].contains("seals were accepted until block 55 only"), "{told:?}");
    assert_eq!(lane.totals().submitted, 0);
}

#[test]
fn a_transaction_that_no_block_took_is_handed_in_again_while_the_window_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = open_node();
    life(&client, &file, Some(102.0), settings());
    let forget = |height: u64| {
        let mut state = client.transport().0.lock().unwrap();
        state.height = height;
        state.heard.clear();
    };
    forget(52);
    life(&client, &file, Some(102.0), settings());
    assert_eq!(heard(&client), 0, "it may still be on its way");
    forget(56);
    life(&client, &file, Some(102.0), settings());
    assert_eq!(heard(&client), 1, "it was lost");
}

#[test]
fn a_word_that_never_got_into_a_block_is_not_said_to_have_found_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    let (mut lane, _) = life(&client, &dir.path().join("ledger.jsonl"), Some(102.0), settings());
    {
        let mut state = client.transport().0.lock().unwrap();
        state.window = None;
        state.epochs.push(QueryEpochResponse {
            epoch: 40,
            nonce: 50,
            state: "scored".into(),
            truth: Some(101.0),
            ..Default::default()
        });
    }
    let mut ledger = Ledger::open(&dir.path().join("other.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "worker"));
    let mut told = Vec::new();
    lane.step(&client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    assert!(told.iter().any(|line| line.contains("in no block before the window closed")), "{told:?}");
}

#[test]
fn a_doubtful_answer_is_held_back_unless_its_owner_insists() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = open_node();
    let (lane, told) = life(&client, &file, Some(0.1), settings());
    assert_eq!((heard(&client), told.len()), (0, 1), "{told:?}");
    assert!(told[0].contains("far from the recent truths") && told[0].contains("block 60"), "{told:?}");
    assert_eq!(lane.totals().submitted, 0);
    let (lane, _) = life(&client, &file, Some(0.1), Settings { preflight: false, ..settings() });
    assert_eq!((heard(&client), lane.totals().submitted), (1, 1));
}

#[test]
fn a_failing_model_misses_its_epoch_only_when_the_window_closes_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    let mut ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "worker"));
    let mut lane = Lane::worker(&client, settings(), Box::new(Says(None))).unwrap();
    let mut told = Vec::new();
    for height in 50..=61 {
        client.transport().0.lock().unwrap().height = height;
        lane.step(&client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    }
    assert_eq!(told.len(), 2, "told once when it fails and once when it is too late: {told:?}");
    assert!(told[1].contains("missed") && told[1].contains("no feed"), "{told:?}");
    assert_eq!(lane.totals().missed.values().sum::<u64>(), 1);
}

#[test]
fn a_dry_run_signs_nothing_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.jsonl");
    let client = open_node();
    let (_, told) = life(&client, &file, Some(102.0), Settings { dry_run: true, ..settings() });
    assert_eq!((heard(&client), fs::read(&file).unwrap().len()), (0, 0));
    assert!(told[0].contains("would submit 102"), "{told:?}");
}

#[test]
fn what_became_of_an_epoch_is_counted_and_what_it_earned() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    let mut ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "worker"));
    let mut lane = Lane::worker(&client, settings(), Box::new(Says(Some(102.0)))).unwrap();
    lane.step(&client, &mut wallet, &mut ledger, |_| {}).unwrap();
    assert_eq!(lane.totals().waiting, 1);
    {
        let mut state = client.transport().0.lock().unwrap();
        let part = Part { address: wallet.address().to_string(), reward: "123".into(), ..Default::default() };
        let (epoch, nonce, truth) = (40, 50, Some(103.0));
        let parts = vec![part];
        let ended =
            QueryEpochResponse { epoch, nonce, truth, state: "scored".into(), parts, ..Default::default() };
        state.epochs.push(ended);
        state.window = None;
    }
    let mut told = Vec::new();
    lane.step(&client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    let totals = lane.totals();
    assert_eq!((totals.submitted, totals.counted, totals.earned), (1, 1, 123));
    assert!(told[0].contains("earned 123"), "{told:?}");
    assert_ne!(Fate::Counted(123), Fate::Waiting);
}

/// Says what it was made with, and asks for times.
struct Saw(f64);

impl TruthSource for Saw {
    fn name(&self) -> &str {
        "saw"
    }

    fn needs_time(&mut self) -> bool {
        true
    }

    fn look_up(&mut self, question: &Question<'_>) -> Result<Truth, TruthError> {
        assert_eq!((question.epoch, question.nonce, question.asked, question.due), (40, 50, 5_000, 5_300));
        let raw = Raw { source: "saw".into(), bytes: b"the raw answer".to_vec() };
        Ok(Truth { happened: Happened::Value(self.0), raw: vec![raw] })
    }
}

fn reputer(client: &Client<Node>, dir: &Path, saw: f64) -> Result<Lane, RunError> {
    let questions = Questions {
        time: Box::new(|height| Ok(100 * height as i64)),
        published: Box::new(|topic, nonce| {
            assert_eq!((topic, nonce), (1, 50));
            let said =
                |value: &str| vec![LabeledValue { label_id: 1, label_name: "y".into(), value: value.into() }];
            let (combined_value, naive_value) = (said("100"), said("113"));
            Ok(NetworkInferenceBundle { combined_value, naive_value, ..Default::default() })
        }),
    };
    Lane::reputer(client, settings(), Box::new(Saw(saw)), questions, None, &dir.join("evidence"))
}

#[test]
fn a_reputer_reports_in_its_window_with_evidence_that_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    client.transport().0.lock().unwrap().spec.truth_lag = 3;
    let mut ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "reputer"));
    let mut lane = reputer(&client, dir.path(), 103.0).unwrap();
    let mut step = |client: &Client<Node>, height: u64| {
        client.transport().0.lock().unwrap().height = height;
        let mut told = Vec::new();
        lane.step(client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
        (lane.totals(), told)
    };
    let (totals, told) = step(&client, 55);
    assert_eq!((totals.submitted, told.len(), heard(&client)), (0, 0, 0), "too early");
    let (totals, told) = step(&client, 59);
    assert_eq!((totals.submitted, heard(&client)), (1, 1), "{told:?}");
    let hash = sha2::Sha256::digest(b"the raw answer");
    let sent = client.transport().0.lock().unwrap().newest.clone();
    assert!(sent.windows(32).any(|part| part == hash.as_slice()), "the evidence goes with the truth");
    let kept = dir.path().join("evidence").join(format!("{}.json", hex::encode(hash)));
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!((&kept["epoch"], &kept["answers"][0]["text"]), (&40.into(), &"the raw answer".into()));
    assert_eq!(step(&client, 60).0.submitted, 1, "once is enough");

    let mut state = client.transport().0.lock().unwrap();
    let address = AccountKey::from_seed(1, "reputer").address().to_string();
    let truth = TruthReport { address, reward: "7".into(), ..Default::default() };
    let (epoch, nonce, state_name) = (40, 50, "scored".to_string());
    let truths = vec![truth];
    state.epochs.push(QueryEpochResponse { epoch, nonce, state: state_name, truths, ..Default::default() });
    state.window = None;
    drop(state);
    let (totals, _) = step(&client, 71);
    assert_eq!((totals.counted, totals.earned), (1, 7));
}

#[test]
fn where_reputers_bring_losses_the_truth_becomes_the_loss_of_everything_published() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    let spec = TopicSpec { truth_lag: 3, truth_mode: TruthMode::Losses.into(), ..Default::default() };
    client.transport().0.lock().unwrap().spec = spec;
    client.transport().0.lock().unwrap().height = 59;
    let mut ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "reputer"));
    let mut lane = reputer(&client, dir.path(), 103.0).unwrap();
    let mut told = Vec::new();
    lane.step(&client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    let sent = client.transport().0.lock().unwrap().newest.clone();
    let body = TxBody::decode(TxRaw::decode(sent.as_slice()).unwrap().body_bytes.as_slice()).unwrap();
    assert_eq!(body.messages[0].type_url, url::REPORT_LOSSES, "{told:?}");
    let report = MsgReportLosses::decode(body.messages[0].value.as_slice()).unwrap();
    assert_eq!((report.topic_id, report.nonce, report.naive.as_str()), (1, 50, "2"), "log10 of 10 squared");
    assert!((report.combined.parse::<f64>().unwrap() - 9f64.log10()).abs() < 1e-12);
    let kept = dir
        .path()
        .join("evidence")
        .join(format!("{}.json", hex::encode(sha2::Sha256::digest(b"the raw answer"))));
    assert!(kept.exists(), "what it was read from is kept");
}

#[test]
fn a_truth_in_another_unit_is_held_back_and_a_topic_of_losses_wants_to_know_which() {
    let dir = tempfile::tempdir().unwrap();
    let client = open_node();
    client.transport().0.lock().unwrap().spec.truth_lag = 3;
    client.transport().0.lock().unwrap().height = 59;
    let mut ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let mut wallet = Wallet::new(AccountKey::from_seed(1, "reputer"));
    let mut lane = reputer(&client, dir.path(), 0.103).unwrap();
    let mut told = Vec::new();
    lane.step(&client, &mut wallet, &mut ledger, |line| told.push(line.to_string())).unwrap();
    assert!(told[0].contains("far from the recent truths") && told[0].contains("block 70"), "{told:?}");
    assert_eq!(heard(&client), 0);

    client.transport().0.lock().unwrap().spec.truth_mode = TruthMode::Losses.into();
    client.transport().0.lock().unwrap().spec.loss_method = "ours".into();
    assert!(matches!(reputer(&client, dir.path(), 1.0), Err(RunError::Topic(_))));
    client.transport().0.lock().unwrap().spec.rule = Rule::Mean.into();
    let ema = Thinker::BuiltIn(Box::new(EmaForecaster::default()));
    assert!(matches!(Lane::forecaster(&client, settings(), ema), Err(RunError::Topic(_))));
}
