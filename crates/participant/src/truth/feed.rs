//! JSON over HTTP: every source is asked at once, and as many as the rules want must agree. A round that failed is
//! repeated after a pause that doubles, as long as the window is open.

use std::{
    thread,
    time::{Duration, Instant},
};

use dodona_client::agent;
use serde_json::Value;

use super::{Happened, MAX_BODY, MAX_SOURCES, Question, Raw, Truth, TruthError, TruthSource};

/// Shortest and longest pause after a failed round.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// What an address may hold in braces.
const PLACES: [&str; 6] = ["{topic}", "{epoch}", "{nonce}", "{asked}", "{due}", "{time}"];
/// Characters of what a source said that are shown.
const SHOWN: usize = 120;

/// One address and where in its answer the truth is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// May hold {topic}, {epoch}, {nonce}, {asked}, {due}, and {time}, the moment asked for; times in seconds.
    pub url: String,
    /// `data.0.price`, or a JSON pointer `/data/0/price`; empty: the whole answer.
    pub path: String,
}

/// What makes a truth of answers.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many sources must agree.
    pub agree: usize,
    /// How far numbers that agree may lie apart, as a part of the larger.
    pub tolerance: f64,
    /// Seconds from the question to the moment asked for; none: the block from which truths are accepted.
    pub horizon: Option<i64>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// Sources that must agree.
pub struct Feed {
    name: String,
    sources: Vec<Source>,
    rules: Rules,
    agent: ureq::Agent,
    /// Epoch of the last failed round, when it was, how long to pause, and why it failed.
    failed: Option<(u64, Instant, Duration, TruthError)>,
}

impl Feed {
    /// A feed of these sources.
    ///
    /// # Errors
    /// [`TruthError::Rules`]: no source, too many, or a number of agreeing ones that cannot be reached.
    pub fn new(sources: Vec<Source>, rules: Rules) -> Result<Self, TruthError> {
        let wrong = |text: String| Err(TruthError::Rules(text));
        if sources.is_empty() || sources.len() > MAX_SOURCES {
            return wrong(format!("{} sources: name 1 to {MAX_SOURCES}", sources.len()));
        }
        if rules.agree == 0 || rules.agree > sources.len() {
            return wrong(format!("{} of {} sources cannot agree", rules.agree, sources.len()));
        }
        if !(0.0..1.0).contains(&rules.tolerance) {
            return wrong(format!("a tolerance of {} is not in [0, 1)", rules.tolerance));
        }
        for source in &sources {
            let bare = PLACES.iter().fold(source.url.clone(), |url, place| url.replace(place, ""));
            if bare.contains(['{', '}']) {
                return wrong(format!("`{}`: in braces there may be {}", source.url, PLACES.join(", ")));
            }
        }
        let name = sources.iter().map(|source| source.url.as_str()).collect::<Vec<_>>().join(", ");
        Ok(Self { name, sources, agent: agent(rules.timeout), rules, failed: None })
    }

    fn round(&self, question: &Question<'_>) -> Result<Truth, TruthError> {
        let moment =
            self.rules.horizon.map_or(question.due, |horizon| question.asked.saturating_add(horizon));
        // Beside each other: one slow source must not cost the others' time.
        let answers: Vec<Result<(Happened, Raw), String>> = thread::scope(|scope| {
            let asked: Vec<_> = self
                .sources
                .iter()
                .map(|source| scope.spawn(move || self.ask(source, question, moment)))
                .collect();
            let lost = || Err("the question was lost".to_string());
            asked.into_iter().map(|answer| answer.join().unwrap_or_else(|_| lost())).collect()
        });
        if let [Err(cause)] = answers.as_slice() {
            return Err(TruthError::Source { source_name: self.name.clone(), cause: cause.clone() });
        }
        let said: Vec<(usize, &Happened)> =
            answers.iter().enumerate().filter_map(|(at, a)| Some((at, &a.as_ref().ok()?.0))).collect();
        let agreeing = agreement(&said, self.rules.tolerance);
        if agreeing.len() < self.rules.agree {
            let shown = answers.iter().map(|answer| match answer {
                Ok((happened, _)) => show(happened),
                Err(cause) => cause.clone(),
            });
            return Err(TruthError::Disagreement {
                agreeing: agreeing.len(),
                asked: self.sources.len(),
                wanted: self.rules.agree,
                said: shown.collect::<Vec<_>>().join("; "),
            });
        }
        let happened = middle(&said, &agreeing);
        let raw = answers.into_iter().enumerate().filter(|(at, _)| agreeing.contains(at));
        Ok(Truth { happened, raw: raw.filter_map(|(_, answer)| Some(answer.ok()?.1)).collect() })
    }

