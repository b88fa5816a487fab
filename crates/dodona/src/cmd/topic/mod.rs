//! `dodona topic`: a topic from its file to the chain, and what became of it.

mod file;
mod lint;

use std::fs;

use anyhow::{Context, Result, bail};
use dodona_chain::Params;
use dodona_client::{Client, Http};
use dodona_proto::{
    topics::{LabelList, MsgCreateTopic, MsgFundTopic, MsgUpdateTopic, QueryTopicResponse},
    tx::pack,
    url,
};
use serde_json::json;

use self::file::TopicFile;
use super::net::{self, allo, amount};
use crate::{
    cli::{Output, TopicCommand},
    output::print,
};

/// Gas of a topic's messages, with room for many labels.
const GAS: u64 = 1_000_000;

pub fn run(command: TopicCommand) -> Result<()> {
    match command {
        TopicCommand::Lint { file, node, output } => {
            let file = read(&file)?;
            let params = match node {
                Some(node) => chain_params(&Client::new(Http::new(&node)))?,
                None => Params::default(),
            };
            let found = lint::lint(&file.spec(), &params, &file.plan)?;
            print(&match output {
                Output::Json => serde_json::to_string(&found)? + "\n",
                Output::Text => found.text(&file.plan),
            })?;
            if !found.refusals.is_empty() {
                bail!("the chain would refuse this topic");
            }
            Ok(())
        }
        TopicCommand::Create { file, fund, sign, output } => {
            let file = read(&file)?;
            let client = net::client(&sign.node);
            let found = lint::lint(&file.spec(), &chain_params(&client)?, &file.plan)?;
            if let Some(r) = found.refusals.first() {
                bail!("the chain would refuse {}: {}; see `dodona topic lint`", r.field, r.cause);
            }
            let key = net::key(&sign.key, &sign.unlock)?;
            let creator = key.address().to_string();
            let message = MsgCreateTopic { creator: creator.clone(), spec: Some(file.spec()) };
            let receipt = net::send(&client, key.clone(), vec![pack(url::CREATE_TOPIC, &message)], GAS)?;
            let created = receipt.events.iter().find(|e| e.kind == "topic_created");
            let id: u64 = created
                .and_then(|e| e.attributes.iter().find(|a| a.key == "topic_id"))
                .and_then(|a| a.value.parse().ok())
                .context("the receipt names no topic")?;
            if let Some(fund) = fund {
                let message =
                    MsgFundTopic { sender: creator, topic_id: id, amount: amount(&fund)?.to_string() };
                net::send(&client, key, vec![pack(url::FUND_TOPIC, &message)], GAS)?;
            }
            tell(&client, id, output)
        }
        TopicCommand::Fund { id, amount: text, sign, output } => {
            let client = net::client(&sign.node);
            let key = net::key(&sign.key, &sign.unlock)?;
            let sender = key.address().to_string();
            let message = MsgFundTopic { sender, topic_id: id, amount: amount(&text)?.to_string() };
            net::send(&client, key, vec![pack(url::FUND_TOPIC, &message)], GAS)?;
            tell(&client, id, output)
        }
        TopicCommand::Update { id, set, sign, output } => {
            let client = net::client(&sign.node);
            let key = net::key(&sign.key, &sign.unlock)?;
            let message = patch(id, key.address().to_string(), &set)?;
            net::send(&client, key, vec![pack(url::UPDATE_TOPIC, &message)], GAS)?;
            tell(&client, id, output)
        }
        TopicCommand::Show { id, node, output } => tell(&net::client(&node), id, output),
    }
}

fn read(path: &std::path::Path) -> Result<TopicFile> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    TopicFile::parse(&text).with_context(|| format!("{} is no topic", path.display()))
}

/// Parameters of a node's chain, in our own form.
fn chain_params(client: &Client<Http>) -> Result<Params> {
    let list: Vec<(String, String)> =
        client.params()?.params.into_iter().map(|p| (p.name, p.value)).collect();
    Params::default().with(&list).map_err(|e| anyhow::anyhow!("the node's parameters are not ours: {e}"))
}

