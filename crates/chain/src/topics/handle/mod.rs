//! One function per message, in four beats: load (each absence its own refusal), refuse, nothing below can fail,
//! write and tell. Here: why topics refuse, and what several messages share.

mod payload;
mod register;
mod relay;
mod report;
mod seal;
mod spec;
mod topic;

use dodona_mechanism::{MathError, Real};
use dodona_proto::Address;

pub(crate) use payload::{submit as submit_for, submit_payload};
pub(crate) use register::{register, transfer_ownership, unregister};
pub(crate) use relay::relay;
pub use relay::relay_bytes;
pub(super) use report::least_stake;
pub(crate) use report::{losses as losses_for, report_losses, report_truth};
pub(crate) use seal::{open_payload, seal_payload};
pub use spec::{Checked, check_spec};
pub(crate) use topic::{create_topic, fund_topic, update_topic};

use super::{
    CODESPACE, schedule,
    stake::require_balance,
    state::{NEXT_ID, REGISTRATIONS, TOPICS, Topic, role},
};
use crate::{
    accounts, bank,
    ctx::Ctx,
    error::{Coded, Failure},
    text::{parse_amount, printable},
};

/// Why a topic refuses. Codes never change meaning; 13, 23, 67, 68, 75 and 78 are the ones that published
/// clients of such topics know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum TopicError {
    #[error("invalid {field}: {cause}")]
    Spec { field: &'static str, cause: String },
    #[error(
        "{as_role} is not registered in this topic: address not registered: {who}; register as {as_role} first"
    )]
    NotRegistered { who: Address, as_role: &'static str },
    #[error("{who} is already registered as {as_role} since block {since}")]
    AlreadyRegistered { who: Address, as_role: &'static str, since: u64 },
    #[error("topic {0} does not exist: invalid topic ID; {known}", known = known_topics(*.1))]
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
    #[error("stake behind reputer {who} is {has}uallo, {needs}uallo are needed to be heard; add stake first")]
    LowStake { who: Address, has: u128, needs: u128 },
    #[error("invalid amount `{0}`; send a positive integer number of uallo")]
    Amount(String),
    #[error("unfulfilled nonce not found: epoch {nonce} is {state}, it accepts nothing more")]
    Done { nonce: u64, state: &'static str },
    #[error("{who} may not {what}: not permitted; ask whoever keeps the list")]
    NotPermitted { who: Address, what: &'static str },
    #[error(
        "{as_role} {who} is not permitted to submit payload or stake in this topic; ask whoever keeps its list"
    )]
    NotListed { who: Address, as_role: &'static str },
    #[error(
        "worker window not available: {field} cannot change while epoch {nonce} accepts payloads, until block {last}"
    )]
    Guarded { field: &'static str, nonce: u64, last: u64 },
    #[error("label `{label}`: {cause}")]
    Label { label: String, cause: String },
    #[error("losses do not match what the network published for epoch {nonce}: {cause}")]
    Bundle { nonce: u64, cause: String },
    #[error("topic {topic} takes {takes}: send {message}")]
    Mode { topic: u64, takes: &'static str, message: &'static str },
    #[error("{who} has {has}uallo staked here, {needs}uallo were asked for")]
    StakeShort { who: Address, has: u128, needs: u128 },
    #[error("{who} has delegated nothing upon {reputer} in this topic")]
    NoDelegation { who: Address, reputer: Address },
    #[error("{0} has no stake on its way out in this topic")]
    NoRemoval(Address),
    #[error("relayed message: {0}")]
    Relay(String),
    #[error(
        "answers of topic {topic} are sealed: send MsgSealPayload until block {last}, and open it afterwards"
    )]
    SealedTopic { topic: u64, last: u64 },
    #[error("answers of topic {0} are not sealed: send MsgSubmitPayload")]
    OpenTopic(u64),
    #[error(
        "worker nonce window not available: epoch {nonce} accepts seals in blocks {first} to {last}, this is block {height}; next epoch opens after block {next}"
    )]
    SealWindow { nonce: u64, first: u64, last: u64, height: u64, next: u64 },
    #[error(
        "worker nonce window not available: seals of epoch {nonce} are opened in blocks {first} to {last}, this is block {height}; next epoch opens after block {next}"
    )]
    RevealWindow { nonce: u64, first: u64, last: u64, height: u64, next: u64 },
    #[error(
        "{who} sealed nothing for epoch {nonce}: there is nothing to open; the next epoch opens after block {next}"
    )]
    NotSealed { who: Address, nonce: u64, next: u64 },
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
            Self::LowStake { .. } => 46,
            Self::Amount(_) => 47,
            Self::NotPermitted { .. } | Self::NotListed { .. } => 48,
            Self::Label { .. } => 49,
            Self::Bundle { .. } => 50,
            Self::Mode { .. } => 51,
            Self::StakeShort { .. } => 52,
            Self::NoDelegation { .. } => 53,
            Self::NoRemoval(_) => 54,
            Self::Relay(_) => 55,
            Self::SealedTopic { .. } | Self::OpenTopic(_) => 56,
            Self::NotSealed { .. } => 57,
            Self::WorkerWindow { .. }
            | Self::SealWindow { .. }
            | Self::RevealWindow { .. }
            | Self::Guarded { .. } => 67,
            Self::TruthWindow { .. } => 68,
            Self::NoEpoch { .. } | Self::Done { .. } => 75,
            Self::AlreadySubmitted { .. } | Self::AlreadyReported { .. } => 78,
        }
    }
}

