//! The blocks of docs/quickstart.md, executed in order in an empty folder against a demo, so that none of them grows old.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use crate::kit::{Demo, text};

/// The text of every block marked `sh`.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(String::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_block_of_the_quick_starts_works() {
    let demo = Demo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_dodona")).parent().unwrap();
    let path = env::join_paths(
        std::iter::once(program.to_path_buf()).chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    let path = path.unwrap();
    let blocks = blocks(include_str!("../../../../docs/quickstart.md"));
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks {
        let output = Command::new("timeout")
            .args(["60", "bash", "-euo", "pipefail", "-c", &block])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("HOME", dir.path())
            .env("DODONA_NODE", &demo.node)
            .env_remove("DODONA_KEY")
            .env_remove("DODONA_KEYS")
            .env_remove("DODONA_PASSPHRASE_FILE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (code, out, err) = text(&output);
        assert_eq!(code, 0, "{block}\n{out}{err}");
        assert!(!err.contains("panicked"), "{block}\n{err}");
    }
}
