//! `dodona genesis`: how several strangers agree on the first state of a chain. One writes the document, each validator
//! signs a declaration with the key that will vote, one collects them, everybody compares one hash.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use dodona_chain::{Genesis, GenesisAccount, GenesisError, Params};
use dodona_consensus::SigningKey;
use dodona_node::{
    declaration::Declaration,
    keys::{VALIDATOR_KEY, read_key},
};
use dodona_proto::Address;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    cli::{GenesisCommand, Output},
    cmd::{
        net::{allo, amount},
        now_ms,
    },
    output::print,
};

/// Largest document that is read, bytes.
const MAX_BYTES: u64 = 64 << 20;

pub fn run(command: GenesisCommand) -> Result<()> {
    match command {
        GenesisCommand::New { chain_id, accounts, admins, dev, out } => {
            let mut listed = Vec::with_capacity(accounts.len());
            for text in &accounts {
                let (address, value) = text
                    .split_once('=')
                    .with_context(|| format!("`{text}` is no account: write ADDRESS=AMOUNT"))?;
                listed.push(GenesisAccount { address: address.to_string(), balance: amount(value)? });
            }
            let mut genesis = Genesis {
                chain_id,
                time_ms: now_ms(),
                params: Params::default(),
                accounts: listed,
                validators: Vec::new(),
                admins,
            };
            if dev {
                genesis.params = dodona_sim::world::dev_params();
            }
            match Genesis::from_json(genesis.to_json().as_bytes()) {
                // Validators come later; everything else is as it must be.
                Err(GenesisError::Field { field, .. }) if field == "validators" => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            refuse_existing(&out)?;
            fs::write(&out, genesis.to_json()).with_context(|| format!("cannot write {}", out.display()))?;
            print(&format!(
                "{} is a chain without validators. Each of them runs\n  dodona genesis add-validator --home HOME --genesis {} --operator ADDRESS --power ALLO\n\
                 and sends you the file; then `dodona genesis collect {} FILES…`.\n",
                out.display(),
                out.display(),
                out.display()
            ))
        }
        GenesisCommand::AddValidator { home, genesis, operator, power, moniker, out } => {
            let chain = read(&genesis)?;
            let key = SigningKey::from_bytes(&read_key(&home.join(VALIDATOR_KEY))?);
            let operator: Address =
                operator.parse().with_context(|| format!("`{operator}` is no address"))?;
            let made = Declaration::sign(&key, &chain.chain_id, power, operator, &moniker);
            let out = out.unwrap_or_else(|| format!("validator-{}.json", &made.public_key[..8]).into());
            refuse_existing(&out)?;
            fs::write(&out, serde_json::to_string_pretty(&made)?)
                .with_context(|| format!("cannot write {}", out.display()))?;
            print(&format!("{} declares {power} ALLO for validator {}\n", out.display(), made.public_key))
        }
        GenesisCommand::Collect { genesis: path, declarations } => {
            let mut genesis = read(&path)?;
            for file in &declarations {
                let made: Declaration = serde_json::from_slice(&bounded(file)?)
                    .with_context(|| format!("{} is no declaration", file.display()))?;
                made.join(&mut genesis).with_context(|| format!("{}", file.display()))?;
            }
            Genesis::from_json(genesis.to_json().as_bytes())?;
            let part = path.with_extension("part");
            fs::write(&part, genesis.to_json())
                .and_then(|()| fs::rename(&part, &path))
                .with_context(|| format!("cannot write {}", path.display()))?;
            print(&describe(&genesis))
        }
        GenesisCommand::Validate { file, output } => {
            let genesis = read(&file)?;
            Genesis::from_json(genesis.to_json().as_bytes())?;
            match output {
                Output::Text => print(&describe(&genesis)),
                Output::Json => print(&format!(
                    "{}\n",
                    json!({
                        "chain_id": genesis.chain_id, "hash": hash(&genesis), "validators": genesis.validators.len(),
                        "power": total_power(&genesis), "accounts": genesis.accounts.len(),
                    })
                )),
            }
        }
    }
}

fn read(path: &Path) -> Result<Genesis> {
    serde_json::from_slice(&bounded(path)?)
        .with_context(|| format!("{} is no genesis document", path.display()))
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > MAX_BYTES {
        bail!("{} has {size} bytes, the limit is {MAX_BYTES}", path.display());
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.exists() {
        bail!("{} exists already: name another file with --out, or move it away", path.display());
    }
    Ok(())
}

/// Name of the whole document: what operators compare over the phone.
pub fn hash(genesis: &Genesis) -> String {
    hex::encode(Sha256::digest(genesis.to_json().as_bytes()))
}

fn total_power(genesis: &Genesis) -> u64 {
    genesis.validators.iter().fold(0, |sum, v| sum.saturating_add(v.power))
}

fn describe(genesis: &Genesis) -> String {
    let total = total_power(genesis).max(1);
    let funded = genesis.accounts.iter().fold(0u128, |sum, a| sum.saturating_add(a.balance));
    let mut out = format!(
        "chain       {}\nhash        {}\naccounts    {} with {}\nadmins      {}\nvalidators  {}\n",
        genesis.chain_id,
        hash(genesis),
        genesis.accounts.len(),
        allo(funded),
        genesis.admins.len(),
        genesis.validators.len()
    );
    for v in &genesis.validators {
        let share = 100.0 * v.power as f64 / total as f64;
        out.push_str(&format!("  {}  {:>12} ALLO {share:>6.2} %  {}\n", v.public_key, v.power, v.operator));
    }
    let thirds = genesis.validators.iter().any(|v| v.power.saturating_mul(3) >= total);
    if genesis.validators.len() > 1 && thirds {
        out.push_str("note: one validator has a third of the power or more: without it no block is made\n");
    }
    out
}
