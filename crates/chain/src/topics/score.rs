//! The truth is known: losses, scores and pay of one epoch are computed ([`super::judge`]) and written.

use std::collections::BTreeSet;

use dodona_mechanism::Real;
use dodona_proto::Address;

use super::{
    admit,
    handle::least_stake,
    judge::{self, JudgeInput, Judged, Reported, Terms},
    schedule, stake,
    state::{
        Commit, EPOCHS, EpochLosses, EpochState, Key, LOSSES, LossSums, MEMBERS, Member, OPENINGS, Opening,
        Outcome, PAID, POTS, Paid, Part, Payout, RECORDS, REGISTRATIONS, REGISTRY, REGRETS, REPORTS, Record,
        RegretState, Report, ReportRow, SPLITS, Topic, UNOPENED, Void, part, role,
    },
    tell, topics_rewards,
    void::close_void,
};
use crate::{
    bank,
    ctx::{Ctx, Step},
    error::Failure,
};

/// A member's record under its key.
type Row = ((u64, u8, Key), Member);

/// Ends an epoch: agrees on the truth, scores everybody, pays everybody.
pub(super) fn score(ctx: &mut Ctx, topic: &mut Topic, nonce: u64) -> Result<(), Failure> {
    let id = topic.id;
    let key = (id, nonce);
    let Some(mut epoch) = EPOCHS.get(ctx.state, &key)? else { return Ok(()) };
    let (Some(Record { mut answer, .. }), Some(opening)) =
        (RECORDS.get(ctx.state, &key)?, OPENINGS.get(ctx.state, &key)?)
    else {
        return Ok(()); // void before
    };
    schedule::settle(ctx.state, topic)?;
    let mut members = load_members(ctx, id, &answer.parts)?;
    let (reports, mut reputers) = load_reports(ctx, topic, nonce)?;
    let mut silent = load_silent(ctx, id, nonce)?;
    let mut input = judge_input(ctx, topic, nonce, opening, &members, reports)?;
    input.unopened = silent.each_ref().map(|rows| rows.iter().map(|((.., a), m)| (*a, m.state)).collect());
    // What silence means was settled when the epoch opened.
    input.spec.labels.default = epoch.label_default;
    let judged = judge::judge(&input).and_then(|judged| {
        let sums = add_sums(&topic.sums, &judged.sums).ok_or(Void::Arithmetic)?;
        Ok((judged, sums))
    });
    let (judged, sums) = match judged {
        Ok(judged) => judged,
        Err(reason) => return close_void(ctx, topic, nonce, epoch, reason),
    };
    let trail = ctx.trail((id, nonce), epoch.truth_last, Step::Judge, &input);

    // From here on everything is written.
    let mut paid = Paid::default();
    let losses = judged.raw.inferers.iter().chain(&judged.raw.forecasters);
    for (i, loss) in losses.enumerate() {
        let (row, (key, member)) = (&mut answer.parts[i], &mut members[i]);
        let reward = judged.pay[i];
        (row.loss, row.score, row.reward) = (*loss, judged.scores[i], reward);
        member.state = judged.states[i];
        if let Some(loss) = loss {
            member.scored += 1;
            member.loss_sum = sum(member.loss_sum, *loss);
        }
        member.earned = member.earned.saturating_add(reward);
        pay_worker(ctx, id, key.2, reward)?;
        paid.all += reward;
    }
    let mut rows = Vec::with_capacity(input.reports.len());
    for (i, (reported, (_, member))) in input.reports.iter().zip(&mut reputers).enumerate() {
        let (reward, score) = (judged.reputer_pay[i], judged.reputer_scores[i]);
        let own = stake::pay(ctx, topic, reported.account, reward)?;
        paid.all += reward;
        paid.reputers += reward;
        member.heard += 1;
        member.last = ctx.height;
        member.scored += 1;
        member.loss_sum = sum(member.loss_sum, distance(reported, &judged));
        member.state.score = score;
        member.weight = judged.reputer_fractions[i];
        member.listening = judged.listening[i];
        member.earned = member.earned.saturating_add(own);
        rows.push(report_row(reported, score, reward));
    }
    for (role, rows) in silent.iter_mut().enumerate() {
        for ((key, member), state) in rows.iter_mut().zip(&judged.unopened[role]) {
            member.state = *state;
            if let Some(forfeit) = judged.forfeits[role] {
                admit::forfeit(topic, nonce, member, forfeit.score);
                ctx.emit(tell::forfeited(id, nonce, key, forfeit.loss));
            }
            MEMBERS.put(ctx.state, key, member);
        }
    }
    let pot = POTS.get(ctx.state, &id)?.unwrap_or(0);
    POTS.put(ctx.state, &id, &(pot - paid.all));
    let so_far = PAID.get(ctx.state)?.unwrap_or_default();
    PAID.put(
        ctx.state,
        &Paid {
            all: so_far.all.saturating_add(paid.all),
            reputers: so_far.reputers.saturating_add(paid.reputers),
        },
    );
    learn(ctx, topic, nonce, &judged, &mut members, &mut reputers);
    for (key, member) in members.iter().chain(&reputers) {
        MEMBERS.put(ctx.state, key, member);
    }
    let mut regrets = judged.regrets.clone();
    if let Some(regrets) = &mut regrets {
        forget_absent(ctx, id, regrets, &answer.parts)?;
        REGRETS.put(ctx.state, &id, regrets);
    }
    if let Some(split) = &judged.split {
        SPLITS.put(ctx.state, &id, split);
    }
    for (key, _) in REPORTS.scan_prefix(ctx.state, &key, usize::MAX)? {
        REPORTS.delete(ctx.state, &key);
    }
    admit::close(ctx.state, id, nonce, part::REPUTER)?;
    topic.paid = topic.paid.saturating_add(paid.all);
    topic.scored += 1;
    topic.last_scored = Commit { height: ctx.height, nonce };
    topic.sums = sums;
    topic.power = judged.memory;
    schedule::return_pot(ctx.state, topic)?;

    ctx.emit(tell::epoch_scored(&tell::Scored {
        topic,
        nonce,
        height: ctx.height,
        judged: &judged,
        parts: &answer.parts,
        reports: &input.reports,
        merits: members.iter().chain(&reputers).map(|((.., who), member)| (*who, member.merit)).collect(),
        regrets: regrets.as_ref(),
        paid: paid.all,
    }));
    epoch.state = EpochState::Scored;
    EPOCHS.put(ctx.state, &key, &epoch);
    let bundles = input.reports.into_iter().filter_map(|r| match r.report {
        Report::Losses(losses) => Some((r.account, r.stake, losses)),
        Report::Truth { .. } => None,
    });
    let of_epoch =
        EpochLosses { logarithms: judged.logarithms, network: judged.compared, reports: bundles.collect() };
    LOSSES.put(ctx.state, &key, &of_epoch);
    let outcome = Outcome {
        at: ctx.height,
        truth: judged.truth,
        losses: judged.sums,
        reports: rows,
        budget: input.budget,
        reward: paid.all,
        trail,
    };
    RECORDS.put(ctx.state, &key, &Record { answer, outcome: Some(outcome) });
    OPENINGS.delete(ctx.state, &key);
    Ok(())
}

