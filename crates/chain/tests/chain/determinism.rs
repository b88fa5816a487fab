//! The same blocks give the same state, whoever executes them, and the order of workers within a block decides
//! nothing as long as everybody is heard.

use dodona_chain::{Executed, Params, Signatures};
use dodona_proto::{
    ALLO,
    topics::{Loss, Role, Rule, TopicSpec},
};

use crate::{kit::*, seals};

/// A random transaction: mostly sensible, often a little wrong, sometimes nonsense.
fn random_tx(net: &Net, dice: &mut Dice) -> Tx {
    let names = ["alice", "bob", "w1", "w2", "w3", "w4", "r1", "r2", "r3", "new"];
    let who = *dice.pick(&names);
    let id = 1 + dice.roll(4);
    let numbers = ["1", "2.5", "-3e2", "1e40", "0", "NaN", "", "1e99", "-1e-40", "0.25", "7.125", "100"];
    let nonce = net.height.saturating_sub(dice.roll(6));
    let value = *dice.pick(&numbers);
    let shapes = [(1, 1, 1, 1), (2, 1, 3, 2), (3, 2, 4, 5), (0, 1, 1, 1)];
    let mut tx = match dice.roll(21) {
        0 => {
            let (length, window, lag, truths) = *dice.pick(&shapes);
            create(who, TopicSpec { rule: dice.roll(6) as i32, ..spec(length, window, lag, truths) })
        }
        1 => register(who, id, Role::Worker),
        2 => register(who, id, Role::Reputer).and(stake(who, id, (1 + u128::from(dice.roll(20))) * ALLO)),
        3 => fund(who, id, u128::from(dice.roll(3)) * ALLO),
        4 => stake(who, id, u128::from(dice.roll(5)) * ALLO),
        5 => send(who, dice.pick::<&str>(&names), u128::from(dice.roll(1_000)) * ALLO),
        6 | 7 => submit(who, id, nonce, value),
        8..=10 => answer(net, dice, value),
        11 => forecast(who, id, nonce, value, &[(*dice.pick(&names), *dice.pick(&numbers))]),
        12 => send(who, "bob", 1).and(submit(who, id, nonce, value)),
        13 => truth(who, id, nonce, value),
        14 => delegate(who, id, dice.pick::<&str>(&names), u128::from(dice.roll(5)) * ALLO),
        16 => set_params(&[("data_sending_fee", dice.pick::<&str>(&numbers))]),
        17 => labels(net, dice),
        18 => sealed(net, dice),
        15 => unstake(who, id, u128::from(dice.roll(5)) * ALLO),
        _ => report(net, dice, value),
    };
    match dice.roll(30) {
        0 => tx.sequence = 1,
        1 => tx.gas = dice.roll(60_000),
        2 => tx.fee = 3,
        3 => tx.chain = "other",
        4 => tx.timeout = net.height,
        _ => {}
    }
    tx
}

/// A worker's answer for an epoch whose window is open, if there is one.
fn answer(net: &Net, dice: &mut Dice, value: &str) -> Tx {
    let (who, id) = (*dice.pick(&["w1", "w2"]), 1 + dice.roll(3));
    let open = net.windows(id).windows.into_iter().find(|w| w.state == "open" && w.worker_last > net.height);
    submit(who, id, open.map_or(0, |w| w.nonce), value)
}

/// A reputer's report for an epoch whose truth window is open, if there is one.
fn report(net: &Net, dice: &mut Dice, value: &str) -> Tx {
    let (who, id) = (*dice.pick(&["r1", "r2"]), 1 + dice.roll(3));
    let next = net.height + 1;
    let open = net.windows(id).windows.into_iter().find(|w| (w.truth_first..=w.truth_last).contains(&next));
    truth(who, id, open.map_or(0, |w| w.nonce), value)
}

/// An answer or a report for the topic of classes.
fn labels(net: &Net, dice: &mut Dice) -> Tx {
    let next = net.height + 1;
    let windows = net.windows(CLASSES).windows;
    let pairs = *dice.pick(&[
        [("up", "0.25"), ("down", "0.75")],
        [("up", "1"), ("DOWN", "0")],
        [("flat", "0.5"), ("down", "0.5")],
        [("up", "0.5"), ("Up", "0.5")],
    ]);
    if dice.roll(2) == 0 {
        let open = windows.into_iter().find(|w| w.state == "open" && w.worker_last >= next);
        submit_labels(dice.pick::<&str>(&["w1", "w2"]), CLASSES, open.map_or(0, |w| w.nonce), &pairs)
    } else {
        let open = windows.into_iter().find(|w| (w.truth_first..=w.truth_last).contains(&next));
        truth_labels(dice.pick::<&str>(&["r1", "r2"]), CLASSES, open.map_or(0, |w| w.nonce), &pairs)
    }
}

/// The topic of classes among those of [`set_up`], and the one whose answers are sealed.
const CLASSES: u64 = 4;
const SEALED: u64 = 5;

