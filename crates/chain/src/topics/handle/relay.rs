//! Somebody else's signed word, brought by whoever pays for it. The signature is over the bytes as they came, never
//! over a second encoding of what they mean.

use dodona_proto::{
    Address,
    topics::{MsgOpenPayload, MsgRelay, MsgReportLosses, MsgReportTruth, MsgSealPayload, MsgSubmitPayload},
    url,
};
use prost::Message;

use super::{TopicError, payload, report, seal};
use crate::{ctx::Ctx, error::Failure, gas, text::printable};

/// What a relayed message's author signs: a name for the purpose, the chain, the type, and the bytes themselves.
pub fn relay_bytes(chain_id: &str, type_url: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = b"dodona relay\0".to_vec();
    // Lengths keep the fields apart.
    for field in [chain_id.as_bytes(), type_url.as_bytes(), message] {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// `MsgRelay`: the author is bound by its signature, the sender pays.
pub(crate) fn relay(ctx: &mut Ctx, payer: Address, m: &MsgRelay) -> Result<(), Failure> {
    ctx.gas.charge(gas::SIGNATURE, "relayed signature")?;
    let key: &[u8; 33] = m
        .public_key
        .as_slice()
        .try_into()
        .map_err(|_| TopicError::Relay("public key needs 33 bytes".into()))?;
    let author = Address::of_key(key);
    let signed = relay_bytes(ctx.chain_id, &m.type_url, &m.message);
    ctx.check_word(&m.public_key, &signed, &m.signature)
        .map_err(|cause| TopicError::Relay(format!("signature of {author}: {cause}")))?;
    match m.type_url.as_str() {
        url::SUBMIT => {
            payload::submit(ctx, payer, author, &word(m, author, |m: &MsgSubmitPayload| &m.sender)?)
        }
        url::SEAL => seal::seal(ctx, payer, author, &word(m, author, |m: &MsgSealPayload| &m.sender)?),
        url::OPEN => seal::open(ctx, payer, author, &word(m, author, |m: &MsgOpenPayload| &m.sender)?),
        url::REPORT_TRUTH => {
            report::truth(ctx, payer, author, &word(m, author, |m: &MsgReportTruth| &m.sender)?)
        }
        url::REPORT_LOSSES => {
            report::losses(ctx, payer, author, &word(m, author, |m: &MsgReportLosses| &m.sender)?)
        }
        other => Err(TopicError::Relay(format!("`{}` cannot be relayed", printable(other))).into()),
    }
}

/// The carried message, whose own sender is its author.
fn word<M: Message + Default>(
    m: &MsgRelay,
    author: Address,
    sender: impl Fn(&M) -> &str,
) -> Result<M, TopicError> {
    let inner =
        M::decode(m.message.as_slice()).map_err(|e| TopicError::Relay(format!("does not decode: {e}")))?;
    if sender(&inner) != author.to_string() {
        let sender = printable(sender(&inner));
        return Err(TopicError::Relay(format!("its sender is {sender}, signed by {author}")));
    }
    Ok(inner)
}