fn judge_input(
    ctx: &Ctx,
    topic: &Topic,
    nonce: u64,
    opening: Opening,
    members: &[Row],
    reports: Vec<Reported>,
) -> Result<JudgeInput, Failure> {
    let id = topic.id;
    let states = |part: u8| -> Vec<_> {
        members.iter().filter(|((_, p, _), _)| *p == part).map(|((.., a), m)| (*a, m.state)).collect()
    };
    let regrets = match opening {
        Opening::Regret(_) => REGRETS.get(ctx.state, &id)?.unwrap_or_default(),
        _ => Default::default(),
    };
    let split = match topic.spec.payout {
        Payout::Entropy => SPLITS.get(ctx.state, &id)?.unwrap_or_default(),
        Payout::Gains => Default::default(),
    };
    let labels = match topic.spec.labels.multi {
        true => REGISTRY.get(ctx.state, &(id, nonce))?.unwrap_or_default(),
        false => vec![super::label::SINGLE.to_string()],
    };
    let caps = [part::INFERER, part::FORECASTER].map(|part| admit::cap(topic, part, ctx.params));
    Ok(JudgeInput {
        topic: id,
        nonce,
        spec: topic.spec,
        terms: Terms::of(&topic.spec, ctx.params, caps),
        memory: topic.power,
        regrets,
        split,
        labels,
        opening,
        inferers: states(part::INFERER),
        forecasters: states(part::FORECASTER),
        unopened: Default::default(),
        reports,
        budget: schedule::claim(ctx.state, topic)?,
    })
}

/// Reports that count: those with enough stake behind them now, whatever was there when they came.
fn load_reports(ctx: &Ctx, topic: &Topic, nonce: u64) -> Result<(Vec<Reported>, Vec<Row>), Failure> {
    let least = least_stake(topic, ctx).max(1);
    let (mut reports, mut rows) = (Vec::new(), Vec::new());
    for ((.., account), report) in REPORTS.scan_prefix(ctx.state, &(topic.id, nonce), usize::MAX)? {
        let stake = stake::of(ctx.state, topic.id, account)?.authority();
        if stake < least {
            continue;
        }
        let key = (topic.id, part::REPUTER, account);
        let member = MEMBERS.get(ctx.state, &key)?.unwrap_or_else(|| Member::new(topic.scored));
        reports.push(Reported { account, stake, listening: member.listening, report });
        rows.push((key, member));
    }
    Ok((reports, rows))
}

