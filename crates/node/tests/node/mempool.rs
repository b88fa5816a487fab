//! What the mempool promises: bounds, order of arrival, and no transaction that could not be in the next block.

use dodona_chain::{App, BlockInput, Failure, Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_node::{Limits, Mempool, Offered};
use dodona_proto::{
    ALLO,
    sign::AccountKey,
    tx::{self, Signing, TxHash},
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
        accounts: vec![account("alice"), account("bob"), account("carol")],
        validators: vec![GenesisValidator {
            public_key: hex::encode([1; 32]),
            power: 1,
            operator: key("alice").address().to_string(),
            ..GenesisValidator::default()
        }],
    };
    App::open(Store::memory(Config::default()), &genesis, Signatures::Check).unwrap()
}

/// A transfer of `amount` to oneself.
fn transfer(app: &App, name: &str, sequence: u64, amount: u128) -> Vec<u8> {
    offering(app, name, sequence, amount, (1_000_000, 100_000))
}

/// The same with this fee and gas limit.
fn offering(app: &App, name: &str, sequence: u64, amount: u128, terms: (u128, u64)) -> Vec<u8> {
    paying(app, (name, name), sequence, amount, terms)
}

/// A transfer from one to another.
fn paying(
    app: &App,
    (name, to): (&str, &str),
    sequence: u64,
    amount: u128,
    (fee, gas_limit): (u128, u64),
) -> Vec<u8> {
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
    .build(vec![tx::send(key.address(), self::key(to).address(), amount)], 0)
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
    let executed = app.execute(&BlockInput::of(1, 1, &other)).unwrap().unwrap();
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
    let executed = app.execute(&BlockInput::of(1, 1, &first)).unwrap().unwrap();
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
    let executed = app.execute(&BlockInput::of(1, 1, &block)).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed([tx::hash(&busy)].into_iter()).unwrap();
    assert!(pool.is_empty());
    let why = pool.refusal(&tx::hash(&poor)).unwrap();
    assert_eq!((why.codespace, why.code), ("sdk", 13));
    assert_eq!(why.log, "insufficient fees; got: 100000uallo required: 112500uallo: insufficient fee");
    assert_eq!(pool.refusal(&tx::hash(&next)).unwrap().code, 32, "it came after the other");
    assert_eq!(pool.refusal(&tx::hash(&busy)), None, "it is in a block");
    // A block with room brings the price down again: what was dropped is welcome, and no longer called refused.
    let executed = app.execute(&BlockInput::of(2, 2, &[])).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed(std::iter::empty()).unwrap();
    assert_eq!(code(pool.add(&poor)), 0);
    assert_eq!(pool.refusal(&tx::hash(&poor)), None);
}

#[test]
fn a_sequence_number_may_be_used_again_for_a_tenth_more() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let of = |sequence, fee| offering(&app, "alice", sequence, 1, (fee, 100_000));
    let (old, next) = (of(0, 1_000_000), of(1, 1_000_000));
    assert_eq!((code(pool.add(&old)), code(pool.add(&next))), (0, 0));
    assert_eq!(code(pool.add(&of(0, 1_099_999))), 13);
    let new = of(0, 1_100_000);
    assert_eq!(code(pool.add(&new)), 0);
    assert_eq!(pool.candidates(usize::MAX, usize::MAX), [new.clone(), next.clone()]);
    assert_eq!((pool.len(), pool.refusal(&tx::hash(&old)).unwrap().code), (2, 20));
    assert_eq!(code(pool.add(&old)), 13, "the old one offers less");
    // What the sender's other transactions need is not given away by a replacement.
    let greedy = offering(&app, "alice", 0, 1, (ALLO - 1_000_000, 100_000));
    assert_eq!(code(pool.add(&greedy)), 5);
    let block = pool.candidates(usize::MAX, usize::MAX);
    let executed = app.execute(&BlockInput::of(1, 1, &block)).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed(block.iter().map(|tx| tx::hash(tx))).unwrap();
    assert!(pool.is_empty());
    assert_eq!(code(pool.add(&of(2, 1_000_000))), 0);
}

