//! The day of the chain: begin → transactions → end. The one ordered list of modules, each place with its reason.

use crate::{
    BlockInput, Fault,
    ctx::{Ctx, Trail},
    error::Failure,
    event::Event,
    feemarket, mint,
    params::Params,
    staking,
    state::State,
    subnets, topics,
    tx::{self, Parsed, Place, Receipt, Verdict},
    validators::Validator,
};

/// Gas of the block's own work is not limited; every loop in it has a bound of its own.
const UNLIMITED: u64 = u64::MAX;

/// A transaction, or a piece of misbehaviour, that must not be in a block made the block invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} does not belong into this block: {cause}")]
pub struct InvalidTx {
    /// Position in the block.
    pub index: usize,
    /// Why.
    pub cause: String,
}

/// What the begin of a block leaves besides its state.
pub(crate) struct Begin {
    /// What happened.
    pub events: Vec<Event>,
    /// Misbehaviour that was punished.
    pub faults: Vec<Fault>,
}

/// Begin of block: tokens come into being before anybody can spend them, and punishments come before anybody can run
/// away from them. A proposer leaves out misbehaviour that cannot be punished (`skip`), a validator refuses it.
pub(crate) fn begin(
    state: &mut State,
    params: &Params,
    chain_id: &str,
    input: &BlockInput,
    skip: bool,
) -> Result<Result<Begin, InvalidTx>, Failure> {
    // Mint first: the topics' part is known only then.
    let for_topics = mint::begin(state, params, input.height)?;
    let mut ctx = Ctx::new(state, params, chain_id, (input.height, input.time_ms), UNLIMITED);
    // Subnets next: those that receive any take their part of it, and epochs that are due run before messages.
    let for_subnets = subnets::begin(&mut ctx, for_topics)?;
    // Topics share the rest by weight; what they cannot take stays with the ecosystem.
    topics::schedule::share_emission(ctx.state, for_topics.saturating_sub(for_subnets))?;
    // Absence first, then misbehaviour: both of the same block cost both.
    staking::begin(&mut ctx, input.signed)?;
    let mut faults = Vec::new();
    for (index, fault) in input.faults.iter().enumerate() {
        if staking::slash::punish(&mut ctx, fault)? {
            faults.push(*fault);
        } else if !skip {
            let key = hex::encode(fault.public_key);
            let cause = format!(
                "misbehaviour of {key} at height {} cannot be punished: too old, punished already, or not of the set",
                fault.height
            );
            return Ok(Err(InvalidTx { index, cause }));
        }
    }
    let (events, _, _) = ctx.finish();
    Ok(Ok(Begin { events, faults }))
}

/// All transactions in order. A proposer leaves out what cannot be in a block (`skip`), a validator refuses it.
/// What no longer fits by its gas limit is left out too; whatever its sender sent after it then fails by its sequence.
/// A proposer also leaves out what would be charged and fail: it has put it into this order, perhaps before something
/// it depends on, and nobody shall pay for that.
pub(crate) fn transactions<'a>(
    state: &mut State,
    place: &Place,
    parsed: impl Iterator<Item = Result<Parsed, String>> + 'a,
    skip: bool,
) -> Result<Result<Vec<(usize, Receipt)>, InvalidTx>, Failure> {
    let mut receipts = Vec::new();
    let max = place.params.feemarket_max_block_utilization;
    let mut room = max;
    for (index, parsed) in parsed.enumerate() {
        let cause = match parsed {
            Err(cause) => cause,
            Ok(parsed) if parsed.gas_limit > room => {
                let (gas, used) = (parsed.gas_limit, max - room);
                format!("its gas limit {gas} and the {used} before it exceed the block's {max}")
            }
            Ok(parsed) => {
                let before = state.savepoint();
                match tx::execute(&parsed, state, place)? {
                    Verdict::Executed(receipt) if skip && receipt.code != 0 => {
                        state.rollback(before);
                        continue;
                    }
                    Verdict::Executed(receipt) => {
                        state.release(before);
                        room -= parsed.gas_limit;
                        receipts.push((index, receipt));
                        continue;
                    }
                    Verdict::Inadmissible(refusal) => {
                        state.release(before);
                        refusal.to_string()
                    }
                }
            }
        };
        if !skip {
            return Ok(Err(InvalidTx { index, cause }));
        }
    }
    Ok(Ok(receipts))
}

/// What the end of a block leaves besides its state.
pub(crate) struct End {
    /// What happened.
    pub events: Vec<Event>,
    /// Inputs of the epochs that were computed.
    pub trails: Vec<Trail>,
    /// Who decides the next block.
    pub validators: Vec<Validator>,
}

/// End of block: windows close and open, then everybody is paid.
pub(crate) fn end(
    state: &mut State,
    params: &Params,
    chain_id: &str,
    input: &BlockInput,
    gas: u64,
) -> Result<End, Failure> {
    let mut ctx = Ctx::new(state, params, chain_id, (input.height, input.time_ms), UNLIMITED);
    if let Some(event) = mint::told(ctx.state, params, input.height)? {
        ctx.emit(event);
    }
    // Topics first: truths are scored before new answers are combined, so that those use the newest scores.
    topics::block::end(&mut ctx)?;
    // Trades of subnets before the fees are divided, because they pay some.
    subnets::end(&mut ctx)?;
    // The price of the next block follows from the gas of this one, whatever else happened.
    feemarket::end(ctx.state, params, gas)?;
    // Staking last: by now the block's fees are complete, and nobody delegates any more.
    let validators = staking::end(&mut ctx, input.signed)?;
    let (events, _, trails) = ctx.finish();
    Ok(End { events, trails, validators })
}
