//! One transaction's path: decode → sizes → signature → sequence → fee → messages → receipt.
//! Everything before the messages either refuses the transaction outright (nothing is charged, it does not belong
//! into a block) or charges it; from there a refusal undoes the messages but keeps fee and sequence.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::supply::Fixed;
use dodona_proto::{
    Address, DENOM, Prefix,
    amino::{self, AminoError},
    cosmos::{
        bank::v1beta1::MsgSend,
        crypto::secp256k1::PubKey,
        distribution::v1beta1 as distribution_wire,
        slashing::v1beta1 as slashing_wire,
        staking::v1beta1 as staking_wire,
        tx::{
            signing::v1beta1::SignMode,
            v1beta1::{AuthInfo, TxBody, TxRaw, mode_info::Sum},
        },
        upgrade::v1beta1::{MsgCancelUpgrade, MsgSoftwareUpgrade},
    },
    emissions::v10,
    sign::{self, SignError},
    subnets::{
        MsgAnnounceColdkeySwap, MsgClaimRoot, MsgCommitWeights, MsgCreateSubnet, MsgDisputeColdkeySwap,
        MsgDissolveSubnet, MsgLockStake, MsgMoveLock, MsgMoveStake, MsgRegisterNeuron, MsgResetColdkeySwap,
        MsgRevealWeights, MsgServe, MsgSetAutoStake, MsgSetChildkeyTake, MsgSetChildren, MsgSetCommitment,
        MsgSetHotkeyIdentity, MsgSetHyperparameters, MsgSetRootClaim, MsgSetSubnetIdentity,
        MsgSetSubnetRules, MsgSetTake, MsgSetWeights, MsgStake, MsgStartSubnet, MsgSwapColdkey,
        MsgSwapHotkey, MsgTriggerEpoch, MsgTrimSubnet, MsgUnstake, MsgUnstakeAll,
    },
    topics::{
        MsgAddStake, MsgCancelRemoveDelegateStake, MsgCancelRemoveStake, MsgClaimDelegateRewards,
        MsgCreateTopic, MsgDelegateStake, MsgEditList, MsgFundTopic, MsgOpenPayload, MsgRecalculateEmission,
        MsgRegister, MsgRelay, MsgRemoveDelegateStake, MsgRemoveStake, MsgReportLosses, MsgReportTruth,
        MsgSealPayload, MsgSetTopicLists, MsgSubmitPayload, MsgTransferOwnership, MsgUnregister,
        MsgUpdateParams, MsgUpdateTopic,
    },
    tx::{TxHash, hash, sign_bytes},
    url,
};
use prost::Message;
use prost_types::Any;

use crate::{
    accounts, auth, bank,
    ctx::Ctx,
    emissions,
    error::{Coded, Failure, Refusal},
    event::Event,
    feemarket, gas,
    params::Params,
    staking,
    state::State,
    subnets,
    text::{parse_amount, printable},
    topics, upgrade,
    verified::Verified,
};

/// Why a transaction is no transaction, or not one for now. Numbers and wording follow what clients of the
/// Cosmos family parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says its meaning in its message
pub enum TxError {
    #[error("tx parse error: {0}")]
    Decode(&'static str),
    #[error(
        "signature verification failed; please verify account number ({number}) and chain-id ({chain}): {cause}: unauthorized"
    )]
    Signature { number: u64, chain: String, cause: SignError },
    #[error("{0}: unauthorized")]
    Unauthorized(&'static str),
    #[error("unknown message type `{0}`: unknown request")]
    Unknown(String),
    #[error(
        "account {0} does not exist: unknown address; it comes into being when it first receives {DENOM}"
    )]
    UnknownAccount(Address),
    #[error("memo is longer than 256 bytes: memo too large")]
    Memo,
    #[error("insufficient fees; got: {got}{DENOM} required: {required}{DENOM}: insufficient fee")]
    Fee { got: u128, required: u128 },
    #[error("tx parse error: {0}")]
    Amino(#[from] AminoError),
    #[error("{0} messages, allowed are 1 to {1}: invalid request")]
    Messages(usize, u32),
    #[error("tx has {0} bytes, at most {1} are allowed: tx too large")]
    TooLarge(usize, u32),
    #[error("account sequence mismatch, expected {expected}, got {got}: incorrect account sequence")]
    Sequence { expected: u64, got: u64 },
    #[error("tx gas limit {0} exceeds block max gas {1}: invalid gas limit")]
    GasLimit(u64, u64),
    #[error("block height {height} is after timeout height {timeout}: tx timeout height")]
    Timeout { height: u64, timeout: u64 },
}

