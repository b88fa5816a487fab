//! A whole history through the real state machine, without consensus and as fast as it goes: the same transactions,
//! handlers, scoring and pay as on a chain. Signatures alone are neither made nor checked, because the run makes all
//! transactions itself.

use std::collections::VecDeque;

use dodona_chain::{AppError, Receipt, Signatures};
use dodona_client::{Client, ClientError};
use dodona_participant::{
    forecaster::Forecaster,
    model::{self, Model},
    role::{sayable, sayable_forecast},
    series::{PredictionMatrix, Series},
};
use dodona_proto::{
    ALLO,
    topics::{
        self as wire, MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgRegister, MsgReportTruth,
        MsgSubmitPayload, QueryEpochResponse,
    },
    tx::{Sender, pack},
    url,
};
use prost::Message;

use crate::{
    LocalChain,
    report::{Earning, Losses, Tally},
    world::{self, Setup, TOPIC},
};

/// Gas that suffices for anything a backtest sends.
const GAS: u64 = 40_000_000;
/// Blocks before the first answers: topic, registrations, stake and funding.
pub(crate) const SETUP_BLOCKS: u64 = 3;

/// What is replayed.
pub enum Source {
    /// A series, predicted by the built-in models and judged by the built-in forecasters.
    Series(Series),
    /// Predictions made elsewhere, row by row.
    Matrix(PredictionMatrix),
    /// Answers that were collected before, epoch by epoch.
    Panel(Box<Panel>),
}

/// Members with one answer, or none, for each epoch, and what then happened.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Name and answers of each.
    pub members: Vec<(String, Vec<Option<f64>>)>,
    /// As many as each member has answers.
    pub truth: Vec<f64>,
    /// Epochs of a day, for the built-in forecasters; 0: none take part.
    pub season: usize,
    /// The topic, if it is not the one a backtest makes up; asks an epoch a block whatever it says.
    pub spec: Option<wire::TopicSpec>,
}

/// What a run amounts to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Losses over all scored epochs.
    pub losses: Losses,
    /// Who earned what.
    pub rewards: Vec<Earning>,
    /// Blocks made.
    pub blocks: u64,
    /// Transactions executed.
    pub txs: u64,
    /// uallo in existence.
    pub supply: String,
    /// Root of the last state, hex.
    pub state_root: String,
}

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The chain stopped.
    #[error(transparent)]
    App(#[from] AppError),
    /// A question was not answered.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A transaction of the run itself was refused.
    #[error("the chain refused {what}: {log}")]
    Refused {
        /// Whose.
        what: String,
        /// Why.
        log: String,
    },
    /// Not enough rows.
    #[error("{rows} rows are too few for horizon {horizon} after a warm-up of {warm_up}")]
    TooShort {
        /// Rows there are.
        rows: usize,
        /// Asked for.
        horizon: usize,
        /// Needed before.
        warm_up: usize,
    },
}

/// An account of the run.
struct Actor {
    name: String,
    address: String,
    public_key: [u8; 33],
    sequence: u64,
}

impl Actor {
    fn new(seed: u64, name: &str) -> Self {
        let key = world::key(seed, name);
        Self {
            name: name.to_string(),
            address: key.address().to_string(),
            public_key: *key.public(),
            sequence: 0,
        }
    }

    /// A transaction without a signature.
    fn tx(&mut self, url: &str, message: &impl Message) -> Vec<u8> {
        let sequence = self.sequence;
        self.sequence += 1;
        // At the floor of the default price, where it stays in a run.
        let fee = u128::from(GAS);
        Sender { public_key: &self.public_key, sequence, fee, gas_limit: GAS }
            .unsigned(vec![pack(url, message)])
    }
}

/// Where answers and truths come from, epoch by epoch.
struct Feed {
    source: Source,
    models: Vec<Box<dyn Model>>,
    forecasters: Vec<Box<dyn Forecaster>>,
    first_row: usize,
    horizon: usize,
    observed: usize,
    epochs: u64,
}

impl Feed {
    fn new(source: Source, setup: &Setup) -> Result<Self, BacktestError> {
        let horizon = setup.horizon;
        let (rows, first_row, models, forecasters) = match &source {
            Source::Series(s) => {
                let first = world::timeline(s, horizon).first_row;
                let models = model::built_in(s.season_day, s.season_week);
                (s.points.len(), first, models, world::forecasters(setup.rule, s))
            }
            // Row i of a matrix holds the predictions for the truth of row i, made `horizon` rows before.
            Source::Matrix(m) => (m.rows() + horizon, 0, Vec::new(), Vec::new()),
            Source::Panel(p) => (p.truth.len() + horizon, 0, Vec::new(), world::judges(setup.rule, p.season)),
        };
        let epochs = rows.saturating_sub(first_row + horizon) as u64;
        if epochs == 0 {
            return Err(BacktestError::TooShort { rows, horizon, warm_up: first_row });
        }
        Ok(Self { source, models, forecasters, first_row, horizon, observed: 0, epochs })
    }

