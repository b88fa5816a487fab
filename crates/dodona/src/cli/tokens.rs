//! Arguments of the commands that move tokens: from purse to purse, to validators, to the reputers of a topic.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{NodeArgs, Output, SignArgs};

/// Who signs, and whether anything is sent.
#[derive(Args)]
pub struct TxArgs {
    #[command(flatten)]
    pub sign: SignArgs,
    /// Try it on the node's newest state and say what it would cost; nothing is sent
    #[arg(long)]
    pub dry_run: bool,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Args)]
pub struct AccountArgs {
    /// An address
    pub who: String,
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Args)]
pub struct SendArgs {
    /// The address that gets it
    pub to: String,
    /// ALLO such as 12.5, or base units such as 300uallo
    pub amount: String,
    #[command(flatten)]
    pub tx: TxArgs,
}

#[derive(Subcommand)]
pub enum ValidatorCommand {
    /// All validators, the largest first
    List {
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// One validator, and who stands behind it
    Show {
        /// Its name, or the address of its operator
        who: String,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Become one: the key of a home decides blocks, the account that signs is its operator
    Create {
        /// Home of the node, as `dodona init` made it; only the public half of its key is used
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// What the operator itself stakes: ALLO, or base units such as 300uallo
        #[arg(long, value_name = "ALLO")]
        stake: String,
        /// What others call it, 1 to 70 characters
        #[arg(long, value_name = "NAME")]
        moniker: String,
        /// What the operator keeps of its delegators' rewards, percent
        #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
        commission: u64,
        /// The most it can ever be, percent
        #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=100))]
        max_commission: u64,
        /// How much it can change in a day, percent
        #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=100))]
        max_change: u64,
        #[command(flatten)]
        tx: TxArgs,
    },
    /// Stand behind a validator with stake of yours
    Delegate {
        /// Its name, or the address of its operator
        who: String,
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        tx: TxArgs,
    },
    /// Ask for stake back: it comes after the chain's delay
    Undelegate {
        /// Name, or the address of the operator
        who: String,
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        tx: TxArgs,
    },
    /// Move stake from one validator to another, without a delay
    Redelegate {
        /// Name or operator of the one that has it
        from: String,
        /// Name or operator of the one that gets it
        to: String,
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        tx: TxArgs,
    },
    /// What you have staked with whom, what it has earned, what is on its way back
    Stakes {
        /// An address
        who: String,
        #[command(flatten)]
        node: NodeArgs,
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Take the rewards of all your stakes, or of those with one validator; an operator's commission too
    Withdraw {
        /// Name, or the address of the operator [default: all]
        who: Option<String>,
        /// The operator's commission too
        #[arg(long)]
        commission: bool,
        #[command(flatten)]
        tx: TxArgs,
    },
    /// Return to the set after a jail for absence, once its time is over
    Unjail {
        #[command(flatten)]
        tx: TxArgs,
    },
}

/// Whose stake at which topic.
#[derive(Args)]
pub struct TopicStakeArgs {
    /// Number of the topic
    #[arg(long, value_name = "ID")]
    pub topic: u64,
    /// Stand behind this reputer instead of being one: its name or address
    #[arg(long, value_name = "WHO")]
    pub reputer: Option<String>,
    #[command(flatten)]
    pub tx: TxArgs,
}

#[derive(Subcommand)]
pub enum StakeCommand {
    /// Add stake: your own as a reputer, or behind another one
    Add {
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        at: TopicStakeArgs,
    },
    /// Ask for stake back: it comes after the chain's delay; a new request replaces the one before
    Remove {
        /// ALLO such as 12.5, or base units such as 300uallo
        amount: String,
        #[command(flatten)]
        at: TopicStakeArgs,
    },
    /// Leave it where it is after all
    Cancel {
        #[command(flatten)]
        at: TopicStakeArgs,
    },
    /// Take what stake behind another reputer has earned
    Claim {
        #[command(flatten)]
        at: TopicStakeArgs,
    },
}
