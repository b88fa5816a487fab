//! A small world to run: a genesis with funded accounts, a topic about a series, and everybody who takes part in it.
//! The demo, the backtest and the tests all begin here, with the same transactions.

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, ClientError, Transport, staking::Commission};
use dodona_participant::{
    forecaster::{self, Forecaster},
    model,
    role::{Classes, ClassifierRole, ForecasterRole, ReputerRole, Seat, Timeline, WorkerRole},
    series::Series,
};
use dodona_proto::{
    ALLO,
    sign::AccountKey,
    topics::{Loss, MsgCreateTopic, Role, Rule, TopicSpec},
    tx::pack,
    url,
};

/// What each participant starts with.
const PURSE: u128 = 1_000 * ALLO;
/// What the consumer starts with.
const CONSUMER_PURSE: u128 = 100_000 * ALLO;
/// Gifts for a thousand newcomers.
const FAUCET_PURSE: u128 = 1_000_000 * ALLO;
/// Whose key the purse for newcomers has.
pub const FAUCET: &str = "faucet";
/// What the consumer pays for the topic.
const FUNDING: u128 = 1_000 * ALLO;
/// What each reputer stakes.
const STAKE: u128 = 100 * ALLO;
/// The topic of a fresh world.
pub const TOPIC: u64 = 1;
/// The topic of classes, where a world has one.
pub const CLASS_TOPIC: u64 = 2;
/// Models that also say which way it goes: quick ones of different minds.
const CLASSIFIERS: [&str; 6] = [
    "seasonal-naive-day",
    "seasonal-naive-week",
    "holt-winters",
    "ar-24-slow",
    "ridge-calendar",
    "knn-patterns",
];
/// Names of the reputers.
const REPUTERS: [&str; 3] = ["reputer-1", "reputer-2", "reputer-3"];
/// Genesis time, unix milliseconds: 2026-01-01T00:00:00Z. A constant, so that runs can be compared.
pub const GENESIS_TIME_MS: u64 = 1_767_225_600_000;

/// Choices of a run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How answers are combined.
    pub rule: Rule,
    /// What a wrong answer costs.
    pub loss: Loss,
    /// Rows from question to answer.
    pub horizon: usize,
    /// Makes the participants' keys.
    pub seed: u64,
}

/// Rows that models may learn from before the first question: two long seasons, at most a quarter of the series.
pub fn timeline(series: &Series, horizon: usize) -> Timeline {
    let warm_up = (2 * series.season_week).max(48).min(series.points.len() / 4);
    Timeline { first_row: warm_up, horizon }
}

/// The built-in forecasters, where the rule hears any: plain mean and median do not.
pub fn forecasters(rule: Rule, series: &Series) -> Vec<Box<dyn Forecaster>> {
    judges(rule, series.season_day)
}

/// The same for a season of so many epochs; for none, nobody.
pub fn judges(rule: Rule, season: usize) -> Vec<Box<dyn Forecaster>> {
    match rule {
        Rule::Mean | Rule::Median => Vec::new(),
        Rule::Unspecified | Rule::Power | Rule::Regret if season == 0 => Vec::new(),
        Rule::Unspecified | Rule::Power | Rule::Regret => forecaster::built_in(season),
    }
}

/// What operators of made-up validators keep.
pub const COMMISSION: Commission = Commission { rate: 10, max: 20, max_change: 1 };
/// More gas than a message about a validator's stake takes.
pub const STAKING_GAS: u64 = 300_000;

/// Key of a participant.
pub fn key(seed: u64, name: &str) -> AccountKey {
    AccountKey::from_seed(seed, name)
}

/// Parameters of a world that is to be looked at: tokens from the first block on, and forecasts about everybody.
pub fn dev_params() -> Params {
    Params {
        fixed_emission: 5 * ALLO,
        max_elements_per_forecast: 10_000,
        create_topic_fee: 10 * ALLO,
        ..Params::default()
    }
}

/// The first state: everybody named has a purse; one validator decides.
pub fn genesis(seed: u64, validator_key: [u8; 32], names: &[String]) -> Genesis {
    let account =
        |name: &str, balance| GenesisAccount { address: key(seed, name).address().to_string(), balance };
    let mut accounts = vec![account("consumer", CONSUMER_PURSE), account(FAUCET, FAUCET_PURSE)];
    accounts.extend(names.iter().map(|name| account(name, PURSE)));
    Genesis {
        chain_id: "localnet".into(),
        time_ms: GENESIS_TIME_MS,
        params: dev_params(),
        accounts,
        validators: vec![GenesisValidator {
            public_key: hex::encode(validator_key),
            power: 1,
            operator: key(seed, "validator").address().to_string(),
            ..GenesisValidator::default()
        }],
        admins: vec![key(seed, "consumer").address().to_string()],
    }
}

