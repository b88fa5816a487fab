//! What the mempool promises: bounds, order of arrival, and no transaction that could not be in the next block.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

use dodona_chain::{App, BlockInput, Failure, Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_node::{Limits, Mempool};
use dodona_proto::{
    ALLO,
    sign::AccountKey,
    tx::{self, Signing},
};
use dodona_store::{Config, Store};

fn key(name: &str) -> AccountKey {
    AccountKey::from_seed(1, name)
}

fn chain() -> App {
    let account = |name: &str| GenesisAccount { address: key(name).address().to_string(), balance: ALLO };
    let genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: 0,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![account("alice"), account("bob")],
        validators: vec![GenesisValidator {
            public_key: hex::encode([1; 32]),
            power: 1,
            operator: key("alice").address().to_string(),
        }],
    };
    App::open(Store::memory(Config::default()), &genesis, Signatures::Check).unwrap()
}

/// A transfer of `amount` to oneself.
fn transfer(app: &App, name: &str, sequence: u64, amount: u128) -> Vec<u8> {
    let key = key(name);
    let request = dodona_proto::chain::QueryAccountRequest { address: key.address().to_string() };
    let bytes = prost::Message::encode_to_vec(&request);
    let answer = app.query(dodona_proto::path::ACCOUNT, &bytes).unwrap();
    let account: dodona_proto::chain::QueryAccountResponse =
        prost::Message::decode(answer.as_slice()).unwrap();
    Signing {
        key: &key,
        chain_id: "localnet",
        account_number: account.account_number,
        sequence,
        fee: 1_000_000,
        gas_limit: 100_000,
    }
    .build(vec![tx::send(key.address(), key.address(), amount)], 0)
}

fn code(result: Result<tx::TxHash, Failure>) -> u32 {
    match result {
        Ok(_) => 0,
        Err(Failure::Refused(refusal)) => refusal.code,
        Err(Failure::Halt(error)) => panic!("{error}"),
    }
}

#[test]
fn bounds_hold_and_a_waiting_transaction_is_answered_like_the_first_time() {
    let app = chain();
    let limits = Limits { txs: 3, bytes: 1 << 20, per_sender: 2 };
    let pool = Mempool::new(app.clone(), limits).unwrap();
    let first = transfer(&app, "alice", 0, 1);
    assert_eq!(code(pool.add(&first)), 0);
    assert_eq!(code(pool.add(&first)), 0);
    assert_eq!(pool.len(), 1);
    assert_eq!(code(pool.add(&transfer(&app, "alice", 1, 1))), 0);
    assert_eq!(code(pool.add(&transfer(&app, "alice", 2, 1))), 20, "two of one sender are enough");
    assert_eq!(code(pool.add(&transfer(&app, "bob", 0, 1))), 0);
    assert_eq!(code(pool.add(&transfer(&app, "bob", 1, 1))), 20, "the pool is full");
    let narrow = Mempool::new(app.clone(), Limits { bytes: first.len() - 1, ..limits }).unwrap();
    assert_eq!(code(narrow.add(&first)), 20);
}

#[test]
fn what_cannot_be_in_the_next_block_does_not_enter() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    assert_eq!(code(pool.add(b"garbage")), 2);
    assert_eq!(code(pool.add(&transfer(&app, "alice", 1, 1))), 32, "sequence 0 comes first");
    assert_eq!(code(pool.add(&transfer(&app, "alice", 0, 2 * ALLO))), 5);
    assert_eq!(code(pool.add(&transfer(&app, "nobody", 0, 1))), 9);
    assert!(pool.is_empty());
}

#[test]
fn candidates_come_in_order_of_arrival_and_fit() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let txs = [
        transfer(&app, "bob", 0, 1),
        transfer(&app, "alice", 0, 1),
        transfer(&app, "bob", 1, 1),
        transfer(&app, "alice", 1, 1),
    ];
    txs.iter().for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    assert_eq!(pool.candidates(usize::MAX, usize::MAX), txs);
    assert_eq!(pool.candidates(usize::MAX, 3), txs[..3]);
    assert_eq!(pool.candidates(txs[0].len() + txs[1].len(), usize::MAX), txs[..2]);
}

#[test]
fn after_a_block_its_transactions_and_the_impossible_ones_are_gone() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let (mine, kept) = (transfer(&app, "alice", 0, 1), transfer(&app, "bob", 0, 1));
    pool.add(&mine).unwrap();
    pool.add(&kept).unwrap();
    // Another proposer's block holds another transaction with alice's first sequence number.
    let other = vec![transfer(&app, "alice", 0, 7)];
    let executed = app.execute(&BlockInput { height: 1, time_ms: 1, txs: &other }).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed([tx::hash(&other[0])].into_iter()).unwrap();
    assert_eq!(pool.candidates(usize::MAX, usize::MAX), [kept]);
    assert_eq!(code(pool.add(&transfer(&app, "alice", 1, 1))), 0);
}
