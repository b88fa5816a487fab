//! When a topic asks and what it gets: weight from stake and revenue, sleep below a least weight, a bounded number of
//! topics per block, and the topics' part of the emission by weight (topic specification, sections 2.6 and 2.7).

use dodona_mechanism::{Real, real::func, stats};

use super::{
    state::{DUE, POTS, SHARED, TOPICS, Topic, phase},
    tell, topics_rewards,
};
use crate::{accounts, bank, ctx::Ctx, error::Failure, params::Params, state::State};

/// Furthest the forecast of a topic's funding looks ahead.
const DRY_HORIZON: u64 = 10_000;

/// Begin of block: takes the topics' part of the emission, which lies in the ecosystem account. What nobody can
/// take stays there.
pub(crate) fn share_emission(state: &mut State, available: u128) -> Result<(), Failure> {
    let mut shared = SHARED.get(state)?.unwrap_or_default();
    shared.newest = 0;
    if available > 0 && shared.shares > 0 {
        // An amount per share beyond u128 needs more tokens than there are.
        if let Ok(per_share) = shared.per_share.pay(available, shared.shares) {
            bank::transfer(state, accounts::ecosystem(), topics_rewards(), available)?;
            shared.per_share = per_share;
            shared.newest = available;
        }
    }
    SHARED.put(state, &shared);
    Ok(())
}

/// Moves what a topic is owed of the emission into its pot. The caller stores the topic.
pub(super) fn settle(state: &mut State, topic: &mut Topic) -> Result<(), Failure> {
    let shared = SHARED.get(state)?.unwrap_or_default();
    let owed = shared.per_share.owed(topic.settled, topic.shares).unwrap_or(0);
    topic.settled = shared.per_share;
    if owed > 0 {
        let pot = POTS.get(state, &topic.id)?.unwrap_or(0);
        // All pots together are part of the supply, so the sum fits.
        POTS.put(state, &topic.id, &(pot + owed));
    }
    Ok(())
}

/// The weight a topic's smoothed weight moves towards: `stake^mu * revenue^nu`.
pub fn target(topic: &Topic, params: &Params) -> Real {
    if topic.stake == 0 || topic.revenue == 0 {
        return Real::ZERO;
    }
    let power = |amount: u128, exponent: Real| match exponent.get() {
        0.5 => func::sqrt(amount as f64),
        exponent => func::pow(amount as f64, exponent),
    };
    let stake = power(topic.stake, params.topic_reward_stake_importance);
    Real::new(stake * power(topic.revenue, params.topic_reward_fee_revenue_importance)).unwrap_or(Real::ZERO)
}

/// Smoothed weight after one more look at stake and revenue.
pub fn weigh(topic: &Topic, params: &Params) -> Real {
    weigh_at(topic, params, smoothed_alpha(topic.spec.epoch_length, params))
}

fn weigh_at(topic: &Topic, params: &Params, alpha: f64) -> Real {
    if topic.revenue == 0 {
        return Real::ZERO;
    }
    let target = target(topic, params);
    let Some(before) = topic.weight else { return target };
    Real::new(stats::ema(alpha, target.get(), before.get(), false)).unwrap_or(target)
}

/// A week's smoothing, per epoch.
fn smoothed_alpha(epoch_length: u64, params: &Params) -> f64 {
    let share = epoch_length as f64 / params.blocks_per_week();
    1.0 - func::pow(1.0 - params.topic_reward_alpha.get(), share)
}

/// Revenue after one epoch's drip: what came in is spread over about a week.
pub fn drip(revenue: u128, epoch_length: u64, params: &Params) -> u128 {
    let epochs_per_week = params.blocks_per_week() / epoch_length as f64;
    // An epoch longer than a week takes all.
    let lost = (revenue as f64 / epochs_per_week).ceil();
    if lost >= revenue as f64 { 0 } else { revenue - lost as u128 }
}

/// Epochs a topic would go on asking without further funding; 10 000 stands for longer.
pub fn runs_dry(topic: &Topic, params: &Params) -> u64 {
    let mut later = topic.clone();
    let alpha = smoothed_alpha(topic.spec.epoch_length, params);
    for epoch in 0..DRY_HORIZON {
        let weight = weigh_at(&later, params, alpha);
        if weight < params.min_topic_weight || weight == Real::ZERO {
            return epoch;
        }
        later.weight = Some(weight);
        later.revenue = drip(later.revenue, later.spec.epoch_length, params);
    }
    DRY_HORIZON
}

/// Why a topic sleeps and what wakes it; none while it is awake or about to wake.
pub fn missing(topic: &Topic, params: &Params) -> Option<String> {
    if topic.stake == 0 {
        return Some("no stake: a registered reputer adds stake".into());
    }
    if topic.revenue == 0 {
        return Some("no funding: anybody funds the topic".into());
    }
    let (weight, least) = (weigh(topic, params), params.min_topic_weight);
    if weight < least || weight == Real::ZERO {
        let target = target(topic, params);
        return Some(format!(
            "its weight is {weight} (moving towards {target}), {least} is needed: more stake or funding"
        ));
    }
    (!topic.active).then(|| {
        "all topics that ask in the same block are heavier; more stake or funding, or any payment in another block"
            .to_string()
    })
}

