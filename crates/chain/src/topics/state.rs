//! Everything topics store: key, value, who writes it, what always holds. Stake has its own file.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    Real,
    per_share::PerShare,
    topic::{
        combine::{Losses, Rule, Synthesis},
        interval::Interval,
        loss::Loss,
        outlier::OutlierState,
        power::{MemberState, PowerConfig, PowerOpening, TopicState},
        regret::{self, RegretConfig},
    },
};
use dodona_proto::Address;
use dodona_store::{Item, Map};

/// An account inside a key.
pub type Key = [u8; 20];
/// Memory of the regret rule, members named by account.
pub type RegretState = regret::RegretState<Key>;

/// Next topic id; the first is 1. Written by create_topic.
pub const NEXT_ID: Item<u64> = Item::new(*b"tn");
/// Topic id → what people read about it. Written by create_topic and update_topic.
pub const TEXTS: Map<u64, Texts> = Map::new(*b"tx");
/// Topic id → topic; without texts, because every message reads it. Written by everything that concerns the topic.
pub const TOPICS: Map<u64, Topic> = Map::new(*b"tt");
/// Topic id → labels its answers may have, canonical, sorted; absent: any. Written by create_topic and update_topic.
pub const LABELS: Map<u64, Vec<String>> = Map::new(*b"tl");
/// Topic id → uallo settled for its coming epochs. Written when the topic settles and when an epoch ends. The sum
/// over topics, and what is still to be settled, is at most the balance of the rewards account.
pub const POTS: Map<u64, u128> = Map::new(*b"tp");
/// The rewards all active topics share by weight. Written at begin of block and whenever a weight changes.
pub const SHARED: Item<Shared> = Item::new(*b"tw");
/// (Topic, role, account) → registration. Written by register, unregister and transfer_ownership.
pub const REGISTRATIONS: Map<(u64, u8, Key), Registration> = Map::new(*b"tr");
/// (Role, account, topic counted down): the same, to be found by account, newest topic first. Written by register and
/// unregister.
pub const ROLES: Map<(u8, Key, u64), ()> = Map::new(*b"t6");
/// (Topic, part, account) → record of a member. Written when it is first heard, whenever it submits and is scored.
pub const MEMBERS: Map<(u64, u8, Key), Member> = Map::new(*b"tm");
/// (Topic, nonce) → where an epoch stands: small, because every payload and report reads it. Written by both and when
/// it opens, is combined, is scored or void; deleted beyond the retention.
pub const EPOCHS: Map<(u64, u64), Epoch> = Map::new(*b"te");
/// (Topic, number of the epoch) → nonce. Written when it opens, deleted with its epoch.
pub const NONCES: Map<(u64, u64), u64> = Map::new(*b"tv");
/// (Topic, nonce) → who said what in an epoch and what came of it. Written when combined and when scored; deleted
/// with its epoch.
pub const RECORDS: Map<(u64, u64), Record> = Map::new(*b"tc");
/// (Topic, nonce) → the answer without outliers, where there are any. Written when combined; deleted with its epoch.
pub const RESISTANT: Map<(u64, u64), Answer> = Map::new(*b"tz");
/// (Topic, nonce) → the network's answer alone: small, so that its proof is. Written once, when combined.
pub const INFERENCES: Map<(u64, u64), NetworkInference> = Map::new(*b"ti");
/// Topic id → the newest of its [`INFERENCES`], so that one proof shows that it is the newest, or that there is none
/// yet. Written when combined; never deleted.
pub const NEWEST: Map<u64, NetworkInference> = Map::new(*b"t7");
/// (Topic, nonce) → forecasts that counted, forecasters by address. Written when combined; deleted with its epoch.
pub const FORECASTS: Map<(u64, u64), Vec<(Key, Elements)>> = Map::new(*b"tf");
/// (Topic, nonce) → losses of an epoch. Written when scored; deleted with its epoch.
pub const LOSSES: Map<(u64, u64), EpochLosses> = Map::new(*b"tk");
/// (Topic, nonce) → labels of an epoch, in the order of its columns; grows in the window, frozen when combined. Topics
/// of several labels only. Deleted with its epoch.
pub const REGISTRY: Map<(u64, u64), Vec<String>> = Map::new(*b"tb");
/// (Topic, nonce, account) → payload of an open window. Written by submit_payload, deleted when combined.
pub const PAYLOADS: Map<(u64, u64, Key), Payload> = Map::new(*b"ty");
/// (Topic, nonce, account) → digest of a word that was not opened yet. Topics with sealed answers only. Written by
/// seal_payload, deleted by open_payload and when combined.
pub const SEALS: Map<(u64, u64, Key), [u8; 32]> = Map::new(*b"t8");
/// (Topic, nonce, part, account): members whose seal was never opened: scored like the worst. Written when combined;
/// deleted with its epoch.
pub const UNOPENED: Map<(u64, u64, u8, Key), ()> = Map::new(*b"t9");
/// (Topic, nonce, account) → a reputer's word. Written by report_truth and report_losses, deleted when scored.
pub const REPORTS: Map<(u64, u64, Key), Report> = Map::new(*b"tu");
/// (Topic, nonce, account): reputers who brought losses and were not, or no more, admitted: they have had their word.
/// Deleted when the epoch ends.
pub const UNHEARD: Map<(u64, u64, Key), ()> = Map::new(*b"t5");
/// (Topic, nonce, part, rank, account): who is admitted, in the order in which it would have to go. Written by
/// admission, deleted when the window closes.
pub const ADMITTED: Map<(u64, u64, u8, u64, Key), ()> = Map::new(*b"ta");
/// (Topic, nonce) → what closing the epoch needs. Written when combined, deleted when scored or void.
pub const OPENINGS: Map<(u64, u64), Opening> = Map::new(*b"to");
/// Topic → memory of the regret rule. Written at scoring of topics under that rule.
pub const REGRETS: Map<u64, RegretState> = Map::new(*b"tg");
/// Topic → what smooths the split of rewards. Written at scoring of topics paid by entropy.
pub const SPLITS: Map<u64, Split> = Map::new(*b"tq");
/// (Block, phase, topic, nonce) → work due in that block, in the order of the key. Deleted when done.
pub const DUE: Map<(u64, u8, u64, u64), ()> = Map::new(*b"td");
/// Tokens paid to reputers and to all participants since the last recalculation of the emission. Written at scoring.
pub const PAID: Item<Paid> = Item::new(*b"tj");

