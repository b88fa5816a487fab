//! What commands that run until somebody ends them share: the polite ways to be ended, and a voice for people and for
//! collectors of logs.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether lines are JSON objects.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on every line is a JSON object, shaped as those of the log.
pub fn tell_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// A line for people, on standard error; if nobody is left to read it, so be it.
pub fn tell(line: &str) {
    say("INFO", line);
}

/// The last line of a program that failed.
pub fn fail(reason: &str) {
    if JSON.load(Ordering::Relaxed) {
        say("ERROR", reason);
    } else {
        say("ERROR", &format!("error: {reason}"));
    }
}

fn say(level: &str, line: &str) {
    let mut out = std::io::stderr();
    let _ = if JSON.load(Ordering::Relaxed) {
        let at = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let said =
            json!({ "timestamp": at, "level": level, "fields": { "message": line }, "target": "dodona" });
        writeln!(out, "{said}")
    } else {
        writeln!(out, "{line}")
    };
}

/// The polite ways to end a program: Ctrl-C, kill, closing the terminal.
pub struct Ends([Signal; 3]);

impl Ends {
    /// From here on the signals do not end the program by themselves. Needs a runtime around it.
    pub fn watch() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [a, b, c] = kinds.map(signal);
        Ok(Self([a?, b?, c?]))
    }

    /// Resolves when somebody asks the program to end.
    pub async fn any(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}

/// A flag that the polite ways to end a program raise, for commands without a runtime.
pub fn raised() -> std::io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ends = runtime.block_on(async { Ends::watch() })?;
    std::thread::spawn(move || {
        runtime.block_on(ends.any());
        flag.store(true, Ordering::Relaxed);
    });
    Ok(ended)
}
