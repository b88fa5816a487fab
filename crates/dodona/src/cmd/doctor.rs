//! `dodona doctor`: what keeps a node or a participant from working, looked at one thing after the other, with a way out
//! for each. It changes nothing and tells no secret.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use dodona_client::{Client, Http};
use dodona_node::{config::NodeFile, keys};
use dodona_proto::{
    Address,
    chain::QueryStatusResponse,
    path,
    topics::{MemberPart, QueryMemberRequest, QueryMemberResponse, QueryTopicResponse},
};
use serde::Serialize;

use super::{bundle, keys::store, net, now_ms, run::tell};
use crate::{
    cli::{DoctorArgs, Output},
    output::print,
};

/// Longest wait for the next block.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to ask for it.
const PERIOD: Duration = Duration::from_millis(200);
/// Free bytes below which a disk is nearly full, and full.
const LOW_DISK: u64 = 10 << 30;
const NO_DISK: u64 = 1 << 30;
/// Milliseconds a block's time may be off this machine's clock.
const DRIFT: u64 = 5_000;
/// Beyond this age of the newest block the chain keeps a time of its own.
const OWN_TIME: u64 = 86_400_000;

/// Topics whose members are looked at.
const MAX_TOPICS: usize = 1_000;
/// Part of the windows that may be missed, and windows in a row.
const MISSED_PERCENT: u64 = 5;
const SILENT: u64 = 2;

/// How one thing is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Bad,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    /// What to do; empty when all is well.
    remedy: String,
}

/// Everything that was looked at.
#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    checks: Vec<Check>,
}

impl Diagnosis {
    fn add(&mut self, name: &'static str, state: State, found: impl Into<String>, remedy: &str) {
        let remedy = if state == State::Ok { String::new() } else { remedy.to_string() };
        self.checks.push(Check { name, state, found: found.into(), remedy });
    }
}

pub fn run(args: DoctorArgs) -> Result<()> {
    let mut found = Diagnosis { version: env!("CARGO_PKG_VERSION"), checks: Vec::new() };
    let client = net::client(&args.node);
    let status = node(&client, &mut found);
    if let Some(status) = &status {
        clock(status, &mut found);
        blocks(&client, status, &mut found);
        peers(&args.rpc, &mut found);
        if let Some(who) = &args.account
            && let Some(address) = account(who, args.keys.as_deref(), &mut found)
        {
            balance(&client, &address, &mut found);
            windows(&client, &address, &mut found);
        }
    }
    if let Some(home) = &args.home {
        self::home(home, &mut found);
        ports(home, status.is_some(), &mut found);
    }
    disk(args.home.as_deref().unwrap_or(Path::new(".")), &mut found);
    key_store(args.keys.as_deref(), &mut found);

    if let Some(path) = &args.bundle {
        bundle::write(path, &args, &serde_json::to_value(&found)?)?;
        tell(&format!("wrote {}: look through it before you show it to anybody", path.display()));
    }
    let bad = found.checks.iter().filter(|check| check.state == State::Bad).count();
    print(&match args.output {
        Output::Json => serde_json::to_string(&found)? + "\n",
        Output::Text => text(&found),
    })?;
    if bad > 0 {
        bail!("{bad} of {} checks failed", found.checks.len());
    }
    Ok(())
}

fn text(found: &Diagnosis) -> String {
    let mut out = format!("dodona {}\n", found.version);
    for check in &found.checks {
        let mark = match check.state {
            State::Ok => "ok  ",
            State::Warning => "warn",
            State::Bad => "BAD ",
        };
        out.push_str(&format!("{mark} {:<9} {}\n", check.name, check.found));
        if !check.remedy.is_empty() {
            out.push_str(&format!("               {}\n", check.remedy));
        }
    }
    out
}

fn node(client: &Client<Http>, found: &mut Diagnosis) -> Option<QueryStatusResponse> {
    match client.status() {
        Err(error) => {
            found.add(
                "node",
                State::Bad,
                error.to_string(),
                "start one (`dodona demo`, `dodona start`), or name it with --node",
            );
            None
        }
        Ok(status) => {
            let same = status.version == found.version;
            let said =
                format!("chain {}, block {}, version {}", status.chain_id, status.height, status.version);
            let state = if same { State::Ok } else { State::Warning };
            found.add(
                "node",
                state,
                said,
                "node and program are of different versions: update the older one",
            );
            Some(status)
        }
    }
}