/// Phases of a block's end, in their order.
pub mod phase {
    /// Truths are scored.
    pub const SCORE: u8 = 0;
    /// Answers are combined.
    pub const COMBINE: u8 = 1;
    /// New questions are asked.
    pub const OPEN: u8 = 2;
    /// Reporters of truths are called.
    pub const TRUTH: u8 = 3;
}

/// Roles an account registers for.
pub mod role {
    /// Submits inferences and forecasts.
    pub const WORKER: u8 = 1;
    /// Brings truth.
    pub const REPUTER: u8 = 2;

    /// For people and for the wire.
    pub fn name(role: u8) -> &'static str {
        if role == WORKER { "worker" } else { "reputer" }
    }
}

/// Parts a member plays, each with a record of its own.
pub mod part {
    /// Answers.
    pub const INFERER: u8 = 1;
    /// Predicts how wrong the answers will be.
    pub const FORECASTER: u8 = 2;
    /// Brings truth.
    pub const REPUTER: u8 = 3;

    /// For people and for the wire.
    pub fn name(part: u8) -> &'static str {
        match part {
            INFERER => "inferer",
            FORECASTER => "forecaster",
            _ => "reputer",
        }
    }
}

/// Values by place in an epoch's registry of labels; place 0 in topics of one label.
pub type Places = Vec<(u32, Real)>;

/// Predicted losses by inferer, sorted.
pub type Elements = Vec<(Key, Real)>;

/// A question asked again and again.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Topic {
    /// Dense from 1.
    pub id: u64,
    /// Who created it.
    pub creator: Address,
    /// How it works.
    pub spec: Spec,
    /// Block of creation.
    pub created: u64,
    /// Sum of its reputers' stake, own and delegated.
    pub stake: u128,
    /// Fees and funding, dripping away by the week: what its weight is made of. A number, not tokens.
    pub revenue: u128,
    /// Paid by consumers so far. The same tokens can come round again, so this and the other running sums of
    /// payments are not bounded by the supply; they stop at the largest number.
    pub funded: u128,
    /// Paid to participants so far.
    pub paid: u128,
    /// Smoothed weight; none before the end of its first epoch.
    pub weight: Option<Real>,
    /// Shares of the emission it holds while active: its weight as an integer.
    pub shares: u128,
    /// Up to where it has settled its part of the emission.
    pub settled: PerShare,
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
    /// Nonce of the newest epoch opened; 0 before the first.
    pub last_opened: u64,
    /// Newest combined epoch; zeros before the first.
    pub last_combined: Commit,
    /// Newest scored epoch; zeros before the first.
    pub last_scored: Commit,
    /// Number of the oldest epoch in state; the numbers from here to `opened` are all there.
    pub oldest: u64,
    /// Members ever heard, per part.
    pub heard: [u64; 3],
    /// Sums of losses over scored epochs.
    pub sums: LossSums,
    /// Memory of the power rule; its error scale is kept under every rule that knows the truth.
    pub power: TopicState,
    /// What tells outliers from answers.
    pub outlier: OutlierState,
    /// What admission remembers: inferers, forecasters, reputers.
    pub admission: [Admission; 3],
}

