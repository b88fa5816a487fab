//! The wire: what travels between clients and the chain. Generated message types, account addresses,
//! transaction envelopes and their signatures; nothing here knows the state of the chain.

mod address;
pub mod amino;
pub mod commit;
pub mod decimal;
mod json;
mod schema;
pub mod sign;
pub mod tx;

pub use address::{Address, AddressError, PREFIX, Prefix};
pub use schema::{DESCRIPTORS, Route, methods, routes};

/// The token's base unit: 10⁻¹⁸ ALLO.
pub const DENOM: &str = "uallo";
/// Base units in one ALLO.
pub const ALLO: u128 = 1_000_000_000_000_000_000;

#[allow(missing_docs, clippy::all)] // Generated: the documentation is in the .proto files.
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}
pub use wire::{cosmos, dodona, tendermint};

/// Our own topic messages and queries.
pub mod topics {
    pub use crate::wire::dodona::topics::v1::*;
}

/// Our own subnet messages and queries.
pub mod subnets {
    pub use crate::wire::dodona::subnets::v1::*;
}

/// Queries about the chain itself.
pub mod chain {
    pub use crate::wire::dodona::chain::v1::*;
}

/// Forecasting networks as published clients speak of them. Version 10 is the current one, version 9 one
/// release older; of version 3 there is what both still use.
pub mod emissions {
    pub use crate::wire::emissions::{v3, v9, v10};
}

/// Emission of new tokens as published clients ask about it.
pub mod mint {
    pub use crate::wire::mint::v5;
}

/// Price of gas as published clients ask about it.
pub mod feemarket {
    pub use crate::wire::feemarket::feemarket::v1;
}

