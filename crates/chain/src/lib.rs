//! The deterministic state machine: genesis, check, execute, commit, query as plain functions over an overlay.
//! No clock, no I/O, no randomness, no threads: the same blocks give the same roots on every machine.

mod accounts;
mod auth;
mod bank;
mod block;
mod ctx;
pub mod emissions;
mod error;
mod event;
pub mod feemarket;
mod gas;
mod genesis;
mod invariants;
pub mod ledger;
mod mint;
mod params;
mod query;
pub mod staking;
mod state;
pub mod subnets;
mod text;
pub mod topics;
mod tx;
pub mod upgrade;
mod validators;
mod verified;

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::supply::Fixed;
use dodona_store::{Hash, Item, Overlay, Prepared, RecordChange, Snapshot, Store, StoreError};
use sha2::{Digest, Sha256};

pub use block::InvalidTx;
pub use ctx::{Step, Trail};
pub use error::{Coded, Failure, Refusal};
pub use event::{Event, Published};
pub use gas::{
    BASE, BYTE, CREATE_SUBNET, CREATE_TOPIC, DELEGATION, FORECAST_ELEMENT, LIST_ENTRY, LOSS_ENTRY,
    REDELEGATION, REGISTER_NEURON, SEND, SIGNATURE, SUBMIT, SUBNET_TRADE, SUBNET_WEIGHTS, SUBNET_WRITE,
    TOPIC_WRITE, VALIDATOR, WEIGHT, WITHDRAW,
};
pub use genesis::{Genesis, GenesisAccount, GenesisCommission, GenesisError, GenesisValidator};
pub use invariants::Violation;
pub use params::Params;
pub use query::QueryError;
pub use text::parse_amount;
pub use tx::{Parsed, Receipt, TxError};
pub use validators::Validator;

use block::End;
use state::State;
use tx::{Place, Verdict};
use upgrade::Upgrade;
use verified::Verified;

/// What the chain remembers of itself between blocks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Bound into every signature.
    pub chain_id: String,
    /// Height of the block that wrote this; 0 is genesis.
    pub height: u64,
    /// Its time, unix milliseconds.
    pub time_ms: u64,
    /// Transactions executed since genesis.
    pub txs: u64,
}

const TIP: Item<Tip> = Item::new(*b"00");
/// Which form of the state a store holds. Written once, at genesis.
const FORM: Item<u32> = Item::new(*b"0f");
/// The form this program reads and writes; another number means other tables.
const THIS_FORM: u32 = 5;

/// Whether signatures are checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Always; the only choice for a node.
    Check,
    /// Never: for replays of transactions the same process has just made (backtests).
    Trust,
}

/// The application: one store, one chain. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct App {
    store: Store,
    verified: Arc<Verified>,
    chain_id: Arc<str>,
    upgrades: &'static [Upgrade],
}

/// Why the application cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Disk or state are broken.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis document is wrong.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The store belongs to another chain.
    #[error(
        "this home holds chain `{found}`, not `{wanted}`: choose another home, or the genesis it was made with"
    )]
    OtherChain {
        /// Chain in the store.
        found: String,
        /// Chain asked for.
        wanted: String,
    },
    /// The store was written by a program whose state looks different.
    #[error(
        "this home holds a state of form {found}, this program reads form {reads}: use the program it was made with, or start a new home"
    )]
    OtherForm {
        /// Form in the store.
        found: u32,
        /// Form of this program.
        reads: u32,
    },
    /// An upgrade is planned for this block that this program cannot make.
    #[error(
        "upgrade `{name}` is planned for block {height}, and this program does not know it from state form {form}: \
         start a program that does, on this same home ({info})"
    )]
    UnknownUpgrade {
        /// Name in the plan.
        name: String,
        /// Block that is not made.
        height: u64,
        /// Form of the state.
        form: u32,
        /// What the plan tells operators.
        info: String,
    },
    /// The store is not empty but holds no chain.
    #[error("the store holds data but no chain: choose another home")]
    NoTip,
    /// A formula or a rule was broken inside the end-of-block work, which must not happen.
    #[error("broken invariant: {0}")]
    Broken(String),
}

impl From<Failure> for AppError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Halt(error) => Self::Store(error),
            // The block's own work has nobody to refuse: a refusal there is a broken promise.
            Failure::Refused(refusal) => Self::Broken(refusal.to_string()),
        }
    }
}

/// What a block asks to be executed.
#[derive(Clone, Debug)]
pub struct BlockInput<'a> {
    /// One above the last committed height.
    pub height: u64,
    /// Unix milliseconds, above the last block's.
    pub time_ms: u64,
    /// Transactions in order.
    pub txs: &'a [Vec<u8>],
    /// Ed25519 key of the author; none where nobody in particular makes blocks (replays, tests).
    pub proposer: Option<[u8; 32]>,
    /// Keys of the validators whose signatures under the block before this one carries, ascending. None where
    /// nobody's absence shall be counted: the first block, replays.
    pub signed: Option<&'a [[u8; 32]]>,
    /// Misbehaviour this block proves, in order. The caller has checked the signatures against the set of the
    /// fault's height ([`App::validators_of`]).
    pub faults: &'a [Fault],
}

