//! `dodona export epochs|rewards|stakes`: what a node knows of a topic as a table, for spreadsheets and notebooks.

use std::{
    fs::File,
    io::{self, BufWriter, ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use dodona_client::{Client, Http};
use dodona_participant::columns;
use dodona_proto::{
    path,
    topics::{
        QueryDelegationsRequest, QueryDelegationsResponse, QueryEpochResponse, QueryStakesRequest,
        QueryStakesResponse,
    },
};
use serde_json::{Map, Value};

use super::{
    net,
    parquet_sheet::{Kind, ParquetSheet},
};
use crate::cli::{Format, TableArgs};

/// Columns of a table and what is in them; an empty cell is something that is not known or does not apply.
type Columns = [(&'static str, Kind)];

const EPOCHS: [(&str, Kind); 15] = [
    ("epoch", Kind::Count),
    ("nonce", Kind::Count),
    ("state", Kind::Text),
    ("label", Kind::Text),
    ("combined", Kind::Number),
    ("naive", Kind::Number),
    ("mean", Kind::Number),
    ("median", Kind::Number),
    ("truth", Kind::Number),
    ("network_loss", Kind::Number),
    ("mean_loss", Kind::Number),
    ("median_loss", Kind::Number),
    ("reward_uallo", Kind::Text),
    ("combined_block", Kind::Count),
    ("scored_block", Kind::Count),
];
const REWARDS: [(&str, Kind); 11] = [
    ("epoch", Kind::Count),
    ("nonce", Kind::Count),
    ("scored_block", Kind::Count),
    ("role", Kind::Text),
    ("address", Kind::Text),
    ("name", Kind::Text),
    ("value", Kind::Number),
    ("weight", Kind::Number),
    ("loss", Kind::Number),
    ("score", Kind::Number),
    ("reward_uallo", Kind::Text),
];
const STAKES: [(&str, Kind); 5] = [
    ("reputer", Kind::Text),
    ("delegator", Kind::Text),
    ("kind", Kind::Text),
    ("amount_uallo", Kind::Text),
    ("pending_uallo", Kind::Text),
];

/// Where rows go, one after the other: a table of any length needs no memory.
struct Sheet<'a> {
    form: Form,
    columns: &'a Columns,
}

enum Form {
    Csv(Box<dyn Write>),
    Jsonl(Box<dyn Write>),
    Parquet(Box<ParquetSheet>),
}

impl<'a> Sheet<'a> {
    fn open(out: Option<&Path>, format: Format, columns: &'a Columns) -> Result<Self> {
        let file =
            |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        let text = || -> Result<Box<dyn Write>> {
            Ok(match out {
                None => Box::new(BufWriter::new(io::stdout())),
                Some(path) => Box::new(BufWriter::new(file(path)?)),
            })
        };
        let form = match format {
            Format::Csv => {
                let mut to = text()?;
                let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                writeln!(to, "{}", names.join(","))?;
                Form::Csv(to)
            }
            Format::Jsonl => Form::Jsonl(text()?),
            Format::Parquet => {
                let path = out.context("a Parquet file is written with --out FILE")?;
                Form::Parquet(Box::new(ParquetSheet::open(file(path)?, columns)?))
            }
        };
        Ok(Self { form, columns })
    }

    fn row(&mut self, cells: &[Value]) -> Result<()> {
        match &mut self.form {
            Form::Csv(to) => {
                let cells: Vec<String> = cells.iter().map(cell).collect();
                writeln!(to, "{}", cells.join(","))?;
            }
            Form::Jsonl(to) => {
                let named = self.columns.iter().zip(cells);
                let row: Map<String, Value> =
                    named.map(|((name, _), v)| ((*name).to_string(), v.clone())).collect();
                writeln!(to, "{}", Value::Object(row))?;
            }
            Form::Parquet(sheet) => sheet.row(cells)?,
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        match self.form {
            Form::Csv(mut to) | Form::Jsonl(mut to) => to.flush()?,
            Form::Parquet(sheet) => sheet.close()?,
        }
        Ok(())
    }
}

/// A cell as CSV wants it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    columns::quoted(&text).into_owned()
}

pub fn epochs(args: &TableArgs) -> Result<()> {
    whole(table(args, &EPOCHS, |client, sheet| every(client, args, |epoch| epoch_rows(epoch, sheet))))
}

pub fn rewards(args: &TableArgs) -> Result<()> {
    whole(table(args, &REWARDS, |client, sheet| {
        every(client, args, |epoch| reward_rows(epoch, args.address.as_deref(), sheet))
    }))
}

pub fn stakes(args: &TableArgs) -> Result<()> {
    whole(table(args, &STAKES, |client, sheet| stake_rows(client, args, sheet)))
}

/// A reader who has gone away is no error.
fn whole(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

fn table(
    args: &TableArgs,
    columns: &Columns,
    fill: impl FnOnce(&Client<Http>, &mut Sheet<'_>) -> Result<()>,
) -> Result<()> {
    let client = net::client(&args.node);
    client.topic(args.topic)?; // a topic that does not exist is told before a file is made
    let mut sheet = Sheet::open(args.out.as_deref(), args.format, columns)?;
    fill(&client, &mut sheet)?;
    sheet.close()
}

/// Every epoch the node keeps, oldest first.
fn every(
    client: &Client<Http>,
    args: &TableArgs,
    mut take: impl FnMut(&QueryEpochResponse) -> Result<()>,
) -> Result<()> {
    let mut next = args.from;
    loop {
        let page = client.epochs(args.topic, next, 0)?.epochs;
        let Some(last) = page.last() else { return Ok(()) };
        next = last.epoch + 1;
        for epoch in &page {
            take(epoch)?;
        }
    }
}

fn epoch_rows(epoch: &QueryEpochResponse, sheet: &mut Sheet<'_>) -> Result<()> {
    let answered = epoch.combined_at > 0;
    let known = |number: f64| if answered { Value::from(number) } else { Value::Null };
    let maybe = |number: Option<f64>| number.map_or(Value::Null, Value::from);
    let block = |height: u64| if height > 0 { Value::from(height) } else { Value::Null };
    let mut row = |label: &str, numbers: [Value; 5]| {
        let [combined, naive, mean, median, truth] = numbers;
        sheet.row(&[
            epoch.epoch.into(),
            epoch.nonce.into(),
            epoch.state.as_str().into(),
            label.into(),
            combined,
            naive,
            mean,
            median,
            truth,
            maybe(epoch.network_loss),
            maybe(epoch.mean_loss),
            maybe(epoch.median_loss),
            epoch.reward.as_str().into(),
            block(epoch.combined_at),
            block(epoch.scored_at),
        ])
    };
    if epoch.columns.len() > 1 {
        for c in &epoch.columns {
            let numbers = [known(c.combined), known(c.naive), known(c.mean), known(c.median), maybe(c.truth)];
            row(&c.label, numbers)?;
        }
        return Ok(());
    }
    let e = epoch;
    row("", [known(e.combined), known(e.naive), known(e.mean), known(e.median), maybe(e.truth)])
}

fn reward_rows(epoch: &QueryEpochResponse, address: Option<&str>, sheet: &mut Sheet<'_>) -> Result<()> {
    if epoch.state != "scored" {
        return Ok(());
    }
    let wanted = |who: &str| address.is_none_or(|address| address == who);
    let maybe = |number: Option<f64>| number.map_or(Value::Null, Value::from);
    for part in epoch.parts.iter().filter(|part| wanted(&part.address)) {
        let role = if part.forecaster { "forecaster" } else { "inferer" };
        // Several labels are several numbers: they are in `dodona export epoch`.
        let value = if part.values.len() > 1 { Value::Null } else { part.value.into() };
        sheet.row(&[
            epoch.epoch.into(),
            epoch.nonce.into(),
            epoch.scored_at.into(),
            role.into(),
            part.address.as_str().into(),
            part.name.as_str().into(),
            value,
            part.weight.into(),
            maybe(part.loss),
            maybe(part.score),
            part.reward.as_str().into(),
        ])?;
    }
    for truth in epoch.truths.iter().filter(|truth| wanted(&truth.address)) {
        let value = if truth.values.len() > 1 { Value::Null } else { truth.value.into() };
        sheet.row(&[
            epoch.epoch.into(),
            epoch.nonce.into(),
            epoch.scored_at.into(),
            "reputer".into(),
            truth.address.as_str().into(),
            truth.name.as_str().into(),
            value,
            Value::Null,
            Value::Null,
            truth.score.into(),
            truth.reward.as_str().into(),
        ])?;
    }
    Ok(())
}

fn stake_rows(client: &Client<Http>, args: &TableArgs, sheet: &mut Sheet<'_>) -> Result<()> {
    let wanted = |who: &str| args.address.as_deref().is_none_or(|address| address == who);
    let mut start_after = String::new();
    loop {
        let request = QueryStakesRequest { topic_id: args.topic, start_after: start_after.clone(), limit: 0 };
        let page: QueryStakesResponse = client.ask(path::STAKES, &request)?;
        let Some(last) = page.rows.last() else { break };
        if last.reputer == start_after {
            break;
        }
        start_after.clone_from(&last.reputer);
        for row in &page.rows {
            let reputer = row.reputer.as_str();
            if wanted(reputer) {
                sheet.row(&[
                    reputer.into(),
                    "".into(),
                    "own".into(),
                    row.own.as_str().into(),
                    Value::Null,
                ])?;
            }
            if row.delegated != "0" {
                delegation_rows(client, args, reputer, sheet)?;
            }
        }
    }
    Ok(())
}

fn delegation_rows(
    client: &Client<Http>,
    args: &TableArgs,
    reputer: &str,
    sheet: &mut Sheet<'_>,
) -> Result<()> {
    let wanted = |who: &str| args.address.as_deref().is_none_or(|address| address == who);
    let (topic_id, reputer) = (args.topic, reputer.to_string());
    let request = QueryDelegationsRequest { topic_id, reputer: reputer.clone(), delegator: String::new() };
    let delegations: QueryDelegationsResponse = client.ask(path::DELEGATIONS, &request)?;
    for row in delegations.rows.iter().filter(|row| wanted(&reputer) || wanted(&row.delegator)) {
        let (delegator, amount, pending) =
            (row.delegator.as_str(), row.amount.as_str(), row.pending.as_str());
        sheet.row(&[
            reputer.as_str().into(),
            delegator.into(),
            "delegated".into(),
            amount.into(),
            pending.into(),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_odd_characters_is_quoted() {
        for (value, wanted) in [
            (Value::from("plain"), "plain"),
            (Value::from("a,b"), "\"a,b\""),
            (Value::from("say \"x\""), "\"say \"\"x\"\"\""),
            (Value::Null, ""),
            (Value::from(1.5), "1.5"),
        ] {
            assert_eq!(cell(&value), wanted);
        }
    }
}
