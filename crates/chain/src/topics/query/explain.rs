//! Why a member earned what it earned: the inputs of its formulas in the order of use, for one epoch.

use dodona_mechanism::{Real, amount, topic::combine::Losses};
use dodona_proto::topics::{ExplainedPart, Line, QueryExplainRequest, QueryExplainResponse};
use dodona_store::{Read, StoreError};

use super::{ViewError, address, member::fraction, state_name};
use crate::{
    params,
    topics::{
        stake,
        state::{
            EPOCHS, Epoch, EpochLosses, EpochState, Key, LOSSES, MEMBERS, Member, Outcome, Part, Payout,
            RECORDS, REGISTRATIONS, Record, SPLITS, TOPICS, Topic, TruthMode, UNOPENED, part, role,
        },
    },
};

fn line(name: &str, value: impl ToString, note: &str) -> Line {
    Line { name: name.into(), value: value.to_string(), note: note.into() }
}

/// What silence after a seal is.
const SILENT: &str = "sealed its word and never opened it: scored like the worst of the epoch (at most ten times the median loss), unpaid";

/// One account in one epoch; nonce 0 is the newest scored.
pub fn explain(read: &impl Read, q: &QueryExplainRequest) -> Result<Option<QueryExplainResponse>, ViewError> {
    let id = q.topic_id;
    let Some(topic) = TOPICS.get(read, &id)? else { return Ok(None) };
    let nonce = if q.nonce == 0 { topic.last_scored.nonce } else { q.nonce };
    let Some(epoch) = EPOCHS.get(read, &(id, nonce))? else { return Ok(None) };
    let record = RECORDS.get(read, &(id, nonce))?;
    let losses = LOSSES.get(read, &(id, nonce))?;
    let mut out = QueryExplainResponse {
        topic_id: id,
        nonce,
        state: state_name(epoch.state).into(),
        topic: topic_lines(&topic, &epoch, record.as_ref()),
        parts: Vec::new(),
    };
    if q.address.is_empty() {
        return Ok(Some(out));
    }
    let who = address(&q.address)?.0;
    let scene =
        Scene { topic: &topic, epoch: &epoch, record: record.as_ref(), losses: losses.as_ref(), nonce };
    for part in [part::INFERER, part::FORECASTER] {
        if let Some(explained) = worker(read, &scene, part, who)? {
            out.parts.push(explained);
        }
    }
    if let Some(explained) = reputer(read, &scene, who)? {
        out.parts.push(explained);
    }
    Ok(Some(out))
}

/// What is known of the epoch.
struct Scene<'a> {
    topic: &'a Topic,
    epoch: &'a Epoch,
    record: Option<&'a Record>,
    losses: Option<&'a EpochLosses>,
    nonce: u64,
}

impl Scene<'_> {
    fn outcome(&self) -> Option<&Outcome> {
        self.record.and_then(|r| r.outcome.as_ref())
    }

    fn parts(&self) -> &[Part] {
        self.record.map_or(&[], |r| r.answer.parts.as_slice())
    }

    /// What all workers of the epoch got.
    fn paid_to_workers(&self) -> u128 {
        self.parts().iter().map(|p| p.reward).sum()
    }

    /// Losses on the raw scale.
    fn raw(&self) -> Option<Losses> {
        let losses = self.losses?;
        if losses.logarithms { losses.network.to_raw().ok() } else { Some(losses.network.clone()) }
    }
}

fn topic_lines(topic: &Topic, epoch: &Epoch, record: Option<&Record>) -> Vec<Line> {
    let mut lines = vec![
        line("rule", format!("{:?}", topic.spec.rule).to_lowercase(), "how answers are combined"),
        line("loss", format!("{:?}", topic.spec.loss).to_lowercase(), "what a wrong answer costs"),
        line("payout", format!("{:?}", topic.spec.payout).to_lowercase(), "how rewards are shared"),
    ];
    if let EpochState::Void(reason) = epoch.state {
        lines.push(line(
            "void",
            reason.text(),
            "nobody is scored; the claim on the pot went to the ecosystem",
        ));
    }
    let Some(record) = record else { return lines };
    for column in &record.answer.columns {
        lines.push(line(&format!("inference {}", column.label), column.combined, "of the network"));
    }
    let Some(outcome) = &record.outcome else { return lines };
    for (label, value) in &outcome.truth {
        lines.push(line(&format!("truth {label}"), value, "as the reputers agreed"));
    }
    lines.push(line("network loss", outcome.losses.network, ""));
    if topic.spec.truth_mode == TruthMode::Truth {
        lines.push(line("mean loss", outcome.losses.mean, "of the plain mean of the inferences"));
        lines.push(line("median loss", outcome.losses.median, "of their median"));
    }
    let workers: u128 = record.answer.parts.iter().map(|p| p.reward).sum();
    let reputers: u128 = outcome.reports.iter().map(|r| r.reward).sum();
    lines.push(line("budget", outcome.budget, "uallo: the pot, shared equally by the epochs that waited"));
    lines.push(line("paid to workers", workers, "uallo"));
    lines.push(line("paid to reputers", reputers, "uallo, delegators' part included"));
    lines.push(line("left in the pot", outcome.budget - outcome.reward, "uallo: parts nobody earned"));
    lines
}

