//! Whatever bytes arrive: no panic, no change of state, no second spelling of a valid transaction.

use std::sync::LazyLock;

use dodona_chain::Params;
use dodona_proto::{ALLO, topics::Role};
use proptest::prelude::*;

use crate::kit::*;

/// One chain for all cases: none of them may change it.
static CHAIN_STATE: LazyLock<(Net, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let mut net = Net::with(|p: &mut Params| p.max_tx_bytes = 10_000);
    let id = net.market(spec(1, 1, 1, 9), &["w1", "w2"], &["r1", "r2"]);
    net.done(&[submit("w1", id, 2, "1"), submit("w2", id, 2, "3")]);
    net.done(&[submit("w1", id, 3, "1"), submit("w2", id, 3, "3")]);
    let txs = [
        send("alice", "bob", ALLO),
        create("alice", spec(3, 2, 4, 5)),
        register("bob", id, Role::Worker),
        stake("r1", id, 5),
        fund("carol", id, 5),
        forecast("w1", id, 4, "2.5", &[("w1", "0.5"), ("w2", "1")]),
        truth("r2", id, 2, "2"),
    ];
    let valid = txs.iter().map(|tx| net.sign(std::slice::from_ref(tx)).remove(0)).collect();
    (net, valid)
});

/// Refused by the mempool without a trace; a proposer makes the block it would have made without it.
fn is_refused(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (net, valid) = &*CHAIN_STATE;
    let before = net.app.root();
    let mut checker = net.app.checker().unwrap();
    prop_assert!(net.app.check(&mut checker, bytes).is_err());
    for good in valid.iter().skip(1) {
        prop_assert!(net.app.check(&mut checker, good).is_ok(), "the checker is as it was");
    }
    let (with, included) = net.propose(&[bytes.to_vec(), valid[0].clone()]);
    let (without, _) = net.propose(&valid[..1]);
    prop_assert_eq!((included, with.root), (vec![1], without.root));
    prop_assert!(net.execute(&[bytes.to_vec()]).is_err());
    prop_assert_eq!(net.app.root(), before);
    Ok(())
}

#[test]
fn the_transactions_that_are_altered_below_are_valid() {
    let (net, valid) = &*CHAIN_STATE;
    for bytes in valid {
        assert_eq!(net.execute(std::slice::from_ref(bytes)).unwrap().receipts[0].code, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        is_refused(&bytes)?;
    }

    #[test]
    fn a_transaction_altered_in_one_byte_is_refused(which in 0..7usize, at in any::<prop::sample::Index>(), by in 1..=255u8) {
        let mut bytes = CHAIN_STATE.1[which].clone();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        is_refused(&bytes)?;
    }

    #[test]
    fn a_transaction_cut_stretched_or_spliced_is_refused(
        which in (0..7usize, 0..7usize),
        at in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        more in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let (one, two) = (&CHAIN_STATE.1[which.0], &CHAIN_STATE.1[which.1]);
        let (from, to) = (at.0.index(one.len()), at.1.index(two.len()));
        let spliced = [&one[..from], &more, &two[to..]].concat();
        prop_assume!(!CHAIN_STATE.1.contains(&spliced));
        is_refused(&spliced)?;
    }
}
