//! Roles: who acts for a topic. Each acts only on what anybody can see (open windows, scored epochs, its own data)
//! and only by signed transactions, once per epoch, in windows the chain has announced. Whoever runs several roles asks
//! for the windows once and shows them to all.

mod classifier;
mod forecaster;
mod reputer;
mod worker;

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_proto::{
    Address,
    sign::AccountKey,
    topics::{Forecast, MsgAddStake, MsgFundTopic, MsgRegister, QueryWindowsResponse, Role, Window},
    tx::{TxHash, pack},
    url,
};

use crate::series::{MAX_SIZE, MIN_SIZE};

pub use classifier::{Classes, ClassifierRole};
pub use forecaster::ForecasterRole;
pub use reputer::ReputerRole;
pub use worker::WorkerRole;

/// Gas limits that suffice for a role's messages, with room.
pub mod gas {
    /// Registration, stake, funding.
    pub const WRITE: u64 = 100_000;
    /// An inference or a truth.
    pub const SUBMIT: u64 = 80_000;
    /// A forecast about so many inferers.
    pub const fn forecast(elements: usize) -> u64 {
        100_000 + 3_000 * elements as u64
    }
    /// A report of so many losses.
    pub const fn losses(entries: usize) -> u64 {
        120_000 + 600 * entries as u64
    }
}

/// A prediction as it can be submitted: what is closer to zero than a submission can say is zero; what is too large,
/// or no number, is not said.
pub fn sayable(value: f64) -> Option<f64> {
    let size = value.abs();
    if size < MIN_SIZE { Some(0.0) } else { (size <= MAX_SIZE).then_some(value) }
}

/// Predicted losses as they can be submitted; those that a submission cannot carry are not said.
pub fn sayable_forecast(predicted: Vec<(String, f64)>) -> Vec<Forecast> {
    let carried = |loss: &f64| (MIN_SIZE..=MAX_SIZE).contains(loss);
    let said = predicted.into_iter().filter(|(_, loss)| carried(loss));
    said.map(|(inferer, loss)| Forecast { inferer, loss: loss.to_string() }).collect()
}

/// Where the series stands when an epoch asks its question: epoch k is asked when rows up to `first_row + k` are
/// known, and its answer is the value `horizon` rows later.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Last row known at epoch 0.
    pub first_row: usize,
    /// Rows from the question to its answer, at least 1.
    pub horizon: usize,
}

impl Timeline {
    /// Last row known when an epoch asks.
    pub fn known(&self, epoch: u64) -> usize {
        self.first_row.saturating_add(usize::try_from(epoch).unwrap_or(usize::MAX))
    }

    /// The row an epoch asks for.
    pub fn target(&self, epoch: u64) -> usize {
        self.known(epoch).saturating_add(self.horizon)
    }

    /// How many epochs a series of so many rows can answer.
    pub fn epochs(&self, rows: usize) -> u64 {
        rows.saturating_sub(self.first_row + self.horizon) as u64
    }
}

/// What every role has: a wallet, a topic, and the last epoch it has dealt with.
#[derive(Debug)]
pub struct Seat {
    /// Signs and pays.
    pub wallet: Wallet,
    /// Where it acts.
    pub topic: u64,
    /// Shown on leaderboards.
    pub name: String,
    done: Option<u64>,
}

/// What came of one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Transactions handed in.
    pub submitted: u32,
    /// Epochs there was nothing to say about.
    pub skipped: u32,
    /// Names of the transactions.
    pub hashes: Vec<TxHash>,
}

impl Seat {
    /// A seat at a topic.
    pub fn new(key: AccountKey, topic: u64, name: &str) -> Self {
        Self { wallet: Wallet::new(key), topic, name: name.to_string(), done: None }
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.wallet.address()
    }

    /// Registers for a role; paid itself.
    pub fn register<T: Transport>(&mut self, client: &Client<T>, role: Role) -> Result<TxHash, ClientError> {
        let sender = self.address().to_string();
        let message = MsgRegister {
            sender,
            topic_id: self.topic,
            role: role.into(),
            owner: String::new(),
            name: self.name.clone(),
        };
        self.wallet.send(client, vec![pack(url::REGISTER, &message)], gas::WRITE)
    }

    /// Stakes on the topic.
    pub fn stake<T: Transport>(&mut self, client: &Client<T>, amount: u128) -> Result<TxHash, ClientError> {
        let sender = self.address().to_string();
        let message = MsgAddStake { sender, topic_id: self.topic, amount: amount.to_string() };
        self.wallet.send(client, vec![pack(url::ADD_STAKE, &message)], gas::WRITE)
    }

    /// Pays for the topic's answers.
    pub fn fund<T: Transport>(&mut self, client: &Client<T>, amount: u128) -> Result<TxHash, ClientError> {
        self.fund_topic(client, self.topic, amount)
    }

    /// Pays for another topic's answers.
    pub fn fund_topic<T: Transport>(
        &mut self,
        client: &Client<T>,
        topic_id: u64,
        amount: u128,
    ) -> Result<TxHash, ClientError> {
        let sender = self.address().to_string();
        let message = MsgFundTopic { sender, topic_id, amount: amount.to_string() };
        self.wallet.send(client, vec![pack(url::FUND_TOPIC, &message)], gas::WRITE)
    }

    /// Windows of epochs this seat has not dealt with yet, oldest first, that accept payloads in the next block.
    fn open_for_workers(&self, seen: &QueryWindowsResponse) -> Vec<Window> {
        self.fresh(seen, |w, next| w.state == "open" && (w.worker_first..=w.worker_last).contains(&next))
    }

    /// The same for truths.
    fn open_for_truth(&self, seen: &QueryWindowsResponse) -> Vec<Window> {
        self.fresh(seen, |w, next| (w.truth_first..=w.truth_last).contains(&next))
    }

    fn fresh(&self, seen: &QueryWindowsResponse, accepts: impl Fn(&Window, u64) -> bool) -> Vec<Window> {
        let next = seen.height + 1;
        let fresh = |w: &&Window| self.done.is_none_or(|done| w.epoch > done);
        seen.windows.iter().filter(|w| fresh(w) && accepts(w, next)).cloned().collect()
    }

    /// Sends one epoch's message. A node that has it already (after a restart, say) is not an error.
    fn say<T: Transport>(
        &mut self,
        client: &Client<T>,
        epoch: u64,
        message: prost_types::Any,
        gas: u64,
        turn: &mut Turn,
    ) -> Result<(), ClientError> {
        match self.wallet.send(client, vec![message], gas) {
            Ok(hash) => {
                turn.submitted += 1;
                turn.hashes.push(hash);
            }
            Err(error) if error.is_already_submitted() => {}
            Err(error) => return Err(error),
        }
        self.done = Some(epoch);
        Ok(())
    }

    fn skip(&mut self, epoch: u64, turn: &mut Turn) {
        self.done = Some(epoch);
        turn.skipped += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::sayable;

    #[test]
    fn what_cannot_be_submitted_is_zero_or_not_said() {
        assert_eq!(sayable(-1.5), Some(-1.5));
        assert_eq!(sayable(1e-41), Some(0.0));
        assert_eq!(sayable(-0.0), Some(0.0));
        assert_eq!(sayable(1e41), None);
        assert_eq!(sayable(f64::NAN), None);
        assert_eq!(sayable(f64::NEG_INFINITY), None);
    }
}
