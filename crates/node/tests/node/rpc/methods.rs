//! Methods over POST, addresses and websocket.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_of_ics23::Message as _;
use serde_json::{Value, json};

use super::common::{Rpc, Running, transfer};

/// Whether a value looks like this pattern: the same fields, and texts by what they should be.
fn looks(value: &Value, pattern: &Value, path: &str) {
    match (value, pattern) {
        (Value::Object(found), Value::Object(wanted)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(found), names(wanted), "{path}");
            wanted.iter().for_each(|(name, pattern)| looks(&found[name], pattern, &format!("{path}.{name}")));
        }
        (Value::Array(found), Value::Array(wanted)) if wanted.len() == 1 => {
            assert!(!found.is_empty(), "{path} is empty");
            found.iter().for_each(|value| looks(value, &wanted[0], &format!("{path}[]")));
        }
        (Value::String(text), Value::String(wanted)) => {
            let hex = |digits: usize| {
                text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            };
            let fits = match wanted.as_str() {
                "<int>" => text.parse::<i64>().is_ok(),
                "<hash>" => hex(64),
                "<address>" => hex(40),
                "<time>" => text.ends_with('Z') && text.contains('T'),
                "<base64>" => STANDARD.decode(text).is_ok_and(|bytes| !bytes.is_empty()),
                "<text>" => true,
                other => text == other,
            };
            assert!(fits, "{path}: {text} is no {wanted}");
        }
        (value, wanted) => assert_eq!(value, wanted, "{path}"),
    }
}

fn header() -> Value {
    json!({
        "version": { "block": "11", "app": "1" }, "chain_id": "localnet", "height": "<int>", "time": "<time>",
        "last_block_id": block_id(), "last_commit_hash": "", "data_hash": "<hash>", "validators_hash": "<hash>",
        "next_validators_hash": "<hash>", "consensus_hash": "", "app_hash": "<hash>", "last_results_hash": "<hash>",
        "evidence_hash": "", "proposer_address": "<address>",
    })
}

fn block_id() -> Value {
    json!({ "hash": "<hash>", "parts": { "total": 1, "hash": "<hash>" } })
}

fn commit() -> Value {
    json!({ "height": "<int>", "round": 0, "block_id": block_id(), "signatures": [{
        "block_id_flag": 2, "validator_address": "<address>", "timestamp": "<time>", "signature": "<base64>",
    }] })
}

fn block() -> Value {
    json!({
        "header": header(), "data": { "txs": ["<base64>"] }, "evidence": { "evidence": [] }, "last_commit": commit(),
    })
}

fn events() -> Value {
    json!([{ "type": "<text>", "attributes": [{ "key": "<text>", "value": "<text>", "index": true }] }])
}

fn tx_result() -> Value {
    json!({
        "code": 0, "data": "", "log": "<text>", "info": "", "gas_wanted": "100000", "gas_used": "<int>",
        "events": events(), "codespace": "",
    })
}

fn tx() -> Value {
    json!({ "hash": "<hash>", "height": "2", "index": 0, "tx_result": tx_result(), "tx": "<base64>" })
}

/// Two blocks, the second with a transaction of alice; its hash.
async fn two_blocks(node: &mut Running) -> String {
    node.blocks(1).await;
    let hash = node.send(5);
    node.blocks(1).await;
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_in_the_shape_clients_take_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    let hash = two_blocks(&mut node).await;
    let rpc = node.rpc;
    let work = tokio::task::spawn_blocking(move || shapes(rpc, &hash));
    work.await.unwrap();
    node.stop().await;
}

