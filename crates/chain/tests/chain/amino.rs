//! Transactions signed as sorted JSON, as hardware wallets do it.
//!
//! The vectors are CosmJS's (`@cosmjs/amino` 0.39):
//! ```js
//! const wallet = await Secp256k1HdWallet.fromMnemonic("abandon … abandon about", { prefix: "allo" });
//! const doc = makeSignDoc(msgs, fee, "kit-1", memo, accountNumber, sequence, timeoutHeight);
//! console.log(Buffer.from(serializeSignDoc(doc)).toString());
//! console.log((await wallet.signAmino(address, doc)).signature); // base64; below as hex
//! ```

use dodona_chain::{Genesis, GenesisAccount, Params, Signatures};
use dodona_proto::{
    Address,
    amino::{AminoError, Document},
    cosmos::{
        base::v1beta1::Coin,
        crypto::secp256k1::PubKey,
        tx::{
            signing::v1beta1::SignMode,
            v1beta1::{AuthInfo, Fee, ModeInfo, SignerInfo, Tip, TxBody, TxRaw, mode_info},
        },
    },
    emissions::v10,
    topics::Role,
    tx::{pack, send as transfer},
    url,
};
use prost::Message;
use prost_types::Any;

use crate::kit::*;

const WALLET: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
const WALLET_KEY: &str = "024f4e2ad99c34d60b9ba6283c9431a8418af8673212961f97a77b6377fcd05b62";

const PLAIN: &str = r#"{"account_number":"0","chain_id":"kit-1","fee":{"amount":[{"amount":"200000","denom":"uallo"}],"gas":"200000"},"memo":"","msgs":[{"type":"cosmos-sdk/MsgSend","value":{"amount":[{"amount":"123","denom":"uallo"}],"from_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","to_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv"}}],"sequence":"0"}"#;
const PLAIN_SIGNATURE: &str = "226acb87da0ba1b774d503208537eb3142337a8247f117797a368020ba2bc897529b42c2659c8f247c25cf2184229ecc27b26ed653b71e2bb3ed5384b2a53833";

const ODD: &str = r#"{"account_number":"17","chain_id":"kit-1","fee":{"amount":[],"gas":"80000"},"memo":"a\u003cb\u003e\u0026\"c\"\\ \n\t\u0001é😀","msgs":[{"type":"cosmos-sdk/MsgSend","value":{"amount":[{"amount":"123","denom":"uallo"}],"from_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","to_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv"}},{"type":"cosmos-sdk/MsgSend","value":{"amount":[{"amount":"123","denom":"uallo"}],"from_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","to_address":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv"}}],"sequence":"3","timeout_height":"99"}"#;

const TOPICS: &str = r#"{"account_number":"0","chain_id":"kit-1","fee":{"amount":[{"amount":"200000","denom":"uallo"}],"gas":"200000"},"memo":"","msgs":[{"type":"/emissions.v10.RegisterRequest","value":{"is_reputer":true,"owner":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","sender":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","topic_id":"1"}},{"type":"/emissions.v10.AddStakeRequest","value":{"amount":"5","sender":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","topic_id":"1"}},{"type":"/emissions.v10.DelegateStakeRequest","value":{"amount":"7","reputer":"allo1ypltwmtyvfcux6ktev35qqe8c0tsy002kve4ck","sender":"allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv","topic_id":"1"}}],"sequence":"1"}"#;
const TOPICS_SIGNATURE: &str = "30c494fced4a5bd6216acd3034b49ddd8f1d1a5e2e3e9bb33921d7a83adf84c61da2ef3a3f9d0ca9c681f80abcbe6f1c23ef2004f63db1df501b4e4a0d60ae21";

/// A transaction in amino mode, still without a signature.
#[derive(Clone)]
struct Unsigned {
    body: TxBody,
    auth: AuthInfo,
}

impl Unsigned {
    fn new(key: Vec<u8>, messages: Vec<Any>, sequence: u64, gas_limit: u64) -> Self {
        let mode = mode_info::Single { mode: SignMode::LegacyAminoJson.into() };
        let auth = AuthInfo {
            signer_infos: vec![SignerInfo {
                public_key: Some(pack(url::SECP256K1, &PubKey { key })),
                mode_info: Some(ModeInfo { sum: Some(mode_info::Sum::Single(mode)) }),
                sequence,
            }],
            fee: Some(Fee {
                amount: vec![Coin { denom: "uallo".into(), amount: gas_limit.to_string() }],
                gas_limit,
                ..Fee::default()
            }),
            ..AuthInfo::default()
        };
        Self { body: TxBody { messages, ..TxBody::default() }, auth }
    }

