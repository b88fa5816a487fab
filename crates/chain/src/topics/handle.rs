//! One function per message, in four beats: load (each absence its own refusal), refuse, nothing below can fail,
//! write and tell.

use dodona_mechanism::{
    MathError, Real,
    topic::{
        combine::Rule,
        loss::Loss,
        power::{Pool, PowerConfig, TopicState},
    },
};
use dodona_proto::{
    Address,
    topics::{
        self as wire, MsgAddStake, MsgCreateTopic, MsgFundTopic, MsgRegister, MsgReportTruth,
        MsgSubmitPayload,
    },
};

use super::{
    CODESPACE, pot_account, schedule, stake_account,
    state::{
        EPOCHS, Epoch, EpochState, Heard, Key, LossSums, NEXT_ID, PAYLOADS, POTS, Payload, REGISTRATIONS,
        Registration, STAKES, Spec, TEXTS, TOPICS, TRUTHS, Texts, Topic, TruthReport, role,
    },
};
use crate::{
    accounts,
    bank::{self, BankError},
    ctx::Ctx,
    error::{Coded, Failure},
    event::Event,
    gas,
    text::{parse_amount, printable},
};

/// Longest epoch, window or lag: about a year of one-second blocks.
pub const MAX_BLOCKS: u64 = 40_000_000;
/// Most epochs of one topic that may wait for their truth at once.
pub const MAX_WAITING: u64 = 1_000;

