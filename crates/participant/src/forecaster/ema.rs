//! Loss EMA: who was good lately will be good next.
//! Averages logarithms, because one loss says little more than its order of magnitude.

use super::members::Members;
use super::{Forecaster, MAX_MEMBERS, log_loss, loss};

/// Weight of the newest loss.
const RATE: f64 = 0.2;

/// Predicts the exponential moving average of each member's log-losses, for every epoch.
#[derive(Debug, Clone, Default)]
pub struct EmaForecaster {
    members: Members<Average>,
}

#[derive(Debug, Clone, Default)]
struct Average {
    log: f64,
    visits: f64,
}

impl Forecaster for EmaForecaster {
    fn name(&self) -> &'static str {
        "loss-ema"
    }

    fn about(&self) -> &'static str {
        "Who was accurate lately will be accurate next."
    }

    fn observe(&mut self, epoch: u64, losses: &[(String, f64)]) {
        for (address, loss) in losses.iter().take(MAX_MEMBERS) {
            let known = self.members.get(address).map(|average| average.log);
            let Some(log) = log_loss(*loss, known) else { continue };
            let Some(average) = self.members.touch(epoch, address, Average::default) else { continue };
            average.visits += 1.0;
            average.log += (log - average.log) * (1.0 / average.visits).max(RATE);
        }
    }

    fn predict(&mut self, _epoch: u64, members: &[String]) -> Vec<(String, f64)> {
        let known = |address: &String| Some((address.clone(), loss(self.members.get(address)?.log)));
        members.iter().filter_map(known).collect()
    }
}
