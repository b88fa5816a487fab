//! Laws of the subnets: whatever goes in, nothing is created, nothing leaves its bounds, order does not matter, and
//! the epoch agrees with its slow twin.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

#[path = "common/subnet.rs"]
mod subnet;
#[path = "reference/subnet.rs"]
mod twin;

use dodona_mechanism::subnet::admission::{self, Resident};
use dodona_mechanism::subnet::batch::{self, Cleared, Offer, PRICE_MAX, PRICE_MIN};
use dodona_mechanism::subnet::emission::{self, Claim};
use dodona_mechanism::subnet::epoch::{self, EpochOutput};
use dodona_mechanism::subnet::fixed::Q32;
use dodona_mechanism::subnet::lock::{self, Lock, LockRules};
use dodona_mechanism::subnet::payout::{self, FamilyRules, Parent, Stake};
use dodona_mechanism::subnet::pool::{Pool, PoolRules, Side};
use dodona_mechanism::subnet::power;
use dodona_mechanism::subnet::root::{Holder, Rate};
use dodona_mechanism::subnet::share_pool::SharePool;
use dodona_mechanism::supply::Fixed;
use dodona_mechanism::{MathError, Real};
use proptest::prelude::*;
use subnet::Subnet;

/// Any small subnet: dense or sparse, with gaps, zeros, newcomers, the owner and commits.
fn any_subnet() -> impl Strategy<Value = Subnet> {
    let member = || (0u64..1_000_000_000_000, any::<bool>(), 0u64..40, 0u64..30);
    let cell = || prop_oneof![2 => Just(None), 1 => Just(Some(0u16)), 4 => any::<u16>().prop_map(Some)];
    (2usize..9)
        .prop_flat_map(move |n| {
            let members = prop::collection::vec(member(), n);
            let cells = || prop::collection::vec(prop::collection::vec(cell(), n), n);
            let flags = (any::<bool>(), any::<bool>(), any::<bool>());
            let numbers = (20_000u16..50_000, any::<u16>(), 1usize..9, 0u64..1_000_000_000_000);
            (members, cells(), cells(), flags, numbers, prop::option::of(0u16..9))
        })
        .prop_map(|(members, weights, bonds, (yuma3, liquid, commits), numbers, owner)| {
            let rows = |cells: Vec<Vec<Option<u16>>>| {
                let row = |row: Vec<Option<u16>>| {
                    (0u16..).zip(row).filter_map(|(uid, cell)| cell.map(|cell| (uid, cell))).collect()
                };
                cells.into_iter().map(row).collect()
            };
            let mut subnet = Subnet::new(members.len());
            subnet.stake = members.iter().map(|member| member.0).collect();
            subnet.permit = members.iter().map(|member| member.1).collect();
            subnet.last_update = members.iter().map(|member| member.2).collect();
            subnet.registered = members.iter().map(|member| member.3).collect();
            (subnet.weights, subnet.bonds) = (rows(weights), rows(bonds));
            subnet.commits = commits.then(|| members.iter().map(|m| m.1.then_some(m.2)).collect());
            subnet.params.bonds.yuma3 = yuma3;
            subnet.params.bonds.liquid = liquid;
            (subnet.params.kappa, subnet.params.bonds_penalty) = (numbers.0, numbers.1);
            (subnet.params.max_validators, subnet.emission) = (numbers.2, numbers.3);
            subnet.params.activity_cutoff = 30;
            subnet.params.owner = owner;
            (subnet.block, subnet.last_step) = (45, 20);
            subnet
        })
}

fn run(subnet: &Subnet) -> EpochOutput {
    epoch::run(&subnet.input()).unwrap()
}