impl Coded for TxError {
    const CODESPACE: &'static str = "sdk";
    fn code(&self) -> u32 {
        match self {
            Self::Decode(_) | Self::Amino(_) => 2,
            Self::Signature { .. } | Self::Unauthorized(_) => 4,
            Self::Unknown(_) => 6,
            Self::UnknownAccount(_) => 9,
            Self::Memo => 12,
            Self::Fee { .. } => 13,
            Self::Messages(..) => 18,
            Self::TooLarge(..) => 21,
            Self::Timeout { .. } => 30,
            Self::Sequence { .. } => 32,
            Self::GasLimit(..) => 41,
        }
    }
}

/// What became of a transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// SHA-256 of the transaction's bytes.
    pub hash: TxHash,
    /// Empty when done.
    pub codespace: String,
    /// 0 when done.
    pub code: u32,
    /// Why not; or, when done, what else the sender should know.
    pub log: String,
    /// Gas limit of the sender.
    pub gas_wanted: u64,
    /// Gas of the work.
    pub gas_used: u64,
    /// What it caused.
    pub events: Vec<Event>,
}

/// A transaction taken apart: everything known without any state.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// SHA-256 of the bytes.
    pub hash: TxHash,
    /// The one signer.
    pub signer: Address,
    /// What the signer claims to have sent before.
    pub sequence: u64,
    /// Fee offered, uallo.
    pub fee: u128,
    /// Work allowed.
    pub gas_limit: u64,
    raw: TxRaw,
    /// Whether a text was signed instead of the bytes themselves.
    in_amino: bool,
    key: Vec<u8>,
    timeout_height: u64,
    messages: Vec<Msg>,
    bytes: usize,
}

/// The one list of messages the chain understands: variant, wire type, type URL, field of the sender, handler.
macro_rules! messages {
    ($($name:ident($wire:ty), $url:ident, $sender:ident, $handler:path;)+) => {
        #[derive(Clone, Debug)]
        #[allow(clippy::large_enum_variant)] // most transactions hold one message, for the length of a block
        enum Msg {
            $($name($wire),)+
        }

        impl Msg {
            fn decode(any: &Any) -> Result<Self, TxError> {
                fn of<M: Message + Default>(bytes: &[u8]) -> Result<M, TxError> {
                    M::decode(bytes).map_err(|_| TxError::Decode("message bytes do not fit their type"))
                }
                let bytes = any.value.as_slice();
                Ok(match emissions::current_url(&any.type_url).as_ref() {
                    $(url::$url => Self::$name(of(bytes)?),)+
                    _ => return Err(TxError::Unknown(printable(&any.type_url))),
                })
            }

            fn signer(&self) -> &str {
                match self {
                    $(Self::$name(m) => &m.$sender,)+
                }
            }

            fn handle(&self, ctx: &mut Ctx, from: Address) -> Result<(), Failure> {
                match self {
                    $(Self::$name(m) => $handler(ctx, from, m),)+
                }
            }
        }
    };
}

