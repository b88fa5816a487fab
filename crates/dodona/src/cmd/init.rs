//! `dodona init`: a home for a node, with keys of its own and settings to edit. Nothing that is there is overwritten:
//! a key made twice is a key lost.

use anyhow::Result;
use dodona_node::{
    config::{CONFIG_FILE, Moniker, NodeFile},
    keys::{Keys, OPERATOR_KEY, write_private},
};
use rand::{RngCore, rngs::OsRng};
use serde_json::json;

use crate::{
    cli::{InitArgs, Output},
    output::print,
};

pub fn run(args: InitArgs) -> Result<()> {
    let config = args.home.join(CONFIG_FILE);
    let kept = config.exists();
    let mut file = NodeFile::read(&args.home)?;
    if let Some(name) = args.moniker {
        file.moniker = Moniker::try_from(name).map_err(anyhow::Error::msg)?;
    }
    let made = Keys::make(&args.home, || {
        let mut bytes = [0; 32];
        OsRng.fill_bytes(&mut bytes);
        bytes
    })?;
    if !kept {
        write_private(&config, file.to_toml().as_bytes())?;
    }
    let peer = made.peer();
    let public_key = hex::encode(made.validator.verifying_key().to_bytes());
    let operator = made.operator.address().to_string();
    let home = args.home.display();
    if args.output == Output::Json {
        let shown =
            json!({ "home": home.to_string(), "public_key": public_key, "peer": peer, "operator": operator });
        return print(&format!("{shown}\n"));
    }
    let names = format!(
        "home        {home}\nvalidator   {public_key}\npeer        {peer}\noperator    {operator}\n\n"
    );
    if kept {
        return print(&format!(
            "{names}{home} is a home already, kept as it is; the moniker is in {CONFIG_FILE}\n"
        ));
    }
    print(&format!(
        "{names}{CONFIG_FILE} holds the settings. {OPERATOR_KEY} is the operator's account: keep it elsewhere, the node does not\n\
         need it. Next: put the chain's genesis.json into the home and `dodona start --home {home}`; for a new chain,\n\
         `dodona genesis new` and `dodona genesis add-validator --home {home}`.\n"
    ))
}