impl Topic {
    /// A topic that sleeps: without members, stake or revenue.
    pub fn new(id: u64, creator: Address, spec: Spec, created: u64) -> Self {
        Self {
            id,
            creator,
            spec,
            created,
            stake: 0,
            revenue: 0,
            funded: 0,
            paid: 0,
            weight: None,
            shares: 0,
            settled: PerShare::default(),
            workers: 0,
            reputers: 0,
            active: false,
            next_open: 0,
            opened: 0,
            combined: 0,
            scored: 0,
            void: 0,
            last_opened: 0,
            last_combined: Commit::default(),
            last_scored: Commit::default(),
            oldest: 0,
            heard: [0; 3],
            sums: LossSums::default(),
            power: TopicState::default(),
            outlier: OutlierState::default(),
            admission: [Admission::default(); 3],
        }
    }

    /// What admission remembers of a part.
    pub fn admission(&self, part: u8) -> &Admission {
        &self.admission[usize::from(part.clamp(1, 3)) - 1]
    }

    /// [`Topic::admission`], to write.
    pub fn admission_mut(&mut self, part: u8) -> &mut Admission {
        &mut self.admission[usize::from(part.clamp(1, 3)) - 1]
    }

    /// Epochs that still have a step before them.
    pub fn waiting(&self) -> u64 {
        self.opened - self.scored - self.void
    }

    /// Epochs since a member was first heard in a part in which it was not.
    pub fn missed(&self, part: u8, member: &Member) -> u64 {
        let chances = if part == part::REPUTER { self.scored } else { self.combined };
        chances.saturating_sub(member.since).saturating_sub(member.heard)
    }
}

/// When a step of an epoch was made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// Block.
    pub height: u64,
    /// Epoch.
    pub nonce: u64,
}

/// What admission remembers of a role in a topic (topics §3.6).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Admission {
    /// Low quantile of the newest scores: whom refused members drift towards.
    pub quantile: Real,
    /// Where newcomers start.
    pub initial: Real,
}

/// Rewards on their way to topics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shared {
    /// Shares of all active topics.
    pub shares: u128,
    /// Paid per share since genesis.
    pub per_share: PerShare,
    /// What topics got in the newest block.
    pub newest: u128,
}

/// Tokens paid since the last recalculation of the emission.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Paid {
    /// To reputers and their delegators.
    pub reputers: u128,
    /// To everybody.
    pub all: u128,
}

/// Sums of raw losses over all scored epochs.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LossSums {
    /// Of the network inference.
    pub network: Real,
    /// Of the plain mean of the inferences; only where the truth itself is known.
    pub mean: Real,
    /// Of their median; only where the truth itself is known.
    pub median: Real,
}

/// What smooths the split between roles (topics §7.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Split {
    /// Score history of inferers, newest last, bounded.
    pub inferer_scores: Vec<Real>,
    /// Score history of forecasters, newest last, bounded.
    pub forecaster_scores: Vec<Real>,
    /// Smoothed reward fractions of those in the newest scored epoch, by address.
    pub inferers: Vec<(Key, Real)>,
    /// The same.
    pub forecasters: Vec<(Key, Real)>,
    /// The same.
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
    /// How far ahead.
    pub horizon: String,
    /// Where reputers read the truth.
    pub truth_source: String,
    /// How doubtful cases are decided.
    pub resolution: String,
    /// Anything.
    pub metadata: String,
    /// How reputers who bring losses compute them.
    pub loss_method: String,
}

/// What reputers bring.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TruthMode {
    /// What happened.
    Truth,
    /// The losses of everything published.
    Losses,
}

/// How an epoch's reward is shared.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payout {
    /// Positive part of smoothed one-out gains (combine §6).
    Gains,
    /// Softplus of standardised scores, roles split by entropy (topics §7.2, §7.3).
    Entropy,
}