messages! {
    Send(MsgSend), SEND, from_address, bank::send;
    CreateTopic(MsgCreateTopic), CREATE_TOPIC, creator, topics::handle::create_topic;
    UpdateTopic(MsgUpdateTopic), UPDATE_TOPIC, sender, topics::handle::update_topic;
    Register(MsgRegister), REGISTER, sender, topics::handle::register;
    Unregister(MsgUnregister), UNREGISTER, sender, topics::handle::unregister;
    TransferOwnership(MsgTransferOwnership), TRANSFER_OWNERSHIP, sender, topics::handle::transfer_ownership;
    AddStake(MsgAddStake), ADD_STAKE, sender, topics::stake::add;
    RemoveStake(MsgRemoveStake), REMOVE_STAKE, sender, topics::stake::remove;
    CancelRemoveStake(MsgCancelRemoveStake), CANCEL_REMOVE_STAKE, sender, topics::stake::cancel;
    DelegateStake(MsgDelegateStake), DELEGATE_STAKE, sender, topics::stake::delegate;
    RemoveDelegateStake(MsgRemoveDelegateStake), REMOVE_DELEGATE_STAKE, sender, topics::stake::remove_delegated;
    CancelRemoveDelegateStake(MsgCancelRemoveDelegateStake), CANCEL_REMOVE_DELEGATE_STAKE, sender, topics::stake::cancel_delegated;
    ClaimDelegateRewards(MsgClaimDelegateRewards), CLAIM_DELEGATE_REWARDS, sender, topics::stake::claim;
    FundTopic(MsgFundTopic), FUND_TOPIC, sender, topics::handle::fund_topic;
    Submit(MsgSubmitPayload), SUBMIT, sender, topics::handle::submit_payload;
    Seal(MsgSealPayload), SEAL, sender, topics::handle::seal_payload;
    Open(MsgOpenPayload), OPEN, sender, topics::handle::open_payload;
    ReportTruth(MsgReportTruth), REPORT_TRUTH, sender, topics::handle::report_truth;
    ReportLosses(MsgReportLosses), REPORT_LOSSES, sender, topics::handle::report_losses;
    Relay(MsgRelay), RELAY, sender, topics::handle::relay;
    EditList(MsgEditList), EDIT_LIST, sender, topics::lists::edit;
    SetTopicLists(MsgSetTopicLists), SET_TOPIC_LISTS, sender, topics::lists::set_topic;
    UpdateParams(MsgUpdateParams), UPDATE_PARAMS, sender, topics::lists::update_params;
    RecalculateEmission(MsgRecalculateEmission), RECALCULATE_EMISSION, sender, topics::lists::recalculate;
    PlanUpgrade(MsgSoftwareUpgrade), PLAN_UPGRADE, authority, upgrade::schedule;
    CancelUpgrade(MsgCancelUpgrade), CANCEL_UPGRADE, authority, upgrade::cancel;
    CreateValidator(staking_wire::MsgCreateValidator), CREATE_VALIDATOR, validator_address, staking::msg::create_validator;
    EditValidator(staking_wire::MsgEditValidator), EDIT_VALIDATOR, validator_address, staking::msg::edit_validator;
    Delegate(staking_wire::MsgDelegate), DELEGATE, delegator_address, staking::msg::delegate;
    Undelegate(staking_wire::MsgUndelegate), UNDELEGATE, delegator_address, staking::msg::undelegate;
    CancelUnbonding(staking_wire::MsgCancelUnbondingDelegation), CANCEL_UNBONDING, delegator_address, staking::msg::cancel_unbonding;
    BeginRedelegate(staking_wire::MsgBeginRedelegate), BEGIN_REDELEGATE, delegator_address, staking::msg::redelegate;
    Unjail(slashing_wire::MsgUnjail), UNJAIL, validator_addr, staking::msg::unjail;
    WithdrawReward(distribution_wire::MsgWithdrawDelegatorReward), WITHDRAW_REWARD, delegator_address, staking::msg::withdraw_reward;
    WithdrawCommission(distribution_wire::MsgWithdrawValidatorCommission), WITHDRAW_COMMISSION, validator_address, staking::msg::withdraw_commission;
    SetWithdrawAddress(distribution_wire::MsgSetWithdrawAddress), SET_WITHDRAW_ADDRESS, delegator_address, staking::msg::set_withdraw_address;
    CreateSubnet(MsgCreateSubnet), CREATE_SUBNET, sender, subnets::handle::create;
    StartSubnet(MsgStartSubnet), START_SUBNET, sender, subnets::handle::start;
    RegisterNeuron(MsgRegisterNeuron), REGISTER_NEURON, sender, subnets::handle::register;
    Stake(MsgStake), STAKE, sender, subnets::handle::stake;
    Unstake(MsgUnstake), UNSTAKE, sender, subnets::handle::unstake;
    MoveStake(MsgMoveStake), MOVE_STAKE, sender, subnets::handle::move_stake;
    SetWeights(MsgSetWeights), SET_WEIGHTS, sender, subnets::handle::set;
    CommitWeights(MsgCommitWeights), COMMIT_WEIGHTS, sender, subnets::handle::commit;
    RevealWeights(MsgRevealWeights), REVEAL_WEIGHTS, sender, subnets::handle::reveal;
    SetTake(MsgSetTake), SET_TAKE, sender, subnets::handle::set_take;
    SetHyperparameters(MsgSetHyperparameters), SET_HYPERPARAMETERS, sender, subnets::handle::set_hyperparameters;
    SetSubnetRules(MsgSetSubnetRules), SET_SUBNET_RULES, sender, subnets::handle::set_rules;
    Serve(MsgServe), SERVE, sender, subnets::handle::serve;
    SetAutoStake(MsgSetAutoStake), SET_AUTO_STAKE, sender, subnets::handle::set_auto_stake;
    ClaimRoot(MsgClaimRoot), CLAIM_ROOT, sender, subnets::handle::claim_root;
    SetRootClaim(MsgSetRootClaim), SET_ROOT_CLAIM, sender, subnets::handle::set_root_claim;
    LockStake(MsgLockStake), LOCK_STAKE, sender, subnets::handle::lock_stake;
    MoveLock(MsgMoveLock), MOVE_LOCK, sender, subnets::handle::move_lock;
    SetCommitment(MsgSetCommitment), SET_COMMITMENT, sender, subnets::handle::set_commitment;
    SetSubnetIdentity(MsgSetSubnetIdentity), SET_SUBNET_IDENTITY, sender, subnets::handle::set_subnet_identity;
    SetHotkeyIdentity(MsgSetHotkeyIdentity), SET_HOTKEY_IDENTITY, sender, subnets::handle::set_hotkey_identity;
    SetChildren(MsgSetChildren), SET_CHILDREN, sender, subnets::handle::set_children;
    SetChildkeyTake(MsgSetChildkeyTake), SET_CHILDKEY_TAKE, sender, subnets::handle::set_childkey_take;
    TriggerEpoch(MsgTriggerEpoch), TRIGGER_EPOCH, sender, subnets::handle::trigger_epoch;
    UnstakeAll(MsgUnstakeAll), UNSTAKE_ALL, sender, subnets::handle::unstake_all;
    TrimSubnet(MsgTrimSubnet), TRIM_SUBNET, sender, subnets::handle::trim;
    SwapHotkey(MsgSwapHotkey), SWAP_HOTKEY, sender, subnets::handle::hotkey;
    AnnounceColdkeySwap(MsgAnnounceColdkeySwap), ANNOUNCE_COLDKEY_SWAP, sender, subnets::handle::announce;
    SwapColdkey(MsgSwapColdkey), SWAP_COLDKEY, sender, subnets::handle::coldkey;
    DisputeColdkeySwap(MsgDisputeColdkeySwap), DISPUTE_COLDKEY_SWAP, sender, subnets::handle::dispute;
    ResetColdkeySwap(MsgResetColdkeySwap), RESET_COLDKEY_SWAP, sender, subnets::handle::reset;
    DissolveSubnet(MsgDissolveSubnet), DISSOLVE_SUBNET, sender, subnets::handle::dissolve;
    InsertWorkerPayload(emissions::InsertWorkerPayload), V10_WORKER, sender, emissions::insert_worker_payload;
    InsertReputerPayload(emissions::InsertReputerPayload), V10_REPUTER, sender, emissions::insert_reputer_payload;
    V10CreateNewTopic(v10::CreateNewTopicRequest), V10_CREATE_TOPIC, creator, emissions::create_new_topic;
    V10Register(v10::RegisterRequest), V10_REGISTER, sender, emissions::register;
    V10RemoveRegistration(v10::RemoveRegistrationRequest), V10_UNREGISTER, sender, emissions::remove_registration;
    V10AddStake(v10::AddStakeRequest), V10_ADD_STAKE, sender, emissions::add_stake;
    V10RemoveStake(v10::RemoveStakeRequest), V10_REMOVE_STAKE, sender, emissions::remove_stake;
    V10CancelRemoveStake(v10::CancelRemoveStakeRequest), V10_CANCEL_REMOVE_STAKE, sender, emissions::cancel_remove_stake;
    V10DelegateStake(v10::DelegateStakeRequest), V10_DELEGATE, sender, emissions::delegate_stake;
    V10RemoveDelegateStake(v10::RemoveDelegateStakeRequest), V10_REMOVE_DELEGATE, sender, emissions::remove_delegate_stake;
    V10CancelRemoveDelegateStake(v10::CancelRemoveDelegateStakeRequest), V10_CANCEL_REMOVE_DELEGATE, sender, emissions::cancel_remove_delegate_stake;
    V10RewardDelegateStake(v10::RewardDelegateStakeRequest), V10_CLAIM, sender, emissions::reward_delegate_stake;
    V10FundTopic(v10::FundTopicRequest), V10_FUND, sender, emissions::fund_topic;
    V10BulkAddWorkers(v10::BulkAddToTopicWorkerWhitelistRequest), V10_BULK_ADD_WORKERS, sender, emissions::bulk_add_workers;
    V10BulkAddReputers(v10::BulkAddToTopicReputerWhitelistRequest), V10_BULK_ADD_REPUTERS, sender, emissions::bulk_add_reputers;
}

