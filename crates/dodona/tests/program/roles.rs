//! `dodona reputer` and `dodona forecaster` as their users run them, against a live demo: alone, together in one file over
//! one wallet, by hand, and what is told when it cannot be.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Stdio,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::kit::{Demo, Killed, dodona, path, refused, run};
use dodona_participant::data;
use dodona_sim::world;
use serde_json::Value;
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the demo's series says, epoch by epoch.
fn truths() -> Vec<f64> {
    let series = data::bundled("electricity").unwrap();
    let timeline = world::timeline(&series, 1);
    (0..2_000).map(|epoch| series.points[timeline.target(epoch)].value).collect()
}

fn csv(path: &Path) -> String {
    let rows: String =
        truths().iter().enumerate().map(|(epoch, value)| format!("{epoch},{value}\n")).collect();
    fs::write(path, format!("epoch,value\n{rows}")).unwrap();
    path.to_str().unwrap().to_string()
}

/// A server that answers `/EPOCH` with what happened, changed by a factor.
fn server(factor: f64) -> String {
    let truths = Arc::new(truths());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{{epoch}}?at={{time}}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).to_string();
            let epoch = head.split(['/', '?', ' ']).find_map(|part| part.parse::<usize>().ok());
            let value = epoch.and_then(|epoch| truths.get(epoch)).map(|value| value * factor);
            let body = format!("{{\"data\":{{\"load\":\"{}\"}}}}", value.unwrap_or(f64::NAN));
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

fn done(args: &[&str]) -> (Value, String) {
    let (code, out, err) = run(args);
    assert_eq!(code, 0, "{args:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    (serde_json::from_str(&out).unwrap(), err)
}

#[test]
fn worker_forecaster_and_reputer_share_one_file_and_one_wallet() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let truth = csv(&dir.path().join("truth.csv"));
    let config = dir.path().join("roles.toml");
    let text = format!(
        "[[worker]]\nmodel = \"builtin:theta\"\ntopic = 1\nname = \"ours\"\n\
         [[reputer]]\ntruth = \"{truth}\"\ntopic = 1\nstake = \"5\"\n\
         [[forecaster]]\nforecaster = \"loss-ema\"\ntopic = 2\n"
    );
    fs::write(&config, text).unwrap();
    let state = dir.path().join("state");
    let args = ["worker", "run", "--config", config.to_str().unwrap(), "--dir", state.to_str().unwrap()];
    let (summary, err) =
        done(&[&args[..], &["--node", &demo.node, "--epochs", "3", "--output", "json"]].concat());
    let lanes = summary["topics"].as_array().unwrap();
    let parts: Vec<&str> = lanes.iter().map(|lane| lane["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["worker", "forecaster", "reputer"]);
    for lane in lanes {
        assert!(lane["counted"].as_u64().unwrap() >= 3, "{summary}\n{err}");
    }
    // One account, each word once, and no transaction in another's place.
    let ledger = fs::read_to_string(state.join("ledger.jsonl")).unwrap();
    let entries: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut sent: Vec<String> = entries
        .iter()
        .filter(|entry| entry["what"] == "sent")
        .map(|entry| format!("{} {} {}", entry["topic"], entry["part"], entry["nonce"]))
        .collect();
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all, "{ledger}");
    assert!(!err.contains("sequence"), "{err}");

    // A second life finds its seats taken and its words said.
    let again = done(&[&args[..], &["--node", &demo.node, "--epochs", "1", "--output", "json"]].concat()).1;
    assert!(!again.contains("registered") && !again.contains("stake at"), "{again}");
}

#[test]
fn a_reputer_believes_what_two_of_three_sources_say_and_keeps_their_answers() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let sources = [server(1.0), server(1.0001), server(2.0)];
    let mut args = vec!["reputer", "run", "--topic", "1", "--node", &demo.node, "--path", "data.load"];
    for source in &sources {
        args.extend(["--truth", source]);
    }
    let dir_text = state.to_str().unwrap();
    args.extend(["--stake", "5", "--dir", dir_text, "--epochs", "2", "--output", "json"]);
    let (summary, err) = done(&args);
    let lane = &summary["topics"][0];
    assert!(lane["counted"].as_u64().unwrap() >= 2, "{summary}\n{err}");
    assert_ne!(lane["earned"], "0", "{summary}");
    // Whoever asks for the evidence can be shown it.
    let files: Vec<_> =
        fs::read_dir(state.join("evidence")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 2);
    for file in files {
        let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let answers = kept["answers"].as_array().unwrap();
        assert_eq!(answers.len(), 2, "{kept}");
        let hashes = answers.iter().flat_map(|answer| Sha256::digest(answer["text"].as_str().unwrap()));
        let hash = hex::encode(Sha256::digest(hashes.collect::<Vec<u8>>()));
        assert_eq!(
            (kept["evidence"].as_str(), file.file_stem().unwrap().to_str()),
            (Some(&*hash), Some(&*hash))
        );
    }
}

