//! Another validator takes over a node's machine: keys of its own, stake of its own, and the one before takes its stake
//! away. The node's store, its place among the peers and the chain stay.

use std::{fs, time::Duration};

use dodona_client::{Client, ClientError, Http, Wallet, staking};
use dodona_node::keys::{Keys, OPERATOR_KEY, VALIDATOR_KEY};
use dodona_proto::{
    ALLO, Address, Prefix,
    cosmos::bank::v1beta1::MsgSend,
    sign::AccountKey,
    tx::{TxHash, pack},
    url,
};
use sha2::{Digest, Sha256};

use super::member::{Member, MemberError, POWER};
use crate::world::{COMMISSION, STAKING_GAS};

/// What the newcomer has besides its stake, for fees.
const PURSE: u128 = 10 * ALLO;
/// What a transaction costs that moves tokens.
const SEND_GAS: u64 = 150_000;
/// How often the set is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(300);

/// Who leaves and who comes.
pub(super) struct Handover {
    old: AccountKey,
    new: AccountKey,
    public_key: [u8; 32],
}

impl Handover {
    /// Gives a node that does not run the keys of another validator. What the key before has signed is guarded by a
    /// file that goes with it, as an operator would do it.
    pub fn prepare(member: &Member, seed: u64, turn: u64) -> Result<Self, MemberError> {
        let home = &member.home;
        let io = |cause| MemberError::Io { what: "cannot change the keys in", path: home.clone(), cause };
        let read = || {
            let mut drawn = 0u64;
            Keys::make(home, || {
                drawn += 1;
                let label = [seed, turn, drawn].map(u64::to_be_bytes).concat();
                let name = member.name.as_bytes();
                Sha256::digest([b"dodona newcomer key".as_slice(), name, &label].concat()).into()
            })
        };
        let old = read()?.operator;
        for name in [VALIDATOR_KEY, OPERATOR_KEY, "sign_state.json"] {
            let from = home.join(name);
            // A node that never was in a set has signed nothing.
            if from.exists() {
                fs::rename(&from, home.join(format!("{name}.before-{turn}"))).map_err(io)?;
            }
        }
        let keys = read()?;
        Ok(Self { old, new: keys.operator, public_key: keys.validator.verifying_key().to_bytes() })
    }

    /// Hands in what it takes: tokens for the newcomer, its stake, and the other's stake taken away. `settled` waits
    /// for a transaction's block.
    pub fn announce(
        &self,
        client: &Client<Http>,
        purse: &mut Wallet,
        name: &str,
        settled: impl Fn(TxHash) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let stake = u128::from(POWER) * ALLO;
        let gift = MsgSend {
            from_address: purse.address().to_string(),
            to_address: self.new.address().to_string(),
            amount: vec![staking::coin(stake + PURSE)],
        };
        settled(purse.send(client, vec![pack(url::SEND, &gift)], SEND_GAS)?)?;
        let mut new = Wallet::new(self.new.clone());
        let joined = staking::create(new.address(), self.public_key, name, stake, COMMISSION);
        settled(new.send(client, vec![joined], STAKING_GAS)?)?;
        let mut old = Wallet::new(self.old.clone());
        let left = staking::undelegate(old.address(), old.address(), stake);
        settled(old.send(client, vec![left], STAKING_GAS)?)
    }

    /// Whether the newcomer decides blocks and the other one no longer does.
    pub fn is_done(&self, client: &Client<Http>) -> Result<bool, ClientError> {
        let bonded = |operator: Address| {
            let operator = operator.written(Prefix::Operator);
            let page = client.transport().page(&format!("/dodona/v1/validators/{operator}"));
            match page {
                Ok(page) => Ok(page["validator"]["status"] == "bonded"),
                // Whoever has taken all its stake away may be forgotten.
                Err(ClientError::NotFound(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        Ok(bonded(self.new.address())? && !bonded(self.old.address())?)
    }
}
