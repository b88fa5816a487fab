//! The verifier: from the bytes of a proof and of a trust to a report of every step. It stops at the first step that
//! fails, and tells what it found only when none did.

use dodona_consensus::{BlockId, Hash32, Height, ValidatorSet, verify_certificate};
use serde::Serialize;

use crate::document::{Claim, FORMAT, LightBlock, Proof};
use crate::inference::Inference;
use crate::trust::Trust;

/// How far a block may be ahead of the verifier's clock.
pub const MAX_DRIFT_MS: u64 = 60_000;

/// What a verifier asks for besides signatures and hashes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The time, unix milliseconds. Without it neither the age of the trust nor that of the answer is checked.
    pub now_ms: Option<u64>,
    /// Oldest answer that will do, milliseconds.
    pub max_age_ms: Option<u64>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen; where it does not hold, why, and what to do.
    pub detail: String,
}

/// What came of a verification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether all steps hold. Otherwise everything below but the steps is empty.
    pub verified: bool,
    /// The steps taken; a failed one is the last.
    pub steps: Vec<Step>,
    /// What was proven.
    pub claim: Option<Claim>,
    /// The inference, if the state holds one; otherwise its absence is what was proven.
    pub inference: Option<Inference>,
    /// The chain.
    pub chain_id: Option<String>,
    /// Block after which the state is as proven.
    pub height: Option<u64>,
    /// Name of that block, hex.
    pub block_id: Option<String>,
    /// Time of that block, unix milliseconds.
    pub time_ms: Option<u64>,
    /// Age of that block, milliseconds; none without a clock.
    pub state_age_ms: Option<u64>,
    /// Age of the inference, or of the state that holds none, milliseconds; none without a clock.
    pub age_ms: Option<u64>,
}

/// Verifies a document against a trust.
pub fn verify(document: &[u8], trust: &[u8], policy: Policy) -> Report {
    let mut report = Report {
        verified: false,
        steps: Vec::new(),
        claim: None,
        inference: None,
        chain_id: None,
        height: None,
        block_id: None,
        time_ms: None,
        state_age_ms: None,
        age_ms: None,
    };
    let mut steps = Steps(Vec::new());
    let found = check(document, trust, policy, &mut steps);
    report.steps = steps.0;
    let Ok((proof, inference, state_age, age)) = found else { return report };
    let header = proof.block.header;
    Report {
        verified: true,
        claim: Some(proof.claim),
        inference,
        chain_id: Some(header.chain_id.clone()),
        height: Some(header.height.0),
        block_id: Some(header.id().to_string()),
        time_ms: Some(header.time_ms),
        state_age_ms: state_age,
        age_ms: age,
        ..report
    }
}

/// A step failed, and has been written down.
struct Failed;

struct Steps(Vec<Step>);

impl Steps {
    fn take<A>(
        &mut self,
        name: &'static str,
        outcome: Result<(A, String), impl ToString>,
    ) -> Result<A, Failed> {
        match outcome {
            Ok((found, detail)) => {
                self.0.push(Step { name, ok: true, detail });
                Ok(found)
            }
            Err(cause) => {
                self.0.push(Step { name, ok: false, detail: cause.to_string() });
                Err(Failed)
            }
        }
    }
}

type Found = (Proof, Option<Inference>, Option<u64>, Option<u64>);

fn check(document: &[u8], trust: &[u8], policy: Policy, steps: &mut Steps) -> Result<Found, Failed> {
    let read = Proof::from_json(document);
    let proof = steps.take("format", read.map(|p| (p, format!("{FORMAT}, {} bytes", document.len()))))?;
    let trust = Trust::from_json(trust).map_err(|e| e.to_string());
    let trust = steps.take("trust", trust.and_then(|t| fresh(&t, policy.now_ms).map(|told| (t, told))))?;
    let mut trusted = Trusted::from(&trust);
    steps.take("chain", same_chain(&proof, &trust.chain_id))?;

    for link in &proof.links {
        steps.take("link", decided(link))?;
        // A link below what is trusted is a help for somebody with an older trust.
        if link.header.height > trusted.height {
            steps.take("trusted", trusted.follow(link).map(|told| ((), told)))?;
        }
    }
    let header = &proof.block.header;
    steps.take("header", in_time(&proof.block, policy.now_ms))?;
    steps.take("signatures", decided(&proof.block))?;
    steps.take("trusted", trusted.follow(&proof.block).map(|told| ((), told)))?;

    steps.take("state", in_state(&proof))?;
    let inference = steps.take("value", value(&proof))?;

    let age = |since: u64| policy.now_ms.map(|now| now.saturating_sub(since));
    let state_age = age(header.time_ms);
    let answer_age = age(inference.as_ref().map_or(header.time_ms, |i| i.time_ms));
    steps.take("age", young(state_age, answer_age, inference.is_some(), policy.max_age_ms))?;
    Ok((proof, inference, state_age, answer_age))
}

