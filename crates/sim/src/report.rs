//! What a run amounts to, computed from scored epochs as anybody can query them: losses of the network, of plain mean
//! and median, of every member, squared and absolute.

use std::collections::BTreeMap;

use dodona_proto::topics::{LeaderboardRow, QueryEpochResponse};
use serde::Serialize;

/// Squared and absolute loss.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize)]
pub struct Loss {
    /// Mean of (prediction - truth)².
    pub squared: f64,
    /// Mean of |prediction - truth|.
    pub absolute: f64,
}

impl Loss {
    fn of(prediction: f64, truth: f64) -> Self {
        let error = prediction - truth;
        Self { squared: error * error, absolute: error.abs() }
    }

    fn add(&mut self, other: Loss) {
        self.squared += other.squared;
        self.absolute += other.absolute;
    }

    fn over(self, n: u64) -> Self {
        let n = n.max(1) as f64;
        Self { squared: self.squared / n, absolute: self.absolute / n }
    }
}

/// A member's mean loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberLoss {
    /// Name on the leaderboard, or the address.
    pub name: String,
    /// Predicts the others' losses instead of the target.
    pub forecaster: bool,
    /// Scored epochs with a value of this member.
    pub epochs: u64,
    /// Over those epochs.
    pub loss: Loss,
}

/// Means over all scored epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Losses {
    /// Scored epochs.
    pub epochs: u64,
    /// The network inference.
    pub network: Loss,
    /// The network inference without forecasters.
    pub naive: Loss,
    /// Plain mean of the inferences.
    pub mean: Loss,
    /// Their median.
    pub median: Loss,
    /// Every member, best squared loss first.
    pub members: Vec<MemberLoss>,
    /// The member with the least squared loss among those heard in at least 95 % of the epochs, known only in
    /// hindsight. Forecasters speak in weights, not in values, so they do not compete.
    pub best_member: Option<MemberLoss>,
}

/// Sums up epochs as they are scored.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    epochs: u64,
    network: Loss,
    naive: Loss,
    mean: Loss,
    median: Loss,
    members: BTreeMap<(bool, String), (u64, Loss)>,
}

impl Tally {
    /// Takes a scored epoch in; others are ignored.
    pub fn add(&mut self, epoch: &QueryEpochResponse) {
        let Some(truth) = epoch.truth else { return };
        self.epochs += 1;
        self.network.add(Loss::of(epoch.combined, truth));
        self.naive.add(Loss::of(epoch.naive, truth));
        self.mean.add(Loss::of(epoch.mean, truth));
        self.median.add(Loss::of(epoch.median, truth));
        for part in epoch.parts.iter().filter(|p| p.loss.is_some()) {
            let name = if part.name.is_empty() { &part.address } else { &part.name };
            let entry = self.members.entry((part.forecaster, name.clone())).or_default();
            entry.0 += 1;
            entry.1.add(Loss::of(part.value, truth));
        }
    }

    /// Scored epochs so far.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Means so far.
    pub fn losses(&self) -> Losses {
        let mut members: Vec<MemberLoss> = self
            .members
            .iter()
            .map(|((forecaster, name), (epochs, sum))| MemberLoss {
                name: name.clone(),
                forecaster: *forecaster,
                epochs: *epochs,
                loss: sum.over(*epochs),
            })
            .collect();
        members.sort_by(|a, b| a.loss.squared.total_cmp(&b.loss.squared));
        let heard_enough = |m: &&MemberLoss| !m.forecaster && m.epochs * 20 >= self.epochs * 19;
        let best_member = members.iter().find(heard_enough).cloned();
        Losses {
            epochs: self.epochs,
            network: self.network.over(self.epochs),
            naive: self.naive.over(self.epochs),
            mean: self.mean.over(self.epochs),
            median: self.median.over(self.epochs),
            members,
            best_member,
        }
    }
}

/// What a topic of classes amounts to: mean losses as the chain computed them, and how often the likeliest class came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassReport {
    /// Scored epochs.
    pub epochs: u64,
    /// Mean loss of the network inference.
    pub network: f64,
    /// Of the plain mean of the members' chances.
    pub mean: f64,
    /// Members by name, least mean loss first.
    pub members: Vec<(String, f64)>,
    /// Share of epochs in which the network's likeliest class came true.
    pub hits: f64,
}

