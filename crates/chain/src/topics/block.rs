//! What topics do in every block: take their share of the emission, then work through what is due.
//! Each step loads plain slices, calls the mechanism and saves its output.

use dodona_mechanism::{
    MathError, Real, amount,
    topic::{
        combine::{Forecast, Rule, Synthesis, open_plain},
        interval::error_interval,
        power::{self, MemberState},
        regret,
    },
};

use super::{
    pot_account, score,
    state::{
        Answer, DUE, EPOCHS, Epoch, EpochState, INFERENCES, Key, MEMBERS, Member, NetworkInference, OPENINGS,
        Opening, PAYLOADS, POTS, Part, Payload, RECORDS, REGRETS, Record, TOPICS, Topic, Void, WEIGHTS, part,
        phase,
    },
    void::close_void,
};
use crate::{accounts, bank, ctx::Ctx, error::Failure, event::Event, state::State};

/// Begin of block: splits `available` (it lies in the ecosystem account) between active topics by weight.
pub(crate) fn begin(state: &mut State, available: u128) -> Result<(), Failure> {
    let weights = WEIGHTS.get(state)?.unwrap_or_default();
    let shares: Vec<Real> = weights.iter().map(|w| w.1).collect();
    let Ok(parts) = amount::split(available, &shares) else {
        return Ok(()); // no active topic: it stays with the ecosystem
    };
    bank::transfer(state, accounts::ecosystem(), pot_account(), available)?;
    for ((topic, _), part) in weights.iter().zip(parts) {
        let pot = POTS.get(state, topic)?.unwrap_or(0);
        // All pots together are part of the supply, so the sum fits.
        POTS.put(state, topic, &(pot + part));
    }
    Ok(())
}

/// End of block: everything due, scores first, then answers, then new questions.
pub(crate) fn end(ctx: &mut Ctx) -> Result<(), Failure> {
    let due = DUE.scan_prefix(ctx.state, &ctx.height, usize::MAX)?;
    for (key, ()) in due {
        DUE.delete(ctx.state, &key);
        let (_, what, id, nonce) = key;
        let Some(mut topic) = TOPICS.get(ctx.state, &id)? else { continue };
        match what {
            phase::SCORE => score::score(ctx, &mut topic, nonce)?,
            phase::COMBINE => combine(ctx, &mut topic, nonce)?,
            _ => open(ctx, &mut topic)?,
        }
        TOPICS.put(ctx.state, &id, &topic);
    }
    Ok(())
}

/// Asks the question once more; the nonce is this block.
fn open(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    let (id, nonce, spec) = (topic.id, ctx.height, &topic.spec);
    let epoch = Epoch {
        index: topic.opened,
        state: EpochState::Open,
        worker_last: nonce + spec.worker_window,
        truth_first: nonce + spec.truth_lag + 1,
        truth_last: nonce + spec.truth_lag + spec.truth_window,
        heard: Default::default(),
    };
    DUE.put(ctx.state, &(epoch.worker_last, phase::COMBINE, id, nonce), &());
    DUE.put(ctx.state, &(epoch.truth_last, phase::SCORE, id, nonce), &());
    topic.next_open = nonce + spec.epoch_length;
    DUE.put(ctx.state, &(topic.next_open, phase::OPEN, id, 0), &());
    if topic.opened == 0 {
        topic.oldest = nonce;
    }
    topic.opened += 1;
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    ctx.emit(
        Event::new("epoch_opened")
            .with("topic_id", id)
            .with("nonce", nonce)
            .with("worker_last", epoch.worker_last)
            .with("truth_first", epoch.truth_first)
            .with("truth_last", epoch.truth_last),
    );
    forget_old(ctx, topic);
    Ok(())
}

