//! One transaction's path: what is refused before a block, what is charged and undone, and with which code.

use dodona_chain::{BASE, BYTE, BlockInput, Genesis, Params, SEND, Signatures};
use dodona_proto::{
    ALLO, Address,
    cosmos::{
        base::v1beta1::Coin,
        tx::{
            signing::v1beta1::SignMode,
            v1beta1::{AuthInfo, ModeInfo, TxBody, TxRaw, mode_info},
        },
    },
    path,
    topics::{QueryTopicRequest, QueryTopicResponse, Role},
    tx::sign_bytes,
};
use prost::Message;
use prost_types::Any;

use crate::kit::*;

/// A transfer of alice's with body and auth info changed and signed anew.
fn crafted(net: &Net, change: impl FnOnce(&mut TxBody, &mut AuthInfo)) -> Vec<u8> {
    let raw = TxRaw::decode(net.sign(&[send("alice", "bob", 1)])[0].as_slice()).unwrap();
    let mut body = TxBody::decode(raw.body_bytes.as_slice()).unwrap();
    let mut auth = AuthInfo::decode(raw.auth_info_bytes.as_slice()).unwrap();
    change(&mut body, &mut auth);
    let (body_bytes, auth_info_bytes) = (body.encode_to_vec(), auth.encode_to_vec());
    let doc = sign_bytes(&body_bytes, &auth_info_bytes, CHAIN, net.account("alice").account_number);
    let signatures = vec![key("alice").sign(&doc).to_vec()];
    TxRaw { body_bytes, auth_info_bytes, signatures }.encode_to_vec()
}

