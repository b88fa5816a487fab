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
    chain_of(Params::default())
}

fn chain_of(params: Params) -> App {
    let account = |name: &str| GenesisAccount { address: key(name).address().to_string(), balance: ALLO };
    let genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: 0,
        params,
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
    offering(app, name, sequence, amount, (1_000_000, 100_000))
}

/// The same with this fee and gas limit.
fn offering(app: &App, name: &str, sequence: u64, amount: u128, (fee, gas_limit): (u128, u64)) -> Vec<u8> {
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
        fee,
        gas_limit,
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

#[test]
fn candidates_fit_into_a_block_by_their_gas_and_a_senders_order_is_kept() {
    let app = chain_of(Params { feemarket_max_block_utilization: 1_000_000, ..Params::default() });
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let of = |name, sequence, gas: u64| offering(&app, name, sequence, 1, (gas.into(), gas));
    let txs =
        [of("alice", 0, 600_000), of("alice", 1, 500_000), of("alice", 2, 100_000), of("bob", 0, 400_000)];
    txs.iter().for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    let first = pool.candidates(usize::MAX, usize::MAX);
    assert_eq!(first, [txs[0].clone(), txs[3].clone()]);
    assert_eq!(code(pool.add(&of("bob", 1, 1_000_001))), 41, "no block has room for it");
    let executed = app.execute(&BlockInput { height: 1, time_ms: 1, txs: &first }).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed(first.iter().map(|tx| tx::hash(tx))).unwrap();
    // The block was full, so gas is dearer now, and what offered no more than it cost had to leave.
    assert!(pool.is_empty());
}

#[test]
fn whoever_offers_more_for_gas_comes_first_and_equal_offers_keep_their_order() {
    let app = chain_of(Params { feemarket_max_block_utilization: 1_000_000, ..Params::default() });
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    // Two that claim whole blocks at the floor, and somebody in a hurry behind them.
    let greedy = [0, 1].map(|sequence| offering(&app, "alice", sequence, 1, (1_000_000, 1_000_000)));
    let hasty = [0, 1].map(|sequence| offering(&app, "bob", sequence, 1, (200_000, 100_000)));
    greedy.iter().chain(&hasty).for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    assert_eq!(pool.candidates(usize::MAX, usize::MAX), hasty, "a claim does not keep others out");
    assert_eq!(pool.candidates(usize::MAX, 1), hasty[..1]);
}

#[test]
fn what_no_longer_pays_enough_leaves_and_its_sender_can_learn_why() {
    let app = chain_of(Params { feemarket_max_block_utilization: 1_000_000, ..Params::default() });
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let busy = offering(&app, "alice", 0, 1, (1_000_000, 1_000_000));
    let poor = offering(&app, "bob", 0, 1, (100_000, 100_000));
    let next = offering(&app, "bob", 1, 1, (900_000, 100_000));
    [&busy, &poor, &next].iter().for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    let block = pool.candidates(usize::MAX, usize::MAX);
    assert_eq!(block, std::slice::from_ref(&busy));
    let executed = app.execute(&BlockInput { height: 1, time_ms: 1, txs: &block }).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed([tx::hash(&busy)].into_iter()).unwrap();
    assert!(pool.is_empty());
    let why = pool.refusal(&tx::hash(&poor)).unwrap();
    assert_eq!((why.codespace, why.code), ("sdk", 13));
    assert_eq!(why.log, "insufficient fees; got: 100000uallo required: 112500uallo: insufficient fee");
    assert_eq!(pool.refusal(&tx::hash(&next)).unwrap().code, 32, "it came after the other");
    assert_eq!(pool.refusal(&tx::hash(&busy)), None, "it is in a block");
    // A block with room brings the price down again: what was dropped is welcome, and no longer called refused.
    let executed = app.execute(&BlockInput { height: 2, time_ms: 2, txs: &[] }).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed(std::iter::empty()).unwrap();
    assert_eq!(code(pool.add(&poor)), 0);
    assert_eq!(pool.refusal(&tx::hash(&poor)), None);
}
