//! Our blocks in the form of CometBFT. Hashes that ours do not have stay empty, and so do the times of votes; a block
//! is one part.

use dodona_consensus::{Block, Certificate};
use dodona_proto::{
    Address, Prefix, cosmos::base::tendermint::v1beta1 as tm, tendermint::types as comet,
    tendermint::version::Consensus,
};
use prost_types::Timestamp;

use crate::{NodeHandle, api::Status};

/// A block with the certificate of the one before it.
pub(super) struct Decided {
    block: Block,
    last: Option<Certificate>,
}

/// The block of a height; 0 is the newest.
pub(super) fn block(node: &NodeHandle, height: i64) -> Result<Decided, Status> {
    let head = node.head().height;
    let height = u64::try_from(height).map_err(|_| Status::invalid("a height is not negative"))?;
    if height > head {
        let what = format!("requested block height {height} is bigger than the chain length {head}");
        return Err(Status::invalid(what));
    }
    let height = if height == 0 { head } else { height };
    let found = node.kept_block(height)?;
    let block = found.map(|kept| kept.block).ok_or_else(|| Status::not_found(node.no_block(height)))?;
    let last = match height {
        0 | 1 => None,
        _ => node.kept_block(height - 1)?.map(|kept| kept.certificate),
    };
    Ok(Decided { block, last })
}

pub(super) fn time(ms: u64) -> Timestamp {
    Timestamp { seconds: (ms / 1_000) as i64, nanos: (ms % 1_000 * 1_000_000) as i32 }
}

fn block_id(hash: &[u8]) -> comet::BlockId {
    let part_set_header = Some(comet::PartSetHeader { total: 1, hash: hash.to_vec() });
    comet::BlockId { hash: hash.to_vec(), part_set_header }
}

/// Which rules our blocks follow, in the numbers clients expect.
fn version() -> Option<Consensus> {
    Some(Consensus { block: 11, app: 1 })
}

impl Decided {
    pub fn id(&self) -> Option<comet::BlockId> {
        Some(block_id(&self.block.id().0))
    }

    pub fn txs(&self) -> &[Vec<u8>] {
        &self.block.body.txs
    }

    fn header(&self) -> comet::Header {
        let header = &self.block.header;
        comet::Header {
            version: version(),
            chain_id: header.chain_id.clone(),
            height: header.height.0 as i64,
            time: Some(time(header.time_ms)),
            last_block_id: Some(block_id(&header.parent.0)),
            last_commit_hash: Vec::new(),
            data_hash: header.body_root.to_vec(),
            validators_hash: header.validators_hash.to_vec(),
            next_validators_hash: header.next_validators_hash.to_vec(),
            consensus_hash: Vec::new(),
            app_hash: header.app_hash.to_vec(),
            last_results_hash: Vec::new(),
            evidence_hash: Vec::new(),
            proposer_address: header.proposer.0.to_vec(),
        }
    }

    fn last_commit(&self) -> comet::Commit {
        let Some(last) = &self.last else {
            return comet::Commit { block_id: Some(block_id(&[])), ..Default::default() };
        };
        let vote = |(voter, signature): &(dodona_consensus::Address, dodona_consensus::Signature)| {
            comet::CommitSig {
                block_id_flag: comet::BlockIdFlag::Commit.into(),
                validator_address: voter.0.to_vec(),
                timestamp: None,
                signature: signature.0.to_vec(),
            }
        };
        comet::Commit {
            height: last.height.0 as i64,
            round: last.round as i32,
            block_id: Some(block_id(&last.block_id.0)),
            signatures: last.signatures.iter().map(vote).collect(),
        }
    }

    /// The form in which the proposer is bytes.
    pub fn comet(&self) -> comet::Block {
        comet::Block {
            header: Some(self.header()),
            data: Some(comet::Data { txs: self.txs().to_vec() }),
            evidence: Some(comet::EvidenceList::default()),
            last_commit: Some(self.last_commit()),
        }
    }

    /// The form in which the proposer is text.
    pub fn sdk(&self) -> tm::Block {
        let h = self.header();
        let header = tm::Header {
            version: h.version,
            chain_id: h.chain_id,
            height: h.height,
            time: h.time,
            last_block_id: h.last_block_id,
            last_commit_hash: h.last_commit_hash,
            data_hash: h.data_hash,
            validators_hash: h.validators_hash,
            next_validators_hash: h.next_validators_hash,
            consensus_hash: h.consensus_hash,
            app_hash: h.app_hash,
            last_results_hash: h.last_results_hash,
            evidence_hash: h.evidence_hash,
            proposer_address: Address(self.block.header.proposer.0).written(Prefix::Consensus),
        };
        tm::Block {
            header: Some(header),
            data: Some(comet::Data { txs: self.txs().to_vec() }),
            evidence: Some(comet::EvidenceList::default()),
            last_commit: Some(self.last_commit()),
        }
    }
}
