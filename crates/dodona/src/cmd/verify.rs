//! `dodona verify`: every step of a proof, without network.

use std::{
    fs,
    io::Read,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use dodona_light::{MAX_BYTES, Policy, Report, verify};

use super::query::values;
use crate::{
    cli::{Output, VerifyArgs},
    output::print,
};

pub fn run(args: VerifyArgs) -> Result<()> {
    let (document, trust) = (read(&args.file)?, read(&args.trust)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock is before 1970")?;
    let policy = Policy {
        now_ms: (!args.no_clock).then_some(now.as_millis() as u64),
        max_age_ms: args.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    };
    let report = verify(&document, &trust, policy);
    print(&match args.output {
        Output::Json => serde_json::to_string(&report)? + "\n",
        Output::Text => text(&report),
    })?;
    match report.steps.iter().find(|step| !step.ok) {
        Some(failed) => bail!("not verified: {}: {}", failed.name, failed.detail),
        None => Ok(()),
    }
}

/// A file, or standard input, as far as a document may be long and one byte more.
fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let done = match path == Path::new("-") {
        true => std::io::stdin().take(limit).read_to_end(&mut bytes),
        false => fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    done.with_context(|| format!("cannot read {shown}"))?;
    Ok(bytes)
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for step in &report.steps {
        let mark = if step.ok { '✓' } else { '✗' };
        out.push_str(&format!("{mark} {:<12}{}\n", step.name, step.detail));
    }
    if let Some(inference) = &report.inference {
        out.push_str(&values(inference));
    }
    out
}