/// A seal for the topic of sealed answers, what is behind it, or a report; some seals are never opened.
fn sealed(net: &Net, dice: &mut Dice) -> Tx {
    let (windows, next) = (net.windows(SEALED).windows, net.height + 1);
    let truths = windows.iter().find(|w| (w.truth_first..=w.truth_last).contains(&next));
    if let (Some(window), 0) = (truths, dice.roll(2)) {
        return truth(dice.pick::<&str>(&["r1", "r2"]), SEALED, window.nonce, "3");
    }
    let (nonce, last) = windows.iter().find(|w| w.state == "open").map_or((0, 0), |w| (w.nonce, w.seal_last));
    let (who, value) = (*dice.pick(&["w1", "w2", "w3"]), (nonce % 7).to_string());
    if next <= last {
        seals::seal(who, SEALED, nonce, &value)
    } else {
        seals::open(who, SEALED, nonce, &value)
    }
}

/// Topics that the random transactions find.
fn set_up(net: &mut Net) {
    for (rule, shape) in
        [(Rule::Power, spec(1, 1, 1, 1)), (Rule::Regret, spec(2, 1, 3, 2)), (Rule::Median, spec(3, 2, 4, 5))]
    {
        net.market(TopicSpec { rule: rule.into(), ..shape }, &["w1", "w2"], &["r1", "r2"]);
    }
    let (multi, require_unity, loss) = (true, true, Loss::Log.into());
    let classes = TopicSpec { classification: true, multi, require_unity, loss, ..spec(3, 2, 3, 3) };
    assert_eq!(net.market(classes, &["w1", "w2"], &["r1", "r2"]), CLASSES);
    let sealed = TopicSpec { reveal_window: 2, ..spec(4, 4, 4, 4) };
    assert_eq!(net.market(sealed, &["w1", "w2", "w3"], &["r1", "r2"]), SEALED);
}

/// A block as proposers make it.
fn careful(net: &Net, bytes: &[Vec<u8>]) -> (Executed, Vec<Vec<u8>>) {
    let (proposed, included) = net.propose(bytes);
    (proposed, included.iter().map(|i| bytes[*i].clone()).collect())
}

/// A block of everything that may be in one, whether it fails or not.
fn careless(net: &Net, bytes: &[Vec<u8>]) -> (Executed, Vec<Vec<u8>>) {
    let mut chosen = bytes.to_vec();
    loop {
        match net.execute(&chosen) {
            Ok(executed) => return (executed, chosen),
            Err(invalid) => drop(chosen.remove(invalid.index)),
        }
    }
}

#[test]
fn two_hundred_random_blocks_give_the_same_roots_to_proposer_and_validator() {
    let params = Params {
        epoch_retention: 7,
        max_top_inferers_to_reward: 3,
        max_reputers: 2,
        remove_stake_delay_window: 5,
        ..Params::default()
    };
    let (mut one, mut two) =
        (Net::of(&genesis(params.clone()), Signatures::Check), Net::of(&genesis(params), Signatures::Check));
    set_up(&mut one);
    set_up(&mut two);
    let mut dice = Dice(20_240_229);
    let (mut left_out, mut failed, mut done) = (0, 0, 0);
    for _ in 0..200 {
        let count = dice.roll(24);
        let txs: Vec<Tx> = (0..count).map(|_| random_tx(&one, &mut dice)).collect();
        let mut bytes = one.sign(&txs);
        if dice.roll(3) == 0 {
            bytes.push((0..dice.roll(80)).map(|_| dice.roll(256) as u8).collect());
        }
        // Every other block is made by somebody who does not mind that transactions fail.
        let (proposed, chosen) =
            if one.height % 2 == 0 { careful(&one, &bytes) } else { careless(&one, &bytes) };
        let executed = two.execute(&chosen).expect("what a proposer chose, a validator accepts");
        let facts = |e: &Executed| (e.root, e.receipts_hash, e.receipts.clone(), e.events.clone());
        assert_eq!(facts(&proposed), facts(&executed), "block {}", one.height + 1);
        left_out += bytes.len() - chosen.len();
        failed += executed.receipts.iter().filter(|r| r.code != 0).count();
        done += executed.receipts.iter().filter(|r| r.code == 0).count();
        one.commit(proposed);
        two.commit(executed);
        assert_eq!(one.app.root(), two.app.root());
    }
    assert!(
        done > 300 && failed > 300 && left_out > 100,
        "{done} done, {failed} failed, {left_out} left out"
    );
    let scored: Vec<u64> = (1..=3).map(|id| one.topic(id).epochs_scored).collect();
    assert!(scored.iter().all(|n| *n >= 8) && one.topic(CLASSES).epochs_scored > 0, "{scored:?}");
    let sealed = one.topic(SEALED);
    assert!(sealed.epochs_scored > 0, "{} sealed epochs opened, none scored", sealed.epochs_opened);
}

