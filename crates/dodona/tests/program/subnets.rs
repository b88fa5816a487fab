//! Subnets as their owners, miners and validators run them, on a network of one validator with short blocks.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use crate::kit::{Killed, Localnet, dodona, done, path, run, within};
use serde_json::Value;

/// A network with a started subnet of short epochs: its owner's hotkey is demo:judge, its miner demo:miner.
fn market(dir: &std::path::Path) -> (Localnet, String) {
    let net = Localnet::start(&path(dir, "net"), &["--validators", "1", "--block-time", "200ms"]);
    let node = net.url(0, "rest");
    let consumer = ["--key", "demo:consumer", "--node", &node];
    done(&[&["subnet", "create", "text", "--hotkey", "demo:judge"], &consumer[..]].concat());
    let set = ["--set", "tempo=25", "--set", "weights_rate_limit=0"];
    done(&[&["subnet", "hyperparameters", "1"], &set[..], &consumer].concat());
    done(&[&["subnet", "start", "1"], &consumer[..]].concat());
    // By somebody else than the owner: what an owner's own miners earn is withheld.
    done(&["subnet", "register", "1", "--hotkey", "demo:miner", "--key", "demo:alice", "--node", &node]);
    (net, node)
}

fn epochs(node: &str) -> u64 {
    let shown: Value =
        serde_json::from_str(&done(&["subnet", "show", "1", "--node", node, "--output", "json"])).unwrap();
    shown["epochs"].as_u64().unwrap()
}

#[test]
fn committed_weights_survive_a_kill_are_revealed_in_their_epoch_and_a_missed_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_net, node) = market(dir.path());
    let sealed = path(dir.path(), "sealed");
    let own = ["--key", "demo:judge", "--node", &node, "--sealed", &sealed];

    // Killed as soon as the chain has the commit.
    let mut child = dodona(&[&["subnet", "weights", "1", "1=65535", "--wait"], &own[..]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("committed in block ") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended before it committed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let file = fs::read_dir(&sealed).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|e| e == "json")).last().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(!graph.contains("weights:"), "nobody sees them yet: {graph}");
    let told = done(&[&["subnet", "reveal", "--wait"], &own[..]].concat());
    assert!(told.contains("revealed, block"), "{told}");
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(graph.contains("weights: 1=65535"), "{graph}");
    let told = done(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(told.contains("nothing of "), "{told}");

    // Nobody comes in time.
    let now = epochs(&node);
    let told = done(&[&["subnet", "weights", "1", "0=1", "1=2"], &own[..]].concat());
    assert!(told.contains("subnet reveal"), "{told}");
    within(60, "two epochs", || epochs(&node) > now + 2);
    let (code, out, err) = run(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(code == 1 && out.contains("missed: it could be revealed in epoch"), "{out}{err}");
    assert!(err.contains("1 commits can never be revealed"), "{err}");
    let told = done(&[&["subnet", "reveal"], &own[..]].concat());
    assert!(told.contains("nothing of "), "told once: {told}");

    // What a reveal would be refused for is refused before anything is committed.
    for (weights, why) in [(["7=1", "1=1"], "the subnet has 2 neurons"), (["1=1", "1=2"], "named twice")] {
        let (code, out, err) = run(&[&["subnet", "weights", "1"], &weights[..], &own].concat());
        assert!(code == 1 && err.contains(why), "{out}{err}");
    }

    // Where weights are set at once, the same command sets them.
    let consumer = ["--key", "demo:consumer", "--node", &node];
    done(&[&["subnet", "hyperparameters", "1", "--set", "commit_reveal=false"], &consumer[..]].concat());
    let told = done(&[&["subnet", "weights", "1", "0=1", "1=2"], &own[..]].concat());
    assert!(told.contains("weights_set"), "{told}");
    let graph = done(&["subnet", "metagraph", "1", "--weights", "--node", &node]);
    assert!(graph.contains("weights: 0=32768 1=65535"), "{graph}");
}

/// A process of the program whose lines on standard error are read one by one.
struct Running {
    _child: Killed,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = dodona(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { _child: Killed(child), lines }
    }

    /// Reads until a line has these words, at most a minute.
    fn until(&mut self, words: &str) {
        let (until, mut seen) = (Instant::now() + Duration::from_secs(60), Vec::new());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return,
                Ok(line) => seen.push(line),
                Err(_) => panic!("`{words}` never came: {seen:?}"),
            }
        }
    }
}