/// Why a topic refuses. Codes never change meaning; 13, 23, 67, 68, 75 and 78 are the ones that published
/// clients of such topics know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum TopicError {
    #[error("invalid {field}: {cause}")]
    Spec { field: &'static str, cause: String },
    #[error("{who} is not registered in this topic: address not registered; register as {as_role} first")]
    NotRegistered { who: Address, as_role: &'static str },
    #[error("{who} is already registered as {as_role} since block {since}")]
    AlreadyRegistered { who: Address, as_role: &'static str, since: u64 },
    #[error("topic {0} does not exist: invalid topic ID; topics are numbered from 1 to {1}")]
    NoTopic(u64, u64),
    #[error(
        "worker nonce window not available: epoch {nonce} accepts payloads in blocks {first} to {last}, this is block {height}; next epoch opens after block {next}"
    )]
    WorkerWindow { nonce: u64, first: u64, last: u64, height: u64, next: u64 },
    #[error(
        "reputer nonce window not available: epoch {nonce} accepts truths in blocks {first} to {last}, this is block {height}"
    )]
    TruthWindow { nonce: u64, first: u64, last: u64, height: u64 },
    #[error("unfulfilled nonce not found: topic {topic} has no epoch with nonce {nonce}; {hint}")]
    NoEpoch { topic: u64, nonce: u64, hint: String },
    #[error(
        "inference already submitted by {who} for epoch {nonce}; one payload per epoch, the next epoch opens after block {next}"
    )]
    AlreadySubmitted { who: Address, nonce: u64, next: u64 },
    #[error("truth already submitted by {who} for epoch {nonce}; one report per epoch")]
    AlreadyReported { who: Address, nonce: u64 },
    #[error(
        "invalid number in {field}: {cause}; a number is finite decimal text such as 42 or -1.5e-3, zero or from 1e-40 to 1e40 in size"
    )]
    Number { field: &'static str, cause: MathError },
    #[error("invalid value in {field}: {cause}")]
    Value { field: &'static str, cause: String },
    #[error("payload holds neither inference nor forecast; send at least one")]
    Empty,
    #[error("{what} has {got} entries, at most {max} are allowed")]
    TooMany { what: &'static str, got: usize, max: u32 },
    #[error(
        "window of epoch {nonce} is full: {max} {what} were heard already; the next epoch opens after block {next}"
    )]
    Full { nonce: u64, what: &'static str, max: u32, next: u64 },
    #[error("reputer {0} has no stake in this topic; add stake first")]
    NoStake(Address),
    #[error("invalid amount `{0}`; send a positive integer number of uallo")]
    Amount(String),
    #[error("epoch {nonce} is {state}: it accepts nothing more")]
    Done { nonce: u64, state: &'static str },
}

impl Coded for TopicError {
    const CODESPACE: &'static str = CODESPACE;
    fn code(&self) -> u32 {
        match self {
            Self::Spec { .. } => 2,
            Self::AlreadyRegistered { .. } => 12,
            Self::NotRegistered { .. } => 13,
            Self::NoTopic(..) => 23,
            Self::Number { .. } => 41,
            Self::Value { .. } => 42,
            Self::Empty => 43,
            Self::TooMany { .. } => 44,
            Self::Full { .. } => 45,
            Self::NoStake(_) => 46,
            Self::Amount(_) => 47,
            Self::WorkerWindow { .. } => 67,
            Self::TruthWindow { .. } => 68,
            Self::NoEpoch { .. } | Self::Done { .. } => 75,
            Self::AlreadySubmitted { .. } | Self::AlreadyReported { .. } => 78,
        }
    }
}

/// `MsgCreateTopic`: charges the creation fee; the topic sleeps until it has a worker, stake and funding.
pub(crate) fn create_topic(ctx: &mut Ctx, from: Address, m: &MsgCreateTopic) -> Result<(), Failure> {
    ctx.gas.charge(gas::CREATE_TOPIC, "create topic")?;
    let params = ctx.params;
    let id = NEXT_ID.get(ctx.state)?.unwrap_or(1);
    let (spec, texts) = check_spec(m.spec.as_ref())?;
    let has = bank::balance(ctx.state, from)?;
    if has < params.create_topic_fee {
        return Err(BankError::Insufficient { has, needs: params.create_topic_fee }.into());
    }
    // Nothing below can fail.
    bank::transfer(ctx.state, from, accounts::ecosystem(), params.create_topic_fee)?;
    NEXT_ID.put(ctx.state, &(id + 1));
    let topic = Topic {
        id,
        creator: from,
        spec,
        created: ctx.height,
        stake: 0,
        funded: 0,
        paid: 0,
        workers: 0,
        reputers: 0,
        active: false,
        next_open: 0,
        opened: 0,
        combined: 0,
        scored: 0,
        void: 0,
        newest: 0,
        oldest: 0,
        sums: LossSums::default(),
        power: TopicState::default(),
    };
    TOPICS.put(ctx.state, &id, &topic);
    TEXTS.put(ctx.state, &id, &texts);
    ctx.emit(Event::new("topic_created").with("topic_id", id).with("creator", from));
    Ok(())
}

/// `MsgRegister`: a part in a topic, open to everybody.
pub(crate) fn register(ctx: &mut Ctx, from: Address, m: &MsgRegister) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "register")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let as_role = match m.role() {
        wire::Role::Worker => role::WORKER,
        wire::Role::Reputer => role::REPUTER,
        wire::Role::Unspecified => {
            return Err(TopicError::Value { field: "role", cause: "say worker or reputer".into() }.into());
        }
    };
    let owner = if m.owner.is_empty() { from } else { parse_address("owner", &m.owner)? };
    if accounts::is_own(owner) {
        let cause = "this account belongs to the chain itself and cannot be paid".to_string();
        return Err(TopicError::Value { field: "owner", cause }.into());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if m.name.len() > 32 || !m.name.bytes().all(plain) {
        let cause = "at most 32 of letters, digits, dot, dash and underscore".to_string();
        return Err(TopicError::Value { field: "name", cause }.into());
    }
    let key = (topic.id, as_role, from.0);
    if let Some(Registration { since, .. }) = REGISTRATIONS.get(ctx.state, &key)? {
        return Err(TopicError::AlreadyRegistered { who: from, as_role: role_name(as_role), since }.into());
    }
    // Nothing below can fail.
    REGISTRATIONS.put(ctx.state, &key, &Registration { owner, name: m.name.clone(), since: ctx.height });
    if as_role == role::WORKER {
        topic.workers += 1
    } else {
        topic.reputers += 1
    }
    schedule::refresh(ctx, &mut topic)?;
    TOPICS.put(ctx.state, &topic.id, &topic);
    ctx.emit(
        Event::new("registered")
            .with("topic_id", topic.id)
            .with("address", from)
            .with("role", role_name(as_role)),
    );
    Ok(())
}

/// `MsgAddStake`: a registered reputer's own stake; its voice in the truth grows with it.
pub(crate) fn add_stake(ctx: &mut Ctx, from: Address, m: &MsgAddStake) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "add stake")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::REPUTER, from)?;
    let amount = positive(&m.amount)?;
    let has = bank::balance(ctx.state, from)?;
    if has < amount {
        return Err(BankError::Insufficient { has, needs: amount }.into());
    }
    // Nothing below can fail.
    bank::transfer(ctx.state, from, stake_account(), amount)?;
    let stake = STAKES.get(ctx.state, &(topic.id, from.0))?.unwrap_or(0) + amount;
    STAKES.put(ctx.state, &(topic.id, from.0), &stake);
    topic.stake += amount;
    schedule::refresh(ctx, &mut topic)?;
    TOPICS.put(ctx.state, &topic.id, &topic);
    let id = topic.id;
    ctx.emit(Event::new("staked").with("topic_id", id).with("reputer", from).with("amount", amount));
    Ok(())
}

