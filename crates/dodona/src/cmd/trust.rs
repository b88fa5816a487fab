//! `dodona trust export`: what a verifier of proofs starts from.

use std::fs;

use anyhow::{Context, Result};
use dodona_chain::Genesis;

use super::net;
use crate::{cli::TrustCommand, output::print};

pub fn run(command: TrustCommand) -> Result<()> {
    let TrustCommand::Export { height, genesis, node } = command;
    let document = match genesis {
        Some(path) => {
            let shown = path.display();
            let bytes = fs::read(&path).with_context(|| format!("cannot read {shown}"))?;
            let genesis =
                Genesis::from_json(&bytes).with_context(|| format!("{shown} is no genesis file"))?;
            dodona_node::genesis_trust(&genesis)?.to_json()
        }
        None => net::client(&node).trust(height.unwrap_or(0))?,
    };
    print(&document)
}
