//! Laws of the mempool's order, on arbitrary queues: senders' order, bounds, lanes, evictions, books.

use proptest::prelude::*;

use super::*;

/// What a law needs to know of a transaction.
#[derive(Clone, Debug)]
struct Spec {
    sender: u8,
    work: bool,
    price: u128,
    gas: u64,
    bytes: usize,
    late: bool,
}

fn spec() -> impl Strategy<Value = Spec> {
    (0..6u8, any::<bool>(), 0..5u128, 1..60u64, 1..60usize, prop::bool::weighted(0.1))
        .prop_map(|(sender, work, price, gas, bytes, late)| Spec { sender, work, price, gas, bytes, late })
}

fn waiting(spec: &Spec, number: u64, sequence: u64) -> Waiting {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Waiting {
        hash,
        sender: Address([spec.sender; 20]),
        sequence,
        lane: if spec.work { Lane::Work } else { Lane::Other },
        gas: spec.gas,
        price: spec.price,
        bytes: vec![number as u8; spec.bytes].into(),
        late_until: if spec.late { 10 } else { 0 },
        left_out: 0,
    }
}

fn queue(specs: &[Spec]) -> Queue {
    let mut queue = Queue::default();
    let mut sequences = BTreeMap::<u8, u64>::new();
    for (number, spec) in (0..).zip(specs) {
        let sequence = sequences.entry(spec.sender).or_default();
        queue.insert(number, waiting(spec, number, *sequence));
        *sequence += 1;
    }
    queue
}

/// A lane's books and ends, counted anew.
fn counted(queue: &Queue) -> ([Fill; 2], Ends) {
    let mut lanes = [Fill::default(); 2];
    let mut ends = Ends::default();
    for (place, waiting) in &queue.all {
        lanes[waiting.lane as usize].txs += 1;
        lanes[waiting.lane as usize].bytes += waiting.bytes.len();
        let later = |other: &Waiting| other.sender == waiting.sender && other.sequence > waiting.sequence;
        if !queue.all.values().any(later) {
            ends[waiting.lane as usize].insert((waiting.price, Reverse(*place)));
        }
    }
    (lanes, ends)
}

fn used<'a>(txs: impl Iterator<Item = &'a Waiting>) -> Room {
    txs.fold(Room { bytes: 0, txs: 0, gas: 0 }, |sum, tx| Room {
        bytes: sum.bytes + tx.bytes.len(),
        txs: sum.txs + 1,
        gas: sum.gas + tx.gas,
    })
}

proptest! {
    #[test]
    fn a_block_keeps_senders_order_and_bounds_and_each_lane_gets_its_half(
        specs in prop::collection::vec(spec(), 0..60),
        bytes in 0..1_500usize,
        txs in 0..40usize,
        gas in 0..1_500u64,
    ) {
        const HEIGHT: u64 = 5;
        let queue = queue(&specs);
        let whole = Room { bytes, txs, gas };
        let chosen = queue.choose(whole, HEIGHT);
        // The number of a transaction is its place and the filling of its bytes.
        let order: Vec<u64> = queue.in_order(&chosen, HEIGHT).iter().map(|tx| u64::from(tx[0])).collect();
        let taken: Vec<&Waiting> = order.iter().map(|place| &queue.all[place]).collect();
        let sum = used(taken.iter().copied());
        prop_assert!(sum.bytes <= bytes && sum.txs <= txs && sum.gas <= gas);
        for (sender, own) in &queue.senders {
            let sequences: Vec<u64> =
                taken.iter().filter(|tx| tx.sender == *sender).map(|tx| tx.sequence).collect();
            prop_assert!(sequences.iter().copied().eq(0..sequences.len() as u64), "{sequences:?}");
            // A lane leaves somebody out entirely only when its half is used.
            if sequences.is_empty() && let Some(first) = own.values().next().map(|place| &queue.all[place]) {
                let half = whole.half();
                let lane = used(taken.iter().copied().filter(|tx| tx.lane == first.lane));
                prop_assert!(
                    lane.txs + 1 > half.txs
                        || lane.bytes + first.bytes.len() > half.bytes
                        || lane.gas + first.gas > half.gas
                );
            }
        }
        // Nobody is put before a better offer that could have stood there.
        for (at, place) in order.iter().enumerate() {
            let here = &queue.all[place];
            let rank = |place: u64, tx: &Waiting| (tx.late_until <= HEIGHT, tx.price, Reverse(place));
            for later in &order[at + 1..] {
                let tx = &queue.all[later];
                let first = !order[at..].iter().any(|other| {
                    let other = &queue.all[other];
                    other.sender == tx.sender && other.sequence < tx.sequence
                });
                prop_assert!(!first || rank(*later, tx) < rank(*place, here));
            }
        }
    }

    #[test]
    fn whoever_makes_room_is_cheaper_or_beyond_its_half_and_books_are_right(
        specs in prop::collection::vec(spec(), 0..80),
        txs in 1..20usize,
        bytes in 30..600usize,
    ) {
        let limits = Limits { txs, bytes, per_sender: 64 };
        let most = |percent| Fill { txs: part(txs, percent), bytes: part(bytes, percent) };
        let mut queue = Queue::default();
        let mut sequences = BTreeMap::<u8, u64>::new();
        for (number, spec) in (0..).zip(&specs) {
            let sequence = sequences.entry(spec.sender).or_default();
            let new = waiting(spec, number, *sequence);
            let before = queue.lanes;
            let Some(leaving) = queue.room(&limits, &new) else { continue };
            let (lane, price) = (new.lane, new.price);
            for place in leaving {
                let Some(gone) = queue.remove(place) else { panic!("who makes room was there") };
                prop_assert!(!queue.senders.get(&gone.sender).is_some_and(|own| own.keys().any(|s| *s > gone.sequence)));
                if gone.lane == lane {
                    prop_assert!(gone.price < price);
                } else {
                    let fill = before[gone.lane as usize];
                    prop_assert!(fill.txs + 1 > most(50).txs || fill.bytes + spec.bytes > most(50).bytes);
                }
                // The pool does not take a sender's next one before a block has cleared this up.
                let own = sequences.get_mut(&gone.sender.0[0]);
                own.into_iter().for_each(|next| *next = (*next).min(gone.sequence));
            }
            let next = sequences.entry(spec.sender).or_default();
            queue.insert(number, Waiting { sequence: *next, ..new });
            *next += 1;
            let total = Fill {
                txs: queue.lanes[0].txs + queue.lanes[1].txs,
                bytes: queue.lanes[0].bytes + queue.lanes[1].bytes,
            };
            prop_assert!(total.txs <= txs && total.bytes <= bytes);
            prop_assert!(queue.lanes.iter().all(|l| l.txs <= most(LANE_PERCENT).txs && l.bytes <= most(LANE_PERCENT).bytes));
            prop_assert_eq!((queue.lanes, queue.ends.clone()), counted(&queue));
        }
    }
}
