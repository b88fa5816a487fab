//! How tests run the program: as a user would, and beside a demo or a network that ends with the test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The program with these arguments, and nothing that the environment of the tests would tell it.
pub fn dodona(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dodona"));
    for name in [
        "DODONA_LOG",
        "DODONA_LOG_FORMAT",
        "DODONA_NODE",
        "DODONA_HOME",
        "DODONA_KEY",
        "DODONA_KEYS",
        "DODONA_PASSPHRASE_FILE",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).args(args);
    command
}

/// Exit code, standard output, standard error.
pub fn text(output: &Output) -> (i32, String, String) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    (output.status.code().unwrap(), shown(&output.stdout), shown(&output.stderr))
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> (i32, String, String) {
    text(&dodona(args).output().unwrap())
}

/// Runs it to its end with this on standard input, which it need not read to the end.
pub fn fed(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child =
        dodona(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    text(&child.wait_with_output().unwrap())
}

/// Runs it, which must end with status 1 and say why.
pub fn refused(args: &[&str], why: &str) {
    let (code, out, err) = run(args);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains(why) && !err.contains("panicked"), "{err}");
}

/// A process that ends with its test, also when the test fails.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it, which must succeed; what it printed.
pub fn done(args: &[&str]) -> String {
    let (code, out, err) = run(args);
    assert_eq!(code, 0, "{args:?}: {out}{err}");
    out
}

/// A demo in its live part, which makes a block a second; ends with the test.
pub struct Demo {
    pub child: Child,
    pub node: String,
    /// Address of the page for monitors.
    pub metrics: String,
    _errors: BufReader<ChildStderr>,
}

impl Demo {
    pub fn start(further: &[&str]) -> Self {
        let ports = ["--rest-port", "--grpc-port", "--rpc-port", "--dashboard-port", "--metrics-port"];
        let ports: Vec<&str> = ports.into_iter().flat_map(|port| [port, "0"]).collect();
        let mut child = dodona(&[&["demo", "--replay", "30"], further, &ports[..]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let (mut node, mut metrics, mut line) = (String::new(), String::new(), String::new());
        // The first live line says that the replay is over.
        while !line.starts_with("epoch ") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "the demo ended");
            if let Some(rest) = line.strip_prefix("REST ") {
                node = rest.split("/topics").next().unwrap().to_string();
            }
            if let Some(rest) = line.strip_prefix("metrics ") {
                metrics = rest.trim_end().to_string();
            }
        }
        Self { child, node, metrics, _errors: errors }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A file's name in a folder, as text.
pub fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_string()
}

/// A localnet that ends with the test.
pub struct Localnet {
    pub child: Child,
    pub nodes: Vec<Value>,
}

impl Localnet {
    pub fn start(home: &str, further: &[&str]) -> Self {
        let mut child = dodona(&[&["localnet", "--home", home, "--output", "json"], further].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            let mut errors = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut errors);
            panic!("{e}: `{line}`; it said: {errors}")
        });
        // What it says from here on is read away, so that it never waits for a reader.
        let mut errors = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { child, nodes: told["nodes"].as_array().unwrap().clone() }
    }

    pub fn url(&self, n: usize, door: &str) -> String {
        format!("http://{}", self.nodes[n][door].as_str().unwrap())
    }

    pub fn status(&self, n: usize) -> Option<Value> {
        let (code, out, _) = run(&["status", "--node", &self.url(n, "rest"), "--output", "json"]);
        (code == 0).then(|| serde_json::from_str(&out).unwrap())
    }

    pub fn height(&self, n: usize) -> u64 {
        self.status(n).and_then(|s| s["height"].as_u64()).unwrap_or(0)
    }

    pub fn pids(&self) -> Vec<String> {
        self.nodes.iter().map(|n| n["pid"].to_string()).collect()
    }
}

impl Drop for Localnet {
    /// Asked to end, it ends its nodes first: nobody is left who holds their folders or ports.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Waits until it holds, at most so many seconds.
pub fn within(seconds: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(100));
    }
}
