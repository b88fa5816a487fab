//! The certificate of a decided block: precommits of more than two thirds of the power.
//! Ours, with its own encoding for storage and light clients; the engine's form converts
//! both ways. Verification needs no clock, no disk and no network.

use std::collections::BTreeSet;

use arc_malachitebft_core_types as core_types;
use borsh::{BorshDeserialize, BorshSerialize};
use core_types::{CommitCertificate, CommitSignature, Context as _, NilOrVal, Round};
use thiserror::Error;

use crate::block::Header;
use crate::signing::{Domain, Signature};
use crate::types::{Address, BlockId, Ctx, Height, ValidatorSet};

/// Most signatures in an encoded certificate.
pub const MAX_SIGNATURES: usize = 10_000;

/// Precommits for one block, sorted by voter.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Height of the block.
    pub height: Height,
    /// Round of the decision.
    pub round: u32,
    /// The decided block.
    pub block_id: BlockId,
    /// Voters and their signatures, each over the precommit of that voter.
    pub signatures: Vec<(Address, Signature)>,
}

/// Why a certificate proves nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Not exactly one encoded certificate.
    #[error("the bytes are not exactly one encoded certificate")]
    Malformed,
    /// Made for another height.
    #[error("the certificate is for height {certificate}, the header for {header}")]
    Height {
        /// Of the certificate.
        certificate: Height,
        /// Of the header.
        header: Height,
    },
    /// The header names another chain.
    #[error("the header belongs to another chain")]
    Chain,
    /// Made for another block of that height.
    #[error("the certificate is for another block")]
    Block,
    /// The header was to be decided by another set.
    #[error("the header names another validator set")]
    Validators,
    /// Somebody signed who is not in the set.
    #[error("{0} is not in the validator set")]
    Stranger(Address),
    /// Somebody signed twice.
    #[error("{0} signed twice")]
    Twice(Address),
    /// A signature does not verify.
    #[error("the signature of {0} is invalid")]
    Signature(Address),
    /// Not more than two thirds signed.
    #[error("voting power {signed} of {total} is not more than two thirds")]
    Power {
        /// Power of those who signed.
        signed: u64,
        /// Power of the whole set.
        total: u64,
    },
}

impl Certificate {
    /// Bytes for storage and for the wire.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads a certificate that must fill `bytes` exactly.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let c: Certificate = borsh::from_slice(bytes).map_err(|_| CertificateError::Malformed)?;
        if c.signatures.len() > MAX_SIGNATURES {
            return Err(CertificateError::Malformed);
        }
        Ok(c)
    }

    /// The engine's form.
    pub fn to_commit(&self) -> CommitCertificate<Ctx> {
        CommitCertificate {
            height: self.height,
            round: Round::new(self.round),
            value_id: self.block_id,
            commit_signatures: self.signatures.iter().map(|(a, s)| CommitSignature::new(*a, *s)).collect(),
        }
    }
}

impl From<CommitCertificate<Ctx>> for Certificate {
    fn from(c: CommitCertificate<Ctx>) -> Self {
        let mut signatures: Vec<_> =
            c.commit_signatures.into_iter().map(|s| (s.address, s.signature)).collect();
        signatures.sort();
        Certificate {
            height: c.height,
            // A decision is made in a round; nil is a notion of the state machine before it starts.
            round: c.round.as_u32().unwrap_or(0),
            block_id: c.value_id,
            signatures,
        }
    }
}

/// Checks that `set` decided `header`: known, distinct signers, every signature valid, and more
/// than two thirds of the power (spec: offline verification).
///
/// # Errors
/// The first thing that is wrong; see [`CertificateError`].
pub fn verify_certificate(
    chain_id: &str,
    header: &Header,
    certificate: &Certificate,
    set: &ValidatorSet,
) -> Result<(), CertificateError> {
    if header.chain_id != chain_id {
        return Err(CertificateError::Chain);
    }
    if certificate.height != header.height {
        return Err(CertificateError::Height { certificate: certificate.height, header: header.height });
    }
    if header.validators_hash != set.hash() {
        return Err(CertificateError::Validators);
    }
    if certificate.block_id != header.id() {
        return Err(CertificateError::Block);
    }
    verify_signatures(chain_id, certificate, set)
}

/// The part of [`verify_certificate`] that needs no header: known, distinct signers, every signature valid, more than
/// two thirds of the power. Whether `set` was to decide that block is for the caller to know.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_signatures(
    chain_id: &str,
    certificate: &Certificate,
    set: &ValidatorSet,
) -> Result<(), CertificateError> {
    let domain = Domain::new(chain_id);
    let value = NilOrVal::Val(certificate.block_id);
    let mut seen = BTreeSet::new();
    let mut signed = 0;
    for (address, signature) in &certificate.signatures {
        let validator = set.get(address).ok_or(CertificateError::Stranger(*address))?;
        if !seen.insert(*address) {
            return Err(CertificateError::Twice(*address));
        }
        let vote = Ctx.new_precommit(certificate.height, Round::new(certificate.round), value, *address);
        if !domain.check(&domain.vote(&vote), signature, &validator.public_key) {
            return Err(CertificateError::Signature(*address));
        }
        signed += validator.voting_power;
    }
    // Products in u128: the set bounds the total by 2^62, but nothing here should depend on it.
    if u128::from(signed) * 3 <= u128::from(set.total()) * 2 {
        return Err(CertificateError::Power { signed, total: set.total() });
    }
    Ok(())
}
