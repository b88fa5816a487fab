//! The REST gateway of a running node: what wallets and explorers ask is answered in the form they read, garbage in any
//! place is refused politely, and the page about all methods tells the truth.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, Pace};
use dodona_proto::{ALLO, Address, Prefix, sign::AccountKey, tx};
use serde_json::{Value, json};

fn alice() -> AccountKey {
    AccountKey::from_seed(1, "alice")
}

async fn start(dir: &Path, gate: Gate) -> Node {
    let key = SigningKey::from_bytes(&[3; 32]);
    let alice = alice().address().to_string();
    let genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_767_225_600_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice.clone(), balance: 1_000 * ALLO }],
        validators: vec![GenesisValidator {
            public_key: hex::encode(key.verifying_key().to_bytes()),
            power: 10,
            operator: alice,
            ..GenesisValidator::default()
        }],
    };
    let bind = || dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Node::start(NodeConfig {
        rest: Some(bind()),
        grpc: Some(bind()),
        rpc: Some(bind()),
        ..NodeConfig::quiet(Home::open(dir, genesis, key).unwrap(), Clock::Steps(1_000), Pace::OnDemand(gate))
    })
    .await
    .unwrap()
}

async fn block(node: &Node, gate: &Gate) {
    let next = node.handle().head().height + 1;
    gate.open_until(Height(next));
    node.handle().reached(next).await;
}

/// What a unit of gas costs, as decimals are written.
fn price(node: &Node) -> String {
    format!("{}.000000000000000000", node.handle().app().params().unwrap().feemarket_min_base_gas_price)
}

