//! Proofs for strangers: the document of an inference, with the blocks that lead to it from an older trust, and the
//! document a verifier starts from. What they mean is `dodona-light`'s business.

use dodona_chain::{App, Genesis, QueryError, Signatures, topics::state::TOPICS};
use dodona_consensus::{PublicKey, Validator, ValidatorSet};
use dodona_light::{Claim, LightBlock, MAX_LINKS, Proof, Trust, Trusted};
use dodona_proto::{
    chain::{QueryTrustRequest, QueryTrustResponse},
    topics::{QueryProofRequest, QueryProofResponse},
};
use dodona_store::{Config, Store};
use prost::Message;

use crate::NodeHandle;

/// Most blocks looked at for one answer.
const MAX_LOOKS: usize = 64;

/// Answers [`dodona_proto::path::PROOF`]; the state after block `at` where the question names no height.
pub(crate) fn proof(node: &NodeHandle, request: &[u8], at: u64) -> Result<Vec<u8>, QueryError> {
    let q = QueryProofRequest::decode(request).map_err(|e| QueryError::Bad(e.to_string()))?;
    let height = height(node, if q.height == 0 { at } else { q.height })?;
    // For its words about heights that are not kept.
    let state = node.app().state_at(height)?;
    let claim = match (TOPICS.contains(&state, &q.topic_id)?, q.nonce) {
        (false, _) => Claim::NoTopic { topic: q.topic_id },
        (true, 0) => Claim::NewestInference { topic: q.topic_id },
        (true, nonce) => Claim::Inference { topic: q.topic_id, nonce },
    };
    drop(state);
    let proven = node.app().store().prove(height, &claim.key())?;
    let block = light_block(node, height)?;
    let (links, block) = match q.has_trusted_height.then_some(q.trusted_height) {
        Some(trusted) if trusted < height => {
            lead(&trust_at(node, trusted)?, block, |height| light_block(node, height))?
        }
        _ => (Vec::new(), block.pruned()),
    };
    let document = Proof { claim, links, block, value: proven.value, path: proven.proof }.to_json();
    Ok(QueryProofResponse { document }.encode_to_vec())
}

/// Answers [`dodona_proto::path::TRUST`].
pub(crate) fn trust(node: &NodeHandle, request: &[u8], at: u64) -> Result<Vec<u8>, QueryError> {
    let q = QueryTrustRequest::decode(request).map_err(|e| QueryError::Bad(e.to_string()))?;
    let height = height(node, if q.height == 0 { at } else { q.height })?;
    let document = trust_at(node, height)?.to_json();
    Ok(QueryTrustResponse { document }.encode_to_vec())
}

/// The height that is meant; 0 is the newest.
fn height(node: &NodeHandle, wanted: u64) -> Result<u64, QueryError> {
    let newest = node.app().tip().map_err(QueryError::from)?.height;
    match wanted {
        _ if newest == 0 => {
            Err(QueryError::NotFound("a block: the chain has none yet; try again in a moment".into()))
        }
        0 => Ok(newest),
        height if height > newest => {
            Err(QueryError::Bad(format!("height {height} is in the future: the newest block is {newest}")))
        }
        height => Ok(height),
    }
}

/// Trust in a committed block, or in genesis (0).
fn trust_at(node: &NodeHandle, height: u64) -> Result<Trust, QueryError> {
    let next = set(node, height + 1)?;
    let unbonding = node.app().params()?.unbonding_time_ms;
    if height == 0 {
        let genesis = &node.identity().genesis;
        return Ok(Trust::genesis(genesis.chain_id.clone(), genesis.time_ms, unbonding, next));
    }
    let header = light_block(node, height)?.header;
    Trust::block(&header, unbonding, next).map_err(|e| QueryError::Internal(e.to_string()))
}

/// A block with its whole certificate and its set.
fn light_block(node: &NodeHandle, height: u64) -> Result<LightBlock, QueryError> {
    let kept = node.kept_block(height)?;
    let kept = kept.ok_or_else(|| QueryError::NotFound(format!("block {height}: it is not kept here")))?;
    let validators = set(node, height)?;
    let header = kept.block.header;
    if validators.hash() != header.validators_hash {
        return Err(QueryError::Internal(format!("the validators of block {height} are not those it names")));
    }
    Ok(LightBlock { header, certificate: kept.certificate, validators })
}

/// What a verifier starts from if it believes a genesis file.
///
/// # Errors
/// Those of making the first state, and of a set that cannot decide anything.
pub fn genesis_trust(genesis: &Genesis) -> Result<Trust, QueryError> {
    let app = App::open(Store::memory(Config::default()), genesis, Signatures::Check)?;
    let first = to_set(0, app.validators()?)?;
    let unbonding = genesis.params.unbonding_time_ms;
    Ok(Trust::genesis(genesis.chain_id.clone(), genesis.time_ms, unbonding, first))
}

/// Who decides at a height.
fn set(node: &NodeHandle, height: u64) -> Result<ValidatorSet, QueryError> {
    let known = node.app().validators_of(height).map_err(QueryError::from)?;
    let known = known.ok_or_else(|| {
        QueryError::NotFound(format!("validators of block {height}: they are kept for the unbonding time"))
    })?;
    to_set(height, known)
}

fn to_set(height: u64, known: Vec<dodona_chain::Validator>) -> Result<ValidatorSet, QueryError> {
    let wrong =
        |e: &dyn std::fmt::Display| QueryError::Internal(format!("validators of block {height}: {e}"));
    let mut members = Vec::with_capacity(known.len());
    for v in known {
        let key = PublicKey::from_bytes(&v.public_key).map_err(|e| wrong(&e))?;
        members.push(Validator::new(key, v.power));
    }
    ValidatorSet::new(members).map_err(|e| wrong(&e))
}

/// As few blocks as bisection finds from what is trusted to a block, and the block with the signatures that are
/// needed. `fetch` gives the whole block of a height.
///
/// # Errors
/// When the sets changed too often for one answer, the block does not follow, or a block is not to be had.
pub fn lead(
    trust: &Trust,
    block: LightBlock,
    mut fetch: impl FnMut(u64) -> Result<LightBlock, QueryError>,
) -> Result<(Vec<LightBlock>, LightBlock), QueryError> {
    let trusted = trust.height;
    let mut believed = Trusted::from(trust);
    let mut links = Vec::new();
    // Those still to be reached, the next one last: each could not be reached directly.
    let mut ahead = vec![block];
    for _ in 0..MAX_LOOKS {
        let Some(next) = ahead.last() else { break };
        let (height, pruned) = (next.header.height.0, next.clone().pruned());
        // More signatures than the block's own set needs may be what convinces an older one.
        let fitting = [pruned, next.clone()].into_iter().find(|block| believed.follow(block).is_ok());
        if let Some(block) = fitting {
            ahead.pop();
            if ahead.is_empty() {
                return Ok((links, block));
            }
            links.push(block);
            if links.len() > MAX_LINKS {
                break;
            }
            continue;
        }
        let middle = believed.height.0.midpoint(height);
        if middle == believed.height.0 {
            return Err(QueryError::Internal(format!("block {height} does not follow the one before")));
        }
        ahead.push(fetch(middle)?);
    }
    Err(QueryError::Bad(format!(
        "the validators changed too often since height {trusted}: export a newer trust with `dodona trust export`"
    )))
}
