//! `dodona export epoch` and `dodona recompute`: everything an epoch was computed from in one file, and the same
//! computations once more, by whoever holds that file, with the same digits.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::topics::{
    judge::{self, JudgeInput, OpenInput},
    state::Key,
};
use dodona_proto::{
    Address, path,
    topics::{QueryEpochResponse, QueryInputsRequest, QueryInputsResponse},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{net, tables};
use crate::{
    cli::{ExportCommand, Output},
    output::print,
};

/// Name of the form of the file.
const FORMAT: &str = "dodona-epoch-1";

/// An epoch in a file.
#[derive(Serialize, Deserialize)]
struct Exported {
    format: String,
    chain_id: String,
    topic: u64,
    nonce: u64,
    /// What the chain says came of it.
    epoch: QueryEpochResponse,
    /// What was said, for people.
    inputs: QueryInputsResponse,
    /// Complete input of the answer, base64.
    open: String,
    /// Complete input of scores and pay, base64; empty while the truth is not known.
    judge: String,
}

pub fn export(command: ExportCommand) -> Result<()> {
    let (topic, epoch, out, node) = match command {
        ExportCommand::Epoch { topic, epoch, out, node } => (topic, epoch, out, node),
        ExportCommand::Epochs(args) => return tables::epochs(&args),
        ExportCommand::Rewards(args) => return tables::rewards(&args),
        ExportCommand::Stakes(args) => return tables::stakes(&args),
    };
    let client = net::client(&node);
    let view = match epoch {
        Some(nonce) => client.epoch(topic, nonce)?,
        None => {
            let nonce = client.topic(topic)?.last_scored_nonce;
            if nonce == 0 {
                bail!("topic {topic} has no scored epoch yet");
            }
            client.epoch(topic, nonce)?
        }
    };
    let nonce = view.nonce;
    let trail = client.trail(topic, nonce)?;
    let question = QueryInputsRequest { topic_id: topic, nonce, address: String::new() };
    let exported = Exported {
        format: FORMAT.into(),
        chain_id: client.status()?.chain_id,
        topic,
        nonce,
        epoch: view,
        inputs: client.ask(path::INPUTS, &question)?,
        open: STANDARD.encode(&trail.open),
        judge: STANDARD.encode(&trail.judge),
    };
    let text = serde_json::to_string_pretty(&exported)? + "\n";
    match out {
        None => print(&text),
        Some(path) => fs::write(&path, text).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// One number of the chain beside the same number computed here.
#[derive(Serialize)]
struct Check {
    what: String,
    chain: String,
    here: String,
    same: bool,
}

pub fn recompute(file: PathBuf, output: Output) -> Result<()> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let exported: Exported = serde_json::from_str(&text).with_context(|| {
        format!("{} is no exported epoch; make one with `dodona export epoch`", file.display())
    })?;
    if exported.format != FORMAT {
        bail!("the file's form is `{}`, this program reads `{FORMAT}`", exported.format);
    }
    let mut checks = Checks(Vec::new());
    let open: OpenInput = checks.input("open", &exported.open, &exported.epoch.open_trail)?;
    answer(&mut checks, &open, &exported.epoch)?;
    if !exported.judge.is_empty() {
        let input: JudgeInput = checks.input("judge", &exported.judge, &exported.epoch.judge_trail)?;
        outcome(&mut checks, &input, &exported.epoch)?;
    }
    let checks = checks.0;
    let differ: Vec<&Check> = checks.iter().filter(|c| !c.same).collect();
    print(&match output {
        Output::Json => {
            let same = differ.is_empty();
            json!({ "topic": exported.topic, "nonce": exported.nonce, "same": same, "checks": checks })
                .to_string()
                + "\n"
        }
        Output::Text => report(&exported, &checks, &differ),
    })?;
    if !differ.is_empty() {
        bail!("{} of {} numbers differ from the chain's", differ.len(), checks.len());
    }
    Ok(())
}

fn report(exported: &Exported, checks: &[Check], differ: &[&Check]) -> String {
    let mut out = format!(
        "chain {}, topic {}, epoch {}: {} numbers computed again\n",
        exported.chain_id,
        exported.topic,
        exported.nonce,
        checks.len()
    );
    for c in differ {
        out.push_str(&format!("  differs: {}: the chain says {}, computed {}\n", c.what, c.chain, c.here));
    }
    if differ.is_empty() {
        out.push_str("all of them are the chain's, to the last digit\n");
        if exported.judge.is_empty() {
            out.push_str("the truth is not known yet: only the answer was computed\n");
        }
    }
    out
}

struct Checks(Vec<Check>);

impl Checks {
    fn same(&mut self, what: impl Into<String>, chain: impl ToString, here: impl ToString) {
        let (chain, here) = (chain.to_string(), here.to_string());
        let same = chain == here;
        self.0.push(Check { what: what.into(), chain, here, same });
    }

    /// Takes an input apart; its hash is what the chain's record of the epoch holds.
    fn input<T: borsh::BorshDeserialize>(&mut self, what: &str, base64: &str, hash: &str) -> Result<T> {
        let bytes = STANDARD.decode(base64).with_context(|| format!("`{what}` is not base64"))?;
        self.same(format!("hash of the {what} input"), hash, hex::encode(Sha256::digest(&bytes)));
        borsh::from_slice(&bytes)
            .with_context(|| format!("`{what}` does not decode: was it made by another version?"))
    }
}

fn name(account: &Key) -> String {
    Address(*account).to_string()
}

fn answer(checks: &mut Checks, input: &OpenInput, epoch: &QueryEpochResponse) -> Result<()> {
    let opening = judge::open(input).context("the answer cannot be computed")?;
    let synthesis = opening.synthesis();
    checks.same("labels", epoch.columns.len(), synthesis.columns.len());
    for (column, view) in synthesis.columns.iter().zip(&epoch.columns) {
        let label = &view.label;
        checks.same(format!("network inference {label}"), view.combined, column.combined.get());
        checks.same(format!("without forecasters {label}"), view.naive, column.naive.get());
        checks.same(format!("mean {label}"), view.mean, column.mean.get());
        checks.same(format!("median {label}"), view.median, column.median.get());
    }
    let names = input.inferers.iter().map(|m| name(&m.0)).chain(input.forecasters.iter().map(|m| name(&m.0)));
    let weights = synthesis.inferer_weights.iter().chain(&synthesis.forecaster_weights);
    checks.same("members", epoch.parts.len(), input.inferers.len() + input.forecasters.len());
    for ((who, weight), part) in names.zip(weights).zip(&epoch.parts) {
        checks.same("member", &part.address, &who);
        checks.same(format!("weight of {who}"), part.weight, weight.get());
    }
    Ok(())
}

fn outcome(checks: &mut Checks, input: &JudgeInput, epoch: &QueryEpochResponse) -> Result<()> {
    let judged = judge::judge(input)
        .map_err(|reason| anyhow::anyhow!("the epoch cannot be scored: {}", reason.text()))?;
    for (label, value) in &judged.truth {
        let known = epoch.columns.iter().find(|c| c.label == *label).and_then(|c| c.truth);
        // A class nobody predicted has no column.
        if let Some(known) = known {
            checks.same(format!("truth {label}"), known, value.get());
        }
    }
    checks.same("network loss", epoch.network_loss.unwrap_or(f64::NAN), judged.sums.network.get());
    checks.same("budget", &epoch.topic_reward, input.budget);
    let shown = |value: Option<f64>| value.map_or("none".to_string(), |v| v.to_string());
    let losses = judged.raw.inferers.iter().chain(&judged.raw.forecasters);
    for (i, (part, loss)) in epoch.parts.iter().zip(losses).enumerate() {
        let who = &part.address;
        checks.same(format!("loss of {who}"), shown(part.loss), shown(loss.map(|l| l.get())));
        checks.same(format!("score of {who}"), shown(part.score), shown(judged.scores[i].map(|s| s.get())));
        checks.same(format!("reward of {who}"), &part.reward, judged.pay[i]);
    }
    checks.same("reputers", epoch.truths.len(), input.reports.len());
    for (i, (row, reported)) in epoch.truths.iter().zip(&input.reports).enumerate() {
        let who = name(&reported.account);
        checks.same("reputer", &row.address, &who);
        checks.same(format!("score of reputer {who}"), row.score, judged.reputer_scores[i].get());
        checks.same(format!("reward of reputer {who}"), &row.reward, judged.reputer_pay[i]);
    }
    let paid: u128 = judged.pay.iter().chain(&judged.reputer_pay).sum();
    checks.same("paid", &epoch.reward, paid);
    Ok(())
}
