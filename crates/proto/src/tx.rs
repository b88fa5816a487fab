//! Transaction envelopes: building and signing one, taking one apart. The bytes that were signed are kept
//! verbatim, because re-encoding would lose unknown fields and with them the signature.

use prost::Message;
use prost_types::Any;
use sha2::{Digest, Sha256};

use crate::{
    Address, DENOM,
    cosmos::{
        base::v1beta1::Coin,
        crypto::secp256k1::PubKey,
        tx::{
            signing::v1beta1::SignMode,
            v1beta1::{AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw, mode_info},
        },
    },
    sign::AccountKey,
    url,
};

/// Identifies a transaction: SHA-256 of its bytes. Written in upper-case hex.
pub type TxHash = [u8; 32];

/// SHA-256 of the envelope's bytes.
pub fn hash(bytes: &[u8]) -> TxHash {
    Sha256::digest(bytes).into()
}

/// The bytes an account signs in mode DIRECT.
pub fn sign_bytes(body: &[u8], auth_info: &[u8], chain_id: &str, account_number: u64) -> Vec<u8> {
    SignDoc {
        body_bytes: body.to_vec(),
        auth_info_bytes: auth_info.to_vec(),
        chain_id: chain_id.to_string(),
        account_number,
    }
    .encode_to_vec()
}

/// Packs a message under its type URL.
pub fn pack(url: &str, message: &impl Message) -> Any {
    Any { type_url: url.to_string(), value: message.encode_to_vec() }
}

/// Who signs, for which chain, and what it may cost.
#[derive(Clone, Debug)]
pub struct Signing<'a> {
    /// Key of the one signer.
    pub key: &'a AccountKey,
    /// The chain the transaction is for.
    pub chain_id: &'a str,
    /// Number the chain gave the account.
    pub account_number: u64,
    /// How many transactions the account has sent.
    pub sequence: u64,
    /// Fee offered, in uallo.
    pub fee: u128,
    /// Upper bound of the work.
    pub gas_limit: u64,
}

impl Signing<'_> {
    /// A signed transaction, ready to be broadcast.
    pub fn build(&self, messages: Vec<Any>, timeout_height: u64) -> Vec<u8> {
        let body_bytes = TxBody { messages, timeout_height, ..TxBody::default() }.encode_to_vec();
        let auth_info_bytes = self.sender().auth_info().encode_to_vec();
        let doc = sign_bytes(&body_bytes, &auth_info_bytes, self.chain_id, self.account_number);
        let signatures = vec![self.key.sign(&doc).to_vec()];
        TxRaw { body_bytes, auth_info_bytes, signatures }.encode_to_vec()
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            public_key: self.key.public(),
            sequence: self.sequence,
            fee: self.fee,
            gas_limit: self.gas_limit,
        }
    }
}

/// What a transaction says about its sender.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    /// Compressed public key.
    pub public_key: &'a [u8; 33],
    /// How many transactions the account has sent.
    pub sequence: u64,
    /// Fee offered, in uallo.
    pub fee: u128,
    /// Upper bound of the work.
    pub gas_limit: u64,
}

impl Sender<'_> {
    /// A transaction with a blank where its signature belongs: for replays that check none, and for nothing else.
    pub fn unsigned(&self, messages: Vec<Any>) -> Vec<u8> {
        TxRaw {
            body_bytes: TxBody { messages, ..TxBody::default() }.encode_to_vec(),
            auth_info_bytes: self.auth_info().encode_to_vec(),
            signatures: vec![vec![0; 64]],
        }
        .encode_to_vec()
    }

    fn auth_info(&self) -> AuthInfo {
        let mode = mode_info::Single { mode: SignMode::Direct.into() };
        AuthInfo {
            signer_infos: vec![SignerInfo {
                public_key: Some(pack(url::SECP256K1, &PubKey { key: self.public_key.to_vec() })),
                mode_info: Some(ModeInfo { sum: Some(mode_info::Sum::Single(mode)) }),
                sequence: self.sequence,
            }],
            fee: Some(Fee {
                amount: vec![Coin { denom: DENOM.to_string(), amount: self.fee.to_string() }],
                gas_limit: self.gas_limit,
                ..Fee::default()
            }),
            ..AuthInfo::default()
        }
    }
}

/// A transfer of `amount` uallo.
pub fn send(from: Address, to: Address, amount: u128) -> Any {
    let coin = Coin { denom: DENOM.to_string(), amount: amount.to_string() };
    let message = crate::cosmos::bank::v1beta1::MsgSend {
        from_address: from.to_string(),
        to_address: to.to_string(),
        amount: vec![coin],
    };
    pack(url::SEND, &message)
}