impl Msg {
    /// Whether an account whose coldkey is being swapped may send it.
    fn is_of_coldkey_swap(&self) -> bool {
        matches!(self, Self::AnnounceColdkeySwap(_) | Self::SwapColdkey(_) | Self::DisputeColdkeySwap(_))
    }

    /// Whether the sender's field shows the account as a validator's operator.
    fn is_of_operator(&self) -> bool {
        matches!(
            self,
            Self::CreateValidator(_) | Self::EditValidator(_) | Self::Unjail(_) | Self::WithdrawCommission(_)
        )
    }
}

/// Takes a transaction apart and refuses whatever can be refused without state.
pub fn parse(bytes: &[u8], params: &Params) -> Result<Parsed, TxError> {
    parse_as(bytes, params, true)
}

/// The same of a transaction that nobody has signed yet and that is only looked at.
pub fn parse_unsigned(bytes: &[u8], params: &Params) -> Result<Parsed, TxError> {
    parse_as(bytes, params, false)
}

fn parse_as(bytes: &[u8], params: &Params, signed: bool) -> Result<Parsed, TxError> {
    if bytes.len() > params.max_tx_bytes as usize {
        return Err(TxError::TooLarge(bytes.len(), params.max_tx_bytes));
    }
    let raw = TxRaw::decode(bytes).map_err(|_| TxError::Decode("not a TxRaw"))?;
    // The envelope itself is not signed: another spelling of it would be the same transaction with another hash.
    if raw.encode_to_vec() != bytes {
        return Err(TxError::Decode("the TxRaw has unknown fields or is not encoded in the shortest way"));
    }
    let body = TxBody::decode(raw.body_bytes.as_slice()).map_err(|_| TxError::Decode("not a TxBody"))?;
    let auth =
        AuthInfo::decode(raw.auth_info_bytes.as_slice()).map_err(|_| TxError::Decode("not an AuthInfo"))?;
    if body.memo.len() > 256 {
        return Err(TxError::Memo);
    }
    if body.messages.is_empty() || body.messages.len() > params.max_messages as usize {
        return Err(TxError::Messages(body.messages.len(), params.max_messages));
    }
    if !body.extension_options.is_empty() {
        return Err(TxError::Decode("critical extension options are not understood"));
    }
    let ([info], [_]) = (auth.signer_infos.as_slice(), raw.signatures.as_slice()) else {
        return Err(TxError::Unauthorized("exactly one signer and one signature are supported"));
    };
    let mode = match info.mode_info.as_ref().and_then(|m| m.sum.as_ref()) {
        Some(Sum::Single(single)) => single.mode,
        _ => SignMode::Unspecified.into(),
    };
    let in_amino = match SignMode::try_from(mode) {
        _ if !signed => false,
        Ok(SignMode::Direct) => false,
        Ok(SignMode::LegacyAminoJson) => true,
        _ => {
            return Err(TxError::Unauthorized(
                "only SIGN_MODE_DIRECT and SIGN_MODE_LEGACY_AMINO_JSON of a single key are supported",
            ));
        }
    };
    let any = info.public_key.as_ref().ok_or(TxError::Unauthorized("public key is missing"))?;
    if any.type_url != url::SECP256K1 {
        return Err(TxError::Unauthorized("only secp256k1 account keys are supported"));
    }
    let key = PubKey::decode(any.value.as_slice()).map_err(|_| TxError::Decode("not a PubKey"))?.key;
    let compressed: &[u8; 33] =
        key.as_slice().try_into().map_err(|_| TxError::Unauthorized("public key needs 33 bytes"))?;
    let signer = Address::of_key(compressed);
    let messages = body.messages.iter().map(Msg::decode).collect::<Result<Vec<_>, _>>()?;
    let signer_text = signer.to_string();
    let operator_text = signer.written(Prefix::Operator);
    let from_signer = |m: &Msg| m.signer() == if m.is_of_operator() { &operator_text } else { &signer_text };
    if !messages.iter().all(from_signer) {
        return Err(TxError::Unauthorized(
            "the sender of every message must be the signer of the transaction",
        ));
    }
    let fee = auth.fee.ok_or(TxError::Decode("fee is missing"))?;
    if !fee.payer.is_empty() && fee.payer != signer_text || !fee.granter.is_empty() {
        return Err(TxError::Unauthorized("fees are paid by the signer: leave payer and granter empty"));
    }
    let offered = match fee.amount.as_slice() {
        [] => 0,
        [coin] if coin.denom == DENOM => {
            parse_amount(&coin.amount).ok_or(TxError::Decode("fee is no amount"))?
        }
        _ => return Err(TxError::Decode("the fee is at most one coin of uallo")),
    };
    // A gas limit that fits into no block would wait for ever. Whoever only asks for a price has none yet.
    let block = params.feemarket_max_block_utilization;
    if signed && fee.gas_limit > block {
        return Err(TxError::GasLimit(fee.gas_limit, block));
    }
    Ok(Parsed {
        hash: hash(bytes),
        signer,
        sequence: info.sequence,
        fee: offered,
        gas_limit: fee.gas_limit,
        raw,
        in_amino,
        key,
        timeout_height: body.timeout_height,
        messages,
        bytes: bytes.len(),
    })
}