/// Sums up epochs of a topic of classes.
#[derive(Clone, Debug, Default)]
pub struct ClassTally {
    epochs: u64,
    network: f64,
    mean: f64,
    hits: u64,
    members: BTreeMap<String, (u64, f64)>,
}

impl ClassTally {
    /// Takes a scored epoch in; others are ignored.
    pub fn add(&mut self, epoch: &QueryEpochResponse) {
        let (Some(network), Some(mean)) = (epoch.network_loss, epoch.mean_loss) else { return };
        self.epochs += 1;
        self.network += network;
        self.mean += mean;
        let likeliest = epoch.columns.iter().max_by(|a, b| a.combined.total_cmp(&b.combined));
        self.hits += u64::from(likeliest.is_some_and(|column| column.truth == Some(1.0)));
        for part in &epoch.parts {
            let Some(loss) = part.loss else { continue };
            let name = if part.name.is_empty() { &part.address } else { &part.name };
            let entry = self.members.entry(name.clone()).or_default();
            *entry = (entry.0 + 1, entry.1 + loss);
        }
    }

    /// Means so far.
    pub fn report(&self) -> ClassReport {
        let n = self.epochs.max(1) as f64;
        let mut members: Vec<(String, f64)> =
            self.members.iter().map(|(name, (count, sum))| (name.clone(), sum / *count as f64)).collect();
        members.sort_by(|a, b| a.1.total_cmp(&b.1));
        ClassReport {
            epochs: self.epochs,
            network: self.network / n,
            mean: self.mean / n,
            members,
            hits: self.hits as f64 / n,
        }
    }
}

/// What an actor got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Earning {
    /// Name on the leaderboard.
    pub name: String,
    /// inferer, forecaster or reputer.
    pub role: String,
    /// Epochs heard.
    pub submitted: u64,
    /// Epochs missed since first heard.
    pub missed: u64,
    /// Weight in the newest inference.
    pub weight: f64,
    /// uallo, as text: larger than a double holds.
    pub earned_uallo: String,
    /// The same in ALLO, rounded.
    pub earned: f64,
}

impl From<&LeaderboardRow> for Earning {
    fn from(row: &LeaderboardRow) -> Self {
        let uallo: u128 = row.earned.parse().unwrap_or(0);
        Self {
            name: if row.name.is_empty() { row.address.clone() } else { row.name.clone() },
            role: row.role.clone(),
            submitted: row.submitted,
            missed: row.missed,
            weight: row.weight,
            earned_uallo: row.earned.clone(),
            earned: uallo as f64 / dodona_proto::ALLO as f64,
        }
    }
}

/// How far `a` lies below `b`, in percent; negative when it lies above, without end above a perfect `b`.
pub fn percent_below(a: f64, b: f64) -> f64 {
    if a == b { 0.0 } else { 100.0 * (1.0 - a / b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dodona_proto::topics::Part;

    fn epoch(truth: f64, parts: &[(&str, f64)]) -> QueryEpochResponse {
        let part = |(name, value): &(&str, f64)| Part {
            name: name.to_string(),
            value: *value,
            loss: Some(0.0),
            ..Part::default()
        };
        QueryEpochResponse {
            truth: Some(truth),
            combined: truth + 1.0,
            parts: parts.iter().map(part).collect(),
            ..QueryEpochResponse::default()
        }
    }

    #[test]
    fn the_best_member_must_have_been_there() {
        let mut tally = Tally::default();
        for i in 0..100 {
            let mut parts = vec![("steady", 12.0)];
            if i < 50 {
                parts.push(("lucky", 10.0));
            }
            tally.add(&epoch(10.0, &parts));
        }
        let losses = tally.losses();
        assert_eq!(losses.network, Loss { squared: 1.0, absolute: 1.0 });
        assert_eq!(losses.best_member.unwrap().name, "steady");
        assert_eq!(losses.members[0].name, "lucky");
    }

    #[test]
    fn percentages_keep_their_sign() {
        assert_eq!(percent_below(50.0, 100.0), 50.0);
        assert_eq!(percent_below(150.0, 100.0), -50.0);
        assert_eq!(percent_below(0.0, 0.0), 0.0);
        assert_eq!(percent_below(1.0, 0.0), f64::NEG_INFINITY);
    }
}