#[test]
fn the_order_of_workers_within_a_block_decides_nothing_while_there_is_room() {
    let workers: Vec<String> = (1..=9).map(|i| format!("w{i}")).collect();
    let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
    let reputers = ["r1", "r2", "r3", "r4"];
    for rule in [Rule::Power, Rule::Regret, Rule::Median, Rule::Mean] {
        let new = || {
            let mut net = Net::new();
            net.market(TopicSpec { rule: rule.into(), ..spec(1, 1, 1, 1) }, &workers, &reputers);
            net
        };
        let (mut one, mut two) = (new(), new());
        let mut dice = Dice(99);
        for _ in 0..30 {
            let nonce = one.height;
            let mut txs: Vec<Tx> = Vec::new();
            for worker in &workers {
                let value = (dice.roll(1_000) as f64 / 7.0).to_string();
                let others = [(workers[0], "0.3"), (workers[4], "2")];
                let plain = matches!(rule, Rule::Median | Rule::Mean) || dice.roll(3) > 0;
                txs.push(forecast(worker, 1, nonce, &value, if plain { &[] } else { &others }));
            }
            if nonce > 2 {
                txs.extend(
                    reputers
                        .iter()
                        .map(|r| truth(r, 1, nonce - 1, &(dice.roll(900) as f64 / 7.0).to_string())),
                );
            }
            one.done(&txs);
            for i in (1..txs.len()).rev() {
                txs.swap(i, dice.roll(i as u64 + 1) as usize);
            }
            two.done(&txs);
            // Sequences, fees, members, answers, pay: all of the state.
            assert_eq!(one.app.root(), two.app.root(), "{rule:?} block {}", one.height);
        }
        assert_eq!(one.topic(1).epochs_scored, 29);
    }
}

#[test]
fn what_the_mempool_accepts_is_done_if_nothing_else_happens() {
    let mut net = Net::new();
    set_up(&mut net);
    let mut dice = Dice(7);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..80 {
        let mut block = Vec::new();
        let mut checker = net.app.checker().unwrap();
        for _ in 0..12 {
            let bytes = net.sign(&[random_tx(&net, &mut dice)])[0].clone();
            // Alone: mempool and block are of one mind.
            let mut alone = net.app.checker().unwrap();
            let ok = net.app.check(&mut alone, &bytes).is_ok();
            let outcome = net.execute(std::slice::from_ref(&bytes));
            assert_eq!(ok, outcome.is_ok_and(|e| e.receipts[0].code == 0));
            // Together: one after the other.
            match net.app.check(&mut checker, &bytes) {
                Ok(_) => block.push(bytes),
                Err(_) => refused += 1,
            }
        }
        accepted += block.len();
        let receipts = net.raw_block(&block);
        assert!(receipts.iter().all(|r| r.code == 0), "{receipts:?}");
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_block_executed_twice_or_beside_another_leaves_no_trace() {
    let mut net = Net::new();
    set_up(&mut net);
    let mut dice = Dice(3);
    for _ in 0..20 {
        let txs: Vec<Tx> = (0..10).map(|_| random_tx(&net, &mut dice)).collect();
        let bytes = net.sign(&txs);
        let before = net.app.root();
        let (first, included) = net.propose(&bytes);
        let (other, _) = net.propose(&bytes[..bytes.len() / 2]);
        let (again, same) = net.propose(&bytes);
        assert_eq!((first.root, first.receipts_hash, included), (again.root, again.receipts_hash, same));
        assert_eq!(net.app.root(), before);
        drop(other);
        net.commit(first);
    }
}

/// A short life of a chain: for every block its transactions and the root after it.
fn recorded() -> Vec<(Vec<Vec<u8>>, [u8; 32])> {
    let mut net = Net::new();
    set_up(&mut net);
    let mut dice = Dice(2_026);
    let mut blocks = Vec::new();
    for _ in 0..40 {
        let txs: Vec<Tx> = (0..12).map(|_| random_tx(&net, &mut dice)).collect();
        let bytes = net.sign(&txs);
        let (executed, included) = net.propose(&bytes);
        let root = executed.root;
        net.commit(executed);
        blocks.push((included.into_iter().map(|i| bytes[i].clone()).collect(), root));
    }
    blocks
}

#[test]
fn a_recorded_chain_has_the_roots_it_always_had() {
    // The same file for every machine and every build: a difference is a fork. After a change of the state that is
    // meant, write it anew with DODONA_GOLDEN=write, and say so in the change.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/roots.txt");
    let lines = recorded().iter().map(|(_, root)| format!("{}\n", hex::encode(root))).collect::<String>();
    if std::env::var("DODONA_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(path, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), lines);
}

#[test]
fn roots_do_not_depend_on_how_many_threads_check_signatures_ahead() {
    let blocks = recorded();
    for threads in [1, 16] {
        let mut net = Net::new();
        set_up(&mut net);
        for (txs, root) in &blocks {
            let checker = net.app.checker().unwrap();
            let (app, checker) = (&net.app, &checker);
            std::thread::scope(|scope| {
                for part in txs.chunks(txs.len().div_ceil(threads).max(1)) {
                    scope.spawn(move || part.iter().for_each(|tx| app.verify_ahead(checker, tx).unwrap()));
                }
            });
            let executed = net.execute(txs).unwrap();
            assert_eq!(executed.root, *root, "{threads} threads, block {}", net.height + 1);
            net.commit(executed);
        }
    }
}
