//! Blocks: header, body, evidence, their one encoding and its limits.
//! The header names the state after the block and the next validators, so that one
//! certificate proves both to somebody who holds nothing but a validator set.

use arc_malachitebft_core_types::{SignedProposal, SignedVote};
use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::certificate::{Certificate, MAX_SIGNATURES};
use crate::signing::{Domain, PublicKey};
use crate::types::{Address, BlockId, Ctx, Hash32, Height, sha256};

/// Largest encoded block, in bytes.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;
/// Longest chain id, in bytes.
pub const MAX_CHAIN_ID_BYTES: usize = 50;
/// Most transactions in one block.
pub const MAX_TXS: usize = 20_000;
/// Most pieces of evidence in one block.
pub const MAX_EVIDENCE: usize = 64;

/// Why bytes are no block, or a block may not be sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum BlockError {
    /// More than [`MAX_BLOCK_BYTES`].
    #[error("the block has {0} bytes, the limit is {MAX_BLOCK_BYTES}")]
    TooLarge(usize),
    /// Not the encoding of a block, or bytes left over behind it.
    #[error("the bytes are not exactly one encoded block")]
    Malformed,
    /// The chain id is longer than [`MAX_CHAIN_ID_BYTES`].
    #[error("the chain id has {0} bytes, the limit is {MAX_CHAIN_ID_BYTES}")]
    ChainId(usize),
    /// More than [`MAX_TXS`].
    #[error("the block has {0} transactions, the limit is {MAX_TXS}")]
    Txs(usize),
    /// More than [`MAX_EVIDENCE`].
    #[error("the block has {0} pieces of evidence, the limit is {MAX_EVIDENCE}")]
    Evidence(usize),
    /// The certificate of the block before has more than [`MAX_SIGNATURES`].
    #[error("the certificate in the block has {0} signatures, the limit is {MAX_SIGNATURES}")]
    Signatures(usize),
}

/// What is voted on: everything a light client needs, and commitments to the rest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The chain, at most [`MAX_CHAIN_ID_BYTES`].
    pub chain_id: String,
    /// Number of the block, from 1.
    pub height: Height,
    /// Milliseconds since 1970, UTC, by the proposer's clock; strictly increasing.
    pub time_ms: u64,
    /// Author of the block.
    pub proposer: Address,
    /// The block before; zeros for the first.
    pub parent: BlockId,
    /// [`Body::root`] of the body.
    pub body_root: Hash32,
    /// State root after this block.
    pub app_hash: Hash32,
    /// Commitment to the results of the transactions.
    pub receipts_hash: Hash32,
    /// Hash of the set that decides this block.
    pub validators_hash: Hash32,
    /// Hash of the set that decides the next one.
    pub next_validators_hash: Hash32,
}

impl Header {
    /// The name of the block: hash of its header.
    pub fn id(&self) -> BlockId {
        let bytes = borsh::to_vec(self).expect("writing to memory does not fail");
        BlockId(sha256(&[b"header", &bytes]))
    }
}

/// What is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Body {
    /// Opaque transactions, in order of execution; at most [`MAX_TXS`].
    pub txs: Vec<Vec<u8>>,
    /// Misbehaviour to be punished; at most [`MAX_EVIDENCE`].
    pub evidence: Vec<Evidence>,
    /// Who decided the block before: its certificate, as its proposer has it. None in the first block.
    pub last_commit: Option<Certificate>,
}

impl Body {
    /// What the header commits to.
    pub fn root(&self) -> Hash32 {
        let bytes = borsh::to_vec(self).expect("writing to memory does not fail");
        sha256(&[b"body", &bytes])
    }
}

/// A header with its body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// What is voted on.
    pub header: Header,
    /// What is executed.
    pub body: Body,
}

impl Block {
    /// [`Header::id`].
    pub fn id(&self) -> BlockId {
        self.header.id()
    }

    /// The one encoding of the block.
    ///
    /// # Errors
    /// When a limit is passed; see [`BlockError`].
    pub fn encode(&self) -> Result<Vec<u8>, BlockError> {
        self.check_limits()?;
        let bytes = borsh::to_vec(self).expect("writing to memory does not fail");
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a block that must fill `bytes` exactly.
    ///
    /// # Errors
    /// See [`BlockError`]; never panics, and never allocates much more than the bytes given.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge(bytes.len()));
        }
        let block: Block = borsh::from_slice(bytes).map_err(|_| BlockError::Malformed)?;
        block.check_limits()?;
        Ok(block)
    }

    fn check_limits(&self) -> Result<(), BlockError> {
        if self.header.chain_id.len() > MAX_CHAIN_ID_BYTES {
            return Err(BlockError::ChainId(self.header.chain_id.len()));
        }
        if self.body.txs.len() > MAX_TXS {
            return Err(BlockError::Txs(self.body.txs.len()));
        }
        if self.body.evidence.len() > MAX_EVIDENCE {
            return Err(BlockError::Evidence(self.body.evidence.len()));
        }
        let signatures = self.body.last_commit.as_ref().map_or(0, |c| c.signatures.len());
        if signatures > MAX_SIGNATURES {
            return Err(BlockError::Signatures(signatures));
        }
        Ok(())
    }
}

/// Two signed messages of one validator that exclude one another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two votes of one kind in one round.
    DoubleVote(SignedVote<Ctx>, SignedVote<Ctx>),
    /// Two proposals in one round.
    DoubleProposal(SignedProposal<Ctx>, SignedProposal<Ctx>),
}

impl Evidence {
    /// Who did it.
    pub fn offender(&self) -> Address {
        match self {
            Evidence::DoubleVote(a, _) => a.voter,
            Evidence::DoubleProposal(a, _) => a.proposer,
        }
    }

    /// The height at which it was done.
    pub fn height(&self) -> Height {
        match self {
            Evidence::DoubleVote(a, _) => a.height,
            Evidence::DoubleProposal(a, _) => a.height,
        }
    }

    /// Whether the two messages exclude one another and are both genuine.
    /// `key` is the offender's in the validator set of [`Evidence::height`].
    pub fn is_valid(&self, domain: &Domain, key: &PublicKey) -> bool {
        if self.offender() != Address::of(key) {
            return false;
        }
        match self {
            Evidence::DoubleVote(a, b) => {
                // Extensions are outside the signature: they could be swapped at will.
                let bare = a.extension.is_none() && b.extension.is_none();
                bare && (a.kind, a.height, a.round, a.voter) == (b.kind, b.height, b.round, b.voter)
                    && a.value != b.value
                    && domain.check(&domain.vote(a), &a.signature, key)
                    && domain.check(&domain.vote(b), &b.signature, key)
            }
            Evidence::DoubleProposal(a, b) => {
                (a.height, a.round, a.proposer) == (b.height, b.round, b.proposer)
                    && a.value != b.value
                    && domain.check(&domain.proposal(a), &a.signature, key)
                    && domain.check(&domain.proposal(b), &b.signature, key)
            }
        }
    }
}
