//! The subnets' pools, emission, admission, shares, locks and helpers against the published vectors.
//! The vectors lie outside the repository; without them a test says so and returns. Any number of cases will do.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod common;

use common::subnet_cases;
use dodona_mechanism::amount::mul_div_floor;
use dodona_mechanism::real::Real;
use dodona_mechanism::subnet::admission::{self, Listed, Resident};
use dodona_mechanism::subnet::bonds::{BondParams, moving_average_by_cell};
use dodona_mechanism::subnet::clock::{Clock, mechanism_index, mechanism_of};
use dodona_mechanism::subnet::consensus::{consensus, weighted_median};
use dodona_mechanism::subnet::emission::{self, Claim};
use dodona_mechanism::subnet::epoch::largest;
use dodona_mechanism::subnet::fixed::{Q32, normalize, shares_of};
use dodona_mechanism::subnet::lock::{self, Lock, LockRules};
use dodona_mechanism::subnet::payout::{self, FamilyRules, Parent, Pots, Stake};
use dodona_mechanism::subnet::pool::{self, Pool, PoolError, PoolRules, Side};
use dodona_mechanism::subnet::power;
use dodona_mechanism::subnet::root::{Holder, Rate, drawn};
use dodona_mechanism::subnet::share_pool::{SHARES_PER_UNIT, SharePool};
use dodona_mechanism::subnet::sparse::{self, Matrix};
use dodona_mechanism::subnet::weights;
use dodona_mechanism::supply::Fixed;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Runs every case of a file through `compute` and compares; names in `elsewhere` are counted and left out.
fn compare(file: &str, elsewhere: &[&str], compute: impl Fn(&str, &Value) -> Value) {
    let Some(cases) = subnet_cases(file) else { return };
    let (mut compared, mut left_out) = (0, 0);
    for case in &cases {
        let name = case["fn"].as_str().unwrap();
        if elsewhere.contains(&name) {
            left_out += 1;
            continue;
        }
        let actual = compute(name, &case["in"]);
        let tolerance = case["tol"].as_f64().unwrap();
        // The helpers' numbers went through single precision, the expected ones too.
        let rounding = if file == "math.json" { 6e-8 } else { 0.0 };
        assert!(
            near(&actual, &case["out"], tolerance, rounding),
            "{file} {}: {actual}, not {}",
            case,
            case["out"]
        );
        compared += 1;
    }
    println!("{file}: {compared} cases compared, {left_out} left to other tests");
}

/// Equality of shape; numbers to an absolute tolerance (integers exactly when it is zero).
fn near(actual: &Value, expected: &Value, tolerance: f64, rounding: f64) -> bool {
    match (actual, expected) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, tolerance, rounding))
        }
        // What the computation answers beyond what is expected is not looked at.
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(key, b)| a.get(key).is_some_and(|a| near(a, b, tolerance, rounding)))
        }
        (_, Value::Object(b)) if b.contains_key("f64") => near(actual, &b["f64"], tolerance, 0.0),
        (Value::Number(a), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) if tolerance == 0.0 => a == b,
            // A tolerance of nothing means the nearest number of the fixed point.
            _ => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= tolerance * (1.0 + 1e-9) + b.abs() * rounding + least(tolerance)
            }
        },
        _ => actual == expected,
    }
}

/// Half a step of the fixed point, unless the vectors ask for more precision than that.
fn least(tolerance: f64) -> f64 {
    if tolerance == 0.0 || tolerance > 1e-9 { 2.4e-10 } else { 0.0 }
}

/// A fixed-point number as the vectors write it: by way of single precision, `{"f64"}` directly, `{"bits"}` raw.
fn q32(value: &Value) -> Q32 {
    let real = |value: f64| Q32::from_bits((value * 4_294_967_296.0).round_ties_even() as i64);
    if let Some(bits) = value["bits"].as_i64() {
        return Q32::from_bits(bits);
    }
    if let Some(wide) = value["f64"].as_f64() {
        return real(wide);
    }
    real(f64::from(value.as_f64().unwrap() as f32))
}

fn q32s(value: &Value) -> Vec<Q32> {
    value.as_array().unwrap().iter().map(q32).collect()
}

