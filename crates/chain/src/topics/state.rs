//! Everything topics store: key, value, who writes it, what always holds.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    Real,
    topic::{
        combine::{Rule, Synthesis},
        interval::Interval,
        loss::Loss,
        power::{MemberState, PowerConfig, PowerOpening, TopicState},
        regret,
    },
};
use dodona_proto::Address;
use dodona_store::{Item, Map};

/// An account inside a key.
pub type Key = [u8; 20];

/// Next topic id; the first is 1. Written by create_topic.
pub const NEXT_ID: Item<u64> = Item::new(*b"tn");
/// Topic id → what people read about it. Written by create_topic, once.
pub const TEXTS: Map<u64, Texts> = Map::new(*b"tx");
/// Topic id → topic; without texts, because every message reads it. Written by create_topic, register, add_stake, fund_topic and at every step of an epoch.
pub const TOPICS: Map<u64, Topic> = Map::new(*b"tt");
/// Topic id → uallo waiting to be paid to participants. Written by begin of block, fund_topic and at scoring.
/// The sum over topics is the balance of the pot account.
pub const POTS: Map<u64, u128> = Map::new(*b"tp");
/// The heaviest active topics with the weight by which emission is split, by id; at most
/// [`super::schedule::EMISSION_TOPICS`]. Written when stake, funding or activity change.
pub const WEIGHTS: Item<Vec<(u64, Real)>> = Item::new(*b"tw");
/// (Topic, role, account) → registration. Written by register.
pub const REGISTRATIONS: Map<(u64, u8, Key), Registration> = Map::new(*b"tr");
/// (Topic, reputer) → own stake, uallo, above zero. The sum is the balance of the stake account. Written by add_stake.
pub const STAKES: Map<(u64, Key), u128> = Map::new(*b"ts");
/// (Topic, part, account) → record of a member. Written when it is first heard and whenever it is scored.
pub const MEMBERS: Map<(u64, u8, Key), Member> = Map::new(*b"tm");
/// (Topic, nonce) → where an epoch stands: small, because every payload and truth reads it. Written by both and when
/// it opens, is combined, is scored or void; deleted beyond the retention. Nonces of a topic are evenly spaced, without a gap
/// from `Topic::oldest` on.
pub const EPOCHS: Map<(u64, u64), Epoch> = Map::new(*b"te");
/// (Topic, nonce) → who said what in an epoch and what came of it. Written when combined and when scored; deleted
/// with its epoch.
pub const RECORDS: Map<(u64, u64), Record> = Map::new(*b"tc");
/// (Topic, nonce) → the network's answer alone: small, so that its proof is. Written once, when combined.
pub const INFERENCES: Map<(u64, u64), NetworkInference> = Map::new(*b"ti");
/// (Topic, nonce, account) → payload of an open window. Written by submit_payload, deleted when combined.
pub const PAYLOADS: Map<(u64, u64, Key), Payload> = Map::new(*b"ty");
/// (Topic, nonce, account) → reported truth. Written by report_truth, deleted when scored.
pub const TRUTHS: Map<(u64, u64, Key), TruthReport> = Map::new(*b"tu");
/// (Topic, nonce) → what closing the epoch needs. Written when combined, deleted when scored or void.
pub const OPENINGS: Map<(u64, u64), Opening> = Map::new(*b"to");
/// Topic → memory of the regret rule. Written at scoring of topics under that rule.
pub const REGRETS: Map<u64, RegretMemory> = Map::new(*b"tg");
/// (Block, phase, topic, nonce) → work due in that block, in the order of the key. Deleted when done.
pub const DUE: Map<(u64, u8, u64, u64), ()> = Map::new(*b"td");

/// Phases of a block's end, in their order.
pub mod phase {
    /// Truths are scored.
    pub const SCORE: u8 = 0;
    /// Answers are combined.
    pub const COMBINE: u8 = 1;
    /// New questions are asked.
    pub const OPEN: u8 = 2;
}

/// Roles an account registers for.
pub mod role {
    /// Submits inferences and forecasts.
    pub const WORKER: u8 = 1;
    /// Brings truth.
    pub const REPUTER: u8 = 2;
}

/// Parts a member plays, each with a record of its own.
pub mod part {
    /// Answers.
    pub const INFERER: u8 = 1;
    /// Predicts how wrong the answers will be.
    pub const FORECASTER: u8 = 2;
    /// Brings truth.
    pub const REPUTER: u8 = 3;
}