fn clock(status: &QueryStatusResponse, found: &mut Diagnosis) {
    let now = now_ms();
    if status.time_ms > now + DRIFT {
        let ahead = (status.time_ms - now) as f64 / 1_000.0;
        let remedy = "this machine's clock is behind: switch time synchronisation on";
        return found.add(
            "clock",
            State::Bad,
            format!("the newest block is {ahead:.1} s in the future"),
            remedy,
        );
    }
    let age = now.saturating_sub(status.time_ms);
    if age > OWN_TIME {
        return found.add("clock", State::Ok, "the chain keeps a time of its own", "");
    }
    let state = if age > 60_000 { State::Warning } else { State::Ok };
    let said = format!("the newest block is {:.1} s old", age as f64 / 1_000.0);
    found.add(
        "clock",
        state,
        said,
        "the chain stands still, the node is behind, or this machine's clock is ahead",
    );
}

fn blocks(client: &Client<Http>, status: &QueryStatusResponse, found: &mut Diagnosis) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if client.status().is_ok_and(|now| now.height > status.height) {
            return found.add("blocks", State::Ok, "they come", "");
        }
        sleep(PERIOD);
    }
    let said = format!("none after block {} in {} s", status.height, PATIENCE.as_secs());
    found.add("blocks", State::Bad, said, "see docs/operate/faults.md, \"no block comes\"");
}

fn peers(rpc: &str, found: &mut Diagnosis) {
    match Http::new(rpc).page("/net_info") {
        Err(error) => {
            found.add("peers", State::Warning, error.to_string(), "name the node's RPC door with --rpc")
        }
        Ok(answer) => {
            let count = answer["result"]["peers"].as_array().map_or(0, Vec::len);
            let state = if count == 0 { State::Warning } else { State::Ok };
            let remedy = "alone: right for a demo; otherwise name others under persistent in config.toml";
            found.add("peers", state, format!("{count}"), remedy);
        }
    }
}

/// The address of an account, or of a key of the store.
fn account(who: &str, keys: Option<&Path>, found: &mut Diagnosis) -> Option<String> {
    if let Ok(address) = who.parse::<Address>() {
        return Some(address.to_string());
    }
    match store(keys).and_then(|store| Ok(store.card(who)?)) {
        Ok(card) => Some(card.address),
        Err(error) => {
            let remedy = "name an address or a key of `dodona keys list`";
            found.add("account", State::Bad, format!("{error:#}"), remedy);
            None
        }
    }
}

fn balance(client: &Client<Http>, address: &str, found: &mut Diagnosis) {
    match client.account(address.to_string()) {
        Err(error) => found.add("balance", State::Bad, error.to_string(), "ask again"),
        Ok(account) => {
            let uallo: u128 = account.balance.parse().unwrap_or(0); // amounts are digits
            let state = if uallo == 0 { State::Bad } else { State::Ok };
            found.add(
                "balance",
                state,
                format!("{address} has {}", net::allo(uallo)),
                "send it some ALLO: whoever signs pays",
            );
        }
    }
}

/// How many windows the account missed in each part at each topic, and whether it still speaks.
fn windows(client: &Client<Http>, address: &str, found: &mut Diagnosis) {
    let mut looked = 0;
    let mut after = 0;
    while looked < MAX_TOPICS {
        let page = match client.topics(after) {
            Ok(page) => page.topics,
            Err(error) => return found.add("windows", State::Bad, error.to_string(), "ask again"),
        };
        let Some(last) = page.last() else { return };
        after = last.topic_id;
        for topic in page.iter().take(MAX_TOPICS - looked) {
            let question = QueryMemberRequest { topic_id: topic.topic_id, address: address.to_string() };
            let member: Result<QueryMemberResponse, _> = client.ask(path::MEMBER, &question);
            for part in member.iter().flat_map(|member| &member.parts) {
                window(topic, part, found);
            }
        }
        looked += page.len();
    }
}

