//! A reputer's word for an epoch: what happened, or the losses of everything the network published.

use std::collections::{BTreeMap, BTreeSet};

use dodona_mechanism::{
    Real,
    topic::combine::{LossForm, Losses},
};
use dodona_proto::{
    Address,
    topics::{MemberLoss, MsgReportLosses, MsgReportTruth},
};

use super::{
    TopicError, charge, load_topic, no_epoch, number, parse_address, require_fee, require_registered,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    gas,
    topics::{
        admit::{self, Admitted, Candidate},
        label, lists, stake,
        state::{
            EPOCHS, Epoch, EpochState, Key, OPENINGS, Opening, RECORDS, REGISTRY, REPORTS, Report, TOPICS,
            Topic, TruthMode, UNHEARD, part, role,
        },
        tell,
    },
};

/// Largest size of a decimal logarithm of a loss. Submitted numbers end at 1e40, so no loss comes near; a single report
/// beyond the doubles would leave the whole epoch without a result.
const MAX_LOGARITHM: f64 = 100.0;

/// Most labels of a report that nobody answered: the truth may be one of them, but the agreement looks at all.
const MAX_OUTSIDE: u32 = 16;

/// `MsgReportTruth`: what happened, from a reputer with something at stake.
pub(crate) fn report_truth(ctx: &mut Ctx, from: Address, m: &MsgReportTruth) -> Result<(), Failure> {
    truth(ctx, from, from, m)
}

/// `MsgReportLosses`: losses of exactly what the network published.
pub(crate) fn report_losses(ctx: &mut Ctx, from: Address, m: &MsgReportLosses) -> Result<(), Failure> {
    losses(ctx, from, from, m)
}

/// [`report_truth`], where somebody else pays.
pub(super) fn truth(ctx: &mut Ctx, payer: Address, from: Address, m: &MsgReportTruth) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBMIT + gas::FORECAST_ELEMENT * m.values.len() as u64, "truth")?;
    let topic = load_topic(ctx, m.topic_id)?;
    if topic.spec.truth_mode != TruthMode::Truth {
        let (takes, message) = ("losses", "MsgReportLosses");
        return Err(TopicError::Mode { topic: topic.id, takes, message }.into());
    }
    let (epoch, authority) = may_report(ctx, &topic, m.nonce, from)?;
    let values = truth_values(ctx, &topic, m)?;
    let evidence = match m.evidence.as_slice() {
        [] => None,
        bytes => Some(bytes.try_into().map_err(|_| TopicError::Value {
            field: "evidence",
            cause: format!("{} bytes, a hash has 32", bytes.len()),
        })?),
    };
    require_fee(ctx, payer, ctx.params.data_sending_fee)?;
    // Nothing below can fail.
    receive(ctx, topic, epoch, m.nonce, Sender { payer, from, authority }, Report::Truth { values, evidence })
}

/// [`report_losses`], where somebody else pays.
pub(crate) fn losses(
    ctx: &mut Ctx,
    payer: Address,
    from: Address,
    m: &MsgReportLosses,
) -> Result<(), Failure> {
    let pairs: usize = m.one_out_inferer_forecaster.iter().map(|row| row.without.len()).sum();
    let lists =
        [&m.inferers, &m.forecasters, &m.one_out_inferers, &m.one_out_forecasters, &m.one_in_forecasters];
    let entries = pairs + lists.iter().map(|list| list.len()).sum::<usize>();
    ctx.gas.charge(gas::SUBMIT + gas::LOSS_ENTRY * entries as u64, "losses")?;
    let topic = load_topic(ctx, m.topic_id)?;
    if topic.spec.truth_mode != TruthMode::Losses {
        let (takes, message) = ("what happened", "MsgReportTruth");
        return Err(TopicError::Mode { topic: topic.id, takes, message }.into());
    }
    let (epoch, authority) = may_report(ctx, &topic, m.nonce, from)?;
    let losses = bundle(ctx, &topic, m)?;
    require_fee(ctx, payer, ctx.params.data_sending_fee)?;
    // Nothing below can fail.
    receive(ctx, topic, epoch, m.nonce, Sender { payer, from, authority }, Report::Losses(losses))
}

