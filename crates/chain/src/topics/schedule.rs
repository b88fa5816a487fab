//! When a topic asks: it wakes as soon as it has a worker, stake and funding, and what it gets of the emission
//! follows stake and funding.

use dodona_mechanism::{Real, real::func};

use super::state::{DUE, Topic, WEIGHTS, phase};
use crate::{ctx::Ctx, error::Failure, event::Event, params::Params};

/// Most topics that share the emission of a block: the heaviest ones. Others live on what consumers pay.
pub const EMISSION_TOPICS: usize = 256;

/// Why a topic sleeps and what wakes it; none while it is awake or about to wake.
pub fn missing(topic: &Topic, params: &Params) -> Option<String> {
    if topic.workers == 0 {
        return Some("no worker is registered: register one".into());
    }
    if topic.stake < params.min_topic_stake {
        let (has, needs) = (topic.stake, params.min_topic_stake);
        return Some(format!(
            "stake is {has}uallo, {needs}uallo are needed: a registered reputer adds stake"
        ));
    }
    if topic.funded < params.min_topic_funding {
        let (has, needs) = (topic.funded, params.min_topic_funding);
        return Some(format!("funding is {has}uallo, {needs}uallo are needed: anybody funds the topic"));
    }
    None
}

/// After a change of workers, stake or funding: wakes the topic if nothing is missing, and weighs it anew. The
/// caller stores the topic.
pub(super) fn refresh(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    if missing(topic, ctx.params).is_some() {
        return Ok(()); // stake and funding only grow, so an active topic never misses anything
    }
    if !topic.active {
        topic.active = true;
        // The first question is asked at the end of this very block.
        topic.next_open = ctx.height;
        DUE.put(ctx.state, &(ctx.height, phase::OPEN, topic.id, 0), &());
        ctx.emit(Event::new("topic_activated").with("topic_id", topic.id));
    }
    // Topics §2.6 with both exponents 1/2: square root of stake times funding, here without decay.
    let weight = func::sqrt(topic.stake as f64) * func::sqrt(topic.funded as f64);
    let weight = Real::new(weight).unwrap_or(Real::ZERO);
    let mut weights = WEIGHTS.get(ctx.state)?.unwrap_or_default();
    match weights.binary_search_by_key(&topic.id, |w| w.0) {
        Ok(at) => weights[at].1 = weight,
        Err(at) => weights.insert(at, (topic.id, weight)),
    }
    if weights.len() > EMISSION_TOPICS {
        // The lightest goes, the youngest of several; it is back as soon as it is staked on or funded enough.
        let lightest = weights.iter().enumerate().min_by_key(|(at, w)| (w.1, std::cmp::Reverse(*at)));
        if let Some((at, _)) = lightest {
            weights.remove(at);
        }
    }
    WEIGHTS.put(ctx.state, &weights);
    Ok(())
}
