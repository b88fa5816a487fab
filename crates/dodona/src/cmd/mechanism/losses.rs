//! Losses as columns: the network's own and those the reputers report, from rows and back to them.
//! Forecasters are counted from 0, except where they are left out (`_oneout_o`): there they follow the inferers.

use super::MechanismError;
use super::params::NOT_NEGATIVE;
use super::table::{Output, Row, check_room, fill};
use dodona_mechanism::Real;
use dodona_mechanism::topic::combine::Losses;

/// The columns of one set of losses. Those of reputers have the reputer as a first index everywhere.
pub struct LossColumns {
    combined: &'static str,
    naive: &'static str,
    inferers: &'static str,
    forecasters: &'static str,
    one_out: &'static str,
    one_in: &'static str,
    implied_one_out: &'static str,
}

/// The network's losses.
pub const NETWORK: LossColumns = LossColumns {
    combined: "network_loss",
    naive: "network_naive_loss",
    inferers: "inference_loss_#",
    forecasters: "forecast_implied_inference_loss_#",
    one_out: "network_loss_oneout_#",
    one_in: "network_naive_loss_onein_#",
    implied_one_out: "forecast_implied_inference_loss_#_oneout_#",
};

/// The losses reputers report.
pub const REPORTED: LossColumns = LossColumns {
    combined: "reputer_#_loss_network_inference",
    naive: "reputer_#_loss_naive_network_inference",
    inferers: "reputer_#_loss_inference_#",
    forecasters: "reputer_#_loss_forecast_implied_inference_#",
    one_out: "reputer_#_loss_network_inference_oneout_#",
    one_in: "reputer_#_loss_naive_network_inference_onein_#",
    implied_one_out: "reputer_#_loss_forecast_implied_inference_#_oneout_#",
};

/// How many members losses speak about.
#[derive(Copy, Clone)]
pub struct Members {
    /// Inferers (N).
    pub inferers: usize,
    /// Forecasters (K).
    pub forecasters: usize,
}

impl Members {
    /// Checks an index over inferers and, after them, forecasters.
    pub fn check(self, field: String, index: usize) -> Result<(), MechanismError> {
        let Members { inferers, forecasters } = self;
        if index < inferers + forecasters {
            return Ok(());
        }
        let why = format!(
            "there are {inferers} inferers and {forecasters} forecasters, so this index is below {}",
            inferers + forecasters
        );
        Err(MechanismError::Index { field, why })
    }
}

impl LossColumns {
    fn patterns(&self) -> [&'static str; 7] {
        let LossColumns { combined, naive, inferers, forecasters, one_out, one_in, implied_one_out } = *self;
        [combined, naive, inferers, forecasters, one_out, one_in, implied_one_out]
    }

    /// Reads off the names how many members there are.
    pub fn members(&self, row: &Row) -> Result<Members, MechanismError> {
        let last = |pattern: &str| -> Result<usize, MechanismError> {
            Ok(row.sizes(pattern)?.last().copied().unwrap_or(0))
        };
        let pairs = row.sizes(self.implied_one_out)?;
        let from_pairs = |from_end: usize| pairs[pairs.len() - from_end];
        let members = Members {
            inferers: last(self.inferers)?.max(from_pairs(1)),
            forecasters: last(self.forecasters)?.max(last(self.one_in)?).max(from_pairs(2)),
        };
        let removed = last(self.one_out)?;
        if removed > 0 {
            // Of a reported set, the first reputer's column stands for all.
            let mut indices = vec![0; self.one_out.matches('#').count() - 1];
            indices.push(removed - 1);
            members.check(row.field(&fill(self.one_out, &indices)), removed - 1)?;
        }
        Ok(members)
    }

