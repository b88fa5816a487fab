//! A topic's history in columns, for charts: what the network said, what happened, the lines of a few members, and what
//! all the others come to. So a page shows thousands of epochs of a thousand members without being sent every word.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::IntoResponse,
    routing::get,
};
use dodona_chain::topics::state::{
    Answer as Answered, EPOCHS, Key, NONCES, Part, RECORDS, REGISTRATIONS, Record, TOPICS, Topic, role,
};
use dodona_proto::Address;
use dodona_store::{Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use super::{
    Status, aside,
    native::{Answer, Problem, number},
};
use crate::NodeHandle;

/// Most epochs of an answer.
const MAX_EPOCHS: usize = 500;
/// Most members with lines of their own, and how many without being named.
const MAX_MEMBERS: usize = 40;
const MEMBERS: usize = 24;
/// Most labels with lines of their own; those that the newest answer finds most probable, or the first ones.
const MAX_LABELS: usize = 12;
/// Inferences read for one answer; a page of a topic with many members, or labels, ends earlier.
const MAX_READ: usize = 200_000;

pub(super) fn routes() -> Router<NodeHandle> {
    Router::new().route("/topics/{id}/chart", get(chart))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    from: u64,
    limit: Option<usize>,
    /// Addresses with a comma between them; absent: those with the largest weights now.
    members: String,
    /// One more, with what the network would have said without it.
    mark: String,
    /// Labels as a list in JSON; absent: as above.
    labels: String,
}

/// One label.
#[derive(Default, Serialize)]
struct Column {
    label: String,
    combined: Vec<Option<f64>>,
    truth: Vec<Option<f64>>,
}

/// One member; single precision is more than a screen shows.
#[derive(Serialize)]
struct Member {
    address: String,
    name: String,
    forecaster: bool,
    values: Vec<Option<f32>>,
    weights: Vec<Option<f32>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    one_out: Vec<Option<f32>>,
}

#[derive(Default, Serialize)]
struct Others {
    count: Vec<u32>,
    low: Vec<Option<f32>>,
    high: Vec<Option<f32>>,
    weight: Vec<f32>,
}

/// One entry per epoch in every list.
#[derive(Default, Serialize)]
struct Chart {
    topic_id: u64,
    /// Number of the oldest epoch that is kept, and of the one after the last of this answer.
    oldest: u64,
    next: u64,
    epochs: Vec<u64>,
    nonces: Vec<u64>,
    scored: Vec<bool>,
    naive: Vec<f64>,
    mean: Vec<f64>,
    median: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    loss: Vec<Option<f64>>,
    /// Labels of the newest answer, also those that have no column here.
    labels: usize,
    columns: Vec<Column>,
    members: Vec<Member>,
    others: Others,
}

async fn chart(State(node): State<NodeHandle>, Path(id): Path<String>, Query(asked): Query<Asked>) -> Answer {
    let id = number("topic", &id)?;
    let one = |text: &str| {
        text.parse::<Address>().map(|a| a.0).map_err(|e| Problem::bad(format!("member `{text}`: {e}")))
    };
    let members: Vec<Key> =
        asked.members.split(',').filter(|text| !text.is_empty()).map(one).collect::<Result<_, _>>()?;
    if members.len() > MAX_MEMBERS {
        return Err(Problem::bad(format!("{} members: send at most {MAX_MEMBERS}", members.len())));
    }
    let labels: Vec<String> = match asked.labels.as_str() {
        "" => Vec::new(),
        text => serde_json::from_str(text).map_err(|e| Problem::bad(format!("labels: {e}")))?,
    };
    if labels.len() > MAX_LABELS {
        return Err(Problem::bad(format!("{} labels: send at most {MAX_LABELS}", labels.len())));
    }
    let mark = if asked.mark.is_empty() { None } else { Some(one(&asked.mark)?) };
    let limit = asked.limit.unwrap_or(MAX_EPOCHS).clamp(1, MAX_EPOCHS);
    let answer = aside(move || {
        let read = node.state(0)?;
        let topic = TOPICS.get(&read, &id)?;
        let topic = topic.ok_or_else(|| Status::not_found(format!("topic {id}: not found")))?;
        Ok::<_, Status>(draw(&read, &topic, asked.from, limit, Chosen { members, labels, mark })?)
    });
    Ok(Json(answer.await??).into_response())
}

/// Whose lines are drawn; empty lists are filled from the newest answer.
struct Chosen {
    members: Vec<Key>,
    labels: Vec<String>,
    mark: Option<Key>,
}

fn draw(
    read: &Snapshot,
    topic: &Topic,
    from: u64,
    limit: usize,
    chosen: Chosen,
) -> Result<Chart, StoreError> {
    let newest = RECORDS.get(read, &(topic.id, topic.last_combined.nonce))?.map(|record| record.answer);
    let Chosen { mut members, labels, mark } = chosen;
    if members.is_empty() {
        members = newest.as_ref().map_or_else(Vec::new, heaviest);
    }
    members.extend(mark.filter(|mark| !members.contains(mark)));
    let first = from.max(topic.oldest);
    let mut chart = Chart { topic_id: topic.id, oldest: topic.oldest, next: first, ..Chart::default() };
    chart.labels = newest.as_ref().map_or(0, |answer| answer.columns.len());
    let labels = match newest {
        Some(answer) if labels.is_empty() => likeliest(&answer, topic.spec.labels.classification),
        _ => labels,
    };
    let mut lines: Vec<Line> = Vec::with_capacity(members.len());
    for account in members {
        // Somebody may be both; the names of both roles are given in one registration.
        let registration = REGISTRATIONS.get(read, &(topic.id, role::WORKER, account))?;
        let name = registration.map_or_else(String::new, |r| r.name);
        lines.push(Line {
            account,
            name,
            forecaster: false,
            marked: mark == Some(account),
            cells: Vec::new(),
        });
    }
    let places: BTreeMap<Key, usize> = lines.iter().enumerate().map(|(i, line)| (line.account, i)).collect();
    let mut inferences = 0;
    for ((of, index), nonce) in NONCES.scan_from(read, &(topic.id, first), limit)? {
        if of != topic.id || inferences > MAX_READ {
            break;
        }
        chart.next = index + 1;
        let Some(record) = RECORDS.get(read, &(topic.id, nonce))? else {
            // An epoch that is still open is the end; a void one is passed over.
            if EPOCHS.get(read, &(topic.id, nonce))?.is_some_and(|epoch| epoch.waits()) {
                chart.next = index;
                break;
            }
            continue;
        };
        inferences += record.answer.parts.len() * record.answer.columns.len();
        add(&mut chart, &mut lines, &places, &labels, index, nonce, &record);
    }
    chart.members = lines.into_iter().map(Line::shown).collect();
    Ok(chart)
}

/// Who has the largest weights in an answer.
fn heaviest(answer: &Answered) -> Vec<Key> {
    let mut parts: Vec<&Part> = answer.parts.iter().collect();
    parts.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.account.cmp(&b.account)));
    parts.truncate(MEMBERS);
    parts.into_iter().map(|part| part.account).collect()
}