impl<'a> BlockInput<'a> {
    /// A block of which nothing is known but its transactions.
    pub fn of(height: u64, time_ms: u64, txs: &'a [Vec<u8>]) -> Self {
        Self { height, time_ms, txs, proposer: None, signed: None, faults: &[] }
    }
}

/// Two signed messages of one validator that exclude one another, boiled down to whom and when.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Height whose block it disturbed.
    pub height: u64,
    /// Ed25519 key that signed both.
    pub public_key: [u8; 32],
}

/// A block executed but not committed.
#[derive(Debug)]
pub struct Executed {
    /// Its height.
    pub height: u64,
    /// State root after it.
    pub root: Hash,
    /// Hash over what became of each transaction.
    pub receipts_hash: Hash,
    /// One per transaction.
    pub receipts: Vec<Receipt>,
    /// Events of the block itself.
    pub events: Vec<Event>,
    /// Complete inputs of the epochs the block computed; their hashes are in the state.
    pub trails: Vec<Trail>,
    /// Who decides the next block.
    pub validators: Vec<Validator>,
    /// Misbehaviour that was punished: all of the input's, or what a proposer may put into the block.
    pub faults: Vec<Fault>,
    prepared: Prepared,
}

/// Pending transactions seen by the mempool, on top of the committed state.
pub struct Checker {
    state: State,
    params: Params,
    price: Fixed,
    height: u64,
    time_ms: u64,
}

impl Checker {
    /// Sum of gas limits that fits into the next block.
    pub fn block_gas(&self) -> u64 {
        self.params.feemarket_max_block_utilization
    }

    /// Parameters it checks with.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Height of the block it checks for.
    pub fn height(&self) -> u64 {
        self.height
    }
}

impl App {
    /// Opens a chain; an empty store is given its genesis state.
    pub fn open(store: Store, genesis: &Genesis, signatures: Signatures) -> Result<Self, AppError> {
        Self::open_with(store, genesis, signatures, upgrade::KNOWN)
    }

    /// [`App::open`] of a program that knows these upgrades.
    pub fn open_with(
        store: Store,
        genesis: &Genesis,
        signatures: Signatures,
        upgrades: &'static [Upgrade],
    ) -> Result<Self, AppError> {
        let verified = Arc::new(Verified::new(signatures == Signatures::Trust));
        if store.version().is_none() {
            let mut state = Overlay::new(store.snapshot()?);
            genesis.write(&mut state)?;
            let chain_id = genesis.chain_id.clone();
            TIP.put(&mut state, &Tip { chain_id, height: 0, time_ms: genesis.time_ms, txs: 0 });
            FORM.put(&mut state, &THIS_FORM);
            let prepared = store.prepare(state.into_batch()?);
            store.commit(0, prepared, Vec::new())?;
        }
        let found = TIP.get(&store.snapshot()?)?.ok_or(AppError::NoTip)?.chain_id;
        if found != genesis.chain_id {
            return Err(AppError::OtherChain { found, wanted: genesis.chain_id.clone() });
        }
        let form = upgrade::form(&store.snapshot()?)?;
        if !upgrade::runs(form, upgrades) {
            return Err(AppError::OtherForm { found: form, reads: THIS_FORM });
        }
        Ok(Self { store, verified, chain_id: found.into(), upgrades })
    }

    /// Last committed height, time and counters.
    pub fn tip(&self) -> Result<Tip, AppError> {
        TIP.get(&self.store.snapshot()?)?.ok_or(AppError::NoTip)
    }

    /// Root of the last committed state.
    pub fn root(&self) -> Hash {
        self.store.root()
    }

    /// The store, for proofs and records.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The chain's name.
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// Who decides the next block.
    pub fn validators(&self) -> Result<Vec<Validator>, AppError> {
        Ok(staking::set::current(&self.store.snapshot()?)?.members)
    }

    /// Who decided block `height`, as long as misbehaviour at it can be punished; none before and after.
    pub fn validators_of(&self, height: u64) -> Result<Option<Vec<Validator>>, AppError> {
        let read = self.store.snapshot()?;
        let tip = TIP.get(&read)?.ok_or(AppError::NoTip)?.height;
        if height == 0 || height > tip + 1 { Ok(None) } else { Ok(staking::set::at(&read, height)?) }
    }