fn shown(value: Q32) -> Value {
    json!(value.bits() as f64 / 4_294_967_296.0)
}

fn list(values: &[Q32]) -> Value {
    values.iter().map(|&value| shown(value)).collect()
}

/// A dense matrix as rows of its entries that are not zero.
fn matrix(value: &Value) -> (Matrix, usize) {
    let rows: Vec<Vec<Q32>> = value.as_array().unwrap().iter().map(q32s).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let sparse = |row: &Vec<Q32>| {
        row.iter().enumerate().filter(|(_, v)| **v != Q32::ZERO).map(|(j, &v)| (j as u16, v)).collect()
    };
    (rows.iter().map(sparse).collect(), columns)
}

fn dense(matrix: &Matrix, columns: usize) -> Value {
    let row = |row: &Vec<(u16, Q32)>| {
        let mut values = vec![Q32::ZERO; columns];
        row.iter().for_each(|&(column, value)| values[usize::from(column)] = value);
        list(&values)
    };
    matrix.iter().map(row).collect()
}

#[test]
fn helpers_of_the_epoch_agree_with_the_vectors() {
    // Masks are part of reading the weights here, and the epochs test them; the dense average exists in the twin only.
    let elsewhere = ["mask_rows", "mask_diag", "mask_pairs_eq", "mask_pairs_lt", "ema_cells_dense"];
    compare("math.json", &elsewhere, |name, input| {
        let u16s = || serde_json::from_value::<Vec<u16>>(input["v"].clone()).unwrap();
        let number = || input["v"].as_u64().unwrap();
        let m = || matrix(&input["m"]);
        const CAP: u64 = emission::SUPPLY_CAP;
        match name {
            "upscale_u16" => json!(weights::upscaled_fractions(&q32s(&input["v"]))),
            "upscale_weights" => json!(weights::upscaled(&u16s())),
            "max_limited" => json!(weights::within_limit(&u16s(), input["limit"].as_u64().unwrap() as u16)),
            "bonds_alpha" => {
                let moving_average = input["ma"].as_u64().unwrap() as u32;
                let params =
                    BondParams { moving_average, yuma3: false, liquid: false, alpha: (0, 0), steepness: 0 };
                shown(params.speed())
            }
            "div64_21m" => {
                let part = mul_div_floor(u128::from(number()), 1 << 64, u128::from(CAP)).unwrap();
                json!(part as f64 / 18_446_744_073_709_551_616.0)
            }
            "div64_21m_q32_bits" => json!(Q32::ratio(number(), CAP).bits()),
            "exp" => shown(q32(&input["x"]).exp()),
            "exp_clamp" => {
                let values: Vec<Q32> = q32s(&input["x"]).into_iter().map(Q32::exp).collect();
                json!(values.windows(2).all(|pair| pair[0] == pair[1]))
            }
            "sigmoid" => {
                let (rho, kappa) = (q32(&input["rho"]), q32(&input["kappa"]));
                list(&q32s(&input["x"]).into_iter().map(|x| x.sigmoid(rho, kappa)).collect::<Vec<_>>())
            }
            "topk" => {
                // One added, so that zeros are candidates as everything else.
                let values: Vec<Q32> = q32s(&input["v"]).into_iter().map(|v| v.plus(Q32::ONE)).collect();
                json!(largest(&values, input["k"].as_u64().unwrap() as usize))
            }
            "sum" => shown(Q32::sum(q32s(&input["v"]))),
            "normalize" => {
                let mut values = q32s(&input["v"]);
                normalize(&mut values);
                list(&values)
            }
            "normalize64" => match serde_json::from_value::<Vec<u64>>(input["v"].clone()) {
                Ok(amounts) => list(&shares_of(&amounts)),
                // Amounts are never negative here.
                Err(_) => {
                    let mut values = q32s(&input["v"]);
                    normalize(&mut values);
                    list(&values)
                }
            },
            "vecdiv" => {
                let (a, b) = (q32s(&input["a"]), q32s(&input["b"]));
                list(&a.into_iter().zip(b).map(|(a, b)| a.over(b)).collect::<Vec<_>>())
            }
            "row_normalize" | "col_normalize" | "col_max_upscale" => {
                let (mut matrix, columns) = m();
                match name {
                    "row_normalize" => sparse::normalize_rows(&mut matrix),
                    "col_normalize" => sparse::normalize_columns(&mut matrix, columns),
                    _ => sparse::upscale_columns(&mut matrix, columns),
                }
                dense(&matrix, columns)
            }
            "row_scale" => dense(&sparse::scale_rows(&m().0, &q32s(&input["s"])), m().1),
            "row_sums" => list(&sparse::row_sums(&m().0)),
            "matvec_T" => list(&sparse::weigh_rows(&m().0, &q32s(&input["s"]), m().1)),
            "matvec" => list(&sparse::weigh_columns(&m().0, &q32s(&input["x"]))),
            "col_clip" => dense(&sparse::clip_columns(&m().0, &q32s(&input["t"])), m().1),
            "weighted_median" => {
                let (stake, score) = (q32s(&input["stake"]), q32s(&input["score"]));
                let minority = Q32::sum(stake.iter().copied()).minus(q32(&input["kappa"]));
                let mut votes: Vec<(Q32, Q32)> = score.into_iter().zip(stake).collect();
                shown(weighted_median(&mut votes, minority))
            }
            "weighted_median_col" => {
                let (matrix, columns) = m();
                list(&consensus(&q32s(&input["stake"]), &matrix, q32(&input["kappa"]), columns))
            }
            "interpolate" => {
                let ((a, columns), (b, _)) = (matrix(&input["a"]), matrix(&input["b"]));
                dense(&sparse::interpolate(&a, &b, q32(&input["r"])), columns)
            }
            "ema_cells" => {
                let ((new, columns), (old, _)) = (matrix(&input["new"]), matrix(&input["old"]));
                // The vectors name the speed per row and column; each case has equal rows or one.
                let speeds: Vec<Vec<Q32>> = input["a"].as_array().unwrap().iter().map(q32s).collect();
                let rows = new.iter().zip(&old).zip(&speeds).flat_map(|((new, old), speed)| {
                    moving_average_by_cell(&vec![new.clone()], &vec![old.clone()], |cell| {
                        speed[usize::from(cell.column)]
                    })
                });
                dense(&rows.collect(), columns)
            }
            "to_u16" | "u16_prop" => match name {
                "to_u16" => json!(q32(&input["x"]).floor().min(65_535)),
                _ => json!(q32(&input["x"]).to_fraction()),
            },
            "to_u64" => json!(q32(&input["x"]).floor()),
            "sat_from64" => json!(Q32::from_int(input["x"].as_i64().unwrap()).bits()),
            _ => panic!("{name} is not known here"),
        }
    });
}