/// Records of an answer's members, in its order.
fn load_members(ctx: &Ctx, id: u64, parts: &[Part]) -> Result<Vec<Row>, Failure> {
    let mut members = Vec::with_capacity(parts.len());
    for p in parts {
        let key = (id, if p.forecaster { part::FORECASTER } else { part::INFERER }, p.account);
        let member = MEMBERS.get(ctx.state, &key)?.unwrap_or_else(|| Member::new(0));
        members.push((key, member));
    }
    Ok(members)
}

/// Records of the members who sealed a word and never opened it: inferers, forecasters.
fn load_silent(ctx: &Ctx, id: u64, nonce: u64) -> Result<[Vec<Row>; 2], Failure> {
    let mut silent = [Vec::new(), Vec::new()];
    for ((.., part, account), ()) in UNOPENED.scan_prefix(ctx.state, &(id, nonce), usize::MAX)? {
        let key = (id, part, account);
        let Some(member) = MEMBERS.get(ctx.state, &key)? else { continue };
        silent[usize::from(part == part::FORECASTER)].push((key, member));
    }
    Ok(silent)
}

/// Merit of everybody scored, and what admission learns from it.
fn learn(
    ctx: &mut Ctx,
    topic: &mut Topic,
    nonce: u64,
    judged: &Judged,
    members: &mut [Row],
    reputers: &mut [Row],
) {
    for part in [part::INFERER, part::FORECASTER] {
        let mut scored: Vec<(&mut Member, Option<Real>)> = members
            .iter_mut()
            .zip(&judged.scores)
            .filter(|(((_, p, _), _), _)| *p == part)
            .map(|((_, member), score)| (member, *score))
            .collect();
        admit::learn(ctx, topic, nonce, part, &mut scored);
    }
    let mut scored: Vec<(&mut Member, Option<Real>)> = reputers
        .iter_mut()
        .zip(&judged.reputer_scores)
        .map(|((_, member), score)| (member, Some(*score)))
        .collect();
    admit::learn(ctx, topic, nonce, part::REPUTER, &mut scored);
}

/// Keeps the memory of the regret rule bounded: it grows with the square of the members it knows.
fn forget_absent(ctx: &Ctx, id: u64, regrets: &mut RegretState, parts: &[Part]) -> Result<(), Failure> {
    let present: BTreeSet<Key> = parts.iter().map(|p| p.account).collect();
    let heard = |account: &Key| -> Result<u64, Failure> {
        let mut last = 0;
        for part in [part::INFERER, part::FORECASTER] {
            last = MEMBERS.get(ctx.state, &(id, part, *account))?.map_or(last, |m| last.max(m.last));
        }
        Ok(last)
    };
    judge::forget_absent(regrets, &present, judge::remembered(present.len(), ctx.params), heard)
}

/// Pays the owner of a worker's registration, or itself if it left.
fn pay_worker(ctx: &mut Ctx, id: u64, account: Key, reward: u128) -> Result<(), Failure> {
    if reward == 0 {
        return Ok(());
    }
    let registration = REGISTRATIONS.get(ctx.state, &(id, role::WORKER, account))?;
    let owner = registration.map_or(Address(account), |r| r.owner);
    bank::transfer(ctx.state, topics_rewards(), owner, reward)
}

/// How far a report was from what was agreed: mean over its labels, or the distance of its loss of the network.
fn distance(reported: &Reported, judged: &Judged) -> Real {
    let gap = match &reported.report {
        Report::Truth { values, .. } => {
            let agreed = |label: &String| judged.truth.iter().find(|(l, _)| l == label).map(|(_, v)| v.get());
            let gaps: Vec<f64> = values
                .iter()
                .filter_map(|(label, value)| Some((value.get() - agreed(label)?).abs()))
                .collect();
            gaps.iter().sum::<f64>() / gaps.len().max(1) as f64
        }
        Report::Losses(losses) => (losses.combined.get() - judged.compared.combined.get()).abs(),
    };
    Real::new(gap).unwrap_or(Real::ZERO)
}

fn report_row(reported: &Reported, score: Real, reward: u128) -> ReportRow {
    let (values, combined) = match &reported.report {
        Report::Truth { values, .. } => (values.clone(), None),
        Report::Losses(losses) => (Vec::new(), Some(losses.combined)),
    };
    ReportRow { account: reported.account, stake: reported.stake, values, combined, score, reward }
}

fn add_sums(a: &LossSums, b: &LossSums) -> Option<LossSums> {
    let add = |a: Real, b: Real| Real::new(a.get() + b.get()).ok();
    Some(LossSums {
        network: add(a.network, b.network)?,
        mean: add(a.mean, b.mean)?,
        median: add(a.median, b.median)?,
    })
}

/// A running sum stays where it is when the next number would leave the doubles.
fn sum(a: Real, b: Real) -> Real {
    Real::new(a.get() + b.get()).unwrap_or(a)
}
