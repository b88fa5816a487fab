//! Ed25519 signatures. Every signed message names its purpose and the chain, and
//! verification is strict, so that a signature fits exactly one message and one key.

use std::io;

use arc_malachitebft_core_types as core_types;
use arc_malachitebft_signing as provider;
use async_trait::async_trait;
use borsh::{BorshDeserialize, BorshSerialize};
use core_types::{
    SignedExtension, SignedProposal, SignedVote, SigningScheme, ValidatorProof, VoteExtensionScope,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use provider::{Error, Signer, VerificationResult, Verifier};
use thiserror::Error;

use crate::types::{Ctx, Extension, PartInit, Proposal, Vote};

/// The signature scheme of consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519;

/// Why bytes are no key or no signature.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A public key has 32 bytes, a signature 64.
    #[error("wrong length")]
    Length,
    /// The 32 bytes name no point of the curve, or one of low order.
    #[error("not a usable curve point")]
    Point,
}

/// 64 bytes, not verified against anything yet.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Stands where a signer has refused. Fits no message and no key, and never leaves the node.
    pub const NONE: Signature = Signature([0; 64]);
}

/// A decoded public key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub VerifyingKey);

impl PublicKey {
    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Decodes a key.
    ///
    /// # Errors
    /// [`KeyError::Point`] for bytes that are no point, or a point of low order (which would
    /// verify signatures nobody made).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
        if key.is_weak() { Err(KeyError::Point) } else { Ok(PublicKey(key)) }
    }
}

impl BorshSerialize for PublicKey {
    fn serialize<W: io::Write>(&self, w: &mut W) -> io::Result<()> {
        w.write_all(self.as_bytes())
    }
}

impl BorshDeserialize for PublicKey {
    fn deserialize_reader<R: io::Read>(r: &mut R) -> io::Result<Self> {
        let bytes = <[u8; 32]>::deserialize_reader(r)?;
        PublicKey::from_bytes(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}

impl SigningScheme for Ed25519 {
    type DecodingError = KeyError;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, KeyError> {
        bytes.try_into().map(Signature).map_err(|_| KeyError::Length)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        PublicKey::from_bytes(bytes.try_into().map_err(|_| KeyError::Length)?)
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.as_bytes().to_vec()
    }
}

/// What all signatures of one chain have in common. Holds no secret: nodes, light clients and
/// the state machine share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The chain the signatures are for.
    pub chain_id: String,
}

impl Domain {
    /// The domain of a chain.
    pub fn new(chain_id: &str) -> Self {
        Self { chain_id: chain_id.to_owned() }
    }

    fn bytes(&self, purpose: &str, body: &impl BorshSerialize) -> Vec<u8> {
        borsh::to_vec(&(purpose, &self.chain_id, body)).expect("writing to memory does not fail")
    }

    /// Message signed for a vote. The extension is left out: it is signed on its own.
    pub fn vote(&self, v: &Vote) -> Vec<u8> {
        self.bytes("vote", &(v.kind, v.height, v.round, v.value, v.voter))
    }

    /// Message signed for a proposal.
    pub fn proposal(&self, p: &Proposal) -> Vec<u8> {
        self.bytes("proposal", p)
    }

    /// Message signed for a vote extension.
    pub fn extension(&self, s: &VoteExtensionScope<Ctx>, e: &Extension) -> Vec<u8> {
        self.bytes("extension", &(s.height, s.round, s.value_id, s.validator_address, e))
    }

    /// Message signed for the first part of a block on the network.
    pub fn part_init(&self, p: &PartInit) -> Vec<u8> {
        self.bytes("part", &(p.height, p.round, p.proposer, p.id, p.total_len))
    }

    /// Strict verification of a signature.
    pub fn check(&self, message: &[u8], signature: &Signature, key: &PublicKey) -> bool {
        key.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }
}

#[async_trait]
impl Verifier<Ctx> for Domain {
    async fn verify_signed_vote(
        &self,
        v: &Vote,
        s: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.check(&self.vote(v), s, key)))
    }

    async fn verify_signed_proposal(
        &self,
        p: &Proposal,
        s: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.check(&self.proposal(p), s, key)))
    }

    async fn verify_signed_vote_extension(
        &self,
        scope: &VoteExtensionScope<Ctx>,
        e: &Extension,
        s: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.check(&self.extension(scope, e), s, key)))
    }

    async fn verify_validator_proof(&self, proof: &ValidatorProof<Ctx>) -> Result<VerificationResult, Error> {
        let valid = match proof.decoded_public_key() {
            Ok(key) => self.check(&proof.preimage(), &proof.signature, &key),
            Err(_) => false,
        };
        Ok(VerificationResult::from_bool(valid))
    }
}