#[test]
fn a_forecaster_is_heard_and_a_truth_can_be_said_by_hand() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let args = ["forecaster", "run", "loss-by-phase", "--topic", "1", "--dir", state.to_str().unwrap()];
    let (summary, err) =
        done(&[&args[..], &["--node", &demo.node, "--epochs", "2", "--output", "json"]].concat());
    assert!(summary["topics"][0]["counted"].as_u64().unwrap() >= 2, "{summary}\n{err}");

    // Registered and staked by a first epoch; then by hand, in the one block that accepts it.
    let truth = csv(&dir.path().join("truth.csv"));
    let own = dir.path().join("own");
    let own_text = own.to_str().unwrap();
    let args = ["reputer", "run", "--topic", "1", "--truth", &truth, "--stake", "5", "--dir", own_text];
    done(&[&args[..], &["--node", &demo.node, "--epochs", "1", "--output", "json"]].concat());
    let key = own.join("reputer.key");
    let client = dodona_client::Client::new(dodona_client::Http::new(&demo.node));
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "no window was met");
        let seen = client.windows(1).unwrap();
        let open = seen.windows.iter().find(|w| (w.truth_first..=w.truth_last).contains(&(seen.height + 1)));
        let Some(window) = open else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let (epoch, value) = (window.epoch.to_string(), truths()[window.epoch as usize].to_string());
        let args = ["reputer", "report", "--topic", "1", "--epoch", &epoch, "--value", &value];
        let sign =
            ["--key", key.to_str().unwrap(), "--node", &demo.node, "--evidence", &truth, "--output", "json"];
        let (code, out, err) = run(&[&args[..], &sign].concat());
        assert!(code == 1 && (err.contains("--yes") || err.contains("epoch")), "nobody to ask: {out}{err}");
        let (code, out, _) = run(&[&args[..], &sign, &["--yes"]].concat());
        if code == 0 {
            let told: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(told["evidence"], hex::encode(Sha256::digest(fs::read(&truth).unwrap())));
            break;
        }
        thread::sleep(Duration::from_millis(100)); // the window closed meanwhile
    }
}

/// A topic whose reputers bring losses, with these lines about its loss.
fn of_losses(loss: &str) -> String {
    format!(
        "title = \"noise\"\ntarget = \"a number\"\nunit = \"K\"\ntruth_source = \"a file\"\n\
         resolution = \"as the file says\"\n[schedule]\nepoch_length = 3\nworker_window = 2\n\
         truth_lag = 3\ntruth_window = 4\n[rule]\nname = \"regret\"\n[truth]\nmode = \"losses\"\n\
         [loss]\n{loss}\n"
    )
}

