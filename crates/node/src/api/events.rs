//! Events of a block in the words of `emissions.v10`: types are protobuf names, attributes JSON texts of fields.

use dodona_chain::Event;
use dodona_proto::{
    path,
    topics::{QueryEpochRequest, QueryEpochResponse},
};
use prost::Message;
use serde_json::{Value, json};

use crate::NodeHandle;

/// One event: its type, and attributes in the order of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub kind: String,
    pub attributes: Vec<(String, String)>,
}

/// An attribute's text: JSON, 64-bit integers and strings in quotes.
fn quoted(value: impl ToString) -> String {
    Value::String(value.to_string()).to_string()
}

fn typed(name: &str, mut attributes: Vec<(&str, String)>) -> Typed {
    attributes.sort_by_key(|(key, _)| key.to_string());
    let mut attributes: Vec<(String, String)> =
        attributes.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    attributes.push(("mode".into(), "EndBlock".into()));
    Typed { kind: format!("emissions.v10.{name}"), attributes }
}

/// Events of a block's own work, as subscribers know them.
pub(crate) fn of_block(node: &NodeHandle, height: u64, events: &[Event]) -> Vec<Typed> {
    let mut out = Vec::new();
    for event in events {
        let get = |key: &str| {
            event.attributes.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, v)| v.clone())
        };
        let window = |end: &str| {
            vec![
                ("topic_id", quoted(get("topic_id"))),
                ("nonce_block_height", quoted(get("nonce"))),
                ("window_end_block", quoted(get(end))),
            ]
        };
        let closed =
            || vec![("topic_id", quoted(get("topic_id"))), ("nonce_block_height", quoted(get("nonce")))];
        match event.kind.as_str() {
            "epoch_opened" => out.push(typed("EventWorkerSubmissionWindowOpened", window("worker_last"))),
            "epoch_combined" => out.push(typed("EventWorkerSubmissionWindowClosed", closed())),
            "truth_opened" => out.push(typed("EventReputerSubmissionWindowOpened", window("truth_last"))),
            "epoch_scored" => {
                out.push(typed("EventReputerSubmissionWindowClosed", closed()));
                rewards(node, height, &get("topic_id"), &get("nonce"), &mut out);
            }
            _ => {}
        }
    }
    out
}

/// Who was paid what for an epoch, role by role.
fn rewards(node: &NodeHandle, height: u64, topic: &str, nonce: &str, out: &mut Vec<Typed>) {
    let (Ok(topic_id), Ok(number)) = (topic.parse(), nonce.parse()) else { return };
    let request = QueryEpochRequest { topic_id, nonce: number, resistant: false }.encode_to_vec();
    let Ok(bytes) = node.query(path::EPOCH, &request) else { return };
    let Ok(epoch) = QueryEpochResponse::decode(bytes.as_slice()) else { return };
    let of = |forecaster: bool| -> Vec<(&String, &String)> {
        epoch.parts.iter().filter(|p| p.forecaster == forecaster).map(|p| (&p.address, &p.reward)).collect()
    };
    let reputers: Vec<(&String, &String)> = epoch.truths.iter().map(|r| (&r.address, &r.reward)).collect();
    let roles = [
        ("ACTOR_TYPE_INFERER_UNSPECIFIED", of(false)),
        ("ACTOR_TYPE_FORECASTER", of(true)),
        ("ACTOR_TYPE_REPUTER", reputers),
    ];
    for (actor, paid) in roles.into_iter().filter(|(_, paid)| !paid.is_empty()) {
        let (addresses, rewards): (Vec<&String>, Vec<&String>) = paid.into_iter().unzip();
        out.push(typed(
            "EventRewardsSettled",
            vec![
                ("actor_type", quoted(actor)),
                ("topic_id", quoted(topic)),
                ("block_height", quoted(nonce)),
                ("block_height_tx", quoted(height)),
                ("addresses", json!(addresses).to_string()),
                ("rewards", json!(rewards).to_string()),
            ],
        ));
    }
}
