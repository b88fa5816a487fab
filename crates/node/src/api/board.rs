//! A topic's members on one page, however many there are: everybody where they are few, else those with the largest
//! weights now, those who were paid most for the newest scored epoch, and whoever is asked for; with sums over all.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::IntoResponse,
    routing::get,
};
use dodona_chain::topics::{
    query,
    state::{EPOCHS, Key, MEMBERS, RECORDS, REGISTRATIONS, Record, TOPICS, Topic, part, role},
};
use dodona_proto::{Address, topics::LeaderboardRow};
use dodona_store::{Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use super::{
    Status, aside,
    native::{Answer, Problem, number},
};
use crate::NodeHandle;

/// Most rows, and how many without being asked for any number.
const MAX_ROWS: usize = 200;
const ROWS: usize = 100;
/// Registrations looked through for a name.
const MAX_NAMES: usize = 20_000;

pub(super) fn routes() -> Router<NodeHandle> {
    Router::new().route("/topics/{id}/board", get(board))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    /// An address that has its rows in any case.
    mark: String,
    /// The same by name, in small or large letters.
    name: String,
}

/// A member, and what it was paid for the newest scored epoch, uallo; none where it had no part in it.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    row: LeaderboardRow,
    paid: Option<String>,
}

/// What a part of the members came to in the newest scored epoch.
#[derive(Default, Serialize)]
struct Sum {
    /// How many took part,
    members: usize,
    /// how many of them were paid anything,
    earners: usize,
    /// and what all of them were paid, uallo.
    paid: String,
}

#[derive(Default, Serialize)]
struct Board {
    topic_id: u64,
    /// Number and nonce of the newest scored epoch; none before the first.
    epoch: Option<u64>,
    nonce: Option<u64>,
    /// What it could pay and what it paid, uallo.
    budget: String,
    reward: String,
    inferers: Sum,
    forecasters: Sum,
    reputers: Sum,
    /// Whether everybody who was ever heard is among the rows.
    complete: bool,
    rows: Vec<Row>,
}

async fn board(State(node): State<NodeHandle>, Path(id): Path<String>, Query(asked): Query<Asked>) -> Answer {
    let id = number("topic", &id)?;
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, MAX_ROWS);
    let mark = match asked.mark.as_str() {
        "" => None,
        text => {
            let address = text.parse::<Address>();
            Some(address.map_err(|e| Problem::bad(format!("mark `{text}`: {e}")))?.0)
        }
    };
    let answer = aside(move || {
        let read = node.state(0)?;
        let topic = TOPICS.get(&read, &id)?;
        let topic = topic.ok_or_else(|| Status::not_found(format!("topic {id}: not found")))?;
        let mut marked: BTreeSet<Key> = mark.into_iter().collect();
        if !asked.name.is_empty() {
            marked.extend(called(&read, id, &asked.name)?);
        }
        Ok::<_, Status>(drawn(&read, &topic, limit, &marked)?)
    });
    Ok(Json(answer.await??).into_response())
}

/// Accounts of this name.
fn called(read: &Snapshot, id: u64, name: &str) -> Result<Vec<Key>, StoreError> {
    let mut found = Vec::new();
    for role in [role::WORKER, role::REPUTER] {
        let all = REGISTRATIONS.scan_prefix(read, &(id, role), MAX_NAMES)?;
        found.extend(
            all.into_iter().filter(|(_, r)| r.name.eq_ignore_ascii_case(name)).map(|((.., who), _)| who),
        );
        found.truncate(MAX_ROWS);
    }
    Ok(found)
}

/// A part of the members, and who.
type Place = (u8, Key);

