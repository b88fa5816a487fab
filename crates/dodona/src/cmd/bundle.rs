//! `dodona doctor --bundle`: everything somebody needs who is to help, in one file that can be shown to strangers.
//! Every text in it goes through [`scrub`]; what looks like a secret leaves as a mark.

use std::{
    collections::BTreeMap,
    env, fs,
    fs::OpenOptions,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::LazyLock,
    time::SystemTime,
};

use anyhow::{Context, Result};
use dodona_client::{Http, keys::is_word};
use dodona_node::config::NodeFile;
use regex::{Captures, Regex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::DoctorArgs;

/// Newest bytes of a log that are taken.
const LOG_BYTES: u64 = 256 << 10;
/// Largest page of metrics that is taken, bytes.
const MAX_PAGE: usize = 1 << 20;
/// Files of a home that are listed.
const MAX_FILES: usize = 200;
/// So many words of the mnemonics' list in a row are taken for one: the shortest has 12.
const WORDS: usize = 9;

/// Writes the file. An older one is not replaced: it may be somebody's only copy.
pub fn write(path: &Path, args: &DoctorArgs, diagnosis: &Value) -> Result<()> {
    let mut bundle = json!({
        "made_with": format!("dodona {}", env!("CARGO_PKG_VERSION")),
        "at": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "system": system(),
        "diagnosis": diagnosis,
        "environment": names_set(),
    });
    if let Some(home) = &args.home {
        // Parsed first: what the settings do not know is not carried along.
        bundle["settings"] = match NodeFile::read(home) {
            Ok(file) => serde_json::to_value(file)?,
            Err(error) => json!(error.to_string()),
        };
        bundle["files"] = files(home);
    }
    if let Some(at) = metrics_door(args) {
        bundle["metrics"] = match Http::new(&at).text("/metrics") {
            Ok(page) if page.len() <= MAX_PAGE => json!(page.lines().collect::<Vec<_>>()),
            Ok(page) => json!(format!("{} bytes: too long", page.len())),
            Err(error) => json!(error.to_string()),
        };
    }
    if let Some(log) = &args.log {
        let text = tail(log).with_context(|| format!("cannot read {}", log.display()))?;
        // As one text: a mnemonic may stand a word a line.
        bundle["log"] = json!(scrub(&text).lines().collect::<Vec<_>>());
    }
    let text = serde_json::to_string_pretty(&scrubbed(bundle))? + "\n";
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(|| {
            format!(
                "cannot make {}: choose a name that is not taken, in a folder that is yours",
                path.display()
            )
        })?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn system() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let memory: String = memory.lines().take(3).collect::<Vec<_>>().join(", ");
    json!({
        "os": env::consts::OS,
        "architecture": env::consts::ARCH,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory,
    })
}

/// Which of our variables are set; never to what.
fn names_set() -> Vec<String> {
    let name = |(name, _): (std::ffi::OsString, _)| name.into_string().ok();
    let mut names: Vec<String> =
        env::vars_os().filter_map(name).filter(|name| name.starts_with("DODONA_")).collect();
    names.sort();
    names
}

/// Names, sizes and permissions of what lies in a home.
fn files(home: &Path) -> Value {
    let Ok(entries) = fs::read_dir(home) else { return json!("cannot be read") };
    let mut found = BTreeMap::new();
    for entry in entries.flatten().take(MAX_FILES) {
        if let Ok(meta) = entry.metadata() {
            let mode = format!("{:o}", meta.permissions().mode() & 0o7777);
            let name = entry.file_name().to_string_lossy().into_owned();
            found.insert(name, json!({ "bytes": meta.len(), "mode": mode, "folder": meta.is_dir() }));
        }
    }
    json!(found)
}

/// Where the page for monitors is: as was said, or as the home's settings say.
fn metrics_door(args: &DoctorArgs) -> Option<String> {
    let of_home = || {
        let file = NodeFile::read(args.home.as_deref()?).ok()?;
        Some(format!("http://{}", file.doors.metrics?))
    };
    args.metrics.clone().or_else(of_home)
}

fn tail(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Every text of a value, scrubbed; keys stay.
fn scrubbed(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(scrub(&text)),
        Value::Array(all) => Value::Array(all.into_iter().map(scrubbed).collect()),
        Value::Object(all) => Value::Object(all.into_iter().map(|(k, v)| (k, scrubbed(v))).collect()),
        other => other,
    }
}

/// Patterns that never fail to compile: a test below uses each.
#[expect(clippy::unwrap_used, reason = "the patterns are constants")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// 32 bytes and more in hex, with or without 0x.
static HEX: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?:0x)?[0-9a-f]{64,}"));
/// 32 bytes and more in base64 or base58.
static BASE64: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9+/_-]{43,}={0,2}"));
/// What follows a word that announces a secret, to the end of the line.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)((?:pass(?:phrase|word|wd)?|secret|mnemonic|seed|private[ _-]?key|priv[ _-]?key|api[ _-]?key|token|authorization|bearer|cookie)["']?(?:\s*[:=]\s*|\s+is\s+|\s+bearer\s+))[^\r\n]+"#,
    )
});
/// Names and passwords, and questions, in addresses.
static USER: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z][a-z0-9+.-]*://)[^\s/@]+@"));
static QUERY: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z][a-z0-9+.-]*://[^\s?]+\?)[^\s]+"));
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z]+"));

