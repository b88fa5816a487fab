//! What hardware wallets show and sign: a transaction as sorted JSON (SIGN_MODE_LEGACY_AMINO_JSON). The text is made
//! from the schemas, so every message has one; docs/protocol/signing.md has its rules.
//!
//! The signature covers this text and not the bytes it was made from. Two encodings of one transaction would
//! therefore be two transactions with one signature, so only the canonical encoding is accepted.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use prost_types::Any;

use crate::{
    DESCRIPTORS,
    cosmos::{
        base::v1beta1::Coin,
        crypto::secp256k1::PubKey,
        tx::v1beta1::{AuthInfo, Fee, TxBody, TxRaw},
    },
    decimal, url,
};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("written by this crate's build script"));

/// Messages that have names of their own, as the Cosmos SDK gave them. Some are shorter than the message's, because
/// hardware wallets show forty characters.
const NAMES: [(&str, &str); 11] = [
    ("cosmos.bank.v1beta1.MsgSend", "cosmos-sdk/MsgSend"),
    ("cosmos.staking.v1beta1.MsgCreateValidator", "cosmos-sdk/MsgCreateValidator"),
    ("cosmos.staking.v1beta1.MsgEditValidator", "cosmos-sdk/MsgEditValidator"),
    ("cosmos.staking.v1beta1.MsgDelegate", "cosmos-sdk/MsgDelegate"),
    ("cosmos.staking.v1beta1.MsgBeginRedelegate", "cosmos-sdk/MsgBeginRedelegate"),
    ("cosmos.staking.v1beta1.MsgUndelegate", "cosmos-sdk/MsgUndelegate"),
    ("cosmos.staking.v1beta1.MsgCancelUnbondingDelegation", "cosmos-sdk/MsgCancelUnbondingDelegation"),
    ("cosmos.distribution.v1beta1.MsgSetWithdrawAddress", "cosmos-sdk/MsgModifyWithdrawAddress"),
    ("cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward", "cosmos-sdk/MsgWithdrawDelegationReward"),
    ("cosmos.distribution.v1beta1.MsgWithdrawValidatorCommission", "cosmos-sdk/MsgWithdrawValCommission"),
    ("cosmos.slashing.v1beta1.MsgUnjail", "cosmos-sdk/MsgUnjail"),
];
/// Fields that the text calls otherwise.
const FIELDS: [(&str, &str); 1] = [("cosmos.slashing.v1beta1.MsgUnjail.validator_addr", "address")];
/// Keys that may stand in an `Any`.
const KEYS: [(&str, &str); 2] =
    [(url::ED25519, "tendermint/PubKeyEd25519"), (url::SECP256K1, "tendermint/PubKeySecp256k1")];
/// Lists that are written even when they are empty.
const KEPT: [&str; 1] = ["cosmos.bank.v1beta1.MsgSend.amount"];