/// What topics there are, for whoever asked for another.
fn known_topics(last: u64) -> String {
    match last {
        0 => "there is no topic yet".into(),
        last => format!("topics are numbered from 1 to {last}"),
    }
}

pub(super) fn load_topic(ctx: &Ctx, id: u64) -> Result<Topic, Failure> {
    if let Some(topic) = TOPICS.get(ctx.state, &id)? {
        return Ok(topic);
    }
    let last = NEXT_ID.get(ctx.state)?.unwrap_or(1) - 1;
    Err(TopicError::NoTopic(id, last).into())
}

pub(super) fn require_registered(ctx: &Ctx, topic: &Topic, as_role: u8, who: Address) -> Result<(), Failure> {
    if REGISTRATIONS.contains(ctx.state, &(topic.id, as_role, who.0))? {
        return Ok(());
    }
    Err(TopicError::NotRegistered { who, as_role: role_name(as_role) }.into())
}

fn role_name(as_role: u8) -> &'static str {
    role::name(as_role)
}

pub(super) fn parse_address(field: &'static str, text: &str) -> Result<Address, TopicError> {
    text.parse().map_err(|e: dodona_proto::AddressError| TopicError::Value { field, cause: e.to_string() })
}

pub(super) fn positive(text: &str) -> Result<u128, TopicError> {
    parse_amount(text).filter(|a| *a > 0).ok_or_else(|| TopicError::Amount(printable(text)))
}

fn number(field: &'static str, text: &str) -> Result<Real, TopicError> {
    Real::parse_submission(text).map_err(|cause| TopicError::Number { field, cause })
}

/// Whether a fee can be paid; the second half of the promise is [`charge`].
fn require_fee(ctx: &Ctx, payer: Address, fee: u128) -> Result<(), Failure> {
    require_balance(ctx, payer, fee)
}

/// Takes a fee or funding for a topic: tokens to the ecosystem, where they replace new ones, and the same number to the
/// topic's revenue, which may wake it. The caller has checked the balance and stores the topic.
fn charge(ctx: &mut Ctx, topic: &mut Topic, payer: Address, amount: u128) -> Result<(), Failure> {
    if amount == 0 {
        return Ok(());
    }
    bank::transfer(ctx.state, payer, accounts::ecosystem(), amount)?;
    topic.revenue = topic.revenue.saturating_add(amount);
    schedule::wake(ctx, topic)
}

fn no_epoch(topic: &Topic, nonce: u64) -> TopicError {
    let hint = match (topic.active, topic.opened) {
        (false, _) => "the topic sleeps: it needs stake and funding".to_string(),
        (true, 0) => format!("its first epoch opens at the end of block {}", topic.next_open),
        (true, _) => format!("its next epoch opens at the end of block {}", topic.next_open),
    };
    TopicError::NoEpoch { topic: topic.id, nonce, hint }
}
