//! `dodona mechanism <name>`: one formula of the topics, the supply or the subnets, JSON in, JSON out.
//! For researchers and other languages: the numbers are those of the chain, because the functions are. Every name is
//! described, with an example, in `docs/protocol/mechanism-command.md`.

mod combine;
mod emission;
mod losses;
mod network_losses;
mod params;
mod regrets;
mod reputer_consensus;
mod reward_split;
mod scores;
mod sortition;
mod state;
mod subnet_epoch;
mod table;

use dodona_mechanism::MathError;
use std::io::{Read, Write};
use std::process::ExitCode;
use table::{Output, Request};

/// Bytes of input at most.
pub const INPUT_MAX: usize = 16 << 20;
/// Inferers, forecasters, reputers, labels or participants at most, each.
pub const MEMBERS_MAX: usize = 512;

type Formula = fn(&Request) -> Result<Output, MechanismError>;

/// Every formula on columns, in the order of an epoch.
const FORMULAS: [(&str, Formula); 8] = [
    ("combine", combine::run),
    ("network-losses", network_losses::run),
    ("regrets", regrets::run),
    ("reputer-consensus", reputer_consensus::run),
    ("scores", scores::run),
    ("reward-split", reward_split::run),
    ("emission", emission::run),
    ("sortition", sortition::run),
];

/// Why a formula has no answer. The texts say what to change.
#[derive(Debug, thiserror::Error)]
pub enum MechanismError {
    /// No formula has this name.
    #[error("no formula is called `{name}`; there are {}", known_names())]
    UnknownName {
        /// What was asked for.
        name: String,
    },
    /// Standard input cannot be read, or standard output not written.
    #[error("standard input or output fails: {0}")]
    Stream(#[from] std::io::Error),
    /// More text than any network needs.
    #[error("the input is longer than {} MiB", INPUT_MAX >> 20)]
    TooLong,
    /// Nothing at all.
    #[error("the input is empty; pipe a JSON object in, for example {{\"row\": {{\"inference_0\": 1.5}}}}")]
    NoInput,
    /// The text is not JSON.
    #[error(
        "the input is not JSON: {0} (numbers may be written as numbers or as text; NaN and infinity do not exist)"
    )]
    Json(serde_json::Error),
    /// A field has another type than it should.
    #[error("{field}: expected {expected}, found {found}")]
    Type {
        /// Where.
        field: String,
        /// What the formula reads there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A field the formula cannot do without.
    #[error("{field} is missing: {why}")]
    Missing {
        /// Where it should stand.
        field: String,
        /// What it is for.
        why: String,
    },
    /// A parameter outside its range.
    #[error("{field}: {value} is out of range: {range}")]
    Range {
        /// Where.
        field: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        range: String,
    },
    /// A parameter nobody reads, most likely misspelt.
    #[error("{field} is unknown here; this formula reads {known}")]
    UnknownParam {
        /// Where.
        field: String,
        /// The parameters of the formula.
        known: String,
    },
    /// An array or object nobody reads, most likely misspelt.
    #[error("{field} is no array or object known here, and a column holds one value; known are {known}")]
    UnknownArray {
        /// Where.
        field: String,
        /// The arrays and objects there are.
        known: String,
    },
    /// An array of the memory that stands in the row.
    #[error("{field} is what an epoch starts from; write it inside `previous`")]
    Misplaced {
        /// The array.
        field: String,
    },
    /// A value that is stated twice.
    #[error("{field} is given twice, as a column and by an array or beside `row`; keep one")]
    Twice {
        /// The column.
        field: String,
    },
    /// An index beyond what is allowed or announced.
    #[error("{field}: {why}")]
    Index {
        /// The column.
        field: String,
        /// Why there is no such member.
        why: String,
    },
    /// JSON of another shape than the formula reads.
    #[error("the input is no case of {name}: {source}; the shape is in docs/protocol/mechanism-command.md")]
    Shape {
        /// Which formula.
        name: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The formula itself refuses the numbers.
    #[error("{name} has no answer for these numbers: {source}")]
    Formula {
        /// Which formula.
        name: &'static str,
        /// The reason.
        source: MathError,
    },
}

fn known_names() -> String {
    format!("{}, {}", FORMULAS.map(|(name, _)| name).join(", "), subnet_epoch::NAME)
}

/// Computes the formula `name` on a JSON `input` and answers with a JSON object, one column per line.
/// Errors: [`MechanismError`]; the input is never trusted to be anything.
pub fn run(name: &str, input: &str) -> Result<String, MechanismError> {
    let formula = FORMULAS.iter().find(|(known, _)| *known == name);
    if formula.is_none() && name != subnet_epoch::NAME {
        return Err(MechanismError::UnknownName { name: table::shown(name) });
    }
    if input.len() > INPUT_MAX {
        return Err(MechanismError::TooLong);
    }
    if input.trim().is_empty() {
        return Err(MechanismError::NoInput);
    }
    let input = serde_json::from_str(input).map_err(MechanismError::Json)?;
    let Some(&(name, formula)) = formula else {
        return subnet_epoch::run(input);
    };
    let output = formula(&Request::read(name, input)?)?;
    serde_json::to_string_pretty(&output).map_err(MechanismError::Json)
}

/// [`run`] from standard input to standard output. Exit code 0, or 2 with the reason on standard error.
pub fn stdio(name: &str) -> ExitCode {
    let outcome = read_input().and_then(|input| run(name, &input)).and_then(|answer| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(MechanismError::Stream)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// All of standard input, or one byte more than is read of it.
fn read_input() -> Result<String, MechanismError> {
    let mut input = String::new();
    std::io::stdin().lock().take(INPUT_MAX as u64 + 1).read_to_string(&mut input)?;
    Ok(input)
}