/// A question asked again and again.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Topic {
    /// Dense from 1.
    pub id: u64,
    /// Who created it.
    pub creator: Address,
    /// Fixed for the topic's life.
    pub spec: Spec,
    /// Block of creation.
    pub created: u64,
    /// Sum of its reputers' stake.
    pub stake: u128,
    /// Paid by consumers so far. The same tokens can come round again, so this and the other running sums of
    /// payments are not bounded by the supply; they stop at the largest number.
    pub funded: u128,
    /// Paid to participants so far.
    pub paid: u128,
    /// Registered workers.
    pub workers: u32,
    /// Registered reputers.
    pub reputers: u32,
    /// Whether it asks questions.
    pub active: bool,
    /// Block at whose end the next epoch opens; 0 while inactive.
    pub next_open: u64,
    /// Epochs opened, combined, scored, void. opened >= combined >= scored.
    pub opened: u64,
    /// See `opened`.
    pub combined: u64,
    /// See `opened`.
    pub scored: u64,
    /// Epochs that ended without a score.
    pub void: u64,
    /// Nonce of the newest combined epoch; 0 before the first.
    pub newest: u64,
    /// Nonce of the oldest epoch in state; 0 before the first.
    pub oldest: u64,
    /// Sums of losses over scored epochs.
    pub sums: LossSums,
    /// Memory of the power rule; its error scale is kept under every rule.
    pub power: TopicState,
}

/// Sums of raw losses over all scored epochs.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LossSums {
    /// Of the network inference.
    pub network: Real,
    /// Of the plain mean of the inferences.
    pub mean: Real,
    /// Of their median.
    pub median: Real,
}

/// What a topic under the regret rule remembers besides its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegretMemory {
    /// Regrets of the members known; those heard longest ago are forgotten when there are too many.
    pub regrets: regret::RegretState<Key>,
    /// What smooths the split of rewards.
    pub split: Split,
}

/// What smooths the split between roles under the regret rule (topics §7.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Split {
    /// Score history of inferers, newest last, bounded.
    pub inferer_scores: Vec<Real>,
    /// Score history of forecasters, newest last, bounded.
    pub forecaster_scores: Vec<Real>,
    /// Smoothed reward fractions.
    pub inferers: Vec<(Key, Real)>,
    /// Smoothed reward fractions.
    pub forecasters: Vec<(Key, Real)>,
    /// Smoothed reward fractions.
    pub reputers: Vec<(Key, Real)>,
    /// Forecasters' score ratio τ.
    pub tau: Real,
}

/// The words of a topic's description.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Texts {
    /// Short name.
    pub title: String,
    /// What exactly is predicted.
    pub target: String,
    /// Unit of the answers.
    pub unit: String,
    /// Where reputers read the truth.
    pub truth_source: String,
}

/// The numbers of the description a topic was created from, checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Spec {
    /// How answers are combined.
    pub rule: Rule,
    /// What a wrong answer costs.
    pub loss: Loss,
    /// Blocks between questions.
    pub epoch_length: u64,
    /// Blocks in which answers are accepted.
    pub worker_window: u64,
    /// Blocks from question to truth.
    pub truth_lag: u64,
    /// Blocks in which truths are accepted.
    pub truth_window: u64,
    /// Settings of the power rule.
    pub power: PowerConfig,
}

/// An account's part in a topic.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Registration {
    /// Who is paid.
    pub owner: Address,
    /// Shown on leaderboards, may be empty.
    pub name: String,
    /// Block of registration.
    pub since: u64,
}

/// What is remembered of a member in one part.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Combined epochs of the topic before this member was first heard.
    pub since: u64,
    /// Epochs in which it was heard.
    pub heard: u64,
    /// Block in which it was last heard.
    pub last: u64,
    /// Epochs in which it was scored.
    pub scored: u64,
    /// Sum of its raw losses (reputers: of distances to the truth) over scored epochs.
    pub loss_sum: Real,
    /// Mean loss and score average of the power rule. Under other rules only the score average is used.
    pub state: MemberState,
    /// Weight in the newest inference it was part of.
    pub weight: Real,
    /// Paid so far, uallo.
    pub earned: u128,
}

impl Member {
    /// A member heard for the first time, after `combined` epochs of its topic.
    pub fn new(combined: u64) -> Self {
        Self {
            since: combined,
            heard: 0,
            last: 0,
            scored: 0,
            loss_sum: Real::ZERO,
            state: MemberState::default(),
            weight: Real::ZERO,
            earned: 0,
        }
    }
}

