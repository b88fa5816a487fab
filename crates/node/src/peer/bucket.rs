//! A token bucket: so much at once, so much a second in the long run.

use std::time::Duration;

use tokio::time::Instant;

/// How much of something is allowed.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Rate {
    /// In the long run.
    pub per_second: f64,
    /// After a silence.
    pub at_once: f64,
}

/// Counts one thing against its rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    since: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, tokens: rate.at_once, since: Instant::now() }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let gained = now.duration_since(self.since).as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(self.rate.at_once);
        self.since = now;
    }

    /// Takes so many if they are there.
    pub(crate) fn take(&mut self, amount: f64) -> bool {
        self.refill();
        let enough = self.tokens >= amount;
        if enough {
            self.tokens -= amount;
        }
        enough
    }

    /// Gives so many back.
    pub(crate) fn give(&mut self, amount: f64) {
        self.tokens = (self.tokens + amount).min(self.rate.at_once);
    }

    /// Takes so many in any case, and says how long to wait until they were there.
    pub(crate) fn owe(&mut self, amount: f64) -> Duration {
        self.refill();
        self.tokens -= amount;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((-self.tokens / self.rate.per_second.max(1e-3)).min(60.0))
    }
}
