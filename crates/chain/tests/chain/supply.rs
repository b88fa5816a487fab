//! Tokens that come into being: by schedule, replaced by funding, never more than there may be.

use dodona_proto::{
    ALLO, chain, path,
    topics::{QueryEmissionRequest, QueryEmissionResponse},
};

use super::{
    audit::{self, uallo},
    kit::*,
    messages::*,
};

const WORKERS: [&str; 2] = ["w1", "w2"];
const REPUTERS: [&str; 2] = ["r1", "r2"];

fn emission(net: &Net) -> QueryEmissionResponse {
    net.query(path::EMISSION, &QueryEmissionRequest {}).unwrap()
}

fn per_block(net: &Net) -> u128 {
    uallo(&emission(net).block_emission)
}

fn minted(net: &Net) -> u128 {
    uallo(&emission(net).minted)
}

fn status(net: &Net) -> chain::QueryStatusResponse {
    net.query(path::STATUS, &chain::QueryStatusRequest {}).unwrap()
}

#[test]
fn in_its_first_month_the_emission_follows_the_stake_and_then_once_a_month() {
    let mut net = Net::with(|params| {
        params.fixed_emission = 0;
        params.blocks_per_month = 40;
    });
    net.wait_until(3);
    assert_eq!((per_block(&net), minted(&net)), (0, 0), "nobody has staked");
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    net.block(&[]);
    let first = per_block(&net);
    assert!(first > 0);
    assert_eq!(uallo(&emission(&net).staked), 20 * ALLO);
    net.done(&[stake("r1", id, 20 * ALLO)]);
    net.block(&[]);
    assert!(per_block(&net) > first, "{} {first}", per_block(&net));
    let start = emission(&net).start;
    assert_eq!((start, emission(&net).next), (1, 41));

    // The month's last calculation stands; more stake changes nothing until the next month.
    net.wait_until(40);
    let settled = per_block(&net);
    net.done(&[stake("r1", id, 4_000 * ALLO)]);
    assert_eq!((net.height, emission(&net).months_unlocked), (41, 1));
    let second = per_block(&net);
    net.wait_until(60);
    assert_eq!(per_block(&net), second);
    assert_eq!(net.refused(&recalculate("alice")).code, 48);
    // An admin does not have to wait.
    net.done(&[recalculate("carol")]);
    let third = per_block(&net);
    assert!(third > second, "{third} {second} {settled}");
    assert_eq!(uallo(&emission(&net).staked), uallo(&net.topic(id).stake));
    net.done(&[stake("r2", id, 4_000 * ALLO)]);
    net.wait_until(80);
    assert_eq!(per_block(&net), third);
    net.block(&[]);
    assert_ne!(per_block(&net), third, "a month later");
    assert_eq!(emission(&net).months_unlocked, 2);
    assert_eq!(emission(&net).next, 121);
    audit::everything(&net);
}

#[test]
fn a_block_hands_out_what_the_emission_says_to_validators_and_topics() {
    let mut net = Net::with(|params| {
        params.fixed_emission = 0;
        params.blocks_per_month = 40;
    });
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    net.block(&[]);
    for _ in 0..20 {
        let pot = uallo(&net.topic(id).pot) + uallo(&net.topic(id).paid);
        let validators = net.earned("v1") + net.earned("v2");
        let paid = uallo(&net.topic(id).paid);
        net.block(&[]);
        let now = emission(&net);
        let (of_topics, of_validators) = (uallo(&now.block_topics), uallo(&now.block_validators));
        assert_eq!(of_topics + of_validators, uallo(&now.block_emission));
        assert_eq!(of_validators, uallo(&now.block_emission) / 4);
        assert_eq!(net.earned("v1") + net.earned("v2"), validators + of_validators);
        if uallo(&net.topic(id).paid) == paid && net.topic(id).epochs_void == 0 {
            // The only topic gets all of it; what a share cannot express waits.
            let got = uallo(&net.topic(id).pot) + paid - pot;
            assert!(got <= of_topics && of_topics - got <= 2, "{got} {of_topics}");
        }
    }
    audit::everything(&net);
}

