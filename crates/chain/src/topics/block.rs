//! What topics do at the end of every block: let stake go, then work through what is due. Each step loads plain
//! slices, calls a computation and saves its output.

use dodona_mechanism::{
    Real,
    topic::{combine::Rule, label as labels, outlier},
};

use super::{
    admit,
    judge::{self, OpenInput},
    label, schedule, score, stake,
    state::{
        Answer, AnswerColumn, Commit, DUE, EPOCHS, Elements, Epoch, EpochState, FORECASTS, INFERENCES, Key,
        LOSSES, LabelRules, MEMBERS, Member, NEWEST, NONCES, NetworkInference, OPENINGS, Opening, PAYLOADS,
        Part, Payload, Places, RECORDS, REGISTRY, REGRETS, RESISTANT, Record, SEALS, TOPICS, Topic, UNOPENED,
        Void, part, phase,
    },
    tell,
    void::close_void,
};
use crate::{
    ctx::{Ctx, Step},
    error::Failure,
    state::State,
};

/// End of block: stake leaves, then everything due: scores first, then answers, then new questions.
pub(crate) fn end(ctx: &mut Ctx) -> Result<(), Failure> {
    // Stake whose time has come is gone before it could decide a truth once more.
    stake::end(ctx)?;
    let due = DUE.scan_prefix(ctx.state, &ctx.height, usize::MAX)?;
    for (key, ()) in due {
        DUE.delete(ctx.state, &key);
        let (_, what, id, nonce) = key;
        let Some(mut topic) = TOPICS.get(ctx.state, &id)? else { continue };
        match what {
            phase::SCORE => score::score(ctx, &mut topic, nonce)?,
            phase::COMBINE => combine(ctx, &mut topic, nonce)?,
            phase::TRUTH => {
                call_reputers(ctx, id, nonce)?;
                continue;
            }
            _ => open(ctx, &mut topic)?,
        }
        TOPICS.put(ctx.state, &id, &topic);
    }
    Ok(())
}

/// Asks the question once more, if the topic still weighs enough; the nonce is this block.
fn open(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    if !schedule::turn(ctx, topic)? {
        return Ok(());
    }
    let (id, nonce, spec) = (topic.id, ctx.height, &topic.spec);
    let epoch = Epoch {
        index: topic.opened,
        state: EpochState::Open,
        worker_last: nonce + spec.worker_window,
        truth_first: nonce + spec.truth_lag + 1,
        truth_last: nonce + spec.truth_lag + spec.truth_window,
        heard: Default::default(),
        label_default: spec.labels.default,
    };
    DUE.put(ctx.state, &(epoch.worker_last, phase::COMBINE, id, nonce), &());
    DUE.put(ctx.state, &(epoch.truth_last, phase::SCORE, id, nonce), &());
    DUE.put(ctx.state, &(epoch.truth_first - 1, phase::TRUTH, id, nonce), &());
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    NONCES.put(ctx.state, &(id, topic.opened), &nonce);
    topic.last_opened = nonce;
    topic.opened += 1;
    ctx.emit(tell::epoch_opened(id, nonce, &epoch));
    forget_old(ctx, topic)?;
    schedule::next(ctx, topic)
}

/// From the next block on an epoch accepts reports: whoever waits for that is told.
fn call_reputers(ctx: &mut Ctx, id: u64, nonce: u64) -> Result<(), Failure> {
    let Some(epoch) = EPOCHS.get(ctx.state, &(id, nonce))? else { return Ok(()) };
    if epoch.state == EpochState::Combined {
        ctx.emit(tell::truth_opened(id, nonce, epoch.truth_last));
    }
    Ok(())
}