fn worker(read: &impl Read, scene: &Scene, part: u8, who: Key) -> Result<Option<ExplainedPart>, StoreError> {
    let topic = scene.topic;
    let member = MEMBERS.get(read, &(topic.id, part, who))?;
    let place =
        scene.parts().iter().position(|p| p.account == who && p.forecaster == (part == part::FORECASTER));
    let registered = REGISTRATIONS.contains(read, &(topic.id, role::WORKER, who))?;
    // Nobody has to forecast: silence in that part is explained only to those who have spoken in it.
    if place.is_none() && member.is_none() && (part == part::FORECASTER || !registered) {
        return Ok(None);
    }
    let mut out = ExplainedPart { role: part::name(part).into(), ..Default::default() };
    let Some(place) = place else {
        out.verdict = match UNOPENED.contains(read, &(topic.id, scene.nonce, part, who))? {
            true => SILENT.into(),
            false => absent(scene, member.as_ref(), "submitted"),
        };
        out.lines = memory(member.as_ref(), topic, part);
        out.would_have_earned = would_have_earned(read, scene, part, who, member.as_ref())?.to_string();
        return Ok(Some(out));
    };
    let row = &scene.parts()[place];
    out.took_part = true;
    for (column, value) in scene.record.iter().flat_map(|r| &r.answer.columns).zip(&row.values) {
        let what = if row.forecaster { "what its forecast implied" } else { "as submitted" };
        out.lines.push(line(&format!("value {}", column.label), value, what));
    }
    out.lines.push(line("weight", row.weight, "share in the network inference"));
    for (column, value) in scene.record.iter().flat_map(|r| &r.answer.columns).zip(&row.one_out) {
        out.lines.push(line(&format!("network without it {}", column.label), value, ""));
    }
    let (Some(outcome), Some(raw), Some(losses)) = (scene.outcome(), scene.raw(), scene.losses) else {
        out.verdict = "heard; the truth is not known yet".into();
        return Ok(Some(out));
    };
    let inferers = raw.inferers.len();
    let of = |losses: &Losses| match row.forecaster {
        false => (
            losses.inferers.get(place).copied().flatten(),
            losses.one_out_inferers.get(place).copied().flatten(),
        ),
        true => {
            let k = place - inferers;
            (
                losses.forecasters.get(k).copied().flatten(),
                losses.one_out_forecasters.get(k).copied().flatten(),
            )
        }
    };
    let (own, without) = of(&raw);
    if let Some(own) = own {
        out.lines.push(line("own loss", own, ""));
    }
    out.lines.push(line("network loss", raw.combined, ""));
    match topic.spec.payout {
        Payout::Gains => {
            if let (Some(own), Some(without)) = (own, without) {
                let (gain, proper) =
                    (without.get() - raw.combined.get(), row.weight.get() * (without.get() - own.get()));
                let g = topic.spec.power.gain.get();
                out.lines.push(line("loss without it", without, ""));
                out.lines.push(line("gain G", gain, "loss without it - network loss"));
                out.lines.push(line("proper part A", proper, "weight * (loss without it - own loss)"));
                out.lines.push(line("g", g, "share of the diversity credit"));
                out.lines.push(line("score S", row.score.map_or(0.0, Real::get), "A + g (G - A)"));
            }
        }
        Payout::Entropy => {
            let (_, without) = of(&losses.network);
            if let Some(without) = without {
                out.lines.push(line("compared loss without it", without, "decimal logarithm, or raw"));
            }
            out.lines.push(line(
                "compared network loss",
                losses.network.combined,
                "decimal logarithm, or raw",
            ));
            let formula = if row.forecaster {
                "2^(1-K) * (naive - one-in) + (1 - 2^(1-K)) * (one-out - combined)"
            } else {
                "compared loss without it - compared network loss"
            };
            out.lines.push(line("score T", row.score.map_or(0.0, Real::get), formula));
        }
    }
    out.lines.extend(memory(member.as_ref(), topic, part));
    let workers = scene.paid_to_workers();
    let share = if workers == 0 { 0.0 } else { row.reward as f64 / workers as f64 };
    out.lines.push(line("share of the workers' pay", share, "of what all workers of this epoch got"));
    out.reward = row.reward.to_string();
    out.verdict = verdict(row, outcome, topic);
    Ok(Some(out))
}

