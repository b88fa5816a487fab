//! What subscribers are told of a block, made once for all of them. One task follows the chain and hands every block,
//! in order, to a bounded queue; whoever falls behind its end is cut off, and no block ever waits for anybody.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

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
    follower::Farewell,
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

/// What subscribers hear.
#[derive(Clone)]
pub(super) enum News {
    Block(Arc<Told>),
    /// A block there is, but that cannot be read.
    Unreadable(u64),
}

/// A block, ready to be told.
pub(super) struct Told {
    pub height: u64,
    kept: Kept,
    before: Option<Kept>,
    events: Vec<Typed>,
    facts: Facts,
    txs: Vec<ToldTx>,
    /// JSON texts, made when somebody first asks: each event by itself, and what stands around their list.
    event_texts: OnceLock<Vec<String>>,
    around_block: OnceLock<[String; 2]>,
    around_events: OnceLock<[String; 2]>,
    events_text: OnceLock<String>,
    block_text: OnceLock<String>,
    header_text: OnceLock<String>,
}

struct ToldTx {
    facts: Facts,
    text: String,
}

/// One message about a block: its kind, how it is named beside it, and of which transaction it is.
pub(super) struct Message<'a> {
    pub kind: Kind,
    pub labels: Value,
    tx: Option<&'a ToldTx>,
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
            event_texts: OnceLock::new(),
            around_block: OnceLock::new(),
            around_events: OnceLock::new(),
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
                    labels: json!({
                        "tm.event": [kind.name()], "tx.hash": [shape::hex_upper(receipt.hash)],
                        "tx.height": [self.height.to_string()],
                    }),
                    tx: Some(tx),
                }));
            } else if query.holds(&self.facts) {
                messages.push(Message { kind, labels: json!({ "tm.event": [kind.name()] }), tx: None });
            }
        }
        messages
    }

    /// The content of a message in at most `room` bytes: whole, or with only the events that the query names, or the
    /// size it has when neither fits. What does not fit is measured, not made.
    pub fn content<'a>(
        &'a self,
        message: &Message<'a>,
        query: &Query,
        room: usize,
    ) -> Result<Cow<'a, str>, usize> {
        let (around, whole) = match message.kind {
            Kind::Tx => return fit(message.tx.map_or("", |tx| tx.text.as_str()), room),
            Kind::Header => return fit(self.header(), room),
            Kind::Block => (self.around_block(), &self.block_text),
            Kind::Events => (self.around_events(), &self.events_text),
        };
        let around = around.each_ref().map(String::as_str);
        let length = |of: &dyn Fn(&Typed) -> bool| {
            let texts = self.chosen(of).map(|text| text.len() + 1).sum::<usize>();
            around[0].len() + texts.saturating_sub(1) + around[1].len()
        };
        let all = length(&|_| true);
        if all <= room {
            return Ok(whole.get_or_init(|| self.joined(around, &|_| true)).into());
        }
        let named = |event: &Typed| query.names(&event.kind);
        if length(&named) <= room { Ok(self.joined(around, &named).into()) } else { Err(all) }
    }

    /// Texts of the events for which something holds.
    fn chosen<'a>(&'a self, of: &'a dyn Fn(&Typed) -> bool) -> impl Iterator<Item = &'a str> {
        let texts = self
            .event_texts
            .get_or_init(|| self.events.iter().map(|event| shape::event(event).to_string()).collect());
        self.events.iter().zip(texts).filter(|(event, _)| of(event)).map(|(_, text)| text.as_str())
    }

    fn joined(&self, around: [&str; 2], of: &dyn Fn(&Typed) -> bool) -> String {
        let events: Vec<&str> = self.chosen(of).collect();
        [around[0], &events.join(","), around[1]].concat()
    }

    fn around_events(&self) -> &[String; 2] {
        self.around_events.get_or_init(|| {
            let (height, num_txs) = (self.height, self.txs.len());
            let after = format!(r#"],"height":"{height}","num_txs":"{num_txs}"}}"#);
            [r#"{"events":["#.to_string(), after]
        })
    }

    fn around_block(&self) -> &[String; 2] {
        self.around_block.get_or_init(|| {
            let before = self.before.as_ref().map(|kept| (&kept.certificate, kept.block.header.time_ms));
            let block = shape::block(&self.kept.block, before);
            let id = shape::block_id(self.kept.results.block_id);
            [
                format!(r#"{{"block":{block},"block_id":{id},"result_finalize_block":{{"events":["#),
                r#"],"tx_results":[],"validator_updates":[]}}"#.to_string(),
            ]
        })
    }

    /// Whether the whole block has been rendered, and where what stands around its events lies.
    #[cfg(test)]
    pub fn rendered(&self) -> (bool, Option<*const u8>) {
        (self.block_text.get().is_some(), self.around_block.get().map(|text| text[0].as_ptr()))
    }

    fn header(&self) -> &str {
        self.header_text.get_or_init(|| json!({ "header": shape::header(&self.kept.block) }).to_string())
    }
}

fn fit(text: &str, room: usize) -> Result<Cow<'_, str>, usize> {
    if text.len() <= room { Ok(text.into()) } else { Err(text.len()) }
}

/// Tells every block, in order, for as long as the node runs.
pub(super) async fn follow(node: NodeHandle, feed: broadcast::Sender<News>, farewell: Farewell) {
    let mut heads = node.heads();
    let mut last = heads.borrow_and_update().height;
    while let Some(Ok(())) = farewell.or(heads.changed()).await {
        let head = heads.borrow_and_update().height;
        // Several blocks may have come meanwhile. Those that nobody listens to are not rendered.
        while last < head && feed.receiver_count() > 0 {
            last += 1;
            let (reader, height) = (node.clone(), last);
            let news = match aside(move || Told::of(&reader, height)).await.and_then(|told| told) {
                Ok(told) => News::Block(Arc::new(told)),
                Err(status) => {
                    tracing::error!(height, cause = status.message, "a block could not be told");
                    News::Unreadable(height)
                }
            };
            // Without a receiver by now there is nobody to miss it.
            let _ = feed.send(news);
        }
        last = head;
    }
}
