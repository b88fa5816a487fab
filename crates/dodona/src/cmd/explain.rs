//! `dodona explain`: why somebody earned what it earned, with every input of its formula.

use anyhow::{Result, bail};
use dodona_proto::topics::{Line, QueryExplainResponse};
use serde_json::json;

use super::net;
use crate::{
    cli::{ExplainCommand, Output},
    output::print,
};

pub fn run(command: ExplainCommand) -> Result<()> {
    let (who, roles, common): (Option<String>, &[&str], _) = match command {
        ExplainCommand::Worker { who, common } => (Some(who), &["inferer", "forecaster"], common),
        ExplainCommand::Reputer { who, common } => (Some(who), &["reputer"], common),
        ExplainCommand::Topic { common } => (None, &[], common),
    };
    let client = net::client(&common.node);
    let address = match &who {
        Some(who) => net::member(&client, common.topic, who)?,
        None => String::new(),
    };
    let mut answer = client.explain(common.topic, common.epoch.unwrap_or(0), address)?;
    answer.parts.retain(|part| roles.contains(&part.role.as_str()));
    if let (Some(who), true) = (&who, answer.parts.is_empty()) {
        bail!("{who} has no part as {} in topic {}", roles.join(" or "), common.topic);
    }
    print(&match common.output {
        Output::Json => json!(answer).to_string() + "\n",
        Output::Text => text(&answer, who.as_deref()),
    })
}

fn lines(out: &mut String, lines: &[Line]) {
    for l in lines {
        let note = if l.note.is_empty() { String::new() } else { format!("  ({})", l.note) };
        out.push_str(&format!("    {:<28}{}{note}\n", l.name, l.value));
    }
}

fn text(answer: &QueryExplainResponse, who: Option<&str>) -> String {
    let mut out = format!("topic {}, epoch {} ({})\n", answer.topic_id, answer.nonce, answer.state);
    for part in &answer.parts {
        out.push_str(&format!("\n  {} as {}: {}\n", who.unwrap_or_default(), part.role, part.verdict));
        lines(&mut out, &part.lines);
        let amount = |text: &str| net::allo(text.parse().unwrap_or(0));
        if part.took_part {
            out.push_str(&format!("    {:<28}{}\n", "reward", amount(&part.reward)));
        } else if !part.would_have_earned.is_empty() {
            out.push_str(&format!(
                "    {:<28}{}\n",
                "would have earned about",
                amount(&part.would_have_earned)
            ));
        }
    }
    out.push_str("\n  the topic\n");
    lines(&mut out, &answer.topic);
    out
}