    fn names(&self) -> Vec<String> {
        match &self.source {
            Source::Series(_) => self.models.iter().map(|m| m.name().to_string()).collect(),
            // Column names are free text; on the chain members are numbered.
            Source::Matrix(m) => (0..m.members.len()).map(|i| format!("m{i}")).collect(),
            Source::Panel(p) => (0..p.members.len()).map(|i| format!("m{i}")).collect(),
        }
    }

    /// Everybody's answer to an epoch, from what is known when it asks.
    fn answers(&mut self, epoch: u64) -> Vec<Option<f64>> {
        match &self.source {
            Source::Series(series) => {
                let known = self.first_row + epoch as usize;
                for point in &series.points[self.observed..=known] {
                    self.models.iter_mut().for_each(|m| m.observe(*point));
                }
                self.observed = known + 1;
                let horizon = self.horizon;
                self.models.iter_mut().map(|m| m.predict(horizon).and_then(sayable)).collect()
            }
            Source::Matrix(m) => (0..m.members.len()).map(|j| m.report(epoch as usize, j)).collect(),
            Source::Panel(p) => {
                p.members.iter().map(|(_, said)| said.get(epoch as usize).copied()?).collect()
            }
        }
    }

    fn truth(&self, epoch: u64) -> f64 {
        match &self.source {
            Source::Series(s) => s.points[self.first_row + epoch as usize + self.horizon].value,
            Source::Matrix(m) => m.truth[epoch as usize],
            Source::Panel(p) => p.truth[epoch as usize],
        }
    }
}

/// Replays a source. `progress` hears of every hundredth epoch: (done, of).
///
/// # Errors
/// [`BacktestError`].
pub fn run(source: Source, setup: &Setup, progress: impl FnMut(u64, u64)) -> Result<Outcome, BacktestError> {
    watch(source, setup, progress, |_| {})
}

/// [`run`]; `seen` is shown every epoch as it is scored.
///
/// # Errors
/// [`BacktestError`].
pub fn watch(
    source: Source,
    setup: &Setup,
    mut progress: impl FnMut(u64, u64),
    mut seen: impl FnMut(&QueryEpochResponse),
) -> Result<Outcome, BacktestError> {
    let mut feed = Feed::new(source, setup)?;
    let names = feed.names();
    let mut workers: Vec<Actor> = names.iter().map(|n| Actor::new(setup.seed, n)).collect();
    let mut judges: Vec<Actor> = feed.forecasters.iter().map(|f| Actor::new(setup.seed, f.name())).collect();
    let mut consumer = Actor::new(setup.seed, "consumer");
    let mut reputer = Actor::new(setup.seed, "reputer");

    let all = workers.iter().chain(&judges).chain([&reputer]).map(|a| a.name.clone()).collect::<Vec<_>>();
    let mut genesis = world::genesis(setup.seed, [1; 32], &all);
    // Somebody else's matrix may have more columns than a chain would hear; the judge hears them all.
    let members = u32::try_from(workers.len()).unwrap_or(u32::MAX);
    let params = &mut genesis.params;
    params.max_members_regret = params.max_members_regret.max(members);
    params.max_top_inferers_to_reward = params.max_top_inferers_to_reward.max(members);
    // Everybody asks for the most gas, and nobody competes for it.
    params.feemarket_enabled = false;
    params.feemarket_max_block_utilization = 1_000_000_000_000;
    let mut chain = LocalChain::new(&genesis, Signatures::Trust)?;
    let own = match &feed.source {
        Source::Panel(panel) => panel.spec.clone(),
        _ => None,
    };
    let made_up = || world::topic_spec(setup, "backtest", "");
    let spec = own.map_or_else(made_up, |spec| world::one_a_block(spec, setup.horizon));
    begin(&mut chain, spec, &mut consumer, &mut reputer, workers.iter_mut().chain(&mut judges))?;

    let lag = setup.horizon as u64;
    let mut tally = Tally::default();
    // Epochs waiting for their truth, oldest first: whether anybody answered. Without an answer there is nothing to
    // score, and the chain refuses a truth.
    let mut answered = VecDeque::new();
    let mut txs_total = 0;
    // One block per epoch: its answers, and the truth of the epoch asked `lag` blocks before.
    for block in 0..feed.epochs + lag {
        let nonce = SETUP_BLOCKS + block;
        let mut txs = Vec::with_capacity(workers.len() + judges.len() + 1);
        if block < feed.epochs {
            for (worker, answer) in workers.iter_mut().zip(feed.answers(block)) {
                let Some(value) = answer else { continue };
                let (sender, inference) = (worker.address.clone(), value.to_string());
                let forecast = Vec::new();
                let values = Vec::new();
                let message =
                    MsgSubmitPayload { sender, topic_id: TOPIC, nonce, inference, forecast, values };
                txs.push(worker.tx(url::SUBMIT, &message));
            }
            let members: Vec<String> = workers.iter().map(|w| w.address.clone()).collect();
            for (judge, forecaster) in judges.iter_mut().zip(&mut feed.forecasters) {
                let predicted = forecaster.predict(block, &members);
                let forecast = sayable_forecast(predicted);
                if forecast.is_empty() {
                    continue;
                }
                let (sender, inference) = (judge.address.clone(), String::new());
                let values = Vec::new();
                let message =
                    MsgSubmitPayload { sender, topic_id: TOPIC, nonce, inference, forecast, values };
                txs.push(judge.tx(url::SUBMIT, &message));
            }
        }
        if block < feed.epochs {
            answered.push_back(!txs.is_empty());
        }
        let due = block.checked_sub(lag).filter(|_| answered.pop_front().unwrap_or(false));
        if let Some(epoch) = due {
            let (sender, value) = (reputer.address.clone(), feed.truth(epoch).to_string());
            let evidence = Vec::new();
            let values = Vec::new();
            let message =
                MsgReportTruth { sender, topic_id: TOPIC, nonce: nonce - lag, value, evidence, values };
            txs.push(reputer.tx(url::REPORT_TRUTH, &message));
        }
        txs_total += txs.len() as u64;
        let receipts = chain.block(txs)?;
        refused(&receipts)?;

        if due.is_some() {
            let scored = Client::new(&chain).epoch(TOPIC, nonce - lag)?;
            let losses: Vec<(String, f64)> = scored
                .parts
                .iter()
                .filter(|p| !p.forecaster)
                .filter_map(|p| Some((p.address.clone(), p.loss?)))
                .collect();
            for forecaster in &mut feed.forecasters {
                forecaster.observe(scored.epoch, &losses);
            }
            if scored.state == "scored" {
                seen(&scored);
            }
            tally.add(&scored);
        }
        if block % 100 == 0 {
            progress(block.min(feed.epochs), feed.epochs);
        }
    }
    progress(feed.epochs, feed.epochs);

    let client = Client::new(&chain);
    let status = client.status()?;
    let mut rewards: Vec<Earning> = client.leaderboard(TOPIC)?.rows.iter().map(Earning::from).collect();
    let mut losses = tally.losses();
    if let Source::Matrix(m) = &feed.source {
        rename(&mut losses, &mut rewards, &m.members);
    }
    if let Source::Panel(p) = &feed.source {
        let names: Vec<String> = p.members.iter().map(|(name, _)| name.clone()).collect();
        rename(&mut losses, &mut rewards, &names);
    }
    Ok(Outcome {
        losses,
        rewards,
        blocks: chain.height(),
        txs: txs_total,
        supply: status.supply,
        state_root: hex::encode(status.app_hash),
    })
}

