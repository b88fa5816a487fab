//! `dodona config show`: the settings a node would start with, and where each of them comes from.

use std::{collections::BTreeMap, env, fs};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dodona_node::config::{CONFIG_FILE, NodeFile};
use serde_json::{Value, json};

use super::start;
use crate::{
    cli::{Cli, Command, ConfigCommand, Output},
    output::print,
};

/// Which environment variable wins over which setting.
const VARIABLES: [(&str, &str); 9] = [
    ("moniker", "DODONA_MONIKER"),
    ("consensus.listen", "DODONA_LISTEN"),
    ("consensus.persistent", "DODONA_PERSISTENT"),
    ("consensus.block_time", "DODONA_BLOCK_TIME"),
    ("doors.rest", "DODONA_REST"),
    ("doors.grpc", "DODONA_GRPC"),
    ("doors.rpc", "DODONA_RPC"),
    ("doors.dashboard", "DODONA_DASHBOARD"),
    ("doors.metrics", "DODONA_METRICS"),
];

pub fn run(command: ConfigCommand) -> Result<()> {
    let ConfigCommand::Show { home, origin, output } = command;
    // Read as `dodona start` reads it, so that what is shown is what would be.
    let words = ["dodona".into(), "start".into(), "--home".into(), home.clone().into_os_string()];
    let Command::Start(args) = Cli::try_parse_from(words).context("the environment")?.command else {
        bail!("`start` was not understood as `start`"); // it always is: the words are above
    };
    let in_force = flat(&start::settings(&args)?)?;
    let path = home.join(CONFIG_FILE);
    let written: Value = match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).with_context(|| path.display().to_string())?,
        Err(_) => json!({}), // a home without the file has the defaults; one that cannot be read was told above
    };
    let mut in_file = BTreeMap::new();
    flatten("", &written, &mut in_file);
    let from = |name: &str| {
        let variable = VARIABLES.iter().find(|(setting, _)| *setting == name).map(|(_, variable)| *variable);
        match variable.filter(|variable| env::var_os(variable).is_some()) {
            Some(variable) => variable.to_string(),
            None if in_file.contains_key(name) => path.display().to_string(),
            None => "default".to_string(),
        }
    };
    print(&match output {
        Output::Json => {
            let shown = |(name, value): (&String, &Value)| match origin {
                true => (name.clone(), json!({ "value": value, "origin": from(name) })),
                false => (name.clone(), value.clone()),
            };
            let all: serde_json::Map<String, Value> = in_force.iter().map(shown).collect();
            serde_json::to_string(&all)? + "\n"
        }
        Output::Text => {
            let line = |(name, value): (&String, &Value)| match origin {
                true => format!("{name} = {value}  # {}\n", from(name)),
                false => format!("{name} = {value}\n"),
            };
            in_force.iter().map(line).collect()
        }
    })
}

fn flat(file: &NodeFile) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    flatten("", &serde_json::to_value(file)?, &mut all);
    Ok(all)
}

/// Settings of tables as `table.setting`.
fn flatten(above: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                flatten(&name, value, into);
            }
        }
        value => {
            into.insert(above.to_string(), value.clone());
        }
    }
}