/// What a validator key may be asked to sign. A signer sees what it signs, not bytes that could be anything.
#[derive(Copy, Clone, Debug)]
pub enum SignRequest<'a> {
    /// A vote. Two of one kind, height and round exclude one another.
    Vote(&'a Vote),
    /// A proposal. Two of one height and round exclude one another.
    Proposal(&'a Proposal),
    /// A vote extension.
    Extension(&'a VoteExtensionScope<Ctx>, &'a Extension),
    /// The opening of a block on the network.
    Part(&'a PartInit),
    /// That this validator is to be found behind a network key.
    Peer {
        /// The 32 bytes of the validator's public key.
        public_key: &'a [u8],
        /// The peer's id, as the network writes it.
        peer_id: &'a [u8],
    },
}

impl SignRequest<'_> {
    /// The bytes under the signature.
    pub fn message(&self, domain: &Domain) -> Vec<u8> {
        match self {
            SignRequest::Vote(v) => domain.vote(v),
            SignRequest::Proposal(p) => domain.proposal(p),
            SignRequest::Extension(s, e) => domain.extension(s, e),
            SignRequest::Part(p) => domain.part_init(p),
            SignRequest::Peer { public_key, peer_id } => {
                ValidatorProof::<Ctx>::signing_bytes(public_key, peer_id)
            }
        }
    }
}

/// Why there is no signature. The node stays silent then and goes on; a vote that is missing costs less than
/// one too many.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// Another message of this height, round and step, or a later one, has been signed before.
    #[error("{asked} is refused: this key has signed {signed} already")]
    Twice {
        /// What was to be signed.
        asked: String,
        /// The last that was.
        signed: String,
    },
    /// The signer does not answer, or could not write down what it is about to sign.
    #[error("the signer failed: {0}")]
    Failed(String),
}

/// Whoever holds the validator key: this process ([`SigningKey`]), or a device it speaks to. Calls may block;
/// a signer that takes longer than a round's timeout (half a second) makes its validator miss rounds.
///
/// A signer outside the process should keep the rule of [`SignError::Twice`] itself, as the file of this
/// node's guard is worth nothing to a second node that uses the same signer.
pub trait VoteSigner: Send + Sync + 'static {
    /// The public half of the key. Constant.
    fn public_key(&self) -> PublicKey;

    /// Signs [`SignRequest::message`].
    ///
    /// # Errors
    /// [`SignError`]: the caller goes on without the signature.
    fn sign_request(&self, domain: &Domain, request: &SignRequest<'_>) -> Result<Signature, SignError>;
}

impl VoteSigner for SigningKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.verifying_key())
    }

    fn sign_request(&self, domain: &Domain, request: &SignRequest<'_>) -> Result<Signature, SignError> {
        Ok(Signature(self.sign(&request.message(domain)).to_bytes()))
    }
}

/// A validator key in memory for one chain, without a guard: for tests and tools.
#[derive(Clone)]
pub struct KeySigner {
    /// The secret.
    pub key: SigningKey,
    /// The chain it signs for.
    pub domain: Domain,
}

impl KeySigner {
    /// The public half of the key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// Signs bytes that one of the methods of [`Domain`] has built.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }

    /// Signs a vote.
    pub fn vote(&self, v: Vote) -> SignedVote<Ctx> {
        let signature = self.sign(&self.domain.vote(&v));
        SignedVote::new(v, signature)
    }

    /// Signs a proposal.
    pub fn proposal(&self, p: Proposal) -> SignedProposal<Ctx> {
        let signature = self.sign(&self.domain.proposal(&p));
        SignedProposal::new(p, signature)
    }
}

#[async_trait]
impl Signer<Ctx> for KeySigner {
    async fn sign_vote(&self, v: Vote) -> Result<SignedVote<Ctx>, Error> {
        Ok(self.vote(v))
    }

    async fn sign_proposal(&self, p: Proposal) -> Result<SignedProposal<Ctx>, Error> {
        Ok(self.proposal(p))
    }

    async fn sign_vote_extension(
        &self,
        scope: VoteExtensionScope<Ctx>,
        e: Extension,
    ) -> Result<SignedExtension<Ctx>, Error> {
        let signature = self.sign(&self.domain.extension(&scope, &e));
        Ok(SignedExtension::new(e, signature))
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Ctx>, Error> {
        let signature = self.sign(&ValidatorProof::<Ctx>::signing_bytes(&public_key, &peer_id));
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}