/// Who reports, who pays, and the stake behind it.
struct Sender {
    payer: Address,
    from: Address,
    authority: u128,
}

/// What both kinds of report require: a registered, permitted reputer with enough stake, an open window, no report yet.
fn may_report(ctx: &Ctx, topic: &Topic, nonce: u64, from: Address) -> Result<(Epoch, u128), Failure> {
    require_registered(ctx, topic, role::REPUTER, from)?;
    let epoch = EPOCHS.get(ctx.state, &(topic.id, nonce))?.ok_or_else(|| no_epoch(topic, nonce))?;
    lists::require(ctx, topic, role::REPUTER, from)?;
    let height = ctx.height;
    match epoch.state {
        EpochState::Scored => return Err(TopicError::Done { nonce, state: "scored" }.into()),
        EpochState::Void(_) => return Err(TopicError::Done { nonce, state: "void" }.into()),
        EpochState::Open | EpochState::Combined => {}
    }
    if height < epoch.truth_first || height > epoch.truth_last {
        let (first, last) = (epoch.truth_first, epoch.truth_last);
        return Err(TopicError::TruthWindow { nonce, first, last, height }.into());
    }
    let authority = stake::of(ctx.state, topic.id, from.0)?.authority();
    let needs = least_stake(topic, ctx);
    if authority < needs || authority == 0 {
        return Err(TopicError::LowStake { who: from, has: authority, needs: needs.max(1) }.into());
    }
    let key = (topic.id, nonce, from.0);
    // Who was not admitted by merit has had its word; by stake it may come back with more.
    if REPORTS.contains(ctx.state, &key)? || UNHEARD.contains(ctx.state, &key)? {
        return Err(TopicError::AlreadyReported { who: from, nonce }.into());
    }
    Ok((epoch, authority))
}

/// Stake a report needs behind it, when it comes and when it counts.
pub(in crate::topics) fn least_stake(topic: &Topic, ctx: &Ctx) -> u128 {
    match topic.spec.truth_mode {
        TruthMode::Truth => ctx.params.min_truth_stake,
        TruthMode::Losses => ctx.params.required_minimum_stake,
    }
}

/// Takes the fee, and the report if there is room for it.
fn receive(
    ctx: &mut Ctx,
    mut topic: Topic,
    mut epoch: Epoch,
    nonce: u64,
    sender: Sender,
    report: Report,
) -> Result<(), Failure> {
    let Sender { payer, from, authority } = sender;
    let fee = ctx.params.data_sending_fee;
    charge(ctx, &mut topic, payer, fee)?;
    let candidate = Candidate { part: part::REPUTER, account: from.0, stake: authority };
    let admitted = admit::admit(ctx, &mut topic, nonce, &mut epoch, &candidate)?;
    if let Admitted::No(least) = admitted {
        if topic.spec.truth_mode == TruthMode::Losses {
            UNHEARD.put(ctx.state, &(topic.id, nonce, from.0), &());
        }
        let cap = admit::cap(&topic, part::REPUTER, ctx.params);
        let rank = if topic.spec.truth_mode == TruthMode::Truth { "stake" } else { "merit" };
        ctx.note(format!(
            "received, but not admitted as reputer: all {cap} heard in epoch {nonce} have a {rank} of {least} or more"
        ));
    } else {
        REPORTS.put(ctx.state, &(topic.id, nonce, from.0), &report);
    }
    TOPICS.put(ctx.state, &topic.id, &topic);
    let admitted = matches!(admitted, Admitted::Yes);
    let parts = match &report {
        Report::Losses(_) => RECORDS.get(ctx.state, &(topic.id, nonce))?.map(|record| record.answer.parts),
        Report::Truth { .. } => None,
    };
    ctx.emit(tell::report(topic.id, nonce, from, admitted, &report, &parts.unwrap_or_default()));
    Ok(())
}

