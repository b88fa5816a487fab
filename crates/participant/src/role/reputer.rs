//! A reputer: reads what happened from its series and reports it.

use dodona_client::{Client, ClientError, Transport};
use dodona_proto::{
    topics::{LabelValue, MsgReportTruth, QueryWindowsResponse},
    tx::pack,
    url,
};

use super::{Classes, Seat, Timeline, Turn, gas};
use crate::series::Series;

/// Reports the truth of every epoch whose row the series has.
pub struct ReputerRole {
    /// Account, topic, name.
    pub seat: Seat,
    timeline: Timeline,
    classes: Option<Classes>,
}

impl ReputerRole {
    /// A reputer for a series that runs along this timeline.
    pub fn new(seat: Seat, timeline: Timeline) -> Self {
        Self { seat, timeline, classes: None }
    }

    /// A reputer that reports which way the series went instead of where it is.
    pub fn of_classes(seat: Seat, timeline: Timeline, classes: Classes) -> Self {
        Self { seat, timeline, classes: Some(classes) }
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
                evidence: Vec::new(),
                ..self.word(series, window.epoch, point.value)
            };
            let message = pack(url::REPORT_TRUTH, &message);
            self.seat.say(client, window.epoch, message, gas::SUBMIT, &mut turn)?;
        }
        Ok(turn)
    }

    /// The value itself, or the one label that came true.
    fn word(&self, series: &Series, epoch: u64, value: f64) -> MsgReportTruth {
        let Some(classes) = self.classes else {
            return MsgReportTruth { value: value.to_string(), ..MsgReportTruth::default() };
        };
        let from = series.points.get(self.timeline.known(epoch)).map_or(value, |point| point.value);
        let label = classes.class(value - from).to_string();
        MsgReportTruth { values: vec![LabelValue { label, value: "1".into() }], ..MsgReportTruth::default() }
    }
}