/// Type URLs of the messages the chain understands, as they stand in an `Any`.
pub mod url {
    /// Token transfer.
    pub const SEND: &str = "/cosmos.bank.v1beta1.MsgSend";
    /// Account public key.
    pub const SECP256K1: &str = "/cosmos.crypto.secp256k1.PubKey";
    /// Public key of a validator's votes.
    pub const ED25519: &str = "/cosmos.crypto.ed25519.PubKey";
    /// Become a validator.
    pub const CREATE_VALIDATOR: &str = "/cosmos.staking.v1beta1.MsgCreateValidator";
    /// Change what may change of a validator.
    pub const EDIT_VALIDATOR: &str = "/cosmos.staking.v1beta1.MsgEditValidator";
    /// Stand behind a validator with tokens.
    pub const DELEGATE: &str = "/cosmos.staking.v1beta1.MsgDelegate";
    /// Ask for them back.
    pub const UNDELEGATE: &str = "/cosmos.staking.v1beta1.MsgUndelegate";
    /// Stand behind another validator instead.
    pub const BEGIN_REDELEGATE: &str = "/cosmos.staking.v1beta1.MsgBeginRedelegate";
    /// Stay with the validator after all.
    pub const CANCEL_UNBONDING: &str = "/cosmos.staking.v1beta1.MsgCancelUnbondingDelegation";
    /// Have validator rewards paid to another account.
    pub const SET_WITHDRAW_ADDRESS: &str = "/cosmos.distribution.v1beta1.MsgSetWithdrawAddress";
    /// Collect what a delegation to a validator earned.
    pub const WITHDRAW_REWARD: &str = "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward";
    /// Collect a validator's commission.
    pub const WITHDRAW_COMMISSION: &str = "/cosmos.distribution.v1beta1.MsgWithdrawValidatorCommission";
    /// Come back after an absence.
    pub const UNJAIL: &str = "/cosmos.slashing.v1beta1.MsgUnjail";
    /// Create a topic.
    pub const CREATE_TOPIC: &str = "/dodona.topics.v1.MsgCreateTopic";
    /// Register as worker or reputer.
    pub const REGISTER: &str = "/dodona.topics.v1.MsgRegister";
    /// Stake on a topic as its reputer.
    pub const ADD_STAKE: &str = "/dodona.topics.v1.MsgAddStake";
    /// Pay for a topic's answers.
    pub const FUND_TOPIC: &str = "/dodona.topics.v1.MsgFundTopic";
    /// Inference and forecast of one epoch.
    pub const SUBMIT: &str = "/dodona.topics.v1.MsgSubmitPayload";
    /// The same, where nobody can read it yet.
    pub const SEAL: &str = "/dodona.topics.v1.MsgSealPayload";
    /// The word behind a seal.
    pub const OPEN: &str = "/dodona.topics.v1.MsgOpenPayload";
    /// What happened.
    pub const REPORT_TRUTH: &str = "/dodona.topics.v1.MsgReportTruth";
    /// Change what may change of a topic.
    pub const UPDATE_TOPIC: &str = "/dodona.topics.v1.MsgUpdateTopic";
    /// Leave a topic.
    pub const UNREGISTER: &str = "/dodona.topics.v1.MsgUnregister";
    /// Move pay to another owner.
    pub const TRANSFER_OWNERSHIP: &str = "/dodona.topics.v1.MsgTransferOwnership";
    /// Ask for own stake back.
    pub const REMOVE_STAKE: &str = "/dodona.topics.v1.MsgRemoveStake";
    /// Keep it after all.
    pub const CANCEL_REMOVE_STAKE: &str = "/dodona.topics.v1.MsgCancelRemoveStake";
    /// Stake upon a reputer.
    pub const DELEGATE_STAKE: &str = "/dodona.topics.v1.MsgDelegateStake";
    /// Ask for delegated stake back.
    pub const REMOVE_DELEGATE_STAKE: &str = "/dodona.topics.v1.MsgRemoveDelegateStake";
    /// Keep it after all.
    pub const CANCEL_REMOVE_DELEGATE_STAKE: &str = "/dodona.topics.v1.MsgCancelRemoveDelegateStake";
    /// Collect a delegation's rewards.
    pub const CLAIM_DELEGATE_REWARDS: &str = "/dodona.topics.v1.MsgClaimDelegateRewards";
    /// Losses of everything published for an epoch.
    pub const REPORT_LOSSES: &str = "/dodona.topics.v1.MsgReportLosses";
    /// Somebody else's signed payload or report.
    pub const RELAY: &str = "/dodona.topics.v1.MsgRelay";
    /// Change a list of permitted accounts.
    pub const EDIT_LIST: &str = "/dodona.topics.v1.MsgEditList";
    /// Switch a topic's lists on or off.
    pub const SET_TOPIC_LISTS: &str = "/dodona.topics.v1.MsgSetTopicLists";
    /// Change parameters of the chain.
    pub const UPDATE_PARAMS: &str = "/dodona.topics.v1.MsgUpdateParams";
    /// Plan an upgrade.
    pub const PLAN_UPGRADE: &str = "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade";
    /// Take the plan back.
    pub const CANCEL_UPGRADE: &str = "/cosmos.upgrade.v1beta1.MsgCancelUpgrade";
    /// Compute the emission anew.
    pub const RECALCULATE_EMISSION: &str = "/dodona.topics.v1.MsgRecalculateEmission";
    /// Create a subnet.
    pub const CREATE_SUBNET: &str = "/dodona.subnets.v1.MsgCreateSubnet";
    /// Open a subnet's trade and emission.
    pub const START_SUBNET: &str = "/dodona.subnets.v1.MsgStartSubnet";
    /// A uid in a subnet.
    pub const REGISTER_NEURON: &str = "/dodona.subnets.v1.MsgRegisterNeuron";
    /// Stake in a subnet, or at the root.
    pub const STAKE: &str = "/dodona.subnets.v1.MsgStake";
    /// The way back.
    pub const UNSTAKE: &str = "/dodona.subnets.v1.MsgUnstake";
    /// Stake to another hotkey, holder or subnet.
    pub const MOVE_STAKE: &str = "/dodona.subnets.v1.MsgMoveStake";
    /// What a validator thinks of the miners.
    pub const SET_WEIGHTS: &str = "/dodona.subnets.v1.MsgSetWeights";
    /// A digest of weights.
    pub const COMMIT_WEIGHTS: &str = "/dodona.subnets.v1.MsgCommitWeights";
    /// The weights behind a digest.
    pub const REVEAL_WEIGHTS: &str = "/dodona.subnets.v1.MsgRevealWeights";
    /// What a hotkey's owner keeps of dividends.
    pub const SET_TAKE: &str = "/dodona.subnets.v1.MsgSetTake";
    /// Change hyperparameters of a subnet.
    pub const SET_HYPERPARAMETERS: &str = "/dodona.subnets.v1.MsgSetHyperparameters";
    /// Change the rules of all subnets.
    pub const SET_SUBNET_RULES: &str = "/dodona.subnets.v1.MsgSetSubnetRules";
    /// Where a neuron answers.
    pub const SERVE: &str = "/dodona.subnets.v1.MsgServe";
    /// Upon which hotkey a miner's pay is staked.
    pub const SET_AUTO_STAKE: &str = "/dodona.subnets.v1.MsgSetAutoStake";
    /// Collect dividends of root stake.
    pub const CLAIM_ROOT: &str = "/dodona.subnets.v1.MsgClaimRoot";
    /// What becomes of dividends of root stake.
    pub const SET_ROOT_CLAIM: &str = "/dodona.subnets.v1.MsgSetRootClaim";
    /// Promise not to take stake out of a subnet.
    pub const LOCK_STAKE: &str = "/dodona.subnets.v1.MsgLockStake";
    /// Locked stake that speaks for another hotkey.
    pub const MOVE_LOCK: &str = "/dodona.subnets.v1.MsgMoveLock";
    /// Bytes a neuron publishes.
    pub const SET_COMMITMENT: &str = "/dodona.subnets.v1.MsgSetCommitment";
    /// What a subnet says of itself.
    pub const SET_SUBNET_IDENTITY: &str = "/dodona.subnets.v1.MsgSetSubnetIdentity";
    /// What a hotkey says of itself.
    pub const SET_HOTKEY_IDENTITY: &str = "/dodona.subnets.v1.MsgSetHotkeyIdentity";
    /// Lend a hotkey's stake to others.
    pub const SET_CHILDREN: &str = "/dodona.subnets.v1.MsgSetChildren";
    /// What a hotkey keeps of the dividends of stake it was lent.
    pub const SET_CHILDKEY_TAKE: &str = "/dodona.subnets.v1.MsgSetChildkeyTake";
    /// An epoch before its time.
    pub const TRIGGER_EPOCH: &str = "/dodona.subnets.v1.MsgTriggerEpoch";
    /// All stake of a holder upon a hotkey back.
    pub const UNSTAKE_ALL: &str = "/dodona.subnets.v1.MsgUnstakeAll";
    /// Fewer neurons in a subnet.
    pub const TRIM_SUBNET: &str = "/dodona.subnets.v1.MsgTrimSubnet";
    /// Another key in the place of a hotkey.
    pub const SWAP_HOTKEY: &str = "/dodona.subnets.v1.MsgSwapHotkey";
    /// That another coldkey will take one's place.
    pub const ANNOUNCE_COLDKEY_SWAP: &str = "/dodona.subnets.v1.MsgAnnounceColdkeySwap";
    /// What was announced.
    pub const SWAP_COLDKEY: &str = "/dodona.subnets.v1.MsgSwapColdkey";
    /// That somebody else announced it.
    pub const DISPUTE_COLDKEY_SWAP: &str = "/dodona.subnets.v1.MsgDisputeColdkeySwap";
    /// The end of an announcement.
    pub const RESET_COLDKEY_SWAP: &str = "/dodona.subnets.v1.MsgResetColdkeySwap";
    /// End a subnet.
    pub const DISSOLVE_SUBNET: &str = "/dodona.subnets.v1.MsgDissolveSubnet";
    /// `InsertWorkerPayload` of published clients.
    pub const V10_WORKER: &str = "/emissions.v10.InsertWorkerPayloadRequest";
    /// `InsertReputerPayload` of published clients.
    pub const V10_REPUTER: &str = "/emissions.v10.InsertReputerPayloadRequest";
    /// `CreateNewTopic` of published clients.
    pub const V10_CREATE_TOPIC: &str = "/emissions.v10.CreateNewTopicRequest";
    /// `Register` of published clients.
    pub const V10_REGISTER: &str = "/emissions.v10.RegisterRequest";
    /// `RemoveRegistration` of published clients.
    pub const V10_UNREGISTER: &str = "/emissions.v10.RemoveRegistrationRequest";
    /// `AddStake` of published clients.
    pub const V10_ADD_STAKE: &str = "/emissions.v10.AddStakeRequest";
    /// `RemoveStake` of published clients.
    pub const V10_REMOVE_STAKE: &str = "/emissions.v10.RemoveStakeRequest";
    /// `CancelRemoveStake` of published clients.
    pub const V10_CANCEL_REMOVE_STAKE: &str = "/emissions.v10.CancelRemoveStakeRequest";
    /// `DelegateStake` of published clients.
    pub const V10_DELEGATE: &str = "/emissions.v10.DelegateStakeRequest";
    /// `RemoveDelegateStake` of published clients.
    pub const V10_REMOVE_DELEGATE: &str = "/emissions.v10.RemoveDelegateStakeRequest";
    /// `CancelRemoveDelegateStake` of published clients.
    pub const V10_CANCEL_REMOVE_DELEGATE: &str = "/emissions.v10.CancelRemoveDelegateStakeRequest";
    /// `RewardDelegateStake` of published clients.
    pub const V10_CLAIM: &str = "/emissions.v10.RewardDelegateStakeRequest";
    /// `FundTopic` of published clients.
    pub const V10_FUND: &str = "/emissions.v10.FundTopicRequest";
    /// `BulkAddToTopicWorkerWhitelist` of published clients.
    pub const V10_BULK_ADD_WORKERS: &str = "/emissions.v10.BulkAddToTopicWorkerWhitelistRequest";
    /// `BulkAddToTopicReputerWhitelist` of published clients.
    pub const V10_BULK_ADD_REPUTERS: &str = "/emissions.v10.BulkAddToTopicReputerWhitelistRequest";
}