fn verdict(row: &Part, outcome: &Outcome, topic: &Topic) -> String {
    let paid = row.reward > 0;
    let helped = row.score.map(|s| s > Real::ZERO);
    match (paid, helped) {
        (_, None) => "took part, but there is nobody to compare it with".into(),
        (true, Some(true)) => "paid: the network was better with it".into(),
        (true, Some(false)) if topic.spec.payout == Payout::Gains => {
            "paid for earlier epochs: this time the network was not better with it".into()
        }
        (true, Some(false)) => "paid a small share: the network was not better with it".into(),
        (false, Some(_)) if outcome.budget == 0 => "unpaid: the topic had nothing to pay".into(),
        (false, Some(true)) => {
            "unpaid: the network was better with it this time, but not on average yet (smoothed score at or below zero)".into()
        }
        (false, Some(false)) => "unpaid: over its epochs the network was not better with it".into(),
    }
}

/// What the chain remembers of a member now.
fn memory(member: Option<&Member>, topic: &Topic, part: u8) -> Vec<Line> {
    let Some(member) = member else {
        return vec![line("heard", 0, "epochs")];
    };
    let mut lines = Vec::new();
    if part != part::REPUTER {
        lines.push(line("smoothed score", member.state.score, "now; under gains its positive part is paid"));
        if member.state.loss > Real::ZERO {
            lines.push(line("discounted mean loss", member.state.loss, "now; weights are powers of it"));
        }
    }
    lines.push(line("merit", member.merit.score, "now; decides who is heard when there is no room for all"));
    lines.push(line("heard", member.heard, "epochs"));
    lines.push(line("missed", topic.missed(part, member), "epochs since it was first heard"));
    lines
}

fn absent(scene: &Scene, member: Option<&Member>, what: &str) -> String {
    let nonce = scene.nonce;
    match (scene.epoch.state, member) {
        (EpochState::Open, _) => format!("epoch {nonce} is still open"),
        (_, Some(member)) if member.merit.nonce == nonce => {
            let rank = if what == "reported" && scene.topic.spec.truth_mode == TruthMode::Truth {
                "stake"
            } else {
                "merit"
            };
            format!("{what}, but not among those heard in epoch {nonce}: others had more {rank}")
        }
        (_, Some(member)) if member.merit.nonce > nonce => {
            format!(
                "not heard in epoch {nonce}: it was silent, or others had precedence; it has {what} since"
            )
        }
        (_, None) => format!("has never {what} in this topic"),
        (_, Some(_)) => format!("missed: nothing of it was heard in epoch {nonce}"),
    }
}

/// Its pay had it been heard: the workers' pay shared once more with its present score among those who were.
fn would_have_earned(
    read: &impl Read,
    scene: &Scene,
    part: u8,
    who: Key,
    member: Option<&Member>,
) -> Result<u128, StoreError> {
    let (Some(_), Some(member)) = (scene.outcome(), member) else { return Ok(0) };
    let workers = scene.paid_to_workers();
    let share = match scene.topic.spec.payout {
        Payout::Gains => {
            let mut all = 0.0;
            for p in scene.parts() {
                let of = if p.forecaster { part::FORECASTER } else { part::INFERER };
                let other = MEMBERS.get(read, &(scene.topic.id, of, p.account))?;
                all += other.map_or(0.0, |m| m.state.score.get().max(0.0));
            }
            let own = member.state.score.get().max(0.0);
            if own > 0.0 { own / (all + own) } else { 0.0 }
        }
        Payout::Entropy => {
            let split = SPLITS.get(read, &scene.topic.id)?.unwrap_or_default();
            let peers = scene.parts().iter().filter(|p| p.forecaster == (part == part::FORECASTER)).count();
            let usual = 1.0 / (peers as f64 + 1.0);
            fraction(&split, part, &who).map_or(usual, Real::get)
        }
    };
    let paid = match scene.topic.spec.payout {
        Payout::Gains => workers,
        Payout::Entropy => scene
            .parts()
            .iter()
            .filter(|p| p.forecaster == (part == part::FORECASTER))
            .map(|p| p.reward)
            .sum(),
    };
    let weights = [Real::new(share).unwrap_or(Real::ZERO), Real::new(1.0 - share).unwrap_or(Real::ZERO)];
    Ok(amount::split(paid, &weights).map_or(0, |parts| parts[0]))
}

