//! The way to a node over its REST door: questions as bytes in base64, transactions likewise. Blocking, because a
//! command asks one thing after the other.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dodona_proto::tx::{TxHash, hash};
use serde::Deserialize;
use serde_json::json;
use ureq::tls::{RootCerts, TlsConfig};

use crate::{ClientError, Transport};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer, bytes: an epoch of ten thousand members fits.
const MAX_ANSWER: u64 = 256 << 20;

/// What asks over HTTP and HTTPS, waits so long for a whole answer, and takes any status for one. It trusts the
/// certificates that the system trusts.
pub fn agent(timeout: Duration) -> ureq::Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
    config.tls_config(tls).build().into()
}

/// A node's REST door.
#[derive(Clone, Debug)]
pub struct Http {
    base: String,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

#[derive(Deserialize)]
struct Problem {
    error: String,
    #[serde(default)]
    codespace: String,
    #[serde(default)]
    code: u32,
}

impl Http {
    /// A door such as `http://127.0.0.1:1317`; without a scheme it is taken for `http`.
    pub fn new(base: &str) -> Self {
        let base = base.trim_end_matches('/');
        let base = if base.contains("://") { base.to_string() } else { format!("http://{base}") };
        Self { base, agent: agent(TIMEOUT) }
    }

    /// A page that answers in JSON, such as `/dodona/v1/blocks/7`. Good for other doors of a node too.
    ///
    /// # Errors
    /// [`ClientError`]: what the node says, or that it says nothing.
    pub fn page(&self, page: &str) -> Result<serde_json::Value, ClientError> {
        let (status, body) = self.answer(page, self.agent.get(format!("{}{page}", self.base)).call())?;
        if status != 200 {
            return Err(problem(status, &body));
        }
        serde_json::from_slice(&body).map_err(|e| ClientError::Node(format!("the answer is not JSON: {e}")))
    }

    /// A page of text, such as `/metrics` at the door for monitors.
    ///
    /// # Errors
    /// [`ClientError`]: what the node says, or that it says nothing.
    pub fn text(&self, page: &str) -> Result<String, ClientError> {
        let (status, body) = self.answer(page, self.agent.get(format!("{}{page}", self.base)).call())?;
        if status != 200 {
            return Err(problem(status, &body));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What a transaction would use in the next block, in units of gas; nothing is sent.
    ///
    /// # Errors
    /// [`ClientError`]: why it would not do what it asks for, or that the node does not say.
    pub fn simulate(&self, tx: &[u8]) -> Result<u64, ClientError> {
        let body = json!({ "tx_bytes": STANDARD.encode(tx) });
        let (_, body) = self.post("/cosmos/tx/v1beta1/simulate", body)?;
        let answer: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|e| ClientError::Node(format!("the answer is not JSON: {e}")))?;
        let used = answer["gas_info"]["gas_used"].as_str().and_then(|text| text.parse().ok());
        let told =
            || answer["message"].as_str().unwrap_or("the node does not say what it would use").to_string();
        used.ok_or_else(|| ClientError::Node(told()))
    }

    fn post(&self, page: &str, body: serde_json::Value) -> Result<(u16, Vec<u8>), ClientError> {
        let request =
            self.agent.post(format!("{}{page}", self.base)).header("content-type", "application/json");
        self.answer(page, request.send(body.to_string().as_bytes()))
    }

    fn answer(
        &self,
        page: &str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Vec<u8>), ClientError> {
        let unreachable = |e: ureq::Error| {
            ClientError::Node(format!(
                "cannot reach {}{page}: {e}; is a node running, and is this its address?",
                self.base
            ))
        };
        let mut response = response.map_err(unreachable)?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(unreachable)?;
        Ok((response.status().as_u16(), body))
    }
}

fn problem(status: u16, body: &[u8]) -> ClientError {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return ClientError::Node(format!("status {status} without a reason: is this a Dodona node?"));
    };
    match status {
        404 => ClientError::NotFound(problem.error.trim_start_matches("not found: ").to_string()),
        422 => ClientError::Refused { codespace: problem.codespace, code: problem.code, log: problem.error },
        _ => ClientError::Node(problem.error),
    }
}

impl Transport for Http {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (status, body) =
            self.post("/query", json!({ "path": path, "request": STANDARD.encode(request) }))?;
        if status != 200 {
            return Err(problem(status, &body));
        }
        let broken = |e: String| ClientError::Node(format!("the answer is not what was asked: {e}"));
        let answer: Value = serde_json::from_slice(&body).map_err(|e| broken(e.to_string()))?;
        STANDARD.decode(&answer.value).map_err(|e| broken(e.to_string()))
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        let (status, body) = self.post("/txs", json!({ "tx_bytes": STANDARD.encode(tx) }))?;
        if status != 202 {
            return Err(problem(status, &body));
        }
        Ok(hash(tx))
    }
}
