//! Purses and stake from a shell, against two validators in two processes.

use crate::kit::{Localnet, done, path, refused, run, within};
use serde_json::Value;

const NOBODY: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["--output", "json"]].concat())).unwrap()
}

#[test]
fn tokens_go_from_purse_to_purse_and_stake_from_validator_to_validator() {
    let dir = tempfile::tempdir().unwrap();
    let net = Localnet::start(&path(dir.path(), "net"), &["--validators", "2", "--block-time", "300ms"]);
    within(60, "two validators make blocks", || net.height(0) >= 2);
    let node = net.url(0, "rest");
    let at = |args: &[&str]| -> Vec<String> {
        args.iter().chain(&["--node", &node]).map(|text| text.to_string()).collect()
    };
    let by = |key: &str, args: &[&str]| [at(args), vec!["--key".into(), format!("demo:{key}")]].concat();
    let tell = |args: Vec<String>| json(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let refuse = |args: Vec<String>, why: &str| {
        refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), why);
    };
    let balance =
        |who: &str| tell(at(&["account", who]))["balance_uallo"].as_str().unwrap().parse::<u128>().unwrap();

    // Trying changes nothing, and tells what doing it would cost.
    let tried = tell(by("alice", &["send", NOBODY, "12.5", "--dry-run"]));
    assert_eq!(tried["sent"], false);
    let alice = tried["from"].as_str().unwrap().to_string();
    assert!(tried["gas_used"].as_u64().unwrap() > 10_000, "{tried}");
    assert_eq!(tell(at(&["account", NOBODY]))["exists"], false);
    let before = balance(&alice);
    let sent = tell(by("alice", &["send", NOBODY, "12.5"]));
    assert!(sent["height"].as_u64().unwrap() > 0, "{sent}");
    assert_eq!(balance(NOBODY), 12_500_000_000_000_000_000);
    assert!(before - balance(&alice) > 12_500_000_000_000_000_000, "the fee is paid too");
    refuse(by("alice", &["send", NOBODY, "0"]), "nothing to send");
    refuse(by("alice", &["send", NOBODY, "2000000", "--dry-run"]), "insufficient funds");
    refuse(by("alice", &["send", "allo1", "1"]), "is no address");

    let list = tell(at(&["validator", "list"]));
    let rows = list["validators"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["status"] == "bonded"), "{list}");
    tell(by("alice", &["validator", "delegate", "node1", "100"]));
    tell(by("alice", &["validator", "redelegate", "node1", "node2", "10"]));
    tell(by("alice", &["validator", "undelegate", "node1", "5"]));
    let stakes = tell(at(&["validator", "stakes", &alice]));
    let staked: Vec<&str> =
        stakes["staked"].as_array().unwrap().iter().map(|s| s["stake_uallo"].as_str().unwrap()).collect();
    assert_eq!(staked.len(), 2, "{stakes}");
    assert!(staked.contains(&"85000000000000000000") && staked.contains(&"10000000000000000000"), "{stakes}");
    assert_eq!(stakes["leaving"][0]["amount_uallo"], "5000000000000000000");
    let shown = tell(at(&["validator", "show", "node1"]));
    assert!(
        shown["delegations"].as_array().unwrap().iter().any(|d| d["delegator"] == alice.as_str()),
        "{shown}"
    );
    within(30, "stake earns", || {
        let stakes = tell(at(&["validator", "stakes", &alice]));
        stakes["staked"].as_array().unwrap().iter().any(|s| s["earned_uallo"] != "0")
    });
    let before = balance(&alice);
    tell(by("alice", &["validator", "withdraw"]));
    assert!(balance(&alice) > before, "rewards are more than the fee");

    refuse(by("alice", &["validator", "delegate", "node9", "1"]), "no validator is called `node9`");
    refuse(by("bob", &["validator", "withdraw"]), "stands behind no validator");
    refuse(by("bob", &["validator", "unjail"]), "not associated with any known validator");
    let home = path(dir.path(), "net/node1");
    let create = ["validator", "create", "--home", &home, "--stake", "5", "--moniker", "again"];
    refuse(by("bob", &create), "already exist");
    refuse(by("bob", &[&create[..], &["--commission", "30"]].concat()), "cannot be above");
    refuse(by("bob", &["stake", "add", "5", "--topic", "9"]), "topic 9 does not exist");
    refuse(by("bob", &["stake", "claim", "--topic", "1"]), "--reputer");

    // A newcomer with a home of its own joins the set.
    let fresh = path(dir.path(), "fresh");
    done(&["init", "--home", &fresh, "--moniker", "fresh"]);
    tell(by("bob", &["validator", "create", "--home", &fresh, "--stake", "50", "--moniker", "fresh"]));
    let row = tell(at(&["validator", "show", "fresh"]));
    assert_eq!(row["validator"]["tokens"], "50000000000000000000", "{row}");
    let text: Vec<String> = at(&["validator", "list"]);
    let (code, out, _) = run(&text.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(code == 0 && out.contains("fresh") && out.contains("10.0 %"), "{out}");
}
