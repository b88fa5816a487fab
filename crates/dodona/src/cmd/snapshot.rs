//! `dodona snapshot`: the state after a block in a file, made, listed and restored.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use dodona_node::{
    offline,
    snapshot::{self, Anchor, Head, Reader, Shelf},
};
use serde_json::{Value, json};

use super::now_ms;
use crate::{
    cli::{Output, SnapshotCommand},
    output::print,
};

pub fn run(command: SnapshotCommand) -> Result<()> {
    match command {
        SnapshotCommand::Create { home, height, out, output } => {
            let app = offline::app(&home)?;
            let height = height.unwrap_or(app.tip()?.height);
            let path = out.unwrap_or_else(|| Shelf::of_home(&home).path(height));
            if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            let head = snapshot::create(&app, height, &path)?;
            tell("created", &head, &path, fs::metadata(&path)?.len(), output)
        }
        SnapshotCommand::List { home, output } => list(&home, output),
        SnapshotCommand::Restore { home, file, trust, no_clock, output } => {
            let genesis = offline::genesis(&home)?;
            let document = fs::read(&trust).with_context(|| format!("cannot read {}", trust.display()))?;
            let anchor = Anchor::from_json(&document).with_context(|| trust.display().to_string())?;
            if anchor.chain_id != genesis.chain_id {
                bail!(
                    "{} speaks of chain `{}`, this home is of chain `{}`",
                    trust.display(),
                    anchor.chain_id,
                    genesis.chain_id
                );
            }
            let restored =
                snapshot::restore(&home, &genesis, &file, &anchor, if no_clock { 0 } else { now_ms() })?;
            tell("restored", &restored.head, &file, restored.bytes, output)
        }
    }
}

fn list(home: &Path, output: Output) -> Result<()> {
    let shelf = Shelf::of_home(home);
    let mut rows = Vec::new();
    for height in shelf.heights()? {
        let path = shelf.path(height);
        let row = match Reader::open(&path).and_then(|mut reader| Ok((reader.head()?, reader.bytes()))) {
            Ok((head, bytes)) => facts(&head, &path, bytes),
            Err(error) => json!({ "height": height, "file": path, "error": error.to_string() }),
        };
        rows.push(row);
    }
    if output == Output::Json {
        return print(&(json!({ "snapshots": rows }).to_string() + "\n"));
    }
    let mut out = String::new();
    for row in &rows {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), String::from);
        match row.get("error") {
            Some(_) => {
                out.push_str(&format!("block {:>10}  {}: {}\n", text("height"), text("file"), text("error")))
            }
            None => out.push_str(&format!(
                "block {:>10}  {:>12} bytes  {:>5} chunks  {}\n",
                text("height"),
                text("bytes"),
                text("chunks"),
                text("file")
            )),
        }
    }
    if rows.is_empty() {
        out = format!("no snapshots in {}\n", shelf.dir().display());
    }
    print(&out)
}

fn facts(head: &Head, path: &Path, bytes: u64) -> Value {
    json!({
        "height": head.header.height.0,
        "chain_id": head.header.chain_id,
        "time_ms": head.header.time_ms,
        "block_id": hex::encode(head.header.id().0),
        "state_root": hex::encode(head.header.app_hash),
        "chunks": head.manifest.pieces.len(),
        "bytes": bytes,
        "file": path,
    })
}

fn tell(what: &str, head: &Head, path: &Path, bytes: u64, output: Output) -> Result<()> {
    if output == Output::Json {
        return print(&(facts(head, path, bytes).to_string() + "\n"));
    }
    print(&format!(
        "{what}: block {} of {}\nstate root  {}\nblock       {}\nfile        {} ({bytes} bytes, {} chunks)\n",
        head.header.height,
        head.header.chain_id,
        hex::encode(head.header.app_hash),
        hex::encode(head.header.id().0),
        path.display(),
        head.manifest.pieces.len(),
    ))
}