#[test]
fn what_cannot_be_in_a_block_is_refused_with_its_own_code_and_charges_nobody() {
    let mut net = Net::with(|p| (p.max_tx_bytes, p.max_messages) = (4_000, 3));
    net.done(&[send("alice", "bob", 5)]); // alice's sequence is 1 now
    let (good, nobody) = (send("alice", "bob", 1), text("nobody"));
    let fee = |mut auth: AuthInfo, change: &dyn Fn(&mut dodona_proto::cosmos::tx::v1beta1::Fee)| {
        change(auth.fee.as_mut().unwrap());
        auth
    };
    let own = |tx: Tx| net.sign(&[tx])[0].clone();
    let edit = |change: &dyn Fn(&mut TxBody, &mut AuthInfo)| crafted(&net, |body, auth| change(body, auth));
    let raw = |change: &dyn Fn(&mut TxRaw)| {
        let mut raw = TxRaw::decode(own(good.clone()).as_slice()).unwrap();
        change(&mut raw);
        raw.encode_to_vec()
    };
    let coin = |denom: &str, amount: &str| Coin { denom: denom.into(), amount: amount.into() };
    let fee_coin = |denom: &'static str, amount: &'static str| {
        edit(&|_, auth| {
            *auth = fee(auth.clone(), &|f| f.amount = vec![coin(denom, amount)]);
        })
    };
    let cases: Vec<(&str, Vec<u8>, u32, &str)> = vec![
        ("no protobuf", vec![0xff; 40], 2, "not a TxRaw"),
        ("no bytes", vec![], 18, "0 messages"),
        ("broken body", raw(&|r| r.body_bytes = vec![0xff; 9]), 2, "not a TxBody"),
        ("broken auth info", raw(&|r| r.auth_info_bytes = vec![0xff; 9]), 2, "not an AuthInfo"),
        (
            "another spelling of the envelope",
            [own(good.clone()), vec![0x22, 0]].concat(),
            2,
            "unknown fields",
        ),
        (
            "oversized",
            own(Tx { messages: vec![good.messages[0].clone(); 40], ..good.clone() }),
            21,
            "at most 4000",
        ),
        (
            "too many messages",
            own(Tx { messages: vec![good.messages[0].clone(); 4], ..good.clone() }),
            18,
            "1 to 3",
        ),
        ("no message", own(Tx { messages: vec![], ..good.clone() }), 18, "0 messages"),
        ("memo too long", edit(&|b, _| b.memo = "m".repeat(257)), 12, "memo"),
        ("extension option", edit(&|b, _| b.extension_options.push(Any::default())), 2, "extension"),
        ("unknown message", edit(&|b, _| b.messages[0].type_url = "/x.Y".into()), 6, "`/x.Y`"),
        ("message of another type", edit(&|b, _| b.messages[0].value = vec![0xff]), 2, "do not fit"),
        (
            "message of somebody else",
            own(Tx { messages: send("bob", "bob", 1).messages, ..good.clone() }),
            4,
            "sender",
        ),
        ("two signers", edit(&|_, a| a.signer_infos.push(a.signer_infos[0].clone())), 4, "one signer"),
        ("two signatures", raw(&|r| r.signatures.push(r.signatures[0].clone())), 4, "one signature"),
        ("no signature", raw(&|r| r.signatures.clear()), 4, "one signature"),
        (
            "textual mode",
            edit(&|_, a| {
                let mode = SignMode::Textual.into();
                let sum = Some(mode_info::Sum::Single(mode_info::Single { mode }));
                a.signer_infos[0].mode_info = Some(ModeInfo { sum });
            }),
            4,
            "SIGN_MODE_DIRECT",
        ),
        ("no mode", edit(&|_, a| a.signer_infos[0].mode_info = None), 4, "SIGN_MODE_DIRECT"),
        ("no key", edit(&|_, a| a.signer_infos[0].public_key = None), 4, "public key is missing"),
        (
            "key of another kind",
            edit(&|_, a| {
                a.signer_infos[0].public_key.as_mut().unwrap().type_url =
                    "/cosmos.crypto.ed25519.PubKey".into()
            }),
            4,
            "only secp256k1",
        ),
        ("no fee at all", edit(&|_, a| a.fee = None), 2, "fee is missing"),
        ("fee in another token", fee_coin("uatom", "9000000"), 2, "uallo"),
        ("fee above u128", fee_coin("uallo", "340282366920938463463374607431768211456"), 2, "no amount"),
        ("fee with a leading zero", fee_coin("uallo", "09000000"), 2, "no amount"),
        (
            "fee paid by another",
            edit(&|_, a| *a = fee(a.clone(), &|f| f.payer = text("bob"))),
            4,
            "leave payer and granter empty",
        ),
        (
            "fee granted by another",
            edit(&|_, a| *a = fee(a.clone(), &|f| f.granter = text("bob"))),
            4,
            "leave payer and granter empty",
        ),
        ("another chain", own(Tx { chain: "other", ..good.clone() }), 4, "chain-id (kit-1)"),
        ("another account number", own(Tx { number: Some(3), ..good.clone() }), 4, "account number (0)"),
        ("altered signature", raw(&|r| r.signatures[0][3] ^= 1), 4, "signature verification failed"),
        ("replayed", own(Tx { sequence: -1, ..good.clone() }), 32, "expected 1, got 0"),
        ("from the future", own(Tx { sequence: 1, ..good.clone() }), 32, "expected 1, got 2"),
        ("sender without account", own(send("nobody", "bob", 1)), 9, &nobody),
        (
            "fee too low",
            own(Tx { fee: u128::from(GAS) - 1, ..good.clone() }),
            13,
            "insufficient fees; got: 399999uallo required: 400000uallo: insufficient fee",
        ),
        ("fee above balance", own(Tx { fee: 2 * PURSE, ..good.clone() }), 5, "insufficient funds"),
        ("gas below the size of the transaction", own(good.clone().gas(BASE)), 11, "out of gas"),
        (
            "after its timeout",
            own(Tx { timeout: 1, ..good.clone() }),
            30,
            "block height 2 is after timeout height 1",
        ),
    ];
    for (case, bytes, code, says) in cases {
        let no = net.refused_bytes(&bytes);
        assert_eq!(no.id(), ("sdk", code), "{case}: {no:?}");
        assert!(no.log.contains(says), "{case}: {no:?}");
        assert!(!no.charged, "{case}: {no:?}");
    }
    net.done(&[Tx { timeout: 2, ..good }]);
}

#[test]
fn a_transaction_counts_once_however_often_it_is_sent() {
    let mut net = Net::new();
    let bytes = net.sign(&[send("alice", "bob", 7)]);
    net.raw_block(&bytes);
    assert_eq!(net.balance("bob"), PURSE + 7);
    assert_eq!(net.refused_bytes(&bytes[0]).id(), ("sdk", 32));
    let twice = vec![bytes[0].clone(), bytes[0].clone()];
    assert_eq!(net.execute(&twice).unwrap_err().index, 0);
}

