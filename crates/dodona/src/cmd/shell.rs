//! `dodona completions` and `dodona man`: the manual in the forms that shells and `man` know.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::{cli::Cli, output::print};

/// A script that completes commands.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dodona", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// The manual page, or one for every command in a folder.
pub fn man(out: Option<&Path>) -> Result<()> {
    let Some(dir) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(&String::from_utf8_lossy(&page));
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .with_context(|| format!("cannot write in {}", dir.display()))
}
