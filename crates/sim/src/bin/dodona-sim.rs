//! `dodona-sim`: what is done to networks so that it does not happen to yours. For developers and for those who want to
//! see it with their own eyes.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum, builder::PossibleValue};
use dodona_sim::{
    network::{Plan, run, shrink},
    processes::{
        chaos::{self, Fault, Soak},
        load::{self, Load},
    },
};

/// Runs that may be spent on making a broken plan smaller.
const SHRINK: usize = 60;

/// Break networks, and see whether they stay one.
#[derive(Parser)]
#[command(name = "dodona-sim", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Real processes under load, one fault after another; ends with status 1 at the first broken promise
    Chaos(ChaosArgs),
    /// How much a network of real processes takes: payloads with two signatures each at a given rate
    Load(LoadArgs),
    /// Networks in one thread under a made-up clock and network: the plans of many seeds; a broken one is made smaller
    Seeds {
        /// The first seed
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many
        #[arg(long, default_value_t = 50)]
        count: u64,
    },
    /// Run one plan twice: both have to come to the same
    Run {
        /// As `seeds` and `plan` print it
        plan: String,
    },
    /// Print the plan of a seed
    Plan {
        /// The seed
        seed: u64,
    },
}

#[derive(clap::Args)]
struct ChaosArgs {
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Order and details of the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many validators
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=16))]
    validators: u8,
    /// How many workers
    #[arg(long, default_value_t = 30)]
    workers: u16,
    /// From one block to the next
    #[arg(long, value_name = "TIME", default_value = "1s")]
    block_time: humantime::Duration,
    /// Only these faults; may be repeated
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    only: Vec<Chosen>,
    /// End after so many kills (`--only kill`) or other faults, if the time is not over before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Kill so many times one process at random and nothing else: `--only kill --count N`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["only", "count"])]
    kills: Option<u32>,
    /// The `dodona` program [default: the one beside this]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// An empty folder for the network; kept [default: a temporary one, kept only when a promise was broken]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The outcome as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct LoadArgs {
    /// Payloads a second, all together
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long they are handed in
    #[arg(long, value_name = "TIME", default_value = "1m")]
    time: humantime::Duration,
    /// How many validators
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    validators: u8,
    /// From one block to the next
    #[arg(long, value_name = "TIME", default_value = "1s")]
    block_time: humantime::Duration,
    /// Makes all keys and answers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Validators without an index of events, as those whom only validators ask
    #[arg(long)]
    no_index: bool,
    /// The `dodona` program [default: the one beside this]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The outcome as one JSON object
    #[arg(long)]
    json: bool,
}

/// A fault by its name.
#[derive(Copy, Clone)]
struct Chosen(Fault);

