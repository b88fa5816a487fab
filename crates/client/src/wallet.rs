//! A key with what a signature needs to know of the chain: account number and the next sequence. It counts its own
//! transactions, so several can be under way at once, and asks the chain again when the count turns out wrong. It
//! offers half as much again as gas costs, so that a transaction survives a few blocks of a rising price.

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

/// A transaction ready to be handed in.
#[derive(Clone, Debug)]
pub struct Signed {
    /// As it goes to a node.
    pub bytes: Vec<u8>,
    /// What it offers, uallo: half as much again as its gas costs now.
    pub fee: u128,
}

#[derive(Clone, Debug)]
struct Known {
    chain_id: String,
    account_number: u64,
    sequence: u64,
    /// uallo per unit of gas, in steps of 10^-18.
    gas_price: u128,
    /// Transactions since the price was asked for.
    age: u32,
}

/// One uallo in steps of 10^-18.
const UNIT: u128 = 1_000_000_000_000_000_000;
/// Transactions after which the price is asked for again: one paid at a peak must not be paid for ever.
const PRICE_AGE: u32 = 64;

impl Wallet {
    /// A wallet that will learn the rest at its first transaction.
    pub fn new(key: AccountKey) -> Self {
        Self { key, chain: None }
    }

    /// Whose wallet this is.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs the messages as one transaction and hands it in. When the sequence or the price turns out to be
    /// another one, the chain is asked and it is tried once more.
    pub fn send<T: Transport>(
        &mut self,
        client: &Client<T>,
        messages: Vec<Any>,
        gas_limit: u64,
    ) -> Result<TxHash, ClientError> {
        match self.try_send(client, messages.clone(), gas_limit) {
            Err(error) if error.is_sequence_mismatch() || error.is_fee_too_low() => {
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
        let signed = self.sign(client, messages, gas_limit)?;
        let hash = client.transport().broadcast(&signed.bytes)?;
        if let Some(known) = &mut self.chain {
            known.sequence += 1;
            known.age += 1;
        }
        Ok(hash)
    }

    /// What [`Wallet::send`] would hand in; it is not handed in, and does not count.
    ///
    /// # Errors
    /// [`ClientError`], if the chain has to be asked for something and does not tell it.
    pub fn sign<T: Transport>(
        &mut self,
        client: &Client<T>,
        messages: Vec<Any>,
        gas_limit: u64,
    ) -> Result<Signed, ClientError> {
        let address = self.address();
        let known = match &mut self.chain {
            Some(known) => known,
            unknown => {
                let status = client.status()?;
                let account = client.account(address.to_string())?;
                unknown.insert(Known {
                    gas_price: price(&status.gas_price)?,
                    chain_id: status.chain_id,
                    account_number: account.account_number,
                    sequence: account.sequence,
                    age: 0,
                })
            }
        };
        if known.age >= PRICE_AGE {
            known.gas_price = price(&client.status()?.gas_price)?;
            known.age = 0;
        }
        let fee = fee(gas_limit, known.gas_price);
        let signing = Signing {
            key: &self.key,
            chain_id: &known.chain_id,
            account_number: known.account_number,
            sequence: known.sequence,
            fee,
            gas_limit,
        };
        Ok(Signed { bytes: signing.build(messages, 0), fee })
    }
}

/// Reads a decimal number of at most 18 places.
fn price(text: &str) -> Result<u128, ClientError> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let read = || {
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(places) || places.len() > 18 {
            return None;
        }
        let places: u128 = format!("{places:0<18}").parse().ok()?;
        whole.parse::<u128>().ok()?.checked_mul(UNIT)?.checked_add(places)
    };
    read().ok_or_else(|| ClientError::Node("the node names no gas price".into()))
}

/// What to offer for so much gas: what it costs, rounded up, and half of it on top.
fn fee(gas_limit: u64, price: u128) -> u128 {
    let gas = u128::from(gas_limit);
    let whole = gas.saturating_mul(price / UNIT);
    let cost = whole.saturating_add((gas * (price % UNIT)).div_ceil(UNIT));
    cost.saturating_add(cost.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_to_its_last_place_and_paid_half_again() {
        for (text, gas, offered) in [
            ("1", 100_000, 150_000),
            ("1.125", 100_000, 168_750),
            ("1.000000000000000001", 3, 6), // 4 and half of it
            ("0.5", 3, 3),                  // 2 and half of it
        ] {
            assert_eq!(fee(gas, price(text).unwrap()), offered, "{text}");
        }
        assert_eq!(price("250000000").unwrap(), 250_000_000 * UNIT);
        for text in ["", "-1", "1.2.3", "1e3", "1.0000000000000000001", "99999999999999999999999999"] {
            assert!(price(text).is_err(), "{text}");
        }
    }
}