/// `MsgFundTopic`: anybody pays what they want; it goes into the pot of the topic's coming epochs.
pub(crate) fn fund_topic(ctx: &mut Ctx, from: Address, m: &MsgFundTopic) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "fund topic")?;
    let mut topic = load_topic(ctx, m.topic_id)?;
    let amount = positive(&m.amount)?;
    let has = bank::balance(ctx.state, from)?;
    if has < amount {
        return Err(BankError::Insufficient { has, needs: amount }.into());
    }
    // Nothing below can fail.
    bank::transfer(ctx.state, from, pot_account(), amount)?;
    let pot = POTS.get(ctx.state, &topic.id)?.unwrap_or(0) + amount;
    POTS.put(ctx.state, &topic.id, &pot);
    topic.funded = topic.funded.saturating_add(amount);
    schedule::refresh(ctx, &mut topic)?;
    TOPICS.put(ctx.state, &topic.id, &topic);
    let id = topic.id;
    ctx.emit(Event::new("topic_funded").with("topic_id", id).with("sender", from).with("amount", amount));
    Ok(())
}

/// `MsgSubmitPayload`: a worker's inference and forecast for one epoch. What cannot count is refused.
pub(crate) fn submit_payload(ctx: &mut Ctx, from: Address, m: &MsgSubmitPayload) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBMIT + gas::FORECAST_ELEMENT * m.forecast.len() as u64, "payload")?;
    let topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::WORKER, from)?;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, m.nonce))?.ok_or_else(|| no_epoch(&topic, m.nonce))?;
    let params = ctx.params;

    let (nonce, next, height) = (m.nonce, topic.next_open, ctx.height);
    if epoch.state != EpochState::Open || height <= nonce || height > epoch.worker_last {
        let (first, last) = (nonce + 1, epoch.worker_last);
        return Err(TopicError::WorkerWindow { nonce, first, last, height, next }.into());
    }
    let key = (topic.id, nonce, from.0);
    if PAYLOADS.contains(ctx.state, &key)? {
        return Err(TopicError::AlreadySubmitted { who: from, nonce, next }.into());
    }
    let inference = match m.inference.as_str() {
        "" => None,
        text => Some(check_value(&topic, "inference", text)?),
    };
    if inference.is_none() && m.forecast.is_empty() {
        return Err(TopicError::Empty.into());
    }
    if !m.forecast.is_empty() && matches!(topic.spec.rule, Rule::Median | Rule::Mean) {
        let cause = "the rule of this topic is a plain mean or median and hears no forecasts".to_string();
        return Err(TopicError::Value { field: "forecast", cause }.into());
    }
    if m.forecast.len() > params.max_forecast_elements as usize {
        let (got, max) = (m.forecast.len(), params.max_forecast_elements);
        return Err(TopicError::TooMany { what: "forecast", got, max }.into());
    }
    let mut forecast = Vec::with_capacity(m.forecast.len());
    for element in &m.forecast {
        let inferer = parse_address("forecast.inferer", &element.inferer)?;
        let loss = number("forecast.loss", &element.loss)?;
        if loss <= Real::ZERO {
            let cause = "a predicted loss is above zero".to_string();
            return Err(TopicError::Value { field: "forecast.loss", cause }.into());
        }
        require_registered(ctx, &topic, role::WORKER, inferer)?;
        forecast.push((inferer.0, loss));
    }
    forecast.sort_by_key(|(inferer, _)| *inferer);
    if forecast.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        let cause = "an inferer is named twice".to_string();
        return Err(TopicError::Value { field: "forecast.inferer", cause }.into());
    }
    let heard = epoch.heard;
    let max = match topic.spec.rule {
        Rule::Regret => params.max_members_regret,
        _ => params.max_members,
    };
    if inference.is_some() && heard.inferers >= max {
        return Err(TopicError::Full { nonce, what: "inferers", max, next }.into());
    }
    if !forecast.is_empty() && heard.forecasters >= params.max_forecasters {
        let max = params.max_forecasters;
        return Err(TopicError::Full { nonce, what: "forecasters", max, next }.into());
    }
    // Nothing below can fail.
    let heard = Heard {
        inferers: heard.inferers + u32::from(inference.is_some()),
        forecasters: heard.forecasters + u32::from(!forecast.is_empty()),
        ..heard
    };
    EPOCHS.put(ctx.state, &(topic.id, nonce), &Epoch { heard, ..epoch });
    PAYLOADS.put(ctx.state, &key, &Payload { inference, forecast });
    ctx.emit(Event::new("payload").with("topic_id", topic.id).with("nonce", nonce));
    Ok(())
}

