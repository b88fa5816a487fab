//! A validator's rounds: the miners are found on the chain and asked all at once, the subnet's own evaluator says what
//! each answer is worth, and what was said is smoothed over rounds and survives a kill. Miners are not trusted: they may
//! hang, answer nonsense or too much, lead elsewhere or stand in the validator's own network.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use dodona_client::{Client, ClientError, Transport, agent};
use dodona_proto::{
    Address, path,
    sign::AccountKey,
    subnets::{Neuron, QueryMetagraphRequest, QueryMetagraphResponse, Subnet},
};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ask::{Ask, MAX_REPLY, MAX_TASK, PATH, Place, header},
    miner::now_ms,
    weights::{Row, WeightsError, setting},
};
use crate::adapter::{AdapterError, Callee};

/// Miners that are asked at once.
const AT_ONCE: usize = 64;
/// Largest file of scores, bytes.
const MAX_STATE: u64 = 16 << 20;
/// Bytes of a wrong answer that are shown.
const SHOWN: usize = 120;

/// How a validator works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Subnet.
    pub netuid: u32,
    /// Incentive mechanism.
    pub mechanism: u32,
    /// For a miner's answer, everything included.
    pub timeout: Duration,
    /// Whether miners at private addresses are asked: such as those of a local network.
    pub private: bool,
    /// Part of the newest round in a miner's score, above 0 and at most 1.
    pub smoothing: f64,
    /// Version of the validator's software.
    pub version: u64,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum ValidatorError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("the evaluator, {call}: {cause}")]
    Evaluator { call: &'static str, cause: AdapterError },
    #[error("the evaluator, {call}: {cause}")]
    Nonsense { call: &'static str, cause: String },
    #[error("the scores in {path}: {cause}")]
    Scores { path: String, cause: io::Error },
}

/// What a round yielded about one miner.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Its uid.
    pub uid: u32,
    /// Its hotkey.
    pub hotkey: String,
    /// Why there is no answer; empty when there is one.
    pub error: String,
    /// Until it answered, milliseconds.
    pub ms: u64,
    /// What the evaluator says.
    pub score: f64,
    /// The same over rounds.
    pub smoothed: f64,
}

/// A round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Rounds of this validator, from 1 on.
    pub number: u64,
    /// All miners with an endpoint, by uid.
    pub miners: Vec<Asked>,
}

/// What is kept of a miner: a registration anew begins at nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Score {
    hotkey: String,
    registered: u64,
    score: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    chain: String,
    netuid: u32,
    rounds: u64,
    scores: Vec<Score>,
}

/// A validator of one subnet.
pub struct Validator {
    settings: Settings,
    evaluator: Box<dyn Callee>,
    agent: ureq::Agent,
    file: PathBuf,
    state: State,
    pub(super) reach: Reach,
}

/// Where to ask a miner that announces this address, or why not.
type Reach = fn(IpAddr, u32, bool) -> Result<String, String>;

