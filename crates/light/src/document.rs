//! The document that proves something to a stranger: one line of JSON in one form only. Reading it writes it again
//! and compares, so every byte of it counts.

use dodona_consensus::{
    Address, BlockId, Certificate, Header, Height, Signature, ValidatorSet, block::MAX_CHAIN_ID_BYTES,
};
use dodona_store::{
    Proof as Path,
    proof::{LeafHashes, MAX_PATH},
};
use serde::{Deserialize, Serialize};

use crate::codec::{base64ed, base64ed_or_null, hexed, text};
use crate::inference::{Inference, epoch_key, newest_key, topic_key};

/// Name and version of the form.
pub const FORMAT: &str = "dodona-proof/1";
/// Largest document, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most blocks between what is trusted and the block of the claim.
pub const MAX_LINKS: usize = 32;
/// Largest validator set in a document.
pub const MAX_VALIDATORS: usize = 1_000;

/// What a proof is about. Whether the state holds it or not is what the proof shows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Claim {
    /// The newest inference of a topic; none if it has not answered yet.
    NewestInference {
        /// Topic.
        #[serde(with = "text")]
        topic: u64,
    },
    /// The inference of one epoch; none if it has none, or not any more.
    Inference {
        /// Topic.
        #[serde(with = "text")]
        topic: u64,
        /// Epoch.
        #[serde(with = "text")]
        nonce: u64,
    },
    /// That there is no such topic.
    NoTopic {
        /// Topic.
        #[serde(with = "text")]
        topic: u64,
    },
}

impl Claim {
    /// The key of the state that decides it.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::NewestInference { topic } => newest_key(*topic),
            Self::Inference { topic, nonce } => epoch_key(*topic, *nonce),
            Self::NoTopic { topic } => topic_key(*topic),
        }
    }
}

/// A block's header, who decided it, and the set they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightBlock {
    /// What was decided.
    pub header: Header,
    /// The decision.
    pub certificate: Certificate,
    /// Who decides at that height.
    pub validators: ValidatorSet,
}

impl LightBlock {
    /// Leaves out signatures that are not needed for more than two thirds of the power, those of the weakest first.
    pub fn pruned(mut self) -> Self {
        let mut signed = 0u128;
        let mut kept = Vec::new();
        for v in self.validators.validators() {
            if signed * 3 > u128::from(self.validators.total()) * 2 {
                break;
            }
            let found = self.certificate.signatures.iter().find(|(address, _)| *address == v.address);
            if let Some(signature) = found {
                signed += u128::from(v.voting_power);
                kept.push(*signature);
            }
        }
        kept.sort();
        self.certificate.signatures = kept;
        self
    }

    /// Power of another set's members that signed this block.
    pub fn power_of(&self, other: &ValidatorSet) -> u64 {
        let signed = self.certificate.signatures.iter();
        // The set bounds its total, and nobody signs twice in a certificate that was verified.
        signed
            .filter_map(|(address, _)| other.get(address))
            .fold(0, |sum, v| sum.saturating_add(v.voting_power))
    }
}

/// A claim with everything that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What it is about.
    pub claim: Claim,
    /// Blocks that lead from an older trust to the block, ascending; at most [`MAX_LINKS`].
    pub links: Vec<LightBlock>,
    /// The block whose state is spoken of.
    pub block: LightBlock,
    /// The value under the claim's key, if there is one.
    pub value: Option<Vec<u8>>,
    /// Path from the key to the block's state root.
    pub path: Path,
}

/// Why bytes are no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// More than [`MAX_BYTES`].
    #[error("the document has {0} bytes, the limit is {MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON of this shape.
    #[error("the document is not readable: {0}")]
    Json(String),
    /// Another form or version.
    #[error("the document's form is `{0}`, this verifier reads `{FORMAT}`")]
    Format(String),
    /// A part has a value it may not have.
    #[error("the document's {part}: {cause}")]
    Part {
        /// Which.
        part: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The same content, written in another way.
    #[error("the document is not written in its one form (one line, no spaces, one new line at its end)")]
    NotCanonical,
}

