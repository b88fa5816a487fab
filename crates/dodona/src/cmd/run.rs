//! What commands that run until somebody ends them share: the polite ways to be ended, and a voice for people.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A line for people, on standard error; if nobody is left to read it, so be it.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
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
