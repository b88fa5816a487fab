//! A whole node with one validator: its blocks prove its state, its door answers, garbage does it no harm.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::{
    Block, Certificate, Header, PublicKey, SigningKey, Validator, ValidatorSet, verify_certificate,
};
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, NodeError, Pace};
use dodona_proto::{ALLO, sign::AccountKey, tx};
use dodona_store::RecordTable;

fn validator_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn genesis() -> Genesis {
    genesis_of(1_000)
}

/// One validator, and alice with so many ALLO.
fn genesis_of(purse: u128) -> Genesis {
    let alice = AccountKey::from_seed(1, "alice").address().to_string();
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice.clone(), balance: purse * ALLO }],
        validators: vec![GenesisValidator {
            public_key: hex::encode(validator_key().verifying_key().to_bytes()),
            power: 10,
            operator: alice,
            ..GenesisValidator::default()
        }],
    }
}

async fn start(dir: &std::path::Path, gate: Gate) -> Node {
    let home = Home::open(dir, genesis(), validator_key()).unwrap();
    let rest = dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Node::start(NodeConfig {
        rest: Some(rest),
        rpc: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        ..NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate))
    })
    .await
    .unwrap()
}

async fn block(node: &Node, gate: &Gate) -> u64 {
    let next = node.handle().head().height + 1;
    gate.open_until(Height(next));
    node.handle().reached(next).await;
    next
}

/// One request on a connection of its own; the whole answer as text.
fn http(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    // A door may say what it has to say, and hang up, before it has heard everything.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    // A door that hangs up on garbage without a word is fine too.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str) -> String {
    http(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
}

fn post(address: SocketAddr, kind: &str, body: &[u8]) -> String {
    post_to(address, "/txs", kind, body)
}

fn post_to(address: SocketAddr, path: &str, kind: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    http(address, &[head.as_bytes(), body].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_prove_the_state_and_a_restart_continues() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    let client = Client::new(node.handle().clone());
    let mut alice = Wallet::new(AccountKey::from_seed(1, "alice"));
    let bob = AccountKey::from_seed(1, "bob").address();
    alice.send(&client, vec![tx::send(alice.address(), bob, 5)], 100_000).unwrap();
    assert_eq!(block(&node, &gate).await, 1);
    assert_eq!(client.account(bob.to_string()).unwrap().balance, "5");
    for _ in 0..4 {
        block(&node, &gate).await;
    }
    let root = node.handle().app().root();
    let set = {
        let key = PublicKey::from_bytes(&validator_key().verifying_key().to_bytes()).unwrap();
        ValidatorSet::new(vec![Validator::new(key, 10)]).unwrap()
    };
    let store = node.handle().app().store().clone();
    let mut parent: Option<Header> = None;
    for height in 1..=5u64 {
        let read = |name| store.record(RecordTable::new(name), &height.to_be_bytes()).unwrap().unwrap();
        let header = Block::decode(&read("blocks")).unwrap().header;
        let certificate = Certificate::decode(&read("certificates")).unwrap();
        verify_certificate("localnet", &header, &certificate, &set).unwrap();
        if let Some(parent) = parent {
            assert_eq!(header.parent, parent.id());
        }
        assert_eq!(header.app_hash, store.root_at(height).unwrap());
        parent = Some(header);
    }
    drop(store);
    drop(client);
    node.stop().await.unwrap();

    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    assert_eq!(node.handle().head().height, 5);
    assert_eq!(node.handle().app().root(), root);
    assert_eq!(block(&node, &gate).await, 6);
    node.handle().app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_answers_and_garbage_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    let address = node.rest_address().unwrap();
    let alice = AccountKey::from_seed(1, "alice");
    let sent = tx::Signing {
        key: &alice,
        chain_id: "localnet",
        account_number: 0,
        sequence: 0,
        fee: 1_000_000,
        gas_limit: 100_000,
    }
    .build(vec![tx::send(alice.address(), alice.address(), 1)], 0);

    let answers = tokio::task::spawn_blocking(move || {
        let status = get(address, "/status");
        assert!(
            status.starts_with("HTTP/1.1 200") && status.contains("\"chain_id\":\"localnet\""),
            "{status}"
        );
        assert!(get(address, "/blocks/latest").contains("\"height\":1"));
        assert!(get(address, &format!("/accounts/{}", alice.address())).contains("\"exists\":true"));
        for (path, code) in [
            ("/blocks/99", 404),
            ("/blocks/x", 400),
            ("/accounts/bob", 400),
            ("/topics/1", 404),
            ("/topics/-1", 400),
            ("/topics?limit=nan", 400),
            ("/txs/00", 400),
            ("/nothing", 404),
        ] {
            let answer = get(address, path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path}: {answer}");
        }
        let accepted = post(address, "application/octet-stream", &sent);
        assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
        let again = post(address, "application/octet-stream", &sent);
        assert!(again.starts_with("HTTP/1.1 202"), "a transaction that waits is answered as before: {again}");
        let garbage = post(address, "application/octet-stream", b"\xff\x00garbage");
        assert!(garbage.starts_with("HTTP/1.1 422") && garbage.contains("\"code\":2"), "{garbage}");
        assert!(post(address, "application/json", b"{\"tx_bytes\":\"%%\"}").starts_with("HTTP/1.1 400"));
        assert!(post(address, "application/json", b"{").starts_with("HTTP/1.1 400"));
        let huge = post(address, "application/octet-stream", &vec![7; 2 << 20]);
        assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 413"), "{huge}");
        http(address, b"\x16\x03\x01\x02\x00 this is no http");
        tx::hash(&sent)
    });
    let hash = answers.await.unwrap();
    block(&node, &gate).await;
    let receipt = node.handle().tx(&hash).unwrap().unwrap();
    assert_eq!((receipt.code, receipt.height), (0, 2));
    node.handle().app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_home_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), Gate::new()).await;
    let home = Home::open(dir.path(), genesis(), validator_key()).unwrap();
    let second = Node::start(NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(Gate::new()))).await;
    let error = second.err().unwrap().to_string();
    assert!(error.contains("process"), "{error}");
    node.stop().await.unwrap();
}