/// The word for so many of them.
fn validators(count: usize) -> &'static str {
    if count == 1 { "validator" } else { "validators" }
}

/// Whether who signed for this trust can still be punished for signing another chain.
fn fresh(trust: &Trust, now_ms: Option<u64>) -> Result<String, String> {
    let whose = match trust.height {
        Height(0) => "genesis".to_string(),
        height => format!("block {height}"),
    };
    let members = trust.validators.validators().len();
    let what = format!("{whose}, {members} {}", validators(members));
    let Some(now) = now_ms else { return Ok(format!("{what}; its age is not checked: no clock")) };
    if trust.time_ms > now.saturating_add(MAX_DRIFT_MS) {
        let ahead = span(trust.time_ms - now);
        return Err(format!(
            "{what}: it is {ahead} ahead of this clock; set the clock, or verify without one"
        ));
    }
    let age = now.saturating_sub(trust.time_ms);
    if age > trust.period_ms() {
        return Err(format!(
            "{what}: it is {} old and was good for {}; export a new one from a node you believe; a chain whose time \
             is not the world's, as a demo's, is verified without a clock (`--no-clock`)",
            span(age),
            span(trust.period_ms())
        ));
    }
    Ok(format!("{what}, {} old, good for {}", span(age), span(trust.period_ms())))
}

fn same_chain(proof: &Proof, chain_id: &str) -> Result<((), String), String> {
    let mut blocks = proof.links.iter().chain([&proof.block]);
    match blocks.find(|block| block.header.chain_id != chain_id) {
        Some(other) => Err(format!("the proof is of `{}`, the trust of `{chain_id}`", other.header.chain_id)),
        None => Ok(((), chain_id.to_string())),
    }
}

/// The header, and whether it can exist by now.
fn in_time(block: &LightBlock, now_ms: Option<u64>) -> Result<((), String), String> {
    let header = &block.header;
    if let Some(now) = now_ms
        && header.time_ms > now.saturating_add(MAX_DRIFT_MS)
    {
        return Err(format!(
            "block {} is {} ahead of this clock; set the clock, or verify without one",
            header.height,
            span(header.time_ms - now)
        ));
    }
    Ok(((), format!("block {} is {}", header.height, header.id())))
}

/// Whether the block's own set decided it.
fn decided(block: &LightBlock) -> Result<((), String), String> {
    let (header, set) = (&block.header, &block.validators);
    verify_certificate(&header.chain_id, header, &block.certificate, set)
        .map_err(|e| format!("block {}: {e}", header.height))?;
    let (signers, all) = (block.certificate.signatures.len(), set.validators().len());
    let (power, total) = (block.power_of(set), set.total());
    Ok((
        (),
        format!(
            "block {}: {signers} of {all} {} signed, power {power} of {total}",
            header.height,
            validators(all)
        ),
    ))
}

/// What is believed so far: a block, and who decides after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Height of the block.
    pub height: Height,
    /// Its name; none for genesis.
    pub block_id: Option<BlockId>,
    /// Its time.
    pub time_ms: u64,
    /// A set that is believed.
    pub validators: ValidatorSet,
    /// Hash of the set that decides the next block.
    pub next_hash: Hash32,
}

impl From<&Trust> for Trusted {
    fn from(trust: &Trust) -> Self {
        Self {
            height: trust.height,
            block_id: trust.block_id,
            time_ms: trust.time_ms,
            validators: trust.validators.clone(),
            next_hash: trust.validators.hash(),
        }
    }
}

