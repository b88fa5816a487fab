//! The day of the chain: begin → transactions → end. The one ordered list of modules, each place with its reason.

use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    mint,
    params::Params,
    state::State,
    topics,
    tx::{self, Parsed, Place, Receipt, Verdict},
    validators::Validator,
};

/// Gas of the block's own work is not limited; every loop in it has a bound of its own.
const UNLIMITED: u64 = u64::MAX;

/// A transaction that must not be in a block made the block invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction {index} does not belong into this block: {cause}")]
pub struct InvalidTx {
    /// Position in the block.
    pub index: usize,
    /// Why.
    pub cause: String,
}

/// Begin of block: tokens come into being before anybody can spend them.
pub(crate) fn begin(state: &mut State, params: &Params) -> Result<(), Failure> {
    // Mint first: the topics' share is known only then.
    let for_topics = mint::begin(state, params)?;
    // Topics next: each takes its share into its pot, the rest stays with the ecosystem.
    topics::block::begin(state, for_topics)
}

/// All transactions in order. A proposer leaves out what cannot be in a block (`skip`), a validator refuses it.
pub(crate) fn transactions<'a>(
    state: &mut State,
    place: &Place,
    parsed: impl Iterator<Item = Result<Parsed, String>> + 'a,
    skip: bool,
) -> Result<Result<Vec<(usize, Receipt)>, InvalidTx>, Failure> {
    let mut receipts = Vec::new();
    for (index, parsed) in parsed.enumerate() {
        let cause = match parsed {
            Err(cause) => cause,
            Ok(parsed) => match tx::execute(&parsed, state, place)? {
                Verdict::Executed(receipt) => {
                    receipts.push((index, receipt));
                    continue;
                }
                Verdict::Inadmissible(refusal) => refusal.to_string(),
            },
        };
        if !skip {
            return Ok(Err(InvalidTx { index, cause }));
        }
    }
    Ok(Ok(receipts))
}

/// End of block: windows close and open, then everybody is paid. Gives the block's events and who decides next.
pub(crate) fn end(
    state: &mut State,
    params: &Params,
    height: u64,
) -> Result<(Vec<Event>, Vec<Validator>), Failure> {
    let mut ctx = Ctx::new(state, params, height, UNLIMITED);
    // Topics first: truths are scored before new answers are combined, so that those use the newest scores.
    topics::block::end(&mut ctx)?;
    // Validators last: by now the block's fees are complete.
    let validators = mint::end(ctx.state)?;
    Ok((ctx.into_events(), validators))
}
