//! Searches by events, and the index behind them: deleted, cut off, damaged, limited.

use std::{fs, path::Path};

use dodona_chain::QueryError;
use serde_json::{Value, json};

use super::common::{Rpc, Running, person};

/// What the searches of these tests answer, as one value.
fn answers(rpc: Rpc) -> Value {
    let alice = person("alice").address();
    let bob = person("bob").address();
    let queries = [
        format!("message.sender='{alice}'"),
        format!("message.sender='{bob}' AND transfer.amount > 250"),
        format!("transfer.recipient='{bob}' AND tx.height > 3 AND tx.height <= 500"),
        "message.action='/cosmos.bank.v1beta1.MsgSend'".to_string(),
        "tx.fee EXISTS AND transfer.amount CONTAINS '7ual'".to_string(),
        "tm.event='Tx' AND tx.height >= 7".to_string(),
        "transfer.amount='1uallo'".to_string(),
        "transfer.amount='nothing'".to_string(),
        "tm.event='NewBlock'".to_string(),
    ];
    let found = |query: &String| {
        let mut pages = Vec::new();
        for page in 1.. {
            let params = json!({ "query": query, "page": page.to_string(), "per_page": "7" });
            let result = rpc.result("tx_search", params);
            let total: u64 = result["total_count"].as_str().unwrap().parse().unwrap();
            let place = |tx: &Value| json!([tx["height"], tx["index"], tx["hash"]]);
            pages.extend(result["txs"].as_array().unwrap().iter().map(place));
            if pages.len() as u64 >= total {
                assert_eq!(pages.len() as u64, total, "{query}");
                break;
            }
        }
        json!([query, pages])
    };
    let txs: Vec<Value> = queries.iter().map(found).collect();
    let blocks = rpc.result("block_search", json!({ "query": "block.height >= 3 AND block.height < 6" }));
    let heights = |block: &Value| block["block"]["header"]["height"].clone();
    let blocks: Vec<Value> = blocks["blocks"].as_array().unwrap().iter().map(heights).collect();
    json!([txs, blocks])
}

/// Blocks of both, then many empty ones, then one more of bob.
async fn history(node: &mut Running, empty: u64) {
    for amount in 1..=12 {
        node.send(amount);
        node.send_back(100 * amount);
        node.send_back(1);
        node.blocks(1).await;
    }
    node.blocks(empty).await;
    node.send_back(777);
    node.blocks(1).await;
}

async fn ask(node: &Running) -> Value {
    let rpc = node.rpc;
    tokio::task::spawn_blocking(move || answers(rpc)).await.unwrap()
}

