//! The only door out of a handler: state to read and write, parameters, the block's height, gas, events, a note for
//! the receipt, and the trails that let others compute an epoch again.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::sign::{self, SignError};
use sha2::{Digest, Sha256};

use crate::{event::Event, gas::Meter, params::Params, state::State, verified::Verified};

/// What a handler can see and touch.
pub struct Ctx<'a> {
    /// Values, through the modules' tables.
    pub state: &'a mut State,
    /// Parameters in force, read once per block.
    pub params: &'a Params,
    /// Name of the chain, bound into signatures.
    pub chain_id: &'a str,
    /// Height of the block being executed.
    pub height: u64,
    /// Its time, unix milliseconds; of a block still to come, the earliest it can have.
    pub time_ms: u64,
    /// Work done so far.
    pub gas: Meter,
    /// Place of the message being handled within its transaction.
    pub message: u32,
    /// Signatures within messages that were found valid before; none between transactions, where nobody signs.
    verified: Option<&'a Verified>,
    events: Vec<Event>,
    note: String,
    trails: Vec<Trail>,
}

/// The complete input of one computation of an epoch. It is no part of the state, whose record of the epoch holds
/// its hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trail {
    /// Topic.
    pub topic: u64,
    /// Epoch.
    pub nonce: u64,
    /// Last block of the epoch's life: so long it is wanted at least.
    pub last_block: u64,
    /// Which of the two.
    pub step: Step,
    /// The input's bytes.
    pub bytes: Vec<u8>,
}

/// The computations of an epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Step {
    /// From payloads to the answer: a [`crate::topics::judge::OpenInput`].
    Open,
    /// From truth to scores and pay: a [`crate::topics::judge::JudgeInput`].
    Judge,
}

impl<'a> Ctx<'a> {
    /// A context with nothing told yet.
    pub fn new(
        state: &'a mut State,
        params: &'a Params,
        chain_id: &'a str,
        (height, time_ms): (u64, u64),
        gas_limit: u64,
    ) -> Self {
        let (events, note, trails) = (Vec::new(), String::new(), Vec::new());
        let gas = Meter::new(gas_limit);
        Self {
            state,
            params,
            chain_id,
            height,
            time_ms,
            gas,
            message: 0,
            verified: None,
            events,
            note,
            trails,
        }
    }

    /// The same, for a transaction whose signatures may have been checked before.
    pub(crate) fn knowing(self, verified: &'a Verified) -> Self {
        Self { verified: Some(verified), ..self }
    }

    /// Checks a signature that a message brings along.
    ///
    /// # Errors
    /// [`SignError`], as of [`sign::verify`].
    pub(crate) fn check_word(&self, public: &[u8], bytes: &[u8], signature: &[u8]) -> Result<(), SignError> {
        match self.verified {
            Some(verified) => verified.word(public, bytes, signature),
            None => sign::verify(public, bytes, signature),
        }
    }

    /// Tells subscribers.
    pub fn emit(&mut self, event: Event) {
        self.events.push(Event { message: self.message, ..event });
    }

    /// How much was told so far, for [`Ctx::untell`].
    pub fn told(&self) -> usize {
        self.events.len()
    }

    /// Takes back what was told since: it has been undone.
    pub fn untell(&mut self, told: usize) {
        self.events.truncate(told);
    }

    /// Tells the sender something about a transaction that did what it asked for.
    pub fn note(&mut self, text: String) {
        self.note = text;
    }

    /// Leaves the input of a computation for those who want to compute it again; gives its hash.
    pub fn trail(
        &mut self,
        (topic, nonce): (u64, u64),
        last_block: u64,
        step: Step,
        input: &impl BorshSerialize,
    ) -> [u8; 32] {
        // Writing to memory does not fail; an empty trail would be seen by its hash.
        let bytes = borsh::to_vec(input).unwrap_or_default();
        let hash = Sha256::digest(&bytes).into();
        self.trails.push(Trail { topic, nonce, last_block, step, bytes });
        hash
    }

    /// What was told, in order; the note; the trails.
    pub fn finish(self) -> (Vec<Event>, String, Vec<Trail>) {
        (self.events, self.note, self.trails)
    }
}
