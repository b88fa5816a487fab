//! A model in a process of its own: questions on its standard input, answers on its standard output, its logs on
//! standard error. It is started when it is first asked, killed when it does not answer, and started again after a
//! rest that doubles with each failure.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Adapter, AdapterError, Answer, Callee, Context, Limits, MAX_ANSWER, wire};
use crate::series::Point;

/// First rest after a failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(250);
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Rests up to this length are waited out within a question.
const SHORT_REST: Duration = Duration::from_secs(1);
/// How long a process may take to end by itself when it is no longer needed.
const GRACE: Duration = Duration::from_millis(500);
/// Newest lines of its log that an error shows.
const TAIL: usize = 8;
/// Longest line of a log, in bytes; the rest is cut.
const MAX_LOG_LINE: u64 = 4_096;
/// Answers that may wait to be read.
const WAITING: usize = 16;

/// The helper package, so that a model runs without anything installed.
const PACKAGE: [(&str, &str); 2] = [
    ("__init__.py", include_str!("../../../../packages/python/dodona/__init__.py")),
    ("runner.py", include_str!("../../../../packages/python/dodona/runner.py")),
];

/// Any program that speaks the protocol.
pub struct Process {
    name: String,
    program: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    limits: Limits,
    running: Option<Running>,
    failures: u32,
    /// The newest of them.
    cause: String,
    rest_until: Option<Instant>,
}

/// One life of the process.
struct Running {
    child: Child,
    questions: Option<SyncSender<String>>,
    answers: Receiver<Result<Vec<u8>, AdapterError>>,
    log_end: Receiver<()>,
    tail: Arc<Mutex<VecDeque<String>>>,
    asked: u64,
    /// What it was told of the history: how much, and the last of it.
    told: (usize, Option<Point>),
}

impl Process {
    /// A program with arguments; nothing is started yet.
    pub fn new(program: &str, arguments: Vec<String>, limits: Limits) -> Self {
        let name =
            Path::new(program).file_name().map_or(program.into(), |n| n.to_string_lossy().into_owned());
        Self {
            name,
            program: program.to_string(),
            arguments,
            variables: Vec::new(),
            limits,
            running: None,
            failures: 0,
            cause: String::new(),
            rest_until: None,
        }
    }

    fn start(&self) -> Result<Running, AdapterError> {
        // The shell sets the limit and becomes the program; a lower limit that is there already stays.
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "ulimit -v \"$1\"; shift; exec \"$@\"",
                // What the shell calls itself when it complains.
                "model",
                &(self.limits.memory >> 10).to_string(),
                &self.program,
            ])
            .args(&self.arguments)
            .process_group(0) // so that all it starts ends with it, and Ctrl-C is ours to handle
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Keys and passphrases are none of a model's business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DODONA_"))
        {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let failed = |cause| AdapterError::Start { program: self.program.clone(), cause };
        let mut child = command.spawn().map_err(failed)?;
        let gone = || failed(std::io::ErrorKind::BrokenPipe.into());
        let (stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => return Err(gone()),
        };
        let (questions, inbox) = sync_channel::<String>(1);
        let (outbox, answers) = sync_channel(WAITING);
        let (log_open, log_end) = sync_channel::<()>(0);
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        thread::spawn(move || write_questions(stdin, &inbox));
        thread::spawn(move || read_answers(stdout, &outbox));
        let (lines, log) = (tail.clone(), self.limits.log.clone());
        thread::spawn(move || {
            let _open = log_open; // dropped at the end, which wakes whoever waits
            read_log(stderr, |line| {
                log(line);
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_back(line.to_string());
                if lines.len() > TAIL {
                    lines.pop_front();
                }
            });
        });
        Ok(Running { child, questions: Some(questions), answers, log_end, tail, asked: 0, told: (0, None) })
    }

    /// Rests after failures: short ones are waited out, long ones are an error.
    fn rest(&self) -> Result<(), AdapterError> {
        let left =
            self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if left > SHORT_REST {
            let (failures, cause) = (self.failures, self.cause.clone());
            return Err(AdapterError::Resting { failures, rest: left, cause });
        }
        thread::sleep(left);
        Ok(())
    }

    /// Puts one question to the process, which is started where needed, and reads the answer.
    fn put<A>(
        &mut self,
        question: impl FnOnce(&mut Running) -> String,
        read: impl Fn(u64, &[u8]) -> Result<Option<A>, AdapterError>,
    ) -> Result<A, AdapterError> {
        let mut limit = self.limits.timeout;
        let mut running = match self.running.take() {
            Some(running) => running,
            None => {
                self.rest()?;
                limit += self.limits.start;
                self.start()?
            }
        };
        match running.ask(question, read, limit) {
            // A model that says why it cannot answer is in good health.
            outcome @ (Ok(_) | Err(AdapterError::Model(_) | AdapterError::NotFinite(_))) => {
                self.running = Some(running);
                self.failures = 0;
                outcome
            }
            Err(error) => {
                let rest = FIRST_REST.saturating_mul(1 << self.failures.min(16)).min(LONGEST_REST);
                self.failures += 1;
                self.cause = error.to_string();
                self.rest_until = Some(Instant::now() + rest);
                Err(error)
            }
        }
    }
}

