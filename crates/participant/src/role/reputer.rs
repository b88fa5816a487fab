//! A reputer: reads what happened from its series and reports it.

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    topics::{MsgReportTruth, QueryWindowsResponse},
    tx::pack,
    url,
};

use super::{Seat, Timeline, Turn, gas};
use crate::series::Series;

/// Reports the truth of every epoch whose row the series has.
pub struct ReputerRole {
    /// Account, topic, name.
    pub seat: Seat,
    timeline: Timeline,
}

impl ReputerRole {
    /// A reputer for a series that runs along this timeline.
    pub fn new(seat: Seat, timeline: Timeline) -> Self {
        Self { seat, timeline }
    }

    /// Reports to every open window of those `seen`.
    pub fn act<T: Transport>(
        &mut self,
        client: &Client<T>,
        seen: &QueryWindowsResponse,
        series: &Series,
    ) -> Result<Turn, ClientError> {
        let mut turn = Turn::default();
        for window in self.seat.open_for_truth(seen) {
            let Some(point) = series.points.get(self.timeline.target(window.epoch)) else {
                self.seat.skip(window.epoch, &mut turn);
                continue;
            };
            let message = MsgReportTruth {
                sender: self.seat.address().to_string(),
                topic_id: self.seat.topic,
                nonce: window.nonce,
                value: point.value.to_string(),
                evidence: Vec::new(),
            };
            let message = pack(url::REPORT_TRUTH, &message);
            self.seat.say(client, window.epoch, message, gas::SUBMIT, &mut turn)?;
        }
        Ok(turn)
    }
}