/// Deletes epochs that fall out of the retention and have ended. One comes at a time and up to two go, so the
/// state stays bounded and a backlog of epochs that had to wait for their truth is worked off.
fn forget_old(ctx: &mut Ctx, topic: &mut Topic) -> Result<(), Failure> {
    let id = topic.id;
    for _ in 0..2 {
        if topic.oldest + u64::from(ctx.params.epoch_retention) >= topic.opened {
            return Ok(());
        }
        let Some(nonce) = NONCES.get(ctx.state, &(id, topic.oldest))? else { return Ok(()) };
        let key = (id, nonce);
        if EPOCHS.get(ctx.state, &key)?.is_some_and(|epoch| epoch.waits()) {
            return Ok(());
        }
        NONCES.delete(ctx.state, &(id, topic.oldest));
        EPOCHS.delete(ctx.state, &key);
        RECORDS.delete(ctx.state, &key);
        RESISTANT.delete(ctx.state, &key);
        INFERENCES.delete(ctx.state, &key);
        FORECASTS.delete(ctx.state, &key);
        LOSSES.delete(ctx.state, &key);
        REGISTRY.delete(ctx.state, &key);
        for (silent, ()) in UNOPENED.scan_prefix(ctx.state, &key, usize::MAX)? {
            UNOPENED.delete(ctx.state, &silent);
        }
        topic.oldest += 1;
        ctx.emit(tell::epoch_forgotten(id, nonce));
    }
    Ok(())
}

/// What was heard in an epoch, sorted by address.
struct Heard {
    inferers: Vec<Key>,
    /// Per label, in the order of the inferers.
    columns: Vec<Vec<Real>>,
    labels: Vec<String>,
    forecasters: Vec<(Key, Elements)>,
}

/// The window has closed: makes the network inference of everything that was heard.
fn combine(ctx: &mut Ctx, topic: &mut Topic, nonce: u64) -> Result<(), Failure> {
    let id = topic.id;
    let Some(mut epoch) = EPOCHS.get(ctx.state, &(id, nonce))? else { return Ok(()) };
    let silent = take_seals(ctx, topic, nonce)?;
    let Some(heard) = take_payloads(ctx, topic, nonce)? else {
        return close_void(ctx, topic, nonce, epoch, Void::NoInference);
    };
    let mut members = load_members(ctx.state, topic, &heard)?;
    let input = open_input(ctx, topic, nonce, &heard, &members)?;
    let Ok(opening) = judge::open(&input) else {
        return close_void(ctx, topic, nonce, epoch, Void::Arithmetic);
    };
    let trail = ctx.trail((id, nonce), epoch.truth_last, Step::Open, &input);
    for (part, account) in silent {
        UNOPENED.put(ctx.state, &(id, nonce, part, account), &());
    }

    topic.combined += 1;
    topic.last_combined = Commit { height: ctx.height, nonce };
    let synthesis = opening.synthesis();
    let weights = synthesis.inferer_weights.iter().chain(&synthesis.forecaster_weights);
    for ((part, account, member), weight) in members.iter_mut().zip(weights) {
        member.heard += 1;
        member.last = ctx.height;
        member.weight = *weight;
        MEMBERS.put(ctx.state, &(id, *part, *account), member);
    }
    let answer = record(ctx.height, &input, &opening, trail);
    ctx.emit(tell::epoch_combined(topic, ctx.height, &input, &opening, &answer));
    resist(ctx, topic, &input)?;
    let inference = NetworkInference {
        topic: id,
        nonce,
        values: answer.columns.iter().map(|c| (c.label.clone(), c.combined, c.interval)).collect(),
        members: answer.parts.len() as u32,
        at: ctx.height,
        time_ms: ctx.time_ms,
    };
    INFERENCES.put(ctx.state, &(id, nonce), &inference);
    NEWEST.put(ctx.state, &id, &inference);
    epoch.state = EpochState::Combined;
    EPOCHS.put(ctx.state, &(id, nonce), &epoch);
    RECORDS.put(ctx.state, &(id, nonce), &Record { answer, outcome: None });
    OPENINGS.put(ctx.state, &(id, nonce), &opening);
    if !heard.forecasters.is_empty() {
        FORECASTS.put(ctx.state, &(id, nonce), &heard.forecasters);
    }
    if topic.spec.labels.multi {
        REGISTRY.put(ctx.state, &(id, nonce), &heard.labels);
    }
    Ok(())
}

