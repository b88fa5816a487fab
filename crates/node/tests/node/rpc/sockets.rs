//! Subscriptions on websockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::common::{Frame, Running, Socket, genesis, person};

fn subscribe(socket: &mut Socket, id: &str, query: &str) -> Value {
    socket.ask(json!(id), "subscribe", json!({ "query": query }))
}

/// Height a message is about.
fn height(message: &Value) -> &str {
    let value = &message["result"]["data"]["value"];
    [
        &value["height"],
        &value["header"]["height"],
        &value["block"]["header"]["height"],
        &value["TxResult"]["height"],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .unwrap_or_else(|| panic!("{message}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_is_told_once_and_in_order_to_whom_it_concerns() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    node.blocks(1).await;
    let (alice, bob) = (person("alice").address(), person("bob").address());
    let mut socket = node.rpc.websocket();
    for (id, query) in [
        ("blocks", "tm.event='NewBlock'".to_string()),
        ("headers", "tm.event = 'NewBlockHeader' AND block.height > 3".to_string()),
        ("events", "tm.event='NewBlockEvents'".to_string()),
        ("alice", format!("tm.event='Tx' AND message.sender='{alice}'")),
        ("to alice", format!("tm.event='Tx' AND transfer.recipient='{alice}' AND transfer.amount>5")),
        ("any", format!("coin_spent.spender='{bob}'")),
        ("others", "tm.event='NewBlockEvents' AND emissions.v10.EventX.topic_id='\"1\"'".to_string()),
        ("votes", "tm.event='Vote'".to_string()),
    ] {
        assert_eq!(subscribe(&mut socket, id, &query)["result"], json!({}));
    }
    // By place, with a number as id, as some wallets write it.
    let hash = node.send(1);
    let traced = json!([format!("tm.event='Tx' AND tx.hash='{}'", hash.to_lowercase())]);
    assert_eq!(socket.ask(json!(5), "subscribe", traced)["result"], json!({}));
    node.send_back(2);
    node.blocks(1).await;
    node.send_back(9);
    for _ in 0..3 {
        node.blocks(1).await;
    }

    let mut told: Vec<(Value, String)> = Vec::new();
    let rest = tokio::task::spawn_blocking(move || {
        while told.len() < 15 {
            let message = socket.next();
            assert!(message["error"].is_null(), "{message}");
            told.push((message["id"].clone(), height(&message).to_string()));
            if message["id"] == "alice" {
                let value = &message["result"]["data"]["value"]["TxResult"];
                assert_eq!((&value["index"], &value["result"]["code"]), (&json!(0), &json!(0)));
                assert_eq!(message["result"]["events"]["tx.hash"], json!([hash]));
                assert_eq!(message["result"]["data"]["type"], "tendermint/event/Tx");
            }
        }
        told
    });
    let told = rest.await.unwrap();
    let of = |id: Value| told.iter().filter(|(i, _)| *i == id).map(|(_, h)| h.as_str()).collect::<Vec<_>>();
    assert_eq!(of(json!("blocks")), ["2", "3", "4", "5"]);
    assert_eq!(of(json!("headers")), ["4", "5"]);
    assert_eq!(of(json!("events")), ["2", "3", "4", "5"]);
    assert_eq!(of(json!("alice")), ["2"]);
    assert_eq!(of(json!(5)), ["2"]);
    assert_eq!(of(json!("to alice")), ["3"]);
    assert_eq!(of(json!("any")), ["2", "3"]);
    assert_eq!(told.len(), 15);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_limited_refused_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(dir.path()).await;
    let mut socket = node.rpc.websocket();
    let blocks = "tm.event='NewBlockHeader'";
    assert_eq!(subscribe(&mut socket, "bad", "tm.event")["error"]["code"], -32602);
    assert_eq!(subscribe(&mut socket, "bad", &"x".repeat(513))["error"]["code"], -32602);
    assert_eq!(socket.ask(json!("bad"), "subscribe", json!({ "query": 5 }))["error"]["code"], -32602);
    assert_eq!(socket.ask(json!("bad"), "unsubscribe", json!({ "query": blocks }))["error"]["code"], -32603);

    // Two ids with one query: each is ended by its own id.
    for id in ["one", "two", "two"] {
        subscribe(&mut socket, id, blocks);
    }
    assert_eq!(socket.ask(json!("one"), "unsubscribe", json!({ "query": blocks }))["result"], json!({}));
    node.blocks(1).await;
    assert_eq!(socket.next()["id"], "two");
    // An unknown id ends those of its query.
    assert_eq!(socket.ask(json!("three"), "unsubscribe", json!({ "query": blocks }))["result"], json!({}));
    // Whoever still listens is told; the witness, who came last, is the first to be.
    subscribe(&mut socket, "witness", "tm.event='NewBlock'");
    node.blocks(1).await;
    assert_eq!(socket.next()["id"], "witness");
    assert_eq!(socket.ask(json!("witness"), "unsubscribe", json!({}))["result"], json!({}));

    for id in 0..64 {
        assert_eq!(subscribe(&mut socket, &id.to_string(), blocks)["result"], json!({}));
    }
    let full = subscribe(&mut socket, "64", blocks);
    assert!(full["error"]["message"].as_str().unwrap().contains("at most 64"), "{full}");
    assert_eq!(socket.ask(json!(1), "unsubscribe_all", json!({}))["result"], json!({}));
    node.blocks(1).await;
    // Nothing is told any more: the next text is an answer. Requests and pings are answered as before.
    assert_eq!(socket.ask(json!(2), "status", json!({}))["result"]["sync_info"]["latest_block_height"], "3");
    socket.write(9, b"are you there");
    assert!(matches!(socket.read(), Some(Frame::Pong)));
    socket.write(1, b"this is not JSON");
    assert_eq!(socket.next()["error"]["code"], -32700);
    socket.send(
        &json!([{ "id": 1, "method": "health" }, { "id": 2, "method": "subscribe", "params": [blocks] }]),
    );
    let batch = socket.next();
    assert_eq!((&batch[0]["result"], &batch[1]["error"]["code"]), (&json!({}), &json!(-32603)));
    // A frame that is too large ends the connection, and only this one.
    socket.write(1, &vec![b' '; (1 << 20) + 1]);
    while !matches!(socket.read(), None | Some(Frame::Close(..))) {}
    assert_eq!(node.rpc.websocket().ask(json!(1), "health", json!({}))["result"], json!({}));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_off_and_delays_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    let mut slow = node.rpc.websocket();
    let mut quick = node.rpc.websocket();
    for id in 0..60 {
        subscribe(&mut slow, &id.to_string(), "tm.event='NewBlock'");
    }
    subscribe(&mut quick, "quick", "tm.event='NewBlockHeader'");
    let count = 800;
    let reader = tokio::task::spawn_blocking(move || {
        for expected in 1..=count {
            assert_eq!(height(&quick.next()), expected.to_string());
        }
    });
    let began = Instant::now();
    for _ in 0..count {
        if node.node.handle().head().height < 60 {
            node.send(1);
        }
        node.blocks(1).await;
    }
    let took = began.elapsed();
    reader.await.unwrap();
    assert!(took < Duration::from_secs(60), "{took:?}");
    // What was on its way comes, in order, then the reason.
    let ending = tokio::task::spawn_blocking(move || {
        let mut texts = 0;
        let mut last = Value::Null;
        loop {
            match slow.read() {
                Some(Frame::Text(text)) => {
                    last = serde_json::from_str(&text).unwrap();
                    texts += 1;
                }
                Some(Frame::Close(code, reason)) => return (texts, last, Some((code, reason))),
                Some(_) => {}
                None => return (texts, last, None),
            }
        }
    });
    let (texts, last, close) = ending.await.unwrap();
    assert!(texts < 60 * count, "{texts} messages came: nothing was cut off");
    // A peer whose buffers are full until the end gets no reason; one that begins to read does.
    if let Some((code, reason)) = close {
        assert_eq!(code, 1008, "{reason}");
        assert!(last["error"]["message"].as_str().unwrap().contains("too slowly"), "{last}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fits_no_frame_is_refused_with_its_size_and_read_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut large = genesis();
    let account = |n: u32| dodona_chain::GenesisAccount {
        address: person(&n.to_string()).address().to_string(),
        balance: 1,
    };
    large.accounts.extend((0..16_000).map(account));
    let node = Running::of(dir.path(), large, 0).await;
    let mut socket = node.rpc.websocket();
    let refused = socket.ask(json!("g"), "genesis", json!({}));
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(words.contains("bytes, a frame fewer than 1048576"), "{words}");
    let mut document = Vec::new();
    for chunk in 0.. {
        let answer = socket.ask(json!(chunk), "genesis_chunked", json!({ "chunk": chunk.to_string() }));
        let result = &answer["result"];
        document.extend(STANDARD.decode(result["data"].as_str().unwrap()).unwrap());
        let total: u32 = result["total"].as_str().unwrap().parse().unwrap();
        if total == chunk + 1 {
            assert!(chunk > 0);
            break;
        }
    }
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document, node.rpc.result("genesis", json!({}))["genesis"]);
    node.stop().await;
}