/// What happened, by label, sorted.
fn truth_values(ctx: &Ctx, topic: &Topic, m: &MsgReportTruth) -> Result<Vec<(String, Real)>, Failure> {
    let rules = &topic.spec.labels;
    let pairs = if rules.multi {
        if !m.value.is_empty() || m.values.is_empty() {
            let cause =
                "this topic has several labels: send labelled values; a class is its label with value 1";
            return Err(TopicError::Value { field: "values", cause: cause.into() }.into());
        }
        if m.values.len() > rules.max as usize {
            let (got, max) = (m.values.len(), rules.max);
            return Err(TopicError::TooMany { what: "labels", got, max }.into());
        }
        let mut pairs = Vec::with_capacity(m.values.len());
        for pair in &m.values {
            pairs.push((pair.label.as_str(), number("values", &pair.value)?));
        }
        let mut pairs = label::canonical_pairs(pairs.into_iter(), rules, ctx.params)?;
        // What was answered may be reported, whatever the topic allows by now; besides, a few labels nobody named.
        let registry = REGISTRY.get(ctx.state, &(topic.id, m.nonce))?.unwrap_or_default();
        let answered: BTreeSet<&String> = registry.iter().collect();
        let outside: Vec<(String, Real)> =
            pairs.iter().filter(|(l, _)| !answered.contains(l)).cloned().collect();
        if outside.len() > MAX_OUTSIDE as usize {
            let (got, max) = (outside.len(), MAX_OUTSIDE);
            return Err(TopicError::TooMany { what: "labels nobody answered", got, max }.into());
        }
        label::allowed(ctx, topic, &outside)?;
        pairs.sort_unstable();
        pairs
    } else {
        if !m.values.is_empty() {
            let cause = "this topic has one label: send one value".to_string();
            return Err(TopicError::Value { field: "values", cause }.into());
        }
        vec![(label::SINGLE.to_string(), number("value", &m.value)?)]
    };
    let values: Vec<f64> = pairs.iter().map(|(_, value)| value.get()).collect();
    // A class may be reported by its one label alone.
    let whole = rules.multi && (rules.require_unity || topic.spec.loss.is_probability());
    let acceptable = if whole {
        let sum: f64 = values.iter().sum();
        values.iter().all(|v| (0.0..=1.0).contains(v))
            && (sum - 1.0).abs() <= rules.unity_tolerance.get().max(1e-9)
    } else {
        values.iter().all(|v| topic.spec.loss.accepts_truth(&[*v]))
    };
    if !acceptable {
        let cause = if whole {
            "the truth of classes lies in 0 to 1 and sums to 1"
        } else if topic.spec.loss.is_probability() {
            "the truth of a probability topic is 0 or 1"
        } else {
            "a count is not negative"
        };
        return Err(TopicError::Value { field: "value", cause: cause.into() }.into());
    }
    Ok(pairs)
}

