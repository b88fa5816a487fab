//! A worker: one model, one answer per epoch.

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    topics::{MsgSubmitPayload, QueryWindowsResponse},
    tx::pack,
    url,
};

use super::{Seat, Timeline, Turn, gas, sayable};
use crate::{model::Model, series::Series};

/// Feeds a model with what is known and submits what it predicts.
pub struct WorkerRole {
    /// Account, topic, name.
    pub seat: Seat,
    model: Box<dyn Model>,
    timeline: Timeline,
    observed: usize,
}

impl WorkerRole {
    /// A worker that has observed nothing yet.
    pub fn new(seat: Seat, model: Box<dyn Model>, timeline: Timeline) -> Self {
        Self { seat, model, timeline, observed: 0 }
    }

    /// Submits to every open window of those `seen`.
    pub fn act<T: Transport>(
        &mut self,
        client: &Client<T>,
        seen: &QueryWindowsResponse,
        series: &Series,
    ) -> Result<Turn, ClientError> {
        let mut turn = Turn::default();
        for window in self.seat.open_for_workers(seen) {
            let Some(value) = self.predict(series, window.epoch) else {
                self.seat.skip(window.epoch, &mut turn);
                continue;
            };
            let message = MsgSubmitPayload {
                sender: self.seat.address().to_string(),
                topic_id: self.seat.topic,
                nonce: window.nonce,
                inference: value.to_string(),
                forecast: Vec::new(),
                values: Vec::new(),
            };
            let message = pack(url::SUBMIT, &message);
            self.seat.say(client, window.epoch, message, gas::SUBMIT, &mut turn)?;
        }
        Ok(turn)
    }

    /// What the model says about an epoch, from the rows known when it is asked and no others.
    fn predict(&mut self, series: &Series, epoch: u64) -> Option<f64> {
        let known = self.timeline.known(epoch);
        for point in series.points.get(self.observed..=known)? {
            self.model.observe(*point);
        }
        self.observed = known + 1;
        self.model.predict(self.timeline.horizon).and_then(sayable)
    }
}