fn amount(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_f64().unwrap() as u64)
}

fn amounts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(amount).collect()
}

/// A decimal, from text or a number.
fn fixed(value: &Value) -> Fixed {
    match value.as_str() {
        Some(text) => text.parse().unwrap(),
        None => format!("{:.18}", value.as_f64().unwrap()).parse().unwrap(),
    }
}

fn float(value: Fixed) -> f64 {
    value.to_string().parse().unwrap()
}

fn or_fixed(value: &Value, default: Fixed) -> Fixed {
    if value.is_null() { default } else { fixed(value) }
}

#[test]
fn admission_agrees_with_the_vectors() {
    compare("admission.json", &[], |name, input| {
        let number = |field: &str| amount(&input[field]);
        let bounds = || {
            let bound = |field: &str, default| input[field].as_u64().unwrap_or(default);
            (bound("lo", 0), bound("hi", u64::MAX))
        };
        let (low, high) = bounds();
        match name {
            "decay_factor" => json!(admission::decay_factor(number("half_life") as u16)),
            "burn_decay" => {
                let half_life = number("half_life") as u16;
                let factor = (half_life > 0).then(|| admission::decay_factor(half_life));
                let blocks = input["blocks"].as_u64().unwrap_or(1);
                json!((0..blocks).fold(number("burn"), |burn, _| admission::decayed(burn, factor, low, high)))
            }
            "burn_bump" => json!(admission::bumped(number("burn"), fixed(&input["mult"]), low, high)),
            "burn_bump_n" => {
                let bump = |burn, _| admission::bumped(burn, fixed(&input["mult"]), low, high);
                json!((0..number("n")).fold(number("burn"), bump))
            }
            "prune_uid" => {
                let immortal: Vec<u64> =
                    input["immortal"].as_array().map_or(Vec::new(), |_| amounts(&input["immortal"]));
                let members: Vec<Resident> = amounts(&input["emission"])
                    .into_iter()
                    .zip(amounts(&input["reg"]))
                    .enumerate()
                    .map(|(uid, (emission, registered))| Resident {
                        emission,
                        registered,
                        immortal: immortal.contains(&(uid as u64)),
                    })
                    .collect();
                let exposed = input["min_non_immune"].as_u64().unwrap_or(0) as usize;
                json!(admission::evicted(&members, number("now"), number("immunity"), exposed))
            }
            "prune_subnet" => {
                let subnets: Vec<Listed> = input["nets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|net| net[3] == true)
                    .map(|net| Listed {
                        netuid: amount(&net[0]) as u16,
                        registered: amount(&net[1]),
                        price: fixed(&net[2]),
                    })
                    .collect();
                json!(admission::pruning_order(&subnets, number("now"), number("immunity")).first())
            }
            "median_price" => {
                let prices: Vec<Fixed> = input["prices"].as_array().unwrap().iter().map(fixed).collect();
                let median = float(admission::median_price(&prices));
                if median.fract() == 0.0 { json!(median as u64) } else { json!(median) }
            }
            "lock_cost" => {
                let (last, block) = (number("last"), number("last_block"));
                json!(admission::lock_cost(last, block, number("now"), number("min"), number("interval")))
            }
            "dissolve_shares" => {
                let (parts, protocol) =
                    admission::dissolution(number("pot"), &amounts(&input["holders"]), number("protocol"))
                        .unwrap();
                json!([parts, protocol])
            }
            _ => panic!("{name} is not known here"),
        }
    });
}

#[test]
fn emission_agrees_with_the_vectors() {
    compare("emission.json", &[], |name, input| {
        let number = |field: &str| amount(&input[field]);
        let part = |field: &str| or_fixed(&input[field], Fixed::ZERO);
        match name {
            "block_emission" => json!(emission::block_emission(number("issuance"))),
            "shares" | "shares_x" => {
                let at = |field: &str, i: usize| input[field].get(i).cloned().unwrap_or(Value::Null);
                let claims: Vec<Claim> = input["prices"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .enumerate()
                    .map(|(i, price)| Claim {
                        price: fixed(price),
                        withheld: or_fixed(&at("burned", i), Fixed::ZERO),
                        enabled: at("enabled", i).as_bool().unwrap_or(true),
                    })
                    .collect();
                const WHOLE: u64 = 1_000_000_000_000_000_000;
                let total = input["tao"].as_u64().unwrap_or(WHOLE);
                let parts = emission::split(total, &claims).unwrap();
                assert_eq!(parts.iter().sum::<u64>(), total);
                let scale = if total == WHOLE { WHOLE as f64 } else { 1.0 };
                parts.into_iter().map(|part| json!(part as f64 / scale)).collect()
            }
            "terms" => {
                // In hundredths: some cases have fractions of a base unit.
                let hundredths = (input["tao"].as_f64().unwrap() * 100.0).round() as u64;
                let alpha = number("alpha_emission");
                let terms =
                    emission::terms(hundredths, part("price"), alpha * 100, part("root_prop")).unwrap();
                let shown = |value: u64| json!(value as f64 / 100.0);
                json!({"tao_in": shown(terms.tao_in), "alpha_in": shown(terms.alpha_in),
                       "alpha_out": alpha, "excess": shown(terms.excess)})
            }
            "root_prop" => {
                json!(float(emission::root_part(number("root_tao"), part("w"), number("issuance")).unwrap()))
            }
            "pending" => {
                let total = number("alpha_out");
                let sells = input["root_sell"].as_bool().unwrap();
                let a = emission::accrue(total, part("cut"), part("rp"), sells).unwrap();
                assert_eq!(a.owner + a.server + a.validator + a.root + a.recycled, total);
                json!({"owner": a.owner, "server": a.server, "validator": a.validator, "root": a.root})
            }
            "moving_price" => {
                let steps = input["steps"].as_u64().unwrap_or(1);
                let step = |old, _| {
                    emission::average_price(old, part("spot"), number("age"), part("alpha")).unwrap()
                };
                json!(float((0..steps).fold(part("old"), step)))
            }
            "parents" => {
                // Stakes below one stand for themselves times a billion.
                let own = &input["own"];
                let scale = if own[0].as_f64().unwrap().fract() > 0.0 { 1e9 } else { 1.0 };
                let stake = |value: &Value| (value.as_f64().unwrap() * scale) as u64;
                let fraction = |value: &Value| (value.as_f64().unwrap() * u64::MAX as f64) as u64;
                let parents: Vec<Parent> = input["parents"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|parent| Parent {
                        stake: Stake { alpha: stake(&parent[0]), root: stake(&parent[1]) },
                        fraction: fraction(&parent[2]),
                        same_holder: parent[3].as_bool().unwrap(),
                    })
                    .collect();
                let rules = FamilyRules { root_weight: part("w"), take: part("take"), burn: Fixed::ZERO };
                let own_stake = Stake { alpha: stake(&own[0]), root: stake(&own[1]) };
                let family =
                    payout::to_family(number("div"), own_stake, fraction(&own[2]), &parents, &rules).unwrap();
                assert_eq!(family.parents.iter().sum::<u64>() + family.child + family.burned, number("div"));
                json!([family.parents, family.child, family.burned])
            }
            "dividend_sum" => {
                let rows: Vec<(Stake, u64)> = input["rows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| (Stake { alpha: amount(&row[0]), root: amount(&row[1]) }, amount(&row[2])))
                    .collect();
                let pots = Pots { alpha: number("val"), root: number("root") };
                let parts = payout::by_kind_of_stake(pots, part("w"), &rows).unwrap();
                json!([parts.iter().map(|p| p.alpha).sum::<u64>(), parts.iter().map(|p| p.root).sum::<u64>()])
            }
            "mech_split" => {
                let shares: Option<Vec<u16>> = serde_json::from_value(input["shares"].clone()).unwrap();
                let count =
                    input["n"].as_u64().map_or_else(|| shares.as_ref().unwrap().len(), |n| n as usize);
                json!(payout::by_mechanism(number("total"), count, shares.as_deref()).unwrap())
            }
            "mech_index" => {
                let (netuid, mechanism) = (number("netuid") as u16, number("mech") as u16);
                let index = mechanism_index(netuid, mechanism).unwrap();
                assert_eq!(mechanism_of(index), (netuid, mechanism));
                json!(index)
            }
            "until_epoch" => {
                let clock = Clock { tempo: number("tempo"), last: number("last"), pending: 0, since: 0 };
                json!(clock.blocks_until(number("now")))
            }
            "claims" => claims(&input["ops"]),
            "auto_claim" => {
                let text = input["hash"].as_str().unwrap();
                let mut hash = [0; 32];
                for (i, byte) in hash.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
                }
                json!(drawn(&hash, number("k") as usize, number("n")))
            }
            _ => panic!("{name} is not known here"),
        }
    });
}

fn claims(ops: &Value) -> Value {
    let (mut rate, mut total, mut paid) = (Rate::default(), 0, Vec::new());
    let mut holders: BTreeMap<String, Holder> = BTreeMap::new();
    for op in ops.as_array().unwrap() {
        if op[0] == "accrue" {
            rate = rate.accrue(amount(&op[1]), total).unwrap();
            continue;
        }
        let holder = holders.entry(op[1].as_str().unwrap().to_owned()).or_default();
        match op[0].as_str().unwrap() {
            "deposit" => {
                *holder = holder.deposited(rate, amount(&op[2])).unwrap();
                total += amount(&op[2]);
            }
            "withdraw" => {
                *holder = holder.withdrawn(rate, amount(&op[2])).unwrap();
                total -= amount(&op[2]);
            }
            _ => {
                let owed;
                (*holder, owed) = holder.claimed(rate).unwrap();
                paid.push(owed as u64);
            }
        }
    }
    json!(paid)
}

#[test]
fn pools_agree_with_the_vectors() {
    compare("pool.json", &["round_mul"], |name, input| {
        let number = |field: &str| amount(&input[field]);
        let weight = || or_fixed(&input["wq"], Fixed::from_raw(Fixed::ONE.raw() / 2));
        let pool = || Pool { alpha: number("x"), tao: number("y"), tao_weight: weight() };
        let side = || if input["buy"] == true { Side::Buy } else { Side::Sell };
        let rao = |field: &str| Fixed::from_raw(u128::from(number(field)) * 1_000_000_000);
        let swap = || {
            let rules = PoolRules { fee: number("fee") as u16, min_reserve: number("min_out") };
            pool().swap(side(), number("amount"), fixed(&input["limit"]), &rules)
        };
        match name {
            "ratio_pow" => {
                let (quote, base) = (weight().raw(), Fixed::ONE.raw() - weight().raw());
                let (n, d) = if input["sell"] == true { (base, quote) } else { (quote, base) };
                let before = u128::from(number("reserve"));
                let (low, high) = power::power(before, before + u128::from(number("delta")), n, d).unwrap();
                assert!(low <= high);
                json!(high as f64 / power::ONE as f64)
            }
            "ratio_pow_raw" => {
                let (x, all) = (u128::from(number("x")), u128::from(number("x")) + u128::from(number("d")));
                let (low, _) =
                    power::power(x, all, u128::from(number("num")), u128::from(number("den"))).unwrap();
                json!(mul_div_floor(low, 1_000_000_000_000_000_000, power::ONE).unwrap() as u64)
            }
            "in_to_price" => {
                json!(pool().input_between(side(), fixed(&input["from"]), fixed(&input["to"])).unwrap())
            }
            "price" => json!(float(pool().price().unwrap())),
            "inject" => {
                let pool = pool().inject(number("dy"), number("dx")).unwrap();
                json!({"price": float(pool.price().unwrap()), "wq": float(pool.tao_weight)})
            }
            "init_price" => {
                let pool = match input["price"].is_null() {
                    true => Pool::even(number("x"), number("y")),
                    false => Pool::with_price(number("x"), number("y"), fixed(&input["price"])).unwrap(),
                };
                json!(float(pool.price().unwrap()))
            }
            "swap" => {
                let swap = swap().unwrap();
                assert_eq!(swap.taken + swap.fee + swap.returned, number("amount"));
                json!({"out": swap.output, "paid_in": swap.taken, "fee": swap.fee})
            }
            "swap_err" => json!(match swap() {
                Err(PoolError::InputTooLarge) => "SwapInputTooLarge",
                other => panic!("{other:?}"),
            }),
            "swap_pos" => json!(swap().unwrap().output > 0),
            "convert" => {
                let input = number("d");
                json!([pool().output(Side::Sell, input).unwrap(), pool().output(Side::Buy, input).unwrap()])
            }
            "max_add" | "max_remove" => {
                let side = if name == "max_add" { Side::Buy } else { Side::Sell };
                match pool().input_to_limit(side, rao("limit_rao"), &PoolRules::default()) {
                    Ok(amount) => json!(amount),
                    Err(PoolError::PriceLimitExceeded) => json!("PriceLimitExceeded"),
                    Err(PoolError::ReservesTooLow) => json!("ReservesTooLow"),
                    Err(other) => panic!("{other:?}"),
                }
            }
            "max_move" => {
                let (from, to) =
                    (Pool::even(number("a1"), number("t1")), Pool::even(number("a2"), number("t2")));
                json!(pool::most_to_move(&from, &to, number("limit_rao")))
            }
            _ => panic!("{name} is not known here"),
        }
    });
}

#[test]
fn shares_and_locks_agree_with_the_vectors() {
    compare("shares_locks.json", &[], |name, input| {
        let number = |field: &str| amount(&input[field]);
        match name {
            "pool_ops" => {
                let (mut pool, mut held) = (SharePool::default(), BTreeMap::new());
                operate(&mut pool, &mut held, &input["ops"]);
                let value = |who: u64| pool.value_of(held[&who]).unwrap();
                amounts(&input["get"]).into_iter().map(|who| json!(value(who))).collect()
            }
            "share_value" => {
                let pool = SharePool { value: number("value"), shares: u128::from(number("den")) };
                json!(pool.value_of(u128::from(number("share"))).unwrap())
            }
            "shares_per_update" => {
                let exponent = input["den_e"].as_i64().unwrap();
                let scale = 10u128.pow(exponent.unsigned_abs() as u32);
                let mantissa = u128::from(number("den_m")) * SHARES_PER_UNIT;
                let shares = if exponent < 0 { mantissa / scale } else { mantissa * scale };
                let pool = SharePool { value: number("value"), shares };
                json!(pool.shares_for(number("update")).unwrap().0 as f64 / SHARES_PER_UNIT as f64)
            }
            "decay" => json!(lock::decay(number("dt"), number("tau"))),
            "decay_same" => {
                json!(lock::decay(number("a"), number("tau")) == lock::decay(number("b"), number("tau")))
            }
            "roll" => {
                let rules = LockRules {
                    unlock: number("tau_u"),
                    maturity: number("tau_m"),
                    perpetual: input["perpetual"] == true,
                    owner: input["owner"] == true,
                };
                let conviction = Real::new(input["conv"].as_f64().unwrap()).unwrap();
                let rolled =
                    lock::roll(Lock { mass: number("mass"), conviction }, number("dt"), &rules).unwrap();
                json!([rolled.mass, rolled.conviction.get()])
            }
            "roll_chunked" => {
                let (tau, mid, end) = (number("tau"), number("mid"), number("end"));
                let rules = LockRules { unlock: tau, maturity: tau, perpetual: false, owner: false };
                let start = Lock { mass: number("mass"), conviction: Real::ZERO };
                let once = lock::roll(start, end, &rules).unwrap();
                let half = lock::roll(start, mid, &rules).unwrap();
                let twice = lock::roll(half, end - mid, &rules).unwrap();
                let close = (once.conviction.get() - twice.conviction.get()).abs() <= 1.0;
                json!(close && once.mass.abs_diff(twice.mass) <= 1)
            }
            _ => panic!("{name} is not known here"),
        }
    });
}

fn operate(pool: &mut SharePool, held: &mut BTreeMap<u64, u128>, ops: &Value) {
    for op in ops.as_array().unwrap() {
        match op[0].as_str().unwrap() {
            "all" => *pool = pool.reward(amount(&op[1])).unwrap(),
            "rep" => (0..amount(&op[1])).for_each(|_| operate(pool, held, &op[2])),
            _ => {
                let (share, change) = (held.entry(amount(&op[1])).or_default(), op[2].as_i64().unwrap());
                if change < 0 {
                    (*pool, *share) = pool.withdraw(*share, change.unsigned_abs()).unwrap();
                } else {
                    let bought;
                    (*pool, bought) = pool.deposit(change.unsigned_abs()).unwrap();
                    *share += bought;
                }
            }
        }
    }
}

#[test]
fn the_screening_of_weight_calls_agrees_with_the_vectors() {
    // Hashes and storage keys are the business of an interface that does not exist here.
    compare("wire.json", &["commit_hash", "storage_key", "twox128"], |name, input| {
        let number = |field: &str| amount(&input[field]);
        match name {
            "weights_len" => {
                let uids: Vec<u16> = serde_json::from_value(input["uids"].clone()).unwrap();
                let (uid, members, min) =
                    (number("uid") as u16, number("n") as usize, number("min") as usize);
                json!(weights::long_enough(uid, &uids, members, min))
            }
            "rate" => json!(weights::in_time(number("now"), number("last"), number("limit"))),
            "version" => json!(weights::version_accepted(number("key"), number("current"))),
            _ => panic!("{name} is not known here"),
        }
    });
}