impl Parsed {
    /// Whether this is the daily work of topics and nothing else: answers, truths and losses, by whomever handed in.
    pub fn is_work(&self) -> bool {
        let work = |message: &Msg| {
            matches!(
                message,
                Msg::Submit(_)
                    | Msg::ReportTruth(_)
                    | Msg::ReportLosses(_)
                    | Msg::Relay(_)
                    | Msg::InsertWorkerPayload(_)
                    | Msg::InsertReputerPayload(_)
            )
        };
        self.messages.iter().all(work)
    }

    /// Everything a transaction must satisfy to belong into a block. On success fee and sequence are taken.
    fn admit(&self, ctx: &mut Ctx, place: &Place) -> Result<(), Failure> {
        let account = auth::account(ctx.state, self.signer)?.ok_or(TxError::UnknownAccount(self.signer))?;
        if self.timeout_height != 0 && ctx.height > self.timeout_height {
            return Err(TxError::Timeout { height: ctx.height, timeout: self.timeout_height }.into());
        }
        if self.sequence != account.sequence {
            return Err(TxError::Sequence { expected: account.sequence, got: self.sequence }.into());
        }
        let required = feemarket::required(self.gas_limit, place.price);
        if self.fee < required {
            return Err(TxError::Fee { got: self.fee, required }.into());
        }
        ctx.gas.charge(gas::BASE + gas::BYTE * self.bytes as u64, "transaction size")?;
        bank::transfer(ctx.state, self.signer, accounts::fee_collector(), self.fee)?;
        // The signature comes last, because checking it costs more than all the rest; the caller undoes the fee.
        self.check_signature(place.chain_id, account.number, place.verified)?;
        auth::advance(ctx.state, self.signer, account);
        Ok(())
    }