/// The same subnet with uid `order[i]` as uid `i`.
fn permuted(subnet: &Subnet, order: &[usize]) -> Subnet {
    let place = |uid: u16| order.iter().position(|&old| old == usize::from(uid)).map(|new| new as u16);
    let rows = |rows: &[Vec<(u16, u16)>]| {
        let row = |&old: &usize| {
            let mut row: Vec<(u16, u16)> =
                rows[old].iter().filter_map(|&(uid, value)| place(uid).map(|uid| (uid, value))).collect();
            row.sort_unstable();
            row
        };
        order.iter().map(row).collect()
    };
    let mut other = subnet.clone();
    other.stake = order.iter().map(|&old| subnet.stake[old]).collect();
    other.permit = order.iter().map(|&old| subnet.permit[old]).collect();
    other.last_update = order.iter().map(|&old| subnet.last_update[old]).collect();
    other.registered = order.iter().map(|&old| subnet.registered[old]).collect();
    (other.weights, other.bonds) = (rows(&subnet.weights), rows(&subnet.bonds));
    other.commits = subnet.commits.as_ref().map(|commits| order.iter().map(|&old| commits[old]).collect());
    other.params.owner = subnet.params.owner.and_then(place);
    other
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn an_epoch_pays_no_more_than_it_has_and_everything_stays_in_bounds(subnet in any_subnet()) {
        let out = run(&subnet);
        let paid: u64 = out.server.iter().chain(&out.validator).sum();
        prop_assert!(paid <= subnet.emission);
        prop_assert!(out.emission.iter().sum::<u64>() <= subnet.emission);
        for values in [&out.stake, &out.active_stake, &out.consensus, &out.incentive, &out.dividends] {
            prop_assert!(values.iter().all(|value| (Q32::ZERO..=Q32::ONE).contains(value)));
        }
        for shares in [&out.stake, &out.active_stake, &out.incentive, &out.dividends] {
            let sum = Q32::sum(shares.iter().copied());
            prop_assert!(sum == Q32::ZERO || (sum <= Q32::ONE && sum.bits() > Q32::ONE.bits() - 16));
        }
        // The owner holds a permit beyond the number of places.
        let permits = out.permit.iter().filter(|&&permit| permit).count();
        prop_assert!(permits <= subnet.params.max_validators + 1);
        for (uid, row) in out.bonds.iter().enumerate() {
            prop_assert!(out.permit[uid] || row.is_empty() || *row == subnet.bonds[uid]);
        }
    }

    #[test]
    fn the_order_of_members_changes_nothing_but_the_last_places(subnet in any_subnet(), seed in any::<u64>()) {
        let n = subnet.stake.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&uid| (uid as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        let (out, other) = (run(&subnet), run(&permuted(&subnet, &order)));
        for (new, &old) in order.iter().enumerate() {
            prop_assert_eq!(other.consensus[new], out.consensus[old]);
            prop_assert_eq!(other.incentive[new], out.incentive[old]);
            prop_assert_eq!(other.dividends[new], out.dividends[old]);
            prop_assert_eq!(other.server[new], out.server[old]);
            prop_assert_eq!(other.validator[new], out.validator[old]);
        }
    }

    #[test]
    fn an_epoch_agrees_with_its_slow_twin(mut subnet in any_subnet()) {
        subnet.params.bonds.liquid = false;
        // Stakes of one order of size: a share near the resolution is a matter of bits, which are tested elsewhere.
        subnet.stake.iter_mut().for_each(|stake| *stake += 1_000_000_000_000);
        let (out, twin) = (run(&subnet), twin::epoch(&subnet.input()));
        let near = |ours: &[Q32], theirs: &[f64]| {
            ours.iter().zip(theirs).all(|(a, b)| (a.bits() as f64 / 4_294_967_296.0 - b).abs() < 1e-5)
        };
        prop_assert!(near(&out.consensus, &twin.consensus));
        prop_assert!(near(&out.trust, &twin.trust));
        prop_assert!(near(&out.incentive, &twin.incentive));
        prop_assert!(near(&out.dividends, &twin.dividends), "{:?} {:?}", out.dividends, twin.dividends);
    }

    #[test]
    fn rows_of_zeros_and_no_rows_pay_by_stake(mut subnet in any_subnet()) {
        subnet.weights.iter_mut().flatten().for_each(|entry| entry.1 = 0);
        subnet.bonds.iter_mut().for_each(Vec::clear);
        let out = run(&subnet);
        prop_assert!(out.server.iter().all(|&paid| paid == 0));
        let shares = if out.active_stake.iter().any(|&s| s != Q32::ZERO) { &out.active_stake } else { &out.stake };
        for (paid, share) in out.validator.iter().zip(shares) {
            prop_assert_eq!(*paid, share.of(subnet.emission));
        }
    }

    #[test]
    fn a_trade_and_back_never_gains(
        alpha in 1_000_000u64..10_000_000_000_000,
        tao in 1_000_000u64..10_000_000_000_000,
        weight in 10u64..=990,
        amount in 1u64..1_000_000_000_000,
    ) {
        let tao_weight = Fixed::from_raw(u128::from(weight) * Fixed::ONE.raw() / 1000);
        let pool = Pool { alpha, tao, tao_weight };
        let rules = PoolRules { fee: 0, min_reserve: 0 };
        if let Ok(bought) = pool.swap(Side::Buy, amount, Fixed::MAX, &rules) {
            prop_assert_eq!(bought.taken + bought.fee + bought.returned, amount);
            prop_assert_eq!(bought.pool.alpha + bought.output, alpha);
            if let Ok(sold) = bought.pool.swap(Side::Sell, bought.output, Fixed::ZERO, &rules) {
                prop_assert!(sold.output <= bought.taken);
            }
        }
    }

    #[test]
    fn a_trade_ends_within_its_limit(
        alpha in 1_000_000_000u64..10_000_000_000_000,
        tao in 1_000_000_000u64..10_000_000_000_000,
        amount in 1_000u64..1_000_000_000_000,
        slack in 1u64..200,
    ) {
        let pool = Pool::even(alpha, tao);
        let price = pool.price().unwrap();
        let tenths = |tenths: u64| Fixed::from_raw(price.raw() * u128::from(tenths) / 1000);
        let rules = PoolRules::default();
        if let Ok(swap) = pool.swap(Side::Buy, amount, tenths(1000 + slack), &rules) {
            prop_assert!(swap.pool.price().unwrap() <= tenths(1000 + slack));
            prop_assert_eq!(swap.taken + swap.fee + swap.returned, amount);
        }
        if let Ok(swap) = pool.swap(Side::Sell, amount, tenths(1000 - slack), &rules) {
            prop_assert!(swap.pool.price().unwrap() >= tenths(1000 - slack));
            prop_assert_eq!(swap.taken + swap.fee + swap.returned, amount);
        }
    }

    #[test]
    fn powers_stay_between_their_bounds(a in 1u64.., b in 1u64.., n in 1u64..100, d in 1u64..100) {
        let (low, high) = power::power(u128::from(a), u128::from(b), u128::from(n), u128::from(d)).unwrap();
        prop_assert!(low <= high && high - low <= 64);
        let expected = dodona_mechanism::real::func::pow(a as f64 / b as f64, n as f64 / d as f64).min(32.0);
        let one = power::ONE as f64;
        let close = 1e-9 * expected.max(1e-12) + 1e-20;
        prop_assert!((low as f64 / one - expected).abs() <= close, "{} {expected}", low as f64 / one);
    }

    #[test]
    fn splits_conserve_to_the_last_unit(
        total in any::<u64>(),
        values in prop::collection::vec(0u64..1_000_000_000_000, 1..9),
        protocol in 0u64..1_000_000,
        parts in (0u64..=1000, 0u64..=1000),
        root_earns in any::<bool>(),
    ) {
        let (holders, chain) = admission::dissolution(total, &values, protocol).unwrap();
        prop_assert_eq!(holders.iter().sum::<u64>() + chain, total);
        let part = |thousandths: u64| Fixed::from_raw(u128::from(thousandths) * Fixed::ONE.raw() / 1000);
        let a = emission::accrue(total, part(parts.0), part(parts.1), root_earns).unwrap();
        prop_assert_eq!(u128::from(total), [a.owner, a.server, a.validator, a.root, a.recycled].map(u128::from).iter().sum());
        let claims: Vec<Claim> = values
            .iter()
            .map(|&v| Claim { price: Fixed::from_raw(u128::from(v)), withheld: part(parts.0), enabled: v % 3 > 0 })
            .collect();
        let paid: u64 = emission::split(total, &claims).unwrap().iter().sum();
        prop_assert!(paid == total || paid == 0);
        let parents: Vec<Parent> = values
            .iter()
            .map(|&v| Parent { stake: Stake { alpha: v, root: v / 2 }, fraction: v << 20, same_holder: v % 2 == 0 })
            .collect();
        let rules = FamilyRules { root_weight: part(parts.1), take: part(parts.0), burn: part(parts.1) };
        let own = Stake { alpha: protocol, root: 0 };
        let family = payout::to_family(total, own, u64::MAX, &parents, &rules).unwrap();
        prop_assert_eq!(family.parents.iter().sum::<u64>() + family.child + family.burned, total);
        let shares: Vec<u16> = values.iter().map(|&v| v as u16).collect();
        let split = payout::by_mechanism(total, shares.len(), Some(&shares)).unwrap();
        prop_assert_eq!(split.iter().sum::<u64>(), total);
    }

    #[test]
    fn holders_of_a_pool_never_own_more_than_it_has(
        ops in prop::collection::vec((0usize..4, 0u8..3, 1u64..1_000_000_000_000), 1..40),
    ) {
        let (mut pool, mut held) = (SharePool::default(), [0u128; 4]);
        for (who, what, value) in ops {
            match what {
                0 => {
                    let (after, bought) = pool.deposit(value).unwrap();
                    (pool, held[who]) = (after, held[who] + bought);
                }
                1 => {
                    let worth = pool.value_of(held[who]).unwrap();
                    (pool, held[who]) = pool.withdraw(held[who], value.min(worth)).unwrap();
                }
                _ if pool.shares > 0 => pool = pool.reward(value).unwrap(),
                _ => {}
            }
            prop_assert_eq!(held.iter().sum::<u128>(), pool.shares);
            let owned: u64 = held.iter().map(|&shares| pool.value_of(shares).unwrap()).sum();
            prop_assert!(owned <= pool.value);
        }
    }

    #[test]
    fn holders_are_never_owed_more_than_was_paid(
        ops in prop::collection::vec((0usize..3, 0u8..3, 1u64..1_000_000_000), 1..40),
    ) {
        let (mut rate, mut holders, mut paid) = (Rate::default(), [Holder::default(); 3], 0u128);
        for (who, what, value) in ops {
            let total: u64 = holders.iter().map(|holder| holder.stake).sum();
            match what {
                0 => holders[who] = holders[who].deposited(rate, value).unwrap(),
                1 if total > 0 => {
                    rate = rate.accrue(value, total).unwrap();
                    paid += u128::from(value);
                }
                _ => {
                    let owed;
                    (holders[who], owed) = holders[who].claimed(rate).unwrap();
                    prop_assert!(owed <= paid);
                    paid -= owed;
                }
            }
            let owed: u128 = holders.iter().map(|holder| holder.owed(rate).unwrap()).sum();
            prop_assert!(owed <= paid);
        }
    }

    #[test]
    fn a_batch_conserves_both_tokens_keeps_limits_and_treats_equals_alike(
        (alpha, tao) in (1_000_000u64..1_000_000_000_000, 1_000_000u64..1_000_000_000_000),
        weight in 10u128..=990,
        buys in prop::collection::vec((1u64..1_000_000_000, prop_oneof![Just(None), (1u64..4_000).prop_map(Some)]), 0..8),
        sells in prop::collection::vec((1u64..1_000_000_000, prop_oneof![Just(None), (1u64..4_000).prop_map(Some)]), 0..8),
    ) {
        let pool = Pool { alpha, tao, tao_weight: Fixed::from_raw(weight * 1_000_000_000_000_000) };
        let spot = pool.price().unwrap();
        // Limits are thousandths of the price there is.
        let at = |limit: Option<u64>, none: Fixed| limit.map_or(none, |l| {
            Fixed::from_raw((spot.raw() / 1_000 * u128::from(l)).max(1))
        });
        let buys: Vec<Offer> =
            buys.into_iter().map(|(amount, l)| Offer { amount, limit: at(l, PRICE_MAX) }).collect();
        let sells: Vec<Offer> =
            sells.into_iter().map(|(amount, l)| Offer { amount, limit: at(l, PRICE_MIN) }).collect();
        let Cleared { pool: after, buys: bought, sells: sold, .. } =
            batch::clear(pool, &buys, &sells, 1).unwrap();
        let sum = |of: &[batch::Fill], f: fn(&batch::Fill) -> u64| of.iter().map(|x| u128::from(f(x))).sum::<u128>();
        // Both tokens are where they were, or with the other side.
        prop_assert_eq!(
            u128::from(pool.tao) + sum(&bought, |x| x.taken), u128::from(after.tao) + sum(&sold, |x| x.output));
        prop_assert_eq!(
            u128::from(pool.alpha) + sum(&sold, |x| x.taken), u128::from(after.alpha) + sum(&bought, |x| x.output));
        let raw = |a: u64, b: u64| f64::from(u32::MAX) * a as f64 / (b.max(1) as f64) / f64::from(u32::MAX);
        let float = |price: Fixed| price.raw() as f64 / 1e18;
        for (offer, fill) in buys.iter().zip(&bought) {
            prop_assert!(fill.taken <= offer.amount);
            // One unit of either token may be lost to rounding.
            prop_assert!(
                fill.taken as f64 <= (fill.output as f64 + 2.0) * float(offer.limit) * (1.0 + 1e-9) + 2.0,
                "paid {} for {}, limit {}", fill.taken, fill.output, offer.limit);
        }
        for (offer, fill) in sells.iter().zip(&sold) {
            prop_assert!(fill.taken <= offer.amount);
            prop_assert!(
                fill.output as f64 + 2.0 >= (fill.taken as f64 - 2.0) * float(offer.limit) * (1.0 - 1e-9) - 2.0,
                "got {} for {}, limit {}", fill.output, fill.taken, offer.limit);
        }
        // One price for all buyers, and the same for sellers, up to the unit.
        let big = |of: &[batch::Fill]| of.iter().filter(|x| x.taken > 1_000_000 && x.output > 1_000_000).copied().collect::<Vec<_>>();
        let prices: Vec<f64> = big(&bought).iter().map(|x| raw(x.taken, x.output))
            .chain(big(&sold).iter().map(|x| raw(x.output, x.taken))).collect();
        for pair in prices.windows(2) {
            prop_assert!((pair[0] / pair[1] - 1.0).abs() < 1e-4, "{:?}", prices);
        }
        // Whoever sets no limit trades everything, unless the other token runs out of units.
        if bought.iter().zip(&buys).any(|(x, o)| o.limit == PRICE_MAX && x.taken < o.amount) {
            prop_assert!(false, "{bought:?}");
        }
    }

    #[test]
    fn a_lone_trade_of_a_batch_is_the_pools_and_there_is_no_way_to_gain_by_going_round(
        (alpha, tao) in (1_000_000u64..1_000_000_000_000, 1_000_000u64..1_000_000_000_000),
        amount in 1u64..10_000_000_000,
    ) {
        let pool = Pool::even(alpha, tao);
        let offer = [Offer { amount, limit: PRICE_MAX }];
        let there = batch::clear(pool, &offer, &[], 1).unwrap();
        prop_assert_eq!(there.buys[0].output, pool.output(Side::Buy, amount).unwrap());
        if there.buys[0].output > 0 {
            let offer = [Offer { amount: there.buys[0].output, limit: PRICE_MIN }];
            let back = batch::clear(there.pool, &[], &offer, 1).unwrap();
            prop_assert!(back.sells[0].output <= amount);
        }
        // Bought and sold in one block, against oneself: as before.
        let both = batch::clear(pool, &[Offer { amount, limit: PRICE_MAX }], &[Offer { amount, limit: PRICE_MIN }], 1);
        prop_assert!(both.is_ok());
    }

    #[test]
    fn nobody_immortal_is_evicted_and_the_order_names_everybody_else(
        members in prop::collection::vec((0u64..5, 0u64..50, any::<bool>()), 0..30),
        min in 0usize..12,
    ) {
        let members: Vec<Resident> = members
            .into_iter()
            .map(|(emission, registered, immortal)| Resident { emission, registered, immortal })
            .collect();
        let (order, count) = admission::eviction_order(&members, 50, 20, min);
        prop_assert_eq!(order.len(), members.iter().filter(|member| !member.immortal).count());
        prop_assert!(order.iter().all(|&uid| !members[uid].immortal));
        prop_assert_eq!(admission::evicted(&members, 50, 20, min), (count > 0).then(|| order[0]));
    }
}

proptest! {
    #[test]
    fn a_lock_is_as_small_as_was_foretold_and_conviction_stays_below_what_it_grew_from(
        mass in 100u64..21_000_000_000_000_000, part in 0u64..=1_000, unlock in 1u64..2_000_000,
        maturity in 1u64..2_000_000, blocks in 0u64..10_000_000, perpetual in any::<bool>(),
    ) {
        let rules = LockRules { unlock, maturity, perpetual, owner: false };
        let fresh = Lock { mass, conviction: Real::ZERO };
        let aged = lock::roll(fresh, blocks, &rules).unwrap();
        prop_assert!(aged.mass <= mass);
        prop_assert!(aged.conviction.get() >= 0.0 && aged.conviction.get() <= mass as f64 * (1.0 + 1e-9));
        let target = (u128::from(mass) * u128::from(part) / 1_000) as u64;
        let wait = lock::blocks_until(mass, target, unlock);
        let decaying = LockRules { perpetual: false, ..rules };
        prop_assert!(lock::roll(fresh, wait, &decaying).unwrap().mass <= target);
        // Not much too late: two blocks before, it was more.
        if wait > 3 && target >= 100 {
            prop_assert!(lock::roll(fresh, wait - 3, &decaying).unwrap().mass >= target);
        }
    }

    #[test]
    fn locks_together_age_like_their_sum(
        rows in prop::collection::vec((1_000u64..1 << 50, 0.0..1e15f64), 1..20), blocks in 0u64..3_000_000,
        perpetual in any::<bool>(),
    ) {
        let rules = LockRules { unlock: 934_866, maturity: 700_000, perpetual, owner: false };
        let nothing = Lock { mass: 0, conviction: Real::ZERO };
        let locks: Vec<Lock> =
            rows.iter().map(|(mass, c)| Lock { mass: *mass, conviction: Real::new(*c).unwrap() }).collect();
        let sum = |locks: &[Lock]| locks.iter().try_fold(nothing, |sum, lock| sum.plus(*lock)).unwrap();
        let together = lock::roll(sum(&locks), blocks, &rules).unwrap();
        let each: Vec<Lock> = locks.iter().map(|l| lock::roll(*l, blocks, &rules).unwrap()).collect();
        prop_assert!(together.is_about(sum(&each), locks.len() as u64), "{together:?} {:?}", sum(&each));
        // Taken out one by one, next to nothing is left.
        let left = each.iter().fold(together, |sum, lock| sum.minus(*lock));
        prop_assert!(left.is_about(nothing, locks.len() as u64) || left.conviction.get() < 1e-6 * together.conviction.get());
    }
}

#[test]
fn the_largest_conviction_leads_once_there_is_enough_of_it() {
    let convictions = |list: &[f64]| list.iter().map(|c| Real::new(*c).unwrap()).collect::<Vec<_>>();
    let tenth = Fixed::ratio(1, 10).unwrap();
    for (list, outside, leader) in [
        (vec![3.0, 4.0, 3.0], 100, Some(1)),
        (vec![3.0, 4.0, 3.0], 101, None),
        (vec![5.0, 5.0, 5.0], 100, Some(0)), // the first among equals
        (vec![0.0, 0.0], 0, Some(0)),
        (vec![], 0, None),
    ] {
        assert_eq!(lock::leader(&convictions(&list), tenth, outside), leader, "{list:?}");
    }
}

#[test]
fn halvings_are_counted_by_what_is_left() {
    for (issued, all, halvings) in [
        (0, 100, 0),
        (49, 100, 0),
        (50, 100, 1),
        (74, 100, 1),
        (75, 100, 2),
        (99, 100, 6),
        (100, 100, u32::MAX),
        (0, 0, 0),
        (5, 0, 0),
    ] {
        assert_eq!(emission::halvings(issued, all), halvings, "{issued} of {all}");
    }
}

#[test]
fn lists_of_different_lengths_rows_out_of_order_and_crowds_are_refused() {
    let refused = |change: &dyn Fn(&mut Subnet)| {
        let mut subnet = Subnet::new(3);
        change(&mut subnet);
        epoch::run(&subnet.input()).unwrap_err()
    };
    let length = |what, actual| MathError::Length { what, expected: 3, actual };
    assert_eq!(refused(&|s| s.permit.push(true)), length("permit", 4));
    assert_eq!(refused(&|s| s.commits = Some(Vec::new())), length("commits", 0));
    assert_eq!(refused(&|s| s.weights[0] = vec![(1, 1), (1, 2)]), MathError::Unsorted("a weight row"));
    assert_eq!(refused(&|s| s.bonds[2] = vec![(2, 1), (0, 2)]), MathError::Unsorted("a bond row"));
    assert_eq!(refused(&|s| *s = Subnet::new(16_385)), MathError::OutOfRange("number of members"));
    // Nobody is a subnet too.
    assert!(epoch::run(&Subnet::new(0).input()).unwrap().server.is_empty());
}

#[test]
fn total_supplies_of_stake_do_not_overflow() {
    let mut subnet = Subnet::new(3);
    subnet.stake = vec![u64::MAX; 3];
    subnet.permit = vec![true; 3];
    subnet.last_update = vec![u64::MAX; 3];
    subnet.weights = vec![vec![(0, 65535), (1, 65535), (9, 65535)]; 3];
    (subnet.block, subnet.emission) = (u64::MAX, u64::MAX);
    let out = run(&subnet);
    let paid: u128 = out.server.iter().chain(&out.validator).copied().map(u128::from).sum();
    assert!(paid <= u128::from(u64::MAX));
    assert!(paid > u128::from(u64::MAX) / 100 * 99);
}
