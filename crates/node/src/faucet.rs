//! The purse of a development network: an address the chain does not know yet is given tokens when a published client
//! first asks about it, so that nobody configures anything. A node has one only if its owner hands it a key.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dodona_client::{Client, ClientError, Wallet};
use dodona_proto::{ALLO, Address, sign::AccountKey, tx};
use tokio::sync::Semaphore;

use crate::{
    NodeHandle,
    doors::{Visitor, aside},
};

/// What an address is given at most, uallo.
pub(crate) const GIFT: u128 = 1_000 * ALLO;
/// An address is given at most this part of what the purse holds, so that whoever comes later gets something too.
const PART: u128 = 1_000;
/// Gifts on their way at once; whoever asks meanwhile gets one on asking again.
const UNDER_WAY: usize = 32;
/// Gas of a gift, with room.
const GAS: u64 = 100_000;
/// Questions that wait for a gift at once; further ones are answered without waiting.
const WAITERS: usize = 32;
/// How long a question waits: a few blocks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives each address its gift once.
pub(crate) struct Faucet {
    wallet: Mutex<Wallet>,
    /// Gifts that are in no block yet.
    under_way: Mutex<BTreeSet<Address>>,
    waiting: Semaphore,
}

impl Faucet {
    pub fn new(key: AccountKey) -> Self {
        Self {
            wallet: Mutex::new(Wallet::new(key)),
            under_way: Mutex::default(),
            waiting: Semaphore::new(WAITERS),
        }
    }

    /// Sends the gift and waits until a block holds it. Whatever goes wrong, the question is answered as it stands.
    pub async fn welcome(self: Arc<Self>, node: &NodeHandle, visitor: &Visitor, to: Address) {
        if has_account(node, to).await {
            return;
        }
        // Whoever asks first gives, and takes the note away at the end: should the gift be lost, the next question sends
        // another. Guards, because whoever asks may hang up at any time.
        let first = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            let first = !under_way.contains(&to);
            if first && (under_way.len() >= UNDER_WAY || !visitor.may_be_given()) {
                return;
            }
            under_way.insert(to)
        };
        let _note = first.then(|| Note(&self, to));
        if first {
            let (giver, through) = (self.clone(), node.clone());
            let given = aside(move || giver.give(&through, to)).await;
            if let Some(Err(error)) = &given {
                tracing::warn!(%to, %error, "no gift for a new address");
                return;
            }
        }
        if let Ok(_place) = self.waiting.try_acquire() {
            arrival(node, to).await;
        } else if first {
            // Nobody is told to wait, but the note stays until the gift had its time.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn give(&self, node: &NodeHandle, to: Address) -> Result<(), ClientError> {
        let mut wallet = self.wallet.lock().unwrap_or_else(PoisonError::into_inner);
        let client = Client::new(node.clone());
        // Balances are written in digits.
        let from = wallet.address();
        let purse: u128 = client.account(from.to_string())?.balance.parse().unwrap_or(0);
        let gift = GIFT.min(purse / PART);
        if gift == 0 {
            return Err(ClientError::Node("the purse is empty".into()));
        }
        wallet.send(&client, vec![tx::send(from, to, gift)], GAS)?;
        tracing::info!(%to, gift, "gift for a new address");
        Ok(())
    }
}

async fn has_account(node: &NodeHandle, address: Address) -> bool {
    let client = Client::new(node.clone());
    aside(move || client.account(address.to_string()).is_ok_and(|account| account.exists)).await == Some(true)
}

/// Under way for as long as this lives.
struct Note<'a>(&'a Faucet, Address);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

async fn arrival(node: &NodeHandle, to: Address) {
    let mut heads = node.heads();
    let here = || Client::new(node.clone()).account(to.to_string()).is_ok_and(|account| account.exists);
    let wait = async { while !here() && heads.changed().await.is_ok() {} };
    // A chain that stands still gives nothing; the answer then says that the account does not exist.
    let _ = tokio::time::timeout(PATIENCE, wait).await;
}