fn window(topic: &QueryTopicResponse, part: &MemberPart, found: &mut Diagnosis) {
    let newest = match part.role.as_str() {
        "reputer" => topic.last_scored_block,
        _ => topic.last_combined_block,
    };
    // Epochs since it was last heard, as far as the distance of two questions tells.
    let length = topic.spec.as_ref().map_or(1, |spec| spec.epoch_length.max(1));
    let silent = newest.saturating_sub(part.last_block) / length;
    let all = part.heard + part.missed;
    let state = match part.missed * 100 <= all * MISSED_PERCENT && silent <= SILENT {
        true => State::Ok,
        false => State::Warning,
    };
    let mut said = format!(
        "topic {} as {}: heard in {} of {all} epochs, newest in block {}",
        topic.topic_id, part.role, part.heard, part.last_block
    );
    if silent > SILENT {
        said.push_str(&format!(", silent in the last {silent}"));
    }
    let remedy = "is its process running, and fast enough? `dodona explain worker|reputer` says why an epoch did not count";
    found.add("windows", state, said, remedy);
}

fn home(home: &Path, found: &mut Diagnosis) {
    if !home.is_dir() {
        let said = format!("there is no folder {}", home.display());
        found.add("home", State::Bad, said, "`dodona init --home` makes one");
        return;
    }
    if let Err(error) = NodeFile::read(home) {
        found.add(
            "settings",
            State::Bad,
            error.to_string(),
            "mend the line, or remove it to take the default",
        );
    } else {
        found.add("settings", State::Ok, "config.toml is understood", "");
    }
    if !home.join("genesis.json").is_file() {
        let remedy = "copy the chain's genesis.json into the home";
        found.add("genesis", State::Bad, format!("no genesis.json in {}", home.display()), remedy);
    }
    for name in [keys::VALIDATOR_KEY, keys::NETWORK_KEY] {
        match keys::read_key(&home.join(name)) {
            Ok(_) => found.add("node key", State::Ok, format!("{name} is there, for its owner only"), ""),
            Err(error) => found.add(
                "node key",
                State::Bad,
                error.to_string(),
                "`dodona init --home` makes those that are missing",
            ),
        }
    }
}

fn ports(home: &Path, runs: bool, found: &mut Diagnosis) {
    let Ok(mut file) = NodeFile::read(home) else { return };
    let taken: Vec<String> = file
        .listens()
        .iter()
        .filter(|address| TcpListener::bind(***address).is_err())
        .map(|address| address.to_string())
        .collect();
    let (state, said) = match (taken.is_empty(), runs) {
        (true, true) => (State::Ok, "a node answers; the ports of this home are free".to_string()),
        (true, false) => (State::Ok, "free".to_string()),
        (false, true) => {
            (State::Ok, format!("taken, as it should be while the node runs: {}", taken.join(", ")))
        }
        (false, false) => (State::Warning, format!("taken by another program: {}", taken.join(", "))),
    };
    found.add("ports", state, said, "end that program, or choose other ports in config.toml");
}

fn disk(path: &Path, found: &mut Diagnosis) {
    match rustix::fs::statvfs(path) {
        Err(error) => {
            found.add(
                "disk",
                State::Bad,
                format!("{}: {error}", path.display()),
                "is the path right, and mounted?",
            );
        }
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let state = match free {
                ..NO_DISK => State::Bad,
                NO_DISK..LOW_DISK => State::Warning,
                _ => State::Ok,
            };
            let gib = free as f64 / f64::from(1 << 30);
            let remedy =
                "make room: a node that cannot write ends; keep_blocks in config.toml forgets old blocks";
            found.add("disk", state, format!("{gib:.1} GiB free at {}", path.display()), remedy);
        }
    }
}

fn key_store(dir: Option<&Path>, found: &mut Diagnosis) {
    let Ok(store) = store(dir) else { return };
    let Ok(meta) = fs::metadata(store.dir()) else { return }; // no folder, no keys: nothing to look at
    let mode = meta.permissions().mode() & 0o777;
    let names = store.names().unwrap_or_default();
    let wrong = names.iter().find_map(|name| store.card(name).err());
    let said = match &wrong {
        Some(error) => error.to_string(),
        None => format!("{} in {} (mode {mode:o})", names.len(), store.dir().display()),
    };
    let state = if wrong.is_some() || mode & 0o077 != 0 { State::Bad } else { State::Ok };
    found.add(
        "keys",
        state,
        said,
        "the folder wants mode 700, its files 600; a damaged file comes back from a copy or the words",
    );
}