    /// Checks the signature for the account with this number, unless it is known to be valid.
    pub(crate) fn check_signature(
        &self,
        chain_id: &str,
        number: u64,
        verified: &Verified,
    ) -> Result<(), TxError> {
        if verified.contains(self.hash, number) {
            return Ok(());
        }
        let raw = &self.raw;
        let doc = if self.in_amino {
            amino::Document::of(raw)?.sign_bytes(chain_id, number)
        } else {
            sign_bytes(&raw.body_bytes, &raw.auth_info_bytes, chain_id, number)
        };
        sign::verify(&self.key, &doc, &raw.signatures[0]).map_err(|cause| TxError::Signature {
            number,
            chain: chain_id.to_string(),
            cause,
        })?;
        verified.insert(self.hash, number);
        Ok(())
    }

    fn run(&self, ctx: &mut Ctx) -> Result<(), Failure> {
        for (place, message) in (0..).zip(&self.messages) {
            ctx.message = place;
            if !message.is_of_coldkey_swap() {
                subnets::handle::frozen(ctx, self.signer)?;
            }
            message.handle(ctx, self.signer)?;
        }
        Ok(())
    }
}

/// Where a transaction is executed.
pub(crate) struct Place<'a> {
    pub chain_id: &'a str,
    pub params: &'a Params,
    /// uallo per unit of gas.
    pub price: Fixed,
    pub verified: &'a Verified,
    pub height: u64,
    /// Unix milliseconds.
    pub time_ms: u64,
}