#[test]
fn nothing_is_minted_above_the_maximum_supply() {
    let most = names().len() as u128 * PURSE + BONDED + 12 * ALLO + 3;
    let mut net = Net::with(|params| params.max_supply = most);
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    // The funding comes first, then new tokens, then nothing.
    net.live(id, 40, (&WORKERS, |_, n| n.to_string()), (&REPUTERS, |_, n| n.to_string()));
    assert_eq!(uallo(&status(&net).supply), most);
    assert_eq!((uallo(&emission(&net).remaining_mintable), minted(&net)), (0, 12 * ALLO + 3));
    // From here on topics live on what consumers pay.
    net.done(&[fund("bob", id, 30 * ALLO)]);
    audit::alive(&mut net, id, &WORKERS, &REPUTERS, "5");
    assert!(uallo(&net.topic(id).paid) > 0);
    net.live(id, 40, (&WORKERS, |_, n| n.to_string()), (&REPUTERS, |_, n| n.to_string()));
    assert_eq!(uallo(&status(&net).supply), most);
    let dry = uallo(&emission(&net).block_topics) + uallo(&emission(&net).block_validators);
    assert!(dry < ALLO, "{dry}: only fees are left");
    audit::alive(&mut net, id, &WORKERS, &REPUTERS, "5");
    audit::everything(&net);
}

#[test]
fn funding_replaces_new_tokens_one_for_one() {
    let (mut net, mut other) = (Net::new(), Net::new());
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    assert_eq!(other.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS), id);
    let amount = 37 * ALLO + 5;
    net.done(&[fund("bob", id, amount)]);
    // The same transaction for one unit, so that both chains charge the same fees.
    other.done(&[fund("bob", id, 1)]);
    let answer = |_: usize, nonce: u64| nonce.to_string();
    for net in [&mut net, &mut other] {
        net.live(id, 60, (&WORKERS, answer), (&REPUTERS, answer));
    }
    let (a, b) = (emission(&net), emission(&other));
    assert_eq!(a.ecosystem_balance, b.ecosystem_balance);
    assert_eq!(minted(&other) - minted(&net), amount - 1);
    // Topics get the same in both, but for what an amount per share cannot express.
    assert!(uallo(&net.topic(id).paid).abs_diff(uallo(&other.topic(id).paid)) < 1_000);
    audit::everything(&net);
    audit::everything(&other);
}

#[test]
fn without_emission_nothing_is_minted_or_handed_out() {
    let mut net = Net::new();
    let id = net.market(spec(4, 2, 2, 2), &WORKERS, &REPUTERS);
    // Until the funding is used up, nothing is minted anyway.
    net.live(id, 30, (&WORKERS, |_, n| n.to_string()), (&REPUTERS, |_, n| n.to_string()));
    assert!(uallo(&emission(&net).block_topics) > 0);
    net.done(&[set_params(&[("emission_enabled", "false")])]);
    let (before, pot) = (minted(&net), uallo(&net.topic(id).pot));
    net.wait_until(net.height + 3);
    let now = emission(&net);
    assert_eq!((now.enabled, minted(&net)), (false, before));
    assert_eq!((now.block_topics.as_str(), now.block_validators.as_str()), ("0", "0"));
    assert!(uallo(&net.topic(id).pot) <= pot);
    assert_eq!(net.topic(id).reward_per_epoch, 0.0);
    // Epochs go on with what there is, and are paid again later.
    net.live(id, 12, (&WORKERS, |_, n| n.to_string()), (&REPUTERS, |_, n| n.to_string()));
    net.done(&[set_params(&[("emission_enabled", "true")])]);
    net.wait_until(net.height + 20);
    audit::alive(&mut net, id, &WORKERS, &REPUTERS, "5");
    assert!(minted(&net) > before);
    audit::everything(&net);
}