#[test]
fn a_full_pool_takes_a_better_offer_for_the_cheapest() {
    let app = chain();
    let limits = Limits { txs: 3, bytes: 1 << 20, per_sender: 8 };
    let pool = Mempool::new(app.clone(), limits).unwrap();
    let of = |name, sequence, fee| offering(&app, name, sequence, 1, (fee, 100_000));
    let (first, last, bob) = (of("alice", 0, 1_000_000), of("alice", 1, 1_000_000), of("bob", 0, 3_000_000));
    [&first, &last, &bob].iter().for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    assert_eq!(code(pool.add(&of("carol", 0, 1_000_000))), 20, "not for the same");
    let carol = of("carol", 0, 2_000_000);
    assert_eq!(code(pool.add(&carol)), 0);
    assert_eq!(
        pool.candidates(usize::MAX, usize::MAX),
        [bob, carol, first],
        "the sender's last had to leave"
    );
    assert_eq!(pool.refusal(&tx::hash(&last)).unwrap().code, 20);
    assert_eq!(
        code(pool.add(&of("alice", 2, 9_000_000))),
        20,
        "there is a gap before it until the next block"
    );
    let executed = app.execute(&BlockInput::of(1, 1, &[])).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed(std::iter::empty()).unwrap();
    assert_eq!(code(pool.add(&of("alice", 1, 9_000_000))), 0);
}

#[test]
fn what_depends_on_another_senders_transaction_waits_for_it_and_does_not_pay() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let gift = paying(&app, ("alice", "bob"), 0, ALLO / 2, (1_000_000, 100_000));
    // In more of a hurry than the gift it is made of.
    let spent = paying(&app, ("bob", "carol"), 0, ALLO * 5 / 4, (9_000_000, 100_000));
    let after = paying(&app, ("bob", "carol"), 1, 1, (9_000_000, 100_000));
    [&gift, &spent, &after].iter().for_each(|tx| assert_eq!(code(pool.add(tx)), 0));
    let mut included = Vec::new();
    for height in 1..=2 {
        let txs = pool.candidates(usize::MAX, usize::MAX);
        let (executed, kept) = app.propose(&BlockInput::of(height, height, &txs)).unwrap();
        assert!(executed.receipts.iter().all(|receipt| receipt.code == 0));
        let out: Vec<usize> = (0..txs.len()).filter(|i| !kept.contains(i)).collect();
        pool.left_out(out.iter().map(|i| tx::hash(&txs[*i])));
        if height == 1 {
            // Behind all others for a while, so that it cannot fill trial after trial.
            assert_eq!(pool.candidates(usize::MAX, usize::MAX)[0], gift);
        }
        let block: Vec<TxHash> = kept.iter().map(|i| tx::hash(&txs[*i])).collect();
        app.commit(executed, Vec::new()).unwrap();
        pool.committed(block.iter().copied()).unwrap();
        included.push(block);
    }
    assert_eq!(included, [vec![tx::hash(&gift)], vec![tx::hash(&spent), tx::hash(&after)]]);
}

#[test]
fn other_nodes_transactions_are_told_apart_and_admissions_can_be_followed() {
    let app = chain();
    let pool = Mempool::new(app.clone(), Limits::default()).unwrap();
    let (first, second) = (transfer(&app, "alice", 0, 1), transfer(&app, "alice", 1, 1));
    assert!(matches!(pool.offer(b"garbage"), Offered::Garbage(_)));
    let early = pool.offer(&second);
    assert!(matches!(early, Offered::Refused { sent: Some((_, 1)), .. }), "{early:?}");
    let hashes = [tx::hash(&first), tx::hash(&second), tx::hash(b"garbage")];
    assert_eq!(pool.unknown_of(&hashes), hashes[..1], "what was refused on this state is not asked for");
    assert!(matches!(pool.offer(&first), Offered::Taken { .. }));
    assert!(matches!(pool.offer(&first), Offered::Known));
    assert!(matches!(pool.offer(&second), Offered::Taken { .. }));
    assert_eq!(pool.admitted_since(0, 1), (vec![hashes[0]], 1));
    assert_eq!(pool.admitted_since(1, 9), (vec![hashes[1]], 2));
    assert_eq!(pool.admitted_since(2, 9), (vec![], 2));
    let block = vec![first.clone()];
    let executed = app.execute(&BlockInput::of(1, 1, &block)).unwrap().unwrap();
    app.commit(executed, Vec::new()).unwrap();
    pool.committed([hashes[0]].into_iter()).unwrap();
    assert!(matches!(pool.offer(&first), Offered::Known), "it is in a block");
    assert_eq!(pool.admitted_since(0, 9), (vec![hashes[1]], 2));
    assert!(pool.get(&hashes[0]).is_none() && pool.get(&hashes[1]).is_some());
}