impl Validator {
    /// A validator that keeps its scores in this folder and goes on with those that are there.
    ///
    /// # Errors
    /// [`ValidatorError`]: no node, or scores that cannot be read.
    pub fn open<T: Transport>(
        client: &Client<T>,
        settings: Settings,
        evaluator: Box<dyn Callee>,
        dir: &Path,
    ) -> Result<Self, ValidatorError> {
        let chain = client.status()?.chain_id;
        let file = dir.join("scores.json");
        let failed = |cause| ValidatorError::Scores { path: file.display().to_string(), cause };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut text = Vec::new();
        match File::open(&file) {
            Ok(open) => {
                open.take(MAX_STATE).read_to_end(&mut text).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut state = State { chain: chain.clone(), netuid: settings.netuid, ..State::default() };
        if !text.is_empty() {
            let known: State = serde_json::from_slice(&text).map_err(|e| failed(e.into()))?;
            if (known.chain.as_str(), known.netuid) != (chain.as_str(), settings.netuid) {
                let cause = format!(
                    "they are of subnet {} of {}: name another folder with --dir, or move the file away",
                    known.netuid, known.chain
                );
                return Err(failed(io::Error::other(cause)));
            }
            state = known;
        }
        let agent = agent(settings.timeout);
        Ok(Self { settings, evaluator, agent, file, state, reach: url })
    }

    /// Asks every miner the same, and hears the evaluator.
    ///
    /// # Errors
    /// [`ValidatorError`]: nothing has changed then.
    pub fn round<T: Transport>(
        &mut self,
        client: &Client<T>,
        key: &AccountKey,
    ) -> Result<Round, ValidatorError> {
        let (netuid, mechanism) = (self.settings.netuid, self.settings.mechanism);
        let request = QueryMetagraphRequest { netuid, mechanism, weights: false };
        let graph: QueryMetagraphResponse = client.ask(path::METAGRAPH, &request)?;
        let own = key.address().to_string();
        let miners: Vec<&Neuron> =
            graph.neurons.iter().filter(|n| n.axon.is_some() && n.hotkey != own).collect();
        let number = self.state.rounds + 1;
        let mut call = |name: &'static str, arguments: &[Value]| {
            let said = self.evaluator.call(name, arguments);
            said.map_err(|cause| ValidatorError::Evaluator { call: name, cause })
        };
        let task = call("task", &[json!(number)])?;
        let body = task.to_string().into_bytes();
        if body.len() > MAX_TASK {
            let cause = format!("a task of {} bytes: miners take {MAX_TASK}", body.len());
            return Err(ValidatorError::Nonsense { call: "task", cause });
        }
        let way = Way {
            agent: &self.agent,
            settings: &self.settings,
            chain: &self.state.chain,
            key,
            body: &body,
            reach: self.reach,
        };
        let heard = way.ask_all(&miners);
        let told: Vec<Value> = miners
            .iter()
            .zip(&heard)
            .map(|(miner, (outcome, ms))| {
                let (answer, error) = match outcome {
                    Ok(answer) => (answer.clone(), Value::Null),
                    Err(why) => (Value::Null, json!(why)),
                };
                json!({ "uid": miner.uid, "hotkey": miner.hotkey, "answer": answer, "error": error, "ms": ms })
            })
            .collect();
        let scores = match told.is_empty() {
            true => Vec::new(),
            false => scores(&call("score", &[task, Value::Array(told)])?, miners.len())?,
        };
        let mut round = Round { number, miners: Vec::new() };
        let mut kept = Vec::new();
        for ((miner, (outcome, ms)), score) in miners.iter().zip(heard).zip(scores) {
            // Whoever did not answer is worth nothing, whatever the evaluator thinks.
            let score = if outcome.is_ok() { score } else { 0.0 };
            let before = self
                .state
                .scores
                .iter()
                .find(|known| known.hotkey == miner.hotkey && known.registered == miner.registered);
            let old = before.map_or(0.0, |known| known.score);
            let smoothed = old + self.settings.smoothing * (score - old);
            kept.push(Score { hotkey: miner.hotkey.clone(), registered: miner.registered, score: smoothed });
            round.miners.push(Asked {
                uid: miner.uid,
                hotkey: miner.hotkey.clone(),
                error: outcome.err().unwrap_or_default(),
                ms,
                score,
                smoothed,
            });
        }
        // Whoever has no endpoint any more answers no questions: forgotten.
        self.state = State { rounds: number, scores: kept, ..self.state.clone() };
        self.save()?;
        Ok(round)
    }

    /// The weights that follow from all rounds, in parts of the largest; none while nobody is worth anything.
    ///
    /// # Errors
    /// [`ClientError`]: no node.
    pub fn weights<T: Transport>(&self, client: &Client<T>) -> Result<Option<Row>, ClientError> {
        let Settings { netuid, mechanism, version, .. } = self.settings;
        let request = QueryMetagraphRequest { netuid, mechanism, weights: false };
        let graph: QueryMetagraphResponse = client.ask(path::METAGRAPH, &request)?;
        let score = |neuron: &Neuron| {
            let known = self
                .state
                .scores
                .iter()
                .find(|known| known.hotkey == neuron.hotkey && known.registered == neuron.registered);
            known.map_or(0.0, |known| known.score)
        };
        let largest = graph.neurons.iter().map(score).fold(0.0, f64::max);
        if largest <= 0.0 {
            return Ok(None);
        }
        let mut row = Row { netuid, mechanism, uids: Vec::new(), values: Vec::new(), version };
        for neuron in &graph.neurons {
            let value = (score(neuron) / largest * f64::from(u16::MAX)).round() as u32;
            if value > 0 {
                row.uids.push(neuron.uid);
                row.values.push(value);
            }
        }
        Ok(Some(row))
    }

    fn save(&self) -> Result<(), ValidatorError> {
        let write = || -> io::Result<()> {
            let part = self.file.with_extension("part");
            let _ = fs::remove_file(&part); // left by a kill
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(&serde_json::to_vec_pretty(&self.state)?)?;
            file.sync_all()?;
            fs::rename(&part, &self.file)
        };
        write().map_err(|cause| ValidatorError::Scores { path: self.file.display().to_string(), cause })
    }
}

/// Whether a validator should bring weights now: once an epoch, in its second half, so that many rounds count; at once
/// when it has none. What it last brought is read from the chain.
///
/// # Errors
/// [`WeightsError::Setting`]: the node tells no such settings.
pub fn due(subnet: &Subnet, me: &Neuron, height: u64) -> Result<bool, WeightsError> {
    let number = |name| setting(subnet, name)?.parse::<u64>().map_err(|_| WeightsError::Setting(name));
    let (tempo, limit) = (number("tempo")?, number("weights_rate_limit")?);
    if me.last_update == 0 || me.last_update < me.registered {
        return Ok(true);
    }
    let fresh = me.last_update > subnet.last_epoch;
    let half = height >= subnet.last_epoch.saturating_add(tempo / 2);
    Ok(!fresh && half && height >= me.last_update.saturating_add(limit))
}

/// The evaluator's scores: a list, one finite number from 0 on for each miner.
fn scores(said: &Value, miners: usize) -> Result<Vec<f64>, ValidatorError> {
    let nonsense = |cause: String| ValidatorError::Nonsense { call: "score", cause };
    let list = said.as_array().ok_or_else(|| nonsense("return a list of numbers".into()))?;
    if list.len() != miners {
        return Err(nonsense(format!("{} numbers for {miners} miners: one for each, in order", list.len())));
    }
    let number = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
    list.iter()
        .map(|value| number(value).ok_or_else(|| nonsense(format!("{value} is no score: 0 or more"))))
        .collect()
}

type Heard = (Result<Value, String>, u64);

/// What all questions of a round share.
struct Way<'a> {
    agent: &'a ureq::Agent,
    settings: &'a Settings,
    chain: &'a str,
    key: &'a AccountKey,
    body: &'a [u8],
    reach: Reach,
}

