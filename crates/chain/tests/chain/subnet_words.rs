//! What neurons publish and subnets and hotkeys say of themselves, and the settings that came with it.

use dodona_proto::{ALLO, subnets::Identity};

use crate::{kit::*, subnet_kit::*};

fn said(name: &str, url: &str) -> Identity {
    Identity { name: name.into(), url: url.into(), ..Default::default() }
}

#[test]
fn a_neuron_publishes_so_many_bytes_in_an_epoch_and_they_go_with_it() {
    let mut net = market();
    net.done(&[rules("carol", &[("commitment_bytes", "416")])]);
    net.next_epoch(1);
    net.done(&[publish("w1", 1, &[b"a hash", b"a place"], false)]);
    let told = net.metagraph(1).neurons[1].commitment.clone().unwrap();
    assert_eq!((told.block, told.fields), (net.height, vec![b"a hash".to_vec(), b"a place".to_vec()]));
    let (long, full) = ([7; 129], [7; 128]);
    for (tx, code, says) in [
        (publish("w1", 1, &[&full, &full, &full], false), 43, "the next epoch is in block"),
        (publish("w1", 1, &[&long], false), 3, "at most 128 bytes"),
        (publish("w1", 1, &[b"", b"", b"", b""], false), 3, "at most 3"),
        (publish("w9", 1, &[b"x"], false), 11, "register it first"),
        (publish("w1", 9, &[b"x"], false), 2, "does not exist"),
        (publish("w1", 1, &[b"x"], true), 3, "has not turned bonds_reset on"),
        (rules("carol", &[("commitment_bytes", "415")]), 3, "allowed are 416"),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
    net.next_epoch(1);
    net.done(&[publish("w1", 1, &[&full, &full, &full], false)]);
    // It moves with the key, and ends with the uid.
    net.done(&[swap_hotkey("bob", 0, "w1", "w8")]);
    assert_eq!(net.metagraph(1).neurons[1].commitment.as_ref().unwrap().fields.len(), 3);
    let set = [("max_uids", "6"), ("max_validators", "6"), ("min_non_immune", "0"), ("immunity_period", "0")];
    net.done(&[hyper("carol", 1, &set)]);
    let mut newcomers = (10..20).map(|i| format!("w{i}"));
    while net.metagraph(1).neurons[1].hotkey == text("w8") {
        net.done(&[neuron("bob", 1, &newcomers.next().unwrap())]);
    }
    assert!(net.metagraph(1).neurons[1].commitment.is_none());
}

#[test]
fn a_neuron_asks_that_bonds_towards_it_are_forgotten() {
    let mut net = market();
    net.next_epoch(1);
    let row = [(1, 60_000), (2, 30_000)];
    net.done(&[weights("r2", 1, &row), weights("r3", 1, &row)]);
    net.next_epoch(1);
    let bonds = |net: &Net, about: u32| {
        let neurons = net.metagraph(1).neurons;
        neurons.iter().flat_map(|n| n.bonds.clone()).filter(|bond| bond.uid == about).count()
    };
    assert_eq!((bonds(&net, 1), bonds(&net, 2)), (2, 2));
    net.done(&[hyper("alice", 1, &[("bonds_reset", "true")])]);
    net.done(&[publish("w1", 1, &[], true)]);
    assert_eq!((bonds(&net, 1), bonds(&net, 2)), (0, 2));
    net.next_epoch(1);
    assert_eq!(bonds(&net, 1), 2, "they grow anew");
}

#[test]
fn subnets_and_hotkeys_say_who_they_are_and_symbols_are_one_subnets() {
    let mut net = market();
    net.done(&[rules("carol", &[("network_rate_limit", "0")])]);
    net.done(&[create_subnet("bob", "w9")]);
    assert_eq!((net.subnet(1).symbol.as_str(), net.subnet(2).symbol.as_str()), ("α", "β"));
    let words = Identity {
        name: "Packing".into(),
        description: "texts, small".into(),
        url: "https://example.org/".into(),
        contact: "me".into(),
        ..Default::default()
    };
    net.done(&[subnet_identity("alice", 1, "zip", words)]);
    let subnet = net.subnet(1);
    assert_eq!((subnet.name.as_str(), subnet.symbol.as_str()), ("Packing", "zip"));
    let told = subnet.identity.unwrap();
    assert_eq!(
        (told.name.as_str(), told.url.as_str(), told.contact.as_str()),
        ("", "https://example.org/", "me")
    );
    for (tx, code, says) in [
        (subnet_identity("bob", 1, "", said("x", "")), 4, "its owner is"),
        (subnet_identity("alice", 1, "β", said("", "")), 3, "that of subnet 2"),
        (subnet_identity("alice", 1, "a b", said("", "")), 3, "no spaces"),
        (subnet_identity("alice", 1, "ninebytes", said("", "")), 3, "at most 8 bytes"),
        (subnet_identity("alice", 1, "", said("", "javascript:alert(1)")), 3, "begins with https://"),
        (subnet_identity("alice", 1, "", said(&"x".repeat(33), "")), 3, "at most 32 bytes"),
        (subnet_identity("alice", 1, "", said("a\nb", "")), 3, "printable"),
        (hotkey_identity("bob", "r2", said("mine", "")), 8, "belongs to another coldkey"),
        (hotkey_identity("bob", "w19", said("mine", "")), 9, "is not known"),
    ] {
        let no = net.refused(&tx);
        assert_eq!(no.id(), ("subnets", code), "{no:?}");
        assert!(no.charged && no.log.contains(says), "{no:?} does not say {says}");
    }
    // Its own again: a subnet may keep its symbol; an empty word forgets all but name and symbol.
    net.done(&[subnet_identity("alice", 1, "zip", said("", ""))]);
    let subnet = net.subnet(1);
    assert_eq!((subnet.name.as_str(), subnet.symbol.as_str(), subnet.identity), ("Packing", "zip", None));
    net.done(&[hotkey_identity("bob", "w1", said("miner one", "http://192.0.2.7/"))]);
    net.done(&[swap_hotkey("bob", 0, "w1", "w8")]);
    assert_eq!(net.metagraph(1).neurons[1].identity.as_ref().unwrap().name, "miner one");
    net.done(&[hotkey_identity("bob", "w8", said("", ""))]);
    assert!(net.metagraph(1).neurons[1].identity.is_none());
    // The freed letter is the next newcomer's.
    net.done(&[create_subnet("owner", "w10")]);
    assert_eq!(net.subnet(3).symbol, "γ");
}

#[test]
fn a_child_keeps_at_least_what_the_subnet_says() {
    let mut net = market();
    net.done(&[child_take("r3", 1, "r3", 500)]);
    net.done(&[hyper("alice", 1, &[("min_childkey_take", "1000")])]);
    assert_eq!(net.metagraph(1).neurons[5].childkey_take, 1_000);
    let no = net.refused(&child_take("r3", 1, "r3", 999));
    assert!(no.id() == ("subnets", 3) && no.log.contains("allowed are 1000 to 11796"), "{}", no.log);
    assert_eq!(net.refused(&hyper("alice", 1, &[("min_uids", "5")])).id(), ("subnets", 4));
    net.done(&[hyper("carol", 1, &[("min_uids", "100")])]);
    let no = net.refused(&trim("alice", 1, 99));
    assert!(no.log.contains("allowed are 100"), "{}", no.log);
}

#[test]
fn what_is_left_of_a_small_nomination_goes_along() {
    let mut net = market();
    net.done(&[rules("carol", &[("nominator_min_stake", "5000000000")])]);
    net.done(&[hyper("carol", 1, &[("tempo", "5000")])]);
    net.done(&[buy("r7", 1, "r2", 20 * ALLO, ""), buy("r6", 0, "r2", 20 * ALLO, "")]);
    let most = |net: &Net, who: &str, netuid: u32| (net.held(who, netuid, "r2") - 1_000_000_000).to_string();
    net.done(&[sell("r7", 1, "r2", &most(&net, "r7", 1), "")]);
    assert_eq!(net.held("r7", 1, "r2"), 0);
    let before = net.balance("r6");
    let tx = sell("r6", 0, "r2", &most(&net, "r6", 0), "");
    let fee = tx.fee;
    net.done(&[tx]);
    assert_eq!(net.balance("r6") + fee - before, 20 * ALLO);
    // The hotkey's own owner may keep little, and so may who has locked some.
    net.done(&[sell("r2", 1, "r2", &most(&net, "r2", 1), "")]);
    assert_eq!(net.held("r2", 1, "r2"), 1_000_000_000);
    net.done(&[buy("r7", 1, "r2", 20 * ALLO, "")]);
    net.done(&[lock("r7", 1, "r2", 1_000_000, true)]);
    net.done(&[sell("r7", 1, "r2", &most(&net, "r7", 1), "")]);
    assert_eq!(net.held("r7", 1, "r2"), 1_000_000_000);
}