/// A transfer to `to`, signed.
fn transfer(to: Address, sequence: u64, signed: bool) -> Vec<u8> {
    let key = alice();
    let signing = tx::Signing {
        key: &key,
        chain_id: if signed { "localnet" } else { "elsewhere" },
        account_number: 0,
        sequence,
        fee: 1_000_000,
        gas_limit: 100_000,
    };
    signing.build(vec![tx::send(key.address(), to, 7)], 0)
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// One request on a connection of its own.
fn http(address: SocketAddr, verb: &str, path: &str, heads: &str, body: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: example.org:1317\r\nConnection: close\r\n{heads}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer[end + 4..].to_vec();
    assert!(!head.contains("transfer-encoding: chunked"), "{head}");
    Answer { status, head, body }
}

fn get(address: SocketAddr, path: &str) -> Answer {
    http(address, "GET", path, "", b"")
}

/// The answer of a page that must be there.
fn page(address: SocketAddr, path: &str) -> Value {
    let answer = get(address, path);
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    assert!(answer.head.contains("access-control-allow-origin: *"), "{path}");
    answer.json()
}

fn post(address: SocketAddr, path: &str, body: Value) -> Answer {
    http(address, "POST", path, "Content-Type: application/json\r\n", body.to_string().as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Runs what blocks beside the node.
async fn aside<A: Send + 'static>(work: impl FnOnce() -> A + Send + 'static) -> A {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_finds_account_balance_and_chain_and_its_transfer_comes_back_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let at = node.rest_address().unwrap();
    let rpc_port = node.rpc_address().unwrap().port();
    let me = alice().address().to_string();
    let bob = AccountKey::from_seed(1, "bob").address();

    let price = price(&node);
    let asked = me.clone();
    let hash = aside(move || {
        let me = asked;
        let account = page(at, &format!("/cosmos/auth/v1beta1/accounts/{me}"));
        assert_eq!(account["account"]["@type"], "/cosmos.auth.v1beta1.BaseAccount");
        assert_eq!(account["account"]["sequence"], "0");
        assert_eq!(account["account"]["pub_key"], Value::Null);
        let balances = page(at, &format!("/cosmos/bank/v1beta1/balances/{me}?pagination.limit=5"));
        assert_eq!(balances["balances"], json!([{ "denom": "uallo", "amount": (1_000 * ALLO).to_string() }]));
        assert_eq!(balances["pagination"], json!({ "next_key": "", "total": "1" }));
        let spendable = page(at, &format!("/cosmos/bank/v1beta1/spendable_balances/{me}"));
        assert_eq!(spendable["balances"], balances["balances"]);
        let info = page(at, "/cosmos/base/tendermint/v1beta1/node_info");
        assert_eq!(info["default_node_info"]["network"], "localnet");
        assert_eq!(page(at, "/feemarket/v1/gas_prices")["prices"][0]["amount"], price);
        let text = get(at, "/llms.txt");
        assert!(text.status == 200 && text.body.starts_with(b"# Dodona"), "{}", text.head);
        let card = page(at, "/.well-known/keplr/chain.json");
        assert_eq!(card["rest"], "http://example.org:1317");
        assert_eq!(card["rpc"], format!("http://example.org:{rpc_port}"));
        assert_eq!(card["feeCurrencies"][0]["coinDecimals"], 18);
        assert_eq!(page(at, "/.well-known/dodona/chain.json")["chain_id"], "localnet");

        let bytes = transfer(bob, 0, true);
        let tried = post(at, "/cosmos/tx/v1beta1/simulate", json!({ "tx_bytes": base64(&bytes) }));
        assert_eq!(tried.status, 200);
        assert!(tried.json()["gas_info"]["gas_used"].as_str().unwrap().parse::<u64>().unwrap() > 0);
        let body = json!({ "tx_bytes": base64(&bytes), "mode": "BROADCAST_MODE_SYNC" });
        let sent = post(at, "/cosmos/tx/v1beta1/txs", body).json();
        assert_eq!(sent["tx_response"]["code"], 0, "{sent}");
        assert_eq!(sent["tx_response"]["height"], "0");
        sent["tx_response"]["txhash"].as_str().unwrap().to_string()
    })
    .await;

    // Asked while it waits: the answer comes with the block.
    let (asked, waited) = (hash.clone(), Instant::now());
    let waiting = tokio::task::spawn_blocking(move || page(at, &format!("/cosmos/tx/v1beta1/txs/{asked}")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    block(&node, &gate).await;
    let found = waiting.await.unwrap();
    assert!(waited.elapsed() > Duration::from_millis(250) && waited.elapsed() < Duration::from_secs(7));

    aside(move || {
        let message = &found["tx"]["body"]["messages"][0];
        assert_eq!(message["@type"], "/cosmos.bank.v1beta1.MsgSend");
        assert_eq!(message["to_address"], bob.to_string());
        assert_eq!(message["amount"], json!([{ "denom": "uallo", "amount": "7" }]));
        let mode = &found["tx"]["auth_info"]["signer_infos"][0]["mode_info"];
        assert_eq!(*mode, json!({ "single": { "mode": "SIGN_MODE_DIRECT" } }));
        let response = &found["tx_response"];
        assert_eq!((&response["code"], &response["height"]), (&json!(0), &json!("2")));
        assert_eq!(response["tx"]["@type"], "/cosmos.tx.v1beta1.Tx");
        assert_eq!(response["timestamp"], "2026-01-01T00:00:02Z");
        let kinds: Vec<&str> =
            response["events"].as_array().unwrap().iter().filter_map(|e| e["type"].as_str()).collect();
        assert!(
            ["tx", "message", "coin_spent", "transfer"].iter().all(|kind| kinds.contains(kind)),
            "{kinds:?}"
        );

        for query in [format!("tx.hash='{hash}'"), "tx.height=2".into(), "tx.height='2'".into()] {
            let query = query.replace('\'', "%27");
            let found = page(at, &format!("/cosmos/tx/v1beta1/txs?query={query}"));
            assert_eq!((&found["total"], &found["tx_responses"][0]["txhash"]), (&json!("1"), &json!(hash)));
            let found = page(at, &format!("/cosmos/tx/v1beta1/txs?events={query}&order_by=2"));
            assert_eq!(found["txs"].as_array().unwrap().len(), 1);
        }
        let block = page(at, "/cosmos/tx/v1beta1/txs/block/2");
        assert_eq!(block["txs"][0], found["tx"]);
        let latest = page(at, "/cosmos/base/tendermint/v1beta1/blocks/latest");
        assert_eq!(latest["block"], block["block"]);
        assert_eq!(latest["sdk_block"]["header"]["height"], "2");
        let proposer = latest["sdk_block"]["header"]["proposer_address"].as_str().unwrap();
        Address::read(proposer, Prefix::Consensus).unwrap();
        assert_eq!(latest["block"]["last_commit"]["signatures"][0]["block_id_flag"], "BLOCK_ID_FLAG_COMMIT");
        let first = page(at, "/cosmos/base/tendermint/v1beta1/blocks/1");
        assert_eq!(latest["block"]["header"]["last_block_id"]["hash"], first["block_id"]["hash"]);

        let raw = latest["block"]["data"]["txs"][0].clone();
        let open = post(at, "/cosmos/tx/v1beta1/decode", json!({ "tx_bytes": raw })).json();
        assert_eq!(open["tx"], found["tx"]);
        let closed = post(at, "/cosmos/tx/v1beta1/encode", json!({ "tx": open["tx"] })).json();
        assert_eq!(closed["tx_bytes"], raw, "what was taken apart is put together again");
    })
    .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explorer_finds_validators_supply_modules_and_owners() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let at = node.rest_address().unwrap();
    let price = price(&node);
    aside(move || {
        let me = alice().address();
        let operator = me.written(Prefix::Operator);
        let validators = page(at, "/cosmos/staking/v1beta1/validators?status=BOND_STATUS_BONDED");
        let validator = &validators["validators"][0];
        assert_eq!(validator["operator_address"], operator);
        assert_eq!(validator["commission"]["commission_rates"]["rate"], "0.100000000000000000");
        assert_eq!(validator["description"]["moniker"], "validator-1");
        assert_eq!(validator["unbonding_time"], "1970-01-01T00:00:00Z");
        assert_eq!(
            page(at, &format!("/cosmos/staking/v1beta1/validators/{operator}"))["validator"],
            *validator
        );
        let staked = (10 * ALLO).to_string();
        assert_eq!(page(at, "/cosmos/staking/v1beta1/pool")["pool"]["bonded_tokens"], staked);
        assert_eq!(page(at, "/cosmos/staking/v1beta1/params")["params"]["bond_denom"], "uallo");
        let own = page(at, &format!("/cosmos/staking/v1beta1/delegations/{me}"));
        assert_eq!(own["delegation_responses"][0]["balance"]["amount"], staked);
        let nobody = Address([7; 20]);
        let one = get(at, &format!("/cosmos/staking/v1beta1/validators/{operator}/delegations/{nobody}"));
        assert!(one.status == 404 && one.json()["message"].as_str().unwrap().contains("not found"));
        let set = page(at, "/cosmos/base/tendermint/v1beta1/validatorsets/latest");
        assert_eq!(set["validators"][0]["voting_power"], "10");
        assert_eq!(set["validators"][0]["pub_key"], validator["consensus_pubkey"]);
        assert_eq!(
            page(at, "/cosmos/base/tendermint/v1beta1/validatorsets/1")["validators"],
            set["validators"]
        );
        let rewards = page(at, &format!("/cosmos/distribution/v1beta1/delegators/{nobody}/rewards"));
        assert_eq!(rewards, json!({ "rewards": [], "total": [] }));
        let params = page(at, "/cosmos/distribution/v1beta1/params");
        assert_eq!(params["params"]["community_tax"], "0.000000000000000000");

        let supply = page(at, "/cosmos/bank/v1beta1/supply");
        let by_denom = page(at, "/cosmos/bank/v1beta1/supply/by_denom?denom=uallo");
        assert_eq!(supply["supply"][0], by_denom["amount"]);
        let metadata = page(at, "/cosmos/bank/v1beta1/denoms_metadata/uallo");
        assert_eq!(metadata["metadata"]["denom_units"][1]["exponent"], 18);
        assert_eq!(get(at, "/cosmos/bank/v1beta1/denoms_metadata/ubtc").status, 404);

        let modules = page(at, "/cosmos/auth/v1beta1/module_accounts");
        assert_eq!(modules["accounts"].as_array().unwrap().len(), 8);
        let one = page(at, "/cosmos/auth/v1beta1/module_accounts/ecosystem");
        assert_eq!(one["account"]["@type"], "/cosmos.auth.v1beta1.ModuleAccount");
        assert_eq!(get(at, "/cosmos/auth/v1beta1/module_accounts/nobody").status, 404);
        assert_eq!(page(at, "/cosmos/auth/v1beta1/bech32")["bech32_prefix"], "allo");
        let bytes = page(at, &format!("/cosmos/auth/v1beta1/bech32/{me}"));
        assert_eq!(bytes["address_bytes"], base64(&me.0));

        // Pages of one row each hold every account once.
        let total = page(at, "/cosmos/auth/v1beta1/accounts")["pagination"]["total"].clone();
        let (mut key, mut seen) = (String::new(), Vec::new());
        loop {
            let path = format!("/cosmos/auth/v1beta1/accounts?pagination.limit=1&pagination.key={key}");
            let answer = page(at, &path.replace('+', "%2B"));
            seen.push(answer["accounts"][0]["address"].as_str().unwrap().to_string());
            key = answer["pagination"]["next_key"].as_str().unwrap().into();
            if key.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len().to_string(), total.as_str().unwrap());
        seen.dedup();
        assert_eq!(seen.len().to_string(), total.as_str().unwrap());
        let owners = page(at, "/cosmos/bank/v1beta1/denom_owners/uallo");
        let sum: u128 = owners["denom_owners"].as_array().unwrap().iter().fold(0, |sum, owner| {
            sum + owner["balance"]["amount"].as_str().unwrap().parse::<u128>().unwrap()
        });
        assert_eq!(sum.to_string(), supply["supply"][0]["amount"].as_str().unwrap());
        let status = page(at, "/cosmos/base/node/v1beta1/status");
        assert_eq!((&status["height"], &status["timestamp"]), (&json!("1"), &json!("2026-01-01T00:00:01Z")));
        let config = page(at, "/cosmos/base/node/v1beta1/config");
        assert_eq!(config["minimum_gas_price"], format!("{price}uallo"));
    })
    .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heights_are_told_browsers_are_let_in_and_old_pages_stay_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    block(&node, &gate).await;
    let at = node.rest_address().unwrap();
    aside(move || {
        let path = "/emissions/v10/next_topic_id";
        let newest = get(at, path);
        for name in ["x-cosmos-block-height", "grpc-metadata-x-cosmos-block-height"] {
            assert!(newest.head.contains(&format!("\r\n{name}: 2\r\n")), "{}", newest.head);
        }
        let same = http(at, "GET", path, "x-cosmos-block-height: 2\r\n", b"");
        assert_eq!((same.status, same.body), (200, newest.body));
        for bad in ["3", "99999999999", "-1", "x", "1e3"] {
            let refused = http(at, "GET", path, &format!("x-cosmos-block-height: {bad}\r\n"), b"");
            assert_eq!((refused.status, &refused.json()["code"]), (400, &json!(3)), "{bad}");
        }
        let preflight = http(at, "OPTIONS", "/cosmos/tx/v1beta1/txs", "Origin: http://x\r\n", b"");
        assert_eq!(preflight.status, 204);
        for head in ["access-control-allow-origin: *", "access-control-allow-methods: get, post"] {
            assert!(preflight.head.contains(head), "{}", preflight.head);
        }
        let missing = get(at, "/nothing/here");
        assert!(missing.status == 404 && missing.head.contains("access-control-allow-origin: *"));
        assert_eq!(missing.json()["details"], json!([]));
        let wrong = http(at, "DELETE", path, "", b"");
        assert!(wrong.status == 405 && wrong.head.contains("\r\nallow: get"), "{}", wrong.head);
        let head = http(at, "HEAD", path, "", b"");
        assert!(head.status == 200 && head.body.is_empty());
        for path in ["/status", "/blocks/latest", "/params", "/emission", "/topics"] {
            assert_eq!(page(at, path), page(at, &format!("/dodona/v1{path}")), "{path}");
        }
        assert!(page(at, "/")["pages"].as_array().unwrap().len() > 10);
        let docs = get(at, "/docs");
        assert!(docs.status == 200 && docs.head.contains("text/html"));
        let text = String::from_utf8(docs.body).unwrap();
        assert!(!text.contains("src=") && !text.contains("http://") && !text.contains("https://"));
    })
    .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_any_place_is_refused_and_never_our_own_fault() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let at = node.rest_address().unwrap();
    let deaf = node.handle().clone();
    aside(move || {
        let texts = [
            "0",
            "1",
            "-1",
            "18446744073709551615",
            "9223372036854775807",
            "99999999999999999999",
            "x",
            "%00",
            "%ff",
            "%F0%9F%92%A9",
            "..",
            "%2e%2e%2f",
            "AQ==",
            "'",
            "uallo",
            "BROADCAST_MODE_SYNC",
        ];
        let long = "a".repeat(5_000);
        for route in dodona_proto::routes() {
            for text in texts.into_iter().chain([long.as_str()]) {
                let mut parts: Vec<&str> = route.pattern.split('/').collect();
                parts.iter_mut().filter(|part| part.starts_with('{')).for_each(|part| *part = text);
                let query =
                    format!("?pagination.limit={text}&pagination.key={text}&page={text}&denom={text}");
                let answer = http(at, route.verb, &(parts.join("/") + &query), "", text.as_bytes());
                let fine = answer.status < 500 || answer.status == 501;
                assert!(fine, "{} {}: {}", route.method, text, String::from_utf8_lossy(&answer.body));
                let told = answer.status == 200 || answer.json()["code"].is_u64();
                assert!(told || answer.status == 405, "{} {text}", route.method);
            }
        }
        let bodies: [&[u8]; 8] = [
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"{\"tx_bytes\": {}}",
            b"{\"tx\": {\"body\": 7}}",
            b"{\"tx\": {\"body\": {\"messages\": [{\"@type\": \"/x.Y\"}]}}}",
            b"{\"tx_bytes\": \"!!\"}",
        ];
        for path in ["simulate", "txs", "decode", "encode"] {
            for body in bodies {
                let answer = http(at, "POST", &format!("/cosmos/tx/v1beta1/{path}"), "", body);
                let shown = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(answer.status < 500, "{path}: {shown}");
            }
        }
        let wrong = transfer(alice().address(), 0, false);
        let sent = post(at, "/cosmos/tx/v1beta1/txs", json!({ "tx_bytes": base64(&wrong) }));
        assert_eq!(sent.status, 200, "a refusal is an answer");
        assert_ne!(sent.json()["tx_response"]["code"], 0);
        let nested = json!({ "path": "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery" });
        let path =
            format!("/cosmos/base/tendermint/v1beta1/abci_query?path={}", nested["path"].as_str().unwrap());
        assert_eq!(get(at, &path).status, 400);
        // Nothing is waited for when nothing waits.
        let begun = Instant::now();
        assert_eq!(get(at, &format!("/cosmos/tx/v1beta1/txs/{}", "0".repeat(64))).status, 404);
        assert!(begun.elapsed() < Duration::from_secs(2));
    })
    .await;
    deaf.app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_who_wait_for_a_transaction_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let at = node.rest_address().unwrap();
    let bytes = transfer(alice().address(), 0, true);
    let hash = node.handle().broadcast(&bytes).unwrap();
    let path = format!("/cosmos/tx/v1beta1/txs/{}", hex::encode(hash));
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || get(at, &path).status)
        })
        .collect();
    // Sixty-four are held back, the others are told at once that it is in no block yet.
    let begun = Instant::now();
    while asking.iter().filter(|one| one.is_finished()).count() < 200 - 64 {
        assert!(begun.elapsed() < Duration::from_secs(6), "too many are held back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    aside(move || page(at, "/cosmos/base/tendermint/v1beta1/blocks/latest")).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "others are answered meanwhile");
    block(&node, &gate).await;
    let mut told: BTreeMap<u16, usize> = BTreeMap::new();
    for one in asking {
        *told.entry(one.await.unwrap()).or_default() += 1;
    }
    assert_eq!(told, BTreeMap::from([(200, 64), (404, 136)]));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_page_describes_what_is_served_and_points_nowhere_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), Gate::new()).await;
    let at = node.rest_address().unwrap();
    let all = aside(move || page(at, "/openapi.json")).await;
    assert_eq!(all["openapi"], "3.1.0");
    let paths = all["paths"].as_object().unwrap();
    assert!(paths.len() > 150, "{}", paths.len());
    let balances = &paths["/cosmos/bank/v1beta1/balances/{address}"]["get"];
    let names: Vec<&str> =
        balances["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"address") && names.contains(&"pagination.limit"), "{names:?}");
    assert!(paths["/cosmos/tx/v1beta1/txs"]["post"]["requestBody"].is_object());
    fn references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    into.push(to.clone());
                }
                fields.values().for_each(|v| references(v, into));
            }
            Value::Array(values) => values.iter().for_each(|v| references(v, into)),
            _ => {}
        }
    }
    let mut used = Vec::new();
    references(&all, &mut used);
    assert!(used.len() > 300);
    for to in used {
        let name = to.strip_prefix("#/components/schemas/").unwrap();
        assert!(all["components"]["schemas"][name].is_object(), "{to}");
    }
    node.stop().await.unwrap();
}

