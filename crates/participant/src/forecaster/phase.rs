//! Loss by time of day: some members are good at night, others at noon.
//! A deviation per phase on top of an overall average, believed only as far as it has been seen.

use super::members::Members;
use super::{Forecaster, MAX_MEMBERS, log_loss, loss};

/// Weight of the newest loss in the overall average.
const RATE: f64 = 0.05;
/// Weight of the newest visit in the deviation of a phase.
const PHASE_RATE: f64 = 0.2;
/// So many visits to a phase make its deviation half believed.
const PRIOR: f64 = 4.0;
/// Most phases told apart; a longer season is cut into so many stretches.
const MOST_PHASES: usize = 96;

/// Predicts overall average + shrunk deviation of the epoch's phase, in log-losses. The phase is the epoch modulo
/// the season.
#[derive(Debug, Clone)]
pub struct PhaseForecaster {
    season: u64,
    members: Members<Profile>,
}

#[derive(Debug, Clone, Default)]
struct Profile {
    log: f64,
    visits: f64,
    phases: Vec<Deviation>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Deviation {
    mean: f64,
    visits: f64,
}

impl PhaseForecaster {
    /// With a season of so many epochs (at least 1).
    pub fn new(season: usize) -> Self {
        Self { season: season.max(1) as u64, members: Members::default() }
    }

    fn phases(&self) -> usize {
        self.season.min(MOST_PHASES as u64) as usize
    }

    fn phase(&self, epoch: u64) -> usize {
        (u128::from(epoch % self.season) * self.phases() as u128 / u128::from(self.season)) as usize
    }
}

impl Forecaster for PhaseForecaster {
    fn name(&self) -> &'static str {
        "loss-by-phase"
    }

    fn about(&self) -> &'static str {
        "Knows at which time of day each member is at its best."
    }

    fn observe(&mut self, epoch: u64, losses: &[(String, f64)]) {
        let (phase, phases) = (self.phase(epoch), self.phases());
        for (address, loss) in losses.iter().take(MAX_MEMBERS) {
            let known = self.members.get(address).map(|profile| profile.log);
            let Some(log) = log_loss(*loss, known) else { continue };
            let fresh = || Profile { log, visits: 0.0, phases: vec![Deviation::default(); phases] };
            let Some(profile) = self.members.touch(epoch, address, fresh) else { continue };
            profile.visits += 1.0;
            // The deviation is taken from the average before this loss moved it.
            let deviation = &mut profile.phases[phase];
            deviation.visits += 1.0;
            deviation.mean += (log - profile.log - deviation.mean) * (1.0 / deviation.visits).max(PHASE_RATE);
            profile.log += (log - profile.log) * (1.0 / profile.visits).max(RATE);
        }
    }

    fn predict(&mut self, epoch: u64, members: &[String]) -> Vec<(String, f64)> {
        let phase = self.phase(epoch);
        let expected = |address: &String| {
            let profile = self.members.get(address)?;
            let Deviation { mean, visits } = profile.phases[phase];
            Some((address.clone(), loss(profile.log + mean * visits / (visits + PRIOR))))
        };
        members.iter().filter_map(expected).collect()
    }
}