/// Waits until a search sees the newest block, which has a transaction of bob.
async fn caught_up(node: &Running) {
    let handle = node.node.handle().clone();
    let query = format!("tx.height={} AND transfer.amount='777uallo'", handle.head().height);
    for _ in 0..600 {
        let found = handle.search_txs(&query, 1, 1, false).await;
        if found.is_ok_and(|(_, total)| total == 1) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the index does not catch up");
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_what_happened_in_order_and_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::start(dir.path()).await;
    history(&mut node, 3).await;
    let (rpc, handle) = (node.rpc, node.node.handle().clone());
    let found = ask(&node).await;
    let count = |at: usize| found[0][at][1].as_array().unwrap().len();
    assert_eq!((0..9).map(count).collect::<Vec<_>>(), [12, 11, 9, 37, 2, 19, 13, 0, 0]);
    assert_eq!(found[1], json!(["5", "4", "3"]), "blocks come newest first");
    let work = tokio::task::spawn_blocking(move || {
        let alice = person("alice").address();
        let query = format!("message.sender='{alice}'");
        let (oldest, total) = wait(handle.search_txs(&query, 1, 5, false)).unwrap();
        assert_eq!((oldest.iter().map(|r| r.height).collect::<Vec<_>>(), total), (vec![1, 2, 3, 4, 5], 12));
        let (newest, _) = wait(handle.search_txs(&query, 3, 5, true)).unwrap();
        assert_eq!(newest.iter().map(|r| r.height).collect::<Vec<_>>(), [2, 1]);
        assert!(matches!(wait(handle.search_txs(&query, 4, 5, true)), Err(QueryError::Bad(_))));
        assert!(matches!(wait(handle.search_txs(&query, 1, 101, true)), Err(QueryError::Bad(_))));
        assert!(matches!(wait(handle.search_txs("nonsense", 1, 5, true)), Err(QueryError::Bad(_))));
        let by_hash = format!("tx.hash='{}' AND message.sender='{alice}'", hex::encode(&oldest[0].hash));
        assert_eq!(wait(handle.search_txs(&by_hash, 1, 5, false)).unwrap().1, 1);
        assert_eq!(wait(handle.search_txs(&format!("{by_hash} AND tx.height=2"), 1, 5, false)).unwrap().1, 0);
        // Two conditions that hold for different events of one transaction hold for the transaction.
        let both =
            format!("transfer.sender='{alice}' AND message.action CONTAINS 'MsgSend' AND transfer.amount=3");
        assert_eq!(wait(handle.search_txs(&both, 1, 5, false)).unwrap().1, 1);
        let last = rpc.result("block", json!({}))["block_id"]["hash"].clone();
        let query = format!("block.hash='{}'", last.as_str().unwrap().to_lowercase());
        assert_eq!(rpc.result("block_search", json!([query]))["total_count"], "1");
    });
    work.await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_damaged_or_half_made_index_comes_to_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let restarted = || Running::start(dir.path());

    // An index cut off early: what a kill leaves is the last write that was whole.
    let mut node = restarted().await;
    node.send_back(777);
    node.blocks(1).await;
    caught_up(&node).await;
    node.stop().await;
    let early = fs::read(&path).unwrap();

    let mut node = restarted().await;
    history(&mut node, 600).await;
    caught_up(&node).await;
    let expected = ask(&node).await;
    node.stop().await;

    let same = async |what: &str| {
        let node = restarted().await;
        caught_up(&node).await;
        assert_eq!(ask(&node).await, expected, "{what}");
        node.stop().await;
    };
    same("as it was").await;
    fs::write(&path, &early).unwrap();
    same("continued from an early state").await;
    fs::remove_file(&path).unwrap();
    same("deleted").await;
    fs::write(&path, b"this is no index").unwrap();
    same("replaced by something else").await;
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    same("torn").await;
    fs::remove_file(&path).unwrap();
    // Stopped while it is being made, again and again.
    for _ in 0..3 {
        restarted().await.stop().await;
    }
    same("made in pieces").await;
    another_history(dir.path(), &early).await;
}

/// An index of another chain's blocks is not believed.
async fn another_history(dir: &Path, index_of_other: &[u8]) {
    let other = tempfile::tempdir().unwrap();
    let mut node = Running::start(other.path()).await;
    node.send(5);
    node.blocks(1).await;
    node.send_back(777);
    node.blocks(1).await;
    caught_up(&node).await;
    let expected = ask(&node).await;
    node.stop().await;
    fs::write(other.path().join("index.redb"), index_of_other).unwrap();
    let node = Running::start(other.path()).await;
    caught_up(&node).await;
    assert_eq!(ask(&node).await, expected);
    node.stop().await;
    assert!(dir.join("index.redb").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_few_blocks_forgets_only_what_is_older() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::keeping(dir.path(), 50).await;
    history(&mut node, 30).await;
    let of_bob = |node: &Running| {
        let handle = node.node.handle().clone();
        let query = format!("message.sender='{}'", person("bob").address());
        tokio::task::spawn_blocking(move || {
            let (found, total) = wait(handle.search_txs(&query, 1, 5, false)).unwrap();
            (found[0].height, total)
        })
    };
    caught_up(&node).await;
    // Entries go by the bucket, so all of this is still there.
    assert_eq!(of_bob(&node).await.unwrap(), (1, 25));
    node.blocks(1_100).await;
    node.send_back(777);
    let last = node.blocks(1).await;
    caught_up(&node).await;
    assert_eq!(of_bob(&node).await.unwrap(), (last, 1));
    node.stop().await;
    // Made again, it does not even look at what is older.
    fs::remove_file(dir.path().join("index.redb")).unwrap();
    let node = Running::keeping(dir.path(), 50).await;
    caught_up(&node).await;
    assert_eq!(of_bob(&node).await.unwrap(), (last, 1));
    node.stop().await;
}

/// What a question comes to, on a thread that may wait.
fn wait<A>(question: impl Future<Output = A>) -> A {
    tokio::runtime::Handle::current().block_on(question)
}
