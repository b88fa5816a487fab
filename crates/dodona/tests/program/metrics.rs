//! The pages for monitors as Prometheus reads them: what docs/operate/metrics.md lists is there and nothing else is, and
//! rules and dashboard in ops/ speak of nothing that is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::kit::{Demo, Killed, dodona};
use serde_json::Value;

const LIST: &str = include_str!("../../../../docs/operate/metrics.md");
const RULES: &str = include_str!("../../../../ops/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../ops/grafana/dodona.json");

/// What is said of a metric: its kind, its labels, what it is.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Told {
    kind: String,
    labels: BTreeSet<String>,
    is: String,
}

/// What the tables of the list say.
fn listed() -> BTreeMap<String, Told> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].strip_prefix('`')?.strip_suffix('`')?.to_string();
        let &[_, kind, labels, is] = cells.as_slice() else { panic!("{line}") };
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(String::from).collect();
        Some((name, Told { kind: kind.into(), labels, is: is.into() }))
    };
    LIST.lines().filter(|line| line.starts_with("| `dodona_")).filter_map(row).collect()
}

/// Names under which a metric's numbers are written.
fn written(name: &str, kind: &str) -> Vec<String> {
    let ends: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    ends.iter().map(|end| format!("{name}{end}")).collect()
}

/// What a page says of its metrics, and the numbers on it by name and labels.
fn read(page: &str) -> (BTreeMap<String, Told>, Vec<(String, f64)>) {
    let (mut told, mut numbers) = (BTreeMap::<String, Told>::new(), Vec::new());
    for line in page.lines() {
        if let Some((name, is)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            told.entry(name.into()).or_default().is = is.trim_end_matches('.').into();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            told.entry(name.into()).or_default().kind = kind.into();
        } else if !line.starts_with('#') {
            let (what, number) = line.rsplit_once(' ').unwrap();
            numbers.push((what.to_string(), number.parse().unwrap()));
            let (name, labels) = what.split_once('{').unwrap_or((what, ""));
            let of = told.iter().find(|(of, told)| written(of, &told.kind).iter().any(|w| w == name));
            let of = of.unwrap_or_else(|| panic!("{line} has no type")).0.clone();
            let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_string()));
            told.get_mut(&of).unwrap().labels.extend(labels.filter(|label| label != "le"));
        }
    }
    (told, numbers)
}

fn fetch(address: &str) -> String {
    let host = address.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    page.to_string()
}

fn number(numbers: &[(String, f64)], name: &str) -> f64 {
    numbers.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn the_list_of_metrics_is_what_live_pages_show_and_their_numbers_move() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let args = ["worker", "run", "builtin:theta", "--topic", "1", "--node", &demo.node, "--dir", dir];
    let mut worker = dodona(&[&args[..], &["--metrics", "127.0.0.1:0"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(worker.stderr.take().unwrap());
    let _worker = Killed(worker);
    let mut line = String::new();
    while !line.starts_with("metrics ") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "the worker ended");
    }
    let own = line.strip_prefix("metrics ").unwrap().trim_end().to_string();
    let until = Instant::now() + Duration::from_secs(60);
    let (role, numbers) = loop {
        let (told, numbers) = read(&fetch(&own));
        let counted = numbers.iter().find(|(name, _)| name.starts_with("dodona_role_counted_total"));
        if counted.is_some_and(|(_, counted)| *counted > 0.0) {
            break (told, numbers);
        }
        assert!(Instant::now() < until, "{numbers:?}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let of = "{topic=\"1\",part=\"worker\"}";
    assert!(
        number(&numbers, &format!("dodona_role_submitted_total{of}"))
            >= number(&numbers, &format!("dodona_role_counted_total{of}"))
    );
    assert!(number(&numbers, "dodona_role_balance_allo") > 0.0);
    assert!(number(&numbers, "dodona_role_since_contact_seconds") < 30.0);

    let (mut shown, before) = read(&fetch(&demo.metrics));
    shown.extend(role);
    let listed = listed();
    for (name, told) in &listed {
        assert_eq!(shown.get(name), Some(told), "{name} on the page, as docs/operate/metrics.md tells it");
    }
    for (name, told) in &shown {
        assert_eq!(listed.get(name), Some(told), "{name} in docs/operate/metrics.md, as the page tells it");
    }

    assert!(number(&before, "dodona_height") >= 30.0);
    assert_eq!(number(&before, "dodona_topics_active"), 2.0);
    assert_eq!(number(&before, "dodona_topic_open_windows{topic=\"1\"}"), 1.0);
    assert!(
        number(&before, "dodona_topic_workers{topic=\"1\"}")
            > number(&before, "dodona_topic_workers{topic=\"2\"}")
    );
    let weights = before
        .iter()
        .filter(|(name, _)| name.starts_with("dodona_member_weight{") && name.contains("topic=\"1\""));
    let sum: f64 = weights.map(|(_, weight)| weight).sum();
    assert!((0.5..=1.0 + 1e-9).contains(&sum), "weights of the demo's own models: {sum}");
    let scored = |numbers: &[(String, f64)]| number(numbers, "dodona_topic_epochs_scored_total{topic=\"1\"}");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, after) = read(&fetch(&demo.metrics));
        if scored(&after) > scored(&before)
            && number(&after, "dodona_height") > number(&before, "dodona_height")
        {
            break;
        }
        assert!(Instant::now() < until, "the numbers stand still: {after:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Everything in a text that is called like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let of = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !of(c)).filter(|word| word.starts_with("dodona_")).map(String::from).collect()
}

#[test]
fn rules_and_dashboard_speak_of_metrics_that_exist() {
    let known: BTreeSet<String> =
        listed().iter().flat_map(|(name, told)| written(name, &told.kind)).collect();
    assert!(known.len() > 40, "{known:?}");
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let shown: String = shown.map(|target| target["expr"].as_str().unwrap().to_string() + "\n").collect();
    let variables = dashboard["templating"]["list"].to_string();
    let used: BTreeSet<String> =
        [named(&shown), named(&variables), named(RULES)].into_iter().flatten().collect();
    let unknown: Vec<&String> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "not in docs/operate/metrics.md: {unknown:?}");
    // What every operator asks for, in one of the rules each.
    for wanted in [
        "dodona_member_windows_missed_total",
        "dodona_topic_stalled",
        "dodona_account_balance_allo",
        "dodona_member_deviation_sigmas",
        "dodona_peers",
        "dodona_disk_free_bytes",
        "dodona_validator_missed_blocks",
    ] {
        assert!(named(RULES).contains(wanted), "no rule looks at {wanted}");
    }
    let count = |what: &str| RULES.lines().filter(|line| line.trim_start().starts_with(what)).count();
    assert!(count("- alert:") > 10);
    for part in ["expr:", "summary:", "description:", "labels: { severity:"] {
        assert_eq!(count(part), count("- alert:"), "every rule has `{part}`");
    }
}