impl Adapter for Process {
    fn name(&self) -> &str {
        &self.name
    }

    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError> {
        let question = |running: &mut Running| {
            let news = running.news(context.history);
            wire::question(running.asked, context, news)
        };
        self.put(question, wire::answer)
    }
}

impl Callee for Process {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[serde_json::Value],
    ) -> Result<serde_json::Value, AdapterError> {
        self.put(|running| wire::call(running.asked, name, arguments), wire::returned)
    }
}

impl Running {
    fn ask<A>(
        &mut self,
        question: impl FnOnce(&mut Self) -> String,
        read: impl Fn(u64, &[u8]) -> Result<Option<A>, AdapterError>,
        limit: Duration,
    ) -> Result<A, AdapterError> {
        self.asked += 1;
        let question = question(self);
        let until = Instant::now() + limit;
        let written = self.questions.as_ref().is_some_and(|questions| questions.send(question).is_ok());
        if !written {
            return Err(self.ended());
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = match self.answers.recv_timeout(left) {
                Ok(line) => line?,
                Err(RecvTimeoutError::Timeout) => return Err(AdapterError::Timeout(limit)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            };
            if let Some(answer) = read(self.asked, &line)? {
                return Ok(answer);
            }
        }
    }

    /// From which observation on it has to be told: the first it was not told, or all of another history.
    fn news(&mut self, history: &[Point]) -> usize {
        let (told, last) = self.told;
        let continues = told > 0 && history.get(told - 1).is_some_and(|point| Some(*point) == last);
        self.told = (history.len(), history.last().copied());
        if continues { told } else { 0 }
    }

    /// It is gone: how, and its last words.
    fn ended(&mut self) -> AdapterError {
        self.stop();
        let _ = self.log_end.recv_timeout(GRACE); // the last words may still be on their way
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let lines = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = match lines.is_empty() {
            true => "; it said nothing".to_string(),
            false => {
                format!("; its last words:\n  {}", lines.iter().cloned().collect::<Vec<_>>().join("\n  "))
            }
        };
        AdapterError::Ended { status, tail }
    }

    /// Closes its input, gives it a moment, then ends it with all it started.
    fn stop(&mut self) {
        self.questions = None;
        let until = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL); // nobody left is fine
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_questions(mut stdin: impl Write, inbox: &Receiver<String>) {
    while let Ok(question) = inbox.recv() {
        // A process that does not read is found out by its silence.
        if writeln!(stdin, "{question}").and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_answers(stdout: impl Read, outbox: &SyncSender<Result<Vec<u8>, AdapterError>>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        match stdout.by_ref().take(MAX_ANSWER + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let too_long = line.len() as u64 > MAX_ANSWER;
        let said = if too_long { Err(AdapterError::TooLong { limit: MAX_ANSWER }) } else { Ok(line) };
        if outbox.send(said).is_err() || too_long {
            return;
        }
    }
}

fn read_log(stderr: impl Read, mut each: impl FnMut(&str)) {
    let mut stderr = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match stderr.by_ref().take(MAX_LOG_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Control characters of a model do not reach the user's terminal.
        let text: String =
            String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control() || *c == '\t').collect();
        each(text.trim_end());
    }
}

/// A Python file with `def predict(ctx)`, or with functions to be called, run by the user's interpreter with the helper package beside it.
pub struct Python {
    process: Process,
    _package: tempfile::TempDir,
}

impl Python {
    /// A file for an interpreter such as `python3` or the one of a virtual environment.
    ///
    /// # Errors
    /// [`AdapterError::Start`]: the file is not there, or no folder for the helper package can be made.
    pub fn new(python: &str, file: &Path, limits: Limits) -> Result<Self, AdapterError> {
        let shown = file.display().to_string();
        let failed = |cause| AdapterError::Start { program: shown.clone(), cause };
        let file = file.canonicalize().map_err(failed)?;
        let home = tempfile::Builder::new().prefix("dodona-python-").tempdir().map_err(failed)?;
        let package = home.path().join("dodona");
        std::fs::create_dir(&package).map_err(failed)?;
        for (name, text) in PACKAGE {
            std::fs::write(package.join(name), text).map_err(failed)?;
        }
        let mut path = home.path().display().to_string();
        if let Ok(before) = std::env::var("PYTHONPATH") {
            path = format!("{path}:{before}");
        }
        let arguments = vec!["-m".into(), "dodona.runner".into(), file.display().to_string()];
        let mut process = Process::new(python, arguments, limits);
        process.name = file.file_name().map_or(shown.clone(), |name| name.to_string_lossy().into_owned());
        process.variables = vec![("PYTHONPATH".into(), path), ("PYTHONUNBUFFERED".into(), "1".into())];
        Ok(Self { process, _package: home })
    }
}

impl Adapter for Python {
    fn name(&self) -> &str {
        self.process.name.as_str()
    }

    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError> {
        self.process.predict(context)
    }
}

impl Callee for Python {
    fn name(&self) -> &str {
        self.process.name.as_str()
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[serde_json::Value],
    ) -> Result<serde_json::Value, AdapterError> {
        self.process.call(name, arguments)
    }
}
