//! The tree of commands. The texts here are the manual: `--help` prints them.

mod tokens;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::TypedValueParser as _};
use dodona_proto::topics;

pub use tokens::{AccountArgs, SendArgs, StakeCommand, TopicStakeArgs, TxArgs, ValidatorCommand};

/// Many models answer; the network learns whom to trust, pays for accuracy, and proves its answer.
#[derive(Parser)]
#[command(name = "dodona", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// How lines on standard error are written: for people, or one JSON object each
    #[arg(
        long,
        value_enum,
        global = true,
        default_value = "text",
        env = "DODONA_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: LogFormat,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    // No manual of their own: a word each would make every other page of the manual long.
    Text,
    Json,
}

const AFTER: &str = "Exit codes: 0 done, 1 it failed (the reason is on standard error), 2 the arguments are wrong.\n\
A node ends with 75 when starting it again is the remedy, with 78 when something has to be mended first.\n\
Set DODONA_LOG=info (or debug, or a tracing filter) to see what the node is doing.";

#[derive(Subcommand)]
pub enum Command {
    /// Start a chain with one validator and watch models, forecasters and reputers work on a real series
    Demo(DemoArgs),
    /// Replay a history through the same state machine, without consensus, as fast as it goes; with a model of yours as
    /// one more member
    Backtest(BacktestArgs),
    /// Bring your own model to topics
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Say how wrong everybody will be, with a built-in forecaster
    #[command(subcommand)]
    Forecaster(ForecasterCommand),
    /// Say what happened, from a file, from the web, or by hand
    #[command(subcommand)]
    Reputer(ReputerCommand),
    /// Make, recover, show, hand over and remove account keys, encrypted on disk
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write, check, create, fund, change and look at topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// What an account has
    Account(AccountArgs),
    /// Give tokens to somebody
    Send(SendArgs),
    /// Look at validators, become one, stand behind one with stake
    #[command(subcommand)]
    Validator(ValidatorCommand),
    /// Stake at a topic: your own as a reputer, or behind another one
    #[command(subcommand)]
    Stake(StakeCommand),
    /// Look at, create and join subnets, trade their tokens, judge their miners
    #[command(subcommand)]
    Subnet(SubnetCommand),
    /// Why somebody earned what it earned, with every input of the formula
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Take data out of a node
    #[command(subcommand)]
    Export(ExportCommand),
    /// Ask a node, with a proof for those who do not believe it
    #[command(subcommand)]
    Query(QueryCommand),
    /// Check a proof against what you trust, without any network
    Verify(VerifyArgs),
    /// What a verifier starts from
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Compute an exported epoch again and compare every digit with the chain's
    Recompute(RecomputeArgs),
    /// The state after a block in one file, with everything that proves it
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Execute a stored chain again and compare every root; names the first difference
    Replay(ReplayArgs),
    /// Make a home for a node: keys of its own and settings to edit
    Init(InitArgs),
    /// Agree with others on the first state of a chain
    #[command(subcommand)]
    Genesis(GenesisCommand),
    /// Run one node of a chain until it is told to end
    Start(StartArgs),
    /// Run a whole network on this machine, every validator a process of its own
    Localnet(LocalnetArgs),
    /// How a node is: chain, newest block, what waits
    Status(StatusArgs),
    /// Which other nodes a node is connected to
    Peers(PeersArgs),
    /// Look for what keeps a node or a participant from working, with a way out for each; ends with 1 if something does
    Doctor(DoctorArgs),
    /// The settings of a node
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command
    Man {
        /// Folder for dodona.1, dodona-worker-run.1 and so on
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// One formula: JSON on standard input, JSON on standard output
    Mechanism {
        /// combine, network-losses, regrets, reputer-consensus, scores, reward-split, emission, sortition or subnet-epoch
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
    /// Name of a key of `dodona keys`, a file with 64 hex digits, or demo:NAME (demo:NAME:SEED) of a demo
    #[arg(long, value_name = "KEY", env = "DODONA_KEY", hide_env_values = true)]
    pub key: String,
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

/// Where encrypted keys are, and how their passphrase comes.
#[derive(Args)]
pub struct UnlockArgs {
    /// Folder of the encrypted keys [default: ~/.dodona/keys]
    #[arg(long, value_name = "DIR", env = "DODONA_KEYS")]
    pub keys: Option<PathBuf>,
    /// A file whose first line is the key's passphrase, - for standard input [default: asked on the terminal]
    #[arg(long, value_name = "FILE", env = "DODONA_PASSPHRASE_FILE", hide_env_values = true)]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum KeysCommand {
    /// Draw 24 new words and keep the key they lead to; the words are shown once, on a terminal only
    New {
        /// What you call it
        name: String,
        #[command(flatten)]
        unlock: UnlockArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Recover a key from the words of a mnemonic, as Keplr and other wallets show them
    #[command(visible_alias = "recover")]
    Add {
        /// What you call it
        name: String,
        /// A file with the words, - for a line of standard input (after the passphrase) [default: asked]
        #[arg(long, value_name = "FILE")]
        words_file: Option<PathBuf>,
        /// The account in m/44'/118'/ACCOUNT'/0/INDEX
        #[arg(long, default_value_t = 0)]
        account: u32,
        /// The index in m/44'/118'/ACCOUNT'/0/INDEX
        #[arg(long, default_value_t = 0)]
        index: u32,
        #[command(flatten)]
        unlock: UnlockArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// All keys: names and addresses
    List {
        /// Folder of the encrypted keys [default: ~/.dodona/keys]
        #[arg(long, value_name = "DIR", env = "DODONA_KEYS")]
        keys: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// One key: address and public key
    Show {
        /// What you call it
        name: String,
        /// Folder of the encrypted keys [default: ~/.dodona/keys]
        #[arg(long, value_name = "DIR", env = "DODONA_KEYS")]
        keys: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Hand out a key's private key in hex, or its words: whoever sees them owns the account
    #[command(group = clap::ArgGroup::new("target").required(true).args(["out", "reveal"]))]
    Export {
        /// What you call it
        name: String,
        /// The words instead of the private key
        #[arg(long)]
        words: bool,
        /// A new file that only you may read
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print it on standard output
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Take in a private key of 64 hex digits, as other wallets export it
    Import {
        /// What you call it
        name: String,
        /// A file with the digits, - for a line of standard input (after the passphrase) [default: asked]
        #[arg(long, value_name = "FILE")]
        hex_file: Option<PathBuf>,
        #[command(flatten)]
        unlock: UnlockArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Give a key another passphrase
    Passphrase {
        /// What you call it
        name: String,
        /// A file whose first line is the new passphrase, - for standard input (after the old one) [default: asked]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Remove a key for good: without its words or a copy, what it holds is lost
    Delete {
        /// What you call it
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Folder of the encrypted keys [default: ~/.dodona/keys]
        #[arg(long, value_name = "DIR", env = "DODONA_KEYS")]
        keys: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub enum WorkerCommand {
    /// Run a model at a topic (or many, from a file) until Ctrl-C: makes a key, registers, submits every epoch once
    Run(WorkerRunArgs),
}

#[derive(Subcommand)]
pub enum ForecasterCommand {
    /// Forecast everybody's losses at a topic until Ctrl-C: makes a key, registers, submits every epoch once
    Run(ForecasterRunArgs),
}

#[derive(Subcommand)]
pub enum ReputerCommand {
    /// Report what happened at a topic until Ctrl-C: makes a key, registers, stakes, reports every epoch once
    Run(Box<ReputerRunArgs>),
    /// Report one epoch by hand, after a question; the account must be a reputer of the topic
    Report(ReportArgs),
}

#[derive(Args)]
pub struct WorkerRunArgs {
    /// A Python file with `def predict(ctx)`, a program, an http:// endpoint, or builtin:NAME
    #[arg(required_unless_present = "config", requires = "topic", conflicts_with = "config")]
    pub model: Option<String>,
    /// The topic's number
    #[arg(long, conflicts_with = "config")]
    pub topic: Option<u64>,
    #[command(flatten)]
    pub role: RoleArgs,
}

#[derive(Args)]
pub struct ForecasterRunArgs {
    /// loss-ema (who was accurate lately), loss-by-phase (who is accurate at which time of day), a Python file with
    /// `def forecast(ctx)`, or a program by its path
    #[arg(required_unless_present = "config", requires = "topic", conflicts_with = "config")]
    pub forecaster: Option<String>,
    /// The topic's number
    #[arg(long, conflicts_with = "config")]
    pub topic: Option<u64>,
    #[command(flatten)]
    pub role: RoleArgs,
}

#[derive(Args)]
pub struct ReputerRunArgs {
    /// A CSV file, topic:N for what came true in another topic, or an http(s):// address with {epoch}, {nonce}, {time}
    /// where they belong; repeat it for several addresses that must agree
    #[arg(
        long,
        value_name = "SOURCE",
        required_unless_present = "config",
        requires = "topic",
        conflicts_with = "config"
    )]
    pub truth: Vec<String>,
    /// Where in an address's JSON the truth is, such as data.0.price; once for all, or once for each
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub path: Vec<String>,
    /// How many addresses must agree [default: more than half]
    #[arg(long, value_name = "K", conflicts_with = "config")]
    pub agree: Option<usize>,
    /// How far apart agreeing numbers may lie, as a part of the larger
    #[arg(long, value_name = "PART", default_value_t = 0.001, conflicts_with = "config")]
    pub tolerance: f64,
    /// From the question to the moment that is asked for [default: when truths begin to be accepted]
    #[arg(long, value_name = "TIME", conflicts_with = "config")]
    pub horizon: Option<humantime::Duration>,
    /// Stake up to this, in ALLO: a report counts by the stake behind it
    #[arg(long, value_name = "ALLO", conflicts_with = "config")]
    pub stake: Option<String>,
    /// Where reputers bring losses: which loss, such as squared or huber:0.5 [default: the topic's]
    #[arg(long, value_name = "LOSS", conflicts_with = "config")]
    pub loss: Option<String>,
    /// The topic's number
    #[arg(long, conflicts_with = "config")]
    pub topic: Option<u64>,
    #[command(flatten)]
    pub role: RoleArgs,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["value", "label"]))]
pub struct ReportArgs {
    /// The topic's number
    #[arg(long)]
    pub topic: u64,
    /// The epoch's consecutive number
    #[arg(long)]
    pub epoch: u64,
    /// What happened, a number
    #[arg(long, allow_negative_numbers = true)]
    pub value: Option<f64>,
    /// What happened, the label that came true
    #[arg(long)]
    pub label: Option<String>,
    /// Where reputers bring losses: which loss, such as squared or huber:0.5 [default: the topic's]
    #[arg(long, value_name = "LOSS")]
    pub loss: Option<String>,
    /// The raw answer it was read from, whose hash becomes the evidence; losses carry none
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub sign: SignArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// What all roles share.
#[derive(Args)]
pub struct RoleArgs {
    /// A TOML file with a `[[worker]]`, `[[forecaster]]` or `[[reputer]]` for each, see docs/roles.md
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name on leaderboards, at most 32 of A-Z a-z 0-9 . _ - [default: the model's or source's]
    #[arg(long, conflicts_with = "config")]
    pub name: Option<String>,
    /// Account that is paid, so that the key here only signs [default: the same]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    pub owner: Option<String>,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Name of a key of `dodona keys`, a file with 64 hex digits, or demo:NAME [default: a file ROLE.key in the
    /// folder, made when missing]
    #[arg(long, value_name = "KEY", env = "DODONA_KEY", hide_env_values = true)]
    pub key: Option<String>,
    #[command(flatten)]
    pub unlock: UnlockArgs,
    /// Where key, ledger and evidence are kept; one process at a time [default: dodona-ROLE]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The interpreter for Python files
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,
    /// Steps of a day and a week, for what is built in
    #[arg(long, value_name = "DAY,WEEK", default_value = "48,336", value_delimiter = ',', num_args = 1)]
    pub seasons: Vec<usize>,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: humantime::Duration,
    /// Address space of a model's process, MiB
    #[arg(long, value_name = "MIB", default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory: u64,
    /// End after so many submitted and ended epochs [default: at Ctrl-C]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: Option<u64>,
    /// Submit numbers although they look wrong: far from the recent truths, or always the same
    #[arg(long)]
    pub no_preflight: bool,
    /// Ask and check, but sign nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A page for Prometheus at this address, such as 127.0.0.1:26661 [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// How the summary at the end is printed
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Which of two rules is tried.
#[derive(Copy, Clone, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// With it
    On,
    /// Without
    Off,
    /// One after the other
    Both,
}

/// What a simulation sweeps.
#[derive(Args)]
pub struct SimulateArgs {
    /// nobody, copier, majority, minority, lazy, owner or sybils; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub adversary: Vec<String>,
    /// Epochs of a run
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub epochs: u32,
    /// Honest validators
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64).map(|n| n as usize))]
    pub validators: usize,
    /// Honest miners
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=192).map(|n| n as usize))]
    pub miners: usize,
    /// How far a miner's quality, a number from 0 to 1, walks in an epoch at most: the faster, the less a copy is worth
    #[arg(long, value_name = "PART", default_value_t = 0.1)]
    pub drift: f64,
    /// How far a validator is wrong about it at most
    #[arg(long, value_name = "PART", default_value_t = 0.05)]
    pub error: f64,
    /// Makes everything that is made up
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Part of the stake that must support a weight, several with commas
    #[arg(long, value_delimiter = ',', default_value = "0.3,0.5,0.7", num_args = 1)]
    pub kappa: Vec<f64>,
    /// Part of a bond that stays, several with commas
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.9,0.975", num_args = 1)]
    pub bonds_moving_average: Vec<f64>,
    /// Whether each bond has a speed of its own
    #[arg(long, value_enum, default_value = "both")]
    pub liquid_alpha: Switch,
    /// Whether weights are committed and revealed an epoch later
    #[arg(long, value_enum, default_value = "both")]
    pub commit_reveal: Switch,
    /// Also write a page with charts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Worked examples of subnets.
#[derive(Copy, Clone, ValueEnum)]
pub enum Example {
    /// Text compression, judged by size and losslessness
    Compression,
    /// Forecasts, judged by a topic's truth and sold to it
    Forecast,
}

/// What runs a Python file or program.
#[derive(Args)]
pub struct ProgramArgs {
    /// The interpreter for Python files
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,
    /// Longest wait for one call
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: humantime::Duration,
    /// Address space of the process, MiB
    #[arg(long, value_name = "MIB", default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory: u64,
}

/// What a miner runs with.
#[derive(Args)]
pub struct MineArgs {
    /// The subnet's number
    pub id: u32,
    /// A Python file with `def answer(task)`, or a program, see docs/subnets.md
    pub miner: String,
    /// Where it listens
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8091")]
    pub listen: SocketAddr,
    /// Where others reach it, as announced on the chain [default: this machine's address]
    #[arg(long, value_name = "IP[:PORT]")]
    pub announce: Option<String>,
    /// Requests a second that one validator gets answered; ten times as many at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rate: u32,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub sign: SignArgs,
    /// How the summary at the end is printed
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// What a validator of a subnet runs with.
#[derive(Args)]
pub struct ValidateArgs {
    /// The subnet's number
    pub id: u32,
    /// A Python file with `def task(number)` and `def score(task, answers)`, or a program, see docs/subnets.md
    pub evaluator: String,
    /// From one round to the next
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub every: humantime::Duration,
    /// Longest wait for a miner
    #[arg(long, value_name = "TIME", default_value = "12s")]
    pub miner_timeout: humantime::Duration,
    /// Also ask miners at private addresses, such as those of a local network
    #[arg(long)]
    pub private: bool,
    /// Part of the newest round in a miner's score, above 0, at most 1
    #[arg(long, value_name = "PART", default_value_t = 0.3)]
    pub smoothing: f64,
    /// Of which incentive mechanism, where the subnet has several
    #[arg(long, value_name = "M", default_value_t = 0)]
    pub mechanism: u32,
    /// Version of the validator's software
    #[arg(long, default_value_t = 0)]
    pub version: u64,
    /// End after so many rounds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// Ask and judge, but bring no weights
    #[arg(long)]
    pub dry_run: bool,
    /// Where scores are kept [default: dodona-validator-ID]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub sealed: SealedArgs,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub sign: SignArgs,
    /// How rounds are told: a line for each miner, or a JSON object for each round
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Where weights lie between commit and reveal.
#[derive(Args)]
pub struct SealedArgs {
    /// Folder of weights that are not revealed yet, with what reveals them [default: ~/.dodona/sealed]
    #[arg(long, value_name = "DIR")]
    pub sealed: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum SubnetCommand {
    /// All subnets, and what a new one costs
    List {
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// One subnet: pool, prices, epochs, hyperparameters, who would be dissolved next
    Show {
        /// The subnet's number
        id: u32,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Its neurons: stake, scores, pay, who is evicted next
    Metagraph {
        /// The subnet's number
        id: u32,
        /// With rows of weights and bonds
        #[arg(long)]
        weights: bool,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// What a holder has staked, subnet by subnet
    Holdings {
        /// The holder's address, or its key
        coldkey: String,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Create a subnet; what it costs lies in its pool and does not come back
    Create {
        /// Its name, at most 32 bytes
        name: String,
        /// The owner's hotkey, its address or key: it gets uid 0
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// Refuse to pay more than this [default: whatever it costs]
        #[arg(long, value_name = "ALLO")]
        max_cost: Option<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Open trade and emission of your own subnet
    Start {
        /// The subnet's number
        id: u32,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// A uid in a subnet for a hotkey of yours
    Register {
        /// The subnet's number
        id: u32,
        /// Its address, or the key of it
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// Refuse to pay more than this [default: whatever it costs]
        #[arg(long, value_name = "ALLO")]
        max_cost: Option<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Buy a subnet's token and stake it upon a hotkey, at the end of the block; of subnet 0: stake ALLO at the root
    Stake {
        /// The subnet's number
        id: u32,
        /// ALLO such as 12.5
        amount: String,
        /// Its address, or the key of it
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// Buy at this price or lower, ALLO for one of the subnet's tokens [default: any price]
        #[arg(long, value_name = "PRICE")]
        limit_price: Option<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// The way back; with --all out of every subnet at once
    Unstake {
        /// The subnet's number
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<u32>,
        /// Of the subnet's token, such as 12.5 [default: everything]
        amount: Option<String>,
        /// Its address, or the key of it
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// Sell at this price or higher, ALLO for one of the subnet's tokens [default: any price]
        #[arg(long, value_name = "PRICE", conflicts_with = "all")]
        limit_price: Option<String>,
        /// Everything upon the hotkey, in all subnets and at the root, at any price
        #[arg(long)]
        all: bool,
        /// Stake what is sold at the root instead of paying it out; what is staked there stays
        #[arg(long, requires = "all")]
        to_root: bool,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Stake to another hotkey or subnet
    Move {
        /// The subnet's number
        id: u32,
        /// Of the subnet's token, such as 12.5 [default: everything]
        amount: Option<String>,
        /// Its address, or the key of it
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// The subnet it goes to
        #[arg(long, value_name = "ID")]
        to: u32,
        /// The hotkey it goes to, its address or key
        #[arg(long, value_name = "HOTKEY")]
        to_hotkey: String,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// What your root stake has earned, paid: sold for more root stake, or kept as stake in its subnets
    Claim {
        /// In these subnets, at most 5 [default: in all]
        #[arg(value_name = "ID")]
        ids: Vec<u32>,
        /// The hotkey upon which the root stake is, its address or key
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// What becomes of what your root stake earns when it is paid, on request or by itself
    RootClaim {
        /// Sell it for root stake, as it is from the beginning, or keep it as stake where it comes from
        #[arg(value_enum)]
        kind: RootClaimKind,
        /// With sell: keep it in this subnet all the same; may be repeated
        #[arg(long, value_name = "ID")]
        keep_in: Vec<u32>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Promise not to take stake out of a subnet; it speaks for a hotkey when it is decided who owns an old subnet
    Lock {
        /// The subnet's number
        id: u32,
        /// Of the subnet's token, on top of what is locked, such as 12.5 [default: nothing more, only how it lasts]
        amount: Option<String>,
        /// The neuron's hotkey for which it speaks, its address or key
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// All of it stays locked; without this it falls, by two thirds in unlock_rate blocks
        #[arg(long)]
        perpetual: bool,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Let locked stake speak for another hotkey; of another owner, it convinces anew from nothing
    MoveLock {
        /// The subnet's number
        id: u32,
        /// The neuron's hotkey, its address or key
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// What somebody has locked, and for whom locked stake speaks in a subnet
    Locks {
        /// The subnet's number [default: all, of one holder]
        #[arg(required_unless_present = "of")]
        id: Option<u32>,
        /// The holder's address, or its key
        #[arg(long, value_name = "WHO")]
        of: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Publish a few bytes under your hotkey, such as the hash of a model, in place of what it had published
    Publish {
        /// The subnet's number
        id: u32,
        /// At most 3 texts of at most 128 bytes [default: publish nothing any more]
        #[arg(value_name = "TEXT")]
        fields: Vec<String>,
        /// The texts are bytes in hex
        #[arg(long)]
        hex: bool,
        /// Ask that all bonds towards this neuron are forgotten, where the subnet allows it
        #[arg(long)]
        reset_bonds: bool,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// What your subnet, or a hotkey of yours, says of itself, in place of what it said; see `metagraph` and `show`
    Identity {
        /// The subnet's number
        #[arg(required_unless_present = "hotkey", conflicts_with = "hotkey")]
        id: Option<u32>,
        /// The hotkey, its address or key
        #[arg(long, value_name = "HOTKEY")]
        hotkey: Option<String>,
        /// At most 32 bytes; a subnet without this keeps the one it has
        #[arg(long, default_value = "")]
        name: String,
        /// Some sentences, at most 1024 bytes
        #[arg(long, default_value = "")]
        description: String,
        /// A page, beginning with http
        #[arg(long, default_value = "")]
        url: String,
        /// The page of its source
        #[arg(long, default_value = "")]
        repository: String,
        /// The address of a picture
        #[arg(long, default_value = "")]
        image: String,
        /// How to reach you
        #[arg(long, default_value = "")]
        contact: String,
        /// The subnet's token, at most 8 bytes, no other subnet's [default: as it is]
        #[arg(long, default_value = "", conflicts_with = "hotkey")]
        symbol: String,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Another key in the place of a hotkey of yours, with stake, uid, weights and endpoints; signed by the coldkey
    SwapHotkey {
        /// The old one, its address or key
        #[arg(long, value_name = "HOTKEY")]
        hotkey: String,
        /// The new one, its address or key; without --only one that was never used
        #[arg(long, value_name = "HOTKEY")]
        new: String,
        /// In this subnet alone; root stake stays with the old one [default: everywhere]
        #[arg(long, value_name = "ID")]
        only: Option<u32>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Another account in the place of yours, once it was announced and has waited: stake, hotkeys, subnets, balance
    SwapColdkey {
        /// The new account, its address or key
        #[arg(required_unless_present_any = ["dispute", "status"])]
        new: Option<String>,
        /// Say that it will be; until it is, your account can do nothing else
        #[arg(long, group = "step")]
        announce: bool,
        /// Say that it was somebody else who announced it: only an admin of the chain can end that
        #[arg(long, group = "step")]
        dispute: bool,
        /// Only look whether and until when one was announced
        #[arg(long, group = "step")]
        status: bool,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Fewer neurons in your own subnet: those that earn least go, the others get new uids
    Trim {
        /// The subnet's number
        id: u32,
        /// Slots that are left, 64 or more
        max_uids: u32,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Judge miners, signed by the hotkey: at once, or as a commit that is revealed an epoch or more later
    Weights {
        /// The subnet's number
        id: u32,
        /// Such as 3=65535; every miner you value
        #[arg(value_name = "UID=VALUE", required = true)]
        weights: Vec<String>,
        /// Of which incentive mechanism, where the subnet has several
        #[arg(long, value_name = "M", default_value_t = 0)]
        mechanism: u32,
        /// Version of the validator's software
        #[arg(long, default_value_t = 0)]
        version: u64,
        /// Where the subnet wants a commit: stay until it is revealed
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        sealed: SealedArgs,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Reveal weights that were committed, in every subnet where they are due; exit code 1 when some can never be
    Reveal {
        /// Stay until nothing waits any more
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        sealed: SealedArgs,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Answer validators' tasks over HTTP, until it is ended
    Mine(MineArgs),
    /// Ask the miners, judge their answers, and bring weights in time, until it is ended
    Validate(ValidateArgs),
    /// The beginnings of a subnet in a new folder: miner, evaluator, and a script that runs all of it on this machine
    New {
        /// A folder that is not there yet
        dir: PathBuf,
        /// Begin with a worked example instead of an empty one
        #[arg(long, value_enum)]
        example: Option<Example>,
    },
    /// What adversaries gain under which rules: the chain's own epochs, thousands of them, with everything else made up
    Simulate(SimulateArgs),
    /// Change hyperparameters of your own subnet
    Hyperparameters {
        /// The subnet's number
        id: u32,
        /// Such as tempo=720; may be repeated
        #[arg(long, value_name = "NAME=VALUE", required = true)]
        set: Vec<String>,
        #[command(flatten)]
        sign: SignArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// What becomes of dividends of root stake.
#[derive(Clone, Copy, ValueEnum)]
pub enum RootClaimKind {
    Sell,
    Keep,
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
    /// A table of all epochs: answers, truths, losses
    Epochs(TableArgs),
    /// A table of who earned what in which epoch
    Rewards(TableArgs),
    /// A table of who staked what
    Stakes(TableArgs),
}

/// What a table is of.
#[derive(Args)]
pub struct TableArgs {
    /// The topic's number
    #[arg(long)]
    pub topic: u64,
    /// From this epoch on, by its consecutive number
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    pub from: u64,
    /// Only what concerns this account
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// csv: a line of names, then rows; jsonl: an object per row; parquet: a file for notebooks, with --out
    #[arg(long, value_enum, default_value = "csv")]
    pub format: Format,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// How a table is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Jsonl,
    Parquet,
}

#[derive(Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// RPC address of the node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:26657", env = "DODONA_RPC_URL")]
    pub rpc: String,
    /// Look at this node's folder too: settings, keys, ports, disk
    #[arg(long, value_name = "DIR", env = "DODONA_HOME")]
    pub home: Option<PathBuf>,
    /// Look at the balance of this address, or of this key of `dodona keys`
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Folder of the encrypted keys [default: ~/.dodona/keys]
    #[arg(long, value_name = "DIR", env = "DODONA_KEYS")]
    pub keys: Option<PathBuf>,
    /// Write all of it into a new file too, with settings and the page for Prometheus, but without secrets: to show to
    /// who is to help
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// The end of this log goes into that file
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub log: Option<PathBuf>,
    /// The node's address for Prometheus, such as http://127.0.0.1:26660 [default: as the folder's settings say]
    #[arg(long, value_name = "URL", requires = "bundle")]
    pub metrics: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Every setting `dodona start` would use
    Show {
        /// The node's folder
        #[arg(long, value_name = "DIR", env = "DODONA_HOME")]
        home: PathBuf,
        /// Say where each comes from: an environment variable, the file, or the default
        #[arg(long)]
        origin: bool,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

#[derive(Subcommand)]
pub enum SnapshotCommand {
    /// Make a snapshot of a home whose node is stopped (a running node makes its own)
    Create {
        /// The node's folder
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// Block whose state it is, one of the newest 128 [default: the newest]
        #[arg(long)]
        height: Option<u64>,
        /// File to write [default: DIR/snapshots/HEIGHT.snap]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show the snapshots of a home
    List {
        /// The node's folder
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Give a home without a chain the state of a snapshot, if it follows from what you trust
    Restore {
        /// The node's folder, with the chain's genesis.json
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// The snapshot
        file: PathBuf,
        /// Made by `dodona trust export`; or the chain's genesis.json, while its first validators can still be punished
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// Do not compare with this machine's clock: for chains whose time is not the world's, such as a demo's
        #[arg(long)]
        no_clock: bool,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

#[derive(Args)]
pub struct ReplayArgs {
    /// Folder of a node that is stopped
    #[arg(long, value_name = "DIR")]
    pub home: PathBuf,
    /// From the first block or not at all [default: where blocks are missing, from a snapshot of the home]
    #[arg(long, conflicts_with = "from")]
    pub from_genesis: bool,
    /// Begin after the block of this snapshot
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Threads that check signatures ahead [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub threads: Option<u64>,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum QueryCommand {
    /// What the network says about a topic
    Inference(InferenceArgs),
}

#[derive(Args)]
pub struct InferenceArgs {
    /// The topic's number
    #[arg(long)]
    pub topic: u64,
    /// The epoch's nonce [default: the newest inference]
    #[arg(long, value_name = "NONCE")]
    pub epoch: Option<u64>,
    /// In the state after this block; a node keeps the newest 128 [default: the newest block]
    #[arg(long, value_name = "HEIGHT")]
    pub height: Option<u64>,
    /// Print a document that proves it, or proves that there is none, for `dodona verify`
    #[arg(long)]
    pub prove: bool,
    /// Add the blocks that lead there from this height (0: genesis), for a verifier whose trust is that old
    #[arg(long, value_name = "HEIGHT", requires = "prove")]
    pub trusted_height: Option<u64>,
    #[command(flatten)]
    pub node: NodeArgs,
    /// How it is printed; a proof is JSON in any case
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Args)]
pub struct VerifyArgs {
    /// A file made by `dodona query inference --prove`, or - for standard input
    pub file: PathBuf,
    /// A file made by `dodona trust export` from a node or a genesis that you believe
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// Oldest answer that will do, such as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub max_age: Option<std::time::Duration>,
    /// Do not compare with this machine's clock: for chains whose time is not the world's, such as a demo's
    #[arg(long, conflicts_with = "max_age")]
    pub no_clock: bool,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum TrustCommand {
    /// The validators that decide after a block, for `dodona verify --trust`; believe whom you ask, or compare
    Export {
        /// Block after which they decide [default: the newest]
        #[arg(long, value_name = "HEIGHT")]
        height: Option<u64>,
        /// Take them from a genesis file, without asking a node
        #[arg(long, value_name = "FILE", conflicts_with = "height")]
        genesis: Option<PathBuf>,
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
    /// Two subnets beside the topics: text compression, and forecasts that are judged by the topic and sold to it
    #[arg(long)]
    pub subnets: bool,
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
    /// Port of the dashboard, likewise
    #[arg(long, default_value_t = 8080)]
    pub dashboard_port: u16,
    /// Port of the page for Prometheus, likewise
    #[arg(long, default_value_t = 26660)]
    pub metrics_port: u16,
}

#[derive(Args)]
pub struct BacktestArgs {
    /// Your own model as one more member, named as for `worker run`: FILE.py, a program, http(s)://…, builtin:NAME.
    /// Without one the built-in models are replayed
    #[arg(conflicts_with_all = ["predictions", "candidate"])]
    pub model: Option<String>,
    /// A CSV file with the columns timestamp,value (or the name of a bundled series): built-in models predict it
    #[arg(long, value_name = "FILE.csv", required_unless_present_any = ["predictions", "topic"])]
    pub data: Option<String>,
    /// Predictions made elsewhere: columns timestamp, truth, then one per member; an empty cell did not report
    #[arg(long, value_name = "MATRIX.csv", conflicts_with = "data")]
    pub predictions: Option<PathBuf>,
    /// With --predictions: the column that is your model
    #[arg(long, value_name = "COLUMN", requires = "predictions")]
    pub candidate: Option<String>,
    /// The members and truths of this topic of a node, which also says rule, loss and horizon
    #[arg(long, value_name = "ID", conflicts_with_all = ["data", "predictions"], requires = "model")]
    pub topic: Option<u64>,
    /// With a model: the newest so many epochs only [default: all of --data, 500 of --topic]
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(20..=50_000))]
    pub last: Option<u64>,
    #[command(flatten)]
    pub node: NodeArgs,
    /// The interpreter for Python files
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,
    /// Steps of a day and a week of a topic, for what is built in
    #[arg(long, value_name = "DAY,WEEK", default_value = "48,336", value_delimiter = ',', num_args = 1)]
    pub seasons: Vec<usize>,
    /// Longest wait for one answer of the model
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: humantime::Duration,
    /// Address space of the model's process, MiB
    #[arg(long, value_name = "MIB", default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory: u64,
    /// Makes the participants' keys, and what the bands are drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Go on although the answers look wrong: constant, in another unit, as if the truth were known
    #[arg(long)]
    pub no_preflight: bool,
    /// Write a page with charts: one file that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Keep everybody's answers, for --predictions: another run asks nobody
    #[arg(long, value_name = "MATRIX.csv")]
    pub save: Option<PathBuf>,
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

#[derive(Args)]
pub struct InitArgs {
    /// The node's folder
    #[arg(long, value_name = "DIR", env = "DODONA_HOME")]
    pub home: PathBuf,
    /// What others call this node [default: dodona]
    #[arg(long, value_name = "NAME")]
    pub moniker: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum GenesisCommand {
    /// Write a first document: a chain with accounts and without validators
    New {
        /// Name that every signature is bound to
        #[arg(long, value_name = "ID")]
        chain_id: String,
        /// An account and what it holds, such as allo1…=12.5 (ALLO) or allo1…=300uallo; may be repeated
        #[arg(long = "account", value_name = "ADDRESS=AMOUNT")]
        accounts: Vec<String>,
        /// An account that may change parameters and lists; may be repeated
        #[arg(long = "admin", value_name = "ADDRESS")]
        admins: Vec<String>,
        /// Parameters for a network to look at: tokens from the first block on, cheap topics
        #[arg(long)]
        dev: bool,
        /// File to write
        #[arg(long, value_name = "FILE", default_value = "genesis.json")]
        out: PathBuf,
    },
    /// Declare, signed with the key of a home, that it wants to be a validator
    AddValidator {
        /// The node's folder, made by `dodona init`
        #[arg(long, value_name = "DIR", env = "DODONA_HOME")]
        home: PathBuf,
        /// The document to take part in
        #[arg(long, value_name = "FILE", default_value = "genesis.json")]
        genesis: PathBuf,
        /// Account that is paid
        #[arg(long, value_name = "ADDRESS")]
        operator: String,
        /// Stake and voting power, whole ALLO
        #[arg(long, value_name = "ALLO", value_parser = clap::value_parser!(u64).range(1..))]
        power: u64,
        /// Name for people
        #[arg(long, value_name = "NAME", default_value = "")]
        moniker: String,
        /// File to write [default: validator-, the first digits of the key, .json]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take declarations into the document
    Collect {
        /// The document
        genesis: PathBuf,
        /// Files made by `genesis add-validator`
        #[arg(required = true)]
        declarations: Vec<PathBuf>,
    },
    /// Check a document as a whole and print its hash, which all validators compare
    Validate {
        /// The document
        file: PathBuf,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

#[derive(Args)]
pub struct StartArgs {
    /// The node's folder: genesis.json, keys, config.toml
    #[arg(long, value_name = "DIR", env = "DODONA_HOME")]
    pub home: PathBuf,
    /// What others call this node [default: as in config.toml, like all that follow]
    #[arg(long, value_name = "NAME", env = "DODONA_MONIKER")]
    pub moniker: Option<String>,
    /// Where other validators reach this one
    #[arg(long, value_name = "ADDRESS", env = "DODONA_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// PEER_ID@HOST:PORT of a node to stay connected to; may be repeated
    #[arg(long, value_name = "PEER", env = "DODONA_PERSISTENT", value_delimiter = ',')]
    pub persistent: Vec<String>,
    /// From one block to the next, such as 1s
    #[arg(long, value_name = "TIME", env = "DODONA_BLOCK_TIME")]
    pub block_time: Option<humantime::Duration>,
    /// REST door; an empty text closes it
    #[arg(long, value_name = "ADDRESS", env = "DODONA_REST")]
    pub rest: Option<String>,
    /// gRPC door, likewise
    #[arg(long, value_name = "ADDRESS", env = "DODONA_GRPC")]
    pub grpc: Option<String>,
    /// RPC door, likewise
    #[arg(long, value_name = "ADDRESS", env = "DODONA_RPC")]
    pub rpc: Option<String>,
    /// Door of the dashboard, likewise
    #[arg(long, value_name = "ADDRESS", env = "DODONA_DASHBOARD")]
    pub dashboard: Option<String>,
    /// Page for monitors, likewise
    #[arg(long, value_name = "ADDRESS", env = "DODONA_METRICS")]
    pub metrics: Option<String>,
    /// A home without a chain begins with a snapshot of its peers that follows from this file (made by `dodona trust
    /// export`, or genesis.json), instead of executing every block
    #[arg(long, value_name = "FILE", env = "DODONA_TRUST")]
    pub trust: Option<PathBuf>,
    /// Development networks only: key of an account that gives tokens to new addresses
    #[arg(long, value_name = "KEY", env = "DODONA_FAUCET_KEY", hide_env_values = true)]
    pub faucet_key: Option<String>,
    #[command(flatten)]
    pub unlock: UnlockArgs,
    /// End when standard input closes: for programs that run nodes
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// For tests: this node's clock is wrong by so many milliseconds
    #[arg(
        long, value_name = "MS", hide = true, default_value_t = 0, allow_hyphen_values = true,
        value_parser = clap::value_parser!(i64).range(-60_000..=60_000)
    )]
    pub clock_offset: i64,
}

#[derive(Args)]
pub struct LocalnetArgs {
    /// How many validators [default: 4, or as many as the folder holds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub validators: Option<u8>,
    /// Keep the network in this folder, and continue the one that is there [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// From one block to the next
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub block_time: humantime::Duration,
    /// Makes all keys: they are no secret
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Args)]
pub struct PeersArgs {
    /// RPC address of a node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:26657", env = "DODONA_RPC_URL")]
    pub rpc: String,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}