impl Way<'_> {
    /// All miners, many at once; in their order.
    fn ask_all(&self, miners: &[&Neuron]) -> Vec<Heard> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut mine: Vec<(usize, Heard)> = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(miner) = miners.get(at) else { return mine };
                let started = Instant::now();
                let outcome = self.ask_one(miner);
                mine.push((at, (outcome, started.elapsed().as_millis() as u64)));
            }
        };
        let mut heard: BTreeMap<usize, Heard> = BTreeMap::new();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE.min(miners.len())).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                heard.extend(thread.join().unwrap_or_default());
            }
        });
        let lost = || (Err("the question was lost".to_string()), 0);
        (0..miners.len()).map(|at| heard.remove(&at).unwrap_or_else(lost)).collect()
    }

    fn ask_one(&self, miner: &Neuron) -> Result<Value, String> {
        let Self { agent, settings, chain, key, body, reach } = self;
        let axon = miner.axon.as_ref().ok_or("it announces no endpoint")?;
        let ip: IpAddr = axon.ip.parse().map_err(|_| "its address is none".to_string())?;
        let url = reach(ip, axon.port, settings.private)?;
        let miner: Address = miner.hotkey.parse().map_err(|_| "its hotkey is no address".to_string())?;
        let mut nonce = [0; 16];
        rand::rngs::OsRng.fill_bytes(&mut nonce);
        let place = Place { chain: chain.to_string(), netuid: settings.netuid, miner };
        let ask = Ask::sign(key, &place, now_ms(), nonce, body);
        // Where else it would lead is nobody's business; a proxy would see every task.
        let mut request = agent.post(&url).config().max_redirects(0).proxy(None).build();
        request = request.header("content-type", "application/json");
        for (name, value) in ask.headers() {
            request = request.header(name, value);
        }
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => format!("no answer within {:?}", settings.timeout),
            ureq::Error::BodyExceedsLimit(_) => format!("its answer is longer than {MAX_REPLY} bytes"),
            other => other.to_string(),
        };
        let mut response = request.send(*body).map_err(failed)?;
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
        };
        let (public, signature) = (text(header::KEY), text(header::SIGNATURE));
        let answer = response.body_mut().with_config().limit(MAX_REPLY).read_to_vec().map_err(failed)?;
        let begin = || -> String {
            String::from_utf8_lossy(&answer).chars().filter(|c| !c.is_control()).take(SHOWN).collect()
        };
        if response.status().as_u16() != 200 {
            return Err(format!("status {}: {}", response.status().as_u16(), begin()));
        }
        if !ask.answered_by(miner, &public, &signature, &answer) {
            return Err("the answer is not signed by its hotkey".into());
        }
        #[derive(Deserialize)]
        struct Reply {
            answer: Value,
        }
        let reply: Reply =
            serde_json::from_slice(&answer).map_err(|e| format!("no answer ({e}): {}", begin()))?;
        match reply.answer {
            Value::Null => Err("it has nothing to say".into()),
            answer => Ok(answer),
        }
    }
}