    fn ask(&self, source: &Source, question: &Question<'_>, moment: i64) -> Result<(Happened, Raw), String> {
        let mut url = source.url.clone();
        for (name, number) in [
            ("{topic}", question.topic.to_string()),
            ("{epoch}", question.epoch.to_string()),
            ("{nonce}", question.nonce.to_string()),
            ("{asked}", question.asked.to_string()),
            ("{due}", question.due.to_string()),
            ("{time}", moment.to_string()),
        ] {
            url = url.replace(name, &number);
        }
        let mut response = self.agent.get(&url).call().map_err(|e| format!("{}: {e}", source.url))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        let bytes = body.map_err(|e| format!("{}: {e}", source.url))?;
        if !status.is_success() {
            return Err(format!("{}: status {}", source.url, status.as_u16()));
        }
        let happened = read(&bytes, &source.path, question.labels)
            .map_err(|cause| format!("{}: {cause}", source.url))?;
        Ok((happened, Raw { source: url, bytes }))
    }
}

impl TruthSource for Feed {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_time(&mut self) -> bool {
        let times = ["{asked}", "{due}", "{time}"];
        self.sources.iter().any(|source| times.iter().any(|time| source.url.contains(time)))
    }

    fn look_up(&mut self, question: &Question<'_>) -> Result<Truth, TruthError> {
        let mut pause = SHORTEST;
        if let Some((epoch, when, wait, why)) = &self.failed
            && *epoch == question.epoch
        {
            if when.elapsed() < *wait {
                return Err(why.clone());
            }
            pause = wait.saturating_mul(2).min(LONGEST);
        }
        match self.round(question) {
            Ok(truth) => {
                self.failed = None;
                Ok(truth)
            }
            Err(why) => {
                self.failed = Some((question.epoch, Instant::now(), pause, why.clone()));
                Err(why)
            }
        }
    }
}

/// What an answer says at a path.
fn read(bytes: &[u8], path: &str, labels: &[String]) -> Result<Happened, String> {
    let shown = || -> String { String::from_utf8_lossy(bytes).chars().take(SHOWN).collect() };
    let json: Value =
        serde_json::from_slice(bytes).map_err(|_| format!("no JSON; it begins `{}`", shown()))?;
    let pointer = match path {
        "" => String::new(),
        path if path.starts_with('/') => path.to_string(),
        path => format!("/{}", path.replace('.', "/")),
    };
    let found = json.pointer(&pointer).ok_or_else(|| format!("nothing at `{path}` in `{}`", shown()))?;
    let number = |value: &Value| {
        let number = match value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            other => other.as_f64(),
        };
        number.filter(|n| n.is_finite()).ok_or_else(|| {
            let text: String = value.to_string().chars().take(SHOWN).collect();
            format!("`{text}` at `{path}` is no number")
        })
    };
    match found {
        found if labels.is_empty() => Ok(Happened::Value(number(found)?)),
        Value::String(label) => Ok(Happened::Label(label.clone())),
        Value::Object(values) => {
            let named = labels.iter().filter_map(|label| Some((label, values.get(label)?)));
            let values = named
                .map(|(label, v)| Ok((label.clone(), number(v)?)))
                .collect::<Result<Vec<_>, String>>()?;
            if values.is_empty() {
                return Err(format!("no label of the topic at `{path}`: {}", labels.join(", ")));
            }
            Ok(Happened::Labels(values))
        }
        _ => Err(format!("neither a label nor an object of numbers at `{path}`")),
    }
}

/// The largest group that agrees, by the number of its sources; of equal ones the first.
fn agreement(said: &[(usize, &Happened)], tolerance: f64) -> Vec<usize> {
    let mut best = Vec::new();
    for (_, low) in said {
        let group: Vec<usize> =
            said.iter().filter(|(_, other)| near(low, other, tolerance)).map(|(at, _)| *at).collect();
        if group.len() > best.len() {
            best = group;
        }
    }
    best
}

/// Whether the second is the first, or a number above it and near.
fn near(low: &Happened, other: &Happened, tolerance: f64) -> bool {
    match (low, other) {
        (Happened::Value(low), Happened::Value(other)) => {
            *other >= *low && other - low <= tolerance * low.abs().max(other.abs())
        }
        (low, other) => low == other,
    }
}