/// The first blocks: topic, registrations, stake and funding.
fn begin<'a>(
    chain: &mut LocalChain,
    spec: wire::TopicSpec,
    consumer: &mut Actor,
    reputer: &mut Actor,
    workers: impl Iterator<Item = &'a mut Actor>,
) -> Result<(), BacktestError> {
    let creator = consumer.address.clone();
    let create = consumer.tx(url::CREATE_TOPIC, &MsgCreateTopic { creator, spec: Some(spec) });
    refused(&chain.block(vec![create])?)?;

    let register = |actor: &mut Actor, role: wire::Role| {
        let (sender, name) = (actor.address.clone(), actor.name.clone());
        let owner = String::new();
        actor.tx(url::REGISTER, &MsgRegister { sender, topic_id: TOPIC, role: role.into(), owner, name })
    };
    let mut txs: Vec<Vec<u8>> = workers.map(|w| register(w, wire::Role::Worker)).collect();
    txs.push(register(reputer, wire::Role::Reputer));
    refused(&chain.block(txs)?)?;

    let amount = (100 * ALLO).to_string();
    let (sender, topic_id) = (reputer.address.clone(), TOPIC);
    let stake = reputer.tx(url::ADD_STAKE, &MsgAddStake { sender, topic_id, amount: amount.clone() });
    let sender = consumer.address.clone();
    let fund = consumer.tx(url::FUND_TOPIC, &MsgFundTopic { sender, topic_id, amount });
    refused(&chain.block(vec![stake, fund])?)
}

/// A run makes its own transactions, so each refusal is a mistake worth stopping for.
fn refused(receipts: &[Receipt]) -> Result<(), BacktestError> {
    match receipts.iter().enumerate().find(|(_, r)| r.code != 0) {
        None => Ok(()),
        Some((i, r)) => {
            Err(BacktestError::Refused { what: format!("transaction {i} of a block"), log: r.log.clone() })
        }
    }
}

/// Members of a matrix get their column names back.
fn rename(losses: &mut Losses, rewards: &mut [Earning], columns: &[String]) {
    let original = |name: &mut String| {
        let index = name.strip_prefix('m').and_then(|i| i.parse::<usize>().ok());
        if let Some(column) = index.and_then(|i| columns.get(i)) {
            *name = column.clone();
        }
    };
    losses.members.iter_mut().chain(&mut losses.best_member).for_each(|m| original(&mut m.name));
    rewards.iter_mut().filter(|r| r.role != "reputer").for_each(|r| original(&mut r.name));
}
