//! `dodona subnet new`: the files somebody begins a subnet with.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};

use crate::{cli::Example, cmd::run::tell};

/// Name, text.
type File = (&'static str, &'static str);

/// The same script runs every subnet that needs no topic.
const RUN: File = ("run.sh", include_str!("../../../../../examples/subnet/run.sh"));

const PLAIN: [File; 4] = [
    ("evaluator.py", include_str!("../../../../../examples/subnet/evaluator.py")),
    ("miner.py", include_str!("../../../../../examples/subnet/miner.py")),
    ("README.md", include_str!("../../../../../examples/subnet/README.md")),
    RUN,
];

const COMPRESSION: [File; 5] = [
    ("evaluator.py", include_str!("../../../../../examples/compression/evaluator.py")),
    ("miner.py", include_str!("../../../../../examples/compression/miner.py")),
    ("miner_plain.py", include_str!("../../../../../examples/compression/miner_plain.py")),
    ("README.md", include_str!("../../../../../examples/compression/README.md")),
    RUN,
];

const FORECAST: [File; 6] = [
    ("evaluator.py", include_str!("../../../../../examples/forecast/evaluator.py")),
    ("miner.py", include_str!("../../../../../examples/forecast/miner.py")),
    ("miner_plain.py", include_str!("../../../../../examples/forecast/miner_plain.py")),
    ("seller.py", include_str!("../../../../../examples/forecast/seller.py")),
    ("README.md", include_str!("../../../../../examples/forecast/README.md")),
    // It runs beside the demo, whose topic it is about.
    ("run.sh", include_str!("../../../../../examples/forecast/run.sh")),
];

pub fn run(dir: &Path, example: Option<Example>) -> Result<()> {
    let files: &[File] = match example {
        None => &PLAIN,
        Some(Example::Compression) => &COMPRESSION,
        Some(Example::Forecast) => &FORECAST,
    };
    let shown = dir.display();
    fs::create_dir(dir)
        .with_context(|| format!("cannot make {shown}: name a folder that is not there yet"))?;
    for (name, text) in files {
        let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(&format!("{shown} is there: `sh {shown}/run.sh` runs all of it, {shown}/README.md says what it is"));
    Ok(())
}