/// What the RPC says to a question of a published client: the decoded answer, or the log of the failure.
fn abci_query(address: SocketAddr, path: &str, request: &impl prost::Message) -> Result<Vec<u8>, String> {
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "abci_query",
        "params": { "path": path, "data": hex::encode(request.encode_to_vec()) } });
    let answer = post_to(address, "/", "application/json", call.to_string().as_bytes());
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let response = &body["result"]["response"];
    match response["value"].as_str() {
        Some(text) if response["code"] == 0 => {
            Ok(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap())
        }
        _ => Err(response["log"].as_str().unwrap_or_default().to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_purse_welcomes_each_new_address_once() {
    use dodona_proto::cosmos::{
        auth::v1beta1::{QueryAccountInfoRequest, QueryAccountInfoResponse},
        bank::v1beta1::{QueryBalanceRequest, QueryBalanceResponse},
    };
    const ACCOUNT: &str = "/cosmos.auth.v1beta1.Query/AccountInfo";
    const BALANCE: &str = "/cosmos.bank.v1beta1.Query/Balance";
    let info = |address: &str| QueryAccountInfoRequest { address: address.into() };

    for purse in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let gate = Gate::new();
        let node = Node::start(NodeConfig {
            faucet: purse.then(|| AccountKey::from_seed(1, "alice")),
            rpc: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
            ..NodeConfig::quiet(
                Home::open(dir.path(), genesis_of(1_000_000), validator_key()).unwrap(),
                Clock::Steps(1_000),
                Pace::OnDemand(gate.clone()),
            )
        })
        .await
        .unwrap();
        block(&node, &gate).await;
        let rpc = node.rpc_address().unwrap();
        let ticking = gate.clone();
        let handle = node.handle().clone();
        // Blocks come as in life, while questions wait.
        let clock = tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                ticking.open_until(Height(handle.head().height + 1));
            }
        });
        let newcomer = AccountKey::from_seed(1, "newcomer").address().to_string();
        let (first, second, balance, junk) = tokio::task::spawn_blocking(move || {
            let asked = info(&newcomer);
            // Twice at the same time: one gift.
            let twin = std::thread::spawn(move || abci_query(rpc, ACCOUNT, &asked));
            let second = abci_query(rpc, ACCOUNT, &info(&newcomer));
            let request = QueryBalanceRequest { address: newcomer, denom: "uallo".into() };
            let balance = abci_query(rpc, BALANCE, &request);
            (twin.join().unwrap(), second, balance, abci_query(rpc, ACCOUNT, &info("allo1nobody")))
        })
        .await
        .unwrap();
        let balance = <QueryBalanceResponse as prost::Message>::decode(balance.unwrap().as_slice()).unwrap();
        let balance = balance.balance.unwrap().amount;
        if purse {
            for answer in [first, second] {
                let answer = answer.unwrap();
                let account =
                    <QueryAccountInfoResponse as prost::Message>::decode(answer.as_slice()).unwrap();
                assert_eq!(account.info.unwrap().account_number, 9, "behind alice and the chain's own");
            }
            assert_eq!(balance, (1_000 * ALLO).to_string(), "one gift, whole");
        } else {
            assert!(first.unwrap_err().contains("NotFound") && second.is_err());
            assert_eq!(balance, "0");
        }
        assert!(junk.is_err());
        clock.abort();
        node.handle().app().check_invariants().unwrap();
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purse_is_never_emptied_and_one_visitor_brings_about_few_gifts() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let alice = AccountKey::from_seed(1, "alice");
    let node = Node::start(NodeConfig {
        faucet: Some(alice.clone()),
        rpc: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        limits: dodona_node::DoorLimits { limit_loopback: true, ..Default::default() },
        ..NodeConfig::quiet(
            Home::open(dir.path(), genesis_of(1_000), validator_key()).unwrap(),
            Clock::Steps(1_000),
            Pace::OnDemand(gate.clone()),
        )
    })
    .await
    .unwrap();
    block(&node, &gate).await;
    let (rpc, handle) = (node.rpc_address().unwrap(), node.handle().clone());
    let clock = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            gate.open_until(Height(handle.head().height + 1));
        }
    });
    let newcomers: Vec<_> = (0..12).map(|n| AccountKey::from_seed(n, "newcomer").address()).collect();
    let asked = newcomers.clone();
    tokio::task::spawn_blocking(move || {
        for address in asked {
            let question =
                dodona_proto::cosmos::auth::v1beta1::QueryAccountInfoRequest { address: address.to_string() };
            // The last ones are answered as well: they have no account.
            let _ = abci_query(rpc, "/cosmos.auth.v1beta1.Query/AccountInfo", &question);
        }
    })
    .await
    .unwrap();
    clock.abort();
    let client = dodona_client::Client::new(node.handle().clone());
    let balance = |address: dodona_proto::Address| -> u128 {
        client.account(address.to_string()).unwrap().balance.parse().unwrap()
    };
    let gifts: Vec<u128> = newcomers.into_iter().map(balance).filter(|gift| *gift > 0).collect();
    // Eight, and one more for every 15 seconds that this took.
    assert!((8..12).contains(&gifts.len()), "{gifts:?}");
    assert_eq!(gifts[0], ALLO, "a thousandth of the purse");
    assert!(gifts.windows(2).all(|pair| pair[1] < pair[0] && pair[1] > pair[0] / 1_000 * 998), "{gifts:?}");
    assert!(balance(alice.address()) > 991 * ALLO);
    node.handle().app().check_invariants().unwrap();
    node.stop().await.unwrap();
}