/// Deletes the seals that were not opened; gives the members behind them, in every part in which they were ever heard.
/// Who never was has nothing to lose.
fn take_seals(ctx: &mut Ctx, topic: &Topic, nonce: u64) -> Result<Vec<(u8, Key)>, Failure> {
    let mut silent = Vec::new();
    for (key, _) in SEALS.scan_prefix(ctx.state, &(topic.id, nonce), usize::MAX)? {
        SEALS.delete(ctx.state, &key);
        for part in [part::INFERER, part::FORECASTER] {
            if MEMBERS.contains(ctx.state, &(topic.id, part, key.2))? {
                silent.push((part, key.2));
            }
        }
    }
    Ok(silent)
}

/// Reads and deletes the payloads of an epoch; none without a single answer.
fn take_payloads(ctx: &mut Ctx, topic: &Topic, nonce: u64) -> Result<Option<Heard>, Failure> {
    let id = topic.id;
    for part in [part::INFERER, part::FORECASTER] {
        admit::close(ctx.state, id, nonce, part)?;
    }
    let payloads = PAYLOADS.scan_prefix(ctx.state, &(id, nonce), usize::MAX)?;
    let mut inferers: Vec<Key> = Vec::with_capacity(payloads.len());
    let mut answers: Vec<Places> = Vec::with_capacity(payloads.len());
    let mut forecasters: Vec<(Key, Elements)> = Vec::new();
    for (key, Payload { inference, forecast }) in payloads {
        PAYLOADS.delete(ctx.state, &key);
        if let Some(places) = inference {
            inferers.push(key.2);
            answers.push(places);
        }
        if !forecast.is_empty() {
            forecasters.push((key.2, forecast));
        }
    }
    if inferers.is_empty() {
        return Ok(None);
    }
    let rules = &topic.spec.labels;
    let (columns, labels) = if rules.multi {
        let registry = REGISTRY.get(ctx.state, &(id, nonce))?.unwrap_or_default();
        let vectors: Vec<Vec<Real>> =
            answers.iter().map(|places| dense(places, registry.len(), rules)).collect();
        // Every vector that counts has a value besides the default, so a label stays.
        let Ok(frozen) = labels::freeze(&vectors, registry.len(), rules.default) else { return Ok(None) };
        (frozen.columns, frozen.kept.iter().map(|place| registry[*place].clone()).collect())
    } else {
        let column = answers.iter().map(|places| places.first().map_or(rules.default, |p| p.1)).collect();
        (vec![column], vec![label::SINGLE.to_string()])
    };
    // Keys come in the order of addresses, which is the order of the sums. A forecast speaks about who is heard.
    for (_, elements) in &mut forecasters {
        elements.retain(|(inferer, _)| inferers.binary_search(inferer).is_ok());
    }
    forecasters.retain(|(_, elements)| !elements.is_empty());
    Ok(Some(Heard { inferers, columns, labels, forecasters }))
}

/// Values by place as a vector of all labels.
fn dense(places: &Places, labels: usize, rules: &LabelRules) -> Vec<Real> {
    let mut vector = vec![rules.default; labels];
    for (place, value) in places {
        if let Some(slot) = vector.get_mut(*place as usize) {
            *slot = *value;
        }
    }
    vector
}

/// Records of everybody heard, in the order of an answer's parts.
fn load_members(state: &State, topic: &Topic, heard: &Heard) -> Result<Vec<(u8, Key, Member)>, Failure> {
    let inferers = heard.inferers.iter().map(|account| (part::INFERER, *account));
    let forecasters = heard.forecasters.iter().map(|(account, _)| (part::FORECASTER, *account));
    let mut members = Vec::with_capacity(heard.inferers.len() + heard.forecasters.len());
    for (part, account) in inferers.chain(forecasters) {
        let member = MEMBERS.get(state, &(topic.id, part, account))?;
        members.push((part, account, member.unwrap_or_else(|| Member::new(topic.combined))));
    }
    Ok(members)
}