/// The numbers of the description, checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Spec {
    /// How answers are combined.
    pub rule: Rule,
    /// What a wrong answer costs.
    pub loss: Loss,
    /// What reputers bring.
    pub truth_mode: TruthMode,
    /// How rewards are shared.
    pub payout: Payout,
    /// Blocks between questions.
    pub epoch_length: u64,
    /// Blocks in which answers are accepted.
    pub worker_window: u64,
    /// Of these, the last in which sealed answers are opened; 0: answers are not sealed.
    pub reveal_window: u64,
    /// Blocks from question to truth.
    pub truth_lag: u64,
    /// Blocks in which truths are accepted.
    pub truth_window: u64,
    /// Settings of the power rule.
    pub power: PowerConfig,
    /// Settings of the regret rule; the chain's own parameters are filled in when it is used.
    pub regret: RegretConfig,
    /// Who is heard.
    pub hearing: Hearing,
    /// What answers look like.
    pub labels: LabelRules,
    /// Only listed workers.
    pub worker_list: bool,
    /// Only listed reputers.
    pub reputer_list: bool,
}

/// Who is heard when more want to speak than there is room (topics §3.4).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hearing {
    /// Rate at which merit follows the newest score, [0, 1).
    pub merit_alpha: Real,
    /// Quantiles of inferers', forecasters' and reputers' scores that refused members drift towards, [0, 1).
    pub quantiles: [Real; 3],
    /// Most inferers, forecasters, reputers of an epoch; 0: the chain's default.
    pub caps: [u32; 3],
}

/// What answers look like (topics §1.5).
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LabelRules {
    /// The truth is a class.
    pub classification: bool,
    /// Several labels; otherwise one, called `y`.
    pub multi: bool,
    /// Values of a submission sum to 1,
    pub require_unity: bool,
    /// up to this.
    pub unity_tolerance: Real,
    /// Most labels of a submission.
    pub max: u32,
    /// What an absent label counts as.
    pub default: Real,
    /// `Up` and `up` are two labels.
    pub case_sensitive: bool,
    /// Only the labels of [`LABELS`].
    pub listed: bool,
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
    /// Combined epochs of the topic (reputers: scored ones) before this member was first heard.
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
    /// Paid so far, uallo; for reputers without what went to delegators.
    pub earned: u128,
    /// By which it is admitted.
    pub merit: Merit,
    /// Reputers who bring losses: how much they are listened to, 0 to 1.
    pub listening: Real,
}

/// Smoothed score by which a member is admitted (topics §3.4).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Merit {
    /// Smoothed score.
    pub score: Real,
    /// Epoch of the newest submission or score; 0 before the first.
    pub nonce: u64,
}

impl Member {
    /// A member heard for the first time, after `epochs` epochs of its topic.
    pub fn new(epochs: u64) -> Self {
        Self {
            since: epochs,
            heard: 0,
            last: 0,
            scored: 0,
            loss_sum: Real::ZERO,
            state: MemberState::default(),
            weight: Real::ZERO,
            earned: 0,
            merit: Merit::default(),
            listening: Real::ONE,
        }
    }
}

/// Life of an epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EpochState {
    /// Answers are accepted.
    Open,
    /// The network has answered; truth is awaited, and accepted from `truth_first` on.
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
    /// No label got a majority of the reputers' say.
    NoAgreement,
}

impl Void {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoInference => "no worker answered in the window",
            Self::NoTruth => "no reputer with enough stake reported in the window",
            Self::Arithmetic => "the numbers submitted lead to no finite result",
            Self::NoAgreement => "the reputers do not agree on what happened",
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
    /// First block that accepts reports.
    pub truth_first: u64,
    /// Last block that accepts reports.
    pub truth_last: u64,
    /// Who is heard so far.
    pub heard: Heard,
    /// What an absent label counts as, since it opened.
    pub label_default: Real,
}

impl Epoch {
    /// Last block that accepts seals; they are opened from the next one on. None where answers are not sealed.
    pub fn seal_last(&self, spec: &Spec) -> Option<u64> {
        // Shorter than the window, as every topic's description is.
        (spec.reveal_window > 0).then(|| self.worker_last - spec.reveal_window)
    }

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
    /// One entry per label.
    pub columns: Vec<AnswerColumn>,
    /// Inferers by address, then forecasters by address.
    pub parts: Vec<Part>,
    /// SHA-256 of everything it was computed from.
    pub trail: [u8; 32],
}

/// One label of an answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AnswerColumn {
    /// Canonical name; `y` in topics of one label.
    pub label: String,
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
}