/// Description of a topic that asks one question a block.
pub fn topic_spec(setup: &Setup, title: &str, unit: &str) -> TopicSpec {
    let shown = |text: &str, bytes: usize| {
        let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
        kept.truncate(kept.floor_char_boundary(bytes));
        kept
    };
    let title = shown(title, 80);
    TopicSpec {
        title: if title.is_empty() { "series".into() } else { title },
        target: format!("the value {} row(s) after the newest known one", setup.horizon),
        unit: shown(unit, 32),
        truth_source: "the series itself, row by row".into(),
        rule: setup.rule.into(),
        loss: setup.loss.into(),
        epoch_length: 1,
        worker_window: 1,
        truth_lag: setup.horizon as u64,
        truth_window: 1,
        ..TopicSpec::default()
    }
}

/// A topic as it is, except that it asks one question a block and learns the truth so many blocks later.
pub fn one_a_block(spec: TopicSpec, horizon: usize) -> TopicSpec {
    TopicSpec {
        epoch_length: 1,
        worker_window: 1,
        truth_lag: horizon as u64,
        truth_window: 1,
        worker_list: false,
        reputer_list: false,
        max_inferers: 0,
        max_forecasters: 0,
        ..spec
    }
}

/// Everybody who takes part in a topic about a series.
pub struct Cast {
    /// Creates and funds the topic.
    pub consumer: Seat,
    /// One model each.
    pub workers: Vec<WorkerRole>,
    /// They judge the workers.
    pub forecasters: Vec<ForecasterRole>,
    /// They bring the truth.
    pub reputers: Vec<ReputerRole>,
}

impl Cast {
    /// The built-in models and forecasters, and three reputers.
    pub fn built_in(series: &Series, setup: &Setup) -> Self {
        let timeline = timeline(series, setup.horizon);
        let seat = |name: &str| Seat::new(key(setup.seed, name), TOPIC, name);
        let workers = model::built_in(series.season_day, series.season_week)
            .into_iter()
            .map(|model| WorkerRole::new(seat(model.name()), model, timeline))
            .collect();
        let forecasters = forecasters(setup.rule, series)
            .into_iter()
            .map(|f| ForecasterRole::new(seat(f.name()), f))
            .collect();
        let reputers = REPUTERS.iter().map(|name| ReputerRole::new(seat(name), timeline)).collect();
        Self { consumer: seat("consumer"), workers, forecasters, reputers }
    }

    /// Names of all but the consumer, as genesis wants them.
    pub fn names(&self) -> Vec<String> {
        let workers = self.workers.iter().map(|w| &w.seat.name);
        let forecasters = self.forecasters.iter().map(|f| &f.seat.name);
        let reputers = self.reputers.iter().map(|r| &r.seat.name);
        workers.chain(forecasters).chain(reputers).cloned().collect()
    }

    /// First block of a world: the topic.
    pub fn create_topic<T: Transport>(
        &mut self,
        client: &Client<T>,
        spec: TopicSpec,
    ) -> Result<(), ClientError> {
        let creator = self.consumer.address().to_string();
        let message = pack(url::CREATE_TOPIC, &MsgCreateTopic { creator, spec: Some(spec) });
        self.consumer.wallet.send(client, vec![message], 150_000).map(drop)
    }

    /// Second block: everybody registers.
    pub fn register<T: Transport>(&mut self, client: &Client<T>) -> Result<(), ClientError> {
        for seat in self.workers.iter_mut().map(|w| &mut w.seat) {
            seat.register(client, Role::Worker)?;
        }
        for seat in self.forecasters.iter_mut().map(|f| &mut f.seat) {
            seat.register(client, Role::Worker)?;
        }
        for seat in self.reputers.iter_mut().map(|r| &mut r.seat) {
            seat.register(client, Role::Reputer)?;
        }
        Ok(())
    }

    /// Third block: stake and funding, which wakes the topic at the block's end.
    pub fn stake_and_fund<T: Transport>(&mut self, client: &Client<T>) -> Result<(), ClientError> {
        for seat in self.reputers.iter_mut().map(|r| &mut r.seat) {
            seat.stake(client, STAKE)?;
        }
        self.consumer.fund(client, FUNDING).map(drop)
    }

