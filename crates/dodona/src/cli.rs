//! The tree of commands. The texts here are the manual: `--help` prints them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dodona_proto::topics;

/// Many models answer; the network learns whom to trust, pays for accuracy, and proves its answer.
#[derive(Parser)]
#[command(name = "dodona", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "Exit codes: 0 done, 1 it failed (the reason is on standard error), 2 the arguments are wrong.\n\
Set DODONA_LOG=info (or debug, or a tracing filter) to see what the node is doing.";

#[derive(Subcommand)]
pub enum Command {
    /// Start a chain with one validator and watch models, forecasters and reputers work on a real series
    Demo(DemoArgs),
    /// Replay a history through the same state machine, without consensus, as fast as it goes
    Backtest(BacktestArgs),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Weights are powers of mean losses: accurate, cheap, one lie moves little
    Power,
    /// Weights from regrets, as on networks of this kind today
    Regret,
    /// The middle answer
    Median,
    /// The average answer
    Mean,
}

/// A choice as it is written on the command line.
pub fn choice_name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

impl From<Rule> for topics::Rule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Power => Self::Power,
            Rule::Regret => Self::Regret,
            Rule::Median => Self::Median,
            Rule::Mean => Self::Mean,
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loss {
    Squared,
    Absolute,
}

impl From<Loss> for topics::Loss {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Squared => Self::Squared,
            Loss::Absolute => Self::Absolute,
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON object, for machines
    Json,
}

#[derive(Args)]
pub struct DemoArgs {
    /// electricity, sp500, temperature, or a CSV file with the columns timestamp,value
    #[arg(long, default_value = "electricity")]
    pub series: String,
    /// How the network combines its members
    #[arg(long, value_enum, default_value = "power")]
    pub rule: Rule,
    /// Stop after so many scored epochs [default: with --headless 1000, otherwise the end of the series]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: Option<u64>,
    /// Epochs replayed at full speed before the demo goes on at one epoch a second
    #[arg(long, default_value_t = 600)]
    pub replay: u64,
    /// Rows from the question to its answer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=999))]
    pub horizon: u64,
    /// Makes the participants' keys; same seed and arguments give the same state root
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// No screen: replay everything at full speed, print a summary, end
    #[arg(long)]
    pub headless: bool,
    /// What is printed at the end
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Keep the chain in this folder, and continue the one that is there
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Keep the temporary folder and name it at the end
    #[arg(long, conflicts_with = "home")]
    pub keep: bool,
    /// Port of the REST door on this machine; a taken one is replaced by a free one
    #[arg(long, default_value_t = 1317)]
    pub rest_port: u16,
}

#[derive(Args)]
pub struct BacktestArgs {
    /// A CSV file with the columns timestamp,value (or the name of a bundled series): built-in models predict it
    #[arg(long, value_name = "FILE.csv", required_unless_present = "predictions")]
    pub data: Option<String>,
    /// Predictions made elsewhere: columns timestamp, truth, then one per member; an empty cell did not report
    #[arg(long, value_name = "MATRIX.csv", conflicts_with = "data")]
    pub predictions: Option<PathBuf>,
    /// How the network combines its members
    #[arg(long, value_enum, default_value = "power")]
    pub rule: Rule,
    /// What a wrong answer costs
    #[arg(long, value_enum, default_value = "squared")]
    pub loss: Loss,
    /// Rows from the question to its answer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=999))]
    pub horizon: u64,
    /// What is printed at the end
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}
