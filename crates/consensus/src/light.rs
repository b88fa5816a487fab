//! A light client: follows headers from a trusted validator set, height by height.
//! It holds one set and one number, and works without clock, disk or network.

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::block::Header;
use crate::certificate::{Certificate, CertificateError, verify_certificate};
use crate::types::{BlockId, Hash32, Height, ValidatorSet};

/// One step of a light client.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LightBlock {
    /// The header to be trusted.
    pub header: Header,
    /// The decision about it.
    pub certificate: Certificate,
    /// The set that decides the next height.
    pub next_validators: ValidatorSet,
}

/// Why a step was refused. The client is unchanged then.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum LightError {
    /// Heights are followed one by one.
    #[error("height {got} does not follow {trusted}")]
    Height {
        /// The last trusted height.
        trusted: Height,
        /// The height offered.
        got: Height,
    },
    /// The header does not continue the last trusted one.
    #[error("the header has another parent")]
    Parent,
    /// The certificate proves nothing.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The offered next set is not the one in the header.
    #[error("the next validator set does not match the header")]
    NextValidators,
}

/// Trusts a validator set, and whatever follows from it.
#[derive(Clone, Debug)]
pub struct LightClient {
    chain_id: String,
    validators: ValidatorSet,
    height: Height,
    last: Option<(BlockId, Hash32)>,
}

impl LightClient {
    /// Starts before height 1 with the validators of genesis.
    pub fn new(chain_id: &str, genesis: ValidatorSet) -> Self {
        Self::at(chain_id, Height(0), genesis)
    }

    /// Starts after `height`; `validators` is the set that decides the next one.
    pub fn at(chain_id: &str, height: Height, validators: ValidatorSet) -> Self {
        Self { chain_id: chain_id.to_owned(), validators, height, last: None }
    }

    /// The last trusted height.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The set that decides the next height.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// State root after the last trusted block; none before the first step.
    pub fn app_hash(&self) -> Option<Hash32> {
        self.last.map(|(_, app_hash)| app_hash)
    }

    /// Verifies and takes one step.
    ///
    /// # Errors
    /// See [`LightError`].
    pub fn advance(&mut self, step: &LightBlock) -> Result<(), LightError> {
        let header = &step.header;
        if header.height != self.height.next() {
            return Err(LightError::Height { trusted: self.height, got: header.height });
        }
        if self.last.is_some_and(|(id, _)| id != header.parent) {
            return Err(LightError::Parent);
        }
        verify_certificate(&self.chain_id, header, &step.certificate, &self.validators)?;
        if step.next_validators.hash() != header.next_validators_hash {
            return Err(LightError::NextValidators);
        }
        self.validators = step.next_validators.clone();
        self.height = header.height;
        self.last = Some((step.certificate.block_id, header.app_hash));
        Ok(())
    }
}
