//! Adapters against models that are good, and models that hang, end, flood, lie or grow without end.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use dodona_participant::{
    adapter::{Adapter, AdapterError, Answer, Context, Limits, Process, Python, open},
    series::Point,
};

fn points(n: usize) -> Vec<Point> {
    (0..n).map(|i| Point { time: i as i64, value: i as f64 }).collect()
}

fn context(history: &[Point]) -> Context<'_> {
    Context { topic: 1, epoch: 5, nonce: 9, target: "load", unit: "MW", labels: &[], ahead: 2, history }
}

fn limits() -> Limits {
    Limits { timeout: Duration::from_secs(60), ..Limits::default() }
}

fn short() -> Limits {
    Limits { timeout: Duration::from_millis(200), start: Duration::ZERO, ..Limits::default() }
}

/// A model as a Python file; none where there is no interpreter.
fn python(dir: &Path, text: &str, limits: Limits) -> Option<Python> {
    let there = std::process::Command::new("python3").arg("-V").output().is_ok_and(|o| o.status.success());
    if !there {
        println!("skipped: no python3 here");
        return None;
    }
    let path = dir.join("model.py");
    fs::write(&path, text).unwrap();
    Some(Python::new("python3", &path, limits).unwrap())
}

fn shell(script: &str, limits: Limits) -> Process {
    Process::new("sh", vec!["-c".into(), script.into()], limits)
}

#[test]
fn a_python_file_answers_from_a_history_that_grows_and_its_prints_are_logs() {
    let dir = tempfile::tempdir().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    let limits =
        Limits { log: Arc::new(move |line| heard.lock().unwrap().push(line.to_string())), ..limits() };
    let text = "import os\ndef predict(ctx):\n    print('asked', ctx.epoch)\n    \
                assert not [k for k in os.environ if k.startswith('DODONA_')]\n    \
                return sum(ctx.history) * 1000 + ctx.ahead\n";
    let Some(mut model) = python(dir.path(), text, limits) else { return };
    assert_eq!(model.name(), "model.py");
    for n in [3, 5, 5, 4] {
        let known = points(n);
        let sum: f64 = known.iter().map(|p| p.value).sum();
        assert_eq!(model.predict(&context(&known)).unwrap(), Answer::Value(sum * 1000.0 + 2.0));
    }
    drop(model);
    assert!(lines.lock().unwrap().iter().any(|line| line == "asked 5"));
}

#[test]
fn what_a_python_model_raises_is_told_and_the_next_question_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let text = "def predict(ctx):\n    return 1 / (len(ctx.history) - 3)\n";
    let Some(mut model) = python(dir.path(), text, limits()) else { return };
    let error = model.predict(&context(&points(3))).unwrap_err();
    assert!(matches!(&error, AdapterError::Model(why) if why.contains("ZeroDivisionError")), "{error}");
    assert_eq!(model.predict(&context(&points(4))).unwrap(), Answer::Value(1.0));
}

#[test]
fn a_python_file_that_does_not_load_shows_its_traceback() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut model) = python(dir.path(), "import nothing_of_this_name\n", limits()) else { return };
    let error = model.predict(&context(&points(3))).unwrap_err().to_string();
    assert!(error.contains("nothing_of_this_name"), "{error}");
}

#[test]
fn a_model_that_eats_memory_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { memory: 512 << 20, ..limits() };
    let text = "def predict(ctx):\n    return len(bytearray(2 << 30))\n";
    let Some(mut model) = python(dir.path(), text, limits) else { return };
    let error = model.predict(&context(&points(3))).unwrap_err();
    assert!(matches!(&error, AdapterError::Model(why) if why.contains("MemoryError")), "{error}");
}

#[test]
fn any_program_that_speaks_the_protocol_is_a_model() {
    let mut model = shell("while read -r line; do echo '{\"value\": 42}'; done", limits());
    assert_eq!(model.predict(&context(&points(3))).unwrap(), Answer::Value(42.0));
    assert_eq!(model.predict(&context(&points(4))).unwrap(), Answer::Value(42.0));
}

