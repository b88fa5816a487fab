//! Staking as wallets and explorers see it, through the doors of a running node: what was delegated, earned, moved and
//! taken back is found by every question about it, by pages, at the height that is asked for.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use axum::{body::Bytes, http::Request};
use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, NodeHandle, Pace};
use dodona_proto::{
    ALLO, Address, DENOM, Prefix,
    cosmos::{
        base::{query::v1beta1::PageRequest, tendermint::v1beta1 as tm, v1beta1::Coin},
        crypto::ed25519::PubKey,
        distribution::v1beta1 as distribution,
        slashing::v1beta1 as slashing,
        staking::v1beta1 as staking,
    },
    sign::AccountKey,
    tx::pack,
    url,
};
use prost::Message;
use prost_types::Any;
use serde_json::Value;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// Blocks between asking for tokens and having them; a block takes a second here.
const WAIT: u64 = 20;

fn of(name: &str) -> Address {
    AccountKey::from_seed(1, name).address()
}

fn valoper(name: &str) -> String {
    of(name).written(Prefix::Operator)
}

fn coin(allo: u128) -> Option<Coin> {
    Some(Coin { denom: DENOM.into(), amount: (allo * ALLO).to_string() })
}

fn delegate(who: &str, with: &str, allo: u128) -> Any {
    let message = staking::MsgDelegate {
        delegator_address: of(who).to_string(),
        validator_address: valoper(with),
        amount: coin(allo),
    };
    pack(url::DELEGATE, &message)
}

/// A node whose only voter is alice's. Bob's validator has too little to be in a set of one.
struct Net {
    node: Node,
    gate: Gate,
    client: Client<NodeHandle>,
    _dir: tempfile::TempDir,
}

impl Net {
    async fn new() -> Self {
        let key = SigningKey::from_bytes(&[3; 32]);
        let params = Params {
            max_validators: 1,
            unbonding_time_ms: WAIT * 1_000,
            validator_set_blocks: 5,
            ..Params::default()
        };
        let rich = |name: &&str| GenesisAccount { address: of(name).to_string(), balance: 1_000 * ALLO };
        let validator = GenesisValidator {
            public_key: hex::encode(key.verifying_key().to_bytes()),
            power: 10,
            operator: of("alice").to_string(),
            ..GenesisValidator::default()
        };
        let genesis = Genesis {
            chain_id: "localnet".into(),
            time_ms: 1_767_225_600_000,
            params,
            admins: Vec::new(),
            accounts: NAMES.iter().map(rich).collect(),
            validators: vec![validator],
        };
        let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::new());
        let bind = || Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let home = Home::open(dir.path(), genesis, key).unwrap();
        let node = Node::start(NodeConfig {
            rest: bind(),
            grpc: bind(),
            rpc: bind(),
            ..NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate.clone()))
        })
        .await
        .unwrap();
        let client = Client::new(node.handle().clone());
        Self { node, gate, client, _dir: dir }
    }

    async fn block(&self) -> u64 {
        let next = self.node.handle().head().height + 1;
        self.gate.open_until(Height(next));
        self.node.handle().reached(next).await;
        next
    }

    /// Puts messages of one account into the next block; what became of them.
    async fn done(&self, who: &str, messages: Vec<Any>) {
        let hash = Wallet::new(AccountKey::from_seed(1, who)).send(&self.client, messages, 400_000).unwrap();
        self.block().await;
        let receipt = self.node.handle().tx(&hash).unwrap().unwrap();
        assert_eq!(receipt.code, 0, "{}", receipt.log);
    }

    /// Delegations of carol and dave to alice's validator, and a validator of bob's.
    async fn staked() -> Self {
        let net = Self::new().await;
        let create = staking::MsgCreateValidator {
            description: Some(staking::Description {
                moniker: "Bob".into(),
                website: "https://bob.example".into(),
                ..Default::default()
            }),
            commission: Some(staking::CommissionRates {
                rate: "100000000000000000".into(),
                max_rate: "200000000000000000".into(),
                max_change_rate: "10000000000000000".into(),
            }),
            min_self_delegation: "1".into(),
            validator_address: valoper("bob"),
            pubkey: Some(pack(url::ED25519, &PubKey { key: vec![9; 32] })),
            value: coin(2),
            ..Default::default()
        };
        net.done("bob", vec![pack(url::CREATE_VALIDATOR, &create)]).await;
        net.done("carol", vec![delegate("carol", "alice", 5)]).await;
        net.done("dave", vec![delegate("dave", "alice", 3), delegate("dave", "bob", 1)]).await;
        net
    }

    async fn page(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (at, path) = (self.node.rest_address().unwrap(), path.to_string());
        tokio::task::spawn_blocking(move || http(at, &path)).await.unwrap()
    }

    /// Over gRPC; the error is the number of the status.
    async fn ask<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A, u32> {
        grpc(self.node.grpc_address().unwrap(), method, request, None).await
    }
}

