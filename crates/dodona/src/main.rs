//! The `dodona` program: parse, run, tell. Everything it does lives in the crates below.

mod cli;
mod cmd;
mod output;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A node takes transactions apart all day; the system's allocator took 15 % of its time under
/// load (docs/reliability.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // Silent unless asked: what a person should see is printed by the command itself.
    let filter = EnvFilter::try_from_env("DODONA_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        cli::LogFormat::Text => log.with_ansi(colours).init(),
        cli::LogFormat::Json => {
            cmd::run::tell_json();
            log.json().init();
        }
    }
    let outcome = match cli.command {
        cli::Command::Demo(args) => cmd::demo::run(args),
        cli::Command::Backtest(args) => cmd::backtest::run(args),
        cli::Command::Worker(command) => cmd::role::worker(command),
        cli::Command::Forecaster(command) => cmd::role::forecaster(command),
        cli::Command::Reputer(command) => cmd::role::reputer(command),
        cli::Command::Keys(command) => cmd::keys::run(command),
        cli::Command::Topic(command) => cmd::topic::run(command),
        cli::Command::Account(args) => cmd::tokens::account(args),
        cli::Command::Send(args) => cmd::tokens::send(args),
        cli::Command::Validator(command) => cmd::validator::run(command),
        cli::Command::Stake(command) => cmd::tokens::stake(command),
        cli::Command::Subnet(command) => cmd::subnet::run(command),
        cli::Command::Explain(command) => cmd::explain::run(command),
        cli::Command::Export(command) => cmd::epoch::export(command),
        cli::Command::Query(command) => cmd::query::run(command),
        cli::Command::Verify(args) => cmd::verify::run(args),
        cli::Command::Trust(command) => cmd::trust::run(command),
        cli::Command::Recompute(args) => cmd::epoch::recompute(args.file, args.output),
        cli::Command::Snapshot(command) => cmd::snapshot::run(command),
        cli::Command::Replay(args) => cmd::replay::run(args),
        cli::Command::Init(args) => cmd::init::run(args),
        cli::Command::Genesis(command) => cmd::genesis::run(command),
        cli::Command::Start(args) => match cmd::start::run(args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        cli::Command::Localnet(args) => cmd::localnet::run(args),
        cli::Command::Status(args) => cmd::status::status(args),
        cli::Command::Peers(args) => cmd::status::peers(args),
        cli::Command::Doctor(args) => cmd::doctor::run(args),
        cli::Command::Config(command) => cmd::config::run(command),
        cli::Command::Completions { shell } => cmd::shell::completions(shell),
        cli::Command::Man { out } => cmd::shell::man(out.as_deref()),
        cli::Command::Mechanism { name } => return cmd::mechanism::stdio(&name),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cmd::run::fail(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