/// A bundle of losses in the order of the answer's members, complete and without strangers.
fn bundle(ctx: &Ctx, topic: &Topic, m: &MsgReportLosses) -> Result<Losses, Failure> {
    let nonce = m.nonce;
    let key = (topic.id, nonce);
    let (Some(opening), Some(record)) = (OPENINGS.get(ctx.state, &key)?, RECORDS.get(ctx.state, &key)?)
    else {
        return Err(no_epoch(topic, nonce).into());
    };
    let count = record.answer.parts.iter().filter(|p| !p.forecaster).count();
    let names: Vec<Key> = record.answer.parts.iter().map(|p| p.account).collect();
    let (inferers, forecasters) = names.split_at(count);
    let synthesis = opening.synthesis();
    let column = &synthesis.columns[0];
    let everyone = vec![true; count];
    let known = |values: &[Option<Real>]| values.iter().map(Option::is_some).collect::<Vec<bool>>();
    let (one_in, pairs) = match &opening {
        Opening::Regret(o) => (
            o.one_in_forecasters.first().map_or(Vec::new(), |values| known(values)),
            o.one_out_inferer_forecaster
                .first()
                .map_or(Vec::new(), |rows| rows.iter().map(|r| known(r)).collect()),
        ),
        _ => (Vec::new(), Vec::new()),
    };
    let form = topic.spec.regret.form();
    let list = |name: &str, entries: &[MemberLoss], members: &[Key], expected: &[bool]| {
        entries_of(name, (nonce, form), entries, members, expected)
    };
    let mut given: BTreeMap<Key, &[MemberLoss]> = BTreeMap::new();
    for row in &m.one_out_inferer_forecaster {
        let forecaster = parse_address("one_out_inferer_forecaster", &row.forecaster)?.0;
        if !forecasters.contains(&forecaster) || given.insert(forecaster, &row.without).is_some() {
            let cause = format!("{} is no forecaster of this epoch, or stands twice", row.forecaster);
            return Err(TopicError::Bundle { nonce, cause }.into());
        }
    }
    let mut matrix: Vec<Vec<Option<Real>>> = Vec::with_capacity(pairs.len());
    for (forecaster, expected) in forecasters.iter().zip(&pairs) {
        let entries = given.remove(forecaster).unwrap_or(&[]);
        matrix.push(list("one_out_inferer_forecaster", entries, inferers, expected)?);
    }
    if let Some((stranger, _)) = given.pop_first() {
        let cause = format!("{} has no losses without single inferers", Address(stranger));
        return Err(TopicError::Bundle { nonce, cause }.into());
    }
    Ok(Losses {
        combined: loss("combined", &m.combined, form)?,
        naive: loss("naive", &m.naive, form)?,
        inferers: list("inferers", &m.inferers, inferers, &everyone)?,
        forecasters: list("forecasters", &m.forecasters, forecasters, &known(&column.implied))?,
        one_out_inferers: list(
            "one_out_inferers",
            &m.one_out_inferers,
            inferers,
            &known(&column.one_out_inferers),
        )?,
        one_out_forecasters: list(
            "one_out_forecasters",
            &m.one_out_forecasters,
            forecasters,
            &known(&column.one_out_forecasters),
        )?,
        one_in_forecasters: list("one_in_forecasters", &m.one_in_forecasters, forecasters, &one_in)?,
        one_out_inferer_forecaster: matrix,
    })
}

/// A reported loss on the scale on which the topic compares them.
fn loss(field: &'static str, text: &str, form: LossForm) -> Result<Real, TopicError> {
    let value = number(field, text)?;
    if form == LossForm::Log10 && value.get().abs() > MAX_LOGARITHM {
        let cause =
            format!("losses are decimal logarithms here, {MAX_LOGARITHM} at most in size, not {value}");
        return Err(TopicError::Value { field, cause });
    }
    Ok(value)
}

/// One list of a bundle: exactly the members expected, each once.
fn entries_of(
    name: &str,
    (nonce, form): (u64, LossForm),
    entries: &[MemberLoss],
    members: &[Key],
    expected: &[bool],
) -> Result<Vec<Option<Real>>, Failure> {
    let wrong = |cause: String| TopicError::Bundle { nonce, cause };
    let mut given = BTreeMap::new();
    for entry in entries {
        let account = parse_address("address", &entry.address)?;
        if given.insert(account.0, loss("loss", &entry.loss, form)?).is_some() {
            return Err(wrong(format!("{name} names {account} twice")).into());
        }
    }
    let mut losses = Vec::with_capacity(expected.len());
    for (member, expected) in members.iter().zip(expected) {
        match (given.remove(member), expected) {
            (Some(loss), true) => losses.push(Some(loss)),
            (None, false) => losses.push(None),
            (None, true) => return Err(wrong(format!("{name} omits {}", Address(*member))).into()),
            (Some(_), false) => {
                return Err(wrong(format!(
                    "{name} has a loss of {}, for which there is no value",
                    Address(*member)
                ))
                .into());
            }
        }
    }
    match given.pop_first() {
        Some((stranger, _)) => {
            Err(wrong(format!("{name} names {}, who took no part", Address(stranger))).into())
        }
        None => Ok(losses),
    }
}