impl ValueEnum for Chosen {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Chosen; Fault::ALL.len()] = {
            let mut all = [Chosen(Fault::Kill); Fault::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Chosen(Fault::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Chaos(args) => chaos(args),
        Command::Load(args) => load(args),
        Command::Seeds { from, count } => seeds(from, count),
        Command::Run { plan } => match plan.parse::<Plan>() {
            Ok(plan) => twice(&plan),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        },
        Command::Plan { seed } => {
            println!("{}", Plan::draw(seed));
            ExitCode::SUCCESS
        }
    }
}

fn seeds(from: u64, count: u64) -> ExitCode {
    let begun = Instant::now();
    for seed in from..from.saturating_add(count) {
        let plan = Plan::draw(seed);
        match run(&plan) {
            Ok(report) => println!("{seed}: {report}"),
            Err(broken) => {
                eprintln!("{seed}: {broken}\nlooking for a smaller plan ...");
                let smaller = shrink(broken, SHRINK);
                eprintln!("{smaller}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count} seeds kept all promises, {} s", begun.elapsed().as_secs());
    ExitCode::SUCCESS
}

fn twice(plan: &Plan) -> ExitCode {
    match (run(plan), run(plan)) {
        (Ok(once), Ok(again)) if once == again => {
            println!("{once}");
            ExitCode::SUCCESS
        }
        (Ok(once), Ok(again)) => {
            eprintln!("one plan, two runs:\n{once}\n{again}");
            ExitCode::FAILURE
        }
        (Err(broken), _) | (_, Err(broken)) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

fn failed(what: String) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::FAILURE
}

/// The `dodona` program that was named, or the one beside this.
fn program(named: Option<PathBuf>) -> Result<PathBuf, String> {
    let program = match (named, std::env::current_exe()) {
        (Some(program), _) => program,
        (None, Ok(own)) => chaos::beside(&own),
        (None, Err(cause)) => return Err(format!("where this program is: {cause}")),
    };
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is not there: build it (`cargo build --release`) or name it with --program",
        program.display()
    ))
}

fn load(args: LoadArgs) -> ExitCode {
    let dir = match tempfile::Builder::new().prefix("dodona-load-").tempdir() {
        Ok(dir) => dir,
        Err(cause) => return failed(format!("no folder for the network: {cause}")),
    };
    let program = match program(args.program) {
        Ok(program) => program,
        Err(what) => return failed(what),
    };
    let load = Load {
        program,
        dir: dir.path().to_path_buf(),
        validators: args.validators,
        rate: args.rate,
        time: args.time.into(),
        block_time: args.block_time.into(),
        seed: args.seed,
        index: !args.no_index,
    };
    let taken = match load::run(&load, &mut |line| eprintln!("{line}")) {
        Ok(taken) => taken,
        Err(error) => return failed(error.to_string()),
    };
    if args.json {
        println!("{}", serde_json::json!(taken));
        return ExitCode::SUCCESS;
    }
    let [block, slow_block] = taken.block_ms;
    let [finality, slow_finality] = taken.finality_ms;
    println!(
        "{} payloads handed in within {:.0} s by {} workers of {} topics, {} refused",
        taken.offered, taken.seconds, taken.workers, taken.topics, taken.refused
    );
    if let Some(cause) = &taken.first_refusal {
        println!("the first refusal: {cause}");
    }
    println!(
        "in blocks         {:.0} transactions/s, {} waiting at the end, gone {:.1} s later",
        taken.per_second, taken.waiting, taken.drained
    );
    println!("looked up         {} payloads, {} executed without an error", taken.sampled, taken.executed);
    println!("from block to block   {block:.0} ms (95 %: {slow_block:.0} ms), {} blocks", taken.blocks);
    println!("proposal to block     {finality:.0} ms (95 %: {slow_finality:.0} ms)");
    println!(
        "memory            {:.0} MiB at most; folder grew {} bytes a block; epochs of topic 1 scored: {}",
        taken.memory_mib, taken.growth, taken.scored
    );
    println!("processor time        {:.0} µs of each validator for one transaction", taken.processor_us);
    println!("one core checks the two signatures of {:.0} payloads a second", taken.signatures_alone);
    ExitCode::SUCCESS
}

fn chaos(args: ChaosArgs) -> ExitCode {
    let temporary = match tempfile::Builder::new().prefix("dodona-chaos-").tempdir() {
        Ok(dir) => dir,
        Err(cause) => return failed(format!("no folder for the network: {cause}")),
    };
    let dir = args.home.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let program = match program(args.program) {
        Ok(program) => program,
        Err(what) => return failed(what),
    };
    let soak = Soak {
        program,
        dir: dir.clone(),
        time: Duration::from_secs(60 * args.minutes),
        seed: args.seed,
        validators: args.validators,
        workers: args.workers,
        block_time: args.block_time.into(),
        only: match args.kills {
            Some(_) => vec![Fault::Kill],
            None => args.only.iter().map(|chosen| chosen.0).collect(),
        },
        count: args.kills.or(args.count),
    };
    match chaos::run(&soak, &mut |line| eprintln!("{line}")) {
        Ok(outcome) if args.json => {
            println!("{}", serde_json::json!(outcome));
            ExitCode::SUCCESS
        }
        Ok(outcome) => {
            println!(
                "{:.0} s, {} blocks, {} transactions, {} epochs scored; {} transactions shown and found again",
                outcome.seconds, outcome.blocks, outcome.txs, outcome.epochs, outcome.acknowledged
            );
            for (fault, cause) in &outcome.skipped {
                println!("{fault} was left out: {cause}");
            }
            if outcome.pause > 0.0 {
                let pause = outcome.pause;
                println!("with as many nodes down as are tolerated: {pause:.1} s without a block at most");
            }
            println!("{:<12}{:>6}{:>22}", "fault", "times", "longest recovery");
            for (fault, times) in &outcome.faults {
                println!("{fault:<12}{times:>6}{:>20.1} s", outcome.recovery[fault]);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let kept = temporary.keep();
            let dir = if args.home.is_some() { dir } else { kept };
            failed(format!(
                "{error}\nthe network is kept in {}; the same again: --seed {}",
                dir.display(),
                args.seed
            ))
        }
    }
}