/// `MsgReportTruth`: what happened, from a reputer with something at stake.
pub(crate) fn report_truth(ctx: &mut Ctx, from: Address, m: &MsgReportTruth) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBMIT, "truth")?;
    let topic = load_topic(ctx, m.topic_id)?;
    require_registered(ctx, &topic, role::REPUTER, from)?;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, m.nonce))?.ok_or_else(|| no_epoch(&topic, m.nonce))?;
    let params = ctx.params;

    let (nonce, height) = (m.nonce, ctx.height);
    match epoch.state {
        EpochState::Scored => return Err(TopicError::Done { nonce, state: "scored" }.into()),
        EpochState::Void(_) => return Err(TopicError::Done { nonce, state: "void" }.into()),
        EpochState::Open | EpochState::Combined => {}
    }
    if height < epoch.truth_first || height > epoch.truth_last {
        let (first, last) = (epoch.truth_first, epoch.truth_last);
        return Err(TopicError::TruthWindow { nonce, first, last, height }.into());
    }
    let stake = STAKES.get(ctx.state, &(topic.id, from.0))?.ok_or(TopicError::NoStake(from))?;
    let key = (topic.id, nonce, from.0);
    if TRUTHS.contains(ctx.state, &key)? {
        return Err(TopicError::AlreadyReported { who: from, nonce }.into());
    }
    let value = check_value(&topic, "value", &m.value)?;
    if !topic.spec.loss.accepts(value.get()) {
        let cause = "the truth of a probability topic is 0 or 1".to_string();
        return Err(TopicError::Value { field: "value", cause }.into());
    }
    let evidence = match m.evidence.as_slice() {
        [] => None,
        bytes => Some(bytes.try_into().map_err(|_| TopicError::Value {
            field: "evidence",
            cause: format!("{} bytes, a hash has 32", bytes.len()),
        })?),
    };
    let heard = epoch.heard;
    let full = heard.reputers >= params.max_reputers;
    let displaced = if full { Some(lightest_reputer(ctx, &topic, nonce, stake)?) } else { None };
    // Nothing below can fail.
    if let Some(lightest) = displaced {
        TRUTHS.delete(ctx.state, &(topic.id, nonce, lightest.0));
        ctx.emit(
            Event::new("truth_displaced")
                .with("topic_id", topic.id)
                .with("nonce", nonce)
                .with("reputer", lightest),
        );
    } else {
        let heard = Heard { reputers: heard.reputers + 1, ..heard };
        EPOCHS.put(ctx.state, &(topic.id, nonce), &Epoch { heard, ..epoch });
    }
    TRUTHS.put(ctx.state, &key, &TruthReport { value, evidence });
    ctx.emit(Event::new("truth").with("topic_id", topic.id).with("nonce", nonce));
    Ok(())
}