/// One member's contribution to an epoch. Lists are by label; empty where there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Part {
    /// Whose.
    pub account: Key,
    /// Predicts the others' losses instead of the target.
    pub forecaster: bool,
    /// Inference, or what the forecast implies; empty for a forecast that implies nothing.
    pub values: Vec<Real>,
    /// Share in the network inference.
    pub weight: Real,
    /// What the network would have said without it.
    pub one_out: Vec<Real>,
    /// What the network would have said with it as the only forecaster.
    pub one_in: Vec<Real>,
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
    /// What happened, as the reputers agreed; empty where they bring losses.
    pub truth: Vec<(String, Real)>,
    /// Raw losses of network, mean and median; the last two are 0 where the truth itself is not known.
    pub losses: LossSums,
    /// Reputers by address.
    pub reports: Vec<ReportRow>,
    /// What it could pay, uallo.
    pub budget: u128,
    /// What it paid, uallo.
    pub reward: u128,
    /// SHA-256 of everything scores and pay were computed from.
    pub trail: [u8; 32],
}

/// One reputer's contribution to an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReportRow {
    /// Whose.
    pub account: Key,
    /// Stake behind it.
    pub stake: u128,
    /// What it reported, by label; empty where it brought losses.
    pub values: Vec<(String, Real)>,
    /// The loss of the network inference it reported, where it brought losses.
    pub combined: Option<Real>,
    /// Closeness to what was agreed.
    pub score: Real,
    /// uallo, delegators' part included.
    pub reward: u128,
}

/// Losses of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochLosses {
    /// Whether they are decimal logarithms.
    pub logarithms: bool,
    /// Of everything published, as the chain scored it.
    pub network: Losses,
    /// What reputers reported, by address, with the stake behind it.
    pub reports: Vec<(Key, u128, Losses)>,
}

/// The network's answer, as it is proven to strangers: docs/protocol/proofs.md describes its bytes, and
/// `dodona-light` reads them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NetworkInference {
    /// Topic.
    pub topic: u64,
    /// Epoch.
    pub nonce: u64,
    /// Label, network inference, error bar; one entry per label.
    pub values: Vec<(String, Real, Interval)>,
    /// How many members it was made of.
    pub members: u32,
    /// Block at whose end it was combined.
    pub at: u64,
    /// Time of that block, unix milliseconds.
    pub time_ms: u64,
}

/// A worker's word for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Payload {
    /// Answer: values other than the default, by place in the registry.
    pub inference: Option<Places>,
    /// Predicted losses.
    pub forecast: Elements,
}

/// A reputer's word for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Report {
    /// What happened, by label, sorted; and the hash of the raw source answer.
    Truth {
        /// Label and value.
        values: Vec<(String, Real)>,
        /// 32 bytes, or none.
        evidence: Option<[u8; 32]>,
    },
    /// Losses of the answer's members, in its order.
    Losses(Losses),
}

/// How many are heard in an epoch so far.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Heard {
    /// Inferences.
    pub inferers: u32,
    /// Forecasts.
    pub forecasters: u32,
    /// Reports.
    pub reputers: u32,
}

impl Heard {
    /// The count of a part.
    pub fn of(&mut self, part: u8) -> &mut u32 {
        match part {
            part::INFERER => &mut self.inferers,
            part::FORECASTER => &mut self.forecasters,
            _ => &mut self.reputers,
        }
    }
}

/// What a rule keeps between answer and truth. Members are those of the answer, in its order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Opening {
    /// Power rule.
    Power(PowerOpening),
    /// Regret rule.
    Regret(regret::RegretOpening),
    /// Mean and median, with the columns they were made of.
    Plain(Synthesis, Vec<Vec<Real>>),
}

impl Opening {
    /// The published part.
    pub fn synthesis(&self) -> &Synthesis {
        match self {
            Self::Power(o) => &o.synthesis,
            Self::Regret(o) => &o.synthesis,
            Self::Plain(s, _) => s,
        }
    }

    /// Inferences as submitted, by label.
    pub fn columns(&self) -> &[Vec<Real>] {
        match self {
            Self::Power(o) => &o.values,
            Self::Regret(o) => &o.values,
            Self::Plain(_, columns) => columns,
        }
    }
}

/// A rank as a key: keys ascend with ranks.
pub fn ordered(rank: Real) -> u64 {
    let bits = rank.get().to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The rank of a key.
pub fn rank(ordered: u64) -> Real {
    let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
    Real::new(f64::from_bits(bits)).unwrap_or(Real::ZERO)
}