/// Life of an epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EpochState {
    /// Answers are accepted.
    Open,
    /// The network has answered; truth is awaited.
    Combined,
    /// Truth is known, everybody is scored and paid.
    Scored,
    /// Ended without a score, for this reason.
    Void(Void),
}

/// Why an epoch has no score.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Void {
    /// No worker answered in the window.
    NoInference,
    /// No reputer reported in the window.
    NoTruth,
    /// The numbers led to no finite result.
    Arithmetic,
}

impl Void {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoInference => "no worker answered in the window",
            Self::NoTruth => "no reputer reported the truth in the window",
            Self::Arithmetic => "the numbers submitted lead to no finite result",
        }
    }
}

/// One asking of a topic's question, named by its nonce: the block at whose end it opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Epoch {
    /// Consecutive number within the topic, from 0.
    pub index: u64,
    /// Where it stands.
    pub state: EpochState,
    /// Last block that accepts payloads; the first is nonce + 1.
    pub worker_last: u64,
    /// First block that accepts truths.
    pub truth_first: u64,
    /// Last block that accepts truths.
    pub truth_last: u64,
    /// Who spoke so far.
    pub heard: Heard,
}

impl Epoch {
    /// Whether it still has a step before it.
    pub fn waits(&self) -> bool {
        matches!(self.state, EpochState::Open | EpochState::Combined)
    }
}

/// The public record of an epoch that has an answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// Since combined.
    pub answer: Answer,
    /// Since scored.
    pub outcome: Option<Outcome>,
}

/// What the network said, and who contributed what.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer {
    /// Block at whose end it was combined.
    pub at: u64,
    /// The network inference.
    pub combined: Real,
    /// Without forecasters.
    pub naive: Real,
    /// Plain mean of the inferences.
    pub mean: Real,
    /// Their median.
    pub median: Real,
    /// Error bar.
    pub interval: Interval,
    /// Inferers by address, then forecasters by address.
    pub parts: Vec<Part>,
}

/// One member's contribution to an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Part {
    /// Whose.
    pub account: Key,
    /// Predicts the others' losses instead of the target.
    pub forecaster: bool,
    /// Inference, or what the forecast implies; absent for a forecast that implies nothing.
    pub value: Option<Real>,
    /// Share in the network inference.
    pub weight: Real,
    /// What the network would have said without it.
    pub one_out: Option<Real>,
    /// Since scored.
    pub loss: Option<Real>,
    /// Since scored: this epoch's score.
    pub score: Option<Real>,
    /// Since scored: uallo.
    pub reward: u128,
}

/// How an epoch ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outcome {
    /// Block at whose end it was scored.
    pub at: u64,
    /// What happened, as the reputers agreed.
    pub truth: Real,
    /// Raw losses of network, mean and median.
    pub losses: LossSums,
    /// Reputers by address.
    pub reports: Vec<Report>,
    /// Paid for this epoch, uallo.
    pub reward: u128,
}

/// One reputer's contribution to an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// Whose.
    pub account: Key,
    /// What it reported.
    pub value: Real,
    /// Closeness to the agreed truth, 0 to 1.
    pub score: Real,
    /// uallo.
    pub reward: u128,
}

/// The network's answer, as it is proven to strangers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NetworkInference {
    /// Topic.
    pub topic: u64,
    /// Epoch.
    pub nonce: u64,
    /// The network inference.
    pub value: Real,
    /// Error bar.
    pub interval: Interval,
    /// How many members it was made of.
    pub members: u32,
}

/// A worker's word for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Payload {
    /// Answer.
    pub inference: Option<Real>,
    /// Predicted losses by inferer, sorted.
    pub forecast: Vec<(Key, Real)>,
}

/// A reputer's word for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TruthReport {
    /// What happened.
    pub value: Real,
    /// Hash of the raw source answer.
    pub evidence: Option<[u8; 32]>,
}

/// How many were heard in an epoch so far.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Heard {
    /// Inferences.
    pub inferers: u32,
    /// Forecasts.
    pub forecasters: u32,
    /// Truths.
    pub reputers: u32,
}

/// What a rule keeps between answer and truth. Members are those of the answer, in its order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Opening {
    /// Power rule.
    Power(PowerOpening),
    /// Regret rule.
    Regret(regret::RegretOpening),
    /// Mean and median, with the inferences they were made of.
    Plain(Synthesis, Vec<Real>),
}