/// Whoever must make room for a reputer with `stake` in a full window: the one with the least stake, if it is less.
/// Without this, a crowd of dust stakes that reports first would silence everybody else and be the truth.
fn lightest_reputer(ctx: &mut Ctx, topic: &Topic, nonce: u64, stake: u128) -> Result<Address, Failure> {
    let (max, next) = (ctx.params.max_reputers, topic.next_open);
    ctx.gas.charge(gas::FORECAST_ELEMENT * u64::from(max), "a place among reputers")?;
    let mut lightest: Option<(u128, Key)> = None;
    for ((.., account), _) in TRUTHS.scan_prefix(ctx.state, &(topic.id, nonce), usize::MAX)? {
        let other = STAKES.get(ctx.state, &(topic.id, account))?.unwrap_or(0);
        if lightest.is_none_or(|(least, _)| other < least) {
            lightest = Some((other, account));
        }
    }
    match lightest {
        Some((least, account)) if least < stake => Ok(Address(account)),
        _ => Err(TopicError::Full { nonce, what: "reputers with as much stake", max, next }.into()),
    }
}

fn load_topic(ctx: &Ctx, id: u64) -> Result<Topic, Failure> {
    if let Some(topic) = TOPICS.get(ctx.state, &id)? {
        return Ok(topic);
    }
    let last = NEXT_ID.get(ctx.state)?.unwrap_or(1) - 1;
    Err(TopicError::NoTopic(id, last).into())
}

fn require_registered(ctx: &Ctx, topic: &Topic, as_role: u8, who: Address) -> Result<(), Failure> {
    if REGISTRATIONS.contains(ctx.state, &(topic.id, as_role, who.0))? {
        return Ok(());
    }
    Err(TopicError::NotRegistered { who, as_role: role_name(as_role) }.into())
}

fn no_epoch(topic: &Topic, nonce: u64) -> TopicError {
    let hint = match (topic.active, topic.newest) {
        (false, _) => "the topic is not active yet: it needs a worker, stake and funding".to_string(),
        (true, 0) => format!("its first epoch opens at the end of block {}", topic.next_open),
        (true, _) => format!("its next epoch opens at the end of block {}", topic.next_open),
    };
    TopicError::NoEpoch { topic: topic.id, nonce, hint }
}

fn role_name(as_role: u8) -> &'static str {
    if as_role == role::WORKER { "worker" } else { "reputer" }
}

fn parse_address(field: &'static str, text: &str) -> Result<Address, TopicError> {
    text.parse().map_err(|e: dodona_proto::AddressError| TopicError::Value { field, cause: e.to_string() })
}

fn positive(text: &str) -> Result<u128, TopicError> {
    parse_amount(text).filter(|a| *a > 0).ok_or_else(|| TopicError::Amount(printable(text)))
}

fn number(field: &'static str, text: &str) -> Result<Real, TopicError> {
    Real::parse_submission(text).map_err(|cause| TopicError::Number { field, cause })
}

/// A number a topic can work with: probabilities stay within 0 and 1.
fn check_value(topic: &Topic, field: &'static str, text: &str) -> Result<Real, TopicError> {
    let value = number(field, text)?;
    if topic.spec.loss == Loss::LogLoss && !(0.0..=1.0).contains(&value.get()) {
        return Err(TopicError::Value { field, cause: "a probability lies between 0 and 1".into() });
    }
    Ok(value)
}

