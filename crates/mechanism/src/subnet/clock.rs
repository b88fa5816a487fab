//! When a subnet's epoch runs, and under which number its mechanisms are stored.

/// Blocks after which an epoch runs whatever else is said.
pub const LONGEST: u64 = 50_400;
/// Numbers between two mechanisms of the same subnet: subnets at most.
pub const SUBNETS: u16 = 4_096;
/// Mechanisms per subnet the numbering has room for.
pub const MECHANISMS: u16 = 16;

/// The clock of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Blocks per epoch; 0 stops the clock.
    pub tempo: u64,
    /// The block of the last epoch.
    pub last: u64,
    /// An epoch asked for, or put off, to this block; 0 for none.
    pub pending: u64,
    /// Blocks since the last epoch as counted, which a change of tempo does not restart.
    pub since: u64,
}

impl Clock {
    /// Whether an epoch is due.
    pub fn due(&self, now: u64) -> bool {
        let asked = self.pending > 0 && now >= self.pending;
        self.tempo != 0 && (asked || self.since > LONGEST || now.saturating_sub(self.last) >= self.tempo)
    }

    /// Blocks until the tempo brings the next epoch; never for a stopped clock.
    pub fn blocks_until(&self, now: u64) -> u64 {
        match self.tempo {
            0 => u64::MAX,
            tempo => self.last.saturating_add(tempo).saturating_sub(now),
        }
    }
}

/// Blocks a validator has a say after its last weights: a factor in thousandths of the tempo, at least one block.
pub fn activity_cutoff(factor_milli: u64, tempo: u64) -> u64 {
    (factor_milli.saturating_mul(tempo) / 1_000).max(1)
}

/// The number of a mechanism of a subnet; `None` beyond 4096 subnets or 16 mechanisms.
pub fn mechanism_index(netuid: u16, mechanism: u16) -> Option<u16> {
    (netuid < SUBNETS && mechanism < MECHANISMS).then(|| mechanism * SUBNETS + netuid)
}

/// The subnet and mechanism of a number.
pub fn mechanism_of(index: u16) -> (u16, u16) {
    (index % SUBNETS, index / SUBNETS)
}
