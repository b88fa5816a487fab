//! A validator's wish to be in the first set of a chain, signed with the key that will vote, so that nobody can be
//! entered by somebody else or with another stake.

use dodona_chain::{Genesis, GenesisValidator};
use dodona_consensus::{PublicKey, SigningKey};
use dodona_proto::Address;
use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Serialize};

/// Why a declaration is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// For another chain.
    #[error("it declares for chain `{theirs}`, this is `{ours}`")]
    Chain {
        /// What it says.
        theirs: String,
        /// What it should say.
        ours: String,
    },
    /// Changed, or made by hand.
    #[error("its signature is not by the key it names: it was changed, or made by hand")]
    Forged,
    /// One key, one operator, one declaration.
    #[error("this key or this operator has declared something else already")]
    Twice,
}

/// A validator's wish to take part, signed with the key that will vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// For this chain only.
    pub chain_id: String,
    /// Ed25519, hex.
    pub public_key: String,
    /// Whole ALLO.
    pub power: u64,
    /// Account that is paid.
    pub operator: String,
    /// Name for people.
    pub moniker: String,
    /// Over everything above, hex.
    pub signature: String,
}

impl Declaration {
    /// A signed declaration.
    pub fn sign(key: &SigningKey, chain_id: &str, power: u64, operator: Address, moniker: &str) -> Self {
        let mut made = Self {
            chain_id: chain_id.to_string(),
            public_key: hex::encode(key.verifying_key().to_bytes()),
            power,
            operator: operator.to_string(),
            moniker: moniker.to_string(),
            signature: String::new(),
        };
        made.signature = hex::encode(key.sign(&made.statement()).to_bytes());
        made
    }

    /// What is signed: a tag and each field behind its length.
    fn statement(&self) -> Vec<u8> {
        let power = self.power.to_string();
        let mut statement = b"dodona genesis declaration 1".to_vec();
        for field in [&self.chain_id, &self.public_key, &power, &self.operator, &self.moniker] {
            statement.extend((field.len() as u64).to_be_bytes());
            statement.extend(field.as_bytes());
        }
        statement
    }

    /// Whether the key it names has signed it.
    fn is_genuine(&self) -> bool {
        let key = hex::decode(&self.public_key).ok().and_then(|k| k.try_into().ok());
        let key = key.and_then(|k: [u8; 32]| PublicKey::from_bytes(&k).ok());
        let signature = hex::decode(&self.signature).ok().and_then(|s| s.try_into().ok());
        let signature = signature.map(|s: [u8; 64]| Signature::from_bytes(&s));
        key.zip(signature)
            .is_some_and(|(key, signature)| key.0.verify_strict(&self.statement(), &signature).is_ok())
    }

    /// Enters the document; the same declaration twice changes nothing.
    ///
    /// # Errors
    /// [`DeclarationError`]; the document is unchanged then.
    pub fn join(&self, genesis: &mut Genesis) -> Result<(), DeclarationError> {
        if self.chain_id != genesis.chain_id {
            let (theirs, ours) = (self.chain_id.clone(), genesis.chain_id.clone());
            return Err(DeclarationError::Chain { theirs, ours });
        }
        if !self.is_genuine() {
            return Err(DeclarationError::Forged);
        }
        let same_key = |v: &&GenesisValidator| v.public_key == self.public_key;
        let taken = |v: &&GenesisValidator| same_key(v) || v.operator == self.operator;
        match genesis.validators.iter().find(taken) {
            Some(v) if same_key(&v) && v.operator == self.operator && v.power == self.power => Ok(()),
            Some(_) => Err(DeclarationError::Twice),
            None => {
                genesis.validators.push(GenesisValidator {
                    public_key: self.public_key.clone(),
                    power: self.power,
                    operator: self.operator.clone(),
                    moniker: self.moniker.clone(),
                    commission: None,
                });
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dodona_chain::Params;

    use super::*;

    fn genesis() -> Genesis {
        Genesis {
            chain_id: "c".into(),
            time_ms: 1,
            params: Params::default(),
            accounts: Vec::new(),
            validators: Vec::new(),
            admins: Vec::new(),
        }
    }

    #[test]
    fn a_declaration_enters_once_and_not_after_any_change() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let made = Declaration::sign(&key, "c", 5, Address([1; 20]), "seven");
        let mut document = genesis();
        made.join(&mut document).unwrap();
        made.join(&mut document).unwrap();
        assert_eq!(document.validators.len(), 1);

        let forged = [
            Declaration { power: 6, ..made.clone() },
            Declaration { operator: Address([2; 20]).to_string(), ..made.clone() },
            Declaration { moniker: "eight".into(), ..made.clone() },
            Declaration { public_key: hex::encode([8; 32]), ..made.clone() },
            Declaration { signature: String::new(), ..made.clone() },
        ];
        for other in forged {
            assert_eq!(other.join(&mut genesis()), Err(DeclarationError::Forged));
        }
        let elsewhere = Declaration::sign(&key, "d", 5, Address([1; 20]), "seven");
        assert!(matches!(elsewhere.join(&mut document), Err(DeclarationError::Chain { .. })));
        let more = Declaration::sign(&key, "c", 50, Address([1; 20]), "seven");
        assert_eq!(more.join(&mut document), Err(DeclarationError::Twice));
        let neighbour = Declaration::sign(&SigningKey::from_bytes(&[9; 32]), "c", 5, Address([1; 20]), "x");
        assert_eq!(
            neighbour.join(&mut document),
            Err(DeclarationError::Twice),
            "one operator, one validator"
        );
    }
}