/// Only what is named changes.
fn patch(topic_id: u64, sender: String, set: &[String]) -> Result<MsgUpdateTopic> {
    let mut message = MsgUpdateTopic { sender, topic_id, ..MsgUpdateTopic::default() };
    for entry in set {
        let (name, value) = entry.split_once('=').with_context(|| format!("`{entry}` is not name=value"))?;
        let text = Some(value.to_string());
        let count = || -> Result<Option<u32>> {
            value.parse().map(Some).with_context(|| format!("{name}: `{value}` is no whole number"))
        };
        match name {
            "metadata" => message.metadata = text,
            "truth_source" => message.truth_source = text,
            "resolution" => message.resolution = text,
            "alpha_regret" => message.alpha_regret = text,
            "p_norm" => message.p_norm = text,
            "c_norm" => message.c_norm = text,
            "merit_alpha" => message.merit_alpha = text,
            "label_default" => message.label_default = text,
            "max_labels" => message.max_labels = count()?,
            "max_inferers" => message.max_inferers = count()?,
            "max_forecasters" => message.max_forecasters = count()?,
            "max_reputers" => message.max_reputers = count()?,
            // `labels=` clears the list on purpose; not naming it leaves it alone.
            "labels" => {
                let labels =
                    value.split(',').map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
                message.labels = Some(LabelList { labels });
            }
            other => bail!(
                "`{other}` cannot change; these can: metadata, truth_source, resolution, alpha_regret, p_norm, c_norm, \
                 merit_alpha, label_default, max_labels, labels, max_inferers, max_forecasters, max_reputers"
            ),
        }
    }
    Ok(message)
}

/// A topic as it stands.
fn tell(client: &Client<Http>, id: u64, output: Output) -> Result<()> {
    let topic = client.topic(id)?;
    print(&match output {
        Output::Json => json!(topic).to_string() + "\n",
        Output::Text => text(&topic),
    })
}

fn text(t: &QueryTopicResponse) -> String {
    let spec = t.spec.clone().unwrap_or_default();
    let uallo = |text: &str| allo(text.parse().unwrap_or(0));
    let rule = spec.rule().as_str_name().trim_start_matches("RULE_").to_lowercase();
    let loss = spec.loss().as_str_name().trim_start_matches("LOSS_").to_lowercase();
    let mut out = format!("topic {}: {}\n", t.topic_id, spec.title);
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!("  {name:<14}{value}\n"));
        }
    };
    line("target", spec.target.clone());
    line("unit", spec.unit.clone());
    line("labels", spec.labels.join(", "));
    line("truth", spec.truth_source.clone());
    line("rule", format!("{rule}, {loss} loss"));
    line(
        "schedule",
        format!(
            "asks every {} blocks, answers in {}{}, truth after {} within {}",
            spec.epoch_length,
            spec.worker_window,
            match spec.reveal_window {
                0 => String::new(),
                reveal => format!(" (sealed, opened in the last {reveal})"),
            },
            spec.truth_lag,
            spec.truth_window
        ),
    );
    line(
        "state",
        match t.active {
            true => format!("asks; next question after block {}", t.next_epoch_block),
            false => format!("sleeps: {}", t.inactive_reason),
        },
    );
    line("epochs", format!("{} opened, {} scored, {} void", t.epochs_opened, t.epochs_scored, t.epochs_void));
    line("members", format!("{} workers, {} reputers registered", t.workers, t.reputers));
    line("stake", uallo(&t.stake));
    line("funded", format!("{}, of which {} still weigh", uallo(&t.funded), uallo(&t.revenue)));
    let share = if t.total_weight > 0.0 && t.active { 100.0 * t.weight / t.total_weight } else { 0.0 };
    line(
        "weight",
        format!("{:.3e} ({share:.1} % of all topics), moves towards {:.3e}", t.weight, t.weight_target),
    );
    if t.active {
        let dry = if t.runs_dry_epochs >= 10_000 {
            "more than 10000".into()
        } else {
            t.runs_dry_epochs.to_string()
        };
        line("runs dry", format!("in {dry} epochs without further funding"));
        line("pays", format!("about {:.4} ALLO per epoch now", t.reward_per_epoch / 1e18));
    }
    line("paid", format!("{}, {} wait in the pot", uallo(&t.paid), uallo(&t.pot)));
    if t.epochs_scored > 0 {
        line(
            "mean loss",
            format!(
                "network {:.6}, plain mean {:.6}, median {:.6}",
                t.mean_loss_network, t.mean_loss_mean, t.mean_loss_median
            ),
        );
    }
    out
}
