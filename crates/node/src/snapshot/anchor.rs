//! What a stranger's snapshot is measured by: a block and the validators after it that are believed, from a trust file
//! or from genesis. More than a third of their power must have signed for anything they are said to have decided.

use dodona_chain::{Genesis, GenesisError, QueryError};
use dodona_consensus::{BlockId, Certificate, CertificateError, Header, ValidatorSet, verify_certificate};
use dodona_light::{TRUST_FORMAT, Trust, TrustError};

/// A block that is believed, or genesis, with the set that decides after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The chain.
    pub chain_id: String,
    /// Height of the block; 0 for genesis.
    pub height: u64,
    /// Its name; none for genesis.
    pub block_id: Option<BlockId>,
    /// Who decides the block after it.
    pub validators: ValidatorSet,
    /// Until when signatures of these validators count for later blocks, unix milliseconds: those who lie afterwards
    /// can no longer be punished. None: for ever.
    pub expires_ms: Option<u64>,
}

/// Why a document is no anchor, or a block does not follow from one.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Neither a trust file nor a genesis.
    #[error("neither a trust file ({TRUST_FORMAT}) nor a genesis: {0}")]
    Json(#[from] serde_json::Error),
    /// It looks like a genesis, but is none.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// It looks like a trust file or a genesis, but is none.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No state can be made from the genesis.
    #[error(transparent)]
    Start(#[from] QueryError),
    /// The certificate does not prove the header.
    #[error("the snapshot's certificate proves nothing: {0}; take another one, from somebody else")]
    Certificate(#[from] CertificateError),
    /// Older than what is trusted.
    #[error(
        "block {height} is older than the trusted block {trusted}: take a newer snapshot, or an older trust file"
    )]
    Older {
        /// Of the snapshot.
        height: u64,
        /// Of the trust.
        trusted: u64,
    },
    /// Another block than the trusted one at its height, or one that does not follow it.
    #[error("block {0} contradicts the trusted block: somebody lies; ask others before anything else")]
    Contradiction(u64),
    /// Too few of those who are trusted signed.
    #[error(
        "validators with {signed} of the {total} trusted at height {trusted} signed block {height}, not more than a \
         third: make a newer trust file, on a node that you trust"
    )]
    Power {
        /// Trusted power that signed.
        signed: u64,
        /// All trusted power.
        total: u64,
        /// Height of the trust.
        trusted: u64,
        /// Height that was offered.
        height: u64,
    },
    /// The trust is too old.
    #[error(
        "the trust of height {trusted} is too old: its validators may have left without being punishable; make a \
         newer trust file, on a node that you trust"
    )]
    Expired {
        /// Height of the trust.
        trusted: u64,
    },
}

impl Anchor {
    /// Reads a trust file, or a genesis document.
    ///
    /// # Errors
    /// [`AnchorError::Json`], [`AnchorError::Genesis`], [`AnchorError::Trust`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, AnchorError> {
        let document: serde_json::Value = serde_json::from_slice(bytes)?;
        if document.get("format").and_then(|format| format.as_str()) != Some(TRUST_FORMAT) {
            return Self::of_genesis(&Genesis::from_json(bytes)?);
        }
        Ok(Self::of(Trust::from_json(bytes)?))
    }

    /// The validators of genesis.
    ///
    /// # Errors
    /// [`AnchorError::Start`].
    pub fn of_genesis(genesis: &Genesis) -> Result<Self, AnchorError> {
        Ok(Self::of(crate::genesis_trust(genesis)?))
    }

    fn of(trust: Trust) -> Self {
        let expires_ms = Some(trust.time_ms.saturating_add(trust.period_ms()));
        let Trust { chain_id, height, block_id, validators, .. } = trust;
        Self { chain_id, height: height.0, block_id, validators, expires_ms }
    }

    /// Checks that a block was decided by `set`, and that this follows from what is trusted. `now_ms` is the time of
    /// the caller's clock, unix milliseconds.
    ///
    /// # Errors
    /// All but those of reading.
    pub fn follow(
        &self,
        header: &Header,
        certificate: &Certificate,
        set: &ValidatorSet,
        now_ms: u64,
    ) -> Result<(), AnchorError> {
        verify_certificate(&self.chain_id, header, certificate, set)?;
        let (height, trusted) = (header.height.0, self.height);
        if height < trusted {
            return Err(AnchorError::Older { height, trusted });
        }
        let sound = match height - trusted {
            0 => self.block_id == Some(header.id()),
            1 => {
                let parent = self.block_id.unwrap_or_default();
                header.parent == parent && header.validators_hash == self.validators.hash()
            }
            _ => true,
        };
        if !sound {
            return Err(AnchorError::Contradiction(height));
        }
        if height == trusted {
            return Ok(());
        }
        if self.expires_ms.is_some_and(|end| now_ms > end) {
            return Err(AnchorError::Expired { trusted });
        }
        // Nobody signs twice in a certificate that was verified, and the set bounds its total.
        let known = certificate.signatures.iter().filter_map(|(address, _)| self.validators.get(address));
        let signed = known.fold(0, |sum: u64, v| sum.saturating_add(v.voting_power));
        let total = self.validators.total();
        if u128::from(signed) * 3 <= u128::from(total) {
            return Err(AnchorError::Power { signed, total, trusted, height });
        }
        Ok(())
    }
}