/// The same of a question that has an answer, decoded.
fn ask<A: prost::Message + Default>(rpc: SocketAddr, method: &str, request: &impl prost::Message) -> A {
    A::decode(abci_query(rpc, method, request).unwrap().as_slice()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn published_clients_learn_what_gas_costs_and_how_many_tokens_come_into_being() {
    use dodona_proto::{feemarket::v1 as feemarket, mint::v5 as mint};
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    let rpc = node.rpc_address().unwrap();
    block(&node, &gate).await;
    let market = |name: &str| format!("/feemarket.feemarket.v1.Query/{name}");
    let denom = || "uallo".to_string();
    let one = "1000000000000000000";
    let price: feemarket::GasPriceResponse =
        ask(rpc, &market("GasPrice"), &feemarket::GasPriceRequest { denom: denom() });
    let price = price.price.unwrap();
    assert_eq!((price.denom.as_str(), price.amount.as_str()), ("uallo", one));
    let prices: feemarket::GasPricesResponse =
        ask(rpc, &market("GasPrices"), &feemarket::GasPricesRequest {});
    assert_eq!(prices.prices, [price]);
    let state: feemarket::StateResponse = ask(rpc, &market("State"), &feemarket::StateRequest {});
    let state = state.state.unwrap();
    assert_eq!((state.base_gas_price.as_str(), state.window, state.index), (one, vec![0; 8], 1));
    let params: feemarket::ParamsResponse = ask(rpc, &market("Params"), &feemarket::ParamsRequest {});
    let params = params.params.unwrap();
    assert_eq!((params.max_block_utilization, params.window), (1_000_000_000, 8));
    assert_eq!((params.fee_denom, params.enabled, params.distribute_fees), (denom(), true, true));
    assert_eq!(params.max_learning_rate, "125000000000000000");

    let minting = |name: &str| format!("/mint.v5.QueryService/{name}");
    let params: mint::QueryServiceParamsResponse =
        ask(rpc, &minting("Params"), &mint::QueryServiceParamsRequest {});
    let params = params.params.unwrap();
    assert_eq!((params.mint_denom, params.f_emission), (denom(), "25000000000000000".to_string()));
    let info: mint::QueryServiceEmissionInfoResponse =
        ask(rpc, &minting("EmissionInfo"), &mint::QueryServiceEmissionInfoRequest {});
    assert_eq!(info.params.unwrap().max_supply, info.max_supply);
    assert_eq!(info.blocks_per_month, 864_000);
    // Nothing vests in the first month: all of preseed, investors, team and foundation.
    let share = |thousandths: u128| (1_000_000 * thousandths / 10 * 10 * ALLO).to_string();
    assert_eq!(info.locked_vesting_tokens_team, share(175));
    assert_eq!(info.locked_vesting_tokens_foundation, share(225));
    let parts = [
        &info.locked_vesting_tokens_investors_preseed,
        &info.locked_vesting_tokens_investors_seed,
        &info.locked_vesting_tokens_team,
        &info.locked_vesting_tokens_foundation,
    ];
    let sum: u128 = parts.iter().map(|part| part.parse::<u128>().unwrap()).sum();
    assert_eq!(info.locked_vesting_tokens_total, sum.to_string());
    let inflation: mint::QueryServiceInflationResponse =
        ask(rpc, &minting("Inflation"), &mint::QueryServiceInflationRequest {});
    assert_eq!(inflation.inflation, b"0", "without stake the schedule hands out nothing");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_whose_genesis_was_changed_is_refused_and_the_right_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = start(dir.path(), gate.clone()).await;
    block(&node, &gate).await;
    node.stop().await.unwrap();
    let path = dir.path().join("genesis.json");
    let right = std::fs::read(&path).unwrap();
    std::fs::write(&path, Genesis { time_ms: 2_000, ..genesis() }.to_json()).unwrap();
    let again = |gate: &Gate| {
        let home = Home::load(dir.path()).unwrap();
        Node::start(NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate.clone())))
    };
    let refused = again(&gate).await.err().unwrap();
    assert!(refused.to_string().contains("another genesis.json"), "{refused}");
    assert_eq!(refused.exit_code(), NodeError::MEND_FIRST);
    std::fs::write(&path, right).unwrap();
    let node = again(&gate).await.unwrap();
    assert_eq!(block(&node, &gate).await, 2);
    node.stop().await.unwrap();
}