/// Checks a description as a whole. The text of each refusal says what the field allows.
fn check_spec(spec: Option<&wire::TopicSpec>) -> Result<(Spec, Texts), TopicError> {
    let wrong = |field: &'static str, cause: &str| TopicError::Spec { field, cause: cause.to_string() };
    let spec = spec.ok_or_else(|| wrong("spec", "is missing"))?;
    let text = |field: &'static str, text: &String, least: usize, most: usize| {
        if text.len() < least || text.len() > most || text.chars().any(char::is_control) {
            return Err(wrong(field, &format!("needs {least} to {most} bytes without control characters")));
        }
        Ok(text.clone())
    };
    // A number without a meaning must not become the default in silence.
    let rule = wire::Rule::try_from(spec.rule).map_err(|_| wrong("rule", "is none of 0 to 4"))?;
    let loss = wire::Loss::try_from(spec.loss).map_err(|_| wrong("loss", "is none of 0 to 3"))?;
    let rule = match rule {
        wire::Rule::Unspecified | wire::Rule::Power => Rule::Power,
        wire::Rule::Regret => Rule::Regret,
        wire::Rule::Median => Rule::Median,
        wire::Rule::Mean => Rule::Mean,
    };
    let loss = match loss {
        wire::Loss::Unspecified | wire::Loss::Squared => Loss::Squared,
        wire::Loss::Absolute => Loss::Absolute,
        wire::Loss::Log => Loss::LogLoss,
    };
    let blocks = |field: &'static str, value: u64, least: u64| {
        if value < least || value > MAX_BLOCKS {
            return Err(wrong(field, &format!("needs {least} to {MAX_BLOCKS} blocks")));
        }
        Ok(value)
    };
    let epoch_length = blocks("epoch_length", spec.epoch_length, 1)?;
    let worker_window = blocks("worker_window", spec.worker_window, 1)?;
    let truth_lag = blocks("truth_lag", spec.truth_lag, 1)?;
    let truth_window = blocks("truth_window", spec.truth_window, 1)?;
    if worker_window > epoch_length {
        return Err(wrong("worker_window", "must not be longer than epoch_length"));
    }
    if truth_lag < worker_window {
        return Err(wrong(
            "truth_lag",
            "must not be shorter than worker_window: nobody answers after the fact",
        ));
    }
    if (truth_lag + truth_window) / epoch_length > MAX_WAITING {
        return Err(wrong(
            "truth_lag",
            &format!("at most {MAX_WAITING} epochs may wait for their truth at once"),
        ));
    }
    let defaults = PowerConfig::for_loss(loss);
    let real = |field: &'static str, text: &str, default: Real| match text {
        "" => Ok(default),
        text => text.parse::<Real>().map_err(|e| wrong(field, &e.to_string())),
    };
    let optional = |field: &'static str, text: &str, default: Option<Real>| match text {
        "" => Ok(default),
        "off" => Ok(None),
        text => text.parse::<Real>().map(Some).map_err(|e| wrong(field, &e.to_string())),
    };
    let power = PowerConfig {
        kappa: if spec.kappa == 0 { defaults.kappa } else { spec.kappa },
        alpha: real("alpha", &spec.alpha, defaults.alpha)?,
        cap: optional("cap", &spec.cap, defaults.cap)?,
        clamp: optional("clamp", &spec.clamp, defaults.clamp)?,
        gain: real("gain", &spec.gain, defaults.gain)?,
        pool: if spec.log_pool || defaults.pool == Pool::Log { Pool::Log } else { Pool::Linear },
        ..defaults
    };
    power.validate().map_err(|e| wrong("power rule settings", &e.to_string()))?;
    if rule == Rule::Regret && loss == Loss::LogLoss {
        return Err(wrong(
            "rule",
            "the regret rule takes logarithms of losses itself; use squared or absolute",
        ));
    }
    let texts = Texts {
        title: text("title", &spec.title, 1, 80)?,
        target: text("target", &spec.target, 0, 255)?,
        unit: text("unit", &spec.unit, 0, 32)?,
        truth_source: text("truth_source", &spec.truth_source, 0, 255)?,
    };
    Ok((Spec { rule, loss, epoch_length, worker_window, truth_lag, truth_window, power }, texts))
}