#[test]
fn a_failed_transaction_keeps_fee_and_sequence_and_undoes_all_its_messages() {
    let mut net = Net::new();
    let before = (net.balance("alice"), net.balance("bob"));
    let tx = send("alice", "bob", 10).and(send("alice", "bob", 20)).and(send("alice", "bob", 2 * PURSE));
    let receipts = net.block(std::slice::from_ref(&tx));
    assert_eq!((receipts[0].codespace.as_str(), receipts[0].code), ("sdk", 5));
    assert!(receipts[0].events.is_empty());
    assert_eq!((net.balance("alice"), net.balance("bob")), (before.0 - tx.fee, before.1));
    assert_eq!(net.account("alice").sequence, 1);
    net.done(&[send("alice", "bob", 10).and(send("alice", "bob", 20))]);
    assert_eq!(net.balance("bob"), before.1 + 30);
}

#[test]
fn a_failed_topic_message_undoes_the_ones_before_it() {
    let mut net = Net::new();
    let tx =
        create("alice", spec(5, 2, 3, 2)).and(register("alice", 1, Role::Worker)).and(fund("alice", 9, 1));
    let receipts = net.block(std::slice::from_ref(&tx));
    assert_eq!((receipts[0].codespace.as_str(), receipts[0].code), ("emissions", 23), "{}", receipts[0].log);
    assert_eq!(net.balance("alice"), PURSE - tx.fee);
    let topic: Option<QueryTopicResponse> = net.query(path::TOPIC, &QueryTopicRequest { topic_id: 1 });
    assert_eq!(topic, None);
    // Within one transaction later messages see the earlier ones.
    net.done(&[create("alice", spec(5, 2, 3, 2))
        .and(register("alice", 1, Role::Worker))
        .and(fund("alice", 1, 1))]);
    assert_eq!(net.topic(1).workers, 1);
}

#[test]
fn running_out_of_gas_in_a_message_is_charged_and_undone() {
    let mut net = Net::new();
    // The size depends on the number of digits of gas and fee.
    let size = net.sign(&[send("alice", "bob", 1).gas(40_000)])[0].len() as u64;
    let exact = BASE + BYTE * size + SEND;
    let no = net.refused(&send("alice", "bob", 1).gas(exact - 1));
    assert_eq!(no.id(), ("sdk", 11));
    assert!(no.charged && no.log.contains("bank send"), "{no:?}");
    let receipts = net.done(&[send("alice", "bob", 1).gas(exact)]);
    assert_eq!(receipts[0].gas_used, exact);
}

#[test]
fn a_proposer_leaves_out_what_a_validator_refuses() {
    let mut net = Net::new();
    let good = net.sign(&[send("alice", "bob", 1), send("bob", "carol", 1), send("alice", "carol", 1)]);
    let foreign = net.sign(&[Tx { chain: "other", ..send("carol", "bob", 1) }])[0].clone();
    let mixed =
        vec![good[0].clone(), vec![1, 2, 3], foreign, good[1].clone(), good[0].clone(), good[2].clone()];
    let invalid = net.execute(&mixed).unwrap_err();
    assert_eq!(invalid.index, 1);
    let (proposed, included) = net.propose(&mixed);
    assert_eq!(included, [0, 3, 5]);
    let chosen: Vec<Vec<u8>> = included.iter().map(|i| mixed[*i].clone()).collect();
    let executed = net.execute(&chosen).unwrap();
    assert_eq!((executed.root, executed.receipts_hash), (proposed.root, proposed.receipts_hash));
    assert_eq!(executed.receipts, proposed.receipts);
    net.commit(executed);
    assert_eq!(net.app.tip().unwrap().txs, 3);
}

#[test]
fn a_block_must_follow_the_last_one_in_height_and_time() {
    let mut net = Net::new();
    net.block(&[]);
    for (height, time_ms) in [(1, 9_000), (3, 9_000), (2, 2_000), (2, 1_999)] {
        let input = BlockInput::of(height, time_ms, &[]);
        assert!(net.app.execute(&input).unwrap().is_err(), "height {height}, time {time_ms}");
    }
    assert!(net.app.execute(&BlockInput::of(2, 2_001, &[])).unwrap().is_ok());
}