fn open_input(
    ctx: &Ctx,
    topic: &Topic,
    nonce: u64,
    heard: &Heard,
    members: &[(u8, Key, Member)],
) -> Result<OpenInput, Failure> {
    let (of_inferers, of_forecasters) = members.split_at(heard.inferers.len());
    let regrets = match topic.spec.rule {
        Rule::Regret => REGRETS.get(ctx.state, &topic.id)?.unwrap_or_default(),
        _ => Default::default(),
    };
    Ok(OpenInput {
        topic: topic.id,
        nonce,
        spec: topic.spec,
        regret: judge::regret_config(&topic.spec, ctx.params),
        memory: topic.power,
        regrets,
        labels: heard.labels.clone(),
        inferers: of_inferers.iter().map(|(_, account, member)| (*account, member.state)).collect(),
        columns: heard.columns.clone(),
        forecasters: of_forecasters
            .iter()
            .zip(&heard.forecasters)
            .map(|((_, account, member), (_, elements))| (*account, member.state, elements.clone()))
            .collect(),
    })
}

/// The second answer, without outliers among the inferences (topics §3.7 and §4.5); only topics of one label have it,
/// and only where there is an outlier. Nobody is scored by it.
fn resist(ctx: &mut Ctx, topic: &mut Topic, input: &OpenInput) -> Result<(), Failure> {
    let (false, [values]) = (topic.spec.labels.multi, input.columns.as_slice()) else { return Ok(()) };
    let params = ctx.params;
    let Ok(state) = outlier::follow(&topic.outlier, values, params.inference_outlier_detection_alpha) else {
        return Ok(());
    };
    topic.outlier = state;
    let kept = outlier::kept(&state, values, params.inference_outlier_detection_threshold);
    if kept.iter().all(|kept| *kept) {
        return Ok(());
    }
    let mut filtered = input.clone();
    let mut keep = kept.iter();
    filtered.inferers.retain(|_| keep.next().copied().unwrap_or(true));
    filtered.columns =
        vec![values.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(value, _)| *value).collect()];
    let heard = |account: &Key| filtered.inferers.binary_search_by(|(other, _)| other.cmp(account)).is_ok();
    for (_, _, elements) in &mut filtered.forecasters {
        elements.retain(|(inferer, _)| heard(inferer));
    }
    filtered.forecasters.retain(|(_, _, elements)| !elements.is_empty());
    // The regular answer stands in any case.
    if let Ok(opening) = judge::open(&filtered) {
        let answer = record(ctx.height, &filtered, &opening, [0; 32]);
        RESISTANT.put(ctx.state, &(input.topic, input.nonce), &answer);
        ctx.emit(tell::epoch_resisted(input.topic, input.nonce, &answer));
    }
    Ok(())
}

/// The public record of an answer.
fn record(at: u64, input: &OpenInput, opening: &Opening, trail: [u8; 32]) -> Answer {
    let synthesis = opening.synthesis();
    let columns = input
        .labels
        .iter()
        .zip(&synthesis.columns)
        .map(|(label, column)| AnswerColumn {
            label: label.clone(),
            combined: column.combined,
            naive: column.naive,
            mean: column.mean,
            median: column.median,
            interval: column.interval,
        })
        .collect();
    // A component exists for all labels or for none.
    let across = |pick: &dyn Fn(&dodona_mechanism::topic::combine::Column) -> Option<Real>| -> Vec<Real> {
        synthesis.columns.iter().filter_map(pick).collect()
    };
    let one_in = |k: usize| -> Vec<Real> {
        match opening {
            Opening::Regret(o) => {
                o.one_in_forecasters.iter().filter_map(|row| row.get(k).copied().flatten()).collect()
            }
            _ => Vec::new(),
        }
    };
    let part = |account: Key, forecaster: bool, weight: Real| Part {
        account,
        forecaster,
        values: Vec::new(),
        weight,
        one_out: Vec::new(),
        one_in: Vec::new(),
        loss: None,
        score: None,
        reward: 0,
    };
    let inferers = input.inferers.iter().enumerate().map(|(j, (account, _))| Part {
        values: input.columns.iter().map(|column| column[j]).collect(),
        one_out: across(&|column| column.one_out_inferers[j]),
        ..part(*account, false, synthesis.inferer_weights[j])
    });
    let forecasters = input.forecasters.iter().enumerate().map(|(k, (account, _, _))| Part {
        values: across(&|column| column.implied[k]),
        one_out: across(&|column| column.one_out_forecasters[k]),
        one_in: one_in(k),
        ..part(*account, true, synthesis.forecaster_weights[k])
    });
    Answer { at, columns, parts: inferers.chain(forecasters).collect(), trail }
}
