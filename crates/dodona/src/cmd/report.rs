//! `dodona reputer report`: what happened in one epoch, said by hand, after a question that shows what was understood.

use std::{fs::File, io::Read};

use anyhow::{Context, Result, bail};
use dodona_participant::{
    role::{gas, sayable},
    truth::{Happened, MAX_BODY, Yardstick, count},
};
use dodona_proto::{
    topics::{LabelValue, MsgReportLosses, MsgReportTruth},
    tx::pack,
    url,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{keys::agreed, net, role};
use crate::{
    cli::{Output, ReportArgs},
    output::print,
};

pub fn run(args: ReportArgs) -> Result<()> {
    let client = net::client(&args.sign.node);
    let spec = client.topic(args.topic)?.spec.unwrap_or_default();
    let yardstick =
        Yardstick::needed(&spec, args.loss.as_deref()).with_context(|| format!("topic {}", args.topic))?;
    let seen = client.windows(args.topic)?;
    let next = seen.height + 1;
    let window = seen.windows.iter().find(|w| w.epoch == args.epoch).with_context(|| {
        let open = seen.windows.iter().filter(|w| (w.truth_first..=w.truth_last).contains(&next));
        let open: Vec<String> = open.map(|w| w.epoch.to_string()).collect();
        let open = if open.is_empty() { "none".into() } else { open.join(", ") };
        format!(
            "epoch {} of topic {} has ended or was not asked; open for truths: {open}",
            args.epoch, args.topic
        )
    })?;
    if !(window.truth_first..=window.truth_last).contains(&next) {
        let (first, last) = (window.truth_first, window.truth_last);
        bail!("truths of epoch {} are accepted in blocks {first} to {last}; the next is {next}", args.epoch);
    }
    let labels = &spec.labels;
    let (happened, mut shown) = match (args.value, args.label) {
        (Some(value), _) if labels.is_empty() => {
            let value =
                sayable(value).context("the value is no finite number of a size that can be reported")?;
            (Happened::Value(value), format!("{value} {}", spec.unit).trim_end().to_string())
        }
        (_, Some(label)) if labels.contains(&label) => {
            let shown = format!("`{label}`");
            (Happened::Label(label), shown)
        }
        _ if labels.is_empty() => bail!("topic {} wants a number: --value", args.topic),
        _ => bail!("topic {} wants one of its labels: --label {}", args.topic, labels.join("|")),
    };
    let evidence = match &args.evidence {
        None => Vec::new(),
        Some(path) => {
            let shown = path.display();
            let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
            let mut bytes = Vec::new();
            file.take(MAX_BODY + 1)
                .read_to_end(&mut bytes)
                .with_context(|| format!("cannot read {shown}"))?;
            if bytes.len() as u64 > MAX_BODY {
                bail!("{shown} is larger than {MAX_BODY} bytes: keep the part that says it");
            }
            Sha256::digest(&bytes).to_vec()
        }
    };
    let losses = match &yardstick {
        None => None,
        Some(yardstick) => {
            let published = role::published(&args.sign.node.node)(args.topic, window.nonce);
            let losses = yardstick.losses(&published.map_err(anyhow::Error::msg)?, &happened)?;
            shown = format!("{shown} ({} losses, the network's {})", count(&losses), losses.combined);
            Some(losses)
        }
    };
    let question = format!(
        "report {shown} as what happened in epoch {} of topic {}? yes or no: ",
        args.epoch, args.topic
    );
    if !args.yes && !agreed(&question, "yes")? {
        bail!("nothing was reported");
    }
    let key = net::key(&args.sign.key, &args.sign.unlock)?;
    let sender = key.address().to_string();
    let (topic_id, nonce, hash) = (args.topic, window.nonce, hex::encode(&evidence));
    let (message, gas) = match losses {
        Some(losses) => {
            let gas = gas::losses(count(&losses));
            (pack(url::REPORT_LOSSES, &MsgReportLosses { sender: sender.clone(), ..losses }), gas)
        }
        None => {
            let (value, values) = match happened {
                Happened::Value(value) => (value.to_string(), Vec::new()),
                Happened::Label(label) => (String::new(), vec![LabelValue { label, value: "1".into() }]),
                Happened::Labels(_) => bail!("by hand a label is named, not a number for each"),
            };
            let message = MsgReportTruth { sender: sender.clone(), topic_id, nonce, value, evidence, values };
            (pack(url::REPORT_TRUTH, &message), gas::SUBMIT)
        }
    };
    let receipt = net::send(&client, key, vec![message], gas)?;
    print(&match args.output {
        Output::Json => {
            let told = json!({
                "topic": topic_id, "epoch": args.epoch, "nonce": nonce, "reputer": sender, "evidence": hash,
                "transaction": hex::encode_upper(&receipt.hash), "height": receipt.height, "log": receipt.log,
            });
            format!("{told}\n")
        }
        Output::Text => {
            let note = if receipt.log.is_empty() { String::new() } else { format!("; {}", receipt.log) };
            format!("reported {shown} in block {}{note}\n", receipt.height)
        }
    })
}