    /// The wallet's.
    fn wallet(messages: Vec<Any>, sequence: u64) -> Self {
        Self::new(hex::decode(WALLET_KEY).unwrap(), messages, sequence, 200_000)
    }

    fn raw(&self, signature: Vec<u8>) -> TxRaw {
        TxRaw {
            body_bytes: self.body.encode_to_vec(),
            auth_info_bytes: self.auth.encode_to_vec(),
            signatures: vec![signature],
        }
    }

    fn text(&self, number: u64) -> String {
        String::from_utf8(Document::of(&self.raw(vec![])).unwrap().sign_bytes(CHAIN, number)).unwrap()
    }

    fn signed(&self, signature: &str) -> Vec<u8> {
        self.raw(hex::decode(signature).unwrap()).encode_to_vec()
    }
}

fn to_self(amount: u128) -> Any {
    let wallet: Address = WALLET.parse().unwrap();
    transfer(wallet, wallet, amount)
}

fn topic_messages() -> Vec<Any> {
    let register =
        v10::RegisterRequest { sender: WALLET.into(), topic_id: 1, owner: WALLET.into(), is_reputer: true };
    let stake = v10::AddStakeRequest { sender: WALLET.into(), topic_id: 1, amount: "5".into() };
    let delegate = v10::DelegateStakeRequest {
        sender: WALLET.into(),
        topic_id: 1,
        reputer: text("r1"),
        amount: "7".into(),
    };
    vec![
        pack(url::V10_REGISTER, &register),
        pack(url::V10_ADD_STAKE, &stake),
        pack(url::V10_DELEGATE, &delegate),
    ]
}

/// The kit's chain with the wallet as its first account.
fn net() -> Net {
    let mut genesis: Genesis = genesis(Params::default());
    genesis.accounts.insert(0, GenesisAccount { address: WALLET.into(), balance: PURSE });
    Net::of(&genesis, Signatures::Check)
}

#[test]
fn the_signed_text_is_byte_for_byte_what_cosmjs_signs() {
    assert_eq!(Unsigned::wallet(vec![to_self(123)], 0).text(0), PLAIN);
    assert_eq!(Unsigned::wallet(topic_messages(), 1).text(0), TOPICS);
    let mut odd = Unsigned::wallet(vec![to_self(123); 2], 3);
    odd.body.memo = "a<b>&\"c\"\\ \n\t\u{1}é😀".into();
    odd.body.timeout_height = 99;
    odd.auth.fee = Some(Fee { gas_limit: 80_000, ..Fee::default() });
    assert_eq!(odd.text(17), ODD);
    // Go escapes these two as well, CosmJS does not; nodes of the family go by Go.
    odd.body.memo = "\u{2028}\u{2029}\u{8}\u{c}\r\u{7f}".into();
    assert!(odd.text(0).contains("\"memo\":\"\\u2028\\u2029\\b\\f\\r\u{7f}\""), "{}", odd.text(0));
}

#[test]
fn what_cosmjs_signed_is_accepted_and_does_what_it_asks_for() {
    let mut net = net();
    let receipts = net.raw_block(&[Unsigned::wallet(vec![to_self(123)], 0).signed(PLAIN_SIGNATURE)]);
    assert_eq!(receipts[0].code, 0, "{}", receipts[0].log);
    net.done(&[create("alice", spec(5, 2, 3, 2)), register("r1", 1, Role::Reputer)]);
    let receipts = net.raw_block(&[Unsigned::wallet(topic_messages(), 1).signed(TOPICS_SIGNATURE)]);
    assert_eq!(receipts[0].code, 0, "{}", receipts[0].log);
    assert_eq!((net.topic(1).reputers, net.topic(1).stake.as_str()), (2, "12"));
}

#[test]
fn one_changed_byte_is_refused() {
    let net = net();
    let good = Unsigned::wallet(vec![to_self(123)], 0);
    let bytes = good.signed(PLAIN_SIGNATURE);
    assert!(net.app.check(&mut net.app.checker().unwrap(), &bytes).is_ok());
    let mut tried = 0;
    for i in 0..bytes.len() {
        for bit in [1, 0x20, 0x80] {
            let mut other = bytes.clone();
            other[i] ^= bit;
            assert!(!net.refused_bytes(&other).charged, "byte {i}");
            tried += 1;
        }
    }
    assert!(tried > 900);
    // The same text under the other mode is another document.
    let mut direct = good.clone();
    let mode = mode_info::Single { mode: SignMode::Direct.into() };
    direct.auth.signer_infos[0].mode_info = Some(ModeInfo { sum: Some(mode_info::Sum::Single(mode)) });
    assert_eq!(net.refused_bytes(&direct.signed(PLAIN_SIGNATURE)).id(), ("sdk", 4));
}