/// `DODONA_METHODS=write` writes the page anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_methods_is_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), Gate::new()).await;
    let (rest, rpc) = (node.rest_address().unwrap(), node.rpc_address().unwrap());
    let page = aside(move || methods_page(rest, rpc)).await;
    node.stop().await.unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/methods.md");
    if std::env::var("DODONA_METHODS").is_ok_and(|v| v == "write") {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/methods.md is out of date: run this test with DODONA_METHODS=write");
}

/// Every method of every service, and whether an empty request finds somebody.
fn methods_page(rest: SocketAddr, rpc: SocketAddr) -> String {
    let mut routes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for route in dodona_proto::routes() {
        routes.entry(route.method).or_default().push(format!("{} {}", route.verb, route.pattern));
    }
    let mut services: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    for (path, request, _) in dodona_proto::methods() {
        let (service, name) = path.trim_start_matches('/').rsplit_once('/').unwrap();
        let served = if carries_messages(service) {
            understood(rest, &request)
        } else {
            let asked =
                json!({ "jsonrpc": "2.0", "id": 1, "method": "abci_query", "params": { "path": path } });
            let answer = post(rpc, "/", asked).json();
            let log = answer["result"]["response"]["log"].as_str().unwrap_or_default().to_string();
            !log.starts_with("unknown query path")
        };
        let rest = routes.get(&path).map_or(String::new(), |all| all.join(", "));
        services.entry(service.into()).or_default().push((name.into(), rest, served));
    }
    let mut page = String::from(
        "# Methods\n\nEvery method of every service in `proto/`: its REST path, and whether a node answers it. A test \
         asks a fresh node\nwith an empty request and compares; `DODONA_METHODS=write` writes this page anew. What a \
         service named `Msg` lists is sent\nas a message of a transaction, not asked: there the question is whether \
         the chain knows the message. The same as OpenAPI:\n`/openapi.json`; to try things out: `/docs`.\n",
    );
    for (service, methods) in services {
        let (yes, no) = match carries_messages(&service) {
            true => ("in transactions", "unknown"),
            false => ("answered", "UNIMPLEMENTED"),
        };
        let served = methods.iter().filter(|(_, _, served)| *served).count();
        page.push_str(&format!("\n## {service}\n\n{served} of {} {yes}.\n\n", methods.len()));
        page.push_str("| method | REST | state |\n|---|---|---|\n");
        for (name, rest, served) in methods {
            let rest = if rest.is_empty() { String::new() } else { format!("`{rest}`") };
            page.push_str(&format!("| {name} | {rest} | {} |\n", if served { yes } else { no }));
        }
    }
    page
}

fn carries_messages(service: &str) -> bool {
    service.ends_with(".Msg") || service.ends_with(".MsgService")
}

/// Whether the chain knows a message: an empty one is refused for what is in it, not for what it is.
fn understood(rest: SocketAddr, message: &str) -> bool {
    let key = alice();
    let sender = tx::Sender { public_key: key.public(), sequence: 0, fee: 1_000_000, gas_limit: 100_000 };
    let empty = prost_types::Any { type_url: format!("/{message}"), value: Vec::new() };
    let body = json!({ "tx_bytes": base64(&sender.unsigned(vec![empty])) });
    let answer = post(rest, "/cosmos/tx/v1beta1/simulate", body);
    assert!(answer.status == 200 || answer.status == 400, "{message}: {}", answer.status);
    !String::from_utf8_lossy(&answer.body).contains("unknown message type")
}
