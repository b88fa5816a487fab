//! A forecaster: watches how wrong everybody was, and says how wrong everybody will be.

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    topics::{MsgSubmitPayload, QueryWindowsResponse},
    tx::pack,
    url,
};

use super::{Seat, Turn, gas, sayable_forecast};
use crate::forecaster::Forecaster;

/// Feeds a forecaster with scored epochs and submits what it predicts.
pub struct ForecasterRole {
    /// Account, topic, name.
    pub seat: Seat,
    forecaster: Box<dyn Forecaster>,
    /// First epoch not observed yet.
    next: u64,
    members: Vec<String>,
}

impl ForecasterRole {
    /// A forecaster that has observed nothing yet.
    pub fn new(seat: Seat, forecaster: Box<dyn Forecaster>) -> Self {
        Self { seat, forecaster, next: 0, members: Vec::new() }
    }

    /// Submits to every open window of those `seen`.
    pub fn act<T: Transport>(
        &mut self,
        client: &Client<T>,
        seen: &QueryWindowsResponse,
    ) -> Result<Turn, ClientError> {
        let mut turn = Turn::default();
        let windows = self.seat.open_for_workers(seen);
        if windows.is_empty() {
            return Ok(turn);
        }
        self.observe(client)?;
        for window in windows {
            let predicted = self.forecaster.predict(window.epoch, &self.members);
            let forecast = sayable_forecast(predicted);
            if forecast.is_empty() {
                self.seat.skip(window.epoch, &mut turn);
                continue;
            }
            let gas = gas::forecast(forecast.len());
            let message = MsgSubmitPayload {
                sender: self.seat.address().to_string(),
                topic_id: self.seat.topic,
                nonce: window.nonce,
                inference: String::new(),
                forecast,
                values: Vec::new(),
            };
            self.seat.say(client, window.epoch, pack(url::SUBMIT, &message), gas, &mut turn)?;
        }
        Ok(turn)
    }

    /// Learns from every epoch scored since the last time, in order.
    fn observe<T: Transport>(&mut self, client: &Client<T>) -> Result<(), ClientError> {
        loop {
            let page = client.epochs(self.seat.topic, self.next, 0)?.epochs;
            let before = self.next;
            for epoch in page {
                match epoch.state.as_str() {
                    "void" => {}
                    "scored" => {
                        let scored = epoch.parts.iter().filter(|p| !p.forecaster);
                        let losses: Vec<(String, f64)> =
                            scored.filter_map(|p| Some((p.address.clone(), p.loss?))).collect();
                        self.members = losses.iter().map(|(address, _)| address.clone()).collect();
                        self.forecaster.observe(epoch.epoch, &losses);
                    }
                    // Epochs end in order: the first that waits ends the lesson.
                    _ => return Ok(()),
                }
                self.next = epoch.epoch + 1;
            }
            if self.next == before {
                return Ok(());
            }
        }
    }
}