/// Deletes epochs that fall out of the retention and have ended. One comes at a time and up to two go, so the
/// state stays bounded and a backlog of epochs that had to wait for their truth is worked off.
fn forget_old(ctx: &mut Ctx, topic: &mut Topic) {
    let (id, spec) = (topic.id, &topic.spec);
    let keep = u64::from(ctx.params.epoch_retention) * spec.epoch_length;
    for _ in 0..2 {
        let old = topic.oldest;
        // The last step of an epoch precedes this one within a block.
        let ended = old + spec.truth_lag + spec.truth_window <= ctx.height;
        if old + keep > ctx.height || !ended {
            return;
        }
        EPOCHS.delete(ctx.state, &(id, old));
        RECORDS.delete(ctx.state, &(id, old));
        INFERENCES.delete(ctx.state, &(id, old));
        topic.oldest = old + spec.epoch_length;
    }
}

/// Members of an epoch as the rules want them: sorted by address, forecasts by index into the inferers.
struct Heard {
    inferers: Vec<(Key, Real)>,
    forecasters: Vec<(Key, Forecast)>,
}

/// The window has closed: makes the network inference of everything that was heard.
fn combine(ctx: &mut Ctx, topic: &mut Topic, nonce: u64) -> Result<(), Failure> {
    let id = topic.id;
    let Some(mut epoch) = EPOCHS.get(ctx.state, &(id, nonce))? else { return Ok(()) };
    let heard = take_payloads(ctx, topic, nonce)?;
    let mut members = load_members(ctx.state, topic, &heard)?;
    let opened = if heard.inferers.is_empty() {
        Err(Void::NoInference)
    } else {
        answer(ctx, topic, &heard, &members)?.map_err(|_| Void::Arithmetic)
    };
    let opening = match opened {
        Ok(opening) => opening,
        Err(reason) => return close_void(ctx, topic, nonce, epoch, reason),
    };
    let synthesis = match &opening {
        Opening::Power(o) => &o.synthesis,
        Opening::Regret(o) => &o.synthesis,
        Opening::Plain(s, _) => s,
    };

    topic.combined += 1;
    topic.newest = nonce;
    let weights = synthesis.inferer_weights.iter().chain(&synthesis.forecaster_weights);
    for ((part, account, member), weight) in members.iter_mut().zip(weights) {
        member.heard += 1;
        member.last = ctx.height;
        member.weight = *weight;
        MEMBERS.put(ctx.state, &(id, *part, *account), member);
    }
    let answer = record(ctx.height, &heard, synthesis);
    INFERENCES.put(
        ctx.state,
        &(id, nonce),
        &NetworkInference {
            topic: id,
            nonce,
            value: answer.combined,
            interval: answer.interval,
            members: answer.parts.len() as u32,
        },
    );
    ctx.emit(
        Event::new("epoch_combined")
            .with("topic_id", id)
            .with("nonce", nonce)
            .with("value", answer.combined)
            .with("members", answer.parts.len()),
    );
    epoch.state = EpochState::Combined;
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    RECORDS.put(ctx.state, &(id, nonce), &Record { answer, outcome: None });
    OPENINGS.put(ctx.state, &(id, nonce), &opening);
    Ok(())
}

/// Reads and deletes the payloads of an epoch.
fn take_payloads(ctx: &mut Ctx, topic: &Topic, nonce: u64) -> Result<Heard, Failure> {
    let payloads = PAYLOADS.scan_prefix(ctx.state, &(topic.id, nonce), usize::MAX)?;
    let mut inferers: Vec<(Key, Real)> = Vec::with_capacity(payloads.len());
    let mut forecasts: Vec<(Key, Vec<(Key, Real)>)> = Vec::new();
    for (key, Payload { inference, forecast }) in payloads {
        PAYLOADS.delete(ctx.state, &key);
        if let Some(value) = inference {
            inferers.push((key.2, value));
        }
        if !forecast.is_empty() {
            forecasts.push((key.2, forecast));
        }
    }
    // Keys come in the order of addresses, which is the order of the sums.
    let place = |account: &Key| inferers.binary_search_by(|(other, _)| other.cmp(account)).ok();
    let forecasters = forecasts
        .into_iter()
        .map(|(account, elements)| {
            let losses = elements.iter().filter_map(|(inferer, loss)| Some((place(inferer)?, *loss)));
            (account, Forecast { losses: losses.collect() })
        })
        .collect();
    Ok(Heard { inferers, forecasters })
}