/// After a payment or more stake: wakes a sleeping topic that weighs enough. The caller stores the topic.
pub(super) fn wake(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    if topic.active {
        return Ok(());
    }
    let weight = weigh(topic, ctx.params);
    // The first question is asked at the end of this very block; who wakes again keeps the distance of its questions,
    // so that two windows are never open at once.
    let block = match topic.opened {
        0 => ctx.height,
        _ => ctx.height.max(topic.last_opened + topic.spec.epoch_length),
    };
    let heavy = weight >= ctx.params.min_topic_weight && weight > Real::ZERO;
    if !heavy || !take_slot(ctx, topic, weight, block)? {
        return Ok(());
    }
    topic.active = true;
    topic.next_open = block;
    share(ctx.state, topic, weight)?;
    ctx.emit(tell::topic_status(topic, weight));
    Ok(())
}

/// At the end of an epoch: new weight, drip, and whether the topic goes on. The caller stores the topic.
pub(super) fn turn(ctx: &mut Ctx, topic: &mut Topic) -> Result<bool, Failure> {
    let weight = weigh(topic, ctx.params);
    // Smoothing begins with what is there after the first epoch: until then stake and funding are only arriving.
    if topic.opened > 0 {
        topic.weight = Some(weight);
    }
    share(ctx.state, topic, weight)?;
    let revenue = topic.revenue;
    topic.revenue = drip(revenue, topic.spec.epoch_length, ctx.params);
    ctx.emit(tell::topic_weighed(topic, weight, revenue));
    if weight < ctx.params.min_topic_weight || weight == Real::ZERO {
        sleep(ctx, topic)?;
        return Ok(false);
    }
    Ok(true)
}

/// Schedules the next question, or puts the topic to sleep if others are heavier.
pub(super) fn next(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    let block = ctx.height + topic.spec.epoch_length;
    let weight = known_weight(topic, ctx.params);
    if take_slot(ctx, topic, weight, block)? {
        topic.next_open = block;
        return Ok(());
    }
    sleep(ctx, topic)
}

/// Weight and share of the emission after stake left at once. The caller stores the topic.
pub(super) fn lighten(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    // Stake that leaves never makes a topic heavier, however often it is looked at.
    let weight = match topic.weight {
        Some(before) => weigh(topic, ctx.params).min(before),
        None => target(topic, ctx.params),
    };
    if topic.weight.is_some() {
        topic.weight = Some(weight);
    }
    share(ctx.state, topic, weight)
}

/// The smoothed weight, or before the end of the first epoch what it moves towards.
fn known_weight(topic: &Topic, params: &Params) -> Real {
    topic.weight.unwrap_or_else(|| target(topic, params))
}

/// Gives an active topic the shares its weight is worth, and takes them from a sleeping one.
fn share(state: &mut State, topic: &mut Topic, weight: Real) -> Result<(), Failure> {
    settle(state, topic)?;
    // Every active topic has a share; a weight is far below 2^126, being made of square roots of amounts.
    let shares = if topic.active { (weight.get() as u128).clamp(1, u128::MAX >> 32) } else { 0 };
    let mut shared = SHARED.get(state)?.unwrap_or_default();
    shared.shares = shared.shares - topic.shares + shares;
    topic.shares = shares;
    SHARED.put(state, &shared);
    Ok(())
}

fn sleep(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    topic.active = false;
    topic.next_open = 0;
    let weight = known_weight(topic, ctx.params);
    share(ctx.state, topic, weight)?;
    ctx.emit(tell::topic_status(topic, weight));
    return_pot(ctx.state, topic)
}

/// Of a topic that sleeps and waits for no truth nobody can earn anything: its pot goes back to the ecosystem.
pub(super) fn return_pot(state: &mut State, topic: &Topic) -> Result<(), Failure> {
    if topic.active || topic.waiting() > 0 {
        return Ok(());
    }
    let pot = POTS.get(state, &topic.id)?.unwrap_or(0);
    POTS.put(state, &topic.id, &0);
    bank::transfer(state, topics_rewards(), accounts::ecosystem(), pot)
}

/// A place among the topics that ask in a block; a full block's lightest topic makes room for one as heavy.
fn take_slot(ctx: &mut Ctx, topic: &Topic, weight: Real, block: u64) -> Result<bool, Failure> {
    let max = ctx.params.max_active_topics_per_block as usize;
    let taken = DUE.scan_prefix(ctx.state, &(block, phase::OPEN), usize::MAX)?;
    if taken.len() >= max {
        let mut lightest: Option<(Real, Topic)> = None;
        for ((.., id, _), ()) in taken {
            let Some(other) = TOPICS.get(ctx.state, &id)? else { continue };
            let other_weight = known_weight(&other, ctx.params);
            if lightest.as_ref().is_none_or(|(least, _)| other_weight < *least) {
                lightest = Some((other_weight, other));
            }
        }
        let Some((_, mut lightest)) = lightest.filter(|(least, _)| weight >= *least) else {
            return Ok(false);
        };
        DUE.delete(ctx.state, &(block, phase::OPEN, lightest.id, 0));
        sleep(ctx, &mut lightest)?;
        TOPICS.put(ctx.state, &lightest.id, &lightest);
    }
    DUE.put(ctx.state, &(block, phase::OPEN, topic.id, 0), &());
    Ok(true)
}

/// What a topic's epoch may pay: waiting epochs have equal claims on the pot. The caller has settled.
pub(super) fn claim(state: &State, topic: &Topic) -> Result<u128, Failure> {
    Ok(POTS.get(state, &topic.id)?.unwrap_or(0) / u128::from(topic.waiting().max(1)))
}