    /// Whether the next block may carry this misbehaviour: its author was in the set of that height, which is not too
    /// old, and was not punished for such a thing before. A block that carries another one is invalid, and so is one
    /// that carries two of the same author.
    pub fn punishable(&self, fault: &Fault) -> Result<bool, AppError> {
        let read = self.store.snapshot()?;
        let tip = TIP.get(&read)?.ok_or(AppError::NoTip)?.height;
        Ok(fault.height <= tip + 1 && staking::slash::offender(&read, fault)?.is_some())
    }

    /// Parameters in force.
    pub fn params(&self) -> Result<Params, AppError> {
        Ok(params::get(&self.store.snapshot()?)?)
    }

    /// A fresh view for admission to the mempool, on the last committed state.
    pub fn checker(&self) -> Result<Checker, AppError> {
        let state = Overlay::new(self.store.snapshot()?);
        let tip = TIP.get(&state)?.ok_or(AppError::NoTip)?;
        let params = params::get(&state)?;
        let price = feemarket::get(&state, &params)?.price;
        // The earliest time the next block can have: what must wait for a time waits long enough.
        Ok(Checker { state, params, price, height: tip.height + 1, time_ms: tip.time_ms + 1 })
    }

    /// Takes a transaction apart, as far as that goes without any state.
    pub fn parse(&self, params: &Params, bytes: &[u8]) -> Result<Parsed, Failure> {
        Ok(tx::parse(bytes, params)?)
    }

    /// Checks a transaction's signature before its block comes, and remembers a valid one. Changes no result: for
    /// callers who have processors to spare.
    pub fn verify_ahead(&self, checker: &Checker, bytes: &[u8]) -> Result<(), AppError> {
        let Ok(parsed) = tx::parse(bytes, &checker.params) else { return Ok(()) };
        if let Some(account) = auth::account(&checker.state, parsed.signer)? {
            // A signature that is refused here is refused again, and told, where it counts.
            let _ = parsed.check_signature(&self.chain_id, account.number, &self.verified);
        }
        Ok(())
    }

    /// Would this transaction do what it asks for in the next block, after the ones checked before it? Messages
    /// are tried too: what cannot count is refused here, before its sender pays.
    pub fn check(&self, checker: &mut Checker, bytes: &[u8]) -> Result<Parsed, Failure> {
        let parsed = self.parse(&checker.params, bytes)?;
        self.check_parsed(checker, &parsed)?;
        Ok(parsed)
    }

    /// [`App::check`] of a transaction already taken apart.
    pub fn check_parsed(&self, checker: &mut Checker, parsed: &Parsed) -> Result<(), Failure> {
        let place = Place {
            chain_id: &self.chain_id,
            params: &checker.params,
            price: checker.price,
            verified: &self.verified,
            height: checker.height,
            time_ms: checker.time_ms,
        };
        let before = checker.state.savepoint();
        let failed = match tx::execute(parsed, &mut checker.state, &place) {
            Err(halt) => Some(halt),
            Ok(Verdict::Inadmissible(refusal)) => Some(Failure::Refused(refusal)),
            Ok(Verdict::Executed(r)) if r.code != 0 => {
                let codespace = intern(&r.codespace);
                Some(Failure::Refused(Refusal { codespace, code: r.code, log: r.log }))
            }
            Ok(Verdict::Executed(_)) => None,
        };
        if let Some(failure) = failed {
            checker.state.rollback(before);
            return Err(failure);
        }
        checker.state.release(before);
        Ok(())
    }

    /// Gas a transaction would use in the next block; its signature, sequence, fee and gas limit do not matter.
    pub fn simulate(&self, bytes: &[u8]) -> Result<u64, Failure> {
        let mut state = Overlay::new(self.store.snapshot()?);
        let (tip, time_ms) = TIP.get(&state)?.map_or((0, 0), |tip| (tip.height, tip.time_ms));
        let params = params::get(&state)?;
        let parsed = tx::parse_unsigned(bytes, &params)?;
        let place = Place {
            chain_id: &self.chain_id,
            params: &params,
            price: Fixed::ZERO,
            verified: &self.verified,
            height: tip + 1,
            time_ms: time_ms + 1,
        };
        tx::simulate(&parsed, &mut state, &place)
    }

    /// Executes a block proposed by somebody. The inner error says why the block is invalid.
    pub fn execute(&self, input: &BlockInput) -> Result<Result<Executed, InvalidTx>, AppError> {
        Ok(self.run(input, false)?.map(|(executed, _)| executed))
    }

    /// Executes the transactions that can be executed, in order, and says which those were (ascending indices).
    pub fn propose(&self, input: &BlockInput) -> Result<(Executed, Vec<usize>), AppError> {
        self.run(input, true)?.map_err(|invalid| AppError::Broken(invalid.to_string()))
    }

