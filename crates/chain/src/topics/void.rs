//! Epochs that end without a score.

use super::{
    admit, schedule,
    state::{
        DUE, EPOCHS, Epoch, EpochState, OPENINGS, POTS, RECORDS, REGISTRY, REPORTS, Topic, Void, part, phase,
    },
    tell, topics_rewards,
};
use crate::{accounts, bank, ctx::Ctx, error::Failure};

/// Ends an epoch without a score. Its claim on the topic's pot goes back to the ecosystem: a topic that nobody brings
/// the truth for must not save up for a single lucky epoch.
pub(super) fn close_void(
    ctx: &mut Ctx,
    topic: &mut Topic,
    nonce: u64,
    mut epoch: Epoch,
    reason: Void,
) -> Result<(), Failure> {
    let id = topic.id;
    schedule::settle(ctx.state, topic)?;
    let claim = schedule::claim(ctx.state, topic)?;
    let pot = POTS.get(ctx.state, &id)?.unwrap_or(0);
    POTS.put(ctx.state, &id, &(pot - claim));
    bank::transfer(ctx.state, topics_rewards(), accounts::ecosystem(), claim)?;
    topic.void += 1;
    // An epoch without an answer must not wait for a truth.
    DUE.delete(ctx.state, &(epoch.truth_last, phase::SCORE, id, nonce));
    // Labels belong to an answer.
    if !RECORDS.contains(ctx.state, &(id, nonce))? {
        REGISTRY.delete(ctx.state, &(id, nonce));
    }
    let answered = epoch.state == EpochState::Combined;
    epoch.state = EpochState::Void(reason);
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    OPENINGS.delete(ctx.state, &(id, nonce));
    for (key, _) in REPORTS.scan_prefix(ctx.state, &(id, nonce), usize::MAX)? {
        REPORTS.delete(ctx.state, &key);
    }
    admit::close(ctx.state, id, nonce, part::REPUTER)?;
    schedule::return_pot(ctx.state, topic)?;
    ctx.emit(tell::epoch_void(id, nonce, answered, reason, claim));
    Ok(())
}