#[test]
fn a_subnet_from_the_template_goes_from_nothing_to_a_paid_miner() {
    let dir = tempfile::tempdir().unwrap();
    let (_net, node) = market(dir.path());
    let new = path(dir.path(), "mine");
    done(&["subnet", "new", &new]);
    let (code, _, err) = run(&["subnet", "new", &new]);
    assert!(code == 1 && err.contains("not there yet"), "{err}");
    for file in ["evaluator.py", "miner.py", "README.md", "run.sh"] {
        assert!(fs::metadata(path(dir.path(), &format!("mine/{file}"))).unwrap().len() > 100, "{file}");
    }
    let miner = format!("{new}/miner.py");
    let refused = ["subnet", "mine", "1", &miner, "--key", "demo:stranger", "--node", &node];
    let (code, _, err) = run(&refused);
    assert!(code == 1 && err.contains("dodona subnet register 1"), "{err}");

    let mut mining = Running::start(&[
        "subnet",
        "mine",
        "1",
        &miner,
        "--listen",
        "0.0.0.0:0",
        "--key",
        "demo:miner",
        "--node",
        &node,
    ]);
    mining.until("validators may ask");
    mining.until("announced ");
    let (evaluator, scores, sealed) =
        (format!("{new}/evaluator.py"), path(dir.path(), "scores"), path(dir.path(), "sealed"));
    let own = ["--key", "demo:judge", "--node", &node, "--dir", &scores, "--sealed", &sealed];
    let once = [
        "subnet",
        "validate",
        "1",
        &evaluator,
        "--rounds",
        "1",
        "--dry-run",
        "--private",
        "--output",
        "json",
    ];
    let round: Value = serde_json::from_str(&done(&[&once[..], &own].concat())).unwrap();
    assert_eq!(
        (round["miners"][0]["uid"].as_u64(), round["miners"][0]["score"].as_f64()),
        (Some(1), Some(1.0))
    );
    let running = ["subnet", "validate", "1", &evaluator, "--every", "1s", "--private"];
    let mut judging = Running::start(&[&running[..], &own].concat());
    judging.until("weights committed in block");
    judging.until("revealed, block");
    within(60, "the miner is paid", || {
        let shown = done(&["subnet", "metagraph", "1", "--node", &node, "--output", "json"]);
        let graph: Value = serde_json::from_str(&shown).unwrap();
        let miner = &graph["neurons"][1];
        miner["incentive"] == 65_535 && miner["alpha_stake"] != "0"
    });
}

#[test]
fn a_simulation_repeats_to_the_byte_and_draws_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = path(dir.path(), "page.html");
    let args = [
        "subnet",
        "simulate",
        "--epochs",
        "60",
        "--miners",
        "8",
        "--adversary",
        "copier",
        "--adversary",
        "majority",
    ];
    let json = done(&[&args[..], &["--output", "json"]].concat());
    assert_eq!(json, done(&[&args[..], &["--output", "json", "--html", &page]].concat()));
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["outcomes"].as_array().unwrap().len(), 2 * 3 * 3 * 2 * 2);
    assert!(fs::read_to_string(&page).unwrap().contains("<svg"));
    let text = done(&args);
    assert_eq!(text.lines().count(), 1 + 72);
    let (code, _, err) = run(&["subnet", "simulate", "--adversary", "nemo"]);
    assert!(code == 1 && err.contains("there are: nobody, copier"), "{err}");
    let (code, _, err) = run(&["subnet", "simulate", "--kappa", "1.5"]);
    assert!(code == 1 && err.contains("--kappa is 1.5: 0 to 1"), "{err}");
}