fn reputer(read: &impl Read, scene: &Scene, who: Key) -> Result<Option<ExplainedPart>, StoreError> {
    let topic = scene.topic;
    let member = MEMBERS.get(read, &(topic.id, part::REPUTER, who))?;
    let row = scene.outcome().and_then(|o| o.reports.iter().find(|r| r.account == who));
    let registered = REGISTRATIONS.contains(read, &(topic.id, role::REPUTER, who))?;
    if row.is_none() && member.is_none() && !registered {
        return Ok(None);
    }
    let staked = stake::of(read, topic.id, who)?;
    let mut out = ExplainedPart { role: part::name(part::REPUTER).into(), ..Default::default() };
    let (Some(row), Some(outcome)) = (row, scene.outcome()) else {
        let params = params::get(read)?;
        let least = match topic.spec.truth_mode {
            TruthMode::Truth => params.min_truth_stake,
            TruthMode::Losses => params.required_minimum_stake,
        };
        out.verdict = if staked.authority() < least {
            format!("not heard: {}uallo stand behind it, {least}uallo are needed", staked.authority())
        } else {
            absent(scene, member.as_ref(), "reported")
        };
        out.lines = memory(member.as_ref(), topic, part::REPUTER);
        out.would_have_earned = reputer_would_have_earned(scene, staked.authority()).to_string();
        return Ok(Some(out));
    };
    out.took_part = true;
    for (label, value) in &row.values {
        let agreed = outcome.truth.iter().find(|(other, _)| other == label);
        let note = agreed.map_or("no truth was agreed for it".to_string(), |(_, v)| format!("agreed: {v}"));
        out.lines.push(line(&format!("reported {label}"), value, &note));
    }
    if let Some(combined) = row.combined {
        out.lines.push(line("reported network loss", combined, "of all losses it reported"));
    }
    out.lines.push(line("stake", row.stake, "uallo, own and delegated, when it was scored"));
    let formula = match topic.spec.truth_mode {
        TruthMode::Truth => "closeness to what was agreed, 0 to 1",
        TruthMode::Losses => "1 / (relative distance to the consensus + epsilon)",
    };
    out.lines.push(line("score", row.score, formula));
    if let (Some(member), TruthMode::Losses) = (&member, topic.spec.truth_mode) {
        out.lines.push(line("listening coefficient", member.listening, "now"));
    }
    let all: u128 = outcome.reports.iter().map(|r| r.reward).sum();
    let share = if all == 0 { 0.0 } else { row.reward as f64 / all as f64 };
    out.lines.push(line("share of the reputers' pay", share, "in proportion to (stake * score)^p"));
    out.lines.extend(memory(member.as_ref(), topic, part::REPUTER));
    out.lines.push(line("delegated", staked.delegated, "uallo now; its part of the pay goes to delegators"));
    out.reward = row.reward.to_string();
    out.verdict = if row.reward > 0 {
        "paid; its own part was added to its stake".into()
    } else if outcome.budget == 0 {
        "unpaid: the topic had nothing to pay".into()
    } else {
        "unpaid: its score was zero".into()
    };
    Ok(Some(out))
}

/// A reputer's pay had it reported what was agreed.
fn reputer_would_have_earned(scene: &Scene, stake: u128) -> u128 {
    let Some(outcome) = scene.outcome() else { return 0 };
    let all: u128 = outcome.reports.iter().map(|r| r.reward).sum();
    let best = outcome.reports.iter().map(|r| r.score.get()).fold(0.0, f64::max);
    let others: f64 = outcome.reports.iter().map(|r| r.stake as f64 * r.score.get()).sum();
    let own = stake as f64 * best;
    let share = if own > 0.0 { own / (own + others) } else { 0.0 };
    let weights = [Real::new(share).unwrap_or(Real::ZERO), Real::new(1.0 - share).unwrap_or(Real::ZERO)];
    amount::split(all, &weights).map_or(0, |parts| parts[0])
}
