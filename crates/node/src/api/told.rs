//! What is told of a block and its transactions: events in the words that subscribers, searches and explorers know.
//! The events every chain of this family has for a transaction (fee, sender, action, transfers) are derived here and
//! nowhere else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_chain::{Event, Receipt};
use dodona_proto::{
    Address, DENOM,
    cosmos::{
        crypto::secp256k1::PubKey,
        tx::v1beta1::{AuthInfo, TxBody, TxRaw},
    },
};
use prost::Message;

use super::events::{self, Typed};
use crate::records::Results;

/// Events of a block's own work.
pub(crate) fn of_block(results: &Results) -> Vec<Typed> {
    events::of_block(&results.events)
}

fn typed(kind: &str, attributes: &[(&str, &str)]) -> Typed {
    let attributes = attributes.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Typed { kind: kind.to_string(), attributes }
}

/// Events of a transaction as it was sent and of what came of it.
pub(crate) fn of_tx(bytes: &[u8], receipt: &Receipt) -> Vec<Typed> {
    let Some((body, auth, raw)) = take_apart(bytes) else { return native(&receipt.events) };
    let signer = signer(&auth).unwrap_or_default();
    let fee = auth.fee.as_ref().map_or_else(String::new, |fee| {
        fee.amount.iter().map(|coin| format!("{}{}", coin.amount, coin.denom)).collect::<Vec<_>>().join(",")
    });
    let sequence = auth.signer_infos.first().map_or(0, |info| info.sequence);
    let mut told = vec![
        typed("message", &[("sender", &signer)]),
        typed("tx", &[("fee", &fee), ("fee_payer", &signer)]),
        typed("tx", &[("acc_seq", &format!("{signer}/{sequence}"))]),
    ];
    told.extend(raw.signatures.iter().map(|s| typed("tx", &[("signature", &STANDARD.encode(s))])));
    if receipt.code != 0 {
        return told;
    }
    for (index, message) in body.messages.iter().enumerate() {
        let index = index.to_string();
        let message = [("action", message.type_url.as_str()), ("sender", &signer), ("msg_index", &index)];
        told.push(typed("message", &message));
    }
    for (event, shown) in receipt.events.iter().zip(native(&receipt.events)) {
        let from = told.len();
        transfer_halves(&shown, &mut told);
        told.push(shown);
        for event_told in &mut told[from..] {
            event_told.attributes.push(("msg_index".into(), event.message.to_string()));
        }
    }
    told.extend(events::of_tx(&receipt.events));
    told
}

fn take_apart(bytes: &[u8]) -> Option<(TxBody, AuthInfo, TxRaw)> {
    let raw = TxRaw::decode(bytes).ok()?;
    let body = TxBody::decode(raw.body_bytes.as_slice()).ok()?;
    let auth = AuthInfo::decode(raw.auth_info_bytes.as_slice()).ok()?;
    Some((body, auth, raw))
}

fn signer(auth: &AuthInfo) -> Option<String> {
    let key = auth.signer_infos.first()?.public_key.as_ref()?;
    let key = PubKey::decode(key.value.as_slice()).ok()?.key;
    Some(Address::of_key(key.as_slice().try_into().ok()?).to_string())
}

/// The chain's own events. A transfer has the name and the form that wallets know: amounts with their token.
fn native(events: &[Event]) -> Vec<Typed> {
    let amount = |event: &Event, key: &str, value: &str| {
        let bare = event.kind == "transfer" && key == "amount" && value.bytes().all(|b| b.is_ascii_digit());
        if bare { format!("{value}{DENOM}") } else { value.to_string() }
    };
    let attributes =
        |event: &Event| event.attributes.iter().map(|(k, v)| (k.clone(), amount(event, k, v))).collect();
    events.iter().map(|event| Typed { kind: event.kind.clone(), attributes: attributes(event) }).collect()
}

/// Who gave and who got, of a transfer.
fn transfer_halves(event: &Typed, events: &mut Vec<Typed>) {
    if event.kind != "transfer" {
        return;
    }
    let get = |name: &str| {
        event.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    events.push(typed("coin_spent", &[("spender", get("sender")), ("amount", get("amount"))]));
    events.push(typed("coin_received", &[("receiver", get("recipient")), ("amount", get("amount"))]));
}