fn shapes(rpc: Rpc, hash: &str) {
    let key = json!({ "type": "tendermint/PubKeyEd25519", "value": "<base64>" });
    let block_hash = rpc.result("block", json!({}))["block_id"]["hash"].clone();
    let by_base64 = STANDARD.encode(hex::decode(hash).unwrap());
    let whole = json!({ "block_id": block_id(), "block": block() });
    let found = json!({ "txs": [tx()], "total_count": "1" });
    for (method, params, pattern) in [
        ("health", json!({}), json!({})),
        (
            "status",
            json!({}),
            json!({
                "node_info": {
                    "protocol_version": { "p2p": "8", "block": "11", "app": "1" }, "id": "<text>",
                    "listen_addr": "<text>", "network": "localnet", "version": "0.38.17", "channels": "<text>",
                    "moniker": "dodona", "other": { "tx_index": "on", "rpc_address": "<text>" },
                },
                "sync_info": {
                    "latest_block_hash": "<hash>", "latest_app_hash": "<hash>", "latest_block_height": "2",
                    "latest_block_time": "1970-01-01T00:00:03.000Z", "earliest_block_hash": "<hash>",
                    "earliest_app_hash": "<hash>", "earliest_block_height": "1",
                    "earliest_block_time": "1970-01-01T00:00:02.000Z", "catching_up": false,
                },
                "validator_info": { "address": "<address>", "pub_key": key, "voting_power": "10" },
            }),
        ),
        ("net_info", json!({}), json!({ "listening": false, "listeners": [], "n_peers": "0", "peers": [] })),
        ("genesis_chunked", json!({ "chunk": 0 }), json!({ "chunk": "0", "total": "1", "data": "<base64>" })),
        (
            "abci_info",
            json!([]),
            json!({ "response": {
                "data": "dodona", "version": "<text>", "app_version": "1", "last_block_height": "2",
                "last_block_app_hash": "<base64>",
            } }),
        ),
        (
            "validators",
            json!({ "height": "1", "page": "1", "per_page": "50" }),
            json!({ "block_height": "1", "count": "1", "total": "1", "validators": [
                { "address": "<address>", "pub_key": key, "voting_power": "10", "proposer_priority": "0" },
            ] }),
        ),
        ("block", json!({ "height": "2" }), whole.clone()),
        ("block", json!(["2"]), whole.clone()),
        ("block", json!([2]), whole.clone()),
        ("block_by_hash", json!({ "hash": block_hash }), whole.clone()),
        (
            "block_search",
            json!({ "query": "block.height > 1" }),
            json!({ "blocks": [whole], "total_count": "1" }),
        ),
        ("header", json!({}), json!({ "header": header() })),
        ("header_by_hash", json!({ "hash": block_hash }), json!({ "header": header() })),
        (
            "commit",
            json!({ "height": "2" }),
            json!({ "signed_header": { "header": header(), "commit": commit() }, "canonical": true }),
        ),
        (
            "block_results",
            json!({ "height": "2" }),
            json!({
                "height": "2", "txs_results": [tx_result()], "finalize_block_events": [], "validator_updates": null,
                "consensus_param_updates": null, "app_hash": "<base64>",
            }),
        ),
        (
            "blockchain",
            json!({ "minHeight": 2, "maxHeight": 20 }),
            json!({ "last_height": "2", "block_metas": [
                { "block_id": block_id(), "block_size": "<int>", "header": header(), "num_txs": "1" },
            ] }),
        ),
        ("tx", json!({ "hash": by_base64, "prove": true }), tx()),
        ("tx", json!([hash, false]), tx()),
        ("tx_search", json!({ "query": format!("tx.hash='{hash}'"), "page": "1" }), found.clone()),
        (
            "tx_search",
            json!({ "query": "tx.height=2", "per_page": "100", "order_by": "desc" }),
            found.clone(),
        ),
        (
            "num_unconfirmed_txs",
            json!({}),
            json!({ "n_txs": "0", "total": "0", "total_bytes": "0", "txs": null }),
        ),
        ("unconfirmed_txs", json!({}), json!({ "n_txs": "0", "total": "0", "total_bytes": "0", "txs": [] })),
    ] {
        looks(&rpc.result(method, params), &pattern, method);
    }
    let genesis = rpc.result("genesis", json!({}))["genesis"].take();
    assert_eq!(
        (&genesis["chain_id"], &genesis["validators"][0]["power"]),
        (&json!("localnet"), &json!("10"))
    );
    assert_eq!(genesis["consensus_params"], rpc.result("consensus_params", json!({}))["consensus_params"]);
    assert_eq!(rpc.result("consensus_state", json!({}))["round_state"]["height/round/step"], "3/0/1");
    // What wallets and explorers look for in a transaction.
    let events = rpc.result("tx", json!([hash]))["tx_result"]["events"].to_string();
    for expected in [
        r#"{"index":true,"key":"amount","value":"5uallo"}"#,
        r#""key":"action","value":"/cosmos.bank.v1beta1.MsgSend""#,
        r#""key":"acc_seq","value":"allo1"#,
        r#""type":"coin_received""#,
    ] {
        assert!(events.contains(expected), "{expected} in {events}");
    }
    // The first block has nothing before it.
    let first = rpc.result("block", json!({ "height": "1" }));
    assert_eq!(first["block"]["header"]["last_block_id"]["hash"], "");
    assert_eq!(first["block"]["last_commit"]["signatures"], json!([]));
    // By address, the same answers: quoted, with 0x, bare.
    for (path, expected) in [
        ("/status", rpc.result("status", json!({}))),
        ("/block?height=2", rpc.result("block", json!([2]))),
        ("/block?height=%222%22", rpc.result("block", json!([2]))),
        (&format!("/tx?hash=0x{hash}&prove=true"), rpc.result("tx", json!([hash]))),
        (&format!("/tx?hash={hash}"), rpc.result("tx", json!([hash]))),
        (
            "/tx_search?query=%22tx.height=2%22&page=1&order_by=%22asc%22",
            rpc.result("tx_search", json!(["tx.height=2"])),
        ),
        ("/abci_query?path=%22/nothing%22&data=0x00", rpc.result("abci_query", json!(["/nothing", "00"]))),
    ] {
        assert_eq!(rpc.get(path)["result"], expected, "{path}");
    }
    assert!(rpc.get("/").to_string().contains("blockchain"));
    let (head, _) = rpc.raw(b"OPTIONS / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("access-control-allow-origin: *"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_with_the_right_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    let hash = two_blocks(&mut node).await;
    let rpc = node.rpc;
    let work = tokio::task::spawn_blocking(move || {
        for (method, params, code, words) in [
            ("nonsense", json!({}), -32601, "nonsense"),
            ("dump_consensus_state", json!({}), -32601, ""),
            ("subscribe", json!({ "query": "tm.event='Tx'" }), -32603, "/websocket"),
            ("block", json!({ "height": "-1" }), -32602, "height"),
            ("block", json!({ "height": "99999999999999999999" }), -32602, "height"),
            ("block", json!({ "height": 1.5 }), -32602, "height"),
            ("block", json!({ "height": [] }), -32602, "height"),
            ("block", json!({ "height": "3" }), -32602, "current blockchain height 2"),
            ("block", json!([1, 2]), -32602, "at most 1"),
            ("block", json!("x"), -32602, "object or a list"),
            ("blockchain", json!({ "minHeight": "3" }), -32602, "min height 3"),
            ("genesis_chunked", json!({ "chunk": 1 }), -32602, "1 chunks"),
            ("validators", json!({ "page": "2" }), -32602, "[1, 1]"),
            ("tx", json!({ "hash": "00" }), -32602, "32 bytes"),
            ("tx", json!({ "hash": hash.replace(['A', '1'], "0") }), -32603, "not found"),
            ("tx_search", json!({}), -32602, "byte 0"),
            ("tx_search", json!({ "query": "tx.height='x'" }), -32602, "whole numbers"),
            ("tx_search", json!({ "query": "a.b='x' OR c.d='y'" }), -32602, "byte 8"),
            ("tx_search", json!({ "query": "tx.height=2", "page": 2 }), -32602, "[1, 1]"),
            ("tx_search", json!({ "query": "tx.height=2", "page": 0 }), -32602, "page"),
            ("tx_search", json!({ "query": "tx.height=2", "order_by": "random" }), -32602, "asc or desc"),
            ("tx_search", json!({ "query": "tx.hash='00'" }), -32602, "64 hex digits"),
            ("broadcast_tx_sync", json!({ "tx": "%%" }), -32602, "base64"),
            ("broadcast_tx_sync", json!({ "tx": 5 }), -32602, "tx is a text"),
            ("broadcast_evidence", json!({ "evidence": {} }), -32603, "no evidence"),
        ] {
            let (found, message) = rpc.error(method, params.clone());
            assert_eq!(found, code, "{method} {params}: {message}");
            assert!(message.contains(words), "{method} {params}: {message}");
        }
        assert_eq!(rpc.result("block_by_hash", json!({ "hash": "00".repeat(32) }))["block"], Value::Null);
    });
    work.await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_in_order_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(dir.path()).await;
    node.blocks(1).await;
    let rpc = node.rpc;
    let work = tokio::task::spawn_blocking(move || {
        let request = |id: Value, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
        let answers = rpc.ask(&json!([
            request(json!("a"), "health"),
            request(json!(2), "nonsense"),
            5,
            request(json!(3), "status")
        ]));
        assert_eq!(answers.as_array().unwrap().len(), 4);
        assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!("a"), &json!({})));
        assert_eq!(answers[1]["error"]["code"], -32601);
        assert_eq!(answers[2]["error"]["code"], -32600);
        assert_eq!(
            (&answers[3]["id"], &answers[3]["result"]["sync_info"]["latest_block_height"]),
            (&json!(3), &json!("1"))
        );
        let many: Vec<Value> = (0..33).map(|id| request(json!(id), "health")).collect();
        assert_eq!(rpc.ask(&json!(many))["error"]["code"], -32600);
        assert_eq!(rpc.ask(&json!(many[..32])).as_array().unwrap().len(), 32);
        assert_eq!(rpc.ask(&json!([]))["error"]["code"], -32600);
    });
    work.await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_to_every_method_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    two_blocks(&mut node).await;
    let rpc = node.rpc;
    let work = tokio::task::spawn_blocking(move || {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        let nested = format!("{}1{}", "{\"height\":".repeat(100), "}".repeat(100));
        let values = [
            "null",
            "true",
            "-1",
            "0",
            "1.5",
            "1e400",
            "18446744073709551616",
            "9223372036854775807",
            "\"\"",
            "\"-9223372036854775809\"",
            "\"\\u0000\\ud83d\\ude00\"",
            "\"'\"",
            "\"tx.height=\"",
            "[]",
            "{}",
            "[[[]]]",
            "{\"height\":{}}",
            nested.as_str(),
            deep.as_str(),
        ];
        let index = rpc.get("/");
        let methods: Vec<(String, Vec<String>)> = index["methods"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| {
                let params = m["params"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().to_string());
                (m["name"].as_str().unwrap().to_string(), params.collect())
            })
            .collect();
        assert!(methods.len() >= 30);
        for (method, params) in &methods {
            for value in values {
                let mut spellings =
                    vec![value.to_string(), format!("[{value}]"), format!("[{value},{value},{value}]")];
                spellings.extend(params.iter().map(|name| format!("{{\"{name}\":{value}}}")));
                for params in spellings {
                    let body = format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}"
                    );
                    let (head, answer) = rpc.post(body.as_bytes());
                    let clean = head.starts_with("HTTP/1.1 200") && !answer.contains("interrupted");
                    assert!(clean, "{method} {}: {head} {answer}", &params[..params.len().min(80)]);
                }
            }
            for text in [
                "x=%00",
                "height=-1",
                "hash=0x",
                "hash=%22%22",
                "tx=0xzz",
                "query=%27",
                "data=%22%ff%22",
                "height=1&height=2",
            ] {
                let request =
                    format!("GET /{method}?{text} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let (head, answer) = rpc.raw(request.as_bytes());
                let clean = !head.starts_with("HTTP/1.1 5") && !answer.contains("interrupted");
                assert!(clean, "{method}?{text}: {head} {answer}");
            }
        }
        for body in
            ["", "{", "\u{0}", "[1", "5", "null", "{\"id\":{},\"method\":\"health\"}", "{\"method\":5}"]
        {
            let (head, answer) = rpc.post(body.as_bytes());
            assert!(
                head.starts_with("HTTP/1.1 200") && answer.contains("\"error\""),
                "{body}: {head} {answer}"
            );
        }
        let (head, _) = rpc.post(&vec![b' '; (1 << 20) + 1]);
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 413"), "{head}");
        rpc.raw(b"\x16\x03\x01\x02\x00 this is no http");
    });
    work.await.unwrap();
    assert_eq!(node.blocks(1).await, 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_checked_handed_in_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(dir.path()).await;
    node.blocks(1).await;
    let rpc = node.rpc;
    let sent = |sequence| json!({ "tx": STANDARD.encode(transfer("alice", 0, sequence, 1)) });
    let waits = sent(0);
    let waiting = tokio::task::spawn_blocking(move || rpc.result("broadcast_tx_commit", waits));
    let params = (sent(0), sent(1), sent(7));
    let work = tokio::task::spawn_blocking(move || {
        while rpc.result("num_unconfirmed_txs", json!({}))["total"] == "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let checked = rpc.result("check_tx", params.0.clone());
        assert_eq!((&checked["code"], &checked["gas_wanted"]), (&json!(0), &json!("100000")));
        assert_eq!(rpc.result("check_tx", params.2.clone())["code"], 32);
        let taken = rpc.result("broadcast_tx_async", params.1);
        assert_eq!((&taken["code"], &taken["codespace"]), (&json!(0), &json!("")));
        let refused = rpc.result("broadcast_tx_sync", params.2.clone());
        assert_eq!((&refused["code"], &refused["codespace"]), (&json!(32), &json!("sdk")));
        let why = rpc.error("tx", json!({ "hash": refused["hash"] })).1;
        assert!(why.contains("was refused") && why.contains("sequence"), "{why}");
        let refused = rpc.result("broadcast_tx_commit", params.2);
        assert_eq!((&refused["check_tx"]["code"], &refused["height"]), (&json!(32), &json!("0")));
        let waiting = rpc.result("unconfirmed_txs", json!({ "limit": "1" }));
        assert_eq!((&waiting["n_txs"], &waiting["total"]), (&json!("1"), &json!("2")));
    });
    work.await.unwrap();
    node.blocks(1).await;
    let included = waiting.await.unwrap();
    assert_eq!((&included["height"], &included["tx_result"]["code"]), (&json!("2"), &json!(0)));
    assert_eq!(included["check_tx"]["code"], 0);
    // Nobody makes a block for this one: the answer comes all the same, and says so.
    let late = json!({ "tx": STANDARD.encode(transfer("alice", 0, 2, 1)) });
    let began = std::time::Instant::now();
    let (code, message) =
        tokio::task::spawn_blocking(move || rpc.error("broadcast_tx_commit", late)).await.unwrap();
    assert!(code == -32603 && message.contains("timed out"), "{message}");
    assert!((9..15).contains(&began.elapsed().as_secs()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_the_store_are_proven_to_verifiers_of_ics_23() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    two_blocks(&mut node).await;
    node.blocks(1).await;
    let rpc = node.rpc;
    let work = tokio::task::spawn_blocking(move || {
        for height in ["1", "2", "3"] {
            // The first item of the state: what the chain remembers of itself.
            let query = |key: &str| {
                rpc.result(
                    "abci_query",
                    json!({ "path": "/store/state/key", "data": key, "height": height, "prove": true }),
                )["response"]
                    .take()
            };
            let answer = query(&hex::encode(b"00"));
            assert_eq!((&answer["code"], &answer["height"]), (&json!(0), &json!(height)));
            let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
            let op = &answer["proofOps"]["ops"][0];
            assert_eq!((op["type"].as_str(), bytes(&op["key"])), (Some("ics23:jmt"), b"00".to_vec()));
            let proof = ics23::CommitmentProof::decode(bytes(&op["data"]).as_slice()).unwrap();
            let header = rpc.result("header", json!({ "height": height }));
            let root = hex::decode(header["header"]["app_hash"].as_str().unwrap()).unwrap();
            let proves = |value: &[u8]| {
                let spec = jmt::ics23_spec();
                ics23::verify_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, b"00", value)
            };
            assert!(proves(&bytes(&answer["value"])));
            assert!(!proves(b"something else"));
            let absent = query("ffff");
            assert_eq!(
                (&absent["value"], &absent["proofOps"]["ops"][0]["type"]),
                (&Value::Null, &json!("dodona:absence"))
            );
        }
        let unproven = rpc.result("abci_query", json!(["/store/state/key", "3030"]));
        assert_eq!(unproven["response"]["proofOps"], Value::Null);
        for (path, height, code) in
            [("/store/bank/key", "1", 6), ("/store/state/key", "9", 18), ("/nothing", "0", 6)]
        {
            let answer = rpc
                .result("abci_query", json!({ "path": path, "data": "", "height": height, "prove": true }));
            assert_eq!(answer["response"]["code"], code, "{path}: {answer}");
        }
    });
    work.await.unwrap();
    node.stop().await;
}
