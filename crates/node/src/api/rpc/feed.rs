//! What subscribers are told of a block, made once for all of them. One task follows the chain and hands every block,
//! in order, to a bounded queue; whoever falls behind its end is cut off, and no block ever waits for anybody.

use std::sync::{Arc, OnceLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    query::{Facts, Operator, Query},
    shape,
};
use crate::{
    NodeHandle,
    api::{Status, aside, events::Typed, told},
    handle::Kept,
};

/// Blocks that a subscriber may be behind.
pub(super) const QUEUE: usize = 64;

/// Kinds of messages about a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Header,
    Events,
    Tx,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Block, Self::Header, Self::Events, Self::Tx];

    /// Its name in `tm.event`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "NewBlock",
            Self::Header => "NewBlockHeader",
            Self::Events => "NewBlockEvents",
            Self::Tx => "Tx",
        }
    }

    /// What a query asks for; one that does not say is told events of blocks and of transactions.
    pub fn of(query: &Query) -> Vec<Self> {
        let mut said = query
            .conditions
            .iter()
            .filter(|c| c.key == "tm.event" && c.operator != Operator::Exists)
            .peekable();
        if said.peek().is_none() {
            return vec![Self::Events, Self::Tx];
        }
        let said: Vec<_> = said.collect();
        Self::ALL.into_iter().filter(|kind| said.iter().all(|c| c.accepts(kind.name()))).collect()
    }
}

/// A block, ready to be told.
pub(super) struct Told {
    pub height: u64,
    kept: Kept,
    before: Option<Kept>,
    events: Vec<Typed>,
    facts: Facts,
    txs: Vec<ToldTx>,
    /// JSON texts, made when somebody first asks.
    events_text: OnceLock<String>,
    block_text: OnceLock<String>,
    header_text: OnceLock<String>,
}

struct ToldTx {
    facts: Facts,
    text: String,
}

/// One message about a block: its kind, its content, and how it is named beside it.
pub(super) struct Message<'a> {
    pub kind: Kind,
    pub content: std::borrow::Cow<'a, str>,
    pub labels: Value,
}

impl Told {
    fn of(node: &NodeHandle, height: u64) -> Result<Self, Status> {
        let missing = || Status::internal(format!("block {height} is not there"));
        let kept = node.kept_block(height)?.ok_or_else(missing)?;
        let before = if height > 1 { node.kept_block(height - 1)? } else { None };
        let events = told::of_block(&kept.results);
        Ok(Self::new(kept, before, events))
    }

    /// A block, the one before it, and the events of its own work.
    pub fn new(kept: Kept, before: Option<Kept>, events: Vec<Typed>) -> Self {
        let height = kept.block.header.height.0;
        let mut facts = Facts::of(&events);
        for kind in [Kind::Block, Kind::Header, Kind::Events] {
            facts.add("tm.event".into(), kind.name().into());
        }
        facts.add("block.height".into(), height.to_string());
        let txs = kept.block.body.txs.iter().zip(&kept.results.receipts).enumerate();
        let txs = txs.map(|(index, (bytes, receipt))| {
            let events = told::of_tx(bytes, receipt);
            let mut facts = Facts::of(&events);
            facts.add("tm.event".into(), Kind::Tx.name().into());
            facts.add("tx.height".into(), height.to_string());
            facts.add("tx.hash".into(), shape::hex_upper(receipt.hash));
            let text = json!({ "TxResult": {
                "height": height.to_string(), "index": index, "tx": STANDARD.encode(bytes),
                "result": shape::tx_result(receipt, &events),
            } });
            ToldTx { facts, text: text.to_string() }
        });
        let txs = txs.collect();
        Self {
            height,
            kept,
            before,
            events,
            facts,
            txs,
            events_text: OnceLock::new(),
            block_text: OnceLock::new(),
            header_text: OnceLock::new(),
        }
    }

    /// The messages that a query of these kinds is sent, in order.
    pub fn messages(&self, query: &Query, kinds: &[Kind]) -> Vec<Message<'_>> {
        let mut messages = Vec::new();
        for &kind in kinds {
            if kind == Kind::Tx {
                let satisfied =
                    self.txs.iter().zip(&self.kept.results.receipts).filter(|(tx, _)| query.holds(&tx.facts));
                messages.extend(satisfied.map(|(tx, receipt)| Message {
                    kind,
                    content: tx.text.as_str().into(),
                    labels: json!({
                        "tm.event": [kind.name()], "tx.hash": [shape::hex_upper(receipt.hash)],
                        "tx.height": [self.height.to_string()],
                    }),
                }));
            } else if query.holds(&self.facts) {
                let content = match kind {
                    Kind::Block => self.block(),
                    Kind::Header => self.header(),
                    Kind::Events | Kind::Tx => self.events(),
                };
                messages.push(Message {
                    kind,
                    content: content.into(),
                    labels: json!({ "tm.event": [kind.name()] }),
                });
            }
        }
        messages
    }

    fn events_content(&self, list: Value) -> String {
        let num_txs = self.txs.len().to_string();
        json!({ "height": self.height.to_string(), "num_txs": num_txs, "events": list }).to_string()
    }

    fn events(&self) -> &str {
        self.events_text.get_or_init(|| self.events_content(shape::events(&self.events)))
    }

    fn block_content(&self, list: Value) -> String {
        let before = self.before.as_ref().map(|kept| (&kept.certificate, kept.block.header.time_ms));
        json!({
            "block": shape::block(&self.kept.block, before),
            "block_id": shape::block_id(self.kept.results.block_id),
            "result_finalize_block": { "events": list, "tx_results": [], "validator_updates": [] },
        })
        .to_string()
    }

    fn block(&self) -> &str {
        self.block_text.get_or_init(|| self.block_content(shape::events(&self.events)))
    }

    /// A shorter content, with only the events that the query names: for when all of them do not fit.
    pub fn shorter(&self, kind: Kind, query: &Query) -> Option<String> {
        let named = self.events.iter().filter(|event| query.names(&event.kind));
        let named = || shape::events(&named.clone().cloned().collect::<Vec<_>>());
        match kind {
            Kind::Events => Some(self.events_content(named())),
            Kind::Block => Some(self.block_content(named())),
            Kind::Header | Kind::Tx => None,
        }
    }

    fn header(&self) -> &str {
        self.header_text.get_or_init(|| json!({ "header": shape::header(&self.kept.block) }).to_string())
    }
}

/// Tells every block, in order, for as long as the node runs.
pub(super) async fn follow(node: NodeHandle, feed: broadcast::Sender<Arc<Told>>) {
    let mut heads = node.heads();
    let mut last = heads.borrow_and_update().height;
    while heads.changed().await.is_ok() {
        let head = heads.borrow_and_update().height;
        // Several blocks may have come meanwhile. Those that nobody listens to are not rendered.
        while last < head && feed.receiver_count() > 0 {
            last += 1;
            let (reader, height) = (node.clone(), last);
            match aside(move || Told::of(&reader, height)).await.and_then(|told| told) {
                // Without a receiver by now there is nobody to miss it.
                Ok(told) => drop(feed.send(Arc::new(told))),
                Err(status) => tracing::error!(height, cause = status.message, "a block could not be told"),
            }
        }
        last = head;
    }
}