#[test]
fn only_one_of_two_blocks_of_a_height_can_be_committed() {
    let net = Net::new();
    let one = net.execute(&net.sign(&[send("alice", "bob", 1)])).unwrap();
    let two = net.execute(&net.sign(&[send("alice", "bob", 2)])).unwrap();
    net.app.commit(one, Vec::new()).unwrap();
    assert!(net.app.commit(two, Vec::new()).is_err());
    assert_eq!(net.balance("bob"), PURSE + 1);
}

#[test]
fn the_mempool_sees_what_it_accepted_before() {
    let net = Net::new();
    let mut checker = net.app.checker().unwrap();
    let txs = net.sign(&[send("alice", "bob", 1), send("alice", "bob", PURSE), send("alice", "bob", 2)]);
    assert_eq!(net.app.check(&mut checker, &txs[0]).unwrap().sequence, 0);
    assert!(net.app.check(&mut checker, &txs[1]).is_err(), "alice no longer has that much");
    assert!(net.app.check(&mut checker, &txs[2]).is_err(), "the refusal took no sequence");
    let next = Tx { sequence: 1, ..send("alice", "bob", 2) };
    let checked = net.app.check(&mut checker, &net.sign(&[next])[0]).unwrap();
    assert_eq!((checked.sequence, checked.gas_limit, checked.fee), (1, GAS, u128::from(GAS) * 10));
}

#[test]
fn a_signature_found_valid_for_one_account_number_is_not_trusted_for_another() {
    let net = Net::new();
    let base = net.account("alice").account_number;
    assert_eq!(base, 0);
    let next: u64 = 2 + names().len() as u64 + 8; // two operators, genesis accounts, the chain's own
    let give = |to: &str| send("alice", to, ALLO);
    // In the mempool dora comes into being first and her transaction is checked for that number…
    let gifts = net.sign(&[give("dora"), give("emil")]);
    let signed = net.sign(&[Tx { number: Some(next), ..send("dora", "bob", 1) }])[0].clone();
    let mut checker = net.app.checker().unwrap();
    for bytes in [&gifts[0], &gifts[1], &signed] {
        net.app.check(&mut checker, bytes).unwrap();
    }
    // … in the block emil comes first, dora gets another number, and every validator must refuse her signature.
    let gifts = net.sign(&[give("emil"), give("dora")]);
    let invalid = net.execute(&[gifts[0].clone(), gifts[1].clone(), signed]).unwrap_err();
    assert_eq!(invalid.index, 2);
    assert!(invalid.cause.contains("signature verification failed"), "{invalid}");
}

#[test]
fn fees_and_the_validators_share_go_to_the_operators_by_power() {
    let mut net = Net::with(|p| p.fixed_emission = 1_000); // a quarter of it is the validators'
    let tx = send("alice", "bob", 1);
    let fee = tx.fee;
    net.done(&[tx]);
    let paid = fee + 250;
    assert_eq!(net.earned("v1") + net.earned("v2"), paid);
    assert_eq!(net.earned("v1"), paid * 3 / 4);
    assert_eq!(net.app.validators().unwrap().len(), 2);
}

#[test]
fn minting_fills_what_the_ecosystem_lacks_and_stops_at_the_maximum_supply() {
    let purses = PURSE * names().len() as u128 + BONDED;
    let mut net = Net::with(|p| (p.max_supply, p.fixed_emission) = (purses + 15, 10));
    // No topic takes its part, so it stays with the ecosystem and is handed out again: after the first block only
    // the validators' two of ten are missing. What cannot be minted any more is missing in the emission.
    let ecosystem = Address::of_module("ecosystem");
    for (minted, left) in [("10", 8), ("12", 8), ("14", 8), ("15", 7), ("15", 6), ("15", 5)] {
        net.block(&[]);
        let status: dodona_proto::chain::QueryStatusResponse =
            net.query(dodona_proto::path::STATUS, &dodona_proto::chain::QueryStatusRequest {}).unwrap();
        assert_eq!((status.minted.as_str(), net.balance_of(ecosystem)), (minted, left));
    }
}

#[test]
fn trusting_signatures_changes_no_root() {
    let genesis: Genesis = genesis(Params::default());
    let (mut checked, mut trusted) =
        (Net::of(&genesis, Signatures::Check), Net::of(&genesis, Signatures::Trust));
    for _ in 0..3 {
        let txs = [send("alice", "bob", 1), create("carol", spec(3, 1, 1, 1))];
        checked.done(&txs);
        trusted.done(&txs);
        assert_eq!(checked.app.root(), trusted.app.root());
    }
}
