//! Another topic of the same chain: what came true there is what came true here.

use std::collections::VecDeque;

use dodona_client::{Client, Transport};
use dodona_proto::topics::QueryEpochResponse;
use serde_json::json;

use super::{Happened, Question, Raw, Truth, TruthError, TruthSource};

/// Scored epochs of the other topic that are remembered.
const REMEMBERED: usize = 1_024;
/// Pages of epochs read for one question; the next question goes on.
const MAX_PAGES: usize = 256;

/// The truths of another topic. An epoch here has the truth of the newest epoch there whose truth was due no later, void
/// ones left out.
pub struct OtherTopic<T> {
    name: String,
    topic: u64,
    client: Client<T>,
    /// First epoch that has not ended, as far as it was seen.
    next: u64,
    /// Block from which its truth was accepted, and the epoch.
    scored: VecDeque<(u64, QueryEpochResponse)>,
}

impl<T: Transport> OtherTopic<T> {
    /// The topic of this number.
    pub fn new(client: Client<T>, topic: u64) -> Self {
        Self { name: format!("topic:{topic}"), topic, client, next: 0, scored: VecDeque::new() }
    }

    fn refuse(&self, cause: impl ToString) -> TruthError {
        TruthError::Source { source_name: self.name.clone(), cause: cause.to_string() }
    }

    /// Takes in what has ended of what was due by a block; whether all of it has.
    fn follow(&mut self, due: u64) -> Result<bool, TruthError> {
        for _ in 0..MAX_PAGES {
            let before = self.next;
            let page = self.client.epochs(self.topic, self.next, 0).map_err(|e| self.refuse(e))?;
            for epoch in page.epochs {
                if epoch.truth_first > due {
                    return Ok(true);
                }
                match epoch.state.as_str() {
                    "scored" => self.scored.push_back((epoch.truth_first, epoch.clone())),
                    "void" => {}
                    _ => return Ok(false),
                }
                self.next = epoch.epoch + 1;
                if self.scored.len() > REMEMBERED {
                    self.scored.pop_front();
                }
            }
            if self.next == before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<T: Transport + Send> TruthSource for OtherTopic<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_time(&mut self) -> bool {
        false
    }

    fn look_up(&mut self, question: &Question<'_>) -> Result<Truth, TruthError> {
        if question.topic == self.topic {
            return Err(TruthError::Rules("a topic cannot be its own truth".into()));
        }
        if !self.follow(question.truth_first)? {
            return Err(TruthError::NotYet(self.name.clone()));
        }
        let known = self.scored.iter().rev().find(|(due, _)| *due <= question.truth_first);
        let Some((_, epoch)) = known else {
            return Err(self.refuse("none of its epochs was scored by then"));
        };
        let happened = match (epoch.truth, question.labels) {
            (Some(value), []) => Happened::Value(value),
            (None, labels) if !labels.is_empty() => {
                let known = epoch.columns.iter().filter_map(|c| Some((c.label.clone(), c.truth?)));
                Happened::Labels(known.collect())
            }
            (Some(_), _) => return Err(self.refuse("its truth is a number, not one for each label")),
            (None, _) => return Err(self.refuse("its truth is no single number")),
        };
        let told = match &happened {
            Happened::Value(value) => json!(value),
            Happened::Labels(values) => json!(values),
            Happened::Label(label) => json!(label),
        };
        let raw = json!({ "topic": self.topic, "epoch": epoch.epoch, "nonce": epoch.nonce, "truth": told });
        let raw = Raw { source: self.name.clone(), bytes: raw.to_string().into_bytes() };
        Ok(Truth { happened, raw: vec![raw] })
    }
}