#[test]
fn where_reputers_bring_losses_they_are_computed_from_the_truth_for_everything_published() {
    let demo = Demo::start(&[]);
    let node = demo.node.as_str();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = path(dir.path(), name);
        fs::write(&path, text).unwrap();
        path
    };
    let topic = file("topic.toml", &of_losses("method = \"MSE\""));
    let pay = ["--fund", "50", "--node", node, "--key", "demo:consumer", "--output", "json"];
    let created = done(&[&["topic", "create", &topic], &pay[..]].concat()).0;
    assert_eq!(created["topic_id"], 3);
    // Two models and a forecaster, so that every kind of component exists.
    let near = file("near.py", "def predict(ctx):\n    return 10.0 + ctx.epoch % 3\n");
    let far = file("far.py", "def predict(ctx):\n    return 14.0\n");
    let start = |name: &str, what: &[&str]| {
        let own = path(dir.path(), name);
        let args = [what, &["--topic", "3", "--node", node, "--dir", &own]].concat();
        Killed(dodona(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let _members = [
        start("near", &["worker", "run", &near]),
        start("far", &["worker", "run", &far]),
        start("watcher", &["forecaster", "run", "loss-ema"]),
    ];
    let rows: String = (0..500).map(|epoch| format!("{epoch},{}\n", 10.5 + f64::from(epoch % 2))).collect();
    let truth = file("truth.csv", &format!("epoch,value\n{rows}"));
    let own = path(dir.path(), "own");
    let run = ["reputer", "run", "--topic", "3", "--truth", &truth, "--stake", "100", "--dir", &own];
    let (summary, err) = done(&[&run[..], &["--node", node, "--epochs", "8", "--output", "json"]].concat());
    let lane = &summary["topics"][0];
    assert!(lane["counted"].as_u64().unwrap() >= 7, "{summary}\n{err}");
    assert_ne!(lane["earned"], "0", "{summary}\n{err}");
    assert!(fs::read_dir(dir.path().join("own/evidence")).unwrap().count() >= 2, "raw answers are kept");

    // The last scored epoch has forecasters, and the network's loss is what the reputer computed.
    let client = dodona_client::Client::new(dodona_client::Http::new(node));
    let scored = client.epochs(3, 0, 0).unwrap().epochs.into_iter().rfind(|e| e.state == "scored");
    let epoch = scored.unwrap();
    assert!(epoch.parts.iter().any(|part| part.forecaster), "a forecaster was heard");
    let error = epoch.combined - (10.5 + (epoch.epoch % 2) as f64);
    let loss = epoch.network_loss.unwrap();
    assert!((loss - error * error).abs() < 1e-9 * (1.0 + loss), "{loss} {error}");

    // Words that name no loss need one of ours.
    let topic = file("vague.toml", &of_losses("method = \"as we see it\""));
    let created = done(&[&["topic", "create", &topic], &pay[..]].concat()).0;
    assert_eq!(created["topic_id"], 4);
    let other = path(dir.path(), "other");
    let run = ["reputer", "run", "--topic", "4", "--truth", &truth, "--dir", &other, "--node", node];
    refused(&run, "says of its loss only `as we see it`: name the function with --loss");
    refused(&[&run[..], &["--loss", "huber:0"]].concat(), "`huber:0` is no loss; there are: squared");
    let truths = ["reputer", "run", "--topic", "1", "--truth", &truth, "--dir", &other, "--node", node];
    refused(&[&truths[..], &["--loss", "mse"]].concat(), "bring truths");
}

#[test]
fn what_came_true_in_one_topic_can_be_the_truth_of_another() {
    let demo = Demo::start(&[]);
    let node = demo.node.as_str();
    let dir = tempfile::tempdir().unwrap();
    let topic = path(dir.path(), "topic.toml");
    fs::write(&topic, of_losses("name = \"squared\"").replace("\"losses\"", "\"truth\"")).unwrap();
    let pay = ["--fund", "50", "--node", node, "--key", "demo:consumer", "--output", "json"];
    done(&[&["topic", "create", &topic], &pay[..]].concat());
    let model = path(dir.path(), "model.py");
    fs::write(&model, "def predict(ctx):\n    return 1.0\n").unwrap();
    let (own, worker) = (path(dir.path(), "own"), path(dir.path(), "worker"));
    let args = ["worker", "run", &model, "--topic", "3", "--node", node, "--dir", &worker];
    let _worker = Killed(dodona(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let args = ["reputer", "run", "--topic", "3", "--truth", "topic:1", "--stake", "100", "--dir", &own];
    let (summary, err) = done(&[&args[..], &["--node", node, "--epochs", "3", "--output", "json"]].concat());
    assert!(summary["topics"][0]["counted"].as_u64().unwrap() >= 3, "{summary}\n{err}");
    let client = dodona_client::Client::new(dodona_client::Http::new(node));
    let ours = client.epochs(3, 0, 0).unwrap().epochs;
    let theirs = client.epochs(1, 0, 0).unwrap().epochs;
    let scored: Vec<_> = ours.iter().filter(|epoch| epoch.state == "scored").collect();
    assert!(scored.len() >= 2);
    for epoch in scored {
        let due = |e: &&dodona_proto::topics::QueryEpochResponse| e.truth_first <= epoch.truth_first;
        let theirs = theirs.iter().filter(|e| e.state == "scored").rfind(due).unwrap();
        assert_eq!(epoch.truth, theirs.truth, "epoch {}", epoch.epoch);
    }
    let itself = ["reputer", "run", "--topic", "3", "--truth", "topic:x", "--dir", &own, "--node", node];
    refused(&itself, "`topic:x` names no topic");
}

#[test]
fn what_cannot_be_is_told_with_a_way_out() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = state.to_str().unwrap();
    let config = dir.path().join("roles.toml");
    fs::write(
        &config,
        "[[worker]]\nmodel = \"builtin:theta\"\ntopic = 1\n[[forecaster]]\nforecaster = \"loss-ema\"\ntopic = 1\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    for (args, word) in [
        (vec!["forecaster", "run", "--config", config], "two models or forecasters for topic 1"),
        (vec!["forecaster", "run", "guess", "--topic", "1"], "there are: loss-ema, loss-by-phase"),
        (
            vec!["reputer", "run", "--topic", "1", "--truth", "http://a", "--truth", "b.csv"],
            "`b.csv` is no http",
        ),
        (vec!["reputer", "run", "--topic", "1", "--truth", "http://a", "--agree", "2"], "2 of 1 sources"),
        (vec!["reputer", "run", "--topic", "99", "--truth", "b.csv"], "topic 99"),
    ] {
        refused(&[&args[..], &["--dir", state, "--node", &demo.node]].concat(), word);
    }
    let report = ["reputer", "report", "--topic", "1", "--epoch", "0", "--value", "1", "--yes"];
    let (code, _, err) = run(&[&report[..], &["--key", "demo:reputer-1", "--node", &demo.node]].concat());
    assert!(code == 1 && err.contains("open for truths"), "{err}");
    assert_eq!(run(&["reputer", "run", "--topic", "1"]).0, 2, "no source");
    assert_eq!(run(&["forecaster", "run", "loss-ema", "--topic", "1", "--config", config]).0, 2);
}