/// Of numbers the lower median, otherwise what all of the group say.
fn middle(said: &[(usize, &Happened)], group: &[usize]) -> Happened {
    let mut values: Vec<&Happened> =
        said.iter().filter(|(at, _)| group.contains(at)).map(|(_, h)| *h).collect();
    values.sort_by(|a, b| match (a, b) {
        (Happened::Value(a), Happened::Value(b)) => a.total_cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    // A group has a member: the rules want one at least.
    values.get(values.len().saturating_sub(1) / 2).map_or(Happened::Labels(Vec::new()), |h| (*h).clone())
}

fn show(happened: &Happened) -> String {
    match happened {
        Happened::Value(value) => value.to_string(),
        Happened::Label(label) => label.chars().take(SHOWN).collect(),
        Happened::Labels(values) => {
            values.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use sha2::{Digest, Sha256};

    use super::*;

    /// A server that answers every request with this status and body; its address, and how often it was asked.
    fn server(status: u16, body: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        (address, asked)
    }

    fn feed(urls: &[String], path: &str, agree: usize) -> Feed {
        let sources = urls.iter().map(|url| Source { url: url.clone(), path: path.into() }).collect();
        let timeout = Duration::from_secs(5);
        Feed::new(sources, Rules { agree, tolerance: 0.001, horizon: None, timeout }).unwrap()
    }

    const QUESTION: Question<'static> =
        Question { topic: 1, epoch: 7, nonce: 10, asked: 1_000, due: 1_060, truth_first: 13, labels: &[] };

    #[test]
    fn one_source_is_believed_and_its_raw_answer_is_the_evidence() {
        let body = r#"{"data":[{"price":"101.5"}]}"#;
        let (url, _) = server(200, body);
        let url = format!("{url}/at/{{time}}?epoch={{epoch}}");
        for path in ["data.0.price", "/data/0/price"] {
            let truth = feed(std::slice::from_ref(&url), path, 1).look_up(&QUESTION).unwrap();
            assert_eq!(truth.happened, Happened::Value(101.5));
            assert!(truth.raw[0].source.ends_with("/at/1060?epoch=7"));
            let hash: [u8; 32] = Sha256::digest(body).into();
            assert_eq!(truth.evidence(), hash);
        }
    }

    #[test]
    fn as_many_as_the_rules_want_must_agree() {
        let urls = [
            server(200, r#"{"p":100.0}"#).0,
            server(200, r#"{"p":100.05}"#).0,
            server(200, r#"{"p":250}"#).0,
            server(500, "broken").0,
        ];
        let truth = feed(&urls, "p", 2).look_up(&QUESTION).unwrap();
        assert_eq!(
            (truth.happened.clone(), truth.raw.len()),
            (Happened::Value(100.0), 2),
            "the lower median"
        );
        let again = feed(&urls, "p", 2).look_up(&QUESTION).unwrap();
        assert_eq!(truth.evidence(), again.evidence());
        let error = feed(&urls, "p", 3).look_up(&QUESTION).unwrap_err().to_string();
        assert!(
            error.contains("2 of 4 sources agree, 3 must: 100; 100.05; 250") && error.contains("status 500")
        );
        for (agree, tolerance) in [(0, 0.0), (5, 0.0), (1, 1.0), (1, f64::NAN)] {
            let sources = urls.iter().map(|url| Source { url: url.clone(), path: String::new() }).collect();
            let rules = Rules { agree, tolerance, horizon: None, timeout: Duration::from_secs(1) };
            assert!(matches!(Feed::new(sources, rules), Err(TruthError::Rules(_))));
        }
    }

    #[test]
    fn a_failed_source_is_left_alone_for_a_while() {
        let (url, asked) = server(503, "later");
        let mut feed = feed(&[url], "p", 1);
        for _ in 0..50 {
            assert!(feed.look_up(&QUESTION).is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(feed.look_up(&Question { epoch: 8, ..QUESTION }).is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "another epoch is another question");
    }

    #[test]
    fn answers_that_say_nothing_are_refused_by_name() {
        let labels = ["down".to_string(), "up".to_string()];
        let said = |body: &str, path: &str, labels: &[String]| read(body.as_bytes(), path, labels);
        assert_eq!(said("7", "", &[]), Ok(Happened::Value(7.0)));
        assert_eq!(said(r#"{"w":"up"}"#, "w", &labels), Ok(Happened::Label("up".into())));
        let shares = Happened::Labels(vec![("down".into(), 0.5), ("up".into(), 0.5)]);
        assert_eq!(said(r#"{"up":0.5,"down":"0.5","x":1}"#, "", &labels), Ok(shares));
        for (body, path, labels, word) in [
            ("<html>", "p", &[][..], "no JSON"),
            (r#"{"q":1}"#, "p", &[], "nothing at `p`"),
            (r#"{"p":"NaN"}"#, "p", &[], "no number"),
            (r#"{"p":1e999}"#, "p", &[], ""),
            (r#"{"p":null}"#, "p", &[], "no number"),
            (r#"{"p":1}"#, "p", &labels, "neither"),
            (r#"{"p":{"x":1}}"#, "p", &labels, "no label"),
        ] {
            let error = said(body, path, labels).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