fn http(at: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}

async fn grpc<A: Message + Default>(
    at: SocketAddr,
    method: &str,
    request: &impl Message,
    height: Option<u64>,
) -> Result<A, u32> {
    let socket = tokio::net::TcpStream::connect(at).await.unwrap();
    let (mut send, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut head = Request::post(format!("http://node{method}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    if let Some(height) = height {
        head = head.header("x-cosmos-block-height", height);
    }
    futures::future::poll_fn(|cx| send.poll_ready(cx)).await.unwrap();
    let (response, mut stream) = send.send_request(head.body(()).unwrap(), false).unwrap();
    let request = request.encode_to_vec();
    let framed = [&[0][..], &(request.len() as u32).to_be_bytes(), &request].concat();
    stream.send_data(Bytes::from(framed), true).unwrap();
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let status = trailers.get("grpc-status").or_else(|| parts.headers.get("grpc-status")).unwrap();
    match status.to_str().unwrap().parse().unwrap() {
        0 => Ok(A::decode(&data[5..]).unwrap()),
        code => Err(code),
    }
}

fn names(rows: &Value, field: &str) -> Vec<String> {
    let mut all: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_string()).collect();
    all.sort();
    all
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

/// The whole part of a decimal amount of the only coin.
fn whole(coins: &Value) -> u128 {
    let text = coins[0]["amount"].as_str().unwrap_or("0");
    text.split('.').next().unwrap().parse().unwrap()
}

const S: &str = "/cosmos/staking/v1beta1";
const D: &str = "/cosmos/distribution/v1beta1";

#[tokio::test(flavor = "multi_thread")]
async fn validators_are_listed_with_what_they_hold_and_say() {
    let net = Net::staked().await;
    let all = net.page(&format!("{S}/validators")).await;
    assert_eq!(names(&all["validators"], "operator_address"), sorted(vec![valoper("alice"), valoper("bob")]));
    let bonded = net.page(&format!("{S}/validators?status=BOND_STATUS_BONDED")).await;
    assert_eq!(names(&bonded["validators"], "operator_address"), [valoper("alice")]);
    assert_eq!(bonded["validators"][0]["tokens"], (18 * ALLO).to_string());
    assert_eq!(bonded["validators"][0]["delegator_shares"], format!("{}.000000000000000000", 18 * ALLO));
    assert_eq!(bonded["validators"][0]["status"], "BOND_STATUS_BONDED");
    let other = net.page(&format!("{S}/validators?status=BOND_STATUS_UNBONDED&pagination.limit=1")).await;
    assert_eq!(names(&other["validators"], "operator_address"), [valoper("bob")]);
    assert_eq!(other["pagination"]["next_key"], "");
    let none = net.page(&format!("{S}/validators?status=BOND_STATUS_UNBONDING")).await;
    assert_eq!(none["validators"], serde_json::json!([]));

    let bob = net.page(&format!("{S}/validators/{}", valoper("bob"))).await["validator"].clone();
    assert_eq!(
        (&bob["description"]["moniker"], &bob["tokens"]),
        (&"Bob".into(), &(3 * ALLO).to_string().into())
    );
    assert_eq!(bob["commission"]["commission_rates"]["rate"], "0.100000000000000000");
    assert_eq!(bob["consensus_pubkey"]["@type"], "/cosmos.crypto.ed25519.PubKey");
    assert_eq!((&bob["jailed"], &bob["status"]), (&false.into(), &"BOND_STATUS_UNBONDED".into()));
    let pool = net.page(&format!("{S}/pool")).await["pool"].clone();
    assert_eq!(pool["bonded_tokens"], (18 * ALLO).to_string());
    assert_eq!(pool["not_bonded_tokens"], (3 * ALLO).to_string());
    let params = net.page(&format!("{S}/params")).await["params"].clone();
    assert_eq!((&params["unbonding_time"], &params["max_validators"]), (&"20s".into(), &1.into()));
    assert_eq!(params["bond_denom"], "uallo");

    // One by one, from key to key; and the same with numbers.
    let request = |key: Vec<u8>, offset| staking::QueryValidatorsRequest {
        status: String::new(),
        pagination: Some(PageRequest { key, offset, limit: 1, count_total: true, reverse: false }),
    };
    let method = "/cosmos.staking.v1beta1.Query/Validators";
    let first: staking::QueryValidatorsResponse = net.ask(method, &request(vec![], 0)).await.unwrap();
    let about = first.pagination.unwrap();
    assert_eq!((first.validators.len(), about.total), (1, 2));
    let next: staking::QueryValidatorsResponse = net.ask(method, &request(about.next_key, 0)).await.unwrap();
    assert_eq!((next.validators.len(), next.pagination.unwrap().next_key), (1, vec![]));
    let second: staking::QueryValidatorsResponse = net.ask(method, &request(vec![], 1)).await.unwrap();
    assert_eq!(second.validators, next.validators);
    assert_ne!(first.validators, next.validators);
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn delegations_are_found_by_either_side_and_at_the_height_asked_for() {
    let net = Net::staked().await;
    let (alice, carol, dave) = (valoper("alice"), of("carol").to_string(), of("dave").to_string());
    let to = net.page(&format!("{S}/validators/{alice}/delegations?pagination.count_total=true")).await;
    assert_eq!(to["pagination"]["total"], "3");
    let mut balances: Vec<_> = to["delegation_responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["balance"]["amount"].as_str().unwrap().parse::<u128>().unwrap() / ALLO)
        .collect();
    balances.sort_unstable();
    assert_eq!(balances, [3, 5, 10]);
    let one =
        net.page(&format!("{S}/validators/{alice}/delegations/{carol}")).await["delegation_response"].clone();
    assert_eq!(one["balance"]["amount"], (5 * ALLO).to_string());
    assert_eq!(one["delegation"]["shares"], format!("{}.000000000000000000", 5 * ALLO));
    let of_dave = net.page(&format!("{S}/delegations/{dave}")).await;
    assert_eq!(of_dave["delegation_responses"].as_array().unwrap().len(), 2);
    let with = net.page(&format!("{S}/delegators/{dave}/validators")).await;
    assert_eq!(names(&with["validators"], "operator_address"), sorted(vec![alice.clone(), valoper("bob")]));
    let with = net.page(&format!("{S}/delegators/{dave}/validators/{alice}")).await;
    assert_eq!(with["validator"]["operator_address"], alice);
    let (status, body) = net.get(&format!("{S}/validators/{}/delegations/{carol}", valoper("bob"))).await;
    assert_eq!((status, body.contains("key not found")), (404, true), "{body}");
    assert_eq!(net.get(&format!("{S}/delegators/{carol}/validators/{}", valoper("bob"))).await.0, 404);

    let method = "/cosmos.staking.v1beta1.Query/Delegation";
    let request = staking::QueryDelegationRequest { delegator_addr: carol, validator_addr: alice };
    let at = net.node.grpc_address().unwrap();
    let before = grpc::<staking::QueryDelegationResponse>(at, method, &request, Some(1)).await;
    assert_eq!(before, Err(5));
    let after = grpc::<staking::QueryDelegationResponse>(at, method, &request, Some(2)).await.unwrap();
    assert_eq!(after.delegation_response.unwrap().balance, coin(5));
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rewards_grow_and_are_collected_where_they_shall_go() {
    let net = Net::staked().await;
    let (alice, carol) = (valoper("alice"), of("carol").to_string());
    let pending = format!("{D}/delegators/{carol}/rewards/{alice}");
    let first = whole(&net.page(&pending).await["rewards"]);
    for _ in 0..3 {
        // Fees of the block are shared.
        net.done("bob", vec![delegate("bob", "bob", 1)]).await;
    }
    let second = whole(&net.page(&pending).await["rewards"]);
    assert!(second > first, "{first} {second}");
    let total = net.page(&format!("{D}/delegators/{carol}/rewards")).await;
    assert_eq!((whole(&total["total"]), whole(&total["rewards"][0]["reward"])), (second, second));
    assert_eq!(total["rewards"][0]["validator_address"], alice);
    let with = net.page(&format!("{D}/delegators/{carol}/validators")).await;
    assert_eq!(with["validators"], serde_json::json!([alice]));
    let outstanding = net.page(&format!("{D}/validators/{alice}/outstanding_rewards")).await;
    assert!(whole(&outstanding["rewards"]["rewards"]) >= second);
    let info = net.page(&format!("{D}/validators/{alice}")).await;
    assert_eq!(info["operator_address"], of("alice").to_string());
    let own = whole(&info["self_bond_rewards"]);
    assert!(own >= second, "alice has delegated more: {own} {second}");
    let commission = net.page(&format!("{D}/validators/{alice}/commission")).await;
    assert_eq!(whole(&commission["commission"]["commission"]), whole(&info["commission"]));
    let slashes = net.page(&format!("{D}/validators/{alice}/slashes")).await;
    assert_eq!(slashes["slashes"], serde_json::json!([]));
    let address = format!("{D}/delegators/{carol}/withdraw_address");
    assert_eq!(net.page(&address).await["withdraw_address"], carol);
    assert_eq!(net.page(&format!("{D}/community_pool")).await["pool"], serde_json::json!([]));
    assert_eq!(net.page(&format!("{D}/params")).await["params"]["withdraw_addr_enabled"], true);

    let erin = AccountKey::from_seed(1, "erin").address().to_string();
    let redirect = distribution::MsgSetWithdrawAddress {
        delegator_address: carol.clone(),
        withdraw_address: erin.clone(),
    };
    let collect = distribution::MsgWithdrawDelegatorReward {
        delegator_address: carol.clone(),
        validator_address: alice.clone(),
    };
    net.done("carol", vec![pack(url::SET_WITHDRAW_ADDRESS, &redirect), pack(url::WITHDRAW_REWARD, &collect)])
        .await;
    assert_eq!(net.page(&address).await["withdraw_address"], erin);
    let got = net.page(&format!("/cosmos/bank/v1beta1/balances/{erin}")).await;
    let got: u128 = got["balances"][0]["amount"].as_str().unwrap().parse().unwrap();
    assert!(got >= second, "{got} {second}");
    // What is left is her part of the block that paid her.
    assert!(whole(&net.page(&pending).await["rewards"]) < second);
    let (status, _) = net.get(&format!("{D}/delegators/{carol}/rewards/{}", valoper("bob"))).await;
    assert_eq!(status, 404);
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staking_yields_in_a_year_can_be_reckoned() {
    let net = Net::staked().await;
    let page = async |name: &str| net.page(&format!("/cosmos/mint/v1beta1/{name}")).await;
    let number = |text: &Value| text.as_str().unwrap().parse::<f64>().unwrap();
    let (year, part) = (page("annual_provisions").await, page("inflation").await);
    let supply =
        net.page("/cosmos/bank/v1beta1/supply/by_denom?denom=uallo").await["amount"]["amount"].clone();
    let wanted = number(&year["annual_provisions"]) / number(&supply);
    assert!((number(&part["inflation"]) - wanted).abs() <= 1e-9 * wanted, "{year} {part} {supply}");
    let params = page("params").await["params"].clone();
    assert_eq!((&params["mint_denom"], &params["blocks_per_year"]), (&"uallo".into(), &"10368000".into()));
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_and_what_moves_is_seen_until_it_has_arrived() {
    let net = Net::staked().await;
    let (alice, bob, dave) = (valoper("alice"), valoper("bob"), of("dave").to_string());
    let leave = staking::MsgUndelegate {
        delegator_address: dave.clone(),
        validator_address: alice.clone(),
        amount: coin(1),
    };
    let go = staking::MsgBeginRedelegate {
        delegator_address: dave.clone(),
        validator_src_address: alice.clone(),
        validator_dst_address: bob.clone(),
        amount: coin(1),
    };
    net.done("dave", vec![pack(url::UNDELEGATE, &leave), pack(url::BEGIN_REDELEGATE, &go)]).await;
    let height = net.node.handle().head().height;

    let one = net.page(&format!("{S}/validators/{alice}/delegations/{dave}/unbonding_delegation")).await;
    let entry = &one["unbond"]["entries"][0];
    assert_eq!(entry["creation_height"], height.to_string());
    assert_eq!(
        (&entry["balance"], &entry["initial_balance"]),
        (&ALLO.to_string().into(), &ALLO.to_string().into())
    );
    assert!(entry["completion_time"].as_str().unwrap().starts_with("2026-01-01T00:00:2"), "{entry}");
    let by = net.page(&format!("{S}/delegators/{dave}/unbonding_delegations")).await;
    assert_eq!(by["unbonding_responses"][0], one["unbond"]);
    let from = net.page(&format!("{S}/validators/{alice}/unbonding_delegations")).await;
    assert_eq!(from["unbonding_responses"][0], one["unbond"]);
    assert_eq!(
        net.get(&format!("{S}/validators/{bob}/delegations/{dave}/unbonding_delegation")).await.0,
        404
    );

    let base = format!("{S}/delegators/{dave}/redelegations");
    for asks in [
        String::new(),
        format!("?src_validator_addr={alice}"),
        format!("?dst_validator_addr={bob}"),
        format!("?src_validator_addr={alice}&dst_validator_addr={bob}"),
    ] {
        let moved = net.page(&format!("{base}{asks}")).await["redelegation_responses"][0].clone();
        assert_eq!(moved["redelegation"]["validator_dst_address"], bob, "{asks}");
        assert_eq!(moved["entries"][0]["redelegation_entry"]["initial_balance"], ALLO.to_string());
        assert_eq!(moved["entries"][0]["balance"], ALLO.to_string());
    }
    let other = net.page(&format!("{base}?src_validator_addr={bob}")).await;
    assert_eq!(other["redelegation_responses"], serde_json::json!([]));
    let back = format!("{base}?src_validator_addr={bob}&dst_validator_addr={alice}");
    assert_eq!(net.get(&back).await.0, 404);
    let method = "/cosmos.staking.v1beta1.Query/Redelegations";
    let request =
        staking::QueryRedelegationsRequest { src_validator_addr: alice.clone(), ..Default::default() };
    let all: staking::QueryRedelegationsResponse = net.ask(method, &request).await.unwrap();
    assert_eq!(all.redelegation_responses.len(), 1);
    let nobody = staking::QueryRedelegationsRequest::default();
    assert_eq!(net.ask::<staking::QueryRedelegationsResponse>(method, &nobody).await, Err(3));

    // Half of it stays after all.
    let stay = staking::MsgCancelUnbondingDelegation {
        delegator_address: dave.clone(),
        validator_address: alice.clone(),
        amount: Some(Coin { denom: DENOM.into(), amount: (ALLO / 2).to_string() }),
        creation_height: height as i64,
    };
    net.done("dave", vec![pack(url::CANCEL_UNBONDING, &stay)]).await;
    let one = net.page(&format!("{S}/validators/{alice}/delegations/{dave}/unbonding_delegation")).await;
    assert_eq!(one["unbond"]["entries"][0]["balance"], (ALLO / 2).to_string());
    for _ in 0..WAIT {
        net.block().await;
    }
    let by = net.page(&format!("{S}/delegators/{dave}/unbonding_delegations")).await;
    assert_eq!(by["unbonding_responses"], serde_json::json!([]));
    assert_eq!(net.page(&base).await["redelegation_responses"], serde_json::json!([]));
    let pool = net.page(&format!("{S}/pool")).await["pool"].clone();
    assert_eq!(pool["not_bonded_tokens"], (4 * ALLO).to_string());
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attendance_and_the_sets_that_decided_are_told() {
    let net = Net::staked().await;
    for _ in 0..7 {
        net.block().await;
    }
    let params = net.page("/cosmos/slashing/v1beta1/params").await["params"].clone();
    assert_eq!(params["min_signed_per_window"], "0.500000000000000000");
    assert_eq!(
        (&params["signed_blocks_window"], &params["slash_fraction_double_sign"]),
        (&"1000".into(), &"0.050000000000000000".into())
    );
    let infos = net.page("/cosmos/slashing/v1beta1/signing_infos").await["info"].clone();
    let info = &infos.as_array().unwrap()[0];
    let address = info["address"].as_str().unwrap();
    assert!(address.starts_with("allovalcons1"), "{info}");
    assert_eq!((&info["tombstoned"], &info["missed_blocks_counter"]), (&false.into(), &"0".into()));
    let one = net.page(&format!("/cosmos/slashing/v1beta1/signing_infos/{address}")).await;
    assert_eq!(&one["val_signing_info"], info);
    let stranger = Address([7; 20]).written(Prefix::Consensus);
    assert_eq!(net.get(&format!("/cosmos/slashing/v1beta1/signing_infos/{stranger}")).await.0, 404);
    let typed: slashing::QuerySigningInfosResponse = net
        .ask("/cosmos.slashing.v1beta1.Query/SigningInfos", &slashing::QuerySigningInfosRequest::default())
        .await
        .unwrap();
    assert_eq!(typed.info[0].address, address);

    // The set follows the tokens at the end of block 5.
    let power = async |height: i64| {
        let request = tm::GetValidatorSetByHeightRequest { height, pagination: None };
        let method = "/cosmos.base.tendermint.v1beta1.Service/GetValidatorSetByHeight";
        let set: tm::GetValidatorSetByHeightResponse = net.ask(method, &request).await.unwrap();
        assert_eq!(set.validators[0].address, address);
        set.validators[0].voting_power
    };
    assert_eq!((power(1).await, power(5).await, power(6).await), (10, 10, 18));
    let latest = net.page("/cosmos/base/tendermint/v1beta1/validatorsets/latest").await;
    assert_eq!(latest["validators"][0]["voting_power"], "18");
    net.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_by_every_method_and_none_breaks() {
    let net = Net::staked().await;
    let account = of("carol").to_string();
    let (alice, account) = (valoper("alice"), account.as_str());
    for path in [
        format!("{S}/validators?status=SOMETIMES"),
        format!("{S}/validators?pagination.key=AQ=="),
        format!("{S}/validators?pagination.reverse=true"),
        format!("{S}/validators/{account}"),
        format!("{S}/validators/{alice}x/delegations"),
        format!("{S}/validators/{account}/unbonding_delegations"),
        format!("{S}/validators/{alice}/delegations/{alice}"),
        format!("{S}/validators/{account}/delegations/{account}/unbonding_delegation"),
        format!("{S}/delegations/{alice}"),
        format!("{S}/delegators/{alice}/unbonding_delegations"),
        format!("{S}/delegators/x/redelegations"),
        format!("{S}/delegators/{account}/redelegations?src_validator_addr=x"),
        format!("{S}/delegators/{account}/redelegations?pagination.key=AQID"),
        format!("{S}/delegators/{alice}/validators"),
        format!("{S}/delegators/{account}/validators/x"),
        format!("{D}/validators/{account}"),
        format!("{D}/validators/x/outstanding_rewards"),
        format!("{D}/validators/x/commission"),
        format!("{D}/validators/{alice}/slashes?pagination.key=AQ=="),
        format!("{D}/delegators/{alice}/rewards"),
        format!("{D}/delegators/{account}/rewards/{account}"),
        format!("{D}/delegators/x/validators"),
        format!("{D}/delegators/x/withdraw_address"),
        "/cosmos/slashing/v1beta1/signing_infos/x".into(),
        format!("/cosmos/slashing/v1beta1/signing_infos/{alice}"),
        "/cosmos/slashing/v1beta1/signing_infos?pagination.key=AQ==".into(),
        "/cosmos/base/tendermint/v1beta1/validatorsets/0".into(),
        "/cosmos/base/tendermint/v1beta1/validatorsets/99".into(),
    ] {
        let (status, body) = net.get(&path).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    assert_eq!(net.get(&format!("{S}/historical_info/1")).await.0, 501);
    net.node.stop().await.unwrap();
}