fn drawn(read: &Snapshot, topic: &Topic, limit: usize, marked: &BTreeSet<Key>) -> Result<Board, StoreError> {
    let id = topic.id;
    let mut board = Board { topic_id: id, ..Board::default() };
    let scored = RECORDS.get(read, &(id, topic.last_scored.nonce))?;
    let paid = scored.as_ref().map_or_else(BTreeMap::new, pay);
    if let Some(outcome) = scored.as_ref().and_then(|record| record.outcome.as_ref()) {
        board.nonce = Some(topic.last_scored.nonce);
        board.epoch = EPOCHS.get(read, &(id, topic.last_scored.nonce))?.map(|epoch| epoch.index);
        (board.budget, board.reward) = (outcome.budget.to_string(), outcome.reward.to_string());
    }
    for (sum, part) in [
        (&mut board.inferers, part::INFERER),
        (&mut board.forecasters, part::FORECASTER),
        (&mut board.reputers, part::REPUTER),
    ] {
        let of: Vec<u128> = paid.iter().filter(|((p, _), _)| *p == part).map(|(_, paid)| *paid).collect();
        let all = of.iter().fold(0u128, |all, paid| all.saturating_add(*paid));
        *sum = Sum {
            members: of.len(),
            earners: of.iter().filter(|paid| **paid > 0).count(),
            paid: all.to_string(),
        };
    }
    let everybody = MEMBERS.scan_prefix(read, &id, limit + 1)?;
    board.complete = everybody.len() <= limit;
    let places: BTreeSet<Place> = match board.complete {
        true => everybody.into_iter().map(|((_, part, who), _)| (part, who)).collect(),
        false => {
            let newest = RECORDS.get(read, &(id, topic.last_combined.nonce))?;
            let parts = [part::INFERER, part::FORECASTER, part::REPUTER];
            let asked = marked.iter().flat_map(|who| parts.map(|part| (part, *who)));
            chosen(newest.as_ref(), scored.as_ref(), &paid, limit).into_iter().chain(asked).collect()
        }
    };
    for (part, who) in places {
        let Some(row) = query::leaderboard_row(read, topic, part, who)? else { continue };
        board.rows.push(Row { row, paid: paid.get(&(part, who)).map(u128::to_string) });
    }
    Ok(board)
}

/// What everybody was paid for an epoch.
fn pay(record: &Record) -> BTreeMap<Place, u128> {
    let place = |forecaster| if forecaster { part::FORECASTER } else { part::INFERER };
    let workers = record.answer.parts.iter().map(|p| ((place(p.forecaster), p.account), p.reward));
    let reports = record.outcome.iter().flat_map(|outcome| &outcome.reports);
    workers.chain(reports.map(|r| ((part::REPUTER, r.account), r.reward))).collect()
}

/// Half of the rows go to the largest weights of the newest answer, a quarter to the largest pay of the newest scored
/// epoch, a quarter to the reputers with the largest stake.
fn chosen(
    newest: Option<&Record>,
    scored: Option<&Record>,
    paid: &BTreeMap<Place, u128>,
    limit: usize,
) -> BTreeSet<Place> {
    let quarter = limit.div_ceil(4);
    let mut weights: Vec<_> = newest.into_iter().flat_map(|record| &record.answer.parts).collect();
    weights.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.account.cmp(&b.account)));
    let place = |forecaster| if forecaster { part::FORECASTER } else { part::INFERER };
    let weighty =
        weights.into_iter().take(limit - limit.min(2 * quarter)).map(|p| (place(p.forecaster), p.account));
    let mut pay: Vec<_> = paid.iter().filter(|((part, _), _)| *part != part::REPUTER).collect();
    pay.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let earning = pay.into_iter().take(quarter).map(|(place, _)| *place);
    let mut stakes: Vec<_> = scored
        .and_then(|record| record.outcome.as_ref())
        .into_iter()
        .flat_map(|outcome| &outcome.reports)
        .collect();
    stakes.sort_by(|a, b| b.stake.cmp(&a.stake).then(a.account.cmp(&b.account)));
    let reputers = stakes.into_iter().take(quarter).map(|r| (part::REPUTER, r.account));
    weighty.chain(earning).chain(reputers).collect()
}