/// The labels of an answer that have columns: of classes the most probable ones, in the order of the answer.
fn likeliest(answer: &Answered, classes: bool) -> Vec<String> {
    let mut places: Vec<usize> = (0..answer.columns.len()).collect();
    if classes && places.len() > MAX_LABELS {
        places.sort_by_key(|place| std::cmp::Reverse(answer.columns[*place].combined));
    }
    places.truncate(MAX_LABELS);
    places.sort_unstable();
    places.into_iter().map(|place| answer.columns[place].label.clone()).collect()
}

/// What one member said and weighed in an epoch, and the answer without it.
type Cell = (Option<f32>, Option<f32>, Option<f32>);

/// One member while its line is drawn.
struct Line {
    account: Key,
    name: String,
    forecaster: bool,
    marked: bool,
    cells: Vec<Cell>,
}

impl Line {
    fn shown(self) -> Member {
        let one_out = |cell: &Cell| cell.2;
        Member {
            address: Address(self.account).to_string(),
            name: self.name,
            forecaster: self.forecaster,
            values: self.cells.iter().map(|cell| cell.0).collect(),
            weights: self.cells.iter().map(|cell| cell.1).collect(),
            one_out: if self.marked { self.cells.iter().map(one_out).collect() } else { Vec::new() },
        }
    }
}

fn add(
    chart: &mut Chart,
    lines: &mut [Line],
    places: &BTreeMap<Key, usize>,
    labels: &[String],
    index: u64,
    nonce: u64,
    record: &Record,
) {
    let answer = &record.answer;
    let Some(first) = answer.columns.first() else { return };
    let before = chart.epochs.len();
    chart.epochs.push(index);
    chart.nonces.push(nonce);
    chart.scored.push(record.outcome.is_some());
    chart.naive.push(first.naive.get());
    chart.mean.push(first.mean.get());
    chart.median.push(first.median.get());
    chart.low.push(first.interval.p2.get());
    chart.high.push(first.interval.p98.get());
    chart.loss.push(record.outcome.as_ref().map(|outcome| outcome.losses.network.get()));
    for column in answer.columns.iter().filter(|column| labels.contains(&column.label)) {
        let place = chart.columns.iter().position(|known| known.label == column.label);
        let place = place.unwrap_or_else(|| {
            // Labels that come later were not there before.
            let absent = vec![None; before];
            let label = column.label.clone();
            chart.columns.push(Column { label, combined: absent.clone(), truth: absent });
            chart.columns.len() - 1
        });
        let truth = record.outcome.as_ref().and_then(|outcome| {
            outcome.truth.iter().find(|(label, _)| *label == column.label).map(|(_, value)| value.get())
        });
        chart.columns[place].combined.push(Some(column.combined.get()));
        chart.columns[place].truth.push(truth);
    }
    for column in &mut chart.columns {
        column.combined.resize(before + 1, None);
        column.truth.resize(before + 1, None);
    }
    let mut cells: Vec<Cell> = vec![(None, None, None); lines.len()];
    let (mut count, mut low, mut high, mut weight) = (0, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for part in &answer.parts {
        let value = part.values.first().map(|value| value.get());
        if let Some(place) = places.get(&part.account) {
            let one_out = part.one_out.first().map(|value| value.get() as f32);
            cells[*place] = (value.map(|value| value as f32), Some(part.weight.get() as f32), one_out);
            lines[*place].forecaster = part.forecaster;
        } else {
            count += 1;
            weight += part.weight.get();
            for value in value.into_iter().filter(|_| !outlying(part)) {
                (low, high) = (low.min(value), high.max(value));
            }
        }
    }
    lines.iter_mut().zip(cells).for_each(|(line, cell)| line.cells.push(cell));
    let some = |value: f64| value.is_finite().then_some(value as f32);
    chart.others.count.push(count);
    chart.others.low.push(some(low));
    chart.others.high.push(some(high));
    chart.others.weight.push(weight as f32);
}

/// Whoever the network does not listen to at all may say anything: it does not widen the others' band.
fn outlying(part: &Part) -> bool {
    part.weight.get() < 1e-9
}
