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
    /// Write, check, create, fund, change and look at topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Why somebody earned what it earned, with every input of the formula
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Take data out of a node
    #[command(subcommand)]
    Export(ExportCommand),
    /// Compute an exported epoch again and compare every digit with the chain's
    Recompute(RecomputeArgs),
    /// One formula: JSON on standard input, JSON on standard output
    Mechanism {
        /// combine, network-losses, regrets, reputer-consensus, scores, reward-split, emission or sortition
        name: String,
    },
}

/// Which node to ask.
#[derive(Args)]
pub struct NodeArgs {
    /// REST address of a node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:1317", env = "DODONA_NODE")]
    pub node: String,
}

/// Which node, and who signs.
#[derive(Args)]
pub struct SignArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// A file with the 64 hex digits of a key, or demo:NAME (demo:NAME:SEED) for a participant of a demo
    #[arg(long, value_name = "KEY", env = "DODONA_KEY", hide_env_values = true)]
    pub key: String,
}

#[derive(Subcommand)]
pub enum TopicCommand {
    /// Check a topic.toml: what the chain would refuse, what it costs, what wakes it, when its funding runs dry
    Lint {
        /// The description
        file: PathBuf,
        /// Check against the parameters of this node's chain [default: the built-in ones]
        #[arg(long, value_name = "URL")]
        node: Option<String>,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Create a topic from a topic.toml
    Create {
        /// The description
        file: PathBuf,
        /// Fund it at once, in ALLO
        #[arg(long, value_name = "ALLO")]
        fund: Option<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Pay for a topic's answers
    Fund {
        /// The topic's number
        id: u64,
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Change what may change of your own topic; what is not named stays
    Update {
        /// The topic's number
        id: u64,
        /// Such as metadata=text, alpha_regret=0.2 or labels=up,down; may be repeated
        #[arg(long, value_name = "NAME=VALUE", required = true)]
        set: Vec<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show a topic: whether it asks, what it weighs, what it pays
    Show {
        /// The topic's number
        id: u64,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// What an explanation is about.
#[derive(Args)]
pub struct ExplainArgs {
    /// The topic's number
    #[arg(long)]
    pub topic: u64,
    /// The epoch's nonce [default: the newest scored epoch]
    #[arg(long, value_name = "NONCE")]
    pub epoch: Option<u64>,
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum ExplainCommand {
    /// A worker: its answer, weight, losses, score, pay, and what it missed
    Worker {
        /// Address, or name on the topic's leaderboard
        who: String,
        #[command(flatten)]
        common: ExplainArgs,
    },
    /// A reputer: its report, stake, score and pay
    Reputer {
        /// Address, or name on the topic's leaderboard
        who: String,
        #[command(flatten)]
        common: ExplainArgs,
    },
    /// The topic's side of an epoch: truth, losses, what was paid to whom
    Topic {
        #[command(flatten)]
        common: ExplainArgs,
    },
}

#[derive(Subcommand)]
pub enum ExportCommand {
    /// Everything one epoch was computed from, for `dodona recompute`
    Epoch {
        /// The topic's number
        #[arg(long)]
        topic: u64,
        /// The epoch's nonce [default: the newest scored epoch]
        #[arg(long, value_name = "NONCE")]
        epoch: Option<u64>,
        /// File to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        node: NodeArgs,
    },
}

#[derive(Args)]
pub struct RecomputeArgs {
    /// A file made by `dodona export epoch`, or - for standard input
    pub file: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
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
    /// Port of gRPC, likewise
    #[arg(long, default_value_t = 9090)]
    pub grpc_port: u16,
    /// Port of the RPC and its websocket, likewise
    #[arg(long, default_value_t = 26657)]
    pub rpc_port: u16,
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