#[test]
fn another_spelling_of_a_signed_transaction_is_refused() {
    let net = net();
    let good = Unsigned::wallet(vec![to_self(123)], 0);
    let edit = |change: &dyn Fn(&mut TxRaw)| {
        let mut raw = good.raw(hex::decode(PLAIN_SIGNATURE).unwrap());
        change(&mut raw);
        raw.encode_to_vec()
    };
    let with = |change: &dyn Fn(&mut Unsigned)| {
        let mut tx = good.clone();
        change(&mut tx);
        tx.signed(PLAIN_SIGNATURE)
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an unknown field of the body", edit(&|r| r.body_bytes.extend([0x50, 1])), "the body"),
        ("an empty memo said aloud", edit(&|r| r.body_bytes.extend([0x12, 0])), "the body"),
        (
            "an unknown field of the auth info",
            edit(&|r| r.auth_info_bytes.extend([0x50, 1])),
            "the auth info",
        ),
        ("an unknown field of a message", with(&|t| t.body.messages[0].value.extend([0x50, 1])), "a message"),
        (
            "an unknown field deep in a message",
            with(&|t| {
                let value = &mut t.body.messages[0].value;
                let coin = value.len() - "\n\u{5}uallo\u{12}\u{3}123".len() - 1;
                value[coin] += 2;
                value.extend([0x50, 1]);
            }),
            "a message",
        ),
        (
            "an empty field of a message said aloud",
            with(&|t| {
                let value = &mut t.body.messages[0].value;
                *value = [&[0x0a, 0][..], value].concat();
            }),
            "a message",
        ),
        (
            "an unknown field of the key",
            with(&|t| t.auth.signer_infos[0].public_key.as_mut().unwrap().value.extend([0x50, 1])),
            "the public key",
        ),
        ("a tip", with(&|t| t.auth.tip = Some(Tip::default())), "a tip"),
        (
            "an option that is not critical",
            with(&|t| t.body.non_critical_extension_options.push(Any::default())),
            "an extension option",
        ),
    ];
    for (case, bytes, says) in cases {
        let no = net.refused_bytes(&bytes);
        assert_eq!((no.id(), no.charged), (("sdk", 2), false), "{case}: {no:?}");
        assert!(no.log.starts_with("tx parse error: ") && no.log.contains(says), "{case}: {no:?}");
    }
    let unknown = with(&|t| t.body.messages[0].type_url = "/cosmos.bank.v1beta1.MsgMultiSend".into());
    assert_eq!(net.refused_bytes(&unknown).id(), ("sdk", 6));
    let raw = good.raw(vec![]);
    let mut bare = TxBody::decode(raw.body_bytes.as_slice()).unwrap();
    bare.messages[0].type_url = "/x.Y".into();
    let raw = TxRaw { body_bytes: bare.encode_to_vec(), ..raw };
    assert_eq!(Document::of(&raw), Err(AminoError::Unknown("/x.Y".into())));
}

/// Every message of the kit's language, signed as text by its sender.
#[test]
fn every_kind_of_message_can_be_signed_as_text() {
    let mut net = Net::new();
    let id = net.market(spec(5, 2, 3, 2), &["w1", "w2"], &["r1"]);
    let window = net.windows(id).windows[0].clone();
    let txs = [
        submit("w1", id, window.nonce, "10"),
        forecast("w2", id, window.nonce, "11", &[("w1", "0.5")]),
        delegate("bob", id, "r1", 5),
        unstake("r1", id, 5),
        register("w3", id, Role::Worker),
        set_params(&[("max_messages", "7")]),
        create("alice", spec(7, 2, 3, 2)),
    ];
    let mut bytes = Vec::new();
    for tx in &txs {
        let account = net.account(&tx.from);
        let signer = key(&tx.from);
        let unsigned =
            Unsigned::new(signer.public().to_vec(), tx.messages.clone(), account.sequence, 400_000);
        let text = unsigned.text(account.account_number);
        assert!(text.contains(&format!("\"type\":\"{}\"", tx.messages[0].type_url)), "{text}");
        bytes.push(unsigned.raw(signer.sign(text.as_bytes()).to_vec()).encode_to_vec());
    }
    for receipt in net.raw_block(&bytes) {
        assert_eq!(receipt.code, 0, "{}", receipt.log);
    }
}
