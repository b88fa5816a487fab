//! Models that live elsewhere: a Python file, any program, an HTTP endpoint, an ONNX file, or one of the built-ins, all asked the
//! same question in the same way. What an adapter runs is not trusted: it may hang, end, print nonsense or eat memory,
//! and the caller gets an error that says which. The protocol is told in docs/adapters.md.

mod built_in;
mod http;
mod onnx;
mod process;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use built_in::BuiltIn;
pub use http::Endpoint;
pub use onnx::Onnx;
pub use process::{Process, Python};

use crate::series::Point;

/// Longest line or body a model may answer with, in bytes.
pub const MAX_ANSWER: u64 = 1 << 20;
/// Most labels of one answer.
pub const MAX_LABELS: usize = 1_000;
/// Newest observations an HTTP endpoint is sent; it keeps no memory between questions.
pub const HTTP_HISTORY: usize = 2_000;

/// One question: what is known when an epoch asks, and what it asks for.
#[derive(Copy, Clone, Debug)]
pub struct Context<'a> {
    /// The topic's number; 0 outside a chain.
    pub topic: u64,
    /// Consecutive number of the epoch.
    pub epoch: u64,
    /// Name of the epoch on the chain; 0 outside one.
    pub nonce: u64,
    /// What is asked for, in words.
    pub target: &'a str,
    /// Unit of the values; empty when unknown.
    pub unit: &'a str,
    /// Labels of a topic of several, in order; empty for a single number.
    pub labels: &'a [String],
    /// Steps from the last observation to the one asked for, at least 1.
    pub ahead: usize,
    /// What is known, oldest first. In a topic of labels a value is the index of the label that came true.
    pub history: &'a [Point],
}

/// What a model says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A finite number.
    Value(f64),
    /// A finite number for each label it has something to say about.
    Labels(Vec<(String, f64)>),
    /// Nothing this time, and why.
    Silent(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum AdapterError {
    #[error("cannot start `{program}`: {cause}; is it installed, and is the path right?")]
    Start { program: String, cause: std::io::Error },
    #[error("the model ended ({status}){tail}")]
    Ended { status: String, tail: String },
    #[error("no answer within {0:?}: answer faster, or allow more with --timeout")]
    Timeout(Duration),
    #[error("not a line of the protocol: {cause}; it began `{begin}`. Print logs to standard error")]
    Protocol { cause: String, begin: String },
    #[error("the answer is longer than {limit} bytes: say one number, or one per label")]
    TooLong { limit: u64 },
    #[error("the model failed: {0}")]
    Model(String),
    #[error("{0} is no finite number: look for a division by zero or missing data")]
    NotFinite(String),
    #[error("{cause}; it failed {failures} times in a row and is started again in {} s", rest.as_secs() + 1)]
    Resting { failures: u32, rest: Duration, cause: String },
    #[error("the endpoint: {0}")]
    Http(String),
    #[error("no built-in model is called `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
}

/// Something that can be asked. Asked in the order of the epochs, it may learn from one question to the next, but the
/// answer to a question must not depend on how often it is put.
pub trait Adapter: Send {
    /// What people call it: a file name, an address, a model's name.
    fn name(&self) -> &str;

    /// Puts one question and waits for the answer, at most as long as its limits say.
    ///
    /// # Errors
    /// [`AdapterError`]; asking again later is always allowed.
    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError>;
}

/// Something whose functions can be called by name, with values that have a JSON form: a subnet's miner or evaluator.
pub trait Callee: Send {
    /// What people call it.
    fn name(&self) -> &str;

    /// Calls a function and waits for what it returns, at most as long as its limits say.
    ///
    /// # Errors
    /// [`AdapterError`]; calling again later is always allowed.
    fn call(
        &mut self,
        name: &str,
        arguments: &[serde_json::Value],
    ) -> Result<serde_json::Value, AdapterError>;
}

/// The callee a text means: `FILE.py` (run by `python`), or a program that speaks the protocol.
///
/// # Errors
/// [`AdapterError::Start`]: a file that is not there.
pub fn callee(text: &str, python: &str, limits: Limits) -> Result<Box<dyn Callee>, AdapterError> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|end| end == "py") {
        return Ok(Box::new(Python::new(python, &path, limits)?));
    }
    Ok(Box::new(program(text, limits)?))
}

/// A program of one's own; one that is named by its path must be there.
fn program(text: &str, limits: Limits) -> Result<Process, AdapterError> {
    let missing = |cause| AdapterError::Start { program: text.to_string(), cause };
    if text.is_empty() {
        return Err(missing(std::io::ErrorKind::NotFound.into()));
    }
    if text.contains('/') {
        let found = std::fs::metadata(text).map_err(missing)?;
        if found.is_dir() {
            return Err(missing(std::io::ErrorKind::IsADirectory.into()));
        }
    }
    Ok(Process::new(text, Vec::new(), limits))
}

/// Where a model's own words go, a line at a time.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What a model may use.
#[derive(Clone)]
pub struct Limits {
    /// For one answer.
    pub timeout: Duration,
    /// Further time for the first answer after a start: large libraries load slowly.
    pub start: Duration,
    /// Address space of a process, in bytes.
    pub memory: u64,
    /// Who reads what the process prints to standard error.
    pub log: Log,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            start: Duration::from_secs(60),
            memory: 8 << 30,
            log: Arc::new(|_| {}),
        }
    }
}

/// The adapter a text means: `builtin:NAME`, `http://…` or `https://…`, `FILE.py` (run by `python`),
/// `FILE.onnx`, or a program.
///
/// `seasons` are those of the built-in models, in steps.
///
/// # Errors
/// [`AdapterError::Unknown`] and [`AdapterError::Start`]: a name that means nothing, a file that is not there.
pub fn open(
    text: &str,
    python: &str,
    seasons: (usize, usize),
    limits: Limits,
) -> Result<Box<dyn Adapter>, AdapterError> {
    if let Some(name) = text.strip_prefix("builtin:") {
        return Ok(Box::new(BuiltIn::new(name, seasons)?));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Box::new(Endpoint::new(text, limits.timeout)));
    }
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|end| end == "py") {
        return Ok(Box::new(Python::new(python, &path, limits)?));
    }
    if path.extension().is_some_and(|end| end == "onnx") {
        return Ok(Box::new(Onnx::new(&path)?));
    }
    Ok(Box::new(program(text, limits)?))
}

/// A finite number, or the error that names it.
fn finite(name: &str, value: f64) -> Result<f64, AdapterError> {
    if value.is_finite() { Ok(value) } else { Err(AdapterError::NotFinite(format!("{name} ({value})"))) }
}