/// Records of everybody heard, in the order of an answer's parts.
fn load_members(state: &State, topic: &Topic, heard: &Heard) -> Result<Vec<(u8, Key, Member)>, Failure> {
    let inferers = heard.inferers.iter().map(|(account, _)| (part::INFERER, *account));
    let forecasters = heard.forecasters.iter().map(|(account, _)| (part::FORECASTER, *account));
    let mut members = Vec::with_capacity(heard.inferers.len() + heard.forecasters.len());
    for (part, account) in inferers.chain(forecasters) {
        let member = MEMBERS.get(state, &(topic.id, part, account))?;
        members.push((part, account, member.unwrap_or_else(|| Member::new(topic.combined))));
    }
    Ok(members)
}

/// The topic's rule on what was heard.
fn answer(
    ctx: &Ctx,
    topic: &Topic,
    heard: &Heard,
    members: &[(u8, Key, Member)],
) -> Result<Result<Opening, MathError>, Failure> {
    let (inferer_members, forecaster_members) = members.split_at(heard.inferers.len());
    Ok(match topic.spec.rule {
        Rule::Power => {
            let inferers: Vec<(MemberState, Real)> = inferer_members
                .iter()
                .zip(&heard.inferers)
                .map(|(m, (_, value))| (m.2.state, *value))
                .collect();
            let forecasters: Vec<(MemberState, Forecast)> = forecaster_members
                .iter()
                .zip(&heard.forecasters)
                .map(|(m, (_, forecast))| (m.2.state, forecast.clone()))
                .collect();
            power::open(&topic.spec.power, &topic.power, &inferers, &forecasters).map(Opening::Power)
        }
        Rule::Regret => {
            let memory = REGRETS.get(ctx.state, &topic.id)?.unwrap_or_default();
            // Forecasts name losses; the regret rule compares their logarithms.
            let forecasters: Vec<(Key, Forecast)> = heard
                .forecasters
                .iter()
                .map(|(account, forecast)| (*account, score::log_forecast(forecast)))
                .collect();
            let config = score::regret_config();
            regret::open(&config, &memory.regrets, &heard.inferers, &forecasters)
                .and_then(|mut opening| {
                    widen(topic, &mut opening.synthesis)?;
                    Ok(opening)
                })
                .map(Opening::Regret)
        }
        rule @ (Rule::Median | Rule::Mean) => {
            let values: Vec<Real> = heard.inferers.iter().map(|(_, value)| *value).collect();
            open_plain(rule, &values, heard.forecasters.len()).and_then(|mut synthesis| {
                widen(topic, &mut synthesis)?;
                Ok(Opening::Plain(synthesis, values))
            })
        }
    })
}

/// Error bar of the rules that keep no scale themselves: the network's own error where it is known.
fn widen(topic: &Topic, synthesis: &mut Synthesis) -> Result<(), MathError> {
    if topic.power.scale_count >= power::SCALE_WARM_UP {
        synthesis.interval = error_interval(synthesis.combined.get(), topic.power.scale.get())?;
    }
    Ok(())
}

/// The public record of an answer.
fn record(at: u64, heard: &Heard, synthesis: &Synthesis) -> Answer {
    let inferers = heard.inferers.iter().enumerate().map(|(j, (account, value))| Part {
        account: *account,
        forecaster: false,
        value: Some(*value),
        weight: synthesis.inferer_weights[j],
        one_out: synthesis.one_out_inferers[j],
        loss: None,
        score: None,
        reward: 0,
    });
    let forecasters = heard.forecasters.iter().enumerate().map(|(k, (account, _))| Part {
        account: *account,
        forecaster: true,
        value: synthesis.implied[k],
        weight: synthesis.forecaster_weights[k],
        one_out: synthesis.one_out_forecasters[k],
        loss: None,
        score: None,
        reward: 0,
    });
    Answer {
        at,
        combined: synthesis.combined,
        naive: synthesis.naive,
        mean: synthesis.mean,
        median: synthesis.median,
        interval: synthesis.interval,
        parts: inferers.chain(forecasters).collect(),
    }
}
