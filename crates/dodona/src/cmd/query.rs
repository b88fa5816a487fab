//! `dodona query`: what the network says, and the proof of it for those who do not believe the node.

use anyhow::{Context, Result};
use dodona_light::{Claim, Inference, Proof};
use serde_json::json;

use super::net;
use crate::{
    cli::{InferenceArgs, Output, QueryCommand},
    output::print,
};

pub fn run(command: QueryCommand) -> Result<()> {
    let QueryCommand::Inference(args) = command;
    inference(args)
}

fn inference(args: InferenceArgs) -> Result<()> {
    let client = net::client(&args.node);
    let (epoch, height) = (args.epoch.unwrap_or(0), args.height.unwrap_or(0));
    let document = client.proof(args.topic, epoch, height, args.trusted_height)?;
    if args.prove {
        return print(&document);
    }
    // The value is taken from the proof, so that both ways of asking say the same.
    let proof = Proof::from_json(document.as_bytes()).context("the node's proof cannot be read")?;
    let height = proof.block.header.height.0;
    let inference = proof.inference().with_context(|| match proof.claim {
        Claim::NoTopic { topic } => format!("there is no topic {topic} at height {height}"),
        Claim::NewestInference { topic } => format!("topic {topic} has no inference up to height {height}"),
        Claim::Inference { topic, nonce } => {
            format!("topic {topic} has no inference with nonce {nonce} in the state at height {height}")
        }
    })?;
    print(&match args.output {
        Output::Json => json!({ "height": height, "inference": inference }).to_string() + "\n",
        Output::Text => {
            let head = format!(
                "topic {}, epoch {}, made in block {} by {} members; state at height {height}\n",
                inference.topic, inference.nonce, inference.at, inference.members
            );
            head + &values(&inference)
        }
    })
}

/// One line for each label.
pub fn values(inference: &Inference) -> String {
    // With several labels it is how far the members disagree, which need not contain the value.
    let band = if inference.values.len() > 1 { "members" } else { "95 %" };
    let line = |label: &dodona_light::Label| {
        let [low, _, _, _, high] = label.interval;
        format!("  {:<20}{}  ({band}: {low} to {high})\n", label.label, label.value)
    };
    inference.values.iter().map(line).collect()
}