    /// The losses of a row; `reputer` is the first index of a reported set. Empty cells are missing losses.
    pub fn read(
        &self,
        row: &Row,
        members: Members,
        reputer: Option<usize>,
    ) -> Result<Losses, MechanismError> {
        let at = |pattern: &str, indices: &[usize]| -> String {
            let all: Vec<usize> = reputer.iter().chain(indices).copied().collect();
            fill(pattern, &all)
        };
        let list =
            |pattern: &str, range: std::ops::Range<usize>| -> Result<Vec<Option<Real>>, MechanismError> {
                range.map(|place| row.get(&at(pattern, &[place]))).collect()
            };
        let Members { inferers, forecasters } = members;
        let matrix = |k: usize| -> Result<Vec<Option<Real>>, MechanismError> {
            (0..inferers).map(|j| row.get(&at(self.implied_one_out, &[k, j]))).collect()
        };
        Ok(Losses {
            combined: row.need(&at(self.combined, &[]), "the loss of the network inference")?,
            naive: row.need(&at(self.naive, &[]), "the loss of the network inference without forecasters")?,
            inferers: list(self.inferers, 0..inferers)?,
            forecasters: list(self.forecasters, 0..forecasters)?,
            one_out_inferers: list(self.one_out, 0..inferers)?,
            one_out_forecasters: list(self.one_out, inferers..inferers + forecasters)?,
            one_in_forecasters: list(self.one_in, 0..forecasters)?,
            one_out_inferer_forecaster: (0..forecasters).map(matrix).collect::<Result<_, _>>()?,
        })
    }

    /// The names of a set's columns, in the order of the vector the reputers' consensus is about.
    pub fn names(&self, members: Members, reputer: Option<usize>) -> Vec<String> {
        let Members { inferers, forecasters } = members;
        let at = |pattern: &str, indices: &[usize]| -> String {
            let all: Vec<usize> = reputer.iter().chain(indices).copied().collect();
            fill(pattern, &all)
        };
        let mut names = vec![at(self.combined, &[]), at(self.naive, &[])];
        names.extend((0..inferers).map(|j| at(self.inferers, &[j])));
        names.extend((0..forecasters).map(|k| at(self.forecasters, &[k])));
        for k in 0..forecasters {
            names.extend((0..inferers).map(|j| at(self.implied_one_out, &[k, j])));
        }
        names.extend((0..inferers + forecasters).map(|o| at(self.one_out, &[o])));
        names.extend((0..forecasters).map(|k| at(self.one_in, &[k])));
        names
    }
}

/// The reports of a row: how many members they speak about, and (reputer, stake, losses) of everybody who reported.
pub struct Reports {
    /// Whom the reports are about.
    pub members: Members,
    /// Place, stake and losses of the reputers with at least one loss.
    pub all: Vec<(usize, Real, Losses)>,
}

/// Reads every reputer's stake and losses. A reputer without a single loss did not report.
pub fn reports(row: &Row) -> Result<Reports, MechanismError> {
    let members = REPORTED.members(row)?;
    let mut count = row.size("reputer_stake_#")?;
    for pattern in REPORTED.patterns() {
        count = count.max(row.size(pattern)?);
    }
    let Members { inferers, forecasters } = members;
    check_room("losses", &[count, forecasters + 2, inferers + 1])?;
    let mut all = Vec::with_capacity(count);
    for m in 0..count {
        let names = REPORTED.names(members, Some(m));
        if names.iter().all(|name| row.is_empty(name)) {
            continue;
        }
        let losses = REPORTED.read(row, members, Some(m))?;
        let stake = row.need(&fill("reputer_stake_#", &[m]), "the stake of a reputer who reported")?;
        all.push((m, NOT_NEGATIVE.check(&fill("reputer_stake_#", &[m]), stake)?, losses));
    }
    if all.is_empty() {
        return Err(row.missing(&fill(REPORTED.combined, &[0]), "nobody reported a loss"));
    }
    Ok(Reports { members, all })
}

/// The columns of a set of losses into the answer; missing ones are left out.
pub fn write(output: &mut Output, members: Members, prefix: &str, losses: &[Option<Real>]) {
    for (name, &loss) in NETWORK.names(members, None).iter().zip(losses) {
        output.maybe(format!("{prefix}{name}"), loss);
    }
}