/// Where to ask, unless nobody should ask there.
fn url(ip: IpAddr, port: u32, private: bool) -> Result<String, String> {
    let ip = ip.to_canonical();
    let (never, inside) = match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let never = v4.is_loopback() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast();
            (never || a == 0, v4.is_private() || v4.is_link_local() || shared)
        }
        IpAddr::V6(v6) => (
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast(),
            v6.is_unique_local() || v6.is_unicast_link_local(),
        ),
    };
    if never {
        return Err(format!("{ip} is nobody else's address"));
    }
    if inside && !private {
        return Err(format!("{ip} is a private address: --private asks there too"));
    }
    match ip {
        IpAddr::V4(v4) => Ok(format!("http://{v4}:{port}{PATH}")),
        IpAddr::V6(v6) => Ok(format!("http://[{v6}]:{port}{PATH}")),
    }
}

#[cfg(test)]
mod tests {
    use dodona_proto::subnets::Setting;

    use super::*;

    #[test]
    fn nobody_is_led_into_ones_own_network() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            for private in [false, true] {
                assert!(url(text.parse().unwrap(), 80, private).is_err(), "{text}");
            }
        }
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(url(text.parse().unwrap(), 80, false).unwrap_err().contains("--private"), "{text}");
            assert!(url(text.parse().unwrap(), 80, true).is_ok(), "{text}");
        }
        assert_eq!(url("192.0.2.7".parse().unwrap(), 80, false).unwrap(), "http://192.0.2.7:80/v1/ask");
        assert_eq!(url("2001:db8::7".parse().unwrap(), 80, false).unwrap(), "http://[2001:db8::7]:80/v1/ask");
    }

    #[test]
    fn weights_are_due_once_an_epoch_in_its_second_half() {
        let set = |name: &str, value: &str| Setting { name: name.into(), value: value.into() };
        let hyperparameters = vec![set("tempo", "100"), set("weights_rate_limit", "60")];
        let subnet = Subnet { last_epoch: 1_000, hyperparameters, ..Subnet::default() };
        let me = |last_update| Neuron { last_update, registered: 500, ..Neuron::default() };
        for (last_update, height, is_due) in [
            (0, 1_001, true),
            (400, 1_001, true), // of an earlier registration
            (960, 1_049, false),
            (960, 1_050, true),
            (995, 1_050, false), // the rate limit
            (995, 1_055, true),
            (1_050, 1_099, false), // had its say
        ] {
            assert_eq!(due(&subnet, &me(last_update), height).unwrap(), is_due, "{last_update} {height}");
        }
        assert!(due(&Subnet::default(), &me(0), 1).is_err());
    }

    #[test]
    fn an_evaluator_gives_every_miner_one_finite_score() {
        assert_eq!(scores(&json!([0, 1.5]), 2).unwrap(), [0.0, 1.5]);
        for wrong in [json!({}), json!([1]), json!([1, -1]), json!([1, "2"]), json!([1, null])] {
            assert!(matches!(scores(&wrong, 2), Err(ValidatorError::Nonsense { .. })), "{wrong}");
        }
    }
}