/// Names under which [`crate::topics`] and [`crate::chain`] queries are asked.
pub mod path {
    /// Chain id, height, root, supply.
    pub const STATUS: &str = "/dodona.chain.v1.Query/Status";
    /// Number, sequence and balance of an account.
    pub const ACCOUNT: &str = "/dodona.chain.v1.Query/Account";
    /// What gas costs.
    pub const GAS: &str = "/dodona.chain.v1.Query/Gas";
    /// What became of a transaction; answered by nodes, not by the state.
    pub const TX: &str = "/dodona.chain.v1.Query/Tx";
    /// One topic.
    pub const TOPIC: &str = "/dodona.topics.v1.Query/Topic";
    /// All topics, by page.
    pub const TOPICS: &str = "/dodona.topics.v1.Query/Topics";
    /// Open windows of a topic.
    pub const WINDOWS: &str = "/dodona.topics.v1.Query/Windows";
    /// One epoch with inference, members, truth and scores.
    pub const EPOCH: &str = "/dodona.topics.v1.Query/Epoch";
    /// A run of epochs, by page.
    pub const EPOCHS: &str = "/dodona.topics.v1.Query/Epochs";
    /// Who is how good and earned what.
    pub const LEADERBOARD: &str = "/dodona.topics.v1.Query/Leaderboard";
    /// Parameters in force.
    pub const PARAMS: &str = "/dodona.topics.v1.Query/Params";
    /// One account in one topic.
    pub const MEMBER: &str = "/dodona.topics.v1.Query/Member";
    /// What was said in an epoch.
    pub const INPUTS: &str = "/dodona.topics.v1.Query/Inputs";
    /// Losses of an epoch.
    pub const LOSSES: &str = "/dodona.topics.v1.Query/Losses";
    /// Regrets of a member.
    pub const REGRETS: &str = "/dodona.topics.v1.Query/Regrets";
    /// Stake on its way out.
    pub const REMOVALS: &str = "/dodona.topics.v1.Query/Removals";
    /// Who staked what on a topic.
    pub const STAKES: &str = "/dodona.topics.v1.Query/Stakes";
    /// Who staked upon whom.
    pub const DELEGATIONS: &str = "/dodona.topics.v1.Query/Delegations";
    /// A list of permitted accounts.
    pub const LIST: &str = "/dodona.topics.v1.Query/List";
    /// What an account may do.
    pub const PERMISSIONS: &str = "/dodona.topics.v1.Query/Permissions";
    /// How many tokens come into being.
    pub const EMISSION: &str = "/dodona.topics.v1.Query/Emission";
    /// Why a member earned what it earned.
    pub const EXPLAIN: &str = "/dodona.topics.v1.Query/Explain";
    /// All subnets, by page; what a new one costs.
    pub const SUBNETS: &str = "/dodona.subnets.v1.Query/Subnets";
    /// One subnet.
    pub const SUBNET: &str = "/dodona.subnets.v1.Query/Subnet";
    /// All neurons of a subnet.
    pub const METAGRAPH: &str = "/dodona.subnets.v1.Query/Metagraph";
    /// One neuron.
    pub const NEURON: &str = "/dodona.subnets.v1.Query/Neuron";
    /// Who staked what in subnets.
    pub const HOLDINGS: &str = "/dodona.subnets.v1.Query/Holdings";
    /// What a trade would give.
    pub const QUOTE: &str = "/dodona.subnets.v1.Query/Quote";
    /// Whether an account has announced that another one takes its place.
    pub const COLDKEY_SWAP: &str = "/dodona.subnets.v1.Query/ColdkeySwap";
    /// Locked stake, and for whom it speaks.
    pub const LOCKS: &str = "/dodona.subnets.v1.Query/Locks";
    /// Rules of all subnets.
    pub const SUBNET_RULES: &str = "/dodona.subnets.v1.Query/Rules";
    /// Everything that was published for an epoch, each member left out and let in.
    pub const V10_PUBLISHED: &str = "/emissions.v10.QueryService/GetNetworkInferencesAtBlock";
    /// Inputs of an epoch's computations; answered by nodes, not by the state.
    pub const TRAIL: &str = "/dodona.topics.v1.Query/Trail";
    /// Proof of an inference; answered by nodes, not by the state.
    pub const PROOF: &str = "/dodona.topics.v1.Query/Proof";
    /// What a verifier of proofs starts from; answered by nodes, not by the state.
    pub const TRUST: &str = "/dodona.chain.v1.Query/Trust";
}