impl Place<'_> {
    fn at(&self) -> (u64, u64) {
        (self.height, self.time_ms)
    }
}

/// How far a transaction came.
pub(crate) enum Verdict {
    /// It cannot be in a block at all; the state is as before.
    Inadmissible(Refusal),
    /// It was charged; the receipt says whether it also did what it asked for.
    Executed(Receipt),
}

/// Gas of a transaction on a state that is thrown away.
pub(crate) fn simulate(parsed: &Parsed, state: &mut State, place: &Place) -> Result<u64, Failure> {
    auth::account(state, parsed.signer)?.ok_or(TxError::UnknownAccount(parsed.signer))?;
    let mut ctx = Ctx::new(state, place.params, place.chain_id, place.at(), u64::MAX).knowing(place.verified);
    // A signature that is still to come has 64 bytes and two of framing.
    ctx.gas.charge(gas::BASE + gas::BYTE * (parsed.bytes as u64 + 66), "transaction size")?;
    parsed.run(&mut ctx)?;
    Ok(ctx.gas.used())
}

/// Executes one transaction on the state of its block.
pub(crate) fn execute(parsed: &Parsed, state: &mut State, place: &Place) -> Result<Verdict, Failure> {
    let whole = state.savepoint();
    let mut ctx =
        Ctx::new(state, place.params, place.chain_id, place.at(), parsed.gas_limit).knowing(place.verified);
    if let Err(failure) = parsed.admit(&mut ctx, place) {
        state.rollback(whole);
        return match failure {
            Failure::Refused(refusal) => Ok(Verdict::Inadmissible(refusal)),
            halt => Err(halt),
        };
    }
    let messages = ctx.state.savepoint();
    let outcome = parsed.run(&mut ctx);
    let gas_used = ctx.gas.used();
    let (events, note, _) = ctx.finish();
    let (events, codespace, code, log) = match outcome {
        Ok(()) => {
            state.release(messages);
            (events, String::new(), 0, note)
        }
        Err(Failure::Refused(refusal)) => {
            state.rollback(messages);
            (Vec::new(), refusal.codespace.to_string(), refusal.code, refusal.log)
        }
        Err(halt) => {
            state.rollback(whole);
            return Err(halt);
        }
    };
    state.release(whole);
    let gas_wanted = parsed.gas_limit;
    Ok(Verdict::Executed(Receipt { hash: parsed.hash, codespace, code, log, gas_wanted, gas_used, events }))
}