fn wrong(part: &'static str, cause: impl ToString) -> FormatError {
    FormatError::Part { part, cause: cause.to_string() }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    claim: Claim,
    links: Vec<WireBlock>,
    block: WireBlock,
    state: WireState,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireBlock {
    header: WireHeader,
    round: u32,
    #[serde(with = "hexed")]
    signers: Vec<u8>,
    #[serde(with = "base64ed")]
    signatures: Vec<u8>,
    #[serde(with = "base64ed")]
    validators: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHeader {
    chain_id: String,
    #[serde(with = "text")]
    height: u64,
    #[serde(with = "text")]
    time_ms: u64,
    #[serde(with = "hexed")]
    proposer: [u8; 20],
    #[serde(with = "hexed")]
    parent: [u8; 32],
    #[serde(with = "hexed")]
    body_root: [u8; 32],
    #[serde(with = "hexed")]
    app_hash: [u8; 32],
    #[serde(with = "hexed")]
    receipts_hash: [u8; 32],
    #[serde(with = "hexed")]
    validators_hash: [u8; 32],
    #[serde(with = "hexed")]
    next_validators_hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireState {
    #[serde(with = "hexed")]
    key: Vec<u8>,
    #[serde(with = "base64ed_or_null")]
    value: Option<Vec<u8>>,
    #[serde(with = "base64ed")]
    siblings: Vec<u8>,
    other: Option<WireLeaf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLeaf {
    #[serde(with = "hexed")]
    key_hash: [u8; 32],
    #[serde(with = "hexed")]
    value_hash: [u8; 32],
}

fn block_to_wire(block: &LightBlock) -> WireBlock {
    let h = &block.header;
    let header = WireHeader {
        chain_id: h.chain_id.clone(),
        height: h.height.0,
        time_ms: h.time_ms,
        proposer: h.proposer.0,
        parent: h.parent.0,
        body_root: h.body_root,
        app_hash: h.app_hash,
        receipts_hash: h.receipts_hash,
        validators_hash: h.validators_hash,
        next_validators_hash: h.next_validators_hash,
    };
    let members = block.validators.validators();
    let mut signers = vec![0u8; members.len().div_ceil(8)];
    let mut signatures = Vec::new();
    for (i, v) in members.iter().enumerate() {
        if let Some((_, signature)) = block.certificate.signatures.iter().find(|(a, _)| *a == v.address) {
            signers[i / 8] |= 1 << (i % 8);
            signatures.extend_from_slice(&signature.0);
        }
    }
    let validators = borsh::to_vec(&block.validators).expect("writing to memory does not fail");
    WireBlock { header, round: block.certificate.round, signers, signatures, validators }
}

fn block_of_wire(wire: WireBlock) -> Result<LightBlock, FormatError> {
    let h = wire.header;
    if h.chain_id.len() > MAX_CHAIN_ID_BYTES {
        return Err(wrong("chain id", format!("is longer than {MAX_CHAIN_ID_BYTES} bytes")));
    }
    if wire.validators.len() > 4 + 40 * MAX_VALIDATORS {
        return Err(wrong("validators", format!("are more than {MAX_VALIDATORS}")));
    }
    let validators: ValidatorSet = borsh::from_slice(&wire.validators).map_err(|e| wrong("validators", e))?;
    let header = Header {
        chain_id: h.chain_id,
        height: Height(h.height),
        time_ms: h.time_ms,
        proposer: Address(h.proposer),
        parent: BlockId(h.parent),
        body_root: h.body_root,
        app_hash: h.app_hash,
        receipts_hash: h.receipts_hash,
        validators_hash: h.validators_hash,
        next_validators_hash: h.next_validators_hash,
    };
    let members = validators.validators();
    if wire.signers.len() != members.len().div_ceil(8) {
        return Err(wrong("signers", "need one bit for each validator"));
    }
    let signed = |i: &usize| wire.signers[i / 8] >> (i % 8) & 1 == 1;
    if (members.len()..8 * wire.signers.len()).any(|i| signed(&i)) {
        return Err(wrong("signers", "name more validators than there are"));
    }
    let places: Vec<usize> = (0..members.len()).filter(signed).collect();
    let (chunks, []) = wire.signatures.as_chunks::<64>() else {
        return Err(wrong("signatures", "need 64 bytes each"));
    };
    if chunks.len() != places.len() {
        return Err(wrong("signatures", "need one for each signer"));
    }
    let mut signatures: Vec<_> =
        places.iter().zip(chunks).map(|(i, bytes)| (members[*i].address, Signature(*bytes))).collect();
    signatures.sort();
    let certificate =
        Certificate { height: header.height, round: wire.round, block_id: header.id(), signatures };
    Ok(LightBlock { header, certificate, validators })
}

impl Proof {
    /// The document: one line of JSON, ended by a new line.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            format: FORMAT.into(),
            claim: self.claim,
            links: self.links.iter().map(block_to_wire).collect(),
            block: block_to_wire(&self.block),
            state: WireState {
                key: self.claim.key(),
                value: self.value.clone(),
                siblings: self.path.siblings.concat(),
                other: self
                    .path
                    .other
                    .map(|leaf| WireLeaf { key_hash: leaf.key_hash, value_hash: leaf.value_hash }),
            },
        };
        serde_json::to_string(&wire).expect("text and numbers always have a JSON form") + "\n"
    }

    /// The inference in it, if it is of one; not verified.
    pub fn inference(&self) -> Option<Inference> {
        self.value.as_deref().and_then(Inference::decode)
    }

    /// Reads a document. Nothing of it is verified yet, except that it is written in its one form.
    ///
    /// # Errors
    /// See [`FormatError`]; never panics, and never takes much more room than the document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
        }
        if bytes.len() > MAX_BYTES {
            return Err(FormatError::TooLarge(bytes.len()));
        }
        let json = |e: serde_json::Error| FormatError::Json(e.to_string());
        let Form { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(FormatError::Format(format));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(json)?;
        if wire.links.len() > MAX_LINKS {
            return Err(wrong("links", format!("are more than {MAX_LINKS}")));
        }
        if wire.state.key != wire.claim.key() {
            return Err(wrong("state", "is about another key than the claim"));
        }
        let heights: Vec<u64> = wire.links.iter().chain([&wire.block]).map(|b| b.header.height).collect();
        if !heights.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(wrong("links", "need ascending heights, all below the block's"));
        }
        let (siblings, []) = wire.state.siblings.as_chunks::<32>() else {
            return Err(wrong("siblings", "need 32 bytes each"));
        };
        if siblings.len() > MAX_PATH {
            return Err(wrong("siblings", format!("are more than {MAX_PATH}")));
        }
        let path = Path {
            siblings: siblings.to_vec(),
            other: wire
                .state
                .other
                .map(|leaf| LeafHashes { key_hash: leaf.key_hash, value_hash: leaf.value_hash }),
        };
        let proof = Proof {
            claim: wire.claim,
            links: wire.links.into_iter().map(block_of_wire).collect::<Result<_, _>>()?,
            block: block_of_wire(wire.block)?,
            value: wire.state.value,
            path,
        };
        // One form only: no spaces, no other order, no second spelling of anything.
        if proof.to_json().as_bytes() == bytes { Ok(proof) } else { Err(FormatError::NotCanonical) }
    }
}
