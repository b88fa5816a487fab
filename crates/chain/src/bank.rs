//! Tokens: balances in uallo (10⁻¹⁸ ALLO) and their sum. The only place that changes a balance.

use dodona_proto::{Address, DENOM, cosmos::bank::v1beta1::MsgSend};
use dodona_store::{Item, Map, Read, StoreError};

use crate::{
    accounts, auth,
    ctx::Ctx,
    error::{Coded, Failure},
    event::Event,
    gas,
    state::State,
    text::{parse_amount, printable},
};

/// Address → uallo. Absent means zero; zero is never stored.
const BALANCES: Map<[u8; 20], u128> = Map::new(*b"bb");
/// Sum of all balances.
const SUPPLY: Item<u128> = Item::new(*b"bs");

/// Why tokens do not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BankError {
    /// The payer has less.
    #[error("spendable balance {has}{DENOM} is smaller than {needs}{DENOM}: insufficient funds")]
    Insufficient {
        /// Balance.
        has: u128,
        /// What was asked for.
        needs: u128,
    },
    /// Amounts are positive integers of one known token.
    #[error("invalid coins: {0}; send one positive integer amount of {DENOM}")]
    Coins(String),
    /// The receiver is an account of the chain itself, whose balance mirrors other books.
    #[error("{0} is not allowed to receive funds: unauthorized; it belongs to the chain itself")]
    Blocked(Address),
    /// The text is no address of this chain.
    #[error("invalid {field}: {cause}")]
    Address {
        /// Field of the message.
        field: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Coded for BankError {
    const CODESPACE: &'static str = "sdk";
    fn code(&self) -> u32 {
        match self {
            Self::Blocked(_) => 4,
            Self::Insufficient { .. } => 5,
            Self::Address { .. } => 7,
            Self::Coins(_) => 10,
        }
    }
}

/// Balance in uallo.
pub fn balance(read: &impl Read, of: Address) -> Result<u128, StoreError> {
    Ok(BALANCES.get(read, &of.0)?.unwrap_or(0))
}

/// Sum of all balances.
pub fn supply(read: &impl Read) -> Result<u128, StoreError> {
    Ok(SUPPLY.get(read)?.unwrap_or(0))
}

/// All balances, for invariants and export.
pub fn balances(read: &impl Read) -> Result<Vec<([u8; 20], u128)>, StoreError> {
    BALANCES.scan(read, usize::MAX)
}

/// At most `limit` balances in the order of their addresses, from `start` on.
pub fn from(read: &impl Read, start: Address, limit: usize) -> Result<Vec<([u8; 20], u128)>, StoreError> {
    BALANCES.scan_from(read, &start.0, limit)
}

/// Moves tokens. The receiver's account is created if need be. Moving nothing is no error.
pub fn transfer(state: &mut State, from: Address, to: Address, amount: u128) -> Result<(), Failure> {
    let has = balance(state, from)?;
    if has < amount {
        return Err(BankError::Insufficient { has, needs: amount }.into());
    }
    // Nothing below can fail, but for the disk.
    if amount == 0 || from == to {
        return Ok(());
    }
    let received = balance(state, to)?;
    put(state, from, has - amount);
    // The supply bounds every balance, so the sum fits.
    put(state, to, received + amount);
    // Whoever holds tokens has an account.
    if received == 0 {
        auth::ensure(state, to)?;
    }
    Ok(())
}

/// Creates tokens. The caller keeps to the maximum supply, far below u128.
pub(crate) fn create(state: &mut State, to: Address, amount: u128) -> Result<(), StoreError> {
    if amount == 0 {
        return Ok(());
    }
    let has = balance(state, to)?;
    let sum = supply(state)?;
    put(state, to, has + amount);
    SUPPLY.put(state, &(sum + amount));
    if has == 0 {
        auth::ensure(state, to)?;
    }
    Ok(())
}

fn put(state: &mut State, of: Address, amount: u128) {
    if amount == 0 { BALANCES.delete(state, &of.0) } else { BALANCES.put(state, &of.0, &amount) }
}

/// `MsgSend`.
pub(crate) fn send(ctx: &mut Ctx, from: Address, message: &MsgSend) -> Result<(), Failure> {
    ctx.gas.charge(gas::SEND, "bank send")?;
    let to: Address = message.to_address.parse().map_err(|e: dodona_proto::AddressError| {
        BankError::Address { field: "to_address", cause: e.to_string() }
    })?;
    if accounts::is_own(to) {
        return Err(BankError::Blocked(to).into());
    }
    let [coin] = message.amount.as_slice() else {
        return Err(BankError::Coins(format!("{} coins", message.amount.len())).into());
    };
    if coin.denom != DENOM {
        return Err(BankError::Coins(format!("unknown token `{}`", printable(&coin.denom))).into());
    }
    let amount = parse_amount(&coin.amount)
        .filter(|a| *a > 0)
        .ok_or_else(|| BankError::Coins(format!("amount `{}`", printable(&coin.amount))))?;
    let has = balance(ctx.state, from)?;
    if has < amount {
        return Err(BankError::Insufficient { has, needs: amount }.into());
    }
    // Nothing below can fail.
    transfer(ctx.state, from, to, amount)?;
    ctx.emit(Event::new("transfer").with("sender", from).with("recipient", to).with("amount", amount));
    Ok(())
}
