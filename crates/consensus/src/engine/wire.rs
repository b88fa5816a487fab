//! Bytes on the network and in the engine's log: borsh, with mirrors for the three types
//! that come without it. Decoding never trusts a length.

use std::io;

use app_channel::app::types::streaming::StreamMessage;
use app_channel::app::types::sync::RawDecidedValue;
use arc_malachitebft_app_channel as app_channel;
use arc_malachitebft_codec::{Codec, HasEncodedLen};
use arc_malachitebft_core_consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
use arc_malachitebft_core_types as core_types;
use arc_malachitebft_sync::{Request, Response, Status, ValueResponse};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use core_types::{
    ExtendedCommitCertificate, ExtendedCommitSignature, PolkaCertificate, Round, SignedExtension, SignedVote,
    ValidatorProof,
};

use super::guard::Guarded;
use crate::signing::Signature;
use crate::types::{Address, BlockId, Ctx, Height, Part};

/// Codec of everything the engine sends or logs.
#[derive(Clone, Default)]
pub(super) struct Wire {
    /// Who knows what was said before in the place of what may not be signed; none for what does not leave the node.
    pub(super) voice: Option<Guarded>,
}

impl Wire {
    /// The vote that is sent in the place of one without a signature.
    fn instead(&self, vote: &SignedVote<Ctx>) -> io::Result<SignedVote<Ctx>> {
        self.voice.as_ref().and_then(|voice| voice.spoken(vote.clone())).ok_or_else(unsent)
    }
}

macro_rules! plain {
    ($($t:ty),* $(,)?) => {$(
        impl Codec<$t> for Wire {
            type Error = io::Error;

            fn decode(&self, bytes: Bytes) -> io::Result<$t> {
                borsh::from_slice(&bytes)
            }

            fn encode(&self, message: &$t) -> io::Result<Bytes> {
                borsh::to_vec(message).map(Bytes::from)
            }
        }
    )*};
}

plain!(Part, StreamMessage<Part>, ProposedValue<Ctx>, PolkaCertificate<Ctx>, Status<Ctx>, Request<Ctx>,);

/// What this node's signer has refused to sign: nobody else shall see it.
fn unsent() -> io::Error {
    io::Error::other("not signed, so not sent")
}

impl Codec<SignedConsensusMsg<Ctx>> for Wire {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<SignedConsensusMsg<Ctx>> {
        borsh::from_slice(&bytes)
    }

    fn encode(&self, message: &SignedConsensusMsg<Ctx>) -> io::Result<Bytes> {
        let bytes = match message {
            SignedConsensusMsg::Vote(vote) if vote.signature == Signature::NONE => {
                borsh::to_vec(&SignedConsensusMsg::Vote(self.instead(vote)?))
            }
            SignedConsensusMsg::Proposal(proposal) if proposal.signature == Signature::NONE => Err(unsent()),
            signed => borsh::to_vec(signed),
        };
        bytes.map(Bytes::from)
    }
}

impl Codec<LivenessMsg<Ctx>> for Wire {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<LivenessMsg<Ctx>> {
        borsh::from_slice(&bytes)
    }

    fn encode(&self, message: &LivenessMsg<Ctx>) -> io::Result<Bytes> {
        let bytes = match message {
            LivenessMsg::Vote(vote) if vote.signature == Signature::NONE => {
                borsh::to_vec(&LivenessMsg::Vote(self.instead(vote)?))
            }
            signed => borsh::to_vec(signed),
        };
        bytes.map(Bytes::from)
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct ExtendedMirror {
    height: Height,
    round: Round,
    value_id: BlockId,
    signatures: Vec<(Address, Signature, Option<SignedExtension<Ctx>>)>,
}

impl From<&ExtendedCommitCertificate<Ctx>> for ExtendedMirror {
    fn from(c: &ExtendedCommitCertificate<Ctx>) -> Self {
        let signatures =
            c.commit_signatures.iter().map(|s| (s.address, s.signature, s.extension.clone())).collect();
        ExtendedMirror { height: c.height, round: c.round, value_id: c.value_id, signatures }
    }
}

impl From<ExtendedMirror> for ExtendedCommitCertificate<Ctx> {
    fn from(c: ExtendedMirror) -> Self {
        let commit_signatures =
            c.signatures.into_iter().map(|(a, s, e)| ExtendedCommitSignature::new(a, s, e)).collect();
        ExtendedCommitCertificate {
            height: c.height,
            round: c.round,
            value_id: c.value_id,
            commit_signatures,
        }
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct ValuesMirror {
    start: Height,
    values: Vec<(Vec<u8>, ExtendedMirror)>,
}

impl Codec<Response<Ctx>> for Wire {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<Response<Ctx>> {
        let mirror: ValuesMirror = borsh::from_slice(&bytes)?;
        let values =
            mirror.values.into_iter().map(|(b, c)| RawDecidedValue::new(b.into(), c.into())).collect();
        Ok(Response::ValueResponse(ValueResponse::new(mirror.start, values)))
    }

    fn encode(&self, message: &Response<Ctx>) -> io::Result<Bytes> {
        let Response::ValueResponse(r) = message;
        let values =
            r.values.iter().map(|v| (v.value_bytes.to_vec(), ExtendedMirror::from(&v.certificate))).collect();
        borsh::to_vec(&ValuesMirror { start: r.start_height, values }).map(Bytes::from)
    }
}

impl HasEncodedLen<Response<Ctx>> for Wire {
    fn encoded_len(&self, message: &Response<Ctx>) -> io::Result<usize> {
        let Response::ValueResponse(r) = message;
        let mut len = 8 + 4;
        for v in &r.values {
            len += 4 + v.value_bytes.len() + borsh::object_length(&ExtendedMirror::from(&v.certificate))?;
        }
        Ok(len)
    }
}

impl Codec<ValidatorProof<Ctx>> for Wire {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<ValidatorProof<Ctx>> {
        let (key, peer, signature): (Vec<u8>, Vec<u8>, Signature) = borsh::from_slice(&bytes)?;
        Ok(ValidatorProof::new(key, peer, signature))
    }

    fn encode(&self, message: &ValidatorProof<Ctx>) -> io::Result<Bytes> {
        borsh::to_vec(&(&message.public_key, &message.peer_id, &message.signature)).map(Bytes::from)
    }
}