#[test]
fn a_model_that_hangs_is_ended_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("second").display().to_string();
    // The first life hangs, the second answers.
    let script = format!(
        "read -r l; if [ -e {mark} ]; then echo '{{\"value\":1}}'; read -r l; else : > {mark}; sleep 600; fi"
    );
    let mut model = shell(&script, Limits { timeout: Duration::from_secs(2), ..short() });
    let error = model.predict(&context(&points(3))).unwrap_err();
    assert!(matches!(error, AdapterError::Timeout(_)), "{error}");
    for _ in 0..30 {
        match model.predict(&context(&points(3))) {
            Ok(answer) => return assert_eq!(answer, Answer::Value(1.0)),
            Err(AdapterError::Timeout(_) | AdapterError::Resting { .. }) => {} // a slow machine
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it was not started again");
}

#[test]
fn a_model_that_ends_again_and_again_rests_longer_each_time() {
    let mut model = shell("echo 'out of cheese' >&2; exit 3", limits());
    let mut errors = Vec::new();
    for _ in 0..12 {
        errors.push(model.predict(&context(&points(3))).unwrap_err());
        if matches!(errors.last(), Some(AdapterError::Resting { .. })) {
            break;
        }
    }
    let first = errors[0].to_string();
    assert!(first.contains("exit status: 3") && first.contains("out of cheese"), "{first}");
    assert!(
        matches!(errors.last(), Some(AdapterError::Resting { failures, .. }) if *failures >= 3),
        "{errors:?}"
    );
}

#[test]
fn nonsense_floods_and_missing_programs_are_told_apart() {
    let error = |script: &str| shell(script, limits()).predict(&context(&points(3))).unwrap_err();
    let found = error("echo hello; cat");
    assert!(matches!(&found, AdapterError::Protocol { begin, .. } if begin.contains("hello")), "{found}");
    let found = error("head -c 3000000 /dev/zero; cat");
    assert!(matches!(found, AdapterError::TooLong { .. }), "{found}");
    let found = error("echo '{\"error\":\"no feed\"}'; cat");
    assert!(matches!(&found, AdapterError::Model(why) if why == "no feed"), "{found}");
    let found = Process::new("/nowhere/at/all", vec![], limits()).predict(&context(&points(3))).unwrap_err();
    assert!(matches!(&found, AdapterError::Ended { tail, .. } if tail.contains("not found")), "{found}");
    assert!(matches!(open("nowhere.py", "python3", (1, 1), limits()), Err(AdapterError::Start { .. })));
    let unknown = open("builtin:magic", "python3", (1, 1), limits()).err().unwrap().to_string();
    assert!(unknown.contains("last-value"), "{unknown}");
}

#[test]
fn a_large_history_reaches_a_model_that_answers_before_it_reads() {
    // Both sides have more to say than a pipe holds; nobody waits for the other forever.
    let mut model = shell("echo '{\"value\":7}'; while read -r l; do :; done", limits());
    assert_eq!(model.predict(&context(&points(200_000))).unwrap(), Answer::Value(7.0));
}

#[test]
fn a_built_in_model_answers_like_any_other_and_follows_another_history() {
    let mut model = open("builtin:last-value", "python3", (1, 1), limits()).unwrap();
    assert_eq!(model.predict(&context(&points(10))).unwrap(), Answer::Value(9.0));
    assert_eq!(model.predict(&context(&points(12))).unwrap(), Answer::Value(11.0));
    assert_eq!(model.predict(&context(&points(4))).unwrap(), Answer::Value(3.0));
    assert!(matches!(model.predict(&context(&[])).unwrap(), Answer::Silent(_)));
}

/// Answers one request after the other with these status lines and bodies; what was posted comes back.
fn endpoint(replies: Vec<(&'static str, Vec<u8>)>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/predict", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let mut posted = Vec::new();
        for (status, body) in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut seen, mut chunk) = (Vec::new(), [0; 65536]);
            loop {
                let n = stream.read(&mut chunk).unwrap();
                seen.extend_from_slice(&chunk[..n]);
                let text = String::from_utf8_lossy(&seen).to_string();
                let length = text.to_lowercase().lines().find_map(|l| {
                    l.strip_prefix("content-length: ").map(|n| n.trim().parse::<usize>().unwrap())
                });
                if let (Some(at), Some(length)) = (text.find("\r\n\r\n"), length)
                    && text.len() >= at + 4 + length
                {
                    posted.push(text[at + 4..].to_string());
                    break;
                }
                assert!(n > 0);
            }
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&body); // it may hang up on a flood
        }
        posted
    });
    (address, served)
}

#[test]
fn an_endpoint_is_asked_with_the_newest_observations_and_its_failures_are_told() {
    let (address, served) = endpoint(vec![
        ("200 OK", br#"{"id":1,"value":3.5}"#.to_vec()),
        ("500 Internal Server Error", b"database down".to_vec()),
        ("200 OK", b"<html>".to_vec()),
        ("200 OK", vec![b' '; 2 << 20]),
    ]);
    let mut model = open(&address, "python3", (1, 1), limits()).unwrap();
    let known = points(5_000);
    assert_eq!(model.predict(&context(&known)).unwrap(), Answer::Value(3.5));
    let error = model.predict(&context(&known)).unwrap_err().to_string();
    assert!(error.contains("500") && error.contains("database down"), "{error}");
    assert!(matches!(model.predict(&context(&known)), Err(AdapterError::Protocol { .. })));
    assert!(matches!(model.predict(&context(&known)), Err(AdapterError::TooLong { .. })));
    let posted = served.join().unwrap();
    assert!(posted[0].contains(r#""history":{"from":3000,"#), "{}", &posted[0][..200]);
    assert!(matches!(model.predict(&context(&known)), Err(AdapterError::Http(_))), "nobody listens any more");
}
