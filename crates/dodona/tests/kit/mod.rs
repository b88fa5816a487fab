//! How tests run the program: as a user would, and beside a demo or a network that ends with the test.
#![allow(dead_code)] // each test file uses a part

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStderr, Command, Output, Stdio},
};

/// The program with these arguments, and nothing that the environment of the tests would tell it.
pub fn dodona(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dodona"));
    for name in
        ["DODONA_LOG", "DODONA_NODE", "DODONA_HOME", "DODONA_KEY", "DODONA_KEYS", "DODONA_PASSPHRASE_FILE"]
    {
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
    _errors: BufReader<ChildStderr>,
}

impl Demo {
    pub fn start(further: &[&str]) -> Self {
        let ports = ["--rest-port", "0", "--grpc-port", "0", "--rpc-port", "0", "--dashboard-port", "0"];
        let mut child = dodona(&[&["demo", "--replay", "30"], further, &ports[..]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let (mut node, mut line) = (String::new(), String::new());
        // The first live line says that the replay is over.
        while !line.starts_with("epoch ") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "the demo ended");
            if let Some(rest) = line.strip_prefix("REST ") {
                node = rest.split("/topics").next().unwrap().to_string();
            }
        }
        Self { child, node, _errors: errors }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
