//! Epochs that end without a score.

use super::state::{DUE, EPOCHS, Epoch, EpochState, OPENINGS, TRUTHS, Topic, Void, phase};
use crate::{ctx::Ctx, error::Failure, event::Event};

/// Ends an epoch without a score. What was in the topic's pot stays there for later epochs.
pub(super) fn close_void(
    ctx: &mut Ctx,
    topic: &mut Topic,
    nonce: u64,
    mut epoch: Epoch,
    reason: Void,
) -> Result<(), Failure> {
    let id = topic.id;
    topic.void += 1;
    // An epoch without an answer must not wait for a truth.
    DUE.delete(ctx.state, &(epoch.truth_last, phase::SCORE, id, nonce));
    epoch.state = EpochState::Void(reason);
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    OPENINGS.delete(ctx.state, &(id, nonce));
    for (key, _) in TRUTHS.scan_prefix(ctx.state, &(id, nonce), usize::MAX)? {
        TRUTHS.delete(ctx.state, &key);
    }
    ctx.emit(
        Event::new("epoch_void").with("topic_id", id).with("nonce", nonce).with("reason", reason.text()),
    );
    Ok(())
}
