//! A model behind an HTTP endpoint: each question is posted as JSON, with the newest observations.

use std::time::Duration;

use dodona_client::agent;

use super::{Adapter, AdapterError, Answer, Context, HTTP_HISTORY, MAX_ANSWER, wire};

/// An endpoint that answers posted questions.
pub struct Endpoint {
    url: String,
    agent: ureq::Agent,
    asked: u64,
    timeout: Duration,
}

impl Endpoint {
    /// The endpoint at this address, which has so long to answer.
    pub fn new(url: &str, timeout: Duration) -> Self {
        Self { url: url.to_string(), agent: agent(timeout), asked: 0, timeout }
    }

    fn failure(&self, error: ureq::Error) -> AdapterError {
        match error {
            ureq::Error::Timeout(_) => AdapterError::Timeout(self.timeout),
            ureq::Error::BodyExceedsLimit(_) => AdapterError::TooLong { limit: MAX_ANSWER },
            other => AdapterError::Http(other.to_string()),
        }
    }
}

impl Adapter for Endpoint {
    fn name(&self) -> &str {
        &self.url
    }

    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError> {
        self.asked += 1;
        let question =
            wire::question(self.asked, context, context.history.len().saturating_sub(HTTP_HISTORY));
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let mut response = request.send(question.as_bytes()).map_err(|e| self.failure(e))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|e| self.failure(e))?;
        if !response.status().is_success() {
            let begin: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(AdapterError::Http(format!("status {}: {begin}", response.status().as_u16())));
        }
        wire::answer(self.asked, &body)?
            .ok_or_else(|| AdapterError::Http("it answers an older question".into()))
    }
}