    /// Any later block: everybody looks and acts. Returns how many transactions were handed in.
    pub fn act<T: Transport>(&mut self, client: &Client<T>, series: &Series) -> Result<u32, ClientError> {
        let seen = client.windows(TOPIC)?;
        let mut submitted = 0;
        for worker in &mut self.workers {
            submitted += worker.act(client, &seen, series)?.submitted;
        }
        for forecaster in &mut self.forecasters {
            submitted += forecaster.act(client, &seen)?.submitted;
        }
        for reputer in &mut self.reputers {
            submitted += reputer.act(client, &seen, series)?.submitted;
        }
        Ok(submitted)
    }
}

/// Everybody who takes part in a topic about which way a series goes.
pub struct ClassCast {
    /// One model each.
    pub workers: Vec<ClassifierRole>,
    /// They bring the truth.
    pub reputers: Vec<ReputerRole>,
    /// What counts as down, flat and up.
    pub classes: Classes,
}

impl ClassCast {
    /// Some of the built-in models, and three reputers.
    pub fn built_in(series: &Series, setup: &Setup) -> Self {
        let timeline = timeline(series, setup.horizon);
        let classes = Classes::of(series, timeline);
        let seat = |name: &str| {
            let name = format!("{name}-classes");
            Seat::new(key(setup.seed, &name), CLASS_TOPIC, &name)
        };
        let workers = model::built_in(series.season_day, series.season_week)
            .into_iter()
            .filter(|model| CLASSIFIERS.contains(&model.name()))
            .map(|model| ClassifierRole::new(seat(model.name()), model, timeline, classes))
            .collect();
        let reputers =
            REPUTERS.iter().map(|name| ReputerRole::of_classes(seat(name), timeline, classes)).collect();
        Self { workers, reputers, classes }
    }

    /// Names, as genesis wants them.
    pub fn names(&self) -> Vec<String> {
        let workers = self.workers.iter().map(|w| &w.seat.name);
        workers.chain(self.reputers.iter().map(|r| &r.seat.name)).cloned().collect()
    }

    /// Description of the topic: three classes, chances pooled in log space.
    pub fn spec(&self, setup: &Setup, title: &str, unit: &str) -> TopicSpec {
        let regression = topic_spec(setup, &format!("{title}: down, flat or up?"), unit);
        TopicSpec {
            target: format!(
                "whether the value {} row(s) ahead lies more than {:.6} below (down) or above (up) the newest known one",
                setup.horizon, self.classes.threshold
            ),
            loss: Loss::Log.into(),
            classification: true,
            multi: true,
            require_unity: true,
            labels: Classes::LABELS.map(String::from).to_vec(),
            // The plain rules stay what they are; medians of chances do not sum to one.
            rule: if setup.rule == Rule::Median { Rule::Mean } else { setup.rule }.into(),
            ..regression
        }
    }

    /// Registration, in the block in which everybody registers.
    pub fn register<T: Transport>(&mut self, client: &Client<T>) -> Result<(), ClientError> {
        for seat in self.workers.iter_mut().map(|w| &mut w.seat) {
            seat.register(client, Role::Worker)?;
        }
        for seat in self.reputers.iter_mut().map(|r| &mut r.seat) {
            seat.register(client, Role::Reputer)?;
        }
        Ok(())
    }

    /// Stake, and the consumer's funding.
    pub fn stake_and_fund<T: Transport>(
        &mut self,
        client: &Client<T>,
        consumer: &mut Seat,
    ) -> Result<(), ClientError> {
        for seat in self.reputers.iter_mut().map(|r| &mut r.seat) {
            seat.stake(client, STAKE)?;
        }
        consumer.fund_topic(client, CLASS_TOPIC, FUNDING).map(drop)
    }

    /// Any later block.
    pub fn act<T: Transport>(&mut self, client: &Client<T>, series: &Series) -> Result<u32, ClientError> {
        let seen = client.windows(CLASS_TOPIC)?;
        let mut submitted = 0;
        for worker in &mut self.workers {
            submitted += worker.act(client, &seen, series)?.submitted;
        }
        for reputer in &mut self.reputers {
            submitted += reputer.act(client, &seen, series)?.submitted;
        }
        Ok(submitted)
    }
}