/// Why a transaction has no such text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AminoError {
    /// Bytes are not what they should be.
    #[error("{0} does not decode")]
    Decode(&'static str),
    /// Bytes could be written in another way, or hold more than the text would say.
    #[error("{0} has unknown fields or is not encoded in the canonical way, which amino signatures need")]
    NotCanonical(&'static str),
    /// Part of the transaction that the text has no place for.
    #[error("{0} cannot be signed in amino mode")]
    NoPlace(&'static str),
    /// The message is not in the schemas.
    #[error("message `{0}` has no amino form")]
    Unknown(String),
}

/// The parts of the signed text that follow from the transaction alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    fee: Json,
    memo: String,
    messages: Vec<Json>,
    sequence: u64,
    timeout_height: u64,
}

impl Document {
    /// Reads a transaction of one signer.
    pub fn of(raw: &TxRaw) -> Result<Self, AminoError> {
        let body: TxBody = canonical(&raw.body_bytes, "the body")?;
        let auth: AuthInfo = canonical(&raw.auth_info_bytes, "the auth info")?;
        if !body.extension_options.is_empty() || !body.non_critical_extension_options.is_empty() {
            return Err(AminoError::NoPlace("an extension option"));
        }
        if auth.tip.is_some() {
            return Err(AminoError::NoPlace("a tip"));
        }
        let [signer] = auth.signer_infos.as_slice() else {
            return Err(AminoError::NoPlace("a second signer"));
        };
        if let Some(key) = &signer.public_key {
            let _checked: PubKey = canonical(&key.value, "the public key")?;
        }
        Ok(Self {
            fee: fee(&auth.fee.unwrap_or_default()),
            memo: body.memo,
            messages: body.messages.iter().map(message).collect::<Result<_, _>>()?,
            sequence: signer.sequence,
            timeout_height: body.timeout_height,
        })
    }

    /// The bytes an account signs.
    pub fn sign_bytes(&self, chain_id: &str, account_number: u64) -> Vec<u8> {
        let mut fields = vec![
            ("account_number", number(account_number)),
            ("chain_id", Json::Text(chain_id.into())),
            ("fee", self.fee.clone()),
            ("memo", Json::Text(self.memo.clone())),
            ("msgs", Json::List(self.messages.clone())),
            ("sequence", number(self.sequence)),
        ];
        if self.timeout_height > 0 {
            fields.push(("timeout_height", number(self.timeout_height)));
        }
        let mut text = String::new();
        object(fields).write(&mut text);
        text.into_bytes()
    }
}

/// Decodes what must be encoded as this crate would.
fn canonical<M: Message + Default>(bytes: &[u8], what: &'static str) -> Result<M, AminoError> {
    let decoded = M::decode(bytes).map_err(|_| AminoError::Decode(what))?;
    if decoded.encode_to_vec() != bytes {
        return Err(AminoError::NotCanonical(what));
    }
    Ok(decoded)
}

fn fee(fee: &Fee) -> Json {
    let coin = |c: &Coin| {
        object(vec![("amount", Json::Text(c.amount.clone())), ("denom", Json::Text(c.denom.clone()))])
    };
    let mut fields =
        vec![("amount", Json::List(fee.amount.iter().map(coin).collect())), ("gas", number(fee.gas_limit))];
    for (name, who) in [("payer", &fee.payer), ("granter", &fee.granter)] {
        if !who.is_empty() {
            fields.push((name, Json::Text(who.clone())));
        }
    }
    object(fields)
}

/// `{type, value}`. A message without a name of its own is called by its type URL, as the Cosmos SDK does.
fn message(any: &Any) -> Result<Json, AminoError> {
    let unknown = || AminoError::Unknown(any.type_url.clone());
    let full = any.type_url.strip_prefix('/').ok_or_else(unknown)?;
    let schema = POOL.get_message_by_name(full).ok_or_else(unknown)?;
    let decoded =
        DynamicMessage::decode(schema, any.value.as_slice()).map_err(|_| AminoError::Decode("a message"))?;
    let value = fields(&decoded)?;
    if decoded.encode_to_vec() != any.value {
        return Err(AminoError::NotCanonical("a message"));
    }
    let name = other_name(&NAMES, full).unwrap_or(&any.type_url);
    Ok(object(vec![("type", Json::Text(name.into())), ("value", value)]))
}

fn other_name(table: &[(&str, &'static str)], full: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == full).map(|(_, other)| *other)
}

/// A key within a message. Nothing else may stand in an `Any`: one could hold another without end.
fn key(any: &DynamicMessage) -> Result<Json, AminoError> {
    let any: Any = any.transcode_to().map_err(|_| AminoError::Decode("a public key"))?;
    let name =
        other_name(&KEYS, &any.type_url).ok_or(AminoError::NoPlace("anything but a public key in an Any"))?;
    // Both kinds are one field of bytes.
    let key: PubKey = canonical(&any.value, "a public key")?;
    let value = Json::Text(STANDARD.encode(key.key));
    Ok(object(vec![("type", Json::Text(name.into())), ("value", value)]))
}

/// The fields of a message that are set, by name.
fn fields(message: &DynamicMessage) -> Result<Json, AminoError> {
    if message.unknown_fields().next().is_some() {
        return Err(AminoError::NotCanonical("a message"));
    }
    if message.descriptor().full_name() == "google.protobuf.Any" {
        return key(message);
    }
    let mut out = BTreeMap::new();
    for field in message.descriptor().fields() {
        if message.has_field(&field) || KEPT.contains(&field.full_name()) {
            let name = other_name(&FIELDS, field.full_name()).unwrap_or(field.name());
            let value = match message.get_field(&field).as_ref() {
                // Were another spelling shown as the same decimal, one text would sign two transactions.
                Value::String(digits) if decimal::is_decimal(&field) => match decimal::is_canonical(digits) {
                    true => Json::Text(decimal::text(digits)),
                    false => return Err(AminoError::NotCanonical("a decimal number")),
                },
                value => json(value)?,
            };
            out.insert(name.to_string(), value);
        }
    }
    Ok(Json::Object(out))
}

fn json(value: &Value) -> Result<Json, AminoError> {
    Ok(match value {
        Value::Bool(value) => Json::Bare(value.to_string()),
        Value::I32(value) | Value::EnumNumber(value) => Json::Bare(value.to_string()),
        Value::U32(value) => Json::Bare(value.to_string()),
        Value::I64(value) => Json::Text(value.to_string()),
        Value::U64(value) => number(*value),
        Value::String(value) => Json::Text(value.clone()),
        Value::Bytes(value) => Json::Text(STANDARD.encode(value)),
        Value::Message(value) => fields(value)?,
        Value::List(values) => Json::List(values.iter().map(json).collect::<Result<_, _>>()?),
        Value::F32(_) | Value::F64(_) | Value::Map(_) => {
            return Err(AminoError::NoPlace("a binary fraction or a map"));
        }
    })
}

/// JSON with sorted keys, written here because every byte of it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Json {
    Text(String),
    /// A number or a flag.
    Bare(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Integers of 64 bits are text: other languages' numbers lose digits.
fn number(value: u64) -> Json {
    Json::Text(value.to_string())
}

fn object(fields: Vec<(&str, Json)>) -> Json {
    Json::Object(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => quote(text, out),
            Self::Bare(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (i, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// As Go's encoder quotes: what could mean something in HTML or JavaScript is escaped too.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