    #[allow(clippy::type_complexity)] // private, and both layers of the result mean different things
    fn run(
        &self,
        input: &BlockInput,
        skip: bool,
    ) -> Result<Result<(Executed, Vec<usize>), InvalidTx>, AppError> {
        let mut state = Overlay::new(self.store.snapshot()?);
        let tip = TIP.get(&state)?.ok_or(AppError::NoTip)?;
        if input.height != tip.height + 1 || input.time_ms <= tip.time_ms {
            let cause = format!("height {} or time does not follow block {}", input.height, tip.height);
            return Ok(Err(InvalidTx { index: 0, cause }));
        }
        let upgraded = upgrade::begin(&mut state, self.upgrades, input.height)?;
        let params = params::get(&state)?;
        let price = feemarket::get(&state, &params)?.price;
        let begun = match block::begin(&mut state, &params, &self.chain_id, input, skip)? {
            Ok(begun) => begun,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let place = Place {
            chain_id: &self.chain_id,
            params: &params,
            price,
            verified: &self.verified,
            height: input.height,
            time_ms: input.time_ms,
        };
        let parsed = input.txs.iter().map(|bytes| tx::parse(bytes, &params).map_err(|e| e.to_string()));
        let numbered = match block::transactions(&mut state, &place, parsed, skip)? {
            Ok(receipts) => receipts,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let (included, receipts): (Vec<usize>, Vec<Receipt>) = numbered.into_iter().unzip();
        let gas = receipts.iter().map(|r| r.gas_wanted).fold(0, u64::saturating_add);
        let End { events: at_end, trails, validators } =
            block::end(&mut state, &params, &self.chain_id, input, gas)?;
        let events = upgraded.into_iter().chain(begun.events).chain(at_end).collect();
        let txs = tip.txs + receipts.len() as u64;
        let chain_id = tip.chain_id;
        TIP.put(&mut state, &Tip { chain_id, height: input.height, time_ms: input.time_ms, txs });
        let prepared = self.store.prepare(state.into_batch()?);
        let executed = Executed {
            height: input.height,
            root: prepared.root(),
            receipts_hash: receipts_hash(&receipts),
            receipts,
            events,
            trails,
            validators,
            faults: begun.faults,
            prepared,
        };
        Ok(Ok((executed, included)))
    }

    /// Makes an executed block permanent, together with records of the caller: all or nothing.
    pub fn commit(&self, executed: Executed, records: Vec<RecordChange>) -> Result<Hash, AppError> {
        Ok(self.store.commit(executed.height, executed.prepared, records)?)
    }

    /// Answers a query of `dodona_proto::path` from the last committed state.
    pub fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        query::answer(&self.store.snapshot()?, path, request)
    }

    /// [`App::query`] of the state after block `at`, one of those that are kept; 0 is the newest.
    pub fn query_at(&self, path: &str, request: &[u8], at: u64) -> Result<Vec<u8>, QueryError> {
        query::answer(&self.state_at(at)?, path, request)
    }

    /// The state after block `at`; 0 is the newest. [`QueryError::Bad`] if it is not kept, naming the oldest that is.
    pub fn state_at(&self, at: u64) -> Result<Snapshot, QueryError> {
        if at == 0 {
            return Ok(self.store.snapshot()?);
        }
        self.store.snapshot_at(at).map_err(|error| match error {
            StoreError::UnknownVersion { latest, .. } if latest.is_none_or(|latest| at > latest) => {
                let latest = latest.unwrap_or(0);
                QueryError::Bad(format!("height {at} is in the future: the newest block is {latest}"))
            }
            StoreError::UnknownVersion { oldest, .. } => {
                // 0 stands for the newest, so that the genesis state cannot be asked for.
                let oldest = oldest.unwrap_or(0).max(1);
                QueryError::Bad(format!(
                    "the state after block {at} is not kept: the oldest kept is {oldest}"
                ))
            }
            error => error.into(),
        })
    }

    /// Checks every promise the state makes. Slow: for tests and diagnosis.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        invariants::check(&self.store.snapshot()?)
    }
}

/// Commits to results without events and texts, which are for people. Block headers carry it.
pub fn receipts_hash(receipts: &[Receipt]) -> Hash {
    let mut hash = Sha256::new();
    for r in receipts {
        hash.update(r.hash);
        // The code means nothing without its codespace; one byte of length keeps the fields apart.
        hash.update([r.codespace.len() as u8]);
        hash.update(&r.codespace);
        hash.update(r.code.to_be_bytes());
        hash.update(r.gas_used.to_be_bytes());
    }
    hash.finalize().into()
}

/// Codespaces are a closed set; a receipt read back from text finds its constant again.
fn intern(codespace: &str) -> &'static str {
    [topics::CODESPACE, subnets::CODESPACE, "staking", "slashing", "distribution"]
        .into_iter()
        .find(|known| *known == codespace)
        .unwrap_or("sdk")
}
