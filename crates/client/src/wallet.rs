//! A key with what a signature needs to know of the chain: account number and the next sequence. It counts its own
//! transactions, so several can be under way at once, and asks the chain again when the count turns out wrong.

use dodona_proto::{
    Address,
    sign::AccountKey,
    tx::{Signing, TxHash},
};
use prost_types::Any;

use crate::{Client, ClientError, Transport};

/// Signs and sends for one account.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: AccountKey,
    chain: Option<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    chain_id: String,
    account_number: u64,
    sequence: u64,
    gas_price: u128,
}

impl Wallet {
    /// A wallet that will learn the rest at its first transaction.
    pub fn new(key: AccountKey) -> Self {
        Self { key, chain: None }
    }

    /// Whose wallet this is.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs the messages as one transaction and hands it in. A wrong sequence is asked for and tried once more.
    pub fn send<T: Transport>(
        &mut self,
        client: &Client<T>,
        messages: Vec<Any>,
        gas_limit: u64,
    ) -> Result<TxHash, ClientError> {
        match self.try_send(client, messages.clone(), gas_limit) {
            Err(error) if error.is_sequence_mismatch() => {
                self.chain = None;
                self.try_send(client, messages, gas_limit)
            }
            other => other,
        }
    }

    fn try_send<T: Transport>(
        &mut self,
        client: &Client<T>,
        messages: Vec<Any>,
        gas_limit: u64,
    ) -> Result<TxHash, ClientError> {
        let address = self.address();
        let known = match &mut self.chain {
            Some(known) => known,
            unknown => {
                let status = client.status()?;
                let account = client.account(address.to_string())?;
                let gas_price = status
                    .min_gas_price
                    .parse()
                    .map_err(|_| ClientError::Node("the node names no gas price".into()))?;
                unknown.insert(Known {
                    chain_id: status.chain_id,
                    account_number: account.account_number,
                    sequence: account.sequence,
                    gas_price,
                })
            }
        };
        let signing = Signing {
            key: &self.key,
            chain_id: &known.chain_id,
            account_number: known.account_number,
            sequence: known.sequence,
            fee: known.gas_price.saturating_mul(gas_limit.into()),
            gas_limit,
        };
        let hash = client.transport().broadcast(&signing.build(messages, 0))?;
        known.sequence += 1;
        Ok(hash)
    }
}