/// A text without what looks like a secret. What was a hash is marked with a fingerprint, so that equal ones can still
/// be told from different ones.
fn scrub(text: &str) -> String {
    let print = |what: &str| hex::encode(&Sha256::digest(what.as_bytes())[..4]);
    let mixed = |what: &str| {
        // Addresses are in lower case, long paths and words have no digits.
        [char::is_ascii_uppercase, char::is_ascii_lowercase, char::is_ascii_digit as fn(&char) -> bool]
            .iter()
            .all(|kind| what.chars().any(|c| kind(&c)))
    };
    let text = without_words(text);
    let text = NAMED.replace_all(&text, "$1<hidden>");
    let text = USER.replace_all(&text, "$1<hidden>@");
    let text = QUERY.replace_all(&text, "$1<hidden>");
    let text = HEX.replace_all(&text, |c: &Captures<'_>| format!("<hex {}>", print(&c[0])));
    let text = BASE64.replace_all(&text, |c: &Captures<'_>| {
        if mixed(&c[0]) { format!("<bytes {}>", print(&c[0])) } else { c[0].to_string() }
    });
    match env::var("HOME") {
        Ok(home) if home.len() > 1 => text.replace(&home, "~"),
        _ => text.into_owned(),
    }
}

/// A text without mnemonics: many words of their list in a row, whatever stands between them but letters.
fn without_words(text: &str) -> String {
    let (mut out, mut done) = (String::new(), 0);
    let mut run: Vec<(usize, usize)> = Vec::new();
    let mut end = |run: &mut Vec<(usize, usize)>| {
        if let (true, Some(first), Some(last)) = (run.len() >= WORDS, run.first(), run.last()) {
            out.push_str(&text[done..first.0]);
            out.push_str(&format!("<{} words>", run.len()));
            done = last.1;
        }
        run.clear();
    };
    for word in WORD.find_iter(text) {
        if is_word(&word.as_str().to_ascii_lowercase()) {
            run.push((word.start(), word.end()));
        } else {
            end(&mut run);
        }
    }
    end(&mut run);
    out + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASE: &str =
        "abandon ability able about above absent absorb abstract absurd abuse access accident";

    #[test]
    fn what_looks_like_a_secret_leaves_as_a_mark() {
        let hex = "9f".repeat(32);
        for (secret, around) in [
            (hex.as_str(), "key {} of node"),
            (hex.as_str(), "0x{}"),
            ("hunter2 and more", "passphrase: {}"),
            ("hunter2", r#"{"password":"{}"}"#),
            ("s3cr3t", "API_KEY={}"),
            ("abc.def", "Authorization: Bearer {}"),
            ("me:pw", "https://{}@example.org/x"),
            ("key=1&x=2", "https://example.org/x?{}"),
            ("3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=", "value {}"),
            (PHRASE, "the words are {} so"),
            (PHRASE, "{}"),
        ] {
            let text = scrub(&around.replace("{}", secret));
            assert!(!text.contains(secret) && text.contains('<'), "{text}");
        }
        let numbered: String = PHRASE
            .split(' ')
            .enumerate()
            .map(|(i, word)| format!("{}. {}\n", i + 1, word.to_uppercase()))
            .collect();
        assert_eq!(scrub(&numbered), "1. <12 words>\n");
    }

    #[test]
    fn what_helps_stays() {
        for text in [
            "block 7 committed by allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv in 12 ms",
            "cannot listen at 127.0.0.1:26657: another node there? Change [doors] in config.toml",
            "the chain stands still, the node is behind, or this machine's clock is ahead",
            "no block comes: 2 of 4 validators are connected",
        ] {
            assert_eq!(scrub(text), text);
        }
        let hash = "ab".repeat(32);
        assert_eq!(scrub(&hash), scrub(&hash));
        assert_ne!(scrub(&hash), scrub(&"ac".repeat(32)));
    }
}