impl Trusted {
    /// Believes a block that its own set decided, or says why not. The certificate is the caller's business.
    ///
    /// # Errors
    /// In words: it contradicts what is believed, or too little of the believed power signed it.
    pub fn follow(&mut self, block: &LightBlock) -> Result<String, String> {
        let (header, id) = (&block.header, block.header.id());
        let height = header.height;
        let told = if height == self.height {
            if self.block_id != Some(id) {
                return Err(format!("block {height} is another block than the trusted one"));
            }
            format!("block {height} is the trusted block")
        } else if height == self.height.next() {
            if header.parent != self.block_id.unwrap_or_default() {
                return Err(format!("block {height} does not follow the trusted block"));
            }
            if header.validators_hash != self.next_hash {
                return Err(format!("block {height} was to be decided by another set"));
            }
            format!("block {height} follows the trusted one")
        } else {
            let (power, total) = (block.power_of(&self.validators), self.validators.total());
            if u128::from(power) * 3 <= u128::from(total) {
                return Err(format!(
                    "validators with {power} of the {total} trusted at height {} signed block {height}, not more \
                     than a third; ask for a proof with --trusted-height {}, or export a newer trust",
                    self.height, self.height
                ));
            }
            let share = u128::from(power) * 1000 / u128::from(total);
            format!(
                "{}.{} % of the power trusted at height {} signed block {height} (more than a third)",
                share / 10,
                share % 10,
                self.height
            )
        };
        let in_order = match height.cmp(&self.height) {
            std::cmp::Ordering::Less => header.time_ms < self.time_ms,
            std::cmp::Ordering::Equal => header.time_ms == self.time_ms,
            std::cmp::Ordering::Greater => header.time_ms > self.time_ms,
        };
        if !in_order {
            return Err(format!("the time of block {height} does not fit the trusted one's"));
        }
        *self = Self {
            height,
            block_id: Some(id),
            time_ms: header.time_ms,
            validators: block.validators.clone(),
            next_hash: header.next_validators_hash,
        };
        Ok(told)
    }
}

fn in_state(proof: &Proof) -> Result<((), String), String> {
    let header = &proof.block.header;
    let key = proof.claim.key();
    proof
        .path
        .verify(&header.app_hash, &key, proof.value.as_deref())
        .map_err(|e| format!("key {}: {e}", hex::encode(&key)))?;
    let (key, depth) = (hex::encode(key), proof.path.siblings.len());
    let what = if proof.value.is_some() { "has this value" } else { "has no value" };
    Ok(((), format!("key {key} {what} in the state after block {}, path of {depth}", header.height)))
}

fn value(proof: &Proof) -> Result<(Option<Inference>, String), String> {
    let height = proof.block.header.height;
    let Some(bytes) = &proof.value else {
        let told = match proof.claim {
            Claim::NewestInference { topic } => {
                format!("topic {topic} has no inference up to block {height}")
            }
            Claim::Inference { topic, nonce } => {
                format!(
                    "after block {height} the state holds no inference of topic {topic} with nonce {nonce}"
                )
            }
            Claim::NoTopic { topic } => format!("there is no topic {topic} up to block {height}"),
        };
        return Ok((None, told));
    };
    let (topic, nonce) = match proof.claim {
        Claim::NewestInference { topic } => (topic, None),
        Claim::Inference { topic, nonce } => (topic, Some(nonce)),
        Claim::NoTopic { topic } => return Err(format!("topic {topic} exists")),
    };
    let inference = Inference::decode(bytes)
        .ok_or("these are not the bytes of an inference; this verifier may be older than the chain")?;
    if inference.topic != topic || nonce.is_some_and(|nonce| nonce != inference.nonce) {
        return Err("the inference is of another topic or epoch".into());
    }
    let newest = if nonce.is_none() { "newest " } else { "" };
    let told = format!(
        "{newest}inference of topic {topic}, nonce {}, made in block {} by {} members",
        inference.nonce, inference.at, inference.members
    );
    Ok((Some(inference), told))
}

fn young(
    state: Option<u64>,
    answer: Option<u64>,
    present: bool,
    max: Option<u64>,
) -> Result<((), String), String> {
    let (Some(state), Some(answer)) = (state, answer) else {
        return match max {
            Some(_) => Err("the age is to be checked, and there is no clock".into()),
            None => Ok(((), "not checked: no clock".into())),
        };
    };
    let told = if present {
        format!("the inference is {} old, the state {}", span(answer), span(state))
    } else {
        format!("the state is {} old", span(state))
    };
    match max {
        Some(max) if answer > max => Err(format!("{told}; allowed are {}", span(max))),
        _ => Ok(((), told)),
    }
}

/// A length of time for people, rounded down.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
